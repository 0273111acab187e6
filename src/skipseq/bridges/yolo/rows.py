"""The rows ``[from, number, module, args]`` of a model file, read and with their references resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skipseq.errors import FileError

from .source import Node, Source

__all__ = ["IMAGES", "Row", "read_rows"]

#: The number that stands for the images, in front of row 0.
IMAGES = -1

#: How many rows and repeats a file may have: the largest published networks have about a hundred.
MOST_BLOCKS = 500

#: How many values one row may read.
MOST_READ = 64

#: What a row looks like.
FORM = "[from, number, module, args]"


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of the file.

    Args:
        source: the text in which it stands.
        node: the place.
        number: its number, counted from 0 through backbone and head.
        reads: the numbers of the rows that it reads, ``IMAGES`` for the images.
        many: whether they are written as a list.
        times: how often its module stands there, not scaled.
        module: the name of its module.
        arguments: the values of its last field.
        places: the nodes of these values.
    """

    source: Source
    node: Node
    number: int
    reads: tuple[int, ...]
    many: bool
    times: int
    module: str
    arguments: tuple[Any, ...]
    places: tuple[Node, ...]

    def fault(self, problem: str, expected: str, received: str, advice: str) -> FileError:
        """What is wrong with this row."""
        return self.source.fault(self.node.start_mark, f"{self}: {problem}", expected, received, advice)

    def fault_of_argument(self, position: int, problem: str, expected: str, advice: str = "") -> FileError:
        """What is wrong with one of its arguments."""
        advice = advice or f"Write {expected} there."
        return self.source.at(self.places[position], f"{self}: {problem}", expected, advice)

    def __str__(self) -> str:
        return f"row {self.number} ({self.module})"


def read_rows(source: Source, parts: tuple[Node, ...], names: Mapping[str, Any]) -> list[Row]:
    """All rows of the lists of a file, in order.

    Args:
        source: the text.
        parts: the nodes of backbone and head.
        names: what stands for a value in arguments: ``nc``, ``anchors``.

    Raises:
        FileError: if a list or a row is none, or a row reads one that does not stand before it.
    """
    rows: list[Row] = []
    for part in parts:
        nodes = source.items(part)
        if nodes is None:
            raise source.at(part, "this is no list of rows", f"rows {FORM}", "Write one row on a line, with '- ' before it.")
        for node in nodes:
            if len(rows) == MOST_BLOCKS:
                raise source.at(node, "there are too many rows", f"at most {MOST_BLOCKS}", "Use 'number' for repeated modules.")
            rows.append(read_row(source, node, len(rows), names))
    if not rows:
        raise source.at(parts[0], "there are no rows", f"at least one row {FORM}", "Write the rows of the network.")
    return rows


def read_row(source: Source, node: Node, number: int, names: Mapping[str, Any]) -> Row:
    """One row.

    Raises:
        FileError: if it has other fields.
    """
    fields = source.items(node)
    if fields is None or len(fields) != 4:
        problem = f"row {number} is no list" if fields is None else f"row {number} has {len(fields)} fields"
        raise source.at(node, problem, f"the four fields {FORM}", "As in [-1, 1, Conv, [64, 3, 2]].")
    read, times, module, given = fields
    name = source.value(module)
    if not isinstance(name, str) or not name:
        raise source.at(module, f"the module of row {number} is no name", "a name", "As in [-1, 1, Conv, [64, 3, 2]].")
    places = source.items(given)
    if places is None:
        raise source.at(given, f"row {number} ({name}): its arguments are no list", "a list", "Write [] for none.")
    count = source.value(times)
    if not is_count(count):
        expected = f"a whole number from 1 to {MOST_BLOCKS}"
        raise source.at(times, f"row {number} ({name}): its number is none", expected, "Write 1 for a module that stands once.")
    reads = source.value(read)
    numbers = tuple(resolved(source, read, each, number) for each in (reads if isinstance(reads, tuple) else (reads,)))
    if not 1 <= len(numbers) <= MOST_READ:
        raise source.at(read, f"row {number} ({name}) reads nothing, or too much", f"1 to {MOST_READ} rows", "Write -1.")
    values = tuple(meant(source.value(each), names, source, each) for each in places)
    return Row(source, node, number, numbers, isinstance(reads, tuple), count, name, values, tuple(places))


def is_count(value: Any) -> bool:
    """Whether a value says how often a module stands there."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_BLOCKS


def meant(value: Any, names: Mapping[str, Any], source: Source, node: Node) -> Any:
    """An argument, with what a name stands for in its place.

    Raises:
        FileError: if the file does not say what the name stands for.
    """
    if not isinstance(value, str) or value not in names:
        return value
    if names[value] is None:
        raise source.at(node, f"{value!r} is used here", f"the key '{value}' in the file", f"Write '{value}: ...' at its head.")
    return names[value]


def resolved(source: Source, node: Node, read: Any, number: int) -> int:
    """The row that a field ``from`` means, counted from 0.

    Raises:
        FileError: if it does not stand before the row that reads it.
    """
    if not isinstance(read, int) or isinstance(read, bool):
        expected = "a whole number, or a list of them"
        raise source.at(node, f"the field 'from' of row {number} is none", expected, "Write -1 for the row before.")
    meant = number + read if read < 0 else read
    if meant == IMAGES and number == 0:
        return IMAGES
    if not 0 <= meant < number:
        back = f"{-read} rows back, of {number}" if read < 0 else f"row {meant}, which does not stand before it"
        which = "itself" if meant == number else back
        expected = f"0 to {number - 1}, or -1 to -{number} counted back" if number else "-1, the images"
        advice = "Rows are counted from 0 through backbone and head: were some inserted or removed?"
        raise source.at(node, f"row {number} reads {which}", expected, advice)
    return meant
