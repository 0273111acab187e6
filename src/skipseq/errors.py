"""Everything that skipseq raises.

    SkipseqError
    ├── WiringError     (ValueError, TypeError)   the words of a sequence do not fit together
    ├── CallError       (TypeError)               a call lacks an input, or has one too many
    ├── WordError       (TypeError)               a word was called on its own
    ├── ShapeError      (RuntimeError)            values of different shapes meet
    ├── DtypeError      (RuntimeError)            a layer receives numbers of another type than its own
    ├── DeviceError     (RuntimeError)            values on different devices meet
    ├── OverwriteError  (RuntimeError)            a value was changed in place before its last reader
    ├── ConversionError (ValueError)              a network cannot be read from, or written as, other code
    └── FileError       (ValueError)              a file that holds a network cannot be read, or written

Each message has four parts: what was being built, where, what was expected against what was received, and what to
write instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

__all__ = [
    "CallError",
    "ConversionError",
    "DeviceError",
    "DtypeError",
    "FileError",
    "OverwriteError",
    "ShapeError",
    "SkipseqError",
    "WiringError",
    "WordError",
]


#: How many faults are told in full.
SHOWN = 20


class SkipseqError(Exception):
    """The base of all errors of skipseq."""


class WiringError(SkipseqError, ValueError, TypeError, AssertionError):
    """The words of a sequence do not fit together; ``faults`` holds one text for each fault.

    ``nn.Sequential`` raises each of the three builtins for entries that it cannot take.
    """

    def __init__(self, what: str, faults: Iterable[str]) -> None:
        self.what = what
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        more = [f"  and {len(self.faults) - SHOWN} more."] if len(self.faults) > SHOWN else []
        super().__init__("\n".join([f"{count} in {what}", *map(indented, self.faults[:SHOWN]), *more]))

    def __reduce__(self) -> tuple[type[WiringError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.what, self.faults)


class CallError(SkipseqError, TypeError):
    """A call lacks an input that the sequence needs, or passes one that it does not know."""


class WordError(SkipseqError, TypeError):
    """A word was called as if it were a layer."""


class ConversionError(SkipseqError, ValueError):
    """A network cannot be read from handwritten code, or written as such."""


class FileError(SkipseqError, ValueError):
    """A file that holds a network cannot be read, or a network cannot be written as one; its parts are fields too.

    Args:
        file: the name of the file, or what it is: ``the text``.
        where: the place in it: ``line 4, column 7``, ``byte 16``, ``node 12 'conv0_fwd' (Convolution)``; empty for all of it.
        problem: what is wrong there, one line.
        expected: what would be right.
        received: what stands there, shortened.
        advice: what to do.
        action: what was being done with the file.
    """

    def __init__(
        self,
        file: str,
        where: str,
        problem: str,
        expected: str,
        received: str,
        advice: str,
        action: str = "cannot be read as a network",
    ) -> None:
        self.file, self.where, self.problem = file, where, problem
        self.expected, self.received, self.advice, self.action = expected, received, advice, action
        place = f"{where}: " if where else ""
        lines = [f"{file} {action}.", f"  {place}{problem}", f"  expected {expected}", f"  received {shortened(received)}"]
        super().__init__("\n".join([*lines, indented(advice)]))

    def __reduce__(self) -> tuple[type[FileError], tuple[str, ...]]:
        parts = (self.file, self.where, self.problem, self.expected, self.received, self.advice, self.action)
        return type(self), parts


@dataclass(frozen=True, slots=True)
class Met:
    """One of the values that met: what it is called, what it is, and the place it comes from.

    A part does not know where its needs come from: then ``origin`` is nothing, and ``need`` is the name to ask for. Who looks
    at the whole network also knows the ``giver``, the layer or word as it was written.
    """

    name: str
    what: str
    origin: str | None = None
    need: str | None = None
    giver: str = ""

    def __str__(self) -> str:
        origin = f", from net{self.origin}" if self.origin else ", the input" if self.origin == "" else ""
        return f"{self.name} is {self.what}{origin}{' ' * bool(self.giver)}{self.giver}"


class ValueFault(SkipseqError, RuntimeError):
    """A fault of the values of one call, found at one step.

    A part tells the fault by the places that it knows, and each container that it passes through puts its own step before
    them: ``[2]`` becomes ``.decoder[2]``, so that a part run flat and a part called as a module tell the same.
    """

    def __init__(self, place: str, problem: str, met: Iterable[Met], advice: str) -> None:
        self.place = place
        self.problem = problem
        self.met = tuple(met)
        self.advice = advice
        self.returned: int | None = None
        #: Further faults of the same network, which do not follow from this one.
        self.others: tuple[ValueFault, ...] = ()
        super().__init__(place, problem, self.met, advice)

    def passed(self, place: str, origins: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Puts the place of a part before the places inside it; ``origins`` tells where its needs come from."""
        self.place = place + self.place
        self.met = tuple(
            replace(each, origin=None if each.need is None and each.origin == "" else place + (each.origin or ""))
            if each.need is None
            else replace(each, origin=origins[each.need][0], need=origins[each.need][1])
            for each in self.met
        )
        for other in self.others:
            other.passed(place, origins)

    def __str__(self) -> str:
        if not self.others:
            return self.told()
        count = "1 more fault" if len(self.others) == 1 else f"{len(self.others)} more faults"
        shown = [indented(other.told()) for other in self.others[:SHOWN]]
        rest = [f"  and {len(self.others) - SHOWN} more."] if len(self.others) > SHOWN else []
        return "\n".join([self.told(), f"{count}:", *shown, *rest])

    def told(self) -> str:
        """The text of this fault alone."""
        lines = [f"net{self.place} {self.problem}", *(f"  {each}" for each in self.met), indented(self.advice)]
        return "\n".join(lines)


class ShapeError(ValueFault):
    """Values of different shapes meet in a join, or a layer cannot take the shape that it receives."""


class DtypeError(ValueFault):
    """A layer receives numbers of another type than its own."""


class DeviceError(ValueFault):
    """Values on different devices meet in a join, or in a layer."""


class OverwriteError(ValueFault):
    """A value was changed in place after it was saved and before it was read."""


def indented(text: str) -> str:
    """The text with two blanks before each line."""
    return "\n".join("  " + line for line in text.splitlines())


def shortened(text: str, width: int = 120) -> str:
    """A text of strangers on one line of bounded width, without characters that a terminal would act on."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * width])
    return shown if len(shown) <= width else shown[: width - 3] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known name, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
