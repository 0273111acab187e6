"""Networks of Darknet in words: the same numbers and gradients as a slow reader of the same two files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from skipseq import Sequential, from_darknet
from skipseq.bridges.darknet.layers import Reorg, Reorg3d
from skipseq.errors import FileError

from .darknet_reference import ACTIVATIONS, HEADER, Options, Reference, reorganized

DATA = Path(__file__).parent / "data" / "darknet"
NETWORKS = sorted(path.stem for path in DATA.glob("*.cfg"))


def outputs_of(net: nn.Module, image: Tensor) -> list[Tensor]:
    """The outputs as a list."""
    result = net(image)
    return list(result) if isinstance(result, tuple) else [result]


def read(folder: Path, text: str, weights: bytes | None = None, **options: Any) -> Sequential:
    """The network of these two files."""
    (folder / "net.cfg").write_text(text)
    if weights is None:
        return from_darknet(folder / "net.cfg", **options)
    (folder / "net.weights").write_bytes(weights)
    return from_darknet(folder / "net.cfg", folder / "net.weights", **options)


def compare(folder: Path, text: str) -> Sequential:
    """Reads a network with random weights, and compares outputs and gradients with the slow reader."""
    reference = Reference(text)
    image = reference.image().requires_grad_()
    expected = reference(image)
    net = read(folder, text, reference.file())
    assert not net.training
    again = image.detach().clone().requires_grad_()
    found = outputs_of(net, again)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)
    factors = [torch.randn(each.shape, generator=reference.chance) for each in expected]
    loss(expected, factors).backward()
    loss(found, factors).backward()
    same_gradients(net, again, reference, image)
    return net


def loss(outputs: list[Tensor], factors: list[Tensor]) -> Tensor:
    """One number that each output has a share in."""
    return sum(((output * factor).sum() for output, factor in zip(outputs, factors, strict=True)), torch.zeros(()))


def same_gradients(net: nn.Module, again: Tensor, reference: Reference, image: Tensor) -> None:
    """The gradients of the image, and of each of the weights."""
    close(again.grad, image.grad)
    for (index, name), theirs in reference.weights.items():
        if theirs.requires_grad:
            ours = parameter(net, index, name)
            close(None if ours.grad is None else ours.grad.view(theirs.shape), theirs.grad)


def parameter(net: nn.Module, index: int, name: str) -> Tensor:
    """The parameter that a tensor of the file becomes."""
    section = next(child for key, child in net.named_children() if key.endswith(f"_{index}"))
    layers = {type(layer): layer for layer in section.modules()}
    norm = layers.get(nn.BatchNorm2d, layers.get(nn.BatchNorm1d))
    weighted = layers.get(nn.Conv2d, layers.get(nn.Linear))
    return {
        "biases": getattr(norm or weighted, "bias", None),
        "scales": getattr(norm, "weight", None),
        "weights": getattr(weighted, "weight", None),
    }[name]


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    """Gradients are equal; one that is missing is zero."""
    if ours is None or theirs is None:
        present = ours if theirs is None else theirs
        assert present is None or not present.any()
    else:
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize("name", NETWORKS)
def test_same_numbers_as_the_slow_reader(name: str, tmp_path: Path) -> None:
    compare(tmp_path, (DATA / f"{name}.cfg").read_text())


ONE = "[net]\nwidth=7\nheight=5\nchannels=4\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=linear\n"


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(activation: str, tmp_path: Path) -> None:
    compare(tmp_path, f"{ONE}[activation]\nactivation={activation}\n")
    compare(tmp_path, ONE.replace("linear", activation))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_far_from_zero(activation: str, tmp_path: Path) -> None:
    net = read(tmp_path, f"[net]\nwidth=9\nheight=7\nchannels=1\n[activation]\nactivation={activation}\n")
    image = torch.linspace(-7.9, 7.9, 63).view(1, 1, 7, 9)
    torch.testing.assert_close(net(image), ACTIVATIONS[activation](image), rtol=1e-4, atol=1e-5)


def test_the_default_activations_are_those_of_darknet(tmp_path: Path) -> None:
    net = read(tmp_path, ONE.replace("activation=linear\n", "") + "[connected]\noutput=2\n[activation]\n")
    assert isinstance(net.conv_0.activation, nn.Sigmoid)
    assert isinstance(net.connected_1.activation, nn.Sigmoid)
    assert len(net) == 2


@pytest.mark.parametrize("kind", ["maxpool", "local_avgpool"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    "extra",
    ["", "padding=0\n", "padding=1\n", "padding=2\n", "padding=3\n", "stride_x=2\nstride_y=1\n", "stride_x=1\nstride_y=2\n"],
)
def test_pooling_windows(kind: str, size: int, stride: int, extra: str, tmp_path: Path) -> None:
    text = f"{ONE}[{kind}]\nsize={size}\nstride={stride}\n{extra}"
    padding = int(extra[8:]) if extra.startswith("padding") else size - 1
    single = stride != 2 or extra.startswith("stride")
    if padding > 2 * size - 2 or 5 + padding < size:
        return
    if kind == "local_avgpool" and (padding // 2 > size // 2 or (padding % 2 and (single or padding >= size))):
        with pytest.raises(ValueError, match="PyTorch has no such padding"):
            read(tmp_path, text)
        return
    net = compare(tmp_path, text)
    for height, width in [(5, 8), (6, 7), (9, 10), (8, 8)]:
        other = Reference(text.replace("width=7", f"width={width}").replace("height=5", f"height={height}"))
        image = other.image()
        other.weights = {(0, "biases"): net.conv_0.bias, (0, "weights"): net.conv_0.weight}
        torch.testing.assert_close(net(image), other(image)[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("layer", [Reorg, Reorg3d])
def test_reorg_against_a_plain_loop(layer: type[Reorg] | type[Reorg3d], stride: int, reverse: bool) -> None:
    image = torch.randn(2, stride**4, 2 * stride, 3 * stride)
    options = Options({"stride": str(stride), "reverse": str(int(reverse))}, 0, [])
    assert torch.equal(layer(stride, reverse)(image), reorganized(image, options, layer is Reorg3d))


def test_reorg_is_not_pixel_unshuffle() -> None:
    image = torch.randn(1, 8, 4, 4)
    assert not torch.equal(Reorg(2)(image), nn.PixelUnshuffle(2)(image))
    assert not torch.equal(Reorg3d(2)(image), nn.PixelUnshuffle(2)(image))
    order = [4 * channel + place for place in range(4) for channel in range(8)]
    assert torch.equal(Reorg3d(2)(image), nn.PixelUnshuffle(2)(image)[:, order])


# Random networks


class Drawn:
    """A random network as text, with the sizes of its values."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.sizes: list[tuple[int, int, int]] = []
        self.size = (draw(st.integers(1, 4)), draw(st.sampled_from([4, 6, 8])), draw(st.sampled_from([4, 6, 8])))
        self.lines = ["[net]", *(f"{name}={n}" for name, n in zip(("channels", "height", "width"), self.size, strict=True))]

    def add(self) -> None:
        """One more section of those that are possible here."""
        kinds = ["conv", "conv", "maxpool", "upsample", "activation", "norm"]
        c, h, w = self.size
        kinds += ["reorg3d"] * (h % 2 == 0 and w % 2 == 0 and c < 40)
        kinds += ["reorg"] * (h % 2 == 0 and w % 2 == 0 and c % 4 == 0 and c < 40)
        kinds += ["route", "routes", "shortcut"] * bool(self.sizes) + ["head"] * bool(self.sizes)
        getattr(self, self.draw(st.sampled_from(kinds)))()

    def section(self, kind: str, result: tuple[int, int, int], /, **options: object) -> None:
        self.lines += [f"[{kind}]", *(f"{name}={value}" for name, value in options.items())]
        self.size = result
        self.sizes.append(result)

    def conv(self) -> None:
        c, h, w = self.size
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if c % g == 0]))
        filters = groups * self.draw(st.integers(1, 5))
        size, stride = self.draw(st.sampled_from([1, 3])), self.draw(st.sampled_from([1, 1, 2]))
        options = {"activation": self.draw(st.sampled_from(["linear", "leaky", "mish", "logistic", "swish"]))}
        new = (filters, (h - 1) // stride + 1, (w - 1) // stride + 1)
        normalize = self.draw(st.integers(0, 1))
        self.section(
            "convolutional",
            new,
            filters=filters,
            size=size,
            stride=stride,
            pad=1,
            groups=groups,
            batch_normalize=normalize,
            **options,
        )

    def maxpool(self) -> None:
        (c, h, w), size, stride = self.size, self.draw(st.integers(1, 4)), self.draw(st.integers(1, 2))
        self.section("maxpool", (c, (h - 1) // stride + 1, (w - 1) // stride + 1), size=size, stride=stride)

    def upsample(self) -> None:
        c, h, w = self.size
        stride = 2 if h * w < 100 else 1
        self.section("upsample", (c, h * stride, w * stride), stride=stride)

    def activation(self) -> None:
        self.section("activation", self.size, activation=self.draw(st.sampled_from(["relu", "tanh", "elu"])))

    def norm(self) -> None:
        self.section("batchnorm", self.size)

    def reorg3d(self) -> None:
        c, h, w = self.size
        self.section("reorg3d", (4 * c, h // 2, w // 2), stride=2)

    def reorg(self) -> None:
        c, h, w = self.size
        self.section("reorg", (4 * c, h // 2, w // 2), stride=2)

    def route(self) -> None:
        back = self.draw(st.integers(1, len(self.sizes)))
        c, h, w = self.sizes[-back]
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if c % g == 0]))
        group = self.draw(st.integers(0, groups - 1))
        self.section("route", (c // groups, h, w), layers=-back, groups=groups, group_id=group)

    def routes(self) -> None:
        like = [i for i, size in enumerate(self.sizes) if size[1:] == self.size[1:]] or [len(self.sizes) - 1]
        chosen = self.draw(st.lists(st.sampled_from(like), min_size=1, max_size=3))
        channels = sum(self.sizes[i][0] for i in chosen)
        self.section("route", (channels, *self.sizes[chosen[0]][1:]), layers=",".join(map(str, chosen)))

    def shortcut(self) -> None:
        c, h, w = self.size
        like = [i for i, size in enumerate(self.sizes) if size[1] % h == 0 == size[2] % w and size[1] // h == size[2] // w]
        if like:
            chosen = self.draw(st.lists(st.sampled_from(like), min_size=1, max_size=2))
            self.section("shortcut", (c, h, w), **{"from": ",".join(map(str, chosen)), "activation": "leaky"})

    def head(self) -> None:
        """A detector, and the way on from the section before it."""
        before = self.size
        self.section("convolutional", (6, *before[1:]), filters=6, size=1, activation="linear")
        self.section("yolo", (6, *before[1:]), classes=1, num=1)
        self.section("route", before, layers=-3)


@st.composite
def networks(draw: st.DrawFn) -> str:
    """A random network."""
    drawn = Drawn(draw)
    drawn.conv()
    for _ in range(draw(st.integers(1, 9))):
        drawn.add()
    return "\n".join(drawn.lines) + "\n"


@settings(max_examples=40, deadline=None, database=None)
@given(networks())
def test_random_networks(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    compare(tmp_path_factory.mktemp("darknet"), text)


# Weights


def test_weights_there_and_back(tmp_path: Path) -> None:
    text = (DATA / "pyramid.cfg").read_text()
    reference = Reference(text)
    reference(reference.image())
    net = read(tmp_path, text, reference.file())
    assert torch.equal(net.conv_0.norm.bias, reference.weights[0, "biases"])
    assert torch.equal(net.conv_0.norm.weight, reference.weights[0, "scales"])
    assert torch.equal(net.conv_0.norm.running_mean, reference.weights[0, "means"])
    assert torch.equal(net.conv_0.norm.running_var, reference.weights[0, "variances"])
    assert torch.equal(net.conv_0.conv.weight, reference.weights[0, "weights"])
    assert torch.equal(net.conv_7.bias, reference.weights[7, "biases"])
    assert written(net) == reference.file()


def written(net: Sequential) -> bytes:
    """A network of convolutions as a file of weights."""
    numbers: list[Tensor] = []
    for name, layer in net.named_children():
        if name.startswith("conv_") and isinstance(layer, nn.Conv2d):
            numbers += [layer.bias, layer.weight]
        elif name.startswith("conv_"):
            norm = layer.norm
            numbers += [norm.bias, norm.weight, norm.running_mean, norm.running_var, layer.conv.weight]
    flat = torch.cat([each.detach().flatten() for each in numbers])
    return HEADER + struct.pack(f"<{len(flat)}f", *flat.tolist())


@pytest.mark.parametrize(
    "header",
    [struct.pack("<iiii", 0, 1, 0, 7), struct.pack("<iiiq", 0, 2, 0, 7), struct.pack("<iiiq", 1, 0, 0, 7)],
)
def test_headers_of_all_versions(header: bytes, tmp_path: Path) -> None:
    text = ONE.replace("linear", "relu")
    reference = Reference(text)
    image = reference.image()
    expected = reference(image)[0]
    net = read(tmp_path, text, reference.file(header))
    torch.testing.assert_close(net(image), expected)


def test_linear_layers_of_files_older_than_versions_are_transposed(tmp_path: Path) -> None:
    text = "[net]\nwidth=2\nheight=2\nchannels=1\n[connected]\noutput=3\nactivation=linear\n"
    old = struct.pack("<fffi", 0.01, 0.9, 0.0005, 7) + struct.pack("<15f", *range(15))
    net = read(tmp_path, text, old)
    assert net.connected_0.linear.bias.tolist() == [0, 1, 2]
    assert net.connected_0.linear.weight.t().flatten().tolist() == list(range(3, 15))


def test_a_batchnorm_section_with_and_without_biases(tmp_path: Path) -> None:
    text = "[net]\nwidth=2\nheight=2\nchannels=2\n[batchnorm]\n"
    net = read(tmp_path, text, HEADER + struct.pack("<8f", *range(8)))
    assert net.norm_0.bias.tolist() == [0, 1]
    assert net.norm_0.running_var.tolist() == [6, 7]
    net = read(tmp_path, text, HEADER + struct.pack("<6f", *range(6)))
    assert net.norm_0.bias.tolist() == [0, 0]
    assert net.norm_0.weight.tolist() == [0, 1]
    assert net.norm_0.running_var.tolist() == [4, 5]


def test_dontload_and_weights_that_are_no_numbers(tmp_path: Path) -> None:
    text = "[net]\nwidth=2\nheight=2\nchannels=1\n[convolutional]\ndontload=1\n[convolutional]\nactivation=linear\n"
    net = read(tmp_path, text, HEADER + struct.pack("<2f", float("nan"), 5))
    assert net.conv_1.bias.isnan().all()
    assert net.conv_1.weight.item() == 5
    assert net.conv_0.conv.weight.isfinite().all()


def test_a_file_for_the_first_sections(tmp_path: Path) -> None:
    text = (DATA / "pyramid.cfg").read_text()
    reference = Reference(text)
    reference(reference.image())
    whole = reference.file()
    count = sum(each.numel() for (index, _), each in reference.weights.items() if index < 6)
    torch.manual_seed(0)
    net = read(tmp_path, text, whole[: 20 + 4 * count], layers=6)
    assert torch.equal(net.conv_4.conv.weight, reference.weights[4, "weights"])
    assert not torch.equal(net.conv_6.conv.weight, reference.weights[6, "weights"])
    assert net.conv_6.conv.weight.abs().sum() > 0
    assert net.conv_6.norm.running_var.tolist() == [1] * 10
    with pytest.raises(FileError, match=r"expected a whole number from 1 to 15"):
        read(tmp_path, text, whole, layers=99)


def test_new_weights_are_those_of_pytorch(tmp_path: Path) -> None:
    text = (DATA / "classes.cfg").read_text()
    torch.manual_seed(3)
    net = read(tmp_path, text)
    assert net.training
    assert all(each.device.type == "cpu" and each.isfinite().all() for each in net.state_dict().values())
    assert net.conv_0.norm.weight.tolist() == [1] * 8
    assert int(net.norm_2.num_batches_tracked) == 0
    bound = 1 / 27**0.5
    assert 0.9 * bound < net.conv_0.conv.weight.detach().abs().max().item() <= bound


# What a user sees


def test_names_outputs_and_keys(tmp_path: Path) -> None:
    net = read(tmp_path, (DATA / "pyramid.cfg").read_text())
    assert "outputs=('yolo_8', 'yolo_14')," in str(net)
    assert net.yolo_8.anchors == [(9, 11), (20, 17.5)]
    assert (net.yolo_14.anchors, net.yolo_14.classes, net.yolo_14.scale_x_y) == ([(4, 6)], 2, 1.05)
    assert list(net.state_dict())[:3] == ["conv_0.conv.weight", "conv_0.norm.weight", "conv_0.norm.bias"]
    assert [tuple(each.shape) for each in net(torch.zeros(1, 3, 32, 64))] == [(1, 14, 8, 16), (1, 7, 16, 32)]
    assert repr(net.yolo_14) == "YoloOutput([(4, 6)], classes=2, scale_x_y=1.05)"


def test_facts_of_the_other_detectors(tmp_path: Path) -> None:
    region = read(tmp_path, (DATA / "passthrough.cfg").read_text()).region_10
    assert (region.anchors, region.classes, region.coords, region.softmax) == ([(1.08, 1.19), (3.42, 4.41)], 2, 4, True)
    detection = read(tmp_path, (DATA / "first.cfg").read_text()).detection_5
    assert (detection.side, detection.boxes, detection.classes, detection.sqrt) == (2, 2, 1, True)
    text = ONE.replace("filters=4", "filters=10") + "[Gaussian_yolo]\nclasses=1\nnum=1\nanchors=3,4\n"
    assert read(tmp_path, text).yolo_1.gaussian


def test_what_is_behind_the_last_detector_is_an_output_too(tmp_path: Path) -> None:
    text = ONE.replace("filters=4", "filters=6") + "[yolo]\nclasses=1\n[route]\nlayers=0\n"
    assert "outputs=('yolo_1', 'conv_0')," in str(read(tmp_path, text))


def test_a_vector_that_is_an_image_twice(tmp_path: Path) -> None:
    head = "[net]\ninputs=6\n[connected]\noutput=4\nactivation=linear\n"
    text = (
        head
        + "[convolutional]\nfilters=2\nactivation=relu\n[route]\nlayers=0\n[convolutional]\nfilters=2\n[route]\nlayers=0,-1,1\n"
    )
    net = read(tmp_path, text)
    assert net(torch.zeros(3, 6)).shape == (3, 8, 1, 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_in_plain_pytorch(name: str, tmp_path: Path) -> None:
    reference = Reference((DATA / f"{name}.cfg").read_text())
    image = reference.image()
    reference(image)
    net = read(tmp_path, (DATA / f"{name}.cfg").read_text(), reference.file())
    space: dict[str, Any] = {}
    exec(str(net.source("Plain")), space)
    plain = space["Plain"]().eval()
    plain.load_state_dict(net.state_dict())
    for ours, theirs in zip(outputs_of(plain, image), outputs_of(net, image), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_as_text_and_in_one_file(name: str, tmp_path: Path) -> None:
    reference = Reference((DATA / f"{name}.cfg").read_text())
    image = reference.image()
    reference(image)
    net = read(tmp_path, (DATA / f"{name}.cfg").read_text(), reference.file())
    again = Sequential.from_yaml(net.to_yaml())
    assert str(again) == str(net)
    net.to_file(tmp_path / "net.safetensors")
    same = Sequential.from_file(tmp_path / "net.safetensors")
    for ours, theirs in zip(outputs_of(same, image), outputs_of(net, image), strict=True):
        assert torch.equal(ours, theirs)


def test_a_text_in_the_place_of_a_file() -> None:
    text = (DATA / "residual.cfg").read_text()
    assert str(from_darknet(text)) == str(from_darknet(DATA / "residual.cfg"))
    with pytest.raises(FileError, match=r"the text cannot be read as a network"):
        from_darknet("[nett]\n")


def test_sizes_are_known_without_computing(tmp_path: Path) -> None:
    net = read(tmp_path, (DATA / "pyramid.cfg").read_text())
    report = net.check(("N", 3, 32, 64))
    assert report["yolo_8"] == ("N", 14, 8, 16)
    assert report["yolo_14"] == ("N", 7, 16, 32)


def test_only_the_first_of_two_options_counts_and_remarks_are_left_out(tmp_path: Path) -> None:
    head = "\ufeff[ net ] # the input\r\nwidth=2\nheight=2\r\nchannels = 1\n; a remark: \u00e9\n"
    net = read(tmp_path, head + "[conv]#x\nfil ters = 3 #4\nfilters=9\nnothing_of_ours=1\nactivation=linear\n")
    assert repr(net.conv_0).startswith("Conv2d(1, 3,")
    (tmp_path / "bytes.cfg").write_bytes(b"[net]\nwidth=1\nheight=1\nchannels=1\n# caf\xe9 \xff\n[conv]\n")
    assert len(from_darknet(tmp_path / "bytes.cfg")) == 1
