"""From the line of a network, and perhaps a walk over it, to its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from skipseq.flatten import Line, Operation
from skipseq.wiring import Join, Value, Wiring, named_by_user

from .graph import Frame, Graph, Node, Spec, ValueInfo
from .infer import UNKNOWN, Inference, entry_text, opened_in_check, storage_of, tensors_in

__all__ = ["BATCHES", "build_graph", "extent_text"]


def build_graph(root: nn.Module, wiring: Wiring, walks: Sequence[Inference] = (), batch: str | None = None) -> Graph:
    """The graph of a network; without a walk, values and multiply-adds are not known.

    Args:
        root: the network.
        wiring: its wiring.
        walks: one walk; or two, over batches of :data:`BATCHES`, from which extents are told in terms of ``batch``.
        batch: the name of the size of the batch.
    """
    if walks:
        line, results, given = walks[0].line, walks[0].results, tuple(walks[0].given)
    else:
        line = Line(root, opened_in_check)
        inputs, results = line.add_root(wiring)
        given = tuple(inputs.values())
    frames = frames_of(line)
    storages = Storages([walk.values for walk in walks], batch)
    values = tuple(
        ValueInfo(value, names, giver, readers, storages.spec(value), storages.of(value))
        for value, names, giver, readers in values_of(line, given, results)
    )
    nodes = nodes_of(root, line, frames, [walk.multiply_adds for walk in walks])
    parameters = sum(node.parameters for node in nodes)
    return Graph(type(root).__name__, given, results, nodes, values, frames, storages.bytes(), batch, parameters)


#: The sizes that stand for a batch of unknown size: what differs between the two walks depends on it.
BATCHES = (12, 24)


def values_of(line: Line, given: tuple[Value, ...], results: tuple[Value, ...]) -> list[tuple[Any, ...]]:
    """Each value with its names, its giver and its readers."""
    givers: dict[Value, int] = dict.fromkeys(given, -1)
    readers: dict[Value, list[int]] = {value: [] for value in range(line.count)}
    for i, operation in enumerate(line.operations):
        givers.update(dict.fromkeys(operation.gives, i))
        for value in dict.fromkeys(operation.reads()):
            readers[value].append(i)
    for value in dict.fromkeys(results):
        readers[value].append(len(line.operations))
    return [(value, names_of(line, value, givers[value]), givers[value], tuple(readers[value])) for value in range(line.count)]


def names_of(line: Line, value: Value, giver: int) -> tuple[str, ...]:
    """The names of a value, those that a user gave first, and of these the shortest."""
    known = sorted(dict.fromkeys(line.names.get(value, ())), key=lambda keys: (not named_by_user(keys[-1]), len(keys)))
    names = tuple(".".join(keys) for keys in known)
    return names or ((".".join(line.operations[giver].place.keys()) or "output") if giver >= 0 else "input",)


def frames_of(line: Line) -> tuple[Frame, ...]:
    """The containers that hold operations, outer ones first."""
    found = [
        Frame(each.place.keys(), type(each.container).__name__, each.first, each.end - 1)
        for each in line.opened_parts
        if each.end > each.first
    ]
    return tuple(sorted(found, key=lambda frame: (frame.first, -frame.last, len(frame.path))))


def nodes_of(root: nn.Module, line: Line, frames: tuple[Frame, ...], counts: Sequence[Mapping[int, int]]) -> tuple[Node, ...]:
    """The operations as nodes."""
    around: list[list[int]] = [[] for _ in line.operations]
    for k, frame in enumerate(frames):
        for i in range(frame.first, frame.last + 1):
            around[i].append(k)
    seen: set[int] = set()
    first: dict[int, int] = {}
    nodes = []
    for i, operation in enumerate(line.operations):
        step = operation.place.chain[-1][2]
        count = 0
        shared = None
        if operation.module is not None and (own := list(operation.module.parameters())):
            if first.setdefault(id(operation.module), i) != i:
                shared = first[id(operation.module)]
            fresh = {id(each): size_of(each) for each in own if id(each) not in seen}
            seen.update(fresh)
            count = sum(fresh.values())
        nodes.append(
            Node(
                position=i,
                path=operation.place.keys(),
                place=operation.place.text(),
                kind=operation.kind,
                text=entry_text(root, operation),
                takes=tuple(operation.reads()),
                gives=operation.gives,
                main=is_main(operation),
                frames=tuple(around[i]),
                operator=step.operator if isinstance(step, Join) else None,
                parameters=count,
                shared=shared,
                multiply_adds=linear([each[i] for each in counts], 1) if counts and all(i in each for each in counts) else None,
            )
        )
    return tuple(nodes)


def size_of(parameter: nn.Parameter) -> int:
    """The number of elements of a parameter; none while it has no shape yet."""
    return 0 if isinstance(parameter, UninitializedParameter) else parameter.numel()


def is_main(operation: Operation) -> bool:
    """Whether the running value goes through an operation: it is then what the entry gives."""
    _, wiring, step = operation.place.chain[-1]
    return step is None or wiring.names.get(step.key) in step.gives[:1]


# Shapes


class Storages:
    """What the values of one or two walks are, and which memory they share."""

    def __init__(self, walks: Sequence[Mapping[Value, Any]], batch: str | None) -> None:
        self.walks = walks
        self.batch = batch
        self.numbers: dict[int, int] = {}
        self.sizes: list[int] = []

    def spec(self, value: Value) -> Any:
        """What a value is, or nothing where that is not known."""
        if not self.walks or any(walk.get(value, UNKNOWN) is UNKNOWN for walk in self.walks):
            return None
        return self.described([walk[value] for walk in self.walks])

    def described(self, each: list[Any]) -> Any:
        """A value, as it was in each walk."""
        first = each[0]
        if isinstance(first, Tensor):
            shape = tuple(extent_text([tensor.shape[d] for tensor in each], self.batch) for d in range(first.dim()))
            size = linear([tensor.numel() * tensor.element_size() for tensor in each], 1)
            return Spec(shape, str(first.dtype).removeprefix("torch."), str(first.device), size)
        if isinstance(first, dict):
            return {name: self.described([one[name] for one in each]) for name in first}
        if isinstance(first, tuple | list):
            return tuple(self.described([one[k] for one in each]) for k in range(len(first)))
        return None

    def of(self, value: Value) -> tuple[int, ...]:
        """The memory that a value uses, as numbers of storages."""
        found = []
        for each in zip(*(tensors_in(walk.get(value)) for walk in self.walks), strict=True):
            key = storage_of(each[0])
            if key not in self.numbers:
                self.numbers[key] = len(self.sizes)
                self.sizes.append(linear([bytes_of_storage(tensor) for tensor in each], 1))
            found.append(self.numbers[key])
        return tuple(dict.fromkeys(found))

    def bytes(self) -> tuple[int, ...]:
        """The bytes of each storage."""
        return tuple(self.sizes)


def bytes_of_storage(tensor: Tensor) -> int:
    """The memory that a tensor and its views share; of a sparse one, what its elements would need."""
    if tensor.layout is torch.strided:
        return tensor.untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size()


def extent_text(sizes: Sequence[int], batch: str | None) -> int | str:
    """An extent, in terms of the batch where it depends on it."""
    if len(set(sizes)) == 1:
        return sizes[0]
    factor, rest = slope(sizes)
    text = f"{factor}*{batch}" if factor != 1 else str(batch)
    return text + (f" {'+' if rest > 0 else '-'} {abs(rest)}" if rest else "")


def slope(sizes: Sequence[int]) -> tuple[Fraction, Fraction]:
    """What grows with the batch, and what does not, from the sizes at two batches."""
    factor = Fraction(sizes[1] - sizes[0], BATCHES[1] - BATCHES[0])
    return factor, sizes[0] - factor * BATCHES[0]


def linear(sizes: Sequence[int], batch: int) -> int:
    """A size at a batch, from one walk or from two."""
    if len(sizes) == 1:
        return sizes[0]
    factor, rest = slope(sizes)
    return round(factor * batch + rest)
