"""The networks that are shown in golden texts: small, always the same, one for each shape that skips can have.

Each function gives a network and what ``net.summary(*inputs)`` takes: the shapes of its inputs in order, or a dict by name.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, TypeAlias

from torch import nn

from skipseq import DenseBlock, Grid, Residual, Sequential, add, call, cat, here, pick, save, take, via

#: A network and its inputs.
Example: TypeAlias = "tuple[Sequential, tuple[Any, ...]]"


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def flat_unet() -> Example:
    """Three skips, one inside the other, in one sequence."""
    net = Sequential(
        conv(3, 8), save("x1"), nn.MaxPool2d(2),
        conv(8, 16), save("x2"), nn.MaxPool2d(2),
        conv(16, 32), save("x3"), nn.MaxPool2d(2),
        conv(32, 32),
        nn.ConvTranspose2d(32, 32, 2, 2), cat("x3"), conv(64, 32),
        nn.ConvTranspose2d(32, 16, 2, 2), cat("x2"), conv(32, 16),
        nn.ConvTranspose2d(16, 8, 2, 2), cat("x1"), conv(16, 8),
        nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    return net, ((1, 3, 64, 64),)


def nested_unet() -> Example:
    """An encoder, a bridge and a decoder as parts of their own; skips cross their borders."""
    encoder = Sequential(
        conv(3, 8), nn.ReLU(), save("x1"), nn.MaxPool2d(2),
        conv(8, 16), nn.ReLU(), save("x2"), nn.MaxPool2d(2),
    )  # fmt: skip
    bridge = Residual(conv(16, 16), nn.ReLU(), conv(16, 16))
    decoder = Sequential(
        nn.ConvTranspose2d(16, 16, 2, 2), cat("x2"), conv(32, 16), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2, 2), cat("x1"), conv(16, 8), nn.ReLU(),
    )  # fmt: skip
    net = Sequential(OrderedDict(encoder=encoder, bridge=bridge, decoder=decoder, head=nn.Conv2d(8, 2, 1)))
    return net, (("N", 3, 64, 64),)


def unet_plus_plus() -> Example:
    """A U-Net++ of three levels: node ``x<i><j>`` reads all nodes of its row and the one below it."""
    widths, depth = (4, 8, 16), 3
    entries: list[Any] = []
    for i in range(depth):
        entries += [] if i == 0 else [(f"down{i}", nn.MaxPool2d(2))]
        entries += [(f"conv{i}0", conv(3 if i == 0 else widths[i - 1], widths[i])), save(f"x{i}0")]
    for j in range(1, depth):
        for i in range(depth - j):
            below = f"x{i + 1}{j - 1}"
            row = [f"x{i}{k}" for k in range(j)]
            entries += [take(below), (f"up{i}{j}", nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2)), cat(*row, here)]
            entries += [(f"conv{i}{j}", conv((j + 1) * widths[i], widths[i])), save(f"x{i}{j}")]
    return Sequential(*entries, ("head", nn.Conv2d(widths[0], 1, 1))), ((1, 3, 32, 32),)


def dense_block() -> Example:
    """Every layer reads the outputs of all layers before it."""
    layers = [conv(8 + 4 * k, 4) for k in range(4)]
    return Sequential(("stem", conv(3, 8)), ("dense", DenseBlock(*layers)), ("head", nn.Conv2d(24, 2, 1))), ((2, 3, 16, 16),)


def resnet() -> Example:
    """Eight residual blocks, two of them with a projected shortcut."""

    def block(channels_in: int, channels_out: int) -> Residual:
        stride = channels_out // channels_in
        shortcut = [nn.Conv2d(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out)] if stride > 1 else None
        first = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
        return Residual(first, nn.ReLU(), conv(channels_out, channels_out), shortcut=shortcut)

    channels = (8, 8, 8, 8, 16, 16, 16, 32, 32)
    blocks = [(f"block{k}", block(channels[k - 1], channels[k])) for k in range(1, 9)]
    tail = [("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("classes", nn.Linear(32, 10))]
    return Sequential(("stem", conv(3, 8)), *blocks, *tail), (("N", 3, 32, 32),)


def grid_net() -> Example:
    """A GridNet of three rows and four columns: two lead down, two lead up."""
    widths = (4, 8, 16)
    across = [[Residual(conv(width, width), nn.ReLU()) for _ in range(3)] for width in widths]
    down = [[nn.Conv2d(widths[k], widths[k + 1], 3, 2, 1) for k in range(2)] for _ in range(2)]
    up = [[nn.ConvTranspose2d(widths[k + 1], widths[k], 2, 2) for k in range(2)] for _ in range(2)]
    return Sequential(("stem", conv(3, 4)), ("grid", Grid(across, down, up)), ("head", conv(4, 3))), ((1, 3, 16, 16),)


def transformer(layers: int = 4) -> Example:
    """Encoder layers in words: attention over query, key and value, and two residual additions each."""
    width = 16

    def layer() -> Sequential:
        return Sequential(
            ("norm1", nn.LayerNorm(width)),
            ("attention", call(nn.MultiheadAttention(width, 4, batch_first=True), here, here, here, need_weights=False)),
            pick[0],
            add("input"),
            save("attended"),
            ("norm2", nn.LayerNorm(width)),
            ("wide", nn.Linear(width, 4 * width)),
            nn.GELU(),
            ("narrow", nn.Linear(4 * width, width)),
            add("attended"),
        )

    stack = [(f"layer{k}", layer()) for k in range(1, layers + 1)]
    return Sequential(("embed", nn.Embedding(100, width)), *stack, ("words", nn.Linear(width, 100))), (("N", 12),)


def two_inputs_two_outputs() -> Example:
    """An image and a vector come in; a map and classes come out, from two branches."""
    net = Sequential(
        ("stem", conv(3, 8)),
        save("image"),
        take("t"),
        ("time", nn.Linear(4, 8)),
        nn.Unflatten(1, (8, 1, 1)),
        add(here, "image", broadcast=True),
        save("mixed"),
        ("head", nn.Conv2d(8, 1, 1)),
        save("map"),
        take("mixed"),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        ("classes", nn.Linear(8, 10)),
        ("hint", add(via("t", nn.Linear(4, 10)))),
        save("logits"),
        inputs=("x", "t"),
        outputs=("map", "logits"),
    )
    return net, ({"x": (2, 3, 16, 16), "t": (2, 4)},)


def lstm() -> Example:
    """A layer that gives a tuple, whose parts are read apart; the last step is joined with the last hidden state."""
    net = Sequential(
        ("embed", nn.Embedding(50, 8)),
        ("lstm", nn.LSTM(8, 16, batch_first=True)),
        save("steps", "state"),
        pick[0],
        pick[:, -1],
        save("last"),
        take("state"),
        pick[0],
        pick[-1],
        cat("last"),
        ("words", nn.Linear(32, 50)),
    )
    return net, (("N", 7),)


BUILDERS = (flat_unet, nested_unet, unet_plus_plus, dense_block, resnet, grid_net, transformer, two_inputs_two_outputs, lstm)

#: The builders by name.
NETWORKS = {build.__name__: build for build in BUILDERS}
