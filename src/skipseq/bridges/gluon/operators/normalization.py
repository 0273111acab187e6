"""Normalization by batch, layer, sample, group and neighbourhood."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..layers import AxisLayerNorm, GluonBatchNorm, GroupWeightNorm, L2Normalization
from ..operation import GluonNode, Piece, operator
from .weights import LARGEST_EXTENT, axis_of, placed, sized, statistic, unlike, values_only, weight

__all__: list[str] = []


@operator("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm")
def batch_norm_alone(node: GluonNode) -> Piece:
    """Batch normalization."""
    return batch_norm(node)


def batch_norm(node: GluonNode) -> Piece:
    """Batch normalization; over several devices it is here over the batch of one."""
    node.count(5)
    values_only(node, 0)
    refuse_more_results(node)
    bias = weight(node, 2, "beta", (None,))
    features = bias.shape[0]
    fixed = node.flag("fix_gamma", True)
    gamma = weight(node, 1, "gamma", (features,))
    values = {
        "weight": nn.Parameter(torch.ones_like(gamma), requires_grad=False) if fixed else gamma,
        "bias": bias,
        "running_mean": statistic(node, 3, "moving mean", (features,)),
        "running_var": statistic(node, 4, "moving variance", (features,)),
        "num_batches_tracked": torch.tensor(0),
    }
    options: dict[str, Any] = {
        "eps": epsilon(node, 1e-3),
        "momentum": share(node),
        "fix_gamma": fixed,
        "use_global_stats": node.flag("use_global_stats", False),
        "axis": axis_of(node, "axis", 1),
    }
    return Piece(placed(node, lambda: GluonBatchNorm(features, **options), **values), (0,))


@operator("_contrib_BatchNormWithReLU")
def batch_norm_with_relu(node: GluonNode) -> list[Piece]:
    """Batch normalization and what follows it."""
    return [batch_norm(node), Piece(nn.ReLU(), ())]


def share(node: GluonNode) -> float:
    """The share of a batch in the running statistics; MXNet's momentum is the share of what was before."""
    momentum = node.number("momentum", 0.9)
    if not 0 <= momentum <= 1:
        raise node.wrong("momentum", "a number from 0 to 1")
    return round(1 - momentum, 12)


def epsilon(node: GluonNode, default: float) -> float:
    """What is added to a variance."""
    found = node.number("eps", default)
    if not 0 <= found <= 1e30:
        raise node.wrong("eps", "a number from 0 to 1e30")
    return found


def refuse_more_results(node: GluonNode) -> None:
    """Refuses a layer that also gives its mean and variance."""
    if node.flag("output_mean_var", False):
        raise unlike(node, "It gives its mean and variance too.", "output_mean_var = 'True'", "one result")


@operator("LayerNorm")
def layer_norm(node: GluonNode) -> Piece:
    """Layer normalization of one dimension, mostly the last."""
    node.count(3)
    values_only(node, 0)
    refuse_more_results(node)
    gamma = weight(node, 1, "gamma", (None,))
    values = {"weight": gamma, "bias": weight(node, 2, "beta", (gamma.shape[0],))}
    axis, eps, features = axis_of(node, "axis", -1), epsilon(node, 1e-5), gamma.shape[0]
    if axis == -1:
        return Piece(placed(node, lambda: nn.LayerNorm(features, eps), **values), (0,))
    return Piece(placed(node, lambda: AxisLayerNorm(features, axis, eps), **values), (0,))


@operator("InstanceNorm")
def instance_norm(node: GluonNode) -> Piece:
    """Instance normalization: a group for each channel, in values of any rank."""
    node.count(3)
    values_only(node, 0)
    gamma = weight(node, 1, "gamma", (None,))
    channels, eps = gamma.shape[0], epsilon(node, 1e-3)
    values = {"weight": gamma, "bias": weight(node, 2, "beta", (channels,))}
    return Piece(placed(node, lambda: nn.GroupNorm(channels, channels, eps), **values), (0,))


@operator("GroupNorm")
def group_norm(node: GluonNode) -> Piece:
    """Group normalization; MXNet 1.6 to 1.9 have a weight for each group."""
    node.count(3)
    values_only(node, 0)
    refuse_more_results(node)
    groups, eps = node.whole("num_groups", 1), epsilon(node, 1e-5)
    if groups < 1:
        raise node.wrong("num_groups", "a whole number of at least 1")
    values = {"weight": weight(node, 1, "gamma", (groups,)), "bias": weight(node, 2, "beta", (groups,))}
    return Piece(placed(node, lambda: GroupWeightNorm(groups, eps), **values), (0,))


@operator("L2Normalization")
def l2_normalization(node: GluonNode) -> Piece:
    """Unit length of samples, pixels or channels."""
    node.count(1)
    values_only(node, 0)
    mode = node.text("mode", "instance", ("instance", "channel", "spatial"))
    return Piece(L2Normalization(mode, epsilon(node, 1e-10)), (0,))


@operator("LRN")
def local_response_norm(node: GluonNode) -> Piece:
    """Normalization by neighbouring channels."""
    node.count(1)
    values_only(node, 0)
    size = sized(node, "nsize")
    if size % 2 == 0 or size > LARGEST_EXTENT:
        raise node.wrong("nsize", f"an odd number up to {LARGEST_EXTENT}")
    numbers = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("knorm", 2.0)
    return Piece(nn.LocalResponseNorm(size, *numbers), (0,))
