"""The two ends of a skip, as a user names them: the giver as seen from the root, the reader as a path of an entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from skipseq.declare.constructors import constructor
from skipseq.declare.containers import forward_owner, is_wired, keeps_forward
from skipseq.declare.words import JoinWord, SaveWord, Word
from skipseq.errors import WiringError, did_you_mean
from skipseq.wiring import named_by_user

from .edges import Edge, Edges
from .meaning import Origin, inner_labels, resolve
from .rewriting import Rewriting
from .tree import Entry, Node

__all__ = ["Ends", "opened_tree", "readers_text"]


def opened_tree(net: Any) -> Rewriting:
    """The tree of a network that is to be rewired.

    Raises:
        WiringError: if the network has a forward of its own.
    """
    if not is_wired(net) or not keeps_forward(net) or "forward" in vars(net):
        owner = type(net).__name__ if "forward" in vars(net) else forward_owner(net).__name__
        raise WiringError(
            type(net).__name__,
            [
                f"net has a forward of its own, in {owner}: what it runs besides its layers is not known.\n"
                "  Rewire a skipseq.Sequential inside it, or leave out the forward."
            ],
        )
    return Rewriting(net)


class Ends:
    """Finds givers and readers in a tree; ``call`` is what the user wrote, for the faults."""

    def __init__(self, tree: Rewriting, call: str) -> None:
        self.tree = tree
        self.call = call
        self.edges = Edges(tree)

    def fault(self, text: str, advice: str) -> WiringError:
        """A fault of the call."""
        return self.tree.fault(f"{self.call}: {text}\n  {advice}")

    # Givers

    def giver(self, name: Any) -> Origin:
        """What a name means at the end of the root.

        Raises:
            WiringError: if it means nothing there, or several things.
        """
        root = self.tree.root
        if not isinstance(name, str):
            raise self.fault(f"the giver is {name!r}, which is no name.", "Write a label, a layer's name or a dotted path.")
        found = resolve(root, len(root.groups), name)
        if found and (found[0].kind != "need" or name in self.tree.wiring.needs):
            return found[0]
        if saves := [".".join(each.path()) for each in inner_labels(root, len(root.groups), name)]:
            raise self.fault(
                f"{name!r} is saved at {' and at '.join(map(repr, saves))}.",
                f"Write the path of the one that is meant: {saves[-1]!r}.",
            )
        near = did_you_mean(name, self.known())
        raise self.fault(f"{name!r} names no value of the network.{near}", "The names are those of print(net).")

    def known(self) -> Iterator[str]:
        """The names of values, as seen from the root: those that a user gave first."""
        names = [
            ".".join((*node.path(), each))
            for node in self.tree.root.below()
            for entry in node.entries()
            for each in (entry.key, *entry.labels())
        ]
        yield from (each for each in names if named_by_user(each.rpartition(".")[2]))
        yield from names
        yield from self.tree.root.inputs

    # Readers

    def reader(self, path: Any) -> tuple[Node, int]:
        """The container of an entry, and its position; ``output`` is the end, unless an entry has this name.

        Raises:
            WiringError: if there is no such entry, or nothing can be put before it.
        """
        if not isinstance(path, str):
            raise self.fault(f"the reader is {path!r}, which is no path.", "Write the name of an entry, or 'output'.")
        node = self.tree.root
        *heads, last = path.split(".")
        keys = iter(heads)
        for key in keys:
            entry = self.entry(node, key, path)
            part = entry.part or (entry.inner.get(next(keys, "")) if entry.inner else None)
            if part is None:
                raise self.closed(node, entry, path)
            node = part
        if (reason := node.reason_against()) is not None:
            raise self.fault(
                f"{'.'.join(heads)!r} cannot be changed: {reason}.",
                "Connect the layers of the sequence first, and wrap it afterwards.",
            )
        if last == "output" and not any(each.key == last for each in node.entries()):
            return node, len(node.groups)
        return node, node.index(self.entry(node, last, path))

    def entry(self, node: Node, key: str, path: str) -> Entry:
        """The entry of a container with this key."""
        for entry in node.entries():
            if entry.key == key:
                return entry
        label = next((each for each in node.entries() if key in each.labels()), None)
        prefix = "".join(f"{each}." for each in node.path())
        if label is not None:
            index = node.index(label) + 1
            behind = node.groups[index][-1].key if index < len(node.groups) else "output"
            raise self.fault(f"{path!r} is a label, and no entry.", f"Write the layer behind it: {prefix + behind!r}.")
        near = did_you_mean(prefix + key, [prefix + each.key for each in node.entries()] + [prefix + "output"])
        raise self.fault(f"{path!r} names no entry: there is no {prefix + key!r}.{near}", "Write the path of an entry.")

    def closed(self, node: Node, entry: Entry, path: str) -> WiringError:
        """The fault of a path into something whose inside is not known."""
        own = ".".join((*node.path(), entry.key))
        if isinstance(entry.child, Word):
            return self.fault(f"{path!r} leads into {own!r}, which is a word.", f"Write the word itself: {own!r}.")
        if isinstance(entry.child, nn.Sequential):
            what = f"{type(entry.child).__name__}, which has a forward of its own"
        elif any(True for _ in entry.child.children()):
            what = f"{constructor(entry.child)}, a module with a forward of its own"
        else:
            return self.fault(
                f"{path!r} leads into {own!r} = {constructor(entry.child)}, which is one layer.", f"Write {own!r}."
            )
        return self.fault(
            f"{path!r} leads into {own!r} = {what}: what runs inside it is not known.",
            f"Connect to {own!r} itself, or write it as a skipseq.Sequential.",
        )

    # Skips

    def value(self, origin: Origin) -> int | None:
        """The value that a giver means."""
        return self.edges.value(origin)

    def matching(self, origin: Origin, reader: str | None, outputs: bool = False) -> list[Edge]:
        """The skips that read the value of a giver; with a reader, those of the word, or before the layer, at this path."""
        value = self.value(origin)
        of_giver = [each for each in self.edges.found if each.value == value and value is not None]
        if not outputs:
            of_giver = [each for each in of_giver if each.skip.operator != "output"]
        if reader is None:
            return of_giver
        # A save may stand between two joins before one layer, and the layer of a call may have a join before it:
        # the word itself is meant first, then the join right before the layer.
        ways = (
            [each for each in of_giver if each.skip.join == reader],
            [each for each in of_giver if each.skip.reader == reader and is_direct(each)],
            [each for each in of_giver if each.skip.reader == reader],
        )
        return next((found for found in ways if found), [])

    def read_at(self, reader: str) -> list[Edge]:
        """The skips that end at a word or a layer."""
        return [each for each in self.edges.found if reader in (each.skip.join, each.skip.reader)]


def is_direct(edge: Edge) -> bool:
    """Whether a join stands right before its reader, with no save between them."""
    node, entry = edge.reference.node, edge.reference.entry
    if entry is None or not isinstance(entry.child, JoinWord):
        return False
    behind = (group[0].child for group in node.groups[node.index(entry) + 1 :])
    return not isinstance(next((each for each in behind if not isinstance(each, JoinWord)), None), SaveWord)


def readers_text(edges: Iterable[Edge]) -> str:
    """Skips in words: ``conv1 -> deconv1 (cat)``."""
    return ", ".join(dict.fromkeys(f"{each.skip.giver} -> {each.skip.reader} ({each.skip.operator})" for each in edges))
