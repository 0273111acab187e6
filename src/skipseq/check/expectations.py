"""What the layers of torch expect of the value that they receive, and the layer to write instead.

A function for each family of layers answers with the problem in words and with repairs to try, the likeliest first. A repair
is offered only after it was tried: see :func:`skipseq.check.layers.first_working`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd, isqrt, prod
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import arguments_of, constructor

__all__ = ["Problem", "Try", "find_problem", "rebuilt"]


@dataclass(frozen=True, slots=True)
class Try:
    """A repair to try: layers that are put before, or instead of, the layer."""

    text: str
    layers: tuple[Callable[..., Any], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a layer expects, against what it receives; and what may help."""

    text: str
    tries: tuple[Try, ...] = ()
    advice: str = ""


#: What may help where a value has become too small.
SMALLER = "Leave out a layer before it that makes the value smaller, or use a larger input."

#: What a value is, by the number of dimensions behind batch and channels.
SHAPES = {
    1: "(batch, channels, length)",
    2: "(batch, channels, height, width)",
    3: "(batch, channels, depth, height, width)",
}


def find_problem(module: nn.Module, x: Tensor) -> Problem | None:
    """What does not fit between a layer and the value that it receives, or nothing if the layer is not known."""
    for kinds, find in FAMILIES:
        if isinstance(module, kinds):
            return find(module, x)
    return None


def rebuilt(module: nn.Module, cls: Any = None, **changes: Any) -> Iterator[Try]:
    """The layer with other arguments, as a repair; nothing if the layer does not keep its arguments."""
    known = arguments_of(module)
    if known is not None and module.__class__.__module__.startswith("torch.nn."):
        own = next(module.parameters(), None)
        try:
            with torch.device("meta"):
                layer: nn.Module = (cls or type(module))(**{**known, **changes})
        except (TypeError, ValueError, RuntimeError):
            return
        layer = layer if own is None else layer.to(own.dtype)
        yield Try(f"Write {constructor(layer)}.", (layer.train(module.training),))


def before(text: str, *layers: Callable[..., Any]) -> Try:
    """A repair that puts an entry before the layer, which is the last of the layers."""
    return Try(f"Put {text} before it.", layers)


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Linear layers


def linear_problem(module: Any, x: Tensor) -> Problem | None:
    """Features stand in the last dimension."""
    expected, shape = module.in_features, tuple(x.shape)
    if not shape or shape[-1] == expected:
        return None
    tries: list[Try] = []
    if len(shape) > 2:
        flat = prod(shape[1:])
        if flat == expected:
            tries.append(before("nn.Flatten()", nn.Flatten(), module))
        elif shape[1] == expected and len(shape) <= 5:
            name = f"Conv{len(shape) - 2}d"
            layer = getattr(nn, name)(expected, module.out_features, 1, bias=module.bias is not None)
            pool = getattr(nn, f"AdaptiveAvgPool{len(shape) - 2}d")(1)
            text = f"Put {constructor(pool)} and nn.Flatten() before it, or write {constructor(layer)} for each position."
            tries.append(Try(text, (pool, nn.Flatten(), module)))
        elif len(shape) > 3:
            tries += [
                Try(f"Put nn.Flatten() before it, and w{each.text[1:]}", (nn.Flatten(), *each.layers))
                for each in rebuilt(module, in_features=flat)
            ]
    tries += rebuilt(module, in_features=shape[-1])
    return Problem(f"it expects {counted(expected, 'feature')} and receives {shape[-1]}", tuple(tries))


# Convolutions


def convolution_problem(module: Any, x: Tensor) -> Problem | None:
    """Channels stand before the extents, with a batch or without."""
    rank, shape = len(module.kernel_size), tuple(x.shape)
    if len(shape) not in (rank + 1, rank + 2):
        return wrong_rank(module, x, rank, list(convolution_of_rank(module, x)))
    if (received := shape[-rank - 1]) != module.in_channels:
        tries = []
        if len(shape) == rank + 2 and shape[-1] == module.in_channels <= 4 < shape[1]:  # pictures as files have them
            tries.append(before("partial(torch.movedim, source=-1, destination=1)", lambda v: v.movedim(-1, 1), module))
        changes = {"in_channels": received}
        if module.groups == module.in_channels:
            changes |= {"groups": received, "out_channels": module.out_channels // module.in_channels * received}
        tries += [*rebuilt(module, **changes), *rebuilt(module, in_channels=received, groups=gcd(module.groups, received))]
        return Problem(f"it expects {counted(module.in_channels, 'channel')} and receives {received}", tuple(tries))
    if module.transposed or isinstance(module.padding, str):
        return None
    spans = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    for d, (span, padding) in enumerate(zip(spans, module.padding, strict=True)):
        extent = shape[d - rank]
        if extent + 2 * padding < span:
            wide = f" spans {span} and" if span != module.kernel_size[d] else ""
            text = f"its kernel of {module.kernel_size[d]}{wide} is larger than the extent that it receives, {extent}"
            text += f" with {padding} of padding on both sides" if padding else ""
            tries = list(rebuilt(module, padding=tuple(each // 2 for each in spans)))
            return Problem(text, tuple(tries), SMALLER)
    return None


def convolution_of_rank(module: Any, x: Tensor) -> Iterator[Try]:
    """The convolution over as many dimensions as the value has, if its arguments are the same in each."""
    name, rank = type(module).__name__, len(module.kernel_size)
    other = x.dim() - 2
    cls = getattr(nn, name.replace(f"{rank}d", f"{other}d"), None)
    known = arguments_of(module)
    if cls is None or known is None or other not in SHAPES or x.shape[1] != module.in_channels:
        return
    per_dimension = ("kernel_size", "stride", "padding", "dilation", "output_padding")
    if all(len(set(known[name])) == 1 for name in per_dimension if isinstance(known.get(name), tuple)):
        changes = {name: known[name][0] for name in per_dimension if isinstance(known.get(name), tuple)}
        yield from rebuilt(module, cls, **changes)


def wrong_rank(module: Any, x: Tensor, rank: int, tries: list[Try]) -> Problem:
    """The value has another number of dimensions than the layer works over."""
    shape = tuple(x.shape)
    channels = getattr(module, "in_channels", getattr(module, "num_features", 0))
    if len(shape) == 2 and channels:
        extent = round((shape[1] / channels) ** (1 / rank)) if shape[1] % channels == 0 else 0
        if extent and channels * extent**rank == shape[1]:
            sizes = (channels, *[extent] * rank)
            tries.append(before(f"nn.Unflatten(1, {sizes})", nn.Unflatten(1, sizes), module))
    if len(shape) == rank + 1 and channels == 1:
        sizes = (1, shape[1])
        tries.append(before(f"nn.Unflatten(1, {sizes})", nn.Unflatten(1, sizes), module))
    text = f"it expects {SHAPES[rank]} and receives {counted(len(shape), 'dimension')}"
    return Problem(text, tuple(tries))


# Normalisation


def batch_norm_problem(module: Any, x: Tensor) -> Problem | None:
    """Features stand in dimension 1."""
    name, shape = type(module).__name__, tuple(x.shape)
    rank = next((each for each in SHAPES if f"{each}d" in name), 0)
    allowed = {1: (2, 3), 2: (4,), 3: (5,)}.get(rank, range(2, 9))
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        allowed = (rank + 1, rank + 2)
    if rank and len(shape) not in allowed:
        other = max(len(shape) - 2, 1)
        cls = getattr(nn, name.replace(f"{rank}d", f"{other}d"), None)
        return wrong_rank(module, x, rank, list(rebuilt(module, cls)) if cls is not None else [])
    received = shape[1] if len(shape) > 1 else 0
    if isinstance(module, nn.modules.instancenorm._InstanceNorm) and len(shape) == rank + 1:
        received = shape[0]
    if received != module.num_features:
        text = f"it expects {counted(module.num_features, 'channel')} and receives {received}"
        return Problem(text, tuple(rebuilt(module, num_features=received)))
    if module.training and prod(shape) == received:
        text = "it needs more than one value in each channel to take statistics of them in training"
        return Problem(text, (), "Train with a batch of two or more, or call net.eval() before.")
    return None


def group_norm_problem(module: Any, x: Tensor) -> Problem | None:
    """Channels stand in dimension 1, in groups of equal size."""
    received = x.shape[1] if x.dim() > 1 else 0
    if received == module.num_channels:
        return None
    groups = gcd(module.num_groups, received)
    text = f"it expects {counted(module.num_channels, 'channel')} and receives {received}"
    return Problem(text, tuple(rebuilt(module, num_channels=received, num_groups=groups)))


def layer_norm_problem(module: Any, x: Tensor) -> Problem | None:
    """The last dimensions have the extents that are normalised over."""
    expected = tuple(module.normalized_shape)
    received = tuple(x.shape)[-len(expected) :]
    if received == expected:
        return None
    tries = list(rebuilt(module, normalized_shape=received[0] if len(received) == 1 else received))
    if x.dim() > 3 and len(expected) == 1 and x.shape[1] == expected[0]:
        layer = nn.GroupNorm(1, expected[0])
        tries.insert(0, Try(f"Write {constructor(layer)}: the channels stand in dimension 1.", (layer,)))
    if len(expected) == len(received) == 1:
        return Problem(f"it expects {counted(expected[0], 'feature')} and receives {received[0]}", tuple(tries))
    return Problem(f"it expects the last dimensions to be {expected} and receives {received}", tuple(tries))


def prelu_problem(module: Any, x: Tensor) -> Problem | None:
    """One slope for each channel, or one for all."""
    received = x.shape[1] if x.dim() > 1 else 1
    if module.num_parameters in (1, received):
        return None
    text = f"it expects {counted(module.num_parameters, 'channel')} and receives {received}"
    return Problem(text, tuple(rebuilt(module, num_parameters=received)))


# Recurrent layers, attention, embeddings


def recurrent_problem(module: Any, x: Tensor) -> Problem | None:
    """Features stand in the last dimension of (steps, batch, features) or (batch, steps, features)."""
    order = "(batch, steps, features)" if getattr(module, "batch_first", False) else "(steps, batch, features)"
    if isinstance(module, nn.RNNCellBase):
        order = "(batch, features)"
    if x.dim() not in ((1, 2) if isinstance(module, nn.RNNCellBase) else (2, 3)):
        tries = [before("nn.Flatten(2)", nn.Flatten(2), module)] if x.dim() > 3 else []
        return Problem(f"it expects {order} and receives {counted(x.dim(), 'dimension')}", tuple(tries))
    if x.shape[-1] == module.input_size:
        return None
    text = f"it expects {counted(module.input_size, 'feature')} in {order} and receives {x.shape[-1]}"
    return Problem(text, tuple(rebuilt(module, input_size=x.shape[-1])))


def transformer_problem(module: Any, x: Tensor) -> Problem | None:
    """Features stand in the last dimension."""
    attention = module.self_attn
    return projected_problem(module, x, attention.embed_dim)


def attention_problem(module: Any, x: Tensor) -> Problem | None:
    """The query has as many features as the layer; keys and values have their own number."""
    return projected_problem(module, x, module.embed_dim)


def projected_problem(module: Any, x: Tensor, expected: int) -> Problem | None:
    """A layer of a fixed width is given a value of another width: a linear layer before it brings it there."""
    if x.dim() not in (2, 3):
        order = "(batch, tokens, features)" if getattr(module, "batch_first", False) else "(tokens, batch, features)"
        return Problem(f"it expects {order} and receives {counted(x.dim(), 'dimension')}")
    if x.shape[-1] == expected:
        return None
    layer = nn.Linear(x.shape[-1], expected)
    text = f"it expects {counted(expected, 'feature')} and receives {x.shape[-1]}"
    return Problem(text, (before(constructor(layer), layer, module),))


# Pooling, resizing, reshaping


def pool_problem(module: Any, x: Tensor) -> Problem | None:
    """The kernel must not be larger than the padded value."""
    rank = next((each for each in SHAPES if f"{each}d" in type(module).__name__), 0)
    if rank and x.dim() not in (rank + 1, rank + 2):
        name = type(module).__name__.replace(f"{rank}d", f"{x.dim() - 2}d")
        cls, known = getattr(nn, name, None), arguments_of(module)
        uniform = known is not None and not any(isinstance(each, tuple | list) for each in known.values())
        return wrong_rank(module, x, rank, list(rebuilt(module, cls)) if cls is not None and uniform else [])
    kernel = getattr(module, "kernel_size", None)
    if not rank or kernel is None:
        return None
    kernels = kernel if isinstance(kernel, tuple) else (kernel,) * rank
    for span, extent in zip(kernels, tuple(x.shape)[-rank:], strict=False):
        if extent < span:
            text = f"its kernel of {span} is larger than the extent that it receives, {extent}"
            return Problem(text, (), "Leave it out, or use a larger input.")
    return None


def upsample_problem(module: Any, x: Tensor) -> Problem | None:
    """Each mode is for one number of dimensions."""
    modes = {3: "linear", 4: "bilinear", 5: "trilinear"}
    if module.mode not in (*modes.values(), "bicubic") or modes.get(x.dim()) == module.mode:
        return None
    expected = next((rank for rank, mode in modes.items() if mode == module.mode), 4)
    tries = list(rebuilt(module, mode=modes[x.dim()])) if x.dim() in modes else []
    return Problem(f"mode={module.mode!r} expects {expected} dimensions and receives {x.dim()}", tuple(tries))


def unflatten_problem(module: Any, x: Tensor) -> Problem | None:
    """The extents multiply to the one that they replace."""
    if not isinstance(module.dim, int) or not -x.dim() <= module.dim < x.dim():
        return None
    expected, received = prod(module.unflattened_size), x.shape[module.dim]
    if expected == received or expected < 0:
        return None
    first, *rest = module.unflattened_size
    tries: list[Try] = []
    side = isqrt(received // first) if first and received % first == 0 else 0
    if len(rest) == 2 and side * side * first == received:
        tries += rebuilt(module, unflattened_size=(first, side, side))
    if received % prod(rest) == 0:
        tries += rebuilt(module, unflattened_size=(received // prod(rest), *rest))
    sizes = " x ".join(map(str, module.unflattened_size))
    return Problem(f"it expects {expected} = {sizes} and receives {received}", tuple(tries))


def shuffle_problem(module: Any, x: Tensor) -> Problem | None:
    """Channels become pixels, or pixels channels, in squares."""
    if isinstance(module, nn.PixelShuffle):
        square = module.upscale_factor**2
        if x.dim() > 2 and x.shape[-3] % square:
            near = -(-x.shape[-3] // square) * square
            advice = f"Give the layer before it {near} channels."
            return Problem(f"it expects channels in multiples of {square} and receives {x.shape[-3]}", (), advice)
        return None
    factor = module.downscale_factor
    if x.dim() > 2 and any(extent % factor for extent in x.shape[-2:]):
        advice = "Use an input whose size is a multiple of it here."
        return Problem(f"it expects extents in multiples of {factor} and receives {tuple(x.shape[-2:])}", (), advice)
    return None


#: The families of layers and what finds their problems; a class stands before those that it derives from.
FAMILIES: tuple[tuple[Any, Callable[[Any, Tensor], Problem | None]], ...] = (
    (nn.Linear, linear_problem),
    (nn.modules.conv._ConvNd, convolution_problem),
    ((nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm), batch_norm_problem),
    (nn.GroupNorm, group_norm_problem),
    ((nn.LayerNorm, nn.RMSNorm), layer_norm_problem),
    (nn.PReLU, prelu_problem),
    ((nn.RNNBase, nn.RNNCellBase), recurrent_problem),
    ((nn.TransformerEncoderLayer, nn.TransformerDecoderLayer), transformer_problem),
    (nn.MultiheadAttention, attention_problem),
    (
        (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
         nn.modules.pooling._AdaptiveMaxPoolNd),
        pool_problem,
    ),
    (nn.Upsample, upsample_problem),
    (nn.Unflatten, unflatten_problem),
    ((nn.PixelShuffle, nn.PixelUnshuffle), shuffle_problem),
)  # fmt: skip
