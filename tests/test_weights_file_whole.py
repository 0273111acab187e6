"""A file is whole at any time: who is killed, or finds the disk full, leaves the old one; links and permissions stay."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from skipseq import Sequential, add
from skipseq.errors import FileError
from skipseq.views import files
from skipseq.views.files import write_whole

ROOT = Path(__file__).parent.parent

#: Children write the file again and again, all ones or all twos, and are killed at any time; it is looked at each time.
KILLING = """
import os, random, signal, sys, time, torch
from pathlib import Path
from torch import nn
from skipseq import Sequential

torch.set_num_threads(1)
path, chance = Path(sys.argv[1]), random.Random(0)
nets = [Sequential(nn.Linear(600, 600), nn.Linear(600, 600)) for _ in range(2)]
for value, net in enumerate(nets, 1):
    for each in net.parameters():
        nn.init.constant_(each, value)
nets[0].to_file(path)
seen, half = set(), 0
for i in range(30):
    child = os.fork()
    if child == 0:
        while True:
            for net in nets[:: 1 - i % 2 * 2]:
                net.to_file(path)
    time.sleep(0.01 + chance.random() * 0.15)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    values = torch.cat([each.flatten() for each in Sequential.from_file(path).parameters()]).unique()
    assert len(values) == 1, values
    seen.add(values.item())
    for part in path.parent.glob("*.part"):
        half += 1
        part.unlink()
assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
print(sorted(seen), half > 0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def network() -> Sequential:
    return Sequential(nn.Linear(100, 100), add("input"))


def values(net: Sequential) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in net.parameters()])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of a process")
def test_a_killed_process_leaves_a_whole_file(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", KILLING, str(path)], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert (run.stderr, run.stdout) == ("", "[1.0, 2.0] True\n")


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 5000, 39_000])
def test_a_full_disk_leaves_the_old_file(size: int, path: Path) -> None:
    old = network()
    old.to_file(path)
    with small_disk(size), pytest.raises(FileError) as caught:
        network().to_file(path)
    assert str(caught.value) == (
        f"{path} cannot be written.\n"
        "  the disk does not take it\n"
        "  expected a folder with enough place\n"
        f"  received {os.strerror(errno.EFBIG)}\n"
        "  Look at its path, and at the place that is left on the disk. What was there before is there still."
    )
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert torch.equal(values(Sequential.from_file(path)), values(old))


@pytest.mark.parametrize("name", ["fsync", "replace", "chmod"])
def test_an_error_at_the_end_leaves_the_old_file(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"as it was")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, name, full)
    with pytest.raises(FileError, match="No space left on device"):
        network().to_file(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"as it was"


def test_the_numbers_are_on_the_disk_before_the_name_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *given, name=name, original=original: (done.append(name), original(*given)))
    network().to_file(path)
    assert done == ["fsync", "replace"]


def test_permissions_stay(path: Path) -> None:
    network().to_file(path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    network().to_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_may_not_be_written_is_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"as it was")
    path.chmod(0o444)
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # whoever runs the tests may write everything
    with pytest.raises(FileError, match="Permission denied"):
        network().to_file(path)
    assert path.read_bytes() == b"as it was"


def test_a_link_stays_a_link(path: Path) -> None:
    (path.parent / "deep").mkdir()
    place = path.parent / "deep" / "other.safetensors"
    for existing in (False, True):
        assert place.exists() is existing
        path.unlink(missing_ok=True)
        path.symlink_to(place)
        net = network()
        net.to_file(path)
        assert path.is_symlink()
        assert not place.is_symlink()
        assert torch.equal(values(Sequential.from_file(place)), values(net))
    assert [each.name for each in place.parent.iterdir()] == [place.name]


def test_a_folder_and_no_folder_are_told(path: Path) -> None:
    with pytest.raises(FileError, match="received Is a directory"):
        network().to_file(path.parent)
    with pytest.raises(FileError, match="received No such file or directory"):
        network().to_file(path / "deep" / "net.safetensors")


def test_what_is_no_file_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_long_names_are_written(path: Path) -> None:
    long = path.with_name("n" * 240 + ".safetensors")
    net = network()
    net.to_file(str(long))
    assert torch.equal(values(Sequential.from_file(str(long))), values(net))


def test_names_of_every_kind_are_names(path: Path) -> None:
    net = network()
    for name in (os.fsencode(path), path.with_name("ünï 文 (1).bin"), str(path.with_suffix(""))):
        net.to_file(name)
        assert torch.equal(values(Sequential.from_file(name)), values(net))
    with pytest.raises(FileError, match="received embedded null byte"):
        net.to_file("a\0b.safetensors")
