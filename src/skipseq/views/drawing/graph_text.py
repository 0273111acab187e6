"""A network in the languages of Graphviz and Mermaid: the same boxes and arrows as in the drawing, placed by those programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from skipseq.check.graph import Frame

from .plan import Arrow, Plan, Unit

__all__ = ["dot_text", "mermaid_text"]


def dot_text(plan: Plan) -> str:
    """DOT: the main line is heavy and alone decides about the ranks, so that it stays straight."""
    lines = [
        f"digraph {quoted(plan.graph.title)} {{",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=10];',
        *("  " + line for line in nested(plan, dot_node, dot_frame)),
        *(f"  {dot_edge(arrow)}" for arrow in plan.arrows),
        "}",
    ]
    return "\n".join(lines) + "\n"


def dot_node(unit: Unit, number: int) -> str:
    """A box in DOT."""
    shape = ", shape=circle" if unit.kind == "join" else ""
    return f"n{number} [label={quoted(text_of(unit))}{shape}];"


def dot_frame(frame: Frame, number: int) -> tuple[str, str]:
    """The two ends of a container in DOT."""
    return f"subgraph cluster_{number} {{ label={quoted(frame.path[-1])};", "}"


def dot_edge(arrow: Arrow) -> str:
    """An arrow in DOT."""
    how = "weight=10" if arrow.main else f"label={quoted(arrow.label)}, constraint=false, color=orangered"
    return f"n{arrow.source} -> n{arrow.target} [{how}];"


def quoted(text: str) -> str:
    """A text in DOT."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def mermaid_text(plan: Plan) -> str:
    """A flowchart in Mermaid: skips are thick arrows with their join."""
    lines = [
        "flowchart LR",
        *("  " + line for line in nested(plan, mermaid_node, mermaid_frame)),
        *(f"  {mermaid_edge(arrow)}" for arrow in plan.arrows),
    ]
    return "\n".join(lines) + "\n"


def mermaid_node(unit: Unit, number: int) -> str:
    """A box in Mermaid."""
    left, right = ("((", "))") if unit.kind == "join" else ("([", "])") if unit.value is not None else ("[", "]")
    return f"n{number}{left}{coded(text_of(unit))}{right}"


def mermaid_frame(frame: Frame, number: int) -> tuple[str, str]:
    """The two ends of a container in Mermaid."""
    return f"subgraph f{number} [{coded(frame.path[-1])}]", "end"


def mermaid_edge(arrow: Arrow) -> str:
    """An arrow in Mermaid."""
    if arrow.main:
        return f"n{arrow.source} --> n{arrow.target}"
    return (
        f"n{arrow.source} ==>|{coded(arrow.label)}| n{arrow.target}" if arrow.label else f"n{arrow.source} ==> n{arrow.target}"
    )


def coded(text: str) -> str:
    """A text in Mermaid: what could be a sign of the language is written as a number."""
    kept = "".join(c if c.isalnum() or c in " _-+×→÷,.'…/:\n" else f"#{ord(c)};" for c in text)
    return '"' + kept.replace("\n", "<br/>") + '"'


def text_of(unit: Unit) -> str:
    """What is in a box, line by line."""
    lines = [" ".join(filter(None, (row.text, row.detail))) for row in unit.rows]
    return "\n".join([*lines, *filter(None, [unit.shape])])


def nested(plan: Plan, node: Callable[[Unit, int], str], frame: Callable[[Frame, int], tuple[str, str]]) -> Iterator[str]:
    """The boxes line by line, each inside its containers."""
    opened: Sequence[int] = ()
    for number, unit in enumerate(plan.units):
        while tuple(unit.frames[: len(opened)]) != tuple(opened):
            yield "  " * (len(opened) - 1) + frame(plan.graph.frames[opened[-1]], opened[-1])[1]
            opened = opened[:-1]
        for k in unit.frames[len(opened) :]:
            yield "  " * len(opened) + frame(plan.graph.frames[k], k)[0]
            opened = (*opened, k)
        yield "  " * len(opened) + node(unit, number)
    for depth in range(len(opened) - 1, -1, -1):
        yield "  " * depth + frame(plan.graph.frames[opened[depth]], opened[depth])[1]
