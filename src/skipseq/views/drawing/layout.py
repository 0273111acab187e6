"""Where everything in a picture is: boxes, arrows and frames with their coordinates in pixels, as frozen data.

Across is the order in which the operations run. Down is the resolution, where the network goes down and up again, so that it
has the shape of a U; else the running value goes straight, and what is skipped goes in arcs above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipseq.check.graph import Graph

from .boxes import PAD, Box, Placed, TextLine, frame_heights, place_boxes
from .labels import clipped, text_width
from .plan import Arrow, Plan, Unit, plan_of
from .routes import LABEL, Blocked, Route, Way, ways, with_ports

__all__ = ["DrawnArrow", "DrawnBox", "DrawnFrame", "Picture", "lay_out"]

#: Distances in pixels: around the picture, above and below a row, between arcs, and the height of a frame's title.
MARGIN, AIR, LANE, TITLE = 18.0, 13.0, 6.0, 15.0
#: The height of a label.
LABEL_LINE = 12.0


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box: its left, top, width and height, and in which line of a broken picture it stands."""

    unit: Unit
    x: float
    y: float
    width: float
    height: float
    lines: tuple[TextLine, ...]
    line: int


@dataclass(frozen=True, slots=True)
class DrawnArrow:
    """An arrow through ``points``; its label ends at ``label_at``, and ``hue`` tells skips of different values apart."""

    arrow: Arrow
    points: tuple[tuple[float, float], ...]
    thickness: float
    hue: int
    label_at: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class DrawnFrame:
    """A container around its boxes; ``number`` is its place in ``Graph.frames``."""

    number: int
    x: float
    y: float
    width: float
    height: float
    title: str
    depth: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A network with a place for everything."""

    plan: Plan
    width: float
    height: float
    boxes: tuple[DrawnBox, ...]
    arrows: tuple[DrawnArrow, ...]
    frames: tuple[DrawnFrame, ...]


def lay_out(graph: Graph, fold: bool = True) -> Picture:
    """The picture of a graph; with ``fold``, what repeats in a large network shares a box."""
    plan = plan_of(graph, fold)
    try:
        placed = place_boxes(plan, True)
        found = ways(plan, placed)
    except Blocked:
        placed = place_boxes(plan, False)
        found = ways(plan, placed)
    with_ports(placed.boxes, [route for way in found for route in way.routes])
    return Sheet(plan, placed, found).picture()


@dataclass(slots=True)
class Item:
    """Something in a gutter: an arc or the title of a frame, from left to right; ``base`` is its distance from the row."""

    left: float
    right: float
    height: float
    order: float
    base: float = 0.0


@dataclass(slots=True)
class FramePlace:
    """A frame: its boxes, how many frames it holds on top of each other, its rows, and its title in a gutter."""

    number: int
    boxes: list[Box]
    nested: int
    item: Item

    @property
    def rows(self) -> tuple[int, int]:
        """Its highest and its lowest row."""
        return min(box.row for box in self.boxes), max(box.row for box in self.boxes)


class Sheet:
    """Turns rows and gutters into pixels."""

    def __init__(self, plan: Plan, placed: Placed, found: list[Way]) -> None:
        self.plan = plan
        self.boxes = placed.boxes
        self.rows = placed.rows
        self.ways = found
        self.frames = frame_places(plan, placed.boxes)
        self.lanes = {id(route): arc_item(route) for way in found for route in way.routes if route.level % 2 == 0}
        self.returns = {id(way): return_item(way) for way in found if len(way.routes) > 1}
        heights = [self.stacked(gutter) for gutter in range(self.rows + 1)]
        self.tops, self.bottoms = self.row_edges(heights)
        for box in self.boxes:
            box.y = (self.tops[box.row] + self.bottoms[box.row] - box.height) / 2

    def stacked(self, gutter: int) -> float:
        """Puts what is in a gutter on top of each other, what is short first; returns the height that it needs."""
        items = [self.lanes[id(route)] for way in self.ways for route in way.routes if route.level == 2 * gutter]
        items += [self.returns[id(way)] for way in self.ways if len(way.routes) > 1 and way.gutter == 2 * gutter]
        items += [frame.item for frame in self.frames if frame.rows[0] == gutter]
        placed: list[Item] = []
        for item in sorted(items, key=lambda each: (each.order, each.right - each.left, each.left)):
            below = [each.base + each.height for each in placed if each.left < item.right and item.left < each.right]
            item.base = max(below, default=item.base)
            placed.append(item)
        return max((item.base + item.height for item in placed), default=0.0)

    def row_edges(self, heights: list[float]) -> tuple[list[float], list[float]]:
        """The top and the bottom of each row."""
        tops, bottoms = [], []
        y = MARGIN
        for row in range(self.rows):
            between = any(box.row in (row - 1, row) for box in self.boxes) and row > 0
            y += self.frame_room(row - 1) + max(heights[row], AIR if between else 0.0) + (AIR / 2 if between else 0.0)
            tops.append(y)
            y += max((box.height for box in self.boxes if box.row == row), default=0.0)
            bottoms.append(y)
        self.height = y + self.frame_room(self.rows - 1) + heights[-1] + MARGIN
        return tops, bottoms

    def frame_room(self, row: int) -> float:
        """How far the frames reach below a row."""
        return max((PAD * frame.nested for frame in self.frames if frame.rows[1] == row), default=0.0)

    # Pixels

    def picture(self) -> Picture:
        """The picture, moved so that it begins at its margin."""
        hues = {value: k for k, value in enumerate(dict.fromkeys(w.arrow.value for w in self.ways if not w.arrow.main))}
        arrows = [self.drawn_arrow(way, hues) for way in sorted(self.ways, key=lambda way: way.arrow.main)]
        frames = [self.drawn_frame(frame) for frame in self.frames]
        boxes = [DrawnBox(box.unit, box.x, box.y, box.width, box.height, box.lines, box.line) for box in self.boxes]
        across = [x for each in arrows for x, _ in each.points]
        left = min([*(box.x for box in boxes), *(frame.x for frame in frames), *map(label_left, arrows), *across], default=0)
        right = max([*(box.right for box in self.boxes), *(frame.x + frame.width for frame in frames), *across], default=0)
        moved = MARGIN - left
        return Picture(
            self.plan,
            right + moved + MARGIN,
            self.height,
            tuple(shifted_box(box, moved) for box in boxes),
            tuple(shifted_arrow(arrow, moved) for arrow in arrows),
            tuple(shifted_frame(frame, moved) for frame in frames),
        )

    def drawn_arrow(self, way: Way, hues: dict[int, int]) -> DrawnArrow:
        """An arrow in pixels."""
        first, last = way.routes[0], way.routes[-1]
        y = self.height_of(last)
        points = self.touch(first.source, first.from_side, first.start, self.height_of(first))
        if first is not last:
            right, left = way.margins
            lane = self.tops[way.gutter // 2] - self.returns[id(way)].base - LANE / 2 - first.width / 2
            points += [(right, self.height_of(first)), (right, lane), (left, lane), (left, y)]
        points += reversed(self.touch(last.target, last.to_side, last.end, y))
        hue = -1 if way.arrow.main else hues[way.arrow.value]
        label = (last.end - 9, y - last.width / 2 - 3) if shown_label(last) else None
        return DrawnArrow(way.arrow, tuple(without_repeats(points)), last.width, hue, label)

    def height_of(self, route: Route) -> float:
        """Where an arrow goes across."""
        row, in_row = divmod(route.level, 2)
        if in_row:
            return (self.tops[row] + self.bottoms[row]) / 2
        item = self.lanes[id(route)]
        if row == self.rows:
            return self.bottoms[-1] + self.frame_room(self.rows - 1) + item.base + item.height
        return self.tops[row] - item.base - LANE / 2 - route.width / 2

    def touch(self, box: Box | None, where: str, x: float, y: float) -> list[tuple[float, float]]:
        """The points from a box to the height at which an arrow goes across."""
        assert box is not None
        if where in ("left", "right"):
            return [(box.x if where == "left" else box.right, y)]
        return [(x, box.y if where == "top" else box.y + box.height), (x, y)]

    def drawn_frame(self, frame: FramePlace) -> DrawnFrame:
        """A frame in pixels."""
        first, last = frame.rows
        top = self.tops[first] - frame.item.base - frame.item.height
        bottom = self.bottoms[last] + PAD * frame.nested
        width = frame.item.right - frame.item.left
        title = frame_title(self.plan.graph, frame.number, width - 10)
        depth = len(self.plan.graph.frames[frame.number].path)
        return DrawnFrame(frame.number, frame.item.left, top, width, bottom - top, title, depth)


def frame_places(plan: Plan, boxes: Sequence[Box]) -> list[FramePlace]:
    """The frames that hold boxes, outer ones first, each once for each line."""
    found = []
    for number, nested in sorted(frame_heights(plan).items()):
        within = [box for box in boxes if number in box.unit.frames]
        for line in sorted({box.line for box in within}):
            inside = [box for box in within if box.line == line]
            left = min(box.x for box in inside) - PAD * nested
            right = max(box.right for box in inside) + PAD * nested
            # A frame lies above the arcs that pass fewer boxes than it holds.
            found.append(FramePlace(number, inside, nested, Item(left, right, TITLE, len(inside) - 0.5, 5.0)))
    return found


def return_item(way: Way) -> Item:
    """The room that an arrow to a later line takes in the gutter above that line; the running value lies above the skips."""
    right, left = way.margins
    order = 1e6 + way.arrow.main
    return Item(left, right, LANE + way.routes[0].width + 4, order, AIR)


def arc_item(route: Route) -> Item:
    """The room that an arc takes in its gutter, with its label."""
    width = text_width(route.arrow.label, LABEL) + 14 if shown_label(route) else 0.0
    left, right = sorted((route.start, route.end))
    half = route.width / 2 + 1
    passed = max(route.arrow.target - route.arrow.source - 1, 0)
    height = LANE + route.width + (LABEL_LINE if width else 0.0)
    return Item(min(left, right - width) - half, right + half, height, passed, AIR - LANE / 2)


def shown_label(route: Route) -> bool:
    """Whether something is written at the head of an arrow."""
    return bool(route.arrow.label) and not route.arrow.main and route.target is not None


def label_left(arrow: DrawnArrow) -> float:
    """Where the label of an arrow begins."""
    if arrow.label_at is None:
        return arrow.points[0][0]
    return arrow.label_at[0] - text_width(arrow.arrow.label, LABEL)


def frame_title(graph: Graph, number: int, width: float) -> str:
    """The name of a container, with its class if that says something and there is room."""
    frame = graph.frames[number]
    key = frame.path[-1]
    long = key if frame.text == "Sequential" else f"{key} · {frame.text}"
    return long if text_width(long, LABEL) <= width else clipped(key, width, LABEL)


def without_repeats(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a line, each that is equal to the one before it left out."""
    return [point for k, point in enumerate(points) if k == 0 or point != points[k - 1]]


def shifted_box(box: DrawnBox, by: float) -> DrawnBox:
    return DrawnBox(box.unit, box.x + by, box.y, box.width, box.height, box.lines, box.line)


def shifted_arrow(arrow: DrawnArrow, by: float) -> DrawnArrow:
    points = tuple((x + by, y) for x, y in arrow.points)
    label = (arrow.label_at[0] + by, arrow.label_at[1]) if arrow.label_at else None
    return DrawnArrow(arrow.arrow, points, arrow.thickness, arrow.hue, label)


def shifted_frame(frame: DrawnFrame, by: float) -> DrawnFrame:
    return DrawnFrame(frame.number, frame.x + by, frame.y, frame.width, frame.height, frame.title, frame.depth)
