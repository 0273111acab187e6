"""The entries of a sequence that a value needs."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from skipseq.declare.compose import grouped
from skipseq.declare.containers import Container, children_of
from skipseq.wiring import Layer, Part, Value, Wiring, only_needed, reaching, reads

__all__ = ["needed_children"]


def needed_children(container: nn.Module, paths: tuple[str, ...]) -> dict[str, nn.Module]:
    """The children that are needed for the values at these paths; a part that gives only inner values is cut too."""
    assert isinstance(container, Container)
    wiring = values_only(container.wiring, paths)
    while again := called_again(wiring) - set(paths):
        paths += tuple(again)  # the entry of a layer that is called again stays, with what it needs
        wiring = values_only(container.wiring, paths)
    live = set(wiring.results()) | {value for step in wiring.steps for value in (*reads(step), *step.gives)}
    keys = {step.key for step in wiring.steps}
    kept: dict[str, nn.Module] = {}
    for entry in grouped(children_of(container)):
        if any(key in keys for key, _ in entry) or wiring.names[entry[-1][0]] in live:
            kept.update(entry)
    for step in wiring.steps:
        if isinstance(step, Part) and step.path == (step.key,) and step.gives[0] not in read_by(wiring):
            part = kept[step.key]
            if isinstance(part, Container):
                kept[step.key] = part._derived(needed_children(part, step.wants), part._inputs, None)
    return kept


def called_again(wiring: Wiring) -> set[str]:
    """The keys of the entries whose layers other entries call again."""
    return {step.path[0] for step in wiring.steps if isinstance(step, Layer | Part) and step.again}


def values_only(wiring: Wiring, paths: tuple[str, ...]) -> Wiring:
    """The wiring that returns these values and runs nothing else."""
    reached = reaching(wiring, paths)
    return only_needed(replace(reached, result=reached.wanted, wanted=()))


def read_by(wiring: Wiring) -> set[Value]:
    """Every value that a step or the end reads."""
    return {value for step in wiring.steps for value in reads(step)} | set(wiring.results())
