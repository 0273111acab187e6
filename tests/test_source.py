"""``net.source()``: the text builds the same network, needs torch alone, and is what a person would write."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import re
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from skipseq import Sequential, add, here, save, sub, take
from skipseq.declare.words import Word
from skipseq.views.source.source import Source

from .helpers import linear, without_collection
from .random_networks import Network, unambiguous
from .same_network import example
from .source_networks import CASES, FITS, WIDTH, fitted
from .view_networks import NETWORKS

FILE = "<generated>"

BUILDERS = [
    ("bottleneck", "bottleneck"), ("bottleneck", "in_short"), ("bottleneck", "stack"), ("branches", "inception"),
    ("flat_encoder_decoder", "flat_encoder_decoder"), ("grid_from_parts", "grid"), ("grid_from_parts", "across"),
    ("misfit", "same_size"), ("misfit", "shrunk_input"), ("pix2pix", "nested"), ("pix2pix", "flat"), ("read_values", "blocks"),
    ("restore_photo", "build_network"), ("three_linears", "three_linears"), ("two_sources", "concatenated_after_relu"),
    ("two_sources", "concatenated_before_relu"), ("two_sources", "added_after_relu"), ("two_sources", "added_before_relu"),
    ("unet_from_parts", "unet"), ("unet_from_parts", "encoder"), ("unet_from_parts", "decoder"),
]  # fmt: skip


def built(net: Sequential, source: Source, name: str = "Net") -> nn.Module:
    """The network that a text builds; layers that the text asks for are copies of those of the network."""
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source.text, FILE, "exec"), names)
    cls = names[name]
    paths = re.findall(r"^        (\w+): the \w+ at (.*)\.$", source.text, re.MULTILINE)
    assert [parameter for parameter, _ in paths] == ([*inspect.signature(cls).parameters] if paths else [])
    twin: nn.Module = cls(*(copy.deepcopy(net.get_submodule(path)) for _, path in paths))
    return twin


def tensors(result: Any) -> list[Tensor]:
    """The tensors of a result, in order."""
    return [result] if isinstance(result, Tensor) else [tensor for each in result for tensor in tensors(each)]


def assert_same(net: Sequential, given: tuple[Any, ...] | dict[str, Any]) -> Source:
    """The text of a network builds one with the same checkpoint, outputs, gradients and buffers after a training step."""
    source = net.source()
    twin = built(net, source)
    assert list(twin.state_dict()) == list(net.state_dict())
    twin.load_state_dict(net.state_dict(), strict=True)
    results = []
    for each in (net, twin):
        torch.manual_seed(1)
        given_now = given
        if isinstance(given, dict):
            named = dict(given)
            results.append(tensors(each(named.pop("input"), **named)))
        else:
            results.append(tensors(each(*given_now)))
    assert len(results[0]) == len(results[1]) > 0
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype is theirs.dtype
    assert_same_step(net, twin, results)
    return source


def assert_same_step(net: nn.Module, twin: nn.Module, results: list[list[Tensor]]) -> None:
    """Gradients are equal, and so are buffers behind the pass."""
    for result in results:
        loss = sum((each.double().square().sum() for each in result if each.requires_grad), start=torch.zeros(()))
        if loss.requires_grad:
            loss.backward()
    assert [*dict(net.named_parameters())] == [*dict(twin.named_parameters())]
    for (name, ours), theirs in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert ours.requires_grad == theirs.requires_grad, name
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None:
            torch.testing.assert_close(theirs.grad, ours.grad)
    for (name, mine), other in zip(net.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(mine, other), name


# The same network


@settings(max_examples=100)
@given(unambiguous())
def test_random_networks(network: Network) -> None:
    given_values = tuple(torch.randn(3, WIDTH, dtype=torch.float64) for _ in network.inputs)
    source = assert_same(network.net, given_values)
    assert_lines_run_what_they_say(network.net, source, given_values)


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_network(name: str) -> None:
    net, given_values = CASES[name]()
    source = assert_same(net, given_values)
    assert_lines_run_what_they_say(net, source, given_values)


@pytest.mark.parametrize(("word", "kind", "like"), FITS)
def test_each_fit(word: Any, kind: str, like: Any) -> None:
    net, given_values = fitted(word, kind, like)
    assert_same(net, given_values)


@pytest.mark.parametrize(("file", "name"), BUILDERS)
def test_the_examples(file: str, name: str) -> None:
    net = getattr(example(file), name)()
    source = net.source()
    twin = built(net, source)
    assert list(twin.state_dict()) == list(net.state_dict())
    twin.load_state_dict(net.state_dict())
    given_values = example_inputs(file, name)
    for ours, theirs in zip(tensors(net(**given_values)), tensors(twin(**renamed(given_values))), strict=True):
        assert torch.equal(ours, theirs)


def example_inputs(file: str, name: str) -> dict[str, Tensor]:
    """What an example is called with."""
    if name == "across":
        rows = {f"a{k + 1}": torch.randn(1, 8 * 2**k, 4, 4) for k in range(3)}
        return {"input": torch.randn(1, 8, 4, 4), **rows}
    if name == "decoder":
        return {"input": torch.randn(1, 32, 4, 4), "x1": torch.randn(1, 8, 16, 16), "x2": torch.randn(1, 16, 8, 8)}
    shapes = {"bottleneck": (2, 256, 3, 3), "two_sources": (4, 30), "three_linears": (4, 12)}
    return {"input": torch.randn(shapes.get(file, (2, 3, 32, 32)))}


def renamed(given_values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs by the names that a text has for them."""
    return {"x" if name == "input" else name: value for name, value in given_values.items()}


# What each line is about


def assert_lines_run_what_they_say(net: Sequential, source: Source, given_values: tuple[Any, ...] | dict[str, Any]) -> None:
    """Every operation is done by some line, and whenever a layer runs, the lines that led to it know of it."""
    graph = net._graph(..., (), {})
    assert {position for line in source.lines for position in line.runs} == {node.position for node in graph.nodes}
    twin = built(net, source)
    calls: list[tuple[str, list[int]]] = []
    names = [name for name, module in twin.named_modules(remove_duplicate=False) if holds_parameters(module)]
    for name in names:
        note = functools.partial(note_call, calls, name)
        twin.get_submodule(name).register_forward_pre_hook(note)
    run_with(twin, given_values)
    positions = {".".join(node.path): node.position for node in graph.nodes if node.kind == "layer"}
    for name, numbers in calls:
        # One that stands at two places, or is called again, runs in several lines.
        if name in positions and [each for each, _ in calls].count(name) == 1 and calls.count((name, numbers)) == 1:
            lines = [source.lines[number - 1] for number in numbers]
            others = [each for each, known in calls if known == numbers and each != name]
            assert positions[name] in lines[0].runs, name
            assert others or all(positions[name] in line.inside for line in lines[1:]), name


def note_call(calls: list[tuple[str, list[int]]], name: str, *_: Any) -> None:
    """Notes the lines of the text that run while a layer is called."""
    calls.append((name, generated_lines(sys._getframe(1))))


def run_with(net: nn.Module, given_values: tuple[Any, ...] | dict[str, Any]) -> Any:
    """Calls a network that a text has built."""
    if isinstance(given_values, dict):
        named = dict(given_values)
        return net(named.pop("input"), **named)
    return net(*given_values)


def holds_parameters(module: nn.Module) -> bool:
    """Whether a module is a layer with parameters of its own."""
    return any(True for _ in module.parameters(recurse=False))


def generated_lines(frame: FrameType | None) -> list[int]:
    """The numbers of the lines of the text that are being run, the innermost first."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename == FILE:
            found.append(frame.f_lineno)
        frame = frame.f_back
    return found


def test_lines_of_one_class_for_several_blocks() -> None:
    net = NETWORKS["resnet"]()[0]
    source, nodes = net.source(), net._graph(..., (), {}).nodes
    line = next(line for line in source.lines if "x = self[0](x)" in line.text)
    assert [nodes[position].name for position in line.runs] == [f"block{k}.0" for k in (1, 2, 3, 5, 6, 8)]
    call_line = next(line for line in source.lines if "x = self.block4(x)" in line.text)
    assert [nodes[position].name for position in call_line.inside] == [node.name for node in nodes if node.path[0] == "block4"]
    assert call_line.runs == ()
    whole = next(line for line in source.lines if 'x + self["shortcut"](identity)' in line.text)
    assert [nodes[position].name for position in whole.runs] == [
        f"block{k}.{name}" for k in (4, 7) for name in ("shortcut.0", "shortcut.1", "shortcut")
    ]


def test_lines_that_build() -> None:
    net = NETWORKS["nested_unet"]()[0]
    source, nodes = net.source(), net._graph(..., (), {}).nodes
    building = {line.text.strip(): [nodes[k].name for k in line.builds] for line in source.lines if line.builds}
    assert building["nn.ConvTranspose2d(16, 8, 2, stride=2),"] == ["decoder.3"]
    assert building["self.head = nn.Conv2d(8, 2, 1)"] == ["head"]
    inside = next(line for line in source.lines if "self.bridge = ResidualBlock()" in line.text)
    assert [nodes[k].name for k in inside.inside] == ["bridge.0", "bridge.1", "bridge.2"]
    built_nodes = {position for line in source.lines for position in line.builds}
    assert built_nodes == {node.position for node in nodes if node.kind == "layer"}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_built_where_it_says(name: str) -> None:
    net = NETWORKS[name]()[0]
    nodes = net._graph(..., (), {}).nodes
    for line in net.source().lines:
        for position in line.builds:
            kind = re.match(r"(?:call\()?(nn\.\w+)", nodes[position].text)
            assert kind is not None
            assert kind[1] in line.text


# The text


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_texts(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"source/{name}.txt", NETWORKS[name]()[0].source().text)


@pytest.mark.parametrize(
    "name",
    [
        "all_words", "expressions", "fits_of_three", "fits_along_other_dimensions", "fits_with_broadcasting", "functions",
        "keys_of_all_kinds", "keys_of_a_dict", "layers_of_ones_own", "parts_in_parts", "parts_with_inputs", "projections",
        "residual_network", "shared_layers", "shared_attribute", "tied_and_frozen", "transformer_layers", "tuples_from_parts",
        "a_dict_comes_in", "clashing_labels", "needs", "number_types", "a_tuple_of_a_layer", "one_label_twice",
        "held_layers", "parts_in_numbered_parts",
    ],
)  # fmt: skip
def test_golden_texts_of_each_kind(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"source/{name}.txt", CASES[name]()[0].source().text)


def test_tools_leave_the_texts_alone(tmp_path: Path) -> None:
    """The formatter and the linter with their usual settings, the latter also with those of this project."""
    write_all(tmp_path)
    for arguments in (["check", "--isolated"], ["format", "--check", "--isolated"]):
        tool(["ruff", *arguments, "--no-cache", str(tmp_path)])


@pytest.mark.slow
def test_type_checkers_find_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    files = write_all(tmp_path)
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(root / ".mypy_cache" / "source"), "--config-file="]
    tool(["mypy", *options, *map(str, files)], MYPYPATH=f"{root / 'src'}:{root}")


def write_all(folder: Path) -> list[Path]:
    """All golden texts as files of Python."""
    texts = sorted((Path(__file__).parent / "golden" / "source").glob("*.txt"))
    assert len(texts) > 30
    for text in texts:
        (folder / f"{text.stem}.py").write_text(text.read_text())
    return [folder / f"{text.stem}.py" for text in texts]


def tool(arguments: list[str], **environment: str) -> None:
    """Runs a tool, which must be content."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


ALONE = """
import sys
sys.modules["skipseq"] = None
sys.path.insert(0, sys.argv[1])
import torch, saved
net = saved.Net()
net.load_state_dict(torch.load(sys.argv[1] + "/weights.pt"))
given, expected = torch.load(sys.argv[1] + "/values.pt")
assert torch.equal(net(given), expected)
print(sorted(name for name in sys.modules if name.startswith("skipseq")))
"""


def test_the_text_needs_torch_alone(tmp_path: Path) -> None:
    net, given_values = CASES["residual_network"]()
    net.eval()
    net.source().save(tmp_path / "saved.py")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    torch.save((given_values[0], net(given_values[0])), tmp_path / "values.pt")
    script = ALONE.replace("net.load", "net.eval().load")
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "['skipseq']\n", done.stderr


def test_saves_the_whole_file_or_nothing(tmp_path: Path) -> None:
    source = NETWORKS["flat_unet"]()[0].source()
    source.save(tmp_path / "net.py")
    assert (
        (tmp_path / "net.py").read_text() == source.text == f"{source}\n" == "".join(f"{line.text}\n" for line in source.lines)
    )
    with pytest.raises(FileNotFoundError):
        source.save(tmp_path / "missing" / "net.py")
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_the_class_has_the_name_that_was_asked_for() -> None:
    net = Sequential(Sequential(linear(), add("input")), linear())
    assert "class Classifier(nn.ModuleList):" in net.source("Classifier").text
    text = net.source("Block").text
    assert text.startswith('"""Block in plain PyTorch."""')
    assert "class Block2(nn.ModuleList):" in text
    assert isinstance(built(net, net.source("Block"), "Block")(torch.zeros(1, 4)), Tensor)


def test_the_network_stays_as_it_is() -> None:
    net, given_values = CASES["tied_and_frozen"]()
    before = {name: (id(value), value.clone()) for name, value in net.state_dict(keep_vars=True).items()}
    generator = torch.get_rng_state()
    net.source()
    assert torch.equal(torch.get_rng_state(), generator)
    for name, value in net.state_dict(keep_vars=True).items():
        assert (id(value), True) == (before[name][0], bool(torch.equal(value, before[name][1])))
    assert net(*given_values).shape == (3, 4, 10)


def test_a_tied_layer_of_ones_own_keeps_its_tensors() -> None:
    watched = nn.Linear(4, 4)
    watched.register_forward_hook(lambda *_: None)
    net = Sequential(("one", linear()), ("two", watched), add("one"))
    net.two.weight = net.one.weight
    weight = net.one.weight
    net.source()
    assert net.two.weight is net.one.weight is weight
    assert not weight.is_meta


# Lazy layers


def test_lazy_layers_stay_lazy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), save("x"), nn.LazyConv2d(8, 3, padding=1), add("x"))
        twin = built(net, net.source())
    image = torch.randn(2, 4, 9, 9)
    net(image), twin(image)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(image), twin.eval()(image))
    assert "nn.Conv2d(4, 8, 3)" in net.source().text


# Memory


@pytest.mark.parametrize("name", ["flat_unet", "nested_unet", "unet_plus_plus", "resnet", "two_inputs_two_outputs", "lstm"])
def test_values_die_where_they_do_in_the_network(name: str) -> None:
    net, shapes = NETWORKS[name]()
    twin = built(net, net.source())
    given_values = {"input": made(shapes[0])} if not isinstance(shapes[0], dict) else {k: made(v) for k, v in shapes[0].items()}
    if name == "lstm":
        given_values = {"input": torch.zeros(2, 7, dtype=torch.long)}
    named = renamed(given_values) if "input" in given_values else given_values
    with without_collection(), torch.no_grad():
        lives = values_alive(net, given_values)
        assert values_alive(twin, named) == lives
    assert any(lives)


def made(shape: Any) -> Tensor:
    """A tensor of a shape whose batch may be unknown."""
    return torch.zeros(*(2 if extent == "N" else extent for extent in shape))


def values_alive(net: nn.Module, given_values: dict[str, Tensor]) -> list[frozenset[str]]:
    """For each call of a layer, which of the outputs of earlier ones are still there."""
    outputs: list[tuple[str, weakref.ref[Tensor]]] = []
    seen: list[frozenset[str]] = []
    handles = []
    for module in net.modules():
        if not isinstance(module, Word) and not [*module.children()]:
            handles.append(module.register_forward_pre_hook(functools.partial(note_alive, seen, outputs)))
            handles.append(module.register_forward_hook(functools.partial(note_output, seen, outputs)))
    net(**given_values)
    for handle in handles:
        handle.remove()
    return seen


def note_alive(seen: Any, outputs: Any, *_: Any) -> None:
    seen.append(frozenset(each for each, reference in outputs if reference() is not None))


def note_output(seen: Any, outputs: Any, _module: Any, _given: Any, output: Any) -> None:
    outputs += [(f"call {len(seen)}, {k}", weakref.ref(tensor)) for k, tensor in enumerate(tensors(output))]


def test_layers_that_a_part_is_given_are_built_before_it() -> None:
    """They stand in the root again, behind the part, under keys that have no attribute yet where the part is built."""
    first, second = nn.Flatten(), nn.Linear(5, 5)
    part = Sequential(first, second, save("v"))
    net = Sequential(("part", part), take("d"), ("x", first), ("y", second), sub("v", here), inputs=("c", "d"))
    known: dict[str, Any] = {}
    exec(net.source().text, known)
    twin = known["Net"]()
    twin.load_state_dict(net.state_dict())
    c, d = torch.randn(2, 5), torch.randn(2, 5)
    assert torch.equal(twin(c, d), net(c, d))
    assert twin.y is twin.part[1]
