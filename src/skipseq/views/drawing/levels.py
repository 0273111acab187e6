"""The resolution of every value: how often the network has halved it, and whether it goes down and up again."""

from __future__ import annotations

from math import log2, prod

from skipseq.check.graph import Graph, Node, ValueInfo, specs_in

__all__ = ["goes_down_and_up", "node_levels", "value_levels"]


def value_levels(graph: Graph) -> list[int]:
    """For each value, how often its extents behind batch and channels were halved since the input; 0 where nothing is known.

    A value without such extents counts as being where the value is that it comes from.
    """
    rank = rank_of_images(graph)
    reference = next((found for value in graph.inputs if (found := image_size(graph.values[value], rank))), None)
    levels = [0] * len(graph.values)
    if reference is None:
        return levels
    for node in graph.nodes:
        for value in node.gives:
            size = image_size(graph.values[value], rank)
            if size is not None and len(size) == len(reference):
                levels[value] = round(log2(prod(reference) / prod(size)) / len(size))
            elif node.takes:
                levels[value] = levels[node.takes[0]]
    return levels


def rank_of_images(graph: Graph) -> int:
    """How many extents a value has to have to count as an image: of three, the last may be features as well as time."""
    return 3 if any("1d(" in node.text for node in graph.nodes) else 4


def image_size(value: ValueInfo, rank: int) -> tuple[int, ...] | None:
    """The extents of the first tensor behind batch and channels, if it is an image and none of them is 0 or unknown."""
    first = next(specs_in(value.spec), None)
    if first is None or len(first.shape) < rank:
        return None
    found = tuple(extent for extent in first.shape[2:] if isinstance(extent, int) and extent > 0)
    return found if len(found) == len(first.shape) - 2 else None


def node_levels(graph: Graph, levels: list[int]) -> list[int]:
    """The level at which each operation is drawn: of one that changes the resolution, the coarser side.

    So a U-Net has its pooling and its upsampling below, and nothing stands between the two ends of a skip.
    """
    return [max([levels[node.gives[0]], *level_before(graph, node, levels)]) for node in graph.nodes]


def level_before(graph: Graph, node: Node, levels: list[int]) -> list[int]:
    """The level of what an operation reads first; a join stands where its result is."""
    return [] if node.kind == "join" or not node.takes else [levels[node.takes[0]]]


def goes_down_and_up(graph: Graph, levels: list[int]) -> bool:
    """Whether a layer makes the resolution fall, and a later one makes it rise, by a factor of two or more each."""
    fallen = False
    for node in graph.nodes:
        if not node.main or node.kind == "join" or not node.takes:
            continue
        before, after = levels[node.takes[0]], levels[node.gives[0]]
        if fallen and after < before:
            return True
        fallen = fallen or after > before
    return False
