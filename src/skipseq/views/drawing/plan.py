"""What a picture shows: boxes and the arrows between them, before anything has a place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from skipseq.check.graph import Graph, Node, ValueInfo
from skipseq.check.report import spec_text
from skipseq.wiring import named_by_user

from .folding import LINES, Group, groups_of
from .labels import bytes_text, colour_of, layer_label, shape_text
from .levels import goes_down_and_up, node_levels, value_levels

__all__ = ["Arrow", "Plan", "Row", "Unit", "plan_of"]


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


# Units


def unit_of(graph: Graph, group: Group, levels: list[int]) -> Unit:
    """The box of a group."""
    nodes = [graph.nodes[position] for position in group.positions]
    first, last = nodes[0], nodes[-1]
    kind = "fold" if group.repeats > 1 or len(nodes) > LINES else "layers" if len(nodes) > 1 else first.kind
    depth = len(group.like.path) if group.like else len(first.path)
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
    if group.like is None:
        return first.frames
    return tuple(k for k in first.frames if len(graph.frames[k].path) < len(group.like.path))


def rows_of(nodes: Sequence[Node], group: Group) -> Iterator[Row]:
    """The lines of a box."""
    if nodes[0].kind == "join":
        yield Row(nodes[0].operator or "", "", "join")
        return
    if group.like is not None:
        yield Row(f"{group.repeats} more like {group.like.name}", "", "fold")
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
