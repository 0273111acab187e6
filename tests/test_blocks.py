"""Blocks: each equals a module written by hand, prints what it stands for, and tells what is wrong with it."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import (
    Branches,
    DenseBlock,
    Grid,
    Residual,
    Sequential,
    UNet,
    add,
    call,
    cat,
    here,
    mul,
    pick,
    save,
    sub,
    take,
)
from skipseq.errors import CallError, WiringError

from .helpers import faults, linear
from .same_network import assert_pastes, assert_same_network, pasted

Join = Callable[[Tensor, Tensor], Tensor]


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def stack(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), nn.ReLU(), conv(outputs, outputs))


def cat1(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], 1)


def cat_last(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], -1)


#: Each join of a block, and what it does to two values.
JOINS: dict[str, tuple[Any, Join]] = {
    "add": (add, torch.add),
    "sub": (sub, torch.sub),
    "mul": (mul, torch.mul),
    "cat": (cat, cat1),
    "cat()": (cat(), cat1),
    "cat(dim=-1)": (cat(dim=-1), cat_last),
    "add(broadcast=True)": (add(broadcast=True), torch.add),
}

joins = pytest.mark.parametrize("join", JOINS)


# Residual


class ResidualByHand(nn.Sequential):
    """Layers, and their input joined to their output, after a shortcut if there is one."""

    def __init__(self, *layers: nn.Module, shortcut: nn.Module | None = None, join: Join = torch.add) -> None:
        super().__init__(*layers)
        self.join = join
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for name, layer in self.named_children():
            y = y if name == "shortcut" else layer(y)
        return self.join(y, self.shortcut(x) if hasattr(self, "shortcut") else x)


def test_residual() -> None:
    block = Residual(linear(), nn.Tanh(), linear())
    assert_same_network(block, ResidualByHand(linear(), nn.Tanh(), linear()), torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))


@joins
def test_residual_with_another_join(join: str) -> None:
    ours, by_hand = JOINS[join]
    block = Residual(conv(4, 4), join=ours)
    assert_same_network(block, ResidualByHand(conv(4, 4), join=by_hand), torch.randn(2, 4, 3, 3))
    assert_pastes(block, torch.randn(2, 4, 3, 3))
    assert (f"join={join}" in repr(block)) == (join != "add")


@pytest.mark.parametrize(
    "wrap",
    [list, tuple, lambda steps: nn.Sequential(*steps), lambda steps: nn.ModuleList(steps)],
    ids=["list", "tuple", "nn.Sequential", "nn.ModuleList"],
)
def test_residual_with_a_shortcut_of_several_layers(wrap: Callable[[list[nn.Module]], Any]) -> None:
    block = Residual(linear(4, 6), nn.Tanh(), shortcut=wrap([linear(4, 6), nn.LayerNorm(6)]))
    by_hand = ResidualByHand(linear(4, 6), nn.Tanh(), shortcut=nn.Sequential(linear(4, 6), nn.LayerNorm(6)))
    assert_same_network(block, by_hand, torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))


def test_residual_with_a_shortcut_of_one_layer() -> None:
    block = Residual(linear(4, 6), shortcut=linear(4, 6))
    assert_same_network(block, ResidualByHand(linear(4, 6), shortcut=nn.Sequential(linear(4, 6))), torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))
    assert "shortcut=nn.Linear(" in repr(block)


@pytest.mark.parametrize("wrap", [list, lambda steps: nn.Sequential(*steps), lambda steps: steps[0]], ids=["list", "nn", "one"])
def test_residual_whose_shortcut_has_another_name(wrap: Callable[[list[nn.Module]], Any]) -> None:
    class ByHand(ResidualByHand):
        """Its shortcut is called downsample, as in torchvision."""

        def forward(self, x: Tensor) -> Tensor:
            return self[0](x) + self.downsample(x)

    steps = [linear(4, 6), nn.Tanh()]
    block = Residual(linear(4, 6), shortcut=("downsample", wrap(steps)))
    by_hand = ByHand(linear(4, 6))
    by_hand.downsample = nn.Sequential(linear(4, 6), *([nn.Tanh()] if isinstance(wrap(steps), list | nn.Sequential) else []))
    assert_same_network(block, by_hand, torch.randn(3, 4))
    assert list(block.state_dict())[2:] == ["downsample.0.weight", "downsample.0.bias"]
    assert "shortcut=('downsample', " in repr(block)
    assert_pastes(block, torch.randn(3, 4))
    assert_pastes(Sequential(("block", block)), torch.randn(3, 4))


def test_the_name_of_a_shortcut_is_verified() -> None:
    assert faults(lambda: Residual(linear(), shortcut=("down.sample", linear()))) == (
        "net[1] 'down.sample' cannot be a name: a name is a text without dots.",
    )
    assert faults(lambda: Residual(linear(), shortcut=("append", linear()))) == (
        "net[1] 'append' cannot be a name: a sequence has an attribute of this name. Rename it.",
    )
    for nothing in ([], None, nn.Sequential()):
        assert faults(lambda nothing=nothing: Residual(linear(), shortcut=("downsample", nothing))) == (
            "shortcut has no layers. Leave it out: the input itself is the shortcut.",
        )


def test_residual_with_a_shortcut_that_has_a_skip_itself() -> None:
    inner = Sequential(linear(), nn.Tanh(), add("input"))
    block = Residual(linear(), shortcut=inner)
    by_hand = ResidualByHand(linear(), shortcut=nn.Sequential(ResidualByHand(linear(), nn.Tanh())))
    assert_same_network(block, by_hand, torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))


def test_residual_of_words_names_and_functions() -> None:
    block = Residual(
        ("first", linear()), save("x1"), torch.tanh, call(torch.maximum, "x1"), ("join", cat("first", here)), join=cat
    )
    x = torch.randn(3, 4)
    first = block.first(x)
    assert torch.equal(block(x), torch.cat([first, torch.maximum(torch.tanh(first), first), x], 1))
    assert_pastes(block, x)


def test_a_block_from_a_dict() -> None:
    layers = {"one": linear(), "two": nn.Tanh()}
    block = Residual(OrderedDict(layers))
    assert list(block.state_dict()) == ["one.weight", "one.bias"]
    x = torch.randn(3, 4)
    assert torch.equal(block(x), torch.tanh(block.one(x)) + x)
    assert torch.equal(Branches(layers)(x), torch.cat([block.one(x), torch.tanh(x)], 1))
    assert DenseBlock({"one": linear(), "two": linear(8, 3)})(x).shape == (3, 11)


# Branches


class BranchesByHand(nn.Sequential):
    def __init__(self, *layers: Any, join: Join = cat1) -> None:
        super().__init__(*layers)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (branch(x) for branch in self)
        for other in others:
            first = self.join(first, other)
        return first


@joins
def test_branches(join: str) -> None:
    ours, by_hand = JOINS[join]
    block = Branches(conv(3, 4), stack(3, 4), conv(3, 4), join=ours)
    assert_same_network(block, BranchesByHand(conv(3, 4), stack(3, 4), conv(3, 4), join=by_hand), torch.randn(2, 3, 5, 5))
    assert_pastes(block, torch.randn(2, 3, 5, 5))
    assert (f"join={join}" in repr(block)) == (join != "cat")


def test_branches_of_different_widths_in_order() -> None:
    block = Branches(conv(3, 1), conv(3, 2), conv(3, 3), conv(3, 4))
    by_hand = BranchesByHand(conv(3, 1), conv(3, 2), conv(3, 3), conv(3, 4))
    assert_same_network(block, by_hand, torch.randn(2, 3, 5, 5))


def test_branches_with_names() -> None:
    block = Branches(("left", linear()), linear(), ("right", linear()))
    by_hand = BranchesByHand(OrderedDict([("left", linear()), ("1", linear()), ("right", linear())]))
    assert_same_network(block, by_hand, torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))


@pytest.mark.parametrize("names", [("1", "0", "2"), ("2", "1", "0"), ("1", None, None), ("add_0", "cat_0", "take_0")])
def test_branches_whose_names_look_like_numbers(names: tuple[str | None, ...]) -> None:
    layers = [linear(), linear(), linear()]
    block = Branches(*(layer if name is None else (name, layer) for name, layer in zip(names, layers, strict=True)))
    x = torch.randn(3, 4)
    assert torch.equal(block(x), torch.cat([layer(x) for layer in layers], 1))
    assert_pastes(block, x)


def test_branches_of_functions_indices_and_calls() -> None:
    x = torch.randn(3, 4)
    halves = Branches(pick[:, 2:], pick[:, :2])
    assert torch.equal(halves(x), torch.cat([x[:, 2:], x[:, :2]], 1))
    assert_pastes(halves, x)
    functions = Branches(torch.tanh, call(torch.pow, here, 2.0), torch.sigmoid, join=add)
    assert torch.equal(functions(x), torch.tanh(x) + x.pow(2.0) + torch.sigmoid(x))
    assert_pastes(functions, x)


def test_branches_that_read_values_from_outside() -> None:
    block = Branches(call(nn.Bilinear(4, 2, 3), "t"), Sequential(linear(), mul("gate")))
    assert list(block.wiring.needs) == ["t", "gate"]
    x, t, gate = torch.randn(5, 4), torch.randn(5, 2), torch.randn(5, 4)
    assert torch.equal(block(x, t=t, gate=gate), torch.cat([block[0].layer(x, t), block[2][0](x) * gate], 1))
    with pytest.raises(CallError, match="it lacks 'gate'"):
        block(x, t=t)
    assert repr(block).startswith("# needs t, gate\nBranches(")
    assert_pastes(block, x, t=t, gate=gate)


# DenseBlock


class DenseByHand(nn.Sequential):
    def __init__(self, *layers: nn.Module, join: Join = cat1) -> None:
        super().__init__(*layers)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = self.join(x, layer(x))
        return x


@pytest.mark.parametrize("count", [1, 2, 5])
def test_dense_block(count: int) -> None:
    def layers() -> list[nn.Module]:
        return [stack(3 + 2 * i, 2) for i in range(count)]

    block = DenseBlock(*layers())
    assert_same_network(block, DenseByHand(*layers()), torch.randn(2, 3, 4, 4))
    assert_pastes(block, torch.randn(2, 3, 4, 4))
    assert block(torch.zeros(2, 3, 4, 4)).shape == (2, 3 + 2 * count, 4, 4)


@pytest.mark.parametrize("join", ["add", "mul", "sub"])
def test_dense_block_with_another_join(join: str) -> None:
    ours, by_hand = JOINS[join]
    block = DenseBlock(linear(), nn.Tanh(), linear(), join=ours)
    assert_same_network(block, DenseByHand(linear(), nn.Tanh(), linear(), join=by_hand), torch.randn(3, 4))
    assert_pastes(block, torch.randn(3, 4))


def test_dense_block_along_the_last_dimension() -> None:
    block = DenseBlock(("first", linear(4, 2)), linear(6, 3), join=cat(dim=-1))
    by_hand = DenseByHand(OrderedDict([("first", linear(4, 2)), ("1", linear(6, 3))]), join=cat_last)
    assert_same_network(block, by_hand, torch.randn(2, 5, 4))
    assert_pastes(block, torch.randn(2, 5, 4))


# UNet


class UNetByHand(nn.Module):
    """Encoders and decoders are counted from the full resolution; keys as in :class:`skipseq.UNet`."""

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        bridge: nn.Module,
        decoders: Sequence[nn.Module],
        downs: Sequence[nn.Module] = (),
        ups: Sequence[nn.Module] = (),
        join: Join = cat1,
    ) -> None:
        super().__init__()
        self.depth, self.join = len(encoders), join
        for i, encoder in enumerate(encoders, 1):
            self.add_module(f"encoder_{i}", encoder)
            self.add_module(f"down_{i}", downs[i - 1] if downs else nn.Identity())
        self.bridge = bridge
        for i, decoder in zip(range(self.depth, 0, -1), decoders, strict=True):
            self.add_module(f"up_{i}", ups[self.depth - i] if ups else nn.Identity())
            self.add_module(f"decoder_{i}", decoder)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"encoder_{i}")(x)
            skips.append(x)
            x = self.get_submodule(f"down_{i}")(x)
        x = self.bridge(x)
        for i in range(self.depth, 0, -1):
            x = self.get_submodule(f"up_{i}")(x)
            x = self.get_submodule(f"decoder_{i}")(self.join(skips[i - 1], x))
        return x


def unet_parts(depth: int, joined: int = 2) -> tuple[list[nn.Module], nn.Module, list[nn.Module]]:
    """Encoders, bridge and decoders of widths 2, 4, 6, ..."""
    widths = [3, *(2 * i for i in range(1, depth + 1))]
    encoders = [stack(a, b) for a, b in pairwise(widths)]
    decoders = [stack(joined * widths[i], widths[i - 1] if i > 1 else 2) for i in range(depth, 0, -1)]
    return list(encoders), stack(widths[-1], widths[-1]), list(decoders)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_unet(depth: int) -> None:
    down, up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
    encoders, bridge, decoders = unet_parts(depth)
    block = UNet(encoders, bridge, decoders, down=down, up=up)
    by_hand = UNetByHand(*unet_parts(depth), downs=[down] * depth, ups=[up] * depth)
    x = torch.randn(1, 3, 2**depth, 2**depth)
    assert_same_network(block, by_hand, x)
    assert_pastes(block, x)
    assert block[0] is encoders[0]
    assert block.encoder_1 is encoders[0]
    assert block[-1] is decoders[-1]
    assert "down=nn.MaxPool2d(" in repr(block)


@pytest.mark.parametrize("depth", [1, 3])
def test_unet_of_one_resolution(depth: int) -> None:
    block = UNet(*unet_parts(depth))
    assert_same_network(block, UNetByHand(*unet_parts(depth)), torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


def test_unet_with_layers_of_its_own_between_the_levels() -> None:
    def downs() -> list[nn.Module]:
        return [nn.Conv2d(2, 2, 2, 2), nn.Conv2d(4, 4, 2, 2)]

    def ups() -> list[nn.Module]:
        return [nn.ConvTranspose2d(4, 4, 2, 2), nn.ConvTranspose2d(2, 2, 2, 2)]

    block = UNet(*unet_parts(2), down=downs(), up=nn.Sequential(*ups()))
    assert_same_network(block, UNetByHand(*unet_parts(2), downs=downs(), ups=ups()), torch.randn(1, 3, 8, 8))
    assert_pastes(block, torch.randn(1, 3, 8, 8))


def test_unet_with_down_alone() -> None:
    block = UNet([conv(3, 2)], conv(2, 2), [conv(4, 1)], down=nn.MaxPool2d(1))
    assert_same_network(block, UNetByHand([conv(3, 2)], conv(2, 2), [conv(4, 1)], [nn.MaxPool2d(1)]), torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize("join", ["add", "mul", "cat(dim=-1)"])
def test_unet_with_another_join(join: str) -> None:
    ours, by_hand = JOINS[join]
    block = UNet(*unet_parts(2, joined=1), join=ours)
    assert_same_network(block, UNetByHand(*unet_parts(2, joined=1), join=by_hand), torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        tuple,
        lambda parts: nn.Sequential(*parts),
        lambda parts: Sequential(*parts),
        lambda parts: nn.ModuleList(parts),
    ],
    ids=["list", "tuple", "nn.Sequential", "Sequential", "nn.ModuleList"],
)
def test_unet_from_existing_sequences(wrap: Callable[[list[nn.Module]], Any]) -> None:
    encoders, bridge, decoders = unet_parts(2)
    block = UNet(wrap(encoders), bridge, wrap(decoders), down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2))
    by_hand = UNetByHand(*unet_parts(2), downs=[nn.MaxPool2d(2)] * 2, ups=[nn.Upsample(scale_factor=2)] * 2)
    assert_same_network(block, by_hand, torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


def test_unet_of_parts_that_have_skips_themselves() -> None:
    def parts() -> tuple[Any, Any, Any]:
        return [Sequential(conv(3, 3), add("input"))], UNet([conv(3, 2)], conv(2, 2), [conv(4, 3)]), [conv(6, 1)]

    def by_hand() -> nn.Module:
        bridge = UNetByHand([conv(3, 2)], conv(2, 2), [conv(4, 3)])
        return UNetByHand([ResidualByHand(conv(3, 3))], bridge, [conv(6, 1)])

    block = UNet(*parts())
    assert_same_network(block, by_hand(), torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


def test_two_unets_one_after_the_other_reuse_their_labels() -> None:
    net = Sequential(UNet(*unet_parts(2)), UNet([conv(2, 2)], conv(2, 2), [conv(4, 1)]))
    by_hand = nn.Sequential(UNetByHand(*unet_parts(2)), UNetByHand([conv(2, 2)], conv(2, 2), [conv(4, 1)]))
    assert_same_network(net, by_hand, torch.randn(1, 3, 4, 4))
    assert_pastes(net, torch.randn(1, 3, 4, 4))
    _, values = net.record(torch.randn(1, 3, 4, 4), "0.skip_1", "1.skip_1")
    assert [value.shape[1] for value in values.values()] == [2, 2]


def test_unet_shares_no_parameters_by_accident() -> None:
    encoders, bridge, decoders = unet_parts(2)
    with pytest.raises(WiringError, match="down is one layer with parameters, which all 2 levels would share"):
        UNet(encoders, bridge, decoders, down=nn.Conv2d(2, 2, 2, 2))
    with pytest.raises(WiringError, match=r"Write a list with a layer for each level: up=\[layer, ...\]"):
        UNet(encoders, bridge, decoders, up=Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 1)))
    one = UNet([conv(3, 2)], conv(2, 2), [conv(4, 1)], down=nn.Conv2d(2, 2, 2, 2), up=nn.ConvTranspose2d(2, 2, 2, 2))
    assert one(torch.zeros(1, 3, 4, 4)).shape == (1, 1, 4, 4)
    assert_pastes(one, torch.randn(1, 3, 4, 4))


def test_a_layer_in_two_places_is_refused_where_each_place_has_its_own() -> None:
    layer = linear()
    sentence = r"encoders\[1\] is the same layer as encoders\[0\], whose weights it would share"
    with pytest.raises(WiringError, match=sentence):
        UNet([layer] * 2, nn.Tanh(), [linear(8), linear(8)])
    with pytest.raises(WiringError, match=r"across\[0\]\[1\] is the same layer as across\[0\]\[0\]"):
        Grid([[layer] * 2, [linear(), linear()]], [[linear()]], [[linear()], [linear()]])
    net = UNet([linear()], layer, [linear(8)])
    with pytest.raises(WiringError, match=r"bridge is the same layer as decoders\[0\]"):
        UNet([linear()], layer, [layer])
    # Without parameters there is nothing to share, and in words sharing is as in nn.Sequential.
    assert UNet([nn.Tanh()] * 2, nn.Tanh(), [nn.Identity()] * 2, down=[nn.Tanh()] * 2)(torch.zeros(1, 4)).shape == (
        1,
        12,
    )
    assert len(list(Residual(layer, nn.Tanh(), layer).parameters())) == 2
    assert len(list((net * 2).parameters())) == 6


def test_unet_from_a_generator() -> None:
    block = UNet((linear() for _ in range(2)), linear(), (linear(8) for _ in range(2)))
    assert block(torch.zeros(1, 4)).shape == (1, 4)
    assert_pastes(block, torch.zeros(1, 4))


def test_unet_with_functions_between_the_levels() -> None:
    block = UNet(*unet_parts(2), down=nn.functional.relu, up=torch.tanh)
    by_hand = UNetByHand(*unet_parts(2), downs=[nn.ReLU()] * 2, ups=[nn.Tanh()] * 2)
    assert_same_network(block, by_hand, torch.randn(1, 3, 4, 4))
    assert_pastes(block, torch.randn(1, 3, 4, 4))


# Grid


class GridByHand(nn.Module):
    """Every node is what came along its row and what came across it, added; keys as in :class:`skipseq.Grid`."""

    def __init__(
        self, rows: int, downs: int, ups: int, layers: Callable[[str, int], nn.Module], join: Join = torch.add
    ) -> None:
        super().__init__()
        self.rows, self.downs, self.columns, self.join = rows, downs, downs + ups, join
        for column in range(self.columns):
            for row in self.order(column):
                if row != self.order(column)[0]:
                    way = self.way(column)
                    self.add_module(f"{way}_{row}_{column}", layers(way, row if way == "up" else row - 1))
                if column:
                    self.add_module(f"across_{row}_{column}", layers("across", row))

    def way(self, column: int) -> str:
        return "down" if column < self.downs else "up"

    def order(self, column: int) -> list[int]:
        return list(range(self.rows)) if column < self.downs else list(reversed(range(self.rows)))

    def forward(self, x: Tensor) -> Tensor:
        node: dict[tuple[int, int], Tensor] = {}
        for column in range(self.columns):
            for row in self.order(column):
                ways = [x] if (row, column) == (0, 0) else []
                if column:
                    ways.append(self.get_submodule(f"across_{row}_{column}")(node[row, column - 1]))
                if row != self.order(column)[0]:
                    way = self.way(column)
                    came_from = node[row + 1 if way == "up" else row - 1, column]
                    ways.append(self.get_submodule(f"{way}_{row}_{column}")(came_from))
                node[row, column] = ways[0] if len(ways) == 1 else self.join(*ways)
        return node[self.order(self.columns - 1)[-1], self.columns - 1]


def grid_layer(way: str, row: int) -> nn.Module:
    """A layer along a row, or between it and the row below, which has twice the channels and half the size."""
    width = 2 * 2**row
    if way == "across":
        return ResidualByHand(nn.PReLU(), conv(width, width))
    return nn.Conv2d(width, 2 * width, 2, 2) if way == "down" else nn.ConvTranspose2d(2 * width, width, 2, 2)


def our_grid_layer(way: str, row: int) -> nn.Module:
    width = 2 * 2**row
    return Residual(nn.PReLU(), conv(width, width)) if way == "across" else grid_layer(way, row)


def grid(rows: int, downs: int, ups: int, layers: Callable[[str, int], nn.Module], **options: Any) -> Grid:
    return Grid(
        across=[[layers("across", row) for _ in range(downs + ups - 1)] for row in range(rows)],
        down=[[layers("down", row) for row in range(rows - 1)] for _ in range(downs)],
        up=[[layers("up", row) for row in range(rows - 1)] for _ in range(ups)],
        **options,
    )


@pytest.mark.parametrize(
    ("rows", "downs", "ups"),
    [
        (1, 1, 1),
        (1, 2, 0),
        (2, 1, 1),
        (2, 2, 1),
        (2, 1, 2),
        (3, 1, 1),
        (3, 2, 2),
        (3, 3, 3),
        (2, 2, 0),
        (3, 3, 0),
        (4, 2, 3),
    ],
)
def test_grid(rows: int, downs: int, ups: int) -> None:
    block = grid(rows, downs, ups, our_grid_layer)
    by_hand = GridByHand(rows, downs, ups, grid_layer)
    x = torch.randn(1, 2, 2 ** (rows - 1), 2 ** (rows - 1))
    assert_same_network(block, by_hand, x)
    assert_pastes(block, x)


def test_grid_written_out() -> None:
    """Two rows, two columns, in the formulas of the paper: along a row goes the value and what a layer adds to it."""
    block = grid(2, 1, 1, our_grid_layer)
    x = torch.randn(1, 2, 4, 4)
    x00 = x
    x10 = block.down_1_0(x00)
    x11 = x10 + block.across_1_1[:-1](x10)
    x01 = x00 + block.across_0_1[:-1](x00) + block.up_0_1(x11)
    assert torch.allclose(block(x), x01, atol=1e-6)


def test_grid_with_concatenation() -> None:
    block = grid(2, 1, 1, lambda way, row: conv(2, 2), join=cat)
    by_hand = GridByHand(2, 1, 1, lambda way, row: conv(2, 2), join=cat1)
    assert_same_network(block, by_hand, torch.randn(1, 2, 4, 4))
    assert_pastes(block, torch.randn(1, 2, 4, 4))


def test_grid_nodes_can_be_read() -> None:
    block = grid(3, 2, 2, our_grid_layer)
    _, values = block.record(torch.randn(1, 2, 8, 8), "node_0_0", "node_2_1", "node_1_3")
    assert [tuple(value.shape) for value in values.values()] == [(1, 2, 8, 8), (1, 8, 2, 2), (1, 4, 4, 4)]


# What is wrong with a block


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "Residual of nothing": (lambda: Residual(), "it has no layers. Write Residual(layer, ...)."),
    "Residual with an empty shortcut": (
        lambda: Residual(linear(), shortcut=[]),
        "shortcut has no layers. Leave it out: the input itself is the shortcut.",
    ),
    "Residual of a class": (
        lambda: Residual(linear(), nn.ReLU),
        "layers[1] is the class ReLU, not an instance. Write ReLU(...).",
    ),
    "Residual of a list": (lambda: Residual([linear()]), "layers[0] is a list of 1. Write its entries one by one"),
    "Residual of a bare word": (lambda: Residual(add), "layers[0] is the bare word add. Write add('x1')."),
    "Residual with a class as shortcut": (
        lambda: Residual(linear(), shortcut=nn.Linear),
        "shortcut[0] is the class Linear, not an instance.",
    ),
    "Residual with a word as shortcut": (
        lambda: Residual(linear(), shortcut=add("x")),
        "shortcut[0] is the word add('x'), and no layer. Write Sequential(layer, add('x')).",
    ),
    "Residual with a name inside its shortcut": (
        lambda: Residual(linear(), shortcut=[("projection", linear())]),
        "shortcut[0] is a tuple of 2.",
    ),
    "one branch": (lambda: Branches(linear()), "it joins branches, and has 1. Write Branches(first, second, ...)."),
    "a branch that is a list": (
        lambda: Branches(linear(), [linear(), nn.ReLU()]),
        "branches[1] is a list of 2. Write its entries one by one",
    ),
    "a branch that is a string": (lambda: Branches(linear(), "x1"), "branches[1] is the string 'x1'."),
    "a branch that is a word": (
        lambda: Branches(linear(), save("x")),
        "branches[1] is the word save('x'), and no layer.",
    ),
    "branches of one name": (
        lambda: Branches(("a", linear()), ("a", linear())),
        "'a' is the name of 2 entries. Rename all but one of them.",
    ),
    "DenseBlock of nothing": (lambda: DenseBlock(), "it has no layers. Write DenseBlock(layer, ...)."),
    "DenseBlock of None": (
        lambda: DenseBlock(linear(), None),
        "layers[1] is None. Leave it out, or write nn.Identity().",
    ),
    "UNet of nothing": (lambda: UNet([], linear(), []), "it has 0 encoders and 0 decoders"),
    "UNet with a decoder too few": (
        lambda: UNet([linear(), linear()], linear(), [linear()]),
        "it has 2 encoders and 1 decoders; each encoder is joined with one decoder.",
    ),
    "UNet of single layers": (
        lambda: UNet(linear(), linear(), linear()),
        "encoders is Linear, where a list belongs. Write encoders=[layer, ...].",
    ),
    "UNet of classes": (lambda: UNet([nn.Linear], linear(), [linear()]), "encoders[0] is the class Linear"),
    "UNet without a bridge": (lambda: UNet([linear()], None, [linear()]), "bridge is None."),
    "UNet of a sequence with words": (
        lambda: UNet(Sequential(linear(), save("x")), linear(), [linear(), linear()]),
        "encoders[1] is the word save('x'), and no layer. Write Sequential(layer, save('x')).",
    ),
    "UNet with a down too few": (
        lambda: UNet([linear(), linear()], linear(), [linear(), linear()], down=[nn.ReLU()]),
        "down is a list of 1 for 2 levels. Write a layer for each of them.",
    ),
    "UNet with a class as up": (
        lambda: UNet([linear()], linear(), [linear()], up=nn.Upsample),
        "up is the class Upsample, not an instance.",
    ),
    "Grid of nothing": (lambda: Grid([], [], []), "it needs at least one row and two columns"),
    "Grid of one column": (lambda: Grid([[]], [[]], []), "it needs at least one row and two columns"),
    "Grid that leads up only": (lambda: Grid([[linear()]], [], [[], []]), "the first of which leads down."),
    "Grid of layers": (lambda: Grid(linear(), [], []), "across is Linear, where a list belongs."),
    "Grid of a row that is no list": (
        lambda: Grid([linear()], [[]], [[]]),
        "across[0] is Linear, where a list belongs.",
    ),
    "Grid with a layer across too many": (
        lambda: Grid([[linear(), linear()]], [[]], [[]]),
        "across[0] has 2 layers; with 2 columns it needs 1.",
    ),
    "Grid with a layer down too few": (
        lambda: Grid([[linear()], [linear()]], [[]], [[linear()]]),
        "down[0] has 0 layers; with 2 rows it needs 1.",
    ),
    "Grid of classes": (lambda: Grid([[nn.Linear]], [[]], [[]]), "across[0][0] is the class Linear"),
    "join with operands": (
        lambda: Branches(linear(), linear(), join=cat("x")),
        "join=cat('x') is no join without operands. Write join=cat, join=cat(dim=-1), join=add.",
    ),
    "join that is a string": (lambda: UNet([linear()], linear(), [linear()], join="cat"), "join='cat' is no join"),
    "join that is a function": (lambda: Residual(linear(), join=torch.add), "join=torch.add is no join"),
    "join that is another word": (lambda: DenseBlock(linear(), join=take), "join=take is no join"),
    "join that is a class": (lambda: Residual(linear(), join=nn.Bilinear), "join=the class Bilinear is no join"),
    "join that is a layer": (lambda: Residual(linear(), join=nn.Identity()), "join=Identity() is no join"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str) -> None:
    build, sentence = FAULTS[fault]
    told = faults(build)
    assert any(sentence in text for text in told), told


def test_all_faults_of_a_block_are_told_at_once() -> None:
    told = faults(lambda: UNet([linear(), nn.ReLU], None, [linear(), "x"], down=[None, None, None], up=linear()))
    assert len(told) == 8, told
    places = [
        "down is a list",
        "up is one layer",
        "encoders[1]",
        "decoders[1]",
        "down[0]",
        "down[1]",
        "down[2]",
        "bridge",
    ]
    for place in places:
        assert any(text.startswith(place) for text in told), place


def test_a_join_without_operands_is_for_blocks_only() -> None:
    with pytest.raises(WiringError, match="A join without operands is for join= of the blocks"):
        Sequential(linear(), cat(dim=-1))


def test_shapes_that_do_not_fit_are_told_in_the_words_of_the_block() -> None:
    block = UNet([conv(3, 2)], conv(2, 2), [conv(4, 1)], down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2))
    with pytest.raises(RuntimeError) as told:
        block(torch.zeros(1, 3, 5, 5))
    assert "cat('skip_1', here) cannot concatenate values of different shapes" in str(told.value)
    assert "'skip_1' is (1, 2, 5, 5)" in str(told.value)


# Blocks as sequences

BLOCKS: dict[str, Callable[[], Sequential]] = {
    "Residual": lambda: Residual(linear(), nn.Tanh(), shortcut=linear()),
    "Branches": lambda: Branches(("left", linear()), nn.Tanh(), join=add),
    "DenseBlock": lambda: DenseBlock(linear(), linear(), join=mul),
    "UNet": lambda: UNet([linear(), linear()], nn.Tanh(), [linear(8), linear(8)], down=nn.Tanh()),
    "Grid": lambda: Grid([[linear(), linear()], [linear(), linear()]], [[linear()]], [[linear()], [linear()]]),
}

blocks = pytest.mark.parametrize("name", BLOCKS)


@blocks
def test_a_block_is_a_sequence(name: str) -> None:
    block = BLOCKS[name]()
    x = torch.randn(3, 4)
    assert isinstance(block, Sequential)
    assert isinstance(block, nn.Sequential)
    assert repr(block).startswith(f"{name}(\n")
    assert block.as_words().startswith("Sequential(\n")
    assert name not in block.as_words()
    assert_pastes(Sequential(linear(), ("block", block), nn.Tanh()), x)
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert type(twin) is type(block)
        assert repr(twin) == repr(block)
        assert torch.equal(twin(x), block(x))


def exchange_first_linear(block: Sequential) -> None:
    first = next(i for i, layer in enumerate(block) if isinstance(layer, nn.Linear))
    block[first] = linear()


@blocks
def test_an_edited_block_prints_as_words(name: str) -> None:
    x = torch.randn(3, 4)
    edits: dict[str, Callable[[Sequential], object]] = {
        "append": lambda block: block.append(nn.Sigmoid()),
        "insert": lambda block: block.insert(0, nn.Identity()),
        "exchange": exchange_first_linear,
        "+=": lambda block: block.__iadd__(nn.Sequential(nn.Sigmoid())),
        "extend": lambda block: block.extend([nn.Sigmoid(), nn.Tanh()]),
    }
    for what, edit in edits.items():
        block = BLOCKS[name]()
        before = block(x)
        edit(block)
        assert repr(block) == block.as_words(), what
        assert repr(block).startswith("Sequential(\n"), what
        assert_pastes(block, x)
        expected = {
            "append": torch.sigmoid(before),
            "insert": before,
            "+=": torch.sigmoid(before),
            "extend": torch.tanh(torch.sigmoid(before)),
        }
        if what in expected:
            assert torch.equal(block(x), expected[what]), what


def test_an_exchanged_layer_of_a_block_is_used() -> None:
    block = Residual(linear(), nn.Tanh())
    block[0] = new = linear()
    x = torch.randn(3, 4)
    assert torch.equal(block(x), torch.tanh(new(x)) + x)
    block = UNet([linear()], nn.Tanh(), [linear(8)])
    block.encoder_1 = new
    assert torch.equal(block(x), block.decoder_1(torch.cat([new(x), torch.tanh(new(x))], 1)))
    assert repr(block).startswith("UNet(\n")
    assert_pastes(block, x)


@blocks
def test_a_block_that_was_changed_from_outside_prints_as_words(name: str) -> None:
    block = BLOCKS[name]()
    x = torch.randn(3, 4)
    before = block(x)
    block._modules["extra"] = nn.Sigmoid()
    assert torch.equal(block(x), torch.sigmoid(before))
    assert repr(block) == block.as_words()
    assert "('extra', nn.Sigmoid())" in repr(block)
    assert_pastes(block, x)


@blocks
def test_a_refused_edit_leaves_the_block_as_it_was(name: str) -> None:
    block = BLOCKS[name]()
    text, keys, x = repr(block), list(block._modules), torch.randn(3, 4)
    before = block(x)
    with pytest.raises(WiringError):
        block.append(add("input", "nothing"))
    with pytest.raises(WiringError):
        block.insert(0, nn.ReLU)
    assert repr(block) == text
    assert list(block._modules) == keys
    assert torch.equal(block(x), before)


@blocks
def test_what_is_made_from_a_block_is_a_plain_sequence(name: str) -> None:
    x = torch.randn(3, 4)
    block = BLOCKS[name]()
    appended = nn.Sequential(linear(block(x).shape[1], 4))
    chained = block + appended
    assert type(chained) is Sequential
    assert torch.equal(chained(x), appended(block(x)))
    assert_pastes(chained, x)
    whole = block[:]
    assert type(whole) is Sequential
    assert repr(whole).startswith("Sequential(\n")
    part = block[:1]
    assert type(part) is Sequential
    assert_pastes(part, x)
    last = block.with_outputs(next(iter(block._modules)))
    assert type(last) is Sequential
    assert_pastes(last, x)


def test_a_repeated_block() -> None:
    x = torch.randn(3, 4)
    block = Residual(linear(), nn.Tanh())
    assert torch.equal((block * 3)(x), block(block(block(x))))
    repeated = block.repeat(2)
    assert len(list(repeated.parameters())) == 4
    assert_pastes(repeated, x)
    # A text cannot say that weights are shared; it has the same keys, and tells it in a comment.
    assert list(pasted(repr(block * 3)).state_dict()) == list((block * 3).state_dict())
    assert repr(block * 3).count("# the same as net[0]") == 2


def test_blocks_in_blocks_print_in_short_and_in_words() -> None:
    net = Residual(
        Branches(linear(4, 2), DenseBlock(linear(4, 1), linear(5, 1)), join=cat(dim=-1)),
        linear(8, 4),
        shortcut=Residual(linear()),
    )
    assert_pastes(net, torch.randn(3, 4))
    assert repr(net).count("\n") > 10
    words = net.as_words()
    assert not any(name in words for name in BLOCKS)
    assert "# <- " in words


def test_a_subclass_of_a_block() -> None:
    class Bottleneck(Residual):
        def __init__(self, width: int) -> None:
            super().__init__(linear(width, 2), nn.Tanh(), linear(2, width))

    block = Bottleneck(4)
    x = torch.randn(3, 4)
    assert torch.equal(block(x), block[2](torch.tanh(block[0](x))) + x)
    assert list(pasted(block.as_words()).state_dict()) == list(block.state_dict())
    assert type(block[:2]) is Sequential


def test_a_skip_from_outside_into_a_block() -> None:
    net = Sequential(
        linear(), save("t"), Residual(linear(), add("t")), UNet([linear()], Sequential(linear(), mul("t")), [linear(8)])
    )
    x = torch.randn(3, 4)
    t = net[0](x)
    h = net[2][0](t) + t + t
    e = net[3].encoder_1(h)
    expected = net[3].decoder_1(torch.cat([e, net[3].bridge[0](e) * t], 1))
    assert torch.allclose(net(x), expected, atol=1e-6)
    assert_pastes(net, x)
    text = repr(net)
    assert "save('t'),  " in text
    assert "# -> net[2][1], net[3].bridge[1]" in text
    assert text.count("# <- net[1]") == 2


def test_a_shortcut_that_reads_a_value_from_outside() -> None:
    inner = Sequential(linear(), mul("gate"))
    block = Residual(linear(), shortcut=inner)
    x, gate = torch.randn(3, 4), torch.randn(3, 4)
    assert list(block.wiring.needs) == ["gate"]
    assert torch.equal(block(x, gate=gate), block[0](x) + inner[0](x) * gate)
    assert_pastes(block, x, gate=gate)
    assert "add(via('input', Sequential(" in block.as_words()
