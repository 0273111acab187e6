"""Time to build, to check and to call networks of 100, 1,000 and 10,000 layers, a tenth as many skips.

    python bench/scale.py [--repeat 3] [--quick]

The layers exist beforehand, so that their initialization does not count. `near` skips span four layers; `far` skips go
from the first half to the mirrored place in the second, so that many values are alive in the middle; with `parts` every
ten layers are a sequence of their own that adds its input. Beside them stand `nn.Sequential` over the same layers, and
a handwritten loop with a table of skips. Time per layer that stays the same means linear growth. Times are CPU time of
the thread, the best of the repetitions.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from common import format_table, verify_same

__all__ = ["Row", "find_skips", "format_rows", "run", "skipseq_chain", "skipseq_parts"]

T = TypeVar("T")
SIZES = (100, 1_000, 10_000)
FEATURES = 4
PATTERNS = ("near", "far", "parts")


class ChainByHand(nn.Module):
    """Layers in a loop; two tables tell what to keep and what to add."""

    def __init__(self, layers: list[nn.Module], skips: list[tuple[int, int]]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.saves = frozenset(start for start, _ in skips)
        self.reads = {end: start for start, end in skips}

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, features) for (batch, features)."""
        kept: dict[int, Tensor] = {-1: x} if -1 in self.saves else {}
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.reads:
                x = x + kept.pop(self.reads[i])
            if i in self.saves:
                kept[i] = x
        return x


def find_skips(count: int, pattern: str) -> list[tuple[int, int]]:
    """Return a tenth as many skips as layers: (save behind this layer, add behind that one); -1 is the input."""
    if pattern == "parts":
        return [(start - 1, start + 9) for start in range(0, count, 10)]
    if pattern == "near":
        return [(start, start + 4) for start in range(1, count - 4, 10)]
    return [(start, count - 1 - start) for start in range(1, count // 2, 5)]


def skipseq_parts(layers: list[nn.Module], skips: list[tuple[int, int]]) -> nn.Module:
    """Return the network of parts in skipseq."""
    from skipseq import Sequential, add

    return Sequential(*(Sequential(*layers[start + 1 : end + 1], add("input")) for start, end in skips))


def skipseq_chain(layers: list[nn.Module], skips: list[tuple[int, int]]) -> nn.Module:
    """Return the same network in skipseq."""
    from skipseq import Sequential, add, save

    starts, ends = {start for start, _ in skips}, {end: start for start, end in skips}
    entries: list[object] = []
    for i, layer in enumerate(layers):
        entries.append(layer)
        entries += [add(f"x{ends[i]}")] if i in ends else []
        entries += [save(f"x{i}")] if i in starts else []
    return Sequential(*entries)


@dataclass(frozen=True)
class Row:
    """Seconds to build, to the end of the first call after that, for the second call, and for a check where there is one."""

    layers: int
    version: str
    build: float
    first_call: float
    second_call: float
    check: float


def run(sizes: tuple[int, ...], repeat: int) -> list[Row]:
    """Measure every version at every size, the best of some repetitions."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return [row for count in sizes for row in measure_size(count, repeat)]


def measure_size(count: int, repeat: int) -> list[Row]:
    """Measure every version at one size, after comparing skipseq with the handwritten loop."""
    layers: list[nn.Module] = [layer for _ in range(count // 2) for layer in (small_linear(), nn.ReLU())]
    example = torch.randn(2, FEATURES)
    rows = [
        measure("nn.Sequential, no skips", lambda: nn.Sequential(*layers), count, example, repeat),
        measure("skipseq, no skips", lambda: skipseq_chain(layers, []), count, example, repeat),
    ]
    for pattern in PATTERNS:
        skips = find_skips(count, pattern)
        build = skipseq_parts if pattern == "parts" else skipseq_chain
        verify_same(build(layers, skips), ChainByHand(layers, skips), example)
        versions: dict[str, Callable[..., nn.Module]] = {"by hand": ChainByHand, "skipseq": build}
        for name, version in versions.items():
            rows.append(measure(f"{name}, {pattern}", partial(version, layers, skips), count, example, repeat))
    return rows


def small_linear() -> nn.Linear:
    """Return a layer that neither grows nor shrinks its input much, since there will be thousands."""
    linear = nn.Linear(FEATURES, FEATURES)
    with torch.no_grad():
        linear.weight.mul_(0.5)
    return linear


def measure(version: str, build: Callable[[], nn.Module], count: int, example: Tensor, repeat: int) -> Row:
    """Return the best times of some repetitions."""
    rounds = [measure_once(build, example) for _ in range(repeat)]
    return Row(count, version, *(min(times) for times in zip(*rounds, strict=True)))


def measure_once(build: Callable[[], nn.Module], example: Tensor) -> tuple[float, float, float, float]:
    """Return seconds of CPU time to build, for the first call, for the second call, and for a check of the shapes."""
    gc.collect()
    built, network = timed(build)
    with torch.no_grad():
        first, _ = timed(lambda: network(example))
        second, _ = timed(lambda: network(example))
    checked, _ = timed(lambda: network.check(example)) if hasattr(network, "check") else (0.0, None)
    return built, built + first, second, checked


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """Return the CPU seconds that a function took, and its result."""
    start = time.thread_time()
    result = function()
    return time.thread_time() - start, result


def format_rows(rows: list[Row]) -> str:
    """Return the measurements as a table in Markdown."""
    heads = (
        "version",
        "layers",
        "build (s)",
        "to first call (s)",
        "per layer (µs)",
        "second call (s)",
        "per layer (µs)",
        "check (s)",
        "per layer (µs)",
    )
    return format_table(heads, [_cells(row) for row in rows], texts=1)


def _cells(row: Row) -> tuple[str, ...]:
    first, second, check = (seconds / row.layers * 1e6 for seconds in (row.first_call, row.second_call, row.check))
    times = (f"{row.build:.4f}", f"{row.first_call:.4f}", f"{first:.1f}", f"{row.second_call:.4f}", f"{second:.1f}")
    checked = (f"{row.check:.3f}", f"{check:.0f}") if row.check else ("", "")
    return row.version, f"{row.layers:,}", *times, *checked


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, of which the best counts")
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 layers, once")
    options = parser.parse_args()
    print(format_rows(run(SIZES[:2] if options.quick else SIZES, 1 if options.quick else options.repeat)))


if __name__ == "__main__":
    main()
