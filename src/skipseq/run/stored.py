"""Sequential as a file: its text, and its text with the weights.

What the methods do lives in ``skipseq.bridges``, above this package, which is loaded when one of them is called: only there
are the blocks and the layers of other worlds known. See docs/decisions/0016.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Self

from .viewed import Viewed

__all__ = ["Stored"]

#: How many bytes the parameters of a network may take that a text describes, unless told otherwise: 8 GiB.
LARGEST = 8 << 30


class Stored(Viewed):
    """What :class:`skipseq.Sequential` is to somebody who keeps it in a file."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if hasattr(cls, "_from_pretrained"):  # a mixin of huggingface_hub
            import_module("skipseq.bridges.hub").keep_on_hub(cls)

    def to_yaml(self, path: str | os.PathLike[str] | None = None, *, registry: Mapping[str, Any] | None = None) -> str:
        """The network as text: its layers and words, without weights.

        >>> from torch import nn
        >>> from skipseq import Sequential, cat, save
        >>> net = Sequential(nn.Conv2d(3, 8, 3, padding=1), save("x1"), nn.ReLU(), cat("x1"), ("head", nn.Conv2d(16, 4, 1)))
        >>> print(net.to_yaml(), end="")
        skipseq: 1
        network:
          - nn.Conv2d(3, 8, 3, padding=1)
          - save('x1')
          - nn.ReLU()
          - cat('x1')
          - head: nn.Conv2d(16, 4, 1)

        Each line is an entry with the words of Python, so that a diff of two texts shows what was changed. The text is read
        again and compared with the network before it is returned. It says what the layers are, not what is in them: weights,
        types of numbers, devices, and which parameters are frozen or tied are not in it. :meth:`to_file` keeps the weights.
        A sequence of a class whose constructor takes no entries is written as the plain sequence that it runs as.

        Args:
            path: the file to write; without it, the text is only returned. The file is whole or not there.
            registry: names for classes and functions that are not PyTorch's; without it, they have their own.

        Raises:
            FileError: if something in the network cannot be written, a lambda or a hook for instance: what, and what to do.
            ImportError: if PyYAML is not installed.
        """
        return import_module("skipseq.bridges.text").to_yaml(self, path, registry)  # type: ignore[no-any-return]

    @classmethod
    def from_yaml(
        cls, source: str | os.PathLike[str], *, registry: Mapping[str, Any] | None = None, largest: int = LARGEST
    ) -> Self:
        """The network that a text describes, with weights of its own.

        >>> from skipseq import Sequential
        >>> net = Sequential.from_yaml('''
        ... skipseq: 1
        ... network:
        ...   - nn.Linear(8, 8)
        ...   - nn.ReLU()
        ...   - add("input")
        ... ''')
        >>> print(net)
        Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
            add('input'),  # <- input
        )

        An entry is an expression as in Python; a name before it, ``conv1: nn.ReLU()``, names it, and a list is a part. What
        repeats can be a block with parameters:

        >>> net = Sequential.from_yaml('''
        ... skipseq: 1
        ... inputs: [x, t]
        ... blocks:
        ...   residual(width, slope=0.1):
        ...     - nn.Linear(width, 2 * width)
        ...     - nn.LeakyReLU(slope)
        ...     - nn.Linear(2 * width, width)
        ...     - add('input')
        ... network:
        ...   - stem: residual(8)
        ...   - add('t')
        ...   - stack: residual(8, slope=0.2).repeat(3)
        ... ''')
        >>> [name for name, _ in net.named_children()]
        ['stem', 'add_0', 'stack']

        ``Residual():`` with a list below it is a block over several lines, ``&name`` and ``*name`` are one layer at two places.
        Nothing in the text is executed, and it can name nothing but the words and blocks of skipseq, layers and functions of
        PyTorch, and what the registry holds.

        Args:
            source: the text; or the path of a file, which ends in ``.yaml`` or ``.yml`` if it is a string.
            registry: classes of layers and functions by the names that the text has for them.
            largest: the most bytes that the parameters and buffers may take.

        Raises:
            FileError: with the file, the line and the column of what is wrong, and what was expected there.
            ImportError: if PyYAML is not installed.
        """
        return import_module("skipseq.bridges.text").from_yaml(cls, source, registry, largest)  # type: ignore[no-any-return]

    def to_file(self, path: str | os.PathLike[str], *, registry: Mapping[str, Any] | None = None) -> None:
        """Writes the network into one ``.safetensors`` file: its weights, with its text in the header.

        >>> import tempfile, torch
        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.to_file(f"{folder}/net.safetensors")
        ...     same = Sequential.from_file(f"{folder}/net.safetensors")
        >>> torch.equal(same[0].weight, net[0].weight)
        True

        Besides the weights under the keys of ``state_dict``, which every reader of safetensors finds, the file holds the text
        of :meth:`to_yaml`, which parameters are tied or frozen, and which layers are in training. It holds no code. It is whole
        at any time: if this process is killed or the disk is full, the old file is there as it was.

        Args:
            path: the file to write.
            registry: names for classes and functions that are not PyTorch's; without it, they have their own.

        Raises:
            FileError: if something in the network would be lost, or the disk does not take the file: what, and what to do.
        """
        import_module("skipseq.bridges.weights").to_file(self, path, registry)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, registry: Mapping[str, Any] | None = None) -> Self:
        """The network in a file that :meth:`to_file` wrote: wiring, weights, shared layers, and whether it is in training.

        >>> import tempfile
        >>> from torch import nn
        >>> from skipseq import Sequential, add
        >>> net = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input")).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.to_file(f"{folder}/net.safetensors")
        ...     same = Sequential.from_file(f"{folder}/net.safetensors")
        >>> print(same)
        Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
            add('input'),  # <- input
        )
        >>> same.training
        False

        Nothing in the file is executed, and no more memory is taken than the weights in it need: before they are read, the text
        is compared with what the file has. The network is in the memory of the processor; ``.to(device)`` moves it.

        Args:
            path: the file.
            registry: classes of layers and functions of your own by the names that the text has for them.

        Raises:
            FileError: if the file is damaged, holds weights alone, or its text and its weights do not fit together.
        """
        return import_module("skipseq.bridges.weights").from_file(cls, path, registry)  # type: ignore[no-any-return]
