"""What a forward does with its values, as a record: plain data, made by a run of the forward or from an exported program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .frames import Place
from .numbers import Number

__all__ = ["Call", "Node", "Record", "Untraceable", "below", "mapped", "nodes_in", "operations_in"]


@dataclass(eq=False, slots=True)
class Call:
    """One call of a module that was followed, with what happened inside in order, and the values that it received."""

    module: nn.Module
    path: str
    parent: Call | None
    items: list[Node | Call] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    result: Any = None


@dataclass(eq=False, slots=True)
class Node:
    """A value of the network and what gives it.

    ``kind`` is input, layer, function, or item, a part of a tuple. ``args`` and ``named`` are as they were written, with nodes
    in the place of values. ``variables`` are names that the user's code has for the value, and ``called`` those that it has
    for the operands, by their index. ``example`` is the value without its numbers, and ``path`` that of a layer.
    """

    kind: str
    function: Any
    args: tuple[Any, ...]
    named: dict[str, Any]
    call: Call
    index: int
    place: Place | None = None
    variables: list[str] = field(default_factory=list)
    called: dict[int, str] = field(default_factory=dict)
    example: Any = None
    path: str = ""


@dataclass(slots=True)
class Record:
    """What a forward does; ``inputs`` are its values by name, ``root.result`` is what it returns, with nodes in it.

    ``decided`` are the lines where the mode of the root decided, ``switched`` those where the root sets the mode of its layers.
    ``sized`` tells whether sizes were asked for, and ``returned`` is the type of the result.
    """

    root: Call
    inputs: dict[str, Node]
    decided: list[Place | None] = field(default_factory=list)
    switched: list[Place | None] = field(default_factory=list)
    sized: bool = False
    returned: type = object


class Untraceable(Exception):
    """The forward of a module cannot be followed, for a reason, at a line of it."""

    def __init__(self, path: str, module: nn.Module, why: str, advice: str, place: Place | None) -> None:
        super().__init__(why)
        self.path, self.module, self.why, self.advice, self.place = path, module, why, advice, place


def below(path: str, base: str) -> bool:
    """Whether a path leads to a module inside the one at another path."""
    return path != "" and (base == "" or path.startswith(base + "."))


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with everything in them changed that is no tuple, list, dict or slice; tuples become plain ones."""
    if isinstance(value, tuple):
        return tuple(mapped(each, change) for each in value)
    if isinstance(value, list):
        return [mapped(each, change) for each in value]
    if isinstance(value, dict):
        return {key: mapped(each, change) for key, each in value.items()}
    if isinstance(value, slice):
        return slice(*(mapped(each, change) for each in (value.start, value.stop, value.step)))
    return change(value)


def nodes_in(*values: Any) -> list[Node]:
    """The nodes inside arguments, those from which numbers are made among them, each once and in order."""
    found: dict[Node, None] = {}

    def collect(value: Any) -> None:
        number = value if isinstance(value, Number) else getattr(value, "origin", None)
        if isinstance(value, Node):
            found[value] = None
        elif isinstance(number, Number):
            mapped(number.operands, collect)

    mapped(values, collect)
    return list(found)


def operations_in(call: Call) -> Iterator[Node]:
    """The operations of a call and of the calls inside it, in the order in which they happened."""
    for item in call.items:
        if isinstance(item, Call):
            yield from operations_in(item)
        else:
            yield item
