"""Networks as text: YAML that people read and write, with the words of Python in it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from skipseq.bridges.opening import decoded, open_file
from skipseq.errors import FileError
from skipseq.run import Sequential

from .document import MOST_CHARACTERS
from .faults import Source
from .reader import Document
from .writer import text_of

__all__ = ["from_yaml", "network_of_text", "to_yaml"]

#: The endings of files with a text.
ENDINGS = (".yaml", ".yml")

#: What a text is called that comes from no file.
NO_FILE = "the text"


def to_yaml(net: Sequential, path: str | os.PathLike[str] | None = None, registry: Mapping[str, Any] | None = None) -> str:
    """The network as text, see :meth:`skipseq.Sequential.to_yaml`.

    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> from skipseq.bridges.text import to_yaml
    >>> print(to_yaml(Sequential(("conv", nn.Conv2d(8, 8, 3, padding=1)), nn.ReLU(), add("input"))), end="")
    skipseq: 1
    network:
      - conv: nn.Conv2d(8, 8, 3, padding=1)
      - nn.ReLU()
      - add('input')

    Args:
        net: the network.
        path: the file to write.
        registry: names for classes and functions of the user.

    Raises:
        FileError: if something in it cannot be written.
    """
    return text_of(net, path, registry)


def from_yaml(
    cls: type[Sequential], source: str | os.PathLike[str], registry: Mapping[str, Any] | None = None, largest: int = 8 << 30
) -> Any:
    """The network that a text describes, see :meth:`skipseq.Sequential.from_yaml`.

    >>> from skipseq import Sequential
    >>> from skipseq.bridges.text import from_yaml
    >>> from_yaml(Sequential, "skipseq: 1\\nnetwork: [nn.ReLU(), add('input')]")
    Sequential(
        nn.ReLU(),
        add('input'),  # <- input
    )

    Args:
        cls: the class of the network.
        source: the text, or the path of a file.
        registry: classes and functions of the user by name.
        largest: the most bytes that parameters and buffers may take.

    Raises:
        FileError: with the place of what is wrong.
    """
    text = read(source)
    document = Document(text, registry)
    _, needed = without_memory(document, cls)
    if needed > largest:
        raise FileError(
            text.file,
            "",
            "its parameters take too much memory",
            f"at most {largest:,} bytes",
            f"{needed:,} bytes",
            f"Pass largest={needed} if it is meant to be as large.",
        )
    return document.build(cls, meta=False)[0]


def network_of_text(
    cls: type[Sequential], text: str, file: str, registry: Mapping[str, Any] | None = None, meta: bool = True
) -> Any:
    """The network of a text that stands in another file.

    >>> from skipseq import Sequential
    >>> from skipseq.bridges.text import network_of_text
    >>> net = network_of_text(Sequential, "skipseq: 1\\nnetwork: ['nn.Linear(1000, 1000)']", "net.safetensors")
    >>> net[0].weight.is_meta
    True

    Args:
        cls: the class of the network.
        text: the text.
        file: what the file is called, for errors.
        registry: classes and functions of the user by name.
        meta: whether parameters and buffers have shapes and no memory.

    Raises:
        FileError: with the place in the text of what is wrong.
    """
    document = Document(Source(file, text), registry)
    return without_memory(document, cls)[0] if meta else document.build(cls, meta=False)[0]


def without_memory(document: Document, cls: type[Sequential]) -> tuple[Any, int]:
    """The network on the meta device, and the bytes that its parameters and buffers would take."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # of constructors; they are told when the network is built with its memory
        return document.build(cls, meta=True)


def read(source: Any) -> Source:
    """The text, from a file where a path was given.

    Raises:
        FileError: if the file cannot be read, or is no text.
    """
    if isinstance(source, str) and not (source.strip().lower().endswith(ENDINGS) and "\n" not in source.strip()):
        return Source(NO_FILE, source)
    if not isinstance(source, str | os.PathLike):
        raise FileError(
            NO_FILE,
            "",
            "neither a text nor a path",
            "a text, or the path of a file",
            repr(source),
            "Write from_yaml('net.yaml').",
        )
    return read_file(Path(source))


def read_file(path: Path) -> Source:
    """The text in a file."""
    with open_file(path) as file:
        return Source(str(path), decoded(file.read(4 * MOST_CHARACTERS + 1), str(path)))
