"""Expressions: ``nn.Conv2d(3, 16, 3, padding=1)`` as what it stands for, by a closed set of pieces. Nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeAlias

from torch import nn

from skipseq import pick
from skipseq.errors import FileError, did_you_mean
from skipseq.run import Sequential

from .build import Builder, Given
from .document import MOST_NESTED, Scalar
from .faults import Source
from .lambdas import dotted_name, expression_of
from .names import MISSING, Names

__all__ = ["Block", "Evaluator", "Scope", "parsed"]

#: The longest expression, in characters.
MOST_IN_EXPRESSION = 100_000

#: The largest number that a text may have.
LARGEST_NUMBER = 1 << 63

#: What a name in a block stands for.
Values: TypeAlias = Mapping[str, Any]

OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other,
    ast.FloorDiv: lambda one, other: one // other,
    ast.Mod: lambda one, other: one % other,
}


@dataclass(frozen=True, slots=True)
class Block:
    """A parameterised block of the text: its parameters with their defaults, and what it is called."""

    name: str
    parameters: tuple[str, ...]
    defaults: Mapping[str, Any]
    build: Callable[[Scope], Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands: what parameters mean there, and the blocks that are being built around it."""

    values: Values = field(default_factory=dict)
    calls: tuple[str, ...] = ()


def parsed(scalar: Scalar, source: Source) -> ast.expr:
    """The expression in a scalar, as pieces.

    Raises:
        FileError: if it is none, too long, or nested too deep.
    """
    text = scalar.text
    if len(text) > MOST_IN_EXPRESSION:
        raise source.fault(
            scalar.place,
            "the expression is too long",
            f"at most {MOST_IN_EXPRESSION:,} characters",
            f"{len(text):,} characters",
            "Write its parts as lists, or as blocks.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, about odd texts: they are refused below
            tree = ast.parse(text.strip() and text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise no_expression(scalar, source, error) from None
    if (deep := deepest(tree)) is not None:
        raise source.fault(
            scalar.at(offset_of(text, deep)),
            "the expression is nested too deep",
            f"at most {MOST_NESTED} brackets and operators inside one another",
            text,
            "Write its parts as lists, or as blocks.",
        )
    return tree


def no_expression(scalar: Scalar, source: Source, error: Exception) -> FileError:
    """The error for a scalar that is no expression."""
    place, told = scalar.place, "it is too complicated"
    advice = "Write it as in Python, in one line. A list behind a name is a part."
    if not scalar.text.strip():
        return source.fault(place, "an entry is missing", "a layer, a function, a word or a block", "nothing", advice)
    if isinstance(error, SyntaxError):
        lines = scalar.text.split("\n")
        line = min(max(error.lineno or 1, 1), len(lines))
        offset = sum(len(each) + 1 for each in lines[: line - 1]) + min(max((error.offset or 1) - 1, 0), len(lines[line - 1]))
        place, told = scalar.at(offset), (error.msg or "").partition(" (<")[0]
        if "never closed" in told or "unmatched" in told:
            advice = "Close each bracket. Between [ and ] a comma ends an entry: put quotes around those that have commas."
    return source.fault(
        place,
        f"no expression: {told}",
        "a layer, a function, a word or a block: nn.Linear(3, 4)",
        scalar.text,
        advice,
    )


def deepest(tree: ast.AST) -> ast.AST | None:
    """A piece that is nested too deep, if any."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MOST_NESTED:
            return next((each for each in level if hasattr(each, "col_offset")), tree)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return None


def offset_of(text: str, node: ast.AST) -> int:
    """The offset of a piece in its text, in characters; Python counts the bytes of a line."""
    lines = text.split("\n")
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))


class Evaluator:
    """What the expressions of one text stand for."""

    def __init__(self, source: Source, names: Names, builder: Builder, trees: dict[int, ast.expr]) -> None:
        self.source, self.names, self.builder, self.trees = source, names, builder, trees
        self.blocks: dict[str, Block] = {}
        #: What stands behind an anchor, by its name, as far as it has been built in the block that is being built.
        self.anchors: Callable[[str, Scope], Any] = lambda name, scope: MISSING

    def value(self, scalar: Scalar, scope: Scope) -> Any:
        """What a scalar stands for."""
        if id(scalar) not in self.trees:  # each is read twice, and in a block many times
            self.trees[id(scalar)] = parsed(scalar, self.source)
        return Reading(self, scalar, scope).value(self.trees[id(scalar)])

    def reading(self, scalar: Scalar, scope: Scope) -> Reading:
        """One expression at its place."""
        return Reading(self, scalar, scope)


class Reading:
    """One expression in its scalar, so that every piece has a place."""

    def __init__(self, evaluator: Evaluator, scalar: Scalar, scope: Scope) -> None:
        self.evaluator, self.scalar, self.scope = evaluator, scalar, scope
        self.simple = scalar.text.isascii() and "\n" not in scalar.text
        self.names, self.builder = evaluator.names, evaluator.builder

    def fault(self, node: ast.AST, problem: str, expected: str, advice: str) -> FileError:
        """The error for a piece of the expression."""
        place = self.scalar.at(self.offset(node))
        return self.evaluator.source.fault(place, problem, expected, self.text(node), advice)

    def offset(self, node: ast.AST) -> int:
        """The offset of a piece in the expression."""
        return getattr(node, "col_offset", 0) if self.simple else offset_of(self.scalar.text, node)

    def text(self, node: Any) -> str:
        """The text of a piece."""
        if self.simple and hasattr(node, "col_offset"):
            return self.scalar.text[node.col_offset : node.end_col_offset]
        return ast.get_source_segment(self.scalar.text, node) or self.scalar.text

    def given(self, node: ast.AST, value: Any, name: str | None = None) -> Given:
        """A value with its place."""
        return Given(value, self.scalar.at(self.offset(node)), self.text(node), name)

    def value(self, node: ast.AST) -> Any:
        """What a piece stands for."""
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name | ast.Attribute):
            return self.name(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Tuple):
            return tuple(map(self.value, node.elts))
        if isinstance(node, ast.List):
            return list(map(self.value, node.elts))
        if isinstance(node, ast.Dict):
            return self.dictionary(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = self.number(node.operand)
            return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return self.operation(node)
        if isinstance(node, ast.Subscript):
            return self.subscript(node)
        if isinstance(node, ast.Lambda):
            return expression_of(node, self.scalar.text, self.names, self.fault)
        raise self.fault(
            node,
            "an expression of a text cannot have this",
            "calls of layers, words and blocks, numbers, texts, tuples, lists and + - * / // %",
            "Write what it gives; a class or a function of your own goes into registry={'name': ...}.",
        )

    # Numbers and names

    def constant(self, node: ast.Constant) -> Any:
        """A number or a text."""
        if isinstance(node.value, bytes):
            raise self.fault(node, "bytes have no meaning here", "a text or a number", "Write it without the b.")
        return self.bounded(node, node.value)

    def bounded(self, node: ast.AST, value: Any) -> Any:
        """A value that is no number, or one that is not too large."""
        if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
            raise self.fault(node, "the number is too large", "whole numbers below 2 ** 63", "Write a smaller number.")
        return value

    def number(self, node: ast.AST) -> Any:
        """A number to compute with."""
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float | complex):
            raise self.fault(
                node, "this is no number", "numbers around + - * / // %", "Write a number, or a parameter of the block."
            )
        return value

    def operation(self, node: ast.BinOp) -> Any:
        """Two numbers with an operator between them."""
        one, other = self.number(node.left), self.number(node.right)
        try:
            result = OPERATORS[type(node.op)](one, other)
        except (ArithmeticError, TypeError) as error:
            raise self.fault(node, f"it cannot be computed: {error}", "a number", "Write other numbers.") from None
        if isinstance(result, float) and not isfinite(result):
            raise self.fault(node, "the result is too large", "a number", "Write float('inf') where infinity is meant.")
        return self.bounded(node, result)

    def name(self, node: ast.Name | ast.Attribute) -> Any:
        """What a name stands for: a parameter of the block, something with an anchor, a block, a known name."""
        dotted = dotted_name(node)
        if dotted is not None:
            if dotted in self.scope.values:
                return self.scope.values[dotted]
            if dotted in self.evaluator.blocks:
                return self.evaluator.blocks[dotted]
            found = self.names.find(dotted)
            if found is MISSING:
                found = self.evaluator.anchors(dotted, self.scope)
            if found is not MISSING:
                return found
        raise self.unknown(node, dotted)

    def unknown(self, node: ast.AST, dotted: str | None) -> FileError:
        """The error for a name that stands for nothing."""
        if dotted is None:
            return self.fault(
                node, "only names have dots behind them", "nn.Linear, torch.relu", "Write the name of a layer or a function."
            )
        known = [*self.scope.values, *self.evaluator.blocks, *self.names.known()]
        similar = did_you_mean(dotted, known) or did_you_mean(f"nn.{dotted}", known) or did_you_mean(f"torch.{dotted}", known)
        where = "layers of torch.nn, functions of tensors, words of skipseq, the blocks of this text and the registry"
        advice = f"Pass registry={{{dotted.split('.')[-1]!r}: ...}} for a class or a function of your own."
        return self.fault(node, f"{dotted} is not known.{similar}", where, advice)

    def dictionary(self, node: ast.Dict) -> dict[Any, Any]:
        """A dict with texts and numbers for keys."""
        found = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if not isinstance(key, ast.Constant):
                raise self.fault(key or value, "a key of a dict is a text or a number", "{'name': ...}", "Write the keys out.")
            found[self.constant(key)] = self.value(value)
        return found

    def subscript(self, node: ast.Subscript) -> Any:
        """``pick[...]``, the one thing that has an index."""
        if not (isinstance(node.value, ast.Name) and self.names.find(node.value.id) is pick):
            raise self.fault(
                node, "only pick has an index", "pick[0], pick[:, -1]", "Write the entry, then pick[...] behind it."
            )
        return pick[self.index(node.slice)]

    def index(self, node: ast.AST) -> Any:
        """What stands between the brackets of an index."""
        if isinstance(node, ast.Tuple):
            return tuple(map(self.index, node.elts))
        if isinstance(node, ast.Slice):
            return slice(*(None if each is None else self.value(each) for each in (node.lower, node.upper, node.step)))
        return self.value(node)

    # Calls

    def call(self, node: ast.Call) -> Any:
        """A call of a layer, a word, a block; or ``.repeat(3)``."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "repeat" and not self.is_known(node.func):
            return self.repeat(node, node.func)
        function = self.value(node.func)
        text = self.text(node.func)
        args, kwargs = list(self.positional(node)), self.named(node)
        where = self.given(node, None)
        if isinstance(function, Block):
            return self.block(function, args, kwargs, node)
        return self.builder.construct(function, text, args, kwargs, where)

    def is_known(self, node: ast.Attribute) -> bool:
        """Whether something with a dot in it is a known name: ``torch.Tensor.repeat``."""
        dotted = dotted_name(node)
        return dotted is not None and self.names.find(dotted) is not MISSING

    def positional(self, node: ast.Call) -> Iterator[Given]:
        """The arguments by position; a pair keeps its name."""
        for each in node.args:
            if isinstance(each, ast.Starred):
                raise self.fault(each, "a text has no *", "arguments one by one", "Write them out.")
            value = self.value(each)
            pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)
            yield self.given(each, value, value[0] if pair else None)

    def named(self, node: ast.Call) -> dict[str, Any]:
        """The arguments by name."""
        found: dict[str, Any] = {}
        for each in node.keywords:
            if each.arg is None:
                raise self.fault(each.value, "a text has no **", "arguments one by one", "Write them out.")
            found[each.arg] = self.value(each.value)
        return found

    def repeat(self, node: ast.Call, function: ast.Attribute) -> Any:
        """A sequence several times, each with weights of its own."""
        value = self.value(function.value)
        args, kwargs = list(self.positional(node)), self.named(node)
        if not isinstance(value, Sequential):
            what = "a layer" if isinstance(value, nn.Module) else "no sequence"
            raise self.fault(
                function.value, f"only a sequence can be repeated, this is {what}", "a block or Sequential(...)",
                "Write Sequential(layer).repeat(3).",
            )  # fmt: skip
        counts = [each.value for each in args] + list(kwargs.values())
        if len(counts) != 1 or set(kwargs) - {"count"} or not isinstance(counts[0], int) or isinstance(counts[0], bool):
            raise self.fault(node, "repeat takes one whole number", ".repeat(3)", "Write how many times.")
        return self.builder.repeat(value, counts[0], self.given(node, None))

    def block(self, block: Block, args: list[Given], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """A block of the text with these arguments."""
        signature = written_signature(block)
        if block.name in self.scope.calls:
            way = " -> ".join([*self.scope.calls[self.scope.calls.index(block.name) :], block.name])
            raise self.fault(node, f"the block calls itself: {way}", "blocks that end somewhere", "Write it with .repeat(3).")
        values = dict(zip(block.parameters, (each.value for each in args), strict=False))
        unknown = [name for name in kwargs if name not in block.parameters]
        twice = [name for name in kwargs if name in values]
        if len(args) > len(block.parameters) or unknown or twice:
            wrong = f"no parameter {unknown[0]!r}" if unknown else f"{twice[0]!r} twice" if twice else "too many arguments"
            raise self.fault(
                node, f"{block.name} receives {wrong}", signature, "Write its arguments in the order of its parameters."
            )
        values = {**block.defaults, **values, **kwargs}
        if missing := [name for name in block.parameters if name not in values]:
            raise self.fault(node, f"{block.name} lacks {', '.join(missing)}", signature, f"Write {missing[0]}=... in it.")
        with self.builder.inside(self.given(node, None)):
            return block.build(Scope(values, (*self.scope.calls, block.name)))


def written_signature(block: Block) -> str:
    """A block with its parameters, as it was written."""
    given = [f"{name}={block.defaults[name]!r}" if name in block.defaults else name for name in block.parameters]
    return f"{block.name}({', '.join(given)})"
