"""Boxes in their columns: how large each is, in which row it stands, and where it begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from .labels import clipped, text_width
from .plan import Plan, Unit

__all__ = ["LEFT", "PAD", "Box", "Placed", "TextLine", "frame_heights", "place_boxes"]

#: Distances in pixels: between boxes, and between a frame and what is in it.
GAP, PAD = 26.0, 7.0
#: The sizes of letters, and the heights of their lines.
SIZE, LINE = 11.0, 15.0
SMALL, SMALL_LINE = 9.5, 13.0
#: How much wider bold letters are.
BOLD = 1.1
#: What a box has around its text: at the left there is a stripe.
LEFT, RIGHT, ABOVE = 12.0, 9.0, 5.0
#: A line of a box is at most so wide, else its second half goes below.
WIDEST = 150.0
#: Room for the arrows that end and begin at one side.
PORT = 10.0
#: A network that goes straight is broken into lines of about this width, where at most so many values pass.
LINE_WIDTH, PASSING = 1400.0, 6


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line in a box: ``strong`` text and a ``weak`` one behind it; its baseline is ``y`` below the top of the box."""

    strong: str
    weak: str
    colour: str
    size: float
    y: float

    @property
    def width(self) -> float:
        """How wide it is: bold letters are wider."""
        blank = text_width(" ", self.size) if self.strong and self.weak else 0.0
        return text_width(self.strong, self.size) * BOLD + blank + text_width(self.weak, self.size)


@dataclass(slots=True)
class Box:
    """A unit with its place: the row, the line (of a straight network that is broken), and the pixels."""

    unit: Unit
    number: int
    row: int
    lines: tuple[TextLine, ...]
    width: float
    height: float
    line: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def centre(self) -> float:
        """The middle, across."""
        return self.x + self.width / 2

    @property
    def right(self) -> float:
        """The right end."""
        return self.x + self.width


@dataclass(frozen=True, slots=True)
class Placed:
    """The boxes; the number of rows; and the first and the last row of each line."""

    boxes: list[Box]
    rows: int
    lines: list[tuple[int, int]]


def place_boxes(plan: Plan, overlay: bool) -> Placed:
    """The boxes in rows and columns; with ``overlay``, what stands aside shares the columns of what it passes."""
    strands = strands_of(plan)
    ports = port_counts(plan)
    boxes = [sized(unit, k, ports[k]) for k, unit in enumerate(plan.units)]
    break_lines(plan, boxes, strands)
    rows, lines = put_in_rows(boxes, row_keys(plan, boxes, strands))
    above = [strand for strand in strands if overlay and may_overlay(plan, boxes, strand)]
    while True:
        put_in_columns(plan, boxes, {k for strand in above for k in strand.units})
        without_room = [strand for strand in above if not lay_over(plan, boxes, strand)]
        if not without_room:
            break
        above = [strand for strand in above if strand not in without_room]
    return Placed(boxes, rows, lines)


# Sizes


def sized(unit: Unit, number: int, ports: int) -> Box:
    """A box with its lines, without a place."""
    if unit.kind == "join":
        return join_box(unit, number, ports)
    lines: list[TextLine] = []
    y = ABOVE
    for strong, weak, colour in text_rows(unit):
        y += LINE
        lines.append(TextLine(strong, weak, colour, SIZE, y - 4))
    if unit.shape:
        y += SMALL_LINE
        lines.append(TextLine("", clipped(unit.shape, WIDEST, SMALL), "shape-text", SMALL, y - 3))
    width = max(*(line.width + LEFT + RIGHT for line in lines), 2 * PORT + ports * PORT, 44.0)
    return Box(unit, number, 0, tuple(lines), round(width), y + ABOVE)


def text_rows(unit: Unit) -> Iterable[tuple[str, str, str]]:
    """The lines of a box: each row on one line if it fits, else on two."""
    for row in unit.rows:
        strong = clipped(row.text, WIDEST, SIZE * BOLD)
        alone = len(unit.rows) == 1 and row.detail
        if alone or TextLine(strong, row.detail, "", SIZE, 0).width > WIDEST:
            yield strong, "", row.colour
            if row.detail:
                yield "", clipped(row.detail, WIDEST, SIZE), row.colour
        else:
            yield strong, row.detail, row.colour


def join_box(unit: Unit, number: int, ports: int) -> Box:
    """A join is a pill with its sign, and with the shape if that is new."""
    sign = SIGNS.get(unit.rows[0].text, unit.rows[0].text)
    size = 15.0 if sign != unit.rows[0].text else SIZE
    lines = [TextLine(sign, "", "join", size, 17.0 if size > SIZE else 16.0)]
    if unit.shape:
        lines.append(TextLine("", clipped(unit.shape, WIDEST, SMALL), "shape-text", SMALL, 29.0))
    width = max(*(line.width + 16 for line in lines), 24 + (ports - 1) * PORT, 30.0)
    return Box(unit, number, 0, tuple(lines), round(width), 36.0 if unit.shape else 24.0)


#: What stands in a join.
SIGNS = {"add": "+", "sub": "−", "mul": "×"}


def port_counts(plan: Plan) -> list[int]:
    """How many arrows may begin or end at one side of each box: those of one value begin together."""
    starts: list[set[int]] = [set() for _ in plan.units]
    ends = [0] * len(plan.units)
    for arrow in plan.arrows:
        starts[arrow.source].add(arrow.value)
        ends[arrow.target] += 1
    return [len(values) + count for values, count in zip(starts, ends, strict=True)]


# Rows


@dataclass(frozen=True, slots=True)
class Strand:
    """Units that stand aside and hang together: what they begin after and end in, and whether they are a plain chain."""

    units: tuple[int, ...]
    source: int
    target: int
    chain: bool

    @property
    def begin(self) -> int:
        """The first box that it stands beside."""
        return min(self.source + 1, self.units[0])


def strands_of(plan: Plan) -> list[Strand]:
    """What stands aside, by what hangs together; inputs and outputs beside the main line are strands of their own."""
    parent = list(range(len(plan.units)))

    def root(k: int) -> int:
        while parent[k] != k:
            k = parent[k]
        return k

    aside = [not unit.main for unit in plan.units]
    for arrow in plan.arrows:
        inner = all(aside[k] and plan.units[k].value is None for k in (arrow.source, arrow.target))
        if inner:
            parent[root(arrow.target)] = root(arrow.source)
    members: dict[int, list[int]] = {}
    for k in range(len(plan.units)):
        if aside[k]:
            members.setdefault(root(k), []).append(k)
    return [strand_of(plan, units) for units in members.values()]


def strand_of(plan: Plan, units: list[int]) -> Strand:
    """A strand, from its units."""
    inside = set(units)
    comes_in = [arrow for arrow in plan.arrows if arrow.target in inside]
    goes_out = [arrow for arrow in plan.arrows if arrow.source in inside]
    chain = len(comes_in) == len(goes_out) == len(units) and all(
        len([a for a in comes_in if a.target == k]) == len([a for a in goes_out if a.source == k]) == 1 for k in units
    )
    if plan.units[units[0]].value is not None:
        return Strand(tuple(units), units[0], units[0] + 1, False)
    source = min((arrow.source for arrow in comes_in if arrow.source not in inside), default=units[0])
    target = max((arrow.target for arrow in goes_out), default=units[-1])
    return Strand(tuple(units), min(source, units[0]), max(target, units[-1]), chain)


def row_keys(plan: Plan, boxes: Sequence[Box], strands: Sequence[Strand]) -> list[tuple[int, int, int]]:
    """The row of each unit as its line, its level and how far it stands aside: strands that overlap lie above each other."""
    keys = [(box.line, box.unit.level, 0) for box in boxes]
    taken: dict[tuple[int, int, int], list[Strand]] = {}
    for strand in sorted(strands, key=lambda each: (each.target - each.source, each.source)):
        level = min(plan.units[k].level for k in strand.units)
        key = (boxes[strand.units[0]].line, level, -1)
        while any(one.begin < strand.target and strand.begin < one.target for one in taken.get(key, [])):
            key = (*key[:2], key[2] - 1)
        taken.setdefault(key, []).append(strand)
        for k in strand.units:
            keys[k] = key
    return keys


def put_in_rows(boxes: Sequence[Box], keys: Sequence[tuple[int, int, int]]) -> tuple[int, list[tuple[int, int]]]:
    """Numbers the rows; between two lines there is a row without boxes. Returns how many there are, and those of each line."""
    count = 0
    lines = []
    for line in sorted({key[0] for key in keys}):
        known = sorted({key for key in keys if key[0] == line})
        for box, key in zip(boxes, keys, strict=True):
            if key[0] == line:
                box.row = count + known.index(key)
        lines.append((count, count + len(known) - 1))
        count += len(known) + 1
    return count - 1, lines


# Lines


def break_lines(plan: Plan, boxes: Sequence[Box], strands: Sequence[Strand]) -> None:
    """Breaks a wide network that goes straight into lines, where few values pass."""
    total = sum(box.width + GAP for box in boxes)
    if plan.down_and_up or total <= LINE_WIDTH * 1.2:
        return
    goal = total / ceil(total / LINE_WIDTH)
    passing = values_passing(plan)
    forbidden = {k for strand in strands for k in range(strand.source, strand.target)}
    line = start = 0
    while start < len(boxes):
        end = line_end(boxes, start, goal, passing, forbidden)
        for box in boxes[start:end]:
            box.line = line
        line, start = line + 1, end


def line_end(boxes: Sequence[Box], start: int, goal: float, passing: Sequence[int], forbidden: set[int]) -> int:
    """Behind which box a line ends: among places near the wanted width, where fewest arrows and containers are cut."""
    x = 0.0
    best: tuple[float, float] | None = None
    found = len(boxes)
    for k in range(start, len(boxes) - 1):
        x += boxes[k].width + GAP
        if x > goal * 1.15 and best is not None:
            break
        if x < goal * 0.7 or k in forbidden or passing[k] > PASSING:
            continue
        cut = len(set(boxes[k].unit.frames) & set(boxes[k + 1].unit.frames))
        quality = (passing[k] + 1.5 * cut, abs(x - goal))
        if best is None or quality < best:
            best, found = quality, k + 1
    rest = sum(box.width + GAP for box in boxes[found:])
    return found if rest > goal * 0.25 else len(boxes)


def values_passing(plan: Plan) -> list[int]:
    """How many arrows pass behind each box."""
    counts = [0] * len(plan.units)
    for arrow in plan.arrows:
        for k in range(arrow.source, arrow.target):
            counts[k] += 1
    return counts


# Columns


def put_in_columns(plan: Plan, boxes: list[Box], left_out: set[int]) -> None:
    """Gives each box the column behind the last one, with room for the frames that end and begin between them."""
    heights = frame_heights(plan)
    x, line = 0.0, 0
    previous: Unit | None = None
    for box in boxes:
        if box.number in left_out:
            continue
        if previous is not None and box.line != line:
            x, previous = 0.0, None
        line = box.line
        before, now = set(previous.frames if previous else ()), set(box.unit.frames)
        closing = max((heights[k] for k in before - now), default=0)
        opening = max((heights[k] for k in now - before), default=0)
        x += (GAP if previous else 0.0) + PAD * (closing + opening)
        box.x = x
        x += box.width
        previous = box.unit


def frame_heights(plan: Plan) -> dict[int, int]:
    """How many frames lie in each other at most, for each frame that is drawn, itself included."""
    heights: dict[int, int] = {}
    for unit in plan.units:
        for height, k in enumerate(reversed(unit.frames), start=1):
            heights[k] = max(heights.get(k, 0), height)
    return heights


def may_overlay(plan: Plan, boxes: list[Box], strand: Strand) -> bool:
    """Whether a strand may hang over the boxes beside it: a plain chain from one box of the main line to a later one."""
    if not strand.chain or not all(plan.units[k].main for k in (strand.source, strand.target)):
        return False
    own = plan.units[strand.units[0]].frames
    between = [k for k in range(strand.source, strand.target + 1) if k not in strand.units]
    others = {frame for k in between for frame in plan.units[k].frames} - set(own)
    if any(plan.units[k].frames != own for k in strand.units) or any(high & others for high in frames_with_more_rows(plan)):
        return False
    return len(between) > 2 and len({boxes[k].row for k in between}) == 1


def frames_with_more_rows(plan: Plan) -> list[set[int]]:
    """The containers of what stands aside: they are higher than the main line."""
    return [set(unit.frames) for unit in plan.units if not unit.main]


def lay_over(plan: Plan, boxes: list[Box], strand: Strand) -> bool:
    """Puts a strand over the middle of the boxes that it passes, if there is room for it and for the labels beside it."""
    hung = [boxes[k] for k in strand.units]
    frames = set(hung[0].unit.frames)
    below = [box for box in boxes[strand.source + 1 : strand.target] if box.unit.main and frames <= set(box.unit.frames)]
    width = sum(box.width for box in hung) + GAP * (len(hung) - 1)
    label = max(text_width(arrow.label, 10.0) for arrow in plan.arrows if arrow.source == strand.units[-1])
    if not below:
        return False
    left, right = below[0].x, min(below[-1].right, boxes[strand.target].centre - label - 24)
    if right - left < width:
        return False
    x = (left + right - width) / 2
    for box in hung:
        box.x = round(x)
        x += box.width + GAP
    return True
