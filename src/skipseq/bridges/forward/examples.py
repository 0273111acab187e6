"""An example input for a network, guessed from the layer that comes first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq.check.infer import tensors_in

__all__ = ["GROWTHS", "guesses", "larger", "required_inputs"]

#: Extents that networks for pictures usually take.
EXTENTS = {1: (224, 256, 64, 32), 2: (224, 256, 64, 32), 3: (64, 96, 32)}

#: How extents grow where other sizes are tried: doubled, which most networks take, and such that a power of two becomes a
#: size that stays odd however often it is halved, rounded up or down.
GROWTHS: tuple[Callable[[int], int], ...] = (lambda size: 2 * size, lambda size: size + 1, lambda size: 2 * size - 1)

#: How many of the first layers are looked at: the one that is called first need not be the first one.
LOOKED_AT = 3


def required_inputs(module: nn.Module) -> list[str]:
    """The parameters of the forward that have no default."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return [each.name for each in parameters if each.default is each.empty and each.kind not in kinds]


def guesses(module: nn.Module) -> Iterator[Tensor]:
    """Inputs that the first layers of a network could take, the likeliest first."""
    known = [shapes for each in module.modules() if (shapes := list(inputs_of(each)))][:LOOKED_AT]
    for shapes in known:
        yield from shapes


def inputs_of(layer: nn.Module) -> Iterator[Tensor]:
    """Inputs that a layer of torch can take."""
    weight = next((each for each in layer.parameters(recurse=False) if not is_lazy(each)), None)
    like = {"device": None if weight is None else weight.device, "dtype": None if weight is None else weight.dtype}
    if isinstance(layer, nn.modules.conv._ConvNd) and weight is not None:
        rank = len(layer.kernel_size)
        for extent in EXTENTS[rank]:
            yield torch.empty(2, layer.in_channels, *[extent] * rank, **like)  # type: ignore[arg-type]
    elif isinstance(layer, nn.Linear) and weight is not None:
        yield torch.empty(2, layer.in_features, **like)  # type: ignore[arg-type]
        yield torch.empty(2, 16, layer.in_features, **like)  # type: ignore[arg-type]
    elif isinstance(layer, nn.Embedding):
        yield torch.zeros(2, 16, dtype=torch.long, device=layer.weight.device)
    elif isinstance(layer, nn.RNNBase):
        yield torch.empty(2, 16, layer.input_size, **like)  # type: ignore[arg-type]


def larger(arguments: inspect.BoundArguments, growth: Callable[[int], int]) -> Iterator[inspect.BoundArguments]:
    """The same arguments in other sizes, which the network may take or not: a sample more, and every extent grown."""
    for first, last in ((2, None), (1, -1), (1, 1)):
        yield inspect.BoundArguments(
            arguments.signature,
            type(arguments.arguments)({name: grown(each, first, last, growth) for name, each in arguments.arguments.items()}),
        )


def grown(value: Any, first: int, last: int | None, growth: Callable[[int], int]) -> Any:
    """A tensor with one sample more, and with the extents from one dimension to another grown."""
    if isinstance(value, tuple | list) and tensors_in(value):
        return type(value)(grown(each, first, last, growth) for each in value)
    if not isinstance(value, Tensor) or not value.dim():
        return value
    growing = set(range(value.dim())[first:last])
    shape = [size + 1 if i == 0 else growth(size) if i in growing else size for i, size in enumerate(value.shape)]
    generator = torch.Generator().manual_seed(0)  # the random numbers of the program around stay as they are
    return torch.randn(shape, generator=generator).to(value) if value.is_floating_point() else value.new_zeros(shape)
