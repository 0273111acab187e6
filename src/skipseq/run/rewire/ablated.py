"""What a skip gives in an ablated network: layers of ``via(...)``, under names that can be printed, pickled and imported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skipseq.errors import CallError

__all__ = ["channel_means", "zeros"]


def zeros(value: Any) -> Tensor:
    """Zeros in the place of a value.

    >>> import torch
    >>> from skipseq.run.rewire.ablated import zeros
    >>> zeros(torch.ones(1, 2))
    tensor([[0., 0.]])

    Raises:
        CallError: for what is no tensor.
    """
    return torch.zeros_like(tensor(value, "zeros"))


def channel_means(value: Any) -> Tensor:
    """The mean of each channel in the place of its values: over dimension 0, the batch, and dimensions 2 and more.

    >>> import torch
    >>> from skipseq.run.rewire.ablated import channel_means
    >>> channel_means(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    tensor([[1., 2.],
            [1., 2.]])

    Raises:
        CallError: for what is no tensor, and for whole numbers, which have no mean of their own type.
    """
    given = tensor(value, "mean")
    if not (given.is_floating_point() or given.is_complex()):
        raise CallError(
            f"a skip is ablated by its mean, and its values are of {given.dtype}, which holds no means.\n"
            "  Write by='zero', or ablate a skip behind the layer that makes floating-point numbers of them."
        )
    over = [d for d in range(given.dim()) if d != 1]
    mean = given.mean(over, keepdim=True) if over else given
    return torch.zeros_like(given) + mean


def tensor(value: Any, by: str) -> Tensor:
    """The value, which must be a tensor."""
    if isinstance(value, Tensor):
        return value
    raise CallError(
        f"a skip is ablated by {by!r}, and its value is no tensor but of type {type(value).__name__}.\n"
        "  Ablate a skip of one of its parts: name them with save('first', 'second')."
    )
