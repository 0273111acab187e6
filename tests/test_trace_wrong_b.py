"""Forwards whose result would be another network in silence: without gradients, for other sizes, in another mode or order."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipseq.bridges.forward.trace import from_forward, trace
from skipseq.errors import ConversionError
from tests import handwritten as hand


class Holding(nn.Module):
    """A layer, and another one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


class Wrapped(nn.Module):
    """Calls another module, and a layer behind it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.act = inner, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.inner(x))


def told(module: nn.Module, *example: Tensor) -> tuple[nn.Module, list[str]]:
    """The result, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = trace(module, *example)
    return net, [str(each.message).replace(__file__, "here.py") for each in caught]


# Gradients


class Frozen(Holding):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.first(x)
        return self.last(y)


class FrozenInput(Holding):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x * 2
        return self.last(self.first(x)) + y


@pytest.mark.parametrize("build", [Frozen, FrozenInput])
@pytest.mark.parametrize("training", [True, False])
def test_a_forward_partly_without_gradients_is_refused_with_the_line(build: Callable[[], nn.Module], training: bool) -> None:
    with pytest.raises(ConversionError, match=r"y = .*\n  it computes without gradients"):
        trace(build().train(training), torch.randn(2, 4))


def test_export_still_converts_what_has_the_same_gradients() -> None:
    module, x = hand.ThroughViews(), torch.randn(2, 4)
    net = trace(module, x)
    for each in (module, net):
        each.zero_grad()
    (own,) = torch.autograd.grad(module(y := x.clone().requires_grad_()).square().sum(), y)
    (other,) = torch.autograd.grad(net(y).square().sum(), y)
    assert torch.allclose(own, other)


# Sizes


class ByLength(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x)) / len(x)


class ViewedByLength(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).view(len(x), -1))


class ByRow(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.last(F.relu(row)) for row in self.first(x)])


class ByUnbind(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([F.relu(row) for row in self.last(self.first(x)).unbind(0)])


class BySplit(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(row) for row in self.last(self.first(x)).split(1)])


class ByChunk(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(row) for row in torch.chunk(self.last(self.first(x)), 4)])


class ByNumel(Holding):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x)) if x.numel() > 8 else self.first(x)


SIZED = [ByLength, ViewedByLength, ByRow, ByUnbind, BySplit, ByChunk, ByNumel]


@pytest.mark.parametrize("build", SIZED)
def test_a_size_that_python_asked_for_is_told(build: Callable[[], nn.Module]) -> None:
    module = build()
    try:
        _, texts = told(module, torch.randn(2, 4))
    except ConversionError:
        pytest.fail("refused")
    assert any("depends on the size of its input (here.py:" in text for text in texts)


@pytest.mark.parametrize("build", SIZED)
def test_a_module_in_which_python_asked_for_a_size_stays_whole(build: Callable[[], nn.Module]) -> None:
    module = Wrapped(build())
    net, texts = told(module, torch.randn(2, 4))
    assert net.inner is module.inner
    assert texts == []
    assert torch.equal(net(x := torch.randn(5, 4)), module(x))


def test_the_parts_of_a_fixed_number_are_no_size() -> None:
    class Gated(Holding):
        def forward(self, x: Tensor) -> Tensor:
            left, right = self.last(self.first(x)).chunk(2, dim=-1)
            return left * torch.sigmoid(right)

    module = Wrapped(Gated())
    net, texts = told(module, torch.randn(2, 4))
    assert texts == []
    assert net.inner is not module.inner
    assert torch.equal(net(x := torch.randn(5, 4)), module(x))


class Resized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.down(x))
        if y.shape != x.shape:
            y = F.interpolate(y, size=x.shape[-2:])
        return y + x


def test_a_branch_for_odd_sizes_is_told() -> None:
    _, texts = told(Resized(), torch.randn(1, 3, 32, 32))
    assert len(texts) == 1
    assert "depends on the size of its input (here.py:" in texts[0]
    _, texts = told(Resized(), torch.randn(1, 3, 33, 33))
    assert len(texts) == 1


class Halved(nn.Module):
    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool, self.up = pool, Resized()

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.pool(x))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(2, ceil_mode=True)])
def test_a_branch_for_odd_sizes_behind_a_pool_is_noticed(pool: nn.Module) -> None:
    module = Halved(nn.Sequential(pool, pool))
    net, texts = told(module, torch.randn(1, 3, 64, 64))
    assert net.up is module.up
    assert texts == []


def test_a_module_with_a_branch_for_odd_sizes_stays_whole() -> None:
    module = Wrapped(Resized())
    net, texts = told(module, torch.randn(1, 3, 32, 32))
    assert net.inner is module.inner
    assert texts == []
    assert torch.equal(net(x := torch.randn(2, 3, 33, 33)), module(x))


# Modes


class KeepsFrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.bn = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.linear(x))

    def train(self, mode: bool = True) -> KeepsFrozen:
        super().train(mode)
        self.bn.eval()
        return self


class Standard(KeepsFrozen):
    def train(self, mode: bool = True) -> Standard:
        nn.Module.train(self, mode)
        return self


class Warmer(KeepsFrozen):
    warmth = 1.0

    def train(self, mode: bool = True) -> Warmer:
        nn.Module.train(self, mode)
        self.warmth = 2.0 if mode else 1.0
        return self


class SwitchesInside(KeepsFrozen):
    train = nn.Module.train

    def forward(self, x: Tensor) -> Tensor:
        self.bn.eval()
        return self.bn(self.linear(x))


@pytest.mark.parametrize("build", [KeepsFrozen, SwitchesInside])
def test_a_module_that_sets_the_mode_of_its_layers_stays_whole(build: Callable[[], nn.Module]) -> None:
    module = Wrapped(build())
    net, texts = told(module, torch.randn(3, 4))
    assert net.inner is module.inner
    assert texts == []
    net.train()
    net(torch.randn(3, 4))
    assert not net.inner.bn.training


def test_a_network_that_sets_the_mode_of_its_layers_is_told() -> None:
    _, texts = told(KeepsFrozen().train(), torch.randn(3, 4))
    assert texts == ["trace(KeepsFrozen): the class has a train() of its own, which is no part of the result."]
    _, texts = told(SwitchesInside().eval(), torch.randn(3, 4))
    assert len(texts) == 1
    assert "the forward itself calls train() or eval() (here.py:" in texts[0]


def test_a_train_that_does_as_all_do_is_not_told() -> None:
    module = Standard()
    assert told(module, torch.randn(3, 4))[1] == []
    assert module.training
    assert len(told(Warmer(), torch.randn(3, 4))[1]) == 1


def test_the_modes_of_the_module_stay_as_they_are() -> None:
    module = SwitchesInside().train()
    told(module, torch.randn(3, 4))
    assert module.bn.training


# The order of parameters


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l, self.gate = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(x)) * self.l(x)


@pytest.mark.parametrize("read", [trace, from_forward])
def test_parameters_in_another_order_are_told_once(read: Callable[..., nn.Module]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = read(Gate(), torch.randn(2, 4))
    assert next(name for name, _ in net.named_parameters()) == "gate.weight"
    assert len(caught) == 1
    assert "an optimizer's checkpoint goes by" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_parameters_in_the_same_order_are_not_told() -> None:
    assert told(Holding())[1] == []
    tied = Holding()
    tied.last = tied.first
    assert told(copy.deepcopy(tied))[1] == []
    frozen = Gate().requires_grad_(False)
    assert len(told(frozen)[1]) == 1


# Advice


class Part(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y[:, 1:3]
        z += 1
        return y


class Clamped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h = x * 2
        h.data.clamp_(0)
        return h


class Activated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y[:, 1:3]
        self.act(z)
        return y


class ByFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y[:, 1:3]
        F.relu(z, inplace=True)
        return y


@pytest.mark.parametrize(
    ("build", "advice"),
    [(Part, "z += 1"), (Clamped, "h.data.clamp_(0)"), (Activated, "inplace=False"), (ByFunction, "inplace=False")],
)
def test_the_advice_about_an_overwritten_value_fits_the_code(build: Callable[[], nn.Module], advice: str) -> None:
    module = nn.Sequential(nn.Linear(4, 4), build())
    with pytest.raises(ConversionError, match="was overwritten in place") as caught:
        trace(hand.Around(nn.Sequential(module, Outer(build()))))
    text = str(caught.value)
    assert advice in text
    assert ("Write inplace=False." in text) == (advice == "inplace=False")
    assert ("out of place: y = y + ..." in text) == (advice != "inplace=False")


class Outer(nn.Module):
    """Has a layer of its own, so that it is refused and does not stay whole."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.linear = inner, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return type(self.inner).forward(self, self.linear(x))

    def act(self, x: Tensor) -> Tensor:
        return self.inner.act(x)
