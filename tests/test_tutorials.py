"""The pages with code run as they stand, on seeded weights, from the root of the project."""

import doctest
from pathlib import Path

import pytest
import torch

from .zoo import torchvision

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "\n>>> " in path.read_text(encoding="utf-8"))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_word_by_word(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    torchvision()  # where its compiled operators do not fit, it is made importable
    torch.manual_seed(0)
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS)
    assert tried > 5
    assert failed == 0
