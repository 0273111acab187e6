"""The header of a safetensors file: 8 bytes with its length, JSON that tells where each tensor lies, then their bytes.

Nothing is taken from a file before it is verified: lengths are compared with the bytes that the file has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from skipseq.errors import FileError

__all__ = ["DTYPES", "LARGEST_HEADER", "Entry", "Header", "dtype_name", "header_bytes", "no_constant", "read_header", "unique"]

#: The numbers that a file can hold, by their names in it.
DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}

#: How many bytes a header may have: a network of 100,000 layers needs about 17 million.
LARGEST_HEADER = 32 << 20

#: Where a header has what is no tensor.
METADATA = "__metadata__"

WHOLE = "Copy the file again: a part of it is missing, or is from another file."


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the numbers of one tensor lie in a file, and what they are.

    Args:
        dtype: their type, one of the names in ``DTYPES``.
        shape: the extents of the tensor.
        start: the first byte, counted from the beginning of the file.
        end: the byte behind the last one.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says of itself: its tensors by key, and texts by name."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def dtype_name(dtype: torch.dtype) -> str | None:
    """The name of a type of numbers in a file, if a file can hold it.

    >>> import torch
    >>> from skipseq.bridges.weights.header import dtype_name
    >>> dtype_name(torch.bfloat16), dtype_name(torch.complex128)
    ('BF16', None)
    """
    return next((name for name, each in DTYPES.items() if each == dtype), None)


# Writing


def header_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a file whose tensors lie one behind the other.

    Args:
        tensors: the type, the shape and the number of bytes of each, by key.
        metadata: texts by name.
    """
    content: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    start = 0
    for key, (dtype, shape, size) in tensors.items():
        content[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin where the widest of them can be read
    return len(text).to_bytes(8, "little") + text


# Reading


def read_header(file: BinaryIO, size: int, name: str) -> Header:
    """The verified header of a file; the numbers are not read.

    Args:
        file: the file, at its beginning.
        size: how many bytes it has.
        name: its name, for errors.

    Raises:
        FileError: if it is no whole safetensors file.
    """
    length = int.from_bytes(file.read(8), "little") if size >= 8 else -1
    if length < 0:
        raise fault(name, "", "it is too short for a safetensors file", "8 bytes or more", f"{size} bytes")
    if length > size - 8:
        expected = f"a header of at most {size - 8} bytes, which is what follows"
        raise fault(name, "byte 0", "the header is longer than the file", expected, f"{length} bytes")
    if length > LARGEST_HEADER:
        raise fault(name, "byte 0", "the header is too long", f"at most {LARGEST_HEADER} bytes", f"{length} bytes")
    content = parsed(file.read(length), name)
    metadata = content.pop(METADATA, {})
    entries = {key: read_entry(key, value, 8 + length, size, name) for key, value in content.items()}
    verify_places(entries, 8 + length, size, name)
    return Header(entries, read_metadata(metadata, name))


def parsed(text: bytes, name: str) -> dict[str, Any]:
    """The JSON of a header as a dictionary."""
    try:
        content = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=no_constant)
    except UnicodeDecodeError as error:
        raise fault(name, f"byte {8 + error.start}", "the header is no text", "UTF-8", repr(text[error.start :][:8])) from None
    except json.JSONDecodeError as error:
        received = error.doc[error.pos : error.pos + 40] or "its end"
        raise fault(name, f"byte {8 + error.pos}", "the header is no JSON", error.msg, received) from None
    except RecursionError:
        raise fault(name, "byte 8", "the header is nested too deeply", "three levels", "hundreds") from None
    except ValueError as error:  # a key twice, NaN, a number of thousands of digits
        raise fault(name, "byte 8", "the header is not valid", "keys that differ, and numbers", str(error)) from None
    if not isinstance(content, dict):
        raise fault(name, "byte 8", "the header is no JSON object", "{...}", text[:40].decode(errors="replace"))
    return content


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys have to differ."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} twice")
        found[key] = value
    return found


def no_constant(name: str) -> None:
    """Refuses what JSON has no word for."""
    raise ValueError(name)


def read_entry(key: str, value: Any, begin: int, size: int, name: str) -> Entry:
    """Where one tensor lies, if its type, its shape and its bytes belong together."""
    where = f"tensor {key[:80]!r}"
    fields = {"dtype", "shape", "data_offsets"}
    if not isinstance(value, dict) or set(value) != fields:
        raise fault(name, where, "it is not described", "dtype, shape and data_offsets", json.dumps(value)[:200])
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise fault(name, where, "its dtype is not known", f"one of {', '.join(DTYPES)}", str(dtype)[:200])
    if not is_counts(shape) or len(shape) > 64:
        raise fault(name, where, "its shape is none", "whole numbers from 0 on, at most 64", str(shape)[:200])
    if not is_counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size - begin:
        expected = f"a first byte and the one behind the last, among the {size - begin} of the file"
        raise fault(name, where, "its data_offsets lead out of the file", expected, str(offsets)[:200])
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if needed != offsets[1] - offsets[0]:
        described = f"{offsets[1] - offsets[0]} bytes"
        raise fault(
            name, where, "its bytes are not as many as its shape has", f"{needed} for {dtype} {str(shape)[:80]}", described
        )
    return Entry(dtype, tuple(shape), begin + offsets[0], begin + offsets[1])


def is_counts(value: Any) -> bool:
    """Whether a value of JSON is a list of numbers that can count bytes or extents."""
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 63 for each in value)


def verify_places(entries: Mapping[str, Entry], begin: int, size: int, name: str) -> None:
    """Refuses tensors that overlap, and bytes that belong to none.

    Raises:
        FileError: naming the first place.
    """
    at = begin
    for key, entry in sorted(entries.items(), key=lambda each: (each[1].start, each[1].end)):
        if entry.start != at:
            problem = "it shares bytes with another tensor" if entry.start < at else "bytes before it belong to no tensor"
            raise fault(name, f"tensor {key[:80]!r}", problem, f"its numbers from byte {at} on", f"from byte {entry.start}")
        at = entry.end
    if at != size:
        raise fault(name, "", "its last bytes belong to no tensor", f"{at} bytes", f"{size} bytes")


def read_metadata(value: Any, name: str) -> dict[str, str]:
    """The texts of a header."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise fault(name, METADATA, "it is not a JSON object of texts", '{"name": "text"}', json.dumps(value)[:200])
    return value


def fault(name: str, where: str, problem: str, expected: str, received: str, advice: str = WHOLE) -> FileError:
    """The error that a file is no safetensors file, or not a whole one."""
    return FileError(name, where, problem, expected, received, advice)
