"""Attributes and parameters of a node, checked against each other, and the layers that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from skipseq.errors import shortened

from ..layers import Weight
from ..operation import PREVIOUS, GluonNode, Piece

__all__ = [
    "LARGEST_EXTENT",
    "axis_of",
    "extents",
    "pieces",
    "placed",
    "sized",
    "some",
    "statistic",
    "unlike",
    "values_only",
    "weight",
]

#: The largest extent of a kernel, stride, dilation or padding: larger ones are damage, not networks.
LARGEST_EXTENT = 1 << 16

#: The most dimensions that a value of MXNet has.
MOST_DIMENSIONS = 32

Layer = TypeVar("Layer", bound=nn.Module)


def unlike(node: GluonNode, problem: str, received: str, expected: str = "one that PyTorch can compute exactly") -> Exception:
    """The error of something that MXNet computes and the layers here would compute otherwise."""
    advice = "Nothing is approximated here: export the network without it, or write this part by hand."
    return node.fault(problem, expected, received, advice)


def extents(node: GluonNode, name: str, count: int, default: int, least: int = 0) -> tuple[int, ...]:
    """An extent for each dimension: an attribute that is missing or empty is the default in each."""
    found = node.shape(name, ()) or (default,) * count
    if len(found) != count or not all(least <= each <= LARGEST_EXTENT for each in found):
        raise node.wrong(name, f"{count} whole numbers from {least} to {LARGEST_EXTENT}")
    return found


def sized(node: GluonNode, name: str, least: int = 1) -> int:
    """A size that has to be given."""
    if name not in node.attributes:
        raise node.wrong(name, "a whole number, which has to be given")
    if (found := node.whole(name, 0)) < least:
        raise node.wrong(name, f"a whole number of at least {least}")
    return found


def axis_of(node: GluonNode, name: str, default: int) -> int:
    """A dimension, counted from the front or, if negative, from the back."""
    if not -MOST_DIMENSIONS <= (found := node.whole(name, default)) < MOST_DIMENSIONS:
        raise node.wrong(name, f"a dimension, from {-MOST_DIMENSIONS} to {MOST_DIMENSIONS - 1}")
    return found


def weight(node: GluonNode, position: int, what: str, shape: Sequence[int | None]) -> nn.Parameter:
    """The parameter at an input, for a layer: one that is shared stays so, the numbers of another tensor are copied.

    Args:
        node: the node.
        position: which input it is.
        what: what it is called there: ``"weight"``.
        shape: what it must have; ``None`` stands for any extent.
    """
    value = fitting(node, position, what, shape)
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())


def statistic(node: GluonNode, position: int, what: str, shape: Sequence[int | None]) -> Tensor:
    """The batch statistic at an input, the tensor itself: two nodes that share it go on doing so."""
    return fitting(node, position, what, shape).detach()


def fitting(node: GluonNode, position: int, what: str, shape: Sequence[int | None]) -> Tensor:
    """The parameter at an input, of the shape that the attributes ask for."""
    value = node.parameter(position, what)
    like = len(value.shape) == len(shape) and all(b is None or a == b for a, b in zip(value.shape, shape, strict=True))
    if not like or value.numel() == 0:
        wanted = ", ".join("any" if each is None else str(each) for each in shape)
        raise node.fault(
            f"The {what} has another shape than the attributes say.",
            f"({wanted})",
            str(tuple(value.shape)),
            "The two files are of different networks, or one is damaged: export both again.",
        )
    if not value.is_floating_point():
        raise node.fault(
            f"The {what} has no floating numbers.", "float32, for instance", str(value.dtype), "Export the network as floats."
        )
    return value


def placed(node: GluonNode, build: Callable[[], Layer], **values: Tensor | None) -> Layer:
    """A layer with these parameters and statistics; its constructor takes no memory and no random numbers for its own."""
    known = {str(value.dtype) for value in values.values() if isinstance(value, nn.Parameter)}
    if len(known) > 1:
        raise node.fault("The parameters have different types.", "one type", " and ".join(sorted(known)), "Cast them to one.")
    try:
        with torch.device("meta"):
            layer = build()
    except (RuntimeError, ValueError, TypeError) as error:  # what the checks of the attributes left over
        raise unlike(node, "PyTorch has no such layer.", shortened(str(error))) from None
    for name, value in values.items():
        setattr(layer, name, value)
    return layer


def some(node: GluonNode) -> int:
    """The number of inputs, which is at least one."""
    if not node.values:
        raise node.fault("The operator has no inputs.", "at least 1 input", "none", "Export the network again.")
    return len(node.values)


def values_only(node: GluonNode, *positions: int) -> None:
    """An error if a parameter stands where only a value of the network can."""
    for position in positions:
        if node.values[position] is not None:
            name = node.inputs[position] if node.inputs else "a parameter"
            problem = f"Input {position} is a parameter."
            raise node.fault(problem, "a value that the network computes", name, "Write this part by hand.")


def pieces(node: GluonNode, entry: object, *operands: int | float) -> list[Piece]:
    """The entry of these operands, behind a layer that gives the parameter if one of them is one."""
    given = [each for each in operands if isinstance(each, int) and node.values[each] is not None]
    if not given:
        return [Piece(entry, operands)]
    running = [each for each in operands if isinstance(each, int) and node.values[each] is None]
    if len(given) > 1 or not running:
        received = f"{len(given)} parameters and {len(running)} values"
        raise node.fault(
            "Parameters meet here.", "one parameter at most, and a value", received, "Compute it before the export."
        )
    value = node.parameter(given[0], "parameter")
    held = weight(node, given[0], "parameter", value.shape)
    layer = placed(node, lambda: Weight(tuple(value.shape)), weight=held)
    return [Piece(layer, (running[0],)), Piece(entry, tuple(PREVIOUS if each == given[0] else each for each in operands))]
