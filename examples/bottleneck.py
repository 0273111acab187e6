"""A bottleneck residual block: a 1x1 convolution to 64 channels, one back to 256, then ``relu(out + x)``.

People asked for it as a block that can be put many times into a sequence: "input" is the input of the block itself.
"""

import torch
from torch import nn

from skipseq import Residual, Sequential, add


def bottleneck() -> Sequential:
    """(batch, 256, height, width) -> the same shape."""
    return Sequential(
        ("conv1", nn.Conv2d(256, 64, 1)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(64, 256, 1)),
        add("input"),
        ("relu2", nn.ReLU()),
    )


def in_short() -> Sequential:
    """The same with the block ``Residual``, which stands for the layers and ``add("input")``."""
    return Sequential(Residual(nn.Conv2d(256, 64, 1), nn.ReLU(), nn.Conv2d(64, 256, 1)), nn.ReLU())


def stack(count: int = 3) -> Sequential:
    """Several blocks one after the other, each with weights of its own."""
    return Sequential(*(bottleneck() for _ in range(count)))


def main() -> None:
    """Prints the block in both forms, and a stack of blocks."""
    print(bottleneck())
    print("\nin short:", in_short(), "\nwhich stands for:", in_short().as_words(), sep="\n")
    x = torch.randn(1, 256, 8, 8)
    net = stack()
    print(f"\nthree blocks: {tuple(x.shape)} -> {tuple(net(x).shape)}, {len(list(net.parameters()))} parameter tensors")


if __name__ == "__main__":
    main()
