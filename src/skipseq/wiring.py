"""The wiring of a sequence: which step reads which value, as frozen data that every stage reads.

A container is an open term. Its values are numbered: the inputs first, then what its needs bring and what its steps give,
in no particular order. A part inside it is one step with a wiring of its own, whose needs are bound to values here, and
which may be asked for inner values besides its result:

    encoder = conv, save x1, conv          decoder = conv, cat x1
    values    0          1          2      values    0     1       (need x1: 2)   3

    both    = Part encoder  takes 0, wants ("x1",), gives 1, 2
              Part decoder  takes 1, needs x1 = 2,  gives 3

Nothing here knows torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

__all__: list[str] = []

Value: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Number:
    """A constant among the operands of a step."""

    value: float


Operand: TypeAlias = Value | Number
Named: TypeAlias = tuple[tuple[str, Operand], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done: it takes values and gives values. ``key`` and ``index`` are those of its entry in the container."""

    key: str
    index: int
    takes: tuple[Operand, ...]
    gives: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Layer(Step):
    """A layer is called; ``path`` leads to it from the container. It may be that of another entry, called ``again``."""

    path: tuple[str, ...]
    named: Named = ()
    in_place: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Part(Step):
    """A container is called, with its needs, and gives its result and then the inner values that are wanted."""

    path: tuple[str, ...]
    wiring: Wiring
    named: Named = ()
    needs: Named = ()
    wants: tuple[str, ...] = ()
    plain: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """How the operands of a join are brought to one extent before they are joined.

    ``kind`` is crop, crop_end, pad, pad_center, pad_replicate or resize. ``like`` is the position of the operand whose extent
    rules; with nothing there, the smallest or the largest does. ``mode`` and ``align_corners`` are those of a resize.
    """

    kind: str
    like: int | None = None
    mode: str = "nearest"
    align_corners: bool | None = None


@dataclass(frozen=True, slots=True)
class Join(Step):
    """Values are joined by an operator, cat, add, sub or mul; with ``fit``, they are brought to one extent before."""

    operator: str
    dim: int = 1
    broadcast: bool = False
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class Pick(Step):
    """A value is indexed."""

    choice: Any = None


@dataclass(frozen=True, slots=True)
class Split(Step):
    """The parts of a tuple get values of their own."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """A container as an open term.

    ``names`` leads from each key, label and input of this container to its value; ``labels`` from each label saved
    inside, at any depth, to the paths of its saves; ``parts`` from the path of each part to its step. ``result`` is one
    value, or a tuple for several outputs, and ``wanted`` are the inner values that are returned behind it. ``readers``
    tells the place of the first reader of each need, and ``paths`` are the dotted names that are read here.
    """

    inputs: tuple[str, ...]
    closed: bool
    needs: Mapping[str, Value]
    steps: tuple[Step, ...]
    result: Value | tuple[Value, ...]
    names: Mapping[str, Value]
    labels: Mapping[str, tuple[str, ...]]
    count: int
    parts: Mapping[str, int]
    wanted: tuple[Value, ...] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()

    def results(self) -> tuple[Value, ...]:
        """All values that outlive the steps."""
        own = self.result if isinstance(self.result, tuple) else (self.result,)
        return own + self.wanted


def named_by_user(name: str) -> bool:
    """Whether a name is one that a user wrote, not the number of a layer or word."""
    return AUTOMATIC.fullmatch(name) is None and "." not in name


#: The keys of layers and words without a name.
AUTOMATIC = re.compile(r"((save|cat|add|sub|mul|call|take|pick)_)?\d+")


def reads(step: Step) -> Iterator[Value]:
    """The values that a step reads, in the order in which it takes them."""
    for operand in step.takes:
        if isinstance(operand, int):
            yield operand
    if isinstance(step, Layer | Part):
        yield from (operand for _, operand in step.named if isinstance(operand, int))
    if isinstance(step, Part):
        yield from (operand for _, operand in step.needs if isinstance(operand, int))


def part_at(wiring: Wiring, path: str) -> tuple[int, str] | None:
    """The position of the part that the path leads into, and the rest of the path inside it."""
    for end in (i for i, letter in enumerate(path) if letter == "."):
        if path[:end] in wiring.parts:
            return wiring.parts[path[:end]], path[end + 1 :]
    return None


def value_at(wiring: Wiring, path: str) -> Value | None:
    """The value of this container that the path means, if it is one of its own or the result of a part."""
    if path == "input":
        return 0
    if path in wiring.names:
        return wiring.names[path]
    if (found := part_at(wiring, path)) is None:
        return None
    step = wiring.steps[found[0]]
    assert isinstance(step, Part)
    inner = value_at(step.wiring, found[1])
    return step.gives[0] if inner is not None and inner == step.wiring.result else None


def reachable(wiring: Wiring, path: str) -> bool:
    """Whether the path leads to a value of this container or of a part inside it."""
    if path == "input" or path in wiring.names:
        return True
    found = part_at(wiring, path)
    if found is None:
        return False
    step = wiring.steps[found[0]]
    return isinstance(step, Part) and reachable(step.wiring, found[1])


def reaching(wiring: Wiring, paths: tuple[str, ...]) -> Wiring:
    """The same wiring, which returns the values at these paths behind its result."""
    if not paths:
        return wiring
    steps = list(wiring.steps)
    count = wiring.count
    wanted = []
    for path in paths:
        value = value_at(wiring, path)
        if value is None:
            found = part_at(wiring, path)
            if found is None:
                raise LookupError(path)
            i, rest = found
            step = steps[i]
            assert isinstance(step, Part)
            if rest in step.wants:
                value = step.gives[1 + step.wants.index(rest)]
            else:
                value, count = count, count + 1
                steps[i] = replace(step, wants=(*step.wants, rest), gives=(*step.gives, value))
        wanted.append(value)
    return replace(wiring, steps=tuple(steps), count=count, wanted=wiring.wanted + tuple(wanted))


def only_needed(wiring: Wiring) -> Wiring:
    """The same wiring without the steps that none of its results needs."""
    live = set(wiring.results())
    steps: list[Step] = []
    for step in reversed(wiring.steps):
        if live.isdisjoint(step.gives):
            continue
        live.update(reads(step))
        steps.append(step)
    kept = tuple(reversed(steps))
    parts = {".".join(step.path): i for i, step in reversed([*enumerate(kept)]) if isinstance(step, Part)}
    return replace(wiring, steps=kept, parts=parts)


def place_of(step: Step) -> str:
    """How a step is reached from its container in Python: ``.decoder`` or ``[2]``."""
    return f".{step.key}" if isinstance(step, Part) and step.key.isidentifier() else f"[{step.index}]"


def first_overwrite(wiring: Wiring, value: Value) -> str | None:
    """The place of the first step that changes this value in place, directly or inside a part."""
    for step in wiring.steps:
        if (place := overwrite_in(step, value)) is not None:
            return place
    return None


def overwrite_in(step: Step, value: Value) -> str | None:
    """The place inside this step where the value is changed in place."""
    if isinstance(step, Layer):
        return place_of(step) if step.in_place and step.takes[:1] == (value,) else None
    if isinstance(step, Part):
        bound: dict[Value, Operand] = dict(enumerate(step.takes))
        bound |= {step.wiring.names[name]: operand for name, operand in step.named if name in step.wiring.inputs}
        bound |= {step.wiring.needs[name]: operand for name, operand in step.needs}
        for inner, outer in bound.items():
            if outer == value and (place := first_overwrite(step.wiring, inner)) is not None:
                return place_of(step) + place
    return None


def find_overwrites(wiring: Wiring) -> list[tuple[Value, str, str]]:
    """Each value that a layer changes in place while a later step, or the result, still reads it.

    Returns the value, the place of the layer and the place of the reader, empty for the end.
    """
    last_reader: dict[Value, tuple[int, str]] = {}
    for i, step in enumerate(wiring.steps):
        last_reader.update({value: (i, place_of(step)) for value in reads(step)})
    last_reader.update({value: (len(wiring.steps), "") for value in wiring.results()})
    found = []
    for i, step in enumerate(wiring.steps):
        if not isinstance(step, Layer | Part):
            continue
        for value in dict.fromkeys(reads(step)):
            later, reader = last_reader[value]
            if later > i and (place := overwrite_in(step, value)) is not None:
                found.append((value, place, reader))
    for step in wiring.steps:
        if isinstance(step, Part) and step.wants:
            inner = reaching(step.wiring, step.wants)
            known = find_overwrites(step.wiring)
            fresh = [fault for fault in find_overwrites(inner) if fault not in known]
            found += [(step.gives[0], place_of(step) + place, reader and place_of(step) + reader) for _, place, reader in fresh]
    return found
