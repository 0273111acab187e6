"""Python text from expressions, broken into lines as ``ruff format`` breaks them.

Each line knows which things it is about: its ``marks``, the union of those of the expressions on it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

__all__ = ["Chain", "Code", "Group", "Row", "call", "flat", "laid_out", "listing", "quoted", "rows_of"]

#: The longest line that the formatter leaves alone by default.
WIDTH = 88
INDENT = 4

Marks: TypeAlias = frozenset[Hashable]
NONE: Marks = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions between brackets: ``before`` ends with the opening one, ``after`` begins with the closing one."""

    before: str
    items: tuple[Code, ...]
    after: str
    marks: Marks = NONE


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands with one operator between them."""

    operands: tuple[Code, ...]
    operator: str
    marks: Marks = NONE


#: An expression: a text that is never broken, or one that may be.
Code: TypeAlias = str | Group | Chain


class Row(NamedTuple):
    """A line of the file."""

    text: str
    marks: Marks = NONE


def call(function: str, items: Iterable[Code], marks: Marks = NONE) -> Group:
    """A function called with arguments."""
    return Group(f"{function}(", tuple(items), ")", marks)


def listing(opening: str, items: Iterable[Code], closing: str) -> Group:
    """A list, tuple or dict; a tuple of one has a comma."""
    items = tuple(items)
    return Group(opening, items, "," * (opening == "(" and len(items) == 1) + closing)


def flat(code: Code) -> str:
    """The expression in one line."""
    if isinstance(code, str):
        return code
    if isinstance(code, Chain):
        return f" {code.operator} ".join(map(flat, code.operands))
    return code.before + ", ".join(map(flat, code.items)) + code.after


def marks_in(code: Code) -> Marks:
    """What an expression is about."""
    if isinstance(code, str):
        return NONE
    inner = code.operands if isinstance(code, Chain) else code.items
    return code.marks.union(*map(marks_in, inner))


def rows_of(indent: int, before: str, code: Code, after: str = "", marks: Marks = NONE) -> list[Row]:
    """A statement: what stands before an expression, the expression, and what stands behind it."""
    return [Row(row.text, row.marks | marks) for row in laid_out(indent, before, code, after)]


def laid_out(indent: int, before: str, code: Code, after: str = "") -> list[Row]:
    """The lines of an expression: one if it fits, else its items in a line of their own, else a line for each."""
    blank = " " * indent
    line = f"{blank}{before}{flat(code)}{after}"
    if isinstance(code, str) or len(line) <= WIDTH:
        return [Row(line, marks_in(code))]
    if isinstance(code, Chain):
        return chain_rows(indent, before, code, after)
    if not code.items:
        return [Row(line, code.marks)]
    first, last = Row(f"{blank}{before}{code.before}", code.marks), Row(f"{blank}{code.after.lstrip(',')}{after}", code.marks)
    inner = f"{blank}{' ' * INDENT}{', '.join(map(flat, code.items))}"
    if len(inner) <= WIDTH and code.after[0] != ",":
        return [first, Row(inner, code.marks.union(*map(marks_in, code.items))), last]
    comma = "," if len(code.items) > 1 or code.after[0] == "," else ""
    body = [row for item in code.items for row in laid_out(indent + INDENT, "", item, comma)]
    return [first, *body, last]


def chain_rows(indent: int, before: str, code: Chain, after: str) -> list[Row]:
    """Operands between parentheses, each in a line behind its operator."""
    blank = " " * indent
    rows = [Row(f"{blank}{before}(", code.marks)]
    for i, operand in enumerate(code.operands):
        rows += laid_out(indent + INDENT, f"{code.operator} " if i else "", operand)
    return [*rows, Row(f"{blank}){after}", code.marks)]


def quoted(text: str) -> str:
    """A string as the formatter writes it: in double quotes, unless there are some inside."""
    plain = repr(text)
    return plain if '"' in text or plain[0] == '"' else f'"{plain[1:-1]}"'
