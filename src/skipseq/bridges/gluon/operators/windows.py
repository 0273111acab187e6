"""Convolutions and their transposes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..layers import DeconvolutionTo
from ..operation import GluonNode, Piece, operator
from .weights import extents, placed, sized, unlike, values_only, weight

__all__: list[str] = []

CONVOLUTIONS: tuple[Callable[..., Any], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[Callable[..., Any], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

#: The layouts with channels in front, which PyTorch has, for one to three dimensions.
LAYOUTS = ("NCW", "NCHW", "NCDHW")


@operator("Convolution", "Convolution_v1")
def convolution(node: GluonNode) -> Piece:
    """A convolution of one, two or three dimensions."""
    kernel, filters, groups, bias = window(node, False)
    rank = len(kernel)
    held = weight(node, 1, "weight", (filters, None, *kernel))
    options: dict[str, Any] = {
        "stride": extents(node, "stride", rank, 1, 1),
        "padding": extents(node, "pad", rank, 0),
        "dilation": extents(node, "dilate", rank, 1, 1),
        "groups": groups,
        "bias": bias,
    }
    channels = held.shape[1] * groups
    values = {"weight": held} | ({"bias": weight(node, 2, "bias", (filters,))} if bias else {})
    return Piece(placed(node, lambda: CONVOLUTIONS[rank - 1](channels, filters, kernel, **options), **values), (0,))


def window(node: GluonNode, no_bias: bool) -> tuple[tuple[int, ...], int, int, bool]:
    """The kernel of a convolution, the number of its filters and of its groups, and whether it has a bias."""
    kernel = node.shape("kernel", ())
    if not 1 <= len(kernel) <= 3:
        raise node.wrong("kernel", "one to three whole numbers")
    kernel = extents(node, "kernel", len(kernel), 1, 1)
    check_layout(node, len(kernel))
    filters, groups = sized(node, "num_filter"), node.whole("num_group", 1)
    bias = not node.flag("no_bias", no_bias)
    if groups < 1 or filters % groups:
        raise node.wrong("num_group", f"a divisor of the {filters} filters")
    node.count(3 if bias else 2)
    values_only(node, 0)
    return kernel, filters, groups, bias


def check_layout(node: GluonNode, rank: int) -> None:
    """Refuses values whose channels do not stand in front."""
    known = LAYOUTS[rank - 1]
    if (layout := node.text("layout", "None")) not in ("None", known):
        raise node.fault(
            "The layout is another one than PyTorch's.",
            f"layout = {known!r}",
            f"layout = {layout!r}",
            "Convert the network to channels in front with MXNet: its weights have another order, too.",
        )


@operator("Deconvolution")
def deconvolution(node: GluonNode) -> Piece:
    """A transposed convolution, whose result has extents that follow from its padding, or that are given."""
    kernel, filters, groups, bias = window(node, True)
    rank = len(kernel)
    held = weight(node, 1, "weight", (None, filters // groups, *kernel))
    channels = held.shape[0]
    if channels % groups:
        raise node.wrong("num_group", f"a divisor of the {channels} channels that the weight reads")
    values = {"weight": held} | ({"bias": weight(node, 2, "bias", (filters,))} if bias else {})
    stride, dilation = extents(node, "stride", rank, 1, 1), extents(node, "dilate", rank, 1, 1)
    target = extents(node, "target_shape", rank, 0)
    if any(target):
        if not all(target):
            raise node.wrong("target_shape", "extents of at least 1, or none")
        options: Any = {"stride": stride, "dilation": dilation, "groups": groups, "bias": bias}
        return Piece(placed(node, lambda: DeconvolutionTo(channels, filters, kernel, target, **options), **values), (0,))
    padding, more = extents(node, "pad", rank, 0), extents(node, "adj", rank, 0)
    if any(a >= max(s, d) for a, s, d in zip(more, stride, dilation, strict=True)):
        raise unlike(node, "'adj' adds more than a stride.", f"adj = {more}", "less than the stride, or the dilation")
    options = {"stride": stride, "padding": padding, "output_padding": more, "dilation": dilation}
    options |= {"groups": groups, "bias": bias}
    return Piece(placed(node, lambda: TRANSPOSED[rank - 1](channels, filters, kernel, **options), **values), (0,))
