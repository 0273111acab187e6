"""Networks in which skips carry nothing, and the original running as one of them for a while."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from skipseq.declare.words import Word, describe
from skipseq.errors import CallError, did_you_mean

from .ablated import channel_means, zeros
from .connecting import written_call
from .disconnecting import cut, found_edges
from .ends import Ends, opened_tree
from .operands import through

__all__ = ["ablation_of", "enter", "leave"]

#: What stands in the place of the value; ``remove`` takes the skip out instead.
FUNCTIONS = {"zero": zeros, "mean": channel_means}


def ablation_of(net: Any, giver: Any, reader: Any, by: Any) -> Any:
    """The network in which skips carry nothing, see :meth:`skipseq.run.rewired.Rewired.ablate`."""
    tree = opened_tree(net)
    ends = Ends(tree, written_call("ablate", giver, *(() if reader is None else (reader,))))
    if not isinstance(by, str) or by not in (*FUNCTIONS, "remove"):
        near = did_you_mean(by, (*FUNCTIONS, "remove")) if isinstance(by, str) else ""
        raise ends.fault(f"by={describe(by)} is not known.{near}", "Write by='zero', by='mean' or by='remove'.")
    edges = found_edges(ends, giver, reader)
    if by == "remove":
        cut(ends, edges, giver, reader)
    else:
        names: dict[int, tuple[Any, set[str]]] = {}
        for edge in edges:
            names.setdefault(id(edge.reference.entry), (edge.reference.entry, set()))[1].add(edge.reference.name)
        for entry, read in names.values():
            assert isinstance(entry.child, Word)
            entry.child = through(entry.child, read, FUNCTIONS[by])
    result = tree.built()
    ABLATIONS[result] = Ablation(net)
    return result


class Ablation:
    """The network that an ablated one was made from, and what it was before it ran as that one."""

    def __init__(self, original: Any) -> None:
        self.original = original
        assert original.wiring is not None  # so that there is a plan, which knows the tree
        self.plan = original.__dict__["_plan"]
        self.before: tuple[dict[str, Any], Any, Any] | None = None

    def enter(self, ablated: Any) -> None:
        """The original holds the children of the ablated network from now on."""
        original = self.original
        if not self.plan.holds(original):
            name = type(original).__name__
            raise CallError(
                f"this {name} was ablated, and has other layers or skips now than it had then.\n"
                "  Write with net.ablate(...): where the block begins, also for a block inside another one."
            )
        outputs = original._outputs
        self.before = dict(original._modules), original.__dict__.get("_plan"), outputs
        exchange(original, dict(ablated._modules), None, ablated._outputs)

    def leave(self, ablated: Any) -> None:
        """The original is what it was."""
        assert self.before is not None
        inside = {path: module.training for path, module in self.original.named_modules(remove_duplicate=False)}
        entered = dict(ablated.named_modules(remove_duplicate=False))
        exchange(self.original, *self.before)
        self.before = None
        # Where train() or eval() was called in the block, the containers that had left have to follow.
        for path, module in self.original.named_modules(remove_duplicate=False):
            if path in inside and entered.get(path) is not module:
                module.training = inside[path]


def exchange(net: Any, children: dict[str, nn.Module], plan: Any, outputs: Any) -> None:
    """Gives a network other children in place, and the plan that belongs to them."""
    net._modules.clear()
    net._modules.update(children)
    net._outputs = outputs
    net.__dict__.pop("_plan", None)
    if plan is not None:
        net.__dict__["_plan"] = plan


#: The ablated networks. What they were made from is no state of theirs: it is neither copied nor pickled.
ABLATIONS: WeakKeyDictionary[nn.Module, Ablation] = WeakKeyDictionary()


def enter(ablated: Any) -> Any:
    """The network that an ablated one was made from runs as that one from now on.

    Raises:
        CallError: if the network is no ablation, or the other one was changed since.
    """
    if (ablation := ABLATIONS.get(ablated)) is None:
        raise CallError(
            f"with net: this {type(ablated).__name__} is no ablation, so there is nothing to run it in place of.\n"
            "  Write with net.ablate('x1'):"
        )
    ablation.enter(ablated)
    return ablated


def leave(ablated: Any) -> None:
    """The network that an ablated one was made from is what it was."""
    ABLATIONS[ablated].leave(ablated)
