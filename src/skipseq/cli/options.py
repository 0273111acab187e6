"""What the commands take: the network that is meant, its inputs, and where the answer goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Debug", "Inputs", "Json", "Modules", "Network", "NetworkFile", "PythonFile", "Weights"]

Network = Annotated[
    str,
    typer.Argument(
        metavar="FILE[:NAME]",
        help="file.py:name, a network, or a function or class that gives one when called without arguments. "
        "The name may be dotted, and left out where a file holds only one network. package.module:name works too. "
        "Or a file that holds a network: .yaml, .safetensors, Darknet's .cfg, Gluon's .json.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="The weights, where they are in a second file: .weights with .cfg, .params with .json, .safetensors with .yaml.",
        show_default=False,
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        metavar="FILE.PY:CLASS",
        help="A class or function of yours that a .yaml or .safetensors file names. Once for each.",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="SHAPE",
        help="The shape of an input: 1,3,256,256; N,3,256,256 for a batch of any size; by name x=1,3,64,64; "
        "with a dtype 1,128:int64. Once for each input.",
    ),
]
PythonFile = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write; without it, the text is printed.")
]
Json = Annotated[bool, typer.Option("--json", metavar=" ", help="Print JSON, errors too.")]
Debug = Annotated[bool, typer.Option("--debug", metavar=" ", help="Show the traceback of an error.")]
NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="The file to write: .safetensors with the weights, .yaml or .py without; if none is named, Python is printed.",
    ),
]
