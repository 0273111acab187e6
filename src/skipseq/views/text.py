"""A sequence as text: as it was written, valid to paste back, with the two ends of each skip as comments.

Sequential(
    nn.Conv2d(3, 16, 3),
    save('x1'),                                           # -> net[3]
    nn.ReLU(),
    cat('x1'),                                            # <- net[1]
)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from skipseq.declare.compose import grouped
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import Container, children_of, inside, is_plain, is_sequence, is_wired
from skipseq.declare.entries import is_automatic, number
from skipseq.declare.held import Held
from skipseq.declare.words import CallWord, SaveWord, Word, write_call
from skipseq.errors import WiringError
from skipseq.wiring import Wiring

__all__ = [
    "Written",
    "class_name",
    "entries_in",
    "find_skips",
    "format_sequence",
    "is_as_written",
    "numbered_entries",
    "part_place",
]

INDENT = "    "

#: Where the names of containers are born, by the identity of the container, see :func:`births`.
Births: TypeAlias = "dict[int, dict[str, tuple[str, str, nn.Module]]]"


@dataclass(frozen=True, slots=True)
class Written:
    """How a block was written: its name, its arguments, and the keys that its children had then.

    An argument is a name, empty where it goes by position, and a value: a text; the number of an entry, which is a pair
    if it has a name; the path of a module, whose name the block gives; a list of values; or a value by its name, as a pair.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]
    keys: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """One line of the text, and the place of the entry whose last line it is."""

    text: str
    place: str | None = None


@dataclass(slots=True)
class EntryLines:
    """An entry: its key, whether the numbering gives that key, and its lines."""

    key: str
    numbered: bool
    lines: list[Line]

    def pair(self, always: bool = False) -> list[Line]:
        """The lines, as a pair with the name where there is one."""
        if always or not self.numbered:
            self.lines[0].text = f"({self.key!r}, {self.lines[0].text}"
            self.lines[-1].text += ")"
        return self.lines


def format_sequence(sequence: nn.Module, expand: bool = False) -> str:
    """The text of a sequence; with ``expand``, its blocks are written out in words."""
    lines = sequence_lines(sequence, "", expand)
    try:
        wiring = wiring_of(sequence)
    except WiringError as error:
        return "\n".join([f"# {line}" for line in str(error).splitlines()] + [line.text for line in lines])
    head = [f"# needs {', '.join(wiring.needs)}"] if wiring is not None and wiring.needs else []
    skips = find_skips(sequence) if wiring is not None else []
    return "\n".join(head + with_notes(lines, skips, find_shared(sequence, "", {})))


def wiring_of(module: nn.Module) -> Wiring | None:
    """The wiring of one of ours that runs it."""
    return module.wiring if isinstance(module, Container) and is_wired(module) else None


# Lines


def sequence_lines(module: nn.Module, place: str, expand: bool) -> list[Line]:
    """A container over several lines."""
    if is_as_written(module) and not expand:
        return block_lines(module, place)
    if isinstance(module, Held):
        return held_lines(module, place, expand)
    keys = list(children_of(module))
    # nn.Sequential takes names in an OrderedDict only, and then one for each layer.
    ordered = is_plain(module) and keys != [str(i) for i in range(len(keys))]
    body = [line for entry in entries_lines(module, place, expand) for line in ended(entry.pair(always=ordered))]
    for option in ("inputs", "outputs"):
        if (value := getattr(module, f"_{option}", None)) is not None:
            body.append(Line(f"{option}={value!r},"))
    opening, closing = ("(OrderedDict([", "]))") if ordered else ("(", ")")
    return bracketed(class_name(module) + opening, body, closing)


def held_lines(module: Held, place: str, expand: bool) -> list[Line]:
    """Layers that are called by name, as the list or the dict that a user writes."""
    keys = list(children_of(module))
    numbered = keys == [str(i) for i in range(len(keys))]
    body = []
    for key, lines in zip(keys, (entry.lines for entry in entries_lines(module, place, expand)), strict=True):
        lines[0].text = lines[0].text if numbered else f"{key!r}: {lines[0].text}"
        body += ended(lines)
    opening, closing = ("nn.ModuleList([", "])") if numbered else ("nn.ModuleDict({", "})")
    return bracketed(opening, body, closing)


def block_lines(block: nn.Module, place: str) -> list[Line]:
    """A block as it was written."""
    written = block._written
    assert isinstance(written, Written)
    entries = entries_lines(block, place, False, set(entries_in(arg for _, arg in written.arguments)))
    body: list[Line] = []
    for name, value in written.arguments:
        lines = argument_lines(block, entries, value, place)
        lines[0].text = (f"{name}=" if name else "") + lines[0].text
        body += ended(lines)
    return bracketed(f"{written.name}(", body, ")")


def entries_in(values: Iterable[Any]) -> Iterator[int | str]:
    """The numbers and keys of the entries among the arguments of a block."""
    for value in values:
        if isinstance(value, list):
            yield from entries_in(value)
        elif isinstance(value, int):
            yield value
        elif isinstance(value, tuple) and len(value) == 1:
            yield value[0]


def argument_lines(block: nn.Module, entries: list[EntryLines], value: Any, place: str) -> list[Line]:
    """An argument of a block, see :class:`Written`."""
    if isinstance(value, str):
        return [Line(value)]
    if isinstance(value, int):
        return entries[value].pair()
    if isinstance(value, list):
        items = [ended(argument_lines(block, entries, each, place)) for each in value]
        return bracketed("[", [line for lines in items for line in lines], "]")
    if isinstance(value, dict):
        ((name, inner),) = value.items()
        return EntryLines(name, False, argument_lines(block, entries, inner, place)).pair()
    if len(value) == 1:
        return next(entry.lines for entry in entries if entry.key == value[0])
    path = ".".join(value)
    return module_lines(block.get_submodule(path), f"{place}.{path}", False)


def bracketed(opening: str, body: list[Line], closing: str) -> list[Line]:
    """Lines between brackets, indented if there are any."""
    if not body:
        return [Line(opening + closing)]
    return [Line(opening), *(Line(INDENT + line.text, line.place) for line in body), Line(closing)]


def ended(lines: list[Line]) -> list[Line]:
    """The lines of an item, with the comma behind it."""
    lines[-1].text += ","
    return lines


def entries_lines(module: nn.Module, place: str, expand: bool, shown: set[int | str] | None = None) -> list[EntryLines]:
    """The entries of a container; of those that are not among the numbers and keys to be shown, without lines."""
    found = []
    for index, (numbered, entry) in enumerate(numbered_entries(module)):
        key = entry[-1][0]
        lines = []
        if shown is None or index in shown or key in shown:
            lines = entry_lines(entry, place + part_place(key, index), expand)
            # The output of an entry is born on its last line, and a word reads on its only one.
            lines[-1].place = f"{place}[{index}]"
        found.append(EntryLines(key, numbered, lines))
    return found


def numbered_entries(module: nn.Module) -> Iterator[tuple[bool, list[tuple[str, nn.Module]]]]:
    """The entries of a container, each a layer, a word, or a call with its layer; and whether the numbering gives its key."""
    children = children_of(module)
    keys = number([(None if is_automatic(key, child) else key, child) for key, child in children.items()])
    renamed = dict(zip(children, keys, strict=True))
    for entry in grouped(children):
        key, child = entry[-1]
        yield is_automatic(key, child) and renamed[key] == key, entry


def entry_lines(entry: list[tuple[str, nn.Module]], place: str, expand: bool) -> list[Line]:
    """An entry: a word on one line, or a layer."""
    word = entry[0][1]
    show = partial(one_line, expand=expand)
    if isinstance(word, CallWord) and len(entry) == 2:
        return [Line(write_call(show(entry[1][1]), word.called, word, show))]
    if isinstance(word, Word):
        return [Line(word.written(show))]
    return module_lines(word, place, expand)


def module_lines(module: nn.Module, place: str, expand: bool) -> list[Line]:
    """A layer on one line, a container over several."""
    if is_sequence(module) or isinstance(module, Held):
        return sequence_lines(module, place, expand)
    return [Line(one_line(module))]


def one_line(module: nn.Module, expand: bool = False) -> str:
    """A layer in one line, as its constructor; a container too, with its entries."""
    if is_sequence(module) or isinstance(module, Held):
        return on_one_line(sequence_lines(module, "", expand))
    return constructor(module)


def on_one_line(lines: list[Line]) -> str:
    """Several lines as one, without the comma before a closing bracket."""
    text = ""
    for line in (line.text.strip() for line in lines):
        closes = line[0] in ")]"
        text = (text.removesuffix(",") if closes else text + " " * text.endswith(",")) + line
    return text


def class_name(module: nn.Module) -> str:
    """The name of the class of a container that is written as its entries; a block in words is a plain sequence."""
    if type(module) is nn.Sequential:
        return "nn.Sequential"
    return "Sequential" if getattr(module, "_derived_class", None) else type(module).__name__


def is_as_written(module: nn.Module) -> bool:
    """Whether a container is a block that is still what was written: not edited, cut, or given other outputs."""
    written = getattr(module, "_written", None)
    if written is None or type(module).__name__ != written.name or written.keys != tuple(module._modules):
        return False
    return getattr(module, "_inputs", None) is None and getattr(module, "_outputs", None) is None


def is_part(module: nn.Module) -> bool:
    """Whether an entry is a container whose inside has places of its own."""
    return isinstance(inside(module), nn.Sequential)


# Skips: which entry reads what which other one gives


def find_skips(container: nn.Module, place: str = "") -> list[tuple[str, str]]:
    """The skips of a tree, each as the places of its birth and of its reader; an input is told as a text."""
    found = []
    needs = needs_of(container)
    known: Births = {}
    for name, reader in readers(container):
        if name not in needs and (origin := place_of_name(container, name, known)) is not None:
            found.append((place + origin if is_place(origin) else origin, place + reader))
    for index, entry in enumerate(grouped(children_of(container))):
        for key, child in entry:
            part = inside(child)
            if is_sequence(part):
                found += find_skips(part, place + part_place(key, index))
    return found


def needs_of(container: nn.Module) -> Mapping[str, Any]:
    wiring = wiring_of(container)
    return wiring.needs if wiring is not None else {name: None for name, _ in readers(container)}


def part_place(key: str, index: int) -> str:
    """How an entry is reached from its container in Python: ``.encoder`` or ``[2]``."""
    return f".{key}" if key.isidentifier() else f"[{index}]"


def readers(container: nn.Module) -> Iterator[tuple[str, str]]:
    """The names read in a container, by its words and by the needs of its parts, with the place of each reader."""
    for index, entry in enumerate(grouped(children_of(container))):
        first = entry[0][1]
        if not isinstance(first, Word):
            yield from needed_by(first, part_place(entry[0][0], index))
            continue
        # A word and its layers stand on one line, parts among them too.
        yield from ((name, f"[{index}]") for name in first.references())
        for layer in (*children_of(first).values(), *(layer for _, layer in entry[1:])):
            yield from ((name, f"[{index}]") for name, _ in needed_by(layer, ""))


def needed_by(module: nn.Module, place: str) -> Iterator[tuple[str, str]]:
    """The needs of a part, with the places of their readers; other layers have none."""
    if is_part(module):
        part = inside(module)
        needs = needs_of(part)
        yield from ((name, place + reader) for name, reader in readers(part) if name in needs and name != "input")


def place_of_name(container: nn.Module, name: str, known: Births) -> str | None:
    """The place where a name of a container is born, or a text for an input: ``input``, ``input 't'``."""
    wiring = wiring_of(container)
    inputs = wiring.inputs if wiring is not None else ("input",)
    if name == "input" or name in inputs:
        return "input" if inputs == ("input",) else f"input {name if name in inputs else inputs[0]!r}"
    if id(container) not in known:
        known[id(container)] = births(container)
    head, _, rest = name.partition(".")
    if head not in known[id(container)]:
        own = [path for path in wiring.labels.get(name, ()) if path != name] if wiring is not None else []
        return place_of_name(container, own[0], known) if own else None
    place, inner, child = known[id(container)][head]
    if not rest or isinstance(child, Word):
        return place
    origin = place_of_name(inside(child), rest, known) if is_part(child) else None
    return inner + origin if origin is not None and is_place(origin) else None


def births(container: nn.Module) -> dict[str, tuple[str, str, nn.Module]]:
    """The place where each label and key of a container is born, the place of what is inside it, and the child."""
    found: dict[str, tuple[str, str, nn.Module]] = {}
    for index, entry in enumerate(grouped(children_of(container))):
        for key, child in entry:
            for name in (*(child.labels if isinstance(child, SaveWord) else ()), key):
                found.setdefault(name, (f"[{index}]", part_place(key, index), child))
    return found


def is_place(origin: str) -> bool:
    """Whether the origin of a skip is a place, ``[1]`` or ``.encoder[1]``, and no input."""
    return origin[:1] in ("[", ".")


def find_shared(container: nn.Module, place: str, first: dict[int, str]) -> Iterator[tuple[str, str]]:
    """The layers that stand at several places and share their weights, each as its place and the first one."""
    for index, entry in enumerate(grouped(children_of(container))):
        key, child = entry[-1]
        if isinstance(child, Word) or not any(True for _ in child.parameters()):
            continue
        own = f"{place}[{index}]"
        if first.setdefault(id(child), own) != own:
            yield own, first[id(child)]
        elif is_part(child):
            yield from find_shared(inside(child), place + part_place(key, index), first)


def with_notes(lines: list[Line], skips: list[tuple[str, str]], shared: Iterable[tuple[str, str]]) -> list[str]:
    """The lines, with the other ends of the skips that are born or read on them, and with what shares its weights."""
    shown = {line.place for line in lines}
    notes: dict[str | None, list[str]] = {place: [f"the same as net{first}"] for place, first in shared}
    for origin, reader in skips:
        if reader in shown:  # the words of a block that is written in short are not shown
            notes.setdefault(reader, []).append(f"<- net{origin}" if is_place(origin) else f"<- {origin}")
            notes.setdefault(origin, []).append(f"-> net{reader}")
    marked = [(line.text, list(dict.fromkeys(notes.get(line.place, [])))) for line in lines]
    width = max((len(text) for text, note in marked if note and len(text) <= 90), default=0)
    return [f"{text:<{width}}  # {joined(note)}" if note else text for text, note in marked]


def joined(notes: list[str]) -> str:
    """Several ends in one comment: ``-> net[3], net[5]``."""
    return ", ".join(note.split(" ", 1)[1] if i and notes[i - 1][:2] == note[:2] else note for i, note in enumerate(notes))
