"""Sections with weights: ``[convolutional]``, ``[connected]``, ``[batchnorm]``."""

from __future__ import annotations

from torch import nn

from .activations import activation_of
from .builder import Builder, Value
from .sections import LONGEST, Section

__all__ = ["batchnorm", "connected", "convolutional"]


def convolutional(builder: Builder, section: Section) -> None:
    """A convolution, its normalization and its activation."""
    image = builder.image(section)
    if "share_index" in section.options:
        advice = "Give the section weights of its own, or call the layer again in words: call('conv_3')."
        received = section.text("share_index")
        raise section.fault("share_index= is not supported.", "weights of its own", received, advice, "share_index")
    filters, size = section.whole("filters", 1, 1), section.whole("size", 1, 1, LONGEST)
    groups = grouped(section, image.channels, filters)
    padding = size // 2 if section.flag("pad") else section.whole("padding", 0)
    dilation = section.whole("dilation", 1, 1, LONGEST) if size > 1 else 1
    check_dilation(section, size, padding, dilation)
    strides = strides_of(section)
    height = resized(section, image.height, size, 2 * padding, strides[0])
    width = resized(section, image.width, size, 2 * padding, strides[1])
    normalized = section.flag("batch_normalize") or section.flag("cbn")
    builder.room(section, filters * (image.channels // groups) * size * size + filters * (2 if normalized else 1))
    conv = nn.Conv2d(
        image.channels, filters, size, simplest(strides), padding * dilation, dilation, groups, bias=not normalized
    )
    norm = nn.BatchNorm2d(filters) if normalized else None
    store_normalized(builder, section, conv, norm)
    if norm is not None:
        builder.stores(section, conv, weights="weight")
    builder.running = image
    value = Value("", filters, height, width)
    builder.put_layers(section, value, conv=conv, norm=norm, activation=activation_of(section, "logistic"))


def store_normalized(builder: Builder, section: Section, layer: nn.Module, norm: nn.Module | None) -> None:
    """The biases, and what belongs to the normalization, or the weights if there is none."""
    if norm is None:
        builder.stores(section, layer, biases="bias", weights="weight")
    else:
        builder.stores(section, norm, biases="bias", scales="weight", means="running_mean", variances="running_var")


def grouped(section: Section, channels: int, filters: int) -> int:
    """The number of groups, which divides the channels on both sides."""
    groups = section.whole("groups", 1, 1)
    if channels % groups or filters % groups:
        expected = f"a number that divides {channels} channels and {filters} filters"
        raise section.fault("The groups do not fit.", expected, str(groups), "Correct groups= or filters=.", "groups")
    return groups


def check_dilation(section: Section, size: int, padding: int, dilation: int) -> None:
    """Refuses a dilated kernel whose result is not as large as Darknet takes it to be."""
    if dilation > 1 and 2 * padding != size - 1:
        advice = "Write pad=1. With other paddings Darknet reads beyond the ends of the image."
        raise section.fault(
            "The padding of a dilated kernel is wrong.", f"{(size - 1) / 2:g}", str(padding), advice, "dilation"
        )


def strides_of(section: Section) -> tuple[int, int]:
    """The strides, vertical and horizontal."""
    stride = section.whole("stride", 1, 1)
    vertical, horizontal = section.whole("stride_y", stride, -1), section.whole("stride_x", stride, -1)
    return max(vertical, 0) or stride, max(horizontal, 0) or stride


def simplest(pair: tuple[int, int]) -> int | tuple[int, int]:
    """One number where both are the same."""
    return pair[0] if pair[0] == pair[1] else pair


def resized(section: Section, extent: int, size: int, padding: int, stride: int) -> int:
    """How long a side is behind a window; ``padding`` counts both ends."""
    if extent + padding < size:
        advice = "Is size= wrong, or is the image too small at this depth?"
        raise section.fault("The window is larger than the image.", f"at most {extent + padding}", str(size), advice, "size")
    return (extent + padding - size) // stride + 1


def connected(builder: Builder, section: Section) -> None:
    """A linear layer over all numbers of its input, its normalization and its activation."""
    given, outputs = builder.current(section), section.whole("output", 1, 1)
    normalized = section.flag("batch_normalize")
    builder.room(section, given.count * outputs + outputs * (2 if normalized else 1))
    linear = nn.Linear(given.count, outputs, bias=not normalized)
    norm = nn.BatchNorm1d(outputs) if normalized else None
    if norm is None:
        store_normalized(builder, section, linear, None)
    else:
        builder.stores(section, norm, biases="bias")
        builder.stores(section, linear, weights="weight")
        builder.stores(section, norm, scales="weight", means="running_mean", variances="running_var")
    layers = {"linear": linear, "norm": norm, "activation": activation_of(section, "logistic")}
    flatten = None if given.flat else nn.Flatten()
    builder.put_layers(section, Value("", outputs, 1, 1, flat=True), flatten=flatten, **layers)


def batchnorm(builder: Builder, section: Section) -> None:
    """A normalization of its own; only one of the two Darknets stores its biases."""
    given = builder.current(section)
    builder.room(section, 2 * given.channels)
    norm = nn.BatchNorm1d(given.channels) if given.flat else nn.BatchNorm2d(given.channels)
    names = {"scales": "weight", "means": "running_mean", "variances": "running_var"}
    builder.stores(section, norm, optional="biases", biases="bias", **names)
    builder.put(section, norm, given)
