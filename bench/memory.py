"""Peak of live tensor memory in inference, beside the least that the network needs.

    python bench/memory.py [--size 128] [--channels 16] [--quick]

Exact, in bytes, on the CPU: after every operation the bytes of all storages that are still alive are summed, parameters
excluded, the input of the network included. What a kernel allocates inside itself does not count. With a CUDA device a
second column gives what its allocator saw, where workspace does count.

The bound: the input of the network throughout, and at each step its operands, its result, and the values read later. It
is computed from a recording of the handwritten network's operations; nothing of skipseq is in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common import format_table, verify_same
from memory_networks import DENSE_STYLES, UNET_STYLES, dense_parts, unet_parts

__all__ = ["Row", "Step", "format_rows", "lower_bound", "peak_bytes", "record_steps", "run"]

MIB = 2**20
# --- What is alive ---------------------------------------------------------------------------------------------------


class LiveBytes(TorchDispatchMode):
    """Sums, after every operation, the bytes of the storages that are alive, and keeps the largest sum."""

    def __init__(self, ignored: Iterable[Tensor], counted: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._ignored = {StorageWeakRef(tensor.untyped_storage()) for tensor in ignored}
        self._sizes = {StorageWeakRef(tensor.untyped_storage()): _bytes(tensor) for tensor in counted}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            reference = StorageWeakRef(tensor.untyped_storage())
            if reference not in self._ignored:
                self._sizes[reference] = _bytes(tensor)
        self._sizes = {reference: size for reference, size in self._sizes.items() if not reference.expired()}
        self.peak = max(self.peak, sum(self._sizes.values()))
        return result


def peak_bytes(network: nn.Module, example: Tensor) -> int:
    """Return the peak of live bytes in one inference, the input included, parameters and buffers not."""
    with torch.no_grad(), LiveBytes([*network.parameters(), *network.buffers()], [example]) as live:
        network(example)
    return live.peak


def peak_cuda_bytes(network: nn.Module, example: Tensor) -> int:
    """Return the same as the CUDA allocator sees it, workspace included."""
    network, example = network.cuda(), example.cuda()
    with torch.no_grad():
        network(example)
        fixed = torch.cuda.memory_allocated() - _bytes(example)
        torch.cuda.reset_peak_memory_stats()
        network(example)
    return torch.cuda.max_memory_allocated() - fixed


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


# --- What has to be alive --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One operation: the storages it reads and those it makes, by number; 0 is the input of the network."""

    operands: tuple[int, ...]
    results: tuple[int, ...]


class Recorder(TorchDispatchMode):
    """Writes down every operation; it keeps all values alive, so that no storage is mistaken for an earlier one."""

    def __init__(self, ignored: Iterable[Tensor], example: Tensor) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.sizes = [_bytes(example)]
        self._kept = [example]
        self._numbers = {_address(example): 0}
        self._ignored = {_address(tensor) for tensor in ignored}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.steps.append(Step(self.numbers((args, kwargs or {})), self.numbers(result)))
        return result

    def numbers(self, tree: Any) -> tuple[int, ...]:
        """Return the numbers of the storages in a structure, new ones where they are new; parameters have none."""
        tensors = [tensor for tensor in _tensors(tree) if _address(tensor) not in self._ignored]
        for tensor in tensors:
            if _address(tensor) not in self._numbers:
                self._numbers[_address(tensor)] = len(self.sizes)
                self.sizes.append(_bytes(tensor))
                self._kept.append(tensor)
        return tuple(self._numbers[_address(tensor)] for tensor in tensors)


def record_steps(network: nn.Module, example: Tensor) -> tuple[list[Step], list[int]]:
    """Return the steps of a network, the last one reading its output, and the size of every storage in bytes."""
    with torch.no_grad(), Recorder([*network.parameters(), *network.buffers()], example) as recorder:
        output = network(example)
    end = Step(recorder.numbers(output), ())
    return [*recorder.steps, end], recorder.sizes


def lower_bound(steps: list[Step], sizes: list[int]) -> int:
    """Return the least peak in bytes: at each step the input, the operands, the results, and what is read later."""
    peak, read_later = 0, {0}
    for step in reversed(steps):
        made_later = set(step.results)
        alive = read_later | made_later | set(step.operands)
        peak = max(peak, sum(sizes[number] for number in alive))
        read_later = (alive - made_later) | {0}
    return peak


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


# --- The table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Peak bytes of one version of a network, and the network's bound."""

    network: str
    style: str
    peak: int
    bound: int
    cuda_peak: int | None = None


def run(size: int, width: int) -> list[Row]:
    """Measure every version of both networks on one image of size × size pixels."""
    torch.manual_seed(0)
    example = torch.randn(1, 3, size, size)
    unet, dense = unet_parts(width), dense_parts(width)
    unets = {style: build(unet) for style, build in UNET_STYLES.items()}
    denses = {style: build(dense) for style, build in DENSE_STYLES.items()}
    return [
        *measure("U-Net", unets, example),
        *measure("dense", denses, example),
    ]


def measure(name: str, versions: dict[str, nn.Module], example: Tensor) -> Iterator[Row]:
    """Yield a row for each version, after comparing its results with those of the first, which is handwritten."""
    reference = next(iter(versions.values()))
    bound = lower_bound(*record_steps(reference, example))
    for style, network in versions.items():
        verify_same(network, reference, example, list(reference.parameters()))
        cuda = peak_cuda_bytes(network, example) if torch.cuda.is_available() else None
        yield Row(name, style, peak_bytes(network.cpu(), example), bound, cuda)


def format_rows(rows: list[Row]) -> str:
    """Return the measurements as a table in Markdown, under each network's bound."""
    heads = ("network", "version", "peak (MiB)", "peak / bound", "CUDA (MiB)")
    cells: list[tuple[str, ...]] = []
    for name in dict.fromkeys(row.network for row in rows):
        mine = [row for row in rows if row.network == name]
        cells.append((name, "the bound", f"{mine[0].bound / MIB:.3f}", "1.000", "–"))
        cells += [_cells(row) for row in mine]
    return format_table(heads, cells, texts=2)


def _cells(row: Row) -> tuple[str, ...]:
    cuda = "–" if row.cuda_peak is None else f"{row.cuda_peak / MIB:.3f}"
    return row.network, row.style, f"{row.peak / MIB:.3f}", f"{row.peak / row.bound:.3f}", cuda


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="height and width of the image, in pixels")
    parser.add_argument("--channels", type=int, default=16, help="channels of every level, and growth")
    parser.add_argument("--quick", action="store_true", help="a small image")
    options = parser.parse_args()
    print(format_rows(run(32 if options.quick else options.size, 4 if options.quick else options.channels)))


if __name__ == "__main__":
    main()
