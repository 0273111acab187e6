"""The file of parameters: every version of the format, and files that no honest program wrote."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skipseq.bridges.gluon.params import read_params
from skipseq.errors import FileError

from .fuzzing import damaged, read_or_refused
from .gluon_files import CODES, V1, V2, V3, array, params_file

VALUE = torch.arange(6, dtype=torch.float32).reshape(2, 3)


def read(folder: Path, data: bytes) -> dict[str, Tensor]:
    path = folder / "net-0000.params"
    path.write_bytes(data)
    return read_params(path)


@pytest.mark.parametrize("version", [0, V1, V2, V3])
def test_versions_of_the_format(tmp_path: Path, version: int) -> None:
    found = read(tmp_path, params_file({"a": array(VALUE, version), "b": array(VALUE[0], version)}))
    assert list(found) == ["a", "b"]
    assert torch.equal(found["a"], VALUE)
    assert torch.equal(found["b"], VALUE[0])


def test_a_number_alone_has_a_shape_since_version_3(tmp_path: Path) -> None:
    found = read(tmp_path, params_file({"a": array(torch.tensor(7.0), V3)}))
    assert found["a"].shape == ()
    assert found["a"] == 7


@pytest.mark.parametrize("dtype", CODES, ids=str)
def test_types_of_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    value = torch.tensor([[0, 1, 1], [3, 0, 100]]).to(dtype)
    found = read(tmp_path, params_file({"a": array(value)}))["a"]
    assert found.dtype is dtype
    assert torch.equal(found, value)


def test_any_byte_but_zero_is_true(tmp_path: Path) -> None:
    data = params_file({"a": array(torch.tensor([True, False]))[:-2] + b"\x07\x00"})
    assert read(tmp_path, data)["a"].tolist() == [True, False]


@settings(max_examples=25, deadline=None, database=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()),
        st.tuples(
            st.sampled_from([0, V1, V2, V3]), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(list(CODES))
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, told: Mapping[str, tuple[int, list[int], torch.dtype]]
) -> None:
    values = {name: torch.randint(0, 2, shape).to(dtype) for name, (_, shape, dtype) in told.items()}
    data = params_file({name: array(value, told[name][0]) for name, value in values.items()})
    found = read(tmp_path_factory.mktemp("params"), data)
    assert list(found) == list(values)
    assert all(torch.equal(found[name], value) and found[name].dtype is value.dtype for name, value in values.items())


def head(count: int) -> bytes:
    return struct.pack("<QQQ", 0x112, 0, count)


def one(entry: bytes) -> bytes:
    """A file of one array."""
    return params_file({"a": entry})


CPU = struct.pack("<ii", 1, 0)

#: What is wrong: the place, the problem, what was expected and received.
HOSTILE = {
    "empty": (b"", "byte 0", "The file ends within the number that begins a file of parameters.", "8 bytes", "0 bytes"),
    "other": (b"PK\3\4" + bytes(60), "byte 0", "This is no file of parameters.", "the number 0x112", "0x4034b50"),
    "many arrays": (head(2**60), "byte 16", "The number of arrays is too high.", "at most 0 in 0 bytes", str(2**60)),
    "no names": (
        params_file({"a": array(VALUE)}, names=[]),
        "byte 88",
        "Each array needs a name.",
        "1 names",
        "0 names",
    ),
    "many names": (
        head(0) + struct.pack("<Q", 2**63),
        "byte 24",
        "The number of names is too high.",
        "at most 0 in 0 bytes",
        str(2**63),
    ),
    "long name": (
        head(0) + struct.pack("<QQ", 1, 2**60),
        "byte 32",
        "A name is too long.",
        "at most 4096 bytes",
        f"{2**60} bytes",
    ),
    "name beyond the end": (
        head(0) + struct.pack("<QQ", 1, 100),
        "byte 40",
        "The file ends within a name.",
        "100 bytes",
        "0 bytes",
    ),
    "name that is no text": (
        params_file({"a": array(VALUE)}, names=[b"\xff\xfe"]),
        "byte 104",
        "A name is no text.",
        "UTF-8",
        r"b'\xff\xfe'",
    ),
    "two of a name": (
        params_file({"a": array(VALUE), "b": array(VALUE)}, names=[b"a", b"a"]),
        "byte 152",
        "Two arrays have the same name.",
        "a name for each",
        "'a'",
    ),
    "more behind the end": (
        one(array(VALUE)) + b"xyz",
        "byte 105",
        "There is more behind the end.",
        "the end of the file",
        "3 bytes",
    ),
    "dimensions": (
        one(struct.pack("<IiI", V2, 0, 2**31) + bytes(40)),
        "byte 32",
        "The shape of array 0 is wrong.",
        "at most 32 dimensions",
        str(-(2**31)),
    ),
    "dimensions without a version": (
        one(struct.pack("<I", 0x7FFFFFFF) + bytes(40)),
        "byte 24",
        "The shape of array 0 is wrong.",
        "at most 32 dimensions",
        str(2**31 - 1),
    ),
    "size": (
        one(struct.pack("<IiIqq", V2, 0, 2, 2**60, 2**60) + CPU + struct.pack("<i", 0)),
        "byte 64",
        "Array 0 goes beyond the end of the file.",
        f"({2**60}, {2**60}) of torch.float32: {4 * 2**120} bytes",
        "17 bytes",
    ),
    "negative size": (
        one(struct.pack("<IiIq", V2, 0, 1, -5) + CPU + struct.pack("<i", 0)),
        "byte 32",
        "The shape of array 0 is wrong.",
        "sizes of at least 1",
        "(-5,)",
    ),
    "size of nothing": (
        one(struct.pack("<IiIqq", V2, 0, 2, 0, 2**62) + CPU + struct.pack("<i", 0)),
        "byte 32",
        "The shape of array 0 is wrong.",
        "sizes of at least 1",
        f"(0, {2**62})",
    ),
    "no shape": (
        one(struct.pack("<IiI", V2, 0, 0)),
        "byte 24",
        "Array 0 is empty.",
        "an array",
        "an array without a shape",
    ),
    "type": (
        one(struct.pack("<IiIq", V2, 0, 1, 1) + CPU + struct.pack("<i", 99) + bytes(8)),
        "byte 52",
        "The type of array 0 is not known.",
        "one of [0, 1, 2, 3, 4, 5, 6, 7, 8, 12]",
        "99",
    ),
    "row sparse": (
        one(struct.pack("<Ii", V2, 1) + bytes(60)),
        "byte 28",
        "Array 0 is sparse.",
        "storage 0, a dense array",
        "1 (row_sparse)",
    ),
    "storage": (
        one(struct.pack("<Ii", V2, -7) + bytes(60)),
        "byte 28",
        "The storage of array 0 is not known.",
        "storage 0, a dense array",
        "-7",
    ),
}


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_files_are_refused_with_their_place(tmp_path: Path, label: str) -> None:
    data, where, problem, expected, received = HOSTILE[label]
    with pytest.raises(FileError) as caught:
        read(tmp_path, data)
    error = caught.value
    assert (error.where, error.problem, error.expected, error.received) == (where, problem, expected, received)
    assert error.file == str(tmp_path / "net-0000.params")


def test_a_sparse_array_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"write them with array\.tostype\('default'\)"):
        read(tmp_path, HOSTILE["row sparse"][0])


@pytest.mark.parametrize(
    ("name", "reason"), [("nothing.params", "No such file or directory"), ("", "a folder, a pipe or a device")]
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(FileError, match="it cannot be opened") as caught:
        read_params(tmp_path / name)
    assert caught.value.received == reason


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    values = {f"arg:conv{i}_weight": torch.randn(2, i + 1, 3) for i in range(4)}
    whole = params_file(
        {name: array(value, version) for (name, value), version in zip(values.items(), (0, V1, V2, V3), strict=True)}
    )
    outcomes = [read_or_refused(lambda data: read(tmp_path, data), data) is None for data in damaged(whole, 400)]
    assert any(outcomes)
    assert not all(outcomes)


def test_files_cut_at_every_byte_are_refused(tmp_path: Path) -> None:
    whole = params_file({"arg:a": array(VALUE, V1), "aux:b": array(VALUE[0], V2)})
    for length in range(len(whole)):
        with pytest.raises(FileError):
            read(tmp_path, whole[:length])
