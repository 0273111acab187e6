"""Rule 6: values die at their last reader, also across containers; measured in bytes, compared with the bound.

The bound, in inference: the input of the root throughout, and at each step its operands, its result, and the values read
later. It is computed from the plain list of calls that a network stands for; nothing of the library is in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import skipseq.run.sequential
from skipseq import DenseBlock, Sequential, UNet, add, call, cat, here, pick, save, sub, take, via
from skipseq.errors import ShapeError

from .helpers import look_on, without_collection
from .random_networks import WIDTH, Network, Operation, unambiguous

# ---------------------------------------------------------------------------------------------------------- measured


class LiveBytes(TorchDispatchMode):
    """Sums, after every operation, the bytes of the storages that are alive, and keeps the largest sum."""

    def __init__(self, ignored: Iterable[Tensor], counted: Iterable[Tensor]) -> None:
        super().__init__()
        self.ignored = {reference(tensor) for tensor in ignored}
        self.sizes = {reference(tensor): size(tensor) for tensor in counted}
        self.peak = sum(self.sizes.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors(result):
            if reference(tensor) not in self.ignored:
                self.sizes[reference(tensor)] = size(tensor)
        self.sizes = {each: bytes_ for each, bytes_ in self.sizes.items() if not each.expired()}
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def reference(tensor: Tensor) -> Any:
    return StorageWeakRef(tensor.untyped_storage())


def address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def size(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes())


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def peak(net: Callable[..., Any], fixed: nn.Module, *inputs: Tensor) -> int:
    """The peak of live bytes in one inference, the inputs included, parameters not."""
    with torch.no_grad():
        net(*inputs)  # what is prepared at the first call is not of interest
        with LiveBytes([*fixed.parameters(), *fixed.buffers()], inputs) as live:
            net(*inputs)
    return live.peak


# --------------------------------------------------------------------------------------------------------- the bound


def lower_bound(operations: Sequence[Operation], inputs: Sequence[int], outputs: Iterable[int], *given: Tensor) -> int:
    """The bound for a list of calls; what a call makes for itself counts while it runs."""
    values: dict[int, Any] = dict(zip(inputs, given, strict=True))
    steps = []
    with torch.no_grad():
        for operation in operations:
            takes = [values[i] for i in operation.takes]
            with Inside(tensors(takes)) as inside:
                result = values[operation.gives] = operation.function(*takes)
            steps.append((storages(takes), storages(result), inside.peak))
    alive = storages(given) | {key: bytes_ for i in outputs for key, bytes_ in storages(values[i]).items()}
    most = sum(alive.values())
    for takes, result, inside_peak in reversed(steps):
        fresh = {key for key in result if key not in takes and key not in storages(given)}
        beside = {key: bytes_ for key, bytes_ in (alive | takes).items() if key not in fresh}
        most = max(most, sum(beside.values()) + inside_peak)
        alive = beside
    return most


class Inside(TorchDispatchMode):
    """The peak of what one call makes: its result, and what it makes for itself."""

    def __init__(self, operands: list[Tensor]) -> None:
        super().__init__()
        self.known = {reference(tensor) for tensor in operands}
        self.sizes: dict[Any, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Parameters come in as arguments and are not made here.
        self.known |= {each for tensor in tensors((args, kwargs or {})) if (each := reference(tensor)) not in self.sizes}
        result = func(*args, **(kwargs or {}))
        self.sizes |= {reference(each): size(each) for each in tensors(result) if reference(each) not in self.known}
        self.sizes = {each: bytes_ for each, bytes_ in self.sizes.items() if not each.expired()}
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def storages(tree: Any) -> dict[int, int]:
    return {address(tensor): size(tensor) for tensor in tensors(tree)}


def bound_of(network: Network, *given: Tensor) -> int:
    outputs = (network.outputs,) if isinstance(network.outputs, int) else network.outputs
    return lower_bound(network.operations, network.inputs, outputs, *given)


class Calls:
    """Writes a list of calls by hand: ``v = calls(layer, a, b)``."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.count = 1

    def __call__(self, function: Callable[..., Any], *takes: int) -> int:
        self.operations.append(Operation(function, takes, self.count))
        self.count += 1
        return self.count - 1

    def bound(self, given: Tensor, *outputs: int) -> int:
        return lower_bound(self.operations, (0,), outputs or (self.count - 1,), given)


def joined(*values: Tensor) -> Tensor:
    return torch.cat(values, 1)


# ------------------------------------------------------------------------------------------------------- the networks


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class Layers:
    """The layers of a U-Net of some levels."""

    def __init__(self, levels: int = 3, width: int = 4) -> None:
        widths = [width * 2**k for k in range(levels + 1)]
        self.levels = levels
        self.encoders = [conv(3 if k == 0 else widths[k], widths[k]) for k in range(levels)]
        self.downs = [nn.Conv2d(widths[k], widths[k + 1], 2, 2) for k in range(levels)]
        self.bridge = conv(widths[-1], widths[-1])
        self.ups = [nn.ConvTranspose2d(widths[k + 1], widths[k], 2, 2) for k in reversed(range(levels))]
        self.decoders = [conv(2 * widths[k], widths[k]) for k in reversed(range(levels))]

    def encoder_entries(self) -> Iterator[Any]:
        for k, (encoder, down) in enumerate(zip(self.encoders, self.downs, strict=True)):
            yield from (encoder, save(f"x{k}"), down)

    def decoder_entries(self) -> Iterator[Any]:
        for k, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            yield from (up, cat(f"x{self.levels - 1 - k}", here), decoder)

    def bound(self, given: Tensor) -> int:
        calls, skips, value = Calls(), [], 0
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(calls(encoder, value))
            value = calls(down, skips[-1])
        value = calls(self.bridge, value)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            value = calls(up, value)
            value = calls(joined, skips.pop(), value)
            value = calls(decoder, value)
        return calls.bound(given)


class ByHand(nn.Module):
    """A U-Net as most people write it: a local variable for each skip, the decoder in a module of its own."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.encoders, self.downs = nn.ModuleList(layers.encoders), nn.ModuleList(layers.downs)
        self.bridge = layers.bridge
        self.ups, self.decoders = nn.ModuleList(layers.ups), nn.ModuleList(layers.decoders)

    def forward(self, value: Tensor) -> Tensor:
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(value))
            value = down(skips[-1])
        value = self.bridge(value)
        for skip, up, decoder in zip(reversed(skips), self.ups, self.decoders, strict=True):
            value = decoder(torch.cat([skip, up(value)], 1))
        return value


def nested_by_level(layers: Layers, k: int = 0) -> Sequential:
    inside = nested_by_level(layers, k + 1) if k + 1 < layers.levels else layers.bridge
    last = layers.levels - 1 - k
    return Sequential(
        layers.encoders[k], save("x"), layers.downs[k], inside, layers.ups[last], cat("x", here), layers.decoders[last]
    )


UNETS: dict[str, Callable[[Layers], Sequential]] = {
    "flat": lambda u: Sequential(*u.encoder_entries(), u.bridge, *u.decoder_entries()),
    "separate encoder and decoder": lambda u: Sequential(
        ("encoder", Sequential(*u.encoder_entries())),
        ("bridge", nn.Sequential(u.bridge)),
        ("decoder", Sequential(*u.decoder_entries())),
    ),
    "a part for each level": nested_by_level,
    "plain parts inside": lambda u: Sequential(
        *(nn.Sequential(each) if isinstance(each, nn.Conv2d) else each for each in u.encoder_entries()),
        nn.Sequential(nn.Sequential(u.bridge)),
        *u.decoder_entries(),
    ),
    "everything three deep": lambda u: Sequential(
        Sequential(Sequential(*u.encoder_entries())), Sequential(u.bridge, Sequential(*u.decoder_entries()))
    ),
    "UNet": lambda u: UNet(u.encoders, u.bridge, u.decoders, down=u.downs, up=u.ups),
}


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("build", UNETS.values(), ids=UNETS)
def test_unets_need_the_bound(build: Callable[[Layers], Sequential], levels: int) -> None:
    layers, given = Layers(levels), torch.randn(2, 3, 32, 32)
    net, by_hand = build(layers), ByHand(layers)
    torch.testing.assert_close(net(given), by_hand(given))
    measured = peak(net, net, given)
    assert measured == layers.bound(given)
    assert measured < peak(by_hand, by_hand, given)


@pytest.mark.parametrize("style", ["words", "block", "part"])
def test_a_dense_block_needs_the_bound(style: str) -> None:
    layers = [conv(3 * (k + 1), 3) for k in range(5)]
    entries: list[Any] = []
    for k, layer in enumerate(layers):
        entries += [save(f"x{k}"), *([cat(*(f"x{i}" for i in range(k)), here)] if k else []), layer]
    last = cat(*(f"x{i}" for i in range(len(layers))), here)
    head, given = conv(18, 2), torch.randn(2, 3, 8, 8)
    calls, values = Calls(), [0]
    if style == "block":
        net: Sequential = Sequential(DenseBlock(*layers), head)
        value = 0
        for layer in layers:
            value = calls(joined, calls(layer, value), value)
    else:
        net = Sequential(*entries, last, head) if style == "words" else Sequential(Sequential(*entries, last), head)
        for layer in layers:
            values.append(calls(layer, calls(joined, *values) if len(values) > 1 else 0))
        calls(joined, *values)
    calls(head, calls.count - 1)
    assert peak(net, net, given) == calls.bound(given)


def test_branches_by_via_need_the_bound() -> None:
    """Each branch is done, and its inner values gone, before the next begins."""
    wide = [nn.Conv2d(4, 32, 1) for _ in range(3)]
    narrow = [nn.Conv2d(32, 4, 1) for _ in range(3)]
    stem, given = nn.Conv2d(3, 4, 1), torch.randn(2, 3, 8, 8)
    branches = [via("s", w, torch.tanh, n) for w, n in zip(wide, narrow, strict=True)]
    net = Sequential(stem, save("s"), take(cat(*branches)), nn.Conv2d(12, 4, 1), add(via("input", stem)))
    calls = Calls()
    s = calls(stem, 0)
    ends = [calls(n, calls(torch.tanh, calls(w, s))) for w, n in zip(wide, narrow, strict=True)]
    value = calls(net._modules["1"], calls(joined, *ends))  # type: ignore[arg-type]
    calls(torch.add, value, calls(stem, 0))
    assert peak(net, net, given) == calls.bound(given)


def test_several_outputs_need_the_bound() -> None:
    layers, given = [conv(3, 8), conv(8, 16), conv(16, 4), conv(4, 2), conv(2, 1)], torch.randn(2, 3, 8, 8)
    net = Sequential(*layers[:2], Sequential(layers[2], save("h"), layers[3]), layers[4], outputs=("h", "3", "0"))
    calls = Calls()
    ends = [0]
    for layer in layers:
        ends.append(calls(layer, ends[-1]))
    assert peak(net, net, given) == calls.bound(given, ends[3], ends[5], ends[1])


def test_values_that_nobody_reads_die_at_once() -> None:
    """The end of a branch that is left, and what inner values a part would give."""
    layers, given = [conv(3, 32), conv(3, 8), conv(8, 2)], torch.randn(2, 3, 8, 8)
    net = Sequential(layers[0], save("nobody"), take("input"), Sequential(layers[1], save("nobody"), layers[2]))
    calls = Calls()
    calls(layers[0], 0)
    calls(layers[2], calls(layers[1], 0))
    assert peak(net, net, given) == calls.bound(given)


def test_tuples_and_picks_need_the_bound() -> None:
    """Of a tuple each part dies at its own last reader."""
    first, second, given = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), torch.randn(2, 3, 8, 8)

    def three(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return value + 1.0, value * 2.0, value - 1.0

    net = Sequential(first, three, save("a", "b", "c"), pick[0], sub("b"), second, second, add("c"), second, second)
    calls = Calls()
    whole = calls(three, calls(first, 0))
    a, b, c = (calls(lambda value, i=i: value[i], whole) for i in range(3))
    value = calls(second, calls(second, calls(torch.sub, a, b)))
    calls(second, calls(second, calls(torch.add, value, c)))
    assert peak(net, net, given) == calls.bound(given)


def test_recorded_values_live_as_outputs_do() -> None:
    layers, given = [conv(3, 8), conv(8, 16), conv(16, 4), conv(4, 1)], torch.randn(2, 3, 8, 8)
    net = Sequential(layers[0], ("part", Sequential(*layers[1:3])), layers[3])
    calls, ends = Calls(), [0]
    for layer in layers:
        ends.append(calls(layer, ends[-1]))
    assert peak(lambda value: net.record(value, "part.0"), net, given) == calls.bound(given, ends[2], ends[4])


@given(unambiguous())
@settings(max_examples=60, phases=[Phase.generate])
def test_random_networks_need_the_bound(network: Network) -> None:
    """Exactly: not a byte more, and the bound is reached."""
    inputs = [torch.randn(3, WIDTH, dtype=torch.float64) for _ in network.inputs]
    assert peak(network.net, network.net, *inputs) == bound_of(network, *inputs)


def test_the_measure_notices_a_value_that_is_kept() -> None:
    """The comparison itself can fail: a layer that keeps its input needs more than the bound."""
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept[:] = [value]
        return value

    layers, given = [conv(3, 8), conv(8, 16), conv(16, 4)], torch.randn(2, 3, 8, 8)
    net = Sequential(layers[0], keep, layers[1], layers[2])
    calls = Calls()
    calls(layers[2], calls(layers[1], calls(layers[0], 0)))
    assert peak(net, net, given) > calls.bound(given)


# --------------------------------------------------------------------------------------------------- who is still alive


class Mark(nn.Module):
    """Remembers its output weakly."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[weakref.ref[Tensor]] = []

    def forward(self, value: Tensor) -> Tensor:
        result = value + 1.0
        self.seen.append(weakref.ref(result))
        return result


class Look(nn.Module):
    """Notes whether the last value of a mark is alive when it is called."""

    def __init__(self, mark: Mark, log: list[bool]) -> None:
        super().__init__()
        self.marks = [mark]
        self.log = log

    def forward(self, value: Tensor) -> Tensor:
        self.log.append(self.marks[0].seen[-1]() is not None)
        return value * 1.0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed but by its last reference."""
    with without_collection():
        yield


READERS: dict[str, Callable[[], Any]] = {
    "add": lambda: add("s"),
    "sub": lambda: sub("s", here),
    "cat": lambda: cat("s", dim=0),
    "take": lambda: take("s"),
    "call": lambda: call(torch.maximum, "s"),
    "call by name": lambda: call(torch.maximum, here, other="s"),
    "via": lambda: add(via("s", torch.tanh)),
    "take of via": lambda: take(via("s", torch.tanh)),
    "a join of joins": lambda: add(here, sub("s", "input")),
    "a part": lambda: Sequential(torch.tanh, add("s")),
    "a plain part": lambda: nn.Sequential(Sequential(add("s"))),
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("home", ["flat", "encoder"])
def test_a_skip_is_freed_right_behind_its_last_reader(reader: Callable[[], Any], home: str) -> None:
    mark, log = Mark(), list[bool]()
    start: list[Any] = [mark, save("s"), torch.sin, Look(mark, log)]
    entries = [*start, torch.sin] if home == "flat" else [Sequential(*start), torch.sin]
    net = Sequential(*entries, torch.cos, reader(), torch.sin, Look(mark, log), torch.cos)
    for _ in range(2):
        with torch.no_grad():
            net(torch.randn(3, 4))
        assert log == [True, False]
        log.clear()


@pytest.mark.usefixtures("no_collector")
def test_the_last_of_several_readers_counts() -> None:
    mark, log = Mark(), list[bool]()
    look = Look(mark, log)
    net = Sequential(
        mark, save("s"), torch.sin, look, add("s"), torch.sin, look,
        Sequential(torch.sin, look, add("s"), torch.sin, look), look,
        ("last", Sequential(Sequential(sub("s"), torch.sin, look), look)), look,
    )  # fmt: skip
    with torch.no_grad():
        net(torch.randn(3, 4))
    assert log == [True, True, True, True, True, False, False, False]


@pytest.mark.usefixtures("no_collector")
def test_the_running_value_dies_when_the_next_is_there() -> None:
    mark, log = Mark(), list[bool]()
    part = Sequential(mark, torch.sin, Look(mark, log), nn.Sequential(nn.Tanh(), Look(mark, log)))
    with torch.no_grad():
        Sequential(torch.sin, part, Look(mark, log), Sequential(part, torch.sin))(torch.randn(3, 4))
    assert log == [False] * 5


@pytest.mark.usefixtures("no_collector")
def test_the_argument_of_a_part_that_is_run_flat_dies_inside_it() -> None:
    """A called container keeps its argument until it returns; one that nobody can tell from its inside does not."""
    mark, log = Mark(), list[bool]()
    part = Sequential(torch.sin, Look(mark, log), torch.sin)
    net = Sequential(mark, part)
    with torch.no_grad():
        net(torch.randn(3, 4))
        assert log == [False]
        handle = part.register_forward_hook(lambda *_: None)
        net(torch.randn(3, 4))
        assert log == [False, True]
        handle.remove()
        net(torch.randn(3, 4))
        assert log == [False, True, False]


@pytest.mark.usefixtures("no_collector")
def test_everything_is_freed_behind_the_end() -> None:
    mark = Mark()
    net = Sequential(torch.sin, mark, save("s"), Sequential(torch.sin, save("t")), add("s"), add("t"), outputs=("s", "t"))
    with torch.no_grad():
        output = net(torch.randn(3, 4))
        assert mark.seen[-1]() is output[0]
        del output
    assert mark.seen[-1]() is None


class Boom(Exception):
    pass


def explode(_: Tensor) -> Tensor:
    raise Boom


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
@pytest.mark.parametrize("failing", ["layer", "shape", "overwritten"])
def test_values_are_dropped_though_something_fails(failing: str, called: bool) -> None:
    """When the error is gone, so are the values: one can try again with a smaller batch."""
    mark = Mark()
    rest = {
        "layer": [explode, add("s")],
        "shape": [lambda value: value[:, :2], add("s")],
        "overwritten": [lambda value: value.view(-1).zero_(), take("s")],
    }[failing]
    inner = Sequential(torch.sin, mark, save("s"), *rest)
    net = Sequential(torch.sin, ("part", inner), torch.sin)
    if called:
        look_on([inner])
    expected = {"layer": Boom, "shape": ShapeError, "overwritten": RuntimeError}[failing]
    for _ in range(2):
        try:
            net(torch.randn(3, 4))
        except expected:
            pass
        else:
            raise AssertionError("nothing failed")
        assert mark.seen[-1]() is None


@pytest.mark.usefixtures("no_collector")
def test_a_network_is_freed_with_its_last_reference() -> None:
    """Its plans and programs hold its layers, and do not hold it."""
    net = Sequential(nn.Linear(4, 4), save("s"), Sequential(nn.Tanh(), add("s")), add("input"))
    net(torch.randn(3, 4))
    net.record(torch.randn(3, 4), "0")
    weight, whole = weakref.ref(net[0].weight), weakref.ref(net)
    del net
    assert whole() is None
    assert weight() is None


# ----------------------------------------------------------------------------------------------------- flat or called


class Own(Sequential):
    """A forward of its own, which passes everything on."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Sub(Sequential):
    """A class of its own, and nothing else."""


def on_instance(module: nn.Module) -> None:
    original = module.forward
    module.forward = lambda *args, **kwargs: original(*args, **kwargs)  # type: ignore[method-assign]


REASONS: dict[str, Callable[[nn.Module], Any]] = {
    "forward hook": lambda part: part.register_forward_hook(lambda *_: None),
    "forward pre-hook": lambda part: part.register_forward_pre_hook(lambda *_: None),
    "backward hook": lambda part: part.register_full_backward_hook(lambda *_: None),
    "backward pre-hook": lambda part: part.register_full_backward_pre_hook(lambda *_: None),
    "forward on the instance": on_instance,
}


def with_part(make: Callable[..., nn.Module] = Sequential) -> tuple[Sequential, nn.Module]:
    part = make(nn.Linear(4, 4), save("t"), nn.Tanh(), cat("s"), nn.Linear(8, 4), add("input"))
    return Sequential(nn.Linear(4, 4), save("s"), nn.Tanh(), ("part", part), add("t"), ("end", nn.Linear(4, 4))), part


@contextmanager
def calls_of(part: nn.Module) -> Iterator[list[Any]]:
    """Whether the forward of a class is reached for this part: the only trace of being called that nobody can tell."""
    log: list[Any] = []
    original = skipseq.run.sequential.execute
    with pytest.MonkeyPatch.context() as patch:

        def execute(root: nn.Module, *args: Any) -> Any:
            if root is part:
                log.append(root)
            return original(root, *args)

        patch.setattr(skipseq.run.sequential, "execute", execute)
        yield log


def outcome(net: nn.Module, value: Tensor) -> list[Tensor]:
    output = net(value)
    leaves = [*net.parameters(), *([value] if value.requires_grad else [])]
    return [output, *torch.autograd.grad(output.square().sum(), leaves)]


def assert_called(net: Sequential, part: nn.Module, times: int) -> None:
    with calls_of(part) as log:
        net(torch.randn(3, 4))
    assert len(log) == times


def test_a_part_that_nobody_looks_at_is_run_flat() -> None:
    net, part = with_part()
    assert_called(net, part, 0)


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_a_part_is_called_where_somebody_could_tell(reason: Callable[[nn.Module], Any]) -> None:
    net, part = with_part()
    value = torch.randn(3, 4, requires_grad=True)
    expected = outcome(net, value)
    handle = reason(part)
    assert_called(net, part, 1)
    for one, other in zip(outcome(net, value), expected, strict=True):
        torch.testing.assert_close(one, other)
    if reason is not on_instance:
        handle.remove()
        assert_called(net, part, 0)
        assert all(torch.equal(a, b) for a, b in zip(outcome(net, value), expected, strict=True))
    if reason is on_instance:
        del part.forward
        assert_called(net, part, 0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_part_is_called_compiled() -> None:
    net, part = with_part()
    value = torch.randn(3, 4)
    expected = net(value)
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    part.compile(backend=backend)
    torch.testing.assert_close(net(value), expected)
    assert len(graphs) == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("cls", [Own, Sub], ids=["own forward", "subclass"])
def test_subclasses(cls: type[Sequential]) -> None:
    """A class with a forward of its own is called; the results are the same for both."""
    net, _ = with_part()
    other, other_part = with_part(cls)
    other.load_state_dict(net.state_dict())
    value = torch.randn(3, 4)
    for one, two in zip(outcome(net, value), outcome(other, value), strict=True):
        torch.testing.assert_close(one, two)
    if cls is Own:
        assert_called(other, other_part, 1)


def test_a_class_that_is_called_in_its_own_way() -> None:
    class Loud(Sequential):
        count = 0

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            Loud.count += 1
            return super().__call__(*args, **kwargs)

    net, _ = with_part(Loud)
    net(torch.randn(3, 4))
    assert Loud.count == 1


def test_a_forward_of_its_own_changes_the_result_as_it_says() -> None:
    class Doubled(Sequential):
        def forward(self, value: Tensor) -> Tensor:
            return 2 * super().forward(value)

    part = Doubled(nn.Linear(4, 4), nn.Tanh())
    net, value = Sequential(nn.Linear(4, 4), part), torch.randn(3, 4)
    torch.testing.assert_close(net(value), 2 * part[1](part[0](net[0](value))))


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward"])
def test_global_hooks_see_every_part(kind: str) -> None:
    net, part = with_part()
    value, seen = torch.randn(3, 4, requires_grad=True), []
    expected = outcome(net, value)
    register = getattr(torch.nn.modules.module, f"register_module_{kind}_hook")
    handle = register(lambda module, *_: seen.append(module))
    try:
        result = outcome(net, value)
    finally:
        handle.remove()
    assert part in seen
    assert net in seen
    for one, other in zip(result, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert_called(net, part, 0)


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
@pytest.mark.parametrize("fault", ["layer", "shape"])
def test_errors_and_paths_are_the_same(reason: Callable[[nn.Module], Any], fault: str) -> None:
    bad = [nn.Linear(3, 3)] if fault == "layer" else [nn.Linear(4, 3), add("s")]

    def build() -> Sequential:
        return Sequential(nn.Linear(4, 4), save("s"), ("part", Sequential(nn.Tanh(), ("deep", Sequential(*bad)))))

    told = []
    for net, change in ((build(), None), (build(), net_part), (build(), net_deep)):
        if change is not None:
            reason(change(net))
        with pytest.raises(RuntimeError) as caught:
            net(torch.zeros(3, 4))
        told.append((type(caught.value), str(caught.value), getattr(caught.value, "__notes__", [])))
    assert told[0] == told[1] == told[2]
    assert "net.part.deep" in told[0][1] + "".join(told[0][2])


def net_part(net: Sequential) -> nn.Module:
    return net.get_submodule("part")


def net_deep(net: Sequential) -> nn.Module:
    return net.get_submodule("part.deep")
