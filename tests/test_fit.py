"""``fit=``: values of different extents, brought to one before they are joined; equal to what is written by hand for it."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.export import Dim
from torch.utils._python_dispatch import TorchDispatchMode

import skipseq.run.sequential
from skipseq import Residual, Sequential, UNet, add, call, cat, here, mul, save, sub, take, via
from skipseq.errors import OverwriteError, ShapeError
from skipseq.joins import fitted_shapes, joinable
from skipseq.wiring import Fit, Join

from .helpers import everything_called, faults, linear
from .same_network import assert_pastes, assert_same_network

KINDS = ("crop", "crop_end", "pad", "pad_center", "pad_replicate", "resize")

# -------------------------------------------------------------------------------------------------- as written by hand

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
UP = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def center_crop(layer: Tensor, target: Sequence[int]) -> Tensor:
    """As in jvanvugt/pytorch-unet: an offset of half the difference, rounded down."""
    for d, wanted in enumerate(target, 2):
        offset = (layer.shape[d] - wanted) // 2
        layer = layer[(slice(None),) * d + (slice(offset, offset + wanted),)]
    return layer


def crop_by_jvanvugt(up: Tensor, bridge: Tensor) -> Tensor:
    return torch.cat([up, center_crop(bridge, up.shape[2:])], 1)


def cut_at_the_end(up: Tensor, bridge: Tensor) -> Tensor:
    """The smallest of both in each dimension, from the start."""
    ends = [slice(0, min(a, b)) for a, b in zip(up.shape[2:], bridge.shape[2:], strict=True)]
    return torch.cat([up[(..., *ends)], bridge[(..., *ends)]], 1)


def pad_by_milesial(up: Tensor, skip: Tensor) -> Tensor:
    """As in milesial/Pytorch-UNet: half before, the rest after, and the skip first."""
    pads: list[int] = []
    for d in reversed(range(2, up.dim())):
        diff = skip.size()[d] - up.size()[d]
        pads += [diff // 2, diff - diff // 2]
    return torch.cat([skip, F.pad(up, pads)], dim=1)


def pad_by_monai(up: Tensor, skip: Tensor) -> Tensor:
    """As in MONAI's BasicUNet: one position replicated where the sizes differ, and the skip first."""
    spatial = up.dim() - 2
    pads = [0] * (spatial * 2)
    for i in range(spatial):
        if skip.shape[-i - 1] != up.shape[-i - 1]:
            pads[i * 2 + 1] = 1
    return torch.cat([skip, F.pad(up, pads, "replicate")], dim=1)


def resize_by_fastai(up: Tensor, skip: Tensor) -> Tensor:
    """As in fastai's UnetBlock and the decoders of segmentation_models_pytorch: only where the sizes differ."""
    if skip.shape[2:] != up.shape[2:]:
        up = F.interpolate(up, skip.shape[2:], mode="nearest")
    return torch.cat([up, skip], dim=1)


def resize_smoothly(up: Tensor, skip: Tensor) -> Tensor:
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[up.dim()]
    return torch.cat([F.interpolate(up, size=skip.shape[2:], mode=mode, align_corners=True), skip], dim=1)


def smooth(dimensions: int) -> Any:
    return cat("x1", fit="resize", mode={1: "linear", 2: "bilinear", 3: "trilinear"}[dimensions], align_corners=True)


BY_HAND: dict[str, tuple[Callable[[int], Any], Callable[..., Tensor], bool]] = {
    "crop": (lambda _: cat("x1", fit="crop"), crop_by_jvanvugt, True),
    "crop_end": (lambda _: cat("x1", fit="crop_end"), cut_at_the_end, True),
    "pad_center": (lambda _: cat("x1", here, fit="pad_center"), pad_by_milesial, False),
    "pad_replicate": (lambda _: cat("x1", here, fit="pad_replicate"), pad_by_monai, False),
    "resize": (lambda _: cat("x1", fit="resize"), resize_by_fastai, False),
    "resize, smooth": (smooth, resize_smoothly, False),
}


class Hand(nn.Sequential):
    """A small U-Net written by hand: convolution, pooling, convolution, upsampling, join, convolution."""

    def __init__(self, joined: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.joined = joined

    def forward(self, x: Tensor) -> Tensor:
        first, pool, second, up, last = self
        x1 = first(x)
        return last(self.joined(up(second(pool(x1))), x1))


def layers(dimensions: int, valid: bool, channels: int = 6) -> list[nn.Module]:
    """Convolutions without padding are those of the first U-Net, whose skips are larger by several positions."""
    padding, conv = 0 if valid else 1, CONV[dimensions]
    middle, up = conv(3, 3, 3, padding=padding), UP[dimensions](3, 3, 2, 2)
    return [conv(2, 3, 3, padding=padding), POOL[dimensions](2), middle, up, conv(channels, 2, 1)]


@pytest.mark.parametrize("extent", [(13, 12, 11), (14, 13, 15), (12, 12, 12)])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", BY_HAND)
def test_equals_the_handwritten_code(name: str, dimensions: int, extent: tuple[int, ...]) -> None:
    word, joined, valid = BY_HAND[name]
    first, *rest, last = layers(dimensions, valid)
    net = Sequential(first, save("x1"), *rest, word(dimensions), last)
    assert_same_network(net, Hand(joined, *layers(dimensions, valid)), torch.randn(2, 2, *extent[:dimensions]))


# ------------------------------------------------------------------------------------------ random, against an oracle


@dataclass(frozen=True)
class Case:
    """A join of values of random extents."""

    operator: str
    kind: str
    extents: tuple[tuple[int, ...], ...]
    like: int | None
    dim: int

    def values(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(2, 3, *each, generator=generator, dtype=torch.float64).requires_grad_() for each in self.extents]

    def word(self) -> Any:
        names = ("a", "b", "c")
        operands = [here if i == 0 else names[i - 1] for i in range(len(self.extents))]
        like = None if self.like is None else operands[self.like]
        options = {"dim": self.dim} if self.operator == "cat" else {}
        return {"cat": cat, "add": add, "sub": sub, "mul": mul}[self.operator](*operands, fit=self.kind, like=like, **options)

    def net(self) -> Sequential:
        return Sequential(nn.Identity(), self.word(), inputs=("x", "a", "b", "c")[: len(self.extents)])

    def rulers(self, d: int) -> int:
        extents = [each[d] for each in self.extents]
        if self.like is not None or self.kind == "resize":
            return extents[1 if self.like is None else self.like]
        return min(extents) if self.kind.startswith("crop") else max(extents)

    def fits(self) -> bool:
        """Whether the rules allow it: a crop makes nothing larger, a pad nothing smaller."""
        for d in self.changed():
            for each in self.extents:
                if self.kind.startswith("crop") and each[d] < self.rulers(d):
                    return False
                if self.kind.startswith("pad") and each[d] > self.rulers(d):
                    return False
        joined = self.dim - 2
        untouched = range(len(self.extents[0])) if self.operator == "cat" and joined >= 0 else ()
        return all(len({each[d] for each in self.extents}) == 1 or d == joined or d in self.changed() for d in untouched)

    def changed(self) -> list[int]:
        joined = self.dim % (len(self.extents[0]) + 2) - 2 if self.operator == "cat" else -1
        return [d for d in range(len(self.extents[0])) if d != joined]


def position(kind: str, i: int, own: int, wanted: int) -> int | None:
    """The position of a value that comes to stand at ``i``, or nothing where there is a zero."""
    if kind == "crop":
        return i + (own - wanted) // 2
    if kind == "pad_center":
        i -= (wanted - own) // 2
    if kind == "pad_replicate":
        return min(i, own - 1)
    if kind == "resize":
        return i * own // wanted
    return i if 0 <= i < own else None


def oracle(case: Case, values: Sequence[Tensor]) -> Tensor:
    """Position by position, from the rules alone."""
    changed = []
    for value, own in zip(values, case.extents, strict=True):
        wanted = [case.rulers(d) if d in case.changed() else own[d] for d in range(len(own))]
        parts = []
        for index in itertools.product(*map(range, wanted)):
            source = [position(case.kind, i, own[d], wanted[d]) for d, i in enumerate(index)]
            parts.append(value.new_zeros(2, 3) if None in source else value[(..., *source)])
        changed.append(torch.stack(parts, -1).reshape(2, 3, *wanted))
    if case.operator == "cat":
        return torch.cat(changed, case.dim)
    result = changed[0]
    for value in changed[1:]:
        result = {"add": torch.add, "sub": torch.sub, "mul": torch.mul}[case.operator](result, value)
    return result


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    rank, count = draw(st.integers(1, 3)), draw(st.integers(2, 3))
    extents = tuple(tuple(draw(st.integers(1, 5)) for _ in range(rank)) for _ in range(count))
    operator = draw(st.sampled_from(["cat", "add", "sub", "mul"]))
    like = draw(st.none() | st.integers(0, count - 1))
    dim = draw(st.sampled_from([1, 1, 0, -1, rank + 1])) if operator == "cat" else 1
    return Case(operator, draw(st.sampled_from(KINDS)), extents, like, dim)


def assert_as_the_oracle(case: Case, run: Callable[..., Any]) -> None:
    values, others = case.values(), case.values()
    expected, received = oracle(case, values), run(*others)
    torch.testing.assert_close(received, expected, rtol=0, atol=0)
    for output in (expected, received):
        output.sin().sum().backward()
    for one, other in zip(values, others, strict=True):
        torch.testing.assert_close(other.grad, one.grad)


@given(cases())
@settings(max_examples=150)
def test_random_extents_equal_the_oracle_or_are_refused(case: Case) -> None:
    net = case.net()
    if not case.fits():
        with pytest.raises(ShapeError, match="different shapes"):
            net(*case.values())
        return
    assert_as_the_oracle(case, net)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skipseq.run.sequential, "traced", lambda: True)
        assert_as_the_oracle(case, net)


@given(cases())
def test_shapes_are_told_without_values(case: Case) -> None:
    (step,) = [step for step in case.net().wiring.steps if isinstance(step, Join)]
    values = case.values()
    shapes = [tuple(value.shape) for value in values]
    assert joinable(step, shapes) == case.fits()
    if case.fits():
        extents = [[case.rulers(d) if d in case.changed() else each[d] for d in range(len(each))] for each in case.extents]
        assert fitted_shapes(step, shapes) == [(2, 3, *each) for each in extents]
        assert fitted_shapes(step, fitted_shapes(step, shapes)) == fitted_shapes(step, shapes)


def test_numbers_and_values_without_dimensions_are_left_alone() -> None:
    given = torch.ones(2, 3, 4)
    net = Sequential(lambda x: x[..., 1:], mul(2.0, here, "input", fit="crop_end"))
    assert torch.equal(net(given), 2 * given[..., 1:])
    net = Sequential(nn.Identity(), add("t", fit="crop", broadcast=True), inputs=("x", "t"))
    assert torch.equal(net(given, torch.tensor(1.0)), given + 1)
    assert torch.equal(net(given, 1.0), given + 1)
    net = Sequential(nn.Identity(), add(here, "t", "s", fit="crop"), inputs=("x", "t", "s"))
    assert torch.equal(net(given, 1.0, given[..., 1:]), given[..., :3] + 1 + given[..., 1:])
    flat = Sequential(linear(4, 5), cat("input", fit="crop"))
    assert flat(torch.ones(3, 4)).shape == (3, 9)
    assert fitted_shapes(Join("j", 0, (0, 1), (2,), "mul", fit=Fit("crop", 0)), [None, (1, 1, 4)]) == [None, (1, 1, 4)]


# --------------------------------------------------------------------------------------------------- what it applies to


def narrow(x: Tensor) -> Tensor:
    return x[..., 1:-2]


def test_as_an_operand_and_with_via() -> None:
    x = torch.randn(2, 3, 9, 8)
    small = narrow(x)
    net = Sequential(("a", narrow), take(cat("a", via("input", torch.sin), fit="crop", like="a")))
    assert torch.equal(net(x), torch.cat([small, center_crop(torch.sin(x), (9, 5))], 1))
    net = Sequential(("a", narrow), take(add("a", call(torch.clamp, "input", 0.0), fit="resize")))
    assert torch.equal(net(x), small + F.interpolate(x.clamp(0.0), (9, 5)))
    net = Sequential(("a", narrow), take(cat("a", "input", fit="resize", mode="bicubic")))
    assert torch.equal(net(x), torch.cat([small, F.interpolate(x, size=(9, 5), mode="bicubic")], 1))


def test_which_operand_rules() -> None:
    x = torch.randn(1, 1, 9)
    names = {"a": 7, "b": 5}

    def shape(word: Any) -> int:
        net = Sequential(("a", lambda x: x[..., :7]), ("b", lambda x: x[..., :5]), take("input"), word)
        return int(net(x).shape[-1])

    assert shape(cat(here, "a", "b", fit="crop")) == 5
    assert shape(cat(here, "a", "b", fit="pad")) == 9
    assert shape(cat(here, "b", "a", fit="resize")) == names["b"]
    assert shape(cat("a", here, "b", fit="resize")) == names["a"]
    assert shape(cat(via(here, torch.sin), via("a", torch.sin), fit="resize")) == names["a"]
    assert shape(cat(here, "a", "b", fit="resize", like=here)) == 9
    assert shape(cat(here, via("a", lambda x: x[..., :2]), "a", fit="resize", like="a")) == names["a"]
    assert shape(cat(here, via("a", lambda x: x[..., :2]), "b", fit="resize", like="a")) == 2
    assert shape(cat(via(here, lambda x: x[..., :2]), fit="resize")) == 9
    assert shape(cat("a", fit="crop", like="a")) == 7


def test_blocks_take_a_join_that_fits() -> None:
    conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)  # noqa: E731
    net = UNet(
        [conv(3, 8), conv(8, 16)], conv(16, 16), [conv(32, 8), conv(16, 4)],
        down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2), join=cat(fit="pad_center"),
    )  # fmt: skip
    assert net(torch.randn(1, 3, 21, 18)).shape == (1, 4, 21, 18)
    assert_pastes(net)
    block = Residual(nn.Conv2d(3, 3, 3), join=add(fit="crop"))
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(block(x), block[0](x) + x[..., 1:-1, 1:-1])
    assert_pastes(block)


PRINTED = (
    "cat('input', fit='crop')",
    "cat('input', dim=-1, fit='crop_end')",
    "add(here, 'input', broadcast=True, fit='pad', like=here)",
    "sub('input', here, fit='resize', like='input', mode='bilinear', align_corners=False)",
    "mul('input', fit='resize', mode='nearest-exact')",
)


@pytest.mark.parametrize("text", PRINTED)
def test_prints_as_written(text: str) -> None:
    word = eval(text)
    assert repr(word) == text
    net = Sequential(nn.Conv2d(3, 3, 3, padding=1), word)
    assert_pastes(net, torch.randn(2, 3, 5, 6))
    if "here" in text:
        nested = Sequential(torch.sin, torch.cos, take(add("0", eval(text))))
        assert f"take(add('0', {text}))" in repr(nested)
        assert nested.wiring.steps[2].fit == net.wiring.steps[1].fit


def test_like_follows_an_entry_that_gets_another_number_or_name() -> None:
    x = torch.randn(1, 2, 9)
    net = Sequential(narrow, torch.sin, take("input"), cat("0", fit="crop", like="0"))
    expected = net(x)
    net.insert(0, nn.Identity())
    assert "cat('1', fit='crop', like='1')" in repr(net)
    assert torch.equal(net(x), expected)
    part = Sequential(narrow, save("s"), lambda x: x[..., 1:], cat("s", fit="pad", like="s"))
    assert "cat('s_2', fit='pad', like='s_2')" in repr(part + part)
    assert torch.equal((part + part)(x), part(part(x)))


# --------------------------------------------------------------------------------------------------------- what it keeps


def test_a_value_dies_when_what_was_made_of_it_takes_its_place() -> None:
    alive: dict[str, int] = {}
    seen: list[weakref.ref[Tensor]] = []

    def look(name: str) -> Callable[[Tensor], Tensor]:
        def layer(x: Tensor) -> Tensor:
            alive[name] = sum(each() is not None for each in seen)
            seen.append(weakref.ref(x))
            return x * 1.0

        return layer

    net = Sequential(look("a"), save("a"), look("b"), narrow, save("b"), add("a", fit="pad"), look("c"), add("b", fit="pad"))
    with torch.no_grad():
        net(torch.randn(1, 1, 9))
    # The input and the sum are there; what "a" was is not, though "b" is.
    assert alive == {"a": 0, "b": 1, "c": 1}


class Watched(TorchDispatchMode):
    """Tells for each addition which of the tensors seen by name are alive, and for each later one which pads are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, weakref.ref[Tensor]] = {}
        self.alive: list[set[str]] = []

    def look(self, name: str) -> Callable[[Tensor], Tensor]:
        def layer(x: Tensor) -> Tensor:
            result = x * 1.0
            self.seen[name] = weakref.ref(result)
            return result

        return layer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.add.Tensor:
            self.alive.append({name for name, each in self.seen.items() if each() is not None})
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.constant_pad_nd.default:
            self.seen[f"pad {len(self.seen)}"] = weakref.ref(result)
        return result


def test_what_was_made_of_a_value_lives_as_long_as_the_join() -> None:
    watched = Watched()
    wide = lambda x: F.interpolate(x, size=12)  # noqa: E731
    net = Sequential(
        watched.look("a"), save("a"), watched.look("b"), save("b"), wide,
        add("a", fit="pad"), add("b", fit="pad"), torch.sin, add("b", fit="pad"),
    )  # fmt: skip
    with torch.no_grad(), watched:
        net(torch.randn(1, 1, 9))
    # "a" is replaced by its pad when it is read for the last time; "b" is read again, and lives beside its first pad.
    assert watched.alive == [{"pad 2", "b"}, {"b", "pad 3"}, {"pad 4"}]


def test_a_value_that_is_read_later_keeps_its_extent() -> None:
    x = torch.randn(1, 2, 9)
    net = Sequential(torch.sin, save("a"), narrow, add("a", fit="crop"), cat("a", fit="pad"))
    a = torch.sin(x)
    first = narrow(a) + center_crop(a, (6,))
    assert torch.equal(net(x), torch.cat([F.pad(first, (0, 3)), a], 1))


def test_a_value_that_was_overwritten_is_refused() -> None:
    class Sneaky(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return value.mul_(2.0)[..., 1:] + 1.0

    for fit in KINDS:
        with pytest.raises(OverwriteError):
            Sequential(torch.sin, save("a"), Sneaky(), add("a", fit=fit))(torch.randn(1, 2, 9))


def test_behind_a_fit_values_are_broadcast_where_that_is_allowed() -> None:
    """A gate of one channel is cut, one of one position is not made larger, and spreads."""
    x = torch.randn(2, 3, 9)
    net = Sequential(nn.Identity(), mul("gate", fit="crop", broadcast=True), inputs=("x", "gate"))
    gate = torch.randn(2, 1, 11)
    assert torch.equal(net(x, gate), x * gate[..., 1:-1])
    net = Sequential(nn.Identity(), mul("gate", fit="crop", like=here, broadcast=True), inputs=("x", "gate"))
    gate = torch.randn(2, 1, 1)
    assert torch.equal(net(x, gate), x * gate)
    net = Sequential(nn.Identity(), mul("gate", fit="pad", broadcast=True, like="gate"), inputs=("x", "gate"))
    assert torch.equal(net(x, gate), x * gate)


# ------------------------------------------------------------------------------------------------------ what is refused

MISFITS: dict[str, tuple[Callable[[], Sequential], tuple[str, ...]]] = {
    "channels": (
        lambda: Sequential(nn.Conv1d(3, 4, 3), add("input", fit="crop")),
        ("net[1] add('input', fit='crop') cannot add", "(2, 4, 7), from net[0]", "'input' is (2, 3, 9)"),
    ),
    "a crop to a larger one": (
        lambda: Sequential(narrow, cat("input", fit="crop", like="input")),
        ("net[1] cat('input', fit='crop', like='input') cannot concatenate", "(2, 3, 6), from net[0]", "'input' is (2, 3, 9)"),
    ),
    "a pad to a smaller one": (
        lambda: Sequential(narrow, mul("input", fit="pad", like=here)),
        ("net[1] mul('input', fit='pad', like=here) cannot multiply", "(2, 3, 6), from net[0]", "'input' is (2, 3, 9)"),
    ),
    "the number of dimensions": (
        lambda: Sequential(nn.Flatten(), sub("input", fit="resize")),
        ("net[1] sub('input', fit='resize') cannot subtract", "(2, 27), from net[0]", "'input' is (2, 3, 9)"),
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_told_with_both_ends(name: str) -> None:
    build, parts = MISFITS[name]
    net = Sequential(nn.Identity(), ("part", build()))
    with pytest.raises(ShapeError) as caught:
        net(torch.randn(2, 3, 9))
    with everything_called(net), pytest.raises(ShapeError) as again:
        net(torch.randn(2, 3, 9))
    for text in (str(caught.value), str(again.value)):
        for part in parts:
            assert part.replace("net[", "net.part[") in text, f"{part!r} is not in:\n{text}"


@pytest.mark.parametrize("shape", [(2, 1, 9), (1, 3, 9), (1, 1, 1, 9), (2, 1, 7)])
def test_a_fit_is_no_broadcast(shape: tuple[int, ...]) -> None:
    """Not even where it has nothing to do."""
    net = Sequential(nn.Identity(), add("t", fit="crop"), inputs=("x", "t"))
    with pytest.raises(ShapeError):
        net(torch.randn(2, 3, 9), torch.randn(shape))


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "an unknown fit": (
        lambda: cat("0", fit="crup"),
        "net[2] cat('0', fit='crup') has fit='crup', which is no fit that it knows. Did you mean 'crop'?\n"
        "  Write fit='crop', 'crop_end', 'pad', 'pad_center', 'pad_replicate' or 'resize'.",
    ),
    "a fit that is no text": (
        lambda: add("0", fit=True),
        "net[2] add('0', fit=True) has fit=True, which is no fit that it knows.\n"
        "  Write fit='crop', 'crop_end', 'pad', 'pad_center', 'pad_replicate' or 'resize'.",
    ),
    "like that names nothing": (
        lambda: cat(here, "input", via("0", torch.sin), fit="crop", like="inptu"),
        "net[2] cat(here, 'input', via('0', torch.sin), fit='crop', like='inptu') has like='inptu', which is none of its "
        "operands. Did you mean 'input'?\n  Write like=here, 'input' or '0'.",
    ),
    "like without a fit": (
        lambda: cat("0", like="0"),
        "net[2] cat('0', like='0') has like='0' without a fit.\n"
        "  Write fit='crop', or another fit, with it, or leave like out.",
    ),
    "a mode without a fit": (
        lambda: mul("0", mode="bilinear"),
        "net[2] mul('0', mode='bilinear') has mode='bilinear' without a fit.\n"
        "  Write fit='resize', mode='bilinear', or leave mode out.",
    ),
    "a mode with another fit": (
        lambda: mul("0", fit="pad", mode="bilinear"),
        "net[2] mul('0', fit='pad', mode='bilinear') has mode='bilinear' with fit='pad'.\n"
        "  Write fit='resize', mode='bilinear', or leave mode out.",
    ),
    "an unknown mode": (
        lambda: cat("0", fit="resize", mode="bilinea"),
        "net[2] cat('0', fit='resize', mode='bilinea') has mode='bilinea', which is no mode that it knows. "
        "Did you mean 'bilinear'?\n  Write fit='resize', mode='nearest', 'nearest-exact', 'linear', 'bilinear', 'bicubic', "
        "'trilinear' or 'area'.",
    ),
    "corners that a mode has not": (
        lambda: cat("0", fit="resize", align_corners=True),
        "net[2] cat('0', fit='resize', align_corners=True) has align_corners=True with mode='nearest', which has no corners "
        "to align.\n  Write mode='linear', 'bilinear', 'bicubic' or 'trilinear', or leave align_corners out.",
    ),
    "corners of a crop": (
        lambda: cat("0", fit="crop", align_corners=False),
        "net[2] cat('0', fit='crop', align_corners=False) has align_corners=False with fit='crop'.\n"
        "  Only fit='resize' has corners to align; leave it out.",
    ),
    "corners without a fit": (
        lambda: cat("0", align_corners=False),
        "net[2] cat('0', align_corners=False) has align_corners=False without a fit.\n"
        "  Write fit='resize', align_corners=False, or leave align_corners out.",
    ),
    "corners that are no bool": (
        lambda: cat("0", fit="resize", mode="bilinear", align_corners="yes"),
        "net[2] cat('0', fit='resize', mode='bilinear', align_corners='yes') has align_corners='yes'.\n"
        "  Write align_corners=True or align_corners=False, or leave it out.",
    ),
    "one value": (
        lambda: mul(0.5, fit="crop"),
        "net[2] mul(0.5, fit='crop') has fit='crop' and one value only, which fits itself.\n  Leave fit out.",
    ),
    "one value as an operand": (
        lambda: take(cat("0", fit="crop")),
        "net[2] take(cat('0', fit='crop')) has fit='crop' and one value only, which fits itself.\n  Leave fit out.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_when_the_network_is_built(name: str) -> None:
    build, text = FAULTS[name]
    assert faults(lambda: Sequential(torch.sin, torch.cos, build())) == (text,)


def test_all_faults_at_once() -> None:
    found = faults(lambda: Sequential(cat("input", fit="resize", like="x", mode="x", align_corners=1), cat("x", fit="x")))
    assert len(found) == 5


# --------------------------------------------------------------------------------------------------- traced and exported

TRACED = {
    **{kind: (lambda kind=kind: cat("x1", fit=kind)) for kind in KINDS},
    **{f"add, {kind}": (lambda kind=kind: add("x1", fit=kind)) for kind in KINDS},
    "crop like here": lambda: cat("x1", here, fit="crop", like=here),
    "pad like x1": lambda: sub("x1", here, fit="pad", like="x1"),
    "resize like here": lambda: mul("x1", fit="resize", like=here),
}
each_traced = pytest.mark.parametrize("name", TRACED)


def unet(name: str, dimensions: int = 2) -> Sequential:
    """A small U-Net whose skip is larger than what meets it: by 2 positions where the extents are even, else by 3."""
    first, _, *rest, last = layers(dimensions, False, 6 if TRACED[name]().kind == "cat" else 3)
    first.padding = (0,) * dimensions
    rest.insert(0, CONV[dimensions](3, 3, 2, 2))  # torch exports no MaxPool1d whose length changes
    return Sequential(first, save("x1"), *rest, TRACED[name](), last).eval()


def image(*extents: int) -> Tensor:
    return torch.randn(2, 2, *extents)


def sizes(dimensions: int = 2) -> list[tuple[int, ...]]:
    return [each[:dimensions] for each in ((21, 22, 9), (12, 31, 13), (18, 19, 10))]


def dynamic(dimensions: int = 2) -> tuple[dict[int, Any], ...]:
    return ({d: Dim(f"extent_{d}", min=8, max=512) for d in range(2, 2 + dimensions)},)


@pytest.fixture(autouse=True)
def _compiled_anew() -> Any:
    yield
    torch._dynamo.reset()


@each_traced
@torch.no_grad()
def test_exported_with_extents_that_change(name: str) -> None:
    net = unet(name)
    for strict in (True, False):
        program = torch.export.export(net, (image(17, 22),), dynamic_shapes=dynamic(), strict=strict).module()
        for size in sizes():
            x = image(*size)
            torch.testing.assert_close(program(x), net(x))


@pytest.mark.parametrize("dimensions", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_exported_in_other_dimensions(kind: str, dimensions: int) -> None:
    net = unet(kind, dimensions)
    x = image(*(17, 22, 11)[:dimensions])
    program = torch.export.export(net, (x,), dynamic_shapes=dynamic(dimensions), strict=True).module()
    for size in sizes(dimensions):
        torch.testing.assert_close(program(y := image(*size)), net(y))


@each_traced
@torch.no_grad()
def test_compiled_once_for_extents_that_change(name: str) -> None:
    net, graphs = unet(name), []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    run = torch.compile(net, fullgraph=True, dynamic=True, backend=backend)
    for size in sizes():
        x = image(*size)
        torch.testing.assert_close(run(x), net(x))
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore:# The axis name. .* will not be used:UserWarning")
@each_traced
@torch.no_grad()
def test_exported_to_onnx_with_extents_that_change(name: str, tmp_path: Path) -> None:
    net = unet(name)
    program = torch.onnx.export(net, (image(17, 22),), dynamic_shapes=dynamic(), dynamo=True, verbose=False)
    program.save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for size in sizes():
        x = image(*size)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), net(x), rtol=1e-4, atol=1e-5)


@each_traced
@torch.no_grad()
def test_traced_by_fx_and_jit(name: str) -> None:
    net = unet(name)
    for program in (torch.fx.symbolic_trace(net), torch.jit.trace(net, image(17, 22))):
        for size in sizes():
            x = image(*size)
            torch.testing.assert_close(program(x), net(x))


@pytest.mark.parametrize("word", [lambda: cat("input", fit="crop", like="input"), lambda: add("input", fit="pad", like=here)])
def test_what_cannot_be_fitted_is_not_compiled_into_something_else(word: Callable[[], Any]) -> None:
    """No pad for a crop, no crop for a pad: torch refuses the join."""
    net = Sequential(narrow, word())
    with pytest.raises(RuntimeError):
        torch.compile(net, fullgraph=True, backend="eager")(torch.randn(2, 3, 9))


def test_compiled_gradients() -> None:
    net = unet("crop").double()
    x = image(17, 22).double().requires_grad_()
    run = torch.compile(net, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(net(x).sin().sum(), x)
    (found,) = torch.autograd.grad(run(x).sin().sum(), x)
    torch.testing.assert_close(found, expected)
