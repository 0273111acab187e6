"""Editing: every change is made to a list first, verified, and only then to the sequence.

A reference follows the entry that it names. When entries come and go the numbers of layers change, and the references
by number in the words of the same sequence change with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from torch import nn

from skipseq.declare.compose import compose, grouped
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import Container, children_of, inside, is_sequence
from skipseq.declare.entries import Children, is_automatic, number, read_entries, with_skips
from skipseq.declare.mirror import spread
from skipseq.declare.words import SaveWord, TakeWord, Word, describe
from skipseq.errors import WiringError
from skipseq.views.text import part_place
from skipseq.wiring import Part, Value, Wiring, place_of, reachable, reads

from .crossing import Of, open_crossed

__all__ = [
    "Item",
    "chained",
    "check_count",
    "checked",
    "clash",
    "compose_all",
    "items_of",
    "means_the_same",
    "numbered",
    "place_skips",
    "read_items",
    "read_names",
    "replaced",
]


@dataclass(slots=True)
class Item:
    """A child in a list that is being edited: its name if it has one, and the key that it had before."""

    child: nn.Module
    name: str | None = None
    before: str | None = None


#: Entries, each of one item, or of two where a call and its layer belong together.
Items = list[list[Item]]


def items_of(children: Mapping[str, nn.Module]) -> Items:
    """The children of a sequence as a list to edit."""
    return [
        [Item(child, None if is_automatic(key, child) else key, key) for key, child in group] for group in grouped(children)
    ]


def read_items(entries: tuple[Any, ...], owner: type) -> Items:
    """New entries for a container of the class ``owner``, as a list to edit.

    Raises:
        WiringError: for what is no entry.
    """
    faults: list[str] = []
    children = read_entries(entries, faults, owner)
    if faults:
        raise WiringError(owner.__name__, faults)
    items: Items = []
    for group in grouped({str(i): child for i, (_, child) in enumerate(children)}):
        items.append([Item(child, children[int(i)][0]) for i, child in group])
    return items


def numbered(children: Children, faults: list[str]) -> dict[str, nn.Module]:
    """The children by key; two of one name are a fault."""
    names = [name for name, _ in children if name is not None]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1) if len(set(names)) < len(names) else ():
        faults.append(f"{name!r} is the name of {names.count(name)} entries. Rename all but one of them.")
    return number(children)


def compose_all(
    keyed: Mapping[str, nn.Module],
    inputs: tuple[str, ...] | None,
    outputs: str | tuple[str, ...] | None,
    faults: list[str],
    what: str,
    of: Of,
) -> tuple[dict[str, nn.Module], Wiring]:
    """The children and their wiring, or one error with the faults known before and those found here.

    ``of`` makes the sequence that takes the place of a plain one that a skip crosses.
    """
    try:
        opened, wiring = open_crossed(keyed, compose(keyed, inputs, outputs, what), outputs, what, of)
    except WiringError as error:
        raise WiringError(what, [*faults, *error.faults]) from None
    if faults:
        raise WiringError(what, faults)
    return opened, wiring


def read_names(names: Iterable[str] | None, what: str, faults: list[str]) -> tuple[str, ...] | None:
    """The names of inputs or outputs as a tuple."""
    if names is None:
        return None
    given = (names,) if isinstance(names, str) else tuple(names)
    before = len(faults)
    for name in given:
        if not isinstance(name, str) or (what == "inputs" and (not name.isidentifier() or iskeyword(name) or name == "self")):
            faults.append(f"{what}={names!r} names {describe(name)}; write names: {what}=('x', 't').")
    if len(faults) == before and len(set(given)) < len(given) and what == "inputs":
        faults.append(f"{what}={names!r} names one input twice. Rename one of them.")
    if not given:
        faults.append(f"{what}=() names nothing. Leave it out, or name {what}.")
    return given if len(faults) == before else None


@dataclass(slots=True)
class Run:
    """Entries that come from one sequence, with the names that change in their references."""

    items: Items
    renames: dict[str, str] = field(default_factory=dict)


def renumbered(what: str, *runs: Run) -> tuple[dict[str, nn.Module], list[dict[str, str]]]:
    """The children of all runs under new keys, references rewritten, and for each run the names that changed.

    Raises:
        WiringError: if two entries have one name.
    """
    line = [(item, run) for run in runs for entry in run.items for item in entry]
    faults: list[str] = []
    keys = list(numbered([(item.name, item.child) for item, _ in line], faults))
    if faults:
        raise WiringError(what, faults)
    changes = [dict(run.renames) for run in runs]
    for (item, run), key in zip(line, keys, strict=True):
        if item.before is not None and item.before != key:
            changes[index_of(runs, run)].setdefault(item.before, key)
    keyed = {
        key: follow(item.child, changes[index_of(runs, run)]) if item.before is not None else item.child
        for (item, run), key in zip(line, keys, strict=True)
    }
    return keyed, changes


def index_of(runs: tuple[Run, ...], run: Run) -> int:
    """Which of the runs this one is; equal runs are not the same run."""
    return next(i for i, each in enumerate(runs) if each is run)


def follow(child: nn.Module, renames: Mapping[str, str]) -> nn.Module:
    """The child; if it is a word, with its references to renamed entries rewritten."""
    if not isinstance(child, Word):
        return child
    if isinstance(child, SaveWord):
        return child.renamed_labels(renames) if any(label in renames for label in child.labels) else child
    if not any(name.partition(".")[0] in renames for name in child.mentions()):
        return child
    return child.renamed(lambda name: renamed(name, renames))


def renamed(name: str, renames: Mapping[str, str]) -> str:
    """A name, or the head of a path, under its new key."""
    head, dot, rest = name.partition(".")
    return renames.get(head, head) + dot + rest


def checked(
    before: Wiring | None, items: Items, inputs: tuple[str, ...] | None, outputs: Any, what: str
) -> tuple[dict[str, nn.Module], Wiring, Any]:
    """The children, the wiring and the outputs after an edit.

    Raises:
        WiringError: if they do not fit together, or if a value would be cut from its reader.
    """
    keyed, (renames,) = renumbered(what, Run(items))
    returned = rename_outputs(outputs, renames)
    if before is None:
        return keyed, compose(keyed, inputs, returned, what), returned
    kept = {item.before for entry in items for item in entry if item.before is not None}
    if faults := [
        taken_away(f"net[{index}]", name)
        for index, entry in enumerate(items)
        for word in words_in([entry])
        for name in word.references()
        if number_gone(before, name, kept)
    ] + [
        taken_away(f" (outputs={outputs!r})", name)
        for name in ((outputs,) if isinstance(outputs, str) else outputs or ())
        if number_gone(before, name, kept)
    ]:
        raise WiringError(what, faults)
    wiring = compose(keyed, inputs, returned, what)
    faults = [
        taken_away(f"net{wiring.readers[name]}", name)
        for name in wiring.needs
        if name not in before.needs and (name in before.labels or reachable(before, name))
    ]
    faults += [
        fault
        for place, name, followed in readings(items, keyed, wiring, renames)
        if (fault := changed(place, name, meaning(before, name), meaning(wiring, followed), renames))
        or (number_gone(before, name, kept) and (fault := taken_away(place, name)))
    ]
    if faults:
        raise WiringError(what, list(dict.fromkeys(faults)))
    return keyed, wiring, returned


def taken_away(place: str, name: str) -> str:
    """The fault of an edit that takes a value from its reader."""
    advice = "Remove its readers first, or take a slice: what a slice loses becomes a need of it."
    return f"{place} reads {name!r}, which the edit would take away.\n  {advice}"


def number_gone(before: Wiring, name: str, kept: set[str]) -> bool:
    """Whether a name leads to a layer by its number, and the layer is not kept: its number may be another's now."""
    head = name.partition(".")[0]
    return head.isdigit() and head in before.names and head not in kept


def readings(
    items: Items, keyed: Mapping[str, nn.Module], wiring: Wiring, renames: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """What the entries that stay read: their place, the name before the edit, and the name behind it.

    Words are told the new numbers; what a part reads from around it keeps its name.
    """
    line = [(index, item) for index, entry in enumerate(items) for item in entry]
    stays = set()
    for key, (index, item) in zip(keyed, line, strict=True):
        if item.before is None:
            continue
        stays.add(key)
        if isinstance(item.child, Word):
            yield from ((f"net[{index}]", name, renamed(name, renames)) for name in item.child.references())
    for step in wiring.steps:
        if isinstance(step, Part) and step.key in stays:
            yield from ((f"net{place_of(step)}", name, name) for name, _ in step.needs)


def meaning(wiring: Wiring, name: str) -> str | None:
    """The path that a name leads to in a sequence, or nothing if the sequence needs it."""
    if name in wiring.names or ("." in name and reachable(wiring, name)):
        return name
    return next(iter(wiring.labels.get(name, ())), None)


def changed(place: str, name: str, old: str | None, new: str | None, renames: Mapping[str, str]) -> str | None:
    """The fault of an edit behind which a name would mean another value, or nothing."""
    # A need may be met by a label or a name, but not by a number that the edit made.
    lost = new is not None and (new.isdigit() if old is None else new != renamed(old, renames))
    if not lost:
        return None
    advice = "Give the layer a name, or save its output, and read it by that name."
    return f"{place} reads {name!r}, which would mean another value behind the edit.\n  {advice}"


def chained(first: nn.Module, second: nn.Module, what: str) -> tuple[dict[str, nn.Module], Any]:
    """The children of two sequences one after the other, and the outputs of the whole.

    Labels of the second that the first uses too get other names, and where its words say ``input``, the value between
    the two is saved and named.

    Raises:
        WiringError: if the second would mean something else behind the first.
    """
    one, two = wiring_of(first), wiring_of(second)
    line = Run(items_of(children_of(first)))
    outputs = getattr(first, "_outputs", None)
    if isinstance(outputs, tuple) or len(two.inputs) != 1:
        raise clash(what, "several values meet between the two.")
    if isinstance(outputs, str):
        line.items.append([Item(TakeWord(outputs), before="")])
    items = items_of(children_of(second))
    taken = set(one.names) | set(one.labels) | set(two.names) | set(two.needs)
    renames = {label: fresh(label, taken) for label in own_labels(items) if label in one.names or label in one.labels}
    entrance = two.inputs[0]
    if items and line.items and any(entrance in word.references() for word in words_in(items)):
        renames[entrance] = fresh("input", taken)
        line.items.append([Item(SaveWord((renames[entrance],)))])
    unique(items, one.names)
    keyed, (_, renames) = renumbered(what, line, Run(items, renames))
    given = rename_outputs(getattr(second, "_outputs", None), renames)
    try:
        whole = compose(keyed, getattr(first, "_inputs", None), given, what)
    except WiringError as error:
        raise clash(what, "\n".join(["as one line it has other values.", *error.faults])) from None
    start = one.result if isinstance(one.result, int) else 0
    if not means_the_same(two, whole, start):
        raise clash(what, "a name of the second means another value behind the first.")
    return keyed, given


def means_the_same(part: Wiring, whole: Wiring, start: int) -> bool:
    """Whether the last steps of a wiring are those of another one, each name meaning the same value."""
    steps = whole.steps[len(whole.steps) - len(part.steps) :]
    meant: dict[Value, Value] = {0: start}
    for here, there in zip(part.steps, steps, strict=True):
        wants = (getattr(here, "wants", ()), getattr(there, "wants", ()))
        mine, theirs = list(reads(here)), list(reads(there))
        if type(here) is not type(there) or wants[0] != wants[1] or len(mine) != len(theirs):
            return False
        for value, other in zip(mine, theirs, strict=True):
            if meant.setdefault(value, other) != other:
                return False
        meant.update(zip(here.gives, there.gives, strict=True))
    own = {value for step in steps for value in step.gives}
    if any(meant.get(value) in own for value in part.needs.values()):
        return False  # a number that the first does not have, and that is now one of the second's own
    results = zip(part.results(), whole.results(), strict=True)
    return all(meant.setdefault(value, other) == other for value, other in results)


def clash(what: str, why: str) -> WiringError:
    """Two sequences cannot become one line."""
    advice = "Write Sequential(first, second): as parts of a sequence both keep their own names and values."
    return WiringError(what, [f"the two sequences cannot be put into one line: {why}\n  {advice}"])


def wiring_of(sequence: nn.Module) -> Wiring:
    """The wiring of one of ours, or of a plain sequence."""
    return sequence.wiring if isinstance(sequence, Container) else compose(children_of(sequence))


def words_in(items: Items) -> list[Word]:
    return [item.child for entry in items for item in entry if isinstance(item.child, Word)]


def own_labels(items: Items) -> list[str]:
    """The labels saved by the words of these entries."""
    return [label for word in words_in(items) if isinstance(word, SaveWord) for label in word.labels]


def fresh(label: str, taken: set[str]) -> str:
    """A label like this one that is not in use, now taken."""
    number = next(i for i in range(2, len(taken) + 3) if f"{label}_{i}" not in taken)
    taken.add(f"{label}_{number}")
    return f"{label}_{number}"


def unique(items: Items, taken: Iterable[str]) -> None:
    """Leaves to the numbering what bears a name that is taken."""
    for entry in items:
        for item in entry:
            if item.name in set(taken):
                item.name = None


def rename_outputs(outputs: Any, renames: Mapping[str, str]) -> Any:
    if outputs is None or isinstance(outputs, str):
        return outputs if outputs is None else renamed(outputs, renames)
    return tuple(renamed(name, renames) for name in outputs)


def place_skips(children: Children, given: Any, faults: list[str], of: Any) -> Children:
    """The children with each word before the entry that its target names; a dotted target leads into a part.

    ``of`` makes the sequence that takes the place of such a part: the user's own is not changed.
    """
    keyed = number(children)
    skips = spread(given, keyed, faults)
    inner: dict[str, dict[str, Any]] = {}
    for target, word in skips.items():
        if not isinstance(target, str):
            faults.append(f"skips[{target!r}] names no entry: write the name of one, or 'output'.")
            continue
        head, _, rest = target.partition(".")
        if rest and head in keyed:
            inner.setdefault(head, {})[rest] = word
    for head, words in inner.items():
        part = keyed[head]
        if not is_sequence(part):
            faults.append(closed_to_skips(head, part))
            continue
        try:
            keyed[head] = of(part, skips=words)
        except WiringError as error:
            index = next(i for i, entry in enumerate(grouped(keyed)) if head in dict(entry))
            faults += [inside_part(head, index, fault) for fault in error.faults]
    outer = {t: word for t, word in skips.items() if isinstance(t, str) and t.partition(".")[0] not in inner}
    return with_skips([(None if is_automatic(key, c) else key, c) for key, c in keyed.items()], outer, faults)


def closed_to_skips(name: str, part: nn.Module) -> str:
    """Why words cannot stand inside a part."""
    if inside(part) is not part:
        why = f"is in the wrapper {type(part).__name__}"
        advice = "Give the skips first, and put the wrapper around the part of the new network."
    elif part._modules:
        why = "has a forward of its own"
        advice = "Write it as a Sequential, or let skipseq.trace(...) do that."
    else:
        why, advice = "is no sequence", "Name a layer of this sequence, or of a part of it."
    return f"skips lead into {name!r} = {constructor(part)}, which {why}.\n  {advice}"


def inside_part(name: str, index: int, fault: str) -> str:
    """A fault of a part, by its place in the sequence around it."""
    if fault.startswith("skips['"):
        return fault.replace("skips['", f"skips['{name}.", 1)
    return f"net{part_place(name, index)}{fault.removeprefix('net')}"


def replaced(old: list[Item], new: Items) -> list[Item]:
    """What stands in the place of an entry: it keeps the name and is followed by the references to it."""
    entry = new[0]
    last = entry[-1]
    last.name = last.name if last.name is not None else old[-1].name
    last.before = old[-1].before
    return entry


def check_count(sequence: nn.Module, count: Any) -> None:
    """Refuses what cannot be a number of repetitions, as ``nn.Sequential`` does."""
    if not isinstance(count, int):
        raise TypeError(f"unsupported operand type(s) for *: {type(sequence)} and {type(count)}")
    if count <= 0:
        raise ValueError(f"Non-positive multiplication factor {count} for {type(sequence)}")
