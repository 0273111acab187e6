"""The loss of a network without each of its skips, measured: same batches, same random numbers, and nothing left behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from math import fsum
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.check.infer import untouched_random
from skipseq.declare.words import describe
from skipseq.errors import CallError, WiringError
from skipseq.views.ablation.ablation import Ablation
from skipseq.views.ablation.rows import Removed, Told

from .ablating import FUNCTIONS
from .skips import Skip

__all__ = ["measure"]


def measure(net: Any, loss: Callable[[Any, Any], Any], batches: Iterable[Any], by: str, progress: bool) -> Ablation:
    """The loss of a network with all skips, and without each of them; see ``net.ablation``."""
    if not callable(loss):
        raise CallError(
            f"ablation: the loss is {describe(loss)}, and no function.\n  Write ablation(loss, batches), as in {LOSS}"
        )
    if isinstance(batches, Iterator) or not is_iterable(batches):
        raise CallError(
            f"ablation: the batches are {describe(batches)}, which cannot be walked once for each skip.\n"
            "  Give a list, list(batches), or a DataLoader."
        )
    # An output that is no end of the running value is none, and several reads by one word can only be taken out together.
    ends = {(skip.giver, skip.join): skip for skip in reversed(net.skips) if skip.operator != "output"}
    skips = list(reversed(ends.values()))
    state = State(net, batches)
    with Bar(batches, 1 + len(skips), progress) as bar, torch.no_grad():
        baseline, count = mean_loss(net, loss, batches, state, bar)
        removed = [without(net, skip, loss, batches, by, baseline, state, bar) for skip in skips]
    told = Told(type(net).__name__, by, count, "training" if net.training else "eval")
    return Ablation(told, baseline, removed)


#: How a loss is written.
LOSS = "lambda net, batch: functional.mse_loss(net(batch[0]), batch[1])."


def is_iterable(thing: Any) -> bool:
    """Whether something can be walked; a data set by numbers can too."""
    return isinstance(thing, Iterable) or hasattr(thing, "__getitem__")


def without(net: Any, skip: Skip, loss: Any, batches: Any, by: str, baseline: float, state: State, bar: Bar) -> Removed:
    """One skip, and the loss without it; or why there is none."""
    try:
        ablated = net.ablate(skip.giver, skip.join, by=by)
        alone, _ = mean_loss(ablated, loss, batches, state, bar)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # with the skip there was none: the network cannot run without it, and the others are told
        if by not in (*FUNCTIONS, "remove"):
            raise
        return Removed(skip.giver, skip.reader, skip.how(), problem=reason(error))
    return Removed(skip.giver, skip.reader, skip.how(), alone, alone - baseline)


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    text = error.faults[0] if isinstance(error, WiringError) else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0]


def mean_loss(net: Any, loss: Any, batches: Any, state: State, bar: Bar) -> tuple[float, int]:
    """The mean of the losses of all batches, and how many they are.

    Raises:
        CallError: if there are no batches, or the loss is no number.
    """
    losses = []
    try:
        with state.kept():
            for batch in batches:
                losses.append(as_number(loss(net, batch)))
                bar.step()
    finally:
        bar.end_row()
    if not losses:
        raise CallError("ablation: there are no batches.\n  Give a list or a DataLoader with at least one.")
    return fsum(losses) / len(losses) if all(map(is_finite, losses)) else sum(losses) / len(losses), len(losses)


def is_finite(value: float) -> bool:
    """Whether a loss is a number that can be added exactly."""
    return value - value == 0.0


def as_number(value: Any) -> float:
    """A loss as a number.

    Raises:
        CallError: if it is none.
    """
    single = not isinstance(value, Tensor) or (value.dim() == 0 and not value.is_complex())
    try:
        if single and not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    advice = "Take its mean: loss.mean()." if isinstance(value, Tensor) else f"Write {LOSS}"
    raise CallError(f"ablation: the loss gave {describe(value)}, and not one number.\n  {advice}")


class State:
    """What a pass may change in a network and around it, so that every row starts from the same, and nothing is left behind.

    Args:
        net: the network; those made from it share its layers.
        batches: what is walked; a data loader may draw from a generator of its own.
    """

    def __init__(self, net: nn.Module, batches: Any) -> None:
        drawing = (batches, getattr(batches, "sampler", None))
        generators = (getattr(each, "generator", None) for each in drawing)
        self.generators = [(each, each.get_state()) for each in generators if isinstance(each, torch.Generator)]
        self.modes = [(module, module.training) for module in net.modules()]
        self.buffers = [
            (module, name, buffer, buffer.detach().clone())
            for module in net.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        devices = {each.device for each in (*net.parameters(), *net.buffers())}
        self.devices = {device for device in devices if device.type not in ("cpu", "meta")}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Buffers, modes and generators of random numbers are left as they were."""
        with ExitStack() as stack:
            stack.enter_context(untouched_random())
            for kind in {device.type for device in self.devices}:
                places = [device.index or 0 for device in self.devices if device.type == kind]
                stack.enter_context(torch.random.fork_rng(places, device_type=kind))
            try:
                yield
            finally:
                self.restore()

    def restore(self) -> None:
        """Puts buffers, modes and generators back."""
        for generator, state in self.generators:
            generator.set_state(state)
        for module, training in self.modes:
            module.training = training
        for module, name, buffer, saved in self.buffers:
            if not torch.equal(buffer, saved):
                buffer.copy_(saved)
            module._buffers[name] = buffer


class Bar:
    """The progress over all passes, shown in a terminal if tqdm is there."""

    def __init__(self, batches: Any, rows: int, wanted: bool) -> None:
        try:
            self.length: int | None = len(batches)
        except TypeError:
            self.length = None
        self.shown: Any = None
        self.done = self.rows = 0
        if wanted and sys.stderr is not None and sys.stderr.isatty():
            try:
                tqdm = importlib.import_module("tqdm").tqdm
            except ImportError:
                return
            total = None if self.length is None else rows * self.length
            self.shown = tqdm(total=total, desc="ablation", unit="batch", leave=False)

    def step(self) -> None:
        """One batch is done."""
        if self.shown is not None:
            self.done += 1
            self.shown.update()

    def end_row(self) -> None:
        """All batches of a row are done, or left out."""
        self.rows += 1
        if self.shown is not None and self.length is not None:
            self.shown.update(self.rows * self.length - self.done)
            self.done = self.rows * self.length

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown is not None:
            self.shown.close()
