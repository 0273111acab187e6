"""``net.check``: shapes without computing, nothing touched, and what is worth knowing."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from skipseq import Residual, Sequential, UNet, add, call, cat, here, mul, pick, save, take, via
from skipseq.errors import CallError, OverwriteError, ShapeError
from skipseq.wiring import reachable

from .helpers import Wrapper, look_on, x
from .random_networks import WIDTH, Network, networks


def conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)


def small_unet(depth: int = 2, down: Any = None, fit: str | None = None) -> Sequential:
    return UNet(
        [conv(3, 4), *(conv(4, 4) for _ in range(depth - 1))],
        conv(4, 4),
        [conv(8, 4) for _ in range(depth)],
        down=down or nn.MaxPool2d(2),
        up=nn.Upsample(scale_factor=2),
        join=cat(fit=fit),
    )


# The law: what a check says is what a call gives


@given(networks())
def test_shapes_are_those_of_a_call(network: Network) -> None:
    net = network.net
    inputs = [torch.randn(3, WIDTH, dtype=torch.float64) for _ in net.wiring.inputs]
    needs = {name: torch.randn(3, WIDTH, dtype=torch.float64) for name in net.wiring.needs}
    report = net.check(*inputs, **needs)
    known = [name for value in report.graph.values if value.giver >= 0 for name in value.names if reachable(net.wiring, name)]
    _, seen = net.record(*inputs, *known, **needs)
    for name in known:
        value = seen[name]
        wanted = tuple(value.shape) if isinstance(value, Tensor) else tuple(tuple(each.shape) for each in value)
        assert report[name] == wanted, name


def test_a_batch_of_unknown_size() -> None:
    net = Sequential(conv(3, 4), lambda v: v.flatten(0, 1), save("rows"), lambda v: torch.cat([v, v[:1]]))
    report = net.check(("N", 3, 8, 8))
    assert report.shapes == {
        "input": ("N", 3, 8, 8),
        "0": ("N", 4, 8, 8),
        "rows": ("4*N", 8, 8),
        "1": ("4*N", 8, 8),
        "save_0": ("4*N", 8, 8),
        "2": ("4*N + 1", 8, 8),
    }


def test_a_report_is_a_table_and_a_mapping() -> None:
    net = Sequential(("conv", conv(3, 4)), nn.MaxPool2d(2), save("h"), nn.Flatten(), ("end", nn.Linear(64, 2)))
    report = net.check((1, 3, 8, 8))
    assert str(report) == (
        "input  (1, 3, 8, 8)\n"
        "conv   (1, 4, 8, 8)  nn.Conv2d(3, 4, 3, padding=1)\n"
        "1      (1, 4, 4, 4)  nn.MaxPool2d(2)\n"
        "2      (1, 64)       nn.Flatten()\n"
        "end    (1, 2)        nn.Linear(64, 2)\n"
        "- net[2] save('h'): no word reads 'h'. net.record(x, 'h') still gives it."
    )
    assert report["conv"] == report.shapes["conv"] == (1, 4, 8, 8)
    assert list(report) == ["input", "conv", "h", "1", "save_0", "2", "end"]
    with pytest.raises(KeyError):
        report["nothing"]


def test_tuples_and_dicts_have_shapes_inside() -> None:
    net = Sequential(nn.LSTM(4, 5, batch_first=True), save("out", "state"), pick[0], pick[:, -1])
    report = net.check(("N", 7, 4))
    assert report["0"] == (("N", 7, 5), ((1, "N", 5), (1, "N", 5)))
    assert report["state"] == ((1, "N", 5), (1, "N", 5))
    assert report["pick_1"] == ("N", 5)
    assert Sequential(lambda v: {"a": v, "b": v[0]}).check((2, 3))["0"] == {"a": (2, 3), "b": (3,)}


# Inputs


def test_inputs_by_order_by_name_and_in_a_dict() -> None:
    net = Sequential(nn.Linear(4, 3), call(nn.Bilinear(3, 2, 5), "t"), inputs=("x", "t"))
    for report in (
        net.check((2, 4), (2, 2)),
        net.check((2, 4), t=(2, 2)),
        net.check({"x": (2, 4), "t": torch.zeros(2, 2)}),
        net.check(x=[2, 4], t=torch.Size([2, 2])),
    ):
        assert report["1"] == (2, 5)
    with pytest.raises(CallError, match="it lacks 't'"):
        net.check((2, 4))
    with pytest.raises(CallError, match="it does not know 'u'"):
        net.check((2, 4), (2, 2), u=(1,))


def test_needs_are_given_by_name() -> None:
    decoder = Sequential(nn.Linear(4, 4), add("skip"))
    assert decoder.check(("N", 4), skip=("N", 4))["add_0"] == ("N", 4)
    with pytest.raises(CallError, match="it lacks 'skip'"):
        decoder.check(("N", 4))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((1, "H"), r"has 'H' where a number belongs.\n  Only the first extent"),
        (("1 2", 4), "has '1 2' where a number belongs"),
        ((2, -1), r"has the extent -1.\n  Write whole numbers"),
        ((True, 4), "has the extent True"),
        (None, r"an input is given as None.\n  Write its shape, \('N', 3, 256, 256\)"),
        ("2,4", "an input is given as '2,4'"),
        ((2.0, 4), "has a broken number"),
    ],
)
def test_what_is_no_shape_is_told(given: Any, text: str) -> None:
    with pytest.raises(CallError, match=text):
        Sequential(nn.Linear(4, 4)).check(given)


def test_two_names_of_a_batch_are_refused() -> None:
    net = Sequential(call(torch.add, "t"), inputs=("x", "t"))
    with pytest.raises(CallError, match="two sizes of the batch are unknown: M and N"):
        net.check(("M", 4), ("N", 4))


def test_a_shape_means_the_type_of_the_parameters() -> None:
    assert Sequential(nn.Linear(4, 4).double()).check((1, 4)).graph.values[0].spec.dtype == "float64"
    assert Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)).check(("N", 7))["1"] == ("N", 7, 2)
    assert Sequential(nn.ReLU()).check((1, 4)).graph.values[0].spec.dtype == "float32"
    with torch.device("meta"):
        planned = Sequential(nn.Linear(1_000_000, 1_000_000), nn.ReLU())
    assert planned.check(("N", 1_000_000))["1"] == ("N", 1_000_000)


# Nothing is touched


class Wanderer(nn.Module):
    """Draws from every generator, counts its calls, and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.calls = 0
        self.seen: Tensor | None = None

    def forward(self, value: Tensor) -> Tensor:
        random.random()
        numpy.random.rand()
        self.calls += 1
        self.seen = value
        self.mean += value.mean(0)
        return value * torch.rand(()) + self.mean


def everything(net: nn.Module) -> Any:
    """All that a check could change."""
    return (
        {name: (id(each), each._version, each.clone()) for name, each in net.state_dict(keep_vars=True).items()},
        [None if each.grad is None else each.grad.clone() for each in net.parameters()],
        [(id(each), each.training, sorted(vars(each)), len(each._forward_hooks)) for each in net.modules()],
        [getattr(each, "calls", None) for each in net.modules()],
        (random.getstate(), torch.get_rng_state(), str(numpy.random.get_state())),
    )


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_nothing_is_changed() -> None:
    torch.manual_seed(0)
    net = Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), Wanderer(), save("h"),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), ("part", Residual(nn.Linear(4, 4), nn.BatchNorm1d(4))),
        nn.ReLU(inplace=True), add("h"), inputs=("x",),
    )  # fmt: skip
    given = x()
    net(given).sum().backward()
    before, version = everything(net), given._version
    for shape in (given, ("N", 4), (3, 4)):
        net.check(shape)
        assert same(before, everything(net))
    with pytest.raises(ShapeError):
        net.check((3, 5))
    assert same(before, everything(net))
    assert given._version == version


def test_a_forward_in_another_thread_is_not_disturbed() -> None:
    net = Sequential(*[nn.Linear(4, 4) for _ in range(20)], add("0"))
    given = x()
    wanted = net(given)
    wrong: list[object] = []

    def run() -> None:
        while not done.is_set():
            if not torch.equal(net(given), wanted):
                wrong.append(True)

    done = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(10):
        net.check(given)
    done.set()
    thread.join()
    assert not wrong


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_mode_of_gradients_does_not_matter(mode: Callable[[], Any]) -> None:
    with mode():
        report = small_unet().check(("N", 3, 8, 8))
    assert report["decoder_1"] == ("N", 4, 8, 8)
    assert not [finding for finding in report.findings if "gradient" in finding]


# Containers of every kind


class Doubled(Sequential):
    """A container with a forward of its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        result = super().forward(*args, **kwargs)
        return torch.cat([result, result], 1)


def test_containers_of_every_kind_are_walked_or_called() -> None:
    net = Sequential(
        nn.Linear(4, 4), save("h"),
        ("plain", nn.Sequential(nn.Linear(4, 4), nn.ReLU())),
        ("wrapped", Wrapper(Sequential(nn.Linear(4, 4), add("h"), save("inner")))),
        ("doubled", Doubled(nn.Linear(4, 4), add("h"))),
        via_and_call := nn.Linear(8, 4),
        add("inner", "h", here), mul(via("plain.0", nn.Linear(4, 4))),
    )  # fmt: skip
    assert via_and_call in net
    report = net.check(("N", 4))
    assert report["wrapped.0"] == ("N", 4)
    assert report["doubled"] == ("N", 8)
    assert "doubled.0" not in report.shapes
    look_on(net.modules())
    assert net.check(("N", 4)).shapes == report.shapes


def test_a_fault_inside_a_container_that_is_called_is_told_from_the_root() -> None:
    net = Sequential(nn.Linear(4, 4), save("h"), ("doubled", Doubled(nn.Linear(4, 5), add("h"))))
    with pytest.raises(ShapeError, match=r"^net\.doubled\[1\] add\('h'\) cannot add values of different shapes"):
        net.check((2, 4))


def test_shapes_that_depend_on_numbers_are_left_open() -> None:
    net = Sequential(nn.Linear(4, 4), ("positive", lambda v: v[v > 0]), nn.ReLU(), take("input"), nn.Linear(4, 2))
    report = net.check((2, 4))
    assert report["positive"] is None
    assert report["3"] == (2, 2)
    assert "net[1] <lambda> decides about shapes by numbers" in report.findings[0]


class Bound(nn.Module):
    """A layer that keeps a method of its own, as some libraries do to exchange it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.chosen = self.run

    def run(self, value: Tensor) -> Tensor:
        return self.linear(value)  # type: ignore[no-any-return]

    def forward(self, value: Tensor) -> Tensor:
        return self.chosen(value)


class Hidden(nn.Module):
    """A layer that keeps tensors and layers where PyTorch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.scales, self.layers = [torch.ones(4)], {"first": [nn.Linear(4, 4)]}

    def forward(self, value: Tensor) -> Tensor:
        return self.layers["first"][0](value) * self.scales[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
        lambda: torch.compile(nn.Linear(4, 4)),
        lambda: torch.jit.trace(nn.Linear(4, 4), torch.zeros(2, 4)),
        lambda: nn.DataParallel(nn.Linear(4, 4)),
        Bound,
        Hidden,
    ],
    ids=["weight norm", "orthogonal", "compiled", "traced", "data parallel", "bound method", "hidden"],
)
def test_layers_of_every_kind_are_called_without_a_false_alarm(layer: Callable[[], nn.Module]) -> None:
    net = Sequential(layer(), nn.ReLU(), add("input"))
    report = net.check(("N", 4))
    assert report["add_0"] == ("N", 4)
    assert report.findings == ()


@pytest.mark.parametrize(
    "function",
    [
        lambda v: v * v.mean().item(),
        lambda v: v if v.sum() > 0 else -v,
        lambda v: v.nonzero(),
        lambda v: torch.from_numpy(v.detach().numpy()),
        lambda v: torch.tensor(v.tolist()),
    ],
    ids=["item", "if", "nonzero", "numpy", "tolist"],
)
def test_what_needs_numbers_is_left_open(function: Callable[[Tensor], Tensor]) -> None:
    report = Sequential(nn.Linear(4, 4), function, nn.ReLU()).check((1, 4))
    assert report["0"] == (1, 4)
    assert report["1"] is report["2"] is None


def test_inputs_without_dimensions_and_sparse_ones() -> None:
    assert Sequential(nn.ReLU()).check(())["0"] == ()
    assert Sequential(nn.Linear(4, 4)).check(torch.eye(4).to_sparse())["0"] == (4, 4)


# Lazy layers


def lazy() -> Sequential:
    return Sequential(
        nn.LazyConv2d(4, 3), nn.Sequential(nn.LazyBatchNorm2d(), nn.ReLU()), nn.Flatten(), save("h"),
        nn.LazyLinear(5), add(via("h", nn.LazyLinear(5))), Wrapper(nn.LazyLinear(2)),
    )  # fmt: skip


def test_lazy_layers_stay_lazy_unless_asked() -> None:
    net = lazy()
    before = [type(module) for module in net.modules()]
    report = net.check((2, 3, 6, 6))
    assert report["4"] == (2, 2)
    assert [type(module) for module in net.modules()] == before
    assert "no gradient" not in str(report)


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), ("N", 3, 6, 6)])
def test_lazy_layers_are_materialised_when_asked(shape: Any) -> None:
    net = lazy()
    torch.manual_seed(3)
    net.check(shape, materialise=True)
    assert not [module for module in net.modules() if "Lazy" in type(module).__name__]
    by_call = lazy()
    torch.manual_seed(3)
    by_call(torch.zeros(2, 3, 6, 6))
    assert net.state_dict().keys() == by_call.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), by_call.parameters(), strict=True))
    net(torch.zeros(2, 3, 6, 6)).sum().backward()


# In place


@pytest.mark.parametrize(
    "changes",
    [
        [lambda v: v.mul_(2.0)],
        [nn.Flatten(0), nn.ReLU(inplace=True), nn.Unflatten(0, (3, 4))],
        [lambda v: v.t(), lambda v: v.add_(1), lambda v: v.t()],
        [lambda v: nn.functional.relu(v, inplace=True)],
        [lambda v: torch.relu_(v[:, :2]), lambda v: torch.cat([v, v], 1)],
        [call(lambda value, other: other.zero_() + value, "h")],
    ],
    ids=["function", "view", "transpose", "functional", "a slice", "through call"],
)
def test_a_saved_value_that_is_overwritten_is_refused(changes: list[Any]) -> None:
    net = Sequential(nn.Linear(4, 4), save("h"), *changes, nn.Linear(4, 4), add("h"))
    with pytest.raises(OverwriteError) as checked:
        net.check((3, 4))
    assert "'h' is changed by a later layer, from net[0]" in str(checked.value)
    assert " overwrites it.\n" in str(checked.value)
    with pytest.raises(OverwriteError) as called:
        net(x())
    assert str(called.value) == str(checked.value)


def test_in_place_behind_the_last_reader_is_fine() -> None:
    net = Sequential(nn.Linear(4, 4), save("h"), nn.Linear(4, 4), add("h"), nn.ReLU(inplace=True))
    assert net.check((3, 4)).findings == ()


def test_many_faults_are_counted_and_the_first_ones_told() -> None:
    net = Sequential(*[layer for _ in range(40) for layer in (nn.Linear(4, 5), nn.Linear(4, 4))])
    with pytest.raises(ShapeError) as caught:
        net.check(("N", 4))
    assert len(caught.value.others) == 39
    lines = str(caught.value).splitlines()
    assert lines[4] == "39 more faults:"
    assert lines[-1] == "  and 19 more."


# Findings


def found(net: Sequential, *shapes: Any) -> list[str]:
    return list(net.check(*shapes).findings)


def test_a_network_as_it_should_be_has_no_findings() -> None:
    assert found(Sequential(Residual(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2)), ("N", 4)) == []


def test_a_saved_value_that_nobody_reads() -> None:
    assert found(Sequential(nn.Linear(4, 4), save("h"), nn.ReLU()), ("N", 4)) == [
        "net[1] save('h'): no word reads 'h'. net.record(x, 'h') still gives it."
    ]
    encoder = Sequential(nn.Linear(4, 4), save("a"), nn.ReLU(), save("b"))
    decoder = Sequential(nn.Linear(4, 4), add("a"))
    assert found(Sequential(("encoder", encoder), ("decoder", decoder)), ("N", 4)) == [
        "net.encoder[3] save('b'): no word reads 'b'. net.record(x, 'b') still gives it."
    ]
    by_path = Sequential(("encoder", encoder), nn.Linear(4, 4), add("encoder.a", "encoder.b", here))
    assert found(by_path, ("N", 4)) == []
    as_output = Sequential(nn.Linear(4, 4), save("h"), nn.ReLU(), outputs=("h", "1"))
    assert found(as_output, ("N", 4)) == []


def test_a_branch_that_nobody_uses() -> None:
    net = Sequential(nn.Linear(4, 3), nn.Linear(3, 3), take("input"), nn.Linear(4, 2))
    assert found(net, ("N", 4)) == [
        "net[1] nn.Linear(3, 3): nobody uses its output; a take behind it, or outputs=, leaves it aside.\n"
        "  Join it later by its name, or leave the layer out.",
        "net[0] nn.Linear(4, 3): its parameters 'weight' and 'bias' get no gradient; nothing that is returned needs it.",
        "net[1] nn.Linear(3, 3): its parameters 'weight' and 'bias' get no gradient; nothing that is returned needs it.",
    ]


def test_parameters_without_a_gradient() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, value: Tensor) -> Tensor:
            return self.used(value)  # type: ignore[no-any-return]

    frozen = nn.Linear(4, 4).requires_grad_(False)
    net = Sequential(nn.Linear(4, 4), torch.detach, frozen, Spare(), nn.Linear(4, 4))
    assert found(net, ("N", 4)) == [
        "net[0] nn.Linear(4, 4): its parameters 'weight' and 'bias' get no gradient; "
        "its value is cut from the gradient on the way.",
        "net[3] Spare(...): its parameters 'spare.weight' and 'spare.bias' get no gradient; "
        "the layer does not use it, or detaches it.",
    ]
    loss = net(x()).sum()
    loss.backward()
    without = {name for name, each in net.named_parameters() if each.requires_grad and each.grad is None}
    assert without == {"0.weight", "0.bias", "3.spare.weight", "3.spare.bias"}


def test_a_layer_at_two_places() -> None:
    layer = nn.Linear(4, 4)
    assert found(Sequential(layer, nn.ReLU(), layer), ("N", 4)) == [
        "net[2] nn.Linear(4, 4) is the same layer as net[0]: they share their weights.\n"
        "  If that is not meant, write a layer for each place, or repeat(n) instead of * n."
    ]
    relu = nn.ReLU()
    assert found(Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu), ("N", 4)) == []


def test_a_concatenation_along_the_tokens() -> None:
    net = Sequential(nn.Linear(8, 8), save("h"), nn.LayerNorm(8), cat("h"), nn.Linear(8, 4))
    assert found(net, ("N", 5, 8)) == [
        "net[3] cat('h') puts (N, 5, 8) and (N, 5, 8) together along the tokens:\n"
        "  of (batch, tokens, features), dimension 1 are the tokens. For the features, write cat('h', dim=-1)."
    ]
    meant = Sequential(nn.Linear(8, 8), save("h"), nn.LayerNorm(8), cat("h", dim=-1), nn.Linear(16, 4))
    assert found(meant, ("N", 5, 8)) == []
    channels = Sequential(nn.Conv1d(8, 8, 3, padding=1), save("h"), nn.ReLU(), cat("h"), nn.Conv1d(16, 4, 1))
    assert found(channels, ("N", 8, 5)) == []


# Sizes


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_multiple_that_a_u_net_needs(depth: int) -> None:
    (finding,) = found(small_unet(depth), ("N", 3, 2 * 2**depth, 2**depth))
    assert finding.startswith(f"the height and width of the input must each be a multiple of {2**depth}: with one more, net[")
    step = 2**depth
    for height in range(step, 3 * step):
        fits = height % step == 0
        try:
            small_unet(depth)(torch.zeros(1, 3, height, step))
        except ShapeError:
            assert not fits
        else:
            assert fits


def test_only_the_dimension_that_is_made_smaller_counts() -> None:
    net = UNet([conv(3, 4)], conv(4, 4), [conv(8, 4)], down=nn.MaxPool2d((1, 4)), up=nn.Upsample(scale_factor=(1, 4)))
    (finding,) = found(net, ("N", 3, 8, 8))
    assert finding.startswith("the width of the input must be a multiple of 4: with one more, net[5] cat('skip_1', here)")


def test_sizes_that_are_no_multiples() -> None:
    net = Sequential(nn.Conv2d(3, 4, 3), save("h"), nn.MaxPool2d(2), nn.Upsample(scale_factor=2), cat("h"))
    (finding,) = found(net, ("N", 3, 10, 10))
    assert "must each be a multiple of 2" in finding
    shifted = Sequential(nn.Conv2d(3, 4, 2), save("h"), nn.MaxPool2d(2), nn.Upsample(scale_factor=2), cat("h"))
    (finding,) = found(shifted, ("N", 3, 11, 11))
    assert "must each be a multiple of 2, plus 1" in finding


def test_no_size_is_asked_for_where_every_size_fits() -> None:
    assert found(small_unet(2, fit="crop"), ("N", 3, 9, 9)) == []
    assert found(Sequential(conv(3, 3), add("input"), nn.MaxPool2d(2), conv(3, 3)), ("N", 3, 8, 8)) == []
    by_size = Sequential(conv(3, 3), add("input"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    assert found(by_size, ("N", 3, 8, 8)) == []
