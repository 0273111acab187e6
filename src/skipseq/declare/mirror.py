"""Families of skips: the first entry with the last, the second with the second-last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from skipseq.errors import did_you_mean

from .compose import grouped
from .containers import children_of, inside
from .vocabulary import cat, join_alone
from .words import CallWord, Word, describe

__all__ = ["Mirror", "mirror", "spread"]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Skips from the entries of one part to those of another one, see :func:`mirror`."""

    givers: Any
    readers: Any
    join: Any

    def __repr__(self) -> str:
        joined = "" if self.join is cat else f", join={getattr(self.join, '__name__', None) or repr(self.join)}"
        ends = [repr(each) if isinstance(each, str | list | tuple) else describe(each) for each in (self.givers, self.readers)]
        return f"mirror({', '.join(ends)}{joined})"


def mirror(givers: Any, readers: Any, join: Any = cat) -> Mirror:
    """Skips from the first layer of an encoder to the last of a decoder, from the second to the second-last, and so on.

    It stands where the skips of a network are given from outside; the encoder and the decoder themselves stay as they are::

        encoder    0 ──→ 1 ──→ 2 ─┐           before each layer of the decoder the output of the layer opposite
                   │     │     │  ↓           is joined to what comes
                   │     │     │  bridge
                   ↓     ↓     ↓  │
        decoder    2 ←── 1 ←── 0 ←┘

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, mirror
    >>> encoder = nn.Sequential(*[nn.Conv2d(i, o, 4, 2, 1) for i, o in [(3, 8), (8, 16), (16, 32)]])
    >>> decoder = nn.Sequential(*[nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in [(32, 16), (32, 8), (16, 3)]])
    >>> net = Sequential(("encoder", encoder), ("decoder", decoder), skips=mirror("encoder", "decoder"))
    >>> print(net.decoder)
    # needs encoder.1, encoder.0
    Sequential(
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
        cat('encoder.1'),
        nn.ConvTranspose2d(32, 8, 4, stride=2, padding=1),
        cat('encoder.0'),
        nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1),
    )
    >>> net(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 3, 32, 32])

    With other skips beside it, both stand in a list: ``skips=[mirror("encoder", "decoder"), {"output": add("input")}]``.
    Where the decoder follows the encoder directly, its first layer receives the output of the last one anyway: that
    skip is left out.

    Args:
        givers: the name of a part, or the path of one, all layers of which give; or a list of paths of entries, of which
            the first gives to the last reader.
        readers: the same for those that receive.
        join: the join that stands before each reader: ``cat`` unless given, ``add``, ``cat(dim=-1)``.
    """
    return Mirror(givers, readers, join)


def spread(skips: Any, keyed: Mapping[str, nn.Module], faults: list[str]) -> dict[Any, Any]:
    """Skips from outside as one word for each target: mirrors are written out, several groups put together."""
    if isinstance(skips, Mirror):
        return written_out(skips, keyed, faults)
    if isinstance(skips, Mapping):
        return dict(skips)
    if isinstance(skips, str) or not isinstance(skips, Iterable):
        faults.append(
            f"skips={describe(skips)}. Write skips={{'layer': cat('earlier', here)}}, or mirror('encoder', 'decoder')."
        )
        return {}
    found: dict[Any, Any] = {}
    for each in skips:
        for target, word in spread(each, keyed, faults).items():
            if target in found:
                faults.append(
                    f"skips name {target!r} twice: {found[target]} and {word}. Write one join of both: cat(here, ...)."
                )
            found[target] = word
    return found


def written_out(mirrored: Mirror, keyed: Mapping[str, nn.Module], faults: list[str]) -> dict[Any, Any]:
    """A mirror as words by their targets."""
    word = join_alone(mirrored.join)
    if word is None:
        text = f"join={describe(mirrored.join)} is no join without operands. Write join=cat, join=cat(dim=-1), join=add."
        faults.append(f"{mirrored}: {text}")
        return {}
    ends = [paths_of(each, keyed, mirrored, faults) for each in (mirrored.givers, mirrored.readers)]
    if ends[0] is None or ends[1] is None:
        return {}
    givers, readers = ends[0], ends[1][::-1]
    if len(givers) != len(readers):
        faults.append(
            f"{mirrored}: {mirrored.givers!r} has {len(givers)} layers and {mirrored.readers!r} has {len(readers)}; "
            "the first goes to the last, so there have to be as many.\n"
            f"  Name those that are joined: mirror({givers[:2]!r}, {readers[1::-1]!r})."
        )
        return {}
    pairs = list(zip(givers, readers, strict=True))[: -1 if follows(mirrored, keyed) else None]
    if unreadable := [pair for pair in pairs if is_hidden(*pair)]:
        faults.append(hidden(mirrored, *unreadable[0]))
        return {}
    return {reader: word.of(giver) for giver, reader in pairs}


def paths_of(end: Any, keyed: Mapping[str, nn.Module], mirrored: Mirror, faults: list[str]) -> list[str] | None:
    """The paths of the entries at one end of a mirror, in the order in which they run."""
    if isinstance(end, list | tuple) and all(isinstance(each, str) for each in end):
        return list(end)
    part = part_at(end, keyed) if isinstance(end, str) else None
    if part is None:
        shown = repr(end) if isinstance(end, str) else describe(end)
        what = f"{shown} names no sequence.{did_you_mean(end, keyed) if isinstance(end, str) else ''}"
        faults.append(f"{mirrored}: {what}\n  Write the name of a part of several layers, or a list of the paths of layers.")
        return None
    entries = [entry[-1] for entry in grouped(children_of(part))]
    return [f"{end}.{key}" for key, child in entries if not isinstance(child, Word) or isinstance(child, CallWord)]


def part_at(path: str, keyed: Mapping[str, nn.Module]) -> nn.Module | None:
    """The sequence at a path below some children."""
    head, _, rest = path.partition(".")
    module = keyed.get(head)
    if module is None or not isinstance(inside(module), nn.Sequential):
        return None
    return part_at(rest, children_of(inside(module))) if rest else inside(module)


def follows(mirrored: Mirror, keyed: Mapping[str, nn.Module]) -> bool:
    """Whether the part that receives stands right behind the one that gives."""
    if not isinstance(mirrored.givers, str) or not isinstance(mirrored.readers, str):
        return False
    (home, _, giver), (other, _, reader) = mirrored.givers.rpartition("."), mirrored.readers.rpartition(".")
    container = part_at(home, keyed) if home else None
    keys = [entry[-1][0] for entry in grouped(children_of(container) if container is not None else keyed)]
    return home == other and (giver, reader) in pairwise(keys)


def is_hidden(giver: str, reader: str) -> bool:
    """Whether the name of the giver means another layer where the reader stands: numbers do, in a part of their own."""
    return "." in reader and giver.partition(".")[0].isdigit() and giver.partition(".")[0] != reader.partition(".")[0]


def hidden(mirrored: Mirror, giver: str, reader: str) -> str:
    """The fault of a mirror between parts that have numbers only."""
    part, head = reader.rpartition(".")[0], giver.partition(".")[0]
    return (
        f"{mirrored}: {giver!r} would mean another layer inside {part!r}, which has numbers of its own.\n"
        f"  Give the part a name: Sequential(('encoder', ...), ...) instead of the number {head!r}."
    )
