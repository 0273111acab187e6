"""The lines of YAML for the tree of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .scalars import as_name, as_value
from .tree import Entry, Part

__all__ = ["document_lines"]

STEP = "  "


def document_lines(part: Part, inputs: Any, outputs: Any) -> Iterator[str]:
    """The whole text of a network, whose inputs and outputs stand above its entries."""
    yield "skipseq: 1"
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if value is not None:
            shown = as_name(value) if isinstance(value, str) else f"[{', '.join(map(in_list, value))}]"
            yield f"{name}: {shown}"
    if part.head != "Sequential":
        yield "network:"
        yield from constructor_lines(part, STEP)
    elif not part.entries:
        yield "network: []"
    else:
        yield "network:"
        yield from entries_lines(part.entries, STEP)


def in_list(name: str) -> str:
    """A name between square brackets."""
    return as_name(name)


def entries_lines(entries: list[Entry], indent: str) -> Iterator[str]:
    """Entries, each behind a dash."""
    for entry in entries:
        yield from entry_lines(entry, indent)


def entry_lines(entry: Entry, indent: str) -> Iterator[str]:
    """One entry behind its dash."""
    if entry.name is not None:
        yield from keyed_lines(f"{indent}- {as_name(entry.name)}:", entry, indent + STEP)
        return
    if entry.alias or isinstance(entry.value, str):
        yield f"{indent}- {marked(entry)}"
        return
    if entry.anchor:
        yield f"{indent}- &{entry.anchor}"
        yield from constructor_lines(entry.value, indent + STEP)
        return
    first, *rest = constructor_lines(entry.value, indent + STEP)
    yield f"{indent}- {first.strip()}"
    yield from rest


def keyed_lines(head: str, entry: Entry, indent: str) -> Iterator[str]:
    """A value behind its key; ``indent`` is that of the key."""
    if entry.alias or isinstance(entry.value, str):
        yield f"{head} {marked(entry)}"
        return
    yield head + (f" &{entry.anchor}" if entry.anchor else "")
    part = entry.value
    if part.head == "Sequential" and not part.options:
        yield from entries_lines(part.entries, indent + STEP)
    else:
        yield from constructor_lines(part, indent + STEP)


def marked(entry: Entry) -> str:
    """A value in one line, behind its anchor if it has one."""
    if entry.alias:
        return f"*{entry.anchor}"
    assert isinstance(entry.value, str)
    return (f"&{entry.anchor} " if entry.anchor else "") + as_value(entry.value)


def constructor_lines(part: Part, indent: str) -> Iterator[str]:
    """A constructor with its options in brackets, its entries or arguments below it."""
    head = f"{part.head}({', '.join(part.options)})"
    if not part.entries and not part.arguments:
        yield indent + head
        return
    yield f"{indent}{head}:"
    yield from entries_lines(part.entries, indent + STEP)
    for name, value in part.arguments:
        yield from argument_lines(f"{indent}{STEP}{name}:", value, indent + STEP)


def argument_lines(head: str, value: Any, indent: str) -> Iterator[str]:
    """An argument by name: an entry, a list of entries, lists of lists, an entry with a name."""
    if isinstance(value, Entry):
        if isinstance(value.value, Part) and value.value.head == "Sequential" and not value.alias:
            yield head + (f" &{value.anchor}" if value.anchor else "")
            yield from constructor_lines(value.value, indent + STEP)
        else:
            yield from keyed_lines(head, value, indent)
    elif isinstance(value, dict):
        ((name, inner),) = value.items()
        yield head
        yield from argument_lines(f"{indent}{STEP}{as_name(name)}:", inner, indent + STEP)
    elif value and isinstance(value[0], list):
        yield head
        yield from (line for row in value for line in row_lines(row, indent + STEP))
    else:
        yield head + ("" if value else " []")
        yield from entries_lines(value, indent + STEP)


def row_lines(row: list[Entry], indent: str) -> Iterator[str]:
    """A list in a list."""
    if not row:
        yield f"{indent}- []"
        return
    first, *rest = entries_lines(row, indent + STEP)
    yield f"{indent}- {first.strip()}"
    yield from rest
