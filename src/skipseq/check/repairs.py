"""What to write where values of different shapes meet in a join: each repair is tried before it is offered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import constructor
from skipseq.declare.words import Joined, JoinWord, PickWord, TakeWord, Unfit, Via, Word, here, running_at, write
from skipseq.joins import join, joinable
from skipseq.wiring import Fit, Join, Wiring

from .explain import differing_dimensions, has_dimension, is_repeated
from .problems import rebuilt
from .stand_ins import StandIns

__all__ = ["JoinRepair", "Meeting", "repair_join"]


@dataclass(frozen=True, slots=True)
class JoinRepair:
    """A repair that works: what to write, in one sentence or two, and what the join gives then."""

    text: str
    result: Any


@dataclass(frozen=True)
class Meeting:
    """Values that meet in a join and do not fit.

    Args:
        container: where the join stands, and ``wiring`` and ``step`` how.
        takes: the fake values.
        world: makes the stand-ins on which repairs are tried.
        tokens: whether the values are (batch, tokens, features), as far as that is known.
        inner: for each value the last layer of the ``via`` that it comes through, and the value before that layer.
    """

    container: nn.Module
    wiring: Wiring
    step: Join
    takes: Sequence[Any]
    world: StandIns
    tokens: bool | None = None
    inner: Sequence[tuple[nn.Module, Any] | None] = ()

    @property
    def word(self) -> Word:
        """The word of the join, or the one that it stands in."""
        word = self.container._modules[self.step.key]
        assert isinstance(word, Word)
        return word

    @property
    def joined(self) -> Joined | None:
        """The join as it was written: in a word that holds several, that of the step."""
        steps = [each for each in self.wiring.steps if isinstance(each, Join) and each.key == self.step.key]
        found = [each for operand in outermost(self.word) for each in joins_in(operand)]
        known = dict(zip(steps, found, strict=False)) if len(steps) == len(found) else {}
        return known.get(self.step)

    @property
    def operands(self) -> tuple[Any, ...]:
        """What is joined, with the running value where it is implied."""
        joined = self.joined
        assert joined is not None
        return joined.operands if len(joined.operands) == len(self.takes) else (here, *joined.operands)

    @property
    def running(self) -> int:
        """The position of the running value, to which the others are brought."""
        return running_at(self.operands)

    def write(self, **changes: Any) -> str:
        """The word with other options of the join, or other ``operands``."""
        joined = self.joined
        assert joined is not None
        if "operands" in changes:  # with layers of their own, they need no further projection
            changes = {"project": None, **changes}
        (old,) = outermost(self.word)
        text = write(exchanged(old, joined, replace(joined, **changes)), self.word, constructor)
        return f"take({text})" if isinstance(self.word, TakeWord) else text

    def with_layers(self, layers: Sequence[Sequence[nn.Module]], **changes: Any) -> str:
        """The word with more layers for each operand."""
        own = [via(each, more, self.word) for each, more in zip(self.operands, layers, strict=True)]
        short = len(own) == 2 and own[0] is here and len(self.joined.operands) == 1  # type: ignore[union-attr]
        return self.write(operands=tuple(own[1:] if short else own), **changes)

    def attempt(self, takes: Sequence[Any], **changes: Any) -> Any:
        """What the join gives for other values, or with other options; nothing if it cannot."""
        step = replace(self.step, **changes)
        if not joinable(step, [tuple(each.shape) for each in takes]):
            return None
        try:
            with self.world.mode:
                return join(step, takes)
        except Exception:  # a repair that fails in any way is not offered
            return None

    def through(self, value: Tensor, layers: Sequence[nn.Module]) -> Any:
        """A value behind some new layers, or nothing if they cannot take it."""
        for layer in layers:
            for tensor in layer.parameters():
                self.world.tensor(tensor, value.device)
        own = value.dtype
        try:
            with self.world.mode:
                for layer in layers:
                    value = self.world.module(layer)(value.to(torch.float32))
                return value.to(own)
        except Exception:  # a repair that fails in any way is not offered
            return None


def outermost(word: Word) -> tuple[Any, ...]:
    """The operand that a join or a take as a whole is; nothing for other words."""
    if isinstance(word, JoinWord):
        return (word.joined,)
    return (word.operand,) if isinstance(word, TakeWord) else ()


def joins_in(operand: Any) -> Iterator[Joined]:
    """The joins in an operand, in the order in which they are made."""
    if isinstance(operand, Via):
        yield from joins_in(operand.base)
    elif isinstance(operand, Joined):
        for each in operand.operands:
            yield from joins_in(each)
        yield operand


def exchanged(operand: Any, old: Joined, new: Joined) -> Any:
    """An operand with another join in place of one."""
    if operand is old:
        return new
    if isinstance(operand, Via):
        return replace(operand, base=exchanged(operand.base, old, new))
    if isinstance(operand, Joined):
        return replace(operand, operands=tuple(exchanged(each, old, new) for each in operand.operands))
    return operand


def via(operand: Any, layers: Sequence[nn.Module], word: Word) -> Any:
    """An operand behind more layers, as text; as it is where there are none."""
    if not layers:
        return operand
    text = write(operand, word, constructor)
    inner = text.removeprefix("via(").removesuffix(")") if isinstance(operand, Via) else text
    return Unfit(f"via({', '.join([inner, *map(constructor, layers)])})", "")


# The repairs, the likeliest first


def repair_join(meeting: Meeting) -> JoinRepair | None:
    """The likeliest repair of a join that works, or nothing."""
    shapes = [tuple(each.shape) for each in meeting.takes if isinstance(each, Tensor)]
    if meeting.joined is None:
        return None
    if any(isinstance(each, tuple | list) for each in meeting.takes):
        return pick_part(meeting)
    if len(shapes) != len(meeting.takes):
        return None
    if meeting.step.operator == "cat" and not any(has_dimension(shape, meeting.step.dim) for shape in shapes):
        result = meeting.attempt(meeting.takes, dim=-1)
        return None if result is None else JoinRepair(f"Write {meeting.write(dim=-1)}.", result)
    if meeting.step.broadcast:
        return None
    if len({len(shape) for shape in shapes}) > 1:
        return repair_rank(meeting)
    differing = differing_dimensions(meeting.step, shapes)
    if not differing or 0 in differing:
        return None
    finders: list[Callable[[Meeting], JoinRepair | None]] = [join_features, change_via]
    small = min(differing) >= 2 and not is_features(meeting, shapes)
    if small and near(shapes, differing):
        finders += [crop]
    if meeting.step.operator != "cat" and not (is_repeated(meeting.step, shapes) and small):
        finders += [project, project_and_crop]
    if small and not is_repeated(meeting.step, shapes):
        finders += [resize]
    return next((found for find in finders if (found := find(meeting)) is not None), None)


def pick_part(meeting: Meeting) -> JoinRepair | None:
    """To take the first part of a tuple that fits, as that of what an LSTM returns."""
    k = next(i for i, each in enumerate(meeting.takes) if isinstance(each, tuple | list))
    operand = meeting.operands[k]
    for key, part in enumerate(meeting.takes[k]):
        takes = [part if i == k else each for i, each in enumerate(meeting.takes)]
        if not all(isinstance(each, Tensor) for each in takes) or (result := meeting.attempt(takes)) is None:
            continue
        if operand is here:
            return JoinRepair(f"Put pick[{key}] before it.", result)
        layers = [[PickWord(key)] if i == k else [] for i in range(len(takes))]
        return JoinRepair(f"Write {meeting.with_layers(layers)}.", result)
    return None


def is_features(meeting: Meeting, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether the values are (batch, tokens, features): then the last dimension is no extent."""
    return len(shapes[0]) == 3 and bool(meeting.tokens)


def join_features(meeting: Meeting) -> JoinRepair | None:
    """Of (batch, tokens, features), the features are meant to be put together."""
    if meeting.step.operator != "cat" or meeting.tokens is not True or meeting.takes[0].dim() != 3:
        return None
    result = meeting.attempt(meeting.takes, dim=2)
    return None if result is None else JoinRepair(f"Write {meeting.write(dim=-1)}.", result)


def crop(meeting: Meeting) -> JoinRepair | None:
    """To ask for a crop, of values that differ by little."""
    result = meeting.attempt(meeting.takes, fit=Fit("crop"))
    return None if result is None else JoinRepair(f"Write {meeting.write(fit='crop')}.", result)


def resize(meeting: Meeting) -> JoinRepair | None:
    """To ask for a resize to the first named value."""
    joined, named = meeting.joined, next((i for i, each in enumerate(meeting.operands) if isinstance(each, str)), 0)
    ruler = meeting.running if joined is not None and joined.like is here else named
    result = meeting.attempt(meeting.takes, fit=Fit("resize", ruler))
    return None if result is None else JoinRepair(f"Write {meeting.write(fit='resize')}.", result)


def project(meeting: Meeting) -> JoinRepair | None:
    """To ask for a projection of the other values to the shape of the running value."""
    like = meeting.takes[meeting.running]
    layers = [projection(each, like) for each in meeting.takes]
    values = [meeting.through(each, more) for each, more in zip(meeting.takes, layers, strict=True)]
    if any(each is None for each in values) or (result := meeting.attempt(values)) is None:
        return None
    text = f"Write {meeting.write(project=True)}"
    named = [operand for operand, more in zip(meeting.operands, layers, strict=True) if more]
    text += f", or {meeting.with_layers(layers)}." if len(named) == 1 and isinstance(named[0], str) else "."
    channels_alike = len({each.shape[1] for each in meeting.takes}) == 1
    if like.dim() > 2 and channels_alike and not meeting.tokens:
        text += "\nOr keep the size in the layers between, with 3x3 convolutions, stride=1 and padding=1."
    return JoinRepair(text, result)


def projection(value: Tensor, like: Tensor) -> list[nn.Module]:
    """The layer that brings a value to the shape of another one: a 1x1 convolution or a linear layer."""
    rank = value.dim()
    if value.shape == like.shape:
        return []
    with torch.device("meta"):
        if rank == 2 or (rank == 3 and value.shape[1] == like.shape[1]):
            return [nn.Linear(value.shape[-1], like.shape[-1])]
        if not 3 <= rank <= 5:
            return []
        pairs = zip(value.shape[2:], like.shape[2:], strict=True)
        stride = tuple(max(1, round(have / want)) if want else 1 for have, want in pairs)
        return [getattr(nn, f"Conv{rank - 2}d")(value.shape[1], like.shape[1], 1, stride=stride)]


def project_and_crop(meeting: Meeting) -> JoinRepair | None:
    """To project the channels, and to crop the extents behind that."""
    like = meeting.takes[meeting.running]
    layers = [[] if each.shape[1] == like.shape[1] else channels(each, like) for each in meeting.takes]
    values = [meeting.through(each, more) for each, more in zip(meeting.takes, layers, strict=True)]
    if any(each is None for each in values) or like.dim() < 3:
        return None
    if not near([tuple(each.shape) for each in meeting.takes], list(range(2, like.dim()))):
        return None
    result = meeting.attempt(values, fit=Fit("crop"))
    return None if result is None else JoinRepair(f"Write {meeting.with_layers(layers, fit='crop')}.", result)


def channels(value: Tensor, like: Tensor) -> list[nn.Module]:
    """The 1x1 convolution that gives a value the channels of another one."""
    if not 3 <= value.dim() <= 5:
        return []
    with torch.device("meta"):
        return [getattr(nn, f"Conv{value.dim() - 2}d")(value.shape[1], like.shape[1], 1)]


def change_via(meeting: Meeting) -> JoinRepair | None:
    """To write the last layer of a ``via`` so that it gives the shape of the running value."""
    like = meeting.takes[meeting.running]
    for k, (operand, inner) in enumerate(zip(meeting.operands, meeting.inner, strict=False)):
        if not isinstance(operand, Via) or inner is None or k == meeting.running:
            continue
        for layer in instead_of(inner[0], inner[1], like):
            value = meeting.through(inner[1], [layer])
            takes = [value if i == k else each for i, each in enumerate(meeting.takes)]
            if value is not None and (result := meeting.attempt(takes)) is not None:
                word = exchanged_layer(meeting.word, operand.layers[-1], layer)
                return JoinRepair(f"Write {word}.", result)
    return None


def instead_of(layer: nn.Module, value: Tensor, like: Tensor) -> Iterator[nn.Module]:
    """Layers that might give another shape where this one stands."""
    if isinstance(layer, nn.Linear):
        changes: dict[str, Any] = {"out_features": like.shape[-1]}
    elif isinstance(layer, nn.modules.conv._ConvNd) and value.dim() == like.dim() == len(layer.kernel_size) + 2:
        pairs = zip(value.shape[2:], like.shape[2:], strict=True)
        changes = {"out_channels": like.shape[1], "stride": tuple(max(1, round(have / max(want, 1))) for have, want in pairs)}
    else:
        return
    yield from (each.layers[0] for each in rebuilt(layer, **changes))  # type: ignore[misc]


def exchanged_layer(word: Word, key: str, layer: nn.Module) -> str:
    """A word as it was written, with another layer at one of its keys."""
    other = word.twin()
    other._modules[key] = layer
    text: str = other.written(constructor)
    return text


def repair_rank(meeting: Meeting) -> JoinRepair | None:
    """To bring one of two values, named or running, to the number of dimensions of the other one."""
    if len(meeting.takes) != 2:
        return None
    k = 1 - meeting.running
    value, like = meeting.takes[k], meeting.takes[meeting.running]
    if like.dim() == 2 < value.dim():
        return flattened(meeting, k) or unflattened(meeting, 1 - k)
    return unflattened(meeting, k) if value.dim() == 2 < like.dim() else None


def flattened(meeting: Meeting, k: int) -> JoinRepair | None:
    """To flatten a value, and to project it where values are not put side by side."""
    value, like = meeting.takes[k], meeting.takes[1 - k]
    if meeting.step.operator in ("mul", "sub") and prod(value.shape[1:]) != like.shape[1]:
        return None
    layers: list[nn.Module] = [nn.Flatten()]
    if meeting.step.operator != "cat" and prod(value.shape[1:]) != like.shape[1]:
        with torch.device("meta"):
            layers.append(nn.Linear(prod(value.shape[1:]), like.shape[1]))
    return behind_layers(meeting, k, layers)


def unflattened(meeting: Meeting, k: int) -> JoinRepair | None:
    """To give features the dimensions of a picture or of tokens, and to repeat them over its positions."""
    value, like = meeting.takes[k], meeting.takes[1 - k]
    dimension = 2 if like.dim() == 3 and meeting.tokens else 1
    wanted = like.shape[dimension]
    ones = [1] * (like.dim() - 2)
    layers: list[nn.Module] = []
    if value.shape[1] != wanted and meeting.step.operator != "cat":
        with torch.device("meta"):
            layers.append(nn.Linear(value.shape[1], wanted))
        size = wanted
    else:
        size = value.shape[1]
    layers.append(nn.Unflatten(1, (size, *ones) if dimension == 1 else (*ones, size)))
    if meeting.step.operator == "cat":
        return behind_layers(meeting, k, layers, fit="resize", like=here) if dimension == 1 else None
    return behind_layers(meeting, k, layers, broadcast=True)


def behind_layers(meeting: Meeting, k: int, layers: list[nn.Module], **options: Any) -> JoinRepair | None:
    """The join with one value behind new layers, and with options."""
    value = meeting.through(meeting.takes[k], layers)
    takes = [value if i == k else each for i, each in enumerate(meeting.takes)]
    changes: dict[str, Any] = {"broadcast": True} if "broadcast" in options else {}
    if "fit" in options:
        changes = {"fit": Fit(options["fit"], meeting.running)}
        if k == meeting.running:
            return None
    if value is None or (result := meeting.attempt(takes, **changes)) is None:
        return None
    more = [layers if i == k else [] for i in range(len(takes))]
    return JoinRepair(f"Write {meeting.with_layers(more, **options)}.", result)


def near(shapes: Sequence[tuple[int, ...]], differing: Sequence[int]) -> bool:
    """Whether extents differ by little: a few positions that a layer without padding took, not a layer that halves."""
    return all(2 * min(shape[d] for shape in shapes) > max(shape[d] for shape in shapes) for d in differing)
