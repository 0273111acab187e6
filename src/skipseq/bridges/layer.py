"""What the layers of other worlds that PyTorch lacks have in common."""

from __future__ import annotations

from torch import nn

from skipseq.declare.constructors import written_arguments

__all__ = ["PrintedLayer"]


class PrintedLayer(nn.Module):
    """A layer that prints as the call that builds it: what its constructor takes are its attributes, under the same names.

    >>> from skipseq.bridges.layer import PrintedLayer
    >>> class Scale(PrintedLayer):
    ...     def __init__(self, factor: float, bias: float = 0.0) -> None:
    ...         super().__init__()
    ...         self.factor, self.bias = factor, bias
    >>> Scale(2.0)
    Scale(2.0)
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({written_arguments(self) or ''})"
