"""An ablation as a table: the skips by what they are worth, with a bar beside each."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from .rows import Removed, Told, number_format

__all__ = ["table_text"]

#: How many letters the longest bars of both sides take together.
WIDTH = 32
#: Bars end with one of these: so many eighths of a letter are filled.
EIGHTHS = " ▏▎▍▌▋▊▉█"


def table_text(told: Told, baseline: float, rows: Sequence[Removed]) -> str:
    """The table."""
    count = "1 skip" if len(rows) == 1 else f"{len(rows) or 'no'} skips"
    head = f"Ablation of {told.network}: {count}\n{told.method()}"
    form = number_format([baseline, *(row.loss for row in rows)])
    bars = bars_of([row.change for row in rows])
    lines = [("skip", "loss", "change", ""), ("all there", format(baseline, form), "", "")]
    for row, name, bar in zip(rows, names_of(rows), bars, strict=True):
        known = row.loss is not None and row.change is not None
        lines.append((name, format(row.loss, form), format(row.change, "+" + form), bar) if known else (name, "", "", ""))
    widths = [max(len(line[k]) for line in lines) for k in range(3)]
    problems = ["", "", *(row.problem for row in rows)]
    body = [
        f"{name:<{widths[0]}}  "
        + (f"cannot run: {problem}" if problem else f"{loss:>{widths[1]}}  {change:>{widths[2]}}  {bar}")
        for (name, loss, change, bar), problem in zip(lines, problems, strict=True)
    ]
    return "\n".join([head, "", *(line.rstrip() for line in body)])


def names_of(rows: Sequence[Removed]) -> list[str]:
    """The skips, with their ends below each other."""
    givers = max((len(row.giver) for row in rows), default=0)
    readers = max((len(row.reader) for row in rows), default=0)
    return [f"{row.giver:<{givers}} -> {row.reader:<{readers}}  {row.how}" for row in rows]


def bars_of(changes: Sequence[float | None]) -> list[str]:
    """A bar for each change: to the right what the loss gains, to the left what it falls by."""
    known = [change for change in changes if change is not None and isfinite(change)]
    most, least = max([*known, 0.0]), min([*known, 0.0])
    scale = WIDTH / (most - least) if most > least else 0.0
    left = -round(least * scale)
    bars = []
    for change in changes:
        if change is None or not isfinite(change):
            bars.append("")
        elif change < 0:
            halves = round(-change * scale * 2)
            bar = "▐" * (halves % 2) + "█" * (halves // 2)
            bars.append(f"{bar:>{left}}│")
        else:
            eighths = round(change * scale * 8)
            bars.append(" " * left + "│" + "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip())
    return bars
