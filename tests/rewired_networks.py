"""What the tests of rewiring share: all that an operation must leave as it is, and the paths of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential
from skipseq.declare.compose import grouped
from skipseq.declare.containers import children_of, is_plain
from skipseq.declare.words import SaveWord, Word
from skipseq.errors import SkipseqError, WiringError


def snapshot(net: Sequential) -> tuple[Any, ...]:
    """The text, wiring and keys of a network, and the identity, flags and hooks of all that is in it."""
    modules = [*net.named_modules(remove_duplicate=False)]
    return (
        repr(net),
        net.wiring,
        [(key, id(value)) for key, value in net.state_dict(keep_vars=True).items()],
        [(path, id(module), module.training, list(module._forward_hooks)) for path, module in modules],
    )


@contextmanager
def untouched(net: Sequential) -> Iterator[None]:
    """Whatever happens in the block, the network is behind it what it was."""
    before = snapshot(net)
    yield
    assert snapshot(net) == before


def refused(net: Sequential, operation: Callable[[Any], Any], kind: type[SkipseqError] = WiringError) -> str:
    """The text of the error of an operation, which leaves the network as it was; of one fault, without the head."""
    with untouched(net), pytest.raises(kind) as caught:
        operation(net)
    text = str(caught.value)
    head = f"1 fault in {type(net).__name__}\n"
    if kind is WiringError:
        assert text.startswith(head), text
    return "\n".join(line.removeprefix("  ") for line in text.removeprefix(head).splitlines())


def entries_below(container: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All entries at every depth, by their paths; a call by that of its layer."""
    for group in grouped(children_of(container)):
        key, child = group[-1]
        yield prefix + key, child
        if isinstance(child, Sequential) or is_plain(child):
            yield from entries_below(child, f"{prefix}{key}.")


def paths_of(net: nn.Module) -> list[str]:
    """The paths of all entries."""
    return [path for path, _ in entries_below(net)]


def layer_paths(net: nn.Module) -> list[str]:
    """The paths of the entries that are no words."""
    return [path for path, child in entries_below(net) if not isinstance(child, Word)]


def giver_paths(net: nn.Module) -> list[str]:
    """The paths of all values that have a name."""
    labels = [
        f"{path.rpartition('.')[0]}.{label}".lstrip(".")
        for path, child in entries_below(net)
        if isinstance(child, SaveWord)
        for label in child.labels
    ]
    return [*paths_of(net), *labels, "input"]


def as_tuple(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def equal(one: Any, other: Any) -> bool:
    """Whether two results are equal bit by bit."""
    ones, others = as_tuple(one), as_tuple(other)
    return len(ones) == len(others) and all(torch.equal(a, b) for a, b in zip(ones, others, strict=True))


def gradients(net: Sequential, given: list[Tensor]) -> list[Tensor | None]:
    """The gradients of all parameters for a loss over all outputs."""
    leaves = [each.detach().requires_grad_() for each in given]
    total = sum((output * (i + 1)).sin().sum() for i, output in enumerate(as_tuple(net(*leaves))))
    return list(torch.autograd.grad(total, [*net.parameters()], allow_unused=True))  # type: ignore[arg-type]


def by_identity(net: Sequential, given: list[Tensor]) -> dict[int, Tensor | None]:
    """The gradient of each parameter, by its identity."""
    return dict(zip(map(id, net.parameters()), gradients(net, given), strict=True))
