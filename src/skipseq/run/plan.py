"""When a program is still good: the tree it was made for, looked at again at every call.

Two questions, answered before each call in a few comparisons for each container. Is the tree the same: does every
container hold the same children under the same keys? If not, it is put together anew. And which parts must be called as
the modules they are, because somebody could tell: hooks, a forward of its own, a compiled call?
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.nn.modules.module as torch_module
from torch import nn

from skipseq.declare.containers import inside, is_plain, is_wired
from skipseq.declare.functions import Function
from skipseq.declare.words import Word
from skipseq.wiring import Wiring, reaching

from .program import Program, make_program

__all__ = ["Plan", "seen"]

class Plan:
    """The wiring of one container, the tree that it belongs to, and the programs made from it so far."""

    # The root itself is never held: a cycle would keep a dropped network alive until the next garbage collection.

    def __init__(self, root: nn.Module, wiring: Wiring) -> None:
        self.wiring = wiring
        self.keys = list(root._modules)
        self.children = list(root._modules.values())
        self.seen = [seen(module) for module in containers(root) if module is not root]
        candidates = list(below(root))
        self.flat = [(module, type(module)) for module in candidates if can_be_flat(module)]
        self.always = frozenset(id(module) for module in candidates if not can_be_flat(module))
        self.programs: dict[tuple[tuple[str, ...], frozenset[int]], Program] = {}
        self.simple = len(wiring.inputs) == 1 and not wiring.needs

    def holds(self, root: nn.Module) -> bool:
        """Whether the tree below the root is still the one that this plan was made for."""
        modules = root._modules
        if [*modules.values()] != self.children or [*modules] != self.keys:
            return False
        for module, keys, children in self.seen:
            modules = module._modules
            if [*modules.values()] != children or [*modules] != keys:
                return False
        return True

    def called(self) -> frozenset[int]:
        """The identities of the modules that must be called now."""
        for module, cls in self.flat:
            if (
                module._forward_hooks
                or module._forward_pre_hooks
                or module._backward_hooks
                or module._backward_pre_hooks
                or module.__class__ is not cls
                or "forward" in module.__dict__
                or module._compiled_call_impl is not None
            ):
                break
        else:
            if not global_hooks():
                return self.always
        return self.always | {id(module) for module, cls in self.flat if global_hooks() or must_be_called(module, cls)}

    def program(self, root: nn.Module, wants: tuple[str, ...] = ()) -> Program:
        """The program that returns these inner values besides the result, for the hooks as they are now."""
        called = self.called()
        program = self.programs.get((wants, called))
        if program is None:
            program = make_program(root, reaching(self.wiring, wants), called)
            self.programs[wants, called] = program
        return program


def seen(module: nn.Module) -> tuple[nn.Module, list[str], list[Any]]:
    """A container with its keys and children as they are now."""
    return module, list(module._modules), list(module._modules.values())


def containers(root: nn.Module) -> Iterator[nn.Module]:
    """The root, and every container and word with layers below it, each once."""
    found: dict[int, nn.Module] = {}
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if id(module) in found:
            continue
        found[id(module)] = module
        for child in module._modules.values():
            if child is not None and opens(child):
                waiting.append(child)
    return iter(found.values())


def opens(module: nn.Module) -> bool:
    """Whether the inside of a module belongs to the wiring around it."""
    container = inside(module)
    return is_wired(container) or is_plain(container) or (isinstance(module, Word) and bool(module._modules))


def below(root: nn.Module) -> Iterator[nn.Module]:
    """The parts and functions of a tree, each once: what a program may run in place."""
    known: set[int] = {id(root)}
    for container in containers(root):
        for child in (container, *container._modules.values()):
            if child is None or id(child) in known or isinstance(child, Word):
                continue
            known.add(id(child))
            if isinstance(child, Function) or opens(child):
                yield child


def can_be_flat(module: nn.Module) -> bool:
    """Whether a part or function is of a class that a program may run in place."""
    cls = type(module)
    calls_plainly = cls.__call__ is MODULE_CALL and cls._call_impl is MODULE_CALL_IMPL
    return calls_plainly and (cls is Function or is_wired(module) or is_plain(module))


def must_be_called(module: nn.Module, cls: type) -> bool:
    """Whether somebody could tell if this module was run in place."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    own = "forward" in vars(module) or module._compiled_call_impl is not None
    return any(hooks) or own or type(module) is not cls


def global_hooks() -> bool:
    """Whether hooks are registered for all modules."""
    return bool(
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


#: What calling a module is, when nobody has changed it.
MODULE_CALL = nn.Module.__call__
MODULE_CALL_IMPL = nn.Module._call_impl  # type: ignore[attr-defined]
