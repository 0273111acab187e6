"""Sequential: an ``nn.Sequential`` whose entries may be words."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import nn

from skipseq.declare.compose import compose
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import children_of, is_sequence
from skipseq.declare.entries import Children, is_automatic, read_entries
from skipseq.declare.words import describe
from skipseq.errors import CallError, WiringError
from skipseq.views.text import format_sequence
from skipseq.wiring import Wiring, reaching

from . import editing
from .calls import asked, bind, placeholders, traced
from .derive import needed_children
from .plan import Plan
from .program import execute
from .rewired import Rewired
from .walk import RETURN, walk

__all__ = ["Sequential"]


class Sequential(Rewired):
    """A sequence of layers in which a layer may receive earlier values too.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, cat, save
    >>> net = Sequential(
    ...     nn.Conv2d(3, 16, 4, 2, 1), save("x1"),
    ...     nn.Conv2d(16, 32, 4, 2, 1),
    ...     nn.ConvTranspose2d(32, 16, 4, 2, 1), cat("x1"),
    ...     nn.ConvTranspose2d(32, 3, 4, 2, 1),
    ... )
    >>> net(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 3, 16, 16])

    It is an ``nn.Sequential``: layers have the keys that they would have there, and a checkpoint of the plain network
    loads into the one with skips.

    Args:
        entries: layers, plain functions, words, and pairs ``("name", entry)``; or one dict of entries by name.
        skips: words that stand before the layers named by their keys, ``"output"`` meaning the end:
            ``skips={"linear4": cat("linear2", here)}``; a path leads into a part, ``"decoder.2"``. Or :func:`skipseq.mirror`,
            or a list of both.
        inputs: the names of several inputs. The running value starts as the first; every name must then be found inside.
        outputs: the name of the value to return, or several names for a tuple of values.

    Raises:
        WiringError: with every fault of the wiring that can be known now.
    """

    def __init__(
        self,
        *entries: Any,
        skips: Any = None,
        inputs: Iterable[str] | None = None,
        outputs: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        faults: list[str] = []
        if len(entries) == 1 and isinstance(entries[0], Mapping):
            entries = tuple(entries[0].items())
        children = read_entries(entries, faults, type(self))
        if skips:
            children = editing.place_skips(children, skips, faults, Sequential.of)
        self._inputs = editing.read_names(inputs, "inputs", faults)
        self._outputs = outputs if isinstance(outputs, str) else editing.read_names(outputs, "outputs", faults)
        keyed = editing.numbered(children, faults)
        keyed, wiring = editing.compose_all(keyed, self._inputs, self._outputs, faults, type(self).__name__, Sequential.of)
        self._modules.update(keyed)
        self._adopt(wiring)

    # Running

    def forward(self, input: Any = ..., *others: Any, **values: Any) -> Any:
        """Runs the layers in order, each word where it stands.

        Args:
            input: the first input; ``others`` are the further ones of ``inputs=``, in order or by name.
            values: inputs and needs by name.

        Raises:
            CallError: if a needed value is missing or an unknown one is given.
            ShapeError: if a join meets values of different shapes.
            DeviceError: if a join meets values on different devices.
            OverwriteError: if a value was changed in place before its reader.
        """
        if traced():
            return self._walk(input, others, values)
        plan: Plan | None = self.__dict__.get("_plan")
        called = None if plan is None else plan.look(self)
        if plan is None or called is None:
            plan = self._put_together()
            called = plan.look(self) or frozenset()
        if plan.simple and not values and not others and input is not ...:
            usual = plan.usual if called is plan.always else None
            return execute(self, usual or plan.program(self, (), called), input, None)
        wants = values.pop(RETURN, ())
        given = bind(plan.wiring, input, others, values, type(self).__name__)
        return execute(self, plan.program(self, wants, called), given[0], given)

    def _walk(self, input: Any, others: Any, values: Any) -> Any:
        """Runs the wiring step by step, every part as the module it is: what tracers see."""
        wiring = self.wiring
        if type(others) is not tuple:
            others, values = (), placeholders(wiring, input, others, values)
        if not others and not values and len(wiring.inputs) == 1 and not wiring.needs and input is not ...:
            return walk(self, wiring, {0: input})
        wants = values.pop(RETURN, ())
        return walk(self, reaching(wiring, wants), bind(wiring, input, others, values, type(self).__name__))

    def record(self, input: Any = ..., *names: Any, **values: Any) -> tuple[Any, dict[str, Any]]:
        """Runs the sequence and returns its output with a dictionary of named values of this pass.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential, save
        >>> net = Sequential(("conv1", nn.Conv2d(3, 8, 3)), nn.ReLU(), save("h"), nn.Conv2d(8, 4, 3))
        >>> y, seen = net.record(torch.zeros(1, 3, 8, 8), "conv1", "h")
        >>> {name: tuple(value.shape) for name, value in seen.items()}
        {'conv1': (1, 8, 6, 6), 'h': (1, 8, 6, 6)}

        Args:
            input: the first input.
            names: labels, names of entries, or dotted paths into parts.
            values: further inputs and needs, by name.

        Raises:
            CallError: if a name leads nowhere, or an input is missing.
        """
        others = [name for name in names if not isinstance(name, str)]
        wanted = tuple(name for name in names if isinstance(name, str))
        if not wanted:
            return self(input, *others, **values), {}
        result, *found = self(input, *others, **values, **{RETURN: asked(self.wiring, wanted)})
        return result, dict(zip(wanted, found, strict=True))

    @property
    def wiring(self) -> Wiring:
        """The wiring of this sequence, verified against its children as they are now."""
        plan: Plan | None = self.__dict__.get("_plan")
        if plan is None or not plan.holds(self):
            if torch.compiler.is_compiling():
                return self._resolved()  # and not kept: while tracing, that would be a side effect of the network
            plan = self._put_together()
        return plan.wiring

    def _put_together(self) -> Plan:
        """Resolves the names anew and makes the plan for the tree as it is now."""
        return self._adopt(self._resolved())

    def _resolved(self) -> Wiring:
        """The wiring of the children as they are now."""
        empty = [f"net has None under {key!r}. Write nn.Identity()." for key, c in self._modules.items() if c is None]
        if empty:
            raise WiringError(type(self).__name__, empty)
        old: Plan | None = self.__dict__.get("_plan")
        wiring = compose(children_of(self), self._inputs, self._outputs, type(self).__name__)
        if old is not None and (faults := old.moved(self, wiring)):
            raise WiringError(type(self).__name__, faults)
        return wiring

    def _adopt(self, wiring: Wiring) -> Plan:
        plan = Plan(self, wiring)
        self.__dict__["_plan"] = plan
        return plan

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}

    # Other sequences from this one

    @classmethod
    def of(
        cls,
        existing: nn.Sequential,
        skips: Any = None,
        outputs: str | Iterable[str] | None = None,
    ) -> Self:
        """A sequence with the layers, keys and hooks of an existing one, and skips.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        >>> net = Sequential.of(plain, skips={"output": add("0")})
        >>> list(net.state_dict()) == list(plain.state_dict())
        True

        Args:
            existing: a sequence without a forward of its own; it is not changed.
            skips: words that stand before the layers named by their keys, as in the constructor.
            outputs: as in the constructor.

        Raises:
            WiringError: if the words do not fit, or the sequence has a forward of its own.
        """
        if not (isinstance(existing, nn.Module) and is_sequence(existing)):
            what = constructor(existing) if isinstance(existing, nn.Module) else describe(existing)
            advice = "Its layers are known only for an nn.Sequential; write the others as Sequential(layer, ...)."
            raise WiringError(cls.__name__, [f"Sequential.of({what}): not a sequence that calls its layers.\n  {advice}"])
        faults: list[str] = []
        children: Children = list(children_of(existing).items())
        if skips:
            automatic: Children = [(None if is_automatic(key or "", child) else key, child) for key, child in children]
            children = list(editing.place_skips(automatic, skips, faults, cls.of))
        inputs = getattr(existing, "_inputs", None)
        given = outputs if isinstance(outputs, str) else editing.read_names(outputs, "outputs", faults)
        keyed = editing.numbered(children, faults)
        outputs = given or getattr(existing, "_outputs", None)
        keyed, _ = editing.compose_all(keyed, inputs, outputs, faults, cls.__name__, Sequential.of)
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net.__dict__.update({name: value for name, value in vars(existing).items() if name != "_plan"})
        net._modules = keyed
        net._inputs, net._outputs = inputs, outputs
        return net

    def with_outputs(self, *names: str) -> Self:
        """The same network, sharing its layers, with other outputs: one value for one name, a tuple for several.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential
        >>> net = Sequential(("h1", nn.Linear(4, 3)), ("h2", nn.Linear(3, 2)))
        >>> h2, h1 = net.with_outputs("h2", "h1")(torch.zeros(1, 4))
        >>> h1.shape, h2.shape
        (torch.Size([1, 3]), torch.Size([1, 2]))

        Raises:
            CallError: if a name leads nowhere.
        """
        if not names:
            raise CallError("with_outputs() names no output.\n  Write with_outputs('h1', 'h2').")
        asked(self.wiring, names)
        return self._derived(dict(self._modules), self._inputs, names[0] if len(names) == 1 else names or None)

    def upto(self, name: str) -> Self:
        """The part of the network that is needed for one value, sharing its layers; it returns that value.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential
        >>> net = Sequential(nn.Linear(4, 3), ("h", nn.ReLU()), nn.Linear(3, 2))
        >>> print(net.upto("h"))
        Sequential(
            nn.Linear(4, 3),
            ('h', nn.ReLU()),
            outputs='h',
        )

        Raises:
            CallError: if the name leads nowhere.
        """
        children = needed_children(self, asked(self.wiring, (name,)))
        return self._derived(children, self._inputs, name)

    def repeat(self, count: int) -> Self:
        """The sequence several times in one line, each time with weights of its own; ``net * count`` shares them.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> block = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input"))
        >>> len(list(block.repeat(3).parameters())), len(list((block * 3).parameters()))
        (6, 2)
        """
        editing.check_count(self, count)
        result = self._derived(copy.deepcopy(dict(self._modules)), self._inputs, self._outputs)
        for _ in range(count - 1):
            result += copy.deepcopy(self)
        return result

    # Printing

    def as_words(self) -> str:
        """The sequence in plain words, with its blocks written out.

        >>> from torch import nn
        >>> from skipseq import Residual
        >>> print(Residual(nn.Linear(8, 8), nn.ReLU()).as_words())
        Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
            add('input'),  # <- input
        )
        """
        return format_sequence(self, expand=True)

    def __repr__(self) -> str:
        return format_sequence(self)
