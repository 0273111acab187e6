"""Whether the network that a text builds is the one it was written from, but for the numbers in it."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from skipseq.declare.constructors import constructor, simple
from skipseq.declare.containers import has_state, is_sequence
from skipseq.declare.functions import Function
from skipseq.declare.words import Word
from skipseq.run import Sequential
from skipseq.views.text import is_as_written

from .tree import written_class

__all__ = ["first_difference"]

#: Attributes that say nothing about what a layer is.
BESIDE = frozenset({"training", "must_run"})

#: A path, what is different there, and the layer.
Difference = tuple[str, str, str]


def first_difference(built: Any, net: Sequential) -> Difference | None:
    """The first place at which two networks differ, in layers, words, wiring, keys, shapes or what they share."""
    found = difference(built, net, "")
    if found is not None:
        return found
    if (shared := unshared(built, net)) is not None:
        return shared
    return None if built.wiring == net.wiring else ("", "its text builds another wiring", type(net).__name__)


def difference(built: nn.Module, net: nn.Module, path: str) -> Difference | None:
    """The first place at which two modules differ."""
    if becomes(built, net):
        return None
    if not same_class(built, net):
        return path, f"its text builds {type(built).__name__}", type(net).__name__
    if list(built._modules) != list(net._modules):
        return path, f"its text builds one with the keys {', '.join(built._modules)}", f"keys {', '.join(net._modules)}"
    if (name := first_unlike(built, net)) is not None:
        return path, f"its text builds one whose {name} is another", shown(net)
    for key, child in net._modules.items():
        other = built._modules[key]
        if child is None or other is None:
            continue
        if (found := difference(other, child, f"{path}.{key}".lstrip("."))) is not None:
            return found
    return None


def same_class(built: nn.Module, net: nn.Module) -> bool:
    """Whether two modules are of one class; a sequence is of the one that it is written as."""
    return type(built) is type(net) or (is_sequence(net) and not is_as_written(net) and type(built) is written_class(net))


def becomes(built: nn.Module, net: nn.Module) -> bool:
    """Whether the one is lazy, and turns into what the other is as soon as it knows the shapes."""
    return isinstance(built, LazyModuleMixin) and built.cls_to_become is type(net)


def first_unlike(built: nn.Module, net: nn.Module) -> str | None:
    """The first attribute, parameter or buffer in which two modules of one class differ."""
    if isinstance(net, Function):
        return None if isinstance(built, Function) and same_function(built.function, net.function) else "function"
    for kind in ("_parameters", "_buffers"):
        ours, theirs = vars(net)[kind], vars(built)[kind]
        for name in dict.fromkeys([*ours, *theirs]):
            if name not in ours or name not in theirs or not same_shape(ours[name], theirs[name]):
                return str(name)
    for name, value in vars(net).items():
        known = not name.startswith("_") and name not in BESIDE and name in vars(built)
        if known and (isinstance(net, Word) or is_simple(value)) and not same_value(name, value, vars(built)[name]):
            return name
    return None


def same_shape(one: Any, other: Any) -> bool:
    """Whether two tensors have one shape; of one that is not there yet, nobody knows."""
    if one is None or other is None:
        return one is other
    return is_lazy(one) or is_lazy(other) or bool(one.shape == other.shape)


def is_simple(value: Any) -> bool:
    """Whether a value is a number, a text, or made of these."""
    if isinstance(value, list | tuple):
        return all(map(is_simple, value))
    return value is None or isinstance(value, bool | int | float | complex | str)


def same_value(name: str, one: Any, other: Any) -> bool:
    """Whether two attributes have one value."""
    one, other = simple(name, one), simple(name, other)
    return bool(one == other) or repr(one) == repr(other)


def same_function(one: Any, other: Any) -> bool:
    """Whether two functions are one, or partial ones of the same with the same values."""
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return same_function(one.func, other.func) and repr((one.args, one.keywords)) == repr((other.args, other.keywords))
    return one is other or bool(one == other)


def unshared(built: nn.Module, net: nn.Module) -> Difference | None:
    """The first layer that stands at several places of the one network, and not of the other."""
    pairs: dict[int, int] = {}
    others: dict[int, int] = {}
    theirs = dict(built.named_modules(remove_duplicate=False))
    for path, module in net.named_modules(remove_duplicate=False):
        if not has_state(module):
            continue
        one, other = id(module), id(theirs[path])
        if pairs.setdefault(one, other) != other or others.setdefault(other, one) != one:
            return path, "it stands at several places, of which one is inside a word", shown(module)
    return None


def shown(module: nn.Module) -> str:
    """A layer in one line."""
    return str(module) if isinstance(module, Word) else constructor(module)
