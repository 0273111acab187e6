"""Which variable holds each value of a forward, and when.

The running value is ``x``. A value is put into it if what comes next reads it, or if what was there is not needed any more. A
value that is read when ``x`` holds another one has a name of its own, the one that the user gave it where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skipseq.flatten import Line
from skipseq.wiring import AUTOMATIC, Value, Wiring, named_by_user

from .names import Names
from .operations import Deed

__all__ = ["Variables", "parameter_names", "place_values"]


@dataclass(slots=True)
class Variables:
    """Where values are.

    Args:
        running: the name of the running value.
        parameters: the variables of the inputs and needs.
        in_running: for each deed, which of its values is put into ``x``, if one is.
        holds: what ``x`` holds when a deed begins; behind the last one, what it holds at the end.
        names: the variables of their own.
        last: the last deed that reads each value; the number of deeds stands for the end.
    """

    running: str
    parameters: dict[Value, str]
    in_running: list[Value | None]
    holds: list[Value | None]
    names: dict[Value, str] = field(default_factory=dict)
    last: dict[Value, int] = field(default_factory=dict)
    taken: Names = field(default_factory=Names)

    def at(self, value: Value, i: int) -> str:
        """The variable from which deed ``i`` reads a value."""
        return self.running if self.holds[i] == value else self.names[value]


def parameter_names(wiring: Wiring) -> dict[str, str]:
    """The parameters of a forward, by the names of the inputs and needs."""
    names = Names()
    inputs = ("x",) if wiring.inputs == ("input",) else wiring.inputs
    given = dict(zip(wiring.inputs, map(names.new, inputs), strict=True))
    return given | {need: names.new(need) for need in wiring.needs}


def place_values(
    line: Line,
    wiring: Wiring,
    deeds: list[Deed],
    given: Mapping[Value, Value],
    results: tuple[Value, ...],
    apart: set[Value],
    reserved: set[str],
) -> Variables:
    """Decides where each value of a forward is.

    Args:
        line: its operations.
        wiring: its wiring.
        deeds: what it does.
        given: the values of its inputs and needs, by those of the wiring.
        results: the values that it returns.
        apart: values that are no tensors, and therefore never in ``x``.
        reserved: names that no variable may have.
    """
    known = parameter_names(wiring)
    numbers = {**{name: i for i, name in enumerate(wiring.inputs)}, **wiring.needs}
    parameters = {given[number]: known[name] for name, number in numbers.items()}
    others = list(parameters.values())[1:]
    if given[0] in apart:  # a mapping: it cannot be the running value
        parameters[given[0]] = "inputs" if wiring.inputs == ("input",) else parameters[given[0]]
        others.append(parameters[given[0]])
    running = next(name for name in ("x", "h", "y", "z", *(f"x_{k}" for k in range(len(others)))) if name not in others)
    last: dict[Value, int] = {}
    for i, deed in enumerate(deeds):
        last.update(dict.fromkeys(deed.reads(), i))
    last.update(dict.fromkeys(results, len(deeds)))
    first = given[0]
    start = first if parameters[first] == running else None
    variables = Variables(running, parameters, [], [start], dict(parameters), last, Names({*reserved, running, *others}))
    if parameters[first] != running:
        variables.taken.taken.add(parameters[first])
    fill_running(variables, deeds, results, apart, start)
    name_values(variables, line, wiring, deeds, results, apart, start)
    return variables


def fill_running(
    variables: Variables, deeds: list[Deed], results: tuple[Value, ...], apart: set[Value], start: Value | None
) -> None:
    """Decides what ``x`` holds at each time."""
    last, holds = variables.last, variables.holds
    for i, deed in enumerate(deeds):
        held = holds[i]
        following = [value for reader in next_readers(deeds, i) for value in reader.reads()] or list(results)
        read = [value for value in deed.gives if value in last and value not in apart]
        # What was passed is held by the caller in any case.
        free = held is None or last.get(held, -1) <= i
        wanted = [value for value in read if value in following]
        chosen: Value | None = None
        if wanted and (free or (deed.is_main() and deed.kind != "split")):
            chosen = wanted[0]
        elif read and free and held is not None and held != start:
            chosen = read[0]
        variables.in_running.append(chosen)
        holds.append(held if chosen is None else chosen)


def next_readers(deeds: list[Deed], i: int) -> list[Deed]:
    """The deed behind one, and the next one through which the running value goes; nothing at the end."""
    main = next((deed for deed in deeds[i + 1 :] if deed.is_main()), None)
    return [*deeds[i + 1 : i + 2], *([main] if main is not None else [])]


def name_values(
    variables: Variables,
    line: Line,
    wiring: Wiring,
    deeds: list[Deed],
    results: tuple[Value, ...],
    apart: set[Value],
    start: Value | None,
) -> None:
    """Gives a name to each value that ``x`` does not hold whenever it is read."""
    births: dict[Value, int] = {} if start is None else {start: -1}
    births |= {value: i for i, deed in enumerate(deeds) for value in deed.gives}
    alone: set[Value] = set()
    for i, reads in enumerate([*(deed.reads() for deed in deeds), list(results)]):
        alone |= {value for value in reads if variables.holds[i] != value and (value == start or value in births)}
    chosen = Chosen(line, wiring, deeds, variables, apart)
    for value in sorted(alone, key=lambda each: births[each]):
        variables.names[value] = chosen.name(value, births[value])


class Chosen:
    """Chooses the names of variables."""

    def __init__(self, line: Line, wiring: Wiring, deeds: list[Deed], variables: Variables, apart: set[Value]) -> None:
        self.apart = apart
        self.names = line.names
        self.deeds = deeds
        self.variables = variables
        self.labels = labels_of(line, wiring)
        #: Names that say what a value is for, and until when they are in use.
        self.until: dict[str, int] = {}
        self.count: dict[str, int] = {}
        for value in line.names:
            for name in {keys[-1] for keys in self.known(value)[:1]}:
                self.count[name] = self.count.get(name, 0) + 1

    def known(self, value: Value) -> list[tuple[str, ...]]:
        """The names that the user has for a value, labels first, and of these the shortest."""
        found = [keys for keys in self.names.get(value, ()) if named_by_user(keys[-1]) and keys[-1] != "input"]
        return sorted(dict.fromkeys(found), key=lambda keys: (keys not in self.labels, len(keys)))

    def name(self, value: Value, birth: int) -> str:
        """The name of a value that is given by the deed at ``birth``."""
        if known := self.known(value):
            keys = known[0]
            return self.variables.taken.new(keys[-1] if self.count[keys[-1]] == 1 else "_".join(keys))
        return self.reused(self.purpose(value, birth), birth, self.variables.last[value])

    def purpose(self, value: Value, birth: int) -> str:
        """A name for a value that the user did not name."""
        readers = [deed for i, deed in enumerate(self.deeds) if value in deed.reads() and self.variables.holds[i] != value]
        crosses = any(len(keys) > 1 for keys in self.names.get(value, ()))  # it is born in a part that runs in place
        own = birth < 0 or (self.deeds[birth].is_main() and not crosses)
        if own and readers and all(is_sum(deed, value) for deed in readers):
            return "identity"
        if birth < 0:
            return "x0"
        if value in self.apart:
            return "outputs"
        if not self.deeds[birth].is_main() and self.deeds[birth].kind != "split":
            key = self.deeds[birth].step.key
            return key if named_by_user(key) else "branch"
        numbers = [keys for keys in self.names.get(value, ()) if keys[-1].isdigit() or AUTOMATIC.fullmatch(keys[-1])]
        if numbers:
            keys = min(numbers, key=len)
            return f"x{keys[0]}" if len(keys) == 1 and keys[0].isdigit() else "_".join(keys)
        return "value"

    def reused(self, name: str, birth: int, last: int) -> str:
        """The name, which serves again when the value that had it is gone."""
        base, count = name, 1
        while self.until.get(name, -2) > birth or (name not in self.until and name in self.variables.taken.taken):
            count += 1
            name = f"{base}{'_' * base[-1].isdigit()}{count}"
        if name not in self.until:
            name = self.variables.taken.new(name)
        self.until[name] = last
        return name


def is_sum(deed: Deed, value: Value) -> bool:
    """Whether a deed adds a value to others, perhaps behind layers of the same word."""
    if deed.kind != "join" or deed.step.operator != "add":
        return False
    return value in deed.takes or any(value in inner.reads() for inner in deed.inline.values())


def labels_of(line: Line, wiring: Wiring) -> set[tuple[str, ...]]:
    """The labels saved in the containers that a line runs, as keys from its root."""
    found: set[tuple[str, ...]] = {(label,) for label, paths in wiring.labels.items() if label in paths}
    for part in line.opened_parts:
        inner = part.place.chain[-1][2].wiring
        found |= {(*part.place.keys(), label) for label, paths in inner.labels.items() if label in paths}
    return found
