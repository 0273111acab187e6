"""What a check finds that is no error, but is seldom meant: a saved value that nobody reads, a parameter without a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from skipseq.declare.compose import grouped
from skipseq.declare.constructors import constructor
from skipseq.declare.containers import children_of, inside, is_sequence
from skipseq.declare.words import JoinWord, SaveWord, Word, write
from skipseq.flatten import Operation
from skipseq.wiring import Join

from .graph import Graph
from .infer import UNKNOWN, Inference, entry_text, tensors_in

__all__ = ["find_findings"]


def find_findings(walk: Inference, graph: Graph) -> Iterator[str]:
    """Sentences about a network that fits together; each names the place and what to write."""
    yield from undecided(walk)
    yield from unread_saves(walk.root)
    yield from unused(graph)
    yield from joined_along_tokens(walk)
    yield from shared_layers(graph)
    yield from without_gradient(walk, graph)


def undecided(walk: Inference) -> Iterator[str]:
    """Layers whose shapes depend on numbers."""
    for i in walk.undecided:
        operation = walk.line.operations[i]
        text = f"net{operation.place.text()} {entry_text(walk.root, operation)}"
        yield f"{text} decides about shapes by numbers, which a check does not have: what reads it was not checked."


# Values


def unread_saves(root: nn.Module) -> Iterator[str]:
    """Labels that no word names, no part needs and no output is."""
    saved: dict[str, str] = {}
    named: set[str] = set()
    for place, container in containers(root, ""):
        outputs = getattr(container, "_outputs", None)
        named.update((outputs,) if isinstance(outputs, str) else outputs or ())
        for index, entry in enumerate(grouped(children_of(container))):
            word = entry[0][1]
            if isinstance(word, SaveWord):
                saved.update(dict.fromkeys(word.labels, f"net{place}[{index}]"))
            elif isinstance(word, Word):
                named.update(word.references())
    known = {part for name in named for part in name.split(".")}
    for label, place in saved.items():
        if label not in known:
            yield f"{place} save({label!r}): no word reads {label!r}. net.record(x, {label!r}) still gives it."


def containers(module: nn.Module, place: str) -> Iterator[tuple[str, nn.Module]]:
    """The containers of a tree with their places."""
    container = inside(module)
    if not is_sequence(container):
        return
    yield place, container
    for index, entry in enumerate(grouped(children_of(container))):
        for key, child in entry:
            for part in children_of(child).values() if isinstance(child, Word) else (child,):
                own = f".{key}" if key.isidentifier() and not isinstance(child, Word) else f"[{index}]"
                yield from containers(part, place + own)


def unused(graph: Graph) -> Iterator[str]:
    """Layers whose output nobody reads: the running value was dropped, or several were given and one is not needed."""
    for node in graph.nodes:
        if node.kind != "split" and not any(graph.values[value].readers for value in node.gives[:1]):
            yield (
                f"net{node.place} {node.text}: nobody uses its output; a take behind it, or outputs=, leaves it aside.\n"
                "  Join it later by its name, or leave the layer out."
            )


def joined_along_tokens(walk: Inference) -> Iterator[str]:
    """Values (batch, tokens, features) that are concatenated along the tokens, between layers that work on features."""
    for operation in walk.line.operations:
        container, _, step = operation.place.chain[-1]
        values = [walk.values[value] for value in operation.takes if isinstance(value, int)]
        if not isinstance(step, Join) or step.operator != "cat" or step.dim not in (1, -2):
            continue
        shapes = [tuple(each.shape) for each in values if isinstance(each, Tensor)]
        if any(len(shape) != 3 for shape in shapes) or len({shape[1] for shape in shapes}) > 1:
            continue
        word = (walk.root if container is None else container)._modules[step.key]
        if isinstance(word, JoinWord) and works_on_features(walk, operation):
            yield (
                f"net{operation.place.text()} {word} puts {' and '.join(map(str, shapes))} together along the tokens:\n"
                f"  of (batch, tokens, features), dimension 1 are the tokens. For the features, write {along_features(word)}."
            )


#: Layers that work on the last dimension of (batch, tokens, features).
ON_FEATURES = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase, nn.Embedding)


def works_on_features(walk: Inference, operation: Operation) -> bool:
    """Whether the nearest layers with parameters around an operation work on features."""
    givers = [walk.line.operations[walk.givers[value]].module for value in operation.reads() if walk.givers[value] >= 0]
    readers = [each.module for each in walk.line.operations if operation.gives[0] in each.reads()]
    return any(isinstance(each, ON_FEATURES) for each in (*givers, *readers))


def along_features(word: JoinWord) -> str:
    """The same join along the last dimension."""
    return write(replace(word.joined, dim=-1), word, constructor)


# Layers and parameters


def shared_layers(graph: Graph) -> Iterator[str]:
    """Layers that stand at two places: one object, one set of weights."""
    for node in graph.nodes:
        if node.shared is not None:
            first = graph.nodes[node.shared]
            if first.place != node.place:
                yield (
                    f"net{node.place} {node.text} is the same layer as net{first.place}: they share their weights.\n"
                    "  If that is not meant, write a layer for each place, or repeat(n) instead of * n."
                )


@dataclass(frozen=True, slots=True)
class Reached:
    """What the gradient of the results reaches."""

    parameters: frozenset[int]

    @classmethod
    def of(cls, results: Any, until: frozenset[Any] = frozenset()) -> Reached:
        """Follows the gradient from the results back to the parameters, or to some steps on the way."""
        waiting = [tensor.grad_fn for tensor in tensors_in(results) if tensor.grad_fn is not None]
        seen: set[Any] = set(until)
        found = {id(tensor) for tensor in tensors_in(results)}
        while waiting:
            function = waiting.pop()
            if function in seen:
                continue
            seen.add(function)
            if (leaf := getattr(function, "variable", None)) is not None:
                found.add(id(leaf))
            waiting += [each for each, _ in function.next_functions if each is not None]
        return cls(frozenset(found))


def without_gradient(walk: Inference, graph: Graph) -> Iterator[str]:
    """Layers whose parameters get no gradient from what is returned, though they ask for one."""
    results = [walk.values[value] for value in walk.results]
    if any(each is UNKNOWN for each in results):
        return
    reached = Reached.of(results)
    told: set[int] = set()
    needed = needed_positions(graph)
    for node, operation in zip(graph.nodes, walk.line.operations, strict=True):
        lost: dict[str, list[str]] = {}
        for name, parameter in trained(operation.module):
            fake = walk.world.tensors.get(id(parameter))
            waits = isinstance(parameter, UninitializedParameter) or not parameter.requires_grad or id(parameter) in told
            if not waits and (fake is None or id(fake) not in reached.parameters):
                told.add(id(parameter))
                lost.setdefault(why(walk, operation, node.position in needed, fake), []).append(repr(name))
        for reason, names in lost.items():
            text = f"parameter {names[0]} gets" if len(names) == 1 else f"parameters {' and '.join(names)} get"
            yield f"net{node.place} {node.text}: its {text} no gradient; {reason}."


def trained(module: nn.Module | None) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a layer that a walk can follow: what a scripted module does with its own is not seen."""
    if module is not None and not any(isinstance(each, torch.jit.ScriptModule) for each in module.modules()):
        yield from module.named_parameters()


def why(walk: Inference, operation: Operation, needed: bool, fake: Tensor | None) -> str:
    """Why a parameter gets no gradient."""
    before = tensors_in([walk.values[value] for value in operation.reads()])
    own = Reached.of([walk.values[value] for value in operation.gives], frozenset(each.grad_fn for each in before))
    if fake is None or id(fake) not in own.parameters:
        return "the layer does not use it, or detaches it"
    return "its value is cut from the gradient on the way" if needed else "nothing that is returned needs it"


def needed_positions(graph: Graph) -> set[int]:
    """The operations that the results need."""
    needed: set[int] = set()
    waiting = list(graph.results)
    while waiting:
        giver = graph.values[waiting.pop()].giver
        if giver >= 0 and giver not in needed:
            needed.add(giver)
            waiting += graph.nodes[giver].takes
    return needed
