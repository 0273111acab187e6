"""The slow reference: a wiring, step by step, over a dictionary of values.

Every faster way to run a wiring is compared with this one. It is also what tracers see (``torch.compile``, ``torch.export``,
``torch.fx``, ``torch.jit.trace``): each layer and each part is called as the module it is, values are passed explicitly,
and there is nothing to look up but the children.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from skipseq.declare.containers import child_at
from skipseq.errors import CallError
from skipseq.joins import join
from skipseq.wiring import Join, Layer, Number, Operand, Part, Pick, Split, Value, Wiring, place_of, reaching

__all__ = ["RETURN", "refuse_closed", "walk"]

#: The keyword that asks a part for inner values besides its result. No label can be a keyword of Python.
RETURN = "return"


def walk(container: nn.Module, wiring: Wiring, values: dict[Value, Any]) -> Any:
    """Runs the wiring of a container over its values; ``values`` holds the inputs and needs."""
    for step in wiring.steps:
        takes = [read(values, operand) for operand in step.takes]
        if isinstance(step, Layer):
            named = {name: read(values, operand) for name, operand in step.named}
            given = (child_at(container, step.path)(*takes, **named),)
        elif isinstance(step, Part):
            named = {name: read(values, operand) for name, operand in (*step.named, *step.needs)}
            given = walk_part(child_at(container, step.path), step, takes, named)
        elif isinstance(step, Join):
            given = (join(step, takes),)
        elif isinstance(step, Pick):
            given = (takes[0][step.choice],)
        else:
            assert isinstance(step, Split)
            given = tuple(takes[0][i] for i in range(len(step.gives)))
        for value, result in zip(step.gives, given, strict=True):
            values[value] = result
    return results(wiring, values)


def walk_part(module: nn.Module, step: Part, takes: list[Any], named: dict[str, Any]) -> tuple[Any, ...]:
    """A part is called as the module it is; a plain one that a skip crosses can only be walked."""
    if not step.plain or not (named or step.wants):
        if not step.wants:
            return (module(*takes, **named),)
        return module(*takes, **named, **{RETURN: step.wants})  # type: ignore[no-any-return]
    refuse_closed(module, step, hooks=True)
    inner = reaching(step.wiring, step.wants)
    values = dict(enumerate(takes)) | {inner.needs[name]: value for name, value in named.items()}
    given = walk(module, inner, values)
    return given if step.wants else (given,)


def refuse_closed(module: nn.Module, step: Part, hooks: bool = False) -> None:
    """Refuses a plain sequence that a skip crosses, if it has to be called as the module it is.

    Raises:
        CallError: if it is in a wrapper, compiled, has a forward of its own or, where they count, hooks.
    """
    hooked = hooks and (
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
    own = type(module).forward is not nn.Sequential.forward or "forward" in module.__dict__
    if own or hooked or module._compiled_call_impl is not None:
        names = ", ".join(repr(name) for name in (*step.wants, *(name for name, _ in step.needs)))
        raise CallError(
            f"net{place_of(step)} is a plain nn.Sequential that a skip crosses ({names}), and cannot be called.\n"
            f"  It takes and gives one value only, and {type(module).__name__} has to be called as a whole: it is wrapped,\n"
            "  compiled, or has a forward or hooks of its own.\n"
            "  Write skipseq.Sequential(...) instead of it, which passes skips on."
        )


def results(wiring: Wiring, values: dict[Value, Any]) -> Any:
    """What the container returns: its result, and what is wanted behind it."""
    result = wiring.result
    given = tuple(values[each] for each in result) if isinstance(result, tuple) else values[result]
    return (given, *(values[each] for each in wiring.wanted)) if wiring.wanted else given


def read(values: dict[Value, Any], operand: Operand) -> Any:
    """The value of an operand."""
    return operand.value if isinstance(operand, Number) else values[operand]
