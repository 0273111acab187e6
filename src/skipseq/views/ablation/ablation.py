"""What each skip of a network is worth: the loss without it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from skipseq.views.files import png_of, save_as

from .chart import chart_text
from .rows import Removed, Told, by_change
from .table import table_text

__all__ = ["Ablation"]


class Ablation:
    """The loss of a network, and the loss without each of its skips; in a notebook a chart.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> net = Sequential(nn.Linear(2, 2, bias=False), add("input"))
    >>> _ = nn.init.zeros_(net[0].weight)
    >>> x = torch.ones(4, 2)
    >>> ablation = net.ablation(lambda net, batch: (net(batch) - batch).square().mean(), [x])
    >>> ablation.baseline, ablation.rows
    (0.0, (('input -> output  add', 1.0, 1.0),))

    ``print(ablation)`` is a table, the largest change first. ``ablation.save("ablation.svg")`` writes the chart.

    Args:
        told: what was measured, and how.
        baseline: the loss with all skips.
        removed: the losses without each of them.
    """

    def __init__(self, told: Told, baseline: float, removed: Iterable[Removed]) -> None:
        self._told = told
        self._removed = by_change(removed)
        #: The mean loss with all skips.
        self.baseline = baseline

    @property
    def rows(self) -> tuple[tuple[str, float | None, float | None], ...]:
        """For each skip its text, the loss without it, and the change; two times nothing if the network cannot run so."""
        return tuple((row.skip, row.loss, row.change) for row in self._removed)

    @property
    def problems(self) -> dict[str, str]:
        """Why the network cannot run without some of its skips."""
        return {row.skip: row.problem for row in self._removed if row.problem}

    @cached_property
    def svg(self) -> str:
        """The chart as SVG, complete in itself."""
        return chart_text(self._told, self.baseline, self._removed)

    @cached_property
    def csv(self) -> str:
        """The table as comma-separated values; the line without names of a skip is the loss with all of them."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("giver", "reader", "word", "loss", "change", "problem"))
        writer.writerow(("", "", "", repr(self.baseline), repr(0.0), ""))
        for row in self._removed:
            numbers = ["" if each is None else repr(each) for each in (row.loss, row.change)]
            writer.writerow((row.giver, row.reader, row.how, *numbers, row.problem))
        return text.getvalue()

    def png(self, scale: float = 2) -> bytes:
        """The chart as PNG.

        Args:
            scale: pixels for each unit of the SVG.

        Raises:
            ImportError: if the library that draws it is not installed.
            RuntimeError: if there is no font to write with.
        """
        return png_of(self.svg, scale, "the chart", "ablation.save('ablation.svg')")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the ablation to a file, in the form that its ending tells: ``.svg``, ``.png`` or ``.csv``.

        The file is whole at any time: what was there before stays until all is written.

        Raises:
            ValueError: if the file has another ending.
        """
        forms: dict[str, Callable[[], str | bytes]] = {".svg": lambda: self.svg, ".png": self.png, ".csv": lambda: self.csv}
        save_as(Path(path), forms, "an ablation", "ablation")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return table_text(self._told, self.baseline, self._removed)
