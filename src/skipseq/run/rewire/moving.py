"""Entries put into a network, taken out and named anew, with the skips following the layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skipseq.declare.entries import is_automatic, name_fault, number
from skipseq.declare.words import Word, describe
from skipseq.run import editing

from .connecting import written_call
from .ends import Ends, opened_tree
from .tree import Entry, Node, Reference

__all__ = ["inserted", "removed", "renamed"]


def inserted(net: Any, path: Any, entry: Any) -> Any:
    """The network with one entry more, see :meth:`skipseq.run.rewired.Rewired.inserted`."""
    tree = opened_tree(net)
    ends = Ends(tree, written_call("inserted", path, entry))
    node, at = ends.reader(path)
    items = editing.read_items((entry,), type(node.module))
    node.touch(pinned=False)
    groups = [[tree.entry_of(node, item.child, name=item.name) for item in group] for group in items]
    node.groups[at:at] = groups
    for group in groups:
        for each in group:
            tree.place_calls(node, each)
    return tree.built()


def removed(net: Any, path: Any) -> Any:
    """The network with one entry less, see :meth:`skipseq.run.rewired.Rewired.removed`."""
    tree = opened_tree(net)
    ends = Ends(tree, written_call("removed", path))
    node, at = ends.reader(path)
    if at == len(node.groups):
        raise ends.fault(f"{path!r} is the end of the sequence, and no entry.", "Write the path of an entry.")
    gone = node.groups[at]
    inner = {id(each) for entry in gone for part in entry.parts() for below in part.below() for each in below.entries()}
    inner |= {id(entry) for entry in gone}
    readers = [each for each in tree.references if id(each.entry) not in inner and reads_any(each, inner)]
    readers = [each for each in readers if each.entry is not None or not within(each.node, gone)]
    if readers:
        places = list(dict.fromkeys(f"{each.place()} reads {each.name!r}" for each in readers))
        advice = "Remove its readers first, or give them another value."
        raise ends.fault(f"what it gives is read.\n  {'; '.join(places)}.", advice)
    node.touch(pinned=False)
    del node.groups[at]
    return tree.built()


def reads_any(reference: Reference, entries: set[int]) -> bool:
    """Whether a reference means one of these entries, or a label, or a layer of them."""
    return any(id(each.entry) in entries and each.kind != "argument" for each in reference.meant)


def within(node: Node, gone: list[Entry]) -> bool:
    """Whether a container is, or is in, one of these entries."""
    while node.parent is not None:
        if any(node.entry is each for each in gone):
            return True
        node = node.parent
    return False


def renamed(net: Any, names: Any) -> Any:
    """The network with other names, see :meth:`skipseq.run.rewired.Rewired.renamed`."""
    tree = opened_tree(net)
    ends = Ends(tree, f"net.renamed({names!r})")
    if not isinstance(names, Mapping):
        raise ends.fault("the names are no dict.", "Write {'0': 'stem'}.")
    wanted: list[tuple[Node, Entry, str]] = []
    for path, new in names.items():
        node, at = ends.reader(path)
        if at == len(node.groups):
            raise ends.fault(f"{path!r} is the end of the sequence, and no entry.", "Write the path of an entry.")
        entry = next(each for each in node.groups[at] if each.key == path.rpartition(".")[2])
        wanted.append((node, entry, new_name(ends, node, entry, path, new)))
    for node, entry, name in wanted:
        node.touch()
        entry.name = None if is_automatic(name, entry.child) else name
    for node, entry, name in wanted:
        verify_number(ends, node, entry, name)
    return tree.built()


def new_name(ends: Ends, node: Node, entry: Entry, path: str, new: Any) -> str:
    """The new name of an entry, which stays in its container."""
    prefix = path.rpartition(".")[0]
    if not isinstance(new, str):
        raise ends.fault(f"the name for {path!r} is {describe(new)}.", "Write a text.")
    head, _, name = new.rpartition(".")
    if head != prefix:
        where = repr(prefix) if prefix else "the network itself"
        own = f"{prefix}.{name}" if prefix else name
        raise ends.fault(f"{path!r} is to be {new!r}, and a layer stays in its container, {where}.", f"Write {own!r}.")
    if entry is not node.groups[node.index(entry)][-1]:
        layer = node.groups[node.index(entry)][-1].key
        raise ends.fault(f"{path!r} is the word of a call, whose name is that of its layer.", f"Write {layer!r}.")
    if fault := name_fault(name, type(node.module)):
        raise ends.fault(f"{name!r} {fault}", "Write another name.")
    return name


def verify_number(ends: Ends, node: Node, entry: Entry, name: str) -> None:
    """A number may be given as a name only to what would have it anyway."""
    if entry.name is not None:
        return
    entries = [*node.entries()]
    keys = [*number([(each.name, each.child) for each in entries])]
    key = keys[next(i for i, each in enumerate(entries) if each is entry)]
    if key != name:
        kind = "word" if isinstance(entry.child, Word) else "layer"
        raise ends.fault(f"{name!r} is the number of another {kind}: here it would be {key!r}.", f"Write {key!r}, or a name.")
