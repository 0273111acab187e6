"""What one network has more and less than another one: skips and keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from skipseq.declare.words import Word

from .edges import skips_of
from .skips import Skip, Skips
from .tree import Entry, Node, Tree

__all__ = ["Diff", "difference", "lines_of"]


class Diff:
    """Lines that begin with ``+`` for what came, ``-`` for what went, ``~`` for what changed; false where there are none."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)

    def __bool__(self) -> bool:
        return bool(self.lines)

    def __eq__(self, other: object) -> bool:
        return self.lines == other.lines if isinstance(other, Diff) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.lines)

    def __repr__(self) -> str:
        return "\n".join(self.lines) or "no difference"


def lines_of(one: Skips, other: Skips, paths: Mapping[str, str] | None = None) -> Iterator[str]:
    """The skips that went and those that came; ``paths`` leads from the places of the first to those of the second.

    Where it leads anywhere, a skip is read by the same word, also if another layer stands behind that now.
    """
    left = [*other]
    for skip in one:
        moved = replaced(skip, paths or {}) if paths is not None else skip
        found = next((each for each in left if each == moved or (paths is not None and same_word(each, moved))), None)
        if found is None:
            yield f"- {skip}"
        else:
            left = [each for each in left if each is not found]
    yield from (f"+ {skip}" for skip in left)


def same_word(one: Skip, other: Skip) -> bool:
    """Whether two skips differ in nothing but the layer behind the word that reads."""
    return one.join == other.join and replace(one, reader="") == replace(other, reader="")


def difference(net: nn.Module, other: nn.Module) -> Diff:
    """What the other network has more and less, see :meth:`skipseq.run.rewired.Rewired.diff`."""
    paths = moved_paths(Tree(net), Tree(other))
    return Diff([*lines_of(skips_of(net), skips_of(other), paths), *keys_of(net, other, paths or {})])


def replaced(skip: Skip, paths: Mapping[str, str]) -> Skip:
    """A skip by the paths of the other network; what is not there has a path that nothing has."""
    giver, reader, join = (paths.get(each, f"- {each}") for each in (skip.giver, skip.reader, skip.join))
    return replace(skip, giver=giver, reader=reader, join=join)


def moved_paths(one: Tree, other: Tree) -> dict[str, str] | None:
    """Where each entry of a network stands in another one that shares its layers; nothing if it shares none.

    Layers are known by identity, in their order where one stands at several places. A container is where its layers are.
    """
    places: dict[int, list[tuple[Node, Entry]]] = {}
    for node, entry in layers_of(other.root):
        places.setdefault(id(entry.child), []).append((node, entry))
    pairs: list[tuple[Node, Entry, Node, Entry]] = []
    for node, entry in layers_of(one.root):
        if found := places.get(id(entry.child)):
            pairs.append((node, entry, *found.pop(0)))
    if not pairs:
        return None
    nodes = paired_nodes(pairs, one.root, other.root)
    moved = {name: name for name in one.root.inputs}
    moved |= {need: need for need in one.net.wiring.needs}
    for node, entry, there, twin in pairs:
        moved[path_of(node, entry)] = path_of(there, twin)
    for node in one.root.below():
        if (twin_node := nodes.get(id(node))) is not None:
            moved |= dict(moved_inside(node, twin_node, nodes))
    return moved


def moved_inside(node: Node, there: Node, nodes: dict[int, Node]) -> Iterator[tuple[str, str]]:
    """The paths of a container, its end, and its words and their labels, in the container that it is now."""
    if node.path():
        yield ".".join(node.path()), ".".join(there.path())
    yield ".".join((*node.path(), "output")), ".".join((*there.path(), "output"))
    for entry, twin in paired_words(node, there, nodes):
        yield path_of(node, entry), path_of(there, twin)
        yield from ((path_of(node, entry, label), path_of(there, twin, label)) for label in entry.labels())
        yield from ((path_of(node, entry, None, key), path_of(there, twin, None, key)) for key in entry.child._modules)


def paired_words(node: Node, there: Node, nodes: dict[int, Node]) -> Iterator[tuple[Entry, Entry]]:
    """The words of a container with those of another one: the same object, or else one of its kind at the same place."""
    mine = {id(nodes.get(id(each.part), each.part) if each.part else each.child): each for each in node.entries()}
    theirs = {id(each.part or each.child): each for each in there.entries()}
    same = {key: theirs[key] for key in mine if key in theirs}
    yield from ((mine[key], twin) for key, twin in same.items() if isinstance(twin.child, Word))
    found = at_places(theirs, same)
    yield from ((entry, found[place]) for place, entry in at_places(mine, same).items() if place in found)


def at_places(entries: dict[int, Entry], same: Iterable[int]) -> dict[Any, Entry]:
    """The words that are not the same by the entry behind them that is, their kind, and their number among those."""
    found: dict[Any, Entry] = {}
    behind = 0
    for key, entry in reversed(entries.items()):
        if key in same:
            behind = key
        elif isinstance(entry.child, Word):
            number = sum(place[:2] == (behind, entry.child.kind) for place in found)
            found[behind, entry.child.kind, number] = entry
    return found


def paired_nodes(pairs: Iterable[tuple[Node, Entry, Node, Entry]], one: Node, other: Node) -> dict[int, Node]:
    """The containers that hold the same layers, and those around them."""
    nodes = {id(one): other}
    for node, _, there, _ in pairs:
        mine: Node | None = node
        theirs: Node | None = there
        while mine is not None and theirs is not None and mine.parent is not None and theirs.parent is not None:
            nodes.setdefault(id(mine), theirs)
            mine, theirs = mine.parent, theirs.parent
    return nodes


def layers_of(node: Node) -> Iterator[tuple[Node, Entry]]:
    """The layers of a container that are no containers themselves, at every depth."""
    for entry in node.entries():
        if not entry.inner and entry.part is None and not isinstance(entry.child, Word):
            yield node, entry
        for part in entry.parts():
            yield from layers_of(part)


def path_of(node: Node, entry: Entry, label: str | None = None, layer: str | None = None) -> str:
    """The path of an entry, of a label that it saves, or of a layer that it owns."""
    own = (label or entry.key, *(() if layer is None else (layer,)))
    return ".".join((*node.path(), *own))


def keys_of(net: nn.Module, other: nn.Module, paths: Mapping[str, str]) -> Iterator[str]:
    """The keys of a checkpoint that came, went or changed their shape."""
    one = {moved_key(key, paths): (key, value) for key, value in net.state_dict(keep_vars=True).items()}
    two = other.state_dict(keep_vars=True)
    for new, (key, value) in one.items():
        if new not in two:
            yield f"- {key}  {shape(value)}"
    for key, value in two.items():
        if key not in one:
            yield f"+ {key}  {shape(value)}"
        elif shape(one[key][1]) != shape(value):
            yield f"~ {key}  {shape(one[key][1])} -> {shape(value)}"


def moved_key(key: str, paths: Mapping[str, str]) -> str:
    """A key in the other network: that of the longest path in it that is known there."""
    ends = [i for i in range(len(key) - 1, 0, -1) if key[i] == "."]
    return next((paths[key[:i]] + key[i:] for i in ends if key[:i] in paths), key)


def shape(value: Any) -> str:
    """The shape of a tensor as it is written."""
    try:
        return str(tuple(value.shape))
    except (AttributeError, RuntimeError):  # what is no tensor, or has no shape before the first call
        return ""
