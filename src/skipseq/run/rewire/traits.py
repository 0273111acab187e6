"""What a layer does with the channels that it receives, as far as widening has to know.

A layer keeps each channel apart (``each``, ``spatial``, ``softmax``, ``norm``, ``slopes``, ``flatten``), mixes them by a
weight that has a position for each (``conv``, ``linear``), or is none of which this is known. A function may be several of
these, one after the other.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from skipseq.declare.containers import forward_owner
from skipseq.declare.functions import Expression, Function, written

__all__ = ["Trait", "Unwidened", "shape_is_all_it_reads", "traits_of", "waits_for_its_shape"]

NN = nn.modules

#: Layers and functions that work on each number by itself, or, while training, drop some at random.
EACH_LAYERS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign,
    nn.Threshold, nn.RReLU, nn.Identity, NN.dropout._DropoutNd,
)  # fmt: skip
EACH_FUNCTIONS = frozenset({
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish",
    "hardswish", "hardsigmoid", "hardtanh", "hardshrink", "softshrink", "tanhshrink", "tanh", "tanh_", "sigmoid",
    "sigmoid_", "logsigmoid", "softplus", "softsign", "threshold", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "alpha_dropout", "feature_alpha_dropout", "exp", "abs", "neg", "negative", "square", "sin", "cos", "clamp", "clamp_min",
    "clamp_max", "contiguous", "clone", "detach", "float", "double", "half", "bfloat16",
})  # fmt: skip
#: Those that work on the dimensions behind the channels.
SPATIAL_LAYERS = (
    NN.pooling._MaxPoolNd, NN.pooling._AvgPoolNd, NN.pooling._LPPoolNd, NN.pooling._AdaptiveAvgPoolNd,
    NN.pooling._AdaptiveMaxPoolNd, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d, nn.Upsample,
    NN.padding._ConstantPadNd, NN.padding._ReflectionPadNd, NN.padding._ReplicationPadNd, NN.padding._CircularPadNd,
)  # fmt: skip
SPATIAL_FUNCTIONS = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d",
    "lp_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "interpolate", "upsample",
})  # fmt: skip
MIXING_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d)


class Unwidened(Exception):
    """A layer cannot be widened; the text tells why, the advice what else to do than usual."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why, self.advice = why, advice


@dataclass(frozen=True, slots=True)
class Trait:
    """What happens to the channels.

    Args:
        kind: ``each``, ``spatial``, ``softmax``, ``norm``, ``slopes``, ``flatten``, ``layer_norm``, ``conv`` or ``linear``.
        rank: the number of dimensions behind the channels, where the kind works on a fixed number of them.
        start: the first dimension that a flatten joins, or the one of a softmax.
        end: the last one.
        single: whether what a pool gives is one position.
    """

    kind: str
    rank: int | None = None
    start: int = 1
    end: int = -1
    single: bool = False


def traits_of(module: nn.Module) -> tuple[Trait, ...]:
    """What a layer or function does with its channels, step by step.

    Raises:
        Unwidened: if that is not known, or a new channel would change the old ones.
    """
    if isinstance(module, Function):
        return traits_of_function(module.function)
    if "forward" in vars(module) or not forward_owner(module).__module__.startswith("torch.nn."):
        raise Unwidened("what it does with its channels is not known, as its forward is none of torch")
    return (trait_of_layer(module),)


def trait_of_layer(module: Any) -> Trait:
    """What a layer of torch does with its channels."""
    rank = rank_in(type(module))
    if isinstance(module, EACH_LAYERS):
        return Trait("each")
    if isinstance(module, nn.PReLU):
        return Trait("each" if module.num_parameters == 1 else "slopes")
    if isinstance(module, SPATIAL_LAYERS):
        if getattr(module, "return_indices", False):
            raise Unwidened("it gives a tuple, which has no channels")
        single = isinstance(module, NN.pooling._AdaptiveAvgPoolNd | NN.pooling._AdaptiveMaxPoolNd)
        return Trait("spatial", rank, single=single and all_ones(module.output_size))
    if isinstance(module, NN.batchnorm._BatchNorm | NN.instancenorm._InstanceNorm):
        return Trait("norm", rank)
    if isinstance(module, nn.Flatten):
        return Trait("flatten", start=module.start_dim, end=module.end_dim)
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmin) and module.dim is not None:
        return Trait("softmax", start=module.dim)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return Trait("layer_norm", len(module.normalized_shape))
    if isinstance(module, NN.conv._ConvNd):
        return conv_trait(module, rank)
    if isinstance(module, nn.Linear):
        return Trait("linear")
    if isinstance(module, MIXING_NORMS):
        raise Unwidened("its statistics are over several channels, and new ones would change the old ones")
    raise Unwidened("it is no layer of which is known how a channel is added")


def conv_trait(module: Any, rank: int | None) -> Trait:
    """A convolution, unless its channels are tied to each other."""
    if module.groups != 1:
        raise Unwidened(f"its groups={module.groups} tie the channels that it receives to those that it gives")
    return Trait("conv", rank)


def rank_in(cls: type) -> int | None:
    """The number of dimensions that the name of a class of torch tells: 2 for ``Conv2d``, also for what derives from it."""
    for each in cls.__mro__:
        if each.__module__.startswith("torch.nn.") and (found := re.search(r"(\d)d$", each.__name__)):
            return int(found[1])
    return None


def all_ones(size: Any) -> bool:
    """Whether an output size of a pool is one position."""
    return all(each == 1 for each in (size if isinstance(size, Iterable) else (size,)))


def waits_for_its_shape(module: nn.Module) -> bool:
    """Whether a layer is lazy, and takes whatever it receives first."""
    return any(is_lazy(each) for each in module.parameters(recurse=False))


# Functions


def traits_of_function(function: Any) -> tuple[Trait, ...]:
    """What a function does with its channels."""
    args: list[Any] = []
    named: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        args, named = [*function.args, *args], {**function.keywords, **named}
        function = function.func
    if isinstance(function, Expression):
        return traits_of_expression(function)
    text = written(function)
    if text.startswith(("torch.", "nn.functional.")) and not args:
        return (trait_of_call(text.rpartition(".")[2], [], named),)
    raise Unwidened("what it does with its channels is not known", "Write it as a layer of torch.")


def trait_of_call(name: str, args: list[Any], named: dict[str, Any]) -> Trait:
    """What a function of torch does with its channels; ``args`` are the arguments behind the value."""
    if name in EACH_FUNCTIONS:
        return Trait("each")
    if name in SPATIAL_FUNCTIONS and not named.get("return_indices"):
        found = re.search(r"(\d)d$", name)
        size = named.get("output_size", args[0] if args else None)
        single = name.startswith("adaptive") and size is not None and all_ones(size)
        return Trait("spatial", int(found[1]) if found else None, single=single)
    if name == "flatten":
        places = dict(zip(("start_dim", "end_dim"), args, strict=False)) | named
        start, end = places.get("start_dim", 0), places.get("end_dim", -1)
        if isinstance(start, int) and isinstance(end, int):
            return Trait("flatten", start=start, end=end)
    if name in ("softmax", "log_softmax", "softmin"):
        dim = named.get("dim", args[0] if args else None)
        if isinstance(dim, int):
            return Trait("softmax", start=dim)
    raise Unwidened("what it does with its channels is not known", "Write it as a layer of torch.")


def traits_of_expression(expression: Expression) -> tuple[Trait, ...]:
    """What an expression does with the channels of its first value: calls of functions of torch, one in the other."""
    traits: list[Trait] = []
    body = ast.parse(expression.text, mode="eval").body
    while not (isinstance(body, ast.Name) and body.id == expression.parameters[0]):
        if isinstance(body, ast.BinOp) and isinstance(literal(body.right), int | float):
            traits.insert(0, Trait("each"))
            body = body.left
            continue
        name, inner, args, named = call_in(body)
        # What stands beside the value must not be made of its channels.
        if inner is None or not all(shape_alone(each, expression.parameters) for each in (*args, *named.values())):
            raise Unwidened("what it does with its channels is not known", "Write it as a layer of torch.")
        literals = {key: literal(each) for key, each in named.items()}
        traits.insert(0, trait_of_call(name, [literal(each) for each in args], literals))
        body = inner
    return tuple(traits)


def call_in(body: ast.expr) -> tuple[str, ast.expr | None, list[ast.expr], dict[str, ast.expr]]:
    """A call in an expression: the name of the function, the value, and the arguments behind it."""
    if not isinstance(body, ast.Call) or not isinstance(body.func, ast.Attribute) or any(k.arg is None for k in body.keywords):
        return "", None, [], {}
    named = {keyword.arg: keyword.value for keyword in body.keywords if keyword.arg is not None}
    if ast.unparse(body.func.value) in ("torch", "nn.functional", "torch.nn.functional"):
        return body.func.attr, body.args[0] if body.args else None, body.args[1:], named
    return body.func.attr, body.func.value, body.args, named


def literal(expression: ast.expr) -> Any:
    """The value of an argument, or nothing where it is known only when called."""
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return None


def shape_alone(expression: ast.expr, parameters: tuple[str, ...]) -> bool:
    """Whether an argument uses values by their extents behind the channels alone: ``other.shape[-2:]``."""
    allowed: set[int] = set()
    for node in ast.walk(expression):
        if isinstance(node, ast.Subscript) and behind_channels(node.slice):
            of = node.value
            of = of.func if isinstance(of, ast.Call) and not of.args else of
            if isinstance(of, ast.Attribute) and of.attr in ("shape", "size"):
                allowed.add(id(of.value))
    names = (node for node in ast.walk(expression) if isinstance(node, ast.Name) and node.id in parameters)
    return all(id(name) in allowed for name in names)


def behind_channels(index: ast.expr) -> bool:
    """Whether an index of a shape means dimensions behind the channels, in values with extents."""
    if isinstance(index, ast.Slice):
        start = None if index.lower is None else literal(index.lower)
        return isinstance(start, int) and (start >= 2 or start in (-1, -2, -3)) and index.step is None
    place = literal(index)
    return isinstance(place, int) and (place >= 2 or place in (-1, -2))


def shape_is_all_it_reads(module: nn.Module | None, position: int) -> bool:
    """Whether a function uses the value at this position by its extents behind the channels alone."""
    if not isinstance(module, Function) or not isinstance(module.function, Expression):
        return False
    expression = module.function
    if position >= len(expression.parameters):
        return False
    return shape_alone(ast.parse(expression.text, mode="eval").body, (expression.parameters[position],))
