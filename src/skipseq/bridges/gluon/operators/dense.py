"""Linear layers, embeddings and products."""

from __future__ import annotations

from torch import nn

from skipseq.declare.functions import Expression

from ..layers import GluonDot
from ..operation import GluonNode, Piece, operator
from .weights import pieces, placed, sized, values_only, weight

__all__: list[str] = []


@operator("FullyConnected")
def fully_connected(node: GluonNode) -> list[Piece]:
    """A linear layer, of all numbers of each sample or of the last dimension."""
    bias = not node.flag("no_bias", False)
    node.count(3 if bias else 2)
    values_only(node, 0)
    features = sized(node, "num_hidden")
    held = weight(node, 1, "weight", (features, None))
    values = {"weight": held} | ({"bias": weight(node, 2, "bias", (features,))} if bias else {})
    layer = placed(node, lambda: nn.Linear(held.shape[1], features, bias), **values)
    if not node.flag("flatten", True):
        return [Piece(layer, (0,))]
    return [Piece(nn.Flatten(), (0,)), Piece(layer, ())]


@operator("Embedding")
def embedding(node: GluonNode) -> list[Piece]:
    """A table, read at numbers that may be floats; those outside of it mean its first and last row."""
    node.count(2)
    values_only(node, 0)
    rows, width = sized(node, "input_dim"), sized(node, "output_dim")
    held = weight(node, 1, "weight", (rows, width))
    layer = placed(node, lambda: nn.Embedding(rows, width), weight=held)
    return [Piece(Expression(("x",), f"x.long().clamp(0, {rows - 1})"), (0,)), Piece(layer, ())]


@operator("dot")
def dot(node: GluonNode) -> list[Piece]:
    """The product over the last dimension of one value and the first of the other."""
    node.count(2)
    return pieces(node, GluonDot(node.flag("transpose_a", False), node.flag("transpose_b", False)), 0, 1)


@operator("batch_dot")
def batch_dot(node: GluonNode) -> list[Piece]:
    """The products of matrices."""
    node.count(2)
    one = "a.transpose(-2, -1)" if node.flag("transpose_a", False) else "a"
    other = "b.transpose(-2, -1)" if node.flag("transpose_b", False) else "b"
    return pieces(node, Expression(("a", "b"), f"torch.matmul({one}, {other})"), 0, 1)
