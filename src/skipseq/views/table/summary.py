"""A network as a table in the order in which it runs, with its wiring as lanes beside it, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from skipseq.check.graph import Graph
from skipseq.views import terminal
from skipseq.views.terminal import Piece, count_text, cut, exact, length, plural, shape_text, size_text

from .lanes import LaneLine, draw_lanes, in_ascii
from .rows import Held, Names, Row, held_at, rows_of, skip_values

__all__ = ["Summary"]

#: The colours of skips, one after the other, legible on light and on dark ground.
COLORS = (36, 35, 33, 32, 34, 31)

#: The longest constructor that is shown where the width is not limited, in characters.
LONGEST_LAYER = 48

LEGEND = "╮ a skip begins   ┤ is read and goes on   ╯ is read and ends   ─│─ passes by"
BRANCHES = "╭ a second branch starts from it"
MEANING = "lives: operations until the last reader   view: it has no memory of its own"


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """A network as a table, its skips as lanes beside it, and what a forward pass costs.

    ``print(summary)`` is plain text; a Python prompt shows it in colour. ``summary.rows`` are the rows as data.

    Args:
        graph: the network as a graph.
        trainable: the number of elements of its parameters that are trained, if it is known.
    """

    graph: Graph
    trainable: int | None = None

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text(color=terminal.shows_color())

    def text(self, color: bool = False, width: int | None = None) -> str:
        """The summary as text.

        Args:
            color: whether skips are told apart by colour, with ANSI escape sequences.
            width: in characters; the terminal's unless given, and without a terminal as wide as it needs to be.
        """
        plain = not terminal.can_print(LEGEND + BRANCHES + "●○┼…")
        lines = Table(self, "..." if plain else "…").lines(width or terminal.terminal_width())
        text = "\n".join(terminal.written(line, self.colors if color else {}) for line in lines)
        return terminal.encodable(in_ascii(text)) if plain else text

    @cached_property
    def names(self) -> Names:
        """How the values are called."""
        return Names(self.graph)

    @cached_property
    def colors(self) -> dict[int, int]:
        """The colour of each value that is read as a skip."""
        skips = sorted({edge.value for edge in self.graph.skips})
        return {value: COLORS[k % len(COLORS)] for k, value in enumerate(skips)}

    @cached_property
    def rows(self) -> list[Row]:
        """The rows: inputs, operations, and the output."""
        return list(rows_of(self.graph, self.names))

    @cached_property
    def held_at_peak(self) -> list[Held]:
        """What is held during the operation where most bytes are, the largest first."""
        peak = self.graph.peak()
        return [] if peak is None else sorted(held_at(self.graph, self.names, peak[0]), key=lambda held: -held.bytes)

    @property
    def multiply_adds(self) -> int | None:
        """Of a forward pass, as far as they are known."""
        known = [node.multiply_adds for node in self.graph.nodes if node.multiply_adds is not None]
        return sum(known) if known and self.graph.storages else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, which ``json.dumps`` can write. Counts are exact, sizes are in bytes."""
        graph, peak = self.graph, self.graph.peak()
        path = {row.position: row.path for row in self.rows}
        return {
            "title": graph.title,
            "batch": graph.batch,
            "rows": [asdict(row) for row in self.rows],
            "skips": [
                {"name": self.names.short(edge.value), "giver": edge.giver, "reader": edge.reader} for edge in graph.skips
            ],
            "parameters": graph.parameters,
            "trainable": self.trainable,
            "multiply_adds": self.multiply_adds,
            "peak": peak and {"bytes": peak[1], "path": path[peak[0]], "held": [asdict(held) for held in self.held_at_peak]},
        }


# The table


@dataclass(slots=True)
class Column:
    """A column: its head, how it stands, and how far it may be cut."""

    head: str
    right: bool = False
    least: int = 1000
    keeps_end: bool = False


#: The columns behind the lanes.
COLUMNS = (
    Column("", least=14, keeps_end=True),
    Column("layer", least=14),
    Column("from", least=8),
    Column("output", least=14),
    Column("params", right=True),
    Column("mult-adds", right=True),
    Column("bytes", right=True),
    Column("lives", right=True),
)

#: The columns in the order in which they are cut where the terminal is narrow, and in which they are then left out.
CUT_FIRST = (1, 2, 0, 3)
OMITTED_FIRST = (7, 5, 6, 4, 3)


class Table:
    """A summary as lines of pieces.

    Args:
        summary: the summary.
        mark: what stands where text was cut.
    """

    def __init__(self, summary: Summary, mark: str) -> None:
        self.summary, self.graph, self.names, self.mark = summary, summary.graph, summary.names, mark
        known = bool(self.graph.storages)
        self.columns = [k for k in range(len(COLUMNS)) if known or k in (0, 1, 2, 4)]
        self.values = {self.names.short(value.number): value.number for value in self.graph.values}
        self.drawing = draw_lanes(self.graph)

    def lines(self, width: int | None) -> list[list[Piece]]:
        """All lines, none wider than ``width``."""
        found: list[list[Piece]] = [[(self.title(), None)], [], *self.table(width), []]
        if any(character in "╮┬" for line in self.drawing for character, _ in line.cells):
            found += [[(LEGEND, None)]]
        if any(line.kind == "take" for line in self.drawing):
            found += [[(BRANCHES, None)]]
        if 7 in self.columns:
            found += [[(MEANING, None)]]
        if omitted := [COLUMNS[k].head for k in range(len(COLUMNS)) if self.graph.storages and k not in self.columns]:
            found += [[(f"A wider terminal shows {', '.join(omitted)}.", None)]]
        found.append([])
        found += [[(line, None)] for line in self.totals()]
        return [cut(line, width, self.mark) if width else line for line in found]

    def title(self) -> str:
        """What it is about."""
        skips = len(skip_values(self.graph))
        batch = f" (bytes and mult-adds for one of {self.graph.batch} samples)" if self.graph.batch else ""
        return f"{self.graph.title}: {plural(len(self.graph.nodes), 'operation')}, {plural(skips, 'skip')}{batch}"

    def table(self, width: int | None) -> Iterator[list[Piece]]:
        """The head and the rows."""
        above = [None, *(line.value if line.kind == "take" else None for line in self.drawing)]
        cells = [self.cells(line, taken) for line, taken in zip(self.drawing, above, strict=False)]
        head: list[list[Piece]] = [[(column.head, None)] for column in COLUMNS]
        lanes = max(len(line.cells) for line in self.drawing)
        widths = [max((length(row[k]) for row in [head, *cells]), default=0) for k in range(len(COLUMNS))]
        self.narrow(widths, lanes, width)
        yield self.joined([(" " * lanes, None)], head, widths)
        for line, row in zip(self.drawing, cells, strict=True):
            yield self.joined(list(line.cells), row, widths)

    def narrow(self, widths: list[int], lanes: int, width: int | None) -> None:
        """Makes columns narrower until the table fits, and leaves out what does not fit even so."""
        if width is None:
            widths[1] = min(widths[1], LONGEST_LAYER)
            return
        for k in OMITTED_FIRST:
            least = sum(2 + min(widths[each], COLUMNS[each].least) for each in self.columns)
            if lanes + least > width and k in self.columns:
                self.columns.remove(k)
        excess = lanes + sum(widths[k] + 2 for k in self.columns) - width
        for k in (each for each in CUT_FIRST if each in self.columns):
            less = max(0, min(excess, widths[k] - COLUMNS[k].least))
            widths[k] -= less
            excess -= less

    def joined(self, lanes: list[Piece], row: Sequence[list[Piece]], widths: Sequence[int]) -> list[Piece]:
        """A line, from its lanes and its cells."""
        line = lanes
        for k in self.columns:
            cell: list[Piece] = cut(row[k], widths[k], self.mark, COLUMNS[k].keeps_end)
            gap: Piece = (" " * (widths[k] - length(cell)), None)
            line += [("  ", None), *([gap, *cell] if COLUMNS[k].right else [*cell, gap])]
        while line and not line[-1][0].strip():
            line.pop()
        return line

    def cells(self, line: LaneLine, taken: int | None) -> list[list[Piece]]:
        """The cells of a row, as many as there are columns; ``taken`` is the value that the row above took."""
        if line.kind in ("take", "gap"):
            source = [] if line.value is None else [self.named(line.value)]
            return [[], [("take", None)] if source else [], source, *([] for _ in COLUMNS[3:])]
        row = self.row_of(line)
        path: list[Piece] = [(row.path, None)]
        if row.labels:
            path += [(" (", None), *terminal.separated(self.colored(row.labels)), (")", None)]
        above = None if taken is None else self.names.short(taken)
        sources = self.colored(name for name in row.sources if name != above)
        layer = f"the same as {row.shared}: {row.layer}" if row.shared else row.layer
        shapes = ", ".join(shape_text(shape) for shape in row.shapes)
        numbers: list[list[Piece]] = [[(text, None)] for text in numbers_of(row)]
        return [path, [(layer, None)], terminal.separated(sources), [(shapes, None)], *numbers]

    def named(self, value: int) -> Piece:
        """The name of a value, in its colour."""
        return self.names.short(value), value

    def colored(self, names: Iterable[str]) -> list[Piece]:
        """Names of values, each in the colour of its value."""
        return [(name, self.values[name]) for name in names]

    def row_of(self, line: LaneLine) -> Row:
        """The row of data that a line shows."""
        if line.kind == "input":
            assert line.value is not None
            return self.summary.rows[self.graph.inputs.index(line.value)]
        return self.summary.rows[-1] if line.position is None else self.summary.rows[len(self.graph.inputs) + line.position]

    # What stands below

    def totals(self) -> Iterator[str]:
        """The lines below the table."""
        graph, each = self.graph, " per sample" if self.graph.batch else ""
        yield f"parameters  {exact(graph.parameters)}{trained(graph.parameters, self.summary.trainable)}"
        if self.summary.multiply_adds is not None:
            yield f"mult-adds   {exact(self.summary.multiply_adds)}{each}, as far as PyTorch counts them"
        peak = graph.peak()
        if peak is None:
            yield "Shapes, bytes and multiply-adds are told where the shape of the input is given: summary((1, 3, 64, 64))."
            return
        where = graph.nodes[peak[0]].name
        yield f"peak        {size_text(peak[1])}{each} in inference, at {where}"
        yield from self.held()
        yield "            These are the values between layers; layers may need more inside."

    def held(self, most: int = 12) -> Iterator[str]:
        """The values at the peak, the largest first."""
        held = self.summary.held_at_peak
        names = [", ".join(each.names) for each in held]
        width = max((len(name) for name in names[:most]), default=0)
        for name, each in zip(names[:most], held, strict=False):
            yield f"{size_text(each.bytes):>22}  {name:<{width}}  {'skip, ' if each.skip else ''}{each.reason}"
        if len(held) > most:
            yield f"{size_text(sum(each.bytes for each in held[most:])):>22}  {len(held) - most} more"


def numbers_of(row: Row) -> tuple[str, str, str, str]:
    """The numbers of a row as text, nothing where there is nothing to tell."""
    size = "" if row.bytes is None else "view" if row.view else size_text(row.bytes)
    lives = "" if row.kind == "output" else "all" if row.kind == "input" else str(row.lives)
    return count_text(row.parameters), count_text(row.multiply_adds or 0), size, lives


def trained(parameters: int, trainable: int | None) -> str:
    """How many of the parameters are trained."""
    if trainable is None or not parameters:
        return ""
    return ", all trainable" if trainable == parameters else f", {exact(trainable)} trainable"
