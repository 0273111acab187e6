"""The forward of a class as text: one statement for each layer and each word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.functions import Function
from skipseq.declare.projection import PadChannels
from skipseq.flatten import Line
from skipseq.wiring import Number, Operand, Value, Wiring

from . import layout
from .fits import fit_function
from .functions import Imports, Unwritable, function_code, index, literal
from .layout import Chain, Code, Group, Row, call, listing, rows_of
from .operations import Deed
from .variables import Variables, parameter_names, place_values

__all__ = ["END", "Forward", "Surroundings", "write_forward"]

#: The mark of the line that returns.
END = "end"

INDENT = 8


@dataclass(frozen=True, slots=True)
class Forward:
    """The lines of a forward, each with the positions of the operations that it does, and the type of the result."""

    rows: tuple[Row, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a forward needs to know of the file.

    Args:
        imports: what the file imports.
        functions: the functions of the file by their text, with their names.
        access: how the class reaches what is at a path.
        wirings: the wirings of the parts that are called, by their identity.
        types: what they return.
        refuse: notes that something at a path cannot be written.
    """

    imports: Imports
    functions: dict[str, str]
    access: Callable[[tuple[str, ...]], str]
    wirings: Mapping[int, Wiring]
    types: Mapping[int, str]
    refuse: Callable[[tuple[str, ...], str], None]


def write_forward(
    line: Line,
    wiring: Wiring,
    given: Mapping[Value, Value],
    deeds: list[Deed],
    results: tuple[Value, ...],
    around: Surroundings,
) -> Forward:
    """The forward of a class.

    Args:
        line: its operations.
        wiring: its wiring.
        given: the values of its inputs and needs, by those of the wiring.
        deeds: what it does.
        results: the values that it returns.
        around: what it needs to know of the file.
    """
    types = types_of(deeds, around)
    reserved = {*around.imports.found.values(), *around.functions.values()}
    variables = place_values(line, wiring, deeds, given, results, set(types), reserved)
    done = {position for deed in deeds for position in deed.positions}
    idle = frozenset(range(len(line.operations))) - done
    return Writer(variables, wiring, deeds, results, types, around, idle).forward()


class Writer:
    """Writes the statements of one forward."""

    def __init__(
        self,
        variables: Variables,
        wiring: Wiring,
        deeds: list[Deed],
        results: tuple[Value, ...],
        types: dict[Value, str],
        around: Surroundings,
        idle: frozenset[int],
    ) -> None:
        self.variables = variables
        self.wiring = wiring
        self.deeds = deeds
        self.results = results
        self.types = types
        self.around = around
        #: Operations at the end that do nothing: they belong to the line that returns.
        self.idle = idle
        self.rows: list[Row] = []
        #: Whether a variable has a type: that of a parameter, or one that was written with its first value.
        self.typed = set(variables.parameters.values())
        self.marks: frozenset[Any] = frozenset()
        #: Variables that a fit needed for its values.
        self.fresh: list[str] = []

    # The whole

    def forward(self) -> Forward:
        first = next(iter(self.variables.parameters))
        result = self.result_type()
        self.signature(result)
        if self.variables.names[first] != self.variables.parameters[first]:
            self.write("", f"{self.variables.names[first]} = {self.variables.running}")
        for i, deed in enumerate(self.deeds):
            self.marks = frozenset(deed.positions)
            try:
                self.statement(i, deed)
            except Unwritable as error:
                self.around.refuse(deed.operation.place.keys(), str(error))
            self.free(i, deed)
        self.marks = frozenset({END, *self.idle})
        self.give_back(result)
        return Forward(tuple(self.rows), result)

    def write(self, before: str, code: Code, after: str = "") -> None:
        """A statement."""
        self.rows += rows_of(INDENT, before, code, after, self.marks)

    def signature(self, result: str) -> None:
        """The head of the forward."""
        items: list[Code] = ["self"]
        for value, name in self.variables.parameters.items():
            items.append(f"{name}: {self.types.get(value, 'Tensor')}")
        self.rows += rows_of(INDENT - 4, "", call("def forward", items), f" -> {result}:")

    def give_back(self, result: str) -> None:
        """The return."""
        n = len(self.deeds)
        names = [self.variables.at(value, n) for value in self.results]
        if isinstance(self.wiring.result, tuple):
            self.returned(names)
        elif names[0] in self.typed or self.types.get(self.results[0]):
            self.write("return ", names[0])
        else:
            # mypy knows the type of x, and of another variable only that it came out of a layer.
            running = self.variables.running
            self.write(f"{running}{self.note(running)} = ", names[0])
            self.write("return ", running)

    def returned(self, names: list[str]) -> None:
        """Several values are returned."""
        text = ", ".join(names) + "," * (len(names) == 1)
        if len(names) == 1:
            self.write("return ", f"({text})")
        elif INDENT + len("return ") + len(text) <= layout.WIDTH:
            self.write("return ", text)
        else:
            self.write("return ", listing("(", names, ")"))

    def result_type(self) -> str:
        """The type of what is returned."""
        types = [self.types.get(value, "Tensor") for value in self.results]
        return f"tuple[{', '.join(types)}]" if isinstance(self.wiring.result, tuple) else types[0]

    # Statements

    def statement(self, i: int, deed: Deed) -> None:
        """What one deed does."""
        if deed.kind == "join" and is_fitted(deed) and deed.step.fit.like is None and deed.step.operator != "cat":
            values = self.fitted_values(i, deed)
            self.assign(i, deed, self.joined(deed, values))
            return
        code = self.code(i, deed)
        for choice in deed.index:
            code = self.indexed(code, choice)
        self.assign(i, deed, code)

    def code(self, i: int, deed: Deed) -> Code:
        """The expression of one deed."""
        values = [self.operand(i, deed, operand) for operand in deed.takes]
        if deed.kind == "join":
            return self.fitted(deed, values) if is_fitted(deed) else self.joined(deed, values)
        texts = [layout.flat(value) for value in values]
        if deed.kind in ("index", "split"):
            return texts[0]
        if deed.kind == "pack":
            return listing("(", texts, ")")
        names = self.argument_names(deed)
        named = [(names.get(name, name), layout.flat(self.operand(i, deed, operand))) for name, operand in deed.named]
        if deed.kind == "function":
            if isinstance(deed.module, PadChannels):
                return padded(deed.module, texts[0])
            assert isinstance(deed.module, Function)
            return function_code(deed.module.function, texts, named, self.around.imports)
        arguments = [*values, *(f"{name}={text}" if name.isidentifier() else f"**{{{name!r}: {text}}}" for name, text in named)]
        return call(self.around.access(deed.keys), arguments)

    def argument_names(self, deed: Deed) -> dict[str, str]:
        """The parameters of a part that is called, by the names of its inputs."""
        wiring = self.around.wirings.get(id(deed.module))
        return {} if wiring is None or deed.kind != "part" else parameter_names(wiring)

    def operand(self, i: int, deed: Deed, operand: Operand) -> Code:
        """An operand as it is written."""
        if isinstance(operand, Number):
            return literal(operand.value, self.around.imports)
        if operand in deed.inline:
            return self.code(i, deed.inline[operand])
        return self.variables.at(operand, i)

    def indexed(self, code: Code, choice: Any) -> Code:
        """A part of a value."""
        text = index(choice, self.around.imports)
        if isinstance(code, Group):
            return Group(code.before, code.items, f"{code.after}[{text}]", code.marks)
        return f"{layout.flat(code)}[{text}]"

    def joined(self, deed: Deed, values: list[Code]) -> Code:
        """A join of values that fit."""
        if deed.step.operator == "cat":
            return call("torch.cat", [listing("(", values, ")"), f"dim={deed.step.dim}"])
        return Chain(tuple(values), SIGNS[deed.step.operator])

    def fitted(self, deed: Deed, values: list[Code]) -> Code:
        """A join of values that are brought to one extent where they stand."""
        name = self.function(*fit_function(deed.step, deed.step.fit))
        like = deed.step.fit.like
        if like is None:
            return call("torch.cat", [call(name, values), f"dim={deed.step.dim}"])
        ruler = layout.flat(values[like])
        numbers = [isinstance(operand, Number) for operand in deed.takes]
        fits = [value if k == like or numbers[k] else call(name, [value, f"like={ruler}"]) for k, value in enumerate(values)]
        return self.joined(deed, fits)

    def fitted_values(self, i: int, deed: Deed) -> list[Code]:
        """Values that get variables for what they are brought to, in a statement of its own."""
        name = self.function(*fit_function(deed.step, deed.step.fit))
        values: list[Code] = []
        fitted: list[tuple[str, str]] = []
        for operand in deed.takes:
            if isinstance(operand, Number):
                values.append(literal(operand.value, self.around.imports))
                continue
            old = self.variables.at(operand, i)
            if old in (known := dict(fitted)):
                values.append(known[old])
                continue
            ends = self.variables.last[operand] == i and operand not in self.variables.parameters
            overwritten = old == self.variables.running and self.variables.in_running[i] is not None
            new = old if ends or overwritten else self.variables.taken.new(f"{old}_fitted")
            fitted.append((old, new))
            values.append(new)
        self.write(f"{', '.join(new for _, new in fitted)} = ", call(name, [old for old, _ in fitted]))
        self.fresh = [new for old, new in fitted if new != old]
        return values

    def function(self, name: str, text: str) -> str:
        """The name of a function of the file, which is written into it if it is not there."""
        if text not in self.around.functions:
            self.around.functions[text] = self.around.imports.names.new(name)
        return self.around.functions[text]

    # Variables

    def assign(self, i: int, deed: Deed, code: Code) -> None:
        """Puts the results of a deed where they belong."""
        targets = [self.targets(i, value) for value in deed.gives]
        if len(deed.gives) > 1:
            self.write(f"{', '.join(each[0] if each else '_' for each in targets)} = ", code)
            for each in targets:
                if len(each) > 1:
                    self.write(f"{each[1]} = ", each[0])
            return
        names = targets[0]
        before = "".join(f"{name} = " for name in names)
        if len(names) == 1:
            before = f"{names[0]}{self.note(names[0], deed.gives[0])} = "
        flat = f"{before}{layout.flat(code)}"
        if len(names) == 2 and (self.must_be_noted(names[0]) or INDENT + len(flat) > layout.WIDTH):
            self.write(f"{names[0]}{self.note(names[0])} = ", code)
            self.write(f"{names[1]} = ", names[0])
        else:
            self.write(before, code)

    def targets(self, i: int, value: Value) -> list[str]:
        """The variables that get a value."""
        found = [self.variables.running] if self.variables.in_running[i] == value else []
        return found + ([self.variables.names[value]] if value in self.variables.names else [])

    def must_be_noted(self, name: str) -> bool:
        """Whether the first value of a variable is written with its type: it is returned alone, and a layer tells no type."""
        returned = len(self.results) == 1 and not isinstance(self.wiring.result, tuple)
        return returned and name not in self.typed and name == self.variables.at(self.results[0], len(self.deeds))

    def note(self, name: str, value: Value | None = None) -> str:
        """The type of a variable where it is needed."""
        if not self.must_be_noted(name) and not (name == self.variables.running and value is None and name not in self.typed):
            return ""
        self.typed.add(name)
        return f": {self.types.get(self.results[0], 'Tensor')}"

    def free(self, i: int, deed: Deed) -> None:
        """Deletes the variables of values that nobody reads any more."""
        fresh, self.fresh = self.fresh, []
        if i == len(self.deeds) - 1:
            return
        given = [name for value in deed.gives for name in self.targets(i, value)]
        ended = []
        for value in dict.fromkeys(deed.reads()):
            if self.variables.last[value] == i and value not in self.variables.parameters:
                name = self.variables.at(value, i)
                ended += [name] if name not in given else []
        if len(deed.gives) > 1 and any(value not in self.variables.last for value in deed.gives):
            ended.append("_")
        ended += [name for name in fresh if name not in given]
        if ended:
            self.write("del ", ", ".join(dict.fromkeys(ended)))


def is_fitted(deed: Deed) -> bool:
    """Whether a join brings values to one extent: one value alone has it."""
    return deed.step.fit is not None and len({each for each in deed.takes if not isinstance(each, Number)}) > 1


SIGNS = {"add": "+", "sub": "-", "mul": "*"}


def padded(layer: PadChannels, value: str) -> Code:
    """What :class:`PadChannels` does, as an expression."""
    stride = layer.stride or ()
    if any(step > 1 for step in stride):
        value += f"[:, :, {', '.join(f'::{step}' if step > 1 else ':' for step in stride)}]"
    if not any(layer.channels):
        return value
    amounts = ["0"] * (2 * len(stride)) + [str(each) for each in layer.channels]
    return call("nn.functional.pad", [value, listing("(", amounts, ")")])


def types_of(deeds: list[Deed], around: Surroundings) -> dict[Value, str]:
    """The types of the values that are no tensors, as far as they are known."""
    types: dict[Value, str] = {}
    given = {value for deed in deeds for value in deed.gives}
    for deed in deeds:
        if deed.index and isinstance(deed.index[0], str) and deed.kind == "index" and deed.takes[0] not in given:
            types[deed.reads()[0]] = "dict[str, Tensor]"
        if deed.kind == "pack":
            inner = [types.get(each, "Tensor") for each in deed.takes if not isinstance(each, Number)]
            types[deed.gives[0]] = f"tuple[{', '.join(inner)}]"
        elif len(deed.gives) == 1 and not deed.index:
            known = around.types.get(id(deed.module)) if deed.kind == "part" else type_of(deed.module)
            if known is not None and known != "Tensor":
                types[deed.gives[0]] = known
    return types


def type_of(module: nn.Module | None) -> str | None:
    """The type of what a layer or function returns, if it is known to be no tensor."""
    if isinstance(module, nn.LSTM):
        return "tuple[Tensor, tuple[Tensor, Tensor]]"
    if isinstance(module, nn.RNNBase):
        return "tuple[Tensor, Tensor]"
    if isinstance(module, nn.MultiheadAttention):
        return "tuple[Tensor, Tensor | None]"
    if isinstance(module, Function):
        returned = getattr(module.function, "__annotations__", {}).get("return", Tensor)
        return None if returned in (Tensor, torch.Tensor, "Tensor", "torch.Tensor") else "Any"
    return None
