"""Faults of a text: where they are, what was expected, and several of them told as one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skipseq.errors import FileError, shortened

__all__ = ["MOST_FAULTS", "Faults", "Place", "Source", "faults_of"]

#: How many faults are told of one text.
MOST_FAULTS = 20

#: How long a line of an error may be that quotes the text.
WIDTH = 300


class Place(NamedTuple):
    """A place in a text, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and what its file is called."""

    file: str
    text: str

    def fault(self, place: Place | None, problem: str, expected: str, received: str, advice: str) -> FileError:
        """The error for what is wrong at a place, or with all of the text."""
        lines = "\n".join(
            line[:1] * line.startswith(" ") + shortened(line.rstrip(), WIDTH).lstrip() for line in advice.split("\n")
        )
        where = "" if place is None else str(place)
        return FileError(self.file, where, shortened(problem, WIDTH), shortened(expected, WIDTH), received, lines)


class Faults(Exception):
    """Several faults that were found in one text."""

    def __init__(self, faults: Sequence[FileError]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)

    def error(self) -> FileError:
        """One error: the first fault in full, of the others the place and the problem."""
        # A fault in a block comes back from each of its calls.
        first, *others = reversed({(each.where, each.problem): each for each in reversed(self.faults)}.values())
        if not others:
            return first
        count = "1 more fault" if len(others) == 1 else f"{len(others)} more faults"
        told = [f"  {each.where}: {each.problem}" for each in others[:MOST_FAULTS]]
        rest = [f"  and {len(others) - MOST_FAULTS} more"] if len(others) > MOST_FAULTS else []
        advice = "\n".join([first.advice, f"{count}:", *told, *rest])
        return FileError(first.file, first.where, first.problem, first.expected, first.received, advice, first.action)


def faults_of(error: FileError | Faults) -> tuple[FileError, ...]:
    """The single faults of an error."""
    return error.faults if isinstance(error, Faults) else (error,)
