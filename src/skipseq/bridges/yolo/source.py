"""The text of a model file: where it comes from, its YAML as nodes that know their place, and faults that tell the place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skipseq.bridges.opening import decoded, open_file, yaml_library
from skipseq.errors import FileError, shortened

__all__ = ["Node", "Source", "composed", "read_source"]

#: A node of PyYAML, which has no types of its own.
Node = Any

#: The longest text that is read: model files have a few kilobytes.
MOST_BYTES = 1 << 16

#: How deep lists may stand in each other: in model files it is five.
MOST_LEVELS = 12

#: How long a number may be written.
LONGEST_NUMBER = 40

#: Numbers that YAML takes for texts, as ``1e-3``.
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


#: A string that is a path: it ends as one, or is made of nothing but what names are made of, which no model file is.
PATH = re.compile(r".*\.ya?ml|[\w./\\~-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what it is called."""

    name: str
    text: str

    def fault(self, mark: Any, problem: str, expected: str, received: str, advice: str) -> FileError:
        """What is wrong at one place; without a place, in all of it."""
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return FileError(self.name, where, problem, expected, received, advice)

    def at(self, node: Node, problem: str, expected: str, advice: str) -> FileError:
        """What is wrong with one node: its text is what was received."""
        return self.fault(node.start_mark, problem, expected, self.written(node), advice)

    def written(self, node: Node) -> str:
        """The text of a node on one line."""
        text = self.text[node.start_mark.index : min(node.end_mark.index, node.start_mark.index + 1000)]
        return " ".join(text.split()) or "nothing"

    def items(self, node: Node) -> list[Node] | None:
        """The nodes of a list, or nothing if it is none."""
        return node.value if node.id == "sequence" else None

    def mapping(self, node: Node) -> dict[str, tuple[Node, Node]]:
        """The keys and values of a mapping by the texts of its keys.

        Raises:
            FileError: if it is none, or a key is no text or stands there twice.
        """
        if node.id != "mapping":
            raise self.at(
                node, "this is no mapping", "keys and values, as in 'nc: 80'", "Write one key and its value on a line."
            )
        found: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self.at(key, "a key is no text", "a name, as in 'nc: 80'", "Write a name before the colon.")
            if key.value in found:
                first = found[key.value][0].start_mark.line + 1
                advice = f"It stands in line {first} too: remove one of them."
                raise self.at(key, "a key stands there twice", "each key once", advice)
            found[key.value] = (key, value)
        return found

    def value(self, node: Node) -> Any:
        """The plain value of a node: a number, a flag, nothing, a text, or a tuple of them.

        Raises:
            FileError: if it is a mapping, or a number of more digits than any that is meant.
        """
        if node.id == "sequence":
            return tuple(self.value(each) for each in node.value)
        if node.id == "mapping":
            raise self.at(node, "a mapping stands here", "a number, a text, or a list", "Write the value alone.")
        kind = node.tag.rpartition(":")[2]
        if kind in ("int", "float") and len(node.value) > LONGEST_NUMBER:
            raise self.at(node, "this number is too long", f"at most {LONGEST_NUMBER} digits", "Write a smaller number.")
        return scalar(kind, node.value)


def scalar(kind: str, text: str) -> Any:
    """What a text means, told by the kind that YAML takes it for, and by the words that the format has."""
    if kind == "null" or text == "None":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if text in ("True", "False"):
        return text == "True"
    for number in (int, float):
        try:
            return number(text) if len(text) <= LONGEST_NUMBER and NUMBER.fullmatch(text) else text
        except ValueError:
            continue
    return text


def read_source(source: str | os.PathLike[str]) -> Source:
    """The text that is meant: a string is a text unless it looks like the name of a file.

    Raises:
        FileError: if the file cannot be read, is no UTF-8, or is too long.
    """
    if not isinstance(source, str | os.PathLike):
        advice = "Write from_yolo('model.yaml')."
        raise FileError(
            "the text", "", "neither a text nor a path", "a text, or the path of a file", shortened(repr(source)), advice
        )
    if isinstance(source, str) and ("\n" in source or not PATH.fullmatch(source)):
        name, data = "the text", source.encode("utf-8", "surrogatepass")
    else:
        name = os.fspath(source)
        with open_file(name) as file:
            data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        advice = "Is it a model file? Training data and weights are not read here."
        raise FileError(name, "", "it is too long", f"at most {MOST_BYTES} bytes", f"more than {MOST_BYTES} bytes", advice)
    return Source(name, decoded(data, name))


def composed(source: Source) -> Node:
    """The one document of a text as a node.

    Raises:
        FileError: if it is no YAML, empty, too deep, or holds tags, anchors, aliases, or several documents.
        ImportError: if PyYAML is not installed.
    """
    yaml = yaml_library("a YAML file")
    try:
        for event in plain_events(source, yaml):
            del event
        node = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, FileError):
            raise
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        advice = "Look at the indents and brackets there and in the line before."
        raise source.fault(mark, "this is no YAML", "YAML", problem, advice) from None
    if node is None:
        raise source.fault(None, "there is nothing in it", "the keys 'backbone' and 'head'", "nothing", "Is it the right file?")
    return node


def plain_events(source: Source, yaml: Any) -> Iterator[Any]:
    """The events of a text, as long as they are plain: seen before any node is made, so nesting costs no stack."""
    depth = documents = 0
    for event in yaml.parse(source.text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        mark, received = event.start_mark, source.written(event)
        if depth > MOST_LEVELS:
            raise source.fault(
                mark, "lists stand too deep in each other", f"at most {MOST_LEVELS} levels", received, "Write fewer."
            )
        if documents > 1:
            raise source.fault(mark, "a second document starts", "one network in a file", received, "Write a file for each.")
        if getattr(event, "anchor", None):
            advice = "Write the value out at each place."
            raise source.fault(mark, "anchors and aliases are not read", "plain values", received, advice)
        if getattr(event, "tag", None):
            raise source.fault(mark, "tags are not read", "plain values", received, "Remove what starts with '!'.")
        yield event
