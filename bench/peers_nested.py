"""Peers in which a skip goes around what is nested in it: fastai, MONAI."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from common import Network
from networks import DenseParts, ResidualParts, UNetParts
from peers_labelled import newest_first
from peers_registry import peer

__all__: list[str] = []

# --- fastai: nested only; the skip goes behind -----------------------------------------------------------------------

fastai = partial(peer, "fastai", module="fastai")


@fastai("residual")
def fastai_residual(parts: ResidualParts) -> Network:
    """Nest each block."""
    from fastai.layers import MergeLayer, SequentialEx

    return nn.Sequential(*(SequentialEx(linear, parts.relu, MergeLayer()) for linear in parts.linears))


@fastai("unet")
def fastai_unet(parts: UNetParts) -> Network:
    """Nest level in level; the weights of the decoders are read in the opposite order."""
    from fastai.layers import MergeLayer, SequentialEx

    inner: list[nn.Module] = [parts.bridge, parts.relu]
    for encoder, up, decoder in zip(reversed(parts.encoders), parts.ups, parts.decoders, strict=True):
        level = SequentialEx(parts.pool, *inner, up, MergeLayer(dense=True))
        inner = [encoder, parts.relu, level, halves_swapped(decoder), parts.relu]
    return nn.Sequential(*inner, parts.head)


@fastai("dense")
def fastai_dense(parts: DenseParts) -> Network:
    """A block for each layer; the weights are read in the opposite order."""
    from fastai.layers import MergeLayer, SequentialEx

    *linears, head = newest_first(parts)
    return nn.Sequential(*(SequentialEx(linear, parts.relu, MergeLayer(dense=True)) for linear in linears), head)


def halves_swapped(layer: nn.Conv2d) -> nn.Conv2d:
    """Copy a decoder's convolution for a join in the opposite order."""
    copy = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
    with torch.no_grad():
        copy.weight.copy_(torch.cat(layer.weight.chunk(2, 1)[::-1], 1))
        copy.bias.copy_(layer.bias)
    return copy


# --- MONAI: nested only; the skip goes in front ----------------------------------------------------------------------

monai = partial(peer, "MONAI", module="monai")


@monai("residual")
def monai_residual(parts: ResidualParts) -> Network:
    """Nest each block."""
    from monai.networks.layers.simplelayers import SkipConnection

    blocks = (nn.Sequential(linear, parts.relu) for linear in parts.linears)
    return nn.Sequential(*(SkipConnection(block, mode="add") for block in blocks))


@monai("unet")
def monai_unet(parts: UNetParts) -> Network:
    """Nest level in level."""
    from monai.networks.layers.simplelayers import SkipConnection

    inner: list[nn.Module] = [parts.bridge, parts.relu]
    for encoder, up, decoder in zip(reversed(parts.encoders), parts.ups, parts.decoders, strict=True):
        level = SkipConnection(nn.Sequential(parts.pool, *inner, up))
        inner = [encoder, parts.relu, level, decoder, parts.relu]
    return nn.Sequential(*inner, parts.head)


@monai("dense")
def monai_dense(parts: DenseParts) -> Network:
    """A block for each layer."""
    from monai.networks.layers.simplelayers import SkipConnection

    blocks = (nn.Sequential(linear, parts.relu) for linear in parts.linears)
    return nn.Sequential(*(SkipConnection(block) for block in blocks), parts.head)
