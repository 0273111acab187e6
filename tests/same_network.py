"""Whether two modules are the same network, in keys, outputs and gradients, and whether a printed one pastes back."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import skipseq
from skipseq import Sequential

EXAMPLES = Path(__file__).parent.parent / "examples"

#: What a user who pastes a printed network has imported.
NAMES = {
    "torch": torch,
    "nn": nn,
    "OrderedDict": OrderedDict,
    **{name: getattr(skipseq, name) for name in skipseq.__all__},
}


@cache
def example(name: str) -> ModuleType:
    """A file of ``examples/`` as a module."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def assert_same_network(ours: nn.Module, by_hand: nn.Module, *inputs: Tensor, **named: Tensor) -> None:
    """A checkpoint of each loads into the other, and outputs and all gradients are equal in float32 and float64.

    Outputs are equal bit by bit: the operations are the same. Gradients that come together from several readers may be
    summed in another order.
    """
    assert list(ours.state_dict()) == list(by_hand.state_dict())
    assert not same_weights(ours, by_hand), "equal from the start: loading would show nothing"
    by_hand.load_state_dict(copy.deepcopy(ours.state_dict()), strict=True)
    ours.load_state_dict(by_hand.state_dict(), strict=True)
    assert same_weights(ours, by_hand)
    for dtype in (torch.float32, torch.float64):
        one, two = copy.deepcopy(ours).to(dtype), copy.deepcopy(by_hand).to(dtype)
        result, gradients = run(one, inputs, named, dtype)
        expected, expected_gradients = run(two, inputs, named, dtype)
        assert len(result) == len(expected)
        for mine, theirs in zip(result, expected, strict=True):
            assert torch.equal(mine, theirs), (mine - theirs).abs().max()
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in expected_gradients.items():
            torch.testing.assert_close(gradients[name], gradient, msg=lambda text, name=name: f"{name}: {text}")


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    """Whether all parameters are equal."""
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def run(
    net: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], dtype: torch.dtype
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The outputs, and the gradient of each input and parameter for a loss that weighs every number of the output."""
    given = [fresh(value, dtype) for value in inputs]
    given_named = {name: fresh(value, dtype) for name, value in named.items()}
    result: Any = net(*given, **given_named)
    outputs = list(result) if isinstance(result, tuple) else [result]
    loss = sum((output * weights(output)).sum() for output in outputs)
    loss.backward()
    leaves = {
        **{f"input {i}": value for i, value in enumerate(given)},
        **{f"input {name}": value for name, value in given_named.items()},
        **dict(net.named_parameters()),
    }
    gradients = {}
    for name, leaf in leaves.items():
        assert leaf.grad is not None, f"{name} has no gradient"
        gradients[name] = leaf.grad
    return [output.detach() for output in outputs], gradients


def fresh(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy that is a leaf and gathers a gradient."""
    return value.detach().clone().to(dtype).requires_grad_()


def weights(output: Tensor) -> Tensor:
    """Different numbers for every element, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(output.shape, generator=generator, dtype=output.dtype)


def pasted(text: str, **names: Any) -> Sequential:
    """The network that a printed text builds; ``names`` are those that the user has defined."""
    net = eval(text, {**NAMES, **names})
    assert isinstance(net, Sequential)
    return net


def assert_pastes(net: Sequential, *inputs: Tensor, **named: Tensor) -> None:
    """What ``print`` shows builds the same network again, and so do the plain words."""
    for text, again in ((repr(net), repr), (net.as_words(), Sequential.as_words)):
        twin = pasted(text)
        assert again(twin) == text
        assert list(twin.state_dict()) == list(net.state_dict())
        assert twin.wiring == net.wiring
        twin.load_state_dict(net.state_dict())
        if inputs:
            expected, result = copy.deepcopy(net)(*inputs, **named), twin(*inputs, **named)
            torch.testing.assert_close(result, expected, rtol=0, atol=0)
