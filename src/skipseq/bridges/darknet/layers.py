"""Layers of Darknet that PyTorch lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from skipseq.bridges.layer import PrintedLayer

__all__ = ["DarknetActivation", "DetectionOutput", "RegionOutput", "Reorg", "Reorg3d", "YoloOutput"]


class Reorg3d(PrintedLayer):
    """Squares of pixels become channels, the place within the square first: section ``[reorg3d]``.

    >>> import torch
    >>> from skipseq.bridges.darknet.layers import Reorg3d
    >>> Reorg3d(2)(torch.arange(8.0).view(1, 2, 2, 2)).flatten().tolist()
    [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]

    ``nn.PixelUnshuffle`` puts the channel first. Channel ``place * channels + channel`` of the result, shaped
    ``(batch, channels * stride**2, height / stride, width / stride)``, holds the pixels at one place of the squares.

    Args:
        stride: the side of a square, in pixels.
        reverse: goes from channels to squares, with Darknet's own order of memory, which is not the way back.
    """

    def __init__(self, stride: int, reverse: bool = False) -> None:
        super().__init__()
        self.stride, self.reverse = positive(stride), reverse

    def forward(self, x: Tensor) -> Tensor:
        """The input ``(batch, channels, height, width)`` with its pixels in another order."""
        if not self.reverse:
            return squares_to_channels(x, self.stride)
        batch, channels, height, width = x.shape
        high = x.reshape(batch, channels // self.stride**2, height * self.stride, width * self.stride)
        return channels_to_squares(high, self.stride).reshape(high.shape)


class Reorg(PrintedLayer):
    """Squares of pixels become channels, in the order of YOLOv2: section ``[reorg]``.

    >>> import torch
    >>> from skipseq.bridges.darknet.layers import Reorg
    >>> Reorg(2)(torch.zeros(1, 64, 26, 26)).shape
    torch.Size([1, 256, 13, 13])

    Darknet reads the memory of the input as an image with fewer channels and more pixels, gathers the squares of that one,
    and reads the result in its new shape. The weights of YOLOv2 were trained with this order.

    Args:
        stride: the side of a square, in pixels; the channels have to be a multiple of its square.
        reverse: goes from channels to squares.
    """

    def __init__(self, stride: int, reverse: bool = False) -> None:
        super().__init__()
        self.stride, self.reverse = positive(stride), reverse

    def forward(self, x: Tensor) -> Tensor:
        """The input ``(batch, channels, height, width)`` with its pixels in another order."""
        if self.reverse:
            return channels_to_squares(x, self.stride)
        batch, channels, height, width = x.shape
        stride = self.stride
        gathered = squares_to_channels(x.reshape(batch, channels // stride**2, height * stride, width * stride), stride)
        return gathered.reshape(batch, channels * stride**2, height // stride, width // stride)


def squares_to_channels(x: Tensor, stride: int) -> Tensor:
    """Each square of pixels as channels, the place within the square before the channel."""
    batch, channels, height, width = x.shape
    squares = x.reshape(batch, channels, height // stride, stride, width // stride, stride).permute(0, 3, 5, 1, 2, 4)
    return squares.reshape(batch, channels * stride**2, height // stride, width // stride)


def channels_to_squares(x: Tensor, stride: int) -> Tensor:
    """The way back."""
    batch, channels, height, width = x.shape
    squares = x.reshape(batch, stride, stride, channels // stride**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return squares.reshape(batch, channels // stride**2, height * stride, width * stride)


def positive(stride: int) -> int:
    """A stride of at least one."""
    if stride < 1:
        raise ValueError(f"the stride has to be at least 1, not {stride}")
    return stride


def ramp(x: Tensor) -> Tensor:
    """A rectifier on top of a slope of a tenth."""
    return F.relu(x) + 0.1 * x


def plse(x: Tensor) -> Tensor:
    """Three straight lines: a coarse sigmoid."""
    middle = 0.125 * x + 0.5
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, middle))


def lhtan(x: Tensor) -> Tensor:
    """The identity between 0 and 1, and nearly flat outside."""
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def stair(x: Tensor) -> Tensor:
    """Flat steps, with slopes between them."""
    whole = x.floor()
    return torch.where(whole % 2 == 0, (x / 2).floor(), (x - whole) + (x / 2).floor())


def loggy(x: Tensor) -> Tensor:
    """A sigmoid from -1 to 1."""
    return 2 * torch.sigmoid(x) - 1


def hard_mish(x: Tensor) -> Tensor:
    """A parabola between -2 and 0, and a rectifier outside."""
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, torch.zeros_like(x)))


CURVES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"ramp": ramp, "plse": plse, "lhtan": lhtan, "stair": stair, "loggy": loggy, "hard_mish": hard_mish}
)


class DarknetActivation(PrintedLayer):
    """An activation that only Darknet has.

    >>> import torch
    >>> from skipseq.bridges.darknet.layers import DarknetActivation
    >>> DarknetActivation("ramp")(torch.tensor([-1.0, 1.0]))
    tensor([-0.1000,  1.1000])

    Args:
        curve: ``"ramp"``, ``"plse"``, ``"lhtan"``, ``"stair"``, ``"loggy"`` or ``"hard_mish"``.
    """

    def __init__(self, curve: str) -> None:
        super().__init__()
        if curve not in CURVES:
            raise ValueError(f"{curve!r} is not one of {', '.join(map(repr, CURVES))}")
        self.curve = curve

    def forward(self, x: Tensor) -> Tensor:
        """The curve, element by element."""
        return CURVES[self.curve](x)


Anchors = Sequence[Sequence[float]]


def pairs(anchors: Anchors) -> list[tuple[float, float]]:
    """Anchors as pairs of a width and a height."""
    return [(width, height) for width, height in anchors]


class YoloOutput(PrintedLayer):
    """A map of a detector of the third generation and later, unchanged, and what is needed to read boxes from it.

    >>> from skipseq.bridges.darknet.layers import YoloOutput
    >>> YoloOutput([(10, 14), (23, 27), (37, 58)], classes=80).anchors[0]
    (10, 14)

    The map is ``(batch, anchors * (5 + classes), height, width)``: for each anchor the center of a box, its extent, whether
    there is one, and its classes, before any sigmoid. A Gaussian one has four numbers more for each anchor.

    Args:
        anchors: the extents that the boxes of this map start from, ``(width, height)`` in pixels of the network's input:
            those of the section's ``anchors=`` that its ``mask=`` picks.
        classes: the number of classes.
        scale_x_y: how far the centers are stretched.
        new_coords: whether boxes are read the newer way, without exponentials.
        gaussian: whether each coordinate has an uncertainty beside it.
    """

    def __init__(
        self, anchors: Anchors, *, classes: int, scale_x_y: float = 1.0, new_coords: bool = False, gaussian: bool = False
    ) -> None:
        super().__init__()
        self.anchors = pairs(anchors)
        self.classes, self.scale_x_y, self.new_coords, self.gaussian = classes, scale_x_y, new_coords, gaussian

    def forward(self, x: Tensor) -> Tensor:
        """The map as it is."""
        return x


class RegionOutput(PrintedLayer):
    """A map of a detector of the second generation, unchanged, and what is needed to read boxes from it.

    >>> from skipseq.bridges.darknet.layers import RegionOutput
    >>> RegionOutput([(0.5, 0.6), (1.8, 2.0)], classes=20, softmax=True)
    RegionOutput([(0.5, 0.6), (1.8, 2.0)], classes=20, softmax=True)

    The map is ``(batch, anchors * (coords + 1 + classes), height, width)``.

    Args:
        anchors: the extents that boxes start from, ``(width, height)`` in cells of the map.
        classes: the number of classes.
        coords: the numbers that tell a box.
        softmax: whether the classes of a box exclude each other.
        tree: the file with the tree of the classes, where there is one.
    """

    def __init__(self, anchors: Anchors, *, classes: int, coords: int = 4, softmax: bool = False, tree: str = "") -> None:
        super().__init__()
        self.anchors = pairs(anchors)
        self.classes, self.coords, self.softmax, self.tree = classes, coords, softmax, tree

    def forward(self, x: Tensor) -> Tensor:
        """The map as it is."""
        return x


class DetectionOutput(PrintedLayer):
    """The result of a detector of the first generation, unchanged, and what is needed to read boxes from it.

    >>> from skipseq.bridges.darknet.layers import DetectionOutput
    >>> DetectionOutput(side=7, boxes=3, classes=20, coords=4, sqrt=True)
    DetectionOutput(side=7, boxes=3, classes=20, sqrt=True)

    Of the ``side * side * (classes + boxes * (1 + coords))`` numbers come first the classes of all cells, then whether there is
    a box, then the boxes.

    Args:
        side: the cells along one side of the image.
        boxes: the boxes of a cell.
        classes: the number of classes.
        coords: the numbers that tell a box.
        sqrt: whether the extents of a box are square roots.
        softmax: whether the classes of a cell exclude each other.
    """

    def __init__(
        self, *, side: int, boxes: int, classes: int, coords: int = 4, sqrt: bool = False, softmax: bool = False
    ) -> None:
        super().__init__()
        self.side, self.boxes, self.classes, self.coords = side, boxes, classes, coords
        self.sqrt, self.softmax = sqrt, softmax

    def forward(self, x: Tensor) -> Tensor:
        """The result as it is."""
        return x
