"""What the layers of torch that change extents expect: pooling, padding, resizing, reshaping."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

from torch import Tensor, nn

from skipseq.declare.constructors import arguments_of

from .problems import NO_POSITIONS, SHAPES, Finder, Problem, Try, before, counted, rebuilt, replaced

__all__ = ["FAMILIES"]


def in_each_dimension(value: Any, rank: int) -> tuple[int, ...]:
    """An argument that is one number for all dimensions, or one for each."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * rank


def pool_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """The kernel must not be larger than the padded value."""
    name, shape = type(module).__name__, tuple(x.shape)
    rank = next((each for each in SHAPES if f"{each}d" in name), 0)
    if rank and len(shape) not in (rank + 1, rank + 2):
        cls, known = getattr(nn, name.replace(f"{rank}d", f"{len(shape) - 2}d"), None), arguments_of(module)
        uniform = known is not None and not any(isinstance(each, tuple | list) for each in known.values())
        text = f"it expects {SHAPES[rank]} and receives {counted(len(shape), 'dimension')}"
        return Problem(text, tuple(rebuilt(module, cls)) if cls is not None and uniform else (), NO_POSITIONS)
    if not rank or (kernel := getattr(module, "kernel_size", None)) is None:
        return None
    sizes = [in_each_dimension(getattr(module, each, 1), rank) for each in ("padding", "dilation")]
    for d, size, padding, dilation in zip(range(-rank, 0), in_each_dimension(kernel, rank), *sizes, strict=False):
        counts = 0 if isinstance(module, nn.AvgPool3d) else padding  # which looks at the value without its padding
        if shape[d] + 2 * counts < dilation * (size - 1) + 1:
            text = f"its kernel of {size} is larger than dimension {len(shape) + d} of its input, which is {shape[d]}"
            return Problem(text, (), "Leave it out.", small=True)
        if 2 * padding > size:
            text = f"its padding of {padding} is more than half of its kernel of {size}"
            halves = tuple(each // 2 for each in in_each_dimension(kernel, rank))
            return Problem(text, tuple(rebuilt(module, padding=halves)))
    return None


def pad_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """A reflection has to have positions to reflect; a circle goes around once."""
    rank = len(module.padding) // 2
    if x.dim() not in (rank + 1, rank + 2):
        text = f"it expects {SHAPES[rank]} and receives {counted(x.dim(), 'dimension')}"
        return Problem(text, (), NO_POSITIONS)
    once = int(isinstance(module, nn.modules.padding._ReflectionPadNd))
    for d in range(1, rank + 1):
        padding, extent = max(module.padding[2 * d - 2 : 2 * d]), x.shape[-d]
        if padding > extent - once:
            verb = "reflects" if once else "repeats"
            limit = f"which is {extent}: {max(extent - once, 0)} can be"
            text = f"it {verb} {padding} positions of dimension {x.dim() - d}, {limit}"
            sizes = module.padding[0] if len(set(module.padding)) == 1 else tuple(module.padding)
            cls = getattr(nn, f"ReplicationPad{rank}d")
            return Problem(text, (replaced(module, cls, sizes),), small=True)
    return None


def upsample_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """Each mode is for one number of dimensions."""
    modes = {3: "linear", 4: "bilinear", 5: "trilinear"}
    if x.dim() not in modes:
        text = f"it expects {SHAPES[1]}, {SHAPES[2]} or with a depth, and receives {counted(x.dim(), 'dimension')}"
        return Problem(text, (), NO_POSITIONS)
    if module.mode not in (*modes.values(), "bicubic") or modes[x.dim()] == module.mode:
        return None
    expected = next((rank for rank, mode in modes.items() if mode == module.mode), 4)
    text = f"mode={module.mode!r} expects {expected} dimensions and receives {x.dim()}"
    return Problem(text, tuple(rebuilt(module, mode=modes[x.dim()])))


def flatten_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """It flattens dimensions that the value has."""
    missing = [each for each in (module.start_dim, module.end_dim) if not -x.dim() <= each < x.dim()]
    if not missing:
        return None
    text = (
        f"it flattens dimension {missing[0]}, and receives {counted(x.dim(), 'dimension')}, of which the last is {x.dim() - 1}"
    )
    return Problem(text, (Try((nn.Identity(),), write="nn.Flatten()"),) if x.dim() > 1 else ())


def unflatten_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
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
    text = f"it expects {expected} = {sizes} in dimension {module.dim % x.dim()} and receives {received}"
    return Problem(text, tuple(tries), wanted=expected)


def shuffle_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """Channels become pixels, or pixels channels, in squares."""
    if x.dim() < 3:
        return Problem(f"it expects {SHAPES[2]} and receives {counted(x.dim(), 'dimension')}", (), NO_POSITIONS)
    if isinstance(module, nn.PixelShuffle):
        square, received = module.upscale_factor**2, x.shape[-3]
        text = f"it expects channels in multiples of {square} in dimension {x.dim() - 3} and receives {received}"
        near = -(-received // square) * square
        return Problem(text, (), f"Give it {near} channels.", wanted=near) if received % square else None
    factor = module.downscale_factor
    missing = [-extent % factor for extent in x.shape[-2:]]
    height, width = x.shape[-2:]
    text = f"it expects a height and a width in multiples of {factor} and receives {height} and {width}"
    pad = nn.ZeroPad2d((0, missing[1], 0, missing[0]))
    return Problem(text, (before(module, pad),)) if any(missing) else None


def gated_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """One half of the values gates the other."""
    if not -x.dim() <= module.dim < x.dim() or x.shape[module.dim] % 2 == 0:
        return None
    received = x.shape[module.dim]
    text = f"it expects an even number of values in dimension {module.dim % x.dim()} and receives {received}"
    return Problem(text, (), f"Give it {received + 1}.", wanted=received + 1)


POOLS = nn.modules.pooling

#: The families of layers and what finds their problems.
FAMILIES: tuple[tuple[Any, Finder], ...] = (
    ((POOLS._MaxPoolNd, POOLS._AvgPoolNd, POOLS._LPPoolNd, POOLS._AdaptiveAvgPoolNd, POOLS._AdaptiveMaxPoolNd), pool_problem),
    ((nn.modules.padding._ReflectionPadNd, nn.modules.padding._CircularPadNd), pad_problem),
    (nn.Upsample, upsample_problem),
    (nn.Flatten, flatten_problem),
    (nn.Unflatten, unflatten_problem),
    ((nn.PixelShuffle, nn.PixelUnshuffle), shuffle_problem),
    (nn.GLU, gated_problem),
)
