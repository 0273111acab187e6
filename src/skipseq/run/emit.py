"""The program of a tree as Python text: one line for each layer, in the order of the calls.

    def run(x, given, counted):
        x = layer_0(x)                          nn.Conv2d, then save("x1")
        x1 = x                                  a value that is read later has a name of its own,
        try:                                    and the count of its changes in place
            n1 = x._version if counted else None
        except Uncounted:
            n1 = None
        x = layer_1(x)
        if n1 is not None and n1 != x1._version:
            raise Overwritten(1)
        x = cat((x, x1), 1)                     cat("x1"), the last reader of x1
        del x1
        return x

The running value is always ``x``. Every name but ``x`` is deleted behind its last reader, so that a value lives no longer than
it is needed. The names of layers are globals of the text: nothing is looked up while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from skipseq.flatten import Operation, Place
from skipseq.joins import Misfit, fitting
from skipseq.wiring import Join, Number, Operand, Pick, Value

__all__ = ["Emitter", "Overwritten", "Unsplit"]


class Overwritten(Exception):
    """A kept value was changed in place since it was kept."""


def refuse_misfit(*values: Any) -> None:
    """Raises if the shapes of tensors differ; other values have none."""
    if len({value.shape for value in values if isinstance(value, torch.Tensor)}) > 1:
        raise Misfit


#: What has no count of changes in place: values that are no tensors, and tensors made in inference mode.
Uncounted = (AttributeError, RuntimeError)


@dataclass(slots=True)
class Emitter:
    """Writes the text for a line of operations; ``places`` tells for each line of it which operation it belongs to.

    ``function_of`` gives what is called for a layer or a part.
    """

    operations: list[Operation]
    function_of: Callable[[Operation], Any]
    results: tuple[Value, ...]
    current: Value
    single: bool
    wanted: int
    lines: list[str] = field(default_factory=list)
    places: list[tuple[Place, tuple[str, ...]] | None] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    kept: set[Value] = field(default_factory=set)
    last: dict[Value, int] = field(default_factory=dict)
    shapes: dict[Value, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names.update(
            Uncounted=Uncounted,
            Overwritten=Overwritten,
            cat=torch.cat,
            refuse_misfit=refuse_misfit,
        )
        for i, operation in enumerate(self.operations):
            self.last.update(dict.fromkeys(operation.reads(), i))
        self.last.update(dict.fromkeys(self.results, len(self.operations)))

    def text(self, given: dict[Value, Value]) -> str:
        """The whole text; ``given`` leads from the inputs and needs of a call to values of the line."""
        self.write("def run(x, given, counted):")
        for value, start in given.items():
            if start != self.current and start in self.last:
                self.write(f"    k{start} = given[{value}]")
                self.count(start, f"k{start}")
        self.keep(self.current, 0)
        for i, operation in enumerate(self.operations):
            self.load(i, operation)
            met = tuple(self.name(operand) for operand in operation.place.operands)
            place = (operation.place, met)
            self.check(i, operation, place)
            fits = self.fit(i, operation, place)
            self.write(self.line(i, operation, fits), place)
            self.give(i, operation)
            ended = [f"k{v}" for v in dict.fromkeys(operation.reads()) if self.last[v] == i and v in self.kept]
            ended += [name for name in fits.values() if name.startswith("t")]
            if ended:
                self.write(f"    del {', '.join(ended)}")
        self.end()
        return "\n".join(self.lines) + "\n"

    def write(self, line: str, place: tuple[Place, tuple[str, ...]] | None = None) -> None:
        """A line of the text, and the operation that it belongs to."""
        self.lines.append(line)
        self.places.append(place)

    def name(self, operand: Operand) -> str:
        """The variable that holds an operand."""
        if isinstance(operand, Number):
            return self.constant(operand.value)
        return "x" if operand == self.current else f"k{operand}"

    def constant(self, value: Any) -> str:
        """A global of the text for something that does not change."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def keep(self, value: Value, i: int) -> None:
        """Gives the running value a name if someone reads it who does not find it running at operation ``i``."""
        while i < len(self.operations) and self.operations[i].kind == "split":
            i += 1  # a split lets the running value run on
        if self.last.get(value, -1) > i:
            self.write(f"    k{value} = x")
            self.count(value, "x")

    def count(self, value: Value, name: str) -> None:
        """Remembers how often a kept value was changed in place."""
        self.kept.add(value)
        self.write("    try:")
        self.write(f"        n{value} = {name}._version if counted else None")
        self.write("    except Uncounted:")
        self.write(f"        n{value} = None")

    def load(self, i: int, operation: Operation) -> None:
        """Makes sure that the running value is one of the operands, so that no dead one is held meanwhile."""
        values = operation.reads()
        if values and self.current not in values:
            first = values[0]
            if self.last[first] == i:
                self.check_count(first, (operation.place, ("x",)))
            self.write(f"    x = k{first}")
            if self.last[first] == i:
                self.write(f"    del k{first}")
                self.kept.discard(first)
            self.current = first

    def check(self, i: int, operation: Operation, place: tuple[Place, tuple[str, ...]]) -> None:
        """What must be true before an operation: kept values unchanged, and for some joins equal shapes."""
        for value in dict.fromkeys(operation.reads()):
            if self.last[value] == i and value in self.kept:
                self.check_count(value, place)
        step = operation.place.chain[-1][2]
        if operation.kind == "join" and step.operator != "cat" and not step.broadcast and step.fit is None:
            self.check_shapes(i, operation, place)

    def check_shapes(self, i: int, operation: Operation, place: Any) -> None:
        """Values that are joined element by element have equal shapes, and the result has it too: it is asked for once."""
        values = [operand for operand in operation.takes if not isinstance(operand, Number)]
        first = next((value for value in values if value in self.shapes), values[0])
        shape = self.shapes.setdefault(first, f"s{i}")
        self.shapes[operation.gives[0]] = shape
        others = [self.shapes.get(value, f"{self.name(value)}.shape") for value in values if value != first]
        others = [other for other in others if other != shape]
        if not others and shape != f"s{i}":
            return
        self.write("    try:")
        if shape == f"s{i}":
            self.write(f"        {shape} = {self.name(first)}.shape")
        if others:
            self.write(f"        if {' or '.join(f'{other} != {shape}' for other in others)}:")
            self.write(f"            refuse_misfit({', '.join(map(self.name, values))})", place)
        self.write("    except AttributeError:")
        self.write(f"        {shape} = None")

    def check_count(self, value: Value, place: Any) -> None:
        """A kept value must not have been changed in place when it is read for the last time."""
        self.write(f"    if n{value} is not None and n{value} != k{value}._version:", place)
        self.write(f"        raise Overwritten({value})", place)

    def fit(self, i: int, operation: Operation, place: Any) -> dict[Operand, str]:
        """Brings the operands of a join to one extent, where that was asked for, and tells the variables that hold them then.

        A changed operand takes the place of the original, unless that is read later.
        """
        step = operation.place.chain[-1][2]
        if operation.kind != "join" or step.fit is None:
            return {}
        met = [self.name(operand) for operand in operation.takes]
        held: dict[Operand, str] = {}
        for operand, name in zip(operation.takes, met, strict=True):
            if not isinstance(operand, Number):
                held[operand] = name if name == "x" or self.last[operand] == i else f"t{operand}"
        behind = "[2:]" if step.operator == "cat" or step.broadcast else ""
        first, *others = [f"{self.name(operand)}.shape{behind}" for operand in held]
        self.write("    try:")
        self.write(f"        w = {' or '.join(f'{other} != {first}' for other in others)}")
        self.write("    except AttributeError:")
        self.write("        w = True")
        for operand, name in held.items():
            if name != self.name(operand):
                self.write(f"    {name} = {self.name(operand)}")
        self.write("    if w:")
        self.write(f"        w = {self.constant(fitting(step))}({', '.join(met)})", place)
        for k, operand in enumerate(operation.takes):
            if operand in held:
                self.write(f"        if w[{k}] is not None:")
                self.write(f"            {held[operand]} = w[{k}]({held[operand]})", place)
        return held

    def line(self, i: int, operation: Operation, fits: dict[Operand, str]) -> str:
        """The line that does the operation; ``fits`` are the variables of operands that were changed before."""
        met = [fits.get(operand) or self.name(operand) for operand in operation.takes]
        step = operation.place.chain[-1][2]
        if operation.kind == "join" and isinstance(step, Join):
            if step.operator == "cat":
                return f"    x = cat(({', '.join(met)}), {step.dim})"
            return f"    x = {SIGNS[step.operator].join(met)}"
        if operation.kind == "pack":
            return f"    x = ({', '.join(met)},)"
        if operation.kind == "pick" and isinstance(step, Pick):
            return f"    x = {met[0]}[{self.constant(step.choice)}]"
        if operation.kind == "split":
            given = ", ".join(f"k{value}" for value in operation.gives)
            return f"    {given}, = {self.constant(parts)}({met[0]}, {len(operation.gives)})"
        named = [self.by_name(name, self.name(operand)) for name, operand in operation.named]
        self.names[f"f{i}"] = self.function_of(operation)
        further = "".join(f", k{value}" for value in operation.gives[1:]) if operation.kind == "part" else ""
        return f"    x{further} = f{i}({', '.join(met + named)})"

    def by_name(self, name: str, value: str) -> str:
        """An argument by name; a path is no name that Python knows."""
        return f"{name}={value}" if name.isidentifier() else f"**{{{name!r}: {value}}}"

    def give(self, i: int, operation: Operation) -> None:
        """What the operation gave gets its name."""
        further = operation.gives
        if operation.kind != "split":
            self.current = operation.gives[0]
            self.keep(self.current, i + 1)
            further = operation.gives[1:]
        for value in further:
            if value in self.last:
                self.count(value, f"k{value}")
            else:
                self.write(f"    del k{value}")

    def end(self) -> None:
        """What is returned."""
        for value in dict.fromkeys(self.results):
            if value in self.kept and value != self.current:
                self.check_count(value, None)
        met = [self.name(value) for value in self.results]
        own = met[: len(met) - self.wanted]
        result = own[0] if self.single else f"({', '.join(own)},)"
        self.write(f"    return {', '.join([result, *met[len(own) :]])}")


SIGNS = {"add": " + ", "sub": " - ", "mul": " * "}


class Unsplit(Exception):
    """A value has not the parts that a save names."""


def parts(value: Any, count: int) -> tuple[Any, ...]:
    """The parts of a tuple, if there are so many."""
    if not isinstance(value, tuple | list) or len(value) != count:
        raise Unsplit
    return tuple(value)
