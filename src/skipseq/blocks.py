"""Blocks: shorthand over the words. Each is a sequence, and prints the plain words that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from skipseq.declare.entries import entry_fault
from skipseq.declare.words import JoinWord, add, cat, describe, here, save, take, via
from skipseq.errors import WiringError
from skipseq.run import Sequential
from skipseq.views.text import Written

__all__ = ["Branches", "DenseBlock", "Grid", "Residual", "UNet"]


class Block(Sequential):
    """A sequence that was written in short. Cut, edited or joined, it is a plain :class:`Sequential`."""

    _derived_class = Sequential

    def _put(self, entries: Sequence[Any], arguments: Iterable[tuple[str, Any]]) -> None:
        """Builds the block from its words; ``arguments`` tell how it was written."""
        Sequential.__init__(self, *entries)
        self._written = Written(type(self).__name__, tuple(arguments), tuple(self._modules))


class Residual(Block):
    """Layers around which their input is added to their output.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Residual
    >>> block = Residual(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))
    >>> block(torch.zeros(1, 64, 8, 8)).shape
    torch.Size([1, 64, 8, 8])

    Args:
        layers: entries, one after the other.
        shortcut: layers for the input before the addition: one, or several as a list or ``nn.Sequential``. Their keys
            begin with ``shortcut.0``.
        join: the join, ``add`` unless given.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2015. https://arxiv.org/abs/1512.03385
    """

    def __init__(self, *layers: Any, shortcut: Any = None, join: Any = add) -> None:
        nn.Module.__init__(self)
        if not layers:
            raise WiringError("Residual", ["it has no layers. Write Residual(layer, ...)."])
        if shortcut is None:
            end: Any = of(join, "Residual")("input")
        else:
            steps = list(shortcut) if isinstance(shortcut, list | tuple) or is_chain(shortcut) else [shortcut]
            end = ("shortcut", of(join, "Residual")(via("input", *steps)))
        self._put([*layers, end], ())
        keys = list(self._modules)
        arguments: list[tuple[str, Any]] = [("", path) for path in entry_paths(self)[:-1]]
        if shortcut is not None:
            count = len(self._modules[keys[-1]]._modules)  # type: ignore[union-attr]
            arguments.append(("shortcut", [("shortcut", str(i)) for i in range(count)]))
        self._written = written(self, [*arguments, *join_argument(join, add)])


class Branches(Block):
    """Several branches over the same input, joined in order.

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
        nn.Module.__init__(self)
        if len(branches) < 2:
            raise WiringError("Branches", [f"it has {len(branches)} branches. Write Branches(first, second, ...)."])
        entries: list[Any] = []
        names: list[str] = []
        for i, branch in enumerate(branches):
            names.append(branch[0] if isinstance(branch, tuple) and len(branch) == 2 else str(i))
            entries += [branch] if not i else [take("input"), branch]
        entries.append(of(join, "Branches")(*names[:-1], here))
        self._put(entries, ())
        self._written = written(self, [*(("", (name,)) for name in names), *join_argument(join, cat)])


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
        nn.Module.__init__(self)
        entries: list[Any] = []
        for i, layer in enumerate(layers):
            # What the layer received is put together with what it gives: the input of the next one.
            received = f"dense_{i}" if i else "input"
            entries += [save(received)] if i else []
            entries += [layer, of(join, "DenseBlock")(received, here)]
        self._put(entries, ())
        count = [path for path in entry_paths(self) if not path[0].startswith(("save_", "cat_"))]
        self._written = written(self, [*(("", path) for path in count), *join_argument(join, cat)])


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

    Each level is ``encoder, save, down`` on the way down and ``up, join, decoder`` on the way up, so that the skip has the
    resolution that the encoder gives. Keys: ``encoder_1``, ``down_1``, ``bridge``, ``up_1``, ``decoder_1``, counted from
    the full resolution.

    Args:
        encoders: one for each level, as a list or a sequence.
        bridge: the layers at the bottom.
        decoders: one for each level in the order in which they run, as a list or a sequence.
        down: between levels on the way down: one layer without parameters for all levels, a list, or nothing.
        up: the same on the way up, in the order in which they run.
        join: the join: ``cat`` unless given, ``add``.

    References:
        Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015.
        https://arxiv.org/abs/1505.04597
    """

    def __init__(
        self, encoders: Any, bridge: Any, decoders: Any, down: Any = None, up: Any = None, join: Any = cat
    ) -> None:
        nn.Module.__init__(self)
        encoders, decoders = list(encoders), list(decoders)
        depth = len(encoders)
        if len(decoders) != depth or not depth:
            raise WiringError(
                "UNet",
                [
                    f"it has {depth} encoders and {len(decoders)} decoders; each encoder is joined with one decoder.\n"
                    "  Write as many decoders as encoders; the layers at the bottom are the bridge."
                ],
            )
        downs, ups = one_for_each(down, depth, "down"), one_for_each(up, depth, "up")
        entries: list[Any] = []
        for i in range(depth):
            entries += [(f"encoder_{i + 1}", encoders[i]), save(f"skip_{i + 1}")]
            entries += [(f"down_{i + 1}", downs[i])] if downs else []
        entries.append(("bridge", bridge))
        for i in range(depth):
            level = depth - i
            entries += [(f"up_{level}", ups[i])] if ups else []
            entries += [of(join, "UNet")(f"skip_{level}", here), (f"decoder_{level}", decoders[i])]
        self._put(entries, ())
        levels = range(1, depth + 1)
        lists = {"down": levels if downs else (), "up": reversed(levels) if ups else ()}
        self._written = written(
            self,
            [
                ("", [(f"encoder_{i}",) for i in levels]),
                ("", ("bridge",)),
                ("", [(f"decoder_{i}",) for i in reversed(levels)]),
                *((name, [(f"{name}_{i}",) for i in each]) for name, each in lists.items() if each),
                *join_argument(join, cat),
            ],
        )


class Grid(Block):
    """Rows of resolutions and columns of layers, as in GridNet: every node adds what comes along its row and across.

    The first columns lead down, the last ones up::

        row 0   in ──→ ● ──→ ● ──→ ● ──→ out      ──→  across[row][column]
                │      │     ↑     ↑               │   down[column][row]
        row 1   ● ───→ ● ──→ ● ──→ ●               ↑   up[column][row]

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Grid
    >>> conv, pool, grow = (lambda: nn.Conv2d(4, 4, 3, padding=1)), (lambda: nn.MaxPool2d(2)), nn.Upsample
    >>> net = Grid(
    ...     across=[[conv(), conv()], [conv(), conv()]],
    ...     down=[[pool()], [pool()]],
    ...     up=[[grow(scale_factor=2)]],
    ... )
    >>> net(torch.zeros(1, 4, 8, 8)).shape
    torch.Size([1, 4, 8, 8])

    Args:
        across: for each row, the layers from one column to the next: one less than there are columns.
        down: for each of the first columns, the layers from each row to the one below.
        up: for each of the last columns, the layers from each row to the one above, the topmost first.
        join: the join of the two ways into a node, ``add`` unless given.

    References:
        Fourure et al., Residual Conv-Deconv Grid Network for Semantic Segmentation, 2017.
        https://arxiv.org/abs/1707.07958
    """

    def __init__(self, across: Any, down: Any, up: Any, join: Any = add) -> None:
        nn.Module.__init__(self)
        rows, columns = len(across), len(down) + len(up)
        faults = grid_faults(across, down, up)
        if faults:
            raise WiringError("Grid", faults)
        entries: list[Any] = [save("node_0_0")]
        for column in range(columns):
            downward = column < len(down)
            order = range(rows) if downward else range(rows - 1, -1, -1)
            vertical = down[column] if downward else up[column - len(down)]
            for row in order:
                entries += self._node(row, column, downward, across, vertical, rows, of(join, "Grid"))
        self._put(entries, ())

    @staticmethod
    def _node(
        row: int, column: int, downward: bool, across: Any, vertical: Any, rows: int, join: Callable[..., Any]
    ) -> list[Any]:
        """The words of one node: along the row, joined with what comes from above or below."""
        here_ = f"node_{row}_{column}"
        along = (f"across_{row}_{column}", across[row][column - 1]) if column else None
        first = row == (0 if downward else rows - 1)
        name = f"{'down' if downward else 'up'}_{row}_{column}"
        layer = None if first else vertical[row - 1 if downward else row]
        came_from = f"node_{row - 1 if downward else row + 1}_{column}"
        if along is None:
            return [] if first else [take(came_from), (name, layer), save(here_)]
        entries: list[Any] = [take(f"node_{row}_{column - 1}"), along]
        if not first:
            entries.append((name, join(here, via(came_from, layer))))
        return [*entries, save(here_)]


def grid_faults(across: Any, down: Any, up: Any) -> list[str]:
    """What does not fit among the lists of a grid."""
    rows, columns = len(across), len(down) + len(up)
    faults = []
    if rows < 1 or not down:
        faults.append("it needs at least one row and one downward column.")
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
    word = join() if callable(join) and not isinstance(join, nn.Module | type) else join
    if not isinstance(word, JoinWord) or word.joined.operands:
        text = describe(join) if not isinstance(join, JoinWord) else repr(join)
        raise WiringError(what, [f"join={text} is no join without operands. Write join=cat, join=cat(dim=-1), join=add."])
    return word.of


def join_argument(join: Any, default: Any) -> list[tuple[str, Any]]:
    """The join of a block as it was written, if it is not the usual one."""
    if join is default:
        return []
    return [("join", repr(join) if isinstance(join, JoinWord) else join.__name__)]


def one_for_each(layers: Any, depth: int, what: str) -> list[Any]:
    """A layer for each level: those of a list, or the same one everywhere if it has no parameters to share."""
    if layers is None:
        return []
    if isinstance(layers, list | tuple) or is_chain(layers):
        if len(layers) != depth:
            raise WiringError("UNet", [f"{what} has {len(layers)} layers for {depth} levels. Write one for each."])
        return list(layers)
    if fault := entry_fault(layers):
        raise WiringError("UNet", [f"{what} is {fault}"])
    if isinstance(layers, nn.Module) and depth > 1 and any(True for _ in layers.parameters()):
        raise WiringError(
            "UNet",
            [
                f"{what} is one layer with parameters, which all {depth} levels would share.\n"
                f"  Write a list with a layer for each level: {what}=[layer, ...]."
            ],
        )
    return [layers] * depth


def is_chain(layers: Any) -> bool:
    """Whether a module is a plain chain of layers, which can stand one by one."""
    return type(layers) is nn.Sequential


def entry_paths(block: nn.Module) -> list[tuple[str, ...]]:
    """The keys of the children of a block, as paths."""
    return [(key,) for key in block._modules]


def written(block: Sequential, arguments: list[tuple[str, Any]]) -> Written | None:
    """How a block was written; nothing if an argument is a word, which prints only as a word."""
    return Written(type(block).__name__, tuple(arguments), tuple(block._modules))

