"""Forwards in which a value could easily be taken for another one, or a key get lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq.bridges.forward.trace import trace
from tests import handwritten as hand
from tests.test_trace import assert_same, images


class PooledShortcut(nn.Module):
    """A shortcut whose layers stand behind another layer: in one list with it they would get other numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.pool = nn.AvgPool2d(2)
        self.downsample = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.downsample(self.pool(x))


class ManyShortcuts(nn.Module):
    """A join of several values that go through layers, some of which have weights, and of several that have no name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.side = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        low, high = torch.tanh(x), torch.exp(x)
        y = torch.cat([self.conv(low), nn.functional.max_pool2d(x, 2), self.side(x)], 1)
        return torch.cat([y, nn.functional.avg_pool2d(torch.cat([low, high, torch.sigmoid(x)], 1), 2)], 1)


class ShortcutTwice(nn.Module):
    """The layers of a shortcut are called once more."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, 1, 1)
        self.shortcut = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x) + self.shortcut(x)
        return self.conv(y) - self.shortcut(y)


class Shadowing(nn.Module):
    """The outer value and a layer inside the reader have one name."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor, conv: Tensor) -> Tensor:
            return self.conv(x) * conv

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.inner = self.Inner()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.inner(torch.relu(y), y)


class AgainBetween(nn.Module):
    """A shared layer is called between the layers of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.steps = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(x)
        for step in self.steps:
            x = self.shared(step(x))
        return x


class PassedOn(nn.Module):
    """Layers that give what they receive, in evaluation at least."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.same = nn.Identity()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.same(y) * self.drop(y) - y


class Noise(nn.Module):
    """A random value that two operations read is drawn once."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape[0], 1, dtype=x.dtype)
        return self.linear(x) * noise + noise


class Aside(nn.Module):
    """A layer is called and what it gives not used: it still counts its batches, and has its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        self.norm(y)
        return y


class InOtherOrder(nn.Module):
    """A part is given its second input as the running value, and returns several."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)

        def forward(self, skip: Tensor, x: Tensor) -> list[Tensor]:
            gate = torch.sigmoid(self.a(x) + self.b(skip))
            return [skip * gate, gate]

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.gate = self.Gate()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        skip = self.first(x)
        gated, gate = self.gate(skip, self.second(skip))
        return gated - x, gate


class Constants(nn.Module):
    """A layer that takes a tuple, a constant and a number made of sizes besides its value."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor, pair: Any, size: int, mode: str = "plus", other: Any = None) -> Tensor:
            y = x * self.weight + pair[0] * pair[1] * size
            return y if mode == "plus" else -y

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.Inner()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, (x, torch.exp(x)), x.shape[0] + 1, mode="minus", other=None)


CORNERS: list[tuple[Callable[[], nn.Module], Any, Any]] = [
    (PooledShortcut, images(2, 3, 8, 8), images(3, 3, 4, 6)),
    (ManyShortcuts, images(2, 3, 8, 8), images(3, 3, 4, 6)),
    (ShortcutTwice, images(2, 3, 8, 8), images(3, 3, 4, 6)),
    (Shadowing, images(2, 3, 8, 8), images(3, 3, 4, 6)),
    (AgainBetween, images(2, 4), images(3, 4)),
    (PassedOn, images(4, 4), images(3, 4)),
    (Noise, images(2, 4), images(3, 4)),
    (Aside, images(2, 4), images(3, 4)),
    (lambda: hand.Around(Aside()), images(2, 4), images(3, 4)),
    (InOtherOrder, images(2, 4), images(3, 4)),
    (Constants, images(2, 4), images(3, 4)),
    (hand.Dropped, images(2, 6), images(3, 6)),
    (hand.Stochastic, images(2, 4), images(3, 4)),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("build", "example", "other"), CORNERS)
def test_a_corner_is_the_same_network(build: Callable[[], nn.Module], example: Any, other: Any, training: bool) -> None:
    """In whichever mode it was converted."""
    module = build().double().train(training)
    net = trace(module, *example)
    assert list(net.state_dict()) == list(module.state_dict())
    assert net.training is training
    for inputs in (example, other):
        assert_same(net, module, inputs)


def test_a_type_that_is_written_literally_stays_that_type() -> None:
    class Widened(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            before = x.dtype
            wide = x.to(torch.float32) * 3
            return wide.to(before)

    for text in ("x.to(torch.float32)", "to(x.dtype)"):
        assert text in str(trace(Widened(), torch.zeros(2)))
    x = torch.randn(5, dtype=torch.float64)
    assert torch.equal(trace(Widened(), torch.zeros(2))(x), Widened()(x))


def test_assertions_about_numbers_are_left_out() -> None:
    class Asserting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch._assert(x.max() < 9, "too large")
            torch._assert(x.shape[0] < 9, "too many")
            return torch.relu(x)

    assert str(trace(Asserting(), torch.zeros(2))) == "Sequential(\n    nn.ReLU(),\n)"


def test_brackets_stand_where_they_are_needed() -> None:
    class Computed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h, w = x.shape[-2:]
            y = x.view(x.shape[0], (h + 1) * w - w, -(-h // 2) * 0 + 1, -1)
            return y * (2 ** (h - w)) ** 2 / (h - (w - 1)) + (h > 0)

    x = torch.randn(3, 2, 4, 6)
    net = trace(Computed(), torch.zeros(2, 2, 4, 6))
    assert torch.equal(net(x), Computed()(x))
    y = torch.randn(2, 2, 8, 10)
    assert torch.equal(net(y), Computed()(y))


def test_the_hooks_of_others_are_not_called_while_a_forward_is_read() -> None:
    module = hand.ResNet()
    module.layer1[0].conv1.register_forward_pre_hook(lambda *_: pytest.fail("called"))
    module.layer1[1].register_forward_hook(lambda *_: pytest.fail("called"))
    assert trace(module).get_submodule("layer1.1") is module.layer1[1]


def test_several_outputs_of_a_part_are_read_by_name() -> None:
    text = str(trace(InOtherOrder(), torch.zeros(2, 4)))
    assert "outputs=('sub_0'" not in text
    assert text.count("outputs=") == 1


@pytest.mark.filterwarnings("ignore:trace.Turns.. the keys come in the order of use:UserWarning")
def test_layers_of_parts_called_in_turns_can_be_read() -> None:
    module = hand.Turns()
    net = trace(module, torch.zeros(2, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    _, seen = net.record(x, "call_1")
    assert torch.equal(seen["call_1"], module.blocks[0](module.convs[0](x)))
    assert torch.equal(net.upto("add_0")(x), module.narrow["a"](module.blocks[0](module.convs[0](x))) + x)
