"""Which modules a row may name, and how one is built from its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from skipseq.errors import FileError, did_you_mean
from skipseq.run import Sequential

from . import blocks
from .arguments import Channels, Flag, Padding, Size, Whole, arguments, is_whole
from .blocks import Style
from .rows import Row
from .settings import Settings

__all__ = ["KNOWN", "Module", "YoloModule", "base_name", "maker"]


@dataclass(frozen=True, slots=True)
class YoloModule:
    """How :func:`from_yolo` builds a module of the registry whose arguments are to be scaled as those of ``Conv`` and ``C2f``.

    >>> from torch import nn
    >>> from skipseq.bridges.yolo import YoloModule, from_yolo
    >>> def plain(channels_in, channels, kernel=1):
    ...     return nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2)
    >>> text = '''
    ... width_multiple: 0.5
    ... backbone:
    ...   - [-1, 1, Plain, [64, 3]]
    ... head: []
    ... '''
    >>> print(from_yolo(text, registry={"Plain": YoloModule(plain, scaled=True)}))
    Sequential(
        ('plain_p0', nn.Conv2d(3, 32, 3, padding=1)),
    )

    Args:
        build: takes the channels that come in (a list of them where the row reads a list), then the arguments of the row, and
            gives a module.
        scaled: whether the first argument is a number of channels, which the width of the network scales.
        repeated: whether ``build`` takes the number of the row behind the channels that come in, and repeats something inside;
            else a row with a number above 1 gives as many modules one behind the other.
    """

    build: Callable[..., nn.Module]
    scaled: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """A module of ours: what builds it, and whether it repeats something inside."""

    build: Callable[..., nn.Module]
    repeated: bool = False


def convolution(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: Whole = 1,
    bias: Flag = True,
) -> nn.Conv2d:
    """``nn.Conv2d`` behind the channels that come in."""
    return nn.Conv2d(channels_in, channels, kernel, stride, padding or 0, dilation, groups, bias)


def transposed(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 2,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Padding = 0,
    groups: Whole = 1,
    bias: Flag = True,
) -> nn.ConvTranspose2d:
    """``nn.ConvTranspose2d`` behind the channels that come in."""
    extra = output_padding or 0
    return nn.ConvTranspose2d(channels_in, channels, kernel, stride, padding or 0, extra, groups, bias)


def batch_norm(style: Style, channels_in: int) -> nn.BatchNorm2d:
    """``nn.BatchNorm2d`` of the channels that come in."""
    return nn.BatchNorm2d(channels_in)


def linear(style: Style, channels_in: int, features_in: Whole, features: Whole, bias: Flag = True) -> nn.Linear:
    """``nn.Linear``, with both numbers of features in the row, of which none is scaled."""
    return nn.Linear(features_in, features, bias)


#: Layers of torch.nn without parameters, which take the arguments of the row as they are.
PLAIN: tuple[str, ...] = (
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "MaxPool2d",
    "ChannelShuffle",
    "ConstantPad2d",
    "Flatten",
)
PLAIN += ("Dropout", "Dropout2d", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Identity", "LeakyReLU", "LogSoftmax", "Mish")
PLAIN += (
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "SiLU",
    "Sigmoid",
    "Softmax",
)
PLAIN += ("Tanh", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad2d")

#: The modules that are known, besides Concat and Detect.
KNOWN: Mapping[str, Module] = {
    "Bottleneck": Module(blocks.bottleneck),
    "BottleneckCSP": Module(blocks.bottleneck_csp, repeated=True),
    "C2": Module(blocks.c2, repeated=True),
    "C2f": Module(blocks.c2f, repeated=True),
    "C3": Module(blocks.c3, repeated=True),
    "Classify": Module(blocks.classify),
    "Conv": Module(blocks.conv),
    "ConvTranspose": Module(blocks.conv_transpose),
    "DWConv": Module(blocks.depthwise_conv),
    "Focus": Module(blocks.focus),
    "GhostConv": Module(blocks.ghost_conv),
    "SPP": Module(blocks.spp),
    "SPPF": Module(blocks.sppf),
    "nn.BatchNorm2d": Module(batch_norm),
    "nn.Conv2d": Module(convolution),
    "nn.ConvTranspose2d": Module(transposed),
    "nn.Linear": Module(linear),
}

#: Those that scale no channels although a number stands first.
UNSCALED = ("nn.Linear",)

#: What builds a module, when it is told on which channels.
Maker = Callable[[Any], nn.Module]


def maker(row: Row, settings: Settings, style: Style, registry: Mapping[str, Any]) -> tuple[Maker, int]:
    """What builds the module of a row from the channels that come in, and how often modules stand there.

    Raises:
        FileError: if the module is not known, or takes other arguments.
    """
    times = settings.times(row.times)
    if row.module in registry:
        return of_registry(row, settings, registry[row.module], times), times
    name = row.module.removeprefix("torch.")
    plain = name.startswith("nn.") and name.removeprefix("nn.") in PLAIN
    if not plain and name not in KNOWN:
        raise unknown(row, registry)
    if row.many:
        expected, received = "one row, as -1", f"a list of {len(row.reads)}"
        raise row.fault("it reads a list", expected, received, "Write a Concat before it, if several are meant.")
    if plain:
        layer = getattr(nn, name.removeprefix("nn."))
        return repeated(row, lambda channels: layer(*plain_arguments(row)), times), times
    module = KNOWN[name]
    given = arguments(row, module.build)
    if given and name not in UNSCALED and name != "nn.BatchNorm2d":
        given = (settings.scaled(given[0]), *given[1:])
    if module.repeated:
        return lambda channels: module.build(style, channels, times, *given), times
    return repeated(row, lambda channels: module.build(style, channels, *given), times, given[0] if given else None), times


def repeated(row: Row, build: Maker, times: int, channels: int | None = None) -> Maker:
    """What builds a module, or as many of them one behind the other; all but the first take the channels that it gives."""
    if times == 1:
        return build
    return lambda first: Sequential(*(build(channels if count and channels else first) for count in range(times)))


def of_registry(row: Row, settings: Settings, entry: Any, times: int) -> Maker:
    """What builds a module of the registry.

    Raises:
        FileError: if its number of channels is none, or it stands several times behind several rows.
    """
    entry = entry if isinstance(entry, YoloModule) else YoloModule(entry)
    given = row.arguments
    if entry.scaled:
        if not given or not is_whole(given[0]):
            received = repr(given[0]) if given else "no arguments"
            raise row.fault(
                "its first argument is no number of channels",
                "a whole number from 1 to 1048576",
                received,
                "Write [64] last in the row.",
            )
        given = (settings.scaled(given[0]), *given[1:])
    if entry.repeated:
        return lambda channels: entry.build(channels, times, *given)
    if row.many and times > 1:
        raise row.fault("it reads a list, and stands several times", "the number 1", str(times), "Write 1 second in the row.")
    build = partial(called, entry.build, given)
    return repeated(row, build, times, given[0] if entry.scaled else None)


def called(build: Callable[..., nn.Module], given: tuple[Any, ...], channels: Any) -> nn.Module:
    """A module of the registry."""
    return build(channels, *given)


def plain_arguments(row: Row) -> tuple[Any, ...]:
    """The arguments of a layer of torch.nn.

    Raises:
        FileError: if there are lists in lists.
    """
    for position, value in enumerate(row.arguments):
        if isinstance(value, tuple) and any(isinstance(each, tuple) for each in value):
            raise row.fault_of_argument(position, f"argument {position + 1} is wrong", "a number, a text, or a list of numbers")
    return row.arguments


def unknown(row: Row, registry: Mapping[str, Any]) -> FileError:
    """The module of a row is not known: the nearest names, and how to bring one's own."""
    near = did_you_mean(row.module, [*KNOWN, *(f"nn.{name}" for name in PLAIN), "Concat", "Detect", *registry])
    expected = f"one of {', '.join(sorted([*KNOWN, 'Concat', 'Detect', *registry]))}, or a layer of torch.nn without parameters"
    advice = (
        f"Pass a function that builds it: from_yolo(..., registry={{{row.module!r}: build}}), called as build(channels, *args)."
        f"{near}"
    )
    return row.fault("this module is not known", expected, row.module, advice)


def base_name(module: str) -> str:
    """What a module is called in a sequence.

    >>> from skipseq.bridges.yolo.modules import base_name
    >>> base_name("C2f"), base_name("nn.MaxPool2d"), base_name("BottleneckCSP"), base_name("nn.ReLU")
    ('c2f', 'max_pool2d', 'bottleneck_csp', 'relu')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z]|[A-Z]{3})", "_", module.rpartition(".")[2]).lower() or "module"
