"""Rule 1: a sequence without words behaves as nn.Sequential, and a checkpoint of the plain network loads.

The first half are the behaviours that PyTorch's own tests of ``nn.Sequential`` check, for both classes side by side.
"""

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, cat, here, pick, save, sub, take, via

Kind = type[nn.Sequential]

both = pytest.mark.parametrize("kind", [nn.Sequential, Sequential], ids=["torch", "skipseq"])


def layers(count: int = 4) -> list[nn.Module]:
    """Linear layers that fit one behind the other."""
    return [nn.Linear(i + 1, i + 2) for i in range(count)]


def holds(net: nn.Sequential, *expected: nn.Module) -> bool:
    """Whether the sequence holds exactly these layers, counted, iterated, indexed and numbered in this order."""
    return (
        len(net) == len(expected)
        and all(one is other for one, other in zip(net, expected, strict=True))
        and all(net[i] is layer for i, layer in enumerate(expected))
        and all(one is other for one, other in zip(net.children(), dict.fromkeys(expected), strict=True))
    )


def keys_of(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_children()]


# ------------------------------------------------------------------------------------ what PyTorch's tests check


@both
def test_getitem(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c, d)
    assert holds(net, a, b, c, d)
    assert net[-1] is d
    assert net[torch.tensor(3, dtype=torch.int64)] is d  # type: ignore[index]
    assert holds(net[1:], b, c, d)
    assert holds(net[3:], d)
    assert holds(net[:-1], a, b, c)
    assert holds(net[:-3], a)
    assert holds(net[::-1], d, c, b, a)
    assert holds(net[4:])


@both
@pytest.mark.parametrize("index", [4, -5, 100])
def test_getitem_out_of_range(kind: Kind, index: int) -> None:
    net = kind(*layers())
    with pytest.raises(IndexError):
        net[index]
    with pytest.raises(IndexError):
        net[index] = nn.ReLU()
    with pytest.raises(IndexError):
        del net[index]
    assert len(net) == 4


@pytest.mark.parametrize("part", [slice(1, None), slice(None, 2), slice(None, None, -1), slice(1, 3), slice(0, 0)], ids=str)
def test_slices_keep_the_keys(part: slice) -> None:
    given = layers()
    assert keys_of(Sequential(*given)[part]) == keys_of(nn.Sequential(*given)[part])


@both
def test_setitem(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c)
    net[0] = d
    net[-1] = d
    net[torch.tensor(1, dtype=torch.int16)] = a  # type: ignore[index]
    assert [*net] == [d, a, d]
    assert [net[0], net[1], net[2]] == [d, a, d]


@both
def test_setitem_named(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(OrderedDict([("linear1", a), ("linear2", b), ("linear3", c)]))
    net[0] = d
    net[-1] = d
    assert net.linear1 is d
    assert net.linear2 is b
    assert net.linear3 is d


@both
def test_delitem(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c, d)
    del net[-1]
    assert holds(net, a, b, c)
    del net[1::2]
    assert holds(net, a, c)
    assert keys_of(net) == ["0", "1"]
    del net[0]
    assert holds(net, c)
    assert keys_of(net) == ["0"]


@both
def test_add(kind: Kind) -> None:
    a, b, c, d = layers()
    first, second = kind(a, b), kind(c, d)
    assert holds(first + second, a, b, c, d)
    assert keys_of(first + second) == ["0", "1", "2", "3"]
    assert holds(first, a, b)
    assert holds(second, c, d)


@both
def test_iadd(kind: Kind) -> None:
    a, b, c, d = layers()
    first = same_first = kind(a, b, c)
    second = kind(d)
    first += second
    second += first
    assert first is same_first
    assert holds(first, a, b, c, d)
    assert len(second) == 5
    assert [*second] == [d, a, b, c, d]


@both
@pytest.mark.parametrize("other", [[nn.ReLU()], nn.ReLU(), 3, None, nn.ModuleList([nn.ReLU()])], ids=repr)
def test_add_takes_sequences_only(kind: Kind, other: Any) -> None:
    net = kind(*layers(2))
    with pytest.raises((ValueError, TypeError)):
        net + other
    with pytest.raises((ValueError, TypeError)):
        net += other
    assert len(net) == 2


@both
def test_mul(kind: Kind) -> None:
    given = layers()
    net = kind(*given)
    for twice in (net * 2, 2 * net):
        assert [*twice] == given * 2
        assert list(twice._modules) == [str(i) for i in range(8)]
    assert holds(net, *given)
    assert holds(net * 1, *given)
    assert net * 1 is not net


@both
def test_imul(kind: Kind) -> None:
    given = layers()
    net = same = kind(*given)
    net *= 2
    assert [*net] == given * 2
    net *= 2
    assert [*net] == given * 4
    assert net is same
    net *= 1
    assert len(net) == 16


@both
@pytest.mark.parametrize(("factor", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_mul_by_what_is_no_count(kind: Kind, factor: Any, error: type[Exception]) -> None:
    net = kind(*layers())
    with pytest.raises(error):
        net * factor
    with pytest.raises(error):
        factor * net
    with pytest.raises(error):
        net *= factor
    assert len(net) == 4


@both
def test_append(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c)
    assert net.append(d) is net
    assert holds(net, a, b, c, d)
    assert holds(kind(a).append(b).append(d), a, b, d)


@both
def test_pop(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c, d)
    assert net.pop(3) is d
    assert holds(net, a, b, c)
    assert net.pop(0) is a
    assert holds(net, b, c)
    assert keys_of(net) == ["0", "1"]
    assert net.pop(-1) is c
    assert holds(net, b)


@both
def test_insert(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b, c)
    assert net.insert(1, d) is net
    assert holds(net, a, d, b, c)
    assert keys_of(net) == ["0", "1", "2", "3"]
    assert holds(kind(a, b, c).insert(-2, d), a, d, b, c)
    assert holds(kind(a, b, c).insert(3, d), a, b, c, d)
    assert holds(kind(a, b, c).insert(0, d), d, a, b, c)


@both
def test_insert_fail_case(kind: Kind) -> None:
    given = layers(3)
    net = kind(*given)
    with pytest.raises(IndexError):
        net.insert(-5, nn.Linear(5, 6))
    with pytest.raises(IndexError):
        net.insert(4, nn.Linear(5, 6))
    with pytest.raises(AssertionError):
        net.insert(1, [nn.Linear(6, 7)])  # type: ignore[arg-type]
    assert holds(net, *given)


@both
def test_extend(kind: Kind) -> None:
    a, b, c, d = layers()
    net = kind(a, b)
    assert net.extend(kind(c, d)) is net
    assert holds(net, a, b, c, d)
    assert holds(kind(a).extend([b, c]), a, b, c)
    assert holds(kind(a).extend(iter((b, c))), a, b, c)
    assert holds(kind(a).extend([]), a)


@both
@pytest.mark.parametrize("wrong", ["relu", 3, [nn.ReLU()], nn.ReLU], ids=repr)
def test_what_is_no_layer_is_a_type_error(kind: Kind, wrong: Any) -> None:
    with pytest.raises(TypeError):
        kind(nn.ReLU(), wrong)
    net = kind(nn.ReLU())
    with pytest.raises((TypeError, AssertionError)):
        net.append(wrong)
    assert len(net) == 1


@both
def test_empty(kind: Kind) -> None:
    net = kind()
    x = torch.ones(2)
    assert len(net) == 0
    assert [*net] == []
    assert net(x) is x
    assert net.append(nn.ReLU()) is net
    assert keys_of(net) == ["0"]
    with pytest.raises(IndexError):
        kind().pop(0)


@both
def test_dir_has_names_but_no_numbers(kind: Kind) -> None:
    assert "0" not in dir(kind(nn.Linear(2, 2)))
    assert "linear" in dir(kind(OrderedDict(linear=nn.Linear(2, 2))))


@both
def test_values_of_any_kind_pass(kind: Kind) -> None:
    """A dict, a tuple and nothing at all may run through a sequence."""

    class Into(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"value": x, "more": (x, None)}

    class Out(nn.Module):
        def forward(self, given: dict[str, Any]) -> Any:
            return given["more"]

    x = torch.ones(2)
    value, nothing = kind(Into(), nn.Identity(), Out())(x)
    assert value is x
    assert nothing is None
    assert kind(nn.Identity())(None) is None


@both
def test_input_by_keyword(kind: Kind) -> None:
    x = torch.ones(2)
    assert kind(nn.Identity())(input=x) is x
    with pytest.raises(TypeError):
        kind(nn.Identity())()
    with pytest.raises(TypeError):
        kind(nn.Identity())(x, x)
    with pytest.raises(TypeError):
        kind(nn.Identity())(x, other=x)


@both
def test_a_layer_that_is_none_is_not_skipped(kind: Kind) -> None:
    """Torch lets a layer be set to None, and then the call fails: a layer is never dropped silently."""
    net = kind(OrderedDict(a=nn.Linear(2, 2), b=nn.ReLU()))
    net.b = None
    with pytest.raises(TypeError):
        net(torch.ones(1, 2))


# -------------------------------------------------------------------- the rest of nn.Module, both classes compared


def pair() -> tuple[nn.Sequential, Sequential]:
    """Equal networks, nested and with one shared layer, of the plain class and of ours."""

    def build(kind: Kind) -> Any:
        torch.manual_seed(1)
        shared = nn.Linear(4, 4)
        inner = kind(OrderedDict(norm=nn.BatchNorm1d(4), drop=nn.Dropout(0.5)))
        return kind(OrderedDict([("first", shared), ("inner", inner), ("act", nn.ReLU()), ("last", shared)]))

    return build(nn.Sequential), build(Sequential)


def test_names_of_everything() -> None:
    plain, ours = pair()
    for method in ("named_modules", "named_children", "named_parameters", "named_buffers"):
        assert [name for name, _ in getattr(ours, method)()] == [name for name, _ in getattr(plain, method)()], method
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert ours.get_submodule("inner.norm") is ours.inner.norm


def test_outputs_gradients_and_random_numbers() -> None:
    plain, ours = pair()
    x = torch.randn(8, 4)
    results = []
    for net in (plain, ours):
        torch.manual_seed(3)
        y = net(x)
        y.square().sum().backward()
        results.append([y, *(each.grad for each in net.parameters()), *net.buffers()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@both
def test_training_eval_and_apply(kind: Kind) -> None:
    net = kind(nn.Linear(2, 2), kind(nn.Dropout(), nn.ReLU()))
    assert net.eval() is net
    assert not any(each.training for each in net.modules())
    assert net.train() is net
    assert all(each.training for each in net.modules())
    seen: list[nn.Module] = []
    assert net.apply(seen.append) is net
    assert seen == [net[0], net[1][0], net[1][1], net[1], net]
    assert not any(each.requires_grad for each in net.requires_grad_(False).parameters())


@both
def test_conversion(kind: Kind) -> None:
    net = kind(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    assert net(torch.zeros(3, 2, dtype=torch.float64)).dtype == torch.float64
    assert net.to("meta")(torch.zeros(3, 2, dtype=torch.float64, device="meta")).is_meta


@both
def test_copies(kind: Kind) -> None:
    net = kind(nn.Linear(2, 2), nn.Tanh())
    x = torch.randn(3, 2)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(twin) is kind
        assert twin[0] is not net[0]
        assert torch.equal(twin(x), net(x))
    shallow = copy.copy(net)
    assert shallow[0] is net[0]
    assert torch.equal(shallow(x), net(x))


@both
def test_hooks(kind: Kind) -> None:
    net = kind(nn.Linear(2, 2), kind(nn.ReLU()))
    seen: list[nn.Module] = []
    for module in net.modules():
        module.register_forward_hook(lambda module, args, output: seen.append(module))
    net(torch.zeros(1, 2))
    assert seen == [net[0], net[1][0], net[1], net]


@both
def test_subclasses(kind: Kind) -> None:
    """A subclass with a constructor or a forward of its own works as one of nn.Sequential."""

    class Block(kind):  # type: ignore[valid-type, misc]
        def __init__(self, width: int) -> None:
            super().__init__(nn.Linear(width, width), nn.ReLU())
            self.scale = nn.Parameter(torch.full((), 2.0))

        def forward(self, input: Tensor) -> Any:
            return super().forward(input) * self.scale

    block = Block(3)
    x = torch.randn(2, 3)
    expected = block[1](block[0](x)) * 2
    assert torch.equal(block(x), expected)
    assert torch.equal(kind(block, nn.Identity())(x), expected)
    assert list(block.state_dict()) == ["scale", "0.weight", "0.bias"]


def test_it_is_one() -> None:
    net = Sequential(nn.ReLU())
    assert isinstance(net, nn.Sequential)
    assert isinstance(Sequential(nn.ReLU(), add("input")), nn.Sequential)
    assert type(net + nn.Sequential(nn.ReLU())) is Sequential
    assert type(net[:1]) is type(net * 2) is type(2 * net) is Sequential


# ------------------------------------------------------------------------------------------------ the constructor


@pytest.mark.parametrize("build", [dict, OrderedDict], ids=["dict", "OrderedDict"])
def test_dict_of_entries(build: Callable[..., Any]) -> None:
    entries = [("conv", nn.Linear(3, 3)), ("label", save("x1")), ("act", nn.ReLU()), ("join", add("x1"))]
    net = Sequential(build(entries))
    assert keys_of(net) == ["conv", "label", "act", "join"]
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]
    x = torch.randn(2, 3)
    assert torch.equal(net(x), net.conv(x).relu() + net.conv(x))


def test_pairs_and_functions() -> None:
    net = Sequential(("lin", nn.Linear(2, 2)), torch.tanh, ("act", torch.relu), nn.Linear(2, 2))
    assert keys_of(net) == ["lin", "1", "act", "3"]
    x = torch.randn(3, 2)
    assert torch.equal(net(x), net[3](torch.relu(torch.tanh(net.lin(x)))))


def test_named_entries_count_as_torch_counts() -> None:
    """An unnamed layer has the number of its place among the layers: a user who names one layer loses no checkpoint."""
    net = Sequential(nn.Linear(2, 2), ("mid", nn.Linear(2, 2)), nn.Linear(2, 2))
    assert keys_of(net) == ["0", "mid", "2"]


def test_keys_of_everything() -> None:
    net = Sequential(
        nn.Linear(4, 4),
        save("a"),
        ("mid", nn.Linear(4, 4)),
        torch.relu,
        call(nn.Bilinear(4, 4, 4), "a"),
        sub("a"),
        ("attend", call(nn.Bilinear(4, 4, 4), "a")),
        pick[:, :2],
        nn.Linear(2, 4),
        take("mid"),
        ("down", cat(here, via("a", nn.Linear(4, 4, bias=False)), via("a", nn.Linear(4, 4)), dim=0)),
        add(via("a", nn.Linear(4, 4, bias=False), nn.LayerNorm(4))),
        nn.Linear(4, 4),
    )
    layer_keys = [key for key in net._modules if key.isdigit() or key in ("mid", "attend")]
    assert layer_keys == ["0", "mid", "2", "3", "attend", "5", "6"]
    assert list(net.state_dict()) == [
        *("0.weight", "0.bias", "mid.weight", "mid.bias", "3.weight", "3.bias", "attend.weight", "attend.bias"),
        *("5.weight", "5.bias", "down.0.weight", "down.1.weight", "down.1.bias"),
        *("add_0.0.weight", "add_0.1.weight", "add_0.1.bias", "6.weight", "6.bias"),
    ]


def test_joins_with_layers_are_counted_by_kind() -> None:
    def shortcut() -> Any:
        return via("input", nn.Linear(2, 2, bias=False))

    net = Sequential(add(shortcut()), cat(shortcut(), dim=0), add(here, shortcut(), shortcut(), broadcast=True))
    assert list(net.state_dict()) == ["add_0.0.weight", "cat_0.0.weight", "add_1.0.weight", "add_1.1.weight"]


# --------------------------------------------------------------------------------------------------- checkpoints


def plain_and_skips() -> tuple[nn.Sequential, Sequential]:
    def given() -> list[nn.Module]:
        return [
            nn.Linear(4, 6),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Sequential(nn.Linear(6, 6), nn.ReLU()),
            nn.Linear(6, 4),
        ]

    a, b, c, d, e = given()
    net = Sequential(a, save("x1"), b, c, add("x1"), d, add(here, "x1", "2"), call(e, here), add("input"))
    return nn.Sequential(*given()), net


def test_a_checkpoint_of_the_plain_network_loads() -> None:
    plain, net = plain_and_skips()
    assert list(net.state_dict()) == list(plain.state_dict())
    net.load_state_dict(plain.state_dict(), strict=True)
    for one, other in zip(net.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_and_one_of_the_network_with_skips_loads_back() -> None:
    plain, net = plain_and_skips()
    plain.load_state_dict(net.state_dict(), strict=True)
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_optimizers_see_the_same_parameters() -> None:
    plain, net = plain_and_skips()
    assert [name for name, _ in net.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in net.named_buffers()] == [name for name, _ in plain.named_buffers()]


# ------------------------------------------------------------------------------------------------- Sequential.of


def test_of_changes_nothing_else() -> None:
    plain, _ = pair()
    plain.eval()
    net = Sequential.of(plain)
    assert type(net) is Sequential
    assert [*net] == [*plain]
    assert list(net.state_dict()) == list(plain.state_dict())
    assert not net.training
    x = torch.randn(3, 4)
    assert torch.equal(net(x), plain(x))
    assert net.first is plain.first
    assert type(plain) is nn.Sequential


def test_of_with_skips_keeps_keys_and_leaves_the_old_alone() -> None:
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(8, 2))
    net = Sequential.of(plain, skips={"2": add("0"), "4": cat("1", here), "output": add(via("2", nn.Linear(4, 2)))})
    assert [net._modules[key] for key in "01234"] == [*plain]
    keys = [key for key in net.state_dict() if not key.startswith("add")]
    assert keys == list(plain.state_dict())
    assert len(plain) == 5
    assert keys_of(plain) == ["0", "1", "2", "3", "4"]


def test_of_with_skips_runs_the_word_before_the_layer() -> None:
    plain = nn.Sequential(OrderedDict(linear2=nn.Linear(3, 5), act=nn.ReLU(), linear4=nn.Linear(10, 2)))
    net = Sequential.of(plain, skips={"linear4": cat("linear2", here)})
    x = torch.randn(2, 3)
    h = plain.linear2(x)
    assert torch.equal(net(x), plain.linear4(torch.cat([h, h.relu()], 1)))
    same = Sequential(OrderedDict(plain.named_children()), skips={"linear4": cat("linear2", here)})
    assert torch.equal(same(x), net(x))


def test_of_keeps_hooks_and_edits_are_its_own() -> None:
    plain = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    plain.register_forward_hook(lambda module, args, output: output + 1)
    net = Sequential.of(plain)
    x = torch.randn(3, 2)
    assert torch.equal(net(x), plain[1](plain[0](x)) + 1)
    net.append(nn.Tanh())
    assert len(plain) == 2
    plain.append(nn.Sigmoid())
    assert len(net) == 3


def test_of_a_subclass_with_a_forward_of_its_own_is_refused() -> None:
    class Doubled(nn.Sequential):
        def forward(self, input: Tensor) -> Any:
            return 2 * super().forward(input)

    with pytest.raises(ValueError, match=r"Sequential\.of"):
        Sequential.of(Doubled(nn.ReLU()))
    with pytest.raises(ValueError, match=r"Sequential\.of"):
        Sequential.of(nn.Linear(2, 2))  # type: ignore[arg-type]
