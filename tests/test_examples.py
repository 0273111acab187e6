"""The networks of examples/: each equals the same network written by hand, and each file runs by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add
from skipseq.errors import ShapeError, WiringError

from .same_network import EXAMPLES, assert_same_network, example

#: restore_photo.py is the demo, which has tests of its own.
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "restore_photo")


#: Runs files as scripts and prints what each printed and raised; one interpreter, as importing torch takes seconds.
RUN_ALL = """
import contextlib, io, json, runpy, sys, traceback
told = {}
for path in sys.argv[1:]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            runpy.run_path(path, run_name="__main__")
        except BaseException:
            traceback.print_exc()
    told[path] = [out.getvalue(), error.getvalue()]
print(json.dumps(told))
"""


def run_python(*arguments: str) -> str:
    """What a fresh Python prints, warnings being errors."""
    source = str(Path(__file__).parent.parent / "src")
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """What each example prints, and its errors, by path."""
    told: dict[str, list[str]] = json.loads(run_python("-c", RUN_ALL, *(str(EXAMPLES / f"{name}.py") for name in NAMES)))
    return told


@pytest.mark.parametrize("name", NAMES)
def test_runs_by_itself(name: str, printed: dict[str, list[str]]) -> None:
    output, error = printed[str(EXAMPLES / f"{name}.py")]
    assert error == ""
    assert "Sequential(" in output


def test_runs_as_a_file() -> None:
    assert "by hand gives the same: True" in run_python(str(EXAMPLES / "three_linears.py"))


@pytest.mark.parametrize("name", NAMES)
def test_is_in_the_table(name: str) -> None:
    assert f"[{name}.py]({name}.py)" in (EXAMPLES / "README.md").read_text()


def test_the_comparison_can_fail() -> None:
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    other = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with pytest.raises(AssertionError, match=r"tensor\("):
        assert_same_network(Sequential.of(plain, skips={"output": add("input")}), other, torch.randn(2, 4))


# a) a flat encoder and decoder


class FlatEncoderDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 4, 2, 1)
        self.conv2 = nn.Conv2d(16, 32, 4, 2, 1)
        self.conv3 = nn.Conv2d(32, 64, 4, 2, 1)
        self.conv4 = nn.Conv2d(64, 64, 4, 2, 1)
        self.deconv4 = nn.ConvTranspose2d(64, 64, 4, 2, 1)
        self.deconv3 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.deconv2 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.deconv1 = nn.ConvTranspose2d(32, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x1))
        x = torch.relu(self.conv3(x))
        x = torch.relu(self.conv4(x))
        x = torch.relu(self.deconv4(x))
        x = torch.relu(self.deconv3(x))
        x = torch.relu(self.deconv2(x))
        return self.deconv1(torch.cat([x, x1], 1))


def test_a_flat_encoder_decoder() -> None:
    net = example("flat_encoder_decoder").flat_encoder_decoder()
    assert_same_network(net, FlatEncoderDecoder(), torch.randn(2, 3, 32, 32))


# b) pix2pix


class Pix2pixBlock(nn.Sequential):
    """As in the original: a model around which its input is concatenated."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)


def pix2pix_by_hand(inplace: bool = False) -> nn.Sequential:
    inner = Pix2pixBlock(
        nn.LeakyReLU(0.2, inplace),
        nn.Conv2d(16, 32, 4, 2, 1, bias=False),
        nn.ReLU(inplace),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
    )
    middle = Pix2pixBlock(
        nn.LeakyReLU(0.2, inplace),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        inner,
        nn.ReLU(inplace),
        nn.ConvTranspose2d(32, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
    )
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=False),
        middle,
        nn.ReLU(inplace),
        nn.ConvTranspose2d(16, 3, 4, 2, 1),
        nn.Tanh(),
    )


class FlatPix2pix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [
            nn.Conv2d(3, 8, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.LeakyReLU(0.2),
            nn.Conv2d(16, 32, 4, 2, 1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1),
            nn.Tanh(),
        ]
        for i, layer in enumerate(layers):
            self.add_module(str(i), layer)

    def through(self, x: Tensor, first: int, last: int) -> Tensor:
        for i in range(first, last + 1):
            x = self.get_submodule(str(i))(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.through(x, 0, 0)
        x2 = self.through(x1, 1, 3)
        x = torch.cat([x2, self.through(x2, 4, 8)], 1)
        x = torch.cat([x1, self.through(x, 9, 11)], 1)
        return self.through(x, 12, 14)


def test_b_pix2pix_nested() -> None:
    assert_same_network(example("pix2pix").nested(), pix2pix_by_hand(), torch.randn(2, 3, 32, 32))


def test_b_pix2pix_flat() -> None:
    assert_same_network(example("pix2pix").flat(), FlatPix2pix(), torch.randn(2, 3, 32, 32))


def test_b_pix2pix_in_place_does_no_harm_in_the_original_and_is_refused_here() -> None:
    original, ours = pix2pix_by_hand(inplace=True), example("pix2pix").nested()
    original.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(original(x), ours(x))
    with pytest.raises(WiringError, match="works in place and overwrites 'input', which net"):
        ours[1][0] = nn.LeakyReLU(0.2, inplace=True)


# c) one layer fed from two


class TwoSources(nn.Module):
    def __init__(self, how: str, before: bool) -> None:
        super().__init__()
        self.how, self.before = how, before
        self.linear1 = nn.Linear(30, 10)
        self.linear2 = nn.Linear(10, 15)
        self.linear3 = nn.Linear(15, 10)
        if how == "add":
            self.add_0 = nn.Sequential(nn.Linear(15, 10))
        self.linear4 = nn.Linear(25 if how == "cat" else 10, 20)
        self.linear5 = nn.Linear(20, 2)

    def forward(self, x: Tensor) -> Tensor:
        h2 = self.linear2(torch.relu(self.linear1(x)))
        r2 = torch.relu(h2)
        h3 = self.linear3(r2)
        if self.before:
            x = torch.cat([h2, h3], 1) if self.how == "cat" else h3 + self.add_0(h2)
            x = torch.relu(x)
        else:
            r3 = torch.relu(h3)
            x = torch.cat([r2, r3], 1) if self.how == "cat" else r3 + self.add_0(r2)
        return self.linear5(self.linear4(x))


@pytest.mark.parametrize(
    ("build", "how", "before"),
    [
        ("concatenated_after_relu", "cat", False),
        ("concatenated_before_relu", "cat", True),
        ("added_after_relu", "add", False),
        ("added_before_relu", "add", True),
    ],
)
def test_c_two_sources(build: str, how: str, before: bool) -> None:
    net = getattr(example("two_sources"), build)()
    assert_same_network(net, TwoSources(how, before), torch.randn(4, 30))


# d) three linears


class ThreeLinears(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(12, 8)
        self.linear2 = nn.Linear(8, 8)
        self.linear3 = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        l1_out = self.linear1(x)
        l2_out = self.linear2(l1_out)
        return self.linear3(l2_out + l1_out)


def test_d_three_linears() -> None:
    assert_same_network(example("three_linears").three_linears(), ThreeLinears(), torch.randn(5, 12))


# e) shapes that do not fit


class Misfit(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


class ShrunkInput(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + nn.functional.adaptive_avg_pool2d(x, 11)


def test_e_the_misfit_is_explained() -> None:
    net = example("misfit").misfit()
    image = torch.randn(1, 3, 32, 32)
    assert net.upto("0")(image).shape[2:] == (18, 18)
    with pytest.raises(ShapeError) as told:
        net(image)
    text = str(told.value)
    assert "net[3] add('input') cannot add values of different shapes" in text
    assert "(1, 3, 11, 11), from net[2]" in text
    assert "(1, 3, 32, 32), the input" in text
    assert "3x3 convolutions, stride=1 and padding=1" in text


def test_e_the_misfit_by_hand_fails_too() -> None:
    by_hand = Misfit(nn.Conv2d(3, 6, 2, 2, 2), nn.ReLU(), nn.Conv2d(6, 3, 2, 2, 2))
    with pytest.raises(RuntimeError, match=r"11.*32"):
        by_hand(torch.randn(1, 3, 32, 32))


def test_e_repaired_by_layers_that_keep_the_size() -> None:
    by_hand = Misfit(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    assert_same_network(example("misfit").same_size(), by_hand, torch.randn(1, 3, 32, 32))


def test_e_repaired_by_shrinking_the_input() -> None:
    by_hand = ShrunkInput(nn.Conv2d(3, 6, 2, 2, 2), nn.ReLU(), nn.Conv2d(6, 3, 2, 2, 2))
    assert_same_network(example("misfit").shrunk_input(), by_hand, torch.randn(1, 3, 32, 32))


# f) a bottleneck


class Bottleneck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(256, 64, 1)
        self.conv2 = nn.Conv2d(64, 256, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(torch.relu(self.conv1(x)))
        return torch.relu(out + x)


def test_f_bottleneck() -> None:
    assert_same_network(example("bottleneck").bottleneck(), Bottleneck(), torch.randn(2, 256, 3, 3))


def test_f_bottleneck_in_short() -> None:
    by_hand = nn.Sequential(Misfit(nn.Conv2d(256, 64, 1), nn.ReLU(), nn.Conv2d(64, 256, 1)), nn.ReLU())
    assert_same_network(example("bottleneck").in_short(), by_hand, torch.randn(2, 256, 3, 3))


def test_f_bottlenecks_one_after_the_other() -> None:
    by_hand = nn.Sequential(Bottleneck(), Bottleneck(), Bottleneck())
    assert_same_network(example("bottleneck").stack(), by_hand, torch.randn(2, 256, 3, 3))


# g) a U-Net from an encoder and a decoder


def convs(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()
    )


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = convs(3, 8), convs(8, 16), convs(16, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x1 = self.block1(x)
        x2 = self.block2(nn.functional.max_pool2d(x1, 2))
        return self.block3(nn.functional.max_pool2d(x2, 2)), x1, x2


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block2, self.block1, self.head = convs(48, 16), convs(24, 8), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        x = self.block2(torch.cat([nn.functional.interpolate(x, scale_factor=2), x2], 1))
        x = self.block1(torch.cat([nn.functional.interpolate(x, scale_factor=2), x1], 1))
        return torch.softmax(self.head(x), 1)


class UNetFromParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(*self.encoder(x))


def test_g_unet_from_parts() -> None:
    assert_same_network(example("unet_from_parts").unet(), UNetFromParts(), torch.randn(2, 3, 16, 16))


def test_g_the_decoder_alone() -> None:
    values = {"x1": torch.randn(1, 8, 16, 16), "x2": torch.randn(1, 16, 8, 8)}
    assert_same_network(example("unet_from_parts").decoder(), Decoder(), torch.randn(1, 32, 4, 4), **values)


def test_g_the_parts_one_by_one() -> None:
    net = example("unet_from_parts").unet()
    image = torch.randn(1, 3, 16, 16)
    y, skips = net.encoder.record(image, "x1", "x2")
    assert torch.equal(net.decoder(y, **skips), net(image))


# h) three components


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU())


class Down(nn.Sequential):
    def forward(self, x: Tensor) -> list[Tensor]:
        a1 = self[0](x)
        a2 = self[1](a1)
        return [a1, a2, self[2](a2)]


class Across(nn.Sequential):
    def forward(self, values: list[Tensor]) -> list[Tensor]:
        return [layer(value) for layer, value in zip(self, values, strict=True)]


class Up(nn.Sequential):
    def forward(self, values: list[Tensor]) -> Tensor:
        b1, b2, b3 = values
        x = self[1](self[0](b3) + b2)
        x = self[3](self[2](x) + b1)
        return self[4](x)


def grid_by_hand() -> nn.Sequential:
    a = Down(conv(3, 8), conv(8, 16, 2), conv(16, 32, 2))
    b = Across(Misfit(conv(8, 8)), Misfit(conv(16, 16)), Misfit(conv(32, 32)))
    c = Up(
        nn.ConvTranspose2d(32, 16, 2, 2),
        conv(16, 16),
        nn.ConvTranspose2d(16, 8, 2, 2),
        conv(8, 8),
        nn.Conv2d(8, 3, 1),
    )
    return nn.Sequential(OrderedDict(A=a, B=b, C=c))


def test_h_grid_from_parts() -> None:
    assert_same_network(example("grid_from_parts").grid(), grid_by_hand(), torch.randn(2, 3, 16, 16))


# i) branches


class Concat(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def test_i_branches() -> None:
    branches = Concat(
        OrderedDict(
            pointwise=nn.Conv2d(8, 4, 1),
            small=nn.Conv2d(8, 8, 3, padding=1),
            large=nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 5, padding=2)),
            pooled=nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 4, 1)),
        )
    )
    by_hand = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        branches,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    assert_same_network(example("branches").inception(), by_hand, torch.randn(2, 3, 8, 8))


# j) reading values


def blocks_by_hand() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()),
            block1=Misfit(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
            down=nn.Conv2d(8, 16, 2, 2),
            block2=Misfit(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        )
    )


def test_j_blocks() -> None:
    assert_same_network(example("read_values").blocks(), blocks_by_hand(), torch.randn(2, 3, 16, 16))


def test_j_every_value_is_the_one_that_a_hook_sees() -> None:
    net, by_hand = example("read_values").blocks(), blocks_by_hand()
    by_hand.load_state_dict(net.state_dict())
    names = [name for name, _ in by_hand.named_modules() if name]
    hooked: dict[str, Tensor] = {}
    for name in names:
        module = by_hand.get_submodule(name)
        module.register_forward_hook(lambda module, args, output, name=name: hooked.update({name: output.clone()}))
    image = torch.randn(1, 3, 16, 16)
    expected = by_hand(image)
    y, values = net.record(image, *names)
    assert torch.equal(y, expected)
    assert list(values) == names
    for name in names:
        assert torch.equal(values[name], hooked[name]), name


def test_j_outputs_and_the_part_that_leads_to_one() -> None:
    net = example("read_values").blocks()
    image = torch.randn(1, 3, 16, 16)
    _, values = net.record(image, "block1", "block2")
    low, high = net.with_outputs("block1", "block2")(image)
    assert torch.equal(low, values["block1"])
    assert torch.equal(high, values["block2"])
    part = net.upto("block1")
    assert torch.equal(part(image), values["block1"])
    assert list(part.state_dict()) == ["stem.0.weight", "stem.0.bias", "block1.0.weight", "block1.0.bias"]
