"""Random networks, each with an oracle: the plain list of calls that the network must stand for.

The oracle is written while the network is drawn, from the rules of naming alone, and knows nothing of wirings. Values have
numbers over the whole tree; every value has the shape (batch, 8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import reject
from hypothesis import strategies as st
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.errors import WiringError

WIDTH = 8


def shrink(x: Tensor) -> Tensor:
    """Sums the parts of a concatenation, so that every value has the same width again."""
    return x.unflatten(1, (-1, WIDTH)).sum(1)


def two(x: Tensor) -> tuple[Tensor, Tensor]:
    return x + 1.0, x * 0.5


class Gate(nn.Module):
    """A layer of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return self.linear(x) * torch.sigmoid(gate)


@dataclass
class Operation:
    """One call of the oracle: ``function(*values[takes])`` gives ``values[gives]``."""

    function: Callable[..., Any]
    takes: tuple[int, ...]
    gives: int


@dataclass
class Network:
    """A network, the calls it stands for, and how to call it."""

    net: Sequential
    operations: list[Operation]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...] | int

    def oracle(self, *given: Tensor) -> Any:
        values: dict[int, Any] = dict(zip(self.inputs, given, strict=True))
        for operation in self.operations:
            values[operation.gives] = operation.function(*(values[i] for i in operation.takes))
        if isinstance(self.outputs, int):
            return values[self.outputs]
        return tuple(values[i] for i in self.outputs)


@dataclass
class Scope:
    """What is known at one point of one container: names and what they mean."""

    running: int
    input: int
    names: dict[str, int] = field(default_factory=dict)
    outer: dict[str, int] = field(default_factory=dict)
    lifted: set[str] = field(default_factory=set)
    around: Scope | None = None
    entries: list[Any] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)

    def known(self) -> dict[str, int]:
        return {**self.outer, **self.names, "input": self.input}


class Drawer:
    """Draws a network; ``draw`` is hypothesis' own."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.values = 0
        self.labels = 0
        self.closed_parts: list[tuple[Sequential, Scope]] = []

    def value(self) -> int:
        self.values += 1
        return self.values - 1

    def label(self, prefix: str = "h") -> str:
        self.labels += 1
        return f"{prefix}{'abcdefghij'[self.labels % 10]}{self.labels}x"

    def do(self, scope: Scope, function: Callable[..., Any], takes: tuple[int, ...]) -> int:
        given = self.value()
        scope.operations.append(Operation(function, takes, given))
        return given

    def name(self, scope: Scope, unlike: set[int]) -> str | None:
        """A name of a value that is none of these."""
        known = sorted(name for name, value in scope.known().items() if value not in unlike)
        return self.draw(st.sampled_from(known)) if known else None

    def entry(self, scope: Scope, depth: int) -> None:
        kinds = [self.layer, self.layer, self.save, self.join, self.join, self.projected, self.take, self.call, self.split]
        kinds += [self.part, self.plain, self.again] if depth else []
        self.draw(st.sampled_from(kinds))(scope, depth)

    def layer(self, scope: Scope, _: int) -> None:
        layer = self.draw(st.sampled_from([nn.Linear, nn.Tanh, torch.sin]))
        layer = nn.Linear(WIDTH, WIDTH) if layer is nn.Linear else nn.Tanh() if layer is nn.Tanh else layer
        scope.running = self.do(scope, layer, (scope.running,))
        if self.draw(st.booleans()):
            name = self.label("layer")
            scope.entries.append((name, layer))
            scope.names[name] = scope.running
        else:
            scope.entries.append(layer)

    def save(self, scope: Scope, _: int) -> None:
        label = self.label()
        scope.entries.append(save(label))
        scope.names[label] = scope.running

    def join(self, scope: Scope, _: int) -> None:
        first = self.name(scope, {scope.running})
        if first is None:
            return
        known = scope.known()
        word, function = self.draw(st.sampled_from(JOINS))
        second = self.name(scope, {scope.running, known[first]})
        order = self.draw(st.permutations([here, first] + ([second] if second and self.draw(st.booleans()) else [])))
        takes = tuple(scope.running if each is here else known[each] for each in order)
        scope.running = self.do(scope, function, takes)
        short = len(order) == 2 and order[0] is here and self.draw(st.booleans())
        fit = self.draw(st.sampled_from([None, None, "crop"]))  # nothing to do for values without extents, and in the way
        scope.entries.append(word(first, fit=fit) if short else word(*order, fit=fit))
        if word is cat:
            self.shrink(scope)

    def shrink(self, scope: Scope) -> None:
        scope.entries.append(shrink)
        scope.running = self.do(scope, shrink, (scope.running,))

    def projected(self, scope: Scope, _: int) -> None:
        first = self.name(scope, set())
        assert first is not None
        layer = nn.Linear(WIDTH, WIDTH)
        after = self.do(scope, layer, (scope.known()[first],))
        after = self.do(scope, torch.sin, (after,))
        scope.running = self.do(scope, torch.add, (scope.running, after))
        scope.entries.append(add(via(first, layer, torch.sin)))

    def take(self, scope: Scope, _: int) -> None:
        first = self.name(scope, {scope.running})
        second = self.name(scope, {scope.running, scope.known()[first]}) if first else None
        if first is None:
            return
        if second is not None and self.draw(st.booleans()):
            layer = nn.Linear(WIDTH, WIDTH)
            left = self.do(scope, layer, (scope.known()[first],))
            scope.running = self.do(scope, torch.sub, (left, scope.known()[second]))
            scope.entries.append(take(sub(via(first, layer), second)))
        else:
            scope.running = scope.known()[first]
            scope.entries.append(take(first))

    def call(self, scope: Scope, _: int) -> None:
        first = self.name(scope, set())
        assert first is not None
        layer = self.draw(st.sampled_from([Gate, torch.maximum]))
        layer = Gate() if layer is Gate else layer
        takes = (scope.running, scope.known()[first])
        if self.draw(st.booleans()):
            scope.entries.append(call(layer, first))
        else:
            scope.entries.append(call(layer, first, here))
            takes = takes[::-1]
        scope.running = self.do(scope, layer, takes)

    def split(self, scope: Scope, _: int) -> None:
        pair = self.do(scope, two, (scope.running,))
        labels = self.label(), self.label()
        for i, label in enumerate(labels):
            scope.names[label] = self.do(scope, [first_of, second_of][i], (pair,))
        scope.running = self.do(scope, second_of, (pair,))
        scope.entries += [two, save(*labels), pick[1]]

    def part(self, scope: Scope, depth: int) -> None:
        """A sequence inside this one: it may read what is known here, and its labels may be read from here."""
        inner = Scope(scope.running, scope.running, outer={**scope.outer, **scope.names}, around=scope)
        if self.draw(st.booleans()):
            inner.outer = {}
        self.fill(inner, depth - 1)
        net = Sequential(*inner.entries)
        scope.operations += inner.operations
        if not inner.outer:
            self.closed_parts.append((net, inner))
        name = self.label("part")
        for label, value in inner.names.items():
            is_label = "." not in label and not label.startswith(("layer", "part"))
            if is_label and self.draw(st.booleans()):
                scope.names[label] = value
                scope.lifted.add(label)
            if label not in inner.lifted:
                scope.names[f"{name}.{label}"] = value
        scope.running = inner.running
        scope.entries.append((name, net))

    def plain(self, scope: Scope, _: int) -> None:
        """A plain nn.Sequential, into which a dotted path may lead."""
        layers = [nn.Linear(WIDTH, WIDTH), nn.Tanh()]
        name = self.label("part")
        for i, layer in enumerate(layers):
            scope.running = self.do(scope, layer, (scope.running,))
            scope.names[f"{name}.{i}"] = scope.running
        scope.entries.append((name, nn.Sequential(*layers)))

    def again(self, scope: Scope, _: int) -> None:
        """An earlier part at a second place: the same weights, wired anew."""
        if not self.closed_parts:
            return
        net, inner = self.draw(st.sampled_from(self.closed_parts))
        saved = [label for label in inner.names if "." not in label]
        around: list[Scope] = [scope]
        while around[-1].around is not None:
            around.append(around[-1].around)
        if any(label in each.outer for each in around for label in saved):
            return  # read from outside already, perhaps, and behind this entry it would be a label of the container itself
        meant = {inner.input: scope.running}
        for operation in inner.operations:
            takes = tuple(meant[i] for i in operation.takes)
            meant[operation.gives] = self.do(scope, operation.function, takes)
        scope.running = meant[inner.running]
        # Its labels are now saved in two places: what could be read by the bare label is ambiguous from here on.
        scope.entries.append(net)
        for each in around:
            for label in saved:
                each.names.pop(label, None)

    def fill(self, scope: Scope, depth: int) -> None:
        scope.entries.append(nn.Linear(WIDTH, WIDTH))
        scope.running = self.do(scope, scope.entries[-1], (scope.running,))
        for _ in range(self.draw(st.integers(3, 9))):
            self.entry(scope, depth)


def first_of(pair: Any) -> Any:
    return pair[0]


def second_of(pair: Any) -> Any:
    return pair[1]


def cat_all(*values: Tensor) -> Tensor:
    return torch.cat(values, 1)


def add_all(*values: Tensor) -> Tensor:
    return sum(values[1:], start=values[0])


def sub_all(*values: Tensor) -> Tensor:
    return values[0] - values[1] if len(values) == 2 else values[0] - values[1] - values[2]


def mul_all(*values: Tensor) -> Tensor:
    return values[0] * values[1] if len(values) == 2 else values[0] * values[1] * values[2]


JOINS = [(cat, cat_all), (add, add_all), (sub, sub_all), (mul, mul_all)]


@st.composite
def networks(draw: Callable[..., Any], depth: int = 2) -> Network:
    """Networks nested up to ``depth``, with crossing, repeated and projected skips, several inputs and outputs."""
    drawer = Drawer(draw)
    torch.manual_seed(draw(st.integers(0, 9)))
    inputs = ("x", "t") if draw(st.booleans()) else None
    values = tuple(drawer.value() for _ in inputs or ("input",))
    scope = Scope(values[0], values[0], names=dict(zip(inputs or (), values, strict=False)))
    drawer.fill(scope, depth)
    outputs: Any = None
    result: Any = scope.running
    if scope.names and draw(st.booleans()):
        outputs = tuple(draw(st.lists(st.sampled_from(sorted(scope.names)), min_size=1, max_size=3)))
        result = tuple(scope.names[name] for name in outputs)
    net = Sequential(*scope.entries, inputs=inputs, outputs=outputs).double()
    return Network(net, scope.operations, values, result)


@st.composite
def unambiguous(draw: Callable[..., Any]) -> Network:
    """A random network; one whose labels turned out ambiguous is drawn again."""
    try:
        return draw(networks())
    except WiringError:
        reject()
