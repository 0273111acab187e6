"""Functions that are layers: ``F.relu(x)`` is what ``nn.ReLU()`` does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .numbers import Flag, Number, size_of
from .recording import Node, nodes_in

__all__ = ["DROPOUTS", "layer_for"]

#: For each function its layer, and the names of its arguments behind the value; those in quotes with a sign of equality are
#: other names in the layer.
ELEMENTWISE: dict[str, tuple[type[nn.Module], str]] = {
    "relu": (nn.ReLU, "inplace"),
    "relu6": (nn.ReLU6, "inplace"),
    "sigmoid": (nn.Sigmoid, ""),
    "tanh": (nn.Tanh, ""),
    "silu": (nn.SiLU, "inplace"),
    "mish": (nn.Mish, "inplace"),
    "gelu": (nn.GELU, "approximate"),
    "elu": (nn.ELU, "alpha inplace"),
    "celu": (nn.CELU, "alpha inplace"),
    "selu": (nn.SELU, "inplace"),
    "leaky_relu": (nn.LeakyReLU, "negative_slope inplace"),
    "hardswish": (nn.Hardswish, "inplace"),
    "hardsigmoid": (nn.Hardsigmoid, "inplace"),
    "hardtanh": (nn.Hardtanh, "min_val max_val inplace"),
    "softplus": (nn.Softplus, "beta threshold"),
    "softsign": (nn.Softsign, ""),
    "logsigmoid": (nn.LogSigmoid, ""),
    "tanhshrink": (nn.Tanhshrink, ""),
    "glu": (nn.GLU, "dim"),
    "pixel_shuffle": (nn.PixelShuffle, "upscale_factor"),
    "pixel_unshuffle": (nn.PixelUnshuffle, "downscale_factor"),
    "max_pool1d": (nn.MaxPool1d, "kernel_size stride padding dilation ceil_mode return_indices"),
    "max_pool2d": (nn.MaxPool2d, "kernel_size stride padding dilation ceil_mode return_indices"),
    "max_pool3d": (nn.MaxPool3d, "kernel_size stride padding dilation ceil_mode return_indices"),
    "avg_pool1d": (nn.AvgPool1d, "kernel_size stride padding ceil_mode count_include_pad"),
    "avg_pool2d": (nn.AvgPool2d, "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "avg_pool3d": (nn.AvgPool3d, "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "adaptive_avg_pool1d": (nn.AdaptiveAvgPool1d, "output_size"),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, "output_size"),
    "adaptive_avg_pool3d": (nn.AdaptiveAvgPool3d, "output_size"),
    "adaptive_max_pool1d": (nn.AdaptiveMaxPool1d, "output_size return_indices"),
    "adaptive_max_pool2d": (nn.AdaptiveMaxPool2d, "output_size return_indices"),
    "adaptive_max_pool3d": (nn.AdaptiveMaxPool3d, "output_size return_indices"),
}

#: The layers of functions that take one more argument than that: whether they are in training.
DROPOUTS: dict[str, type[nn.Module]] = {
    "dropout": nn.Dropout,
    "dropout1d": nn.Dropout1d,
    "dropout2d": nn.Dropout2d,
    "dropout3d": nn.Dropout3d,
    "alpha_dropout": nn.AlphaDropout,
    "feature_alpha_dropout": nn.FeatureAlphaDropout,
}

#: Another name under which torch knows a function.
IN_PLACE = {"relu_": "relu", "sigmoid_": "sigmoid", "tanh_": "tanh", "relu6_": "relu6", "leaky_relu_": "leaky_relu"}


def layer_for(node: Node) -> nn.Module | None:
    """The layer of torch that does what the function of a node does, if there is one."""
    name, args = known_name(node.function), node.args
    if name is None or not args or not isinstance(args[0], Node) or not isinstance(args[0].example, Tensor):
        return None
    if name in ("view", "reshape") and flattens(args):
        return nn.Flatten()
    if nodes_in(args[1:], node.named):
        return None
    if name in DROPOUTS:
        return dropout(DROPOUTS[name], arguments(node, "p training inplace"))
    if name == "flatten":
        given = {"start_dim": 0, "end_dim": -1, **arguments(node, "start_dim end_dim")}
        return nn.Flatten(**given)
    if name in ("softmax", "log_softmax"):
        return softmax(nn.Softmax if name == "softmax" else nn.LogSoftmax, arguments(node, softmax_names(node)))
    if name == "interpolate":
        return upsample(arguments(node, "size scale_factor mode align_corners recompute_scale_factor antialias"))
    return elementwise(name, node)


def known_name(function: Any) -> str | None:
    """The name of a function of torch, its functional module or a tensor; in place or not is the same for most."""
    name = getattr(function, "__name__", "")
    for home in (F, torch, torch.Tensor):
        if getattr(home, name, None) is function:
            return name
    return None


def arguments(node: Node, names: str) -> dict[str, Any]:
    """The arguments behind the value by name; a function of which not all are known is none that is a layer."""
    given = dict(zip(names.split(), node.args[1:], strict=False))
    if len(node.args) - 1 > len(names.split()):
        given["?"] = None
    named = {name: each for name, each in node.named.items() if name not in ("_stacklevel", "self", "input")}
    return {**given, **named}


def elementwise(name: str, node: Node) -> nn.Module | None:
    """A layer whose arguments are those of the function."""
    plain = IN_PLACE.get(name, name)
    if plain not in ELEMENTWISE:
        return None
    kind, names = ELEMENTWISE[plain]
    given = arguments(node, names)
    if not set(given) <= set(names.split()):
        return None
    if plain != name:
        if "inplace" not in names.split():
            return None if plain != "sigmoid" and plain != "tanh" else kind()
        given["inplace"] = True
    defaults = inspect.signature(kind).parameters
    kept = {key: each for key, each in given.items() if key not in defaults or each != defaults[key].default}
    return kind(**kept)


def dropout(kind: type[nn.Module], given: dict[str, Any]) -> nn.Module | None:
    """Dropout that follows the mode of the module."""
    training = given.pop("training", None)
    if not isinstance(training, Flag) or not set(given) <= {"p", "inplace"}:
        return None
    layer = kind(**given)
    layer.training = int(training) != 0
    return layer


def softmax_names(node: Node) -> str:
    """The arguments of softmax, which has one more in the functional module."""
    return "dim _stacklevel dtype" if getattr(F, node.function.__name__) is node.function else "dim dtype"


def softmax(kind: Callable[..., nn.Module], given: dict[str, Any]) -> nn.Module | None:
    """Softmax over a dimension."""
    given = {name: each for name, each in given.items() if name != "_stacklevel" and each is not None}
    return kind(dim=given["dim"]) if set(given) == {"dim"} else None


def upsample(given: dict[str, Any]) -> nn.Module | None:
    """Interpolation by a factor, or to a size that is a constant."""
    given = {name: each for name, each in given.items() if (each is not None and each is not False) or name == "align_corners"}
    if given.get("align_corners") is None:
        given.pop("align_corners", None)
    known = {"size", "scale_factor", "mode", "align_corners", "recompute_scale_factor"}
    if given.get("mode") == "nearest":
        given.pop("mode")
    return nn.Upsample(**given) if set(given) <= known and ("size" in given) != ("scale_factor" in given) else None


def flattens(args: Sequence[Any]) -> bool:
    """Whether ``x.view(...)`` only flattens what is behind the batch: ``x.view(x.shape[0], -1)``."""
    value, *sizes = args
    sizes = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if len(sizes) != 2 or sizes[1] != -1 or value.example.dim() < 2:
        return False
    origin = getattr(sizes[0], "origin", None)
    return isinstance(origin, Number) and origin.function is size_of and tuple(origin.operands) == (value, 0)
