"""Equal classes become one; what differs between them becomes its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .drafts import Drafts, spoken_name
from .names import Names, camel_case, identifier
from .trees import Draft, Given, Listed, Made, Path, Shared, Tree, Value, drafts_in, shared_in

__all__ = ["Families", "Family", "Parameter"]


@dataclass(slots=True)
class Parameter:
    """A parameter of a class: what each of its drafts passes."""

    name: str
    type: str
    passed: list[Tree]


@dataclass(eq=False, slots=True)
class Family:
    """A class of the file, and the drafts that it serves; ``named`` leads from a position in it to the parameter there."""

    drafts: list[Draft]
    name: str = ""
    parameters: list[Parameter] = field(default_factory=list)
    named: dict[Path, str] = field(default_factory=dict)
    #: The modules that are built here and stand at two places, with the names of their variables.
    local: dict[int, str] = field(default_factory=dict)


class Families:
    """The classes of a file, those that are used by others first.

    Args:
        drafts: the drafts of a network.
        root: the draft of its root.
        name: the name of the class of the root.
    """

    def __init__(self, drafts: Drafts, root: Draft, name: str) -> None:
        self.drafts = drafts
        self.root = root
        self.family: dict[Draft, Family] = {}
        self.families: list[Family] = []
        self.owned: dict[Draft, list[int]] = {}
        self.outside: dict[Draft, list[int]] = {}
        self.find_owners()
        self.gather()
        self.names = drafts.imports.names
        self.families[-1].name = self.names.new(name)
        for family in self.families[:-1]:
            family.name = self.names.new(self.wanted_name(family))

    # Modules that stand at two places

    def find_owners(self) -> None:
        """Each such module is built in the class that alone uses it, or else in the root and passed down."""
        users: dict[int, set[Draft]] = {}
        for draft in self.drafts.drafts.values():
            for tree in draft.children.values():
                for each in self.shared_deep(tree):
                    users.setdefault(each, set()).add(draft)
        for draft in self.drafts.drafts.values():
            self.owned[draft] = []
        for identity, drafts in users.items():
            if identity not in self.drafts.foreign:
                self.owned[next(iter(drafts)) if len(drafts) == 1 else self.root].append(identity)
        for draft in self.drafts.drafts.values():
            self.find_outside(draft)

    def shared_deep(self, tree: Tree) -> Iterator[int]:
        """The modules in a tree that are built elsewhere, those that they are built of first."""
        for each in shared_in(tree):
            if each.identity in self.drafts.trees and each.identity not in self.drafts.foreign:
                yield from self.shared_deep(self.drafts.trees[each.identity])
            yield each.identity

    def trees_of(self, draft: Draft) -> Iterator[Tree]:
        """All that a class builds: its children, and what stands at two places."""
        yield from draft.children.values()
        for identity in self.owned[draft]:
            yield self.drafts.trees[identity]

    def find_outside(self, draft: Draft) -> list[int]:
        """The modules that a class needs to be given."""
        if draft not in self.outside:
            found: dict[int, None] = {}
            for tree in self.trees_of(draft):
                found |= dict.fromkeys(self.asked_by(tree))
            self.outside[draft] = [each for each in found if each not in self.owned[draft]]
        return self.outside[draft]

    def asked_by(self, tree: Tree) -> Iterator[int]:
        """The modules that have to be there before a tree is built: those in it, and those that its classes are given."""
        yield from (each.identity for each in shared_in(tree))
        for inner in drafts_in(tree):
            yield from self.find_outside(inner)

    # Equal classes

    def gather(self) -> None:
        """Finds the families, inner ones first; the parameters of one are known before it is used."""
        waiting = [draft for draft in self.drafts.drafts.values() if draft is not self.root]
        while waiting:
            ready = [draft for draft in waiting if all(each in self.family for each in self.drafts_below(draft))]
            groups: dict[Any, list[Draft]] = {}
            for draft in ready:
                groups.setdefault(self.signature(draft), []).append(draft)
            for drafts in groups.values():
                self.settle(drafts)
            waiting = [draft for draft in waiting if draft not in self.family]
        self.settle([self.root])

    def drafts_below(self, draft: Draft) -> Iterator[Draft]:
        """The classes that a class names: those that it builds, and those of the modules that it is given."""
        for tree in self.trees_of(draft):
            yield from drafts_in(tree)
            for identity in self.shared_deep(tree):
                if identity in self.drafts.trees:
                    yield from drafts_in(self.drafts.trees[identity])

    def settle(self, drafts: list[Draft]) -> None:
        """A family, with its parameters."""
        family = Family(drafts)
        self.families.append(family)
        self.family |= dict.fromkeys(drafts, family)
        names = Names()
        for identity in self.owned[drafts[0]]:
            family.local[identity] = ""
        self.find_parameters(family, names)
        for identity in family.local:
            family.local[identity] = self.local_name(drafts[0], identity, names)

    def local_name(self, draft: Draft, identity: int, names: Names) -> str:
        """Where a class finds a module that it builds once: in its first attribute, or in a variable."""
        if draft.base == "Module":
            for key, tree in draft.children.items():
                if tree == Shared(identity, (key,)):
                    return f"self.{draft.titles[key]}"
                if identity in self.asked_by(tree):
                    break
        return names.new(self.key_name(identity))

    def key_name(self, identity: int) -> str:
        """A name for a module, from the first key that it has."""
        key = self.drafts.places[identity][0][-1]
        return key if not key.isdigit() else spoken_name(self.drafts.modules[identity])

    def signature(self, draft: Draft) -> Any:
        """What two drafts have in common if one class can serve both."""
        owned = self.owned[draft]
        forward = None if draft.forward is None else tuple(row.text for row in draft.forward.rows)
        children = tuple((draft.titles[key], self.shape(tree, owned)) for key, tree in draft.children.items())
        local = tuple(self.shape(self.drafts.trees[each], owned) for each in owned)
        origin = getattr(draft.container, "_origin", None)
        kind = (type(draft.container).__name__, origin) if forward is not None else ""
        return draft.base, children, local, forward, kind

    def shape(self, tree: Tree, owned: list[int]) -> Any:
        """A tree without the values of its arguments."""
        if isinstance(tree, Value):
            return tree.type if tree.type != "str" else tree.text
        if isinstance(tree, Shared):
            return owned.index(tree.identity) if tree.identity in owned else self.type_of(tree.identity)
        if isinstance(tree, Made):
            function = self.family[tree.function] if isinstance(tree.function, Draft) else tree.function
            return function, tuple((g.name, self.shape(g.tree, owned)) for g in self.given(tree)), tree.suffix
        return tree.before, tuple((before, self.shape(item, owned)) for before, item in tree.items)

    def given(self, tree: Made) -> tuple[Given, ...]:
        """The arguments of a constructor; of a class of the file, what its parameters are here."""
        if not isinstance(tree.function, Draft):
            return tree.given
        family = self.family[tree.function]
        k = family.drafts.index(tree.function)
        found = []
        by_position = True
        for each in family.parameters:
            by_position = by_position and (not each.type or each.name.startswith(SIZES))
            found.append(Given(each.name, each.passed[k], False, by_position))
        return tuple(found)

    # Parameters

    def leaves(self, draft: Draft) -> Iterator[tuple[Path, Given, Tree]]:
        """What may differ between drafts: the trail to it, the argument, and its value."""
        for key, tree in draft.children.items():
            yield from self.leaves_in(tree, (key,), Given(key, tree))
        for k, identity in enumerate(self.owned[draft]):
            tree = self.drafts.trees[identity]
            yield from self.leaves_in(tree, (f"local {k}",), Given("", tree))

    def leaves_in(self, tree: Tree, trail: Path, given: Given) -> Iterator[tuple[Path, Given, Tree]]:
        """The same in one tree."""
        if isinstance(tree, Value | Shared):
            yield trail, given, tree
        elif isinstance(tree, Made):
            for each in self.given(tree):
                yield from self.leaves_in(each.tree, (*trail, each.name), each)
        else:
            for k, (before, item) in enumerate(tree.items):
                yield from self.leaves_in(item, (*trail, before or str(k)), Given(before, item))

    def find_parameters(self, family: Family, names: Names) -> None:
        """Decides what the constructor of the class takes."""
        found: dict[Any, Parameter] = {}
        meant: dict[Any, list[Path]] = {}
        for each in zip(*(list(self.leaves(draft)) for draft in family.drafts), strict=True):
            trail, given, tree = each[0]
            passed = [leaf for _, _, leaf in each]
            if isinstance(tree, Shared):
                if tree.identity in family.local:
                    continue
                key: Any = tuple(leaf.identity for leaf in passed if isinstance(leaf, Shared))
                parameter = Parameter("", "", passed)
            else:
                texts = tuple(leaf.text for leaf in passed if isinstance(leaf, Value))
                if len(set(texts)) == 1 or all(one.usual for _, one, _ in each):
                    continue
                key = ("size" if given.name in SIZES else given.name, texts)
                parameter = Parameter("", getattr(tree, "type", ""), passed)
            found.setdefault(key, parameter)
            meant.setdefault(key, []).append(trail)
        for key, parameter in found.items():
            parameter.name = self.parameter_name(parameter, meant[key], names)
            family.parameters.append(parameter)
            family.named |= dict.fromkeys(meant[key], parameter.name)

    def parameter_name(self, parameter: Parameter, trails: list[Path], names: Names) -> str:
        """The name of a parameter: that of the argument, with that of the layer where it is taken."""
        first = parameter.passed[0]
        if isinstance(first, Shared):
            return names.new(self.key_name(first.identity))
        head, wanted = trails[0][:-1], trails[0][-1]
        for inputs, outputs, both in (("in_channels", "out_channels", "channels"), ("in_features", "out_features", "features")):
            if {(*head, inputs), (*head, outputs)} <= set(trails):
                wanted = both
        if identifier(wanted) in names.taken and len(trails[0]) > 1:
            wanted = f"{trails[0][-2]}_{wanted}" if not trails[0][-2].isdigit() else wanted
        return names.new(wanted)

    def type_of(self, identity: int) -> str:
        """The type of a module that is passed."""
        tree = self.drafts.trees.get(identity)
        if identity in self.drafts.foreign or tree is None:
            return "nn.Module"
        if isinstance(tree, Made):
            return self.family[tree.function].name if isinstance(tree.function, Draft) else tree.function
        return tree.before.partition("(")[0] if isinstance(tree, Listed) else "nn.Module"

    # Names of classes

    def wanted_name(self, family: Family) -> str:
        """The name of a class: that of the user's own class or block, or the one that the keys of its places say."""
        if (origin := getattr(family.drafts[0].container, "_origin", None)) is not None:
            return str(origin)
        kind = type(family.drafts[0].container).__name__
        if kind not in ("Sequential", "Word") and isinstance(family.drafts[0].container, nn.Sequential):
            return "ResidualBlock" if kind == "Residual" else camel_case(kind)
        names = list(dict.fromkeys(self.place_name(draft.path) for draft in family.drafts))
        return names[0] if len(names) == 1 else "Block"

    def place_name(self, path: Path) -> str:
        """The name that a place says, without its number."""
        words = [re.sub(r"_?\d+$", "", key) for key in path]
        if words[-1]:
            return camel_case(words[-1])
        named = [word for word in words if word]
        return camel_case(named[-1]) + "Block" if named else "Block"


#: Arguments that say how many channels or features there are, which one parameter may give to several layers.
SIZES = (
    "in_channels", "out_channels", "channels", "num_features", "num_channels", "in_features", "out_features", "features",
    "normalized_shape", "embed_dim", "d_model", "input_size", "hidden_size", "embedding_dim",
)  # fmt: skip
