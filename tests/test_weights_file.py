"""One file with weights: what goes through ``to_file`` and ``from_file`` is the same network, and what would not is refused."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from skipseq import Residual, Sequential, UNet, add, call, cat, here, pick, save, via
from skipseq.bridges.weights import load_weights
from skipseq.errors import FileError

from . import random_networks, view_networks
from .random_networks import Gate, unambiguous
from .view_networks import NETWORKS


class Shifted(nn.Module):
    """A layer whose constructor computes what no file holds: a buffer that is not persistent, and a plain tensor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("shift", torch.arange(width, dtype=torch.float32), persistent=False)
        self.factors = [torch.full((width,), 2.0)]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * self.factors[0].to(x.dtype) + self.shift


class Kinds(nn.Module):
    """A layer with a tensor of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = nn.Parameter(torch.randn(3, dtype=torch.float64))
        self.register_buffer("truth", torch.tensor([True, False]))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("byte", torch.tensor([[1], [255]], dtype=torch.uint8))
        self.register_buffer("small", torch.tensor([-3], dtype=torch.int8))
        self.register_buffer("wide", torch.tensor([2**63], dtype=torch.uint64))
        self.register_buffer("complex", torch.tensor([1 + 2j]))
        self.register_buffer("tiny", torch.tensor([0.5, -2.0]).to(torch.float8_e4m3fn))
        self.register_buffer("nothing", torch.zeros(0, 4))
        self.register_buffer("absent", None)
        self.index = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kind.sum().to(x.dtype)


def linear() -> nn.Linear:
    return nn.Linear(4, 4)


OWN = {"Shifted": Shifted, "Kinds": Kinds, "Gate": Gate}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def through(net: Sequential, path: Path, **names: Any) -> Sequential:
    """The network after it was in a file."""
    net.to_file(path)
    same = Sequential.from_file(path, registry=names or None)
    assert_same(same, net)
    return same


def assert_same(same: nn.Module, net: nn.Module) -> None:
    """Asserts that two networks are alike in all that a file keeps."""
    ours, theirs = (dict(each.named_modules(remove_duplicate=False)) for each in (same, net))
    assert list(ours) == list(theirs)
    assert [each.training for each in ours.values()] == [each.training for each in theirs.values()]
    for kind in ("named_parameters", "named_buffers"):
        one, other = (dict(getattr(each, kind)(remove_duplicate=False)) for each in (same, net))
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
        assert groups(one) == groups(other)


def assert_equal(one: Tensor, other: Tensor) -> None:
    """Asserts that two tensors are alike, and that the first is in memory."""
    assert type(one) is type(other)
    assert (one.dtype, one.shape, one.requires_grad) == (other.dtype, other.shape, other.requires_grad)
    assert one.device.type == "cpu"
    assert torch.equal(
        one.detach().contiguous().view(-1).view(torch.uint8), other.detach().contiguous().view(-1).view(torch.uint8)
    )


def groups(tensors: dict[str, Tensor]) -> list[list[str]]:
    """The keys of each tensor that has several."""
    found: dict[int, list[str]] = {}
    for key, tensor in tensors.items():
        found.setdefault(id(tensor), []).append(key)
    return [keys for keys in found.values() if len(keys) > 1]


def header(path: Path) -> dict[str, Any]:
    """The header of a file, as it stands there."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def refused(act: Callable[[], Any]) -> str:
    """The text of the error that something raises."""
    with pytest.raises(FileError) as caught:
        act()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


# There and back


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_networks_are_the_same(build: Callable[[], Any], path: Path) -> None:
    net, *_ = build()
    own = {each.__name__: each for each in map(type, net.modules()) if each.__module__ == view_networks.__name__}
    assert through(net.eval(), path, **own).wiring == net.wiring


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(unambiguous())
def test_random_networks_give_the_same(path: Path, drawn: random_networks.Network) -> None:
    net = drawn.net
    own = {each: getattr(random_networks, each) for each in ("Gate", "shrink", "two", "first_of", "second_of")}
    try:
        net.to_file(path)
    except FileError as error:
        assert "cannot be written as text" in str(error)  # noqa: PT017
        return
    same = Sequential.from_file(path, registry={**own, **lone_functions(net)})
    assert_same(same, net)
    assert same.wiring == net.wiring
    values = [torch.randn(2, random_networks.WIDTH, dtype=torch.float64) for _ in (*net.wiring.inputs, *net.wiring.needs)]
    given_values = dict(zip((*net.wiring.inputs, *net.wiring.needs), values, strict=True))
    first = given_values.pop(net.wiring.inputs[0])
    torch.testing.assert_close(same(first, **given_values), net(first, **given_values), rtol=0, atol=0)


def lone_functions(net: nn.Module) -> dict[str, Any]:
    """The functions of a test module that a network calls, by name."""
    functions = [getattr(each, "function", None) for each in net.modules()]
    return {each.__name__: each for each in functions if getattr(each, "__module__", None) == random_networks.__name__}


def test_modes_and_gradients_survive(path: Path) -> None:
    net = Sequential(linear(), ("part", Sequential(nn.Dropout(), nn.BatchNorm1d(4))), add("input"), nn.Dropout())
    through(net, path)
    assert "details" in header(path)["__metadata__"]
    net.eval()
    net.get_submodule("part").train()
    net.get_submodule("part.1").eval()
    net[0].weight.requires_grad_(False)
    same = through(net, path)
    assert [each.training for each in (same, same.get_submodule("part"), same.get_submodule("part.1"))] == [False, True, False]
    assert [each.requires_grad for each in same[0].parameters()] == [False, True]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_types_of_numbers_survive(dtype: torch.dtype, path: Path) -> None:
    same = through(Sequential(nn.Linear(4, 4, dtype=dtype), nn.ReLU(), add("input")), path)
    assert same[0].weight.dtype == dtype


def test_tensors_of_every_kind_survive(path: Path) -> None:
    net = Sequential(Kinds())
    same = through(net, path, Kinds=Kinds)
    assert same[0].absent is None
    kept = safetensors.torch.load_file(path)
    assert list(kept) != []
    assert all(
        torch.equal(kept[f"0.{name}"], getattr(net[0], name)) for name in ("truth", "count", "wide", "complex", "nothing")
    )


def test_the_order_in_memory_survives_where_it_means_something(path: Path) -> None:
    net = Sequential(nn.Conv2d(3, 8, 3), nn.Conv3d(3, 8, 3), linear(), linear(), nn.Conv2d(8, 8, 1))
    net[0].to(memory_format=torch.channels_last)
    net[1].to(memory_format=torch.channels_last_3d)
    net[2].weight = nn.Parameter(torch.randn(4, 4).t())
    net[3].weight = nn.Parameter(torch.randn(8, 8)[::2, 1::2])
    net[3].bias = nn.Parameter(torch.randn(1).expand(4))
    same = through(net, path)
    assert same[0].weight.stride() == net[0].weight.stride()
    assert same[1].weight.stride() == net[1].weight.stride()
    assert all(same[i].weight.is_contiguous() for i in (2, 3, 4))
    assert torch.equal(safetensors.torch.load_file(path)["0.weight"], net[0].weight)
    conjugated = Sequential(nn.Linear(4, 4, dtype=torch.complex64))
    conjugated[0].weight = nn.Parameter(torch.randn(4, 4, dtype=torch.complex64).mH)
    through(conjugated, path)


def test_shared_layers_are_shared(path: Path) -> None:
    shared = linear()
    net = Sequential(shared, nn.ReLU(), ("part", Sequential(linear(), shared)), shared, add("input"))
    same = through(net, path)
    assert same[0] is same[3]
    assert same.get_submodule("part.1") is same[0]
    assert set(header(path)) == {"__metadata__", "0.weight", "0.bias", "part.0.weight", "part.0.bias"}


def test_tied_parameters_are_tied(path: Path) -> None:
    net = Sequential(nn.Embedding(5, 4), linear(), ("head", nn.Linear(4, 5)), linear())
    net[2].weight, net[3].weight, net[3].bias = net[0].weight, net[1].weight, net[1].bias
    same = through(net, path)
    assert same[2].weight is same[0].weight
    assert json.loads(header(path)["__metadata__"]["details"])["tied"] == {
        "head.weight": "0.weight",
        "3.weight": "1.weight",
        "3.bias": "1.bias",
    }
    assert len(list(same.parameters())) == len(list(net.parameters())) == 4
    deep = copy.deepcopy(net)
    assert_same(deep, same)


def test_recurrent_layers_run_with_the_weights_of_the_file(path: Path) -> None:
    net = Sequential(nn.LSTM(4, 4, num_layers=2, bidirectional=True, batch_first=True), pick[0], nn.Linear(8, 4), add("input"))
    x = torch.randn(2, 3, 4)
    same = through(net, path)
    assert torch.equal(same(x), net(x))
    assert all(one is other for one, other in zip(same[0]._flat_weights, same[0].parameters(), strict=True))
    attention = Sequential(call(nn.MultiheadAttention(4, 2, batch_first=True), here, "input", "input"), pick[0]).eval()
    assert torch.equal(through(attention, path)(x), attention(x))


def test_blocks_stay_blocks(path: Path) -> None:
    net = Sequential(
        Residual(linear(), shortcut=linear()),
        UNet([linear(), linear()], linear(), [nn.Linear(8, 4), nn.Linear(8, 4)], join=cat),
    )
    same = through(net, path)
    assert [type(each) for each in same] == [Residual, UNet]
    assert str(same) == str(net)


def test_a_network_without_tensors_and_an_empty_one(path: Path) -> None:
    through(Sequential(nn.ReLU(), add("input")), path)
    assert set(header(path)) == {"__metadata__"}
    through(Sequential(), path)
    assert safetensors.torch.load_file(path) == {}


def test_a_trained_network_goes_on_training(path: Path) -> None:
    net = Sequential(linear(), nn.BatchNorm1d(4), nn.ReLU(), add("input"))
    same = through(net, path)
    x = torch.randn(8, 4)
    for each in (net, same):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        each(x).square().sum().backward()
        optimizer.step()
    assert_same(same, net)


def test_what_is_read_does_not_depend_on_the_file_or_on_chance(path: Path) -> None:
    net = Sequential(linear(), Shifted(4))
    net.to_file(path)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    same = Sequential.from_file(path, registry=OWN)
    assert torch.equal(torch.rand(1), expected)
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))
    assert_same(same, net)
    net.to_file(path)
    assert path.read_bytes() == data


# What constructors compute


def test_what_a_constructor_computes_is_there(path: Path) -> None:
    net = Sequential(linear(), Shifted(4), ("part", Sequential(add(via("input", Shifted(4))))))
    with torch.no_grad():
        net[1].weight.fill_(3.0)
    same = through(net, path, Shifted=Shifted)
    x = torch.randn(2, 4)
    assert torch.equal(same(x), net(x))
    assert same[1].factors[0].device.type == "cpu"
    assert "1.shift" not in header(path)
    half = net.bfloat16()
    assert torch.equal(through(half, path, Shifted=Shifted)(x.bfloat16()), half(x.bfloat16()))


def test_only_such_layers_are_built_for_real(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = Shifted(4)
    Sequential(linear(), shifted, shifted).to_file(path)
    built = []
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: built.append(self.weight.device.type))
    same = Sequential.from_file(path, registry=OWN)
    assert built == ["meta"]
    assert same[1] is same[2]


def test_a_changed_value_that_no_file_holds_is_refused(path: Path) -> None:
    net = Sequential(Shifted(4))
    net[0].shift[1] = 9.0
    assert refused(lambda: net.to_file(path)) == (
        f"{path} cannot be written.\n"
        "  '0.shift': it is not persistent, and not what the constructor of its layer makes\n"
        "  expected [4] [0.0, 1.0, 2.0, 3.0]\n"
        "  received [4] [0.0, 9.0, 2.0, 3.0]\n"
        "  Let the layer keep it in the file: register_buffer(..., persistent=True), which is the usual."
    )
    assert not path.exists()
    net = Sequential(Shifted(4))
    net[0].factors[0].fill_(1.0)
    assert "'0.factors': it is not persistent" in refused(lambda: net.to_file(path))


class Vast(nn.Module):
    """A layer that computes more than there is memory."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("shift", torch.zeros(width), persistent=False)


def test_what_a_constructor_computes_has_a_bound(path: Path) -> None:
    net = Sequential(Vast(8))
    net.to_file(path)
    edit(path, lambda content: content["__metadata__"].update(network=f"skipseq: 1\nnetwork: ['Vast({10**12})']"))
    text = refused(lambda: Sequential.from_file(path, registry={"Vast": Vast}))
    assert "its constructor computes too much" in text
    assert "received 4000000000000 bytes" in text


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the header of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    change(content)
    text = json.dumps(content).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


# Other readers and writers


def test_others_read_the_weights(path: Path) -> None:
    net = Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), save("x"), nn.Conv2d(8, 8, 1).half(), add("x"))
    net.to_file(path)
    kept = safetensors.torch.load_file(path)
    assert {key: each.dtype for key, each in kept.items()} == {key: each.dtype for key, each in net.state_dict().items()}
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1).half())
    plain.load_state_dict(kept)
    assert all(
        torch.equal(one, other) for one, other in zip(plain.state_dict().values(), net.state_dict().values(), strict=True)
    )
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["network"] == net.to_yaml()
        assert file.metadata()["skipseq"] == "1"


def test_the_widest_numbers_come_first_and_begin_where_they_can_be_read(path: Path) -> None:
    net = Sequential(Kinds())
    net.to_file(path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert length % 8 == 0
    places = [each for key, each in header(path).items() if key != "__metadata__"]
    widths = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4}
    assert all(each["data_offsets"][0] % widths.get(each["dtype"], 1) == 0 for each in places)


def test_a_file_that_the_library_wrote_is_read(path: Path) -> None:
    net = Sequential(linear(), nn.BatchNorm1d(4), add("input"))
    metadata = {"skipseq": "1", "network": net.to_yaml()}
    safetensors.torch.save_file(net.state_dict(), path, metadata)
    assert_same(Sequential.from_file(path), net)


def test_weights_alone_are_told_what_to_do(path: Path) -> None:
    net = Sequential(linear())
    safetensors.torch.save_file(net.state_dict(), path)
    assert refused(lambda: Sequential.from_file(path)) == (
        f"{path} cannot be read as a network.\n"
        "  it holds weights, and no network\n"
        "  expected the text of a network in its header\n"
        "  received 2 tensors alone\n"
        "  Build the network and load the weights into it:\n"
        f"  net.load_state_dict(safetensors.torch.load_file({str(path)!r}))\n"
        "  Only a file that net.to_file(path) has written holds the network too."
    )


def test_weights_are_read_into_a_network(path: Path) -> None:
    net = Sequential(linear(), nn.BatchNorm1d(4), add("input"))
    other = Sequential(linear(), nn.BatchNorm1d(4), add("input")).eval()
    other[0].bias.requires_grad_(False)
    safetensors.torch.save_file(net.state_dict(), path, {"details": "of somebody else"})
    load_weights(other, path)
    assert torch.equal(other[0].weight, net[0].weight)
    assert [each.requires_grad for each in other[0].parameters()] == [True, False]
    assert not other.training
    net.to_file(path)
    load_weights(other, path)
    text = refused(lambda: load_weights(Sequential(nn.Linear(4, 5), add("input")), path))
    assert "'0.weight' of nn.Linear(4, 5) has the shape [5, 4]; the file has [4, 4]." in text
    assert "'1.running_mean' belongs to no layer." in text


# What is refused


class Extra(nn.Linear):
    """A layer whose state is more than tensors."""

    def get_extra_state(self) -> Any:
        return {"seen": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


class Renames(nn.Linear):
    """A layer that changes what others see of it."""

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix + "kernel"] = self.weight


def lazy() -> Sequential:
    return Sequential(nn.LazyLinear(4), nn.ReLU())


def on_meta() -> Sequential:
    with torch.device("meta"):
        return Sequential(linear())


def hooked() -> Sequential:
    net = Sequential(linear())
    net.register_forward_hook(lambda *_: None)
    return net


def sparse() -> Sequential:
    net = Sequential(Kinds())
    net[0].truth = torch.tensor([1.0, 0.0]).to_sparse()
    return net


def too_precise() -> Sequential:
    return Sequential(nn.Linear(4, 4, dtype=torch.complex128))


def one_memory() -> Sequential:
    net = Sequential(linear(), linear())
    net[1].weight = nn.Parameter(net[0].weight.detach())
    return net


def overlapping() -> Sequential:
    whole = torch.randn(6, 4)
    net = Sequential(linear(), linear())
    net[0].weight, net[1].weight = nn.Parameter(whole[:4]), nn.Parameter(whole[2:])
    return net


def trained_buffer() -> Sequential:
    net = Sequential(nn.BatchNorm1d(4))
    net[0].running_mean.requires_grad_()
    return net


def special() -> Sequential:
    class Marked(Tensor):
        pass

    net = Sequential(nn.BatchNorm1d(4))
    net[0].running_mean = torch.zeros(4).as_subclass(Marked)
    return net


def other_kind() -> Sequential:
    net = Sequential(nn.BatchNorm1d(4))
    net[0].running_mean = torch.zeros(4, dtype=torch.int32)
    return net


REFUSED = [
    (
        lambda: Sequential(Extra(4, 4)),
        "'0._extra_state': a layer makes its own state_dict",
        "Keep it in buffers and parameters",
    ),
    (lambda: Sequential(Renames(4, 4)), "'0.kernel': a layer makes its own state_dict", "Keep it in buffers and parameters"),
    (lazy, "'0.weight' of nn.LazyLinear(4): it has no numbers yet", "net.check(shape, materialise=True)"),
    (on_meta, "'0.weight' of nn.Linear(4, 4): it has no numbers", "net.to_empty(device='cpu')"),
    (hooked, "it has hooks, which are functions", "Remove the hooks"),
    (sparse, "'0.truth' of Kinds(): it is sparse", "tensor.to_dense()"),
    (too_precise, "'0.weight' of nn.Linear(4, 4): a file cannot hold its numbers", "net.to(torch.complex64)"),
    (one_memory, "'1.weight': it shares memory with another tensor", "net.1.weight = net.0.weight; or make one a copy"),
    (overlapping, "'1.weight': it shares memory with another tensor", "received that of '0.weight'"),
    (
        trained_buffer,
        "'0.running_mean' of nn.BatchNorm1d(4): it is a buffer that is trained",
        "layer.running_mean = nn.Parameter",
    ),
    (special, "'0.running_mean' of nn.BatchNorm1d(4): it is a tensor of a special kind", "received Marked"),
    (
        other_kind,
        "its text builds other tensors than it has",
        "'0.running_mean' of nn.BatchNorm1d(4) holds F32; the file has I32.",
    ),
]


@pytest.mark.parametrize(("build", "problem", "advice"), REFUSED, ids=[each[1] for each in REFUSED])
def test_what_a_file_would_lose_is_refused(build: Callable[[], Sequential], problem: str, advice: str, path: Path) -> None:
    path.write_text("as it was")
    text = refused(lambda: build().to_file(path))
    assert problem in text
    assert advice in text
    assert path.read_text() == "as it was"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_tensors_beside_each_other_in_one_memory_are_no_fault(path: Path) -> None:
    whole = torch.randn(4, 8)
    net = Sequential(linear(), linear(), linear())
    net[0].weight, net[1].weight = nn.Parameter(whole[:, :4]), nn.Parameter(whole[:, 4:])
    through(net, path)


def test_a_lazy_network_is_written_when_it_knows_its_sizes(path: Path) -> None:
    net = lazy()
    net.check((1, 7), materialise=True)
    through(net, path)


def test_projections_that_know_their_sizes_survive(path: Path) -> None:
    net = Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), add("input", project=True), save("x"), nn.ReLU(), add("x", project=True), nn.Conv2d(8, 9, 1),
        add("x", project="pad_channels"),
    )  # fmt: skip
    assert "it has no numbers yet" in refused(lambda: net.to_file(path))
    x = torch.randn(2, 3, 6, 6)
    expected = net(x)
    net.to_file(path)
    assert "add_0.0.weight" in header(path)
    assert "add_1.0.weight" not in header(path)  # nothing to project there
    same = Sequential.from_file(path)
    assert torch.equal(same(x), expected)
    assert_same(same, net)


def test_all_differences_are_told_with_their_layers(path: Path) -> None:
    net = Sequential(("conv", nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), ("head", nn.Conv2d(8, 4, 1, bias=False)))
    net.to_file(path)
    text = "skipseq: 1\nnetwork: [{conv: 'nn.Conv2d(3, 9, 3)'}, nn.BatchNorm2d(8), {haed: 'nn.Conv2d(8, 4, 1, bias=False)'}]"
    edit(path, lambda content: content["__metadata__"].update(network=text))
    assert refused(lambda: Sequential.from_file(path)) == (
        f"{path} cannot be read as a network.\n"
        "  its weights are not those of its network\n"
        "  expected the same\n"
        "  received 4 differences\n"
        "  'haed.weight' of nn.Conv2d(8, 4, 1, bias=False) is missing.\n"
        "  'conv.weight' of nn.Conv2d(3, 9, 3) has the shape [9, 3, 3, 3]; the file has [8, 3, 3, 3].\n"
        "  'conv.bias' of nn.Conv2d(3, 9, 3) has the shape [9]; the file has [8].\n"
        "  'head.weight' belongs to no layer. Did you mean 'haed.weight'?\n"
        "  Write the file again: net.to_file(path)."
    )


def test_an_unknown_class_is_named_with_what_to_pass(path: Path) -> None:
    Sequential(Shifted(4)).to_file(path)
    text = refused(lambda: Sequential.from_file(path))
    assert "Shifted is not known." in text
    assert "registry={'Shifted': ...}" in text
    net = Sequential(Shifted(4))
    net.to_file(path, registry={"Moved": Shifted})
    assert_same(Sequential.from_file(path, registry={"Moved": Shifted}), net)


def test_a_file_of_a_later_version_says_so(path: Path) -> None:
    Sequential(linear()).to_file(path)
    edit(path, lambda content: content["__metadata__"].update(skipseq="2"))
    text = refused(lambda: Sequential.from_file(path))
    assert "this version of skipseq cannot read its header\n  expected version '1'\n  received version '2'" in text


def test_a_class_of_the_user_reads_its_own_files(path: Path) -> None:
    class Own(Sequential):
        pass

    net = Own(linear(), add("input"))
    net.to_file(path)
    same = Own.from_file(path)
    assert type(same) is Own
    assert_same(same, net)
    assert "registry={'Own': ...}" in refused(lambda: Sequential.from_file(path))
    assert type(Sequential.from_file(path, registry={"Own": Own})) is Own


def test_other_processors_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Sequential(linear())
    net.to_file(path)
    monkeypatch.setattr(sys, "byteorder", "big")
    assert "keeps numbers the other way round" in refused(lambda: net.to_file(path))
    assert "keeps numbers the other way round" in refused(lambda: Sequential.from_file(path))


def test_a_text_of_more_than_a_million_letters_has_a_file(path: Path) -> None:
    names = [f"a{'_name' * 180}{i}" for i in range(1200)]
    net = Sequential(*((name, nn.Identity()) for name in names))
    net.to_file(path)
    assert len(header(path)["__metadata__"]["network"]) > 1 << 20
    assert [name for name, _ in Sequential.from_file(path).named_children()] == names


def test_a_text_may_have_ten_thousand_layers() -> None:
    net = Sequential.from_yaml("skipseq: 1\nnetwork:\n" + "- nn.Identity()\n" * 10_100)
    assert len(net) == 10_100
