"""Files that strangers wrote: how every reader opens them."""

from __future__ import annotations

import os
import stat
from typing import Any, BinaryIO

from skipseq.errors import FileError

__all__ = ["decoded", "open_file", "yaml_library"]


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A file opened for reading, if it is one: no folder, and no pipe or device, which might have no end.

    Raises:
        FileError: if there is none, or it may not be read.
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            return open(path, "rb")
        cause, reason = None, "a folder, a pipe or a device"
    except (OSError, ValueError, TypeError) as error:  # of a name that no file can have, and of what is no name
        cause, reason = error, getattr(error, "strerror", None) or str(error)
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else repr(path)
    raise FileError(name, "", "it cannot be opened", "a file to read", reason, "Look at its name and place.") from cause


def decoded(data: bytes, file: str) -> str:
    """The text in the bytes of a file.

    Raises:
        FileError: if they are not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        received, advice = f"the byte {data[error.start]:#04x}", "Save the file as UTF-8 in an editor."
        raise FileError(file, f"byte {error.start}", "it is no text in UTF-8", "UTF-8", received, advice) from None


def yaml_library(what: str) -> Any:
    """The library that reads YAML, which ``what`` needs.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise ImportError(f"{what} needs the library PyYAML.\n  Write pip install 'skipseq[yaml]'.") from None
    return yaml
