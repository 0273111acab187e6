"""A small classifier whose ``linear4`` is fed from ``linear2`` and ``linear3``: four ways to join two layers.

People asked how to do it by concatenation and by addition, and whether before or after the ReLU. The layers stay as
they are, and ``skips=`` tells which word stands before which layer; a word may as well be written among the layers.
"""

import torch
from torch import nn

from skipseq import Sequential, add, cat, here, via


def classifier(joined: int, skips: dict[str, nn.Module]) -> Sequential:
    """(batch, 30) -> (batch, 2); ``joined`` is the number of features that linear4 receives."""
    layers = {
        "linear1": nn.Linear(30, 10),
        "relu1": nn.ReLU(),
        "linear2": nn.Linear(10, 15),
        "relu2": nn.ReLU(),
        "linear3": nn.Linear(15, 10),
        "relu3": nn.ReLU(),
        "linear4": nn.Linear(joined, 20),
        "linear5": nn.Linear(20, 2),
    }
    return Sequential(layers, skips=skips)


def concatenated_after_relu() -> Sequential:
    """linear4 receives relu(linear2) and relu(linear3): 15 + 10 features."""
    return classifier(25, {"linear4": cat("relu2", here)})


def concatenated_before_relu() -> Sequential:
    """The outputs of linear2 and linear3 are concatenated, then one ReLU: the same values as above."""
    return classifier(25, {"relu3": cat("linear2", here)})


def added_after_relu() -> Sequential:
    """relu(linear2) + relu(linear3). 15 features cannot be added to 10, so a projection brings them to 10."""
    return classifier(10, {"linear4": add(via("relu2", nn.Linear(15, 10)))})


def added_before_relu() -> Sequential:
    """relu(linear2 + linear3), as in a residual network: not the same as the sum of two ReLUs."""
    return classifier(10, {"relu3": add(via("linear2", nn.Linear(15, 10)))})


def main() -> None:
    """Prints the four variants and which of them are equal."""
    torch.manual_seed(0)
    variants = [concatenated_after_relu(), concatenated_before_relu(), added_after_relu(), added_before_relu()]
    for net in variants:
        print(net, "\n")
    x = torch.randn(4, 30)
    for one, two, how in ((*variants[:2], "concatenated"), (*variants[2:], "added")):
        two.load_state_dict(one.state_dict(), strict=False)
        print(f"{how}: before and after the ReLU are the same:", torch.equal(one(x), two(x)))


if __name__ == "__main__":
    main()
