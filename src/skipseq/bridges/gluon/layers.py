"""Layers that compute as MXNet does, where PyTorch has none that does the very same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from skipseq.bridges.layer import PrintedLayer

from .reshaping import Extremum, GluonDot, GluonReshape, Numbers, Reduction, SliceLike, Split, Squeeze, several

__all__ = [
    "AxisLayerNorm",
    "DeconvolutionTo",
    "Extremum",
    "GluonBatchNorm",
    "GluonDot",
    "GluonReshape",
    "GroupWeightNorm",
    "L2Normalization",
    "Reduction",
    "SampleSoftmax",
    "SharedDropout",
    "SliceLike",
    "Split",
    "Squeeze",
    "UpsampleTogether",
    "Weight",
    "WholePool",
    "WindowPool",
]


class Weight(PrintedLayer):
    """A parameter as a value: what it receives only tells when it runs.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import Weight
    >>> Weight((1, 8))(torch.zeros(2, 3)).shape
    torch.Size([1, 8])

    Args:
        shape: that of the parameter.
    """

    def __init__(self, shape: Numbers) -> None:
        super().__init__()
        self.shape = several(shape)
        self.weight = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        """The parameter."""
        return self.weight


# Normalization


class GluonBatchNorm(PrintedLayer, nn.modules.batchnorm._BatchNorm):
    """Batch normalization of values of any rank, whose running variance is that of the batch as it is.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import GluonBatchNorm
    >>> norm = GluonBatchNorm(1, momentum=1.0)
    >>> _ = norm(torch.tensor([[1.0], [3.0]]))
    >>> norm.running_var
    tensor([1.])

    PyTorch's layers multiply the variance that they keep by n / (n - 1). In evaluation they compute the same as this one.

    Args:
        num_features: the extent of the axis.
        eps: what is added to the variance.
        momentum: the share of the batch in the running statistics, as in PyTorch.
        fix_gamma: whether the weight is 1, and not trained.
        use_global_stats: whether the running statistics are used in training too, and stay as they are.
        axis: the dimension of the channels.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        fix_gamma: bool = False,
        use_global_stats: bool = False,
        axis: int = 1,
    ) -> None:
        super().__init__(num_features, eps, momentum)
        self.fix_gamma, self.use_global_stats, self.axis = fix_gamma, use_global_stats, axis
        self.weight.requires_grad_(not fix_gamma)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized value, of the same shape."""
        return self.normalized(x) if self.axis == 1 else self.normalized(x.movedim(self.axis, 1)).movedim(1, self.axis)

    def normalized(self, x: Tensor) -> Tensor:
        """A value normalized along the dimension 1."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        assert self.momentum is not None
        if not self.training or self.use_global_stats:
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, False, 0.0, self.eps)
        count, after = x.numel() // x.shape[1], variance.clone()
        result = functional.batch_norm(x, mean, after, self.weight, self.bias, True, self.momentum, self.eps)
        with torch.no_grad():  # the share of the batch in it is too large by count / (count - 1)
            variance.mul_((1 - self.momentum) / count).add_(after, alpha=(count - 1) / count)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return result

    def _check_input_dim(self, input: Tensor) -> None:
        """Any rank will do."""


class AxisLayerNorm(PrintedLayer):
    """Layer normalization along one dimension, wherever it is.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import AxisLayerNorm
    >>> AxisLayerNorm(3, axis=1)(torch.randn(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])

    Args:
        features: the extent of the dimension.
        axis: the dimension.
        eps: what is added to the variance.
    """

    def __init__(self, features: int, axis: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.features, self.axis, self.eps = features, axis, eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """The normalized value, of the same shape."""
        last = x.movedim(self.axis, -1)
        return functional.layer_norm(last, (self.features,), self.weight, self.bias, self.eps).movedim(-1, self.axis)


class GroupWeightNorm(PrintedLayer):
    """Group normalization with one weight and one bias for each group.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import GroupWeightNorm
    >>> GroupWeightNorm(2)(torch.randn(2, 6, 8, 8)).shape
    torch.Size([2, 6, 8, 8])

    Args:
        groups: how many groups the channels make.
        eps: what is added to the variance.
    """

    def __init__(self, groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(groups))
        self.bias = nn.Parameter(torch.zeros(groups))

    def forward(self, x: Tensor) -> Tensor:
        """The normalized value, of the same shape ``(batch, channels, ...)``."""
        channels = x.shape[1] // self.groups
        weight, bias = self.weight.repeat_interleave(channels), self.bias.repeat_interleave(channels)
        return functional.group_norm(x, self.groups, weight, bias, self.eps)


class L2Normalization(PrintedLayer):
    """Divides by the root of the sum of squares plus ``eps``.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import L2Normalization
    >>> L2Normalization("channel")(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])

    Args:
        mode: what is summed: ``"instance"`` all but the batch, ``"channel"`` the channels, ``"spatial"`` what is behind them.
        eps: what is added to the sum.
    """

    def __init__(self, mode: str = "instance", eps: float = 1e-10) -> None:
        super().__init__()
        self.mode, self.eps = mode, eps

    def forward(self, x: Tensor) -> Tensor:
        """The normalized value, of the same shape ``(batch, channels, ...)``."""
        ranks = {"instance": range(1, x.dim()), "channel": range(1, 2), "spatial": range(2, x.dim())}
        axes = tuple(ranks[self.mode])
        if not axes:
            raise ValueError(f"{self} receives {tuple(x.shape)}, which has no such dimensions")
        return x / (x.square().sum(axes, keepdim=True) + self.eps).sqrt()


class SampleSoftmax(PrintedLayer):
    """Softmax over all numbers of each sample.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import SampleSoftmax
    >>> SampleSoftmax()(torch.zeros(1, 2, 2))
    tensor([[[0.2500, 0.2500],
             [0.2500, 0.2500]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The shares, of the same shape ``(batch, ...)``."""
        return x.flatten(1).softmax(1).reshape(x.shape)


class SharedDropout(PrintedLayer):
    """Dropout with one decision for all places along some dimensions, in training or always.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import SharedDropout
    >>> SharedDropout(0.5, axes=(2, 3)).eval()(torch.ones(1, 1, 2, 2)).sum()
    tensor(4.)

    Args:
        p: the probability of a zero.
        axes: the dimensions along which the decision is one.
        always: whether numbers are dropped in evaluation too.
    """

    def __init__(self, p: float = 0.5, axes: Numbers = (), always: bool = False) -> None:
        super().__init__()
        self.p, self.axes, self.always = p, several(axes), always

    def forward(self, x: Tensor) -> Tensor:
        """The value, of the same shape, with zeros."""
        if not (self.training or self.always):
            return x
        shape = [1 if d in self.axes or d - x.dim() in self.axes else extent for d, extent in enumerate(x.shape)]
        return x * functional.dropout(x.new_ones(shape), self.p)


# Windows


def for_each(numbers: Numbers, rank: int) -> tuple[int, ...]:
    """A number for each of so many dimensions; one alone is that of all."""
    return (numbers,) * rank if isinstance(numbers, int) else tuple(numbers)


class DeconvolutionTo(PrintedLayer):
    """A transposed convolution whose result is cut, evenly at both ends, to extents that are known.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import DeconvolutionTo
    >>> DeconvolutionTo(3, 8, 4, (15, 15), stride=2)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 8, 15, 15])

    Args:
        in_channels: of the value.
        out_channels: of the result.
        kernel_size: for each dimension.
        target: the extents of the result.
        stride: for each dimension.
        dilation: for each dimension.
        groups: how many groups the channels make.
        bias: whether there is a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        target: Numbers,
        stride: Numbers = 1,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.target = in_channels, out_channels, several(target)
        rank = len(self.target)
        self.kernel_size, self.stride, self.dilation = (for_each(each, rank) for each in (kernel_size, stride, dilation))
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, 5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The value ``(batch, out_channels, *target)`` of one ``(batch, in_channels, ...)``."""
        run = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[len(self.target) - 1]
        whole = run(x, self.weight, self.bias, self.stride, 0, 0, self.groups, self.dilation)
        for dim, wanted in enumerate(self.target, 2):
            if whole.shape[dim] < wanted:
                raise ValueError(f"{self} receives {tuple(x.shape)}, which becomes {tuple(whole.shape)}: less than the target")
            whole = whole.narrow(dim, (whole.shape[dim] - wanted + 1) // 2, wanted)
        return whole


MAX_POOLS = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)


class WindowPool(PrintedLayer):
    """Pooling as MXNet counts windows, for what PyTorch's layers count otherwise.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import WindowPool
    >>> WindowPool("sum", 2, stride=2)(torch.ones(1, 1, 4, 4))
    tensor([[[[4., 4.],
              [4., 4.]]]])

    Args:
        kind: ``"max"``, ``"avg"``, ``"sum"``, or ``"lp"``.
        kernel_size: for each dimension.
        stride: for each dimension.
        padding: on both sides, for each dimension.
        full: whether the last windows may stick out of the padded value, wherever they start.
        count_include_pad: whether an average counts the padding; what a window has beyond it is never counted.
        p: the exponent for ``"lp"``, the root of the sum of powers: 1, 2 or 3.
    """

    def __init__(
        self,
        kind: str,
        kernel_size: Numbers,
        stride: Numbers,
        padding: Numbers = 0,
        full: bool = False,
        count_include_pad: bool = True,
        p: int = 2,
    ) -> None:
        super().__init__()
        self.kind, self.kernel_size, self.stride, self.padding = kind, kernel_size, stride, padding
        self.full, self.count_include_pad, self.p = full, count_include_pad, p

    def forward(self, x: Tensor) -> Tensor:
        """The value ``(batch, channels, ...)`` with new extents behind the channels."""
        sides = self.sides(x.shape[2:])
        flat = [amount for n, e, k, s, p in reversed(sides) for amount in (p, max((n - 1) * s + k - e - p, 0))]
        if self.kind == "max":
            lowest = torch.finfo(x.dtype).min  # what a window without any number gives
            return cut(MAX_POOLS[len(sides) - 1](functional.pad(x, flat, value=lowest), self.kernel_size, self.stride), sides)
        powers = x.pow(self.p) if self.kind == "lp" else x
        kernel, stride = for_each(self.kernel_size, len(sides)), for_each(self.stride, len(sides))
        sums = cut(window_sums(functional.pad(powers, flat), kernel, stride), sides)
        if self.kind == "lp":
            return root(sums, self.p)
        return sums / self.counted(sides, x).clamp(min=1) if self.kind == "avg" else sums

    def sides(self, extents: Sequence[int]) -> list[tuple[int, ...]]:
        """For each dimension: number of windows, extent, kernel, stride and padding."""
        given = (for_each(each, len(extents)) for each in (self.kernel_size, self.stride, self.padding))
        found: list[tuple[int, ...]] = []
        for extent, kernel, stride, padding in zip(extents, *given, strict=True):
            more = extent + 2 * padding - kernel
            if more < 0:
                raise ValueError(f"{self} receives the extent {extent}, less than a window")
            found.append(((more + (stride - 1 if self.full else 0)) // stride + 1, extent, kernel, stride, padding))
        return found

    def counted(self, sides: list[tuple[int, ...]], x: Tensor) -> Tensor:
        """How many numbers each window has, as an average counts them."""
        found = x.new_ones(())
        for count, extent, kernel, stride, padding in sides:
            first = torch.arange(count, device=x.device) * stride - padding
            last = (first + kernel).clamp(max=extent + padding)
            if not self.count_include_pad:
                first, last = first.clamp(min=0), last.clamp(max=extent)
            found = found.unsqueeze(-1) * (last - first).to(x.dtype)
        return found


def window_sums(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """The sum of the numbers in each window."""
    if len(kernel) == 1:
        return functional.avg_pool2d(x.unsqueeze(-1), (kernel[0], 1), (stride[0], 1), divisor_override=1).squeeze(-1)
    pool = functional.avg_pool2d if len(kernel) == 2 else functional.avg_pool3d
    return pool(x, kernel, stride, divisor_override=1)


def root(x: Tensor, p: int) -> Tensor:
    """The root of a sum of powers, which is below zero where the sum is."""
    return x if p == 1 else x.sqrt() if p == 2 else x.sign() * x.abs().pow(1 / p)


def cut(x: Tensor, sides: list[tuple[int, ...]]) -> Tensor:
    """The windows that count: a padding behind that is less than a stride can make room for more."""
    return x[(slice(None), slice(None), *(slice(side[0]) for side in sides))]


class WholePool(PrintedLayer):
    """Pooling of all places, in values of any rank.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import WholePool
    >>> WholePool("sum")(torch.ones(1, 2, 3, 3)).shape
    torch.Size([1, 2, 1, 1])

    Args:
        kind: ``"max"``, ``"avg"``, ``"sum"``, or ``"lp"``.
        p: the exponent for ``"lp"``, the root of the sum of powers: 1, 2 or 3.
    """

    def __init__(self, kind: str, p: int = 2) -> None:
        super().__init__()
        self.kind, self.p = kind, p

    def forward(self, x: Tensor) -> Tensor:
        """The value ``(batch, channels, 1, ...)`` of one ``(batch, channels, ...)``."""
        flat = x.flatten(2)
        if self.kind == "max":
            found = flat.max(-1).values
        elif self.kind == "lp":
            found = root(flat.pow(self.p).sum(-1), self.p)
        else:
            found = flat.sum(-1) if self.kind == "sum" else flat.mean(-1)
        return found.reshape(*x.shape[:2], *[1] * (x.dim() - 2))


class UpsampleTogether(PrintedLayer):
    """Repeats numbers of several values until all have the extents that the first has times ``scale``, and joins them.

    >>> import torch
    >>> from skipseq.bridges.gluon.layers import UpsampleTogether
    >>> UpsampleTogether(2)(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 2)).shape
    torch.Size([1, 5, 8, 8])

    Args:
        scale: for the first value.
        join: ``"concat"`` along the channels, or ``"sum"``.
    """

    def __init__(self, scale: int, join: str = "concat") -> None:
        super().__init__()
        self.scale, self.join = scale, join

    def forward(self, *values: Tensor) -> Tensor:
        """One value ``(batch, channels, height * scale, width * scale)`` of several."""
        size = values[0].shape[-2] * self.scale, values[0].shape[-1] * self.scale
        if any(wanted % have for value in values for wanted, have in zip(size, value.shape[-2:], strict=True)):
            raise ValueError(f"{self} receives {', '.join(str(tuple(value.shape)) for value in values)}: no whole scales")
        larger = [functional.interpolate(value, size=size, mode="nearest") for value in values]
        return torch.cat(larger, 1) if self.join == "concat" else torch.stack(larger).sum(0)
