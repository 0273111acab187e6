"""A value with new channels goes through a layer: what becomes of it, and which tensors of the layer have to grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from .facts import Facts
from .growth import Growth
from .traits import Trait, Unwidened, traits_of, waits_for_its_shape

__all__ = ["GIVE_INPUT", "SLOPE", "Passed", "axis_kept_by", "pass_layer"]

#: What to do where the number of channels is not known.
GIVE_INPUT = "Give the input, as in input=(1, 3, 64, 64): then it is known."
#: The slope of a new channel, as in a new ``nn.PReLU``.
SLOPE = 0.25
NO_FIT = "it does not fit without the new channels either"


@dataclass(frozen=True, slots=True)
class Passed:
    """What a layer gives and how it has to grow.

    Args:
        growth: of the value that it gives, or nothing if the layer takes the new channels in.
        tensors: the dimension that grows of each of its tensors, and the number for the new channels.
        counts: the attributes that hold the number of channels.
        taken: the growth of the value that it receives, as far as the layer tells more of it.
    """

    growth: Growth | None
    tensors: tuple[tuple[str, int, float], ...] = ()
    counts: tuple[str, ...] = ()
    taken: Growth | None = None


def pass_layer(module: nn.Module, growth: Growth, facts: Facts) -> Passed:
    """A value with new channels, of which these facts are known, goes through a layer or a function.

    Raises:
        Unwidened: if the layer cannot be widened.
    """
    passed = Passed(growth)
    for trait in traits_of(module):
        assert passed.growth is not None  # a function has no weights, and keeps every channel
        passed = PASSES[trait.kind](trait, module, passed.growth, facts)
        facts = inside_function(trait, facts)
    return passed


def inside_function(trait: Trait, facts: Facts) -> Facts:
    """What is known between the steps of one function."""
    if trait.kind != "flatten":
        return facts if trait.kind != "spatial" else Facts(facts.rank)
    if facts.rank is None:
        return Facts(2 if (trait.start, trait.end) == (1, -1) else None)
    return Facts(facts.rank - (facts.axis(trait.end) - facts.axis(trait.start)))


def pass_each(_trait: Trait, _module: Any, growth: Growth, _facts: Facts) -> Passed:
    return Passed(growth)


def pass_spatial(trait: Trait, _module: Any, growth: Growth, facts: Facts) -> Passed:
    """Pooling, padding and resizing keep the channels."""
    if facts.rank is not None:
        keeps = 0 <= growth.axis < (facts.rank - trait.rank if trait.rank is not None else 2)
    else:
        keeps = growth.axis == 1 or (trait.rank is not None and growth.axis < -trait.rank)
    if not keeps:
        raise Unwidened("it works along the joined dimension")
    return Passed(growth)


def pass_softmax(trait: Trait, _module: Any, growth: Growth, facts: Facts) -> Passed:
    """A softmax over another dimension."""
    known = facts.rank is not None or (trait.start < 0) == (growth.axis < 0)
    if not known or facts.axis(trait.start) == growth.axis:
        raise Unwidened("it sums over the joined dimension, and new channels would change the old ones")
    return Passed(growth)


def pass_layer_norm(trait: Trait, _module: Any, growth: Growth, facts: Facts) -> Passed:
    """Statistics over the last dimensions."""
    assert trait.rank is not None
    if facts.rank is None or growth.axis >= facts.rank - trait.rank:
        raise Unwidened("its statistics are over several channels, and new ones would change the old ones")
    return Passed(growth)


def pass_norm(trait: Trait, module: Any, growth: Growth, facts: Facts) -> Passed:
    """Statistics of each channel by itself."""
    batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
    if not (growth.axis == 1 if batch and facts.rank is not None else is_channel_axis(growth.axis, trait, facts, batch)):
        raise Unwidened("its statistics are over the joined dimension, and new channels would change the old ones")
    if waits_for_its_shape(module):
        return Passed(growth)
    check_tensors(module, {"weight", "bias"})
    growth = fitted(growth, module.num_features)
    tensors = (("weight", 0, 1.0), ("bias", 0, 0.0), ("running_mean", 0, 0.0), ("running_var", 0, 1.0))
    present = tuple(each for each in tensors if getattr(module, each[0], None) is not None)
    return Passed(growth, present, ("num_features",), growth)


def pass_slopes(_trait: Trait, module: Any, growth: Growth, _facts: Facts) -> Passed:
    """A slope for each channel."""
    if growth.axis != 1:
        raise Unwidened("its slopes are for dimension 1, which is not the joined one")
    check_tensors(module, {"weight"})
    growth = fitted(growth, module.num_parameters)
    return Passed(growth, (("weight", 0, SLOPE),), ("num_parameters",), growth)


def pass_flatten(trait: Trait, _module: Any, growth: Growth, facts: Facts) -> Passed:
    """Each channel becomes as many positions as it has."""
    start, end = facts.axis(trait.start), facts.axis(trait.end)
    axis = growth.axis
    if facts.rank is not None and not start <= axis <= end:
        return Passed(replace(growth, axis=axis if axis < start else axis - (end - start)))
    if axis == start and (facts.shape is not None or (start, end) in ((1, -1), (1, (facts.rank or 0) - 1))):
        positions = facts.positions if facts.shape is None else prod(facts.shape[axis + 1 : end + 1])
        known = growth.each is not None and positions is not None
        return Passed(replace(growth, each=growth.each * positions if known else None))  # type: ignore[operator]
    if facts.shape is not None and axis == end:
        return Passed(replace(growth.repeated(prod(facts.shape[start:axis])), axis=start))
    if facts.shape is None:
        raise Unwidened("where the new channels are behind it is not known", GIVE_INPUT)
    raise Unwidened("the joined dimension is in the middle of what it flattens")


def pass_conv(trait: Trait, module: Any, growth: Growth, facts: Facts) -> Passed:
    """A convolution takes the new channels in."""
    if not is_channel_axis(growth.axis, trait, facts):
        raise Unwidened("it works along the joined dimension")
    if waits_for_its_shape(module):
        return Passed(None)
    check_tensors(module, {"weight", "bias"})
    growth = fitted(growth, module.in_channels)
    return Passed(None, (("weight", 0 if module.transposed else 1, 0.0),), ("in_channels",), growth)


def pass_linear(_trait: Trait, module: Any, growth: Growth, facts: Facts) -> Passed:
    """A linear layer takes new features in, and keeps new channels before them."""
    if facts.rank is not None and growth.axis != facts.rank - 1:
        return Passed(growth)
    if facts.rank is None and growth.axis not in (1, -1):
        raise Unwidened("which of its dimensions is joined is not known", GIVE_INPUT)
    if waits_for_its_shape(module):
        return Passed(None)
    check_tensors(module, {"weight", "bias"})
    growth = fitted(growth, module.in_features)
    return Passed(None, (("weight", 1, 0.0),), ("in_features",), growth)


PASSES: Mapping[str, Callable[[Trait, Any, Growth, Facts], Passed]] = {
    "each": pass_each,
    "spatial": pass_spatial,
    "softmax": pass_softmax,
    "layer_norm": pass_layer_norm,
    "norm": pass_norm,
    "slopes": pass_slopes,
    "flatten": pass_flatten,
    "conv": pass_conv,
    "linear": pass_linear,
}


def is_channel_axis(axis: int, trait: Trait, facts: Facts, batch: bool = False) -> bool:
    """Whether a dimension is the one of the channels, for a layer that works on the dimensions behind it."""
    behind = trait.rank or 1
    if facts.rank is not None:
        return axis == facts.rank - 1 - behind
    return axis in (1, -1 - behind) or (batch and behind == 1 and axis == -1)


def fitted(growth: Growth, width: int) -> Growth:
    """The growth, with what the width of a layer tells of it.

    Raises:
        Unwidened: if the layer does not fit, or too much is unknown.
    """
    found = growth.fitted(width)
    if found is None:
        raise Unwidened("which of its channels are new is not known", GIVE_INPUT) if growth.unknown > 1 else Unwidened(NO_FIT)
    return found


def check_tensors(module: nn.Module, known: set[str]) -> None:
    """Refuses a layer whose weight is not simply its parameter.

    Raises:
        Unwidened: if it is computed from others.
    """
    own = {name for name, each in module._parameters.items() if each is not None}
    computed = is_parametrized(module) or (getattr(module, "weight", None) is not None and "weight" not in own)
    if computed or not own <= known or any(type(each) is not nn.Parameter for each in module.parameters(recurse=False)):
        raise Unwidened(
            "its weight is computed from other tensors", "Remove the parametrization first, and put it back behind."
        )


def axis_kept_by(choice: Any, growth: Growth) -> Growth | None:
    """What an index makes of the channels, or nothing if it cuts into them."""
    places = choice if isinstance(choice, tuple) else (choice,)
    if growth.axis < 0 or any(not isinstance(each, int | slice) or isinstance(each, bool) for each in places):
        return None
    if len(places) > growth.axis and places[growth.axis] != slice(None):
        return None
    return replace(growth, axis=growth.axis - sum(isinstance(each, int) for each in places[: growth.axis]))
