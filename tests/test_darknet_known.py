"""The well-known networks of Darknet, written by a small generator: their files of weights have the known lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skipseq import Sequential, from_darknet
from skipseq.bridges.darknet.read import built
from skipseq.bridges.darknet.sections import read_sections
from skipseq.errors import FileError

from .darknet_reference import HEADER


class Text:
    """Sections, one after the other."""

    def __init__(self, size: int) -> None:
        self.lines = ["[net]", f"width={size}", f"height={size}", "channels=3"]
        self.count = 0

    def add(self, kind: str, **options: object) -> int:
        """A section; its number."""
        self.lines += [f"[{kind}]", *(f"{name}={value}" for name, value in options.items())]
        self.count += 1
        return self.count - 1

    def conv(self, filters: int, size: int, stride: int = 1, activation: str = "leaky") -> int:
        options = {"filters": filters, "size": size, "stride": stride, "pad": 1, "activation": activation}
        return self.add("convolutional", batch_normalize=1, **options)

    def plain(self, filters: int) -> int:
        return self.add("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear")

    def route(self, *layers: int) -> int:
        return self.add("route", layers=",".join(map(str, layers)))

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def backbone(text: Text) -> None:
    """The 52 convolutions of Darknet-53 in front of its classes."""
    text.conv(32, 3)
    for filters, blocks in [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)]:
        text.conv(filters, 3, 2)
        for _ in range(blocks):
            text.conv(filters // 2, 1)
            text.conv(filters, 3)
            text.add("shortcut", **{"from": -3, "activation": "linear"})


def darknet53() -> str:
    text = Text(256)
    backbone(text)
    text.add("avgpool")
    text.plain(1000)
    text.add("softmax", groups=1)
    return str(text)


ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"


def yolov3(wide: bool = False) -> str:
    """The detector on three scales; wide, with pooling windows of three sizes side by side."""
    text = Text(416)
    backbone(text)
    for scale, (filters, skip) in enumerate([(512, 61), (256, 36), (128, 0)]):
        for turn in range(3):
            text.conv(filters, 1)
            if wide and scale == 0 and turn == 1:
                pools(text)
                text.conv(filters, 1)
            text.conv(2 * filters, 3)
        text.plain(255)
        text.add("yolo", mask=",".join(str(6 - 3 * scale + i) for i in range(3)), anchors=ANCHORS, classes=80, num=9)
        if skip:
            text.route(-4)
            text.conv(filters // 2, 1)
            text.add("upsample", stride=2)
            text.route(-1, skip)
    return str(text)


def pools(text: Text) -> None:
    """Windows of 5, 9 and 13 pixels over one value, and all joined with it."""
    for back, size in [(None, 5), (-2, 9), (-4, 13)]:
        if back:
            text.route(back)
        text.add("maxpool", stride=1, size=size)
    text.route(-1, -3, -5, -6)


def yolov3_tiny() -> str:
    text = Text(416)
    for turn, filters in enumerate([16, 32, 64, 128, 256, 512]):
        text.conv(filters, 3)
        text.add("maxpool", size=2, stride=1 if turn == 5 else 2)
    text.conv(1024, 3)
    text.conv(256, 1)
    text.conv(512, 3)
    text.plain(255)
    text.add("yolo", mask="3,4,5", anchors="10,14, 23,27, 37,58, 81,82, 135,169, 344,319", classes=80, num=6)
    text.route(-4)
    text.conv(128, 1)
    text.add("upsample", stride=2)
    text.route(-1, 8)
    text.conv(256, 3)
    text.plain(255)
    text.add("yolo", mask="0,1,2", anchors="10,14, 23,27, 37,58, 81,82, 135,169, 344,319", classes=80, num=6)
    return str(text)


def yolov2_tiny() -> str:
    text = Text(416)
    for turn, filters in enumerate([16, 32, 64, 128, 256, 512]):
        text.conv(filters, 3)
        text.add("maxpool", size=2, stride=1 if turn == 5 else 2)
    text.conv(1024, 3)
    text.conv(512, 3)
    text.plain(425)
    anchors = "0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828"
    text.add("region", anchors=anchors, classes=80, coords=4, num=5, softmax=1)
    return str(text)


def resnet50() -> str:
    """Shortcuts between layers of different sizes: every second pixel is added, to the first channels."""
    text = Text(256)
    text.conv(64, 7, 2)
    text.add("maxpool", size=2, stride=2)
    for stage, (filters, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            text.conv(filters, 1)
            text.conv(filters, 3, 2 if stage and not block else 1)
            text.conv(4 * filters, 1, activation="linear")
            text.add("shortcut", **{"from": -4, "activation": "leaky"})
    text.add("avgpool")
    text.plain(1000)
    text.add("softmax", groups=1)
    return str(text)


#: The lengths of the public files in bytes; the header has 20.
LENGTHS = {
    "yolov3": (yolov3, 107, 248_007_048),
    "yolov3-spp": (lambda: yolov3(wide=True), 114, 252_209_544),
    "yolov3-tiny": (yolov3_tiny, 24, 35_434_956),
    "yolov2-tiny": (yolov2_tiny, 16, 44_948_600),
}


def length(text: str, layers: int | None = None) -> tuple[int, int]:
    """How many sections a network has, and how long its file of weights is."""
    builder = built(read_sections(text), 8 << 30)
    covered = [each.count for each in builder.stored if layers is None or each.section.index < layers]
    return len(builder.values), len(HEADER) + 4 * sum(covered)


@pytest.mark.parametrize("name", LENGTHS)
def test_the_public_files_have_these_lengths(name: str) -> None:
    write, sections, size = LENGTHS[name]
    assert length(write()) == (sections, size)


def test_the_backbone_that_comes_alone() -> None:
    """``darknet53.conv.74`` has 162,482,580 bytes: sections 0 to 74 of yolov3, and of darknet53."""
    assert length(yolov3(), 75)[1] == length(darknet53(), 75)[1] == 162_482_580
    assert length(darknet53()) == (78, 162_482_580 + 4 * 1025 * 1000)


def test_yolov3_gives_three_maps() -> None:
    net = from_darknet(yolov3())
    report = net.check(("N", 3, 416, 416))
    assert [report[f"yolo_{i}"] for i in (82, 94, 106)] == [("N", 255, n, n) for n in (13, 26, 52)]
    assert net.yolo_82.anchors == [(116, 90), (156, 198), (373, 326)]
    assert sum(each.numel() for each in net.parameters()) == 62_001_757 - 2 * running(net)


def running(net: Sequential) -> int:
    """How many channels are normalized: each has a mean and a variance, which are no parameters."""
    return sum(each.numel() for name, each in net.named_buffers() if name.endswith("running_mean"))


def test_sizes_behind_shortcuts_of_unlike_layers() -> None:
    net = from_darknet(resnet50())
    shapes = net.check(("N", 3, 256, 256))
    assert shapes["avgpool_66"] == ("N", 2048, 1, 1)
    assert shapes["softmax_68"] == ("N", 1000)


def test_yolov3_tiny_from_a_file_of_the_right_length(tmp_path: Path) -> None:
    path = tmp_path / "tiny.weights"
    path.write_bytes(HEADER + bytes(35_434_936))
    net = from_darknet(yolov3_tiny(), path)
    assert not net.conv_22.bias.any()
    assert not net.training
    with torch.no_grad():
        outputs = net(torch.ones(1, 3, 64, 64))
    assert [tuple(each.shape) for each in outputs] == [(1, 255, 2, 2), (1, 255, 4, 4)]


def test_a_file_that_ends_behind_a_section_says_so(tmp_path: Path) -> None:
    text = yolov3_tiny()
    path = tmp_path / "tiny.conv.15"
    path.write_bytes(HEADER + bytes(length(text, 15)[1] - 20))
    with pytest.raises(FileError, match=r"It ends behind section 14: say layers=15 to read these, and leave the others new"):
        from_darknet(text, path)
    assert not from_darknet(text, path, layers=15).conv_14.conv.weight.any()
