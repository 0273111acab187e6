"""Rule 9: what PyTorch does with modules works with ours: precision, transforms, devices, quantization, replicas, stages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.distributed.pipelining import SplitPoint, pipeline
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vjp, vmap
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrizations, parametrize, prune

from skipseq import Sequential, add, cat, save

from .citizen_networks import NETWORKS, Inputs, Network, Outcome, copy_state, images, outcome, separate, vectors

# torch's own, about its own quantization.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(?s).*reduce_range will be deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:All inputs of this cat operator must share:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel:UserWarning"),
]

each_network = pytest.mark.parametrize("name", list(NETWORKS))
IMAGES = [name for name, network in NETWORKS.items() if network.inputs is images]


def evaluated(name: str) -> tuple[Network, Sequential, nn.Module]:
    network = NETWORKS[name]
    net, hand = network.pair()
    return network, net.eval(), hand.eval()


def moved(inputs: Inputs, to: Any) -> Inputs:
    return tuple(each.to(to) for each in inputs)


# Mixed precision


@each_network
def test_autocast(name: str) -> None:
    """The joins promote as torch does: the same dtypes and the same bits as by hand."""
    network = NETWORKS[name]
    net, hand = network.pair()
    x = network.inputs()
    results: list[Outcome] = []
    for module in (net, hand):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results.append(outcome(module, x))
    assert results[0].output.dtype == torch.bfloat16
    results[0].same(results[1], rtol=0, atol=0)


@each_network
def test_a_wider_value_joins_a_narrower_one(name: str) -> None:
    """Under autocast, a layer that stays in float32 meets values in bfloat16."""
    network, net, hand = evaluated(name)
    x = network.inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = net.record(*x, *network.parts)[1]
        torch.testing.assert_close(net(*x), hand(*x), rtol=0, atol=0)
    for each in found.values():
        assert each.dtype in (torch.bfloat16, torch.float32)


def test_floating_types_promote() -> None:
    net = Sequential(save("x"), nn.Linear(4, 4, dtype=torch.bfloat16).float(), add("x"))
    assert net(torch.zeros(1, 4)).dtype == torch.float32
    to_half = Sequential(lambda x: x.half(), add("input"))
    assert to_half(torch.zeros(1, 4)).dtype == torch.float32


# Function transforms


@each_network
def test_functional_call(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    state = {key: value * 0.5 for key, value in net.state_dict().items()}
    expected = functional_call(hand, dict(zip(hand.state_dict(), state.values(), strict=True)), x)
    torch.testing.assert_close(functional_call(net, state, x), expected)
    torch.testing.assert_close(net(*x), hand(*x))


def test_functional_call_with_needs() -> None:
    net, x = separate().eval(), images()
    y, values = net.encoder.record(*x, "e1", "e2")
    state = {key: value * 0.5 for key, value in net.decoder.state_dict().items()}
    other = copy.deepcopy(net.decoder)
    other.load_state_dict(state)
    torch.testing.assert_close(functional_call(net.decoder, state, (y,), values), other(y, **values))


@each_network
def test_vmap_over_single_samples(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs(3)
    found = vmap(lambda *sample: net(*(each[None] for each in sample))[0])(*x)
    torch.testing.assert_close(found, hand(*x))


def loss(module: nn.Module) -> Callable[..., Tensor]:
    def of(parameters: dict[str, Tensor], *x: Tensor) -> Tensor:
        return functional_call(module, parameters, x).square().sum()

    return of


def loss_of_sample(module: nn.Module) -> Callable[..., Tensor]:
    return lambda parameters, *sample: loss(module)(parameters, *(each[None] for each in sample))


@each_network
def test_grad_whole_and_for_each_sample(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs(3)
    axes = (None, *(0 for _ in x))
    found, expected = (
        [grad(loss(module))(dict(module.named_parameters()), *x) for module in (net, hand)],
        [vmap(grad(loss_of_sample(module)), axes)(dict(module.named_parameters()), *x) for module in (net, hand)],
    )
    for mine, theirs in (found, expected):
        torch.testing.assert_close(list(mine.values()), list(theirs.values()), rtol=1e-4, atol=1e-5)


@each_network
def test_forward_mode_and_jacobians(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    tangents = tuple(torch.randn_like(each) for each in x)
    expected = jvp(hand, x, tangents)
    torch.testing.assert_close(jvp(net, x, tangents), expected)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(value, tangent) for value, tangent in zip(x, tangents, strict=True)]
        torch.testing.assert_close(forward_ad.unpack_dual(net(*duals)).tangent, expected[1])
    (mine, pull), (theirs, pull_by_hand) = vjp(net, *x), vjp(hand, *x)
    torch.testing.assert_close((mine, pull(mine)), (theirs, pull_by_hand(theirs)))
    small, small_by_hand = ((lambda *y, module=module: module(*y).flatten(1)[:, :2]) for module in (net, hand))
    torch.testing.assert_close(jacrev(small)(*x), jacrev(small_by_hand)(*x))


@each_network
def test_an_ensemble_of_stacked_states(name: str) -> None:
    network = NETWORKS[name]
    nets = [network.words().eval() for _ in range(3)]
    x = network.inputs()
    parameters, buffers = stack_module_state(nets)
    base = copy.deepcopy(nets[0]).to("meta")
    axes = (0, 0, *(None for _ in x))
    found = vmap(lambda p, b, *x: functional_call(base, (p, b), x), axes)(parameters, buffers, *x)
    torch.testing.assert_close(found, torch.stack([net(*x) for net in nets]))


def test_double_backward() -> None:
    network, net, hand = evaluated("recursive")
    (x,) = moved(network.inputs(1, 4, 4), torch.float64)
    grads = []
    for module in (net.double(), hand.double()):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(module(leaf).square().sum(), leaf, create_graph=True)
        first.square().sum().backward()
        grads.append([leaf.grad, *(each.grad for each in module.parameters())])
    torch.testing.assert_close(*grads)


# Memory formats, devices and dtypes


@pytest.mark.parametrize("name", IMAGES)
def test_channels_last_is_kept(name: str) -> None:
    """Every value in it, inputs to outputs."""
    network, net, hand = evaluated(name)
    net = net.to(memory_format=torch.channels_last)
    (x,) = network.inputs()
    x = x.to(memory_format=torch.channels_last)
    names = [key for key in net.wiring.names if key != "input"]
    output, values = net.record(x, *names)
    torch.testing.assert_close(output.contiguous(), hand(x).contiguous())
    for each in (output, *values.values()):
        assert each.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@each_network
def test_another_dtype(name: str, dtype: torch.dtype) -> None:
    network, net, hand = evaluated(name)
    x = moved(network.inputs(), dtype)
    net(*network.inputs())
    outcome(net.to(dtype), x).same(outcome(hand.to(dtype), x))
    assert net(*x).dtype == dtype
    back, inputs = net.float(), moved(x, torch.float32)
    outcome(back, inputs).same(outcome(hand.float(), inputs))


@each_network
def test_the_meta_device_and_back(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    empty = copy.deepcopy(net).to("meta")
    shape = empty(*moved(x, "meta"))
    assert (shape.device.type, shape.shape) == ("meta", hand(*x).shape)
    empty.to_empty(device="cpu").load_state_dict(net.state_dict())
    outcome(empty, x).same(outcome(hand, x))


@each_network
def test_made_on_the_meta_device(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    with torch.device("meta"):
        empty = network.words().eval()
    empty.load_state_dict(net.state_dict(), assign=True)
    outcome(empty, x).same(outcome(hand, x))


@each_network
def test_inference_mode_and_back(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    with torch.inference_mode():
        found = net(*x)
    assert found.is_inference()
    torch.testing.assert_close(found, hand(*x))
    outcome(net, x).same(outcome(hand, x))


# Layers exchanged by tools


def normalized() -> Sequential:
    """Convolutions with batch normalization, in a part that a skip leaves and behind it."""
    encoder = Sequential(
        ("conv", nn.Conv2d(3, 8, 3, padding=1)), ("norm", nn.BatchNorm2d(8)), ("act", nn.ReLU()), save("s"),
        nn.Conv2d(8, 8, 3, padding=1),
    )  # fmt: skip
    net = Sequential(("encoder", encoder), cat("s"), nn.Conv2d(16, 8, 1), nn.ReLU(), add("encoder.norm")).eval()
    net.encoder.norm.running_mean.uniform_()
    net.encoder.norm.running_var.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layers", [("encoder.conv", "encoder.norm"), ("1", "2")])
def test_fused_layers(layers: tuple[str, str], inplace: bool) -> None:
    """The first layer is exchanged for the fused one, the second for ``nn.Identity``."""
    net, x = normalized(), images()
    expected = net(*x)
    fused = quantization.fuse_modules(net, list(layers), inplace=inplace)
    assert (fused is net) == inplace
    assert isinstance(fused.get_submodule(layers[1]), nn.Identity)
    torch.testing.assert_close(fused(*x), expected)
    torch.testing.assert_close(net(*x), expected)
    seen: list[Any] = []
    fused.get_submodule(layers[0]).register_forward_hook(lambda *_: seen.append(None))
    fused(*x)
    assert len(seen) == 1  # it runs the new layer, not the old ones with an equal result


@each_network
def test_fx_graph_quantization(name: str) -> None:
    """Observed and converted, equal to the same done by hand."""
    network, net, hand = evaluated(name)
    x = network.inputs()
    mapping = quantization.get_default_qconfig_mapping("fbgemm")
    if name == "conditioned":  # a few linear layers, each with a fixed price
        mapping = quantization.QConfigMapping().set_object_type(nn.Linear, quantization.get_default_qconfig("fbgemm"))
    results = []
    for module in (net, hand):
        prepared = prepare_fx(copy.deepcopy(module), mapping, x)
        torch.testing.assert_close(prepared(*x), module(*x))
        results.append(convert_fx(prepared)(*x))
    torch.testing.assert_close(results[0], results[1])
    assert not torch.equal(results[0], net(*x))
    torch.testing.assert_close(net(*x), hand(*x))


def test_dynamic_quantization() -> None:
    network, net, hand = evaluated("conditioned")
    x = network.inputs()
    found = quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    expected = quantization.quantize_dynamic(hand, {nn.Linear}, dtype=torch.qint8)
    assert isinstance(found.lift, torch.ao.nn.quantized.dynamic.Linear)
    assert isinstance(found.block[0], torch.ao.nn.quantized.dynamic.Linear)
    torch.testing.assert_close(found(*x), expected(*x))
    assert not torch.allclose(found(*x), net(*x), rtol=0, atol=1e-6)


class QuantizedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = quantization.QuantStub(), quantization.DeQuantStub()
        self.first, self.second, self.third = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        s = self.first(self.enter(x))
        return self.leave(self.third(torch.cat([torch.relu(self.second(s)), s], 1)))


def test_eager_quantization() -> None:
    net = Sequential(
        quantization.QuantStub(), nn.Conv2d(3, 8, 1), save("s"), ("part", Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())),
        cat("s"), nn.Conv2d(16, 4, 1), quantization.DeQuantStub(),
    )  # fmt: skip
    hand, x = QuantizedByHand(), images()
    copy_state(net, hand)
    results = []
    for module in (net.eval(), hand.eval()):
        module.qconfig = quantization.get_default_qconfig("fbgemm")
        prepared = quantization.prepare(module)
        torch.testing.assert_close(prepared(*x), module(*x))
        results.append(quantization.convert(prepared))
    assert isinstance(results[0][1], torch.ao.nn.quantized.Conv2d)
    assert isinstance(results[0].part[0], torch.ao.nn.quantized.Conv2d)
    torch.testing.assert_close(results[0](*x), results[1](*x), rtol=0, atol=0)


def test_parametrizations_and_pruning() -> None:
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    x = images()
    net(*x)
    for path, twin in (("encoder.3", "conv2"), ("decoder.1", "up2"), ("side.0", "side")):
        parametrizations.weight_norm(net.get_submodule(path))
        parametrizations.weight_norm(hand.get_submodule(twin))
    outcome(net, x).same(outcome(hand, x))
    for path in ("encoder.3", "decoder.1", "side.0"):
        parametrize.remove_parametrizations(net.get_submodule(path), "weight")
    torch.testing.assert_close(net(*x), hand(*x))
    plain = net(*x)
    for layer in (net.bridge[0], hand.bridge):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    torch.testing.assert_close(net(*x), hand(*x))
    assert not torch.allclose(net(*x), plain)


def test_lazy_layers_take_their_sizes_at_the_first_call() -> None:
    """A lazy layer changes its class and its hooks in the middle of a call."""
    decoder = Sequential(nn.LazyConv2d(8, 3, padding=1), cat("a"), nn.LazyConv2d(4, 1))
    net = Sequential(nn.LazyConv2d(8, 3, padding=1), save("a"), nn.LazyBatchNorm2d(), ("decoder", decoder)).eval()
    x = images()
    first = net(*x)
    assert not any(isinstance(module, LazyModuleMixin) for module in net.modules())
    assert net.decoder[2].weight.shape == (4, 16, 1, 1)
    assert torch.equal(net(*x), first)
    a = net[0](*x)
    expected = net.decoder[2](torch.cat([net.decoder[0](net[2](a)), a], 1))
    torch.testing.assert_close(first, expected)


# Replicas and stages


def replica_of(net: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """What ``nn.parallel.replicate`` makes of a module, here with other parameters instead of on another device."""
    modules = list(net.modules())
    twins = {id(module): module._replicate_for_data_parallel() for module in modules}
    for module in modules:
        twin = twins[id(module)]
        for key, child in module._modules.items():
            setattr(twin, key, twins[id(child)])
        for key, parameter in module._parameters.items():
            setattr(twin, key, None if parameter is None else change(parameter))
        for key, buffer in module._buffers.items():
            setattr(twin, key, buffer)
    return twins[id(net)]


@pytest.mark.parametrize("hooked", [False, True])
@each_network
def test_a_replica_runs_its_own_layers(name: str, hooked: bool) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    if hooked:
        for path in network.parts:
            net.get_submodule(path).register_forward_hook(lambda *_: None)
    net(*x)
    replica = replica_of(net, lambda parameter: parameter * 2)
    doubled = copy.deepcopy(hand)
    with torch.no_grad():
        for parameter in doubled.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(replica(*x), doubled(*x))
    torch.testing.assert_close(net(*x), hand(*x))


SPLITS = [
    ("flat", {"5": SplitPoint.BEGINNING, "8": SplitPoint.BEGINNING}),
    ("separate", {"bridge": SplitPoint.BEGINNING, "decoder": SplitPoint.BEGINNING}),
    ("separate", {"encoder": SplitPoint.END}),
    ("conditioned", {"block": SplitPoint.BEGINNING}),
    ("recursive", {"block.2": SplitPoint.BEGINNING}),
    ("crossed", {"head": SplitPoint.BEGINNING}),
]


@pytest.mark.parametrize(("name", "splits"), SPLITS)
def test_split_into_pipeline_stages(name: str, splits: dict[str, Any]) -> None:
    """Each layer is in one stage, and the skips that cross a border are its inputs."""
    network, net, hand = evaluated(name)
    x = network.inputs(4)
    stages = pipeline(net, mb_args=x, split_spec=splits)
    assert stages.num_stages == len(splits) + 1
    held = [dict(stages.get_stage_module(i).named_parameters()) for i in range(stages.num_stages)]
    assert all(held)
    assert [key for stage in held for key in stage] == [key for key, _ in net.named_parameters()]
    torch.testing.assert_close(stages(*x)[0] if isinstance(stages(*x), tuple) else stages(*x), hand(*x))


def test_data_parallel_without_a_gpu() -> None:
    network, net, hand = evaluated("separate")
    x = network.inputs()
    outcome(nn.DataParallel(net), x, net).same(outcome(hand, x))


def test_weights_shared_with_an_averaged_model() -> None:
    _network, net, hand = evaluated("conditioned")
    averaged = torch.optim.swa_utils.AveragedModel(net)
    averaged.update_parameters(net)
    x = vectors()
    torch.testing.assert_close(averaged(*x), hand(*x))
    copy_state(net, hand)
