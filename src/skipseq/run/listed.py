"""A sequence as a list: reading, editing and the operators of ``nn.Sequential``, with the skips kept."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from torch import nn

from skipseq.declare.compose import compose, grouped
from skipseq.declare.containers import Container, children_of, wired_class
from skipseq.declare.words import CallWord, Word
from skipseq.errors import WiringError
from skipseq.views.text import Written
from skipseq.wiring import Wiring

from . import editing
from .crossing import open_crossed

__all__ = ["Listed"]


class Listed(Container):
    """What :class:`skipseq.Sequential` is as a list of entries: a word counts as one, and so does a call with its layer."""

    _inputs: tuple[str, ...] | None = None
    _outputs: str | tuple[str, ...] | None = None

    #: How a block was written; an edit makes it a sequence of words.
    _written: Written | None = None

    #: The class of the handwritten module that it was read from; its source goes by this name.
    _origin: str | None = None

    #: The class of what is made from this one, where that is not its own class: a block that is cut is no block.
    _derived_class: Any = None

    def _adopt(self, wiring: Wiring) -> Any:
        """Takes over a wiring of the children as they are now."""
        raise NotImplementedError

    def _derived(self, children: Mapping[str, Any], inputs: Any, outputs: Any) -> Self:
        """A sequence of the same class with these children, verified."""
        keyed = {key: child for key, child in children.items() if child is not None}
        opened, wiring = self._opened(keyed, compose(keyed, inputs, outputs, type(self).__name__), outputs)
        cls = self._derived_class or type(self)
        net: Self = cls.__new__(cls)
        nn.Module.__init__(net)
        # What was compiled runs the old network.
        internal = {*vars(net), "_plan", "_compiled_call_impl"}
        net.__dict__.update({name: value for name, value in vars(self).items() if name not in internal})
        net._parameters.update(self._parameters)
        net._buffers.update(self._buffers)
        net.training = self.training
        held: dict[str, Any] = {key: opened.get(key) for key in children}
        net._modules.update(held)
        net._inputs, net._outputs = inputs, outputs
        net._adopt(wiring)
        return net

    def _opened(self, keyed: Mapping[str, nn.Module], wiring: Wiring, outputs: Any) -> tuple[dict[str, nn.Module], Wiring]:
        """The children with those exchanged that a skip crosses, see :mod:`skipseq.run.crossing`."""
        return open_crossed(keyed, wiring, outputs, type(self).__name__, wired_class(self).of)

    # Reading

    def _entries(self) -> list[list[tuple[str, nn.Module]]]:
        return grouped(children_of(self))

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[nn.Module]:
        return iter([entry_module(entry) for entry in self._entries()])

    def __getitem__(self, idx: slice | int) -> Any:
        entries = self._entries()
        if not isinstance(idx, slice):
            return entry_module(entries[checked_index(idx, len(entries))])
        kept = entries[idx]
        whole = kept[:1] == entries[:1]
        inputs = self._inputs if whole else None
        if not whole and any("input" in word.references() for word in words_of(kept)):
            raise WiringError(
                type(self).__name__,
                [
                    "the slice reads 'input', which would mean another value in it.\n"
                    "  Put save('x') first in the sequence and read 'x': what a slice loses becomes a need of it."
                ],
            )
        outputs = self._outputs if kept[-1:] == entries[-1:] and len(kept) == len(entries) else None
        return self._derived({key: child for entry in kept for key, child in entry}, inputs, outputs)

    # Editing

    def _edit(self, items: editing.Items) -> None:
        """Takes the edited entries over, if they fit together."""
        try:
            before: Wiring | None = self.wiring
        except WiringError:
            before = None  # broken from outside: an edit may mend it
        keyed, wiring, outputs = editing.checked(before, items, self._inputs, self._outputs, type(self).__name__)
        opened = self._opened(keyed, wiring, outputs)
        self._outputs = outputs
        self._replace(*opened)

    def _replace(self, keyed: Mapping[str, nn.Module], wiring: Wiring) -> None:
        self._modules.clear()
        self._modules.update(keyed)
        self._written = None
        self._adopt(wiring)

    def __setitem__(self, idx: int, module: Any) -> None:
        items = editing.items_of(children_of(self))
        i = checked_index(idx, len(items))
        items[i] = editing.replaced(items[i], editing.read_items((module,), type(self)))
        self._edit(items)

    def __delitem__(self, idx: slice | int) -> None:
        items = editing.items_of(children_of(self))
        del items[idx if isinstance(idx, slice) else checked_index(idx, len(items))]
        self._edit(items)

    def pop(self, key: int | slice) -> Any:
        """Removes an entry, or a slice of them, and returns it."""
        popped = self[key]
        del self[key]
        return popped

    def append(self, module: Any) -> Self:
        """Puts an entry at the end: a layer, function, word or pair."""
        return self.insert(len(self), module)

    def insert(self, index: int, module: Any) -> Self:
        """Puts an entry before the one at this index."""
        items = editing.items_of(children_of(self))
        if not -len(items) <= index <= len(items):
            raise IndexError(f"Index out of range: {index}")
        items[index:index] = editing.read_items((module,), type(self))
        self._edit(items)
        return self

    def extend(self, sequential: Iterable[Any]) -> Self:
        """Puts the entries of a sequence, or of any iterable, at the end."""
        if isinstance(sequential, nn.Sequential):
            self += sequential
            return self
        items = editing.items_of(children_of(self))
        self._edit(items + editing.read_items(tuple(sequential), type(self)))
        return self

    def add_module(self, name: str, module: Any) -> None:
        """Adds an entry under a name, or exchanges the one that has it."""
        items = editing.items_of(children_of(self))
        places = [i for i, entry in enumerate(items) for item in entry if item.before == name]
        if places:
            self[places[0]] = module
        else:
            self._edit(items + editing.read_items(((name, module),), type(self)))

    def __delattr__(self, name: str) -> None:
        if name in self._modules:
            items = [entry for entry in editing.items_of(children_of(self)) if name not in {i.before for i in entry}]
            editing.checked(self.wiring, items, self._inputs, self._outputs, type(self).__name__)
        super().__delattr__(name)

    # Operators

    def __add__(self, other: Any) -> Any:
        return self._derived(*self._chained(self, other))

    def __radd__(self, other: Any) -> Any:
        return self._derived(*self._chained(other, self))

    def __iadd__(self, other: Any) -> Self:
        keyed, _, outputs = self._chained(self, other)
        opened = self._opened(keyed, compose(keyed, self._inputs, outputs, type(self).__name__), outputs)
        self._outputs = outputs
        self._replace(*opened)
        return self

    def _chained(self, first: Any, second: Any) -> tuple[dict[str, nn.Module], Any, Any]:
        for each in (first, second):
            if not isinstance(each, nn.Sequential):
                raise ValueError(f"add operator supports only objects of Sequential class, but {type(each)} is given.")
        keyed, outputs = editing.chained(first, second, type(self).__name__)
        return keyed, getattr(first, "_inputs", None), outputs

    def __mul__(self, other: int) -> Any:
        result = self._derived(dict(self._modules), self._inputs, self._outputs)
        result *= other
        return result

    def __rmul__(self, other: int) -> Any:
        return self * other

    def __imul__(self, other: int) -> Self:
        editing.check_count(self, other)
        once = self._derived(dict(self._modules), self._inputs, self._outputs)
        for _ in range(other - 1):
            self += once
        return self


def entry_module(entry: list[tuple[str, nn.Module]]) -> nn.Module:
    """An entry as one module: a call with its layer."""
    first = entry[0][1]
    return first.of(entry[1][1]) if len(entry) == 2 and isinstance(first, CallWord) else first


def words_of(entries: list[list[tuple[str, nn.Module]]]) -> list[Word]:
    return [child for entry in entries for _, child in entry if isinstance(child, Word)]


def checked_index(idx: Any, length: int) -> int:
    """An index of an entry, counted from the start."""
    index = operator.index(idx)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length
