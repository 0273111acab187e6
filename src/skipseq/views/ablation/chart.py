"""An ablation as a chart: a bar for each skip, from the line of the whole network, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from xml.sax.saxutils import escape, quoteattr

from skipseq.views.drawing.drawing import number
from skipseq.views.drawing.labels import clipped, text_width
from skipseq.views.files import FONTS

from .rows import Removed, Told, number_format

__all__ = ["chart_text"]

#: The colours of a loss that is larger without the skip, and of one that is smaller.
WORSE, BETTER = "#d9480f", "#2b8a3e"
#: The same colours in bars.
FILLS = {WORSE: "#e8743b", BETTER: "#55a630"}
INK, WEAK, FAINT = "#1f2933", "#52606d", "#dfe3e8"

MARGIN = 20
ROW = 26
BAR = 15
#: The room for the bars, and the most that the names of the skips take.
PLOT, NAMES = 420, 340
#: Where the bars begin at least, so that what stands above them to the left has room.
LEAST = 130
WORSE_WORDS = "worse without it →"
#: The top of the first row: title, method, and what the sides mean stand above.
TOP = 112


@dataclass(frozen=True, slots=True)
class Chart:
    """Where things stand: the left end of the bars, the place of no change, and pixels for each unit of the loss."""

    left: float
    zero: float
    scale: float
    width: float
    bottom: float

    def x(self, change: float) -> float:
        """The place of a change."""
        return self.zero + change * self.scale


def chart_text(told: Told, baseline: float, rows: Sequence[Removed]) -> str:
    """The chart as SVG, complete in itself."""
    form = number_format([baseline, *(row.loss for row in rows)])
    chart = placed(told, rows, baseline, form)
    width, height = number(chart.width), number(chart.bottom + 52)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="skipseq-ablation" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONTS}">',
        f"<title>{escape(title_of(told))}</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="#fcfcfd"/>',
        text(title_of(told), MARGIN, 32, 16, INK, 'font-weight="600"'),
        text(told.method(), MARGIN, 52, 12, WEAK),
        *sides(chart, rows),
        *axis(chart, rows),
        *(line for k, row in enumerate(rows) for line in row_lines(chart, row, TOP + k * ROW, form)),
        *baseline_lines(chart, baseline, form),
        *(words_instead(chart, row, TOP + k * ROW) for k, row in enumerate(rows) if not has_bar(row)),
        *([] if rows else [text("no skips", chart.zero + 8, TOP + ROW / 2 + 4, 12, WEAK)]),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def title_of(told: Told) -> str:
    return f"What each skip of {told.network} is worth: the loss without it"


def placed(told: Told, rows: Sequence[Removed], baseline: float, form: str) -> Chart:
    """Where the bars are, with room for the numbers at their ends."""
    names = max((text_width(" ".join(name_of(row)), 12) for row in rows), default=0.0)
    left = max(LEAST, MARGIN + names + 16)
    changes = [row.change for row in rows if has_bar(row) and row.change is not None]
    most, least = max([*changes, 0.0]), min([*changes, 0.0])
    room = max((text_width(format(change, "+" + form), 12) for change in changes), default=0.0) + 12
    ahead = room if least < 0 else 0.0
    behind = max(room, text_width(baseline_words(baseline, form), 11) / 2)
    scale = (PLOT - ahead - behind) / (most - least) if most > least else 0.0
    zero = left + ahead - least * scale if scale else left + PLOT / 4
    titles = max(text_width(title_of(told), 16) * 1.1, text_width(told.method(), 12))
    width = max(left + PLOT, zero + text_width(WORSE_WORDS, 11) + 8, MARGIN + titles) + MARGIN
    return Chart(left, zero, scale, width, TOP + max(1, len(rows)) * ROW)


def has_bar(row: Removed) -> bool:
    """Whether there is a change that can be drawn."""
    return row.change is not None and isfinite(row.change)


def baseline_words(baseline: float, form: str) -> str:
    return f"loss with all skips: {baseline:{form}}"


def text(words: str, x: float, y: float, size: float, colour: str, how: str = "") -> str:
    """A text."""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
    return f'<text {place} fill="{colour}"{" " * bool(how)}{how}>{escape(words)}</text>'


def sides(chart: Chart, rows: Sequence[Removed]) -> Iterator[str]:
    """What the two sides of the line mean."""
    y = TOP - 32
    if any(has_bar(row) and row.change is not None and row.change > 0 for row in rows):
        yield text(WORSE_WORDS, chart.zero + 8, y, 11, WORSE)
    if any(has_bar(row) and row.change is not None and row.change < 0 for row in rows):
        yield text("← better without it", chart.zero - 8, y, 11, BETTER, 'text-anchor="end"')


def row_lines(chart: Chart, row: Removed, y: float, form: str) -> Iterator[str]:
    """One skip: its name, its bar, and the change at the end of the bar."""
    middle = y + ROW / 2 + 4
    told = f"{row.skip}: {row.problem or f'{row.loss:{form}}'}"
    yield f'<g class="row" data-skip={quoteattr(row.skip)}>'
    yield f"<title>{escape(told)}</title>"
    yield name_text(row, chart.left - 16, middle)
    if has_bar(row) and row.change is not None:
        yield from bar_lines(chart, row.change, y, middle, form)
    yield "</g>"


def words_instead(chart: Chart, row: Removed, y: float) -> str:
    """What stands in the place of a bar."""
    words = f"the loss is {row.loss}" if row.change is not None else f"cannot run: {row.problem}"
    cut = clipped(words, chart.width - chart.left - MARGIN, 11)
    halo = 'font-style="italic" stroke="#fcfcfd" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
    return text(cut, chart.left, y + ROW / 2 + 4, 11, WEAK if row.change is None else WORSE, halo)


def bar_lines(chart: Chart, change: float, y: float, middle: float, form: str) -> Iterator[str]:
    """A bar, and the change at its end."""
    start, end = sorted((chart.zero, chart.x(change)))
    colour = WORSE if change > 0 else BETTER
    place = f'x="{start:.2f}" y="{number(y + (ROW - BAR) / 2)}" width="{end - start:.2f}" height="{BAR}"'
    yield f'<rect class="bar" {place} fill="{FILLS[colour]}"/>'
    words = format(change, "+" + form)
    if change < 0:
        yield text(words, start - 6, middle, 12, INK, 'text-anchor="end"')
    else:
        yield text(words, end + 6, middle, 12, INK)


def name_of(row: Removed) -> tuple[str, str]:
    """The name of a skip and its word, cut where they are long."""
    how = row.how if text_width(row.skip, 12) <= NAMES else row.how.partition("  ")[0]
    room = NAMES - text_width(f" →   {how}", 12)
    giver, reader = row.giver, row.reader
    if text_width(giver + reader, 12) > room:
        giver, reader = (clipped_ahead(each, room / 2) for each in (giver, reader))
    return f"{giver} → {reader}", f" {how}"


def clipped_ahead(path: str, width: float) -> str:
    """The end of a path, with an ellipsis before it where it is wider than this."""
    cut = clipped(path[::-1], width, 12)[::-1]
    return cut if cut == path else "…" + cut.lstrip("….")


def name_text(row: Removed, x: float, y: float) -> str:
    """The name of a skip, its word in a weaker colour."""
    name, how = name_of(row)
    place = f'x="{number(x)}" y="{number(y)}" font-size="12" text-anchor="end" xml:space="preserve"'
    return f'<text {place} fill="{INK}">{escape(name)}<tspan fill="{WEAK}"> {escape(how)}</tspan></text>'


def axis(chart: Chart, rows: Sequence[Removed]) -> Iterator[str]:
    """Lines behind the bars at round changes, and their numbers below."""
    changes = [row.change for row in rows if has_bar(row) and row.change is not None]
    for change in ticks(min([*changes, 0.0]), max([*changes, 0.0])):
        x = number(chart.x(change))
        yield f'<path class="tick" d="M{x} {TOP - 4}V{number(chart.bottom + 4)}" stroke="{FAINT}"/>'
        words = f"{change:+g}" if change else "0"
        yield text(words, chart.x(change), chart.bottom + 19, 11, WEAK, 'text-anchor="middle"')
    yield text("change of the loss", chart.left + PLOT / 2, chart.bottom + 38, 11, WEAK, 'text-anchor="middle"')


def baseline_lines(chart: Chart, baseline: float, form: str) -> Iterator[str]:
    """The line of the whole network, from which the bars start."""
    x = number(chart.zero)
    yield f'<path class="baseline" d="M{x} {TOP - 8}V{number(chart.bottom + 4)}" stroke="{INK}" stroke-width="1.4"/>'
    place = 'text-anchor="middle" font-weight="600"'
    yield text(baseline_words(baseline, form), chart.zero, TOP - 13, 11, INK, place)


def ticks(least: float, most: float) -> list[float]:
    """Round numbers between two, about five."""
    if most <= least:
        return [0.0]
    rough = (most - least) / 5
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    return [round(k * step, 12) for k in range(-int(-least / step), int(most / step) + 1)]
