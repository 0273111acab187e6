"""The source of a network on its page: coloured lines, each of which knows the operations that it is about."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator
from html import escape
from typing import Any

from skipseq.views.source.source import Source

__all__ = ["line_data", "listing_lines"]

#: The classes of the style by which tokens are coloured.
COLOURED = {tokenize.STRING: "text", tokenize.COMMENT: "note", tokenize.NUMBER: "count"}


def listing_lines(source: Source | str) -> Iterator[str]:
    """The part of the page that shows the source; a text tells why there is none."""
    if isinstance(source, str):
        first, *rest = source.splitlines()
        yield f"<p>There is no plain source of this network: {escape(first)}</p>"
        yield from (f"<p>{escape(line)}</p>" for line in rest)
        return
    yield '<div id="code" role="listbox" aria-labelledby="source-title" tabindex="0">'
    for k, (line, told) in enumerate(zip(source.lines, coloured(source.text), strict=True)):
        options = f' role="option" id="line-{k}" aria-selected="false"' if line.runs or line.builds else ' role="presentation"'
        yield f'<div class="code-line"{options} data-line="{k}">{told or "&#8203;"}</div>'
    yield "</div>"


def line_data(source: Source | str) -> list[list[Any]]:
    """For each line the operations that it runs, those inside what it calls, and those whose layers it builds."""
    return [] if isinstance(source, str) else [[line.runs, line.inside, line.builds] for line in source.lines]


def coloured(text: str) -> list[str]:
    """The lines of a Python text as HTML."""
    marks: dict[int, list[tuple[int, int, str]]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = "word" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else COLOURED.get(token.type)
        for row in range(token.start[0], token.end[0] + 1) if kind else ():
            begin = token.start[1] if row == token.start[0] else 0
            end = token.end[1] if row == token.end[0] else len(text)
            marks.setdefault(row, []).append((begin, end, kind or ""))
    return [marked(line, marks.get(row, [])) for row, line in enumerate(text.splitlines(), 1)]


def marked(line: str, marks: list[tuple[int, int, str]]) -> str:
    """One line with its coloured pieces."""
    parts, done = [], 0
    for begin, end, kind in marks:
        parts += [escape(line[done:begin]), f'<span class="{kind}">{escape(line[begin:end])}</span>']
        done = end
    return "".join([*parts, escape(line[done:])])
