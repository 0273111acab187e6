"""Sections at the ends of a network: detectors, whose maps are its outputs, and the loss."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from skipseq.bridges.darknet.layers import DetectionOutput, RegionOutput, YoloOutput

from .builder import Builder, Value
from .sections import Section

__all__ = ["cost", "detection", "region", "yolo"]

#: The numbers of a box in front of its classes: a center, an extent, whether it is there; and four uncertainties.
BOX, GAUSSIAN_BOX = 5, 9


def yolo(builder: Builder, section: Section) -> None:
    """A map of the third generation."""
    image, classes = builder.image(section), section.whole("classes", 20, 0)
    total = section.whole("num", 1, 1)
    mask = section.whole_numbers("mask")
    gaussian = section.kind == "Gaussian_yolo"
    count = len(mask) if "mask" in section.options else total
    check_channels(section, image, count, GAUSSIAN_BOX if gaussian else BOX, classes)
    anchors = masked(section, mask, total)
    new_coords = not gaussian and section.flag("new_coords")
    stretch = section.number("scale_x_y", 1.0)
    layer = YoloOutput(anchors, classes=classes, scale_x_y=stretch, new_coords=new_coords, gaussian=gaussian)
    end(builder, section, layer, image)


def region(builder: Builder, section: Section) -> None:
    """A map of the second generation."""
    image, classes = builder.image(section), section.whole("classes", 20, 0)
    total, coords = section.whole("num", 1, 1), section.whole("coords", 4, 0)
    check_channels(section, image, total, coords + 1, classes)
    softmax, tree = section.flag("softmax"), section.text("tree")
    layer = RegionOutput(masked(section, [], total), classes=classes, coords=coords, softmax=softmax, tree=tree)
    end(builder, section, layer, image)


def check_channels(section: Section, image: Value, count: int, box: int, classes: int) -> None:
    """Refuses a map with other channels than its boxes need."""
    needed = count * (box + classes)
    if image.channels != needed:
        expected = f"{count} x ({box} + {classes}) = {needed} channels"
        advice = f"Say filters={needed} in the [convolutional] section before it, or correct classes=, mask= or num=."
        raise section.fault("The channels do not fit the boxes.", expected, str(image), advice)


def masked(section: Section, mask: list[int], total: int) -> list[tuple[float, float]]:
    """The anchors that the mask picks; without a mask, all; without anchors, none."""
    numbers = [int(number) if number.is_integer() else number for number in section.numbers("anchors")]
    if not numbers:
        return []
    wanted = mask or range(total)
    if len(numbers) % 2 or len(numbers) < 2 * total:
        expected, received = f"{2 * total} numbers, two for each of num={total}", str(len(numbers))
        raise section.fault("The anchors are not complete.", expected, received, "Correct anchors= or num=.", "anchors")
    for number in wanted:
        if not 0 <= number < total:
            expected = f"numbers from 0 to {total - 1}"
            raise section.fault("mask= picks no anchor.", expected, str(number), "Correct mask= or num=.", "mask")
    return [(numbers[2 * number], numbers[2 * number + 1]) for number in wanted]


def detection(builder: Builder, section: Section) -> None:
    """The result of the first generation."""
    given, side = builder.current(section), section.whole("side", 7, 1)
    boxes, classes = section.whole("num", 1, 1), section.whole("classes", 1, 0)
    coords = section.whole("coords", 1, 0)
    needed = side * side * (classes + boxes * (1 + coords))
    if given.count != needed:
        expected = f"{side} x {side} x ({classes} + {boxes} x (1 + {coords})) = {needed} numbers"
        advice = f"Say output={needed} in the [connected] section before it, or correct side=, num= or classes=."
        raise section.fault("The numbers do not fit the boxes.", expected, str(given.count), advice)
    sqrt, softmax = section.flag("sqrt"), section.flag("softmax")
    layer = DetectionOutput(side=side, boxes=boxes, classes=classes, coords=coords, sqrt=sqrt, softmax=softmax)
    end(builder, section, layer, given)


def end(builder: Builder, section: Section, layer: nn.Module, value: Value) -> None:
    """An output of the network, from which no section can go on."""
    builder.running = value
    builder.put(section, layer, value)
    builder.heads.append(builder.running)
    builder.running = replace(builder.running, closed="which gives boxes")


def cost(builder: Builder, section: Section) -> None:
    """The loss, of which nothing remains: the result of the network is what it compares."""
    builder.running = replace(builder.current(section), closed="which gives a loss")
