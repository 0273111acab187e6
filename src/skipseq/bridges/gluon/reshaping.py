"""Layers without weights that change shapes, or take two values, as MXNet does; they stand in ``layers`` with the others."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from skipseq.bridges.layer import PrintedLayer

__all__ = ["Extremum", "GluonDot", "GluonReshape", "Reduction", "SliceLike", "Split", "Squeeze", "several"]

Numbers: TypeAlias = int | tuple[int, ...]


def several(numbers: Numbers) -> tuple[int, ...]:
    """Several numbers, of which one alone is printed without brackets and may be given so."""
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


class GluonReshape(PrintedLayer):
    """Reshapes by MXNet's codes.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import GluonReshape
    >>> GluonReshape((0, -4, 2, -1, -2))(torch.zeros(1, 6, 4, 4)).shape
    torch.Size([1, 2, 3, 4, 4])

    Args:
        shape: the new extents; 0 copies one, -1 is what is left over, -2 copies all that follow, -3 multiplies two, -4
            splits one into the next two numbers.
        reverse: whether extents and codes are read from the back.
    """

    def __init__(self, shape: Numbers, reverse: bool = False) -> None:
        super().__init__()
        self.shape, self.reverse = several(shape), reverse

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers in another shape."""
        turn = -1 if self.reverse else 1
        return x.reshape(reshaped(list(x.shape)[::turn], list(self.shape)[::turn])[::turn])


def reshaped(extents: list[int], codes: list[int]) -> list[int]:
    """The extents that codes make of others; one of them may be -1."""
    found: list[int] = []
    at = i = 0
    while i < len(codes):
        code = codes[i]
        taken = {-2: len(extents) - at, -3: 2}.get(code, 1)
        own = extents[at : at + taken]
        if len(own) < taken and code in (0, -3, -4):
            raise ValueError(f"the codes {codes} need more dimensions than {extents}")
        if code == -4:
            one, other = codes[i + 1 : i + 3]
            found += [own[0] // other if one == -1 else one, own[0] // one if other == -1 else other]
        else:
            found += own if code in (0, -2) else [prod(own)] if code == -3 else [code]
        at, i = at + taken, i + (3 if code == -4 else 1)
    return found


class Squeeze(PrintedLayer):
    """Drops dimensions of extent 1; a single number keeps one.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import Squeeze
    >>> Squeeze()(torch.zeros(1, 3, 1)).shape, Squeeze()(torch.zeros(1, 1)).shape
    (torch.Size([3]), torch.Size([1]))

    Args:
        axes: the dimensions; without them, all of extent 1.
    """

    def __init__(self, axes: Numbers = ()) -> None:
        super().__init__()
        self.axes = several(axes)

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers in fewer dimensions."""
        return with_dimension(x.squeeze(self.axes) if self.axes else x.squeeze())


def with_dimension(x: Tensor) -> Tensor:
    """A value as MXNet has it, which knows none without dimensions."""
    return x if x.dim() else x.reshape(1)


class Split(PrintedLayer):
    """Parts of equal extent, as a tuple.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import Split
    >>> [part.shape for part in Split(2)(torch.zeros(1, 6, 4))]
    [torch.Size([1, 3, 4]), torch.Size([1, 3, 4])]

    Args:
        parts: how many.
        axis: the dimension that is split.
        squeeze: whether it is dropped: then the parts must have the extent 1.
    """

    def __init__(self, parts: int, axis: int = 1, squeeze: bool = False) -> None:
        super().__init__()
        self.parts, self.axis, self.squeeze = parts, axis, squeeze

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The parts of a value."""
        extent = x.shape[self.axis]
        if extent % self.parts or (self.squeeze and extent != self.parts):
            raise ValueError(f"{self} receives {tuple(x.shape)}, which cannot be split so")
        return x.unbind(self.axis) if self.squeeze else torch.split(x, extent // self.parts, self.axis)


class SliceLike(PrintedLayer):
    """Cuts a value to the extents of another one, at its beginning or at an offset.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import SliceLike
    >>> SliceLike((2, 3))(torch.zeros(1, 3, 9, 9), torch.zeros(1, 8, 7, 8)).shape
    torch.Size([1, 3, 7, 8])

    Args:
        axes: the dimensions; without them, all.
        offset: where the part begins, for each of these dimensions; without it, at 0.
        center: whether the part is from the middle.
    """

    def __init__(self, axes: Numbers = (), offset: Numbers = (), center: bool = False) -> None:
        super().__init__()
        self.axes, self.offset, self.center = several(axes), several(offset), center

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """The part of ``x`` that has the extents of ``like``."""
        axes = self.axes or tuple(range(x.dim()))
        for axis, start in zip(axes, self.offset or (0,) * len(axes), strict=True):
            have, wanted = x.shape[axis], like.shape[axis]
            first = (have - wanted) // 2 if self.center else start
            if not 0 <= first <= have - wanted:
                raise ValueError(f"{self} receives {tuple(x.shape)} and {tuple(like.shape)}: there is no such part")
            x = x.narrow(axis, first, wanted)
        return x


# Numbers


class Reduction(PrintedLayer):
    """A sum, mean, maximum or minimum; where one is there several times, the gradient goes to each of them.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import Reduction
    >>> Reduction("max", axes=(1,), exclude=True)(torch.zeros(2, 3, 4)).shape
    torch.Size([3])

    Args:
        kind: ``"sum"``, ``"mean"``, ``"max"`` or ``"min"``.
        axes: the dimensions; without them, all.
        keepdims: whether they stay, with the extent 1.
        exclude: whether ``axes`` are those that are not reduced.
    """

    def __init__(self, kind: str, axes: Numbers = (), keepdims: bool = False, exclude: bool = False) -> None:
        super().__init__()
        self.kind, self.axes, self.keepdims, self.exclude = kind, several(axes), keepdims, exclude

    def forward(self, x: Tensor) -> Tensor:
        """One number for all along these dimensions."""
        if not all(-x.dim() <= axis < x.dim() for axis in self.axes):
            raise IndexError(f"{self} receives {tuple(x.shape)}, which has no such dimensions")
        named = {axis % x.dim() for axis in self.axes}
        kept = named if self.exclude else set(range(x.dim())) - named if self.axes else set()
        axes = tuple(d for d in range(x.dim()) if d not in kept)
        if not axes:
            return x
        if self.kind in ("sum", "mean"):
            found = x.sum(axes, self.keepdims) if self.kind == "sum" else x.mean(axes, self.keepdims)
            return with_dimension(found)
        most = (x.amax if self.kind == "max" else x.amin)(axes, True).detach()
        # The number is that of `most`, and the gradient that of a sum over all equal ones.
        reached = torch.where(x == most, x - x.detach(), 0).sum(axes, self.keepdims)
        return with_dimension((most if self.keepdims else most.squeeze(axes)) + reached)


class Extremum(PrintedLayer):
    """The larger, or smaller, of two numbers; the gradient of equal ones goes to the first.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import Extremum
    >>> Extremum("max")(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 3.0]))
    tensor([3., 5.])

    Args:
        kind: ``"max"`` or ``"min"``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The larger, or smaller, numbers of two values, which are broadcast."""
        return torch.where(a >= b if self.kind == "max" else a <= b, a, b)


class GluonDot(PrintedLayer):
    """The product over the last dimension of one value and the first of another one.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import GluonDot
    >>> GluonDot()(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])

    Args:
        transpose_a: whether it is the first dimension of the one.
        transpose_b: whether it is the last dimension of the other.
    """

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        super().__init__()
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The product ``(... of a, ... of b)``."""
        over = ([0 if self.transpose_a else a.dim() - 1], [b.dim() - 1 if self.transpose_b else 0])
        return with_dimension(torch.tensordot(a, b, over))
