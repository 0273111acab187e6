"""The summary: its texts, and that they are true: lanes are read back from the printed characters into edges."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skipseq import Sequential, add, cat, save, take
from skipseq.check.graph import Graph
from skipseq.errors import CallError, ShapeError
from skipseq.views import terminal
from skipseq.views.table.summary import Summary

from .random_networks import WIDTH, Network, unambiguous
from .test_rule_06_memory import peak as measured_peak
from .view_networks import NETWORKS, conv, flat_unet, nested_unet, resnet, transformer, two_inputs_two_outputs

# ------------------------------------------------------------------------------------------------------- golden texts


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_texts(name: str, golden: Callable[[str, str], None]) -> None:
    net, inputs = NETWORKS[name]()
    golden(f"summary/{name}.txt", f"{net.summary(*inputs)}\n")


def test_golden_texts_of_other_ways_to_show_it(golden: Callable[[str, str], None]) -> None:
    net, inputs = nested_unet()
    golden("summary/nested_unet_without_shapes.txt", f"{net.summary()}\n")
    golden("summary/nested_unet_narrow.txt", f"{net.summary(*inputs).text(width=80)}\n")
    golden("summary/nested_unet_color.txt", f"{net.summary(*inputs).text(color=True)}\n")


# ------------------------------------------------------------------------------------------- lanes, read back into edges

#: The arms of each character. It is what a reader sees, written down without a look at how they are drawn.
ARMS = {
    "│": "ud", "─": "lr", "┤": "udl", "├": "udr", "┼": "udlr", "╯": "ul", "╰": "ur", "┴": "ulr",
    "╮": "dl", "╭": "dr", "┬": "dlr", " ": "",
}  # fmt: skip
ARMS_IN_ASCII = {"|": "ud", "-": "lr", "+": "udlr", "'": "ulr", ".": "dlr", " ": ""}

#: Who gives a value: ``("input", 0)`` or ``("node", 3)``; who reads it, a position; and whether along the running line.
Read = tuple[tuple[str, int], int, bool]


def lanes_in(text: str) -> list[str]:
    """The lanes of each row of a printed summary: what stands left of the names, of which the last is ``output``."""
    lines = text.split("\n")
    table = lines[3 : lines.index("", 3)]
    end = next(i for i in reversed(range(len(table))) if "  output" in table[i])
    width = table[end].index("  output")
    return [line[:width].ljust(width) for line in table[: end + 1]]


class Reader:
    """Follows the lines of a drawing from top to bottom. It knows the characters, and nothing else."""

    def __init__(self, arms: dict[str, str], node: str, end: str) -> None:
        self.arms, self.node, self.end = arms, node, end
        self.found: list[Read] = []
        #: What comes down in each column, and whether the first one was started anew.
        self.lanes: dict[int, tuple[str, int]] = {}
        self.taken = False
        self.count = {"input": 0, "node": 0}

    def read(self, rows: list[str]) -> Counter[Read]:
        for i, row in enumerate(rows):
            self.row(row, last=i == len(rows) - 1)
        return Counter(self.found)

    def row(self, row: str, last: bool) -> None:
        symbols = [k for k, character in enumerate(row) if character in (self.node, self.end)]
        assert len(symbols) <= 1, row
        below = {k: self.lanes[k] for k in range(len(row)) if {"u", "d"} <= set(self.arms.get(row[k], ""))}
        if symbols:
            self.operation(row, symbols[0], last, below)
        elif row[0] != " ":
            self.branch(row, below)
        self.lanes = below

    def operation(self, row: str, at: int, last: bool, below: dict[int, tuple[str, int]]) -> None:
        kind = "node" if row[at] == self.node or last else "input"
        own = (kind, self.count[kind])
        self.count[kind] += 1
        if at in self.lanes:
            self.found.append((self.lanes[at], own[1], at == 0 and not self.taken))
        for k in self.connected(row, at):
            if "u" in self.arms[row[k]]:
                self.found.append((self.lanes[k], own[1], False))
            else:
                below[k] = own
        below[at] = own
        self.taken = self.taken and at != 0

    def branch(self, row: str, below: dict[int, tuple[str, int]]) -> None:
        """A row without an operation: the running line starts anew from another lane."""
        [source] = [k for k in self.connected(row, 0) if "u" in self.arms[row[k]]]
        below[0] = self.lanes[source]
        self.taken = True

    def connected(self, row: str, at: int) -> list[int]:
        """The columns to which horizontal lines lead; a vertical line in between interrupts them."""
        found = []
        for step, onwards, back in ((1, "r", "l"), (-1, "l", "r")):
            k = at + step
            while 0 <= k < len(row) and row[k] != " ":
                arms = self.arms[row[k]]
                if arms not in ("ud", "lr"):
                    assert back in arms, row
                    found.append(k)
                if arms != "ud" and onwards not in arms:
                    break
                k += step
        return found


def edges_of(graph: Graph) -> Counter[Read]:
    """What the lanes must say."""
    giver = {value: ("input", k) for k, value in enumerate(graph.inputs)}
    return Counter((giver.get(edge.value, ("node", edge.giver)), edge.reader, edge.main) for edge in graph.edges)


def assert_lanes_are_true(net: Sequential, plain: bool = False) -> None:
    graph = net._graph(..., (), {})
    text = str(net.summary())
    reader = Reader(ARMS_IN_ASCII, "*", "o") if plain else Reader(ARMS, "●", "○")
    assert reader.read(lanes_in(text)) == edges_of(graph), text


@given(unambiguous())
@settings(max_examples=200)
def test_lanes_of_random_networks_are_their_edges(network: Network) -> None:
    assert_lanes_are_true(network.net)


@given(unambiguous())
@settings(max_examples=60)
def test_lanes_in_ascii_are_the_edges_too(network: Network) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "encoding", lambda: "ascii")
        assert_lanes_are_true(network.net, plain=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_lanes_of_known_networks_are_their_edges(name: str) -> None:
    assert_lanes_are_true(NETWORKS[name]()[0])


def test_the_reader_of_lanes_notices_a_wrong_drawing() -> None:
    """The comparison itself can fail: each change of one character reads as other edges, or as none at all."""
    net, _ = NETWORKS["unet_plus_plus"]()
    expected, rows = edges_of(net._graph(..., (), {})), lanes_in(str(net.summary()))
    for old, new in (("┤", "│"), ("┤", "╯"), ("╯", "│"), ("│─╯", "┼─╯"), ("─│─╮", "─┬─╮"), ("┴", "─")):
        i = next(i for i, row in enumerate(rows) if old in row)
        changed = [*rows[:i], rows[i].replace(old, new, 1), *rows[i + 1 :]]
        try:
            found = Reader(ARMS, "●", "○").read(changed)
        except (KeyError, ValueError):
            continue
        assert found != expected, (old, new)


def test_nested_skips_do_not_cross() -> None:
    """The inner ones stand inside: no line is interrupted."""
    for build in (flat_unet, nested_unet):
        assert not any("─│" in row for row in lanes_in(str(build()[0].summary())))


def test_a_lane_is_given_to_another_skip_when_it_is_free() -> None:
    """Residual blocks one behind the other need two lanes, however many they are."""
    for net in (transformer(6)[0], resnet()[0]):
        assert max(len(row) for row in lanes_in(str(net.summary()))) == len("● │ │")


def test_what_stands_in_a_projected_shortcut_is_no_skip() -> None:
    assert str(resnet()[0].summary()).startswith("Sequential: 40 operations, 8 skips\n")


def test_nothing_begins_right_below_an_operation_that_leads_nowhere() -> None:
    """It would read as its continuation: ``y`` is never read, so ``z`` stands in another column."""
    net = Sequential(nn.Linear(4, 4), add("z"), inputs=("x", "y", "z"))
    assert_lanes_are_true(net)
    assert [row.index("○") for row in lanes_in(str(net.summary()))[:3]] == [0, 2, 4]


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("name", NETWORKS)
def test_columns_add_up(name: str) -> None:
    net, inputs = NETWORKS[name]()
    summary = net.summary(*inputs)
    assert sum(row.parameters for row in summary.rows) == summary.graph.parameters == sum(p.numel() for p in net.parameters())
    assert sum(row.multiply_adds or 0 for row in summary.rows) == summary.multiply_adds
    peak = summary.graph.peak()
    assert peak is not None
    assert sum(held.bytes for held in summary.held_at_peak) == peak[1]
    assert f"({summary.multiply_adds:,})" in str(summary)


def test_the_printed_column_adds_up() -> None:
    """With counts below a thousand, which are not rounded, the text itself can be added."""
    net = Sequential(nn.Linear(4, 8), save("a"), nn.Linear(8, 8), add("a"), nn.Linear(8, 2))
    lines = str(net.summary()).split("\n")
    head = next(i for i, line in enumerate(lines) if "params" in line)
    at = lines[head].index("params")
    column = [
        int(number) for line in lines[head + 1 : lines.index("", head)] if (number := line[at : at + 6].strip()).isdigit()
    ]
    assert column == [40, 72, 18]
    assert "parameters  130, all trainable" in lines


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(8, 8)
    net = Sequential(("first", layer), save("a"), ("second", layer), add("a"))
    rows = {row.path: row for row in net.summary((2, 8)).rows}
    assert rows["first"].parameters == 72
    assert rows["second"].parameters == 0
    assert rows["second"].shared == "first"
    assert "the same as first: nn.Linear(8, 8)" in str(net.summary())


def test_frozen_parameters_are_told() -> None:
    net = Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[0].requires_grad_(False)
    assert "parameters  40, 20 trainable" in str(net.summary())


def test_multiply_adds_by_hand() -> None:
    """Of a convolution: outputs times the inputs of each; of a linear layer: its weights, for each row."""
    net = Sequential(("conv", nn.Conv2d(3, 8, 3, 2, 1)), ("flat", nn.Flatten()), ("linear", nn.Linear(8 * 16 * 16, 10)))
    rows = {row.path: row for row in net.summary((5, 3, 32, 32)).rows}
    assert rows["conv"].multiply_adds == 5 * (8 * 16 * 16) * (3 * 3 * 3)
    assert rows["linear"].multiply_adds == 5 * (8 * 16 * 16) * 10
    each = {row.path: row for row in net.summary(("N", 3, 32, 32)).rows}
    assert 5 * (each["conv"].multiply_adds or 0) == rows["conv"].multiply_adds
    assert 5 * (each["linear"].multiply_adds or 0) == rows["linear"].multiply_adds


def test_bytes_by_hand() -> None:
    net = Sequential(
        ("conv", conv(3, 8)), save("x"), ("flat", nn.Flatten()), nn.Linear(512, 512), nn.Unflatten(1, (8, 8, 8)), cat("x")
    )
    rows = {row.path: row for row in net.summary((2, 3, 8, 8)).rows}
    assert rows["conv"].bytes == 2 * 8 * 8 * 8 * 4
    assert rows["conv"].lives == 4
    assert rows["flat"].bytes == rows["conv"].bytes
    assert rows["flat"].view
    assert not rows["conv"].view
    assert rows["cat_0"].shapes == ((2, 16, 8, 8),)


@pytest.mark.parametrize("name", ["flat_unet", "unet_plus_plus", "dense_block", "grid_net"])
def test_the_peak_is_the_measured_one(name: str) -> None:
    """Joins, pooling and convolutions of these sizes need nothing inside themselves, so that the values are all there is."""
    net, [shape] = NETWORKS[name]()
    peak = net.summary(shape).graph.peak()
    assert peak is not None
    assert peak[1] == measured_peak(net, net, torch.randn(shape))


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.data())
@settings(max_examples=40)
def test_the_peak_of_random_widths_is_the_measured_one(widths: list[int], data: st.DataObject) -> None:
    entries: list[Any] = []
    for k, (before, after) in enumerate(zip([WIDTH, *widths], widths, strict=False)):
        entries += [nn.Linear(before, after), save(f"x{k}")]
    for k in data.draw(st.permutations(range(len(widths)))):
        entries += [nn.LazyLinear(widths[k]), add(f"x{k}")]
    net = Sequential(*entries)
    net.check((3, WIDTH), materialise=True)
    peak = net.summary((3, WIDTH)).graph.peak()
    assert peak is not None
    assert peak[1] == measured_peak(net, net, torch.randn(3, WIDTH))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (2**20 - 1, "1.0 MiB"), (2**60, "1024.0 PiB")],
)
def test_sizes_have_binary_prefixes(size: int, text: str) -> None:
    assert terminal.size_text(size) == text


@pytest.mark.parametrize(("count", "text"), [(0, ""), (999, "999"), (1000, "1.0 k"), (999_960, "1.0 M"), (1_234_567, "1.2 M")])
def test_counts_have_decimal_prefixes(count: int, text: str) -> None:
    assert terminal.count_text(count) == text


# ----------------------------------------------------------------------------------------------------- what it tells


def test_sources_are_what_is_read_beside_the_running_value() -> None:
    rows = {row.path: row for row in nested_unet()[0].summary().rows}
    assert rows["decoder.cat_1"].sources == ("x1",)
    assert rows["encoder.1"].labels == ("x1",)
    assert rows["bridge.add_0"].sources == ("encoder",)
    assert rows["decoder.4"].sources == ()


def test_an_ambiguous_name_is_told_with_its_path() -> None:
    block = lambda: Sequential(nn.Linear(4, 4), save("x1"), nn.Tanh(), add("x1"))  # noqa: E731
    net = Sequential(("left", block()), ("right", block()), add("left.x1"))
    rows = {row.path: row for row in net.summary().rows}
    assert rows["right.add_0"].sources == ("right.x1",)
    assert rows["add_0"].sources == ("left.x1",)


def test_the_start_of_a_branch_is_told() -> None:
    lines = str(two_inputs_two_outputs()[0].summary()).split("\n")
    starts = [line.split() for line in lines if " take " in line]
    assert [words[-1] for words in starts] == ["t", "mixed"]
    assert not any(re.search(r"(time|4) .* (t|mixed)$", line) for line in lines)


def test_the_peak_names_its_skips() -> None:
    held = nested_unet()[0].summary((1, 3, 64, 64)).held_at_peak
    assert [(each.names, each.skip, each.reason) for each in held] == [
        (("decoder.cat_1",), False, "given here"),
        (("x1",), True, "read here"),
        (("decoder.3",), False, "read here"),
        (("input",), False, "held throughout"),
    ]


def test_without_shapes_nothing_is_said_about_bytes() -> None:
    summary = resnet()[0].summary()
    assert summary.multiply_adds is None
    assert summary.held_at_peak == []
    assert all(row.bytes is None and row.shapes == () for row in summary.rows)
    assert not re.search("KiB|MiB|mult-adds  ", str(summary))


def test_data_is_plain() -> None:
    net, inputs = two_inputs_two_outputs()
    told = json.loads(json.dumps(net.summary(*inputs).to_dict()))
    assert told["parameters"] == told["trainable"] == 413
    assert [row["path"] for row in told["rows"]][:3] == ["x", "t", "stem"]
    assert {"name": "image", "giver": 0, "reader": 3} in told["skips"]
    assert told["peak"]["path"] == "add_0"
    assert sum(held["bytes"] for held in told["peak"]["held"]) == told["peak"]["bytes"]
    assert json.loads(json.dumps(net.summary().to_dict()))["peak"] is None


def test_inputs_that_do_not_fit_are_told_as_by_check() -> None:
    net, _ = flat_unet()
    with pytest.raises(ShapeError, match="expects 3 channels"):
        net.summary((1, 4, 64, 64))
    with pytest.raises(CallError):
        net.summary((1, 3, 64, 64), t=(1,))


@pytest.mark.parametrize(
    "net", [Sequential(), Sequential(nn.Identity()), Sequential(nn.ReLU(), add("given"))], ids=["empty", "one", "need"]
)
def test_small_and_open_networks(net: Sequential) -> None:
    assert_lanes_are_true(net)
    assert str(net.summary()).startswith("Sequential: ")


def test_a_branch_that_starts_from_a_join_is_set_apart() -> None:
    net = Sequential(nn.Linear(4, 4), save("a"), nn.Tanh(), save("b"), nn.ReLU(), take(add("a", "b")), nn.Linear(4, 4))
    assert_lanes_are_true(net)
    assert any(row[0] == " " for row in lanes_in(str(net.summary())))


# ---------------------------------------------------------------------------------------------------------- terminals

ESCAPE = re.compile(r"\x1b\[\d*m")


def test_colours_change_nothing_but_colour() -> None:
    net, inputs = nested_unet()
    summary = net.summary(*inputs)
    assert ESCAPE.sub("", summary.text(color=True)) == str(summary)
    assert "\x1b" not in str(summary)


def test_a_skip_has_one_colour() -> None:
    """The lane, the name where it is born and the name where it is read; neighbours have others."""
    text = flat_unet()[0].summary().text(color=True)
    colours = {label: set(re.findall(rf"\x1b\[(\d+)m{label}\x1b", text)) for label in ("x1", "x2", "x3")}
    assert all(len(each) == 1 for each in colours.values())
    assert len(set.union(*colours.values())) == 3
    [colour] = colours["x1"]
    assert re.search(rf"\x1b\[{colour}m─+╯\x1b\[0m  cat_2 ", text)


def test_a_horizontal_line_has_the_colour_of_the_lane_to_which_it_leads() -> None:
    """Where an operation reads two skips, each piece of the line belongs to the next of them."""
    net = NETWORKS["unet_plus_plus"]()[0]
    line = next(line for line in net.summary().text(color=True).split("\n") if " cat_2 " in line)
    inner, outer = (re.search(rf"\x1b\[(\d+)m{label}\x1b", line)[1] for label in ("x01", "x00"))  # type: ignore[index]
    assert inner != outer
    assert line.startswith(f"●\x1b[{inner}m───┴\x1b[0m\x1b[{outer}m───╯\x1b[0m")


@pytest.mark.parametrize(
    ("terminal_there", "environment", "shown"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_a_prompt_shows_colours_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch, terminal_there: bool, environment: dict[str, str], shown: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(terminal, "is_terminal", lambda: terminal_there)
    summary = flat_unet()[0].summary()
    assert bool(ESCAPE.search(repr(summary))) is shown
    assert not ESCAPE.search(str(summary))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("name", ["grid_net", "lstm", "resnet"])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    net, inputs = NETWORKS[name]()
    summary = net.summary(*inputs)
    text = summary.text(width=width)
    assert max(len(line) for line in text.split("\n")) <= width
    assert lanes_in(str(summary)) == [row.ljust(len(lanes_in(str(summary))[0])) for row in lanes_in(text)]


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    text = str(resnet()[0].summary(("N", 3, 32, 32)))
    assert max(len(line) for line in text.split("\n")) <= 70
    assert "A wider terminal shows" in text


def test_thirty_skips_at_once_stay_legible() -> None:
    entries: list[Any] = [entry for k in range(30) for entry in (nn.Linear(4, 4), save(f"s{k}"))]
    entries += [entry for k in range(30) for entry in (nn.Linear(4, 4), add(f"s{k}"))]
    net = Sequential(*entries)
    assert_lanes_are_true(net)
    rows = lanes_in(net.summary((2, 4)).text(width=120))
    assert max(len(row) for row in rows) == 61
    assert "  21 more\n" in str(net.summary((2, 4)))


def test_a_terminal_without_the_characters_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "encoding", lambda: "ascii")
    net, inputs = nested_unet()
    net = Sequential(("é", net), nn.ReLU())
    summary = net.summary(*inputs)
    for text in (str(summary), summary.text(width=60), summary.text(color=True)):
        assert text.isascii()


def test_two_hundred_layers_are_two_hundred_lines() -> None:
    net = Sequential(*[nn.Linear(4, 4) for _ in range(200)])
    assert len(lanes_in(str(net.summary()))) == 202
    assert isinstance(net.summary(), Summary)
