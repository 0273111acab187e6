"""The tutorials run as they stand, on seeded weights."""

import doctest
from pathlib import Path

import pytest
import torch

from .zoo import torchvision

TUTORIALS = sorted((Path(__file__).parent.parent / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_word_by_word(path: Path) -> None:
    torchvision()  # where its compiled operators do not fit, it is made importable
    torch.manual_seed(0)
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 10
    assert failed == 0
