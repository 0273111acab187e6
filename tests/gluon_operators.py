"""References that MXNet computed for single operators, and the same in PyTorch, as the operators of the bridge read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import skipseq.bridges.gluon.operators  # noqa: F401  its readers are registered
from skipseq.bridges.gluon.operation import OPERATORS, PREVIOUS, GluonNode
from skipseq.bridges.graph import Operation, in_words
from skipseq.declare.vocabulary import pick

FOLDER = Path(__file__).parent / "data" / "gluon" / "operators"
FAMILIES = ("windows", "pooling", "normalization", "activation", "elementwise", "shapes", "dense")

#: The names of inputs, and the beginnings of those of parameters that are labels.
INPUTS = ("data", "data1", "data2")


@cache
def cases(family: str) -> dict[str, dict[str, Any]]:
    """The cases of a family: for each the symbol as ``json`` and arrays by name."""
    with np.load(FOLDER / f"{family}.npz") as file:
        index, numbers = json.loads(file["index"].tobytes()), file["numbers"].tobytes()
    found: dict[str, dict[str, Any]] = {}
    for path, (dtype, shape, at) in index.items():
        name, _, key = path.partition("/")
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(numbers, dtype, count, at).reshape(shape)
        kept = json.loads(array.tobytes()) if key == "json" else torch.from_numpy(array.copy())
        found.setdefault(name, {})[key] = kept
    return found


def parts(case: Mapping[str, Any], kind: str) -> dict[str, Tensor]:
    """The arrays of one kind: ``value``, ``result``, ``trained``, ``head``, ``gradient``, ``after``."""
    return {key.partition("/")[2]: value for key, value in case.items() if key.startswith(f"{kind}/")}


class Reference:
    """The network of a case, with the inputs and parameters by name; each node is read by its operator.

    Args:
        case: what the file has of it.
        parameters: other parameters and statistics than those in the file.
    """

    def __init__(self, case: Mapping[str, Any], **parameters: Tensor) -> None:
        values = parts(case, "value")
        self.nodes = case["json"]["nodes"]
        self.inputs = {name: value for name, value in values.items() if name in INPUTS}
        self.held = {name: held(name, value) for name, value in values.items() if name not in INPUTS} | parameters
        self.names: dict[tuple[int, int], str] = {}
        self.operations: list[Operation] = []
        for i, node in enumerate(self.nodes):
            if node["op"] == "null":
                self.names[i, 0] = node["name"]
            else:
                self.add(i, node)
        heads = [self.names[head[0], head[1]] for head in case["json"]["heads"]]
        read = {operand for operation in self.operations for operand in operation.operands}
        self.inputs = {name: value for name, value in self.inputs.items() if name in read}
        self.net = in_words(self.operations, list(self.inputs), heads)

    def seen(self, node: Mapping[str, Any]) -> GluonNode:
        """What the operator sees of a node."""
        inputs = tuple(self.nodes[at]["name"] for at, *_ in node["inputs"])
        values = tuple(self.held.get(name) for name in inputs)
        return GluonNode(node["name"], node["op"], values, node.get("attrs", {}), "the symbol", "", inputs)

    def add(self, i: int, node: Mapping[str, Any]) -> None:
        """The operations of a node."""
        made = OPERATORS[node["op"]](self.seen(node))
        before = ""
        for j, piece in enumerate(made if isinstance(made, list) else [made]):
            before, last = f"value_{i}_{j}", before
            operands = tuple(
                each
                if isinstance(each, float)
                else last
                if each == PREVIOUS
                else self.names[node["inputs"][each][0], node["inputs"][each][1]]
                for each in piece.operands or (PREVIOUS,)
            )
            self.operations.append(Operation(before, piece.entry, operands))
        self.names[i, 0] = before
        for k in range(piece.parts if piece.parts > 1 else 0):
            self.names[i, k] = f"value_{i}_part_{k}"
            self.operations.append(Operation(self.names[i, k], pick[k], (before,)))

    def run(self, train: bool) -> list[Tensor]:
        """The results; the inputs keep gradients."""
        self.inputs = {name: value.detach().clone().requires_grad_() for name, value in self.inputs.items()}
        result = self.net.train(train)(*self.inputs.values())
        return list(result) if isinstance(result, tuple) else [result]


def held(name: str, value: Tensor) -> Tensor:
    """A parameter, or a batch statistic."""
    return value.clone() if "moving_" in name else nn.Parameter(value.clone())


def each_case() -> list[Any]:
    """A test parameter for each case."""
    return [pytest.param(family, name, id=f"{family}-{name}") for family in FAMILIES for name in cases(family)]
