"""What the benchmarks share: the comparison that comes before every measurement, and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Network", "format_table", "verify_same"]

Network: TypeAlias = Callable[[Tensor], Tensor]


def verify_same(network: Network, reference: Network, example: Tensor, leaves: Sequence[nn.Parameter] = ()) -> None:
    """Raise unless both networks give equal outputs, and equal gradients of the input and of these parameters."""
    torch.testing.assert_close(_results(network, example, leaves), _results(reference, example, leaves))


def _results(network: Network, example: Tensor, leaves: Sequence[nn.Parameter]) -> tuple[Tensor, ...]:
    """Return the output, then the gradients of a sum of its elements, each with a weight of its own."""
    x = example.clone().requires_grad_()
    y = network(x)
    weights = torch.arange(1.0, y.numel() + 1).view_as(y) / y.numel()
    return y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *leaves])


def format_table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """Return a table in Markdown; the first `texts` columns are text, the others are numbers, to the right."""
    rule = ["---"] * texts + ["---:"] * (len(heads) - texts)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))
