"""One conversion: the forward is followed until it is known which modules stay whole, then written in words."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.check.infer import apart, tensors_in
from skipseq.check.stand_ins import StandIns
from skipseq.declare.containers import has_hooks, is_wired
from skipseq.errors import ConversionError, WiringError, did_you_mean, indented
from skipseq.run import Sequential

from .boxes import plan
from .compare import first_difference, gradients, read_batch_nearby, same_gradients
from .examples import GROWTHS, guesses, larger, required_inputs
from .exported import NotExported, exported
from .frames import Place, place_in, user_frame
from .naming import Naming
from .recorder import KEEP, OWN_LAYER, Again, Recorder, sets_modes
from .recording import Node, Record, Untraceable
from .words import PartWriter

__all__ = ["Tracer"]


class Tracer:
    """One conversion of a module; ``leaves`` are classes and paths of modules that stay whole."""

    def __init__(self, module: nn.Module, leaves: tuple[Any, ...]) -> None:
        if not isinstance(module, nn.Module):
            raise ConversionError(f"trace({module!r}): not a module.\n  Give the network itself: trace(Net()).")
        self.module = module
        self.title = f"trace({type(module).__name__})"
        self.classes = tuple(each for each in leaves if isinstance(each, type))
        self.leaves = {id(self.leaf_at(path)) for path in leaves if not isinstance(path, type)}
        #: The modules that stay whole, by identity, with the reason.
        self.whole: dict[int, str] = {}

    def leaf_at(self, path: Any) -> nn.Module:
        """The module at a path that the user gave."""
        modules: dict[str, nn.Module] = dict(self.module.named_modules(remove_duplicate=False))
        if not isinstance(path, str) or not path or path not in modules:
            advice = "Write classes, or paths as in named_modules(): leaves=[Attention, 'layer1.0']."
            near = did_you_mean(str(path), modules)
            raise ConversionError(f"{self.title}: leaves names {path!r}, which is no module inside it.{near}\n  {advice}")
        return modules[path]

    def is_leaf(self, module: nn.Module) -> bool:
        """Whether the user wants a module whole."""
        return id(module) in self.leaves or (isinstance(module, self.classes) and module is not self.module)

    def sequence(self, example: Any, named: Mapping[str, Any]) -> Sequential:
        """The network in words."""
        if is_wired(self.module):
            return Sequential.of(self.module)
        try:
            net = self.guessed() if not example and not named else self.network(self.bound(example, named))
        except Untraceable as error:
            guessed = not (example or named) and error.advice != OWN_LAYER
            hint = "\n  With an example of its inputs, torch.export is tried too." if guessed else ""
            raise ConversionError(self.refusal(error) + hint) from None
        if has_hooks(self.module):
            warn(f"{self.title}: the hooks of the module itself are left out, those of the layers in it stay.")
        if sets_modes(self.module) and differs_in_modes(self.module):
            warn(f"{self.title}: the class has a train() of its own, which is no part of the result.")
        self.tell_missing(net)
        return net

    def guessed(self) -> Sequential:
        """The network for an input that was not given."""
        required = required_inputs(self.module)
        tried = []
        for guess in guesses(self.module) if len(required) <= 1 else ():
            try:
                record = self.settled(self.bound((guess,), {}))
            except (Untraceable, ConversionError):
                raise
            except Exception as error:
                tried.append(f"{tuple(guess.shape)} was tried: {in_one_line(error)}")
            else:
                return self.written(record)
        shown = ", ".join(f"{name}=torch.zeros(...)" for name in required) or "torch.zeros(2, 3, 224, 224)"
        advice = f"Give an example of its inputs: trace(module, {shown})."
        raise ConversionError("\n  ".join([f"{self.title}: there is no example to run the forward with.", *tried[:1], advice]))

    def network(self, arguments: inspect.BoundArguments) -> Sequential:
        """The network for an example."""
        try:
            return self.written(self.settled(arguments))
        except Untraceable:
            net = self.by_export(arguments)
            if net is None:
                raise
            return net
        except (ConversionError, Again):
            raise
        except Exception as error:
            raise ConversionError(f"{self.title}: the forward fails for this example\n  {in_one_line(error)}") from error

    def bound(self, example: Any, named: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments of the forward."""
        try:
            arguments = inspect.signature(self.module.forward).bind(*example, **named)
        except TypeError as error:
            takes = f"It takes {', '.join(required_inputs(self.module))}."
            raise ConversionError(f"{self.title}: the example does not fit the forward: {error}.\n  {takes}") from None
        arguments.apply_defaults()
        many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for name, value in arguments.arguments.items():
            single = arguments.signature.parameters[name].kind not in many
            if single and not isinstance(value, Tensor) and tensors_in(value):
                advice = "A sequence takes its inputs one by one: write a module that does so and puts them together."
                raise ConversionError(f"{self.title}: its input {name!r} is a {type(value).__name__} of values.\n  {advice}")
        return arguments

    # The record

    def settled(self, arguments: inspect.BoundArguments) -> Record:
        """The record, made until no more modules turn out to stay whole; what it holds for alone is told."""
        while True:
            record = self.record(arguments)
            if not record.sized or not self.keep_sized(record, arguments):
                break
        if record.switched:
            text = f"{self.title}: the forward itself calls train() or eval(){parenthesis(record.switched)}."
            warn(f"{text} That is no part of the result.")
        if record.decided:
            self.tell_mode(record, self.in_other_mode(arguments))
        return record

    def record(self, arguments: inspect.BoundArguments) -> Record:
        """A record in which all modules that cannot be followed are whole."""
        while True:
            known = len(self.whole)
            try:
                record = Recorder(self.module, self.whole, self.is_leaf).record(again(arguments))
            except Again:
                continue
            if len(self.whole) == known:
                return record

    def keep_sized(self, record: Record, arguments: inspect.BoundArguments) -> bool:
        """Whether a module inside does something else for inputs of another size: it stays whole."""
        others = list(self.for_other_sizes(arguments))
        different = [node for each in others if (node := first_difference(record, each)) is not None]
        inside = [node.call.module for node in different if node.call.parent is not None]
        self.whole.update((id(module), "it does other things for other sizes") for module in inside)
        if different and not inside:
            place = parenthesis([different[0].place])
            text = f"{self.title}: what the forward does depends on the size of its input{place}."
            warn(f"{text} The result does what it does for the size of the example.")
        if others and not different:
            read_batch_nearby(record, others[0])
        return bool(inside)

    def for_other_sizes(self, arguments: inspect.BoundArguments) -> Iterator[Record]:
        """Records for inputs of other sizes, for each way to grow the first that the network takes."""
        for growth in GROWTHS:
            for other in larger(arguments, growth):
                try:
                    record = Recorder(self.module, dict(self.whole), self.is_leaf).record(other)
                except Exception:  # whatever a forward raises for a size that it does not take
                    continue
                yield record
                break

    def in_other_mode(self, arguments: inspect.BoundArguments) -> Record | None:
        """The record for the mode in which the module is not, if it can be followed there."""
        recorder = Recorder(self.module, dict(self.whole), self.is_leaf, not self.module.training)
        try:
            return recorder.record(again(arguments))
        except Exception:  # whatever a forward raises in this mode
            return None

    def by_export(self, arguments: inspect.BoundArguments) -> Sequential | None:
        """The network by way of torch.export, if that can follow the forward, and gives what the module gives."""
        record, other = (self.program(arguments, mode) for mode in (self.module.training, not self.module.training))
        if record is None:
            return None
        net = self.written(record)
        if not self.gives_the_same(net, arguments) or not self.learns_the_same(net, arguments):
            return None
        self.tell_mode(record, other)
        sizes = (each for growth in GROWTHS for each in larger(arguments, growth))
        if any(self.gives_the_same(net, each) is False for each in sizes):
            warn(f"{self.title}: the result holds for inputs of the size of the example only.")
        return net

    def program(self, arguments: inspect.BoundArguments, training: bool) -> Record | None:
        """The record of the exported program in one mode."""
        try:
            with apart():
                layers = Recorder(self.module, self.whole, self.is_leaf)
                return exported(self.module, again(arguments), layers.is_layer, training)
        except NotExported:
            return None

    def gives_the_same(self, net: Sequential, arguments: inspect.BoundArguments) -> bool | None:
        """Whether copies of the network and of the module give the same; nothing if the module does not take the inputs."""
        own, other = copy.deepcopy(self.module), copy.deepcopy(net)
        tensors = [each for each in arguments.arguments.values() if isinstance(each, Tensor)]
        with apart(), torch.no_grad():
            torch.manual_seed(0)
            try:
                expected = tensors_in(own(*arguments.args, **arguments.kwargs))
            except Exception:  # a size that it does not take
                return None
            torch.manual_seed(0)
            try:
                given = tensors_in(other(*tensors))
            except Exception:  # an operation that is not what its name says
                return False
        return len(given) == len(expected) and all(map(torch.equal, given, expected))

    def learns_the_same(self, net: Sequential, arguments: inspect.BoundArguments) -> bool:
        """Whether copies of the network and of the module get the same gradients, up to the order of sums."""
        names = {id(each): name for name, each in net.named_parameters()}
        own, other = copy.deepcopy(self.module), copy.deepcopy(net)
        weights = [
            (own.get_parameter(name), other.get_parameter(names[id(each)]))
            for name, each in self.module.named_parameters()
            if id(each) in names
        ]
        with apart(), torch.enable_grad():
            try:
                expected = gradients(own, arguments, [mine for mine, _ in weights])
            except Exception:  # a forward that no gradient goes through
                return True
            try:
                tensors = {name: each for name, each in arguments.arguments.items() if isinstance(each, Tensor)}
                signature = inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in tensors])
                given = gradients(other, inspect.BoundArguments(signature, tensors), [theirs for _, theirs in weights])
            except Exception:
                return False
        return same_gradients(expected, given)

    # Writing

    def written(self, record: Record) -> Sequential:
        """The network of a record in words."""
        self.check_result(record)
        result = record.root.result
        made = plan(record)
        try:
            root = PartWriter(made, made.root, next(iter(record.inputs.values()), None), None).write()
            return Naming(root, record.inputs).network(list(result) if isinstance(result, tuple | list) else [])
        except WiringError as error:
            raise ConversionError(f"{self.title} cannot be written in words\n{indented(str(error))}") from error

    def check_result(self, record: Record) -> None:
        """The network returns a value, or a tuple of values."""
        result, kind = record.root.result, record.returned
        values = result if isinstance(result, tuple | list) else [result]
        named = hasattr(kind, "_fields") and isinstance(result, tuple)
        if values and not named and all(isinstance(each, Node) for each in values):
            return
        what = (
            f"a {kind.__name__}"
            if named or not isinstance(result, tuple | list)
            else f"a {kind.__name__} with other things in it"
        )
        advice = "Return a tensor or a tuple of tensors: a sequence gives a tuple in the order of outputs=(...)."
        raise ConversionError(f"{self.title}: its forward returns {what}, not only tensors.\n  {advice}")

    # What is told

    def refusal(self, error: Untraceable) -> str:
        """What to say about a module that cannot be followed."""
        name = type(error.module).__name__
        what = f"{error.path!r}, a {name}" if error.path else "it"
        whole = f"Keep it whole with leaves=[{error.path!r}], or all of its class with leaves=[{name}]"
        advice = error.advice.replace(KEEP, whole if error.path else "Move this into a module of its own, which stays whole")
        if not any(True for _ in self.module.children()):
            advice = f"It is a layer by itself: write Sequential({name}(...)), or what it does in words."
        place = [str(error.place)] if error.place else []
        return "\n  ".join([f"{self.title} cannot follow the forward of {what}", *place, f"{error.why}.", advice])

    def tell_mode(self, record: Record, other: Record | None) -> None:
        """Warns if the module does other things in training than in evaluation."""
        if other is not None and first_difference(record, other) is None:
            return
        mode = "training" if self.module.training else "evaluation"
        place = parenthesis(record.decided)
        text = f"{self.title}: the forward does other things in training than in evaluation{place}."
        warn(f"{text} The result does what it does in {mode}.")

    def tell_missing(self, net: Sequential) -> None:
        """Warns about keys that the network does not have: of layers that were not called, or that need another name."""
        have = {name: id(each) for name, each in tensors_of(net)}
        missing = [(name, id(each)) for name, each in tensors_of(self.module) if name not in have]
        names = {identity: name for name, identity in have.items()}
        moved = {name.rpartition(".")[0]: names[identity].rpartition(".")[0] for name, identity in missing if identity in names}
        left = dict.fromkeys(outermost(name, have) for name, identity in missing if identity not in names)
        if moved:
            told = ", ".join(f"{old!r} is {new!r}" for old, new in moved.items())
            warn(f"{self.title}: the result has other keys: {told}.")
        if left:
            mode = "training" if self.module.training else "evaluation"
            warn(f"{self.title}: the forward does not call {', '.join(left)} in {mode}: the result lacks their keys.")
        order = [id(each) for each in net.parameters()]
        if order != [id(each) for each in self.module.parameters() if id(each) in set(order)]:
            text = f"{self.title}: the keys come in the order of use, which is another one than that of the module"
            warn(f"{text}: an optimizer's checkpoint goes by that order.")


def again(arguments: inspect.BoundArguments) -> inspect.BoundArguments:
    """The same arguments for one more run, which puts others in their place."""
    return inspect.BoundArguments(arguments.signature, type(arguments.arguments)(arguments.arguments))


def parenthesis(places: Iterable[Place | None]) -> str:
    """The first line that is known, in brackets."""
    return next((f" ({each})" for each in places if each is not None), "")


def differs_in_modes(module: nn.Module) -> bool:
    """Whether ``train()`` of a module does something else than to set the mode of all modules inside, tried on a stand-in."""
    twin = StandIns(None).module(module)
    before = attributes(twin)
    for mode in (True, False):
        try:
            twin.train(mode)
        except Exception:  # whatever it does, it cannot be tried
            return True
        after = attributes(twin)
        same = before.keys() == after.keys() and all(after[key] is value for key, value in before.items())
        if not same or any(each.training != mode for each in twin.modules()):
            return True
    return False


def attributes(module: nn.Module) -> dict[tuple[str, str], Any]:
    """What a module and those inside it hold, apart from their mode."""
    found = {}
    for path, each in module.named_modules():
        held = {**vars(each), **each._parameters, **each._buffers}
        found.update({(path, name): value for name, value in held.items() if name != "training"})
    return found


def tensors_of(module: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters and buffers by name."""
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def outermost(name: str, kept: Iterable[str]) -> str:
    """The outermost module around a parameter of which no key was kept."""
    keys = name.split(".")
    for i in range(1, len(keys)):
        path = ".".join(keys[:i])
        if not any(each.startswith(path + ".") for each in kept):
            return path
    return name


def in_one_line(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


def warn(text: str) -> None:
    """A warning at the line of the user's code that converts."""
    frame = user_frame()
    file, number = place_in(frame) or ("<trace>", 1)
    registry = {} if frame is None else frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, UserWarning, file, number, registry=registry)
