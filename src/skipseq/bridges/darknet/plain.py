"""Sections without weights that have one input: pooling, other orders of pixels, activations."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from skipseq.declare.vocabulary import mul

from .activations import activation_of
from .builder import Builder, Value
from .layers import Reorg, Reorg3d
from .sections import LONGEST, Section
from .weighted import resized, simplest, strides_of

__all__ = ["activation", "avgpool", "dropout", "empty", "local_avgpool", "logistic", "maxpool", "reorg", "softmax", "upsample"]


def window(builder: Builder, section: Section) -> tuple[Value, int, tuple[int, int], int]:
    """The result of a pooling window, its size, its strides, and the padding of both ends together."""
    image, strides = builder.image(section), strides_of(section)
    size = section.whole("size", section.whole("stride", 1, 1), 1, LONGEST)
    padding = section.whole("padding", size - 1)
    if padding - padding // 2 >= size:
        expected, advice = f"at most {2 * size - 2}", "Darknet's own is one less than size=."
        raise section.fault("A window lies in the padding alone.", expected, str(padding), advice, "padding")
    height = resized(section, image.height, size, padding, strides[0])
    width = resized(section, image.width, size, padding, strides[1])
    builder.running = image
    return Value("", image.channels, height, width), size, strides, padding


def maxpool(builder: Builder, section: Section) -> None:
    """The largest value of each window; the padding, if odd, is longer at the end.

    The end of an image repeated is a padding that no maximum sees. With a stride of 2, so is a last window that is cut.
    """
    value, size, strides, padding = window(builder, section)
    before = padding // 2
    if padding % 2 == 0 and before <= size // 2:
        builder.put(section, nn.MaxPool2d(size, simplest(strides), before), value)
    elif strides == (2, 2) and before <= size // 2 and padding < size:
        builder.put(section, nn.MaxPool2d(size, 2, before, ceil_mode=True), value)
    else:
        ends = (before, padding - before)
        layers = {"pad": nn.ReplicationPad2d(ends + ends), "pool": nn.MaxPool2d(size, simplest(strides))}
        builder.put_layers(section, value, **layers)


def local_avgpool(builder: Builder, section: Section) -> None:
    """The mean of each window, over the pixels that are there."""
    value, size, strides, padding = window(builder, section)
    before, odd = padding // 2, padding % 2 == 1
    if before > size // 2 or (odd and (strides != (2, 2) or padding >= size)):
        advice = "Say an even padding=, or an odd size=."
        raise section.fault(
            "PyTorch has no such padding for means.", "the same padding at both ends", str(padding), advice, "size"
        )
    pool = nn.AvgPool2d(size, simplest(strides), before, ceil_mode=odd, count_include_pad=False)
    builder.put(section, pool, value)


def avgpool(builder: Builder, section: Section) -> None:
    """The mean of each channel."""
    image = builder.image(section)
    builder.running = image
    builder.put(section, nn.AdaptiveAvgPool2d(1), Value("", image.channels, 1, 1))


def upsample(builder: Builder, section: Section) -> None:
    """Each pixel several times."""
    image = builder.image(section)
    stride, scale = section.whole("stride", 2, 1), section.number("scale", 1.0)
    builder.running = image
    value = Value("", image.channels, image.height * stride, image.width * stride)
    builder.put(section, nn.Upsample(scale_factor=stride), value, part="" if scale == 1 else "scaled")
    if scale != 1:
        builder.put(section, mul(), value, (builder.running.name, scale))


def reorg(builder: Builder, section: Section) -> None:
    """Pixels of squares as channels, in the order of YOLOv2, or in that of ``[reorg3d]``."""
    image, stride, reverse = builder.image(section), section.whole("stride", 1, 1, LONGEST), section.flag("reverse")
    squared, three = stride * stride, section.kind == "reorg3d"
    divided = squared if reverse or not three else 1
    if image.channels % divided or (not reverse and (image.height % stride or image.width % stride)):
        expected = f"channels that {divided} divides" + ("" if reverse else f", and a height and width that {stride} divides")
        raise section.fault(
            "The image does not fit the stride.", expected, str(image), "Correct stride=, or filters= before it."
        )
    if reverse and three and image.channels % (squared * squared):
        expected, advice = f"channels that {squared * squared} divides", "Correct stride=, or filters= before it."
        raise section.fault("The image does not fit the stride.", expected, str(image), advice)
    sizes = (image.channels // squared, image.height * stride, image.width * stride)
    value = Value("", *(sizes if reverse else (image.channels * squared, image.height // stride, image.width // stride)))
    builder.running = image
    builder.put(section, Reorg3d(stride, reverse) if three else Reorg(stride, reverse), value)


def activation(builder: Builder, section: Section) -> None:
    """An activation of its own."""
    builder.put_layers(section, builder.current(section), activation=activation_of(section, "linear"))


def logistic(builder: Builder, section: Section) -> None:
    """A sigmoid."""
    builder.put(section, nn.Sigmoid(), builder.current(section))


def empty(builder: Builder, section: Section) -> None:
    """The value passes as it is."""
    builder.current(section)


def dropout(builder: Builder, section: Section) -> None:
    """A dropout, whose probability has to be said."""
    given, probability = builder.current(section), section.number("probability", -1.0)
    if not 0 <= probability < 1:
        advice = "Say it: without it, the two Darknets take 0.5 and 0.2."
        raise section.fault(
            "The probability is missing or wrong.",
            "probability= from 0 to below 1",
            section.text("probability") or "nothing",
            advice,
            "probability",
        )
    builder.put(section, nn.Dropout(probability), given)


def softmax(builder: Builder, section: Section) -> None:
    """A softmax over all numbers, or over each of several groups of them; its result is a vector."""
    given, groups = builder.current(section), section.whole("groups", 1, 1)
    temperature = section.number("temperature", 1.0)
    refuse_softmax(section, given, groups, temperature)
    value = replace(given, channels=given.count, height=0, width=0, flat=True)
    if temperature != 1:
        builder.put(section, mul(), given, (given.name, 1 / temperature), part="scaled")
    flatten = None if given.flat else nn.Flatten()
    layers: dict[str, nn.Module | None] = {"flatten": flatten, "softmax": nn.Softmax(1)}
    if groups > 1:
        layers = {"flatten": flatten, "split": nn.Unflatten(1, (groups, given.count // groups))}
        layers |= {"softmax": nn.Softmax(2), "join": nn.Flatten()}
    builder.put_layers(section, value, **layers)


def refuse_softmax(section: Section, given: Value, groups: int, temperature: float) -> None:
    """Refuses what the two machines of Darknet do not agree about, and what needs another file."""
    if "tree" in section.options:
        advice = "Write a softmax for each group of classes in its place."
        raise section.fault("The tree of classes is in another file.", "no tree=", section.text("tree"), advice, "tree")
    if section.number("spatial", 0.0) and given.height * given.width != 1:
        advice = "Darknet obeys it on a GPU only. Remove the option, or write nn.Softmax(1) in its place."
        raise section.fault("spatial= is not supported.", "no spatial=, or 0", section.text("spatial"), advice, "spatial")
    if given.count % groups:
        expected = f"a number that divides {given.count}"
        raise section.fault("The groups do not fit.", expected, str(groups), "Correct groups=.", "groups")
    if temperature <= 0:
        advice = "Say 1, or leave it out."
        raise section.fault("The temperature is wrong.", "a number above 0", str(temperature), advice, "temperature")
