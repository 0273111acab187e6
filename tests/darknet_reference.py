"""A slow reader of Darknet's files: section by section, with explicit loops where Darknet has a rule of its own."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

HEADER = struct.pack("<iiiq", 0, 2, 5, 32_013_312)


def parsed(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections and their options, without any check."""
    sections: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        bare = line.split("#")[0].replace(" ", "")
        if bare.startswith("["):
            sections.append((bare[1:-1], {}))
        elif bare:
            name, value = bare.split("=")
            sections[-1][1].setdefault(name, value)
    return sections


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "leaky": lambda x: torch.where(x > 0, x, 0.1 * x),
    "relie": lambda x: torch.where(x > 0, x, 0.01 * x),
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "logistic": lambda x: 1 / (1 + (-x).exp()),
    "loggy": lambda x: 2 / (1 + (-x).exp()) - 1,
    "tanh": lambda x: 2 / (1 + (-2 * x).exp()) - 1,
    "hardtan": lambda x: x.clamp(-1, 1),
    "elu": lambda x: torch.where(x >= 0, x, x.clamp(max=0).exp() - 1),
    "selu": lambda x: 1.0507 * torch.where(x >= 0, x, 1.6732 * (x.clamp(max=0).exp() - 1)),
    "gelu": lambda x: 0.5 * x * (1 + (0.797885 * x + 0.035677 * x**3).tanh()),
    "swish": lambda x: x / (1 + (-x).exp()),
    "mish": lambda x: x * (x.exp() + 1).log().tanh(),
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "plse": lambda x: piecewise(x, -4, 4, (0.01, 0.04), (0.125, 0.5), (0.01, 0.96)),
    "lhtan": lambda x: piecewise(x, 0, 1, (0.001, 0), (1, 0), (0.001, 0.999)),
    "stair": lambda x: torch.where(x.floor() % 2 == 0, (x / 2).floor(), x - x.floor() + (x / 2).floor()),
    "hard_mish": lambda x: torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, 0 * x)),
}


def piecewise(x: Tensor, low: float, high: float, *lines: tuple[float, float]) -> Tensor:
    """Three straight lines, each a slope and a value at zero."""
    below, middle, above = (slope * x + start for slope, start in lines)
    return torch.where(x < low, below, torch.where(x > high, above, middle))


class Reference:
    """A network of Darknet: it invents weights as it runs for the first time, in the order of the file."""

    def __init__(self, text: str, seed: int = 0) -> None:
        (_, self.net), *self.sections = parsed(text)
        self.chance = torch.Generator().manual_seed(seed)
        self.weights: dict[tuple[int, str], Tensor] = {}
        self.outputs: list[Tensor] = []

    def image(self, batch: int = 2) -> Tensor:
        """An input."""
        return torch.randn(batch, *(int(self.net[name]) for name in ("channels", "height", "width")), generator=self.chance)

    def file(self, header: bytes = HEADER) -> bytes:
        """The weights as a file."""
        numbers = torch.cat([each.detach().flatten() for each in self.weights.values()]) if self.weights else torch.zeros(0)
        return header + struct.pack(f"<{len(numbers)}f", *numbers.tolist())

    def tensors(self, index: int, **shapes: tuple[int, ...]) -> list[Tensor]:
        """The tensors of a section, made where they are not there yet."""
        for name, shape in shapes.items():
            if (index, name) not in self.weights:
                made = torch.randn(shape, generator=self.chance)
                made = made.abs() + 0.5 if name == "variances" else made / made[0].numel() ** 0.5 if len(shape) > 1 else made
                self.weights[index, name] = made.requires_grad_(name not in ("means", "variances"))
        return [self.weights[index, name] for name in shapes]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """The outputs for an image."""
        values: list[Tensor] = []
        outputs, running = [], image
        for index, (kind, options) in enumerate(self.sections):
            running = self.section(index, kind, Options(options, index, values), running)
            values.append(running)
            if kind in ("yolo", "Gaussian_yolo", "region", "detection"):
                outputs.append(running)
        last = next(kind for kind, _ in reversed(self.sections) if kind != "cost")
        return outputs if last in ("yolo", "Gaussian_yolo", "region", "detection") else [*outputs, running]

    def section(self, index: int, kind: str, options: Options, x: Tensor) -> Tensor:
        """What a section gives."""
        if kind in ("convolutional", "conv"):
            return self.convolution(index, options, x if x.dim() == 4 else x[:, :, None, None])
        if kind == "connected":
            return self.connected(index, options, x.flatten(1))
        if kind == "batchnorm":
            biases, *others = self.tensors(index, biases=(c := x.shape[1],), scales=(c,), means=(c,), variances=(c,))
            return normalized(x, biases, *others)
        if kind in ("maxpool", "max", "local_avgpool"):
            return pooled(x, options, kind == "local_avgpool")
        return SIMPLE[kind](x, options)

    def convolution(self, index: int, options: Options, x: Tensor) -> Tensor:
        n, size, groups = options.whole("filters", 1), options.whole("size", 1), options.whole("groups", 1)
        stride = options.whole("stride", 1)
        strides = options.whole("stride_y", stride), options.whole("stride_x", stride)
        dilation = options.whole("dilation", 1) if size > 1 else 1
        padding = (size // 2 if options.whole("pad", 0) else options.whole("padding", 0)) * dilation
        names = {"biases": (n,)}
        if options.whole("batch_normalize", 0):
            names |= {"scales": (n,), "means": (n,), "variances": (n,)}
        biases, *others, weights = self.tensors(index, **names, weights=(n, x.shape[1] // groups, size, size))
        y = F.conv2d(x, weights, None, strides, padding, dilation, groups)
        return options.activated(normalized(y, biases, *others), "logistic")

    def connected(self, index: int, options: Options, x: Tensor) -> Tensor:
        n = options.whole("output", 1)
        names = {"scales": (n,), "means": (n,), "variances": (n,)} if options.whole("batch_normalize", 0) else {}
        biases, weights, *others = self.tensors(index, biases=(n,), weights=(n, x.shape[1]), **names)
        return options.activated(normalized(x @ weights.t(), biases, *others), "logistic")


class Options:
    """The options of a section, and the values that it can refer to."""

    def __init__(self, options: dict[str, str], index: int, values: Sequence[Tensor]) -> None:
        self.options, self.index, self.values = options, index, values

    def whole(self, name: str, default: int) -> int:
        return int(self.options.get(name, default))

    def real(self, name: str, default: float) -> float:
        return float(self.options.get(name, default))

    def activated(self, x: Tensor, default: str) -> Tensor:
        return ACTIVATIONS[self.options.get("activation", default)](x)

    def referred(self, name: str) -> list[Tensor]:
        numbers = map(int, self.options[name].split(","))
        return [self.values[number if number >= 0 else self.index + number] for number in numbers]


def normalized(x: Tensor, biases: Tensor, *others: Tensor) -> Tensor:
    """A bias, or a normalization by what was measured in training."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    if not others:
        return x + biases.view(shape)
    scales, means, variances = (each.view(shape) for each in others)
    return (x - means) / (variances + 0.00001).sqrt() * scales + biases.view(shape)


def pooled(x: Tensor, options: Options, mean: bool) -> Tensor:
    """Windows one by one, cut at the ends of the image."""
    stride = options.whole("stride", 1)
    down, right = options.whole("stride_y", stride), options.whole("stride_x", stride)
    size = options.whole("size", stride)
    padding = options.whole("padding", size - 1)
    height, width = ((n + padding - size) // s + 1 for n, s in zip(x.shape[2:], (down, right), strict=True))
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            top, left = i * down - padding // 2, j * right - padding // 2
            window = x[:, :, max(top, 0) : top + size, max(left, 0) : left + size].flatten(2)
            row.append(window.mean(2) if mean else window.max(2).values)
        rows.append(torch.stack(row, 2))
    return torch.stack(rows, 2)


def places(channels: int, height: int, width: int, stride: int) -> Iterator[tuple[int, int]]:
    """Pairs of positions in memory, of many channels and of few, over the shape with many channels."""
    few = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                down, right = divmod(k // few, stride)
                row, column = j * stride + down, i * stride + right
                yield (k * height + j) * width + i, ((k % few) * height * stride + row) * width * stride + column


def reorganized(x: Tensor, options: Options, three: bool) -> Tensor:
    """Numbers to other places in memory."""
    stride, reverse = options.whole("stride", 1), options.whole("reverse", 0)
    _, c, h, w = x.shape
    s = stride**2
    shape = (c // s, h * stride, w * stride) if reverse else (c * s, h // stride, w // stride)
    found = list(places(*(shape if three else (c, h, w)), stride))
    sources = [0] * len(found)
    for many, few in found:
        sources[few if reverse else many] = many if reverse else few
    return x.flatten(1)[:, sources].reshape(-1, *shape)


def routed(options: Options) -> Tensor:
    groups, group = options.whole("groups", 1), options.whole("group_id", 0)
    return torch.cat([each.chunk(groups, 1)[group] for each in options.referred("layers")], 1)


def added(x: Tensor, options: Options) -> Tensor:
    """The sum, over the channels that both have, one pixel after the other."""
    result = x.clone()
    for other in options.referred("from"):
        both, stride = min(x.shape[1], other.shape[1]), other.shape[-1] // x.shape[-1]
        result = torch.cat([result[:, :both] + other[:, :both, ::stride, ::stride], result[:, both:]], 1)
    return options.activated(result, "linear")


def soft(x: Tensor, options: Options) -> Tensor:
    flat, groups = x.flatten(1), options.whole("groups", 1)
    powers = (flat / options.real("temperature", 1)).exp().view(len(flat), groups, -1)
    return (powers / powers.sum(2, keepdim=True)).view(len(flat), -1)


def upsampled(x: Tensor, options: Options) -> Tensor:
    stride = options.whole("stride", 2)
    return options.real("scale", 1) * x.repeat_interleave(stride, 2).repeat_interleave(stride, 3)


SIMPLE: dict[str, Callable[[Tensor, Options], Tensor]] = {
    "avgpool": lambda x, options: x.flatten(2).mean(2)[:, :, None, None],
    "upsample": upsampled,
    "reorg": lambda x, options: reorganized(x, options, False),
    "reorg3d": lambda x, options: reorganized(x, options, True),
    "activation": lambda x, options: options.activated(x, "linear"),
    "logistic": lambda x, options: 1 / (1 + (-x).exp()),
    "softmax": soft,
    "route": lambda x, options: routed(options),
    "shortcut": added,
    "scale_channels": lambda x, options: options.activated(x * options.referred("from")[0], "linear"),
    "sam": lambda x, options: options.activated(x * options.referred("from")[0], "linear"),
}
SIMPLE |= dict.fromkeys(("empty", "dropout", "cost", "yolo", "Gaussian_yolo", "region", "detection"), lambda x, options: x)
SIMPLE |= {"avg": SIMPLE["avgpool"], "soft": SIMPLE["softmax"]}
