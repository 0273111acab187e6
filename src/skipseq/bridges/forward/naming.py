"""Names for the values that are read: of the layer that gives one, ``input``, or a label that is saved behind it."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from skipseq.declare.vocabulary import call, save
from skipseq.run import Sequential
from skipseq.wiring import named_by_user

from .recording import Node
from .words import Entry, Part, put

__all__ = ["Naming"]

#: Variables that say nothing about what they hold.
VAGUE = frozenset(
    {
        "x",
        "out",
        "y",
        "output",
        "outputs",
        "result",
        "res",
        "ret",
        "input",
        "inputs",
        "h",
        "self",
        "tmp",
        "data",
        "z",
        "features",
    }
)


class Naming:
    """Names the values of a network, and writes it.

    Args:
        root: the outermost container.
        inputs: the values that the network receives, by name.
    """

    def __init__(self, root: Part, inputs: dict[str, Node]) -> None:
        keys = {entry.key for part in root.parts() for entry in part.entries}
        #: The names of several inputs; a key of the same name stays what it is.
        self.inputs = {free_name(name, keys): node for name, node in inputs.items()}
        self.input_names = {node: name for name, node in self.inputs.items()} if len(inputs) > 1 else {}
        self.root = root
        #: Where each value is made, and the entry of each part in the container around it.
        self.homes: dict[Node, tuple[Part, Entry]] = {}
        self.entries: dict[Part, Entry] = {}
        self.keys: dict[Part, set[str]] = {}
        self.labels: dict[Node, str] = {}
        for part in root.parts():
            self.keys[part] = {entry.key for entry in part.entries if entry.key is not None}
            for entry in part.entries:
                self.homes.update(dict.fromkeys(entry.own, (part, entry)))
                if entry.part is not None:
                    self.entries[entry.part] = entry

    def decide(self, outputs: list[Node]) -> None:
        """Gives a label to each value that is read and has no name of its own where it is read."""
        readers: dict[Node, list[Part]] = {node: [self.root] for node in outputs}
        labelled: list[Node] = []
        for part in self.root.parts():
            for entry in part.entries:
                labelled += [node for node in entry.saves if node not in labelled]
                for node in entry.reads:
                    readers.setdefault(node, []).append(part)
        for node, parts in readers.items():
            if node not in labelled and any(self.own_name(node, part) is None for part in parts):
                labelled.append(node)
                self.place_save(node, parts)
        self.choose_labels(sorted(labelled, key=lambda node: node.index))

    def name(self, node: Node, part: Part) -> str:
        """How a value is called in a part."""
        if node in self.labels and not (node is part.start and part is not self.root):
            return self.labels[node]
        name = self.own_name(node, part)
        assert name is not None
        return name

    def own_name(self, node: Node, part: Part) -> str | None:
        """The name that a value has in a part without a label."""
        if node in self.input_names:
            return self.input_names[node]
        if node is part.start:
            return "input"
        if node not in self.homes:
            return None
        home, entry = self.homes[node]
        chain, readers = home.chain(), part.chain()
        common = sum(1 for one, other in zip(chain, readers, strict=False) if one is other)
        keys = []
        for inner in chain[common:]:
            keys.append(self.entries[inner].key)
            if inner.end is node:
                break
        else:
            keys.append(entry.key)
        if any(key is None or not named_by_user(key) for key in keys):
            return None
        if any(keys[0] in self.keys[each] for each in readers[common:]):
            return None  # a nearer entry of the same name would be meant
        return ".".join(key for key in keys if key is not None)

    def place_save(self, node: Node, parts: list[Part]) -> None:
        """Puts the label of a value behind what gives it: the outermost container that ends with it and has no reader."""
        if node not in self.homes:
            self.root.saves.append(node)
            return
        part, entry = self.homes[node]
        while part.around is not None and part.end is node and all(part not in each.chain() for each in parts):
            entry, part = self.entries[part], part.around
        entry.saves.append(node)

    def choose_labels(self, nodes: list[Node]) -> None:
        """A label for each value: the variable of the user's code, numbered where several have the same."""
        taken = {key for keys in self.keys.values() for key in keys} | set(self.inputs) | {"input", "self"}
        bases = {node: base_of(node) for node in nodes}
        for base in dict.fromkeys(bases.values()):
            same = [node for node in nodes if bases[node] == base]
            number = 0
            for node in same:
                label = base
                while label in taken or len(same) > 1 or base == "x" or iskeyword(label):
                    number += 1
                    label = f"{base}_{number}" if base != "x" else f"x{number}"
                    if label not in taken:
                        break
                taken.add(label)
                self.labels[node] = label

    # Writing

    def network(self, outputs: list[Node]) -> Sequential:
        """The whole network; ``outputs`` are the values of a tuple that it returns."""
        self.decide(outputs)
        names = tuple(self.name(node, self.root) for node in outputs)
        return self.written(self.root, tuple(self.inputs) if self.input_names else None, names or None)

    def written(self, part: Part, inputs: Any = None, outputs: Any = None) -> Sequential:
        """A part with all names in it."""
        entries: list[Any] = [save(self.labels[node]) for node in part.saves]
        for entry in part.entries:
            if entry.held is not None and entry.part is not None:
                put(entry.held, entry.path.split(".")[1:], self.written(entry.part))
                entries.append(call(entry.path))
            elif entry.part is not None:
                entries.append((entry.key, self.written(entry.part)))
            elif entry.gives is not None and entry.own and entry.saves == entry.own and len(entry.own) > 1:
                entries.append(save(*(self.labels[node] for node in in_order(entry.saves))))
                continue
            else:
                thing = entry.write([self.name(node, part) for node in entry.reads])
                entries.append(thing if entry.key is None else (entry.key, thing))
            entries += [save(self.labels[node]) for node in entry.saves]
        net = Sequential(*entries, inputs=inputs, outputs=outputs)
        module = part.box.module or self.root.box.module
        assert module is not None
        net.training = module.training
        net._origin = type(module).__name__
        return net


def free_name(name: str, keys: set[str | None]) -> str:
    """The name of an input that is not the name of an entry too."""
    while name in keys or name in ("input", "self") or iskeyword(name):
        name += "_"
    return name


def in_order(items: list[Node]) -> list[Node]:
    """The parts of a tuple in their order."""
    return sorted(items, key=lambda node: int(node.function))


def base_of(node: Node) -> str:
    """A label that tells what a value is."""
    named = [name for name in node.variables if name.isidentifier() and name not in VAGUE and not name.startswith("_")]
    return named[0] if named else "x"
