"""What does not fit is explained: in a check and in a call by the same text, and whatever it advises works."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from skipseq import Sequential, add, call, cat, here, mul, pick, save, sub, via
from skipseq.errors import DeviceError, ShapeError, ValueFault, WiringError

from .advice import Broken, ways_out
from .fitting_layers import layers_that_fit
from .helpers import everything_called
from .misfits import OF_SHAPE, Misfit
from .misfits_of_values import OF_VALUES

MISFITS = {**OF_SHAPE, **OF_VALUES}
FITTING = list(layers_that_fit())
ROWS = {f"{group}: {name}": row for group, rows in MISFITS.items() for name, row in rows.items()}
each_row = pytest.mark.parametrize("name", ROWS)


def input_of(row: Misfit) -> Any:
    """An input with numbers."""
    if callable(row.given):
        return row.given()
    return (
        {name: torch.randn(shape) for name, shape in row.given.items()}
        if isinstance(row.given, dict)
        else torch.randn(row.given)
    )


def called(net: Sequential, x: Any) -> Any:
    return net(**x) if isinstance(x, dict) else net(x)


def fault_of(run: Callable[[], object]) -> ValueFault | None:
    """The fault that something raises, if it raises one."""
    try:
        run()
    except ValueFault as fault:
        return fault
    return None


@cache
def told(name: str) -> ValueFault:
    """What a check says about a network that does not fit."""
    fault = fault_of(lambda: ROWS[name].build().check(input_of(ROWS[name])))
    assert fault is not None
    return fault


# The texts


@pytest.mark.parametrize("group", MISFITS)
def test_the_texts(group: str, golden: Callable[[str, str], None]) -> None:
    parts = [f"{name}\n{'-' * len(name)}\n{told(f'{group}: {name}')}\n" for name in MISFITS[group]]
    golden(f"misfits/{group}.txt", "\n".join(parts))


@each_row
def test_a_check_and_a_call_tell_the_same(name: str) -> None:
    row = ROWS[name]
    text = str(told(name))
    if not callable(row.given):
        assert str(fault_of(lambda: row.build().check(row.given))) == text
    for parts_called in (False, True):
        net = row.build()
        with pytest.raises(Exception) as caught:  # noqa: PT012
            if parts_called:
                with everything_called(net):
                    called(net, input_of(row))
            else:
                called(net, input_of(row))
        if row.own:
            assert not isinstance(caught.value, ValueFault)
            assert caught.value.__notes__ == [f"at {text.splitlines()[0].partition(' cannot')[0].replace(' ', ', in ', 1)}"]
        else:
            assert str(caught.value) == text


@each_row
def test_a_text_has_its_four_parts(name: str) -> None:
    fault = told(name)
    for each in (fault, *fault.others):
        assert each.place, "where"
        assert " cannot " in each.problem, "what was being built"
        assert each.met, "what was received"
        assert all(met.origin is not None for met in each.met), "from where"
        assert each.advice, "what to write instead"
        assert not re.search("[Ff]ake|Lazy|0x|built-in", each.told()), "words of the inside"


# The advice


@each_row
def test_every_way_out_works(name: str) -> None:
    """Applied to the letter, the fault is gone: in a check, and with numbers."""
    row = ROWS[name]
    fault = told(name)
    torch.manual_seed(0)
    for line, way in ways_out(fault):
        broken = Broken(row.build(), input_of(row))
        place = way(broken)
        after = fault_of(lambda broken=broken: broken.net.check(broken.given))
        assert after is None or not same_fault(after, fault, place), f"{line}\nleads to\n{after}"
        again = fault_of(lambda broken=broken: called(broken.net, broken.given))
        assert str(again) == str(after), f"{line}\nleads in a call to\n{again}"


def same_fault(after: ValueFault, before: ValueFault, place: str) -> bool:
    """Whether a fault is still there, at the place where it is now; another fault of the same layer may come to light."""
    return after.place == place and after.problem.splitlines()[1:] == before.problem.splitlines()[1:]


@each_row
def test_who_follows_the_advice_gets_a_network_that_runs(name: str) -> None:
    row = ROWS[name]
    broken, steps = Broken(row.build(), input_of(row)), 0
    while (fault := fault_of(lambda: broken.net.check(broken.given))) is not None:
        ways = ways_out(fault)
        if not ways:
            assert name in WITHOUT, f"no way out of\n{fault}"
            return
        steps += 1
        assert steps <= 8, f"the advice leads nowhere:\n{fault}"
        ways[0][1](broken)
    assert name not in WITHOUT
    result = called(broken.net, broken.given)
    graph = broken.net.check(broken.given).graph
    results = result if len(graph.results) > 1 else (result,)
    assert [shape_of(each) for each in results] == [shape_of(graph.values[value].spec) for value in graph.results]


def shape_of(value: Any) -> Any:
    return tuple(shape_of(each) for each in value) if isinstance(value, tuple) else tuple(value.shape)


@settings(max_examples=40)
@given(st.data())
def test_joins_of_any_values(data: st.DataObject) -> None:
    """Whatever meets in a join: a check and a call agree, and every way out that they tell works."""
    word = data.draw(st.sampled_from([cat, add, mul, sub]))
    operands = data.draw(st.sampled_from([("t",), ("t", here), (via("t", nn.Tanh()),), (here, "t", "u")]))
    options = data.draw(st.sampled_from([{}, {}, {"fit": "crop"}, {"fit": "pad", "like": here}]))
    shape = data.draw(st.tuples(st.just(2), *[st.sampled_from([1, 4, 5, 8, 9])] * data.draw(st.integers(1, 3))))
    others = [data.draw(st.one_of(like(shape), st.just(shape[:2]), st.just((*shape, 4)))) for _ in "tu"]
    layer = nn.Linear(shape[-1], shape[-1]) if data.draw(st.booleans()) else nn.Dropout()
    net = Sequential(layer, word(*operands, **options), inputs=("x", "t", "u"))
    x = {name: torch.randn(each) for name, each in zip("xtu", (shape, *others), strict=True)}
    fault = fault_of(lambda: net.check(x))
    assert str(fault_of(lambda: net(**x))) == str(fault)
    for line, way in ways_out(fault) if fault is not None else ():
        broken = Broken(copy.deepcopy(net), x)
        way(broken)
        assert fault_of(lambda broken=broken: called(broken.net, x)) is None, f"{line}, in\n{fault}"


def like(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes that differ from one a little."""
    return st.tuples(st.just(2), *(st.sampled_from([extent, extent, extent + 1, 2 * extent]) for extent in shape[1:]))


#: Where the user has to know what was meant.
WITHOUT = {
    "channels: LocalResponseNorm", "channels: Cosine", "space: another batch", "space: another batch, add",
    "space: broadcasting that does not help",
    "rank: MaxPool2d of features", "rank: Upsample of features", "sequences: LSTM of a vector", "sequences: a pick of a tensor",
    "sequences: a last step of features", "sequences: MultiheadAttention, batch", "types: an input without numbers",
    "types: values on two devices", "nested: behind call", "nested: a function of one's own", "nested: a lambda",
    "nested: a layer that refuses",
}  # fmt: skip


# What fits


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of a softmax without a dimension for one
@pytest.mark.parametrize(("make", "x"), [row[1:] for row in FITTING], ids=[row[0] for row in FITTING])
def test_a_layer_that_fits_is_left_alone(make: Callable[[], nn.Module], x: Tensor) -> None:
    for training in (True, False):
        net = Sequential(make()).train(training)
        graph = net.check(x).graph
        assert described(graph.values[graph.results[0]].spec) == described(net(x))


def described(value: Any) -> Any:
    """The shapes and types in a value."""
    if isinstance(value, tuple):
        return tuple(described(each) for each in value)
    return tuple(value.shape), str(value.dtype).removeprefix("torch.")


def test_layers_of_several_inputs_that_fit() -> None:
    attention = nn.MultiheadAttention(16, 4, kdim=12, vdim=6, batch_first=True)
    net = Sequential(
        call(attention, here, "k", "v", key_padding_mask="mask"), pick[0], save("a"), call(nn.Bilinear(16, 16, 3), here, "a"),
        inputs=("x", "k", "v", "mask"),
    )  # fmt: skip
    x, k, v = (torch.rand(2, *shape) for shape in ((5, 16), (9, 12), (9, 6)))
    given = x, k, v, torch.zeros(2, 9, dtype=torch.bool)
    assert net.check(*given)["1"] == tuple(net(*given).shape) == (2, 5, 3)
    recurrent = Sequential(nn.LSTM(8, 4), save("out", "state"), pick[0], call(nn.LSTM(4, 4), here, "state"), pick[1], pick[0])
    assert recurrent.check((5, 2, 8))["pick_2"] == tuple(recurrent(torch.rand(5, 2, 8)).shape)


def test_under_autocast_a_value_of_half_precision_fits() -> None:
    net = Sequential(nn.Linear(8, 8), save("a"), nn.LayerNorm(8), nn.Linear(8, 8), add("a"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        graph = net.check((2, 8)).graph
        assert described(graph.values[graph.results[0]].spec) == described(net(torch.rand(2, 8)))


# More


def test_faults_of_the_wiring_are_told_together_when_it_is_built() -> None:
    with pytest.raises(WiringError) as caught:
        Sequential(nn.Linear(4, 8), save("enc1"), nn.Linear(8, 8), save("enc1"), add("enc1", "enc2"))
    assert str(caught.value) == (
        "2 faults in Sequential\n"
        "  net[3] save('enc1') saves 'enc1' again; it is already saved at net[1].\n"
        "    Rename one of them.\n"
        "  net[4] add('enc1', 'enc2') does not say where the running value goes.\n"
        "    Write add(here, 'enc1', 'enc2'), or take(add('enc1', 'enc2')) to leave it out."
    )


def test_a_batch_of_unknown_size_is_told_by_its_name() -> None:
    name = "channels: a linear layer after a concatenation"
    with pytest.raises(ShapeError) as caught:
        ROWS[name].build().check(("N", 30))
    assert str(caught.value) == str(told(name)).replace("(4, ", "(N, ")


def test_the_error_of_a_layer_of_ones_own_is_the_cause() -> None:
    fault = told("nested: a layer that refuses")
    assert isinstance(fault.__cause__, ValueError)
    assert str(fault.__cause__) == "four features are wanted, not 8"


def test_a_device_that_is_not_there() -> None:
    """A check needs no device: of an input on another one, it tells where that is."""
    with FakeTensorMode():
        x = torch.empty(2, 8, device="cuda")
    with pytest.raises(DeviceError) as caught:
        Sequential(nn.Linear(8, 4), nn.ReLU()).check(x)
    assert str(caught.value) == (
        "net[0] nn.Linear(8, 4) cannot take its input\n"
        "  its weight is on cpu, and it receives a value on cuda:0\n"
        "  'input' is (2, 8) on cuda:0, the input\n"
        "  Write net.to('cuda:0') and give it inputs on cuda:0; all of a network is on one device."
    )
