"""Random networks are rewired: skips put in and taken out again, layers put in, named anew, ablated."""

from __future__ import annotations

import copy
from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from skipseq import Sequential, add
from skipseq.errors import CallError, ShapeError, WiringError

from .random_networks import WIDTH, Network, unambiguous
from .rewired_networks import by_identity, entries_below, equal, giver_paths, layer_paths, paths_of, untouched


def inputs_of(network: Network) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, WIDTH, generator=generator, dtype=torch.float64) for _ in network.inputs]


def same_gradients(one: Sequential, other: Sequential, values: list[Tensor]) -> bool:
    mine, theirs = by_identity(one, values), by_identity(other, values)
    pairs = [(mine[key], theirs[key]) for key in mine]
    return mine.keys() == theirs.keys() and all(
        a is b is None or (a is not None and b is not None and torch.allclose(a, b)) for a, b in pairs
    )


def count(net: Sequential) -> int:
    """How many skips there are; with another layer at the end, its last output becomes a skip too."""
    return sum(skip.operator != "output" for skip in net.skips)


def may_print_otherwise(net: Sequential) -> bool:
    """A plain sequence becomes one of ours, and a part that stands at two places two parts, where they are edited."""
    return "nn.Sequential(" in repr(net) or "the same as" in repr(net)


@given(unambiguous(), st.data())
@settings(max_examples=120)
def test_what_was_connected_is_disconnected_again(network: Network, data: Any) -> None:
    net, values = network.net, inputs_of(network)
    giver = data.draw(st.sampled_from(giver_paths(net)))
    reader = data.draw(st.sampled_from([*layer_paths(net), "output"]))
    with untouched(net):
        result = net(*values)
        try:
            new = net.connect(giver, reader, add)
        except WiringError:
            return
        assert list(new.state_dict()) == list(net.state_dict())
        assert count(new) == count(net) + 1
        added = [skip for skip in new.skips if skip.reader == reader and skip.operator == "add"][-1]
        assert net.diff(new).lines.count(f"+ {added}") == 1
        back = new.disconnect(giver, reader)
        assert may_print_otherwise(net) or repr(back) == repr(net)
        assert not net.diff(back)
        assert equal(back(*values), result)
        assert same_gradients(back, net, values)
        try:
            new(*values)
        except (ShapeError, TypeError):
            return  # a pair of values, or a concatenation that is not narrow again
        assert equal(new.ablate(giver, reader)(*values), result)


@given(unambiguous(), st.data())
@settings(max_examples=80)
def test_names_change_nothing_else(network: Network, data: Any) -> None:
    net, values = network.net, inputs_of(network)
    paths = data.draw(st.lists(st.sampled_from(paths_of(net)), unique=True, max_size=6))
    names = {path: f"{path.rpartition('.')[0]}.fresh{i}".lstrip(".") for i, path in enumerate(paths)}
    with untouched(net):
        new = net.renamed(names)
        assert sum("fresh" in path.rpartition(".")[2] for path in paths_of(new)) == len(paths)
        assert equal(new(*values), net(*values))
        assert same_gradients(new, net, values)
        assert not net.diff(new)
        assert len(new.skips) == len(net.skips)
        assert_loads(net, new, values)


def assert_loads(old: Sequential, new: Sequential, values: list[Tensor]) -> None:
    """A checkpoint of the old network makes the new one what the old one is, whatever its numbers were."""
    other = copy.deepcopy(new)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(float("nan"))
    other.load_renamed(old.state_dict(), new.renames_from(old))
    assert equal(other(*values), old(*values))


@given(unambiguous(), st.data())
@settings(max_examples=120)
def test_a_layer_that_does_nothing_goes_in_and_out(network: Network, data: Any) -> None:
    net, values = network.net, inputs_of(network)
    path = data.draw(st.sampled_from([*paths_of(net), "output"]))
    layer = nn.Identity()
    with untouched(net):
        new = net.inserted(path, layer)
        (place,) = (each for each, child in entries_below(new) if child is layer)
        assert equal(new(*values), net(*values))
        assert same_gradients(new, net, values)
        assert count(new) == count(net)
        assert_loads(net, new, values)
        try:
            back = new.removed(place)
        except WiringError:
            assert any(skip.giver == place for skip in new.skips)
            return
        assert may_print_otherwise(net) or repr(back) == repr(net)
        assert list(back.state_dict()) == list(net.state_dict())
        assert equal(back(*values), net(*values))
        if not any(skip.giver == place for skip in new.skips):
            assert [line for line in net.diff(new).lines if not line.endswith("  output")] == []


@given(unambiguous(), st.data())
@settings(max_examples=120)
def test_a_sum_without_a_skip_is_the_sum_with_zeros(network: Network, data: Any) -> None:
    net, values = network.net, inputs_of(network)
    skips = [skip for skip in net.skips if skip.operator != "output"]
    assume(skips)
    skip = data.draw(st.sampled_from(skips))
    with untouched(net):
        result = net(*values)
        zero = net.ablate(skip.giver, skip.join)
        assert list(zero.state_dict()) == list(net.state_dict())
        try:
            expected = zero(*values)
        except CallError:
            return  # a pair of values has no zeros
        with untouched(net), net.ablate(skip.giver, skip.join):
            assert equal(net(*values), expected)
            assert repr(net) == repr(zero)
        assert equal(net(*values), result)
        if skip.operator != "add":
            return
        try:
            less = net.disconnect(skip.giver, skip.join)
        except WiringError as error:
            if "joins a value with itself" in str(error):
                return  # the running value is another one now
            raise
        for mine, theirs in zip(*(as_list(each(*values)) for each in (less, zero)), strict=True):
            torch.testing.assert_close(mine, theirs)


def as_list(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]
