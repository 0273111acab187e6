"""The command line: what is typed, what is said, the exit status, and that nothing is left half-written."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tomllib
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import skipseq
from skipseq import Sequential
from skipseq.cli import demo
from skipseq.cli.app import app
from skipseq.cli.inputs import given_to, read_inputs
from skipseq.cli.told import UsageError
from skipseq.views.drawing.drawing import Drawing

ROOT = Path(__file__).parent.parent

MODEL = """
import functools
from torch import nn
from skipseq import Residual, Sequential, add, call, cat, save

WIDTH = 3
print("the file was imported")

net = Sequential(
    ("conv1", nn.Conv2d(3, 8, 3, padding=1)), save("x1"), nn.MaxPool2d(2),
    nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"), ("head", Sequential(nn.Conv2d(16, 3, 1))),
)
_hidden = Sequential(nn.Linear(2, 2))
same = net
nested = Sequential(Sequential(nn.Linear(4, 4)))
plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
two = Sequential(("a", nn.Linear(4, 4)), add("t"), inputs=("x", "t"))
part = Sequential(nn.Linear(4, 4), add("skip"))
tokens = Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
lazy = Sequential(nn.LazyLinear(4), nn.LazyLinear(2))
misfit = Sequential(nn.Conv2d(3, 6, 2, 2, 2), nn.Conv2d(6, 3, 2, 2, 2), add("input"))

class Models:
    small = Sequential(nn.Linear(2, 2), add("input"))

class Block(Residual):
    def __init__(self):
        super().__init__(nn.Linear(4, 4))

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 4))

    def forward(self, x):
        return x + self.stem(x)

own = Own()

def build():
    print("the function was called")
    return Sequential(nn.Linear(4, 4), add("input"))

def build_deep(depth, width=4):
    return Sequential(*(nn.Linear(width, width) for _ in range(depth)))

three_deep = functools.partial(build_deep, 3)

def build_nothing():
    pass

def broken():
    return Sequential(nn.Linear(4, 4), save("a"), nn.Linear(4, 4), save("a"),
                      add("a", "b"))

def stumbles():
    layers = [nn.Linear(4, 4)]
    return Sequential(*layers, layers[1])
"""

Type = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the user is."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def skipseq_(folder: Path) -> Type:
    """Types a command in a folder with a file ``model.py``; Python is as it was afterwards."""
    (folder / "model.py").write_text(MODEL)

    def type_command(*arguments: str, **environment: str) -> Result:
        before = list(sys.path), list(sys.argv), set(sys.modules)
        result = CliRunner().invoke(app, list(arguments), env=environment, prog_name="skipseq", catch_exceptions=False)
        assert (sys.path, sys.argv) == before[:2]
        for name in set(sys.modules) - before[2]:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        return result

    return type_command


def said(result: Result) -> str:
    """What went to stderr, without what the files of the tests print."""
    return "\n".join(line for line in result.stderr.splitlines() if not line.startswith("the f"))


def refused(result: Result, status: int) -> str:
    """What is said, where a command ends with this status, without a traceback and without an answer."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return said(result)


def python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A fresh Python, warnings being errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-W", "error", *arguments], text=True, env=environment, **streams)


# ------------------------------------------------------------------------------------------------------------ starting


def test_help_and_version_need_no_torch() -> None:
    code = """
import sys
from skipseq.cli import main
names = ("check", "summary", "draw", "page", "source", "convert", "demo")
for typed in (["--help"], ["--version"], *([name, "--help"] for name in names)):
    sys.argv = ["skipseq", *typed]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, typed
print(sorted({"torch", "numpy", "skipseq.run"} & set(sys.modules)))
"""
    run = python("-c", code)
    out, err = run.communicate(timeout=60)
    assert err == ""
    assert out.count("Usage: skipseq") == 8
    assert f"torch {torch.__version__}, Python 3." in out
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_tells_what_to_install(missing: str) -> None:
    run = python("-c", f"import sys; sys.modules[{missing!r}] = None; from skipseq.cli import main; main()")
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (1, "")
    assert err == "The command line needs an extra: pip install 'skipseq[cli]'\n"


def test_the_command_is_installed_with_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"skipseq": "skipseq.cli:main"}
    assert set(project["optional-dependencies"]["cli"]) == {"typer", "rich"}
    assert callable(skipseq.cli.main)


@pytest.mark.parametrize("name", ["check", "summary", "draw", "page", "demo"])
def test_every_command_helps_with_examples(name: str, skipseq_: Type) -> None:
    result = skipseq_(name, "--help", COLUMNS="80")
    examples = re.findall(rf"^ skipseq {name}(?: .*)?$", result.stdout, flags=re.MULTILINE)
    assert result.exit_code == 0
    assert len(examples) >= 2
    assert f"skipseq {name}" in skipseq_("--help").stdout


def test_alone_it_helps(skipseq_: Type) -> None:
    result = skipseq_()
    assert result.exit_code == 2
    assert "Usage: skipseq" in result.output


def test_what_is_typed_wrong_has_status_2(skipseq_: Type) -> None:
    assert "Did you mean 'check'?" in refused(skipseq_("chek"), 2)
    assert "--jsom" in refused(skipseq_("check", "model.py:net", "--jsom"), 2)
    assert "Missing argument" in refused(skipseq_("draw"), 2)


# ------------------------------------------------------------------------------------------------------- file.py:name


@pytest.mark.parametrize(
    "name", ["net", "plain", "build", "Block", "three_deep", "Models.small", "net.head", "nested.0", "own.stem", "_hidden"]
)
def test_a_network_is_found_by_its_name(name: str, skipseq_: Type) -> None:
    result = skipseq_("check", f"model.py:{name}")
    assert result.exit_code == 0, result.output
    assert "The wiring holds" in result.stdout


def test_a_network_is_found_in_a_package_of_this_folder(folder: Path, skipseq_: Type) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "nets.py").write_text(MODEL)
    assert skipseq_("check", "package.nets:net").exit_code == 0
    assert "no module 'package.nots'" in refused(skipseq_("check", "package.nots:net"), 2)
    assert skipseq_("check", "model:net").exit_code == 0


def test_a_file_finds_what_lies_beside_it(folder: Path, skipseq_: Type) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "parts_of_it.py").write_text("from torch import nn\nlayer = nn.Linear(4, 4)\n")
    (folder / "deep" / "whole.py").write_text("from parts_of_it import layer\nfrom skipseq import *\nnet = Sequential(layer)\n")
    assert skipseq_("check", "deep/whole.py:net").exit_code == 0
    assert skipseq_("check", str(folder / "deep" / "whole.py")).exit_code == 0


def test_a_file_alone_is_enough_if_it_holds_one_network(folder: Path, skipseq_: Type) -> None:
    head = "from torch import nn\nfrom skipseq import Sequential\n"
    build = (
        "def build() -> Sequential:\n    return Sequential(nn.Linear(4, 4))\ndef other(net: Sequential) -> Sequential: ...\n"
    )
    for text in (f"{head}plain = nn.Sequential()\nnet = again = Sequential(nn.Linear(4, 4))\n", head + build):
        (folder / "one.py").write_text(text)
        assert skipseq_("check", "one.py").exit_code == 0, text
    (folder / "one.py").write_text(f"{head}a = Sequential(nn.ReLU())\nb = Sequential(nn.ReLU())\n{build}")
    text = refused(skipseq_("check", "one.py"), 2)
    assert text == "Error: one.py holds several networks.\n  Write one of:\n    one.py:a\n    one.py:b\n    one.py:build"
    (folder / "one.py").write_text("from skipseq import Sequential\n")
    assert "one.py holds no Sequential" in refused(skipseq_("check", "one.py"), 2)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("model.py:nett", "model.py has no 'nett'. Did you mean 'net'?"),
        ("model.py:net.haed", "model.py:net has no 'haed'. Did you mean 'head'?"),
        ("model.py:zzz", "model.py has no 'zzz'.\n  Write one of:\n    model.py:net\n"),
        ("modle.py:net", "there is no file modle.py. Did you mean 'model.py'?"),
        ("nowhere:net", "there is no module 'nowhere'"),
        (":net", "':net' names no file."),
        ("model.py:WIDTH", "model.py:WIDTH is an int, not a network."),
        ("model.py:build_nothing", "what model.py:build_nothing returns is a NoneType, not a network."),
        ("model.py:build_deep", "model.py:build_deep cannot be called without arguments: it needs depth.\n"),
        ("model.py:own", "model.py:own is an Own. Its own forward says what runs, so skipseq cannot know its skips.\n"),
        ("model.py:own", "These parts are sequences: model.py:own.stem"),
        ("model.py:Own", "See it in words: skipseq convert model.py:Own. Or name a part"),
    ],
)
def test_what_is_no_network_is_refused_kindly(typed: str, text: str, skipseq_: Type) -> None:
    told = refused(skipseq_("check", typed), 2)
    assert told.startswith("Error: ")
    assert text in told


# ------------------------------------------------------------------------------------------- errors in the user's file


@pytest.mark.parametrize(
    ("code", "name", "message", "line", "shown"),
    [
        ("import torch\n\nnet = torch.nn.Linaer(3, 4)\n", "AttributeError", "no attribute 'Linaer'", 3, "net = torch.nn.Li"),
        ("net = (\n", "SyntaxError", "'(' was never closed", 1, "net = ("),
        ("import not_there\n", "ModuleNotFoundError", "No module named 'not_there'", 1, "import not_there"),
        (
            "from torch import nn\nnet = nn.Conv2d(3, 4, 3, groups=2)\n",
            "ValueError",
            "divisible by groups",
            2,
            "net = nn.Conv2d",
        ),
    ],
)
def test_an_error_in_a_file_is_told_with_its_line(
    code: str, name: str, message: str, line: int, shown: str, folder: Path, skipseq_: Type
) -> None:
    (folder / "wrong.py").write_text(code)
    told = refused(skipseq_("check", "wrong.py:net"), 1)
    assert told.startswith(f"{name}: ")
    assert message in told
    assert f"\nat wrong.py, line {line}: {shown}" in told
    data = json.loads(skipseq_("check", "wrong.py:net", "--json").stdout)
    assert (data["ok"], data["error"], data["file"], data["line"]) == (False, name, "wrong.py", line)


def test_an_error_of_a_function_is_told_with_its_line(skipseq_: Type) -> None:
    told = refused(skipseq_("check", "model.py:stumbles"), 1)
    assert told.startswith("IndexError: list index out of range\nat model.py, line ")
    assert told.endswith(": return Sequential(*layers, layers[1])")


def test_of_several_lines_the_one_nearest_to_the_error_is_told(folder: Path, skipseq_: Type) -> None:
    (folder / "helper.py").write_text("def width():\n    return 1 / 0\n")
    (folder / "caller.py").write_text("import helper\n\nnet = helper.width()\n")
    assert refused(skipseq_("check", "caller.py:net"), 1).endswith("\nat helper.py, line 2: return 1 / 0")


def test_a_faulty_wiring_is_told_with_its_line(skipseq_: Type) -> None:
    told = refused(skipseq_("check", "model.py:broken"), 1)
    assert told.startswith("WiringError: 2 faults in Sequential\n  net[3] save('a') saves 'a' again")
    assert re.search(r"\nat model\.py, line \d+: return Sequential\(nn\.Linear\(4, 4\), save", told)
    data = json.loads(skipseq_("check", "model.py:broken", "--json").stdout)
    assert len(data["faults"]) == 2
    assert data["faults"][0].startswith("net[3] save('a')")


def test_debug_shows_the_traceback(skipseq_: Type) -> None:
    result = skipseq_("check", "model.py:stumbles", "--debug")
    assert result.exit_code == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert "in import_file" not in result.stderr
    assert result.stderr.rstrip().endswith("IndexError: list index out of range")


def test_a_file_that_ends_python_is_told(folder: Path, skipseq_: Type) -> None:
    (folder / "script.py").write_text("import argparse, sys\nassert sys.argv == ['script.py']\nsys.exit()\n")
    told = refused(skipseq_("check", "script.py:net"), 2)
    assert "script.py ends Python" in told
    assert "if __name__ == '__main__':" in told


def test_a_file_with_the_name_of_a_module_replaces_nothing(folder: Path, skipseq_: Type) -> None:
    (folder / "json.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Linear(4, 4))\n")
    assert skipseq_("check", "json.py:net").exit_code == 0
    assert sys.modules["json"] is json


# ------------------------------------------------------------------------------------------------------------- --input


@pytest.mark.parametrize(
    ("typed", "shape"),
    [
        ("1,3,256,256", (1, 3, 256, 256)),
        ("1x3x256x256", (1, 3, 256, 256)),
        ("N,3,64", ("N", 3, 64)),
        ("size", ("size",)),
        ("Nx3x64", ("N", 3, 64)),
        ("8", (8,)),
        ("8,", (8,)),
        ("(1, 3, 8, 8)", (1, 3, 8, 8)),
        ("1,0,4", (1, 0, 4)),
    ],
)
def test_a_shape_is_read(typed: str, shape: tuple[int | str, ...]) -> None:
    for name in (None, "x", "encoder.x1"):
        (read,) = read_inputs([typed if name is None else f"{name}={typed}"])
        assert (read.name, read.shape, read.dtype) == (name, shape, None)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("1,3,abc,4", "has 'abc' where a number belongs. Only the first extent, the batch, may have a name."),
        ("1,-3,4,4", "has '-3' where a number belongs."),
        ("1.5,3", "has '1.5' where a number belongs."),
        ("1,,3", "lacks a number."),
        ("", "lacks a number."),
        ("x=", "lacks a number."),
        ("=1,3", "has no name before '='."),
        ("t=N,3:int64", "Write a number: --input t=1,3:int64."),
    ],
)
def test_a_bad_shape_is_refused(typed: str, text: str, skipseq_: Type) -> None:
    told = refused(skipseq_("check", "no_file_is_read.py:net", "--input", typed), 2)
    assert told.startswith(f"Error: --input {typed} ")
    assert text in told


@pytest.mark.parametrize(
    ("name", "typed", "text"),
    [
        ("two", ["1,4"], "the network takes 'x' and 't'; --input lacks 't'.\n  Write --input 1,4 --input t=..."),
        ("two", ["1,4", "1,4", "1,4"], "--input 1,4 is one too many: the network takes 'x' and 't'."),
        ("two", ["xx=1,4"], "the network has no input 'xx': it takes 'x' and 't'. Did you mean 'x'?"),
        ("two", ["t=1,4", "t=1,4"], "the input 't' is given twice."),
        ("two", ["N,4", "M,4"], "two sizes of the batch are unknown: M and N."),
        ("part", ["1,4"], "--input lacks 'skip'"),
        ("net", ["1,3,8,8:flaot32"], "has 'flaot32' where a dtype belongs. Did you mean 'float32'?"),
        ("net", ["1,3,8,8:nn"], "has 'nn' where a dtype belongs."),
    ],
)
def test_inputs_that_do_not_belong_to_the_network_are_refused(name: str, typed: list[str], text: str, skipseq_: Type) -> None:
    options = [each for shape in typed for each in ("-i", shape)]
    for command in ("check", "summary"):
        assert text in refused(skipseq_(command, f"model.py:{name}", *options), 2)


def test_unnamed_inputs_take_the_names_that_are_left() -> None:
    wiring = Sequential(nn.Linear(4, 4), skipseq.add("b"), skipseq.add("c"), inputs=("a", "b", "c")).wiring
    assert given_to(wiring, read_inputs(["b=2", "1", "3"])) == {"a": (1,), "b": (2,), "c": (3,)}
    with pytest.raises(UsageError, match="lacks 'c'"):
        given_to(wiring, read_inputs(["1", "2"]))


def test_a_dtype_is_taken() -> None:
    wiring = Sequential(nn.Linear(4, 4)).wiring
    for typed, dtype in (("int64", torch.int64), ("torch.bool", torch.bool), ("half", torch.float16)):
        given = given_to(wiring, read_inputs([f"1000000,1000000:{typed}"]))["input"]  # it would not fit into memory
        assert given.dtype is dtype
        assert given.shape == (10**6, 10**6)


# -------------------------------------------------------------------------------------------------------------- check


def test_check_prints_the_report(skipseq_: Type) -> None:
    result = skipseq_("check", "model.py:net", "--input", "N,3,64,64")
    assert result.exit_code == 0
    assert result.stderr == "the file was imported\n"
    assert re.search(
        r"^input +\(N, 3, 64, 64\)\nconv1 +\(N, 8, 64, 64\) +nn\.Conv2d\(3, 8, 3, padding=1\)$", result.stdout, re.M
    )
    assert result.stdout.endswith("\nEverything fits.\n")


def test_check_tells_a_fault_on_stderr(skipseq_: Type) -> None:
    told = refused(skipseq_("check", "model.py:misfit", "--input", "1,3,32,32"), 1)
    assert told.startswith("ShapeError: net[2] add('input') cannot add values of different shapes\n")
    assert "'input' is (1, 3, 32, 32), the input" in told


def test_check_without_inputs_tells_the_wiring(skipseq_: Type) -> None:
    assert "It takes one input." in skipseq_("check", "model.py:net").stdout
    result = skipseq_("check", "model.py:part")
    assert "It takes 'input' and 'skip'." in result.stdout
    assert "--input input=SHAPE --input skip=SHAPE" in result.stdout
    data = json.loads(skipseq_("check", "model.py:part", "--json").stdout)
    assert data == {"ok": True, "shapes": {}, "findings": [], "inputs": ["input"], "needs": ["skip"]}


def test_check_speaks_json(skipseq_: Type) -> None:
    result = skipseq_("check", "model.py:net", "-i", "N,3,64,64", "--json")
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert set(data) == {"ok", "shapes", "findings"}
    assert data["ok"] is True
    assert data["shapes"]["x1"] == ["N", 8, 64, 64]
    result = skipseq_("check", "model.py:misfit", "-i", "1,3,32,32", "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, said(result)) == (1, "")
    assert (data["ok"], data["error"]) == (False, "ShapeError")
    assert data["message"].startswith("net[2] add('input') cannot add")
    assert data["faults"][0].startswith("net[2] add('input') cannot add")
    result = skipseq_("check", "model.py:nett", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (2, "UsageError")


def test_check_takes_dtypes_needs_and_lazy_layers(skipseq_: Type) -> None:
    assert skipseq_("check", "model.py:tokens", "-i", "1,128:int64").exit_code == 0
    assert skipseq_("check", "model.py:tokens", "-i", "N,128").exit_code == 0
    assert refused(skipseq_("check", "model.py:tokens", "-i", "1,128:float32"), 1)
    assert skipseq_("check", "model.py:part", "-i", "1,4", "-i", "skip=1,4").exit_code == 0
    assert refused(skipseq_("check", "model.py:part", "-i", "1,4", "-i", "skip=1,5"), 1)
    assert "(1, 2)" in skipseq_("check", "model.py:lazy", "-i", "1,7").stdout


def test_summary_counts_the_parameters_of_lazy_layers(skipseq_: Type) -> None:
    data = json.loads(skipseq_("summary", "model.py:lazy", "-i", "1,7", "--json").stdout)
    assert [row["parameters"] for row in data["rows"] if row["kind"] == "layer"] == [7 * 4 + 4, 4 * 2 + 2]
    assert skipseq_("summary", "model.py:lazy").exit_code == 0


def test_colours_are_for_terminals(skipseq_: Type) -> None:
    typed = ("check", "model.py:misfit", "-i", "1,3,32,32")
    assert "\x1b[" not in skipseq_(*typed).stderr
    assert "\x1b[1;31mShapeError\x1b[0m" in skipseq_(*typed, FORCE_COLOR="1").stderr
    assert "\x1b[1;31m" not in skipseq_(*typed, FORCE_COLOR="1", NO_COLOR="1").stderr


# ---------------------------------------------------------------------------------------------------- summary, drawing


def test_summary_prints_the_table(skipseq_: Type) -> None:
    net = runpy.run_path("model.py")["net"]
    assert skipseq_("summary", "model.py:net").stdout == f"{net.summary()}\n"
    made = net.summary(("N", 3, 64, 64))
    assert skipseq_("summary", "model.py:net", "-i", "N,3,64,64").stdout == f"{made}\n"
    data = json.loads(skipseq_("summary", "model.py:net", "-i", "N,3,64,64", "--json").stdout)
    assert data == {"ok": True, **json.loads(json.dumps(made.to_dict()))}
    assert refused(skipseq_("summary", "model.py:misfit", "-i", "1,3,32,32"), 1).startswith("ShapeError: net[2]")


@pytest.mark.parametrize("name", ["net.svg", "net.dot", "net.mmd", "deep/net.SVG"])
def test_draw_writes_a_file(name: str, folder: Path, skipseq_: Type) -> None:
    (folder / "deep").mkdir()
    result = skipseq_("draw", "model.py:net", "-i", "N,3,64,64", "-o", name)
    assert (result.exit_code, result.stdout, said(result)) == (0, "", f"Written to {name}")
    drawing = runpy.run_path("model.py")["net"].draw(("N", 3, 64, 64))
    texts = {".svg": drawing.svg, ".dot": drawing.dot, ".mmd": drawing.mermaid}
    assert (folder / name).read_text() == texts[Path(name).suffix.lower()]
    result = skipseq_("draw", "model.py:net", "-o", name, "--json")
    assert json.loads(result.stdout) == {"ok": True, "written": name}


def test_draw_without_a_file_goes_to_stdout(skipseq_: Type) -> None:
    drawing = runpy.run_path("model.py")["net"].draw()
    for format, text in (("svg", drawing.svg), ("dot", drawing.dot), ("mmd", drawing.mermaid)):
        assert skipseq_("draw", "model.py:net", "--format", format).stdout.rstrip() == text.rstrip()
    assert skipseq_("draw", "model.py:net").stdout.rstrip() == drawing.svg.rstrip()
    data = json.loads(skipseq_("draw", "model.py:net", "--json").stdout)
    assert data == {"ok": True, "format": "svg", "drawing": drawing.svg.rstrip()}


def test_draw_writes_png(folder: Path, skipseq_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drawing, "png", lambda self: b"\x89PNG")
    assert skipseq_("draw", "model.py:net", "-o", "net.png").exit_code == 0
    assert (folder / "net.png").read_bytes() == b"\x89PNG"
    assert skipseq_("draw", "model.py:net", "--format", "png").stdout_bytes == b"\x89PNG"
    result = skipseq_("draw", "model.py:net", "--format", "png", "--json")
    assert (result.exit_code, json.loads(result.stdout)["message"]) == (
        2,
        "a PNG is not text.\n  Write it to a file: -o net.png",
    )


@pytest.mark.skipif(not hasattr(Sequential, "page"), reason="there is no page yet")
def test_page_writes_a_file_and_opens_it(folder: Path, skipseq_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    result = skipseq_("page", "model.py:net", "-i", "N,3,64,64")
    assert (result.exit_code, result.stdout, said(result)) == (0, "", "Written to net.html")
    page: Any = runpy.run_path("model.py")["net"].page(("N", 3, 64, 64))
    assert (folder / "net.html").read_text() == page.html
    assert opened == []
    result = skipseq_("page", "model.py:Models.small", "--open", "--json")
    assert json.loads(result.stdout) == {"ok": True, "written": "small.html"}
    assert opened == [(folder / "small.html").as_uri()]
    assert skipseq_("page", "model.py:net", "-o", "other.html").exit_code == 0
    assert (folder / "other.html").is_file()
    assert "there is no folder nowhere" in refused(skipseq_("page", "no_file_is_read.py", "-o", "nowhere/net.html"), 2)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (
            ["-o", "net.pdf"],
            "a drawing cannot be written as net.pdf.\n  Write a name that ends in one of .svg, .dot, .mmd, .png.",
        ),
        (["-o", "net"], "a drawing cannot be written as net."),
        (["-o", "nowhere/net.svg"], "there is no folder nowhere to write net.svg into."),
        (["-o", "."], "is a folder."),
        (["-o", "net.dot", "--format", "svg"], "net.dot is no name for --format svg.\n  Write -o net.svg."),
    ],
)
def test_a_place_to_write_to_is_checked_first(typed: list[str], text: str, skipseq_: Type) -> None:
    assert text in refused(skipseq_("draw", "no_file_is_read.py", *typed), 2)


# ---------------------------------------------------------------------------------------------------- whole or not at all


def test_who_is_interrupted_while_writing_leaves_what_was_there(
    folder: Path, skipseq_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "net.svg").write_text("as it was")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    assert refused(skipseq_("draw", "model.py:net", "-o", "net.svg"), 130) == "Interrupted."
    monkeypatch.undo()
    assert sorted(folder.glob("net*")) == [folder / "net.svg"]
    assert (folder / "net.svg").read_text() == "as it was"


def test_ctrl_c_ends_with_a_word_and_leaves_no_file(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    (folder / "net.svg").write_text("as it was")
    run = python("-m", "skipseq", "draw", "slow.py:net", "-o", "net.svg", cwd=folder)
    assert run.stderr is not None
    assert run.stderr.readline() == "begun\n"
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, "", "Interrupted.\n")
    assert (folder / "net.svg").read_text() == "as it was"
    assert sorted(each.name for each in folder.iterdir() if each.name != "__pycache__") == ["net.svg", "slow.py"]


def test_a_broken_pipe_is_silent(folder: Path) -> None:
    (folder / "model.py").write_text(MODEL)
    reader, writer = os.pipe()
    os.close(reader)
    run = python("-m", "skipseq", "check", "model.py:net", "--json", cwd=folder, stdout=writer)
    os.close(writer)
    _, err = run.communicate(timeout=60)
    assert err == "the file was imported\n"


# --------------------------------------------------------------------------------------------------------------- demo

FAKE_DEMO = "def main(arguments):\n    print(arguments)\n"


def test_the_demo_is_the_example(monkeypatch: pytest.MonkeyPatch, folder: Path, skipseq_: Type) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ((source, place),) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].items()
    assert (ROOT / "src" / place, ROOT / source) == demo.PLACES
    assert source in (ROOT / "Makefile").read_text()
    assert (ROOT / source).is_file()
    (folder / "fake.py").write_text(FAKE_DEMO)
    monkeypatch.setattr(demo, "PLACES", (folder / "not_installed.py", folder / "fake.py"))
    result = skipseq_("demo")
    assert result.stdout == "['--output', 'restored', '--steps', '700', '--seed', '0']\n"
    text = (ROOT / source).read_text()
    assert all(re.search(rf'"--{name}", .*default="?{default}"?,', text) for name, default in (("steps", 700), ("seed", 0)))
    assert "--output restored" in (ROOT / "Makefile").read_text()
    result = skipseq_("demo", "-o", "here", "--steps", "3", "--seed", "1")
    assert result.stdout == "['--output', 'here', '--steps', '3', '--seed', '1']\n"


def test_without_its_extra_the_demo_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, skipseq_: Type
) -> None:
    (folder / "fake.py").write_text("import not_installed\n")
    monkeypatch.setattr(demo, "PLACES", (folder / "fake.py",))
    assert refused(skipseq_("demo"), 1) == "The demo needs an extra: pip install 'skipseq[demo]'"
