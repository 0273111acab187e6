"""Sections that read other sections: ``[route]``, ``[shortcut]``, ``[scale_channels]``, ``[sam]``."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from skipseq.declare.vocabulary import add, cat, mul, pick

from .activations import activation_of
from .builder import Builder, Value
from .sections import Section

__all__ = ["route", "sam", "scale_channels", "shortcut"]


def route(builder: Builder, section: Section) -> None:
    """One earlier value, or the channels of several behind each other, or one group of the channels of each."""
    given = builder.referred(section, "layers")
    if len({each.flat for each in given}) > 1 and all(each.height for each in given):
        given = [builder.unflattened(each) for each in given]
    first, sizes = given[0], {(each.flat, each.height, each.width) for each in given}
    if len(sizes) > 1:
        received, advice = " and ".join(str(each) for each in given[:8]), "Bring them to one size before, or leave one out."
        raise section.fault("The layers have different sizes.", f"the size of the first, {first}", received, advice, "layers")
    given = [grouped(builder, section, each, place, len(given)) for place, each in enumerate(given)]
    if len(given) == 1:
        builder.running = given[0]
        return
    channels = sum(each.channels for each in given)
    builder.put(section, cat(), replace(first, channels=channels), [each.name for each in given])


def grouped(builder: Builder, section: Section, value: Value, place: int, count: int) -> Value:
    """The group of channels that is asked for."""
    groups = section.whole("groups", 1, 1)
    group = section.whole("group_id", 0, 0)
    if groups == 1 and group == 0:
        return value
    if group >= groups or value.channels % groups:
        expected = f"a number that divides {value.channels} channels, and group_id= below it"
        received = f"groups={groups} and group_id={group}"
        raise section.fault("The groups do not fit.", expected, received, "Correct groups= or group_id=.", "groups")
    width = value.channels // groups
    entry = pick[:, group * width : (group + 1) * width]
    builder.put(section, entry, replace(value, channels=width), [value.name], "" if count == 1 else f"group_{place}")
    return builder.running


def shortcut(builder: Builder, section: Section) -> None:
    """The sum of the running value and earlier ones: where both have channels, at every second pixel of a larger one."""
    refuse_weighted(section)
    given = builder.current(section)
    others = builder.referred(section, "from")
    fitted = [fit(builder, section, other, given, place) for place, other in enumerate(others)]
    layer = activation_of(section, "linear")
    builder.put(section, add(), given, [given.name, *fitted], "" if layer is None else "sum")
    builder.put_layers(section, given, activation=layer)


def stride_between(section: Section, other: Value, given: Value) -> int:
    """How many times as high and wide an earlier value is as the running one."""
    if given.flat and other.flat:
        return 1
    if given.height and other.height and not given.flat and not other.flat:
        stride = other.height // given.height
        if stride and (other.height, other.width) == (stride * given.height, stride * given.width):
            return stride
    advice = "Darknet adds a layer of the same size, or one that is a whole number of times larger."
    raise section.fault("The layers have different sizes.", f"the size of {given}", str(other), advice, "from")


def refuse_weighted(section: Section) -> None:
    """Refuses sums with factors."""
    kind = section.text("weights_type", "none")
    if kind != "none":
        advice = "Multiply with a parameter in a layer of your own before the sum."
        raise section.fault("Shortcuts with weights are not supported.", "none", kind, advice, "weights_type")
    for option in ("alpha", "beta"):
        if section.number(option, 1.0) != 1:
            advice = "Only one of the two Darknets reads it. Multiply in words: mul(0.5)."
            raise section.fault(f"{option}= is not supported.", "1", section.text(option), advice, option)


def fit(builder: Builder, section: Section, other: Value, given: Value, place: int) -> str:
    """The name of an earlier value with the size of the running one: its pixels and channels cut, zeros behind its channels."""
    stride = stride_between(section, other, given)
    if stride > 1 or other.channels > given.channels:
        channels = min(other.channels, given.channels)
        kept = slice(channels) if other.channels > channels else slice(None)
        entry = pick[:, kept, ::stride, ::stride] if stride > 1 else pick[:, kept]
        builder.put(section, entry, replace(given, channels=channels), [other.name], f"picked_{place}")
        other = builder.running
    if other.channels < given.channels:
        missing = given.channels - other.channels
        pad = nn.ConstantPad1d((0, missing), 0.0) if given.flat else nn.ConstantPad3d((0, 0, 0, 0, 0, missing), 0.0)
        builder.put(section, pad, given, [other.name], f"padded_{place}")
        other = builder.running
    return other.name


def scale_channels(builder: Builder, section: Section) -> None:
    """An earlier image, each channel, or with ``scale_wh=1`` each pixel, times a factor of its own."""
    factors, other = builder.image(section), one_image(builder, section)
    pixels = section.flag("scale_wh")
    fits = (1, other.height, other.width) if pixels else (other.channels, 1, 1)
    if (factors.channels, factors.height, factors.width) != fits:
        expected = " x ".join(map(str, fits))
        advice = "Let [avgpool] stand before the factors, and a convolution with as many filters as the image has channels."
        raise section.fault("The factors do not fit the image.", expected, str(factors), advice, "from")
    product(builder, section, factors, other, other.count != factors.count)


def sam(builder: Builder, section: Section) -> None:
    """An earlier image times the running one."""
    factors, other = builder.image(section), one_image(builder, section)
    if (factors.channels, factors.height, factors.width) != (other.channels, other.height, other.width):
        advice = "Correct from=, or filters= before it."
        raise section.fault("The two layers have different sizes.", str(other), str(factors), advice, "from")
    product(builder, section, factors, other, False)


def one_image(builder: Builder, section: Section) -> Value:
    """The one image that ``from=`` refers to."""
    others = builder.referred(section, "from")
    if len(others) != 1 or not others[0].height:
        received = f"{len(others)} layers" if len(others) != 1 else str(others[0])
        raise section.fault("from= does not refer to one image.", "one image", received, "Name one layer.", "from")
    return builder.unflattened(others[0])


def product(builder: Builder, section: Section, factors: Value, other: Value, broadcast: bool) -> None:
    """The product, and the activation behind it."""
    layer = activation_of(section, "linear")
    if isinstance(layer, nn.SiLU | nn.Mish):
        received, advice = section.text("activation"), "Let an [activation] section follow."
        raise section.fault("Darknet has no such activation here.", "another activation", received, advice, "activation")
    word = mul(broadcast=True) if broadcast else mul()
    builder.put(section, word, other, [factors.name, other.name], "" if layer is None else "product")
    builder.put_layers(section, other, activation=layer)
