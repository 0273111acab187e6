"""Symbols and parameters that no honest program wrote, and valid ones that were damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skipseq.bridges.gluon import from_gluon

from .fuzzing import damaged, read_or_refused
from .gluon_files import node, symbol_text, variable, written
from .test_gluon_reading_files import DATA, NETWORKS, dense, fault, network, numbers


def nested(text: str, depth: int = 100_000) -> str:
    return text * depth


RELU = node("relu", "a", 0)

#: What is wrong: the place, the problem, what was expected and received.
HOSTILE = {
    "empty": ("", "line 1, column 1", "The JSON is broken.", "a symbol as JSON", "Expecting value"),
    "deep lists": (nested("["), "", "The JSON is nested too deeply.", "five levels", "more than a hundred"),
    "deep objects": (nested('{"a":'), "", "The JSON is nested too deeply.", "five levels", "more than a hundred"),
    "no object": ("[1]", "", "This is no symbol.", "an object with 'nodes' and 'heads'", "a list"),
    "no nodes": ('{"heads": []}', "", "This is no symbol.", "an object with 'nodes' and 'heads'", "an object with 'heads'"),
    "nan": ('{"nodes": [NaN], "heads": []}', "", "JSON knows no such number.", "a number", "NaN"),
    "a key twice": ('{"nodes": [], "nodes": []}', "", "A key stands twice in one object.", "each key once", "'nodes'"),
    "a long number": (
        '{"nodes": [' + "9" * 5000 + '], "heads": []}',
        "",
        "A number is too long.",
        "numbers of 32 bits",
        "thousands of digits",
    ),
    "nothing": (symbol_text(heads=[[0, 0, 0]]), "", "The symbol has no nodes.", "at least one node", "none"),
    "no head": (symbol_text(DATA, RELU, heads=[]), "", "The symbol has no results.", "at least one head", "none"),
    "a node that is a number": (
        symbol_text(DATA, 7),
        "node 1",
        "A node is an object.",
        "an object with 'op', 'name' and 'inputs'",
        "a number",
    ),
    "a name that is a number": (
        symbol_text(DATA, RELU | {"name": 7}),
        "node 1",
        "The 'name' of a node is a text.",
        "a text",
        "a number",
    ),
    "half a letter": (
        symbol_text(variable("\ud800")),
        "node 0",
        "The 'name' of a node is a text.",
        "a text",
        r"'\ud800'",
    ),
    "a long name": (
        symbol_text(variable("x" * 5000)),
        "node 0",
        "The 'name' of a node is too long.",
        "at most 4096 letters",
        "5000 letters",
    ),
    "an attribute that is a number": (
        symbol_text(DATA, RELU | {"attrs": {"axis": 1}}),
        "node 1 'a' (relu)",
        "The attribute 'axis' is no text.",
        "a text",
        "a number",
    ),
    "attributes that are a list": (
        symbol_text(DATA, RELU | {"param": []}),
        "node 1 'a' (relu)",
        "Attributes are an object.",
        "an object",
        "a list",
    ),
    "inputs that are a text": (
        symbol_text(DATA, RELU | {"inputs": "data"}),
        "node 1 'a' (relu)",
        "The inputs of a node are a list.",
        "a list",
        "a text",
    ),
    "a variable with inputs": (
        symbol_text(DATA, variable("b") | {"inputs": [[0, 0, 0]]}),
        "node 1 'b' (a variable)",
        "A variable takes no values.",
        "no inputs",
        "1 inputs",
    ),
    "forward": (
        symbol_text(DATA, node("relu", "a", 2), node("relu", "b", 1)),
        "node 1 'a' (relu)",
        "It reads a node that does not stand before it.",
        "a number from 0 to 0",
        "2",
    ),
    "itself": (
        symbol_text(DATA, node("relu", "a", 1)),
        "node 1 'a' (relu)",
        "It reads a node that does not stand before it.",
        "a number from 0 to 0",
        "1",
    ),
    "outside": (
        symbol_text(DATA, node("relu", "a", 2**31)),
        "node 1 'a' (relu)",
        "It reads a node that does not stand before it.",
        "a number from 0 to 0",
        str(2**31),
    ),
    "first": (
        symbol_text(node("relu", "a", 0)),
        "node 0 'a' (relu)",
        "It reads a node that does not stand before it.",
        "no inputs: it is the first node",
        "0",
    ),
    "negative": (
        symbol_text(DATA, node("relu", "a", [-1, 0, 0])),
        "node 1 'a' (relu)",
        "A value is named by numbers.",
        "[node, result, version], from 0",
        "[-1, 0, 0]",
    ),
    "true": (
        symbol_text(DATA, node("relu", "a", [False, 0, 0])),
        "node 1 'a' (relu)",
        "A value is named by numbers.",
        "[node, result, version], from 0",
        "[False, 0, 0]",
    ),
    "short": (
        symbol_text(DATA, node("relu", "a", [0])),
        "node 1 'a' (relu)",
        "A value is named by numbers.",
        "[node, result, version], from 0",
        "[0]",
    ),
    "a head to nowhere": (
        symbol_text(DATA, RELU, heads=[[1, 0, 0], [2, 0, 0]]),
        "head 1 of 2",
        "It reads a node that does not stand before it.",
        "a number from 0 to 1",
        "2",
    ),
    "a head that is no result": (
        symbol_text(DATA, RELU, heads=[[1, 4, 0]]),
        "node 1 'a' (relu)",
        "It reads a result that is not there.",
        "a result from 0 to 0 of node 1 'a' (relu)",
        "4",
    ),
    "two variables of a name": (
        symbol_text(DATA, DATA, RELU),
        "node 1 'data' (a variable)",
        "Two variables have the same name.",
        "a name for each",
        "that of node 0 'data' (a variable)",
    ),
    "a list of other variables": (
        symbol_text(DATA, RELU, arg_nodes=[0, 1]),
        "arg_nodes",
        "This is no variable.",
        "nodes with 'op': 'null'",
        "node 1",
    ),
    "a graph inside": (
        symbol_text(DATA, node("_foreach", "a", 0) | {"subgraphs": [{}]}),
        "node 1 'a' (_foreach)",
        "The node holds a graph of its own.",
        "a node without 'subgraphs'",
        "_foreach",
    ),
    "an operator that is not known": (
        symbol_text(DATA, node("Convolutoin", "a", 0)),
        "node 1 'a' (Convolutoin)",
        "This operator is not known.",
        "a known operator",
        "'Convolutoin'",
    ),
    "a number of inputs": (
        symbol_text(DATA, node("relu", "a", 0, 0)),
        "node 1 'a' (relu)",
        "The operator has another number of inputs.",
        "1 input",
        "2: data, data",
    ),
    "a parameter as a result": (
        symbol_text(DATA, variable("w", __wd_mult__="1", __shape__="(3,)"), RELU, heads=[[1, 0, 0]]),
        "node 1 'w' (a variable)",
        "A parameter is a result.",
        "a value that the network computes",
        "'w'",
    ),
    "no input": (
        symbol_text(variable("w", __wd_mult__="1", __shape__="(3,)"), node("relu", "a", 0)),
        "node 1 'a' (relu)",
        "Input 0 is a parameter.",
        "a value that the network computes",
        "w",
    ),
    "too long": (
        symbol_text(DATA, *[node("relu", f"a{i}", i) for i in range(5001)]),
        "",
        "The network is too long for a sequence.",
        "at most 5000 operators",
        "5001",
    ),
}


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_symbols_are_refused_with_their_place(tmp_path: Path, label: str) -> None:
    text, where, problem, expected, received = HOSTILE[label]
    error = fault(tmp_path, text)
    assert (error.where, error.problem, error.expected) == (where, problem, expected)
    assert error.received.startswith(received)
    assert error.file == str(tmp_path / "net-symbol.json")
    assert len(str(error)) < 5000


def test_an_operator_that_is_not_known_says_which_are(tmp_path: Path) -> None:
    advice = fault(tmp_path, HOSTILE["an operator that is not known"][0]).advice
    assert advice.startswith("Did you mean 'Convolution'? Known are: Activation, BatchNorm, ")


def test_a_symbol_that_is_no_text(tmp_path: Path) -> None:
    error = fault(tmp_path, b'{"nodes": "\xff\xfe"}')
    assert (error.where, error.problem, error.expected) == ("byte 11", "The file is no text.", "UTF-8")


def test_a_mark_of_the_byte_order_is_no_fault(tmp_path: Path) -> None:
    path, _ = written(tmp_path, b"\xef\xbb\xbf" + symbol_text(DATA, RELU).encode())
    assert torch.equal(from_gluon(path)(numbers(3)), numbers(3).relu())


def test_values_that_double_cost_nothing(tmp_path: Path) -> None:
    """Each node reads the one before twice: as a tree this would be larger than the world."""
    nodes = [DATA, *[node("elemwise_add", f"a{i}", i, i) for i in range(100)]]
    assert torch.equal(network(tmp_path, symbol_text(*nodes))(torch.ones(1)), torch.tensor([2.0**100]))


@pytest.mark.parametrize("name", ["residual", "twins", "flat"])
def test_damaged_symbols_are_read_or_refused(tmp_path: Path, name: str) -> None:
    symbol, params = (NETWORKS / f"{name}-symbol.json").read_bytes(), (NETWORKS / f"{name}-0000.params").read_bytes()
    outcomes = [
        read_or_refused(lambda data: from_gluon(*written(tmp_path, data, params)), data) for data in damaged(symbol, 200)
    ]
    assert None in outcomes


@pytest.mark.parametrize("file", ["flat-0000.params", "flat.params", "twins.params"])
def test_damaged_parameters_are_read_or_refused(tmp_path: Path, file: str) -> None:
    name = file.split("-")[0].split(".")[0]
    symbol, params = (NETWORKS / f"{name}-symbol.json").read_bytes(), (NETWORKS / file).read_bytes()
    outcomes = [
        read_or_refused(lambda data: from_gluon(*written(tmp_path, symbol, data)), data) for data in damaged(params, 60)
    ]
    assert None in outcomes
    assert any(net is not None for net in outcomes)


def test_symbols_without_parameters_that_are_damaged(tmp_path: Path) -> None:
    nodes = [DATA, *dense("a", 1), node("Reshape", "r", 3, shape="(-1, 2, 2)"), node("Pooling", "p", 4, kernel="(2,)")]
    nodes[1] = variable("a_weight", __shape__="(4, 3)")
    text = symbol_text(*nodes).encode()
    outcomes = [read_or_refused(lambda data: from_gluon(*written(tmp_path, data)), data) for data in damaged(text, 300)]
    assert None in outcomes
    assert any(net is not None for net in outcomes)
