"""Peers that write the arguments and results of every entry beside it: PyG, tensordict."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

from torch import nn

from common import Network
from networks import DenseParts, ResidualParts, UNetParts
from peers_registry import cat_after, cat_all, peer

__all__: list[str] = []

# --- PyG's Sequential: every entry with its arguments and results in a string ----------------------------------------

pyg = partial(peer, "PyG", module="torch_geometric")


def pyg_sequence(inputs: str, entries: list[Any]) -> nn.Module:
    """Return PyG's Sequential with the `forward` that it generates, or raise where it could not and kept a slow one."""
    from torch_geometric.nn import Sequential

    sequence = Sequential(inputs, entries)
    sequence._set_jittable_template(raise_on_error=True)
    return sequence


@pyg("residual")
def pyg_residual(parts: ResidualParts) -> Network:
    """Name the branch, then add it."""
    return pyg_sequence("x", described_residual(parts))


@pyg("unet")
def pyg_unet(parts: UNetParts) -> Network:
    """Name the value of each level."""
    return pyg_sequence("x", [*described_way_down(parts), *described_bridge(parts), *described_way_up(parts)])


@pyg("dense")
def pyg_dense(parts: DenseParts) -> Network:
    """Name every value, list them all before each layer."""
    return pyg_sequence("x", described_dense(parts))


@pyg("three parts")
def pyg_three_parts(parts: UNetParts) -> Network:
    """The encoder returns its skips, the decoder takes them, and the outer sequence passes them on."""
    names = "x1, x2, x3"
    pack = (lambda *values: values, f"x, {names} -> x, {names}")
    encoder = pyg_sequence("x", [*described_way_down(parts), pack])
    decoder = pyg_sequence(f"x, {names}", described_way_up(parts))
    bridge = nn.Sequential(parts.bridge, parts.relu)
    entries = [(encoder, f"x -> x, {names}"), (bridge, "x -> x"), (decoder, f"x, {names} -> x")]
    return pyg_sequence("x", entries)


def described_residual(parts: ResidualParts) -> list[Any]:
    """Linear, ReLU, add; with arguments and results."""
    entries: list[Any] = []
    for linear in parts.linears:
        entries += [(linear, "x -> h"), (parts.relu, "h -> h"), (operator.add, "x, h -> x")]
    return entries


def described_dense(parts: DenseParts) -> list[Any]:
    """Join, linear, ReLU; the last result is `h`."""
    entries: list[Any] = []
    names = ["x"]
    for k, linear in enumerate(parts.linears, 1):
        entries += [(cat_all, f"{', '.join(names)} -> h"), (linear, "h -> h"), (parts.relu, f"h -> x{k}")]
        names.append(f"x{k}")
    return [*entries, (cat_all, f"{', '.join(names)} -> h"), (parts.head, "h -> h")]


def described_way_down(parts: UNetParts) -> list[Any]:
    """Encoder and down, with the value between them named."""
    entries: list[Any] = []
    for k, encoder in enumerate(parts.encoders, 1):
        entries += [(encoder, "x -> x"), (parts.relu, f"x -> x{k}"), (parts.pool, f"x{k} -> x")]
    return entries


def described_bridge(parts: UNetParts) -> list[Any]:
    """The deepest level."""
    return [(parts.bridge, "x -> x"), (parts.relu, "x -> x")]


def described_way_up(parts: UNetParts) -> list[Any]:
    """Up, join, decoder; then the head."""
    entries: list[Any] = []
    for k, up, decoder in zip(range(len(parts.ups), 0, -1), parts.ups, parts.decoders, strict=True):
        entries += [(up, "x -> x"), (cat_after, f"x, x{k} -> x"), (decoder, "x -> x"), (parts.relu, "x -> x")]
    return [*entries, (parts.head, "x -> x")]


# --- tensordict: PyG's description with keys, over a dictionary of tensors -------------------------------------------

tensordict = partial(peer, "tensordict", module="tensordict")


def tensordict_sequence(described: list[tuple[Any, str]]) -> Any:
    """Return a TensorDictSequential for entries written as for PyG."""
    from tensordict.nn import TensorDictModule, TensorDictSequential

    def entry(function: Any, description: str) -> Any:
        takes, gives = (side.split(", ") for side in description.split(" -> "))
        return TensorDictModule(function, in_keys=takes, out_keys=gives)

    return TensorDictSequential(*(entry(*pair) for pair in described))


def tensordict_network(sequence: Any, result: str) -> Network:
    """Return a function of one tensor: it fills a dictionary and reads the result from it."""
    from tensordict import TensorDict

    return lambda x: sequence(TensorDict({"x": x}))[result]


@tensordict("residual")
def tensordict_residual(parts: ResidualParts) -> Network:
    """Name the branch, then add it."""
    return tensordict_network(tensordict_sequence(described_residual(parts)), "x")


@tensordict("unet")
def tensordict_unet(parts: UNetParts) -> Network:
    """Name the value of each level."""
    entries = [*described_way_down(parts), *described_bridge(parts), *described_way_up(parts)]
    return tensordict_network(tensordict_sequence(entries), "x")


@tensordict("dense")
def tensordict_dense(parts: DenseParts) -> Network:
    """Name every value, list them all before each layer."""
    return tensordict_network(tensordict_sequence(described_dense(parts)), "h")


@tensordict("three parts")
def tensordict_three_parts(parts: UNetParts) -> Network:
    """Three sequences over one dictionary."""
    from tensordict.nn import TensorDictSequential

    described = described_way_down(parts), described_bridge(parts), described_way_up(parts)
    return tensordict_network(TensorDictSequential(*map(tensordict_sequence, described)), "x")
