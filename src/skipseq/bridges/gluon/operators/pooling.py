"""Pooling.

MXNet and PyTorch differ in which windows they have and in what an average counts:

    convention   windows                                                   in PyTorch
    valid        those that lie in the padded value                        the same
    full         one more that sticks out of it, wherever it starts        ``ceil_mode``, which drops one that starts in the
                                                                           padding; none does if stride <= kernel - padding
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..layers import WholePool, WindowPool
from ..operation import GluonNode, Piece, operator
from .weights import extents, values_only

__all__: list[str] = []

MAX: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
WHOLE_MAX: tuple[Any, ...] = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
WHOLE_AVERAGE: tuple[Any, ...] = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)

LAYOUTS = ("None", "NCW", "NCHW", "NCDHW")


@operator("Pooling")
def pooling(node: GluonNode) -> Piece:
    """Pooling by windows, or of all places."""
    node.count(1)
    values_only(node, 0)
    kind = node.text("pool_type", "max", ("max", "avg", "sum", "lp"))
    node.text("layout", "None", LAYOUTS)
    power = node.maybe_whole("p_value")
    if power not in (None, 1, 2, 3) or (kind == "lp" and power is None):
        raise node.wrong("p_value", "1, 2 or 3")
    rank = len(node.shape("kernel", ()))
    if node.flag("global_pool", False):
        return Piece(of_all_places(kind, rank, power or 2), (0,))
    return Piece(by_windows(node, kind, rank, power or 2), (0,))


def by_windows(node: GluonNode, kind: str, rank: int, power: int) -> nn.Module:
    """Pooling by windows: PyTorch's layer where it has the same windows."""
    kernel, stride, padding = windows(node, rank)
    full = node.text("pooling_convention", "valid", ("valid", "full")) == "full"  # "same" is told, and computed nowhere
    counted = True if node.text("count_include_pad", "None") == "None" else node.flag("count_include_pad", True)
    alike = all(2 * p <= k for k, p in zip(kernel, padding, strict=True))
    alike = alike and not (full and any(s > k - p for k, s, p in zip(kernel, stride, padding, strict=True)))
    if alike and kind == "max":
        layer: nn.Module = MAX[rank - 1](kernel, stride, padding, ceil_mode=full)
    elif alike and kind == "avg":
        layer = AVERAGE[rank - 1](kernel, stride, padding, ceil_mode=full, count_include_pad=counted)
    else:
        layer = WindowPool(kind, kernel, stride, padding, full, counted, power)
    return layer


def windows(node: GluonNode, rank: int) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and padding."""
    if not 1 <= rank <= 3:
        raise node.wrong("kernel", "one to three whole numbers")
    kernel, stride = extents(node, "kernel", rank, 1, 1), extents(node, "stride", rank, 1, 1)
    padding = extents(node, "pad", rank, 0)
    if any(p >= k for k, p in zip(kernel, padding, strict=True)):
        raise node.wrong("pad", f"less than the kernel, {kernel}, or windows have nothing in them")
    return kernel, stride, padding


def of_all_places(kind: str, rank: int, power: int) -> nn.Module:
    """Pooling of all places; without a kernel nobody knows how many dimensions they have."""
    if 1 <= rank <= 3 and kind in ("max", "avg"):
        layer: nn.Module = (WHOLE_MAX if kind == "max" else WHOLE_AVERAGE)[rank - 1](1)
        return layer
    return WholePool(kind, power)


@operator("Pooling_v1")
def pooling_v1(node: GluonNode) -> list[Piece]:
    """Pooling of images as it was: padding is zeros for a maximum too, and an average always counts the whole window."""
    node.count(1)
    values_only(node, 0)
    kind = node.text("pool_type", "max", ("max", "avg", "sum"))
    if node.flag("global_pool", False):
        return [Piece(of_all_places(kind, 2, 2), (0,))]
    if len(node.shape("kernel", ())) != 2:
        raise node.wrong("kernel", "two whole numbers")
    kernel, stride, (height, width) = windows(node, 2)
    full = node.text("pooling_convention", "valid", ("valid", "full")) == "full"
    divisor = {"avg": kernel[0] * kernel[1], "sum": 1}
    if kind == "max":
        layer: nn.Module = MAX[1](kernel, stride, ceil_mode=full)
    else:
        layer = AVERAGE[1](kernel, stride, ceil_mode=full, divisor_override=divisor[kind])
    padded = [Piece(nn.ZeroPad2d((width, width, height, height)), (0,))] if height or width else []
    return [*padded, Piece(layer, () if padded else (0,))]


@operator("_contrib_AdaptiveAvgPooling2D")
def adaptive_average(node: GluonNode) -> Piece:
    """Averages on a grid of a given size."""
    node.count(1)
    values_only(node, 0)
    size = node.shape("output_size", ()) or (1,)
    if len(size) > 2 or not all(1 <= each <= 1 << 12 for each in size):
        raise node.wrong("output_size", "one or two whole numbers from 1 to 4096")
    return Piece(nn.AdaptiveAvgPool2d(size[0] if len(set(size)) == 1 else size), (0,))
