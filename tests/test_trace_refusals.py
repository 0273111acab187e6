"""What cannot be converted is refused with the module, the line, the reason, and what to do."""

from __future__ import annotations

import inspect
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq.bridges.forward.trace import trace
from skipseq.errors import ConversionError
from tests import handwritten as hand


def refused(module: Any, *example: Any, **options: Any) -> str:
    """The text of the error, with the path of the file of the networks cut short."""
    with pytest.raises(ConversionError) as caught:
        trace(module, *example, **options)
    assert isinstance(caught.value, ValueError)
    return str(caught.value).replace(hand.__file__, "handwritten.py").replace(__file__, "here.py")


def line_of(function: Callable[..., Any], text: str) -> int:
    """The number of the line of a function that has this text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def test_a_decision_by_numbers_tells_the_line() -> None:
    line = line_of(hand.DecidingLayers, "x.sum() > 0")
    assert refused(hand.Around(hand.DecidingLayers()), torch.zeros(2, 4)) == (
        "trace(Around) cannot follow the forward of 'inner', a DecidingLayers\n"
        f"  handwritten.py:{line}: return self.linear(x) if x.sum() > 0 else x\n"
        "  it asks for the numbers of a value (bool), which are not known before the network runs.\n"
        "  Keep it whole with leaves=['inner'], or all of its class with leaves=[DecidingLayers],"
        " or write it in words as a Sequential."
    )


def test_what_it_advises_works() -> None:
    module = hand.Around(hand.DecidingLayers())
    x = torch.randn(2, 4)
    for leaves in (["inner"], [hand.DecidingLayers]):
        net = trace(module, leaves=leaves)
        assert net.inner is module.inner
        assert torch.equal(net(x), module(x))
        assert torch.equal(net(-x), module(-x))


def test_a_module_without_layers_stays_whole_instead() -> None:
    module = hand.Around(hand.Deciding())
    net = trace(module)
    assert net.inner is module.inner


def test_the_network_itself_cannot_stay_whole() -> None:
    line = line_of(hand.DecidingLayers, "x.sum() > 0")
    assert refused(hand.DecidingLayers()) == (
        "trace(DecidingLayers) cannot follow the forward of it\n"
        f"  handwritten.py:{line}: return self.linear(x) if x.sum() > 0 else x\n"
        "  it asks for the numbers of a value (bool), which are not known before the network runs.\n"
        "  Move this into a module of its own, which stays whole, or write it in words as a Sequential.\n"
        "  With an example of its inputs, torch.export is tried too."
    )


def test_a_parameter_of_the_network_itself() -> None:
    line = line_of(hand.Scale.forward, "self.gamma")
    assert refused(hand.Scale()) == (
        "trace(Scale) cannot follow the forward of it\n"
        f"  handwritten.py:{line}: return x + self.gamma * self.inner(x)\n"
        "  it uses the parameter 'gamma' directly.\n"
        "  Put it into a layer of its own: a module that holds it, and whose forward uses it."
    )


def test_a_buffer_of_the_network_itself() -> None:
    class Centred(hand.Around):
        def __init__(self) -> None:
            super().__init__(nn.Linear(4, 4))
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x - self.mean)

    assert "it uses the buffer 'mean' directly." in refused(Centred())


def test_a_layer_by_itself() -> None:
    text = refused(nn.Linear(4, 4))
    assert text.endswith("It is a layer by itself: write Sequential(Linear(...)), or what it does in words.")


def test_a_value_that_was_overwritten() -> None:
    line = line_of(hand.ThroughViews.forward, "a * 2 + x")
    assert refused(hand.ThroughViews()) == (
        "trace(ThroughViews) cannot follow the forward of it\n"
        f"  handwritten.py:{line}: return a * 2 + x\n"
        "  it reads a value that was overwritten in place before.\n"
        "  Write the line that overwrites it out of place: y = y + ...\n"
        f"  handwritten.py:{line_of(hand.ThroughViews.forward, 'first += ')}: first += b[:, 1]\n"
        "  With an example of its inputs, torch.export is tried too."
    )


Pair = namedtuple("Pair", ["first", "second"])


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (lambda x: {"out": x * 2}, "a dict"),
        (lambda x: Pair(x * 2, x * 3), "a Pair"),
        (lambda x: (x * 2, None), "a tuple with other things in it"),
        (lambda x: (x * 2, [x * 3]), "a tuple with other things in it"),
        (lambda x: 3, "a int"),
    ],
)
def test_results_that_are_not_tensors(result: Callable[[Tensor], Any], what: str) -> None:
    class Returning(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return result(x)

    assert refused(Returning(), torch.zeros(2)) == (
        f"trace(Returning): its forward returns {what}, not only tensors.\n"
        "  Return a tensor or a tuple of tensors: a sequence gives a tuple in the order of outputs=(...)."
    )


def test_examples_that_are_missing_or_do_not_fit() -> None:
    assert refused(hand.TwoInputs()) == (
        "trace(TwoInputs): there is no example to run the forward with.\n"
        "  Give an example of its inputs: trace(module, x=torch.zeros(...), t=torch.zeros(...))."
    )
    assert refused(hand.TwoInputs(), torch.zeros(2, 4)) == (
        "trace(TwoInputs): the example does not fit the forward: missing a required argument: 't'.\n  It takes x, t."
    )
    text = refused(hand.Shared(), torch.zeros(2, 5))
    assert text.startswith("trace(Shared): the forward fails for this example\n  RuntimeError: ")
    assert refused(hand.Dense(), [torch.zeros(2, 3, 4, 4)]) == (
        "trace(Dense): its input 'x' is a list of values.\n"
        "  A sequence takes its inputs one by one: write a module that does so and puts them together."
    )

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.view(7, 11))

    text = refused(Odd())
    assert text.startswith("trace(Odd): there is no example to run the forward with.\n  (2, 4) was tried: RuntimeError: ")


def test_things_that_are_no_module_and_leaves_that_are_nowhere() -> None:
    assert refused(3) == "trace(3): not a module.\n  Give the network itself: trace(Net())."
    assert refused(hand.Shared(), leaves=["flod"]) == (
        "trace(Shared): leaves names 'flod', which is no module inside it. Did you mean 'fold'?\n"
        "  Write classes, or paths as in named_modules(): leaves=[Attention, 'layer1.0']."
    )
