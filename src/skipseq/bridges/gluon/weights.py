"""The parameters and batch statistics of a network, from the file that has them, under the names of the symbol."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt

import torch
from torch import Tensor, nn

from skipseq.errors import FileError, shortened
from skipseq.run.stored import LARGEST

from .extents import FIRST_WEIGHT, STATISTIC, expected_shapes, fits
from .params import read_params
from .structured import matched
from .symbol import Symbol

__all__ = ["Weights", "parameter_names", "weights_of"]

#: How many names a message tells.
SHOWN = 10


@dataclass
class Weights:
    """The parameters of a network.

    Args:
        values: parameters, and batch statistics as plain tensors, by their names in the symbol.
        scopes: the blocks of a file of ``save_parameters`` by their prefixes in the symbol.
    """

    values: dict[str, Tensor]
    scopes: Mapping[str, str] = field(default_factory=dict)


def weights_of(symbol: Symbol, params: str | os.PathLike[str] | None, ignore_extra: bool) -> Weights:
    """The parameters of a network: those of the file, or new ones.

    Raises:
        FileError: if parameters are missing, or have other shapes, or if the network does not read all of the file.
    """
    expected = expected_shapes(symbol)
    if params is None:
        return Weights(as_parameters(symbol, new_values(symbol, expected)))
    file = os.fspath(params)
    arrays = unprefixed(file, read_params(params))
    keys, scopes = renamed(symbol, arrays, expected, file)
    found = {name: arrays[each[0]] for name, each in keys.items()}
    extra = () if ignore_extra and keys else set(arrays).difference(*keys.values())
    refuse_differences(symbol, found, extra, file)
    refuse_other_shapes(symbol, found, expected)
    return Weights(as_parameters(symbol, found), scopes)


def parameter_names(symbol: Symbol) -> set[str]:
    """The variables that can be no inputs: they stand where a layer has its weights, or Gluon said that they are parameters."""
    names = {node.name for node in symbol.needed() if node.is_variable and "__wd_mult__" in node.attributes}
    for node in symbol.needed():
        first = FIRST_WEIGHT.get(node.operator, len(node.inputs))
        sources = [symbol.nodes[entry.node] for entry in node.inputs[first:]]
        names.update(each.name for each in sources if each.is_variable)
    return names


def statistics(symbol: Symbol) -> set[str]:
    """The variables that are batch statistics."""
    return {
        symbol.nodes[entry.node].name
        for node in symbol.needed()
        for entry in node.inputs[STATISTIC.get(node.operator, len(node.inputs)) :]
    }


def as_parameters(symbol: Symbol, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values as parameters, constants as such that are not trained, and the batch statistics as they are."""
    plain, fixed = statistics(symbol), constants(symbol)
    return {
        name: value if name in plain else nn.Parameter(value, requires_grad=value.is_floating_point() and name not in fixed)
        for name, value in values.items()
    }


def constants(symbol: Symbol) -> set[str]:
    """The variables that Gluon made with ``params.get_constant``; it says so in the name of what fills them."""
    return {
        node.name
        for node in symbol.nodes
        if node.is_variable and node.attributes.get("__init__", "").startswith(f"Constant_{node.name}_")
    }


# Names


def unprefixed(file: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays without ``arg:`` and ``aux:``, which ``export`` writes in front of their names."""
    found: dict[str, Tensor] = {}
    for key, array in arrays.items():
        name = key.removeprefix("arg:") if key.startswith("arg:") else key.removeprefix("aux:")
        if name in found:
            advice = "Export the network again: a parameter is one of arg: and aux:."
            raise FileError(file, "", "Two arrays have the same name.", "a name for each", repr(name), advice)
        found[name] = array
    return found


def renamed(
    symbol: Symbol, arrays: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], file: str
) -> tuple[dict[str, list[str]], Mapping[str, str]]:
    """The keys in the file by the names in the symbol, and the blocks that the keys tell."""
    variables = {node.name for node in symbol.nodes if node.is_variable}
    exact = {key: [key] for key in arrays if key in variables}
    if exact:
        return exact, {}
    prefixed = with_prefix(arrays, variables)
    if prefixed or not any("." in key for key in arrays):
        return prefixed, {}
    needed = parameter_names(symbol)
    order = [node.name for node in symbol.needed() if node.name in needed]
    return matched(arrays, order, expected, file)


def with_prefix(keys: Collection[str], variables: Collection[str]) -> dict[str, list[str]]:
    """The keys by the names, where all names are keys behind one prefix, which ``save_params`` left out."""
    first = next(iter(keys), "")
    for variable in sorted(variables):
        prefix = variable.removesuffix(first)
        if variable.endswith(first) and all(prefix + key in variables for key in keys):
            return {prefix + key: [key] for key in keys}
    return {}


# Differences


def refuse_differences(symbol: Symbol, found: Collection[str], extra: Iterable[str], file: str) -> None:
    """Refuses parameters that are missing, and parameters that nobody reads, all at once."""
    missing = sorted(name for name in parameter_names(symbol) if name not in found)
    unused = sorted(extra)
    if not missing and not unused:
        return
    counts = [f"{len(missing)} missing"] * bool(missing) + [f"{len(unused)} that the network does not read"] * bool(unused)
    advice = [f"Missing: {listed(missing)}."] * bool(missing) + [f"Not read: {listed(unused)}."] * bool(unused)
    advice.append("Give the file of this very network." if missing else "Write ignore_extra=True to read the others.")
    problem, expected = "The symbol and the parameters do not fit together.", "the parameters of the network, and no others"
    raise FileError(file, "", problem, expected, ", ".join(counts), "\n".join(advice))


def listed(names: Sequence[str]) -> str:
    """The first names."""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(shortened(repr(name), 80) for name in names[:SHOWN]) + rest


def refuse_other_shapes(symbol: Symbol, found: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses a parameter of another shape than the symbol tells."""
    for node in symbol.needed():
        shape = tuple(found[node.name].shape) if node.name in found else ()
        if shape and not fits(shape, expected.get(node.name)):
            problem = "The parameter has another shape than in the network."
            raise symbol.fault(node, problem, f"({', '.join(str(size or 'any') for size in expected[node.name])})", str(shape))


# New values


def new_values(symbol: Symbol, expected: Mapping[str, tuple[int, ...]], largest: int = LARGEST) -> dict[str, Tensor]:
    """New values for the parameters of a network that came without them."""
    needed = parameter_names(symbol)
    nodes = [node for node in symbol.needed() if node.name in needed and node.is_variable]
    unknown = [node.name for node in nodes if min(expected.get(node.name, (0,))) <= 0]
    if unknown:
        advice = f"Give the file of parameters. The shapes of these are not told: {listed(unknown)}."
        raise symbol.fault(
            None, "The symbol does not tell all shapes.", "a shape for each parameter", f"{len(unknown)} without", advice
        )
    size = sum(4 * prod(expected[node.name]) for node in nodes)
    if size > largest:
        advice = "Give the file of parameters, which tells how large they are."
        raise symbol.fault(None, "The parameters are too large.", f"at most {largest} bytes", f"{size} bytes", advice)
    return {node.name: new_value(node.name, expected[node.name]) for node in nodes}


def new_value(name: str, shape: tuple[int, ...]) -> Tensor:
    """A new value, as PyTorch begins with: one for scales and variances, zero for shifts and means, else at random."""
    if name.endswith(("gamma", "var")):
        return torch.ones(shape)
    if name.endswith(("beta", "mean", "bias")):
        return torch.zeros(shape)
    bound = 1 / sqrt(prod(shape[1:]))
    return torch.empty(shape).uniform_(-bound, bound)
