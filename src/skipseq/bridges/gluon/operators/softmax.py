"""Softmax in all its forms, and the operators at the ends of networks that hold a loss: here they are what they give."""

from __future__ import annotations

import torch
from torch import nn

from ..layers import SampleSoftmax
from ..operation import GluonNode, Piece, operator
from .elementwise import type_of
from .weights import axis_of, unlike, values_only

__all__: list[str] = []

SOFTMAX: dict[str, type[nn.Module]] = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "softmin": nn.Softmin}


@operator("softmax", "log_softmax", "softmin")
def softmax(node: GluonNode) -> list[Piece]:
    """Softmax along a dimension, of numbers divided by a temperature."""
    if node.flag("use_length", False):
        raise unlike(node, "The lengths are an input.", "use_length = 'True'", "one input")
    node.count(1)
    values_only(node, 0)
    temperature = 1.0 if node.text("temperature", "None") == "None" else node.number("temperature", 1.0)
    if temperature == 0:
        raise node.wrong("temperature", "another number than 0")
    layer = Piece(SOFTMAX[node.operator](dim=axis_of(node, "axis", -1)), (0,))
    first = [] if temperature == 1 else [Piece(torch.div, (0, temperature))]
    last = [] if node.text("dtype", "None") == "None" else [Piece(type_of(node), ())]
    return [*first, layer._replace(operands=() if first else (0,)), *last]


@operator("SoftmaxOutput", "Softmax")
def softmax_output(node: GluonNode) -> Piece:
    """The softmax alone: labels and the gradient of the cross entropy are for the training in MXNet.

    Without options, all numbers of a sample share it, as the documentation of MXNet says; its code for oneDNN, the usual one on
    a CPU, differs for values of more than two dimensions.
    """
    node.count(1, 2)
    values_only(node, 0)
    if node.flag("multi_output", False):
        return Piece(nn.Softmax(dim=1), (0,))
    return Piece(nn.Softmax(dim=-1) if node.flag("preserve_shape", False) else SampleSoftmax(), (0,))


@operator("SoftmaxActivation")
def softmax_activation(node: GluonNode) -> Piece:
    """Softmax along the channels, or along the last dimension."""
    node.count(1)
    values_only(node, 0)
    channel = node.text("mode", "instance", ("instance", "channel")) == "channel"
    return Piece(nn.Softmax(dim=1 if channel else -1), (0,))


@operator("LinearRegressionOutput", "MAERegressionOutput", "SVMOutput")
def output_as_it_is(node: GluonNode) -> Piece:
    """The value alone: labels and the loss are for the training in MXNet."""
    node.count(1, 2)
    values_only(node, 0)
    return Piece(nn.Identity(), (0,))


@operator("LogisticRegressionOutput")
def logistic_output(node: GluonNode) -> Piece:
    """The logistic function alone: labels and the loss are for the training in MXNet."""
    node.count(1, 2)
    values_only(node, 0)
    return Piece(nn.Sigmoid(), (0,))
