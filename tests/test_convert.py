"""From handwritten code to files: ``skipseq convert`` and ``skipseq source``, and a file in words that Python reads again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from skipseq import Residual, Sequential, add, call, cat, save, via
from skipseq.bridges.words_file import words_file
from skipseq.cli.app import app
from skipseq.declare.functions import Expression
from skipseq.errors import ConversionError

from .random_networks import Gate, unambiguous
from .view_networks import NETWORKS

HANDWRITTEN = """
import torch
from torch import nn
from skipseq import Sequential


class Block(nn.Module):
    def __init__(self, channels=8):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Decides(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Scale(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, x):
        return x * self.weight


net = Sequential(("scale", Scale(2.0)), nn.ReLU())
"""

WORDS = """\
from torch import nn

from skipseq import Sequential, add

net = Sequential(
    ('conv', nn.Conv2d(8, 8, 3, padding=1)),
    ('norm', nn.BatchNorm2d(8)),
    add('input'),  # <- input
    nn.ReLU(),
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of handwritten modules, in which the user is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(HANDWRITTEN)
    return tmp_path


def typed(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), prog_name="skipseq", catch_exceptions=False)
    sys.modules.pop("model", None)
    return result


def run(text: str) -> dict[str, Any]:
    """The names of a file."""
    names: dict[str, Any] = {}
    exec(compile(text, "net.py", "exec"), names)
    return names


# The command line


def test_a_handwritten_module_is_written_in_words(folder: Path) -> None:
    result = typed("convert", "model.py:Block")
    assert (result.exit_code, result.stdout) == (0, WORDS)
    assert typed("convert", "model.py:Block", "-o", "words.py").exit_code == 0
    assert (folder / "words.py").read_text() == WORDS
    net = run(WORDS)["net"]
    by_hand = run(HANDWRITTEN)["Block"]()
    net.load_state_dict(by_hand.state_dict())
    value = torch.randn(2, 8, 5, 5)
    assert torch.equal(net(value), by_hand(value))


def test_a_network_is_written_in_plain_pytorch(folder: Path) -> None:
    (folder / "words.py").write_text(WORDS)
    assert typed("source", "words.py:net", "-o", "plain.py", "--name", "Block").exit_code == 0
    text = (folder / "plain.py").read_text()
    assert "skipseq" not in text
    value, net = torch.randn(2, 8, 5, 5), run(WORDS)["net"]
    plain = run(text)["Block"]()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(plain(value), net(value))
    assert json.loads(typed("source", "model.py:Block", "--json").stdout)["text"].startswith('"""Block in plain PyTorch."""')


def test_a_written_file_runs_in_a_fresh_process(folder: Path) -> None:
    typed("source", "model.py:Block", "-o", "plain.py")
    code = "import sys, torch, plain; plain.Block()(torch.zeros(1, 8, 4, 4)); assert 'skipseq' not in sys.modules"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, env=environment, check=True)


def test_an_example_is_given_as_an_input(folder: Path) -> None:
    assert typed("convert", "model.py:Block", "--input", "N,8,6,6").stdout == WORDS
    assert typed("convert", "model.py:Block", "--input", "x=1,8,6,6:float32").stdout == WORDS
    result = typed("convert", "model.py:Block", "--input", "1,8,6,6:flaot")
    assert result.exit_code == 2
    assert "'flaot' where a dtype belongs" in result.stderr


def test_what_cannot_be_read_is_told_with_the_line(folder: Path) -> None:
    result = typed("convert", "model.py:Decides")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "ConversionError" in result.stderr
    assert "return self.conv(x) if x.sum() > 0 else x" in result.stderr


UNWRITTEN = """\
ConversionError: the network cannot be written as a file in words.
  layer 'scale' is printed as Scale()
  expected a text that builds it; Scale does not keep its arguments under their names
  Keep them as attributes in its class, write the layer as a Sequential, or save the network as it is: \
torch.save(net, 'net.pt').
"""


def test_what_cannot_be_written_is_told_by_the_layer(folder: Path) -> None:
    result = typed("convert", "model.py:net")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", UNWRITTEN)


def test_names_and_places_are_looked_at_first(folder: Path) -> None:
    assert "cannot be the name of a class" in typed("source", "model.py:net", "--name", "class").stderr
    assert "there is no folder" in typed("convert", "model.py:Block", "-o", "no/where.py").stderr
    assert typed("source", "nothing.py:net").exit_code == 2


# The file in words


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_file_in_words_builds_the_network_again(name: str) -> None:
    net, _ = NETWORKS[name]()
    text = words_file(net)
    again = run(text)["net"]
    assert str(again) == str(net)
    assert again.wiring == net.wiring
    again.load_state_dict(net.state_dict())


@settings(max_examples=30)
@given(unambiguous())
def test_files_of_random_networks(network: Any) -> None:
    net = network.net
    if any(isinstance(each, Gate) for each in net.modules()):
        with pytest.raises(ConversionError, match=r"is printed as Gate\(\.\.\.\)"):
            words_file(net)
        return
    again = run(words_file(net))["net"]
    assert again.wiring == net.wiring
    assert list(again.state_dict()) == list(net.state_dict())


def test_functions_are_imported_from_where_they_live() -> None:
    net = Sequential(
        nn.Linear(4, 4), save("a"), torch.relu, partial(nn.functional.leaky_relu, negative_slope=0.2),
        call(Expression(("x", "y"), "torch.maximum(x, y)"), "a"), cat("a", dim=-1), nn.Linear(8, 4),
    )  # fmt: skip
    text = words_file(net, "model")
    assert "from functools import partial\n" in text
    assert "import torch\n" in text
    assert "model = Sequential(" in text
    again = run(text)["model"]
    again.load_state_dict(net.state_dict())
    value = torch.randn(2, 4)
    assert torch.equal(again(value), net(value))


def test_blocks_and_names_of_plain_parts() -> None:
    named = nn.Sequential()
    named.add_module("conv", nn.Conv1d(4, 4, 1))
    named.add_module("norm", nn.BatchNorm1d(4))
    net = Sequential(("stem", named), Residual(nn.Conv1d(4, 4, 1), nn.ReLU()), add("stem"))
    text = words_file(net)
    assert "from collections import OrderedDict" in text
    assert "from skipseq import Residual, Sequential, add" in text
    assert list(run(text)["net"].state_dict()) == list(net.state_dict())


def test_a_part_with_needs_is_written() -> None:
    part = Sequential(nn.Linear(4, 4), cat("x1"), nn.Linear(8, 4), add("x2"))
    text = words_file(part, "decoder")
    assert "\n# needs x1, x2\ndecoder = Sequential(\n" in text
    assert run(text)["decoder"].wiring == part.wiring


@pytest.mark.parametrize("name", ["a b", "class", ""])
def test_a_variable_has_a_name(name: str) -> None:
    with pytest.raises(ConversionError, match=f"{name!r} is no name of a variable"):
        words_file(Sequential(nn.ReLU()), name)


def test_shared_layers_stay_shared() -> None:
    shared, whole = nn.Linear(4, 4), Sequential(nn.Linear(4, 4), add("input"))
    inside = Sequential(shared, add(via("input", shared)))
    net = Sequential(("first", shared), whole, nn.ReLU(), inside, whole, shared, nn.ReLU())
    text = words_file(net)
    assert text.endswith(
        ")\n# One layer at several places, with the same weights.\n"
        "net.set_submodule('3.0', net.get_submodule('first'))\n"
        "net.set_submodule('3.add_0.0', net.get_submodule('first'))\n"
        "net.set_submodule('4', net.get_submodule('1'))\n"
        "net.set_submodule('5', net.get_submodule('first'))\n"
    )
    again = run(text)["net"]
    assert str(again) == str(net)
    assert len(list(again.parameters())) == len(list(net.parameters())) == 4
    again.load_state_dict(net.state_dict())
    value = torch.randn(2, 4)
    assert torch.equal(again(value), net(value))
    again(value).sum().backward()
    net(value).sum().backward()
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(again.parameters(), net.parameters(), strict=True))


def test_a_lambda_cannot_be_written() -> None:
    def doubled(value: Tensor) -> Tensor:
        return value * 2

    for function in (lambda value: value * 2, doubled):
        with pytest.raises(ConversionError, match="layer '1' is printed as"):
            words_file(Sequential(nn.Linear(4, 4), function))
