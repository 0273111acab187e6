"""Networks that do not fit, by what is wrong with them: the table that ``test_misfits.py`` goes through.

The text of each error is in ``golden/misfits/``, a file for each group, under the name that it has here.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from skipseq import Residual, Sequential, UNet, add, call, cat, here, mul, pick, save, sub, take, via

__all__ = ["MISFITS", "Misfit"]

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


class TwoBranches(nn.Module):
    """A layer of somebody's own that fails inside itself."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 4), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x)


class Refuses(nn.Module):
    """A layer of somebody's own with an error of its own."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 4:
            raise ValueError(f"four features are wanted, not {x.shape[-1]}")
        return x


def as_dict(x: Tensor) -> dict[str, Tensor]:
    return {"features": x, "norm": x.norm(dim=1)}


def three(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x, x + 1, x + 2


def lazy(channels: int, kernel: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says of all lazy modules that they are new
        return nn.LazyConv2d(channels, kernel)


def glue(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros(2, 2)], 1)


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

SEQUENCES: dict[str, Misfit] = {
    "LSTM": Misfit(
        lambda: Sequential(nn.Embedding(100, 32), nn.LSTM(64, 16, batch_first=True), pick[0], nn.Linear(16, 4)),
        lambda: torch.randint(0, 100, (2, 7)),
    ),
    "GRU": Misfit(lambda: Sequential(nn.GRU(8, 16, num_layers=2, bidirectional=True), pick[0], nn.GRU(16, 4)), (7, 2, 8)),
    "LSTM of pictures": Misfit(lambda: Sequential(conv(3, 8), nn.LSTM(36, 16)), (2, 3, 8, 8)),
    "LSTM of a vector": Misfit(lambda: Sequential(nn.Linear(8, 8), nn.LSTM(8, 16)), (8,)),
    "LSTMCell": Misfit(lambda: Sequential(nn.LSTMCell(8, 16), pick[0]), (4, 10)),
    "GRUCell of a sequence": Misfit(lambda: Sequential(nn.GRUCell(8, 16)), (4, 10, 8)),
    "no pick": Misfit(lambda: Sequential(nn.LSTM(8, 16), nn.Linear(16, 4)), (7, 2, 8)),
    "no pick before a join": Misfit(lambda: Sequential(nn.GRU(8, 8), add("input")), (7, 2, 8)),
    "no pick before a function": Misfit(lambda: Sequential(nn.LSTM(8, 16), torch.relu), (7, 2, 8)),
    "a wrong pick": Misfit(lambda: Sequential(nn.LSTM(8, 16), pick[2], nn.Linear(16, 4)), (7, 2, 8)),
    "a pick of a tensor": Misfit(lambda: Sequential(nn.Linear(8, 8), pick[:, 9], nn.Linear(8, 4)), (2, 8)),
    "a last step of features": Misfit(lambda: Sequential(nn.Linear(8, 8), pick[:, -1, :]), (2, 8)),
    "no pick in via": Misfit(lambda: Sequential(nn.Linear(8, 8), cat(via("input", nn.LSTM(8, 8)), dim=-1)), (7, 2, 8)),
    "no pick, and a wrong layer": Misfit(lambda: Sequential(nn.LSTM(8, 16), nn.Linear(20, 4)), (7, 2, 8)),
    "no pick of a dict": Misfit(lambda: Sequential(nn.Linear(8, 8), as_dict, nn.Linear(8, 4)), (2, 8)),
    "a wrong pick in via": Misfit(lambda: Sequential(nn.Linear(8, 8), cat(via("input", nn.GRU(8, 8), pick[2]))), (7, 2, 8)),
    "save of too few parts": Misfit(lambda: Sequential(nn.Linear(8, 16), three, save("a", "b"), pick[0]), (2, 8)),
    "save of a wrong tuple": Misfit(lambda: Sequential(nn.LSTM(8, 16), save("out", "h", "c"), pick[0]), (7, 2, 8)),
    "save of a tensor": Misfit(lambda: Sequential(nn.Linear(8, 16), save("h", "c")), (2, 8)),
    "MultiheadAttention": Misfit(
        lambda: Sequential(nn.Linear(8, 24), call(nn.MultiheadAttention(16, 4, batch_first=True), here, here, here), pick[0]),
        (2, 5, 8),
    ),
    "MultiheadAttention, a named query": Misfit(
        lambda: Sequential(nn.Linear(8, 16), call(nn.MultiheadAttention(16, 4), "q", here, here), pick[0], inputs=("x", "q")),
        {"x": (5, 2, 8), "q": (5, 2, 12)},
    ),
    "MultiheadAttention, keys": Misfit(
        lambda: Sequential(
            nn.Linear(8, 16),
            call(nn.MultiheadAttention(16, 4, batch_first=True), here, "k", "k"),
            pick[0],
            inputs=("x", "k"),
        ),
        {"x": (2, 5, 8), "k": (2, 9, 12)},
    ),
    "MultiheadAttention, values": Misfit(
        lambda: Sequential(
            nn.Linear(8, 16), call(nn.MultiheadAttention(16, 4, kdim=12), here, "k", "v"), pick[0], inputs=("x", "k", "v")
        ),
        {"x": (5, 2, 8), "k": (9, 2, 12), "v": (9, 2, 12)},
    ),
    "MultiheadAttention, batch": Misfit(
        lambda: Sequential(
            nn.Linear(16, 16), call(nn.MultiheadAttention(16, 4, batch_first=True), here, "k", "k"), inputs=("x", "k")
        ),
        {"x": (2, 5, 16), "k": (3, 9, 16)},
    ),
    "MultiheadAttention of one value": Misfit(lambda: Sequential(nn.MultiheadAttention(16, 4)), (5, 2, 16)),
    "MultiheadAttention, no pick": Misfit(
        lambda: Sequential(call(nn.MultiheadAttention(16, 4), here, here, here), nn.LayerNorm(16)), (5, 2, 16)
    ),
    "TransformerEncoderLayer": Misfit(
        lambda: Sequential(nn.Embedding(100, 32), nn.TransformerEncoderLayer(64, 4, batch_first=True)),
        lambda: torch.randint(0, 100, (2, 7)),
    ),
    "TransformerDecoderLayer": Misfit(
        lambda: Sequential(nn.Linear(8, 16), call(nn.TransformerDecoderLayer(16, 2), here, "m"), inputs=("x", "m")),
        {"x": (5, 2, 8), "m": (9, 2, 12)},
    ),
    "TransformerEncoder": Misfit(
        lambda: Sequential(
            nn.Linear(8, 24), nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2), 2, enable_nested_tensor=False)
        ),
        (5, 2, 8),
    ),
    "an encoder of pictures": Misfit(
        lambda: Sequential(conv(3, 16), nn.TransformerEncoderLayer(16, 2, batch_first=True)), (2, 3, 8, 8)
    ),
    "pictures as tokens": Misfit(
        lambda: Sequential(conv(3, 16, 4, 4), nn.Flatten(2), nn.TransformerEncoderLayer(16, 2, batch_first=True)),
        (2, 3, 32, 32),
    ),
    "tokens joined along the steps": Misfit(
        lambda: Sequential(nn.Linear(8, 16), save("a"), nn.Linear(16, 8), cat("a")), (2, 5, 8)
    ),
}

TYPES: dict[str, Misfit] = {
    "float64": Misfit(lambda: Sequential(nn.Linear(8, 4), nn.ReLU()), lambda: torch.zeros(2, 8, dtype=torch.float64)),
    "long into Linear": Misfit(lambda: Sequential(nn.Linear(8, 4)), lambda: torch.ones(2, 8, dtype=torch.long)),
    "bytes of a picture": Misfit(lambda: Sequential(conv(3, 4)), lambda: torch.zeros(1, 3, 8, 8, dtype=torch.uint8)),
    "float into Embedding": Misfit(lambda: Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)), lambda: torch.zeros(2, 5)),
    "float into EmbeddingBag": Misfit(lambda: Sequential(nn.EmbeddingBag(10, 4)), lambda: torch.zeros(2, 5)),
    "half the network in half precision": Misfit(
        lambda: Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4).half(), nn.Linear(4, 2).half()), (2, 8)
    ),
    "complex": Misfit(lambda: Sequential(torch.fft.fft, nn.Linear(8, 4)), (2, 8)),
    "LSTM float64": Misfit(lambda: Sequential(nn.LSTM(8, 4), pick[0]), lambda: torch.zeros(3, 2, 8, dtype=torch.float64)),
    "BatchNorm float64": Misfit(lambda: Sequential(nn.BatchNorm1d(8)), lambda: torch.zeros(3, 8, dtype=torch.float64)),
    "LayerNorm float64": Misfit(lambda: Sequential(nn.LayerNorm(8)), lambda: torch.zeros(3, 8, dtype=torch.float64)),
    "attention types": Misfit(
        lambda: Sequential(call(nn.MultiheadAttention(8, 2), here, here, here), pick[0]), lambda: torch.zeros(3, 2, 8).double()
    ),
    "a bilinear layer of two types": Misfit(
        lambda: Sequential(nn.Linear(8, 8), save("a"), torch.Tensor.double, call(nn.Bilinear(8, 8, 2), "a", here)), (2, 8)
    ),
    "bool": Misfit(lambda: Sequential(nn.Linear(8, 8), partial(torch.gt, other=0), nn.Linear(8, 2)), (2, 8)),
    "a parameter that was left behind": Misfit(
        lambda: Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4, device="meta")), (2, 8)
    ),
    "an input without numbers": Misfit(lambda: Sequential(nn.Linear(8, 8)), lambda: torch.zeros(2, 8, device="meta")),
    "values on two devices": Misfit(
        lambda: Sequential(nn.Linear(8, 8), add("t"), inputs=("x", "t")),
        lambda: {"x": torch.zeros(2, 8), "t": torch.zeros(2, 8, device="meta")},
    ),
    "a buffer that was left behind": Misfit(
        lambda: Sequential(conv(3, 4), nn.BatchNorm2d(4, affine=False, device="meta")), (2, 3, 8, 8)
    ),
}

NESTED: dict[str, Misfit] = {
    "three containers deep": Misfit(
        lambda: Sequential(
            nn.Linear(8, 16),
            ("encoder", Sequential(("block", Sequential(nn.ReLU(), nn.Sequential(nn.Linear(16, 16), nn.Linear(8, 4)))))),
        ),
        (2, 8),
    ),
    "encoder and decoder": Misfit(
        lambda: Sequential(
            ("encoder", Sequential(conv(3, 8, padding=1), save("x1"), nn.MaxPool2d(2))),
            ("decoder", Sequential(nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"), conv(8, 4, 1))),
        ),
        (1, 3, 15, 15),
    ),
    "in a plain sequence": Misfit(
        lambda: Sequential(("features", nn.Sequential(OrderedDict(conv=conv(3, 8), norm=nn.BatchNorm2d(16))))), (2, 3, 8, 8)
    ),
    "inside via": Misfit(lambda: Sequential(conv(8, 16, 3, 2, 1), add(via("input", conv(4, 16, 1, 2)))), (1, 8, 16, 16)),
    "the second layer of a via": Misfit(
        lambda: Sequential(conv(8, 16, 3, 2, 1), ("down", add(via("input", conv(8, 16, 1, 2), nn.BatchNorm2d(8))))),
        (1, 8, 16, 16),
    ),
    "via that gives another size": Misfit(
        lambda: Sequential(conv(8, 16, 3, 2, 1), add(via("input", conv(8, 16, 1)))), (1, 8, 16, 16)
    ),
    "behind call": Misfit(lambda: Sequential(nn.Linear(8, 6), call(torch.maximum, "input")), (2, 8)),
    "a layer in call": Misfit(lambda: Sequential(nn.Linear(8, 6), call(nn.Linear(8, 4))), (2, 8)),
    "an inner join": Misfit(
        lambda: Sequential(nn.Linear(8, 8), save("a"), nn.Linear(8, 6), save("b"), nn.Linear(6, 12), add(cat("a", "b"), here)),
        (2, 8),
    ),
    "several faults": Misfit(
        lambda: Sequential(
            conv(3, 8, padding=1),
            save("x1"),
            nn.MaxPool2d(2),
            conv(4, 16, padding=1),
            nn.ConvTranspose2d(16, 8, 2, 2),
            cat("x1"),
            conv(8, 4, padding=1),
            nn.Flatten(),
            nn.Linear(100, 10),
            add("input"),
        ),
        (1, 3, 15, 15),
    ),
    "faults in two branches": Misfit(
        lambda: Sequential(
            nn.Linear(8, 4), save("a"), take("input"), nn.Linear(6, 4), nn.LayerNorm(5), cat("a"), nn.Linear(4, 2)
        ),
        (2, 8),
    ),
    "a function of one's own": Misfit(lambda: Sequential(nn.Linear(8, 4), glue, nn.Linear(4, 2)), (3, 8), own=True),
    "a lambda": Misfit(lambda: Sequential(nn.Linear(8, 4), lambda x: x.view(3, 5)), (3, 8), own=True),
    "a layer that refuses": Misfit(lambda: Sequential(nn.Linear(8, 8), Refuses(), TwoBranches()), (3, 8), own=True),
    "a residual block": Misfit(lambda: Sequential(nn.Linear(8, 8), Residual(nn.Linear(8, 6), nn.ReLU())), (3, 8)),
    "repeated": Misfit(lambda: Sequential(nn.Linear(8, 6), add(via("input", nn.Linear(8, 6)))).repeat(2), (3, 8)),
    "a UNet": Misfit(
        lambda: UNet(
            [conv(3, 8, padding=1), conv(8, 16, padding=1)],
            conv(16, 16, padding=1),
            [conv(32, 8, padding=1), conv(16, 3, padding=1)],
            down=nn.MaxPool2d(2),
            up=nn.Upsample(scale_factor=2),
        ),
        (1, 3, 30, 30),
    ),
    "a name in another container": Misfit(
        lambda: Sequential(("a", Sequential(nn.Linear(8, 4), nn.Linear(4, 6))), ("b", Sequential(nn.ReLU(), add("a.0")))),
        (2, 8),
    ),
    "outputs": Misfit(lambda: Sequential(("a", nn.Linear(8, 4)), ("b", nn.Linear(3, 2)), outputs=("a", "b")), (2, 8)),
}

#: The groups, and the rows of each by name.
MISFITS: dict[str, dict[str, Misfit]] = {
    "channels": CHANNELS, "space": SPACE, "rank": RANK, "sequences": SEQUENCES, "types": TYPES, "nested": NESTED,
}  # fmt: skip
