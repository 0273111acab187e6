"""Layers that bring the operand of an addition to the shape of the other one, made when both shapes are known.

They are lazy in the sense of PyTorch: their parameters come into being before the first call, by the hook that also serves
``nn.LazyConv2d``, never in a forward. Behind that they are fixed, and change their class to the one that only runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _get_tracing_state
from torch.compiler import is_exporting
from torch.fx import Proxy
from torch.nn import functional, init
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from skipseq.errors import CallError

__all__ = ["PadChannels", "Projection", "is_projection", "new_projection"]


class Projection(nn.Module):
    """A 1x1 convolution, where channels or strides differ, or a linear layer, where the features do; else nothing."""

    #: Parameters, which may wait for their shapes, or nothing.
    weight: Any
    bias: Any

    def __init__(self) -> None:
        super().__init__()
        self.stride: tuple[int, ...] | None = None

    def forward(self, value: Tensor, like: Tensor) -> Tensor:
        """The value, projected. Of ``like`` only the shape counts, and that only before the first call."""
        if self.weight is None or self.stride is None:
            return value
        if not self.stride:
            return functional.linear(value, self.weight, self.bias)
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(self.stride) - 1]
        projected: Tensor = convolve(value, self.weight, self.bias, self.stride)
        return projected

    def extra_repr(self) -> str:
        """What it has become."""
        if self.weight is None:
            return "identity"
        if self.stride is None:
            return ""
        sizes = f"{self.weight.shape[1]}, {self.weight.shape[0]}"
        return f"1x1 convolution, {sizes}, stride={self.stride}" if self.stride else f"linear, {sizes}"


class PadChannels(nn.Module):
    """Every so many positions of the value, with channels of zeros around its own: the shortcut without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stride: tuple[int, ...] | None = None
        self.channels = (0, 0)

    def forward(self, value: Tensor, like: Tensor) -> Tensor:
        """The value, subsampled and padded. Of ``like`` only the shape counts, and that only before the first call."""
        if self.stride is None:
            return value
        if any(step > 1 for step in self.stride):
            value = value[(slice(None), slice(None), *(slice(None, None, step) for step in self.stride))]
        if any(self.channels):
            value = functional.pad(value, (*(0 for _ in self.stride for _ in "01"), *self.channels))
        return value

    def extra_repr(self) -> str:
        """What it has become."""
        return "" if self.stride is None else f"zeros={self.channels}, stride={self.stride}"


class Lazy(LazyModuleMixin):
    """What both have in common before their first call."""

    def _infer_parameters(self: Any, module: Any, args: Any, kwargs: Any = None) -> None:
        """Runs before the first call. Values that it cannot bring together it leaves to the join, which says why."""
        if is_exporting() or _get_tracing_state() is not None or any(isinstance(value, Proxy) for value in args):
            raise CallError(
                f"the network was exported or traced before the layers of {self.word} were made.\n"
                "  Call it once with an input of the usual shape before, so that they learn their sizes."
            )
        if all(isinstance(value, Tensor) for value in args) and self.can_bring(*shapes(*args)):
            super()._infer_parameters(module, args, kwargs)  # type: ignore[misc]


class LazyProjection(Lazy, Projection):
    """A projection before its first call."""

    cls_to_become = Projection
    word = "project=True"

    def __init__(self) -> None:
        super().__init__()
        self.weight = UninitializedParameter()
        self.bias = UninitializedParameter()

    def can_bring(self, own: Sequence[int], like: Sequence[int]) -> bool:
        """Whether a convolution or a linear layer brings values of the one shape to the other."""
        return own == like or (own[:1] == like[:1] and 2 <= len(own) == len(like) <= 5)

    def initialize_parameters(self, value: Tensor, like: Tensor) -> None:
        """Makes the parameters for values of these shapes, initialised as those of ``nn.Linear`` and ``nn.Conv2d`` are."""
        own, other = shapes(value, like)
        channels = own[1:2] != other[1:2]
        linear = len(own) <= 2 or (len(own) == 3 and not channels)
        self.stride = () if linear else strides(own[2:], other[2:])
        if not self.has_uninitialized_params():
            return  # loaded from a checkpoint before the first call
        if own[-1] == other[-1] if linear else not channels and max(self.stride) == 1:
            self.weight = self.bias = None
            return
        sizes = (other[-1], own[-1]) if linear else (other[1], own[1], *(1 for _ in self.stride))
        with torch.no_grad():
            self.weight.materialize(sizes)
            self.bias.materialize(sizes[:1])
            init.kaiming_uniform_(self.weight, a=sqrt(5))
            bound = 1 / sqrt(sizes[1]) if sizes[1] else 0.0
            init.uniform_(self.bias, -bound, bound)


class LazyPadChannels(Lazy, PadChannels):
    """The same before its first call: it has no parameters, but learns its sizes."""

    cls_to_become = PadChannels
    word = "project='pad_channels'"

    def can_bring(self, own: Sequence[int], like: Sequence[int]) -> bool:
        """Whether values of the one shape have no more channels than those of the other."""
        return own == like or (own[:1] == like[:1] and 2 <= len(own) == len(like) and own[1] <= like[1])

    def has_uninitialized_params(self) -> bool:
        """Whether it waits for its first call; PyTorch knows of lazy layers by this."""
        return self.stride is None

    def initialize_parameters(self, value: Tensor, like: Tensor) -> None:
        """Learns the strides and how many channels are missing; of these, half come before the others."""
        own, other = shapes(value, like)
        missing = other[1] - own[1] if len(own) > 1 else 0
        self.stride = strides(own[2:], other[2:])
        self.channels = (missing // 2, missing - missing // 2)


def is_projection(kind: Any) -> bool:
    """Whether ``project=`` may be this."""
    return kind is True or (isinstance(kind, str) and kind == "pad_channels")


def new_projection(kind: Any) -> nn.Module:
    """The layer that ``project=`` asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says of all lazy modules that they are new
        return LazyPadChannels() if kind == "pad_channels" else LazyProjection()


def strides(own: Sequence[int], like: Sequence[int]) -> tuple[int, ...]:
    """The stride in each dimension that brings extents to others, exactly if there is one, else as near as it can.

    >>> strides((32, 33, 10, 7), (16, 17, 4, 7)), strides((33,), (16,))
    ((2, 2, 3, 1), (2,))
    """
    found = []
    for have, want in zip(own, like, strict=True):
        exact = -(-have // max(want, 1))
        found.append(exact if exact and -(-have // exact) == want else max(1, round(have / max(want, 1))))
    return tuple(found)


def shapes(*values: Tensor) -> tuple[tuple[int, ...], ...]:
    """The shapes of values."""
    return tuple(tuple(int(extent) for extent in value.shape) for value in values)
