"""Names for people: what the nodes of a symbol are called in the sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from skipseq.bridges.graph import free_name, is_numbered_word

from .symbol import Node, Symbol

__all__ = ["Names", "readable_names"]

#: What Gluon puts behind the name of a layer where it runs.
RUN = "_fwd"

#: What Gluon calls a container that nobody gave a name.
SEQUENCE = re.compile("^(?:hybrid)?sequential(?=[0-9]+$)")

#: The longest name, in letters, and the longest number that is a key, in digits.
LONGEST, LONGEST_NUMBER = 120, 6

#: How many parts stand inside each other at most; of further scopes one part is made.
DEEPEST = 40


def readable_names(symbol: Symbol, parameters: Collection[str], scopes: Mapping[str, str] | None = None) -> dict[int, str]:
    """A name for each node that leads to a result and is no parameter: an identifier that no other has.

    What all names share in front is left out, and so is what stands behind for running (``unet0_conv0_fwd`` is ``conv0``); of
    the scopes around a layer, those in front are left out that are not needed to tell all layers apart; one that Gluon calls
    ``hybridsequential0`` is ``part0``.

    Args:
        symbol: the graph.
        parameters: the names of its parameters and batch statistics.
        scopes: the blocks of a file of ``save_parameters`` by their prefixes in the symbol, which then name the layers:
            ``{"unet0_hybridsequential0_": "encoder", "unet0_hybridsequential0_conv0_": "encoder.0"}``.
    """
    return Names(symbol, parameters, scopes or {}).of


class Names:
    """The names of the nodes of a graph, and new ones beside them.

    Args:
        symbol: the graph.
        parameters: the names of its parameters and batch statistics.
        scopes: the blocks of a file of ``save_parameters`` by their prefixes in the symbol.
    """

    def __init__(self, symbol: Symbol, parameters: Collection[str], scopes: Mapping[str, str]) -> None:
        self.taken: set[str] = set()
        self.counts: Counter[str] = Counter()
        #: The names by the numbers of the nodes, and where operators stand.
        self.of: dict[int, str] = {}
        operators = [node for node in symbol.needed() if not node.is_variable]
        inputs = [node for node in symbol.needed() if node.is_variable and node.name not in parameters]
        places = by_blocks(operators, scopes) if scopes else by_scopes(operators)
        wanted = [place.name for place in places] if scopes else shortest(operators)
        for node, name in zip([*inputs, *operators], [*map(input_name, inputs), *wanted], strict=True):
            self.of[node.index] = self.free(name)
        #: What can be the key of nothing: where there are several inputs, each is known by its name everywhere.
        self.inputs = {self.of[node.index] for node in inputs} if len(inputs) > 1 else set()
        self.places = {node.index: with_keys(place, self.inputs) for node, place in zip(operators, places, strict=True)}

    def free(self, wanted: str) -> str:
        """A name like the wanted one that is not taken, and is taken now."""
        base = free_name(wanted[:LONGEST], ())
        name = base
        while name in self.taken:
            self.counts[base] += 1
            name = f"{base}_{self.counts[base] + 1}"
        self.taken.add(name)
        return name


def input_name(node: Node) -> str:
    """The name of an input, which is none that a sequence gives its words."""
    return f"{node.name}_value" if is_numbered_word(node.name) else node.name


def parts_of(node: Node) -> list[str]:
    """The parts of a name: its scopes, and what it is called there; one that is called as its operator keeps its strokes."""
    name = node.name.removesuffix(RUN)
    operator = node.operator.lower().strip("_")
    start = len(name.rstrip("0123456789")) - len(operator)
    own = name.startswith(operator, start) and (start == 0 or name[start - 1] == "_") if start >= 0 else False
    scopes, last = (name[:start], [name[start:]]) if own else (name, [])
    parts = [*(part for part in scopes.split("_") if part), *last]
    return [SEQUENCE.sub("part", part) for part in parts] or ["layer"]


def shortest(nodes: Sequence[Node]) -> list[str]:
    """The names with as many scopes, for all the same number at most, as tell them apart."""
    names = [parts_of(node) for node in nodes]
    shared = shared_parts(names)
    names = [name[shared:] for name in names]
    most = max((len(name) for name in names), default=1)
    different = len({tuple(name) for name in names})
    few = range(1, min(most, DEEPEST))
    depth = next((k for k in few if len({tuple(name[-k:]) for name in names}) == different), most)
    return ["_".join(name[-depth:]) for name in names]


def shared_parts(names: Sequence[Sequence[str]]) -> int:
    """How many parts all names share in front; at least one part of each remains."""
    shared = 0
    while names and all(len(name) > shared + 1 and name[shared] == names[0][shared] for name in names):
        shared += 1
    return shared


def by_scopes(nodes: Sequence[Node]) -> list[Placed]:
    """Where nodes stand by their own names: a scope with several of them is a part."""
    names = [parts_of(node) for node in nodes]
    shared = shared_parts(names)
    names = [merged(name[shared:]) for name in names]
    crowd = Counter(tuple(name[:length]) for name in names for length in range(1, len(name)))
    depths = [max((k for k in range(1, len(name)) if crowd[tuple(name[:k])] > 1), default=0) for name in names]
    return [Placed(tuple(name[:depth]), "_".join(name[depth:])) for name, depth in zip(names, depths, strict=True)]


def merged(path: Sequence[str]) -> list[str]:
    """A path, of whose inner scopes one is made where they are too many."""
    return [*path[: DEEPEST - 1], "_".join(path[DEEPEST - 1 : -1]), path[-1]] if len(path) > DEEPEST + 1 else list(path)


class Placed(NamedTuple):
    """Where a node stands: the blocks around it, and its key there."""

    part: tuple[str, ...]
    key: str

    @property
    def name(self) -> str:
        """Both in one name."""
        path = [*self.part, self.key]
        return "_".join(["layer", *path] if path[0].isdigit() else path)


def with_keys(place: Placed, taken: Collection[str]) -> Placed:
    """A place whose keys a sequence can have."""
    *part, key = merged([*place.part, place.key])
    return Placed(tuple(key_like(each, taken) for each in part), key_like(key, taken))


def key_like(wanted: str, taken: Collection[str]) -> str:
    """The key itself, if it is a number or can be a key, else one like it."""
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) <= LONGEST_NUMBER
    return wanted if is_number else free_name(wanted[:LONGEST], taken)


def by_blocks(nodes: Sequence[Node], scopes: Mapping[str, str]) -> list[Placed]:
    """Where nodes stand by the blocks of their scopes; what runs between two layers of one block stands there too."""
    around = {"".join(parts[:length]) for parts in map(strokes, scopes) for length in range(1, len(parts))}
    layers = set(scopes) - around
    places = [placed(node.name, scopes, layers) for node in nodes]
    known = [i for i, node in enumerate(nodes) if f"{node.name.removesuffix(RUN)}_" in layers]
    for start, end in pairwise(known):
        part = places[start].part
        for i in range(start + 1, end):
            inside = part == places[end].part and part[: len(places[i].part)] == places[i].part
            places[i] = Placed(part, places[i].key) if inside else places[i]
    return places


def kind_of(part: str) -> str:
    """A part of a name without its number."""
    return part.rstrip("_").rstrip("0123456789")


def strokes(prefix: str) -> list[str]:
    """The parts of a prefix, each with the stroke behind it."""
    return [f"{part}_" for part in prefix.split("_")[:-1]]


def placed(name: str, scopes: Mapping[str, str], layers: Collection[str]) -> Placed:
    """Where a node stands, by the longest prefix of its name that is a block; ``layers`` are those without blocks inside."""
    parts = [f"{part}_" for part in name.removesuffix(RUN).split("_")]
    for length in range(len(parts), 0, -1):
        prefix = "".join(parts[:length])
        if prefix not in scopes:
            continue
        path = tuple(part for part in scopes[prefix].split(".") if part)
        rest = [part.rstrip("_") for part in parts[length:] if part != "_"]
        again = len(rest) == 1 and prefix in layers and kind_of(rest[0]) == kind_of(parts[length - 1])
        if path and (not rest or again):
            return Placed(path[:-1], path[-1])
        if path and prefix in layers:
            return Placed(path[:-1], "_".join(rest if path[-1].isdigit() else [path[-1], *rest]))
        return Placed(path, "_".join(rest) or "layer")
    return Placed((), "_".join(part.rstrip("_") for part in parts if part != "_") or "layer")
