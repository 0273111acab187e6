"""The wiring of a network as lanes of text: one line an operation, the running value on the left, each skip beside it.

    ○      input
    ●───╮  0 (x1)
    ●   │  1
    ●─╮ │  2 (x2)
    ● │ │  3
    ●─╯ │  cat_0
    ●───╯  cat_1
    ○      output

The arms of a character tell what is connected: a lane with an arm below begins, one with an arm above ends, one with both
(``┤``, ``┼``) is read and goes on. A lane that interrupts a horizontal line (``●─│─╯``) has nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from skipseq.check.graph import Graph

__all__ = ["Cell", "LaneLine", "draw_lanes", "in_ascii"]

#: A character, and the value of the skip to which it belongs, if it belongs to one.
Cell: TypeAlias = "tuple[str, int | None]"

#: The characters by their arms: up, down, left, right.
BY_ARMS = {
    "ud": "│", "udl": "┤", "udr": "├", "udlr": "┼",
    "ul": "╯", "ur": "╰", "ulr": "┴",
    "dl": "╮", "dr": "╭", "dlr": "┬",
}  # fmt: skip

#: The same in ASCII: where a lane begins stands a full stop, where it ends an apostrophe.
ASCII = str.maketrans("●○│─┤├┼╯╰┴╮╭┬", "*o|-+++'''...")


@dataclass(frozen=True, slots=True)
class LaneLine:
    """A line: what stands there, and its characters.

    Args:
        kind: ``input``, ``node``, ``take`` (a second branch starts), ``gap`` (the running line ends) or ``output``.
        cells: two for each lane but the last, the second between it and the next one.
        position: of a node, in the graph.
        value: the input, or the value that is taken.
    """

    kind: str
    cells: tuple[Cell, ...]
    position: int | None = None
    value: int | None = None


@dataclass(slots=True)
class Row:
    """A line before it is drawn: what it reads and gives, and where.

    Args:
        kind, position, value: as in :class:`LaneLine`.
        beside: whether the operation stands beside the running line, in a lane of its own.
        running: the value that it reads from the running line.
        reads: the values that it reads from lanes of their own.
        gives: the values that it gives to lanes of their own.
        taps: whether it reads the running line from the side.
    """

    kind: str
    position: int | None = None
    value: int | None = None
    beside: bool = False
    running: int | None = None
    reads: list[int] = field(default_factory=list)
    gives: list[int] = field(default_factory=list)
    taps: bool = False


@dataclass(slots=True)
class Track:
    """The rows through which a lane keeps its column: of one value, or of several of which one is made of the other."""

    first: int
    last: int
    column: int = 0


def draw_lanes(graph: Graph) -> tuple[LaneLine, ...]:
    """The lines of a network in the order in which it runs."""
    rows = rows_of(graph)
    carried = running_line(rows)
    leave_out_needless(rows, carried)
    lasts = {value: i for i, row in enumerate(rows) for value in row.reads}
    columns, nodes = place_lanes(rows, lasts)
    width = max([0, *columns.values(), *nodes]) + 1
    lines = []
    alive: list[int] = []
    for i, row in enumerate(rows):
        passing = {columns[value]: value for value in alive}
        drawing = Drawing(passing, row.beside and carried[i] is not None, nodes[i])
        for value in row.reads:
            drawing.join(columns[value], "u" if lasts[value] == i else "ud", value)
        for value in row.gives:
            drawing.join(columns[value], "d", value)
        lines.append(LaneLine(row.kind, drawing.cells(row, width), row.position, row.value))
        alive = [value for value in alive + row.gives if lasts[value] > i]
    return tuple(lines)


def in_ascii(text: str) -> str:
    """Lanes in plain characters."""
    return text.translate(ASCII)


# Rows: what is read, and from which lane


def rows_of(graph: Graph) -> list[Row]:
    """A row for each input and each operation, one for the outputs, and one wherever a second branch starts."""
    rows = [Row("input", None, value, beside=k > 0, gives=[value]) for k, value in enumerate(graph.inputs)]
    running = graph.inputs[0] if graph.inputs else None
    for node in graph.nodes:
        takes = list(dict.fromkeys(node.takes))
        if node.main:
            rows += rows_on_line(Row("node", node.position, gives=list(node.gives)), takes, running, rows)
            running = node.gives[0]
        else:
            rows.append(Row("node", node.position, beside=True, reads=takes, gives=list(node.gives)))
    rows += rows_on_line(Row("output"), list(dict.fromkeys(graph.results)), running, rows)
    return rows


def rows_on_line(row: Row, takes: list[int], running: int | None, before: Sequence[Row]) -> list[Row]:
    """The row of an operation on the running line, and before it another one if it does not read the running value."""
    start: list[Row] = []
    if running in takes:
        row.running = running
    elif len(takes) == 1:
        row.running = takes[0]
        start = [Row("take", None, takes[0], reads=takes)]
    elif not before[-1].beside:
        start = [Row("gap")]
    row.reads = [value for value in takes if value != row.running]
    return [*start, row]


def running_line(rows: Sequence[Row]) -> list[int | None]:
    """The value that the running line carries from each row to the next."""
    carried: list[int | None] = [None] * len(rows)
    since: int | None = None
    for i, row in enumerate(rows):
        if not row.beside and row.kind != "gap":
            if row.running is not None and since is not None:
                carried[since:i] = [row.running] * (i - since)
            since = i
    return carried


def leave_out_needless(rows: Sequence[Row], carried: Sequence[int | None]) -> None:
    """Leaves out the lanes of what is never read, and of what is only read where the running line carries it."""
    needed = {value for i, row in enumerate(rows) for value in row.reads if not (row.beside and carried[i] == value)}
    for row in rows:
        row.taps = not needed.issuperset(row.reads)
        row.reads = [value for value in row.reads if value in needed]
        row.gives = [value for value in row.gives if value in needed]


# Columns: inner lanes inside, outer ones outside


def place_lanes(rows: Sequence[Row], lasts: dict[int, int]) -> tuple[dict[int, int], list[int]]:
    """The column of each value that has a lane, and of what stands in each row.

    A lane stays in its column. Of nested skips the inner ones stand inside, so that only skips that really cross are drawn so.
    What stands beside the running line takes over the lane of a value that ends there.
    """
    tracks: dict[int, Track] = {}
    beside: dict[int, Track] = {}
    for i, row in enumerate(rows):
        fresh = list(row.gives)
        if row.beside:
            own = next((tracks[value] for value in row.reads if lasts[value] == i), Track(i, i))
            # Nothing may begin right below an operation that leads nowhere: it would seem to go on there.
            own.last = lasts[fresh[0]] if fresh else i + 1
            beside[i] = own
            tracks.update((value, own) for value in fresh[:1])
            del fresh[:1]
        tracks.update((value, Track(i, lasts[value])) for value in fresh)
    give_columns([*tracks.values(), *beside.values()])
    nodes = [beside[i].column if i in beside else 0 for i in range(len(rows))]
    return {value: track.column for value, track in tracks.items()}, nodes


def give_columns(tracks: Sequence[Track]) -> None:
    """The leftmost free column for each track: inner ones before those around them, and else the first before the next.

    Whatever keeps an inner track from a column keeps the outer one from it too, which so comes to stand outside.
    """
    distinct = sorted({id(track): track for track in tracks}.values(), key=lambda track: track.last - track.first)
    heights: list[int] = []
    for k, track in enumerate(distinct):
        heights.append(1 + max((heights[i] for i in range(k) if within(distinct[i], track)), default=0))
    columns: list[list[Track]] = []
    for _, _, k in sorted((heights[k], track.first, k) for k, track in enumerate(distinct)):
        track = distinct[k]
        free = (c for c, others in enumerate(columns) if all(apart(track, other) for other in others))
        column = next(free, len(columns))
        if column == len(columns):
            columns.append([])
        columns[column].append(track)
        track.column = column + 1


def within(inner: Track, outer: Track) -> bool:
    """Whether a track has all its rows beside those of another one."""
    return outer.first <= inner.first and inner.last <= outer.last


def apart(one: Track, other: Track) -> bool:
    """Whether two tracks have no row in common."""
    return one.last < other.first or other.last < one.first


# Characters


class Drawing:
    """The characters of one row.

    Args:
        passing: the columns of the lanes that come from above, with their values.
        line_passes: whether the running line passes beside what stands in the row.
        node: the column of what stands there.
    """

    def __init__(self, passing: dict[int, int], line_passes: bool, node: int) -> None:
        self.values: dict[int, int | None] = dict(passing)
        self.node = node
        self.arms: dict[int, str] = {}
        if line_passes:
            self.values[0] = None

    def join(self, column: int, arms: str, value: int | None) -> None:
        """Connects a lane with what stands in the row."""
        self.arms[column] = arms
        self.values[column] = value

    def cells(self, row: Row, width: int) -> tuple[Cell, ...]:
        """The characters of the row, over so many lanes."""
        symbol = {"take": "", "gap": "", "node": "●"}.get(row.kind, "○")
        if row.kind == "take":
            self.join(0, "d", None)
        if row.taps:
            self.join(0, "ud", None)
        ends = [*self.arms, self.node] if row.kind != "gap" else [0]
        first, last = min(ends), max(ends)
        cells: list[Cell] = []
        for column in range(width):
            value = self.values.get(column)
            if symbol and column == self.node:
                cells.append((symbol, value))
            elif column in self.arms:
                cells.append((BY_ARMS[self.arms[column] + "l" * (column > first) + "r" * (column < last)], value))
            elif column in self.values:
                cells.append(("│", value))
            else:
                cells.append(self.horizontal(column, column) if first < column < last else (" ", None))
            cells.append(self.horizontal(column, column + 1) if first <= column < last else (" ", None))
        return tuple(cells[:-1])

    def horizontal(self, left: int, right: int) -> Cell:
        """A piece of a horizontal line, which belongs to the next lane that it leads to."""
        if right > self.node:
            return "─", self.values[min(column for column in self.arms if column >= right)]
        return "─", self.values[max(column for column in self.arms if column <= left)]
