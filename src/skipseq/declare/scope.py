"""What a name means at one point of one container.

A name is looked for among the container's own earlier entries, then among the labels saved inside its earlier parts; what is
found nowhere is a need, which the container around it resolves in the same way. A label that is saved anywhere in a container
is that container's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from skipseq.errors import did_you_mean
from skipseq.wiring import Part, Value, Wiring, named_by_user, reachable, value_at

from .words import written_entry

__all__ = ["Draft", "Scope"]


@dataclass(slots=True)
class Draft:
    """A part while its container is put together: later entries may still ask for its inner values."""

    step: Part
    wants: dict[str, Value] = field(default_factory=dict)

    def path(self) -> str:
        """The path of the part from its container."""
        return ".".join(self.step.path)

    def finished(self) -> Part:
        """The step, with what it was asked for."""
        return replace(self.step, wants=tuple(self.wants), gives=(*self.step.gives, *self.wants.values()))


class Scope:
    """The names of a container that are known so far, and the faults found among them."""

    def __init__(self, inputs: tuple[str, ...] | None) -> None:
        self.inputs = inputs or ("input",)
        self.closed = inputs is not None
        self.count = len(self.inputs)
        #: Keys, labels and inputs that are known here, and those that come anywhere in this container.
        self.names: dict[str, Value] = {name: i for i, name in enumerate(self.inputs)}
        self.keys: set[str] = set()
        self.saves: dict[str, str] = {}
        #: Earlier parts by path, and the labels saved inside them with the paths of their saves.
        self.drafts: dict[str, Draft] = {}
        self.inner: dict[str, list[str]] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        #: What nothing inside gives, the place of the first reader of each, and the dotted names that were read.
        self.needs: dict[str, Value] = {}
        self.readers: dict[str, str] = {}
        self.paths: dict[str, None] = {}
        #: The entry at hand, the place of the reader inside it, or the outputs that are being resolved.
        self.index, self.key, self.returned, self.reader = 0, "", "", ""
        self.entry: list[tuple[str, nn.Module]] = []
        self.faults: list[str] = []

    def new(self) -> Value:
        """A value that was not there before."""
        self.count += 1
        return self.count - 1

    def fault(self, text: str, advice: str = "") -> None:
        """Notes a fault of the entry at hand, of the word inside it that reads a need, or of ``outputs``."""
        word = f"net{self.reader}" if self.reader else f"net[{self.index}] {written_entry(self.entry)}"
        self.faults.append(f"{self.returned or word} {text}" + (f"\n  {advice}" if advice else ""))

    def resolve(self, name: str) -> Value:
        """The value that a name means here."""
        if name == "input":
            return 0
        if name in self.names:
            return self.names[name]
        if "." in name:
            return self.resolve_path(name)
        found = self.inner.get(name, [])
        if len(found) == 1:
            return self.wanted(found[0])
        if len(found) > 1:
            self.fault(
                f"reads {name!r}, which is saved at {' and at '.join(map(repr, found))}.",
                f"Write the path of the one that is meant: {found[-1]!r}.",
            )
            return self.new()
        if name in self.saves or name in self.keys:
            where = f"saved at {self.saves[name]}" if name in self.saves else f"the output of layer {name!r}"
            self.fault(
                f"reads {name!r} before it is there: it is {where}.",
                "A skip leads forward: save the value before the entry that reads it.",
            )
            return self.new()
        return self.need(name)

    def resolve_need(self, name: str, wiring: Wiring, path: tuple[str, ...]) -> Value:
        """The value that the need of a part means here."""
        place = f".{'.'.join(path)}" if path[-1].isidentifier() else f"[{self.index}]"
        self.reader = place + wiring.readers.get(name, "")
        value = self.resolve(name)
        self.reader = ""
        return value

    def resolve_path(self, name: str) -> Value:
        """The value that a dotted path means: a label or an entry inside an earlier part."""
        head = name.partition(".")[0]
        if (found := self.draft_at(name)) is not None:
            draft, rest = found
            if reachable(draft.step.wiring, rest):
                self.paths[name] = None
                return self.wanted(name)
            known = [name.removesuffix(rest) + each for each in draft.step.wiring.names]
            self.fault(f"reads {name!r}, which does not exist.{did_you_mean(name, known)}")
        elif head in self.names:
            self.fault(
                f"reads {name!r}, but {head!r} is no sequence: values inside it cannot be reached.",
                f"Refer to its output, {head!r}, or put skipseq.trace(module) in its place, which reads its forward.",
            )
        elif head in self.keys:
            self.fault(
                f"reads {name!r} before it is there: {head!r} has not given its output yet.",
                "A skip leads forward: save the value before the entry that reads it.",
            )
        else:
            return self.need(name)
        return self.new()

    def draft_at(self, path: str) -> tuple[Draft, str] | None:
        """The earlier part that a dotted path leads into, and the rest of the path inside it."""
        for end in (i for i, letter in enumerate(path) if letter == "."):
            if path[:end] in self.drafts:
                return self.drafts[path[:end]], path[end + 1 :]
        return None

    def wanted(self, path: str) -> Value:
        """An inner value of an earlier part, which the part will return besides its result."""
        found = self.draft_at(path)
        assert found is not None
        draft, rest = found
        inner = value_at(draft.step.wiring, rest)
        if inner is not None and inner == draft.step.wiring.result:
            return draft.step.gives[0]
        if rest not in draft.wants:
            draft.wants[rest] = self.new()
        return draft.wants[rest]

    def need(self, name: str) -> Value:
        """A name that nothing inside gives: an input by keyword, unless the sequence is closed."""
        if self.closed:
            advice = f"Save the value before it is read, or name it in inputs={self.inputs!r}."
            self.fault(f"reads {name!r}, which nothing gives.{self.nearest(name)}", advice)
            return self.new()
        if name not in self.needs:
            self.needs[name] = self.new()
            self.readers[name] = self.reader or f"[{self.index}]"
        return self.needs[name]

    def nearest(self, name: str) -> str:
        """The name that may have been meant, among those that a user gave."""
        return did_you_mean(name, [*filter(named_by_user, self.names), *self.inner])
