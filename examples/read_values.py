"""Reading the value of every block after a forward pass, without hooks and without a second pass.

People asked how to get the intermediate values of a sequence. ``record`` returns them next to the output; the same
names serve for skips inside the network, for its outputs, and for the part of it that leads to one of them.
"""

import torch
from torch import nn

from skipseq import Residual, Sequential


def blocks() -> Sequential:
    """(batch, 3, height, width) -> (batch, 10)."""
    return Sequential(
        ("stem", nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())),
        ("block1", Residual(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())),
        ("down", nn.Conv2d(8, 16, 2, stride=2)),
        ("block2", Residual(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())),
        ("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))),
    )


def main() -> None:
    """Prints the value of every block, of layers inside them, and the networks that lead to some of them."""
    net = blocks()
    image = torch.randn(1, 3, 16, 16)

    _, values = net.record(image, *(name for name, _ in net.named_children()))
    print("every block:")
    for name, value in values.items():
        print(f"  {name:<8}{tuple(value.shape)!s:<18}mean {value.mean():+.3f}")

    _, inside = net.record(image, "stem.0", "block2.1")
    print("inside them:", {name: tuple(value.shape) for name, value in inside.items()})

    low, high = net.with_outputs("block1", "block2")(image)
    print("the same network with two outputs:", tuple(low.shape), tuple(high.shape))

    print("only what leads to block1:", net.upto("block1"), sep="\n")


if __name__ == "__main__":
    main()
