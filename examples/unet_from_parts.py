"""A small U-Net from an encoder and a decoder that are written, and can be used, apart.

People asked how a decoder that is a sequence of its own can read what an encoder has saved. It names the values, which
are then its needs: in a common sequence they are found, and alone the decoder takes them by keyword.
"""

import torch
from torch import nn

from skipseq import Sequential, cat, save


def convs(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions that keep the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(),
    )


def encoder() -> Sequential:
    """(batch, 3, height, width) -> (batch, 32, height / 4, width / 4), in three blocks."""
    return Sequential(
        ("block1", convs(3, 8)), save("x1"), ("pool1", nn.MaxPool2d(2)),
        ("block2", convs(8, 16)), save("x2"), ("pool2", nn.MaxPool2d(2)),
        ("block3", convs(16, 32)),
    )  # fmt: skip


def decoder(classes: int = 4) -> Sequential:
    """The way up, in two blocks, to one probability for each class and pixel."""
    return Sequential(
        ("up2", nn.Upsample(scale_factor=2)), cat("x2"), ("block2", convs(32 + 16, 16)),
        ("up1", nn.Upsample(scale_factor=2)), cat("x1"), ("block1", convs(16 + 8, 8)),
        ("head", nn.Conv2d(8, classes, 1)),
        ("softmax", nn.Softmax(dim=1)),
    )  # fmt: skip


def unet() -> Sequential:
    """(batch, 3, height, width) -> (batch, 4, height, width); height and width are multiples of 4."""
    return Sequential(("encoder", encoder()), ("decoder", decoder()))


def main() -> None:
    """Prints the decoder with its needs and the whole, and runs the parts together and one by one."""
    print(decoder())
    net = unet()
    print(f"\n{net}")
    image = torch.randn(1, 3, 32, 32)
    together = net(image)
    y, skips = net.encoder.record(image, "x1", "x2")
    apart = net.decoder(y, **skips)
    print("\nclasses of each pixel sum to 1:", torch.allclose(together.sum(1), torch.ones(1, 32, 32)))
    print("the parts one by one give the same:", torch.equal(together, apart))


if __name__ == "__main__":
    main()
