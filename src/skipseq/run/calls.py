"""What a call brings: its arguments by value, and whether a tracer watches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch._C import _get_tracing_state
from torch.compiler import is_compiling

from skipseq.check.explain import arguments_fault
from skipseq.errors import CallError, did_you_mean
from skipseq.wiring import Value, Wiring, named_by_user, reachable

from .plan import MODULE_CALL

__all__ = ["asked", "bind", "placeholders", "traced"]


def traced() -> bool:
    """Whether a tracer is at work: torch.compile or export, torch.jit.trace, or one that replaced the call of modules."""
    return is_compiling() or _get_tracing_state() is not None or nn.Module.__call__ is not MODULE_CALL


def bind(wiring: Wiring, input: Any, others: Sequence[Any], values: Mapping[str, Any], what: str) -> dict[Value, Any]:
    """The arguments of a call by the values that they are.

    Raises:
        CallError: if one is missing, unknown or given twice.
    """
    positional = others if input is ... else (input, *others)
    if len(positional) > len(wiring.inputs):
        raise CallError(
            f"{what} was called with {len(positional)} inputs in order, and has {len(wiring.inputs)}.\n"
            f"  its inputs: {', '.join(wiring.inputs)}\n  Pass values that its words need by keyword."
        )
    given = dict(zip(wiring.inputs, positional, strict=False))
    if twice := [name for name in values if name in given]:
        raise CallError(f"{what} was called with {twice[0]!r} twice.\n  Write it once: in order, or by keyword.")
    given.update(values)
    if (fault := arguments_fault(wiring, list(given), what)) is not None:
        raise fault
    places = dict(zip(wiring.inputs, range(len(wiring.inputs)), strict=True)) | dict(wiring.needs)
    return {places[name]: value for name, value in given.items()}


def placeholders(wiring: Wiring, input: Any, others: Any, values: Any) -> dict[str, Any]:
    """The other inputs and the needs where torch.fx traces the root.

    It passes one stand-in for all of ``*others`` and one for ``**values``; the graph gets an input for each name instead.
    """
    tracer = others.tracer
    for unknown in (others, values):
        tracer.graph.erase_node(unknown.node)
    first, *rest = [*wiring.inputs, *wiring.needs]
    input.node.target, input.node.args = first, ()
    names = {name: name if name.isidentifier() else f"value_{name.replace('.', '_')}" for name in rest}
    return {name: tracer.create_proxy("placeholder", target, (), {}) for name, target in names.items()}


def asked(wiring: Wiring, names: Iterable[str]) -> tuple[str, ...]:
    """The paths of the values that are asked for by name; a label saved in one part alone needs no path.

    Raises:
        CallError: if a name leads to no value of the sequence, or to several.
    """
    paths, faults = [], []
    for name in names:
        saves = (name,) if reachable(wiring, name) else wiring.labels.get(name, ())
        paths.append(saves[0] if saves else name)
        if len(saves) > 1:
            faults.append(
                f"  {name!r} is saved at {' and at '.join(map(repr, saves))}. Write the path of the one that is meant."
            )
        elif not saves:
            faults.append(f"  {name!r} names no value of this sequence.{did_you_mean(name, known_names(wiring))}")
    if faults:
        raise CallError("\n".join(["values were asked for that cannot be given.", *faults]))
    return tuple(paths)


def known_names(wiring: Wiring) -> set[str]:
    """Names that may have been meant."""
    return set(filter(named_by_user, wiring.names)) | {path for paths in wiring.labels.values() for path in paths}
