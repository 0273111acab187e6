"""Rule 3: names resolve once, when the tree is put together: outward level by level, own entries before labels inside."""

from __future__ import annotations

import builtins
import copy
import functools
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import skipseq.declare.compose
from skipseq import Sequential, add, call, cat, here, mul, save, sub, take, via
from skipseq.errors import CallError

from .helpers import WIDTH, everything_called, faults, linear, x


class Plus(nn.Module):
    """Adds a number, by which a test tells the values apart."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, value: Tensor) -> Tensor:
        return value + self.number


def zeros() -> Tensor:
    return torch.zeros(1, 1)


def reads(net: nn.Module, value: float = 0.0) -> float:
    """The result of a network on one number."""
    flat = float(net(torch.full((1, 1), value)))
    with everything_called(net):
        assert float(net(torch.full((1, 1), value))) == flat
    return flat


# ------------------------------------------------------------------------------------------ outward, level by level


def test_the_nearest_level_gives_the_value() -> None:
    """The same label at three levels: the innermost earlier one is read."""
    read = Sequential(Plus(0.0), take("s"))
    two = Sequential(Plus(100.0), save("s"), Plus(0.5), read)
    one = Sequential(Plus(10.0), save("s"), Plus(0.5), two)
    assert reads(Sequential(Plus(1.0), save("s"), Plus(0.5), one)) == 1.0 + 0.5 + 10.0 + 0.5 + 100.0


def test_a_name_that_a_level_lacks_is_looked_for_one_level_further_out() -> None:
    read = Sequential(Plus(0.0), take("s"))
    two = Sequential(Plus(100.0), read)
    one = Sequential(Plus(10.0), save("s"), Plus(0.5), two)
    assert reads(Sequential(Plus(1.0), save("s"), Plus(0.5), one)) == 1.0 + 0.5 + 10.0
    one = Sequential(Plus(10.0), Sequential(Plus(100.0), read))
    assert reads(Sequential(Plus(1.0), save("s"), Plus(0.5), one)) == 1.0


def test_layers_of_the_levels_around_are_found_by_name() -> None:
    part = Sequential(Plus(10.0), Sequential(Plus(100.0), take("stem")))
    assert reads(Sequential(("stem", Plus(1.0)), Plus(0.5), part)) == 1.0


def test_an_input_of_a_level_around_is_found_by_name() -> None:
    part = Sequential(Plus(10.0), Sequential(Plus(100.0), take("t")))
    net = Sequential(Plus(1.0), part, inputs=("y", "t"))
    assert float(net(zeros(), zeros() + 7.0)) == 7.0


def test_own_entries_come_before_labels_inside_earlier_siblings() -> None:
    sibling = Sequential(Plus(1.0), save("s"), Plus(0.5))
    assert reads(Sequential(sibling, Plus(10.0), take("s"))) == 1.0
    assert reads(Sequential(sibling, Plus(10.0), save("s"), Plus(0.5), take("s"))) == 11.5
    assert reads(Sequential(Plus(10.0), save("s"), sibling, take("s"))) == 10.0
    assert reads(Sequential(sibling, ("s", Plus(10.0)), Plus(0.5), take("s"))) == 11.5, "a layer's name is an own entry"
    assert reads(Sequential(sibling, Sequential(Plus(10.0), take("s")))) == 1.0


def test_labels_inside_siblings_of_a_nearer_level_come_before_entries_further_out() -> None:
    inner = Sequential(Sequential(Plus(10.0), save("s"), Plus(0.5)), Plus(0.5), take("s"))
    assert reads(Sequential(Plus(1.0), save("s"), inner)) == 11.0


def test_labels_are_found_at_any_depth_of_an_earlier_sibling() -> None:
    deep: nn.Module = Sequential(Plus(1.0), save("s"), Plus(0.5))
    for _ in range(3):
        deep = Sequential(Plus(10.0), deep, Plus(100.0))
    assert reads(Sequential(deep, Plus(1000.0), take("s"))) == 31.0
    assert reads(Sequential(deep, Sequential(Plus(1000.0), Sequential(Plus(1.0), take("s"))))) == 31.0


def test_two_candidates_inside_are_an_error_that_tells_both_paths() -> None:
    def part() -> Sequential:
        return Sequential(linear(), save("s"))

    (fault,) = faults(lambda: Sequential(("a", part()), ("b", Sequential(linear(), ("c", part()))), add("s")))
    assert "net[2] add('s')" in fault
    assert "'a.s' and at 'b.c.s'" in fault
    Sequential(("a", part()), ("b", Sequential(linear(), ("c", part()))))  # nobody reads it: no fault
    Sequential(("a", part()), ("b", Sequential(linear(), ("c", part()))), add("a.s"), add("b.c.s"))
    Sequential(("a", part()), ("b", part()), save("s"), linear(), add("s"))  # the own one is meant


def test_two_candidates_for_a_need_of_a_part() -> None:
    def part() -> Sequential:
        return Sequential(linear(), save("s"))

    (fault,) = faults(lambda: Sequential(part(), part(), ("reader", Sequential(linear(), add("s")))))
    assert "'0.s' and at '1.s'" in fault
    assert "net.reader[1]" in fault


def test_two_candidates_within_one_sibling() -> None:
    def part() -> Sequential:
        return Sequential(Plus(1.0), save("s"), Plus(0.5))

    pair = Sequential(("a", part()), ("b", part()))
    (fault,) = faults(lambda: Sequential(("pair", pair), take("s")))
    assert "'pair.a.s' and at 'pair.b.s'" in fault
    assert reads(Sequential(("pair", pair), take("pair.a.s"))) == 1.0
    assert reads(Sequential(("pair", pair), take("pair.b.s"))) == 2.5
    # The sibling's own label is meant by its own words, and is one candidate among three outside.
    own = Sequential(("a", part()), save("s"), take("s"))
    assert reads(own) == 1.5
    (fault,) = faults(lambda: Sequential(("part", own), Plus(1.0), take("s")))
    assert "'part.a.s'" in fault
    assert "'part.s'" in fault


def test_only_earlier_siblings_count() -> None:
    """A later sibling that saves the same label makes nothing ambiguous."""
    part = functools.partial(Sequential, save("s"), Plus(0.5))
    assert reads(Sequential(Plus(1.0), part(), take("s"), Plus(10.0), part())) == 11.5


def test_layers_of_a_sibling_are_reached_by_dotted_path_only() -> None:
    sibling = Sequential(("conv", Plus(1.0)), Plus(0.5), ("deep", Sequential(Plus(0.25), ("last", Plus(10.0)), Plus(9.0))))
    net = Sequential(("enc", sibling), Plus(100.0), take("conv"))
    assert list(net.wiring.needs) == ["conv"]
    with pytest.raises(CallError, match="lacks 'conv'"):
        net(zeros())
    assert reads(Sequential(("enc", sibling), Plus(100.0), take("enc.conv"))) == 1.0
    assert reads(Sequential(("enc", sibling), Plus(100.0), take("enc.1"))) == 1.5
    assert reads(Sequential(("enc", sibling), Plus(100.0), take("enc.deep.last"))) == 11.75
    assert reads(Sequential(("enc", sibling), Plus(100.0), take("enc.deep"))) == 20.75
    assert reads(Sequential(("enc", sibling), Plus(100.0), take("enc"))) == 20.75
    assert reads(Sequential(("enc", sibling), Sequential(Plus(100.0), Sequential(take("enc.deep.0"))))) == 1.75


def test_dotted_paths_lead_into_plain_sequences_too() -> None:
    plain = nn.Sequential(Plus(1.0), nn.Sequential(Plus(10.0), Plus(100.0)))
    assert reads(Sequential(plain, Plus(0.5), take("0.1.0"))) == 11.0
    assert reads(Sequential(("enc", plain), Sequential(Plus(0.5), take("enc.0")))) == 1.0


def test_dotted_paths_to_labels_and_to_the_layers_of_via() -> None:
    part = Sequential(Plus(1.0), save("s"), ("joined", add(via("input", Plus(0.25), Plus(10.0)))))
    assert reads(Sequential(("enc", part), Plus(100.0), take("enc.s"))) == 1.0
    assert reads(Sequential(("enc", part), Plus(100.0), take("enc.joined.0"))) == 0.25
    assert reads(Sequential(("enc", part), Plus(100.0), take("enc.joined.1"))) == 10.25
    assert reads(Sequential(("enc", part), Plus(100.0), take("enc.joined"))) == 11.25


def test_paths_that_lead_nowhere_are_told_at_once() -> None:
    enc = Sequential(("conv", linear()), save("skip"))
    (fault,) = faults(lambda: Sequential(("enc", enc), add("enc.skop")))
    assert "'enc.skop', which does not exist" in fault
    assert "Did you mean 'enc.skip'?" in fault
    assert "is no sequence" in faults(lambda: Sequential(("conv", linear()), add("conv.weight")))[0]
    assert "before it is there" in faults(lambda: Sequential(linear(), add("enc.skip"), ("enc", enc)))[0]
    assert len(faults(lambda: Sequential(("enc", enc), add("enc.a"), Sequential(add("enc.b"))))) == 2


# ------------------------------------------------------------------------- a label saved anywhere in a container is its own


def test_read_before_saved_is_a_fault_though_a_level_around_has_the_label() -> None:
    (fault,) = faults(lambda: Sequential(linear(), save("s"), Sequential(linear(), add("s"), save("s"))))
    assert "before it is there" in fault
    assert "net[2]" in fault
    (fault,) = faults(lambda: Sequential(linear(), add("s"), linear(), save("s")))
    assert "saved at net[3]" in fault


def test_a_label_saved_in_a_later_part_of_the_container_is_its_own_too() -> None:
    later = Sequential(linear(), save("s"))
    (fault,) = faults(lambda: Sequential(linear(), save("s"), Sequential(linear(), add("s"), ("later", later))))
    assert "before it is there" in fault
    (fault,) = faults(lambda: Sequential(Sequential(linear(), add("s")), linear(), later))
    assert "before it is there" in fault


def test_a_layer_that_comes_later_is_own_as_well() -> None:
    (fault,) = faults(lambda: Sequential(("h", linear()), Sequential(add("h"), ("h", linear()))))
    assert "before it is there" in fault
    (fault,) = faults(lambda: Sequential(linear(), add("h"), ("h", linear())))
    assert "the output of layer 'h'" in fault


def test_a_reader_cannot_read_its_own_output() -> None:
    assert "before it is there" in faults(lambda: Sequential(linear(), ("j", add("j"))))[0]
    assert "before it is there" in faults(lambda: Sequential(("part", Sequential(linear(), add("part")))))[0]


def test_labels_of_a_part_do_not_clash_with_those_around_it() -> None:
    part = Sequential(Plus(10.0), save("s"), Plus(0.5), take("s"))
    assert reads(Sequential(Plus(1.0), save("s"), part, Plus(0.25), sub("s"))) == 10.25


# ----------------------------------------------------------------------------------------- repeated and recursive blocks


def block(number: float) -> Sequential:
    return Sequential(Plus(number), save("s"), Plus(0.5), add("s"))


def test_repeated_blocks_reuse_their_label() -> None:
    def step(value: float, number: float) -> float:
        return 2 * (value + number) + 0.5

    assert reads(Sequential(block(1.0), block(10.0), block(100.0))) == step(step(step(0.0, 1.0), 10.0), 100.0)
    one = block(1.0)
    assert reads(Sequential(one, one, one)) == step(step(step(0.0, 1.0), 1.0), 1.0)
    assert reads(Sequential(("first", one), Plus(3.0), ("second", one))) == step(step(0.0, 1.0) + 3.0, 1.0)


def test_recursive_blocks_reuse_their_label() -> None:
    """The block of pix2pix, as deep as one likes: each level reads its own."""

    def level(depth: int) -> Sequential:
        inside = [level(depth - 1)] if depth else []
        return Sequential(save("skip"), Plus(10.0**depth), *inside, cat("skip"))

    result = level(3)(torch.zeros(1, 1))
    assert result.tolist() == [[1111.0, 1110.0, 1100.0, 1000.0, 0.0]]


def test_a_recursive_unet_as_by_hand() -> None:
    def unet(depth: int) -> Sequential:
        inside = unet(depth - 1) if depth else nn.Tanh()
        return Sequential(linear(), save("x"), nn.Tanh(), inside, cat("x"), linear(2 * WIDTH))

    def by_hand(net: Any, value: Tensor) -> Tensor:
        start = net.get_submodule("0")(value)
        value = torch.tanh(start)
        middle = net.get_submodule("2")
        value = by_hand(middle, value) if isinstance(middle, Sequential) else middle(value)
        return net.get_submodule("3")(torch.cat([value, start], 1))

    net, given = unet(4), x()
    assert torch.equal(net(given), by_hand(net, given))


def test_one_part_at_two_places_is_wired_twice() -> None:
    """The wiring belongs to the place: the same object reads two different skips."""
    part = Sequential(Plus(0.0), take("s"))
    first = Sequential(Plus(1.0), save("s"), Plus(0.5), part)
    second = Sequential(Plus(10.0), save("s"), Plus(0.5), part)
    assert reads(Sequential(first, second)) == 11.0
    assert reads(Sequential(Plus(1.0), save("a"), Plus(10.0), save("b"), call(part, here, s="a"), Plus(0.5))) == 1.5
    twice = Sequential(
        Plus(1.0), save("a"), Plus(10.0), save("b"),
        ("first", call(part, here, s="a")), Plus(100.0), save("c"),
        ("second", call(part, here, s="b")), cat("c"),
    )  # fmt: skip
    assert twice(zeros()).tolist() == [[11.0, 101.0]]
    assert reads(Sequential(twice, lambda value: value[:, :1])) == 11.0


def test_one_part_that_saves_at_two_places_gives_two_values() -> None:
    part = Sequential(Plus(1.0), save("s"), Plus(0.5))
    net = Sequential(("a", part), Plus(10.0), ("b", part), sub("a.s"), mul(1000.0), add("b.s"))
    assert reads(net) == (13.0 - 1.0) * 1000.0 + 12.5


def test_one_part_at_two_places_shares_weights_and_gets_both_gradients() -> None:
    shared = linear()
    part = Sequential(shared, add("s"))
    net = Sequential(nn.Tanh(), save("s"), linear(), part, Sequential(nn.Sigmoid(), save("s"), linear(), part))
    given = x()
    saved = torch.tanh(given)
    expected = shared(net[2](saved)) + saved
    inner = torch.sigmoid(expected)
    expected = shared(net[4][2](inner)) + inner
    torch.testing.assert_close(net(given), expected)
    assert len(list(net.parameters())) == 6
    (gradient,) = torch.autograd.grad(net(given).square().sum(), shared.weight)
    (wanted,) = torch.autograd.grad(expected.square().sum(), shared.weight)
    torch.testing.assert_close(gradient, wanted)


# ------------------------------------------------------------------------------------------- encoder, bridge, decoder


def test_a_decoder_reads_what_a_separate_encoder_saved() -> None:
    encoder = Sequential(nn.Conv2d(3, 4, 3, padding=1), save("x1"), nn.Conv2d(4, 8, 2, 2), save("x2"), nn.Conv2d(8, 8, 2, 2))
    bridge = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())
    decoder = Sequential(
        nn.ConvTranspose2d(8, 8, 2, 2), cat("x2"), nn.ConvTranspose2d(16, 4, 2, 2), cat("x1"), nn.Conv2d(8, 2, 1)
    )
    given = torch.randn(2, 3, 8, 8)
    e, d = encoder._modules, decoder._modules
    x1 = e["0"](given)  # type: ignore[misc]
    x2 = e["1"](x1)  # type: ignore[misc]
    value = bridge(e["2"](x2))  # type: ignore[misc]
    value = torch.cat([d["0"](value), x2], 1)  # type: ignore[misc]
    value = torch.cat([d["1"](value), x1], 1)  # type: ignore[misc]
    expected = d["2"](value)  # type: ignore[misc]
    for net in (
        Sequential(encoder, bridge, decoder),
        Sequential(("encoder", encoder), ("bridge", bridge), ("decoder", decoder)),
        Sequential(Sequential(encoder, bridge), decoder),
        Sequential(encoder, Sequential(bridge, Sequential(decoder))),
        Sequential(nn.Sequential(encoder, bridge), nn.Sequential(decoder)),
        encoder + Sequential(bridge) + decoder,
    ):
        assert torch.equal(net(given), expected)
        with everything_called(net):
            assert torch.equal(net(given), expected)
        assert not net.wiring.needs


# ------------------------------------------------------------------------------------------------------------- "input"


def test_input_is_the_input_of_the_very_sequence() -> None:
    """A part means the same alone and nested."""
    part = Sequential(Plus(1.0), Plus(1.0), take("input"), Plus(0.5))
    assert reads(part, 3.0) == 3.5
    assert reads(Sequential(Plus(10.0), part), 3.0) == 13.5
    assert reads(Sequential(Plus(10.0), Sequential(Plus(100.0), part, sub("input"))), 3.0) == 100.5
    assert reads(Sequential(Plus(10.0), part, sub("input")), 3.0) == 10.5
    # Nor does a part without a word of it read that of the one around it.
    assert reads(Sequential(Plus(10.0), Sequential(Plus(100.0), save("s")), add("input")), 3.0) == 116.0


def test_residual_blocks_of_linear_layers_whole_and_repeated() -> None:
    def residual() -> Sequential:
        return Sequential(linear(), nn.Tanh(), add("input"))

    net = Sequential(residual(), Sequential(residual(), residual()), residual())
    given = expected = x()
    for each in (net[0], net[1][0], net[1][1], net[2]):
        expected = torch.tanh(each[0](expected)) + expected
    assert torch.equal(net(given), expected)


def test_input_in_via_call_and_outputs() -> None:
    part = Sequential(Plus(1.0), call(torch.maximum, "input"), add(via("input", Plus(10.0))), outputs=("input", "add_0", "0"))
    assert [float(each) for each in part(zeros() + 2.0)] == [2.0, 15.0, 3.0]
    inner = Sequential(Plus(5.0), part)
    assert [float(each) for each in inner(zeros() + 2.0)] == [7.0, 25.0, 8.0]


def test_input_with_several_inputs_is_the_first() -> None:
    net = Sequential(Plus(1.0), add("t"), add("input"), inputs=("y", "t"))
    assert float(net(zeros() + 2.0, zeros() + 30.0)) == 35.0
    same = Sequential(Plus(1.0), add("t"), add("y"), inputs=("y", "t"))
    assert float(same(zeros() + 2.0, zeros() + 30.0)) == 35.0


def test_nothing_can_be_saved_as_input() -> None:
    assert "label" in faults(lambda: Sequential(linear(), save("input")))[0]
    assert faults(lambda: Sequential(("input", linear())))


# ------------------------------------------------------------------------------------------------------ closed sequences


def test_a_closed_sequence_finds_every_name_inside() -> None:
    Sequential(linear(), add("t"), inputs=("y", "t"))
    (fault,) = faults(lambda: Sequential(linear(), add("s"), inputs=("y", "t")))
    assert "which nothing gives" in fault
    (fault,) = faults(lambda: Sequential(linear(), ("part", Sequential(linear(), add("s"))), inputs=("y", "t")))
    assert "'s', which nothing gives" in fault
    assert "net.part[1]" in fault


def test_a_closed_sequence_does_not_look_outside() -> None:
    """Though the sequence around it has the name."""
    (fault,) = faults(
        lambda: Sequential(linear(), save("s"), call(Sequential(linear(), add("s"), inputs=("y", "t")), here, "s"))
    )
    assert "which nothing gives" in fault


def test_a_closed_part_gets_its_inputs_by_call() -> None:
    part = Sequential(Plus(1.0), mul("t"), inputs=("y", "t"))
    assert reads(Sequential(Plus(2.0), save("a"), Plus(10.0), call(part, "a"))) == 26.0
    assert reads(Sequential(Plus(2.0), save("a"), Plus(10.0), call(part, here, "a"))) == 26.0
    assert reads(Sequential(Plus(2.0), save("a"), Plus(10.0), call(part, "a", here))) == 36.0
    assert reads(Sequential(Plus(2.0), save("a"), Plus(10.0), call(part, here, t="a"))) == 26.0
    assert reads(Sequential(Plus(2.0), save("a"), Plus(10.0), call(part, y="a", t=here))) == 36.0
    assert faults(lambda: Sequential(Plus(2.0), save("a"), part))


def test_labels_of_a_closed_part_are_read_from_outside() -> None:
    part = Sequential(Plus(1.0), save("s"), mul("t"), inputs=("y", "t"))
    assert reads(Sequential(Plus(2.0), call(part, "input"), Plus(10.0), take("s")), 4.0) == 7.0


# --------------------------------------------------------------------------------------------------------- position keys


def test_position_keys_are_names() -> None:
    net = Sequential(Plus(1.0), save("s"), Plus(10.0), Plus(100.0), take("1"), Plus(0.5), cat("0"))
    assert net(zeros()).tolist() == [[11.5, 1.0]]
    assert reads(Sequential(Plus(1.0), ("b", Plus(10.0)), Plus(100.0), take("0"))) == 1.0
    assert reads(Sequential(Plus(1.0), ("b", Plus(10.0)), Plus(100.0), Plus(0.5), take("2"))) == 111.0


def test_an_integer_is_no_reference() -> None:
    """It is a number."""
    assert reads(Sequential(Plus(1.0), Plus(10.0), add(0))) == 11.0
    assert faults(lambda: Sequential(Plus(1.0), Plus(10.0), take(0)))
    assert faults(lambda: Sequential(Plus(1.0), Plus(10.0), cat(0)))


def test_the_keys_of_words_are_names_of_their_results() -> None:
    assert reads(Sequential(Plus(1.0), add("input"), Plus(10.0), ("j", add("input")), take("add_0")), 2.0) == 5.0
    assert reads(Sequential(Plus(1.0), ("j", add("input")), Plus(10.0), take("j")), 2.0) == 5.0


def test_a_part_does_not_find_the_position_keys_of_the_levels_around_by_chance() -> None:
    """A number that a part lacks is looked for outside like any name: it is the number of a layer there."""
    net = Sequential(Plus(1.0), Plus(10.0), Sequential(Plus(100.0), take("1")))
    assert reads(net) == 11.0


# --------------------------------------------------------------------------------------------------- once, and not in forward


def big() -> Sequential:
    encoder = Sequential(linear(), save("a"), nn.Tanh(), nn.Sequential(linear(), nn.Tanh()), save("b"), linear())
    decoder = Sequential(linear(), add("b"), Sequential(linear(), cat("a"), linear(2 * WIDTH)), add("input"))
    repeated = Sequential(linear(), ("d", add(via("input", linear()))), call(torch.maximum, "input"))
    return Sequential(("encoder", encoder), repeated, ("decoder", decoder), repeated, add("encoder.0"))


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
def test_nothing_is_resolved_in_later_calls(monkeypatch: pytest.MonkeyPatch, called: bool) -> None:
    net, given = big(), x()
    expected = net(given)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("resolved a name during forward")

    for name in ("compose", "resolve", "resolve_path", "wanted", "need", "walk"):
        monkeypatch.setattr(skipseq.declare.compose.Composer, name, refuse)
    monkeypatch.setattr(skipseq.declare.compose, "compose", refuse)
    with everything_called(net) if called else nullcontext():
        for _ in range(20):
            assert torch.equal(net(given), expected)
        net.eval().train().requires_grad_(False)
        assert torch.equal(net(given), expected)
        output, values = net.record(given, "encoder.0", "decoder")
        assert torch.equal(output, expected)
        assert len(values) == 2


def test_names_are_resolved_at_construction_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first call: what was put together runs though nothing can be resolved any more."""
    net = big()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("resolved a name during forward")

    monkeypatch.setattr(skipseq.declare.compose.Composer, "compose", refuse)
    assert net(x()).shape == (3, WIDTH)


def test_a_part_is_not_resolved_again_for_each_container_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building deep trees takes one walk over each container."""
    walks = []
    original = skipseq.declare.compose.Composer.compose

    def counted(self: Any, outputs: Any) -> Any:
        walks.append(self)
        return original(self, outputs)

    monkeypatch.setattr(skipseq.declare.compose.Composer, "compose", counted)
    net: nn.Module = linear()
    for _ in range(20):
        net = Sequential(net, save("s"), nn.Tanh(), add("s"))
    assert len(walks) == 20


def test_a_copy_and_an_equal_network_resolve_alike() -> None:
    net, given = big(), x()
    twin = copy.deepcopy(net)
    assert twin.wiring == net.wiring
    assert torch.equal(twin(given), net(given))


def test_no_text_is_compiled_in_later_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = big(), x()
    net(given)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("compiled during forward")

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "compile", refuse)
        patch.setattr(builtins, "exec", refuse)
        results = [net(given) for _ in range(5)]
    assert all(torch.equal(each, results[0]) for each in results)
