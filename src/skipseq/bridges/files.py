"""Networks in files of every format: the name tells which reader it takes, and where that says nothing, the content.

Only what a file needs is imported, when it is read or written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipseq.errors import FileError

if TYPE_CHECKING:
    from skipseq.run import Sequential

__all__ = ["READABLE", "WRITABLE", "holds_weights", "kind_of", "read_network", "write_network"]

#: The kinds of files that are read, by the endings of their names.
READABLE = {
    ".yaml": "text",
    ".yml": "text",
    ".safetensors": "weights",
    ".cfg": "darknet",
    ".json": "gluon",
}

#: The endings of files that are written.
WRITABLE = (".py", ".yaml", ".yml", ".safetensors")

#: What a file begins with, or has in one of its lines, by which its kind is known.
SIGNS = (
    ("weights", re.compile(rb"\A.{8}\{", re.DOTALL)),
    ("gluon", re.compile(rb"\A\s*\{")),
    ("darknet", re.compile(rb"^\[(net|network)\]", re.MULTILINE)),
    ("text", re.compile(rb"^(skipseq|backbone)\s*:", re.MULTILINE)),
)

#: How much of a file is looked at to know its kind.
BEGINNING = 1 << 16

LOOK = "Look at its name and place."


def read_network(
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    registry: Mapping[str, Any] | None = None,
) -> Sequential:
    """The network in a file of any of the formats that skipseq reads.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from skipseq.bridges.files import read_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "net.yaml")
    ...     written = path.write_text("skipseq: 1\\nnetwork: ['nn.Linear(8, 8)', nn.ReLU(), add('input')]")
    ...     print(read_network(path))
    Sequential(
        nn.Linear(8, 8),
        nn.ReLU(),
        add('input'),  # <- input
    )

    Args:
        path: a text (``.yaml``, ``.yml``), of skipseq or of a YOLO; a text with weights (``.safetensors``); a configuration of
            Darknet (``.cfg``); a symbol of Gluon (``.json``).
        weights: a second file: what Darknet and Gluon keep there (``.weights``, ``.params``), ``.safetensors`` for a text.
        registry: classes of layers and functions by the names that the file has for them.

    Raises:
        FileError: if one of the files cannot be read, or they do not belong together.
    """
    name = os.fsdecode(path)
    kind = kind_of(name)
    if kind is None:
        known = ", ".join(READABLE)
        advice = f"Give the file a name that ends in what it is: {known}."
        raise FileError(
            name, "", "what it is cannot be told by its name", f"one of {known}", Path(name).suffix or "none", advice
        )
    if kind == "weights" and weights is not None:
        received = os.fspath(weights)
        raise FileError(name, "", "it holds its weights itself", "no second file", received, "Leave the weights out.")
    return READERS[kind](name, weights, registry)  # type: ignore[no-any-return]


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What kind of file this is, or nothing if it is none of those that are read here.

    >>> from skipseq.bridges.files import kind_of
    >>> kind_of("yolov3.cfg"), kind_of("model.py")
    ('darknet', None)
    """
    suffix = Path(path).suffix.lower()
    if suffix in READABLE:
        return READABLE[suffix]
    if suffix == ".py" or not Path(path).is_file():
        return None
    beginning = beginning_of(path)
    return next((kind for kind, sign in SIGNS if sign.search(beginning)), None)


def beginning_of(path: str | os.PathLike[str]) -> bytes:
    """The first bytes of a file; none of one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(BEGINNING)
    except (OSError, ValueError):  # a ValueError of a name that no file can have
        return b""


# Readers


def read_text(name: str, weights: str | os.PathLike[str] | None, registry: Mapping[str, Any] | None) -> Any:
    """The network of a text of skipseq, or of a YOLO."""
    beginning = beginning_of(name)
    if re.search(rb"^backbone\s*:", beginning, re.MULTILINE) and not re.search(rb"^skipseq\s*:", beginning, re.MULTILINE):
        net = import_module("skipseq.bridges.yolo").from_yolo(Path(name), registry=registry)
    else:
        from skipseq.run import Sequential

        net = Sequential.from_yaml(Path(name), registry=registry)
    if weights is not None:
        import_module("skipseq.bridges.weights").load_weights(net, weights)
    return net


def read_weights(name: str, _: Any, registry: Mapping[str, Any] | None) -> Any:
    """The network of a file with its text and its weights."""
    from skipseq.run import Sequential

    return Sequential.from_file(name, registry=registry)


def read_darknet(name: str, weights: str | os.PathLike[str] | None, _: Any) -> Any:
    """The network of a configuration of Darknet."""
    return import_module("skipseq.bridges.darknet").from_darknet(name, weights)


def read_gluon(name: str, weights: str | os.PathLike[str] | None, _: Any) -> Any:
    """The network of a symbol of Gluon."""
    return import_module("skipseq.bridges.gluon").from_gluon(name, weights)


READERS = {"text": read_text, "weights": read_weights, "darknet": read_darknet, "gluon": read_gluon}


# Writing


def write_network(net: Sequential, path: str | os.PathLike[str], name: str = "net") -> None:
    """Writes a network into a file, in the format that its ending tells.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> from skipseq.bridges.files import write_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_network(Sequential(nn.Linear(8, 8), add("input")), f"{folder}/net.yaml")
    ...     print(Path(folder, "net.yaml").read_text(), end="")
    skipseq: 1
    network:
      - nn.Linear(8, 8)
      - add('input')

    Args:
        net: the network.
        path: ``.safetensors`` for text and weights, ``.yaml`` or ``.yml`` for text, ``.py`` for Python in words.
        name: the variable that holds the network in Python.

    Raises:
        FileError: if the ending is another one, or something in the network cannot be written.
        ConversionError: if it cannot be written as Python.
    """
    path = os.fsdecode(path)
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE:
        advice = f"Write {Path(path).stem}.safetensors for a file with the weights, .yaml for the text alone, .py for Python."
        expected = f"a name that ends in one of {', '.join(WRITABLE)}"
        raise FileError(path, "", "its ending is none that is written", expected, suffix or "none", advice, CANNOT)
    if suffix == ".safetensors":
        net.to_file(path)
    elif suffix == ".py":
        from skipseq.views.files import write_whole

        from .words_file import words_file

        text = words_file(net, name).encode()
        try:
            write_whole(Path(path), text)
        except (OSError, ValueError) as error:  # a ValueError of a name that no file can have
            told = getattr(error, "strerror", None) or str(error)
            raise FileError(path, "", "the file", "a folder to write to", told, "Look at its path.", CANNOT) from None
    else:
        net.to_yaml(path)


CANNOT = "cannot be written"


def holds_weights(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name holds weights too."""
    return Path(path).suffix.lower() == ".safetensors"
