"""Where in the user's code something happens, and how that code calls its values."""

from __future__ import annotations

import dis
import linecache
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import skipseq

__all__ = ["Place", "literal_in", "place_in", "stored_names", "user_frame", "variables"]

#: Code that is not the user's.
OTHERS = tuple(str(Path(str(package.__file__)).parent) + os.sep for package in (torch, skipseq))


class Place(tuple[str, int]):
    """A line of the user's code, as its file and number."""

    def __str__(self) -> str:
        file, number = self
        source = linecache.getline(file, number).strip()
        return f"{file}:{number}" + (f": {source}" if source else "")


def user_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame of the user's code, from this frame outwards."""
    frame = frame or sys._getframe(1)
    while frame is not None and (frame.f_code.co_filename.startswith((*OTHERS, "<frozen")) or is_library(frame)):
        frame = frame.f_back
    return frame


def is_library(frame: FrameType) -> bool:
    """Whether the frame is of Python's own library, as context managers and partial calls are."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("contextlib", "functools", "inspect")


def place_in(frame: FrameType | None) -> Place | None:
    """The line at which a frame stands."""
    return None if frame is None else Place((frame.f_code.co_filename, frame.f_lineno))


@lru_cache(maxsize=4096)
def instructions(code: CodeType) -> tuple[tuple[dis.Instruction, ...], dict[int, int]]:
    """The instructions of a function, and the position of each by its offset."""
    found = tuple(dis.get_instructions(code))
    return found, {each.offset: i for i, each in enumerate(found)}


def stored_names(frame: FrameType | None) -> list[str | None]:
    """The variables in which the code stores what it is just computing: one, or several for the parts of a tuple.

    What a function returns at once is stored where the function was called.
    """
    while frame is not None:
        found, positions = instructions(frame.f_code)
        after = found[positions[frame.f_lasti] + 1 :] if frame.f_lasti in positions else ()
        if not after:
            return []
        if after[0].opname == "RETURN_VALUE":
            frame = user_frame(frame.f_back)
            continue
        if after[0].opname == "STORE_FAST":
            return [after[0].argval]
        if after[0].opname == "UNPACK_SEQUENCE":
            stores = after[1 : 1 + after[0].argval]
            return [each.argval if each.opname == "STORE_FAST" else None for each in stores]
        return []
    return []


def variables(frame: FrameType | None) -> dict[int, str]:
    """The variables of a frame by the identity of what they hold."""
    if frame is None:
        return {}
    held: dict[str, Any] = frame.f_locals
    return {id(value): name for name, value in held.items() if isinstance(value, torch.Tensor)}


def literal_in(frame: FrameType | None, value: Any) -> bool:
    """Whether the code at hand says a type or device literally, as in ``x.to(torch.float32)``."""
    if frame is None:
        return False
    found, positions = instructions(frame.f_code)
    position = found[positions[frame.f_lasti]].positions if frame.f_lasti in positions else None
    last = position.end_lineno if position is not None and position.end_lineno else frame.f_lineno
    lines = range(frame.f_lineno, last + 1)
    text = " ".join(linecache.getline(frame.f_code.co_filename, number) for number in lines)
    names = re.findall(r"torch\.(\w+)", text)
    return any(getattr(torch, name, None) == value for name in names) or f'"{value}"' in text or f"'{value}'" in text
