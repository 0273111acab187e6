"""Values on request: ``record``, ``upto`` and ``with_outputs``; one name serves as skip and as readable value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, mul, pick, save, take, via
from skipseq.errors import CallError

from .helpers import WIDTH, everything_called, linear, x


class Counted(nn.Module):
    """A layer that counts its calls."""

    def __init__(self, features_in: int = WIDTH, features_out: int = WIDTH) -> None:
        super().__init__()
        self.linear = nn.Linear(features_in, features_out)
        self.calls = 0

    def forward(self, value: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(value)  # type: ignore[no-any-return]


def calls(net: nn.Module) -> list[int]:
    """How often each counted layer was called since the last time."""
    layers = [module for module in net.modules() if isinstance(module, Counted)]
    counts = [layer.calls for layer in layers]
    for layer in layers:
        layer.calls = 0
    return counts


def network() -> Sequential:
    """Names of every kind: labels, layers, numbers, parts, plain parts, layers of via, joins."""
    encoder = Sequential(
        ("conv", linear()), save("x1"), nn.Tanh(),
        ("deep", Sequential(linear(), save("x2"), nn.Tanh())),
        nn.Sequential(linear(), nn.Sigmoid()),
    )  # fmt: skip
    return Sequential(
        ("encoder", encoder),
        nn.Tanh(),
        ("downsample", add(via("x1", linear(), nn.Tanh()))),
        cat("x2"),
        ("head", linear(2 * WIDTH)),
        mul("encoder.deep.0"),
    )


def by_hand(net: Sequential, value: Tensor) -> dict[str, Tensor]:
    """Every value by its names."""
    layers = dict(net.named_modules())
    seen = {"input": value}
    seen["encoder.conv"] = seen["encoder.x1"] = layers["encoder.conv"](value)
    seen["encoder.1"] = torch.tanh(seen["encoder.conv"])
    seen["encoder.deep.0"] = seen["encoder.deep.x2"] = layers["encoder.deep.0"](seen["encoder.1"])
    seen["encoder.deep.1"] = seen["encoder.deep"] = torch.tanh(seen["encoder.deep.0"])
    seen["encoder.3.0"] = layers["encoder.3.0"](seen["encoder.deep"])
    seen["encoder.3.1"] = seen["encoder.3"] = seen["encoder"] = torch.sigmoid(seen["encoder.3.0"])
    seen["1"] = torch.tanh(seen["encoder"])
    seen["downsample.0"] = layers["downsample.0"](seen["encoder.conv"])
    seen["downsample.1"] = torch.tanh(seen["downsample.0"])
    seen["downsample"] = seen["1"] + seen["downsample.1"]
    seen["cat_0"] = torch.cat([seen["downsample"], seen["encoder.deep.0"]], 1)
    seen["head"] = layers["head"](seen["cat_0"])
    seen["mul_0"] = seen["head"] * seen["encoder.deep.0"]
    return seen


NAMES = list(by_hand(network(), torch.zeros(1, WIDTH)))


# -------------------------------------------------------------------------------------------------------------- record


@pytest.mark.parametrize("name", NAMES)
def test_every_value_can_be_read_by_its_name(name: str) -> None:
    net, given = network(), x()
    wanted = by_hand(net, given)
    for _ in range(2):
        output, values = net.record(given, name)
        assert torch.equal(output, wanted["mul_0"])
        assert list(values) == [name]
        assert torch.equal(values[name], wanted[name])
    with everything_called(net):
        output, values = net.record(given, name)
    assert torch.equal(output, wanted["mul_0"])
    assert torch.equal(values[name], wanted[name])


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
def test_all_values_at_once(called: bool) -> None:
    net, given = network(), x()
    wanted = by_hand(net, given)
    with everything_called(net) if called else torch.enable_grad():
        output, values = net.record(given, *NAMES)
    assert list(values) == NAMES
    assert torch.equal(output, wanted["mul_0"])
    for name in NAMES:
        assert torch.equal(values[name], wanted[name]), name
    assert values["encoder.conv"] is values["encoder.x1"], "one value, two names"


def test_no_names_no_values() -> None:
    net, given = network(), x()
    output, values = net.record(given)
    assert torch.equal(output, net(given))
    assert values == {}


def test_the_same_name_twice_is_one_value() -> None:
    net, given = network(), x()
    output, values = net.record(given, "head", "head")
    assert torch.equal(output, net(given))
    assert list(values) == ["head"]


def test_a_plain_network_can_be_read_too() -> None:
    net = Sequential.of(nn.Sequential(linear(), nn.Sequential(linear(), nn.ReLU()), linear()))
    given = x()
    _, values = net.record(given, "0", "1.0", "1")
    assert torch.equal(values["0"], net[0](given))
    assert torch.equal(values["1.0"], net[1][0](values["0"]))
    assert torch.equal(values["1"], torch.relu(values["1.0"]))


def test_values_have_gradients() -> None:
    net, given = network(), x()
    output, values = net.record(given, "encoder.x1")
    assert torch.autograd.grad(output.sum(), values["encoder.x1"])[0].any()
    assert torch.autograd.grad(values["encoder.x1"].sum(), net.encoder.conv.weight)[0].any()


def test_labels_of_a_tuple() -> None:
    net, given = (
        Sequential(("lstm", nn.LSTM(WIDTH, 5, batch_first=True)), save("out", "state"), pick[1], save("h", "c"), pick[0]),
        x(),
    )
    output, values = net.record(given, "h", "c", "out", "state", "lstm")
    out, (h, c) = net[0](given)
    for one, other in ((output, h), (values["h"], h), (values["c"], c), (values["out"], out), (values["state"][1], c)):
        assert torch.equal(one, other)
    assert torch.equal(values["lstm"][0], out)
    outer = Sequential(("part", net), lambda value: value[0])
    _, values = outer.record(given, "part.c", "part.state")
    assert torch.equal(values["part.c"], c)
    with everything_called(outer):
        assert torch.equal(outer.record(given, "part.c")[1]["part.c"], c)


def test_layers_of_a_call_and_its_operands() -> None:
    net, given = Sequential(linear(), ("gate", call(torch.maximum, via("input", linear(), nn.Tanh()))), nn.Tanh()), x()
    _, values = net.record(given, "gate", "call_0.0", "call_0.1")
    inner = net._modules["call_0"]
    assert inner is not None
    assert torch.equal(values["call_0.0"], inner._modules["0"](given))  # type: ignore[misc]
    assert torch.equal(values["gate"], torch.maximum(net._modules["0"](given), values["call_0.1"]))  # type: ignore[misc]


def test_inputs_by_name() -> None:
    net = Sequential(linear(), save("h"), mul("t"), inputs=("y", "t"))
    y, t = x(), x()
    wanted = net[0](y) * t
    for args, kwargs in (((y, t), {}), ((y,), {"t": t}), ((), {"y": y, "t": t})):
        if args:
            output, values = net.record(*args, "h", "y", "t", "input", **kwargs)
        else:
            output, values = net.record(..., "h", "y", "t", "input", **kwargs)
        assert torch.equal(output, wanted)
        assert torch.equal(values["h"], net[0](y))
        assert values["y"] is y
        assert values["input"] is y
        assert values["t"] is t


def test_needs_by_name() -> None:
    net, given, s = Sequential(linear(), save("h"), add("s")), x(), x()
    output, values = net.record(given, "h", s=s)
    assert torch.equal(output, values["h"] + s)
    with pytest.raises(CallError, match="lacks 's'"):
        net.record(given, "h")


def test_several_outputs_and_values() -> None:
    net, given = Sequential(linear(), save("a"), nn.Tanh(), save("b"), linear(), outputs=("b", "a")), x()
    output, values = net.record(given, "a", "2")
    assert type(output) is tuple
    assert torch.equal(output[1], values["a"])
    assert torch.equal(output[0], torch.tanh(values["a"]))
    assert torch.equal(values["2"], net[4](output[0]))


def test_one_name_as_skip_and_as_value() -> None:
    net, given = Sequential(linear(), save("x1"), nn.Tanh(), add("x1")), x()
    output, values = net.record(given, "x1")
    assert torch.equal(output, torch.tanh(values["x1"]) + values["x1"])
    again = Sequential(("enc", net), ("dec", Sequential(linear(), add("x1"))))
    output, values = again.record(given, "enc.x1", "dec.0")
    assert torch.equal(output, values["dec.0"] + values["enc.x1"])


def test_a_value_that_nobody_else_reads() -> None:
    net, given = Sequential(("left", linear()), take("input"), ("right", linear())), x()
    assert torch.equal(net.record(given, "left")[1]["left"], net[0](given))


def test_hooks_change_what_is_read() -> None:
    """The value is the output in this pass, whatever made it."""
    net, given = network(), x()
    handle = net.encoder.conv.register_forward_hook(lambda _, __, output: output * 2.0)
    _, values = net.record(given, "encoder.conv", "encoder.1")
    handle.remove()
    assert torch.equal(values["encoder.conv"], net.encoder.conv(given) * 2.0)
    assert torch.equal(values["encoder.1"], torch.tanh(values["encoder.conv"]))


def test_hooks_on_the_network_see_its_output_and_the_values() -> None:
    net, given, seen = network(), x(), list[Any]()
    net.register_forward_hook(lambda _, __, output: seen.append(output))
    output, _ = net.record(given, "head")
    assert len(seen) == 1
    first = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    assert first is output


def test_two_threads_record_different_values() -> None:
    net = network()
    failures: list[Any] = []

    def work(name: str, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(20):
            given = torch.randn(3, WIDTH, generator=generator)
            with torch.no_grad():
                wanted = by_hand(net, given)
                output, values = net.record(given, name)
            if not (torch.equal(output, wanted["mul_0"]) and torch.equal(values[name], wanted[name])):
                failures.append(name)

    threads = [threading.Thread(target=work, args=(name, seed)) for seed, name in enumerate(NAMES[:8])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_recording_changes_nothing() -> None:
    net, given = network(), x()
    expected, keys, text = net(given), list(net.state_dict()), repr(net)
    net.record(given, "head", "encoder.deep.x2")
    assert torch.equal(net(given), expected)
    assert list(net.state_dict()) == keys
    assert repr(net) == text


# ---------------------------------------------------------------------------------------------------------------- upto


@pytest.mark.parametrize("name", NAMES)
def test_upto_gives_the_value_keeps_keys_and_shares_weights(name: str) -> None:
    net, given = network(), x()
    part = net.upto(name)
    assert torch.equal(part(given), by_hand(net, given)[name])
    with everything_called(part):
        assert torch.equal(part(given), by_hand(net, given)[name])
    whole = dict(net.named_parameters())
    for key, parameter in part.named_parameters():
        assert whole[key] is parameter
    assert type(part) is Sequential
    assert len(net) == 6, "the network itself is as it was"


def branched() -> Sequential:
    return Sequential(
        ("stem", Counted()), save("s"),
        ("left", Counted()), nn.Tanh(), save("l"),
        take("s"), ("right", Counted()),
        ("join", add("l")),
        ("part", Sequential(("one", Counted()), ("two", Counted()), ("three", Sequential(Counted(), Counted())))),
        ("end", add(via("s", Counted()))),
        ("last", Counted()),
    )  # fmt: skip


#: For each name, the counted layers that it needs: stem, left, right, one, two, three.0, three.1, end.0, last.
NEEDED = {
    "stem": [1, 0, 0, 0, 0, 0, 0, 0, 0],
    "s": [1, 0, 0, 0, 0, 0, 0, 0, 0],
    "l": [1, 1, 0, 0, 0, 0, 0, 0, 0],
    "right": [1, 0, 1, 0, 0, 0, 0, 0, 0],
    "join": [1, 1, 1, 0, 0, 0, 0, 0, 0],
    "part.one": [1, 1, 1, 1, 0, 0, 0, 0, 0],
    "part.three.0": [1, 1, 1, 1, 1, 1, 0, 0, 0],
    "part": [1, 1, 1, 1, 1, 1, 1, 0, 0],
    "end.0": [1, 0, 0, 0, 0, 0, 0, 1, 0],
    "end": [1, 1, 1, 1, 1, 1, 1, 1, 0],
    "last": [1, 1, 1, 1, 1, 1, 1, 1, 1],
}


@pytest.mark.parametrize("name", NEEDED)
def test_upto_runs_only_what_is_needed(name: str) -> None:
    net, given = branched(), x()
    with torch.no_grad():
        _, values = net.record(given, name)
    assert calls(net) == [1] * 9
    received = net.upto(name)(given)
    assert torch.equal(received, values[name])
    assert calls(net) == NEEDED[name]


def test_upto_has_only_the_layers_that_are_needed() -> None:
    net = branched()
    assert {key.partition(".")[0] for key in net.upto("right").state_dict()} == {"stem", "right"}
    assert {key.rpartition(".linear")[0] for key in net.upto("part.one").state_dict()} == {
        "stem", "left", "right", "part.one"
    }  # fmt: skip
    assert not list(net.upto("input").parameters())


def test_upto_of_a_value_in_a_part_that_others_need_as_well() -> None:
    """A part that gives the result and an inner value is not cut where its result is needed."""
    net, given = (
        Sequential(("enc", Sequential(linear(), save("s"), nn.Tanh())), ("dec", Sequential(linear(), add("s")))),
        x(),
    )
    assert torch.equal(net.upto("dec")(given), net(given))
    assert torch.equal(net.upto("dec.0")(given), net.dec[0](net.enc(given)))
    assert torch.equal(net.upto("enc.s")(given), net.enc[0](given))


def test_upto_with_inputs_and_needs() -> None:
    net, y, t = Sequential(linear(), save("h"), mul("t"), linear(), inputs=("y", "t")), x(), x()
    assert torch.equal(net.upto("h")(y, t), net[0](y))
    assert torch.equal(net.upto("mul_0")(y, t=t), net[0](y) * t)
    open_net = Sequential(linear(), save("h"), nn.Tanh(), add("s"))
    assert torch.equal(open_net.upto("h")(y), open_net[0](y)), "what is cut off needs nothing"
    assert not open_net.upto("h").wiring.needs
    assert list(open_net.upto("add_0").wiring.needs) == ["s"]


def test_upto_in_plain_parts_keeps_them_working() -> None:
    net, given = Sequential(linear(), nn.Sequential(linear(), nn.Tanh(), linear()), linear()), x()
    value = torch.tanh(net[1][0](net[0](given)))
    assert torch.equal(net.upto("1.1")(given), value)
    assert torch.equal(net(given), net[2](net[1](net[0](given))))
    assert len(net[1]) == 3


def test_training_what_upto_gives_trains_the_network() -> None:
    net, given = network(), x()
    part = net.upto("encoder.deep")
    before = net.encoder.conv.weight.detach().clone()
    part(given).sum().backward()
    torch.optim.SGD(part.parameters(), 0.1).step()
    assert not torch.equal(net.encoder.conv.weight, before)
    assert torch.equal(part(given), by_hand(net, given)["encoder.deep"])


# -------------------------------------------------------------------------------------------------------- with_outputs


@pytest.mark.parametrize("name", NAMES)
def test_with_one_output(name: str) -> None:
    net, given = network(), x()
    other = net.with_outputs(name)
    assert torch.equal(other(given), by_hand(net, given)[name])
    assert list(other.state_dict()) == list(net.state_dict())
    assert all(a is b for a, b in zip(other.parameters(), net.parameters(), strict=True))


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
def test_with_several_outputs_in_this_order(called: bool) -> None:
    net, given = network(), x()
    wanted = by_hand(net, given)
    names = ["mul_0", "encoder.x1", "downsample.0", "encoder.3.0", "input", "head"]
    other = net.with_outputs(*names)
    with everything_called(other) if called else torch.enable_grad():
        received = other(given)
    assert type(received) is tuple
    for name, value in zip(names, received, strict=True):
        assert torch.equal(value, wanted[name])
    assert torch.equal(net(given), wanted["mul_0"]), "the network itself is as it was"


def test_outputs_are_printed_and_can_be_changed_again() -> None:
    net, given = network(), x()
    one = net.with_outputs("head", "encoder")
    assert "outputs=('head', 'encoder')," in repr(one)
    assert torch.equal(one.with_outputs("encoder.x1")(given), by_hand(net, given)["encoder.x1"])
    assert torch.equal(one.with_outputs("mul_0")(given), net(given))
    assert torch.equal(one.upto("encoder.x1")(given), by_hand(net, given)["encoder.x1"])


def test_a_label_of_a_part_need_not_be_a_path() -> None:
    """As for a word at the end: labels inside parts are found by their bare name where only one part has it."""
    net, given = network(), x()
    wanted = by_hand(net, given)
    received = Sequential(("net", net), outputs=("x1", "x2"))
    for one, name in zip(received(given), ("encoder.x1", "encoder.deep.x2"), strict=True):
        assert torch.equal(one, wanted[name])
    assert torch.equal(net.with_outputs("x1")(given), wanted["encoder.x1"])
    assert torch.equal(net.upto("x2")(given), wanted["encoder.deep.x2"])
    assert torch.equal(net.record(given, "x1")[1]["x1"], wanted["encoder.x1"])


def test_a_label_in_two_parts_needs_its_path_on_request_too() -> None:
    part = Sequential(linear(), save("s"))
    net = Sequential(("a", part), ("b", part))
    for ask in ASK.values():
        with pytest.raises((CallError, ValueError)) as caught:
            ask(net, "s")
        assert "'a.s'" in str(caught.value)
        assert "'b.s'" in str(caught.value)
    assert torch.equal(net.upto("a.s")(torch.zeros(1, WIDTH)), part(torch.zeros(1, WIDTH)))


# ---------------------------------------------------------------------------------------------- names that lead nowhere


ASK: dict[str, Callable[[Sequential, str], Any]] = {
    "record": lambda net, name: net.record(x(), name),
    "upto": lambda net, name: net.upto(name),
    "with_outputs": lambda net, name: net.with_outputs(name),
    "with_outputs of two": lambda net, name: net.with_outputs("head", name),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("haed", "head"),
        ("downsampel", "downsample"),
        ("encoder.x11", "encoder.x1"),
        ("encoder.deep.x3", "encoder.deep.x2"),
    ],
)
def test_names_that_lead_nowhere(ask: Callable[[Sequential, str], Any], name: str, meant: str) -> None:
    net = network()
    with pytest.raises(CallError) as caught:
        ask(net, name)
    assert f"{name!r} names no value of this sequence. Did you mean {meant!r}?" in str(caught.value)


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("name", ["", ".", "encoder.", ".head", "head.weight", "encoder.9", "downsample.2", "no such"])
def test_what_is_no_name_at_all(ask: Callable[[Sequential, str], Any], name: str) -> None:
    with pytest.raises(CallError, match="names no value"):
        ask(network(), name)


def test_all_wrong_names_are_told_at_once() -> None:
    with pytest.raises(CallError) as caught:
        network().record(x(), "haed", "head", "nothing")
    assert "'haed'" in str(caught.value)
    assert "'nothing'" in str(caught.value)


def test_a_need_is_no_value_of_the_sequence() -> None:
    """It was passed by the caller, who has it."""
    net = Sequential(linear(), add("s"))
    for ask in (lambda: net.upto("s"), lambda: net.with_outputs("s"), lambda: net.record(x(), "s", s=x())):
        with pytest.raises(CallError, match="names no value"):
            ask()


def test_operands_and_here_are_no_names() -> None:
    net = network()
    for ask in (lambda: net.upto(here), lambda: net.with_outputs(here), lambda: net.upto(0)):  # type: ignore[arg-type]
        with pytest.raises((CallError, TypeError)):
            ask()


def test_the_input_of_a_part_is_a_value_too() -> None:
    """The part is left without entries, and stays where it is."""
    net = Sequential(nn.Linear(4, 4), ("part", Sequential(nn.Linear(4, 4), nn.ReLU())))
    given = torch.randn(2, 4)
    assert torch.equal(net.upto("part.input")(given), net[0](given))
