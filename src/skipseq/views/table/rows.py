"""The rows of a summary as data: what each operation reads, gives and costs, and what is held in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from skipseq.check.graph import Graph, Node, Shape, ValueInfo, specs_in
from skipseq.wiring import named_by_user

__all__ = ["Held", "Names", "Row", "held_at", "rows_of", "skip_values"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a summary: an input, an operation, or the output at the end.

    Args:
        position: when it runs, counted from 0; -1 for inputs, and the number of operations for the output.
        kind: ``input``, ``output``, or the kind of the operation: ``layer``, ``join``, ``pick`` ...
        path: the path, in dotted form.
        layer: as it was written.
        labels: the names by which later rows speak of what it gives.
        sources: the names of what it reads beside the running value.
        shapes: of the tensors that it gives.
        parameters: the number of elements of its parameters that no earlier row has.
        multiply_adds: of one forward pass, as far as they are known; with a batch of unknown size, for one sample.
        bytes: of what it gives; with a batch of unknown size, for one sample.
        view: whether these bytes are those of an earlier value.
        lives: how many operations later what it gives is read for the last time.
        shared: the path of an earlier operation with the same layer.
    """

    position: int
    kind: str
    path: str
    layer: str = ""
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    parameters: int = 0
    multiply_adds: int | None = None
    bytes: int | None = None
    view: bool = False
    lives: int = 0
    shared: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Memory that is held at the peak: the values that use it, its bytes, and why it is held."""

    names: tuple[str, ...]
    bytes: int
    reason: str
    skip: bool


class Names:
    """How the values of a graph are called: by the label that their readers use, else by where they come from."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.full = {value.number: self.full_name(value) for value in graph.values}
        ends = [{name.rpartition(".")[2] for name in value.names} for value in graph.values]
        self.uses = Counter(end for each in ends for end in each)

    def full_name(self, value: ValueInfo) -> str:
        """The label under which the readers know a value, from the root; else its name."""
        frames = {frame.name for frame in self.graph.frames}
        own = self.graph.nodes[value.giver].name if value.giver >= 0 else value.name
        labels = [name for name in value.names if name != own and name not in frames and is_label(name)]
        texts = [self.graph.nodes[reader].text for reader in value.readers if reader < len(self.graph.nodes)]
        read = [name for name in labels if any(repr(name.rpartition(".")[2]) in text for text in texts)]
        return [*read, *labels, value.name][0]

    def short(self, value: int) -> str:
        """The name without the path before it, if no other value could be meant."""
        end = self.full[value].rpartition(".")[2]
        return end if named_by_user(end) and self.uses[end] == 1 else self.full[value]


def is_label(name: str) -> bool:
    """Whether a dotted name ends in one that a user gave."""
    end = name.rpartition(".")[2]
    return named_by_user(end) and end != "input"


def rows_of(graph: Graph, names: Names) -> Iterator[Row]:
    """The rows of a network."""
    read: dict[int, list[str]] = {}
    for edge in graph.skips:
        read.setdefault(edge.reader, []).append(names.short(edge.value))
    skips = {edge.value for edge in graph.skips}
    seen: set[int] = set()
    for position, path, values, node in places(graph):
        labels = [names.short(value) for value in values if value in skips and names.full[value] != path]
        given = [graph.values[value] for value in values]
        storages = {storage for value in given for storage in value.storage}
        sizes = [graph.bytes_of(value) for value in given]
        yield Row(
            position=position,
            kind="input" if node is None else node.kind,
            path=path,
            layer=node.text if node else "",
            labels=tuple(labels),
            sources=tuple(read.get(position, ())) if node else (),
            shapes=tuple(spec.shape for value in given for spec in specs_in(value.spec)),
            parameters=node.parameters if node else 0,
            multiply_adds=node.multiply_adds if node else None,
            bytes=sum(size or 0 for size in sizes) if graph.storages and None not in sizes else None,
            view=bool(storages) and storages <= seen,
            lives=max(graph.last_reader(value) - position for value in given),
            shared=graph.nodes[node.shared].name if node and node.shared is not None else None,
        )
        seen |= storages
    yield output_row(graph, names)


def places(graph: Graph) -> Iterator[tuple[int, str, tuple[int, ...], Node | None]]:
    """The inputs and the operations: position, path, and the values that they give."""
    for value in graph.inputs:
        yield -1, graph.values[value].name, (value,), None
    for node in graph.nodes:
        yield node.position, node.name, node.gives, node


def output_row(graph: Graph, names: Names) -> Row:
    """The last row; it tells where the results come from, unless there is one, and it is the running value."""
    end = len(graph.nodes)
    results = [edge for edge in graph.edges if edge.reader == end]
    plain = len(results) == 1 and results[0].main
    sources = () if plain else tuple(names.short(edge.value) for edge in results)
    given = [graph.values[edge.value] for edge in results]
    shapes = tuple(spec.shape for value in given for spec in specs_in(value.spec))
    return Row(end, "output", "output", sources=sources, shapes=shapes)


def held_at(graph: Graph, names: Names, position: int) -> Iterator[Held]:
    """The memory that is held during an operation."""
    skips = skip_values(graph)
    users: dict[int, list[ValueInfo]] = {}
    for value in graph.alive(position):
        for storage in value.storage:
            users.setdefault(storage, []).append(value)
    sizes: Counter[tuple[tuple[str, ...], str, bool]] = Counter()
    for storage, values in users.items():
        called = tuple(dict.fromkeys(names.short(value.number) for value in values))
        is_skip = any(value.number in skips for value in values)
        sizes[called, reason(graph, values[0], position), is_skip] += graph.storages[storage]
    for (called, why, is_skip), size in sizes.items():
        yield Held(called, size, why, is_skip)


def skip_values(graph: Graph) -> set[int]:
    """The values that are read as skips. What stands beside the running line, as in ``via(...)``, is no skip itself."""
    beside = {value for node in graph.nodes if not node.main and node.kind != "split" for value in node.gives}
    return {edge.value for edge in graph.skips} - beside


def reason(graph: Graph, value: ValueInfo, position: int) -> str:
    """Why a value is held during an operation."""
    here = "given here" if value.giver == position else "read here" if position in value.readers else ""
    if value.number in graph.inputs:
        return here or "held throughout"
    if here:
        return here
    later = min(reader for reader in value.readers if reader > position)
    return f"read by {graph.nodes[later].name}" if later < len(graph.nodes) else "a result"
