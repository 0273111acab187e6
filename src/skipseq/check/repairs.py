"""What to write where values of different shapes meet in a join: each repair is tried before it is offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import constructor
from skipseq.declare.words import Joined, JoinWord, here, write
from skipseq.joins import join, joinable
from skipseq.wiring import Fit, Join

from .explain import differing_dimensions
from .stand_ins import StandIns

__all__ = ["JoinRepair", "repair_join"]


@dataclass(frozen=True, slots=True)
class JoinRepair:
    """A repair that works: what to write, and what the join gives then."""

    text: str
    result: Any


def repair_join(word: Any, step: Join, takes: Sequence[Any], world: StandIns) -> JoinRepair | None:
    """The likeliest repair of a join that works, or nothing."""
    shapes = [tuple(each.shape) for each in takes if isinstance(each, Tensor)]
    if not isinstance(word, JoinWord) or len({len(shape) for shape in shapes}) > 1 or len(shapes) != len(takes):
        return None
    differing = differing_dimensions(step, shapes)
    if differing and min(differing) >= 2 and (found := fit_repair(word, step, takes, near(shapes, differing), world)):
        return found
    if step.operator == "cat" or 0 in differing:
        return None
    return project_repair(word, step, takes, world)


def fit_repair(word: JoinWord, step: Join, takes: Sequence[Any], small: bool, world: StandIns) -> JoinRepair | None:
    """To ask for a fit: values that differ by little are cropped, others resized."""
    named = next((i for i in range(len(takes)) if i != running_at(word.joined)), 0)
    changed = replace(step, fit=Fit("crop") if small else Fit("resize", named))
    result = attempt(changed, takes, world)
    if result is None or (not small and step.operator != "cat" and project_repair(word, step, takes, world)):
        return None
    fit = "crop" if small else "resize"
    return JoinRepair(f"Write {write(replace(word.joined, fit=fit), word, constructor)}.", result)


def project_repair(word: JoinWord, step: Join, takes: Sequence[Any], world: StandIns) -> JoinRepair | None:
    """To ask for a projection of the other operands to the shape of the running value."""
    running = takes[running_at(word.joined)]
    projected = [project(each, running, world) for each in takes]
    if any(each is None for each in projected):
        return None
    result = attempt(step, [each[0] for each in projected if each is not None], world)
    if result is None:
        return None
    asked = write(replace(word.joined, project=True), word, constructor)
    layer = explicit(word, projected)
    text = f"Write {asked}" + (f", or {layer}." if layer else ".")
    if running.dim() > 2 and len({each.shape[1] for each in takes}) == 1:
        text += "\nOr keep the size in the layers between, with 3x3 convolutions, stride=1 and padding=1."
    return JoinRepair(text, result)


def explicit(word: JoinWord, projected: Sequence[Any]) -> str | None:
    """The join with the layer written out, where one operand alone, a name, is projected."""
    joined = word.joined
    operands = joined.operands if len(joined.operands) == len(projected) else (here, *joined.operands)
    changed = [(operand, layer) for operand, (_, layer) in zip(operands, projected, strict=True) if layer is not None]
    if len(changed) != 1 or not isinstance(changed[0][0], str):
        return None
    name, layer = changed[0]
    return write(joined, word, constructor).replace(repr(name), f"via({name!r}, {constructor(layer)})", 1)


def near(shapes: list[tuple[int, ...]], differing: list[int]) -> bool:
    """Whether extents differ by little: a few positions that a layer without padding took, not a layer that halves."""
    return all(2 * min(shape[d] for shape in shapes) > max(shape[d] for shape in shapes) for d in differing)


def running_at(joined: Joined) -> int:
    """The position of the running value among the operands of a join at an entry."""
    return joined.operands.index(here) if here in joined.operands else 0


def attempt(step: Join, takes: Sequence[Any], world: StandIns) -> Any:
    """What a join gives, or nothing if it cannot."""
    if not joinable(step, [tuple(each.shape) for each in takes]):
        return None
    try:
        with world.mode:
            return join(step, takes)
    except Exception:  # a repair that fails in any way is not offered
        return None


def project(value: Tensor, like: Tensor, world: StandIns) -> tuple[Tensor, nn.Module | None] | None:
    """A value brought to the shape of another one by a 1x1 convolution or a linear layer, and that layer."""
    if value.shape == like.shape:
        return value, None
    rank = value.dim()
    with torch.device("meta"):
        if value.shape[1:-1] == like.shape[1:-1] and rank in (2, 3) and (rank == 2 or value.shape[1] == like.shape[1]):
            layer: nn.Module = nn.Linear(value.shape[-1], like.shape[-1])
        elif 3 <= rank <= 5:
            pairs = zip(value.shape[2:], like.shape[2:], strict=True)
            stride = tuple(max(1, round(have / want)) if want else 1 for have, want in pairs)
            layer = getattr(nn, f"Conv{rank - 2}d")(value.shape[1], like.shape[1], 1, stride=stride)
        else:
            return None
    for tensor in layer.parameters():
        world.tensor(tensor, value.device)
    try:
        with world.mode:
            projected: Tensor = world.module(layer)(value.to(torch.float32)).to(value.dtype)
    except Exception:  # a repair that fails in any way is not offered
        return None
    return (projected, layer) if projected.shape == like.shape else None
