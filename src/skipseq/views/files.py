"""The files that views write: in the form that the ending tells, and whole at any time."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

__all__ = ["FONTS", "fonts_found", "painter", "png_of", "replacing", "save_as", "write_whole"]

#: Fonts of about the same width, the first that is there.
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def save_as(path: Path, forms: Mapping[str, Callable[[], str | bytes]], what: str, variable: str) -> None:
    """Writes something to a file in one of its forms, which are known by their endings.

    Args:
        path: the file.
        forms: what makes the content, by the ending.
        what: what is written: ``a drawing``.
        variable: what a user calls it in code.

    Raises:
        ValueError: if the file has another ending.
    """
    ending = path.suffix.lower()
    if ending not in forms:
        raise ValueError(
            f"{what} cannot be saved as {str(path)!r}.\n  Its ending tells the form, and has to be one of "
            f"{', '.join(forms)}; it is {ending!r}.\n  Write {variable}.save({str(path.with_suffix('.svg'))!r})."
        )
    content = forms[ending]()
    write_whole(path, content.encode() if isinstance(content, str) else content)


def png_of(svg: str, scale: float, what: str, instead: str) -> bytes:
    """A picture as PNG, with so many pixels for each unit of the SVG.

    Raises:
        ImportError: if the library that draws it is not installed.
        RuntimeError: if there is no font to write with.
    """
    if not fonts_found():
        raise RuntimeError(
            f"a PNG of {what} would have no text: no sans-serif font is installed.\n"
            f"  Install one, as in: apt-get install fonts-dejavu-core. Or write {instead}."
        )
    return painter()(svg_string=svg, zoom=scale)


def painter() -> Callable[..., bytes]:
    """What makes a PNG of an SVG.

    Raises:
        ImportError: if the library is not installed.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise ImportError("a PNG needs the library resvg-py.\n  Write pip install 'skipseq[draw]'.") from None
    return lambda **how: bytes(svg_to_bytes(**how))


@cache
def fonts_found() -> bool:
    """Whether text is painted: without any font it would be left out without a word."""
    tiny = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20" font-family="{}">{}</svg>'
    empty, full = (tiny.format(FONTS, each) for each in ("", '<text y="15">M</text>'))
    return painter()(svg_string=empty) != painter()(svg_string=full)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place and then moves it there."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of the old one when all of it is on the disk: who looks sees the old or the new.

    A link stays, and what it leads to is replaced. An old file keeps its permissions, and one that may not be written is not.
    What is no file, a pipe or ``/dev/stdout``, is written as it is.
    """
    place = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    mode = mode_of(place)
    try:
        handle, beside = tempfile.mkstemp(dir=place.parent, prefix=f"{place.name[:64]}.", suffix=".part")
    except OSError as error:  # names the file that was meant, not the one beside it
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.chmod(beside, mode)
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def mode_of(place: Path) -> int:
    """The permissions that a file has, or that a new one gets.

    Raises:
        PermissionError: if there is a file that may not be written.
    """
    if place.exists():
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return stat.S_IMODE(place.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
