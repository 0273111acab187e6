"""``skipseq demo``: examples/restore_photo.py, which an installed package holds beside this file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import typer

__all__ = ["run_demo"]

#: What is written there, and where it is in a checkout.
PLACES = (Path(__file__).with_name("restore_photo.py"), Path(__file__).parents[3] / "examples" / "restore_photo.py")


def run_demo(folder: str, steps: int, seed: int) -> None:
    """Runs the demo."""
    path = next(path for path in PLACES if path.is_file())
    spec = importlib.util.spec_from_file_location("restore_photo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skipseq"):
            raise
        print("The demo needs an extra: pip install 'skipseq[demo]'", file=sys.stderr)
        raise typer.Exit(1) from None
    module.main(["--output", folder, "--steps", str(steps), "--seed", str(seed)])
