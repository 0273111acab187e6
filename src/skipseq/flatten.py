"""A tree of wirings as one line of operations: the parts are run in place, all but those that must be called.

What runs a network, what checks it and what draws it follow the same line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from skipseq.declare.containers import child_at
from skipseq.wiring import Join, Layer, Number, Operand, Part, Pick, Step, Value, Wiring, place_of, reaching

__all__ = ["Line", "OpenedPart", "Operation", "Place", "named_operands"]


class Place(NamedTuple):
    """Where an operation stands: the containers around it, each with its wiring and the step taken.

    The first is the root, which is left out: a program must not keep alive the network that keeps it. At the end of a
    container there is no step. ``operands`` are those of the operation, in the order of the operands of its step.
    """

    chain: tuple[tuple[nn.Module | None, Wiring, Any], ...]
    operands: tuple[Operand, ...]

    def keys(self) -> tuple[str, ...]:
        """The keys that lead from the root to the operation: of a layer to itself, of a word to the word.

        A layer that is called again has the keys of the word that does so.
        """
        step = self.chain[-1][2]
        outer = tuple(key for _, _, part in self.chain[:-1] for key in part.path)
        if step is None:
            return outer
        own = isinstance(step, Layer | Part) and not step.again
        return (*outer, *(step.path if own else (step.key,)))

    def text(self) -> str:
        """How the operation is reached from the root in Python: ``.encoder[2]``."""
        outer = "".join(place_of(part) for _, _, part in self.chain[:-1])
        step = self.chain[-1][2]
        return outer + (place_of(step) if step is not None else "")


@dataclass(slots=True)
class Operation:
    """One thing done: ``kind`` is layer, part (a container that is called), join, pick, split or pack."""

    kind: str
    module: nn.Module | None
    takes: tuple[Operand, ...]
    gives: tuple[Value, ...]
    place: Place
    named: tuple[tuple[str, Operand], ...] = ()

    def reads(self) -> list[Value]:
        """The values that it reads."""
        return [operand for operand in self.place.operands if not isinstance(operand, Number)]


class OpenedPart(NamedTuple):
    """A container that was run in place: its operations are those from ``first`` to before ``end``."""

    container: nn.Module
    place: Place
    first: int
    end: int


class Line:
    """Collects the operations of a tree, whose values are numbered over the whole tree.

    Args:
        root: the container at the top.
        opened: tells for the module of a part which container is run in place of it, or nothing if it must be called.
    """

    def __init__(self, root: nn.Module, opened: Callable[[nn.Module], nn.Module | None]) -> None:
        self.root = root
        self.opened = opened
        self.operations: list[Operation] = []
        self.count = 0
        #: The containers that were run in place, and the names that a user has for the values, as keys from the root.
        self.opened_parts: list[OpenedPart] = []
        self.names: dict[Value, list[tuple[str, ...]]] = {}

    def new(self) -> Value:
        """A value that was not there before."""
        self.count += 1
        return self.count - 1

    def add_root(self, wiring: Wiring) -> tuple[dict[Value, Value], tuple[Value, ...]]:
        """The operations of the root; returns the values that a call gives, by those of its wiring, and the results."""
        values: dict[Value, Any] = {value: self.new() for value in (*range(len(wiring.inputs)), *wiring.needs.values())}
        given = dict(values)
        self.add(self.root, wiring, values)
        return given, tuple(values[each] for each in wiring.results())

    def add(self, container: nn.Module, wiring: Wiring, values: dict[Value, Any], chain: tuple[Any, ...] = ()) -> None:
        """The operations of one container; ``values`` leads from its values to those of the line."""
        held = None if container is self.root else container
        for step in wiring.steps:
            takes = tuple(renamed(values, operand) for operand in step.takes)
            named = tuple((name, renamed(values, operand)) for name, operand in named_operands(step))
            place = Place((*chain, (held, wiring, step)), (*takes, *(operand for _, operand in named)))
            module = child_at(container, step.path) if isinstance(step, Layer | Part) else None
            if isinstance(step, Part) and module is not None and (inner := self.opened(module)) is not None:
                self.add_in_place(inner, step, takes, named, values, place)
                continue
            gives = tuple(self.new() for _ in step.gives)
            values.update(zip(step.gives, gives, strict=True))
            self.operations.append(Operation(kind_of(step), module, takes, gives, place, named))
        keys = tuple(key for _, _, part in chain for key in part.path)
        for name, value in wiring.names.items():
            if value in values:
                self.names.setdefault(values[value], []).append((*keys, name))

    def add_in_place(
        self, container: nn.Module, step: Part, takes: Any, named: Any, values: dict[Value, Any], place: Place
    ) -> None:
        """The operations of a part; its results become values of the container around it."""
        inner = reaching(step.wiring, step.wants)
        own: dict[Value, Any] = dict(enumerate(takes))
        own |= {inner.needs[name] if name in inner.needs else inner.names[name]: value for name, value in named}
        first = len(self.operations)
        self.add(container, inner, own, place.chain)
        self.opened_parts.append(OpenedPart(container, place, first, len(self.operations)))
        if isinstance(inner.result, tuple):
            result = self.new()
            packed = tuple(own[each] for each in inner.result)
            end = Place((*place.chain, (container, inner, None)), packed)
            self.operations.append(Operation("pack", None, packed, (result,), end))
        else:
            result = own[inner.result]
        values.update(zip(step.gives, (result, *(own[each] for each in inner.wanted)), strict=True))


def kind_of(step: Step) -> str:
    """The kind of the operation that a step is."""
    if isinstance(step, Layer | Part):
        return "layer" if isinstance(step, Layer) else "part"
    return "join" if isinstance(step, Join) else "pick" if isinstance(step, Pick) else "split"


def named_operands(step: Step) -> tuple[tuple[str, Operand], ...]:
    """The operands that a step takes by name."""
    if isinstance(step, Part):
        return (*step.named, *step.needs)
    return step.named if isinstance(step, Layer) else ()


def renamed(values: dict[Value, Any], operand: Operand) -> Operand:
    """An operand by the values of the line."""
    return operand if isinstance(operand, Number) else values[operand]
