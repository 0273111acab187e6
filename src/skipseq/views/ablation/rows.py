"""The numbers of an ablation as plain data, and how numbers are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, inf, isfinite, isnan, log10

__all__ = ["Removed", "Told", "by_change", "number_format"]


@dataclass(frozen=True, slots=True)
class Removed:
    """One skip, and the network without it.

    Args:
        giver: the path of the layer or word whose output the skip passes on.
        reader: the path of the layer behind the word that reads it.
        how: what reads it: ``"cat"``.
        loss: the mean loss without the skip; nothing if the network cannot run without it.
        change: by how much that is more than with the skip.
        problem: why the network cannot run without it.
    """

    giver: str
    reader: str
    how: str
    loss: float | None = None
    change: float | None = None
    problem: str = ""

    @property
    def skip(self) -> str:
        """The skip in one line."""
        return f"{self.giver} -> {self.reader}  {self.how}"


@dataclass(frozen=True, slots=True)
class Told:
    """What stands at the head of an ablation: what was measured, and how."""

    network: str
    by: str
    batches: int
    mode: str

    def method(self) -> str:
        """How the numbers came about."""
        batches = "1 batch" if self.batches == 1 else f"the mean of {self.batches} batches"
        return f"{METHODS[self.by]} (by={self.by!r}), {batches}, the network in {self.mode} mode"


#: How a skip is taken out.
METHODS = {
    "zero": "each skip in turn carries zeros",
    "mean": "each skip in turn carries the mean of its channels",
    "remove": "each skip in turn is removed",
}


def by_change(rows: Iterable[Removed]) -> tuple[Removed, ...]:
    """The rows, the largest change first; what is no number before all, what could not run behind."""
    return tuple(sorted(rows, key=lambda row: (row.change is None, -rank_of(row.change))))


def rank_of(change: float | None) -> float:
    """A change for comparing; no number at all counts as the largest."""
    return 0.0 if change is None else inf if isnan(change) else change


def number_format(values: Iterable[float | None]) -> str:
    """How numbers are written that stand below each other: with as many decimals for all, so that the smallest is seen."""
    sizes = [abs(value) for value in values if value is not None and isfinite(value) and value]
    if not sizes:
        return ".4f"
    most, least = (floor(log10(size)) for size in (max(sizes), min(sizes)))
    decimals = max(4 - max(most, 0), 2 - least, 0)
    return f".{min(decimals, 6)}f" if -3 <= most <= 6 else ".3e"
