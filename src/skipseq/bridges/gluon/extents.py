"""The shapes that the parameters of a symbol must have, as far as its attributes and the channels before a layer tell them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .operation import GluonNode
from .symbol import Node, Symbol

__all__ = ["FIRST_WEIGHT", "STATISTIC", "declared_shape", "expected_shapes", "fits"]

NORMS = ("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "SyncBatchNorm", "_contrib_SyncBatchNorm", "_contrib_BatchNormWithReLU")

#: From which input on an operator takes parameters.
FIRST_WEIGHT = dict.fromkeys(
    ("Convolution", "Convolution_v1", "Deconvolution", "FullyConnected", "Embedding", "InstanceNorm", "LayerNorm", "GroupNorm"),
    1,
) | dict.fromkeys(NORMS, 1)
FIRST_WEIGHT["LeakyReLU"] = 1

#: From which input on an operator takes batch statistics.
STATISTIC = dict.fromkeys(NORMS, 3)

#: What leaves the channels as they are, and takes one value or several of the same shape.
SAME = {"Activation", "LeakyReLU", "Dropout", "relu", "sigmoid", "tanh", "_copy", "identity", "BlockGrad", "clip", "LRN"}
SAME |= {
    "elemwise_add",
    "_plus",
    "_Plus",
    "elemwise_sub",
    "_minus",
    "elemwise_mul",
    "_mul",
    "add_n",
    "ElementWiseSum",
    "InstanceNorm",
}
SAME |= {
    "_mul_scalar",
    "_plus_scalar",
    "_minus_scalar",
    "_div_scalar",
    "_rminus_scalar",
    "Cast",
    "softsign",
    "hard_sigmoid",
    "exp",
}
SAME |= {*NORMS, "Pooling", "Pooling_v1", "Flatten", "flatten", "SoftmaxOutput", "Softmax", "SoftmaxActivation"}
POOLING = {"Pooling", "Pooling_v1"}

CHANNELS_FIRST = ("None", "NCW", "NCHW", "NCDHW")


class Extent(NamedTuple):
    """What is known of a value: its channels, 0 if unknown, and whether there is one number for each."""

    channels: int = 0
    flat: bool = False


def expected_shapes(symbol: Symbol) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters by their names; a size of 0 is one that nobody told.

    Raises:
        FileError: if an attribute that tells one is wrong.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    extents: dict[int, Extent] = {}
    for node in symbol.needed():
        if node.is_variable:
            declared = declared_shape(symbol, node)
            if declared:
                shapes[node.name] = declared
            continue
        given = [extents.get(entry.node, Extent()) for entry in node.inputs]
        before = given[0] if given else Extent()
        for entry, shape in zip(node.inputs[1:], weights_of(seen(symbol, node), before), strict=False):
            source = symbol.nodes[entry.node]
            if source.is_variable:
                shapes[source.name] = both(shapes.get(source.name), shape)
        extents[node.index] = after(seen(symbol, node), given)
    return shapes


def declared_shape(symbol: Symbol, node: Node) -> tuple[int, ...]:
    """The shape that a variable tells of itself; empty if none."""
    return tuple(max(0, size) for size in seen(symbol, node).shape("__shape__", ()))


def seen(symbol: Symbol, node: Node) -> GluonNode:
    """A node whose attributes can be asked for."""
    return GluonNode(node.name, node.operator, (), node.attributes, symbol.file, node.place)


def weights_of(node: GluonNode, before: Extent) -> Iterator[tuple[int, ...]]:
    """The shapes of the parameters of a node, from its second input on."""
    if node.operator in ("Convolution", "Convolution_v1", "Deconvolution"):
        if node.attributes.get("layout", "None") in CHANNELS_FIRST:
            yield from convolution(node, before.channels)
    elif node.operator == "FullyConnected":
        units = node.whole("num_hidden", 0)
        yield units, before.channels if before.flat else 0
        yield (units,)
    elif node.operator in NORMS and node.whole("axis", 1) == 1:
        yield from [(before.channels,)] * 4
    elif node.operator == "InstanceNorm":
        yield from [(before.channels,)] * 2
    elif node.operator == "Embedding":
        yield node.whole("input_dim", 0), node.whole("output_dim", 0)


def convolution(node: GluonNode, channels: int) -> Iterator[tuple[int, ...]]:
    """The shapes of the weight and the bias of a convolution."""
    filters, groups, kernel = node.whole("num_filter", 0), max(1, node.whole("num_group", 1)), node.shape("kernel", ())
    if node.operator == "Deconvolution":
        yield channels, filters // groups, *kernel
    else:
        yield filters, channels // groups, *kernel
    yield (filters,)


def after(node: GluonNode, given: list[Extent]) -> Extent:
    """What is known of the result of a node."""
    if node.operator in ("Convolution", "Convolution_v1", "Deconvolution"):
        first = node.attributes.get("layout", "None") in CHANNELS_FIRST
        return Extent(node.whole("num_filter", 0) if first else 0)
    if node.operator == "FullyConnected":
        flat = node.flag("flatten", True)
        return Extent(node.whole("num_hidden", 0), flat=True) if flat else Extent()
    if node.operator in ("Concat", "concat") and node.whole("dim", 1) == 1:
        known = all(each.channels for each in given)
        return Extent(sum(each.channels for each in given) if known else 0, all(each.flat for each in given))
    if node.operator not in SAME or not given:
        return Extent()
    best = max(given) if node.operator not in NORMS else given[0]
    if node.operator in POOLING:
        return Extent(best.channels, node.flag("global_pool", False))
    return best if best.flat or node.operator not in ("Flatten", "flatten") else Extent()


def both(one: tuple[int, ...] | None, other: tuple[int, ...]) -> tuple[int, ...]:
    """What two sources know of a shape; where they contradict each other, the first one."""
    if not one or len(one) != len(other):
        return one or other
    return tuple(size or more for size, more in zip(one, other, strict=True))


def fits(shape: tuple[int, ...], expected: tuple[int, ...] | None) -> bool:
    """Whether a shape is the expected one, as far as this is known."""
    if not expected:
        return True
    return len(shape) == len(expected) and all(b in (0, a) for a, b in zip(shape, expected, strict=True))
