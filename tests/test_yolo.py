"""Model files in the format [from, number, module, args]: the same networks as by hand, with names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, save
from skipseq.bridges.yolo import YoloModule, from_yolo
from skipseq.errors import FileError

from .yolo_networks import ANCHORED_SCALES, Anchored, Classes, Free, anchored_text, free_text, residual_text

DATA = Path(__file__).parent / "data" / "yolo"


def file_of(*rows: str, head: str = "") -> str:
    """A model file of these rows."""
    return "\n".join([head, "backbone:", *(f"  - {row}" for row in rows), "head: []", ""])


def moved(source: nn.Module, target: nn.Module) -> None:
    """Gives one network the weights of another, in order, with other numbers than layers start with."""
    torch.manual_seed(1)
    values = source.state_dict()
    for value in values.values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.4)
    target.load_state_dict(dict(zip(target.state_dict(), values.values(), strict=True)))


@pytest.mark.parametrize(
    ("file", "scale", "hand", "channels"),
    [("free", "tiny", Free, 3), ("anchored", None, Anchored, 3), ("classes", None, Classes, 1)],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_file_gives_the_network_that_is_written_by_hand(
    file: str, scale: str | None, hand: type[nn.Module], channels: int, training: bool
) -> None:
    net, expected = from_yolo(DATA / f"{file}.yaml", scale=scale).double(), hand().double()
    moved(expected, net)
    net.train(training)
    expected.train(training)
    images = torch.randn(2, channels, 32, 48, dtype=torch.float64, requires_grad=True)
    twins = images.detach().clone().requires_grad_()
    ours, theirs = outputs(net(images)), outputs(expected(twins))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    weigh(ours).backward()
    weigh(theirs).backward()
    torch.testing.assert_close(images.grad, twins.grad)
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for one, other in zip(net.buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def outputs(given: Any) -> tuple[Tensor, ...]:
    """What a network gives, as a tuple."""
    return given if isinstance(given, tuple) else (given,)


def weigh(values: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on each of the values in its own way."""
    return sum(((place + 1) * value.sin().mean() for place, value in enumerate(values)), torch.zeros(()))


#: How many parameters the published networks have, as their project prints them for 80 classes. The networks without anchors
#: count 16 more there: fixed numbers of a convolution that turns the distribution of an edge into its mean.
PUBLISHED_FREE = {"n": 3_157_200, "s": 11_166_560, "m": 25_902_640, "l": 43_691_520, "x": 68_229_648}
PUBLISHED_ANCHORED = {"n": 1_872_157, "s": 7_235_389, "m": 21_190_557, "l": 46_563_709, "x": 86_749_405}


def count(text: str, scale: str | None = None) -> int:
    """How many parameters the network of a file has; without memory, no numbers are drawn for them."""
    with torch.device("meta"):
        return sum(each.numel() for each in from_yolo(text, scale=scale).parameters())


@pytest.mark.parametrize("scale", PUBLISHED_FREE)
def test_networks_without_anchors_have_as_many_parameters_as_published(scale: str) -> None:
    assert count(free_text(), scale) == PUBLISHED_FREE[scale] - 16


@pytest.mark.parametrize("scale", PUBLISHED_ANCHORED)
def test_networks_with_anchors_have_as_many_parameters_as_published(scale: str) -> None:
    assert count(anchored_text(*ANCHORED_SCALES[scale])) == PUBLISHED_ANCHORED[scale]


def test_darknet_53_with_its_head_has_as_many_parameters_as_published() -> None:
    assert count(residual_text()) == 61_949_149


def test_each_scale_has_outputs_of_its_own() -> None:
    report = from_yolo(free_text(), scale="n").check((1, 3, 640, 640))
    assert {name: report[name] for name in ("boxes_p3.predict", "boxes_p4.predict", "boxes_p5.predict")} == {
        "boxes_p3.predict": (1, 64, 80, 80),
        "boxes_p4.predict": (1, 64, 40, 40),
        "boxes_p5.predict": (1, 64, 20, 20),
    }
    assert report["classes_p4.predict"] == (1, 80, 40, 40)


def test_anchors_give_one_output_for_each_scale() -> None:
    report = from_yolo(anchored_text(0.33, 0.25, classes=2)).check((1, 3, 640, 320))
    shapes = [report[f"predictions_p{level}"] for level in (3, 4, 5)]
    assert shapes == [(1, 21, 80, 40), (1, 21, 40, 20), (1, 21, 20, 10)]


def names(net: Sequential) -> list[str]:
    """The names of the layers and parts of a network, without those of words."""
    return [name for name, child in net.named_children() if not name.rstrip("0123456789").endswith(("take_", "cat_"))]


def test_layers_are_named_by_module_and_level() -> None:
    assert names(from_yolo(DATA / "free.yaml", scale="tiny")) == [
        *("conv_p1", "conv_p2", "c2f_p2", "conv_p3", "c2f_p3", "sppf_p3"),
        *("upsample_p2", "c2f_p2_2", "conv_p3_2", "c2f_p3_2"),
        *("boxes_p2", "classes_p2", "boxes_p3", "classes_p3"),
    ]


def test_a_row_more_leaves_the_names_of_other_levels_alone() -> None:
    rows = ["[-1, 1, Conv, [8, 3, 2]]", "[-1, 1, Conv, [8, 3, 2]]", "[-1, 1, C2f, [8]]"]
    before = names(from_yolo(file_of(*rows)))
    after = names(from_yolo(file_of(rows[0], "[-1, 1, nn.Identity, []]", *rows[1:])))
    assert [name for name in after if name != "identity_p1"] == before == ["conv_p1", "conv_p2", "c2f_p2"]


def test_the_level_is_told_by_the_size_of_the_images() -> None:
    text = file_of("[-1, 1, Conv, [8, 3, 2]]", "[-1, 1, nn.MaxPool2d, [[1, 2]]]", "[-1, 1, nn.MaxPool2d, [3]]")
    assert names(from_yolo(text, size=(96, 192))) == ["conv_p1", "max_pool2d", "max_pool2d_2"]


def test_rows_of_a_long_list_are_read_by_their_numbers() -> None:
    text = file_of("[-1, 1, Conv, [8]]", "[-1, 1, Conv, [16]]", "[[0, -1, 0], 1, Concat, []]", "[-1, 1, nn.Conv2d, [8]]")
    net = from_yolo(text)
    assert str(net).splitlines()[-3:-1] == [
        "    cat('conv_p0', here, via('conv_p0', nn.Identity())),  # <- net[0]",
        "    ('conv2d_p0', nn.Conv2d(32, 8, 1)),",
    ]
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("head", "row", "expected"),
    [
        ("width_multiple: 0.3", "Conv, [64]", 24),  # 19.2, and the next multiple of 8
        ("width_multiple: 0.25", "Conv, [64]", 16),
        ("{width_multiple: 0.5, max_channels: 32}", "Conv, [64]", 16),
        ("scales: {a: [1, 0.5, 32], b: [1, 1]}", "Conv, [64]", 16),
        ("scales: {b: [1, 1], a: [1, 0.5, 32]}\nscale: a", "Conv, [64]", 16),
        ("width_multiple: 0.5\nnc: 10", "Conv, [nc]", 10),  # as many as the outputs are not scaled
        ("width_multiple: 0.5\nnc: 10\nanchors: 3", "Conv, [45]", 45),
        ("width_multiple: 0.5\nnc: 10\nanchors: 3", "Conv, [10]", 8),
        ("", "nn.Identity, []", 3),
    ],
)
def test_channels_are_scaled(head: str, row: str, expected: int) -> None:
    text = file_of(f"[-1, 1, {row}]", head=head.strip("{}").replace(", max", "\nmax") if head.startswith("{") else head)
    assert from_yolo(text)(torch.zeros(2, 3, 8, 8)).shape[1] == expected


@pytest.mark.parametrize(
    ("depth", "number", "units"), [(0.33, 1, 1), (0.33, 3, 1), (0.33, 6, 2), (0.67, 9, 6), (1.33, 3, 4), (3.0, 1, 1)]
)
def test_numbers_are_scaled(depth: float, number: int, units: int) -> None:
    part = from_yolo(file_of(f"[-1, {number}, C3, [16]]", head=f"depth_multiple: {depth}"))[0]
    assert sum(name.startswith("bottleneck") for name, _ in part.named_children()) == units


def test_modules_that_repeat_nothing_stand_one_behind_the_other() -> None:
    net = from_yolo(file_of("[-1, 3, Conv, [16, 3, 2]]"))
    assert [part[0].in_channels for part in net.conv_p3] == [3, 16, 16]


def test_a_scale_is_asked_for_or_named_in_the_file_or_the_first() -> None:
    assert from_yolo(DATA / "free.yaml", scale="wide").conv_p1[0].out_channels == 16
    assert from_yolo(DATA / "free.yaml").conv_p1[0].out_channels == 8


def test_channels_and_classes_are_told_by_the_file_or_the_caller() -> None:
    assert from_yolo(DATA / "classes.yaml").conv2d_p1.in_channels == 1
    assert from_yolo(DATA / "classes.yaml", channels=4).conv2d_p1.in_channels == 4
    assert from_yolo(DATA / "classes.yaml", classes=11)(torch.zeros(2, 1, 16, 16)).shape == (2, 11)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("nn.ReLU()", "nn.ReLU()"),
        ("nn.Hardswish", "nn.Hardswish()"),
        ("torch.nn.LeakyReLU(0.2)", "nn.LeakyReLU(negative_slope=0.2)"),
        ("nn.LeakyReLU(negative_slope=0.2, inplace=True)", "nn.LeakyReLU(negative_slope=0.2, inplace=True)"),
    ],
)
def test_the_activation_is_that_of_the_file(written: str, expected: str) -> None:
    net = from_yolo(file_of("[-1, 1, Conv, [8]]", "[-1, 1, Conv, [8, 1, 1, None, 1, 1, False]]", head=f"activation: {written}"))
    assert f"        {expected},\n" in str(net)
    assert [len(part) for part in net] == [3, 2]


# The registry


class Gate(nn.Module):
    """Multiplies a map by a number for each channel, which another map gives."""

    def __init__(self, channels: list[int], most: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels[1], channels[0], 1)
        self.most = most

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * self.weigh(y).clamp(max=self.most)


def test_a_function_of_the_registry_gets_the_channels_and_the_arguments() -> None:
    seen = []

    def build(channels: Any, *arguments: Any) -> nn.Module:
        seen.append((channels, arguments))
        return nn.Conv2d(channels, 5, 1)

    text = file_of("[-1, 1, Conv, [16]]", "[-1, 1, My, [64, nc, None, [1, 2], same, 1e-3]]", head="width_multiple: 0.5\nnc: 9")
    net = from_yolo(text, registry={"My": build})
    assert seen == [(8, (64, 9, None, (1, 2), "same", 0.001))] * 2  # once without memory, once in earnest
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 5, 8, 8)


def test_a_row_that_reads_a_list_gets_a_list_of_channels_and_the_values() -> None:
    net = from_yolo(file_of("[-1, 1, Conv, [8]]", "[-1, 1, Conv, [16]]", "[[0, -1], 1, Gate, [3]]"), registry={"Gate": Gate})
    assert str(net).splitlines()[-2] == "    ('gate_p0', call(Gate(...), 'conv_p0', here)),  # <- net[0]"
    x = torch.randn(1, 3, 8, 8)
    y, values = net.record(x, "conv_p0", "conv_p0_2")
    first, second = values.values()
    torch.testing.assert_close(y, net.gate_p0(first, second))


def test_a_module_of_the_registry_may_be_scaled_and_repeat_something_inside() -> None:
    def build(channels: int, number: int, after: int) -> nn.Module:
        return Sequential(nn.Conv2d(channels, after, 1), save("h"), *(nn.ReLU() for _ in range(number)), add("h"))

    text = file_of("[-1, 6, Own, [64]]", head="width_multiple: 0.5\ndepth_multiple: 0.5")
    net = from_yolo(text, registry={"Own": YoloModule(build, scaled=True, repeated=True)})
    assert sum(isinstance(layer, nn.ReLU) for layer in net.modules()) == 3
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 32, 8, 8)


def test_a_scaled_module_of_the_registry_stands_several_times() -> None:
    own = YoloModule(lambda channels, after: nn.Conv2d(channels, after, 1), scaled=True)
    net = from_yolo(file_of("[-1, 3, Own, [8]]"), registry={"Own": own})
    assert [(layer.in_channels, layer.out_channels) for layer in net.own_p0] == [(3, 8), (8, 8), (8, 8)]


def test_the_registry_goes_before_the_modules_that_are_known() -> None:
    text = file_of("[-1, 1, Conv, [8]]", "[[-1, 0], 1, Concat, [1]]", "[[0, 1], 1, Detect, [nc]]", head="nc: 2")

    class Both(nn.Module):
        def forward(self, *values: Tensor) -> Any:
            return {"all": values}

    registry = {"Conv": lambda channels, after: nn.Conv2d(channels, after, 1), "Detect": lambda channels, classes: Both()}
    net = from_yolo(text, registry=registry)
    assert isinstance(net.conv_p0, nn.Conv2d)
    assert [value.shape[1] for value in net(torch.zeros(1, 3, 8, 8))["all"]] == [8, 16]


def test_no_memory_is_taken_before_the_size_is_known() -> None:
    devices = []

    def build(channels: int) -> nn.Module:
        layer = nn.Linear(1 << 20, 1 << 14)
        devices.append(layer.weight.device.type)
        return layer

    with pytest.raises(ValueError, match="too large"):
        from_yolo(file_of("[-1, 1, Wide, []]"), registry={"Wide": build})
    assert devices == ["meta"]


def test_the_limit_of_bytes_is_exact() -> None:
    text = file_of("[-1, 1, nn.Conv2d, [8, 3]]", "[-1, 1, nn.BatchNorm2d, []]")
    size = 4 * (8 * 3 * 9 + 8) + 4 * 4 * 8 + 8  # weights and biases; two of each kind of numbers, and a counter
    assert len(from_yolo(text, largest=size)) == 2
    with pytest.raises(FileError, match=f"at most {size - 1} bytes\n  received {size} bytes"):
        from_yolo(text, largest=size - 1)


def test_a_map_of_one_pixel_has_a_norm_too() -> None:
    net = from_yolo(file_of("[-1, 1, nn.AdaptiveAvgPool2d, [1]]", "[-1, 1, Conv, [8]]"))
    assert net.training
    assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 8, 1, 1)


def test_the_branches_of_many_classes_are_not_wider_than_a_hundred() -> None:
    text = "nc: 200\nbackbone:\n  - [-1, 1, Conv, [16]]\nhead:\n  - [[0], 1, Detect, [nc]]\n"
    net = from_yolo(text)
    assert (net.boxes_p0[0][0].out_channels, net.classes_p0[0][0].out_channels, net.classes_p0.predict.out_channels) == (
        64,
        100,
        200,
    )
    assert from_yolo(text + "reg_max: 2\n").boxes_p0.predict.out_channels == 8


def test_reading_changes_no_random_numbers_but_those_of_the_layers() -> None:
    torch.manual_seed(0)
    net = from_yolo(file_of("[-1, 1, nn.Conv2d, [8]]"))
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 8, 1)
    assert torch.equal(net[0].weight, layer.weight)


# What can be done with it


def test_a_skip_of_a_file_is_edited_as_any_other() -> None:
    net = from_yolo(DATA / "free.yaml", scale="tiny")
    assert net.with_outputs("sppf_p3")(torch.zeros(1, 3, 64, 64)).shape == (1, 16, 8, 8)
    skip = ("c2f_p2", "c2f_p2_2")
    assert skip in {(each.giver, each.reader) for each in net.skips}
    fewer = net.disconnect("c2f_p2", "c2f_p2_2")
    assert skip not in {(each.giver, each.reader) for each in fewer.skips}


def test_a_file_survives_being_text() -> None:
    for file, scale in (("free", "tiny"), ("anchored", None), ("classes", None)):
        net = from_yolo(DATA / f"{file}.yaml", scale=scale)
        twin = Sequential.from_yaml(net.to_yaml())
        assert str(twin) == str(net)
        twin.load_state_dict(net.state_dict())
