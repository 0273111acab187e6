"""The file as lines, each with the operations that it does or builds."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from .drafts import Drafts
from .families import Families, Family, Parameter
from .layout import Code, Group, Row, call, flat, quoted, rows_of
from .trees import Draft, Made, Path, Shared, Tree, Value, shared_in

__all__ = ["Written", "written_file"]


class Written(NamedTuple):
    """A line of the file: its text, the class that it belongs to, and its marks."""

    text: str
    family: Family | None
    marks: frozenset[Any]


def written_file(drafts: Drafts, families: Families) -> list[Written]:
    """All lines of the file."""
    body: list[Written] = []
    for function, name in drafts.functions.items():
        lines = f"def {name}({function.partition('(')[2]}".splitlines()
        body += [Written(line, None, frozenset()) for line in ["", "", *lines]]
    for family in families.families:
        body += [Written("", None, frozenset())] * 2
        body += [Written(row.text, family, row.marks) for row in ClassWriter(drafts, families, family).rows()]
    code = "\n".join(line.text for line in body)
    head = [f'"""{families.families[-1].name} in plain PyTorch."""', "", *import_lines(drafts, code)]
    return [*(Written(line, None, frozenset()) for line in head), *body]


def import_lines(drafts: Drafts, code: str) -> list[str]:
    """The imports, in the order that formatters keep."""
    standard = [f"from {module} import {name}" for name, module in STANDARD.items() if re.search(rf"\b{name}\b", code)]
    names = [name for name, used in (("Tensor", "Tensor" in code), ("nn", "nn." in code)) if used]
    installed = [f"from torch import {', '.join(names)}"] if names else []
    installed += ["import torch"] if "torch." in code else []
    own: list[str] = []
    for line in drafts.imports.lines():
        group = {"standard": standard, "installed": installed, "own": own}[home_of(line.split()[1])]
        group.append(line)
    groups = [sorted(each, key=lambda line: (line.startswith("from"), line.split()[1])) for each in (standard, installed, own)]
    return [line for group in groups if group for line in ["", *group]][1:]


def home_of(module: str) -> str:
    """Where a module comes from: Python itself, a package that was installed, or the project of the user."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return "standard"
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return "installed" if {"site-packages", "dist-packages"} & set(pathlib.Path(file).parts) else "own"


#: What the file may need of Python's own library.
STANDARD = {"OrderedDict": "collections", "Any": "typing"}


class ClassWriter:
    """Writes one class."""

    def __init__(self, drafts: Drafts, families: Families, family: Family) -> None:
        self.drafts = drafts
        self.families = families
        self.family = family
        self.draft: Draft = family.drafts[0]
        self.is_root = self.draft is families.root

    def rows(self) -> list[Row]:
        """Its lines."""
        found = [Row(f"class {self.family.name}(nn.{'Module' if self.draft.base == 'added' else self.draft.base}):")]
        found += [Row(line) for line in self.docstring()]
        constructor = self.constructor_rows()
        rows = self.draft.forward.rows if self.draft.forward is not None else ()
        # Equal lines do other operations in each draft: a line is known by its number.
        forward = [Row(row.text, frozenset({k})) for k, row in enumerate(rows)]
        if constructor and found[1:]:
            found.append(Row(""))
        found += constructor
        if forward and (constructor or found[1:]):
            found.append(Row(""))
        return found + forward

    def docstring(self) -> list[str]:
        """What has to be said of the class."""
        foreign = [p for p in self.family.parameters if isinstance(p.passed[0], Shared) and self.is_root]
        if foreign:
            lines = ['    """', "", "    Args:"]
            for each in foreign:
                assert isinstance(each.passed[0], Shared)
                module = self.drafts.modules[each.passed[0].identity]
                path = ".".join(self.drafts.foreign[each.passed[0].identity])
                lines.append(f"        {each.name}: the {type(module).__name__} at {path}.")
            lines[0] += f"{self.family.name} with layers that are built elsewhere."
            return [*lines, '    """']
        if self.draft.forward is None:
            return [f'    """The layers of {".".join(self.draft.path)}, which run in the forward around it."""']
        return []

    # The constructor

    def constructor_rows(self) -> list[Row]:
        """``__init__``, if there is anything to build."""
        if not self.draft.children and not self.family.parameters and not self.settings():
            return []
        items: list[Code] = ["self", *(f"{each.name}: {self.type_of(each)}" for each in self.family.parameters)]
        found = rows_of(4, "", call("def __init__", items), " -> None:")
        local = self.local_rows()
        if self.draft.base in ("Module", "added"):
            return [*found, Row("        super().__init__()"), *local, *self.attribute_rows(), *self.settings()]
        codes = [self.item(key, tree) for key, tree in self.draft.children.items()]
        opening, closing = ("[", "]") if self.draft.base == "ModuleList" else ("{", "}")
        return [
            *found,
            *local,
            *rows_of(8, "", call("super().__init__", [Group(opening, tuple(codes), closing)])),
            *self.settings(),
        ]

    def type_of(self, parameter: Parameter) -> str:
        """The type of a parameter."""
        first = parameter.passed[0]
        return self.families.type_of(first.identity) if isinstance(first, Shared) else parameter.type

    def item(self, key: str, tree: Tree) -> Code:
        """A child in a list or dict."""
        code = self.code(tree, (key,))
        return code if self.draft.base == "ModuleList" else prefixed(f"{quoted(key)}: ", code)

    def local_rows(self) -> list[Row]:
        """The modules that stand at two places, built before they are placed."""
        found: list[Row] = []
        for k, (identity, name) in enumerate(self.family.local.items()):
            if not name.startswith("self."):
                places = {each.path for tree in self.draft.children.values() for each in shared_places(tree, identity)}
                found += rows_of(
                    8, f"{name} = ", self.code(self.drafts.trees[identity], (f"local {k}",)), "", frozenset(places)
                )
        return found

    def attribute_rows(self) -> list[Row]:
        """The children as attributes."""
        found: list[Row] = []
        for key, tree in self.draft.children.items():
            code = self.code(tree, (key,))
            title = self.draft.titles[key]
            if isinstance(tree, Shared) and self.family.local.get(tree.identity) == f"self.{title}":
                k = list(self.family.local).index(tree.identity)
                code = self.code(self.drafts.trees[tree.identity], (f"local {k}",))
            marks = frozenset({(key,)})
            if self.draft.base == "added":
                found += rows_of(8, "", call("self.add_module", [quoted(key), code]), "", marks)
            else:
                found += rows_of(8, f"self.{title} = ", code, "", marks if isinstance(tree, Shared) else frozenset())
        return found

    def code(self, tree: Tree, trail: Path) -> Code:
        """How something is built, as an expression."""
        if isinstance(tree, Value):
            return self.family.named.get(trail, tree.text)
        if isinstance(tree, Shared):
            return self.family.named.get(trail) or self.family.local[tree.identity]
        marks: frozenset[Any] = frozenset({tree.path}) if tree.path else frozenset()
        if isinstance(tree, Made):
            items = list(self.arguments(tree, trail))
            name = self.families.family[tree.function].name if isinstance(tree.function, Draft) else tree.function
            return Group(f"{name}(", tuple(items), f"){tree.suffix}", marks)
        codes = [(before, self.code(item, (*trail, before or str(k)))) for k, (before, item) in enumerate(tree.items)]
        return listed_code(tree.before, codes, tree.after, marks)

    def arguments(self, tree: Made, trail: Path) -> Iterator[Code]:
        """The arguments of a constructor that have to be written."""
        by_position = True
        for each in self.families.given(tree):
            here = (*trail, each.name)
            if each.usual and here not in self.family.named:
                by_position = False
                continue
            code = self.code(each.tree, here)
            by_position = by_position and each.position
            yield code if by_position else prefixed(f"{each.name}=", code)

    def settings(self) -> list[Row]:
        """What is said about the whole network behind its layers."""
        if not self.is_root:
            return []
        lines = [f"        {line}" for line in self.tied()]
        if self.drafts.dtype is not torch.float32:
            lines.append(f"        self.to({self.drafts.dtype!r})")
        return [Row(line) for line in lines]

    def tied(self) -> Iterator[str]:
        """Parameters that several layers have in common, and those that are not trained in a layer that is."""
        first: dict[int, tuple[str, int]] = {}
        foreign = {id(each) for key in self.drafts.foreign for each in self.drafts.modules[key].modules()}
        for path, module in self.drafts.root.named_modules():
            if id(module) in foreign:
                continue
            for name, parameter in module._parameters.items():
                if parameter is None:
                    continue
                where = f"{path}.{name}" if path else name
                known = first.setdefault(id(parameter), (where, id(module)))
                if known[1] != id(module):
                    yield f"{self.reached(path)}.{name} = self.get_parameter({quoted(known[0])})"
                elif not parameter.requires_grad and any(each.requires_grad for each in module.parameters(recurse=False)):
                    yield f"self.get_parameter({quoted(where)}).requires_grad_(False)"

    def reached(self, path: str) -> str:
        """A layer of the root, for an attribute to be set on it."""
        return f"self.get_submodule({quoted(path)})"


def shared_places(tree: Tree, identity: int) -> Iterator[Shared]:
    """Where a module that stands at two places stands in a tree."""
    return (each for each in shared_in(tree) if each.identity == identity)


def prefixed(before: str, code: Code) -> Code:
    """An expression behind a name or a key."""
    if isinstance(code, Group):
        return Group(before + code.before, code.items, code.after, code.marks)
    return before + flat(code)


def listed_code(before: str, codes: list[tuple[str, Code]], after: str, marks: frozenset[Any]) -> Code:
    """Modules in a list, a dict or a sequence; ``before`` may open two brackets."""
    pairs = before.endswith("OrderedDict([")
    items: list[Code] = []
    for key, code in codes:
        if pairs:
            items.append(Group("(", (quoted(key), code), ")"))
        else:
            items.append(prefixed(f"{quoted(key)}: ", code) if key else code)
    if before == "nn.Sequential(":
        return Group(before, tuple(items), after, marks)
    outer, inner = before[:-1], before[-1]
    code = Group(inner, tuple(items), after[0])
    for opening in reversed(re_split(outer)):
        code = Group(opening, (code,), ")")
    return Group(code.before, code.items, code.after, marks)


def re_split(outer: str) -> list[str]:
    """The calls around a list: ``nn.Sequential(OrderedDict(`` are two."""
    return [f"{each}(" for each in outer.split("(") if each]
