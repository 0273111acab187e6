"""Networks with a handwritten forward become sequences in words: the same layers, keys, outputs and gradients."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipseq import Sequential, cat
from skipseq.bridges.forward.trace import from_forward, trace
from skipseq.declare.functions import Function
from skipseq.errors import ConversionError
from tests import handwritten as hand


def images(*sizes: int) -> tuple[Tensor, ...]:
    return (torch.randn(*sizes, dtype=torch.float64),)


#: Each network, an example, another input of other sizes, and whether the keys have their order.
NETWORKS: list[tuple[Callable[[], nn.Module], Any, Any, bool]] = [
    (hand.ResNet, images(2, 3, 8, 8), images(1, 3, 12, 6), True),
    (hand.Projected, images(2, 3, 8, 8), images(3, 3, 5, 6), False),
    (hand.UNet, images(2, 3, 16, 16), images(1, 3, 9, 14), True),
    (hand.Dense, images(2, 3, 8, 8), images(3, 3, 5, 6), True),
    (hand.Inception, images(2, 3, 8, 8), images(3, 3, 5, 6), True),
    (hand.Squeeze, images(2, 8, 4, 4), images(3, 8, 2, 5), True),
    (hand.TwoInputs, (*images(2, 4), *images(2, 3)), (*images(5, 4), *images(5, 3)), True),
    (hand.Several, images(2, 3, 8, 8), images(3, 3, 4, 6), True),
    (hand.Shared, images(2, 4), images(3, 4), True),
    (hand.Dropped, images(2, 6), images(3, 6), True),
    (hand.Stochastic, images(4, 4), images(7, 4), True),
    (hand.Split, images(2, 3, 4), images(1, 6, 4), True),
    (hand.Attention, images(2, 5, 8), images(3, 2, 8), True),
    (hand.Encoder, images(2, 5, 8), images(3, 2, 8), True),
    (hand.Tokens, (torch.randint(0, 10, (2, 5)),), (torch.randint(0, 10, (3, 8)),), True),
    (hand.Scaled, images(2, 4), images(3, 4), True),
    (hand.Turns, images(2, 3, 8, 8), images(1, 3, 5, 6), False),
    (hand.Padded, images(2, 4, 8, 8), images(1, 4, 7, 9), False),
    (hand.Written, images(2, 2, 4, 4), images(3, 2, 6, 5), True),
    (hand.Tied, images(2, 4), images(3, 4), True),
    (hand.Preactivated, images(2, 4), images(3, 4), True),
    (hand.Listed, images(2, 4), images(3, 4), True),
    (hand.Masked, images(2, 3, 8, 8), images(3, 3, 5, 6), True),
    (hand.ThroughViews, images(2, 4), images(3, 4), True),
]

NAMES = [each[0].__name__ for each in NETWORKS]
BY_NAME = pytest.mark.parametrize(("build", "example", "other", "ordered"), NETWORKS, ids=NAMES)
pytestmark = pytest.mark.filterwarnings("ignore:trace.(Padded|Projected|Turns).. the keys come in the order of use:UserWarning")
PRINTED = [hand.ResNet, hand.UNet, hand.Dense, hand.Inception, hand.Turns, hand.Attention, hand.Split]


def outcome(network: nn.Module, inputs: Any) -> tuple[list[Tensor], dict[str, Tensor | None], dict[str, Tensor]]:
    """The outputs of a network, the gradients of its parameters, and its buffers behind the call."""
    torch.manual_seed(1)
    result = network(*inputs)
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    sum(each.pow(2).sum() for each in outputs).backward()
    gradients = {name: each.grad for name, each in network.named_parameters()}
    return outputs, gradients, dict(network.named_buffers())


def assert_same(net: nn.Module, module: nn.Module, inputs: Any) -> None:
    """In both modes copies of both give the same outputs bit by bit, the same gradients and statistics."""
    for training in (True, False):
        mine = outcome(copy.deepcopy(net).train(training), inputs)
        theirs = outcome(copy.deepcopy(module).train(training), inputs)
        assert len(mine[0]) == len(theirs[0])
        assert all(map(torch.equal, mine[0], theirs[0]))
        assert set(mine[1]) == set(theirs[1])
        for name, gradient in theirs[1].items():
            if gradient is None:
                assert mine[1][name] is None
            else:
                torch.testing.assert_close(mine[1][name], gradient)
        assert set(mine[2]) == set(theirs[2])
        assert all(torch.equal(mine[2][name], each) for name, each in theirs[2].items())


@BY_NAME
def test_a_network_in_words_is_the_network(build: Callable[[], nn.Module], example: Any, other: Any, ordered: bool) -> None:
    module = build().double()
    net = trace(module, *example)
    assert type(net) is Sequential
    keys, own = list(net.state_dict()), list(module.state_dict())
    assert keys == own if ordered else sorted(keys) == sorted(own)
    assert {id(each) for each in net.parameters()} == {id(each) for each in module.parameters()}
    assert_same(net, module, example)
    assert_same(net, module, other)


@BY_NAME
def test_the_result_can_be_copied_and_pickled(build: Callable[[], nn.Module], example: Any, other: Any, ordered: bool) -> None:
    net = trace(build().double().eval(), *example)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert str(twin) == str(net)
        expected, given = net(*other), twin(*other)
        for one, two in zip(expected, given, strict=True) if isinstance(expected, tuple) else [(expected, given)]:
            assert torch.equal(one, two)


@pytest.mark.parametrize("build", PRINTED)
def test_the_words_are_those_that_a_person_would_write(build: Any, golden: Callable[[str, str], None]) -> None:
    example = {hand.Attention: (2, 5, 8), hand.Split: (2, 3, 4)}.get(build, (2, 3, 16, 16))
    golden(f"trace/{build.__name__.lower()}.txt", str(trace(build(), torch.zeros(example))) + "\n")


# What stays what it is


def test_layers_are_shared_and_a_sequence_without_words_stays_the_object_that_it_is() -> None:
    unet = hand.UNet()
    net = trace(unet, torch.zeros(2, 3, 16, 16))
    assert net.head is unet.head
    assert net.get_submodule("bottom.net") is unet.bottom.net
    assert isinstance(net.get_submodule("decoders.1"), Sequential)


def test_the_module_is_not_touched() -> None:
    module = hand.ResNet().train()
    module.layer1.eval()
    seen: list[Any] = []
    module.layer2[0].conv1.register_forward_hook(lambda *given: seen.append(given))
    module(torch.randn(2, 3, 8, 8)).sum().backward()
    seen.clear()
    state = {name: each.clone() for name, each in module.state_dict().items()}
    versions = {name: each._version for name, each in module.state_dict().items()}
    gradients = {name: each.grad.clone() for name, each in module.named_parameters() if each.grad is not None}
    modes = {name: each.training for name, each in module.named_modules()}
    attributes = {name: dict(vars(each)) for name, each in module.named_modules()}
    torch_random, python_random = torch.get_rng_state(), random.getstate()
    net = trace(module, torch.zeros(2, 3, 8, 8))
    assert all(torch.equal(module.state_dict()[name], each) for name, each in state.items())
    assert versions == {name: each._version for name, each in module.state_dict().items()}
    assert all(torch.equal(module.get_parameter(name).grad, each) for name, each in gradients.items())  # type: ignore[arg-type]
    assert modes == {name: each.training for name, each in module.named_modules()}
    for name, each in module.named_modules():
        assert vars(each).keys() == attributes[name].keys()
        assert all(vars(each)[key] is value for key, value in attributes[name].items() if key != "training")
    assert torch.equal(torch.get_rng_state(), torch_random)
    assert random.getstate() == python_random
    assert seen == []
    assert (net.training, net.layer1.training, net.layer2.training) == (True, False, True)
    net(torch.randn(2, 3, 8, 8))
    assert len(seen) == 1  # the hook is on the layer, and the layer is in the network


@pytest.mark.parametrize("build", [hand.Attention, hand.Unrolled, hand.Masked])
@pytest.mark.filterwarnings("ignore:trace")
def test_random_numbers_are_not_drawn(build: Callable[[], nn.Module]) -> None:
    module, sizes = build(), {hand.Masked: (2, 3, 8, 8), hand.Attention: (2, 3, 8)}
    example = torch.zeros(sizes.get(build, (2, 3, 4)))  # type: ignore[call-overload]
    state = torch.get_rng_state()
    trace(module, example)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_forward_stores_is_not_stored_on_the_module() -> None:
    class Storing(hand.Around):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = super().forward(x)
            return self.seen

    module = Storing(nn.Linear(4, 4))
    trace(module)
    assert not hasattr(module, "seen")


def test_a_module_with_hooks_is_not_opened_and_keeps_them() -> None:
    module = hand.Around(hand.Shared()).double()
    module.last = nn.Linear(2, 2).double()
    module.inner.register_forward_hook(lambda _, __, output: output * 2)
    net = trace(module, *images(2, 4))
    assert net.inner is module.inner
    assert_same(net, module, images(2, 4))


def test_hooks_of_the_network_itself_are_left_out_with_a_warning() -> None:
    module = hand.Shared()
    module.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="the hooks of the module itself are left out"):
        trace(module)


def test_leaves_stay_whole() -> None:
    module = hand.ResNet()
    for leaves in ([hand.Basic], ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]):
        net = trace(module, torch.zeros(2, 3, 8, 8), leaves=leaves)
        assert net.layer1 is module.layer1
        assert net.get_submodule("layer2.0") is module.layer2[0]
    net = trace(module, torch.zeros(2, 3, 8, 8), leaves=["layer2.0"])
    assert net.get_submodule("layer2.0") is module.layer2[0]
    assert type(net.get_submodule("layer2.1")) is Sequential


def test_a_network_of_ours_is_shared_as_it_is() -> None:
    net = Sequential(("a", nn.Linear(4, 4)), cat("input"))
    twin = trace(net)
    assert twin is not net
    assert twin.a is net.a
    assert str(twin) == str(net)


# Using the result


def test_inner_values_have_names() -> None:
    module = hand.ResNet().eval()
    net = trace(module)
    x = torch.randn(2, 3, 8, 8)
    _, seen = net.record(x, "layer1.0.conv1", "layer2")
    expected = module.layer1(F.relu(module.conv1(x)))
    assert torch.equal(seen["layer1.0.conv1"], module.layer1[0].conv1(F.relu(module.conv1(x))))
    assert torch.equal(net.upto("layer1")(x), expected)
    assert torch.equal(seen["layer2"], module.layer2(expected))


def test_a_backbone_becomes_the_encoder_of_another_network() -> None:
    backbone = hand.ResNet().eval()
    decoder = Sequential(nn.ConvTranspose2d(8, 4, 2, 2), cat("encoder.layer1"), nn.Conv2d(8, 1, 1))
    whole = Sequential(("encoder", trace(backbone).upto("layer2")), ("decoder", decoder))
    x = torch.randn(2, 3, 8, 8)
    low = backbone.layer1(F.relu(backbone.conv1(x)))
    up = decoder[0](backbone.layer2(low))
    assert torch.equal(whole(x), decoder[2](torch.cat([up, low], 1)))


def test_the_result_compiles_in_one_graph() -> None:
    net = trace(hand.UNet().eval(), torch.zeros(2, 3, 16, 16))
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))


def test_known_patterns_are_blocks() -> None:
    module = hand.ResNet().double()
    net = from_forward(module)
    assert list(net.state_dict()) == list(module.state_dict())
    assert_same(net, module, images(2, 3, 8, 8))
    assert type(net.layer1[0]).__name__ in str(net)


# Inputs


@pytest.mark.parametrize(
    ("first", "example"),
    [
        (nn.Conv2d(3, 4, 3), (2, 3, 9, 9)),
        (nn.Conv1d(3, 4, 3), (2, 3, 9)),
        (nn.Conv3d(1, 2, 3), (2, 1, 9, 9, 9)),
        (nn.Linear(5, 4), (2, 5)),
        (nn.Embedding(5, 4), None),
        (nn.GRU(5, 4), (2, 3, 5)),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, nn.Module) else "",
)
def test_an_example_is_guessed_from_the_first_layer(first: nn.Module, example: Any) -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = first

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return torch.relu(y[0] if isinstance(y, tuple) else y)

    x = torch.zeros(2, 3, dtype=torch.long) if example is None else torch.randn(example)
    module = First()
    assert torch.equal(trace(module)(x), module(x))


def test_a_second_guess_is_made_where_the_first_does_not_fit() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).mean(2)

    assert trace(Tokens())(torch.zeros(2, 7, 4)).shape == (2, 7)


def test_inputs_may_be_named_and_left_out() -> None:
    module = hand.TwoInputs()
    x, t, mask = torch.randn(2, 4), torch.randn(2, 3), torch.randn(2, 8)
    assert torch.equal(trace(module, x, t=t)(x=x, t=t), module(x, t))
    net = trace(module, x, t, 3.0, mask=mask)
    assert torch.equal(net(x, t, mask), module(x, t, 3.0, mask))
    assert torch.equal(trace(module, x, t, mask=x.repeat(1, 2))(x, t, mask), module(x, t, mask=mask))


def test_one_tensor_may_be_given_for_two_inputs() -> None:
    class Pair(nn.Module):
        def forward(self, a: Tensor, *others: Tensor, **named: Tensor) -> Tensor:
            return a - others[0] * named["c"]

    x = torch.randn(3)
    net = trace(Pair(), x, x, c=x)
    values = torch.randn(3), torch.randn(3), torch.randn(3)
    assert torch.equal(net(*values), values[0] - values[1] * values[2])
    assert "inputs=('a', 'others_0', 'c')" in str(net)


def test_keys_that_a_sequence_cannot_have_get_another_name_with_a_warning() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = nn.Linear(4, 4)
            self.check = nn.Linear(4, 4)
            self.x = nn.Linear(4, 4)

        def forward(self, x: Tensor, input: Tensor) -> Tensor:
            return self.x(self.check(self.input(x))) + input

    module, x, y = Odd(), torch.randn(2, 4), torch.randn(2, 4)
    with pytest.warns(UserWarning, match="the result has other keys: 'input' is 'input_', 'check' is 'check_'"):
        net = trace(module, x, y)
    assert torch.equal(net(x, y), module(x, y))


# Modes and sizes


@pytest.mark.parametrize("training", [True, False])
def test_a_branch_for_training_is_converted_as_it_is_now_with_a_warning(training: bool) -> None:
    module = hand.Auxiliary().train(training)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = trace(module)
    told = [str(each.message) for each in caught]
    mode = "training" if training else "evaluation"
    assert told[0].startswith("trace(Auxiliary): the forward does other things in training than in evaluation (")
    assert "handwritten.py" in told[0]
    assert told[0].endswith(f"if self.training:). The result does what it does in {mode}.")
    assert all(each.filename == __file__ for each in caught)
    lacking = "trace(Auxiliary): the forward does not call aux in evaluation: the result lacks their keys."
    assert told[1:] == ([] if training else [lacking])
    x = torch.randn(2, 4)
    expected = module(x)
    assert torch.equal(net(x)[1], expected[1]) if training else torch.equal(net(x), expected)


def test_asking_for_the_mode_alone_is_no_warning() -> None:
    class Asking(hand.Around):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return (y, self.aux(y)) if self.training and hasattr(self, "aux") else y

    trace(Asking(nn.Linear(4, 4)))


def test_a_loop_over_a_size_is_told() -> None:
    module = hand.Unrolled()
    with pytest.warns(UserWarning, match=r"depends on the size of its input \(.*handwritten.py:\d+: state = torch.tanh"):
        net = trace(module, torch.zeros(2, 3, 4))
    x = torch.randn(5, 3, 4)
    assert torch.equal(net(x), module(x))


def test_a_module_with_a_loop_over_a_size_stays_whole() -> None:
    module = hand.Around(hand.Unrolled())
    net = trace(module, torch.zeros(2, 3, 4))
    assert net.inner is module.inner
    assert torch.equal(net(x := torch.randn(2, 6, 4)), module(x))


def test_a_shape_that_is_asked_for_in_vain_is_no_warning() -> None:
    with pytest.raises(ValueError, match="too small"):
        hand.UNet()(torch.zeros(2, 3, 2, 2))
    trace(hand.UNet(), torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_and_devices_are_those_of_the_values(dtype: torch.dtype) -> None:
    class Cast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            before = x.dtype
            y = x.to(torch.float64) + torch.ones(x.shape[-1], device=x.device, dtype=torch.float64)
            return y.to(before)

    x = torch.randn(2, 4, dtype=dtype)
    given = trace(Cast(), torch.zeros(2, 4))(x)
    assert given.dtype == dtype
    assert torch.equal(given, Cast()(x))


def test_a_part_without_gradients_stays_whole() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.linear(x)

    module = hand.Around(Frozen()).double()
    net = trace(module)
    assert net.inner is module.inner
    assert_same(net, module, images(2, 4))


# Functions


class Applied(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


FUNCTIONS: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (lambda x: F.relu(x), "nn.ReLU()"),
    (lambda x: x.relu(), "nn.ReLU()"),
    (lambda x: torch.sigmoid(x), "nn.Sigmoid()"),
    (lambda x: F.silu(x), "nn.SiLU()"),
    (lambda x: F.gelu(x, approximate="tanh"), "nn.GELU(approximate='tanh')"),
    (lambda x: F.softmax(x, dim=1), "nn.Softmax(dim=1)"),
    (lambda x: x.log_softmax(-1), "nn.LogSoftmax(dim=-1)"),
    (lambda x: F.leaky_relu(x, 0.2), "nn.LeakyReLU(negative_slope=0.2)"),
    (lambda x: F.hardswish(x), "nn.Hardswish()"),
    (lambda x: F.max_pool2d(x, 2, stride=1), "nn.MaxPool2d(2, stride=1)"),
    (lambda x: F.adaptive_avg_pool2d(x, (1, 1)), "nn.AdaptiveAvgPool2d(1)"),
    (lambda x: F.avg_pool2d(x, 2), "nn.AvgPool2d(2)"),
    (lambda x: torch.flatten(x, 1), "nn.Flatten()"),
    (lambda x: x.flatten(), "nn.Flatten(start_dim=0)"),
    (lambda x: x.view(x.size(0), -1), "nn.Flatten()"),
    (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "nn.Upsample(scale_factor=2, mode='bilinear')"),
    (lambda x: F.pixel_shuffle(x, 2), "nn.PixelShuffle(2)"),
    (lambda x: F.dropout(x, 0.0), "lambda x: nn.functional.dropout(x, p=0.0)"),
    (lambda x: torch.exp(x), "torch.exp"),
    (lambda x: x.tanh().exp(), "torch.exp"),
    (lambda x: x.mean((2, 3), keepdim=True), "lambda x: x.mean((2, 3), keepdim=True)"),
    (lambda x: x[:, 0], "pick[:, 0]"),
    (lambda x: x * 0.5 - 1, "sub(1)"),
    (lambda x: 1 - x, "sub(1, here)"),
    (lambda x: x / 2, "lambda x: x / 2"),
    (lambda x: 2 / (x + 3.0), "lambda x: 2 / x"),
    (lambda x: -x, "torch.neg"),
    (lambda x: x**2 > 0.5, "lambda x: x > 0.5"),
    (lambda x: x * x, "lambda x: x * x"),
    (lambda x: torch.cat([x, x], 1), "lambda x: torch.cat([x, x], 1)"),
    (lambda x: x.clamp_(min=0.1), "lambda x: x.clamp(min=0.1)"),
    (lambda x: x.reshape(x.shape[0], x.shape[1] // 2, -1), "lambda x: x.reshape(x.shape[0], x.shape[1] // 2, -1)"),
    (lambda x: F.pad(x, (1, 2), value=float("inf")), "lambda x: nn.functional.pad(x, (1, 2), value=float('inf'))"),
    (lambda x: F.interpolate(x, size=[2 * n for n in x.shape[-2:]]), "(x, size=[2 * x.shape[2], 2 * x.shape[3]])"),
    (lambda x: (x.flatten(2) @ x.flatten(2).mT).sum((1, 2)), "lambda x: x.sum((1, 2))"),
    (lambda x: torch.where(x > 0, x, x * 0.1), "torch.where"),
    (lambda x: x.masked_fill(x < 0, -1e9), "x.masked_fill("),
    (lambda x: torch.einsum("bchw,bdhw->bcd", x, x), "lambda x: torch.einsum('bchw,bdhw->bcd', x, x)"),
]


@pytest.mark.parametrize(("function", "text"), FUNCTIONS, ids=[text for _, text in FUNCTIONS])
def test_a_function_is_the_layer_or_word_that_one_would_write(function: Callable[[Tensor], Tensor], text: str) -> None:
    net = trace(Applied(function), torch.zeros(2, 4, 8, 8))
    assert text in str(net)
    x = torch.randn(3, 4, 6, 10)
    assert torch.equal(net(x.clone()), function(x.clone()))
    assert all(pickle.loads(pickle.dumps(each)) for each in net if isinstance(each, Function))


# By way of torch.export


def test_what_only_export_can_follow_is_converted_with_an_example() -> None:
    for module, example in ((hand.Masked(), torch.randn(2, 3, 8, 8)), (hand.ThroughViews(), torch.randn(2, 4))):
        with pytest.raises(ConversionError, match=r"With an example of its inputs, torch.export is tried too\."):
            trace(module)
        net = trace(module, example)
        assert set(net.state_dict()) == set(module.state_dict())
    net = trace(module := hand.Masked(), torch.randn(2, 3, 8, 8))
    assert net.get_submodule("conv.net") is module.conv.net
    assert "lambda x, y: x[y], 'conv', here" in str(net)


def test_sizes_that_export_fixes_are_told() -> None:
    class Fixed(hand.ThroughViews):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * len(list(range(x.shape[0])))

    with pytest.warns(UserWarning, match="the result holds for inputs of the size of the example only"):
        trace(Fixed(), torch.randn(3, 4))
