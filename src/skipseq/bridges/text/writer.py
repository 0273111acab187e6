"""From a network to its text, which is read again and compared before anybody gets it."""

from __future__ import annotations

import functools
import keyword
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized

from skipseq.declare.constructors import constructor, written_arguments
from skipseq.declare.containers import HOOKS
from skipseq.declare.functions import Expression, Function, written
from skipseq.errors import FileError, WiringError
from skipseq.run import Sequential
from skipseq.views.files import write_whole

from .compare import first_difference
from .lines import document_lines
from .names import MISSING, Names, layers_of_bridges
from .tree import Writing

__all__ = ["ACTION", "text_of"]

#: What was being done, for errors.
ACTION = "cannot be written as text"

NAMED = "Write a function with a name in a file of your own and pass registry={'name': function}, or write a module."


def text_of(net: Sequential, path: str | os.PathLike[str] | None, registry: Mapping[str, Any] | None) -> str:
    """The text of a network, written to a file if there is a path."""
    text = Writer(net, registry).text()
    if path is not None:
        try:
            write_whole(Path(path), text.encode())
        except OSError as error:
            told = error.strerror or str(error)
            raise FileError(str(path), "", "the file", "a folder to write to", told, "Look at its path.", ACTION) from None
    return text


class Writer:
    """Writes one network.

    Args:
        net: the network.
        registry: names for classes and functions of the user.
    """

    def __init__(self, net: Sequential, registry: Mapping[str, Any] | None) -> None:
        self.net = net
        self.names = Names(registry, "the network")
        self.own: dict[str, Any] = {}
        self.registered = {id(value): name for name, value in self.names.registry.items()}

    def text(self) -> str:
        """The text, after it was read again and compared with the network."""
        try:
            assert self.net.wiring is not None
        except WiringError as error:
            raise self.refused("", error.faults[0], "words that fit together", type(self.net).__name__, "Repair it.") from None
        for place, module in self.net.named_modules():
            self.check(place, module)
        writing = Writing(self.leaf, lambda kind: self.class_name(kind, ""), self.is_free)
        part = writing.network(self.net)
        top: tuple[Any, Any] = (None, None)
        if part.head == "Sequential":
            top = self.net._inputs, self.net._outputs
        text = "\n".join(document_lines(part, *top)) + "\n"
        self.verify(text)
        return text

    def verify(self, text: str) -> None:
        """Raises if the text does not stand for this network."""
        from . import network_of_text

        registry = {**self.own, **self.names.registry}
        try:
            built = network_of_text(Sequential, text, "its text", registry)
        except FileError as error:
            place = f"{error.where}: " if error.where else ""
            advice = f"{error.advice}\nTo keep it as it is: torch.save(net, 'net.pt')."
            raise self.refused(
                "", f"its text cannot be read, {place}{error.problem}", error.expected, error.received, advice
            ) from None
        found = first_difference(built, self.net)
        if found is not None:
            place, problem, layer = found
            advice = (
                "Keep what its constructor takes as attributes of the same names, or write it as a Sequential.\n"
                "To keep the network as it is: torch.save(net, 'net.pt')."
            )
            raise self.refused(place, problem, "a layer that its own text builds", layer, advice)

    def refused(self, path: str, problem: str, expected: str, received: str, advice: str) -> FileError:
        """The error for what cannot be written."""
        return FileError("the network", f"layer {path!r}" if path else "", problem, expected, received, advice, ACTION)

    def check(self, path: str, module: nn.Module) -> None:
        """Raises for what a text cannot say of a layer."""
        received = type(module).__name__
        own = getattr(module, "_initialize_hook", None) if isinstance(module, LazyModuleMixin) else None
        hooks = [key for name in HOOKS for key in getattr(module, name, None) or () if own is None or key != own.id]
        if hooks:
            advice = "Remove the hooks, or let the layer be of a class that does what they do."
            raise self.refused(path, "it has hooks, which are functions", "layers without hooks", received, advice)
        if is_parametrized(module):
            advice = "Call torch.nn.utils.parametrize.remove_parametrizations first, and again parametrize what was read."
            raise self.refused(path, "its parameters are computed", "plain parameters", received, advice)
        if "forward" in vars(module):
            raise self.refused(
                path, "it has a forward of its own", "the forward of its class", received, "Write a class for it."
            )

    def is_free(self, name: str) -> bool:
        """Whether a name means nothing yet."""
        return self.names.find(name) is MISSING and name not in self.own and not keyword.iskeyword(name)

    # Names

    def class_name(self, kind: type, path: str) -> str:
        """The name of a class in the text."""
        if id(kind) in self.registered:
            return str(self.registered[id(kind)])
        if layers_of_bridges().get(kind.__name__) is kind:
            return str(kind.__name__)
        return self.take(kind.__name__, kind, path)

    def take(self, name: str, value: Any, path: str) -> str:
        """A class or a function under its own name."""
        found = self.own.get(name, self.names.find(name))
        if found is not MISSING and found is not value:
            advice = f"Pass registry={{'other_name': {name}}}, here and when it is read."
            raise self.refused(path, f"{name} is the name of something else, too", "a name of its own", name, advice)
        if not name.isidentifier() or name in ("torch", "nn", "math"):
            raise self.refused(path, "it has no name that a text could use", "a class or function with a name", name, NAMED)
        if found is MISSING:
            self.own[name] = value
        return name

    # Layers

    def leaf(self, module: nn.Module, path: str) -> str:
        """A layer in one line."""
        if isinstance(module, Function):
            return self.function(module.function, path)
        kind = type(module)
        arguments = written_arguments(module)
        if arguments is None:
            advice = (
                "Keep what its constructor takes as attributes of the same names, or write it as a Sequential.\n"
                "To keep the network as it is: torch.save(net, 'net.pt')."
            )
            problem = f"{kind.__name__} does not keep its arguments"
            raise self.refused(path, problem, "a layer that its own text builds", constructor(module), advice)
        if getattr(nn, kind.__name__, None) is kind:
            return f"nn.{kind.__name__}({arguments})"
        return f"{self.class_name(kind, path)}({arguments})"

    def function(self, function: Any, path: str) -> str:
        """A function by its name."""
        if id(function) in self.registered:
            return str(self.registered[id(function)])
        if isinstance(function, Expression):
            for name, value in function.names.items():
                self.needed(name, value, path)
            return repr(function)
        if isinstance(function, functools.partial):
            values = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
            return f"partial({', '.join([self.function(function.func, path), *values])})"
        name = getattr(function, "__qualname__", "")
        if name.endswith("<lambda>") or "<locals>" in name:
            raise self.refused(
                path, "it is a function without a name to find it by", "a function with a name", written(function), NAMED
            )
        text: str = written(function)
        return text if self.names.find(text) is function else str(self.take(text, function, path))

    def needed(self, name: str, value: Any, path: str) -> None:
        """Notes a name that an expression uses."""
        found = self.names.find_in_lambda(name)
        if name != "math" and found is not value:
            self.take(name, value, path)
