"""What several test files need: small layers, looking on at the parts of a network, and the errors of building one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from skipseq.errors import WiringError

WIDTH = 4


def x() -> Tensor:
    """An input of three rows, another one at each call."""
    return torch.randn(3, WIDTH)


def linear(features_in: int = WIDTH, features_out: int = WIDTH) -> nn.Linear:
    return nn.Linear(features_in, features_out)


def relu_() -> nn.ReLU:
    return nn.ReLU(inplace=True)


class Wrapper(nn.Module):
    """What passes all its arguments on, as checkpointing, compiling and data parallel wrappers do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


# Looking on


def parts_of(net: nn.Module) -> list[nn.Module]:
    """The containers inside a network, at every depth."""
    return [module for module in net.modules() if isinstance(module, nn.Sequential) and module is not net]


def look_on(modules: Iterable[nn.Module]) -> list[RemovableHandle]:
    """A hook that does nothing, on each: it must from now on be called as the module it is."""
    return [module.register_forward_hook(lambda *_: None) for module in modules]


@contextmanager
def hooks_on(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Somebody looks on at these modules, for a while."""
    handles = look_on(modules)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def everything_called(net: nn.Module) -> AbstractContextManager[None]:
    """Somebody looks on: every part is called as the module it is."""
    return hooks_on(parts_of(net))


@contextmanager
def without_collection() -> Iterator[None]:
    """Objects die by reference counting alone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Errors


def refusal(build: Callable[[], object]) -> WiringError:
    """The error that building raises, which counts its faults and is of both built-in kinds."""
    with pytest.raises(WiringError) as caught:
        build()
    error = caught.value
    assert isinstance(error, ValueError)
    assert isinstance(error, TypeError)
    count = len(error.faults)
    plural = "1 fault in " if count == 1 else f"{count} faults in "
    assert str(error).startswith(plural), str(error)
    return error


def faults(build: Callable[[], object]) -> tuple[str, ...]:
    """The faults that building tells, one by one."""
    return refusal(build).faults


def refused(build: Callable[[], object], count: int = 1) -> str:
    """The text of the one error that building raises, with this many faults."""
    error = refusal(build)
    assert len(error.faults) == count, str(error)
    return str(error)
