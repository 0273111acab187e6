"""How a module is built, as a tree: constructors and their arguments, lists of modules, modules that stand at two places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import nn

from .forward import Forward

__all__ = ["Draft", "Given", "Listed", "Made", "Shared", "Tree", "Value", "shared_in"]

#: The keys that lead to a module from the class in which it is built.
Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A number, a text or anything else that can be written down, with its type."""

    text: str
    type: str


@dataclass(frozen=True, slots=True)
class Given:
    """An argument of a constructor; one that is ``usual`` need not be written, one by ``position`` needs no name."""

    name: str
    tree: Tree
    usual: bool = False
    position: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A constructor with its arguments: of a layer, or of a class of the file; ``suffix`` is what is called on the result."""

    function: str | Draft
    given: tuple[Given, ...]
    suffix: str = ""
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """Modules in a list, a dict or a sequence; each stands behind a text of its own."""

    before: str
    items: tuple[tuple[str, Tree], ...]
    after: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Shared:
    """A module that is built elsewhere: it stands at two places, or the user passes it."""

    identity: int
    path: Path = ()


Tree: TypeAlias = Value | Made | Listed | Shared


@dataclass(eq=False)
class Draft:
    """A class for one container; equal ones become one class.

    Args:
        container: the container.
        path: the keys that lead to it from the root, in one of its places.
        base: how it holds its children: ``Module`` as attributes, ``ModuleList`` by numbers, ``ModuleDict`` by keys, and
            ``added`` by keys that no attribute can have.
        titles: the names of its children in it, by their keys.
        children: what it builds, by key.
        forward: its forward, unless it is run by the forward of the container around it.
    """

    container: nn.Module
    path: Path
    base: str
    titles: dict[str, str]
    children: dict[str, Tree] = field(default_factory=dict)
    forward: Forward | None = None


def shared_in(tree: Tree) -> Iterator[Shared]:
    """The modules that are built elsewhere, in a tree."""
    if isinstance(tree, Shared):
        yield tree
    elif isinstance(tree, Made):
        for each in tree.given:
            yield from shared_in(each.tree)
    elif isinstance(tree, Listed):
        for _, item in tree.items:
            yield from shared_in(item)


def drafts_in(tree: Tree) -> Iterator[Draft]:
    """The classes of the file that a tree builds."""
    if isinstance(tree, Made):
        if isinstance(tree.function, Draft):
            yield tree.function
        for each in tree.given:
            yield from drafts_in(each.tree)
    elif isinstance(tree, Listed):
        for _, item in tree.items:
            yield from drafts_in(item)
