"""Why a layer cannot take the values that it receives: what it expects, what it got, and a repair that was tried."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy as has_no_shape

from skipseq.declare.constructors import constructor
from skipseq.declare.functions import Function
from skipseq.declare.words import CallWord, PickWord, Word, here
from skipseq.errors import DeviceError, DtypeError, Met, ShapeError, ValueFault
from skipseq.wiring import Layer, Number, Part, Wiring, named_by_user, place_of

from .expectations import find_problem, find_unnoticed
from .explain import meeting, receives
from .problems import Problem, Try, before
from .sequences import second_problem
from .stand_ins import StandIns, all_tensors, is_lazy, moved, on_meta

__all__ = ["Explained", "LayerPlace", "belongs_to_torch", "explain_layer", "find_type_fault"]


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """Where a layer stands: its container, the wiring of that, and the step."""

    container: nn.Module
    wiring: Wiring
    step: Layer

    @property
    def word(self) -> nn.Module | None:
        """The word that the layer stands in, as a layer of ``via`` does; nothing for an entry of its own."""
        word = self.container._modules.get(self.step.path[0])
        return word if isinstance(word, Word) and len(self.step.path) > 1 else None

    def name_of(self, index: int | str) -> str | None:
        """The name by which a call reads one of its values; nothing for the running value."""
        word = self.container._modules.get(self.step.key)
        if not isinstance(word, CallWord) or self.word is not None:
            return None
        operands = word.called.operands
        in_order = (here, *operands) if len(operands) == 1 else operands
        given: dict[Any, Any] = dict(enumerate(in_order)) | dict(word.called.named)
        if isinstance(index, str) and index not in given:
            index = {"memory": 1}.get(index, 0)
        found = given.get(index)
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Explained:
    """A fault of a layer, and what the layer gives once it is repaired: nothing where no repair is known to work.

    ``problem`` is what the fault was found by, if anything was.
    """

    fault: ValueFault
    results: tuple[Any, ...] = ()
    problem: Problem | None = None


#: Layers that take numbers of their own type alone, and those that also take half precision.
STRICT = (
    nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.PReLU, nn.MultiheadAttention,
    nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder, nn.TransformerDecoder,
)  # fmt: skip
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)

#: Layers without parameters that take no whole numbers; fake tensors do not tell it.
FLOATING = (
    nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d, nn.LogSigmoid, nn.GELU, nn.SiLU, nn.Mish, nn.CELU, nn.GLU, nn.RReLU,
    nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.MaxPool1d, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d, nn.Upsample,
    nn.Unfold, nn.Fold, nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd, *NORMS,
)  # fmt: skip

#: The method of a tensor that converts it, as one would write it as an entry.
CONVERSIONS = {
    torch.float32: torch.Tensor.float, torch.float64: torch.Tensor.double, torch.float16: torch.Tensor.half,
    torch.bfloat16: torch.Tensor.bfloat16, torch.int64: torch.Tensor.long,
}  # fmt: skip


def explain_layer(
    place: LayerPlace,
    module: nn.Module,
    takes: Sequence[Any],
    named: Mapping[str, Any],
    error: Exception,
    world: StandIns,
    tokens: bool | None = None,
) -> Explained:
    """What is wrong between a layer and what it receives, where it raised this error.

    Args:
        place: where the layer stands.
        module: the layer.
        takes: the fake values that it receives in order, ``named`` those by name.
        error: what it raised.
        world: makes the stand-ins on which repairs are tried.
        tokens: whether the first value is (batch, tokens, features), as far as that is known.
    """
    module = grown_up(module, takes)
    problem = problem_of(module, takes, named, tokens)
    if problem is None:
        return Explained(layer_fault(place, module, takes, named, "", says(error), error))
    text, results = first_working(problem, place, takes, named, world)
    advice = text or problem.advice or ("" if problem.small or problem.wanted else says(error))
    return Explained(layer_fault(place, module, takes, named, problem.text, advice), results, problem)


def problem_of(module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any], tokens: bool | None) -> Problem | None:
    """What does not fit, if the layer is known."""
    first = takes[0] if takes else None
    if isinstance(first, tuple | list | dict):
        return tuple_problem(module, first, tokens) if belongs_to_torch(module) else None
    found = find_problem(module, first, tokens) if isinstance(first, Tensor) else None
    return found or second_problem(module, takes, named)


def layer_fault(
    place: LayerPlace,
    module: nn.Module,
    takes: Sequence[Any],
    named: Mapping[str, Any],
    problem: str,
    advice: str,
    cause: Exception | None = None,
    kind: type[ValueFault] = ShapeError,
) -> ValueFault:
    """A fault with the layer, the word that it stands in, the problem, and the values that it receives."""
    text = f"{described(place.step, module)} cannot take its input{'s' if len(takes) + len(named) > 1 else ''}"
    if place.word is not None:
        text += f"\n  it stands in {described_word(place)}"
    text += f"\n  {problem}" if problem else ""
    fault = kind(place_of(place.step), text, met_by(place, takes, named), advice)
    fault.__cause__ = cause  # whose traceback leads to the line of the layer that failed
    return fault


def says(error: Exception) -> str:
    """The layer's own words."""
    first = " ".join((str(error).strip().splitlines() or [""])[0].split())
    return f"It says: {type(error).__name__}: {first}" if first else f"It raises {type(error).__name__}."


def belongs_to_torch(module: nn.Module) -> bool:
    """Whether a layer or function is one of torch, about which more is known than what it says itself."""
    if isinstance(module, Function):
        return repr(module).removeprefix("partial(").startswith(("torch.", "nn.functional."))
    return type(module).__module__.startswith("torch.nn.")


def grown_up(module: nn.Module, takes: Sequence[Any]) -> nn.Module:
    """A lazy layer with the parameters that it gets for its input, as far as it gets that; any other layer itself."""
    if not is_lazy(module):
        return module
    twin: Any = copy.deepcopy(module, {id(tensor): on_meta(tensor) for tensor in all_tensors(module)})
    try:
        with torch.device("meta"):
            twin._infer_parameters(twin, moved(tuple(takes)))
    except (RuntimeError, ValueError, IndexError):  # the input is so wrong that it tells no size
        return module
    return twin  # type: ignore[no-any-return]


def tuple_problem(module: nn.Module, value: Any, tokens: bool | None) -> Problem:
    """A layer is given a tuple, as an LSTM returns it: one of its parts is meant."""
    tries: list[Try] = []
    for key, part in parts_of(value):
        inner = find_problem(module, part, tokens) if isinstance(part, Tensor) else None
        tries.append(before(module, PickWord(key)))
        tries += [before(module, PickWord(key), write=each) for each in (inner.tries if inner else ()) if not each.before]
    return Problem(f"it expects a tensor and receives {receives(value)}", tuple(tries))


def parts_of(value: Any) -> list[tuple[Any, Any]]:
    """The parts of a tuple or dict with their keys."""
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def first_working(
    problem: Problem, place: LayerPlace, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns
) -> tuple[str, tuple[Any, ...]]:
    """The first repair that works, or the first two, and what the layer gives then."""
    texts, results = [], []
    for each in problem.tries:
        try:
            results.append(run(each, problem.index, takes, named, world))
        except Exception:  # a repair that fails in any way is not offered
            continue
        texts.append(each.text(place.name_of(problem.index)))
        if len(texts) == 1 + problem.both:
            break
    return "\nOr ".join([*texts[:1], *(each[0].lower() + each[1:] for each in texts[1:])]), tuple(results[:1])


def run(repair: Try, index: int | str, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns) -> Any:
    """What the layers of a repair give, where those before the last change one value, wherever the layer takes it."""
    old = value = named[index] if isinstance(index, str) and index in named else takes[index if isinstance(index, int) else 1]
    for layer in repair.layers:
        for tensor in all_tensors(layer) if isinstance(layer, nn.Module) else ():
            world.tensor(tensor, device_of(value))
    *first, last = [world.module(each) if isinstance(each, nn.Module) else each for each in repair.layers]
    with world.mode:
        for layer in first:
            value = layer(value)
        return last(
            *(value if each is old else each for each in takes), **{k: value if v is old else v for k, v in named.items()}
        )


def device_of(value: Any) -> torch.device | None:
    """The device of a value, of a tuple that of its first tensor."""
    found = [each.device for each in torch.utils._pytree.tree_leaves(value) if isinstance(each, Tensor)]
    return found[0] if found else None


# Types and devices, which fake tensors do not tell in every layer


def find_type_fault(
    place: LayerPlace, module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns
) -> Explained | None:
    """A value of another type, or on another device, than the parameters of its layer."""
    first = takes[0] if takes else None
    if isinstance(first, Tensor) and (problem := find_unnoticed(module, first)) is not None:
        text, results = first_working(problem, place, takes, named, world)
        return Explained(layer_fault(place, module, takes, named, problem.text, text), results, problem)
    known = {
        name: each
        for name, each in (*module.named_parameters(), *module.named_buffers())
        if not has_no_shape(each) and each.dim()
    }
    tensors = [each for each in (*takes, *named.values()) if isinstance(each, Tensor) and each.dim()]
    if not tensors:
        return None
    for name, device in {name: world.tensor(each).device for name, each in known.items()}.items():
        for tensor in tensors:
            if tensor.device != device:
                text = f"its {name} is on {device}, and it receives a value on {tensor.device}"
                advice = device_advice(device, tensor.device)
                fault = layer_fault(place, module, takes, named, text, advice, kind=DeviceError)
                return Explained(fault, given_by(module, takes, named, world, {"device": device}))
    if torch.is_autocast_enabled(tensors[0].device.type):
        return None
    return dtype_fault(place, module, next((each.dtype for each in known.values()), None), takes, named, world)


def dtype_fault(
    place: LayerPlace,
    module: nn.Module,
    own: torch.dtype | None,
    takes: Sequence[Any],
    named: Mapping[str, Any],
    world: StandIns,
) -> Explained | None:
    """A value of another type than the parameters of its layer, and how to convert it."""
    for index, value in typed_inputs(module, takes, named):
        wanted = wanted_dtype(module, own, value)
        if wanted is None:
            continue
        text = f"it expects {dtype_text(wanted)} and receives {dtype_text(value.dtype)}"
        advice = "Convert the value before it."
        if wanted in CONVERSIONS:
            convert = torch.abs if value.dtype.is_complex else CONVERSIONS[wanted]
            advice = before(module, convert).text(place.name_of(index))
        fault = layer_fault(place, module, takes, named, text, advice, kind=DtypeError)
        values = [each for each in (*takes, *named.values()) if not isinstance(each, int | float)]
        fault.met = tuple(typed(met, each) for met, each in zip(fault.met, values, strict=False))
        return Explained(fault, given_by(module, takes, named, world, {"dtype": wanted}))
    return None


def dtype_text(dtype: torch.dtype) -> str:
    """A type of numbers as one says it: ``float32``."""
    return str(dtype).removeprefix("torch.")


def typed(met: Met, value: Any) -> Met:
    """One of the values that met, with the type of its numbers."""
    return replace(met, what=f"{met.what} of {dtype_text(value.dtype)}") if isinstance(value, Tensor) else met


def typed_inputs(module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any]) -> Iterator[tuple[int | str, Tensor]]:
    """The values of a layer that are to have its type, with their position or name; a mask, for one, is not."""
    count = {nn.Bilinear: 2, nn.MultiheadAttention: 3}.get(type(module), 1)
    yield from ((k, each) for k, each in enumerate(takes[:count]) if isinstance(each, Tensor))
    names = ("query", "key", "value", "input", "input1", "input2")
    yield from ((name, each) for name, each in named.items() if name in names and isinstance(each, Tensor))


def wanted_dtype(module: nn.Module, own: torch.dtype | None, received: Tensor) -> torch.dtype | None:
    """The type that a layer wants in place of the one that it receives, or nothing if it takes that one."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return None if received.dtype in (torch.int64, torch.int32) else torch.int64
    if own is None or not isinstance(module, (*STRICT, *NORMS)):
        whole = not received.dtype.is_floating_point and not received.dtype.is_complex
        return torch.get_default_dtype() if whole and isinstance(module, FLOATING) else None
    if received.dtype == own:
        return None
    half = received.dtype in (torch.float16, torch.bfloat16) and own == torch.float32
    return None if half and isinstance(module, NORMS) else own


def device_advice(own: torch.device, received: torch.device) -> str:
    """How to bring a layer and its value together."""
    if own.type == "meta":
        return f"Its parameters have no numbers yet: write net.to_empty(device={str(received)!r}), and load them."
    meant = received if own.type == "cpu" and received.type != "meta" else own  # who moved a part wants it there
    return f"Write net.to({str(meant)!r}) and give it inputs on {meant}; all of a network is on one device."


def given_by(
    module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns, changes: Mapping[str, Any]
) -> tuple[Any, ...]:
    """What a layer gives for values of another type or on another device, if it does."""
    types = {each.dtype for _, each in typed_inputs(module, takes, named)}

    def changed(value: Any) -> Any:
        wrong = isinstance(value, Tensor) and ("device" in changes or value.dtype in types)
        return value.to(**changes) if wrong else value

    try:
        with world.mode:
            inputs = [changed(each) for each in takes]
            return (world.module(module)(*inputs, **{name: changed(each) for name, each in named.items()}),)
    except Exception:  # it has a second fault: what it would give is not known
        return ()


# Words for both ends


def described(step: Layer, module: nn.Module) -> str:
    """A layer by its name, if the user gave it one, and as it was written."""
    name = step.path[0]
    return f"{name!r} = {constructor(module)}" if named_by_user(name) and len(step.path) == 1 else constructor(module)


def described_word(place: LayerPlace) -> str:
    """The word that a layer stands in, by its name, if the user gave it one, and as it was written."""
    name, word = place.step.path[0], place.word
    assert isinstance(word, Word)
    written = word.written(constructor)
    return f"{name!r} = {written}" if named_by_user(name) else written


def met_by(place: LayerPlace, takes: Sequence[Any], named: Mapping[str, Any]) -> list[Met]:
    """The values that a layer receives."""
    inside = {value: "its input" for step in place.wiring.steps if step.key == place.step.key for value in step.gives}
    written = inside if place.word is not None else {}
    return [meeting(place.wiring, operand, value, written) for operand, value in operands_with(place.step, takes, named)]


def operands_with(step: Layer | Part, takes: Sequence[Any], named: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The operands of a step that are values, with what they are."""
    for operand, value in zip(step.takes, takes, strict=True):
        if not isinstance(operand, Number):
            yield operand, value
    for name, operand in step.named:
        if not isinstance(operand, Number):
            yield operand, named[name]
