"""The arguments of a row: which kinds there are, and how those of a row become those of a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from .rows import Row

__all__ = ["Channels", "Flag", "Kind", "Padding", "Ratio", "Size", "Sizes", "Whole", "arguments", "is_whole"]

#: The largest number of channels, and the largest size of a kernel, a stride or a padding.
MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be, in words, and the test."""

    expected: str
    accepts: Callable[[Any], bool]


def is_whole(value: Any, least: int = 1, most: int = MOST) -> bool:
    """Whether a value is a whole number in these bounds; a flag is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_pair(value: Any, least: int) -> bool:
    """Whether a value is a whole number, or one for the height and one for the width."""
    if isinstance(value, tuple):
        return len(value) == 2 and all(is_whole(each, least) for each in value)
    return is_whole(value, least)


#: A number of channels, which the width of the network scales.
Channels = Annotated[int, Kind(f"a whole number of channels from 1 to {MOST}", is_whole)]
Whole = Annotated[int, Kind(f"a whole number from 1 to {MOST}", is_whole)]
Size = Annotated[Any, Kind(f"a whole number from 1 to {MOST}, or two in a list", lambda value: is_pair(value, 1))]
Padding = Annotated[
    Any, Kind("None, a whole number from 0, or two in a list", lambda value: value is None or is_pair(value, 0))
]
Flag = Annotated[bool, Kind("True or False", lambda value: isinstance(value, bool))]
Ratio = Annotated[float, Kind("a number above 0, at most 16", lambda value: isinstance(value, int | float) and 0 < value <= 16)]
Sizes = Annotated[
    tuple[int, ...],
    Kind(
        "a list of 1 to 16 whole numbers",
        lambda value: isinstance(value, tuple) and 1 <= len(value) <= 16 and all(map(is_whole, value)),
    ),
]


@cache
def kinds_of(build: Callable[..., Any]) -> tuple[tuple[str, Kind, bool], ...]:
    """The name of each argument that a row gives to a builder, its kind, and whether it may be left out."""
    hints = get_type_hints(build, include_extras=True)
    parameters = inspect.signature(build).parameters.values()
    return tuple(
        (each.name, kind, each.default is not each.empty)
        for each in parameters
        for kind in getattr(hints[each.name], "__metadata__", ())
    )


def arguments(row: Row, build: Callable[..., Any]) -> tuple[Any, ...]:
    """The arguments of a row, each of the kind that the builder takes there.

    Raises:
        FileError: if there are too many or too few, or one is of another kind.
    """
    kinds = kinds_of(build)
    least = sum(not optional for _, _, optional in kinds)
    if not least <= len(row.arguments) <= len(kinds):
        names = ", ".join(f"{name}=..." if optional else name for name, _, optional in kinds)
        count = str(least) if least == len(kinds) else f"{least} to {len(kinds)}"
        expected = f"{count}: {names}" if kinds else "none"
        advice = "Write them in this order, last in the row." if kinds else "Write [] last in the row."
        raise row.fault("it takes another number of arguments", expected, str(len(row.arguments) or "none"), advice)
    for position, (value, (name, kind, _)) in enumerate(zip(row.arguments, kinds, strict=False)):
        if not kind.accepts(value):
            raise row.fault_of_argument(position, f"argument {position + 1} ({name}) is wrong", kind.expected)
    return row.arguments
