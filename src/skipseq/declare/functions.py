"""Plain functions as layers, and the modules that must not hide in them."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import torch
from torch import nn

__all__ = ["Expression", "Function", "hidden_module", "is_function", "is_named_in_place"]


class Function(nn.Module):
    """A plain function that stands where a layer stands."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Any, **named: Any) -> Any:
        """Calls the function."""
        return self.function(*values, **named)

    def __repr__(self) -> str:
        return written(self.function)


class Expression:
    """A function that is written as the body of a ``lambda``, and unlike one can be pickled and printed.

    >>> import torch
    >>> from skipseq import Sequential
    >>> from skipseq.declare.functions import Expression
    >>> net = Sequential(Expression(("x",), "x.flatten(1)"))
    >>> net(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 12])
    >>> print(net)
    Sequential(
        lambda x: x.flatten(1),
    )

    Args:
        parameters: the names of its values, in order.
        text: one expression over them, in which ``torch`` and ``nn`` are known.
        names: what else it uses, by name.
    """

    def __init__(self, parameters: tuple[str, ...], text: str, names: Mapping[str, Any] | None = None) -> None:
        self.parameters = parameters
        self.text = text
        self.names = dict(names or {})
        self.function = eval(str(self), {"torch": torch, "nn": nn, **self.names})

    def __call__(self, *values: Any) -> Any:
        """The expression of these values."""
        return self.function(*values)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameters, self.text, self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.parameters, self.text))

    def __repr__(self) -> str:
        return f"lambda {', '.join(self.parameters)}: {self.text}"


def written(function: Any) -> str:
    """A function as one would write it: ``torch.relu``, ``nn.functional.gelu``, ``my_function``."""
    if isinstance(function, functools.partial):
        values = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
        return f"partial({', '.join([written(function.func), *values])})"
    name = getattr(function, "__name__", None) or repr(function)
    for home, title in HOMES.items():
        for each in (name, name.partition("_")[2]):  # torch.special.erf calls itself special_erf
            if each and getattr(home, each, None) is function:
                return f"{title}.{each}"
    return (getattr(function, "__qualname__", None) or name).rpartition("<locals>.")[2]


#: Where functions of torch are known from, and how one writes these places.
HOMES: dict[Any, str] = {
    torch: "torch",
    nn.functional: "nn.functional",
    torch.Tensor: "torch.Tensor",
    torch.special: "torch.special",
    torch.linalg: "torch.linalg",
    torch.fft: "torch.fft",
}


def is_named_in_place(function: Any) -> bool:
    """Whether a function changes its value, by its name: ``torch.relu_``."""
    name = getattr(function, "__name__", "")
    return name.endswith("_") and not name.endswith("__")


def is_function(entry: object) -> bool:
    """Whether an entry is a callable that is neither a module nor a class."""
    return callable(entry) and not isinstance(entry, nn.Module | type)


def hidden_module(function: Any) -> nn.Module | None:
    """A module that the function holds where nothing could register its parameters, or nothing."""
    return next(find_modules(function, set()), None)


def find_modules(thing: Any, seen: set[int]) -> Iterator[nn.Module]:
    """The modules inside a function: bound, in its closure, defaults and globals, or in lists and dicts there."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        yield thing
    elif isinstance(thing, dict):
        for each in thing.values():
            yield from find_modules(each, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for each in thing:
            yield from find_modules(each, seen)
    elif isinstance(thing, functools.partial):
        yield from find_modules((thing.func, thing.args, thing.keywords), seen)
    elif callable(thing) and not isinstance(thing, type):
        for each in held_by(thing):
            yield from find_modules(each, seen)


def held_by(function: Any) -> Iterator[Any]:
    """What a function can reach without being given it."""
    yield getattr(function, "__self__", None)
    yield getattr(function, "__wrapped__", None)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
    yield getattr(function, "__defaults__", None)
    yield getattr(function, "__kwdefaults__", None)
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    if code is not None:
        for name in global_names(code):
            value = names.get(name)
            # Only modules and containers: following every global function would walk whole packages.
            if isinstance(value, nn.Module | list | tuple | dict):
                yield value
    if not hasattr(function, "__code__") and not hasattr(function, "__self__"):
        yield dict(getattr(function, "__dict__", {}))
        yield from (getattr(function, name, None) for cls in type(function).__mro__ for name in slots_of(cls))


def slots_of(cls: type) -> tuple[str, ...]:
    """The names in ``__slots__`` of a class, which may be one text."""
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def global_names(code: CodeType) -> Iterator[str]:
    """The global names that code loads, inner functions included."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from global_names(constant)
