"""Text for a terminal: counts and sizes in units, pieces in colour, cut to a width, in what the terminal can print."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

__all__ = [
    "Piece", "can_print", "count_text", "cut", "encodable", "exact", "length", "plural", "separated", "shape_text",
    "shows_color", "size_text", "terminal_width", "written",
]  # fmt: skip

#: A piece of text, and what its colour is chosen by.
Piece: TypeAlias = "tuple[str, int | None]"


# Numbers


def shape_text(shape: Iterable[int | str]) -> str:
    """A shape as Python writes it, with the names of unknown sizes."""
    extents = [str(extent) for extent in shape]
    return f"({', '.join(extents)}{',' if len(extents) == 1 else ''})"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def count_text(count: int) -> str:
    """A count in three or four digits: ``1.2 M``; nothing for none."""
    if count < 1000:
        return str(count) if count else ""
    return scaled(count, 1000, ("k", "M", "G", "T", "P"))


def size_text(size: int) -> str:
    """Bytes with binary prefixes: ``1.5 MiB``."""
    return f"{size} B" if size < 1024 else scaled(size, 1024, ("KiB", "MiB", "GiB", "TiB", "PiB"))


def scaled(number: int, base: int, units: Sequence[str]) -> str:
    """A number in the largest unit in which it is at least one."""
    power = 1
    while power < len(units) and round(number / base**power, 1) >= base:
        power += 1
    return f"{number / base**power:.1f} {units[power - 1]}"


def exact(count: int) -> str:
    """A count, and in brackets all of its digits where it was rounded."""
    return f"{count_text(count)} ({count:,})" if count >= 1000 else str(count)


# Pieces


def separated(pieces: Iterable[Piece]) -> list[Piece]:
    """Names with commas between them."""
    found = [each for piece in pieces for each in ((", ", None), piece)]
    return found[1:]


def length(pieces: Iterable[Piece]) -> int:
    """How many characters pieces have together."""
    return sum(len(text) for text, _ in pieces)


def cut(pieces: Sequence[Piece], width: int, mark: str, keeps_end: bool = False) -> list[Piece]:
    """Pieces that are together not longer than ``width``, with a mark where text was left out."""
    left = length(pieces) - width
    if left <= 0:
        return list(pieces)
    left += len(mark)
    kept: list[Piece] = []
    for text, value in pieces if keeps_end else reversed(pieces):
        rest = text[left:] if keeps_end else text[: max(0, len(text) - left)]
        left -= len(text) - len(rest)
        kept.append((rest, value))
    return [(mark, None), *kept] if keeps_end else [*reversed(kept), (mark, None)]


def written(pieces: Iterable[Piece], colors: Mapping[int, int]) -> str:
    """A line as text, in these colours."""
    text = ""
    for color, group in groupby(pieces, key=lambda piece: colors.get(piece[1]) if piece[1] is not None else None):
        part = "".join(each for each, _ in group)
        text += part if color is None else f"\x1b[{color}m{part}\x1b[0m"
    return text.rstrip()


# The terminal


def is_terminal() -> bool:
    """Whether somebody looks at what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def shows_color() -> bool:
    """Whether colours are shown and wanted, see https://no-color.org."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """The width of the terminal in characters, or nothing without one."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def encoding() -> str:
    """The encoding of what is printed."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def can_print(text: str) -> bool:
    """Whether the encoding of the output knows all these characters."""
    try:
        text.encode(encoding())
    except (UnicodeError, LookupError):
        return False
    return True


def encodable(text: str) -> str:
    """A text in which what cannot be printed is replaced."""
    try:
        return text.encode(encoding(), "replace").decode(encoding())
    except LookupError:
        return text.encode("ascii", "replace").decode()
