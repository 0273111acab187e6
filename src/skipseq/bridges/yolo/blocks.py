"""The modules of the format in words, each written from the paper that describes it.

Every function takes a :class:`Style`, the channels that come in, and the arguments of a row, and gives a ``Sequential``. Where
a module repeats an inner one, ``number`` stands before the arguments. Batch norms have the numbers of YOLOX
(arXiv:2107.08430): an epsilon of 0.001 and a momentum of 0.03.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any

from torch import nn

from skipseq.declare.vocabulary import add, cat, here, pick, take, via
from skipseq.run import Sequential

from .arguments import Channels, Flag, Padding, Ratio, Size, Sizes, Whole

__all__ = [
    "Style",
    "bottleneck",
    "bottleneck_csp",
    "c2",
    "c2f",
    "c3",
    "classify",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "focus",
    "ghost_conv",
    "spp",
    "sppf",
]


@dataclass(frozen=True, slots=True)
class Style:
    """What a whole file decides for its modules.

    Args:
        activation: makes the activation that stands behind each convolution.
        anchored: whether the network predicts with anchor boxes.
    """

    activation: Callable[[], nn.Module] = nn.SiLU
    anchored: bool = False


def conv(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    padding: Padding = None,
    groups: Whole = 1,
    dilation: Size = 1,
    activation: Flag = True,
) -> Sequential:
    """A convolution without bias, a batch norm, and the activation: the unit of YOLOv4 (arXiv:2004.10934).

    >>> from skipseq.bridges.yolo.blocks import Style, conv
    >>> print(conv(Style(), 16, 32, 3, 2))
    Sequential(
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32, eps=0.001, momentum=0.03),
        nn.SiLU(),
    )

    Without a padding, a convolution of stride 1 and an odd kernel keeps the size.
    """
    padding = kept(kernel, dilation) if padding is None else padding
    layer = nn.Conv2d(channels_in, channels, kernel, stride, padding, dilation, groups, bias=False)
    return Sequential(layer, norm(channels), *([style.activation()] if activation else []))


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm."""
    return nn.BatchNorm2d(channels, eps=0.001, momentum=0.03)


def kept(kernel: Any, dilation: Any) -> Any:
    """The padding that keeps the size: half of the kernel, with its holes."""
    if isinstance(kernel, tuple) or isinstance(dilation, tuple):
        return tuple(kept(*each) for each in zip(pair(kernel), pair(dilation), strict=True))
    return dilation * (kernel - 1) // 2 if dilation > 1 else kernel // 2


def pair(size: Any) -> tuple[int, int]:
    """A size as height and width."""
    return size if isinstance(size, tuple) else (size, size)


def depthwise_conv(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    dilation: Size = 1,
    activation: Flag = True,
) -> Sequential:
    """A convolution in as many groups as channels (MobileNets, arXiv:1704.04861), or as many as go into both counts."""
    groups = gcd(channels_in, channels)
    return conv(style, channels_in, channels, kernel, stride, None, groups, dilation, activation)


def conv_transpose(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 2,
    stride: Size = 2,
    padding: Padding = 0,
    normed: Flag = True,
    activation: Flag = True,
) -> Sequential:
    """A transposed convolution that doubles the size, a batch norm, and the activation."""
    layer = nn.ConvTranspose2d(channels_in, channels, kernel, stride, padding or 0, bias=not normed)
    return Sequential(layer, *([norm(channels)] if normed else []), *([style.activation()] if activation else []))


def ghost_conv(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    groups: Whole = 1,
    activation: Flag = True,
) -> Sequential:
    """Half of the channels by a convolution, and from each of them one more by a cheap one: GhostNet (arXiv:1911.11907)."""
    half = channels // 2
    return Sequential(
        ("primary", conv(style, channels_in, half, kernel, stride, None, groups, 1, activation)),
        ("cheap", conv(style, half, half, 5, 1, None, half, 1, activation)),
        cat("primary", here),
    )


def inner(
    style: Style, channels_in: int, channels: int, hidden: int, kernels: tuple[int, int], shortcut: bool, groups: int
) -> Sequential:
    """Two convolutions, and their input added to what they give where it has as many channels: ResNet (arXiv:1512.03385)."""
    first = conv(style, channels_in, hidden, kernels[0])
    second = conv(style, hidden, channels, kernels[1], 1, None, groups)
    return Sequential(first, second, *([add("input")] if shortcut and channels_in == channels else []))


def bottleneck(
    style: Style, channels_in: int, channels: Channels, shortcut: Flag = True, groups: Whole = 1, ratio: Ratio = 0.5
) -> Sequential:
    """The residual unit of YOLOv3 (arXiv:1804.02767), a 1x1 and a 3x3 convolution; in networks without anchors two of 3x3.

    >>> from skipseq.bridges.yolo.blocks import Style, bottleneck
    >>> bottleneck(Style(anchored=True), 32, 32).skips
    1 skip
    <BLANKLINE>
    giver  name   join  reader
    input  input  add   output  net[2]
    """
    return inner(style, channels_in, channels, int(channels * ratio), (1 if style.anchored else 3, 3), shortcut, groups)


def chain(
    style: Style, channels: int, number: int, kernels: tuple[int, int], shortcut: bool, groups: int
) -> tuple[tuple[str, Sequential], ...]:
    """Residual units one behind the other, all of the same channels."""
    names = (f"bottleneck_{count}" for count in range(1, number + 1))
    return tuple((name, inner(style, channels, channels, channels, kernels, shortcut, groups)) for name in names)


def c3(
    style: Style,
    channels_in: int,
    number: int,
    channels: Channels,
    shortcut: Flag = True,
    groups: Whole = 1,
    ratio: Ratio = 0.5,
) -> Sequential:
    """A stage in two ways, one through residual units and one past them: CSPNet (arXiv:1911.11929), with three convolutions.

    >>> from skipseq.bridges.yolo.blocks import Style, c3
    >>> [name for name, _ in c3(Style(), 32, 2, 64).named_children()]
    ['bypass', 'take_0', 'reduce', 'bottleneck_1', 'bottleneck_2', 'cat_0', 'fuse']
    """
    hidden = int(channels * ratio)
    return Sequential(
        ("bypass", conv(style, channels_in, hidden)),
        take("input"),
        ("reduce", conv(style, channels_in, hidden)),
        *chain(style, hidden, number, (1, 3), shortcut, groups),
        cat("bypass"),
        ("fuse", conv(style, 2 * hidden, channels)),
    )


def bottleneck_csp(
    style: Style,
    channels_in: int,
    number: int,
    channels: Channels,
    shortcut: Flag = True,
    groups: Whole = 1,
    ratio: Ratio = 0.5,
) -> Sequential:
    """The stage of CSPNet (arXiv:1911.11929) as the paper has it: one batch norm behind the two ways, before they are fused."""
    hidden = int(channels * ratio)
    return Sequential(
        ("bypass", nn.Conv2d(channels_in, hidden, 1, bias=False)),
        take("input"),
        ("reduce", conv(style, channels_in, hidden)),
        *chain(style, hidden, number, (1, 3), shortcut, groups),
        ("transition", nn.Conv2d(hidden, hidden, 1, bias=False)),
        cat("bypass"),
        norm(2 * hidden),
        style.activation(),
        ("fuse", conv(style, 2 * hidden, channels)),
    )


def c2(
    style: Style,
    channels_in: int,
    number: int,
    channels: Channels,
    shortcut: Flag = True,
    groups: Whole = 1,
    ratio: Ratio = 0.5,
) -> Sequential:
    """CSPNet (arXiv:1911.11929) with one convolution, of whose channels half go through residual units, and half past them."""
    hidden = int(channels * ratio)
    return Sequential(
        ("split", conv(style, channels_in, 2 * hidden)),
        pick[:, :hidden],
        *chain(style, hidden, number, (3, 3), shortcut, groups),
        cat(via("split", pick[:, hidden:])),
        ("fuse", conv(style, 2 * hidden, channels)),
    )


def c2f(
    style: Style,
    channels_in: int,
    number: int,
    channels: Channels,
    shortcut: Flag = False,
    groups: Whole = 1,
    ratio: Ratio = 0.5,
) -> Sequential:
    """The split of CSPNet with every residual unit joined at the end, as ELAN joins its ways (YOLOv7, arXiv:2207.02696).

    >>> from skipseq.bridges.yolo.blocks import Style, c2f
    >>> c2f(Style(), 32, 2, 64).skips
    2 skips
    <BLANKLINE>
    giver                 name          join  reader
    split         net[0]  split         cat   fuse    net[4]
    bottleneck_1  net[2]  bottleneck_1  cat   fuse    net[4]
    """
    hidden = int(channels * ratio)
    units = chain(style, hidden, number, (3, 3), shortcut, groups)
    return Sequential(
        ("split", conv(style, channels_in, 2 * hidden)),
        pick[:, hidden:],
        *units,
        cat("split", *(name for name, _ in units[:-1]), here),
        ("fuse", conv(style, (2 + number) * hidden, channels)),
    )


def spp(style: Style, channels_in: int, channels: Channels, kernels: Sizes = (5, 9, 13)) -> Sequential:
    """Spatial pyramid pooling (arXiv:1406.4729) as YOLOv4 has it: the map beside its maxima over windows of several sizes."""
    hidden = channels_in // 2
    return Sequential(
        ("reduce", conv(style, channels_in, hidden)),
        cat(here, *(via("reduce", nn.MaxPool2d(size, 1, size // 2)) for size in kernels)),
        ("fuse", conv(style, (1 + len(kernels)) * hidden, channels)),
    )


def sppf(style: Style, channels_in: int, channels: Channels, kernel: Whole = 5) -> Sequential:
    """Spatial pyramid pooling (arXiv:1406.4729) by three windows one behind the other: of 5, these are as those of 5, 9 and 13.

    >>> from skipseq.bridges.yolo.blocks import Style, sppf
    >>> [name for name, _ in sppf(Style(), 64, 64).named_children()]
    ['reduce', 'pool_1', 'pool_2', 'pool_3', 'cat_0', 'fuse']
    """
    hidden = channels_in // 2
    return Sequential(
        ("reduce", conv(style, channels_in, hidden)),
        *((f"pool_{count}", nn.MaxPool2d(kernel, 1, kernel // 2)) for count in (1, 2, 3)),
        cat("reduce", "pool_1", "pool_2", here),
        ("fuse", conv(style, 4 * hidden, channels)),
    )


def focus(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    padding: Padding = None,
    groups: Whole = 1,
) -> Sequential:
    """Every second pixel of every second row, four times, as channels: the pass-through of YOLO9000 (arXiv:1612.08242)."""
    corners = (pick[..., ::2, ::2], pick[..., 1::2, ::2], pick[..., ::2, 1::2], pick[..., 1::2, 1::2])
    return Sequential(
        take(cat(*(via("input", corner) for corner in corners))),
        conv(style, 4 * channels_in, channels, kernel, stride, padding, groups),
    )


def classify(
    style: Style,
    channels_in: int,
    channels: Channels,
    kernel: Size = 1,
    stride: Size = 1,
    padding: Padding = None,
    groups: Whole = 1,
) -> Sequential:
    """Scores of classes for the whole image, from the mean over the map: as in Network in Network (arXiv:1312.4400)."""
    hidden = 1280
    return Sequential(
        conv(style, channels_in, hidden, kernel, stride, padding, groups),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(hidden, channels),
    )
