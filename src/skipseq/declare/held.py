"""Layers that stand in a sequence for their keys, and run where other entries call them by name."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["Held"]


class Held(nn.Module):
    """Layers that ``call("name.0")`` and ``call("name.1")`` run; where it stands itself, the running value passes on.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, call
    >>> from skipseq.declare.held import Held
    >>> net = Sequential(("convs", Held(nn.Conv1d(1, 2, 1), nn.Conv1d(2, 3, 1))), call("convs.0"), nn.ReLU(), call("convs.1"))
    >>> net(torch.zeros(1, 1, 4)).shape, list(net.state_dict())
    (torch.Size([1, 3, 4]), ['convs.0.weight', 'convs.0.bias', 'convs.1.weight', 'convs.1.bias'])

    Args:
        layers: layers, and pairs ``("name", layer)``; the others get the numbers that they have in ``nn.ModuleList``.
    """

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            self.add_module(*(layer if isinstance(layer, tuple) else (str(i), layer)))

    def forward(self, value: Any) -> Any:
        """Passes the value on."""
        return value
