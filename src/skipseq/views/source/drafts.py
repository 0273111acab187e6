"""From a network to the classes of its file, one draft for each container that needs one."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from keyword import iskeyword
from typing import Any

import torch
from torch import nn

from skipseq.declare.compose import grouped
from skipseq.declare.containers import Container, children_of, has_hooks, has_state, inside, is_plain, is_wired, keeps_forward
from skipseq.declare.functions import Function
from skipseq.declare.held import Held
from skipseq.declare.projection import LazyPadChannels, LazyProjection, PadChannels, Projection
from skipseq.declare.words import Word
from skipseq.flatten import Line
from skipseq.wiring import Join, Part, Value, Wiring, reaching

from .fits import fit_function
from .forward import Forward, Surroundings, write_forward
from .functions import Imports, Unwritable, function_code
from .layers import layer_tree, settled_dtype
from .layout import quoted
from .operations import Deed, deeds_of, find_chains, path_of
from .trees import Draft, Listed, Made, Path, Shared, Tree

__all__ = ["Drafts", "Run"]


class Run:
    """The operations of one container that is called, and what it does."""

    def __init__(self, container: nn.Module, wiring: Wiring, line: Line, given: dict[Value, Value], results: Any) -> None:
        self.container = container
        self.wiring = wiring
        self.line = line
        self.given = given
        self.results: tuple[Value, ...] = results
        self.deeds: list[Deed] = []


class Drafts:
    """Walks a network and drafts the classes of its file.

    Args:
        root: the network.
        wiring: its wiring.
    """

    def __init__(self, root: nn.Module, wiring: Wiring) -> None:
        self.root = root
        self.imports = Imports()
        self.functions: dict[str, str] = {}
        self.faults: dict[str, None] = {}
        self.dtype = settled_dtype([root]) or torch.float32
        #: The containers that are run by the forward of the one around them.
        self.opened: set[int] = set()
        self.wirings: dict[int, Wiring] = {}
        self.runs: dict[int, Run] = {}
        #: The words whose layers are one chain; the classes by their containers; modules that stand at two places.
        self.chained: set[int] = set()
        self.drafts: dict[int, Draft] = {}
        self.places: dict[int, list[Path]] = {}
        self.modules: dict[int, nn.Module] = {}
        self.trees: dict[int, Tree] = {}
        self.foreign: dict[int, Path] = {}
        self.look_over(root, (), set())
        if not self.faults:
            self.open_crossed(root, wiring)
            self.run_all(root, wiring)

    def fault(self, path: Path, text: str, advice: str) -> None:
        """Notes what cannot be written."""
        self.faults[f"net{self.place_text(path)} {text}\n  {advice}"] = None

    def place_text(self, path: Path) -> str:
        """How one reaches the entry at a path, or around it, in Python."""
        text = ""
        container = self.root
        for key in path:
            if not is_container(container):
                break
            index = next(i for i, group in enumerate(grouped(children_of(container))) if key in dict(group))
            container = children_of(container)[key]
            text += f".{key}" if is_container(container) and key.isidentifier() else f"[{index}]"
        return text

    # What there is

    def look_over(self, module: nn.Module, path: Path, above: set[int]) -> None:
        """Notes where each module stands, and what stands in the way of writing it."""
        if isinstance(module, Held):
            self.opened.add(id(module))
        elif not isinstance(module, Word):
            self.refuse_container(module, path)
        for key, child in children_of(module).items():
            place = (*path, key)
            self.places.setdefault(id(child), []).append(place)
            self.modules[id(child)] = child
            if isinstance(child, Function):
                self.refuse_function(child, place)
            if isinstance(child, LazyProjection | LazyPadChannels):
                given = "project=True" if isinstance(child, LazyProjection) else "project='pad_channels'"
                text = f"has {given}, and its layer is not made yet."
                self.fault(place, text, "Call the network once, or net.check(shape, materialise=True), and write it then.")
            if len(self.places[id(child)]) == 1 and (isinstance(child, Word) or is_container(child)):
                self.look_over(child, place, above)

    def refuse_function(self, child: Function, path: Path) -> None:
        """Notes a function that cannot be written."""
        try:
            parameters = getattr(child.function, "parameters", ())
            function_code(child.function, list(parameters), [], self.imports)
        except Unwritable as error:
            lambdas = "<lambda>" in repr(child)
            instead = "skipseq.declare.functions.Expression(('x',), 'x.flatten(1)')" if lambdas else "a layer"
            advice = f"Write it as a def in a module that can be imported, or as {instead}."
            self.fault(path, f"{'' if repr(child) == '<lambda>' else f'{child} '}{error}.", advice)

    def refuse_container(self, module: nn.Module, path: Path) -> None:
        """Notes what a container has that its text would lack."""
        if inside(module) is not module:
            text = f"is a {type(inside(module)).__name__} in the wrapper {type(module).__name__}, which the text would lack."
            self.fault(path, text, "Write the network before it is wrapped.")
            return
        own = vars(module)
        if has_hooks(module):
            advice = "Remove them, and register them on the module that the text builds."
            self.fault(path, "has hooks, which the text would lack.", advice)
        if "forward" in own or not (is_plain(module) or (is_wired(module) and keeps_forward(module))):
            text = f"has a forward of its own, {type(module).__name__}.forward, which the text would lack."
            self.fault(path, text, "Write what it does in words, or as a layer: a module that is no Sequential.")
        if own["_parameters"] or own["_buffers"]:
            names = ", ".join([*own["_parameters"], *own["_buffers"]])
            self.fault(path, f"owns {names} beside its layers, which the text would lack.", "Put it into a layer.")

    # Who is run by whom

    def open_crossed(self, container: nn.Module, wiring: Wiring) -> None:
        """Finds the parts into which or out of which a skip leads."""
        for step in wiring.steps:
            if isinstance(step, Join) and step.fit is not None:
                name, text = fit_function(step, step.fit)
                if text not in self.functions:
                    self.functions[text] = self.imports.names.new(name)
            if isinstance(step, Part):
                module = module_at(container, step.path)
                if step.needs or step.wants:
                    self.opened.add(id(module))
                self.open_crossed(module, reaching(step.wiring, step.wants))

    def run_all(self, container: nn.Module, wiring: Wiring) -> None:
        """The operations of each container that is called."""
        line = Line(container, lambda module: module if id(module) in self.opened else None)
        given, results = line.add_root(wiring)
        self.runs[id(container)] = Run(container, wiring, line, given, results)
        self.wirings[id(container)] = wiring
        for operation in line.operations:
            if operation.kind == "part" and operation.module is not None and id(operation.module) not in self.runs:
                self.run_all(operation.module, operation.place.chain[-1][2].wiring)

    def find_chained(self) -> None:
        """Finds the words whose layers are one chain wherever they run, and what each container does."""
        lengths = {
            key: sum(1 for child in children_of(module).values() if self.is_written(child))
            for key, module in self.modules.items()
            if isinstance(module, Word)
        }
        found = {key: find_chains(run.line, lengths) for key, run in self.runs.items()}
        broken: set[int] = set()
        for words in found.values():
            for word, runs in words.items():
                whole = children_of(self.modules[word])
                if any(len(run) != len(whole) for run in runs) or list(whole) != [str(k) for k in range(len(whole))]:
                    broken.add(word)
        self.chained = {word for words in found.values() for word in words} - broken
        for key, run in self.runs.items():
            firsts: dict[int, Path] = {}
            for word, runs in found[key].items():
                for each in runs if word in self.chained else ():
                    firsts |= dict.fromkeys(each, ())
                    firsts[each[0]] = path_of(run.line.operations[each[0]])[:-1]
            run.deeds, run.results = deeds_of(run.line, run.results, firsts)

    def is_written(self, child: nn.Module) -> bool:
        """Whether a child is a module in the file, too."""
        if isinstance(child, Word):
            return any(self.is_written(each) for each in children_of(child).values())
        if isinstance(child, Projection):
            return child.weight is not None
        if id(child) in self.opened:
            return any(self.is_written(each) for each in children_of(child).values())
        return not isinstance(child, Function | PadChannels)

    def is_plain_call(self, container: nn.Module) -> bool:
        """Whether a container is written as ``nn.Sequential``: it has layers alone, one after the other."""
        inputs = getattr(container, "_inputs", None), getattr(container, "_outputs", None)
        children = list(children_of(container).values())
        usual = all(not isinstance(child, Word | Function) and self.is_written(child) for child in children)
        return usual and inputs == (None, None) and not any(id(child) in self.opened for child in children)

    # Trees

    def draft_all(self) -> Draft:
        """The class of the root, with all others below it."""
        self.find_chained()
        self.shared = {key for key, paths in self.places.items() if len(paths) > 1 and self.stands_apart(self.modules[key])}
        root = self.draft(self.root, ())
        while missing := [key for key in self.shared if key not in self.trees and key not in self.foreign]:
            for key in missing:
                self.trees[key] = self.tree_of(self.modules[key], self.places[key][0], ())
        for draft in list(self.drafts.values()):
            if id(draft.container) in self.runs and draft.forward is None:
                draft.forward = self.forward_of(self.runs[id(draft.container)])
        return root

    def stands_apart(self, module: nn.Module) -> bool:
        """Whether it matters that a module stands at two places: functions are written where they are called."""
        return not isinstance(module, Function) and self.is_written(module)

    def draft(self, container: nn.Module, path: Path) -> Draft:
        """The class of a container."""
        if id(container) not in self.drafts:
            base, titles = self.base_of(container)
            draft = self.drafts[id(container)] = Draft(container, path, base, titles)
            for key in (key for k, key in enumerate(titles) if titles[key] not in list(titles.values())[:k]):
                draft.children[key] = self.tree(children_of(container)[key], (*path, key), (key,))
        return self.drafts[id(container)]

    def tree(self, module: nn.Module, path: Path, place: Path) -> Tree:
        """How a child is built; ``path`` leads to it from the root, ``place`` from its class."""
        return Shared(id(module), place) if id(module) in self.shared else self.tree_of(module, path, place)

    def tree_of(self, module: nn.Module, path: Path, place: Path) -> Tree:
        """How a module is built, wherever it stands."""
        if isinstance(module, Word):
            return self.listed(module, path, place, "nn.Sequential(" if id(module) in self.chained else "")
        if not is_container(module):
            tree = layer_tree(module, place, self.imports, self.dtype)
            if tree is None:
                self.foreign[id(module)] = path
                return Shared(id(module), place)
            return tree
        if id(module) in self.opened:
            if self.base_of(module)[0] in ("ModuleList", "ModuleDict"):
                return self.listed(module, path, place, "")
        elif self.is_plain_call(module):
            return self.listed(module, path, place, "nn.Sequential(")
        return Made(self.draft(module, path), (), "", place)

    def listed(self, module: nn.Module, path: Path, place: Path, sequence: str) -> Tree:
        """The children of a container or word in a list, a dict or an ``nn.Sequential``."""
        children = {key: child for key, child in children_of(module).items() if self.is_written(child)}
        trees = {key: self.tree(child, (*path, key), (*place, key)) for key, child in children.items()}
        numbered = list(trees) == [str(i) for i in range(len(trees))]
        if sequence and numbered:
            return Listed(sequence, tuple(("", tree) for tree in trees.values()), ")", place)
        if sequence:
            items = tuple((key, tree) for key, tree in trees.items())
            return Listed("nn.Sequential(OrderedDict([", items, "]))", place)
        if numbered:
            return Listed("nn.ModuleList([", tuple(("", tree) for tree in trees.values()), "])", place)
        return Listed("nn.ModuleDict({", tuple(trees.items()), "})", place)

    # Forwards

    def forward_of(self, run: Run) -> Forward:
        """The forward of a container that is called."""
        draft = self.drafts[id(run.container)]

        def refuse(path: Path, text: str) -> None:
            advice = "Write it as a layer, or as a def in a module that can be imported."
            self.fault((*draft.path, *path), f"{text}.", advice)

        for deed in run.deeds:
            part = self.drafts.get(id(deed.module)) if deed.kind == "part" else None
            if part is not None and part.forward is None:
                part.forward = self.forward_of(self.runs[id(part.container)])
        types = {key: draft.forward.type for key, draft in self.drafts.items() if draft.forward is not None}
        around = Surroundings(self.imports, self.functions, lambda keys: self.access(draft, keys), self.wirings, types, refuse)
        return write_forward(run.line, run.wiring, run.given, run.deeds, run.results, around)

    def access(self, draft: Draft, keys: Path) -> str:
        """How a class reaches the module at a path below its container, so that a type checker can follow."""
        text, before, owner = "self", "self", draft.container
        base, titles = draft.base, draft.titles
        for i, key in enumerate(keys):
            child = children_of(owner)[key]
            if base not in STEPS:
                # What a list or dict holds is a module of unknown class: the path starts before it.
                start, first = (text, i) if base == "added" else (before, i - 1)
                return f"{start}.get_submodule({quoted('.'.join(self.titles_along(draft.container, keys)[first:]))})"
            before, text = text, text + STEPS[base](titles[key])
            known = base == "Module" and id(child) not in self.foreign
            owner = child
            base, titles = self.base_at(child) if known else ("", {})
        return text

    def titles_along(self, container: nn.Module, keys: Path) -> list[str]:
        """The names in the file of the modules along a path below a container."""
        names = []
        for key in keys:
            draft = self.drafts.get(id(container))
            names.append(key if draft is None else draft.titles[key])
            container = children_of(container)[key]
        return names

    def base_at(self, module: nn.Module) -> tuple[str, dict[str, str]]:
        """How a module holds its children, as far as a type checker can know from outside; and their names."""
        if id(module) in self.drafts:
            return self.drafts[id(module)].base, self.drafts[id(module)].titles
        if not isinstance(module, Word) and not is_container(module):
            return "", {}
        base, titles = self.base_of(module)
        in_sequence = id(module) in self.chained or (not isinstance(module, Word) and id(module) not in self.opened)
        return (base, titles) if base == "ModuleList" or (base == "ModuleDict" and not in_sequence) else ("", {})

    def base_of(self, container: nn.Module) -> tuple[str, dict[str, str]]:
        """How a class holds the children of a container, and their names in it.

        A layer that is numbered among layers with names gets a name too, if it has nothing that a checkpoint would hold.
        """
        children = {key: child for key, child in children_of(container).items() if self.is_written(child)}
        titles = {key: key for key in children}
        if list(titles) == [str(i) for i in range(len(titles))] and titles:
            return "ModuleList", titles
        unnamed = [key for key in titles if not key.isidentifier() or iskeyword(key)]
        if not any(holds_state(children[key]) for key in unnamed) and not isinstance(container, Word):
            # One without a name that stands there before is called by the name that it has.
            first = {id(child): key for key, child in reversed(children.items())}
            again = {key: first[id(children[key])] for key in unnamed if first[id(children[key])] != key}
            fresh = names_for({key: children[key] for key in unnamed if key not in again}, {*titles, *MODULE_NAMES})
            return "Module", titles | fresh | {key: {**titles, **fresh}[same] for key, same in again.items()}
        return ("added" if any(hasattr(nn.ModuleDict, key) for key in titles) else "ModuleDict"), titles


#: How a child is reached from its container.
STEPS: dict[str, Callable[[str], str]] = {
    "Module": lambda key: f".{key}",
    "ModuleList": lambda key: f"[{key}]",
    "ModuleDict": lambda key: f"[{quoted(key)}]",
}


def is_container(module: nn.Module) -> bool:
    """Whether a module holds layers that the file writes out: a sequence, perhaps in a wrapper, or layers that are held."""
    container = inside(module)
    return isinstance(container, Container | Held) or is_plain(container)


def holds_state(module: nn.Module) -> bool:
    """Whether a checkpoint would hold something of a module."""
    return has_state(module) or is_container(module)


def spoken_name(module: nn.Module) -> str:
    """The class of a layer as the name of an attribute: ``nn.MaxPool2d`` is ``max_pool``."""
    name = re.sub(r"\d+d$", "", type(module).__name__)
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


def names_for(children: dict[str, nn.Module], taken: set[str]) -> dict[str, str]:
    """Names for layers without one, by their keys: that of the class, with a number where there are several."""
    wanted = {key: spoken_name(child) for key, child in children.items()}
    found = {}
    for key, name in wanted.items():
        several = list(wanted.values()).count(name) > 1 or name in taken or iskeyword(name)
        numbered = (f"{name}{k}" for k in count(1))
        found[key] = next(each for each in numbered if each not in taken) if several else name
        taken.add(found[key])
    return found


#: What no child can be called, as every module has it.
MODULE_NAMES = frozenset({*vars(nn.Module()), *dir(nn.Module)})


def module_at(container: nn.Module, path: Path) -> nn.Module:
    """The module at a path below a container."""
    return container.get_submodule(".".join(path))
