"""Layers with more channels, and a network with other layers in their places; what was there before is not touched."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .passing import Passed

__all__ = ["grown_layer", "with_layers"]


def grown_layer(module: nn.Module, passed: Passed) -> nn.Module:
    """A layer of the same class, settings and hooks with more channels; it shares the tensors that do not grow."""
    growth = passed.taken
    assert growth is not None
    kept = growth.kept()
    width = len(kept) + growth.added
    layer: nn.Module = twin(module)
    for name, dim, fill in passed.tensors:
        old = getattr(module, name)
        new = grown_tensor(old.detach(), dim, kept, width, fill)
        if isinstance(old, nn.Parameter):
            parameter = nn.Parameter(new, requires_grad=old.requires_grad)
            parameter.__dict__.update(vars(old))
            layer._parameters[name] = parameter
        else:
            layer._buffers[name] = new
    for name in passed.counts:
        setattr(layer, name, width)
    return layer


def grown_tensor(old: Tensor, dim: int, kept: Sequence[int], width: int, fill: float) -> Tensor:
    """The tensor with its positions of one dimension at these places, and a number everywhere else."""
    shape = (*old.shape[:dim], width, *old.shape[dim + 1 :])
    places = torch.tensor(kept, device=old.device, dtype=torch.long)
    new = old.new_full(shape, fill).index_copy_(dim, places, old)
    for form, rank in ((torch.channels_last, 4), (torch.channels_last_3d, 5)):
        if old.dim() == rank and not old.is_contiguous() and old.is_contiguous(memory_format=form):
            return new.contiguous(memory_format=form)
    return new


def twin(module: nn.Module) -> Any:
    """A module of the same class with the same children, tensors and hooks, each in a dictionary of its own."""
    other = module.__class__.__new__(module.__class__)
    # What a container knows of its children, and what was compiled, is of the other one.
    state = {name: value for name, value in vars(module).items() if name not in ("_plan", "_compiled_call_impl")}
    other.__dict__.update({n: copy.copy(v) if isinstance(v, dict | set | list) else v for n, v in state.items()})
    return other


def with_layers(root: nn.Module, layers: Mapping[tuple[str, ...], nn.Module]) -> Any:
    """The same network with other layers at these paths; it shares everything else."""
    other = twin(root)
    heads = dict.fromkeys(path[0] for path in layers)
    for head in heads:
        below = {path[1:]: layer for path, layer in layers.items() if path[0] == head}
        other._modules[head] = below[()] if () in below else with_layers(root._modules[head], below)  # type: ignore[arg-type]
    return other
