"""The names that a text may use, and what they stand for: a closed set, and what the registry adds to it."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.overrides
from torch import nn

import skipseq
from skipseq.declare.held import Held
from skipseq.errors import FileError

__all__ = ["METHODS", "MISSING", "Names", "is_word", "layer_classes", "layers_of_bridges"]

MISSING = object()

#: Words that build networks from Python objects, which a text has none of.
NOT_IN_TEXT = frozenset({"from_forward", "mirror", "trace"})

#: Classes among the layers of torch that are none, or wrap a network for one machine.
NO_LAYERS = frozenset({"Module", "Container", "DataParallel", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase"})

#: Where functions of tensors are known from.
HOMES: dict[str, Any] = {
    "torch": torch,
    "nn.functional": nn.functional,
    "torch.nn.functional": nn.functional,
    "torch.special": torch.special,
    "torch.linalg": torch.linalg,
    "torch.fft": torch.fft,
    "torch.Tensor": torch.Tensor,
}

#: What of a tensor is no function of its numbers: hooks, gradients, files, memory, other libraries.
NO_FUNCTIONS = frozenset([
    "apply_", "map_", "map2_", "register_hook", "register_post_accumulate_grad_hook", "backward", "numpy", "data_ptr",
    "const_data_ptr", "storage", "storage_type", "untyped_storage", "set_", "share_memory_", "is_shared", "pin_memory",
    "module_load", "record_stream", "requires_grad_", "retain_grad", "sparse_resize_", "sparse_resize_and_clear_",
    "is_distributed", "dim_order",
])  # fmt: skip

#: What else a tensor or the result of a function has.
PROPERTIES = frozenset([
    "stride", "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros",
    "shape", "ndim", "dtype", "device", "T", "mT", "H", "mH", "real", "imag", "itemsize", "nbytes", "layout", "is_cuda",
    "is_sparse", "requires_grad", "values", "indices", "mantissa", "exponent", "sign", "logabsdet", "eigenvalues",
    "eigenvectors", "solution", "residuals", "rank", "singular_values", "Q", "R", "U", "S", "Vh", "L", "LU", "P",
    "hist", "bin_edges", "min", "max", "eps", "tiny", "smallest_normal",
])  # fmt: skip

#: Functions that make tensors, for lambdas: a position, a mask.
FACTORIES = frozenset([
    "arange", "as_tensor", "broadcast_shapes", "empty", "eye", "full", "linspace", "logspace", "normal", "ones",
    "promote_types", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "result_type",
    "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros", "finfo", "iinfo", "device", "Size", "inf",
    "nan", "pi", "e", "newaxis", "strided", "contiguous_format", "channels_last", "channels_last_3d", "preserve_format",
])  # fmt: skip

#: Functions of Python that change nothing, for lambdas.
BUILTINS: dict[str, Any] = {
    each.__name__: each
    for each in (abs, bool, divmod, enumerate, float, int, len, list, max, min, range, reversed, round, slice, sum, tuple, zip)
}


@functools.cache
def overridable() -> frozenset[str]:
    """The names of the functions that torch lets others take the place of: those of tensors."""
    found = set()
    for function in torch.overrides.get_testing_overrides():
        found.add(getattr(function, "__name__", ""))
    return frozenset(found)


@functools.cache
def functions_at(home: str) -> dict[str, Any]:
    """The functions of tensors in one place, by name."""
    overrides = torch.overrides.get_testing_overrides()
    place, found = HOMES[home], {}
    for name in dir(place):
        value = getattr(place, name, None) if not name.startswith("_") and name not in NO_FUNCTIONS else None
        if callable(value) and not isinstance(value, type) and is_hashable(value):
            in_place = name.endswith("_") and getattr(place, name[:-1], None) is not None and home != "torch.Tensor"
            if value in overrides or in_place or (place is nn.functional and name in ("sigmoid", "tanh", "hardsigmoid")):
                found[name] = value
    return found | ({"unflatten": torch.Tensor.unflatten} if home == "torch.Tensor" else {})


def is_hashable(value: Any) -> bool:
    """Whether something can be a key."""
    return getattr(type(value), "__hash__", None) is not None


#: The methods that a lambda may call: those of tensors.
METHODS = frozenset(functions_at("torch.Tensor")) | PROPERTIES


@functools.cache
def layer_classes() -> dict[str, Any]:
    """The layers of torch by name."""
    found = {name: getattr(nn, name) for name in dir(nn) if not name.startswith("_") and name not in NO_LAYERS}
    return {name: each for name, each in found.items() if isinstance(each, type) and issubclass(each, nn.Module)}


@functools.cache
def types_of_numbers() -> dict[str, Any]:
    """The types of numbers: ``torch.float64``."""
    return {str(each): each for each in vars(torch).values() if isinstance(each, torch.dtype)}


@functools.cache
def layers_of_bridges() -> dict[str, Any]:
    """The layers that bridges to other worlds have of their own, by class name."""
    found = {}
    for world in ("gluon", "darknet", "yolo"):
        home = f"skipseq.bridges.{world}"
        if find_spec(home) is not None and find_spec(f"{home}.layers") is not None:
            module = import_module(f"{home}.layers")
            for name in module.__all__:
                each = getattr(module, name)
                if isinstance(each, type) and issubclass(each, nn.Module):
                    found[name] = each
    return found


def held_layers(*layers: Any) -> Held:
    """Layers that stand there for their keys; nothing has to call them."""
    return Held(*layers)


held_layers.__name__ = "Held"


@functools.cache
def words() -> dict[str, Any]:
    """The words, the blocks, and what else stands for itself."""
    known = {name: getattr(skipseq, name) for name in skipseq.__all__ if name not in NOT_IN_TEXT}
    return {
        **known,
        "Held": held_layers,
        "OrderedDict": OrderedDict,
        "partial": functools.partial,
        "float": float,
        "inf": math.inf,
        "nan": math.nan,
        "abs": abs,
    }


def is_word(name: str) -> bool:
    """Whether a name is one of the words that no registry can rename."""
    return name in words()


class Names:
    """What the names in one text stand for.

    Args:
        registry: classes and functions of the user by the names that the text has for them.
        file: what the file is called, for errors about the registry.
    """

    def __init__(self, registry: Mapping[str, Any] | None, file: str) -> None:
        self.registry = dict(registry or {})
        for name, value in self.registry.items():
            if fault := registry_fault(name, value):
                advice = "Write registry={'Gate': Gate}: a class or a function by the name that the text has for it."
                raise FileError(file, "", "the registry does not fit", "names for classes and functions", fault, advice)

    def and_class(self, cls: type) -> Names:
        """The same names, and a class that reads a text of itself by its own."""
        if self.find(cls.__name__) is not MISSING or registry_fault(cls.__name__, cls):
            return self
        return Names({**self.registry, cls.__name__: cls}, "")

    def find(self, name: str) -> Any:
        """What a name with its dots stands for, or ``MISSING``."""
        if name in self.registry:
            return self.registry[name]
        if name in words():
            return words()[name]
        home, _, last = name.rpartition(".")
        if home in ("nn", "torch.nn"):
            return layer_classes().get(last, MISSING)
        if home in HOMES:
            found = functions_at(home).get(last, MISSING)
            return types_of_numbers().get(name, MISSING) if found is MISSING else found
        if not home:
            return layers_of_bridges().get(name, MISSING)
        return self.attribute_of_registered(home, last)

    def attribute_of_registered(self, home: str, name: str) -> Any:
        """A public function or number of a module that is registered, ``F.gelu``."""
        module = self.registry.get(home, math if home == "math" else None)
        if type(module) is not type(math) or name.startswith("_"):
            return MISSING
        value = getattr(module, name, MISSING)
        return value if isinstance(value, int | float) or (callable(value) and not isinstance(value, type)) else MISSING

    def find_in_lambda(self, name: str) -> Any:
        """What a name stands for inside a lambda, where functions are called with values."""
        home, _, last = name.rpartition(".")
        if name in BUILTINS:
            return BUILTINS[name]
        if home == "torch" and last in FACTORIES:
            return getattr(torch, last)
        found = self.find(name)
        return MISSING if isinstance(found, type) or (found is not MISSING and name in words() and name != "abs") else found

    def known(self) -> Iterator[str]:
        """All names, to say what was meant."""
        yield from self.registry
        yield from words()
        yield from layers_of_bridges()
        yield from (f"nn.{name}" for name in layer_classes())
        for home in HOMES:
            yield from (f"{home}.{name}" for name in functions_at(home))


def registry_fault(name: Any, value: Any) -> str:
    """What is wrong with an entry of a registry, if anything."""
    if not isinstance(name, str) or not name.isidentifier():
        return f"{name!r}, which is no name"
    if is_word(name) or name in ("torch", "nn", "math"):
        return f"{name!r}, which has a meaning already"
    if isinstance(value, nn.Module):
        return f"{name!r}: a {type(value).__name__} that exists, whose weights every network would share"
    return ""
