"""What is drawn as one box: a layer with what follows it, a long run of layers, repeated containers.

A box never hides the end of a skip: it folds operations only where nothing but the running value goes in and out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from skipseq.check.graph import Frame, Graph, Node, ValueInfo
from skipseq.check.report import spec_text
from skipseq.wiring import named_by_user

from .labels import bytes_text, colour_of, is_follower, layer_label, shape_text
from .levels import goes_down_and_up, node_levels, value_levels

__all__ = ["Arrow", "Plan", "Row", "Unit", "plan_of"]

#: A network of more operations than this is folded; one of more cards than this has all layers of a run in one box.
MANY, SEVERAL = 40, 12
#: A box lists at most so many layers; of more it tells how many there are of each class.
LINES = 8
#: A network is cut into about so many boxes where it is nothing but layers.
BOXES = 30
#: A pattern of layers in a run has at most this length.
PATTERN = 12


@dataclass(frozen=True, slots=True)
class Row:
    """A line in a box: what it says, in a colour group, and what it says smaller behind it."""

    text: str
    detail: str
    colour: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What is drawn as one box.

    Args:
        positions: the operations in it; -1 for an input, their number for an output.
        kind: ``input``, ``output``, ``join``, ``layers``, ``fold``, or the kind of the one operation.
        rows: its lines.
        shape: of what it gives, as a text.
        tooltip: all about it.
        name: the path of its first operation.
        frames: the containers around it.
        main: whether the running value goes through it.
        level: how far down it is drawn.
        value: the value that an input or output is.
    """

    positions: tuple[int, ...]
    kind: str
    rows: tuple[Row, ...]
    shape: str
    tooltip: str
    name: str
    frames: tuple[int, ...] = ()
    main: bool = True
    level: int = 0
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """A value goes from a unit to another, ``source`` to ``target``; ``giver`` and ``reader`` are the positions in them."""

    value: int
    giver: int
    reader: int
    source: int
    target: int
    main: bool
    join: str
    label: str
    bytes: int | None
    tooltip: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be drawn, before anything has a place."""

    graph: Graph
    units: tuple[Unit, ...]
    arrows: tuple[Arrow, ...]
    down_and_up: bool


def plan_of(graph: Graph, fold: bool = True) -> Plan:
    """The boxes and arrows of a graph; with ``fold``, what repeats in a large network shares a box."""
    levels = value_levels(graph)
    down_and_up = goes_down_and_up(graph, levels)
    at = drawn_levels(graph, node_levels(graph, levels)) if down_and_up else [0] * len(graph.nodes)
    inner = [unit_of(graph, group, at) for group in groups_of(graph, at, fold)]
    inputs = [input_unit(graph, value) for value in reversed(graph.inputs)]
    shown = levels if down_and_up else [0] * len(graph.values)
    outputs = [output_unit(graph, value, shown[value]) for value in dict.fromkeys(graph.results)]
    units = (*inputs, *inner, *sorted(outputs, key=lambda unit: not unit.main))
    return Plan(graph, units, tuple(arrows_of(graph, units)), down_and_up)


def drawn_levels(graph: Graph, levels: list[int]) -> list[int]:
    """The levels of all operations; one that stands aside has the level of the operation that it ends in."""
    found = list(levels)
    for node in reversed(graph.nodes):
        if not node.main:
            readers = [found[k] for value in node.gives for k in graph.values[value].readers if k < len(graph.nodes)]
            found[node.position] = min(readers, default=levels[node.position])
    return found


# Which operations share a box


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that share a box; ``repeats`` tells how often its first ones come, ``parts`` how many containers these are."""

    positions: tuple[int, ...]
    repeats: int = 1
    parts: tuple[Frame, ...] = ()


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
        found.append(Group(tuple(range(chain[1].first, chain[-1].last + 1)), len(chain) - 1, tuple(chain[1:])))
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


# Units


def unit_of(graph: Graph, group: Group, levels: list[int]) -> Unit:
    """The box of a group."""
    nodes = [graph.nodes[position] for position in group.positions]
    first, last = nodes[0], nodes[-1]
    kind = "fold" if group.repeats > 1 or len(nodes) > LINES else "layers" if len(nodes) > 1 else first.kind
    depth = len(group.parts[0].path) if group.parts else len(first.path)
    return Unit(
        positions=group.positions,
        kind=kind,
        rows=tuple(rows_of(nodes, group)),
        shape=shape_of(graph, last, kind),
        tooltip=tooltip_of(graph, nodes, group),
        name=".".join(first.path[:depth]),
        frames=frames_around(graph, group, first),
        main=first.main,
        level=levels[first.position],
    )


def frames_around(graph: Graph, group: Group, first: Node) -> tuple[int, ...]:
    """The containers around all operations of a group."""
    if not group.parts:
        return first.frames
    return tuple(k for k in first.frames if len(graph.frames[k].path) < len(group.parts[0].path))


def rows_of(nodes: Sequence[Node], group: Group) -> Iterator[Row]:
    """The lines of a box."""
    if nodes[0].kind == "join":
        yield Row(nodes[0].operator or "", "", "join")
        return
    if group.parts:
        yield Row(f"{group.repeats} more like it", "", "fold")
        nodes = nodes[: len(nodes) // group.repeats]
        yield from counted(nodes)
        return
    if group.repeats > 1:
        nodes = nodes[: len(nodes) // group.repeats]
        yield Row(f"{group.repeats} times", "", "fold")
    if len(nodes) > LINES:
        if group.repeats == 1:
            yield Row(f"{len(nodes)} layers", "", "fold")
        yield from counted(nodes)
        return
    for node in nodes:
        yield Row(*layer_label(node.text), colour_of(node.kind, node.text))


def counted(nodes: Sequence[Node]) -> Iterator[Row]:
    """How many there are of each class of layer, in the order in which they come."""
    names = [(node.operator or layer_label(node.text)[0], colour_of(node.kind, node.text)) for node in nodes]
    counts = Counter(names)
    for (name, colour), count in list(counts.items())[: LINES if len(counts) <= LINES else LINES - 1]:
        yield Row(name, f"×{count}" if count > 1 else "", colour)
    if len(counts) > LINES:
        yield Row(f"and {len(counts) - LINES + 1} other kinds", "", "fold")


def shape_of(graph: Graph, node: Node, kind: str) -> str:
    """What a box gives, where it says anything new: an addition of equals does not."""
    shape = ", ".join(filter(None, (shape_text(graph.values[value].spec) for value in node.gives)))
    if kind == "join" and node.operator != "cat" and shape in {shape_text(graph.values[value].spec) for value in node.takes}:
        return ""
    return shape


def tooltip_of(graph: Graph, nodes: Sequence[Node], group: Group) -> str:
    """What is written in full about a box."""
    lines = [f"net{node.place}  {node.text}" for node in nodes[:12]]
    lines += [f"and {len(nodes) - 12} more, up to net{nodes[-1].place}"] if len(nodes) > 12 else []
    lines += [f"gives {about(graph, value)}" for value in nodes[-1].gives if graph.values[value].spec is not None]
    parameters = sum(node.parameters for node in nodes)
    lines += [f"{parameters:,} parameters"] if parameters else []
    return "\n".join(lines)


def about(graph: Graph, value: int) -> str:
    """A value: its shape and its size."""
    info = graph.values[value]
    size = graph.bytes_of(info)
    return spec_text(info.spec) + (f", {bytes_text(size)}" if size else "")


def input_unit(graph: Graph, value: int) -> Unit:
    """The box of an input."""
    info = graph.values[value]
    row = Row(info.name, "", "input")
    known = f"{info.name} {about(graph, value)}" if info.spec is not None else f"the input {info.name}"
    main = value == graph.inputs[0]
    return Unit((-1,), "input", (row,), shape_text(info.spec), known, info.name, main=main, value=value)


def output_unit(graph: Graph, value: int, level: int) -> Unit:
    """The box of an output."""
    info = graph.values[value]
    alone = len(set(graph.results)) == 1
    name = "output" if alone else called(info) or "output"
    end = len(graph.nodes)
    main = any(edge.main and edge.value == value for edge in graph.edges if edge.reader == end)
    row = Row(name, "", "output")
    known = f"{name} {about(graph, value)}" if info.spec is not None else f"the output {name}"
    return Unit((end,), "output", (row,), shape_text(info.spec), known, info.name, main=main, level=level, value=value)


# Arrows


def arrows_of(graph: Graph, units: Sequence[Unit]) -> Iterator[Arrow]:
    """The edges between different boxes, each once: what goes twice from one box to another is the running value, if any is."""
    at = {position: k for k, unit in enumerate(units) for position in unit.positions if unit.value is None}
    ends = {(unit.positions[0], unit.value): k for k, unit in enumerate(units) if unit.value is not None}
    found: dict[tuple[int, int, int], Arrow] = {}
    for edge in graph.edges:
        source = at.get(edge.giver, ends.get((edge.giver, edge.value), -1))
        target = at.get(edge.reader, ends.get((edge.reader, edge.value), -1))
        key = (edge.value, source, target)
        if source == target:
            continue
        if key in found:
            found[key] = replace(found[key], main=found[key].main or edge.main)
            continue
        join, label = head(graph, edge.value, edge.reader)
        known = f"{graph.values[edge.value].name} {about(graph, edge.value)}".removesuffix(" ?")
        size = graph.bytes_of(graph.values[edge.value])
        found[key] = Arrow(edge.value, edge.giver, edge.reader, source, target, edge.main, join, label, size, known)
    yield from found.values()


def head(graph: Graph, value: int, reader: int) -> tuple[str, str]:
    """The operator of the join in which a skip ends, and what is written at the head of its arrow."""
    if reader == len(graph.nodes):
        return "", ""
    node, info = graph.nodes[reader], graph.values[value]
    if node.kind == "split":
        return "", ""
    aside = info.giver >= 0 and not graph.nodes[info.giver].main and graph.nodes[info.giver].kind != "split"
    name = "" if aside else called(info, node.text)
    told = f" {name!r}" if name else ""
    if node.kind == "join":
        return node.operator or "", f"{node.operator}{told}"
    if node.kind in ("layer", "pick") and len(node.takes) == 1 and told:
        return "", ("take" if node.main else "via") + told
    return "", told.strip()


def called(info: ValueInfo, text: str = "") -> str:
    """What a value is called: as in a text that reads it, else by the name that was given it last, outside of all parts."""
    lasts = {name: name.rpartition(".")[2] for name in info.names}
    mentioned = [last for last in lasts.values() if repr(last) in text]
    given = [name for name, last in lasts.items() if named_by_user(last)]
    if mentioned or given:
        depth = min((name.count(".") for name in given), default=0)
        return mentioned[0] if mentioned else [lasts[name] for name in given if name.count(".") == depth][-1]
    return info.name if info.name[:1].isalpha() and info.name.rpartition(".")[2].isdigit() else ""
