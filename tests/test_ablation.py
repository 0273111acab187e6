"""What each skip is worth: the loss without it, by hand and by ``net.ablation``, and nothing left behind."""

from __future__ import annotations

import csv
import io
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from skipseq import Sequential, add, call, cat, mul, save, take, via
from skipseq.errors import CallError, WiringError
from skipseq.views.ablation.ablation import Ablation
from skipseq.views.ablation.rows import Removed, Told, number_format

Batch = tuple[Tensor, Tensor]


def loss(net: Any, batch: Batch) -> Tensor:
    x, y = batch
    return functional.mse_loss(net(x), y)


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def unet(*between: nn.Module) -> Sequential:
    torch.manual_seed(3)
    return Sequential(
        ("down", Sequential(conv(3, 4), save("x1"), nn.MaxPool2d(2), *between, conv(4, 6), save("x2"), nn.MaxPool2d(2))),
        ("bottom", conv(6, 6)),
        ("up", Sequential(nn.Upsample(scale_factor=2), cat("x2"), conv(12, 4), nn.Upsample(scale_factor=2), cat("x1"))),
        ("head", conv(8, 2)),
        add(via("input", nn.Conv2d(3, 2, 1))),
    )


def batches(count: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(2, 3, 8, 8, generator=generator), torch.randn(2, 2, 8, 8, generator=generator)) for _ in range(count)]


# The numbers


@pytest.mark.parametrize("by", ["zero", "mean", "remove"])
def test_the_rows_are_what_ablating_by_hand_gives(by: str) -> None:
    net = unet().eval()
    given = batches()
    ablation = net.ablation(loss, given, by=by)
    with torch.no_grad():
        baseline = sum(loss(net, batch).item() for batch in given) / 3
        assert ablation.baseline == pytest.approx(baseline)
        assert len(ablation.rows) == len(net.skips) == 3
        losses = {skip: value for skip, value, _ in ablation.rows}
        for skip in net.skips:
            if by == "remove" and skip.operator == "cat":
                assert losses[str(skip)] is None
                continue
            ablated = net.ablate(skip.giver, skip.reader, by=by)
            alone = sum(loss(ablated, batch).item() for batch in given) / 3
            assert losses[str(skip)] == pytest.approx(alone)
    assert all(change == pytest.approx(value - baseline) for _, value, change in ablation.rows if value is not None and change)


def test_the_skip_that_carries_everything_stands_first() -> None:
    """What comes through the layers is noise of known size, and the answer comes through one of two skips."""
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    net = Sequential(
        ("same", nn.Identity()), save("answer"), ("layer", layer), add("answer"), ("last", nn.Identity()), add("layer")
    ).eval()
    x = torch.ones(2, 4)
    ablation = net.ablation(lambda net, x: (net(x) - x).square().mean(), [x, 3 * x])
    assert ablation.baseline == 0.0
    assert ablation.rows == (("same -> last  add", 5.0, 5.0), ("layer -> output  add", 0.0, 0.0))


def test_batches_count_equally_whatever_their_sizes() -> None:
    net = Sequential(nn.Identity(), add("input")).eval()
    ablation = net.ablation(lambda net, x: net(x).mean(), [torch.ones(9, 1), 4 * torch.ones(1, 1)])
    assert (ablation.baseline, ablation.rows) == (5.0, (("input -> output  add", 2.5, -2.5),))


def test_a_loss_may_be_any_number() -> None:
    net = Sequential(nn.Identity(), add("input")).eval()
    for number in (float, lambda value: value, lambda value: np.float32(value.item()), lambda value: value.item()):
        ablation = net.ablation(lambda net, x, number=number: number(net(x).sum()), [torch.ones(1)])
        assert (ablation.baseline, ablation.rows[0][1:]) == (2.0, (1.0, -1.0))


def test_losses_that_are_no_numbers_stand_first() -> None:
    net = Sequential(nn.Identity(), save("a"), nn.Identity(), ("one", add("a")), nn.Identity(), ("two", add("input"))).eval()

    def inverse(net: Any, x: Tensor) -> Tensor:
        return (net(x) - 2.0).sum().reciprocal()

    rows = net.ablation(inverse, [torch.ones(1)]).rows
    assert rows[0][2] == float("inf")
    assert "inf" in str(net.ablation(inverse, [torch.ones(1)]))


def test_every_row_sees_the_same_random_numbers() -> None:
    """With dropout, a skip that is a zero anyway makes no difference at all; and a data set that draws draws the same."""
    zero = nn.Linear(4, 4)
    nn.init.zeros_(zero.weight)
    nn.init.zeros_(zero.bias)
    net = Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4), add(via("input", zero)))

    def noisy(net: Any, x: Tensor) -> Any:
        return net(x + torch.randn(4) + random.random() + float(np.random.rand())).square().mean()

    ablation = net.ablation(noisy, [torch.ones(8, 4)])
    assert ablation.rows[0][2] == 0.0
    shuffled = DataLoader(TensorDataset(torch.arange(12.0)[:, None]), batch_size=5, shuffle=True)
    drawn: list[list[float]] = []
    plain = Sequential(nn.Identity(), add("input"))

    def look(net: Any, batch: list[Tensor]) -> Tensor:
        drawn.append(batch[0].flatten().tolist())
        return net(batch[0]).mean()  # type: ignore[no-any-return]

    plain.ablation(look, shuffled)
    assert drawn[:3] == drawn[3:]
    own = torch.Generator().manual_seed(5)
    state = own.get_state()
    drawn.clear()
    plain.ablation(look, DataLoader(shuffled.dataset, batch_size=5, shuffle=True, generator=own))
    assert drawn[:3] == drawn[3:]
    assert torch.equal(own.get_state(), state)


def test_everything_is_as_before() -> None:
    """In training mode the statistics of a norm move, and a loss may change modes: both are put back after each row."""
    net = unet(nn.BatchNorm2d(4), nn.Dropout(0.1)).train()
    net.head.eval()
    given = batches()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modules, modes = list(net.modules()), [module.training for module in net.modules()]
    tensors = [id(each) for each in net.state_dict(keep_vars=True).values()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()

    def careless(net: Any, batch: Batch) -> Tensor:
        value = loss(net, batch)
        assert not value.requires_grad
        net.eval()
        random.random()
        np.random.rand()
        return value

    first = net.ablation(careless, given)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [id(each) for each in net.state_dict(keep_vars=True).values()] == tensors
    assert all(one is other for one, other in zip(net.modules(), modules, strict=True))
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert torch.is_grad_enabled()
    assert all(each.grad is None for each in net.parameters())
    assert net.ablation(careless, given).rows == first.rows
    net.train()
    assert "in training mode" in str(net.ablation(loss, given))
    assert "in eval mode" in str(net.eval().ablation(loss, given))


def test_a_loss_that_fails_with_all_skips_stops_and_leaves_nothing_behind() -> None:
    net = unet(nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}

    def failing(net: Any, batch: Batch) -> Tensor:
        loss(net, batch)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        net.ablation(failing, batches())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


# What cannot run


def test_a_network_that_cannot_run_without_a_skip_says_so_in_its_row() -> None:
    net = unet().eval()
    ablation = net.ablation(loss, batches(), by="remove")
    assert [row[1] is None for row in ablation.rows] == [False, True, True]
    reasons = {row[0]: ablation.problems[row[0]] for row in ablation.rows[1:]}
    assert all("cannot take its input" in reason and "\n" not in reason for reason in reasons.values())
    assert str(ablation).count("cannot run: net") == 2


def test_calls_and_takes_are_skips_too() -> None:
    net = Sequential(nn.Linear(4, 4), save("a"), nn.ReLU(), call(torch.maximum, "a"), take("a"), nn.Linear(4, 2)).eval()
    x = torch.randn(3, 4)
    zero = {row[0].split()[-1]: row[1] for row in net.ablation(lambda net, x: net(x).mean(), [x]).rows}
    assert set(zero) == {"call", "take"}
    with torch.no_grad():
        assert zero["take"] == pytest.approx(net[-1](torch.zeros(3, 4)).mean().item())
    removed = net.ablation(lambda net, x: net(x).mean(), [x], by="remove")
    assert set(removed.problems) == {row[0] for row in removed.rows if row[1] is None}


def test_outputs_are_no_skips() -> None:
    net = Sequential(("h", nn.Linear(4, 4)), nn.ReLU(), add("input"), outputs=("h", "add_0")).eval()
    rows = net.ablation(lambda net, x: net(x)[1].mean(), [torch.ones(1, 4)]).rows
    assert [row[0] for row in rows] == ["input -> output  add"]


def test_one_word_that_reads_a_value_twice_is_one_row() -> None:
    net = Sequential(nn.Linear(4, 4), save("a"), nn.ReLU(), add(via("a", nn.Linear(4, 4))), cat(via("a", nn.Tanh()))).eval()
    assert len(net.ablation(lambda net, x: net(x).mean(), [torch.ones(1, 4)]).rows) == 2


def test_two_words_before_one_layer_are_taken_out_one_at_a_time() -> None:
    net = Sequential(("a", nn.Identity()), ("b", nn.ReLU()), add("a"), mul("a"), ("last", nn.Identity())).eval()
    rows = net.ablation(lambda net, x: net(x).sum(), [3.0 * torch.ones(1)]).rows
    assert rows == (("a -> last  add", 9.0, -9.0), ("a -> last  mul", 0.0, -18.0))


def test_memory_that_is_out_stops() -> None:
    net = Sequential(nn.Identity(), add("input")).eval()
    calls: list[int] = []

    def out(net: Any, x: Tensor) -> float:
        calls.append(1)
        if len(calls) > 1:
            raise torch.OutOfMemoryError("full")
        return 1.0

    with pytest.raises(torch.OutOfMemoryError):
        net.ablation(out, [torch.ones(1)])


# What is refused


@pytest.mark.parametrize(
    "make", [iter, lambda given: (each for each in given), lambda given: zip(given, strict=False), lambda _: 3]
)
def test_what_can_be_walked_only_once_is_refused(make: Any) -> None:
    net = unet()
    with pytest.raises(
        CallError, match=r"cannot be walked once for each skip\.\n  Give a list, list\(batches\), or a DataLoader\."
    ):
        net.ablation(loss, make(batches()))


def test_what_else_is_refused() -> None:
    net = Sequential(nn.Identity(), add("input")).eval()
    x = torch.ones(2, 3)
    for call_it, text in (
        (lambda: net.ablation(3, [x]), "the loss is 3, and no function"),  # type: ignore[arg-type]
        (lambda: net.ablation(lambda net, x: net(x).sum(), []), "there are no batches"),
        (
            lambda: net.ablation(lambda net, x: net(x), [x]),
            r"gave a tensor of shape \(2, 3\), and not one number\.\n  Take its mean",
        ),
        (lambda: net.ablation(lambda net, x: None, [x]), "gave None, and not one number"),
        (lambda: net.ablation(lambda net, x: "1.0", [x]), r"gave '1\.0', and not one number"),
    ):
        with pytest.raises(CallError, match=f"ablation: .*{text}"):
            call_it()
    with pytest.raises(WiringError, match="by='zeroes' is not known"):
        net.ablation(lambda net, x: net(x).sum(), [x], by="zeroes")


# The table


def told(by: str = "zero", mode: str = "eval") -> Told:
    return Told("Sequential", by, 8, mode)


#: Losses that rise, fall, cannot be known and are no numbers.
ROWS = (
    Removed("encoder.0", "decoder.2", "cat", 0.5678, 0.4444),
    Removed("input", "output", "add", 0.0734, -0.05),
    Removed("encoder.4", "decoder.1", "cat  via nn.Conv2d(4, 4, 1)", 0.2034, 0.08),
    Removed("x1", "head.0", "mul", problem="net[5] nn.Conv2d(8, 3, 3) cannot take its input"),
    Removed("encoder.2", "decoder.5", "cat(dim=-1)", 0.13, 0.0066),
    Removed("t", "bottom", "call", float("nan"), float("nan")),
)


def test_the_table(golden: Callable[[str, str], None]) -> None:
    golden("ablation.txt", str(Ablation(told(), 0.1234, ROWS)) + "\n")


def test_the_bars_of_the_table_are_as_long_as_the_changes() -> None:
    lines = str(Ablation(told(), 0.1234, ROWS)).splitlines()
    widths = {}
    for line in lines:
        if "│" in line:
            left, _, right = line.partition("│")
            widths[line.split()[0]] = (
                sum("▏▎▍▌▋▊▉█".index(each) + 1 for each in right) - 8 * left.count("█") - 4 * left.count("▐")
            )
    longest = widths["encoder.0"]
    for row in ROWS:
        if row.change is not None and row.change == row.change:
            assert widths[row.giver] == pytest.approx(row.change / 0.4444 * longest, abs=4)
    assert sum(abs(widths[each]) for each in ("encoder.0", "input")) == pytest.approx(8 * 32, abs=4)


def test_a_network_without_skips() -> None:
    net = Sequential(nn.Linear(2, 2)).eval()
    ablation = net.ablation(lambda net, x: net(x).sum() * 0.0, [torch.ones(1, 2)])
    assert ablation.rows == ()
    assert str(ablation).splitlines()[0] == "Ablation of Sequential: no skips"
    assert "no skips" in ablation.svg


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.12345678,), "0.1235"),
        ((12.3456,), "12.346"),
        ((123456.0,), "123456"),
        ((0.5, 0.00123), "0.50000"),
        ((50.0, 1e-9), "50.000000"),
        ((1.5e-5, 0.0), "1.500e-05"),
        ((3e9,), "3.000e+09"),
        ((float("nan"), None, 0.0), "nan"),
    ],
)
def test_numbers_are_written_with_as_many_digits_as_they_need(values: tuple[float, ...], text: str) -> None:
    assert format(values[0], number_format(values)) == text


# The chart


def elements(ablation: Ablation) -> ElementTree.Element:
    return ElementTree.fromstring(ablation.svg)


SVG = "{http://www.w3.org/2000/svg}"


def test_the_bars_of_the_chart_are_as_long_as_the_changes() -> None:
    chart = elements(Ablation(told(), 0.1234, ROWS))
    line = next(each for each in chart.iter(f"{SVG}path") if each.get("class") == "baseline")
    zero = float(re.match(r"M([\d.]+)", line.get("d", ""))[1])  # type: ignore[index]
    found = {}
    for group in chart.iter(f"{SVG}g"):
        for bar in group.iter(f"{SVG}rect"):
            x, width = float(bar.get("x", "")), float(bar.get("width", ""))
            assert x == pytest.approx(zero, abs=0.06) or x + width == pytest.approx(zero, abs=0.06)
            found[group.get("data-skip")] = width if x > zero - 0.06 else -width
    known = {row.skip: row.change for row in ROWS if row.change is not None and row.change == row.change}
    assert set(found) == set(known)
    scale = found["encoder.0 -> decoder.2  cat"] / 0.4444
    assert scale > 0
    assert all(width == pytest.approx(known[skip] * scale, abs=0.02) for skip, width in found.items())
    order = [group.get("data-skip") for group in chart.iter(f"{SVG}g")]
    assert order == [row[0] for row in Ablation(told(), 0.1234, ROWS).rows]


def test_the_chart_says_what_it_shows() -> None:
    chart = elements(Ablation(told(), 0.1234, ROWS))
    texts = ["".join(each.itertext()) for each in chart.iter(f"{SVG}text")]
    for expected in (
        "What each skip of Sequential is worth: the loss without it",
        "each skip in turn carries zeros (by='zero'), the mean of 8 batches, the network in eval mode",
        *("loss with all skips: 0.1234", "worse without it →", "← better without it", "change of the loss"),
        *("0", "+0.1", "+0.4444", "-0.0500", "the loss is nan", "encoder.0 → decoder.2  cat"),
        "cannot run: net[5] nn.Conv2d(8, 3, 3) cannot take its input",
    ):
        assert expected in texts, expected
    better = ["".join(each.itertext()) for each in elements(Ablation(told(), 1.0, ROWS[:1])).iter(f"{SVG}text")]
    assert "← better without it" not in better


def test_everything_in_the_chart_is_inside_it() -> None:
    """Also with one-sided changes and long names, which are cut at their beginnings."""
    long = Removed("a_very.long.path.of.some.layer.conv1", "another.very.long.path.of.the.decoder", "cat", 1.0, -1.0)
    for rows in (ROWS, (long,), (long, ROWS[0]), ROWS[:1], ROWS[3:4], ()):
        chart = elements(Ablation(told(), 2.0, rows))
        width, height = float(chart.get("width", "")), float(chart.get("height", ""))
        for text in chart.iter(f"{SVG}text"):
            words = "".join(text.itertext())
            x, size, anchor = float(text.get("x", "")), float(text.get("font-size", "")), text.get("text-anchor", "start")
            wide = len(words) * size * 0.5
            start = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
            assert start >= 0, words
            assert start + wide <= width, words
            assert 0 < float(text.get("y", "")) < height
    assert re.search(r">…[\w.]+layer\.conv1 → …[\w.]+decoder<", Ablation(told(), 2.0, (long,)).svg)


def test_names_are_escaped() -> None:
    row = Removed("a<b", 'c"d&', "call", 1.0, 1.0)
    groups = [each.get("data-skip") for each in elements(Ablation(told(), 0.0, [row])).iter(f"{SVG}g")]
    assert groups == ['a<b -> c"d&  call']


# Files


def test_files(tmp_path: Path) -> None:
    ablation = Ablation(told(), 0.1234, ROWS)
    ablation.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == ablation.svg == ablation._repr_svg_()
    ablation.save(str(tmp_path / "a.PNG"))
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    assert len(ablation.png(scale=4)) > len(ablation.png(scale=1))
    ablation.save(tmp_path / "a.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert rows[0] == {"giver": "", "reader": "", "word": "", "loss": "0.1234", "change": "0.0", "problem": ""}
    assert [row["giver"] for row in rows[1:]] == ["t", "encoder.0", "encoder.4", "encoder.2", "input", "x1"]
    by_giver = {row["giver"]: row for row in rows}
    assert float(by_giver["encoder.0"]["loss"]) == 0.5678
    assert by_giver["encoder.4"]["word"] == "cat  via nn.Conv2d(4, 4, 1)"
    assert (by_giver["x1"]["loss"], by_giver["x1"]["problem"]) == ("", ROWS[3].problem)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PNG", "a.csv", "a.svg"]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has to be one of \.svg, \.png, \.csv; it is '\.pdf'\.\n  Write ablation\.save\('.*a\.svg'\)"
    ):
        Ablation(told(), 0.0, ()).save(tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


# The progress


class Terminal(io.StringIO):
    """What looks like a terminal."""

    def isatty(self) -> bool:
        return True


class Walked:
    """Batches that can be walked many times and have no length."""

    def __iter__(self) -> Iterator[Tensor]:
        yield from (torch.ones(2), torch.ones(2))


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_is_shown_in_terminals(monkeypatch: pytest.MonkeyPatch, progress: bool, terminal: bool) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    net = Sequential(nn.Identity(), add("input")).eval()
    net.ablation(lambda net, x: net(x).sum(), Walked(), progress=progress)
    assert ("ablation" in sys.stderr.getvalue()) == (progress and terminal)  # type: ignore[attr-defined]


def test_the_progress_goes_to_the_end_also_where_a_row_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []
    tqdm = pytest.importorskip("tqdm")

    class Kept(tqdm.tqdm):  # type: ignore[misc]
        def close(self) -> None:
            bars.append((self.n, self.total))
            super().close()

    monkeypatch.setattr(tqdm, "tqdm", Kept)
    monkeypatch.setattr(sys, "stderr", Terminal())
    unet().eval().ablation(loss, batches(), by="remove")
    assert bars[0] == (12, 12)


def test_without_tqdm_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    Sequential(nn.Identity(), add("input")).eval().ablation(lambda net, x: net(x).sum(), [torch.ones(1)])
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
