"""A network that MXNet exported, in words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from skipseq.bridges.graph import Operation, free_name, in_a_row, in_words, is_keyed
from skipseq.declare.vocabulary import pick
from skipseq.errors import FileError, did_you_mean
from skipseq.run import Sequential

from . import operators  # noqa: F401  # they register themselves
from .names import Names
from .operation import OPERATORS, PREVIOUS, GluonNode, Piece
from .symbol import Entry, Node, Symbol, read_symbol
from .weights import Weights, weights_of

__all__ = ["from_gluon", "value_names"]

#: What recurrent layers and cells become: the layers themselves, and the states with which they begin.
RECURRENT = ("RNN", "_rnn_param_concat", "_zeros")

#: What the constructors of PyTorch raise for sizes that do not fit together.
REFUSALS = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError)


def from_gluon(
    symbol: str | os.PathLike[str], params: str | os.PathLike[str] | None = None, *, ignore_extra: bool = False
) -> Sequential:
    """The network of an exported MXNet or Gluon model, with its weights; MXNet is not needed.

    >>> from skipseq.bridges.gluon import from_gluon
    >>> net = from_gluon("tests/data/gluon/networks/residual-symbol.json", "tests/data/gluon/networks/residual-0000.params")
    >>> print(net)
    Sequential(
        ('conv0', nn.Conv2d(16, 4, 1)),
        ('conv1', nn.Conv2d(4, 16, 1)),
        add('input'),  # <- input
        ('relu0', nn.ReLU()),
    )

    The two files are what ``net.export("model")`` writes. In the place of the second, the file of
    ``net.save_parameters(path)`` does too: its names (``encoder.0.weight``) tell the tree of blocks, which is laid over the
    names in the symbol. Where blocks and scopes are called the same, their names decide. Else, among layers of one type in one
    scope, the counter in the name is the order in which they were made, and thus that of the file; where two kinds of layers
    look alike in all their shapes, the one of the like name comes first, then the one that the network uses first. Whatever
    does not fit is an error. Give the file of ``net.export`` where there is one: its names leave nothing to find out.

    The network is in evaluation mode, as one that was exported for inference; ``net.train()`` goes on with training. The
    scopes in the names of the nodes are parts (``unet0_hybridsequential0_conv0_fwd`` is ``part0.conv0``; ``unet0`` is in
    front of all names). With a file of ``save_parameters`` its blocks are, and their keys are those of that file:
    ``encoder.0.weight``. Where a block does not run in a row, those inside it stand in its place: ``encoder_0.0.weight``.
    A scope whose name can be no key gets one like it, and more than 40 parts inside each other become one.
    One input is called ``"input"``, several keep their names; several results are ``outputs=`` by name.

    Args:
        symbol: the graph: ``model-symbol.json``.
        params: the parameters: ``model-0000.params``, or a file of ``save_parameters``. Without it, the symbol has to tell all
            shapes, and the weights are new ones, up to 8 GiB.
        ignore_extra: whether the file of parameters may hold more than the network reads.

    Raises:
        FileError: with the node, or the byte, and what was expected there.
    """
    graph = read_symbol(symbol)
    weights = weights_of(graph, params, ignore_extra)
    return Converter(graph, weights).network()


def value_names(symbol: str | os.PathLike[str], params: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """What the nodes of a symbol are called in the network that ``from_gluon`` makes of the same files.

    A layer that runs several times has several nodes of one name: the name is that of the first.

    >>> from skipseq.bridges.gluon import value_names
    >>> names = value_names("tests/data/gluon/networks/residual-symbol.json", "tests/data/gluon/networks/residual-0000.params")
    >>> names["example0_conv1_fwd"]
    'conv1'

    Args:
        symbol: the graph: ``model-symbol.json``.
        params: the parameters; a file of ``save_parameters`` gives other names.

    Raises:
        FileError: if the files cannot be read.
    """
    graph = read_symbol(symbol)
    converter = Converter(graph, weights_of(graph, params, True))
    converter.network()
    found: dict[str, str] = {}
    for index, name in converter.names.of.items():
        found.setdefault(graph.nodes[index].name, converter.paths.get(name, name))
    return found


class Converter:
    """Makes operations of nodes.

    Args:
        symbol: the graph.
        weights: its parameters and batch statistics.
    """

    def __init__(self, symbol: Symbol, weights: Weights) -> None:
        self.symbol = symbol
        self.weights = weights
        self.names = Names(symbol, weights.values, weights.scopes)
        self.operations: list[Operation] = []
        #: The paths of the layers in the network, by the names of their values.
        self.paths: dict[str, str] = {}
        #: The names of values, by what gives them.
        self.values: dict[Entry, str] = {}
        #: How many results nodes have.
        self.parts: dict[int, int] = {}
        self.inputs: list[str] = []
        #: What nodes with weights became: nodes with the same weights and attributes become the same layer.
        self.made: dict[Any, list[Piece]] = {}

    def network(self) -> Sequential:
        """The whole network."""
        for node in self.symbol.needed():
            if not node.is_variable:
                self.convert(node)
            elif node.name not in self.weights.values:
                self.values[Entry(node.index, 0)] = self.names.of[node.index]
                self.inputs.append(self.names.of[node.index])
        outputs = self.outputs()
        operations = settled(leading_to(outputs, self.operations))
        self.paths = {each.name: ".".join((*each.part, each.key or each.name)) for each in operations}
        read = {operand for operation in operations for operand in operation.operands} | set(outputs)
        inputs = [name for name in self.inputs if name in read]
        if not inputs:
            raise self.symbol.fault(None, "The network reads no input.", "a variable that is no parameter", "none")
        return in_words(operations, inputs, outputs).eval()

    def convert(self, node: Node) -> None:
        """A node becomes one operation, or several in a row."""
        seen = self.seen(node)
        pieces = self.pieces(node, seen)
        name = ""
        for piece in pieces:
            last = piece is pieces[-1]
            operands = self.operands(seen, node, piece, name)
            name = self.names.of[node.index] if last else self.names.free(f"{self.names.of[node.index]}_{kind(piece.entry)}")
            part, key = self.place(node, "" if last else kind(piece.entry))
            self.operations.append(Operation(name, piece.entry, operands, part, key))
        self.parts[node.index] = pieces[-1].parts
        if pieces[-1].parts == 1:
            self.values[Entry(node.index, 0)] = name

    def place(self, node: Node, before: str) -> tuple[tuple[str, ...], str | None]:
        """The part in which a node stands, and its key there; ``before`` is what stands before its layer."""
        place = self.names.places[node.index]
        if not before and place.key.isdigit():
            return place.part, place.key
        wanted = "_".join(filter(None, ["" if place.key.isdigit() else place.key, before]))
        return place.part, free_name(wanted, self.names.inputs)

    def seen(self, node: Node) -> GluonNode:
        """What the operator sees of a node."""
        sources = [self.symbol.nodes[entry.node] for entry in node.inputs]
        values = tuple(self.weights.values.get(each.name) if each.is_variable else None for each in sources)
        inputs = tuple(each.name for each in sources)
        return GluonNode(node.name, node.operator, values, node.attributes, self.symbol.file, node.place, inputs)

    def pieces(self, node: Node, seen: GluonNode) -> list[Piece]:
        """What a node becomes."""
        attributes = frozenset(item for item in node.attributes.items() if not item[0].startswith("__"))
        key = (node.operator, attributes, tuple(map(id, seen.values)))
        if key in self.made:
            return self.made[key]
        reader = OPERATORS.get(node.operator)
        if reader is None:
            raise self.unknown(node)
        try:
            made = reader(seen)
        except FileError:
            raise
        except REFUSALS as error:
            advice = "The sizes in the file do not fit together: export the network again."
            raise self.symbol.fault(node, "PyTorch cannot build this layer.", "sizes that fit", str(error), advice) from error
        pieces = made if isinstance(made, list) else [made]
        if any(value is not None for value in seen.values):
            self.made[key] = pieces
        return pieces

    def unknown(self, node: Node) -> FileError:
        """The error of an operator that nobody reads."""
        if node.operator in RECURRENT:
            problem, expected = "The network is recurrent: it runs step by step.", "a network without steps"
            advice = "Write this part with nn.LSTM, nn.GRU or nn.RNN, and export what stands before it and behind it."
            return self.symbol.fault(node, problem, expected, node.operator, advice)
        known = sorted(OPERATORS)
        near = did_you_mean(node.operator, known)
        advice = f"{near} Known are: {', '.join(known)}.".strip()
        return self.symbol.fault(node, "This operator is not known.", "a known operator", repr(node.operator), advice)

    def operands(self, seen: GluonNode, node: Node, piece: Piece, before: str) -> tuple[str | float, ...]:
        """What a piece takes: names of values, and numbers."""
        found: list[str | float] = []
        for operand in piece.operands or ((PREVIOUS,) if before else ()):
            if isinstance(operand, float):
                found.append(operand)
            else:
                found.append(before if operand == PREVIOUS else self.value(seen, node, operand))
        return tuple(found)

    def value(self, seen: GluonNode, node: Node, position: int) -> str:
        """The name of the value at an input."""
        if seen.values[position] is not None:
            expected, advice = "a value that the network computes", "Compute with it inside a layer of your own."
            raise self.symbol.fault(node, f"Input {position} is a parameter.", expected, repr(seen.inputs[position]), advice)
        return self.name_of(node.inputs[position], node)

    def name_of(self, entry: Entry, reader: Node | None) -> str:
        """The name of a value; that of one of several results is made when it is first read."""
        if entry not in self.values:
            giver, count = self.symbol.nodes[entry.node], self.parts.get(entry.node, 1)
            if entry.output >= count:
                results = f"a result from 0 to {count - 1} of {giver.place}"
                raise self.symbol.fault(reader, "It reads a result that is not there.", results, str(entry.output))
            whole = self.names.of[giver.index]
            self.values[entry] = self.names.free(f"{whole}_{entry.output}")
            self.operations.append(Operation(self.values[entry], pick[entry.output], (whole,)))
        return self.values[entry]

    def outputs(self) -> list[str]:
        """The names of the results."""
        found: list[str] = []
        for head in self.symbol.heads:
            node = self.symbol.nodes[head.node]
            if node.is_variable and node.name in self.weights.values:
                raise self.symbol.fault(node, "A parameter is a result.", "a value that the network computes", repr(node.name))
            found.append(self.name_of(head, node))
        return found


def leading_to(outputs: Iterable[str], operations: Sequence[Operation]) -> list[Operation]:
    """The operations that the outputs need."""
    wanted, kept = set(outputs), []
    for operation in reversed(operations):
        if operation.name in wanted:
            kept.append(operation)
            wanted.update(operand for operand in operation.operands if isinstance(operand, str))
    return kept[::-1]


def settled(operations: Sequence[Operation]) -> list[Operation]:
    """The operations with keys that no other has in its part; among numbered layers those without a number get theirs."""
    operations = in_a_row(operations)
    parts = {(each.part[:i], key) for each in operations for i, key in enumerate(each.part)}
    known = parts | {(each.part, each.key) for each in operations if each.key is not None and each.key.isdigit()}
    numbered = {part for part, key in known if key is not None and key.isdigit()}
    count: Counter[tuple[str, ...]] = Counter()
    placed: list[Operation] = []
    used: set[tuple[tuple[str, ...], str]] = set()
    before: tuple[str, ...] = ()
    for each in operations:
        count.update(each.part[:i] for i in range(len(each.part)) if before[: i + 1] != each.part[: i + 1])
        before, part, key = each.part, each.part, each.key or each.name
        if is_keyed(each.entry):
            number = str(count[part])
            if part in numbered and not key.isdigit() and (part, number) not in known:
                key = number
            elif (part, key) in used or (part, key) in parts:
                key = free_name(each.name, {key for where, key in used | known if where == part and key is not None})
            used.add((part, key))
            count[part] += 1
        placed.append(replace(each, key=key))
    return placed


def kind(entry: Any) -> str:
    """What an entry is, for a name."""
    return str(getattr(entry, "__name__", type(entry).__name__)).lower().strip("_") or "part"
