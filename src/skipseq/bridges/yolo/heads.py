"""Detect: the convolutions that predict boxes and classes, one branch or two for each scale."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from skipseq.run import Sequential

from .blocks import Style, conv

__all__ = ["anchor_boxes", "box_distribution", "class_scores", "hidden_widths"]


def anchor_boxes(channels_in: int, classes: int, anchors: int) -> nn.Conv2d:
    """Predictions for each anchor box, as in YOLOv3 (arXiv:1804.02767): 4 for the box, 1 for an object, 1 for each class.

    >>> from skipseq.bridges.yolo.heads import anchor_boxes
    >>> anchor_boxes(64, 80, 3)
    Conv2d(64, 255, kernel_size=(1, 1), stride=(1, 1))

    Args:
        channels_in: of the map.
        classes: how many there are.
        anchors: how many boxes stand at each place.
    """
    return nn.Conv2d(channels_in, anchors * (classes + 5), 1)


def hidden_widths(channels: Sequence[int], classes: int, bins: int) -> tuple[int, int]:
    """The channels inside the branches for boxes and for classes, told by the finest of the maps.

    >>> from skipseq.bridges.yolo.heads import hidden_widths
    >>> hidden_widths([64, 128, 256], 80, 16)
    (64, 80)

    Args:
        channels: of the maps, the finest first.
        classes: how many there are.
        bins: of the distribution of each edge.
    """
    return max(16, channels[0] // 4, 4 * bins), max(channels[0], min(classes, 100))


def box_distribution(style: Style, channels_in: int, hidden: int, bins: int) -> Sequential:
    """A branch for boxes: for each of the four edges a distribution over ``bins`` distances.

    The distribution is that of Generalized Focal Loss (arXiv:2006.04388), the branch of its own that of YOLOX
    (arXiv:2107.08430).
    """
    return branch(style, channels_in, hidden, 4 * bins)


def class_scores(style: Style, channels_in: int, hidden: int, classes: int) -> Sequential:
    """A branch for the scores of classes, as in YOLOX (arXiv:2107.08430)."""
    return branch(style, channels_in, hidden, classes)


def branch(style: Style, channels_in: int, hidden: int, channels: int) -> Sequential:
    """Two 3x3 convolutions and one of 1x1 that predicts."""
    first, second = conv(style, channels_in, hidden, 3), conv(style, hidden, hidden, 3)
    return Sequential(first, second, ("predict", nn.Conv2d(hidden, channels, 1)))
