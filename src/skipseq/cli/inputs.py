"""``--input 1,3,256,256``: the inputs of a network as they are typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from skipseq.errors import did_you_mean
from skipseq.wiring import Wiring

from .told import UsageError

__all__ = ["Typed", "examples_of", "given_to", "listed", "read_inputs"]

EXAMPLES = "--input 1,3,256,256, or N,3,256,256 for a batch of any size, or by name: --input x=1,3,64,64"


@dataclass(frozen=True, slots=True)
class Typed:
    """One input as it was typed.

    >>> from skipseq.cli.inputs import read_inputs
    >>> read_inputs(["tokens=1,128:int64"])
    [Typed(text='tokens=1,128:int64', name='tokens', shape=(1, 128), dtype='int64')]
    """

    text: str
    name: str | None
    shape: tuple[int | str, ...]
    dtype: str | None


def read_inputs(texts: Iterable[str]) -> list[Typed]:
    """The inputs that were typed.

    >>> from skipseq.cli.inputs import read_inputs
    >>> [each.shape for each in read_inputs(["1,3,64,64", "1x3x64x64", "N,3,64,64"])]
    [(1, 3, 64, 64), (1, 3, 64, 64), ('N', 3, 64, 64)]

    Raises:
        UsageError: if one is no shape.
    """
    typed = [read_input(text) for text in texts]
    symbols = sorted({each.shape[0] for each in typed if isinstance(each.shape[0], str)})
    if len(symbols) > 1:
        raise UsageError(f"two sizes of the batch are unknown: {' and '.join(symbols)}.\n  Write one name for both.")
    return typed


def read_input(text: str) -> Typed:
    """One input: ``name=extents:dtype``, where name and dtype may be missing."""
    name, equals, rest = text.partition("=") if "=" in text else ("", "", text)
    extents, colon, dtype = rest.partition(":")
    extents = extents.strip().strip("()[]").rstrip(",")
    separator = "," if "," in extents else "x"
    shape = tuple(read_extent(text, i, each.strip()) for i, each in enumerate(extents.split(separator)))
    if equals and not name.strip():
        raise UsageError(f"--input {text} has no name before '='.\n  Write {EXAMPLES}.")
    if colon and isinstance(shape[0], str):
        raise UsageError(
            f"--input {text} has a dtype and a batch of unknown size, which do not go together.\n"
            f"  Write a number: --input {text.replace(shape[0], '1', 1)}. Numbers for an embedding need no dtype."
        )
    return Typed(text, name.strip() or None, shape, dtype.strip() if colon else None)


def read_extent(text: str, position: int, extent: str) -> int | str:
    """One extent of a shape: a number, or in the first place a name for any number."""
    if extent.isascii() and extent.isdigit():
        return int(extent)
    if extent.isidentifier() and position == 0:
        return extent
    if extent.isidentifier():
        problem = f"has {extent!r} where a number belongs. Only the first extent, the batch, may have a name."
    else:
        problem = f"has {extent!r} where a number belongs." if extent else "lacks a number."
    raise UsageError(f"--input {text} {problem}\n  Write {EXAMPLES}.")


# What a network is given


def given_to(wiring: Wiring, typed: Sequence[Typed], device: Any = "cpu") -> dict[str, Any]:
    """The inputs of a network by name, as shapes, or as tensors without memory where a dtype was typed.

    Raises:
        UsageError: if one is missing, unknown or given twice.
    """
    known = [*wiring.inputs, *wiring.needs]
    unnamed = [name for name in wiring.inputs if name not in {each.name for each in typed}]
    given: dict[str, Any] = {}
    for each in typed:
        name = each.name or (unnamed.pop(0) if unnamed else None)
        if name is None:
            raise UsageError(f"--input {each.text} is one too many: the network takes {listed(known)}.")
        if name not in known:
            raise UsageError(f"the network has no input {name!r}: it takes {listed(known)}.{did_you_mean(name, known)}")
        if name in given:
            raise UsageError(f"the input {name!r} is given twice.\n  Write --input {name}=... once.")
        given[name] = each.shape if each.dtype is None else tensor(each, device)
    if missing := [name for name in known if name not in given]:
        advice = " ".join([*(f"--input {each.text}" for each in typed), *(f"--input {name}=..." for name in missing)])
        raise UsageError(f"the network takes {listed(known)}; --input lacks {listed(missing)}.\n  Write {advice}")
    return given


def examples_of(typed: Sequence[Typed], device: Any = "cpu") -> tuple[list[Any], dict[str, Any]]:
    """Tensors of zeros for the inputs that were typed: those in order, and those by name; a batch of any size is one of 2."""
    import torch

    def zeros(each: Typed) -> Any:
        shape = tuple(2 if isinstance(extent, str) else extent for extent in each.shape)
        return torch.zeros(shape, dtype=dtype_of(each) if each.dtype is not None else None, device=device)

    in_order = [zeros(each) for each in typed if each.name is None]
    return in_order, {each.name: zeros(each) for each in typed if each.name is not None}


def tensor(typed: Typed, device: Any) -> Any:
    """A tensor of this shape and dtype; it has no memory."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.empty(typed.shape, dtype=dtype_of(typed), device=device)  # type: ignore[arg-type]


def dtype_of(typed: Typed) -> Any:
    """The dtype that was typed."""
    import torch

    name = (typed.dtype or "").removeprefix("torch.")
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        known = [each for each in dir(torch) if isinstance(getattr(torch, each), torch.dtype)]
        raise UsageError(
            f"--input {typed.text} has {name!r} where a dtype belongs.{did_you_mean(name, known)}\n"
            "  Write one of PyTorch: float32, float16, bfloat16, int64, bool."
        )
    return dtype


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    quoted = [repr(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
