"""Networks that do not fit because of other values than pictures, of types and devices, or deep inside: the other half."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from skipseq import Residual, Sequential, UNet, add, call, cat, here, pick, save, take, via

from .misfits import Misfit, conv

__all__ = ["OF_VALUES"]


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


def glue(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros(2, 2)], 1)


SEQUENCES: dict[str, Misfit] = {
    "LSTM": Misfit(
        lambda: Sequential(nn.Embedding(100, 32), nn.LSTM(64, 16, batch_first=True), pick[0], nn.Linear(16, 4)),
        lambda: torch.randint(0, 100, (2, 7)),
    ),
    "GRU": Misfit(lambda: Sequential(nn.GRU(8, 16, num_layers=2, bidirectional=True), pick[0], nn.GRU(16, 4)), (7, 2, 8)),
    "LSTM of pictures": Misfit(lambda: Sequential(conv(3, 8), nn.LSTM(36, 16)), (2, 3, 8, 8)),
    "LSTM of channels": Misfit(lambda: Sequential(nn.Conv1d(4, 8, 3), nn.LSTM(8, 16, batch_first=True), pick[0]), (2, 4, 16)),
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
OF_VALUES: dict[str, dict[str, Misfit]] = {"sequences": SEQUENCES, "types": TYPES, "nested": NESTED}
