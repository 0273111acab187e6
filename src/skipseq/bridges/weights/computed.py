"""What a constructor computes and a file does not hold: buffers that are not persistent, tensors that are plain attributes.

A network is built without memory first, where these have no numbers. The layers that have some are then built again for
real, and only those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq.bridges.text import network_of_text, to_yaml
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import is_sequence
from skipseq.declare.words import Word
from skipseq.errors import FileError, shortened
from skipseq.run import Sequential

from .details import places_of
from .header import DTYPES, dtype_name

__all__ = ["LARGEST_COMPUTED", "compute", "convert", "dtypes_of_buffers", "lost_values"]

#: How many bytes the layers may take that are built for real, besides their weights.
LARGEST_COMPUTED = 1 << 30

#: What a module keeps under names of its own.
REGISTERS = ("_parameters", "_buffers", "_modules")


def compute(net: nn.Module, registry: Mapping[str, Any] | None, name: str) -> None:
    """Gives a network that was built without memory those tensors that no file holds: their layers are built for real.

    Raises:
        FileError: if they are too large, or a layer is no longer built by its own text.
    """
    layers = computing(net)
    if not layers:
        return
    size = sum(size_of(tensor) for layer in layers for tensor in all_tensors(layer))
    weights = sum(map(size_of, net.parameters()))
    if size - weights > LARGEST_COMPUTED:
        where = shortened(constructor(layers[0]))
        expected = f"at most {LARGEST_COMPUTED} bytes besides the weights"
        advice = "Register what is that large as a buffer that the file holds: register_buffer(..., persistent=True)."
        raise FileError(name, where, "its constructor computes too much", expected, f"{size} bytes", advice)
    with torch.random.fork_rng(devices=[]):
        built = {id(layer): built_for_real(layer, registry, name) for layer in layers}
    replace(net, built)


def built_for_real(layer: nn.Module, registry: Mapping[str, Any] | None, name: str) -> nn.Module:
    """A layer like one without memory, with numbers."""
    alone = Sequential(("layer", layer))
    net: Sequential = network_of_text(Sequential, to_yaml(alone, None, registry), name, registry, meta=False)
    return net.get_submodule("layer")


def replace(net: nn.Module, built: Mapping[int, nn.Module]) -> None:
    """Puts modules in the place of others, everywhere."""
    for module in list(net.modules()):
        for key, child in module._modules.items():
            if id(child) in built:
                module._modules[key] = built[id(child)]


def computing(net: nn.Module) -> list[nn.Module]:
    """The layers, each once, in which a constructor made tensors that no file holds. A layer of its own kind counts as one."""
    registered = {id(place.tensor) for place in places_of(net)}
    found: dict[int, nn.Module] = {}
    waiting = list(net.children())
    while waiting:
        module = waiting.pop()
        parts = is_sequence(module) or isinstance(module, Word)
        inner = (module,) if parts else module.modules()
        if any(True for each in inner for _ in computed_in(each, registered)):
            found[id(module)] = module
        elif parts:
            waiting += module.children()
    return list(found.values())


def computed_in(module: nn.Module, registered: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one module that no state_dict has, with their names."""
    for name in module._non_persistent_buffers_set:
        if (buffer := module._buffers.get(name)) is not None:
            yield name, buffer
    for name, value in vars(module).items():
        if name not in REGISTERS:
            yield from ((name, tensor) for tensor in tensors_in(value) if id(tensor) not in registered)


def tensors_in(value: Any, depth: int = 3) -> Iterator[Tensor]:
    """The tensors in a value: itself, or in lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(each, depth - 1)


def size_of(tensor: Tensor) -> int:
    """The bytes that a tensor takes; none before it knows its shape."""
    return 0 if is_lazy(tensor) else tensor.numel() * tensor.itemsize


def all_tensors(layer: nn.Module) -> Iterator[Tensor]:
    """Every tensor of a layer, each once."""
    seen: set[int] = set()
    for module in layer.modules():
        for value in (module._parameters, module._buffers, {k: v for k, v in vars(module).items() if k not in REGISTERS}):
            for tensor in tensors_in(value, 4):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield tensor


# The same as before


def dtypes_of_buffers(net: nn.Module, twin: nn.Module) -> dict[str, str]:
    """The types of buffers that are not persistent, by key, where they are not those that their layers make."""
    made = {place.key: place.tensor.dtype for place in places_of(twin) if not place.is_persistent}
    buffers = [place for place in places_of(net) if not place.is_persistent]
    return {
        place.key: dtype_name(place.tensor.dtype) or ""
        for place in buffers
        if made.get(place.key, place.tensor.dtype) != place.tensor.dtype
    }


def convert(net: nn.Module, dtypes: Mapping[str, str]) -> list[str]:
    """Converts buffers that are not persistent; returns the keys that are none, or whose type is not known."""
    left = dict(dtypes)
    for place in list(places_of(net)):
        if not place.is_persistent and left.get(place.key) in DTYPES:
            place.owner._buffers[place.name] = place.tensor.to(DTYPES[left.pop(place.key)])
    return list(left)


def lost_values(net: nn.Module, built: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What a network has in tensors that no file holds, where its constructors make something else: key, value, made.

    A tensor that no constructor makes is a value between two calls, which nobody expects to find in a file.
    """
    registered = {id(place.tensor) for each in (net, built) for place in places_of(each) if place.is_persistent}
    modules = dict(net.named_modules(remove_duplicate=False))
    for path, module in built.named_modules(remove_duplicate=False):
        now = named(modules[path], registered) if path in modules else {}
        for name, made in named(module, registered).items():
            for value, constructed in zip(now.get(name, []), made, strict=False):
                if not is_equal(value, constructed):
                    yield f"{path}.{name}", value, constructed


def named(module: nn.Module, registered: set[int]) -> dict[str, list[Tensor]]:
    """The tensors of one module that no state_dict has, by the names that hold them."""
    found: dict[str, list[Tensor]] = {}
    for name, tensor in computed_in(module, registered):
        found.setdefault(name, []).append(tensor)
    return found


def is_equal(value: Tensor, made: Tensor) -> bool:
    """Whether a tensor has the numbers that were made, perhaps in another type."""
    return value.shape == made.shape and torch.equal(value.detach().cpu(), made.detach().to(value.dtype))
