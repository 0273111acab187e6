"""What a page tells, as plain data: about each operation, value, skip and container, and where each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from skipseq.check.graph import Edge, Frame, Graph, Node, ValueInfo, specs_in
from skipseq.check.report import spec_text
from skipseq.views.drawing.labels import text_width
from skipseq.views.drawing.layout import DrawnArrow, DrawnBox, DrawnFrame, Picture
from skipseq.views.drawing.plan import Arrow, Unit
from skipseq.views.table.rows import skip_values
from skipseq.views.table.summary import Summary
from skipseq.views.terminal import exact, plural, size_text

__all__ = ["Facts", "PageData", "listed_skips"]

#: What is told about something: terms and their descriptions.
Facts: TypeAlias = "list[tuple[str, str]]"
#: The size of the letters in a folded container, and what is around them, in pixels.
LETTERS, AROUND = 11.0, 24.0


def listed_skips(graph: Graph) -> list[int]:
    """The skips as numbers of edges; what goes from one layer of a ``via(...)`` to the next is none."""
    ends = {node.position for node in graph.nodes if node.main} | {len(graph.nodes)}
    skips = skip_values(graph)
    return [k for k, edge in enumerate(graph.edges) if not edge.main and (edge.value in skips or edge.reader in ends)]


class PageData:
    """All that a page tells.

    Args:
        summary: the network, with the names of its values.
        pictures: its pictures.
    """

    def __init__(self, summary: Summary, pictures: Sequence[Picture]) -> None:
        self.summary = summary
        self.graph = summary.graph
        self.names = summary.names
        self.peak = self.graph.peak()
        self.pictures = pictures
        self.of_value: dict[int, list[int]] = {}
        for k, edge in enumerate(self.graph.edges):
            self.of_value.setdefault(edge.value, []).append(k)

    def to_dict(self) -> dict[str, Any]:
        """All of it, which ``json.dumps`` can write."""
        graph = self.graph
        return {
            "nodes": [{"title": self.title(node), "facts": self.node_facts(node)} for node in graph.nodes],
            "values": [{"title": self.names.short(value.number), "facts": self.end_facts(value)} for value in graph.values],
            "edges": [self.edge_data(edge) for edge in graph.edges],
            "skips": listed_skips(graph),
            "frames": [self.frame_data(frame) for frame in graph.frames],
            "pictures": [self.picture_data(picture) for picture in self.pictures],
        }

    # Values and skips

    def edge_data(self, edge: Edge) -> dict[str, Any]:
        """A value on its way to a reader."""
        value = self.graph.values[edge.value]
        kind = "running value" if edge.main else "skip"
        ends = f"from {self.giver(value)} to {self.reader(edge.reader)}"
        about = [text for text in (spec_text(value.spec), self.size(value)) if text not in ("?", "")]
        name = self.names.short(edge.value)
        return {
            "title": f"{kind.capitalize()} {name}",
            "label": ", ".join([f"{kind} {name}, {ends}", *about]),
            "facts": self.edge_facts(edge),
            "words": " ".join(value.names),
            "from": edge.giver,
            "to": edge.reader,
            "main": edge.main,
        }

    def edge_facts(self, edge: Edge) -> Facts:
        """What is told about a value on its way: its ends, what it is, and how long it is held."""
        value = self.graph.values[edge.value]
        facts = [("from", self.giver(value)), ("to", self.reader(edge.reader))]
        if len(value.readers) > 1:
            facts += [("all readers", self.reader(position)) for position in value.readers]
        return [*facts, *self.value_facts(value), ("lifetime", self.lifetime(value)), *self.share(value)]

    def table_row(self, edge: int) -> tuple[list[str], list[str]]:
        """A skip in the table: its ends; and how long it is held, its shape, its bytes and its share of the peak."""
        found = self.graph.edges[edge]
        value = self.graph.values[found.value]
        lives = plural(self.graph.last_reader(value) - value.giver, "operation")
        held = "all operations" if found.value in self.graph.inputs else lives
        size = self.graph.bytes_of(value)
        share = [text.partition(" of ")[0] for _, text in self.share(value)]
        return [self.giver(value), self.reader(found.reader)], [held, spec_text(value.spec), size_text(size or 0), *share]

    def value_facts(self, value: ValueInfo) -> Facts:
        """What a value is, as far as that is known."""
        if value.spec is None:
            return []
        kinds = ", ".join(dict.fromkeys(spec.dtype for spec in specs_in(value.spec)))
        return [("shape", spec_text(value.spec)), ("dtype", kinds), ("size", self.size(value))]

    def size(self, value: ValueInfo) -> str:
        """The bytes of a value, or nothing where they are not known."""
        size = self.graph.bytes_of(value)
        if size is None:
            return ""
        digits = f" ({size:,} bytes)" if size >= 1024 else ""
        return size_text(size) + digits + self.per_sample()

    def per_sample(self) -> str:
        """What stands behind numbers of which each sample has its own."""
        return " per sample" if self.graph.batch else ""

    def giver(self, value: ValueInfo) -> str:
        """Where a value comes from."""
        if value.giver >= 0:
            return self.title(self.graph.nodes[value.giver])
        return "the input" if len(self.graph.inputs) == 1 else f"the input {value.name}"

    def reader(self, position: int) -> str:
        """Where a value goes."""
        return self.title(self.graph.nodes[position]) if position < len(self.graph.nodes) else "the output"

    def title(self, node: Node) -> str:
        """An operation: where it is in Python, and what it is."""
        return f"net{node.place} {node.text}"

    def lifetime(self, value: ValueInfo) -> str:
        """From when to when a value is held; operations are counted from 1."""
        count = len(self.graph.nodes)
        if value.number in self.graph.inputs:
            return f"held throughout, as an input: for all {plural(count, 'operation')}"
        last = self.graph.last_reader(value)
        read = "it is a result" if last == count else f"read last by operation {last + 1}"
        born = f"given by operation {value.giver + 1} of {count}"
        return f"{born}, {read}: held for {plural(last - value.giver, 'operation')}"

    def share(self, value: ValueInfo) -> Facts:
        """What part a value has in the peak of memory."""
        if self.peak is None or not value.storage:
            return []
        position, most = self.peak
        where = f"of {size_text(most)} at {self.graph.nodes[position].name}"
        if not value.giver <= position <= self.graph.last_reader(value):
            return [("share of the peak", f"none {where}")]
        held = sum(self.graph.storages[storage] for storage in value.storage)
        return [("share of the peak", f"{held / most:.0%} {where}" if most else f"none {where}")]

    # Operations, inputs, outputs, containers

    def node_facts(self, node: Node) -> Facts:
        """What is told about an operation."""
        facts = [("path", node.name), ("runs", f"operation {node.position + 1} of {len(self.graph.nodes)}")]
        facts += [("takes", self.about(value)) for value in dict.fromkeys(node.takes)]
        facts += [("gives", self.about(value)) for value in node.gives]
        if node.parameters:
            facts.append(("parameters", exact(node.parameters)))
        if node.multiply_adds:
            facts.append(("multiply-adds", exact(node.multiply_adds) + self.per_sample()))
        if node.shared is not None:
            facts.append(("shared", f"the same layer as net{self.graph.nodes[node.shared].place}"))
        return facts

    def about(self, number: int) -> str:
        """A value in one line."""
        value = self.graph.values[number]
        known = [spec_text(value.spec)] if value.spec is not None else []
        size = self.graph.bytes_of(value)
        return ", ".join([self.names.short(number), *known, *([size_text(size)] if size is not None else [])])

    def end_facts(self, value: ValueInfo) -> Facts:
        """What is told about a value where it is an input or an output."""
        facts = [("from", self.giver(value))] if value.giver >= 0 else []
        facts += [("read by", self.reader(position)) for position in value.readers]
        return [*facts, *self.value_facts(value), ("lifetime", self.lifetime(value)), *self.share(value)]

    def frame_data(self, frame: Frame) -> dict[str, Any]:
        """A container: what is told about it, and what it says when it is folded."""
        inside = self.graph.nodes[frame.first : frame.last + 1]
        parameters = sum(node.parameters for node in inside)
        count = sum(node.multiply_adds or 0 for node in inside)
        operations = plural(len(inside), "operation")
        facts = [("class", frame.text), ("holds", f"{operations}: {frame.first + 1} to {frame.last + 1}")]
        facts += [("parameters", exact(parameters))] if parameters else []
        facts += [("multiply-adds", exact(count) + self.per_sample())] if count else []
        lines = [operations, *([f"{exact(parameters).partition(' (')[0]} parameters"] if parameters else [])]
        ends = {"first": frame.first, "last": frame.last}
        return {"name": frame.name, "title": f"Container {frame.name}", "facts": facts, "lines": lines, **ends}

    # Where it is drawn

    def picture_data(self, picture: Picture) -> dict[str, Any]:
        """A picture: its boxes, arrows and frames in the order in which they are drawn."""
        return {
            "width": picture.width,
            "boxes": [self.box_data(box, picture.frames) for box in picture.boxes],
            "arrows": [self.arrow_data(arrow, picture) for arrow in picture.arrows],
            "frames": [self.drawn_frame_data(frame, picture) for frame in picture.frames],
        }

    def box_data(self, box: DrawnBox, frames: Sequence[DrawnFrame]) -> dict[str, Any]:
        """A box, with the frames around it from the outermost one."""
        unit = box.unit
        around = sorted((k for k, frame in enumerate(frames) if holds(frame, box)), key=lambda k: frames[k].depth)
        return {
            "x": box.x,
            "width": box.width,
            "line": box.line,
            "frames": around,
            "positions": unit.positions,
            "value": unit.value,
            "folds": unit.kind == "fold",
            "label": self.box_label(unit),
            "words": self.box_words(unit),
        }

    def box_label(self, unit: Unit) -> str:
        """What is read aloud for a box."""
        if unit.value is not None:
            parts = [unit.kind, unit.rows[0].text]
            return " ".join([*dict.fromkeys(parts), unit.shape]).strip()
        first, last = (self.graph.nodes[unit.positions[k]] for k in (0, -1))
        rows = ", ".join(f"{row.text} {row.detail}".strip() for row in unit.rows)
        place = f"net{first.place}" + (f" to net{last.place}" if first is not last else "")
        return "; ".join([rows, place, *([f"gives {unit.shape}"] if unit.shape else [])])

    def box_words(self, unit: Unit) -> str:
        """What a box is found by: the paths, layers and labels in it."""
        if unit.value is not None:
            return " ".join([unit.kind, *self.graph.values[unit.value].names])
        nodes = [self.graph.nodes[position] for position in unit.positions]
        names = [name for node in nodes for value in node.gives for name in self.graph.values[value].names]
        return " ".join([*(f"{node.name} {node.text}" for node in nodes), *names])

    def arrow_data(self, drawn: DrawnArrow, picture: Picture) -> dict[str, Any]:
        """An arrow: the edges that it stands for, its two boxes, and its points."""
        arrow = drawn.arrow
        units = picture.plan.units
        edges = [k for k in self.of_value[arrow.value] if is_drawn_as(self.graph.edges[k], arrow, units)]
        return {
            "edges": sorted(edges, key=lambda k: self.graph.edges[k].main),
            "source": arrow.source,
            "target": arrow.target,
            "points": drawn.points,
            "thickness": drawn.thickness,
            "label": [*drawn.label_at, text_width(arrow.label, 10.0)] if drawn.label_at else None,
        }

    def drawn_frame_data(self, frame: DrawnFrame, picture: Picture) -> dict[str, Any]:
        """A frame, with the frames around it, and the least width that it needs when it is folded."""
        boxes = [box for box in picture.boxes if holds(frame, box)]
        around = self.box_data(boxes[0], picture.frames)["frames"]
        title = text_width(frame.title, 10.0) + AROUND
        lines = (text_width(line, LETTERS) for line in self.frame_data(self.graph.frames[frame.number])["lines"])
        return {
            "number": frame.number,
            "x": frame.x,
            "y": frame.y,
            "width": frame.width,
            "height": frame.height,
            "line": boxes[0].line,
            "frames": around[: around.index(picture.frames.index(frame))],
            "title": title,
            "least": max(title, AROUND + max(lines, default=0.0)),
        }


def holds(frame: DrawnFrame, box: DrawnBox) -> bool:
    """Whether a box is drawn in a frame."""
    return (
        frame.number in box.unit.frames
        and frame.x <= box.x <= frame.x + frame.width
        and frame.y <= box.y <= frame.y + frame.height
    )


def is_drawn_as(edge: Edge, arrow: Arrow, units: Sequence[Unit]) -> bool:
    """Whether an edge is drawn as this arrow: it has the same value."""
    return edge.giver in units[arrow.source].positions and edge.reader in units[arrow.target].positions
