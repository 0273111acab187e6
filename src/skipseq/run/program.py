"""A program: the text of :mod:`skipseq.run.emit`, compiled, and what is said when it fails.

A program holds modules, so it is good for one call only if the tree is still the one that it was made for:
:class:`skipseq.run.plan.Plan` sees to that at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import is_inference_mode_enabled, nn

from skipseq.check.explain import join_fault, overwrite_fault, pass_through, returned_fault, split_fault
from skipseq.check.infer import EXPLAINED
from skipseq.check.layers import belongs_to_torch
from skipseq.check.report import explain_call
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import Container, child_at, wired_class
from skipseq.declare.functions import Function
from skipseq.declare.words import Word
from skipseq.errors import SkipseqError, ValueFault
from skipseq.flatten import Line, Operation, Place, named_operands
from skipseq.wiring import Join, Layer, Part, Step, Value, Wiring, place_of

from .emit import Emitter, Overwritten, Unsplit
from .walk import RETURN, refuse_closed

__all__ = ["Program", "execute", "make_program"]


@dataclass(frozen=True, slots=True)
class Program:
    """A function that runs a whole tree; ``places`` tells for each line of its text where it belongs and what met there."""

    wiring: Wiring
    text: str
    run: Callable[[Any, Any, bool], Any]
    places: tuple[tuple[Place, tuple[str, ...]] | None, ...]
    results: tuple[Value, ...]


def make_program(root: nn.Module, wiring: Wiring, called: frozenset[int]) -> Program:
    """The program of a container, in which the modules of these identities are called rather than run in place."""
    line = Line(root, lambda module: None if id(module) in called else module)
    given, results = line.add_root(wiring)
    single = not isinstance(wiring.result, tuple)
    function_of = partial(function_called, root, called)
    emitter = Emitter(line.operations, function_of, results, given[0], single, len(wiring.wanted))
    text = emitter.text(given)
    exec(compile(text, FILE, "exec"), emitter.names)
    return Program(wiring, text, emitter.names.pop("run"), tuple(emitter.places), results)


def function_called(root: nn.Module, called: frozenset[int], operation: Operation) -> Callable[..., Any]:
    """What a program calls for a layer or a part: the bare function where nobody could tell, or the module."""
    module, step = operation.module, operation.place.chain[-1][2]
    assert module is not None
    if isinstance(module, Function) and id(module) not in called:
        return module.function  # type: ignore[no-any-return]
    if not isinstance(step, Part):
        return module
    if step.plain and (step.wants or step.needs):
        # A plain sequence knows nothing of skips: one of ours with its layers and hooks stands in for it.
        refuse_closed(module, step)
        module = wired_class(root).of(module)
    return partial(module, **{RETURN: step.wants}) if step.wants else module


#: The file name of all programs, by which their frames are found in a traceback.
FILE = "<skipseq>"


def execute(root: nn.Module, program: Program, x: Any, given: dict[Value, Any] | None) -> Any:
    """Runs the program of a root on its first input ``x``; ``given`` holds the other inputs and the needs.

    Values made in inference mode have no count of changes in place: there only what is known beforehand is refused.
    """
    try:
        return program.run(x, given, not is_inference_mode_enabled())
    except Exception as error:
        told = explain(error, root, program, {0: x} if given is None else given)
        try:
            if told is error:
                raise
            raise told from None
        finally:
            # A frame that holds its own error is a cycle: it would keep the values of the pass alive.
            del told


def explain(error: Exception, root: nn.Module, program: Program, given: dict[Value, Any]) -> BaseException:
    """The error to raise: ours where the reason is known, else the layer's own with a note of the place.

    A check of the same values knows the whole network, and so tells more; it is asked about the place that failed.
    """
    told, place = told_at(error, root, program)
    if place is not None and (found := explain_call(root, program.wiring, given, place)) is not None:
        return found
    return told


def told_at(error: Exception, root: nn.Module, program: Program) -> tuple[BaseException, str | None]:
    """What a failed line tells by itself, and the place to ask a check about; none for an error of a layer's own."""
    frame, number = frame_of(error, program)
    at = program.places[number - 1] if frame is not None else None
    if at is None:
        if isinstance(error, Overwritten):
            return returned_fault(program.wiring, program.results.index(error.args[0])), ""
        return error, None
    place, names = at
    held, wiring, step = place.chain[-1]
    container = root if held is None else held
    told: BaseException = error
    asked = None
    if isinstance(error, Overwritten):
        k = place.operands.index(error.args[0])
        told = returned_fault(wiring, k) if step is None else overwrite_fault(wiring, step, step_operands(step)[k])
    elif isinstance(step, Join):
        told = join_fault(container, wiring, step, met_in(frame, names)) or error
    elif isinstance(error, Unsplit):
        told = split_fault(container, wiring, step, met_in(frame, names)[0])
    elif step is not None:
        module = child_at(container, step.path if isinstance(step, Layer | Part) else (step.key,))
        inner, failed = failed_inside(error, module) if isinstance(step, Part) and step.plain else ("", module)
        if not isinstance(step, Part) or inner:
            error.add_note(f"at net{inner or place_of(step)}, in {constructor(failed)}")
            asked = place.text() + inner if is_explained(error, failed) else None
        told = pass_through(error, wiring, step) if isinstance(step, Part) else error
    for _, outer, part in reversed(place.chain[:-1]):
        told = pass_through(told, outer, part)
    return told, told.place if isinstance(told, ValueFault) else asked


def is_explained(error: Exception, module: nn.Module) -> bool:
    """Whether a check can tell why a layer of torch or a pick failed; what other layers raise is their own affair."""
    known = isinstance(module, Word) or (belongs_to_torch(module) and not isinstance(module, Container))
    return known and isinstance(error, EXPLAINED) and not isinstance(error, SkipseqError | torch.OutOfMemoryError)


def failed_inside(error: Exception, module: nn.Module) -> tuple[str, nn.Module]:
    """Which layer of a plain sequence failed, which cannot tell it itself: its place in the sequence, and the layer."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        found = traceback.tb_frame.f_locals
        if traceback.tb_frame.f_code is nn.Sequential.forward.__code__ and found.get("self") is module:
            keys = [key for key, child in module._modules.items() if child is found["module"]]
            index = list(module._modules).index(keys[0])
            module = found["module"]
            named = isinstance(module, nn.Sequential) and keys[0].isidentifier()
            place += f".{keys[0]}" if named else f"[{index}]"
        traceback = traceback.tb_next
    return place, module


def frame_of(error: Exception, program: Program) -> tuple[FrameType | None, int]:
    """The frame of the program in the traceback of an error, and the line of its text."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is program.run.__code__:
            return traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
    return None, 0


def met_in(frame: FrameType | None, names: tuple[str, ...]) -> list[Any]:
    """The values that met, by the variables that hold them."""
    assert frame is not None
    return [frame.f_locals[name] if name in frame.f_locals else frame.f_globals[name] for name in names]


def step_operands(step: Step) -> tuple[Any, ...]:
    """The operands of a step, in the order in which an operation lists them."""
    return (*step.takes, *(operand for _, operand in named_operands(step)))
