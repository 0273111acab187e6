"""Lays the blocks of a file over the scopes of a symbol: a search for the order in which the layers were registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .extents import fits

__all__ = ["Block", "Found", "Looks", "Scope", "Search", "Shape"]

#: How many layers of the symbol are looked at in search of those of the file.
MOST_LOOKS = 150_000

Shape = tuple[int, ...]


@dataclass(eq=False)
class Block:
    """A block of the file with parameters of its own.

    Args:
        path: where it stands in the tree: ``encoder.0``.
        values: its parameters by their last names.
    """

    path: str
    values: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def words(self) -> set[str]:
        """The names on its path, and what they are made of: ``conv_0`` is ``conv`` and ``0``."""
        names = [part for part in self.path.split(".") if not part.isdigit()]
        return {*names, *(piece for name in names for piece in name.split("_") if piece)}

    @cached_property
    def sums(self) -> tuple[tuple[str, Shape, float], ...]:
        """What blocks with the same numbers have in common, and hardly any others."""
        return tuple((last, tuple(value.shape), float(value.double().sum())) for last, value in self.values.items())

    @cached_property
    def is_constant(self) -> bool:
        """Whether all its numbers may be those that any such layer begins with."""
        return all(bool((value == value.flatten()[0]).all()) for value in self.values.values())

    def same(self, other: Block) -> bool:
        """Whether another block has the same numbers: one that is registered twice does."""
        return self.sums == other.sums and all(torch.equal(value, other.values[last]) for last, value in self.values.items())


#: A parameter: the block of the file, its last name, and its name in the symbol.
Found = tuple[Block, str, str]


@dataclass(eq=False)
class Scope:
    """A scope of the symbol: a layer, or what layers were made in.

    Args:
        prefix: what its names begin with.
        number: its number among the scopes of its kind beside it.
        order: the place of its first parameter in the order in which the network uses them.
        parent: the scope around it.
        own: the names of its own parameters, by their last names.
        kinds: the scopes in it by their kinds, each in the order of their numbers.
        first: which of each kind is the first with parameters that are not taken yet.
        left: how many parameters in it are not taken yet.
        named: the scopes in it by their names.
        place: its place among the scopes of its kind beside it.
        kind: its name without the number.
    """

    prefix: str
    number: int
    order: int
    parent: Scope | None = None
    own: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, list[Scope]] = field(default_factory=dict)
    named: dict[str, Scope] = field(default_factory=dict)
    left: int = 0
    place: int = 0
    kind: str = ""
    first: dict[str, int] = field(default_factory=dict)

    def inner(self, part: str, order: int) -> Scope:
        """The scope in it with this name: ``conv0``."""
        if part not in self.named:
            kind = part.rstrip("0123456789")
            scope = Scope(f"{self.prefix}{part}_", int(part[len(kind) :][-18:] or 0), order, self, kind=kind)
            self.named[part] = scope
            self.kinds.setdefault(kind, []).append(scope)
        return self.named[part]

    def sort(self) -> None:
        """Puts the scopes in it, at every depth, in the order of their numbers."""
        for beside in self.kinds.values():
            beside.sort(key=lambda scope: scope.number)
            for place, scope in enumerate(beside):
                scope.place = place
                scope.sort()

    def around(self) -> Iterator[Scope]:
        """This scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def all(self) -> Iterator[Scope]:
        """This scope and those in it, at every depth."""
        ahead = [self]
        while ahead:
            scope = ahead.pop()
            yield scope
            ahead.extend(scope.named.values())

    @cached_property
    def words(self) -> set[str]:
        """The names in its prefix, with their numbers and without."""
        parts = self.prefix.split("_")[:-1]
        return {*parts, *(part.rstrip("0123456789") for part in parts)}

    def next_ones(self) -> Iterator[Scope]:
        """The first scope of each kind with parameters that are not taken yet."""
        for kind, beside in self.kinds.items():
            at = self.first.get(kind, 0)
            while at < len(beside) and beside[at].left == 0:
                at += 1
            self.first[kind] = at
            if at < len(beside):
                yield beside[at]


@dataclass
class Looks:
    """How many layers of the symbol may still be looked at, in all searches for one file."""

    left: int = MOST_LOOKS


@dataclass
class Step:
    """A block that was laid over a scope.

    Args:
        choices: what else could be tried.
        scope: the scope.
        taken: the names of the parameters that it took.
        found: all parameters of the block.
        repeated: how many of them were taken before, by a block with the same numbers.
    """

    choices: Iterator[tuple[Scope, dict[str, str]]]
    scope: Scope
    taken: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    repeated: int = 0


class Search:
    """Goes through the blocks of the file, and takes a scope for each of them; what led nowhere is taken back.

    Args:
        blocks: the blocks in their order.
        root: the scopes.
        expected: the shapes of the parameters of the symbol, as far as they are known.
        strict: whether a block and its scope have the very same parameters; else parameters may be shared by blocks.
        closed: whether a scope is finished before another one begins.
        looks: how long the search may take.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        root: Scope,
        expected: Mapping[str, Shape],
        strict: bool,
        closed: bool,
        looks: Looks,
    ) -> None:
        self.blocks, self.root, self.expected = blocks, root, expected
        self.strict, self.closed, self.looks = strict, closed, looks
        #: Who took a parameter.
        self.taken: dict[str, Block] = {}
        #: The blocks that were laid, and the names of their parameters.
        self.laid: list[tuple[Block, dict[str, str]]] = []
        self.spare = sum(len(block.values) for block in blocks) - root.left

    def run(self) -> list[Found] | None:
        """All parameters, or nothing if the blocks cannot be laid over the scopes."""
        if self.spare < 0 or (self.strict and self.spare) or not self.is_possible():
            return None
        steps: list[Step] = []
        ahead = self.step(0, self.root)
        while self.looks.left > 0:
            choice = next(ahead.choices, None)
            if choice is None:
                if not steps:
                    return None
                ahead = self.back(steps.pop())
                continue
            steps.append(self.take(self.blocks[len(steps)], ahead, *choice))
            if len(steps) == len(self.blocks):
                if self.root.left == 0:
                    return [each for step in steps for each in step.found]
                ahead = self.back(steps.pop())
            else:
                ahead = self.step(len(steps), steps[-1].scope)
        return None

    def is_possible(self) -> bool:
        """Whether each parameter of the symbol has one of the same last name and of a fitting shape in the file."""
        given = {(last, tuple(value.shape)) for block in self.blocks for last, value in block.values.items()}
        shapes: dict[str, set[Shape]] = {}
        for last, shape in given:
            shapes.setdefault(last, set()).add(shape)
        needed = {(last, self.expected.get(name)) for scope in self.root.all() for last, name in scope.own.items()}
        return all(any(fits(shape, expected) for shape in shapes.get(last, ())) for last, expected in needed)

    def step(self, number: int, last: Scope) -> Step:
        """The choices for a block, behind the scope that was taken last."""
        return Step(iter(self.choices(self.blocks[number], last)), last)

    def take(self, block: Block, ahead: Step, scope: Scope, names: dict[str, str]) -> Step:
        """Lays a block over a scope."""
        new = [name for name in names.values() if name not in self.taken]
        for name in new:
            self.taken[name] = block
        for each in scope.around():
            each.left -= len(new)
        self.spare -= len(names) - len(new)
        self.laid.append((block, names))
        found = [(block, last, name) for last, name in names.items()]
        return Step(ahead.choices, scope, new, found, len(names) - len(new))

    def back(self, step: Step) -> Step:
        """Takes a step back."""
        self.laid.pop()
        for name in step.taken:
            del self.taken[name]
        for each in step.scope.around():
            each.left += len(step.taken)
            if each.parent is not None and step.taken:
                each.parent.first[each.kind] = min(each.place, each.parent.first.get(each.kind, 0))
        self.spare += step.repeated
        return step

    def choices(self, block: Block, last: Scope) -> list[tuple[Scope, dict[str, str]]]:
        """The scopes over which a block can be laid: of the like name first, then those that the network uses first."""
        start = next((scope for scope in last.around() if scope.left), self.root) if self.closed else self.root
        fresh = [(scope, names) for scope in self.available(start) if (names := self.names(block, scope)) is not None]
        fresh.sort(key=lambda choice: (-len(block.words & choice[0].words), choice[0].order))
        if self.strict:
            return fresh
        return [*fresh, *self.again(block)] if block.is_constant else [*self.again(block), *fresh]

    def available(self, start: Scope) -> Iterator[Scope]:
        """The scopes that can come next: own parameters stand before those of inner scopes, and those of a kind in a row."""
        ahead = [start]
        while ahead:
            scope = ahead.pop()
            self.looks.left -= 1
            if any(name not in self.taken for name in scope.own.values()):
                yield scope
                if self.strict:
                    continue
            ahead.extend(scope.next_ones())

    def names(self, block: Block, scope: Scope) -> dict[str, str] | None:
        """The names of the parameters of a block in a scope, if they fit."""
        if len(block.values) != len(scope.own) if self.strict else len(block.values) > len(scope.own):
            return None
        names: dict[str, str] = {}
        repeated = 0
        for last, value in block.values.items():
            name = scope.own.get(last)
            if name is None or not fits(tuple(value.shape), self.expected.get(name)):
                return None
            if name in self.taken:
                repeated += 1
                if repeated > self.spare or not torch.equal(self.taken[name].values[last], value):
                    return None
            names[last] = name
        return names

    def again(self, block: Block) -> list[tuple[Scope, dict[str, str]]]:
        """The names that a block with the same numbers has taken, if one has: it is registered twice."""
        if len(block.values) <= self.spare:
            for other, names in self.laid:
                self.looks.left -= 1
                if other.same(block):
                    return [(self.root, names)]
        return []
