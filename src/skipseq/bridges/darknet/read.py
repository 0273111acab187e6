"""Reading a network of Darknet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from skipseq.bridges.graph import in_words
from skipseq.errors import FileError
from skipseq.run import Sequential

from . import heads, joined, plain, weighted
from .builder import INPUT, Builder
from .sections import Section, read_sections
from .weights import WeightsFile

__all__ = ["from_darknet"]

#: How each section is read.
READERS: Mapping[str, Callable[[Builder, Section], None]] = MappingProxyType(
    {
        "convolutional": weighted.convolutional,
        "connected": weighted.connected,
        "batchnorm": weighted.batchnorm,
        "maxpool": plain.maxpool,
        "local_avgpool": plain.local_avgpool,
        "avgpool": plain.avgpool,
        "upsample": plain.upsample,
        "reorg": plain.reorg,
        "reorg3d": plain.reorg,
        "activation": plain.activation,
        "logistic": plain.logistic,
        "empty": plain.empty,
        "dropout": plain.dropout,
        "softmax": plain.softmax,
        "route": joined.route,
        "shortcut": joined.shortcut,
        "scale_channels": joined.scale_channels,
        "sam": joined.sam,
        "yolo": heads.yolo,
        "Gaussian_yolo": heads.yolo,
        "region": heads.region,
        "detection": heads.detection,
        "cost": heads.cost,
    }
)

#: What the constructors of PyTorch raise for sizes that do not fit together.
REFUSALS = (RuntimeError, ValueError, TypeError, OverflowError)


def from_darknet(
    cfg: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    layers: int | None = None,
    largest: int = 8 << 30,
) -> Sequential:
    """The network of a ``.cfg`` file of Darknet, with its weights; Darknet is not needed.

    >>> from skipseq import from_darknet
    >>> net = from_darknet("tests/data/darknet/residual.cfg")
    >>> print(net)
    Sequential(
        ('conv_0', Sequential(
            ('conv', nn.Conv2d(3, 8, 3, padding=1, bias=False)),
            ('norm', nn.BatchNorm2d(8)),
            ('activation', nn.LeakyReLU(negative_slope=0.1)),
        )),             # -> net[2]
        ('conv_1', nn.Conv2d(8, 8, 1)),
        add('conv_0'),  # <- net[0]
        ('conv_3', nn.Conv2d(8, 21, 1)),
        ('yolo_4', YoloOutput([(10, 14), (23, 27), (37, 58)], classes=2)),
    )
    >>> print(net.check(("N", 3, 416, 416))["yolo_4"])
    ('N', 21, 416, 416)

    Layers are called after their sections and carry the numbers under which Darknet counts and prints them, from 0 behind
    ``[net]``: ``conv_12``, ``maxpool_1``. A section of several layers is a part: ``conv_12.conv``, ``conv_12.norm``,
    ``conv_12.activation``. A detector's map is an output as it is, and the layer of its section, ``net.yolo_82``, holds what
    is needed to read boxes from it: anchors, classes. With several of them the network gives a tuple, in the order of the
    sections. The size in ``[net]`` is needed to read the file; the network takes other sizes as well, unless it has linear
    layers.

    With weights the network is in evaluation mode, for use; new ones are those of PyTorch, and the network is in training.

    Args:
        cfg: the file of sections, ``yolov3.cfg``; or its text, if it has more than one line.
        weights: the file of weights: ``yolov3.weights``; without it, the weights are new ones.
        layers: the file of weights covers so many sections, as ``darknet53.conv.74`` does; the others get new weights.
        largest: the most bytes that the parameters may take.

    Raises:
        FileError: with the line and the section, or the byte in the file of weights, and what was expected there; also if there
            is no such file, and if it has no so many sections.
    """
    sections = read_sections(cfg)
    builder = built(sections, largest)
    net = joined_up(builder, sections)
    check_layers(sections[0].file, layers, len(builder.values), weights is None)
    if weights is None:
        return new(net)
    file = WeightsFile.opened(weights)
    stored = file.fitting(builder.stored, layers, len(builder.values))
    new(net)
    file.read_into(stored)
    return net.eval()


def built(sections: list[Section], largest: int) -> Builder:
    """All sections as operations, whose layers have no memory yet."""
    builder = Builder(sections[0], largest)
    with torch.device("meta"):
        for section in sections[1:]:
            try:
                READERS[section.kind](builder, section)
            except FileError:
                raise
            except REFUSALS as error:
                advice = "Correct the numbers of this section."
                raise section.fault("PyTorch cannot build this layer.", "sizes that fit", str(error), advice) from error
            builder.values.append(builder.running)
    return builder


def joined_up(builder: Builder, sections: list[Section]) -> Sequential:
    """The sequence: its outputs are the detectors, and the last value if that is none."""
    outputs = [head.name for head in builder.heads]
    if builder.running.name not in outputs:
        outputs.append(builder.running.name)
    return in_words(builder.operations, [INPUT], outputs)


def new(net: Sequential) -> Sequential:
    """The network with memory for its parameters, and new values in it."""
    net.to_empty(device=torch.get_default_device())
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
    return net


def check_layers(file: str, layers: int | None, count: int, new_weights: bool) -> None:
    """Refuses a number of sections that are not there, and one without a file."""
    if layers is None:
        return
    is_whole = isinstance(layers, int) and not isinstance(layers, bool)
    if not is_whole or not 1 <= layers <= count:
        expected = f"a whole number from 1 to {count}, the number of sections behind [net]"
        raise FileError(file, "", "layers= is no number of its sections.", expected, f"layers={layers!r}", "Leave it out.")
    if new_weights:
        advice = "Pass both, or none of them."
        raise FileError(file, "", "layers= says how many sections weights= covers.", "a file of weights", "none", advice)
