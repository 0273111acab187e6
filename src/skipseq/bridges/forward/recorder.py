"""A forward, run once without computing.

The network is run over fake values (shapes without numbers) on a stand-in of the module, so that nothing of the module itself
is touched. Each operation on a value is noted where it happens: in which call of which module. Ordinary Python around it, lists
of values, loops over layers, questions about sizes, runs as it is.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from skipseq.check.infer import apart, storage_of, tensors_in
from skipseq.check.stand_ins import StandIns
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import HOOKS, forward_owner, has_hooks, is_plain
from skipseq.declare.functions import is_named_in_place

from .frames import literal_in, place_in, stored_names, user_frame, variables
from .layers import DROPOUTS
from .numbers import Attribute, Flag, Number, known, plain, size_of, with_part
from .recording import Call, Node, Record, Untraceable, below, mapped, nodes_in

__all__ = ["KEEP", "OWN_LAYER", "Again", "Recorder", "sets_modes"]


class Again(Exception):
    """The forward has to be followed once more, with more modules kept whole."""


#: What asks a value for its numbers.
ASKING = frozenset({"item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy", "__array__"})

#: What only looks at numbers to raise an error.
ASSERTING = frozenset({"_assert", "_assert_async", "_assert_tensor_metadata"})

#: What raises because the numbers are not there.
UNKNOWN = (DataDependentOutputException, DynamicOutputShapeException)

KEEP = "Keep the module whole"
LEAVE = f"{KEEP}, or write it in words as a Sequential."


OWN_LAYER = "Put it into a layer of its own: a module that holds it, and whose forward uses it."


class Recorder(TorchFunctionMode):
    """Runs a module once and keeps what it does.

    Args:
        root: the module.
        whole: the modules that stay whole, by their identity, with the reason; those that turn out so are added.
        leaf: whether a module is to stay whole because the user says so.
        training: the mode of the root, if it is not the one in which it is.
    """

    def __init__(
        self, root: nn.Module, whole: dict[int, str], leaf: Callable[[nn.Module], bool], training: bool | None = None
    ) -> None:
        super().__init__()
        self.root, self.whole, self.leaf, self.training = root, whole, leaf, training
        self.world = StandIns(None)
        self.paths: dict[int, list[str]] = {}
        for path, module in root.named_modules(remove_duplicate=False):
            self.paths.setdefault(id(module), []).append(path)
        self.count = 0
        #: The node of each value by the identity of the value; the values are kept, so that identities stay theirs.
        self.known: dict[int, Node] = {}
        self.kept: list[Any] = []
        #: The node that changed a memory in place last.
        self.overwritten: dict[int, Node] = {}
        #: From which values a type was read.
        self.reads: dict[Any, Node | None] = {}
        self.call = Call(root, "", None)
        self.followed: set[int] = set()
        #: The paths of layers that have been called: a layer at two paths is called under each of them.
        self.used: set[str] = set()
        self.busy = False
        self.made = Record(self.call, {})

    def record(self, arguments: inspect.BoundArguments) -> Record:
        """What the forward does with these arguments."""
        for module in self.root.modules():
            twin = self.world.module(module)
            drop_hooks(twin)
            twin.__dict__["forward"] = partial(self.called, module, twin.forward)
            twin.__dict__["train"] = partial(self.mode_set, twin.train)
        twin = self.world.module(self.root)
        forward = twin.__dict__["forward"].args[1]
        if self.training is not None:
            twin.__dict__["training"] = self.training
        with apart(), self.world.mode:
            self.enter(arguments)
            self.flag(self.call)
            with self:
                result = forward(*arguments.args, **arguments.kwargs)
                self.made.returned = type(result)
                self.call.result = self.converted(result)
        return self.made

    def enter(self, arguments: inspect.BoundArguments) -> None:
        """The values that the root receives become fake, and nodes."""
        for name, value in list(arguments.arguments.items()):
            kind = arguments.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                arguments.arguments[name] = tuple(self.entered(f"{name}_{i}", each) for i, each in enumerate(value))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                arguments.arguments[name] = {key: self.entered(key, each) for key, each in value.items()}
            else:
                arguments.arguments[name] = self.entered(name, value)
        self.call.inputs = list(self.made.inputs.values())

    def entered(self, name: str, value: Any) -> Any:
        """A value that the root receives; what is no tensor is a constant."""
        if not isinstance(value, Tensor):
            return value
        fake = self.world.tensor(value)
        if id(fake) in self.known:  # one tensor given twice is two values
            fake = torch.empty_like(fake)
        node = Node("input", None, (), {}, self.call, self.next(), variables=[name], example=fake)
        self.made.inputs[name] = node
        self.keep(fake, node)
        return fake

    def next(self) -> int:
        """The index of the next node."""
        self.count += 1
        return self.count - 1

    # Calls of modules

    def called(self, module: nn.Module, forward: Any, *args: Any, **named: Any) -> Any:
        """A module is called: it is followed, or it is a layer."""
        if self.busy:
            return forward(*args, **named)
        if self.is_layer(module):
            return self.layer(module, forward, args, named)
        path = self.path_of(module)
        if id(module) in self.followed or not below(path, self.call.path):
            # What is called twice, or from where it does not belong, has its layers under one key only.
            self.whole[id(module)] = "is called several times"
            return self.layer(module, forward, args, named)
        self.followed.add(id(module))
        call = Call(module, path, self.call)
        call.inputs = [self.known[id(each)] for each in tensors_in((args, named)) if id(each) in self.known]
        self.call.items.append(call)
        self.call = call
        self.flag(call)
        result = forward(*args, **named)
        call.result = self.converted(result)
        assert call.parent is not None
        self.call = call.parent
        return result

    def is_layer(self, module: nn.Module) -> bool:
        """Whether a module is a layer, whose inside does not matter."""
        if id(module) in self.whole or self.leaf(module) or has_hooks(module) or is_of_torch(module):
            return True
        if module._compiled_call_impl is not None or isinstance(module, torch.jit.ScriptModule):
            return True
        if sets_modes(module) and module is not self.root:
            return True
        return is_plain(module) and all(self.is_layer(child) for child in module.children())

    def layer(self, module: nn.Module, forward: Any, args: Any, named: Any) -> Any:
        """A layer is called."""
        path = self.path_of(module)
        others = [each for each in self.paths[id(module)] if below(each, self.call.path) and each not in self.used]
        path = path if path not in self.used or not others else others[0]
        self.used.add(path)
        if not below(path, self.call.path) and any(True for _ in module.parameters()):
            self.keep_whole(f"it calls {constructor(module)}, which is no module inside it", "Make it a child of the module.")
        self.busy = True
        try:
            return self.operation("layer", module, forward, args, named, path)
        finally:
            self.busy = False

    def path_of(self, module: nn.Module) -> str:
        """The path of a module: below the module that is being followed, if it has one there."""
        paths = self.paths[id(module)]
        return next((path for path in paths if below(path, self.call.path)), paths[0])

    def flag(self, call: Call) -> None:
        """The mode of a module that is followed becomes one that notices who asks for it."""
        state = self.world.module(call.module).__dict__
        if isinstance(state.get("training"), bool):
            flag = Flag(state["training"])
            flag.asked = partial(self.mode_asked, call)
            state["training"] = flag

    def mode_asked(self, call: Call) -> None:
        """Somebody asks whether a module is in training, to do one thing or another."""
        if call.parent is None:
            self.made.decided.append(place_in(user_frame()))
        else:
            self.whole[id(call.module)] = "it does other things in training than in evaluation"

    def mode_set(self, train: Callable[[bool], Any], mode: bool = True) -> Any:
        """The forward itself sets the mode of a module, which nobody would do in the result."""
        if not self.busy and self.call.parent is None:
            self.made.switched.append(place_in(user_frame()))
        elif not self.busy:
            self.whole[id(self.call.module)] = "it sets the mode of its layers"
        return train(mode)

    # Functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if self.busy:
            return func(*args, **named)
        self.busy = True
        try:
            return self.function(func, getattr(func, "__name__", ""), args, named)
        finally:
            self.busy = False

    def function(self, func: Any, name: str, args: Any, named: dict[str, Any]) -> Any:
        """A function of torch is called."""
        if name == "__get__":
            return self.attribute(func.__self__.__name__, func, args[0])
        if name == "size":
            sizes = self.size(args[0])
            dims = [*args[1:], *named.values()]
            return sizes[dims[0]] if dims and dims[0] is not None else sizes
        if name in ASSERTING:
            return None
        if name in ASKING and tensors_in(args):
            self.refuse(f"it asks for the numbers of a value ({name.strip('_')}), which are not known before the network runs")
        if name == "__setitem__" and tensors_in((args, named)):
            self.operation("function", with_part, partial(written_into, func), args, named)
            return None
        if not tensors_in((args, named)):
            result = func(*mapped(args, plain), **mapped(named, plain))
            return self.given(Node("function", func, *self.arguments(args, named), self.call, 0), result, ())
        return self.operation("function", func, func, args, named)

    def attribute(self, name: str, func: Any, value: Tensor) -> Any:
        """An attribute of a value is read."""
        if name == "shape":
            return self.size(value)
        result = func(value)
        if name == "dtype":
            self.reads[result] = self.known.get(id(value))
        elif isinstance(result, Tensor) and name != "grad":
            return self.given(Node("function", Attribute(name), (self.converted(value),), {}, self.call, 0), result, ())
        return result

    def size(self, value: Tensor) -> Any:
        """The sizes of a value; those of a parameter are plain numbers."""
        if id(value) not in self.known:
            return value.size()
        self.made.sized = True
        node = self.known[id(value)]
        return torch.Size([known(size, size_of, node, dim) for dim, size in enumerate(value.size())])

    # What is computed

    def operation(self, kind: str, function: Any, run: Any, args: Any, named: Any, path: str = "") -> Any:
        """A layer or function is called, and what it gives noted."""
        before = [(each, each._version) for each in tensors_in((args, named)) if id(each) in self.known]
        node = Node(kind, function, *self.arguments(args, named), self.call, 0, path=path)
        if getattr(function, "__name__", "") not in DROPOUTS:
            mapped((args, named), ask)
        try:
            result = run(*mapped(args, plain), **mapped(named, plain))
        except UNKNOWN:
            if kind != "layer":
                self.refuse("the size of what it computes depends on numbers, which are not known before the network runs")
            result = self.computed(function, args, named)
        if not isinstance(node.function, nn.Module) and is_named_in_place(node.function) and args and result is args[0]:
            changed = [args[0]]
        else:
            changed = [each for each, version in before if each._version != version]
        return self.given(node, result, changed)

    def computed(self, module: nn.Module, args: Any, named: Any) -> Any:
        """What a layer gives that cannot do without numbers: a copy of it gets zeros."""
        with unset_fake_temporarily():
            given, given_named = (mapped(each, zeros_like) for each in (args, named))
            result = copy.deepcopy(module)(*given, **given_named)
        return tree_map_only(Tensor, lambda each: self.world.tensor(each.detach()), result)

    def arguments(self, args: Any, named: Any) -> tuple[Any, Any]:
        """Arguments with nodes in the place of values."""
        return self.converted(tuple(args)), self.converted(dict(named))

    def given(self, node: Node, result: Any, changed: Sequence[Tensor]) -> Any:
        """Notes what a node gives; a value that was changed in place is from now on what the node gives."""
        if not tensors_in(result):
            self.made.sized = True
            return known(result, node.function, *node.args) if not node.named and nodes_in(node.args) else result
        frame = user_frame()
        node.index, node.place, node.example = self.next(), place_in(frame), result
        names = stored_names(frame)
        node.variables = [name for name in names if name is not None] if len(names) == 1 else []
        self.note_variables(node, frame)
        if not torch.is_grad_enabled():
            self.keep_whole("it computes without gradients", LEAVE)
        for each in changed:
            self.overwritten[storage_of(each)] = node
        if node.kind == "function" and type(result) in (tuple, list):
            self.made.sized = True  # how many parts there are may depend on a size
        self.call.items.append(node)
        return self.named_parts(node, result, changed, names if len(names) > 1 else [])

    def named_parts(self, node: Node, result: Any, changed: Sequence[Tensor], names: Sequence[str | None] = ()) -> Any:
        """Makes the value known, or the parts of a tuple, each as a value of its own."""
        if isinstance(result, Tensor):
            if id(result) in self.known and not any(each is result for each in changed):
                result = result.view_as(result)  # passed through: from now on a value of its own
            self.keep(result, node)
            return result
        if not isinstance(result, tuple | list | dict):
            return result
        self.keep(result, node)
        parts = []
        for i, (key, each) in enumerate(result.items() if isinstance(result, dict) else enumerate(result)):
            item = Node("item", key, (node,), {}, self.call, self.next(), node.place, example=each)
            item.variables = [name for name in names[i : i + 1] if name is not None]
            if isinstance(each, Tensor | tuple | list | dict):
                self.call.items.append(item)
            parts.append(self.named_parts(item, each, changed))
        if all(new is old for new, old in zip(parts, values_of(result), strict=True)):
            return result
        parted = dict(zip(result, parts, strict=True)) if isinstance(result, dict) else type(result)(parts)
        self.keep(parted, node)
        return parted

    def note_variables(self, node: Node, frame: Any) -> None:
        """Notes how the user's code calls the operands of a node."""
        for identity, name in variables(frame).items():
            if (operand := self.known.get(identity)) is not None:
                node.called[operand.index] = name
                if name not in operand.variables:
                    operand.variables.append(name)

    def keep(self, value: Any, node: Node) -> None:
        """The value is what this node gives."""
        self.known[id(value)] = node
        self.kept.append(value)

    def converted(self, value: Any) -> Any:
        """Arguments or results with nodes in the place of values."""
        if isinstance(value, tuple | list | dict) and id(value) in self.known:
            return self.known[id(value)]
        if isinstance(value, tuple | list):
            return (tuple if isinstance(value, tuple) else list)(self.converted(each) for each in value)
        if isinstance(value, dict):
            return {key: self.converted(each) for key, each in value.items()}
        return mapped(value, self.node_of)

    def node_of(self, value: Any) -> Any:
        """The node of a value; types and devices that were read from a value are what they are there."""
        if isinstance(value, Tensor):
            node = self.known.get(id(value))
            if node is None:
                self.keep_whole(f"it uses {self.owned(value)} directly", OWN_LAYER)
                return Node("function", None, (), {}, self.call, 0)
            change = self.overwritten.get(storage_of(value), node)
            if change.index > node.index:
                self.refuse("it reads a value that was overwritten in place before", out_of_place(change))
            return node
        if isinstance(value, torch.dtype) and value in self.reads and not literal_in(user_frame(), value):
            origin = self.reads[value]
            if origin is None:
                self.keep_whole("it depends on the type of a parameter", LEAVE)
                return value
            return Number(Attribute("dtype"), (origin,))
        if isinstance(value, torch.device) and self.call.inputs and not literal_in(user_frame(), value):
            # Fake tensors do not tell that they are asked: the device of a module is that of its input.
            origin = self.call.inputs[0]
            return Number(Attribute("device"), (origin,)) if same_device(origin.example, value) else value
        return value

    def owned(self, value: Tensor) -> str:
        """What a tensor is that is no value of the forward."""
        for what, tensors in (("parameter", self.root.named_parameters()), ("buffer", self.root.named_buffers())):
            for path, each in tensors:
                if self.world.tensors.get(id(each)) is value:
                    return f"the {what} {path!r}"
        return "a tensor that it holds"

    # What cannot be followed

    def keep_whole(self, why: str, advice: str) -> None:
        """The module at hand must stay whole, which its layers and keys allow."""
        if self.call.parent is None:
            self.fail(why, advice)
        self.whole[id(self.call.module)] = why

    def refuse(self, why: str, advice: str = LEAVE) -> NoReturn:
        """The module at hand cannot be followed: if it has no layers it stays whole."""
        if self.call.parent is None or any(True for _ in self.call.module.children()):
            self.fail(why, advice)
        self.whole[id(self.call.module)] = why
        raise Again

    def fail(self, why: str, advice: str) -> NoReturn:
        """The module at hand cannot be followed."""
        raise Untraceable(self.call.path, self.call.module, why, advice, place_in(user_frame()))


def written_into(write: Any, value: Tensor, index: Any, part: Any) -> Tensor:
    """The value after ``value[index] = part``."""
    write(value, index, part)
    return value


def out_of_place(change: Node) -> str:
    """What to write instead of an operation that changes a value."""
    if change.named.get("inplace") or getattr(change.function, "inplace", False):
        return "Write inplace=False."
    advice = "Write the line that overwrites it out of place: y = y + ..."
    return f"{advice}\n  {change.place}" if change.place else advice


def ask(value: Any) -> None:
    """Notes that the mode decides, where it is passed on to something that is no dropout."""
    if isinstance(value, Flag):
        value.asked()


def zeros_like(value: Any) -> Any:
    """A real tensor in the place of a fake one."""
    return torch.zeros(value.shape, dtype=value.dtype, device=value.device) if isinstance(value, Tensor) else plain(value)


def values_of(result: Any) -> Sequence[Any]:
    """The parts of a tuple, list or dict."""
    return tuple(result.values()) if isinstance(result, dict) else tuple(result)


def same_device(example: Any, device: torch.device) -> bool:
    """Whether a value is on a device."""
    return isinstance(example, Tensor) and example.device == device


def sets_modes(module: nn.Module) -> bool:
    """Whether a module has a way of its own to go into training or evaluation, as one that keeps its statistics frozen has."""
    return any(getattr(getattr(module, name), "__func__", None) is not getattr(nn.Module, name) for name in ("train", "eval"))


def drop_hooks(twin: nn.Module) -> None:
    """Takes the user's hooks from a stand-in; those by which torch makes weights stay."""
    for name in HOOKS:
        hooks: Mapping[int, Any] = getattr(twin, name)
        for key in [key for key, hook in hooks.items() if not type(hook).__module__.startswith("torch.")]:
            del hooks[key]  # type: ignore[attr-defined]


def is_of_torch(module: nn.Module) -> bool:
    """Whether the forward of a module is torch's own, but for containers that run their children in order."""
    return forward_owner(module).__module__.partition(".")[0] == "torch" and not is_plain(module)
