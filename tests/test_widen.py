"""A layer behind a new concatenation grows: it computes what it did before, and learns to use the new channels."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from skipseq import Sequential, UNet, add, call, cat, here, mul, pick, save, sub, via
from skipseq.declare.functions import Expression
from skipseq.errors import ShapeError, WiringError
from skipseq.run.rewire.growth import Growth, Run
from skipseq.run.rewire.widen import widened

from .helpers import Wrapper

pytestmark = pytest.mark.filterwarnings("ignore:.*for the new channels:UserWarning")

#: The end of the advice of most refusals.
USUAL = "Write join=add, which keeps the number of channels, or leave widen out, and give the network layers that fit."


def conv(channels_in: int, channels_out: int, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **how)


def image(*shape: int) -> Tensor:
    return torch.randn(2, *(shape or (3, 8, 8)), generator=torch.Generator().manual_seed(1))


def joined(plain: nn.Sequential, at: str, word: Any) -> tuple[Any, str]:
    """The network with a concatenation, and the path of the word."""
    return Sequential.of(plain, skips={at: word}), ".".join((*at.split(".")[:-1], "cat_0"))


def check_widened(plain: nn.Sequential, at: str, word: Any, x: Tensor, input: Any = None) -> Any:
    """The widened network gives what the plain one gives, and neither that nor the joined one is touched."""
    settle(plain, x)
    net, path = joined(plain, at, word)
    before, modules, state = pickle.dumps(net.state_dict()), list(net.modules()), list(net.state_dict(keep_vars=True).values())
    result = widened(net, path, input)
    torch.testing.assert_close(result(x), Sequential.of(plain)(x), atol=1e-6, rtol=1e-5)
    assert pickle.dumps(net.state_dict()) == before
    assert all(one is other for one, other in zip(net.modules(), modules, strict=True))
    assert all(one is other for one, other in zip(net.state_dict(keep_vars=True).values(), state, strict=True))
    assert type(result) is type(net)
    assert list(result.state_dict()) == list(net.state_dict())
    check_shared(net, result)
    check_learns(result, x)
    return result


def settle(plain: nn.Sequential, x: Tensor) -> None:
    """Statistics other than those of the start, so that an exchange of channels would be noticed."""
    plain.train()
    Sequential.of(plain)(x)
    plain.eval()
    with torch.no_grad():
        for each in plain.parameters():
            each.copy_(torch.randn(each.shape, generator=torch.Generator().manual_seed(each.numel())) * 0.3)


def check_shared(net: nn.Module, result: nn.Module) -> None:
    """What has not grown is the same tensor."""
    old, new = net.state_dict(keep_vars=True), result.state_dict(keep_vars=True)
    assert [key for key in old if old[key] is not new[key]] == [key for key in old if old[key].shape != new[key].shape]


def check_learns(result: Any, x: Tensor) -> None:
    """The weights for new channels get gradients, and leave zero in training."""
    net = copy.deepcopy(result).train()
    new = [(each, each == 0) for each in net.parameters() if each.dim() > 1 and bool((each == 0).any())]
    assert new
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    (net(x) - 1.0).square().sum().backward()
    optimizer.step()
    for weight, zeros in new:
        assert weight.grad is not None
        assert bool((weight.grad[zeros] != 0).any())
        assert bool((weight[zeros] != 0).any())


# What is widened


@pytest.mark.parametrize("input", [None, (2, 3, 8, 8), ("N", 3, 8, 8), "example"])
@pytest.mark.parametrize("word", [cat("2"), cat("2", here), cat(here, "2", via("2", nn.Conv2d(4, 5, 1)))], ids=str)
@pytest.mark.parametrize("at", ["4", "5", "7"])
def test_a_unet(at: str, word: Any, input: Any) -> None:
    plain = nn.Sequential(
        conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 6), nn.BatchNorm2d(6), nn.GELU(), nn.Dropout2d(0.1), conv(6, 2)
    )  # fmt: skip
    given = image() if input == "example" else input
    check_widened(plain, at, copy.deepcopy(word), image(), given)


def test_the_new_channels_stand_where_the_concatenation_puts_them() -> None:
    plain = nn.Sequential(conv(3, 4), conv(4, 6), conv(6, 2))
    weight = plain[2].weight
    behind = check_widened(plain, "2", cat("0"), image())[3].weight
    assert torch.equal(behind[:, :6], weight)
    assert not behind[:, 6:].any()
    ahead = check_widened(plain, "2", cat("0", here), image())[3].weight
    assert torch.equal(ahead[:, 4:], weight)
    assert not ahead[:, :4].any()
    assert behind.shape == ahead.shape == (2, 10, 3, 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_of_every_rank(rank: int) -> None:
    def layer(name: str, *args: Any) -> nn.Module:
        return getattr(nn, f"{name}{rank}d")(*args)  # type: ignore[no-any-return]

    plain = nn.Sequential(
        layer("Conv", 3, 4, 3, 1, 1), layer("MaxPool", 2), layer("Conv", 4, 6, 3, 1, 1), nn.Upsample(scale_factor=2),
        layer("BatchNorm", 6), layer("ConstantPad", 1, 0.0), layer("Dropout", 0.0), layer("ConvTranspose", 6, 2, 2),
    )  # fmt: skip
    x = image(3, *[4] * rank)
    result = check_widened(plain, "4", cat("0", here), x)
    assert result[8].weight.shape[:2] == (10, 2)
    assert (result[8].in_channels, result[5].num_features) == (10, 10)
    check_widened(plain, "4", cat("0"), x, tuple(x.shape))


def test_norms_and_slopes_of_channels_grow_neutrally() -> None:
    plain = nn.Sequential(
        conv(3, 4), conv(4, 4), nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.PReLU(4),
        nn.InstanceNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.PReLU(), conv(4, 2),
    )  # fmt: skip
    result = check_widened(plain, "2", cat("0"), image())
    for norm in (result[3], result[4]):
        for tensor, value in ((norm.weight, 1.0), (norm.bias, 0.0), (norm.running_mean, 0.0), (norm.running_var, 1.0)):
            assert torch.equal(tensor[4:], torch.full((4,), value))
    assert torch.equal(result[5].weight[4:], torch.full((4,), 0.25))
    assert [result[i].num_features for i in (3, 4, 6, 7)] == [8] * 4
    assert result[5].num_parameters == 8
    assert result[8] is plain[7]


@pytest.mark.parametrize("input", [None, (2, 10)])
@pytest.mark.parametrize("word", [cat("input"), cat("0", here), cat("0", dim=-1), cat("input", here, dim=-1)], ids=str)
def test_linear_layers(word: Any, input: Any) -> None:
    plain = nn.Sequential(nn.Linear(10, 6), nn.Sigmoid(), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(5, 10)
    for at in ("2", "4"):
        check_widened(plain, at, copy.deepcopy(word), x, input)


@pytest.mark.parametrize("input", [None, (2, 5, 10)])
def test_tokens(input: Any) -> None:
    plain = nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Softmax(1), nn.Linear(6, 3))
    if input is None:  # then nobody knows over which dimension the softmax goes
        plain[2] = nn.Identity()
    result = check_widened(plain, "1", cat("input", dim=-1), image(5, 10), input)
    assert result[4].weight.shape == (3, 16)


@pytest.mark.parametrize("input", [None, (2, 3, 8, 8)])
@pytest.mark.parametrize("word", [cat("0"), cat("0", here)], ids=str)
def test_a_linear_layer_behind_a_flatten(word: Any, input: Any) -> None:
    """Each channel becomes many features, and the old ones stay with their weights."""
    plain = nn.Sequential(
        conv(3, 4), conv(4, 4), nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 5)
    )  # fmt: skip
    result = check_widened(plain, "2", copy.deepcopy(word), image(), input)
    assert result[7].weight.shape == (5, 128)
    pooled = nn.Sequential(conv(3, 4), conv(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    check_widened(pooled, "2", copy.deepcopy(word), image(), input)
    tokens = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Flatten(2), nn.Linear(64, 5))
    x = image(3, 8, 8)
    check_widened(tokens, "1", cat("input", dim=-1), x, tuple(x.shape))


@pytest.mark.parametrize("input", [None, (2, 3, 8, 8)])
def test_functions_are_known_by_their_names(input: Any) -> None:
    plain = Sequential(
        conv(3, 4), conv(4, 4), torch.relu, functional.gelu, partial(functional.leaky_relu, negative_slope=0.2),
        Expression(("x",), "nn.functional.adaptive_avg_pool2d(torch.tanh(x) * 0.5, 2).flatten(1)"), nn.Linear(16, 5),
    )  # fmt: skip
    result = check_widened(plain, "2", cat("0"), image(), input)
    assert result[7].weight.shape == (5, 32)


def test_of_some_values_only_the_extents_are_read() -> None:
    """A function resizes the widened value to the extent of another one, and the other way round."""
    resize = Expression(("x", "other"), "nn.functional.interpolate(x, size=other.shape[-2:], mode='nearest')")
    plain = Sequential(
        conv(3, 4), save("a"), nn.MaxPool2d(2), conv(4, 4), save("b"), call(resize, "a"), conv(4, 2), call(resize, "b"),
        conv(2, 1),
    )  # fmt: skip
    result = check_widened(plain, "save_1", cat("1"), image())
    assert result[7].weight.shape == (2, 8, 3, 3)
    assert result[9] is plain[8]


def test_further_concatenations_shift_the_channels() -> None:
    plain = Sequential(
        conv(3, 4), save("a"), conv(4, 5), nn.ReLU(), cat("a", here), nn.BatchNorm2d(9),
        cat(here, via("a", nn.Conv2d(4, 2, 1))), conv(11, 2),
    )  # fmt: skip
    net = copy.deepcopy(plain)
    settle(net, image())
    with_cat = Sequential.of(net, skips={"1": save("b"), "2": cat("input")})
    path = next(key for key, child in with_cat.named_children() if str(child) == "cat('input')")
    result = widened(with_cat, path)
    torch.testing.assert_close(result(image()), net(image()))
    new = result[-1].weight[:, 9:12]
    assert result[-1].weight.shape[1] == 14
    assert not new.any()
    assert torch.equal(torch.cat([result[-1].weight[:, :9], result[-1].weight[:, 12:]], 1), net[-1].weight)


def test_every_reader_is_widened_and_equal_growth_may_meet() -> None:
    plain = Sequential(
        conv(3, 4), conv(4, 4), save("m"), nn.Sigmoid(), mul(0.5), add("m"), conv(4, 4), add(via("m", nn.Conv2d(4, 4, 1))),
        sub(via("m", nn.ReLU(), conv(4, 4))), conv(4, 2),
    )  # fmt: skip
    result = check_widened(plain, "save_0", cat("0"), image())
    grown = [key for key, each in result.state_dict().items() if each.shape != plain.state_dict()[key].shape]
    assert len(grown) == 3


def test_indexing_that_keeps_the_channels() -> None:
    plain = Sequential(conv(3, 4), conv(4, 4), pick[:, :, ::2, ::2], conv(4, 2))
    check_widened(plain, "pick_0", cat("0"), image())
    tokens = Sequential(nn.Linear(10, 6), nn.Linear(6, 6), pick[:, -1], nn.Linear(6, 3))
    check_widened(tokens, "pick_0", cat("0", dim=-1), image(5, 10), (2, 5, 10))


def test_nested_parts() -> None:
    """The layer that grows stands in a part of a part, the containers on the way to it are new, the others the same."""
    plain = Sequential(
        nn.Sequential(conv(3, 4), nn.Sequential(nn.ReLU(), conv(4, 4))),
        Sequential(nn.ReLU(), Sequential(nn.BatchNorm2d(4), conv(4, 2)), conv(2, 2)),
        nn.Sequential(conv(2, 2)),
    )  # fmt: skip
    net, path = joined(plain, "1", cat("0.1.0"))
    result = check_widened(plain, "1", cat("0.1.0"), image())
    assert torch.equal(widened(net, path)(image()), result(image()))
    result = widened(net, path)
    assert result[2] is not net[2]
    assert result[2][1] is not net[2][1]
    assert result[0] is net[0]
    assert result[3] is net[3]
    assert result[2][2] is net[2][2]
    assert result[2][1][1].weight.shape == (2, 8, 3, 3)


def test_a_layer_inside_a_word() -> None:
    plain = Sequential(conv(3, 4), conv(4, 4), save("m"), nn.ReLU(), ("short", cat(via("m", conv(4, 3)), here)), conv(7, 2))
    result = check_widened(plain, "save_0", cat("0"), image())
    assert result.state_dict()["short.0.weight"].shape == (3, 8, 3, 3)


def test_a_block() -> None:
    plain = UNet(
        [conv(3, 4), conv(4, 6)], conv(6, 6), [conv(12, 4), conv(8, 2)], down=nn.MaxPool2d(2), up=nn.Upsample(scale_factor=2)
    )
    settle(plain, image())
    net = Sequential.of(plain, skips={"bridge": cat("down_1")})
    with pytest.raises(WiringError):
        widened(Sequential.of(plain, skips={"output": cat("input")}), "cat_2")
    with pytest.raises(ShapeError, match="cannot concatenate values of different shapes"):
        widened(net, next(key for key, each in net.named_children() if "down_1" in str(each)), (2, 3, 8, 8))


def test_an_unbatched_input() -> None:
    plain = nn.Sequential(conv(3, 4), conv(4, 4), nn.MaxPool2d(2), conv(4, 2))
    x = torch.randn(3, 8, 8)
    result = check_widened(plain, "2", cat("0", dim=0), x, (3, 8, 8))
    assert result[4].weight.shape == (2, 8, 3, 3)
    check_widened(plain, "2", cat("0", dim=-3), x)


def test_several_inputs() -> None:
    net = Sequential(conv(3, 4), cat("t"), conv(4, 2), inputs=("x", "t"))
    result = widened(net, "cat_0", {"x": (1, 3, 8, 8), "t": (1, 7, 8, 8)})
    assert result[2].weight.shape == (2, 11, 3, 3)
    assert result(image(), image(7, 8, 8)).shape == (2, 2, 8, 8)


def test_a_need_is_known_by_the_layer_that_reads_it() -> None:
    net = Sequential(conv(4, 4), cat("skip"), conv(4, 2), add(via("skip", conv(5, 2))))
    assert widened(net, "cat_0")[2].weight.shape == (2, 9, 3, 3)


def test_lazy_layers_take_what_comes() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), cat("0"), nn.LazyBatchNorm2d(), nn.LazyConv2d(2, 1))
    with warnings.catch_warnings(action="error"):
        result = widened(net, "cat_0", (1, 3, 8, 8))
    assert result(image()).shape == (2, 2, 8, 8)


def test_connecting_widens() -> None:
    plain = Sequential(
        ("encoder", nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 4))), ("decoder", nn.Sequential(nn.BatchNorm2d(4), conv(4, 2)))
    ).eval()  # fmt: skip
    before = pickle.dumps(plain.state_dict())
    for input in (None, (1, 3, 8, 8)):
        with pytest.warns(UserWarning, match=r"decoder\.1\.weight has another shape") as caught:
            net = plain.connect("encoder.0", "decoder.1", widen="zeros", input=input)
        assert [each.filename for each in caught] == [__file__]
        assert net.decoder[2].weight.shape == (2, 8, 3, 3)
        torch.testing.assert_close(net(image()), plain(image()))
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.equal(other(image()), net(image()))
        assert [str(each) for each in net.skips] == ["encoder.0 -> decoder.1  cat"]
    assert pickle.dumps(plain.state_dict()) == before
    ahead = plain.connect("encoder.0", "decoder.0", cat(dim=-3), widen="zeros")
    assert ahead.decoder[1].num_features == 8
    with pytest.raises(WiringError, match="which is no cat: only a cat brings new channels"):
        plain.connect("encoder.0", "decoder.1", add, widen="zeros")


# How a layer is copied


class Own(nn.Conv2d):
    """A class of the user, with the forward of torch."""


def test_a_grown_layer_is_like_the_old_one() -> None:
    seen: list[str] = []
    layer = Own(4, 2, 3, padding=1, padding_mode="reflect", bias=False, dtype=torch.float64)
    layer.weight.requires_grad_(False)
    layer.note = "mine"  # type: ignore[assignment]
    layer.register_forward_hook(lambda *_: seen.append("hook"))
    net = Sequential(
        nn.Conv2d(3, 4, 1, dtype=torch.float64), nn.ReLU(), nn.Conv2d(4, 4, 1, dtype=torch.float64), cat("0"), layer
    )
    net.eval()
    net[2].train()
    result = widened(net, "cat_0")
    grown = result[4]
    assert type(grown) is Own
    assert (grown.weight.dtype, grown.weight.requires_grad, grown.bias) == (torch.float64, False, None)
    assert (grown.note, grown.padding_mode, grown.training, result.training) == ("mine", "reflect", False, False)
    assert type(grown.weight) is nn.Parameter
    result(image().double())
    assert seen == ["hook"]
    grown.register_forward_hook(lambda *_: seen.append("other"))
    grown.note = "other"
    assert len(layer._forward_hooks) == 1
    assert layer.note == "mine"  # type: ignore[comparison-overlap]
    again = pickle.loads(pickle.dumps(Sequential(*[each for each in result if each is not grown])))
    assert again(image().double()).shape == (2, 8, 8, 8)


def test_the_memory_format_and_the_device_are_kept() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), cat("0"), conv(4, 2)).to(memory_format=torch.channels_last)
    assert widened(net, "cat_0")[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert widened(copy.deepcopy(net).to("meta"), "cat_0", (1, 3, 8, 8))[3].weight.device.type == "meta"


def test_checks_leave_the_random_numbers_alone() -> None:
    class Drawing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * random.random()

    net = Sequential(conv(3, 4), Drawing(), nn.Dropout(), conv(4, 4), cat("0"), conv(4, 2))
    before = torch.get_rng_state(), random.getstate()
    widened(net, "cat_0", (1, 3, 8, 8))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


# What is told


def test_the_warning_of_one_weight() -> None:
    net = Sequential(
        ("conv1", nn.Conv2d(3, 16, 4, 2, 1)), ("conv2", nn.Conv2d(16, 16, 1)), cat("conv1"),
        ("deconv1", nn.ConvTranspose2d(16, 8, 4, 2, 1)),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="for the new channels") as caught:
        widened(net, "cat_0")
    (warning,) = caught
    assert str(warning.message) == (
        "deconv1.weight has another shape: (16, 8, 4, 4) -> (32, 8, 4, 4), zeros for the new channels."
        " It is a new parameter: give it to the optimizer; an old checkpoint has the old shape."
    )
    assert warning.filename == __file__


def test_the_warning_of_several_tensors() -> None:
    net = Sequential(nn.Linear(3, 4), nn.Linear(4, 4), cat("0"), nn.BatchNorm1d(4), nn.PReLU(4), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="for the new channels") as caught:
        widened(net, "cat_0")
    (warning,) = caught
    assert str(warning.message).splitlines() == [
        "2.weight has another shape: (4,) -> (8,), ones for the new channels.",
        "2.bias has another shape: (4,) -> (8,), zeros for the new channels.",
        "2.running_mean has another shape: (4,) -> (8,), zeros for the new channels.",
        "2.running_var has another shape: (4,) -> (8,), ones for the new channels.",
        "3.weight has another shape: (4,) -> (8,), 0.25 for the new channels.",
        "4.weight has another shape: (2, 4) -> (2, 8), zeros for the new channels.",
        "They are new: give the parameters to the optimizer; an old checkpoint has the old shapes.",
    ]


class Odd(nn.Module):
    """A layer of which nothing is known."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Gate(nn.Module):
    """A layer of two values."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate


class OwnForward(nn.Conv2d):
    """A convolution with a forward of the user."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def shared() -> nn.Sequential:
    layer = conv(4, 4)
    return nn.Sequential(layer, layer)


def tied() -> nn.Sequential:
    one, other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    other.weight = one.weight
    return nn.Sequential(one, other)


UNKNOWN = "what it does with its channels is not known"
OVER = "its statistics are over several channels, and new ones would change the old ones"
TWICE = "it is used at two places, and would have to take two numbers of channels"
AS_LAYER = "Write it as a layer of torch."

#: What stands behind the concatenation, why it is refused, and what to write instead.
REFUSED: dict[str, tuple[Any, str, str]] = {
    "groups": (conv(4, 4, groups=2), "its groups=2 tie the channels that it receives to those that it gives", USUAL),
    "group norm": (nn.GroupNorm(2, 4), OVER, USUAL),
    "layer norm": (nn.LayerNorm((4, 8, 8)), OVER, USUAL),
    "neighbours": (nn.LocalResponseNorm(2), OVER, USUAL),
    "softmax": (nn.Softmax(1), "it sums over the joined dimension, and new channels would change the old ones", USUAL),
    "shuffle": (nn.PixelShuffle(2), "it is no layer of which is known how a channel is added", USUAL),
    "indices": (nn.MaxPool2d(2, return_indices=True), "it gives a tuple, which has no channels", USUAL),
    "own": (Odd(), f"{UNKNOWN}, as its forward is none of torch", USUAL),
    "own forward": (OwnForward(4, 4, 1), f"{UNKNOWN}, as its forward is none of torch", USUAL),
    "function": (torch.fft.fft, UNKNOWN, AS_LAYER),
    "expression": (Expression(("x",), "x.flip(1)"), UNKNOWN, AS_LAYER),
    "a dimension by name": (Expression(("x",), "x.flatten(first)", {"first": 1}), UNKNOWN, AS_LAYER),
    "own extents": (Expression(("x",), "nn.functional.interpolate(x, size=x.mean())"), UNKNOWN, AS_LAYER),
    "shared": (shared(), TWICE, USUAL),
    "tied": (tied(), "another layer has the same weight, and would have to take two numbers of channels", USUAL),
    "several values": (call(nn.Bilinear(4, 4, 4), "input"), "it is called with several values", USUAL),
    "cut": (pick[:, 0], "it cuts into the joined dimension, or which one it cuts is not known", USUAL),
    "other index": (pick[..., 0], "it cuts into the joined dimension, or which one it cuts is not known", USUAL),
    "addition": (add("0"), "it adds a value that has 4 channels and no new ones", USUAL),
    "subtraction": (sub("0"), "it subtracts a value that has 4 channels and no new ones", USUAL),
    "unknown value": (mul(via("0", Odd())), "it multiplies a value that has no such channels", USUAL),
    "other dimension": (cat("0", dim=2), "it concatenates a value that has 4 channels and no new ones", USUAL),
    "broadcast": (add("0", broadcast=True), "it broadcasts, and which channels meet is not known", USUAL),
    "does not fit": (conv(3, 4), "it does not fit without the new channels either", USUAL),
    "along": (nn.Conv1d(4, 4, 1), "it works along the joined dimension", USUAL),
    "old parametrization": (nn.utils.spectral_norm(conv(4, 4)), "its weight is computed from other tensors",
                            "Remove the parametrization first, and put it back behind."),
    "parametrization": (nn.utils.parametrizations.weight_norm(conv(4, 4)), "its weight is computed from other tensors",
                        "Remove the parametrization first, and put it back behind."),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "along"])
def test_what_is_refused(name: str) -> None:
    """Each refusal tells where, what it receives, why not, and what to write; and nothing has changed."""
    entry, why, advice = REFUSED[name]
    net = Sequential(conv(3, 4), nn.ReLU(), conv(4, 4), cat("0"), copy.deepcopy(entry))
    before = pickle.dumps(net.state_dict())
    with pytest.raises(WiringError) as caught:
        widened(net, "cat_0")
    (fault,) = caught.value.faults
    at, _, rest = fault.partition(" cannot take ")
    assert at.startswith("net[4]")
    assert rest == f"the 4 new channels of net[3] cat('0'): {why}.\n  {advice}"
    assert pickle.dumps(net.state_dict()) == before


def refusal(net: Any, path: str = "cat_0", input: Any = None) -> str:
    with pytest.raises(WiringError) as caught:
        widened(net, path, input)
    return str(caught.value)


def test_a_refusal_in_full() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), cat("0"), nn.GroupNorm(2, 4), add("0"), conv(4, 2))
    assert refusal(net) == (
        "1 fault in Sequential\n"
        "  net[3] nn.GroupNorm(2, 4) cannot take the 4 new channels of net[2] cat('0'): its statistics are over several"
        " channels, and new ones would change the old ones.\n"
        f"    {USUAL}"
    )


def test_all_refusals_are_told_at_once() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), cat("0"), save("m"), nn.GroupNorm(2, 4), add(via("m", conv(4, 4, groups=4))))
    with pytest.raises(WiringError, match="2 faults") as caught:
        widened(net, "cat_0")
    assert len(caught.value.faults) == 2


def test_the_end_is_refused() -> None:
    ending = (
        "1 fault in Sequential\n"
        "  net would return 4 more channels: between net[2] cat('0') and the end no layer takes them in.\n"
        "    Connect further ahead, or write join=add, which keeps the number of channels."
    )
    assert refusal(Sequential(conv(3, 4), conv(4, 4), cat("0"), nn.ReLU())) == ending
    inner = Sequential(conv(3, 4), conv(4, 4), cat("0"), ("m", nn.ReLU()), conv(4, 4), outputs=("m", "3"))
    assert refusal(inner) == ending


def test_unknown_channels_ask_for_the_input() -> None:
    ask = "Give the input, as in input=(1, 3, 64, 64): then it is known."
    unknown = Sequential(conv(3, 4), ("odd", Odd()), conv(4, 4), cat("odd"), conv(4, 2))
    assert widened(unknown, "cat_0")[4].in_channels == 8  # the layer behind it tells
    unknown = Sequential(("odd", Odd()), conv(4, 4), cat(via("odd", nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2))), conv(4, 2))
    text = refusal(unknown)
    assert text.splitlines()[1].endswith("cannot be widened: the number of its new channels is not known.")
    assert text.splitlines()[2] == f"    {ask}"
    assert widened(unknown, "cat_0", (1, 4, 8, 8))[3].in_channels == 8
    behind = Sequential(
        ("odd", Odd()), nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2), cat(via("odd", conv(4, 3))), nn.Flatten(), nn.Linear(256, 2)
    )
    assert ask in refusal(behind)
    assert widened(behind, "cat_0", (1, 4, 8, 8))[5].in_features == 448


def test_a_sum_that_broadcasts_tells_no_channels() -> None:
    """The first of its values may be the one that is spread over the channels of the other."""
    net = Sequential(
        conv(3, 1), save("one"), conv(1, 4), save("four"), conv(4, 2),
        cat(add(via("one", nn.ReLU()), "four", broadcast=True)), conv(2, 2),
    )  # fmt: skip
    assert "the number of its new channels is not known" in refusal(net)
    assert widened(net, "cat_0", (1, 3, 8, 8))[6].in_channels == 6


def test_dimensions_that_are_no_channels() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), cat("0", dim=2), conv(4, 2))
    assert "net[2] cat('0', dim=2) cannot be widened: dim=2 is none of channels or features." in refusal(net)
    tokens = Sequential(nn.Linear(4, 4), nn.Linear(4, 4), cat("0"), nn.Linear(4, 4))
    assert "net would return 5 more channels" in refusal(tokens, input=(2, 5, 4))
    rows = Sequential(conv(3, 4), conv(4, 4), cat("0"), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    assert widened(rows, "cat_0")[3].num_features == 8
    features = Sequential(nn.Linear(4, 4), nn.Linear(4, 4), cat("0", dim=-1), nn.BatchNorm1d(5), nn.Linear(4, 4))
    assert "net[3] nn.BatchNorm1d(5) cannot take" in refusal(features, input=(2, 5, 4))
    last = Sequential(nn.Linear(8, 8), nn.Linear(8, 8), cat("0", dim=-1), nn.MaxPool1d(2), nn.Linear(4, 4))
    assert "it works along the joined dimension" in refusal(last, input=(2, 3, 8))


def test_wrappers_and_parts_that_are_called_are_refused() -> None:
    wrapped = Sequential(conv(3, 4), conv(4, 4), cat("0"), Wrapper(Sequential(nn.ReLU(), conv(4, 2))))
    assert "it stands inside Wrapper(...), which would go on to call the old layer" in refusal(wrapped)
    assert widened(Sequential(conv(3, 4), conv(4, 4), cat("0"), Wrapper(Sequential(nn.ReLU())), conv(4, 2)), "cat_0")

    class Loud(Sequential):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    called = Sequential(conv(3, 4), conv(4, 4), cat("0"), Loud(nn.ReLU(), conv(4, 2)))
    assert "it is called as a whole, and its layers are not known" in refusal(called)
    inside = Sequential(Loud(conv(3, 4), conv(4, 4), cat("0"), conv(4, 2)))
    assert "at '0.cat_0', inside a module that is called as a whole" in refusal(inside, "0.cat_0")


def test_a_part_at_two_places_is_refused() -> None:
    part = Sequential(conv(4, 4), cat("input"), conv(4, 4))
    net = Sequential(conv(3, 4), part, part)
    assert "net[1][1] cat('input') cannot be widened: it stands at two places." in refusal(net, "1.cat_0")


def test_no_concatenation_is_refused() -> None:
    net = Sequential(conv(3, 4), conv(4, 4), add("0"), conv(4, 2))
    assert refusal(net, "add_0") == (
        "1 fault in Sequential\n"
        "  net has add('0') at 'add_0', which is no cat: only a cat brings new channels.\n"
        "    Leave widen out."
    )
    assert "which is no cat" in refusal(Sequential(conv(3, 4), conv(4, 4), call(Gate(), "0"), conv(4, 2)), "call_0")


def test_values_that_do_not_meet_are_told_as_in_a_check() -> None:
    net = Sequential(conv(3, 4), nn.MaxPool2d(2), conv(4, 4), cat("0"), conv(4, 2))
    with pytest.raises(ShapeError, match=r"net\[3\] cat\('0'\) cannot concatenate values of different shapes"):
        widened(net, "cat_0", (1, 3, 8, 8))


# Growth as data


def runs(*counts: int | None) -> tuple[Run, ...]:
    return tuple(Run(bool(k % 2), count) for k, count in enumerate(counts))


def test_the_missing_number_is_told_by_the_width() -> None:
    assert Growth(1, runs(None, 3)).fitted(5) == Growth(1, runs(5, 3))
    assert Growth(1, runs(2, 3), None).fitted(8) == Growth(1, runs(2, 3), 4)
    assert Growth(1, runs(2, 3), None).fitted(9) is None
    assert Growth(1, runs(2, 3)).fitted(3) is None
    assert Growth(1, runs(4, 3, None)).fitted(3) is None
    assert Growth(1, runs(None, 3, None)).fitted(3) is None
    assert Growth(1, runs(2, 1, 1), 2).kept() == [0, 1, 2, 3, 6, 7]
    assert Growth(1, runs(None, 3)).settled(8) == Growth(1, runs(5, 3))
    assert Growth(1, runs(2, 3), None).settled(20) == Growth(1, runs(2, 3), 4)
    assert Growth(1, runs(None, 1)).repeated(2).runs == runs(None, 1, None, 1)


# Random networks


@st.composite
def chains(draw: Any) -> tuple[nn.Sequential, str, Any, bool]:
    """A line of layers that keep the extent of an image, a place for a concatenation, and its word."""
    layers: list[nn.Module] = []
    width = 3
    for _ in range(draw(st.integers(3, 7))):
        kind = draw(st.sampled_from(["conv", "transposed", "norm", "instance", "relu", "slopes", "pool"]))
        out = draw(st.integers(1, 4))
        if kind in ("conv", "transposed"):
            layers.append(conv(width, out) if kind == "conv" else nn.ConvTranspose2d(width, out, 1))
            width = out
        else:
            layers.append(
                {"norm": nn.BatchNorm2d, "instance": partial(nn.InstanceNorm2d, affine=True), "slopes": nn.PReLU}.get(
                    kind, lambda _, kind=kind: nn.ReLU() if kind == "relu" else nn.AvgPool2d(3, 1, 1)
                )(width)
            )
    layers.append(conv(width, 2))
    at = draw(st.integers(1, len(layers) - 1))
    giver = draw(st.sampled_from(["input", *map(str, range(at - 1))]))
    return nn.Sequential(*layers), str(at), cat(giver, here) if draw(st.booleans()) else cat(giver), draw(st.booleans())


@given(chains())
@settings(max_examples=40)
def test_random_networks(chain: tuple[nn.Sequential, str, Any, bool]) -> None:
    plain, at, word, with_input = chain
    check_widened(plain, at, word, image(), (2, 3, 8, 8) if with_input else None)
