"""The operations of one class, as a person would count them.

A chain of layers that a word owns is one call; an index right behind the layer that gives a tuple belongs to it; what names a
part of a tuple and what puts a tuple together that is taken apart again is no operation at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from skipseq.declare.functions import Function
from skipseq.declare.held import Held
from skipseq.declare.projection import PadChannels, Projection
from skipseq.declare.words import Word
from skipseq.flatten import Line, Operation
from skipseq.wiring import Layer, Number, Operand, Part, Value

__all__ = ["Deed", "deeds_of", "find_chains", "path_of"]


@dataclass(eq=False, slots=True)
class Deed:
    """One thing that a forward does.

    Args:
        kind: layer, part, function, join, index, split or pack.
        operation: the operation of the line, the last one of several.
        positions: those of the operations that it stands for.
        takes: the operands by position; ``named`` are those by name.
        gives: the values.
        keys: the path to what is called, and ``module`` it itself.
        index: what is picked from the result, in a tuple of one.
        inline: deeds whose results are written where they are read.
    """

    kind: str
    operation: Operation
    positions: tuple[int, ...]
    takes: tuple[Operand, ...]
    gives: tuple[Value, ...]
    keys: tuple[str, ...] = ()
    named: tuple[tuple[str, Operand], ...] = ()
    index: tuple[Any, ...] = ()
    inline: dict[Value, Deed] = field(default_factory=dict)
    module: nn.Module | None = None

    @property
    def step(self) -> Any:
        """The step of the wiring."""
        return self.operation.place.chain[-1][2]

    def reads(self) -> list[Value]:
        """The values that it reads from variables."""
        found: list[Value] = []
        for operand in (*self.takes, *(each for _, each in self.named)):
            if not isinstance(operand, Number):
                found += self.inline[operand].reads() if operand in self.inline else [operand]
        return found

    def is_main(self) -> bool:
        """Whether the running value goes through it, at every level."""
        return all(
            step is None or wiring.names.get(step.key) in step.gives[:1] for _, wiring, step in self.operation.place.chain
        )


def deeds_of(
    line: Line, results: tuple[Value, ...], chains: dict[int, tuple[str, ...]]
) -> tuple[list[Deed], tuple[Value, ...]]:
    """What a line of operations does, and the values that it returns.

    Args:
        line: the line.
        results: the values that it returns.
        chains: the path of the word for the first operation of each chain, and nothing for the others.
    """
    deeds: list[Deed] = []
    same: dict[Value, Value] = {}
    waiting: tuple[int, ...] = ()
    for i, operation in enumerate(line.operations):
        deed = deed_of(i, operation)
        deed.takes = tuple(each if isinstance(each, Number) else same.get(each, each) for each in deed.takes)
        deed.named = tuple((name, each if isinstance(each, Number) else same.get(each, each)) for name, each in deed.named)
        if is_nothing(operation):
            (taken,) = deed.takes
            assert not isinstance(taken, Number)
            same[operation.gives[0]] = taken
            waiting += (i,)
        elif chains.get(i) == ():
            before = deeds[-1]
            before.operation, before.gives = operation, operation.gives
            before.positions += (i,)
        else:
            if chains.get(i):
                deed.keys = chains[i]
            deed.positions = (*waiting, i)
            waiting = ()
            deeds.append(deed)
    kept = tuple(same.get(value, value) for value in results)
    deeds = unpacked(deeds, kept, same)
    kept = tuple(same.get(value, value) for value in kept)
    return drawn_together(deeds, kept), kept


def deed_of(i: int, operation: Operation) -> Deed:
    """An operation alone."""
    takes = operation.takes[:1] if isinstance(operation.module, Projection | PadChannels) else operation.takes
    kind = "index" if operation.kind == "pick" else operation.kind
    if isinstance(operation.module, Function | PadChannels):
        kind = "function"
    deed = Deed(kind, operation, (i,), takes, operation.gives, path_of(operation), operation.named)
    deed.module = operation.module
    if kind == "index":
        deed.index = (operation.place.chain[-1][2].choice,)
    return deed


def path_of(operation: Operation) -> tuple[str, ...]:
    """The keys that lead to the layer that an operation calls, or to its word."""
    step = operation.place.chain[-1][2]
    outer = tuple(key for _, _, part in operation.place.chain[:-1] for key in part.path)
    return (*outer, *step.path) if isinstance(step, Layer | Part) else operation.place.keys()


def is_nothing(operation: Operation) -> bool:
    """Whether an operation gives what it takes: layers that are only held, or a projection of values that fit already."""
    module = operation.module
    if isinstance(module, Held):
        return True
    if isinstance(module, PadChannels):
        return module.stride is not None and max(module.stride, default=1) == 1 and not any(module.channels)
    return isinstance(module, Projection) and module.weight is None


# Chains


def find_chains(line: Line, lengths: dict[int, int]) -> dict[int, list[tuple[int, ...]]]:
    """The runs of operations that call the layers of a word one after the other, by the identity of the word.

    Args:
        line: the operations.
        lengths: the number of layers of each word that owns some.
    """
    readers = count_readers(line)
    found: dict[int, list[tuple[int, ...]]] = {}
    for i, operation in enumerate(line.operations):
        if (word := word_of(line, operation)) is None or operation.place.chain[-1][2].path[1] != "0":
            continue
        run = [i]
        for k in range(i + 1, min(i + lengths.get(id(word), 0), len(line.operations))):
            if follows(line.operations[run[-1]], line.operations[k], len(run), readers):
                run.append(k)
        found.setdefault(id(word), []).append(tuple(run))
    return found


def word_of(line: Line, operation: Operation) -> nn.Module | None:
    """The word that owns the layer which an operation calls, if one does."""
    container, _, step = operation.place.chain[-1]
    if operation.kind not in ("layer", "part") or len(step.path) != 2 or step.path[0] != step.key or operation.named:
        return None
    if isinstance(operation.module, Function | PadChannels) or len(deed_of(0, operation).takes) != 1:
        return None
    owner: nn.Module = line.root if container is None else container
    child = owner._modules[step.key]
    return child if isinstance(child, Word) else None


def follows(before: Operation, operation: Operation, count: int, readers: dict[Value, int]) -> bool:
    """Whether an operation calls the next layer of a word on what the one before it gave, and nothing else reads that."""
    step, first = operation.place.chain[-1][2], before.place.chain[-1][2]
    same_place = operation.place.keys()[:-1] == before.place.keys()[:-1] and step.key == first.key
    in_order = operation.kind in ("layer", "part") and step.path == (first.key, str(count)) and not operation.named
    if not same_place or not in_order or isinstance(operation.module, Function | PadChannels):
        return False
    return deed_of(0, operation).takes == before.gives and readers[before.gives[0]] == 1


def count_readers(line: Line) -> dict[Value, int]:
    """How often each value is read by operations."""
    count: dict[Value, int] = {}
    for operation in line.operations:
        for value in operation.reads():
            count[value] = count.get(value, 0) + 1
    return count


# Tuples


def unpacked(deeds: list[Deed], results: tuple[Value, ...], same: dict[Value, Value]) -> list[Deed]:
    """The deeds without indices into a tuple whose parts are there already; ``same`` learns which value is which."""
    parts: dict[Value, tuple[Operand, ...]] = {}
    kept: list[Deed] = []
    waiting: tuple[int, ...] = ()
    for deed in deeds:
        deed.takes = tuple(each if isinstance(each, Number) else same.get(each, each) for each in deed.takes)
        deed.named = tuple((name, each if isinstance(each, Number) else same.get(each, each)) for name, each in deed.named)
        tuple_taken = parts.get(deed.takes[0]) if deed.takes and not isinstance(deed.takes[0], Number) else None
        found: tuple[Operand, ...] = ()
        if deed.kind == "index" and tuple_taken is not None and is_part(deed.index[0], len(tuple_taken)):
            found = (tuple_taken[deed.index[0]],)
        elif deed.kind == "split" and tuple_taken is not None and len(tuple_taken) == len(deed.gives):
            found = tuple_taken
        if found and not any(isinstance(each, Number) for each in found):
            same.update(zip(deed.gives, found, strict=True))  # type: ignore[arg-type]
            waiting += deed.positions
            continue
        if deed.kind == "split":
            parts[deed.takes[0]] = deed.gives  # type: ignore[index]
        elif deed.kind == "pack":
            parts[deed.gives[0]] = deed.takes
        deed.positions = (*waiting, *deed.positions)
        waiting = ()
        kept.append(deed)
    if kept:
        kept[-1].positions += waiting
    return without_unread(kept, tuple(same.get(value, value) for value in results))


def is_part(choice: Any, count: int) -> bool:
    """Whether an index picks one of so many parts."""
    return type(choice) is int and -count <= choice < count


def without_unread(deeds: list[Deed], results: tuple[Value, ...]) -> list[Deed]:
    """The deeds without joins, indices and tuples that nobody reads; a tuple of which one part is read is indexed."""
    read = set(results)
    kept: list[Deed] = []
    waiting: tuple[int, ...] = ()
    for deed in reversed(deeds):
        wanted = [k for k, value in enumerate(deed.gives) if value in read]
        if deed.kind in ("join", "index", "pack", "split") and not wanted:
            waiting += deed.positions
            continue
        if deed.kind == "split" and len(wanted) == 1:
            deed = replace(deed, kind="index", index=(wanted[0],), gives=(deed.gives[wanted[0]],))
        read.update(deed.reads())
        deed.positions += waiting
        waiting = ()
        kept.append(deed)
    if kept:
        kept[-1].positions += waiting
    return kept[::-1]


def drawn_together(deeds: list[Deed], results: tuple[Value, ...]) -> list[Deed]:
    """Indices and names of parts go to the deed that gives the tuple; a chain goes into the join that alone reads it."""
    kept: list[Deed] = []
    for i, deed in enumerate(deeds):
        before = kept[-1] if kept else None
        alone = before is not None and readers_of(before.gives[:1], deeds[i:], results) == 1 and len(before.gives) == 1
        if before is None or not alone or before.gives[0] not in deed.reads():
            kept.append(deed)
        elif deed.kind == "index" and before.kind in ("layer", "part", "function", "index"):
            before.index, before.gives = (*before.index, *deed.index), deed.gives
            before.positions += deed.positions
            before.operation = deed.operation
        elif deed.kind == "split" and before.kind in ("layer", "part", "function") and not before.index:
            kept[-1] = replace(before, positions=before.positions + deed.positions, gives=deed.gives, operation=deed.operation)
        elif is_inlined(before, deed):
            deed.inline[before.gives[0]] = before
            deed.positions = (*before.positions, *deed.positions)
            kept[-1] = deed
        else:
            kept.append(deed)
    return kept


def is_inlined(before: Deed, deed: Deed) -> bool:
    """Whether a chain of a word, or a pad of its channels, is written inside the join of the same word."""
    if deed.kind != "join" or deed.step.fit is not None or before.index or before.kind not in ("layer", "part", "function"):
        return False
    if before.kind == "function":
        return isinstance(before.module, PadChannels) and before.keys[:-1] == deed.keys
    return before.step.key == deed.step.key and bool(before.keys) and before.keys == deed.keys


def readers_of(values: tuple[Value, ...], deeds: list[Deed], results: tuple[Value, ...]) -> int:
    """How often these values are read."""
    return sum(value in values for value in (*results, *(value for deed in deeds for value in deed.reads())))
