"""Blocks: shorthand over the words. Each is a sequence, and prints the plain words that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from skipseq.declare.entries import entry_fault, is_pair, number, read_entries
from skipseq.declare.functions import is_function, written
from skipseq.declare.vocabulary import add, cat, join_alone, save, take, via
from skipseq.declare.words import CallWord, JoinWord, PickWord, Word, describe, here
from skipseq.errors import WiringError
from skipseq.run import Sequential
from skipseq.views.text import Written

__all__ = ["Branches", "DenseBlock", "Grid", "Residual", "UNet"]


class Block(Sequential):
    """A sequence that was written in short. Cut, edited or joined, it is a plain :class:`Sequential`."""

    _derived_class = Sequential

    def _put(self, entries: Sequence[Any], arguments: Iterable[tuple[str, Any]]) -> None:
        """Builds the block from its words; ``arguments`` tell how it was written, see :class:`Written`."""
        Sequential.__init__(self, *entries)
        self._written = Written(type(self).__name__, tuple(arguments), tuple(self._modules))


class Residual(Block):
    """Layers around which their input is added to their output: the layers, then ``add("input")``.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Residual
    >>> block = Residual(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))
    >>> block(torch.zeros(1, 64, 8, 8)).shape
    torch.Size([1, 64, 8, 8])

    Args:
        layers: entries, one after the other.
        shortcut: layers for the input before the addition: one, or several as a list or ``nn.Sequential``. Their keys
            begin with ``shortcut.0``; given as a pair ``("downsample", layers)``, with ``downsample.0``.
        join: the join of the output with the input, in this order: ``add`` unless given, ``cat``, ``mul``.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2015. https://arxiv.org/abs/1512.03385
    """

    def __init__(self, *layers: Any, shortcut: Any = None, join: Any = add) -> None:
        joined, layers = of(join, "Residual"), from_dict(layers)
        name, given = shortcut if is_pair(shortcut) else ("shortcut", shortcut)
        steps = [] if given is None else list(given) if is_list(given) else [given]
        faults = ["it has no layers. Write Residual(layer, ...)."] if not layers else []
        if shortcut is not None and not steps:
            faults.append("shortcut has no layers. Leave it out: the input itself is the shortcut.")
        verify("Residual", [*places("layers", layers, words=True), *places("shortcut", steps, names=False)], faults)
        end: Any = (name, joined(via("input", *steps))) if steps else joined("input")
        arguments: list[tuple[str, Any]] = [("", i) for i in range(len(layers))]
        if steps:
            paths = [(name, str(i)) for i in range(len(steps))]
            shown = paths if len(paths) > 1 or is_list(given) else paths[0]
            arguments.append(("shortcut", {name: shown} if is_pair(shortcut) else shown))
        self._put([*layers, end], [*arguments, *join_argument(join, add)])


class Branches(Block):
    """Several branches over the same input, joined in order: ``branch, take("input"), branch, ..., join``.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Branches
    >>> block = Branches(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 16, 3, padding=1))
    >>> block(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 24, 8, 8])

    Args:
        branches: layers or sequences; each has the key that it would have in ``nn.Sequential``.
        join: the join: ``cat`` unless given, ``cat(dim=-1)``, ``add``, ``mul``.

    References:
        Szegedy et al., Going Deeper with Convolutions, 2014. https://arxiv.org/abs/1409.4842
    """

    def __init__(self, *branches: Any, join: Any = cat) -> None:
        joined, branches = of(join, "Branches"), from_dict(branches)
        faults = []
        if len(branches) < 2:
            faults.append(f"it joins branches, and has {len(branches)}. Write Branches(first, second, ...).")
        verify("Branches", places("branches", branches), faults)
        entries = [entry for branch in branches for entry in (take("input"), branch)][1:]
        names = keys_of(entries)[::2]
        arguments = [("", 2 * i) for i in range(len(branches))]
        self._put([*entries, joined(*names[:-1], here)], [*arguments, *join_argument(join, cat)])


class DenseBlock(Block):
    """Layers each of which receives its own input and the outputs of all layers before it, concatenated.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import DenseBlock
    >>> block = DenseBlock(nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1))
    >>> block(torch.zeros(1, 8, 6, 6)).shape
    torch.Size([1, 16, 6, 6])

    Args:
        layers: layers or sequences; each has the key that it would have in ``nn.Sequential``.
        join: the join: ``cat`` unless given, ``cat(dim=-1)``.

    References:
        Huang et al., Densely Connected Convolutional Networks, 2016. https://arxiv.org/abs/1608.06993
    """

    def __init__(self, *layers: Any, join: Any = cat) -> None:
        joined, layers = of(join, "DenseBlock"), from_dict(layers)
        faults = ["it has no layers. Write DenseBlock(layer, ...)."] if not layers else []
        verify("DenseBlock", places("layers", layers), faults)
        entries: list[Any] = []
        for i, layer in enumerate(layers):
            # What the layer received is put together with what it gives: the input of the next one.
            received = f"dense_{i}" if i else "input"
            entries += [save(received)] if i else []
            entries += [layer, joined(received, here)]
        # An entry is a layer, its join, and but for the first the save before it.
        self._put(entries, [*(("", 3 * i) for i in range(len(layers))), *join_argument(join, cat)])


class UNet(Block):
    """An encoder, a bridge and a decoder, with a skip between the first and the last, the second and the second-last.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import UNet
    >>> conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)
    >>> net = UNet(
    ...     [conv(3, 8), conv(8, 16)], conv(16, 16), [conv(16 + 16, 8), conv(8 + 8, 4)],
    ...     down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2),
    ... )
    >>> net(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 4, 16, 16])

    Each level is ``encoder, save, down`` on the way down and ``up, join, decoder`` on the way up, so that the skip has
    the resolution that the encoder gives. Keys: ``encoder_1``, ``down_1``, ``bridge``, ``up_1``, ``decoder_1``, counted
    from the full resolution; each skip is saved as ``skip_1``.

    Args:
        encoders: one for each level, as a list or a sequence; one of several layers is a sequence itself.
        bridge: the layer or the sequence at the bottom.
        decoders: one for each level in the order in which they run, as a list or a sequence.
        down: between levels on the way down: one layer without parameters for all levels, a list, or nothing.
        up: the same on the way up, in the order in which they run.
        join: the join of the skip with what comes from below, in this order: ``cat`` unless given, ``add``.

    References:
        Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015.
        https://arxiv.org/abs/1505.04597
    """

    def __init__(self, encoders: Any, bridge: Any, decoders: Any, down: Any = None, up: Any = None, join: Any = cat) -> None:
        joined = of(join, "UNet")
        faults: list[str] = []
        encoders, decoders = (listed(each, what, faults) for each, what in ((encoders, "encoders"), (decoders, "decoders")))
        depth = len(encoders)
        if not faults and (len(decoders) != depth or not depth):
            faults.append(
                f"it has {depth} encoders and {len(decoders)} decoders; each encoder is joined with one decoder.\n"
                "  Write as many decoders as encoders; the layers at the bottom are the bridge."
            )
        downs, ups = one_for_each(down, depth, "down", faults), one_for_each(up, depth, "up", faults)
        checked = [*places("encoders", encoders, names=False), *places("decoders", decoders, names=False)]
        for layers, what in ((down, "down"), (up, "up")):
            if layers is not None:
                checked += places(what, layers, names=False) if is_list(layers) else [(what, layers)]
        checked.append(("bridge", bridge))
        verify("UNet", checked, [*faults, *shared_faults(checked)])
        entries: list[Any] = []
        for i in range(depth):
            entries += [(f"encoder_{i + 1}", encoders[i]), save(f"skip_{i + 1}")]
            entries += [(f"down_{i + 1}", downs[i])] if downs else []
        entries.append(("bridge", bridge))
        for i in range(depth):
            level = depth - i
            entries += [(f"up_{level}", ups[i])] if ups else []
            entries += [joined(f"skip_{level}", here), (f"decoder_{level}", decoders[i])]
        levels = range(1, depth + 1)
        arguments: list[tuple[str, Any]] = [
            ("", [(f"encoder_{i}",) for i in levels]),
            ("", ("bridge",)),
            ("", [(f"decoder_{i}",) for i in reversed(levels)]),
        ]
        if downs:
            arguments.append(("down", [(f"down_{i}",) for i in levels] if is_list(down) else ("down_1",)))
        if ups:
            arguments.append(("up", [(f"up_{i}",) for i in reversed(levels)] if is_list(up) else ("up_1",)))
        self._put(entries, [*arguments, *join_argument(join, cat)])


class Grid(Block):
    """Rows of resolutions and columns of layers, as in GridNet: each node adds what comes along its row and across it.

    The first columns lead down, the last ones up::

        row 0   in ──→ ● ──→ ● ──→ ● ──→ out      ──→  across[row][column]
                │      │     ↑     ↑               │   down[column][row]
        row 1   ● ───→ ● ──→ ● ──→ ●               ↑   up[column][row]

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Grid, Residual
    >>> lateral = lambda c: Residual(nn.PReLU(), nn.Conv2d(c, c, 3, padding=1))
    >>> net = Grid(
    ...     across=[[lateral(4) for _ in range(3)], [lateral(8) for _ in range(3)]],
    ...     down=[[nn.Conv2d(4, 8, 3, stride=2, padding=1)] for _ in range(2)],
    ...     up=[[nn.ConvTranspose2d(8, 4, 2, stride=2)] for _ in range(2)],
    ... )
    >>> net(torch.zeros(1, 4, 8, 8)).shape
    torch.Size([1, 4, 8, 8])

    Each node is saved as ``node_<row>_<column>``. Keys: ``across_<row>_<column>``, ``down_<row>_<column>`` and
    ``up_<row>_<column>``, by the node to which the layer leads; rows and columns are counted from 0.

    Args:
        across: for each row, the layers from one column to the next: one less than there are columns. In the paper
            each of them is a :class:`Residual`.
        down: for each of the first columns, the layers between each row and the one below, the topmost first.
        up: for each of the last columns, the layers between each row and the one below, the topmost first.
        join: the join of the two ways into a node, along the row first: ``add`` unless given.

    References:
        Fourure et al., Residual Conv-Deconv Grid Network for Semantic Segmentation, 2017.
        https://arxiv.org/abs/1707.07958
    """

    def __init__(self, across: Any, down: Any, up: Any, join: Any = add) -> None:
        joined = of(join, "Grid")
        faults: list[str] = []
        across, down, up = (
            [listed(each, f"{what}[{i}]", faults) for i, each in enumerate(listed(lists, what, faults))]
            for lists, what in ((across, "across"), (down, "down"), (up, "up"))
        )
        checked = [
            place
            for lists, what in ((across, "across"), (down, "down"), (up, "up"))
            for i, each in enumerate(lists)
            for place in places(f"{what}[{i}]", each, names=False)
        ]
        verify("Grid", checked, [*(faults or grid_faults(across, down, up)), *shared_faults(checked)])
        rows = range(len(across))
        entries: list[Any] = []
        at = "node_0_0"
        for column in range(len(down) + len(up)):
            leads_down = column < len(down)
            for row in rows if leads_down else reversed(rows):
                entries += node(row, column, leads_down, at, (across, down, up), joined)
                at = f"node_{row}_{column}"
        arguments = [
            ("across", [[(f"across_{i}_{k + 1}",) for k in range(len(row))] for i, row in enumerate(across)]),
            ("down", [[(f"down_{k + 1}_{i}",) for k in range(len(column))] for i, column in enumerate(down)]),
            ("up", [[(f"up_{k}_{i}",) for k in range(len(column))] for i, column in enumerate(up, len(down))]),
        ]
        self._put(entries, [*arguments, *join_argument(join, add)])


def node(row: int, column: int, leads_down: bool, at: str, lists: Any, joined: Callable[..., JoinWord]) -> list[Any]:
    """The words of one node of a grid, where the running value is that of the node ``at``.

    The nodes of a column run in the direction in which it leads, so that ``at`` is the node above, or below.
    """
    across, down, up = lists
    first = row == (0 if leads_down else len(across) - 1)
    entries: list[Any] = []
    if not first:
        key = f"{'down' if leads_down else 'up'}_{row}_{column}"
        entries.append((key, down[column][row - 1] if leads_down else up[column - len(down)][row]))
    if column:
        left = f"node_{row}_{column - 1}"
        entries += [] if first and at == left else [take(left)]
        entries.append((f"across_{row}_{column}", across[row][column - 1]))
        entries += [] if first else [joined(key)]
    return [*entries, save(f"node_{row}_{column}")]


def grid_faults(across: Any, down: Any, up: Any) -> list[str]:
    """What does not fit among the lists of a grid."""
    rows, columns = len(across), len(down) + len(up)
    faults = []
    if rows < 1 or not down or columns < 2:
        faults.append("it needs at least one row and two columns, the first of which leads down.")
        return faults
    for i, row in enumerate(across):
        if len(row) != columns - 1:
            faults.append(f"across[{i}] has {len(row)} layers; with {columns} columns it needs {columns - 1}.")
    for name, lists in (("down", down), ("up", up)):
        for i, column in enumerate(lists):
            if len(column) != rows - 1:
                faults.append(f"{name}[{i}] has {len(column)} layers; with {rows} rows it needs {rows - 1}.")
    return faults


def of(join: Any, what: str) -> Callable[..., JoinWord]:
    """The join of a block over its operands: a join without operands, or its bare word."""
    word = join_alone(join)
    if word is None:
        text = repr(join) if isinstance(join, Word) else written(join) if is_function(join) else describe(join)
        raise WiringError(what, [f"join={text} is no join without operands. Write join=cat, join=cat(dim=-1), join=add."])
    return word.of


def join_argument(join: Any, default: Any) -> list[tuple[str, Any]]:
    """The join of a block as it was written, if it is not the usual one."""
    if join is default:
        return []
    return [("join", repr(join) if isinstance(join, JoinWord) else join.__name__)]


def one_for_each(layers: Any, depth: int, what: str, faults: list[str]) -> list[Any]:
    """A layer for each level: those of a list, or the same one everywhere if it has no parameters to share."""
    if layers is None:
        return []
    if is_list(layers):
        if len(layers) != depth:
            faults.append(f"{what} is a list of {len(layers)} for {depth} levels. Write a layer for each of them.")
        return list(layers)
    if isinstance(layers, nn.Module) and depth > 1 and any(True for _ in layers.parameters()):
        faults.append(
            f"{what} is one layer with parameters, which all {depth} levels would share.\n"
            f"  Write a list with a layer for each level: {what}=[layer, ...]."
        )
    return [layers] * depth


def from_dict(layers: tuple[Any, ...]) -> tuple[Any, ...]:
    """Layers as entries, also where they were given as one dict of layers by name."""
    return tuple(layers[0].items()) if len(layers) == 1 and isinstance(layers[0], Mapping) else layers


def listed(layers: Any, what: str, faults: list[str]) -> list[Any]:
    """The layers of a list, of a sequence, or of anything else that gives them one by one."""
    loose = isinstance(layers, Iterable) and not isinstance(layers, str | Mapping | Tensor | nn.Module)
    if loose or isinstance(layers, nn.Sequential | nn.ModuleList):
        return list(layers)
    text = describe(layers) if not isinstance(layers, nn.Module) else type(layers).__name__
    faults.append(f"{what} is {text}, where a list belongs. Write {what}=[layer, ...].")
    return []


def is_list(layers: Any) -> bool:
    """Whether something holds layers that are meant one by one: a list, or a plain chain of layers."""
    return isinstance(layers, list | tuple | nn.ModuleList) or type(layers) is nn.Sequential


def places(what: str, layers: Iterable[Any], names: bool = True, words: bool = False) -> list[tuple[str, Any]]:
    """Layers with the places at which they were given, to be verified; what needs no check is left out.

    Args:
        what: the argument.
        layers: the layers.
        names: whether pairs ``("name", layer)`` may stand there.
        words: whether words may stand there.
    """
    found = []
    for i, layer in enumerate(layers):
        thing = layer[1] if names and is_pair(layer) else layer
        if not (words and isinstance(thing, Word)):
            found.append((f"{what}[{i}]", thing))
    return found


def verify(what: str, given: Sequence[tuple[str, Any]], faults: Iterable[str] = ()) -> None:
    """Raises with all faults of the arguments of a block; ``given`` are layers with their places."""
    found = list(faults)
    for place, thing in given:
        if isinstance(thing, Word) and not isinstance(thing, CallWord | PickWord):
            found.append(f"{place} is the word {thing}, and no layer. Write Sequential(layer, {thing}).")
        elif fault := entry_fault(thing):
            found.append(f"{place} is {fault}")
    if found:
        raise WiringError(what, found)


def shared_faults(given: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The layers that stand at two places of a regular block: ``[layer] * 3`` is one layer, not three."""
    first: dict[int, str] = {}
    for place, thing in given:
        if isinstance(thing, nn.Module) and id(thing) in first and any(True for _ in thing.parameters()):
            yield (
                f"{place} is the same layer as {first[id(thing)]}, whose weights it would share.\n"
                "  Write a layer for each place; to share weights, write the network in words, see as_words()."
            )
        first.setdefault(id(thing), place)


def keys_of(entries: Iterable[Any]) -> list[str]:
    """The key that each of these entries will have in a sequence."""
    lengths = []
    children = []
    for entry in entries:
        read = read_entries((entry,), [])
        children += read
        lengths.append(len(read))
    keys = list(number(children))
    return [keys[min(sum(lengths[: i + 1]), len(keys)) - 1] for i in range(len(lengths))]
