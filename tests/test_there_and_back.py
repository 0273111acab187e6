"""Words, source, and words again: what a network is written as is read as a network that does the same."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from skipseq import Sequential, from_forward

from .random_networks import Network, unambiguous
from .test_examples import example
from .test_source import BUILDERS, WIDTH, built, example_inputs, renamed, tensors
from .view_networks import NETWORKS


def assert_read_again(net: Sequential, given_values: dict[str, Tensor]) -> None:
    """The module that the source of a network defines is read as a network with the same numbers, gradients and keys."""
    module = built(net, net.source())
    module.load_state_dict(net.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # keys in another order, a size that decides: told to users, and compared here
        again = from_forward(module, **given_values)
    assert sorted(again.state_dict()) == sorted(module.state_dict())
    results = []
    gradients = []
    for each in (module, again):
        torch.manual_seed(1)
        alone = each is again and len(given_values) == 1  # one input alone goes by position in words
        results.append(tensors(each(*given_values.values()) if alone else each(**given_values)))
        gradients.append(gradients_of(each, results[-1]))
    assert len(results[0]) == len(results[1]) > 0
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def gradients_of(module: nn.Module, results: list[Tensor]) -> dict[str, Tensor]:
    """The gradients of all parameters, where the results depend on some."""
    module.zero_grad()
    loss = sum((result.double().square().sum() for result in results if result.requires_grad), start=torch.zeros(()))
    if loss.requires_grad:
        loss.backward()
    return {name: each.grad.clone() for name, each in module.named_parameters() if each.grad is not None}


@pytest.mark.parametrize(("file", "name"), BUILDERS)
def test_the_examples(file: str, name: str) -> None:
    given_values = renamed(example_inputs(file, name))
    assert_read_again(getattr(example(file), name)(), given_values)


@pytest.mark.parametrize("name", ["flat_unet", "nested_unet", "unet_plus_plus", "dense_block", "resnet", "grid_net"])
def test_the_networks_of_the_views(name: str) -> None:
    net, shapes = NETWORKS[name]()
    (shape,) = shapes
    assert_read_again(net, {"x": torch.randn(2, *shape[1:])})


@settings(max_examples=40)
@given(unambiguous())
def test_random_networks(network: Network) -> None:
    net = network.net
    names = ["x"] if net.wiring.inputs == ("input",) else list(net.wiring.inputs)
    given_values = {name: torch.randn(3, WIDTH, dtype=torch.float64) for name in names}
    assert_read_again(net, given_values)
