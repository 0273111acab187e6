"""What stands between a node of an MXNet symbol and the entry that it becomes: its attributes, and who knows its operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from torch import Tensor

from skipseq.errors import FileError

__all__ = ["LARGEST_SIZE", "OPERATORS", "PREVIOUS", "GluonNode", "Piece", "Reader", "node_place", "operator"]

#: The largest whole number that an attribute may have, as in MXNet.
LARGEST_SIZE = 2**31 - 1

#: How many numbers a shape may have, as in MXNet.
MOST_EXTENTS = 32

#: The operand that is the result of the piece before.
PREVIOUS = -1

WHOLE = re.compile(r"[+-]?[0-9]{1,10}L?")
TRUE, FALSE = ("true", "1"), ("false", "0")


class Piece(NamedTuple):
    """An entry of the sequence that a node becomes, or that a part of it becomes.

    Args:
        entry: a layer with its weights in place, a plain function, or a join without operands: ``add()``, ``cat(dim=1)``.
        operands: what it takes, in order: an ``int`` is the position of an input of the node, ``PREVIOUS`` the result of the
            piece before, a ``float`` is a number as it is.
        parts: how many results the entry has; more than one come as a tuple.
    """

    entry: Any
    operands: tuple[int | float, ...]
    parts: int = 1


@dataclass(frozen=True, eq=False)
class GluonNode:
    """What an operator sees of one node.

    Args:
        name: the name in the file.
        operator: the operator: ``"Convolution"``.
        values: for each input, the parameter or batch statistic that stands there (the same object in each node that reads
            it), or ``None`` for a value of the network.
        attributes: the attributes as the file has them, texts all.
        file: the name of the file.
        place: where the node stands in it: ``node 3 'conv0_fwd' (Convolution)``.
        inputs: the names of the nodes that give its inputs.
    """

    name: str
    operator: str
    values: tuple[Tensor | None, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    file: str = "the symbol"
    place: str = ""
    inputs: tuple[str, ...] = ()

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        text = self.attributes.get(name)
        if text is None:
            return default
        try:
            number = float(text)
        except ValueError:
            raise self.wrong(name, "a number") from None
        if not isfinite(number) or "_" in text:
            raise self.wrong(name, "a finite number")
        return number

    def whole(self, name: str, default: int) -> int:
        """A whole number of 32 bits."""
        text = self.attributes.get(name)
        if text is None:
            return default
        number = whole_number(text)
        if number is None:
            raise self.wrong(name, "a whole number of 32 bits")
        return number

    def maybe_whole(self, name: str) -> int | None:
        """A whole number of 32 bits, or ``None`` where the attribute is missing or says ``None``."""
        return None if self.attributes.get(name, "None").strip() == "None" else self.whole(name, 0)

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no."""
        text = self.attributes.get(name)
        if text is None:
            return default
        if text.strip().lower() in TRUE:
            return True
        if text.strip().lower() in FALSE:
            return False
        raise self.wrong(name, "'True' or 'False'")

    def text(self, name: str, default: str, among: tuple[str, ...] = ()) -> str:
        """A text, one of those given if any are."""
        text = self.attributes.get(name, default)
        if among and text not in among:
            raise self.wrong(name, " or ".join(map(repr, among)))
        return text

    def shape(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Whole numbers: ``(3, 3)``, ``[3,3]``, ``3``; ``None`` and a missing attribute are the default."""
        if self.attributes.get(name, "None").strip() == "None":
            return default
        found = self.bounds(name, ())
        if None in found:
            raise self.wrong(name, "whole numbers")
        return tuple(each for each in found if each is not None)

    def bounds(self, name: str, default: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Whole numbers, each of which may be ``None``: ``(None, 1)``."""
        text = self.attributes.get(name, "None").strip()
        if text == "None":
            return default
        parts = between_brackets(text)
        found = [None if part == "None" else whole_number(part) for part in parts]
        if len(found) > MOST_EXTENTS or any(each is None and part != "None" for each, part in zip(found, parts, strict=True)):
            raise self.wrong(name, "whole numbers of 32 bits: (3, 3)")
        return tuple(found)

    def count(self, *counts: int) -> int:
        """How many inputs there are; an error unless it is one of these counts."""
        if len(self.values) in counts:
            return len(self.values)
        expected = " or ".join(map(str, counts)) + (" input" if counts == (1,) else " inputs")
        received = f"{len(self.values)}: {', '.join(self.inputs)}" if self.inputs else f"{len(self.values)}"
        raise self.fault("The operator has another number of inputs.", expected, received, "Export the network again.")

    def parameter(self, position: int, what: str) -> Tensor:
        """The parameter or batch statistic at an input, where no value of the network may stand: ``parameter(1, "weight")``."""
        value = self.values[position]
        if value is None:
            raise self.fault(
                f"The {what} is a value that the network computes.",
                f"a parameter as input {position}",
                self.inputs[position] if self.inputs else "a value",
                "Only parameters can be weights of a layer here.",
            )
        return value

    def wrong(self, name: str, expected: str) -> FileError:
        """The error of an attribute with a wrong text."""
        received = f"{name} = {self.attributes.get(name)!r}"
        return self.fault(
            f"The attribute {name!r} is wrong.", expected, received, "Export the network again, or correct the file."
        )

    def fault(self, problem: str, expected: str, received: str, advice: str) -> FileError:
        """The error to raise for something in this node."""
        return FileError(
            self.file, self.place or node_place(None, self.name, self.operator), problem, expected, received, advice
        )


def whole_number(text: str) -> int | None:
    """The whole number of 32 bits that a text is, also as Python 2 wrote long ones: ``3L``."""
    text = text.strip()
    if not WHOLE.fullmatch(text):
        return None
    number = int(text.rstrip("L"))
    return number if abs(number) <= LARGEST_SIZE else None


def between_brackets(text: str) -> list[str]:
    """The parts of a tuple or list as a text; a single one needs no brackets."""
    if text[:1] + text[-1:] in ("()", "[]") and len(text) > 1:
        text = text[1:-1].strip().removesuffix(",")
        return [part.strip() for part in text.split(",")] if text else []
    return [text]


def node_place(index: int | None, name: str, operator: str) -> str:
    """Where a node stands, in words."""
    shown = repr(name if len(name) <= 60 else name[:57] + "...")
    return f"node {'' if index is None else f'{index} '}{shown} ({operator[:60]})"


#: What knows an operator: it says what the node becomes.
Reader = Callable[[GluonNode], Piece | list[Piece]]

#: Who reads which operator.
OPERATORS: dict[str, Reader] = {}


def operator(*names: str) -> Callable[[Reader], Reader]:
    """Registers a function as the reader of the operators of these names.

    It returns one piece, or several, where each further one takes the result of the one before (``PREVIOUS``; without
    operands it takes just this).
    """

    def register(reader: Reader) -> Reader:
        for name in names:
            OPERATORS[name] = reader
        return reader

    return register
