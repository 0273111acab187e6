"""Texts that stand for no network: every fault has its place, what was expected and what to do; and no text does any harm."""

from __future__ import annotations

import inspect
import os
import pickle
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from skipseq import Sequential, add, call, save
from skipseq.bridges.text import network_of_text
from skipseq.bridges.text.document import Scalar, parse
from skipseq.bridges.text.faults import Place, Source
from skipseq.errors import FileError

from .fuzzing import damaged, read_or_refused
from .random_networks import shrink
from .text_faults import BLOCKS, HEAD, HOSTILE, REFUSED
from .view_networks import NETWORKS


def refusal(text: Any, **options: Any) -> FileError:
    with pytest.raises(FileError) as caught:
        Sequential.from_yaml(text, **options)
    return caught.value


def test_what_is_said(golden: Callable[[str, str], None]) -> None:
    """All faults in one golden text: the network, then the error without its first line."""
    told = []
    for text in REFUSED:
        error = refusal(text)
        head, *lines = str(error).splitlines()
        assert head == "the text cannot be read as a network."
        shown = [f"| {line!r}"[:2] + repr(line)[1:-1] for line in text.splitlines()]
        told += [*shown, *lines, ""]
    golden("text/faults.txt", "\n".join(told) + "\n")


@pytest.mark.parametrize("text", REFUSED)
def test_a_fault_has_its_place(text: str) -> None:
    error = refusal(text)
    assert error.where.startswith("line ")
    line, column = (int(part.split()[1]) for part in error.where.split(", "))
    lines = [*text.split("\n"), ""]
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
    assert error.problem
    assert error.expected
    assert error.received
    assert error.advice
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts(kind: str) -> None:
    """They are refused in bounded time and memory."""

    def read(data: bytes) -> Any:
        return Sequential.from_yaml(data.decode())

    assert read_or_refused(read, HOSTILE[kind].encode()) is None


def test_devices_are_refused_one_by_one() -> None:
    error = refusal(HOSTILE["devices"])
    assert error.problem == "a text does not say on which device a layer lives"
    assert "3 more faults:" in error.advice


def test_a_large_text_is_read() -> None:
    net = Sequential.from_yaml(BLOCKS + "  b(n):\n    - nn.Linear(n, n)\n    - add('input')\nnetwork:\n" + "  - b(4)\n" * 500)
    assert len(net) == 500
    deep = Sequential.from_yaml(HEAD + "  " + "- " * 80 + "nn.ReLU()")
    assert len(list(deep.modules())) == 81
    called = Sequential.from_yaml(HEAD + "  - " + "Sequential(" * 80 + "nn.ReLU()" + ")" * 80)
    assert len(list(called.modules())) == 82


def test_a_deep_stack_is_refused_too() -> None:
    """Whoever reads at the end of a long chain of calls gets the error of a text that is too deep, and no other."""
    text = HEAD + "  " + "- " * 80 + "nn.ReLU()"
    depth = len(inspect.stack(0))

    def deeper(count: int) -> Any:
        return Sequential.from_yaml(text) if not count else deeper(count - 1)

    for left in (200, 150, 100):
        with pytest.raises(FileError, match=r"nested too deep|too complicated"):
            deeper(sys.getrecursionlimit() - depth - left)


def test_reading_takes_no_memory_before_it_knows_how_much() -> None:
    text = HEAD + "  - nn.Linear(20000, 20000)\n"
    tracemalloc.start()
    start = time.monotonic()
    error = refusal(text, largest=1 << 20)
    assert time.monotonic() - start < 5
    tracemalloc.stop()
    assert str(error) == (
        "the text cannot be read as a network.\n"
        "  its parameters take too much memory\n"
        "  expected at most 1,048,576 bytes\n"
        "  received 1,600,080,000 bytes\n"
        "  Pass largest=1600080000 if it is meant to be as large."
    )
    net = network_of_text(Sequential, text, "net.safetensors")
    assert net[0].weight.is_meta


# Places


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (HEAD + "  - nn.Liner(3, 4)", (3, 5)),
        (HEAD + "  - head: nn.Liner(3, 4)", (3, 11)),
        (HEAD + "  - 'nn.Liner(3, 4)'", (3, 6)),
        (HEAD + '  - "nn.Liner(3, 4)"', (3, 6)),
        (HEAD + "  - &a nn.Liner(3, 4)", (3, 8)),
        (HEAD + "  - add(via('input', nn.Liner(3, 4)))", (3, 22)),
        (HEAD + "  - 'add(via(''input'', nn.Liner(3, 4)))'", (3, 25)),
        (HEAD + '  - "add(via(\\"input\\", nn.Liner(3, 4)))"', (3, 25)),
        (HEAD + "  - 'é': add(via('é名', nn.Liner(3, 4)))", (3, 24)),
        (HEAD + "  - nn.Sequential(nn.ReLU(),\n      nn.Liner(3, 4))", (4, 7)),
        (HEAD + "  - >\n    nn.Sequential(nn.ReLU(),\n    nn.Liner(3, 4))", (5, 5)),
        (HEAD + "  - |\n    nn.Sequential(nn.ReLU(),\n    nn.Liner(3, 4))", (5, 5)),
        (HEAD + '  - "nn.Sequential(nn.ReLU(), \\\n    nn.Liner(3, 4))"', (4, 5)),
        (HEAD + "  - enc:\n      - Residual(join=ad):\n          - nn.ReLU()", (4, 23)),
        ("# a comment\n\nskipseq: 1\nnetwork: ['nn.Liner(1, 2)']", (4, 12)),
        ("skipseq: 1\r\nnetwork:\r\n  - nn.ReLU()\r\n  - nn.Liner(1, 2)\r\n", (4, 5)),
    ],
)
def test_places(text: str, place: tuple[int, int]) -> None:
    assert refusal(text).where == str(Place(*place))


@settings(max_examples=60, database=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30), st.sampled_from("'\"p"))
def test_the_place_of_every_character(text: str, kind: str) -> None:
    """Between quotes, every character that is no blank is found where it stands."""
    dumped = yaml.dump([text], allow_unicode=True, width=20, default_style=None if kind == "p" else kind)
    root = parse(Source("the text", dumped))
    (scalar,) = root.items  # type: ignore[union-attr]
    assert isinstance(scalar, Scalar)
    lines = dumped.split("\n")
    for offset, letter in enumerate(scalar.text):
        if letter.isspace() or letter in "\x85\u2028\u2029" or not letter.isprintable():
            continue
        place = scalar.at(offset)
        found = lines[place.line - 1][place.column - 1]
        assert found in (letter, "\\"), (dumped, offset)


def test_a_fault_of_the_wiring_has_the_line_of_its_entry() -> None:
    text = """skipseq: 1
network:
  - encoder:
      - nn.Linear(4, 4)
      - save('x1')
      - nn.ReLU()
      - save('x1')
  - Sequential():
      - nn.ReLU()
      - add('a', 'b')
  - decoder:
      nn.Sequential():
        - nn.ReLU()
"""
    assert str(refusal(text)) == (
        "the text cannot be read as a network.\n"
        "  line 7, column 9: save('x1') saves 'x1' again; it is already saved at line 5\n"
        "  expected entries and names that fit together\n"
        "  received save('x1')\n"
        "  Rename one of them.\n"
        "  1 more fault:\n"
        "    line 10, column 9: add('a', 'b') does not say where the running value goes"
    )


def test_a_fault_in_a_block_tells_who_called_it() -> None:
    text = BLOCKS + "  conv(inputs, outputs):\n    - nn.Conv2d(inputs, outputs, 3)\n"
    text += "  two(inputs):\n    - conv(inputs, 'x')\nnetwork:\n  - nn.ReLU()\n  - two(3)\n"
    assert refusal(text).advice.splitlines()[1:] == ["It is called at line 6, column 7.", "It is called at line 9, column 5."]
    assert refusal(text).where == "line 4, column 7"


def test_a_path_inside_a_part_leads_to_its_line() -> None:
    text = (
        HEAD + "  - a:\n      - b:\n          - nn.ReLU(inplace=True)\n      - nn.ReLU()\n  - take('a.b.0')\n  - cat('input')\n"
    )
    assert refusal(text).where == "line 5, column 13"


# Files


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "it cannot be opened" in str(refusal(tmp_path / "none.yaml"))
    assert str(refusal("nowhere/net.yml")).startswith("nowhere/net.yml cannot be read as a network.\n  it cannot be opened\n")
    assert "it cannot be opened" in str(refusal(tmp_path))
    binary = tmp_path / "net.yaml"
    binary.write_bytes(b"skipseq: 1\nnetwork:\n  - \xff\n")
    assert str(refusal(binary)) == (
        f"{binary} cannot be read as a network.\n"
        "  byte 24: it is no text in UTF-8\n"
        "  expected UTF-8\n"
        "  received the byte 0xff\n"
        "  Save the file as UTF-8 in an editor."
    )
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(HEAD + "  - nn.Liner(3, 4)\n")
    assert refusal(wrong).file == str(wrong)
    assert refusal(str(wrong)).where == "line 3, column 5"
    assert "neither a text nor a path" in str(refusal(5))
    assert "it cannot be opened" in str(refusal("a\0b.yaml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "no text in UTF-8" in str(refusal(Path("/bin/sh")))
        if Path("/dev/zero").exists():
            assert refusal(Path("/dev/zero")).received == "a folder, a pipe or a device"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    for use in (lambda: Sequential.from_yaml(HEAD + "  - nn.ReLU()"), lambda: Sequential(nn.ReLU()).to_yaml()):
        with pytest.raises(ImportError) as caught:
            use()
        assert str(caught.value) == "a network as YAML needs the library PyYAML.\n  Write pip install 'skipseq[yaml]'."


# Nothing is executed


def test_nothing_is_executed(tmp_path: Path) -> None:
    target = tmp_path / "here"
    attempts = [
        f"!!python/object/apply:os.system ['touch {target}']",
        f"!!python/object/new:os.system ['touch {target}']",
        f"__import__('os').system('touch {target}')",
        f'eval(\'__import__("os").system("touch {target}")\')',
        f"nn.ReLU().__class__.__init__.__globals__['__builtins__']['open']('{target}', 'w')",
        f"partial(open, '{target}', 'w')",
        f"call(open, '{target}')",
        f"\"lambda x: open('{target}', 'w')\"",
        f"\"lambda x: x.__class__.__base__.__subclasses__()[0]('{target}')\"",
        f"\"lambda x: [y for y in (open,)][0]('{target}')\"",
        f"\"lambda open: open('{target}', 'w')\"",
        f"torch.save(3, '{target}')",
        f"torch.Tensor.__reduce_ex__({target.name!r})",
        f"'\\'' + open('{target}', 'w')",
    ]
    for attempt in attempts:
        try:
            Sequential.from_yaml(HEAD + f"  - {attempt}\n")
        except FileError:
            pass
        else:
            assert "lambda open" in attempt, "a parameter may have any name; calling it calls a value"
        assert not target.exists(), attempt


def test_nothing_is_imported() -> None:
    before = set(sys.modules)
    for name in ("antigravity", "this", "torch.hub", "os.path.join", "sys.exit"):
        refusal(HEAD + f"  - {name}()\n")
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def called_when_read(*_: Any) -> Any:
    raise AssertionError("a registered function runs when the network runs, not when it is read")


def test_registered_functions_are_not_called() -> None:
    error = refusal(HEAD + "  - touch('x')\n", registry={"touch": called_when_read})
    assert error.problem == "touch is a function, which is called when the network runs"
    Sequential.from_yaml(HEAD + "  - touch\n", registry={"touch": called_when_read})


def test_a_registered_module_gives_its_functions_and_no_more() -> None:
    text = HEAD + '  - "lambda x: F.gelu(x)"\n'
    Sequential.from_yaml(text, registry={"F": nn.functional})
    for name in ("torch", "warnings", "__builtins__", "Tensor", "torch.load"):
        refusal(text.replace("gelu", name), registry={"F": nn.functional})


@pytest.mark.parametrize(
    ("registry", "told"),
    [
        ({"add": shrink}, "'add', which has a meaning already"),
        ({"torch": torch}, "'torch', which has a meaning already"),
        ({"a b": shrink}, "'a b', which is no name"),
        ({3: shrink}, "3, which is no name"),
        ({"one": nn.Linear(2, 2)}, "'one': a Linear that exists, whose weights every network would share"),
    ],
)
def test_registries_that_do_not_fit(registry: Any, told: str) -> None:
    assert refusal(HEAD + "  - nn.ReLU()", registry=registry).received == told
    with pytest.raises(FileError, match="the registry does not fit"):
        Sequential(nn.ReLU()).to_yaml(registry=registry)


class Breaks(nn.Module):
    """A layer whose constructor raises whatever it is told to."""

    def __init__(self, error: str) -> None:
        super().__init__()
        raise {"key": KeyError, "runtime": RuntimeError, "stop": StopIteration, "memory": MemoryError}[error](
            "broken\nin two lines"
        )


@pytest.mark.parametrize("error", ["key", "runtime", "stop", "memory", "other"])
def test_whatever_a_constructor_raises(error: str) -> None:
    found = refusal(HEAD + f"  - Breaks('{error}')", registry={"Breaks": Breaks})
    assert found.problem.startswith("Breaks cannot be built: ")
    assert found.expected == "Breaks(error)"


# Fuzz


def texts() -> list[bytes]:
    """Valid texts, with all that the format has."""
    nets = [NETWORKS[name]()[0] for name in ("nested_unet", "two_inputs_two_outputs", "lstm", "transformer")]
    one = nn.Linear(4, 4)
    nets.append(Sequential(("one", one), one, save("on"), nn.Sequential(one, nn.ReLU()), call(torch.maximum, "on"), add("one")))
    blocks = (
        BLOCKS + "  down(inputs, outputs, stride=1):\n    - nn.Conv2d(inputs, outputs, 3, stride=stride)\n    - nn.ReLU()\n"
    )
    blocks += (
        'network:\n  - down(3, 2 * 4)\n  - residual:\n      - down(8, 8).repeat(2)\n      - "lambda x: x.flatten(1) + 1"\n'
    )
    return [*(net.to_yaml().encode() for net in nets), blocks.encode()]


@pytest.mark.parametrize("index", range(6))
def test_damaged_texts(index: int) -> None:
    data = texts()[index]
    assert isinstance(Sequential.from_yaml(data.decode()), Sequential)

    def read(changed: bytes) -> Any:
        return Sequential.from_yaml(changed.decode(errors="surrogateescape"), largest=1 << 28)

    refused = 0
    for changed in damaged(data, 60, seed=index):
        net = read_or_refused(read, changed)
        refused += net is None
    assert 10 < refused < 60


PIECES = [
    "nn.Linear",
    "(",
    ")",
    "[",
    "]",
    "3",
    ",",
    " ",
    "\n  - ",
    ": ",
    "add",
    "'input'",
    "save('x')",
    "&a ",
    "*a",
    "{",
    "}",
    "#",
]
PIECES += [
    "lambda x: ",
    "x",
    ".repeat(2)",
    "nn.Sequential()",
    "Residual():",
    "\n      - ",
    "-1",
    "**",
    "pick[0]",
    "!!str",
    "? ",
    '"',
]


@settings(max_examples=150, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_texts_of_pieces(pieces: list[str]) -> None:
    read_or_refused(
        lambda data: Sequential.from_yaml(data.decode(), largest=1 << 28), (HEAD + "  - " + "".join(pieces)).encode()
    )


@settings(max_examples=100, database=None)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    if text.strip().lower().endswith((".yaml", ".yml")):
        return
    for each in (text, HEAD + "  - " + text, HEAD + f"  - {text!r}: nn.ReLU()"):
        read_or_refused(
            lambda data: Sequential.from_yaml(data.decode(errors="surrogatepass")), each.encode(errors="surrogatepass")
        )


def test_the_file_system_is_not_touched_by_texts() -> None:
    before = sorted(os.listdir("."))
    for text in REFUSED[:20]:
        refusal(text)
    assert sorted(os.listdir(".")) == before


def test_tensors_are_no_part_of_a_text() -> None:
    assert isinstance(torch.zeros(1), Tensor)
    error = refusal(HEAD + "  - nn.CrossEntropyLoss(weight=torch.zeros(3))")
    assert error.problem == "torch.zeros is not known. Did you mean 'torch.nonzero'?"
