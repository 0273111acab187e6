"""Networks that MXNet exported: read without MXNet, they compute what MXNet computed.

The files and the references were made by tests/data/gluon/make_networks.py.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skipseq import Sequential
from skipseq.bridges.gluon import from_gluon, value_names
from skipseq.bridges.gluon.params import read_params
from skipseq.bridges.gluon.symbol import read_symbol
from skipseq.bridges.gluon.weights import weights_of

from .gluon_files import array, params_file

NETWORKS = Path(__file__).parent / "data" / "gluon" / "networks"
NAMES = ["residual", "unet", "twins", "flat", "mixed"]
ZOO = ["resnet_v1", "resnet_v1_basic", "resnet_v2", "squeezenet", "densenet", "mobilenet_v1", "mobilenet_v2"]

#: Both files that hold the parameters of a network: that of export, and that of save_parameters.
FILES = ["{}-0000.params", "{}.params"]


def symbol_of(name: str) -> Path:
    return NETWORKS / f"{name}-symbol.json"


@cache
def references(name: str) -> dict[str, Tensor]:
    found = np.load(NETWORKS / f"{name}.npz")
    return {key: torch.from_numpy(found[key]) for key in found.files}


def numbered(name: str, kind: str) -> list[Tensor]:
    found = references(name)
    return [found[f"{kind}/{i}"].clone() for i in range(len(found)) if f"{kind}/{i}" in found]


def run(net: Sequential, *inputs: Tensor) -> list[Tensor]:
    result = net(*inputs)
    return list(result) if isinstance(result, tuple) else [result]


def assert_near(value: Tensor | None, reference: Tensor) -> None:
    """Equal to 1e-5 of the scale of the reference."""
    assert value is not None
    assert value.shape == reference.shape
    scale = max(1.0, float(reference.abs().max()))
    assert float((value.detach() - reference).abs().max()) <= 1e-5 * scale


def by_rule(name: str, shape: Any) -> np.ndarray:
    """The numbers of a parameter, as the script makes them that made the references."""
    start = sum(ord(letter) * (i + 1) for i, letter in enumerate(name)) % 1000
    wave = np.sin(np.arange(int(np.prod(shape)), dtype=np.float64) * 12.9898 + start)
    if name.endswith(("gamma", "var")):
        wave = 1 + 0.3 * wave
    elif name.endswith(("beta", "mean", "bias")):
        wave = 0.2 * wave
    else:
        wave = wave * np.sqrt(4.0 / np.prod(shape[1:]))
    return wave.reshape(shape).astype("float32")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_mxnet(name: str, file: str) -> None:
    net = from_gluon(symbol_of(name), NETWORKS / file.format(name))
    assert not net.training
    results = run(net, *numbered(name, "input"))
    expected = numbered(name, "output")
    assert len(results) == len(expected)
    for result, reference in zip(results, expected, strict=True):
        assert_near(result, reference)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_inner_values_are_those_of_mxnet(name: str, file: str) -> None:
    params = NETWORKS / file.format(name)
    net, names = from_gluon(symbol_of(name), params), value_names(symbol_of(name), params)
    references_of = {
        names[key.removeprefix("inner/")]: value for key, value in references(name).items() if key.startswith("inner/")
    }
    layers = dict(net.named_modules())
    known = [each for each in references_of if each in layers]
    assert len(known) >= len(references_of) // 2
    _, values = net.record(*numbered(name, "input")[:1], *known, *numbered(name, "input")[1:])
    for each in known:
        assert_near(values[each], references_of[each])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_mxnet(name: str) -> None:
    params = NETWORKS / f"{name}-0000.params"
    net = from_gluon(symbol_of(name), params)
    weights = weights_of(read_symbol(symbol_of(name)), params, False).values
    inputs = [value.requires_grad_() for value in numbered(name, "input")]
    results = run(net, *inputs)
    probes = [torch.from_numpy(by_rule(f"probe{i}", result.shape)) for i, result in enumerate(results)]
    sum((result * probe).sum() for result, probe in zip(results, probes, strict=True)).backward()  # type: ignore[union-attr]
    for value, reference in zip(inputs, numbered(name, "input_gradient"), strict=True):
        assert_near(value.grad, reference)
    expected = [
        (key.removeprefix("gradient/"), value) for key, value in references(name).items() if key.startswith("gradient/")
    ]
    assert expected
    ours = list(net.parameters())
    for key, reference in expected:
        same = [each for each in ours if each.shape == weights[key].shape and torch.equal(each, weights[key])]
        assert len(same) == 1, key
        assert_near(same[0].grad, reference)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_blocks_are_laid_over_the_names_in_the_symbol(name: str) -> None:
    """The mapping is the one that MXNet knows."""
    true = json.loads((NETWORKS / f"{name}.names.json").read_text())
    arrays = read_params(NETWORKS / f"{name}.params")
    assert set(true) == set(arrays)
    found = weights_of(read_symbol(symbol_of(name)), NETWORKS / f"{name}.params", False).values
    assert set(found) == set(true.values())
    for key, global_name in true.items():
        assert torch.equal(found[global_name], arrays[key]), key


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_model_zoo(name: str, tmp_path: Path) -> None:
    told = json.loads((NETWORKS / "zoo.json").read_text())[name]
    with np.load(NETWORKS / "zoo.npz") as outputs:
        expected = torch.from_numpy(outputs[name])
    image = torch.from_numpy(by_rule("data", (1, 3, told["size"], told["size"])) * 2)
    exported, saved = tmp_path / "exported.params", tmp_path / "saved.params"
    values = {global_name: torch.from_numpy(by_rule(global_name, shape)) for _, global_name, shape in told["parameters"]}
    exported.write_bytes(params_file({f"arg:{key}": array(value) for key, value in values.items()}))
    saved.write_bytes(params_file({key: array(values[global_name]) for key, global_name, _ in told["parameters"]}))
    for params in (exported, saved):
        with torch.no_grad():
            result = from_gluon(NETWORKS / f"zoo_{name}-symbol.json", params)(image)
        assert_near(result, expected)
