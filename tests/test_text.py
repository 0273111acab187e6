"""Networks as text and back: the same text, wiring, keys, outputs and gradients; and what a change of a network changes."""

from __future__ import annotations

import copy
import difflib
import functools
import math
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional

from skipseq import Branches, Residual, Sequential, add, call, cat, from_forward, pick, save, take, trace, via
from skipseq.errors import FileError
from skipseq.views.text import class_name

from .helpers import linear
from .random_networks import Gate, Network, shrink, two, unambiguous
from .rewired_networks import equal
from .same_network import example
from .source_networks import CASES, FITS, Scale, Stage, fitted
from .test_print import NETWORKS as PRINTED
from .test_source import BUILDERS, example_inputs
from .view_networks import NETWORKS
from .zoo import ZOO

Registry = dict[str, Any]

#: What the networks of the tests have of their own.
OWN: Registry = {"Gate": Gate, "shrink": shrink, "two": two, "Scale": Scale, "Stage": Stage, "F": functional}


def again(net: Sequential, registry: Registry | None = None, values: tuple[Any, ...] = ()) -> Sequential:
    """The network that the text of another one stands for, with its weights; every way to compare them is tried.

    The layers of ``project=`` learn their sizes from ``values``, as those of the first network did.
    """
    before = copy.deepcopy(net.state_dict())
    text = net.to_yaml(registry=registry)
    assert yaml.safe_load(text)["skipseq"] == 1, "other readers of YAML read it, too"
    twin = type(net).from_yaml(text, registry=registry)
    assert twin.to_yaml(registry=registry) == text
    assert str(twin) == str(net)
    assert twin.wiring == net.wiring
    if values:
        twin(*values)
    assert list(twin.state_dict()) == list(net.state_dict())
    assert [class_name(each) for each in twin.modules()] == [class_name(each) for each in net.modules()]
    twin.load_state_dict(net.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    return twin


def assert_same(net: Sequential, twin: Sequential, values: tuple[Any, ...] | dict[str, Any]) -> None:
    """Outputs and gradients are equal bit by bit."""
    results = []
    for each in (net, twin):
        torch.manual_seed(1)
        each.train()
        result = each(**values) if isinstance(values, dict) else each(*values)
        tensors = [value for value in flat(result) if value.requires_grad]
        loss = sum((value.double().sin().sum() for value in tensors), start=torch.zeros((), dtype=torch.double))
        parameters = [parameter for parameter in each.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True) if parameters and tensors else ()
        results.append((flat(result), gradients))
    assert len(results[0][0]) == len(results[1][0]) > 0
    assert all(torch.equal(one, other) for one, other in zip(results[0][0], results[1][0], strict=True))
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [each for inner in value for each in flat(inner)]


# Round trips


@pytest.mark.parametrize(("file", "name"), BUILDERS)
def test_the_examples(file: str, name: str, golden: Callable[[str, str], None]) -> None:
    net = getattr(example(file), name)()
    golden(f"text/{file}.{name}.yaml", net.to_yaml())
    assert_same(net, again(net), example_inputs(file, name))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_the_views(name: str, golden: Callable[[str, str], None]) -> None:
    net, shapes = NETWORKS[name]()
    golden(f"text/views/{name}.yaml", net.to_yaml())
    again(net)
    assert str(again(net).check(*shapes)) == str(net.check(*shapes))


@pytest.mark.parametrize(
    "name", ["torchvision resnet18", "torchvision mobilenet_v2", "MONAI UNet", "segmentation_models_pytorch Unet"]
)
def test_published_models(name: str) -> None:
    (published,) = [each for each in ZOO if each.name == name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = published.build().eval()
        value = torch.randn(published.shape)
        net = from_forward(module, value).eval()
    twin = Sequential.from_yaml(net.to_yaml()).eval()
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(value), module(value))


#: Cases of the source that have no text, with what is said about them elsewhere.
WITHOUT = {"layers_of_ones_own"}


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT))
def test_the_networks_of_the_source(name: str) -> None:
    net, values = CASES[name]()
    dtypes = {value.dtype for value in net.state_dict().values()}
    twin = again(net, OWN, values if isinstance(values, tuple) and "project=" in str(net) else ())
    if dtypes - {torch.float32, torch.int64}:
        return  # a text says nothing about the types of numbers
    if name == "tied_and_frozen":  # nor about parameters, which are one or do not learn
        assert equal(net(*values), twin(*values))
        return
    assert_same(net, twin, values)


@pytest.mark.parametrize(("word", "kind", "like"), FITS)
def test_fits(word: Any, kind: str, like: Any) -> None:
    net, values = fitted(word, kind, like)
    assert_same(net, again(net), values)


@pytest.mark.parametrize("name", PRINTED)
def test_the_networks_that_are_printed(name: str) -> None:
    net = PRINTED[name][0]()
    own = {each.__name__: each for module in net.modules() for each in own_functions(module)}
    again(net, own)


def own_functions(module: nn.Module) -> list[Any]:
    function = getattr(module, "function", None)
    while isinstance(function, functools.partial):
        function = function.func
    return [function] if getattr(function, "__module__", "").startswith("tests.") else []


@settings(max_examples=60, database=None)
@given(unambiguous())
def test_random_networks(network: Network) -> None:
    twin = again(network.net.float(), OWN).double()
    twin.load_state_dict(network.net.double().state_dict())
    values = [torch.randn(3, 8, dtype=torch.float64) for _ in network.inputs]
    assert equal(network.net(*values), twin(*values))


def test_weights_of_its_own_are_those_of_the_constructor() -> None:
    build = lambda: Sequential(nn.Linear(3, 4), nn.LSTM(4, 5), pick[0], Residual(nn.Linear(5, 5)))  # noqa: E731
    text = build().to_yaml()
    torch.manual_seed(7)
    net = build()
    torch.manual_seed(7)
    twin = Sequential.from_yaml(text)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), twin.parameters(), strict=True))


NAMES = [
    "on",
    "1",
    "~",
    "null",
    "Yes",
    "y",
    "1e3",
    "0x1",
    "it's",
    'a"b',
    "a: b",
    "#x",
    "a #x",
    " x ",
    "*a",
    "&a",
    "!t",
    "- a",
    "?",
]
NAMES += [
    "x()",
    "[",
    "{}",
    "'",
    '"',
    "\\",
    "%",
    "@",
    "`",
    "a,b",
    "=",
    "<<",
    "|",
    ">",
    "\t",
    "a\nb",
    "é",
    "名",
    "\x00",
    "\x7f",
    "\u2028",
]
NAMES += ["\ud800", "\U0001f600", "\x85", "\ufeff", "---", "NaN", "inf", "12:30:45", "2001-01-01", "x y"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_look_like_something_else(name: str) -> None:
    net = Sequential((name, linear()), nn.ReLU(), add(name), ("part", Sequential((name, linear()), add("input"))))
    text = net.to_yaml()
    twin = Sequential.from_yaml(text)
    assert list(twin._modules) == list(net._modules)
    assert twin.wiring == net.wiring
    if name.isprintable():
        first = yaml.safe_load(text)["network"][0]
        assert list(first) == [name], "another reader of YAML takes it for a text, too"


def test_names_of_inputs_and_outputs() -> None:
    net = Sequential(("on", linear()), save("y"), add("no"), inputs=("x", "no"), outputs=("on", "y"))
    assert net.to_yaml().splitlines()[1:3] == ["inputs: [x, 'no']", "outputs: ['on', 'y']"]
    assert again(net)._outputs == ("on", "y")
    assert again(Sequential(("on", linear()), outputs="on"))._outputs == "on"
    assert again(Sequential(("on", linear()), outputs=("on",)))._outputs == ("on",)


def test_numbers_that_have_no_literal() -> None:
    net = Sequential(
        nn.Hardtanh(-math.inf, 3.0), nn.LPPool1d(math.inf, 2), add(math.inf), cat("input", dim=-1), nn.Threshold(0.1, 1e-300)
    )
    assert again(net)[0].min_val == -math.inf


def test_a_path_writes_the_file(tmp_path: Path) -> None:
    net = Sequential(linear(), nn.ReLU(), add("input"))
    path = tmp_path / "net.yaml"
    text = net.to_yaml(path)
    assert path.read_text() == text
    for source in (path, str(path)):
        assert Sequential.from_yaml(source).wiring == net.wiring
    with pytest.raises(FileError, match="a folder to write to"):
        net.to_yaml(tmp_path / "nowhere" / "net.yaml")
    bad = Sequential(lambda x: x)
    with pytest.raises(FileError):
        bad.to_yaml(path)
    assert path.read_text() == text, "what cannot be written leaves the old file"
    assert [each.name for each in tmp_path.iterdir()] == ["net.yaml"]


def test_writing_takes_no_memory_for_weights() -> None:
    with torch.device("meta"):
        net = Sequential(nn.Linear(10**6, 10**6), nn.ReLU(), add("input"))
    text = net.to_yaml()
    with pytest.raises(FileError) as caught:
        Sequential.from_yaml(text)
    assert "at most 8,589,934,592 bytes" in str(caught.value)
    assert "4,000,004,000,000 bytes" in str(caught.value)


# Classes and functions of the user


class Widened(Sequential):
    """A sequence whose constructor takes something else."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width))
        self.width = width


class Drops(nn.Module):
    """A layer that reads numbers while it is made, as stochastic depth does."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.rates = torch.linspace(0, 1, depth).tolist()
        self.layer = nn.Linear(depth, depth)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def test_the_registry_gives_other_names() -> None:
    net = Sequential(Scale(8, 2.0), shrink, call(Gate(), "0"), ("stage", Stage(linear(8, 8), add("input"))))
    names = {"Scaled": Scale, "sum_up": shrink, "Door": Gate, "Level": Stage}
    assert net.to_yaml(registry=names).splitlines()[2:] == [
        "  - Scaled(8, factor=2.0)",
        "  - sum_up",
        "  - call(Door(), '0')",
        "  - stage:",
        "      Level():",
        "        - nn.Linear(8, 8)",
        "        - add('input')",
    ]
    assert_same(net, again_with(net, names), (torch.randn(2, 8),))


def again_with(net: Sequential, names: Registry) -> Sequential:
    twin = Sequential.from_yaml(net.to_yaml(registry=names), registry=names)
    twin.load_state_dict(net.state_dict())
    return twin


def test_a_class_that_needs_numbers_is_built_with_them() -> None:
    net = Sequential(Drops(4), nn.ReLU())
    assert again(net, {"Drops": Drops})[0].rates == net[0].rates


def test_a_class_of_sequences_reads_itself() -> None:
    net = Stage(linear(), nn.ReLU(), add("input"))
    text = net.to_yaml()
    assert text.splitlines()[1:3] == ["network:", "  Stage():"]
    twin = Stage.from_yaml(text)
    assert type(twin) is Stage
    assert twin.wiring == net.wiring
    assert type(Stage.from_yaml(Sequential(linear()).to_yaml())) is Stage
    block = Residual(linear(), nn.ReLU())
    assert type(Sequential.from_yaml(block.to_yaml())) is Residual
    assert type(Residual.from_yaml(block.to_yaml())) is Residual


class Norm(nn.Sequential):
    """A plain sequence whose constructor takes something else, as packages have them."""

    def __init__(self, width: int) -> None:
        super().__init__(OrderedDict(line=nn.Linear(width, width), norm=nn.LayerNorm(width)))


def test_sequences_that_are_not_built_from_entries_are_written_as_what_they_run() -> None:
    net = Sequential(Widened(4), ("part", Norm(4)), add("0"))
    assert written(net) == [
        "  - Sequential():",
        "      - nn.Linear(4, 4)",
        "  - part:",
        "      nn.Sequential():",
        "        - line: nn.Linear(4, 4)",
        "        - norm: nn.LayerNorm(4)",
        "  - add('0')",
    ]
    twin = Sequential.from_yaml(net.to_yaml())
    twin.load_state_dict(net.state_dict())
    assert twin.wiring == net.wiring
    assert_same(net, twin, (torch.randn(2, 4),))
    assert type(Sequential.from_yaml(Widened(4).to_yaml())) is Sequential


# What changed


def changed(one: Sequential, other: Sequential) -> list[str]:
    """The lines of a diff, without its head."""
    lines = difflib.unified_diff(one.to_yaml().splitlines(), other.to_yaml().splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def unet(skip_at: int = 2, name: str = "head", channels: int = 8) -> Sequential:
    layers: list[Any] = [nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)]
    layers.insert(skip_at, save("x1"))
    return Sequential(*layers, add("x1", fit="crop"), (name, nn.Conv2d(8, 2, 1)))


def test_a_skip_moved_is_one_line() -> None:
    one, other = unet(2), unet(4)
    assert changed(one, other) == ["-  - save('x1')", "+  - save('x1')"]
    one = Sequential(("a", linear()), ("b", linear()), nn.ReLU(), add("a"))
    other = Sequential(("a", linear()), ("b", linear()), nn.ReLU(), add("b"))
    assert changed(one, other) == ["-  - add('a')", "+  - add('b')"]


def test_a_renamed_layer_and_changed_channels_are_one_line_each() -> None:
    assert changed(unet(), unet(name="classes")) == ["-  - head: nn.Conv2d(8, 2, 1)", "+  - classes: nn.Conv2d(8, 2, 1)"]
    assert changed(unet(), unet(channels=16)) == [
        "-  - nn.Conv2d(3, 8, 3)",
        "+  - nn.Conv2d(3, 16, 3)",
        "-  - nn.Conv2d(8, 8, 3)",
        "+  - nn.Conv2d(16, 8, 3)",
    ]


def test_a_layer_inserted_changes_no_other_line() -> None:
    one = Sequential(linear(), save("x1"), nn.ReLU(), add("x1"))
    assert changed(one, Sequential(linear(), save("x1"), nn.ReLU(), nn.Tanh(), add("x1"))) == ["+  - nn.Tanh()"]


def test_a_shortcut_that_gets_layers_is_one_line() -> None:
    plain, projected = (
        Sequential(("block", Residual(linear(), nn.ReLU(), shortcut=shortcut))) for shortcut in (None, [linear(), nn.Tanh()])
    )
    assert changed(plain, projected) == ["-      Residual():", "+      Residual(shortcut=[nn.Linear(4, 4), nn.Tanh()]):"]


# Pieces of the writing


def written(net: Sequential, **options: Any) -> list[str]:
    return net.to_yaml(**options).splitlines()[2:]


def test_parts_with_names_of_their_own() -> None:
    net = Sequential(
        Sequential(linear(), add("input"), outputs="0"),
        ("part", Sequential(linear(), save("h"), outputs=("h", "0"))),
        pick[0],
        ("called", call(Sequential(linear(), add("u"), inputs=("x", "u")), u="input")),
        nn.Sequential(OrderedDict(a=linear(), b=nn.Sequential(nn.ReLU()))),
        ("empty", nn.Sequential()),
        Sequential(),
    )
    assert written(net) == [
        "  - Sequential(outputs='0'):",
        "      - nn.Linear(4, 4)",
        "      - add('input')",
        "  - part:",
        "      Sequential(outputs=('h', '0')):",
        "        - nn.Linear(4, 4)",
        "        - save('h')",
        "  - pick[0]",
        "  - called: call(Sequential(nn.Linear(4, 4), add('u'), inputs=('x', 'u')), u='input')",
        "  - nn.Sequential():",
        "      - a: nn.Linear(4, 4)",
        "      - b:",
        "          nn.Sequential():",
        "            - nn.ReLU()",
        "  - empty: nn.Sequential()",
        "  - Sequential()",
    ]
    again(net)


def test_blocks_with_arguments() -> None:
    net = Sequential(
        Residual(linear(), shortcut=("down", [linear(), nn.Tanh()]), join=cat),
        Residual(linear(8, 8), shortcut=Sequential(linear(8, 8), nn.ReLU())),
        Branches(("a", linear(8)), linear(8), join=cat(dim=-1)),
    )
    assert written(net) == [
        "  - Residual(shortcut=('down', [nn.Linear(4, 4), nn.Tanh()]), join=cat):",
        "      - nn.Linear(4, 4)",
        "  - Residual():",
        "      layers:",
        "        - nn.Linear(8, 8)",
        "      shortcut:",
        "        Sequential():",
        "          - nn.Linear(8, 8)",
        "          - nn.ReLU()",
        "  - Branches(join=cat(dim=-1)):",
        "      - a: nn.Linear(8, 4)",
        "      - nn.Linear(8, 4)",
    ]
    again(net)


def test_a_block_that_was_edited_is_written_in_words() -> None:
    net = Sequential(Residual(linear(), nn.ReLU()))
    net[0].append(nn.Tanh())
    assert written(net) == [
        "  - Sequential():",
        "      - nn.Linear(4, 4)",
        "      - nn.ReLU()",
        "      - add('input')",
        "      - nn.Tanh()",
    ]
    again(net)


def test_shared_layers_have_anchors() -> None:
    one, part, chain = linear(), Sequential(linear(), add("input")), nn.Sequential(linear())
    net = Sequential(("one", one), one, part, ("again", part), ("chain", chain), Sequential(chain, one), nn.ReLU(), call(one))
    assert written(net) == [
        "  - one: &one nn.Linear(4, 4)",
        "  - *one",
        "  - &sequential",
        "    Sequential():",
        "      - nn.Linear(4, 4)",
        "      - add('input')",
        "  - again: *sequential",
        "  - chain: &chain",
        "      nn.Sequential():",
        "        - nn.Linear(4, 4)",
        "  - Sequential():",
        "      - *chain",
        "      - *one",
        "  - nn.ReLU()",
        "  - call(one)",
    ]
    twin = again(net)
    assert twin[0] is twin[1]
    assert len(list(twin.parameters())) == 6


def test_a_shared_layer_inside_a_word_is_its_anchor() -> None:
    one, norm = linear(), nn.BatchNorm1d(4, affine=False)
    net = Sequential(("one", one), add(via("input", one, norm.eval())), take(via("one", one)))
    with pytest.raises(FileError) as caught:
        Sequential(nn.ReLU(), add(via("input", norm)), norm).to_yaml()
    assert "layer '1': it stands at several places, of which one is inside a word" in str(caught.value)
    assert written(net) == [
        "  - one: &one nn.Linear(4, 4)",
        "  - add(via('input', one, nn.BatchNorm1d(4, affine=False)))",
        "  - take(via('one', one))",
    ]
    again(net)


def test_anchors_have_free_names() -> None:
    add_layer, relu = linear(), linear()
    net = Sequential(
        ("cat", add_layer), ("again", add_layer), nn.ReLU(), relu, relu, ("linear", nn.Tanh()), ("class", add_layer)
    )
    assert written(net)[0] == "  - cat: &cat_2 nn.Linear(4, 4)"
    again(net)


def test_layers_that_nothing_calls() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.aux = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = trace(Model(), torch.randn(2, 4))
    again(net)


def test_threads_write_and_read_at_once() -> None:
    text = NETWORKS["nested_unet"]()[0].to_yaml()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(Sequential.from_yaml(text).to_yaml())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [text] * 4


# What cannot be written


def weight_normed() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(linear())


def hooked() -> nn.Module:
    layer = linear()
    layer.register_forward_hook(lambda *_: None)
    return layer


def with_forward() -> nn.Module:
    layer = linear()
    layer.forward = lambda x: x  # type: ignore[method-assign]
    return layer


def changed_scale() -> nn.Module:
    layer = Scale(8)
    layer.shift = 3.0
    return layer


def local(x: Tensor) -> Tensor:
    return x


class Closed(nn.Module):
    """A layer that does not keep its argument."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)


UNWRITABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a lambda": (
        lambda: lambda x: x * 2,
        "  layer 'part.0': it is a function without a name to find it by\n"
        "  expected a function with a name\n"
        "  received <lambda>\n"
        "  Write a function with a name in a file of your own and pass registry={'name': function}, or write a module.",
    ),
    "a lambda in a partial": (
        lambda: functools.partial(lambda x, y: x * y, y=2),
        "it is a function without a name to find it by",
    ),
    "hooks": (
        hooked,
        "  layer 'part.0': it has hooks, which are functions\n"
        "  expected layers without hooks\n"
        "  received Linear\n"
        "  Remove the hooks, or let the layer be of a class that does what they do.",
    ),
    "computed parameters": (weight_normed, "layer 'part.0': its parameters are computed"),
    "a forward of its own": (with_forward, "layer 'part.0': it has a forward of its own"),
    "arguments that are not kept": (
        lambda: Closed(4),
        "  layer 'part.0': Closed does not keep its arguments\n"
        "  expected a layer that its own text builds\n"
        "  received Closed(...)\n"
        "  Keep what its constructor takes as attributes of the same names, or write it as a Sequential.\n"
        "  To keep the network as it is: torch.save(net, 'net.pt').",
    ),
    "another value": (changed_scale, "layer 'part.0': its text builds one whose shift is another"),
    "a name that means something else": (
        lambda: type("add", (nn.Identity,), {})(),
        "  layer 'part.0': add is the name of something else, too",
    ),
    "a network in a wrapper": (
        lambda: nn.DataParallel(nn.Linear(4, 4)),
        "layer 'part.0': DataParallel does not keep its arguments",
    ),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written(kind: str) -> None:
    build, message = UNWRITABLE[kind]
    net = Sequential(linear(), ("part", Sequential(build())))
    with pytest.raises(FileError) as caught:
        net.to_yaml()
    text = str(caught.value)
    assert text.startswith("the network cannot be written as text.\n"), text
    assert message in text
    assert "part.0" in text


def test_a_function_inside_a_function_needs_the_registry() -> None:
    def inner(x: Tensor) -> Tensor:
        return x * 2

    net = Sequential(inner)
    with pytest.raises(FileError, match="without a name to find it by"):
        net.to_yaml()
    assert written(net, registry={"double": inner}) == ["  - double"]
    assert_same(net, again(net, {"double": inner}), (torch.randn(2),))


def test_two_classes_of_one_name() -> None:
    one, other = (type("Twin", (nn.Identity,), {}) for _ in range(2))
    with pytest.raises(FileError, match="Twin is the name of something else, too"):
        Sequential(one(), other()).to_yaml()
    assert written(Sequential(one(), other()), registry={"Second": other}) == ["  - Twin()", "  - Second()"]
