"""Graphs of other worlds in words: on random graphs the sequence gives what the operations give one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skipseq import Sequential, add, cat, mul, pick, sub
from skipseq.bridges.graph import Operation, free_name, in_words
from skipseq.declare.words import JoinWord, PickWord

PARTS = [(), ("left",), ("right",), ("left", "inner"), ("left", "inner", "core"), ("right", "inner")]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Operation], list[str], list[str]]:
    inputs = draw(st.sampled_from([["data"], ["x", "t"]]))
    values, operations = list(inputs), []
    for i in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["linear", "relu", "join", "number", "function", "pick"]))
        part = draw(st.sampled_from(PARTS))
        one, two = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        given_key = draw(st.booleans())
        layer = nn.Linear(4, 4, dtype=torch.float64)
        choices: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "linear": (layer, (one,)),
            "relu": (nn.Tanh(), (one,)),
            "join": (draw(st.sampled_from([add(), mul(), sub()])), (one, two)),
            "number": (draw(st.sampled_from([add(), mul(), sub()])), draw(st.permutations([one, 0.5]))),
            "function": (torch.maximum, (one, two)),
            "pick": (pick[:, :4], (one,)),
        }
        entry, operands = choices[kind]
        operations.append(Operation(f"v{i}", entry, tuple(operands), part, f"k{i}" if given_key and part else None))
        values.append(f"v{i}")
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    return operations, inputs, outputs


def value_of(operation: Operation, values: dict[str, Any]) -> torch.Tensor:
    operands = [values[each] if isinstance(each, str) else each for each in operation.operands]
    if isinstance(operation.entry, PickWord):
        return operands[0][operation.entry.choice]
    if not isinstance(operation.entry, JoinWord):
        return operation.entry(*operands)
    return {"add": torch.add, "mul": torch.mul, "sub": lambda a, b: a - b}[operation.entry.joined.operator](
        *(each if isinstance(each, torch.Tensor) else torch.tensor(each, dtype=torch.float64) for each in operands)
    )


@given(graphs())
@settings(max_examples=150, deadline=None, database=None)
def test_a_graph_in_words_gives_what_its_operations_give(graph: tuple[list[Operation], list[str], list[str]]) -> None:
    operations, inputs, outputs = graph
    net = in_words(operations, inputs, outputs)
    values = {name: torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for name in inputs}
    known = dict(values)
    for operation in operations:
        known[operation.name] = value_of(operation, known)
    expected = [known[each] for each in outputs]
    got = net(*values.values())
    got = got if len(outputs) > 1 else (got,)
    torch.testing.assert_close(list(got), expected)
    gradients = [
        torch.autograd.grad(sum(each.sum() for each in result), [*values.values()], allow_unused=True)
        for result in (got, expected)
        if any(each.requires_grad for each in result)
    ]
    torch.testing.assert_close(*gradients)


def test_a_part_that_is_left_and_entered_again_is_no_part() -> None:
    graph = [
        Operation("a", nn.Linear(2, 2), ("data",), ("part",)),
        Operation("b", nn.Linear(2, 2), ("a",)),
        Operation("c", nn.Linear(2, 2), ("b",), ("part",)),
    ]
    assert list(in_words(graph, ["data"], ["c"])._modules) == ["a", "b", "c"]


def test_parts_read_each_other_by_labels() -> None:
    graph = [
        Operation("conv1", nn.Conv2d(3, 8, 3, padding=1), ("data",), ("encoder",), "conv"),
        Operation("pool1", nn.MaxPool2d(2), ("conv1",), ("encoder",), "pool"),
        Operation("up", nn.ConvTranspose2d(8, 8, 2, 2), ("pool1",), ("decoder",)),
        Operation("joined", cat(), ("up", "conv1"), ("decoder",)),
    ]
    assert str(in_words(graph, ["data"], ["joined"])) == (
        "Sequential(\n"
        "    ('encoder', Sequential(\n"
        "        ('conv', nn.Conv2d(3, 8, 3, padding=1)),\n"
        "        save('conv1'),  # -> net.decoder[1]\n"
        "        ('pool', nn.MaxPool2d(2)),\n"
        "    )),\n"
        "    ('decoder', Sequential(\n"
        "        ('up', nn.ConvTranspose2d(8, 8, 2, stride=2)),\n"
        "        cat('conv1'),   # <- net.encoder[1]\n"
        "    )),\n"
        ")"
    )


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [("a.b-c", [], "a_b_c"), ("1", [], "_1"), ("", [], "layer"), ("class", [], "class_2"), ("append", [], "append_2")],
)
def test_free_names(wanted: str, taken: list[str], name: str) -> None:
    assert free_name(wanted, taken) == name
    Sequential((name, nn.ReLU()))
