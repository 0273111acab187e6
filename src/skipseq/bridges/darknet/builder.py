"""What the sections of a network become: operations, the values between them, and the weights in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from skipseq.bridges.graph import Operation
from skipseq.run import Sequential

from .sections import LARGEST, Section

__all__ = ["Builder", "Stored", "Value", "name_of"]

#: What the result of a section is called, followed by the number of the section.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "convolutional": "conv",
        "batchnorm": "norm",
        "local_avgpool": "avgpool",
        "reorg3d": "reorg",
        "scale_channels": "scale",
        "Gaussian_yolo": "yolo",
    }
)

#: The name of the image that goes in; a sequence of one input calls it ``"input"``.
INPUT = "image"

#: The most values that sections refer to, all together.
MOST_REFERENCES = 4000


@dataclass(frozen=True, slots=True)
class Value:
    """A value between sections, for one image: what it is called, and how large it is.

    Args:
        name: the name of the operation that gives it.
        channels: its channels, or the length of a vector.
        height: in pixels; 0 where Darknet sees no image.
        width: in pixels.
        flat: whether the tensor is ``(batch, channels)``.
        closed: why no other section can read it.
    """

    name: str
    channels: int
    height: int
    width: int
    flat: bool = False
    closed: str = ""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return self.channels * max(self.height, 1) * max(self.width, 1)

    def __str__(self) -> str:
        return f"{self.channels} numbers" if self.flat else f"{self.channels} x {self.height} x {self.width}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the file of weights.

    Args:
        section: the section that it belongs to.
        module: the layer that has it.
        attribute: its name there.
        what: its name for people.
        count: how many numbers it has.
        optional: whether only one of the two Darknets stores it.
    """

    section: Section
    module: nn.Module
    attribute: str
    what: str
    count: int
    optional: bool = False


class Builder:
    """The network as far as its sections have been read.

    Args:
        net: the section ``[net]``.
        largest: the most bytes that the parameters may take.
    """

    def __init__(self, net: Section, largest: int) -> None:
        self.largest = largest
        self.operations: list[Operation] = []
        self.stored: list[Stored] = []
        self.heads: list[Value] = []
        #: The vectors that were made images.
        self.images: set[str] = set()
        self.bytes = 0
        self.references = 0
        self.running = given_image(net)
        #: The results of the sections by their numbers.
        self.values: list[Value] = []

    def current(self, section: Section) -> Value:
        """The running value, for a section that reads it."""
        return self.readable(section, self.running, "the section before")

    def image(self, section: Section) -> Value:
        """The running value as an image."""
        value = self.current(section)
        if not value.height:
            received, advice = f"{value}", "Let a [convolutional] section stand before it."
            raise section.fault("This section needs an image.", "channels x height x width", received, advice)
        return self.unflattened(value)

    def unflattened(self, value: Value) -> Value:
        """A value as a tensor of four dimensions; a vector becomes an image of one pixel."""
        if not value.flat:
            return value
        name = f"{value.name}_image"
        if name not in self.images:
            self.images.add(name)
            self.operations.append(Operation(name, nn.Unflatten(1, (value.channels, 1, 1)), (value.name,)))
        return replace(value, name=name, flat=False)

    def readable(self, section: Section, value: Value, what: str) -> Value:
        """A value, unless no section can read it."""
        if not value.closed:
            return value
        advice = "Refer to the section that stands before it."
        raise section.fault(f"It reads {what}, {value.closed}.", "a section that gives values to others", value.name, advice)

    def referred(self, section: Section, option: str) -> list[Value]:
        """The results of the sections that an option refers to: by their numbers, or by how far back they stand."""
        numbers = section.whole_numbers(option)
        self.references += len(numbers)
        advice = "Layers count from 0, behind [net]; -1 is the layer before this one."
        if not numbers:
            raise section.fault(f"{option}= is missing.", f"{option}= and numbers of layers", "nothing", advice)
        if self.references > MOST_REFERENCES:
            expected, received = f"at most {MOST_REFERENCES} in all", "more"
            raise section.fault("There are too many references.", expected, received, "Darknet's networks have fewer.", option)
        found = []
        for number in numbers:
            index = number if number >= 0 else section.index + number
            if not 0 <= index < section.index:
                earlier = f"a layer from 0 to {section.index - 1}" if section.index else "no reference in the first layer"
                expected = f"{earlier}, or from -{section.index} to -1" if section.index else earlier
                raise section.fault(f"{option}= refers to no earlier layer.", expected, str(number), advice, option)
            found.append(self.readable(section, self.values[index], f"layer {index}"))
        return found

    def put(self, section: Section, entry: Any, value: Value, operands: Sequence[str | float] = (), part: str = "") -> None:
        """An operation, whose result is the running value from now on; ``part`` tells it from others of its section.

        Args:
            section: the section that it comes from.
            entry: the layer or word.
            value: how large the result is; its name is not read.
            operands: what it takes; without them, the running value.
            part: what is put behind its name, for all but the last operation of a section.
        """
        name = name_of(section) + (f"_{part}" if part else "")
        if value.count > LARGEST:
            advice = "Darknet counts the numbers of a value with an int."
            raise section.fault("The result is too large.", f"at most {LARGEST} numbers", str(value), advice)
        self.operations.append(Operation(name, entry, tuple(operands) or (self.running.name,)))
        self.running = replace(value, name=name, closed="")

    def put_layers(self, section: Section, value: Value, **layers: nn.Module | None) -> None:
        """Layers in a row: one as it is, several as a part in which they have these names."""
        there = [(name, layer) for name, layer in layers.items() if layer is not None]
        if there:
            self.put(section, there[0][1] if len(there) == 1 else Sequential(*there), value)

    def room(self, section: Section, count: int) -> None:
        """Takes so many parameters into account, before anything is built."""
        self.bytes += 4 * count
        if self.bytes > self.largest:
            received = f"{self.bytes} bytes with this section"
            advice = "Is a number of this section wrong? If not, say largest=."
            raise section.fault("The parameters are too large.", f"at most {self.largest} bytes", received, advice)

    def stores(self, section: Section, module: nn.Module, optional: str = "", **tensors: str) -> None:
        """Tensors as they follow each other in the file of weights, unless ``dontload=`` says that they are not there."""
        if section.flag("dontload"):
            return
        for what, attribute in tensors.items():
            count = getattr(module, attribute).numel()
            self.stored.append(Stored(section, module, attribute, what, count, what == optional))


def name_of(section: Section) -> str:
    """What the result of a section is called."""
    return f"{NAMES.get(section.kind, section.kind)}_{section.index}"


def given_image(net: Section) -> Value:
    """The input, as ``[net]`` tells it."""
    width, height, channels = (net.whole(name, 0) for name in ("width", "height", "channels"))
    inputs = net.whole("inputs", 0)
    image = bool(width and height and channels)
    value = Value(INPUT, channels, height, width) if image else Value(INPUT, inputs, 0, 0, flat=True)
    advice = "Say width=, height= and channels= in [net]."
    if not value.count:
        raise net.fault("The size of the input is missing.", "width=, height= and channels=", "not all three", advice)
    if value.count > LARGEST or (image and inputs not in (0, value.count)):
        expected = f"{value.count} inputs" if value.count <= LARGEST else f"at most {LARGEST} numbers"
        raise net.fault("The size of the input is wrong.", expected, str(inputs or value), advice)
    return value
