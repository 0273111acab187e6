"""Where the new channels of a value stand among its old ones, as data without tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Growth", "Run", "joined"]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring channels that are all new or all old; ``count`` is nothing while it is not known."""

    new: bool
    count: int | None


@dataclass(frozen=True, slots=True)
class Growth:
    """The channels of a value that got new ones.

    Args:
        axis: the dimension, counted from the front where the number of dimensions is known, else as it was written.
        runs: the channels in order.
        each: how many positions of the dimension belong to one channel, as behind a flatten; nothing where it is not known.
    """

    axis: int
    runs: tuple[Run, ...]
    each: int | None = 1

    @property
    def unknown(self) -> int:
        """How many numbers are missing."""
        return sum(run.count is None for run in self.runs) + (self.each is None)

    @property
    def added(self) -> int:
        """How many positions are new, as far as they are known."""
        return sum(run.count or 0 for run in self.runs if run.new) * (self.each or 1)

    @property
    def old(self) -> int:
        """How many positions are old, as far as they are known."""
        return sum(run.count or 0 for run in self.runs if not run.new) * (self.each or 1)

    def fitted(self, width: int) -> Growth | None:
        """The same with its one missing number, if it has one, for a layer that has this many positions for the old channels.

        Nothing if the layer does not fit.
        """
        if self.unknown > 1:
            return None
        if self.each is None:
            each = width // self.old if self.old and width % self.old == 0 else None
            return None if each is None else replace(self, each=each)
        missing, rest = divmod(width - self.old, self.each)
        if rest or missing < 0 or (missing and not self.unknown):
            return None
        return replace(self, runs=tuple(replace(run, count=missing) if run.count is None else run for run in self.runs))

    def settled(self, width: int) -> Growth:
        """The same with its one missing number, if it has one, told by the extent of the whole dimension."""
        if self.unknown != 1:
            return self
        if self.each is None:
            channels = sum(run.count or 0 for run in self.runs)
            return replace(self, each=width // channels if channels and width % channels == 0 else None)
        return self.fitted(width - self.added) or self

    def kept(self) -> list[int]:
        """The positions of the old channels among all."""
        found: list[int] = []
        at = 0
        for run in self.runs:
            assert run.count is not None
            assert self.each is not None
            length = run.count * self.each
            found += range(at, at + length) if not run.new else ()
            at += length
        return found

    def repeated(self, times: int) -> Growth:
        """The channels several times in a row, as when tokens are flattened."""
        return replace(self, runs=joined(self.runs * times))

    def inside(self) -> Growth | None:
        """The same in positions instead of channels, or nothing while these are not known."""
        if self.each is None:
            return None
        each = self.each
        runs = (Run(run.new, None if run.count is None else run.count * each) for run in self.runs)
        return replace(self, runs=joined(runs), each=1)


def joined(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs with neighbours of one kind as one."""
    found: list[Run] = []
    for run in runs:
        if found and found[-1].new == run.new:
            before = found.pop().count
            run = Run(run.new, None if before is None or run.count is None else before + run.count)
        if run.count != 0:
            found.append(run)
    return tuple(found)
