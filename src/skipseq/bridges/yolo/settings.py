"""What stands at the head of a model file: classes, multiples, scales, the activation, anchors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from typing import Any

from torch import nn

from skipseq.errors import did_you_mean

from .arguments import is_whole
from .source import Node, Source

__all__ = ["ANCHORS", "Settings", "anchor_counts", "read_settings"]

#: The keys that are read, and those that only training reads.
READ = ("nc", "scales", "scale", "depth_multiple", "width_multiple", "max_channels", "activation", "anchors", "reg_max", "ch")
PASSED_BY = (
    "names",
    "task",
    "inplace",
    "stride",
    "kpt_shape",
    "path",
    "train",
    "val",
    "test",
    "download",
    "yaml_file",
    "version",
)

#: What anchors may be, and how many boxes at most stand at a place.
ANCHORS = "a list for each scale, all of as many pairs of a width and a height; or how many boxes there are"
MOST_ANCHORS = 64

#: A layer of torch.nn as a text: ``nn.LeakyReLU(0.1)``.
LAYER = re.compile(r"(?:torch\.)?nn\.(\w+)(?:\(([^()]{0,60})\))?")

#: The activations that a file may name.
ACTIVATIONS: tuple[str, ...] = (
    "CELU",
    "ELU",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
)
ACTIVATIONS += ("ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh")


@dataclass(frozen=True, slots=True)
class Settings:
    """The head of a file.

    Args:
        classes: how many classes there are, or nothing if the file does not say.
        depth: what the number of repeats is multiplied with.
        width: what the number of channels is multiplied with.
        most_channels: the most channels, before the multiplication.
        activation: makes the activation of each convolution.
        anchors: how many anchor boxes each scale has, or nothing for a network without them.
        bins: how many distances the distribution of an edge has.
        channels: of the images, if the file says it.
    """

    classes: int | None
    depth: float
    width: float
    most_channels: float
    activation: Callable[[], nn.Module]
    anchors: int | None
    bins: int
    channels: int | None

    def times(self, number: int) -> int:
        """How often a module stands there in this depth."""
        return max(round(number * self.depth), 1) if number > 1 else number

    def scaled(self, channels: int) -> int:
        """A number of channels in this width, a multiple of 8; as many as the outputs of the network stay as they are."""
        outputs = self.classes if self.anchors is None else self.anchors * ((self.classes or 0) + 5)
        return channels if channels == outputs else ceil(min(channels, self.most_channels) * self.width / 8) * 8


def read_settings(source: Source, keys: dict[str, tuple[Node, Node]], scale: str | None, classes: int | None) -> Settings:
    """The head of a file.

    Args:
        source: the text.
        keys: the keys and values of the file.
        scale: which of its scales, or nothing for the one that the file names, or the first.
        classes: how many classes, or nothing for as many as the file says.

    Raises:
        FileError: if a key is not known, or its value is of another kind.
    """
    unknown = (key for key in keys if key not in (*READ, *PASSED_BY, "backbone", "head"))
    for key in unknown:
        advice = f"Remove it.{did_you_mean(key, (*READ, 'backbone', 'head'))}"
        raise source.at(keys[key][0], f"the key {key!r} is not known", f"one of {', '.join(READ)}, backbone, head", advice)
    reader = Reader(source, keys)
    depth, width, most = reader.multiples(scale)
    return Settings(
        classes=classes if classes is not None else reader.whole("nc", None, 1 << 16),
        depth=depth,
        width=width,
        most_channels=most,
        activation=reader.activation(),
        anchors=reader.anchors(),
        bins=reader.whole("reg_max", 16, 1024) or 16,
        channels=reader.whole("ch", None, 1 << 16),
    )


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the keys of a file one by one."""

    source: Source
    keys: dict[str, tuple[Node, Node]]

    def value(self, key: str) -> Any:
        """The value of a key, or nothing."""
        return self.source.value(self.keys[key][1]) if key in self.keys else None

    def wrong(self, key: str, expected: str, advice: str) -> Exception:
        """The value of a key is of another kind."""
        return self.source.at(self.keys[key][1], f"the value of {key!r} is wrong", expected, advice)

    def whole(self, key: str, default: int | None, most: int) -> int | None:
        """A whole number."""
        value = self.value(key)
        if value is not None and not is_whole(value, 1, most):
            raise self.wrong(key, f"a whole number from 1 to {most}", f"As in '{key}: {default or 3}'.")
        return default if value is None else value

    def multiples(self, scale: str | None) -> tuple[float, float, float]:
        """The multiples of depth and width and the most channels: of one scale, or of the file."""
        if "scales" in self.keys:
            return self.of_scale(scale)
        if scale is not None:
            advice = "Leave scale= out, or write scales in the file: 'scales: {n: [0.33, 0.25, 1024]}'."
            raise self.source.fault(None, f"the scale {scale!r} is asked for", "the key 'scales'", "a file without it", advice)
        depth, width, most = (self.positive(key) for key in ("depth_multiple", "width_multiple", "max_channels"))
        return depth or 1.0, width or 1.0, most or inf

    def positive(self, key: str) -> Any:
        """A number above zero, or nothing."""
        value = self.value(key)
        if value is not None and not is_multiple(value):
            raise self.wrong(key, "a number above 0, at most 1048576", f"As in '{key}: 1.0'.")
        return value

    def of_scale(self, scale: str | None) -> tuple[float, float, float]:
        """The multiples of one scale: the one that is asked for, or that the file names, or its first."""
        scales = self.source.mapping(self.keys["scales"][1])
        if not scales:
            raise self.wrong("scales", "at least one scale", "As in 'scales: {n: [0.33, 0.25, 1024]}'.")
        wanted = scale if scale is not None else self.value("scale") if "scale" in self.keys else next(iter(scales))
        if wanted not in scales:
            advice = f"Ask for one of these, as in scale={next(iter(scales))!r}.{did_you_mean(str(wanted), scales)}"
            mark = self.keys["scales"][0].start_mark
            raise self.source.fault(mark, "the scale is not in the file", ", ".join(scales), repr(wanted), advice)
        node = scales[wanted][1]
        value = self.source.value(node)
        if not isinstance(value, tuple) or not 2 <= len(value) <= 3 or not all(map(is_multiple, value)):
            expected = "[depth, width] or [depth, width, max_channels], numbers above 0"
            raise self.source.at(node, f"the scale {wanted!r} is wrong", expected, "As in [0.33, 0.25, 1024].")
        return value if len(value) == 3 else (*value, inf)

    def activation(self) -> Callable[[], nn.Module]:
        """What makes the activation of each convolution."""
        if self.value("activation") is None:
            return nn.SiLU
        try:
            return layer_of(self.value("activation"))
        except (ValueError, TypeError, RuntimeError) as error:
            expected = "a layer of torch.nn, as nn.ReLU() or nn.LeakyReLU(0.1)"
            raise self.wrong("activation", expected, f"Write one of nn.{', nn.'.join(ACTIVATIONS)}. {error}") from None

    def anchors(self) -> int | None:
        """How many anchor boxes stand at each place."""
        value = self.value("anchors")
        if value is None:
            return None
        if (found := anchor_counts(value)) is None:
            raise self.wrong("anchors", ANCHORS, "As in 'anchors: [[10, 14, 23, 27], [81, 82, 135, 169]]', in pixels.")
        return found[0]


def anchor_counts(value: Any) -> tuple[int, int | None] | None:
    """How many anchor boxes stand at each place, and for how many scales they are listed; nothing for other values."""
    if is_whole(value, 1, MOST_ANCHORS):
        return value, None
    rows = value if isinstance(value, tuple) else ()
    sizes = {len(row) if isinstance(row, tuple) and all(map(is_multiple, row)) else 0 for row in rows}
    size = sizes.pop() if len(sizes) == 1 else 0
    return (size // 2, len(rows)) if 0 < size <= 2 * MOST_ANCHORS and size % 2 == 0 else None


def is_multiple(value: Any) -> bool:
    """Whether a value is a number above zero, and no larger than any that is meant."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1 << 20


def layer_of(text: Any) -> Callable[[], nn.Module]:
    """What makes the layer that a text names, tried once.

    Raises:
        ValueError: if it is no activation of torch.nn, or its arguments are no numbers and flags.
        TypeError: if the layer takes other arguments.
        RuntimeError: if the layer refuses them.
    """
    found = LAYER.fullmatch(text) if isinstance(text, str) else None
    if not found or found[1] not in ACTIVATIONS:
        raise ValueError("It is none of them." + did_you_mean(str(text), [f"nn.{name}" for name in ACTIVATIONS]))
    given = [part.rpartition("=") for part in (found[2] or "").split(",") if part.strip()]
    positional = [argument(value) for name, _, value in given if not name]
    named = {name.strip(): argument(value) for name, _, value in given if name}
    make = partial(getattr(nn, found[1]), *positional, **named)
    make()
    return make


def argument(text: str) -> float | bool:
    """A number or a flag."""
    text = text.strip()
    return text == "True" if text in ("True", "False") else int(text) if text.isdecimal() else float(text)
