"""A record from an exported program, for forwards that only ``torch.export`` can follow: masks, changes through views, scripts.

The program is a line of functions of torch, each with the modules in whose calls it came about. Those of a layer become one
call of the layer again; the others keep their functions.
"""

from __future__ import annotations

import copy
import inspect
import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from .frames import Place
from .numbers import known, size_of
from .recording import Call, Node, Record, mapped

__all__ = ["NotExported", "exported"]


#: The end of a slice that goes up to the last.
LAST = 9223372036854775807


class NotExported(Exception):
    """The exported program cannot be written as layers and functions."""


def exported(
    root: nn.Module, arguments: inspect.BoundArguments, is_layer: Callable[[nn.Module], bool], training: bool
) -> Record:
    """The record of a module by way of ``torch.export``, in training or in evaluation.

    Raises:
        NotExported: if its program does not consist of whole layers and functions of values.
    """
    twin = copy.deepcopy(root)
    if training != root.training:
        twin.train(training)
    try:
        program = run_export(twin, arguments)
    except Exception as error:
        raise NotExported(str(error)) from error
    return ProgramReader(root, program, arguments, is_layer).record()


def run_export(module: nn.Module, arguments: inspect.BoundArguments) -> ExportedProgram:
    """The program of a module, in functions that change nothing in place."""
    free = {name: free_sizes(value) for name, value in arguments.arguments.items()}
    last: Exception | None = None
    for strict in (False, True):
        try:
            with warnings.catch_warnings(), quiet():
                warnings.simplefilter("ignore")
                program = torch.export.export(
                    module, arguments.args, arguments.kwargs, dynamic_shapes=free_shapes(free, arguments), strict=strict
                )
                functional: ExportedProgram = program.run_decompositions({})
                return functional
        except Exception as error:
            last = last or error
    assert last is not None
    raise last


@contextmanager
def quiet() -> Iterator[None]:
    """What torch prints and logs about a program that cannot be exported is not shown."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def free_shapes(free: Mapping[str, Any], arguments: inspect.BoundArguments) -> Any:
    """The sizes that stay open, in the form that export wants."""
    return {name: each for name, each in free.items() if name in arguments.arguments}


def free_sizes(value: Any) -> Any:
    """Every size of a tensor stays open where that is possible."""
    if isinstance(value, tuple | list):
        return type(value)(map(free_sizes, value))
    return dict.fromkeys(range(value.dim()), Dim.AUTO) if isinstance(value, Tensor) else None


class ProgramReader:
    """Goes through the nodes of a program in order."""

    def __init__(
        self,
        root: nn.Module,
        program: ExportedProgram,
        arguments: inspect.BoundArguments,
        is_layer: Callable[[nn.Module], bool],
    ) -> None:
        self.root, self.program, self.arguments, self.is_layer = root, program, arguments, is_layer
        self.call = Call(root, "", None)
        self.made = Record(self.call, {})
        #: What each node of the program is: a node, or a number.
        self.values: dict[fx.Node, Any] = {}
        #: The calls that are open, by the keys under which the program knows them.
        self.open: list[tuple[str, Call]] = [("", self.call)]
        self.groups: dict[str, list[fx.Node]] = {}
        self.modules = dict(root.named_modules(remove_duplicate=False))
        self.count = 0

    def record(self) -> Record:
        """The record of the whole program."""
        self.read_inputs()
        self.find_groups()
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self.read(node)
        self.read_results()
        return self.made

    def read_inputs(self) -> None:
        """The values that the program receives."""
        names = [name for name, value in self.arguments.arguments.items() for _ in ([0] if isinstance(value, Tensor) else [])]
        placeholders = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        given = [each for each in self.program.graph_signature.input_specs if each.kind is InputKind.USER_INPUT]
        tensors = [
            placeholders[each.arg.name] for each in given if isinstance(placeholders[each.arg.name].meta.get("val"), Tensor)
        ]
        if len(names) != len(tensors):
            raise NotExported("its inputs are not tensors one by one")
        for name, placeholder in zip(names, tensors, strict=True):
            node = Node("input", None, (), {}, self.call, self.next(), variables=[name], example=example_of(placeholder))
            self.values[placeholder] = self.made.inputs[name] = node
        self.call.inputs = list(self.made.inputs.values())

    def next(self) -> int:
        """The index of the next node."""
        self.count += 1
        return self.count - 1

    def read_results(self) -> None:
        """The values that the program returns, without the statistics that it changes."""
        output = next(node for node in self.program.graph.nodes if node.op == "output")
        specs = self.program.graph_signature.output_specs
        returned = [node for node, spec in zip(output.args[0], specs, strict=True) if spec.kind is OutputKind.USER_OUTPUT]
        results = [self.values.get(node) for node in returned]
        if not results or not all(isinstance(each, Node) for each in results):
            raise NotExported("it returns something that is no value")
        tree = self.program.call_spec.out_spec
        self.made.returned = tuple if tree is None or tree.type is None else tree.type
        self.call.result = results[0] if tree is None or tree.type is None else tuple(results)

    # Which nodes make up a layer

    def find_groups(self) -> None:
        """The nodes of each call of a layer."""
        for node in self.program.graph.nodes:
            if node.op == "call_function" and (key := self.layer_key(node)) is not None:
                self.groups.setdefault(key, []).append(node)

    def stack(self, node: fx.Node) -> list[tuple[str, str]]:
        """The calls around a node, from the root: the key of each call and the path of its module."""
        stack = node.meta.get("nn_module_stack") or {}
        calls = [(key, path.partition("@")[0]) for key, (path, _) in stack.items()]
        return [(key, path) for key, path in calls if path in self.modules and path]

    def layer_key(self, node: fx.Node) -> str | None:
        """The call of the outermost layer to which a node belongs."""
        for key, path in self.stack(node):
            if self.is_layer(self.modules[path]):
                return key
        return None

    def read(self, node: fx.Node) -> None:
        """One node of the program."""
        key = self.layer_key(node)
        if key is None:
            self.enter(self.stack(node))
            self.read_function(node)
        elif node is self.groups[key][0]:
            stack = self.stack(node)
            keys = [each for each, _ in stack]
            self.enter(stack[: keys.index(key)])
            self.read_layer(self.groups[key], dict(stack)[key])

    def enter(self, stack: list[tuple[str, str]]) -> None:
        """Opens and closes calls until those around a node are open."""
        keys = ["", *(key for key, _ in stack)]
        while [key for key, _ in self.open] != keys[: len(self.open)]:
            self.open.pop()
        for key, path in stack[len(self.open) - 1 :]:
            around = self.open[-1][1]
            call = Call(self.modules[path], path, around)
            around.items.append(call)
            self.open.append((key, call))
        self.call = self.open[-1][1]

    def read_layer(self, group: list[fx.Node], path: str) -> None:
        """The nodes of one call of a layer are the layer again, if it takes one value and gives one."""
        inside = set(group)
        taken = dict.fromkeys(each for node in group for each in node.all_input_nodes if each not in inside)
        operands = [self.values[each] for each in taken if isinstance(self.values.get(each), Node)]
        changed = self.changed()
        given = [
            node
            for node in group
            if any(user not in inside and (user.op != "output" or node not in changed) for user in node.users)
        ]
        if len(operands) != 1 or len(given) != 1:
            raise NotExported(f"the layer {path!r} takes {len(operands)} values and gives {len(given)}")
        module = self.modules[path]
        made = Node(
            "layer",
            module,
            (operands[0],),
            {},
            self.call,
            self.next(),
            place_of(group[0]),
            example=example_of(given[0]),
            path=path,
        )
        self.values[given[0]] = made
        self.call.items.append(made)

    def changed(self) -> set[fx.Node]:
        """The nodes that are new statistics."""
        nodes = {node.name: node for node in self.program.graph.nodes}
        specs = self.program.graph_signature.output_specs
        return {nodes[each.arg.name] for each in specs if each.kind is OutputKind.BUFFER_MUTATION}

    # Functions

    def read_function(self, node: fx.Node) -> None:
        """A function of values, or a number made of sizes."""
        args, named = mapped(node.args, self.value), mapped(dict(node.kwargs), self.value)
        if node.target is torch.ops.aten.sym_size.int:
            self.values[node] = known(int_of(node.meta["val"]), size_of, *args)
        elif not isinstance(node.meta.get("val"), Tensor | tuple | list):
            value = node.meta.get("val")
            self.values[node] = known(int_of(value), node.target, *args) if isinstance(value, torch.SymInt) else value
        elif node.target is operator.getitem:
            self.add(Node("item", args[1], (args[0],), {}, self.call, 0), node)
        elif (same := passed_on(node, args)) is not None:
            self.values[node] = same
        elif (index := index_of(node.target, args)) is not None:
            self.add(Node("function", torch.Tensor.__getitem__, (args[0], index), {}, self.call, 0), node)
        else:
            if named.get("pin_memory") is False:
                named.pop("pin_memory")
            self.add(Node("function", python_function(node.target), args, named, self.call, 0), node)

    def add(self, made: Node, node: fx.Node) -> None:
        """A node of the record for one of the program."""
        made.index, made.place, made.example = self.next(), place_of(node), example_of(node)
        self.values[node] = made
        self.call.items.append(made)

    def value(self, value: Any) -> Any:
        """An argument, with nodes and numbers in the place of nodes of the program."""
        if not isinstance(value, fx.Node):
            return value
        if value not in self.values:
            raise NotExported(f"it uses {value.name} directly")
        return self.values[value]


def passed_on(node: fx.Node, args: tuple[Any, ...]) -> Any:
    """The value that an operation gives unchanged: a slice of everything, or what is put in the place of everything."""
    name = str(node.target)
    if name == "aten.slice.Tensor" and slice_of(args[2:]) == slice(None):
        return args[0]
    return args[1] if name == "aten.slice_scatter.default" and slice_of(args[3:]) == slice(None) else None


def slice_of(ends: tuple[Any, ...]) -> slice:
    """A slice with these ends and step, without those that are usual anyway."""
    start, end, step = [*ends, None, None, None][:3]
    usual_end = isinstance(end, int) and end == LAST
    return slice(None if is_number(start, 0) else start, None if usual_end else end, None if is_number(step, 1) else step)


def is_number(value: Any, number: int) -> bool:
    """Whether a value is this number, and no size that only happens to be."""
    return type(value) is int and value == number


def index_of(target: Any, args: tuple[Any, ...]) -> Any:
    """The index between brackets that an operation stands for, if it is indexing."""
    name = str(target)
    if name == "aten.index.Tensor":
        places = tuple(slice(None) if each is None else each for each in args[1])
        return places[0] if len(places) == 1 else places
    if name not in ("aten.select.int", "aten.slice.Tensor"):
        return None
    dim = args[1] if len(args) > 1 else 0
    place = args[2] if name == "aten.select.int" else slice_of(args[2:])
    return (*[slice(None)] * dim, place) if dim else place


def python_function(target: Any) -> Any:
    """The function of torch, or the method of tensors, for an operation."""
    packet = getattr(target, "overloadpacket", target)
    name = getattr(packet, "__name__", "")
    if getattr(target, "namespace", "") != "aten" or packet is target:
        return packet
    method, function = getattr(torch.Tensor, name, None), getattr(torch, name, None)
    if name in ("copy", "index") or not callable(method or function):
        return packet
    return method if callable(method) else function


def example_of(node: fx.Node) -> Any:
    """The value of a node without numbers, in the sizes of the example."""

    def concrete(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return torch.empty([int_of(size) for size in value.shape], dtype=value.dtype, device="meta")

    return mapped(node.meta.get("val"), concrete)


def int_of(size: Any) -> int:
    """A size as it is in the example; of one that is only known when numbers are, any."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    return int(size.node.hint) if size.node.has_hint() else 0


def place_of(node: fx.Node) -> Place | None:
    """The line of the user's code from which a node comes."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip().startswith("File ")]
    if not lines:
        return None
    file, number = lines[-1].removeprefix('File "').partition('", line ')[::2]
    return Place((file, int(number.partition(",")[0])))
