"""Files as strangers write them: valid ones that were damaged, in a bounded loop, and what a reader may do with them."""

from __future__ import annotations

import random
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from skipseq.errors import SkipseqError

#: Numbers at which lengths, counts and offsets go wrong.
EDGES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1]

#: Texts at which readers of text go wrong.
TEXTS = [
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"99999999999999999999",
    b"\x00",
    b"\xff\xfe",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"'",
    b":",
    b"#",
]
TEXTS += [
    b"\n",
    b"  ",
    b"\t",
    b",",
    b"=",
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"null",
    b"None",
    b"true",
    b"(",
    b")",
    b"\xc3\xa9",
]

#: What one file may cost a reader, on a machine that is busy with other tests too.
MOST_SECONDS = 60.0
MOST_BYTES = 1 << 30


def damaged(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """So many damaged copies of a file, the same ones each time."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            damage(changed, chance)
        yield bytes(changed)


def damage(data: bytearray, chance: random.Random) -> None:
    """Damages a file at one place."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(7)
    if kind == 0:
        del data[at:]
    elif kind == 1 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 2:
        data[at : at + chance.choice((1, 4, 8, 64))] = b""
    elif kind == 3:
        size = chance.choice((1, 4, 8))
        data[at : at + size] = (chance.choice(EDGES) % (1 << 8 * size)).to_bytes(size, "little")
    elif kind == 4:
        data[at:at] = chance.choice(TEXTS)
    elif kind == 5:
        data[at : at + chance.choice((1, 2, 8))] = chance.choice(TEXTS)
    else:
        start = chance.randrange(len(data) + 1)
        data[at:at] = data[start : start + chance.choice((4, 16, 256))]


def read_or_refused(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What a reader makes of a file, or nothing where it refuses it; any other error, and too high a cost, fails the test."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result, message = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = read(data)
        except SkipseqError as error:
            message = str(error)
    assert len(message) < 20_000
    assert time.monotonic() - start < MOST_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES
    return result
