"""The command line: ``skipseq check model.py:net --input 1,3,256,256``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer

__all__ = ["main"]


def main() -> None:
    """Runs the command line and ends Python with its exit status: 0 for good, 1 for a fault, 2 for what was typed wrong."""
    try:
        application()(prog_name="skipseq")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def application() -> Typer:
    """The commands, if their extra is installed."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skipseq"):
            raise
        sys.exit("The command line needs an extra: pip install 'skipseq[cli]'")
    return app
