"""Layers of torch with inputs that they can take, near the border of what they cannot: a check must have nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["layers_that_fit"]

#: What makes a layer, and the shapes or tensors that it can take, each one input.
Fitting: TypeAlias = tuple[Callable[[], nn.Module], list[Any]]

#: Layers that change each number for itself, or work along one dimension.
ELEMENTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish,
    nn.PReLU, nn.RReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh,
    nn.Tanhshrink, nn.Identity, nn.Dropout, nn.AlphaDropout, nn.Softmin, nn.Softmax, nn.LogSoftmax,
)  # fmt: skip


def extents(rank: int, *of: int) -> list[tuple[int, ...]]:
    """The shapes of a value with a batch and without."""
    channels, *sizes = of
    shape = (channels, *(sizes * rank)[:rank])
    return [(2, *shape), shape]


def over_positions(rank: int) -> Iterator[Fitting]:
    """Layers over so many dimensions."""

    def layer(name: str, *args: Any, **options: Any) -> Callable[[], nn.Module]:
        return lambda: getattr(nn, f"{name}{rank}d")(*args, **options)

    usual = extents(rank, 4, 8)
    for options in ({}, {"stride": 2, "padding": 1, "bias": False}, {"padding": "same", "dilation": 2}, {"groups": 2}):
        yield layer("Conv", 4, 6, 3, **options), usual
    for mode in ("reflect", "replicate", "circular"):
        yield layer("Conv", 4, 4, 3, padding=1, padding_mode=mode), usual
    yield layer("Conv", 4, 6, 3, padding=1), extents(rank, 4, 1)  # no larger than its padded input
    yield layer("ConvTranspose", 4, 6, 3, stride=2, output_padding=1, dilation=2), extents(rank, 4, 1)
    for name in ("MaxPool", "AvgPool"):
        yield layer(name, 2), extents(rank, 4, 2)
        yield layer(name, 3, 2, 1, ceil_mode=True), extents(rank, 4, 3)
    yield layer("MaxPool", 2, return_indices=True), usual
    yield layer("LPPool", 2, 2), usual
    for name in ("AdaptiveAvgPool", "AdaptiveMaxPool"):
        yield layer(name, 3), extents(rank, 4, 1)
    batched = [(2, 4, *[5] * rank), (1, 4, *[2] * rank)]
    if rank == 1:
        batched += [(2, 4), (3, 4, 1)]
    for options in ({}, {"affine": False}, {"track_running_stats": False}, {"affine": False, "track_running_stats": False}):
        yield layer("BatchNorm", 4, **options), batched
    yield layer("InstanceNorm", 4), usual
    yield layer("InstanceNorm", 4, affine=True, track_running_stats=True), usual
    yield layer("ReflectionPad", 2), extents(rank, 4, 3)
    yield layer("CircularPad", 2), extents(rank, 4, 2)
    yield layer("ReplicationPad", 3), extents(rank, 4, 1)
    yield layer("ZeroPad", 2), [*usual, (4, 8, 8, 8)]
    yield layer("ConstantPad", -1, 0.5), usual
    yield layer("Dropout"), usual


def over_values() -> Iterator[Fitting]:
    """Layers over features and channels, and those that reshape."""
    for make in ELEMENTWISE:
        yield make, [(3, 4), (4,), (2, 3, 4), (2, 3, 4, 5)]
    yield lambda: nn.Linear(4, 3), [(4,), (2, 4), (2, 5, 4), (2, 5, 6, 4), (0, 4)]
    yield lambda: nn.GroupNorm(2, 4), [(2, 4), (1, 4, 2), (2, 4, 3, 3)]
    yield lambda: nn.LayerNorm(4), [(4,), (1, 4), (2, 3, 4)]
    yield lambda: nn.LayerNorm((3, 4), elementwise_affine=False), [(3, 4), (2, 3, 4)]
    yield lambda: nn.RMSNorm(4), [(4,), (2, 3, 4)]
    yield lambda: nn.LocalResponseNorm(2), [(2, 4, 5), (2, 4, 5, 5)]
    yield lambda: nn.PReLU(4), [(2, 4), (2, 4, 5)]
    yield lambda: nn.GLU(), [(2, 4), (4,)]
    yield lambda: nn.GLU(1), [(2, 4, 3)]
    yield lambda: nn.Softmax(-2), [(2, 4), (2, 4, 3)]
    yield nn.Softmax2d, [(2, 4, 3, 3), (4, 3, 3)]
    yield nn.Flatten, [(4, 5), (2, 4, 5, 6)]
    yield lambda: nn.Flatten(-2), [(4, 5), (2, 4, 5, 6)]
    yield lambda: nn.Flatten(0), [(2, 3), (4,), ()]
    yield lambda: nn.Unflatten(1, (2, -1)), [(3, 4), (3, 6, 5)]
    yield lambda: nn.Unflatten(-1, (2, 2)), [(3, 4), (4,)]
    yield lambda: nn.PixelShuffle(2), [(2, 4, 3, 3), (8, 3, 3)]
    yield lambda: nn.PixelUnshuffle(2), [(2, 1, 4, 6)]
    yield lambda: nn.ChannelShuffle(2), [(2, 4, 3, 3)]
    yield lambda: nn.Unfold(3), [(2, 4, 5, 5)]
    yield lambda: nn.Fold((4, 4), 2, stride=2), [(2, 12, 4)]
    for mode, rank in (("nearest", 1), ("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3), ("area", 3)):
        yield lambda mode=mode: nn.Upsample(scale_factor=2, mode=mode), [(2, 4, *[3] * rank)]
    yield lambda: nn.Upsample(size=(5, 6)), [(2, 4, 3, 3)]


def over_tokens() -> Iterator[Fitting]:
    """Layers over sequences."""
    steps, words = [(5, 2, 8), (5, 8)], [torch.ones(2, 5, dtype=torch.long), torch.ones(5, dtype=torch.int32)]
    for name in ("RNN", "GRU", "LSTM"):
        yield lambda name=name: getattr(nn, name)(8, 4, 2, batch_first=True, bidirectional=True), steps
        yield lambda name=name: getattr(nn, f"{name}Cell")(8, 4), [(2, 8), (8,)]
    yield lambda: nn.LSTM(8, 6, proj_size=3), steps
    for options in ({}, {"batch_first": True, "norm_first": True}):
        yield lambda options=options: nn.TransformerEncoderLayer(8, 2, 16, **options), steps
    encoder = lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)  # noqa: E731
    yield encoder, steps
    yield lambda: nn.Embedding(9, 4, padding_idx=0), words
    yield lambda: nn.EmbeddingBag(9, 4, mode="sum"), words[:1]
    half = [torch.zeros(2, 4, 3, 3, dtype=torch.bfloat16)]
    yield lambda: nn.BatchNorm2d(4), half
    yield lambda: nn.GroupNorm(2, 4), half
    yield lambda: nn.LayerNorm(3), half
    whole = [torch.ones(2, 4, 6, dtype=torch.long)]
    for make in (nn.ReLU, nn.Flatten, nn.Tanh, nn.Sigmoid, lambda: nn.MaxPool2d(2), lambda: nn.ZeroPad1d(1)):
        yield make, whole


def tensor(given: Any) -> Tensor:
    """An input, from its shape."""
    return given if isinstance(given, Tensor) else torch.rand(given)


def layers_that_fit() -> Iterator[tuple[str, Callable[[], nn.Module], Tensor]]:
    """Each layer with each of its inputs, under a name."""
    for rank in (1, 2, 3):
        yield from named(over_positions(rank))
    yield from named(over_values())
    yield from named(over_tokens())


def named(rows: Iterator[Fitting]) -> Iterator[tuple[str, Callable[[], nn.Module], Tensor]]:
    """The rows with a name for each input."""
    for make, inputs in rows:
        for given in inputs:
            value = tensor(given)
            yield f"{repr(make()).splitlines()[0]} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}", make, value
