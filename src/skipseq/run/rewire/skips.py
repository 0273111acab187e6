"""The skips of a network as data: which value is read where, by which word, behind which layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from skipseq.errors import CallError

__all__ = ["Skip", "Skips", "columns"]


@dataclass(frozen=True, slots=True)
class Skip:
    """One read of an earlier value. Two are equal if they join the same things in the same way, whatever the names.

    Args:
        giver: the path of the layer or word whose output is read: ``"encoder.3"``; or the name of an input or need.
        reader: the path of the layer directly behind the word that reads; ``"output"`` and ``"decoder.output"`` are ends.
            Of a call it is the layer that is called.
        operator: ``cat``, ``add``, ``sub``, ``mul``, ``call``, ``take`` or ``output``.
        via: the layers that the value goes through before, as they are written.
        argument: of a join, whether it stands ``"before"`` or ``"behind"`` the running value; of a call, its argument.
        options: of a join: ``"dim=-1"``.
        join: the path of the word that reads: ``"decoder.cat_0"``; of an output, the same as ``reader``.
        name: the name by which it is read.
        text: the word as it is written: ``"cat('x1')"``.
        giver_place: the place of the giver: ``"net[0]"``, empty for an input.
        reader_place: the place of the word that reads: ``"net.decoder[1]"``, empty for an output.
    """

    giver: str
    reader: str
    operator: str
    via: tuple[str, ...] = ()
    argument: str = ""
    options: str = ""
    join: str = field(default="", compare=False)
    name: str = field(default="", compare=False)
    text: str = field(default="", compare=False)
    giver_place: str = field(default="", compare=False)
    reader_place: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.giver} -> {self.reader}  {self.how()}"

    def how(self, via: bool = True) -> str:
        """The operator, with its options and, unless told otherwise, the layers that the value goes through."""
        options = f"({self.options})" if self.options else ""
        return self.operator + options + (f"  via {', '.join(self.via)}" if self.via and via else "")


class Skips(Sequence[Skip]):
    """The skips of a network in the order in which they are read; printed, they are a table."""

    def __init__(self, skips: Iterable[Skip] = ()) -> None:
        self._skips = tuple(skips)

    def __len__(self) -> int:
        return len(self._skips)

    @overload
    def __getitem__(self, index: int) -> Skip: ...

    @overload
    def __getitem__(self, index: slice) -> Skips: ...

    def __getitem__(self, index: int | slice) -> Skip | Skips:
        return Skips(self._skips[index]) if isinstance(index, slice) else self._skips[index]

    def __iter__(self) -> Iterator[Skip]:
        return iter(self._skips)

    def __eq__(self, other: object) -> bool:
        return self._skips == other._skips if isinstance(other, Skips) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._skips)

    def __repr__(self) -> str:
        count = "1 skip" if len(self) == 1 else f"{len(self) or 'no'} skips"
        if not self:
            return count
        head = ("giver", "", "name", "join", "via", "reader", "")
        rows = [
            (each.giver, each.giver_place, each.name, each.how(False), ", ".join(each.via), each.reader, each.reader_place)
            for each in self
        ]
        return "\n".join([count, "", *columns([head, *rows])])

    def diff(self, other: Skips) -> Any:
        """What the other skips have more (``+``) and less (``-``), compared by their paths.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> layers = [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)]
        >>> Sequential(*layers).skips.diff(Sequential(*layers, add("0")).skips)
        + 0 -> output  add

        Args:
            other: the skips of another network.
        """
        from .difference import Diff, lines_of

        if not isinstance(other, Skips):
            raise CallError(f"skips are compared with skips, not with {type(other).__name__}.\n  Write net.diff(other).")
        return Diff(lines_of(self, other))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines in which the columns stand below each other; a column without any text is left out."""
    shown = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:]) or (len(rows) == 1 and rows[0][i])]
    widths = {i: max(len(row[i]) for row in rows) for i in shown}
    return ["  ".join(row[i].ljust(widths[i]) for i in shown).rstrip() for row in rows]
