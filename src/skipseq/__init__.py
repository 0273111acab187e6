"""Sequential networks for PyTorch in which skip connections are declared in the constructor."""

from skipseq.blocks import Branches, DenseBlock, Grid, Residual, UNet
from skipseq.declare.vocabulary import add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.run import Sequential

__all__ = [
    "Branches",
    "DenseBlock",
    "Grid",
    "Residual",
    "Sequential",
    "UNet",
    "add",
    "call",
    "cat",
    "here",
    "mul",
    "pick",
    "save",
    "sub",
    "take",
    "via",
]
