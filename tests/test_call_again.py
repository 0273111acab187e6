"""``call("name")``: a layer of the sequence is called again, with its weights and under its one key."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, save, take, via
from skipseq.declare.functions import Expression
from skipseq.errors import WiringError

from .helpers import everything_called, linear, x


class Folded(nn.Module):
    """What the networks below do, by hand."""

    def __init__(self, fold: nn.Linear) -> None:
        super().__init__()
        self.fold = fold

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.fold(torch.relu(self.fold(x)))) + x


def folded() -> Sequential:
    return Sequential(("fold", linear()), nn.ReLU(), call("fold"), nn.Tanh(), add("input"))


def test_it_computes_what_a_forward_that_calls_a_layer_twice_does() -> None:
    net = folded()
    by_hand = Folded(copy.deepcopy(net.fold))
    value = x()
    assert torch.equal(net(value), by_hand(value))
    net(value).sum().backward()
    by_hand(value).sum().backward()
    assert torch.equal(net.fold.weight.grad, by_hand.fold.weight.grad)
    assert list(net.state_dict()) == list(by_hand.state_dict()) == ["fold.weight", "fold.bias"]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_calls_its_own_layer(again: Any) -> None:
    net = folded()
    other = again(net)
    with torch.no_grad():
        other.fold.weight.zero_()
        other.fold.bias.zero_()
    value = x()
    assert torch.equal(other(value), value)
    assert not torch.equal(net(value), value)


def test_an_exchanged_layer_is_the_one_that_is_called() -> None:
    net, value = folded(), x()
    net(value)
    net.fold = nn.Identity()
    assert torch.equal(net(value), torch.tanh(torch.relu(value)) + value)


def test_tracers_and_hooks_see_two_calls() -> None:
    net, value = folded(), x()
    calls = []
    net.fold.register_forward_hook(lambda *_: calls.append(1))
    expected = net(value)
    assert len(calls) == 2
    assert torch.equal(torch.compile(net, fullgraph=True, backend="eager")(value), expected)
    assert torch.equal(torch.export.export(net, (value,)).module()(value), expected)
    assert torch.equal(torch.fx.symbolic_trace(net)(value), expected)
    with everything_called(net):
        assert torch.equal(net(value), expected)


def test_a_number_is_followed_when_layers_come_and_go() -> None:
    net, value = Sequential(linear(), nn.ReLU(), call("0")), x()
    expected = net(value)
    net.insert(0, nn.Identity())
    assert "call('1')" in str(net)
    assert torch.equal(net(value), expected)
    del net[0]
    assert "call('0')" in str(net)
    assert torch.equal(net(value), expected)


def test_a_part_is_called_again_with_its_skips() -> None:
    block = Sequential(linear(), save("h"), nn.ReLU(), add("h"))
    net, value = Sequential(("block", block), ("second", call("block")), add("h")), x()
    assert torch.equal(net(value), block(block(value)) + block[0](value))  # h is that of the first call
    with everything_called(net):
        assert torch.equal(net(value), block(block(value)) + block[0](value))


def test_a_layer_inside_a_part_and_inside_a_word() -> None:
    head, shortcut = nn.Sequential(linear(), nn.Tanh()), linear()
    net = Sequential(("head", head), ("sum", add(via("input", shortcut))), call("head.0"), call("sum.0"))
    value = x()
    total = head(value) + shortcut(value)
    assert torch.equal(net(value), shortcut(head[0](total)))
    assert len(net.state_dict()) == 4


def test_it_takes_operands_as_any_call_does() -> None:
    bilinear = nn.Bilinear(4, 4, 4)
    net = Sequential(("mix", call(bilinear, here, "input")), ("again", call("mix", "input")), cat("mix"))
    value = x()
    first = bilinear(value, value)
    assert torch.equal(net(value), torch.cat((bilinear(first, value), first), 1))


def test_a_cut_keeps_the_entry_of_the_layer() -> None:
    net, value = Sequential(linear(), ("fold", linear()), take("input"), ("end", call("fold")), nn.ReLU()), x()
    assert torch.equal(net.upto("end")(value), net.fold(value))


def test_a_summary_tells_that_the_layer_is_the_same() -> None:
    assert "the same as fold: call('fold')" in str(folded().summary((3, 4)))
    assert folded().draw((3, 4)).svg.count("call('fold')") >= 1


NOT_THERE = """\
1 fault in Sequential
  net[1] call('fol') calls 'fol' again, which is no earlier layer of this sequence. Did you mean 'fold'?
    Write call(layer, ...) with the layer itself, or call('name') with the name of an earlier one."""


def test_a_name_that_is_no_earlier_layer_is_refused() -> None:
    with pytest.raises(WiringError) as caught:
        Sequential(("fold", nn.ReLU()), call("fol"))
    assert str(caught.value) == NOT_THERE


@pytest.mark.parametrize(
    "entries",
    [
        (call("later"), ("later", nn.ReLU())),
        (nn.ReLU(), save("x1"), call("save_0")),
        (nn.ReLU(), save("x1"), call("x1")),
        (("opaque", nn.TransformerEncoderLayer(4, 2)), call("opaque.linear1")),
        (("head", nn.Sequential(nn.ReLU())), call("head.1")),
        (nn.ReLU(), call("input")),
    ],
)
def test_what_cannot_be_called_again(entries: tuple[Any, ...]) -> None:
    with pytest.raises(WiringError, match="again, which is no earlier layer of this sequence"):
        Sequential(*entries)


def test_inside_another_word_it_is_refused() -> None:
    with pytest.raises(WiringError, match="which is an entry of its own; save its result and name it"):
        Sequential(("fold", nn.ReLU()), add(call("fold", "input")))


def test_removing_the_layer_is_refused_and_changes_nothing() -> None:
    net = folded()
    before = str(net)
    with pytest.raises(WiringError, match="no earlier layer"):
        del net[0]
    assert str(net) == before


# Layers that stand in a list, and run where they are called by name


def two_lists() -> Sequential:
    ups = nn.ModuleList([linear(), linear()])
    acts = nn.ModuleDict({"first": nn.Tanh(), "inner": nn.ModuleList([nn.Sigmoid()])})
    entries = [call("ups.0"), call("acts.first"), save("h"), call("ups.1"), call("acts.inner.0"), add("h")]
    return Sequential(("ups", ups), ("acts", acts), *entries)


def test_the_layers_of_a_named_list_run_where_they_are_called() -> None:
    net, value = two_lists(), x()
    h = torch.tanh(net.ups[0](value))
    assert torch.equal(net(value), torch.sigmoid(net.ups[1](h)) + h)
    assert list(net.state_dict()) == ["ups.0.weight", "ups.0.bias", "ups.1.weight", "ups.1.bias"]
    assert [len(net.ups), len(list(net.acts))] == [2, 2]
    assert net.acts["first"] is net.get_submodule("acts.first")
    with everything_called(net):
        assert torch.equal(net(value), torch.sigmoid(net.ups[1](h)) + h)
    assert torch.equal(torch.export.export(net, (value,)).module()(value), net(value))
    assert torch.equal(copy.deepcopy(net)(value), net(value))
    assert torch.equal(net.upto("h")(value), h)


def test_an_exchanged_layer_of_a_list_is_the_one_that_runs() -> None:
    net, value = two_lists(), x()
    net(value)
    net.ups.add_module("1", nn.Identity())
    h = torch.tanh(net.ups[0](value))
    assert torch.equal(net(value), torch.sigmoid(h) + h)


def test_a_list_prints_as_it_is_written() -> None:
    assert str(two_lists()).startswith(
        """Sequential(
    ('ups', nn.ModuleList([
        nn.Linear(4, 4),
        nn.Linear(4, 4),
    ])),
    ('acts', nn.ModuleDict({
        'first': nn.Tanh(),
        'inner': nn.ModuleList([
            nn.Sigmoid(),
        ]),
    })),
    call('ups.0'),"""
    )


class Chain(nn.ModuleList):
    def forward(self, value: Tensor) -> Tensor:
        for layer in self:
            value = layer(value)
        return value


def test_a_list_with_a_forward_of_its_own_is_a_layer() -> None:
    chain, value = Chain([linear(), nn.Tanh()]), x()
    assert torch.equal(Sequential(("chain", chain), add("input"))(value), chain(value) + value)
    assert torch.equal(Sequential(chain)(value), chain(value))


UNCALLED = """\
1 fault in Sequential
  net[0] 'blocks' is a list of layers that nothing calls.
    Write them one by one: *layers. Or call them by name: call('blocks.0')."""


def test_a_list_that_nothing_calls_would_be_lost() -> None:
    with pytest.raises(WiringError) as caught:
        Sequential(("blocks", nn.ModuleList([linear(), linear()])), nn.ReLU())
    assert str(caught.value) == UNCALLED


# Functions written as expressions


def test_an_expression_is_a_function_that_can_be_pickled_and_printed() -> None:
    net = Sequential(
        save("a"),
        Expression(("x",), "x * scale", {"scale": 2.0}),
        call(Expression(("x", "other"), "torch.maximum(x, other.flip(0))"), "a"),
    )
    value = x()
    again = pickle.loads(pickle.dumps(net))
    assert torch.equal(again(value), torch.maximum(value * 2, value.flip(0)))
    assert "lambda x: x * scale," in str(again)
    assert "call(lambda x, other: torch.maximum(x, other.flip(0)), 'a')" in str(again)
    assert torch.equal(torch.compile(net, fullgraph=True, backend="eager")(value), net(value))
    assert torch.equal(torch.export.export(net, (value,)).module()(value), net(value))


def test_expressions_are_equal_by_what_they_say() -> None:
    double = Expression(("x",), "x * 2")
    assert double == Expression(("x",), "x * 2")
    assert hash(double) == hash(Expression(("x",), "x * 2"))
    assert double != Expression(("x",), "x * 3")
    assert double != "x * 2"
