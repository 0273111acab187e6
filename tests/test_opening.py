"""What is no file is refused alike by everything that reads one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skipseq import Sequential, from_darknet, from_gluon, from_yolo
from skipseq.bridges.files import read_network
from skipseq.errors import FileError

DATA = Path(__file__).parent / "data"
SYMBOL = DATA / "gluon" / "networks" / "residual-symbol.json"

READERS: dict[str, Callable[[Any], Any]] = {
    "text.yaml": Sequential.from_yaml,
    "net.safetensors": Sequential.from_file,
    "yolo.yaml": from_yolo,
    "net.cfg": from_darknet,
    "net.weights": lambda path: from_darknet(DATA / "darknet" / "residual.cfg", path),
    "net-symbol.json": from_gluon,
    "net.params": lambda path: from_gluon(SYMBOL, path),
    "any.json": read_network,
    "any.cfg": read_network,
    "any.safetensors": read_network,
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / name).mkdir(parents=True)
    os.mkfifo(tmp_path / name)
    for place in (tmp_path / "none" / name, tmp_path / "folder" / name, tmp_path / name):
        with pytest.raises(FileError, match="it cannot be opened\n  expected a file to read") as refused:
            READERS[name](place)
        assert Path(refused.value.file).name == name
    with pytest.raises(FileError):
        READERS[name](f"\0{name}")
