"""Time and memory to write and to read a network of 100 MB as one file.

    python bench/files.py [--megabytes 100] [--repeat 5] [--quick]

The network is a chain of linear layers with a skip around every second one. *skipseq* is `net.to_file` and
`Sequential.from_file`: layers, wiring and weights in one file, without pickle. Beside it stand `torch.save` and `torch.load`
of the whole network, which are pickle; `torch.save` and `torch.load` of its weights; and safetensors of its weights. Where a
version holds weights alone, its reading includes building the network and loading them into it, which is what a user does.
What is read is compared with the network before it is measured. `to_file` waits until the disk has the file, so beside its
time stands the time without that wait. Times are wall-clock times, the best of the repetitions. The peak is how much the
memory of a fresh process grows at most while it writes or reads, as a multiple of the size of the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from common import format_table

__all__ = ["Row", "build", "format_rows", "run"]

WIDTH = 1024
MEGABYTE = 1 << 20


def build(megabytes: int) -> Any:
    """Return a network whose weights have about this size."""
    from skipseq import Sequential, add

    blocks = max(1, megabytes * MEGABYTE // (2 * 4 * WIDTH * WIDTH))
    return Sequential(
        *(Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), add("input")) for _ in range(blocks))
    )


def write_ours(net: Any, path: str) -> None:
    """Write layers, wiring and weights."""
    net.to_file(path)


def read_ours(path: str, megabytes: int) -> Any:
    """Return the network in the file."""
    from skipseq import Sequential

    return Sequential.from_file(path)


def write_ours_without_waiting(net: Any, path: str) -> None:
    """Write the same, without waiting for the disk."""
    wait, os.fsync = os.fsync, lambda _: None
    try:
        net.to_file(path)
    finally:
        os.fsync = wait


def write_pickle(net: Any, path: str) -> None:
    """Write the network by pickle."""
    torch.save(net, path)


def read_pickle(path: str, megabytes: int) -> Any:
    """Return the network, running whatever the file says."""
    return torch.load(path, weights_only=False)


def write_state(net: Any, path: str) -> None:
    """Write the weights alone."""
    torch.save(net.state_dict(), path)


def read_state(path: str, megabytes: int) -> Any:
    """Return a network that is built anew, with the weights."""
    net = build(megabytes)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net


def write_safetensors(net: Any, path: str) -> None:
    """Write the weights alone."""
    safetensors.torch.save_file(net.state_dict(), path)


def read_safetensors(path: str, megabytes: int) -> Any:
    """Return a network that is built anew, with the weights."""
    net = build(megabytes)
    net.load_state_dict(safetensors.torch.load_file(path))
    return net


#: Each version by name: what writes it, what reads it, and whether the file holds the network too.
VERSIONS: dict[str, tuple[Callable[[Any, str], None], Callable[[str, int], Any], str]] = {
    "skipseq": (write_ours, read_ours, "network and weights"),
    "skipseq, not waiting for the disk": (write_ours_without_waiting, read_ours, "network and weights"),
    "torch.save(net)": (write_pickle, read_pickle, "network and weights, pickled"),
    "torch.save(state_dict)": (write_state, read_state, "weights"),
    "safetensors(state_dict)": (write_safetensors, read_safetensors, "weights"),
}


@dataclass(frozen=True)
class Row:
    """Seconds and bytes of one version, and the bytes of the weights."""

    version: str
    holds: str
    write: float
    read: float
    write_peak: int
    read_peak: int
    weights: int


def run(megabytes: int, repeat: int) -> list[Row]:
    """Measure every version, after comparing what it reads with what was written."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = build(megabytes)
    return [measure(version, net, megabytes, repeat) for version in VERSIONS]


def measure(version: str, net: Any, megabytes: int, repeat: int) -> Row:
    """Return the best times of some repetitions, and the peaks of two fresh processes."""
    write, read, holds = VERSIONS[version]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "network"))
        write(net, path)
        verify_same(read(path, megabytes), net)
        write_time = min(timed(lambda: write(net, path)) for _ in range(repeat))
        read_time = min(timed(lambda: read(path, megabytes)) for _ in range(repeat))
        peaks = [peak_of(action, version, path, megabytes) for action in ("write", "read")]
    size = sum(each.numel() * each.itemsize for each in net.parameters())
    return Row(version, holds, write_time, read_time, peaks[0], peaks[1], size)


def verify_same(one: nn.Module, other: nn.Module) -> None:
    """Raise unless both networks have the same weights and results."""
    x = torch.randn(2, WIDTH)
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=0)


def timed(action: Callable[[], Any]) -> float:
    """Return the seconds that something takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


# Memory


def peak_of(action: str, version: str, path: str, megabytes: int) -> int:
    """Return by how many bytes the memory of a fresh process grows at most."""
    command = [sys.executable, __file__, "--peak", action, version, path, "--megabytes", str(megabytes)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measure_peak(action: str, version: str, path: str, megabytes: int) -> int:
    """Write or read once, looking at the memory of this process all the while."""
    write, read, _ = VERSIONS[version]
    small = path + ".small"
    write(build(1), small)  # what is imported or set up at the first time does not count
    read(small, 1)
    net = build(megabytes) if action == "write" else None
    give_back()
    peak, done = [0], threading.Event()
    before = resident()

    def look() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], resident())
            time.sleep(0.0005)

    looking = threading.Thread(target=look)
    looking.start()
    result = write(net, path) if net is not None else read(path, megabytes)
    peak[0] = max(peak[0], resident())
    done.set()
    looking.join()
    del result
    return peak[0] - before


def give_back() -> None:
    """Return freed memory to the system: what is written or read next could take its place unseen."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def format_rows(rows: list[Row]) -> str:
    """Return the measurements as a table in Markdown."""
    heads = (
        "version",
        "the file holds",
        "write (s)",
        "read (s)",
        "peak of writing, of the weights",
        "peak of reading, of the weights",
    )
    return format_table(heads, [_cells(row) for row in rows], texts=2)


def _cells(row: Row) -> tuple[str, ...]:
    peaks = (f"{each / row.weights:.2f}" for each in (row.write_peak, row.read_peak))
    return row.version, row.holds, f"{row.write:.3f}", f"{row.read:.3f}", *peaks


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100, help="the size of the weights")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions, of which the best counts")
    parser.add_argument("--quick", action="store_true", help="8 MB, once")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(measure_peak(*options.peak, options.megabytes))
    else:
        print(format_rows(run(8 if options.quick else options.megabytes, 1 if options.quick else options.repeat)))


if __name__ == "__main__":
    main()
