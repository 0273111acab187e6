"""Several branches over the same input, concatenated, in the middle of a sequence.

People asked for a ``Concat`` layer as Torch7 and Gluon had it. ``Branches`` is one; ``as_words()`` shows that it is
only short for ``take``, which starts the next branch, and ``cat``.
"""

import torch
from torch import nn

from skipseq import Branches, Sequential


def inception() -> Sequential:
    """(batch, 3, height, width) -> (batch, 10)."""
    return Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        Branches(
            ("pointwise", nn.Conv2d(8, 4, 1)),
            ("small", nn.Conv2d(8, 8, 3, padding=1)),
            ("large", nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 5, padding=2))),
            ("pooled", nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(8, 4, 1))),
        ),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 + 8 + 8 + 4, 10),
    )


def main() -> None:
    """Prints the network as it was written, and its branches in plain words."""
    net = inception()
    print(net)
    print("\nthe branches in words:", net[2].as_words(), sep="\n")
    y, seen = net.record(torch.randn(2, 3, 16, 16), "2.pointwise", "2.small", "2.large", "2.pooled", "2")
    print("\nchannels:", {name: value.shape[1] for name, value in seen.items()}, "output:", tuple(y.shape))


if __name__ == "__main__":
    main()
