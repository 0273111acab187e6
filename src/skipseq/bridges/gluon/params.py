"""The parameters of an MXNet network: the binary file that ``export``, ``save_parameters`` and ``mx.nd.save`` write."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import torch
from torch import Tensor

from skipseq.bridges.opening import open_file
from skipseq.errors import FileError

__all__ = ["read_params"]

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA

#: Types of numbers by their codes; a type that PyTorch lacks on some devices is read all the same.
DTYPES = {
    0: torch.float32,
    1: torch.float64,
    2: torch.float16,
    3: torch.uint8,
    4: torch.int32,
    5: torch.int8,
    6: torch.int64,
    7: torch.bool,
    8: torch.int16,
    12: torch.bfloat16,
}

STORAGES = {1: "row_sparse", 2: "csr"}

#: The most dimensions of an array, as in MXNet.
MOST_DIMENSIONS = 32

#: The longest name of a parameter, in bytes.
LONGEST_NAME = 4096

DAMAGED = "The file is damaged, or it was not written by MXNet. Export the network again."
UNINITIALIZED = "Run the network on a batch once before it is exported, so that every parameter has its shape."


def read_params(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The arrays of a parameter file by their names, in the order of the file.

    Args:
        path: the file: ``model-0000.params``.

    Raises:
        FileError: if the file is damaged, holds sparse arrays, or arrays without names.
    """
    with open_file(path) as file:
        reader = ParamsReader(os.fspath(path), file, os.fstat(file.fileno()).st_size)
        return reader.read()


@dataclass
class ParamsReader:
    """Reads a parameter file from front to end, and takes no memory for bytes that it does not have.

    Args:
        name: the name of the file.
        file: where the bytes come from.
        size: how many there are.
    """

    name: str
    file: BinaryIO
    size: int
    at: int = 0

    def read(self) -> dict[str, Tensor]:
        """All arrays by their names."""
        magic = self.whole("Q", "the number that begins a file of parameters")
        if magic != LIST_MAGIC:
            raise self.fault(0, "This is no file of parameters.", f"the number {LIST_MAGIC:#x}", f"{magic:#x}")
        self.whole("Q", "eight reserved bytes")
        arrays = [self.array(i) for i in range(self.count("arrays", 8))]
        start = self.at
        names = [self.text() for _ in range(self.count("names", 8))]
        if len(names) != len(arrays):
            raise self.fault(start, "Each array needs a name.", f"{len(arrays)} names", f"{len(names)} names")
        if self.at != self.size:
            raise self.fault(self.at, "There is more behind the end.", "the end of the file", f"{self.size - self.at} bytes")
        return self.named(names, arrays, start)

    def named(self, names: list[str], arrays: list[Tensor], start: int) -> dict[str, Tensor]:
        """The arrays by their names, each of which stands once."""
        found: dict[str, Tensor] = {}
        for name, array in zip(names, arrays, strict=True):
            if name in found:
                raise self.fault(start, "Two arrays have the same name.", "a name for each", repr(name))
            found[name] = array
        return found

    def array(self, number: int) -> Tensor:
        """The array that begins here."""
        start = self.at
        magic = self.whole("I", f"array {number}")
        if magic in (V2, V3):
            self.dense(number)
        shape = self.shape(magic, number)
        if shape is None:
            raise self.fault(start, f"Array {number} is empty.", "an array", "an array without a shape", UNINITIALIZED)
        self.take(8, f"the device of array {number}")
        at, code = self.at, self.whole("i", f"the type of array {number}")
        if code not in DTYPES:
            raise self.fault(at, f"The type of array {number} is not known.", f"one of {sorted(DTYPES)}", str(code))
        return self.numbers(shape, DTYPES[code], number)

    def dense(self, number: int) -> None:
        """Refuses an array that is not dense."""
        at, storage = self.at, self.whole("i", f"the storage of array {number}")
        if storage in STORAGES:
            advice = "Dense layers take dense weights: write them with array.tostype('default')."
            kind = f"{storage} ({STORAGES[storage]})"
            raise self.fault(at, f"Array {number} is sparse.", "storage 0, a dense array", kind, advice)
        if storage != 0:
            raise self.fault(at, f"The storage of array {number} is not known.", "storage 0, a dense array", str(storage))

    def shape(self, magic: int, number: int) -> tuple[int, ...] | None:
        """The shape of an array, or nothing for an array without one."""
        at = self.at
        legacy = magic not in (V1, V2, V3)
        dimensions = magic if legacy else self.whole("i", f"the shape of array {number}")
        if (magic == V3 and dimensions == -1) or (magic != V3 and dimensions == 0):
            return None
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            expected = f"at most {MOST_DIMENSIONS} dimensions"
            raise self.fault(at - 4 * legacy, f"The shape of array {number} is wrong.", expected, str(dimensions))
        form = "I" if legacy else "q"
        data = self.take(dimensions * struct.calcsize(form), f"the shape of array {number}")
        shape = struct.unpack(f"<{dimensions}{form}", data)
        if any(size <= 0 for size in shape):
            advice = UNINITIALIZED if min(shape) >= -1 else DAMAGED
            raise self.fault(at, f"The shape of array {number} is wrong.", "sizes of at least 1", str(shape), advice)
        return shape

    def numbers(self, shape: tuple[int, ...], dtype: torch.dtype, number: int) -> Tensor:
        """The numbers of an array."""
        count, at = prod(shape), self.at
        if count * dtype.itemsize > self.size - at:
            expected = f"{shape} of {dtype}: {count * dtype.itemsize} bytes"
            raise self.fault(at, f"Array {number} goes beyond the end of the file.", expected, f"{self.size - at} bytes")
        data = self.take(count * dtype.itemsize, f"array {number}")
        if dtype is torch.bool:  # any byte but 0 is true
            return torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)
        return torch.frombuffer(data, dtype=dtype).reshape(shape)

    def text(self) -> str:
        """A name."""
        at, length = self.at, self.whole("Q", "the length of a name")
        if length > LONGEST_NAME:
            raise self.fault(at, "A name is too long.", f"at most {LONGEST_NAME} bytes", f"{length} bytes")
        data = bytes(self.take(length, "a name"))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.fault(at + 8, "A name is no text.", "UTF-8", repr(data[:60])) from None

    def count(self, what: str, least: int) -> int:
        """How many there are, each of at least so many bytes."""
        at, number = self.at, self.whole("Q", f"the number of {what}")
        if number * least > self.size - self.at:
            expected = f"at most {(self.size - self.at) // least} in {self.size - self.at} bytes"
            raise self.fault(at, f"The number of {what} is too high.", expected, str(number))
        return number

    def whole(self, form: str, what: str) -> int:
        """A whole number of a form of ``struct``."""
        return int(struct.unpack(f"<{form}", self.take(struct.calcsize(form), what))[0])

    def take(self, length: int, what: str) -> bytearray:
        """So many bytes from here."""
        left = self.size - self.at
        data = bytearray(length if length <= left else 0)
        if length > left or self.file.readinto(data) != length:  # type: ignore[attr-defined]
            raise self.fault(self.at, f"The file ends within {what}.", f"{length} bytes", f"{left} bytes")
        self.at += length
        return data

    def fault(self, at: int, problem: str, expected: str, received: str, advice: str = DAMAGED) -> FileError:
        """The error of something at a byte of the file."""
        return FileError(self.name, f"byte {at}", problem, expected, received, advice)
