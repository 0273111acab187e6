"""Random networks equal the plain calls that they stand for, however they are run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import skipseq.run.sequential
from skipseq import Sequential

from .helpers import hooks_on, parts_of
from .random_networks import WIDTH, Network, networks


def as_tuple(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def outcome(network: Network, run: Callable[..., Any]) -> tuple[list[Tensor], list[Tensor | None]]:
    """The outputs of one way to run a network, and the gradients of its inputs and parameters."""
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(3, WIDTH, generator=generator, dtype=torch.float64) for _ in network.inputs]
    leaves = [each.requires_grad_() for each in given]
    outputs = as_tuple(run(*given))
    total = sum((output * (i + 1)).sin().sum() for i, output in enumerate(outputs))
    gradients = torch.autograd.grad(total, [*leaves, *network.net.parameters()], allow_unused=True)
    return list(outputs), list(gradients)


def assert_same(network: Network, run: Callable[..., Any]) -> None:
    """Outputs and gradients are those of the oracle."""
    expected, received = outcome(network, network.oracle), outcome(network, run)
    assert len(expected[0]) == len(received[0])
    for one, other in zip(expected[0] + expected[1], received[0] + received[1], strict=True):
        if one is None or other is None:
            # A value that is not used has no gradient, or zeros.
            assert all(each is None or not each.any() for each in (one, other))
        else:
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)


@given(networks())
@settings(max_examples=150)
def test_flat_run_equals_the_plain_calls(network: Network) -> None:
    assert_same(network, network.net)


@given(networks())
@settings(max_examples=60)
def test_slow_walker_equals_the_plain_calls(network: Network) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skipseq.run.sequential, "traced", lambda: True)
        assert_same(network, network.net)


@given(networks(), st.data())
@settings(max_examples=80)
def test_called_parts_equal_the_plain_calls(network: Network, data: st.DataObject) -> None:
    inside = parts_of(network.net)
    chosen = data.draw(st.lists(st.sampled_from(inside), unique=True)) if inside else []
    with hooks_on(chosen):
        assert_same(network, network.net)
    assert_same(network, network.net)


@given(networks(), st.data())
@settings(max_examples=60)
def test_recorded_values_equal_the_plain_calls(network: Network, data: st.DataObject) -> None:
    """Every name of the wiring can be read, whether its part is run flat or called."""
    names = sorted(name for name in network.net.wiring.names if name not in network.net.wiring.inputs)
    name = data.draw(st.sampled_from(names))
    given_inputs = [torch.randn(2, WIDTH, dtype=torch.float64) for _ in network.inputs]
    kwargs = dict(zip(network.net.wiring.inputs[1:], given_inputs[1:], strict=True))
    output, values = network.net.record(given_inputs[0], name, **kwargs)
    with hooks_on(parts_of(network.net)):
        _, again = network.net.record(given_inputs[0], name, **kwargs)
    alone = network.net.upto(name)(*given_inputs)
    for one, other in zip(as_tuple(output), as_tuple(network.oracle(*given_inputs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for one, other, third in zip(*map(as_tuple, (values[name], again[name], alone)), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_the_oracle_notices_a_wrong_network() -> None:
    """The comparison itself can fail."""
    right = Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()).double()
    wrong = Network(right, [], (0,), 0)
    with pytest.raises(AssertionError):
        assert_same(wrong, right)
