"""The recursive block of pix2pix, ``cat([x, model(x)])``: by nesting, and as one flat sequence.

People asked how to build it without a class full of ``if outermost``. Nested, each block is a sequence that ends in
``cat("input", here)``, where "input" is the input of that very block. Flat, each skip has a name.

The original's LeakyReLU works in place and so overwrites the value that the skip concatenates. There it happens to do
no harm, as a ReLU comes next; skipseq refuses it, so the layers here do not work in place.
"""

import torch
from torch import nn

from skipseq import Sequential, cat, here, save


def down(inputs: int, outputs: int) -> nn.Conv2d:
    """Half the size."""
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def up(inputs: int, outputs: int, bias: bool = False) -> nn.ConvTranspose2d:
    """Twice the size."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


def block(outer: int, inner: int, *deeper: int) -> Sequential:
    """(batch, outer, height, width) -> (batch, 2 * outer, height, width): what came in beside what was made of it."""
    below = [nn.BatchNorm2d(inner), block(inner, *deeper)] if deeper else []
    return Sequential(
        nn.LeakyReLU(0.2), down(outer, inner), *below,
        nn.ReLU(), up(2 * inner if deeper else inner, outer), nn.BatchNorm2d(outer),
        cat("input", here),
    )  # fmt: skip


def nested(widths: tuple[int, ...] = (8, 16, 32)) -> Sequential:
    """(batch, 3, height, width) -> the same shape; the outermost level is the one without ``cat``."""
    first = widths[0]
    return Sequential(down(3, first), block(*widths), nn.ReLU(), up(2 * first, 3, bias=True), nn.Tanh())


def flat(widths: tuple[int, int, int] = (8, 16, 32)) -> Sequential:
    """The same network, for three widths, as one line of layers."""
    a, b, c = widths
    return Sequential(
        down(3, a), save("x1"),
        nn.LeakyReLU(0.2), down(a, b), nn.BatchNorm2d(b), save("x2"),
        nn.LeakyReLU(0.2), down(b, c),
        nn.ReLU(), up(c, b), nn.BatchNorm2d(b), cat("x2", here),
        nn.ReLU(), up(2 * b, a), nn.BatchNorm2d(a), cat("x1", here),
        nn.ReLU(), up(2 * a, 3, bias=True), nn.Tanh(),
    )  # fmt: skip


def main() -> None:
    """Prints both and shows that they are one network."""
    one, two = nested(), flat()
    print(f"nested:\n{one}\n\nflat:\n{two}\n")
    # Their layers come in the same order, so the weights of the one fit into the other.
    two.load_state_dict(dict(zip(two.state_dict(), one.state_dict().values(), strict=True)))
    image = torch.randn(2, 3, 32, 32)
    print(f"{tuple(image.shape)} -> {tuple(one(image).shape)}, the same output:", torch.equal(one(image), two(image)))


if __name__ == "__main__":
    main()
