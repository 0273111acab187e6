"""A sequence as text: as it was written, valid to paste back, with the two ends of each skip as comments.

    Sequential(
        nn.Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1)),
        save('x1'),                                           # -> net[3]
        nn.ReLU(),
        cat('x1'),                                            # <- net[1]
    )
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from skipseq.declare.compose import grouped
from skipseq.declare.containers import Container, children_of, inside, is_plain, is_wired
from skipseq.declare.entries import is_automatic, number
from skipseq.declare.words import CallWord, SaveWord, Word, write_call
from skipseq.errors import WiringError
from skipseq.wiring import Wiring

__all__ = ["Written", "find_skips", "format_sequence"]

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Written:
    """How a block was written: its name, its arguments, and the keys that its children had then.

    An argument is a name, empty where it goes by position, and a text, or the path of a module, or a list of paths.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]
    keys: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """One line of the text, and the place of the entry that ends on it."""

    text: str
    place: str | None = None


def format_sequence(sequence: nn.Module, expand: bool = False) -> str:
    """The text of a sequence; with ``expand``, its blocks are written out in words."""
    lines = sequence_lines(sequence, "", expand)
    try:
        wiring = wiring_of(sequence)
    except WiringError as error:
        return "\n".join([f"# {line}" for line in str(error).splitlines()] + [line.text for line in lines])
    head = [f"# needs {', '.join(wiring.needs)}"] if wiring is not None and wiring.needs else []
    skips = find_skips(sequence) if wiring is not None else []
    return "\n".join(head + with_arrows(lines, skips))


def wiring_of(module: nn.Module) -> Wiring | None:
    """The wiring of one of ours that runs it."""
    return module.wiring if isinstance(module, Container) and is_wired(module) else None


# Lines


def sequence_lines(module: nn.Module, place: str, expand: bool) -> list[Line]:
    """A container over several lines."""
    written = getattr(module, "_written", None)
    if written is not None and not expand and written.keys == tuple(module._modules):
        return block_lines(module, written)
    children = children_of(module)
    entries = grouped(children)
    keys = number([(None if is_automatic(key, child) else key, child) for key, child in children.items()])
    renamed = dict(zip(children, keys, strict=True))
    body: list[Line] = []
    for index, entry in enumerate(entries):
        key, child = entry[-1]
        name = None if is_automatic(key, child) and renamed[key] == key else key
        lines = entry_lines(entry, f"{place}.{key}" if is_part(child) and key.isidentifier() else f"{place}[{index}]", expand)
        if name is not None:
            lines[0].text = f"({name!r}, {lines[0].text}"
            lines[-1].text += ")"
        lines[-1].text += ","
        body += [Line(INDENT + line.text, line.place) for line in lines]
    for option in ("inputs", "outputs"):
        if (value := getattr(module, f"_{option}", None)) is not None:
            body.append(Line(f"{INDENT}{option}={value!r},"))
    title = class_name(module, expand)
    return [Line(f"{title}("), *body, Line(")")] if body else [Line(f"{title}()")]


def block_lines(module: nn.Module, written: Written) -> list[Line]:
    """A block as it was written."""
    body: list[Line] = []
    for name, value in written.arguments:
        lines = argument_lines(module, value)
        lines[0].text = (f"{name}=" if name else "") + lines[0].text
        lines[-1].text += ","
        body += [Line(INDENT + line.text) for line in lines]
    return [Line(f"{written.name}("), *body, Line(")")]


def argument_lines(module: nn.Module, value: Any) -> list[Line]:
    """An argument of a block: a text, a module, or a list of modules."""
    if isinstance(value, str):
        return [Line(value)]
    if isinstance(value, tuple):
        for key in value:
            module = module._modules[key]  # type: ignore[assignment]
        return module_lines(module, "", False)
    body = [line for each in value for line in ended(argument_lines(module, each))]
    return [Line("["), *(Line(INDENT + line.text) for line in body), Line("]")]


def ended(lines: list[Line]) -> list[Line]:
    """The lines of an item of a list, with the comma behind it."""
    lines[-1].text += ","
    return lines


def entry_lines(entry: list[tuple[str, nn.Module]], place: str, expand: bool) -> list[Line]:
    """An entry: a word on one line, or a layer."""
    word = entry[0][1]
    if isinstance(word, CallWord) and len(entry) == 2:
        return [Line(write_call(one_line(entry[1][1]), word.called, word, one_line), place)]
    if isinstance(word, Word):
        return [Line(word.written(one_line), place)]
    lines = module_lines(word, place, expand)
    lines[-1].place = lines[-1].place or (place if len(lines) == 1 else None)
    return lines


def module_lines(module: nn.Module, place: str, expand: bool) -> list[Line]:
    """A layer on one line, a container over several."""
    if is_plain(module) or is_wired(module):
        return sequence_lines(module, place, expand)
    return [Line(one_line(module))]


def one_line(module: nn.Module) -> str:
    """A layer in one line, as its constructor where it prints itself so."""
    if is_plain(module) or is_wired(module):
        return " ".join(line.text.strip() for line in sequence_lines(module, "", False)).replace("( ", "(").replace(", )", ")")
    if isinstance(module, nn.MultiheadAttention):
        return f"nn.MultiheadAttention({attention_arguments(module)})"
    name = type(module).__name__
    home = "nn." if type(module).__module__.startswith("torch.nn.") and getattr(nn, name, None) is type(module) else ""
    text = repr(module)
    return home + (text if "\n" not in text else f"{name}(...)")


def attention_arguments(module: nn.MultiheadAttention) -> str:
    """What the constructor of an attention layer needs to build an equal one."""
    parts = [str(module.embed_dim), str(module.num_heads)]
    parts += [f"dropout={module.dropout}"] if module.dropout else []
    parts += ["bias=False"] if module.in_proj_bias is None else []
    parts += [f"kdim={module.kdim}"] if module.kdim != module.embed_dim else []
    parts += [f"vdim={module.vdim}"] if module.vdim != module.embed_dim else []
    return ", ".join(parts + (["batch_first=True"] if module.batch_first else []))


def class_name(module: nn.Module, expand: bool) -> str:
    """The name of the class of a container."""
    if is_plain(module) and type(module) is nn.Sequential:
        return "nn.Sequential"
    return "Sequential" if expand and getattr(module, "_derived_class", None) else type(module).__name__


def is_part(module: nn.Module) -> bool:
    """Whether an entry is a container whose inside has places of its own."""
    return isinstance(inside(module), nn.Sequential)


# Skips: which entry reads what which other one gives


def find_skips(container: nn.Module, place: str = "") -> list[tuple[str, str]]:
    """The skips of a tree, each as the places of its birth and of its reader; the input is an empty place."""
    found = []
    children = children_of(container)
    needs = needs_of(container)
    for name, reader in readers(container):
        if name not in needs and (origin := place_of_name(container, name)) is not None:
            found.append((place + origin, place + reader) if origin else ("", place + reader))
    for index, entry in enumerate(grouped(children)):
        for key, child in entry:
            part = inside(child)
            if isinstance(part, nn.Sequential) and (is_wired(part) or is_plain(part)):
                found += find_skips(part, place + part_place(key, index))
    return found


def needs_of(container: nn.Module) -> Mapping[str, Any]:
    wiring = wiring_of(container)
    return wiring.needs if wiring is not None else {name: None for name, _ in readers(container)}


def part_place(key: str, index: int) -> str:
    return f".{key}" if key.isidentifier() else f"[{index}]"


def readers(container: nn.Module) -> Iterator[tuple[str, str]]:
    """The names read in a container, by its words and by the needs of its parts, with the place of each reader."""
    for index, entry in enumerate(grouped(children_of(container))):
        for key, child in entry:
            if isinstance(child, Word):
                yield from ((name, f"[{index}]") for name in child.references())
            elif is_part(child):
                part = inside(child)
                needs = needs_of(part)
                for name, reader in readers(part):
                    if name in needs and name != "input":
                        yield name, part_place(key, index) + reader


def place_of_name(container: nn.Module, name: str) -> str | None:
    """The place where a name of a container is born; empty for an input."""
    wiring = wiring_of(container)
    if name == "input" or (wiring is not None and name in wiring.inputs):
        return ""
    head, _, rest = name.partition(".")
    for index, entry in enumerate(grouped(children_of(container))):
        for key, child in entry:
            if isinstance(child, SaveWord) and name in child.labels:
                return f"[{index}]"
            if key == head and not rest:
                return f"[{index}]"
            if key == head and is_part(child):
                inner = place_of_name(inside(child), rest)
                return None if inner is None else part_place(key, index) + inner
    if wiring is not None and not rest:
        own = [path for path in wiring.labels.get(name, ()) if path != name]
        return place_of_name(container, own[0]) if own else None
    return None


def with_arrows(lines: list[Line], skips: list[tuple[str, str]]) -> list[str]:
    """The lines, with the other ends of the skips that are born or read on them."""
    notes: dict[str, list[str]] = {}
    for origin, reader in skips:
        notes.setdefault(reader, []).append(f"<- net{origin}" if origin else "<- input")
        if origin:
            notes.setdefault(origin, []).append(f"-> net{reader}")
    marked = [(line.text, notes.get(line.place or "", [])) for line in lines]
    width = max((len(text) for text, note in marked if note and len(text) <= 90), default=0)
    return [f"{text:<{width}}  # {joined(note)}" if note else text for text, note in marked]


def joined(notes: list[str]) -> str:
    """Several ends in one comment: ``-> net[3], net[5]``."""
    return ", ".join(
        note.split(" ", 1)[1] if i and notes[i - 1][:2] == note[:2] else note for i, note in enumerate(notes)
    )
