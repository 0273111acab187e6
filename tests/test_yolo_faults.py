"""What model files have that cannot be read: each fault with its line and column, in bounded time and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skipseq.bridges.yolo import YoloModule, from_yolo
from skipseq.bridges.yolo.modules import KNOWN
from skipseq.errors import FileError

from .fuzzing import damaged, read_or_refused
from .yolo_faulty_files import CASES, ROW, file_of

DATA = Path(__file__).parent / "data" / "yolo"


def told(text: Any, **options: Any) -> list[str]:
    """The lines of the error that a file gives."""
    with pytest.raises(FileError) as caught:
        from_yolo(text, **options)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("text", "parts"), CASES, ids=[parts[0] for _, parts in CASES])
def test_a_fault_is_told_with_its_place(text: str, parts: list[str]) -> None:
    problem, expected, received, advice = parts
    assert told(text) == [
        "the text cannot be read as a network.",
        f"  {problem}",
        f"  expected {expected}",
        f"  received {received}",
        f"  {advice}",
    ]


def test_a_module_with_nearly_the_name_of_a_known_one_is_offered() -> None:
    assert told(file_of("[-1, 1, Con, [8]]"))[-1].endswith("*args). Did you mean 'Conv'?")
    assert told(file_of("[-1, 1, nn.Upsampel, [8]]"))[-1].endswith("Did you mean 'nn.Upsample'?")
    assert told(file_of("[-1, 1, Gat, [8]]"), registry={"Gate": nn.Identity})[-1].endswith("Did you mean 'Gate'?")


@pytest.mark.parametrize(
    "written", ["nn.Linear()", "ReLU", "nn.ReLU().cuda()", "nn.SiLU(a=1)", "nn.Softplus(x)", "5", "[nn.ReLU]"]
)
def test_an_activation_is_a_layer_of_torch(written: str) -> None:
    lines = told(file_of(ROW, head=f"activation: {written}"))
    assert lines[1:4] == [
        "  line 1, column 13: the value of 'activation' is wrong",
        "  expected a layer of torch.nn, as nn.ReLU() or nn.LeakyReLU(0.1)",
        f"  received {written}",
    ]


def test_a_scale_that_is_not_there_is_told_with_those_that_are() -> None:
    assert told(DATA / "free.yaml", scale="tini")[1:] == [
        "  line 3, column 1: the scale is not in the file",
        "  expected tiny, wide",
        "  received 'tini'",
        "  Ask for one of these, as in scale='tiny'. Did you mean 'tiny'?",
    ]
    assert told(file_of(ROW), scale="n")[1:] == [
        "  the scale 'n' is asked for",
        "  expected the key 'scales'",
        "  received a file without it",
        "  Leave scale= out, or write scales in the file: 'scales: {n: [0.33, 0.25, 1024]}'.",
    ]


# The registry


def test_what_a_function_of_the_registry_raises_is_told_at_its_row() -> None:
    def build(channels: int) -> nn.Module:
        raise KeyError("no such thing")

    lines = told(file_of(ROW, "[-1, 1, My, []]"), registry={"My": build})
    assert lines[1] == "  line 4, column 5: row 1 (My): it cannot be built"
    assert lines[-1] == "  KeyError: 'no such thing'"


def test_a_function_of_the_registry_gives_a_module() -> None:
    lines = told(file_of("[-1, 1, My, []]"), registry={"My": lambda channels: torch.relu})
    assert lines[1:4] == [
        "  line 3, column 5: row 0 (My): the function of the registry gives no module",
        "  expected an nn.Module",
        "  received a builtin_function_or_method",
    ]


def test_a_module_of_the_registry_that_gives_several_values_is_read_by_none() -> None:
    registry = {"My": lambda channels: nn.MaxPool2d(2, return_indices=True)}
    text = file_of("[-1, 1, My, []]", "[-1, 1, Conv, [8]]")
    assert told(text, registry=registry)[1:4] == [
        "  line 4, column 5: row 1 (Conv): it reads 'my'",
        "  expected a tensor (batch, channels, ...)",
        "  received a tuple",
    ]


def test_a_scaled_module_of_the_registry_has_a_number_of_channels() -> None:
    registry = {"My": YoloModule(lambda channels, after: nn.Identity(), scaled=True)}
    assert told(file_of("[-1, 1, My, [x]]"), registry=registry)[1:4] == [
        "  line 3, column 5: row 0 (My): its first argument is no number of channels",
        "  expected a whole number from 1 to 1048576",
        "  received 'x'",
    ]


def test_a_module_of_the_registry_that_reads_a_list_stands_once() -> None:
    text = file_of(ROW, ROW, "[[0, 1], 2, My, []]")
    assert told(text, registry={"My": lambda channels: nn.Identity()})[1:4] == [
        "  line 5, column 5: row 2 (My): it reads a list, and stands several times",
        "  expected the number 1",
        "  received 2",
    ]


# Files


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "model.yaml")
    assert told(path) == [
        f"{path} cannot be read as a network.",
        "  it cannot be opened",
        "  expected a file to read",
        "  received No such file or directory",
        "  Look at its name and place.",
    ]


def test_the_place_is_told_for_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "model.yml"
    path.write_bytes(b"\xef\xbb\xbf" + file_of("[-1, 1, Conv, [8]]", "[-1, 1, Conv]").replace("\n", "\r\n").encode())
    assert told(path)[:2] == [f"{path} cannot be read as a network.", "  line 4, column 5: row 1 has 3 fields"]


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"nc: 3\n# caf\xe9\n")
    assert told(path)[1:] == [
        "  byte 11: it is no text in UTF-8",
        "  expected UTF-8",
        "  received the byte 0xe9",
        "  Save the file as UTF-8 in an editor.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: [" + "1, " * 100_000 + "]\n",
        "- " * 30_000,
        "{a: " * 15_000,
        "\n".join(" " * indent + "a:" for indent in range(300)),
        "a: &a [x]\n" + "\n".join(f"b{i}: &b{i} [*a, *a]" for i in range(1000)),
        'a: "\\UFFFFFFFF"\n',
        "%YAML " + "9" * 5000 + ".1\n---\na: 1\n",
        "a: \x00\n",
        "a: \ud800\n",
        "? " * 20_000,
        "backbone: [" + "[-1, 1, Conv, [8]], " * 3000 + "]\nhead: []\n",
    ],
)
def test_hostile_texts_are_refused_soon(text: str) -> None:
    start = time.monotonic()
    told(text)
    assert time.monotonic() - start < 10


def test_what_the_limits_allow_is_read_soon() -> None:
    start = time.monotonic()
    from_yolo(file_of(*["[-1, 1, Conv, [8]]"] * 500), size=32)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("name", ["free", "anchored", "classes"])
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    def read(data: bytes) -> Any:
        path.write_bytes(data)
        return from_yolo(path, largest=1 << 28)

    path = tmp_path / "damaged.yaml"
    results = [read_or_refused(read, each) for each in damaged((DATA / f"{name}.yaml").read_bytes(), 150)]
    assert 0 < sum(result is None for result in results) < 150


VALUES = st.one_of(
    st.integers(-10, 70),
    st.sampled_from(
        [None, True, False, 0.5, -1.5, "None", "nearest", "nc", "anchors", "x", 2**40, 10**30, 1e300, [2, 2], [[1]], []]
    ),
)
ROWS = st.tuples(
    st.one_of(st.integers(-3, 5), st.lists(st.integers(-3, 5), max_size=3)),
    st.integers(1, 4),
    st.sampled_from([*KNOWN, "Concat", "Detect", "nn.MaxPool2d", "nn.Upsample", "nn.PixelShuffle", "nn.Flatten", "Unknown"]),
    st.lists(VALUES, max_size=4),
)


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(ROWS, min_size=1, max_size=5), st.sampled_from(["nc: 3", "nc: 3\nanchors: 2", "depth_multiple: 0.1", "ch: 1"]))
def test_random_rows_are_read_or_refused(rows: list[Any], head: str) -> None:
    text = head + "\n" + yaml.safe_dump({"backbone": [list(row) for row in rows], "head": []})
    net = read_or_refused(lambda data: from_yolo(data.decode(), size=64, largest=1 << 26), text.encode())
    if net is not None:
        assert str(net).startswith("Sequential(")


# What is asked for


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("channels", 0, "a whole number from 1 to 65536"),
        ("channels", -1, "a whole number from 1 to 65536"),
        ("channels", 1.5, "a whole number from 1 to 65536"),
        ("classes", 0, "a whole number from 1 to 65536"),
        ("classes", "80", "a whole number from 1 to 65536"),
        ("classes", True, "a whole number from 1 to 65536"),
        ("size", "640", "a whole number of pixels, or a height and a width"),
        ("size", 0, "a whole number of pixels, or a height and a width"),
        ("size", (64, 64, 64), "a whole number of pixels, or a height and a width"),
        ("size", (64, -64), "a whole number of pixels, or a height and a width"),
    ],
)
def test_a_wrong_argument_is_named(name: str, value: Any, expected: str) -> None:
    assert told(file_of(ROW), **{name: value}) == [
        "a model file cannot be read as a network.",
        f"  the argument {name}= is wrong",
        f"  expected {expected}",
        f"  received {value!r}",
        f"  Leave {name}= out, or write such a number.",
    ]


@pytest.mark.parametrize("source", [None, {"nc": 3}, b"nc: 3", 5])
def test_what_is_neither_a_text_nor_a_path_is_told(source: Any) -> None:
    assert told(source)[1:] == [
        "  neither a text nor a path",
        "  expected a text, or the path of a file",
        f"  received {source!r}",
        "  Write from_yolo('model.yaml').",
    ]


@pytest.mark.parametrize("source", ["yolov8n", "models/yolov8n.pt", "~/nets/v5"])
def test_a_name_without_an_ending_is_taken_for_a_file(source: str) -> None:
    assert told(source)[:2] == [f"{source} cannot be read as a network.", "  it cannot be opened"]


def test_an_activation_is_offered_as_it_is_written() -> None:
    assert told(file_of(ROW, head="activation: ReLU"))[-1].endswith("Did you mean 'nn.ReLU'?")


def test_an_unknown_module_that_reads_a_list_is_told_to_be_unknown() -> None:
    lines = told(file_of(ROW, "[[-1, 0], 1, Segment, [nc, 32]]", head="nc: 3"))
    assert lines[1].endswith("row 1 (Segment): this module is not known")
    assert "registry={'Segment': build}" in lines[-1]
