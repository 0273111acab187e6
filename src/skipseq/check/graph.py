"""A network as a graph: its operations in the order in which they run, and the values between them, as frozen data.

Values are numbered: first the inputs and needs, then what the operations give. Positions of operations are counted from 0;
as the giver of a value, -1 stands for the input, and as the reader of one, the number of operations stands for the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

__all__ = ["Edge", "Frame", "Graph", "Node", "Spec", "ValueInfo", "specs_in"]

#: The extents of a tensor. A batch of unknown size is a text, ``"N"`` or ``"2*N"``.
Shape: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor without its numbers."""

    shape: Shape
    dtype: str
    device: str
    #: Of its elements; with a batch of unknown size, for one sample.
    bytes: int

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """A value: its names, what it is, who gives it and who reads it.

    ``names`` are dotted from the root, the one that a user would say first; a value that nobody named has the path of the
    entry that gives it. ``spec`` is a :class:`Spec`, a tuple or dict of them, or nothing where it is not known. ``storage``
    tells which values share their memory, and ``bytes`` how much that is (views of one tensor count it once).
    """

    number: int
    names: tuple[str, ...]
    giver: int
    readers: tuple[int, ...]
    spec: Any = None
    storage: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name that a user would say."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Node:
    """An operation: a layer, a join, an index, the parts of a tuple, or a part that is called as a whole.

    Args:
        position: when it runs.
        path: the keys that lead to it from the root.
        place: how it is reached in Python, from the root: ``.encoder[2]``.
        kind: ``layer``, ``part``, ``join``, ``pick``, ``split`` or ``pack`` (several results become a tuple).
        text: as it was written: ``nn.Conv2d(3, 16, 3)``, ``cat('x1')``.
        operator: of a join: ``cat``, ``add``, ``sub`` or ``mul``.
        takes: the values that it reads, in order.
        gives: the values that it gives.
        main: whether the running value goes through it; the layers of ``via(...)`` and inner joins stand aside.
        frames: the containers around it, outermost first, as positions in ``Graph.frames``.
        parameters: the number of elements of its parameters that no earlier operation has.
        shared: the position of an earlier operation with the same layer, or nothing.
        multiply_adds: of one forward pass, as far as they are known; with a batch of unknown size, for one sample.
    """

    position: int
    path: tuple[str, ...]
    place: str
    kind: str
    text: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    main: bool
    frames: tuple[int, ...] = ()
    operator: str | None = None
    parameters: int = 0
    shared: int | None = None
    multiply_adds: int | None = None

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Frame:
    """A container inside the root: its path and class, and the positions of its first and its last operation."""

    path: tuple[str, ...]
    text: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Edge:
    """A value goes from its giver to a reader: along the running value (``main``), or as a skip."""

    value: int
    giver: int
    reader: int
    main: bool


@dataclass(frozen=True)
class Graph:
    """The operations and values of a network; ``inputs`` and ``results`` are values, ``batch`` the name of its unknown size."""

    title: str
    inputs: tuple[int, ...]
    results: tuple[int, ...]
    nodes: tuple[Node, ...]
    values: tuple[ValueInfo, ...]
    frames: tuple[Frame, ...]
    storages: tuple[int, ...] = ()
    batch: str | None = None
    parameters: int = 0

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges in the order of their readers: each node reads the running value at most once as such."""
        found: list[Edge] = []
        running = self.inputs[0] if self.inputs else None
        for node in self.nodes:
            for value in dict.fromkeys(node.takes):
                found.append(Edge(value, self.values[value].giver, node.position, node.main and value == running))
            if node.main:
                running = node.gives[0]
        end = len(self.nodes)
        for value in dict.fromkeys(self.results):
            found.append(Edge(value, self.values[value].giver, end, value == running))
        return tuple(found)

    @property
    def skips(self) -> tuple[Edge, ...]:
        """The edges beside the running value."""
        return tuple(edge for edge in self.edges if not edge.main)

    def last_reader(self, value: ValueInfo) -> int:
        """The position of the last operation that holds a value: the inputs are held throughout."""
        if value.number in self.inputs:
            return len(self.nodes)
        return max((*value.readers, value.giver))

    def alive(self, position: int) -> tuple[ValueInfo, ...]:
        """The values that are held while an operation runs: the inputs, what it reads and gives, and what is read later."""
        return tuple(value for value in self.values if value.giver <= position <= self.last_reader(value))

    @cached_property
    def held(self) -> tuple[int, ...]:
        """The bytes that are held while each operation runs; what a layer needs inside itself is not known."""
        lives: dict[int, tuple[int, int]] = {}
        for value in self.values:
            for storage in value.storage:
                first, last = lives.get(storage, (value.giver, value.giver))
                lives[storage] = min(first, value.giver), max(last, self.last_reader(value))
        change = [0] * (len(self.nodes) + 1)
        for storage, (first, last) in lives.items():
            change[max(first, 0)] += self.storages[storage]
            change[min(last, len(self.nodes) - 1) + 1] -= self.storages[storage]
        return tuple(accumulate(change[:-1]))

    def bytes_of(self, value: ValueInfo) -> int | None:
        """The bytes of a value, or nothing where they are not known."""
        return None if value.spec is None else sum(spec.bytes for spec in specs_in(value.spec))

    def peak(self) -> tuple[int, int] | None:
        """The position of the first operation during which most bytes are held, and how many they are."""
        if not self.storages or not self.nodes:
            return None
        most = max(self.held)
        return self.held.index(most), most


def specs_in(spec: Any) -> Iterator[Spec]:
    """The tensors of a value."""
    if isinstance(spec, Spec):
        yield spec
    elif isinstance(spec, dict):
        for each in spec.values():
            yield from specs_in(each)
    elif isinstance(spec, tuple | list):
        for each in spec:
            yield from specs_in(each)
