"""Numbers that remember where they come from: sizes of values, and what a forward computes from them.

A size is a real ``int``, so that any code can use it; what is computed from it with the usual operators is again a number
that remembers. Where one becomes a plain number (``int(h / 2)``, ``range(h)``) its origin is lost.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Attribute", "Flag", "KnownFloat", "KnownInt", "Number", "known", "plain", "size_of", "with_part"]


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """How a number was made: a function and what it was given, values and numbers among it."""

    function: Any
    operands: tuple[Any, ...]


class KnownInt(int):
    """A whole number that remembers how it was made."""

    origin: Number


class KnownFloat(float):
    """A number that remembers how it was made."""

    origin: Number


class Flag(int):
    """The ``training`` of a module that is followed; who asks whether it is true lets the mode decide."""

    asked: Callable[[], None]

    def __bool__(self) -> bool:
        self.asked()
        return int(self) != 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a value, as a function."""

    name: str

    def __call__(self, value: Any) -> Any:
        """The attribute."""
        return getattr(value, self.name)


def size_of(value: Any, dim: int) -> Any:
    """The size of a value in a dimension: the function of the numbers from which all others are made."""
    return value.shape[dim]


def with_part(value: Any, index: Any, part: Any) -> Any:
    """A copy of a value with something else at an index: what ``value[index] = part`` makes of it."""
    value = value.clone()
    value[index] = part
    return value


def known(result: Any, function: Any, *operands: Any) -> Any:
    """A number that remembers how it was made; what is no number stays as it is."""
    if isinstance(result, bool) or not isinstance(result, int | float):
        return result
    number: Any = KnownInt(result) if isinstance(result, int) else KnownFloat(result)
    number.origin = Number(function, operands)
    return number


def plain(value: Any) -> Any:
    """The number without its origin."""
    if isinstance(value, Flag):
        return int(value) != 0
    if isinstance(value, KnownInt):
        return int.__int__(value)
    return float.__float__(value) if isinstance(value, KnownFloat) else value


def remembering(function: Any, swapped: bool) -> Callable[[Any, Any], Any]:
    """An operator of two numbers that remembers; ``swapped`` is the form in which the number stands on the right."""

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, bool) or not isinstance(other, int | float):
            return NotImplemented
        operands = (other, self) if swapped else (self, other)
        return known(function(*map(plain, operands)), function, *operands)

    return method


def rounding(function: Any) -> Callable[..., Any]:
    """An operator of one number that remembers."""

    def method(self: Any, *others: Any) -> Any:
        return known(function(plain(self), *others), function, self, *others)

    return method


for _kind in (KnownInt, KnownFloat):
    for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        _function = getattr(operator, _name)
        setattr(_kind, f"__{_name}__", remembering(_function, False))
        setattr(_kind, f"__r{_name}__", remembering(_function, True))
    for _name, _function in (("neg", operator.neg), ("abs", abs), ("round", round), ("floor", math.floor), ("ceil", math.ceil)):
        setattr(_kind, f"__{_name}__", rounding(_function))
