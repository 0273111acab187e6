"""Published models become words and classes again, and stay the same network.

Each model of tests/zoo.py is read by ``from_forward``, compared with the original, written as source, and that is read once
more. What is found for each is a row of docs/round_trips.md, which `pytest --overwrite` writes anew.
"""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, cat, here, save, take
from skipseq.bridges.forward.trace import from_forward
from skipseq.declare.compose import grouped
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import children_of, inside, is_plain, is_wired
from skipseq.declare.functions import Expression, Function
from skipseq.declare.held import Held
from skipseq.declare.words import Word
from skipseq.errors import ConversionError
from skipseq.flatten import Line
from skipseq.wiring import Join, Part, Wiring

from .zoo import ZOO, Published

TABLE = Path(__file__).parent.parent / "docs" / "round_trips.md"

HEAD = """# Round trips

Published models, with random weights, each among the smallest of its kind or made smaller, are read by `from_forward`,
written as source by `net.source()`, and read once more. `tests/test_round_trips.py` does so, and writes this table.

**Same** means bit by bit: outputs in evaluation and in training mode, for the size of the example and for another one;
gradients of the input and of all parameters; parameters and buffers after a training step; and the keys of `state_dict`, in
order, unless said otherwise. The class that the source defines has the keys of the network, loads the same `state_dict` and
gives the same outputs.

**Entries** are those of the whole tree, **opened** the modules with a `forward` of their own that were read, **kept whole** the
layers that are none of torch and stand in the network as they are. **Read again** tells whether the class is read as the same
words, or as the same operations on the same values in other words: what was no layer may be one in the source, with a name.

| model | entries | opened | kept whole | source lines | same | read again | remark |
| --- | ---: | ---: | ---: | ---: | --- | --- | --- |
"""


# What is compared


def filled(model: nn.Module) -> nn.Module:
    """The model with numbers in whatever starts as all zeros or all ones: a branch that begins at zero would hide faults."""
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point() and value.numel() > 1 and (value == value.flatten()[0]).all():
                value.uniform_(0.5, 1.5)
    return model.eval()


def tensors_of(result: Any) -> list[Tensor]:
    """The tensors of an output: one, or several in a list, tuple or dict."""
    if isinstance(result, Tensor):
        return [result]
    values = result.values() if isinstance(result, dict) else result
    return [tensor for each in values for tensor in tensors_of(each)]


def assert_equal(what: str, one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other), what
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        assert a.isfinite().all(), f"{what} {i} is not finite"
        assert torch.equal(a, b), f"{what} {i} differs by {(a - b).abs().max():.3g} of {a.abs().max():.3g}"


def in_evaluation(model: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """The outputs for an input of this shape."""
    with torch.no_grad():
        return tensors_of(model.eval()(numbers(shape)))


def after_training(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The outputs, gradients, and what is in the state of a copy of the model after a training step."""
    model = copy.deepcopy(model).train()
    value = numbers(shape).requires_grad_()
    torch.manual_seed(1)
    outputs = tensors_of(model(value))
    sum((output * numbers(tuple(output.shape))).sum() for output in outputs).backward()
    found = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    found["gradient of the input"] = value.grad
    found |= {f"gradient of {name}": each.grad for name, each in model.named_parameters() if each.grad is not None}
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    return found | {f"{name} after a step": each for name, each in model.state_dict().items()}


def numbers(shape: tuple[int, ...]) -> Tensor:
    """Numbers that are the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def assert_same(model: nn.Module, net: nn.Module, published: Published) -> None:
    """The same outputs, gradients and state, under the same keys."""
    assert sorted(net.state_dict()) == sorted(model.state_dict())
    for shape in (published.shape, published.other):
        assert_equal(f"output for {shape}", in_evaluation(model, shape), in_evaluation(net, shape))
    expected, received = after_training(model, published.shape), after_training(net, published.shape)
    assert sorted(received) == sorted(expected)
    for name, value in expected.items():
        assert_equal(name, [value], [received[name]])


# The way back


def executed(text: str, net: Sequential) -> nn.Module:
    """What the source of a network builds; the layers that it is given are copies of those of the network."""
    known: dict[str, Any] = {"__name__": "round_trip"}
    exec(compile(text, "<source of a network>", "exec"), known)
    given = re.findall(r"^        (\w+): the .* at (\w+(?:\.\w+)*)", known["Net"].__doc__ or "", re.MULTILINE)
    layers = {name: copy.deepcopy(net.get_submodule(path)) for name, path in given}
    for layer in layers.values():
        spoiled(layer)
    return known["Net"](**layers)


def spoiled(model: nn.Module) -> None:
    """Other numbers in whatever a checkpoint brings: what is equal behind loading it was loaded."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value.zero_()


def listed(net: nn.Module) -> list[tuple[str, str]]:
    """Every module of a tree: words and layers as one would write them, containers without their classes."""
    return [(name, told(module)) for name, module in net.named_modules(remove_duplicate=False)]


def told(module: nn.Module) -> str:
    """A word, a function or a layer as one would write it; the values of an expression have any names."""
    if is_container(module):
        return "container"
    if isinstance(module, Word):
        return module.written(told)
    text = constructor(module)
    for i, name in enumerate(module.function.parameters if is_expression(module) else ()):
        text = re.sub(rf"(?<![.\w]){name}\b", f"value_{i}", text)
    return text


def is_expression(module: nn.Module) -> bool:
    return isinstance(module, Function) and isinstance(module.function, Expression)


def is_container(module: nn.Module) -> bool:
    return is_plain(module) or is_wired(module)


def operations(net: Sequential) -> list[tuple[Any, ...]]:
    """What is done to which values, in order, in whatever containers it stands."""
    line = Line(net, inside)
    _, results = line.add_root(net.wiring)
    found: list[tuple[Any, ...]] = []
    for each in line.operations:
        step = each.place.chain[-1][2]
        how = told(each.module) if each.module is not None else getattr(step, "choice", getattr(step, "operator", None))
        options = (step.dim, step.broadcast, step.fit) if isinstance(step, Join) else ()
        found.append((each.kind, how, options, each.takes, each.named, each.gives))
    return [*found, ("results", results)]


def words_again(net: Sequential, second: Sequential) -> str:
    """Whether a network that was read twice is the same in its words, or in what it does alone."""
    same = listed(second) == listed(net) and without_classes(second.wiring) == without_classes(net.wiring)
    return "the same words" if same else "the same operations"


def keys_too(model: nn.Module, net: Sequential) -> str:
    """That all is the same, and whether the keys come in the same order."""
    return "yes" if list(net.state_dict()) == list(model.state_dict()) else "yes, keys in the order of use"


def without_classes(wiring: Wiring) -> Wiring:
    """The wiring, whatever the classes of its parts are."""
    steps = [replace(s, wiring=without_classes(s.wiring), plain=False) if isinstance(s, Part) else s for s in wiring.steps]
    return replace(wiring, steps=tuple(steps))


# The row of a model


def counted(model: nn.Module, net: Sequential) -> tuple[int, int, int]:
    """How many entries a network has, how many modules were opened, and how many layers were kept whole."""
    containers = [(name, module) for name, module in net.named_modules() if is_container(module)]
    known = dict(model.named_modules())
    opened = [name for name, _ in containers if name in known and not is_plain(known[name])]
    whole = {
        name
        for name, module in net.named_modules()
        if not is_container(module)
        and not isinstance(module, Word | Function | Held)
        and not type(module).__module__.startswith("torch.")
    }
    outermost = [name for name in whole if not any(name.startswith(f"{other}.") for other in whole)]
    return sum(len(grouped(children_of(module))) for _, module in containers), len(opened), len(outermost)


def row(published: Published, cells: tuple[Any, ...]) -> str:
    return f"| {published.name} | {' | '.join(map(str, cells))} | {published.remark} |"


def compare(published: Published, written: str, overwrite: bool) -> None:
    """Compares the row of a model with the table, or writes it there."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    rows = {line.split(" | ")[0]: line for line in lines if line.startswith("| ")}
    name = f"| {published.name}"
    if overwrite:
        rows[name] = written
        body = [rows[key] for each in ZOO if (key := f"| {each.name}") in rows]
        TABLE.write_text(HEAD + "\n".join(body) + "\n")
    else:
        assert rows.get(name) == written, (
            "docs/round_trips.md tells something else. If the new row is right: pytest --overwrite."
        )


def there_and_back(model: nn.Module, net: Sequential, published: Published) -> tuple[Any, ...]:
    """Writes the network, builds the class, reads it again; the cells that tell of it."""
    source = net.source("Net")
    again = executed(source.text, net).eval()
    assert list(again.state_dict()) == list(net.state_dict())
    again.load_state_dict(model.state_dict())
    assert_equal("output of the source", in_evaluation(model, published.shape), in_evaluation(again, published.shape))
    second = from_forward(again, torch.zeros(published.shape))
    assert operations(second) == operations(net)
    return len(source.lines), keys_too(model, net), words_again(net, second)


@pytest.mark.parametrize("published", [each for each in ZOO if not each.refused], ids=lambda each: each.name)
def test_a_published_model_there_and_back(published: Published, request: pytest.FixtureRequest) -> None:
    model = filled(published.build())
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", ".*the keys come in the order of use", UserWarning)
        net = from_forward(model, torch.zeros(published.shape))
    assert bool(caught) == (list(net.state_dict()) != list(model.state_dict()))
    assert_same(model, net, published)
    cells = (*counted(model, net), *there_and_back(model, net, published))
    compare(published, row(published, cells), request.config.getoption("--overwrite"))


@pytest.mark.parametrize("published", [each for each in ZOO if each.refused], ids=lambda each: each.name)
def test_a_published_model_that_is_refused(published: Published, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ConversionError, match=published.refused):
        from_forward(published.build(), torch.zeros(published.shape))
    compare(published, row(published, ("", "", "", "", "refused", "")), request.config.getoption("--overwrite"))


def test_the_table_has_every_model_once() -> None:
    text = TABLE.read_text()
    assert text.startswith(HEAD)
    names = [line.split(" | ")[0] for line in text.removeprefix(HEAD).splitlines()]
    assert names == [f"| {each.name}" for each in ZOO]


def test_the_comparison_notices() -> None:
    """What compares two networks would tell a difference in each of the things that it compares."""
    published = Published("two layers", lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), (4, 3), (5, 3))
    model = filled(published.build())
    assert_same(model, copy.deepcopy(model), published)
    for spoil in (
        lambda net: net[0].weight.data.add_(1e-6),
        lambda net: net[1].running_mean.add_(1e-6),
        lambda net: setattr(net[1], "momentum", 0.2),
        lambda net: net[0].register_forward_hook(lambda _, __, result: result + (result - result.detach())),
        lambda net: net.register_module("2", net[0]),
    ):
        other = copy.deepcopy(model)
        spoil(other)
        with pytest.raises(AssertionError):
            assert_same(model, other, published)


def test_the_comparison_of_operations_notices() -> None:
    left, right = nn.Linear(3, 3), nn.Linear(3, 3)
    net = Sequential(left, take("input"), right, cat("0", here))
    assert operations(net) == operations(Sequential(Sequential(left, save("a")), take("input"), right, cat("a", here)))
    for other in (
        Sequential(left, take("input"), right, cat("0")),
        Sequential(left, take("input"), right, cat("0", here, dim=-1)),
        Sequential(left, right, cat("0", here)),
        Sequential(left, take("input"), nn.Linear(3, 3, bias=False), cat("0", here)),
        Sequential(left, take("input"), right, cat("0", here), outputs="0"),
    ):
        assert operations(net) != operations(other)
