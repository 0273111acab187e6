"""Plain sequences that a skip crosses: in a network of ours, one of ours takes the place of each.

    encoder = nn.Sequential(conv, relu, conv)           the user's: not changed
    net = Sequential(("encoder", encoder), ..., cat("encoder.1"))
    net.encoder                                         one of ours: the same layers, keys and hooks

A plain sequence gives one value, so something has to give the other ones. One of ours does it in every circumstance: with
hooks, under a tracer, in a wrapper put around it later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import nn

from skipseq.declare.compose import compose
from skipseq.declare.containers import Container, child_at, children_of, inside, is_plain
from skipseq.declare.words import Word
from skipseq.errors import WiringError
from skipseq.wiring import Part, Wiring, place_of, reaching

__all__ = ["Of", "open_crossed"]

#: What makes one of ours of a plain sequence.
Of: TypeAlias = Callable[[Any], nn.Module]


def open_crossed(
    keyed: Mapping[str, nn.Module], wiring: Wiring, outputs: Any, what: str, of: Of
) -> tuple[dict[str, nn.Module], Wiring]:
    """The children of a container, with those exchanged that a skip crosses, and their wiring.

    Raises:
        WiringError: if a skip crosses what cannot be exchanged.
    """
    if not (closed := crossings(wiring)):
        return dict(keyed), wiring
    if faults := [fault for step in closed for fault in refusals(keyed, step)]:
        raise WiringError(what, faults)
    opened = exchanged(keyed, wiring, of)
    return opened, compose(opened, wiring.inputs if wiring.closed else None, outputs, what)


def crossings(wiring: Wiring) -> list[Part]:
    """The steps of this container in which a skip crosses a plain sequence, at any depth."""
    return [step for step in wiring.steps if isinstance(step, Part) and (is_crossed(step) or crossings(inner(step)))]


def is_crossed(step: Part) -> bool:
    """Whether a value goes into a plain sequence, or out of it, beside the running value."""
    return step.plain and bool(step.wants or step.needs)


def inner(step: Part) -> Wiring:
    """The wiring of a part, in which what is wanted of it is wanted of its parts."""
    return reaching(step.wiring, step.wants)


def exchanged(keyed: Mapping[str, nn.Module], wiring: Wiring, of: Of) -> dict[str, nn.Module]:
    """The children of a container with those in the place of which one of ours has to stand."""
    made: dict[int, nn.Module] = {}
    for step in crossings(wiring):
        old = child_at(keyed[step.path[0]], step.path[1:])
        made[id(old)] = with_opened(old, step, of, made.get(id(old)))
    children = dict(keyed)
    for key, child in keyed.items():
        if id(child) in made:  # at each of its places, if there are several
            children[key] = made[id(child)]
        elif isinstance(child, Word) and any(id(layer) in made for layer in child.children()):
            children[key] = child.twin()
            children[key]._modules.update({name: made.get(id(layer), layer) for name, layer in child._modules.items()})
    return children


def with_opened(module: nn.Module, step: Part, of: Of, opened: nn.Module | None = None) -> nn.Module:
    """A part that takes the place of another one: it shares the layers, and is open where skips cross it.

    One that stands at another place too may be ``opened`` already, for what crosses it there.
    """
    part = opened or (of(module) if is_plain(module) else module)
    if not isinstance(part, Container):
        return module  # in a wrapper, where ours calls what is inside it
    children = exchanged(children_of(part), inner(step), of)
    if all(child is part._modules[key] for key, child in children.items()):
        return part
    return part._derived(children, getattr(part, "_inputs", None), getattr(part, "_outputs", None))


def refusals(keyed: Mapping[str, nn.Module], step: Part, outer: str = "") -> list[str]:
    """Why the plain sequences in a part that skips cross cannot be exchanged, if they cannot."""
    module = child_at(keyed[step.path[0]], step.path[1:])
    place, container = outer + place_of(step), inside(module)
    faults = []
    if is_crossed(step) and (reason := reason_against(module, container)):
        names = ", ".join(repr(name) for name in (*step.wants, *(name for name, _ in step.needs)))
        faults.append(
            f"net{place} is a plain nn.Sequential that a skip crosses ({names}), and {reason}.\n"
            "  So it gives one value only. Write skipseq.Sequential(...) instead of it, which passes skips on."
        )
    for each in crossings(inner(step)) if not faults else ():
        faults += refusals(children_of(container), each, place)
    return faults


def reason_against(module: nn.Module, container: nn.Module) -> str | None:
    """Why a plain sequence has to be called as the module that it is, if it has to."""
    if container is not module:
        return f"is inside {type(module).__name__}"
    if "forward" in module.__dict__:
        return "has a forward of its own"
    return "was compiled by itself" if module._compiled_call_impl is not None else None
