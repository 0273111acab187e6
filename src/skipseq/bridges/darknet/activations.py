"""The activations of Darknet as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from skipseq.errors import did_you_mean

from .layers import CURVES, DarknetActivation
from .sections import Section

__all__ = ["activation_of"]

#: Darknet writes the two constants of selu with four digits.
LAYERS: Mapping[str, Callable[[], nn.Module | None]] = MappingProxyType(
    {
        "linear": lambda: None,
        "leaky": lambda: nn.LeakyReLU(0.1),
        "revleaky": lambda: nn.LeakyReLU(0.1),
        "relie": lambda: nn.LeakyReLU(0.01),
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "logistic": nn.Sigmoid,
        "tanh": nn.Tanh,
        "hardtan": nn.Hardtanh,
        "elu": nn.ELU,
        "selu": nn.SELU,
        "gelu": lambda: nn.GELU("tanh"),
        "swish": nn.SiLU,
        "mish": nn.Mish,
    }
)

#: Those that mix the channels.
MIXING = ("normalize_channels", "normalize_channels_softmax", "normalize_channels_softmax_maxval")


def activation_of(section: Section, default: str) -> nn.Module | None:
    """The layer of ``activation=``, or nothing where it changes nothing."""
    name = section.text("activation", default)
    if name in LAYERS:
        return LAYERS[name]()
    if name in CURVES:
        return DarknetActivation(name)
    known = (*LAYERS, *CURVES)
    if name in MIXING:
        problem, advice = "This activation mixes channels.", "Write a layer of your own in its place."
    else:
        problem = "This activation is not known."
        advice = f"{did_you_mean(name, known)} Darknet would take relu and go on. Known are: {', '.join(known)}.".strip()
    raise section.fault(problem, "a known activation", repr(name), advice, "activation")
