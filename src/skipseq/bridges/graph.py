"""A graph of operations in the order in which they run, as other worlds store their networks, and its sequence in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from torch import nn

from skipseq.declare.vocabulary import call, here, save, take, via
from skipseq.declare.words import JoinWord, PickWord
from skipseq.run import Sequential

__all__ = ["Operation", "free_name", "in_words"]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation of a graph: what it is called, what it does, and the values that it takes in order.

    Args:
        name: the name of its result: an identifier that no other operation or input has.
        entry: a layer or a plain function, or a join without operands: ``cat(dim=1)``, ``add()``.
        operands: names of inputs and of earlier operations; a join and a function take numbers too.
    """

    name: str
    entry: Any
    operands: tuple[str | float, ...]


def in_words(operations: Sequence[Operation], inputs: Sequence[str], outputs: Sequence[str]) -> Sequential:
    """The sequence of a graph: each layer under its name, each join as a word.

    >>> from torch import nn
    >>> from skipseq import add
    >>> from skipseq.bridges.graph import Operation, in_words
    >>> graph = [
    ...     Operation("conv1", nn.Conv2d(8, 8, 3, padding=1), ("data",)),
    ...     Operation("conv2", nn.Conv2d(8, 8, 1), ("data",)),
    ...     Operation("sum", add(), ("conv1", "conv2")),
    ...     Operation("relu", nn.ReLU(), ("sum",)),
    ... ]
    >>> print(in_words(graph, ["data"], ["relu"]))
    Sequential(
        ('conv1', nn.Conv2d(8, 8, 3, padding=1)),  # -> net[3]
        take('input'),                             # <- input
        ('conv2', nn.Conv2d(8, 8, 1)),
        add('conv1', here),                        # <- net[0]
        ('relu', nn.ReLU()),
    )

    A sequence of one input calls it ``"input"``; several keep their names. One result is what the sequence gives, several
    are its ``outputs=``.

    Args:
        operations: in an order in which each stands behind those that it reads.
        inputs: the names of the inputs of the graph, at least one.
        outputs: the names of its results, at least one.

    Raises:
        WiringError: if the names do not fit together.
    """
    writer = Writer(operations, inputs, outputs)
    for operation in operations:
        writer.put(operation)
    if len(outputs) == 1 and outputs[0] != writer.running:
        writer.take(outputs[0])
    named = {"outputs": tuple(map(writer.reference, outputs))} if len(outputs) > 1 else {}
    return Sequential(*writer.entries, inputs=tuple(inputs) if len(inputs) > 1 else None, **named)


class Writer:
    """Writes the entries of a graph, following the running value."""

    def __init__(self, operations: Sequence[Operation], inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.inputs = tuple(inputs)
        self.running = self.inputs[0]
        self.entries: list[Any] = []
        self.saved = names_to_save(operations, self.inputs, tuple(outputs))

    def put(self, operation: Operation) -> None:
        """An operation, behind what makes its operand the running value."""
        entry, operands = operation.entry, operation.operands
        joins = isinstance(entry, JoinWord)
        if operands and self.running not in operands:
            if joins:
                self.entries.append(take(entry.of(*self.given(operands))))
                self.gives(operation)
                return
            self.take(next(each for each in operands if isinstance(each, str)))
        given = self.given(operands) if joins else [self.operand(each) for each in operands]
        if joins:
            self.entries.append(entry.of(*without_here(given)))
        else:
            written = entry if given == [here] else call(entry, *without_here(given))
            self.entries.append((operation.name, written) if is_keyed(entry) else written)
        self.gives(operation)

    def gives(self, operation: Operation) -> None:
        """The result of an operation runs now, with a label if it is read later and has no key."""
        self.running = operation.name
        if operation.name in self.saved:
            self.entries.append(save(operation.name))

    def take(self, name: str) -> None:
        """Another value becomes the running one."""
        self.entries.append(take(self.reference(name)))
        self.running = name

    def given(self, operands: Sequence[str | float]) -> list[Any]:
        """The operands of a join; a value that stands there twice is the second time behind a layer that changes nothing."""
        written = map(self.operand, operands)
        again = [isinstance(each, str) and each in operands[:i] for i, each in enumerate(operands)]
        return [via(each, nn.Identity()) if twice else each for each, twice in zip(written, again, strict=True)]

    def operand(self, operand: str | float) -> Any:
        """An operand as it is written where it stands."""
        if not isinstance(operand, str):
            return operand
        return here if operand == self.running else self.reference(operand)

    def reference(self, name: str) -> str:
        """How a value is named in a sequence."""
        return "input" if self.inputs == (name,) else name


def without_here(operands: list[Any]) -> list[Any]:
    """The operands as one writes them: of two, the running value in front goes without saying."""
    return operands[1:] if len(operands) == 2 and operands[0] is here and operands[1] is not here else operands


def is_keyed(entry: Any) -> bool:
    """Whether an entry has a key under which its result is known: a layer or a function, no word."""
    return not isinstance(entry, JoinWord | PickWord)


def names_to_save(operations: Sequence[Operation], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> set[str]:
    """The results of words that are read when something else runs, or that are outputs by name."""
    words = {each.name for each in operations if not is_keyed(each.entry)}
    saved = {each for each in outputs if each in words and len(outputs) > 1}
    running = inputs[0]
    for operation in operations:
        read = [each for each in operation.operands if isinstance(each, str)]
        saved.update(each for each in read if each in words and each != running)
        running = operation.name
    if outputs[0] in words and outputs[0] != running:
        saved.add(outputs[0])
    return saved


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """A name like the wanted one that can be a key and a label, and is not taken: ``conv``, then ``conv_2``.

    >>> from skipseq.bridges.graph import free_name
    >>> free_name("conv-1.a", []), free_name("relu", ["relu"]), free_name("input", [])
    ('conv_1_a', 'relu_2', 'input_2')
    """
    name = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in wanted)
    name = name if name.isidentifier() else f"_{name}" if name else "layer"
    used = {*taken, "input", "output", "self", *dir(nn.Sequential)}
    if name not in used and not iskeyword(name):
        return name
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"
