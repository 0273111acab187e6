"""What ``print(net)`` shows: the sequence as it was written, valid to paste back, with the two ends of each skip."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from skipseq import (
    Branches,
    DenseBlock,
    Residual,
    Sequential,
    UNet,
    add,
    call,
    cat,
    here,
    mul,
    pick,
    save,
    sub,
    take,
    via,
)
from skipseq.declare.constructors import constructor

from .helpers import linear
from .same_network import NAMES, assert_pastes, example, pasted


def two(x: Tensor) -> tuple[Tensor, Tensor]:
    return x + 1.0, x * 2.0


# Pasting back: every example

EXAMPLES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "flat_encoder_decoder": ("flat_encoder_decoder", "flat_encoder_decoder", (1, 3, 16, 16)),
    "pix2pix nested": ("pix2pix", "nested", (2, 3, 16, 16)),
    "pix2pix flat": ("pix2pix", "flat", (2, 3, 16, 16)),
    "concatenated_after_relu": ("two_sources", "concatenated_after_relu", (2, 30)),
    "concatenated_before_relu": ("two_sources", "concatenated_before_relu", (2, 30)),
    "added_after_relu": ("two_sources", "added_after_relu", (2, 30)),
    "added_before_relu": ("two_sources", "added_before_relu", (2, 30)),
    "three_linears": ("three_linears", "three_linears", (2, 12)),
    "misfit": ("misfit", "misfit", ()),
    "same_size": ("misfit", "same_size", (1, 3, 32, 32)),
    "shrunk_input": ("misfit", "shrunk_input", (1, 3, 32, 32)),
    "bottleneck": ("bottleneck", "bottleneck", (1, 256, 2, 2)),
    "bottleneck in short": ("bottleneck", "in_short", (1, 256, 2, 2)),
    "bottleneck stack": ("bottleneck", "stack", (1, 256, 2, 2)),
    "unet_from_parts": ("unet_from_parts", "unet", (1, 3, 8, 8)),
    "encoder": ("unet_from_parts", "encoder", (1, 3, 8, 8)),
    "decoder": ("unet_from_parts", "decoder", ()),
    "grid_from_parts": ("grid_from_parts", "grid", (1, 3, 8, 8)),
    "across": ("grid_from_parts", "across", ()),
    "branches": ("branches", "inception", (1, 3, 8, 8)),
    "read_values": ("read_values", "blocks", (1, 3, 8, 8)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_pastes(name: str) -> None:
    file, function, shape = EXAMPLES[name]
    net = getattr(example(file), function)()
    assert_pastes(net, *([torch.randn(shape)] if shape else []))


def test_every_network_of_the_examples_is_here() -> None:
    for file in {file for file, _, _ in EXAMPLES.values()}:
        functions = [
            each for each, thing in vars(example(file)).items() if getattr(thing, "__module__", "") == f"examples_{file}"
        ]
        annotated = [each for each in functions if vars(example(file))[each].__annotations__.get("return") is Sequential]
        shown = {function for other, function, _ in EXAMPLES.values() if other == file}
        assert set(annotated) - shown <= {"block", "classifier", "down", "up"}, file


# Pasting back: every kind of entry

X = (3, 4)

NETWORKS: dict[str, tuple[Callable[[], Sequential], dict[str, tuple[int, ...]]]] = {
    "nothing": (lambda: Sequential(), {"input": X}),
    "no words": (lambda: Sequential(linear(), nn.ReLU()), {"input": X}),
    "nested": (
        lambda: Sequential(Sequential(linear(), Sequential(linear(), add("input"))), nn.Tanh(), add("0")),
        {"input": X},
    ),
    "empty parts": (lambda: Sequential(Sequential(), nn.Sequential(), linear()), {"input": X}),
    "names": (lambda: Sequential(("a", linear()), ("it's", linear()), ('b"c', linear()), add("it's")), {"input": X}),
    "a dict": (lambda: Sequential({"a": linear(), "b": nn.Tanh(), "again": add("a")}), {"input": X}),
    "named words": (
        lambda: Sequential(("s", save("x")), linear(), ("a", add("x")), ("t", take("x")), ("p", pick[:, :2])),
        {"input": X},
    ),
    "names that look like numbers": (
        lambda: Sequential(("2", linear()), linear(), linear(), ("7", linear())),
        {"input": X},
    ),
    "names that look like words": (lambda: Sequential(("add_1", linear()), add("input"), add("add_1")), {"input": X}),
    "names in nn.Sequential": (
        lambda: Sequential(nn.Sequential(OrderedDict(a=linear(), b=nn.Sequential(OrderedDict(c=linear())))), nn.Tanh()),
        {"input": X},
    ),
    "names in nn.Sequential inside a word": (
        lambda: Sequential(linear(), add(via("input", nn.Sequential(OrderedDict(a=linear(), b=nn.Tanh())), nn.Tanh()))),
        {"input": X},
    ),
    "functions": (
        lambda: Sequential(torch.relu, functional.gelu, functional.softplus, torch.tanh, nn.functional.relu),
        {"input": X},
    ),
    "joins": (
        lambda: Sequential(
            ("a", linear()),
            cat("input", here),
            pick[:, :4],
            sub(1.0, here),
            mul(0.5),
            add("a", here, -2),
            add(2.5e-8),
            mul("a", broadcast=True),
            cat("a", dim=-1),
            pick[:, 4:],
            cat(here, "a", "input", dim=0),
        ),
        {"input": X},
    ),
    "joins in joins": (
        lambda: Sequential(("a", linear()), take(cat(add("a", "input"), via("input", linear(), nn.Tanh()), mul("a", 2)))),
        {"input": X},
    ),
    "via a part": (
        lambda: Sequential(linear(), ("j", add(via("input", Sequential(linear(), add("input")), nn.Tanh())))),
        {"input": X},
    ),
    "calls": (
        lambda: Sequential(
            ("b", call(nn.Bilinear(4, 4, 4), "input")),
            call(torch.maximum, "b"),
            call(torch.lerp, here, "input", 0.5),
            call(nn.Linear(4, 4)),
            add(call(torch.maximum, "b", via("input", linear()))),
        ),
        {"input": X},
    ),
    "a call by names": (
        lambda: Sequential(
            call(nn.MultiheadAttention(4, 2, batch_first=True), here, here, here, key_padding_mask="mask"), pick[0]
        ),
        {"input": (2, 3, 4), "mask": (2, 3)},
    ),
    "a called part": (lambda: Sequential(linear(), ("c", call(Sequential(linear(), add("t"))))), {"input": X, "t": X}),
    "indices": (
        lambda: Sequential(pick[0], pick[:, -1], pick[..., 1:], pick[None, ::2], pick[[0, 0],], pick[0, 0]),
        {"input": (2, 3, 5, 7)},
    ),
    "a saved tuple": (lambda: Sequential(call(two), save("h", "c"), take("h"), add("c")), {"input": X}),
    "an index by name": (lambda: Sequential(pick["a"], linear()), {}),
    "needs": (
        lambda: Sequential(linear(), add("x1"), Residual(linear(), cat("x2"), pick[:, :4])),
        {"input": X, "x1": X, "x2": X},
    ),
    "inputs and outputs": (
        lambda: Sequential(("h", linear()), call(torch.maximum, "t"), add("x"), inputs=("x", "t"), outputs=("h", "t")),
        {"x": X, "t": X},
    ),
    "one output": (lambda: Sequential(("h", linear()), linear(), outputs="h"), {"input": X}),
    "one output as a tuple": (lambda: Sequential(("h", linear()), linear(), outputs=("h",)), {"input": X}),
    "inputs of a part": (
        lambda: Sequential(("a", linear()), call(Sequential(call(torch.maximum, "t"), inputs=("x", "t")), "a")),
        {"input": X},
    ),
    "blocks": (
        lambda: Sequential(
            Residual(("a", linear()), torch.tanh, shortcut=[linear()]),
            ("b", Branches(linear(), Residual(linear()), join=cat(dim=-1))),
            DenseBlock(linear(8, 2), join=cat),
            UNet([linear(10, 4)], nn.Tanh(), nn.Sequential(linear(8, 3))),
        ),
        {"input": X},
    ),
    "dotted paths": (
        lambda: Sequential(
            ("e", Sequential(linear(), ("m", Sequential(linear(), save("x"), nn.Tanh())))), add("e.0"), add("e.m.x")
        ),
        {"input": X},
    ),
    "layers whose arguments torch prints without quotes": (
        lambda: Sequential(nn.Conv1d(4, 4, 3, padding="same", padding_mode="circular"), nn.Conv1d(4, 4, 1, padding="valid")),
        {"input": (2, 4, 8)},
    ),
    "many layers": (
        lambda: Sequential(
            nn.Conv2d(4, 6, (3, 1), stride=2, padding=1, dilation=1, groups=2, bias=False),
            nn.BatchNorm2d(6),
            nn.LeakyReLU(0.2),
            nn.PReLU(6),
            nn.GroupNorm(2, 6),
            nn.InstanceNorm2d(6, affine=True),
            nn.Hardtanh(-2, 2),
            nn.ConvTranspose2d(6, 4, 2, 2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Upsample((4, 4)),
            nn.MaxPool2d(2),
            nn.PixelShuffle(2),
            nn.ZeroPad2d((1, 0, 1, 0)),
            nn.AdaptiveAvgPool2d((None, 3)),
            nn.Dropout(0.0),
            nn.GELU("tanh"),
            nn.Softmax(dim=1),
            nn.Flatten(),
            nn.Unflatten(1, (3, -1)),
            nn.LayerNorm((3, 5)),
            nn.RMSNorm(5),
            nn.Identity(),
            nn.Linear(5, 5, bias=False),
            nn.GRU(5, 4, num_layers=2, batch_first=True, bidirectional=True),
            pick[0],
            pick[:, -1],
        ),
        {"input": (2, 4, 8, 8)},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_pastes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A user's own functions print by their names, which the user has.
    monkeypatch.setitem(NAMES, "two", two)
    build, shapes = NETWORKS[name]
    net = build()
    values = {each: torch.randn(shape) for each, shape in shapes.items()}
    first = [values.pop(next(iter(shapes)))] if shapes else []
    if "mask" in values:
        values["mask"] = values["mask"] > 3
    assert_pastes(net, *first, **values)


def test_partial_and_own_functions_and_layers_print_by_name() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 3.0

    net = Sequential(Own(), partial(torch.flatten, start_dim=1), two, pick[0])
    twin = pasted(repr(net), Own=Own, partial=partial, two=two)
    assert torch.equal(twin(torch.ones(2, 3, 4)), net(torch.ones(2, 3, 4)))
    assert repr(twin) == repr(net)


def test_a_subclass_prints_by_its_name() -> None:
    class Mine(Sequential):
        pass

    net = Sequential(Mine(linear(), add("input")))
    assert "    Mine(\n" in repr(net)
    assert type(pasted(repr(net), Mine=Mine)[0]) is Mine


def test_training_state_and_calls_change_nothing() -> None:
    net = Sequential(linear(), save("x"), nn.Dropout(), add("x"))
    text = repr(net)
    net.eval()
    net(torch.zeros(1, 4))
    net.record(torch.zeros(1, 4), "x")
    assert repr(net) == text == str(net)


# The two ends of each skip


def arrows(net: Sequential, expand: bool = False) -> list[tuple[str, str]]:
    """Each line that has a comment, without blanks and comma, and the comment."""
    found = []
    for line in (net.as_words() if expand else repr(net)).splitlines():
        text, _, note = line.partition("  # ")
        if note:
            found.append((text.strip().rstrip(","), note))
    return found


def test_a_skip_shows_both_ends() -> None:
    net = Sequential(linear(), save("x"), nn.ReLU(), add("x"))
    assert arrows(net) == [("save('x')", "-> net[3]"), ("add('x')", "<- net[1]")]


def test_a_value_read_twice_and_a_word_that_reads_twice() -> None:
    net = Sequential(save("x"), ("h", linear()), cat(here, "x"), pick[:, :4], cat("x", "h", here))
    assert arrows(net) == [
        ("save('x')", "-> net[2], net[4]"),
        ("('h', nn.Linear(4, 4))", "-> net[4]"),
        ("cat(here, 'x')", "<- net[0]"),
        ("cat('x', 'h', here)", "<- net[0], net[1]"),
    ]


def test_one_entry_is_both_ends() -> None:
    net = Sequential(("a", linear()), ("b", add("input")), nn.ReLU(), add("b"))
    assert arrows(net)[0] == ("('b', add('input'))", "<- input, -> net[3]")


def test_the_input_and_the_inputs() -> None:
    assert arrows(Sequential(linear(), add("input"))) == [("add('input')", "<- input")]
    net = Sequential(linear(), add("t"), add("x"), mul("input"), inputs=("x", "t"))
    assert [note for _, note in arrows(net)] == ["<- input 't'", "<- input 'x'", "<- input 'x'"]


def test_inside_a_word() -> None:
    net = Sequential(("a", linear()), save("x"), linear(), add(via("x", linear()), here, call(torch.maximum, "a", "input")))
    assert [note for _, note in arrows(net)] == ["-> net[3]", "-> net[3]", "<- net[1], net[0], input"]


def test_across_parts() -> None:
    encoder = Sequential(linear(), save("x1"), linear(), save("x2"), linear())
    decoder = Sequential(linear(), add("x2"), Sequential(linear(), add("x1")))
    net = Sequential(("encoder", encoder), ("decoder", decoder))
    assert arrows(net) == [
        ("save('x1')", "-> net.decoder[2][1]"),
        ("save('x2')", "-> net.decoder[1]"),
        ("add('x2')", "<- net.encoder[3]"),
        ("add('x1')", "<- net.encoder[1]"),
    ]
    unnamed = Sequential(encoder, decoder)
    assert [note for _, note in arrows(unnamed)] == ["-> net[1][2][1]", "-> net[1][1]", "<- net[0][3]", "<- net[0][1]"]


def test_the_output_of_a_part() -> None:
    net = Sequential(("part", Sequential(linear(), nn.Tanh())), linear(), add("part"))
    assert arrows(net) == [("))", "-> net[2]"), ("add('part')", "<- net[0]")]


def test_a_path_into_a_part() -> None:
    net = Sequential(("part", Sequential(linear(), ("m", nn.Tanh()), linear())), add("part.0"), add("part.m"))
    assert [note for _, note in arrows(net)] == ["-> net[1]", "-> net[2]", "<- net.part[0]", "<- net.part[1]"]


def test_a_layer_inside_a_word() -> None:
    net = Sequential(linear(), ("down", add(via("input", linear(), nn.Tanh()))), nn.Tanh(), add("down.0"))
    assert [note for _, note in arrows(net)] == ["<- input, -> net[3]", "<- net[1]"]


def test_a_part_inside_a_word_that_reads_from_outside() -> None:
    net = Sequential(
        save("t"), linear(), add(via("input", Sequential(linear(), mul("t")))), call(Sequential(linear(), mul("t")))
    )
    assert [note for _, note in arrows(net)] == ["-> net[2], net[3]", "<- input, net[0]", "<- net[0]"]


def test_a_block_hides_the_skips_that_it_stands_for() -> None:
    net = Sequential(Residual(linear()), Branches(("a", linear()), linear()), DenseBlock(linear(8, 1)))
    assert arrows(net) == []
    assert len(arrows(net, expand=True)) == 5


def test_a_skip_into_a_block_and_out_of_it() -> None:
    net = Sequential(save("t"), ("block", Residual(linear(), mul("t"), save("u"), nn.Tanh())), add("u"))
    assert arrows(net) == [
        ("save('t')", "-> net.block[1]"),
        ("mul('t')", "<- net[0]"),
        ("save('u')", "-> net[2]"),
        ("add('u')", "<- net.block[2]"),
    ]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("expand", [False, True], ids=["as written", "in words"])
def test_every_arrow_leads_to_the_other_end(name: str, expand: bool) -> None:
    file, function, _ = EXAMPLES[name]
    net = getattr(example(file), function)()
    told = arrows(net, expand)
    directions = []
    for _, note in told:
        direction = ""
        # "<- net[1], input, -> net[3]" tells two origins and one reader.
        for each in note.split(", "):
            direction = each[:2] if each[:2] in ("<-", "->") else direction
            place = each.removeprefix(direction).strip()
            if place.startswith("input"):
                continue
            directions.append(direction)
            found = eval(place, {"net": net})
            text = repr(found) if "\n" in repr(found) else constructor(found).replace("nn.", "")
            other = text.splitlines()[-1].strip("()")
            back = {"->": "<-", "<-": "->"}[direction]
            ends = [text.replace("nn.", "").strip("()") for text, notes in told if back in notes]
            assert any(text.endswith(other) for text in ends), note
    assert directions.count("->") == directions.count("<-")


def test_layers_that_share_their_weights() -> None:
    one, part = linear(), Sequential(linear(), nn.Tanh())
    net = Sequential(one, save("x"), nn.Tanh(), one, ("again", part), add("x"), Sequential(part, nn.Tanh(), one))
    assert [note for _, note in arrows(net)] == [
        "-> net[5]",
        "the same as net[0]",
        "<- net[1]",
        "the same as net[4]",
        "the same as net[0]",
    ]
    assert arrows(Sequential(linear(), nn.Tanh()) * 2) == [("nn.Linear(4, 4)", "the same as net[0]")]
    assert arrows(Sequential(linear(), nn.Tanh()).repeat(2)) == []


# Needs, faults, and what is not ours


def test_needs_stand_at_the_head() -> None:
    part = Sequential(linear(), add("x1"), Sequential(linear(), cat("x2")))
    assert repr(part).startswith("# needs x1, x2\nSequential(\n")
    whole = Sequential(save("x1"), save("x2"), part)
    assert "# needs" not in repr(whole)
    assert "# needs x2" in repr(Sequential(save("x1"), part))
    assert "# needs" not in repr(Sequential(linear(), add("x"), inputs=("y", "x")))


def test_a_broken_sequence_prints_with_its_faults() -> None:
    net = Sequential(save("x"), ("part", Sequential(linear(), nn.Tanh())), add("part.0"))
    net._modules["part"] = nn.Tanh()
    text = repr(net)
    assert text.startswith("# 1 fault in Sequential\n#   net[2] add('part.0') reads 'part.0', but 'part' is no sequence")
    assert "    ('part', nn.Tanh()),\n" in text


def test_long_lines_do_not_push_the_comments_away() -> None:
    layers = nn.Sequential(*(linear() for _ in range(4)))
    net = Sequential(save("x"), linear(), add(via("x", layers)))
    first, *_ = (line for line in repr(net).splitlines() if "save" in line)
    assert len(first) < 100


def test_printing_takes_time_in_proportion_to_the_size() -> None:
    def chain(count: int) -> Sequential:
        entries = [[nn.Identity(), save(f"x{i}"), nn.Identity(), add(f"x{i}")] for i in range(count)]
        return Sequential(*(entry for group in entries for entry in group))

    def nested(depth: int) -> Residual:
        return Residual(linear(), shortcut=nested(depth - 1)) if depth else Residual(linear())

    start = time.perf_counter()
    assert repr(chain(1000)).count("# -> ") == 1000
    assert repr(nested(20)).count("Residual(") == 21
    assert time.perf_counter() - start < 10, "a second is usual; what grows with the square takes minutes"


# Golden texts

FLAT = """\
Sequential(
    nn.Conv2d(3, 16, 4, stride=2, padding=1),
    save('x1'),  # -> net[4]
    nn.Conv2d(16, 32, 4, stride=2, padding=1),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    cat('x1'),   # <- net[1]
    nn.ConvTranspose2d(32, 3, 4, stride=2, padding=1),
)"""

PARTS = """\
Sequential(
    ('encoder', Sequential(
        nn.Linear(8, 4),
        save('x1'),                  # -> net.decoder[1]
        nn.Sequential(
            nn.Linear(4, 4),
            nn.Tanh(),
        ),
    )),                              # -> net[2]
    ('decoder', Sequential(
        ('up', nn.Linear(4, 4)),
        cat('x1', here, dim=-1),     # <- net.encoder[1]
        Residual(
            ('narrow', nn.Linear(8, 2)),
            nn.Linear(2, 4),
            shortcut=nn.Linear(8, 4),
        ),
    )),
    call(torch.maximum, 'encoder'),  # <- net[0]
)"""

#: Comments stand in one column, but for lines that are too long for it.
MANY = """\
Sequential(
    call(nn.Bilinear(4, 4, 4), 't'),                         # <- input 't'
    ('h', nn.Tanh()),                                        # -> net[2], net[3]
    ('project', add(via('h', nn.Linear(4, 4)), here, 1.5)),  # <- net[1]
    take(mul('h', 'x')),                                     # <- net[1], input 'x'
    inputs=('x', 't'),
    outputs=('h', 'project'),
)"""


def test_golden_flat() -> None:
    net = Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), save("x1"),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), cat("x1"),
        nn.ConvTranspose2d(32, 3, 4, 2, 1),
    )  # fmt: skip
    assert repr(net) == FLAT


def test_golden_parts() -> None:
    net = Sequential(
        ("encoder", Sequential(linear(8, 4), save("x1"), nn.Sequential(linear(), nn.Tanh()))),
        ("decoder", Sequential(
            ("up", linear()),
            cat("x1", here, dim=-1),
            Residual(("narrow", linear(8, 2)), linear(2, 4), shortcut=linear(8, 4)),
        )),
        call(torch.maximum, "encoder"),
    )  # fmt: skip
    assert repr(net) == PARTS


def test_golden_many_words() -> None:
    net = Sequential(
        call(nn.Bilinear(4, 4, 4), "t"),
        ("h", nn.Tanh()),
        ("project", add(via("h", linear()), here, 1.5)),
        take(mul("h", "x")),
        inputs=("x", "t"),
        outputs=("h", "project"),
    )
    assert repr(net) == MANY
