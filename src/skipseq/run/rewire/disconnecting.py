"""Skips taken out of a network that exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from skipseq.declare.containers import has_state
from skipseq.declare.entries import is_automatic
from skipseq.declare.words import SaveWord, Word
from skipseq.errors import WiringError, did_you_mean

from .connecting import written_call
from .edges import Edge
from .ends import Ends, opened_tree, readers_text
from .meaning import Origin
from .operands import Kept, reduced
from .rewriting import Rewriting
from .tree import Entry, Node

__all__ = ["disconnected", "found_edges"]

#: The labels that are given where no name leads to a value: a save of one goes when nobody reads it any more.
OURS = re.compile(r"skip_\d+")


def disconnected(net: Any, giver: Any, reader: Any) -> Any:
    """The network without a skip, see :meth:`skipseq.run.rewired.Rewired.disconnect`."""
    tree = opened_tree(net)
    ends = Ends(tree, written_call("disconnect", giver, reader))
    if reader is None:  # which ablate takes for all readers
        raise no_path(ends, reader)
    cut(ends, found_edges(ends, giver, reader), giver, reader)
    return tree.built()


def found_edges(ends: Ends, giver: Any, reader: Any) -> list[Edge]:
    """The skips from a giver to a reader, or to all readers where none is told.

    Raises:
        WiringError: if there are none, or only the outputs of the network.
    """
    origin = ends.giver(giver)
    if reader is not None and not isinstance(reader, str):
        raise no_path(ends, reader)
    found = ends.matching(origin, reader)
    if found:
        return found
    if ends.matching(origin, reader, outputs=True):
        raise ends.fault(
            f"{giver!r} is an output of the network, and no skip.", "Write net.with_outputs(...) for other outputs."
        )
    others = ends.matching(origin, None)
    if reader is None:
        raise ends.fault(f"nothing reads {giver!r} beside the running value.", "print(net.skips) tells the skips.")
    if others:
        raise ends.fault(f"no skip leads from {giver!r} to {reader!r}.", f"Its skips are {readers_text(others)}.")
    if there := ends.read_at(reader):
        raise ends.fault(f"no skip leads from {giver!r} to {reader!r}.", f"What is read there: {readers_text(there)}.")
    known = {path for each in ends.edges.found for path in (each.skip.reader, each.skip.join)}
    near = did_you_mean(reader, known)
    raise ends.fault(f"no skip leads from {giver!r} to {reader!r}.{near}", "print(net.skips) tells the skips.")


def no_path(ends: Ends, reader: Any) -> WiringError:
    """A reader that cannot be one."""
    return ends.fault(f"the reader is {reader!r}, which is no path.", "Write the key of the join, or the layer behind it.")


def cut(ends: Ends, edges: Iterable[Edge], giver: str, reader: str | None) -> None:
    """Takes the operands of these skips out of their words, and the saves of ours that nobody reads any more."""
    tree = ends.tree
    words: dict[int, tuple[Node, Entry, dict[str, Origin]]] = {}
    for edge in edges:
        node, entry = edge.reference.node, edge.reference.entry
        assert entry is not None
        words.setdefault(id(entry), (node, entry, {}))[2][edge.reference.name] = edge.reference.meant[0]
    left: list[Word | None] = []
    for node, entry, names in words.values():
        word = entry.child
        assert isinstance(word, Word)
        try:
            left.append(reduced(word, names.keys()))
        except Kept as kept:
            advice = written_call("ablate", giver, *(() if reader is None else (reader,)))[:-1] + ", by='zero')"
            raise ends.fault(
                f"{node.place(entry)} {edge_text(ends, entry)} cannot do without it: {kept}.",
                f"Write {advice}, which gives zeros in its place.",
            ) from None
    for (node, entry, _), rest in zip(words.values(), left, strict=True):
        node.touch()
        replace_word(ends, node, entry, rest)
    for _, _, names in words.values():
        for origin in names.values():
            drop_save(tree, origin)


def edge_text(ends: Ends, entry: Entry) -> str:
    """The word of an entry as it is written."""
    return next(each.skip.text for each in ends.edges.found if each.reference.entry is entry)


def replace_word(ends: Ends, node: Node, entry: Entry, left: Word | None) -> None:
    """Puts what is left of a word in its place."""
    old = entry.child
    if left is None:
        move_layers(ends, entry, {})
        before = value_before(node, entry)
        for reference in ends.tree.references:  # what read the join reads the value that goes on now
            reference.meant = [before if each.entry is entry else each for each in reference.meant]
        node.groups.remove(node.groups[node.index(entry)])
        return
    if is_automatic(entry.before or "", old) and not has_state(left):
        entry.name = None  # no key of a checkpoint is to stay
    places = {id(layer): key for key, layer in left._modules.items()}
    entry.child = left
    move_layers(ends, entry, {key: places[id(layer)] for key, layer in old._modules.items() if id(layer) in places})


def value_before(node: Node, entry: Entry) -> Origin:
    """The running value before an entry, by what gives it."""
    for group in reversed(node.groups[: node.index(entry)]):
        if not isinstance(group[0].child, SaveWord):
            return Origin(node, "entry", "", group[-1])
    return Origin(node, "input", node.inputs[0])


def move_layers(ends: Ends, entry: Entry, keys: Mapping[str, str]) -> None:
    """The layers of a word have other keys now, and some are gone; what reads them from elsewhere follows."""
    inner = entry.inner
    entry.inner = {keys[key]: part for key, part in inner.items() if key in keys}
    for key, part in entry.inner.items():
        part.layer = key
    for reference in ends.tree.references:
        if reference.entry is entry or not reference.alive():
            continue
        for i, origin in enumerate(reference.meant):
            if origin.entry is entry and origin.kind == "layer" and origin.local in keys:
                reference.meant[i] = replace(origin, local=keys[origin.local])
            elif (origin.entry is entry and origin.kind == "layer") or not origin.node.stands():
                raise ends.fault(
                    f"{reference.place()} reads {reference.name!r}, a layer that would go with the skip.",
                    "Remove this reader first, or give it another value.",
                )


def drop_save(tree: Rewriting, origin: Origin) -> None:
    """Removes a save of ours that nobody reads any more."""
    entry = origin.entry
    if origin.kind != "label" or entry is None or not isinstance(entry.child, SaveWord):
        return
    if len(entry.child.labels) != 1 or OURS.fullmatch(origin.local) is None:
        return
    if any(each.alive() and origin in each.meant for each in tree.references):
        return
    if any(each is entry for each in origin.node.entries()):
        origin.node.touch()
        origin.node.groups.remove(origin.node.groups[origin.node.index(entry)])
