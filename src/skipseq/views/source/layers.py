"""A layer as the constructor that builds one like it; it is built once, without memory, and compared."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skipseq.declare.constructors import known_arguments, simple
from skipseq.declare.containers import has_hooks
from skipseq.declare.projection import Projection

from .functions import Imports, Unwritable, literal
from .trees import Given, Made, Path, Value

__all__ = ["layer_tree", "settled_dtype"]


def layer_tree(module: nn.Module, path: Path, imports: Imports, usual: torch.dtype) -> Made | None:
    """The constructor of a layer, or nothing if none is known that builds one like it.

    Args:
        module: the layer.
        path: where it stands in its class.
        imports: what the file imports.
        usual: the type of numbers that needs no mention.
    """
    if isinstance(module, Projection):
        return projection_tree(module, path, imports, usual)
    if is_watched(module) or not rebuilds(module):
        return None
    dtype = settled_dtype([module])
    tree = made(module, path, imports)
    if tree is None or dtype is None or dtype is usual:
        return tree
    text = Value(repr(dtype), "torch.dtype")
    if "dtype" in inspect.signature(type(module)).parameters or isinstance(module, nn.RNNBase):
        return Made(tree.function, (*tree.given, Given("dtype", text)), tree.suffix, path)
    return Made(tree.function, tree.given, f"{tree.suffix}.to({dtype!r})", path)


def projection_tree(module: Projection, path: Path, imports: Imports, usual: torch.dtype) -> Made | None:
    """The layer that a projection has become."""
    outputs, inputs = module.weight.shape[:2]
    stride = module.stride or ()
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(stride) - 1]
    with torch.device("meta"):
        layer: nn.Module = kind(inputs, outputs, 1, stride) if stride else nn.Linear(inputs, outputs)
    layer.to(module.weight.dtype).requires_grad_(module.weight.requires_grad)
    return layer_tree(layer, path, imports, usual)


def made(module: nn.Module, path: Path, imports: Imports) -> Made | None:
    """The constructor of a module with the arguments that its attributes keep."""
    name, known = imports.reference(type(module)), known_arguments(module)
    if name is None or known is None:
        return None
    given = []
    for each in known:
        try:
            tree = made(each.value, (), imports) if isinstance(each.value, nn.Module) else value_tree(each.value, imports)
        except Unwritable:
            return None
        if tree is None:
            return None
        given.append(Given(each.name, tree, each.usual, each.position))
    return Made(name, tuple(given), ".requires_grad_(False)" if is_frozen(module) else "", path)


def value_tree(value: Any, imports: Imports) -> Value:
    """An argument that is no layer."""
    return Value(literal(value, imports), type_text(value))


def type_text(value: Any) -> str:
    """The type of a value as one writes it."""
    if isinstance(value, tuple):
        return f"tuple[{', '.join(map(type_text, value)) or '()'}]"
    if isinstance(value, list):
        return f"list[{' | '.join(dict.fromkeys(map(type_text, value)))}]"
    return "None" if value is None else type(value).__name__


def is_frozen(module: nn.Module) -> bool:
    """Whether none of the parameters of a layer is trained."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(each.requires_grad for each in parameters)


def is_watched(module: nn.Module) -> bool:
    """Whether a layer has hooks, which no constructor brings, or a forward of its own."""
    lazy = module.has_uninitialized_params() if isinstance(module, nn.modules.lazy.LazyModuleMixin) else False
    return any("forward" in vars(each) or (not lazy and has_hooks(each)) for each in module.modules())


def rebuilds(module: nn.Module) -> bool:
    """Whether the constructor with the known arguments builds a module like this one."""
    try:
        with warnings.catch_warnings(), torch.device("meta"), torch.random.fork_rng(devices=()):
            warnings.simplefilter("ignore")
            twin = rebuilt(module)
    except Exception:  # whatever a foreign constructor raises
        return False
    if twin is None:
        return False
    dtype = settled_dtype([module])
    return alike(module, twin if dtype is None else twin.to(dtype))


def rebuilt(module: nn.Module) -> nn.Module | None:
    """A module that the constructor builds from the known arguments."""
    known = known_arguments(module)
    if known is None:
        return None
    given = {each.name: rebuilt(each.value) if isinstance(each.value, nn.Module) else each.value for each in known}
    twin: nn.Module = type(module)(**given)
    return twin


def alike(module: nn.Module, twin: nn.Module) -> bool:
    """Whether two modules have the same layers, the same tensors but for their numbers, and the same settings."""
    pairs = list(zip(module.named_modules(), twin.named_modules(), strict=False))
    if [*dict(module.named_modules())] != [*dict(twin.named_modules())]:
        return False
    if tensors_of(module) != tensors_of(twin) or any(type(one) is not type(other) for (_, one), (_, other) in pairs):
        return False
    try:
        return all(settings_of(one) == settings_of(other) for (_, one), (_, other) in pairs)
    except Exception:  # whatever a foreign comparison raises
        return False


def tensors_of(module: nn.Module) -> list[tuple[Any, ...]]:
    """The parameters and buffers of a module: names, shapes and types."""
    found = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    kept = [*module.state_dict(keep_vars=True)]
    return [kept, *((name, None if is_lazy(each) else tuple(each.shape), each.dtype) for name, each in found)]  # type: ignore[list-item]


def settings_of(module: nn.Module) -> dict[str, Any]:
    """What a module keeps besides its layers and tensors."""
    return {
        name: simple(name, value)  # one number says the same as one for each dimension
        for name, value in vars(module).items()
        if name != "training" and not isinstance(value, Tensor | nn.Module) and name not in BOOKKEEPING
    }


#: What every module has for its layers, tensors and hooks.
BOOKKEEPING = frozenset({*vars(nn.Module()), "_load_hook", "_initialize_hook", "_flat_weights", "_flat_weight_refs"})


def settled_dtype(modules: list[nn.Module]) -> torch.dtype | None:
    """The one type of the floating numbers in the tensors of modules, or nothing if there are none or several."""
    found = {
        tensor.dtype
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.is_floating_point() or tensor.is_complex()
    }
    return found.pop() if len(found) == 1 else None
