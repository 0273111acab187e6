"""What ``net.source()`` cannot write, and what it says then."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, pick, save, via
from skipseq.declare.functions import Expression
from skipseq.errors import ConversionError
from skipseq.views.source.trees import Given, Made, Value

from .helpers import Wrapper, linear


def of_a_script() -> Any:
    """A function as one stands in a script."""

    def double(x: Tensor) -> Tensor:
        return x * 2

    double.__module__, double.__qualname__ = "__main__", "double"
    return double


def hooked() -> Sequential:
    net = Sequential(linear(), ("part", Sequential(linear(), add("input"))))
    net.part.register_forward_hook(lambda *_: None)
    return net


class Doubled(Sequential):
    def forward(self, input: Any) -> Any:  # type: ignore[override]
        return super().forward(input) * 2


class Passed(Sequential):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Scaled(Sequential):
    def __init__(self, *entries: Any) -> None:
        super().__init__(*entries)
        self.scale = nn.Parameter(torch.ones(1))


HEAD = "1 fault in writing Sequential as plain Python\n  "
FAULTS: dict[str, tuple[Callable[[], Sequential], str]] = {
    "two lambdas": (
        lambda: Sequential(linear(), lambda x: x * 2, save("x"), lambda x: x + 1),
        "2 faults in writing Sequential as plain Python\n"
        "  net[1] is a lambda, which has no name that a file could import.\n"
        "    Write it as a def in a module that can be imported, "
        "or as skipseq.declare.functions.Expression(('x',), 'x.flatten(1)').\n"
        "  net[3] is a lambda, which has no name that a file could import.\n"
        "    Write it as a def in a module that can be imported, "
        "or as skipseq.declare.functions.Expression(('x',), 'x.flatten(1)').",
    ),
    "a lambda in a word": (
        lambda: Sequential(linear(), ("part", Sequential(linear(), add(via("input", lambda x: x))))),
        HEAD + "net.part[1] is a lambda, which has no name that a file could import.\n"
        "    Write it as a def in a module that can be imported, "
        "or as skipseq.declare.functions.Expression(('x',), 'x.flatten(1)').",
    ),
    "a function in a script": (
        lambda: Sequential(of_a_script()),
        HEAD + "net[0] double is defined in the script that runs, which no other file can import.\n"
        "    Write it as a def in a module that can be imported, or as a layer.",
    ),
    "an object": (
        lambda: Sequential(operator.itemgetter(0)),
        HEAD + "net[0] operator.itemgetter(0) is an object without a name that a file could import.\n"
        "    Write it as a def in a module that can be imported, or as a layer.",
    ),
    "a tensor in a partial": (
        lambda: Sequential(functools.partial(torch.mul, other=torch.ones(1))),
        HEAD + "net[0] partial(torch.mul, other=tensor([1.])) has tensor([1.]), which is no constant that a file could hold.\n"
        "    Write it as a def in a module that can be imported, or as a layer.",
    ),
    "a tensor as an index": (
        lambda: Sequential(linear(), pick[torch.tensor([1])]),
        HEAD + "net[1] has tensor([1]), which is no constant that a file could hold.\n"
        "    Write it as a layer, or as a def in a module that can be imported.",
    ),
    "an expression that hides a value": (
        lambda: Sequential(Expression(("x",), "[x for x in x]")),
        HEAD + "net[0] lambda x: [x for x in x] gives x another meaning inside.\n"
        "    Write it as a def in a module that can be imported, or as a layer.",
    ),
    "an expression with a lambda": (
        lambda: Sequential(Expression(("x",), "f(x)", {"f": lambda x: x})),
        HEAD + "net[0] lambda x: f(x) uses a function that is a lambda, which has no name that a file could import.\n"
        "    Write it as a def in a module that can be imported, or as a layer.",
    ),
    "a wrapper": (
        lambda: Sequential(linear(), ("wrapped", Wrapper(nn.Sequential(linear())))),
        HEAD + "net.wrapped is a Sequential in the wrapper Wrapper, which the text would lack.\n"
        "    Write the network before it is wrapped.",
    ),
    "hooks": (
        hooked,
        HEAD + "net.part has hooks, which the text would lack.\n"
        "    Remove them, and register them on the module that the text builds.",
    ),
    "a forward of its own": (
        lambda: Sequential(linear(), Doubled(linear())),
        HEAD + "net[1] has a forward of its own, Doubled.forward, which the text would lack.\n"
        "    Write what it does in words, or as a layer: a module that is no Sequential.",
    ),
    "a forward that passes on": (
        lambda: Sequential(linear(), ("part", Passed(linear()))),
        HEAD + "net.part has a forward of its own, Passed.forward, which the text would lack.\n"
        "    Write what it does in words, or as a layer: a module that is no Sequential.",
    ),
    "a parameter of a sequence": (
        lambda: Sequential(Scaled(linear())),
        HEAD + "net[0] owns scale beside its layers, which the text would lack.\n    Put it into a layer.",
    ),
    "projections that are not made": (
        lambda: Sequential(linear(), add("input", project=True), ("pad", add("input", project="pad_channels"))),
        "2 faults in writing Sequential as plain Python\n"
        "  net[1] has project=True, and its layer is not made yet.\n"
        "    Call the network once, or net.check(shape, materialise=True), and write it then.\n"
        "  net[2] has project='pad_channels', and its layer is not made yet.\n"
        "    Call the network once, or net.check(shape, materialise=True), and write it then.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_written(name: str) -> None:
    build, text = FAULTS[name]
    with pytest.raises(ConversionError) as told:
        build().source()
    assert str(told.value) == text


@pytest.mark.parametrize("name", ["class", "a b", "", 3, "torch", "Tensor"])
def test_a_name_that_no_class_has(name: Any) -> None:
    with pytest.raises(ConversionError) as told:
        Sequential(linear()).source(name)
    assert str(told.value) == (
        f"Sequential cannot be written as the class {name!r}.\n"
        "  The name of a class is an identifier, no keyword of Python, and nothing that the file imports.\n"
        "  Write net.source(name='Net')."
    )


def test_what_is_built_is_compared_before_it_is_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_wide(module: nn.Module, path: Any, *_: Any) -> Made:
        return Made("nn.Linear", (Given("in_features", Value("5", "int")), Given("out_features", Value("4", "int"))), "", path)

    monkeypatch.setattr("skipseq.views.source.drafts.layer_tree", too_wide)
    with pytest.raises(ConversionError) as told:
        Sequential(linear()).source()
    assert str(told.value) == (
        "Sequential was written as a class that is not the same: its tensors differ.\n"
        "  ('0.weight', (4, 4), torch.float32) is ('0.weight', (4, 5), torch.float32)\n"
        "  Write the layer that owns them as a module of your own, in a file that can be imported."
    )
