"""The demo runs, writes what it says, gives the same numbers twice, and compares like with like."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

pytest.importorskip("skimage")
pytest.importorskip("tqdm")
ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "restore_photo.py"
ROWS = ["noisy", "with skips", "without skips", "total variation", "non-local means"]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("restore_photo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_demo(folder: Path) -> dict[str, float]:
    """Return the printed rows of a short run."""
    command = [sys.executable, str(DEMO), "--steps", "4", "--output", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^  ([a-z][a-z -]+?) +(-?\d+\.\d\d) dB$", result.stdout, flags=re.MULTILINE)
    return {name: float(value) for name, value in rows}


def test_demo_writes_its_files_and_repeats_its_numbers(tmp_path: Path) -> None:
    first, second = (run_demo(tmp_path / name) for name in ("first", "deep/second"))
    assert sorted(first) == sorted(ROWS)
    assert first == second
    assert first["noisy"] == pytest.approx(20.2, abs=0.1)
    assert first["non-local means"] > first["total variation"] > 29
    for folder in (tmp_path / "first", tmp_path / "deep/second"):
        assert sorted(path.name for path in folder.iterdir()) == ["before_after.png", "network.txt"]
        assert (folder / "before_after.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "first/network.txt").read_text().startswith("Sequential(\n    nn.Conv2d(3, 32,")


def test_the_restored_photo_is_not_among_those_trained_on(demo: ModuleType) -> None:
    assert demo.RESTORED not in demo.TRAINING
    assert len(set(demo.TRAINING)) == len(demo.TRAINING) == 10


def test_without_skips_the_layers_and_their_weights_are_the_same(demo: ModuleType) -> None:
    network = demo.build_network()
    plain = demo.without_skips(network)
    assert type(plain) is nn.Sequential
    ours, theirs = network.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        assert torch.equal(value, theirs[key])
        assert value.data_ptr() != theirs[key].data_ptr()  # training one leaves the other alone


def test_the_network_is_what_one_would_write_by_hand(demo: ModuleType) -> None:
    network = demo.build_network()
    layers = list(demo.without_skips(network))
    x = torch.rand(2, 3, 16, 12)
    full = nn.Sequential(*layers[:2])(x)
    half = nn.Sequential(*layers[2:6])(full)
    up = nn.Sequential(*layers[6:11])(half) + half
    up = nn.Sequential(*layers[11:14])(up) + full
    torch.testing.assert_close(network(x), nn.Sequential(*layers[14:])(up) + x)
