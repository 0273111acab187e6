"""A layer as one would write it: ``nn.Conv2d(3, 16, 3, padding=1)``."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from .functions import Function

__all__ = ["arguments_of", "constructor"]

#: Arguments that are given for each dimension, and that one number stands for if all are equal.
FOR_EACH_DIMENSION = frozenset(
    {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "scale_factor"}
)

#: Arguments about where a layer lives, not what it is.
ABOUT_STORAGE = frozenset({"device", "dtype"})

MISSING = object()


def constructor(module: nn.Module) -> str:
    """The layer in one line: as the call that builds one like it, where its class keeps its arguments.

    >>> from torch import nn
    >>> from skipseq.declare.constructors import constructor
    >>> constructor(nn.Conv2d(3, 16, (3, 3), padding=(1, 1), bias=False))
    'nn.Conv2d(3, 16, 3, padding=1, bias=False)'
    """
    name = type(module).__name__
    if getattr(nn, name, None) is type(module):
        arguments = written_arguments(module)
        return f"nn.{name}({arguments})" if arguments is not None else f"nn.{in_one_line(module)}"
    return repr(module) if isinstance(module, Function) else in_one_line(module)


def in_one_line(module: nn.Module) -> str:
    """What a module prints, if it is one line."""
    text = repr(module)
    return text if "\n" not in text else f"{type(module).__name__}(...)"


def written_arguments(module: nn.Module) -> str | None:
    """The arguments of the constructor, those that differ from the defaults, or nothing if they are not known."""
    known = arguments_of(module)
    if known is None:
        return None
    parts: list[str] = []
    by_position = True
    for parameter in parameters_of(module):
        value = simple(parameter.name, known.get(parameter.name, MISSING))
        if value is MISSING or (parameter.default is not parameter.empty and is_default(module, parameter, value)):
            by_position = False
            continue
        by_position = by_position and parameter.default is parameter.empty
        parts.append(repr(value) if by_position else f"{parameter.name}={value!r}")
    return ", ".join(parts)


def arguments_of(module: nn.Module) -> dict[str, Any] | None:
    """The arguments that build a layer of torch like this one, or nothing where it does not keep all that are needed."""
    found = {}
    for parameter in parameters_of(module):
        value = argument_of(module, parameter.name)
        if value is not MISSING:
            found[parameter.name] = value
        elif parameter.default is parameter.empty:
            return None
    return found


def parameters_of(module: nn.Module) -> list[inspect.Parameter]:
    """The parameters of the constructor, but for those about where a layer lives."""
    signature = inspect.signature(rnn_arguments if isinstance(module, nn.RNNBase) else type(module))
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each for each in signature.parameters.values() if each.kind not in kinds and each.name not in ABOUT_STORAGE]


def rnn_arguments(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    nonlinearity: str = "tanh",
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> None:
    """The arguments of ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``, whose constructors do not name them."""


def argument_of(module: nn.Module, name: str) -> Any:
    """The value of an argument, as far as the module keeps it."""
    if isinstance(module, nn.MultiheadAttention) and name == "bias":
        return module.in_proj_bias is not None
    if isinstance(module, nn.MultiheadAttention) and name == "add_bias_kv":
        return module.bias_k is not None
    value = getattr(module, name, MISSING)
    if name == "bias" and (value is None or isinstance(value, Tensor)):
        # A layer without any parameters has no bias to speak of: affine=False says so.
        return value is not None or (MISSING if getattr(module, "weight", None) is None else False)
    if name == "proj_size" and not isinstance(module, nn.LSTM):
        return MISSING
    return MISSING if isinstance(value, Tensor | nn.Module) or callable(value) else value


def simple(name: str, value: Any) -> Any:
    """A value as one would write it: one number for all dimensions, whole numbers without a point."""
    if isinstance(value, tuple) and value and (name in FOR_EACH_DIMENSION or len(value) == 1) and len(set(value)) == 1:
        value = value[0]
    return int(value) if isinstance(value, float) and name == "scale_factor" and value.is_integer() else value


def is_default(module: nn.Module, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether a value need not be written: it is the default, or what the class makes of it."""
    if parameter.name == "stride" and parameter.default is None:
        return bool(value == simple("kernel_size", getattr(module, "kernel_size", MISSING)))
    if parameter.name in ("kdim", "vdim") and parameter.default is None:
        return bool(value == getattr(module, "embed_dim", MISSING))
    return bool(value == simple(parameter.name, parameter.default)) and type(value) is type(parameter.default)
