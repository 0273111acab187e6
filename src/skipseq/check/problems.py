"""What a layer expects against what it receives, and repairs to try: the data, and the ways to write a repair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import arguments_of, constructor
from skipseq.declare.functions import Function

__all__ = ["NO_POSITIONS", "SHAPES", "Finder", "Problem", "Try", "before", "channels_to", "counted", "rebuilt", "replaced"]


@dataclass(frozen=True, slots=True)
class Try:
    """A repair to try: entries to put before a layer, and what to write instead of it.

    ``layers`` are those that run then, the layer itself last; ``note`` tells why.
    """

    layers: tuple[Callable[..., Any], ...]
    before: tuple[str, ...] = ()
    write: str = ""
    note: str = ""

    def text(self, name: str | None = None) -> str:
        """What to do; ``name`` is that of the value, where it is not the running value that the layer reads."""
        entries = ", ".join(self.before[:-1]) + " and " * bool(self.before[1:]) + "".join(self.before[-1:])
        put = f"Put {entries} before it"
        steps = [put if name is None else f"Write via({name!r}, {', '.join(self.before)}) for {name!r}"] if self.before else []
        if self.write:
            steps.append(f"{'and write' if steps else 'Write'} {self.write}")
        return ", ".join(steps) + (f": {self.note}." if self.note else ".")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a layer expects, against what it receives; and what may help.

    Args:
        text: both, in words.
        tries: repairs, the likeliest first; the first that works is told, or the first two if ``both``.
        advice: what to write where no repair works.
        wanted: how many features or channels the layer could take: the layer before it might give so many.
        small: whether the value has become too small, so that a larger input may help.
        index: the position of the value among those that the layer receives, or its name.
    """

    text: str
    tries: tuple[Try, ...] = ()
    advice: str = ""
    wanted: int | None = None
    small: bool = False
    both: bool = False
    index: int | str = 0


#: Finds the problem of a layer with a value. The last argument tells whether the value is (batch, tokens, features), by the
#: layers that it comes from: nothing where they do not tell.
Finder: TypeAlias = Callable[[Any, Tensor, bool | None], Problem | None]

#: What a value is, by the number of dimensions behind batch and channels.
SHAPES = {
    1: "(batch, channels, length)",
    2: "(batch, channels, height, width)",
    3: "(batch, channels, depth, height, width)",
}

#: What may help where a layer over positions receives features alone.
NO_POSITIONS = "Leave it out, or put it where its input has positions: before nn.Flatten(), or behind nn.Unflatten(...)."


def rebuilt(module: nn.Module, cls: Any = None, note: str = "", **changes: Any) -> Iterator[Try]:
    """The layer with other arguments, as a repair; nothing if the layer does not keep its arguments."""
    known = arguments_of(module)
    if known is not None and module.__class__.__module__.startswith("torch.nn."):
        own = next(module.parameters(), None)
        try:
            with torch.device("meta"):
                layer: nn.Module = (cls or type(module))(**{**known, **changes})
        except (TypeError, ValueError, RuntimeError, AssertionError):
            return
        layer = layer if own is None else layer.to(own.dtype)
        yield Try((layer.train(module.training),), write=constructor(layer), note=note)


def replaced(module: nn.Module, cls: Any, *args: Any, note: str = "", **options: Any) -> Try:
    """Another layer instead of this one, of the same type and mode."""
    own = next(module.parameters(), None)
    with torch.device("meta"):
        layer: nn.Module = cls(*args, **options)
    layer = layer if own is None else layer.to(own.dtype)
    return Try((layer.train(module.training),), write=constructor(layer), note=note)


def before(layer: nn.Module, *entries: Callable[..., Any], write: Try | None = None) -> Try:
    """Entries that are put before the layer, which may itself be written otherwise."""
    texts = tuple(constructor(each if isinstance(each, nn.Module) else Function(each)) for each in entries)
    last = write.layers if write is not None else (layer,)
    return Try((*entries, *last), texts, write.write if write is not None else "")


def channels_to(dimension: int) -> Callable[[Tensor], Tensor]:
    """What brings the channels from the last dimension to another one."""
    return partial(torch.movedim, source=-1, destination=dimension)


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
