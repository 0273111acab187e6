"""What is known of the values of a network: their shapes where inputs are given, else what the layers tell of themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor, nn

from skipseq.flatten import Line, Operation
from skipseq.wiring import Join, Value

from .traits import Trait, Unwidened, traits_of, waits_for_its_shape

__all__ = ["NOTHING", "Facts", "facts_behind", "measured", "told_by_readers"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A value, as far as it is known.

    Args:
        rank: the number of its dimensions.
        channels: the extent of dimension 1.
        features: the extent of the last dimension.
        positions: how many positions each channel has: the product of the extents behind dimension 1.
        shape: all extents.
    """

    rank: int | None = None
    channels: int | None = None
    features: int | None = None
    positions: int | None = None
    shape: tuple[int, ...] | None = None

    def width(self, axis: int) -> int | None:
        """The extent of a dimension."""
        if self.shape is not None:
            return self.shape[axis] if -len(self.shape) <= axis < len(self.shape) else None
        if self.rank is not None and axis == self.rank - 1:
            axis = -1
        if axis == -1:
            return self.features
        return self.channels if axis == 1 or (self.rank is not None and axis == 1 - self.rank) else None

    def axis(self, dim: int) -> int:
        """A dimension, counted from the front if that can be told."""
        return dim + self.rank if dim < 0 and self.rank is not None else dim


NOTHING = Facts()


def measured(value: Any) -> Facts:
    """What is known of a value that is there."""
    if not isinstance(value, Tensor) or not value.dim():
        return NOTHING
    shape = tuple(value.shape)
    return Facts(len(shape), shape[1] if len(shape) > 1 else None, shape[-1], prod(shape[2:]), shape)


def facts_behind(operation: Operation, known: dict[Value, Facts]) -> Facts:
    """What the layers tell of the first value that an operation gives; inputs are taken to be batches."""
    before = [known.get(value, NOTHING) for value in operation.takes if isinstance(value, int)]
    step = operation.place.chain[-1][2]
    if isinstance(step, Join):
        return behind_join(step, before)
    if operation.kind != "layer" or operation.module is None or not before:
        return NOTHING
    if isinstance(operation.module, nn.Embedding):
        rank = None if before[0].rank is None else before[0].rank + 1
        return Facts(rank, features=operation.module.embedding_dim)
    try:
        traits = traits_of(operation.module)
    except Unwidened:
        return behind_mixing(operation.module, before[0])
    facts = before[0]
    for trait in traits:
        facts = behind_trait(trait, operation.module, facts)
    return facts


def told_by_readers(line: Line, join: Operation | None, running: Value | None) -> dict[Value, Facts]:
    """What the layers that read values tell of them, the first of each; through layers that keep the channels.

    Behind the new concatenation they still expect what was the running value before it.
    """
    found: dict[Value, Facts] = {}
    for operation in reversed(line.operations):
        if operation is join and running is not None and join.gives[0] in found:
            found[running] = found[join.gives[0]]
            continue
        facts = expected(operation, found)
        if facts is not None and isinstance(operation.takes[0], int):
            found[operation.takes[0]] = facts
    return found


def expected(operation: Operation, behind: dict[Value, Facts]) -> Facts | None:
    """What a layer expects of its first value: from its weight, or because what reads it in turn expects that."""
    module: Any = operation.module
    if operation.kind != "layer" or not operation.takes or waits_for_its_shape(module):
        return None
    if isinstance(module, nn.modules.conv._ConvNd):
        return Facts(len(module.kernel_size) + 2, module.in_channels)
    if isinstance(module, nn.Linear):
        return Facts(None, module.in_features, module.in_features)
    try:
        kinds = {trait.kind for trait in traits_of(module)}
    except Unwidened:
        return None
    if kinds <= {"each", "softmax"}:
        return behind.get(operation.gives[0])
    if kinds <= {"each", "spatial", "norm", "slopes"} and (facts := behind.get(operation.gives[0])) is not None and facts.rank:
        return Facts(facts.rank, facts.channels)
    if kinds == {"norm"} and (width := getattr(module, "num_features", None)):
        rank = behind_trait(traits_of(module)[0], module, NOTHING).rank
        return Facts(rank, width, width if rank is None else None)
    return Facts(channels=module.num_parameters) if kinds == {"slopes"} else None


def behind_mixing(module: Any, facts: Facts) -> Facts:
    """Behind a layer that cannot be widened, but tells its widths."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return behind_trait(Trait("conv", len(module.kernel_size)), module, facts)
    if isinstance(module, nn.GroupNorm):
        return replace(facts, channels=module.num_channels)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.LocalResponseNorm):
        return facts
    return NOTHING


def behind_trait(trait: Trait, module: Any, facts: Facts) -> Facts:
    """Behind a layer of torch."""
    if trait.kind == "conv":
        return Facts(trait.rank + 2 if trait.rank is not None else None, module.out_channels)
    if trait.kind == "linear":
        # Without a known rank it is taken to be (batch, features).
        flat = facts.rank in (None, 2)
        channels = module.out_features if flat else facts.channels
        return Facts(facts.rank, channels, module.out_features, 1 if facts.rank == 2 else None)
    if trait.kind == "spatial":
        rank = facts.rank if trait.rank is None else trait.rank + 2
        return Facts(rank, facts.channels, positions=1 if trait.single else None)
    if trait.kind == "norm" and not waits_for_its_shape(module):
        own = getattr(module, "num_features", None)
        rank = facts.rank if trait.rank is None or trait.rank == 1 else trait.rank + 2
        flat = rank in (None, 2) and isinstance(module, nn.BatchNorm1d)
        return replace(facts, rank=rank, channels=own or facts.channels, features=own if flat else facts.features)
    if trait.kind == "flatten":
        return behind_flatten(trait, facts)
    return facts


def behind_flatten(trait: Trait, facts: Facts) -> Facts:
    """Behind ``nn.Flatten()``."""
    if (trait.start, trait.end) != (1, -1):
        return NOTHING
    if facts.channels is None or facts.positions is None:
        return Facts(2, positions=1)
    width = facts.channels * facts.positions
    return Facts(2, width, width, 1)


def behind_join(step: Join, before: list[Facts]) -> Facts:
    """Behind a join of values of one kind."""
    rank = next((each.rank for each in before if each.rank is not None), None)
    if step.broadcast:
        return Facts(rank)
    if step.operator != "cat":
        return Facts(
            rank,
            next((each.channels for each in before if each.channels is not None), None),
            next((each.features for each in before if each.features is not None), None),
            next((each.positions for each in before if each.positions is not None), None),
        )
    flat = rank in (None, 2)
    whole = summed(each.width(step.dim) for each in before)
    last = step.dim == -1 or (rank is not None and step.dim == rank - 1) or (flat and step.dim == 1)
    first = step.dim == 1 or (flat and step.dim == -1)
    channels = whole if first else next((each.channels for each in before if each.channels is not None), None)
    features = whole if last else next((each.features for each in before if each.features is not None), None)
    return Facts(rank, channels, features)


def summed(widths: Any) -> int | None:
    """The sum, if all are known."""
    found = list(widths)
    return None if None in found else sum(found)
