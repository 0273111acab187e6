"""What is said when the values of a call do not fit: both ends, both shapes, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import constructor
from skipseq.declare.containers import child_at
from skipseq.declare.projection import PadChannels, Projection
from skipseq.declare.words import PickWord, Word, write_index
from skipseq.errors import CallError, DeviceError, Met, OverwriteError, ShapeError, ValueFault, did_you_mean
from skipseq.joins import fitted_shapes, joinable
from skipseq.wiring import Join, Layer, Number, Part, Pick, Split, Step, Value, Wiring, named_by_user, place_of, reads

__all__ = [
    "arguments_fault",
    "differing_dimensions",
    "has_dimension",
    "is_repeated",
    "join_fault",
    "meeting",
    "origin_of",
    "overwrite_fault",
    "pass_through",
    "pick_fault",
    "receives",
    "returned_fault",
    "split_fault",
]

VERBS = {"cat": "concatenate", "add": "add", "sub": "subtract", "mul": "multiply"}


def join_fault(container: nn.Module, wiring: Wiring, step: Join, values: Sequence[Any], repair: str = "") -> ValueFault | None:
    """Why these values cannot be joined at this step, or nothing if the reason is not known; ``repair`` is what to write."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    written = container._modules[step.key]
    assert isinstance(written, Word)
    word = written.written(constructor)
    names = {wiring.names[name]: repr(name) for name in written.references() if name in wiring.names}
    names |= {
        value: what_gives(container, wiring, each, names)
        for each in wiring.steps
        if each.key == step.key
        for value in each.gives
    }
    met = [
        meeting(wiring, operand, value, names)
        for operand, value in zip(step.takes, values, strict=True)
        if not isinstance(operand, Number)
    ]
    wrong = next((value for value in values if isinstance(value, tuple | list | dict)), None)
    if wrong is not None:
        text = f"{word} cannot {VERBS[step.operator]} {receives(wrong)}"
        return ShapeError(place_of(step), text, met, repair or "Take one of its parts before, with pick[0] for one.")
    if len({tensor.device for tensor in tensors}) > 1:
        text = f"{word} cannot {VERBS[step.operator]} values on different devices"
        advice = "Move one of them, or put the whole network and its inputs on one device."
        return DeviceError(place_of(step), text, met, advice)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if step.operator == "cat" and len({len(shape) for shape in shapes}) == 1 and not has_dimension(shapes[0], step.dim):
        count = f"{len(shapes[0])} dimension{'s' * (len(shapes[0]) != 1)}"
        text = f"{word} cannot concatenate values of {count} along dimension {step.dim}"
        return ShapeError(place_of(step), text, met, repair or "Write a dimension that they have.")
    if not joinable(step, shapes) or (step.broadcast and not can_broadcast(step, shapes)):
        text = f"{word} cannot {VERBS[step.operator]} values of different shapes"
        return ShapeError(place_of(step), text, met, shape_advice(step, shapes, repair))
    return None


def has_dimension(shape: tuple[int, ...], dimension: int) -> bool:
    """Whether values of this shape have a dimension."""
    return -len(shape) <= dimension < len(shape)


def what_gives(container: nn.Module, wiring: Wiring, step: Step, names: Mapping[Value, str]) -> str:
    """What something inside a word gives, by the name of what does."""
    if isinstance(step, Layer) and isinstance(child_at(container, step.path), Projection | PadChannels):
        return f"{meeting(wiring, step.takes[0], None, names).name}, projected,"  # type: ignore[arg-type]
    return f"what its {step.operator if isinstance(step, Join) else 'via'} gives"


def shape_advice(step: Join, shapes: list[tuple[int, ...]], repair: str = "") -> str:
    """Which dimensions differ, and what to write."""
    broadcast = "If broadcasting is meant, write broadcast=True." if can_broadcast(step, shapes) else ""
    if len({len(shape) for shape in shapes}) > 1:
        text = repair or "Bring one to the other with via('name', layer)."
        return "\n".join(["They differ in the number of dimensions.", text, *([broadcast] if broadcast else [])])
    differing = differing_dimensions(step, fitted(step, shapes))
    names = ", ".join(f"{d} ({listed([shape[d] for shape in shapes])})" for d in differing)
    text = f"They differ in dimension{'s' if len(differing) > 1 else ''} {names}"
    option = "broadcast=True" if step.broadcast else f"fit={step.fit.kind!r}" if step.fit else ""
    text += f", and {option} does not bring them together." if option else "."
    if broadcast and is_repeated(step, shapes):
        others = [f"Otherwise {repair[0].lower()}{repair[1:]}"] if repair else []
        return "\n".join([text, broadcast, *others])
    return "\n".join([text, repair or usual_advice(step, differing), *([broadcast] if broadcast else [])])


def listed(extents: Sequence[int]) -> str:
    """Numbers in a sentence: ``8, 8 and 6``."""
    *first, last = map(str, extents)
    return f"{', '.join(first)} and {last}"


def is_repeated(step: Join, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a value has one position wherever it differs from another: its numbers may be meant for all positions there."""
    if step.operator == "cat" or len(shapes) != 2 or len(shapes[0]) != len(shapes[1]):
        return False
    differing = differing_dimensions(step, shapes)
    return 0 not in differing and any(all(shape[d] == 1 for d in differing) for shape in shapes)


def usual_advice(step: Join, differing: list[int]) -> str:
    """What to write where no repair is known to work."""
    if 0 in differing:
        return "The first dimension is the batch, which no word changes: both must come from the same samples."
    if max(differing) >= 2:
        text = "Write layers that keep the size (3x3 convolutions with padding=1), or bring one value to the size\n"
        return text + "of the other with via('name', layer)."
    if step.operator == "cat":
        return "Bring one value to the extent of the other with via('name', layer)."
    return "Project one of them: via('name', layer), with a linear layer or a 1x1 convolution; or write cat."


def differing_dimensions(step: Join, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The dimensions in which values of equal rank differ, but for the one of a concatenation."""
    own = step.dim % max(len(shapes[0]), 1) if step.operator == "cat" else None
    return [d for d, extents in enumerate(zip(*shapes, strict=True)) if len(set(extents)) > 1 and d != own]


def fitted(step: Join, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The shapes behind the fit of a join."""
    return [shape for shape in fitted_shapes(step, shapes) if shape is not None]


def can_broadcast(step: Join, shapes: list[tuple[int, ...]]) -> bool:
    """Whether torch would broadcast values of these shapes."""
    try:
        torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    except RuntimeError:
        return False
    return step.operator != "cat"


def split_fault(container: nn.Module, wiring: Wiring, step: Split, value: Any) -> ShapeError:
    """Why a value has not the parts that a save names: a tuple is named as a whole, or no part would have a name."""
    word = container._modules[step.key]
    met = meeting(wiring, step.takes[0], value)  # type: ignore[arg-type]
    advice = "Write one label for each part of the tuple"
    labels, count = list(getattr(word, "labels", ())), len(value) if isinstance(value, tuple | list) else 0
    if not isinstance(value, tuple | list):
        advice += f"; this is no tuple: save({labels[0]!r})."
    elif 0 < count < len(labels):
        advice += f": save({', '.join(map(repr, labels[:count]))})."
    else:
        advice += f", {count} of them, or put pick[:{len(labels)}] before it."
    return ShapeError(place_of(step), f"{constructor(word)} cannot name the parts of the value", (met,), advice)  # type: ignore[arg-type]


def pick_fault(container: nn.Module, wiring: Wiring, step: Pick, value: Any, error: Exception) -> ShapeError:
    """Why a value has not the part that a pick takes."""
    word = container._modules[step.key]
    text = f"pick[{write_index(step.choice)}] cannot take its part of the value"
    if not isinstance(word, PickWord):
        text += f"\n  it stands in {constructor(word)}"  # type: ignore[arg-type]
    met = meeting(wiring, step.takes[0], value)  # type: ignore[arg-type]
    if isinstance(value, tuple | list) and value and isinstance(step.choice, int):
        return ShapeError(place_of(step), text, (met,), f"Write {listed_picks(len(value))}.")
    first = " ".join((str(error).strip().splitlines() or [""])[0].split())
    return ShapeError(place_of(step), text, (met,), f"It says: {type(error).__name__}: {first}")


def listed_picks(count: int) -> str:
    """The picks that a tuple allows, the first ones."""
    names = [f"pick[{i}]" for i in range(min(count, 3))]
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def receives(value: Any) -> str:
    """What a value is that is no tensor."""
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


def shape_text(value: Any) -> str:
    """The shapes of the tensors in a value."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {shape_text(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(shape_text, value))}{',' if len(value) == 1 else ''})"
    return receives(value)


def meeting(wiring: Wiring, value: Value, tensor: Any, written: Mapping[Value, str] | None = None) -> Met:
    """One of the values that met, described by its name, best the one ``written`` in the word, and its origin."""
    value = as_given(wiring, value)
    origin, need = origin_of(wiring, value)
    device = f" on {tensor.device}" if isinstance(tensor, Tensor) and tensor.device.type != "cpu" else ""
    what = f"{tuple(tensor.shape)}{device}" if isinstance(tensor, Tensor) else receives(tensor)
    if isinstance(tensor, tuple | list | dict) and 0 < len(tensor) <= 4:
        what += f": {shape_text(tensor)}"
    names = [name for name, each in wiring.names.items() if each == value and named_by_user(name)]
    name = next((name for name in names if name in wiring.labels), names[0] if names else None)
    found = (written or {}).get(value) or (repr(need or name) if need or name else "the running value")
    return Met(found, what, origin, need)


def as_given(wiring: Wiring, value: Value) -> Value:
    """The value itself, or the one that a part was given and only passed on as its result."""
    for part in wiring.steps:
        if isinstance(part, Part) and part.gives[0] == value and isinstance(part.wiring.result, int):
            inner = as_given(part.wiring, part.wiring.result)
            bound = dict(enumerate(part.takes)) | {part.wiring.needs[name]: each for name, each in part.needs}
            if isinstance(given := bound.get(inner), int):
                return as_given(wiring, given)
    return value


def origin_of(wiring: Wiring, value: Value) -> tuple[str | None, str | None]:
    """The place that gives a value, empty for the input of the container, and the name if it is a need."""
    for step in wiring.steps:
        if value in step.gives:
            inner = step.gives.index(value)
            if isinstance(step, Part) and inner:
                return f"{place_of(step)} ({step.wants[inner - 1]!r})", None
            return place_of(step), None
    need = next((name for name, each in wiring.needs.items() if each == value), None)
    return (None, need) if need else ("", None)


def overwrite_fault(wiring: Wiring, step: Step, value: Value) -> ValueFault:
    """A value was changed in place between its save and this step, its reader; in a part, the reader inside it."""
    if isinstance(step, Part) and (inner := value_inside(step, value)) is not None:
        for reader in step.wiring.steps:
            if inner in reads(reader):
                return passed_through(overwrite_fault(step.wiring, reader, inner), wiring, step)
        if inner in step.wiring.results():
            return reader_fault(wiring, step, step.wiring.results().index(inner))
    met = meeting(wiring, value, None)
    return overwritten(place_of(step), replace(met, what="changed by a later layer"))


def overwritten(place: str, met: Met) -> OverwriteError:
    text = "reads a value that was overwritten in place after it was saved"
    advice = "Write inplace=False in the layer that overwrites it, or save a copy: call(torch.clone), save('x1')."
    return OverwriteError(place, text, (met,), advice)


def value_inside(part: Part, value: Value) -> Value | None:
    """The value inside a part that an operand of it becomes."""
    for i, operand in enumerate(part.takes):
        if operand == value:
            return i
    for name, operand in (*part.needs, *part.named):
        if operand == value:
            return part.wiring.needs[name] if name in part.wiring.needs else part.wiring.names[name]
    return None


def returned_fault(wiring: Wiring, index: int) -> ValueFault:
    """A value was changed in place between its save and the end, where it is returned."""
    value = wiring.results()[index]
    met = meeting(wiring, value, None)
    fault = overwritten("", replace(met, what="changed by a later layer"))
    fault.problem = "returns a value that was overwritten in place after it was saved"
    fault.returned = index
    return fault


def pass_through(error: BaseException, wiring: Wiring, step: Part) -> BaseException:
    """An error of a part passes through the container around it, which knows the way to the part."""
    place = place_of(step)
    if isinstance(error, ValueFault):
        return passed_through(error, wiring, step)
    if (notes := getattr(error, "__notes__", None)) and notes[-1].startswith("at net"):
        notes[-1] = notes[-1].replace("at net", f"at net{place}", 1)
    return error


def passed_through(fault: ValueFault, wiring: Wiring, step: Part) -> ValueFault:
    """A fault of a part as the container around it tells it."""
    if fault.returned is not None:
        return reader_fault(wiring, step, fault.returned)
    fault.passed(place_of(step), origins(wiring, step))
    return fault


def reader_fault(wiring: Wiring, part: Part, index: int) -> ValueFault:
    """The fault of an overwritten value that a part returned, told at the step that reads it."""
    own = 1 if isinstance(part.wiring.result, int) else len(part.wiring.result)
    value = part.gives[max(0, index - own + 1)]
    for step in wiring.steps:
        if value in reads(step):
            return overwrite_fault(wiring, step, value)
    return returned_fault(wiring, wiring.results().index(value))


def origins(wiring: Wiring, part: Part) -> dict[str, tuple[str | None, str | None]]:
    """Where each need of a part comes from."""
    bound = (*part.needs, *part.named)
    return {name: origin_of(wiring, operand) for name, operand in bound if isinstance(operand, int)}


def arguments_fault(wiring: Wiring, given: list[str], what: str) -> CallError | None:
    """Why a call with these arguments cannot be made, or nothing."""
    known = [*wiring.inputs, *wiring.needs]
    unknown = [name for name in given if name not in known]
    missing = [name for name in known if name not in given]
    if not unknown and not missing:
        return None
    inputs = ", ".join(wiring.inputs) + (f"; by keyword {', '.join(wiring.needs)}" if wiring.needs else "")
    lines = [f"{what} was called with what it does not take.", f"  its inputs: {inputs}"]
    for name in unknown:
        lines.append(f"  it does not know {name!r}.{suggestion(name, missing or known)}")
    for name in missing:
        reader = f", which net{wiring.readers[name]} reads and nothing inside gives" if name in wiring.readers else ""
        lines.append(f"  it lacks {name!r}{reader}.{suggestion(name, nameable(wiring) - {name})}")
    first, *rest = known
    call = ", ".join([first, *(f"{name}=..." if name.isidentifier() else f"**{{{name!r}: ...}}" for name in rest)])
    return CallError("\n".join([*lines, f"  Write net({call})."]))


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant, except while compiling or exporting: the comparison of names cannot be traced."""
    return "" if torch.compiler.is_compiling() else did_you_mean(name, known)


def nameable(wiring: Wiring) -> set[str]:
    """The names that a user gave in a container, and the labels saved inside it."""
    return {name for name in wiring.names if named_by_user(name)} | set(wiring.labels)
