"""A network as a Python file in words: what ``print(net)`` shows, with the imports that it needs."""

from __future__ import annotations

import ast
import builtins
import functools
import keyword
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

import skipseq
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import children_of, has_state, is_sequence
from skipseq.declare.functions import Expression, Function
from skipseq.declare.words import Word
from skipseq.errors import ConversionError
from skipseq.run import Sequential

__all__ = ["words_file"]

#: What a text of words may refer to without saying more, and the statement that brings it.
KNOWN: dict[str, tuple[Any, str]] = {
    "OrderedDict": (OrderedDict, "from collections import OrderedDict"),
    "partial": (functools.partial, "from functools import partial"),
    "torch": (torch, "import torch"),
    "nn": (nn, "from torch import nn"),
}


def words_file(net: Sequential, name: str = "net") -> str:
    """The text of a file that builds a network like this one, with weights of its own.

    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> from skipseq.bridges.words_file import words_file
    >>> print(words_file(Sequential(nn.Linear(4, 4), nn.ReLU(), add("input"))), end="")
    from torch import nn
    <BLANKLINE>
    from skipseq import Sequential, add
    <BLANKLINE>
    net = Sequential(
        nn.Linear(4, 4),
        nn.ReLU(),
        add('input'),  # <- input
    )

    The file is run once, and what it builds is compared with the network.

    Args:
        net: the network.
        name: the variable that holds it.

    Raises:
        ConversionError: if something in it cannot be written so that Python reads it, a layer of another package for instance;
            or if the variable has no name.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConversionError(f"{name!r} is no name of a variable.\n  Write one of letters and digits: 'net'.")
    imports, values = imports_of(str(net), known_names(net, str(net)))
    text = "\n".join([*assigned(str(net), name), *shared_again(net, name)])
    built: dict[str, Any] = dict(values)
    try:
        exec(text, built)
    except Exception as error:  # whatever a constructor raises, or Python says to the text of a layer
        raise unwritable(net, values) from error
    if not is_alike(built[name], net):
        raise unwritable(net, values)
    return "\n".join([*imports, "", text, ""])


def assigned(printed: str, name: str) -> list[str]:
    """The lines that give a network its name; what it needs from outside is told in comments above it."""
    lines = printed.split("\n")
    start = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [*lines[:start], f"{name} = {lines[start]}", *lines[start + 1 :]]


def shared_again(net: Sequential, name: str) -> list[str]:
    """The lines that make one of those layers that a text in one piece writes several times."""
    first: dict[int, str] = {}
    shared: dict[str, str] = {}
    inside: set[str] = set()
    for path, module in net.named_modules(remove_duplicate=False):
        if path.rpartition(".")[0] in inside:
            inside.add(path)
        elif has_state(module) and first.setdefault(id(module), path) != path:
            shared[path] = first[id(module)]
            inside.add(path)
    lines = [f"{name}.set_submodule({path!r}, {name}.get_submodule({other!r}))" for path, other in shared.items()]
    return ["# One layer at several places, with the same weights.", *lines] if lines else []


def known_names(net: Sequential, text: str) -> dict[str, tuple[Any, str]]:
    """The names that the text of a network may use: words, and its own functions and layers, with their imports."""
    known = dict(KNOWN)
    for word in (each for each in skipseq.__all__ if each in text):  # to name the others would import all bridges
        known[word] = getattr(skipseq, word), f"from skipseq import {word}"
    for thing in things_in(net):
        name, home = getattr(thing, "__name__", None), getattr(thing, "__module__", None)
        if name is not None and home is not None and getattr(sys.modules.get(home), name, None) is thing:
            known.setdefault(name, (thing, f"from {home} import {name}"))
    return known


def things_in(net: nn.Module) -> Iterator[Any]:
    """The functions of a network and the classes of its layers."""
    for module in net.modules():
        yield type(module)
        function: Any = module.function if isinstance(module, Function) else None
        yield from function.names.values() if isinstance(function, Expression) else ()
        while isinstance(function, functools.partial):
            function = function.func
        yield function


def imports_of(text: str, known: dict[str, tuple[Any, str]]) -> tuple[list[str], dict[str, Any]]:
    """The import statements for the names in a text, in order, and what they stand for."""
    try:
        used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    except SyntaxError:
        used = set(known)
    names = sorted(name for name in used if name in known and name not in vars(builtins))
    by_module: dict[str, list[str]] = {}
    for name in names:
        module, _, what = known[name][1].rpartition("import ")
        by_module.setdefault(module, []).append(what)
    ours = {module: whats for module, whats in by_module.items() if module == "from skipseq "}
    lines = [f"{module}import {', '.join(whats)}" for module, whats in sorted(by_module.items()) if module not in ours]
    lines += ["", *(f"{module}import {', '.join(whats)}" for module, whats in ours.items())] if lines else []
    return lines, {name: known[name][0] for name in names}


def is_alike(built: Any, net: Sequential) -> bool:
    """Whether a network has the wiring, the keys and the shapes of another one."""
    if not isinstance(built, Sequential) or built.wiring != net.wiring:
        return False
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (built, net)]
    return list(shapes[0].items()) == list(shapes[1].items())


def unwritable(net: Sequential, values: dict[str, Any]) -> ConversionError:
    """The error that names the first layer which its own text does not build."""
    for path, layer in layers_of(net, ""):
        if not is_written(layer, values):
            return ConversionError(
                "the network cannot be written as a file in words.\n"
                f"  layer {path!r} is printed as {constructor(layer)}\n"
                f"  expected a text that builds it; {type(layer).__name__} does not keep its arguments under their names\n"
                "  Keep them as attributes in its class, write the layer as a Sequential, or save the network as it is: "
                "torch.save(net, 'net.pt')."
            )
    return ConversionError(
        "the network cannot be written as a file in words.\n"
        f"  its text builds another network than this {type(net).__name__}\n"
        "  Save the network as it is: torch.save(net, 'net.pt')."
    )


def layers_of(container: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a network that are written as one, with their paths."""
    for key, child in children_of(container).items():
        if isinstance(child, Word) or is_sequence(child):
            yield from layers_of(child, f"{path}{key}.")
        else:
            yield path + key, child


def is_written(layer: nn.Module, values: dict[str, Any]) -> bool:
    """Whether the text of a layer builds one like it."""
    try:
        built = eval(constructor(layer), dict(values))
    except Exception:  # whatever its constructor raises
        return False
    return isinstance(layer, Function) or (type(built) is type(layer) and [*built.state_dict()] == [*layer.state_dict()])
