"""The text as a tree: lists, mappings and scalars with their places. Nothing in it has a meaning yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from skipseq.bridges.opening import yaml_library

from .faults import Place, Source

__all__ = ["MOST_CHARACTERS", "MOST_NESTED", "Alias", "Listed", "Mapped", "Node", "Scalar", "parse"]

#: The largest text that is read, in characters.
MOST_CHARACTERS = 1 << 22

#: How deep lists and mappings, calls and blocks may be nested in one another.
MOST_NESTED = 100

#: How many lists, mappings and scalars a text may have.
MOST_NODES = 200_000


@dataclass(slots=True, eq=False)
class Scalar:
    """A piece of text, and ``raw``, which is how it stands in the file."""

    place: Place
    text: str
    quoted: bool = False
    raw: str = ""
    anchor: str | None = None
    starts: list[int] | None = None

    def at(self, offset: int) -> Place:
        """The place of one of its characters."""
        if self.raw == self.text and "\n" not in self.raw:
            return Place(self.place.line, self.place.column + offset)
        if self.starts is None:
            self.starts = aligned(self.raw, self.text)
        starts = self.starts[min(offset, len(self.text))]
        before = self.raw[:starts]
        line = before.count("\n")
        column = starts - (before.rfind("\n") + 1) + 1
        return Place(self.place.line + line, column + (0 if line else self.place.column - 1))


@dataclass(slots=True, eq=False)
class Listed:
    """A list."""

    place: Place
    items: list[Node] = field(default_factory=list)
    anchor: str | None = None


@dataclass(slots=True, eq=False)
class Mapped:
    """A mapping, in order."""

    place: Place
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    anchor: str | None = None


@dataclass(slots=True, eq=False)
class Alias:
    """A second place of a node that stands earlier in the text."""

    place: Place
    name: str
    node: Scalar | Listed | Mapped
    anchor: None = None


Node: TypeAlias = Scalar | Listed | Mapped | Alias


def parse(source: Source) -> Node:
    """The tree of a text.

    Raises:
        FileError: if it is no YAML, or more than this format takes of it: tags, several documents, cyclic aliases.
    """
    if len(source.text) > MOST_CHARACTERS:
        raise source.fault(
            None,
            "it is too long for the text of a network",
            f"at most {MOST_CHARACTERS:,} characters",
            f"{len(source.text):,} characters",
            "Write what repeats as a block, and call it.",
        )
    try:
        return Parser(source).document()
    except RecursionError:  # whoever reads it stands deep in calls already
        raise too_deep(source, None) from None


class Parser:
    """Makes the tree from what the YAML library finds, one event after the other, and refuses what does not belong."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.yaml = yaml_library("a network as YAML")
        self.anchors: dict[str, Scalar | Listed | Mapped] = {}
        self.open: list[Listed | Mapped] = []
        self.count = 0

    def document(self) -> Node:
        """The one document of the text."""
        events = self.events()
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.source.fault(
                        place_of(event),
                        "a second document begins",
                        "one network in a file",
                        "---",
                        "Write each network into a file of its own.",
                    )
            elif isinstance(event, self.yaml.NodeEvent):
                root = self.node(event, events)
        if root is None:
            raise self.source.fault(
                None, "it is empty", "skipseq: 1, and network: with its entries", "nothing", "Write net.to_yaml() into it."
            )
        return root

    def events(self) -> Iterator[Any]:
        """What the library finds in the text."""
        loader = None
        try:
            loader = self.yaml.SafeLoader(self.source.text)
            while loader.check_event():
                yield loader.get_event()
        except self.yaml.reader.ReaderError as error:
            line = self.source.text.count("\n", 0, error.position)
            column = error.position - (self.source.text.rfind("\n", 0, error.position) + 1) + 1
            raise self.no_yaml(Place(line + 1, column), "a character that no YAML has", repr(chr(error.character))) from None
        except self.yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            told = ", ".join(each for each in (error.context, error.problem) if each)
            raise self.no_yaml(Place(mark.line + 1, mark.column + 1), told, self.line(mark.line)) from None
        except (ValueError, OverflowError):
            # What the library itself does not check: characters and versions by numbers of any size.
            mark = loader.get_mark() if loader is not None else None
            place = None if mark is None else Place(mark.line + 1, mark.column + 1)
            received = "" if mark is None else self.line(mark.line)
            raise self.no_yaml(place, "a number that no YAML has", received) from None
        finally:
            if loader is not None:
                loader.dispose()

    def no_yaml(self, place: Place | None, problem: str, received: str) -> Exception:
        """The error for a text that is no YAML."""
        advice = "Put quotes around a text that has ': ' or ' #' in it, and the same indentation before all items of a list."
        return self.source.fault(place, f"it is no YAML: {problem}", "YAML, as net.to_yaml() writes it", received, advice)

    def line(self, number: int) -> str:
        """A line of the text, counted from 0."""
        lines = self.source.text.splitlines()
        return lines[number].strip() if number < len(lines) else "the end of the text"

    def node(self, event: Any, events: Iterator[Any]) -> Node:
        """The node that begins with an event, and all that is in it."""
        place = place_of(event)
        self.count += 1
        if self.count > MOST_NODES:
            raise self.source.fault(
                place,
                "it has too many parts",
                f"at most {MOST_NODES:,} lists, mappings and values",
                "more",
                "Write what repeats as a block, and call it.",
            )
        if isinstance(event, self.yaml.AliasEvent):
            return self.alias(event.anchor, place)
        if event.tag is not None:
            raise self.source.fault(
                place,
                "a tag, which could build anything",
                "lists, mappings and expressions without tags",
                str(event.tag),
                "Leave out what begins with '!'; classes of your own go into registry={'name': class}.",
            )
        if isinstance(event, self.yaml.ScalarEvent):
            raw = self.source.text[event.start_mark.index : event.end_mark.index]
            scalar = Scalar(place, event.value, event.style is not None, raw)
            self.named(scalar, event.anchor)
            return scalar
        if isinstance(event, self.yaml.SequenceStartEvent):
            return self.listed(Listed(place), event.anchor, events)
        return self.mapped(Mapped(place), event.anchor, events)

    def listed(self, node: Listed, anchor: str | None, events: Iterator[Any]) -> Listed:
        """A list with its items."""
        self.enter(node, anchor)
        while not isinstance(event := next(events), self.yaml.SequenceEndEvent):
            node.items.append(self.node(event, events))
        self.open.pop()
        return node

    def mapped(self, node: Mapped, anchor: str | None, events: Iterator[Any]) -> Mapped:
        """A mapping with its keys and values."""
        self.enter(node, anchor)
        first: dict[str, Place] = {}
        while not isinstance(event := next(events), self.yaml.MappingEndEvent):
            key = self.node(event, events)
            if not isinstance(key, Scalar):
                raise self.source.fault(
                    key.place,
                    "a key that is no text",
                    "a name, or a constructor with brackets: Residual()",
                    "a list or a mapping, or an alias of one" if not isinstance(key, Alias) else f"*{key.name}",
                    "Write 'name: entry'.",
                )
            if key.text in first:
                raise self.source.fault(
                    key.place,
                    f"the key {key.text!r} stands here a second time, the first is at {first[key.text]}",
                    "each key once",
                    key.text,
                    "Rename one of them, or make them two items of a list, each behind a dash: '- name: entry'.",
                )
            first[key.text] = key.place
            node.pairs.append((key, self.node(next(events), events)))
        self.open.pop()
        return node

    def enter(self, node: Listed | Mapped, anchor: str | None) -> None:
        """A list or a mapping begins."""
        if len(self.open) >= MOST_NESTED:
            raise too_deep(self.source, node.place)
        self.named(node, anchor)
        self.open.append(node)

    def named(self, node: Scalar | Listed | Mapped, anchor: str | None) -> None:
        """Notes the anchor of a node, if it has one."""
        if anchor is None:
            return
        if anchor in self.anchors:
            raise self.source.fault(
                node.place,
                f"the anchor &{anchor} is given a second time, the first is at {self.anchors[anchor].place}",
                "each anchor once",
                f"&{anchor}",
                "Rename one of them.",
            )
        node.anchor = anchor
        self.anchors[anchor] = node

    def alias(self, name: str, place: Place) -> Alias:
        """A second place of the node that has an anchor."""
        if name not in self.anchors:
            known = ", ".join(f"&{each}" for each in self.anchors) or "no anchors"
            raise self.source.fault(
                place,
                f"*{name} stands for nothing",
                f"an anchor above it: {known}",
                f"*{name}",
                f"Write &{name} before an entry.",
            )
        node = self.anchors[name]
        if any(node is each for each in self.open):
            raise self.source.fault(
                place,
                f"*{name} stands inside &{name} itself",
                "a network that ends somewhere",
                f"*{name}",
                "Move it behind the entry that has the anchor; what is repeated is written as .repeat(3).",
            )
        return Alias(place, name, node)


def place_of(event: Any) -> Place:
    """Where something begins that the library found."""
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def too_deep(source: Source, place: Place | None) -> Exception:
    """The error for what is nested too deep."""
    return source.fault(
        place,
        "it is nested too deep",
        f"at most {MOST_NESTED} lists, calls and blocks inside one another",
        "more",
        "Write one list of entries where a list in a list is not needed.",
    )


# Where the characters of a scalar stand in the file

#: How many characters of the file one escaped character takes, by the letter behind the backslash.
ESCAPES = {"x": 4, "u": 6, "U": 10}


def aligned(raw: str, text: str) -> list[int]:
    """Where each character of a scalar stands in what was written, and its end: behind quotes, folded lines and escapes."""
    at = head.end() if (head := re.match(r"(?:[&!]\S*\s+)*(?:[|>][^\n]*\n)?", raw)) else 0
    quote = raw[at : at + 1] if raw[at : at + 1] in ("'", '"') else ""
    at += len(quote)
    starts = []
    for letter in text:
        at = begins(raw, at, letter, quote)
        starts.append(min(at, len(raw)))
        at = passed(raw, at, letter, quote)
    return [*starts, min(at, len(raw))]


def begins(raw: str, at: int, letter: str, quote: str) -> int:
    """Where the next character of a scalar begins: behind indentation and lines that go on."""
    while at < len(raw):
        if quote == '"' and (line := re.compile(r"\\\r?\n").match(raw, at)):
            at = line.end()
        elif raw[at] == letter or not raw[at].isspace():
            break
        else:
            at += 1
    return at


def passed(raw: str, at: int, letter: str, quote: str) -> int:
    """The position behind one character of a scalar."""
    if quote == '"' and raw[at : at + 1] == "\\":
        return at + ESCAPES.get(raw[at + 1 : at + 2], 2)
    return at + (2 if quote == "'" and letter == "'" else 1)
