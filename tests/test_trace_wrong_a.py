"""Forwards that make values of their own, change values in place or project a shortcut: the words must compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipseq.bridges.forward.trace import trace
from tests.test_trace import assert_same, images


class Around(nn.Module):
    """A linear layer, and a function that computes something with it."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.compute = compute

    def forward(self, x: Tensor) -> Any:
        return self.compute(self.fc, x)


class Pair(Around):
    """The same with two inputs."""

    def forward(self, x: Tensor, t: Tensor) -> Any:  # type: ignore[override]
        return self.compute(self.fc, x, t)


def assert_traced(module: nn.Module, *inputs: tuple[Tensor, ...]) -> str:
    """The text of the network in words, which gives what the module gives."""
    module = module.double()
    net = trace(module, *inputs[0])
    for each in inputs:
        assert_same(net, module, each)
    return str(net)


# Values that a forward makes itself


def noise_later(fc: nn.Module, x: Tensor) -> Tensor:
    noise = torch.randn(4)
    return F.dropout(fc(x), 0.5, True) * noise


def returned_too(fc: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    steps = torch.arange(x.shape[1])
    return fc(x) * steps, steps


MADE: dict[str, Callable[..., Any]] = {
    "tensor": lambda fc, x: fc(x) + torch.tensor([1.0, 2.0, 3.0, 4.0])[None],
    "arange": lambda fc, x: fc(x) * torch.arange(x.shape[1])[None, :],
    "column": lambda fc, x: fc(x) * torch.arange(x.shape[0])[:, None],
    "randn": lambda fc, x: fc(x) + torch.randn(4)[None],
    "random in order": noise_later,
    "triangle": lambda fc, x: fc(x) @ torch.ones(4, 4, dtype=torch.double).tril()[:, :2],
    "read twice": lambda fc, x: (lambda mask: fc(x) * mask + mask)(torch.arange(x.shape[1])[None]),
    "read at the end": lambda fc, x: (lambda mask: torch.tanh(fc(x) * mask) + mask)(torch.randn(4)),
    "in a layer": lambda fc, x: fc(x) + fc(torch.ones(1, 4, dtype=torch.double)[:, :]),
    "a part": lambda fc, x: fc(x) + torch.split(torch.arange(8), 4)[1],
    "returned": returned_too,
}


@pytest.mark.parametrize("name", MADE)
def test_a_value_that_the_forward_makes_is_not_taken_for_the_input(name: str) -> None:
    assert_traced(Around(MADE[name]), images(2, 4), images(3, 4))


def test_a_mask_is_made_of_lengths() -> None:
    module = Pair(lambda fc, x, lengths: fc(x) * (torch.arange(x.shape[1])[None, :] < lengths[:, None]))
    text = assert_traced(module, (*images(2, 4), torch.tensor([1, 3])), (*images(3, 4), torch.tensor([4, 2, 0])))
    assert "torch.arange(x.shape[1])[None, :] < " in text


# Values that go through something before a join takes them

JOINED: dict[str, Callable[..., Any]] = {
    "one more": lambda fc, x, t: fc(x) * (1 + t),
    "between": lambda fc, x, t: fc(x) * (1 + t.tanh()) + t,
    "part": lambda fc, x, t: fc(x) * t[:, :1],
    "part of a sum": lambda fc, x, t: fc(x) * (t + 1)[:, :1],
    "negative": lambda fc, x, t: fc(x) - (2 - t),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_join_with_a_constant_stands_before_the_join_that_reads_it(name: str) -> None:
    assert_traced(Pair(JOINED[name]), (*images(2, 4), *images(2, 4)), (*images(3, 4), *images(3, 4)))


@pytest.mark.parametrize("name", ["float", "double", "half", "long", "int", "bool", "bfloat16", "short"])
def test_a_value_is_converted(name: str) -> None:
    assert_traced(Around(lambda fc, x: fc(x) * getattr(x * 2, name)().to(x.dtype)), images(2, 4), images(3, 4))
    net = trace(Around(lambda fc, x: getattr(fc(x), name)()), torch.zeros(2, 4))
    assert net(torch.randn(2, 4)).dtype == getattr(torch.zeros(1), name)().dtype


# Values that are changed in place


def changed(change: Callable[[Tensor], Any]) -> Callable[..., Any]:
    """A forward that changes what its layer gives."""

    def compute(fc: nn.Module, x: Tensor) -> Tensor:
        h = fc(x)
        change(h)
        return h * 2.0

    return compute


def plus(h: Tensor) -> None:
    h += 1.5


def times_own(h: Tensor) -> None:
    h *= h.detach().sigmoid()


CHANGED: dict[str, Callable[[Tensor], Any]] = {
    "requires_grad_": lambda h: h.requires_grad_(),
    "copy_": lambda h: h.copy_(h * 2),
    "copy_ of a row": lambda h: h.copy_(h[:1] * 2),
    "copy_ of another type": lambda h: h.copy_((h * 2).float()),
    "zero_": lambda h: h.zero_(),
    "fill_": lambda h: h.fill_(3.0),
    "gt_": lambda h: h.gt_(0),
    "logical_not_": lambda h: h.logical_not_(),
    "bernoulli_": lambda h: h.bernoulli_(),
    "bernoulli_ of p": lambda h: h.bernoulli_(0.3),
    "normal_": lambda h: h.normal_(),
    "clamp_": lambda h: h.clamp_(-0.1, 0.1),
    "masked_fill_": lambda h: h.masked_fill_(h > 0, 0.5),
    "add_": lambda h: h.add_(1.0, alpha=2.0),
    "+=": plus,
    "*=": times_own,
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_changed_in_place_gives_the_same(name: str) -> None:
    inputs = images(2, 4), images(3, 4)
    module = Around(changed(CHANGED[name])).double()
    net = trace(module, *inputs[0])
    kept = inputs[0][0].clone()
    if name in ("gt_", "logical_not_", "bernoulli_", "bernoulli_ of p", "normal_", "zero_", "fill_"):
        for training in (True, False):
            for given in inputs:
                results = []
                for each in (module, net):
                    torch.manual_seed(0)
                    results.append(each.train(training)(*given))
                assert torch.equal(*results)
                assert results[0].dtype == results[1].dtype
    else:
        for given in inputs:
            assert_same(net, module, given)
    assert torch.equal(inputs[0][0], kept)


def test_a_value_of_another_type_is_added_in_place() -> None:
    def compute(fc: nn.Module, x: Tensor) -> Tensor:
        low = x.float() * 1.5
        low.add_(x)
        return fc(low.to(x.dtype))

    assert_traced(Around(compute), images(2, 4), images(3, 4))


@pytest.mark.parametrize("wanted", [True, False])
def test_whether_an_input_has_gradients_is_up_to_the_forward(wanted: bool) -> None:
    net = trace(Around(lambda fc, x: fc(x.requires_grad_(wanted))), torch.zeros(2, 4))
    assert ".requires_grad" not in str(net)
    x = torch.randn(2, 4, requires_grad=True)
    net(x).sum().backward()
    assert (x.grad is not None) == wanted


def test_operators_in_place_are_written_out_of_place() -> None:
    def compute(fc: nn.Module, x: Tensor) -> Tensor:
        mask = x > 0
        mask |= x < -1
        mask &= x < 2
        mask ^= x > 1
        h = fc(x) * mask
        h **= 2
        h /= 3
        return h

    text = assert_traced(Around(compute), images(2, 4), images(3, 4))
    assert "_(" not in text
    assert all(f" {symbol} " in text for symbol in ("|", "&", "^", "**"))


# Shortcuts of one layer


class Projected(nn.Module):
    """A block whose shortcut is one layer; ``join`` tells how it is written."""

    def __init__(self, join: Callable[..., Tensor], skip: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, padding=1)
        self.c1 = nn.Conv2d(4, 8, 3, padding=1)
        self.c2 = nn.Conv2d(8, 8, 3, padding=1)
        self.skip = skip or nn.Conv2d(4, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def main(net: Any, x: Tensor) -> Tensor:
    return net.c2(F.silu(net.c1(x)))  # type: ignore[no-any-return]


def named_skip() -> nn.Module:
    skip = nn.Sequential()
    skip.add_module("conv", nn.Conv2d(4, 8, 1))
    skip.add_module("norm", nn.BatchNorm2d(8))
    return skip


SHORTCUTS: dict[str, Callable[[], nn.Module]] = {
    "of the input": lambda: Projected(lambda net, x: net.norm(main(net, net.stem(x)) + net.skip(x))),
    "of a layer": lambda: Projected(lambda net, x: (lambda h: net.norm(main(net, h) + net.skip(h)))(net.stem(x))),
    "of a function": lambda: Projected(lambda net, x: (lambda h: net.norm(main(net, h) + net.skip(h)))(net.stem(x).relu())),
    "subtracted": lambda: Projected(lambda net, x: net.norm(main(net, net.stem(x)) - net.skip(x))),
    "on the left": lambda: Projected(lambda net, x: net.norm(net.skip(x) - main(net, net.stem(x)))),
    "two layers": lambda: Projected(lambda net, x: main(net, net.stem(x)) + net.norm(net.skip(x))),
    "of names": lambda: Projected(lambda net, x: net.norm(main(net, net.stem(x)) + net.skip(x)), named_skip()),
    "read twice": lambda: Projected(lambda net, x: (lambda s: net.norm(main(net, net.stem(x)) + s) * s)(net.skip(x))),
}


@pytest.mark.filterwarnings("ignore:.*the keys come in the order of use")
@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_shortcut_of_layers_is_the_skip(name: str) -> None:
    module = SHORTCUTS[name]().double()
    net = trace(module, *images(2, 4, 8, 8))
    assert sorted(net.state_dict()) == sorted(module.state_dict())
    for inputs in (images(2, 4, 8, 8), images(3, 4, 5, 6)):
        assert_same(net, module, inputs)
    givers = [each.giver for each in net.skips]
    assert ("norm" if name == "two layers" else "skip") in givers, str(net)
    assert "c2" not in givers, str(net)


# Branches that stay where they are


def both(net: Any, x: Tensor) -> Tensor:
    return net.c1(x) + net.skip(x)  # type: ignore[no-any-return]


def overwritten(net: Any, x: Tensor) -> Tensor:
    h = net.stem(x)
    y = net.norm(net.skip(F.relu(h, inplace=True)))
    return main(net, h) + y


def of_two(net: Any, x: Tensor) -> Tensor:
    h = net.stem(x)
    y = main(net, h)
    return net.norm(y + net.skip(h * F.adaptive_avg_pool2d(y, 1).mean(1, keepdim=True)))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:.*the keys come in the order of use")
@pytest.mark.parametrize("join", [both, overwritten, of_two])
def test_other_branches_stay_in_order(join: Callable[..., Tensor]) -> None:
    module = Projected(join).double()
    if join is both:
        module.stem = module.c2 = module.norm = nn.Identity()  # type: ignore[assignment]
    net = trace(module, *images(2, 4, 8, 8))
    for inputs in (images(2, 4, 8, 8), images(3, 4, 5, 6)):
        assert_same(net, module, inputs)
    if join is both:
        assert list(net.state_dict()) == list(module.state_dict())


@pytest.mark.filterwarnings("ignore:.*the keys come in the order of use")
def test_the_branch_of_a_projected_shortcut_is_written_first() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c1 = nn.Conv2d(4, 8, 3, padding=1)
            self.c2 = nn.Conv2d(8, 8, 3, padding=1)
            self.skip = nn.Conv2d(4, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.c2(F.silu(self.c1(x))) + self.skip(x)  # type: ignore[no-any-return]

    words = [line.partition("  #")[0].strip() for line in str(trace(Block(), torch.zeros(2, 4, 8, 8))).splitlines()[1:-1]]
    assert words == [
        "('skip', nn.Conv2d(4, 8, 1)),",
        "take('input'),",
        "('c1', nn.Conv2d(4, 8, 3, padding=1)),",
        "nn.SiLU(),",
        "('c2', nn.Conv2d(8, 8, 3, padding=1)),",
        "add('skip'),",
    ]


@pytest.mark.filterwarnings("ignore:.*the keys come in the order of use")
def test_random_numbers_keep_their_order_behind_a_shortcut() -> None:
    def join(net: Any, x: Tensor) -> Tensor:
        return F.dropout(main(net, net.stem(x)), 0.5, True) + net.skip(x)  # type: ignore[no-any-return]

    skip = nn.Sequential()
    skip.add_module("drop", nn.Dropout(0.5))
    skip.add_module("conv", nn.Conv2d(4, 8, 1))
    module = Projected(join, skip)
    module.norm = nn.Identity()  # type: ignore[assignment]
    assert_traced(module, images(2, 4, 8, 8))


class Both(nn.Module):
    """A layer that receives one value twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.mix = nn.Bilinear(4, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return self.mix(x, x) + torch.maximum(x, x)


def test_a_value_that_is_passed_twice() -> None:
    module, value = Both(), torch.randn(3, 4)
    assert torch.equal(trace(module, value)(value), module(value))
