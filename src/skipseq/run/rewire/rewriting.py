"""From an edited tree to a network: keys, references and containers anew, as far as the edit leads.

A reference keeps its name where this still means the same. Else it gets the path of its value, and where that would mean
something else, the value is saved under a label of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from skipseq.declare.containers import Container, is_plain, wired_class
from skipseq.declare.entries import number
from skipseq.declare.vocabulary import save
from skipseq.declare.words import Word

from .meaning import Origin, layer_at, resolve, same, spelled
from .tree import Entry, Node, Reference, Tree

__all__ = ["Rewriting", "derived"]


class Rewriting(Tree):
    """A tree whose references know what they mean, and that can be made a network again."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        assert isinstance(net, Container)
        self.wiring = net.wiring
        self.references = [*self.mentions()]
        for each in self.references:
            each.meant = self.meaning(each, each.name)
            if not each.meant:
                raise self.fault(
                    f"{each.place()} reads {each.name!r}, which cannot be followed.\n  Save the value, and read that."
                )
        self.planted: dict[Origin, Origin] = {}
        self.made: dict[Any, nn.Module] = {}

    def meaning(self, reference: Reference, name: str) -> list[Origin]:
        """What a name would mean at the place of a reference."""
        if reference.layer:
            return layer_at(reference.node, name)
        return resolve(reference.node, reference.position(), name)

    # Names

    def number(self) -> None:
        """Gives the children of edited containers their keys."""
        for node in self.root.below():
            if not node.touched:
                continue
            entries = [*node.entries()]
            names = [entry.name for entry in entries if entry.name is not None]
            if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
                raise self.fault(
                    *(f"{each!r} would be the name of {names.count(each)} entries of {node.place()}." for each in twice)
                )
            for entry, key in zip(entries, number([(entry.name, entry.child) for entry in entries]), strict=True):
                entry.key = key

    def settle(self) -> None:
        """Gives every reference a name that means its value, if need be that of a save put behind it."""
        while True:
            self.number()
            self.references = [each for each in self.references if each.alive()]
            lost = [each for each in self.references if not self.respelled(each)]
            if not lost:
                return
            for each in lost:
                self.plant(each)

    def respelled(self, reference: Reference) -> bool:
        """Finds a name for a reference, the present one if it can stay."""
        origin = reference.meant[0]
        path = spelled(origin, reference.node)
        own = () if reference.entry is not None and reference.entry.before is None else (reference.name,)
        for name in (*reference.wishes, *own, path, *((origin.local,) if origin.kind == "label" else ())):
            if self.fits(reference, name):
                reference.new = name
                return True
        return False

    def fits(self, reference: Reference, name: str) -> bool:
        """Whether a name means here what the reference means."""
        found = self.meaning(reference, name)
        if same(found, reference.meant):
            return True
        # What is new may meet a need, by its label or name, but not by a number.
        needed = reference.meant[0].kind == "need" and name == reference.name
        new = (each.entry is not None and each.entry.before is None and not each.path()[-1].isdigit() for each in found)
        return needed and bool(found) and all(new)

    def plant(self, reference: Reference) -> None:
        """Puts a save behind the value of a reference, which no name reaches.

        Raises:
            WiringError: if no save can stand there, or none would help.
        """
        (origin, *others) = reference.meant
        if origin.entry is not None and origin.entry not in origin.node.entries():
            raise self.lost(reference)
        if origin in self.planted.values() or others or reference.layer or origin.kind not in ("entry", "input", "label"):
            raise self.lost(reference)
        if origin not in self.planted:
            node = origin.node
            at = 0 if origin.entry is None else node.index(origin.entry) + 1
            node.touch()
            entry = self.entry_of(node, save(self.fresh_label()))
            node.groups.insert(at, [entry])
            self.planted[origin] = Origin(node, "label", entry.labels()[0], entry)
        reference.meant = [self.planted[origin]]
        reference.wishes = (self.planted[origin].local,)

    def lost(self, reference: Reference) -> Exception:
        """A reference that cannot be written any more."""
        closed = next((each for each in chain(reference.node) if each.closed), None)
        origin = reference.meant[0]
        origin = next((first for first, label in self.planted.items() if label == origin), origin)
        value = ".".join(origin.path())
        if closed is not None and closed is not self.root and closed is not origin.node:
            return self.fault(
                f"{reference.place()} would read {value!r} from outside {closed.place()}, which is closed by"
                f" inputs={closed.inputs!r}.\n  Leave its inputs out, so that names lead out of it, or add an input."
            )
        return self.fault(
            f"{reference.place()} reads {value!r}, and no name leads there behind the edit.\n"
            "  Give the layer a name, or save its output, and read it by that name."
        )

    def fresh_label(self) -> str:
        """A label that is not in use anywhere: ``skip_1``, ``skip_2``."""
        taken = {name.rpartition(".")[2] for each in self.references for name in (each.name, each.new)}
        for node in self.root.below():
            taken.update(node.inputs)
            for entry in node.entries():
                taken.update((entry.key, *entry.labels()))
        return next(label for i in range(1, len(taken) + 2) if (label := f"skip_{i}") not in taken)

    # Containers

    def built(self) -> Any:
        """The network behind the edit.

        Raises:
            WiringError: if it does not fit together.
        """
        self.settle()
        return self.rebuilt(self.root, always=True)

    def rebuilt(self, node: Node, always: bool = False) -> nn.Module:
        """A container behind the edit; the same object if nothing in it changed."""
        children = {entry.key: self.child(entry) for entry in node.entries()}
        outputs = self.outputs(node)
        old = node.module._modules
        kept = list(children) == list(old) and all(child is old[key] for key, child in children.items())
        if kept and not always and outputs == getattr(node.module, "_outputs", None):
            return node.outer
        if (reason := node.reason_against()) is not None:
            raise self.fault(
                f"{node.place()} would have to be changed, and {reason}.\n"
                "  Change the sequence inside it first, and wrap it afterwards."
            )
        key = (id(node.module), tuple((key, id(child)) for key, child in children.items()), outputs)
        if key not in self.made:
            module = wired_class(self.net).of(node.module) if is_plain(node.module) else node.module
            self.made[key] = derived(module, children, getattr(module, "_inputs", None), outputs)
        return self.made[key]

    def child(self, entry: Entry) -> nn.Module:
        """A child behind the edit."""
        if entry.part is not None:
            return self.rebuilt(entry.part)
        if not isinstance(entry.child, Word):
            return entry.child
        names = {each.name: each.new for each in self.references if each.entry is entry and each.new != each.name}
        word = entry.child
        inner = {key: module for key, part in entry.inner.items() if (module := self.rebuilt(part)) is not part.outer}
        key = (id(word), tuple(sorted(names.items())), tuple((key, id(module)) for key, module in inner.items()))
        if key not in self.made:
            self.made[key] = changed_word(word, names, inner)
        return self.made[key]

    def outputs(self, node: Node) -> Any:
        """The outputs of a container by their present names."""
        names = {each.name: each.new for each in self.references if each.entry is None and each.node is node}
        outputs = getattr(node.module, "_outputs", None)
        if outputs is None or isinstance(outputs, str):
            return outputs if outputs is None else names.get(outputs, outputs)
        return tuple(names.get(each, each) for each in outputs)


def chain(node: Node) -> list[Node]:
    """A container and all around it, the innermost first."""
    return [node] if node.parent is None else [node, *chain(node.parent)]


def changed_word(word: Word, names: Mapping[str, str], inner: Mapping[str, nn.Module]) -> Word:
    """A word with other names in it, and other containers among its layers."""
    if not names and not inner:
        return word
    other = word.renamed(lambda name: names.get(name, name)) if names else word.twin()
    other._modules.update(inner)
    other.training = word.training
    return other


def derived(container: Any, children: Mapping[str, nn.Module], inputs: Any, outputs: Any) -> Any:
    """A copy of a container with these children, and with its hooks; what was compiled is not copied."""
    net = container._derived(children, inputs, outputs)
    for name, value in vars(nn.Module()).items():
        if isinstance(value, dict | set) and name not in ("_parameters", "_buffers", "_modules"):
            net.__dict__[name] = copy.copy(vars(container)[name])
    net._is_full_backward_hook = container._is_full_backward_hook
    return net
