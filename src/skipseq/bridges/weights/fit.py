"""Whether the tensors of a file are those of a network: each by its key, its shape and its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq.declare.constructors import constructor
from skipseq.errors import did_you_mean, shortened

from .details import Details, Place, places_of
from .header import DTYPES, dtype_name

__all__ = ["differences", "expected_in", "listed", "tie"]

#: How many differences are told in full.
SHOWN = 20


def expected_in(net: nn.Module, tied: Mapping[str, str]) -> dict[str, Place]:
    """The tensors that a file of this network holds, by key: each once, under its first key."""
    first: dict[int, str] = {}
    expected = {}
    for place in places_of(net):
        if place.is_persistent and place.key not in tied and first.setdefault(id(place.tensor), place.key) == place.key:
            expected[place.key] = place
    return expected


def tie(net: nn.Module, tied: Mapping[str, str]) -> list[str]:
    """Makes one tensor of those that a file says are one; returns what cannot be, a line for each."""
    if not tied:
        return []
    places = {place.key: place for place in places_of(net) if place.is_persistent}
    faults = []
    for key, first in tied.items():
        if key not in places or first not in places or first in tied:
            faults.append(f"{key!r} is said to be {first!r}, and one of them is no tensor of the network.")
        elif kind_of(places[key]) != kind_of(places[first]):
            faults.append(f"{key!r} is said to be {first!r}: {told(places[key])}, {told(places[first])}.")
        else:
            setattr(places[key].owner, places[key].name, places[first].tensor)
    return faults


def kind_of(place: Place) -> tuple[Any, ...]:
    """What tensors that are one have in common."""
    return place.is_parameter, None if is_lazy(place.tensor) else tuple(place.tensor.shape)


def differences(net: nn.Module, found: Mapping[str, tuple[str, tuple[int, ...]]], details: Details) -> list[str]:
    """In what the tensors of a file are not those of the network, a line for each.

    Args:
        net: the network that the text of the file describes.
        found: the types and shapes of the tensors in the file, by key.
        details: what else the file says.
    """
    expected = expected_in(net, details.tied)
    known = {id(place.owner) for key, place in expected.items() if key in found and is_lazy(place.tensor)}
    lines = [f"{key!r} of {layer_of(place)} is missing." for key, place in expected.items() if is_missing(place, found, known)]
    near = [key for key in expected if key not in found][:100]
    for key, (dtype, shape) in found.items():
        if key not in expected:
            lines.append(f"{key[:80]!r} belongs to no layer.{did_you_mean(key[:80], near)}")
        elif fault := misfit(expected[key], dtype, shape, key in details.frozen):
            lines.append(f"{key!r} of {layer_of(expected[key])} {fault}.")
    return lines + misplaced(expected, details)


def is_missing(place: Place, found: Mapping[str, Any], known: set[int]) -> bool:
    """Whether a tensor should be in the file and is not; what a layer makes at its first call may be, all of it or nothing."""
    return place.key not in found and (not is_lazy(place.tensor) or id(place.owner) in known)


def misfit(place: Place, dtype: str, shape: tuple[int, ...], frozen: bool) -> str:
    """Why a tensor of the file cannot stand at a place, or nothing."""
    if not is_lazy(place.tensor) and tuple(place.tensor.shape) != shape:
        return f"has the shape {list(place.tensor.shape)}; the file has {list(shape)}"
    if not is_kin(place.tensor.dtype, DTYPES[dtype]):
        return f"holds {dtype_name(place.tensor.dtype) or place.tensor.dtype}; the file has {dtype}"
    if place.is_parameter and not frozen and not has_gradients(DTYPES[dtype]):
        return f"cannot be trained as {dtype}"
    return ""


def is_kin(built: torch.dtype, stored: torch.dtype) -> bool:
    """Whether a layer built with one type may hold the other: real and complex numbers of every width are of one family."""
    return built == stored or (has_gradients(built) and has_gradients(stored))


def has_gradients(dtype: torch.dtype) -> bool:
    """Whether a parameter of this type can require gradients."""
    return dtype.is_floating_point or dtype.is_complex


def misplaced(expected: Mapping[str, Place], details: Details) -> list[str]:
    """What the details say of keys that are no such tensors."""
    parameters = {key for key, place in expected.items() if place.is_parameter}
    lines = [f"{key[:80]!r} is said to be frozen, and is no parameter." for key in details.frozen if key not in parameters]
    return lines + [f"{key[:80]!r} has a layout, and is no tensor." for key in details.layouts if key not in expected]


def layer_of(place: Place) -> str:
    """The layer of a tensor, as one would write it."""
    return shortened(constructor(place.owner))


def told(place: Place) -> str:
    """A tensor in a few words."""
    return f"{place.key!r} of {layer_of(place)} has the shape {shape_of(place.tensor)}"


def shape_of(tensor: Tensor) -> Any:
    """The extents of a tensor, if it has them already."""
    return "that its first input gives" if is_lazy(tensor) else list(tensor.shape)


def listed(lines: list[str]) -> str:
    """Differences one below the other, the first of them."""
    more = [f"and {len(lines) - SHOWN} more."] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more])
