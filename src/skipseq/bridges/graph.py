"""A graph of operations in the order in which they run, as other worlds store their networks, and its sequence in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, groupby
from keyword import iskeyword
from typing import Any

from torch import nn

from skipseq.declare.vocabulary import call, here, save, take, via
from skipseq.declare.words import JoinWord, PickWord
from skipseq.run import Sequential

__all__ = ["Operation", "free_name", "in_a_row", "in_words", "is_keyed", "is_numbered_word"]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation of a graph: what it is called, what it does, and the values that it takes in order.

    Args:
        name: the name of its result: an identifier that no other operation or input has.
        entry: a layer or a plain function, or a join without operands: ``cat(dim=1)``, ``add()``.
        operands: names of inputs and of earlier operations; a join and a function take numbers too.
        part: the keys of the parts in which it stands, from the outermost.
        key: its key there, if it is not its name.
    """

    name: str
    entry: Any
    operands: tuple[str | float, ...]
    part: tuple[str, ...] = ()
    key: str | None = None


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
    are its ``outputs=``. Operations of one part that do not stand in a row stand in the part around it, with its key before
    theirs.

    Args:
        operations: in an order in which each stands behind those that it reads.
        inputs: the names of the inputs of the graph, at least one.
        outputs: the names of its results, at least one.

    Raises:
        WiringError: if the names do not fit together.
    """
    operations = in_a_row(operations)
    # What has to be saved is known when everything was gone through once.
    first = Writer(operations, inputs, outputs, frozenset(), building=False)
    first.sequence()
    return Writer(operations, inputs, outputs, frozenset(first.labelled), building=True).sequence()


class Writer:
    """Writes the entries of a graph, following the running value; a value is read by its key in its part, else by a label."""

    def __init__(
        self,
        operations: Sequence[Operation],
        inputs: Sequence[str],
        outputs: Sequence[str],
        saved: frozenset[str],
        building: bool,
    ) -> None:
        self.operations, self.inputs, self.outputs, self.saved = operations, tuple(inputs), tuple(outputs), saved
        self.building = building
        self.by_name = {each.name: each for each in operations}
        self.running = self.inputs[0]
        self.labels = labels_of(operations, self.inputs)
        #: The values that were read by a label, and the values that the parts around the next entry receive.
        self.labelled: set[str] = set()
        self.received = [self.running]

    def sequence(self) -> Sequential:
        """The sequence, or where nothing is built yet, an empty one."""
        entries: list[Any] = [save(self.labels[self.running])] if self.running in self.saved else []
        entries += self.entries(self.operations, ())
        if len(self.outputs) == 1 and self.outputs[0] != self.running:
            entries.append(self.take(self.outputs[0], ()))
        named = {"outputs": tuple(self.reference(each, ()) for each in self.outputs)} if len(self.outputs) > 1 else {}
        several = self.inputs if len(self.inputs) > 1 else None
        return Sequential(*entries, inputs=several, **named) if self.building else Sequential()

    def entries(self, operations: Sequence[Operation], part: tuple[str, ...]) -> list[Any]:
        """The entries of the operations that stand in a part, and in the parts inside it."""
        entries: list[Any] = []
        for key, group in groupby(operations, lambda each: each.part[len(part)] if len(each.part) > len(part) else None):
            if key is None:
                entries += [entry for operation in group for entry in self.put(operation)]
            else:
                entries += self.put_part(key, list(group), part)
        return entries

    def put_part(self, key: str, operations: list[Operation], part: tuple[str, ...]) -> list[Any]:
        """A part, behind what makes a value that it reads the running one."""
        given = {each.name for each in operations}
        outside = [each for operation in operations for each in values(operation) if each not in given]
        before = [self.take(outside[0], part)] if outside and self.running not in outside else []
        self.received.append(self.running)
        entries = self.entries(operations, (*part, key))
        inside = Sequential(*entries) if self.building else Sequential()
        self.received.pop()
        return [*before, (key, inside)]

    def put(self, operation: Operation) -> list[Any]:
        """An operation, behind what makes its operand the running value, and before the label of its result."""
        part, operands = operation.part, operation.operands
        entries: list[Any] = []
        if isinstance(operation.entry, JoinWord):
            given = self.given(operands, part)
            word = operation.entry.of(*(without_here(given) if self.running in operands else given))
            entries.append(word if self.running in operands else take(word))
        else:
            if operands and self.running not in operands:
                entries.append(self.take(values(operation)[0], part))
            given = [self.operand(each, part) for each in operands]
            written = operation.entry if given == [here] else call(operation.entry, *without_here(given))
            entries.append((operation.key or operation.name, written) if is_keyed(operation.entry) else written)
        self.running = operation.name
        return [*entries, save(self.labels[operation.name])] if operation.name in self.saved else entries

    def take(self, name: str, part: tuple[str, ...]) -> Any:
        """The word by which another value becomes the running one."""
        word = take(self.reference(name, part))
        self.running = name
        return word

    def given(self, operands: Sequence[str | float], part: tuple[str, ...]) -> list[Any]:
        """The operands of a join; a value that stands there twice is the second time behind a layer that changes nothing."""
        written = [self.operand(each, part) for each in operands]
        again = [isinstance(each, str) and each in operands[:i] for i, each in enumerate(operands)]
        return [via(each, nn.Identity()) if twice else each for each, twice in zip(written, again, strict=True)]

    def operand(self, operand: str | float, part: tuple[str, ...]) -> Any:
        """An operand as it is written where it stands."""
        if not isinstance(operand, str):
            return operand
        return here if operand == self.running else self.reference(operand, part)

    def reference(self, name: str, part: tuple[str, ...]) -> str:
        """How a value is named in a part."""
        if name == self.received[-1] and (part or len(self.inputs) == 1):
            return "input"
        operation = self.by_name.get(name)
        if operation is None and len(self.inputs) > 1:
            return name
        if operation is not None and operation.part == part and is_keyed(operation.entry) and name not in self.saved:
            key = operation.key or name
            if not key.isdigit():  # a number means another layer when one is inserted
                return key
        self.labelled.add(name)
        return self.labels[name]


def labels_of(operations: Sequence[Operation], inputs: tuple[str, ...]) -> dict[str, str]:
    """A label for each value, which is the key of no layer, part or word."""
    keys = {each.key or each.name for each in operations if is_keyed(each.entry)}.union(*(each.part for each in operations))
    taken = keys.union(inputs, (each.name for each in operations))
    labels = {}
    for name in [*inputs, *(each.name for each in operations)]:
        is_free = name not in keys and not is_numbered_word(name)
        labels[name] = name if is_free else free_name(f"{name}_value", taken)
        taken.add(labels[name])
    return labels


def is_numbered_word(name: str) -> bool:
    """Whether a name is like the keys that a sequence gives to its words: ``add_2``."""
    return NUMBERED_WORD.fullmatch(name) is not None


def values(operation: Operation) -> list[str]:
    """The names that an operation reads."""
    return [each for each in operation.operands if isinstance(each, str)]


def in_a_row(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, those of a part that is left and entered again moved into the part around it."""
    while broken := left_and_entered(operations):
        operations = [moved(each, broken) for each in operations]
    return list(operations)


def left_and_entered(operations: Sequence[Operation]) -> set[tuple[str, ...]]:
    """The parts whose operations do not stand in a row."""
    entered: Counter[tuple[str, ...]] = Counter()
    before: tuple[str, ...] = ()
    for operation in operations:
        entered.update(operation.part[:i] for i in range(1, len(operation.part) + 1) if before[:i] != operation.part[:i])
        before = operation.part
    return {part for part, times in entered.items() if times > 1}


def moved(operation: Operation, broken: set[tuple[str, ...]]) -> Operation:
    """An operation outside of the parts that are broken; what stood in them has their keys before its own: ``encoder_0``."""
    part: list[str] = []
    before = ""
    for i, key in enumerate(operation.part, 1):
        if operation.part[:i] in broken:
            before += f"{key}_"
        else:
            part.append(before + key)
            before = ""
    return replace(operation, part=tuple(part), key=None if operation.key is None else before + operation.key)


def without_here(operands: list[Any]) -> list[Any]:
    """The operands as one writes them: of two, the running value in front goes without saying."""
    return operands[1:] if len(operands) == 2 and operands[0] is here and operands[1] is not here else operands


def is_keyed(entry: Any) -> bool:
    """Whether an entry has a key under which its result is known: a layer or a function, no word."""
    return not isinstance(entry, JoinWord | PickWord)


#: The keys of words.
NUMBERED_WORD = re.compile("(add|call|cat|mul|pick|save|sub|take)_[0-9]+")

#: Names that mean something else in a sequence, or are attributes of every module.
RESERVED = frozenset({"input", "self", *dir(Sequential), *vars(nn.Module())})


def free_name(wanted: str, taken: Container[str]) -> str:
    """A name like the wanted one that can be a key and a label, and is not taken: ``conv``, then ``conv_2``.

    >>> from skipseq.bridges.graph import free_name
    >>> free_name("conv-1.a", []), free_name("relu", ["relu"]), free_name("input", [])
    ('conv_1_a', 'relu_2', 'input_2')
    """
    name = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in wanted)
    name = name if name.isidentifier() else f"_{name}" if name else "layer"
    candidates = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(each for each in candidates if each not in taken and each not in RESERVED and not iskeyword(each))
