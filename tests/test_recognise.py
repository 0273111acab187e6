"""Parts that are exactly a block are written as it; whatever is only like one stays in words."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from skipseq import (
    Branches,
    DenseBlock,
    Residual,
    Sequential,
    UNet,
    add,
    call,
    cat,
    here,
    mul,
    pick,
    save,
    sub,
    take,
    via,
)
from skipseq.bridges.forward.recognise import recognised
from skipseq.declare.held import Held
from skipseq.views.text import one_line

from .helpers import Wrapper, everything_called, linear, relu_, x
from .random_networks import Network, networks, shrink
from .same_network import assert_pastes, pasted
from .test_random_wirings import assert_same

#: Parts in words, and what they print as.
PARTS: dict[str, tuple[Callable[[], Sequential], str]] = {
    "residual": (lambda: Sequential(linear(), nn.Tanh(), add("input")), "Residual(L, nn.Tanh())"),
    "residual written out": (lambda: Sequential(linear(), add(here, "input")), "Residual(L)"),
    "the input comes first": (lambda: Sequential(linear(), add("input", here)), "Residual(L)"),
    "the input comes first in a product": (lambda: Sequential(linear(), mul("input", here)), "Residual(L, join=mul)"),
    "names": (lambda: Sequential(("conv", linear()), nn.Tanh(), add("input")), "Residual(('conv', L), nn.Tanh())"),
    "shortcut": (
        lambda: Sequential(linear(), ("shortcut", add(via("input", linear())))),
        "Residual(L, shortcut=L)",
    ),
    "shortcut of another name": (
        lambda: Sequential(linear(), ("downsample", add(via("input", linear(), nn.Tanh())))),
        "Residual(L, shortcut=('downsample', [L, nn.Tanh()]))",
    ),
    "shortcut of one layer of another name, first": (
        lambda: Sequential(linear(), ("down", add(via("input", linear()), here))),
        "Residual(L, shortcut=('down', L))",
    ),
    "shortcut that is a chain": (
        lambda: Sequential(linear(), ("shortcut", add(via("input", nn.Sequential(linear(), nn.Tanh()))))),
        "Residual(L, shortcut=[nn.Sequential(L, nn.Tanh())])",
    ),
    "sub": (lambda: Sequential(linear(), sub("input")), "Residual(L, join=sub)"),
    "options": (lambda: Sequential(linear(), add("input", broadcast=True)), "Residual(L, join=add(broadcast=True))"),
    "like": (
        lambda: Sequential(linear(), add("input", fit="crop", like="input")),
        "Residual(L, join=add(fit='crop', like='input'))",
    ),
    "the input under a label": (lambda: Sequential(save("h"), linear(), add("h")), "Residual(save('h'), L)"),
    "a layer called again": (
        lambda: Sequential(("a", linear()), nn.Tanh(), call("a"), add("input")),
        "Residual(('a', L), nn.Tanh(), call('a'))",
    ),
    "words inside": (
        lambda: Sequential(linear(), save("h"), torch.tanh, call(torch.maximum, "h"), pick[:], add("input")),
        "Residual(L, save('h'), torch.tanh, call(torch.maximum, 'h'), pick[:])",
    ),
    "branches": (
        lambda: Sequential(linear(), take("input"), linear(), take("input"), nn.Tanh(), cat("0", "1", here)),
        "Branches(L, L, nn.Tanh())",
    ),
    "named branches": (
        lambda: Sequential(("a", linear()), take("input"), ("b", linear()), cat("a", here, dim=-1)),
        "Branches(('a', L), ('b', L), join=cat(dim=-1))",
    ),
    "a sum of branches": (
        lambda: Sequential(linear(), take("input"), nn.Identity(), add("0", here)),
        "Branches(L, nn.Identity(), join=add)",
    ),
    "a sum of two branches, the second first": (
        lambda: Sequential(linear(), take("input"), nn.Identity(), add("0")),
        "Branches(L, nn.Identity(), join=add)",
    ),
    "branches of calls": (
        lambda: Sequential(call(torch.pow, here, 2.0), take("input"), call(torch.maximum, "input"), cat("0", here)),
        "Branches(call(torch.pow, here, 2.0), call(torch.maximum, 'input'))",
    ),
    "dense block": (
        lambda: Sequential(linear(), cat("input", here), save("dense_1"), linear(8), cat("dense_1", here)),
        "DenseBlock(L, nn.Linear(8, 4))",
    ),
    "chain": (lambda: Sequential(linear(), nn.Tanh()), "nn.Sequential(L, nn.Tanh())"),
}

#: Parts that are like a block, but not it.
NEAR_MISSES: dict[str, Callable[[], Sequential]] = {
    "a layer behind": lambda: Sequential(linear(), add("input"), nn.ReLU()),
    "other order of a cat of three": lambda: Sequential(
        linear(), take("input"), linear(), take("input"), linear(), cat("1", "0", here)
    ),
    "other order of a cat": lambda: Sequential(linear(), take("input"), linear(), cat("0")),
    "other order of a difference": lambda: Sequential(linear(), sub("input", here)),
    "other order of a sum with a fit": lambda: Sequential(linear(), add("input", here, fit="crop", like=here)),
    "other order of a sum with a fit alone": lambda: Sequential(linear(), add("input", here, fit="crop")),
    "the sum has a name": lambda: Sequential(linear(), ("sum", add("input"))),
    "a sum of three": lambda: Sequential(linear(), save("h"), linear(), add(here, "h", "input")),
    "another value than the input": lambda: Sequential(linear(), save("h"), linear(), add("h")),
    "another base of the shortcut": lambda: Sequential(linear(), save("h"), linear(), ("shortcut", add(via("h", linear())))),
    "shortcut behind both": lambda: Sequential(linear(), ("shortcut", add(via(here, linear()), "input"))),
    "shortcut of a number": lambda: Sequential(linear(), ("shortcut", add(via("input", linear())))).with_outputs("shortcut"),
    "a word without a name that has layers": lambda: Sequential(linear(), add(via("input", linear()))),
    "branches with a save between": lambda: Sequential(linear(), save("h"), take("input"), linear(), cat("h", here)),
    "branches of two layers": lambda: Sequential(linear(), nn.Tanh(), take("input"), linear(), cat("1", here)),
    "branches over another value": lambda: Sequential(
        ("a", linear()), take("input"), ("b", linear()), take("a"), ("c", linear()), cat("a", "b", here)
    ),
    "a dense block of one layer": lambda: Sequential(linear(), cat("input", here)),
    "a dense block with another label": lambda: Sequential(linear(), cat("input", here), save("h"), linear(8), cat("h", here)),
    "a dense block that forgets the input": lambda: Sequential(
        linear(), cat("input", here), save("dense_1"), linear(8), cat("0", here)
    ),
    "inputs": lambda: Sequential(linear(), call(torch.maximum, "t"), add("input"), inputs=("x", "t")),
    "inputs alone": lambda: Sequential(linear(), add("x"), inputs=("x",)),
    "outputs": lambda: Sequential(("a", linear()), add("input"), outputs="a"),
    "chain with names": lambda: Sequential(("a", linear()), ("b", nn.Tanh())),
    "chain with an input of another name": lambda: Sequential(linear(), nn.Tanh(), inputs=("x",)),
    "chain with a function": lambda: Sequential(linear(), torch.tanh),
    "chain with an output": lambda: Sequential(("0", linear()), nn.Tanh(), outputs="0"),
}


def short(net: nn.Module) -> str:
    """What a part prints, on one line."""
    return one_line(net).replace("nn.Linear(4, 4)", "L")


def assert_same_but_for_blocks(net: Sequential, *given: Tensor, **named: Tensor) -> Sequential:
    """Recognising changes nothing but the way in which parts are written, and nothing at all a second time."""
    text = repr(net)
    result = recognised(net)
    assert repr(net) == text, "the given network was changed"
    assert list(result.state_dict()) == list(net.state_dict())
    assert [id(each) for each in result.parameters()] == [id(each) for each in net.parameters()]
    assert [name for name, _ in result.named_modules()] == [name for name, _ in net.named_modules()]
    for one, other in zip(outcome(net, given, named), outcome(result, given, named), strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    assert repr(recognised(result)) == repr(result)
    return result


def outcome(net: Sequential, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> list[Any]:
    """Outputs, and the gradients of inputs and parameters."""
    leaves = [each.detach().requires_grad_() for each in (*given, *named.values())]
    result = net(*leaves[: len(given)], **dict(zip(named, leaves[len(given) :], strict=True)))
    outputs = result if isinstance(result, tuple) else (result,)
    total = sum((output * output).sum() for output in outputs)
    return [*outputs, *torch.autograd.grad(total, [*leaves, *net.parameters()], allow_unused=True)]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_written_as_the_block_that_it_is(name: str) -> None:
    build, text = PARTS[name]
    part = build()
    net = Sequential(("part", part), nn.Tanh())
    result = assert_same_but_for_blocks(net, x())
    assert short(result.part) == text
    assert result.part(x()).shape == part(x()).shape
    assert_pastes(result, x())


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_is_only_like_a_block_stays_in_words(name: str) -> None:
    part = NEAR_MISSES[name]()
    named = {"t": x()} if "t" in part.wiring.inputs else {}
    assert repr(recognised(part)) == repr(part)
    assert_same_but_for_blocks(part, x(), **named)
    net = Sequential(("part", call(part, here, "t")), inputs=("x", "t")) if named else Sequential(("part", part))
    assert type(recognised(net).part) is Sequential


# Inside one another, and what is kept


def tower() -> Sequential:
    """Blocks in blocks, in a shortcut, in a chain and behind a call, all in words."""
    inner = Sequential(linear(), nn.Tanh(), add("input"))
    branches = Sequential(inner, take("input"), Sequential(linear(), nn.Tanh()), add("0", here))
    return Sequential(
        ("first", Sequential(branches, linear(), ("short", add(via("input", Sequential(linear(), add("input"))))))),
        ("chain", nn.Sequential(Sequential(linear(), mul("input")), nn.Tanh())),
        ("called", call(Sequential(linear(), call(torch.maximum, "t"), add("input")), here, t="first")),
        add("input"),
    )


def test_blocks_inside_blocks() -> None:
    result = assert_same_but_for_blocks(tower(), x())
    assert short(result) == (
        "Residual("
        "('first', Residual(Branches(Residual(L, nn.Tanh()), nn.Sequential(L, nn.Tanh()), join=add), L,"
        " shortcut=('short', Residual(L)))), "
        "('chain', nn.Sequential(Residual(L, join=mul), nn.Tanh())), "
        "('called', call(Residual(L, call(torch.maximum, 't')), here, t='first')))"
    )
    assert_pastes(result, x())


def test_every_part_may_be_called() -> None:
    net = tower()
    result, given = recognised(net), x()
    with everything_called(result):
        assert torch.equal(result(given), net(given))
    assert torch.equal(pickle.loads(pickle.dumps(result))(given), net(given))
    assert torch.equal(copy.deepcopy(result)(given), net(given))


def test_needs_and_inner_values_are_kept() -> None:
    net = Sequential(
        ("down", Sequential(("conv", linear()), save("h"), nn.Tanh(), add("input"))),
        ("up", Sequential(linear(), mul("h"), add("down.conv"), add("input"))),
        ("left", Sequential(linear(), nn.Tanh())),
        add("h", here, "left.0"),
    )
    result = assert_same_but_for_blocks(net, x())
    assert type(result.down) is type(result.up) is Residual
    assert type(result.left) is Sequential, "a part whose inner values are read stays ours"
    with everything_called(result):
        given = x()
        assert torch.equal(result(given), net(given))
    assert list(recognised(net.up).wiring.needs) == ["h", "down.conv"]


def test_a_part_around_one_that_needs_a_value_stays_ours() -> None:
    net = Sequential(linear(), save("h"), ("part", Sequential(Sequential(linear(), mul("h")), nn.Tanh())))
    assert type(assert_same_but_for_blocks(net, x()).part) is Sequential
    net = Sequential(("part", Sequential(Sequential(linear(), save("h")), nn.Tanh())), mul("h"))
    assert type(assert_same_but_for_blocks(net, x()).part) is Sequential
    net = Sequential(("part", Sequential(Sequential(linear(), nn.Tanh()), nn.Tanh())), mul("part.0.0"))
    result = assert_same_but_for_blocks(net, x())
    assert type(result.part) is type(result.part[0]) is Sequential


def test_inputs_and_outputs_are_kept() -> None:
    part = Sequential(linear(), nn.Tanh(), add("input"))
    net = Sequential(("a", part), add("t"), inputs=("x", "t"), outputs=("a", "add_0"))
    result = assert_same_but_for_blocks(net, x(), x())
    assert type(result.a) is Residual
    assert short(result).endswith("inputs=('x', 't'), outputs=('a', 'add_0'))")


def test_hooks_flags_and_attributes_are_kept() -> None:
    calls: list[str] = []
    net = tower().train()
    net.first.eval()
    net.first.note = "kept"
    net.first.register_forward_hook(lambda *_: calls.append("first"))
    net.chain[0].register_forward_hook(lambda *_: calls.append("chain"))
    result = recognised(net)
    assert [each.training for each in result.modules()] == [each.training for each in net.modules()]
    assert result.first.note == "kept"
    result(x())
    assert calls == ["first", "chain"]


def test_a_part_at_two_places_stays_one() -> None:
    part = Sequential(linear(), add("input"))
    result = assert_same_but_for_blocks(Sequential(part, nn.Tanh(), part), x())
    assert type(result[0]) is Residual
    assert result[0] is result[2]


def test_a_part_that_is_called_again() -> None:
    net = Sequential(
        ("head", Sequential(Sequential(linear(), add("input")), nn.Tanh())), nn.Tanh(), call("head"), call("head.0")
    )
    result = assert_same_but_for_blocks(net, x())
    assert short(result.head) == "nn.Sequential(Residual(L), nn.Tanh())"


def test_parts_that_are_held_and_called_by_name() -> None:
    held = Held(Sequential(linear(), add("input")), Sequential(linear(), nn.Tanh()))
    net = Sequential(("held", held), call("held.1"), nn.Tanh(), call("held.0"), call("held.1"))
    result = assert_same_but_for_blocks(net, x())
    assert [type(each) for each in result.held.children()] == [Residual, nn.Sequential]
    assert [type(each) for each in held.children()] == [Sequential, Sequential]


def test_what_is_not_ours_to_open_stays() -> None:
    class Mine(Sequential):
        """A class of the user's."""

    wrapper = Wrapper(Sequential(linear(), add("input")))
    replaced = Sequential(linear(), add("input"))
    replaced.forward = torch.sin  # type: ignore[method-assign]
    net = Sequential(wrapper, Mine(Sequential(linear(), add("input")), add("input")), replaced)
    result = assert_same_but_for_blocks(net, x())
    assert result[0] is wrapper
    assert type(result[1]) is Mine
    assert type(result[1][0]) is Residual
    assert result[2] is replaced


def test_a_projection_keeps_its_weights() -> None:
    net = Sequential(("part", Sequential(linear(4, 6), add("input", project=True))), nn.Tanh())
    net(x())
    result = assert_same_but_for_blocks(net, x())
    assert short(result.part) == "Residual(nn.Linear(4, 6), join=add(project=True))"
    first = Sequential(linear(4, 6), add("input", here, project=True))
    first(x())
    assert type(assert_same_but_for_blocks(first, x())) is Sequential


def test_a_chain_has_nothing_of_ours() -> None:
    net = Sequential(Sequential(linear(), nn.Tanh()), Sequential())
    result = assert_same_but_for_blocks(net, x())
    assert vars(result[0]).keys() == vars(nn.Sequential()).keys()
    assert short(result) == "Sequential(nn.Sequential(L, nn.Tanh()), Sequential())"


def test_a_network_of_nothing_or_of_layers_alone_stays_ours() -> None:
    assert type(assert_same_but_for_blocks(Sequential(), x())) is Sequential
    assert type(assert_same_but_for_blocks(Sequential(linear(), nn.Tanh()), x())) is Sequential


def test_a_block_stays_the_block_that_it_is() -> None:
    unet = UNet([Sequential(linear(), add("input"))], linear(), [linear(8)])
    result = assert_same_but_for_blocks(Sequential(unet, relu_()), x())
    assert type(result[0]) is UNet
    assert type(result[0].encoder_1) is Residual


def test_words_that_follow_an_edit() -> None:
    """Numbers of layers and words that are not those of a new sequence are written as names."""
    part = Sequential(("1", linear()), ("0", nn.Tanh()), add("input"))
    assert short(recognised(part)) == "Residual(('1', L), ('0', nn.Tanh()))"
    part = Sequential(linear(), ("add_3", add("input")))
    assert type(recognised(part)) is Sequential
    assert list(recognised(part)._modules) == ["0", "add_3"]


# Random networks


@given(networks())
@settings(max_examples=100)
def test_random_networks_stay_the_same(network: Network) -> None:
    result = recognised(network.net)
    assert list(result.state_dict()) == list(network.net.state_dict())
    assert_same(Network(result, network.operations, network.inputs, network.outputs), result)
    assert repr(recognised(result)) == repr(result)


@st.composite
def blocks(draw: Callable[..., Any], depth: int = 2) -> nn.Module:
    """Blocks inside blocks, every value of the shape (batch, 8)."""

    def some(count: int) -> list[Any]:
        layers = [draw(blocks(depth - 1)) for _ in range(count)]
        named = draw(st.booleans())
        return [(f"layer_{'abcd'[i]}", layer) if named else layer for i, layer in enumerate(layers)]

    kind = draw(st.sampled_from(["linear", "tanh", "residual", "shortcut", "branches", "dense", "chain"]))
    if depth == 0 or kind in ("linear", "tanh"):
        return nn.Tanh() if kind == "tanh" else linear(8, 8)
    count = draw(st.integers(1, 3))
    if kind == "residual":
        return Residual(*some(count), join=draw(st.sampled_from([add, mul, sub, add(broadcast=True)])))
    if kind == "shortcut":
        several = [draw(blocks(depth - 1)) for _ in range(draw(st.integers(1, 2)))]
        shortcut = several if len(several) > 1 or type(several[0]) is nn.Sequential else several[0]
        name = draw(st.sampled_from(["shortcut", "downsample"]))
        return Residual(*some(count), shortcut=shortcut if name == "shortcut" else (name, shortcut))
    if kind == "branches":
        return Branches(*some(count + 1), join=draw(st.sampled_from([add, mul, add(broadcast=True)])))
    if kind == "dense":
        widths = [8 * (i + 1) for i in range(count + 1)]
        return Sequential(DenseBlock(*(linear(width, 8) for width in widths)), shrink)
    return nn.Sequential(*(draw(blocks(depth - 1)) for _ in range(count)))


@given(blocks(3))
@settings(max_examples=100)
def test_blocks_written_out_in_words_are_the_blocks_again(block: nn.Module) -> None:
    net = Sequential(("block", block), nn.Tanh())
    words = pasted(net.as_words(), shrink=shrink)
    words.load_state_dict(net.state_dict())
    result = assert_same_but_for_blocks(words, torch.randn(3, 8))
    assert repr(result) == repr(net)
