"""The words: entries of a sequence that are not layers.

A word is a module, so that it stands among the children of its sequence and whatever walks them as a plain chain stumbles
over it instead of dropping a skip. What it says is pure data (the operands); the layers that it owns are its children, in
one list, and the operands refer to them by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from types import EllipsisType
from typing import Any, ClassVar, NoReturn, TypeAlias

from torch import Tensor, nn

from skipseq.errors import WordError

from .constructors import constructor
from .functions import Function
from .projection import is_projection, new_projection

__all__ = [
    "CallWord",
    "Called",
    "Here",
    "JoinWord",
    "Joined",
    "PickWord",
    "SaveWord",
    "TakeWord",
    "Unfit",
    "Via",
    "Word",
    "describe",
    "here",
    "operands_in",
    "written_entry",
]


class Here:
    """The running value, as an operand: ``add(here, "a", "b")``. There is one, called ``here``."""

    def __repr__(self) -> str:
        return "here"

    def __reduce__(self) -> str:
        return "here"


here = Here()


@dataclass(frozen=True, slots=True)
class Via:
    """The value of an operand after some layers; ``layers`` are modules as written, keys of them inside a word."""

    base: Operand
    layers: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """A join of operands, with its options as they were written.

    ``projections`` has the key of a layer of the word for each operand that is projected, and nothing for the others.
    """

    operator: str
    operands: tuple[Operand, ...]
    dim: int = 1
    broadcast: bool = False
    fit: Any = None
    like: Any = None
    mode: Any = "nearest"
    align_corners: Any = None
    project: Any = None
    projections: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Called:
    """A layer called with operands; ``layer`` is its key in the word, or nothing where the layer follows the word."""

    layer: str | None
    operands: tuple[Operand, ...]
    named: tuple[tuple[str, Operand], ...] = ()


@dataclass(frozen=True, slots=True)
class Unfit:
    """Something that cannot be an operand, and what to say about it."""

    text: str
    fault: str


Operand: TypeAlias = "str | float | Here | Via | Joined | Called | Unfit"


class Word(nn.Module):
    """An entry of a sequence that is not a layer. It has a meaning only inside :class:`skipseq.Sequential`."""

    kind: ClassVar[str]

    def forward(self, *_: Any, **__: Any) -> Any:
        refuse_call(self)

    def references(self) -> Iterator[str]:
        """The names that this word reads."""
        yield from (each for each in operands_in(self.operands()) if isinstance(each, str))

    def operands(self) -> tuple[Operand, ...]:
        """What this word reads, as data."""
        return ()

    def mentions(self) -> Iterator[str]:
        """The names in this word, whether it reads the value of that name or calls the layer."""
        yield from self.references()

    def renamed(self, rename: Callable[[str], str]) -> Word:
        """The same word, with other names in its references; it shares its layers."""
        return self

    def __repr__(self) -> str:
        return self.written()

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        """The word as it was written, with ``show`` printing its layers."""
        raise NotImplementedError

    def keep_layers(self, operand: Any) -> Operand:
        """The operand as pure data; its layers become children of this word, in one list."""
        if isinstance(operand, Via):
            keys = tuple(self.keep_layer(layer) for layer in operand.layers)
            return Via(self.keep_layers(operand.base), keys)
        if isinstance(operand, JoinWord):
            return self.keep_from(operand, operand.joined)
        if isinstance(operand, CallWord) and operand.again is None:
            called = operand.called
            return Called(
                self.keep_layer(operand.layer),
                tuple(self.keep_from(operand, inner) for inner in called.operands),
                tuple((name, self.keep_from(operand, inner)) for name, inner in called.named),
            )
        if isinstance(operand, str | Here) or is_number(operand):
            return operand  # type: ignore[no-any-return]
        return Unfit(describe(operand), unfit_operand(operand))

    def keep_layer(self, layer: Any) -> str:
        """Registers a layer of an operand and gives its key."""
        key = str(len(self._modules))
        self.add_module(key, layer if isinstance(layer, nn.Module) else Function(layer))
        return key

    def keep_from(self, word: Word, operand: Operand) -> Operand:
        """Takes over an operand, and the layers it names, from a word that itself became an operand."""
        if isinstance(operand, Via):
            keys = tuple(self.keep_layer(word._modules[key]) for key in operand.layers)
            return Via(self.keep_from(word, operand.base), keys)
        if isinstance(operand, Joined):
            kept, projections = [], []
            for each, projection in zip(operand.operands, operand.projections, strict=True):
                kept.append(self.keep_from(word, each))
                projections.append(None if projection is None else self.keep_layer(word._modules[projection]))
            return replace(operand, operands=tuple(kept), projections=tuple(projections))
        if isinstance(operand, Called):
            key = None if operand.layer is None else self.keep_layer(word._modules[operand.layer])
            inner = tuple(self.keep_from(word, each) for each in operand.operands)
            return Called(key, inner, tuple((name, self.keep_from(word, each)) for name, each in operand.named))
        return operand

    def twin(self) -> Any:
        """An equal word that shares the layers."""
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        other.__dict__.update({name: value for name, value in self.__dict__.items() if not name.startswith("_")})
        other._modules.update(self._modules)
        return other


class SaveWord(Word):
    """``save("x1")``, ``save("h", "c")``."""

    kind = "save"

    def __init__(self, labels: tuple[Any, ...]) -> None:
        super().__init__()
        self.labels = labels

    def renamed_labels(self, renames: Mapping[str, str]) -> SaveWord:
        """The same word with other labels."""
        return SaveWord(tuple(renames.get(label, label) for label in self.labels))

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        return f"save({', '.join(quoted(label) for label in self.labels)})"


class JoinWord(Word):
    """``cat``, ``add``, ``sub`` and ``mul`` of operands."""

    joined: Joined

    def __init__(self, written: Joined) -> None:
        super().__init__()
        kept, projections = [], []
        for i, operand in enumerate(written.operands):
            kept.append(self.keep_layers(operand))
            made = is_projection(written.project) and written.operator != "cat" and not is_number(operand)
            made = made and (len(written.operands) == 1 or i != running_at(written.operands))
            projections.append(self.keep_layer(new_projection(written.project)) if made else None)
        self.joined = replace(written, operands=tuple(kept), projections=tuple(projections))

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.joined.operator

    def operands(self) -> tuple[Operand, ...]:
        return self.joined.operands

    def renamed(self, rename: Callable[[str], str]) -> JoinWord:
        other: JoinWord = self.twin()
        other.joined = rename_in(self.joined, rename)
        return other

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        return write(self.joined, self, show)

    def of(self, *operands: Any) -> JoinWord:
        """The same join of these operands: how blocks use a join that was given without any."""
        return JoinWord(replace(self.joined, operands=operands))


class TakeWord(Word):
    """``take("x1")``."""

    kind = "take"

    def __init__(self, operand: Any) -> None:
        super().__init__()
        self.operand = self.keep_layers(operand)

    def operands(self) -> tuple[Operand, ...]:
        return (self.operand,)

    def renamed(self, rename: Callable[[str], str]) -> TakeWord:
        other: TakeWord = self.twin()
        other.operand = rename_in(self.operand, rename)
        return other

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        return f"take({write(self.operand, self, show)})"


class CallWord(Word):
    """``call(layer, ...)``. In a sequence the word stands right before its layer, which keeps its own number and keys."""

    kind = "call"

    def __init__(self, layer: Any, operands: tuple[Any, ...], named: dict[str, Any]) -> None:
        super().__init__()
        kept = tuple(self.keep_layers(operand) for operand in operands)
        self.called = Called(None, kept, tuple((name, self.keep_layers(each)) for name, each in named.items()))
        #: The name of a layer of the same sequence that is called again; then the word has no layer of its own.
        self.again = layer if isinstance(layer, str) else None
        if self.again is None:
            self.layer = layer if isinstance(layer, nn.Module) else Function(layer)

    def operands(self) -> tuple[Operand, ...]:
        return (*self.called.operands, *(operand for _, operand in self.called.named))

    def mentions(self) -> Iterator[str]:
        yield from self.references()
        yield from () if self.again is None else (self.again,)

    def renamed(self, rename: Callable[[str], str]) -> CallWord:
        other: CallWord = self.twin()
        other.called = rename_in(self.called, rename)
        other.again = None if self.again is None else rename(self.again)
        return other

    def alone(self) -> CallWord:
        """The word without its layer, as it stands before it in a sequence."""
        other: CallWord = self.twin()
        other._modules.pop("layer", None)
        return other

    def of(self, layer: nn.Module) -> CallWord:
        """The word with its layer, as the user wrote it."""
        other: CallWord = self.twin()
        other.layer = layer
        return other

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        layer = self._modules.get("layer")
        text = "..." if layer is None else show(layer)
        return write_call(text if self.again is None else quoted(self.again), self.called, self, show)


class PickWord(Word):
    """Indexing, as a layer. It needs nothing but the running value, so it may be called."""

    kind = "pick"

    def __init__(self, choice: Any) -> None:
        super().__init__()
        self.choice = choice

    def forward(self, *values: Any, **_: Any) -> Any:
        (value,) = values
        return value[self.choice]

    def written(self, show: Callable[[nn.Module], str] = constructor) -> str:
        return f"pick[{write_index(self.choice)}]"


def refuse_call(word: Word) -> NoReturn:
    """A word was reached by something that walks the children as a plain chain."""
    raise WordError(
        f"{word} was called on its own.\n"
        "  A word is no layer: only the skipseq.Sequential in which it stands can pass it the values that it names.\n"
        "  Write skipseq.Sequential(...) where nn.Sequential(...) stands, and call the whole sequence, not its entries."
    )


#: The module whose functions are the words, by which one that was not called is known.
VOCABULARY = "skipseq.declare.vocabulary"


def is_number(operand: object) -> bool:
    """Whether the operand is a Python number."""
    return isinstance(operand, int | float | complex)


def unfit_operand(operand: Any) -> str:
    """What to say about something that cannot be an operand."""
    if getattr(operand, "__module__", None) == VOCABULARY:
        return f"the bare word {operand.__name__}; call it: {operand.__name__}(...)"
    if isinstance(operand, CallWord):
        return "a layer that is called again, which is an entry of its own; save its result and name it"
    if isinstance(operand, Word):
        return "a word that is no value; name the value that it saves or gives"
    if isinstance(operand, nn.Module):
        return "a layer; put a value through it with via('name', layer)"
    if isinstance(operand, Tensor):
        return "a tensor; register it as a buffer of a module, or pass it by call(...)"
    if isinstance(operand, list | tuple):
        return "a list; write its items as operands of their own"
    return "no reference; write a saved label, a layer's name, 'input', here, via(...), a join, a call or a number"


def origin(operand: Any) -> Any:
    """What an operand starts from: a name, ``here``, a number, a join or a call."""
    while isinstance(operand, Via):
        operand = operand.base
    return operand


def running_at(operands: Sequence[Any]) -> int:
    """Which of several operands is the running value, best as it is, else behind layers; without one, the first value."""
    exact = [i for i, each in enumerate(operands) if each is here]
    behind = [i for i, each in enumerate(operands) if origin(each) is here]
    values = [i for i, each in enumerate(operands) if not is_number(each)]
    return [*exact, *behind, *values, 0][0]


def describe(thing: Any) -> str:
    """A short text for something the user gave."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if isinstance(thing, Tensor):
        return f"a tensor of shape {tuple(thing.shape)}"
    text = getattr(thing, "__name__", None) or repr(thing).splitlines()[0]
    return text if len(text) <= 60 else text[:57] + "..."


def operands_in(operands: Iterable[Operand]) -> Iterator[Operand]:
    """The operands and what they are made of, in the order in which they are written."""
    for operand in operands:
        yield operand
        if isinstance(operand, Via):
            yield from operands_in((operand.base,))
        elif isinstance(operand, Joined | Called):
            yield from operands_in(operand.operands)
            if isinstance(operand, Called):
                yield from operands_in(inner for _, inner in operand.named)


def rename_in(operand: Any, rename: Callable[[str], str]) -> Any:
    """The operand with other names in its references."""
    if isinstance(operand, str):
        return rename(operand)
    if isinstance(operand, Via):
        return replace(operand, base=rename_in(operand.base, rename))
    if isinstance(operand, Joined):
        like = rename(operand.like) if isinstance(operand.like, str) else operand.like
        return replace(operand, operands=tuple(rename_in(each, rename) for each in operand.operands), like=like)
    if isinstance(operand, Called):
        inner = tuple(rename_in(each, rename) for each in operand.operands)
        return replace(operand, operands=inner, named=tuple((name, rename_in(each, rename)) for name, each in operand.named))
    return operand


def write(operand: Operand, word: Word, show: Callable[[nn.Module], str]) -> str:
    """An operand as it was written; ``word`` owns the layers in it."""
    if isinstance(operand, str):
        return quoted(operand)
    if isinstance(operand, Via):
        parts = [write(operand.base, word, show), *(show(layer_of(word, key)) for key in operand.layers)]
        return f"via({', '.join(parts)})"
    if isinstance(operand, Joined):
        parts = [write(each, word, show) for each in operand.operands]
        return f"{operand.operator}({', '.join(parts + write_options(operand))})"
    if isinstance(operand, Called):
        return write_call("..." if operand.layer is None else show(layer_of(word, operand.layer)), operand, word, show)
    if isinstance(operand, float) and not isfinite(operand):
        return f"float('{operand}')"
    return operand.text if isinstance(operand, Unfit) else repr(operand)


def write_options(joined: Joined) -> list[str]:
    """The options of a join that are not the usual ones, as they were written."""
    usual = {each.name: each.default for each in fields(Joined)}
    options = ("dim", "broadcast", "fit", "like", "mode", "align_corners", "project")
    given = {name: getattr(joined, name) for name in options}
    return [
        f"{name}={write_option(value)}" for name, value in given.items() if value is not usual[name] and value != usual[name]
    ]


def write_option(value: Any) -> str:
    """The value of an option, which may be anything that a user wrote."""
    return repr(value) if isinstance(value, str | bool | int | Here | None) else describe(value)


def write_call(layer: str, called: Called, word: Word, show: Callable[[nn.Module], str]) -> str:
    """A call as it was written, of a layer that is written already."""
    parts = [layer, *(write(each, word, show) for each in called.operands)]
    return f"call({', '.join(parts + [f'{name}={write(each, word, show)}' for name, each in called.named])})"


def layer_of(word: Word, key: str) -> nn.Module:
    """A layer that a word owns."""
    layer = word._modules[key]
    assert layer is not None
    return layer


def quoted(name: Any) -> str:
    """A name in the quotes that Python prints."""
    return repr(name)


def write_index(choice: Any) -> str:
    """An index as it stands between brackets."""
    if isinstance(choice, tuple):
        return ", ".join(write_index(each) for each in choice) + ("," if len(choice) == 1 else "")
    if isinstance(choice, slice):
        ends = [("" if each is None else repr(each)) for each in (choice.start, choice.stop)]
        return ":".join(ends) + (f":{choice.step!r}" if choice.step is not None else "")
    return "..." if isinstance(choice, EllipsisType) else repr(choice)


def written_entry(entry: list[tuple[str, nn.Module]]) -> str:
    """An entry in one line, as it was written."""
    word = entry[0][1]
    if not isinstance(word, Word):
        return f"{type(word).__name__}(...)" if "\n" in repr(word) else repr(word)
    if isinstance(word, CallWord) and len(entry) == 2:
        return write_call(constructor(entry[1][1]), word.called, word, constructor)
    return word.written(constructor)
