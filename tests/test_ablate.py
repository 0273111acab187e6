"""What a skip is worth: networks in which skips carry nothing, and the original running as one of them for a while."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, mul, save, sub, take, via
from skipseq.errors import CallError
from skipseq.run.rewire.ablated import channel_means, zeros

from .helpers import Wrapper, everything_called, linear, x
from .rewired_networks import equal, refused, snapshot, untouched


def net_of_sums() -> Sequential:
    return Sequential(
        ("a", linear()),
        save("x1"),
        nn.Tanh(),
        ("b", linear()),
        add("x1"),
        ("c", linear()),
        mul("x1"),
        ("d", linear()),
        add(via("b", linear())),
        ("e", linear()),
    )


# ---------------------------------------------------------------------------------------------- the words


def test_zeros_and_means_are_words() -> None:
    net = net_of_sums()
    with untouched(net):
        zero, mean = net.ablate("x1"), net.ablate("a", "c", by="mean")
        behind = net.ablate("b")
    assert [repr(zero[4]), repr(zero[6]), repr(zero[8])] == [
        "add(via('x1', zeros))",
        "mul(via('x1', zeros))",
        "add(via('b', nn.Linear(4, 4)))",
    ]
    assert [repr(mean[4]), repr(mean[6])] == ["add(via('x1', channel_means))", "mul('x1')"]
    assert repr(behind[8]) == "add(via('b', nn.Linear(4, 4), zeros))"
    for each in (zero, mean, behind):
        assert list(each.state_dict()) == list(net.state_dict())
        assert each.a is net.a
        assert each[8]._modules["0"] is net[8]._modules["0"]


def test_what_they_give() -> None:
    net, value = net_of_sums(), x()
    first = net.a(value)
    second = net.b(first.tanh())

    def rest(after: Tensor, scale: Tensor, shortcut: Tensor) -> Tensor:
        return net.e(net.d(net.c(after) * scale) + shortcut)

    shortcut = net[8]._modules["0"](second)
    none = torch.zeros_like(first)
    assert equal(net.ablate("x1")(value), rest(second, none, shortcut))
    assert equal(net.ablate("x1", "c")(value), rest(second + none, first, shortcut))
    assert equal(net.ablate("x1", "mul_0")(value), rest(second + first, none, shortcut))
    means = first.mean(0, keepdim=True).expand_as(first)
    assert equal(net.ablate("x1", "d", by="mean")(value), rest(second + first, means, shortcut))
    assert equal(net.ablate("b")(value), rest(second + first, first, none))
    assert equal(net.ablate("x1", by="remove")(value), net.e(net.d(net.c(second)) + shortcut))


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5), (3, 4, 5, 2), (3, 4, 5, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_the_mean_of_each_channel(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    value = torch.randn(shape).to(dtype)
    mean = channel_means(value)
    assert (mean.shape, mean.dtype) == (value.shape, dtype)
    for channel in range(shape[1] if len(shape) > 1 else 1):
        own = value[:, channel] if len(shape) > 1 else value
        given = mean[:, channel] if len(shape) > 1 else mean
        assert bool((given == given.reshape(-1)[0]).all())
        torch.testing.assert_close(given.reshape(-1)[0], own.mean())
    assert zeros(value).dtype == dtype
    assert not zeros(value).any()


def test_a_number_is_its_own_mean() -> None:
    assert torch.equal(channel_means(torch.tensor(3.0)), torch.tensor(3.0))


def test_the_mean_can_be_changed_in_place_and_trained() -> None:
    net = Sequential(linear(), nn.Tanh(), take(via("0", channel_means)), nn.ReLU(inplace=True))
    assert repr(Sequential(linear(), nn.Tanh(), take("0"), nn.ReLU()).ablate("0", by="mean")[2]) == repr(net[2])
    net(x()).sum().backward()
    assert net[0].weight.grad is not None


def test_memory_formats_are_kept() -> None:
    value = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for function in (zeros, channel_means):
        assert function(value).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_whole_numbers_have_no_mean(dtype: torch.dtype) -> None:
    with pytest.raises(CallError) as caught:
        channel_means(torch.zeros(2, 3, dtype=dtype))
    assert str(caught.value) == (
        f"a skip is ablated by its mean, and its values are of {dtype}, which holds no means.\n"
        "  Write by='zero', or ablate a skip behind the layer that makes floating-point numbers of them."
    )
    assert zeros(torch.ones(2, 3, dtype=dtype)).dtype == dtype


def test_a_tuple_has_none() -> None:
    net = Sequential(("lstm", nn.LSTM(4, 4)), save("all"), nn.Identity(), call(lambda a, b: a[0] + b[0], "all"))
    net(torch.ones(2, 3, 4))
    with pytest.raises(CallError) as caught:
        net.ablate("all")(torch.ones(2, 3, 4))
    assert "a skip is ablated by 'zeros', and its value is no tensor but of type tuple." in str(caught.value)
    assert "Ablate a skip of one of its parts: name them with save('first', 'second')." in str(caught.value)


def test_every_kind_of_reader() -> None:
    net = Sequential(
        ("a", linear()),
        nn.Tanh(),
        cat("a", here),
        linear(8, 4),
        call(nn.Bilinear(4, 4, 4), "a"),
        call(torch.addcmul, here, "a", "a", value=0.5),
        sub("a", here),
        add(mul("a", 0.5)),
        add(via(call(torch.maximum, "a", here), nn.ReLU())),
        take(sub(via("a", linear()), "input")),
    )
    with untouched(net):
        zero = net.ablate("a")
    assert [repr(each) for each in zero][2:] == [
        "cat(via('a', zeros), here)",
        repr(net[3]),
        "call(nn.Bilinear(4, 4, 4), via('a', zeros))",
        "call(torch.addcmul, here, via('a', zeros), via('a', zeros), value=0.5)",
        "sub(via('a', zeros), here)",
        "add(mul(via('a', zeros), 0.5))",
        "add(via(call(torch.maximum, via('a', zeros), here), nn.ReLU()))",
        "take(sub(via('a', nn.Linear(4, 4), zeros), 'input'))",
    ]
    assert list(zero.state_dict()) == list(net.state_dict())
    value = x()
    assert torch.equal(zero(value), -value)
    with everything_called(zero):
        assert torch.equal(zero(value), -value)


def test_skips_into_parts_and_out_of_them() -> None:
    decoder = Sequential(linear(), add("x1"), linear(), add("encoder.2"))
    net = Sequential(("encoder", Sequential(linear(), save("x1"), nn.Tanh(), linear())), ("decoder", decoder), add("x1"))
    with untouched(net):
        zero = net.ablate("x1")
    assert [repr(zero.decoder[1]), repr(zero.decoder[3]), repr(zero[2])] == [
        "add(via('x1', zeros))",
        "add('encoder.2')",
        "add(via('x1', zeros))",
    ]
    assert zero.encoder is net.encoder
    assert repr(net.ablate("encoder").decoder[3]) == "add(via('encoder.2', zeros))"
    assert repr(net.ablate("encoder.0", "output")[2]) == "add(via('x1', zeros))"


def test_like_still_names_its_operand() -> None:
    net = Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), add("input", fit="pad", like="input"))
    value = torch.randn(1, 3, 6, 6)
    zero = net.ablate("input")
    assert repr(zero[2]) == "add(via('input', zeros), fit='pad', like='input')"
    assert zero(value).shape == net(value).shape


def test_a_projection_gets_the_zeros() -> None:
    net = Sequential(nn.Conv2d(3, 8, 3, 2, 1), add("input", project=True))
    value = torch.randn(1, 3, 8, 8)
    net(value)
    zero = net.ablate("input")
    assert list(zero.state_dict()) == list(net.state_dict())
    bias = net.get_submodule("add_0.0").bias
    torch.testing.assert_close(zero(value), net[0](value) + bias[:, None, None])


def test_pickled_and_copied() -> None:
    net, value = net_of_sums(), x()
    zero = net.ablate("x1")
    for twin in (pickle.loads(pickle.dumps(zero)), copy.deepcopy(zero)):
        assert torch.equal(twin(value), zero(value))
        assert repr(twin) == repr(zero)
        with pytest.raises(CallError, match="is no ablation"):
            twin.__enter__()
    assert len(pickle.dumps(zero)) < 1.5 * len(pickle.dumps(net))


def test_exported() -> None:
    net = net_of_sums()
    value = x()
    for by in ("zero", "mean"):
        ablated = net.ablate("x1", by=by)
        program = torch.export.export(ablated, (value,), strict=True)
        torch.testing.assert_close(program.module()(value), ablated(value))


# ---------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("x2",), "net.ablate('x2'): 'x2' names no value of the network.\n  The names are those of print(net)."),
        (("c",), "net.ablate('c'): nothing reads 'c' beside the running value.\n  print(net.skips) tells the skips."),
        (
            ("x1", "e"),
            "net.ablate('x1', 'e'): no skip leads from 'x1' to 'e'.\n  Its skips are a -> c (add), a -> d (mul).",
        ),
        (
            ("x1", None, "zeros"),
            "net.ablate('x1'): by='zeros' is not known. Did you mean 'zero'?\n  Write by='zero', by='mean' or by='remove'.",
        ),
        (("x1", None, 0), "net.ablate('x1'): by=0 is not known.\n  Write by='zero', by='mean' or by='remove'."),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], text: str) -> None:
    assert refused(net_of_sums(), lambda net: net.ablate(*arguments)) == text


def test_what_cannot_be_removed() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), add("a"), sub("a", here))
    assert refused(net, lambda net: net.ablate("a", by="remove")) == (
        "net.ablate('a'): net[3] sub('a', here) cannot do without it: it is what the others are subtracted from.\n"
        "  Write net.ablate('a', by='zero'), which gives zeros in its place."
    )


def test_a_reader_inside_a_wrapper() -> None:
    net = Sequential(("a", linear()), ("wrapped", Wrapper(Sequential(linear(), add("a")))))
    assert refused(net, lambda net: net.ablate("a")) == (
        "net.wrapped would have to be changed, and it stands in a wrapper, Wrapper.\n"
        "  Change the sequence inside it first, and wrap it afterwards."
    )


# ---------------------------------------------------------------------------------------------- for a while


def test_the_original_runs_ablated_in_the_block() -> None:
    net, value = net_of_sums(), x()
    holder, whole = [net], net(value)
    expected = net.ablate("x1")(value)
    before = snapshot(net)
    with net.ablate("x1") as ablated:
        assert ablated is not net
        assert torch.equal(holder[0](value), expected)
        assert torch.equal(ablated(value), expected)
        assert repr(net) == repr(ablated)
        assert list(net.state_dict()) == list(ablated.state_dict())
    assert snapshot(net) == before
    assert torch.equal(net(value), whole)
    assert torch.equal(ablated(value), expected)


def test_the_block_inside_a_larger_network() -> None:
    net, value = net_of_sums(), x()
    larger = Sequential(("part", net), ("head", linear()))
    whole = larger(value)
    with net.ablate("x1"):
        inside = larger(value)
    assert torch.equal(inside, larger.head(net.ablate("x1")(value)))
    assert torch.equal(larger(value), whole)


def test_it_is_restored_behind_an_error() -> None:
    net = net_of_sums()
    seen = []

    def fail() -> None:
        with net.ablate("x1", by="mean"):
            seen.append(repr(net))
            raise KeyError("x1")

    with untouched(net), pytest.raises(KeyError):
        fail()
    assert "channel_means" in seen[0]


def test_blocks_in_blocks() -> None:
    net, value = net_of_sums(), x()
    both = net.ablate("x1").ablate("b")(value)
    with untouched(net):
        with net.ablate("x1"):
            first = snapshot(net)
            with net.ablate("b"):
                assert torch.equal(net(value), both)
            assert snapshot(net) == first
        with net.ablate("x1"), net.ablate("b", by="remove"):
            assert "via('b'" not in repr(net)
            assert torch.equal(net(value), both)
        again = net.ablate("x1")
        for _ in range(2):
            with again:
                assert torch.equal(net(value), again(value))


def test_training_in_the_block() -> None:
    """Weights are shared: what is trained in the block is trained behind it."""
    net, value = net_of_sums(), x()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    before = net.e.weight.detach().clone()
    with net.ablate("x1"):
        net(value).sum().backward()
        optimizer.step()
    assert not torch.equal(net.e.weight, before)


def test_flags_that_are_set_in_the_block_hold_behind_it() -> None:
    part = Sequential(linear(), add("a"))
    net = Sequential(("a", linear()), nn.Dropout(), ("part", part))
    with net.ablate("a"):
        net.eval()
    assert [module.training for module in net.modules()] == [False] * len([*net.modules()])
    with net.ablate("a"):
        net.train()
    assert all(module.training for module in net.modules())


def test_outputs_in_the_block() -> None:
    """A value has another path for a while, and the outputs follow it."""
    net = Sequential(("a", linear()), nn.Tanh(), add("a"), linear(), add("1"), linear(), outputs=("3", "add_1"))
    value = x()
    with untouched(net), net.ablate("a", by="remove") as ablated:
        assert net._outputs == ("3", "add_0")
        assert equal(net(value), ablated(value))
        second = net[2](net.a(value).tanh()) + net.a(value).tanh()
        assert equal(net(value), (net[4](second), second))
    assert net._outputs == ("3", "add_1")


def test_a_compiled_network() -> None:
    net, value = net_of_sums(), x()
    compiled = torch.compile(net, backend="eager")
    whole = compiled(value)
    expected = net.ablate("x1")(value)
    with net.ablate("x1"):
        assert torch.equal(compiled(value), expected)
    assert torch.equal(compiled(value), whole)


def test_what_is_no_ablation() -> None:
    net = net_of_sums()
    text = (
        "with net: this Sequential is no ablation, so there is nothing to run it in place of.\n  Write with net.ablate('x1'):"
    )
    assert refused(net, lambda net: net.__enter__(), CallError) == text.replace("\n  ", "\n")
    ablated = net.ablate("x1")
    for other in (ablated[:], ablated.renamed({"b": "second"})):
        with pytest.raises(CallError, match="is no ablation"):
            other.__enter__()


def test_a_network_that_was_edited_since() -> None:
    text = (
        "this Sequential was ablated, and has other layers or skips now than it had then.\n"
        "Write with net.ablate(...): where the block begins, also for a block inside another one."
    )
    net = net_of_sums()
    ablated = net.ablate("x1")
    net.append(linear())
    assert refused(net, lambda _: ablated.__enter__(), CallError) == text
    net = net_of_sums()
    one, other = net.ablate("x1"), net.ablate("b")
    with untouched(net), one:
        assert refused(net, lambda _: other.__enter__(), CallError) == text
        assert refused(net, lambda _: one.__enter__(), CallError) == text


def test_nothing_is_kept_alive() -> None:
    net = net_of_sums()
    dead = weakref.ref(net.ablate("x1"))
    gc.collect()
    assert dead() is None
    ablated = net.ablate("x1")
    gone = weakref.ref(net)
    with ablated:
        pass
    del net, ablated
    gc.collect()
    assert gone() is None
