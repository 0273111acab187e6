"""What does not fit is explained: in a check and in a call by the same text, and whatever it advises works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential
from skipseq.errors import ShapeError, ValueFault

from .advice import Broken, ways_out
from .helpers import everything_called
from .misfits import MISFITS, Misfit

ROWS = {f"{group}: {name}": row for group, rows in MISFITS.items() for name, row in rows.items()}
each_row = pytest.mark.parametrize("name", ROWS)


def given(row: Misfit) -> Any:
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


def told(row: Misfit) -> ValueFault:
    """What a check says about a network that does not fit."""
    fault = fault_of(lambda: row.build().check(given(row)))
    assert fault is not None
    return fault


# The texts


@pytest.mark.parametrize("group", MISFITS)
def test_the_texts(group: str, golden: Callable[[str, str], None]) -> None:
    parts = [f"{name}\n{'-' * len(name)}\n{told(row)}\n" for name, row in MISFITS[group].items()]
    golden(f"misfits/{group}.txt", "\n".join(parts))


@each_row
def test_a_check_and_a_call_tell_the_same(name: str) -> None:
    row = ROWS[name]
    text = str(told(row))
    if not callable(row.given):
        assert str(fault_of(lambda: row.build().check(row.given))) == text
    for parts_called in (False, True):
        net = row.build()
        with pytest.raises(Exception) as caught:  # noqa: PT012
            if parts_called:
                with everything_called(net):
                    called(net, given(row))
            else:
                called(net, given(row))
        if row.own:
            assert not isinstance(caught.value, ValueFault)
            assert caught.value.__notes__ == [f"at {text.splitlines()[0].partition(' cannot')[0].replace(' ', ', in ', 1)}"]
        else:
            assert str(caught.value) == text


@each_row
def test_a_text_has_its_four_parts(name: str) -> None:
    fault = told(ROWS[name])
    for each in (fault, *fault.others):
        assert each.place, "where"
        assert " cannot " in each.problem, "what was being built"
        assert each.met, "what was received"
        assert all(met.origin is not None for met in each.met), "from where"
        assert each.advice, "what to write instead"
        text = each.told()
        for word in ("Fake", "Lazy", "0x", "built-in", "meta" if "meta" not in repr(each.met) else "Fake"):
            assert word not in text or word == "meta"


# The advice


@each_row
def test_every_way_out_works(name: str) -> None:
    """Applied to the letter, the fault is gone: in a check, and with numbers."""
    row = ROWS[name]
    fault = told(row)
    torch.manual_seed(0)
    for line, way in ways_out(fault):
        broken = Broken(row.build(), given(row))
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
    broken, steps = Broken(row.build(), given(row)), 0
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
    report = broken.net.check(broken.given)
    assert shape_of(result) == tuple_of(report.graph.values[report.graph.results[0]].spec)


def shape_of(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else tuple(shape_of(each) for each in value)


def tuple_of(spec: Any) -> Any:
    return tuple(tuple_of(each) for each in spec) if isinstance(spec, tuple) else spec.shape


#: Where the user has to know what was meant.
WITHOUT: set[str] = set()


# More


def test_a_batch_of_unknown_size_is_told_by_its_name() -> None:
    row = MISFITS["channels"]["a linear layer after a concatenation"]
    with pytest.raises(ShapeError) as caught:
        row.build().check(("N", 30))
    assert str(caught.value) == str(told(row)).replace("(4, ", "(N, ")


def test_the_error_of_a_layer_of_ones_own_is_the_cause() -> None:
    fault = told(MISFITS["nested"]["a layer that refuses"])
    assert isinstance(fault.__cause__, ValueError)
    assert str(fault.__cause__) == "four features are wanted, not 8"


def test_devices_that_are_not_there() -> None:
    """A check needs no device: a layer that was left on the CPU is told beside those that were moved."""
    with torch._subclasses.fake_tensor.FakeTensorMode():
        net = Sequential(nn.Linear(8, 8, device="cuda"), nn.ReLU(), nn.Linear(8, 4))
        x = torch.zeros(2, 8, device="cuda")
    with pytest.raises(ValueFault) as caught:
        net.check(x)
    assert str(caught.value) == ""
