"""Which operations are drawn as one box: a layer with what follows it, a long run of layers, repeated containers.

A box never hides the end of a skip: it folds operations only where nothing but the running value goes in and out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from skipseq.check.graph import Frame, Graph, Node

from .labels import colour_of, is_follower

__all__ = ["LINES", "Group", "groups_of"]

#: A network of more operations than this is folded; one of more cards than this has all layers of a run in one box.
MANY, SEVERAL = 40, 12
#: A box lists at most so many layers; of more it tells how many there are of each class.
LINES = 8
#: A network is cut into about so many boxes where it is nothing but layers.
BOXES = 30
#: A pattern of layers in a run has at most this length.
PATTERN = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that share a box; ``repeats`` tells how often its first ones come, and ``like`` the container they repeat."""

    positions: tuple[int, ...]
    repeats: int = 1
    like: Frame | None = None


def groups_of(graph: Graph, levels: list[int], fold: bool) -> Iterator[Group]:
    """The operations by boxes, in order."""
    many = fold and len(graph.nodes) > MANY
    folded = {group.positions[0]: group for group in repeated_parts(graph)} if many else {}
    hidden = {position for group in folded.values() for position in group.positions}
    visible = len(graph.nodes) - len(hidden) if fold else min(len(graph.nodes), MANY)
    run: list[Node] = []
    for node in graph.nodes:
        if node.position in hidden or not run or not follows(graph, run[-1], node, levels):
            yield from groups_of_run(run, visible)
            run = []
        if node.position in folded:
            yield folded[node.position]
        elif node.position not in hidden:
            run.append(node)
    yield from groups_of_run(run, visible)


def follows(graph: Graph, node: Node, after: Node, levels: list[int]) -> bool:
    """Whether an operation does nothing but take what the one before it gives to nobody else, in the same place."""
    simple = all(each.kind in ("layer", "pick") for each in (node, after)) and node.main == after.main
    if not simple or after.position != node.position + 1 or node.frames != after.frames:
        return False
    alone = {*after.takes} == {*node.gives} and graph.values[node.gives[0]].readers == (after.position,)
    return alone and levels[node.position] == levels[after.position]


def groups_of_run(run: Sequence[Node], visible: int) -> Iterator[Group]:
    """A run of layers by boxes: a layer with its normalisation and activation, or more in a long network."""
    if visible <= MANY:
        yield from filled(cards(run), LINES if visible > SEVERAL else 1)
        return
    limit = max(LINES, ceil(visible / BOXES))
    for piece, repeats in repetitions([node.text for node in run]):
        nodes = [run[k] for k in piece]
        if repeats > 1:
            yield Group(tuple(node.position for node in nodes), repeats)
        else:
            yield from filled(cards(nodes), limit)


def cards(run: Sequence[Node]) -> Iterator[list[Node]]:
    """A run, cut before each layer that has weights, or that is no normalisation, activation or dropout."""
    card: list[Node] = []
    heavy = False
    for node in run:
        light = is_follower(colour_of(node.kind, node.text))
        if card and heavy and not light:
            yield card
            card, heavy = [], False
        card.append(node)
        heavy = heavy or not light
    if card:
        yield card


def filled(pieces: Iterator[list[Node]], limit: int) -> Iterator[Group]:
    """Cards put together until a box is full."""
    box: list[int] = []
    for piece in pieces:
        if box and len(box) + len(piece) > limit:
            yield Group(tuple(box))
            box = []
        box += [node.position for node in piece]
    if box:
        yield Group(tuple(box))


def repetitions(texts: Sequence[str]) -> Iterator[tuple[range, int]]:
    """A run, cut into stretches that repeat a pattern three times or more, and what is between them."""
    start = at = 0
    while at < len(texts):
        length, count = best_pattern(texts, at)
        if count < 3:
            at += 1
            continue
        if at > start:
            yield range(start, at), 1
        yield range(at, at + length * count), count
        start = at = at + length * count
    if at > start:
        yield range(start, at), 1


def best_pattern(texts: Sequence[str], at: int) -> tuple[int, int]:
    """The length of the pattern that begins here and goes farthest, and how often it comes."""
    best = (1, 1)
    for length in range(1, PATTERN + 1):
        count = 1
        pattern = texts[at : at + length]
        while texts[at + length * count : at + length * (count + 1)] == pattern:
            count += 1
        if count > 2 and length * count > best[0] * best[1]:
            best = (length, count)
    return best


# Repeated containers


def repeated_parts(graph: Graph) -> list[Group]:
    """Of containers that are equal and follow each other, all but the first: two or more of them share a box."""
    found: list[Group] = []
    covered = -1
    for chain in chains(graph):
        if len(chain) < 3 or chain[1].first <= covered:
            continue
        covered = chain[-1].last
        found.append(Group(tuple(range(chain[1].first, chain[-1].last + 1)), len(chain) - 1, chain[0]))
    return found


def chains(graph: Graph) -> Iterator[list[Frame]]:
    """Frames in which only the running value goes in and out, outer ones first, each with the equal ones behind it."""
    closed = [frame for frame in graph.frames if is_closed(graph, frame)]
    for depth in sorted({len(frame.path) for frame in closed}):
        chain: list[Frame] = []
        for frame in (each for each in closed if len(each.path) == depth):
            if chain and not (
                frame.first == chain[-1].last + 1
                and frame.path[:-1] == chain[-1].path[:-1]
                and signature(graph, frame) == signature(graph, chain[-1])
            ):
                yield chain
                chain = []
            chain.append(frame)
        yield chain


def is_closed(graph: Graph, frame: Frame) -> bool:
    """Whether one value goes in, to the first operation as the running value, and one comes out of the last operation."""
    inside = graph.nodes[frame.first : frame.last + 1]
    first, last = inside[0], inside[-1]
    comes_in = {value for node in inside for value in node.takes if graph.values[value].giver < frame.first}
    goes_out = {
        value for node in inside for value in node.gives if any(reader > frame.last for reader in graph.values[value].readers)
    }
    enters = len(comes_in) == 1 and comes_in <= set(first.takes) and graph.values[min(comes_in)].giver == frame.first - 1
    return first.main and last.main and enters and goes_out <= set(last.gives)


def signature(graph: Graph, frame: Frame) -> tuple[object, ...]:
    """All that is drawn of a container, without its place."""
    inside = graph.nodes[frame.first : frame.last + 1]
    depth = len(frame.path)

    def source(value: int) -> tuple[int, int] | None:
        giver = graph.values[value].giver
        return (giver - frame.first, graph.nodes[giver].gives.index(value)) if giver >= frame.first else None

    return tuple((node.path[depth:], node.text, node.main, tuple(map(source, node.takes))) for node in inside)
