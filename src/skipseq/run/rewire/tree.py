"""A network as a tree that is edited: every reference knows the value that it means, and is written anew afterwards.

The network itself is not changed. Where an edit leads, containers are copied, and share their layers; all else stays the
same object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from skipseq.declare.compose import grouped
from skipseq.declare.containers import children_of, has_state, inside, is_sequence
from skipseq.declare.entries import is_automatic
from skipseq.declare.words import Called, CallWord, SaveWord, Word, operands_in, written_entry
from skipseq.errors import WiringError

__all__ = ["Entry", "Node", "Reference", "Site", "Tree"]


@dataclass(eq=False, slots=True)
class Entry:
    """A child of a container: its name if it has one, the key that it had, and the one that it has now.

    ``part`` is the container that it is, and ``inner`` are the containers among the layers of a word, by their keys.
    """

    child: nn.Module
    name: str | None
    before: str | None = None
    key: str = ""
    part: Node | None = None
    inner: dict[str, Node] = field(default_factory=dict)

    def labels(self) -> tuple[str, ...]:
        """What it saves."""
        return self.child.labels if isinstance(self.child, SaveWord) else ()

    def parts(self) -> Iterator[Node]:
        """The container that it is, or those that it owns."""
        yield from () if self.part is None else (self.part,)
        yield from self.inner.values()


@dataclass(frozen=True, slots=True)
class Site:
    """A place at which a container is called: before the entry, with some of its needs given by name."""

    node: Node
    entry: Entry
    bound: dict[str, Any]


@dataclass(eq=False, slots=True)
class Node:
    """A container: what stands in the tree (``outer``, perhaps a wrapper), and the sequence inside it."""

    outer: nn.Module
    module: nn.Module
    inputs: tuple[str, ...]
    closed: bool
    groups: list[list[Entry]] = field(default_factory=list)
    parent: Node | None = None
    entry: Entry | None = None
    layer: str | None = None
    sites: list[Site] = field(default_factory=list)
    touched: bool = False

    def entries(self) -> Iterator[Entry]:
        """Its children in order."""
        for group in self.groups:
            yield from group

    def index(self, entry: Entry) -> int:
        """The position of the group in which an entry stands."""
        return next(i for i, group in enumerate(self.groups) if entry in group)

    def path(self) -> tuple[str, ...]:
        """The keys that lead to it from the root, as they are now."""
        if self.parent is None or self.entry is None:
            return ()
        return (*self.parent.path(), self.entry.key, *(() if self.layer is None else (self.layer,)))

    def place(self, entry: Entry | None = None) -> str:
        """How it, or an entry of it, is reached in Python: ``net.encoder[2]``."""
        own = "net"
        if self.parent is not None and self.entry is not None:
            named = self.entry.key.isidentifier() and self.layer is None
            own = f"{self.parent.place()}.{self.entry.key}" if named else self.parent.place(self.entry)
        return own if entry is None else f"{own}[{self.index(entry)}]"

    def below(self) -> Iterator[Node]:
        """This container and all inside it."""
        yield self
        for entry in self.entries():
            for part in entry.parts():
                yield from part.below()

    def stands(self) -> bool:
        """Whether it is still in the tree."""
        if self.parent is None or self.entry is None:
            return True
        entry = self.entry
        own = any(each is entry for each in self.parent.entries()) and any(each is self for each in entry.parts())
        return own and self.parent.stands()

    def reason_against(self) -> str | None:
        """Why it cannot be exchanged for another one, if it cannot."""
        if self.outer is not self.module:
            return f"it stands in a wrapper, {type(self.outer).__name__}"
        return "it has a forward of its own" if "forward" in vars(self.outer) else None

    def touch(self, pinned: bool = True) -> None:
        """Its children will get new keys; ``pinned`` keeps those of layers and of words that own state."""
        if self.touched:
            return
        self.touched = True
        for entry in self.entries() if pinned else ():
            if entry.before is not None and (not isinstance(entry.child, Word) or has_state(entry.child)):
                entry.name = entry.before


@dataclass(eq=False, slots=True)
class Reference:
    """A name in a word, or among the outputs of a container where there is no entry.

    ``meant`` is what it means, see :mod:`skipseq.run.rewire.meaning`; ``new`` is how it is written now.
    """

    node: Node
    entry: Entry | None
    name: str
    meant: list[Any]
    layer: bool = False
    new: str = ""
    #: Names that are tried first.
    wishes: tuple[str, ...] = ()

    def alive(self) -> bool:
        """Whether the word still stands in the tree and still has the name."""
        if not self.node.stands():
            return False
        if self.entry is None:
            return True
        word = self.entry.child
        stands = any(each is self.entry for each in self.node.entries())
        return stands and isinstance(word, Word) and self.name in word.mentions()

    def position(self) -> int:
        """The position at which it is read."""
        return len(self.node.groups) if self.entry is None else self.node.index(self.entry)

    def place(self) -> str:
        """Where it is written, for a fault."""
        if self.entry is None:
            return f"{self.node.place()} (outputs={self.node.module._outputs!r})"
        return f"{self.node.place(self.entry)} {written(self.node, self.entry)}"


class Tree:
    """A network and all containers inside it, as nodes."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.what = type(net).__name__
        self.root = self.node_of(net)
        for node in self.root.below():
            for entry in node.entries():
                self.place_calls(node, entry)

    def fault(self, *faults: str) -> WiringError:
        """The error with these faults."""
        return WiringError(self.what, faults)

    def node_of(self, outer: nn.Module, parent: Node | None = None, entry: Entry | None = None, layer: Any = None) -> Node:
        """A container as a node, with all inside it."""
        module = inside(outer)
        inputs = getattr(module, "_inputs", None)
        node = Node(outer, module, inputs or ("input",), inputs is not None, [], parent, entry, layer)
        for group in grouped(children_of(module)):
            node.groups.append([self.entry_of(node, child, key) for key, child in group])
        return node

    def entry_of(self, node: Node, child: nn.Module, before: str | None = None, name: str | None = None) -> Entry:
        """A child as an entry of a node; one without a key before is new."""
        if before is not None:
            name = None if is_automatic(before, child) else before
        entry = Entry(child, name, before, before or "")
        if opens(child):
            entry.part = self.node_of(child, node, entry)
        for key, layer in children_of(child).items() if isinstance(child, Word) else ():
            if opens(layer):
                entry.inner[key] = self.node_of(layer, node, entry, key)
        return entry

    def place_calls(self, node: Node, entry: Entry) -> None:
        """Tells the containers that an entry calls where they are called."""
        word = node.groups[node.index(entry)][0].child
        if entry.part is not None:
            bound = dict(word.called.named) if isinstance(word, CallWord) and word is not entry.child else {}
            entry.part.sites.append(Site(node, entry, bound))
        for key, part in entry.inner.items():
            part.sites.append(Site(node, entry, bound_in(entry.child, key)))
        if isinstance(entry.child, CallWord) and entry.child.again is not None:
            found = self.part_at(node, entry.child.again)
            if found is not None:
                found.sites.append(Site(node, entry, dict(entry.child.called.named)))

    def part_at(self, node: Node, path: str) -> Node | None:
        """The container at a path below a node, or nothing if something else stands there."""
        head, _, rest = path.partition(".")
        entry = next((each for each in node.entries() if each.key == head), None)
        if entry is None:
            return None
        if entry.part is None and rest:
            head, _, rest = rest.partition(".")
            part = entry.inner.get(head)
        else:
            part = entry.part
        return part if part is None or not rest else self.part_at(part, rest)

    def mentions(self) -> Iterator[Reference]:
        """All names in the tree, without their meaning."""
        for node in self.root.below():
            for entry in node.entries():
                if isinstance(entry.child, Word):
                    again = getattr(entry.child, "again", None)
                    read = dict.fromkeys(entry.child.references())
                    yield from (Reference(node, entry, name, []) for name in read)
                    yield from () if again is None else (Reference(node, entry, again, [], layer=True),)
            outputs = getattr(node.module, "_outputs", None)
            for name in (outputs,) if isinstance(outputs, str) else outputs or ():
                yield Reference(node, None, name, [])


def opens(module: nn.Module) -> bool:
    """Whether the inside of a module belongs to the wiring around it."""
    return not isinstance(module, Word) and is_sequence(inside(module))


def bound_in(word: nn.Module, key: str) -> dict[str, Any]:
    """The needs that a word gives by name to a layer of its own."""
    assert isinstance(word, Word)
    called = (each for each in operands_in(word.operands()) if isinstance(each, Called) and each.layer == key)
    return next((dict(each.named) for each in called), {})


def written(node: Node, entry: Entry) -> str:
    """An entry in one line."""
    return written_entry([(each.key, each.child) for each in node.groups[node.index(entry)]])
