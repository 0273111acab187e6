"""Rule 2: words are children too: a walk over the children as a plain chain raises instead of dropping a skip."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential

from skipseq import Residual, Sequential, UNet, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.errors import SkipseqError, WordError

WORDS: dict[str, Callable[[], Any]] = {
    "save": lambda: save("y"),
    "cat": lambda: cat("x"),
    "add": lambda: add("x"),
    "sub": lambda: sub("x"),
    "mul": lambda: mul("x"),
    "mul by a number": lambda: mul(0.5),
    "take": lambda: take("x"),
    "call": lambda: call(nn.Bilinear(4, 4, 4), "x"),
    "call of the running value": lambda: call(nn.Linear(4, 4), here),
    "call of a function": lambda: call(torch.maximum, "x"),
    "via": lambda: add(via("x", nn.Linear(4, 4))),
}


def net_with(word: Any) -> Sequential:
    return Sequential(nn.Linear(4, 4), save("x"), nn.Tanh(), word, nn.Identity())


def walk_iterated(net: nn.Sequential, x: Tensor) -> Any:
    for layer in net:
        x = layer(x)
    return x


def walk_indexed(net: nn.Sequential, x: Tensor) -> Any:
    for i in range(len(net)):
        x = net[i](x)
    return x


def walk_children(net: nn.Sequential, x: Tensor) -> Any:
    for layer in net.children():
        x = layer(x)
    return x


def walk_named(net: nn.Sequential, x: Tensor) -> Any:
    for _, layer in net.named_children():
        x = layer(x)
    return x


def walk_modules(net: nn.Sequential, x: Tensor) -> Any:
    for layer in net._modules.values():
        assert layer is not None
        x = layer(x)
    return x


WALKERS: dict[str, Callable[[nn.Sequential, Tensor], Any]] = {
    "for layer in net": walk_iterated,
    "net[i]": walk_indexed,
    "children()": walk_children,
    "named_children()": walk_named,
    "_modules": walk_modules,
    "nn.Sequential(*net)": lambda net, x: nn.Sequential(*net)(x),
    "nn.Sequential(*children)": lambda net, x: nn.Sequential(*net.children())(x),
    "nn.Sequential(OrderedDict)": lambda net, x: nn.Sequential(OrderedDict(net.named_children()))(x),
    "nn.Sequential.forward": lambda net, x: nn.Sequential.forward(net, x),
    "checkpoint_sequential": lambda net, x: checkpoint_sequential(net, 2, x.requires_grad_(), use_reentrant=False),
    "checkpoint_sequential of a list": lambda net, x: checkpoint_sequential(list(net), 1, x, use_reentrant=False),
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("walk", WALKERS.values(), ids=WALKERS)
def test_every_walker_raises(walk: Callable[[nn.Sequential, Tensor], Any], word: Callable[[], Any]) -> None:
    net = net_with(word())
    x = torch.randn(2, 4)
    net(x.clone())
    with pytest.raises(WordError):
        walk(net, x)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("walk", WALKERS.values(), ids=WALKERS)
def test_also_where_the_walk_begins_at_the_word(walk: Callable[[nn.Sequential, Tensor], Any], word: Callable[[], Any]) -> None:
    """The word alone, not the save before it, makes the walker raise: here the value comes from outside."""
    net = Sequential(word(), nn.Identity())
    with pytest.raises(SkipseqError):
        walk(net, torch.randn(2, 4))


@pytest.mark.parametrize("walk", WALKERS.values(), ids=WALKERS)
def test_a_sequence_without_words_is_walked_as_ever(walk: Callable[[nn.Sequential, Tensor], Any]) -> None:
    net = Sequential(nn.Linear(4, 4), nn.Tanh(), pick[:, :2], nn.Linear(2, 2))
    x = torch.randn(3, 4)
    assert torch.equal(walk(net, x), net(x))


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_word_raises_on_its_own(word: Callable[[], Any]) -> None:
    with pytest.raises(WordError, match=r"(?s)called on its own.*Write skipseq\.Sequential\(") as caught:
        word()(torch.zeros(2, 4))
    assert isinstance(caught.value, TypeError)
    with pytest.raises(WordError):
        word()()
    with pytest.raises(WordError):
        word()(torch.zeros(2), torch.zeros(2), y=1)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_an_entry_taken_out_says_which_word_it_is(word: Callable[[], Any]) -> None:
    net = net_with(word())
    kind = str(net[3]).partition("(")[0]
    with pytest.raises(WordError, match=rf"\b{kind}\("):
        net[3](torch.zeros(2, 4))


def test_words_are_children_under_keys_that_are_not_numbers() -> None:
    net = Sequential(
        nn.Linear(4, 4), save("x"), nn.Tanh(), add("x"), add("0"), mul(0.5), call(nn.Linear(4, 4), here), take("x")
    )
    for key, child in net.named_children():
        is_layer = isinstance(child, nn.Linear | nn.Tanh)
        assert key.isdigit() == is_layer, key
    assert [key for key in net._modules if key.isdigit()] == ["0", "1", "2"]
    assert len({*net._modules}) == len([*net.children()])


def test_len_index_and_iteration_count_words() -> None:
    first, second, third = nn.Linear(4, 4), nn.Tanh(), nn.Bilinear(4, 4, 4)
    net = Sequential(first, save("x"), second, add("x"), call(third, "x"), take("x"))
    assert len(net) == 6
    texts = [repr(entry).partition("(")[0] for entry in net]
    assert texts == ["Linear", "save", "Tanh", "add", "call", "take"]
    assert [repr(net[i]) for i in range(6)] == [repr(entry) for entry in net]
    assert [repr(net[i]) for i in range(-6, 0)] == [repr(entry) for entry in net]
    assert net[0] is first
    assert net[2] is second
    with pytest.raises(IndexError):
        net[6]


def test_the_entries_put_together_again_are_the_same_network() -> None:
    """Iteration gives what the constructor takes: Sequential(*net) loses nothing."""
    net = Sequential(nn.Linear(4, 4), save("x"), nn.Tanh(), call(nn.Bilinear(4, 4, 4), "x"), add(via("x", nn.Linear(4, 4))))
    again = Sequential(*net)
    x = torch.randn(2, 4)
    assert torch.equal(again(x), net(x))
    assert list(again.state_dict()) == list(net.state_dict())
    again = Sequential(*(net[i] for i in range(len(net))))
    assert torch.equal(again(x), net(x))


@pytest.mark.parametrize("walk", WALKERS.values(), ids=WALKERS)
@pytest.mark.parametrize(
    "block",
    [
        lambda: Residual(nn.Linear(4, 4)),
        lambda: Residual(nn.Linear(4, 4), shortcut=nn.Linear(4, 4)),
        lambda: UNet([nn.Linear(4, 4)], nn.Identity(), [nn.Linear(8, 4)]),
    ],
    ids=["Residual", "Residual with shortcut", "UNet"],
)
def test_walking_a_block_raises_too(walk: Callable[[nn.Sequential, Tensor], Any], block: Callable[[], nn.Sequential]) -> None:
    net = block()
    net(torch.randn(2, 4))
    with pytest.raises(WordError):
        walk(net, torch.randn(2, 4))


def test_a_walker_that_meets_a_part_with_needs_raises() -> None:
    """The skip crosses from one part into the other: walked as a chain, the second says what it lacks."""
    net = Sequential(
        ("encoder", Sequential(nn.Linear(4, 4), save("x1"), nn.Tanh())),
        ("decoder", Sequential(nn.Linear(4, 4), add("x1"))),
    )
    x = torch.randn(2, 4)
    net(x)
    for walk in WALKERS.values():
        with pytest.raises(TypeError, match="x1"):
            walk(net, x)


def test_plain_functions_that_take_a_sequence_apart_keep_the_words() -> None:
    """What copies children by name copies the words, and the copy in a plain nn.Sequential still raises."""
    net = net_with(add("x"))
    plain = nn.Sequential()
    for name, child in net.named_children():
        plain.add_module(name, child)
    with pytest.raises(WordError):
        plain(torch.randn(2, 4))
