"""Five networks in words, each with the module that one would write by hand; both hold their layers in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, save, via

#: The layers that are made here are called through ``self`` by hand, so both have the same names where that is possible.
Inputs = tuple[Tensor, ...]


def flat() -> Sequential:
    """A U-Net in one line."""
    return Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), save("x1"),
        nn.Conv2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), save("x2"),
        nn.Conv2d(16, 16, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 4, 2, 1), cat("x2"),
        nn.ConvTranspose2d(32, 8, 4, 2, 1), nn.Tanh(), add("x1"),
        nn.Conv2d(8, 3, 1),
    )  # fmt: skip


class FlatByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 4, 2, 1)
        self.norm = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 16, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(16, 16, 4, 2, 1)
        self.up1 = nn.ConvTranspose2d(32, 8, 4, 2, 1)
        self.last = nn.Conv2d(8, 3, 1)
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.relu(self.conv1(x))
        x2 = self.relu(self.norm(self.conv2(x1)))
        y = self.up2(self.relu(self.conv3(x2)))
        y = self.tanh(self.up1(torch.cat([y, x2], 1)))
        return self.last(y + x1)


def separate() -> Sequential:
    """Encoder, bridge and decoder, built apart; the skips are labels, and one is a path to a layer."""
    encoder = Sequential(
        ("conv", nn.Conv2d(3, 8, 3, padding=1)), nn.ReLU(), save("e1"), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), save("e2"), nn.MaxPool2d(2),
    )  # fmt: skip
    bridge = Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.Tanh(), add("input"))
    decoder = Sequential(
        nn.Upsample(scale_factor=2), cat("e2"), nn.Conv2d(32, 8, 3, padding=1), nn.ReLU(),
        nn.Upsample(scale_factor=2), cat("e1", here), nn.Conv2d(16, 8, 3, padding=1),
    )  # fmt: skip
    return Sequential(
        ("encoder", encoder), ("bridge", bridge), ("decoder", decoder),
        ("side", add(via("encoder.conv", nn.Conv2d(8, 8, 1)))), ("head", nn.Conv2d(8, 3, 1)),
    )  # fmt: skip


class SeparateByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.bridge = nn.Conv2d(16, 16, 3, padding=1)
        self.up2 = nn.Conv2d(32, 8, 3, padding=1)
        self.up1 = nn.Conv2d(16, 8, 3, padding=1)
        self.side = nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 3, 1)
        self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv1(x)
        e1 = self.relu(conv)
        e2 = self.relu(self.norm(self.conv2(self.pool(e1))))
        y = self.pool(e2)
        y = self.tanh(self.bridge(y)) + y
        y = self.relu(self.up2(torch.cat([self.up(y), e2], 1)))
        y = self.up1(torch.cat([e1, self.up(y)], 1))
        return self.head(y + self.side(conv))


class Film(nn.Module):
    """Scale and shift from a second input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(4, 2 * features)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        scale, shift = self.project(t).chunk(2, dim=-1)
        return x * (1 + scale) + shift


def conditioned() -> Sequential:
    """Two inputs; the second goes into a layer here and into one inside a part."""
    block = Sequential(nn.Linear(8, 8), call(Film(8), "t"), nn.Tanh(), add("input"))
    return Sequential(
        ("lift", nn.Linear(6, 8)), call(Film(8), "t"), save("h"),
        ("block", block), call(torch.maximum, "h"), ("head", nn.Linear(8, 2)),
        inputs=("x", "t"),
    )  # fmt: skip


class ConditionedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(6, 8)
        self.film = Film(8)
        self.linear = nn.Linear(8, 8)
        self.inner = Film(8)
        self.head = nn.Linear(8, 2)
        self.tanh = nn.Tanh()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        h = self.film(self.lift(x), t)
        y = self.tanh(self.inner(self.linear(h), t)) + h
        return self.head(torch.maximum(y, h))


def recursive() -> Sequential:
    """The pix2pix block, one inside the other; each joins its own input, and a label is used again at every level."""

    def block(outer: int, inner: int, middle: Iterable[nn.Module], factor: int) -> Sequential:
        return Sequential(
            nn.Conv2d(outer, inner, 4, 2, 1), nn.LeakyReLU(0.2), save("down"), *middle,
            nn.ConvTranspose2d(inner * factor, inner, 1), add("down"),
            nn.ConvTranspose2d(inner, outer, 4, 2, 1), cat("input", here),
        )  # fmt: skip

    innermost = block(16, 16, (), 1)
    return Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        ("block", block(8, 16, (innermost,), 2)),
        nn.Conv2d(16, 3, 1),
    )  # fmt: skip


class RecursiveByHand(nn.Module):
    class Block(nn.Module):
        def __init__(self, outer: int, inner: int, middle: nn.Module | None, factor: int) -> None:
            super().__init__()
            self.down = nn.Conv2d(outer, inner, 4, 2, 1)
            self.middle = middle or nn.Identity()
            self.mix = nn.ConvTranspose2d(inner * factor, inner, 1)
            self.up = nn.ConvTranspose2d(inner, outer, 4, 2, 1)
            self.relu = nn.LeakyReLU(0.2)

        def forward(self, x: Tensor) -> Tensor:
            down = self.relu(self.down(x))
            return torch.cat([x, self.up(self.mix(self.middle(down)) + down)], 1)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.block = self.Block(8, 16, self.Block(16, 16, None, 1), 2)
        self.last = nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.first(x)))


def crossed() -> Sequential:
    """A skip out of the middle of a plain ``nn.Sequential``."""
    encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1))
    return Sequential(("encoder", encoder), nn.ReLU(), cat("encoder.1"), ("head", nn.Conv2d(16, 3, 1)))


class CrossedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Conv2d(16, 3, 1)
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        skip = self.tanh(self.conv1(x))
        return self.head(torch.cat([self.relu(self.conv2(skip)), skip], 1))


@dataclass(frozen=True)
class Network:
    """A network in words and by hand."""

    words: Callable[[], Sequential]
    hand: Callable[[], nn.Module]
    inputs: Callable[..., Inputs]
    #: The parts by path.
    parts: tuple[str, ...]

    def pair(self) -> tuple[Sequential, nn.Module]:
        """Both with the same weights."""
        net, hand = self.words(), self.hand()
        copy_state(net, hand)
        return net, hand


def images(batch: int = 2, height: int = 8, width: int = 8) -> Inputs:
    return (torch.randn(batch, 3, height, width),)


def vectors(batch: int = 2) -> Inputs:
    return torch.randn(batch, 6), torch.randn(batch, 4)


NETWORKS = {
    "flat": Network(flat, FlatByHand, images, ()),
    "separate": Network(separate, SeparateByHand, images, ("encoder", "bridge", "decoder")),
    "conditioned": Network(conditioned, ConditionedByHand, vectors, ("block",)),
    "recursive": Network(recursive, RecursiveByHand, images, ("block", "block.2")),
    "crossed": Network(crossed, CrossedByHand, images, ("encoder",)),
}


def copy_state(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters and buffers in their order."""
    with torch.no_grad():
        for mine, theirs in ((target.parameters(), source.parameters()), (target.buffers(), source.buffers())):
            for to, value in zip(mine, theirs, strict=True):
                assert to.shape == value.shape
                to.copy_(value)


@dataclass
class Outcome:
    """What one step of a network gives: output, gradients of inputs and of parameters, buffers afterwards."""

    output: Any
    inputs: list[Tensor | None]
    parameters: list[Tensor | None]
    buffers: list[Tensor]

    def same(self, other: Outcome, **tolerance: float) -> None:
        for mine, theirs in zip(tuple_of(self), tuple_of(other), strict=True):
            torch.testing.assert_close(mine, theirs, **tolerance)


def tuple_of(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.output, outcome.inputs, outcome.parameters, outcome.buffers


def outcome(run: Callable[..., Any], inputs: Inputs, state: nn.Module | None = None) -> Outcome:
    """Output and gradients of one call; ``state`` owns the parameters, if it is not what runs."""
    module: Any = state if state is not None else run
    module.zero_grad(set_to_none=True)
    leaves = tuple(each.detach().clone().requires_grad_(each.is_floating_point()) for each in inputs)
    output = run(*leaves)
    (output.float() ** 2).sum().backward()
    grads = [None if each.grad is None else each.grad.clone() for each in module.parameters()]
    given = [None if each.grad is None else each.grad.clone() for each in leaves]
    result = Outcome(output.detach().clone(), given, grads, [each.detach().clone() for each in module.buffers()])
    module.zero_grad(set_to_none=True)
    return result
