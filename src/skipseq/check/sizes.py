"""Which sizes of the input fit: found by walking the network again over other sizes, not by a rule of thumb."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from skipseq.errors import ShapeError
from skipseq.wiring import Value

from .infer import Inference

__all__ = ["find_sizes"]

#: The largest downsampling that is looked for.
MOST = 256

Walk = Callable[[Mapping[Value, tuple[int, ...]]], Inference]


def find_sizes(walk: Inference, again: Walk) -> Iterator[str]:
    """What the extents of the first input must be a multiple of, where only some sizes fit in the joins.

    Args:
        walk: a walk in which everything fits.
        again: walks over inputs of other shapes, and stops at the first fault.
    """
    shapes = {value: tuple(each.shape) for value, each in walk.given.items() if isinstance(each, Tensor)}
    first = next(iter(walk.given))
    if first not in shapes or not 3 <= len(shapes[first]) <= 5 or not joins_sizes(walk):
        return
    found: dict[tuple[int, int], list[int]] = {}
    for d in range(2, len(shapes[first])):
        step = Sizes(shapes, first, d, again).step(downsampling(walk, shapes[first], d))
        if step is not None:
            found.setdefault((step, shapes[first][d] % step), []).append(d)
    for (step, rest), dims in found.items():
        which = " and ".join(NAMES[len(shapes[first])][d - 2] for d in dims)
        amount = f"a multiple of {step}" + (f", plus {rest}" if rest else "")
        fault = again({**shapes, first: grown(shapes[first], dims[0], 1)}).faults[0]
        yield (
            f"the {which} of the input must {'each ' * (len(dims) > 1)}be {amount}: with one more, "
            f"net{fault.place} {fault.problem}.\n  For other sizes, write fit='crop' or another fit in the join."
        )


#: What the extents behind batch and channels are called, by the number of dimensions.
NAMES = {3: ("length",), 4: ("height", "width"), 5: ("depth", "height", "width")}


def joins_sizes(walk: Inference) -> bool:
    """Whether values with extents are joined at all, so that sizes may meet that do not fit."""
    return any(
        operation.kind == "join" and sum(has_extents(walk.values.get(value)) for value in operation.reads()) > 1
        for operation in walk.line.operations
    )


def has_extents(value: Any) -> bool:
    """Whether a value has extents behind batch and channels."""
    return isinstance(value, Tensor) and value.dim() >= 3


def downsampling(walk: Inference, shape: tuple[int, ...], d: int) -> int:
    """By how much the smallest value on the way is smaller than the input in one dimension."""
    extents = [each.shape[d] for each in walk.values.values() if isinstance(each, Tensor) and each.dim() == len(shape)]
    smallest = min((extent for extent in extents if extent), default=1)
    return min(max(1, round(shape[d] / smallest)), MOST)


def grown(shape: tuple[int, ...], d: int, more: int) -> tuple[int, ...]:
    """A shape with one extent that is larger."""
    return (*shape[:d], shape[d] + more, *shape[d + 1 :])


class Sizes:
    """Tries sizes of one dimension of the first input; inputs of the same extent there grow with it."""

    def __init__(self, shapes: Mapping[Value, tuple[int, ...]], first: Value, d: int, again: Walk) -> None:
        self.shapes, self.first, self.d, self.again = shapes, first, d, again

    def fits(self, more: int) -> bool | None:
        """Whether a larger size fits; nothing if what fails is no join."""
        extent = self.shapes[self.first][self.d]
        alike = {value: shape for value, shape in self.shapes.items() if len(shape) > self.d and shape[self.d] == extent}
        faults = self.again({**self.shapes, **{value: grown(shape, self.d, more) for value, shape in alike.items()}}).faults
        if not faults:
            return True
        return False if isinstance(faults[0], ShapeError) and "different shapes" in str(faults[0]) else None

    def step(self, factor: int) -> int | None:
        """The distance between sizes that fit; nothing if every size does, or none is found."""
        if factor == 1 or self.fits(1) is not False:
            return None
        step = smallest_power(factor)
        while step <= 2 * MOST and not self.fits(step):
            step *= 2
        if step > 2 * MOST:
            return None
        while step % 2 == 0 and self.fits(step // 2):
            step //= 2
        return step


def smallest_power(factor: int) -> int:
    """The power of two next to a factor."""
    return 1 << max(0, factor.bit_length() - 1)
