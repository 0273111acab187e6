"""The check of a network: every shape in it, or an error that tells all that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.containers import child_at
from skipseq.errors import CallError, ValueFault
from skipseq.wiring import Layer, Value, Wiring, reads

from .build import BATCHES, build_graph, extent_text
from .findings import find_findings
from .graph import Graph
from .infer import Inference, apart
from .sizes import find_sizes
from .stand_ins import StandIns, is_lazy

__all__ = ["Report", "check_network", "explain_call", "fake_input", "network_graph", "planned_on", "symbols_in"]


@dataclass(frozen=True, eq=False)
class Report:
    """What a check found: the shape of every value by its path, and what is worth knowing.

    ``print(report)`` is a table. ``report["encoder.3"]`` is one shape, and ``report.shapes`` holds all of them by path:
    layers and words under their keys, saved values under their labels. ``findings`` are sentences about what is no error.

    Args:
        graph: the network as a graph.
        findings: what was found that is no error.
    """

    graph: Graph
    findings: tuple[str, ...] = ()

    @cached_property
    def shapes(self) -> dict[str, Any]:
        """The shape of each value by each of its names, in the order of the operations; of a tuple, a tuple of shapes."""
        values = sorted(self.graph.values, key=lambda value: value.giver)
        return {name: shape_of(value.spec) for value in values for name in value.names}

    def __getitem__(self, name: str) -> Any:
        return self.shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __str__(self) -> str:
        rows = [(value.name, spec_text(value.spec), "") for value in self.graph.values if value.giver < 0]
        for node in self.graph.nodes:
            given = [self.graph.values[value] for value in node.gives]
            rows.append((node.name, ", ".join(spec_text(value.spec) for value in given), node.text))
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
        lines = [f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {text}".rstrip() for name, shape, text in rows]
        return "\n".join([*lines, *(f"- {finding}" for finding in self.findings)])

    __repr__ = __str__


def shape_of(spec: Any) -> Any:
    """The shape of a tensor, or the shapes of the tensors in a value."""
    if isinstance(spec, dict):
        return {name: shape_of(each) for name, each in spec.items()}
    if isinstance(spec, tuple):
        return tuple(shape_of(each) for each in spec)
    return None if spec is None else spec.shape


def spec_text(spec: Any) -> str:
    """A value in a table: its shape, or the shapes in it."""
    if isinstance(spec, dict):
        return "{" + ", ".join(f"{name}: {spec_text(each)}" for name, each in spec.items()) + "}"
    if isinstance(spec, tuple):
        return f"({', '.join(map(spec_text, spec))}{',' if len(spec) == 1 else ''})"
    return "?" if spec is None else str(spec)


def check_network(root: nn.Module, wiring: Wiring, given: Mapping[Value, Any], materialise: bool = False) -> Report:
    """Walks a network over shapes or examples of its inputs.

    Raises:
        ValueFault: the first fault, with the others that can be known.
    """
    with apart():
        walks, batch = walks_over(root, wiring, given, count=False)
        raise_faults(walks, batch)
        graph = build_graph(root, wiring, walks, batch)
        lists = [list(find_findings(walk, graph)) for walk in walks]
        findings = [by_batch(texts, str(batch)) for texts in zip(*lists, strict=True)]
        findings += find_sizes(walks[0], lambda shapes: walk_of_shapes(walks[0], shapes))
    if materialise:
        for module, args in walks[0].received:
            if is_lazy(module):
                module._infer_parameters(module, args)  # type: ignore[operator]
    return Report(graph, tuple(findings))


def explain_call(root: nn.Module, wiring: Wiring, given: Mapping[Value, Any], place: str) -> ValueFault | None:
    """What a check says about the place where a call failed, from its values; nothing if it finds no fault there."""
    try:
        with apart():
            walks, _ = walks_over(root, wiring, given, count=False)
    except Exception:  # the call has failed already: whatever keeps the check from explaining it, its own error is told
        return None
    faults = walks[0].faults
    first = next((fault for fault in faults if fault.place == place), None)
    if first is not None:
        first.others = tuple(fault for fault in faults if fault is not first)
    return first


def walk_of_shapes(walk: Inference, shapes: Mapping[Value, tuple[int, ...]]) -> Inference:
    """A walk over inputs of other shapes, up to the first fault."""
    given = dict(walk.given_before)
    starts = dict(zip(walk.given, given, strict=True))
    with walk.world.mode:
        for start, shape in shapes.items():
            like = walk.given[start]
            given[starts[start]] = torch.empty(shape, dtype=like.dtype, device=like.device)
    again = Inference(walk.root, walk.wiring, given, walk.world, limit=1)
    again.walk()
    return again


def network_graph(root: nn.Module, wiring: Wiring, given: Mapping[Value, Any] | None) -> Graph:
    """The graph of a network: with shapes and multiply-adds over these inputs, or without where none are given.

    Raises:
        ValueFault: if the network cannot take them.
    """
    if given is None:
        return build_graph(root, wiring)
    with apart():
        walks, batch = walks_over(root, wiring, given, count=True)
        raise_faults(walks, batch)
        return build_graph(root, wiring, walks, batch)


def raise_faults(walks: list[Inference], batch: str | None) -> None:
    """Raises the first fault, with the others that were found; in terms of the batch where its size is unknown."""
    faults = walks[0].faults
    if len(walks) > 1:
        pairs = {fault.place: fault for fault in walks[1].faults}
        for fault in faults:
            if (twin := pairs.get(fault.place)) is not None and len(twin.met) == len(fault.met):
                tell_by_batch(fault, twin, str(batch))
        faults = faults or walks[1].faults
    if faults:
        first, *others = faults
        first.others = tuple(others)
        raise first


def tell_by_batch(fault: ValueFault, twin: ValueFault, batch: str) -> None:
    """Writes the numbers that depend on the batch as such: those in which the faults of two walks differ."""
    fault.problem = by_batch((fault.problem, twin.problem), batch)
    fault.advice = by_batch((fault.advice, twin.advice), batch)
    fault.met = tuple(
        replace(one, what=by_batch((one.what, two.what), batch), giver=by_batch((one.giver, two.giver), batch))
        for one, two in zip(fault.met, twin.met, strict=True)
    )


def by_batch(texts: Sequence[str], batch: str) -> str:
    """A text in which the numbers that differ between two walks are told in terms of the batch."""
    if len(texts) == 1:
        return texts[0]
    one, two = (re.split(r"(\d+)", text) for text in texts)
    if [each for each in one if not each.isdigit()] != [each for each in two if not each.isdigit()]:
        return texts[0]
    pairs = zip(one, two, strict=True)
    return "".join(str(extent_text((int(a), int(b)), batch)) if a != b else a for a, b in pairs)


def walks_over(root: nn.Module, wiring: Wiring, given: Mapping[Value, Any], count: bool) -> tuple[list[Inference], str | None]:
    """One walk over the inputs; or two, over batches of different size, where the batch has a name instead of a size."""
    symbols = sorted({extent for each in given.values() for extent in symbols_in(each)})
    if len(symbols) > 1:
        raise CallError(f"two sizes of the batch are unknown: {' and '.join(symbols)}.\n  Write one name for both.")
    walks = []
    for size in BATCHES if symbols else (None,):
        world = StandIns(planned_on(root))
        fakes = {value: fake_input(each, size, wiring, value, root, world) for value, each in given.items()}
        walk = Inference(root, wiring, fakes, world, count)
        walk.walk()
        walks.append(walk)
    return walks, symbols[0] if symbols else None


def planned_on(root: nn.Module) -> torch.device | None:
    """Where a network counts as being that has no memory yet, or nothing if some of it has."""
    tensors = [*root.parameters(), *root.buffers()]
    return torch.device("cpu") if tensors and all(each.device.type == "meta" for each in tensors) else None


# Inputs


def is_shape(given: Any) -> bool:
    """Whether an input is given by its shape."""
    return isinstance(given, tuple | list) and all(isinstance(each, int | str) for each in given)


def symbols_in(given: Any) -> Iterator[str]:
    """The names among the extents of a shape.

    Raises:
        CallError: if another extent than the first has a name.
    """
    if is_shape(given):
        for d, extent in enumerate(given):
            if isinstance(extent, str):
                if d or not extent.isidentifier():
                    raise CallError(
                        f"the shape {tuple(given)} has {extent!r} where a number belongs.\n"
                        "  Only the first extent, the batch, may have a name: ('N', 3, 256, 256)."
                    )
                yield extent
            elif isinstance(extent, bool) or extent < 0:
                raise CallError(
                    f"the shape {tuple(given)} has the extent {extent!r}.\n  Write whole numbers: (1, 3, 256, 256)."
                )
    elif isinstance(given, tuple | list):
        if any(isinstance(each, float) for each in given):
            raise CallError(f"the shape {tuple(given)} has a broken number.\n  Write whole numbers: (1, 3, 256, 256).")
        for each in given:
            yield from symbols_in(each)


def fake_input(given: Any, batch: int | None, wiring: Wiring, value: Value, root: nn.Module, world: StandIns) -> Any:
    """An input without memory, from a shape or an example.

    A shape means the dtype and the device of the parameters, and whole numbers where an embedding reads them.
    """
    if is_shape(given):
        shape: list[Any] = [batch if isinstance(extent, str) else extent for extent in given]
        dtype, device = usual_type(root)
        with world.mode:
            return torch.empty(shape, dtype=torch.long if read_by_embedding(root, wiring, value) else dtype, device=device)
    if isinstance(given, Tensor):
        try:
            return world.tensor(given)
        except NotImplementedError as error:
            what = f"a tensor of {given.dtype} and {given.layout} cannot stand for an input of a check"
            raise CallError(f"{what}.\n  Write its shape, {tuple(given.shape)}.") from error
    if isinstance(given, tuple | list):
        return type(given)(fake_input(each, batch, wiring, value, root, world) for each in given)
    if isinstance(given, dict):
        return {name: fake_input(each, batch, wiring, value, root, world) for name, each in given.items()}
    if given is None or isinstance(given, str):
        advice = "Write its shape, ('N', 3, 256, 256), or an example, torch.zeros(1, 3, 256, 256)."
        raise CallError(f"an input is given as {given!r}.\n  {advice}")
    return given


def usual_type(root: nn.Module) -> tuple[torch.dtype, torch.device]:
    """The dtype and the device of the first parameter that is a floating number."""
    for parameter in root.parameters():
        if parameter.dtype.is_floating_point:
            device = parameter.device
            return parameter.dtype, device if device.type != "meta" or planned_on(root) is None else torch.device("cpu")
    return torch.get_default_dtype(), torch.device("cpu")


def read_by_embedding(root: nn.Module, wiring: Wiring, value: Value) -> bool:
    """Whether the first layer that reads a value looks it up in a table."""
    for step in wiring.steps:
        if value in reads(step) and isinstance(step, Layer):
            return isinstance(child_at(root, step.path), nn.Embedding | nn.EmbeddingBag)
    return False
