"""Peers that put words between the layers: torch-circuit, torchresidual, torchgpipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from common import Network
from networks import DenseParts, ResidualParts, UNetParts
from peers_registry import cat_after, peer

__all__: list[str] = []


def chain(linears: list[nn.Linear], save: Callable[[str], Any], join: Callable[[str], Any]) -> list[Any]:
    """Return save, linear, ReLU, join for every layer; each ReLU is new, since torchresidual runs an object once."""
    entries: list[Any] = []
    for k, linear in enumerate(linears):
        entries += [save(f"x{k}"), linear, nn.ReLU(), join(f"x{k}")]
    return entries


def way_down(parts: UNetParts, save: Callable[[str], Any]) -> list[Any]:
    """Return the encoder as one list, given a peer's word for keeping a value."""
    entries: list[Any] = []
    for k, encoder in enumerate(parts.encoders, 1):
        entries += [encoder, parts.relu, save(f"x{k}"), parts.pool]
    return entries


def way_up(parts: UNetParts, join: Callable[[str], Any]) -> list[Any]:
    """Return the decoder as one list, given a peer's word for a join."""
    entries: list[Any] = []
    for k, up, decoder in zip(range(len(parts.ups), 0, -1), parts.ups, parts.decoders, strict=True):
        entries += [up, join(f"x{k}"), decoder, parts.relu]
    return [*entries, parts.head]


# --- torch-circuit ---------------------------------------------------------------------------------------------------

circuit = partial(peer, "torch-circuit", module="torch_circuit")


@circuit("residual")
def circuit_residual(parts: ResidualParts) -> Network:
    """Save before each block, add after it."""
    from torch_circuit import Circuit, GetInput, SaveInput

    return Circuit(*chain(parts.linears, SaveInput, GetInput))


@circuit("unet")
def circuit_unet(parts: UNetParts) -> Network:
    """Save on the way down, join on the way up."""
    from torch_circuit import Circuit, GetInput, SaveInput

    up = way_up(parts, partial(GetInput, op=cat_after))
    return Circuit(*way_down(parts, SaveInput), parts.bridge, parts.relu, *up)


@circuit("dense")
def circuit_dense(parts: DenseParts) -> Network:
    """Joins have two operands there, so the block grows by one join at a time."""
    from torch_circuit import Circuit, GetInput, SaveInput

    return Circuit(*chain(parts.linears, SaveInput, partial(GetInput, op=cat_after)), parts.head)


# --- torchresidual: joins by addition, or by concatenation along the last dimension with the skip behind -------------

residual_sequential = partial(peer, "torchresidual", module="torchresidual")


@residual_sequential("residual")
def torchresidual_residual(parts: ResidualParts) -> Network:
    """Record before each block, apply after it."""
    from torchresidual import Apply, Record, ResidualSequential

    return ResidualSequential(*chain(parts.linears, partial(Record, False), partial(Apply, "add")))


@residual_sequential("dense")
def torchresidual_dense(parts: DenseParts) -> Network:
    """The skip goes behind, so the weights are read in the opposite order."""
    from torchresidual import Apply, Record, ResidualSequential

    *linears, head = newest_first(parts)
    return ResidualSequential(*chain(linears, partial(Record, False), partial(Apply, "concat")), head)


def newest_first(parts: DenseParts) -> list[nn.Linear]:
    """Return the dense block's layers and head for values that come newest first."""
    starts = [0] + [linear.in_features for linear in parts.linears]
    return [_in_blocks_reversed(layer, starts[: k + 2]) for k, layer in enumerate([*parts.linears, parts.head])]


def _in_blocks_reversed(layer: nn.Linear, starts: list[int]) -> nn.Linear:
    """Copy a layer with the blocks of its input columns, which begin at `starts`, in reversed order."""
    blocks = layer.weight.detach().tensor_split(sorted(set(starts) - {0}), dim=1)
    copy = nn.Linear(layer.in_features, layer.out_features)
    with torch.no_grad():
        copy.weight.copy_(torch.cat([block for block in reversed(blocks) if block.numel()], 1))
        copy.bias.copy_(layer.bias)
    return copy


# --- torchgpipe's skippable modules, in an ordinary nn.Sequential ----------------------------------------------------

gpipe = partial(peer, "torchgpipe", module="torchgpipe")


@cache
def gpipe_words() -> tuple[Callable[[str], nn.Module], ...]:
    """Return a stash, an addition and a concatenation, each a function of a label."""
    from torchgpipe.skip import pop, skippable, stash

    @skippable(stash=["skip"])
    class Stash(nn.Module):
        def forward(self, x: Tensor) -> Iterator[Any]:
            yield stash("skip", x)
            return x

    @skippable(pop=["skip"])
    class Add(nn.Module):
        def forward(self, x: Tensor) -> Iterator[Any]:
            skip = yield pop("skip")
            return skip + x

    @skippable(pop=["skip"])
    class Cat(nn.Module):
        def forward(self, x: Tensor) -> Iterator[Any]:
            skip = yield pop("skip")
            return torch.cat([skip, x], 1)

    return tuple(partial(gpipe_word, word) for word in (Stash, Add, Cat))


def gpipe_word(word: Any, label: str) -> nn.Module:
    """Return a stash or a join that speaks of this label: its one skip gets the label's namespace."""
    return word().isolate(gpipe_namespace(label))


@cache
def gpipe_namespace(label: str) -> Any:
    """Return one namespace for each label."""
    from torchgpipe.skip import Namespace

    return Namespace()


@gpipe("residual")
def gpipe_residual(parts: ResidualParts) -> Network:
    """Stash before each block, add after it."""
    stash, add, _ = gpipe_words()
    return nn.Sequential(*chain(parts.linears, stash, add))


@gpipe("unet")
def gpipe_unet(parts: UNetParts) -> Network:
    """Stash on the way down, pop on the way up."""
    stash, _, cat = gpipe_words()
    return nn.Sequential(*way_down(parts, stash), parts.bridge, parts.relu, *way_up(parts, cat))


@gpipe("dense")
def gpipe_dense(parts: DenseParts) -> Network:
    """A skip is popped once, so the block grows by one join at a time."""
    stash, _, cat = gpipe_words()
    return nn.Sequential(*chain(parts.linears, stash, cat), parts.head)


@gpipe("three parts")
def gpipe_three_parts(parts: UNetParts) -> Network:
    """Each part is an `nn.Sequential`; the skips travel on the side."""
    stash, _, cat = gpipe_words()
    pieces = way_down(parts, stash), [parts.bridge, parts.relu], way_up(parts, cat)
    return nn.Sequential(*(nn.Sequential(*entries) for entries in pieces))
