"""What the command line says when something is wrong, and how a command ends."""

from __future__ import annotations

import json
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from skipseq.errors import SkipseqError, ValueFault, WiringError

__all__ = ["UsageError", "guarded", "print_json"]


class UsageError(Exception):
    """What was typed cannot be meant."""


@contextmanager
def guarded(as_json: bool = False, debug: bool = False) -> Iterator[None]:
    """Runs a command: its errors are told without a traceback, and become the exit status.

    Args:
        as_json: errors are told on stdout, as JSON, for a machine that reads there.
        debug: the traceback is shown too.
    """
    path = list(sys.path)
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, BrokenPipeError):
        raise  # `| head` has seen enough: typer ends silently
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        raise typer.Exit(130) from None
    except Exception as error:
        tell(error, as_json, debug)
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None
    finally:
        sys.path[:] = path


def print_json(data: dict[str, Any]) -> None:
    """Writes the answer for a machine, in one line."""
    print(json.dumps(data))


def tell(error: Exception, as_json: bool, debug: bool) -> None:
    """Says what went wrong."""
    if debug:
        traceback.print_exception(error)
    if as_json:
        print_json(error_data(error))
        sys.stdout.flush()
    elif not debug:
        Console(stderr=True, highlight=False).print(error_text(error), soft_wrap=True)


def error_data(error: Exception) -> dict[str, Any]:
    """An error for a machine."""
    data: dict[str, Any] = {"ok": False, "error": type(error).__name__, "message": message_of(error)}
    data["faults"] = faults_of(error)
    if (line := users_line(error)) is not None:
        data |= {"file": line.file, "line": line.number}
    return data


def error_text(error: Exception) -> Text:
    """An error for a person; of errors that are not about the network, the line of the user's file too."""
    name = "Error" if isinstance(error, UsageError) else type(error).__name__
    text = Text.assemble((name, "bold red"), f": {message_of(error)}" if message_of(error) else "")
    if (line := users_line(error)) is not None:
        text.append(f"\nat {line.file}, line {line.number}", "bold")
        text.append(f": {line.code}" if line.code else "")
    elif not isinstance(error, UsageError | SkipseqError | OSError | ImportError):
        text.append("\n--debug shows where it was raised.")
    return text


def message_of(error: Exception) -> str:
    """The text of an error, with its notes."""
    text = (error.msg if isinstance(error, SyntaxError) else str(error)) or ""
    return "\n".join([text, *getattr(error, "__notes__", [])])


def faults_of(error: Exception) -> list[str]:
    """The faults that an error tells, one by one."""
    if isinstance(error, WiringError):
        return list(error.faults)
    if isinstance(error, ValueFault):
        return [each.told() for each in (error, *error.others)]
    return [message_of(error)]


# The user's line


@dataclass(frozen=True, slots=True)
class Line:
    """A line in a file of the user."""

    file: str
    number: int
    code: str


def users_line(error: Exception) -> Line | None:
    """The line nearest to an error that the user wrote, not Python, an installed package, or skipseq."""
    if isinstance(error, UsageError):
        return None
    if isinstance(error, SyntaxError) and error.filename:
        return Line(shortened(error.filename), error.lineno or 1, (error.text or "").strip())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and not any(map(Path(frame.filename).is_relative_to, folders_of_others())):
            return Line(shortened(frame.filename), frame.lineno or 1, frame.line or "")
    return None


@cache
def folders_of_others() -> tuple[Path, ...]:
    """The folders of Python, of installed packages, and of skipseq."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return Path(__file__).parents[1], *map(Path, installed)


def shortened(file: str) -> str:
    """A path from the folder where the user is, if it is in there."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
