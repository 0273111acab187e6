"""The command line over every format: what is read, what is written, and that nothing is lost on the way without a word."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from skipseq import Sequential, from_darknet, from_gluon, from_yolo
from skipseq.bridges.files import kind_of, read_network, write_network
from skipseq.cli.app import app
from skipseq.errors import FileError

DATA = Path(__file__).parent / "data"

MODEL = """
import torch
from torch import nn
from skipseq import Residual, Sequential, add, cat, save

print("the file was imported")


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def halved(x):
    return x / 2


net = Sequential(
    ("conv", nn.Conv2d(3, 8, 3, padding=1)), save("x"), nn.BatchNorm2d(8), Residual(nn.Conv2d(8, 8, 1), nn.ReLU()),
    cat("x"), nn.Conv2d(16, 4, 1),
)
own = Sequential(nn.Linear(4, 4), Scale(2.0), halved, add("input"))
lazy = Sequential(nn.LazyLinear(4))
misfit = Sequential(nn.Linear(4, 5), add("input"))


class Handwritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)
"""

FILES = {
    "residual.cfg": "darknet/residual.cfg",
    "free.yaml": "yolo/free.yaml",
    "unet-symbol.json": "gluon/networks/unet-symbol.json",
    "unet-0000.params": "gluon/networks/unet-0000.params",
}

Typed = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of each kind, in which the user is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    for name, source in FILES.items():
        shutil.copy(DATA / source, tmp_path / name)
    return tmp_path


@pytest.fixture
def typed(folder: Path) -> Typed:
    """Types a command in this folder; Python is as it was afterwards."""
    before = list(sys.path), set(sys.modules)

    def type_command(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="skipseq", catch_exceptions=False)
        assert sys.path == before[0]
        for name in set(sys.modules) - before[1]:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        return result

    return type_command


def done(result: Result) -> str:
    """What a command printed that went well."""
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result, status: int) -> str:
    """What a command said that did not go well, without a traceback and without an answer."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.removeprefix("the file was imported\n").rstrip("\n")


def python(path: Path, name: str = "") -> Any:
    """What a Python file calls so, or its first network."""
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), path.name, "exec"), names)
    return names[name] if name else next(each for each in names.values() if isinstance(each, Sequential))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    kept = [each.state_dict() for each in (one, other)]
    return list(kept[0]) == list(kept[1]) and all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


# Which reader


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("net.yaml", "text"),
        ("net.YML", "text"),
        ("net.safetensors", "weights"),
        ("a/yolov3.cfg", "darknet"),
        ("net-symbol.json", "gluon"),
        ("net.py", None),
        ("package.module", None),
        ("net.pt", None),
    ],
)
def test_the_name_tells_the_reader(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", [*FILES, "net.yaml", "net.safetensors"])
def test_without_an_ending_the_content_tells_it(name: str, folder: Path, typed: Typed) -> None:
    if name.endswith(".params"):
        return
    if name.startswith("net."):
        done(typed("convert", "model.py:net", "-o", name))
    kind = kind_of(name)
    Path(name).rename("nameless")
    assert kind_of("nameless") == kind
    weights = ["--weights", "unet-0000.params"] if kind == "gluon" else []
    assert "The wiring holds" in done(typed("check", "nameless", *weights))


def test_a_file_of_no_kind_is_refused(folder: Path, typed: Typed) -> None:
    (folder / "net.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "net.pt is no Python file." in refused(typed("check", "net.pt"), 2)
    with pytest.raises(FileError) as caught:
        read_network("net.pt")
    assert str(caught.value) == (
        "net.pt cannot be read as a network.\n"
        "  what it is cannot be told by its name\n"
        "  expected one of .yaml, .yml, .safetensors, .cfg, .json\n"
        "  received .pt\n"
        "  Give the file a name that ends in what it is: .yaml, .yml, .safetensors, .cfg, .json."
    )


def test_networks_are_those_of_their_readers(folder: Path) -> None:
    for path, net in (
        ("residual.cfg", from_darknet("residual.cfg")),
        ("free.yaml", from_yolo("free.yaml")),
        ("unet-symbol.json", from_gluon("unet-symbol.json", "unet-0000.params")),
    ):
        read = read_network(path, "unet-0000.params" if path.endswith("json") else None)
        assert str(read) == str(net)
        assert read.wiring == net.wiring
    assert same_weights(read, net)


# Every command takes every file


@pytest.mark.parametrize("command", ["check", "summary", "draw", "page", "source", "convert"])
@pytest.mark.parametrize("name", ["net.yaml", "net.safetensors", "residual.cfg", "free.yaml", "unet-symbol.json"])
def test_every_command_takes_every_file(command: str, name: str, folder: Path, typed: Typed) -> None:
    if name.startswith("net."):
        done(typed("convert", "model.py:net", "-o", name))
    weights = ["--weights", "unet-0000.params"] if name.endswith("json") else []
    result = typed(command, name, *weights)
    text = done(result)
    assert text or "Written to" in result.stderr
    data = json.loads(done(typed(command, name, *weights, "--json")))
    assert data["ok"] is True
    if command == "page":
        assert data["written"] == f"{Path(name).stem}.html"
        assert (folder / data["written"]).is_file()


def test_shapes_are_checked(folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:net", "-o", "net.yaml"))
    assert "Everything fits." in done(typed("check", "net.yaml", "--input", "N,3,8,8"))
    assert "(1, 21, 32, 32)  YoloOutput(" in done(typed("check", "residual.cfg", "-i", "1,3,32,32"))
    done(typed("convert", "model.py:misfit", "-o", "misfit.yaml"))
    told = refused(typed("check", "misfit.yaml", "-i", "1,4"), 1)
    assert told.startswith("ShapeError: net[1] add('input') cannot add values of different shapes")
    data = json.loads(typed("check", "misfit.yaml", "-i", "1,4", "--json").stdout)
    assert (data["ok"], data["error"]) == (False, "ShapeError")


# Conversions


@pytest.mark.parametrize("first", [".py", ".yaml", ".yml", ".safetensors"])
@pytest.mark.parametrize("second", [".py", ".yaml", ".safetensors"])
def test_round_trips_keep_wiring_and_weights(first: str, second: str, folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:net", "-o", f"one{first}"))
    done(typed("convert", f"one{first}", "-o", f"two{second}"))
    done(typed("convert", f"two{second}", "-o", "three.yaml"))
    original = python(Path("model.py"))
    one, two = (python(Path(name)) if name.endswith(".py") else read_network(name) for name in (f"one{first}", f"two{second}"))
    for net in (one, two, read_network("three.yaml")):
        assert net.wiring == original.wiring
        assert str(net) == str(original)
    assert same_weights(two, one) is (first == second == ".safetensors")


@pytest.mark.parametrize("name", ["residual.cfg", "free.yaml", "unet-symbol.json"])
def test_other_worlds_become_each_format(name: str, folder: Path, typed: Typed) -> None:
    weights = ["--weights", "unet-0000.params"] if name.endswith("json") else []
    net = read_network(name, *weights[1:])
    for output in ("all.safetensors", "all.yaml", "all.py"):
        result = typed("convert", name, *weights, "-o", output)
        assert done(result) == ""
        assert f"Written to {output}" in result.stderr
        assert ("Note: " in result.stderr) is (bool(weights) and output != "all.safetensors")
        read = python(folder / output) if output == "all.py" else read_network(output)
        assert read.wiring == net.wiring
        assert str(read) == str(net)
    if weights:
        assert same_weights(read_network("all.safetensors"), net)


def test_weights_are_not_lost_without_a_word(folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:net", "-o", "net.safetensors"))
    told = typed("convert", "net.safetensors", "-o", "net.yaml").stderr
    assert told == "Note: net.yaml is without the weights. They would be in -o net.safetensors\nWritten to net.yaml\n"
    result = typed("convert", "net.yaml", "--weights", "net.safetensors", "-o", "again.safetensors")
    assert done(result) == ""
    assert Path("again.safetensors").read_bytes() == Path("net.safetensors").read_bytes()
    assert "Note" not in typed("convert", "net.yaml", "-o", "net.py").stderr


def test_a_handwritten_module_is_written_with_its_weights(folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:Handwritten", "-o", "net.safetensors"))
    net = read_network("net.safetensors")
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]
    x = torch.randn(1, 3, 4, 4)
    by_hand = python(Path("model.py"), "Handwritten")()
    by_hand.load_state_dict(net.state_dict())
    assert torch.equal(net(x), by_hand(x))
    assert done(typed("convert", "net.safetensors")).endswith(
        "net = Residual(\n    ('conv', nn.Conv2d(3, 3, 3, padding=1)),\n)\n"
    )


def test_the_variable_has_the_name_of_the_file(folder: Path, typed: Typed) -> None:
    done(typed("convert", "residual.cfg", "-o", "out.py"))
    assert "\nresidual = Sequential(\n" in (folder / "out.py").read_text()
    done(typed("convert", "unet-symbol.json", "--weights", "unet-0000.params", "-o", "out.py"))
    assert "\nnet = Sequential(\n" in (folder / "out.py").read_text()


def test_conversion_speaks_json(folder: Path, typed: Typed) -> None:
    assert json.loads(typed("convert", "model.py:net", "-o", "net.yaml", "--json").stdout) == {
        "ok": True,
        "written": "net.yaml",
    }
    assert json.loads(typed("convert", "net.yaml", "--json").stdout)["text"].startswith("from torch import nn\n")
    data = json.loads(typed("convert", "model.py:lazy", "-o", "net.safetensors", "--json").stdout)
    assert (data["ok"], data["error"]) == (False, "FileError")
    assert "'0.weight' of nn.LazyLinear(4): it has no numbers yet" in data["message"]


# Classes of the user


def test_classes_of_the_user_are_named(folder: Path, typed: Typed) -> None:
    for name in ("own.yaml", "own.safetensors"):
        done(typed("convert", "model.py:own", "-o", name))
        told = refused(typed("check", name), 1)
        assert told.startswith(f"FileError: {name} cannot be read as a network.\n")
        assert "is not known" in told
        modules = ["--module", "model.py:Scale", "--module", "model.py:halved"]
        assert "It takes one input." in done(typed("check", name, *modules))
        assert "Everything fits." in done(typed("check", name, *modules, "-i", "2,4"))
        done(typed("convert", name, *modules, "-o", "again.safetensors"))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("model.py", "--module model.py names no class.\n  Write --module file.py:Class"),
        ("model.py:Scael", "model.py has no 'Scael'. Did you mean 'Scale'?"),
        ("modle.py:Scale", "there is no file modle.py. Did you mean 'model.py'?"),
        ("nowhere:Scale", "there is no module 'nowhere'"),
        ("model.py:__name__", "--module model.py:__name__ is no class and no function."),
    ],
)
def test_a_module_that_is_none_is_refused(module: str, text: str, folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:net", "-o", "net.yaml"))
    assert f"Error: {text}" in refused(typed("check", "net.yaml", "--module", module), 2)


# What is typed wrong, and what is wrong in a file


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["check", "residaul.cfg"], "there is no file residaul.cfg. Did you mean 'residual.cfg'?"),
        (["check", "deep/net.yaml"], "there is no file deep/net.yaml."),
        (["check", "folder.yaml"], "folder.yaml is a folder."),
        (["check", "free.yaml:net"], "free.yaml holds one network, which has no name.\n  Write free.yaml"),
        (
            ["check", "unet-symbol.json", "--weights", "unet-0000.param"],
            "there is no file unet-0000.param. Did you mean 'unet-0000.params'?",
        ),
        (
            ["check", "any.safetensors", "--weights", "unet-0000.params"],
            "any.safetensors holds its weights itself.\n  Leave --weights out.",
        ),
        (
            ["check", "model.py:net", "--weights", "unet-0000.params"],
            "model.py:net is Python, and --weights goes with a file that is not: .yaml, .yml, .safetensors, .cfg, .json.\n"
            "  Leave it out.",
        ),
        (["check", "model.py:net", "--module", "model.py:Scale"], "model.py:net is Python, and --module goes with a file"),
        (
            ["convert", "no_file_is_read.yaml", "-o", "net.onnx"],
            "a network cannot be written as net.onnx.\n"
            "  Write a name that ends in one of .py, .yaml, .yml, .safetensors: net.safetensors for its text and its weights.",
        ),
        (["convert", "no_file_is_read.yaml", "-o", "net.cfg"], "a network cannot be written as net.cfg."),
        (["convert", "no_file_is_read.yaml", "-o", "net"], "a network cannot be written as net."),
        (["convert", "no_file_is_read.yaml", "-o", "nowhere/net.yaml"], "there is no folder nowhere to write net.yaml into."),
        (["check", "free.yaml", "-i", "1,3,64"], None),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_has_status_2(arguments: list[str], text: str | None, folder: Path, typed: Typed) -> None:
    (folder / "folder.yaml").mkdir()
    if text is None:
        refused(typed(*arguments), 1)
        return
    told = refused(typed(*arguments), 2)
    assert told.startswith("Error: ")
    assert text in told
    as_json = json.loads(typed(*arguments, "--json").stdout)
    assert (as_json["ok"], as_json["error"]) == (False, "UsageError")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("net.yaml", b"skipseq: 1\nnetwork:\n  - nn.Linaer(4, 4)\n"),
        ("net.yml", b"backbone: 3\n"),
        ("net.yaml", b"\xff\xfe\x00"),
        ("net.yaml", b""),
        ("net.safetensors", b"\xff" * 20),
        ("net.cfg", b"[net]\nwidth=x\n"),
        ("net.json", b"[1, 2"),
        ("net.json", b"{}"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_and_has_status_1(name: str, content: bytes, folder: Path, typed: Typed) -> None:
    (folder / name).write_bytes(content)
    for command in (["check"], ["summary"], ["convert", "-o", "out.yaml"]):
        told = refused(typed(command[0], name, *command[1:]), 1)
        assert told.startswith(f"FileError: {name} cannot be read as a network.\n")
        data = json.loads(typed(command[0], name, *command[1:], "--json").stdout)
        assert (data["ok"], data["error"]) == (False, "FileError")
        assert data["message"] == told.removeprefix("FileError: ")
        assert "file" not in data  # no line of the user's code is to blame
    assert not (folder / "out.yaml").exists()


def test_weights_that_do_not_fit_are_refused(folder: Path, typed: Typed) -> None:
    done(typed("convert", "model.py:net", "-o", "net.yaml"))
    done(typed("convert", "model.py:own", "-o", "own.safetensors"))
    told = refused(typed("check", "net.yaml", "--weights", "own.safetensors"), 1)
    assert told.startswith(
        "FileError: own.safetensors cannot be read as a network.\n  its weights are not those of its network\n"
    )
    (folder / "cut.params").write_bytes(Path("unet-0000.params").read_bytes()[:-7])
    assert refused(typed("check", "unet-symbol.json", "--weights", "cut.params"), 1).startswith("FileError: ")


def test_an_old_file_stays_where_nothing_can_be_written(folder: Path, typed: Typed) -> None:
    (folder / "old.safetensors").write_bytes(b"as it was")
    assert refused(typed("convert", "model.py:lazy", "-o", "old.safetensors"), 1).startswith(
        "FileError: old.safetensors cannot be written."
    )
    assert (folder / "old.safetensors").read_bytes() == b"as it was"


# The functions behind it


def test_networks_are_written_by_their_endings(folder: Path) -> None:
    net = Sequential(nn.Linear(4, 4))
    for name in ("net.py", "net.YAML", "net.safetensors"):
        write_network(net, folder / name)
        read = python(folder / name) if name == "net.py" else read_network(folder / name)
        assert str(read) == str(net)
    with pytest.raises(FileError) as caught:
        write_network(net, "net.onnx")
    assert str(caught.value) == (
        "net.onnx cannot be written.\n"
        "  its ending is none that is written\n"
        "  expected a name that ends in one of .py, .yaml, .yml, .safetensors\n"
        "  received .onnx\n"
        "  Write net.safetensors for a file with the weights, .yaml for the text alone, .py for Python."
    )
    with pytest.raises(FileError, match="it holds its weights itself"):
        read_network("net.safetensors", "net.safetensors")
    with pytest.raises(FileError, match="it cannot be opened"):
        read_network("nowhere.yaml")


@pytest.mark.parametrize("suffix", [".py", ".yaml", ".safetensors"])
def test_a_place_that_takes_no_file_is_told_by_its_own_name(suffix: str, folder: Path) -> None:
    path = folder / "missing" / f"net{suffix}"
    with pytest.raises(FileError, match="received No such file or directory") as caught:
        write_network(Sequential(nn.ReLU()), path)
    assert caught.value.file == str(path)
    assert ".part" not in str(caught.value)
    (folder / f"folder{suffix}").mkdir()
    with pytest.raises(FileError, match="received Is a directory"):
        write_network(Sequential(nn.ReLU()), folder / f"folder{suffix}")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder in which nobody can write")
@pytest.mark.parametrize("command", ["convert -o /proc/x.py", "source -o /proc/x.py", "draw -o /proc/x.svg"])
def test_the_file_beside_the_file_is_not_named(command: str, folder: Path, typed: Typed) -> None:
    name, *options = command.split()
    said = refused(typed(name, "model.py:own" if name != "convert" else "residual.cfg", *options), 1)
    assert "No such file or directory" in said
    assert ".part" not in said


def test_an_open_part_and_shared_layers_become_python(folder: Path, typed: Typed) -> None:
    text = "from torch import nn\nfrom skipseq import Sequential, add, cat\nlayer = nn.Linear(4, 4)\n"
    (folder / "parts.py").write_text(text + "part = Sequential(layer, add('x'), nn.ReLU(), layer)\n")
    for target in (
        "convert parts.py:part -o one.py",
        "convert one.py:part -o two.safetensors",
        "convert two.safetensors -o 3.py",
    ):
        done(typed(*target.split()))
    for net in (python(folder / "one.py"), Sequential.from_file(folder / "two.safetensors"), python(folder / "3.py")):
        assert list(net.wiring.needs) == ["x"]
        assert net[0] is net[3]
