"""What a text means: it is the network that the same words build in Python."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Branches, DenseBlock, Grid, Residual, Sequential, UNet, add, call, cat, here, pick, save, take, via
from skipseq.bridges.text import network_of_text
from skipseq.bridges.text.names import HOMES, functions_at, layer_classes
from skipseq.declare.functions import Expression
from skipseq.errors import FileError

from .helpers import linear
from .random_networks import Gate, shrink

HEAD = "skipseq: 1\nnetwork:\n"


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def down(inputs: int, outputs: int, stride: int = 1) -> Sequential:
    return Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def residual(channels: int) -> Sequential:
    return Sequential(down(channels, channels), add("input"))


#: Texts, and what they mean in Python.
MEANINGS: dict[str, tuple[str, Callable[[], Sequential]]] = {
    "blocks": (
        """
skipseq: 1
blocks:
  down(inputs, outputs, stride=1):
    - nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    - nn.BatchNorm2d(outputs)
    - nn.ReLU()
  residual(channels):
    - down(channels, channels)
    - add('input')
network:
  - down(3, 2 * 4)
  - stages: residual(8).repeat(3)
  - down(8, outputs=16, stride=2)
""",
        lambda: Sequential(down(3, 8), ("stages", residual(8).repeat(3)), down(8, 16, 2)),
    ),
    "a block that is one entry": (
        "skipseq: 1\nblocks:\n  conv(o, size=3): nn.Conv2d(3, o, size, padding=size // 2)\nnetwork: [conv(8)]",
        lambda: Sequential(nn.Conv2d(3, 8, 3, padding=1)),
    ),
    "a block with a layer as parameter": (
        "skipseq: 1\nblocks:\n  twice(layer, norm=nn.BatchNorm1d):\n    - layer\n    - norm(4)\n    - layer\n"
        "network:\n  - twice(nn.Linear(4, 4), norm=nn.LayerNorm)\n",
        lambda: Sequential((lambda each: Sequential(each, nn.LayerNorm(4), each))(linear())),
    ),
    "a network that is a block": (
        "skipseq: 1\nblocks:\n  net(n):\n    - nn.Linear(n, n)\n    - add('input')\nnetwork: net(4)",
        lambda: Sequential(linear(), add("input")),
    ),
    "numbers": (
        HEAD + "  - nn.Linear(2 * 3 + 1, 7 // 2)\n  - nn.Dropout(1 / 4)\n"
        "  - nn.Hardtanh(-1.5, +float('inf'))\n  - nn.Conv1d(3 - 1, 9 % 5, 1)\n",
        lambda: Sequential(nn.Linear(7, 3), nn.Dropout(0.25), nn.Hardtanh(-1.5, math.inf), nn.Conv1d(2, 4, 1)),
    ),
    "parts": (
        HEAD + "  - enc:\n    - nn.Linear(4, 4)\n    - save('x1')\n  - - nn.ReLU()\n    - add('x1')\n"
        "  - Sequential(outputs='0'): [nn.ReLU()]\n",
        lambda: Sequential(
            ("enc", Sequential(linear(), save("x1"))), Sequential(nn.ReLU(), add("x1")), Sequential(nn.ReLU(), outputs="0")
        ),
    ),
    "brackets of YAML": (
        "skipseq: 1\nnetwork: [a: nn.ReLU(), [nn.Tanh()], {b: [nn.ReLU()]}]",
        lambda: Sequential(("a", nn.ReLU()), Sequential(nn.Tanh()), ("b", Sequential(nn.ReLU()))),
    ),
    "constructors": (
        HEAD
        + "  - Residual(join=cat):\n      shortcut: {down: ['nn.Linear(4, 4)']}\n      layers: [nn.ReLU()]\n"
        + "  - Branches():\n      - a: nn.Linear(8, 2)\n      - - nn.Linear(8, 2)\n        - nn.ReLU()\n"
        + "  - DenseBlock: nn.ReLU()\n  - DenseBlock(join=cat(dim=-1)): ['nn.Linear(4, 4)']\n",
        lambda: Sequential(
            Residual(nn.ReLU(), shortcut=("down", [linear()]), join=cat),
            Branches(("a", linear(8, 2)), Sequential(linear(8, 2), nn.ReLU())),
            ("DenseBlock", nn.ReLU()),
            DenseBlock(linear(), join=cat(dim=-1)),
        ),
    ),
    "a U-Net": (
        HEAD
        + "  - UNet():\n      down: nn.MaxPool2d(2)\n      up: [nn.Upsample(scale_factor=2)]\n      encoders:\n"
        + "        - - 'nn.Conv2d(3, 8, 3, padding=1)'\n          - nn.ReLU()\n      bridge:\n        - nn.ReLU()\n"
        + "      decoders:\n        - nn.Conv2d(16, 8, 3, padding=1)\n",
        lambda: Sequential(
            UNet(
                [Sequential(conv(3, 8), nn.ReLU())], Sequential(nn.ReLU()), [conv(16, 8)],
                down=nn.MaxPool2d(2), up=[nn.Upsample(scale_factor=2)],
            )
        ),
    ),
    "a grid": (
        HEAD
        + "  - Grid():\n      across: [[nn.ReLU()], [nn.ReLU()]]\n      down: [[nn.ReLU()]]\n      up: [[nn.ReLU()]]\n",
        lambda: Sequential(Grid([[nn.ReLU()], [nn.ReLU()]], [[nn.ReLU()]], [[nn.ReLU()]])),
    ),
    "layers with layers in them": (
        HEAD
        + "  - nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, norm=nn.LayerNorm(8))\n"
        + "  - nn.TransformerEncoder(num_layers=1):\n      encoder_layer: nn.TransformerEncoderLayer(8, 2, batch_first=True)\n",
        lambda: Sequential(
            nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, norm=nn.LayerNorm(8)),
            nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 1),
        ),
    ),
    "words": (
        HEAD
        + "  - a: nn.Linear(4, 4)\n  - nn.ReLU()\n  - save(\"x1\")\n  - nn.Tanh()\n"
        + "  - cat(\"x1\", 'input', here, dim=-1)\n  - pick[:, 4:]\n  - pick[..., :4]\n"
        + "  - take(add(via('a', nn.ReLU(), torch.relu), mul(here, 2)))\n  - call(torch.maximum, 'x1')\n"
        + "  - call('a')\n  - partial(torch.add, other=2.0)\n",
        lambda: Sequential(
            ("a", linear()), nn.ReLU(), save("x1"), nn.Tanh(), cat("x1", "input", here, dim=-1), pick[:, 4:], pick[..., :4],
            take(add(via("a", nn.ReLU(), torch.relu), mul_(here, 2))), call(torch.maximum, "x1"), call("a"),
            functools.partial(torch.add, other=2.0),
        ),
    ),
    "plain containers": (
        HEAD
        + "  - nn.Sequential():\n      - a: nn.ReLU()\n      - b: nn.Sequential(OrderedDict([('c', nn.Tanh())]))\n"
        + "  - layers:\n      nn.ModuleList():\n        - nn.Linear(4, 4)\n"
        + "  - named:\n      nn.ModuleDict():\n        - x: nn.Linear(4, 4)\n"
        + "  - call('layers.0')\n  - call('named.x')\n",
        lambda: Sequential(
            nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Sequential(OrderedDict(c=nn.Tanh())))),
            ("layers", nn.ModuleList([linear()])), ("named", nn.ModuleDict({"x": linear()})), call("layers.0"), call("named.x"),
        ),
    ),
}  # fmt: skip


def mul_(*operands: Any) -> Any:
    from skipseq import mul

    return mul(*operands)


@pytest.mark.parametrize("name", MEANINGS)
def test_meanings(name: str) -> None:
    text, build = MEANINGS[name]
    torch.manual_seed(3)
    net = build()
    torch.manual_seed(3)
    twin = Sequential.from_yaml(text)
    assert str(twin) == str(net)
    assert twin.wiring == net.wiring
    ours, theirs = net.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    if name != "constructors" and "Transformer" not in text:
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), "made in the same order, with the same numbers"
    again = twin.to_yaml()
    assert Sequential.from_yaml(again).to_yaml() == again


def test_repeated_blocks_have_weights_of_their_own() -> None:
    net = Sequential.from_yaml(
        "skipseq: 1\nblocks:\n  b(n):\n    - nn.Linear(n, n)\n    - add('input')\nnetwork: b(4).repeat(3)"
    )
    assert len(list(net.parameters())) == 6
    shared = Sequential.from_yaml(HEAD + "  - &part\n    - nn.Linear(4, 4)\n    - add('input')\n  - *part\n  - other: *part\n")
    assert len(list(shared.parameters())) == 2
    assert shared[0] is shared[1] is shared.other


def test_an_anchor_in_a_block_is_one_layer_in_each_copy() -> None:
    text = "skipseq: 1\nblocks:\n  tied(n):\n    - &line nn.Linear(n, n)\n    - nn.ReLU()\n    - *line\n    - call(line)\n"
    net = Sequential.from_yaml(text + "network:\n  - tied(4)\n  - tied(4)\n")
    assert net[0][0] is net[0][2]
    assert net[0][0] is not net[1][0]
    assert len(list(net.parameters())) == 4


@pytest.mark.parametrize(
    "text",
    [
        "lambda x: x.flatten(1)",
        "lambda x: x.sin().reshape(-1, 2, 2) * 3 ** 2",
        "lambda x: torch.stack([x[:, i] for i in range(x.shape[1])], 1)",
        "lambda x: nn.functional.gelu(x, approximate='tanh')",
        "lambda x: x if x.ndim == 2 and not x.is_complex() else -x",
        "lambda x: x.topk(2).values + torch.arange(2, dtype=x.dtype, device=x.device)",
        "lambda x: torch.where(x > 0.5, x, torch.zeros(x.shape))",
        "lambda x: x.to(torch.float64).mean((0, 1), keepdim=True) / math.sqrt(2)",
        "lambda x: x[..., None, ::2].unflatten(0, (1, -1)).mT",
        "lambda x: sum(torch.split(x, [1, *(3,)], 1)[0].shape) * x",
    ],
)
def test_lambdas(text: str) -> None:
    net = Sequential.from_yaml(HEAD + f'  - "{text}"\n')
    expected = eval(text, {"torch": torch, "nn": nn, "math": math})
    value = torch.rand(3, 4)
    assert torch.equal(net(value), expected(value))
    assert isinstance(net[0].function, Expression)
    assert str(net) == f"Sequential(\n    {text},\n)"
    again = net.to_yaml()
    assert Sequential.from_yaml(again).to_yaml() == again


def test_own_classes_and_functions() -> None:
    registry = {"Gate": Gate, "shrink": shrink, "F": nn.functional}
    text = HEAD + "  - nn.Linear(8, 16)\n  - shrink\n  - call(Gate(), 'input')\n  - \"lambda x: shrink(F.gelu(x))\"\n"
    net = Sequential.from_yaml(text, registry=registry)
    assert net(torch.randn(2, 8)).shape == (2, 8)
    assert net.to_yaml(registry=registry) == text
    for missing in registry:
        with pytest.raises(FileError, match=f"{missing}(.gelu)? is not known"):
            Sequential.from_yaml(text, registry={name: each for name, each in registry.items() if name != missing})


def test_every_layer_of_torch_can_be_named() -> None:
    """All but the module itself, what holds parameters, and wrappers; and no function that writes, loads or runs hooks."""
    missing = {name for name in vars(nn) if name not in layer_classes()}
    modules = {name for name in missing if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)}
    assert modules == {"Module", "Container", "DataParallel", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase"}
    forbidden = [
        "load",
        "save",
        "hub",
        "compile",
        "backward",
        "numpy",
        "hook",
        "apply_",
        "map_",
        "from_file",
        "set_",
        "data_ptr",
    ]
    for home in HOMES:
        names = functions_at(home)
        assert len(names) > 10
        assert not [name for name in names if any(name == each or "hook" in name for each in forbidden)]
        assert not [name for name in names if name.startswith("_")]


def test_without_memory() -> None:
    net = network_of_text(
        Sequential, HEAD + "  - nn.Linear(4, 4)\n  - nn.BatchNorm1d(4)\n  - nn.LazyLinear(3)\n", "net.safetensors", None
    )
    assert all(each.is_meta for each in (*net.parameters(), *net.buffers()))
    with pytest.raises(FileError, match=r"^net.safetensors cannot be read"):
        network_of_text(Sequential, "skipseq: 3", "net.safetensors", None)
    real = network_of_text(Sequential, HEAD + "  - nn.Linear(4, 4)\n", "net.safetensors", None, meta=False)
    assert isinstance(real(torch.zeros(1, 4)), Tensor)
