"""Why a layer cannot take the values that it receives: what it expects, what it got, and a repair that was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from skipseq.declare.constructors import constructor
from skipseq.declare.functions import Function
from skipseq.errors import DeviceError, DtypeError, Met, ShapeError, ValueFault
from skipseq.wiring import Layer, Number, Part, Wiring, named_by_user, place_of

from .expectations import Problem, Try, find_problem
from .explain import meeting
from .stand_ins import StandIns, all_tensors

__all__ = ["Explained", "explain_layer", "find_type_fault"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A fault of a layer, and what the layer gives once it is repaired: nothing where no repair is known to work."""

    fault: ValueFault
    results: tuple[Any, ...] = ()


#: Layers that take numbers of their own type alone, and those that also take half precision.
STRICT = (
    nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.PReLU, nn.MultiheadAttention,
    nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
)  # fmt: skip
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)

#: The method of a tensor that converts it, as one would write it as an entry.
CONVERSIONS = {
    torch.float32: "float", torch.float64: "double", torch.float16: "half", torch.bfloat16: "bfloat16", torch.int64: "long",
}  # fmt: skip


def explain_layer(
    place: tuple[Wiring, Layer],
    module: nn.Module,
    takes: Sequence[Any],
    named: Mapping[str, Any],
    error: Exception,
    world: StandIns,
) -> Explained:
    """What is wrong between a layer and what it receives, where it raised this error.

    Args:
        place: the wiring of its container, and its step.
        module: the layer.
        takes: the fake values that it receives in order, ``named`` those by name.
        error: what it raised.
        world: makes the stand-ins on which repairs are tried.
    """
    step = place[1]
    tensors = [each for each in takes if isinstance(each, Tensor)]
    problem = find_problem(module, tensors[0]) if tensors else None
    if problem is None:
        problem = second_problem(module, takes, named)
    if problem is None:
        text = f"{described(step, module)} cannot take its input" + ("s" if len(takes) + len(named) > 1 else "")
        fault = ShapeError(place_of(step), text, met_by(place, takes, named), says(error))
        fault.__cause__ = error  # whose traceback leads to the line of the layer that failed
        return Explained(fault)
    text, results = first_working(problem, takes, named, world)
    advice = text or problem.advice or says(error)
    headline = f"{described(step, module)} cannot take its input\n  {problem.text}"
    return Explained(ShapeError(place_of(step), headline, met_by(place, takes, named), advice), results)


def says(error: Exception) -> str:
    """The layer's own words."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"It says: {type(error).__name__}: {first}" if first else f"It raises {type(error).__name__}."


def second_problem(module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any]) -> Problem | None:
    """What does not fit among the further inputs of a layer that takes several."""
    if isinstance(module, nn.Bilinear):
        for number, each in enumerate(takes[:2], 1):
            expected = getattr(module, f"in{number}_features")
            if isinstance(each, Tensor) and each.shape[-1] != expected:
                return Problem(f"it expects {expected} features in input {number} and receives {each.shape[-1]}")
    if isinstance(module, nn.MultiheadAttention):
        given = dict(zip(("query", "key", "value"), takes, strict=False)) | dict(named)
        for name, expected in (("key", module.kdim), ("value", module.vdim)):
            each = given.get(name)
            if isinstance(each, Tensor) and each.shape[-1] != expected:
                short = f"{name[0]}dim={each.shape[-1]}"
                advice = f"Write nn.MultiheadAttention({module.embed_dim}, {module.num_heads}, {short}, ...)."
                return Problem(f"its {name} has {each.shape[-1]} features, and it expects {expected}", (), advice)
    return None


def first_working(
    problem: Problem, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns
) -> tuple[str, tuple[Any, ...]]:
    """The first repair that works, and what the layer gives then."""
    for each in problem.tries:
        try:
            return each.text, (run(each, takes, named, world),)
        except Exception:  # a repair that fails in any way is not offered
            continue
    return "", ()


def run(repair: Try, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns) -> Any:
    """What the layers of a repair give."""
    value, *further = takes
    for layer in repair.layers:
        for tensor in all_tensors(layer) if isinstance(layer, nn.Module) else ():
            world.tensor(tensor, value.device)
    *first, last = [world.module(each) if isinstance(each, nn.Module) else each for each in repair.layers]
    with world.mode:
        for layer in first:
            value = layer(value)
        return last(value, *further, **named)


# Types and devices, which fake tensors do not tell in every layer


def find_type_fault(
    place: tuple[Wiring, Layer], module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns
) -> Explained | None:
    """A value of another type, or on another device, than the parameters of its layer."""
    _, step = place
    known = (each for each in module.parameters() if not isinstance(each, UninitializedParameter))
    own = next((each for each in known if each.dim()), None)
    tensors = [each for each in (*takes, *named.values()) if isinstance(each, Tensor) and each.dim()]
    if own is None or not tensors:
        return None
    fake = world.tensor(own)
    for tensor in tensors:
        if tensor.device != fake.device:
            text = f"its parameters are on {fake.device}, and it receives a value on {tensor.device}"
            headline = f"{described(step, module)} cannot take its input\n  {text}"
            fault: ValueFault = DeviceError(place_of(step), headline, met_by(place, takes, named), device_advice(fake, tensor))
            return Explained(fault, given_by(module, takes, named, world, lambda each: each.to(fake.device)))
    wanted = wanted_dtype(module, fake, tensors[0])
    if wanted is None or torch.is_autocast_enabled(tensors[0].device.type):
        return None
    received = str(tensors[0].dtype).removeprefix("torch.")
    text = f"it expects {str(wanted).removeprefix('torch.')} and receives {received}"
    headline = f"{described(step, module)} cannot take its input\n  {text}"
    advice = f"Put torch.Tensor.{CONVERSIONS[wanted]} before it." if wanted in CONVERSIONS else "Convert the value before it."
    fault = DtypeError(place_of(step), headline, met_by(place, takes, named), advice)
    return Explained(fault, given_by(module, takes, named, world, lambda each: each.to(wanted)))


def wanted_dtype(module: nn.Module, own: Tensor, received: Tensor) -> torch.dtype | None:
    """The type that a layer wants in place of the one that it receives, or nothing if it takes that one."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return None if received.dtype in (torch.int64, torch.int32) else torch.int64
    if received.dtype == own.dtype or not isinstance(module, (*STRICT, *NORMS)):
        return None
    if isinstance(module, NORMS) and received.dtype in (torch.float16, torch.bfloat16) and own.dtype == torch.float32:
        return None
    return own.dtype


def device_advice(own: Tensor, received: Tensor) -> str:
    """How to bring a layer and its value together."""
    if own.device.type == "meta":
        return f"Its parameters have no numbers yet: write net.to_empty(device={str(received.device)!r}), and load them."
    return f"Write net.to({str(own.device)!r}) and give it inputs on {own.device}; all of a network is on one device."


def given_by(
    module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any], world: StandIns, convert: Callable[[Tensor], Tensor]
) -> tuple[Any, ...]:
    """What a layer gives for converted values, if it does."""
    own: Callable[..., Any] = module.function if isinstance(module, Function) else world.module(module)
    changed = [convert(each) if isinstance(each, Tensor) else each for each in takes]
    by_name = {name: convert(each) if isinstance(each, Tensor) else each for name, each in named.items()}
    try:
        with world.mode:
            return (own(*changed, **by_name),)
    except Exception:  # it has a second fault: what it would give is not known
        return ()


# Words for both ends


def described(step: Layer, module: nn.Module) -> str:
    """A layer by its name, if the user gave it one, and as it was written."""
    name = step.path[-1] if len(step.path) == 1 else step.key
    return f"{name!r} = {constructor(module)}" if named_by_user(name) else constructor(module)


def met_by(place: tuple[Wiring, Layer], takes: Sequence[Any], named: Mapping[str, Any]) -> list[Met]:
    """The values that a layer receives."""
    return [meeting(place[0], operand, value) for operand, value in operands_with(place[1], takes, named)]


def operands_with(step: Layer | Part, takes: Sequence[Any], named: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The operands of a step that are values, with what they are."""
    for operand, value in zip(step.takes, takes, strict=True):
        if not isinstance(operand, Number):
            yield operand, value
    for name, operand in step.named:
        if not isinstance(operand, Number):
            yield operand, named[name]
