"""Words with fewer operands, or with layers behind them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from skipseq.declare.functions import Function
from skipseq.declare.words import Called, CallWord, Joined, JoinWord, TakeWord, Via, Word, here, is_number

__all__ = ["Kept", "reduced", "through"]


class Kept(Exception):
    """An operand that cannot be left out; the text says why."""


class Gone:
    """What is left of an operand that was taken out."""


GONE = Gone()


def reduced(word: Word, names: Collection[str]) -> Word | None:
    """A word without the operands of these names; nothing if it has nothing more to do.

    Raises:
        Kept: if the rest would mean something else.
    """
    if isinstance(word, JoinWord):
        return reduced_join(word, names)
    if isinstance(word, CallWord):
        other: CallWord = word.twin()
        other.called = replace(word.called, operands=(), named=())
        other._modules.clear()
        arguments = [argument(each, names) for each in word.called.operands]
        named = [(name, argument(each, names)) for name, each in word.called.named]
        kept = tuple(other.keep_from(word, each) for each in arguments)
        other.called = Called(None, kept, tuple((name, other.keep_from(word, each)) for name, each in named))
        return other
    assert isinstance(word, TakeWord)
    operand = without(word.operand, names)
    if operand is GONE:
        raise Kept("a take has no other value to give")
    return take_of(word, operand)


def reduced_join(word: JoinWord, names: Collection[str]) -> Word | None:
    """A join at an entry without some of its operands."""
    joined = word.joined
    if len(joined.operands) == 1:
        operand = without(joined.operands[0], names)
        kept = None if operand is GONE else replace(joined, operands=(operand,))
    else:
        kept = kept_of(joined, names)
    if kept is None or kept.operands == (here,):
        return None
    values = [each for each in kept.operands if not is_number(each)]
    if len(joined.operands) > 1 and len(kept.operands) == 1:
        return take_of(word, kept.operands[0])
    other: JoinWord = word.twin()
    other._modules.clear()
    if len(values) == 1 and len(joined.operands) > 1:  # with one value there is nothing to fit or to project
        kept = replace(kept, fit=None, like=None, mode="nearest", align_corners=None, project=None)
        kept = replace(kept, projections=(None,) * len(kept.operands))
    other.joined = other.keep_from(word, kept)  # type: ignore[assignment]
    other.training = word.training
    return other


def take_of(word: Word, operand: Any) -> TakeWord:
    """A take of an operand whose layers another word owns."""
    other = TakeWord(here)
    other.operand = other.keep_from(word, operand)
    other.training = word.training
    return other


def without(operand: Any, names: Collection[str]) -> Any:
    """An operand without these names in it, or ``GONE``."""
    if isinstance(operand, str):
        return GONE if operand in names else operand
    if isinstance(operand, Via):
        base = without(operand.base, names)
        return GONE if base is GONE else replace(operand, base=base)
    if isinstance(operand, Called):
        inner = tuple(argument(each, names) for each in operand.operands)
        return replace(operand, operands=inner, named=tuple((name, argument(each, names)) for name, each in operand.named))
    if isinstance(operand, Joined):
        kept = kept_of(operand, names)
        return GONE if kept is None else kept.operands[0] if len(kept.operands) == 1 else kept
    return operand


def kept_of(joined: Joined, names: Collection[str]) -> Joined | None:
    """A join without some of its operands; nothing if no value is left."""
    inner = [without(each, names) for each in joined.operands]
    if joined.operator == "sub" and inner[0] is GONE:
        raise Kept("it is what the others are subtracted from")
    projections = joined.projections or (None,) * len(inner)
    kept = [(each, layer) for each, layer in zip(inner, projections, strict=True) if each is not GONE]
    if len(kept) < len(inner) and all(is_number(each) for each, _ in kept):
        return None
    return replace(joined, operands=tuple(each for each, _ in kept), projections=tuple(layer for _, layer in kept))


def argument(operand: Any, names: Collection[str]) -> Any:
    """An argument of a call, which cannot be left out as a whole."""
    left = without(operand, names)
    if left is GONE:
        raise Kept("a call needs all its arguments")
    return left


def through(word: Word, names: Collection[str], function: Callable[[Any], Any]) -> Word:
    """The word, with the values of these names going through a function at last. The keys of its layers stay."""
    other = word.twin()
    other.training = word.training

    def keep() -> str:
        key = str(next(i for i in range(len(other._modules) + 1) if str(i) not in other._modules))
        other._modules[key] = Function(function)
        return key

    if isinstance(other, JoinWord):
        other.joined = passed(other.joined, names, keep)
    elif isinstance(other, CallWord):
        other.called = passed(other.called, names, keep)
    elif isinstance(other, TakeWord):
        other.operand = passed(other.operand, names, keep)
    return other  # type: ignore[no-any-return]


def passed(operand: Any, names: Collection[str], keep: Callable[[], str]) -> Any:
    """An operand in which the values of these names go through a layer that is kept under a new key."""
    if isinstance(operand, str):
        return Via(operand, (keep(),)) if operand in names else operand
    if isinstance(operand, Via):
        if isinstance(operand.base, str):
            return replace(operand, layers=(*operand.layers, keep())) if operand.base in names else operand
        return replace(operand, base=passed(operand.base, names, keep))
    if isinstance(operand, Joined):
        return replace(operand, operands=tuple(passed(each, names, keep) for each in operand.operands))
    if isinstance(operand, Called):
        inner = tuple(passed(each, names, keep) for each in operand.operands)
        return replace(operand, operands=inner, named=tuple((name, passed(each, names, keep)) for name, each in operand.named))
    return operand
