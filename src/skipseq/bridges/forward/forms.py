"""An operation as an entry of a sequence: a layer, a word or a function, and in which order it takes its values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skipseq.declare.functions import Expression
from skipseq.declare.vocabulary import add, call, cat, here, mul, pick, sub
from skipseq.declare.words import is_number

from .layers import layer_for
from .numbers import plain
from .recording import Node, mapped, nodes_in
from .text import Writer, dotted, is_method, same_in_place

__all__ = ["Form", "form_of"]


@dataclass(slots=True)
class Form:
    """An operation as an entry: ``write`` makes it from its operands, one of which is ``here``.

    ``single`` is the entry itself where the only operand is the running value. ``join`` tells whether it is a join, and
    ``title`` is what a function is called.
    """

    operands: list[Node]
    write: Callable[[list[Any]], Any]
    single: Any = None
    join: bool = False
    title: str | None = None


#: Functions that are joins.
JOINS = {"add": add, "sub": sub, "mul": mul, "multiply": mul, "subtract": sub}


def form_of(node: Node, operands: list[Node], again: str | None = None) -> Form:
    """The entry of an operation; ``again`` is the name of a layer that is called once more."""
    if node.kind == "item":
        return alone(node.args[0], pick[node.function])
    if node.kind == "layer":
        return layer_form(node, operands, again or node.function)
    direct_only = all(each in operands for each in direct(node))
    if direct_only and (joined := join_form(node)) is not None:
        return joined
    if direct_only and getattr(node.function, "__name__", "") == "__getitem__" and is_choice(node.args[1]):
        return alone(node.args[0], pick[node.args[1]])
    layer = layer_for(node) if direct_only else None
    form = function_form(node, operands) if layer is None else alone(node.args[0], layer)
    form.title = getattr(node.function, "__name__", "function").strip("_") or "function"
    return form


def is_choice(index: Any) -> bool:
    """Whether an index is made of constants that can be printed."""
    if isinstance(index, tuple):
        return all(map(is_choice, index))
    if isinstance(index, slice):
        return all(each is None or type(each) is int for each in (index.start, index.stop, index.step))
    return index is None or index is ... or type(index) is int


def direct(node: Node) -> list[Node]:
    """The values among the arguments, without those from which numbers are made."""
    found: list[Any] = []
    mapped((node.args, node.named), found.append)
    return [each for each in found if isinstance(each, Node)]


def alone(operand: Node, entry: Any) -> Form:
    """An entry with one operand."""
    return Form([operand], lambda operands: entry if operands == [here] else call(entry, *operands), entry)


def layer_form(node: Node, operands: list[Node], layer: Any) -> Form:
    """A layer with its arguments; those that are the defaults of its forward are not written."""
    args, named = needed_arguments(node)
    if args == operands and len(args) == 1 and not named:
        return alone(args[0], call(layer) if isinstance(layer, str) else layer)

    def write(given: list[Any]) -> Any:
        names = dict(zip(operands, given, strict=True))
        values = [operand_of(each, names, node) for each in args]
        return call(layer, *behind_here(values), **{name: operand_of(each, names, node) for name, each in named.items()})

    return Form(operands, write)


def behind_here(operands: list[Any]) -> list[Any]:
    """The operands of a call as one writes them: of two, the running value in front goes without saying."""
    return operands[1:] if len(operands) == 2 and operands[0] is here and operands[1] is not here else operands


def needed_arguments(node: Node) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a layer without those that it has by itself."""
    try:
        signature = inspect.signature(node.function.forward)
        bound = signature.bind(*node.args, **node.named)
    except (TypeError, ValueError):
        return list(node.args), dict(node.named)
    if any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in signature.parameters.values()):
        return list(node.args), dict(node.named)
    args: list[Any] = []
    named: dict[str, Any] = {}
    given = len(node.args)
    for i, (name, value) in enumerate(bound.arguments.items()):
        default = signature.parameters[name].default
        if not nodes_in(value) and default is not inspect.Parameter.empty and type(value) is type(default) and value == default:
            continue
        if i < given and len(args) == i:
            args.append(value)
        else:
            named[name] = value
    return args, named


def operand_of(value: Any, names: dict[Node, Any], node: Node) -> Any:
    """An argument of a call as an operand: a value by its name, a number, or what is made of values."""
    if isinstance(value, Node) and value in names:
        return names[value]
    if is_number(value) and not nodes_in(value):
        return plain(value)
    parameters = parameter_names(list(names), node)
    writer = Writer(parameters)
    text = writer.value(value)
    used = {each: name for each, name in parameters.items() if each in writer.used}
    expression = Expression(tuple(used.values()) or ("x",), text, writer.names)
    return call(expression, *([names[each] for each in used] or [here]))


def join_form(node: Node) -> Form | None:
    """A join: values that are added, subtracted, multiplied or concatenated."""
    name = getattr(node.function, "__name__", "")
    if name in ("cat", "concat", "concatenate"):
        return cat_form(node)
    operator = name.strip("_")
    left_right = list(node.args)
    if operator in ("radd", "rsub", "rmul"):
        operator, left_right = operator[1:], left_right[::-1]
    if operator not in JOINS or node.named or len(left_right) != 2 or not is_of_torch(node.function, name):
        return None
    if name == f"{operator}_" and same_in_place(node.function, node.args, node.named) is None:
        return None
    values = [each for each in left_right if isinstance(each, Node)]
    if any(not isinstance(each, Node) and (nodes_in(each) or type(each) not in (int, float)) for each in left_right):
        return None
    if len(values) == 2 and values[0] is values[1]:
        return None
    word = JOINS[operator]
    differ = len({each.example.shape for each in values}) > 1
    options: dict[str, Any] = {"broadcast": True} if differ else {}
    turns = operator != "sub"

    def write(given: list[Any]) -> Any:
        names = dict(zip(values, given, strict=True))
        operands = [names[each] if isinstance(each, Node) else each for each in left_right]
        if turns and operands[1] is here:
            operands.reverse()
        return word(*(operands[1:] if operands[0] is here else operands), **options)

    return Form(values, write, write([here]) if len(values) == 1 else None, join=True)


def cat_form(node: Node) -> Form | None:
    """A concatenation."""
    values, *rest = node.args
    options = dict(zip(("dim",), rest, strict=False)) | node.named
    if "axis" in options:
        options["dim"] = options.pop("axis")
    dim = options.pop("dim", 0)
    if options or isinstance(values, Node) or not all(isinstance(each, Node) for each in values):
        return None
    if nodes_in(dim) or not isinstance(dim, int) or len(set(values)) < len(values):
        return None

    def write(given: list[Any]) -> Any:
        named: dict[str, Any] = {} if dim == 1 else {"dim": int(dim)}
        return cat(*(given[1:] if len(given) == 2 and given[0] is here else given), **named)

    return Form(list(values), write, join=True)


def is_of_torch(function: Any, name: str) -> bool:
    """Whether a function is the one that torch or its tensors have under a name."""
    return any(getattr(home, name, None) is function for home in (torch, torch.Tensor))


#: Methods of two values that are written as a function.
AS_FUNCTION = {"div": torch.div, "matmul": torch.matmul, "pow": torch.pow, "bmm": torch.bmm, "true_divide": torch.div}


def function_form(node: Node, operands: list[Node]) -> Form:
    """A plain function, or an expression with its constants written in."""
    function = plain_function(node, operands)
    if function is None:
        writer = Writer(parameter_names(operands, node))
        text = writer.operation(node)[0]
        function = Expression(tuple(writer.parameters.values()) or ("x",), text, writer.names)

    def write(given: list[Any]) -> Any:
        if given in ([], [here]):
            return function
        return call(function, *behind_here(given))

    return Form(operands, write, function if len(operands) <= 1 else None)


def plain_function(node: Node, operands: list[Node]) -> Any:
    """The function itself, where values are all that it takes."""
    name = getattr(node.function, "__name__", "")
    if node.kind != "function" or node.named or list(node.args) != operands:
        return None
    if len(operands) == 2 and name in AS_FUNCTION and is_method(node.function):
        return AS_FUNCTION[name]
    if name.endswith("_") or not isinstance(node.example, Tensor | tuple | list):
        return None
    same = getattr(torch, name, None)
    if getattr(torch.Tensor, name, None) is node.function and callable(same) and len(operands) == 1:
        return same
    return node.function if dotted(node.function) is not None and not name.startswith("__") else None


def parameter_names(operands: list[Node], node: Node) -> dict[Node, str]:
    """A name for each value of an expression: that of the user's code, if it has one."""
    names: dict[Node, str] = {}
    spare = iter(["x", "y", "z", *(f"x{i}" for i in range(4, 4 + len(operands)))])
    for operand in operands:
        name = node.called.get(operand.index, "")
        while not name or name in names.values() or name in ("torch", "nn", "self"):
            name = next(spare)
        names[operand] = name
    return names
