"""From the tree of a text to the network that it describes."""

from __future__ import annotations

import ast
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from torch import nn

from skipseq import Grid, UNet
from skipseq.errors import FileError, did_you_mean
from skipseq.run import Sequential

from .build import Builder, Given
from .document import MOST_NESTED, Alias, Listed, Mapped, Node, Scalar, parse, too_deep
from .evaluate import Block, Evaluator, Scope, parsed
from .faults import MOST_FAULTS, Faults, Source, faults_of
from .names import MISSING, Names

__all__ = ["VERSION", "Document"]

#: The version of the format.
VERSION = "1"

#: What stands at the top of a text, in order.
TOP = ("skipseq", "inputs", "outputs", "blocks", "network")

#: The plain containers of torch, whose entries have names all or none.
PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

Result = TypeVar("Result")


class Document:
    """A text with its parts, which can be built several times: without memory first, then with it.

    Args:
        source: the text.
        registry: classes and functions of the user by name.
    """

    def __init__(self, source: Source, registry: Mapping[str, Any] | None) -> None:
        self.source = source
        self.names = Names(registry, source.file)
        self.top = self.parts(parse(source))
        self.trees: dict[int, ast.expr] = {}

    def parts(self, root: Node) -> dict[str, Node]:
        """What stands at the top, by its keys."""
        if not isinstance(root, Mapped):
            raise self.fault(root, "no network", "'skipseq: 1' in the first line, then 'network:'", "Write net.to_yaml().")
        if not root.pairs or root.pairs[0][0].text != "skipseq":
            first = root.pairs[0][0] if root.pairs else root
            raise self.fault(first, "the version is not the first line", "skipseq: 1", "Write 'skipseq: 1' before all else.")
        version = root.pairs[0][1]
        if not isinstance(version, Scalar) or version.text != VERSION:
            advice = "It was written by another version of skipseq: use that, or pip install --upgrade skipseq."
            raise self.fault(version, "another version of the format", f"skipseq: {VERSION}", advice)
        for key, _ in root.pairs:
            if key.text not in TOP:
                similar = did_you_mean(key.text, TOP)
                problem = f"{key.text!r} is nothing that a network has.{similar}".removesuffix(".")
                raise self.fault(key, problem, ", ".join(TOP), "Write entries below 'network:'.")
        found = {key.text: node for key, node in root.pairs}
        if "network" not in found:
            raise self.fault(
                root, "the network is missing", "network: and below it its entries", "Write '  - nn.ReLU()' below."
            )
        return found

    def fault(self, node: Node, problem: str, expected: str, advice: str) -> FileError:
        """The error for a node."""
        return self.source.fault(node.place, problem, expected, shown(node), advice)

    def build(self, cls: type[Sequential], meta: bool) -> tuple[Any, int]:
        """The network, and the bytes of its parameters and buffers."""
        names = self.names.and_class(cls)
        builder = Builder(self.source, meta, names.registry)
        try:
            net = Reader(self, builder, names, cls).network()
        except Faults as error:
            raise error.error() from None
        except RecursionError:  # whoever reads it stands deep in calls already
            raise too_deep(self.source, None) from None
        return net, builder.bytes_of(net)


class Reader:
    """Builds the network of a document once."""

    def __init__(self, document: Document, builder: Builder, names: Names, cls: type[Sequential]) -> None:
        self.document, self.builder, self.names, self.cls = document, builder, names, cls
        self.source, self.fault = document.source, document.fault
        self.evaluator = Evaluator(document.source, names, builder, document.trees)
        self.evaluator.anchors = self.at_anchor
        self.built: dict[tuple[int, int], Any] = {}
        self.anchored: dict[tuple[str, int], Any] = {}
        self.scopes: list[Scope] = []
        self.depth = 0

    def network(self) -> Any:
        """The network."""
        top = self.document.top
        self.blocks(top.get("blocks"))
        node, scope = top["network"], Scope()
        self.scopes.append(scope)
        options: dict[str, Any] = {name: self.some_names(name, top[name]) for name in ("inputs", "outputs") if name in top}
        if isinstance(node, Listed):
            make = self.cls if not getattr(self.cls, "_derived_class", None) else Sequential
            where = Given(None, node.place, "network:")
            self.builder.top = self.entries(node, scope)
            self.builder.options = {name: Given(None, top[name].place, shown(top[name])) for name in options}
            net = self.builder.construct(make, make.__name__, self.builder.top, options, where)
        else:
            net = self.entry(node, scope).value
            if options:
                advice = "Write the entries of the network as a list below 'network:'."
                raise self.fault(
                    node, f"{' and '.join(options)} belong to a network that is a list", "network: and a list", advice
                )
        if not isinstance(net, self.cls):
            expected = "a list of entries, or one constructor of a sequence"
            problem = f"the network is {describe(net)}, and no {self.cls.__name__}"
            raise self.fault(node, problem, expected, "Write each entry behind a dash, below 'network:'.")
        return net

    def some_names(self, what: str, node: Node) -> Any:
        """The names of inputs or outputs: a list, or for the one output its name."""
        if isinstance(node, Scalar) and what == "outputs":
            return node.text
        if not isinstance(node, Listed) or not all(isinstance(each, Scalar) for each in node.items):
            raise self.fault(node, f"{what} are names", f"{what}: [x, t]", "Write the names in a list.")
        return tuple(each.text for each in node.items if isinstance(each, Scalar))

    # Blocks

    def blocks(self, node: Node | None) -> None:
        """The blocks of the text, by name; they are built where they are called."""
        if node is None:
            return
        if not isinstance(node, Mapped):
            raise self.fault(
                node, "blocks have names", "blocks: and below it 'name(parameter):'", "Write a name before each block."
            )
        for key, body in node.pairs:
            block = self.block(key, body)
            if block.name in self.evaluator.blocks or self.names.find(block.name) is not MISSING:
                problem = f"{block.name} is already the name of something else"
                raise self.fault(key, problem, "a name that is free", "Rename the block.")
            self.evaluator.blocks[block.name] = block

    def block(self, key: Scalar, body: Node) -> Block:
        """A block: its name and parameters from its key."""
        tree = parsed(key, self.source)
        expected, advice = "a name with its parameters: down(inputs, outputs, stride=1)", "Write brackets behind the name."
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise self.fault(key, "no head of a block", expected, advice)
        reading = self.evaluator.reading(key, Scope())
        parameters = [each.id for each in tree.args if isinstance(each, ast.Name)]
        if len(parameters) < len(tree.args) or any(each.arg is None for each in tree.keywords):
            raise self.fault(key, "a parameter is no name", expected, "Write names, and defaults as name=value.")
        defaults = {str(each.arg): reading.value(each.value) for each in tree.keywords}
        every = (*parameters, *defaults)
        if twice := [name for name in every if every.count(name) > 1]:
            raise self.fault(key, f"the parameter {twice[0]!r} stands there twice", expected, "Rename one of them.")
        return Block(tree.func.id, every, defaults, partial(self.build_block, body))

    def build_block(self, body: Node, scope: Scope) -> Any:
        """What a block stands for with these arguments."""
        self.scopes.append(scope)
        try:
            return self.entry(body, scope).value
        finally:
            self.scopes.pop()

    # Entries

    def entries(self, node: Listed, scope: Scope) -> list[Given]:
        """The entries of a list; all faults among them are told."""
        return self.each(node.items, lambda item: self.entry(item, scope))

    def each(self, items: Sequence[Any], read: Callable[[Any], Result]) -> list[Result]:
        """What is read of each item; the faults of all of them are told together."""
        found: list[Result] = []
        faults: list[FileError] = []
        for item in items:
            try:
                found.append(read(item))
            except (FileError, Faults) as error:
                faults += faults_of(error)
            if len(faults) >= MOST_FAULTS:
                break
        if faults:
            raise Faults(faults)
        return found

    @contextmanager
    def deeper(self, node: Node) -> Any:
        """One level further inside, within bounds."""
        if self.depth >= MOST_NESTED:
            raise too_deep(self.source, node.place)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def entry(self, node: Node, scope: Scope) -> Given:
        """An entry: an expression, a list that is a part, a name with an entry, or a constructor over several lines."""
        if isinstance(node, Alias):
            return self.shared(node, scope)
        with self.deeper(node):
            found = self.new_entry(node, scope)
        if node.anchor is not None:
            self.built[id(node), id(scope)] = found
            value = found.value[1] if found.name is not None else found.value
            self.anchored[node.anchor, id(scope)] = value
        return found

    def new_entry(self, node: Scalar | Listed | Mapped, scope: Scope) -> Given:
        """An entry that stands here for the first time."""
        if isinstance(node, Scalar):
            return Given(self.evaluator.value(node, scope), node.place, node.text)
        if isinstance(node, Listed):
            return Given(self.part(node, scope), node.place, shown(node))
        if len(node.pairs) != 1:
            advice = "Write each behind a dash of its own: '- name: entry'."
            raise self.fault(node, f"an entry with {len(node.pairs)} names", "one name, and behind it its entry", advice)
        key, value = node.pairs[0]
        if key.text.startswith("lambda ") and not key.quoted:
            raise self.fault(key, "a lambda without quotes", '"lambda x: x.flatten(1)"', "Put double quotes around it.")
        if is_constructor(key):
            return Given(self.constructed(key, value, scope), key.place, key.text)
        inner = self.entry(value, scope)
        if inner.name is not None:
            advice = "Write the second name as the only one, or a list below the first: '- name:' and entries."
            raise self.fault(key, f"two names for one entry: {key.text!r} and {inner.name!r}", "one name", advice)
        return Given((key.text, inner.value), key.place, inner.text, key.text)

    def shared(self, node: Alias, scope: Scope) -> Given:
        """An entry that stands elsewhere too: the same object."""
        found = self.built.get((id(node.node), id(scope)))
        if found is None:
            problem = f"&{node.name} stands in another block, whose layers are made where it is called"
            raise self.fault(
                node, problem, "an anchor in the same block", "Write the layer into the same block, or hand it on."
            )
        return Given(found.value, node.place, f"*{node.name}", found.name)

    def at_anchor(self, name: str, scope: Scope) -> Any:
        """What has an anchor of this name above, in the same block."""
        return self.anchored.get((name, id(scope)), MISSING)

    def part(self, node: Listed, scope: Scope) -> Any:
        """A list of entries as a sequence."""
        where = Given(None, node.place, shown(node))
        return self.builder.construct(Sequential, "Sequential", self.entries(node, scope), {}, where)

    # Constructors over several lines

    def constructed(self, key: Scalar, node: Node, scope: Scope) -> Any:
        """A constructor whose options stand in its brackets, and whose entries or arguments stand below it."""
        tree = parsed(key, self.source)
        if not isinstance(tree, ast.Call):
            advice = f"Put quotes around a name that ends in a bracket: '{key.text}': ..."
            raise self.fault(key, "no constructor", "a class with its options: UNet(join=cat)", advice)
        reading = self.evaluator.reading(key, scope)
        function = reading.value(tree.func)
        text = ast.get_source_segment(key.text, tree.func) or key.text
        if isinstance(function, Block):
            advice = f"Write '- {key.text}' without what stands below it, or a parameter for it."
            raise self.fault(key, f"the block {text} has its entries where it is defined", "a class", advice)
        args, kwargs = list(reading.positional(tree)), reading.named(tree)
        args, kwargs = self.with_below(function, text, args, kwargs, node, scope)
        return self.builder.construct(function, text, args, kwargs, Given(None, key.place, key.text))

    def with_below(
        self, function: Any, text: str, args: list[Given], kwargs: dict[str, Any], node: Node, scope: Scope
    ) -> tuple[list[Given], dict[str, Any]]:
        """The arguments of a constructor, with those that stand below it."""
        if isinstance(node, Scalar) and not node.text:
            return args, kwargs
        if isinstance(node, Listed):
            entries = self.entries(node, scope)
            plain = any(function is each for each in PLAIN)
            return [*args, *(self.plain(function, text, entries, node) if plain else entries)], kwargs
        if not isinstance(node, Mapped):
            raise self.fault(node, f"{text} has one value below it", "a list of entries, or arguments by name", "Write a list.")
        given = self.each(node.pairs, lambda pair: (pair[0], self.argument(function, pair[0].text, pair[1], scope)))
        several = several_of(function)
        for key, value in given:
            if key.text in kwargs or (key.text == several and args):
                raise self.fault(key, f"{text} receives {key.text!r} twice", "each argument once", "Leave one of them out.")
            if key.text == several:
                args = self.spread(key, value)
            else:
                kwargs[key.text] = value
        return args, kwargs

    def spread(self, key: Scalar, value: Any) -> list[Given]:
        """The arguments of a constructor that takes any number of them."""
        if not isinstance(value, list):
            raise self.fault(key, f"{key.text} is no list", "a list of entries", "Write each behind a dash.")
        return [Given(each, key.place, key.text, each[0] if is_pair(each) else None) for each in value]

    def plain(self, function: Any, text: str, entries: list[Given], node: Node) -> list[Given]:
        """The entries of a plain container of torch: those with names as one dict."""
        named = [each for each in entries if each.name is not None]
        if named and len(named) < len(entries):
            raise self.fault(
                node, f"{text} takes names for all of its layers, or for none", "all or none", "Write Sequential():"
            )
        if not named and function is not nn.ModuleDict:
            return entries if function is nn.Sequential else [Given([each.value for each in entries], node.place, shown(node))]
        if function is nn.ModuleList:
            raise self.fault(node, "nn.ModuleList takes no names", "layers without names", "Write nn.ModuleDict():")
        twice = [each.name for i, each in enumerate(named) if each.name in [other.name for other in named[:i]]]
        if twice:
            raise self.fault(node, f"{twice[0]!r} is the name of two layers", "each name once", "Rename one of them.")
        given = Given(OrderedDict(each.value for each in entries), node.place, shown(node))
        return [given]

    def argument(self, function: Any, name: str, node: Node, scope: Scope) -> Any:
        """The value of an argument that stands below its constructor: a list is one, in it are entries."""
        if isinstance(node, Alias) or (function is UNet and name == "bridge"):
            return self.entry(node, scope).value
        if isinstance(node, Listed):
            if function is Grid:
                return self.each(node.items, lambda item: self.argument(list, name, item, scope))
            return [each.value for each in self.entries(node, scope)]
        if isinstance(node, Mapped) and len(node.pairs) == 1 and not is_constructor(node.pairs[0][0]):
            key, value = node.pairs[0]
            return key.text, self.argument(function, name, value, scope)
        return self.entry(node, scope).value


def is_constructor(key: Scalar) -> bool:
    """Whether a key is a constructor; a name with a bracket at its end has quotes."""
    return not key.quoted and key.text.endswith(")")


def is_pair(value: Any) -> bool:
    """Whether a value is an entry with its name."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def several_of(function: Any) -> str | None:
    """The name of the parameter of a constructor that takes any number of values."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), None)


def shown(node: Node) -> str:
    """A node in short, for errors."""
    if isinstance(node, Scalar):
        return node.text or "nothing"
    if isinstance(node, Alias):
        return f"*{node.name}"
    return (
        f"a list of {len(node.items)}"
        if isinstance(node, Listed)
        else f"the keys {', '.join(key.text for key, _ in node.pairs)}"
    )


def describe(net: Any) -> str:
    """What was built, in short."""
    return f"of the class {type(net).__name__}" if isinstance(net, nn.Module) else f"{net!r}, which is no network"
