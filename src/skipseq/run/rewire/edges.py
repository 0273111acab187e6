"""Which value each word reads, found in the resolved wiring: the skips of a network, and where they stand in its tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from skipseq.declare.constructors import constructor
from skipseq.declare.containers import inside, is_sequence
from skipseq.declare.words import (
    Called,
    CallWord,
    Joined,
    JoinWord,
    SaveWord,
    TakeWord,
    Via,
    Word,
    here,
    operands_in,
    write_options,
)
from skipseq.flatten import Line
from skipseq.wiring import Value

from .meaning import Origin, resolve
from .skips import Skip, Skips
from .tree import Entry, Node, Reference, Tree, written

__all__ = ["Edge", "Edges", "Read", "reader_of", "reads_of", "skips_of"]


class Read(NamedTuple):
    """A name that a word reads: the layers that the value goes through, and which argument it is."""

    name: str
    via: tuple[str, ...]
    argument: str


class Edge(NamedTuple):
    """A skip, the value that it reads, and its reference in the tree."""

    skip: Skip
    value: Value | None
    reference: Reference


class Edges:
    """The skips of a tree, and the values that its names mean, by the wiring of the network."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        wiring = tree.net.wiring
        self.line = Line(tree.net, opened)
        given, _ = self.line.add_root(wiring)
        #: The value at each path: of an entry, label or input. What is called several times has its first one.
        self.values: dict[str, Value] = {name: given[value] for name, value in wiring.needs.items()}
        for value, paths in self.line.names.items():
            for keys in paths:
                self.values.setdefault(".".join(keys), value)
        self.giving = {value: each for each in self.line.operations for value in each.gives}
        self.inputs = {given[value]: name for name, value in wiring.needs.items()}
        self.inputs |= {given[i]: name for i, name in enumerate(wiring.inputs)}
        self.found = [*self.find()]

    def find(self, node: Node | None = None) -> Iterator[Edge]:
        """All skips of a container, and of those inside it, in the order in which they run."""
        node = node or self.tree.root
        for group in node.groups:
            for entry in group:
                if isinstance(entry.child, Word):
                    for read in reads_of(entry.child):
                        yield from self.edges(Reference(node, entry, read.name, []), read)
                for part in entry.parts():
                    yield from self.find(part)
        yield from self.returned(node)

    def returned(self, node: Node) -> Iterator[Edge]:
        """What a container returns besides its running value."""
        outputs = getattr(node.module, "_outputs", None)
        for name in (outputs,) if isinstance(outputs, str) else outputs or ():
            (origin,) = resolve(node, len(node.groups), name)
            if self.value(origin) != self.running(node, len(node.groups)):
                yield from self.edges(Reference(node, None, name, []), Read(name, (), ""))

    def edges(self, reference: Reference, read: Read) -> Iterator[Edge]:
        """The skips of one name in a word: several in a container that is called at several places."""
        reference.meant = resolve(reference.node, reference.position(), read.name)
        found: dict[str, Edge] = {}
        for origin in reference.meant:
            value = self.value(origin)
            giver, place = self.giver(value, origin)
            found.setdefault(giver, Edge(skip_of(reference, read, giver, place), value, reference))
        yield from found.values()

    def value(self, origin: Origin) -> Value | None:
        """The value that a name means; nothing where a call gives something that has no name."""
        if origin.kind == "argument" and origin.entry is not None:
            (site,) = (each for each in origin.node.sites if each.entry is origin.entry)
            operand = site.bound[origin.local]
            if operand is here:
                return self.running(site.node, site.node.index(site.entry))
            if not isinstance(operand, str):
                return None
            return self.value(resolve(site.node, site.node.index(site.entry), operand)[0])
        return self.values.get(".".join(origin.path()))

    def running(self, node: Node, at: int) -> Value | None:
        """The running value before the group at a position."""
        local = node.inputs[0] if at == 0 else node.groups[at - 1][-1].key
        return self.values.get(".".join((*node.path(), local)))

    def giver(self, value: Value | None, origin: Origin) -> tuple[str, str]:
        """The path of what gives a value, and its place: the outermost part whose result it is."""
        if value in self.inputs:
            return self.inputs[value], ""
        operation = None if value is None else self.giving.get(value)
        if operation is None or value is None:
            return ".".join(origin.path()), self.place(origin.path())
        keys = self.layer_keys(operation.place.keys())
        if operation.kind == "split":
            node, word = self.last_entry(keys)
            assert word is not None
            keys = (*node.path(), word.labels()[operation.gives.index(value)])
        for end in range(1, len(keys)):
            if self.values.get(".".join(keys[:end])) == value:
                keys = keys[:end]
                break
        return ".".join(keys), self.place(keys)

    def layer_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """The keys that lead to an operation; to a layer that a word calls, those of the layer."""
        node, entry = self.last_entry(keys)
        alone = entry is not None and (*node.path(), entry.key) == keys
        return (*node.path(), node.groups[node.index(entry)][-1].key) if entry is not None and alone else keys

    def last_entry(self, path: tuple[str, ...]) -> tuple[Node, Entry | None]:
        """The innermost container and entry that a path leads through; a label leads to the word that saves it."""
        node, found = self.tree.root, None
        rest = list(path)
        while rest:
            key = rest.pop(0)
            found = next((each for each in node.entries() if each.key == key or key in each.labels()), None)
            if found is None or not rest:
                break
            inner = found.part or found.inner.get(rest.pop(0))
            if inner is None or not rest:
                break
            node = inner
        return node, found

    def place(self, path: tuple[str, ...]) -> str:
        """The place of the entry at a path, or of the word that saves a label there."""
        node, entry = self.last_entry(path)
        return "" if entry is None else node.place(entry)


def skip_of(reference: Reference, read: Read, giver: str, place: str) -> Skip:
    """One read as a skip."""
    node, entry = reference.node, reference.entry
    if entry is None:
        end = ".".join((*node.path(), "output"))
        text = f"outputs={node.module._outputs!r}"
        return Skip(giver, end, "output", join=end, name=read.name, text=text, giver_place=place)
    word = entry.child
    assert isinstance(word, Word)
    return Skip(
        giver,
        reader_of(node, entry),
        word.kind,
        read.via,
        read.argument,
        ", ".join(write_options(word.joined)) if isinstance(word, JoinWord) else "",
        ".".join((*node.path(), entry.key)),
        read.name,
        written(node, entry),
        place,
        node.place(entry),
    )


def reader_of(node: Node, entry: Entry) -> str:
    """The path of the layer behind a word; of a call, that of the layer which is called."""
    at = node.index(entry)
    if isinstance(entry.child, CallWord):
        return ".".join((*node.path(), node.groups[at][-1].key))
    for group in node.groups[at + 1 :]:
        if not isinstance(group[0].child, JoinWord | SaveWord):
            return ".".join((*node.path(), group[-1].key))
    return ".".join((*node.path(), "output"))


def reads_of(word: Word) -> Iterator[Read]:
    """The names that a word reads, each with the layers that the value goes through, and its argument."""
    if isinstance(word, CallWord):
        for i, operand in enumerate(word.called.operands):
            yield from reads_in(operand, word, (), str(i))
        for name, operand in word.called.named:
            yield from reads_in(operand, word, (), name)
    elif isinstance(word, JoinWord):
        operands = word.joined.operands
        running = next((i for i, each in enumerate(operands) if here in operands_in((each,))), -1)
        for i, operand in enumerate(operands):
            yield from reads_in(operand, word, (), "before" if i < running else "behind")
    elif isinstance(word, TakeWord):
        yield from reads_in(word.operand, word, (), "")


def reads_in(operand: Any, word: Word, via: tuple[str, ...], argument: str) -> Iterator[Read]:
    """The names in an operand."""
    if isinstance(operand, str):
        yield Read(operand, via, argument)
    elif isinstance(operand, Via):
        yield from reads_in(operand.base, word, (*(layer_text(word, key) for key in operand.layers), *via), argument)
    elif isinstance(operand, Joined | Called):
        for each in operand.operands:
            yield from reads_in(each, word, via, argument)
        for _, each in operand.named if isinstance(operand, Called) else ():
            yield from reads_in(each, word, via, argument)


def layer_text(word: Word, key: str) -> str:
    """A layer of a word as it is written."""
    layer = word._modules[key]
    assert layer is not None
    return constructor(layer)


def opened(module: nn.Module) -> nn.Module | None:
    """The container inside a module, if its inside belongs to the wiring around it."""
    container = inside(module)
    return container if is_sequence(container) else None


def skips_of(net: nn.Module) -> Skips:
    """The skips of a network."""
    return Skips(edge.skip for edge in Edges(Tree(net)).found)
