"""Skips put into a network that exists."""

from __future__ import annotations

from typing import Any

from skipseq.declare.entries import entry_fault
from skipseq.declare.vocabulary import call, join_alone
from skipseq.declare.words import CallWord, JoinWord, Word, describe

from .edges import Edges
from .ends import Ends, opened_tree
from .meaning import Origin
from .tree import Entry, Node, Reference, Tree

__all__ = ["connected", "written_call"]

FORWARD = "A skip leads forward, from an earlier layer to a later one."


def connected(net: Any, giver: Any, reader: Any, join: Any, widen: Any = None, input: Any = None) -> Any:
    """The network with one skip more, see :meth:`skipseq.run.rewired.Rewired.connect`."""
    tree = opened_tree(net)
    ends = Ends(tree, written_call("connect", giver, reader))
    if widen not in (None, "zeros") or (input is not None and widen is None):
        what = f"widen={widen!r} is not known" if widen is not None else "input= is for widen='zeros'"
        raise ends.fault(f"{what}.", "Write widen='zeros', or leave it out.")
    origin = ends.giver(giver)
    node, at = ends.reader(reader)
    word = word_of(join, giver, ends)
    verify_forward(ends, origin, node, at, giver, reader)
    verify_new(ends, origin, node, at, reader)
    entries = put_before(ends, node, at, word)
    joined = entries[0]
    tree.references.append(Reference(node, joined, giver, [origin], wishes=(giver,)))
    result = tree.built()
    path = ".".join((*node.path(), joined.key))
    verify_read(ends, origin, result, path)
    if widen is None:
        return result
    from .widen import widened

    return widened(result, path, input)


def written_call(method: str, *arguments: Any) -> str:
    """A call of the network as the user wrote it."""
    return f"net.{method}({', '.join(describe(each) if callable(each) else repr(each) for each in arguments)})"


def word_of(join: Any, giver: str, ends: Ends) -> Word:
    """The word that joins a value with the running one."""
    if (word := join_alone(join)) is not None:
        return word.of(giver)
    if isinstance(join, JoinWord):
        raise ends.fault(f"join={join} names its operands already.", "Write it without them: join=cat(dim=-1).")
    if isinstance(join, str):
        raise ends.fault(f"join is the string {join!r}.", "Write the word itself, as in join=cat, or a function of two values.")
    if isinstance(join, Word) or (fault := entry_fault(join)):
        text = f"{join}, a word that joins nothing." if isinstance(join, Word) else fault
        raise ends.fault(f"join is {text}", "Write join=cat, join=add(fit='crop'), or a function of two values.")
    return call(join, giver)


def put_before(ends: Ends, node: Node, at: int, word: Word) -> list[Entry]:
    """Puts a word before the group at a position, behind the joins that stand there; a call is followed by its layer."""
    tree = ends.tree
    node.touch()
    if isinstance(word, CallWord):
        group = [tree.entry_of(node, word.alone()), tree.entry_of(node, word.layer)]
    else:
        group = [tree.entry_of(node, word)]
    node.groups.insert(at, group)
    for entry in group:
        tree.place_calls(node, entry)
    return group


def verify_forward(ends: Ends, origin: Origin, node: Node, at: int, giver: str, reader: str) -> None:
    """A skip leads forward: the value must be there before its reader runs."""
    if origin.kind == "need":
        return
    given = (*position(origin.node), -1 if origin.entry is None else origin.node.index(origin.entry))
    read = (*position(node), at)
    own = origin.entry is not None and origin.kind != "label" and given == read
    if own:
        raise ends.fault(f"{reader!r} cannot read its own output.", FORWARD)
    if given[: len(read)] == read:
        raise ends.fault(
            f"{giver!r} is given inside {reader!r}, which has begun by then.",
            f"Write a reader that runs later: inside {reader!r}, or behind it.",
        )
    if read[: len(given)] == given:
        raise ends.fault(
            f"{giver!r} contains {reader!r}, and gives its output only behind it.",
            f"Name a value from before {giver!r}, or a reader behind it.",
        )
    if given > read:
        raise ends.fault(f"{reader!r} runs before {giver!r} is there.", forward_advice(ends, origin, reader))


def forward_advice(ends: Ends, origin: Origin, reader: str) -> str:
    """The call with both ends exchanged, where that makes a skip."""
    node, entry = origin.node, origin.entry
    if entry is None:
        return FORWARD
    at = node.index(entry) + (origin.kind == "label")
    key = node.groups[at][-1].key if at < len(node.groups) else "output"
    first = reader.removesuffix(".output")
    if ends.edges.running(node, at) == ends.edges.values.get(first):
        return FORWARD
    return f"A skip leads forward. Write {written_call('connect', first, '.'.join((*node.path(), key)))}."


def position(node: Node) -> tuple[int, ...]:
    """Where a container stands: the positions of the groups that lead to it."""
    if node.parent is None or node.entry is None:
        return ()
    inner = () if node.layer is None else (list(node.entry.inner).index(node.layer),)
    return (*position(node.parent), node.parent.index(node.entry), *inner)


def verify_new(ends: Ends, origin: Origin, node: Node, at: int, reader: str) -> None:
    """The value must not be the running one at the reader, nor joined there already."""
    value = ends.value(origin)
    first = at
    while first and isinstance(node.groups[first - 1][0].child, JoinWord):
        first -= 1
    for edge in ends.edges.found:
        entry = edge.reference.entry
        if edge.value == value and edge.reference.node is node and entry is not None and first <= node.index(entry) < at:
            raise ends.fault(
                f"both are connected already: {edge.skip.reader_place} {edge.skip.text} reads it.",
                f"To join them in another way, write {written_call('disconnect', edge.skip.giver, edge.skip.join)} first.",
            )
    if value is not None and value == ends.edges.running(node, at):
        raise ends.fault(
            f"the output of {ends.edges.giver(value, origin)[0]!r} is the running value before {reader!r} anyway.",
            "Name an earlier value; to double it, write mul(2.0) before the layer.",
        )


def verify_read(ends: Ends, origin: Origin, result: Any, path: str) -> None:
    """The new word must read the value of the giver, by the wiring of the new network."""
    giver, _ = ends.edges.giver(ends.value(origin), origin)
    if not any(edge.skip.join == path and edge.skip.giver == giver for edge in Edges(Tree(result)).found):
        raise ends.fault(f"no name leads from {path!r} to {giver!r}.", "Save its output under a label, and name that.")
