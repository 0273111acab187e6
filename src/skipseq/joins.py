"""What a join does with its values: it brings them to one extent, where that was asked for, and joins them.

The extents are those behind ``(batch, channels)``; batch and channels are never changed, nor the dimension of a ``cat``.

    fit            of 8 and 4 ... both 4, or both 8            the extents that rule, unless like= names an operand
    crop           ··████··     the middle of each              the smallest ones
    crop_end       ████····     the beginning of each           the smallest ones
    pad            ████0000     zeros behind                    the largest ones
    pad_center     00████00     zeros around, the odd one behind   the largest ones
    pad_replicate  ████■■■■     the last one again              the largest ones
    resize         ████████     interpolated, either way        those of the first named operand

What cannot be brought there (a small value is not cropped to a larger extent) stays as it is, and is a misfit in the join.

While a network is traced, extents may be symbols. There is no branch on their size then: a crop is a pad by a negative amount,
whose result has exactly the wanted extent, where a slice would be exported with conditions on the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, reduce
from operator import itemgetter
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn import functional

from skipseq.wiring import Fit, Join

__all__ = ["Misfit", "fitted_shapes", "fitting", "join", "joinable"]

#: An extent is an integer, or something that stands for one while a network is traced.
Shape: TypeAlias = tuple[Any, ...]
#: The extents behind batch and channels that all operands are brought to; nothing for the dimension of a concatenation.
Extents: TypeAlias = tuple[Any, ...]


#: What brings a value to other extents.
Change: TypeAlias = Callable[[Any], Any]


class Misfit(Exception):
    """Values of different shapes meet where nothing is broadcast."""


def join(step: Join, values: Sequence[Any]) -> Any:
    """The values of one join, fitted and joined: the slow reference, and what tracers see."""
    if step.fit is not None:
        fit = step.fit
        fits = fit_all(tuple(values), joined_dim(step), fit.kind, fit.like, fit.mode, fit.align_corners)
        values = [fits[i] for i in range(len(values))]
    if step.operator == "cat":
        return torch.cat(tuple(values), step.dim)
    result = values[0]
    for value in values[1:]:
        if step.operator == "add":
            result = result + value
        elif step.operator == "sub":
            result = result - value
        else:
            result = result * value
    return result


@torch.fx.wrap
def fit_all(
    values: tuple[Any, ...], joined: int | None, kind: str, like: int | None, mode: str, align_corners: bool | None
) -> tuple[Any, ...]:
    """The values brought to one extent. ``torch.fx`` sees one call: its stand-ins have no extents."""
    changes = changes_of(Fit(kind, like, mode, align_corners), shapes_of(values), joined)
    return tuple(value if change is None else change(value) for value, change in zip(values, changes, strict=True))


def fitting(step: Join) -> Callable[..., tuple[Change | None, ...]]:
    """A function from the values of a join to the changes that bring them to one extent, for many calls.

    The changes follow from the shapes alone: those of the last few shapes are kept.

    Raises:
        Misfit: when called, if the values cannot be joined behind the fit.
    """

    def found(shapes: tuple[Shape | None, ...]) -> tuple[Change | None, ...]:
        assert step.fit is not None
        if not joinable(step, shapes):
            raise Misfit
        return changes_of(step.fit, shapes, joined_dim(step))

    kept = lru_cache(maxsize=64)(found)

    def changes(*values: Any) -> tuple[Change | None, ...]:
        shapes = tuple([value.shape if isinstance(value, Tensor) else None for value in values])
        try:
            return kept(shapes)
        except TypeError:  # extents that are symbols have no hash
            return found(shapes)

    return changes


# Before a value is changed: what it will be


def joinable(step: Join, shapes: Sequence[Shape | None]) -> bool:
    """Whether values of these shapes can be joined, as far as shapes tell and nothing is broadcast.

    Args:
        step: the join.
        shapes: one for each operand, nothing for a number or another value without a shape.
    """
    known = [shape for shape in fitted_shapes(step, shapes) if shape is not None]
    if step.operator == "cat":
        known = [tuple(e for d, e in enumerate(shape) if d != step.dim % max(len(shape), 1)) for shape in known]
    elif step.broadcast:
        return True
    return all(shape == known[0] for shape in known)


def fitted_shapes(step: Join, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """The shapes of the operands of a join behind its fit; one that cannot be brought to the others stays.

    >>> fitted_shapes(Join("add_0", 0, (0, 1), (2,), "add", fit=Fit("crop")), [(1, 3, 9, 9), (1, 3, 8, 10)])
    [(1, 3, 8, 9), (1, 3, 8, 9)]

    Args:
        step: the join.
        shapes: one for each operand, nothing for a number or another value without a shape.
    """
    if step.fit is None or (extents := ruling_extents(step.fit, shapes, joined_dim(step))) is None:
        return list(shapes)
    found: list[Shape | None] = []
    for shape in shapes:
        wanted = shape and goal(shape, extents)
        found.append((*shape[:2], *wanted) if shape and wanted and possible(step.fit, shape[2:], wanted) else shape)
    return found


def ruling_extents(fit: Fit, shapes: Sequence[Shape | None], joined: int | None) -> Extents | None:
    """The extents that rule; nothing where the values have none, or not in equally many dimensions."""
    known = [shape for shape in shapes if shape is not None]
    ruler = None if fit.like is None else shapes[fit.like]
    rank = len(known[0]) if known else 0
    if rank < 3 or any(len(shape) != rank for shape in known) or (ruler is None and fit.like is not None):
        return None
    pick = least if fit.kind in CROPS else most
    return tuple(
        None if joined is not None and d == joined % rank
        else ruler[d] if ruler is not None
        else reduce(pick, [shape[d] for shape in known])
        for d in range(2, rank)
    )  # fmt: skip


#: The kinds that make a value smaller.
CROPS = ("crop", "crop_end")


def joined_dim(step: Join) -> int | None:
    """The dimension along which a join puts its values together, if it does."""
    return step.dim if step.operator == "cat" else None


def shapes_of(values: Sequence[Any]) -> list[Shape | None]:
    """The shapes of the tensors among the values."""
    return [tuple(value.shape) if isinstance(value, Tensor) else None for value in values]


def goal(shape: Shape, extents: Extents) -> Extents:
    """The extents that one value is to have."""
    return tuple(own if wanted is None else wanted for own, wanted in zip(shape[2:], extents, strict=True))


def possible(fit: Fit, own: Extents, wanted: Extents) -> bool:
    """Whether a value can be brought there: a crop makes nothing larger, a pad nothing smaller."""
    if fit.kind == "resize":
        return True
    if fit.kind in CROPS:
        return not any(known(have < want) for have, want in zip(own, wanted, strict=True))
    return not any(known(have > want) for have, want in zip(own, wanted, strict=True))


# Changing a value


def changes_of(fit: Fit, shapes: Sequence[Shape | None], joined: int | None) -> tuple[Change | None, ...]:
    """What brings each value to the extents that rule; nothing for one that has them or cannot be brought there."""
    if (extents := ruling_extents(fit, shapes, joined)) is None:
        return (None,) * len(shapes)
    return tuple(None if shape is None else change_of(fit, shape[2:], goal(shape, extents)) for shape in shapes)


def change_of(fit: Fit, own: Extents, wanted: Extents) -> Change | None:
    """What brings a value of some extents to others."""
    if all(known(have == want) for have, want in zip(own, wanted, strict=True)) or not possible(fit, own, wanted):
        return None
    if fit.kind == "resize":
        return partial(functional.interpolate, size=wanted, mode=fit.mode, align_corners=fit.align_corners)
    amounts = [around(fit.kind, have, want) for have, want in zip(own, wanted, strict=True)]
    if fit.kind in CROPS and not is_compiling() and all(type(extent) is int for extent in (*own, *wanted)):
        return itemgetter((..., *(slice(-before, want - before) for (before, _), want in zip(amounts, wanted, strict=True))))
    pairs = [amount for pair in reversed(amounts) for amount in pair]
    return partial(functional.pad, pad=pairs, mode="replicate" if fit.kind == "pad_replicate" else "constant")


def around(kind: str, have: Any, want: Any) -> tuple[Any, Any]:
    """How much is put before and behind a value in one dimension; a crop takes it away.

    >>> around("crop", 9, 6), around("pad_center", 6, 9), around("pad", 6, 9)
    ((-1, -2), (1, 2), (0, 3))
    """
    if kind == "crop":
        before = (have - want) // 2
        return -before, want - have + before
    if kind == "pad_center":
        before = (want - have) // 2
        return before, want - have - before
    return 0, want - have


# Extents that may be symbols (torch.compile and torch.export) or tensors (torch.jit.trace)


def least(one: Any, other: Any) -> Any:
    """The smaller of two extents."""
    smaller: Callable[[Any, Any], Any] = torch.minimum if isinstance(one, Tensor) else torch.sym_min
    return smaller(one, other)


def most(one: Any, other: Any) -> Any:
    """The larger of two extents."""
    larger: Callable[[Any, Any], Any] = torch.maximum if isinstance(one, Tensor) else torch.sym_max
    # torch asks whether the largest is at least 1, which it only knows of symbols if it is written there.
    return larger(larger(one, other), 1) if is_compiling() else larger(one, other)


def known(condition: Any) -> bool:
    """Whether a condition on extents is true, whatever the sizes of the input will be."""
    if isinstance(condition, Tensor):
        return False
    if isinstance(condition, bool) and not is_compiling():
        return condition
    # Here and not above: it brings sympy, which only a tracer needs.
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return statically_known_true(condition)
