"""An operation as an expression of Python: ``x.view(x.shape[0], -1)``."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Mapping, Sequence
from math import isfinite
from types import EllipsisType
from typing import Any

import torch
from torch import nn

from skipseq.declare.functions import written
from skipseq.declare.words import write_index

from .numbers import Attribute, Number, size_of
from .recording import Node, mapped

__all__ = ["Writer", "dotted", "is_method", "same_in_place"]

#: Operators by the names under which torch calls them, with how strongly they bind.
OPERATORS = {
    "add": ("+", 5),
    "sub": ("-", 5),
    "mul": ("*", 6),
    "div": ("/", 6),
    "truediv": ("/", 6),
    "remainder": ("%", 6),
    "floordiv": ("//", 6),
    "mod": ("%", 6),
    "matmul": ("@", 6),
    "pow": ("**", 8),
    "floor_divide": ("//", 6),
    "gt": (">", 1),
    "lt": ("<", 1),
    "ge": (">=", 1),
    "le": ("<=", 1),
    "eq": ("==", 1),
    "ne": ("!=", 1),
    "and": ("&", 4),
    "or": ("|", 2),
    "xor": ("^", 3),
}

#: Methods in place that compute something else than those of the same name, or give another type.
UNLIKE = frozenset(
    ["resize", "resize_as", "eq", "ne", "gt", "ge", "lt", "le", "not_equal", "greater", "greater_equal", "less", "less_equal"]
)

#: How strongly a comparison binds.
COMPARISON = 1

#: An expression that needs no brackets anywhere.
TIGHT = 10


class Writer:
    """Writes expressions; ``parameters`` are the names of the values in them."""

    def __init__(self, parameters: Mapping[Node, str]) -> None:
        self.parameters = parameters
        self.names: dict[str, Any] = {}
        self.used: set[Node] = set()

    def value(self, value: Any) -> str:
        """A value, number or constant."""
        return self.bound(value)[0]

    def bound(self, value: Any) -> tuple[str, int]:
        """A value, number or constant, and how strongly the outermost operator in it binds."""
        if isinstance(value, Node):
            self.used.add(value)
            return (self.parameters[value], TIGHT) if value in self.parameters else self.operation(value)
        number = value if isinstance(value, Number) else getattr(value, "origin", None)
        if isinstance(number, Number):
            return self.called(number.function, number.operands, {})
        if isinstance(value, tuple | list):
            return self.sequence(value), TIGHT
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            return self.called(slice, ends[1:2] if ends[::2] == (None, None) else ends[: 2 + (ends[2] is not None)], {})
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key!r}: {self.value(each)}" for key, each in value.items()) + "}", TIGHT
        text = self.constant(value)
        return text, 7 if text.startswith("-") else TIGHT

    def operation(self, node: Node) -> tuple[str, int]:
        """What a node does."""
        if node.kind == "item":
            return f"{self.tight(node.args[0])}[{write_index(node.function)}]", TIGHT
        return self.called(node.function, node.args, node.named)

    def called(self, function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[str, int]:
        """A call of a function, as an operator, a method or a function."""
        name = getattr(function, "__name__", "")
        plain = name.strip("_")
        if isinstance(function, Attribute):
            return f"{self.tight(args[0])}.{function.name}", TIGHT
        if function is size_of:
            return f"{self.tight(args[0])}.shape[{self.value(args[1])}]", TIGHT
        if name == "__getitem__":
            return f"{self.tight(args[0])}[{self.index(args[1])}]", TIGHT
        if not named and len(args) == 1 and plain in ("neg", "invert"):
            return ("-" if plain == "neg" else "~") + self.tight(args[0], 7), 7
        if works_in_place(function) and same_in_place(function, args, named) is None:
            return f"{self.fresh(args[0])}.{name}({self.arguments(args[1:], named)})", TIGHT
        if works_in_place(function) and name.endswith("__"):
            plain = plain[1:]
        swapped = name.startswith("__r") and plain[1:] in (*OPERATORS, "div")
        if not named and len(args) == 2 and (swapped or plain in OPERATORS) and is_operator(function):
            left, right = reversed(args) if swapped else args
            return self.binary(*OPERATORS[plain[1:] if swapped else plain], left, right)
        if is_method(function):
            method = same_in_place(function, args, named) if works_in_place(function) else name
            return f"{self.tight(args[0])}.{method}({self.arguments(args[1:], named)})", TIGHT
        return f"{self.function(function)}({self.arguments(args, without_defaults(function, named))})", TIGHT

    def fresh(self, value: Any) -> str:
        """A value that may be changed: a copy of one that others read."""
        return self.tight(value) + (".clone()" if isinstance(value, Node) and value in self.parameters else "")

    def binary(self, symbol: str, strength: int, left: Any, right: Any) -> tuple[str, int]:
        """Two values with an operator between them."""
        power = symbol == "**"
        alone = strength == COMPARISON  # which Python would chain
        return f"{self.tight(left, strength + (power or alone))} {symbol} {self.tight(right, strength + (not power))}", strength

    def tight(self, value: Any, strength: int = TIGHT) -> str:
        """A value, in brackets if it binds less than its surroundings."""
        text, own = self.bound(value)
        return f"({text})" if own < strength else text

    def arguments(self, args: Sequence[Any], named: Mapping[str, Any]) -> str:
        """The arguments between the brackets of a call."""
        return ", ".join([*map(self.value, args), *(f"{name}={self.value(each)}" for name, each in named.items())])

    def sequence(self, values: Any) -> str:
        """A tuple or list; the sizes of one value in a row are a slice of its shape."""
        if (sliced := self.shape_slice(values)) is not None:
            return sliced
        inner = ", ".join(map(self.value, values))
        if isinstance(values, list):
            return f"[{inner}]"
        return f"({inner},)" if len(values) == 1 else f"({inner})"

    def shape_slice(self, values: Any) -> str | None:
        """``x.shape[-2:]``, where the values are just these sizes."""
        origins = (getattr(each, "origin", None) for each in values)
        numbers = [each for each in origins if isinstance(each, Number) and each.function is size_of]
        if len(values) < 2 or len(numbers) < len(values):
            return None
        node, first = numbers[0].operands
        if [each.operands for each in numbers] != [(node, first + i) for i in range(len(values))]:
            return None
        rank = node.example.dim()
        if first + len(values) == rank:
            return f"{self.tight(node)}.shape" + (f"[{first - rank}:]" if first else "")
        return f"{self.tight(node)}.shape[{first or ''}:{first + len(values)}]"

    def index(self, choice: Any) -> str:
        """What stands between the brackets of an index."""
        if isinstance(choice, tuple) and choice:
            return ", ".join(map(self.index, choice)) + ("," if len(choice) == 1 else "")
        if isinstance(choice, slice):
            ends = [("" if each is None else self.value(each)) for each in (choice.start, choice.stop)]
            return ":".join(ends) + ("" if choice.step is None else f":{self.value(choice.step)}")
        return self.value(choice)

    def constant(self, value: Any) -> str:
        """A constant; what has no text of its own gets a name."""
        if isinstance(value, float) and not isfinite(value):
            return f"float('{value}')"
        if isinstance(value, bool | int | float | complex | str | bytes | None):
            return repr(value)
        if isinstance(value, EllipsisType):
            return "..."
        if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
            return str(value)
        if isinstance(value, torch.device):
            return f"torch.device({str(value)!r})"
        return self.named(getattr(value, "__name__", type(value).__name__), value)

    def function(self, function: Any) -> str:
        """The name of a function, as one would write it."""
        if (text := dotted(function)) is not None:
            return text
        if function is math.floor or function is math.ceil:
            return self.named("math", math) + f".{function.__name__}"
        if function in (round, abs, slice):
            return str(function.__name__)
        return self.named(function.__name__, function)

    def named(self, name: str, value: Any) -> str:
        """A global of the expression."""
        base = name = "".join(letter if letter.isalnum() else "_" for letter in name)
        count = 1
        while (name in self.names and self.names[name] is not value) or name in self.parameters.values():
            count += 1
            name = f"{base}_{count}"
        self.names[name] = value
        return name


def is_operator(function: Any) -> bool:
    """Whether a function may be written as an operator between its operands."""
    return is_method(function) or getattr(operator, getattr(function, "__name__", ""), None) is function


def is_method(function: Any) -> bool:
    """Whether a function is a method of tensors."""
    name = getattr(function, "__name__", "")
    # What stands behind an operator may bear the name of the method: x ** 2 calls Tensor.__pow__, a function named pow.
    return any(getattr(torch.Tensor, each, None) is function for each in (name, f"__{name}__", f"__i{name[:-1]}__"))


def works_in_place(function: Any) -> bool:
    """Whether a function is a method that changes its value."""
    name = getattr(function, "__name__", "")
    named = not name.endswith("__") or (name.startswith("__i") and name[3:-2] in OPERATORS)
    return name.endswith("_") and named and is_method(function)


def same_in_place(function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> str | None:
    """The method that gives what one in place makes of its value, of the same type, if there is one."""
    name = function.__name__
    name = f"__{name[3:]}" if name.endswith("__") else name[:-1]
    if not callable(getattr(torch.Tensor, name, None)) or name in UNLIKE or name.startswith("logical_"):
        return None
    if name == "bernoulli" and not any(isinstance(each, float) for each in (*args[1:2], named.get("p"))):
        return None  # out of place the value itself holds the probabilities
    values: list[Any] = []
    mapped((args, dict(named)), values.append)
    types = [each.example.dtype for each in values if isinstance(each, Node)]
    return name if all(torch.promote_types(types[0], each) == types[0] for each in types) else None


def dotted(function: Any) -> str | None:
    """The text by which ``torch`` or ``nn`` lead to a function, if they do."""
    text = written(function)
    if isinstance(function, torch._ops.OpOverloadPacket | torch._ops.OpOverload):
        return f"torch.ops.{function}"
    found: Any = {"torch": torch, "nn": nn}.get(text.partition(".")[0])
    for name in text.split(".")[1:]:
        found = getattr(found, name, None)
    return text if found is function and "." in text else None


def without_defaults(function: Any, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Named arguments without those that the function has by itself."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return named
    usual = {name: each.default for name, each in parameters.items()}
    return {name: each for name, each in named.items() if name not in usual or not is_same(each, usual[name])}


def is_same(value: Any, default: Any) -> bool:
    """Whether a constant is the default."""
    return value is default or (type(value) is type(default) and isinstance(value, str | int | float) and value == default)
