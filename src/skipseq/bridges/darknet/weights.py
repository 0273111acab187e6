"""The file of weights: a short header, then the numbers of each section in turn."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from skipseq.bridges.opening import open_file
from skipseq.errors import FileError

from .builder import Stored
from .sections import Section

__all__ = ["WeightsFile"]

#: Three numbers of the version, then how many images were seen: in 4 bytes, and since version 0.2 in 8.
SHORT_HEADER, LONG_HEADER = 16, 20

#: From here on a number of the version is none: the file is older than versions, and its linear layers are transposed.
OLD = 1000

ACTION = "cannot be read as weights"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights, as far as its header tells.

    Args:
        path: the file.
        version: the three numbers in front.
        size: its length in bytes.
    """

    path: Path
    version: tuple[int, int, int]
    size: int

    @classmethod
    def opened(cls, path: str | os.PathLike[str]) -> WeightsFile:
        """The file, its header read."""
        with open_file(path) as stream:
            header = stream.read(LONG_HEADER)
            size = stream.seek(0, os.SEEK_END)
        if len(header) < SHORT_HEADER:
            raise fault(path, "byte 0", "The header is cut off.", f"{SHORT_HEADER} or {LONG_HEADER} bytes", f"{len(header)}")
        major, minor, revision = struct.unpack_from("<iii", header)
        if min(major, minor, revision) < 0:
            received = f"{major}.{minor}.{revision}"
            raise fault(path, "byte 0", "This is no version of Darknet.", "three numbers, none below 0", received)
        return cls(Path(path), (major, minor, revision), size)

    @property
    def transposed(self) -> bool:
        """Whether the weights of linear layers are stored by their inputs."""
        return max(self.version[:2]) > OLD

    @property
    def start(self) -> int:
        """Where the numbers start."""
        major, minor, _ = self.version
        return LONG_HEADER if major * 10 + minor >= 2 and major < OLD and minor < OLD else SHORT_HEADER

    def fitting(self, stored: Sequence[Stored], layers: int | None, count: int) -> list[Stored]:
        """The tensors that the file holds, all its bytes accounted for.

        Args:
            stored: the tensors of the whole network.
            layers: how many sections the file covers; without it, all.
            count: how many sections there are.
        """
        covered = [each for each in stored if layers is None or each.section.index < layers]
        with_all = self.start + 4 * sum(each.count for each in covered)
        kept = [each for each in covered if not each.optional]
        without = self.start + 4 * sum(each.count for each in kept)
        if self.size == with_all:
            return covered
        if self.size == without:
            return kept
        raise self.misfit(covered, with_all, count if layers is None else layers, stored)

    def misfit(self, covered: Sequence[Stored], expected: int, layers: int, stored: Sequence[Stored]) -> FileError:
        """The error of a file that is too long or too short: where it ends, and how many sections it covers."""
        size, version = self.size, ".".join(map(str, self.version))
        sections = f"{layers} sections" if layers > 1 else "1 section"
        whole = f"{expected} bytes: a header of {self.start} for version {version}, and the weights of {sections}"
        exact = exact_sections(stored, self.start, size)
        advice = "Is this the file of weights for this network?"
        if exact:
            advice = f"It ends behind section {exact[0] - 1}: say layers={exact[0]} to read these, and leave the others new."
        if size > expected:
            return fault(self.path, f"byte {expected}", "The file goes on.", whole, f"{size} bytes", advice)
        place = self.start
        for each in covered:
            if place + 4 * each.count > size:
                return fault(
                    self.path, f"byte {place}, {described(each)}", "The file ends here.", whole, f"{size} bytes", advice
                )
            place += 4 * each.count
        return fault(self.path, f"byte {size}", "The header is cut off.", whole, f"{size} bytes")

    def read_into(self, stored: Sequence[Stored]) -> None:
        """Fills the tensors from the file."""
        with open_file(self.path) as stream, torch.no_grad():
            stream.seek(self.start)
            for each in stored:
                target = getattr(each.module, each.attribute)
                numbers = self.numbers(stream, each)
                if self.transposed and isinstance(each.module, nn.Linear) and each.attribute == "weight":
                    numbers = numbers.view(each.module.in_features, each.module.out_features).t()
                target.copy_(numbers.reshape(target.shape))

    def numbers(self, stream: BinaryIO, each: Stored) -> Tensor:
        """The next numbers."""
        place = stream.tell()
        data = bytearray(4 * each.count)
        if stream.readinto(data) != len(data):  # type: ignore[attr-defined]
            expected, received = f"{len(data)} bytes", "fewer: the file has changed"
            raise fault(self.path, f"byte {place}, {described(each)}", "The file ends here.", expected, received)
        return torch.frombuffer(data, dtype=torch.float32)


def exact_sections(stored: Sequence[Stored], start: int, size: int) -> list[int]:
    """The number of sections behind which the file ends, if it ends behind one."""
    place = start
    for _, tensors in groupby(stored, key=section_of):
        several = list(tensors)
        place += 4 * sum(each.count for each in several)
        if place == size:
            return [several[0].section.index + 1]
    return []


def section_of(stored: Stored) -> int:
    """The number of the section of a tensor."""
    return stored.section.index


def described(stored: Stored) -> str:
    """A tensor for people: where it belongs."""
    section: Section = stored.section
    return f"{stored.what} of section {section.index}, {section.place()}"


def fault(path: str | os.PathLike[str], where: str, problem: str, expected: str, received: str, advice: str = "") -> FileError:
    """An error of the file of weights."""
    advice = advice or "Get the file again, and compare its length with that of the original."
    return FileError(Path(path).name, where, problem, expected, received, advice, ACTION)
