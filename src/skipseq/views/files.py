"""The files that views write: in the form that the ending tells, and whole at any time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

__all__ = ["FONTS", "fonts_found", "painter", "png_of", "save_as", "write_whole"]

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
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
