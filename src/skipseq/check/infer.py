"""The walk of a check: every operation of a network once, over fake values, without computing and without memory.

A fault does not end the walk: the value behind it is what the repair would give, where one is known, and otherwise unknown;
what reads an unknown value is passed over. So one walk finds every fault that can be known.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from skipseq.declare.constructors import constructor
from skipseq.declare.containers import inside, is_plain, is_wired, keeps_forward
from skipseq.declare.functions import Function
from skipseq.declare.projection import PadChannels, Projection
from skipseq.declare.words import CallWord, JoinWord, PickWord, Word, write_call, write_index
from skipseq.errors import Met, ValueFault
from skipseq.flatten import Line, Operation, named_operands
from skipseq.joins import join, joinable
from skipseq.wiring import Join, Layer, Number, Part, Pick, Split, Value, Wiring

from .elsewhere import change_source, larger_input, padding, works_on_tokens
from .explain import join_fault, overwrite_fault, pass_through, pick_fault, returned_fault, split_fault
from .layers import LayerPlace, explain_layer, find_type_fault
from .repairs import Meeting, repair_join
from .stand_ins import StandIns, lazy_inside

__all__ = [
    "EXPLAINED",
    "UNKNOWN",
    "Inference",
    "apart",
    "entry_text",
    "opened_in_check",
    "storage_of",
    "tensors_in",
    "untouched_random",
]

#: What stands for a value that is not known, because of a fault before it.
UNKNOWN = object()


#: For so many faults, repairs are looked for that take another walk: a check of many layers with many faults ends in time.
SEARCHED = 10


def opened_in_check(module: nn.Module) -> nn.Module | None:
    """The container whose operations are walked in place of a module; nothing if its own forward must be called."""
    container = inside(module)
    return container if is_plain(container) or (is_wired(container) and keeps_forward(container)) else None


class Inference:
    """One walk over fake values.

    Args:
        root: the network.
        wiring: its wiring.
        given: fake values for its inputs and needs.
        world: makes the stand-ins of its layers.
        count: whether multiply-adds are counted.
        limit: how many faults are looked for: a probe of another size stops at the first.
        instead: layers to run instead of others, by their identity: what if they were written so?
    """

    def __init__(
        self,
        root: nn.Module,
        wiring: Wiring,
        given: Mapping[Value, Any],
        world: StandIns,
        count: bool = False,
        limit: int | None = None,
        instead: Mapping[int, nn.Module] | None = None,
    ) -> None:
        self.root, self.wiring, self.world, self.limit = root, wiring, world, limit
        self.given_before, self.instead = given, instead or {}
        self.line = Line(root, opened_in_check)
        inputs, self.results = self.line.add_root(wiring)
        self.given = {start: given[value] for value, start in inputs.items()}
        self.values: dict[Value, Any] = dict(self.given)
        self.faults: list[ValueFault] = []
        #: Whether this walk only tries something: then it looks for no repairs that take another walk.
        self.probing = limit is not None
        #: The operations whose values depend on numbers, which a check does not have.
        self.undecided: list[int] = []
        #: The operation that changed a storage in place last, and the giver of each value.
        self.changed: dict[int, int] = {}
        self.givers: dict[Value, int] = dict.fromkeys(self.given, -1)
        self.multiply_adds: dict[int, int] = {}
        #: For each lazy layer, the arguments that it receives.
        self.received: list[tuple[nn.Module, tuple[Any, ...]]] = []
        self.counter = FlopCounterMode(display=False) if count else None
        self.last: dict[Value, int] = {}
        for i, operation in enumerate(self.line.operations):
            self.last.update(dict.fromkeys(operation.reads(), i))
        self.last.update(dict.fromkeys(self.results, len(self.line.operations)))

    def walk(self, until: int | None = None) -> None:
        """Runs every operation, or the first ones, and looks at what is returned."""
        for i, operation in enumerate(self.line.operations[:until]):
            if self.limit is not None and len(self.faults) >= self.limit:
                return
            self.run(i, operation)
        for index, value in enumerate(self.results if until is None else ()):
            if (by := self.overwritten(value)) is not None:
                self.note(returned_fault(self.wiring, index), by)

    def run(self, i: int, operation: Operation) -> None:
        """One operation: its values, or a fault."""
        takes = [each.value if isinstance(each, Number) else self.values[each] for each in operation.takes]
        named = {name: each.value if isinstance(each, Number) else self.values[each] for name, each in operation.named}
        given: Sequence[Any] = [UNKNOWN] * len(operation.gives)
        if all(each is not UNKNOWN for each in (*takes, *named.values())):
            self.look_for_overwritten(i, operation)
            before = [(each, each._version) for each in tensors_in((takes, named))]
            try:
                given = self.type_fault(operation, takes, named) or self.results_of(i, operation, takes, named)
            except Exception as error:
                if is_undecided(error):
                    self.undecided.append(i)
                else:
                    given = self.repaired(i, error, takes, named) or given
            self.changed.update({storage_of(tensor): i for tensor, version in before if tensor._version != version})
        for value, result in zip(operation.gives, given, strict=True):
            self.values[value] = result
            self.givers[value] = i

    def results_of(self, i: int, operation: Operation, takes: list[Any], named: dict[str, Any]) -> Sequence[Any]:
        """The values that an operation gives."""
        step = operation.place.chain[-1][2]
        if operation.kind == "pack":
            return (tuple(takes),)
        if isinstance(step, Pick):
            with self.world.mode:
                return (takes[0][step.choice],)
        if isinstance(step, Split):
            if not isinstance(takes[0], tuple | list) or len(takes[0]) != len(operation.gives):
                raise ValueError("not a tuple of this length")
            return tuple(takes[0])
        if isinstance(step, Join):
            if not joinable(step, [tuple(each.shape) if isinstance(each, Tensor) else None for each in takes]):
                raise ValueError("shapes that do not fit")
            with self.world.mode:
                return (join(step, takes),)
        return self.called(i, operation, takes, named)

    def called(self, i: int, operation: Operation, takes: list[Any], named: dict[str, Any]) -> Sequence[Any]:
        """The values that a layer, or a part as a whole, gives."""
        step, module = operation.place.chain[-1][2], operation.module
        assert module is not None
        if isinstance(step, Part) and step.wants:
            named = {**named, "return": step.wants}
        if lazy_inside(module):
            module, received = self.world.grown(module, takes, named)
            self.received += received
        module = self.instead.get(id(module), module)
        stand_in: Callable[..., Any] = module.function if isinstance(module, Function) else self.world.module(module)
        with self.world.mode:
            if self.counter is None:
                given = stand_in(*takes, **named)
            else:
                with self.counter, sdpa_kernel(SDPBackend.MATH):  # which is made of products that can be counted
                    given = stand_in(*takes, **named)
                count = self.counter.get_total_flops() // 2
                if count or not any(each.dim() > 1 for each in module.parameters()):
                    self.multiply_adds[i] = count  # of a layer with matrices, none means that its products are not known
        return given if isinstance(step, Part) and step.wants else (given,)

    # Faults

    def look_for_overwritten(self, i: int, operation: Operation) -> None:
        """A value must not have been changed in place when it is read for the last time, as in a real call."""
        for value in operation.reads():
            if self.last[value] == i and (by := self.overwritten(value)) is not None:
                _, wiring, step = operation.place.chain[-1]
                index = operation.place.operands.index(value)
                fault = (
                    returned_fault(wiring, index)
                    if step is None
                    else overwrite_fault(wiring, step, operands_of(operation)[index])
                )
                self.note(self.passed(fault, operation), by)

    def overwritten(self, value: Value) -> int | None:
        """The operation that changed a value in place after it was given."""
        found = [self.changed.get(storage_of(each), -2) for each in tensors_in(self.values.get(value))]
        latest = max(found, default=-2)
        return latest if latest > self.givers[value] else None

    def note(self, fault: ValueFault, by: int) -> None:
        """Keeps the fault of an overwritten value, with the layer that overwrites it."""
        culprit = self.line.operations[by]
        text = f"net{culprit.place.text()} {entry_text(self.root, culprit)} overwrites it."
        fault.advice = f"{text}\n{fault.advice}"
        self.faults.append(fault)

    def type_fault(self, operation: Operation, takes: list[Any], named: dict[str, Any]) -> Sequence[Any]:
        """What a layer would give, if it receives another type than its own, which is a fault; else nothing."""
        _, wiring, step = operation.place.chain[-1]
        if not isinstance(step, Layer) or operation.module is None or isinstance(operation.module, Function):
            return ()
        container = self.container_of(operation)
        explained = find_type_fault(LayerPlace(container, wiring, step), operation.module, takes, named, self.world)
        if explained is None:
            return ()
        self.keep(explained.fault, operation)
        return explained.results or [UNKNOWN] * len(operation.gives)

    def repaired(self, i: int, error: Exception, takes: list[Any], named: dict[str, Any]) -> Sequence[Any]:
        """Keeps the fault of an operation; the values that it would give behind its repair, if one is known."""
        operation = self.line.operations[i]
        container, (_, wiring, step) = self.container_of(operation), operation.place.chain[-1]
        if isinstance(step, Join):
            repair = repair_join(self.meeting(operation, takes))
            text = alternatives(padding(self, i), repair.text if repair else "")
            fault = join_fault(container, wiring, step, takes, text)
            if fault is not None:
                self.keep(fault, operation)
                return () if repair is None else (repair.result,)
        elif isinstance(step, Split):
            self.keep(split_fault(container, wiring, step, takes[0]), operation)
            return ()
        elif isinstance(step, Pick) and isinstance(error, EXPLAINED):
            self.keep(pick_fault(container, wiring, step, takes[0], error), operation)
            return ()
        elif isinstance(step, Layer) and operation.module is not None and isinstance(error, EXPLAINED):
            return self.repaired_layer(i, error, takes, named)
        elif isinstance(error, ValueFault):
            pass_through(error, wiring, step)
            self.faults.append(self.passed(error, operation))
            return ()
        error.add_note(f"at net{operation.place.text()}, in {entry_text(self.root, operation)}")
        raise error

    def repaired_layer(self, i: int, error: Exception, takes: list[Any], named: dict[str, Any]) -> Sequence[Any]:
        """Keeps the fault of a layer; what it would give behind its repair, in its own place or before it."""
        operation = self.line.operations[i]
        assert operation.module is not None
        _, wiring, step = operation.place.chain[-1]
        place = LayerPlace(self.container_of(operation), wiring, step)
        module = self.instead.get(id(operation.module), operation.module)
        tokens = works_on_tokens(self, operation.reads()[0]) if operation.reads() else None
        explained = explain_layer(place, module, takes, named, error, self.world, tokens)
        results, problem, fault = explained.results, explained.problem, explained.fault
        if problem is not None:
            source, result = change_source(self, i, problem)
            mixed = source.startswith("Write nn.Flatten()")  # the samples must not be mixed, whatever else would work
            larger = larger_input(self, i) if problem.small else ""
            own = "" if source and (mixed or not results) else fault.advice
            fault.advice = alternatives(own, source, larger) or "Use a larger input."
            results = results if own or not source else (result,)
        self.keep(fault, operation)
        return results

    def meeting(self, operation: Operation, takes: list[Any]) -> Meeting:
        """The values that meet in a join, with what a repair has to know about them."""
        _, wiring, step = operation.place.chain[-1]
        inner: list[tuple[nn.Module, Any] | None] = []
        for value in operation.takes:
            giver = self.line.operations[self.givers[value]] if isinstance(value, int) and self.givers[value] >= 0 else None
            own = None if giver is None or giver.place.chain[-1][2] is None else giver.place.chain[-1][2].key
            same = giver is not None and own == step.key and giver.module is not None and giver.reads()
            inner.append((giver.module, self.values[giver.reads()[0]]) if same and giver is not None else None)  # type: ignore[arg-type]
        told = {works_on_tokens(self, value) for value in operation.reads()}
        tokens = True if True in told and False not in told else False if False in told else None
        return Meeting(self.container_of(operation), wiring, step, takes, self.world, tokens, inner)

    def container_of(self, operation: Operation) -> nn.Module:
        """The container in which an operation stands."""
        container = operation.place.chain[-1][0]
        return self.root if container is None else container

    def again(self, instead: Mapping[int, nn.Module] | None = None, given: Mapping[Value, Any] | None = None) -> Inference:
        """Another walk in the same world, with other layers or another input, that looks for no repairs elsewhere."""
        other = Inference(self.root, self.wiring, given or self.given_before, self.world, instead=instead)
        other.probing = True
        return other

    def keep(self, fault: ValueFault, operation: Operation) -> None:
        """Keeps a fault, told from the root, with the givers of the values that met."""
        self.passed(fault, operation)
        if len(operation.reads()) == len(fault.met):
            known = (self.known(met, value) for met, value in zip(fault.met, operation.reads(), strict=True))
            fault.met = tuple(dict.fromkeys(known))
        self.faults.append(fault)
        self.probing = self.probing or len(self.faults) >= SEARCHED

    def known(self, met: Met, value: Value) -> Met:
        """One of the values that met, with the place and the text of what gives it."""
        while (i := self.givers[value]) >= 0 and is_made(self.line.operations[i].module):
            value = self.line.operations[i].reads()[0]  # what a projection gives is told as what it is made from
        if self.givers[value] < 0:
            return replace(met, origin="", need=None) if met.origin is not None else met
        return replace(met, origin=self.line.operations[self.givers[value]].place.text(), need=None, giver=self.giver(value))

    def giver(self, value: Value) -> str:
        """The layer or word that gives a value, as it was written, and what a join was made of."""
        operation = self.line.operations[self.givers[value]]
        text = entry_text(self.root, operation)
        if operation.kind != "join":
            return text
        shapes = [str(tuple(each.shape)) for each in tensors_in([self.values[value] for value in operation.reads()])]
        return f"{text} of {' and '.join(shapes)}"

    def passed(self, fault: ValueFault, operation: Operation) -> ValueFault:
        """A fault, told from the root."""
        for _, outer, part in reversed(operation.place.chain[:-1]):
            pass_through(fault, outer, part)
        return fault


def is_made(module: nn.Module | None) -> bool:
    """Whether a layer is one that ``project=`` makes."""
    return isinstance(module, Projection | PadChannels)


def alternatives(*texts: str) -> str:
    """Several ways out, one of which is to be gone."""
    first, *others = [each for each in texts if each] or [""]
    return "\nOr ".join([first, *(each[0].lower() + each[1:] for each in others)])


def entry_text(root: nn.Module, operation: Operation) -> str:
    """An operation as it was written; one inside a word by what it does."""
    container, wiring, step = operation.place.chain[-1]
    if step is None:
        return "outputs"
    container = root if container is None else container
    word = container._modules[step.key]
    if operation.module is not None:
        if isinstance(word, CallWord) and word.again is not None:
            return word.written(constructor)
        if isinstance(word, CallWord) and len(step.path) == 1:
            return write_call(constructor(operation.module), word.called, word, constructor)
        return constructor(operation.module)
    if isinstance(step, Pick) and not isinstance(word, PickWord):
        return f"pick[{write_index(step.choice)}]"
    if isinstance(step, Join) and not (isinstance(word, JoinWord) and wiring.names.get(step.key) in step.gives):
        return f"{step.operator}(...)"
    assert isinstance(word, Word)
    return word.written(constructor)


#: What a layer raises for values that it cannot take; anything else is an error of its own.
EXPLAINED = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, AssertionError, NotImplementedError)


def is_undecided(error: Exception) -> bool:
    """Whether fake tensors do not know what becomes of an operation: its numbers decide, or they cannot do it."""
    # The second is what resizing an empty batch raises.
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return True
    return any(text in str(error) for text in ("cond must be a bool", ".numpy() is not supported for tensor subclasses"))


def operands_of(operation: Operation) -> tuple[Any, ...]:
    """The operands of the step of an operation, in the order of those of the operation."""
    step = operation.place.chain[-1][2]
    return (*step.takes, *(operand for _, operand in named_operands(step)))


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a value, inside tuples, lists and dicts too."""
    return [each for each in tree_leaves(value) if isinstance(each, Tensor)]


def storage_of(tensor: Tensor) -> int:
    """What tensors that share their memory have in common."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # a sparse tensor has none: it shares memory with itself alone
        return id(tensor)


@contextmanager
def apart() -> Iterator[None]:
    """What a check does stays apart from the program around it: random numbers, modes of gradients, logs."""
    with untouched_random(), quiet(), torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """What fake tensors log about a misfit is not shown: the fault itself tells it."""
    logger, own = logging.getLogger(FakeTensor.__module__), get_ident()
    logger.addFilter(silence := lambda record: record.thread != own)
    try:
        yield
    finally:
        logger.removeFilter(silence)


@contextmanager
def untouched_random() -> Iterator[None]:
    """The generators of random numbers are left as they were: a layer may draw from them to decide what to do."""
    python, torchs = random.getstate(), torch.get_rng_state()
    numpy = sys.modules.get("numpy.random")
    numpys = numpy.get_state() if numpy is not None else None
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(torchs)
        if numpy is not None:
            numpy.set_state(numpys)
