"""A peer that traces example values through Python code, then generates a `forward`: pytorch-symbolic."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from torch import nn

from common import Network
from networks import BATCH, FEATURES, SIZE, DenseParts, ResidualParts, UNetParts
from peers_registry import peer

__all__: list[str] = []

# By default that library replaces the call of every module in the process when it is imported, and whatever is measured
# beside it would pay for that. Read when it is imported.
os.environ.setdefault("PYTORCH_SYMBOLIC_API_2_ENABLED_BY_DEFAULT", "False")

# --- pytorch-symbolic: traced on example values, then generated ------------------------------------------------------

symbolic = partial(peer, "pytorch-symbolic", module="pytorch_symbolic")


@symbolic("residual")
def symbolic_residual(parts: ResidualParts) -> Network:
    """Add as in Python."""
    from pytorch_symbolic import Input, SymbolicModel

    inputs = x = Input(batch_shape=(BATCH, FEATURES))
    for linear in parts.linears:
        x = x + linear_relu(linear, x)
    return SymbolicModel(inputs, x)


def linear_relu(linear: nn.Linear, x: Any) -> Any:
    """Apply a layer and a ReLU of its own: that library takes each layer object once."""
    return x(linear)(nn.ReLU())


@symbolic("unet")
def symbolic_unet(parts: UNetParts) -> Network:
    """Keep the values of the levels in a list."""
    from pytorch_symbolic import Input, SymbolicModel

    inputs = Input(batch_shape=(1, 1, SIZE, SIZE))
    x, skips = symbolic_way_down(parts, inputs)
    x = x(parts.bridge)(nn.ReLU())
    return SymbolicModel(inputs, symbolic_way_up(parts, x, skips))


@symbolic("dense")
def symbolic_dense(parts: DenseParts) -> Network:
    """Join a list that grows."""
    from pytorch_symbolic import Input, SymbolicModel
    from pytorch_symbolic.useful_layers import ConcatLayer

    inputs = Input(batch_shape=(BATCH, FEATURES))
    values = [inputs, linear_relu(parts.linears[0], inputs)]
    for linear in parts.linears[1:]:
        values.append(linear_relu(linear, values[0](ConcatLayer(1), *values[1:])))
    return SymbolicModel(inputs, values[0](ConcatLayer(1), *values[1:])(parts.head))


@symbolic("three parts")
def symbolic_three_parts(parts: UNetParts) -> Network:
    """Three models: the first has four outputs, the last four inputs."""
    from pytorch_symbolic import Input, SymbolicModel

    inputs = Input(batch_shape=(1, 1, SIZE, SIZE))
    x, skips = symbolic_way_down(parts, inputs)
    encoder = SymbolicModel(inputs, (x, *skips))
    taken = [Input(batch_shape=tuple(value.shape)) for value in (x(parts.bridge), *skips)]
    decoder = SymbolicModel(tuple(taken), symbolic_way_up(parts, taken[0], taken[1:]))
    outer = Input(batch_shape=(1, 1, SIZE, SIZE))
    x, *skips = outer(encoder)
    return SymbolicModel(outer, x(nn.Sequential(parts.bridge, parts.relu))(decoder, *skips))


def symbolic_way_down(parts: UNetParts, x: Any) -> tuple[Any, list[Any]]:
    """Return the running value and the skips."""
    skips = []
    for encoder in parts.encoders:
        skips.append(x(encoder)(nn.ReLU()))
        x = skips[-1](nn.MaxPool2d(2))
    return x, skips


def symbolic_way_up(parts: UNetParts, x: Any, skips: list[Any]) -> Any:
    """Join the skips, deepest first."""
    from pytorch_symbolic.useful_layers import ConcatLayer

    for skip, up, decoder in zip(reversed(skips), parts.ups, parts.decoders, strict=True):
        x = skip(ConcatLayer(1), x(up))(decoder)(nn.ReLU())
    return x(parts.head)
