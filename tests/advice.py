"""Follows the advice of an error to the letter: it is read out of the text and applied to the network.

A network is edited as its user would edit it: ``net[1] = nn.Linear(25, 20)``, ``net.insert(1, pick[0])``. What stands in a
word is changed in the text of the word.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from skipseq import add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.declare.constructors import constructor
from skipseq.declare.words import CallWord, Word
from skipseq.errors import ValueFault

__all__ = ["Broken", "ways_out"]

#: What a user has at hand.
NAMES = {
    "torch": torch, "nn": nn, "partial": partial, "add": add, "call": call, "cat": cat, "here": here, "mul": mul, "pick": pick,
    "save": save, "sub": sub, "take": take, "via": via,
}  # fmt: skip

#: Advice that leaves something to the user to find out.
FREE = (
    "It says:", "The first dimension is the batch", "Keep the size in the layers between", "Move one of them", "Write net.to(",
    "Leave it out, or put it where", "Both must belong together", "Write layers that keep", "Name the ", "Bring one",
    "Give it ", "Project one of them", "Write a dimension that they have", "Use a larger input.",
)  # fmt: skip


@dataclass
class Broken:
    """A network, its input and what was last inserted: the place of a fault moves behind it."""

    net: Any
    given: Any
    inserted: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Broken:
        return Broken(copy.deepcopy(self.net), self.given, dict(self.inserted))

    def entry(self, place: str) -> tuple[Any, int]:
        """The container of an entry, and its index there."""
        outer, _, index = place.rpartition("[")
        return eval(f"net{outer}", {"net": self.net}), int(index[:-1])

    def write(self, place: str, text: str) -> None:
        container, index = self.entry(place)
        container[index] = eval(text, dict(NAMES))

    def insert(self, place: str, entries: list[str]) -> str:
        """Puts entries before a place, and tells where the place is then."""
        container, index = self.entry(place)
        for i, text in enumerate(entries):
            container.insert(index + i, eval(text, dict(NAMES)))
        return f"{place.rpartition('[')[0]}[{index + len(entries)}]"


def expression(text: str) -> tuple[str, str]:
    """The longest Python expression at the head of a text, and the rest."""
    for end in range(len(text), 0, -1):
        if text[end - 1] in ")]" or (text[:end].startswith("torch.") and not text[end:][:1].isalpha() and text[end - 1] != "."):
            try:
                parsed = ast.parse(text[:end], mode="eval").body
            except SyntaxError:
                continue
            if not isinstance(parsed, ast.BoolOp):  # the words "and" and "or" are those of a sentence
                return text[:end], text[end:]
    raise AssertionError(f"no expression in {text!r}")


def expressions(text: str, *between: str) -> tuple[list[str], str]:
    """Several expressions with words between them, and the rest."""
    found, rest = expression(text)
    all_found = [found]
    while (word := next((each for each in between if rest.startswith(each)), None)) is not None:
        found, rest = expression(rest.removeprefix(word))
        all_found.append(found)
    return all_found, rest


def ways_out(fault: ValueFault) -> list[tuple[str, Callable[[Broken], str]]]:
    """The ways out that a fault tells, each with what applies it; that returns where the place of the fault is then."""
    lines = [re.sub("^(Or|Otherwise|If broadcasting is meant,) ", "", line) for line in fault.advice.splitlines()]
    found = []
    for line in lines:
        line = line[0].upper() + line[1:]
        if line.startswith(("They differ", "Of the other with", *FREE)):
            continue
        found += [(line, way) for way in read(line, fault)]
    return found


def read(line: str, fault: ValueFault) -> Iterator[Callable[[Broken], str]]:
    """What applies one line of advice, for each alternative in it."""
    place = fault.place
    if line.startswith("Put "):
        entries, rest = expressions(line.removeprefix("Put "), ", ", " and ")
        more = re.fullmatch(r" before it(?:, and write (.*))?\.", rest)
        assert more is not None, line
        yield lambda broken: put(broken, fault, entries, more[1])
    elif found := re.findall(r"(nn\.\w+\([^A-Z]*?\)) at net([\w.\[\]]*\])", line):
        yield lambda broken: [broken.write(where, text) for text, where in found] and place
    elif line == "Write broadcast=True.":
        yield lambda broken: rewrite(broken, place, broadcasting)
    elif match := re.fullmatch(r"Write (via\('(\w+)', .*\)) for '\w+'\.", line):
        yield lambda broken: rewrite(broken, place, lambda text: text.replace(repr(match[2]), match[1]))
    elif match := re.fullmatch(r"Write one label for each part of the tuple(?:: |; this is no tuple: )(save\(.*\))\.", line):
        yield lambda broken: broken.write(place, match[1]) or place
    elif match := re.fullmatch(r"Write one label .*, or put (pick\[:\d\]) before it\.", line):
        yield lambda broken: broken.insert(place, [match[1]])
    elif line.startswith("Write "):
        texts, rest = expressions(line.removeprefix("Write "), ", or ", " or ")
        assert re.fullmatch(r"\.|: [^:]*\.", rest), line
        for text in texts:
            yield partial(written, fault=fault, text=text)
    elif match := re.fullmatch(r"Use a larger input: (.*) is large enough\.", line):
        yield lambda broken: setattr(broken, "given", torch.randn(eval(match[1]))) or place
    elif line.startswith("Give the network a batch: x[None]"):
        yield lambda broken: setattr(broken, "given", broken.given[None]) or place
    elif line.startswith("Train with a batch of two or more, or call net.eval() before."):
        yield lambda broken: broken.net.eval() and place
        yield lambda broken: setattr(broken, "given", torch.cat([broken.given, broken.given])) or place
    elif line == "Leave it out.":
        yield lambda broken: broken.entry(place)[0].pop(broken.entry(place)[1]) and place
    elif match := re.fullmatch(
        r"Its parameters have no numbers yet: write net\.to_empty\(device='(\w+)'\), and load them\.", line
    ):
        yield lambda broken: broken.net.to_empty(device=match[1]) and place
    else:
        raise AssertionError(f"nobody knows how to follow {line!r}")


def broadcasting(text: str) -> str:
    """A join, which may stand in a take, that repeats its values."""
    end = 2 if text.startswith("take(") else 1
    return f"{text[:-end]}, broadcast=True{text[-end:]}"


def layer_of(fault: ValueFault) -> str:
    """The layer that a fault tells, as it was written."""
    return re.sub(r"^'\w+' = | cannot take .*", "", fault.problem.splitlines()[0])


def put(broken: Broken, fault: ValueFault, entries: list[str], text: str | None) -> str:
    """Puts entries before a layer, in its word if it stands in one, and writes the layer otherwise if there is a text."""
    if "\n  it stands in " in fault.problem:
        own = layer_of(fault)
        return rewrite(broken, fault.place, lambda word: word.replace(own, ", ".join([*entries, text or own])))
    if text is not None:
        broken.write(fault.place, text)
    return broken.insert(fault.place, entries)


def written(broken: Broken, fault: ValueFault, text: str) -> str:
    """Writes another layer or word at the place of a fault; a layer in a word there."""
    own = layer_of(fault)
    container, index = broken.entry(fault.place)
    if isinstance(container[index], Word) and text.startswith(("nn.", "pick[")) and own != constructor(container[index]):
        return rewrite(broken, fault.place, lambda word: word.replace(own, text))
    broken.write(fault.place, text)
    return fault.place


def rewrite(broken: Broken, place: str, change: Callable[[str], str]) -> str:
    """Changes the text of the word at a place."""
    container, index = broken.entry(place)
    word = container[index]
    before = word.written(constructor)
    after = change(before)
    assert after != before, f"nothing to change in {before}"
    names = dict(NAMES)
    if isinstance(word, CallWord):  # a layer that cannot be written in one line is the one that is there
        after, names["_layer"] = after.replace(constructor(word.layer), "_layer"), word.layer
    container[index] = eval(after, names)
    return place
