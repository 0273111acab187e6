"""A network as a tree of pieces of text, which stands between its modules and the lines of YAML."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

from skipseq.declare.containers import children_of, has_state, is_plain, is_sequence
from skipseq.declare.held import Held
from skipseq.declare.words import CallWord, Word, write_call
from skipseq.run import Sequential
from skipseq.views.text import Written, class_name, entries_in, is_as_written, numbered_entries

from .scalars import as_value

__all__ = ["Entry", "Part", "Value", "Writing", "on_one_line", "written_class"]


@dataclass(slots=True)
class Part:
    """A container: the head of its constructor, its options as text, and below it entries or arguments by name."""

    head: str
    options: list[str]
    entries: list[Entry] = field(default_factory=list)
    arguments: list[tuple[str, Any]] = field(default_factory=list)


#: How long the head of a block may be with its arguments in it.
WIDTH = 110

#: What a layer is written as.
Value: TypeAlias = "str | Part"


@dataclass(slots=True)
class Entry:
    """An entry: its name, if it has one, its value, and whether it is a second place of what has the anchor."""

    name: str | None
    value: Value
    anchor: str | None = None
    alias: bool = False


#: What writes a layer that is no container: the layer, and its path.
Leaf: TypeAlias = Callable[[nn.Module, str], str]


class Writing:
    """Makes the tree of a network.

    Args:
        leaf: writes a layer that is no container.
        name_of: the name of the class of a container of the user.
        is_free: whether a name means nothing yet, so that it can be an anchor.
    """

    def __init__(self, leaf: Leaf, name_of: Callable[[type], str], is_free: Callable[[str], bool]) -> None:
        self.leaf, self.name_of, self.is_free = leaf, name_of, is_free
        self.shared: set[int] = set()
        self.anchors: dict[int, str] = {}

    def network(self, net: nn.Module) -> Part:
        """The whole network."""
        times: dict[int, int] = {}
        count(net, times)
        self.shared = {each for each, found in times.items() if found > 1}
        return self.container(net, "")

    # Containers

    def container(self, module: nn.Module, path: str) -> Part:
        """A container with its entries."""
        if is_as_written(module):
            return self.block(module, path)
        entries = [self.entry(module, numbered, group, path) for numbered, group in numbered_entries(module)]
        named = [str(i) for i in range(len(entries))] != list(children_of(module))
        if isinstance(module, Held):
            head = "Held" if rests(module) else "nn.ModuleDict" if named else "nn.ModuleList"
            return Part(head, [], self.all_or_none(module, entries, named) if head != "Held" else entries)
        if is_plain(module):
            kind = written_class(module)
            name = "nn.Sequential" if kind is nn.Sequential else self.name_of(kind)
            return Part(name, [], self.all_or_none(module, entries, named))
        options = [
            f"{each}={value!r}" for each in ("inputs", "outputs") if (value := getattr(module, f"_{each}", None)) is not None
        ]
        kind = written_class(module)
        head = "Sequential" if kind is Sequential else self.name_of(kind)
        return Part(head, options, entries)

    def all_or_none(self, module: nn.Module, entries: list[Entry], named: bool) -> list[Entry]:
        """The entries of a plain container of torch: all of them have names, or none."""
        for key, entry in zip(children_of(module), entries, strict=True):
            entry.name = key if named else None
        return entries

    def entry(self, container: nn.Module, numbered: bool, group: list[tuple[str, nn.Module]], path: str) -> Entry:
        """An entry of a container."""
        key, child = group[-1]
        name = None if numbered else key
        word = group[0][1]
        inner = f"{path}.{key}".lstrip(".")
        if isinstance(word, Word):
            return Entry(name, self.word(word, group, inner))
        if isinstance(child, Held) and not child.must_run and not is_called(container, key):
            child = Resting(child)
        return self.placed(name, child, key, inner)

    def placed(self, name: str | None, module: nn.Module, key: str, path: str) -> Entry:
        """A layer or a container at its place; one that stands at several is written at the first."""
        if id(module) in self.anchors:
            return Entry(name, "*" + self.anchors[id(module)], self.anchors[id(module)], alias=True)
        value = self.value(module, path)
        if id(module) not in self.shared:
            return Entry(name, value)
        self.anchors[id(module)] = self.free(name or key, type(module).__name__)
        return Entry(name, value, self.anchors[id(module)])

    def value(self, module: nn.Module, path: str) -> Value:
        """A layer in one line, a container with its entries."""
        if isinstance(module, Word):
            return self.word(module, [(path, module)], path)
        if not is_container(module):
            return self.leaf(module, path)
        part = self.container(module, path)
        return part if part.entries or part.arguments else on_one_line(part)

    def free(self, key: str, kind: str) -> str:
        """A name for an anchor."""
        base = key if key.isascii() and key.isidentifier() else kind.lower()
        name, number = base, 1
        while name in self.anchors.values() or not self.is_free(name):
            number += 1
            name = f"{base}_{number}"
        return name

    # Words

    def word(self, word: Word, group: list[tuple[str, nn.Module]], path: str) -> str:
        """A word in one line, as in Python."""

        def show(module: nn.Module) -> str:
            return self.anchors.get(id(module)) or on_one_line(self.value(module, path))

        if isinstance(word, CallWord) and len(group) == 2:
            return write_call(show(group[1][1]), word.called, word, show)
        return word.written(show)

    # Blocks

    def block(self, block: nn.Module, path: str) -> Part:
        """A block as it was written: its layers as a list, or its arguments by name where it has lists among them."""
        written = block._written
        assert isinstance(written, Written)
        wanted = set(entries_in(value for _, value in written.arguments))
        entries: dict[int | str, Entry] = {}
        for index, (numbered, group) in enumerate(numbered_entries(block)):
            key = group[-1][0]
            if index in wanted or key in wanted:
                entries[index] = entries[key] = self.entry(block, numbered, group, path)
        part = Part(written.name, [])
        names = iter(list(inspect.signature(type(block)).parameters))
        for name, value in written.arguments:
            if isinstance(value, str):
                part.options.append(f"{name}={value}")
            elif isinstance(value, int):
                part.entries.append(entries[value])
            else:
                part.arguments.append((name or next(names), self.argument(block, entries, value, path)))
        if part.arguments and part.entries:
            self.with_entries(part, next(names))
        return part

    def with_entries(self, part: Part, name: str) -> None:
        """A block of a list of layers and an argument beside them: in the brackets where it is short, else both by name.

        In the brackets, the argument can come and go without any other line of the text changing.
        """
        options = [f"{each}={argument(value)}" for each, value in part.arguments]
        head = f"{part.head}({', '.join([*options, *part.options])})"
        if len(head) <= WIDTH and as_value(head) == head and all(is_short(value) for _, value in part.arguments):
            part.options, part.arguments = [*options, *part.options], []
        else:
            part.arguments.insert(0, (name, part.entries))
            part.entries = []

    def argument(self, block: nn.Module, entries: dict[int | str, Entry], value: Any, path: str) -> Any:
        """An argument of a block: entries, lists of them, an entry with a name; see :class:`skipseq.views.text.Written`."""
        if isinstance(value, list):
            return [self.argument(block, entries, each, path) for each in value]
        if isinstance(value, int):
            return entries[value]
        if isinstance(value, dict):
            ((name, inner),) = value.items()
            return {name: self.argument(block, entries, inner, path)}
        if len(value) == 1:
            entry = entries[value[0]]
            return Entry(None, entry.value, entry.anchor, entry.alias)
        inner_path = ".".join(value)
        return self.placed(None, block.get_submodule(inner_path), value[-1], f"{path}.{inner_path}".lstrip("."))


def written_class(module: nn.Module) -> type:
    """The class that a sequence is written as: its own, if it is built from entries, else the one whose forward it runs.

    Packages have sequences whose constructors take sizes, ``Conv2dNormActivation(3, 16)``, and that are plain ones then.
    """
    plain = nn.Sequential if is_plain(module) else Sequential
    if class_name(module) == "Sequential" and plain is Sequential:
        return Sequential
    return type(module) if type(module).__init__ is plain.__init__ else plain


class Resting(Held):
    """Layers that nothing calls, written as such."""

    def __init__(self, layers: Held) -> None:
        nn.Module.__init__(self)
        self._modules = layers._modules


def rests(module: Held) -> bool:
    """Whether nothing calls the layers of a list."""
    return isinstance(module, Resting)


def is_called(container: nn.Module, key: str) -> bool:
    """Whether a word of a container calls a layer below this key."""
    words = (child for child in children_of(container).values() if isinstance(child, CallWord))
    return any(word.again is not None and word.again.split(".")[0] == key for word in words)


def is_short(value: Any) -> bool:
    """Whether an argument of a block is made of layers in one line that no other place refers to."""
    if isinstance(value, Entry):
        return isinstance(value.value, str) and (value.anchor is None or value.alias)
    return all(map(is_short, value.values() if isinstance(value, dict) else value))


def is_container(module: nn.Module) -> bool:
    """Whether a module is written with its entries."""
    return is_sequence(module) or isinstance(module, Held)


def count(module: nn.Module, times: dict[int, int]) -> None:
    """Counts the places of the layers and containers that have parameters or buffers, those inside words too."""
    for child in children_of(module).values():
        if not isinstance(child, Word) and has_state(child):
            times[id(child)] = times.get(id(child), 0) + 1
            if times[id(child)] > 1:
                continue
        if isinstance(child, Word) or is_container(child):
            count(child, times)


def on_one_line(value: Value) -> str:
    """A piece as it stands inside a word: as in Python."""
    if isinstance(value, str):
        return value
    entries = [pair(each) for each in value.entries]
    arguments = [f"{name}={argument(each)}" for name, each in value.arguments]
    if value.head in ("nn.ModuleList", "nn.ModuleDict"):
        named = value.head == "nn.ModuleDict"
        inner = [f"{each.name!r}: {on_one_line(each.value)}" if named else on_one_line(each.value) for each in value.entries]
        return f"{value.head}({'{' if named else '['}{', '.join(inner)}{'}' if named else ']'})"
    if value.head == "nn.Sequential" and any(each.name is not None for each in value.entries):
        return f"{value.head}(OrderedDict([{', '.join(entries)}]))"
    if value.arguments and isinstance(value.arguments[0][1], list) and value.head == "Residual":
        entries, arguments = [pair(each) for each in value.arguments[0][1]], arguments[1:]
    return f"{value.head}({', '.join([*entries, *arguments, *value.options])})"


def pair(entry: Entry) -> str:
    """An entry as in Python, a pair if it has a name."""
    text = entry.anchor if entry.alias and entry.anchor else on_one_line(entry.value)
    return text if entry.name is None else f"({entry.name!r}, {text})"


def argument(value: Any) -> str:
    """An argument of a block as in Python."""
    if isinstance(value, Entry):
        return pair(value)
    if isinstance(value, list):
        return f"[{', '.join(map(argument, value))}]"
    ((name, inner),) = value.items()
    return f"({name!r}, {argument(inner)})"
