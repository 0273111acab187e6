"""From a file to a network: its header is verified, its text is built without memory, then the numbers are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor, nn

from skipseq.bridges.opening import open_file
from skipseq.bridges.text import network_of_text
from skipseq.bridges.text.names import is_word
from skipseq.errors import FileError
from skipseq.run import Sequential

from .computed import compute, convert
from .details import LAYOUTS, RANKS, Details, Place, places_of, read_details, set_modes
from .fit import differences, expected_in, listed, tie
from .header import DTYPES, Entry, Header, read_header
from .writing import VERSION, bytes_of

__all__ = ["from_file", "load_weights"]

Net = TypeVar("Net", bound=Sequential)

AGAIN = "Write the file again: net.to_file(path)."


def from_file(cls: type[Net], path: str | os.PathLike[str], registry: Mapping[str, Any] | None = None) -> Net:
    """The network in a file; see :meth:`skipseq.Sequential.from_file`.

    Raises:
        FileError: if the file is damaged, or its text and its weights do not fit together.
    """
    name = os.fsdecode(path)
    registry = {**own_name(cls), **(registry or {})}
    with open_file(name) as file:
        header = header_of(file, name)
        details = read_details(header.metadata.get("details", "{}"), name)
        net: Net = network_of_text(cls, text_of(header, name), name, registry, meta=True)
        verify_fit(net, header, details, name)
        compute(net, registry, name)
        tie(net, details.tied)
        verify_places(set_modes(net, details.modes) + convert(net, details.dtypes), name)
        fill(file, net, header.entries, details, name)
    return net


def own_name(cls: type[Sequential]) -> dict[str, Any]:
    """A class of the user by its name, which it need not be told twice."""
    return {} if cls.__module__.startswith("skipseq.") or is_word(cls.__name__) else {cls.__name__: cls}


def load_weights(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Reads the weights of a safetensors file into a network; a text in its header is not looked at.

    >>> import tempfile, torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> from skipseq.bridges.weights import load_weights
    >>> one, other = (Sequential(nn.Linear(8, 8), add("input")) for _ in range(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one.to_file(f"{folder}/one.safetensors")
    ...     load_weights(other, f"{folder}/one.safetensors")
    >>> torch.equal(one[0].weight, other[0].weight)
    True

    Args:
        net: the network, which keeps its modes, and what of it is frozen.
        path: the file.

    Raises:
        FileError: if the file is damaged, or its tensors are not those of the network.
    """
    name = os.fsdecode(path)
    with open_file(name) as file:
        header = header_of(file, name)
        told = read_details(header.metadata.get("details", "{}") if "skipseq" in header.metadata else "{}", name)
        parameters = (place for place in places_of(net) if place.is_parameter and not place.tensor.requires_grad)
        frozen = {place.key for place in parameters} & set(header.entries)
        details = Details(frozen=tuple(frozen), tied=told.tied, layouts=told.layouts)
        verify_fit(net, header, details, name)
        fill(file, net, header.entries, details, name)


def header_of(file: BinaryIO, name: str) -> Header:
    """The header of an open file.

    Raises:
        FileError: if it is no whole safetensors file.
    """
    if sys.byteorder != "little":
        raise FileError(name, "", "this processor keeps numbers the other way round", "little-endian", "big-endian", AGAIN)
    return read_header(file, os.fstat(file.fileno()).st_size, name)


def text_of(header: Header, name: str) -> str:
    """The text of the network in a header.

    Raises:
        FileError: if it has none, or one that only a later version can read.
    """
    version, text = header.metadata.get("skipseq"), header.metadata.get("network")
    if version is None and text is None:
        advice = (
            f"Build the network and load the weights into it:\nnet.load_state_dict(safetensors.torch.load_file({name!r}))\n"
            "Only a file that net.to_file(path) has written holds the network too."
        )
        received = f"{len(header.entries)} tensors alone"
        raise FileError(name, "", "it holds weights, and no network", "the text of a network in its header", received, advice)
    if version != VERSION or text is None:
        received = f"version {version!r}" if version != VERSION else "no text"
        advice = f"Read it with the version of skipseq that wrote it. {AGAIN}"
        raise FileError(name, "", "this version of skipseq cannot read its header", f"version {VERSION!r}", received, advice)
    return text


def verify_fit(net: nn.Module, header: Header, details: Details, name: str) -> None:
    """Refuses tensors that are not those of the network, all that differ at once."""
    found = {key: (entry.dtype, entry.shape) for key, entry in header.entries.items()}
    if lines := tie(net, details.tied) + differences(net, found, details):
        count = f"{len(lines)} difference{'s' * (len(lines) > 1)}"
        raise FileError(name, "", "its weights are not those of its network", "the same", count, f"{listed(lines)}\n{AGAIN}")


def verify_places(unknown: list[str], name: str) -> None:
    """Refuses details of what the network does not have."""
    if unknown:
        raise FileError(name, "details", "they tell of something that is not there", "paths of layers", unknown[0], AGAIN)


# The numbers


def fill(file: BinaryIO, net: nn.Module, entries: Mapping[str, Entry], details: Details, name: str) -> None:
    """Reads the numbers in the order of the file, each to all places of its tensor."""
    first = expected_in(net, details.tied)
    everywhere: dict[int, list[Place]] = {}
    for place in places_of(net):
        everywhere.setdefault(id(place.tensor), []).append(place)
    frozen = set(details.frozen)
    for key, entry in sorted(entries.items(), key=lambda each: each[1].start):
        tensor = read_tensor(file, key, entry, name)
        if layout := details.layouts.get(key):
            tensor = laid_out(tensor, layout, name)
        value = nn.Parameter(tensor, requires_grad=key not in frozen) if first[key].is_parameter else tensor
        for place in everywhere[id(first[key].tensor)]:
            setattr(place.owner, place.name, value)


def read_tensor(file: BinaryIO, key: str, entry: Entry, name: str) -> Tensor:
    """The numbers of one tensor, read into memory of their own: who changes the file later does not change the network."""
    try:
        tensor = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
    except RuntimeError as error:
        size = f"{entry.end - entry.start} bytes"
        advice = "Read it on a machine with more memory."
        raise FileError(name, repr(key), "there is no memory for it", size, str(error), advice) from None
    file.seek(entry.start)
    read = file.readinto(bytes_of(tensor))  # type: ignore[attr-defined]
    if read != entry.end - entry.start:
        expected = f"{entry.end - entry.start} bytes"
        raise FileError(name, repr(key), "the file was cut while it was read", expected, f"{read} bytes", AGAIN)
    return tensor


def laid_out(tensor: Tensor, layout: str, name: str) -> Tensor:
    """A tensor in the order in memory that it had when it was written."""
    if layout not in LAYOUTS or tensor.dim() != RANKS[layout]:
        expected = f"one of {', '.join(LAYOUTS)}, of a tensor of so many extents"
        raise FileError(
            name, "details", "a tensor cannot have its layout", expected, f"{layout[:80]!r} of {tensor.dim()}", AGAIN
        )
    return tensor.contiguous(memory_format=LAYOUTS[layout])
