"""Four convolutions down and four up in one flat sequence, the first activation concatenated into the last layer.

People asked how to keep such a network an ``nn.Sequential``: it needs one value from far above, and nothing else.
"""

import torch
from torch import nn

from skipseq import Sequential, cat, save


def flat_encoder_decoder() -> Sequential:
    """(batch, 3, height, width) -> the same shape; height and width are multiples of 16."""
    return Sequential(
        ("conv1", nn.Conv2d(3, 16, 4, stride=2, padding=1)), nn.ReLU(), save("x1"),
        ("conv2", nn.Conv2d(16, 32, 4, stride=2, padding=1)), nn.ReLU(),
        ("conv3", nn.Conv2d(32, 64, 4, stride=2, padding=1)), nn.ReLU(),
        ("conv4", nn.Conv2d(64, 64, 4, stride=2, padding=1)), nn.ReLU(),
        ("deconv4", nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1)), nn.ReLU(),
        ("deconv3", nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1)), nn.ReLU(),
        ("deconv2", nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1)), nn.ReLU(),
        cat("x1"),  # 16 channels and 16 from conv1
        ("deconv1", nn.ConvTranspose2d(32, 3, 4, stride=2, padding=1)),
    )  # fmt: skip


def main() -> None:
    """Prints the network, with the two ends of its skip, and what comes out."""
    net = flat_encoder_decoder()
    print(net)
    image = torch.randn(1, 3, 64, 64)
    y, seen = net.record(image, "x1", "cat_0")
    print("image", tuple(image.shape))
    print("x1", tuple(seen["x1"].shape), "after cat", tuple(seen["cat_0"].shape), "output", tuple(y.shape))


if __name__ == "__main__":
    main()
