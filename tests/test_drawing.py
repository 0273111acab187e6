"""Pictures tell the truth: they are read back and compared with the wiring, on known and on random networks."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skipseq import Residual, Sequential, add, cat, here, mul, save, take, via
from skipseq.check.graph import Graph
from skipseq.errors import WiringError
from skipseq.views.drawing.drawing import Drawing
from skipseq.views.drawing.labels import layer_label
from skipseq.views.files import fonts_found

from .picture_reader import SVG, check_picture, check_text_forms, look
from .random_networks import WIDTH, Network, networks
from .view_networks import NETWORKS, transformer

# Random and known networks


def graph_of(example: tuple[Sequential, tuple[Any, ...]]) -> Graph:
    net, inputs = example
    return net._graph(inputs[0], inputs[1:], {})


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_of_known_networks_tell_their_wiring(name: str) -> None:
    check_picture(graph_of(NETWORKS[name]()))


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_without_shapes_tell_their_wiring(name: str) -> None:
    scene = check_picture(NETWORKS[name]()[0]._graph(..., (), {}))
    assert len({line.main for line in scene.lines}) == 2


@st.composite
def images(draw: Callable[..., Any]) -> Sequential:
    """Networks over images: they go down and up at random, read what has their resolution, and begin branches."""
    entries: list[Any] = [nn.Conv2d(1, 1, 3, padding=1)]
    saved: list[list[str]] = [[], [], [], []]
    level = 0
    for k in range(draw(st.integers(5, 40))):
        what = draw(st.sampled_from(["conv", "run", "down", "up", "save", "join", "join", "take", "via", "part"]))
        if what == "conv":
            entries.append(nn.Conv2d(1, 1, 3, padding=1))
        elif what == "run":
            entries += [nn.BatchNorm2d(1), nn.ReLU(), nn.Conv2d(1, 1, 1), nn.GELU()][: draw(st.integers(1, 4))]
        elif what == "down" and level < 3:
            entries.append(nn.MaxPool2d(2))
            level += 1
        elif what == "up" and level:
            entries.append(nn.Upsample(scale_factor=2))
            level -= 1
        elif what == "save":
            entries.append(save(f"x{k}"))
            saved[level].append(f"x{k}")
        elif what == "join" and saved[level]:
            name = draw(st.sampled_from(saved[level]))
            entries += [nn.Tanh(), add(*draw(st.permutations([here, name])))]
        elif what == "take" and any(saved):
            level, name = draw(st.sampled_from([(i, name) for i, names in enumerate(saved) for name in names]))
            entries.append(take(name))
        elif what == "via" and saved[level]:
            layers = [nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1)][: draw(st.integers(1, 3))]
            entries.append(
                add(here, *(via(name, *layers) for name in draw(st.lists(st.sampled_from(saved[level]), min_size=1))))
            )
        elif what == "part":
            entries.append((f"part{k}", Residual(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())))
    return Sequential(*entries)


@given(images())
@settings(max_examples=60)
def test_pictures_of_random_networks_over_images_tell_their_wiring(net: Sequential) -> None:
    check_picture(net._graph((2, 1, 16, 16), (), {}))
    check_picture(net._graph(..., (), {}))


@given(networks())
@settings(max_examples=60)
def test_pictures_of_random_networks_tell_their_wiring(network: Network) -> None:
    check_picture(network.net._graph(..., (), {}))


@given(networks(depth=1))
@settings(max_examples=20)
def test_pictures_of_random_networks_with_shapes_tell_their_wiring(network: Network) -> None:
    check_picture(network.net._graph((3, WIDTH), ((3, WIDTH),) * (len(network.inputs) - 1), {}))


# Long networks, odd networks


def test_a_long_network_of_equal_parts_shows_the_first_and_folds_the_others() -> None:
    scene = check_picture(graph_of(transformer(24)))
    assert len(scene.boxes) < 15
    folded = [box for box in scene.boxes if box.kind == "fold"]
    assert [len(box.positions) for box in folded] == [23 * 9]
    assert "23 more like layer1" in Drawing(graph_of(transformer(24))).svg


def test_a_run_that_repeats_itself_is_one_box() -> None:
    net = Sequential(nn.Linear(8, 16), *(layer for _ in range(99) for layer in (nn.ReLU(), nn.Linear(16, 16))))
    scene = check_picture(net._graph((1, 8), (), {}))
    assert len(scene.boxes) == 4
    assert ">99 times<" in Drawing(net._graph((1, 8), (), {})).svg


def test_a_long_network_is_broken_into_lines() -> None:
    widths = [8 + 7 * k % 13 for k in range(101)]
    layers = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.Tanh())]
    scene = check_picture(Sequential(*layers)._graph((1, 8), (), {}))
    assert scene.paper.width < 1800
    assert len({round(box.rect.y) for box in scene.boxes}) > 2


def test_skips_cross_the_ends_of_lines() -> None:
    entries: list[Any] = [nn.Linear(8, 8), save("x0")]
    for k in range(1, 60):
        entries += [nn.Linear(8, 8), add(f"x{max(0, k - 1 - 7 * k % 5)}"), save(f"x{k}")]
    scene = check_picture(Sequential(*entries)._graph((1, 8), (), {}))
    assert scene.paper.width < 1800


def test_a_skip_into_a_repeated_part_keeps_it_open() -> None:
    """Parts that read a value from far away are equal, and yet none of them is hidden."""
    entries: list[Any] = [nn.Linear(8, 8), save("x")]
    for _ in range(20):
        entries.append(Sequential(nn.Linear(8, 8), nn.Tanh(), add("x")))
    scene = check_picture(Sequential(*entries)._graph((1, 8), (), {}))
    assert sum(not line.main for line in scene.lines) == 20


@pytest.mark.parametrize(
    "net",
    [
        Sequential(),
        Sequential(save("a"), outputs=("a",)),
        Sequential(nn.Linear(8, 8), add("x"), cat("y")),
        Sequential(nn.Linear(8, 8), save("a"), outputs=("a", "a", "input")),
        Sequential(nn.Linear(8, 8), add(here, mul("input", via("input", nn.Linear(8, 8), nn.Sigmoid())))),
        Sequential(nn.Linear(8, 8), nn.Tanh(), add(here, via("0", nn.Tanh()), via("0", nn.ReLU()), "0")),
    ],
    ids=["empty", "input as output", "needs", "one value twice", "inner join", "two by the side"],
)
def test_pictures_of_odd_networks_tell_their_wiring(net: Sequential) -> None:
    check_picture(net._graph(..., (), {}))


class Odd(nn.Module):
    """A layer that prints what is a sign in XML, in DOT and in Mermaid."""

    def __repr__(self) -> str:
        return "Odd(<a & 'b' | \"c\">, {d}; [e] \\ --> f)"


def test_what_a_layer_prints_is_no_markup() -> None:
    drawing = Drawing(Sequential(Odd(), ("a_b", Odd()))._graph(..., (), {}))
    scene = look(drawing.svg)
    check_text_forms(drawing._graph, drawing)
    assert len(scene.boxes) == 4
    assert "Odd(<a & 'b' | \"c\">, {d}; [e] \\ --> f)" in "".join(ET.fromstring(drawing.svg).itertext())


# What is said in the picture


def labels_of(svg: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(svg).iter(f"{SVG}text") if e.get("class") == "label"]


def test_a_join_is_written_at_the_head_of_each_skip() -> None:
    assert sorted(labels_of(Drawing(graph_of(NETWORKS["flat_unet"]())).svg)) == ["cat 'x1'", "cat 'x2'", "cat 'x3'"]
    labels = sorted(labels_of(Drawing(graph_of(NETWORKS["two_inputs_two_outputs"]())).svg))
    assert labels == ["add", "add 'image'", "take 'mixed'", "take 't'", "via 't'"]


def test_a_larger_skip_is_thicker_and_one_of_unknown_size_thin() -> None:
    def widths(graph: Graph) -> list[float]:
        edges = ET.fromstring(Drawing(graph).svg).iter(f"{SVG}path")
        return sorted(float(e.get("stroke-width", "")) for e in edges if e.get("class") == "edge skip")

    net, inputs = NETWORKS["flat_unet"]()
    small, middle, large = widths(net._graph(inputs[0], (), {}))
    assert 1.5 <= small < middle < large <= 6
    assert set(widths(net._graph(..., (), {}))) == {1.5}


def test_the_resolution_gives_the_shape_of_a_u() -> None:
    scene = look(Drawing(graph_of(NETWORKS["flat_unet"]())).svg)
    heights = [box.rect.y + box.rect.height / 2 for box in scene.boxes]
    lowest = heights.index(max(heights))
    assert len({round(y) for y in heights}) == 4
    assert heights[: lowest + 1] == sorted(heights[: lowest + 1])
    assert heights[lowest:] == sorted(heights[lowest:], reverse=True)
    for line in scene.lines:
        if not line.main:
            assert line.corners[0][1] == line.tip[1], "a skip goes straight across the U"


@pytest.mark.parametrize("name", ["resnet", "transformer", "dense_block"])
def test_a_network_that_does_not_go_up_again_is_straight(name: str) -> None:
    assert not Drawing(graph_of(NETWORKS[name]()))._picture.plan.down_and_up


def test_arcs_go_above_the_main_line_and_those_inside_are_lower() -> None:
    net = Sequential(*(nn.Tanh() for _ in range(5)), add("0"), add("input"))
    scene = look(Drawing(net._graph(..., (), {})).svg)
    inner, outer = sorted((line for line in scene.lines if not line.main), key=lambda line: line.tip[0] - line.corners[0][0])
    tops = [min(y for _, y in line.corners) for line in (inner, outer)]
    assert tops[1] < tops[0] < min(box.rect.y for box in scene.boxes)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("nn.Conv2d(3, 16, 3, padding=1)", ("Conv2d", "3→16, 3×3")),
        ("nn.Conv2d(8, 8, (3, 1), stride=(2, 1), groups=8)", ("Conv2d", "8→8, 3×1, ÷(2,1), groups 8")),
        ("nn.ConvTranspose1d(8, 4, 2, stride=2)", ("ConvTranspose1d", "8→4, 2, ×2")),
        ("nn.Linear(8, 4, bias=False)", ("Linear", "8→4")),
        ("nn.BatchNorm2d(8)", ("BatchNorm2d", "")),
        ("nn.MaxPool2d(2)", ("MaxPool2d", "÷2")),
        ("nn.MaxPool2d(3, stride=2, padding=1)", ("MaxPool2d", "3×3, ÷2")),
        ("nn.MaxPool2d(3, stride=1)", ("MaxPool2d", "3×3")),
        ("nn.AdaptiveAvgPool2d(1)", ("AdaptiveAvgPool2d", "to 1×1")),
        ("nn.Upsample(scale_factor=2.0)", ("Upsample", "×2")),
        ("nn.MultiheadAttention(16, 4, batch_first=True)", ("MultiheadAttention", "16, 4 heads")),
        ("call(nn.Bilinear(8, 8, 4), 't')", ("Bilinear", "8, 8, 4")),
        ("call(torch.maximum, 't')", ("torch.maximum", "")),
        ("nn.ReLU(inplace=True)", ("ReLU", "")),
        ("pick[:, -1]", ("pick[:, -1]", "")),
        ("Odd(<a>)", ("Odd", "")),
    ],
)
def test_a_layer_in_a_few_words(text: str, label: tuple[str, str]) -> None:
    assert layer_label(text) == label


# Golden files


@pytest.mark.parametrize("name", ["flat_unet", "resnet", "two_inputs_two_outputs", "lstm"])
def test_golden_drawings(name: str, golden: Callable[[str, str], None]) -> None:
    drawing = Drawing(graph_of(NETWORKS[name]()))
    golden(f"drawing/{name}.svg", drawing.svg)
    golden(f"drawing/{name}.dot", drawing.dot)
    golden(f"drawing/{name}.mmd", drawing.mermaid)


# Files


def small_net() -> Sequential:
    return Sequential(nn.Linear(8, 8), nn.ReLU(), add("input"))


def test_the_ending_of_a_file_tells_its_form(tmp_path: Path) -> None:
    drawing = small_net().draw((1, 8))
    for ending, text in ((".svg", drawing.svg), (".dot", drawing.dot), (".mmd", drawing.mermaid)):
        drawing.save(tmp_path / f"net{ending}")
        assert (tmp_path / f"net{ending}").read_bytes().decode() == text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.dot", "net.mmd", "net.svg"]


def test_another_ending_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"cannot be saved as 'net\.jpg'") as caught:
        small_net().draw().save("net.jpg")
    assert "one of .svg, .png, .dot, .mmd; it is '.jpg'" in str(caught.value)
    assert "Write drawing.save('net.svg')" in str(caught.value)


def test_an_interrupted_run_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.svg"
    path.write_text("before")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("skipseq.views.files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_net().draw().save(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_png_has_the_size_of_the_picture_and_shows_its_text(tmp_path: Path) -> None:
    resvg_py = pytest.importorskip("resvg_py")
    drawing = small_net().draw((1, 8))
    picture = drawing.png(scale=1)
    assert picture.startswith(b"\x89PNG\r\n")
    width, height = (int.from_bytes(picture[k : k + 4], "big") for k in (16, 20))
    paper = look(drawing.svg).paper
    assert abs(width - paper.width) <= 1
    assert abs(height - paper.height) <= 1
    without_text = re.sub(r"<text.*?</text>", "", drawing.svg)
    assert picture != bytes(resvg_py.svg_to_bytes(svg_string=without_text, zoom=1))
    drawing.save(tmp_path / "net.png")
    assert (tmp_path / "net.png").read_bytes() == drawing.png()


def test_a_png_without_the_library_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    fonts_found.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'skipseq\[draw\]'"):
        small_net().draw().png()


def test_a_png_without_fonts_is_refused_as_its_text_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipseq.views.files.painter", lambda: lambda **_: b"blank")
    fonts_found.cache_clear()
    with pytest.raises(RuntimeError, match="no sans-serif font is installed"):
        small_net().draw().png()
    fonts_found.cache_clear()


# Notebooks


def test_a_network_shows_itself_in_a_notebook() -> None:
    net = small_net()
    assert net._repr_svg_() == net.draw().svg == net.draw()._repr_svg_()
    assert repr(net).startswith("Sequential(")
    assert repr(net.draw()) == "Drawing of Sequential: 4 boxes, 4 arrows"


def test_a_network_with_faults_shows_its_text() -> None:
    part = Sequential(nn.Linear(8, 8), save("a"))
    net = Sequential(("part", part), nn.ReLU(), add("part.a"))
    del part._modules["save_0"]
    with pytest.raises(WiringError):
        net.draw()
    assert net._repr_svg_() is None
    assert "part.a" in repr(net)


def test_needs_and_shapes_reach_the_picture() -> None:
    drawing = Sequential(nn.Linear(8, 4), cat("x")).draw(("N", 8), x=("N", 2))
    assert "N×6" in drawing.svg
    assert len(look(drawing.svg).boxes) == 5
