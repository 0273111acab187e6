"""A ``.cfg`` file as sections with options, and what an option says."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skipseq.bridges.opening import open_file
from skipseq.errors import FileError, did_you_mean, shortened

from .options import ALIASES, KINDS, UNSUPPORTED, known_options, refused_options

__all__ = ["LARGEST", "LONGEST", "Option", "Section", "read_sections"]

#: The longest file; the longest of Darknet's own has 70,000 bytes.
MOST_BYTES = 1 << 20

#: The most sections; the longest of Darknet's own networks has 370.
MOST_SECTIONS = 1000

#: The largest number of Darknet, an ``int``.
LARGEST = 2**31 - 1

#: The longest side of a window, in pixels.
LONGEST = 1 << 15

#: The most numbers of one option.
MOST_NUMBERS = 256

#: The most options that Darknet does not know, all together.
MOST_UNKNOWN = 500

BLANKS = str.maketrans("", "", " \t\r\n")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Option:
    """What stands behind the sign of equality, without blanks, and the number of its line."""

    value: str
    line: int

    @property
    def bare(self) -> str:
        """The value up to a remark behind it."""
        return self.value.split("#", 1)[0]


@dataclass(slots=True, eq=False)
class Section:
    """A section: its kind, the line of its head, its number as Darknet counts layers, and its options.

    Of an option that stands there twice, the first one counts, as in Darknet.
    """

    file: str
    kind: str
    line: int
    index: int
    options: dict[str, Option]

    def place(self, option: str = "") -> str:
        """Where the section, or one of its options, stands."""
        line = self.options[option].line if option in self.options else self.line
        return f"line {line}, [{self.kind}]"

    def fault(self, problem: str, expected: str, received: str, advice: str, option: str = "") -> FileError:
        """An error of this section."""
        return FileError(self.file, self.place(option), problem, expected, received, advice)

    def text(self, name: str, default: str = "") -> str:
        """The value of an option as it stands."""
        return self.options[name].bare if name in self.options else default

    def whole(self, name: str, default: int, least: int = 0, most: int = LARGEST) -> int:
        """A whole number."""
        if name not in self.options:
            return default
        return self.whole_number(name, self.options[name].bare, least, most)

    def whole_number(self, name: str, text: str, least: int, most: int) -> int:
        """One of the whole numbers of an option."""
        if WHOLE.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        bounded = f"a whole number from {least} to {most}" if most < LARGEST else f"a whole number, {least} or more"
        expected = bounded if least > -LARGEST else "a whole number"
        raise self.fault(f"{name}= has no such number.", expected, repr(text), "Correct the number.", name)

    def whole_numbers(self, name: str) -> list[int]:
        """Whole numbers with commas between them."""
        return [self.whole_number(name, text, -LARGEST, LARGEST) for text in self.parts(name)]

    def flag(self, name: str) -> bool:
        """Whether an option is there and not zero."""
        return self.whole(name, 0, -LARGEST) != 0

    def number(self, name: str, default: float) -> float:
        """A number."""
        return self.real_number(name, self.options[name].bare) if name in self.options else default

    def real_number(self, name: str, text: str) -> float:
        """One of the numbers of an option."""
        try:
            number = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise self.fault(f"{name}= is no number.", "a finite number", repr(text), "Correct the number.", name)

    def numbers(self, name: str) -> list[float]:
        """Numbers with commas between them."""
        return [self.real_number(name, text) for text in self.parts(name)]

    def parts(self, name: str) -> list[str]:
        """The parts of an option between commas."""
        if name not in self.options:
            return []
        parts = self.options[name].bare.split(",")
        if len(parts) > MOST_NUMBERS:
            advice = "Networks that Darknet can run have fewer."
            raise self.fault(f"{name}= is too long.", f"at most {MOST_NUMBERS} numbers", f"{len(parts)}", advice, name)
        return parts


def read_sections(cfg: str | os.PathLike[str]) -> list[Section]:
    """The sections of a file, ``[net]`` first.

    Args:
        cfg: the path of the file, or its text.

    Raises:
        FileError: with the line, the section, and what was expected there.
    """
    if isinstance(cfg, str) and "\n" in cfg:
        file, data = "the text", cfg.encode("utf-8", "replace")
    else:
        file = Path(cfg).name
        with open_file(cfg) as stream:
            data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES or b"\0" in data:
        received = f"more than {MOST_BYTES} bytes" if len(data) > MOST_BYTES else f"a zero at byte {data.index(0)}"
        advice = "Give the .cfg file first, and the .weights file second."
        raise FileError(file, "", "This is no .cfg file.", "a text of sections", received, advice)
    sections = list(sections_of(file, data.decode("utf-8", "replace").removeprefix("\ufeff")))
    check_sections(file, sections)
    return sections


def sections_of(file: str, text: str) -> Iterator[Section]:
    """The sections of a text, one by one."""
    section = None
    for line, written in enumerate(text.split("\n"), 1):
        bare = written.translate(BLANKS)
        if bare[:1] in ("", "#", ";"):
            continue
        if bare[0] == "[":
            if section is not None:
                yield section
            index = -1 if section is None else section.index + 1
            section = opened(file, bare, line, index)
        elif section is None:
            advice = "Start the file with [net]."
            raise FileError(file, f"line {line}", "An option stands before any section.", "[net]", repr(bare), advice)
        else:
            add_option(section, bare, line)
    if section is not None:
        yield section


def opened(file: str, bare: str, line: int, index: int) -> Section:
    """A new section by its head."""
    head = bare.split("#", 1)[0]
    wanted = head[1:-1]
    if index >= MOST_SECTIONS:
        advice = "Networks that Darknet can run have fewer."
        raise FileError(file, f"line {line}", "There are too many sections.", f"at most {MOST_SECTIONS}", "more", advice)
    kind = ALIASES.get(wanted, wanted)
    if head[-1] == "]" and kind in KINDS:
        return Section(file, kind, line, index, {})
    advice = f"{did_you_mean(wanted, [*KINDS, *ALIASES])} Known are: {', '.join(KINDS)}.".strip()
    raise FileError(file, f"line {line}", "This section is not known.", "the head of a section, [convolutional]", bare, advice)


def add_option(section: Section, bare: str, line: int) -> None:
    """Adds an option to the section in which it stands, if it is the first of its name."""
    name, sign, value = bare.partition("=")
    if not (name and sign and value):
        place, advice = f"line {line}, [{section.kind}]", "Write name=value, or put # before a remark."
        raise FileError(section.file, place, "This line is no option.", "name=value", repr(bare), advice)
    section.options.setdefault(name, Option(value, line))


def check_sections(file: str, sections: list[Section]) -> None:
    """Refuses what no network can be made of, whatever its sections say."""
    if not sections or sections[0].kind != "net":
        received, where = (f"[{sections[0].kind}]", f"line {sections[0].line}") if sections else ("an empty file", "")
        advice = "Start the file with [net], and say width=, height= and channels= there."
        raise FileError(file, where, "The first section is another one.", "[net]", received, advice)
    for section in sections[1:]:
        if section.kind == "net":
            raise section.fault("A second network starts here.", "one [net]", "two", "Put each network into a file of its own.")
    if len(sections) == 1:
        raise sections[0].fault("There are no layers.", "sections after [net]", "none", "Add the sections of the network.")
    unknown = 0
    for section in sections:
        unknown += check_options(section)
        if unknown > MOST_UNKNOWN:
            advice = "Is this a file of Darknet?"
            raise section.fault("There are too many unknown options.", f"at most {MOST_UNKNOWN}", "more", advice)


def check_options(section: Section) -> int:
    """Refuses options that change the network in a way nobody here reads, and names nearly known; counts the unknown."""
    if section.kind in UNSUPPORTED:
        advice = UNSUPPORTED[section.kind]
        raise section.fault("This section is not supported.", "another section", f"[{section.kind}]", advice)
    reasons = refused_options(section.kind)
    known = known_options(section.kind)
    for name in section.options:
        if name in reasons and section.flag(name):
            problem, advice = f"{name}= is not supported.", reasons[name]
            raise section.fault(problem, f"no {name}=, or 0", section.options[name].value, advice, name)
    unknown = [name for name in section.options if name not in known] if section.kind != "net" else []
    for name in unknown[: MOST_UNKNOWN + 1]:
        near = did_you_mean(name[:40], known)
        if near:
            received, advice = f"{shortened(name, 40)}=", f"{near.strip()} Darknet would go on without it."
            raise section.fault("This option is not known.", "an option of this section", received, advice, name)
    return len(unknown)
