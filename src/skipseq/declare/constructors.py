"""A layer as one would write it: ``nn.Conv2d(3, 16, 3, padding=1)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from .functions import Function, written

__all__ = ["Argument", "arguments_of", "constructor", "known_arguments", "simple", "written_arguments"]

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


class Argument(NamedTuple):
    """An argument of a constructor; one that is ``usual`` need not be written, one by ``position`` needs no name."""

    name: str
    value: Any
    usual: bool
    position: bool


def written_arguments(module: nn.Module) -> str | None:
    """The arguments of the constructor, those that differ from the defaults, or nothing if they are not known."""
    known = known_arguments(module)
    if known is None:
        return None
    written_out = ((each, written_value(each.value)) for each in known if not each.usual)
    return ", ".join(text if each.position else f"{each.name}={text}" for each, text in written_out)


def written_value(value: Any) -> str:
    """The value of an argument as one would write it: a layer, a function or anything that prints itself."""
    if isinstance(value, nn.Module):
        return constructor(value)
    return written(value) if callable(value) else repr(value)


def known_arguments(module: nn.Module) -> list[Argument] | None:
    """The arguments of the constructor in order, also the usual ones, or nothing if one that is needed is not known."""
    known = arguments_of(module)
    if known is None:
        return None
    arguments: list[Argument] = []
    by_position = True
    for parameter in parameters_of(module):
        value = simple(parameter.name, known.get(parameter.name, MISSING))
        if value is MISSING:
            by_position = False
            continue
        required = parameter.default is parameter.empty
        usual = not required and is_default(module, parameter, value)
        by_position = by_position and required and parameter.kind is not parameter.KEYWORD_ONLY
        arguments.append(Argument(parameter.name, value, usual, by_position))
    return arguments


def arguments_of(module: nn.Module) -> dict[str, Any] | None:
    """The arguments that build a layer of torch like this one, or nothing where it does not keep all that are needed."""
    inner = KEPT_INSIDE.get(type(module))
    kept = None if inner is None else inner(module)
    found = {}
    for parameter in parameters_of(module):
        value = argument_of(module, parameter.name) if kept is None else kept.get(parameter.name, MISSING)
        if value is not MISSING:
            found[parameter.name] = value
        elif parameter.default is parameter.empty:
            return None
    return found


def transformer_layer_arguments(layer: Any) -> dict[str, Any]:
    """The arguments of a layer of a transformer, which keeps them in its layers."""
    activation = layer.activation
    names = {nn.functional.gelu: "gelu"}
    return {
        "d_model": layer.self_attn.embed_dim,
        "nhead": layer.self_attn.num_heads,
        "dim_feedforward": layer.linear1.out_features,
        "dropout": layer.dropout.p,
        "activation": activation if isinstance(activation, nn.Module) else names.get(activation, activation),
        "layer_norm_eps": layer.norm1.eps,
        "batch_first": layer.self_attn.batch_first,
        "norm_first": layer.norm_first,
        "bias": layer.linear1.bias is not None,
    }


def encoder_arguments(encoder: Any) -> dict[str, Any]:
    """The arguments of a stack of encoder layers, which are copies of one."""
    options = {"norm": encoder.norm, "enable_nested_tensor": encoder.enable_nested_tensor, "mask_check": encoder.mask_check}
    return {"encoder_layer": encoder.layers[0], "num_layers": encoder.num_layers, **options}


def decoder_arguments(decoder: Any) -> dict[str, Any]:
    """The arguments of a stack of decoder layers, which are copies of one."""
    return {"decoder_layer": decoder.layers[0], "num_layers": decoder.num_layers, "norm": decoder.norm}


def transformer_arguments(transformer: Any) -> dict[str, Any]:
    """The arguments of a whole transformer, unless its encoder or decoder is another one."""
    encoder, decoder = transformer.encoder, transformer.decoder
    if type(encoder) is not nn.TransformerEncoder or type(decoder) is not nn.TransformerDecoder:
        return {}
    layers = {"num_encoder_layers": encoder.num_layers, "num_decoder_layers": decoder.num_layers}
    return transformer_layer_arguments(encoder.layers[0]) | layers


#: The classes of torch whose arguments stand in the layers inside them.
KEPT_INSIDE: dict[type, Callable[[Any], dict[str, Any]]] = {
    nn.TransformerEncoderLayer: transformer_layer_arguments,
    nn.TransformerDecoderLayer: transformer_layer_arguments,
    nn.TransformerEncoder: encoder_arguments,
    nn.TransformerDecoder: decoder_arguments,
    nn.Transformer: transformer_arguments,
}


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
    same = isinstance(value, tuple) and value and value.count(value[0]) == len(value)
    if same and (name in FOR_EACH_DIMENSION or len(value) == 1):
        value = value[0]
    return int(value) if isinstance(value, float) and name == "scale_factor" and value.is_integer() else value


def is_default(module: nn.Module, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether a value need not be written: it is the default, or what the class makes of it."""
    if parameter.name == "stride" and parameter.default is None:
        return bool(value == simple("kernel_size", getattr(module, "kernel_size", MISSING)))
    if parameter.name in ("kdim", "vdim") and parameter.default is None:
        return bool(value == getattr(module, "embed_dim", MISSING))
    return bool(value == simple(parameter.name, parameter.default)) and type(value) is type(parameter.default)
