"""Networks of the YOLO family by hand, from the papers, and model files for the published ones."""

from __future__ import annotations

from typing import Any

import torch
import yaml
from torch import Tensor, nn

#: The multiples of depth and width and the most channels, by the letter of the network.
FREE_SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.0, 1.0, 512),
    "x": (1.0, 1.25, 512),
}
ANCHORED_SCALES = {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}


def free_text(classes: int = 80) -> str:
    """A model file of a backbone of C2f stages, a path aggregation network (arXiv:1803.01534), and a head without anchors."""
    backbone: list[Any] = [[-1, 1, "Conv", [64, 3, 2]]]
    for channels, number in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        backbone += [[-1, 1, "Conv", [channels, 3, 2]], [-1, number, "C2f", [channels, True]]]
    backbone.append([-1, 1, "SPPF", [1024, 5]])
    head: list[Any] = []
    for channels, finer in ((512, 6), (256, 4)):
        head += [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[-1, finer], 1, "Concat", [1]], [-1, 3, "C2f", [channels]]]
    for channels, coarser in ((512, 12), (1024, 9)):
        head += [[-1, 1, "Conv", [channels // 2, 3, 2]], [[-1, coarser], 1, "Concat", [1]], [-1, 3, "C2f", [channels]]]
    head.append([[15, 18, 21], 1, "Detect", ["nc"]])
    scales = {name: list(scale) for name, scale in FREE_SCALES.items()}
    return yaml.safe_dump({"nc": classes, "scales": scales, "backbone": backbone, "head": head})


def anchored_text(depth: float, width: float, classes: int = 80) -> str:
    """The same plan with C3 stages and three anchor boxes at each place."""
    backbone: list[Any] = [[-1, 1, "Conv", [64, 6, 2, 2]]]
    for channels, number in ((128, 3), (256, 6), (512, 9), (1024, 3)):
        backbone += [[-1, 1, "Conv", [channels, 3, 2]], [-1, number, "C3", [channels]]]
    backbone.append([-1, 1, "SPPF", [1024, 5]])
    head: list[Any] = []
    for channels, finer in ((512, 6), (256, 4)):
        head += [[-1, 1, "Conv", [channels, 1, 1]], [-1, 1, "nn.Upsample", ["None", 2, "nearest"]]]
        head += [[[-1, finer], 1, "Concat", [1]], [-1, 3, "C3", [channels, False]]]
    for channels, coarser in ((256, 14), (512, 10)):
        head += [[-1, 1, "Conv", [channels, 3, 2]], [[-1, coarser], 1, "Concat", [1]], [-1, 3, "C3", [2 * channels, False]]]
    head.append([[17, 20, 23], 1, "Detect", ["nc", "anchors"]])
    anchors = [[10 * scale, 20 * scale] * 3 for scale in (1, 2, 4)]
    multiples = {"nc": classes, "depth_multiple": depth, "width_multiple": width, "anchors": anchors}
    return yaml.safe_dump({**multiples, "backbone": backbone, "head": head})


def residual_text(classes: int = 80) -> str:
    """A model file of Darknet-53 and the head of YOLOv3 (arXiv:1804.02767)."""
    backbone: list[Any] = [[-1, 1, "Conv", [32, 3, 1]]]
    for channels, number in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        backbone += [[-1, 1, "Conv", [channels, 3, 2]], [-1, number, "Bottleneck", [channels]]]
    head: list[Any] = [unit(1024), narrow(512), wide(1024), narrow(512), wide(1024)]  # the last one is row 15
    head += [[-2, *narrow(256)[1:]], *finer(8), unit(512), unit(512), narrow(256), wide(512)]  # 22
    head += [[-2, *narrow(128)[1:]], *finer(6), unit(256), [-1, 2, *unit(256)[2:]]]  # 27
    head.append([[27, 22, 15], 1, "Detect", ["nc", "anchors"]])
    return yaml.safe_dump({"nc": classes, "anchors": 3, "backbone": backbone, "head": head})


def unit(channels: int) -> list[Any]:
    """A row of two convolutions without a shortcut."""
    return [-1, 1, "Bottleneck", [channels, False]]


def narrow(channels: int) -> list[Any]:
    """A row of a 1x1 convolution."""
    return [-1, 1, "Conv", [channels, 1, 1]]


def wide(channels: int) -> list[Any]:
    """A row of a 3x3 convolution."""
    return [-1, 1, "Conv", [channels, 3, 1]]


def finer(row: int) -> list[Any]:
    """The rows that double the size and join the map of an earlier row."""
    return [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[-1, row], 1, "Concat", [1]]]


class Unit(nn.Module):
    """Convolution, batch norm, activation."""

    def __init__(
        self, before: int, after: int, kernel: int = 1, stride: int = 1, act: nn.Module | None = None, groups: int = 1
    ):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=0.001, momentum=0.03)
        self.act = act or nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Shortcut(nn.Module):
    """Two units, and the sum with their input."""

    def __init__(self, before: int, hidden: int, after: int, kernel: int, shortcut: bool, act: nn.Module | None = None):
        super().__init__()
        self.first, self.second = Unit(before, hidden, kernel, act=act), Unit(hidden, after, 3, act=act)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


class SplitStage(nn.Module):
    """C2f: one half through units in a chain, and all of them joined."""

    def __init__(self, before: int, after: int, number: int, shortcut: bool):
        super().__init__()
        half = after // 2
        self.split = Unit(before, 2 * half)
        self.units = nn.ModuleList(Shortcut(half, half, half, 3, shortcut) for _ in range(number))
        self.fuse = Unit((2 + number) * half, after)

    def forward(self, x: Tensor) -> Tensor:
        values = list(self.split(x).chunk(2, 1))
        for unit in self.units:
            values.append(unit(values[-1]))
        return self.fuse(torch.cat(values, 1))


class HalfStage(nn.Module):
    """C2: one half through units, the other half past them."""

    def __init__(self, before: int, after: int, number: int):
        super().__init__()
        half = after // 2
        self.split = Unit(before, 2 * half)
        self.units = nn.Sequential(*(Shortcut(half, half, half, 3, True) for _ in range(number)))
        self.fuse = Unit(2 * half, after)

    def forward(self, x: Tensor) -> Tensor:
        through, past = self.split(x).chunk(2, 1)
        return self.fuse(torch.cat((self.units(through), past), 1))


class TwoWays(nn.Module):
    """C3: two ways, one of them through units."""

    def __init__(self, before: int, after: int, number: int, shortcut: bool, act: nn.Module | None = None):
        super().__init__()
        half = after // 2
        self.past, self.reduce = Unit(before, half, act=act), Unit(before, half, act=act)
        self.units = nn.Sequential(*(Shortcut(half, half, half, 1, shortcut, act) for _ in range(number)))
        self.fuse = Unit(2 * half, after, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(torch.cat((self.units(self.reduce(x)), self.past(x)), 1))


class PartialStage(nn.Module):
    """BottleneckCSP: two ways with plain convolutions at their ends, and one batch norm."""

    def __init__(self, before: int, after: int, number: int, act: nn.Module):
        super().__init__()
        half = after // 2
        self.past = nn.Conv2d(before, half, 1, bias=False)
        self.reduce = Unit(before, half, act=act)
        self.units = nn.Sequential(*(Shortcut(half, half, half, 1, False, act) for _ in range(number)))
        self.transition = nn.Conv2d(half, half, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * half, eps=0.001, momentum=0.03)
        self.act = act
        self.fuse = Unit(2 * half, after, act=act)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.transition(self.units(self.reduce(x))), self.past(x)), 1)
        return self.fuse(self.act(self.norm(both)))


class Pyramid(nn.Module):
    """SPP: the map beside its maxima over windows."""

    def __init__(self, before: int, after: int, kernels: tuple[int, ...], act: nn.Module | None = None):
        super().__init__()
        self.reduce = Unit(before, before // 2, act=act)
        self.fuse = Unit((1 + len(kernels)) * (before // 2), after, act=act)
        self.kernels = kernels

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        maxima = [nn.functional.max_pool2d(x, kernel, 1, kernel // 2) for kernel in self.kernels]
        return self.fuse(torch.cat((x, *maxima), 1))


class Branch(nn.Module):
    """Two units and a convolution that predicts."""

    def __init__(self, before: int, hidden: int, after: int):
        super().__init__()
        self.first, self.second = Unit(before, hidden, 3), Unit(hidden, hidden, 3)
        self.predict = nn.Conv2d(hidden, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(self.second(self.first(x)))


class Free(nn.Module):
    """``data/yolo/free.yaml`` of the scale ``tiny``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.conv1 = Unit(3, 8, 3, 2), Unit(8, 16, 3, 2)
        self.stage2 = SplitStage(16, 16, 2, True)
        self.conv3 = Unit(16, 16, 3, 2)
        self.stage4 = SplitStage(16, 16, 1, True)
        self.pool5 = Pyramid(16, 16, (3, 5, 7))
        self.stage8 = SplitStage(32, 16, 1, False)
        self.conv9 = Unit(16, 16, 3, 2)
        self.stage11 = SplitStage(32, 16, 1, False)
        self.boxes2, self.classes2 = Branch(16, 64, 64), Branch(16, 16, 5)
        self.boxes3, self.classes3 = Branch(16, 64, 64), Branch(16, 16, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        quarter = self.stage2(self.conv1(self.conv0(x)))
        eighth = self.pool5(self.stage4(self.conv3(quarter)))
        up = nn.functional.interpolate(eighth, scale_factor=2)
        fine = self.stage8(torch.cat((up, quarter), 1))
        coarse = self.stage11(torch.cat((self.conv9(fine), eighth), 1))
        return self.boxes2(fine), self.classes2(fine), self.boxes3(coarse), self.classes3(coarse)


class Anchored(nn.Module):
    """``data/yolo/anchored.yaml``."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.1)
        self.focus0 = Unit(12, 8, 3, act=act)
        self.conv1 = Unit(8, 16, 3, 2, act=act)
        self.stage2 = TwoWays(16, 16, 2, True, act)
        self.conv3 = Unit(16, 24, 3, 2, act=act)
        self.pool4 = Pyramid(24, 24, (3, 5), act)
        self.stage5 = PartialStage(24, 24, 2, act)
        self.conv6 = Unit(24, 16, act=act)
        self.up7 = nn.ConvTranspose2d(16, 16, 2, 2)
        self.stage9 = TwoWays(32, 16, 1, False, act)
        self.fine, self.coarse = nn.Conv2d(16, 18, 1), nn.Conv2d(24, 18, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        quarter = self.stage2(self.conv1(self.focus0(torch.cat(corners, 1))))
        eighth = self.stage5(self.pool4(self.conv3(quarter)))
        up = self.up7(self.conv6(eighth))
        return self.fine(self.stage9(torch.cat((up, quarter), 1))), self.coarse(eighth)


class Classes(nn.Module):
    """``data/yolo/classes.yaml``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 2, 2, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Sequential(Unit(8, 8, 3, groups=8), Unit(8, 8, 3, groups=8))
        self.units = nn.Sequential(Shortcut(8, 8, 16, 3, False), Shortcut(16, 8, 16, 3, True), Shortcut(16, 8, 16, 3, True))
        self.primary, self.cheap = Unit(16, 8, 3, 2), Unit(8, 8, 5, groups=8)
        self.stage = HalfStage(16, 16, 2)
        self.wide = Unit(16, 1280)
        self.scores = nn.Linear(1280, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(nn.functional.pad(x, (1, 0, 1, 0)))).relu()
        x = self.primary(self.units(self.depthwise(x)))
        x = self.stage(torch.cat((x, self.cheap(x)), 1))
        return self.scores(self.wide(x).mean((2, 3)))
