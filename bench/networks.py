"""The four networks of the benchmarks: by hand, by hand in loops, and in skipseq.

Every version of a network is built over the same layer objects, so weights are equal because they are the same.
Tensors are tiny: what is measured is the cost around the layers, not in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["WORKLOADS", "DenseParts", "ResidualParts", "UNetParts", "Workload"]

FEATURES, BATCH = 8, 4
GROWTH, DENSE_LAYERS = 4, 12
CHANNELS, SIZE = 2, 16


# --- The layers, shared by all versions of a network -----------------------------------------------------------------


@dataclass(frozen=True)
class ResidualParts:
    """Eight linear layers and a ReLU: `x + relu(linear(x))`, eight times."""

    linears: list[nn.Linear]
    relu: nn.Module


@dataclass(frozen=True)
class UNetParts:
    """A U-Net with one convolution for each node; `ups` and `decoders` begin at the deepest level."""

    encoders: list[nn.Conv2d]
    pool: nn.Module
    bridge: nn.Conv2d
    ups: list[nn.ConvTranspose2d]
    decoders: list[nn.Conv2d]
    head: nn.Conv2d
    relu: nn.Module


@dataclass(frozen=True)
class DenseParts:
    """Linear layers of which each reads all values before it, oldest first, and a head that reads them all."""

    linears: list[nn.Linear]
    head: nn.Linear
    relu: nn.Module


def residual_parts() -> ResidualParts:
    """Return the layers of eight residual blocks."""
    return ResidualParts([nn.Linear(FEATURES, FEATURES) for _ in range(8)], nn.ReLU())


def unet_parts(levels: int) -> UNetParts:
    """Return the layers of a U-Net with so many skips."""
    widths = [CHANNELS * (k + 1) for k in range(levels + 1)]
    pairs = list(pairwise(widths))
    return UNetParts(
        encoders=[nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise([1, *widths[:-1]])],
        pool=nn.MaxPool2d(2),
        bridge=nn.Conv2d(widths[-2], widths[-1], 3, padding=1),
        ups=[nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs)],
        decoders=[nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in reversed(pairs)],
        head=nn.Conv2d(widths[0], 1, 1),
        relu=nn.ReLU(),
    )


def dense_parts() -> DenseParts:
    """Return the layers of a dense block of twelve and its head."""
    widths = [FEATURES + k * GROWTH for k in range(DENSE_LAYERS + 1)]
    return DenseParts([nn.Linear(width, GROWTH) for width in widths[:-1]], nn.Linear(widths[-1], FEATURES), nn.ReLU())


# --- By hand: one line for each step, layers as attributes -----------------------------------------------------------


class ResidualByHand(nn.Module):
    """Eight residual blocks, written out."""

    def __init__(self, parts: ResidualParts) -> None:
        super().__init__()
        (
            self.linear1,
            self.linear2,
            self.linear3,
            self.linear4,
            self.linear5,
            self.linear6,
            self.linear7,
            self.linear8,
        ) = parts.linears
        self.relu = parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, features) for (batch, features)."""
        x = x + self.relu(self.linear1(x))
        x = x + self.relu(self.linear2(x))
        x = x + self.relu(self.linear3(x))
        x = x + self.relu(self.linear4(x))
        x = x + self.relu(self.linear5(x))
        x = x + self.relu(self.linear6(x))
        x = x + self.relu(self.linear7(x))
        return x + self.relu(self.linear8(x))


class UNetByHand(nn.Module):
    """A U-Net of four levels, written out."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3, self.enc4 = parts.encoders
        self.bridge = parts.bridge
        self.up4, self.up3, self.up2, self.up1 = parts.ups
        self.dec4, self.dec3, self.dec2, self.dec1 = parts.decoders
        self.head = parts.head
        self.pool, self.relu = parts.pool, parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 1, height, width) for (batch, 1, height, width)."""
        x1 = self.relu(self.enc1(x))
        x2 = self.relu(self.enc2(self.pool(x1)))
        x3 = self.relu(self.enc3(self.pool(x2)))
        x4 = self.relu(self.enc4(self.pool(x3)))
        x = self.relu(self.bridge(self.pool(x4)))
        x = self.relu(self.dec4(torch.cat([x4, self.up4(x)], 1)))
        x = self.relu(self.dec3(torch.cat([x3, self.up3(x)], 1)))
        x = self.relu(self.dec2(torch.cat([x2, self.up2(x)], 1)))
        x = self.relu(self.dec1(torch.cat([x1, self.up1(x)], 1)))
        return self.head(x)


class DenseByHand(nn.Module):
    """A dense block of twelve layers and its head, written out."""

    def __init__(self, parts: DenseParts) -> None:
        super().__init__()
        for i, linear in enumerate(parts.linears, 1):
            setattr(self, f"linear{i}", linear)
        self.head, self.relu = parts.head, parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, features) for (batch, features)."""
        x1 = self.relu(self.linear1(x))
        x2 = self.relu(self.linear2(torch.cat([x, x1], 1)))
        x3 = self.relu(self.linear3(torch.cat([x, x1, x2], 1)))
        x4 = self.relu(self.linear4(torch.cat([x, x1, x2, x3], 1)))
        x5 = self.relu(self.linear5(torch.cat([x, x1, x2, x3, x4], 1)))
        x6 = self.relu(self.linear6(torch.cat([x, x1, x2, x3, x4, x5], 1)))
        x7 = self.relu(self.linear7(torch.cat([x, x1, x2, x3, x4, x5, x6], 1)))
        x8 = self.relu(self.linear8(torch.cat([x, x1, x2, x3, x4, x5, x6, x7], 1)))
        x9 = self.relu(self.linear9(torch.cat([x, x1, x2, x3, x4, x5, x6, x7, x8], 1)))
        x10 = self.relu(self.linear10(torch.cat([x, x1, x2, x3, x4, x5, x6, x7, x8, x9], 1)))
        x11 = self.relu(self.linear11(torch.cat([x, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10], 1)))
        x12 = self.relu(self.linear12(torch.cat([x, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11], 1)))
        return self.head(torch.cat([x, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12], 1))


class EncoderByHand(nn.Module):
    """The way down, apart from the rest: it returns its skips."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3 = parts.encoders
        self.pool, self.relu = parts.pool, parts.relu

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the running value and the three skips."""
        x1 = self.relu(self.enc1(x))
        x2 = self.relu(self.enc2(self.pool(x1)))
        x3 = self.relu(self.enc3(self.pool(x2)))
        return self.pool(x3), x1, x2, x3


class DecoderByHand(nn.Module):
    """The way up, apart from the rest: it takes the skips."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.up3, self.up2, self.up1 = parts.ups
        self.dec3, self.dec2, self.dec1 = parts.decoders
        self.head, self.relu = parts.head, parts.relu

    def forward(self, x: Tensor, x1: Tensor, x2: Tensor, x3: Tensor) -> Tensor:
        """Join the skips, deepest first, and return (batch, 1, height, width)."""
        x = self.relu(self.dec3(torch.cat([x3, self.up3(x)], 1)))
        x = self.relu(self.dec2(torch.cat([x2, self.up2(x)], 1)))
        x = self.relu(self.dec1(torch.cat([x1, self.up1(x)], 1)))
        return self.head(x)


class ThreePartsByHand(nn.Module):
    """Encoder, bridge and decoder, each a module, joined by three skips."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.encoder = EncoderByHand(parts)
        self.bridge = nn.Sequential(parts.bridge, parts.relu)
        self.decoder = DecoderByHand(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 1, height, width) for (batch, 1, height, width)."""
        x, x1, x2, x3 = self.encoder(x)
        return self.decoder(self.bridge(x), x1, x2, x3)


# --- By hand, in loops: shorter, and the layers are not looked up by attribute ---------------------------------------


class ResidualInLoop(nn.Module):
    """Eight residual blocks, a loop over a `ModuleList`."""

    def __init__(self, parts: ResidualParts) -> None:
        super().__init__()
        self.linears, self.relu = nn.ModuleList(parts.linears), parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, features) for (batch, features)."""
        relu = self.relu
        for linear in self.linears:
            x = x + relu(linear(x))
        return x


class UNetInLoop(nn.Module):
    """A U-Net of any depth: a list of skips, popped on the way up."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.encoders, self.decoders = nn.ModuleList(parts.encoders), nn.ModuleList(parts.decoders)
        self.ups = nn.ModuleList(parts.ups)
        self.bridge, self.head = parts.bridge, parts.head
        self.pool, self.relu = parts.pool, parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 1, height, width) for (batch, 1, height, width)."""
        relu, pool, skips = self.relu, self.pool, []
        for encoder in self.encoders:
            x = relu(encoder(x))
            skips.append(x)
            x = pool(x)
        x = relu(self.bridge(x))
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = relu(decoder(torch.cat([skips.pop(), up(x)], 1)))
        return self.head(x)


class DenseInLoop(nn.Module):
    """A dense block: a list of all values, joined before each layer."""

    def __init__(self, parts: DenseParts) -> None:
        super().__init__()
        self.linears, self.head, self.relu = nn.ModuleList(parts.linears), parts.head, parts.relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, features) for (batch, features)."""
        relu, values = self.relu, [x]
        for linear in self.linears:
            values.append(relu(linear(torch.cat(values, 1))))
        return self.head(torch.cat(values, 1))


# --- In skipseq: imported when called, so that a broken import fails one column and not the program ------------------


def skipseq_residual(parts: ResidualParts) -> nn.Module:
    """Eight `Residual` blocks in a row."""
    from skipseq import Residual, Sequential

    return Sequential(*(Residual(linear, parts.relu) for linear in parts.linears))


def skipseq_unet(parts: UNetParts) -> nn.Module:
    """One flat sequence: save on the way down, cat on the way up."""
    from skipseq import Sequential

    return Sequential(*_way_down(parts), parts.bridge, parts.relu, *_way_up(parts))


def skipseq_dense(parts: DenseParts) -> nn.Module:
    """Every value is saved, and joined to those before it in front of every layer but the first."""
    from skipseq import Sequential, cat, here, save

    entries: list[object] = []
    for k, layer in enumerate([*parts.linears, parts.head]):
        names = [f"x{j}" for j in range(k)]
        join = [cat(*names, here)] if names else []
        entries += [save(f"x{k}"), *join, layer, parts.relu]
    return Sequential(*entries[:-1])


def skipseq_three_parts(parts: UNetParts) -> nn.Module:
    """Encoder, bridge and decoder, each a sequence; the decoder reads labels that the encoder saved."""
    from skipseq import Sequential

    encoder = Sequential(*_way_down(parts))
    decoder = Sequential(*_way_up(parts))
    return Sequential(encoder, Sequential(parts.bridge, parts.relu), decoder)


def _way_down(parts: UNetParts) -> list[object]:
    """Encoder, save, down; as many as there are encoders."""
    from skipseq import save

    entries: list[object] = []
    for k, encoder in enumerate(parts.encoders, 1):
        entries += [encoder, parts.relu, save(f"x{k}"), parts.pool]
    return entries


def _way_up(parts: UNetParts) -> list[object]:
    """Up, join, decoder, the deepest first; then the head."""
    from skipseq import cat, here

    entries: list[object] = []
    for k, up, decoder in zip(range(len(parts.ups), 0, -1), parts.ups, parts.decoders, strict=True):
        entries += [up, cat(f"x{k}", here), decoder, parts.relu]
    return [*entries, parts.head]


# --- The table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workload:
    """A network: its layers, its versions, and an input."""

    name: str
    parts: Callable[[], object]
    by_hand: Callable[..., nn.Module]
    in_loops: Callable[..., nn.Module] | None
    skipseq: Callable[..., nn.Module]
    example: Callable[[], Tensor]


def _rows() -> Tensor:
    return torch.randn(BATCH, FEATURES)


def _images() -> Tensor:
    return torch.randn(1, 1, SIZE, SIZE)


WORKLOADS = (
    Workload("residual", residual_parts, ResidualByHand, ResidualInLoop, skipseq_residual, _rows),
    Workload("unet", lambda: unet_parts(4), UNetByHand, UNetInLoop, skipseq_unet, _images),
    Workload("dense", dense_parts, DenseByHand, DenseInLoop, skipseq_dense, _rows),
    Workload("three parts", lambda: unet_parts(3), ThreePartsByHand, None, skipseq_three_parts, _images),
)
