"""Activations, and what drops numbers."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from skipseq.declare.functions import Expression
from skipseq.declare.vocabulary import add, mul

from ..layers import SharedDropout
from ..operation import GluonNode, Piece, operator
from .weights import MOST_DIMENSIONS, placed, values_only, weight

__all__: list[str] = []

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softrelu": nn.Softplus,
    "softsign": nn.Softsign,
}


@operator("Activation")
def activation(node: GluonNode) -> Piece:
    """An activation by its name."""
    node.count(1)
    values_only(node, 0)
    return Piece(ACTIVATIONS[node.text("act_type", "", tuple(ACTIVATIONS))](), (0,))


@operator("relu", "sigmoid", "tanh", "softsign")
def activation_of_its_own(node: GluonNode) -> Piece:
    """An activation that is an operator."""
    node.count(1)
    values_only(node, 0)
    return Piece(ACTIVATIONS[node.operator](), (0,))


@operator("LeakyReLU")
def leaky_relu(node: GluonNode) -> Piece:
    """The activations with a slope below zero; for ``selu``, MXNet's gradient is not that of its result, and this one is."""
    kind = node.text("act_type", "leaky", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"))
    node.count(2 if kind == "prelu" else 1)
    values_only(node, 0)
    slope = node.number("slope", 0.25)
    if kind == "prelu":
        held = weight(node, 1, "slope", (node.parameter(1, "slope").numel(),))
        return Piece(placed(node, lambda: nn.PReLU(held.numel()), weight=held), (0,))
    if kind == "rrelu":
        lower, upper = node.number("lower_bound", 0.125), node.number("upper_bound", 0.334)
        if not lower <= upper:
            raise node.wrong("upper_bound", f"at least the lower bound, {lower}")
        return Piece(nn.RReLU(lower, upper), (0,))
    made: dict[str, Callable[[], nn.Module]] = {
        "leaky": lambda: nn.LeakyReLU(slope),
        "elu": lambda: nn.ELU(slope),
        "selu": nn.SELU,
        "gelu": nn.GELU,
    }
    return Piece(made[kind](), (0,))


@operator("hard_sigmoid")
def hard_sigmoid(node: GluonNode) -> list[Piece]:
    """A line that is cut at 0 and 1."""
    node.count(1)
    values_only(node, 0)
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return [Piece(mul(), (0, alpha)), Piece(add(), (-1, beta)), Piece(Expression(("x",), "x.clamp(0.0, 1.0)"), ())]


@operator("Dropout")
def dropout(node: GluonNode) -> Piece:
    """Dropout of single numbers, or along dimensions."""
    node.count(1)
    values_only(node, 0)
    share, mode, axes = node.number("p", 0.5), node.text("mode", "training", ("training", "always")), node.shape("axes", ())
    if not 0 <= share < 1:
        raise node.wrong("p", "a number from 0, and less than 1")
    if not all(-MOST_DIMENSIONS <= axis < MOST_DIMENSIONS for axis in axes):
        raise node.wrong("axes", "dimensions")
    if not axes and mode == "training":
        return Piece(nn.Dropout(share), (0,))
    return Piece(SharedDropout(share, axes, mode == "always"), (0,))
