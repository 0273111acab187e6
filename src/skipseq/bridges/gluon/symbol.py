"""The graph of an MXNet symbol: its JSON, as every version since 0.7 wrote it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from skipseq.bridges.opening import open_file
from skipseq.errors import FileError

from .operation import node_place

__all__ = ["Entry", "Node", "Symbol", "read_symbol"]

#: The longest symbol that is read, in bytes; that of a network of a thousand layers is a hundred times shorter.
LONGEST = 32 << 20

#: The longest name, in letters.
LONGEST_NAME = 4096

#: The most nodes that lead to a result, parameters not counted; a network of a thousand layers has some four thousand.
MOST_NODES = 5000

#: What older versions wrote among the attributes of an operator and its inputs, and no operator reads.
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "profiler_scope")

#: Batch statistics, which stood in no file before version 0.9.
STATISTICS = {"BatchNorm": ("moving_mean", "moving_var"), "CuDNNBatchNorm": ("moving_mean", "moving_var")}
STATISTICS["BatchNorm_v1"] = STATISTICS["BatchNorm"]

ADVICE = "Export the network again, with net.export(path) or symbol.save(path)."


class Entry(NamedTuple):
    """A value of the graph: a result of a node."""

    node: int
    output: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the file has it.

    Args:
        index: its number.
        name: its name.
        operator: its operator; ``null`` for a variable: an input, a parameter, or a batch statistic.
        attributes: its attributes, texts all.
        inputs: the values that it takes, of nodes with lower numbers.
    """

    index: int
    name: str
    operator: str
    attributes: Mapping[str, str]
    inputs: tuple[Entry, ...]

    @property
    def is_variable(self) -> bool:
        """Whether it is an input, a parameter or a batch statistic."""
        return self.operator == "null"

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return node_place(self.index, self.name, "a variable" if self.is_variable else self.operator)


@dataclass(frozen=True, slots=True)
class Symbol:
    """The graph of a network.

    Args:
        file: the name of its file.
        nodes: all of them, each behind those that it reads.
        heads: the values that are the results.
        version: the version that wrote it: 10901 is 1.9.1; 800 where the file does not tell.
    """

    file: str
    nodes: tuple[Node, ...]
    heads: tuple[Entry, ...]
    version: int

    def needed(self) -> list[Node]:
        """The nodes that lead to a result, in the order of the file."""
        wanted, ahead = set(), [head.node for head in self.heads]
        while ahead:
            index = ahead.pop()
            if index not in wanted:
                wanted.add(index)
                ahead.extend(entry.node for entry in self.nodes[index].inputs)
        return [node for node in self.nodes if node.index in wanted]

    def fault(self, node: Node | None, problem: str, expected: str, received: str, advice: str = ADVICE) -> FileError:
        """The error of something in a node, or in all of the file."""
        return FileError(self.file, node.place if node else "", problem, expected, received, advice)


def read_symbol(path: str | os.PathLike[str]) -> Symbol:
    """The graph in a file.

    Args:
        path: the file: ``model-symbol.json``.

    Raises:
        FileError: if this is no graph, or no acyclic one.
    """
    name = os.fspath(path)
    with open_file(path) as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise FileError(name, "", "The file is too long for a symbol.", f"at most {LONGEST} bytes", "more", ADVICE)
    reader = SymbolReader(name)
    return upgraded(reader.symbol(reader.parsed(data)))


class SymbolReader:
    """Makes a graph of what the JSON of a file holds, and trusts none of it."""

    def __init__(self, file: str) -> None:
        self.file = file

    def parsed(self, data: bytes) -> Any:
        """The JSON of the file."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.fault(f"byte {error.start}", "The file is no text.", "UTF-8", repr(data[error.start :][:20])) from None
        try:
            return json.loads(text, object_pairs_hook=self.object, parse_constant=self.no_number)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise self.fault(place, "The JSON is broken.", "a symbol as JSON", error.msg) from None
        except RecursionError:
            raise self.fault("", "The JSON is nested too deeply.", "five levels", "more than a hundred") from None
        except ValueError as error:
            if isinstance(error, FileError):
                raise
            raise self.fault("", "A number is too long.", "numbers of 32 bits", "thousands of digits") from None

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object, each of whose keys stands once."""
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise self.fault("", "A key stands twice in one object.", "each key once", repr(twice))
        return found

    def no_number(self, text: str) -> None:
        """Refuses what JSON does not know."""
        raise self.fault("", "JSON knows no such number.", "a number", text)

    def symbol(self, found: Any) -> Symbol:
        """The graph."""
        if not isinstance(found, dict) or not isinstance(found.get("nodes"), list) or not isinstance(found.get("heads"), list):
            received = (
                f"an object with {', '.join(map(repr, found)) or 'nothing'}" if isinstance(found, dict) else kind_of(found)
            )
            raise self.fault("", "This is no symbol.", "an object with 'nodes' and 'heads'", received)
        nodes: list[Node] = []
        for item in found["nodes"]:
            nodes.append(self.node(len(nodes), item))
        self.check_names(nodes)
        self.check_variables(found.get("arg_nodes", []), nodes)
        if not nodes:
            raise self.fault("", "The symbol has no nodes.", "at least one node", "none")
        heads = tuple(
            self.entry(f"head {i} of {len(found['heads'])}", item, len(nodes)) for i, item in enumerate(found["heads"])
        )
        if not heads:
            raise self.fault("", "The symbol has no results.", "at least one head", "none")
        symbol = Symbol(self.file, tuple(nodes), heads, self.version(found.get("attrs", {})))
        count = sum(not node.is_variable for node in symbol.needed())
        if count > MOST_NODES:
            raise self.fault("", "The network is too long for a sequence.", f"at most {MOST_NODES} operators", str(count))
        return symbol

    def node(self, index: int, item: Any) -> Node:
        """A node."""
        place = f"node {index}"
        if not isinstance(item, dict):
            raise self.fault(place, "A node is an object.", "an object with 'op', 'name' and 'inputs'", kind_of(item))
        operator, name = self.text(place, item, "op"), self.text(place, item, "name")
        place = node_place(index, name, "a variable" if operator == "null" else operator)
        if item.get("subgraphs"):
            advice = "Networks whose path depends on values cannot be written as a sequence: export the parts around them."
            raise self.fault(place, "The node holds a graph of its own.", "a node without 'subgraphs'", operator, advice)
        inputs = item.get("inputs")
        if not isinstance(inputs, list):
            raise self.fault(place, "The inputs of a node are a list.", "a list", kind_of(inputs))
        if operator == "null" and inputs:
            raise self.fault(place, "A variable takes no values.", "no inputs", f"{len(inputs)} inputs")
        entries = tuple(self.entry(place, each, index) for each in inputs)
        return Node(index, name, operator, self.attributes(place, item), entries)

    def text(self, place: str, item: Mapping[str, Any], key: str) -> str:
        """A text of a node."""
        text = item.get(key)
        if not isinstance(text, str) or not is_text(text):
            received = kind_of(text) if not isinstance(text, str) else repr(text)
            raise self.fault(place, f"The {key!r} of a node is a text.", "a text", received)
        if len(text) > LONGEST_NAME:
            expected = f"at most {LONGEST_NAME} letters"
            raise self.fault(place, f"The {key!r} of a node is too long.", expected, f"{len(text)} letters")
        return text

    def attributes(self, place: str, item: Mapping[str, Any]) -> dict[str, str]:
        """The attributes, under each of the keys that versions had for them."""
        found: dict[str, str] = {}
        for key in ("attrs", "attr", "param"):
            given = item.get(key, {})
            if not isinstance(given, dict):
                raise self.fault(place, "Attributes are an object.", "an object", kind_of(given))
            for name, text in given.items():
                if not isinstance(text, str) or not is_text(text) or not is_text(name):
                    raise self.fault(place, f"The attribute {name!r} is no text.", "a text", kind_of(text))
                found.setdefault(name, text)
        return found

    def entry(self, place: str, item: Any, count: int) -> Entry:
        """A value, of one of the first so many nodes."""
        if not isinstance(item, list) or not 2 <= len(item) <= 3 or not all(is_whole(each) for each in item):
            received = kind_of(item) if not isinstance(item, list) else str(item[:4])
            raise self.fault(place, "A value is named by numbers.", "[node, result, version], from 0", received)
        if item[0] >= count:
            expected = f"a number from 0 to {count - 1}" if count else "no inputs: it is the first node"
            raise self.fault(place, "It reads a node that does not stand before it.", expected, str(item[0]))
        return Entry(item[0], item[1])

    def check_names(self, nodes: Sequence[Node]) -> None:
        """Refuses two variables of the same name: nobody could tell whose parameters are whose."""
        seen: dict[str, Node] = {}
        for node in nodes:
            if node.is_variable and seen.setdefault(node.name, node) is not node:
                other = seen[node.name].place
                raise self.fault(node.place, "Two variables have the same name.", "a name for each", f"that of {other}")

    def check_variables(self, found: Any, nodes: Sequence[Node]) -> None:
        """Refuses a list of variables that names another node."""
        if not isinstance(found, list) or not all(is_whole(each) for each in found):
            raise self.fault("arg_nodes", "This is no list of nodes.", "numbers from 0", kind_of(found))
        wrong = [each for each in found if each >= len(nodes) or not nodes[each].is_variable]
        if wrong:
            raise self.fault("arg_nodes", "This is no variable.", "nodes with 'op': 'null'", f"node {wrong[0]}")

    def version(self, attributes: Any) -> int:
        """The version that wrote the file; before 0.9 none was written."""
        told = attributes.get("mxnet_version") if isinstance(attributes, dict) else None
        version = told[1] if isinstance(told, list) and len(told) == 2 else None
        return version if version is not None and is_whole(version) else 800

    def fault(self, place: str, problem: str, expected: str, received: str, advice: str = ADVICE) -> FileError:
        """The error of something in the file."""
        return FileError(self.file, place, problem, expected, received, advice)


def is_whole(item: Any) -> bool:
    """Whether this is a whole number from 0, of 32 bits."""
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**32


def is_text(text: str) -> bool:
    """Whether a text can be written in UTF-8: halves of characters cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def kind_of(item: Any) -> str:
    """What an item of JSON is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(item), "a number")


# Files of older versions


def upgraded(symbol: Symbol) -> Symbol:
    """The graph as version 1.9 would have written it."""
    nodes = tuple(replace(node, attributes=without_hidden(node)) for node in symbol.nodes)
    symbol = replace(symbol, nodes=nodes)
    symbol = with_statistics(symbol) if symbol.version < 900 else symbol
    return without_last_axis(symbol) if symbol.version < 905 else symbol


def without_hidden(node: Node) -> dict[str, str]:
    """The attributes that an operator reads; those of training and placement stood among them before version 1."""
    return {key: text for key, text in node.attributes.items() if not any(is_hidden(key, word) for word in HIDDEN)}


def is_hidden(key: str, word: str) -> bool:
    """Whether an attribute is one of those, or one of those of an input: ``lr_mult``, ``weight_lr_mult``."""
    return key == word or key.endswith("_" + word)


def with_statistics(symbol: Symbol) -> Symbol:
    """The graph with the batch statistics as inputs, under the names that they have in the file of parameters."""
    nodes: list[Node] = []
    moved: dict[int, int] = {}
    for node in symbol.nodes:
        names = STATISTICS.get(node.operator, ()) if len(node.inputs) == 3 else ()
        inputs = [entry._replace(node=moved[entry.node]) for entry in node.inputs]
        for name in names:
            inputs.append(Entry(len(nodes), 0))
            nodes.append(Node(len(nodes), f"{node.name}_{name}", "null", {}, ()))
        moved[node.index] = len(nodes)
        nodes.append(replace(node, index=len(nodes), inputs=tuple(inputs)))
    SymbolReader(symbol.file).check_names(nodes)
    heads = tuple(head._replace(node=moved[head.node]) for head in symbol.heads)
    return replace(symbol, nodes=tuple(nodes), heads=heads)


def without_last_axis(symbol: Symbol) -> Symbol:
    """The graph whose ``argmax`` over all numbers says so as today: before 0.9.5 it was the axis -1."""
    return replace(symbol, nodes=tuple(map(over_all, symbol.nodes)))


def over_all(node: Node) -> Node:
    """The node, where it is an ``argmax`` or ``argmin`` with the axis -1, without it."""
    if node.operator not in ("argmax", "argmin") or node.attributes.get("axis") != "-1":
        return node
    return replace(node, attributes=dict(without(node.attributes.items(), "axis")))


def without(items: Iterable[tuple[str, str]], key: str) -> list[tuple[str, str]]:
    """The items without that of a key."""
    return [item for item in items if item[0] != key]
