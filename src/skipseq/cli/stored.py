"""``model.yaml``, ``model.safetensors``: from the name of a file that holds a network to the network."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipseq.bridges.files import READABLE, WRITABLE, holds_weights, kind_of, read_network
from skipseq.errors import did_you_mean

from .load import Loaded, find, import_file, import_module, is_file, load, split, users_code
from .told import UsageError

__all__ = ["Target", "noted", "verify_ending"]


@dataclass(frozen=True, slots=True)
class Target:
    """What was typed to say which network is meant.

    Args:
        text: ``file.py:name``, ``package.module:name``, or a file that holds a network.
        weights: the file with its weights, where they are in a second one.
        modules: the user's classes that it names, each as ``file.py:Class``.
    """

    text: str
    weights: Path | None = None
    modules: Sequence[str] = ()

    def load(self, convert: Callable[[Any], Any] | None = None) -> Loaded:
        """The network; ``convert`` makes one of a handwritten module.

        Raises:
            UsageError: if there is no such file, or it does not go with the other things that were typed.
            FileError: if the file cannot be read as a network.
        """
        where, name = split(self.text)
        if kind_of(where) is None:
            return self.load_code(convert)
        if name:
            raise UsageError(f"{where} holds one network, which has no name.\n  Write {where}")
        if self.weights is not None and holds_weights(where):
            raise UsageError(f"{where} holds its weights itself.\n  Leave --weights out.")
        for path in (Path(where), self.weights):
            if path is not None:
                verify_there(path)
        with noted(), redirect_stdout(sys.stderr):
            return Loaded(Path(where).stem, read_network(where, self.weights, self.registry()))

    def load_code(self, convert: Callable[[Any], Any] | None) -> Loaded:
        """The network that Python code builds, which says itself what it is made of."""
        for option, given in (("--weights", self.weights), ("--module", self.modules)):
            if given:
                known = ", ".join(READABLE)
                raise UsageError(f"{self.text} is Python, and {option} goes with a file that is not: {known}.\n  Leave it out.")
        with noted() if convert is not None else nullcontext():
            return load(self.text, convert)

    def registry(self) -> dict[str, Any]:
        """The user's classes and functions by the names that a file has for them."""
        found = {}
        for text in self.modules:
            where, name = split(text)
            if not name:
                raise UsageError(f"--module {text} names no class.\n  Write --module file.py:Class")
            with users_code(where):
                module = import_file(Path(where)) if is_file(where) else import_module(where)
                value = find(module, name, where)
            if not callable(value):
                raise UsageError(f"--module {text} is no class and no function.\n  Write --module file.py:Class")
            found[name.rpartition(".")[2]] = value
        return found

    @property
    def has_weights(self) -> bool:
        """Whether what was typed has weights that somebody may want to keep."""
        return self.weights is not None or holds_weights(self.text)


def verify_there(path: Path) -> None:
    """Refuses a file that is not there.

    Raises:
        UsageError: naming the one whose name is nearest.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.\n  Write the name of a file in it.")
    if not path.exists():
        near = did_you_mean(path.name, (each.name for each in path.parent.glob("*")))
        raise UsageError(f"there is no file {path}.{near}")


def verify_ending(path: Path) -> None:
    """Refuses a file to write whose name does not tell a format.

    Raises:
        UsageError: naming those that can be written.
    """
    if path.suffix.lower() not in WRITABLE:
        raise UsageError(
            f"a network cannot be written as {path.name}.\n  Write a name that ends in one of {', '.join(WRITABLE)}: "
            f"{path.with_suffix('.safetensors')} for its text and its weights."
        )


@contextmanager
def noted() -> Iterator[None]:
    """Warnings become notes, which stand on stderr; those of what fails are not told, the error is."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    for each in told:
        print(f"Note: {each.message}", file=sys.stderr)
