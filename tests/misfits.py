"""Networks that do not fit, by what is wrong with their shapes: half of the table that ``test_misfits.py`` goes through.

The text of each error is in ``golden/misfits/``, a file for each group, under the name that it has here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from skipseq import Sequential, add, call, cat, here, mul, save, sub, take

__all__ = ["OF_SHAPE", "Misfit", "conv"]

#: A shape stands for a tensor of floating numbers.
Given: TypeAlias = "tuple[int, ...] | dict[str, tuple[int, ...]] | Callable[[], Any]"


@dataclass(frozen=True)
class Misfit:
    """A network that does not fit, and its input; ``own`` tells that a real call raises the error of the layer itself."""

    build: Callable[[], Sequential]
    given: Given
    own: bool = False


def conv(channels: int, out: int, kernel: int = 3, stride: int = 1, padding: int = 0, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, padding, groups=groups)


def lazy(channels: int, kernel: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says of all lazy modules that they are new
        return nn.LazyConv2d(channels, kernel)


CHANNELS: dict[str, Misfit] = {
    "a linear layer after a concatenation": Misfit(
        lambda: Sequential(
            ("linear1", nn.Linear(30, 10)),
            ("linear2", nn.Linear(10, 15)),
            ("linear3", nn.Linear(15, 10)),
            cat("linear2", here),
            ("linear4", nn.Linear(10, 20)),
        ),
        (4, 30),
    ),
    "a convolution after a concatenation": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("x1"), conv(8, 8, padding=1), cat("x1"), conv(8, 4, padding=1)),
        (1, 3, 16, 16),
    ),
    "Conv1d": Misfit(lambda: Sequential(nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(4, 8, 5)), (2, 4, 32)),
    "Conv3d": Misfit(lambda: Sequential(nn.Conv3d(1, 4, 3), nn.Conv3d(1, 4, (3, 3, 1), bias=False)), (1, 1, 8, 8, 8)),
    "ConvTranspose2d": Misfit(lambda: Sequential(conv(3, 16, 4, 2, 1), nn.ConvTranspose2d(32, 16, 4, 2, 1)), (1, 3, 32, 32)),
    "ConvTranspose1d": Misfit(lambda: Sequential(nn.Conv1d(2, 6, 3), nn.ConvTranspose1d(4, 2, 3)), (1, 2, 16)),
    "a grouped convolution": Misfit(lambda: Sequential(conv(3, 12), conv(16, 32, groups=4)), (1, 3, 16, 16)),
    "groups that cannot stay": Misfit(lambda: Sequential(conv(3, 10), conv(16, 32, groups=4)), (1, 3, 16, 16)),
    "a depthwise convolution": Misfit(
        lambda: Sequential(conv(3, 24, 1), conv(32, 32, padding=1, groups=32), conv(32, 8, 1)), (1, 3, 16, 16)
    ),
    "a convolution with padding_mode": Misfit(
        lambda: Sequential(nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect", dilation=2)), (1, 3, 16, 16)
    ),
    "BatchNorm2d": Misfit(lambda: Sequential(conv(3, 16), nn.BatchNorm2d(32), nn.ReLU()), (2, 3, 8, 8)),
    "BatchNorm1d": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.BatchNorm1d(8)), (4, 8)),
    "BatchNorm1d over tokens": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16)), (4, 10, 8)),
    "GroupNorm": Misfit(lambda: Sequential(conv(3, 20), nn.GroupNorm(8, 32)), (2, 3, 8, 8)),
    "InstanceNorm2d": Misfit(lambda: Sequential(conv(3, 16), nn.InstanceNorm2d(8, affine=True)), (2, 3, 8, 8)),
    "LayerNorm": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.LayerNorm(8)), (4, 8)),
    "LayerNorm over channels": Misfit(lambda: Sequential(conv(3, 16), nn.LayerNorm(16)), (2, 3, 8, 8)),
    "LayerNorm of a picture": Misfit(lambda: Sequential(conv(3, 16), nn.LayerNorm((16, 8, 8))), (2, 3, 8, 8)),
    "RMSNorm": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.RMSNorm(32)), (4, 8)),
    "PReLU": Misfit(lambda: Sequential(conv(3, 16), nn.PReLU(8)), (2, 3, 8, 8)),
    "Bilinear": Misfit(lambda: Sequential(nn.Linear(8, 6), call(nn.Bilinear(6, 4, 3), here, "input")), (5, 8)),
    "PixelShuffle": Misfit(lambda: Sequential(conv(3, 10, padding=1), nn.PixelShuffle(2)), (1, 3, 8, 8)),
    "PixelUnshuffle": Misfit(lambda: Sequential(conv(3, 10), nn.PixelUnshuffle(2)), (1, 3, 9, 9)),
    "Unflatten": Misfit(lambda: Sequential(nn.Linear(10, 512), nn.Unflatten(1, (8, 4, 4))), (2, 10)),
    "GLU": Misfit(lambda: Sequential(nn.Linear(10, 5), nn.GLU()), (2, 10)),
    "LocalResponseNorm": Misfit(lambda: Sequential(nn.LocalResponseNorm(2), nn.Linear(5, 2)), (2, 10)),
    "Cosine": Misfit(lambda: Sequential(nn.Linear(8, 6), call(nn.CosineSimilarity(), here, "input")), (5, 8)),
}

SPACE: dict[str, Misfit] = {
    "odd pooling": Misfit(
        lambda: Sequential(
            conv(3, 8, padding=1),
            save("x1"),
            nn.MaxPool2d(2),
            conv(8, 8, padding=1),
            nn.ConvTranspose2d(8, 8, 2, 2),
            cat("x1"),
            conv(16, 4, padding=1),
        ),
        (1, 3, 33, 33),
    ),
    "odd pooling, deep": Misfit(
        lambda: Sequential(
            conv(3, 8, padding=1),
            save("x1"),
            nn.MaxPool2d(2),
            conv(8, 16, padding=1),
            save("x2"),
            nn.MaxPool2d(2),
            nn.Upsample(scale_factor=2),
            cat("x2"),
            conv(32, 8, padding=1),
            nn.Upsample(scale_factor=2),
            cat("x1"),
            conv(16, 4, padding=1),
        ),
        (1, 3, 50, 50),
    ),
    "lost by convolutions": Misfit(
        lambda: Sequential(conv(3, 8), save("x1"), conv(8, 8), nn.ReLU(), conv(8, 8), cat("x1")), (1, 3, 16, 16)
    ),
    "lost by convolutions, a residual": Misfit(
        lambda: Sequential(conv(8, 8), nn.ReLU(), conv(8, 8), add("input")), (1, 8, 16, 16)
    ),
    "lost by one dilated convolution": Misfit(
        lambda: Sequential(conv(8, 8, padding=1), nn.Conv2d(8, 8, 3, padding=1, dilation=2), add("input")), (1, 8, 16, 16)
    ),
    "lost by an even kernel": Misfit(lambda: Sequential(conv(8, 8, 4, padding=1), add("input")), (1, 8, 16, 16)),
    "lost by Conv1d": Misfit(lambda: Sequential(nn.Conv1d(4, 4, 5), nn.ReLU(), add("input")), (2, 4, 64)),
    "the repository's tutorial": Misfit(
        lambda: Sequential(nn.Conv2d(3, 6, 2, 2, 2), nn.Conv2d(6, 3, 2, 2, 2), add("input")), (1, 3, 32, 32)
    ),
    "half the size, cat": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("x1"), nn.MaxPool2d(2), conv(8, 8, padding=1), cat("x1")),
        (1, 3, 16, 16),
    ),
    "half the size, a residual": Misfit(
        lambda: Sequential(conv(8, 8, 3, 2, 1), nn.ReLU(), conv(8, 8, padding=1), add("input")), (1, 8, 16, 16)
    ),
    "half the size and twice the channels": Misfit(
        lambda: Sequential(conv(64, 128, 3, 2, 1), nn.ReLU(), add("input")), (1, 64, 16, 16)
    ),
    "twice the channels": Misfit(lambda: Sequential(conv(8, 16, padding=1), add("input")), (1, 8, 16, 16)),
    "more features": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.ReLU(), add("input"), nn.Linear(16, 2)), (4, 8)),
    "more features of tokens": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.ReLU(), mul("input")), (4, 5, 8)),
    "another number of dimensions": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("x1"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), mul("x1")),
        (2, 3, 8, 8),
    ),
    "another number of dimensions, cat": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("x1"), nn.Flatten(), nn.Linear(512, 8), cat("x1")), (2, 3, 8, 8)
    ),
    "squeeze and excitation": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("x1"), nn.AdaptiveAvgPool2d(1), conv(8, 8, 1), nn.Sigmoid(), mul("x1")),
        (2, 3, 8, 8),
    ),
    "cat of three": Misfit(
        lambda: Sequential(
            conv(3, 8, padding=1), save("x1"), nn.AvgPool2d(2), save("x2"), nn.AvgPool2d(2), cat(here, "x1", "x2")
        ),
        (1, 3, 16, 16),
    ),
    "add of three": Misfit(
        lambda: Sequential(nn.Linear(8, 8), save("a"), nn.Linear(8, 6), save("b"), nn.Linear(6, 8), add(here, "a", "b")),
        (4, 8),
    ),
    "sub": Misfit(lambda: Sequential(nn.Linear(8, 6), sub("input", here)), (4, 8)),
    "mul": Misfit(lambda: Sequential(nn.Linear(8, 1), nn.Sigmoid(), mul("input")), (4, 8)),
    "take of a join": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), save("e1"), nn.MaxPool2d(2), save("e2"), nn.ReLU(), take(cat("e1", "e2"))),
        (1, 3, 16, 16),
    ),
    "a fit that cannot": Misfit(
        lambda: Sequential(nn.Conv2d(3, 8, 3, padding=1), save("x1"), nn.MaxPool2d(2), cat("x1", fit="pad", like=here)),
        (1, 3, 16, 16),
    ),
    "a fit for channels": Misfit(
        lambda: Sequential(conv(3, 8), save("x1"), conv(8, 16), add("x1", fit="crop")), (1, 3, 16, 16)
    ),
    "project that cannot": Misfit(
        lambda: Sequential(nn.Flatten(), nn.Linear(192, 8), add("input", project=True)), (1, 3, 8, 8)
    ),
    "a picture and a label, add": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), add("t"), inputs=("x", "t")), {"x": (2, 3, 8, 8), "t": (2, 10)}
    ),
    "a picture and a label, cat": Misfit(
        lambda: Sequential(conv(3, 8, padding=1), cat("t"), inputs=("x", "t")), {"x": (2, 3, 8, 8), "t": (2, 10)}
    ),
    "tokens and a label": Misfit(
        lambda: Sequential(nn.Linear(8, 16), add("t"), inputs=("x", "t")), {"x": (2, 5, 8), "t": (2, 16)}
    ),
    "cat along a missing dimension": Misfit(lambda: Sequential(nn.Linear(8, 8), cat("input", dim=2)), (4, 8)),
    "broadcasting that does not help": Misfit(lambda: Sequential(nn.Linear(8, 5), add("input", broadcast=True)), (4, 8)),
    "another batch": Misfit(lambda: Sequential(nn.Linear(8, 8), cat("t"), inputs=("x", "t")), {"x": (4, 8), "t": (1, 8)}),
    "another batch, add": Misfit(lambda: Sequential(nn.Linear(8, 8), add("t"), inputs=("x", "t")), {"x": (4, 8), "t": (3, 8)}),
    "Flatten(0)": Misfit(lambda: Sequential(conv(3, 8), nn.Flatten(0), nn.Linear(8 * 36, 10)), (2, 3, 8, 8)),
    "a kernel larger than the input": Misfit(
        lambda: Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2), conv(8, 8, 3, 2), conv(8, 8, 3, 2)), (1, 3, 16, 16)
    ),
    "a dilated kernel larger than the input": Misfit(lambda: Sequential(nn.Conv1d(1, 1, 3, dilation=8, padding=2)), (1, 1, 8)),
    "a lazy convolution of too little": Misfit(lambda: Sequential(nn.AvgPool2d(4), lazy(8, 5), nn.ReLU()), (2, 3, 12, 12)),
    "a pool too deep": Misfit(
        lambda: Sequential(*[layer for _ in range(4) for layer in (conv(1, 1, padding=1), nn.MaxPool2d(2))]), (1, 1, 8, 8)
    ),
    "an average pool too deep": Misfit(lambda: Sequential(nn.AvgPool1d(3), nn.AvgPool1d(3)), (1, 2, 8)),
    "an average pool that looks at no padding": Misfit(lambda: Sequential(nn.AvgPool3d(3, 2, 1)), (1, 2, 2, 2, 2)),
    "a pool padded too much": Misfit(lambda: Sequential(nn.MaxPool2d(3, padding=2)), (1, 2, 2, 2)),
    "circular padding": Misfit(lambda: Sequential(nn.CircularPad1d((1, 4)), nn.Conv1d(2, 4, 3)), (1, 2, 3)),
    "reflection padding": Misfit(lambda: Sequential(nn.ReflectionPad2d(4), conv(3, 4)), (1, 3, 4, 4)),
}

RANK: dict[str, Misfit] = {
    "no Flatten": Misfit(
        lambda: Sequential(conv(1, 8, padding=1), nn.MaxPool2d(2), nn.Linear(8 * 14 * 14, 10)), (4, 1, 28, 28)
    ),
    "no Flatten and wrong features": Misfit(
        lambda: Sequential(conv(1, 8), nn.MaxPool2d(2), nn.Linear(8 * 14 * 14, 10)), (4, 1, 28, 28)
    ),
    "Flatten, then wrong features": Misfit(
        lambda: Sequential(conv(1, 8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 14 * 14, 10)), (4, 1, 28, 28)
    ),
    "no pooling and no Flatten": Misfit(lambda: Sequential(conv(3, 64), nn.ReLU(), nn.Linear(64, 10)), (4, 3, 32, 32)),
    "pooling and no Flatten": Misfit(
        lambda: Sequential(conv(3, 64), nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)), (4, 3, 32, 32)
    ),
    "Conv1d and no Flatten": Misfit(lambda: Sequential(nn.Conv1d(4, 8, 3), nn.Linear(8, 2)), (2, 4, 16)),
    "Conv1d, no Flatten and wrong features": Misfit(lambda: Sequential(nn.Conv1d(4, 8, 3), nn.Linear(100, 2)), (2, 4, 16)),
    "tokens and wrong features": Misfit(lambda: Sequential(nn.Linear(4, 8), nn.Linear(100, 2)), (2, 5, 4)),
    "a vector into ConvTranspose2d": Misfit(
        lambda: Sequential(nn.ConvTranspose2d(100, 64, 4), nn.ReLU(), nn.ConvTranspose2d(64, 3, 4, 2, 1)), (8, 100)
    ),
    "features into ConvTranspose2d": Misfit(
        lambda: Sequential(nn.Linear(100, 64 * 7 * 7), nn.ReLU(), nn.ConvTranspose2d(64, 1, 4, 2, 1)), (8, 100)
    ),
    "channels last": Misfit(lambda: Sequential(conv(3, 8), nn.ReLU()), (1, 32, 32, 3)),
    "a picture without a batch, channels last": Misfit(lambda: Sequential(conv(3, 8), nn.ReLU()), (32, 32, 3)),
    "a grey picture without channels": Misfit(lambda: Sequential(conv(1, 8), nn.ReLU()), (4, 28, 28)),
    "Conv1d of pictures": Misfit(lambda: Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU()), (2, 3, 16, 16)),
    "Conv2d of sequences": Misfit(lambda: Sequential(conv(16, 8, padding=1), nn.ReLU()), (2, 16, 100)),
    "Conv2d of volumes": Misfit(lambda: Sequential(conv(1, 8, padding=1), nn.ReLU()), (2, 1, 16, 16, 16)),
    "Conv1d of tokens": Misfit(
        lambda: Sequential(nn.Embedding(50, 16), nn.Conv1d(16, 8, 3)), lambda: torch.randint(0, 50, (2, 20))
    ),
    "Conv1d of a signal": Misfit(lambda: Sequential(nn.Conv1d(1, 8, 3), nn.ReLU()), (4, 100)),
    "BatchNorm1d of pictures": Misfit(lambda: Sequential(conv(3, 8), nn.BatchNorm1d(8)), (2, 3, 16, 16)),
    "BatchNorm2d of features": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.BatchNorm2d(16)), (4, 8)),
    "BatchNorm3d of pictures": Misfit(lambda: Sequential(conv(3, 8), nn.BatchNorm3d(8)), (2, 3, 16, 16)),
    "BatchNorm2d of one picture": Misfit(lambda: Sequential(conv(3, 8), nn.BatchNorm2d(8)), (3, 16, 16)),
    "InstanceNorm2d of features": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.InstanceNorm2d(16)), (4, 8)),
    "MaxPool1d of pictures": Misfit(lambda: Sequential(conv(3, 8), nn.MaxPool1d(2)), (2, 3, 16, 16)),
    "MaxPool2d of features": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.MaxPool2d(2)), (8,)),
    "Upsample of sequences": Misfit(
        lambda: Sequential(nn.Conv1d(2, 4, 3), nn.Upsample(scale_factor=2, mode="bilinear")), (1, 2, 16)
    ),
    "Upsample of pictures": Misfit(lambda: Sequential(conv(3, 4), nn.Upsample(scale_factor=2, mode="linear")), (1, 3, 16, 16)),
    "Upsample of features": Misfit(lambda: Sequential(nn.Linear(8, 8), nn.Upsample(scale_factor=2)), (4, 8)),
    "Softmax over a missing dimension": Misfit(lambda: Sequential(nn.Linear(8, 8), nn.Softmax(dim=2)), (4, 8)),
    "Flatten of a missing dimension": Misfit(lambda: Sequential(nn.Linear(8, 8), nn.Flatten(2)), (4, 8)),
    "BatchNorm with one sample": Misfit(lambda: Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 2)), (1, 8)),
    "InstanceNorm of one pixel": Misfit(lambda: Sequential(conv(3, 8), nn.InstanceNorm2d(8)), (2, 3, 3, 3)),
}

#: The groups, and the rows of each by name.
OF_SHAPE: dict[str, dict[str, Misfit]] = {"channels": CHANNELS, "space": SPACE, "rank": RANK}
