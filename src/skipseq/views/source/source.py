"""The source of a network: readable Python that needs torch alone."""

from __future__ import annotations

import os
import warnings
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from skipseq.check.graph import Graph
from skipseq.declare.functions import Function
from skipseq.errors import ConversionError, indented
from skipseq.views.files import write_whole
from skipseq.wiring import Wiring

from .drafts import Drafts, Run
from .families import Families
from .forward import END
from .operations import path_of
from .text import Written, written_file
from .trees import Draft, Shared

__all__ = ["Source", "SourceLine", "network_source"]


class SourceLine(NamedTuple):
    """A line of a source, and the positions of the operations of the network's graph that it is about.

    Args:
        text: the line.
        runs: the operations that it does itself; where a class serves several blocks, those of all of them.
        inside: the operations that run inside the class that it calls, or are built inside what it builds.
        builds: the operations whose layers it builds.
    """

    text: str
    runs: tuple[int, ...] = ()
    inside: tuple[int, ...] = ()
    builds: tuple[int, ...] = ()


class Source:
    """What :meth:`skipseq.Sequential.source` returns: a Python file as text.

    Args:
        lines: its lines.
    """

    def __init__(self, lines: tuple[SourceLine, ...]) -> None:
        self.lines = lines

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(f"{line.text}\n" for line in self.lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file. It is whole at any time: what was there before stays until all is written."""
        write_whole(Path(path), self.text.encode())

    def __str__(self) -> str:
        return self.text.removesuffix("\n")

    def __repr__(self) -> str:
        return str(self)


def network_source(root: nn.Module, wiring: Wiring, graph: Graph, name: str) -> Source:
    """The source of a network.

    Args:
        root: the network.
        wiring: its wiring.
        graph: its graph, whose operations the lines refer to.
        name: the name of its class.

    Raises:
        ConversionError: if something in it cannot be written.
    """
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name in ("torch", "nn", "Tensor"):
        raise ConversionError(
            f"{type(root).__name__} cannot be written as the class {name!r}.\n"
            "  The name of a class is an identifier, no keyword of Python, and nothing that the file imports.\n"
            "  Write net.source(name='Net')."
        )
    drafts = Drafts(root, wiring)
    refuse(root, drafts)
    top = drafts.draft_all()
    refuse(root, drafts)
    families = Families(drafts, top, name)
    written = written_file(drafts, families)
    verify("\n".join(line.text for line in written) + "\n", drafts, families)
    lines = Lines(drafts, families, graph)
    return Source(tuple(lines.line(each) for each in written))


def refuse(root: nn.Module, drafts: Drafts) -> None:
    """Raises with all that stands in the way."""
    if drafts.faults:
        count = "1 fault" if len(drafts.faults) == 1 else f"{len(drafts.faults)} faults"
        told = "\n".join(map(indented, drafts.faults))
        raise ConversionError(f"{count} in writing {type(root).__name__} as plain Python\n{told}")


# What each line is about


class Lines:
    """Tells for each line of the file which operations of the graph it is about."""

    def __init__(self, drafts: Drafts, families: Families, graph: Graph) -> None:
        self.drafts = drafts
        self.families = families
        self.graph = graph
        #: For each operation of each container, the positions that it has itself and those inside a class that it calls.
        self.done: dict[tuple[int, Any], tuple[list[int], list[int]]] = {}
        #: The keys that lead to the layer of each operation.
        self.layers: list[tuple[str, ...]] = []
        self.number(drafts.runs[id(drafts.root)], ())
        self.paths: dict[int, list[tuple[str, ...]]] = {}
        for path, module in drafts.root.named_modules(remove_duplicate=False):
            self.paths.setdefault(id(module), []).append(tuple(path.split(".")) if path else ())

    def number(self, run: Run, prefix: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Gives the operations of a container their positions in the graph, in the order in which they run."""
        own: list[int] = []
        inside: list[int] = []
        for i, operation in enumerate(run.line.operations):
            path = (*prefix, *path_of(operation))
            if operation.kind == "part":
                here = self.number(self.drafts.runs[id(operation.module)], path)
                if id(operation.module) in self.drafts.drafts:
                    here = [], [*here[0], *here[1]]
            else:
                here = [self.next(path)], []
            self.note(run, i, here)
            own += here[0]
            inside += here[1]
        if run.container is not self.drafts.root and isinstance(run.wiring.result, tuple):
            end = self.next(prefix)
            self.note(run, END, ([end], []))
            own.append(end)
        return own, inside

    def next(self, path: tuple[str, ...]) -> int:
        """The next position, where the layer at this path runs."""
        self.layers.append(path)
        return len(self.layers) - 1

    def note(self, run: Run, mark: Any, here: tuple[list[int], list[int]]) -> None:
        """Adds positions to those of an operation of a container."""
        known = self.done.setdefault((id(run.container), mark), ([], []))
        known[0].extend(here[0])
        known[1].extend(here[1])

    def line(self, written: Written) -> SourceLine:
        """A line with its operations."""
        runs: set[int] = set()
        inside: set[int] = set()
        builds: set[int] = set()
        for draft in written.family.drafts if written.family is not None else ():
            for mark in written.marks:
                if isinstance(mark, tuple):
                    self.built(draft, mark, builds, inside)
                    continue
                assert draft.forward is not None
                for each in draft.forward.rows[mark].marks:
                    own, called = self.done.get((id(draft.container), each), ([], []))
                    runs.update(own)
                    inside.update(called)
        return SourceLine(written.text, tuple(sorted(runs)), tuple(sorted(inside)), tuple(sorted(builds)))

    def built(self, draft: Draft, mark: tuple[str, ...], builds: set[int], inside: set[int]) -> None:
        """Finds the operations whose layers are built at a place of a class."""
        for prefix in self.paths[id(draft.container)]:
            full = (*prefix, *mark)
            for node in self.graph.nodes:
                path = self.layers[node.position]
                if node.kind in ("layer", "part") and path[: len(full)] == full and not self.is_function(path):
                    (builds if path == full else inside).add(node.position)

    def is_function(self, path: tuple[str, ...]) -> bool:
        """Whether a function stands at a path: it is called, and never built."""
        return isinstance(self.drafts.root.get_submodule(".".join(path)), Function)


# The last look


def verify(text: str, drafts: Drafts, families: Families) -> None:
    """Builds the network from its text, without memory, and compares what a checkpoint would hold."""
    root = drafts.root
    foreign = [each.passed[0] for each in families.families[-1].parameters]
    known: dict[str, Any] = {"__name__": "written_by_skipseq"}
    with warnings.catch_warnings(), torch.device("meta"), torch.random.fork_rng(devices=()):
        warnings.simplefilter("ignore")
        exec(compile(text, "<source>", "exec"), known)
        passed = [shell(drafts.modules[each.identity]) for each in foreign if isinstance(each, Shared)]
        twin = known[families.families[-1].name](*passed)
    before, after = tensors_of(root), tensors_of(twin)
    if before != after:
        differing = [f"{one} is {other}" for one, other in zip(before, after, strict=False) if one != other]
        raise ConversionError(
            f"{type(root).__name__} was written as a class that is not the same: its tensors differ.\n"
            f"  {(differing or ['one has more than the other'])[0]}\n"
            "  Write the layer that owns them as a module of your own, in a file that can be imported."
        )


def shell(module: nn.Module) -> nn.Module:
    """A module with the tensors of another, without memory."""
    twin = nn.Module()
    for name, parameter in module._parameters.items():
        empty = None if parameter is None else nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
        twin.register_parameter(name, empty)
    for name, buffer in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        twin.register_buffer(name, None if buffer is None else torch.empty_like(buffer, device="meta"), persistent)
    for name, child in module._modules.items():
        twin.add_module(name, None if child is None else shell(child))
    return twin


def tensors_of(module: nn.Module) -> list[tuple[Any, ...]]:
    """What a checkpoint of a module holds: names, shapes and types, in order."""
    return [
        (name, None if is_lazy(each) else tuple(each.shape), each.dtype)
        for name, each in (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
    ]
