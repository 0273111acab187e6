"""Which modules are containers whose inside a wiring can reach."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from torch import nn

from skipseq.wiring import Wiring

__all__ = [
    "HOOKS",
    "Container",
    "child_at",
    "children_of",
    "forward_owner",
    "has_hooks",
    "has_state",
    "inside",
    "is_plain",
    "is_sequence",
    "is_wired",
    "keeps_forward",
    "wired_class",
]


class Container(nn.Sequential):
    """The base of :class:`skipseq.Sequential`, as far as a declaration needs to know it."""

    @property
    def wiring(self) -> Wiring:
        """The container as an open term, verified."""
        raise NotImplementedError

    def _derived(self, children: Mapping[str, nn.Module], inputs: Any, outputs: Any) -> nn.Module:
        """A container of the same class with these children."""
        raise NotImplementedError


def forward_owner(module: nn.Module) -> Any:
    """The class that defines the forward of a module."""
    return next(cls for cls in type(module).__mro__ if "forward" in vars(cls))


def is_wired(module: nn.Module) -> TypeGuard[Container]:
    """Whether the module runs a wiring: one of ours, unless its class has a forward that would not pass values on."""
    return isinstance(module, Container) and (keeps_forward(module) or passes_on(forward_owner(module).forward.__get__(module)))


def wired_class(module: nn.Module) -> Any:
    """The class that runs the wiring of a container, among those that its class derives from."""
    return next(cls for cls in type(module).__mro__ if "wiring" in vars(cls))


def keeps_forward(module: nn.Module) -> bool:
    """Whether the class that defines the wiring of a container defines its forward too."""
    return "wiring" in vars(forward_owner(module))


def passes_on(forward: Any) -> bool:
    """Whether a bound forward takes ``*args, **kwargs`` and nothing else: it passes on whatever it is given."""
    try:
        kinds = [each.kind for each in inspect.signature(forward).parameters.values()]
    except (TypeError, ValueError):
        return False
    return kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]


def is_plain(module: nn.Module) -> bool:
    """Whether the module runs its children one after the other, as ``nn.Sequential`` does."""
    return isinstance(module, nn.Sequential) and forward_owner(module) is nn.Sequential


def is_sequence(module: nn.Module) -> bool:
    """Whether the module runs its children, ours by their words and a plain one in order, and does nothing else."""
    return is_wired(module) or is_plain(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody looks on at a module."""
    return any(getattr(module, name, None) for name in HOOKS)


#: Where a module keeps the hooks that others put on it.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def has_state(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers."""
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def inside(module: nn.Module) -> nn.Module:
    """The container inside wrappers that pass on all arguments (checkpointing, compiling, data parallel), or the module."""
    while not isinstance(module, nn.Sequential) and (wrapped := only_child(module)) is not None:
        module = wrapped
    return module


def only_child(module: nn.Module) -> nn.Module | None:
    """The one child of a wrapper: a module that owns nothing else and whose forward takes ``*args, **kwargs``."""
    if len(module._modules) != 1 or module._parameters or isinstance(module, nn.ModuleList | nn.ModuleDict):
        return None
    if not passes_on(module.forward):
        return None
    child: nn.Module | None = next(iter(module._modules.values()))
    return child if holds_container(child) else None


def holds_container(module: nn.Module | None) -> bool:
    """Whether the module is a sequence, perhaps inside further wrappers."""
    return module is not None and isinstance(inside(module), nn.Sequential)


def children_of(module: nn.Module) -> Mapping[str, nn.Module]:
    """The children of a container by key."""
    return {key: child for key, child in module._modules.items() if child is not None}


def child_at(container: nn.Module, path: Sequence[str]) -> nn.Module:
    """The module at a path below the container, looked up live."""
    module = container
    for key in path:
        module = module._modules[key]  # type: ignore[assignment]
    return module
