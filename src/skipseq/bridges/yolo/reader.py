"""From the rows of a model file to a sequence in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from skipseq.errors import FileError
from skipseq.run import Sequential
from skipseq.run.stored import LARGEST

from .arguments import is_whole
from .planner import Planner
from .rows import Row, read_rows
from .settings import Settings, read_settings
from .source import composed, read_source

__all__ = ["from_yolo"]

#: How many channels images, and classes objects, may have.
MOST_CLASSES = 1 << 16


def from_yolo(
    source: str | os.PathLike[str],
    *,
    scale: str | None = None,
    channels: int | None = None,
    classes: int | None = None,
    registry: Mapping[str, Any] | None = None,
    size: int | tuple[int, int] = 640,
    largest: int = LARGEST,
) -> Sequential:
    """The network of a model file in the format ``[from, number, module, args]``, in words and with names instead of numbers.

    >>> from skipseq.bridges.yolo import from_yolo
    >>> net = from_yolo('''
    ... nc: 3
    ... activation: nn.ReLU()
    ... backbone:
    ...   - [-1, 1, Conv, [8, 3, 2]]
    ...   - [-1, 1, nn.MaxPool2d, [2]]
    ... head:
    ...   - [-1, 1, nn.Upsample, [None, 2, nearest]]
    ...   - [[-1, 0], 1, Concat, [1]]
    ...   - [-1, 1, nn.Conv2d, [3]]
    ... ''')
    >>> print(net)
    Sequential(
        ('conv_p1', Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8, eps=0.001, momentum=0.03),
            nn.ReLU(),
        )),                                                   # -> net[3]
        ('max_pool2d_p2', nn.MaxPool2d(2)),
        ('upsample_p1', nn.Upsample(scale_factor=2)),
        cat('conv_p1'),                                       # <- net[0]
        ('conv2d_p1', nn.Conv2d(16, 3, 1)),
    )

    A layer has the name of its module and of its level: ``p3`` is a map of an eighth of the height and width of the images.
    ``Detect`` gives the raw predictions as outputs: for each scale ``boxes_p3`` (batch, 4 * bins, height, width) and
    ``classes_p3`` (batch, classes, height, width), or, with anchor boxes, ``predictions_p3`` (batch, anchors * (classes + 5),
    height, width).

    A module of the registry is built by ``build(channels, *args)``: with the number of channels that comes in, or the list of
    them where the row reads a list (then the module is called with as many values), and the arguments as they stand in the
    row, where ``nc`` and ``anchors`` mean what the file says. It has to be a module that makes its parameters on the default
    device, since it is built once without memory, to see what it gives, and once in earnest. :class:`YoloModule` tells more.

    Args:
        source: the text; or the path of a file, which ends in ``.yaml`` or ``.yml`` if it is a string.
        scale: which of the ``scales`` of the file; without it, the one that its key ``scale`` names, or its first.
        channels: of the images; without it, as many as the key ``ch`` of the file says, or 3.
        classes: how many classes; without it, as many as the key ``nc`` says.
        registry: functions that build the modules that are not known here, by their names.
        size: the height and width of images, in pixels, with which the rows are tried; no memory is taken for it.
        largest: the most bytes that the parameters may take.

    Raises:
        FileError: with the line and column of what is wrong, and what was expected there.
        ImportError: if PyYAML is not installed.
    """
    verify_asked(channels, classes, size)
    settings, rows = read_file(source, scale, classes)
    height, width = size if isinstance(size, tuple | list) else (size, size)
    images = (1, channels or settings.channels or 3, height, width)
    planner = Planner(settings, registry or {}, images, largest)
    for row in rows:
        planner.put(row, last=row is rows[-1])
    return planner.network()


def verify_asked(channels: Any, classes: Any, size: Any) -> None:
    """Refuses what no network can be asked for.

    Raises:
        FileError: naming the argument.
    """
    sizes = size if isinstance(size, tuple | list) else (size, size)
    count = f"a whole number from 1 to {MOST_CLASSES}"
    for name, value, expected, fits in (
        ("channels", channels, count, channels is None or is_whole(channels, 1, MOST_CLASSES)),
        ("classes", classes, count, classes is None or is_whole(classes, 1, MOST_CLASSES)),
        ("size", size, "a whole number of pixels, or a height and a width", len(sizes) == 2 and all(map(is_whole, sizes))),
    ):
        if not fits:
            advice = f"Leave {name}= out, or write such a number."
            raise FileError("a model file", "", f"the argument {name}= is wrong", expected, repr(value), advice)


def read_file(source: str | os.PathLike[str], scale: str | None, classes: int | None) -> tuple[Settings, list[Row]]:
    """The head of a file and its rows.

    Raises:
        FileError: with the line and column of what is wrong.
    """
    text = read_source(source)
    keys = text.mapping(composed(text))
    for key in ("backbone", "head"):
        if key not in keys:
            received = f"the keys {', '.join(keys)}" if keys else "no keys"
            raise text.fault(
                None, f"there is no key {key!r}", "the keys 'backbone' and 'head'", received, f"Write '{key}:' with its rows."
            )
    settings = read_settings(text, keys, scale, classes)
    anchors = text.value(keys["anchors"][1]) if "anchors" in keys else None
    names = {"nc": settings.classes, "anchors": anchors}
    return settings, read_rows(text, (keys["backbone"][1], keys["head"][1]), names)
