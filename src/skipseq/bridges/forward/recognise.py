"""Parts that are exactly a block, written as that block.

A block is a way to write words in short, so whether a part is one can be tried: its layers are given to the constructor, and
what that builds must have the wiring and the keys of the part. The part then takes the class of the block and keeps its own
children, hooks and flags:

    Sequential(conv1, relu, conv2, add("input"))                     Residual(conv1, relu, conv2)
    Sequential(left, take("input"), right, cat("0", here))           Branches(left, right)
    Sequential(a, cat("input", here), save("dense_1"), b, cat("dense_1", here))     DenseBlock(a, b)

A part without any word, which nothing reaches into, is an ``nn.Sequential``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import nn

from skipseq.blocks import Branches, DenseBlock, Residual
from skipseq.declare.compose import grouped
from skipseq.declare.containers import child_at, children_of, inside, is_sequence
from skipseq.declare.entries import is_automatic, number
from skipseq.declare.functions import Function
from skipseq.declare.held import Held
from skipseq.declare.vocabulary import JOINS
from skipseq.declare.words import CallWord, Here, Joined, JoinWord, Via, Word
from skipseq.errors import WiringError
from skipseq.run import Sequential
from skipseq.wiring import Join, Part, Wiring, reaching

__all__ = ["recognised"]


def recognised(net: Sequential) -> Sequential:
    """The same network, sharing its layers, in which what is exactly a block is written as that block.

    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> from skipseq.bridges.forward.recognise import recognised
    >>> print(recognised(Sequential(Sequential(nn.Linear(4, 4), nn.ReLU(), add("input")), nn.Linear(4, 2))))
    Sequential(
        Residual(
            nn.Linear(4, 4),
            nn.ReLU(),
        ),
        nn.Linear(4, 2),
    )

    Args:
        net: a network in words; it is not changed.
    """
    return cast(Sequential, Recogniser(net).module(net))


class Recogniser:
    """Goes through a tree from its leaves, and gives for each module the one that stands in its place."""

    def __init__(self, root: Sequential) -> None:
        self.root = root
        #: The identities of the parts whose inner values are read around them, or that read values from there.
        self.crossed = set(crossed_parts(root, root.wiring))
        # A module at two places stays one module.
        self.known: dict[int, nn.Module] = {}

    def module(self, module: nn.Module) -> nn.Module:
        """What stands in the place of a module: itself, unless it is a part, or a word with one, that is written anew."""
        if id(module) not in self.known:
            self.known[id(module)] = self.written(module) if can_be_written(module) else module
        return self.known[id(module)]

    def written(self, module: nn.Module) -> nn.Module:
        """A container or a word, with what is inside it written as blocks, and as a block itself if it is one."""
        children = {key: self.module(child) for key, child in children_of(module).items()}
        twin = module
        if any(child is not module._modules[key] for key, child in children.items()):
            twin = with_children(type(module), module, children)
        if type(twin) is not Sequential or not children or twin._inputs is not None or twin._outputs is not None:
            return twin
        if module is not self.root and id(module) not in self.crossed and is_chain(twin):
            return cast(nn.Module, with_children(nn.Sequential, twin, children))
        blocks = (attempt(twin) for attempt in (as_residual, as_branches, as_dense_block))
        return next((block for block in blocks if block is not None), twin)


def can_be_written(module: nn.Module) -> bool:
    """Whether a module is a word, holds layers, or is a container that runs its children and does nothing else."""
    replaced = {"forward", "_compiled_call_impl"} & vars(module).keys()
    return isinstance(module, Word | Held) or (is_sequence(module) and not replaced)


def crossed_parts(container: nn.Module, wiring: Wiring) -> Iterator[int]:
    """The identities of all parts of a tree that are asked for inner values or need some."""
    for step in wiring.steps:
        if isinstance(step, Part):
            part = inside(child_at(container, step.path))
            if step.wants or step.wiring.needs:
                yield id(part)
            yield from crossed_parts(part, reaching(step.wiring, step.wants))


def is_chain(net: nn.Module) -> bool:
    """Whether a container is what ``nn.Sequential`` builds of layers alone, with the same keys."""
    children = children_of(net)
    plain = all(not isinstance(child, Word | Function) for child in children.values())
    return plain and list(children) == [str(i) for i in range(len(children))]


# Blocks: what their constructors could have been given. Whether they were is seen when a block is built of it.


def as_residual(net: Sequential) -> Sequential | None:
    """A sequence whose last word joins the running value with the input, as it is or behind layers."""
    *entries, (key, word) = named_entries(net)
    if not isinstance(word, JoinWord):
        return None
    other = next(operand for operand in word.joined.operands if not isinstance(operand, Here))
    layers = [word._modules[each] for each in other.layers] if isinstance(other, Via) else []
    shortcut: Any = layers if len(layers) != 1 or type(layers[0]) is nn.Sequential else layers[0]
    if key != "shortcut":
        shortcut = (key, shortcut)
    arguments = {"shortcut": shortcut} if layers else {}
    return built(net, lambda: Residual(*pairs(entries), join=bare(word), **arguments))


def as_branches(net: Sequential) -> Sequential | None:
    """Layers over the same input, each but the first behind ``take("input")``, and a join of their outputs."""
    *entries, (_, word) = named_entries(net)
    if not isinstance(word, JoinWord):
        return None
    return built(net, lambda: Branches(*pairs(entries[::2]), join=bare(word)))


def as_dense_block(net: Sequential) -> Sequential | None:
    """Several layers, behind each of which its input is joined with its output, and that is saved for the next layer."""
    entries = named_entries(net)
    word = entries[1][1] if len(entries) > 2 else None
    if not isinstance(word, JoinWord):
        return None
    return built(net, lambda: DenseBlock(*pairs(entries[::3]), join=bare(word)))


def built(net: Sequential, build: Callable[[], Sequential]) -> Sequential | None:
    """The sequence as the block that is built, if that has the same wiring, in which the keys are too; else nothing."""
    try:
        block = build()
    except WiringError:
        return None
    if block.wiring == net.wiring:
        children = dict(children_of(net))
    elif block.wiring == turned(net):
        key = next(reversed(net._modules))
        children = {**children_of(net), key: child_at(block, (key,))}
    else:
        return None
    written = with_children(type(block), net, children)
    written._written = block._written
    return cast(Sequential, written)


def turned(net: Sequential) -> Wiring | None:
    """The wiring with the other order of a last sum or product of two, which is the same number to the last bit."""
    wiring, word = net.wiring, [*net._modules.values()][-1]
    last = wiring.steps[-1]
    if not isinstance(last, Join) or last.operator not in ("add", "mul") or len(last.takes) != 2:
        return None
    if last.fit is not None or not isinstance(word, JoinWord) or word.joined.project:
        return None  # which of the two is changed depends on the order, and a projection has weights
    return replace(wiring, steps=(*wiring.steps[:-1], replace(last, takes=last.takes[::-1])))


# Entries


def named_entries(net: Sequential) -> list[tuple[str | None, nn.Module]]:
    """The entries as they were given, each with its name, or nothing where the numbering gives the key."""
    children = children_of(net)
    keys = number([(None if is_automatic(key, child) else key, child) for key, child in children.items()])
    renamed = dict(zip(children, keys, strict=True))
    found = []
    for entry in grouped(children):
        key, child = entry[-1]
        word = entry[0][1]
        name = None if is_automatic(key, child) and renamed[key] == key else key
        found.append((name, word.of(child) if len(entry) == 2 and isinstance(word, CallWord) else child))
    return found


def pairs(entries: Sequence[tuple[str | None, nn.Module]]) -> list[Any]:
    """Entries as a constructor takes them: those with a name as pairs."""
    return [entry if name is None else (name, entry) for name, entry in entries]


def bare(word: JoinWord) -> Any:
    """A join without operands, as blocks take it: the word alone where it has no options."""
    without = replace(word.joined, operands=(), projections=())
    if without == Joined(without.operator, ()):
        return next(join for join in JOINS if join.__name__ == without.operator)
    return JoinWord(without)


def with_children(cls: type[nn.Module], module: nn.Module, children: Mapping[str, nn.Module]) -> Any:
    """A module of this class with everything that belongs to another one, hooks and flags included, and these children."""
    twin = cls.__new__(cls)
    nn.Module.__init__(twin)
    own = {"_plan"} if issubclass(cls, Sequential) else {"_plan", "_inputs", "_outputs", "_written"}
    twin.__dict__.update({name: value for name, value in vars(module).items() if name not in own})
    twin._modules = dict(children)
    return twin
