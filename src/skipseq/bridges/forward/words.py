"""From the containers of a plan to entries, following the running value; their values are named later, see naming.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from skipseq.declare.containers import children_of, has_hooks, has_state, is_plain
from skipseq.declare.entries import name_fault
from skipseq.declare.held import Held
from skipseq.declare.vocabulary import here, take, via
from skipseq.run import Sequential

from .boxes import Box, Plan
from .forms import Form, form_of
from .layers import DROPOUTS, layer_for
from .recording import Node

__all__ = ["Entry", "Part", "PartWriter", "put"]


#: Layers that draw random numbers.
RANDOM_LAYERS = (*DROPOUTS.values(), nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


@dataclass(eq=False, slots=True)
class Entry:
    """An entry that is still to be written: ``write`` makes it when the names of the values in ``reads`` are known.

    ``gives`` is the value that runs behind it, ``own`` those that it makes, and ``saves`` those that get a label behind it.
    """

    key: str | None
    gives: Node | None
    reads: list[Node]
    write: Callable[[list[Any]], Any]
    own: list[Node] = field(default_factory=list)
    part: Part | None = None
    saves: list[Node] = field(default_factory=list)
    #: Where the layers that are called by name are kept, and the path of the one that this entry calls.
    held: Held | None = None
    path: str = ""


@dataclass(eq=False, slots=True)
class Part:
    """A container that is still to be written: ``start`` is the value that it receives, ``end`` the one that it gives."""

    box: Box
    start: Node | None
    around: Part | None
    entries: list[Entry] = field(default_factory=list)
    end: Node | None = None
    saves: list[Node] = field(default_factory=list)

    def chain(self) -> list[Part]:
        """The parts around it and itself, from the root."""
        return [*(self.around.chain() if self.around is not None else []), self]

    def parts(self) -> Iterator[Part]:
        """Itself and the parts inside, at every depth."""
        yield self
        for entry in self.entries:
            if entry.part is not None:
                yield from entry.part.parts()


class Chain(NamedTuple):
    """Layers through which a value goes before a join takes it, and the name that the join needs for their keys."""

    origin: Node
    layers: tuple[Any, ...]
    key: str | None = None


class PartWriter:
    """Writes the entries of a box."""

    def __init__(self, plan: Plan, box: Box, start: Node | None, around: Part | None) -> None:
        self.plan, self.box = plan, box
        self.part = Part(box, start, around)
        self.running = start
        #: Operations that are written inside the join that reads them, and parts of tuples that are saved.
        self.chains: dict[Node, Chain] = {}
        self.split: set[Node] = set()
        self.held: dict[str, Held] = {}
        #: Whether layers have numbers of their own here, and how often functions were called.
        items = [each for each in box.items if isinstance(each, Box) or each in plan.keys]
        self.numbered = any((each.key if isinstance(each, Box) else plan.keys[each]).isdigit() for each in items)
        self.titles: dict[str, int] = {}

    def write(self) -> Part:
        """The part with all its entries."""
        for item in list(self.box.items):
            if isinstance(item, Node):
                self.put_first(item)
        for i, item in enumerate(self.box.items):
            if isinstance(item, Box):
                self.put_part(item)
            elif item not in self.chains and item not in self.split:
                self.put(i, item)
        result = self.box.result
        if result is not None and result is not self.running:
            self.take(result)
        self.part.end = self.running
        return self.part

    def put_part(self, box: Box) -> None:
        """A container inside this one."""
        inside = set(box.nodes())
        received = dict.fromkeys(node for each in box.nodes() for node in self.plan.reads[each] if node not in inside)
        if self.running not in received and received:
            self.take(next((node for node in box.inputs if node in received), next(iter(received))))
        part = PartWriter(self.plan, box, self.running, self.part).write()
        entry = Entry(None if box.held else valid_key(box.key), part.end, [], lambda _: None, part=part)
        if box.held:
            entry.held, entry.path = self.hold(box.key, nn.Identity()), box.key
        self.part.entries.append(entry)
        self.running = part.end

    def key_of(self, key: str | None, form: Form) -> str | None:
        """The key of an operation: of a layer its own; of a function a name, where layers have numbers of their own."""
        if key is not None:
            return valid_key(key)
        if not self.numbered or form.join or form.title is None:
            return None
        self.titles[form.title] = number = self.titles.get(form.title, -1) + 1
        return f"{form.title}_{number}"

    def hold(self, path: str, layer: nn.Module) -> Held:
        """Keeps a layer under its path, for the entries that call it by name."""
        head, *keys = path.split(".")
        if head not in self.held:
            self.held[head] = held = Held()
            self.part.entries.append(Entry(head, self.running, [], lambda _: held))
        put(self.held[head], keys, layer)
        return self.held[head]

    def take(self, node: Node) -> None:
        """Another value becomes the running one."""
        self.part.entries.append(Entry(None, node, [node], lambda names: take(names[0])))
        self.running = node

    def put(self, i: int, node: Node) -> None:
        """An operation."""
        if node in self.plan.held:
            self.hold(self.plan.held[node], node.function)
        form = self.form(node)
        if form.operands and self.running not in form.operands:
            if chains := self.chains_from(i):
                self.chains.update(chains)
                return
            self.take(form.operands[0])
        keys = [self.chains[each].key for each in form.operands if each in self.chains]
        key = self.key_of(self.plan.keys.get(node) or next(filter(None, keys), None), form)
        reads = [
            self.chains[each].origin if each in self.chains else each for each in form.operands if each is not self.running
        ]
        running, chains = self.running, self.chains

        def write(names: list[Any]) -> Any:
            given = iter(names)
            operands = [
                here if each is running else via(next(given), *chains[each].layers) if each in chains else next(given)
                for each in form.operands
            ]
            return form.write(operands)

        self.part.entries.append(Entry(key, node, reads, write, [node]))
        self.running = node
        self.save_items(node)

    def form(self, node: Node) -> Form:
        """How an operation is written."""
        name = self.plan.again.get(node) or self.plan.held.get(node)
        return form_of(node, self.plan.reads[node], name)

    def save_items(self, node: Node) -> None:
        """The parts of a tuple get names in one word, if all of them are read."""
        items = self.plan.readers.get(node, [])
        if not isinstance(node.example, tuple | list) or not all(isinstance(each, Tensor) for each in node.example):
            return
        if len(items) < 2 or {each.function for each in items if each.kind == "item"} != set(range(len(node.example))):
            return
        if any(each.kind != "item" for each in items) or any(each not in self.box.items for each in items):
            return
        self.split.update(items)
        self.part.entries.append(Entry(None, node, [], lambda _: None, own=items, saves=items))

    # Shortcuts

    def put_first(self, join: Node) -> None:
        """Puts a short branch with layers, which a sum adds to a longer one, before that: it is the skip.

        ``self.c2(relu(self.c1(x))) + self.skip(x)`` has its ``skip`` first, and then its main branch, which runs.
        """
        items = self.box.items
        end = items.index(join)
        first, origin = self.branch(end)
        if origin is None or first == 0 or len(self.plan.reads[join]) != 2 or not is_sum(join):
            return
        ends = {gives(items[first - 1]), gives(items[end - 1])}
        at = next((i for i in range(first) if origin in nodes_of(items[i])), -1)
        start = self.running if at < 0 else gives(items[at])
        short, long = items[first:end], items[at + 1 : first]
        if ends != set(self.plan.reads[join]) or start is not origin or origin not in received(long[:1], self.plan):
            return
        if sum(len(nodes_of(each)) for each in long) <= sum(len(nodes_of(each)) for each in short):
            return
        if all(self.may_move(each) for each in short) and not self.holds(first, gives(items[first - 1])):
            del items[first:end]
            items[at + 1 : at + 1] = short

    def branch(self, end: int) -> tuple[int, Node | None]:
        """Where the items begin that lead in a row to an index, and the value from which they go out, if it is one."""
        first = end
        origin = None
        while first > 0 and (first == end or gives(self.box.items[first - 1]) is origin):
            reads = received(self.box.items[first - 1 : first], self.plan)
            if len(reads) != 1:
                return end, None
            first, origin = first - 1, reads[0]
        return first, origin

    def may_move(self, item: Node | Box) -> bool:
        """Whether an operation may happen earlier: it draws no random numbers and changes nothing, and its key is a name."""
        key = item.key if isinstance(item, Box) else self.plan.keys.get(item, "")
        free = all(
            is_repeatable(each) and each not in self.plan.again and each not in self.plan.held for each in nodes_of(item)
        )
        return free and not key.isdigit()

    def holds(self, first: int, running: Node | None) -> bool:
        """Whether a join behind this index holds what stands there, while another value runs."""
        before, self.running = self.running, running
        chains = self.chains_from(first)
        self.running = before
        return bool(chains)

    # Values that go through layers before a join takes them

    def chains_from(self, i: int) -> dict[Node, Chain]:
        """The operations from here on that can be written inside the join behind them, which reads the running value too."""
        chains: dict[Node, Chain] = {}
        for item in self.box.items[i:]:
            if isinstance(item, Box) or item in self.split:
                return {}
            operands = self.plan.reads[item]
            if self.running in operands:
                return chains if self.may_hold(item, chains) else {}
            form = self.form(item)
            named = item in self.plan.again or item in self.plan.held
            if len(operands) != 1 or form.single is None or form.join or named or item in self.plan.results:
                return {}
            if len(self.plan.readers.get(item, ())) != 1:
                return {}
            before = chains.get(operands[0], Chain(operands[0], ()))
            layers = unpacked(item.function, self.plan) if item.kind == "layer" and has_state(item.function) else [form.single]
            key = self.plan.keys.get(item) if item.kind == "layer" and has_state(item.function) else None
            if not layers or (key is not None and before.layers):
                return {}
            chains[item] = Chain(before.origin, (*before.layers, *layers), before.key or key)
        return {}

    def may_hold(self, join: Node, chains: dict[Node, Chain]) -> bool:
        """Whether a join can own the layers of these chains: its keys must stay those of one module with layers."""
        form = self.form(join)
        ends = [each for each in form.operands if each in chains]
        inner = [node for node in chains if node not in ends]
        keyed = [i for i, each in enumerate(ends) if chains[each].key is not None]
        return (
            form.join
            and bool(ends)
            and all(self.plan.readers[node][0] in chains for node in inner)
            and all(self.plan.readers[node] == [join] for node in ends)
            and keyed in ([], [0])
        )


def nodes_of(item: Node | Box) -> list[Node]:
    """The operations of an item."""
    return list(item.nodes()) if isinstance(item, Box) else [item]


def gives(item: Node | Box) -> Node | None:
    """The value that runs behind an item."""
    return item.result if isinstance(item, Box) else item


def received(items: list[Node | Box], plan: Plan) -> list[Node]:
    """The values that items read from before them."""
    inside = [node for item in items for node in nodes_of(item)]
    return list(dict.fromkeys(node for each in inside for node in plan.reads[each] if node not in inside))


def is_sum(node: Node) -> bool:
    """Whether an operation adds or subtracts."""
    return getattr(node.function, "__name__", "").strip("_") in ("add", "radd", "iadd", "sub", "rsub", "isub", "subtract")


def is_repeatable(node: Node) -> bool:
    """Whether an operation is a layer of torch that gives the same whenever it is called, and changes no value."""
    layer = node.function if node.kind == "layer" else layer_for(node) if node.kind == "function" else None
    if layer is None:
        return False
    for each in layer.modules():
        random = isinstance(each, RANDOM_LAYERS) or bool(getattr(each, "dropout", False))
        if random or getattr(each, "inplace", False) or type(each).__module__.partition(".")[0] != "torch":
            return False
    return True


def valid_key(key: str) -> str:
    """A key that a sequence may have: not the name of one of its own attributes."""
    while name_fault(key, Sequential) or key == "input":
        key += "_"
    return key


def put(held: nn.Module, keys: list[str], layer: nn.Module) -> None:
    """Puts a layer at these keys below the layers that are held."""
    *outer, last = keys
    for key in outer:
        if key not in held._modules:
            held.add_module(key, Held())
        held = held.get_submodule(key)
    held.add_module(last, layer)


def unpacked(module: nn.Module, plan: Plan) -> list[nn.Module]:
    """The layers of an ``nn.Sequential`` that may stand in a list of their own under the same keys."""
    children = children_of(module)
    plain = is_plain(module) and list(children) == [str(i) for i in range(len(children))]
    return list(children.values()) if plain and not has_hooks(module) and plan.times[id(module)] == 1 else []
