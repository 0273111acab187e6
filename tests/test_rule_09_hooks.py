"""Rule 9: every kind of hook on nested containers fires, as often and in the order that the modules say, and takes effect."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.modules.module as torch_module
from torch import Tensor, nn

from skipseq import Sequential, add, cat, save, via
from skipseq.declare.words import Word

from .citizen_networks import NETWORKS, Network, images, outcome, separate, vectors

each_network = pytest.mark.parametrize("name", list(NETWORKS))
Event = tuple[str, str]


def evaluated(name: str) -> tuple[Network, Sequential, nn.Module]:
    network = NETWORKS[name]
    net, hand = network.pair()
    return network, net.eval(), hand.eval()


def modules_by_path(net: nn.Module) -> dict[str, nn.Module]:
    """Everything that is called; words are not, the layers in them are."""
    return {path: module for path, module in net.named_modules() if not isinstance(module, Word)}


def calls_in_order(module: nn.Module, path: str = "") -> Iterator[Event]:
    """What the children of a container tell about the order of the calls: these networks hold their layers in it."""
    if not isinstance(module, Word):
        yield "pre", path
    for key, child in module.named_children():
        yield from calls_in_order(child, f"{path}.{key}".lstrip("."))
    if not isinstance(module, Word):
        yield "post", path


# Forward hooks


def note(events: list[Event], kind: str, path: str) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        events.append((kind, path))

    return hook


KINDS: dict[str, Callable[[nn.Module, list[Event], str], Any]] = {
    "plain": lambda module, events, path: (
        module.register_forward_pre_hook(note(events, "pre", path)),
        module.register_forward_hook(note(events, "post", path)),
    ),
    "with keywords": lambda module, events, path: (
        module.register_forward_pre_hook(note(events, "pre", path), with_kwargs=True),
        module.register_forward_hook(note(events, "post", path), with_kwargs=True),
    ),
    "always called": lambda module, events, path: (
        module.register_forward_pre_hook(note(events, "pre", path)),
        module.register_forward_hook(note(events, "post", path), always_call=True),
    ),
    "before others": lambda module, events, path: (
        module.register_forward_pre_hook(note(events, "pre", path), prepend=True),
        module.register_forward_hook(note(events, "post", path), prepend=True),
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
@each_network
def test_forward_hooks_fire_in_order(name: str, kind: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    events: list[Event] = []
    for path, module in modules_by_path(net).items():
        KINDS[kind](module, events, path)
    outcome(net, x).same(outcome(hand, x))
    assert events == list(calls_in_order(net))


@each_network
def test_a_hook_on_one_part_fires_there_alone(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    for path in network.parts:
        events: list[Event] = []
        handles = KINDS["plain"](net.get_submodule(path), events, path)
        for _ in range(2):
            torch.testing.assert_close(net(*x), hand(*x))
        assert events == [("pre", path), ("post", path)] * 2
        for handle in handles:
            handle.remove()
        net(*x)
        assert len(events) == 4


def calls_of_forward(run: Callable[[], Any]) -> int:
    """How many of our containers were called as modules."""
    count = 0

    def profile(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code is Sequential.forward.__code__

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def test_parts_are_run_in_place_again_without_hooks() -> None:
    net, x = separate().eval(), images()
    assert calls_of_forward(lambda: net(*x)) == 1
    handle = net.encoder.register_forward_hook(lambda *_: None)
    assert calls_of_forward(lambda: net(*x)) == 2
    other = torch_module.register_module_forward_hook(lambda *_: None)
    try:
        assert calls_of_forward(lambda: net(*x)) == 4
    finally:
        other.remove()
    assert calls_of_forward(lambda: net(*x)) == 2
    handle.remove()
    assert calls_of_forward(lambda: net(*x)) == 1


def test_a_hook_sees_what_a_part_takes_and_gives() -> None:
    """The needs as keywords; the result and then the values that are read outside."""
    net, (x,) = separate().eval(), images()
    y, values = net.encoder.record(x, "conv", "e1", "e2")
    bridged = net.bridge(y)
    seen: dict[str, Any] = {}

    def look(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        path = next(path for path, each in net.named_modules() if each is module)
        seen[path] = args, kwargs, output

    for path in ("encoder", "bridge", "decoder"):
        net.get_submodule(path).register_forward_hook(look, with_kwargs=True)
    net(x)
    (args, _, output) = seen["encoder"]
    torch.testing.assert_close(args, (x,))
    assert isinstance(output, tuple)
    torch.testing.assert_close(output[0], y)
    assert {id(each) for each in output[1:]} >= {id(seen["decoder"][1]["e1"]), id(seen["decoder"][1]["e2"])}
    torch.testing.assert_close(seen["bridge"], ((y,), {}, bridged))
    args, kwargs, output = seen["decoder"]
    torch.testing.assert_close(args, (bridged,))
    torch.testing.assert_close(kwargs, {"e1": values["e1"], "e2": values["e2"]})
    torch.testing.assert_close(output, net.decoder(bridged, e1=values["e1"], e2=values["e2"]))


def by_parts(net: Sequential, x: Tensor, change: Callable[[str, Any], Any]) -> Tensor:
    """The network, its parts called by hand; each value passes through ``change``."""
    y, values = net.encoder.record(x, "conv", "e1", "e2")
    y, values = change("encoder", (y, values))
    y = change("bridge", net.bridge(y))
    y = change("decoder", net.decoder(y, e1=values["e1"], e2=values["e2"]))
    return net.head(y + net.get_submodule("side.0")(values["conv"]))


def test_a_hook_changes_the_result_of_a_part() -> None:
    net, (x,) = separate().eval(), images()
    for part in ("bridge", "decoder"):
        expected = by_parts(net, x, lambda path, value, part=part: value * 3 if path == part else value)
        plain = net(x)
        handle = net.get_submodule(part).register_forward_hook(lambda module, args, output: output * 3)
        torch.testing.assert_close(net(x), expected)
        assert not torch.allclose(expected, plain)
        handle.remove()
        torch.testing.assert_close(net(x), plain)


def test_a_hook_changes_the_skips_that_a_part_gives() -> None:
    net, (x,) = separate().eval(), images()

    def skips_halved(path: str, value: Any) -> Any:
        return (value[0], {name: each / 2 for name, each in value[1].items()}) if path == "encoder" else value

    expected, plain = by_parts(net, x, skips_halved), net(x)
    net.encoder.register_forward_hook(lambda module, args, output: (output[0], *(each / 2 for each in output[1:])))
    torch.testing.assert_close(net(x), expected)
    assert not torch.allclose(expected, plain)


def test_a_hook_changes_what_a_part_takes() -> None:
    net, (x,) = separate().eval(), images()
    plain = net(x)

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        return (args[0] * 2,), {**kwargs, "e1": kwargs["e1"] * 0}

    y, values = net.encoder.record(x, "conv", "e1", "e2")
    y = net.decoder(net.bridge(y) * 2, e1=values["e1"] * 0, e2=values["e2"])
    expected = net.head(y + net.get_submodule("side.0")(values["conv"]))
    net.decoder.register_forward_pre_hook(before, with_kwargs=True)
    torch.testing.assert_close(net(x), expected)
    assert not torch.allclose(expected, plain)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("told to")


def test_a_hook_that_is_always_called_hears_of_an_exception() -> None:
    part = Sequential(nn.Linear(4, 4), save("a"), Failing())
    net = Sequential(nn.Linear(4, 4), ("part", part), cat("a"))
    events: list[Event] = []
    part.register_forward_hook(note(events, "always", "part"), always_call=True)
    part.register_forward_hook(note(events, "usual", "part"))
    with pytest.raises(ValueError, match="told to"):
        net(torch.zeros(1, 4))
    assert events == [("always", "part")]


def test_a_forward_of_its_own_takes_effect() -> None:
    """Set on the instance, as wrappers do."""
    network, net, hand = evaluated("separate")
    x = network.inputs()
    seen = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        seen.append(sorted(name for name in kwargs if name.isidentifier()))
        return type(net.decoder).forward(net.decoder, *args, **kwargs)

    net(*x)
    net.decoder.forward = forward
    outcome(net, x).same(outcome(hand, x))
    assert seen == [["e1", "e2"]]
    del net.decoder.forward
    outcome(net, x).same(outcome(hand, x))
    assert len(seen) == 1


# Backward hooks


@pytest.mark.parametrize("where", ["everywhere", "parts"])
@each_network
def test_backward_hooks_fire_once_each_around_their_inside(name: str, where: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    expected = outcome(hand, x)
    events: list[Event] = []
    modules = modules_by_path(net)
    if where == "parts":
        modules = {path: net.get_submodule(path) for path in network.parts}
    for path, module in modules.items():
        module.register_full_backward_pre_hook(note(events, "pre", path))
        module.register_full_backward_hook(note(events, "post", path))
    outcome(net, x).same(expected)
    assert sorted(events) == sorted((kind, path) for path in modules for kind in ("pre", "post"))
    when = {event: i for i, event in enumerate(events)}
    for path in modules:
        assert when["pre", path] < when["post", path]
        for outer in modules:
            if path.startswith(f"{outer}." if outer else "") and path != outer:
                assert when["pre", outer] < when["pre", path]
                assert when["post", path] < when["post", outer]


def test_a_backward_hook_changes_the_gradient() -> None:
    net, hand = NETWORKS["separate"].pair()
    net.eval(), hand.eval()
    x = images()
    net.bridge.register_full_backward_hook(lambda module, given, taken: (given[0] * 2,))
    (changed, plain) = outcome(net, x), outcome(hand, x)
    torch.testing.assert_close(changed.output, plain.output)
    pairs = list(zip(changed.parameters, plain.parameters, strict=True))
    differing = [i for i, (one, other) in enumerate(pairs) if not torch.allclose(one, other)]  # type: ignore[arg-type]
    # Behind the bridge nothing changes; before it, the layers of the encoder.
    assert differing == [0, 1, 2, 3, 4, 5]


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook:FutureWarning")
def test_the_old_kind_of_backward_hook() -> None:
    network, net, hand = evaluated("recursive")
    events: list[Event] = []
    for path in network.parts:
        net.get_submodule(path).register_backward_hook(note(events, "post", path))
    x = network.inputs()
    outcome(net, x).same(outcome(hand, x))
    assert sorted(events) == sorted(("post", path) for path in network.parts)


# Hooks for all modules


def global_hooks(events: list[Event], paths: dict[int, str]) -> list[Any]:
    """Hooks of all kinds; a plain sequence that a skip crosses is called by a stand-in, the only module not known here."""

    def noting(kind: str) -> Callable[..., None]:
        return lambda module, *_: events.append((kind, paths.get(id(module), "encoder")))

    return [
        torch_module.register_module_forward_pre_hook(noting("pre")),
        torch_module.register_module_forward_hook(noting("post")),
        torch_module.register_module_full_backward_pre_hook(noting("backward pre")),
        torch_module.register_module_full_backward_hook(noting("backward post")),
    ]


@each_network
def test_hooks_for_all_modules(name: str) -> None:
    network, net, hand = evaluated(name)
    x = network.inputs()
    expected = outcome(hand, x)
    modules = modules_by_path(net)
    events: list[Event] = []
    handles = global_hooks(events, {id(module): path for path, module in modules.items()})
    try:
        outcome(net, x).same(expected)
    finally:
        for handle in handles:
            handle.remove()
    forward = [event for event in events if not event[0].startswith("backward")]
    assert forward == list(calls_in_order(net))
    backward = sorted(event for event in events if event[0].startswith("backward"))
    assert backward == sorted((kind, path) for path in modules for kind in ("backward pre", "backward post"))
    outcome(net, x).same(expected)
    assert len(events) == 4 * len(modules)


# Hooks of states


def test_hooks_of_states() -> None:
    net = separate()
    events: list[Event] = []
    for path in ("", "encoder", "decoder"):
        module = net.get_submodule(path)
        module.register_state_dict_pre_hook(note(events, "save pre", path))
        module.register_state_dict_post_hook(note(events, "save post", path))
        module.register_load_state_dict_pre_hook(note(events, "load pre", path))
        module.register_load_state_dict_post_hook(note(events, "load post", path))
    state = net.state_dict()
    saved = [("save pre", ""), ("save pre", "encoder"), ("save post", "encoder")]
    saved += [("save pre", "decoder"), ("save post", "decoder"), ("save post", "")]
    assert events == saved
    events.clear()
    net.load_state_dict(state)
    assert [event for event in events if event[0] == "load pre"] == [("load pre", path) for path in ("", "encoder", "decoder")]
    assert [event for event in events if event[0] == "load post"] == [
        ("load post", path) for path in ("encoder", "decoder", "")
    ]


def test_a_hook_on_a_function_and_on_a_layer_inside_a_word() -> None:
    _, net, hand = evaluated("conditioned")
    x = vectors()
    function = next(module for module in net.modules() if "maximum" in repr(module) and not module._modules)
    events: list[Event] = []
    handle = function.register_forward_hook(note(events, "post", "maximum"))
    torch.testing.assert_close(net(*x), hand(*x))
    assert events == [("post", "maximum")]
    handle.remove()
    function.register_forward_hook(lambda module, args, output: output * 0)
    torch.testing.assert_close(net(*x), net.head.bias.expand(2, -1))

    inner = nn.Linear(4, 4)
    net = Sequential(nn.Linear(4, 4), add(via("input", inner)))
    inner.register_forward_hook(lambda module, args, output: output * 0)
    x = (torch.randn(2, 4),)
    torch.testing.assert_close(net(*x), net[0](*x))
