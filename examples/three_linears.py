"""Three linear layers, where the outputs of the first two are added and fed into the third.

People asked how ``l3(l1_out + l2_out)`` can be said in a sequence: the name of a layer means its output.
"""

import torch
from torch import nn

from skipseq import Sequential, add


def three_linears() -> Sequential:
    """(batch, 12) -> (batch, 4)."""
    return Sequential(
        ("linear1", nn.Linear(12, 8)),
        ("linear2", nn.Linear(8, 8)),
        add("linear1"),
        ("linear3", nn.Linear(8, 4)),
    )


def main() -> None:
    """Prints the network and compares it with the sum by hand."""
    net = three_linears()
    print(net)
    x = torch.randn(5, 12)
    l1_out = net.linear1(x)
    l2_out = net.linear2(l1_out)
    print("linear3(l1_out + l2_out) by hand gives the same:", torch.equal(net(x), net.linear3(l1_out + l2_out)))


if __name__ == "__main__":
    main()
