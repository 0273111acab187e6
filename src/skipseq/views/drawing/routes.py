"""Which way each arrow takes.

Between two boxes an arrow goes up or down in the column of the first, across, and up or down in the column of the second.
Across it goes through the middle of a row, where that is free, or through the gutter above or below a row, where no box
ever is. So no arrow goes through a box. Heights are counted in half rows here: row ``r`` is ``2r + 1``, the gutter above it
``2r``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from .boxes import PAD, PORT, Box, Placed
from .labels import text_width
from .plan import Arrow, Plan

__all__ = ["LABEL", "Blocked", "Port", "Route", "Way", "thickness", "ways", "with_ports"]

#: What a way costs: each row of distance, each crossing of another arrow, each frame of others, and a gutter.
ROW, CROSSING, FOREIGN, GUTTER, BELOW = 1.0, 1.1, 1.5, 0.6, 0.1
#: Arrows in one row keep this distance, in pixels.
APART = 8.0
#: The size of the letters at the heads of skips.
LABEL = 10.0


class Blocked(Exception):
    """No way is free."""


@dataclass(slots=True)
class Route:
    """The way of an arrow across one line: at the height ``level`` between two ``x``, which are those of its ports later.

    An arrow to a later line has two: to the right margin, where it has no target, and from the left one, without a source.
    """

    arrow: Arrow
    source: Box | None
    target: Box | None
    level: int
    start: float
    end: float
    width: float
    #: Its parts that go up or down: where, between which heights, and at which box.
    verticals: tuple[tuple[float, int, int, Box], ...] = ()

    def __post_init__(self) -> None:
        found = []
        for x, box in ((self.start, self.source), (self.end, self.target)):
            if box is not None and self.level != middle(box):
                found.append((x, min(self.level, middle(box)), max(self.level, middle(box)), box))
        self.verticals = tuple(found)

    @property
    def from_side(self) -> str:
        """The side of the box in which it begins."""
        return side(self.source, self.level, "right")

    @property
    def to_side(self) -> str:
        """The side of the box in which it ends."""
        return side(self.target, self.level, "left")


@dataclass(slots=True)
class Way:
    """An arrow: one route; or two, and between them the ``margins`` right and left and the gutter above the second line."""

    arrow: Arrow
    routes: list[Route]
    margins: tuple[float, float] = (0.0, 0.0)
    gutter: int = 0


def middle(box: Box) -> int:
    """The height of a box."""
    return 2 * box.row + 1


def side(box: Box | None, level: int, level_side: str) -> str:
    """The side of a box at which an arrow touches it that goes across at a height."""
    if box is None:
        return "margin"
    return level_side if level == middle(box) else "top" if level < middle(box) else "bottom"


def thickness(arrow: Arrow, usual: float) -> float:
    """How thick an arrow is: the running value alike, a skip by its bytes from 1.5 to 6 pixels, thin where they are unknown."""
    if arrow.main or not arrow.bytes:
        return 1.5
    return round(min(max(1.5, 3.0 + 0.75 * (log2(arrow.bytes) - usual)), 6.0), 1)


def usual_size(arrows: Sequence[Arrow]) -> float:
    """The mean of the logarithms of the bytes of all skips."""
    known = [log2(arrow.bytes) for arrow in arrows if arrow.bytes and not arrow.main]
    return sum(known) / len(known) if known else 0.0


def ways(plan: Plan, placed: Placed) -> list[Way]:
    """A way for each arrow, the running value first, then short ones before long ones.

    Raises:
        Blocked: if an arrow finds none.
    """
    found: list[Route] = []
    result = []
    search = Search(placed, found)
    usual = usual_size(plan.arrows)
    tracks = margin_tracks(plan, placed.boxes)
    edges = min(left for left, _ in search.reaches()), max(right for _, right in search.reaches())
    order = sorted(plan.arrows, key=lambda arrow: (not arrow.main, arrow.target - arrow.source, arrow.source, arrow.target))
    for arrow in order:
        source, target = placed.boxes[arrow.source], placed.boxes[arrow.target]
        width = thickness(arrow, usual)
        if source.line == target.line:
            result.append(Way(arrow, [search.best(arrow, source, target, 0.0, 0.0, width)]))
            continue
        step = 12.0 * tracks[arrow] + 22.0
        # The running value is the outer one at the left, and the inner one at the right, so that it crosses no skip.
        right, left = edges[1] + step, edges[0] - 22.0 - 12.0 * (max(tracks.values()) - tracks[arrow])
        routes = [search.best(arrow, source, None, 0.0, right, width), search.best(arrow, None, target, left, 0.0, width)]
        result.append(Way(arrow, routes, (right, left), 2 * placed.lines[target.line][0]))
    return result


def margin_tracks(plan: Plan, boxes: Sequence[Box]) -> dict[Arrow, int]:
    """The place in the margins of each arrow that goes to a later line: those of one break have different ones."""
    taken: list[set[int]] = [set() for _ in boxes]
    tracks = {}
    for arrow in sorted(plan.arrows, key=lambda arrow: (not arrow.main, arrow.target - arrow.source)):
        breaks = range(boxes[arrow.source].line, boxes[arrow.target].line)
        if breaks:
            used = set().union(*(taken[k] for k in breaks))
            tracks[arrow] = min(set(range(len(used) + 1)) - used)
            for k in breaks:
                taken[k].add(tracks[arrow])
    return tracks


class Search:
    """Looks for the best way among the boxes and the ways that were found before."""

    def __init__(self, placed: Placed, found: list[Route]) -> None:
        self.placed = placed
        self.found = found
        self.spans = frame_spans(placed.boxes)

    def reaches(self) -> list[tuple[float, float]]:
        """From where to where the boxes and their frames reach."""
        heights = max((len(box.unit.frames) for box in self.placed.boxes), default=0) * PAD
        return [(box.x - heights, box.right + heights) for box in self.placed.boxes]

    def best(self, arrow: Arrow, source: Box | None, target: Box | None, start: float, end: float, width: float) -> Route:
        """The best free way; ``start`` and ``end`` are where it begins and ends without a box.

        Raises:
            Blocked: if none is free.
        """
        known = [box for box in (source, target) if box is not None]
        first, last = self.placed.lines[known[0].line]
        choices = []
        for level in range(2 * first, 2 * last + 3):
            if level % 2 == 0 or level in map(middle, known):
                begin = start if source is None else source.right if level == middle(source) else source.centre
                stop = end if target is None else target.x if level == middle(target) else target.centre
                choices.append(Route(arrow, source, target, level, begin, stop, width))
        free = [route for route in choices if is_free(route, self.placed.boxes, self.found)]
        if not free:
            raise Blocked
        self.found.append(min(free, key=lambda route: cost(route, self.found, self.spans)))
        return self.found[-1]


def is_free(route: Route, boxes: Sequence[Box], found: Sequence[Route]) -> bool:
    """Whether a way goes through no box and along no other arrow."""
    others = [box for box in boxes if box is not route.source and box is not route.target]
    if route.level % 2:
        if route.end - route.start < room(route):
            return False
        if any(middle(box) == route.level and box.x < route.end + APART and route.start - APART < box.right for box in others):
            return False
        if any(each.level == route.level and overlap(each, route) for each in found):
            return False
    if any(
        low < middle(box) < high and box.x - APART < x < box.right + APART
        for x, low, high, _ in route.verticals
        for box in others
    ):
        return False
    return not any(one_above_the_other(route, each) for each in found)


def one_above_the_other(one: Route, other: Route) -> bool:
    """Whether two arrows could go up or down along each other: at boxes one of which hangs over the other."""
    return any(
        box is not beside and box.x < beside.right and beside.x < box.right and low <= top and bottom <= high
        for _, low, high, box in one.verticals
        for _, bottom, top, beside in other.verticals
    )


def room(route: Route) -> float:
    """The length that an arrow needs in the middle of a row: a skip has to be as long as its label."""
    return APART if route.arrow.main else APART + 8 + text_width(route.arrow.label, LABEL)


def overlap(one: Route, other: Route) -> bool:
    """Whether two arrows in the middle of the same row would touch each other."""
    return one.start < other.end + APART and other.start < one.end + APART


def cost(route: Route, found: Sequence[Route], spans: Sequence[tuple[float, float, int, int, set[int]]]) -> float:
    """How much a way costs."""
    rows = sum(high - low for _, low, high, _ in route.verticals) / 2
    known = [middle(box) for box in (route.source, route.target) if box is not None]
    total = ROW * rows + (0 if route.level % 2 else GUTTER) + (BELOW if route.level > known[0] else 0)
    if route.arrow.main:
        # The running value goes at the height of the deeper of its two boxes.
        total += 0 if route.level == max(known) else 3
    total += CROSSING * sum(crossings(route, each) for each in found)
    numbers = {route.arrow.source, route.arrow.target}
    for left, right, low, high, inside in spans:
        if not numbers & inside and route.start < right and left < route.end and low < route.level < high:
            total += FOREIGN
    return total


def crossings(one: Route, other: Route) -> int:
    """How often two arrows cross."""
    if one.arrow.source == other.arrow.source and one.arrow.value == other.arrow.value:
        return 0
    count = 0
    for upright, across in ((one, other), (other, one)):
        for x, low, high, _ in upright.verticals:
            count += low < across.level < high and across.start + 1 < x < across.end - 1
    return count


def frame_spans(boxes: Sequence[Box]) -> list[tuple[float, float, int, int, set[int]]]:
    """What each frame covers in each line: left, right, the heights of its rows, and the boxes inside."""
    inside: dict[tuple[int, int], list[Box]] = {}
    for box in boxes:
        for k in box.unit.frames:
            inside.setdefault((k, box.line), []).append(box)
    return [
        (
            min(box.x for box in each),
            max(box.right for box in each),
            min(middle(box) for box in each) - 1,
            max(middle(box) for box in each) + 1,
            {box.number for box in each},
        )
        for each in inside.values()
    ]


# Ports: where at a side the arrows touch


@dataclass(slots=True)
class Port:
    """A place at the top or bottom of a box: where arrows of one value begin, or where one arrow ends."""

    routes: list[Route]
    starts: bool

    @property
    def reach(self) -> tuple[float, float]:
        """How far its arrows go away from the box, and how far across."""
        return max((distance(each, self.starts), each.end - each.start) for each in self.routes)


def distance(route: Route, starts: bool) -> float:
    """How many half rows an arrow goes away from the box in which it starts or ends."""
    box = route.source if starts else route.target
    return abs(route.level - middle(box)) if box is not None else 0


def with_ports(boxes: Sequence[Box], routes: Sequence[Route]) -> None:
    """Gives each arrow that goes up or down from a box a place of its own: arrows of one value begin together.

    What ends is at the left, as it comes from there, and what goes farthest is at the outside, so that arrows of one box
    do not cross each other.
    """
    for box in boxes:
        for where in ("top", "bottom"):
            ending = [Port([each], False) for each in routes if each.target is box and each.to_side == where]
            starting: dict[int, Port] = {}
            for each in routes:
                if each.source is box and each.from_side == where:
                    starting.setdefault(each.arrow.value, Port([], True)).routes.append(each)
            ports = sorted(ending, key=lambda port: port.reach) + sorted(
                starting.values(), key=lambda port: port.reach, reverse=True
            )
            put(box, ports)


def put(box: Box, ports: Sequence[Port]) -> None:
    """Spreads ports around the middle of a side."""
    step = min(PORT, (box.width - 12) / max(len(ports), 1))
    for k, port in enumerate(ports):
        x = box.centre + (k - (len(ports) - 1) / 2) * step
        for route in port.routes:
            if port.starts:
                route.start = x
            else:
                route.end = x
