"""From a network to a file: first all that can be wrong, then the numbers, one tensor after the other."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq.bridges.text import network_of_text
from skipseq.bridges.text.writer import Writer
from skipseq.declare.constructors import constructor
from skipseq.errors import FileError, shortened
from skipseq.run import Sequential
from skipseq.views.files import replacing

from .computed import compute, dtypes_of_buffers, lost_values
from .details import LAYOUTS, RANKS, Details, Place, modes_of, places_of
from .fit import differences, expected_in, listed, tie
from .header import LARGEST_HEADER, dtype_name, header_bytes

__all__ = ["VERSION", "bytes_of", "to_file"]

#: The version of what the header says.
VERSION = "1"

WEIGHTS_ALONE = "Or write the weights alone: safetensors.torch.save_file(net.state_dict(), path)."


def to_file(net: Sequential, path: str | os.PathLike[str], registry: Mapping[str, Any] | None = None) -> None:
    """Writes a network into one file; see :meth:`skipseq.Sequential.to_file`.

    Raises:
        FileError: if something in the network cannot be written: what, and what to do.
    """
    name = os.fsdecode(path)
    writer = Writer(net, registry)
    text = writer.text()
    verify_state(net, name)
    known = {**writer.own, **(registry or {})}  # classes that the text calls by their own names
    twin = network_of_text(Sequential, text, name, known, meta=True)
    details = details_of(net, twin)
    # The widest numbers come first, so that each begins at a multiple of its width.
    places = sorted(expected_in(net, details.tied).values(), key=lambda place: -place.tensor.itemsize)
    tensors = {place.key: described(place.tensor) for place in places}
    verify_same(twin, tensors, details, name)
    compute(twin, known, name)
    verify_computed(net, twin, name)
    metadata = {"format": "pt", "skipseq": VERSION, "network": text, "details": details.text()}
    header = header_bytes(tensors, metadata)
    if len(header) - 8 > LARGEST_HEADER:
        received = f"{len(header) - 8} bytes"
        raise refused(name, "", "the text of the network is too long", f"{LARGEST_HEADER} bytes", received, WEIGHTS_ALONE)
    try:
        write(Path(name), header, [place.tensor for place in places])
    except (OSError, ValueError) as error:  # a ValueError of a name that no file can have
        told = getattr(error, "strerror", None) or str(error)
        advice = "Look at its path, and at the place that is left on the disk. What was there before is there still."
        raise refused(name, "", "the disk does not take it", "a folder with enough place", told, advice) from None


def write(path: Path, header: bytes, tensors: Iterable[Tensor]) -> None:
    """Writes a file, one tensor after the other."""
    with replacing(path) as file:
        file.write(header)
        for tensor in tensors:
            numbers = contiguous(tensor)  # has a name as long as its bytes are read
            file.write(bytes_of(numbers))


def described(tensor: Tensor) -> tuple[str, tuple[int, ...], int]:
    """The type, the shape and the number of bytes of a tensor in a file."""
    return dtype_name(tensor.dtype) or "", tuple(tensor.shape), tensor.numel() * tensor.itemsize


def contiguous(tensor: Tensor) -> Tensor:
    """The numbers of a tensor one behind the other in the memory of the processor; the tensor itself, if they are."""
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, not copied: the tensor has to live as long as it is used."""
    size = tensor.numel() * tensor.itemsize
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr()) if size else bytearray()).cast("B")


# What the file says besides the numbers


def details_of(net: Sequential, twin: nn.Module) -> Details:
    """What the text of a network does not tell; ``twin`` is what it builds."""
    shared = first_keys(twin)
    tied = {key: first for key, first in first_keys(net).items() if key != first and shared.get(key) != first}
    places = expected_in(net, tied)
    return Details(
        modes=modes_of(net),
        frozen=tuple(key for key, place in places.items() if place.is_parameter and not place.tensor.requires_grad),
        tied=tied,
        layouts={key: layout for key, place in places.items() if (layout := layout_of(place.tensor))},
        dtypes=dtypes_of_buffers(net, twin),
    )


def first_keys(net: nn.Module) -> dict[str, str]:
    """The first key of the tensor under each key."""
    first: dict[int, str] = {}
    return {place.key: first.setdefault(id(place.tensor), place.key) for place in places_of(net) if place.is_persistent}


def layout_of(tensor: Tensor) -> str:
    """The name of the order in memory of a tensor, where it is not the usual one."""
    if tensor.is_contiguous():
        return ""
    fits = (each for each, rank in RANKS.items() if tensor.dim() == rank and tensor.is_contiguous(memory_format=LAYOUTS[each]))
    return next(fits, "")


# What cannot be written


def verify_state(net: Sequential, name: str) -> None:
    """Refuses what a file of tensors would lose.

    Raises:
        FileError: naming the layer.
    """
    if sys.byteorder != "little":
        raise refused(name, "", "this processor keeps numbers the other way round", "little-endian", "big-endian", "")
    places = list(places_of(net))
    state = net.state_dict(keep_vars=True)
    expected = {place.key: place.tensor for place in places if place.is_persistent}
    if changed := [key for key in {**state, **expected} if state.get(key) is not expected.get(key)]:
        advice = f"Keep it in buffers and parameters, which need no method of their own. {WEIGHTS_ALONE}"
        problem = "a layer makes its own state_dict"
        raise refused(name, repr(changed[0]), problem, "parameters and buffers", shortened(describe(state, changed[0])), advice)
    for place in places:
        verify_tensor(place, name)
    verify_memory(places, name)


def describe(state: Mapping[str, Any], key: str) -> str:
    """What a state_dict has under a key."""
    return f"{type(state[key]).__name__} {state[key]!r}" if key in state else "nothing"


def verify_tensor(place: Place, name: str) -> None:
    """Refuses a tensor whose numbers a file cannot hold."""
    tensor = place.tensor
    problem = expected = received = advice = ""
    if is_lazy(tensor):
        problem, expected, received = "it has no numbers yet", "a layer that knows its sizes", type(tensor).__name__
        advice = "Run the network once, or let it learn its sizes: net.check(shape, materialise=True)."
    elif tensor.device.type == "meta":
        problem, expected, received = "it has no numbers", "a tensor in memory", "one on the device 'meta'"
        advice = "Load its weights first: net.to_empty(device='cpu'); net.load_state_dict(...)."
    elif type(tensor) not in (Tensor, nn.Parameter) and not isinstance(tensor, nn.Buffer):
        problem, expected, received = "it is a tensor of a special kind", "a plain tensor", type(tensor).__name__
        advice = "Write a network of plain tensors; one that is distributed or wrapped, before it was."
    elif tensor.layout != torch.strided:
        problem, expected, received = "it is sparse", "all numbers", str(tensor.layout)
        advice = "Write tensor.to_dense() in its place."
    elif dtype_name(tensor.dtype) is None:
        problem, expected, received = "a file cannot hold its numbers", "a type of safetensors", str(tensor.dtype)
        advice = "Convert it: net.to(torch.complex64), or tensor.dequantize()."
    elif not place.is_parameter and tensor.requires_grad:
        problem, expected, received = "it is a buffer that is trained", "a parameter", "requires_grad=True"
        advice = f"Register it as one: layer.{place.name} = nn.Parameter(...)."
    if problem:
        layer = shortened(constructor(place.owner))
        raise refused(name, f"{place.key!r} of {layer}", problem, expected, received, advice)


def verify_memory(places: Iterable[Place], name: str) -> None:
    """Refuses two tensors in the same memory, which would be two copies when they are read."""
    by_storage: dict[Any, dict[int, Place]] = {}
    for place in places:
        if place.is_persistent and place.tensor.numel():
            storage = (place.tensor.device, place.tensor.untyped_storage().data_ptr())
            by_storage.setdefault(storage, {}).setdefault(id(place.tensor), place)
    for group in by_storage.values():
        if len(group) > 1 and (pair := overlapping(list(group.values()))):
            one, other = pair
            problem = "it shares memory with another tensor, and is another object"
            advice = f"Write one tensor at both places, net.{one.key} = net.{other.key}; or make one a copy: .detach().clone()."
            raise refused(name, repr(one.key), problem, "memory of its own", f"that of {other.key!r}", advice)


def overlapping(places: list[Place]) -> tuple[Place, Place] | None:
    """The first tensor of one storage that has a number in common with an earlier one; each marks the bytes that it has."""
    marks = torch.zeros(places[0].tensor.untyped_storage().nbytes(), dtype=torch.bool)
    views = [marked(marks, place.tensor) for place in places]
    for i, view in enumerate(views):
        if view.any():
            marks.zero_()
            view.fill_(True)
            return places[i], next(other for other, earlier in zip(places, views, strict=True) if earlier.any())
        view.fill_(True)
    return None


def marked(marks: Tensor, tensor: Tensor) -> Tensor:
    """The marks of the first byte of each number of a tensor."""
    width = tensor.itemsize
    return marks.as_strided(tensor.shape, [stride * width for stride in tensor.stride()], tensor.storage_offset() * width)


def verify_same(twin: nn.Module, tensors: Mapping[str, Any], details: Details, name: str) -> None:
    """Refuses a network whose text builds other tensors than it has: the file could not be read."""
    found = {key: (dtype, shape) for key, (dtype, shape, _) in tensors.items()}
    if lines := tie(twin, details.tied) + differences(twin, found, details):
        advice = f"{listed(lines)}\nBuild these layers with arguments that give what they hold now. {WEIGHTS_ALONE}"
        raise refused(name, "", "its text builds other tensors than it has", "the same", f"{len(lines)} that differ", advice)


def verify_computed(net: nn.Module, twin: nn.Module, name: str) -> None:
    """Refuses a network in which something was changed that only constructors make: it would be lost."""
    for key, value, made in lost_values(net, twin):
        advice = "Let the layer keep it in the file: register_buffer(..., persistent=True), which is the usual."
        problem = "it is not persistent, and not what the constructor of its layer makes"
        raise refused(name, repr(key), problem, brief(made), brief(value), advice)


def brief(tensor: Tensor) -> str:
    """A tensor on one line."""
    return shortened(f"{list(tensor.shape)} {tensor.flatten()[:4].tolist()}")


def refused(name: str, where: str, problem: str, expected: str, received: str, advice: str) -> FileError:
    """The error that a network cannot be written."""
    return FileError(name, where, problem, expected, received, advice, "cannot be written")
