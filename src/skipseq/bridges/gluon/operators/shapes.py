"""What changes shapes: reshaping, order of dimensions, parts, padding, and sums over dimensions."""

from __future__ import annotations

from typing import Any

from torch import nn

from skipseq.declare.functions import Expression
from skipseq.declare.vocabulary import pick

from ..layers import GluonReshape, Reduction, Split, Squeeze
from ..operation import GluonNode, Piece, operator
from .weights import LARGEST_EXTENT, MOST_DIMENSIONS, axis_of, sized, unlike, values_only

__all__: list[str] = []


def of_one(node: GluonNode, text: str) -> Piece:
    """An expression of one value, which is called ``x``."""
    node.count(1)
    values_only(node, 0)
    return Piece(Expression(("x",), text), (0,))


def dimensions(node: GluonNode, name: str) -> tuple[int, ...]:
    """The dimensions in an attribute, each once."""
    found = node.shape(name, ())
    if not all(-MOST_DIMENSIONS <= each < MOST_DIMENSIONS for each in found) or len(set(found)) < len(found):
        raise node.wrong(name, "dimensions, each once")
    return found


@operator("Flatten", "flatten")
def flatten(node: GluonNode) -> Piece:
    """All numbers of each sample in one dimension."""
    node.count(1)
    values_only(node, 0)
    return Piece(nn.Flatten(), (0,))


@operator("Reshape", "reshape")
def reshape(node: GluonNode) -> Piece:
    """The same numbers in another shape, by codes."""
    node.count(1)
    values_only(node, 0)
    codes, reverse = node.shape("shape", ()), node.flag("reverse", False)
    if not codes:
        raise node.wrong("shape", "whole numbers; the attribute 'target_shape' of old files is not read")
    if codes == (0, -1) and not reverse:
        return Piece(nn.Flatten(), (0,))
    if codes == (-1,):
        return Piece(Expression(("x",), "x.reshape(-1)"), (0,))
    check_codes(node, codes, reverse)
    return Piece(GluonReshape(codes, reverse), (0,))


def check_codes(node: GluonNode, codes: tuple[int, ...], reverse: bool) -> None:
    """Refuses codes that have no meaning."""
    free = split = 0
    for at, code in enumerate(codes):
        following = codes[at + 1 : at + 3]
        if code < -4 or (code == -4 and (reverse or len(following) < 2 or not splits(following))):
            raise node.wrong("shape", "extents and the codes 0, -1, -2, -3, and -4 with two numbers, of which one may be -1")
        free += code == -1 and split == 0
        split = 2 if code == -4 else max(split - 1, 0)
    if free > 1:
        raise node.wrong("shape", "at most one -1")


def splits(numbers: tuple[int, ...]) -> bool:
    """Whether an extent can be split into these two."""
    return all(each > 0 or each == -1 for each in numbers) and numbers != (-1, -1)


@operator("reshape_like")
def reshape_like(node: GluonNode) -> Piece:
    """The numbers of one value in the shape of another one."""
    node.count(2)
    values_only(node, 0, 1)
    if any(node.text(name, "None") != "None" for name in ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")):
        raise unlike(node, "Only some dimensions are reshaped.", "lhs_begin, lhs_end, rhs_begin or rhs_end", "none of them")
    return Piece(Expression(("x", "like"), "x.reshape(like.shape)"), (0, 1))


@operator("broadcast_like")
def broadcast_like(node: GluonNode) -> Piece:
    """A value repeated to the shape of another one."""
    node.count(2)
    values_only(node, 0, 1)
    if any(node.text(name, "None") != "None" for name in ("lhs_axes", "rhs_axes")):
        raise unlike(node, "Only some dimensions are repeated.", "lhs_axes or rhs_axes", "none of them")
    return Piece(Expression(("x", "like"), "x.expand_as(like)"), (0, 1))


@operator("transpose")
def transpose(node: GluonNode) -> Piece:
    """The dimensions in another order; without one, in reverse."""
    axes = dimensions(node, "axes")
    if not axes:
        return of_one(node, "x.permute(*range(x.dim() - 1, -1, -1))")
    if sorted(each % len(axes) for each in axes) != list(range(len(axes))):
        raise node.wrong("axes", "each dimension once")
    return of_one(node, f"x.permute({', '.join(map(str, axes))})")


@operator("SwapAxis", "swapaxes")
def swap_axis(node: GluonNode) -> Piece:
    """Two dimensions change places."""
    return of_one(node, f"x.transpose({axis_of(node, 'dim1', 0)}, {axis_of(node, 'dim2', 0)})")


@operator("expand_dims")
def expand_dims(node: GluonNode) -> Piece:
    """A new dimension."""
    return of_one(node, f"x.unsqueeze({axis_of(node, 'axis', 0)})")


@operator("squeeze")
def squeeze(node: GluonNode) -> Piece:
    """Fewer dimensions."""
    node.count(1)
    values_only(node, 0)
    return Piece(Squeeze(dimensions(node, "axis")), (0,))


@operator("reverse", "flip")
def flip(node: GluonNode) -> Piece:
    """The numbers along some dimensions in reverse."""
    axes = dimensions(node, "axis")
    if not axes:
        raise node.wrong("axis", "at least one dimension")
    return of_one(node, f"x.flip({', '.join(map(str, axes))})")


# Parts


@operator("slice", "crop")
def slice_of(node: GluonNode) -> Piece:
    """A part of a value: a beginning, an end and a step for each of the first dimensions."""
    node.count(1)
    values_only(node, 0)
    begin, end, step = (node.bounds(name, ()) for name in ("begin", "end", "step"))
    step = step or (None,) * len(begin)
    if not begin or not len(begin) == len(end) == len(step):
        raise node.wrong("end", "as many numbers as 'begin' and 'step' have, and at least one")
    if any(each is not None and each < 1 for each in step):
        raise unlike(node, "Steps go backwards, or nowhere.", f"step = {step}", "steps of at least 1")
    return Piece(pick[tuple(part(*each) for each in zip(begin, end, step, strict=True))], (0,))


def part(begin: int | None, end: int | None, step: int | None = None) -> slice:
    """A slice as one would write it."""
    return slice(begin or None, end, None if step == 1 else step)


@operator("slice_axis")
def slice_axis(node: GluonNode) -> Piece:
    """A part of a value along one dimension."""
    node.count(1)
    values_only(node, 0)
    axis = axis_of(node, "axis", 0)
    found, everything = part(node.whole("begin", 0), node.maybe_whole("end")), slice(None)
    index: Any = (*[everything] * axis, found) if axis >= 0 else (..., found, *[everything] * (-1 - axis))
    return Piece(pick[index], (0,))


@operator("SliceChannel", "split")
def slice_channel(node: GluonNode) -> Piece:
    """Equal parts."""
    node.count(1)
    values_only(node, 0)
    return parts(node, sized(node, "num_outputs"))


def parts(node: GluonNode, count: int) -> Piece:
    """So many equal parts along a dimension; a single one is no tuple."""
    axis, squeezed = axis_of(node, "axis", 1), node.flag("squeeze_axis", False)
    if count > LARGEST_EXTENT:
        raise node.fault("There are very many parts.", f"at most {LARGEST_EXTENT}", str(count), "Export the network again.")
    if count == 1:
        return Piece(Squeeze((axis,)) if squeezed else nn.Identity(), (0,))
    return Piece(Split(count, axis, squeezed), (0,), count)


@operator("_split_v2")
def split_v2(node: GluonNode) -> Piece:
    """Equal parts, or parts that begin at given places."""
    node.count(1)
    values_only(node, 0)
    if sections := node.whole("sections", 0):
        if sections < 0:
            raise node.wrong("sections", "a whole number of at least 1")
        return parts(node, sections)
    places = node.shape("indices", ())[1:]  # the first is always 0
    if not places or list(places) != sorted(set(places)) or places[0] < 1 or node.flag("squeeze_axis", False):
        raise node.wrong("indices", "0, and then places in order; without squeeze_axis")
    return of_one(node, f"x.tensor_split({places}, {axis_of(node, 'axis', 1)})")._replace(parts=len(places) + 1)


# Padding

ZERO_PADS: tuple[Any, ...] = (nn.ZeroPad2d, nn.ZeroPad3d)

PADS: dict[tuple[str, int], Any] = {
    ("edge", 2): nn.ReplicationPad2d,
    ("edge", 3): nn.ReplicationPad3d,
    ("reflect", 2): nn.ReflectionPad2d,
    ("reflect", 3): nn.ReflectionPad3d,
    ("constant", 2): nn.ConstantPad2d,
    ("constant", 3): nn.ConstantPad3d,
}


@operator("Pad", "pad")
def pad(node: GluonNode) -> Piece:
    """Numbers around images and volumes."""
    node.count(1)
    values_only(node, 0)
    mode, widths = node.text("mode", "", ("constant", "edge", "reflect")), node.shape("pad_width", ())
    if len(widths) not in (8, 10) or any(widths[:4]) or not all(0 <= each <= LARGEST_EXTENT for each in widths):
        raise node.wrong("pad_width", f"8 or 10 numbers from 0 to {LARGEST_EXTENT}, of which the first four are 0")
    pairs = [widths[i : i + 2] for i in range(4, len(widths), 2)]
    amounts = tuple(amount for pair in reversed(pairs) for amount in pair)
    value = node.number("constant_value", 0.0)
    if mode == "constant" and value == 0:
        return Piece(ZERO_PADS[len(pairs) - 2](amounts), (0,))
    layer = PADS[mode, len(pairs)]
    return Piece(layer(amounts, value) if mode == "constant" else layer(amounts), (0,))


# Sums over dimensions


@operator("sum", "sum_axis", "mean", "max", "max_axis", "min", "min_axis")
def reduction(node: GluonNode) -> Piece:
    """A sum, mean, maximum or minimum over dimensions."""
    node.count(1)
    values_only(node, 0)
    kind, axes = node.operator.removesuffix("_axis"), dimensions(node, "axis")
    keep, exclude = node.flag("keepdims", False), node.flag("exclude", False)
    if kind in ("sum", "mean") and axes and not exclude and (keep or min(axes) > 0):
        return of_one(node, f"x.{kind}({axes}{', keepdim=True' if keep else ''})")
    return Piece(Reduction(kind, axes, keep, exclude and bool(axes)), (0,))


@operator("argmax", "argmin")
def argmax(node: GluonNode) -> Piece:
    """Where the largest number along a dimension stands, as a number of the same type."""
    if node.maybe_whole("axis") is None:
        raise unlike(node, "It counts over all dimensions.", "axis = 'None'", "a dimension")
    axis, keep = axis_of(node, "axis", 0), node.flag("keepdims", False)
    return of_one(node, f"x.{node.operator}({axis}{', keepdim=True' if keep else ''}).to(x.dtype)")
