"""What a file tells of a network besides its text and its numbers: modes, what is trained, and which tensors are one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from skipseq.errors import FileError

from .header import no_constant, unique

__all__ = ["LAYOUTS", "RANKS", "Details", "Place", "modes_of", "places_of", "read_details", "set_modes"]

#: The orders of numbers in memory that a tensor has again when it is read, besides the usual one.
LAYOUTS = {"channels_last": torch.channels_last, "channels_last_3d": torch.channels_last_3d}

#: How many extents such a tensor has.
RANKS = {"channels_last": 4, "channels_last_3d": 5}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a network keeps a tensor.

    Args:
        key: its key in the ``state_dict``; what is not persistent would have it there.
        owner: the layer.
        name: the name in the layer.
        tensor: what stands there.
    """

    key: str
    owner: nn.Module
    name: str
    tensor: Tensor

    @property
    def is_parameter(self) -> bool:
        """Whether it is trained, or could be."""
        return self.name in self.owner._parameters

    @property
    def is_persistent(self) -> bool:
        """Whether the ``state_dict`` has it."""
        return self.name not in self.owner._non_persistent_buffers_set


def places_of(net: nn.Module) -> Iterator[Place]:
    """All parameters and buffers of a network, in the order of the ``state_dict``; shared ones at each of their places."""
    for path, module in net.named_modules(remove_duplicate=False):
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield Place(f"{path}.{name}" if path else name, module, name, tensor)


@dataclass(frozen=True, slots=True)
class Details:
    """What the JSON under ``details`` in a header says.

    Args:
        modes: whether a module is in training, by path, where it differs from the module around it; ``""`` is the network.
        frozen: keys of parameters without gradient.
        tied: keys of tensors that are the same as another one, and the key of that; they have no numbers of their own.
        layouts: the order in memory of tensors that have not the usual one, by key.
        dtypes: the types of computed tensors that have not the type which their layer gives them, by key.
    """

    modes: Mapping[str, bool] = field(default_factory=lambda: {"": True})
    frozen: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON, without what is empty."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, ensure_ascii=False)


def read_details(text: str, name: str) -> Details:
    """What a file tells, verified as far as this is known without the network.

    Raises:
        FileError: if it is something else.
    """
    try:
        content = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise malformed(name, "a JSON object", str(error)) from None
    kinds = {"modes": (dict, bool), "frozen": (list, str), "tied": (dict, str), "layouts": (dict, str), "dtypes": (dict, str)}
    if not isinstance(content, dict) or not set(content) <= set(kinds):
        raise malformed(name, f"a JSON object with some of {', '.join(kinds)}", text[:200])
    for part, (whole, kind) in kinds.items():
        value = content.get(part, whole())
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, whole) or not all(isinstance(each, kind) for each in values):
            raise malformed(name, f"{part} as a JSON {'object' if whole is dict else 'list'}", json.dumps(value)[:200])
    return Details(**content | {"frozen": tuple(content.get("frozen", ()))})


def malformed(name: str, expected: str, received: str) -> FileError:
    """The error that the details of a file are not what they should be."""
    advice = "Write the file again with net.to_file(...): something else has changed its header."
    return FileError(name, "details", "what it says of modes and weights cannot be read", expected, received, advice)


# Modes


def modes_of(net: nn.Module) -> dict[str, bool]:
    """Whether the network is in training, and each module inside that differs from the one around it."""
    modes: dict[str, bool] = {}
    known: dict[str, bool] = {}
    for path, module in net.named_modules(remove_duplicate=False):
        around = known.get(path.rpartition(".")[0]) if path else None
        known[path] = bool(module.training)
        if around != known[path]:
            modes[path] = known[path]
    return modes


def set_modes(net: nn.Module, modes: Mapping[str, bool]) -> list[str]:
    """Brings every module into its mode; returns the paths that lead to none."""
    left = dict(modes)
    known: dict[str, bool] = {}
    for path, module in net.named_modules(remove_duplicate=False):
        around = known[path.rpartition(".")[0]] if path else True
        known[path] = module.training = left.pop(path, around)
    return list(left)
