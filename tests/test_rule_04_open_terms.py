"""Rule 4: a container is an open term: what nothing inside gives is a need, passed by keyword, told when it lacks."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from skipseq import Sequential, add, call, cat, here, mul, save, sub, take, via
from skipseq.errors import CallError, WiringError

from .helpers import WIDTH, Wrapper, faults, linear, look_on, parts_of, without_collection, x


def encoder() -> Sequential:
    return Sequential(linear(), save("x1"), nn.Tanh(), ("last", linear()), save("x2"), nn.Sigmoid())


def decoder() -> Sequential:
    return Sequential(linear(), cat("x2"), linear(2 * WIDTH), add("x1"))


def lacks(net: Callable[..., Any], *inputs: Any, **values: Any) -> str:
    with pytest.raises(CallError) as caught:
        net(*inputs, **values)
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


@contextmanager
def seen(net: nn.Module) -> Iterator[list[Any]]:
    """Every part is called as the module it is; what each returned."""
    returned: list[Any] = []
    handles = [part.register_forward_hook(lambda _, __, output: returned.append(output)) for part in parts_of(net)]
    yield returned
    for handle in handles:
        handle.remove()


def gradients(output: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output.square().sum(), leaves)


# -------------------------------------------------------------------------------------------------------------- told


def test_needs_are_shown_at_the_head_of_what_is_printed() -> None:
    assert repr(decoder()).splitlines()[0] == "# needs x2, x1"
    assert "# needs" not in repr(Sequential(encoder(), decoder()))
    nested = repr(Sequential(linear(), decoder(), add("y")))
    assert nested.splitlines()[0] == "# needs x2, x1, y"
    assert nested.count("# needs") == 1
    assert repr(Sequential(linear(), add("encoder.3"))).startswith("# needs encoder.3\n")


def test_needs_are_in_the_wiring() -> None:
    assert list(decoder().wiring.needs) == ["x2", "x1"]
    assert not encoder().wiring.needs


def test_a_part_that_nobody_completes_is_told_at_the_first_call() -> None:
    text = lacks(decoder(), x())
    assert "lacks 'x1', which net[3] reads and nothing inside gives" in text
    assert "lacks 'x2', which net[1] reads and nothing inside gives" in text
    assert "net(input, x2=..., x1=...)" in text
    net = Sequential(linear(), ("dec", decoder()))
    assert "lacks 'x1', which net.dec[3] reads" in lacks(net, x())
    assert "lacks 'x1'" in lacks(net, x(), x2=x())
    assert "x2" not in lacks(decoder(), x(), x2=x()).split("lacks", 1)[1].splitlines()[0]


def test_did_you_mean_at_the_first_call() -> None:
    assert "Did you mean 'x1'?" in lacks(Sequential(linear(), save("x1"), nn.Tanh(), add("x_1")), x())
    assert "Did you mean 'conv1'?" in lacks(Sequential(("conv1", linear()), nn.Tanh(), add("conv11")), x())
    net = Sequential(("enc", Sequential(linear(), save("skip"))), ("dec", Sequential(linear(), add("skop"))))
    assert "Did you mean 'skip'?" in lacks(net, x())
    assert "Did you mean 'x2'?" in lacks(decoder(), x(), x1=x(), x22=x())


def test_did_you_mean_inside_a_called_part() -> None:
    net = Sequential(("enc", Sequential(linear(), save("skip"))), ("dec", Sequential(linear(), add("skop"))))
    with seen(net):
        assert "Did you mean 'skip'?" in lacks(net, x())


def test_an_unknown_value_is_told_and_a_value_given_twice() -> None:
    assert "does not know 'x3'" in lacks(decoder(), x(), x1=x(), x2=x(), x3=x())
    assert "does not know 'y'" in lacks(encoder(), x(), y=x())
    assert "does not know 'x1'" in lacks(Sequential(encoder(), decoder()), x(), x1=x())
    with pytest.raises(TypeError, match="'input'"):
        encoder()(x(), input=x())
    assert lacks(encoder(), x(), x())
    assert lacks(encoder())


def test_the_input_may_be_passed_by_name() -> None:
    net, given = encoder(), x()
    assert torch.equal(net(input=given), net(given))
    two = Sequential(linear(), add("t"), inputs=("y", "t"))
    assert torch.equal(two(t=given, y=given), two(given, given))


# ------------------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("part", ["flat", "called"])
def test_by_hand_equals_joined_with_gradients(part: str) -> None:
    enc, bridge, dec = encoder(), Sequential(linear(), nn.Tanh()), decoder()
    net = Sequential(("enc", enc), ("bridge", bridge), ("dec", dec))
    given = x().requires_grad_()
    y, values = enc.record(given, "x1", "x2")
    assert set(values) == {"x1", "x2"}
    by_hand = dec(bridge(y), **values)
    wanted = gradients(by_hand, given, *net.parameters())
    if part == "flat":
        joined = net(given)
    else:
        with seen(net) as returned:
            joined = net(given)
        assert len(returned) == 3
    assert torch.equal(joined, by_hand)
    for one, other in zip(gradients(joined, given, *net.parameters()), wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_by_hand_with_dotted_needs() -> None:
    enc, dec = encoder(), Sequential(linear(), add("encoder.3"), mul("encoder.last"), sub("encoder.x1"))
    assert list(dec.wiring.needs) == ["encoder.3", "encoder.last", "encoder.x1"]
    enc = Sequential(linear(), save("x1"), nn.Tanh(), ("last", linear()), nn.Sigmoid())
    net = Sequential(("encoder", enc), dec)
    given = x()
    y, values = enc.record(given, "3", "last", "x1")
    by_hand = dec(y, **{f"encoder.{name}": value for name, value in values.items()})
    assert torch.equal(net(given), by_hand)
    with seen(net):
        assert torch.equal(net(given), by_hand)
    assert "**{'encoder.3': ...}" in lacks(dec, y)


def test_a_dotted_need_is_found_two_levels_out() -> None:
    enc, given = encoder(), x()
    net = Sequential(("encoder", enc), Sequential(linear(), Sequential(linear(), add("encoder.last"))))
    assert not net.wiring.needs
    wanted = net[1][1][0](net[1][0](enc(given))) + enc.record(given, "last")[1]["last"]
    assert torch.equal(net(given), wanted)
    with seen(net):
        assert torch.equal(net(given), wanted)


def test_values_that_are_no_tensors_pass_too() -> None:
    net = Sequential(linear(), call(torch.mul, "factor"), call(lambda value, k: value + k["b"], "table"))
    given = x()
    torch.testing.assert_close(net(given, factor=2.0, table={"b": 1.0}), net[0](given) * 2.0 + 1.0)


# --------------------------------------------------------------------------------------------------- across the borders


def test_called_parts_return_the_result_or_a_plain_tuple() -> None:
    net = Sequential(encoder(), Sequential(linear(), nn.Tanh()), decoder())
    given = x()
    with seen(net) as returned:
        expected = net(given)
    _, values = net[0].record(given, "x1", "x2")
    first, second, third = returned
    assert type(first) is tuple
    assert len(first) == 3
    assert all(any(torch.equal(each, value) for each in first[1:]) for value in values.values())
    assert torch.equal(first[0], net[0](given))
    assert isinstance(second, Tensor)
    assert torch.equal(third, expected)


def test_an_encoder_that_nobody_reads_returns_its_result_alone() -> None:
    net = Sequential(encoder(), linear())
    with seen(net) as returned:
        net(x())
    assert isinstance(returned[0], Tensor)


def test_needs_come_to_a_called_part_as_keyword_arguments() -> None:
    net = Sequential(("enc", encoder()), ("dec", decoder()))
    given = x()
    came: list[dict[str, Any]] = []
    handle = net.dec.register_forward_pre_hook(lambda _, args, kwargs: came.append(kwargs), with_kwargs=True)
    expected = net(given)
    handle.remove()
    (kwargs,) = came
    assert set(kwargs) == {"x1", "x2"}
    _, values = net.enc.record(given, "x1", "x2")
    assert all(torch.equal(kwargs[name], values[name]) for name in values)
    assert torch.equal(net(given), expected)


def test_a_hook_may_change_what_crosses_the_border() -> None:
    """Nothing takes a side way: what the hook returns is what the reader gets."""
    net = Sequential(("enc", Sequential(linear(), save("s"), nn.Tanh())), ("dec", Sequential(linear(), add("s"))))
    given = x()
    value = net.dec[0](net.enc(given))
    handle = net.enc.register_forward_hook(lambda _, __, output: (output[0], output[1] * 0.0))
    torch.testing.assert_close(net(given), value)
    handle.remove()
    torch.testing.assert_close(net(given), value + net.enc[0](given))


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
def test_nothing_is_stored(called: bool) -> None:
    """After a call no value of it is alive, and no module holds anything new."""
    net = Sequential(("enc", encoder()), nn.Sequential(linear(), nn.Tanh()), ("dec", decoder()))
    born: list[weakref.ref[Tensor]] = []
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Tanh | nn.Sigmoid):
            module.register_forward_hook(lambda _, __, output: born.append(weakref.ref(output)))
    if called:
        look_on([net.enc, net[1], net.dec])
    net(x())

    def state() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        hidden = ("_plan",)
        return [
            ({key: value for key, value in vars(module).items() if key not in hidden}, dict(vars(type(module))))
            for module in net.modules()
        ]

    before, dictionary = state(), {id(module): len(vars(module)) for module in net.modules()}
    born.clear()
    with without_collection():
        net(x())
        net.record(x(), "enc.x1")
        assert len(born) > 8
        assert not [ref for ref in born if ref() is not None]
    assert state() == before
    assert {id(module): len(vars(module)) for module in net.modules()} == dictionary
    assert not [each for each in gc.get_referrers(Sequential) if isinstance(each, Tensor)]


# ------------------------------------------------------------------------------------------------------ explicit binding


def test_a_need_is_bound_to_another_name() -> None:
    part, given = Sequential(linear(), add("x1")), x()
    net = Sequential(linear(), save("h1"), nn.Tanh(), call(part, here, x1="h1"))
    saved = net[0](given)
    wanted = part[0](torch.tanh(saved)) + saved
    assert not net.wiring.needs
    assert torch.equal(net(given), wanted)
    assert torch.equal(Sequential(*net[:3], call(part, x1="h1"))(given), wanted)
    with seen(net):
        assert torch.equal(net(given), wanted)


def test_an_explicit_binding_wins_over_the_name() -> None:
    part, given = Sequential(nn.Tanh(), add("s")), x()
    net = Sequential(linear(), save("s"), linear(), save("other"), call(part, here, s="other"))
    other = net[2](net[0](given))
    assert torch.equal(net(given), torch.tanh(other) + other)


def test_a_need_is_bound_to_an_expression() -> None:
    part, given = Sequential(nn.Tanh(), add("s")), x()
    gate = linear()
    net = Sequential(linear(), save("a"), call(part, here, s=via("a", gate)), call(part, s=add("input", "a")))
    a = net[0](given)
    value = torch.tanh(a) + gate(a)
    torch.testing.assert_close(net(given), torch.tanh(value) + (given + a))
    with seen(net):
        torch.testing.assert_close(net(given), torch.tanh(value) + (given + a))


def test_one_of_two_needs_is_bound_the_other_found() -> None:
    dec, given = decoder(), x()
    net = Sequential(linear(), save("x1"), linear(), save("h"), call(dec, here, x2="h"))
    x1 = net[0](given)
    h = net[2](x1)
    assert torch.equal(net(given), dec(h, x1=x1, x2=h))


def test_an_input_is_bound_by_name_and_in_order() -> None:
    part, given = Sequential(linear(), mul("t"), inputs=("y", "t")), x()
    for word in (call(part, "h1"), call(part, here, "h1"), call(part, here, t="h1"), call(part, y=here, t="h1")):
        net = Sequential(linear(), save("h1"), nn.Tanh(), word)
        h1 = net[0](given)
        assert torch.equal(net(given), part(torch.tanh(h1), h1))
        with seen(net):
            assert torch.equal(net(given), part(torch.tanh(h1), h1))


def test_a_binding_that_the_part_does_not_know_is_a_fault() -> None:
    part = Sequential(linear(), add("x1"))
    assert (
        "passes values that the part does not know"
        in faults(lambda: Sequential(linear(), save("h"), call(part, here, x2="h")))[0]
    )
    assert faults(lambda: Sequential(linear(), save("h"), nn.Tanh(), call(part, here, "h")))


def test_a_binding_that_nothing_gives_is_a_need_itself() -> None:
    net = Sequential(linear(), call(Sequential(linear(), add("x1")), here, x1="h1"))
    assert list(net.wiring.needs) == ["h1"]
    assert "lacks 'h1'" in lacks(net, x())
    net(x(), h1=x())


# ----------------------------------------------------------------------------- through plain sequences and wrappers


WRAPPINGS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": nn.Sequential,
    "plain, twice": lambda part: nn.Sequential(nn.Sequential(part)),
    "ours": Sequential,
    "wrapper": Wrapper,
    "wrapper, twice": lambda part: Wrapper(Wrapper(part)),
    "plain in plain with layers": lambda part: nn.Sequential(nn.Identity(), nn.Sequential(part, nn.Identity())),
    "wrapper in plain": lambda part: nn.Sequential(Wrapper(part)),
    "checkpoint": checkpoint_wrapper,
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_needs_and_labels_pass_through(wrap: Callable[[nn.Module], nn.Module]) -> None:
    enc, dec = encoder(), decoder()
    given = x().requires_grad_()
    wanted = Sequential(enc, nn.Tanh(), dec)(given)
    leaves = [given, *enc.parameters(), *dec.parameters()]
    net = Sequential(wrap(enc), nn.Tanh(), wrap(dec))
    assert not net.wiring.needs
    received = net(given)
    assert torch.equal(received, wanted)
    for one, other in zip(gradients(received, *leaves), gradients(wanted, *leaves), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_needs_of_what_is_wrapped_are_told_and_passed(wrap: Callable[[nn.Module], nn.Module]) -> None:
    dec, given = decoder(), x()
    net = Sequential(linear(), wrap(dec))
    assert list(net.wiring.needs) == ["x2", "x1"]
    assert "lacks 'x1'" in lacks(net, given)
    assert torch.equal(net(given, x1=given, x2=given), dec(net[0](given), x1=given, x2=given))


def test_a_wrapped_plain_sequence_that_a_skip_crosses_is_told() -> None:
    """A plain sequence takes one value: where it must be called as a whole, it cannot pass the skip on."""
    with pytest.raises(WiringError, match=r"(?s)is a plain nn.Sequential that a skip crosses.*Write skipseq\.Sequential"):
        Sequential(linear(), save("x1"), save("x2"), Wrapper(nn.Sequential(decoder())))


# --------------------------------------------------------------------------------------------- faults at construction


def test_all_faults_at_once_and_needs_are_none_of_them() -> None:
    found = faults(
        lambda: Sequential(
            linear(), save("a"), save("a"),  # saved twice
            add("later"), ("later", linear()),  # read before its output
            ("p", Sequential(save("s"), linear())), ("q", Sequential(save("s"), linear())), add("s"),  # ambiguous
            add("p.nothing"),  # bad path
            add("open"),  # a need
            save("not a label"),
            outputs=("a", "missing"),
        )
    )  # fmt: skip
    assert len(found) == 6, found
    for part in (
        "saves 'a' again",
        "'later' before it is there",
        "'p.s' and at 'q.s'",
        "p.nothing",
        "not a label",
        "missing",
    ):
        assert sum(part in fault for fault in found) == 1, part


def test_unmet_outputs_and_skips_are_told_at_construction() -> None:
    assert "names 'h', which nothing gives" in faults(lambda: Sequential(linear(), outputs="h"))[0]
    (fault,) = faults(lambda: Sequential(("conv", linear()), outputs=("conv", "convv")))
    assert "Did you mean 'conv'?" in fault
    (fault,) = faults(lambda: Sequential(("conv", linear()), skips={"convv": add("input")}))
    assert "Did you mean 'conv'?" in fault
    assert faults(lambda: Sequential(linear(), decoder(), outputs="x1")), "a need of a part is nobody's output"
    assert faults(lambda: Sequential.of(nn.Sequential(linear()), skips={"1": add("input")}))


def test_outputs_may_be_labels_of_parts() -> None:
    net, given = Sequential(encoder(), linear(), outputs=("x1", "0.last", "1", "0.x2", "input")), x()
    _, values = net.record(given, "0.x1", "0.last", "1")
    for one, other in zip(net(given), (*values.values(), values["0.last"], given), strict=True):
        assert torch.equal(one, other)
    assert faults(lambda: Sequential(("a", encoder()), ("b", encoder()), outputs="x1"))


@pytest.mark.parametrize("label", ["input", "a.b", "", "1x", "two words", "class", "return", "None"])
def test_labels_are_identifiers_other_than_input(label: str) -> None:
    assert "a label is an identifier other than 'input'" in faults(lambda: Sequential(linear(), save(label)))[0]


def test_labels_need_not_be_ascii() -> None:
    net = Sequential(linear(), save("größe"), nn.Tanh(), add("größe"))
    assert net(x()).shape == (3, WIDTH)
    assert Sequential(linear(), add("größe"))(x(), größe=x()).shape == (3, WIDTH)


@pytest.mark.parametrize("label", ["values", "others", "names", "x", "given", "counted", "run", "cat", "k0", "args"])
def test_labels_may_be_any_identifier(label: str) -> None:
    """Names of arguments and variables of ours are no exception: they pass by keyword, flat and called."""
    enc, dec, given = Sequential(linear(), save(label), nn.Tanh()), Sequential(linear(), add(label)), x()
    y, values = enc.record(given, label)
    wanted = dec[0](y) + values[label]
    assert torch.equal(dec(y, **values), wanted)
    net = Sequential(enc, dec)
    assert torch.equal(net(given), wanted)
    with seen(net):
        assert torch.equal(net(given), wanted)


def test_no_label_or_input_is_called_self() -> None:
    """It could not be passed by keyword: calling a module has an argument of this name."""
    assert faults(lambda: Sequential(linear(), save("self")))
    assert faults(lambda: Sequential(linear(), add("self"), inputs=("y", "self")))


def test_a_need_is_not_met_by_what_comes_later() -> None:
    assert faults(lambda: Sequential(decoder(), encoder()))


def test_needs_of_a_part_in_via_and_call() -> None:
    part, given = Sequential(linear(), add("s")), x()
    for word in (add(via("input", part)), call(torch.add, via("input", part)), take(add(here, via("input", part)))):
        net = Sequential(linear(), save("s"), nn.Tanh(), word)
        s = net[0](given)
        wanted = torch.tanh(s) + (part[0](given) + s)
        torch.testing.assert_close(net(given), wanted)
        with seen(net):
            torch.testing.assert_close(net(given), wanted)


def test_a_part_with_needs_below_a_part_with_needs_of_the_same_name() -> None:
    inner = Sequential(nn.Tanh(), sub("s"))
    outer = Sequential(linear(), inner, mul("s"))
    given, s = x(), x()
    assert list(outer.wiring.needs) == ["s"]
    assert torch.equal(outer(given, s=s), (torch.tanh(outer[0](given)) - s) * s)
    with seen(outer):
        assert torch.equal(outer(given, s=s), (torch.tanh(outer[0](given)) - s) * s)
