"""The networks of the memory benchmark, by hand in several styles and in skipseq.

Convolutions and ReLU only: these keep nothing to themselves, so that what is alive is what the wiring keeps alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["DENSE_STYLES", "UNET_STYLES", "DenseParts", "UNetParts", "dense_parts", "unet_parts"]

LEVELS = 5
GROWTH_LAYERS, BLOCKS = 4, 3


def conv_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return two convolutions with a ReLU behind each: a node of the U-Net."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class UNetParts:
    """A U-Net of five levels; `ups` and `decoders` begin at the deepest."""

    encoders: list[nn.Sequential]
    downs: list[nn.Conv2d]
    bridge: nn.Sequential
    ups: list[nn.ConvTranspose2d]
    decoders: list[nn.Sequential]
    head: nn.Conv2d


def unet_parts(width: int) -> UNetParts:
    """Return the layers of a U-Net whose channels double at every level, beginning with `width`."""
    widths = [width * 2**k for k in range(LEVELS + 1)]
    pairs = list(pairwise(widths))
    return UNetParts(
        encoders=[conv_block(3 if k == 0 else widths[k], widths[k]) for k in range(LEVELS)],
        downs=[nn.Conv2d(a, b, 2, 2) for a, b in pairs],
        bridge=conv_block(widths[-1], widths[-1]),
        ups=[nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs)],
        decoders=[conv_block(2 * a, a) for a, _ in reversed(pairs)],
        head=nn.Conv2d(width, 3, 1),
    )


class UNetLocals(nn.Module):
    """A local variable for each skip, everything in one `forward`."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3, self.enc4, self.enc5 = parts.encoders
        self.down1, self.down2, self.down3, self.down4, self.down5 = parts.downs
        self.bridge, self.head = parts.bridge, parts.head
        self.up5, self.up4, self.up3, self.up2, self.up1 = parts.ups
        self.dec5, self.dec4, self.dec3, self.dec2, self.dec1 = parts.decoders

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 3, height, width) for (batch, 3, height, width)."""
        x1 = self.enc1(x)
        x2 = self.enc2(self.down1(x1))
        x3 = self.enc3(self.down2(x2))
        x4 = self.enc4(self.down3(x3))
        x5 = self.enc5(self.down4(x4))
        x = self.bridge(self.down5(x5))
        x = self.dec5(torch.cat([x5, self.up5(x)], 1))
        x = self.dec4(torch.cat([x4, self.up4(x)], 1))
        x = self.dec3(torch.cat([x3, self.up3(x)], 1))
        x = self.dec2(torch.cat([x2, self.up2(x)], 1))
        x = self.dec1(torch.cat([x1, self.up1(x)], 1))
        return self.head(x)


class Up(nn.Module):
    """Up, join and decode as a module of its own, the way the most copied implementation has it."""

    def __init__(self, up: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.up, self.decoder = up, decoder

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the next running value on the way up."""
        upsampled = self.up(x)
        x = torch.cat([skip, upsampled], 1)
        return self.decoder(x)


class UNetModules(nn.Module):
    """A local variable for each skip, and a module for each level of the way up."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3, self.enc4, self.enc5 = parts.encoders
        self.down1, self.down2, self.down3, self.down4, self.down5 = parts.downs
        self.bridge, self.head = parts.bridge, parts.head
        self.up5, self.up4, self.up3, self.up2, self.up1 = map(Up, parts.ups, parts.decoders)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 3, height, width) for (batch, 3, height, width)."""
        x1 = self.enc1(x)
        x2 = self.enc2(self.down1(x1))
        x3 = self.enc3(self.down2(x2))
        x4 = self.enc4(self.down3(x3))
        x5 = self.enc5(self.down4(x4))
        x = self.bridge(self.down5(x5))
        x = self.up5(x, x5)
        x = self.up4(x, x4)
        x = self.up3(x, x3)
        x = self.up2(x, x2)
        x = self.up1(x, x1)
        return self.head(x)


class UNetPop(nn.Module):
    """The careful style: a list of skips, popped on the way up."""

    def __init__(self, parts: UNetParts) -> None:
        super().__init__()
        self.encoders, self.downs = nn.ModuleList(parts.encoders), nn.ModuleList(parts.downs)
        self.bridge, self.head = parts.bridge, parts.head
        self.ups, self.decoders = nn.ModuleList(parts.ups), nn.ModuleList(parts.decoders)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 3, height, width) for (batch, 3, height, width)."""
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.bridge(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


class UNetDict(UNetPop):
    """The style of many graph runners: a dictionary of every node's result."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 3, height, width) for (batch, 3, height, width)."""
        values: dict[str, Tensor] = {"x": x}
        for k, (encoder, down) in enumerate(zip(self.encoders, self.downs, strict=True)):
            values[f"enc{k}"] = encoder(values["x"])
            values["x"] = values[f"down{k}"] = down(values[f"enc{k}"])
        values["x"] = values["bridge"] = self.bridge(values["x"])
        for k, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            values[f"up{k}"] = up(values["x"])
            values[f"cat{k}"] = torch.cat([values[f"enc{LEVELS - 1 - k}"], values[f"up{k}"]], 1)
            values["x"] = values[f"dec{k}"] = decoder(values[f"cat{k}"])
        return self.head(values["x"])


def skipseq_unet(parts: UNetParts) -> nn.Module:
    """Return the U-Net in skipseq; its nodes stay the `nn.Sequential` that they are."""
    from skipseq import Sequential, cat, here, save

    entries: list[object] = []
    for k, (encoder, down) in enumerate(zip(parts.encoders, parts.downs, strict=True)):
        entries += [encoder, save(f"x{k}"), down]
    entries.append(parts.bridge)
    for k, (up, decoder) in enumerate(zip(parts.ups, parts.decoders, strict=True)):
        entries += [up, cat(f"x{LEVELS - 1 - k}", here), decoder]
    return Sequential(*entries, parts.head)


@dataclass(frozen=True)
class DenseParts:
    """A stem, dense blocks with a halving transition behind each, and a head."""

    stem: nn.Conv2d
    blocks: list[list[nn.Sequential]]
    transitions: list[nn.Conv2d]
    head: nn.Conv2d


def dense_parts(width: int) -> DenseParts:
    """Return the layers of a dense network in which every layer adds so many channels."""
    widths = [width * (k + 1) for k in range(GROWTH_LAYERS + 1)]
    return DenseParts(
        stem=nn.Conv2d(3, width, 3, padding=1),
        blocks=[[dense_layer(each, width) for each in widths[:-1]] for _ in range(BLOCKS)],
        transitions=[nn.Conv2d(widths[-1], width, 2, 2) for _ in range(BLOCKS)],
        head=nn.Conv2d(width, 10, 1),
    )


def dense_layer(channels: int, growth: int) -> nn.Sequential:
    """Return a convolution with its ReLU."""
    return nn.Sequential(nn.Conv2d(channels, growth, 3, padding=1), nn.ReLU())


class DenseBlockByHand(nn.Module):
    """Every layer reads all values before it."""

    def __init__(self, layers: list[nn.Sequential]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return all values, joined along the channels."""
        values = [x]
        for layer in self.layers:
            values.append(layer(torch.cat(values, 1)))
        return torch.cat(values, 1)


class DenseByHand(nn.Module):
    """The dense network, a module for each block."""

    def __init__(self, parts: DenseParts) -> None:
        super().__init__()
        self.stem, self.head = parts.stem, parts.head
        self.blocks = nn.ModuleList(DenseBlockByHand(layers) for layers in parts.blocks)
        self.transitions = nn.ModuleList(parts.transitions)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 10, height / 8, width / 8)."""
        x = self.stem(x)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            x = transition(block(x))
        return self.head(x)


def skipseq_dense(parts: DenseParts) -> nn.Module:
    """Return the dense network in skipseq; each block is a part."""
    from skipseq import Sequential

    entries: list[object] = [parts.stem]
    for layers, transition in zip(parts.blocks, parts.transitions, strict=True):
        entries += [Sequential(*dense_entries(layers)), transition]
    return Sequential(*entries, parts.head)


def dense_entries(layers: list[nn.Sequential]) -> Iterator[object]:
    """Yield a block: a join of all values before each layer but the first, and at the end."""
    from skipseq import cat, here, save

    names = [f"x{k}" for k in range(len(layers))]
    for k, layer in enumerate(layers):
        yield save(names[k])
        yield from [cat(*names[:k], here)] if k else []
        yield layer
    yield cat(*names, here)


UNET_STYLES: dict[str, Callable[[UNetParts], nn.Module]] = {
    "dictionary of everything": UNetDict,
    "by hand, `x1` … `x5`, a module for each level": UNetModules,
    "by hand, `x1` … `x5`, in one `forward`": UNetLocals,
    "by hand, `skips.pop()`": UNetPop,
    "skipseq": skipseq_unet,
}
DENSE_STYLES: dict[str, Callable[[DenseParts], nn.Module]] = {"by hand": DenseByHand, "skipseq": skipseq_dense}
