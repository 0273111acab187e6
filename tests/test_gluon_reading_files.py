"""Symbols and parameters together: older versions, names, blocks, shared weights, and files that no honest program wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential
from skipseq.bridges.gluon import from_gluon, value_names
from skipseq.bridges.gluon.names import readable_names
from skipseq.bridges.gluon.params import read_params
from skipseq.bridges.gluon.symbol import read_symbol
from skipseq.bridges.gluon.weights import weights_of
from skipseq.errors import FileError

from .fuzzing import read_or_refused
from .gluon_files import node, symbol_text, variable, written

NETWORKS = Path(__file__).parent / "data" / "gluon" / "networks"

DATA = variable("data")
DENSE = {"num_hidden": "4"}


def dense(name: str, first: int, source: int = 0, hidden: int = 4, weight: int | None = None) -> list[dict[str, Any]]:
    """A dense layer whose nodes stand from this number on."""
    nodes = [variable(f"{name}_bias")] if weight is not None else [variable(f"{name}_weight"), variable(f"{name}_bias")]
    own = (weight, first) if weight is not None else (first, first + 1)
    return [*nodes, node("FullyConnected", f"{name}_fwd", source, *own, num_hidden=str(hidden))]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def dense_values(name: str, ins: int = 4, outs: int = 4, seed: int = 0) -> dict[str, Tensor]:
    return {f"{name}_weight": numbers(outs, ins, seed=seed), f"{name}_bias": numbers(outs, seed=seed + 1)}


def network(folder: Path, text: str, params: Any = None, **options: Any) -> Sequential:
    return from_gluon(*written(folder, text, params), **options)


def fault(folder: Path, text: str | bytes, params: Any = None) -> FileError:
    with pytest.raises(FileError) as caught:
        from_gluon(*written(folder, text, params))
    return caught.value


# Versions


def conv_and_norm(kind: str) -> dict[str, Any]:
    """The same network as version 1.9, and as older ones wrote it."""
    convolution = {"kernel": "(3L, 3L)" if kind == "0.8" else "(3, 3)", "num_filter": "4", "no_bias": "True"}
    norm = {"fix_gamma": "False", "eps": "0.001"}
    old = {"attrs": "attrs", "1.0": "attr", "0.8": "param"}[kind if kind in ("1.0", "0.8") else "attrs"]
    nodes: list[Any] = [{"op": "null", "name": name, "inputs": []} for name in ("data", "c_weight")]
    nodes.append({"op": "Convolution", "name": "c", old: convolution, "inputs": [[0, 0], [1, 0]]})
    names = ["n_gamma", "n_beta"] + (["n_moving_mean", "n_moving_var"] if kind != "0.8" else [])
    nodes += [{"op": "null", "name": name, "inputs": []} for name in names]
    inputs = [[2, 0], *([3 + i, 0] for i in range(len(names)))]
    nodes.append({"op": "BatchNorm", "name": "n", old: norm, "inputs": inputs})
    if kind == "0.8":
        nodes[2]["attr"] = {"lr_mult": "2", "weight_lr_mult": "0.1", "ctx_group": "stage1"}
        nodes[2]["backward_source_id"] = -1
    version = {
        "1.9": {"attrs": {"mxnet_version": ["int", 10900]}},
        "1.0": {"attrs": {"mxnet_version": ["int", 10000]}},
        "0.8": {},
    }
    arguments = [i for i, each in enumerate(nodes) if each["op"] == "null"]
    return {"nodes": nodes, "arg_nodes": arguments, "heads": [[len(nodes) - 1, 0]], **version[kind]}


def norm_values() -> dict[str, Tensor]:
    values = {f"arg:n_{name}": numbers(4, seed=i) for i, name in enumerate(("gamma", "beta"))}
    values |= {"aux:n_moving_mean": numbers(4, seed=5), "aux:n_moving_var": numbers(4, seed=6).abs() + 1}
    return {"arg:c_weight": numbers(4, 3, 3, 3), **values}


@pytest.mark.parametrize("kind", ["1.9", "1.0", "0.8"])
def test_versions_of_the_symbol(tmp_path: Path, kind: str) -> None:
    """Attributes stand under other keys, and before 0.9 the statistics of batches stood nowhere."""
    values = norm_values()
    net = network(tmp_path, json.dumps(conv_and_norm(kind)), values)
    image = numbers(2, 3, 8, 8, seed=9)
    x = nn.functional.conv2d(image, values["arg:c_weight"])
    statistics = values["aux:n_moving_mean"], values["aux:n_moving_var"]
    expected = nn.functional.batch_norm(x, *statistics, values["arg:n_gamma"], values["arg:n_beta"], eps=0.001)
    assert torch.allclose(net(image), expected, atol=1e-6)
    assert not net.training


def test_statistics_are_missing_inputs_in_old_files_alone(tmp_path: Path) -> None:
    new = conv_and_norm("0.8") | {"attrs": {"mxnet_version": ["int", 10900]}}
    values = {key: value for key, value in norm_values().items() if not key.startswith("aux:")}
    assert "another number of inputs" in str(fault(tmp_path, json.dumps(new), values))


def test_attributes_of_training_are_left_out(tmp_path: Path) -> None:
    """Before version 1 they stood among those of the operator, and a prefix told the input."""
    path, _ = written(tmp_path, json.dumps(conv_and_norm("0.8")))
    convolution = next(each for each in read_symbol(path).nodes if each.name == "c")
    assert set(convolution.attributes) == {"kernel", "num_filter", "no_bias"}


@pytest.mark.parametrize(("version", "name", "kept"), [(904, "argmax", False), (905, "argmax", True), (904, "softmax", True)])
def test_the_axis_of_all_numbers_in_old_files(tmp_path: Path, version: int, name: str, kept: bool) -> None:
    attributes = {"mxnet_version": ["int", version]}
    path, _ = written(tmp_path, symbol_text(DATA, node(name, "a", 0, axis="-1"), attrs=attributes))
    assert ("axis" in read_symbol(path).nodes[1].attributes) is kept


# Names


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["net0_conv0_fwd", "net0_relu0_fwd"], ["conv0", "relu0"]),
        (["net0_a0_conv0_fwd", "net0_b0_conv0_fwd"], ["a0_conv0", "b0_conv0"]),
        (["net0_a0_conv0_fwd", "net0_b0_conv1_fwd", "net0__plus0"], ["conv0", "conv1", "plus0"]),
        (["net0_hybridsequential0_relu0_fwd", "net0_hybridsequential1_relu0_fwd"], ["part0_relu0", "part1_relu0"]),
        (["fc1", "fc1", "fc2"], ["fc1", "fc1_2", "fc2"]),
        (["1x1", "input", "append", "for", "a.b", "a/b"], ["_1x1", "input_2", "append_2", "for_2", "a_b", "a_b_2"]),
        (["_", "__", "ü"], ["layer", "layer_2", "_"]),
    ],
)
def test_names_are_short_and_different(tmp_path: Path, old: list[str], new: list[str]) -> None:
    path, _ = written(tmp_path, symbol_text(DATA, *[node("relu", name, i) for i, name in enumerate(old)]))
    symbol = read_symbol(path)
    assert list(readable_names(symbol, ()).values())[1:] == new
    assert all(name.isidentifier() for name in new)


def test_blocks_are_parts_with_the_keys_of_gluon() -> None:
    params = NETWORKS / "unet.params"
    names = value_names(NETWORKS / "unet-symbol.json", params)
    assert names["unet0_hybridsequential0_hybridsequential1_conv0_fwd"] == "encoder_1.0"
    assert names["unet0_hybridsequential0_hybridsequential1_relu0_fwd"] == "encoder_1.2"
    assert names["unet0_hybridsequential1_hybridsequential1_conv2_fwd"] == "decoder_1.6"
    keys = from_gluon(NETWORKS / "unet-symbol.json", params).state_dict().keys()
    assert {"encoder_1.0.weight", "encoder_1.4.running_var", "decoder_1.6.bias"} <= set(keys)


def test_blocks_that_run_in_a_row_have_the_keys_of_the_file() -> None:
    """What Gluon does not name by its block, the functions between two layers, stands in the block of both."""
    net = from_gluon(NETWORKS / "mixed-symbol.json", NETWORKS / "mixed.params")
    keys = {each.rpartition(".")[0] for each in net.state_dict()}
    assert keys == {each.rpartition(".")[0] for each in read_params(NETWORKS / "mixed.params")}
    assert isinstance(net.get_submodule("features.2.0.body.2"), nn.ReLU)


def test_scopes_of_the_names_are_parts() -> None:
    net = from_gluon(NETWORKS / "unet-symbol.json", NETWORKS / "unet-0000.params")
    assert {"part0_part0.conv0.weight", "part0_part0.batchnorm1.bias", "part1_part1.conv2.weight"} <= set(net.state_dict())


def test_inputs_and_results_have_names(tmp_path: Path) -> None:
    nodes = [variable("left"), variable("right"), node("elemwise_sub", "net_minus", 0, 1), node("relu", "net_relu", 2)]
    net = network(tmp_path, symbol_text(*nodes, heads=[[2, 0, 0], [3, 0, 0], [1, 0, 0], [3, 0, 0]]))
    left, right = numbers(2, 3), numbers(2, 3, seed=1)
    results = net(left, right)
    expected = [left - right, (left - right).relu(), right, (left - right).relu()]
    assert [torch.equal(*pair) for pair in zip(results, expected, strict=True)] == [True] * 4
    assert torch.equal(net(right=right, left=left)[0], left - right)


def test_an_input_can_be_a_result(tmp_path: Path) -> None:
    x = numbers(3)
    both = network(tmp_path, symbol_text(DATA, node("relu", "a", 0), heads=[[0, 0, 0], [1, 0, 0], [1, 0, 0]]))
    assert [each.tolist() for each in both(x)] == [x.tolist(), x.relu().tolist(), x.relu().tolist()]
    assert network(tmp_path, symbol_text(DATA))(x) is x


def test_what_leads_to_no_result_is_left_out(tmp_path: Path) -> None:
    nodes = [DATA, variable("label"), node("Nonsense", "dead", 0), node("relu", "positive", 1)]
    net = network(tmp_path, symbol_text(*nodes, node("SoftmaxOutput", "softmax", 0, 3)))
    assert len(net) == 1
    assert torch.allclose(net(numbers(2, 5)), numbers(2, 5).softmax(1))


def test_parts_of_a_value(tmp_path: Path) -> None:
    nodes = [DATA, node("SliceChannel", "s", 0, num_outputs="2"), node("elemwise_sub", "d", [1, 1, 0], [1, 0, 0])]
    net = network(tmp_path, symbol_text(*nodes))
    x = numbers(2, 6, 3)
    assert torch.equal(net(x), x[:, 3:] - x[:, :3])


def test_nodes_with_the_same_weights_are_one_layer(tmp_path: Path) -> None:
    nodes = [DATA, *dense("a", 1), node("FullyConnected", "again", 3, 1, 2, num_hidden="4")]
    values = dense_values("a")
    net = network(tmp_path, symbol_text(*nodes), values)
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    assert len(layers) == 2
    assert layers[0] is layers[1]
    x = numbers(2, 4, seed=3)
    once = nn.functional.linear(x, values["a_weight"], values["a_bias"])
    assert torch.allclose(net(x), nn.functional.linear(once, values["a_weight"], values["a_bias"]), atol=1e-6)


def test_a_weight_of_two_layers_is_tied(tmp_path: Path) -> None:
    nodes = [DATA, *dense("a", 1), *dense("b", 4, source=3, weight=1)]
    values = dense_values("a") | {"b_bias": numbers(4, seed=7)}
    net = network(tmp_path, symbol_text(*nodes), values)
    first, second = [layer for layer in net if isinstance(layer, nn.Linear)]
    assert first is not second
    assert first.weight is second.weight
    assert len(list(net.parameters())) == 3


def test_parameters_are_trained_and_statistics_are_not(tmp_path: Path) -> None:
    net = network(tmp_path, json.dumps(conv_and_norm("1.9")), norm_values())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert {key.rpartition(".")[2] for key, _ in net.named_buffers()} >= {"running_mean", "running_var"}
    values = weights_of(read_symbol(tmp_path / "net-symbol.json"), tmp_path / "net-0000.params", False).values
    assert {name for name, value in values.items() if not isinstance(value, nn.Parameter)} == {"n_moving_mean", "n_moving_var"}
    assert not {"running_mean", "running_var"} & {key.rpartition(".")[2] for key, _ in net.named_parameters()}


# Without parameters


def test_new_weights_where_the_symbol_tells_all_shapes(tmp_path: Path) -> None:
    nodes = [DATA, *dense("a", 1), *dense("b", 4, source=3, hidden=3)]
    nodes[1] = variable("a_weight", __shape__="(4, 5)")
    net = network(tmp_path, symbol_text(*nodes))
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(4, 5), (4,), (3, 4), (3,)]
    assert net(numbers(2, 5)).shape == (2, 3)


def test_weights_of_unknown_shape_need_the_file(tmp_path: Path) -> None:
    error = fault(tmp_path, symbol_text(DATA, *dense("a", 1)))
    assert (error.problem, error.received) == ("The symbol does not tell all shapes.", "1 without")
    assert error.advice == "Give the file of parameters. The shapes of these are not told: 'a_weight'."


def test_new_weights_are_bounded(tmp_path: Path) -> None:
    nodes = [DATA, *dense("a", 1, hidden=2_000_000_000)]
    nodes[1] = variable("a_weight", __shape__="(2000000000, 2000000000)")
    error = fault(tmp_path, symbol_text(*nodes))
    assert (error.problem, error.expected) == ("The parameters are too large.", "at most 8589934592 bytes")


# Names in the file of parameters


def two_layers(folder: Path, values: dict[str, Tensor]) -> dict[str, Tensor]:
    nodes = [DATA, *dense("net0_a", 1), *dense("net0_b", 4, source=3, hidden=3)]
    path, params = written(folder, symbol_text(*nodes), values)
    return weights_of(read_symbol(path), params, False).values


A, B = dense_values("a"), dense_values("b", outs=3, seed=5)


@pytest.mark.parametrize(
    "keys",
    [
        ["net0_a_weight", "net0_a_bias", "net0_b_weight", "net0_b_bias"],
        ["arg:net0_a_weight", "arg:net0_a_bias", "arg:net0_b_weight", "arg:net0_b_bias"],
        ["a_weight", "a_bias", "b_weight", "b_bias"],
        ["a.weight", "a.bias", "b.weight", "b.bias"],
        ["0.weight", "0.bias", "1.weight", "1.bias"],
    ],
)
def test_keys_of_parameters(tmp_path: Path, keys: list[str]) -> None:
    """Whole, with what they are, without the prefix of the network, and by blocks."""
    given = dict(zip(keys, [*A.values(), *B.values()], strict=True))
    found = two_layers(tmp_path, given)
    assert all(torch.equal(found[f"net0_{name}"], value) for name, value in (A | B).items())


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        two_layers(tmp_path, {"net0_a_weight": A["a_weight"], "x": A["a_bias"], "y": A["a_bias"]})
    error = caught.value
    assert error.received == "3 missing, 2 that the network does not read"
    lines = [
        "Missing: 'net0_a_bias', 'net0_b_bias', 'net0_b_weight'.",
        "Not read: 'x', 'y'.",
        "Give the file of this very network.",
    ]
    assert error.advice.splitlines() == lines


def test_parameters_that_nobody_reads_can_be_ignored(tmp_path: Path) -> None:
    files = written(tmp_path, symbol_text(DATA, *dense("a", 1)), A | {"b": A["a_bias"]})
    with pytest.raises(FileError, match="Write ignore_extra=True to read the others"):
        from_gluon(*files)
    assert len(list(from_gluon(*files, ignore_extra=True).parameters())) == 2


def test_an_array_that_is_arg_and_aux(tmp_path: Path) -> None:
    values = {"arg:a_weight": A["a_weight"], "aux:a_weight": A["a_weight"]}
    assert "Two arrays have the same name" in str(fault(tmp_path, symbol_text(DATA, *dense("a", 1)), values))


@pytest.mark.parametrize(
    ("values", "expected", "received"),
    [
        ({"a_weight": torch.zeros(5, 4), "a_bias": torch.zeros(4)}, "(4, any)", "(5, 4)"),
        ({"a_weight": torch.zeros(4, 4), "a_bias": torch.zeros(3)}, "(4)", "(3,)"),
        ({"a_weight": torch.zeros(4, 4, 1), "a_bias": torch.zeros(4)}, "(4, any)", "(4, 4, 1)"),
    ],
)
def test_parameters_of_another_shape(tmp_path: Path, values: dict[str, Tensor], expected: str, received: str) -> None:
    error = fault(tmp_path, symbol_text(DATA, *dense("a", 1)), values)
    assert error.problem == "The parameter has another shape than in the network."
    assert (error.expected, error.received) == (expected, received)


def test_channels_of_the_layer_before_are_checked(tmp_path: Path) -> None:
    text = json.dumps(conv_and_norm("1.9"))
    values = {key: value if key == "arg:c_weight" else torch.ones(5) for key, value in norm_values().items()}
    error = fault(tmp_path, text, values)
    assert error.where == "node 3 'n_gamma' (a variable)"
    assert (error.expected, error.received) == ("(4)", "(5,)")


# Blocks


def blocks(folder: Path, names: list[str], keys: list[str], seeds: list[int] | None = None) -> dict[str, str]:
    """Which key each parameter gets, in a row of dense layers of four numbers with these names."""
    nodes: list[Any] = [DATA]
    for name in names:
        source = len(nodes) - 1
        nodes += dense(name, len(nodes), source)
    given: dict[str, Tensor] = {}
    for i, key in enumerate(keys):
        seed = 10 * (seeds or range(len(keys)))[i]
        given |= {f"{key}.weight": numbers(4, 4, seed=seed), f"{key}.bias": numbers(4, seed=seed + 1)}
    path, params = written(folder, symbol_text(*nodes), given)
    found = weights_of(read_symbol(path), params, False).values
    first = {name: next(key for key, value in given.items() if torch.equal(value, found[f"{name}_weight"])) for name in names}
    return {name: key.removesuffix(".weight") for name, key in first.items()}


@pytest.mark.parametrize(
    ("names", "keys", "found"),
    [
        # Counters tell the order, whatever the order of use.
        (["n_dense1", "n_dense0"], ["a", "b"], ["b", "a"]),
        (["n_dense10", "n_dense9"], ["a", "b"], ["b", "a"]),
        # Scopes are finished before others begin.
        (["n_s1_dense0", "n_s0_dense1", "n_s0_dense0"], ["x.0", "x.1", "y.0"], ["y.0", "x.1", "x.0"]),
        # Like names come first, then the order of use.
        (["n_value", "n_query"], ["query", "value"], ["value", "query"]),
        (["n_one", "n_other"], ["a", "b"], ["a", "b"]),
        # Somebody sorted the names.
        ([f"n_dense{i}" for i in range(3)], ["2", "10", "9"], ["2", "10", "9"]),
        # The same scope is entered again.
        (["n_a_dense0", "n_b_dense0", "n_a_dense1"], ["0", "1", "2"], ["0", "2", "1"]),
    ],
)
def test_blocks_are_laid_over_scopes(tmp_path: Path, names: list[str], keys: list[str], found: list[str]) -> None:
    assert list(blocks(tmp_path, names, keys).values()) == found


def test_a_scope_that_is_left_and_entered_again(tmp_path: Path) -> None:
    """Nothing but the shapes says that the layer between belongs to another scope."""
    nodes = [DATA, *dense("a_dense0", 1), *dense("b_dense0", 4, 3, 5), *dense("a_dense1", 7, 6, 6)]
    values = {
        f"{i}.{last}": value
        for i, (ins, outs) in enumerate([(4, 4), (4, 5), (5, 6)])
        for last, value in {"weight": numbers(outs, ins), "bias": numbers(outs)}.items()
    }
    path, params = written(tmp_path, symbol_text(*nodes), values)
    found = weights_of(read_symbol(path), params, False).values
    assert found["b_dense0_weight"].shape == (5, 4)


def test_a_choice_that_led_nowhere_is_taken_back(tmp_path: Path) -> None:
    """The layer that is used first is not the first of the file: the second one of the file could not come then."""
    nodes = [DATA, *dense("n_y0", 1), *dense("n_x0", 4), *dense("n_x1", 7, hidden=5)]
    values = {f"{key}.weight": numbers(size, 4, seed=i) for i, (key, size) in enumerate([("a", 4), ("b", 5), ("c", 4)])}
    values |= {f"{key}.bias": numbers(size) for key, size in (("a", 4), ("b", 5), ("c", 4))}
    ordered = {f"{key}.{last}": values[f"{key}.{last}"] for key in "abc" for last in ("weight", "bias")}
    path, params = written(tmp_path, symbol_text(*nodes, heads=[[3, 0, 0], [6, 0, 0], [9, 0, 0]]), ordered)
    found = weights_of(read_symbol(path), params, False).values
    for name, key in (("n_y0", "c"), ("n_x0", "a"), ("n_x1", "b")):
        assert torch.equal(found[f"{name}_weight"], values[f"{key}.weight"])


def test_keys_that_somebody_sorted(tmp_path: Path) -> None:
    """As text, 10 stands before 2."""
    nodes: list[Any] = [DATA]
    values: dict[str, Tensor] = {}
    for i in range(11):
        nodes += dense(f"n_dense{i}", len(nodes), len(nodes) - 1, hidden=4 + i // 10)
        values |= {f"{i}.weight": numbers(4 + i // 10, 4, seed=i), f"{i}.bias": numbers(4 + i // 10)}
    path, params = written(tmp_path, symbol_text(*nodes), {key: values[key] for key in sorted(values)})
    found = weights_of(read_symbol(path), params, False).values
    assert all(torch.equal(found[f"n_dense{i}_weight"], values[f"{i}.weight"]) for i in range(11))


def test_a_block_with_a_parameter_of_its_own_and_layers(tmp_path: Path) -> None:
    nodes = [DATA, *dense("n_dense0", 1), variable("n_alpha", __wd_mult__="1"), node("broadcast_mul", "n_mul", 3, 4)]
    given = {"alpha": numbers(4), "body.0.weight": numbers(4, 4), "body.0.bias": numbers(4, seed=2)}
    path, params = written(tmp_path, symbol_text(*nodes), given)
    found = weights_of(read_symbol(path), params, False)
    assert torch.equal(found.values["n_alpha"], given["alpha"])
    assert torch.equal(found.values["n_dense0_weight"], given["body.0.weight"])
    assert found.scopes == {"n_": "", "n_dense0_": "body.0"}


def test_a_block_that_is_registered_twice(tmp_path: Path) -> None:
    found = blocks(tmp_path, ["n_dense0", "n_dense1"], ["a", "again", "b"], seeds=[1, 1, 2])
    assert found == {"n_dense0": "a", "n_dense1": "b"}


def test_a_tied_weight_with_a_bias_of_its_own(tmp_path: Path) -> None:
    """As a decoder that takes the parameters of its embedding: its bias stands in the scope of the embedding."""
    nodes = [DATA, variable("n_embedding0_weight"), node("Embedding", "n_embedding0_fwd", 0, 1, input_dim="7", output_dim="4")]
    nodes += [variable("n_embedding0_bias"), node("FullyConnected", "n_dense0_fwd", 2, 1, 3, num_hidden="7", flatten="False")]
    weight, bias = numbers(7, 4), numbers(7, seed=1)
    for given in (
        {"embed.weight": weight, "out.weight": weight.clone(), "out.bias": bias},
        {"embed.weight": weight, "out.bias": bias},  # each parameter once
    ):
        net = network(tmp_path, symbol_text(*nodes), given)
        result = net(torch.tensor([[1, 2, 6]]))
        assert torch.allclose(result, weight[[1, 2, 6]] @ weight.T + bias, atol=1e-5)


def test_weights_that_differ_are_not_tied(tmp_path: Path) -> None:
    nodes = [DATA, variable("n_embedding0_weight"), node("Embedding", "n_embedding0_fwd", 0, 1, input_dim="7", output_dim="4")]
    nodes += [variable("n_embedding0_bias"), node("FullyConnected", "n_dense0_fwd", 2, 1, 3, num_hidden="7", flatten="False")]
    values = {"embed.weight": numbers(7, 4), "out.weight": numbers(7, 4, seed=1), "out.bias": numbers(7)}
    assert "cannot be laid over" in str(fault(tmp_path, symbol_text(*nodes), values))


@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"]])
def test_blocks_that_do_not_fit_are_refused(tmp_path: Path, keys: list[str]) -> None:
    with pytest.raises(FileError, match="The blocks of the file cannot be laid over the layers of the symbol") as caught:
        blocks(tmp_path, ["n_dense0", "n_dense1"], keys)
    assert caught.value.received == f"4 parameters in the symbol, {2 * len(keys)} in the file"


def test_a_search_without_end_is_given_up(tmp_path: Path) -> None:
    """All layers look alike but one, which by its number comes before another one, and in the file comes last."""
    nodes: list[Any] = [DATA]
    for i in range(30):
        name = f"z{i}" if i < 2 else chr(97 + i % 25) * (1 + i // 25)
        nodes += dense(f"n_{name}", len(nodes), 0, 4 if i else 5)
    values: dict[str, Tensor] = {}
    for i in range(30):
        values |= {f"{i}.weight": numbers(4 + i // 29, 4, seed=i), f"{i}.bias": numbers(4 + i // 29)}
    heads = [[i, 0, 0] for i, each in enumerate(nodes) if each["op"] != "null"]
    files = written(tmp_path, symbol_text(*nodes, heads=heads), values)
    assert read_or_refused(lambda _: from_gluon(*files), b"") is None
