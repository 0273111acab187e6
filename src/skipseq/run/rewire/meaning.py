"""What a name means in a tree that is being edited.

The rules are those of :mod:`skipseq.declare.scope`, which resolves names once, when a network is built. Here they are asked
before: would this name, read here, mean that value?
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from skipseq.declare.words import Word

from .tree import Entry, Node, Site

__all__ = ["Origin", "layer_at", "resolve", "same", "spelled"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a name means.

    ``kind`` is ``input`` (of the node), ``entry`` (its output), ``label`` (saved by the entry), ``layer`` (the output of a
    layer of the word), ``need`` (of the root), or ``argument`` (of a call of the node).
    """

    node: Node
    kind: str
    local: str
    entry: Entry | None = None

    def path(self) -> tuple[str, ...]:
        """The keys that lead to it from the root, as they are now."""
        if self.kind in ("entry", "layer") and self.entry is not None:
            own: tuple[str, ...] = (self.entry.key, *((self.local,) if self.kind == "layer" else ()))
        else:
            own = (self.local,)
        return (*self.node.path(), *own)


def resolve(node: Node, at: int, name: str) -> list[Origin]:
    """What a name means before the group at a position; nothing if it leads nowhere.

    One name has several meanings only inside a container that is called at several places.
    """
    if (own := own_name(node, at, name)) is not None:
        return [own]
    head = name.partition(".")[0]
    if head != name:
        if (found := part_before(node, at, name)) is not None:
            deep = reach(*found)
            return [] if deep is None else [deep]
        if any(head == each.key for each in node.entries()) or own_name(node, at, head) is not None:
            return []
    else:
        if inner := list(inner_labels(node, at, name)):
            return inner if len(inner) == 1 else []
        if own_name(node, len(node.groups), name) is not None or any(inner_labels(node, len(node.groups), name)):
            return []  # it comes later
    return need(node, name)


def need(node: Node, name: str) -> list[Origin]:
    """What a name means that nothing inside a container gives."""
    if node.closed:
        return []
    if not node.sites:
        return [Origin(node, "need", name)]
    found: list[Origin] = []
    for site in node.sites:
        here = bound(node, site, name) or resolve(site.node, site.node.index(site.entry), name)
        if not here:
            return []
        found += [each for each in here if each not in found]
    return found


def bound(node: Node, site: Site, name: str) -> list[Origin]:
    """A need that a call gives by name."""
    return [Origin(node, "argument", name, site.entry)] if name in site.bound else []


def own_name(node: Node, at: int, name: str) -> Origin | None:
    """What a name means among the inputs and the earlier entries of a container."""
    if name == "input" or name in node.inputs:
        return Origin(node, "input", node.inputs[0] if name == "input" else name)
    for group in node.groups[:at]:
        for entry in group:
            if entry.key == name:
                return Origin(node, "entry", "", entry)
            if name in entry.labels():
                return Origin(node, "label", name, entry)
            head, _, layer = name.rpartition(".")
            if head and head == entry.key and entry.part is None and layer in owned(entry):
                return Origin(node, "layer", layer, entry)
    return None


def owned(entry: Entry) -> Container[str]:
    """The keys of the layers that a word owns."""
    return entry.child._modules if isinstance(entry.child, Word) else ()


def part_before(node: Node, at: int, name: str) -> tuple[Node, str] | None:
    """The earlier part that a dotted name leads into, and the rest of the name inside it."""
    head, _, rest = name.partition(".")
    entry = next((each for group in node.groups[:at] for each in group if each.key == head), None)
    if entry is None:
        return None
    if entry.part is not None:
        return entry.part, rest
    layer, _, rest = rest.partition(".")
    return (entry.inner[layer], rest) if rest and layer in entry.inner else None


def reach(node: Node, name: str) -> Origin | None:
    """What a path means inside a part."""
    end = len(node.groups)
    if (own := own_name(node, end, name)) is not None:
        return own
    found = part_before(node, end, name) if "." in name else None
    return None if found is None else reach(*found)


def inner_labels(node: Node, at: int, label: str) -> Iterator[Origin]:
    """Where a label is saved inside the earlier parts of a container."""
    for group in node.groups[:at]:
        for entry in group:
            for part in entry.parts():
                yield from saved_in(part, label)


def saved_in(node: Node, label: str) -> Iterator[Origin]:
    """Where a label is saved in a container, at any depth."""
    for entry in node.entries():
        if label in entry.labels():
            yield Origin(node, "label", label, entry)
    yield from inner_labels(node, len(node.groups), label)


def layer_at(node: Node, path: str) -> list[Origin]:
    """The layer at a path below a container, as ``call("path")`` finds it."""
    head, _, rest = path.partition(".")
    entry = next((each for each in node.entries() if each.key == head), None)
    if entry is None:
        return []
    if not rest:
        return [Origin(node, "entry", "", entry)]
    if entry.part is not None:
        return layer_at(entry.part, rest)
    layer, _, rest = rest.partition(".")
    if rest:
        return layer_at(entry.inner[layer], rest) if layer in entry.inner else []
    return [Origin(node, "layer", layer, entry)] if layer in owned(entry) else []


def spelled(origin: Origin, node: Node) -> str:
    """The path of a value as it is written in a container: without the containers that both have in common."""
    path, around = origin.path(), node.path()
    common = 0
    while common < len(around) and common < len(path) - 1 and path[common] == around[common]:
        common += 1
    return ".".join(path[common:])


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether two names mean the same."""
    return bool(one) and len(one) == len(other) and all(each in other for each in one)
