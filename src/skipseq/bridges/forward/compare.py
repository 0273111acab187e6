"""Whether two records of one forward are the same, as they must be if neither the mode nor the sizes decide what it does."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.check.infer import tensors_in

from .numbers import Flag, Number, known, plain, size_of
from .recording import Node, Record, mapped, nodes_in, operations_in

__all__ = ["first_difference", "gradients", "read_batch_nearby", "same_gradients"]

#: How far gradients may be apart, as a part of the largest: sums in another order.
APART = 1e-3


def first_difference(one: Record, other: Record) -> Node | None:
    """The first operation of a record that the other one does not have, or has in another way."""
    last = None
    for mine, theirs in zip_longest(operations_in(one.root), operations_in(other.root)):
        if mine is None:
            return last
        if theirs is None or not same_operation(mine, theirs):
            # A loop that ends earlier shows in what comes behind it: the other record has the operation inside.
            return mine if theirs is None or len(mine.call.path) >= len(theirs.call.path) else theirs
        last = mine
    return None if same(one.root.result, other.root.result) else last


def same_operation(one: Node, other: Node) -> bool:
    """Whether two operations do the same with the same values."""
    return (
        (one.kind, one.index, one.path, one.call.path) == (other.kind, other.index, other.path, other.call.path)
        and (one.function == other.function)
        and same(one.args, other.args)
        and same(one.named, other.named)
    )


def same(one: Any, other: Any) -> bool:
    """Whether two arguments are equal; sizes are where they come from, not what they are."""
    if isinstance(one, Node) and isinstance(other, Node):
        return one.index == other.index
    origins = [each if isinstance(each, Number) else getattr(each, "origin", None) for each in (one, other)]
    if all(isinstance(each, Number) for each in origins):
        return origins[0].function == origins[1].function and same(origins[0].operands, origins[1].operands)  # type: ignore[union-attr]
    if any(isinstance(each, Number | Node) for each in (*origins, one, other)):
        return False
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, slice) and isinstance(other, slice):
        return same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    if isinstance(one, Flag) and isinstance(other, Flag):
        return True
    if isinstance(one, nn.Module) or isinstance(other, nn.Module):
        return one is other
    return type(one) is type(other) and bool(one == other)


def read_batch_nearby(one: Record, other: Record) -> None:
    """Reads the batch size from a value that an operation takes anyway, if it is the same in records of different batches.

    After ``b, c, h, w = x.shape``, a ``y.view(b, -1)`` far behind is ``y.view(y.shape[0], -1)``: ``x`` need not be kept for it.
    """
    for mine, theirs in zip(operations_in(one.root), operations_in(other.root), strict=True):
        own = {node: twin for node, twin in zip(values_among(mine), values_among(theirs), strict=True) if has_batch(node, twin)}
        nearest = next(iter(own), None)
        if nearest is None:
            continue

        def nearby(value: Any, nearest: Node = nearest, twin: Node = own[nearest], own: Any = own) -> Any:
            origin = getattr(value, "origin", None)
            if not isinstance(origin, Number):
                return value
            if origin.function is not size_of:
                return known(plain(value), origin.function, *mapped(origin.operands, nearby))
            source, dim = origin.operands
            same_size = dim == 0 and source not in own and int(value) == nearest.example.shape[0]
            return known(plain(value), size_of, nearest, 0) if same_size else value

        args, named = mapped(mine.args, nearby), mapped(mine.named, nearby)
        if set(nodes_in(args, named)) < set(nodes_in(mine.args, mine.named)):
            mine.args, mine.named = args, named


def values_among(node: Node) -> list[Node]:
    """The values among the arguments of an operation, without those from which numbers are made."""
    found: list[Any] = []
    mapped((node.args, node.named), found.append)
    return [each for each in found if isinstance(each, Node)]


def has_batch(node: Node, twin: Node) -> bool:
    """Whether the first dimension of a value is one that grew from one record to the other."""
    both = (node.example, twin.example)
    return all(isinstance(each, Tensor) and each.dim() > 0 for each in both) and both[0].shape[0] != both[1].shape[0]


def gradients(module: nn.Module, arguments: inspect.BoundArguments, weights: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of the inputs and of these weights, for an output with different gradients everywhere."""
    torch.manual_seed(0)
    leaves: list[Tensor] = []

    def asking(value: Any) -> Any:
        if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()):
            return value
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1].clone()  # which may be changed in place

    given = inspect.BoundArguments(arguments.signature, type(arguments.arguments)(arguments.arguments))
    for name, value in given.arguments.items():
        given.arguments[name] = mapped(value, asking)
    outputs = [each for each in tensors_in(module(*given.args, **given.kwargs)) if each.requires_grad]
    torch.manual_seed(0)
    if outputs:
        torch.autograd.backward(outputs, [torch.randn_like(each) for each in outputs])
    return [each.grad for each in (*leaves, *weights)]


def same_gradients(some: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> bool:
    """Whether gradients are the same, and none is where none is."""
    return len(some) == len(others) and all(map(same_gradient, some, others))


def same_gradient(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two gradients are the same, up to the order of sums."""
    if one is None or other is None:
        return one is other
    return bool(torch.allclose(one, other, rtol=APART, atol=APART * float(one.abs().amax()), equal_nan=True))
