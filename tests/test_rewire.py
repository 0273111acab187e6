"""Skips of networks that exist: put in, taken out, listed and compared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Residual, Sequential, UNet, add, call, cat, here, mul, pick, save, sub, take, via
from skipseq.errors import CallError
from skipseq.run.rewire.difference import Diff
from skipseq.run.rewire.skips import Skip, Skips

from .helpers import Wrapper, everything_called, linear, look_on, x
from .rewired_networks import equal, refused, untouched


def relu() -> nn.ReLU:
    return nn.ReLU()


def two_parts() -> Sequential:
    """An encoder with a label, and a decoder."""
    return Sequential(
        ("encoder", Sequential(linear(), save("x1"), relu(), linear())),
        ("decoder", Sequential(linear(), relu(), ("last", linear()))),
        ("head", linear()),
    )


def plain_parts() -> Sequential:
    return Sequential(
        ("encoder", nn.Sequential(linear(), relu())), ("decoder", nn.Sequential(linear(), relu())), ("head", linear())
    )


def word_before(net: Any, path: str) -> str:
    """The word that stands right before an entry, as it is written."""
    *heads, last = path.split(".")
    container = net.get_submodule(".".join(heads))
    keys = list(container._modules)
    return repr(container._modules[keys[-1 if last == "output" else keys.index(last) - 1]])


# ---------------------------------------------------------------------------------------------- connect


@pytest.mark.parametrize(
    ("giver", "reader", "word"),
    [
        ("encoder.0", "decoder.1", "cat('encoder.0')"),
        ("encoder.x1", "decoder.1", "cat('encoder.x1')"),
        ("x1", "decoder.1", "cat('x1')"),
        ("x1", "head", "cat('x1')"),
        ("encoder", "decoder.last", "cat('encoder')"),
        ("encoder", "decoder.output", "cat('encoder')"),
        ("encoder", "output", "cat('encoder')"),
        ("decoder.0", "decoder.last", "cat('0')"),
        ("decoder.0", "head", "cat('decoder.0')"),
        ("encoder.x1", "encoder.2", "cat('x1')"),
        ("input", "head", "cat('input')"),
        ("input", "decoder.1", "cat('skip_1')"),
    ],
)
def test_the_reference_means_the_giver_where_it_stands(giver: str, reader: str, word: str) -> None:
    net, value = two_parts(), x()
    seen = []

    def look(running: Tensor, given: Tensor) -> Tensor:
        seen.append(given)
        return running

    with untouched(net):
        new, looking = net.connect(giver, reader), net.connect(giver, reader, look)
    assert word_before(new, reader) == word
    expected = value if giver == "input" else net.record(value, giver)[1][giver]
    assert torch.equal(looking(value), net(value))
    assert torch.equal(seen[0], expected)


def test_the_value_is_that_of_the_giver() -> None:
    net = two_parts()
    new = net.connect("encoder.0", "decoder.last", add)
    value = x()
    first = net.encoder[0](value)
    after = net.decoder[1](net.decoder[0](net.encoder[3](first.relu())))
    assert torch.equal(new(value), net.head(net.decoder.last(after + first)))
    with everything_called(new):
        assert torch.equal(new(value), net.head(net.decoder.last(after + first)))


@pytest.mark.parametrize(
    ("join", "word", "function"),
    [
        (cat, "cat('0')", lambda h, e: torch.cat([h, e], 1)),
        (add, "add('0')", torch.add),
        (sub, "sub('0')", torch.sub),
        (mul, "mul('0')", torch.mul),
        (cat(dim=-1), "cat('0', dim=-1)", lambda h, e: torch.cat([h, e], -1)),
        (cat(dim=0), "cat('0', dim=0)", lambda h, e: torch.cat([h, e], 0)),
        (add(fit="crop", like=here), "add('0', fit='crop', like=here)", torch.add),
    ],
)
def test_the_joins(join: Any, word: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    net = Sequential(linear(), nn.Tanh())
    new = net.connect("0", "output", join)
    assert repr(new[-1]) == word
    value = x()
    assert torch.equal(new(value), function(net(value), net[0](value)))


def test_a_function_or_a_layer_of_two_values() -> None:
    net = Sequential(linear(), nn.Tanh(), linear())
    bilinear = nn.Bilinear(4, 4, 4)
    value = x()
    first = net[0](value)
    for join, text in ((torch.maximum, "call(torch.maximum, '0')"), (bilinear, "call(nn.Bilinear(4, 4, 4), '0')")):
        with untouched(net):
            new = net.connect("0", "2", join)
        assert repr(new[2]) == text
        assert torch.equal(new(value), net[2](join(first.tanh(), first)))
        # The keys of the layers stay, and the new one gets the next free number.
        assert [key for key in new.state_dict() if key.startswith(("0", "2"))] == list(net.state_dict())


def test_it_stands_behind_the_joins_that_are_there() -> None:
    net = Sequential(("a", linear()), ("b", relu()), ("c", linear()), add("a"), save("s"), ("d", linear()))
    new = net.connect("b", "d").connect("a", "d", cat)
    assert [repr(each) for each in new][3:7] == ["add('a')", "save('s')", "cat('b')", "cat('a')"]


def test_the_keys_of_words_with_layers_stay() -> None:
    net = Sequential(("a", linear()), relu(), ("b", linear()), add(via("a", linear())), linear())
    with untouched(net):
        new = net.connect("a", "b", add)
    assert list(new.state_dict()) == list(net.state_dict())
    assert repr(new[4]) == "add(via('a', nn.Linear(4, 4)))"
    assert repr(new.disconnect("a", "b")) == repr(net)
    assert "('add_0', add(via('a', nn.Linear(4, 4))))" in repr(new)


def test_a_plain_sequence_on_the_way_becomes_one_of_ours() -> None:
    net = plain_parts()
    handle = net.decoder.register_forward_hook(lambda *_: None)
    net.decoder.eval()
    with untouched(net):
        new = net.connect("encoder.0", "decoder.1")
    assert type(new.decoder) is Sequential
    assert type(new.encoder) is Sequential
    assert type(net.decoder) is nn.Sequential
    assert not new.decoder.training
    assert new.decoder[0] is net.decoder[0]
    assert list(new.decoder._forward_hooks) == [handle.id]
    assert list(new.state_dict()) == list(net.state_dict())


def test_what_is_not_on_the_way_is_the_same_object() -> None:
    net = two_parts()
    new = net.connect("decoder.0", "decoder.last")
    assert new.encoder is net.encoder
    assert new.head is net.head
    assert new.decoder is not net.decoder
    assert new.decoder.last is net.decoder.last


def test_hooks_flags_and_subclasses_are_kept() -> None:
    class Mine(Sequential):
        """With something of its own."""

    inner = Mine(linear(), relu(), linear())
    net = Mine(("part", inner), relu(), linear())
    net.part.scale = 3
    net.remembered = "x"
    net.part.register_buffer("count", torch.ones(1), persistent=False)
    handles = look_on([net, inner])
    net.eval()
    with untouched(net):
        new = net.connect("part.0", "part.2", add)
    assert type(new) is Mine
    assert type(new.part) is Mine
    assert (new.part.scale, new.remembered, new.training, new.part.training) == (3, "x", False, False)
    assert [*new._forward_hooks, *new.part._forward_hooks] == [handle.id for handle in handles]
    assert list(new.state_dict()) == list(net.state_dict())
    look_on([new.part])
    assert len(inner._forward_hooks) == 1


def test_a_compiled_network_is_not_called_in_place_of_the_new_one() -> None:
    net = Sequential(linear(), relu(), linear())
    net.compile(backend="eager")
    value = x()
    net(value)
    new = net.connect("0", "output", add)
    assert torch.equal(new(value), net(value) + net[0](value))


def test_a_block_becomes_words_where_it_is_edited() -> None:
    net = Sequential(linear(), relu(), Residual(linear(), relu()), Residual(linear(), relu()))
    with untouched(net):
        new = net.connect("1", "2.1", add)
    assert repr(new) == (
        "Sequential(\n"
        "    nn.Linear(4, 4),\n"
        "    nn.ReLU(),\n"
        "    save('skip_1'),     # -> net[3][1]\n"
        "    Sequential(\n"
        "        nn.Linear(4, 4),\n"
        "        add('skip_1'),  # <- net[2]\n"
        "        nn.ReLU(),\n"
        "        add('input'),   # <- input\n"
        "    ),\n"
        "    Residual(\n"
        "        nn.Linear(4, 4),\n"
        "        nn.ReLU(),\n"
        "    ),\n"
        ")"
    )


def test_shadowed_names_are_saved() -> None:
    """Inside the part its own '1' would be meant, and a path from the root would lead into itself."""
    part = Sequential(linear(), linear(), linear())
    net = Sequential(linear(), linear(), part, save("skip_1"), linear(), add("skip_1"))
    with untouched(net):
        new = net.connect("1", "2.2", add)
    assert [repr(word) for word in (new[2], new[3][2])] == ["save('skip_2')", "add('skip_2')"]
    value = x()
    first = net[1](net[0](value))
    after = net[2][2](net[2][1](net[2][0](first)) + first)
    assert torch.equal(new(value), net[4](after) + after)
    assert [repr(word) for word in new[4:]] == [repr(word) for word in net[3:]]
    assert repr(new.disconnect("1", "2.2")) == repr(net)


def test_a_number_that_means_something_else_inside() -> None:
    """From inside part '1', the path '0.3' leads into a part of its own."""
    first = Sequential(linear(), relu(), linear(), linear())
    second = Sequential(("0", Sequential(linear(), relu(), linear(), linear())), linear(), linear())
    net = Sequential(first, second)
    with untouched(net):
        new = net.connect("0.3", "1.2", add)
    value = x()
    given = first(value)
    assert torch.equal(new(value), second[2](second[1](second[0](given)) + given))


def test_one_place_of_a_part_that_stands_at_two() -> None:
    part = Sequential(linear(), relu(), linear())
    net = Sequential(("left", part), ("right", part))
    with untouched(net):
        new = net.connect("right.0", "right.2", add)
    assert new.left is part
    assert new.right is not part
    assert list(new.state_dict()) == list(net.state_dict())
    assert len(new.skips) == 1


def test_references_in_a_part_that_stands_at_two_places_follow_together() -> None:
    part = Sequential(linear(), add("stem.0"))
    net = Sequential(("stem", Sequential(linear(), relu())), ("left", part), ("right", part))
    with untouched(net):
        new = net.inserted("stem.0", nn.Identity())
    assert new.left is new.right
    assert repr(new.left[1]) == "add('stem.1')"
    value = x()
    assert torch.equal(new(value), net(value))


def test_a_need_of_the_network_can_be_connected() -> None:
    net = Sequential(linear(), add("t"), ("part", Sequential(linear(), linear())))
    new = net.connect("t", "part.1", add)
    value, t = x(), x()
    assert torch.equal(new(value, t=t), net.part[1](net.part[0](net[0](value) + t) + t))


def test_several_inputs() -> None:
    net = Sequential(linear(), ("part", Sequential(linear(), linear())), add("t"), inputs=("x", "t"))
    new = net.connect("t", "part.1", add)
    value, t = x(), x()
    assert torch.equal(new(value, t), net.part[1](net.part[0](net[0](value)) + t) + t)


def test_a_call_of_a_layer_again() -> None:
    net = Sequential(("conv", linear()), relu(), call("conv"), ("head", linear()))
    new = net.connect("conv", "head", add).renamed({"conv": "stem"})
    value = x()
    first = net[0](value)
    assert torch.equal(new(value), net.head(net[0](first.relu()) + first))
    assert repr(new[2]) == "call('stem')"
    assert [skip.giver for skip in net.connect("call_0", "output", add).skips] == ["call_0"]


def test_a_function_or_path_into_a_wrapper_may_give() -> None:
    net = Sequential(("wrapped", Wrapper(Sequential(linear(), relu()))), ("head", linear()))
    new = net.connect("wrapped.0", "output", add)
    value = x()
    assert torch.equal(new(value), net(value) + net.wrapped.module[0](value))


def test_the_word_is_told_to_what_widens() -> None:
    net = Sequential(("part", Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))), nn.ReLU())
    value = torch.randn(2, 3, 5, 5)
    with untouched(net), pytest.warns(UserWarning, match=r"part\.2\.weight has another shape"):
        new = net.connect("part.0", "part.2", widen="zeros", input=(2, 3, 5, 5))
    assert new.part[3].in_channels == 8
    torch.testing.assert_close(new(value), net(value))


# What is refused


class Opaque(nn.Module):
    """A layer that runs two others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = linear(), linear()

    def forward(self, value: Tensor) -> Tensor:
        return self.second(self.first(value))


class OwnForward(Sequential):
    """A sequence that does something besides its layers."""

    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value) * 2


def odd_parts() -> Sequential:
    return Sequential(
        ("encoder", Sequential(linear(), save("x1"), relu(), linear())),
        ("opaque", Opaque()),
        ("wrapped", Wrapper(Sequential(linear(), relu()))),
        ("decoder", Sequential(linear(), relu(), linear())),
        ("own", OwnForward(linear(), linear())),
        add("x1"),
        ("head", linear()),
    )


FORWARD = "  A skip leads forward, from an earlier layer to a later one."


@pytest.mark.parametrize(
    ("giver", "reader", "text"),
    [
        (
            "decoder.1",
            "encoder.2",
            "'encoder.2' runs before 'decoder.1' is there.\n"
            "  A skip leads forward. Write net.connect('encoder.2', 'decoder.1').",
        ),
        (
            "decoder.1",
            "encoder.output",
            "'encoder.output' runs before 'decoder.1' is there.\n"
            "  A skip leads forward. Write net.connect('encoder', 'decoder.1').",
        ),
        ("x1", "encoder.0", "'encoder.0' runs before 'x1' is there.\n" + FORWARD),
        (
            "decoder",
            "decoder.1",
            "'decoder' contains 'decoder.1', and gives its output only behind it.\n"
            "  Name a value from before 'decoder', or a reader behind it.",
        ),
        (
            "decoder.0",
            "decoder",
            "'decoder.0' is given inside 'decoder', which has begun by then.\n"
            "  Write a reader that runs later: inside 'decoder', or behind it.",
        ),
        ("head", "head", "'head' cannot read its own output.\n" + FORWARD),
        (
            "decoder",
            "own",
            "the output of 'decoder' is the running value before 'own' anyway.\n"
            "  Name an earlier value; to double it, write mul(2.0) before the layer.",
        ),
        (
            "encoder.0",
            "head",
            "both are connected already: net[5] add('x1') reads it.\n"
            "  To join them in another way, write net.disconnect('encoder.0', 'add_0') first.",
        ),
        (
            "encoder",
            "opaque.second",
            "'opaque.second' leads into 'opaque' = Opaque(...), a module with a forward of its own: what runs inside it is not"
            " known.\n  Connect to 'opaque' itself, or write it as a skipseq.Sequential.",
        ),
        (
            "encoder",
            "own.1",
            "'own.1' leads into 'own' = OwnForward, which has a forward of its own: what runs inside it is not known.\n"
            "  Connect to 'own' itself, or write it as a skipseq.Sequential.",
        ),
        (
            "encoder",
            "head.weight",
            "'head.weight' leads into 'head' = nn.Linear(4, 4), which is one layer.\n  Write 'head'.",
        ),
        ("encoder", "add_0.0", "'add_0.0' leads into 'add_0', which is a word.\n  Write the word itself: 'add_0'."),
        (
            "encoder",
            "wrapped.1",
            "'wrapped' cannot be changed: it stands in a wrapper, Wrapper.\n"
            "  Connect the layers of the sequence first, and wrap it afterwards.",
        ),
        ("encoder", "x1", "'x1' names no entry: there is no 'x1'.\n  Write the path of an entry."),
        ("encoder", "encoder.x1", "'encoder.x1' is a label, and no entry.\n  Write the layer behind it: 'encoder.1'."),
        (
            "encoder",
            "decodr.1",
            "'decodr.1' names no entry: there is no 'decodr'. Did you mean 'decoder'?\n  Write the path of an entry.",
        ),
        (
            "encodr",
            "head",
            "'encodr' names no value of the network. Did you mean 'encoder'?\n  The names are those of print(net).",
        ),
        ("x2", "head", "'x2' names no value of the network.\n  The names are those of print(net)."),
        (
            "decoder.7",
            "head",
            "'decoder.7' names no value of the network. Did you mean 'decoder.2'?\n  The names are those of print(net).",
        ),
        (3, "head", "the giver is 3, which is no name.\n  Write a label, a layer's name or a dotted path."),
        ("encoder", 3, "the reader is 3, which is no path.\n  Write the name of an entry, or 'output'."),
    ],
)
def test_ends_that_do_not_fit(giver: Any, reader: Any, text: str) -> None:
    net = odd_parts()
    said = refused(net, lambda net: net.connect(giver, reader))
    assert said == f"net.connect({giver!r}, {reader!r}): {text}"


@pytest.mark.parametrize(
    ("join", "text"),
    [
        (cat("x1"), "join=cat('x1') names its operands already.\n  Write it without them: join=cat(dim=-1)."),
        ("cat", "join is the string 'cat'.\n  Write the word itself, as in join=cat, or a function of two values."),
        (
            save("x1"),
            "join is save('x1'), a word that joins nothing.\n"
            "  Write join=cat, join=add(fit='crop'), or a function of two values.",
        ),
        (
            nn.Bilinear,
            "join is the class Bilinear, not an instance. Write Bilinear(...).\n"
            "  Write join=cat, join=add(fit='crop'), or a function of two values.",
        ),
        (
            None,
            "join is None. Leave it out, or write nn.Identity().\n"
            "  Write join=cat, join=add(fit='crop'), or a function of two values.",
        ),
    ],
)
def test_joins_that_do_not_fit(join: Any, text: str) -> None:
    said = refused(two_parts(), lambda net: net.connect("encoder", "head", join))
    assert said == f"net.connect('encoder', 'head'): {text}"


def test_a_function_that_hides_a_layer() -> None:
    hidden = linear()
    said = refused(two_parts(), lambda net: net.connect("encoder", "head", lambda a, b: hidden(a) + b))
    assert "which hides nn.Linear(4, 4)" in said


def test_widen_and_input() -> None:
    net = two_parts()
    said = refused(net, lambda net: net.connect("encoder", "head", widen="ones"))
    assert said == ("net.connect('encoder', 'head'): widen='ones' is not known.\n  Write widen='zeros', or leave it out.")
    said = refused(net, lambda net: net.connect("encoder", "head", input=(1, 4)))
    assert said == ("net.connect('encoder', 'head'): input= is for widen='zeros'.\n  Write widen='zeros', or leave it out.")


def test_a_label_that_is_saved_twice() -> None:
    net = Sequential(("a", Sequential(linear(), save("s"))), ("b", Sequential(linear(), save("s"))), linear(), linear())
    said = refused(net, lambda net: net.connect("s", "3"))
    assert said == (
        "net.connect('s', '3'): 's' is saved at 'a.s' and at 'b.s'.\n  Write the path of the one that is meant: 'b.s'."
    )
    assert repr(net.connect("b.s", "3", add)[3]) == "add('b.s')"


def test_a_closed_part() -> None:
    net = Sequential(("a", Sequential(linear(), relu())), ("b", Sequential(linear(), linear(), inputs=("y",))))
    said = refused(net, lambda net: net.connect("a.0", "b.1"))
    assert said == (
        "net.b[1] cat('a.0') would read 'a.0' from outside net.b, which is closed by inputs=('y',).\n"
        "  Leave its inputs out, so that names lead out of it, or add an input."
    )


def test_a_network_with_a_forward_of_its_own() -> None:
    for operation in (
        lambda net: net.connect("0", "output"),
        lambda net: net.disconnect("0", "output"),
        lambda net: net.ablate("0"),
        lambda net: net.inserted("0", relu()),
        lambda net: net.removed("0"),
        lambda net: net.renamed({"0": "a"}),
    ):
        said = refused(OwnForward(linear(), linear(), add("0")), operation)
        assert said == (
            "net has a forward of its own, in OwnForward: what it runs besides its layers is not known.\n"
            "  Rewire a skipseq.Sequential inside it, or leave out the forward."
        )
    net = two_parts()
    net.forward = lambda value: value
    assert "net has a forward of its own" in refused(net, lambda net: net.connect("encoder.0", "head"))


def test_a_part_with_a_forward_of_its_own_on_the_instance() -> None:
    net = two_parts()
    net.decoder.forward = lambda value: value
    said = refused(net, lambda net: net.connect("encoder.0", "decoder.1"))
    assert said == (
        "net.connect('encoder.0', 'decoder.1'): 'decoder' cannot be changed: it has a forward of its own.\n"
        "  Connect the layers of the sequence first, and wrap it afterwards."
    )


def test_a_layer_that_is_called_output() -> None:
    net = Sequential(("a", linear()), relu(), ("output", linear()))
    value = x()
    new = net.connect("a", "output", add)
    assert torch.equal(new(value), net.output(net.a(value).relu() + net.a(value)))


# ---------------------------------------------------------------------------------------------- disconnect


def many() -> Sequential:
    return Sequential(
        ("a", linear()),
        save("x1"),
        relu(),
        save("skip_7"),
        ("b", linear()),
        add("x1", here, "skip_7"),
        ("c", linear()),
        sub(here, "x1"),
        ("d", linear()),
        add(via("a", linear()), here, via("skip_7", linear())),
        ("e", linear()),
        take(add("a", "skip_7")),
        ("f", linear()),
    )


@pytest.mark.parametrize(
    ("giver", "reader", "before", "after"),
    [
        ("x1", "c", "add('x1', here, 'skip_7')", "add(here, 'skip_7')"),
        ("a", "add_0", "add('x1', here, 'skip_7')", "add(here, 'skip_7')"),
        ("skip_7", "c", "add('x1', here, 'skip_7')", "add('x1', here)"),
        ("1", "c", "add('x1', here, 'skip_7')", "add('x1', here)"),
        ("x1", "d", "sub(here, 'x1')", None),
        (
            "a",
            "e",
            "add(via('a', nn.Linear(4, 4)), here, via('skip_7', nn.Linear(4, 4)))",
            "add(here, via('skip_7', nn.Linear(4, 4)))",
        ),
        ("a", "f", "take(add('a', 'skip_7'))", "take('skip_7')"),
    ],
)
def test_an_operand_goes(giver: str, reader: str, before: str, after: str | None) -> None:
    net = many()
    with untouched(net):
        new = net.disconnect(giver, reader)
    texts, left = [repr(each) for each in net], [repr(each) for each in new]
    assert before in texts
    expected = [text if text != before else after for text in texts]
    assert left == [text for text in expected if text is not None]
    assert len(new.skips) == len(net.skips) - 1


def test_the_layers_of_an_operand_go_with_it() -> None:
    net = many()
    new = net.disconnect("a", "e")
    keys = [key for key in new.state_dict() if key.startswith("add")]
    assert keys == ["add_1.0.weight", "add_1.0.bias"]
    assert new.get_submodule("add_1.0") is net.get_submodule("add_1.1")


def test_values_without_a_skip() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), save("t"), linear(), mul(here, "a", "t"))
    value = x()
    first = net.a(value)
    assert torch.equal(net.disconnect("t", "output")(value), net[3](first.tanh()) * first)
    assert torch.equal(net.disconnect("a", "mul_0")(value), net[3](first.tanh()) * first.tanh())
    assert torch.equal(net.disconnect("a", "mul_0").disconnect("t", "mul_0")(value), net[3](first.tanh()))


def test_a_join_with_one_operand_left_becomes_a_take() -> None:
    net = Sequential(relu(), ("both", cat(via("input", linear()), via(here, linear()))), pick[:, :4])
    new = net.disconnect("input", "both")
    assert repr(new[1]) == "take(via(here, nn.Linear(4, 4)))"
    assert list(new.state_dict()) == ["both.0.weight", "both.0.bias"]
    value = x()
    assert torch.equal(new(value), net.get_submodule("both.1")(value.relu()))


def test_a_take_without_layers_has_a_number_of_its_own_kind() -> None:
    for name in (None, "both"):
        word = cat(via("input", linear()), via(here, nn.ReLU()))
        net = Sequential(relu(), word if name is None else (name, word), linear(8, 4))
        assert list(net.disconnect("input", "1")._modules) == ["0", name or "take_0", "1"]


def test_a_fit_goes_where_one_value_is_left() -> None:
    net = Sequential(linear(), relu(), add("0", here, 0.5, fit="crop", like="0"))
    new = net.disconnect("0", "output")
    assert repr(new[-1]) == "add(here, 0.5)"
    value = x()
    assert torch.equal(new(value), net[0](value).relu() + 0.5)


def test_inner_joins() -> None:
    net = Sequential(("a", linear()), relu(), ("b", linear()), add(via(cat("a", "input"), linear(8, 4))), ("c", linear()))
    assert repr(net.disconnect("a", "c")[3]) == "add(via('input', nn.Linear(8, 4)))"
    assert len(net.disconnect("a", "c").disconnect("input", "c")) == 4
    scaled = Sequential(linear(), relu(), add(mul("0", 0.5)))
    assert len(scaled.disconnect("0", "output")) == 2


def test_who_reads_a_layer_of_the_word_follows() -> None:
    part = Sequential(linear(), nn.Tanh())
    net = Sequential(
        ("a", linear()),
        nn.Tanh(),
        ("both", add(via("a", linear()), here, via("input", linear(), part))),
        take("both.1"),
        add("both.2.0"),
    )
    value = x()
    with untouched(net):
        new = net.disconnect("a", "both")
    assert [repr(new[3]), repr(new[4])] == ["take('both.0')", "add('both.1.0')"]
    assert torch.equal(new(value), net(value))
    for word, name in ((take("both.0"), "both.0"), (add("both.0"), "both.0")):
        reading = Sequential(*[("a", net.a), net[1], ("both", net[2])], word)
        assert refused(reading, lambda net: net.disconnect("a", "both")) == (
            f"net.disconnect('a', 'both'): net[3] {word!r} reads {name!r}, a layer that would go with the skip.\n"
            "  Remove this reader first, or give it another value."
        )
    inside = Sequential(("a", linear()), nn.Tanh(), ("both", add(via("a", part))), add("both.0.0"))
    assert "reads 'both.0.0', a layer that would go with the skip" in refused(inside, lambda net: net.disconnect("a", "both"))


def test_who_reads_the_join_reads_what_goes_on() -> None:
    net = Sequential(
        ("a", linear()), ("b", nn.Tanh()), save("s"), add("a"), ("c", linear()), add("add_0"), outputs=("add_1", "add_0")
    )
    value = x()
    first = net.a(value).tanh()
    with untouched(net):
        new = net.disconnect("a", "c")
    assert [repr(each) for each in new][4:] == ["add('b')"]
    assert new._outputs == ("add_0", "b")
    assert equal(new(value), (net.c(first) + first, first))
    start = Sequential(("part", Sequential(add("t"), linear(), mul("add_0"))))
    assert repr(start.disconnect("t", "part.0").part[1]) == "mul('input')"


def test_of_two_joins_before_a_layer_the_nearest_is_meant() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), add("a"), save("s"), add("a"), ("b", linear()), mul("s"))
    new = net.disconnect("a", "b")
    assert [type(each).__name__ for each in new][2:5] == ["JoinWord", "SaveWord", "Linear"]
    assert [type(each).__name__ for each in net.disconnect("a", "add_0")][2:4] == ["SaveWord", "JoinWord"]
    assert len(new.disconnect("a", "b")) == 5


def test_a_save_of_ours_goes_when_nobody_reads_it() -> None:
    net = many()
    once = net.disconnect("skip_7", "c")
    twice = once.disconnect("skip_7", "e")
    assert "save('skip_7')" in repr(once)
    assert "save('skip_7')" in repr(twice)
    assert "save('skip_7')" not in repr(twice.disconnect("skip_7", "f"))
    assert "save('x1')" in repr(net.disconnect("x1", "c").disconnect("x1", "d"))


def test_one_save_for_two_readers() -> None:
    net = Sequential(("a", linear()), Sequential(("a", linear()), relu(), linear()), Sequential(("a", linear()), relu()))
    new = net.connect("a", "1.2", add).connect("a", "2.1", add)
    assert repr(new).count("save(") == 2
    assert repr(new.disconnect("a", "1.2").disconnect("a", "2.1")) == repr(net)


@pytest.mark.parametrize(
    ("giver", "reader", "text"),
    [
        (
            "x1",
            "6",
            "net[5] sub('x1', here) cannot do without it: it is what the others are subtracted from.\n"
            "  Write net.ablate('x1', '6', by='zero'), which gives zeros in its place.",
        ),
        (
            "x1",
            "b",
            "net[3] call(nn.Bilinear(4, 4, 4), 'x1') cannot do without it: a call needs all its arguments.\n"
            "  Write net.ablate('x1', 'b', by='zero'), which gives zeros in its place.",
        ),
        (
            "x1",
            "part",
            "net[7] call(Sequential(...), here, t='x1') cannot do without it: a call needs all its arguments.\n"
            "  Write net.ablate('x1', 'part', by='zero'), which gives zeros in its place.",
        ),
        (
            "x1",
            "take_0",
            "net[8] take('x1') cannot do without it: a take has no other value to give.\n"
            "  Write net.ablate('x1', 'take_0', by='zero'), which gives zeros in its place.",
        ),
        (
            "x1",
            "output",
            "'x1' is an output of the network, and no skip.\n  Write net.with_outputs(...) for other outputs.",
        ),
        (
            "x1",
            "2",
            "no skip leads from 'x1' to '2'.\n"
            "  Its skips are a -> b (call), a -> 6 (sub), a -> part (call), a -> part.output (add), a -> c (take).",
        ),
        ("b", "6", "no skip leads from 'b' to '6'.\n  What is read there: a -> 6 (sub)."),
        ("b", "parts", "no skip leads from 'b' to 'parts'. Did you mean 'part'?\n  print(net.skips) tells the skips."),
        ("x9", "part", "'x9' names no value of the network.\n  The names are those of print(net)."),
        (
            "x1",
            None,
            "the reader is None, which is no path.\n  Write the key of the join, or the layer behind it.",
        ),
    ],
)
def test_skips_that_cannot_go(giver: str, reader: Any, text: str) -> None:
    net = skips_of_all_kinds()
    assert refused(net, lambda net: net.disconnect(giver, reader)) == f"net.disconnect({giver!r}, {reader!r}): {text}"


def skips_of_all_kinds() -> Sequential:
    return Sequential(
        ("a", linear()),
        save("x1"),
        relu(),
        ("b", call(nn.Bilinear(4, 4, 4), "x1")),
        ("5", linear()),
        sub("x1", here),
        ("6", linear()),
        ("part", call(Sequential(linear(), add("t")), here, t="x1")),
        take("x1"),
        ("c", linear()),
        outputs=("x1", "c"),
    )


# ---------------------------------------------------------------------------------------------- skips


def test_what_a_skip_tells() -> None:
    net = Sequential(
        ("encoder", Sequential(linear(), save("x1"), relu(), linear())),
        ("decoder", Sequential(linear(), cat("x1", here, dim=-1), linear(8, 4), add(via("encoder.1", linear(), relu())))),
        call(nn.Bilinear(4, 4, 4), "decoder.0"),
        take(sub("encoder", "input")),
        outputs=("decoder", "encoder.0"),
    )
    assert net.skips[0] == Skip("encoder.0", "decoder.1", "cat", (), "before", "dim=-1")
    assert [str(skip) for skip in net.skips] == [
        "encoder.0 -> decoder.1  cat(dim=-1)",
        "encoder.1 -> decoder.output  add  via nn.Linear(4, 4), nn.ReLU()",
        "decoder.0 -> 2  call",
        "encoder -> output  take",
        "input -> output  take",
        "decoder -> output  output",
        "encoder.0 -> output  output",
    ]
    first = net.skips[0]
    assert (first.join, first.name, first.text) == ("decoder.cat_0", "x1", "cat('x1', here, dim=-1)")
    assert (first.giver_place, first.reader_place) == ("net.encoder[0]", "net.decoder[1]")


def test_the_table_is_printed() -> None:
    net = Sequential(("conv1", linear()), save("x1"), relu(), ("conv2", linear()), add(via("x1", linear())), cat("input"))
    assert repr(net.skips) == (
        "2 skips\n"
        "\n"
        "giver          name   join  via              reader\n"
        "conv1  net[0]  x1     add   nn.Linear(4, 4)  output  net[4]\n"
        "input          input  cat                    output  net[5]"
    )
    assert repr(Sequential(linear()).skips) == "no skips"
    assert repr(net.skips[:1]).startswith("1 skip\n")


def test_skips_are_a_sequence() -> None:
    skips = many().skips
    assert isinstance(skips, Skips)
    assert len(skips) == 7
    assert isinstance(skips[1:3], Skips)
    assert list(skips[1:3]) == [skips[1], skips[2]]
    assert skips[0] in skips
    assert skips == many().skips
    assert hash(skips) == hash(many().skips)
    assert skips != skips[1:]
    assert skips != list(skips)
    assert pickle.loads(pickle.dumps(skips)) == skips
    with pytest.raises(TypeError):
        skips[0] = skips[1]  # type: ignore[index]


def test_names_do_not_matter_for_equality() -> None:
    one = Sequential(("a", linear()), save("x1"), relu(), ("b", linear()), add("x1"))
    other = Sequential(("a", linear()), relu(), ("b", linear()), add("a"))
    assert one.skips == other.skips
    for word in (cat("a"), add("a", here), add("a", broadcast=True), add(via("a", relu()))):
        assert one.skips != Sequential(("a", linear()), relu(), ("b", linear()), word).skips


def test_the_giver_is_the_outermost_part_of_a_value() -> None:
    tower = Sequential(Residual(linear()), Residual(linear()), ("last", linear()), cat("0"))
    assert [skip.giver for skip in tower.skips] == ["input", "0", "0"]
    inner = Sequential(("a", Sequential(("b", Sequential(linear(), ("c", relu()))))), linear(), add("a.b.c"))
    assert [skip.giver for skip in inner.skips] == ["a"]
    split = Sequential(("lstm", nn.LSTM(4, 4)), save("steps", "state"), pick[0], linear(), add("steps"))
    assert [skip.giver for skip in split.skips] == ["steps"]
    assert split.skips[0].giver_place == "net[1]"


def test_what_a_call_gives_to_a_part() -> None:
    part = Sequential(linear(), add("t"), add("u"))
    net = Sequential(("u", linear()), ("a", linear()), relu(), ("part", call(part, here, t="a")), linear())
    assert [(skip.giver, skip.join) for skip in net.skips] == [
        ("a", "call_0"),
        ("a", "part.add_0"),
        ("u", "part.add_1"),
    ]
    with_running = Sequential(linear(), call(Sequential(linear(), add("t")), here, t=here))
    assert [skip.giver for skip in with_running.skips] == ["0"]


# ---------------------------------------------------------------------------------------------- diff


def test_diff_tells_skips_and_keys() -> None:
    net = Sequential(("conv1", nn.Conv2d(3, 16, 1)), ("conv2", nn.Conv2d(16, 8, 4)), ("deconv1", nn.Conv2d(8, 4, 4)))
    other = Sequential(
        ("conv1", nn.Conv2d(3, 16, 1)),
        ("conv2", nn.Conv2d(16, 16, 4)),
        cat("conv1"),
        ("deconv1", nn.Conv2d(32, 4, 4)),
        ("head", nn.Linear(4, 2, bias=False)),
    )
    assert repr(net.diff(other)) == (
        "+ conv1 -> deconv1  cat\n"
        "~ conv2.weight  (8, 16, 4, 4) -> (16, 16, 4, 4)\n"
        "~ conv2.bias  (8,) -> (16,)\n"
        "~ deconv1.weight  (4, 8, 4, 4) -> (4, 32, 4, 4)\n"
        "+ head.weight  (2, 4)"
    )
    assert repr(other.diff(net)).startswith("- conv1 -> deconv1  cat\n- head.weight  (2, 4)\n~ conv2.weight")


def test_equal_networks_have_no_difference() -> None:
    for net in (two_parts(), many(), plain_parts(), odd_parts()):
        assert not net.diff(net)
        assert not net.diff(copy.deepcopy(net))
        assert repr(net.diff(net)) == "no difference"
    assert isinstance(net.diff(net), Diff)
    assert net.diff(net) == net.skips.diff(net.skips)
    assert hash(net.diff(net)) == hash(net.skips.diff(net.skips))


def test_new_numbers_alone_are_no_difference() -> None:
    net = Sequential(("part", Sequential(linear(), relu(), linear())), linear(), add("part.1"), linear(), add("1"))
    new = net.inserted("part.1", nn.Identity()).inserted("1", nn.Identity()).renamed({"part": "encoder"})
    assert not net.diff(new)
    assert not new.diff(net)
    assert net.skips != new.skips
    # By their paths alone, it is other layers that are connected.
    assert repr(net.diff(copy.deepcopy(new))) != "no difference"


def test_a_layer_between_a_join_and_its_reader_is_no_difference() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), add("a"), ("b", linear()))
    new = net.inserted("b", nn.Identity())
    assert (net.skips[0].reader, new.skips[0].reader) == ("b", "2")
    assert not net.diff(new)


def test_joins_that_give_are_known_by_their_place() -> None:
    net = Sequential(linear(), nn.Tanh(), add("0"), mul("0"), linear(), cat("add_0"), cat("mul_0"), linear(16, 4))
    new = net.inserted("0", nn.Identity())
    assert not any(new_word is word for new_word in new for word in net[2:4])
    assert not net.diff(new)
    assert net.diff(new.disconnect("mul_0", "cat_1")).lines[0] == "- mul_0 -> 3  cat"


def test_skips_that_moved_are_told_where_they_are_now() -> None:
    net = Sequential(linear(), relu(), linear(), add("0"), linear())
    new = net.inserted("0", nn.Identity()).disconnect("1", "4").connect("2", "4", cat)
    assert net.diff(new).lines == ("- 0 -> 3  add", "+ 2 -> 4  cat")


def test_another_order_of_operands_is_a_difference() -> None:
    layers = [linear(), relu(), linear()]
    one, other = Sequential(*layers, cat("0")), Sequential(*layers, cat("0", here))
    assert one.diff(other).lines == ("- 0 -> output  cat", "+ 0 -> output  cat")
    assert one.skips.diff(other.skips) == one.diff(other)


def test_only_what_can_be_compared() -> None:
    net = two_parts()
    with pytest.raises(CallError, match=r"net.diff\(nn.Linear\(4, 4\)\): a network is compared with another Sequential"):
        net.diff(linear())
    with pytest.raises(TypeError, match="skips are compared with skips, not with Sequential"):
        net.skips.diff(net)  # type: ignore[arg-type]


def test_a_round_trip_of_a_unet() -> None:
    net = UNet([linear(), linear()], linear(), [linear(8, 4), linear(8, 4)])
    value = x()
    with untouched(net):
        less = net.disconnect("skip_1", "decoder_1")
        assert net.diff(less).lines == ("- encoder_1 -> decoder_1  cat",)
        assert "save('skip_1')" not in repr(less)
        again = less.connect("encoder_1", "decoder_1", cat)
        # The name of the layer is enough now, and the running value comes first.
        assert net.diff(again).lines == ("- encoder_1 -> decoder_1  cat", "+ encoder_1 -> decoder_1  cat")
        assert not equal(again(value), net(value))
