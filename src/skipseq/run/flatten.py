"""A tree of wirings as one line of operations: parts that nobody could tell from their insides are run in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from skipseq.declare.containers import wired_class
from skipseq.declare.functions import Function
from skipseq.wiring import Join, Layer, Number, Operand, Part, Pick, Step, Value, Wiring, reaching

from .walk import RETURN, child_at, refuse_closed

__all__ = ["Line", "Operation", "Place", "named_operands"]


class Place(NamedTuple):
    """Where an operation stands: the containers around it, each with its wiring and the step taken.

    The first is the root, which is left out: a program must not keep alive the network that keeps it. At the end of a
    container there is no step. ``operands`` are those of the operation, in the order of the operands of its step.
    """

    chain: tuple[tuple[nn.Module | None, Any, Any], ...]
    operands: tuple[Operand, ...]


@dataclass(slots=True)
class Operation:
    """One thing done: ``kind`` is layer, part (a call that gives inner values too), join, pick, split or pack."""

    kind: str
    function: Any
    takes: tuple[Operand, ...]
    gives: tuple[Value, ...]
    place: Place
    named: tuple[tuple[str, Operand], ...] = ()

    def reads(self) -> list[Value]:
        """The values that it reads."""
        return [operand for operand in self.place.operands if not isinstance(operand, Number)]


class Line:
    """Collects the operations of a tree, whose values are numbered over the whole tree."""

    def __init__(self, root: nn.Module, called: frozenset[int]) -> None:
        self.root = root
        self.called = called
        self.operations: list[Operation] = []
        self.count = 0

    def new(self) -> Value:
        """A value that was not there before."""
        self.count += 1
        return self.count - 1

    def add(self, container: nn.Module, wiring: Wiring, values: dict[Value, Any], chain: tuple[Any, ...] = ()) -> None:
        """The operations of one container; ``values`` leads from its values to those of the line."""
        held = None if container is self.root else container
        for step in wiring.steps:
            takes = tuple(renamed(values, operand) for operand in step.takes)
            named = tuple((name, renamed(values, operand)) for name, operand in named_operands(step))
            place = Place((*chain, (held, wiring, step)), (*takes, *(operand for _, operand in named)))
            if isinstance(step, Part):
                module = child_at(container, step.path)
                if id(module) not in self.called:
                    self.add_in_place(module, step, takes, named, values, place)
                    continue
            gives = tuple(self.new() for _ in step.gives)
            values.update(zip(step.gives, gives, strict=True))
            kind, function = self.function_of(container, step)
            self.operations.append(Operation(kind, function, takes, gives, place, named))

    def function_of(self, container: nn.Module, step: Step) -> tuple[str, Any]:
        """The kind of an operation, and what it calls, if it calls something."""
        if isinstance(step, Layer):
            layer = child_at(container, step.path)
            bare = isinstance(layer, Function) and id(layer) not in self.called
            return "layer", layer.function if bare else layer
        if isinstance(step, Part):
            return ("part" if step.wants else "layer"), self.called_part(child_at(container, step.path), step)
        kind = "join" if isinstance(step, Join) else "pick" if isinstance(step, Pick) else "split"
        return kind, None

    def called_part(self, module: nn.Module, step: Part) -> Callable[..., Any]:
        """The call of a part, asked for the inner values that are wanted."""
        if step.plain and (step.wants or step.needs):
            # A plain sequence knows nothing of skips: one of ours with its layers and hooks stands in for it.
            refuse_closed(module, step)
            module = wired_class(self.root).of(module)
        return partial(module, **{RETURN: step.wants}) if step.wants else module

    def add_in_place(
        self, module: nn.Module, step: Part, takes: Any, named: Any, values: dict[Value, Any], place: Place
    ) -> None:
        """The operations of a part; its results become values of the container around it."""
        inner = reaching(step.wiring, step.wants)
        own: dict[Value, Any] = dict(enumerate(takes))
        own |= {inner.needs[name] if name in inner.needs else inner.names[name]: value for name, value in named}
        self.add(module, inner, own, place.chain)
        if isinstance(inner.result, tuple):
            result = self.new()
            packed = tuple(own[each] for each in inner.result)
            end = Place((*place.chain, (module, inner, None)), packed)
            self.operations.append(Operation("pack", None, packed, (result,), end))
        else:
            result = own[inner.result]
        values.update(zip(step.gives, (result, *(own[each] for each in inner.wanted)), strict=True))


def named_operands(step: Step) -> tuple[tuple[str, Operand], ...]:
    """The operands that a step takes by name."""
    if isinstance(step, Part):
        return (*step.named, *step.needs)
    return step.named if isinstance(step, Layer) else ()


def renamed(values: dict[Value, Any], operand: Operand) -> Operand:
    """An operand by the values of the line."""
    return operand if isinstance(operand, Number) else values[operand]
