"""Files as MXNet writes them: parameters in each version of the format, and symbols."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
CODES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.float16: 2,
    torch.uint8: 3,
    torch.int32: 4,
    torch.int8: 5,
    torch.int64: 6,
    torch.bool: 7,
    torch.int16: 8,
    torch.bfloat16: 12,
}


def array(value: Tensor, version: int = V2) -> bytes:
    """An array in a version of the format; 0 is that without a version."""
    shape = tuple(value.shape)
    data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    if version == 0:
        head = struct.pack(f"<I{len(shape)}I", len(shape), *shape)
    elif version == V1:
        head = struct.pack(f"<II{len(shape)}q", V1, len(shape), *shape)
    else:
        head = struct.pack(f"<Iii{len(shape)}q", version, 0, len(shape), *shape)
    return head + struct.pack("<iii", 1, 0, CODES[value.dtype]) + data


def params_file(arrays: Mapping[str, bytes], names: Sequence[bytes] | None = None) -> bytes:
    """A file of these arrays."""
    written = [key.encode() for key in arrays] if names is None else names
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays)), *arrays.values(), struct.pack("<Q", len(written))]
    return b"".join([*parts, *(struct.pack("<Q", len(name)) + name for name in written)])


def variable(name: str, **attributes: str) -> dict[str, Any]:
    return {"op": "null", "name": name, "attrs": attributes, "inputs": []}


def node(op: str, name: str, *inputs: int | list[int], **attributes: str) -> dict[str, Any]:
    given = [[each, 0, 0] if isinstance(each, int) else each for each in inputs]
    return {"op": op, "name": name, "attrs": attributes, "inputs": given}


def symbol_text(*nodes: Any, heads: Any = None, **others: Any) -> str:
    """A symbol of these nodes, whose result is that of the last one."""
    found = {"nodes": list(nodes), "heads": [[len(nodes) - 1, 0, 0]] if heads is None else heads}
    return json.dumps({**found, "attrs": {"mxnet_version": ["int", 10901]}, **others})


def written(folder: Path, symbol: str | bytes, params: bytes | Mapping[str, Tensor] | None = None) -> tuple[Path, Path | None]:
    """The files of a network, in a folder."""
    path = folder / "net-symbol.json"
    path.write_bytes(symbol.encode() if isinstance(symbol, str) else symbol)
    if params is None:
        return path, None
    data = params if isinstance(params, bytes) else params_file({key: array(value) for key, value in params.items()})
    (folder / "net-0000.params").write_bytes(data)
    return path, folder / "net-0000.params"
