"""``project=``: channels at an addition, brought together by a layer that is made when the shapes are known."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from skipseq import Residual, Sequential, add, cat, here, mul, save, sub, take, via
from skipseq.errors import CallError, ShapeError

from .helpers import everything_called, faults, linear
from .same_network import assert_pastes, assert_same_network, pasted

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LAZY = {1: nn.LazyConv1d, 2: nn.LazyConv2d, 3: nn.LazyConv3d}


def block(project: Any = True, dimensions: int = 2, stride: int = 2, width: int = 8) -> Sequential:
    """A residual block that halves the extents and changes the channels."""
    conv = CONV[dimensions]
    return Sequential(
        conv(3, width, 3, stride, 1), nn.ReLU(), conv(width, width, 3, padding=1), ("shortcut", add("input", project=project))
    )  # fmt: skip


def image(*extents: int) -> Tensor:
    return torch.randn(2, 3, *extents)


# -------------------------------------------------------------------------------------------------- as written by hand


class Projected(nn.Sequential):
    """He et al., option B: the shortcut is a 1x1 convolution with the stride of the block."""

    def __init__(self, dimensions: int, stride: int = 2) -> None:
        conv = CONV[dimensions]
        super().__init__(conv(3, 8, 3, stride, 1), nn.ReLU(), conv(8, 8, 3, padding=1))
        self.shortcut = nn.Sequential(conv(3, 8, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        conv1, relu, conv2, shortcut = self
        return conv2(relu(conv1(x))) + shortcut(x)


class Padded(nn.Sequential):
    """He et al., option A, as akamaster/pytorch_resnet_cifar10 writes it: every second position, zeros on both sides."""

    def __init__(self, dimensions: int, stride: int = 2, width: int = 8) -> None:
        conv = CONV[dimensions]
        super().__init__(conv(3, width, 3, stride, 1), nn.ReLU(), conv(width, width, 3, padding=1))
        self.step = (..., *(slice(None, None, stride) for _ in range(dimensions)))
        self.sides = (*(0, 0) * dimensions, (width - 3) // 2, width - 3 - (width - 3) // 2)

    def forward(self, x: Tensor) -> Tensor:
        conv1, relu, conv2 = self
        return conv2(relu(conv1(x))) + F.pad(x[self.step], self.sides, "constant", 0)


@pytest.mark.parametrize("extent", [(8, 10, 6), (9, 7, 5)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_equals_the_handwritten_code(dimensions: int, stride: int, extent: tuple[int, ...]) -> None:
    x = image(*extent[:dimensions])
    net = block(True, dimensions, stride)
    net(x)
    assert_same_network(net, Projected(dimensions, stride), x)
    net = block("pad_channels", dimensions, stride)
    net(x)
    assert_same_network(net, Padded(dimensions, stride), x)


@pytest.mark.parametrize("word", [add, sub, mul])
def test_features_go_through_a_linear_layer(word: Any) -> None:
    for shape in ((3, 4), (3, 5, 4)):
        net = Sequential(linear(4, 6), word("input", project=True))
        x = torch.randn(shape)
        result, layer = net(x), net.get_submodule(f"{word.__name__}_0.0")
        assert layer.weight.shape == (6, 4)
        shortcut = F.linear(x, layer.weight, layer.bias)
        assert torch.equal(result, {add: torch.add, sub: torch.sub, mul: torch.mul}[word](net[0](x), shortcut))


def test_initialised_as_the_layers_of_torch() -> None:
    """The same numbers from the same seed."""
    for dimensions in (1, 2, 3):
        net, conv = block(True, dimensions), LAZY[dimensions](8, 1, 2)
        x = image(*(6,) * dimensions)
        torch.manual_seed(3)
        net(x)
        torch.manual_seed(3)
        conv(x)
        assert torch.equal(net.get_submodule("shortcut.0").weight, conv.weight)
        assert torch.equal(net.get_submodule("shortcut.0").bias, conv.bias)
    net, layer = Sequential(linear(4, 6), add("input", project=True)), nn.LazyLinear(6)
    torch.manual_seed(3)
    net(torch.ones(2, 4))
    torch.manual_seed(3)
    layer(torch.ones(2, 4))
    assert torch.equal(net.get_submodule("add_0.0").weight, layer.weight)


@pytest.mark.parametrize("project", [True, "pad_channels"])
def test_equal_shapes_need_nothing(project: Any) -> None:
    net = Sequential(nn.Conv2d(3, 3, 3, padding=1), add("input", project=project))
    x = image(5, 6)
    assert torch.equal(net(x), net[0](x) + x)
    assert list(net.state_dict()) == ["0.weight", "0.bias"]
    assert len(list(net.parameters())) == 2


def test_a_stride_without_new_channels() -> None:
    net = Sequential(nn.Conv2d(3, 3, 3, 2, 1), add("input", project=True))
    x = image(7, 6)
    result, layer = net(x), net.get_submodule("add_0.0")
    assert torch.equal(result, net[0](x) + F.conv2d(x, layer.weight, layer.bias, 2))
    net = Sequential(nn.Conv2d(3, 3, 3, 2, 1), add("input", project="pad_channels"))
    assert torch.equal(net(x), net[0](x) + x[:, :, ::2, ::2])


def test_the_running_value_is_what_others_become_like() -> None:
    x = image(6, 6)
    net = Sequential(
        nn.Conv2d(3, 4, 1), save("a"), nn.Conv2d(4, 5, 1), save("b"), nn.Conv2d(5, 6, 1),
        add("a", 2.0, via("b", nn.Tanh()), here, project=True),
    )  # fmt: skip
    result = net(x)
    assert list(net.state_dict())[6:] == ["add_0.0.weight", "add_0.0.bias", "add_0.2.weight", "add_0.2.bias"]
    a = net[0](x)
    b = net[2](a)
    first, second = net.get_submodule("add_0.0"), net.get_submodule("add_0.2")
    expected = F.conv2d(a, first.weight, first.bias) + 2.0 + F.conv2d(torch.tanh(b), second.weight, second.bias) + net[4](b)
    assert torch.equal(result, expected)
    _, values = net.record(x, "add_0.0")
    assert values["add_0.0"].shape == (2, 6, 6, 6)


def test_as_an_operand_the_first_one_stays() -> None:
    net = Sequential(("a", nn.Conv2d(3, 4, 1)), ("b", nn.Conv2d(4, 5, 1)), take(add("a", "b", project=True)))
    assert net(image(4, 4)).shape == (2, 4, 4, 4)
    net = Sequential(("a", nn.Conv2d(3, 4, 1)), nn.Tanh(), cat(here, add("a", "input", project=True)))
    assert net(image(4, 4)).shape == (2, 8, 4, 4)
    net = Sequential(nn.Conv2d(3, 4, 1), add("input", via(here, nn.Conv2d(4, 6, 1)), project=True))
    assert net(image(4, 4)).shape == (2, 6, 4, 4)


def test_with_a_fit_for_the_rest() -> None:
    """33 positions with stride 2 are 17, where a pooling without rounding up gives 16."""
    net = Sequential(nn.Conv2d(3, 8, 1), nn.MaxPool2d(2), add("input", project=True, fit="crop_end"))
    assert net(image(33, 32)).shape == (2, 8, 16, 16)
    with pytest.raises(ShapeError, match=r"\(2, 8, 17, 16\)"):
        Sequential(nn.Conv2d(3, 8, 1), nn.MaxPool2d(2), add("input", project=True))(image(33, 32))


# ----------------------------------------------------------------------------------------------------------- a lazy layer


def test_made_before_the_first_call_and_never_again() -> None:
    net = block()
    layer = net.get_submodule("shortcut.0")
    assert isinstance(layer, LazyModuleMixin)
    assert repr(layer) == "LazyProjection()"
    assert isinstance(layer.weight, UninitializedParameter)
    net(image(8, 8))
    assert net.get_submodule("shortcut.0") is layer
    assert not isinstance(layer, LazyModuleMixin)
    assert repr(layer) == "Projection(1x1 convolution, 3, 8, stride=(2, 2))"
    weight = layer.weight
    net(image(12, 20))
    assert layer.weight is weight


@pytest.mark.parametrize(
    ("net", "shape", "text"),
    [
        (lambda: Sequential(linear(4, 6), ("s", add("input", project=True))), (2, 4), "Projection(linear, 4, 6)"),
        (lambda: Sequential(linear(4, 4), ("s", add("input", project=True))), (2, 4), "Projection(identity)"),
        (lambda: Sequential(nn.Conv1d(3, 8, 1), ("s", add("input", project="pad_channels"))), (2, 3, 6),
         "PadChannels(zeros=(2, 3), stride=(1,))"),
    ],
)  # fmt: skip
def test_what_was_made_is_printed(net: Callable[[], Sequential], shape: tuple[int, ...], text: str) -> None:
    made = net()
    made(torch.randn(shape))
    assert repr(made.get_submodule("s.0")) == text


def test_an_optimizer_made_before_the_first_call_is_one_of_lazy_layers() -> None:
    """As with nn.LazyConv2d: the parameters are the same objects before and after."""
    net = block()
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    net(image(8, 8)).sum().backward()
    before = net.get_submodule("shortcut.0").bias.clone()
    optimizer.step()
    assert not torch.equal(net.get_submodule("shortcut.0").bias, before)


@pytest.mark.parametrize("project", [True, "pad_channels"])
@pytest.mark.parametrize("made", [False, True])
def test_copies_pickles_and_checkpoints(made: bool, project: Any) -> None:
    net, x = block(project), image(8, 8)
    if made:
        net(x)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.repeat(1)):
        assert twin(x).shape == (2, 8, 4, 4)
        assert isinstance(net.get_submodule("shortcut.0"), LazyModuleMixin) != made
        assert not isinstance(twin.get_submodule("shortcut.0"), LazyModuleMixin)
        if made:
            assert torch.equal(twin(x), net(x))
    net(x)
    fresh = block(project)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(x), net(x))
    fresh = block(project)
    fresh(x)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(x), net(x))
    state = {key: value * 2 for key, value in net.state_dict().items()}
    assert torch.equal(functional_call(net, state, x), copied(net, state)(x))


def copied(net: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    other = copy.deepcopy(net)
    other.load_state_dict(state)
    return other


def test_another_dtype_before_and_after() -> None:
    x = image(8, 8)
    assert block().double()(x.double()).dtype == torch.float64
    net = block()
    net(x)
    assert net.double()(x.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block()(x).dtype == torch.bfloat16


def test_parts_that_are_watched_make_the_same() -> None:
    net = Sequential(("part", block()), nn.Tanh())
    with everything_called(net):
        net(image(8, 8))
    assert net.part.get_submodule("shortcut.0").weight.shape == (8, 3, 1, 1)


def test_two_places_have_two_layers_and_a_shared_part_one() -> None:
    net = block(width=3) * 2
    net(image(8, 8))
    assert len(list(net.parameters())) == 6
    net = block(width=3).repeat(2)
    net(image(8, 8))
    assert len(list(net.parameters())) == 12


def test_blocks_take_a_join_that_projects() -> None:
    net = Residual(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), join=add(project=True))
    assert repr(net).splitlines()[-2].strip() == "join=add(project=True),"
    assert net(image(8, 8)).shape == (2, 8, 4, 4)
    assert list(net.state_dict())[2:] == ["add_0.0.weight", "add_0.0.bias"]


@pytest.mark.parametrize("text", ["add('input', project=True)", "sub(here, 'input', fit='crop', project='pad_channels')"])
def test_prints_as_written(text: str) -> None:
    assert repr(eval(text)) == text
    net = Sequential(nn.Conv2d(3, 3, 3, 2, 1), ("s", eval(text)))
    assert_pastes(net)
    assert pasted(repr(net))(image(8, 8)).shape == (2, 3, 4, 4)


# ------------------------------------------------------------------------------------------------------ what is refused


CANNOT: dict[str, tuple[Callable[[], Sequential], tuple[int, ...], tuple[str, ...]]] = {
    "ranks": (
        lambda: Sequential(nn.Flatten(), add("input", project=True)),
        (2, 3, 4),
        ("net[1] add('input', project=True) cannot add", "(2, 12)", "(2, 3, 4)", "number of dimensions"),
    ),
    "batches": (
        lambda: Sequential(nn.Conv1d(3, 5, 1), lambda x: x[:1], add("input", project=True)),
        (2, 3, 4),
        ("net[2] add('input', project=True) cannot add", "(1, 5, 4)", "(2, 3, 4)"),
    ),
    "fewer channels by zeros": (
        lambda: Sequential(nn.Conv1d(3, 2, 1), add("input", project="pad_channels")),
        (2, 3, 4),
        ("net[1] add('input', project='pad_channels') cannot add", "(2, 2, 4)", "(2, 3, 4)", "1 (2 and 3)"),
    ),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_projected_is_told_by_the_join(name: str) -> None:
    build, shape, parts = CANNOT[name]
    net = build()
    for _ in range(2):  # a call that failed has made nothing
        with pytest.raises(ShapeError) as caught:
            net(torch.randn(shape))
        for part in parts:
            assert part in str(caught.value)
    assert isinstance(net.get_submodule("add_0.0"), LazyModuleMixin)


def test_a_projection_makes_nothing_larger() -> None:
    net = Sequential(nn.Upsample(scale_factor=2), add("input", project=True))
    with pytest.raises(ShapeError, match=r"dimensions 2 \(8 and 4\), 3 \(8 and 4\)"):
        net(image(4, 4))


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a concatenation": (
        lambda: cat("input", project=True),
        "net[2] cat('input', project=True) has project=True, and a concatenation takes any number of channels.\n"
        "  Write add, or put a layer of your own behind the value: via('name', layer).",
    ),
    "an unknown one": (
        lambda: add("input", project="pad_chanels"),
        "net[2] add('input', project='pad_chanels') has project='pad_chanels', which is no project that it knows. "
        "Did you mean 'pad_channels'?\n  Write project=True or project='pad_channels'.",
    ),
    "a layer": (
        lambda: add("input", project=nn.Identity()),
        "net[2] add('input', project=Identity()) has project=Identity(), which is no project that it knows.\n"
        "  Write project=True or project='pad_channels'.",
    ),
    "one value": (
        lambda: mul(0.5, project=True),
        "net[2] mul(0.5, project=True) has project=True and one value only, which is like itself.\n  Leave project out.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_when_the_network_is_built(name: str) -> None:
    build, text = FAULTS[name]
    assert faults(lambda: Sequential(torch.sin, torch.cos, build())) == (text,)


# --------------------------------------------------------------------------------------------------- traced and exported


@pytest.fixture(autouse=True)
def _compiled_anew() -> Any:
    yield
    torch._dynamo.reset()


def dynamic() -> tuple[dict[int, Any], ...]:
    return ({0: Dim("batch", max=64), 2: Dim("height", min=4, max=512), 3: Dim("width", min=4, max=512)},)


@pytest.mark.filterwarnings("ignore:# The axis name. .* will not be used:UserWarning")
@pytest.mark.parametrize("project", [True, "pad_channels"])
@torch.no_grad()
def test_exported_with_sizes_that_change(project: Any, tmp_path: Path) -> None:
    net = block(project).eval()
    net(image(8, 9))
    programs: list[Any] = [
        torch.export.export(net, (image(8, 9),), dynamic_shapes=dynamic(), strict=strict).module() for strict in (True, False)
    ]
    programs += [
        torch.fx.symbolic_trace(net),
        torch.jit.trace(net, image(8, 9)),
        torch.compile(net, fullgraph=True, dynamic=True, backend="eager"),
    ]
    torch.onnx.export(net, (image(8, 9),), dynamic_shapes=dynamic(), dynamo=True, verbose=False).save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for x in (image(16, 20), torch.randn(5, 3, 31, 7)):
        for program in programs:
            torch.testing.assert_close(program(x), net(x))
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("project", [True, "pad_channels"])
def test_compiled_before_the_first_call(project: Any) -> None:
    """As with nn.LazyConv2d: compiling makes the layers."""
    net, x = block(project), image(8, 8)
    run = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(x), net(x))
    assert not isinstance(net.get_submodule("shortcut.0"), LazyModuleMixin)


@pytest.mark.parametrize("project", [True, "pad_channels"])
def test_exported_before_the_first_call_is_refused(project: Any) -> None:
    net, x = block(project), image(8, 8)
    text = f"exported or traced before the layers of project={project!r} were made.\n  Call it once"
    for trace in (lambda: torch.export.export(net, (x,), strict=True), lambda: torch.fx.symbolic_trace(net)):
        with pytest.raises(CallError, match=text):
            trace()
    assert isinstance(net.get_submodule("shortcut.0"), LazyModuleMixin)
