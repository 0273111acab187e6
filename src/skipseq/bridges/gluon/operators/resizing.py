"""What makes images larger, smaller, or parts of themselves."""

from __future__ import annotations

from typing import Any

from torch import nn

from skipseq.declare.functions import Expression
from skipseq.declare.vocabulary import pick

from ..layers import SliceLike, UpsampleTogether
from ..operation import GluonNode, Piece, operator
from .weights import LARGEST_EXTENT, placed, sized, some, unlike, values_only, weight

__all__: list[str] = []


@operator("UpSampling")
def upsampling(node: GluonNode) -> Piece:
    """Repeats numbers, or runs a transposed convolution whose weight is a parameter."""
    scale = sized(node, "scale")
    if scale > 1000:
        raise node.wrong("scale", "a whole number from 1 to 1000")
    if node.text("sample_type", "", ("nearest", "bilinear")) == "bilinear":
        return upsampling_by_weight(node, scale)
    count = some(node)
    values_only(node, *range(count))
    if count == 1:
        return Piece(nn.Upsample(scale_factor=scale, mode="nearest"), (0,))
    return Piece(UpsampleTogether(scale, node.text("multi_input_mode", "concat", ("concat", "sum"))), tuple(range(count)))


def upsampling_by_weight(node: GluonNode, scale: int) -> Piece:
    """A transposed convolution of each channel."""
    node.count(2)
    values_only(node, 0)
    kernel, channels = 2 * scale - scale % 2, sized(node, "num_filter")
    held = weight(node, 1, "weight", (channels, 1, kernel, kernel))
    options: dict[str, Any] = {"stride": scale, "padding": scale // 2, "groups": channels, "bias": False}
    return Piece(placed(node, lambda: nn.ConvTranspose2d(channels, channels, kernel, **options), weight=held), (0,))


@operator("_contrib_BilinearResize2D")
def bilinear_resize(node: GluonNode) -> Piece:
    """Bilinear interpolation to a size, by scales, or to the size of another value."""
    mode = node.text("mode", "size")
    node.count(2 if mode == "like" else 1)
    values_only(node, *range(len(node.values)))
    corners = node.flag("align_corners", True)
    if mode == "like":
        written = f"nn.functional.interpolate(x, size=like.shape[-2:], mode='bilinear', align_corners={corners})"
        return Piece(Expression(("x", "like"), written), (0, 1))
    if mode != "size":
        raise unlike(node, "The size depends on itself.", f"mode = {mode!r}", "mode = 'size' or 'like'")
    given = [node.text(name, "None") != "None" for name in ("scale_height", "scale_width")]
    if any(given):
        return Piece(bilinear_by_scales(node, corners), (0,))
    size = node.whole("height", 1), node.whole("width", 1)
    if not all(1 <= each <= LARGEST_EXTENT for each in size):
        raise node.wrong("height", f"height and width from 1 to {LARGEST_EXTENT}")
    return Piece(nn.Upsample(size=size, mode="bilinear", align_corners=corners), (0,))


def bilinear_by_scales(node: GluonNode, corners: bool) -> nn.Module:
    """Bilinear interpolation by a scale for each dimension."""
    scales = node.number("scale_height", 0.0), node.number("scale_width", 0.0)
    if not all(0 < each <= 1000 for each in scales):
        raise node.wrong("scale_height", "both scales, more than 0 and at most 1000")
    factor: Any = scales[0] if scales[0] == scales[1] else scales
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=corners, recompute_scale_factor=True)


@operator("slice_like")
def slice_like(node: GluonNode) -> Piece:
    """The beginning of a value, of the extents of another one."""
    node.count(2)
    values_only(node, 0, 1)
    return Piece(SliceLike(node.shape("axes", ())), (0, 1))


@operator("Crop")
def crop(node: GluonNode) -> Piece:
    """A part of an image, of given extents or those of another one."""
    count = node.count(1, 2)
    values_only(node, *range(count))
    offset, size = node.shape("offset", (0, 0)), node.shape("h_w", (0, 0))
    center = node.flag("center_crop", False)
    if len(offset) != 2 or not all(0 <= each <= LARGEST_EXTENT for each in offset):
        raise node.wrong("offset", f"two whole numbers from 0 to {LARGEST_EXTENT}")
    if count == 2:
        return Piece(SliceLike((2, 3), () if center else offset, center), (0, 1))
    if len(size) != 2 or not all(1 <= each <= LARGEST_EXTENT for each in size):
        raise node.wrong("h_w", f"two whole numbers from 1 to {LARGEST_EXTENT}")
    if center:
        raise unlike(node, "The middle of a value depends on its size.", "center_crop = 'True'", "a value to be cropped like")
    rows, columns = (slice(start, start + extent) for start, extent in zip(offset, size, strict=True))
    return Piece(pick[:, :, rows, columns], (0,))
