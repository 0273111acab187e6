"""What each of two processes does, and compares with the single-process result that it computes itself."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import ScheduleGPipe, SplitPoint, pipeline
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from .citizen_networks import NETWORKS, Inputs, Network

PROCESSES = 2
BATCH = 4
STEPS = 2


def loss_of(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


def train(model: nn.Module, inputs: Inputs, target: Tensor, owner: nn.Module | None = None) -> list[Tensor]:
    """A few steps; returns the parameters afterwards and the gradients of the last step, whole."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model(*inputs), target).backward()
        optimizer.step()
    parameters = list((owner or model).parameters())
    return [whole(each) for each in parameters] + [whole(each.grad) for each in parameters]


def whole(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def mine(tensors: Inputs) -> Inputs:
    """The part of a batch that this process works on."""
    return tuple(each.chunk(PROCESSES)[dist.get_rank()] for each in tensors)


def task(name: str) -> tuple[Network, nn.Module, nn.Module, Inputs, Tensor]:
    """A network in words, the same by hand, a batch and its target: equal in all processes."""
    torch.manual_seed(0)
    network = NETWORKS[name]
    net, hand = network.pair()
    inputs = network.inputs(BATCH)
    # Batch normalization would see half of the batch in each process, by hand as well.
    return network, net.eval(), hand.eval(), inputs, torch.randn_like(hand(*inputs))


def compare(net: nn.Module, hand: nn.Module, inputs: Inputs, target: Tensor, owner: nn.Module | None = None) -> None:
    expected = train(hand, inputs, target)
    found = train(net, mine(inputs), *mine((target,)), owner)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


# Data parallel


def ddp_whole(name: str) -> None:
    _, net, hand, inputs, target = task(name)
    compare(DistributedDataParallel(net), hand, inputs, target)


def ddp_parts(name: str) -> None:
    """Each part is wrapped by itself; what stays outside is averaged here."""
    network, net, hand, inputs, target = task(name)
    wrapped = [path for path in network.parts if "." not in path]
    owner = list(net.parameters())
    outside = list(net.parameters())
    for path in wrapped:
        inner = {id(each) for each in net.get_submodule(path).parameters()}
        outside = [each for each in outside if id(each) not in inner]
        net._modules[path] = DistributedDataParallel(net.get_submodule(path))
    for each in outside:
        each.register_hook(averaged)
    holder = nn.Module()
    holder.kept = nn.ParameterList(owner)
    compare(net, hand, inputs, target, holder)


def averaged(gradient: Tensor) -> Tensor:
    gradient = gradient.clone()
    dist.all_reduce(gradient)
    return gradient / PROCESSES


# Sharded


def fsdp_parts(name: str) -> None:
    """Each part by itself, then the root."""
    network, net, hand, inputs, target = task(name)
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for path in reversed(network.parts):
        fully_shard(net.get_submodule(path), mesh=mesh)
    fully_shard(net, mesh=mesh)
    compare(net, hand, inputs, target)


def fsdp_root(name: str) -> None:
    _, net, hand, inputs, target = task(name)
    fully_shard(net, mesh=init_device_mesh("cpu", (PROCESSES,)))
    compare(net, hand, inputs, target)


def fsdp_leaves(name: str) -> None:
    """Each layer with parameters by itself: the containers stay as they are."""
    _, net, hand, inputs, target = task(name)
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for module in list(net.modules()):
        if not module._modules and module._parameters:
            fully_shard(module, mesh=mesh)
    fully_shard(net, mesh=mesh)
    compare(net, hand, inputs, target)


# Pipelined


#: Where the second stage begins. An input of the whole cannot enter behind the first stage, so ``conditioned`` cannot be
#: split, by hand as well.
SPLITS = {"flat": "8", "separate": "decoder", "recursive": "block.2"}


def pipelined(name: str) -> None:
    """Two stages, one in each process; the skips travel between them."""
    _, net, hand, inputs, target = task(name)
    pieces = tuple(each.chunk(2)[0] for each in inputs)
    pipe = pipeline(net, mb_args=pieces, split_spec={SPLITS[name]: SplitPoint.BEGINNING})
    assert pipe.num_stages == PROCESSES
    stage = pipe.build_stage(dist.get_rank(), torch.device("cpu"))
    schedule = ScheduleGPipe(stage, n_microbatches=2, loss_fn=loss_of)
    loss_of(hand(*inputs), target).backward()
    if dist.get_rank() == 0:
        schedule.step(*inputs)
    else:
        torch.testing.assert_close(schedule.step(target=target), hand(*inputs))
    names = dict(zip(dict(net.named_parameters()), hand.parameters(), strict=True))
    own = dict(stage.submod.named_parameters())
    assert own
    for key, parameter in own.items():
        torch.testing.assert_close(parameter.grad, names[key].grad)


SCENARIOS: dict[str, list[tuple[Callable[[str], None], str]]] = {
    "ddp": [*((ddp_whole, name) for name in NETWORKS), (ddp_parts, "separate"), (ddp_parts, "conditioned")],
    "fsdp": [
        *((fsdp_root, name) for name in NETWORKS),
        *((fsdp_parts, name) for name, network in NETWORKS.items() if network.parts),
        *((fsdp_leaves, name) for name in ("separate", "conditioned")),
    ],
    "pipelining": [(pipelined, name) for name in SPLITS],
}


def failures(kind: str) -> Iterator[str]:
    for scenario, name in SCENARIOS[kind]:
        try:
            scenario(name)
        except Exception:
            yield f"{scenario.__name__} {name}\n{traceback.format_exc()}"
            return  # the other process waits in the middle of it


def main(kind: str, rank: int, store: str, report: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=60))
    found = list(failures(kind))
    Path(report).write_text("\n".join(found) or "all right")
    if not found:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
