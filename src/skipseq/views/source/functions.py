"""Functions and other things that code refers to, as texts: imported by name, or written out."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Sequence
from types import EllipsisType, ModuleType
from typing import Any

import torch

from skipseq.declare.functions import HOMES, Expression

from .layout import Code, call, quoted
from .names import Names

__all__ = ["Imports", "Unwritable", "function_code", "literal"]


class Unwritable(Exception):
    """Something cannot be written down; the text says why."""


class Imports:
    """What the file imports, and the names by which it knows it."""

    def __init__(self) -> None:
        self.names = Names()
        self.found: dict[tuple[str, str], str] = {}

    def name_of(self, module: str, name: str) -> str:
        """The name of something that is imported from a module."""
        if (module, name) not in self.found:
            self.found[module, name] = self.names.new(name)
        return self.found[module, name]

    def reference(self, thing: Any) -> str | None:
        """A function or a class as code knows it, if it can be imported."""
        if isinstance(thing, ModuleType):
            return self.module(thing.__name__)
        if (known := known_to_torch(thing)) is not None:
            return known
        module, path = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
        if module == "_operator":
            module = "operator"
        if module is None or module == "__main__" or resolved(module, path) is not thing:
            return None
        if module == "builtins":
            return str(path)
        head, _, rest = path.partition(".")
        return self.name_of(module, head) + (f".{rest}" if rest else "")

    def module(self, name: str) -> str:
        """A module as code knows it."""
        for known, short in (("torch.nn", "nn"), ("torch", "torch")):
            if name == known or name.startswith(f"{known}."):
                # What stands in these two is reached through them.
                return short + name.removeprefix(known)
        parent, _, last = name.rpartition(".")
        return self.name_of(parent, last)

    def lines(self) -> list[str]:
        """The statements that import what was asked for, by module."""
        modules: dict[str, list[str]] = {}
        for (module, name), alias in sorted(self.found.items()):
            modules.setdefault(module, []).append(name if name == alias else f"{name} as {alias}")
        whole = [f"import {name}" for name in modules.pop("", [])]
        return whole + [f"from {module} import {', '.join(names)}" for module, names in modules.items()]


def resolved(module: str, path: str) -> Any:
    """What stands at a path in a module that is loaded."""
    thing: Any = sys.modules.get(module)
    for name in path.split("."):
        thing = getattr(thing, name, None)
    return thing


def known_to_torch(thing: Any) -> str | None:
    """A function of torch as one writes it, or a class of ``torch.nn``."""
    name = getattr(thing, "__name__", None)
    if name is None:
        return None
    if isinstance(thing, type):
        return f"nn.{name}" if getattr(torch.nn, name, None) is thing else None
    for home, title in HOMES.items():
        for each in (name, name.partition("_")[2]):  # torch.special.erf calls itself special_erf
            if each and getattr(home, each, None) is thing:
                return f"{title}.{each}"
    return None


def literal(value: Any, imports: Imports) -> str:
    """A value as one writes it.

    Raises:
        Unwritable: if it has no such form.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float) and value - value != 0:
        return f'float("{value}")'
    if value is None or type(value) in (bool, int, float, complex) or isinstance(value, torch.dtype):
        return repr(value)
    if isinstance(value, EllipsisType):
        return "..."
    if isinstance(value, tuple):
        return f"({', '.join(literal(each, imports) for each in value)}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(literal(each, imports) for each in value)}]"
    if callable(value) or isinstance(value, ModuleType):
        if (known := imports.reference(value)) is not None:
            return known
        raise Unwritable(f"uses a function that {why_hidden(value)}")
    raise Unwritable(f"has {value!r}, which is no constant that a file could hold")


def index(choice: Any, imports: Imports) -> str:
    """An index as it stands between brackets."""
    if isinstance(choice, tuple) and choice:
        return ", ".join(index(each, imports) for each in choice) + ("," if len(choice) == 1 else "")
    if isinstance(choice, slice):
        ends = ["" if each is None else literal(each, imports) for each in (choice.start, choice.stop)]
        return ":".join(ends) + ("" if choice.step is None else f":{literal(choice.step, imports)}")
    return literal(choice, imports)


def function_code(function: Any, values: Sequence[str], named: Sequence[tuple[str, str]], imports: Imports) -> Code:
    """A function called with values.

    Raises:
        Unwritable: if it cannot be imported or written out.
    """
    if isinstance(function, Expression):
        return substituted(function, values, imports)
    if type(function) is functools.partial:
        given = [literal(each, imports) for each in function.args]
        options = {name: literal(each, imports) for name, each in function.keywords.items()} | dict(named)
        return function_code(function.func, [*given, *values], list(options.items()), imports)
    known = imports.reference(function)
    if known is None:
        raise Unwritable(why_hidden(function))
    return call(known, [*values, *(f"{name}={value}" for name, value in named)])


def why_hidden(function: Any) -> str:
    """Why a function cannot be imported."""
    path = getattr(function, "__qualname__", "")
    if "<lambda>" in path:
        return "is a lambda, which has no name that a file could import"
    if "<locals>" in path:
        return f"is defined inside {path.rpartition('.<locals>')[0]}, where no file could import it"
    if getattr(function, "__module__", None) == "__main__":
        return "is defined in the script that runs, which no other file can import"
    return "is an object without a name that a file could import"


def substituted(expression: Expression, values: Sequence[str], imports: Imports) -> str:
    """The text of an expression, with values in place of its parameters, and with strings in double quotes."""
    tree = ast.parse(expression.text.strip(), mode="eval")
    text = ast.unparse(tree) if "\n" in expression.text.strip() else expression.text.strip()
    tree = ast.parse(text, mode="eval")
    meant = dict(zip(expression.parameters, values, strict=True))
    meant |= {name: literal(thing, imports) for name, thing in expression.names.items()}
    if bound := names_bound(tree) & {*meant, *values}:
        raise Unwritable(f"gives {', '.join(sorted(bound))} another meaning inside")
    written_out = text.encode()
    for node in sorted(nodes_at(tree), key=lambda each: each.col_offset, reverse=True):
        assert node.end_col_offset is not None
        old = written_out[node.col_offset : node.end_col_offset].decode()
        if isinstance(node, ast.Name):
            new = meant.get(node.id, old)
        else:
            new = quoted(str(node.value)) if old[0] == "'" and not old.startswith("'''") else old
        written_out = written_out[: node.col_offset] + new.encode() + written_out[node.end_col_offset :]
    return written_out.decode()


def nodes_at(tree: ast.AST) -> list[ast.Name | ast.Constant]:
    """The names and strings in an expression; an f-string is left as it is."""
    inner = {id(part) for each in ast.walk(tree) if isinstance(each, ast.JoinedStr) for part in each.values}
    found: list[ast.Name | ast.Constant] = []
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        if isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and is_text):
            found.append(node)
    return found


def names_bound(tree: ast.AST) -> set[str]:
    """The names that an expression gives a meaning itself: the arguments of a lambda, the variables of a comprehension."""
    bound = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
    return bound | {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
