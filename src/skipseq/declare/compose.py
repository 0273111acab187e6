"""From the children of a container to its wiring.

Names are resolved here and nowhere else, once, when a tree is put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from keyword import iskeyword
from typing import Any

from torch import nn

from skipseq.errors import WiringError, did_you_mean
from skipseq.wiring import (
    Join,
    Layer,
    Named,
    Number,
    Operand,
    Part,
    Pick,
    Split,
    Step,
    Value,
    Wiring,
    find_overwrites,
)

from . import words
from .constructors import constructor
from .containers import children_of, inside, is_plain, is_sequence, is_wired
from .functions import Function, is_named_in_place
from .held import Held
from .repairs import find_option_faults, fit_of
from .scope import Draft, Scope
from .words import Called, CallWord, Joined, JoinWord, PickWord, SaveWord, TakeWord, Via, Word, here

__all__ = ["compose", "grouped"]


def compose(
    children: Mapping[str, nn.Module],
    inputs: tuple[str, ...] | None = None,
    outputs: str | tuple[str, ...] | None = None,
    what: str = "Sequential",
) -> Wiring:
    """The wiring of a container with these children.

    Raises:
        WiringError: with all the faults that can be known here.
    """
    composer = Composer(children, inputs)
    wiring = composer.compose(outputs)
    if composer.faults:
        raise WiringError(what, composer.faults)
    return wiring


def grouped(children: Mapping[str, nn.Module]) -> list[list[tuple[str, nn.Module]]]:
    """The children as entries: a call and the layer behind it are one, unless it calls a layer again."""
    groups: list[list[tuple[str, nn.Module]]] = []
    for key, child in children.items():
        before = groups[-1][-1][1] if groups else None
        if isinstance(before, CallWord) and before.again is None and not isinstance(child, Word):
            groups[-1].append((key, child))
        else:
            groups.append([(key, child)])
    return groups


class Composer(Scope):
    """Walks the entries of one container in order, with the running value and the names known so far."""

    def __init__(self, children: Mapping[str, nn.Module], inputs: tuple[str, ...] | None) -> None:
        super().__init__(inputs)
        self.children = children
        self.entries = grouped(children)
        self.steps: list[Step | Draft] = []
        self.running: Value = 0
        #: Layers that are called by name from elsewhere: the index and the key of their entries.
        self.held: list[tuple[int, str]] = []
        #: Whether the layer at hand is that of an earlier entry, called again.
        self.again = False
        self.keys = {key for entry in self.entries for key, _ in entry}
        self.wirings = self.wirings_of(children)
        self.saves = self.find_saves()

    # What is inside, before anything is resolved

    def wirings_of(self, children: Mapping[str, nn.Module]) -> dict[int, Wiring]:
        """The wirings of all parts, by the identity of the module that stands here."""
        found: dict[int, Wiring] = {}
        for index, entry in enumerate(self.entries):
            for key, child in entry:
                place = f"net.{key}" if key.isidentifier() else f"net[{index}]"
                owned = children_of(child).values() if isinstance(child, Word) else (child,)
                for module in owned:
                    if id(module) not in found and (wiring := self.wiring_of(module, place)) is not None:
                        found[id(module)] = wiring
        return found

    def wiring_of(self, module: nn.Module, place: str) -> Wiring | None:
        """The wiring of a module that is a container; its faults become ours."""
        container = inside(module)
        try:
            if is_wired(container):
                return container.wiring
            if is_plain(container):
                return compose_plain(container)
        except WiringError as error:
            self.faults += [place + fault.removeprefix("net") for fault in error.faults]
            return Wiring(("input",), False, {}, (), 0, {"input": 0}, {}, 1, {})
        return None

    def find_saves(self) -> dict[str, str]:
        """Every label saved in this container or inside its parts, with the place of its first save."""
        saves: dict[str, str] = {}
        for index, entry in enumerate(self.entries):
            for _, child in entry:
                if isinstance(child, SaveWord):
                    for label in filter(lambda each: isinstance(each, str), child.labels):
                        saves.setdefault(label, f"net[{index}]")
                owned = children_of(child).values() if isinstance(child, Word) else (child,)
                for module in owned:
                    for label in self.wirings[id(module)].labels if id(module) in self.wirings else ():
                        saves.setdefault(label, f"net[{index}]")
        return saves

    # The walk

    def compose(self, outputs: str | tuple[str, ...] | None) -> Wiring:
        for index, entry in enumerate(self.entries):
            self.index, self.entry = index, entry
            self.key = entry[0][0]
            self.check_name(entry)
            self.walk(entry)
            for key, _ in entry:
                self.names[key] = self.running
        self.check_held()
        result = self.results(outputs)
        wiring = Wiring(
            inputs=self.inputs,
            closed=self.closed,
            needs=self.needs,
            steps=tuple(step.finished() if isinstance(step, Draft) else step for step in self.steps),
            result=result,
            names=self.names,
            labels=self.labels,
            count=self.count,
            parts={step.path(): i for i, step in reversed([*enumerate(self.steps)]) if isinstance(step, Draft)},
            readers=self.readers,
            paths=tuple(self.paths),
        )
        if not self.faults:
            self.check_overwrites(wiring)
        return wiring

    def walk(self, entry: list[tuple[str, nn.Module]]) -> None:
        """One entry: what it reads, what it gives."""
        word = entry[0][1]
        if isinstance(word, SaveWord):
            self.save(word)
        elif isinstance(word, CallWord):
            self.call(word, entry)
        elif isinstance(word, JoinWord):
            if self.check_join(word):
                self.running = self.join(word, word.joined, implied=True)
        elif isinstance(word, TakeWord):
            self.running = self.value(word, word.operand)
        elif isinstance(word, PickWord):
            (given,) = given_one = (self.new(),)
            self.steps.append(Pick(self.key, self.index, (self.running,), given_one, word.choice))
            self.running = given
        elif isinstance(word, Held):
            self.held += [(self.index, self.key)] if word.must_run else []
        else:
            self.running = self.apply(word, (self.key,), (self.running,))

    def check_held(self) -> None:
        """Layers that stand for others to call must be called by one, or they would be lost silently."""
        called = {step.path[0] for step in self.steps if isinstance(step, Layer) and step.again}
        called |= {step.step.path[0] for step in self.steps if isinstance(step, Draft) and step.step.again}
        for index, key in self.held:
            if key not in called and (layers := children_of(self.children[key])):
                advice = f"Write them one by one: *layers. Or call them by name: call('{key}.{next(iter(layers))}')."
                self.faults.append(f"net[{index}] {key!r} is a list of layers that nothing calls.\n  {advice}")

    def save(self, word: SaveWord) -> None:
        """Labels are names for the running value, or for the parts of a tuple."""
        labels = [label for i, label in enumerate(word.labels) if self.check_label(label, word.labels[:i])]
        if not word.labels:
            self.fault("names nothing.", "Write save('x1').")
        if len(word.labels) == 1:
            values: tuple[Value, ...] = (self.running,)
        else:
            values = tuple(self.new() for _ in labels)
            self.steps.append(Split(self.key, self.index, (self.running,), values))
        for label, value in zip(labels, values, strict=False):
            self.names[label] = value
            self.labels[label] = (label, *self.labels.get(label, ()))

    def call(self, word: CallWord, entry: list[tuple[str, nn.Module]]) -> None:
        """The layer behind the word, or the one that is called again, with the word's operands."""
        if word.again is not None:
            path, layer = tuple(word.again.split(".")), self.layer_again(word.again)
        elif len(entry) == 2:
            path, layer = (entry[1][0],), entry[1][1]
        else:
            layer = None
            self.fault("has no layer behind it.", "Write call(layer, ...): the word and its layer belong together.")
        if layer is None:
            return
        written = constructor(layer) if word.again is None else repr(word.again)
        takes = [self.operand(word, operand) for operand in word.called.operands]
        placed = (*word.called.operands, *(each for _, each in word.called.named))
        # One operand alone comes behind the running value; with none, the running value is the operand.
        if len(takes) <= 1 and here not in placed:
            takes = [self.running, *takes]
        elif here not in words.operands_in(placed):
            text = words.write_call(written, word.called, word, constructor)
            placed_first = replace(word.called, operands=(here, *word.called.operands))
            self.no_place_for_running(text, words.write_call(written, placed_first, word, constructor))
        named = tuple((name, self.operand(word, operand)) for name, operand in word.called.named)
        self.again = word.again is not None
        self.running = self.apply(layer, path, tuple(takes), named)
        self.again = False

    def layer_again(self, name: str) -> nn.Module | None:
        """The layer of this container, or inside a sequence in it, that is called a second time."""
        head, *rest = name.split(".")
        known: Mapping[str, nn.Module] = {key: each for key, each in self.children.items() if key in self.names}
        found = known.get(head)
        for key in rest:
            opens = found is not None and (isinstance(found, Word | Held) or is_sequence(found))
            known = children_of(found) if found is not None and opens else {}
            found = known.get(key)
        if found is None or (isinstance(found, Word) and not isinstance(found, PickWord)):
            known_layers = [key for key, each in self.children.items() if not isinstance(each, Word) and key in self.names]
            self.fault(
                f"calls {name!r} again, which is no earlier layer of this sequence.{did_you_mean(name, known_layers)}",
                "Write call(layer, ...) with the layer itself, or call('name') with the name of an earlier one.",
            )
            return None
        if id(found) not in self.wirings and (wiring := self.wiring_of(found, f"net[{self.index}]")) is not None:
            self.wirings[id(found)] = wiring
        return found

    def join(self, word: Word, joined: Joined, implied: bool = False) -> Value:
        """A join of values; at an entry, one operand alone comes behind the running value."""
        operands = (here, *joined.operands) if implied and len(joined.operands) == 1 else joined.operands
        for text, advice in find_option_faults(joined, operands):
            self.fault(text, advice)
        takes: list[Operand] = [self.operand(word, operand) for operand in operands]
        values = [each for each in takes if not isinstance(each, Number)]
        if len(set(values)) < len(values):
            self.fault(
                "joins a value with itself.",
                "Name each value once; for a square or a double, write call(torch.square) or mul(2.0).",
            )
        like = takes[words.running_at(operands)] if takes else self.running
        for i, key in enumerate(joined.projections, len(takes) - len(joined.projections)):
            if key is not None:
                value = self.apply(words.layer_of(word, key), (self.key, key), (takes[i], like))
                self.names[f"{self.key}.{key}"] = takes[i] = value
        given = (self.new(),)
        options = (joined.operator, joined.dim, joined.broadcast, fit_of(joined, operands))
        self.steps.append(Join(self.key, self.index, tuple(takes), given, *options))
        return given[0]

    def operand(self, word: Word, operand: words.Operand) -> Operand:
        """An operand as a value of this container, with the steps that it takes to get it."""
        if operand is here:
            return self.running
        if isinstance(operand, str):
            return self.resolve(operand)
        if isinstance(operand, Via):
            if not operand.layers:
                self.fault("has a via(...) without layers.", "Write the name alone, or via('name', layer).")
            value = self.value(word, operand.base)
            for key in operand.layers:
                value = self.apply(words.layer_of(word, key), (self.key, key), (value,))
                self.names[f"{self.key}.{key}"] = value
            return value
        if isinstance(operand, Joined):
            self.check_operands(operand)
            return self.join(word, operand)
        if isinstance(operand, Called):
            assert operand.layer is not None
            if not operand.operands and not operand.named:
                self.fault("has a call(...) without values.", "As an operand, a call means what it lists: call(layer, here).")
            takes = tuple(self.operand(word, each) for each in operand.operands)
            named = tuple((name, self.operand(word, each)) for name, each in operand.named)
            value = self.apply(words.layer_of(word, operand.layer), (self.key, operand.layer), takes, named)
            self.names[f"{self.key}.{operand.layer}"] = value
            return value
        if isinstance(operand, words.Unfit):
            self.fault(f"has the operand {operand.text}: {operand.fault}.")
            return self.new()
        assert not isinstance(operand, words.Here)
        return Number(operand)

    def value(self, word: Word, operand: words.Operand) -> Value:
        """An operand that must be a value."""
        value = self.operand(word, operand)
        if isinstance(value, Number):
            self.fault(f"takes the number {value.value!r}, which is no value of the network.")
            return self.new()
        return value

    def apply(self, module: nn.Module, path: tuple[str, ...], takes: tuple[Operand, ...], named: Named = ()) -> Value:
        """A layer, or a part with its needs."""
        if isinstance(module, PickWord):
            value = self.new()
            self.steps.append(Pick(self.key, self.index, takes, (value,), module.choice))
            return value
        if isinstance(module, Word):
            self.fault(f"puts a value through {constructor(module)}, which is a word and no layer.")
            return self.running
        wiring = self.wirings.get(id(module))
        if wiring is None:
            value = self.new()
            in_place = works_in_place(module)
            self.steps.append(Layer(self.key, self.index, takes, (value,), path, named, in_place, self.again))
            return value
        self.check_arguments(wiring, path, takes, named)
        given = {name for name, _ in named}
        needs: Named = tuple((name, self.resolve_need(name, wiring, path)) for name in wiring.needs if name not in given)
        value = self.new()
        own = tuple((name, operand) for name, operand in named if name in wiring.inputs)
        needs += tuple((name, operand) for name, operand in named if name in wiring.needs)
        plain = is_plain(inside(module))
        part = Part(self.key, self.index, takes, (value,), path, wiring, own, needs, plain=plain, again=self.again)
        self.steps.append(draft := Draft(part))
        if self.again:
            return value  # its inner values are those of the first call
        self.drafts[head := ".".join(path)] = draft
        for label, paths in wiring.labels.items():
            found = tuple(f"{head}.{each}" for each in paths)
            self.inner.setdefault(label, []).extend(found)
            self.labels[label] = self.labels.get(label, ()) + found
        return value

    def results(self, outputs: str | tuple[str, ...] | None) -> Value | tuple[Value, ...]:
        """The value, or the values, that the container returns."""
        if outputs is None:
            return self.running
        names = (outputs,) if isinstance(outputs, str) else outputs
        self.returned = f"outputs={outputs!r}"
        values = []
        for name in names:
            before = dict(self.needs)
            values.append(self.resolve(name))
            if name in self.needs:
                self.needs = before
                self.fault(f"names {name!r}, which nothing gives.{self.nearest(name)}")
        return values[0] if isinstance(outputs, str) else tuple(values)

    # Faults that need no name to be resolved

    def check_label(self, label: object, same_word: tuple[object, ...]) -> bool:
        """Whether a label may be saved here; ``same_word`` are the labels before it in its word."""
        first = self.names.get(label) if isinstance(label, str) else None
        if not isinstance(label, str) or not label.isidentifier() or iskeyword(label) or label in ("input", "self"):
            # A keyword of Python, or self, could not be passed by keyword; and one of them asks a part for inner values.
            self.fault(
                f"saves {label!r}: a label is an identifier other than 'input' and 'self', and no keyword of Python.",
                "Write save('x1').",
            )
        elif label in same_word or (label in self.labels and self.labels[label][0] == label):
            self.fault(f"saves {label!r} again; it is already saved at {self.saves[label]}.", "Rename one of them.")
        elif first is not None or label in self.keys:
            kind = "an input" if label in self.inputs else "a layer or word"
            self.fault(f"saves {label!r}, which is the name of {kind} of this sequence.", "Rename one of them.")
        else:
            return True
        return False

    def check_name(self, entry: list[tuple[str, nn.Module]]) -> None:
        """The name of an entry must not be one of the inputs."""
        for key, _ in entry:
            if key in self.inputs and (self.closed or key == "input"):
                self.fault(f"is named {key!r}, which is an input of this sequence.", "Rename one of them.")

    def check_join(self, word: JoinWord) -> bool:
        """Whether a join at an entry says what to join and where the running value goes."""
        joined = word.joined
        if not joined.operands:
            self.fault(
                "names nothing to join.",
                f"Write {joined.operator}('label'). A join without operands is for join= of the blocks.",
            )
            return False
        if len(joined.operands) > 1 and here not in words.operands_in(joined.operands):
            placed_first = replace(joined, operands=(here, *joined.operands))
            self.no_place_for_running(word.written(constructor), words.write(placed_first, word, constructor))
        self.check_operands(joined)
        return True

    def check_operands(self, joined: Joined) -> None:
        """What a join lists must be something that it can join."""
        if not joined.operands:
            self.fault(f"has an inner {joined.operator}() that names nothing to join.", f"Write {joined.operator}('x1', here).")
        if joined.operator == "cat" and (not isinstance(joined.dim, int) or isinstance(joined.dim, bool)):
            self.fault(f"has dim={joined.dim!r}; a dimension is an integer.", "Write dim=1, or dim=-1 for the last one.")
        for operand in joined.operands:
            if joined.operator == "cat" and words.is_number(operand):
                self.fault(f"concatenates the number {operand!r}.", "Write add or mul for numbers.")

    def no_place_for_running(self, text: str, with_here: str) -> None:
        advice = f"Write {with_here}, or take({text}) to leave it out."
        self.fault("does not say where the running value goes.", advice)

    def check_arguments(self, wiring: Wiring, path: tuple[str, ...], takes: tuple[Operand, ...], named: Named) -> None:
        """A part gets each of its inputs once, and by name only what it knows."""
        given = [*wiring.inputs[: len(takes)], *(name for name, _ in named)]
        missing = [name for name in wiring.inputs if name not in given]
        unknown = [name for name, _ in named if name not in (*wiring.inputs, *wiring.needs)]
        if len(takes) > len(wiring.inputs) or unknown or len(set(given)) < len(given):
            self.fault(f"passes values that the part does not know; its inputs are {', '.join(wiring.inputs)}.")
        elif missing:
            self.fault(
                f"has the inputs {', '.join(wiring.inputs)}, and receives only {', '.join(given)}.",
                f"Write call(part, {', '.join(['here', *(repr(name) for name in missing)])}).",
            )

    def check_overwrites(self, wiring: Wiring) -> None:
        """A layer that works in place must not change a value that is read later."""
        names = {value: repr(name) for name, value in reversed(self.names.items())}
        names |= {self.names[label]: repr(label) for label in self.labels if label in self.names}
        for value, place, reader in find_overwrites(wiring):
            read = f"net{reader} reads later" if reader else "is returned"
            self.faults.append(
                f"net{place} works in place and overwrites {names.get(value, 'a value')}, which {read}.\n"
                "  Write inplace=False, or save the value behind the layer."
            )


def compose_plain(container: nn.Module) -> Wiring:
    """The wiring of a plain ``nn.Sequential``; a word inside it is a fault."""
    children = children_of(container)
    faults = [
        f"net[{i}] {constructor(child)} stands in a plain nn.Sequential, which cannot pass it the values that it names.\n"
        "  Write skipseq.Sequential(...) instead of nn.Sequential(...)."
        for i, child in enumerate(children.values())
        if isinstance(child, Word) and not isinstance(child, PickWord)
    ]
    if faults:
        raise WiringError("nn.Sequential", faults)
    return compose(children)


def works_in_place(module: nn.Module) -> bool:
    """Whether a layer changes its input, as far as it says so."""
    if isinstance(module, Function):
        function: Any = module.function
        keywords: dict[str, Any] = {}
        while isinstance(function, partial):
            keywords = {**function.keywords, **keywords}
            function = function.func
        return bool(keywords.get("inplace")) or is_named_in_place(function)
    return getattr(module, "inplace", False) is True
