"""Stand-ins: layers without numbers, which can be called without computing and without touching the layers themselves.

A stand-in is a copy of a module whose parameters and buffers are fake tensors: they have shapes, types and devices, no
memory. What a layer stores on itself when called, it stores on the stand-in; its class, code and hooks are its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._pytree import tree_map_only

from skipseq.declare.containers import Container

__all__ = ["StandIns", "all_tensors", "is_lazy", "lazy_inside", "moved", "on_meta"]

#: How deep plain lists and dicts among the attributes of a module are looked through for tensors and modules.
DEPTH = 3


class StandIns:
    """Makes stand-ins, one for each module and tensor, all in one fake world.

    Args:
        meta: the device that tensors without a place (``meta``) count as: a network that is only planned is checked as if
            it was on the CPU.
    """

    def __init__(self, meta: torch.device | None) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.meta = meta
        self.modules: dict[int, nn.Module] = {}
        self.tensors: dict[int, Tensor] = {}
        #: The originals are kept, so that their identities stay theirs.
        self.kept: list[Any] = []

    def tensor(self, tensor: Tensor, device: torch.device | None = None) -> Tensor:
        """A fake tensor like this one, on its device unless another one is named."""
        if id(tensor) not in self.tensors:
            planned = self.meta is not None and tensor.device.type == "meta"
            device = device or (self.meta if planned else tensor.device)
            with self.mode:
                if tensor.layout is not torch.strided:
                    fake: Tensor = self.mode.from_tensor(tensor)
                else:
                    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
                if isinstance(tensor, nn.Parameter):
                    fake = nn.Parameter(fake, requires_grad=tensor.requires_grad)
                elif tensor.requires_grad and tensor.is_leaf:
                    fake.requires_grad_()
            self.tensors[id(tensor)] = fake
            self.kept.append(tensor)
        return self.tensors[id(tensor)]

    def module(self, module: nn.Module) -> nn.Module:
        """The stand-in of a module, with stand-ins of its children; of a compiled one, of what was compiled."""
        module = getattr(module, "_orig_mod", module)
        if id(module) not in self.modules:
            twin = module.__class__.__new__(module.__class__)
            self.modules[id(module)] = twin
            self.kept.append(module)
            # A container is told apart by its children: what it knows of them is left out, as when it is copied.
            left_out = {"_plan"} if isinstance(module, Container) else set()
            state = {name: value for name, value in vars(module).items() if name not in left_out}
            twin.__dict__.update({name: self.replaced(value, DEPTH) for name, value in state.items()})
        return self.modules[id(module)]

    def replaced(self, value: Any, depth: int) -> Any:
        """An attribute with stand-ins for the modules and tensors in it; everything else is shared."""
        if isinstance(value, UninitializedParameter | UninitializedBuffer):
            return value
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.module(value.__self__))
        if depth and type(value) in (list, tuple, dict):
            if isinstance(value, dict):
                return {key: self.replaced(each, depth - 1) for key, each in value.items()}
            return type(value)(self.replaced(each, depth - 1) for each in value)
        return copy.copy(value) if isinstance(value, dict | set) else value

    def grown(self, module: nn.Module, args: Any, named: Any) -> tuple[nn.Module, list[tuple[nn.Module, tuple[Any, ...]]]]:
        """A copy of a module with lazy layers inside whose parameters have got their shapes from a call with these arguments.

        Returns it, and for each lazy layer of the module the arguments that the layer received. Lazy layers change
        themselves when called, so a deep copy is called, without memory as well.
        """
        twin = copy.deepcopy(module, {id(tensor): on_meta(tensor) for tensor in all_tensors(module)})
        received: list[tuple[nn.Module, tuple[Any, ...]]] = []
        handles = []
        for own, each in zip(module.modules(), twin.modules(), strict=True):
            if is_lazy(each):
                # The arguments are noted before the hook by which PyTorch gives a lazy layer its parameters.
                note = partial(received_by, received, own)
                handles.append(each.register_forward_pre_hook(note, prepend=True))
        with torch.device("meta"):
            twin(*moved(args), **moved(named))
        for handle in handles:
            handle.remove()
        device = next((tensor.device for tensor in all_tensors(module)), None)
        for tensor in all_tensors(twin):
            if not isinstance(tensor, UninitializedParameter | UninitializedBuffer):  # what it received may tell no size
                self.tensor(tensor, device)
        return twin, received


def received_by(received: list[Any], own: nn.Module, _: nn.Module, given: tuple[Any, ...]) -> None:
    """Notes what a lazy layer received."""
    received.append((own, given))


def is_lazy(module: nn.Module) -> bool:
    """Whether the module is a lazy one whose parameters have no shape yet."""
    known = getattr(module, "has_uninitialized_params", None)
    return bool(known is not None and known())


def lazy_inside(module: nn.Module) -> bool:
    """Whether the module, or one inside it, waits for its shapes."""
    return any(is_lazy(each) for each in module.modules())


def all_tensors(module: nn.Module) -> Iterator[Tensor]:
    """The parameters and buffers of a module."""
    yield from module.parameters()
    yield from module.buffers()


def on_meta(tensor: Tensor) -> Tensor:
    """A tensor like this one without memory."""
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        like: Any = type(tensor)  # torch's own annotations lack the keywords
        return like(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype)  # type: ignore[no-any-return]
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def moved(value: Any) -> Any:
    """Arguments on the device of tensors without memory."""
    return tree_map_only(Tensor, lambda each: torch.empty(each.shape, dtype=each.dtype, device="meta"), value)
