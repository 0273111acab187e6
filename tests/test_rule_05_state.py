"""Rule 5: state lives in the call. Nothing is kept on a module, a class or a thread during forward."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed._composable import checkpoint as composable_checkpoint
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.utils.checkpoint import checkpoint

from skipseq import Sequential, add, save
from skipseq.errors import CallError

from .citizen_networks import NETWORKS, Network, SeparateByHand, images, outcome, separate
from .helpers import look_on, without_collection

ROOT = Path(__file__).parent.parent
THREADS = 8
each_network = pytest.mark.parametrize("name", list(NETWORKS))
each_way = pytest.mark.parametrize("way", ["flat", "called"])
PARTS = [(name, path) for name, network in NETWORKS.items() for path in network.parts]


def network_in(name: str, way: str) -> tuple[Network, Sequential, nn.Module]:
    """A network in words and by hand, for evaluation; its parts run in place, or are called for a hook that does nothing."""
    network = NETWORKS[name]
    net, hand = network.pair()
    if way == "called":
        look_on(net.get_submodule(path) for path in network.parts)
    return network, net.eval(), hand.eval()


# Threads


@each_way
@each_network
def test_threads_on_one_instance(name: str, way: str) -> None:
    network, net, hand = network_in(name, way)
    tasks = [network.inputs(1 + i % 3) for i in range(THREADS * 4)]
    expected = [hand(*task) for task in tasks]
    start = threading.Barrier(THREADS)

    def work(thread: int) -> list[Tensor]:
        start.wait(timeout=30)  # the first calls, in which programs are made, meet
        return [net(*tasks[i]) for _ in range(3) for i in range(thread, len(tasks), THREADS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(THREADS)))
    for thread, found in enumerate(results):
        wanted = [expected[i] for _ in range(3) for i in range(thread, len(tasks), THREADS)]
        torch.testing.assert_close(found, wanted)


def test_threads_that_ask_for_different_values() -> None:
    """Each thread records other names, so that each runs another program of one plan."""
    net = separate().eval()
    names = ["encoder.conv", "encoder.e1", "encoder.e2", "bridge", "bridge.0", "decoder", "decoder.4", "side"]
    x = images(1)
    expected = {name: net.record(*x, name) for name in names}
    fresh = copy.deepcopy(net)
    start = threading.Barrier(THREADS)

    def work(name: str) -> list[tuple[Tensor, dict[str, Tensor]]]:
        start.wait(timeout=30)
        return [fresh.record(*x, name) for _ in range(5)]

    with ThreadPoolExecutor(THREADS) as pool:
        for name, results in zip(names, pool.map(work, names), strict=True):
            for found in results:
                torch.testing.assert_close(found, expected[name])


def test_a_call_within_a_call() -> None:
    """A hook calls the network while it runs; the outer call goes on with its own values."""
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    outer, inner = images(2), images(3)
    seen = []

    def call_again(module: nn.Module, args: Any, output: Any) -> None:
        if not seen:
            seen.append(None)
            seen[0] = net(*inner)

    net.bridge.register_forward_hook(call_again)
    torch.testing.assert_close(net(*outer), hand(*outer))
    torch.testing.assert_close(seen[0], hand(*inner))


# Exceptions


class Fragile(nn.Module):
    """Fails when told to, and remembers weakly what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.given: list[weakref.ref[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(weakref.ref(x))
        if self.fails:
            raise ValueError("told to")
        return x * 2


def fragile_network() -> tuple[Sequential, list[Fragile]]:
    first, second = Fragile(), Fragile()
    encoder = Sequential(first, save("a"), nn.Linear(4, 4))
    decoder = Sequential(nn.Linear(4, 4), second, add("a"), add("input"))
    return Sequential(("encoder", encoder), nn.Tanh(), ("decoder", decoder)), [first, second]


@each_way
@pytest.mark.parametrize("where", [0, 1])
def test_after_an_exception_the_next_call_is_right(where: int, way: str) -> None:
    net, fragile = fragile_network()
    if way == "called":
        look_on([net.encoder, net.decoder])
    x = torch.randn(2, 4)
    expected = net(x)
    fragile[where].fails = True
    with pytest.raises(ValueError, match="told to"):
        net(torch.full((3, 4), 7.0))
    fragile[where].fails = False
    assert torch.equal(net(x), expected)


@each_way
@pytest.mark.parametrize("fails", [False, True])
def test_no_value_outlives_its_call(fails: bool, way: str) -> None:
    net, fragile = fragile_network()
    if way == "called":
        look_on([net.encoder, net.decoder])
    x = torch.randn(2, 4)
    fragile[1].fails = fails
    with without_collection(), torch.no_grad():
        try:
            net(x)
        except ValueError as error:
            assert fails
            error.__traceback__ = None  # it holds the frames, by Python's own rules
    given = [ref for layer in fragile for ref in layer.given]
    assert len(given) == 2
    assert given.pop(0)() is x
    assert given[0]() is None
    del x
    assert fragile[0].given[0]() is None


def test_forward_leaves_nothing_on_a_module() -> None:
    """What is on the modules before the first call is all that is there after it; the plan holds no tensors."""
    net = separate().eval()
    before = [dict(vars(module)) for module in net.modules()]
    with torch.no_grad():
        net(*images())
    for module, known in zip(net.modules(), before, strict=True):
        assert {name: value for name, value in vars(module).items() if known.get(name) is not value} == {}


@each_way
@each_network
def test_a_dropped_network_is_freed_at_once(name: str, way: str) -> None:
    with without_collection():
        network, net, _hand = network_in(name, way)
        x = network.inputs()
        net.train()
        net(*x).sum().backward()
        net.record(*x, *network.parts)
        modules = [weakref.ref(module) for module in net.modules()]
        parameters = [weakref.ref(parameter) for parameter in net.parameters()]
        del net
        assert [ref() for ref in modules if ref() is not None] == []
        assert not any(ref() is not None for ref in parameters)


# Copies


@each_way
@each_network
def test_deepcopy_after_a_training_step(name: str, way: str) -> None:
    network, net, _ = network_in(name, way)
    x = network.inputs()
    net.train()
    net(*x).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    net.zero_grad()
    twin = copy.deepcopy(net)
    outcome(twin, x).same(outcome(net, x))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not any((parameter == 0).all() for parameter in net.parameters())
    assert not torch.allclose(net(*x), twin(*x))


@each_network
def test_a_shallow_copy_runs(name: str) -> None:
    network, net, hand = network_in(name, "flat")
    x = network.inputs()
    net(*x)
    twin = copy.copy(net)
    outcome(twin, x).same(outcome(hand, x))
    assert next(twin.parameters()) is next(net.parameters())
    del net
    outcome(twin, x).same(outcome(hand, x))


@each_network
def test_a_pickle_does_not_grow(name: str) -> None:
    network, net, _ = network_in(name, "flat")
    before = len(pickle.dumps(net))
    with torch.no_grad():
        for batch in (1, 64):
            net(*network.inputs(batch))
            net.record(*network.inputs(batch), *network.parts)
    assert len(pickle.dumps(net)) == before
    loaded = pickle.loads(pickle.dumps(net))
    x = network.inputs()
    outcome(loaded, x).same(outcome(net, x))


@each_network
def test_torch_save_and_load(name: str) -> None:
    network, net, _ = network_in(name, "flat")
    x = network.inputs()
    expected = outcome(net, x)
    whole, state = io.BytesIO(), io.BytesIO()
    torch.save(net, whole)
    torch.save(net.state_dict(), state)
    whole.seek(0), state.seek(0)
    outcome(torch.load(whole, weights_only=False), x).same(expected)
    other = network.words().eval()
    other.load_state_dict(torch.load(state, weights_only=True))
    outcome(other, x).same(expected)


def test_pickles_load_in_a_fresh_process(tmp_path: Path) -> None:
    cases = {}
    for name in NETWORKS:
        network, net, hand = network_in(name, "flat")
        x = network.inputs()
        net(*x)
        cases[name] = (pickle.dumps(net), x, hand(*x).detach())
    torch.save(cases, tmp_path / "cases.pt")
    program = """
import pickle, sys, torch
cases = torch.load(sys.argv[1])
for name, (text, inputs, expected) in cases.items():
    net = pickle.loads(text)
    size = len(pickle.dumps(net))
    torch.testing.assert_close(net(*inputs).detach(), expected)
    assert len(pickle.dumps(net)) == size
    print(name)
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cases.pt")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == list(NETWORKS)


# Recomputation


class Recomputed(nn.Module):
    """A wrapper as one writes it by hand."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return checkpoint(self.inner, *args, use_reentrant=False, **kwargs)


def in_place_of_forward(part: nn.Module) -> nn.Module:
    part.forward = partial(checkpoint, part.forward, use_reentrant=False)
    return part


def composed(part: nn.Module) -> nn.Module:
    composable_checkpoint(part)
    return part


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "checkpoint_wrapper": checkpoint_wrapper,
    "checkpoint_wrapper, reentrant": partial(checkpoint_wrapper, checkpoint_impl=CheckpointImpl.REENTRANT),
    "checkpoint_wrapper twice": lambda part: Recomputed(checkpoint_wrapper(part)),
    "a wrapper by hand": Recomputed,
    "in place of forward": in_place_of_forward,
    "composable": composed,
}


def replace_part(net: nn.Module, path: str, change: Callable[[nn.Module], nn.Module]) -> None:
    parent, _, key = path.rpartition(".")
    modules = net.get_submodule(parent)._modules
    modules[key] = change(modules[key])  # type: ignore[arg-type]


def count_calls(module: nn.Module) -> list[None]:
    """Counts the calls of the first layer below, without a hook on a container."""
    calls: list[None] = []
    layer = next(each for each in module.modules() if not each._modules and each._parameters)
    layer.register_forward_hook(lambda *_: calls.append(None))
    return calls


@pytest.mark.parametrize("wrapper", list(WRAPPERS))
@pytest.mark.parametrize(("name", "path"), PARTS)
def test_a_recomputed_part_gives_the_right_gradients(name: str, path: str, wrapper: str) -> None:
    """The part reads a skip, saves one, or both."""
    network, net, hand = network_in(name, "flat")
    x = network.inputs()
    calls = count_calls(net.get_submodule(path))
    replace_part(net, path, WRAPPERS[wrapper])
    outcome(net, x).same(outcome(hand, x))
    assert len(calls) >= 2 if "twice" in wrapper else len(calls) == 2


@each_network
def test_a_whole_network_recomputed(name: str) -> None:
    network, net, hand = network_in(name, "flat")
    x = network.inputs()
    calls = count_calls(net)
    outcome(lambda *inputs: checkpoint(net, *inputs, use_reentrant=False), x, net).same(outcome(hand, x))
    assert len(calls) == 2


def test_all_parts_recomputed_at_once() -> None:
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    apply_activation_checkpointing(net, check_fn=lambda module: isinstance(module, Sequential))
    assert sum(type(module).__name__ == "CheckpointWrapper" for module in net.modules()) == 3
    x = images()
    outcome(net, x).same(outcome(hand, x))


def test_parts_called_by_hand_and_recomputed() -> None:
    """Needs are keywords of the part, so that every checkpoint passes them on."""
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()

    def forward(x: Tensor) -> Tensor:
        def encode(x: Tensor) -> Any:
            return net.encoder.record(x, "conv", "e1", "e2")

        y, values = checkpoint(encode, x, use_reentrant=False)
        conv = values.pop("conv")
        y = checkpoint(net.bridge, y, use_reentrant=False)
        y = checkpoint(net.decoder, y, use_reentrant=False, **values)
        return net.head(y + net.get_submodule("side.0")(conv))

    x = images()
    outcome(forward, x, net).same(outcome(hand, x))


@pytest.mark.parametrize("wrapper", [name for name in WRAPPERS if name != "composable"])
def test_a_plain_sequence_put_in_the_place_of_a_crossed_part_cannot_be_wrapped(wrapper: str) -> None:
    net = NETWORKS["crossed"].words()
    net._modules["encoder"] = nn.Sequential(*net.encoder)
    replace_part(net, "encoder", WRAPPERS[wrapper])
    with pytest.raises(CallError, match=r"(?s)net\.encoder is a plain .* crosses \('1'\).*Write skipseq\.Sequential"):
        net(*images())


def test_a_plain_part_that_a_skip_crosses_can_be_recomputed_by_hooks() -> None:
    network, net, hand = network_in("crossed", "flat")
    composed(net.encoder)
    calls = count_calls(net.encoder)
    x = network.inputs()
    outcome(net, x).same(outcome(hand, x))
    assert len(calls) == 2


def test_recomputation_keeps_no_skip_alive() -> None:
    """What a recomputed part saves inside itself is freed until the backward pass."""
    seen: list[weakref.ref[Tensor]] = []

    def watch(x: Tensor) -> Tensor:
        seen.append(weakref.ref(x))
        return x

    net, _ = NETWORKS["recursive"].pair()
    net.block.insert(1, watch)
    replace_part(net, "block", checkpoint_wrapper)
    output = net(*images())
    assert seen[0]() is None
    output.sum().backward()
    assert len(seen) == 2


def test_the_networks_are_not_all_the_same() -> None:
    """The comparison itself can fail."""
    net, hand = separate().eval(), SeparateByHand().eval()
    x = images()
    with pytest.raises(AssertionError):
        outcome(net, x).same(outcome(hand, x))
