"""Layers put in, taken out and named anew, with the skips following them, and the checkpoints from before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from skipseq import Residual, Sequential, add, call, cat, here, mul, save, sub, take, via
from skipseq.errors import CallError, SkipseqError

from .helpers import Wrapper, linear, look_on, x
from .rewired_networks import refused, untouched


def net_with_paths() -> Sequential:
    """References by number, from the same sequence, from outside a part, and from inside another one."""
    return Sequential(
        ("encoder", Sequential(linear(), nn.Tanh(), save("x1"), linear())),
        linear(),
        add("encoder.1"),
        ("decoder", Sequential(linear(), add("encoder.0"), add("0"), linear(), nn.Tanh(), add("1"))),
        cat("decoder.1", here, "1"),
        linear(12, 4),
        outputs=("encoder.0", "3"),
    )


# ---------------------------------------------------------------------------------------------- inserted


def test_numbers_follow_from_everywhere() -> None:
    net = net_with_paths()
    value = x()
    with untouched(net):
        new = net.inserted("encoder.0", nn.Identity()).inserted("decoder.1", nn.Identity())
    assert [repr(new[2]), repr(new.decoder[1]), repr(new.decoder[2]), repr(new.decoder[6]), repr(new[4]), new._outputs] == [
        "add('encoder.2')",
        "add('encoder.1')",
        "add('0')",
        "add('2')",
        "cat('decoder.2', here, '1')",
        ("encoder.1", "3"),
    ]
    for one, other in zip(new(value), net(value), strict=True):
        assert torch.equal(one, other)


def test_the_outer_numbers_too() -> None:
    net = net_with_paths()
    new = net.inserted("encoder", nn.Identity())
    assert [repr(new.decoder[2]), repr(new.decoder[5]), repr(new[5])] == [
        "add('0')",
        "add('1')",
        "cat('decoder.1', here, '2')",
    ]
    value = x()
    for one, other in zip(new(value), net(value), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("index", range(6))
def test_as_the_sequence_edited_in_place(index: int) -> None:
    def network() -> Sequential:
        return Sequential(linear(), nn.Tanh(), save("h"), linear(), add(via("0", linear())), add("h"))

    for entry in (nn.ReLU(), ("name", linear()), torch.relu, add(via("input", linear()), here), call(torch.maximum, "input")):
        net, edited = network(), network()
        key = list(net._modules)[index]
        edited.insert(index, copy.deepcopy(entry))
        new = net.inserted(key, entry)
        assert repr(new) == repr(edited)
        assert list(new.state_dict()) == list(edited.state_dict())
        del edited[index]
        assert list(new.removed(list(new._modules)[index]).state_dict()) == list(edited.state_dict())


def test_at_the_ends() -> None:
    net = net_with_paths()
    new = net.inserted("decoder.output", nn.ReLU())
    assert isinstance(new.decoder[-1], nn.ReLU)
    assert isinstance(Sequential(linear()).inserted("output", nn.ReLU())[-1], nn.ReLU)


def test_a_number_that_would_be_taken_inside_is_saved() -> None:
    """With one layer less around it, '2' would be the part's own."""
    part = Sequential(linear(), linear(), add("3"), linear())
    net = Sequential(nn.Identity(), linear(), linear(), linear(), nn.Tanh(), part)
    value = x()
    with untouched(net):
        new = net.removed("0")
    assert torch.equal(new(value), net(value))
    assert repr(new.get_submodule("4")) != repr(net.get_submodule("5"))
    assert [repr(new[3]), repr(new[5][2])] == ["save('skip_1')", "add('skip_1')"]


def test_a_save_may_meet_a_need() -> None:
    net = Sequential(("a", linear()), ("part", Sequential(linear(), add("t"))))
    new = net.inserted("part", save("t"))
    value = x()
    first = net.a(value)
    assert torch.equal(new(value), net.part[0](first) + first)


def test_a_number_does_not_meet_a_need() -> None:
    net = Sequential(("part", Sequential(linear(), nn.Tanh())), add("3"), ("last", linear()))
    said = refused(
        net, lambda net: net.inserted("part", nn.Identity()).inserted("add_0", nn.Identity()).inserted("add_0", nn.Identity())
    )
    assert said == (
        "net[4] add('3') reads '3', and no name leads there behind the edit.\n"
        "  Give the layer a name, or save its output, and read it by that name."
    )


def test_a_label_that_is_saved_elsewhere_too() -> None:
    """The reference by the bare label gets the path of the one that it meant."""
    net = Sequential(("a", Sequential(linear(), save("x1"))), ("b", Sequential(linear())), ("c", linear()), add("x1"))
    new = net.inserted("b.output", save("x1"))
    assert repr(new[3]) == "add('a.x1')"


@pytest.mark.parametrize(
    ("path", "entry", "text"),
    [
        ("decoder.9", nn.ReLU(), "net.inserted('decoder.9', ReLU()): 'decoder.9' names no entry: there is no 'decoder.9'."),
        ("encoder.x1", nn.ReLU(), "net.inserted('encoder.x1', ReLU()): 'encoder.x1' is a label, and no entry."),
        ("encoder.0", None, "net[0] is None. Leave it out, or write nn.Identity()."),
        ("encoder.0", ("train", nn.ReLU()), "net[0] 'train' cannot be a name: a sequence has an attribute of this name."),
        ("decoder.0", ("decoder", nn.ReLU()), None),
        ("encoder.0", ("0", nn.ReLU()), None),
        ("encoder.0", save("x1"), "net.encoder[3] save('x1') saves 'x1' again; it is already saved at net.encoder[0]."),
        ("encoder.0", add("encoder.3"), ""),
    ],
)
def test_entries_that_do_not_fit(path: str, entry: Any, text: str | None) -> None:
    net = net_with_paths()
    if text is None:
        net.inserted(path, entry)
        return
    with untouched(net), pytest.raises(SkipseqError) as caught:
        net.inserted(path, entry)
    assert text.replace("net.encoder[", "net[") in str(caught.value).replace("net.encoder[", "net[")


# ---------------------------------------------------------------------------------------------- removed


def test_numbers_follow_what_is_left() -> None:
    net = net_with_paths().inserted("encoder.0", nn.Identity()).inserted("decoder.0", nn.Flatten())
    with untouched(net):
        new = net.removed("encoder.0").removed("decoder.0")
    assert repr(new) == repr(net_with_paths())
    value = x()
    for one, other in zip(new(value), net(value), strict=True):
        assert torch.equal(one, other)


def test_what_is_read_is_not_removed() -> None:
    assert refused(net_with_paths(), lambda net: net.removed("encoder.0")) == (
        "net.removed('encoder.0'): what it gives is read.\n"
        "  net (outputs=('encoder.0', '3')) reads 'encoder.0'; net.decoder[1] add('encoder.0') reads 'encoder.0'.\n"
        "  Remove its readers first, or give them another value."
    )
    assert refused(net_with_paths(), lambda net: net.removed("encoder")) == (
        "net.removed('encoder'): what it gives is read.\n"
        "  net[2] add('encoder.1') reads 'encoder.1'; net (outputs=('encoder.0', '3')) reads 'encoder.0';"
        " net.decoder[1] add('encoder.0') reads 'encoder.0'.\n"
        "  Remove its readers first, or give them another value."
    )
    net = Sequential(("a", linear()), save("x1"), ("b", linear()), add(via("x1", linear())), call("b"))
    for path, reader in (
        ("save_0", "net[3] add(via('x1', nn.Linear(4, 4))) reads 'x1'"),
        ("b", "net[4] call('b') reads 'b'"),
    ):
        assert refused(net, lambda net, path=path: net.removed(path)) == (
            f"net.removed({path!r}): what it gives is read.\n  {reader}.\n"
            "  Remove its readers first, or give them another value."
        )


def test_a_layer_before_a_save_may_go() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), save("x1"), linear(), add("x1"))
    value = x()
    first = net.a(value)
    assert torch.equal(net.removed("1")(value), net[3](first) + first)


def test_a_call_goes_with_its_layer() -> None:
    net = Sequential(("a", linear()), call(nn.Bilinear(4, 4, 4), "input"), ("b", linear()))
    for path in ("1", "call_0"):
        assert list(net.removed(path)._modules) == ["a", "b"]


def test_a_part_with_skips_of_its_own() -> None:
    net = Sequential(linear(), Residual(linear(), nn.ReLU()), linear())
    assert len(net.removed("1")) == 2
    assert repr(net.removed("1.add_0")[1]).startswith("Sequential(")


def test_a_part_that_reads_and_returns_something_else() -> None:
    part = Sequential(("a", linear()), add("x1"), add("0"), outputs="a")
    net = Sequential(linear(), nn.Tanh(), save("x1"), nn.Flatten(), ("part", part), linear())
    with untouched(net):
        new = net.removed("part")
    assert list(new._modules) == ["0", "1", "save_0", "2", "3"]


def test_the_end_is_no_entry() -> None:
    assert refused(net_with_paths(), lambda net: net.removed("output")) == (
        "net.removed('output'): 'output' is the end of the sequence, and no entry.\n  Write the path of an entry."
    )
    assert refused(net_with_paths(), lambda net: net.renamed({"decoder.output": "a"})) == (
        "net.renamed({'decoder.output': 'a'}): 'decoder.output' is the end of the sequence, and no entry.\n"
        "  Write the path of an entry."
    )


# ---------------------------------------------------------------------------------------------- renamed


def test_references_follow_names() -> None:
    net = net_with_paths()
    value = x()
    with untouched(net):
        new = net.renamed(
            {"encoder": "down", "encoder.0": "encoder.stem", "decoder.1": "decoder.end", "1": "bridge", "cat_0": "both"}
        )
    assert [repr(new[2]), repr(new.decoder[1]), repr(new.decoder[5]), repr(new[4]), new._outputs] == [
        "add('down.1')",
        "add('down.stem')",
        "add('end')",
        "cat('decoder.end', here, 'bridge')",
        ("down.stem", "3"),
    ]
    assert list(new.state_dict())[:2] == ["down.stem.weight", "down.stem.bias"]
    assert "both" in new._modules
    for one, other in zip(new(value), net(value), strict=True):
        assert torch.equal(one, other)
    assert new.down.stem is net.encoder[0]


def test_names_change_places() -> None:
    net = Sequential(("a", linear()), nn.Tanh(), ("b", linear()), add("a"), mul("b"))
    new = net.renamed({"a": "b", "b": "a"})
    assert list(new._modules)[:3] == ["b", "1", "a"]
    assert [repr(new[3]), repr(new[4])] == ["add('b')", "mul('a')"]
    value = x()
    assert torch.equal(new(value), net(value))


def test_a_name_may_go_back_to_a_number() -> None:
    net = Sequential(("stem", linear()), nn.Tanh(), add("stem"))
    new = net.renamed({"stem": "0"})
    assert repr(new) == repr(Sequential(linear(), nn.Tanh(), add("0")))
    assert refused(net, lambda net: net.renamed({"stem": "5"})) == (
        "net.renamed({'stem': '5'}): '5' is the number of another layer: here it would be '0'.\n  Write '0', or a name."
    )


def test_a_name_that_is_taken_inside_a_reader() -> None:
    """The part has a 'stem' of its own, so the outer one is saved."""
    part = Sequential(("stem", linear()), add("conv"))
    net = Sequential(("conv", linear()), nn.Tanh(), ("part", part))
    value = x()
    new = net.renamed({"conv": "stem"})
    assert torch.equal(new(value), net(value))
    assert [repr(new[1]), repr(new.part[1])] == ["save('skip_1')", "add('skip_1')"]


def test_labels_like_and_calls_follow() -> None:
    net = Sequential(
        ("a", nn.Conv2d(3, 3, 3, padding=1)),
        nn.ReLU(),
        add("input", "a", here, fit="crop", like="a"),
        call("a"),
        sub(via("a", nn.ReLU())),
    )
    new = net.renamed({"a": "stem"})
    assert [repr(each) for each in new][2:] == [
        "add('input', 'stem', here, fit='crop', like='stem')",
        "call('stem')",
        "sub(via('stem', nn.ReLU()))",
    ]
    value = torch.randn(1, 3, 6, 6)
    assert torch.equal(new(value), net(value))


def test_parts_inside_words_follow() -> None:
    """A part among the layers of a word reads a name from around it."""
    net = Sequential(("a", linear()), nn.Tanh(), ("both", add(via("input", Sequential(linear(), add("a"))))), take("both.0.0"))
    with untouched(net):
        new = net.renamed({"a": "stem", "both": "sum", "both.0.0": "both.0.first"})
    assert "('sum', add(via('input', Sequential(('first', nn.Linear(4, 4)), add('stem')))))" in repr(new)
    assert repr(new[3]) == "take('sum.0.first')"
    value = x()
    assert torch.equal(new(value), net(value))
    assert list(new.state_dict())[2:] == ["sum.0.first.weight", "sum.0.first.bias"]


def test_a_need_stays_a_need() -> None:
    net = Sequential(("a", linear()), add("t"), ("part", Sequential(linear(), add("t"))))
    assert list(net.renamed({"a": "b", "part": "c"}).wiring.needs) == ["t"]
    assert refused(net, lambda net: net.renamed({"part": "t"})) == (
        "net[1] add('t') reads 't', and no name leads there behind the edit.\n"
        "  Give the layer a name, or save its output, and read it by that name."
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            {"encodr": "a"},
            "'encodr' names no entry: there is no 'encodr'. Did you mean 'encoder'?\n  Write the path of an entry.",
        ),
        (
            {"encoder.0": "stem"},
            "'encoder.0' is to be 'stem', and a layer stays in its container, 'encoder'.\n  Write 'encoder.stem'.",
        ),
        ({"1": "a.b"}, "'1' is to be 'a.b', and a layer stays in its container, the network itself.\n  Write 'b'."),
        ({"1": 3}, "the name for '1' is 3.\n  Write a text."),
        (
            {"1": "train"},
            "'train' cannot be a name: a sequence has an attribute of this name. Rename it.\n  Write another name.",
        ),
        ({"1": ""}, "'' cannot be a name: a name is a text without dots.\n  Write another name."),
    ],
)
def test_names_that_do_not_fit(names: Any, text: str) -> None:
    assert refused(net_with_paths(), lambda net: net.renamed(names)) == f"net.renamed({names!r}): {text}"


def test_two_of_one_name() -> None:
    assert refused(net_with_paths(), lambda net: net.renamed({"1": "decoder"})) == (
        "'decoder' would be the name of 2 entries of net."
    )
    assert "saves 'x1', which is the name of a layer" in refused(
        net_with_paths(), lambda net: net.renamed({"encoder.0": "encoder.x1"})
    )
    net = Sequential(("a", linear()), call(nn.Bilinear(4, 4, 4), "input"))
    assert refused(net, lambda net: net.renamed({"call_0": "b"})) == (
        "net.renamed({'call_0': 'b'}): 'call_0' is the word of a call, whose name is that of its layer.\n  Write '1'."
    )
    assert refused(net, lambda net: net.renamed(["a"])) == (
        "net.renamed(['a']): the names are no dict.\n  Write {'0': 'stem'}."
    )


def test_a_wrapped_part_that_would_have_to_follow() -> None:
    net = Sequential(("a", linear()), ("wrapped", Wrapper(Sequential(linear(), add("a")))))
    assert refused(net, lambda net: net.renamed({"a": "b"})) == (
        "net.wrapped would have to be changed, and it stands in a wrapper, Wrapper.\n"
        "  Change the sequence inside it first, and wrap it afterwards."
    )
    assert refused(net, lambda net: net.renamed({"wrapped.0": "wrapped.b"})) == (
        "net.renamed({'wrapped.0': 'wrapped.b'}): 'wrapped' cannot be changed: it stands in a wrapper, Wrapper.\n"
        "  Connect the layers of the sequence first, and wrap it afterwards."
    )


def test_the_name_alone_of_a_wrapped_part() -> None:
    net = Sequential(("a", Wrapper(Sequential(linear(), nn.Tanh()))), linear(), add("a.0"))
    new = net.renamed({"a": "b"})
    assert repr(new[2]) == "add('b.0')"
    assert new.b is net.a


# ---------------------------------------------------------------------------------------------- checkpoints


def test_an_old_checkpoint_loads() -> None:
    old = Sequential(
        ("encoder", Sequential(linear(), nn.BatchNorm1d(4), nn.Tanh(), linear())),
        linear(),
        add(via("encoder.0", linear())),
        linear(),
    )
    new = (
        old.inserted("encoder.0", nn.Identity())
        .inserted("1", nn.Flatten())
        .renamed({"encoder": "down", "2": "bridge"})
        .inserted("output", nn.ReLU())
    )
    renames = new.renames_from(old)
    assert renames["encoder.0.weight"] == "down.1.weight"
    assert renames["encoder.1.num_batches_tracked"] == "down.2.num_batches_tracked"
    assert renames["1.weight"] == "bridge.weight"
    assert "add_0.0.weight" not in renames
    twin = copy.deepcopy(new)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    result = twin.load_renamed(old.state_dict(), renames)
    assert result == ([], [])
    value = x()
    assert torch.equal(twin.eval()(value), new.eval()(value))


def test_what_was_removed_is_left_out() -> None:
    old = Sequential(linear(), linear(), linear(4, 2))
    new = old.removed("0")
    assert new.renames_from(old) == {
        "0.weight": None,
        "0.bias": None,
        "1.weight": "0.weight",
        "1.bias": "0.bias",
        "2.weight": "1.weight",
        "2.bias": "1.bias",
    }
    assert copy.deepcopy(new).load_renamed(old.state_dict(), new.renames_from(old)) == ([], [])
    assert new.renames_from(new) == {}


def test_shared_layers_in_their_order() -> None:
    shared = linear()
    old = Sequential(("a", shared), nn.Tanh(), ("b", shared))
    new = old.renamed({"a": "x", "b": "y"})
    assert new.renames_from(old) == {"a.weight": "x.weight", "a.bias": "x.bias", "b.weight": "y.weight", "b.bias": "y.bias"}


class WithState(nn.Module):
    """A layer that writes something of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, value: Any) -> Any:
        return value

    def get_extra_state(self) -> int:
        return self.seen

    def set_extra_state(self, state: int) -> None:
        self.seen = state


def test_what_a_layer_writes_besides_tensors() -> None:
    old = Sequential(linear(), WithState())
    old[1].seen = 7
    new = old.inserted("0", nn.Identity())
    assert new.renames_from(old)["1._extra_state"] == "2._extra_state"
    twin = copy.deepcopy(new)
    twin[2].seen = 0
    twin.load_renamed(old.state_dict(), new.renames_from(old))
    assert twin[2].seen == 7


def test_versions_of_layers_follow() -> None:
    """An old version of a batch norm has no count of its batches, and its version tells so."""
    old = Sequential(linear(), nn.BatchNorm1d(4))
    new = old.inserted("0", nn.Identity())
    checkpoint = old.state_dict()
    del checkpoint["1.num_batches_tracked"]
    checkpoint._metadata["1"]["version"] = 1
    renames = {"0": "1", "1": "2"}
    assert copy.deepcopy(new).load_renamed(checkpoint, renames) == ([], [])
    checkpoint._metadata["1"]["version"] = 2
    with pytest.raises(CallError, match=r"missing: '2\.num_batches_tracked' is not in the checkpoint"):
        copy.deepcopy(new).load_renamed(checkpoint, renames)


def test_paths_and_whole_keys() -> None:
    net = Sequential(("a", Sequential(("b", linear()), ("c", linear()))), ("d", linear()))
    old = Sequential(("x", Sequential(("b", linear()), ("c", linear()))), ("y", linear()))
    state = old.state_dict()
    for renames in (
        {"x": "a", "y": "d"},
        {"x.b": "a.b", "x.c": "a.c", "y.weight": "d.weight", "y.bias": "d.bias"},
        {"x": "a", "x.c": "a.c", "y": "d"},
    ):
        twin = copy.deepcopy(net)
        assert twin.load_renamed(state, renames) == ([], [])
        assert torch.equal(twin.a.c.weight, old.x.c.weight)
    swapped = copy.deepcopy(net)
    swapped.load_renamed(state, {"x.b": "a.c", "x.c": "a.b", "y": "d"})
    assert torch.equal(swapped.a.c.weight, old.x.b.weight)
    less = copy.deepcopy(net).load_renamed(state, {"x.b": "a.b", "x.c": None, "y": "d"}, strict=False)
    assert less.missing_keys == ["a.c.weight", "a.c.bias"]


@pytest.mark.parametrize(
    ("renames", "text"),
    [
        (
            {"encodr": "down"},
            "load_renamed: the rename 'encodr' -> 'down' matches no key of the checkpoint. Did you mean 'encoder'?\n"
            "A rename leads from a path or key of the checkpoint to the one of this network.",
        ),
        (
            {"encoder": "head"},
            "load_renamed: 'encoder.weight' and 'head.weight' both become 'head.weight'.\n"
            "Rename 'head.weight' too, or leave it out: {'head.weight': None}.",
        ),
        (
            {},
            "load_renamed: the checkpoint does not fit this Sequential; what fits is loaded.\n"
            "unexpected: 'encoder.weight' is no key of this network. Did you mean 'down.weight'?\n"
            "unexpected: 'encoder.bias' is no key of this network.\n"
            "missing: 'down.weight' is not in the checkpoint. Did you mean 'encoder.weight'?\n"
            "missing: 'down.bias' is not in the checkpoint.\n"
            "Rename them in renames={'old.path': 'new.path'}, leave them out with {'old.path': None}, or write strict=False.",
        ),
        (
            {"encoder": "dawn"},
            "load_renamed: the checkpoint does not fit this Sequential; what fits is loaded.\n"
            "unexpected: 'dawn.weight' (from 'encoder.weight') is no key of this network. Did you mean 'down.weight'?\n"
            "unexpected: 'dawn.bias' (from 'encoder.bias') is no key of this network. Did you mean 'down.bias'?\n"
            "missing: 'down.weight' is not in the checkpoint. Did you mean 'dawn.weight'?\n"
            "missing: 'down.bias' is not in the checkpoint. Did you mean 'dawn.bias'?\n"
            "Rename them in renames={'old.path': 'new.path'}, leave them out with {'old.path': None}, or write strict=False.",
        ),
        (["encoder"], "load_renamed: the renames are list, and no dict.\nWrite {'old.path': 'new.path'}."),
    ],
)
def test_renames_that_do_not_fit(renames: Any, text: str) -> None:
    old = Sequential(("encoder", linear()), ("head", linear()))
    net = Sequential(("down", linear()), ("head", linear()))
    assert refused(net, lambda net: net.load_renamed(old.state_dict(), renames), CallError) == text


def test_what_is_no_checkpoint_and_no_network() -> None:
    net = Sequential(linear())
    said = refused(net, lambda net: net.load_renamed(net, {}), CallError)
    assert said == "load_renamed: the checkpoint is Sequential, and no state_dict.\nWrite torch.load(...) of one."
    said = refused(net, lambda net: net.renames_from(net.state_dict()), CallError)
    assert said == "renames_from is given OrderedDict, and no network.\nWrite new.renames_from(old)."
    said = refused(net, lambda net: net.renames_from(copy.deepcopy(net)), CallError)
    assert said == (
        "renames_from: the two networks share no parameter or buffer, so nothing tells which keys belong together.\n"
        "Sequential must be the network that this one was made from, not a copy of it.\n"
        "Write load_renamed(checkpoint, {'old.path': 'new.path'})."
    )


def test_shapes_that_differ_are_torch_s_error() -> None:
    net = Sequential(("a", linear()))
    with pytest.raises(RuntimeError, match=r"size mismatch for a\.weight"):
        net.load_renamed(Sequential(linear(4, 2)).state_dict(), {"0": "a"})


def test_hooks_of_what_moves_stay() -> None:
    net = Sequential(("a", Sequential(linear(), nn.Tanh())), linear())
    handles = look_on([net, net.a])
    new = net.inserted("a.0", nn.Identity())
    assert [*new._forward_hooks, *new.a._forward_hooks] == [handle.id for handle in handles]
