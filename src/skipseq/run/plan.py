"""When a program is still good: the tree it was made for, looked at again at every call.

Two questions, answered before each call in a few comparisons for each container. Is the tree the same: does every
container hold the same children under the same keys? If not, it is put together anew. And which parts must be called as
the modules they are, because somebody could tell: hooks, a forward of its own, a compiled call?
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.module import (
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_forward_hooks,
    _global_forward_pre_hooks,
)

from skipseq.declare.constructors import constructor
from skipseq.declare.containers import has_hooks, inside, is_plain, is_sequence, is_wired, keeps_forward
from skipseq.declare.functions import Function
from skipseq.declare.held import Held
from skipseq.declare.words import Word
from skipseq.wiring import Wiring, reaching

from .program import Program, make_program

__all__ = ["MODULE_CALL", "Plan"]


class Plan:
    """The wiring of one container, the tree that it belongs to, and the programs made from it so far."""

    # The root itself is never held: a cycle would keep a dropped network alive until the next garbage collection.

    def __init__(self, root: nn.Module, wiring: Wiring) -> None:
        self.wiring = wiring
        self.children = list(root._modules.values())
        self.keys = list(root._modules)
        self.watched = [Watched.of(module) for module in below(root)]
        # What is looked at in every call, as plain tuples: they are the fastest to unpack.
        self.looks = [(vars(each.module), each.children, each.module, each.cls) for each in self.watched]
        self.always = frozenset(id(each.module) for each in self.watched if each.called)
        self.programs: dict[tuple[tuple[str, ...], frozenset[int]], Program] = {}
        #: Whether a call brings one input and nothing else, and the program of such a call when nobody watches.
        self.simple = len(wiring.inputs) == 1 and not wiring.needs
        self.usual: Program | None = None

    def holds(self, root: nn.Module) -> bool:
        """Whether the tree below the root is still the one that this plan was made for: same children, order and keys."""
        if [*root._modules.values()] != self.children or [*root._modules] != self.keys:
            return False
        for each in self.watched:
            modules = each.module._modules
            if [*modules.values()] != each.children or [*modules] != each.keys:
                return False
        return True

    def look(self, root: nn.Module) -> frozenset[int] | None:
        """The identities of the modules that must be called now; nothing if a program of this plan would be wrong."""
        if [*root._modules.values()] != self.children:
            return None
        everywhere = _global_forward_hooks or _global_forward_pre_hooks or _global_backward_hooks or _global_backward_pre_hooks
        told = bool(everywhere)
        for own, children, module, cls in self.looks:
            if [*own["_modules"].values()] != children:
                return None
            if (
                own["_forward_hooks"]
                or own["_forward_pre_hooks"]
                or own["_backward_hooks"]
                or own["_backward_pre_hooks"]
                or "forward" in own
                or "_compiled_call_impl" in own
                or module.__class__ is not cls
            ):
                told = True
        if not told:
            return self.always
        return self.always | {id(each.module) for each in self.watched if everywhere or each.must_be_called()}

    def moved(self, root: nn.Module, wiring: Wiring) -> list[str]:
        """The faults of dotted names that lead to another layer than before, because a part was edited.

        A layer exchanged for another in its place is none: the name goes on to mean this place.
        """
        faults = []
        for path in set(self.wiring.paths) & set(wiring.paths):
            head, _, key = path.rpartition(".")
            part = inside_at(root, head)
            before = next((dict(zip(w.keys, w.children, strict=True)) for w in self.watched if w.module is part), None)
            if part is None or before is None or part._modules.get(key) is before.get(key):
                continue
            new_place = next((k for k, child in part._modules.items() if child is before.get(key)), None)
            if new_place is not None or any(child is part._modules.get(key) for child in before.values()):
                now = f", which is {head}.{new_place} now" if new_place is not None else ", which is gone"
                faults.append(
                    f"net reads {path!r}, and the part {head!r} was edited: it meant {constructor(before[key])}{now}.\n"
                    "  Give the layer a name, or save its output, and read it by that name."
                )
        return faults

    def program(self, root: nn.Module, wants: tuple[str, ...], called: frozenset[int]) -> Program:
        """The program that returns these inner values besides the result, and calls these modules."""
        program = self.programs.get((wants, called))
        if program is None:
            program = make_program(root, reaching(self.wiring, wants), called)
            self.programs[wants, called] = program
            if not wants and called is self.always:
                self.usual = program
        return program


class Watched(NamedTuple):
    """A part, function or word below the root, as it was: its class, children and keys. Some are ``called`` in any case."""

    module: nn.Module
    cls: type
    children: list[Any]
    keys: list[str]
    called: bool

    @classmethod
    def of(cls, module: nn.Module) -> Watched:
        """A module as it is now."""
        called = not isinstance(module, Word) and not can_be_flat(module)
        return cls(module, type(module), list(module._modules.values()), list(module._modules), called)

    def must_be_called(self) -> bool:
        """Whether somebody could tell if this module was run in place."""
        own = vars(self.module)
        changed = "forward" in own or "_compiled_call_impl" in own or type(self.module) is not self.cls
        return changed or has_hooks(self.module)


def inside_at(root: nn.Module, path: str) -> nn.Module | None:
    """The container at a dotted path below the root, inside its wrappers."""
    module: nn.Module | None = root
    for key in path.split("."):
        module = inside(module)._modules.get(key) if module is not None else None
    return None if module is None else inside(module)


def opens(module: nn.Module) -> bool:
    """Whether the inside of a module belongs to the wiring around it."""
    return is_sequence(inside(module)) or (isinstance(module, Word | Held) and bool(module._modules))


def below(root: nn.Module) -> list[nn.Module]:
    """The parts and functions of a tree, and the words that own layers, each once."""
    found: dict[int, nn.Module] = {}
    waiting = [root]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found and (isinstance(child, Function) or opens(child)):
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


def can_be_flat(module: nn.Module) -> bool:
    """Whether a part or function is of a class that a program may run in place."""
    cls = type(module)
    calls_plainly = cls.__call__ is MODULE_CALL and cls._call_impl is MODULE_CALL_IMPL
    return calls_plainly and (cls is Function or (is_wired(module) and keeps_forward(module)) or is_plain(module))


#: What calling a module is, when nobody has changed it.
MODULE_CALL = nn.Module.__call__
MODULE_CALL_IMPL = nn.Module._call_impl
