"""A small convolutional network with ``input + out``, where the shapes do not fit: the error, and two repairs.

People asked why the sum fails: with 2x2 kernels, stride 2 and padding 2, a 32x32 image becomes 18x18 and then 11x11.
"""

import torch
from torch import nn

from skipseq import Sequential, add, via
from skipseq.errors import ShapeError


def misfit() -> Sequential:
    """What was asked about; it can be built, as shapes are known only when an image comes in."""
    return Sequential(
        nn.Conv2d(3, 6, 2, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(6, 3, 2, stride=2, padding=2),
        add("input"),
    )


def same_size() -> Sequential:
    """First repair: layers that keep the size. (batch, 3, height, width) -> the same shape."""
    return Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 3, 3, padding=1),
        add("input"),
    )


def shrunk_input() -> Sequential:
    """Second repair: the layers stay, the input is brought to their size. (batch, 3, 32, 32) -> (batch, 3, 11, 11)."""
    return Sequential(
        nn.Conv2d(3, 6, 2, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(6, 3, 2, stride=2, padding=2),
        add(via("input", nn.AdaptiveAvgPool2d(11))),
    )


def main() -> None:
    """Prints the explained error, and both repaired networks."""
    image = torch.randn(1, 3, 32, 32)
    net = misfit()
    print(net)
    try:
        net(image)
    except ShapeError as error:
        print(f"\nShapeError: {error}")
    for repaired in (same_size(), shrunk_input()):
        print(f"\n{repaired}\n{tuple(image.shape)} -> {tuple(repaired(image).shape)}")


if __name__ == "__main__":
    main()
