"""From a wiring to a flat program, and its execution.

A program is one line of instructions for a whole tree: parts that nobody could tell from their insides are run in place.
The running value travels in one variable, ``x``; a value that is read later is kept in a slot from its birth to its last
reader:

    conv, save("x1"), conv, cat("x1")      CALL  conv
                                           KEEP  0            slots[0] = x
                                           CALL  conv
                                           PAIR  cat(x, 0)    slots[0] = None

A program holds modules, so it is good for one call only if the tree is still the one that it was made for:
:class:`skipseq.run.plan.Plan` sees to that at every call.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skipseq.check import join_fault, note_place, overwrite_fault, pass_through, returned_fault
from skipseq.declare.functions import Function
from skipseq.wiring import Join, Layer, Number, Operand, Part, Pick, Step, Value, Wiring, reaching

from .walk import RETURN, child_at, join

__all__ = ["Program", "execute", "make_program"]

# The kinds of instructions.
CALL, KEEP, LOAD, PAIR, MANY = range(5)
#: The operand that is the running value rather than a slot.
RUNNING = -1


class Place(NamedTuple):
    """Where an operation stands: the containers around it, each with its wiring and the step taken.

    The first is the root, which is left out: a program must not keep alive the network that keeps it.
    ``operands`` are those of the operation, in the order of the operands of its step.
    """

    chain: tuple[tuple[nn.Module | None, Any, Any], ...]
    operands: tuple[Operand, ...]


@dataclass(slots=True)
class Operation:
    """One thing done in a flat line of operations; its values are numbered over the whole tree."""

    kind: str
    function: Callable[..., Any]
    takes: tuple[Operand, ...]
    gives: tuple[Value, ...]
    place: Place
    named: tuple[tuple[str, Operand], ...] = ()


Instruction = tuple[int, Any, Any, Place | None]


class Many(NamedTuple):
    """The operands of an instruction with several of them: slots, the running value, and constants."""

    takes: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...]
    gives: tuple[int, ...]
    several: bool
    drops: tuple[int, ...]
    check: bool


@dataclass(frozen=True, slots=True)
class Program:
    """The instructions for one call.

    ``kept`` are the values that wait in slots, by slot; ``given`` the slots of further inputs and of needs; ``results``
    tells where the returned values are, the last ``wanted`` of them behind the result, which is ``single`` or a tuple.
    """

    wiring: Wiring
    instructions: tuple[Instruction, ...]
    size: int
    kept: tuple[Value, ...]
    given: tuple[tuple[Value, int], ...]
    results: tuple[int, ...]
    single: bool
    wanted: int
    collected: bool


# Flattening: a tree of wirings becomes one line of operations


class Line:
    """Collects the operations of a tree."""

    def __init__(self, root: nn.Module, called: frozenset[int]) -> None:
        self.root = root
        self.called = called
        self.operations: list[Operation] = []
        self.count = 0

    def new(self) -> Value:
        self.count += 1
        return self.count - 1

    def add(self, container: nn.Module, wiring: Wiring, values: dict[Value, Value], chain: tuple[Any, ...]) -> None:
        """The operations of one container, whose values are renamed by ``values``."""
        held = None if container is self.root else container
        for step in wiring.steps:
            takes = tuple(rename(values, operand) for operand in step.takes)
            named = tuple((name, rename(values, operand)) for name, operand in named_operands(step))
            place = Place((*chain, (held, wiring, step)), (*takes, *(operand for _, operand in named)))
            if isinstance(step, Part):
                self.add_part(child_at(container, step.path), step, takes, named, values, place)
                continue
            gives = tuple(self.new() for _ in step.gives)
            values.update(zip(step.gives, gives, strict=True))
            kind, function = self.function_of(container, step)
            self.operations.append(Operation(kind, function, takes, gives, place, named))

    def function_of(self, container: nn.Module, step: Step) -> tuple[str, Callable[..., Any]]:
        """The kind of an operation, and what it calls."""
        if isinstance(step, Layer):
            layer = child_at(container, step.path)
            plain = isinstance(layer, Function) and id(layer) not in self.called
            return "layer", layer.function if plain else layer  # type: ignore[return-value]
        if isinstance(step, Join):
            return "join", joiner(step)
        if isinstance(step, Pick):
            return "layer", operator.itemgetter(step.choice)
        return "split", partial(split, len(step.gives))

    def add_part(
        self,
        module: nn.Module,
        step: Part,
        takes: tuple[Operand, ...],
        named: Any,
        values: dict[Value, Value],
        place: Place,
    ) -> None:
        """A part: its operations in place, or one operation that calls it."""
        if id(module) in self.called:
            gives = tuple(self.new() for _ in step.gives)
            values.update(zip(step.gives, gives, strict=True))
            kind = "part" if step.wants else "layer"
            self.operations.append(Operation(kind, caller(module, step), takes, gives, place, named))
            return
        inner = reaching(step.wiring, step.wants)
        own: dict[Value, Any] = dict(enumerate(takes))
        own |= {inner.needs[name] if name in inner.needs else inner.names[name]: value for name, value in named}
        self.add(module, inner, own, place.chain)
        if isinstance(inner.result, tuple):
            result = self.new()
            packed = tuple(own[each] for each in inner.result)
            self.operations.append(Operation("pack", pack, packed, (result,), Place(place.chain, packed)))
        else:
            result = own[inner.result]
        values.update(zip(step.gives, (result, *(own[each] for each in inner.wanted)), strict=True))


def named_operands(step: Step) -> tuple[tuple[str, Operand], ...]:
    """The operands that a step takes by name."""
    if isinstance(step, Part):
        return (*step.named, *step.needs)
    return step.named if isinstance(step, Layer) else ()


def rename(values: dict[Value, Value], operand: Operand) -> Operand:
    return operand if isinstance(operand, Number) else values[operand]


def joiner(step: Join) -> Callable[..., Any]:
    """The function of a join; of two values where torch has one."""
    if step.operator == "cat":
        return partial(concatenate, step.dim)
    if len(step.takes) == 2:
        return PAIRS[step.operator]
    return partial(fold, step.operator)


PAIRS: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def concatenate(dim: int, *values: Any) -> Any:
    return torch.cat(values, dim)


def fold(name: str, *values: Any) -> Any:
    return join(name, values)


def split(count: int, value: Any) -> tuple[Any, ...]:
    """The value itself, which runs on, and its parts."""
    return (value, *(value[i] for i in range(count)))


def pack(*values: Any) -> tuple[Any, ...]:
    return values


def caller(module: nn.Module, step: Part) -> Callable[..., Any]:
    """The call of a part that returns inner values besides its result."""
    if step.plain and (step.wants or step.needs):
        from .sequential import Sequential

        module = Sequential.of(module)  # type: ignore[arg-type]
    return partial(module, **{RETURN: step.wants}) if step.wants else module


# Lowering: operations become instructions over slots


def make_program(root: nn.Module, wiring: Wiring, called: frozenset[int]) -> Program:
    """The program of a container, in which the modules of these identities are called rather than run in place."""
    line = Line(root, called)
    values = {value: line.new() for value in given_values(wiring)}
    starts = dict(values)
    line.add(root, wiring, values, ())
    results = tuple(values[each] for each in wiring.results())
    lowering = Lowering(line.operations, results, starts[0])
    given = tuple((value, lowering.slot(starts[value])) for value in starts if value and starts[value] in lowering.last)
    instructions = tuple(lowering.lower())
    where = tuple(lowering.where(each) for each in results)
    return Program(
        wiring=wiring,
        instructions=instructions,
        size=len(lowering.slots),
        kept=tuple(lowering.slots),
        given=given,
        results=where,
        single=not isinstance(wiring.result, tuple),
        wanted=len(wiring.wanted),
        collected=isinstance(wiring.result, tuple) or where != (RUNNING,),
    )


def given_values(wiring: Wiring) -> list[Value]:
    """The values that a call brings: inputs and needs."""
    return [*range(len(wiring.inputs)), *wiring.needs.values()]


class Lowering:
    """Decides for each value whether it travels as the running value or waits in a slot."""

    def __init__(self, operations: list[Operation], results: tuple[Value, ...], first: Value) -> None:
        self.operations = operations
        self.current = first
        self.slots: dict[Value, int] = {}
        self.kept: list[Value] = []
        self.out: list[Instruction] = []
        self.readers: dict[Value, list[int]] = {}
        for i, operation in enumerate(operations):
            for value in operand_values(operation):
                self.readers.setdefault(value, []).append(i)
        for value in results:
            self.readers.setdefault(value, []).append(len(operations))
        self.last = {value: readers[-1] for value, readers in self.readers.items()}

    def slot(self, value: Value) -> int:
        """The slot of a value, a new one if it has none."""
        if value not in self.slots:
            self.slots[value] = len(self.slots)
            self.kept.append(value)
        return self.slots[value]

    def where(self, value: Value) -> int:
        return RUNNING if value == self.current else self.slots[value]

    def lower(self) -> list[Instruction]:
        self.keep(self.current, 0)
        for i, operation in enumerate(self.operations):
            self.load(i, operation)
            self.emit(i, operation)
            if operation.kind != "split":
                self.current = operation.gives[0]
                self.keep(self.current, i + 1)
        return self.out

    def keep(self, value: Value, i: int) -> None:
        """Keeps the running value if someone reads it who does not find it running."""
        while i < len(self.operations) and self.operations[i].kind == "split":
            i += 1
        if self.last.get(value, -1) > i:
            self.out.append((KEEP, None, self.slot(value), None))

    def load(self, i: int, operation: Operation) -> None:
        """Makes sure that the running value is one of the operands."""
        values = operand_values(operation)
        if values and self.current not in values:
            first = values[0]
            drop = self.last[first] == i
            self.out.append((LOAD, None, (self.slots[first], drop), operation.place))
            self.current = first

    def emit(self, i: int, operation: Operation) -> None:
        """The instruction of an operation, in the shortest form that it has."""
        takes = tuple(self.at(operand) for operand in operation.takes)
        joins = operation.kind == "join"
        if takes == (RUNNING,) and not operation.named and operation.kind == "layer":
            self.out.append((CALL, operation.function, None, operation.place))
            return
        step = operation.place.chain[-1][2]
        check = isinstance(step, Join) and step.operator != "cat" and not step.broadcast
        slots = {each for each in takes if isinstance(each, int) and each != RUNNING}
        if joins and len(takes) == 2 and len(slots) == 1 and RUNNING in takes:
            (slot,) = slots
            drop = self.ends(slot, i)
            self.out.append((PAIR, operation.function, (slot, takes[0] == RUNNING, drop, check), operation.place))
            return
        named = tuple((name, self.at(operand)) for name, operand in operation.named)
        slots |= {each for _, each in named if isinstance(each, int) and each != RUNNING}
        drops = tuple(slot for slot in slots if self.ends(slot, i))
        further = operation.gives if operation.kind == "split" else operation.gives[1:]
        gives = tuple(self.slot(value) if value in self.last else RUNNING for value in further)
        several = operation.kind in ("part", "split")
        many = Many(takes, named, gives, several, drops, check)
        self.out.append((MANY, operation.function, many, operation.place))

    def at(self, operand: Operand) -> Any:
        """Where an operand is: a slot, the running value, or itself if it is a constant."""
        if isinstance(operand, Number):
            return operand
        return RUNNING if operand == self.current else self.slots[operand]

    def ends(self, slot: int, i: int) -> bool:
        """Whether operation ``i`` is the last reader of the value in a slot."""
        return self.last[self.kept[slot]] == i


def operand_values(operation: Operation) -> list[Value]:
    """The values that an operation reads."""
    operands = (*operation.takes, *(operand for _, operand in operation.named))
    return [operand for operand in operands if not isinstance(operand, Number)]


# Execution


class Overwritten(Exception):
    """The value in a slot was changed in place since it was kept."""


class Misfit(Exception):
    """Values of different shapes meet where nothing is broadcast."""


def execute(root: nn.Module, program: Program, x: Any, values: dict[Value, Any] | None) -> Any:
    """Runs the program of a root on its first input ``x``; ``values`` holds the other inputs and the needs."""
    slots: list[Any] = [None] * program.size
    versions: list[int | None] = [None] * program.size
    watch = bool(program.size) and not torch.is_inference_mode_enabled()
    code = CALL
    place = arg = y = None
    try:
        if values:
            receive(program, values, slots, versions, watch)
            values = None
        for code, function, arg, place in program.instructions:
            if code == CALL:
                x = function(x)
            elif code == KEEP:
                slots[arg] = x
                if watch:
                    versions[arg] = version(x)
            elif code == PAIR:
                slot, running_first, drop, check = arg
                y = slots[slot]
                if drop:
                    slots[slot] = None
                if versions[slot] is not None and versions[slot] != y._version:
                    raise Overwritten(slot)
                if check and x.__class__ is y.__class__ and x.shape != y.shape:
                    raise Misfit
                x = function(x, y) if running_first else function(y, x)
                y = None
            elif code == LOAD:
                slot, drop = arg
                x = slots[slot]
                if drop:
                    slots[slot] = None
                if versions[slot] is not None and versions[slot] != x._version:
                    raise Overwritten(slot)
            else:
                y = gather(arg, x, slots, versions)
                x = scatter(arg, function(*y[0], **y[1]), slots, versions, watch)
                y = None
        place = None
        return collect(program, x, slots, versions) if program.collected else x
    except Exception as error:
        met = (y[0] if code == MANY and y else (x, y) if code == PAIR and arg and arg[1] else (y, x))
        told = explain(error, root, program, place, met)
        if told is error:
            raise
        raise told from None


def receive(program: Program, values: dict[Value, Any], slots: list[Any], versions: list[Any], watch: bool) -> None:
    """Puts the further inputs and the needs into their slots."""
    for value, slot in program.given:
        slots[slot] = values[value]
        versions[slot] = version(values[value]) if watch else None


def gather(many: Many, x: Any, slots: list[Any], versions: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of an instruction with several operands."""
    for operand in (*many.takes, *(operand for _, operand in many.named)):
        if type(operand) is int and operand != RUNNING and versions[operand] is not None:
            if versions[operand] != slots[operand]._version:
                raise Overwritten(operand)
    takes = [fetch(operand, x, slots) for operand in many.takes]
    named = {name: fetch(operand, x, slots) for name, operand in many.named}
    for slot in many.drops:
        slots[slot] = None
    if many.check and len({value.shape for value in takes if isinstance(value, Tensor)}) > 1:
        raise Misfit
    return takes, named


def fetch(operand: Any, x: Any, slots: list[Any]) -> Any:
    """The value of an operand: the running value, a slot, or a constant."""
    if type(operand) is int:
        return x if operand == RUNNING else slots[operand]
    return operand.value


def scatter(many: Many, result: Any, slots: list[Any], versions: list[Any], watch: bool) -> Any:
    """The new running value; what was given besides it goes into its slots."""
    if not many.several:
        return result
    for slot, value in zip(many.gives, result[1:], strict=True):
        if slot != RUNNING:
            slots[slot] = value
            versions[slot] = version(value) if watch else None
    return result[0]


def collect(program: Program, x: Any, slots: list[Any], versions: list[Any]) -> Any:
    """What the call returns, where it is more than the running value."""
    for slot in program.results:
        if slot != RUNNING and versions[slot] is not None and versions[slot] != slots[slot]._version:
            raise Overwritten(slot)
    values = [x if slot == RUNNING else slots[slot] for slot in program.results]
    own = len(values) - program.wanted
    result = values[0] if program.single else tuple(values[:own])
    return (result, *values[own:]) if program.wanted else result


def version(value: Any) -> int | None:
    """How often a tensor was changed in place, where that is counted."""
    try:
        return value._version  # type: ignore[no-any-return]
    except (AttributeError, RuntimeError):  # no tensor, or one made in inference mode
        return None


def explain(error: Exception, root: nn.Module, program: Program, place: Place | None, met: Any) -> BaseException:
    """The error to raise: ours where the reason is known, else the layer's own with a note of the place."""
    if place is None:
        if not isinstance(error, Overwritten):
            return error
        return returned_fault(program.wiring, program.results.index(error.args[0]))
    held, wiring, step = place.chain[-1]
    container = held or root
    told: BaseException = error
    if isinstance(error, Overwritten):
        operands = step_operands(step)
        told = overwrite_fault(wiring, step, operands[place.operands.index(program.kept[error.args[0]])])
    elif isinstance(step, Join):
        told = join_fault(container, wiring, step, met) or error
    elif isinstance(step, Part):
        told = pass_through(error, wiring, step)
    elif isinstance(step, Layer):
        note_place(error, step, child_at(container, step.path))
    for _, outer, part in reversed(place.chain[:-1]):
        told = pass_through(told, outer, part)
    return told


def step_operands(step: Step) -> tuple[Any, ...]:
    """The operands of a step, in the order in which an operation lists them."""
    return (*step.takes, *(operand for _, operand in named_operands(step)))
