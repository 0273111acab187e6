"""Three components, each a pure sequence: A leads down, B is the skips with layers of their own, C leads up.

People asked how to join such parts, a mix of U-Net and GridNet, without a class that passes lists of tensors around::

        A          B          C
    row 1   ●───→ conv ─────→ ● ───→ out
            ↓                 ↑
    row 2   ●───→ conv ─────→ ●
            ↓                 ↑
    row 3   ●───→ conv ───────┘

Each component says by name what it takes from the others; one constructor joins them.
"""

import torch
from torch import nn

from skipseq import Residual, Sequential, add, save, take


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and its activation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.ReLU())


def down() -> Sequential:
    """A: from row to row, half the size each time."""
    return Sequential(
        conv(3, 8), save("a1"),
        conv(8, 16, stride=2), save("a2"),
        conv(16, 32, stride=2), save("a3"),
    )  # fmt: skip


def across() -> Sequential:
    """B: one residual convolution for each row. It leaves the value of the lowest row running."""
    return Sequential(
        take("a1"), Residual(conv(8, 8)), save("b1"),
        take("a2"), Residual(conv(16, 16)), save("b2"),
        take("a3"), Residual(conv(32, 32)),
    )  # fmt: skip


def up() -> Sequential:
    """C: from the lowest row up; on each row it meets what came across."""
    return Sequential(
        nn.ConvTranspose2d(32, 16, 2, stride=2), add("b2"), conv(16, 16),
        nn.ConvTranspose2d(16, 8, 2, stride=2), add("b1"), conv(8, 8),
        nn.Conv2d(8, 3, 1),
    )  # fmt: skip


def grid() -> Sequential:
    """(batch, 3, height, width) -> the same shape; height and width are multiples of 4."""
    return Sequential(("A", down()), ("B", across()), ("C", up()))


def main() -> None:
    """Prints the network and the sizes on its way."""
    net = grid()
    print(net)
    _, seen = net.record(torch.randn(1, 3, 32, 32), "A.a1", "A.a2", "A.a3", "B.b1", "B.b2", "B", "C")
    print()
    for name, value in seen.items():
        print(f"{name:<5}{tuple(value.shape)}")


if __name__ == "__main__":
    main()
