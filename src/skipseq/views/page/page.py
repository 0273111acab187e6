"""A network as a page: one HTML file without network, to look at, to read about, to fold and to search."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from skipseq.check.graph import Graph
from skipseq.views.drawing.drawing import svg_text
from skipseq.views.drawing.layout import Picture, lay_out
from skipseq.views.files import write_whole
from skipseq.views.source.source import Source
from skipseq.views.table.summary import Summary, Table, trained
from skipseq.views.terminal import exact, size_text

from .colours import colours
from .data import PageData, listed_skips
from .listing import line_data, listing_lines

__all__ = ["Page"]

#: A network of more operations than this has no second picture in which nothing is folded.
MOST = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """A network as one HTML file, complete in itself; in a notebook the page itself.

    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> page = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input")).page((4, 8))
    >>> page
    Page of Sequential: 3 operations, 1 skip
    >>> page.html[:15]
    '<!DOCTYPE html>'

    Args:
        summary: the network, and what it costs.
        source: the network in plain PyTorch, or why there is none.
    """

    summary: Summary
    source: Source | str

    @cached_property
    def html(self) -> str:
        """The page as text."""
        pictures = list(pictures_of(self.summary.graph))
        style = read("page.css") + colours()
        script = "\n".join(("'use strict';", *map(read, ("page_fold.js", "page_view.js", "page_source.js", "page.js"))))
        parts = {
            "heading": escape(self.heading),
            "title": escape(self.summary.graph.title),
            "about": escape(self.heading.partition(": ")[2]),
            "style": style,
            "drawings": "".join(map(svg_text, pictures)),
            "skips": "\n".join(table_lines(PageData(self.summary, []))),
            "cost": "\n".join(cost_lines(self.summary)),
            "source": "\n".join(listing_lines(self.source)),
            "data": json_text({**PageData(self.summary, pictures).to_dict(), "lines": line_data(self.source)}),
            "script": script,
            "policy": f"default-src 'none'; style-src '{fingerprint(style)}'; script-src '{fingerprint(script)}'",
        }
        return Template(read("page.html")).substitute(parts)

    @property
    def heading(self) -> str:
        """What it is about: ``Sequential: 12 operations, 3 skips``."""
        return Table(self.summary, "…").title()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page to a file. The file is whole at any time: what was there before stays until all is written.

        Raises:
            ValueError: if the file does not end in ``.html`` or ``.htm``.
        """
        ending = Path(path).suffix.lower()
        if ending not in (".html", ".htm"):
            raise ValueError(
                f"a page cannot be saved as {str(path)!r}.\n  Its ending has to be .html or .htm; it is {ending!r}.\n"
                f"  Write page.save({str(Path(path).with_suffix('.html'))!r})."
            )
        write_whole(Path(path), self.html.encode())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that it and the notebook leave each other alone."""
        frame = 'sandbox="allow-scripts" width="100%" height="760" style="border: 0"'
        return f'<iframe title="{escape(self.heading)}" {frame} srcdoc="{escape(self.html)}"></iframe>'

    def __repr__(self) -> str:
        return f"Page of {self.heading}"


def read(name: str) -> str:
    """A file that stands beside this one."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def pictures_of(graph: Graph) -> Iterator[Picture]:
    """The picture, and where something is folded in it, the one in which nothing is."""
    picture = lay_out(graph)
    yield picture
    if any(box.unit.kind == "fold" for box in picture.boxes) and len(graph.nodes) <= MOST:
        yield lay_out(graph, fold=False)


def json_text(data: object) -> str:
    """Data as JSON that can stand in a page: no text in it ends the script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def fingerprint(text: str) -> str:
    """By which a content security policy knows a style or a script."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


# Tables


def table_lines(data: PageData) -> Iterator[str]:
    """The skips as a table: it tells in words what the arcs show."""
    skips = listed_skips(data.graph)
    if not skips:
        yield "<p>This network has no skips.</p>"
        return
    known = ["shape", "size", "of the peak"] if data.graph.storages else []
    yield '<div class="scroll" role="region" aria-labelledby="skips-title" tabindex="0"><table>'
    yield heads("skip", "from", "to", "held for", *known)
    yield "<tbody>"
    for k in skips:
        name = escape(data.names.short(data.graph.edges[k].value))
        button = f'<button type="button" aria-pressed="false" data-edge="{k}">{name}</button>'
        ends, facts = data.table_row(k)
        cells = [f'<td class="ends">{escape(text)}</td>' for text in ends]
        cells += [f"<td>{escape(text)}</td>" for text in facts[: 1 + len(known)]]
        yield f'<tr data-edge="{k}"><th scope="row">{button}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def heads(*columns: str) -> str:
    """The head of a table."""
    cells = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def cost_lines(summary: Summary) -> Iterator[str]:
    """What a forward pass costs."""
    graph, each = summary.graph, " per sample" if summary.graph.batch else ""
    yield f"<dl><dt>parameters</dt><dd>{exact(graph.parameters)}{trained(graph.parameters, summary.trainable)}</dd>"
    if summary.multiply_adds is not None:
        yield f"<dt>multiply-adds</dt><dd>{exact(summary.multiply_adds)}{each}, as far as PyTorch counts them</dd>"
    if (peak := graph.peak()) is not None:
        where = escape(graph.nodes[peak[0]].name)
        yield f"<dt>peak memory</dt><dd>{size_text(peak[1])}{each} in inference, at {where}</dd>"
    yield "</dl>"
    if peak is None:
        yield "<p>Shapes and bytes are told where the shape of the input is given: page((1, 3, 64, 64)).</p>"
    else:
        yield from held_lines(summary)


def held_lines(summary: Summary) -> Iterator[str]:
    """What is held at the peak, as a table."""
    yield '<div class="scroll" role="region" aria-label="Held at the peak" tabindex="0"><table>'
    yield heads("held at the peak", "size", "why") + "<tbody>"
    for held in summary.held_at_peak:
        why = ("skip, " if held.skip else "") + held.reason
        cells = "".join(f"<td>{escape(text)}</td>" for text in (size_text(held.bytes), why))
        yield f'<tr><th scope="row">{escape(", ".join(held.names))}</th>{cells}</tr>'
    yield "</tbody></table></div><p>These are the values between layers; layers may need more inside.</p>"
