"""Layers that stand in a sequence for their keys, and run where other entries call them by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

from torch import nn

__all__ = ["Held", "held", "is_list"]


class Held(nn.Module):
    """What a named ``nn.ModuleList`` or ``nn.ModuleDict`` is in a sequence: its layers run where they are called by name.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, call
    >>> convs = nn.ModuleList([nn.Conv1d(1, 2, 1), nn.Conv1d(2, 3, 1)])
    >>> net = Sequential(("convs", convs), call("convs.0"), nn.ReLU(), call("convs.1"))
    >>> net(torch.zeros(1, 1, 4)).shape, list(net.state_dict())
    (torch.Size([1, 3, 4]), ['convs.0.weight', 'convs.0.bias', 'convs.1.weight', 'convs.1.bias'])
    >>> net.convs[1]
    Conv1d(2, 3, kernel_size=(1,), stride=(1,))

    Args:
        layers: layers, and pairs ``("name", layer)``; the others get the numbers that they have in ``nn.ModuleList``.
    """

    #: Whether it would be a mistake if nothing called its layers; those that a conversion keeps for their keys may rest.
    must_run = False

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            self.add_module(*(layer if isinstance(layer, tuple) else (str(i), layer)))

    def forward(self, value: Any) -> Any:
        """Passes the value on."""
        return value

    def __getitem__(self, key: int | str) -> nn.Module:
        if isinstance(key, int):
            return list(self.children())[key]
        return self.get_submodule(key)

    def __iter__(self) -> Iterator[nn.Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._modules)


def is_list(thing: Any) -> TypeGuard[nn.ModuleList | nn.ModuleDict]:
    """Whether something is a list or a dict of layers, which cannot be called; a class of one with a forward can."""
    return isinstance(thing, nn.ModuleList | nn.ModuleDict) and type(thing).forward is nn.Module.forward


def held(layers: nn.ModuleList | nn.ModuleDict) -> Held:
    """The layers of a list or a dict, as they stand in a sequence; lists in it are held too."""
    kept = Held(*((key, held(each) if is_list(each) else each) for key, each in layers.named_children()))
    kept.training, kept.must_run = layers.training, True
    return kept
