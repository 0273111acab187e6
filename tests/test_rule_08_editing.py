"""Rule 8: operators keep class and skips, references follow the layer, and an edit that breaks a skip is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Residual, Sequential, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.errors import CallError, SkipseqError, WiringError

from .helpers import linear, look_on, x


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-6)


@dataclass
class Snapshot:
    """All that an edit may change: keys, children, text, output."""

    keys: list[str]
    children: list[nn.Module | None]
    text: str
    value: Tensor
    output: Any

    @classmethod
    def of(cls, net: nn.Sequential) -> "Snapshot":
        value = x()
        return cls(list(net._modules), list(net._modules.values()), repr(net), value, net(value))

    def verify(self, net: nn.Sequential) -> None:
        assert list(net._modules) == self.keys
        assert all(one is other for one, other in zip(net._modules.values(), self.children, strict=True))
        assert repr(net) == self.text
        assert torch.equal(net(self.value), self.output)


def refuse(net: nn.Sequential, edit: Callable[[Any], object], match: str | None = None) -> str:
    """The edit is refused, and the sequence is exactly what it was."""
    before = Snapshot.of(net)
    with pytest.raises(WiringError, match=match) as caught:
        edit(net)
    before.verify(net)
    return str(caught.value)


def iadd(net: Any, other: Any) -> None:
    net += other


def imul(net: Any, count: int) -> None:
    net *= count


def setitem(net: Any, index: int, entry: Any) -> None:
    net[index] = entry


def delitem(net: Any, index: int | slice) -> None:
    del net[index]


def skip_net() -> Sequential:
    """Five entries: a skip by label from [1] to [3]."""
    return Sequential(linear(), save("x1"), nn.Tanh(), add("x1"), linear())


def by_number() -> Sequential:
    """A skip by the number of a layer."""
    return Sequential(linear(), nn.Tanh(), linear(), add("0"))


def by_name() -> Sequential:
    return Sequential(("first", linear()), nn.Tanh(), linear(), add("first"))


# ---------------------------------------------------------------------------------------------- methods, one by one


def test_append_a_layer_and_a_word() -> None:
    net = skip_net()
    value = x()
    before = net(value)
    last = linear()
    assert net.append(last) is net
    assert net[-1] is last
    assert torch.equal(net(value), last(before))
    net.append(mul("x1"))
    assert torch.equal(net(value), last(before) * net[0](value))
    net.append(("tail", torch.relu)).append(pick[:, :2])
    assert list(net._modules)[-2] == "tail"
    assert net(value).shape == (3, 2)


def test_append_a_call_counts_as_one_entry() -> None:
    net = skip_net()
    layer = nn.Bilinear(4, 4, 4)
    net.append(call(layer, "x1"))
    assert len(net) == 6
    value = x()
    assert torch.equal(net(value), layer(net[:5](value), net[0](value)))
    assert list(net.state_dict())[-2:] == ["3.weight", "3.bias"]


@pytest.mark.parametrize("index", range(6))
def test_insert_anywhere_keeps_the_skip(index: int) -> None:
    net = skip_net()
    entries = [*net]
    extra = nn.Sigmoid()
    net.insert(index, extra)
    assert net[index] is extra
    expected = Sequential(*entries[:index], extra, *entries[index:])
    value = x()
    assert torch.equal(net(value), expected(value))
    assert list(net._modules) == list(expected._modules)


@pytest.mark.parametrize("index", [-5, -1])
def test_insert_counts_from_the_end(index: int) -> None:
    net = skip_net()
    extra = nn.Sigmoid()
    net.insert(index, extra)
    assert net[5 + index] is extra


def test_insert_out_of_range() -> None:
    net = skip_net()
    before = Snapshot.of(net)
    for index in (6, -6):
        with pytest.raises(IndexError):
            net.insert(index, nn.ReLU())
    before.verify(net)


def test_references_by_number_follow_the_layer() -> None:
    net = by_number()
    first, _, third, _ = net
    net.insert(0, nn.Sigmoid())
    assert list(net._modules)[:4] == ["0", "1", "2", "3"]
    value = x()
    h = first(value.sigmoid())
    assert torch.equal(net(value), third(h.tanh()) + h)
    del net[0]
    assert torch.equal(net(value), third(first(value).tanh()) + first(value))
    assert repr(net[-1]) == "add('0')"


def test_references_by_number_follow_through_calls_and_via() -> None:
    layer, shortcut = nn.Bilinear(4, 4, 4), linear()
    net = Sequential(linear(), nn.Tanh(), call(layer, "0"), add(here, via("0", shortcut), mul("1", 0.5)), take("2"))
    first = net[0]
    net.insert(0, nn.Sigmoid())
    value = x()
    h = first(value.sigmoid())
    assert torch.equal(net(value), layer(h.tanh(), h))
    assert close(net[:-1](value), layer(h.tanh(), h) + shortcut(h) + h.tanh() * 0.5)


def test_references_by_number_follow_into_parts() -> None:
    """A part that reads a layer of its parent by number is told another number, or the edit is refused."""
    net = Sequential(linear(), nn.Tanh(), nn.Sigmoid(), ("part", Sequential(linear(), add("2"))))
    reader = by_number_of_parent(net)
    value = x()
    expected = reader(nn.Identity(), value)
    assert close(net(value), expected)
    extra = linear()
    try:
        net.insert(0, extra)
    except WiringError:
        assert close(net(value), expected)
    else:
        assert close(net(value), reader(extra, value))


def by_number_of_parent(net: Sequential) -> Callable[[nn.Module, Tensor], Tensor]:
    first, second, third, part = net
    inner = part[0]  # type: ignore[index]

    def run(before: nn.Module, value: Tensor) -> Tensor:
        h = third(second(first(before(value))))
        result: Tensor = inner(h) + h
        return result

    return run


@pytest.mark.parametrize(
    "edit",
    [
        lambda net: net.encoder.insert(0, nn.Sigmoid()),
        lambda net: delitem(net.encoder, 0),
        lambda net: net.encoder.insert(1, nn.Sigmoid()),
    ],
    ids=["insert", "delete", "insert between"],
)
@pytest.mark.parametrize("reader", ["word", "part", "outputs"])
def test_a_path_never_means_another_layer(edit: Callable[[Any], object], reader: str) -> None:
    """``"encoder.2"`` follows the layer when the encoder is edited, or the edit or the next call raises."""
    tail: list[Any] = {
        "word": [add("encoder.2")],
        "part": [("decoder", Sequential(linear(), add("encoder.2")))],
        "outputs": [linear()],
    }[reader]
    outputs = "encoder.2" if reader == "outputs" else None
    net = Sequential(("encoder", Sequential(nn.Tanh(), nn.Sigmoid(), linear(), nn.Tanh())), *tail, outputs=outputs)
    meant = net.encoder[2]
    net(x())
    seen: list[Tensor] = []
    meant.register_forward_hook(lambda module, args, output: seen.append(output))
    value = x()
    try:
        edit(net)
        result = net(value)
    except SkipseqError:
        return
    h = net.encoder(value)
    expected = {
        "word": lambda: h + seen[0],
        "part": lambda: net.decoder[0](h) + seen[0],
        "outputs": lambda: seen[0],
    }[reader]()
    assert close(result, expected)


@pytest.mark.parametrize("outputs", ["0", ("0", "2"), ("x1", "0")], ids=repr)
@pytest.mark.parametrize("index", [0, 1, 4])
def test_outputs_follow_the_layer(outputs: Any, index: int) -> None:
    net = Sequential(linear(), save("x1"), nn.Tanh(), linear(), outputs=outputs)
    value = x()
    h = net[0](value)
    there = {"0": h, "x1": h, "2": net[3](h.tanh())}
    names = (outputs,) if isinstance(outputs, str) else outputs
    net.insert(index, nn.Identity())
    result = net(value)
    result = (result,) if isinstance(outputs, str) else result
    for name, one in zip(names, result, strict=True):
        assert torch.equal(one, there[name]), name


def test_extend_takes_sequences_and_lists() -> None:
    value = x()
    for tail in ([nn.Tanh(), add("x1"), ("end", linear())], Sequential(nn.Tanh(), add("x1"), ("end", linear()))):
        net = Sequential(linear(), save("x1"))
        first = net[0]
        assert net.extend(tail) is net
        assert len(net) == 5
        assert torch.equal(net(value), net.end(first(value).tanh() + first(value)))


def test_extend_by_itself() -> None:
    net = Sequential(linear(), nn.Tanh(), add("input"))
    value = x()
    expected = net(net(value))
    net.extend(net)
    assert close(net(value), expected)


def test_extend_by_what_does_not_fit_changes_nothing() -> None:
    text = refuse(skip_net(), lambda net: net.extend([nn.ReLU(), None, nn.Linear, "x1"]))
    for part in ("None", "the class Linear", "'x1'"):
        assert part in text


def test_pop_gives_the_entry_back() -> None:
    net = skip_net()
    last = net[-1]
    assert net.pop(-1) is last
    assert repr(net.pop(-1)) == "add('x1')"
    assert repr(net.pop(1)) == "save('x1')"
    assert list(net._modules) == ["0", "1"]


def test_delete_by_index_negative_index_and_slice() -> None:
    value = x()
    net = skip_net()
    first = net[0]
    del net[-1]
    assert torch.equal(net(value), first(value).tanh() + first(value))
    refuse(net, lambda net: delitem(net, 2), "joins a value with itself")
    del net[1:]
    assert torch.equal(net(value), first(value))
    assert len(net) == 1
    net = skip_net()
    del net[1:4:2]  # the save and its reader together
    assert list(net._modules) == ["0", "1", "2"]
    assert torch.equal(net(value), net[2](net[0](value).tanh()))


def test_setitem_exchanges_layers_and_words() -> None:
    net = skip_net()
    value = x()
    new = linear()
    net[0] = new
    assert net[0] is new
    net[3] = sub("x1")
    assert torch.equal(net(value), net[4](new(value).tanh() - new(value)))
    net[-1] = nn.Identity()
    net[3] = torch.relu
    assert torch.equal(net(value), new(value).tanh().relu())
    assert list(net._modules)[2:] == ["1", "2", "3"]


def test_setitem_keeps_the_name_and_its_readers() -> None:
    net = by_name()
    new = linear()
    net[0] = new
    assert net.first is new
    value = x()
    assert torch.equal(net(value), net[2](new(value).tanh()) + new(value))


def test_setitem_with_a_pair_renames_and_readers_follow() -> None:
    net = by_name()
    new = linear()
    net[0] = ("begin", new)
    value = x()
    assert net.begin is new
    assert not hasattr(net, "first")
    assert torch.equal(net(value), net[2](new(value).tanh()) + new(value))


def test_setitem_of_a_name_that_is_taken_is_refused() -> None:
    refuse(Sequential(("a", linear()), ("b", linear())), lambda net: setitem(net, 1, ("a", linear())), "'a'")


def test_a_call_and_its_layer_are_edited_as_one() -> None:
    first, second = nn.Bilinear(4, 4, 4), nn.Bilinear(4, 4, 4)
    net = Sequential(linear(), save("x1"), nn.Tanh(), call(first, "x1"), linear())
    value = x()
    h = net[0](value)
    net[3] = call(second, "x1", here)
    assert torch.equal(net(value), net[4](second(h, h.tanh())))
    assert len(net) == 5
    popped = net.pop(3)
    assert repr(popped).startswith("call(nn.Bilinear(")
    assert len(net) == 4
    assert list(net._modules) == ["0", "save_0", "1", "2"]
    assert torch.equal(net(value), net[3](h.tanh()))
    net.insert(3, popped)
    assert torch.equal(net(value), net[4](second(h, h.tanh())))
    del net[3:]
    assert torch.equal(net(value), h.tanh())


def test_a_call_is_never_cut_from_its_layer() -> None:
    net = Sequential(save("x1"), call(nn.Bilinear(4, 4, 4), "x1"), call(nn.Bilinear(4, 4, 4), "input"))
    for i in range(3):
        assert [repr(each).partition("(")[0] for each in net[: i + 1]] == ["save", "call", "call"][: i + 1]
    value = x()
    first, second = net[1].layer, net[2].layer  # type: ignore[union-attr]
    net.insert(2, nn.Tanh())
    assert torch.equal(net(value), second(first(value, value).tanh(), value))
    assert [repr(each).partition("(")[0] for each in net] == ["save", "call", "Tanh", "call"]


def test_add_module_and_register_module() -> None:
    for method in ("add_module", "register_module"):
        net = skip_net()
        value = x()
        before = net(value)
        getattr(net, method)("tail", nn.Tanh())
        assert torch.equal(net(value), before.tanh())
        assert list(net._modules)[-1] == "tail"
        new = nn.Sigmoid()
        getattr(net, method)("tail", new)
        assert net.tail is new
        assert torch.equal(net(value), before.sigmoid())
        getattr(net, method)("again", mul("x1"))
        assert torch.equal(net(value), before.sigmoid() * net[0](value))


def test_add_module_of_a_label_that_is_saved_twice_is_refused() -> None:
    for method in ("add_module", "register_module"):
        refuse(skip_net(), lambda net, method=method: getattr(net, method)("again", save("x1")), "'x1'")


def test_setattr_exchanges_adds_and_delattr_removes() -> None:
    net = by_name()
    value = x()
    new = linear()
    net.first = new
    assert torch.equal(net(value), net[2](new(value).tanh()) + new(value))
    net.tail = nn.Tanh()
    assert torch.equal(net(value), (net[2](new(value).tanh()) + new(value)).tanh())
    del net.tail
    assert torch.equal(net(value), net[2](new(value).tanh()) + new(value))


def test_delattr_of_what_is_read_is_refused() -> None:
    refuse(by_name(), lambda net: delattr(net, "first"), "'first'")
    net = Sequential(("e", Sequential(save("x1"), linear())), ("d", Sequential(linear(), add("x1"))))
    refuse(net, lambda net: delattr(net, "e"), "'x1'")


# --------------------------------------------------------------------------------------- edits that are refused

CUTS: dict[str, Callable[[Any], object]] = {
    "del": lambda net: delitem(net, 1),
    "del negative": lambda net: delitem(net, -4),
    "del slice": lambda net: delitem(net, slice(0, 2)),
    "pop": lambda net: net.pop(1),
    "pop slice": lambda net: net.pop(slice(1, 2)),
    "setitem layer": lambda net: setitem(net, 1, nn.Tanh()),
    "setitem other label": lambda net: setitem(net, 1, save("x2")),
    "append same label": lambda net: net.append(save("x1")),
    "insert same label": lambda net: net.insert(0, save("x1")),
    "extend same label": lambda net: net.extend([nn.Tanh(), save("x1")]),
    "extend: a fault behind good entries": lambda net: net.extend([nn.Tanh(), add("x1", "x1")]),
    "insert the reader before its save": lambda net: net.insert(0, add("x1")),
    "a layer in place behind the save": lambda net: net.insert(2, nn.ReLU(inplace=True)),
    "exchange for a layer in place": lambda net: setitem(net, 2, nn.ReLU(inplace=True)),
    "append None": lambda net: net.append(None),
    "insert a class": lambda net: net.insert(0, nn.ReLU),
    "setitem a string": lambda net: setitem(net, 0, "x1"),
    "append two operands": lambda net: net.append(add("x1", "0")),
    "append the running value twice": lambda net: net.append(add(here, here)),
    "name of a label": lambda net: net.append(("x1", linear())),
    "name of a method": lambda net: net.append(("forward", linear())),
    "add_module of a bad name": lambda net: net.add_module("a.b", linear()),
}


@pytest.mark.parametrize("edit", CUTS.values(), ids=CUTS)
def test_an_edit_that_breaks_something_is_refused(edit: Callable[[Any], object]) -> None:
    refuse(skip_net(), edit)


@pytest.mark.parametrize("name", [name for name in CUTS if name.startswith(("del", "pop"))])
def test_the_refusal_tells_reader_value_and_what_to_do(name: str) -> None:
    text = refuse(skip_net(), CUTS[name])
    assert "'x1'" in text
    assert "which the edit would take away" in text
    assert "Remove its readers first, or take a slice" in text


@pytest.mark.parametrize("net", [by_number, by_name], ids=["by number", "by name"])
@pytest.mark.parametrize("edit", [lambda n: delitem(n, 0), lambda n: n.pop(0), lambda n: delitem(n, slice(0, 2))])
def test_a_layer_that_is_read_stays(net: Callable[[], Sequential], edit: Callable[[Any], object]) -> None:
    refuse(net(), edit, "which the edit would take away")


def test_a_part_whose_label_is_read_stays() -> None:
    def net() -> Sequential:
        return Sequential(Sequential(linear(), save("x1"), nn.Tanh()), linear(), Sequential(linear(), add("x1")))

    refuse(net(), lambda net: delitem(net, 0), "'x1'")
    refuse(net(), lambda net: setitem(net, 0, linear()), "'x1'")
    refuse(net(), lambda net: net.insert(1, Sequential(save("x1"), nn.Tanh())), "'x1'")
    after = net()
    del after[2]
    del after[0]
    assert len(after) == 1


def test_outputs_that_are_taken_away() -> None:
    def net() -> Sequential:
        return Sequential(linear(), save("h"), ("mid", nn.Tanh()), linear(), outputs="h")

    refuse(net(), lambda net: delitem(net, 1), "'h'")
    refuse(net().with_outputs("mid"), lambda net: delitem(net, 2), "'mid'")


def test_readers_first_then_the_save() -> None:
    net = skip_net()
    del net[3]
    del net[1]
    value = x()
    assert torch.equal(net(value), net[2](net[0](value).tanh()))


def test_a_sequence_that_was_refused_can_still_be_edited() -> None:
    net = skip_net()
    refuse(net, lambda net: delitem(net, 1))
    net.append(nn.Tanh())
    refuse(net, lambda net: delitem(net, 1))
    del net[3]
    del net[1]
    assert len(net) == 4


# -------------------------------------------------------------------------------------------------- operators


def blocks() -> dict[str, Callable[[], Any]]:
    """Sequences that one may put one after the other."""
    return {
        "label": skip_net,
        "number": by_number,
        "name": by_name,
        "input": lambda: Sequential(linear(), nn.Tanh(), add("input")),
        "input twice": lambda: Sequential(linear(), add("input"), nn.Tanh(), mul(here, via("input", linear()))),
        "call": lambda: Sequential(linear(), save("x1"), nn.Tanh(), call(nn.Bilinear(4, 4, 4), "x1")),
        "named call": lambda: Sequential(save("x1"), nn.Tanh(), call(nn.Bilinear(4, 4, 4), input1=here, input2="x1")),
        "nested": lambda: Sequential(("a", Sequential(linear(), save("x1"))), ("b", Sequential(linear(), add("x1")))),
        "path": lambda: Sequential(("a", Sequential(linear(), nn.Tanh(), linear())), linear(), add("a.1")),
        "plain": lambda: nn.Sequential(linear(), nn.Tanh()),
        "split": lambda: Sequential(lambda v: (v, v.tanh()), save("h", "c"), pick[1], add("h")),
        "take": lambda: Sequential(linear(), save("l"), take("input"), linear(), cat("l", dim=0), pick[:3]),
        "output": lambda: Sequential(("h", linear()), linear(), outputs="h"),
        "output by number": lambda: Sequential(linear(), nn.Tanh(), linear(), outputs="1"),
        "block": lambda: Residual(linear(), nn.Tanh(), shortcut=linear()),
        "one word": lambda: Sequential(mul(0.5)),
        "empty": lambda: Sequential(),
    }


MAKE = blocks()


def captured(first: Callable[[], Any], second: Callable[[], Any]) -> bool:
    """Whether a label of the first would come between a save and its reader in two parts of the second.

    The reader is inside a part, and its name cannot be changed there: such a sum is refused.
    """
    return second is MAKE["nested"] and "x1" in getattr(first(), "wiring", Sequential().wiring).labels


@pytest.mark.parametrize("first", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("second", MAKE.values(), ids=MAKE)
def test_a_sum_is_one_after_the_other(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    one, two = first(), second()
    if type(one) is type(two) is nn.Sequential:
        return
    before = Snapshot.of(one), Snapshot.of(two)
    value = x()
    expected = two(one(value))
    if captured(first, second):
        refuse(one, lambda net: net + two, "cannot be put into one line")
        return
    total = one + two
    assert isinstance(total, Sequential)
    assert torch.equal(total(value), expected)
    assert {id(p) for p in total.parameters()} == {id(p) for p in (*one.parameters(), *two.parameters())}
    before[0].verify(one)
    before[1].verify(two)


@pytest.mark.parametrize("first", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("second", MAKE.values(), ids=MAKE)
def test_a_sum_in_place_too(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    one, two = first(), second()
    if type(one) is nn.Sequential:
        return
    before = Snapshot.of(two)
    value = x()
    expected = two(one(value))
    same = one
    if captured(first, second):
        refuse(one, lambda net: iadd(net, two), "cannot be put into one line")
        return
    one += two
    assert one is same
    assert torch.equal(one(value), expected)
    before.verify(two)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_product_shares_and_repeat_copies(make: Callable[[], Any], count: int) -> None:
    block = make()
    if not isinstance(block, Sequential):
        return
    if count > 1 and captured(make, make):
        refuse(block, lambda net: net * count, "cannot be put into one line")
        refuse(block, lambda net: imul(net, count), "cannot be put into one line")
        return
    before = Snapshot.of(block)
    value = x()
    expected = value
    for _ in range(count):
        expected = block(expected)
    own = list(block.parameters())
    for product in (block * count, count * block):
        assert torch.equal(product(value), expected)
        assert {id(p) for p in product.parameters()} == {id(p) for p in own}
    copied = block.repeat(count)
    assert torch.equal(copied(value), expected)
    assert len(list(copied.parameters())) == count * len(own)
    assert {id(p) for p in copied.parameters()}.isdisjoint(id(p) for p in own)
    before.verify(block)
    block *= count
    assert torch.equal(block(value), expected)
    assert {id(p) for p in block.parameters()} == {id(p) for p in own}


def test_repeats_learn_apart() -> None:
    net = Sequential(linear(), nn.Tanh(), add("input")).repeat(2)
    with torch.no_grad():
        net[0].weight.zero_()
    assert net[4].weight.abs().sum() > 0


def test_plain_plus_ours() -> None:
    plain = nn.Sequential(linear(), nn.Tanh())
    ours = Sequential(linear(), add("input"), nn.Tanh(), add("0"))
    total = plain + ours
    assert type(total) is Sequential
    value = x()
    h = plain(value)
    g = ours[0](h)
    assert close(total(value), (g + h).tanh() + g)
    assert len(plain) == 2


def test_plain_in_place_with_words_never_loses_them() -> None:
    """Torch's own ``plain += ours`` appends the words: the result raises when it runs."""
    plain = nn.Sequential(linear())
    plain += Sequential(linear(), add("input"))
    if type(plain) is nn.Sequential:
        with pytest.raises(TypeError):
            plain(x())
    else:
        assert plain(x()).shape == (3, 4)


def test_encoder_plus_decoder_joins_the_skip() -> None:
    encoder = Sequential(linear(), save("x1"), nn.Tanh())
    decoder = Sequential(linear(), add("x1"))
    value = x()
    h, values = encoder.record(value, "x1")
    assert torch.equal((encoder + decoder)(value), decoder(h, **values))
    assert not (encoder + decoder).wiring.needs


def test_a_need_that_stays_is_a_need_of_the_sum() -> None:
    first, second = Sequential(linear(), add("t")), Sequential(linear(), mul("t"))
    value, t = x(), x()
    assert torch.equal((first + second)(value, t=t), second(first(value, t=t), t=t))


@pytest.mark.parametrize("before", range(1, 5))
@pytest.mark.parametrize("need", ["1", "2", "3", "4"])
def test_a_need_by_number_never_becomes_another_layer(before: int, need: str) -> None:
    """A slice that lost a layer needs it by its number; behind other layers that number is somebody else's."""
    part = Sequential(*(linear() for _ in range(int(need))), add(need))
    first = nn.Sequential(*(linear() for _ in range(before)))
    value, other = x(), x()
    expected = part(first(value), **{need: other})
    try:
        total = first + part
    except WiringError:
        return
    if total.wiring.needs:
        assert close(total(value, **{next(iter(total.wiring.needs)): other}), expected)
    else:
        # the first gives it: then its layer of this number is meant
        assert before > int(need)
        assert close(total(value), part(first(value), **{need: first[: int(need) + 1](value)}))


@pytest.mark.parametrize("need", ["1", "2", "3"])
def test_an_insert_never_gives_a_need_by_number_to_another_layer(need: str) -> None:
    net = Sequential(*(linear() for _ in range(int(need))), add(need))
    value, other = x(), x()
    expected = net(value, **{need: other})
    for _ in range(3):
        try:
            net.insert(0, nn.Identity())
        except WiringError:
            break
    assert list(net.wiring.needs)
    assert close(net(value, **{next(iter(net.wiring.needs)): other}), expected)


def test_several_values_between_two_are_refused() -> None:
    two_outputs = Sequential(("a", linear()), ("b", linear()), outputs=("a", "b"))
    two_inputs = Sequential(add("t"), inputs=("x", "t"))
    for edit in (lambda: two_outputs + skip_net(), lambda: skip_net() + two_inputs, lambda: two_outputs * 2):
        with pytest.raises(WiringError, match=r"cannot be put into one line(?s:.)*Write Sequential\(first, second\)"):
            edit()


def test_a_sum_in_place_that_is_refused_changes_nothing() -> None:
    two_inputs = Sequential(add("t"), inputs=("x", "t"))
    refuse(skip_net(), lambda net: iadd(net, two_inputs))
    refuse(skip_net(), lambda net: net.extend(two_inputs))
    two_outputs = Sequential(("a", linear()), ("b", linear()), outputs=("a", "b"))
    keys = list(two_outputs._modules)
    with pytest.raises(WiringError):
        imul(two_outputs, 2)
    assert list(two_outputs._modules) == keys
    assert len(two_outputs(x())) == 2


def test_names_of_both_sides_stay_where_they_can() -> None:
    first = Sequential(("a", linear()), nn.Tanh(), add("a"))
    second = Sequential(("b", linear()), nn.Tanh(), add("b"))
    assert list(dict((first + second).named_children()))[:2] == ["a", "1"]
    assert (first + second).b is second.b
    total = first + first
    assert total.a is first.a
    value = x()
    assert torch.equal(total(value), first(first(value)))


def test_results_are_independent_of_what_they_came_from() -> None:
    first, second = skip_net(), by_number()
    total, part, product = first + second, first[:4], first * 2
    value = x()
    expected = total(value), part(value), product(value)
    del first[4]
    second.append(nn.Tanh())
    first.insert(0, nn.Tanh())
    for net, result in zip((total, part, product), expected, strict=True):
        assert torch.equal(net(value), result)


def test_classes_are_kept() -> None:
    class Mine(Sequential):
        pass

    net = Mine(linear(), save("x1"), add(0.5))
    for other in (net + skip_net(), net * 2, 2 * net, net[:2], net.repeat(2), net + nn.Sequential(nn.Tanh())):
        assert type(other) is Mine
    assert isinstance(skip_net() + net, Sequential)
    block = Residual(linear())
    for other in (block + skip_net(), block * 2, block[:1]):
        assert isinstance(other, Sequential)


def test_training_mode_and_inputs_are_kept() -> None:
    net = Sequential(linear(), add("t"), nn.Dropout(), inputs=("x", "t")).eval()
    value, t = x(), x()
    assert torch.equal(net[:2](value, t), net[0](value) + t)
    assert not net[:2].training
    longer = net + nn.Sequential(nn.Tanh())
    assert torch.equal(longer(value, t), (net[0](value) + t).tanh())
    assert longer.wiring.inputs == ("x", "t")


# ------------------------------------------------------------------------------------------------------ slices


def test_slices_of_a_whole_skip() -> None:
    net = skip_net()
    value = x()
    h = net[0](value)
    assert torch.equal(net[:4](value), h.tanh() + h)
    assert torch.equal(net[1:4](value), value.tanh() + value)
    assert torch.equal(net[:](value), net(value))
    assert torch.equal(net[:3](value), h.tanh())
    assert len(net[2:2]) == 0


def test_a_slice_that_loses_a_save_has_a_need() -> None:
    net = skip_net()
    part = net[2:]
    value, skip = x(), x()
    assert list(part.wiring.needs) == ["x1"]
    assert repr(part).startswith("# needs x1")
    assert torch.equal(part(value, x1=skip), net[4](value.tanh() + skip))
    with pytest.raises(CallError, match="it lacks 'x1'"):
        part(value)


def test_both_halves_of_a_cut_are_the_whole() -> None:
    net = Sequential(linear(), save("a"), nn.Tanh(), save("b"), linear(), add("a"), ("mid", nn.Tanh()), add("b"), sub("mid"))
    value = x()
    for cut in range(len(net) + 1):
        head, tail = net[:cut], net[cut:]
        h, values = head.record(value, *list(tail.wiring.needs))
        assert torch.equal(tail(h, **values), net(value)), cut


def test_a_slice_keeps_the_layer_that_a_number_means() -> None:
    net = Sequential(nn.Tanh(), linear(), nn.Sigmoid(), add("1"))
    value = x()
    part = net[1:]
    assert torch.equal(part(value), net[1](value).sigmoid() + net[1](value))
    part = net[2:]
    assert list(part.wiring.needs) == ["1"]
    skip = x()
    assert torch.equal(part(value, **{"1": skip}), value.sigmoid() + skip)


def test_an_edit_of_a_slice_keeps_the_layer_that_a_number_means() -> None:
    net = Sequential(nn.Tanh(), linear(), nn.Sigmoid(), add("1"))
    part = net[1:]
    value = x()
    part.append(nn.Tanh())
    assert torch.equal(part(value), (net[1](value).sigmoid() + net[1](value)).tanh())
    part.insert(0, nn.Identity())
    assert torch.equal(part(value), (net[1](value).sigmoid() + net[1](value)).tanh())


def test_a_slice_never_gives_input_another_meaning() -> None:
    net = Sequential(linear(), nn.Tanh(), add("input"))
    value = x()
    assert torch.equal(net[:2](value), net[0](value).tanh())
    with pytest.raises(WiringError, match="'input', which would mean another value"):
        net[1:]


def test_a_slice_backwards_tells_what_it_breaks() -> None:
    with pytest.raises(WiringError, match="before"):
        skip_net()[::-1]
    assert len(Sequential(linear(), nn.Tanh(), add(1.0))[::-1]) == 3


# ------------------------------------------------------------------- parts that are edited, children exchanged


def nested() -> Any:
    return Sequential(
        ("encoder", Sequential(linear(), save("x1"), nn.Tanh())),
        linear(),
        ("decoder", Sequential(linear(), add("x1"), nn.Tanh())),
    )


def by_hand(net: Any, value: Tensor) -> Tensor:
    """The nested network, its parts called one after the other."""
    h, values = net.encoder.record(value, "x1")
    result: Tensor = net.decoder(net[1](h), **values)
    return result


NESTED_EDITS: dict[str, Callable[[Any], object]] = {
    "append": lambda net: net.encoder.append(nn.Sigmoid()),
    "insert before the save": lambda net: net.encoder.insert(0, nn.Sigmoid()),
    "insert in the decoder": lambda net: net.decoder.insert(0, nn.Sigmoid()),
    "delete": lambda net: delitem(net.encoder, 2),
    "setitem": lambda net: setitem(net.encoder, 0, linear()),
    "setattr": lambda net: setattr(net.encoder, "0", linear()),
    "_modules": lambda net: net.encoder._modules.update({"0": linear()}),
    "word in _modules": lambda net: net.decoder._modules.update({"add_0": sub("x1")}),
    "layer for layers": lambda net: setitem(net, 1, Sequential(linear(), add("input"))),
    "iadd": lambda net: iadd(net.encoder, nn.Sequential(linear())),
    "new container": lambda net: setattr(net, "encoder", Sequential(save("x1"), linear())),
    "new container in _modules": lambda net: net._modules.update(encoder=Sequential(save("x1"), linear())),
}


@pytest.mark.parametrize("called", [False, True], ids=["flat", "called"])
@pytest.mark.parametrize("edit", NESTED_EDITS.values(), ids=NESTED_EDITS)
def test_a_parent_notices_that_a_part_was_edited(edit: Callable[[Any], object], called: bool) -> None:
    net = nested()
    outer = Sequential(net, linear())
    value = x()
    before = net(value), outer(value)
    edit(net)
    if called:
        look_on([net, net.encoder, net.decoder])
    assert torch.equal(net(value), by_hand(net, value))
    assert not torch.equal(net(value), before[0])
    assert torch.equal(outer(value), outer[1](by_hand(net, value)))
    assert repr(outer).count("save('x1')") == 1


def test_a_skip_broken_inside_a_part_is_told_and_mended() -> None:
    net = nested()
    outer = Sequential(net, linear())
    value = x()
    expected = outer(value)
    word = net.encoder.pop(1)
    for each in (net, outer):
        with pytest.raises(SkipseqError, match="'x1'"):
            each(value)
    net.encoder.insert(1, word)
    assert torch.equal(outer(value), expected)


def test_a_word_deleted_from_the_dictionary_is_told_and_mended() -> None:
    net = skip_net()
    value = x()
    expected = net(value)
    kept = dict(net._modules)
    del net._modules["save_0"]
    with pytest.raises(SkipseqError, match="'x1'"):
        net(value)
    net._modules.clear()
    net._modules.update(kept)
    assert torch.equal(net(value), expected)


def test_a_sequence_broken_from_outside_can_be_mended_by_editing() -> None:
    net = skip_net()
    net._modules["again"] = save("x1")
    with pytest.raises(WiringError, match="'x1' again"):
        net(x())
    del net[-1]
    value = x()
    assert torch.equal(net(value), net[4](net[0](value).tanh() + net[0](value)))


def test_a_label_saved_twice_by_an_edit_of_a_part() -> None:
    net = Sequential(("a", Sequential(linear())), ("b", Sequential(linear(), save("x1"), nn.Tanh())), add("x1"))
    value = x()
    expected = net(value)
    net.a.append(save("x1"))
    with pytest.raises(WiringError, match=r"'a\.x1' and at 'b\.x1'"):
        net(value)
    del net.a[1]
    assert torch.equal(net(value), expected)


def test_a_layer_exchanged_through_the_dictionary() -> None:
    net = Sequential(linear(), torch.tanh, call(nn.Bilinear(4, 4, 4), "0"), ("down", add(via("0", linear()))))
    value = x()
    net(value)
    net._modules["0"] = first = linear()
    net._modules["2"] = second = nn.Bilinear(4, 4, 4)
    net.down._modules["0"] = third = linear()
    h = first(value)
    assert torch.equal(net(value), second(h.tanh(), h) + third(h))


def test_a_layer_exchanged_for_a_part_and_back() -> None:
    net = skip_net()
    value = x()
    plain = net[0]
    net._modules["0"] = Sequential(linear(), save("inside"), add("input"))
    assert torch.equal(net[:1](value), net[0](value))
    assert torch.equal(net(value), net[4](net[0](value).tanh() + net[0](value)))
    net._modules["0"] = plain
    assert torch.equal(net(value), net[4](plain(value).tanh() + plain(value)))


def test_a_layer_exchanged_for_one_in_place_is_told() -> None:
    net = skip_net()
    net(x())
    net._modules["1"] = nn.ReLU(inplace=True)
    with pytest.raises(WiringError, match="in place"):
        net(x())


def test_a_shared_part_edited_once_changes_at_both_places() -> None:
    part = Sequential(linear(), add("input"))
    net = Sequential(part, nn.Tanh(), part)
    value = x()
    net(value)
    part.append(nn.Sigmoid())
    assert torch.equal(net(value), part(part(value).tanh()))


def test_blocks_become_words_when_edited() -> None:
    block = Residual(linear(), nn.Tanh())
    value = x()
    first = block[0]
    block.insert(1, nn.Sigmoid())
    assert torch.equal(block(value), first(value).sigmoid().tanh() + value)
    assert "Sigmoid" in repr(block)
    block.append(mul(2.0))
    assert torch.equal(block(value), (first(value).sigmoid().tanh() + value) * 2)
    assert "mul(2.0)" in repr(block)


def test_gradients_after_edits() -> None:
    net = by_number()
    net.insert(0, linear())
    net(x()).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
