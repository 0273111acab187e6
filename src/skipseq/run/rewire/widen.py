"""The layers behind a new concatenation grow: zeros for the new channels, so that the network computes what it did before.

The value of the concatenation is followed along the line of operations. Layers that keep its channels apart pass it on, and
grow where they have numbers for each channel; every layer that mixes the channels gets zeros for the new ones.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from skipseq.check.build import BATCHES
from skipseq.check.infer import Inference, apart, entry_text, opened_in_check
from skipseq.check.report import fake_input, planned_on, symbols_in
from skipseq.check.stand_ins import StandIns
from skipseq.declare.containers import child_at
from skipseq.declare.words import JoinWord, Word, here, running_at
from skipseq.errors import WiringError
from skipseq.flatten import Line, Operation
from skipseq.wiring import Join, Pick, Value

from .facts import NOTHING, Facts, facts_behind, measured, told_by_readers
from .grown import grown_layer, with_layers
from .growth import Growth, Run, joined
from .passing import GIVE_INPUT, SLOPE, Passed, axis_kept_by, pass_layer
from .traits import Unwidened, shape_is_all_it_reads

__all__ = ["widened"]


def widened(net: Any, path: str, input: Any = None) -> Any:
    """The same network, in which every layer that reads a concatenation has weights for its new channels: zeros.

    It shares all other layers. The network that is given is not changed.

    >>> import torch, warnings
    >>> from torch import nn
    >>> from skipseq import Sequential, cat
    >>> from skipseq.run.rewire.widen import widened
    >>> plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
    >>> joined = Sequential.of(plain, skips={"2": cat("0")})
    >>> with warnings.catch_warnings(action="ignore"):
    ...     net = widened(joined, "cat_0")
    >>> net[3].weight.shape
    torch.Size([4, 16, 3, 3])
    >>> x = torch.randn(1, 3, 8, 8)
    >>> torch.allclose(net(x), plain(x), atol=1e-6)
    True

    Args:
        net: a network with a concatenation behind which the layers do not fit yet.
        path: the path of the concatenation, with dots.
        input: the input, as a shape or as an example; without it, the number of channels is known from the layers alone.

    Raises:
        WiringError: if a layer that reads the new channels cannot be widened.
    """
    widening = Widening(net, tuple(path.split(".")))
    if input is None:
        widening.follow(None)
    else:
        given = net._shapes(input, (), {})
        list(symbols_in(tuple(given.values())))
        with apart():
            world = StandIns(planned_on(net))
            fakes = {value: fake_input(each, BATCHES[0], net.wiring, value, net, world) for value, each in given.items()}
            widening.follow(Inference(net, net.wiring, fakes, world))
    if widening.faults:
        raise WiringError(type(net).__name__, widening.faults)
    result = with_layers(net, widening.layers)
    tell(net, result, widening.fills)
    return result


class Widening:
    """Follows the new channels of one concatenation through a network.

    Args:
        net: the network.
        path: the keys that lead to the concatenation.
    """

    def __init__(self, net: Any, path: tuple[str, ...]) -> None:
        self.net = net
        self.line = Line(net, opened_in_check)
        inputs, self.results = self.line.add_root(net.wiring)
        self.inputs = tuple(inputs.values())
        self.path = path
        self.word: Any = child_at(net, path)
        #: The grown layers by their paths, and the number for new channels by the identity of each tensor.
        self.layers: dict[tuple[str, ...], nn.Module] = {}
        self.fills: dict[int, float] = {}
        #: The values with new channels, what is known of the values, and the faults.
        self.grown: dict[Value, Growth] = {}
        self.facts: dict[Value, Facts] = {}
        self.faults: list[str] = []
        self.walk: Inference | None = None
        at = [
            operation for operation in self.line.operations if is_cat(operation) and child_at_place(net, operation) is self.word
        ]
        self.join = next((operation for operation in reversed(at) if operation.place.keys() == path), None)
        running = None if self.join is None else self.join.reads()[self.running(self.join)]
        self.told = told_by_readers(self.line, self.join, running)
        self.places = len({operation.place.keys() for operation in at})
        # How often a layer is called, and under how many keys it and its weight stand.
        self.calls = Counter(id(operation.module) for operation in self.line.operations)
        self.keys = Counter(id(module) for _, module in net.named_modules(remove_duplicate=False))
        modules = list(net.modules())
        self.owners = Counter(id(each) for module in modules for each in {*module.parameters(False), *module.buffers(False)})

    def follow(self, walk: Inference | None) -> None:
        """Goes along the line; ``walk`` has the shapes of the values, if inputs are given."""
        self.walk = walk
        if self.join is None:
            self.faults.append(self.no_join())
            return
        self.facts = {value: self.told[value] for value in self.inputs if value in self.told}
        if walk is not None:
            self.facts = {value: measured(each) for value, each in walk.values.items()}
        for i, operation in enumerate(self.line.operations):
            if operation is self.join:
                self.begin(operation)
            elif any(value in self.grown for value in operation.reads()):
                self.meet(operation)
            if walk is not None:
                self.run(walk, i, operation)
            else:
                self.learn(operation)
        for value in dict.fromkeys(self.results):
            if value in self.grown:
                self.returned(self.grown[value])

    def no_join(self) -> str:
        """The fault of a path that leads to no concatenation, or into something whose inside is not known."""
        where = f"net has {self.word} at {'.'.join(self.path)!r}"
        if not isinstance(self.word, JoinWord) or self.word.joined.operator != "cat":
            return f"{where}, which is no cat: only a cat brings new channels.\n  Leave widen out."
        what = "inside a module that is called as a whole: what reads it is not known"
        return f"{where}, {what}.\n  Leave widen out, and give the network layers that fit."

    def learn(self, operation: Operation) -> None:
        """What the layers tell of a value: the one that gives it, else the first that reads it."""
        given = operation.gives[0]
        facts = facts_behind(operation, self.facts)
        self.facts[given] = self.told.get(given, facts) if facts == NOTHING and given not in self.grown else facts

    def run(self, walk: Inference, i: int, operation: Operation) -> None:
        """One operation of the walk over shapes; the new channels of what it gives are told by its extents."""
        walk.run(i, operation)
        if walk.faults and not self.faults:
            raise walk.faults[0]
        for value in operation.gives:
            facts = self.facts[value] = measured(walk.values[value])
            growth = self.grown.get(value)
            if growth is not None and (width := facts.width(growth.axis)) is not None:
                self.grown[value] = growth.settled(width)

    # Operations

    def begin(self, operation: Operation) -> None:
        """The concatenation: what it joins to the running value is new."""
        step = operation.place.chain[-1][2]
        running = self.running(operation)
        facts = [self.facts.get(value, NOTHING) for value in operation.reads()]
        rank = next((each.rank for each in facts if each.rank is not None), None)
        axis = step.dim + rank if step.dim < 0 and rank is not None else step.dim
        try:
            if self.places > 1:
                raise Unwidened("it stands at two places")
            if axis not in (1, -1) and axis + 1 != rank and not (rank is not None and axis == 0):
                raise Unwidened(f"dim={step.dim} is none of channels or features")
            widths = [each.width(axis) for each in facts]
            if any(width is None for k, width in enumerate(widths) if k != running):
                raise Unwidened("the number of its new channels is not known", GIVE_INPUT)
        except Unwidened as refusal:
            self.fault(operation, f"cannot be widened: {refusal.why}", refusal.advice)
            return
        runs = joined(Run(k != running, width) for k, width in enumerate(widths))
        self.grown[operation.gives[0]] = Growth(axis, runs)

    def running(self, operation: Operation) -> int:
        """Which of the values of the concatenation is the running one."""
        operands = self.word.joined.operands
        return running_at((here, *operands) if len(operands) == 1 else operands)

    def meet(self, operation: Operation) -> None:
        """An operation reads new channels."""
        step = operation.place.chain[-1][2]
        try:
            if isinstance(step, Join):
                self.grown[operation.gives[0]] = self.joined(step, operation)
            elif isinstance(step, Pick):
                self.grown[operation.gives[0]] = self.picked(step, operation)
            elif operation.kind == "layer":
                self.called(operation)
            elif operation.kind == "part":
                raise Unwidened("it is called as a whole, and its layers are not known")
            elif operation.kind == "pack":
                raise Unwidened("what is returned there would have another shape")
            else:
                raise Unwidened("it takes a tuple apart, which has no channels")
        except Unwidened as refusal:
            added = next(self.grown[value].added for value in operation.reads() if value in self.grown)
            new = f"{added} new channels" if added != 1 else "new channel"
            self.fault(operation, f"cannot take the {new} of {self.origin()}: {refusal.why}", refusal.advice)

    def called(self, operation: Operation) -> None:
        """A layer is called with new channels."""
        module = operation.module
        assert module is not None
        reads = operation.reads()
        carriers = [k for k, value in enumerate(reads) if value in self.grown and not shape_is_all_it_reads(module, k)]
        if not carriers:
            return
        if carriers != [0] or (len(reads) > 1 and not reads_one(operation)):
            raise Unwidened("it is called with several values")
        growth, facts = self.grown[reads[0]], self.facts.get(reads[0], NOTHING)
        if facts.rank is not None and growth.axis < 0:
            growth = Growth(facts.axis(growth.axis), growth.runs, growth.each)
        passed = pass_layer(module, growth, facts)
        if passed.tensors or passed.counts:
            self.grow(operation, module, passed)
        if passed.growth is not None:
            self.grown[operation.gives[0]] = passed.growth

    def grow(self, operation: Operation, module: nn.Module, passed: Passed) -> None:
        """A layer gets tensors with more positions."""
        tensors = [getattr(module, name) for name, _, _ in passed.tensors]
        if self.calls[id(module)] > 1 or self.keys[id(module)] > 1:
            raise Unwidened("it is used at two places, and would have to take two numbers of channels")
        if any(self.owners[id(each)] > 1 for each in tensors):
            raise Unwidened("another layer has the same weight, and would have to take two numbers of channels")
        wrapper = next((each for each in self.around(operation) if not isinstance(each, nn.Sequential | Word)), None)
        if wrapper is not None:
            raise Unwidened(f"it stands inside {type(wrapper).__name__}(...), which would go on to call the old layer")
        layer = grown_layer(module, passed)
        self.layers[operation.place.keys()] = layer
        self.fills |= {id(getattr(layer, name)): fill for name, _, fill in passed.tensors}
        if self.walk is not None:
            self.walk.instead = {**self.walk.instead, id(module): layer}

    def around(self, operation: Operation) -> Iterator[nn.Module]:
        """The modules around a layer, from the root."""
        module: Any = self.net
        path = operation.place.keys()
        for key in path:
            yield module
            module = module._modules.get(key)
            if module is None:
                return

    def joined(self, step: Join, operation: Operation) -> Growth:
        """New channels in a further join: at other places in a concatenation, and met by their like elsewhere."""
        values = operation.reads()
        found = [self.grown.get(value) for value in values]
        axes = {growth.axis for growth in found if growth is not None}
        facts = [self.facts.get(value, NOTHING) for value in values]
        rank = next((each.rank for each in facts if each.rank is not None), None)
        axis = step.dim + rank if step.dim < 0 and rank is not None else step.dim
        if step.operator == "cat" and axes == {axis}:
            runs: list[Run] = []
            for growth, known in zip(found, facts, strict=True):
                inner = Growth(axis, (Run(False, known.width(axis)),)) if growth is None else growth.inside()
                if inner is None:
                    raise Unwidened("where its new channels are is not known", GIVE_INPUT)
                runs += inner.runs
            return Growth(axis, joined(runs))
        first = found[0]
        if first is None or any(growth != first for growth in found) or step.broadcast:
            raise Unwidened(self.mixed(step, values, found))
        return first

    def mixed(self, step: Join, values: Sequence[Value], found: Sequence[Growth | None]) -> str:
        """Why a join cannot take new channels."""
        if step.broadcast:
            return "it broadcasts, and which channels meet is not known"
        other = next((k for k, growth in enumerate(found) if growth is None), None)
        if other is None:
            return "its values have their new channels at different places"
        verb = (
            "concatenates"
            if step.operator == "cat"
            else {"add": "adds", "sub": "subtracts", "mul": "multiplies"}[step.operator]
        )
        axis = next(growth.axis for growth in found if growth is not None)
        width = self.facts.get(values[other], NOTHING).width(axis)
        have = "has no such channels" if width is None else f"has {width} channels and no new ones"
        return f"it {verb} a value that {have}"

    def picked(self, step: Pick, operation: Operation) -> Growth:
        """New channels behind an index."""
        value = operation.reads()[0]
        growth = axis_kept_by(step.choice, self.grown[value])
        if growth is None:
            raise Unwidened("it cuts into the joined dimension, or which one it cuts is not known")
        return growth

    # Faults

    def origin(self) -> str:
        """The concatenation, as one says where it is."""
        assert self.join is not None
        return f"net{self.join.place.text()} {entry_text(self.net, self.join)}"

    def fault(self, operation: Operation, problem: str, advice: str) -> None:
        advice = "" if advice == GIVE_INPUT and self.walk is not None else advice
        usual = "Write join=add, which keeps the number of channels, or leave widen out, and give the network layers that fit."
        self.faults.append(f"net{operation.place.text()} {entry_text(self.net, operation)} {problem}.\n  {advice or usual}")

    def returned(self, growth: Growth) -> None:
        """The new channels come out of the network."""
        more = f"{growth.added} more channels" if growth.added else "more channels"
        self.faults.append(
            f"net would return {more}: between {self.origin()} and the end no layer takes them in.\n"
            "  Connect further ahead, or write join=add, which keeps the number of channels."
        )


def is_cat(operation: Operation) -> bool:
    """Whether an operation concatenates."""
    step = operation.place.chain[-1][2]
    return isinstance(step, Join) and step.operator == "cat"


def child_at_place(net: nn.Module, operation: Operation) -> nn.Module | None:
    """The word that an operation belongs to."""
    container, _, step = operation.place.chain[-1]
    return (net if container is None else container)._modules.get(step.key)


def reads_one(operation: Operation) -> bool:
    """Whether a function of several values uses all but the first by their extents alone."""
    module = operation.module
    return not operation.named and all(shape_is_all_it_reads(module, k) for k in range(1, len(operation.takes)))


def tell(before: Any, after: Any, fills: Mapping[int, float]) -> None:
    """Warns once of all tensors that have another shape; ``fills`` has the number for new channels by the identity of each."""
    old, new = before.state_dict(keep_vars=True), after.state_dict(keep_vars=True)
    changed = [key for key in new if id(new[key]) in fills]
    lines = [
        f"{key} has another shape: {tuple(old[key].shape)} -> {tuple(new[key].shape)}, "
        f"{NUMBERS[fills[id(new[key])]]} for the new channels."
        for key in changed
    ]
    if len(lines) == 1:
        lines[0] += " It is a new parameter: give it to the optimizer; an old checkpoint has the old shape."
    elif lines:
        lines.append("They are new: give the parameters to the optimizer; an old checkpoint has the old shapes.")
    if lines:
        warnings.warn("\n".join(lines), UserWarning, stacklevel=outside())


#: What new channels get, in words.
NUMBERS = {0.0: "zeros", 1.0: "ones", SLOPE: f"{SLOPE}"}


def outside() -> int:
    """How many calls lie between here and the code of the user."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "skipseq":
        frame, level = frame.f_back, level + 1
    return level
