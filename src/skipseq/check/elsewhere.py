"""Repairs at another place than the one where values do not fit: the layer before it, those between, or a larger input.

Each is proven by walking the network again up to that place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import constructor
from skipseq.flatten import Operation
from skipseq.wiring import Join, Pick, Value

from .problems import Problem, rebuilt

if TYPE_CHECKING:
    from .infer import Inference

__all__ = ["change_source", "find_layer_before", "larger_input", "padding", "works_on_tokens"]

#: Layers that work on the last dimension, of (batch, tokens, features) for one.
ON_FEATURES = (
    nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention,
    nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder, nn.TransformerDecoder,
)  # fmt: skip

#: Modules of torch whose layers work on channels, in dimension 1.
ON_CHANNELS = (
    "torch.nn.modules.conv", "torch.nn.modules.pooling", "torch.nn.modules.batchnorm", "torch.nn.modules.instancenorm",
    "torch.nn.modules.upsampling", "torch.nn.modules.padding", "torch.nn.modules.flatten", "torch.nn.modules.pixelshuffle",
)  # fmt: skip

#: Modules of torch whose layers give each number for itself.
ELEMENTWISE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")


def works_on_tokens(walk: Inference, value: Value) -> bool | None:
    """Whether a value is (batch, tokens, features), by the nearest layer that tells; nothing where none does."""
    while (i := walk.givers[value]) >= 0:
        operation = walk.line.operations[i]
        module, step = operation.module, operation.place.chain[-1][2]
        if isinstance(module, ON_FEATURES):
            return True
        if module is not None and type(module).__module__ in ON_CHANNELS:
            return False
        if not (isinstance(step, Join | Pick) or passes_on(module)) or not operation.reads():
            return None
        value = operation.reads()[0]
    return None


def passes_on(module: nn.Module | None) -> bool:
    """Whether a layer changes each number for itself."""
    inside = type(module).__module__ in ELEMENTWISE and not isinstance(module, nn.MultiheadAttention | nn.GLU)
    return inside or isinstance(module, nn.Identity)


def find_layer_before(walk: Inference, value: Value) -> Operation | None:
    """The layer that gives a value, behind those that change each number for itself."""
    while (i := walk.givers[value]) >= 0:
        operation = walk.line.operations[i]
        if not passes_on(operation.module):
            return operation if operation.kind == "layer" else None
        value = operation.reads()[0]
    return None


def change_source(walk: Inference, i: int, problem: Problem) -> tuple[str, Any]:
    """The layer before an operation, written so that it gives what the operation can take; and what that gives then."""
    reads = walk.line.operations[i].reads()
    source = find_layer_before(walk, reads[problem.index if isinstance(problem.index, int) else 0]) if reads else None
    if source is None or source.module is None or walk.probing:
        return "", None
    for layer in written_for(source.module, problem):
        if (again := fits(walk, i, {id(source.module): layer}, [source.module])) is not None:
            result = again.values[walk.line.operations[i].gives[0]]
            return f"Write {constructor(layer)} at net{source.place.text()}.", result
    return "", None


def written_for(module: nn.Module, problem: Problem) -> Iterator[nn.Module]:
    """How a layer might be written so that what stands behind it can take its value."""
    if isinstance(module, nn.Flatten) and module.start_dim == 0:
        yield nn.Flatten()
    for name in ("out_features", "out_channels", "embedding_dim"):
        if problem.wanted is not None and hasattr(module, name):
            changes: dict[str, Any] = {name: problem.wanted}
            yield from (each.layers[0] for each in rebuilt(module, **changes))  # type: ignore[misc]


def fits(walk: Inference, i: int, instead: Mapping[int, nn.Module], own: Sequence[nn.Module]) -> Inference | None:
    """A walk with other layers in which an operation fits, and nothing before it fails that did not; or nothing."""
    for layer, module in zip(instead.values(), own, strict=True):
        device = next((walk.world.tensor(each).device for each in module.parameters()), None)
        for fresh in layer.parameters():
            walk.world.tensor(fresh, device)
    return fitting_again(walk, i, walk.again(instead=instead))


def fitting_again(walk: Inference, i: int, again: Inference) -> Inference | None:
    """A walk, if an operation fits in it, and nothing before it fails that did not before."""
    again.walk(until=i + 1)
    place = walk.line.operations[i].place.text()
    known = {fault.place for fault in walk.faults} - {place}
    return again if {fault.place for fault in again.faults} <= known else None


# Layers between a skip and its join


def padding(walk: Inference, i: int) -> str:
    """The convolutions between a skip and its join that would keep the size if they were padded, if that is enough."""
    operations = walk.line.operations
    first = min((walk.givers[value] for value in operations[i].reads()), default=i)
    found = [(each, padded(each.module)) for each in operations[first + 1 : i]]
    changed = [(each, layer) for each, layer in found if layer is not None and each.module is not None]
    if not changed or walk.probing:
        return ""
    instead = {id(operation.module): layer for operation, layer in changed}
    own = {id(operation.module): operation.module for operation, _ in changed}
    if fits(walk, i, instead, [each for each in own.values() if each is not None]) is None:
        return ""
    places = [f"{constructor(layer)} at net{operation.place.text()}" for operation, layer in changed]
    return f"Write {', '.join(places[:-1])}{' and ' if places[1:] else ''}{places[-1]}, to keep the size."


def padded(module: nn.Module | None) -> nn.Module | None:
    """A convolution with the padding that keeps the size, if it is one that makes a value smaller by its kernel alone."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or isinstance(module.padding, str):
        return None
    wanted = tuple(d * (k - 1) // 2 for k, d in zip(module.kernel_size, module.dilation, strict=True))
    if set(module.stride) != {1} or any(k % 2 == 0 for k in module.kernel_size) or wanted == module.padding:
        return None
    repair = next(rebuilt(module, padding=wanted), None)
    return repair.layers[0] if repair is not None else None  # type: ignore[return-value]


# A larger input

#: The most that is added to an input while one is looked for that is large enough.
MOST = 2048


def larger_input(walk: Inference, i: int) -> str:
    """The smallest input, grown by the same in each dimension, for which an operation fits."""
    first = next(iter(walk.given), None)
    given = None if first is None else walk.given[first]
    if walk.probing or not isinstance(given, Tensor) or not 3 <= given.dim() <= 5:
        return ""
    shape, more = tuple(given.shape), 1
    while more <= MOST and not fits_larger(walk, i, shape, more):
        more *= 2
    if more > MOST:
        return ""
    low, high = more // 2, more
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits_larger(walk, i, shape, middle) else (middle, high)
    return f"Use a larger input: {grown(shape, high)} is large enough."


def grown(shape: tuple[int, ...], more: int) -> tuple[int, ...]:
    """A shape whose extents behind batch and channels are larger."""
    return (*shape[:2], *(extent + more for extent in shape[2:]))


def fits_larger(walk: Inference, i: int, shape: tuple[int, ...], more: int) -> bool:
    """Whether an operation fits if the first input is larger."""
    start = next(iter(walk.given))
    value = next(iter(walk.given_before))
    like = walk.given[start]
    with walk.world.mode:
        larger = torch.empty(grown(shape, more), dtype=like.dtype, device=like.device)
    return fitting_again(walk, i, walk.again(given={**walk.given_before, value: larger})) is not None
