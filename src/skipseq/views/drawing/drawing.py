"""A network as a drawing: SVG text, and through it PNG; DOT and Mermaid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from math import hypot
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from skipseq.check.graph import Graph
from skipseq.views.files import FONTS, png_of, save_as

from .boxes import LEFT, TextLine
from .graph_text import dot_text, mermaid_text
from .layout import DrawnArrow, DrawnBox, DrawnFrame, Picture, lay_out
from .plan import Unit

__all__ = ["Drawing"]

#: Fills and lines of boxes, by the colour group of what is in them.
FILLS = {
    "weights": ("#e7f0fb", "#3b74b8"),
    "normalisation": ("#fdf4dc", "#c79a1e"),
    "activation": ("#e6f5ea", "#3f9a5b"),
    "resize": ("#f1e9fa", "#8a5cc2"),
    "join": ("#fff0e3", "#d9731a"),
    "shape": ("#f1f3f5", "#868e96"),
    "layer": ("#f1f3f5", "#5c6773"),
    "part": ("#f1f3f5", "#5c6773"),
    "fold": ("#eef0f3", "#5c6773"),
    "input": ("#343a40", "#343a40"),
    "output": ("#343a40", "#343a40"),
}
#: The colours of skips, one value after the other.
HUES = ("#d9480f", "#1c7ed6", "#2b8a3e", "#9c36b5", "#c2255c", "#0b7285", "#a07500", "#5f3dc4")
#: The colour of the running value.
INK = "#495057"


#: The corners of a line.
Points: TypeAlias = "tuple[tuple[float, float], ...]"


class Drawing:
    """A network as a picture, in a notebook the picture itself.

    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> drawing = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input")).draw(("N", 8))
    >>> drawing
    Drawing of Sequential: 4 boxes, 4 arrows
    >>> print(drawing.mermaid)
    flowchart LR
      n0(["input<br/>N×8"])
      n1["Linear 8→8<br/>ReLU<br/>N×8"]
      n2(("add"))
      n3(["output<br/>N×8"])
      n0 --> n1
      n1 --> n2
      n0 ==>|"add 'input'"| n2
      n2 --> n3
    <BLANKLINE>

    Args:
        graph: the network as a graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @cached_property
    def _picture(self) -> Picture:
        return lay_out(self._graph)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG, complete in itself."""
        return svg_text(self._picture)

    @cached_property
    def dot(self) -> str:
        """The picture in the language of Graphviz."""
        return dot_text(self._picture.plan)

    @cached_property
    def mermaid(self) -> str:
        """The picture in the language of Mermaid, which GitHub shows."""
        return mermaid_text(self._picture.plan)

    def png(self, scale: float = 2) -> bytes:
        """The picture as PNG.

        Args:
            scale: pixels for each unit of the SVG.

        Raises:
            ImportError: if the library that draws it is not installed.
            RuntimeError: if there is no font to write with.
        """
        return png_of(self.svg, scale, "the drawing", "drawing.save('net.svg')")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture to a file, in the form that its ending tells: ``.svg``, ``.png``, ``.dot`` or ``.mmd``.

        The file is whole at any time: what was there before stays until all is written.

        Raises:
            ValueError: if the file has another ending.
        """
        forms: dict[str, Callable[[], str | bytes]] = {
            ".svg": lambda: self.svg,
            ".png": self.png,
            ".dot": lambda: self.dot,
            ".mmd": lambda: self.mermaid,
        }
        save_as(Path(path), forms, "a drawing", "drawing")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        plan = self._picture.plan
        return f"Drawing of {self._graph.title}: {len(plan.units)} boxes, {len(plan.arrows)} arrows"


# SVG


def svg_text(picture: Picture) -> str:
    """A picture as SVG."""
    width, height = number(picture.width), number(picture.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="skipseq" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONTS}">',
        f"<title>{escape(picture.plan.graph.title)}</title>",
        f'<rect class="paper" width="{width}" height="{height}" rx="10" fill="#fcfcfd"/>',
        *map(frame_text, picture.frames),
        *(line for arrow in picture.arrows for line in arrow_lines(arrow)),
        *(line for box in picture.boxes for line in box_lines(box, len(picture.plan.graph.nodes))),
        *map(title_text, picture.frames),
        *filter(None, map(label_text, picture.arrows)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def frame_text(frame: DrawnFrame) -> str:
    """A container, as a frame."""
    fill = ("#f5f6f8", "#eff1f4")[frame.depth % 2]
    return (
        f'<g class="frame" data-frame="{frame.number}" data-name={quoteattr(frame.title.partition(" · ")[0])}>'
        f'<rect x="{number(frame.x)}" y="{number(frame.y)}" width="{number(frame.width)}" height="{number(frame.height)}" '
        f'rx="8" fill="{fill}" stroke="#ced4da"/></g>'
    )


def title_text(frame: DrawnFrame) -> str:
    """The name of a container; it has a halo, as an arrow may pass behind it."""
    return written(frame.title, frame.x + 7, frame.y + 11.5, 10, "frame-title", 'fill="#6b7580"', True)


def written(text: str, x: float, y: float, size: float, name: str, how: str, halo: bool = False) -> str:
    """A text."""
    around = ' stroke="#fcfcfd" stroke-width="3" stroke-linejoin="round" paint-order="stroke"' if halo else ""
    return (
        f'<text class="{name}" x="{number(x)}" y="{number(y)}" font-size="{number(size)}" {how}{around}>{escape(text)}</text>'
    )


# Arrows


def arrow_lines(drawn: DrawnArrow) -> Iterator[str]:
    """An arrow: its line up to its head, and the head as a shape of its own, so that every program shows it."""
    arrow = drawn.arrow
    colour = INK if arrow.main else HUES[drawn.hue % len(HUES)]
    kind = "main" if arrow.main else "skip"
    size = 5.0 + drawn.thickness * 1.2
    data = f'data-value="{arrow.value}" data-from="{arrow.giver}" data-to="{arrow.reader}" data-join="{arrow.join}"'
    line = f'<path class="edge {kind}" {data} d="{path(shortened(drawn.points, size - 1))}" fill="none" stroke="{colour}"'
    yield f'{line} stroke-width="{number(drawn.thickness)}"><title>{escape(arrow.tooltip)}</title></path>'
    yield f'<path class="head" {data} d="{head(drawn.points, size)}" fill="{colour}"/>'


def shortened(points: Points, by: float) -> Points:
    """A line without its end, where the head is."""
    return *points[:-1], towards(points[-1], points[-2], min(by, distance(points[-1], points[-2]) - 0.5))


def path(points: Points) -> str:
    """A line through points, with round corners."""
    parts = [f"M{pair(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(9.0, distance(before, corner) / 2, distance(corner, after) / 2)
        enter, leave = towards(corner, before, radius), towards(corner, after, radius)
        parts.append(f"L{pair(enter)}Q{pair(corner)} {pair(leave)}")
    return "".join([*parts, f"L{pair(points[-1])}"])


def pair(point: tuple[float, float]) -> str:
    return f"{number(point[0])} {number(point[1])}"


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return hypot(one[0] - other[0], one[1] - other[1])


def towards(start: tuple[float, float], end: tuple[float, float], by: float) -> tuple[float, float]:
    """The point that is this far on the way."""
    length = distance(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * by / length, start[1] + (end[1] - start[1]) * by / length


def head(points: Points, size: float) -> str:
    """The head of an arrow, a triangle that ends at its last point."""
    tip, before = points[-1], points[-2]
    x, y = towards(tip, before, size)
    across = (tip[1] - y) * 0.55, (x - tip[0]) * 0.55
    return f"M{pair(tip)}L{pair((x + across[0], y + across[1]))}L{pair((x - across[0], y - across[1]))}Z"


def label_text(drawn: DrawnArrow) -> str:
    """What is written at the head of a skip."""
    if drawn.label_at is None:
        return ""
    colour = HUES[drawn.hue % len(HUES)]
    how = f'text-anchor="end" fill="{colour}"'
    return written(drawn.arrow.label, *drawn.label_at, 10, "label", how, True)


# Boxes


def box_lines(box: DrawnBox, end: int) -> Iterator[str]:
    """A box with its lines."""
    unit = box.unit
    value = f' data-value="{unit.value}"' if unit.value is not None else ""
    positions = " ".join(map(str, unit.positions))
    yield f'<g class="node" data-node="{positions}" data-name={quoteattr(unit.name)} data-kind="{unit.kind}"{value}>'
    yield f"<title>{escape(unit.tooltip)}</title>"
    yield from shape_lines(box)
    for line in box.lines:
        yield line_text(box, line)
    yield "</g>"


def shape_lines(box: DrawnBox) -> Iterator[str]:
    """The outline of a box, and a stripe for each of its layers."""
    place = f'x="{number(box.x)}" y="{number(box.y)}" width="{number(box.width)}" height="{number(box.height)}"'
    kind = box.unit.kind
    fill, line = FILLS[kind if kind in ("join", "input", "output", "fold") else main_colour(box.unit)]
    radius = 12 if kind in ("join", "input", "output") else 5
    if kind == "fold":
        for step in (6, 3):
            back = f'x="{number(box.x + step)}" y="{number(box.y - step)}" width="{number(box.width - step)}"'
            yield f'<rect {back} height="{number(box.height)}" rx="5" fill="#ffffff" stroke="#adb5bd"/>'
    yield f'<rect class="box" {place} rx="{radius}" fill="{fill}" stroke="{line}" stroke-width="1.2"/>'
    if kind not in ("join", "input", "output"):
        yield from stripes(box)


def main_colour(unit: Unit) -> str:
    """The colour group of a box: of the layer in it that matters most."""
    present = [row.colour for row in unit.rows]
    return min(present, key=lambda colour: WEIGHT.index(colour) if colour in WEIGHT else len(WEIGHT))


#: The colour groups, what matters most first.
WEIGHT = ("weights", "part", "layer", "resize", "normalisation", "activation", "shape")


def stripes(box: DrawnBox) -> Iterator[str]:
    """The colours of the layers, at the left: one stripe for each, also where it takes two lines."""
    lines = [line for line in box.lines if line.colour in FILLS]
    for k, line in enumerate(lines):
        if line.colour == "fold" or not line.strong:
            continue
        last = lines[k + 1] if k + 1 < len(lines) and not lines[k + 1].strong else line
        place = f'x="{number(box.x + 4)}" y="{number(box.y + line.y - 10)}" width="4" height="{number(last.y - line.y + 13)}"'
        yield f'<rect {place} rx="1.5" fill="{FILLS[line.colour][1]}"/>'


def line_text(box: DrawnBox, line: TextLine) -> str:
    """A line of a box: beside its stripe, or in the middle of a box that has none."""
    kind = box.unit.kind
    dark = kind in ("input", "output")
    centred = dark or kind == "join"
    x, anchor = (box.x + box.width / 2, ' text-anchor="middle"') if centred else (box.x + LEFT, "")
    strong, weak = ("#ffffff", "#dee2e6") if dark else ("#1f2933", "#52606d")
    parts = [f'<tspan font-weight="600" fill="{strong}">{escape(line.strong)}</tspan>'] if line.strong else []
    parts += [f'<tspan fill="{weak}">{" " * bool(parts)}{escape(line.weak)}</tspan>'] if line.weak else []
    place = f'x="{number(x)}" y="{number(box.y + line.y)}" font-size="{number(line.size)}"'
    return f'<text {place}{anchor} xml:space="preserve">{"".join(parts)}</text>'
