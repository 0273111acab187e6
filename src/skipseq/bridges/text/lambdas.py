"""Lambdas in a text: short expressions over values, made of a closed set of pieces."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from skipseq.declare.functions import Expression
from skipseq.errors import did_you_mean

from .names import BUILTINS, METHODS, MISSING, Names

__all__ = ["expression_of"]

#: What a lambda is made of. Attributes, names and calls are looked at one by one.
PIECES = (
    ast.Attribute,
    ast.BinOp,
    ast.BoolOp,
    ast.Call,
    ast.Compare,
    ast.Constant,
    ast.Dict,
    ast.GeneratorExp,
    ast.IfExp,
    ast.List,
    ast.ListComp,
    ast.Name,
    ast.Slice,
    ast.Starred,
    ast.Subscript,
    ast.Tuple,
    ast.UnaryOp,
)

#: What says what is wrong with a piece: the piece, the problem, what was expected, what to do.
Refuse = Callable[[ast.AST, str, str, str], Exception]


def expression_of(node: ast.Lambda, text: str, names: Names, refuse: Refuse) -> Expression:
    """The function that a lambda stands for, after all its pieces have been looked at.

    Args:
        node: the lambda.
        text: the expression in which it stands.
        names: what names stand for.
        refuse: makes the error for a piece that a text cannot have.

    Raises:
        FileError: what ``refuse`` makes.
    """
    given = node.args
    if given.vararg or given.kwarg or given.kwonlyargs or given.defaults or given.posonlyargs:
        raise refuse(node, "the lambda has more than plain parameters", "lambda x, y: ...", "Write its values one by one.")
    parameters = tuple(each.arg for each in given.args)
    check = Check(names, {*parameters, *targets(node.body)}, refuse)
    check.look(node.body)
    segment = ast.get_source_segment(text, node.body) or ""
    written = " ".join(segment.split("\n"))
    if not is_same(written, node.body):
        written = ast.unparse(node.body)
    return Expression(parameters, written, check.used)


def is_same(text: str, node: ast.expr) -> bool:
    """Whether a text is exactly this expression."""
    try:
        return ast.dump(ast.parse(text, mode="eval").body) == ast.dump(node)
    except SyntaxError:  # it stood over several lines
        return False


def targets(body: ast.expr) -> Iterator[str]:
    """The names that the comprehensions in an expression give to what they run over."""
    for node in ast.walk(body):
        if isinstance(node, ast.comprehension):
            yield from (each.id for each in ast.walk(node.target) if isinstance(each, ast.Name))


class Check:
    """Looks at the pieces of a lambda; ``used`` has what it needs beside torch, nn and Python."""

    def __init__(self, names: Names, parameters: set[str], refuse: Refuse) -> None:
        self.names, self.parameters, self.refuse = names, parameters, refuse
        self.used: dict[str, Any] = {}

    def look(self, node: ast.AST) -> None:
        """One piece and all that is in it."""
        if isinstance(node, ast.comprehension):
            if node.is_async:
                raise self.unknown(node)
            for each in (node.iter, *node.ifs):
                self.look(each)
            return
        if isinstance(node, ast.keyword):
            if node.arg is None:
                raise self.unknown(node.value)
            self.look(node.value)
            return
        if not isinstance(node, PIECES):
            raise self.unknown(node)
        if isinstance(node, ast.Name | ast.Attribute):
            self.name(node)
            return
        if isinstance(node, ast.Constant):
            self.constant(node)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.operator | ast.unaryop | ast.boolop | ast.cmpop | ast.expr_context):
                self.look(child)

    def unknown(self, node: ast.AST) -> Exception:
        """The error for a piece that no lambda of a text has."""
        return self.refuse(
            node,
            "a lambda cannot have this",
            "values, numbers, calls of functions and methods of tensors, arithmetic, comparisons and indices",
            "Write a named function in Python and pass registry={'name': function}.",
        )

    def constant(self, node: ast.Constant) -> None:
        """A number, a text."""
        if isinstance(node.value, bytes) or (isinstance(node.value, int) and abs(node.value) >= 1 << 63):
            raise self.unknown(node)

    def name(self, node: ast.Name | ast.Attribute) -> None:
        """A name, or what stands behind a dot."""
        dotted = dotted_name(node)
        head = None if dotted is None else dotted.split(".")[0]
        if dotted is None or head in self.parameters:
            self.behind_dot(node)
            return
        if self.names.find_in_lambda(dotted) is not MISSING:
            self.use(dotted, str(head))
            return
        if isinstance(node, ast.Attribute):
            owner = dotted_name(node.value)
            if owner is not None and self.names.find_in_lambda(owner) is not MISSING and owner not in self.names.registry:
                self.behind_dot(node)
                return
        raise self.refuse(
            node,
            f"{dotted} is not known here.{did_you_mean(dotted, self.known())}".removesuffix("."),
            "the parameters of the lambda, functions of torch and nn.functional, and what the registry has",
            f"Pass registry={{{str(head)!r}: ...}}, or write a named function.",
        )

    def behind_dot(self, node: ast.Name | ast.Attribute) -> None:
        """A method or a property of a value."""
        if isinstance(node, ast.Name):
            return
        if node.attr not in METHODS:
            raise self.refuse(
                node,
                f".{node.attr} is no method of a tensor that a text can use.{did_you_mean(node.attr, METHODS)}".removesuffix(
                    "."
                ),
                "methods that compute with the numbers of a tensor, and its shape, dtype and device",
                "Write a named function in Python and pass registry={'name': function}.",
            )
        self.look(node.value)

    def use(self, dotted: str, head: str) -> None:
        """Notes what the expression needs beside what it always has."""
        if head in ("torch", "nn") or (head in BUILTINS and head not in self.names.registry):
            return
        found = self.names.registry.get(head, math if head == "math" else MISSING)
        if found is not MISSING:
            self.used[head] = found

    def known(self) -> Mapping[str, None]:
        """The names that could have been meant."""
        names = (name for name in self.names.known() if self.names.find_in_lambda(name) is not MISSING)
        return dict.fromkeys([*self.parameters, *names])


def dotted_name(node: ast.AST) -> str | None:
    """``torch.special.erf`` as a text, or nothing for what is no name with dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
