"""Layers, words and sequences from their arguments, within bounds; what a constructor refuses gets its place in the text."""

from __future__ import annotations

import functools
import inspect
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq import Sequential, add, call, cat, mul, save, sub, take, via
from skipseq.declare.constructors import rnn_arguments
from skipseq.declare.functions import is_function
from skipseq.errors import FileError, WiringError

from .document import MOST_NESTED, too_deep
from .faults import MOST_FAULTS, Faults, Place, Source, faults_of
from .names import held_layers

__all__ = ["Builder", "Given"]

#: How many entries a network may have, those of parts that stand at several places counted at each.
MOST_ENTRIES = 50_000

#: How many layers may be made.
MOST_LAYERS = 20_000

#: How many entries all containers may have together, those of containers in containers counted again.
MOST_WORK = 200_000

#: How many layers or steps one argument of a layer of torch may ask for.
MOST_COPIES = 1_000

#: Arguments that make so many copies of something.
COPIES = ("num_layers", "num_encoder_layers", "num_decoder_layers")

#: What the copies of a block may cost: their number squared, as each joins all that are there, times its size.
MOST_REPEATED = 100_000

#: What a text may call beside classes.
CALLED = (save, cat, add, sub, mul, call, take, via, held_layers, functools.partial, OrderedDict, float, torch.Size)

#: The head of a fault: where it is.
AT = re.compile(r"net((?:\[\d+\]|\.\w+)+) ?")


@dataclass(frozen=True, slots=True)
class Given:
    """A value with the place and the text that it comes from; ``name`` is that of a pair."""

    value: Any
    place: Place
    text: str
    name: str | None = None


class Extent(NamedTuple):
    """How many entries something has, parts at each of their places, and how deep they are nested."""

    size: int
    depth: int


class Builder:
    """Calls constructors, and keeps account of what they make.

    Args:
        source: the text.
        meta: whether parameters get shapes and no memory.
        registered: what the registry holds: classes of the user are called, too.
    """

    def __init__(self, source: Source, meta: bool, registered: Mapping[str, Any]) -> None:
        self.source, self.meta = source, meta
        self.registered = {id(each) for each in registered.values()}
        self.extents: dict[int, Extent] = {}
        self.insides: dict[int, Sequence[Given]] = {}
        self.kept: list[Any] = []
        #: The entries at the top of the text, and the places of its inputs and outputs.
        self.top: Sequence[Given] = ()
        self.options: dict[str, Given] = {}
        self.layers = 0
        self.work = 0
        self.repeated = 0

    def construct(self, function: Any, text: str, args: Sequence[Given], kwargs: Mapping[str, Any], where: Given) -> Any:
        """What a class or a word makes of its arguments.

        Args:
            function: the class or the word.
            text: its name in the text.
            args: the arguments by position.
            kwargs: the arguments by name.
            where: the place of the call.
        """
        self.check_callable(function, text, where)
        values = [each.value for each in args]
        self.check_arguments(function, text, values, kwargs, where)
        extent = self.together([*values, *kwargs.values()], where)
        self.spend(1, where)
        result = self.guarded(function, text, args, kwargs, where)
        if isinstance(result, nn.Module) and not isinstance(result, nn.Sequential) and extent.size == 1:
            made = sum(1 for _ in result.modules())
            self.spend(made - 1, where)
            extent = Extent(made, extent.depth)
        return self.keep(result, extent, args)

    def keep(self, result: Any, extent: Extent, args: Sequence[Given]) -> Any:
        """Notes what was made; it lives as long as this account, so that its identity is its own."""
        self.kept.append(result)
        self.extents[id(result)] = extent
        self.insides[id(result)] = args
        return result

    def check_callable(self, function: Any, text: str, where: Given) -> None:
        """Raises for what is no class and no word."""
        if isinstance(function, type) or any(function is each for each in CALLED):
            return
        kind = "a function, which is called when the network runs" if is_function(function) else "nothing that can be called"
        raise self.source.fault(
            where.place,
            f"{text} is {kind}",
            "a layer, a word or a block in front of brackets",
            where.text,
            f"Write {text} without brackets, or partial({text}, ...) to fix its options.",
        )

    def check_arguments(self, function: Any, text: str, values: list[Any], kwargs: Mapping[str, Any], where: Given) -> None:
        """Raises for arguments that say where a layer lives, and for those that make very many copies."""
        if function is functools.partial and not (values and is_function(values[0])):
            raise self.source.fault(
                where.place,
                "partial has no function in front",
                "partial(torch.mul, other=2.0)",
                where.text,
                "Name a function first.",
            )
        if not isinstance(function, type) or id(function) in self.registered or not issubclass(function, nn.Module):
            return
        bound = arguments_by_name(function, values, kwargs)
        if bound.get("device") is not None:
            raise self.source.fault(
                where.place,
                "a text does not say on which device a layer lives",
                "arguments that say what the layer is",
                where.text,
                "Leave the device out, and move the network: net.to(device).",
            )
        for name in COPIES:
            if isinstance(bound.get(name), int) and bound[name] > MOST_COPIES:
                raise self.source.fault(
                    where.place, f"{name} is too large", f"at most {MOST_COPIES:,}", str(bound[name]), "Write a smaller number."
                )
            self.spend(20 * bound[name] if isinstance(bound.get(name), int) and bound[name] > 0 else 0, where)

    def spend(self, layers: int, where: Given) -> None:
        """Counts what is made."""
        self.layers += layers
        if self.layers > MOST_LAYERS:
            raise self.too_large("too many layers are made", f"at most {MOST_LAYERS:,} layers and words", where)

    def too_large(self, problem: str, expected: str, where: Given) -> FileError:
        """The error for a text that stands for too large a network."""
        return self.source.fault(
            where.place, problem, expected, where.text, "Write fewer copies; a part at several places is one."
        )

    def together(self, values: Sequence[Any], where: Given) -> Extent:
        """The extent of something that holds these values, within bounds."""
        parts = [self.extent(each) for each in values]
        extent = Extent(1 + sum(each.size for each in parts), 1 + max((each.depth for each in parts), default=0))
        if extent.size > MOST_ENTRIES:
            raise self.too_large("the network has too many entries", f"at most {MOST_ENTRIES:,}", where)
        self.work += extent.size if extent.size > 1 else 0
        if self.work > MOST_WORK:
            raise self.too_large("too many parts stand inside one another", "fewer of them around so many entries", where)
        if extent.depth > MOST_NESTED:
            raise too_deep(self.source, where.place)
        return extent

    def extent(self, value: Any) -> Extent:
        """The extent of a value: of something made here, and of what is in lists and dicts."""
        if id(value) in self.extents:
            return self.extents[id(value)]
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        parts = [self.extent(each) for each in inner]
        return Extent(sum(each.size for each in parts), max((each.depth for each in parts), default=0))

    # Calling

    def guarded(self, function: Any, text: str, args: Sequence[Given], kwargs: Mapping[str, Any], where: Given) -> Any:
        """Calls a constructor. It may raise whatever it likes: that is a fault of the text."""
        values = [each.value for each in args]
        try:
            try:
                return function(*values, **kwargs)
            except Exception:
                if not self.meta or id(function) not in self.registered:
                    raise
                # A class of the user that reads numbers from a tensor cannot be built without memory.
                with torch.device("cpu"):
                    return function(*values, **kwargs).to("meta")
        except WiringError as error:
            raise self.of_wiring(error, args, where) from None
        except RecursionError:
            raise too_deep(self.source, where.place) from None
        except Warning:
            raise
        except Exception as error:
            raise self.of_constructor(function, text, error, where) from None

    def of_constructor(self, function: Any, text: str, error: Exception, where: Given) -> FileError:
        """The fault of a call whose arguments the constructor refuses."""
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        told = re.sub(r"^[\w.]*\.__init__\(\) |^\w+\(\) ", "", told).removesuffix(".")
        advice = "Write its arguments as its constructor takes them."
        return self.source.fault(
            where.place, f"{text} cannot be built: {told}", signature_of(function, text), where.text, advice
        )

    def of_wiring(self, error: WiringError, args: Sequence[Given], where: Given) -> Faults:
        """The faults of words that do not fit together, each at the line of its entry."""
        found = []
        for fault in error.faults[:MOST_FAULTS]:
            at = AT.match(fault)
            given = self.entry(args, at[1]) if at else None
            text = fault[at.end() :] if at and given else fault
            told = AT.sub(lambda match: self.by_line(args, match), text)
            problem, *rest = ("the entry " * told.startswith(("is ", "works ")) + told).split("\n")
            if not rest and ". " in problem:
                problem, _, advice = problem.partition(". ")
                rest = [advice]
            expected = "entries and names that fit together"
            given = given or self.of_whole(fault, args) or where
            place, received = given.place, given.text
            advice = (
                "\n".join(line.strip() for line in rest) or "Write it as in Python; help(skipseq.Sequential) tells the rules."
            )
            found.append(self.source.fault(place, problem.removesuffix("."), expected, received, advice))
        return Faults(found)

    def of_whole(self, fault: str, args: Sequence[Given]) -> Given | None:
        """What a fault is about that names no entry: the inputs or outputs of the text, or two entries of one name."""
        head = fault.partition("=")[0]
        if head in self.options and args is self.top:
            return self.options[head]
        named = [each for each in args if each.name is not None and fault.startswith(f"{each.name!r} is the name of ")]
        return named[-1] if named else None

    def by_line(self, args: Sequence[Given], match: re.Match[str]) -> str:
        """A place in the network as a line of the text."""
        given = self.entry(args, match[1])
        if given is None:
            return match[0]
        return f"line {given.place.line}" + " " * match[0].endswith(" ")

    def entry(self, entries: Sequence[Given], path: str) -> Given | None:
        """The entry at a path like ``.encoder[2]``, as far as its place is known."""
        found = None
        for step in re.findall(r"\[\d+\]|\.\w+", path):
            index = int(step[1:-1]) if step[0] == "[" else None
            at = [each for i, each in enumerate(entries) if i == index or (index is None and each.name == step[1:])]
            if not at:
                return found
            found = at[0]
            value = found.value[1] if found.name is not None and isinstance(found.value, tuple) else found.value
            entries = self.insides.get(id(value), ())
        return found

    def repeat(self, sequence: Sequential, count: int, where: Given) -> Any:
        """A sequence several times in one line."""
        size = self.extent(sequence).size or sum(1 for _ in sequence.modules())
        self.spend(size * max(count, 0) if count < MOST_LAYERS else MOST_LAYERS + 1, where)
        self.repeated += size * count * count
        if self.repeated > MOST_REPEATED:
            raise self.too_large("too much is repeated", "fewer copies, or of a smaller block", where)
        inner = self.insides.get(id(sequence), ())
        given = [Given(sequence, where.place, where.text)]
        result = self.guarded(sequence.repeat, ".repeat", [Given(count, where.place, str(count))], {}, where)
        extent = self.extent(sequence)
        self.together([sequence] * max(count, 1), where)
        return self.keep(result, Extent(extent.size * max(count, 1), extent.depth), [*inner] * max(count, 1) or given)

    @contextmanager
    def inside(self, called: Given) -> Iterator[None]:
        """A block of the text is being built: faults in it tell where it was called."""
        try:
            yield
        except (FileError, Faults) as error:
            told = f"It is called at {called.place}."
            faults = [each if told in each.advice else told_too(each, told) for each in faults_of(error)]
            raise Faults(faults) from None

    def bytes_of(self, net: nn.Module) -> int:
        """The memory that the parameters and buffers of a network need, shared ones once."""
        values: dict[int, Tensor] = {id(each): each for each in (*net.parameters(), *net.buffers())}
        return sum(each.numel() * each.element_size() for each in values.values() if not is_lazy(each))


def told_too(fault: FileError, more: str) -> FileError:
    """A fault with one more line of advice, unless it has several of this kind."""
    if fault.advice.count("It is called at") >= 3:
        return fault
    parts = (fault.file, fault.where, fault.problem, fault.expected, fault.received)
    return FileError(*parts, f"{fault.advice}\n{more}", fault.action)


def arguments_by_name(function: Any, values: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a layer of torch by name, as far as they fit."""
    try:
        bound = signature_of_layer(function).bind(*values, **kwargs).arguments
    except (TypeError, ValueError):  # the constructor itself says what is wrong
        bound = {**kwargs}
    if issubclass(function, nn.RNNBase) and len(values) > 8:
        bound["device"] = values[8]  # these layers do not name their parameters
    inner = bound.pop("kwargs", None)
    return {**bound, **(inner if isinstance(inner, dict) else {})}


@functools.cache
def signature_of_layer(function: Any) -> inspect.Signature:
    """The parameters of a layer of torch."""
    return inspect.signature(parameters_from(function))


def parameters_from(function: Any) -> Any:
    """What names the parameters of a constructor: recurrent layers do not name theirs."""
    recurrent = isinstance(function, type) and issubclass(function, nn.RNNBase)
    return rnn_arguments if recurrent else function


def signature_of(function: Any, text: str) -> str:
    """A constructor with its parameters, as one would write it."""
    try:
        parameters = inspect.signature(parameters_from(function)).parameters.values()
    except (TypeError, ValueError):
        return f"the arguments of {text}"
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    shown = [
        stars.get(each.kind, "") + each.name + ("" if each.default is each.empty else f"={shown_default(each.default)}")
        for each in parameters
        if each.name not in ("self", "device", "dtype") and (each.name != "nonlinearity" or text == "nn.RNN")
    ]
    return f"{text}({', '.join(shown)})"


def shown_default(value: Any) -> str:
    """The default of a parameter in short."""
    return getattr(value, "__name__", None) or repr(value)
