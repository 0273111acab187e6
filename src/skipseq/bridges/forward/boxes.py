"""From the calls of a record to the containers of the network: which operation stands in which, under which key.

A call that was followed is a container at the path of its module. A module that is called by code around it, as the entries
of an ``nn.ModuleList`` are, stands in a container of its own path too, together with what happens between its neighbours:

    for conv in self.convs:          ("convs", Sequential(
        x = relu(conv(x))                nn.Conv2d(...), nn.ReLU(), nn.Conv2d(...), nn.ReLU(), ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from skipseq.declare.containers import has_state

from .numbers import Number, known, plain
from .recording import Call, Node, Record, mapped, nodes_in, operations_in

__all__ = ["Box", "Plan", "plan"]


#: Parts of the names of functions that draw random numbers.
RANDOM = ("rand", "normal", "bernoulli", "uniform", "dropout", "multinomial", "poisson", "exponential", "geometric", "cauchy")


@dataclass(eq=False, slots=True)
class Box:
    """A container of the network: what stands in it, and its key in the one around it."""

    key: str
    module: nn.Module | None
    path: str
    parent: Box | None
    items: list[Node | Box] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    result: Node | None = None
    #: Whether it is called by name: its key is then a path below the box in which it stands.
    held: bool = False

    def nodes(self) -> Iterator[Node]:
        """All operations inside, in order."""
        for item in self.items:
            if isinstance(item, Box):
                yield from item.nodes()
            else:
                yield item


@dataclass(slots=True)
class Plan:
    """The containers of a network, and what its operations read.

    ``reads`` are the operands of an operation, and ``readers`` the operations that read a value; ``home`` is the container in
    which an operation stands, and ``keys`` its key there. ``again`` are calls of layers that have been called before, by
    the name of the layer, and ``folded`` the operations that are written inside the one that reads them. ``results`` are
    the values that the network returns, and ``times`` tells how often each layer is called, by its identity. ``held`` are
    layers by the path under which they are called, because modules around them are called in turns.
    """

    root: Box
    reads: dict[Node, list[Node]] = field(default_factory=dict)
    readers: dict[Node, list[Node]] = field(default_factory=dict)
    home: dict[Node, Box] = field(default_factory=dict)
    keys: dict[Node, str] = field(default_factory=dict)
    again: dict[Node, str] = field(default_factory=dict)
    folded: set[Node] = field(default_factory=set)
    results: set[Node] = field(default_factory=set)
    times: dict[int, int] = field(default_factory=dict)
    held: dict[Node, str] = field(default_factory=dict)


def plan(record: Record) -> Plan:
    """The containers of a record."""
    skip_passed_on(record)
    live = live_nodes(record)
    held: set[str] = set()
    while True:
        made = Plan(Box("", record.root.module, "", None))
        try:
            fill(made, record, live, held)
        except InTurns as error:
            held.add(error.path)
        else:
            return made


def fill(made: Plan, record: Record, live: set[Node], held: set[str]) -> None:
    """Puts everything that happens into the plan."""
    made.results = set(nodes_in(record.root.result))
    made.folded = folded_nodes(live, made.results)
    for node in live:
        if node.kind == "layer":
            made.times[id(node.function)] = made.times.get(id(node.function), 0) + 1
        made.reads[node] = expanded(nodes_in(node.args, node.named), made.folded)
    Placer(made, live - made.folded, held).fill(made.root, record.root)
    for node in made.root.nodes():
        for operand in made.reads[node]:
            made.readers.setdefault(operand, []).append(node)


def expanded(operands: Iterable[Node], folded: set[Node]) -> list[Node]:
    """The operands, with those of an operation in the place of one that is written inside its reader."""
    found: dict[Node, None] = {}
    for node in operands:
        inner = expanded(nodes_in(node.args, node.named), folded) if node in folded else [node]
        found.update(dict.fromkeys(inner))
    return list(found)


def folded_nodes(live: set[Node], results: set[Node]) -> set[Node]:
    """Operations that make a value from sizes alone, as ``torch.arange(x.shape[1])`` does, and that one function reads.

    Random numbers are drawn in the order of the forward: only what reads them at once can hold what draws them.
    """
    readers: dict[Node, list[Node]] = {}
    for node in live:
        for operand in nodes_in(node.args, node.named):
            readers.setdefault(operand, []).append(node)
    found: set[Node] = set()
    random: set[Node] = set()
    for node in sorted(live, key=lambda each: each.index):
        values: list[Any] = []
        mapped((node.args, node.named), values.append)
        operands = [each for each in values if isinstance(each, Node)]
        makes = node.kind == "function" and node not in results and found.issuperset(operands)
        if draws(node) or not random.isdisjoint(operands):
            random.add(node)
        if not makes or len(readers.get(node, ())) != 1 or readers[node][0].kind != "function":
            continue
        if node not in random or readers[node][0].index == node.index + 1:
            found.add(node)
    return found


def draws(node: Node) -> bool:
    """Whether a function draws random numbers, by its name."""
    name = getattr(node.function, "__name__", "").strip("_")
    return any(part in name for part in RANDOM)


def skip_passed_on(record: Record) -> None:
    """Leaves out operations that give what they receive: a concatenation of one value, the zero at which ``sum`` begins."""
    same: dict[Node, Node] = {}

    def real(value: Any) -> Any:
        if isinstance(value, Node):
            return same.get(value, value)
        origin = value if isinstance(value, Number) else getattr(value, "origin", None)
        if not isinstance(origin, Number) or not any(node in same for node in nodes_in(value)):
            return value
        operands = mapped(origin.operands, real)
        return Number(origin.function, operands) if origin is value else known(plain(value), origin.function, *operands)

    for node in operations_in(record.root):
        node.args, node.named = mapped(node.args, real), mapped(node.named, real)
        if (given := passed_on(node)) is not None:
            same[node] = given
        elif getattr(node.function, "__name__", "") == "requires_grad_":
            node.function, node.args, node.named = Tensor.detach, node.args[:1], {}
    for call in calls_in(record.root):
        call.result, call.inputs = mapped(call.result, real), mapped(call.inputs, real)


def passed_on(node: Node) -> Node | None:
    """What an operation receives, if it gives just that."""
    name = getattr(node.function, "__name__", "") if node.kind == "function" else ""
    if name in ("cat", "concat", "concatenate") and isinstance(node.args[0], tuple | list) and len(node.args[0]) == 1:
        return node.args[0][0]  # type: ignore[no-any-return]
    if name == "requires_grad_" and tracks(node):
        return node.args[0]  # type: ignore[no-any-return]
    if name in ("add", "__radd__") and len(node.args) == 2 and type(node.args[1]) is int and node.args[1] == 0:
        return node.args[0]  # type: ignore[no-any-return]
    return None


def tracks(node: Node) -> bool:
    """Whether ``requires_grad_`` switches gradients on, which all that a network computes has anyway."""
    return (*node.args[1:], *node.named.values()) in ((), (True,))


def calls_in(call: Call) -> Iterator[Call]:
    """A call and those inside it."""
    yield call
    for item in call.items:
        if isinstance(item, Call):
            yield from calls_in(item)


def live_nodes(record: Record) -> set[Node]:
    """The operations that the result needs, and the layers that have weights or statistics."""
    live: set[Node] = set()
    waiting = nodes_in(record.root.result)
    waiting += [node for node in operations_in(record.root) if node.kind == "layer" and has_state(node.function)]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting += nodes_in(node.args, node.named)
    return live


def own_path(node: Node, call_path: str) -> list[str]:
    """The keys that lead from a module to a layer inside it, or nothing if it is not inside."""
    prefix = call_path + "." if call_path else ""
    return node.path[len(prefix) :].split(".") if node.path and node.path.startswith(prefix) else []


class InTurns(Exception):
    """The layers of a module that is not called itself are called in turns with those of other modules."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Placer:
    """Puts the items of calls into boxes; ``held`` are the paths of modules whose layers are called by name."""

    def __init__(self, made: Plan, live: set[Node], held: set[str]) -> None:
        self.made, self.live, self.held = made, live, held
        #: The paths of the layers that have a place.
        self.placed: set[str] = set()

    def fill(self, box: Box, call: Call) -> None:
        """Everything that happens in a call."""
        box.inputs = call.inputs
        box.result = call.result if isinstance(call.result, Node) else None
        for item in call.items:
            if isinstance(item, Call):
                self.place_call(box, item)
            elif item in self.live:
                self.place(box, item)

    def place_call(self, box: Box, call: Call) -> None:
        """A part; one in which nothing happens is left out."""
        keys = call.path[len(box.path) + 1 if box.path else 0 :].split(".")
        inner = Box(keys[-1], call.module, call.path, None)
        self.fill(inner, call)
        if not inner.items:
            return
        if self.is_held(box, keys):
            inner.key, inner.held, inner.parent = ".".join(keys), True, box
        else:
            inner.parent = self.around(box, keys[:-1])
        inner.parent.items.append(inner)

    def place(self, box: Box, node: Node) -> None:
        """An operation."""
        keys = own_path(node, box.path) if node.kind == "layer" else []
        if node.kind == "layer" and node.path in self.placed:
            if has_state(node.function):
                self.made.again[node] = ".".join(keys)
            keys = []
        home = box
        if keys:
            self.placed.add(node.path)
            if self.is_held(box, keys):
                self.made.held[node] = ".".join(keys)
            else:
                self.made.keys[node] = keys[-1]
                home = self.around(box, keys[:-1])
        self.made.home[node] = home
        home.items.append(node)

    def is_held(self, box: Box, keys: list[str]) -> bool:
        """Whether a layer at these keys below a box is called by name."""
        return len(keys) > 1 and path_in(box, keys[0]) in self.held

    def around(self, box: Box, keys: list[str]) -> Box:
        """The box at these keys below another one, for what stands at its end."""
        for key in keys:
            box = self.opened(box, key)
        return box

    def opened(self, box: Box, key: str) -> Box:
        """The box of a module that is not called itself: the last one again, with what has come since, or a new one.

        Raises:
            InTurns: if layers that cannot go into it have come since.
        """
        last = next((i for i, each in enumerate(box.items) if isinstance(each, Box) and each.key == key), None)
        if last is None:
            box.items.append(inner := Box(key, None, path_in(box, key), box))
            return inner
        found, between = box.items[last], box.items[last + 1 :]
        assert isinstance(found, Box)
        for each in between:
            if isinstance(each, Box) or each in self.made.keys or each in self.made.held or each in self.made.again:
                raise InTurns(path_in(box, key))
            self.made.home[each] = found
        del box.items[last + 1 :]
        found.items += between
        return found


def path_in(box: Box, key: str) -> str:
    """The path of what has a key in a box."""
    return f"{box.path}.{key}" if box.path else key
