"""Rule 7: wrong is loud, early and kind."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.errors import CallError, DeviceError, OverwriteError, ShapeError, SkipseqError, WiringError, WordError

from .helpers import WIDTH, everything_called, linear, refused, relu_, x


def told(net: nn.Module, error: type[Exception], *inputs: Tensor) -> str:
    """The text of the error of a call, which is the same however the parts are run."""
    given = inputs or (x(),)
    with pytest.raises(error) as caught:
        net(*(each.clone() for each in given))
    with everything_called(net), pytest.raises(error) as again:
        net(*(each.clone() for each in given))
    assert str(caught.value) == str(again.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- shapes


ENDS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "flat, by label": (
        lambda: Sequential(linear(), save("a"), linear(4, 5), add("a")),
        ("net[3] add('a')", "(3, 5), from net[2]", "'a' is (3, 4), from net[0]"),
    ),
    "flat, by name": (
        lambda: Sequential(("a", linear()), linear(4, 5), add("a")),
        ("net[2] add('a')", "(3, 5), from net[1]", "'a' is (3, 4), from net[0]"),
    ),
    "the input": (
        lambda: Sequential(linear(4, 5), mul("input")),
        ("net[1] mul('input')", "(3, 5), from net[0]", "'input' is (3, 4), the input"),
    ),
    "saved in an encoder": (
        lambda: Sequential(("enc", Sequential(linear(), save("a"), nn.Tanh())), ("dec", Sequential(linear(4, 5), sub("a")))),
        ("net.dec[1] sub('a')", "(3, 5), from net.dec[0]", "'a' is (3, 4), from net.enc"),
    ),
    "three deep": (
        lambda: Sequential(
            linear(), save("a"), ("p", Sequential(("q", Sequential(("r", Sequential(linear(4, 5), add("a")))))))
        ),
        ("net.p.q.r[1] add('a')", "(3, 5), from net.p.q.r[0]", "'a' is (3, 4), from net[0]"),
    ),
    "through a via": (
        lambda: Sequential(linear(), save("a"), linear(), add(via("a", linear(4, 5)))),
        ("net[3] add(via('a', nn.Linear(4, 5)))", "(3, 4), from net[2]", "(3, 5)"),
    ),
    "cat of three": (
        lambda: Sequential(linear(), save("a"), save("b"), lambda value: value[:2], cat(here, "a", "input")),
        (
            "net[4] cat(here, 'a', 'input')",
            "(2, 4), from net[3]",
            "(3, 4), from net[0]",
            "'input' is (3, 4), the input",
        ),
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_shape_fault_names_both_ends_both_shapes_and_a_way_out(name: str) -> None:
    build, parts = ENDS[name]
    text = told(build(), ShapeError)
    for part in (*parts, "of different shapes", "They differ in dimension"):
        assert part in text, f"{part!r} is not in:\n{text}"
    assert "Write " in text or "is the batch" in text


@pytest.mark.parametrize("word", [add, sub, mul])
@pytest.mark.parametrize("shape", [(3, 1), (1, 4), (1, 1), (4,), (1,), (), (2, 3, 4), (1, 3, 4)])
def test_element_wise_joins_refuse_broadcasting_unless_asked(word: Any, shape: tuple[int, ...]) -> None:
    given, other = x(), torch.randn(shape)
    function = {add: torch.add, sub: torch.sub, mul: torch.mul}[word]
    part = Sequential(nn.Identity(), word("t"))
    text = told(Sequential(call(part, here, t="t"), inputs=("y", "t")), ShapeError, given, other)
    assert "write broadcast=True" in text
    assert str(tuple(shape)) in text
    net = Sequential(nn.Identity(), word("t", broadcast=True), inputs=("y", "t"))
    assert torch.equal(net(given, other), function(given, other))


def test_broadcast_that_does_not_fit_is_torchs_own_error_with_the_place() -> None:
    net = Sequential(nn.Identity(), add("t", broadcast=True), inputs=("y", "t"))
    with pytest.raises(RuntimeError, match=r"size|shape"):
        net(x(), torch.randn(3, 3))


def test_numbers_and_zero_dimensional_values() -> None:
    """A number has no shape; two values without dimensions have equal shapes."""
    given = x()
    assert torch.equal(Sequential(mul(0.5), add(1), sub(1.0, here))(given), 1.0 - (given * 0.5 + 1))
    assert float(Sequential(nn.Identity(), add("t"), inputs=("y", "t"))(torch.tensor(1.0), torch.tensor(2.0))) == 3.0
    net = Sequential(nn.Identity(), mul("t"), inputs=("y", "t"))
    assert torch.equal(net(given, 2.0), given * 2.0)


def test_empty_batches_fit() -> None:
    net = Sequential(linear(), save("a"), nn.Tanh(), add("a"), cat("input"))
    assert net(torch.zeros(0, WIDTH)).shape == (0, 2 * WIDTH)


def test_the_layer_behind_a_join_that_does_not_fit_is_told() -> None:
    """The example of the contract: Linear(10, 20) after a concatenation of 15 and 10 features."""
    net = Sequential(
        ("linear1", nn.Linear(30, 10)), ("linear2", nn.Linear(10, 15)), ("linear3", nn.Linear(15, 10)),
        cat("linear2", here), ("linear4", nn.Linear(10, 20)),
    )  # fmt: skip
    for called in (False, True):
        with everything_called(net) if called else torch.no_grad(), pytest.raises(RuntimeError) as caught:
            net(torch.zeros(4, 30))
        text = str(caught.value) + "\n".join(getattr(caught.value, "__notes__", []))
        assert "linear4" in text or "net[4]" in text
        assert "4x25" in text or "(4, 25)" in text


# ------------------------------------------------------------------------------------------------------------- dtypes


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.complex64]


@pytest.mark.parametrize("one", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
def test_dtypes_promote_as_in_torch(one: torch.dtype, other: torch.dtype) -> None:
    a, b = torch.ones(2, 2, dtype=one), torch.full((2, 2), 2, dtype=other)
    for word, function in ((add, torch.add), (sub, torch.sub), (mul, torch.mul)):
        result = Sequential(nn.Identity(), word("t"), inputs=("y", "t"))(a, b)
        assert result.dtype == torch.promote_types(one, other)
        assert torch.equal(result, function(a, b))
    joined = Sequential(nn.Identity(), cat("t"), inputs=("y", "t"))(a, b)
    assert joined.dtype == torch.promote_types(one, other)
    assert torch.equal(joined, torch.cat([a, b], 1))


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
def test_under_autocast_as_by_hand(called: bool) -> None:
    """A layer gives bfloat16 there and the input stays float32: the join is in float32."""
    part = Sequential(linear(), add("s"))
    net, given = Sequential(nn.Tanh(), save("s"), linear(), part, cat("0"), linear(2 * WIDTH), add("input")), x()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        s = torch.tanh(given)
        value = part[0](net[2](s)) + s
        assert value.dtype == torch.float32
        expected = net[5](torch.cat([value, s], 1)) + given
        with everything_called(net) if called else torch.enable_grad():
            received = net(given)
    assert received.dtype == expected.dtype == torch.float32
    assert torch.equal(received, expected)
    received.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in net.parameters())


# ----------------------------------------------------------------------------------------- in place, at construction


WORKS_IN_PLACE: dict[str, Callable[[], Any]] = {
    "ReLU": relu_,
    "LeakyReLU": lambda: nn.LeakyReLU(inplace=True),
    "SiLU": lambda: nn.SiLU(inplace=True),
    "Hardtanh": lambda: nn.Hardtanh(inplace=True),
    "ReLU6": lambda: nn.ReLU6(inplace=True),
    "ELU": lambda: nn.ELU(inplace=True),
    "Dropout": lambda: nn.Dropout(inplace=True),
    "Dropout1d": lambda: nn.Dropout1d(inplace=True),
    "Threshold": lambda: nn.Threshold(0.0, 0.0, inplace=True),
    "torch.relu_": lambda: torch.relu_,
    "torch.sigmoid_": lambda: torch.sigmoid_,
    "Tensor.tanh_": lambda: Tensor.tanh_,
    "partial(relu, inplace=True)": lambda: functools.partial(F.relu, inplace=True),
    "partial of a method in place": lambda: functools.partial(Tensor.clamp_, min=0.0),
    "partial of a partial": lambda: functools.partial(functools.partial(F.dropout, inplace=True), p=0.25),
}


@pytest.mark.parametrize("make", WORKS_IN_PLACE.values(), ids=WORKS_IN_PLACE)
def test_what_works_in_place_directly_behind_a_value_is_refused(make: Callable[[], Any]) -> None:
    text = refused(lambda: Sequential(linear(), save("a"), make(), linear(), add("a")))
    assert "net[2] works in place and overwrites 'a', which net[4] reads later" in text
    assert "Write inplace=False" in text
    Sequential(linear(), save("a"), nn.Tanh(), make(), add("a"))  # another value in between
    Sequential(linear(), make(), save("a"), linear(), add("a"))  # saved behind it
    Sequential(linear(), save("a"), nn.Tanh(), add("a"), make())  # nobody reads it later


def part_with(*entries: Any) -> Sequential:
    return Sequential(*entries)


IN_PLACE: dict[str, Callable[[], Any]] = {
    "the input, read by name": lambda: Sequential(relu_(), linear(), add("input")),
    "the input of a part, read by the words around": lambda: Sequential(
        linear(), ("part", part_with(relu_(), linear())), add("0")
    ),
    "the input of the part itself": lambda: Sequential(linear(), ("part", part_with(relu_(), add("input")))),
    "an inner value wanted outside": lambda: Sequential(("part", part_with(linear(), relu_(), linear())), add("part.0")),
    "the result of a part": lambda: Sequential(("part", part_with(linear(), save("a"))), relu_(), linear(), add("a")),
    "a need of a part": lambda: Sequential(
        linear(), save("a"), nn.Tanh(), ("part", part_with(take("a"), relu_())), add("a")
    ),
    "a need of a part, by via": lambda: Sequential(
        linear(), save("a"), nn.Tanh(), ("part", part_with(linear(), add(via("a", relu_())))), add("a")
    ),
    "a bound need": lambda: Sequential(
        linear(), save("a"), nn.Tanh(), call(part_with(take("s"), relu_()), here, s="a"), add("a")
    ),
    "through a plain part": lambda: Sequential(linear(), save("a"), nn.Sequential(nn.Sequential(relu_())), linear(), add("a")),
    "via of here": lambda: Sequential(linear(), cat(here, via(here, relu_()))),
    "via, twice the same value": lambda: Sequential(linear(), save("a"), nn.Tanh(), add(here, via("a", relu_()), "a")),
    "call of here": lambda: Sequential(linear(), save("a"), call(relu_(), here), linear(), add("a")),
    "call of an operand": lambda: Sequential(linear(), save("a"), nn.Tanh(), take(call(torch.relu_, "a")), add("a")),
    "call of two, in place in the first": lambda: Sequential(
        linear(), save("a"), linear(), call(Tensor.add_, "a", here), add("a")
    ),
    "take": lambda: Sequential(linear(), save("a"), nn.Tanh(), take("a"), relu_(), add("a")),
    "an output": lambda: Sequential(linear(), save("a"), relu_(), linear(), outputs=("a", "2")),
    "two levels up": lambda: Sequential(linear(), save("a"), Sequential(Sequential(relu_()), linear()), add("a")),
    "skips from outside": lambda: Sequential.of(
        nn.Sequential(linear(), relu_(), linear()), skips={"output": add("0")}
    ),
}  # fmt: skip


@pytest.mark.parametrize("build", IN_PLACE.values(), ids=IN_PLACE)
def test_refused_at_construction_across_borders(build: Callable[[], Any]) -> None:
    assert "works in place and overwrites" in refused(build)


def test_an_edit_that_puts_it_there_is_refused_too() -> None:
    net, given = Sequential(linear(), save("a"), nn.ReLU(), add("a")), x()
    expected = net(given)
    for edit in (lambda: net.insert(2, relu_()), lambda: net.__setitem__(2, relu_())):
        assert "works in place" in refused(edit)
        assert torch.equal(net(given), expected)
    assert "works in place" in refused(lambda: net.with_outputs("add_0", "0").append(relu_()))
    assert "works in place" in refused(lambda: net[:2] + Sequential(relu_(), add("a")))


def test_asking_for_a_value_that_is_overwritten_is_loud() -> None:
    net = Sequential(linear(), ("act", relu_()), linear())
    net(x())
    with pytest.raises(SkipseqError):
        net.record(x(), "0")
    with pytest.raises(SkipseqError):
        net.with_outputs("0", "act")(x())
    _, values = net.record(x(), "act")
    assert values["act"].min() >= 0.0


# ------------------------------------------------------------------------------------------------ in place, by version


class Sneaky(nn.Module):
    """Changes its input in place, which nobody can tell from its looks, and passes on something else."""

    def forward(self, value: Tensor) -> Tensor:
        value.mul_(2.0)
        return value + 1.0


class SneakySame(nn.Module):
    """The same, passing on the value itself."""

    def forward(self, value: Tensor) -> Tensor:
        return value.mul_(2.0)


def view_relu() -> list[Any]:
    return [nn.Flatten(0), relu_(), nn.Unflatten(0, (3, WIDTH))]


OVERWRITERS: dict[str, Callable[[], list[Any]]] = {
    "inside a module": lambda: [Sneaky()],
    "inside a module, passed on": lambda: [SneakySame()],
    "through a view": view_relu,
    "through a slice": lambda: [pick[:, :2], relu_(), linear(2, WIDTH)],
    "in a part": lambda: [Sequential(nn.Identity(), Sneaky())],
    "in a plain part": lambda: [nn.Sequential(nn.Identity(), Sneaky())],
    "in a module that holds a sequence": lambda: [Holder(Sequential(nn.Flatten(0), relu_(), nn.Unflatten(0, (3, WIDTH))))],
    "by call": lambda: [call(torch.Tensor.mul, via("a", Sneaky()))],
    "by operator": lambda: [call(lambda value, other: value.__iadd__(other), "input")],
}


class Holder(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.extra = nn.Identity()

    def forward(self, value: Tensor) -> Tensor:
        return self.extra(self.inner(value))  # type: ignore[no-any-return]


READERS: dict[str, Callable[[], list[Any]]] = {
    "add": lambda: [add("a")],
    "cat": lambda: [cat("a", here)],
    "take": lambda: [take("a")],
    "call": lambda: [call(torch.maximum, "a")],
    "call by name": lambda: [call(torch.maximum, here, other="a")],
    "via": lambda: [add(via("a", nn.Tanh()))],
    "a join in a join": lambda: [add(here, mul("a", 2.0))],
    "a part": lambda: [Sequential(nn.Tanh(), add("a"))],
    "a part of a part": lambda: [Sequential(nn.Tanh(), nn.Sequential(Sequential(take("a"))))],
}


@pytest.mark.parametrize("overwriter", OVERWRITERS.values(), ids=OVERWRITERS)
@pytest.mark.parametrize("grad", [torch.enable_grad, torch.no_grad], ids=["grad", "no_grad"])
def test_whoever_overwrites_is_found_at_the_reader(overwriter: Callable[[], list[Any]], grad: Callable[[], Any]) -> None:
    net = Sequential(linear(), nn.Tanh(), save("a"), *overwriter(), add("a"))
    with grad():
        text = told(net, OverwriteError)
    assert "reads a value that was overwritten in place after it was saved" in text
    assert f"net[{len(net) - 1}]" in text
    assert "'a'" in text


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("overwriter", [Sneaky, SneakySame])
def test_every_reader_notices(reader: Callable[[], list[Any]], overwriter: type[nn.Module]) -> None:
    entries = [linear(), nn.Tanh(), save("a"), overwriter(), linear(), *reader(), linear()]
    assert "'a'" in told(Sequential(*entries), OverwriteError)
    assert "'a'" in told(Sequential(linear(), ("part", Sequential(*entries))), OverwriteError)


def test_between_the_first_reader_and_the_last() -> None:
    net = Sequential(linear(), save("a"), linear(), add("a"), take("a"), Sneaky(), add("a"))
    assert "net[6] add('a')" not in told(net, OverwriteError)
    assert "net[6]" in told(net, OverwriteError)


def test_with_several_readers_the_last_one_tells() -> None:
    """A wrong value never leaves the network; the last reader looks, so that the others need not."""
    net = Sequential(linear(), save("a"), Sneaky(), add("a"), linear(), sub("a"))
    assert "net[5]" in told(net, OverwriteError)


def test_a_returned_value_that_was_overwritten() -> None:
    net = Sequential(linear(), save("a"), Sneaky(), linear(), outputs=("a", "2"))
    assert "returns a value that was overwritten" in told(net, OverwriteError)
    plain = Sequential(linear(), save("a"), Sneaky(), linear())
    plain(x())
    with pytest.raises(OverwriteError):
        plain.record(x(), "a")
    with pytest.raises(OverwriteError):
        plain.with_outputs("a", "2")(x())


def test_overwritten_before_it_was_saved_or_behind_its_last_reader_is_fine() -> None:
    given = x()
    net = Sequential(linear(), SneakySame(), save("a"), linear(), add("a"), Sneaky())
    value = net[0](given) * 2.0
    torch.testing.assert_close(net(given), (net[3](value) + value) * 2.0 + 1.0)


def test_the_result_of_the_last_reader_may_be_overwritten() -> None:
    given = x()
    net = Sequential(linear(), save("a"), nn.Tanh(), add("a"), relu_(), linear(), save("b"), nn.Tanh(), cat("b"), relu_())
    value = net[5](torch.relu(torch.tanh(net[0](given)) + net[0](given)))
    torch.testing.assert_close(net(given), torch.relu(torch.cat([torch.tanh(value), value], 1)))


def test_a_network_is_right_again_after_such_an_error() -> None:
    sneaky = Sneaky()
    net = Sequential(linear(), save("a"), sneaky, add("a"))
    with pytest.raises(OverwriteError):
        net(x())
    sneaky.forward = lambda value: value + 1.0  # type: ignore[method-assign]
    given = x()
    torch.testing.assert_close(net(given), 2 * net[0](given) + 1.0)


# ----------------------------------------------------------------------------------------- nothing is made in forward


def test_no_parameter_is_created_in_forward() -> None:
    net = Sequential(
        linear(), save("a"), ("d", add(via("a", linear()))), cat("a"), linear(2 * WIDTH), mul("a"),
        call(nn.Bilinear(WIDTH, WIDTH, WIDTH), "a"), Sequential(linear(), sub("a")),
    )  # fmt: skip
    before = {name: id(parameter) for name, parameter in net.named_parameters()}
    net(x())
    with everything_called(net):
        net(x())
    assert {name: id(parameter) for name, parameter in net.named_parameters()} == before
    misfit = Sequential(linear(4, 6), add("input"))
    with pytest.raises(ShapeError):
        misfit(x())
    assert len(list(misfit.parameters())) == 2


def hidden() -> dict[str, Any]:
    layer = linear()

    def with_default(value: Tensor, inner: nn.Module = layer) -> Tensor:
        return inner(value)  # type: ignore[no-any-return]

    def outer(value: Tensor) -> Tensor:
        return (lambda: layer(value))()  # type: ignore[no-any-return]

    layers = {"a": [layer]}
    return {
        "a lambda": lambda value: layer(value),
        "a default": with_default,
        "a function in a function": outer,
        "a list in a dict": lambda value: layers["a"][0](value),
        "a partial": functools.partial(apply, layer),
        "a bound method": layer.forward,
        "a wrapped function": functools.wraps(apply)(lambda value: layer(value)),
    }


def apply(layer: nn.Module, value: Tensor) -> Tensor:
    return layer(value)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", hidden())
def test_modules_hidden_in_functions_are_refused(name: str) -> None:
    function = hidden()[name]
    for build in (
        lambda: Sequential(linear(), function),
        lambda: Sequential(linear(), call(function, here)),
        lambda: Sequential(linear(), add(via("input", function))),
    ):
        assert "hides nn.Linear" in refused(build)


# ------------------------------------------------------------------------------------------------------------- errors


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], tuple[type[Exception], ...]]] = {
    "wiring": (lambda: Sequential(None, add("a", "b")), WiringError, (ValueError, TypeError)),
    "call": (lambda: Sequential(linear(), add("a"))(x()), CallError, (TypeError,)),
    "word": (lambda: save("a")(x()), WordError, (TypeError,)),
    "shape": (lambda: Sequential(Sequential(linear(4, 5), add("input")))(x()), ShapeError, (RuntimeError,)),
    "device": (lambda: Sequential(lambda v: v.to("meta"), add("input"))(x()), DeviceError, (RuntimeError,)),
    "overwrite": (lambda: Sequential(Sneaky(), add("input"))(x()), OverwriteError, (RuntimeError,)),
    "returned": (lambda: Sequential(linear(), Sneaky(), outputs=("0", "1"))(x()), OverwriteError, (RuntimeError,)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_the_builtin_kind_and_can_be_sent(name: str) -> None:
    """To another process of a data loader or a launcher."""
    fail, error, kinds = ERRORS[name]
    with pytest.raises(SkipseqError) as caught:
        fail()
    assert type(caught.value) is error
    assert all(isinstance(caught.value, kind) for kind in kinds)
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value), copy.deepcopy(caught.value)):
        assert type(twin) is error
        assert str(twin) == str(caught.value)
        assert vars(twin) == vars(caught.value) or name == "wiring"
    assert len(str(caught.value).splitlines()) > 1, "what, where, and what to write instead"


def test_faults_of_a_wiring_are_data() -> None:
    with pytest.raises(WiringError) as caught:
        Sequential(None, save("a"), save("a"))
    assert len(caught.value.faults) == 2
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults
    assert str(caught.value).startswith("2 faults in Sequential\n")


def test_a_network_with_very_many_faults_tells_the_first_ones() -> None:
    with pytest.raises(WiringError) as raised:
        Sequential(nn.Linear(2, 2), *[add(f"x{i}", f"y{i}") for i in range(500)])
    assert len(raised.value.faults) >= 500
    assert str(raised.value).endswith(f"\n  and {len(raised.value.faults) - 20} more.")
    assert len(str(raised.value).splitlines()) < 100
