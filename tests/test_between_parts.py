"""Skips between components that exist: the user's objects stay as they are, and what a skip crosses is open in the network."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skipseq import Sequential, add, cat, mirror, save, take, via
from skipseq.errors import WiringError

from .helpers import Wrapper, faults, linear, x

WIDTH = 4


def deep(count: int, first: int = 0) -> nn.Sequential:
    """A plain sequence of so many layers."""
    return nn.Sequential(*[nn.Linear(WIDTH, WIDTH) if (first + i) % 2 == 0 else nn.Tanh() for i in range(count)])


def joined_by_hand(encoder: nn.Sequential, decoder: nn.Sequential, pairs: dict[int, int]) -> Callable[[Tensor], Tensor]:
    """Both parts, with the outputs of layers of the first added before layers of the second."""

    def forward(value: Tensor) -> Tensor:
        given = []
        for layer in encoder:
            value = layer(value)
            given.append(value)
        for i, layer in enumerate(decoder):
            value = layer(value + given[pairs[i]] if i in pairs else value)
        return value

    return forward


def test_skips_between_two_sequences_of_fifty_layers() -> None:
    encoder, decoder = deep(50), deep(50)
    printed = str(encoder), str(decoder), list(encoder), list(decoder)
    pairs = {i: 49 - i for i in range(1, 50)}
    skips = {f"decoder.{i}": add(f"encoder.{k}") for i, k in pairs.items()}
    net = Sequential(("encoder", encoder), ("decoder", decoder), skips=skips)
    value = x()
    assert torch.equal(net(value), joined_by_hand(encoder, decoder, pairs)(value))
    assert (str(encoder), str(decoder), list(encoder), list(decoder)) == printed
    assert type(encoder) is nn.Sequential
    plain = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    assert list(net.state_dict()) == list(plain.state_dict())
    assert all(one is other for one, other in zip(net.parameters(), plain.parameters(), strict=True))


def test_a_plain_part_that_is_crossed_is_one_of_ours_and_others_stay() -> None:
    encoder, head = deep(3), deep(2)
    net = Sequential(("encoder", encoder), ("head", head), add("encoder.1"))
    assert isinstance(net.encoder, Sequential)
    assert type(encoder) is nn.Sequential
    assert all(one is other for one, other in zip(net.encoder, encoder, strict=True))
    assert net.head is head
    assert Sequential(("encoder", encoder), nn.Tanh(), add("encoder")).encoder is encoder


def test_hooks_and_attributes_go_along() -> None:
    encoder, seen = deep(3), []
    encoder.register_forward_hook(lambda module, _, output: seen.append(module))
    encoder.note = "kept"
    net = Sequential(("encoder", encoder), add("encoder.1"))
    value = x()
    expected = encoder(value) + encoder[1](encoder[0](value))
    seen.clear()
    assert torch.equal(net(value), expected)
    assert seen == [net.encoder]
    assert net.encoder.note == "kept"
    assert torch.equal(torch.export.export(net, (value,)).module()(value), expected)


@pytest.mark.parametrize("place", ["0.1.0", "1.0"])
def test_plain_parts_at_any_depth(place: str) -> None:
    encoder = nn.Sequential(nn.Sequential(linear(), nn.Sequential(linear(), nn.Tanh())), nn.Sequential(linear(), nn.Tanh()))
    before = list(encoder.modules())
    net = Sequential(("encoder", encoder), add(f"encoder.{place}"))
    value = x()
    seen: dict[str, Tensor] = {}
    handle = encoder.get_submodule(place).register_forward_hook(lambda *got: seen.update(at=got[2]))
    expected = encoder(value)
    handle.remove()
    assert torch.equal(net(value), expected + seen["at"])
    assert list(encoder.modules()) == before
    part = net.encoder
    for key in place.split(".")[:-1]:
        assert isinstance(part, Sequential)
        part = part.get_submodule(key)


def test_inside_one_of_ours_and_inside_a_word() -> None:
    inner, shortcut = deep(2), deep(2)
    ours = Sequential(("inner", inner), nn.Tanh())
    net = Sequential(("part", ours), ("sum", add(via("input", shortcut))), add("part.inner.0"), add("sum.0.0"))
    value = x()
    expected = ours(value) + shortcut(value) + inner[0](value) + shortcut[0](value)
    torch.testing.assert_close(net(value), expected)
    assert ours.inner is inner
    assert isinstance(net.part.inner, Sequential)
    assert isinstance(net.get_submodule("sum.0"), Sequential)


def test_a_plain_part_whose_own_parts_need_a_value() -> None:
    decoder = nn.Sequential(linear(), Sequential(nn.Tanh(), add("x1")))
    net = Sequential(linear(), save("x1"), ("decoder", decoder))
    value = x()
    first = net[0](value)
    assert torch.equal(net(value), torch.tanh(decoder[0](first)) + first)
    assert isinstance(net.decoder, Sequential)


def test_a_part_at_two_places_is_exchanged_at_both() -> None:
    part = deep(2)
    net = Sequential(("first", part), ("second", part), add("first.0"))
    assert net.first is net.second
    assert len(list(net.parameters())) == 2


def test_edits_open_what_they_cross() -> None:
    encoder = deep(2)
    net = Sequential(("encoder", encoder), nn.Tanh())
    assert net.encoder is encoder
    net.append(add("encoder.0"))
    assert isinstance(net.encoder, Sequential)
    value = x()
    assert torch.equal(net(value), torch.tanh(encoder(value)) + encoder[0](value))
    assert isinstance((Sequential(("encoder", encoder)) + Sequential(add("encoder.0"))).encoder, Sequential)


def test_it_can_be_wrapped_recomputed_and_copied_afterwards() -> None:
    encoder = deep(4)
    net = Sequential(("encoder", encoder), nn.Tanh(), add("encoder.1"))
    value = x().requires_grad_()
    expected = net(value)
    copied = copy.deepcopy(net)
    assert torch.equal(copied(value), expected)
    net.encoder = Wrapper(net.encoder)
    assert torch.equal(net(value), expected)
    assert torch.equal(checkpoint(copied, value, use_reentrant=False), expected)


# Refusals


class Own(nn.Sequential):
    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value) * 2


WRAPPED = """\
1 fault in Sequential
  net.encoder is a plain nn.Sequential that a skip crosses ('1'), and is inside Wrapper.
    So it gives one value only. Write skipseq.Sequential(...) instead of it, which passes skips on."""


def test_what_is_wrapped_is_refused_with_the_reason() -> None:
    with pytest.raises(WiringError) as caught:
        Sequential(("encoder", Wrapper(deep(3))), add("encoder.1"))
    assert str(caught.value) == WRAPPED


def test_what_has_its_own_forward_or_is_compiled_is_refused() -> None:
    patched, compiled = deep(3), deep(3)
    patched.forward = lambda value: value
    compiled.compile()
    assert "has a forward of its own" in faults(lambda: Sequential(("encoder", patched), add("encoder.1")))[0]
    assert "was compiled by itself" in faults(lambda: Sequential(("encoder", compiled), add("encoder.1")))[0]
    (fault,) = faults(lambda: Sequential(("encoder", Own(*deep(3))), add("encoder.1")))
    assert "'encoder' is no sequence: values inside it cannot be reached" in fault


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (Own(*deep(3)), "skips lead into 'decoder' = Own(...), which has a forward of its own.\n  Write it as a Sequential"),
        (Wrapper(deep(3)), "which is in the wrapper Wrapper.\n  Give the skips first"),
        (nn.ReLU(), "skips lead into 'decoder' = nn.ReLU(), which is no sequence.\n  Name a layer of this sequence"),
    ],
)
def test_words_cannot_stand_inside_everything(part: nn.Module, why: str) -> None:
    (fault,) = faults(lambda: Sequential(("encoder", deep(2)), ("decoder", part), skips={"decoder.1": add("encoder.0")}))
    assert why in fault


def test_faults_inside_a_part_tell_the_whole_place() -> None:
    def build() -> Sequential:
        return Sequential(("encoder", deep(2)), ("decoder", deep(2)), skips={"decoder.9": add("encoder.0")})

    assert faults(build) == ("skips['decoder.9'] names no entry of this sequence.",)
    nested = nn.Sequential(deep(2), deep(2))
    (fault,) = faults(lambda: Sequential(("decoder", nested), skips={"decoder.1.1": add("0", "input")}))
    assert fault.startswith("net.decoder[1][1] add('0', 'input') does not say where the running value goes.")


# Mirrors


def pair() -> tuple[nn.Sequential, nn.Sequential]:
    return nn.Sequential(linear(), linear(), linear()), nn.Sequential(linear(), linear(), linear())


def test_a_mirror_joins_first_with_last() -> None:
    encoder, decoder = pair()
    net = Sequential(("encoder", encoder), nn.Tanh(), ("decoder", decoder), skips=mirror("encoder", "decoder", add))
    value = x()
    a = encoder[0](value)
    b = encoder[1](a)
    c = encoder[2](b)
    expected = decoder[2](decoder[1](decoder[0](torch.tanh(c) + c) + b) + a)
    assert torch.equal(net(value), expected)


def test_a_decoder_right_behind_the_encoder_receives_the_last_value_once() -> None:
    encoder, decoder = pair()
    net = Sequential(("encoder", encoder), ("decoder", decoder), skips=mirror("encoder", "decoder", join=add))
    value = x()
    a = encoder[0](value)
    b = encoder[1](a)
    assert torch.equal(net(value), decoder[2](decoder[1](decoder[0](encoder[2](b)) + b) + a))


def test_a_mirror_of_named_entries_and_other_skips_beside_it() -> None:
    encoder, decoder = deep(4), deep(4)
    skips = [mirror(["encoder.0", "encoder.2"], ["decoder.1", "decoder.3"], add), {"output": cat("input")}]
    net = Sequential(("encoder", encoder), ("decoder", decoder), skips=skips)
    assert list(net.decoder.wiring.needs) == ["encoder.2", "encoder.0"]
    assert net(x()).shape == (3, 2 * WIDTH)


def test_a_mirror_with_a_join_of_its_own_and_into_parts_of_parts() -> None:
    encoder, _ = pair()
    body = nn.Sequential()
    body.add_module("encoder", encoder)
    body.add_module("decoder", nn.Sequential(linear(), linear(8), linear(8)))
    whole = Sequential.of(body, skips=mirror("encoder", "decoder", cat(dim=-1)))
    assert whole(x()).shape == (3, WIDTH)
    assert "cat('encoder.0', dim=-1)" in str(whole)


MIRRORED = [
    (
        lambda e, d: mirror("encoder", "decodr"),
        "mirror('encoder', 'decodr'): 'decodr' names no sequence. Did you mean 'decoder'?\n"
        "  Write the name of a part of several layers, or a list of the paths of layers.",
    ),
    (
        lambda e, d: mirror("encoder", ["decoder.0"]),
        "mirror('encoder', ['decoder.0']): 'encoder' has 3 layers and ['decoder.0'] has 1; the first goes to the last, so "
        "there have to be as many.\n  Name those that are joined: mirror(['encoder.0', 'encoder.1'], ['decoder.0']).",
    ),
    (
        lambda e, d: mirror("encoder", "decoder", nn.ReLU()),
        "mirror('encoder', 'decoder', join=ReLU()): join=ReLU() is no join without operands. "
        "Write join=cat, join=cat(dim=-1), join=add.",
    ),
    (
        lambda e, d: mirror("encoder", "decoder", take),
        "mirror('encoder', 'decoder', join=take): join=take is no join without operands. "
        "Write join=cat, join=cat(dim=-1), join=add.",
    ),
    (lambda e, d: mirror(3, "decoder"), "mirror(3, 'decoder'): 3 names no sequence."),
    (lambda e, d: "decoder", "skips='decoder'. Write skips={'layer': cat('earlier', here)}, or mirror('encoder', 'decoder')."),
    (
        lambda e, d: [{"output": add("input")}, {"output": cat("input")}],
        "skips name 'output' twice: add('input') and cat('input'). Write one join of both: cat(here, ...).",
    ),
]


@pytest.mark.parametrize(("skips", "text"), MIRRORED)
def test_what_a_mirror_refuses(skips: Any, text: str) -> None:
    encoder, decoder = pair()
    (fault,) = faults(lambda: Sequential(("encoder", encoder), ("decoder", decoder), skips=skips(encoder, decoder)))
    assert fault.startswith(text)


def test_a_mirror_between_numbers_asks_for_names() -> None:
    encoder, decoder = pair()
    (fault,) = faults(lambda: Sequential(encoder, nn.Tanh(), decoder, skips=mirror("0", "2", add)))
    assert "'0.0' would mean another layer inside '2'" in fault
    assert "Give the part a name: Sequential(('encoder', ...), ...) instead of the number '0'." in fault
