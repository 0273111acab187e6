"""Networks whose source is compared with them: one for each thing that can be written in a way of its own.

Each function gives a network and its inputs, in order, or by name.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from skipseq import DenseBlock, Residual, Sequential, UNet, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.declare.functions import Expression
from skipseq.declare.held import Held

from .random_networks import Gate, shrink, two

WIDTH = 8

#: A network, and what it is called with.
Case: TypeAlias = "tuple[Sequential, tuple[Any, ...] | dict[str, Any]]"


def linear(features_in: int = WIDTH, features_out: int = WIDTH) -> nn.Linear:
    return nn.Linear(features_in, features_out)


def conv(channels_in: int = 4, channels_out: int = 4, size: Any = 3, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, size, stride, padding)


def rows() -> Tensor:
    return torch.randn(3, WIDTH)


def image(channels: int = 4, extent: int = 12) -> Tensor:
    return torch.randn(2, channels, extent, extent)


class Scale(nn.Module):
    """A layer that keeps its arguments."""

    def __init__(self, width: int, factor: float = 1.0) -> None:
        super().__init__()
        self.width, self.factor = width, factor
        self.shift = 0.0
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * self.factor + self.shift


class Closed(nn.Module):
    """A layer that does not keep its argument."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x)
        return result


class Stage(Sequential):
    """A sequence with a name of its own."""


# Operands, functions and layers


def expressions() -> Case:
    net = Sequential(
        linear(), save("x1"),
        Expression(("x",), "x.sin().reshape(-1, 2, 4)"),
        Expression(("x",), "F.gelu(x, approximate='tanh')", {"F": functional}),
        Expression(("x",), "x.flatten(1) * math.pi", {"math": math}),
        call(Expression(("x", "other"), "torch.where(x > other, x, other)"), "x1"),
        Expression(("x",), "torch.stack([x[:, i] for i in range(8)], 1)"),
        Expression(("x",), "shrink(two(x)[0])", {"shrink": shrink, "two": two}),
    )  # fmt: skip
    return net, (rows(),)


def functions() -> Case:
    interpolate = functools.partial(functional.interpolate, scale_factor=2, mode="nearest")
    partials = interpolate, functools.partial(torch.mul, other=2.0), functools.partial(torch.pow, 2.0)
    return Sequential(conv(), *partials, torch.Tensor.tanh, abs, torch.special.erf, torch.relu), (image(),)


def layers_of_ones_own() -> Case:
    watched = linear()
    watched.register_forward_hook(lambda *given: given[-1] * 2)
    changed = Scale(WIDTH)
    changed.shift = 3.0
    part = Sequential(linear(), ("closed", Closed(WIDTH)), add("input"))
    net = Sequential(("scale", Scale(WIDTH, 2.0)), watched, ("changed", changed), ("part", part), ("again", part.closed))
    return net, (rows(),)


def transformer_layers() -> Case:
    options: Any = {"dim_feedforward": 16, "dropout": 0.0, "batch_first": True}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, **options), 2, norm=nn.LayerNorm(8))
    decoder = nn.TransformerDecoderLayer(8, 2, activation="gelu", bias=False, norm_first=True, **options)
    net = Sequential(nn.TransformerEncoderLayer(8, 2, **options), encoder, save("memory"), linear(), call(decoder, "memory"))
    return net, (torch.randn(2, 3, 8),)


def shared_layers() -> Case:
    one, block, chain = linear(), Sequential(linear(), nn.ReLU(), add("input")), nn.Sequential(linear(), linear())
    inner = Sequential(one, block, chain, add("input"))
    return Sequential(one, ("same", one), ("block", block), ("chain", chain), ("inner", inner), block), (rows(),)


def shared_attribute() -> Case:
    one = linear()
    return Sequential(("first", one), ("second", one), ("pair", nn.Sequential(one, nn.ReLU())), add("first")), (rows(),)


def shared_part_with_skips() -> Case:
    part = Sequential(linear(), add("x1"))
    return Sequential(linear(), save("x1"), ("one", part), nn.ReLU(), ("two", part)), (rows(),)


def called_again() -> Case:
    net = Sequential(
        ("line", linear()), save("x1"), call("line"), ("part", Sequential(linear(), ("inner", linear()), add("input"))),
        call("part"), call("part.inner"), ("encoder", Sequential(linear(), save("x2"), nn.ReLU())), add("x2", "x1", here),
        call("encoder.0"),
    )  # fmt: skip
    return net, (rows(),)


def tied_and_frozen() -> Case:
    net = Sequential(("embed", nn.Embedding(10, 8)), linear(), ("frozen", linear()), ("words", linear(8, 10)))
    net.words.weight = net.embed.weight
    net.frozen.requires_grad_(False)
    net[1].bias.requires_grad_(False)
    return net, (torch.randint(0, 10, (3, 4)),)


def number_types() -> Case:
    double = Expression(("x",), "x.double()")
    return Sequential(linear(), double, linear(8, 4).double(), nn.LSTM(4, 4).double(), pick[0], Scale(4).double()), (rows(),)


def half() -> Case:
    return Sequential(linear(), nn.ReLU(), add("0")).to(torch.bfloat16), (rows().bfloat16(),)


def projections() -> Case:
    net = Sequential(
        conv(4, 8, 3, 2, 1), nn.ReLU(), ("down", add("input", project=True)), add("0", project=True),
        add("input", project="pad_channels"),
    )  # fmt: skip
    net(image())
    return net, (image(),)


def projections_of_features() -> Case:
    net = Sequential(linear(8, 16), nn.ReLU(), add("input", project=True), add("input", project="pad_channels"))
    net(rows())
    return net, (rows(),)


# Names


def keys_of_all_kinds() -> Case:
    return Sequential(("class", linear()), ("conv-1", linear()), ("a b", nn.ReLU()), linear(), add("class")), (rows(),)


def keys_of_a_dict() -> Case:
    return Sequential(("values", linear()), linear(), ("keys", nn.Sequential(linear(), linear())), add("values")), (rows(),)


def clashing_labels() -> Case:
    net = Sequential(
        linear(), save("max"), linear(), save("x"), linear(), save("torch"), linear(), save("two"), two, save("nn", "Tensor"),
        pick[0], linear(), cat(here, "max", "x", "torch", "two", "nn", "Tensor"), shrink,
    )  # fmt: skip
    return net, (rows(),)


def one_label_twice() -> Case:
    part = lambda: Sequential(linear(), save("x1"), nn.Tanh())  # noqa: E731
    return Sequential(("left", part()), ("right", part()), add(here, "left.x1", "right.x1")), (rows(),)


def running_value_has_another_name() -> Case:
    return Sequential(linear(), linear(), add(here, "x", "image"), inputs=("image", "x")), (rows(), rows())


def a_dict_comes_in() -> Case:
    return Sequential(pick["image"], linear(), save("q"), take("input"), pick["other"], add("q")), (
        {"image": rows(), "other": rows()},
    )


def needs() -> Case:
    net = Sequential(linear(), add("x1"), linear(), mul("gate"))
    return net, {"input": rows(), "x1": rows(), "gate": rows()}


# Outputs


def one_output() -> Case:
    return Sequential(linear(), save("h"), linear(), outputs="h"), (rows(),)


def one_output_as_tuple() -> Case:
    return Sequential(linear(), save("h"), linear(), outputs=("h",)), (rows(),)


def tuples_from_parts() -> Case:
    left = Sequential(linear(), save("a"), linear(), save("b"), add("o"), outputs=("a", "b"))
    right = Sequential(linear(), save("z"), linear(), outputs=("z", "1"))
    net = Sequential(
        linear(), save("o"), ("left", left), save("c", "d"), pick[1], add("c"), ("right", right), save("e"),
        pick[0], cat("a"), shrink, save("end"), take("e"), pick[-1], add("end"),
    )  # fmt: skip
    return net, (rows(),)


def a_tuple_at_the_end() -> Case:
    part = Sequential(linear(), save("a"), linear(), save("b"), add("o"), outputs=("a", "b"))
    return Sequential(linear(), save("o"), ("part", part)), (rows(),)


def a_tuple_of_a_layer() -> Case:
    return Sequential(nn.LSTM(8, 4)), (rows(),)


def a_branch_that_nobody_reads() -> Case:
    return Sequential(("a", linear()), take("t"), ("b", linear()), outputs="a", inputs=("image", "t")), (rows(), rows())


def parts_of_parts() -> Case:
    net = Sequential(("lstm", nn.LSTM(8, 4)), save("o", "s"), take("s"), save("h", "c"), take("h"), cat("o", "c", here, dim=0))
    return net, (rows(),)


# Words and parts


def all_words() -> Case:
    net = Sequential(
        linear(), save("e1"), linear(), save("e2"), linear(),
        take(cat(via("e1", linear(), nn.ReLU()), via("e2", linear()), via(here, torch.sin))), linear(24, 8),
        ("mixed", add(via("e1", torch.sin, linear()))), call(Gate(), via("e2", linear(), pick[:, :])),
        add(call(Gate(), "e1", here)), add(add("e1", "e2"), mul(here, 2.0), -0.5), sub(1.0, here), add("e1"),
        take(cat(here, via("e2", linear(), linear()))), shrink,
    )  # fmt: skip
    return net, (rows(),)


def a_value_inside_a_word() -> Case:
    net = Sequential(linear(), ("word", add(via("input", linear(), nn.Tanh()))), linear(), add("word.0"))
    return net, (rows(),)


def parts_in_words() -> Case:
    part = Sequential(linear(), save("q"), nn.ReLU())
    net = Sequential(
        linear(), save("e1"), linear(), ("word", add(via("e1", part, linear()))), add("q"),
        add(via("e1", Sequential(linear(), linear()))),
    )  # fmt: skip
    return net, (rows(),)


def parts_in_parts() -> Case:
    b = Sequential(linear(), save("k"), ("C", nn.Sequential(linear(), nn.ReLU())), linear())
    a = Sequential(linear(), ("B", b), nn.Sequential(linear(), nn.Tanh()))
    return Sequential(("A", a), ("D", Sequential(linear(), add("k"), add("A.B.C"), add("A.B.C.0"), add("A.2.0")))), (rows(),)


def parts_in_numbered_parts() -> Case:
    inner = Sequential(("first", linear()), nn.ReLU(), save("k"), ("last", linear()), nn.Tanh())
    middle = Sequential(linear(), inner, nn.Sigmoid())
    return Sequential(middle, nn.Tanh(), Sequential(linear(), add("k"))), (rows(),)


def held_layers() -> Case:
    """Layers that stand in lists and are called by their places, as a wired part among them."""
    held = Held(linear(), ("named", linear()), Held(Sequential(linear(), add("x1")), nn.Sequential(linear(), nn.ReLU())))
    names = Held(("one", linear()), ("two", nn.ReLU()))
    net = Sequential(
        linear(), save("x1"), ("held", held), call("held.0"), call("held.2.0"), call("held.2.1"), call("held.named"),
        ("names", names), call("names.two"), call("names.one"), nn.Sequential(linear(), Held()),
    )  # fmt: skip
    return net, (rows(),)


def parts_with_inputs() -> Case:
    by_name = call(Sequential(linear(), add("u"), inputs=("x", "u")), u="t")
    by_place = call(Sequential(linear(), add("x"), inputs=("image", "x")), here, "t")
    return Sequential(linear(), save("t"), linear(), by_name, by_place), (rows(),)


def parts_without_layers() -> Case:
    first = Sequential(torch.sin, save("q"), torch.cos, add("input"))
    return Sequential(("f", first), linear(), ("g", Sequential(torch.sin, torch.cos)), nn.Sequential(), add("q")), (rows(),)


def plain() -> Case:
    return Sequential(linear(), nn.ReLU()), (rows(),)


def named_classes() -> Case:
    stage = lambda: Stage(linear(), nn.ReLU(), add("input"))  # noqa: E731
    return Sequential(("one", stage()), ("two", stage()), ("three", Residual(linear(), nn.ReLU()))), (rows(),)


def with_statistics() -> Case:
    block = Sequential(conv(4, 4, 1), nn.BatchNorm2d(4), add("input"))
    return Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), ("block", block), nn.Dropout(0.5), add("0")), (image(),)


def residual_network() -> Case:
    def block(inputs: int, outputs: int, stride: int, kernel: int = 3) -> Sequential:
        shortcut = via("input", nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        return Sequential(
            ("conv1", nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False)),
            ("bn1", nn.BatchNorm2d(outputs)), nn.ReLU(),
            ("conv2", nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)), ("bn2", nn.BatchNorm2d(outputs)),
            ("downsample", add(shortcut)), nn.ReLU(),
        )  # fmt: skip

    stages = [(f"layer{k}", nn.Sequential(block(4 * k, 4 * k + 4, 2), block(4 * k + 4, 4 * k + 4, 1))) for k in (1, 2)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), ("classes", nn.Linear(12, 5))]
    return Sequential(("stem", nn.Conv2d(3, 4, 3, padding=1)), *stages, *tail), (image(3, 16),)


def unet() -> Case:
    level = lambda i, o: nn.Sequential(conv(i, o, 3, 1, 1), nn.ReLU())  # noqa: E731
    net = UNet(
        [level(3, 8), level(8, 16)], conv(16, 16, 3, 1, 1), [conv(32, 8, 3, 1, 1), conv(16, 4, 3, 1, 1)],
        down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2),
    )  # fmt: skip
    return net, (image(3, 16),)


def dense() -> Case:
    return DenseBlock(linear(), linear(16), nn.Sequential(linear(24), nn.ReLU())), (rows(),)


# Fits


def fits_of_three() -> Case:
    net = Sequential(
        conv(), save("x1"), conv(4, 4, 4), save("x2"), conv(), add(here, "x1", "x2", fit="crop"), add("x1", fit="pad"),
        mul(here, "x2", 0.5, fit="crop_end"),
    )  # fmt: skip
    return net, (image(),)


def fits_of_one_value() -> Case:
    """Two names of one value: there is nothing to bring together."""
    return Sequential(linear(), two, save("left", "right"), pick[1], add("right", fit="crop"), add("left")), (rows(),)


def fits_along_other_dimensions() -> Case:
    net = Sequential(
        conv(), save("x1"), conv(4, 4, (4, 3)), cat("x1", fit="crop", dim=2), cat("x1", fit="pad", dim=-1),
        cat("x1", fit="resize", mode="bilinear", align_corners=True, dim=3),
    )  # fmt: skip
    return net, (image(),)


def fits_with_broadcasting() -> Case:
    fewer = add("x1", fit="crop", broadcast=True)
    ruled = add("x2", fit="crop", like=here, broadcast=True)
    return Sequential(conv(), save("x1"), conv(4, 1, 4), save("x2"), fewer, conv(), ruled), (image(),)


CASES: dict[str, Callable[[], Case]] = {
    build.__name__: build
    for build in (
        expressions, functions, layers_of_ones_own, transformer_layers, shared_layers, shared_attribute,
        shared_part_with_skips, called_again, tied_and_frozen, number_types, half, projections, projections_of_features,
        keys_of_all_kinds, keys_of_a_dict, clashing_labels, one_label_twice, running_value_has_another_name, a_dict_comes_in,
        needs, one_output, one_output_as_tuple, tuples_from_parts, a_tuple_at_the_end, a_tuple_of_a_layer,
        a_branch_that_nobody_reads, parts_of_parts, all_words, a_value_inside_a_word, parts_in_words, parts_in_parts,
        parts_in_numbered_parts, held_layers, parts_with_inputs, parts_without_layers, plain, named_classes, with_statistics,
        residual_network, unet, dense, fits_of_three, fits_of_one_value, fits_along_other_dimensions, fits_with_broadcasting,
    )
}  # fmt: skip


def fitted(word: Any, kind: str, like: Any) -> Case:
    """One join with a fit: the running value is larger than the saved one, or smaller, as the fit can bring them together."""
    larger = (kind.startswith("crop")) == (like == "x1")
    resized = nn.Upsample(scale_factor=2) if larger else nn.MaxPool2d(2)
    return Sequential(conv(), save("x1"), conv(), resized, word("x1", fit=kind, like=like)), (image(4, 13),)


#: A join with each fit, over values of which one rules or none does.
FITS = [
    (word, kind, like)
    for word in (cat, add)
    for kind in ("crop", "crop_end", "pad", "pad_center", "pad_replicate", "resize")
    for like in (None, "x1", here)
]
