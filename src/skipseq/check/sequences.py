"""What the layers of torch for sequences expect: recurrent layers, attention, transformers; and layers of several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.constructors import constructor

from .problems import Finder, Problem, Try, before, counted, rebuilt

__all__ = ["FAMILIES", "second_problem"]

#: What brings (batch, features, tokens) to (batch, tokens, features).
TO_LAST = partial(torch.movedim, source=1, destination=-1)


def recurrent_problem(module: Any, x: Tensor, _: bool | None) -> Problem | None:
    """Features stand in the last dimension of (steps, batch, features) or (batch, steps, features)."""
    batch_first = getattr(module, "batch_first", False)
    order = "(batch, steps, features)" if batch_first else "(steps, batch, features)"
    if isinstance(module, nn.RNNCellBase):
        order = "(batch, features)"
    if x.dim() not in ((1, 2) if isinstance(module, nn.RNNCellBase) else (2, 3)):
        tries = [before(module, nn.Flatten(2))] if x.dim() > 3 else []
        if isinstance(module, nn.RNNCellBase) and x.dim() == 3:
            whole = getattr(nn, type(module).__name__.removesuffix("Cell"))
            tries += rebuilt(module, whole, note="it takes all steps, in (steps, batch, features)")
        return Problem(f"it expects {order} and receives {counted(x.dim(), 'dimension')}", tuple(tries))
    if x.shape[-1] == module.input_size:
        return None
    text = (
        f"it expects {counted(module.input_size, 'feature')} in dimension {x.dim() - 1}, of {order}, and receives {x.shape[-1]}"
    )
    tries = [before(module, TO_LAST)] if batch_first and x.dim() == 3 and x.shape[1] == module.input_size else []
    return Problem(text, (*tries, *rebuilt(module, input_size=x.shape[-1])))


def features_text(expected: int, x: Tensor, order: str) -> str:
    """Features expected, against those received."""
    return f"it expects {counted(expected, 'feature')} in dimension {x.dim() - 1}, of {order}, and receives {x.shape[-1]}"


def transformer_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """Features stand in the last dimension."""
    attention = (module.layers[0] if isinstance(module, STACKS) else module).self_attn
    return width_problem(module, x, attention.embed_dim, attention.batch_first, tokens)


#: Stacks of transformer layers.
STACKS = (nn.TransformerEncoder, nn.TransformerDecoder)


def attention_problem(module: Any, x: Tensor, tokens: bool | None) -> Problem | None:
    """The query has as many features as the layer; keys and values have their own number."""
    return width_problem(module, x, module.embed_dim, module.batch_first, tokens)


def width_problem(module: Any, x: Tensor, expected: int, batch_first: bool, tokens: bool | None) -> Problem | None:
    """A layer of a fixed width is given a value of another one: a linear layer before it brings it there."""
    order = "(batch, tokens, features)" if batch_first else "(tokens, batch, features)"
    if x.dim() not in (2, 3):
        flat = batch_first and x.dim() == 4 and x.shape[1] == expected
        unrolled = [before(module, nn.Flatten(2), TO_LAST)] if flat else []
        return Problem(f"it expects {order} and receives {counted(x.dim(), 'dimension')}", tuple(unrolled))
    if x.shape[-1] == expected:
        return None
    with torch.device("meta"):
        layer = nn.Linear(x.shape[-1], expected)
    turned = batch_first and x.dim() == 3 and x.shape[1] == expected and not tokens
    tries = (*([before(module, TO_LAST)] if turned else []), before(module, layer))
    return Problem(features_text(expected, x, order), tries, wanted=None if turned else expected)


# Layers of several inputs


def second_problem(module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any]) -> Problem | None:
    """What does not fit among the further inputs of a layer that takes several."""
    if (missing := missing_problem(module, takes, named)) is not None:
        return missing
    if isinstance(module, nn.Bilinear):
        return bilinear_problem(module, takes)
    if isinstance(module, nn.MultiheadAttention):
        names = ("query", "key", "value")
        given = dict(zip(names, takes, strict=False)) | {name: each for name, each in named.items() if name in names}
        if all(isinstance(each, Tensor) for each in given.values()):
            return keys_problem(module, given) or batch_problem(module, given)
    if isinstance(module, nn.TransformerDecoderLayer | nn.TransformerDecoder):
        return memory_problem(module, dict(zip(("tgt", "memory"), takes, strict=False)) | dict(named))
    return None


def bilinear_problem(module: nn.Bilinear, takes: Sequence[Any]) -> Problem | None:
    """Both inputs have a number of features of their own."""
    shapes = [each.shape[-1] for each in takes[:2] if isinstance(each, Tensor) and each.dim()]
    pairs = zip(shapes, (module.in1_features, module.in2_features), strict=False)
    wrong = [(k, received, expected) for k, (received, expected) in enumerate(pairs) if received != expected]
    if not wrong:
        return None
    k, received, expected = wrong[0]
    text = f"it expects {counted(expected, 'feature')} in input {k + 1} and receives {received}"
    changes: dict[str, Any] = {f"in{k + 1}_features": received for k, received, _ in wrong}
    return Problem(text, tuple(rebuilt(module, **changes)), index=k)


def keys_problem(module: nn.MultiheadAttention, given: Mapping[str, Tensor]) -> Problem | None:
    """Keys and values have a number of features of their own."""
    wrong = {
        name: (given[name].shape[-1], expected)
        for name, expected in (("key", module.kdim), ("value", module.vdim))
        if name in given and given[name].dim() and given[name].shape[-1] != expected
    }
    if not wrong:
        return None
    name, (received, expected) = next(iter(wrong.items()))
    text = f"its {name} has {counted(received, 'feature')}, and it expects {expected}"
    changes: dict[str, Any] = {f"{name[0]}dim": received for name, (received, _) in wrong.items()}
    return Problem(text, tuple(rebuilt(module, **changes)))


def batch_problem(module: nn.MultiheadAttention, given: Mapping[str, Tensor]) -> Problem | None:
    """Query, key and value are of the same samples; key and value of the same tokens."""
    if len(given) < 3 or any(each.dim() != 3 for each in given.values()):
        return None
    batch, tokens = (0, 1) if module.batch_first else (1, 0)
    for d, first, what in ((batch, "query", "a batch of"), (tokens, "key", "as tokens")):
        for name in ("key", "value"):
            one, other = given[first].shape[d], given[name].shape[d]
            if one != other:
                text = f"its {first} has {what} {one} in dimension {d}, and its {name} {other}"
                tries = tuple(rebuilt(module, batch_first=not module.batch_first))
                return Problem(
                    text, tries, "Both must belong together: with batch_first=True the batch is dimension 0, else 1."
                )
    return None


def memory_problem(module: Any, given: Mapping[str, Any]) -> Problem | None:
    """A decoder attends to a memory of its own width."""
    memory = given.get("memory")
    layer = module.layers[0] if isinstance(module, STACKS) else module
    expected = layer.multihead_attn.kdim
    if not isinstance(memory, Tensor) or not memory.dim() or memory.shape[-1] == expected:
        return None
    with torch.device("meta"):
        linear = nn.Linear(memory.shape[-1], expected)
    text = f"its memory has {counted(memory.shape[-1], 'feature')}, and it expects {expected}"
    return Problem(text, (before(module, linear),), index="memory")


class OfItself(nn.Module):
    """An attention whose query, key and value are one value."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        """The value attends to itself."""
        return self.layer(x, x, x)


def missing_problem(module: nn.Module, takes: Sequence[Any], named: Mapping[str, Any]) -> Problem | None:
    """A layer of several inputs is given one."""
    if len(takes) + len(named) > 1:
        return None
    text = constructor(module)
    if isinstance(module, nn.MultiheadAttention):
        own = Try((OfItself(module),), write=f"call({text}, here, here, here)")
        return Problem("it takes a query, a key and a value, and receives one value", (own,))
    if isinstance(module, nn.Bilinear):
        return Problem("it takes two inputs and receives one", (), f"Name the second: call({text}, 'name').")
    if isinstance(module, nn.TransformerDecoderLayer | nn.TransformerDecoder):
        return Problem("it takes a value and a memory, and receives one value", (), "Name the memory: call(layer, 'memory').")
    return None


#: The families of layers and what finds their problems.
FAMILIES: tuple[tuple[Any, Finder], ...] = (
    ((nn.RNNBase, nn.RNNCellBase), recurrent_problem),
    ((nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, *STACKS), transformer_problem),
    (nn.MultiheadAttention, attention_problem),
)
