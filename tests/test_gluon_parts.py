"""Scopes and blocks as parts: names that no sequence could have, parts inside parts, and which parameter is whose."""

from __future__ import annotations

import copy
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skipseq import Sequential
from skipseq.bridges.gluon import from_gluon, value_names
from skipseq.errors import FileError

from .gluon_files import node, symbol_text, variable, written

DATA = variable("data")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(folder: Path, *nodes: Any, params: Any = None, heads: Any = None) -> Sequential:
    return from_gluon(*written(folder, symbol_text(*nodes, heads=heads), params))


def chain(*names: str) -> list[dict[str, Any]]:
    return [DATA, *[node("relu", name, i) for i, name in enumerate(names)]]


# Names


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("input", "input_2"),
        ("append", "append_2"),
        ("training", "training_2"),
        ("summary", "summary_2"),
        ("class", "class_2"),
        ("a.b", "a_b"),
        (".", "_"),
        ("a/b c", "a_b_c"),
        ("\u00fc", "_"),
        ("\u00b2", "_"),
        ("\0", "_"),
        ("0", "0"),
        ("1234567", "_1234567"),
        ("relu0", "relu0"),
        ("x" * 4000, "x" * 120),
    ],
)
def test_scopes_that_can_be_no_keys_are_parts_with_like_ones(tmp_path: Path, scope: str, key: str) -> None:
    net = read(tmp_path, *chain(f"{scope}_relu0_fwd", f"{scope}_relu1_fwd", "z_relu2_fwd"))
    assert [name for name, _ in net.named_modules()][1:4] == [key, f"{key}.relu0", f"{key}.relu1"]
    assert torch.equal(Sequential.from_yaml(net.to_yaml())(numbers(3)), numbers(3).relu())


def test_layers_whose_numbers_are_those_of_parts(tmp_path: Path) -> None:
    net = read(tmp_path, *chain("n_1_r0", "n_1_r1", "n_0_r", "n_r", "n_2", "n_1"))
    assert [key for key, _ in net.named_children()] == ["1", "_0_r", "r", "2", "_1"]
    assert torch.equal(net(numbers(3)), numbers(3).relu())


def test_operators_keep_the_strokes_in_their_names(tmp_path: Path) -> None:
    nodes = [DATA, node("_plus_scalar", "n_plus", 0, scalar="1.0"), node("expand_dims", "n_expand_dims0", 1, axis="0")]
    net = read(tmp_path, *nodes, node("expand_dims", "n_expand_dims1", 2, axis="0"))
    assert [key for key, _ in net.named_children()][1:] == ["expand_dims0", "expand_dims1"]


def test_values_that_are_called_as_words(tmp_path: Path) -> None:
    """A sequence calls its own words ``add_0``, ``add_1``."""
    nodes = [DATA, node("elemwise_add", "add_0", 0, 0), node("elemwise_add", "add_1", 1, 1), node("relu", "a", 2)]
    nodes += [node("elemwise_add", "add_2", 3, 1), node("elemwise_add", "save_0", 4, 2), node("elemwise_mul", "b", 5, 4)]
    net = read(tmp_path, *nodes, heads=[[6, 0, 0], [4, 0, 0]])
    x = numbers(3)
    third = (4 * x).relu() + 2 * x
    assert torch.allclose(net(x)[0], (third + 4 * x) * third)
    assert torch.equal(net(x)[1], third)


@pytest.mark.parametrize("names", [("data", "left"), ("add_0", "cat_1"), ("input", "append")])
def test_inputs_that_are_called_as_scopes(tmp_path: Path, names: tuple[str, str]) -> None:
    """A name is looked up in the part in which it stands first: there none may be that of an input."""
    nodes = [variable(name) for name in names]
    nodes += [node("relu", f"{names[0]}_{names[1]}_fwd", 0), node("elemwise_add", f"{names[0]}_plus", 2, 1)]
    nodes += [node("relu", f"{names[1]}_fwd", 3), node("elemwise_sub", "z_minus", 4, 0)]
    net = read(tmp_path, *nodes)
    left, right = numbers(3), numbers(3, seed=1)
    assert torch.allclose(net(left, right), (left.relu() + right).relu() - left)


# Any names

PARTS = [
    "a",
    "b",
    "0",
    "1",
    "00",
    "input",
    "a.b",
    "a-b",
    "\u00b2",
    "append",
    "data",
    "value",
    "a_0",
    "",
    "add_0",
    "skips",
    "relu0",
]


@st.composite
def symbols(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    nodes: list[Any] = [DATA, *([variable(draw(st.sampled_from(["a", "0", "add_0"])))] if draw(st.booleans()) else [])]
    scopes: list[str] = []
    for _ in range(draw(st.integers(1, 10))):
        scopes = scopes[: draw(st.integers(0, 4))] + draw(st.lists(st.sampled_from(PARTS), max_size=2))
        name = "_".join([*scopes, draw(st.sampled_from(PARTS))]) + draw(st.sampled_from(["_fwd", ""]))
        sources = [draw(st.integers(max(0, len(nodes) - 4), len(nodes) - 1)) for _ in range(2)]
        is_join = draw(st.booleans())
        nodes.append(node("elemwise_add", name, *sources) if is_join else node("relu", name, sources[0]))
    heads = draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=3))
    return nodes, [[head, 0, 0] for head in ([len(nodes) - 1] if draw(st.booleans()) else heads)]


@given(symbols())
@settings(max_examples=150, deadline=None, database=None)
def test_a_symbol_with_any_names_is_read(tmp_path_factory: pytest.TempPathFactory, symbol: tuple[list[Any], list[Any]]) -> None:
    nodes, heads = symbol
    inputs = {each["name"]: numbers(3, seed=i) for i, each in enumerate(nodes) if each["op"] == "null"}
    values: list[Tensor] = []
    needed: list[set[str]] = []
    for each in nodes:
        given = [values[entry[0]] for entry in each["inputs"]]
        values.append(inputs[each["name"]] if not given else given[0].relu() if each["op"] == "relu" else given[0] + given[1])
        needed.append({each["name"]} if not given else set().union(*(needed[entry[0]] for entry in each["inputs"])))
    net = read(tmp_path_factory.getbasetemp(), *nodes, heads=heads)
    used = set().union(*(needed[head[0]] for head in heads))
    found = net(*[value for name, value in inputs.items() if name in used])
    found = found if isinstance(found, tuple) else (found,)
    assert all(torch.equal(a, values[head[0]]) for a, head in zip(found, heads, strict=True))
    assert str(pickle.loads(pickle.dumps(net))) == str(copy.deepcopy(net)) == str(net)


# Depth and length


@pytest.mark.parametrize(
    "names",
    [
        ["a_" * 2000 + "r0", "a_" * 2000 + "r1", "z"],
        ["a_" * i + "r0" for i in range(1, 120)],
        ["a_" * i + "r0" for i in [*range(1, 60), *range(60, 0, -1)]],
        [f"s{i}_" * 40 + f"r{j}" for i in range(3) for j in range(3)],
    ],
    ids=["strokes", "down", "down and up", "beside"],
)
def test_very_deep_scopes(tmp_path: Path, names: list[str]) -> None:
    net = read(tmp_path, *chain(*names))
    assert torch.equal(net(numbers(3)), numbers(3).relu())
    assert torch.equal(Sequential.from_yaml(net.to_yaml())(numbers(3)), numbers(3).relu())


def test_names_are_found_in_the_time_that_their_letters_take(tmp_path: Path) -> None:
    files = written(tmp_path, symbol_text(*chain(*["a_" * i + "r0" for i in range(1, 500)])))
    start = time.perf_counter()
    from_gluon(*files)
    assert time.perf_counter() - start < 20


# Whose parameters


def test_blocks_that_are_called_as_scopes_need_no_order(tmp_path: Path) -> None:
    """Of a pyramid, whose layers look alike: registered by levels, and used by kinds."""
    names = ["c_0", "c_1", "l_0", "l_1"]
    nodes: list[Any] = [DATA]
    for name in names:
        source = len(nodes) - 1
        nodes += [variable(f"{name}_weight"), variable(f"{name}_bias")]
        nodes.append(node("FullyConnected", f"{name}_fwd", source, source + 1, source + 2, num_hidden="4"))
    order = ["c_0", "l_0", "c_1", "l_1"]
    params = {f"{name}.{last}": numbers(*shape, seed=i) for i, name in enumerate(order) for last, shape in LASTS.items()}
    net = read(tmp_path, *nodes, params=params)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in params.items())
    assert list(net.state_dict()) == [f"{name}.{last}" for name in names for last in LASTS]


LASTS = {"weight": (4, 4), "bias": (4,)}


def test_a_norm_has_the_key_of_its_block(tmp_path: Path) -> None:
    """Gluon counts the operator anew in each scope: ``layernorm1_layernorm0``."""
    nodes: list[Any] = [DATA]
    for name in ("n_layernorm0", "n_layernorm1"):
        source = len(nodes) - 1
        nodes += [variable(f"{name}_gamma"), variable(f"{name}_beta")]
        nodes.append(node("LayerNorm", f"{name}_layernorm0", source, source + 1, source + 2))
    params = {f"{name}.{last}": numbers(4, seed=i) for i, name in enumerate(("one", "two")) for last in ("gamma", "beta")}
    assert list(read(tmp_path, *nodes, params=params).state_dict()) == ["one.weight", "one.bias", "two.weight", "two.bias"]


def test_constants_are_not_trained(tmp_path: Path) -> None:
    """What ``params.get_constant`` made."""
    constant = variable("c", __shape__="(3,)", __wd_mult__="1.0", __init__="Constant_c_139787432541584")
    weight = variable("w", __shape__="(3,)", __wd_mult__="1.0", __init__="ones")
    nodes = [DATA, constant, weight, node("broadcast_add", "a", 0, 1), node("broadcast_mul", "m", 3, 2)]
    net = read(tmp_path, *nodes, params={"arg:c": numbers(3), "arg:w": numbers(3, seed=1)})
    assert [parameter.requires_grad for parameter in net.parameters()] == [False, True]


@pytest.mark.parametrize("operator", ["RNN", "_zeros", "_rnn_param_concat"])
def test_recurrent_networks_are_refused_by_that_name(tmp_path: Path, operator: str) -> None:
    with pytest.raises(FileError, match="The network is recurrent") as caught:
        read(tmp_path, DATA, node(operator, "lstm0", 0))
    assert caught.value.advice.startswith("Write this part with nn.LSTM, nn.GRU or nn.RNN")


def test_names_of_values_are_those_of_the_network(tmp_path: Path) -> None:
    path, _ = written(tmp_path, symbol_text(*chain("n_input_r0_fwd", "n_input_r1_fwd", "n_z_fwd")))
    net, names = from_gluon(path), value_names(path)
    assert names == {"data": "data", "n_input_r0_fwd": "input_2.r0", "n_input_r1_fwd": "input_2.r1", "n_z_fwd": "z"}
    _, values = net.record(numbers(3), "input_2.r1")
    assert torch.equal(values["input_2.r1"], numbers(3).relu())
