"""The rows of a model file, tried one by one without memory, and then built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skipseq.declare.vocabulary import cat
from skipseq.errors import FileError, shortened
from skipseq.run import Sequential

from ..graph import Operation, free_name, in_words
from .arguments import is_whole
from .blocks import Style
from .heads import anchor_boxes, box_distribution, class_scores, hidden_widths
from .modules import base_name, maker
from .rows import IMAGES, MOST_BLOCKS, Row
from .settings import ANCHORS, Settings, anchor_counts

__all__ = ["Planner"]

#: How many numbers one value may have for one image: the largest of published networks have some ten million.
MOST_NUMBERS = 1 << 32

#: What the images are called while rows are read.
IMAGES_NAME = "images"


@dataclass(frozen=True, slots=True)
class Planned:
    """An operation that is not built yet: a join, or what makes a layer."""

    row: Row
    name: str
    join: Any
    make: Callable[[], nn.Module]
    operands: tuple[str, ...]

    def built(self) -> Operation:
        """The operation, with weights."""
        entry = self.join if self.join is not None else guarded(self.row, self.make, "it cannot be built", "arguments that fit")
        return Operation(self.name, entry, self.operands)


@dataclass(frozen=True, slots=True)
class Value:
    """What a row gives: its name, and a tensor without memory, or whatever a module of the registry gives."""

    name: str
    tensor: Any


class Planner:
    """Takes the rows in order.

    Args:
        settings: the head of the file.
        registry: what builds modules that are not known.
        images: the shape of the images with which the rows are tried.
        largest: the most bytes that the parameters may take.
    """

    def __init__(
        self, settings: Settings, registry: Mapping[str, Any], images: tuple[int, int, int, int], largest: int
    ) -> None:
        self.settings, self.registry, self.largest = settings, registry, largest
        self.style = Style(settings.activation, settings.anchors is not None)
        self.size = images[2:]
        self.values = {IMAGES: Value(IMAGES_NAME, torch.empty(images, device="meta"))}
        self.planned: list[Planned] = []
        self.outputs: list[str] = []
        self.names = {IMAGES_NAME}
        self.blocks = self.bytes = 0

    def put(self, row: Row, last: bool) -> None:
        """A row behind those that it reads.

        Raises:
            FileError: if it cannot be built, or does not fit to what it reads.
        """
        known = row.module in self.registry
        if row.module == "Concat" and not known:
            self.put_join(row)
        elif row.module == "Detect" and not known:
            self.put_detect(row, last)
        else:
            self.put_layer(row)

    def network(self) -> Sequential:
        """The rows as a sequence, with weights."""
        outputs = self.outputs or [self.planned[-1].name]
        return in_words([each.built() for each in self.planned], [IMAGES_NAME], outputs)

    def put_layer(self, row: Row) -> None:
        """A row whose module is a layer."""
        make, times = maker(row, self.settings, self.style, self.registry)
        self.count(row, times)
        tensors = [self.tensor(row, each) for each in row.reads]
        channels = [int(tensor.shape[1]) for tensor in tensors]
        built = partial(make, channels if row.many else channels[0])
        result = run(row, self.tried(row, built), tensors)
        self.gives(row, base_name(row.module), result, None, built)

    def put_join(self, row: Row) -> None:
        """A row that concatenates.

        Raises:
            FileError: if its values do not fit together.
        """
        dim = row.arguments[0] if row.arguments else 1
        if len(row.arguments) > 1 or not is_whole(dim, -3, 3):
            raise row.fault("its argument is wrong", "one dimension", repr(list(row.arguments)), "Write [1]: the channels.")
        if row.times != 1 or len(row.reads) < 2:
            received = f"the number {row.times} and {len(row.reads)} rows"
            raise row.fault(
                "it joins rows once", "the number 1 and at least two rows", received, "As in [[-1, 6], 1, Concat, [1]]."
            )
        tensors = [self.tensor(row, each) for each in row.reads]
        if len({(tensor.dim(), *without(tensor.shape, dim)) for tensor in tensors}) > 1:
            received = ", ".join(
                f"{self.values[each].name!r} {shape_of(t)}" for each, t in zip(row.reads, tensors, strict=True)
            )
            advice = "Does 'from' read the rows that are meant? Rows are counted from 0 through backbone and head."
            raise row.fault("it cannot concatenate values of different sizes", "one size", received, advice)
        result = guarded(row, partial(torch.cat, tensors, dim), "it does not run on what it reads", "values that fit")
        self.gives(row, "concat", result, cat(dim=dim), nn.Identity)

    def put_detect(self, row: Row, last: bool) -> None:
        """The row that predicts, with one branch or two for each scale.

        Raises:
            FileError: if it is not the last one, or its arguments are others.
        """
        if not last or row.times != 1:
            raise row.fault(
                "it stands in the middle", "Detect once, in the last row", "rows behind it, or a number above 1", "Move it."
            )
        if not 1 <= len(row.arguments) <= 2 or not is_whole(row.arguments[0], 1, 1 << 16):
            received = repr(list(row.arguments))
            raise row.fault(
                "its arguments are wrong", "[nc] or [nc, anchors]", received, "Write [nc] for a head without anchors."
            )
        tensors = [self.tensor(row, each) for each in row.reads]
        if any(tensor.dim() != 4 for tensor in tensors):
            received = ", ".join(map(shape_of, tensors))
            raise row.fault("it predicts from maps", "values (batch, channels, height, width)", received, "Read other rows.")
        widths = [tensor.shape[1] for tensor in tensors]
        branches = self.branches(row, widths)
        for read, width in zip(row.reads, widths, strict=True):
            for kind, branch in branches.items():
                self.put_branch(row, read, kind, partial(branch, width))

    def branches(self, row: Row, widths: list[int]) -> dict[str, Callable[[int], nn.Module]]:
        """What makes each branch of a scale from the channels of its map.

        Raises:
            FileError: if the anchors are for another number of scales.
        """
        classes = row.arguments[0]
        if len(row.arguments) == 1:
            return self.free_branches(widths, classes)
        found = anchor_counts(row.arguments[1])
        if found is None or (found[1] is not None and found[1] != len(widths)):
            received = repr(row.arguments[1])
            advice = "List the anchor boxes of each map that Detect reads."
            raise row.fault("its anchors are wrong", f"{ANCHORS} (maps: {len(widths)})", received, advice)
        return {"predictions": partial(anchor_boxes, classes=classes, anchors=found[0])}

    def free_branches(self, widths: list[int], classes: int) -> dict[str, Callable[[int], nn.Module]]:
        """What makes the two branches of a scale of a head without anchors."""
        style, bins = self.style, self.settings.bins
        inner, outer = hidden_widths(widths, classes, bins)
        return {
            "boxes": partial(box_distribution, style, hidden=inner, bins=bins),
            "classes": partial(class_scores, style, hidden=outer, classes=classes),
        }

    def put_branch(self, row: Row, read: int, kind: str, make: Callable[[], nn.Module]) -> None:
        """One branch of one scale: an output of the network."""
        self.count(row, 1)
        tensor = self.values[read].tensor
        result = run(row, self.tried(row, make), [tensor])
        name = self.named(kind, result)
        self.planned.append(Planned(row, name, None, make, (self.values[read].name,)))
        self.outputs.append(name)

    def gives(self, row: Row, base: str, result: Any, join: Any, make: Callable[[], nn.Module]) -> None:
        """The result of a row, under its name.

        Raises:
            FileError: if it is so large that no memory would hold it.
        """
        if isinstance(result, Tensor) and result.numel() > MOST_NUMBERS:
            advice = "Is a size or a factor in this row right? Pass size= to try the rows with smaller images."
            raise row.fault("what it gives is too large", f"at most {MOST_NUMBERS} numbers", shape_of(result), advice)
        name = self.named(base, result)
        operands = tuple(self.values[each].name for each in row.reads)
        self.planned.append(Planned(row, name, join, make, operands))
        self.values[row.number] = Value(name, result)

    def named(self, base: str, result: Any) -> str:
        """A name that no other row has: what the layer is, and the level of its map."""
        level = level_of(result, self.size)
        name = free_name(base if level is None else f"{base}_p{level}", self.names)
        self.names.add(name)
        return name

    def tensor(self, row: Row, read: int) -> Tensor:
        """What a row gave, which is to be a tensor with channels.

        Raises:
            FileError: if it is something else.
        """
        value = self.values[read]
        if not isinstance(value.tensor, Tensor) or value.tensor.dim() < 2:
            received = shape_of(value.tensor) if isinstance(value.tensor, Tensor) else f"a {type(value.tensor).__name__}"
            raise row.fault(f"it reads {value.name!r}", "a tensor (batch, channels, ...)", received, "Read another row.")
        return value.tensor

    def count(self, row: Row, times: int) -> None:
        """Counts the modules, so that no number in a file makes endless work.

        Raises:
            FileError: if there are too many.
        """
        self.blocks += times
        if self.blocks > MOST_BLOCKS:
            advice = "Is the number of this row, or the multiple of depth, right?"
            raise row.fault("there are too many modules", f"at most {MOST_BLOCKS} in all", f"{self.blocks} up to here", advice)

    def tried(self, row: Row, make: Callable[[], nn.Module]) -> nn.Module:
        """A layer without memory, counted.

        Raises:
            FileError: if it cannot be built, or would take too much memory.
        """
        with torch.device("meta"):
            layer = guarded(row, make, "it cannot be built", "arguments that fit")
        if not isinstance(layer, nn.Module):
            received = f"a {type(layer).__name__}"
            raise row.fault("the function of the registry gives no module", "an nn.Module", received, "Return the layer.")
        held = (*layer.parameters(), *layer.buffers())
        self.bytes += sum(each.numel() * each.element_size() for each in held)
        if self.bytes > self.largest:
            received = f"{self.bytes} bytes up to here"
            raise row.fault(
                "the network is too large", f"at most {self.largest} bytes", received, "Pass largest= if it is meant."
            )
        return layer


def guarded(row: Row, call: Callable[[], Any], problem: str, expected: str) -> Any:
    """What a call gives: the constructor or the trial of a layer, which may raise anything for the numbers of strangers.

    Raises:
        FileError: if it raises.
    """
    try:
        return call()
    except FileError:
        raise
    except Exception as error:
        reason = shortened(" ".join(f"{type(error).__name__}: {error}".split()), 400)
        raise row.fault(problem, expected, f"{list(row.arguments)}", reason) from error


def run(row: Row, layer: nn.Module, values: list[Any]) -> Any:
    """What a layer gives for values without memory.

    Raises:
        FileError: if it does not take them.
    """
    shapes = ", ".join(shape_of(each) for each in values)
    with torch.device("meta"), torch.no_grad():
        return guarded(row, lambda: layer.eval()(*values), "it does not run on what it reads", f"arguments for {shapes}")


def without(shape: Sequence[int], dim: int) -> list[int]:
    """A shape without one of its sizes."""
    return [size for place, size in enumerate(shape) if place != dim % len(shape)]


def shape_of(tensor: Tensor) -> str:
    """The shape of a tensor as it is written."""
    return str(tuple(tensor.shape))


def level_of(result: Any, size: tuple[int, int]) -> int | None:
    """How often a map was halved: 3 if it has an eighth of the height and width of the images; nothing for other values."""
    if not isinstance(result, Tensor) or result.dim() != 4 or 0 in result.shape:
        return None
    (down, left), (across, rest) = (divmod(whole, part) for whole, part in zip(size, result.shape[2:], strict=True))
    power = down > 0 and down & (down - 1) == 0
    return down.bit_length() - 1 if power and down == across and not left and not rest else None
