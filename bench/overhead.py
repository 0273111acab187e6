"""Time of a forward pass on tiny tensors, as a ratio to handwritten code.

    python bench/overhead.py [--rounds 400] [--quick]

One thread. In every round each version runs a short loop, one after the other in an order that changes, and its time is
divided by that of the handwritten version in the same round; the table shows medians of these ratios. The time is CPU
time of the thread, so that other programs on the machine count less. Before any timing, every version's outputs and
gradients are compared with the handwritten ones.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common import Network, format_table, verify_same
from networks import WORKLOADS, Workload
from peers import PEER_NAMES, build_peers

__all__ = ["Row", "build_versions", "format_rows", "measure_ratios", "run"]

BASE, AGAIN, LOOPS, OURS = "by hand", "by hand, again", "by hand, in loops", "skipseq"
COLUMNS = (OURS, AGAIN, LOOPS, *PEER_NAMES)
MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {"grad": nullcontext, "no grad": torch.no_grad}
LOOP_SECONDS = 0.001
MODULE_CALL, MODULE_CALL_IMPL = nn.Module.__call__, nn.Module._call_impl


@dataclass(frozen=True)
class Row:
    """What was measured of one network in one mode; `base_us` are microseconds of the handwritten version."""

    workload: str
    mode: str
    base_us: float
    ratios: dict[str, float]


def main() -> None:
    """Measure all networks in both modes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="rounds for each network and mode")
    parser.add_argument("--quick", action="store_true", help="a few short rounds, to see that it runs")
    options = parser.parse_args()
    print(format_rows(run(5 if options.quick else options.rounds)))


def run(rounds: int, seed: int = 0) -> list[Row]:
    """Compare, then measure, every network in both modes."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rows = []
    for workload in WORKLOADS:
        versions, example = build_versions(workload), workload.example()
        verify_untouched()
        verify_versions(versions, example)
        for mode, context in MODES.items():
            with context():
                rows.append(measure_row(workload.name, mode, versions, example, rounds))
    return rows


def build_versions(workload: Workload) -> dict[str, Network]:
    """Return every version of a network over the same layers; a second handwritten one shows the noise."""
    parts = workload.parts()
    versions: dict[str, Network] = {BASE: workload.by_hand(parts), OURS: workload.skipseq(parts)}
    versions[AGAIN] = workload.by_hand(parts)
    if workload.in_loops is not None:
        versions[LOOPS] = workload.in_loops(parts)
    return versions | build_peers(workload.name, parts)


def verify_versions(versions: dict[str, Network], example: Tensor) -> None:
    """Raise unless all are equal; some peers need layers in another order, so of them only the input's gradient."""
    reference = versions[BASE]
    assert isinstance(reference, nn.Module)
    leaves = list(reference.parameters())
    for name, network in versions.items():
        verify_same(network, reference, example, leaves if name in (OURS, LOOPS) else ())


def verify_untouched() -> None:
    """Raise if a peer changed how every module in the process is called, since all the others would pay for it."""
    if nn.Module.__call__ is not MODULE_CALL or nn.Module._call_impl is not MODULE_CALL_IMPL:
        raise RuntimeError("nn.Module's call was replaced while the networks were built; the ratios would mean nothing")


def measure_row(workload: str, mode: str, versions: dict[str, Network], example: Tensor, rounds: int) -> Row:
    """Measure one network in the present mode."""
    seconds = measure_rounds(versions, example, rounds)
    base_us = statistics.median(seconds[BASE]) * 1e6
    return Row(workload, mode, base_us, measure_ratios(seconds))


def measure_ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median, over the rounds, of each version's time divided by the handwritten one's."""
    base = seconds[BASE]
    return {
        name: statistics.median(mine / hand for mine, hand in zip(times, base, strict=True))
        for name, times in seconds.items()
        if name != BASE
    }


def measure_rounds(versions: dict[str, Network], example: Tensor, rounds: int) -> dict[str, list[float]]:
    """Return seconds per call of every version in every round; garbage is collected between rounds only."""
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    order, shuffle = list(versions), random.Random(0).shuffle
    calls = loop_length(versions[BASE], example)
    for network in versions.values():
        time_calls(network, example, calls)
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            gc.collect(0)
            for name in order:
                seconds[name].append(time_calls(versions[name], example, calls))
    finally:
        gc.enable()
    return seconds


def loop_length(network: Network, example: Tensor) -> int:
    """Return how many calls take about a millisecond."""
    time_calls(network, example, 3)
    return max(1, round(LOOP_SECONDS / time_calls(network, example, 5)))


def time_calls(network: Network, example: Tensor, calls: int) -> float:
    """Return seconds of CPU time per call, after one call to bring the code into the caches."""
    network(example)
    start = time.thread_time_ns()
    for _ in range(calls):
        network(example)
    return (time.thread_time_ns() - start) / calls * 1e-9


def format_rows(rows: list[Row]) -> str:
    """Return the measurements as a table in Markdown."""
    columns = [name for name in COLUMNS if any(name in row.ratios for row in rows)]
    cells = [
        (row.workload, row.mode, f"{row.base_us:.0f}", *(_ratio(row.ratios.get(name)) for name in columns)) for row in rows
    ]
    return format_table(("network", "mode", "by hand (µs)", *columns), cells, texts=2)


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


if __name__ == "__main__":
    main()
