"""Rule 9: compiled, exported and traced networks equal the eager ones, outputs and gradients."""

from __future__ import annotations

import importlib.util
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.export import Dim
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from skipseq import Sequential, UNet, add, cat, here, mul, save
from skipseq.errors import CallError

from .citizen_networks import NETWORKS, Inputs, Network, Outcome, conditioned, crossed, images, outcome, separate, vectors

# torch's, about torch: it asks every tensor that enters a graph for its gradient, by hand as well.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

each_network = pytest.mark.parametrize("name", list(NETWORKS))


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(net: Any, **options: Any) -> Any:
    return torch.compile(net, fullgraph=True, **{"backend": "aot_eager", **options})


def same(found: Outcome, expected: Outcome) -> None:
    found.same(expected, rtol=1e-4, atol=1e-5)


def another(network: Network, batch: int, height: int, width: int) -> Inputs:
    """Inputs of another size, where the network takes images."""
    return network.inputs(batch, height, width) if network.inputs is images else network.inputs(batch)


# torch.compile


@each_network
def test_compiled_in_train_and_eval(name: str) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    run = compiled(net)
    x = network.inputs()
    same(outcome(run, x, net), outcome(hand, x))
    net.eval(), hand.eval()
    same(outcome(run, x, net), outcome(hand, x))


def test_one_graph_without_breaks_or_recompilations() -> None:
    """Each call after the first runs what is compiled; only a network that was edited is compiled again."""
    net, _ = NETWORKS["separate"].pair()
    net.eval()
    graphs: list[torch.fx.GraphModule] = []
    run = torch.compile(net, backend=collect(graphs))
    x = images()
    for _ in range(3):
        torch.testing.assert_close(run(*x), net(*x))
    assert len(graphs) == 1


def collect(graphs: list[torch.fx.GraphModule]) -> Callable[..., Any]:
    """A backend that runs a graph as it is, and remembers it."""

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    return backend


@torch.no_grad()
def test_compiled_with_sizes_that_change() -> None:
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    graphs: list[torch.fx.GraphModule] = []
    run = compiled(net, backend=collect(graphs), dynamic=True)
    for size in ((2, 8, 12), (3, 16, 20), (5, 20, 24)):
        x = images(*size)
        torch.testing.assert_close(run(*x), hand(*x))
    assert len(graphs) == 1


EDITS: list[Callable[[Sequential], Any]] = [
    lambda net: net.append(nn.Sigmoid()),
    lambda net: net.decoder.__setitem__(1, cat("e2", here)),
    lambda net: net.decoder._modules.update({"2": nn.ELU()}),
    lambda net: (net.encoder.append(save("last")), net.bridge.append(mul("last"))),
]


@torch.no_grad()
def test_an_edited_network_is_compiled_again() -> None:
    """A layer more, another word in a part, a layer exchanged from outside, a skip more between two parts."""
    net = separate().eval()
    run = compiled(net, backend="eager")
    x = images()
    before = net(*x)
    torch.testing.assert_close(run(*x), before)
    for edit in EDITS:
        edit(net)
        found = run(*x)
        assert not torch.allclose(found, before)
        before = net(*x)
        torch.testing.assert_close(found, before)


@pytest.mark.parametrize("way", ["module.compile", "torch.compile"])
@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name in ("separate", "conditioned", "recursive") for path in NETWORKS[name].parts]
)
def test_a_part_compiled_by_itself(name: str, path: str, way: str) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    graphs: list[torch.fx.GraphModule] = []
    net(*network.inputs())  # compiling takes effect in a network that ran before
    net.load_state_dict(network.words().state_dict()), hand.load_state_dict(in_order(net, hand))
    part = net.get_submodule(path)
    if way == "module.compile":
        part.compile(backend=collect(graphs), fullgraph=True)
    else:
        parent, _, key = path.rpartition(".")
        net.get_submodule(parent)._modules[key] = compiled(part, backend=collect(graphs))
    x = network.inputs()
    same(outcome(net, x), outcome(hand, x))
    assert len(graphs) == 1
    layers = [module for module in part.modules() if not module._modules and module._parameters]
    assert len([node for node in graphs[0].graph.nodes if node.op == "placeholder" and "weight" in node.name]) == len(layers)


def in_order(net: nn.Module, hand: nn.Module) -> dict[str, Tensor]:
    return dict(zip(hand.state_dict(), net.state_dict().values(), strict=True))


def test_a_network_that_compiles_itself() -> None:
    network = NETWORKS["recursive"]
    net, hand = network.pair()
    net.compile(backend="aot_eager", fullgraph=True)
    x = network.inputs()
    same(outcome(net, x), outcome(hand, x))


@torch.no_grad()
def test_values_on_request_are_compiled() -> None:
    net, x = separate().eval(), images()
    run = compiled(lambda x: net.record(x, "encoder.e1", "bridge"), backend="eager")
    torch.testing.assert_close(run(*x), net.record(*x, "encoder.e1", "bridge"))
    several = net.with_outputs("bridge", "encoder.conv")
    torch.testing.assert_close(compiled(several, backend="eager")(*x), several(*x))


@torch.no_grad()
def test_a_part_with_needs_is_compiled() -> None:
    net, x = separate().eval(), images()
    y, values = net.encoder.record(*x, "e1", "e2")
    torch.testing.assert_close(compiled(net.decoder, backend="eager")(y, **values), net.decoder(y, **values))


@pytest.mark.parametrize("path", ["encoder", "decoder"])
def test_a_hook_on_a_part_is_compiled(path: str) -> None:
    net, _ = NETWORKS["separate"].pair()
    net.eval()
    x = images()
    plain = outcome(net, x)
    net.get_submodule(path).register_forward_hook(doubled)
    expected = outcome(net, x)
    assert not torch.allclose(plain.output, expected.output)
    same(outcome(compiled(net), x, net), expected)


def doubled(module: nn.Module, args: Any, output: Any) -> Any:
    return tuple(each * 2 for each in output) if isinstance(output, tuple) else output * 2


@pytest.mark.parametrize("path", ["encoder", "decoder"])
def test_a_recomputed_part_is_compiled(path: str) -> None:
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    net._modules[path] = checkpoint_wrapper(net._modules[path])
    x = images()
    same(outcome(compiled(net), x, net), outcome(hand, x))


def test_a_hook_on_a_plain_part_that_a_skip_crosses_is_not_lost() -> None:
    net, x = crossed(), images()
    plain = net(*x)
    net.encoder.register_forward_hook(doubled)
    hooked = net(*x)
    assert not torch.allclose(hooked, plain)
    torch.testing.assert_close(torch.compile(net, backend="eager")(*x), hooked)


def test_a_hook_on_a_plain_sequence_put_in_its_place_is_not_lost() -> None:
    """Eager mode calls the hook; tracers cannot, and say so."""
    net, x = crossed(), images()
    plain = net(*x)
    net._modules["encoder"] = nn.Sequential(*net.encoder)
    net.encoder.register_forward_hook(doubled)
    assert not torch.allclose(net(*x), plain)
    with pytest.raises(CallError, match=r"(?s)net\.encoder is a plain nn\.Sequential.*hooks"):
        torch.compile(net, backend="eager")(*x)
    with pytest.raises(CallError, match=r"net\.encoder is a plain nn\.Sequential"):
        torch.fx.symbolic_trace(net)


@torch.no_grad()
def test_blocks_are_compiled() -> None:
    net = UNet(
        [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)],
        nn.Conv2d(8, 8, 3, padding=1),
        [nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)],
        down=nn.MaxPool2d(2),
        up=nn.Upsample(scale_factor=2),
    )
    x = images()
    torch.testing.assert_close(compiled(net, backend="eager")(*x), net(*x))


# torch.export


def dynamic_shapes(name: str) -> Any:
    """Batch and image size, in the multiples that the network needs."""
    batch = Dim("batch", min=1, max=64)
    if name == "conditioned":
        return {0: batch}, ({0: batch},)
    height, width = Dim("height", min=1, max=16), Dim("width", min=1, max=16)
    return ({0: batch, 2: 4 * height, 3: 4 * width} if name != "crossed" else {0: batch, 2: height, 3: width},)


@pytest.mark.parametrize("strict", [True, False])
@each_network
def test_exported_with_dynamic_sizes(name: str, strict: bool) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    net.eval(), hand.eval()
    program = torch.export.export(net, network.inputs(), dynamic_shapes=dynamic_shapes(name), strict=strict)
    for size in ((5, 16, 12), (1, 12, 8)):
        x = another(network, *size)
        torch.testing.assert_close(program.module()(*x), hand(*x))
    assert list(program.graph_signature.parameters) == [key for key, _ in net.named_parameters()]
    assert set(program.graph_signature.buffers) <= {key for key, _ in net.named_buffers()}
    assert program.state_dict.keys() == net.state_dict().keys()
    for key, value in net.state_dict().items():
        torch.testing.assert_close(program.state_dict[key], value)


def test_exported_inputs_by_name() -> None:
    """Called by keyword; dynamic sizes are named by the arguments of ``forward``, which torch takes its names from."""
    net, (x, t) = conditioned().eval(), vectors()
    program = torch.export.export(net, (), {"x": x, "t": t}, strict=True)
    torch.testing.assert_close(program.module()(x=x, t=t), net(x, t))
    batch = Dim("batch", min=1, max=64)
    shapes = {"input": {0: batch}, "others": ({0: batch},)}
    program = torch.export.export(net, (x, t), dynamic_shapes=shapes, strict=True)
    more = vectors(5)
    torch.testing.assert_close(program.module()(*more), net(*more))


@torch.no_grad()
def test_an_exported_part_takes_its_needs() -> None:
    net, x = separate().eval(), images()
    y, values = net.encoder.record(*x, "e1", "e2")
    program = torch.export.export(net.decoder, (y,), values, strict=True)
    torch.testing.assert_close(program.module()(y, **values), net.decoder(y, **values))


@torch.no_grad()
def test_an_exported_part_with_needs_of_dynamic_size() -> None:
    """Torch has no dynamic sizes for keywords that a signature does not name; a closed sequence gives them an order."""
    net = separate().eval()
    closed = Sequential(("decoder", net.decoder), inputs=("y", "e1", "e2"))
    y, values = net.encoder.record(*images(), "e1", "e2")
    batch = {0: Dim("batch", min=1, max=64)}
    program = torch.export.export(closed, (y, values["e1"], values["e2"]), dynamic_shapes=(batch, (batch, batch)))
    y, values = net.encoder.record(*images(5), "e1", "e2")
    torch.testing.assert_close(program.module()(y, values["e1"], values["e2"]), net.decoder(y, **values))


def test_an_export_is_saved_and_loaded() -> None:
    network = NETWORKS["crossed"]
    net, hand = network.pair()
    x = network.inputs()
    file = io.BytesIO()
    torch.export.save(torch.export.export(net, x, strict=True), file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(*x), hand(*x))


def test_an_exported_network_can_be_trained() -> None:
    network = NETWORKS["recursive"]
    net, hand = network.pair()
    x = network.inputs()
    module = torch.export.export(net, x, strict=True).module()
    found, expected = outcome(module, x), outcome(hand, x)
    same(found, expected)


def test_a_part_edited_right_before_it_is_exported() -> None:
    net = Sequential(("encoder", Sequential(nn.Linear(4, 4), save("a"))), ("decoder", Sequential(nn.Tanh(), add("a"))))
    x = torch.randn(2, 4)
    net(x)
    net.decoder.append(nn.Softplus())
    program = torch.export.export(net, (x,), strict=True)
    torch.testing.assert_close(program.module()(x), net(x))
    torch.testing.assert_close(net(x), nn.functional.softplus(torch.tanh(net.encoder(x)) + net.encoder(x)))


def test_a_missing_need_is_told_at_export() -> None:
    decoder = Sequential(nn.Linear(4, 4), add("x1"))
    with pytest.raises(CallError, match=r"it lacks 'x1', which net\[1\] reads"):
        torch.export.export(decoder, (torch.zeros(1, 4),), strict=False)
    with pytest.raises(Exception, match=r"it lacks 'x1', which net\[1\] reads"):
        torch.export.export(decoder, (torch.zeros(1, 4),), strict=True)


# torch.fx


@each_network
def test_traced_by_fx(name: str) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    graph = torch.fx.symbolic_trace(net)
    inputs = [node.target for node in graph.graph.nodes if node.op == "placeholder"]
    assert inputs == (["x", "t"] if name == "conditioned" else ["input"])
    called = {node.target for node in graph.graph.nodes if node.op == "call_module"}
    layers = {path for path, module in net.named_modules() if not module._modules and module._parameters}
    assert called >= layers
    assert graph.state_dict().keys() == net.state_dict().keys()
    for size in ((2, 8, 8), (3, 16, 12)):
        x = another(network, *size)
        same(outcome(graph, x), outcome(hand, x))
        hand.load_state_dict(in_order(net, hand))


def test_fx_inputs_by_name() -> None:
    network = NETWORKS["conditioned"]
    net, hand = network.pair()
    x, t = vectors()
    graph = torch.fx.symbolic_trace(net)
    torch.testing.assert_close(graph(t=t, x=x), hand(x, t))
    with pytest.raises(TypeError, match="t"):
        graph(x)


def test_needs_become_inputs_of_the_graph() -> None:
    net, x = separate().eval(), images()
    y, values = net.encoder.record(*x, "e1", "e2")
    graph = torch.fx.symbolic_trace(net.decoder)
    torch.testing.assert_close(graph(y, **values), net.decoder(y, **values))
    dotted = Sequential(nn.Linear(4, 4), add("encoder.1"), add("0"))
    y, value = torch.randn(2, 4), torch.randn(2, 4)
    graph = torch.fx.symbolic_trace(dotted)
    torch.testing.assert_close(graph(y, value), dotted(y, **{"encoder.1": value}))


def test_fx_keeps_a_hook_on_a_part() -> None:
    net, x = separate().eval(), images()
    plain = net(*x)
    net.encoder.register_forward_hook(doubled)
    assert not torch.allclose(net(*x), plain)
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(*x), net(*x))


def test_a_network_in_a_traced_module() -> None:
    """Below the root, fx calls it with what the code around it passes."""

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = conditioned()

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.net(x, t=t) + self.net(x * 2, t)

    around, inputs = Around(), vectors()
    torch.testing.assert_close(torch.fx.symbolic_trace(around)(*inputs), around(*inputs))


# torch.jit.trace, make_fx


@each_network
def test_traced_by_jit(name: str) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    net.eval(), hand.eval()
    traced = torch.jit.trace(net, network.inputs())
    assert list(traced.state_dict()) == list(net.state_dict())
    for size in ((2, 8, 8), (3, 16, 12)):
        x = another(network, *size)
        same(outcome(traced, x), outcome(hand, x))


@pytest.mark.parametrize(
    ("name", "mode"), [*((name, "real") for name in NETWORKS), ("recursive", "symbolic"), ("conditioned", "symbolic")]
)
def test_traced_to_operators(name: str, mode: str) -> None:
    network = NETWORKS[name]
    net, hand = network.pair()
    net.eval(), hand.eval()

    def run(state: dict[str, Tensor], *x: Tensor) -> Any:
        return functional_call(net, state, x)

    state = dict(net.state_dict())
    graph = make_fx(run, tracing_mode=mode)(state, *network.inputs())
    x = another(network, *((2, 8, 8) if mode == "real" else (3, 16, 12)))
    torch.testing.assert_close(graph(state, *x), hand(*x))


# ONNX: the extra is not among the requirements of the tests, so there is nothing to skip without it.

if importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):

    @pytest.mark.filterwarnings("ignore:# The axis name. .* will not be used:UserWarning")
    @each_network
    def test_exported_to_onnx(name: str, tmp_path: Path) -> None:
        import onnxruntime

        network = NETWORKS[name]
        net, hand = network.pair()
        net.eval(), hand.eval()
        program = torch.onnx.export(net, network.inputs(), dynamic_shapes=dynamic_shapes(name), dynamo=True, verbose=False)
        program.save(tmp_path / "net.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
        x = another(network, 3, 16, 12)
        feed = {each.name: value.numpy() for each, value in zip(session.get_inputs(), x, strict=True)}
        torch.testing.assert_close(torch.from_numpy(session.run(None, feed)[0]), hand(*x).detach(), rtol=1e-4, atol=1e-5)


# AOTInductor: likewise, it needs a C++ compiler.

if shutil.which("g++"):

    @pytest.mark.slow
    @torch.no_grad()
    def test_compiled_ahead_of_time(tmp_path: Path) -> None:
        network = NETWORKS["conditioned"]
        net, hand = network.pair()
        program = torch.export.export(net, network.inputs(), dynamic_shapes=dynamic_shapes("conditioned"), strict=True)
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "net.pt2"))
        x = vectors(5)
        torch.testing.assert_close(torch._inductor.aoti_load_package(path)(*x), hand(*x))
