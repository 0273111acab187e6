"""Reads a drawing as a person does, from the places of boxes and lines alone, and compares what it shows with a graph."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from skipseq.check.graph import Graph
from skipseq.views.drawing.drawing import Drawing
from skipseq.views.drawing.labels import text_width

SVG = "{http://www.w3.org/2000/svg}"

# What is drawn, by eye: positions and sizes, no attributes that tell what is meant


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def overlaps(self, other: Rect, by: float = 0.0) -> bool:
        return (
            self.x < other.right - by
            and other.x < self.right - by
            and self.y < other.bottom - by
            and other.y < self.bottom - by
        )

    def holds(self, other: Rect) -> bool:
        return self.x <= other.x and self.y <= other.y and other.right <= self.right and other.bottom <= self.bottom

    def touches(self, point: tuple[float, float]) -> bool:
        """Whether a point lies on the outline."""
        x, y = point
        near = self.x - 0.6 <= x <= self.right + 0.6 and self.y - 0.6 <= y <= self.bottom + 0.6
        inside = self.x + 0.6 < x < self.right - 0.6 and self.y + 0.6 < y < self.bottom - 0.6
        return near and not inside


@dataclass(frozen=True)
class Box:
    rect: Rect
    positions: tuple[int, ...]
    value: int | None
    kind: str
    texts: tuple[Rect, ...]


@dataclass(frozen=True)
class Line:
    corners: tuple[tuple[float, float], ...]
    tip: tuple[float, float]
    value: int
    main: bool

    def segments(self) -> Iterator[Rect]:
        points = (*self.corners, self.tip)
        for (x, y), (u, v) in pairwise(points):
            assert abs(x - u) < 0.2 or abs(y - v) < 0.2, "lines go across or up and down"
            yield Rect(min(x, u), min(y, v), abs(x - u), abs(y - v))


@dataclass(frozen=True)
class Scene:
    paper: Rect
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    frames: tuple[tuple[int, Rect], ...]
    labels: tuple[Rect, ...]

    def box_at(self, point: tuple[float, float]) -> Box:
        touched = [box for box in self.boxes if box.rect.touches(point)]
        assert len(touched) == 1, f"{point} touches {len(touched)} boxes"
        return touched[0]


def look(svg: str) -> Scene:
    """What is to be seen in an SVG."""
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    heads = [e for e in root.iter(f"{SVG}path") if e.get("class") == "head"]
    edges = [e for e in root.iter(f"{SVG}path") if e.get("class", "").startswith("edge")]
    groups = list(root.iter(f"{SVG}g"))
    return Scene(
        Rect(0, 0, width, height),
        tuple(box_of(group) for group in groups if group.get("class") == "node"),
        tuple(line_of(edge, head) for edge, head in zip(edges, heads, strict=True)),
        tuple(
            (int(g.get("data-frame", "")), rect_of(each))
            for g in groups
            if g.get("class") == "frame"
            for each in g.iter(f"{SVG}rect")
        ),
        tuple(text_rect(e) for e in root.iter(f"{SVG}text") if e.get("class") == "label"),
    )


def rect_of(element: ET.Element) -> Rect:
    return Rect(*(float(element.get(key, "")) for key in ("x", "y", "width", "height")))


def box_of(group: ET.Element) -> Box:
    outline = next(e for e in group.iter(f"{SVG}rect") if e.get("class") == "box")
    positions = tuple(map(int, group.get("data-node", "").split()))
    value = group.get("data-value")
    texts = tuple(text_rect(e) for e in group.iter(f"{SVG}text"))
    return Box(rect_of(outline), positions, None if value is None else int(value), group.get("data-kind", ""), texts)


def text_rect(element: ET.Element) -> Rect:
    size = float(element.get("font-size", ""))
    width = text_width("".join(element.itertext()), size)
    x, y = float(element.get("x", "")), float(element.get("y", ""))
    left = {"end": x - width, "middle": x - width / 2}.get(element.get("text-anchor", ""), x)
    return Rect(left, y - size * 0.75, width, size)


def line_of(edge: ET.Element, head: ET.Element) -> Line:
    """A line by its corners: a round corner stands where its two straight parts would meet."""
    corners = []
    for command, numbers in re.findall(r"([MLQ])([^MLQ]+)", edge.get("d", "")):
        each = [float(n) for n in numbers.split()]
        if command != "L" or not corners:
            corners.append((each[0], each[1]))
    last = [float(n) for n in re.findall(r"-?[\d.]+", edge.get("d", ""))][-2:]
    tip = tuple(float(n) for n in re.findall(r"-?[\d.]+", head.get("d", ""))[:2])
    assert abs(last[0] - tip[0]) + abs(last[1] - tip[1]) < 16, "a head sits at the end of its line"
    return Line(tuple(corners), (tip[0], tip[1]), int(edge.get("data-value", "")), "main" in edge.get("class", ""))


# What must be true of every picture


def check_picture(graph: Graph) -> Scene:
    """Reads a picture back and compares it with its graph; returns what is to be seen."""
    drawing = Drawing(graph)
    scene = look(drawing.svg)
    check_places(scene)
    check_boxes(graph, scene)
    check_edges(graph, scene)
    check_frames(graph, scene)
    check_lines(scene)
    check_text_forms(graph, drawing)
    return scene


def check_places(scene: Scene) -> None:
    """No boxes overlap, texts are in their boxes, and all is on the paper."""
    for k, box in enumerate(scene.boxes):
        assert scene.paper.holds(box.rect)
        assert not any(box.rect.overlaps(other.rect) for other in scene.boxes[:k])
        assert all(box.rect.holds(text) for text in box.texts), box
    for label in scene.labels:
        assert scene.paper.holds(label)
        assert not any(label.overlaps(box.rect, 0.5) for box in scene.boxes), label
    for line in scene.lines:
        assert all(scene.paper.holds(segment) for segment in line.segments())
    assert all(scene.paper.holds(rect) for _, rect in scene.frames)


def check_boxes(graph: Graph, scene: Scene) -> None:
    """Each operation is in exactly one box, each input and output has one; only a box of repeated parts hides a skip."""
    inner = [position for box in scene.boxes if box.value is None for position in box.positions]
    assert sorted(inner) == list(range(len(graph.nodes)))
    ends = [(*box.positions, box.value) for box in scene.boxes if box.value is not None]
    end = len(graph.nodes)
    assert sorted(ends) == sorted([(-1, v) for v in graph.inputs] + [(end, v) for v in dict.fromkeys(graph.results)])
    for box in scene.boxes:
        inside = set(box.positions)
        joined = any(graph.nodes[p].kind == "join" for p in inside if 0 <= p < end)
        if len(inside) > 1 and not joined:
            for edge in graph.edges:
                if edge.giver in inside and edge.reader in inside:
                    assert edge.reader == edge.giver + 1
        if joined and len(inside) > 1:
            assert box.kind == "fold"


def check_edges(graph: Graph, scene: Scene) -> None:
    """The lines, from the boxes that they touch, are the edges of the graph."""

    def name(box: Box) -> tuple[Any, ...]:
        return (box.positions[0], box.value)

    names = {position: name(box) for box in scene.boxes if box.value is None for position in box.positions}
    known = {name(box) for box in scene.boxes}
    meant: dict[tuple[Any, ...], bool] = {}
    for edge in graph.edges:
        giver = names.get(edge.giver, (-1, edge.value))
        reader = names.get(edge.reader, (len(graph.nodes), edge.value))
        assert {giver, reader} <= known
        if giver != reader:
            key = (edge.value, giver, reader)
            meant[key] = meant.get(key, False) or edge.main
    seen = {(line.value, name(scene.box_at(line.corners[0])), name(scene.box_at(line.tip))): line.main for line in scene.lines}
    assert len(seen) == len(scene.lines)
    assert seen == meant


def check_frames(graph: Graph, scene: Scene) -> None:
    """A box is in the frames of its containers, and in no other."""
    for number, rect in scene.frames:
        for box in scene.boxes:
            inside = box.value is None and all(number in graph.nodes[p].frames for p in box.positions)
            if not inside:
                assert not rect.overlaps(box.rect)
    for number in {number for number, _ in scene.frames}:
        rects = [rect for k, rect in scene.frames if k == number]
        for box in scene.boxes:
            if box.value is None and number in graph.nodes[box.positions[0]].frames:
                assert any(rect.holds(box.rect) for rect in rects)


def check_lines(scene: Scene) -> None:
    """No line passes through a box, and two lines run along each other only if they carry one value from one box."""
    parts = [(line, segment) for line in scene.lines for segment in line.segments()]
    for line, segment in parts:
        for box in scene.boxes:
            assert not segment.overlaps(box.rect, 0.6), (line, box)
    for (line, one), (other, two) in combinations(parts, 2):
        if run_along(one, two) and line is not other:
            assert line.corners[0] == other.corners[0], (line, other)
            assert line.value == other.value, (line, other)


def run_along(one: Rect, two: Rect) -> bool:
    across = min(one.right, two.right) - max(one.x, two.x)
    down = min(one.bottom, two.bottom) - max(one.y, two.y)
    flat = one.height < 0.2 and two.height < 0.2 and abs(one.y - two.y) < 2 and across > 2
    upright = one.width < 0.2 and two.width < 0.2 and abs(one.x - two.x) < 2 and down > 2
    return flat or upright


def check_text_forms(graph: Graph, drawing: Drawing) -> None:
    """DOT and Mermaid have the same arrows between the same boxes."""
    plan = drawing._picture.plan
    arrows = sorted((arrow.source, arrow.target) for arrow in plan.arrows)
    texts = {number: unit.rows[0].text for number, unit in enumerate(plan.units)}
    for text in (drawing.dot, drawing.mermaid):
        assert (
            sorted((int(a), int(b)) for a, b in re.findall(r"^\s*n(\d+) (?:->|-->|==>)[^n]*?n(\d+)", unquoted(text), re.M))
            == arrows
        )
        assert sorted(int(n) for n in re.findall(r"^\s*n(\d+)[\[\( ]+(?:label=)?\"", text, re.M)) == sorted(texts)
    assert drawing.dot.count("{") == drawing.dot.count("}")
    opened = len(re.findall(r"^\s*subgraph", drawing.mermaid, re.M))
    assert opened == len(re.findall(r"^\s*end$", drawing.mermaid, re.M)) == drawing.dot.count("subgraph")


def unquoted(text: str) -> str:
    return re.sub(r'"(\\.|[^"\\])*"', "", text).replace("||", "")
