"""Sequential as something to rewire: its skips as data, and networks with other ones, sharing its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from torch import nn

from skipseq.declare.constructors import constructor
from skipseq.declare.vocabulary import cat
from skipseq.declare.words import describe
from skipseq.errors import CallError
from skipseq.views.ablation.ablation import Ablation

from .rewire import ablating, ablation, checkpoints, connecting, difference, disconnecting, edges, moving
from .rewire.difference import Diff
from .rewire.skips import Skips
from .stored import Stored

__all__ = ["Rewired"]


class Rewired(Stored):
    """What :class:`skipseq.Sequential` is to somebody who tries other skips.

    The methods return a new network and leave this one as it is. Both share their layers, so training one trains the
    other; ``copy.deepcopy`` parts them. Hooks and flags go with the containers that are copied, and what ``compile()`` made
    does not. A part that stands at several places is changed at the one that the path leads to.
    """

    @property
    def skips(self) -> Skips:
        """Every read of an earlier value, as a table that can be compared: who gives, who reads, and how.

        >>> from torch import nn
        >>> from skipseq import Sequential, add, cat, save, via
        >>> net = Sequential(
        ...     ("conv1", nn.Conv2d(3, 8, 3)), save("x1"), nn.ReLU(), cat("x1"),
        ...     ("conv2", nn.Conv2d(16, 8, 1)), add(via("x1", nn.Conv2d(8, 8, 1))),
        ... )
        >>> net.skips
        2 skips
        <BLANKLINE>
        giver          name  join  via                 reader
        conv1  net[0]  x1    cat                       conv2   net[3]
        conv1  net[0]  x1    add   nn.Conv2d(8, 8, 1)  output  net[5]
        >>> net.skips[0].giver, net.skips[0].reader, net.skips[0].join
        ('conv1', 'conv2', 'cat_0')
        """
        return edges.skips_of(self)

    def diff(self, other: Any) -> Diff:
        """What another network has more (``+``) and less (``-``) than this one: skips, and keys of a checkpoint.

        >>> from torch import nn
        >>> from skipseq import Sequential
        >>> net = Sequential(("conv1", nn.Conv2d(3, 8, 3, padding=1)), nn.ReLU(), ("conv2", nn.Conv2d(8, 8, 1)))
        >>> net.diff(net.connect("input", "conv2"))
        + input -> conv2  cat
        >>> net.diff(net.inserted("conv1", nn.Identity())), bool(net.diff(net))
        (no difference, False)

        Where both share layers, a layer is itself wherever it stands; else the paths are compared.

        Args:
            other: a network.

        Raises:
            CallError: if it is something else.
        """
        if not isinstance(other, Rewired):
            what = constructor(other) if isinstance(other, nn.Module) else describe(other)
            advice = "Write net.diff(other) with a Sequential, or net.diff(skipseq.trace(module))."
            raise CallError(f"net.diff({what}): a network is compared with another Sequential, not with this.\n  {advice}")
        return difference.difference(self, other)

    # Skips

    def connect(self, giver: str, reader: str, join: Any = cat, widen: str | None = None, input: Any = None) -> Self:
        """The network with one skip more: the value of the giver is joined with the running one before the reader.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(
        ...     ("encoder", nn.Sequential(nn.Linear(4, 4), nn.ReLU())), ("decoder", nn.Sequential(nn.Linear(4, 4), nn.ReLU())),
        ... )
        >>> print(net.connect("encoder.0", "decoder.1", add))
        Sequential(
            ('encoder', Sequential(
                nn.Linear(4, 4),   # -> net.decoder[1]
                nn.ReLU(),
            )),
            ('decoder', Sequential(
                nn.Linear(4, 4),
                add('encoder.0'),  # <- net.encoder[0]
                nn.ReLU(),
            )),
        )

        The keys of a checkpoint stay. A plain ``nn.Sequential`` on the way becomes one of ours, and a block becomes words.

        Args:
            giver: a label, the name of a layer, a dotted path, or an input, as seen from this network.
            reader: the path of an entry; ``"output"``, or ``"decoder.output"``, is the end.
            join: ``cat``, ``add``, ``sub`` or ``mul``; a join without operands, ``cat(dim=-1)``; or a function or layer of
                two values, the running one first.
            widen: ``"zeros"`` gives the layers behind the join the channels that it brings, with weights of zeros, so that
                the network computes what it did before.
            input: for ``widen``, the input as a shape or an example, where the shapes cannot be known from the layers.

        Raises:
            WiringError: if there are no such ends, they are connected already, or the skip does not lead forward.
        """
        return connecting.connected(self, giver, reader, join, widen, input)  # type: ignore[no-any-return]

    def disconnect(self, giver: str, reader: str) -> Self:
        """The network without a skip, and without the layers of its ``via(...)``.

        >>> from torch import nn
        >>> from skipseq import Sequential, add, here, save
        >>> net = Sequential(nn.Linear(4, 4), save("a"), nn.ReLU(), save("b"), nn.Linear(4, 4), add(here, "a", "b"))
        >>> print(net.disconnect("a", "output"))
        Sequential(
            nn.Linear(4, 4),
            save('a'),
            nn.ReLU(),
            save('b'),       # -> net[5]
            nn.Linear(4, 4),
            add(here, 'b'),  # <- net[3]
        )

        Args:
            giver: as in :meth:`connect`.
            reader: the key of the join, or the layer directly behind it.

        Raises:
            WiringError: if there is no such skip, or what reads it cannot do without.
        """
        return disconnecting.disconnected(self, giver, reader)  # type: ignore[no-any-return]

    def ablate(self, giver: str, reader: str | None = None, by: str = "zero") -> Self:
        """The network in which the skips of a giver carry nothing; in a ``with`` block, this network runs so.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(("same", nn.Identity()), add("input"))
        >>> net(torch.ones(2))
        tensor([2., 2.])
        >>> with net.ablate("input"):
        ...     net(torch.ones(2))
        tensor([1., 1.])
        >>> print(net.ablate("input"))
        Sequential(
            ('same', nn.Identity()),
            add(via('input', zeros)),   # <- input
        )

        The value is replaced where it meets the join, behind the layers of ``via(...)``; with ``project=``, before the
        projection. The keys of a checkpoint stay, unless the skip is removed.

        The block changes this network in place for its time, so that whoever holds it measures it. It is no place for other
        threads, nor for edits of this network.

        Args:
            giver: as in :meth:`connect`.
            reader: the key of one join, or the layer directly behind it; else all that read the value beside the running one.
            by: ``"zero"``; ``"mean"``, that of each channel over the batch and all positions; or ``"remove"``, which
                disconnects.

        Raises:
            WiringError: if there is no such skip.
            CallError: when called, for the mean of whole numbers.
        """
        return ablating.ablation_of(self, giver, reader, by)  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return ablating.enter(self)  # type: ignore[no-any-return]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ablating.leave(self)

    def ablation(
        self, loss: Callable[[Any, Any], Any], batches: Iterable[Any], by: str = "zero", progress: bool = True
    ) -> Ablation:
        """What each skip is worth: the mean loss with all of them, and without each, one at a time.

        >>> import torch
        >>> from torch import nn
        >>> from skipseq import Sequential, add, mul, save
        >>> net = Sequential(nn.ReLU(), save("x1"), nn.Tanh(), add("x1"), mul(0.5), add("input")).eval()
        >>> x = torch.ones(4, 2)
        >>> net.ablation(lambda net, batch: (net(batch) - 2 * batch).square().mean(), [x, 2 * x])
        Ablation of Sequential: 2 skips
        each skip in turn carries zeros (by='zero'), the mean of 2 batches, the network in eval mode
        <BLANKLINE>
        skip                    loss   change
        all there             0.1413
        input -> output  add  3.7964  +3.6552  │████████████████████████████████
        0     -> output  add  1.3438  +1.2026  │██████████▌

        The network runs without gradients and in the mode that it is in: call ``net.eval()`` before, unless dropout and the
        statistics of the batch are meant to count. Every row sees the same batches, random numbers and buffers, and
        afterwards all of them are as before.

        ``ablation.rows`` holds the numbers, and ``ablation.save("ablation.svg")``, ``.png`` or ``.csv`` writes them. A skip
        without which the network cannot run has a row that says why. In a notebook the ablation is a chart.

        Args:
            loss: a function of a network and a batch that gives one number.
            batches: a list or a ``DataLoader``, which is walked once for each row. Each batch counts the same.
            by: what the skip carries instead: ``"zero"``, ``"mean"``, or ``"remove"``, as in :meth:`ablate`.
            progress: whether a progress bar is shown, where tqdm is installed and the program runs in a terminal.

        Raises:
            CallError: if the batches can be walked only once, there are none, or the loss is no number.
        """
        return ablation.measure(self, loss, batches, by, progress)

    # Entries

    def inserted(self, path: str, entry: Any) -> Self:
        """The network with an entry before the one at a path; references by number follow, from wherever they lead there.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(("encoder", Sequential(nn.Linear(4, 4), nn.ReLU())), nn.Linear(4, 4), add("encoder.0"))
        >>> print(net.inserted("encoder.0", nn.Flatten()))
        Sequential(
            ('encoder', Sequential(
                nn.Flatten(),
                nn.Linear(4, 4),  # -> net[2]
                nn.ReLU(),
            )),
            nn.Linear(4, 4),
            add('encoder.1'),     # <- net.encoder[1]
        )

        Args:
            path: the path of an entry; ``"output"``, or ``"decoder.output"``, is the end.
            entry: a layer, function, word or pair; its own references are read as they would be in the new network.

        Raises:
            WiringError: if there is no such place, or the entry does not fit there.
        """
        return moving.inserted(self, path, entry)  # type: ignore[no-any-return]

    def removed(self, path: str) -> Self:
        """The network without the entry at a path; references by number follow, from wherever they lead behind it.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(("encoder", Sequential(nn.Flatten(), nn.Linear(4, 4))), nn.Linear(4, 4), add("encoder.1"))
        >>> print(net.removed("encoder.0").removed("add_0"))
        Sequential(
            ('encoder', Sequential(
                nn.Linear(4, 4),
            )),
            nn.Linear(4, 4),
        )

        Args:
            path: the path of an entry.

        Raises:
            WiringError: if there is no such entry, or if something reads what it gives.
        """
        return moving.removed(self, path)  # type: ignore[no-any-return]

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The network with other names for some entries; references follow everywhere, labels stay.

        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(("encoder", Sequential(nn.Linear(4, 4), nn.ReLU())), nn.Linear(4, 4), add("encoder.0"))
        >>> new = net.renamed({"encoder.0": "encoder.stem", "encoder": "down", "1": "head"})
        >>> print(new)
        Sequential(
            ('down', Sequential(
                ('stem', nn.Linear(4, 4)),  # -> net[2]
                nn.ReLU(),
            )),
            ('head', nn.Linear(4, 4)),
            add('down.stem'),               # <- net.down[0]
        )

        Args:
            names: from the path of an entry, as it is in this network, to its new name behind the same container.

        Raises:
            WiringError: if there is no such entry, or a name is taken or no name.
        """
        return moving.renamed(self, names)  # type: ignore[no-any-return]

    # Checkpoints

    def renames_from(self, old: Any) -> dict[str, str | None]:
        """The keys of a checkpoint that are others here than in the network that this one was made from.

        >>> from torch import nn
        >>> from skipseq import Sequential
        >>> net = Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
        >>> net.removed("0").renamed({"1": "head"}).renames_from(net)
        {'1.weight': '0.weight', '1.bias': '0.bias', '2.weight': 'head.weight', '2.bias': 'head.bias'}

        Parameters and buffers are known by identity. What is not there any more leads to ``None``.

        Args:
            old: the network that this one was made from, itself.

        Raises:
            CallError: if the two share nothing.
        """
        return checkpoints.renames_between(self, old)

    def load_renamed(self, checkpoint: Mapping[str, Any], renames: Mapping[str, str | None], strict: bool = True) -> Any:
        """Loads a checkpoint with other keys; returns what ``load_state_dict`` does.

        >>> from torch import nn
        >>> from skipseq import Sequential
        >>> old = Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        >>> new = Sequential(nn.Flatten(), ("stem", nn.Linear(4, 4)), ("head", nn.Linear(4, 2)))
        >>> new.load_renamed(old.state_dict(), {"0": "stem", "1": "head"})
        <All keys matched successfully>

        Args:
            checkpoint: a ``state_dict``.
            renames: from the path of a module, or a whole key, in the checkpoint to the one here; the longest that fits a
                key counts. ``None`` leaves it out. All are made at once, so two may change places.
            strict: whether missing and unexpected keys are errors.

        Raises:
            CallError: if a rename matches no key, two keys become one, or, if strict, keys are missing or unexpected.
            RuntimeError: if shapes differ, as in ``load_state_dict``.
        """
        return checkpoints.load_renamed(self, checkpoint, renames, strict)
