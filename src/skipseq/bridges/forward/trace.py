"""The public functions: a module with a handwritten forward as a sequence in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from skipseq.run import Sequential

from .tracer import Tracer

__all__ = ["from_forward", "trace"]


def trace(module: nn.Module, *example: Any, leaves: Iterable[Any] = (), **named_example: Any) -> Sequential:
    """Reads the forward of a module, and gives the network as a sequence in words that shares its layers.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq.bridges.forward.trace import trace
    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(8, 8, 3, padding=1)
    ...         self.norm = nn.BatchNorm2d(8)
    ...     def forward(self, x):
    ...         return torch.relu(x + self.norm(self.conv(x)))
    >>> block = Block()
    >>> print(trace(block))
    Sequential(
        ('conv', nn.Conv2d(8, 8, 3, padding=1)),
        ('norm', nn.BatchNorm2d(8)),
        add('input'),  # <- input
        nn.ReLU(),
    )
    >>> list(trace(block).state_dict()) == list(block.state_dict())
    True

    Outputs and gradients are those of the module, and so are the keys. They come in the order of use: where a module has its
    layers in another order, a warning says so, as an optimizer's checkpoint goes by that order. A module whose forward is
    followed becomes a part under its own name. Layers of torch are entries; so are modules that use parameters of their own
    directly, that do other things in training than in evaluation, have a ``train()`` of their own, that are called several
    times or have hooks: they stay whole.

    The forward runs once without computing, and the module itself is not touched. Sizes are not written into the result:
    ``x.view(x.shape[0], -1)`` stays what it is. But where Python decides by a size (``if h % 32``), the result does what
    holds for the example, and a warning tells the line if one of the sizes that are tried decides otherwise. Arguments
    that are no tensors are constants. A forward that can only be followed by ``torch.export`` needs an example.

    Args:
        module: the network; its layers are shared, not copied.
        example: inputs, of which the shapes and types matter. Without any, an image, a row of features or tokens is tried
            that the first layer can take.
        leaves: classes, or paths as in ``named_modules()``, of modules that stay whole.
        named_example: inputs by name.

    Raises:
        ConversionError: if the forward cannot be followed: the module, the line, why, and what to do.
    """
    return Tracer(module, tuple(leaves)).sequence(example, named_example)


def from_forward(module: nn.Module, *example: Any, leaves: Iterable[Any] = (), **named_example: Any) -> Sequential:
    """As :func:`trace`, with known patterns written as blocks: ``Residual``, ``Branches``, ``DenseBlock``.

    >>> from torch import nn
    >>> from skipseq.bridges.forward.trace import from_forward
    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(8, 8, 3, padding=1)
    ...     def forward(self, x):
    ...         return self.conv(x) + x
    >>> print(from_forward(nn.Sequential(Block(), nn.ReLU())))
    Sequential(
        Residual(
            ('conv', nn.Conv2d(8, 8, 3, padding=1)),
        ),
        nn.ReLU(),
    )

    Arguments and errors are those of :func:`trace`.
    """
    from .recognise import recognised

    return recognised(trace(module, *example, leaves=leaves, **named_example))
