"""The vocabulary: the functions that a user calls to write words."""

from __future__ import annotations

from typing import Any

from .words import CallWord, Joined, JoinWord, PickWord, SaveWord, TakeWord, Via, here

__all__ = [
    "BARE_WORDS",
    "JOINS",
    "Picker",
    "add",
    "call",
    "cat",
    "here",
    "join_alone",
    "mul",
    "pick",
    "save",
    "sub",
    "take",
    "via",
]


class Picker:
    """What ``pick`` is: indexing it gives the word."""

    def __getitem__(self, choice: Any) -> PickWord:
        return PickWord(choice)

    def __repr__(self) -> str:
        return "pick"


def save(*labels: str) -> SaveWord:
    """Names the running value and passes it on; several labels name the parts of a tuple.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add, save
    >>> net = Sequential(nn.Linear(4, 4), save("x1"), nn.ReLU(), add("x1"))
    >>> net(torch.zeros(2, 4)).shape
    torch.Size([2, 4])

    Args:
        labels: identifiers other than ``input``; each is saved once in a sequence.
    """
    return SaveWord(labels)


def cat(
    *operands: Any,
    dim: int = 1,
    fit: str | None = None,
    like: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    project: Any = None,
) -> JoinWord:
    """Concatenates the running value with earlier ones: ``cat("x1")`` is ``cat(here, "x1")``.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, cat
    >>> net = Sequential(("conv1", nn.Conv2d(3, 16, 3, padding=1)), nn.ReLU(), cat("conv1"))
    >>> net(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 32, 8, 8])

    With ``fit``, operands of different extents are brought to one; which one changes, and how, is drawn here for one
    dimension in which the running value has 4 positions and ``x1`` has 7::

        cat("x1", ...)          here            x1
        fit="crop"              ████             ·████··    the largest are cut around their middle
        fit="crop_end"          ████            ████···     the largest are cut behind
        fit="pad"               ████000         ███████     the smallest get zeros behind
        fit="pad_center"        0████00         ███████     the smallest get zeros around, the odd one behind
        fit="pad_replicate"     ████■■■         ███████     the smallest get their last position again
        fit="resize"            ███████         ███████     the running value is interpolated

    >>> net = Sequential(nn.Conv2d(3, 8, 3), cat("input", fit="crop"))
    >>> net(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 11, 6, 6])

    The extents are those behind ``(batch, channels)``: the length of 1-D values, height and width, or depth, height and width.
    Batch and channels are never changed, nor is the dimension along which values are concatenated.

    Args:
        operands: references, ``here``, ``via(...)``, joins and calls. With two or more, one must be ``here``.
        dim: the dimension along which values are put together; 1 are the channels of ``(batch, channels, ...)``.
        fit: how operands of different extents are brought to one before the join, see the drawing; without it they are refused.
        like: the operand whose extents rule, ``here`` or its name. Else the smallest rule in a crop, the largest in a pad, and
            those of the first named operand in a resize. The smaller is not cropped to a larger one: that stays an error.
        mode: how a resize interpolates: ``"nearest"``, ``"nearest-exact"``, ``"area"``, ``"linear"`` (1-D), ``"bilinear"`` and
            ``"bicubic"`` (2-D), ``"trilinear"`` (3-D), as in ``torch.nn.functional.interpolate``.
        align_corners: as there, for the modes from linear to trilinear.
        project: not for a concatenation, which takes any number of channels; see :func:`add`.

    Raises:
        ShapeError: when called, if the values differ in another dimension.
    """
    return JoinWord(Joined("cat", operands, dim, False, fit, like, mode, align_corners, project))


def add(
    *operands: Any,
    broadcast: bool = False,
    fit: str | None = None,
    like: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    project: Any = None,
) -> JoinWord:
    """Adds earlier values to the running value: ``add("x1")`` is ``add(here, "x1")``.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add
    >>> block = Sequential(nn.Linear(8, 8), nn.ReLU(), add("input"))
    >>> block(torch.ones(2, 8)).shape
    torch.Size([2, 8])

    With ``project``, named operands are brought to the channels of the running value, and by stride also to its extents::

        add("input", ...)        here            input
        project=True             128 x 4 x 4     64 x 8 x 8  → Conv2d(64, 128, 1, stride=2)         → 128 x 4 x 4
        project="pad_channels"   128 x 4 x 4     64 x 8 x 8  → every second position, 32 + 32 zeros → 128 x 4 x 4

    >>> block = Sequential(nn.Conv2d(64, 128, 3, 2, 1), ("downsample", add("input", project=True)))
    >>> block(torch.zeros(1, 64, 8, 8)).shape
    torch.Size([1, 128, 4, 4])
    >>> block.get_submodule("downsample.0"), list(block.state_dict())[2:]
    (Projection(1x1 convolution, 64, 128, stride=(2, 2)), ['downsample.0.weight', 'downsample.0.bias'])

    The layer is lazy, as ``nn.LazyConv2d`` is: its parameters come into being when the shapes are known, before the first call,
    so call the network once before an optimizer takes them. Where the shapes are equal already, it is nothing.

    Args:
        operands: references, ``here``, ``via(...)``, joins, calls and numbers. With two or more, one must be ``here``.
        broadcast: allows values of different shapes, as torch broadcasts them, also behind a fit.
        fit: how operands of different extents are brought to one before the join, as drawn in :func:`cat`.
        like: the operand whose extents rule, as in :func:`cat`.
        mode: how a resize interpolates, as in :func:`cat`.
        align_corners: whether it aligns the corners, as in :func:`cat`.
        project: ``True`` for a 1x1 convolution of values that differ in dimension 1, or a linear layer of values
            ``(batch, features)`` and ``(batch, tokens, features)`` that differ in the last one; ``"pad_channels"`` for
            channels of zeros, half of them on each side. Other layers: ``via("x1", layer, ...)``.

    Raises:
        ShapeError: when called, if the shapes differ and ``broadcast`` is off.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2015, options A (zeros) and B (projection).
        https://arxiv.org/abs/1512.03385
    """
    return JoinWord(Joined("add", operands, 1, broadcast, fit, like, mode, align_corners, project))


def sub(
    *operands: Any,
    broadcast: bool = False,
    fit: str | None = None,
    like: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    project: Any = None,
) -> JoinWord:
    """Subtracts from the running value: ``sub("x1")`` is ``sub(here, "x1")``, and ``sub(1.0, here)`` is one minus it.

    >>> import torch
    >>> from skipseq import Sequential, sub
    >>> Sequential(sub(1.0, "input"))(torch.tensor([0.25]))
    Traceback (most recent call last):
    ...
    skipseq.errors.WiringError: 1 fault in Sequential
      net[0] sub(1.0, 'input') does not say where the running value goes.
        Write sub(here, 1.0, 'input'), or take(sub(1.0, 'input')) to leave it out.
    >>> from skipseq import here
    >>> Sequential(sub(1.0, here))(torch.tensor([0.25]))
    tensor([0.7500])

    Arguments and errors are those of :func:`add`.
    """
    return JoinWord(Joined("sub", operands, 1, broadcast, fit, like, mode, align_corners, project))


def mul(
    *operands: Any,
    broadcast: bool = False,
    fit: str | None = None,
    like: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    project: Any = None,
) -> JoinWord:
    """Multiplies the running value: ``mul("gate")`` is ``mul(here, "gate")``, ``mul(0.2)`` scales it.

    >>> import torch
    >>> from skipseq import Sequential, mul
    >>> Sequential(mul(0.5))(torch.tensor([3.0]))
    tensor([1.5000])

    Arguments and errors are those of :func:`add`.
    """
    return JoinWord(Joined("mul", operands, 1, broadcast, fit, like, mode, align_corners, project))


def call(layer: Any, *operands: Any, **named: Any) -> CallWord:
    """Calls a layer or function of more than one input: ``call(layer, "t")`` is ``call(layer, here, "t")``.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, call, save
    >>> net = Sequential(nn.Linear(4, 4), save("x1"), nn.Tanh(), call(torch.maximum, "x1"))
    >>> net(torch.zeros(2, 4)).shape
    torch.Size([2, 4])

    A name instead of a layer calls a layer of the same sequence again: it has one set of weights, under one key.

    >>> net = Sequential(("fold", nn.Linear(4, 4)), nn.ReLU(), call("fold"))
    >>> list(net.state_dict())
    ['fold.weight', 'fold.bias']

    Args:
        layer: a module, which keeps its own number and ``state_dict`` keys, a function, or the name of an earlier layer,
            ``"fold"``, perhaps inside a sequence: ``"head.conv"``.
        operands: references, ``here``, ``via(...)``, joins, calls and numbers, in the order of the layer's inputs.
        named: the same, by the layer's argument names: ``key_padding_mask="mask"``. A string is always a reference;
            for a constant string, wrap the function: ``functools.partial(interpolate, mode="nearest")``.
    """
    return CallWord(layer, operands, named)


def take(operand: Any) -> TakeWord:
    """The running value becomes another one, which starts a second branch.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add, take
    >>> net = Sequential(("left", nn.Linear(4, 8)), take("input"), ("right", nn.Linear(4, 8)), add("left"))
    >>> net(torch.zeros(2, 4)).shape
    torch.Size([2, 8])

    Args:
        operand: a reference, ``via(...)``, a join or a call. A join here means exactly what it lists.
    """
    return TakeWord(operand)


def via(operand: Any, *layers: Any) -> Via:
    """An operand: the named value after these layers, as in a projected shortcut.

    >>> import torch
    >>> from torch import nn
    >>> from skipseq import Sequential, add, via
    >>> block = Sequential(nn.Conv2d(64, 128, 3, 2, 1), ("downsample", add(via("input", nn.Conv2d(64, 128, 1, 2)))))
    >>> block(torch.zeros(1, 64, 8, 8)).shape
    torch.Size([1, 128, 4, 4])
    >>> list(block.state_dict())
    ['0.weight', '0.bias', 'downsample.0.weight', 'downsample.0.bias']

    Args:
        operand: a reference or ``here``.
        layers: modules or functions, called one after the other.
    """
    return Via(operand, layers)


pick = Picker()

#: The joins that may be given by their bare word.
JOINS = (add, cat, mul, sub)


def join_alone(join: Any) -> JoinWord | None:
    """A join that was given without operands, by its bare word or called, as blocks and skips take it; nothing for others."""
    word = join() if any(join is each for each in JOINS) else join
    return word if isinstance(word, JoinWord) and not word.joined.operands else None


#: The words as one may forget to call them.
BARE_WORDS = (save, cat, add, sub, mul, call, take, via)
