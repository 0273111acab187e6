"""The public names: what they are, that each explains itself by an example, and that importing them is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import skipseq
from skipseq import errors

SOURCES = sorted(Path(skipseq.__file__).parent.rglob("*.py"))

NAMES = {
    "Branches",
    "DenseBlock",
    "Grid",
    "Residual",
    "Sequential",
    "UNet",
    "from_darknet",
    "from_forward",
    "from_gluon",
    "from_yolo",
    "mirror",
    "trace",
}
WORDS = {"add", "call", "cat", "here", "mul", "pick", "save", "sub", "take", "via"}


def test_the_names_are_these() -> None:
    """A new name is a decision, not an accident."""
    assert set(skipseq.__all__) == NAMES | WORDS
    assert all(hasattr(skipseq, name) for name in skipseq.__all__)


def test_every_name_explains_itself_by_an_example() -> None:
    for name in set(skipseq.__all__) - {"here", "pick"}:
        assert ">>>" in (getattr(skipseq, name).__doc__ or ""), name


def test_every_error_has_the_one_base_and_a_builtin() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.SkipseqError)
        assert error is errors.SkipseqError or issubclass(error, ValueError | TypeError | RuntimeError)


def test_every_module_says_what_is_public() -> None:
    for path in SOURCES:
        assert "__all__" in path.read_text(), path


def test_functions_and_files_stay_small() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert text.count("\n") <= 500, f"{path}: a folder of the same name would read better"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno <= 70, f"{path}: {node.name}"


def test_importing_needs_torch_alone() -> None:
    """What the extras bring is not imported, not even where it is installed."""
    code = (
        "import sys, torch; before = set(sys.modules); from skipseq import *; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'torch'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['skipseq']"


def test_the_wiring_is_plain_data() -> None:
    """The wiring and the errors can be imported where there is no torch."""
    for name in ("errors", "wiring"):
        tree = ast.parse((Path(skipseq.__file__).parent / f"{name}.py").read_text())
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert not [each for each in imported if each.startswith(("torch", "skipseq.run", "skipseq.declare"))]
