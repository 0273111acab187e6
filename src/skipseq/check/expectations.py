"""What the layers of torch expect of the value that they receive, and the layer to write instead.

A function for each family of layers answers with the problem in words and with repairs to try, the likeliest first. A repair
is offered only after it was tried: see :func:`skipseq.check.layers.first_working`. Here are the layers of features and
channels; those that change extents are in :mod:`skipseq.check.extents`, those of sequences in :mod:`skipseq.check.sequences`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, prod
from typing import Any

from torch import Tensor, nn

from skipseq.declare.constructors import arguments_of

from . import extents, sequences
from .problems import NO_POSITIONS, SHAPES, Finder, Problem, Try, before, channels_to, counted, rebuilt, replaced

__all__ = ["find_problem", "find_unnoticed"]


def find_problem(module: nn.Module, x: Tensor, tokens: bool | None = None) -> Problem | None:
    """What does not fit between a layer and the value that it receives, or nothing if the layer is not known.

    Args:
        module: the layer.
        x: the value.
        tokens: whether the value is (batch, tokens, features), as far as the layers tell from which it comes.
    """
    for kinds, find in FAMILIES:
        if isinstance(module, kinds):
            return find(module, x, tokens)
    return None


#: Layers whose dimension is not looked at without numbers.
OVER_A_DIMENSION = (nn.Softmax, nn.LogSoftmax, nn.Softmin)


def find_unnoticed(module: nn.Module, x: Tensor) -> Problem | None:
    """What a layer without numbers does not notice, and a real one does."""
    if not isinstance(module, OVER_A_DIMENSION) or module.dim is None or -max(x.dim(), 1) <= module.dim < max(x.dim(), 1):
        return None
    text = (
        f"it works on dimension {module.dim} and receives {counted(x.dim(), 'dimension')}, of which the last is {x.dim() - 1}"
    )
    return Problem(text, tuple(rebuilt(module, dim=-1)))


# Linear layers


def linear_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """Features stand in the last dimension."""
    expected, shape = module.in_features, tuple(x.shape)
    if not shape or shape[-1] == expected:
        return None
    flat, rank = prod(shape[1:]), len(shape) - 2
    pictures = rank in SHAPES and not tokens
    tries: list[Try] = []
    if rank > 0 and flat == expected:
        tries.append(before(module, nn.Flatten()))
    elif pictures and shape[1] == expected:
        tries += pooled(module, rank)
    elif pictures and (rank > 1 or tokens is False):
        tries += [before(module, nn.Flatten(), write=each) for each in rebuilt(module, in_features=flat)]
    tries += rebuilt(module, in_features=shape[-1])
    text = f"it expects {counted(expected, 'feature')} in dimension {len(shape) - 1} and receives {shape[-1]}"
    return Problem(text, tuple(tries), both=len(tries) > 2)


def pooled(module: nn.Linear, rank: int) -> list[Try]:
    """A linear layer over the channels of pictures: of their average, or at each position."""
    pool, convolution = getattr(nn, f"AdaptiveAvgPool{rank}d")(1), getattr(nn, f"Conv{rank}d")
    sizes, bias = (module.in_features, module.out_features, 1), module.bias is not None
    return [
        before(module, pool, nn.Flatten()),
        replaced(module, convolution, *sizes, bias=bias, note="the same at each position"),
    ]


# Convolutions


def convolution_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """Channels stand before the extents, with a batch or without."""
    rank, shape = len(module.kernel_size), tuple(x.shape)
    if len(shape) not in (rank + 1, rank + 2):
        return wrong_rank(module, x, rank, list(convolution_of_rank(module, x)))
    if shape[-rank - 1] != module.in_channels:
        return channels_problem(module, x, rank, tokens)
    if module.transposed or isinstance(module.padding, str):
        return None
    spans = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    for d, (span, padding) in enumerate(zip(spans, module.padding, strict=True), len(shape) - rank):
        if shape[d] + 2 * padding < span:
            kernel = module.kernel_size[d - len(shape) + rank]
            wide = f" spans {span} positions and" if span != kernel else ""
            text = f"its kernel of {kernel}{wide} is larger than dimension {d} of its input, which is {shape[d]}"
            text += f", with {padding} of padding on both sides" if padding else ""
            padded = tuple(enough(*each) for each in zip(spans, module.padding, shape[-rank:], strict=True))
            return Problem(text, tuple(rebuilt(module, padding=padded)), small=True)
    return None


def enough(span: int, padding: int, extent: int) -> int:
    """A padding with which a kernel fits: the one that keeps the size if there is one, else the smallest."""
    if extent + 2 * padding >= span:
        return padding
    return span // 2 if span % 2 else -((extent - span) // 2)


def channels_problem(module: Any, x: Tensor, rank: int, tokens: bool | None) -> Problem:
    """The value has another number of channels; or its channels stand elsewhere."""
    shape, expected = tuple(x.shape), module.in_channels
    alone, received = len(shape) == rank + 1, shape[-rank - 1]
    tries: list[Try] = []
    if alone and shape[1] == expected:
        tries += convolution_of_rank(module, x)
    if shape[-1] == expected and channels_last(shape, rank, expected, tokens):
        tries.append(before(module, channels_to(0 if alone else 1)))
    if alone and expected == 1:
        tries.append(before(module, nn.Unflatten(0, (-1, 1))))
    if module.groups == expected > 1:  # each channel by itself
        changes = {"in_channels": received, "groups": received, "out_channels": module.out_channels // expected * received}
        tries += rebuilt(module, **changes)
    tries += rebuilt(module, in_channels=received)
    tries += rebuilt(module, in_channels=received, groups=gcd(module.groups, received))
    text = f"it expects {counted(expected, 'channel')} in dimension {len(shape) - rank - 1} and receives {received}"
    return Problem(text, tuple(tries))


def channels_last(shape: tuple[int, ...], rank: int, channels: int, tokens: bool | None) -> bool:
    """Whether a value rather has its channels, of which the convolution expects so many, in the last dimension."""
    if rank == 1:
        return tokens is not False
    sides = shape[-rank - 1 : -1]
    return channels <= 4 < min(sides) or (len(set(sides)) == 1 and sides[0] != channels)


def convolution_of_rank(module: Any, x: Tensor) -> Iterator[Try]:
    """The convolution over as many dimensions as the value has, if its arguments are the same in each."""
    name, rank = type(module).__name__, len(module.kernel_size)
    other = x.dim() - 2
    cls = getattr(nn, name.replace(f"{rank}d", f"{other}d"), None)
    known = arguments_of(module)
    if cls is None or known is None or other not in SHAPES or x.shape[1] != module.in_channels:
        return
    per_dimension = ("kernel_size", "stride", "padding", "dilation", "output_padding")
    tuples = {name: known[name] for name in per_dimension if isinstance(known.get(name), tuple)}
    if all(len(set(each)) == 1 for each in tuples.values()):
        yield from rebuilt(module, cls, **{name: each[0] for name, each in tuples.items()})


def wrong_rank(module: Any, x: Tensor, rank: int, tries: list[Try]) -> Problem:
    """The value has another number of dimensions than the layer works over."""
    shape = tuple(x.shape)
    channels = getattr(module, "in_channels", getattr(module, "num_features", 0))
    if len(shape) == 2 and channels:
        extent = round((shape[1] / channels) ** (1 / rank)) if shape[1] % channels == 0 else 0
        if extent and channels * extent**rank == shape[1]:
            tries.append(before(module, nn.Unflatten(1, (channels, *[extent] * rank))))
    form = f"(batch, channels) or {SHAPES[1]}" if isinstance(module, nn.BatchNorm1d) else SHAPES[rank]
    advice = "Give the network a batch: x[None] is a batch of one." if len(shape) == rank + 1 else NO_POSITIONS
    return Problem(f"it expects {form} and receives {counted(len(shape), 'dimension')}", tuple(tries), advice)


# Normalisation


def batch_norm_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """Features stand in dimension 1."""
    name, shape = type(module).__name__, tuple(x.shape)
    rank = next((each for each in SHAPES if f"{each}d" in name), 0)
    if rank and len(shape) not in {1: (2, 3), 2: (4,), 3: (5,)}[rank]:
        cls = getattr(nn, name.replace(f"{rank}d", f"{max(len(shape) - 2, 1)}d"), None)
        return wrong_rank(module, x, rank, list(rebuilt(module, cls)) if cls is not None else [])
    received, expected = shape[1] if len(shape) > 1 else 0, module.num_features
    if received != expected:
        tries = list(rebuilt(module, num_features=received))
        if len(shape) == 3 and shape[2] == expected and tokens is not False:
            tries.insert(0, replaced(module, nn.LayerNorm, expected, note="the features stand in the last dimension"))
        return Problem(channels_text(expected, received, 1), tuple(tries))
    if module.training and prod(shape) == received:
        text = "it needs more than one value in each channel to take statistics of them in training"
        return Problem(text, (), "Train with a batch of two or more, or call net.eval() before.")
    return None


def channels_text(expected: int, received: int, dimension: int) -> str:
    """Channels expected, against those received."""
    return f"it expects {counted(expected, 'channel')} in dimension {dimension} and receives {received}"


def instance_norm_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """Channels stand before the extents, with a batch or without."""
    name, shape = type(module).__name__, tuple(x.shape)
    rank = next((each for each in SHAPES if f"{each}d" in name), 0)
    if len(shape) == 2 and rank > 1:
        note = "there are no positions to take statistics over, but features"
        return Problem(wrong_rank(module, x, rank, []).text, (replaced(module, nn.LayerNorm, shape[1], note=note),))
    if rank and len(shape) not in (rank + 1, rank + 2):
        cls = getattr(nn, name.replace(f"{rank}d", f"{max(len(shape) - 2, 1)}d"), None)
        return wrong_rank(module, x, rank, list(rebuilt(module, cls)) if cls is not None else [])
    dimension = len(shape) - rank - 1
    if (received := shape[dimension]) != module.num_features and module.affine:
        tries = tuple(rebuilt(module, num_features=received))
        return Problem(channels_text(module.num_features, received, dimension), tries)
    if prod(shape[dimension + 1 :]) == 1:
        text = "it needs more than one position in each channel to take statistics over them"
        return Problem(text, (), "Leave it out.", small=True)
    return None


def group_norm_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """Channels stand in dimension 1, in groups of equal size."""
    received = x.shape[1] if x.dim() > 1 else 0
    if received == module.num_channels:
        text = "it needs more than one value in each group to take statistics of them"
        return Problem(text, tuple(rebuilt(module, num_groups=1))) if prod(x.shape) == module.num_groups else None
    groups = gcd(module.num_groups, received)
    tries = tuple(rebuilt(module, num_channels=received, num_groups=groups))
    return Problem(channels_text(module.num_channels, received, 1), tries)


def layer_norm_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """The last dimensions have the extents that are normalised over."""
    expected = tuple(module.normalized_shape)
    received = tuple(x.shape)[-len(expected) :]
    if received == expected:
        return None
    tries = list(rebuilt(module, normalized_shape=received[0] if len(received) == 1 else received))
    if x.dim() > 2 and len(expected) == 1 and x.shape[1] == expected[0] and not tokens:
        tries.insert(0, replaced(module, nn.GroupNorm, 1, expected[0], note="the channels stand in dimension 1"))
    if len(expected) == len(received) == 1:
        text = f"it expects {counted(expected[0], 'feature')} in dimension {x.dim() - 1} and receives {received[0]}"
        return Problem(text, tuple(tries))
    return Problem(f"it expects the last dimensions to be {expected} and receives {received}", tuple(tries))


def prelu_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """One slope for each channel, or one for all."""
    received = x.shape[1] if x.dim() > 1 else 1
    if module.num_parameters in (1, received):
        return None
    tries = tuple(rebuilt(module, num_parameters=received))
    return Problem(channels_text(module.num_parameters, received, 1), tries)


#: The families of layers and what finds their problems; a class stands before those that it derives from.
FAMILIES: tuple[tuple[Any, Finder], ...] = (
    (nn.Linear, linear_problem),
    (nn.modules.conv._ConvNd, convolution_problem),
    (nn.modules.instancenorm._InstanceNorm, instance_norm_problem),
    (nn.modules.batchnorm._BatchNorm, batch_norm_problem),
    (nn.GroupNorm, group_norm_problem),
    ((nn.LayerNorm, nn.RMSNorm), layer_norm_problem),
    (nn.PReLU, prelu_problem),
    *sequences.FAMILIES,
    *extents.FAMILIES,
)
