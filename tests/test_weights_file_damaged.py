"""Files with weights as strangers write them: refused with an error of ours, in bounded time and memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from skipseq import Sequential, add, cat, save
from skipseq.bridges.weights import load_weights, reading
from skipseq.errors import FileError

from .fuzzing import EDGES, damaged, read_or_refused


def network() -> Sequential:
    """A network with all that a header tells: modes, what is frozen, tied and laid out."""
    net = Sequential(
        Sequential(("conv", nn.Conv2d(3, 4, 3, padding=1)), save("x"), nn.BatchNorm2d(4), cat("x"), nn.Conv2d(8, 4, 1)),
        nn.Conv2d(4, 4, 1).eval(),
        ("end", nn.Conv2d(4, 4, 1)),
        add("input", project=True),
    )
    net[1].bias.requires_grad_(False)
    net[2].weight = net[1].weight
    net.get_submodule("0.conv").to(memory_format=torch.channels_last)
    net.check((1, 3, 8, 8), materialise=True)
    return net


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that is in order."""
    path = tmp_path_factory.mktemp("valid") / "net.safetensors"
    network().to_file(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a file, and its numbers."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def file_of(header: Any, numbers: bytes) -> bytes:
    """A file with this header, which is JSON or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def read(data: bytes, path: Path) -> Sequential:
    """The network in a file with these bytes."""
    path.write_bytes(data)
    return Sequential.from_file(path)


def refusal(data: bytes, path: Path) -> str:
    """The text of the error that a file raises, without its name."""
    path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        Sequential.from_file(path)
    head, _, text = str(caught.value).partition("\n")
    assert head == f"{path} cannot be read as a network."
    return text


def test_the_file_itself_is_read(valid: bytes, path: Path) -> None:
    assert str(read(valid, path)) == str(network())


# Anything


def test_damaged_files_are_read_or_refused(valid: bytes, path: Path) -> None:
    results = [read_or_refused(lambda data: read(data, path), data) for data in damaged(valid, 600)]
    assert sum(result is None for result in results) > 30
    assert any(results)


def test_damaged_headers_are_read_or_refused(valid: bytes, path: Path) -> None:
    header, numbers = parts(valid)
    for text in damaged(json.dumps(header).encode(), 600, seed=1):
        read_or_refused(lambda data: read(data, path), file_of(text, numbers))


def test_damaged_texts_are_read_or_refused(valid: bytes, path: Path) -> None:
    header, numbers = parts(valid)
    for name in ("network", "details"):
        text = header["__metadata__"][name].encode()
        for changed in damaged(text, 200, seed=2):
            metadata = {**header["__metadata__"], name: changed.decode(errors="replace")}
            read_or_refused(lambda data: read(data, path), file_of({**header, "__metadata__": metadata}, numbers))


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(EDGES) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, st.data())
def test_any_json_in_any_place_is_read_or_refused(valid: bytes, path: Path, value: Any, data: st.DataObject) -> None:
    header, numbers = parts(valid)
    place: Any = header
    while isinstance(place, dict) and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(list(place)))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    if isinstance(place, list):
        place[data.draw(st.integers(0, len(place) - 1)) if place else 0 :] = [value]
    try:
        text = json.dumps(header).encode()
    except ValueError:
        return
    read_or_refused(lambda changed: read(changed, path), file_of(text, numbers))


@settings(max_examples=50, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["modes", "frozen", "tied", "layouts", "dtypes", "other"]), VALUES))
def test_any_details_are_read_or_refused(valid: bytes, path: Path, details: dict[str, Any]) -> None:
    header, numbers = parts(valid)
    header["__metadata__"]["details"] = json.dumps(details)
    read_or_refused(lambda changed: read(changed, path), file_of(header, numbers))


# By hand

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
COPY = "\n  Copy the file again: a part of it is missing, or is from another file."
DTYPES = "BOOL, U8, I8, U16, I16, U32, I32, U64, I64, F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ, F16, BF16, F32, F64, C64"

HOSTILE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "it is too short for a safetensors file\n  expected 8 bytes or more\n  received 0 bytes"),
    (
        "cut in its length",
        b"\x10\0\0",
        "it is too short for a safetensors file\n  expected 8 bytes or more\n  received 3 bytes",
    ),
    (
        "a length of 2^60",
        (2**60).to_bytes(8, "little") + b"{}",
        "byte 0: the header is longer than the file\n  expected a header of at most 2 bytes, which is what follows\n"
        f"  received {2**60} bytes",
    ),
    (
        "a length of 2^64 - 1",
        b"\xff" * 8 + b"{}",
        "byte 0: the header is longer than the file\n  expected a header of at most 2 bytes, which is what follows\n"
        f"  received {2**64 - 1} bytes",
    ),
    ("no header", bytes(8), "byte 8: the header is no JSON\n  expected Expecting value\n  received its end"),
    ("no text", file_of(b'{"\xff":1}', b""), "byte 10: the header is no text\n  expected UTF-8\n  received b'\\xff\":1}'"),
    ("no JSON", file_of(b"{a: 1}", b""), None),
    (
        "a list",
        file_of([], b""),
        "byte 8: the header is no JSON object\n  expected {...}\n  received []",
    ),
    (
        "nested a hundred thousand times",
        file_of(b'{"a":' * 100_000, b""),
        "byte 8: the header is nested too deeply\n  expected three levels\n  received hundreds",
    ),
    (
        "a key twice",
        file_of(b'{"a": 1, "a": 1}', b""),
        "byte 8: the header is not valid\n  expected keys that differ, and numbers\n  received 'a' twice",
    ),
    (
        "not a number",
        file_of(b'{"a": NaN}', b""),
        "byte 8: the header is not valid\n  expected keys that differ, and numbers\n  received NaN",
    ),
    ("a number of ten thousand digits", file_of(b'{"a": ' + b"9" * 10_000 + b"}", b""), None),
    (
        "an unknown type",
        file_of({"a": {**ENTRY, "dtype": "F128"}}, bytes(8)),
        f"tensor 'a': its dtype is not known\n  expected one of {DTYPES}\n  received F128",
    ),
    ("a type that is a list", file_of({"a": {**ENTRY, "dtype": ["F32"]}}, bytes(8)), None),
    (
        "a shape below zero",
        file_of({"a": {**ENTRY, "shape": [-2]}}, bytes(8)),
        "tensor 'a': its shape is none\n  expected whole numbers from 0 on, at most 64\n  received [-2]",
    ),
    ("a shape of broken numbers", file_of({"a": {**ENTRY, "shape": [2.0]}}, bytes(8)), None),
    ("a shape of truths", file_of({"a": {**ENTRY, "shape": [True, 2]}}, bytes(8)), None),
    ("a shape of a thousand extents", file_of({"a": {**ENTRY, "shape": [2**62] * 1000}}, bytes(8)), None),
    (
        "a shape of 2^186 numbers",
        file_of({"a": {**ENTRY, "shape": [2**62] * 3}}, bytes(8)),
        f"tensor 'a': its bytes are not as many as its shape has\n  expected {2**188} for F32 {[2**62] * 3}\n"
        "  received 8 bytes",
    ),
    (
        "bytes behind the end",
        file_of({"a": {**ENTRY, "data_offsets": [0, 2**60]}}, bytes(8)),
        "tensor 'a': its data_offsets lead out of the file\n"
        f"  expected a first byte and the one behind the last, among the 8 of the file\n  received [0, {2**60}]",
    ),
    ("offsets the other way round", file_of({"a": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)), None),
    ("one offset", file_of({"a": {**ENTRY, "data_offsets": [8]}}, bytes(8)), None),
    (
        "two tensors in one place",
        file_of({"a": ENTRY, "b": ENTRY}, bytes(8)),
        "tensor 'b': it shares bytes with another tensor\n  expected its numbers from byte 138 on\n  received from byte 130",
    ),
    (
        "a gap",
        file_of({"a": {**ENTRY, "data_offsets": [8, 16]}}, bytes(16)),
        "tensor 'a': bytes before it belong to no tensor\n  expected its numbers from byte 70 on\n  received from byte 78",
    ),
    (
        "bytes at the end",
        file_of({"a": ENTRY}, bytes(9)),
        "its last bytes belong to no tensor\n  expected 77 bytes\n  received 78 bytes",
    ),
    (
        "a field more",
        file_of({"a": {**ENTRY, "more": 1}}, bytes(8)),
        "tensor 'a': it is not described\n  expected dtype, shape and data_offsets\n"
        '  received {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "more": 1}',
    ),
    (
        "metadata of numbers",
        file_of({"__metadata__": {"skipseq": 1}}, b""),
        '__metadata__: it is not a JSON object of texts\n  expected {"name": "text"}\n  received {"skipseq": 1}',
    ),
]


@pytest.mark.parametrize(("data", "text"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE])
def test_what_is_no_such_file_is_refused(data: bytes, text: str | None, path: Path) -> None:
    told = refusal(data, path)
    assert told.endswith(COPY)
    if text is not None:
        assert told == f"  {text}{COPY}"


def test_a_header_that_is_too_long_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write((1 << 40).to_bytes(8, "little"))
        file.truncate(1 << 41)  # a file with a hole, which takes no place on the disk
    with pytest.raises(FileError, match=r"byte 0: the header is too long\n  expected at most 33554432 bytes"):
        Sequential.from_file(path)


def metadata_of(text: str, **others: str) -> dict[str, Any]:
    return {"__metadata__": {"skipseq": "1", "network": text, **others}}


def told(text: str) -> str:
    return f"skipseq: 1\nnetwork: [{text}]"


LINEAR = {"0.weight": {**ENTRY, "shape": [2, 1]}, "0.bias": {**ENTRY, "data_offsets": [8, 16]}}

UNFIT: list[tuple[str, dict[str, Any], int, str]] = [
    (
        "a network of terabytes",
        metadata_of(told("'nn.Linear(1000000, 1000000)'")) | LINEAR,
        16,
        "'0.weight' of nn.Linear(1000000, 1000000) has the shape [1000000, 1000000]; the file has [2, 1].",
    ),
    ("no such tensors", metadata_of(told("'nn.Linear(1, 2)'")), 0, "'0.weight' of nn.Linear(1, 2) is missing."),
    ("too many tensors", metadata_of(told("nn.ReLU()")) | LINEAR, 16, "'0.weight' belongs to no layer."),
    (
        "numbers of another kind",
        metadata_of(told("'nn.Linear(2, 1, bias=False)'"))
        | {"0.weight": {"dtype": "I32", "shape": [1, 2], "data_offsets": [0, 8]}},
        8,
        "'0.weight' of nn.Linear(2, 1, bias=False) holds F32; the file has I32.",
    ),
    (
        "half of what a layer makes at its first call",
        metadata_of(told("nn.LazyLinear(2)")) | {"0.weight": {**ENTRY, "shape": [2, 1]}},
        8,
        "'0.bias' of nn.LazyLinear(2) is missing.",
    ),
    (
        "tied to nothing",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"tied": {"0.bias": "1.bias"}}') | LINEAR,
        16,
        "'0.bias' is said to be '1.bias', and one of them is no tensor of the network.",
    ),
    (
        "tied in a circle",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"tied": {"0.bias": "0.bias"}}') | LINEAR,
        16,
        "'0.bias' is said to be '0.bias', and one of them is no tensor of the network.",
    ),
    (
        "tied to another shape",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"tied": {"0.bias": "0.weight"}}') | LINEAR,
        16,
        "'0.bias' is said to be '0.weight': '0.bias' of nn.Linear(1, 2) has the shape [2], "
        "'0.weight' of nn.Linear(1, 2) has the shape [2, 1].",
    ),
    (
        "frozen and not there",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"frozen": ["1.bias"]}') | LINEAR,
        16,
        "'1.bias' is said to be frozen, and is no parameter.",
    ),
    (
        "a mode of nothing",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"modes": {"3": false}}') | LINEAR,
        16,
        "details: they tell of something that is not there\n  expected paths of layers\n  received 3",
    ),
    (
        "a type of nothing",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"dtypes": {"0.bias": "F16"}}') | LINEAR,
        16,
        "received 0.bias",
    ),
    (
        "a layout of too few extents",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"layouts": {"0.bias": "channels_last"}}') | LINEAR,
        16,
        "details: a tensor cannot have its layout",
    ),
    (
        "an unknown layout",
        metadata_of(told("'nn.Linear(1, 2)'"), details='{"layouts": {"0.bias": "__class__"}}') | LINEAR,
        16,
        "received '__class__' of 1",
    ),
    (
        "details that are no JSON",
        metadata_of(told("nn.ReLU()"), details="{"),
        0,
        "details: what it says of modes and weights cannot be read\n  expected a JSON object",
    ),
    ("details of another kind", metadata_of(told("nn.ReLU()"), details='{"modes": []}'), 0, "expected modes as a JSON object"),
    ("details nested too deeply", metadata_of(told("nn.ReLU()"), details="[" * 100_000), 0, "maximum recursion depth exceeded"),
    ("no text", {"__metadata__": {"skipseq": "1"}}, 0, "expected version '1'\n  received no text"),
    ("a text without a version", {"__metadata__": {"network": told("nn.ReLU()")}}, 0, "received version None"),
    ("a text that is none", metadata_of("import os"), 0, "expected 'skipseq: 1' in the first line"),
    ("code", metadata_of(told('\'__import__("os").system("true")\'')), 0, "cannot be read as a network."),
    ("a text too long", metadata_of("#" * (1 << 23)), 0, "it is too long for the text of a network"),
]


@pytest.mark.parametrize(("header", "size", "text"), [each[1:] for each in UNFIT], ids=[each[0] for each in UNFIT])
def test_what_does_not_fit_together_is_refused(header: dict[str, Any], size: int, text: str, path: Path) -> None:
    path.write_bytes(file_of(header, bytes(size)))
    with pytest.raises(FileError) as caught:
        Sequential.from_file(path)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_ten_thousand_differences_are_told_in_a_few(path: Path) -> None:
    entries = {f"{i}.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(10_000)}
    path.write_bytes(file_of(metadata_of(told("nn.ReLU()")) | entries, b""))
    with pytest.raises(FileError) as caught:
        Sequential.from_file(path)
    assert "received 10000 differences" in str(caught.value)
    assert "and 9980 more." in str(caught.value)
    assert len(str(caught.value).splitlines()) < 30


def afterwards(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Does something as soon as the text of a file was read, before its numbers are."""
    build = reading.network_of_text

    def built(*arguments: Any, **named: Any) -> Any:
        net = build(*arguments, **named)
        act()
        return net

    monkeypatch.setattr(reading, "network_of_text", built)


def test_a_file_that_is_cut_while_it_is_read_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Sequential(nn.Linear(100, 100)).to_file(path)
    afterwards(monkeypatch, lambda: os.truncate(path, path.stat().st_size - 10))
    text = r"'0.bias': the file was cut while it was read\n  expected 400 bytes\n  received 390 bytes"
    with pytest.raises(FileError, match=text):
        Sequential.from_file(path)


def test_a_file_without_memory_for_it_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Sequential(nn.Linear(4, 4)).to_file(path)

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't allocate memory")

    afterwards(monkeypatch, lambda: monkeypatch.setattr(torch, "empty", full))
    with pytest.raises(FileError, match=r"'0.weight': there is no memory for it\n  expected 64 bytes"):
        Sequential.from_file(path)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "a folder, a pipe or a device"),
    ],
)
def test_what_cannot_be_opened_is_told(make: Callable[[Path], Any], text: str, path: Path) -> None:
    make(path)
    for read_it in (Sequential.from_file, lambda path: load_weights(network(), path)):
        with pytest.raises(FileError) as caught:
            read_it(path)
        assert str(caught.value) == (
            f"{path} cannot be read as a network.\n  it cannot be opened\n  expected a file to read\n"
            f"  received {text}\n  Look at its name and place."
        )
    with pytest.raises(FileError, match="embedded null byte"):
        Sequential.from_file("a\0b")
