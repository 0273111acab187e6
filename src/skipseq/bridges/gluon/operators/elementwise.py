"""What is computed number by number: of one value, of two or more, and of a value and a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from skipseq.declare.functions import Expression
from skipseq.declare.vocabulary import add, cat, mul, sub

from ..layers import Extremum
from ..operation import GluonNode, Piece, operator
from .weights import axis_of, pieces, some, unlike, values_only

__all__ = ["type_of"]

#: What joins two values: the entry, and that for values that are broadcast.
JOINS: dict[str, Callable[[bool], Any]] = {
    "add": lambda broadcast: add(broadcast=broadcast),
    "sub": lambda broadcast: sub(broadcast=broadcast),
    "mul": lambda broadcast: mul(broadcast=broadcast),
    "div": lambda _: torch.div,
    "mod": lambda _: torch.remainder,
    "power": lambda _: torch.pow,
    "hypot": lambda _: torch.hypot,
    "maximum": lambda _: Extremum("max"),
    "minimum": lambda _: Extremum("min"),
}

#: The names of operators in 15 years of files, by what they join.
SAME_SHAPE = {
    "add": ("elemwise_add", "_plus", "_Plus", "_add", "_grad_add"),
    "sub": ("elemwise_sub", "_minus", "_Minus", "_sub"),
    "mul": ("elemwise_mul", "_mul", "_Mul"),
    "div": ("elemwise_div", "_div", "_Div"),
    "mod": ("_mod", "_Mod"),
    "power": ("_power", "_Power"),
    "hypot": ("_hypot", "_Hypot"),
    "maximum": ("_maximum", "_Maximum"),
    "minimum": ("_minimum", "_Minimum"),
}
BROADCAST: dict[str, tuple[str, ...]] = {name: (f"broadcast_{name}",) for name in JOINS}
BROADCAST["add"] += ("broadcast_plus",)
BROADCAST["sub"] += ("broadcast_minus",)


def joins(kind: str, broadcast: bool) -> Callable[[GluonNode], list[Piece]]:
    """The reader of an operator that joins two values."""

    def read(node: GluonNode) -> list[Piece]:
        node.count(2)
        return pieces(node, JOINS[kind](broadcast), 0, 1)

    return read


for kind in JOINS:
    operator(*SAME_SHAPE[kind])(joins(kind, False))
    operator(*BROADCAST[kind])(joins(kind, True))


#: Comparisons, which give 1 and 0, by the names of their operators, and the names that these had before.
COMPARED = {"equal": "==", "not_equal": "!=", "greater": ">", "greater_equal": ">=", "lesser": "<", "lesser_equal": "<="}
TWO_VALUES = {f"{home}_{name}": sign for name, sign in COMPARED.items() for home in ("", "broadcast")}
TWO_VALUES |= {f"_{name.title()}": sign for name, sign in COMPARED.items()}
VALUE_AND_CONSTANT = {f"_{name}_scalar": sign for name, sign in COMPARED.items()}
VALUE_AND_CONSTANT |= {f"_{name.title().replace('_', '')}Scalar": sign for name, sign in COMPARED.items()}


@operator(*TWO_VALUES)
def compared(node: GluonNode) -> list[Piece]:
    """Two values compared."""
    node.count(2)
    return pieces(node, Expression(("a", "b"), f"(a {TWO_VALUES[node.operator]} b).to(a.dtype)"), 0, 1)


@operator(*VALUE_AND_CONSTANT)
def compared_with(node: GluonNode) -> Piece:
    """A value compared with a constant."""
    return Piece(Expression(("x",), f"(x {VALUE_AND_CONSTANT[node.operator]} {scalar(node)}).to(x.dtype)"), (0,))


@operator("add_n", "ElementWiseSum")
def add_n(node: GluonNode) -> list[Piece]:
    """The sum of any number of values."""
    count = some(node)
    return pieces(node, nn.Identity() if count == 1 else add(), *range(count))


@operator("Concat", "concat")
def concat(node: GluonNode) -> list[Piece]:
    """Values behind each other, along a dimension."""
    count, dim = some(node), axis_of(node, "dim", 1)
    return pieces(node, nn.Identity() if count == 1 else cat(dim=dim), *range(count))


@operator("stack")
def stack(node: GluonNode) -> list[Piece]:
    """Values behind each other, along a new dimension."""
    if (count := some(node)) > 100:
        raise unlike(node, "Very many values are stacked.", f"{count} inputs", "at most 100")
    names = tuple(f"x{i}" for i in range(count))
    return pieces(node, Expression(names, f"torch.stack([{', '.join(names)}], {axis_of(node, 'axis', 0)})"), *range(count))


@operator("where")
def where(node: GluonNode) -> list[Piece]:
    """One of two values, by a third."""
    node.count(3)
    return pieces(node, Expression(("condition", "a", "b"), "torch.where(condition != 0, a, b)"), 0, 1, 2)


# A value and a constant


def scalar(node: GluonNode) -> float:
    """The constant."""
    node.count(1)
    values_only(node, 0)
    return node.number("scalar", 1.0)


def constants(kind: str, entry: Callable[[], Any], before: bool) -> Callable[[GluonNode], Piece]:
    """The reader of an operator that joins a value and a constant, which stands behind it or before it."""

    def read(node: GluonNode) -> Piece:
        number = scalar(node)
        return Piece(entry(), (number, 0) if before else (0, number))

    return read


#: What takes a value and a constant: the entry, the operators with the constant behind, and those with it in front.
CONSTANTS: dict[str, tuple[Callable[[], Any], tuple[str, ...], tuple[str, ...]]] = {
    "add": (add, ("_plus_scalar", "_PlusScalar"), ()),
    "sub": (sub, ("_minus_scalar", "_MinusScalar"), ("_rminus_scalar", "_RMinusScalar")),
    "mul": (mul, ("_mul_scalar", "_MulScalar"), ()),
    "div": (lambda: torch.div, ("_div_scalar", "_DivScalar"), ()),
    "mod": (lambda: torch.remainder, ("_mod_scalar", "_ModScalar"), ()),
    "power": (lambda: torch.pow, ("_power_scalar", "_PowerScalar"), ("_rpower_scalar", "_RPowerScalar")),
}

for kind, (entry, behind, front) in CONSTANTS.items():
    operator(*behind)(constants(kind, entry, False))
    operator(*front)(constants(kind, entry, True))


@operator("_rdiv_scalar", "_RDivScalar")
def divided_by(node: GluonNode) -> Piece:
    """A constant divided by a value."""
    return Piece(Expression(("x",), f"{scalar(node)} / x"), (0,))


@operator("_maximum_scalar", "_MaximumScalar")
def at_least(node: GluonNode) -> Piece:
    """The value, and not less than a constant."""
    return Piece(Expression(("x",), f"x.clamp(min={scalar(node)})"), (0,))


@operator("_minimum_scalar", "_MinimumScalar")
def at_most(node: GluonNode) -> Piece:
    """The value, and not more than a constant."""
    return Piece(Expression(("x",), f"x.clamp(max={scalar(node)})"), (0,))


@operator("clip")
def clip(node: GluonNode) -> Piece:
    """The value between two constants."""
    node.count(1)
    values_only(node, 0)
    missing = next((name for name in ("a_min", "a_max") if name not in node.attributes), None)
    if missing is not None:
        raise node.wrong(missing, "a number, which has to be given")
    return Piece(Expression(("x",), f"x.clamp({node.number('a_min', 0.0)}, {node.number('a_max', 0.0)})"), (0,))


# One value

#: Functions of torch that do the same, number by number.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log2": torch.log2,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "square": torch.square,
    "abs": torch.abs,
    "negative": torch.neg,
    "reciprocal": torch.reciprocal,
    "erf": torch.erf,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "trunc": torch.trunc,
    "fix": torch.trunc,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "arcsin": torch.arcsin,
    "arccos": torch.arccos,
    "arctan": torch.arctan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "arcsinh": torch.arcsinh,
    "arccosh": torch.arccosh,
    "arctanh": torch.arctanh,
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
}


@operator(*FUNCTIONS)
def function(node: GluonNode) -> Piece:
    """A function of each number."""
    node.count(1)
    values_only(node, 0)
    return Piece(FUNCTIONS[node.operator], (0,))


@operator("_copy", "identity", "_np_copy", "MakeLoss", "make_loss")
def as_it_is(node: GluonNode) -> Piece:
    """The value itself; that it is a loss is for the training in MXNet."""
    node.count(1)
    values_only(node, 0)
    return Piece(nn.Identity(), (0,))


@operator("BlockGrad", "stop_gradient")
def block_grad(node: GluonNode) -> Piece:
    """The value without its gradient."""
    node.count(1)
    values_only(node, 0)
    return Piece(Expression(("x",), "x.detach()"), (0,))


TYPES = ("float16", "float32", "float64", "bfloat16", "int8", "uint8", "int32", "int64", "bool")


def type_of(node: GluonNode) -> Expression:
    """A change to the type in an attribute."""
    return Expression(("x",), f"x.to(torch.{node.text('dtype', '', TYPES)})")


@operator("Cast", "cast", "amp_cast")
def cast(node: GluonNode) -> Piece:
    """The numbers as another type."""
    node.count(1)
    values_only(node, 0)
    return Piece(type_of(node), (0,))


@operator("_contrib_div_sqrt_dim")
def div_sqrt_dim(node: GluonNode) -> Piece:
    """Divided by the root of the last extent."""
    node.count(1)
    values_only(node, 0)
    return Piece(Expression(("x",), "x / x.shape[-1] ** 0.5"), (0,))
