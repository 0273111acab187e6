"""Bad input: each raises one clear error, which says what was built, where, what is wrong and what to write instead."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import (
    Branches,
    DenseBlock,
    Residual,
    Sequential,
    UNet,
    add,
    call,
    cat,
    here,
    mul,
    pick,
    save,
    sub,
    take,
    via,
)
from skipseq.errors import (
    CallError,
    DeviceError,
    OverwriteError,
    ShapeError,
    SkipseqError,
    ValueFault,
    WiringError,
    WordError,
)

from .helpers import linear, look_on, parts_of, refused, relu_, x


def says(text: str, *parts: str) -> None:
    """Each part stands in the text, in this order."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is not, or not here, in:\n{text}"
        at = found + len(part)


# ------------------------------------------------------------------------------------------------- references


def test_unknown_reference_in_a_closed_sequence() -> None:
    text = refused(lambda: Sequential(linear(), add("somewhere"), inputs=("x",)))
    says(
        text,
        "Sequential",
        "net[1] add('somewhere')",
        "reads 'somewhere', which nothing gives.",
        "Save the value before",
    )
    assert "inputs=('x',)" in text


@pytest.mark.parametrize(
    ("wrong", "meant", "entries"),
    [
        ("encoder1", "encoder_1", lambda: [save("encoder_1"), linear()]),
        ("liner1", "linear1", lambda: [("linear1", linear()), nn.Tanh()]),
        ("maks", "mask", lambda: [linear()]),
        ("skp", "skip", lambda: [("part", Sequential(linear(), save("skip"), nn.Tanh()))]),
    ],
    ids=["label", "layer", "input", "label inside a part"],
)
def test_misspelt_reference_in_a_closed_sequence(wrong: str, meant: str, entries: Callable[[], list[Any]]) -> None:
    text = refused(lambda: Sequential(*entries(), add(wrong), inputs=("x", "mask")))
    says(text, f"reads {wrong!r}, which nothing gives.", f"Did you mean {meant!r}?")


@pytest.mark.parametrize(
    ("wrong", "meant", "entries"),
    [
        ("encoder1", "encoder_1", lambda: [save("encoder_1"), linear()]),
        ("liner1", "linear1", lambda: [("linear1", linear()), nn.Tanh()]),
        ("skp", "skip", lambda: [("part", Sequential(linear(), save("skip"), nn.Tanh()))]),
    ],
    ids=["label", "layer", "label inside a part"],
)
def test_misspelt_reference_in_an_open_sequence(wrong: str, meant: str, entries: Callable[[], list[Any]]) -> None:
    """Open: it is a need, shown by print, and told with the nearest name at the first call that lacks it."""
    net = Sequential(*entries(), add(wrong))
    assert repr(net).startswith(f"# needs {wrong}\n")
    with pytest.raises(CallError) as caught:
        net(x())
    place = f"net[{len(net) - 1}]"
    says(str(caught.value), "Sequential", f"lacks {wrong!r}", f"{place} reads", f"Did you mean {meant!r}?", "Write net(")
    assert isinstance(caught.value, TypeError)


def test_misspelt_reference_inside_a_part() -> None:
    net = Sequential(
        ("encoder", Sequential(linear(), save("skip"), nn.Tanh())), ("decoder", Sequential(linear(), add("skipp")))
    )
    with pytest.raises(CallError) as caught:
        net(x())
    says(str(caught.value), "lacks 'skipp'", "net.decoder[1] reads", "Did you mean 'skip'?")
    text = refused(lambda: Sequential(*net, inputs=("x",)))
    says(text, "[1]", "'skipp', which nothing gives.", "Did you mean 'skip'?")


def test_unknown_inside_a_part() -> None:
    def build() -> object:
        return Sequential(("encoder", Sequential(linear(), ("conv2", nn.Tanh()))), add("encoder.conv3"))

    says(
        refused(build),
        "net[1] add('encoder.conv3')",
        "'encoder.conv3', which does not exist.",
        "Did you mean 'encoder.conv2'?",
    )


def test_a_path_into_a_layer() -> None:
    text = refused(lambda: Sequential(("conv", linear()), nn.Tanh(), add("conv.0")))
    says(text, "net[2] add('conv.0')", "'conv' is no sequence", "Refer to its output, 'conv'")


def test_duplicate_label() -> None:
    text = refused(lambda: Sequential(linear(), save("enc1"), nn.Tanh(), save("enc1")))
    says(text, "net[3] save('enc1')", "already saved at net[1]", "Rename one of them.")
    text = refused(lambda: Sequential(lambda v: (v, v), save("h", "h")))
    says(text, "net[1] save('h', 'h')", "'h'", "Rename one of them.")


def test_reading_before_saving() -> None:
    text = refused(lambda: Sequential(linear(), add("x1"), nn.Tanh(), save("x1")))
    says(text, "net[1] add('x1')", "'x1' before it is there", "saved at net[3]", "A skip leads forward")
    text = refused(lambda: Sequential(linear(), add("late"), ("late", nn.Tanh())))
    says(text, "net[1] add('late')", "'late' before it is there", "layer 'late'", "A skip leads forward")
    text = refused(lambda: Sequential(linear(), add("part.0"), ("part", Sequential(nn.Tanh()))))
    says(text, "net[1] add('part.0')", "'part.0' before it is there", "A skip leads forward")
    text = refused(lambda: Sequential(add("x1"), Sequential(linear(), save("x1"), nn.Tanh())))
    says(text, "net[0] add('x1')", "'x1' before it is there", "net[1]")
    text = refused(lambda: Sequential(("dec", Sequential(linear(), add("x1"))), ("enc", Sequential(save("x1"), linear()))))
    says(text, "net.dec[1]", "'x1' before it is there", "net[1]")


def test_a_layer_that_reads_its_own_output() -> None:
    text = refused(lambda: Sequential(linear(), ("me", call(nn.Bilinear(4, 4, 4), "me"))))
    says(text, "net[1] call(", "'me' before it is there")


def test_ambiguous_label() -> None:
    def build() -> object:
        left, right = (Sequential(linear(), save("x1"), nn.Tanh()) for _ in range(2))
        return Sequential(("left", left), ("right", right), add("x1"))

    text = refused(build)
    says(text, "net[2] add('x1')", "'left.x1' and at 'right.x1'", "Write the path of the one that is meant")


def test_two_operands_without_here() -> None:
    text = refused(lambda: Sequential(("enc1", linear()), ("enc2", nn.Tanh()), nn.Sigmoid(), add("enc1", "enc2")))
    says(
        text,
        "net[3] add('enc1', 'enc2') does not say where the running value goes.",
        "Write add(here, 'enc1', 'enc2'), or take(add('enc1', 'enc2')) to leave it out.",
    )
    text = refused(lambda: Sequential(save("a"), linear(), save("b"), nn.Tanh(), call(nn.Bilinear(4, 4, 4), "a", "b")))
    says(text, "net[4] call(nn.Bilinear(", "does not say where the running value goes", ", here, 'a', 'b')")
    text = refused(lambda: Sequential(linear(), sub(1.0, "input")))
    says(text, "Write sub(here, 1.0, 'input'), or take(sub(1.0, 'input')) to leave it out.")


@pytest.mark.parametrize(
    "entry",
    [
        lambda: add("a", "a"),
        lambda: add(here, here),
        lambda: add(here, "a", "a"),
        lambda: cat(here, "a", "first"),
        lambda: take(mul("a", "a")),
        lambda: add(here, "b"),
        lambda: add("b"),
        lambda: sub(here, mul("a", "a")),
    ],
)
def test_the_same_operand_twice(entry: Callable[[], Any]) -> None:
    with pytest.raises(WiringError, match="joins a value with itself") as caught:
        Sequential(("first", linear()), save("a"), nn.Tanh(), save("b"), entry())
    says(str(caught.value), "net[4]", "joins a value with itself.", "Name each value once")


# ---------------------------------------------------------------------------------------------------- entries


def function_of_the_module(value: Tensor) -> Tensor:
    return value


WRONG_ENTRIES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "class": (lambda: nn.ReLU, ("is the class ReLU, not an instance.", "Write ReLU(...).")),
    "bare cat": (lambda: cat, ("is the bare word cat.", "Write cat('x1').")),
    "bare save": (lambda: save, ("is the bare word save.", "Write save('x1').")),
    "bare pick": (lambda: pick, ("is the bare word pick.", "Write pick[0].")),
    "string": (
        lambda: "x1",
        ("is the string 'x1'.", "Write save('x1') to name the value here, or cat('x1') to read it."),
    ),
    "list": (lambda: [nn.ReLU(), nn.Tanh()], ("is a list of 2.", "Write its entries one by one: Sequential(*layers).")),
    "tuple": (lambda: (nn.ReLU(), nn.Tanh()), ("is a tuple of 2.", "one by one")),
    "module list": (
        lambda: nn.ModuleList([nn.ReLU()]),
        ("is an nn.ModuleList", "Write its layers one by one: *layers."),
    ),
    "module dict": (lambda: nn.ModuleDict({"a": nn.ReLU()}), ("is an nn.ModuleDict", "one by one")),
    "none": (lambda: None, ("is None.", "Leave it out, or write nn.Identity().")),
    "here": (lambda: here, ("is an operand, not an entry.", "Write take(...)")),
    "via": (lambda: via("x1", nn.ReLU()), ("is an operand, not an entry.", "Write take(...)")),
    "number": (lambda: 3, ("is 3, which is neither a layer nor a function nor a word.",)),
    "true": (lambda: True, ("is True, which is neither a layer nor a function nor a word.",)),
    "tensor": (lambda: torch.zeros(2, 3), ("a tensor of shape (2, 3), which is neither a layer",)),
    "parameter": (lambda: nn.Parameter(torch.zeros(2)), ("a tensor of shape (2,), which is neither a layer",)),
    "object": (lambda: object(), ("which is neither a layer nor a function nor a word.",)),
    "dict": (lambda: {"a": nn.ReLU()}, ("is a dict among other entries.", "('name', layer)")),
    "generator": (lambda: (nn.ReLU() for _ in range(2)), ("<genexpr>, which is neither a layer",)),
    "pair of a class": (lambda: ("act", nn.ReLU), ("'act' is the class ReLU, not an instance.", "Write ReLU(...).")),
    "pair of none": (lambda: ("act", None), ("'act' is None.",)),
    "pair of a pair": (lambda: ("a", ("b", nn.ReLU())), ("is a tuple of 2.",)),
    "string subclass of a type": (lambda: Sequential, ("is the class Sequential, not an instance.",)),
}


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_what_is_no_entry(name: str) -> None:
    make, parts = WRONG_ENTRIES[name]
    says(refused(lambda: Sequential(linear(), make(), nn.Tanh())), "Sequential", "net[1]", *parts)


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_nor_can_it_be_added_later(name: str) -> None:
    make, parts = WRONG_ENTRIES[name]
    net = Sequential(linear(), nn.Tanh())
    keys, text = list(net._modules), repr(net)
    for edit in (net.append, lambda entry: net.insert(0, entry), lambda entry: net.extend([nn.ReLU(), entry])):
        with pytest.raises(WiringError) as caught:
            edit(make())
        says(str(caught.value), *parts)
    assert list(net._modules) == keys
    assert repr(net) == text


def test_a_whole_list() -> None:
    text = refused(lambda: Sequential([linear(), save("x1"), nn.Tanh(), add("x1")]))
    says(text, "net[0] is a list of 4.", "Write its entries one by one: Sequential(*layers).")


def test_indices_count_what_the_user_wrote() -> None:
    """A call is one entry, so the fault behind it stands where the user counts it."""
    text = refused(lambda: Sequential(linear(), save("a"), nn.Tanh(), call(nn.Bilinear(4, 4, 4), "a"), nn.ReLU, save("a")), 2)
    says(text, "net[4] is the class ReLU", "net[5] save('a')")


def test_a_word_inside_a_plain_sequential() -> None:
    text = refused(lambda: Sequential(linear(), nn.Sequential(linear(), save("x1"), nn.Tanh())))
    says(text, "net[1][1] save('x1')", "stands in a plain nn.Sequential", "Write skipseq.Sequential(...)")
    text = refused(lambda: Sequential(("body", nn.Sequential(add("input")))))
    says(text, "net.body[0] add('input')", "plain nn.Sequential")
    with pytest.raises(WordError, match=r"Write skipseq\.Sequential"):
        nn.Sequential(linear(), save("x1"))(x())
    net = Sequential(nn.Sequential(linear()))
    net(x())
    net[0].append(save("x1"))
    with pytest.raises(WiringError, match=r"plain nn\.Sequential"):
        net(x())


GLOBAL_LAYER = nn.Linear(4, 4)
GLOBAL_LIST = [nn.Linear(4, 4)]


def hidden() -> dict[str, Any]:
    """Functions that hide a module."""
    layer = linear()
    layers = [layer]
    table = {"a": layer}

    def closure(value: Tensor) -> Any:
        return layer(value)

    def closure_list(value: Tensor) -> Any:
        return layers[0](value)

    def closure_dict(value: Tensor) -> Any:
        return table["a"](value)

    def default(value: Tensor, hidden: nn.Module = layer) -> Any:
        return hidden(value)

    def keyword_default(value: Tensor, *, hidden: nn.Module = layer) -> Any:
        return hidden(value)

    def inner(value: Tensor) -> Any:
        return next(each(value) for each in layers)

    def calls_another(value: Tensor) -> Any:
        return closure(value)

    @functools.wraps(torch.relu)
    def wrapper(value: Tensor) -> Any:
        return layer(value)

    class Holder:
        def __init__(self) -> None:
            self.layer = layer

        def method(self, value: Tensor) -> Any:
            return self.layer(value)

        def __call__(self, value: Tensor) -> Any:
            return self.layer(value)

    class Slotted:
        __slots__ = ("layer",)

        def __init__(self) -> None:
            self.layer = layer

        def __call__(self, value: Tensor) -> Any:
            return self.layer(value)

    return {
        "lambda": lambda value: layer(value),
        "closure": closure,
        "closure list": closure_list,
        "closure dict": closure_dict,
        "default": default,
        "keyword default": keyword_default,
        "comprehension": inner,
        "a function that calls another": calls_another,
        "wrapped": wrapper,
        "partial": functools.partial(torch.nn.functional.linear, weight=layer.weight) and functools.partial(default),
        "partial argument": functools.partial(lambda hidden, value: hidden(value), layer),
        "partial keyword": functools.partial(lambda value, hidden: hidden(value), hidden=layers),
        "bound method of a module": layer.forward,
        "bound method of an object": Holder().method,
        "callable object": Holder(),
        "callable object with slots": Slotted(),
        "global": lambda value: GLOBAL_LAYER(value),
        "global list": lambda value: GLOBAL_LIST[0](value),
        "over a sequence": functools.partial(lambda net, value: net(value), Sequential(nn.ReLU())),
        "composed": functools.reduce(lambda f, g: lambda value: g(f(value)), [torch.relu, layer]),
    }


@pytest.mark.parametrize("name", hidden())
def test_a_module_hidden_in_a_function(name: str) -> None:
    function = hidden()[name]
    text = refused(lambda: Sequential(linear(), function))
    says(
        text,
        "net[1] is the function",
        "which hides ",
        "its parameters would not be trained or saved",
        "Make the layer an entry",
    )


@pytest.mark.parametrize("place", ["call", "via", "call as operand", "append", "skips"])
def test_a_module_hidden_anywhere(place: str) -> None:
    layer = linear()

    def hiding(*values: Any) -> Any:
        return layer(values[0])

    net = Sequential(linear(), nn.Tanh())
    builds: dict[str, Callable[[], Any]] = {
        "call": lambda: Sequential(linear(), call(hiding, "input")),
        "via": lambda: Sequential(linear(), add(via("input", hiding))),
        "call as operand": lambda: Sequential(linear(), add(call(hiding, "input"))),
        "append": lambda: net.append(hiding),
        "skips": lambda: Sequential(linear(), nn.Tanh(), skips={"1": add(via("0", hiding))}),
    }
    says(refused(builds[place]), "hides nn.Linear(", "Make the layer an entry")


def test_functions_that_hide_nothing_are_fine() -> None:
    scale = 2.0
    table = {"a": 1}
    functions: list[Callable[[Any], Any]] = [
        torch.relu,
        torch.nn.functional.gelu,
        lambda value: value * scale + table["a"],
        functools.partial(torch.clamp, min=0.0),
        function_of_the_module,
        len,
        lambda value: nn.functional.relu(value),
    ]
    for function in functions:
        assert len(Sequential(function)) == 1


# ------------------------------------------------------------------------------------------- words and operands


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        (lambda: add(nn.ReLU()), ("has the operand", "a layer; put a value through it with via('name', layer)")),
        (lambda: cat(["a", "b"]), ("a list; write its items as operands of their own",)),
        (lambda: add(torch.zeros(3)), ("a tensor of shape (3,)", "register it as a buffer of a module")),
        (lambda: add(save), ("the bare word save",)),
        (lambda: add(None), ("has the operand None", "write a saved label")),
        (lambda: add(save("x1")), ("has the operand",)),
        (lambda: add(nn.ReLU), ("has the operand", "ReLU")),
        (lambda: take(3), ("takes the number 3",)),
        (lambda: take(None), ("has the operand None",)),
        (lambda: take(via(2.0, nn.ReLU())), ("takes the number 2.0",)),
        (lambda: cat(here, 2.0), ("concatenates the number 2.0.", "Write add or mul for numbers.")),
        (lambda: cat(1), ("concatenates the number 1.",)),
        (lambda: add(via("input")), ("via('input')", "layer")),
        (lambda: add(via("input", None)), ("None",)),
        (lambda: add(via("input", nn.ReLU)), ("the class ReLU",)),
        (lambda: add(via("input", "x")), ("'x'",)),
        (lambda: add(via("input", [nn.ReLU()])), ("a list of 1",)),
        (lambda: add(via("input", save("x1"))), ("save('x1')",)),
        (lambda: call(None, "input"), ("None",)),
        (lambda: call(nn.ReLU, "input"), ("the class ReLU",)),
        (lambda: call("input"), ("calls 'input' again",)),
        (lambda: call([nn.ReLU()]), ("a list of 1",)),
        (lambda: call(add("input")), ("add('input')",)),
        (lambda: call(torch.maximum, nn.ReLU()), ("a layer; put a value through it",)),
        (lambda: call(torch.maximum, here, other=["a"]), ("a list",)),
        (lambda: add(), ("names nothing to join.", "Write add('label').")),
        (lambda: cat(dim=-1), ("names nothing to join.", "join= of the blocks")),
        (lambda: add(call(torch.maximum)), ("call(",)),
        (lambda: add(cat()), ("names nothing to join",)),
        (lambda: save(), ("save()",)),
        (lambda: save("input"), ("saves 'input'", "a label is an identifier other than 'input'")),
        (lambda: save("a b"), ("saves 'a b'", "a label is an identifier")),
        (lambda: save("1"), ("saves '1'", "a label is an identifier")),
        (lambda: save("a.b"), ("saves 'a.b'", "a label is an identifier")),
        (lambda: save(""), ("saves ''", "a label is an identifier")),
        (lambda: save("return"), ("saves 'return'", "keyword of Python")),
        (lambda: save("lambda"), ("saves 'lambda'", "keyword of Python")),
        (lambda: save("None"), ("saves 'None'", "keyword of Python")),
        (lambda: save(3), ("saves 3", "a label is an identifier", "Write save('x1').")),
        (lambda: save(["a"]), ("saves ['a']", "a label is an identifier")),
        (lambda: save(None), ("saves None", "a label is an identifier")),
        (lambda: save("0"), ("saves '0'", "a label is an identifier")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_words_that_say_nothing_sensible(word: Callable[[], Any], parts: tuple[str, ...]) -> None:
    """Told by the sequence, or already by the word: in both cases as an error of ours, with the place or the word."""
    with pytest.raises(WiringError) as caught:
        Sequential(linear(), word(), nn.Tanh())
    says(str(caught.value), *parts)


@pytest.mark.parametrize("word", [lambda: cat("input", dim="1"), lambda: cat("input", dim=None), lambda: cat("input", dim=1.5)])
def test_a_dim_that_is_no_number(word: Callable[[], Any]) -> None:
    with pytest.raises(WiringError, match="dim"):
        Sequential(linear(), word())


def test_a_layer_named_like_a_label() -> None:
    text = refused(lambda: Sequential(("x1", linear()), nn.Tanh(), save("x1")))
    says(
        text,
        "net[2] save('x1')",
        "saves 'x1', which is the name of a layer or word of this sequence.",
        "Rename one of them.",
    )
    text = refused(lambda: Sequential(linear(), save("x1"), ("x1", nn.Tanh())))
    says(text, "net[1] save('x1')", "which is the name of a layer", "Rename one of them.")
    text = refused(lambda: Sequential(add("t"), save("t"), inputs=("x", "t")))
    says(text, "net[1] save('t')", "which is the name of an input", "Rename one of them.")
    text = refused(lambda: Sequential(("t", linear()), add(0.5), inputs=("x", "t")))
    says(text, "net[0]", "is named 't', which is an input of this sequence.", "Rename one of them.")
    text = refused(lambda: Sequential(("input", linear())))
    says(text, "net[0]", "is named 'input'", "Rename one of them.")


def test_two_layers_of_one_name() -> None:
    text = refused(lambda: Sequential(("conv", linear()), nn.Tanh(), ("conv", linear())))
    says(text, "'conv' is the name of 2 entries.", "Rename all but one of them.")


@pytest.mark.parametrize("name", ["forward", "append", "training", "wiring", "_modules", "record", "upto", "a.b", ""])
def test_names_that_cannot_be(name: str) -> None:
    text = refused(lambda: Sequential(linear(), (name, nn.Tanh())))
    says(text, "net[1]", repr(name), "cannot be a name")
    says(refused(lambda: Sequential({"first": linear(), name: nn.Tanh()})), "cannot be a name")


@pytest.mark.parametrize(
    "names", [("x", "x"), ("x", 3), ("x", "a b"), (), ("x", "a.b"), ("x", None), ("return", "x")], ids=repr
)
def test_bad_inputs(names: Any) -> None:
    assert "inputs=" in refused(lambda: Sequential(linear(), inputs=names))


@pytest.mark.parametrize("names", [("h", 3), (), ("h", None), [["h"]]], ids=repr)
def test_bad_outputs(names: Any) -> None:
    assert "outputs=" in refused(lambda: Sequential(linear(), save("h"), outputs=names))


def test_outputs_that_nothing_gives() -> None:
    text = refused(lambda: Sequential(("conv1", linear()), nn.Tanh(), outputs=("conv1", "conv2")))
    says(text, "outputs=('conv1', 'conv2')", "'conv2', which nothing gives", "Did you mean 'conv1'?")
    text = refused(lambda: Sequential(("part", Sequential(linear())), outputs="part.5"))
    says(text, "outputs='part.5'", "'part.5', which does not exist")


def test_skips_with_bad_targets_or_words() -> None:
    plain = nn.Sequential(linear(), nn.Tanh())
    text = refused(lambda: Sequential.of(plain, skips={"linear4": add("0")}))
    says(text, "skips['linear4']", "names no entry of this sequence")
    text = refused(lambda: Sequential(("linear3", linear()), skips={"liner3": add("input")}))
    says(text, "skips['liner3']", "Did you mean 'linear3'?")
    text = refused(lambda: Sequential.of(plain, skips={"1": nn.ReLU()}))
    says(text, "skips['1']", "write a word")
    text = refused(lambda: Sequential.of(plain, skips={"1": "0"}))
    says(text, "skips['1'] is the string '0'", "Write save('0')", "cat('0')")
    text = refused(lambda: Sequential.of(plain, skips={"1.0": add("0")}))
    says(text, "'1'", "no sequence")
    says(refused(lambda: Sequential.of(plain, skips={1: add("0")})), "skips[1]")  # type: ignore[dict-item]
    says(refused(lambda: Sequential.of(plain, skips={"1": add("5"), "output": save("a b")})), "saves 'a b'")
    text = refused(lambda: Sequential.of(plain, skips={"0": add("1")}))
    says(text, "'1' before it is there", "A skip leads forward")


def test_call_of_a_part() -> None:
    part = Sequential(linear(), add("t"), inputs=("x", "t"))
    says(refused(lambda: Sequential(linear(), part)), "net[1]", "has the inputs x, t", "Write call(part, here, 't').")
    with pytest.raises(WiringError, match="net\\[1\\]"):
        Sequential(linear(), call(part, here, "input", "0"))
    with pytest.raises(WiringError, match="y"):
        Sequential(linear(), call(part, here, t="input", y="input"))
    with pytest.raises(WiringError, match="net\\[1\\]"):
        Sequential(linear(), call(part, here, x="input"))


def test_blocks_with_bad_layers() -> None:
    for build in (
        lambda: Residual(linear(), nn.ReLU),
        lambda: Residual([linear()], None),
        lambda: Branches(linear(), nn.ReLU),
        lambda: DenseBlock(linear(), "x"),
        lambda: UNet([linear()], nn.ReLU, [linear()]),
        lambda: UNet([linear(), linear()], linear(), [linear(), linear(), linear(), linear()]),
        lambda: Branches(linear(), linear(), join="cat"),
        lambda: Branches(),
    ):
        with pytest.raises(SkipseqError):
            build()


# ------------------------------------------------------------------------------------------- several at once


def test_all_faults_of_a_tree_at_once() -> None:
    def build() -> object:
        return Sequential(
            nn.Linear,
            ("enc", nn.Sequential(linear(), add("input"))),
            nn.Tanh(),
            save("x1"),
            save("x1"),
            add("x1", "enc"),
            cat,
            add("later"),
            None,
            ("later", linear()),
        )

    text = refused(build, 7)
    for part in (
        "net[0] is the class Linear",
        "net.enc[1] add('input') stands in a plain nn.Sequential",
        "net[4] save('x1')",
        "net[5] add('x1', 'enc') does not say",
        "net[6] is the bare word cat",
        "net[7] add('later')",
        "net[8] is None",
    ):
        assert part in text, part


def test_no_fault_brings_others_with_it() -> None:
    """One mistake is one fault: what follows from it is not told."""
    refused(lambda: Sequential(linear(), add("gone"), inputs=("x",)))
    refused(lambda: Sequential(nn.Sequential(save("x1")), linear()))
    refused(lambda: Sequential(linear(), None, add("0")))
    refused(lambda: Sequential(linear(), save("a"), nn.Tanh(), save("a"), add("a")))
    refused(lambda: Sequential(linear(), add(nn.ReLU()), nn.Tanh()))
    refused(lambda: Sequential(linear(), ("a.b", nn.Tanh()), add("0")))


def test_nothing_is_left_half_changed() -> None:
    """What was given is as it was, and may be given again."""
    layer, part, word = linear(), Sequential(linear(), save("x1")), add("0")
    before = repr(part), dict(part._modules), dict(layer._modules)
    with pytest.raises(WiringError):
        Sequential(layer, part, word, None)
    assert (repr(part), dict(part._modules), dict(layer._modules)) == before
    assert Sequential(layer, part, nn.Tanh(), word)(x()).shape == (3, 4)


def test_an_error_can_be_pickled() -> None:
    import copy
    import pickle

    with pytest.raises(WiringError) as caught:
        Sequential(None, cat)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    net = Sequential(linear(4, 5), add("input"))
    with pytest.raises(ShapeError) as fault:
        net(x())
    assert str(pickle.loads(pickle.dumps(fault.value))) == str(fault.value)
    assert str(copy.deepcopy(fault.value)) == str(fault.value)


# ------------------------------------------------------------------------------------------------------ calls


def decoder() -> Sequential:
    return Sequential(linear(), add("x1"), nn.Tanh())


def test_a_call_without_a_need() -> None:
    with pytest.raises(CallError) as caught:
        decoder()(x())
    says(
        str(caught.value),
        "Sequential",
        "lacks 'x1', which net[1] reads and nothing inside gives",
        "Write net(input, x1=...).",
    )
    assert "Did you mean" not in str(caught.value)


def test_a_call_with_an_unknown_name() -> None:
    with pytest.raises(CallError) as caught:
        decoder()(x(), x11=x())
    says(str(caught.value), "does not know 'x11'", "Did you mean 'x1'?", "lacks 'x1'", "Write net(input, x1=...).")
    with pytest.raises(CallError, match="does not know 'mask'"):
        Sequential(linear())(x(), mask=x())
    with pytest.raises(CallError, match="does not know 'mask'"):
        decoder()(x(), x1=x(), mask=x())


def test_inputs_missing_twice_and_too_many() -> None:
    net = Sequential(linear(), add("t"), inputs=("x", "t"))
    with pytest.raises(CallError, match=r"(?s)lacks 't'.*Write net\(x, t=\.\.\.\)"):
        net(x())
    with pytest.raises(CallError, match="lacks 'x'"):
        net(t=x())
    with pytest.raises(CallError, match="lacks 'x'"):
        net()
    with pytest.raises(CallError, match="'t' twice"):
        net(x(), x(), t=x())
    with pytest.raises(CallError, match="'x' twice"):
        net(x(), x=x(), t=x())
    with pytest.raises(CallError, match="3 inputs in order, and has 2"):
        net(x(), x(), x())
    with pytest.raises(CallError, match="2 inputs in order, and has 1"):
        decoder()(x(), x())
    with pytest.raises(CallError, match="lacks 'input'"):
        decoder()(x1=x())


def test_values_on_request_that_do_not_exist() -> None:
    net = Sequential(("conv1", linear()), nn.Tanh())
    for ask in (lambda: net.record(x(), "conv2"), lambda: net.upto("conv2"), lambda: net.with_outputs("conv2")):
        with pytest.raises(CallError, match=r"(?s)'conv2' names no value.*Did you mean 'conv1'\?"):
            ask()


def test_a_call_that_failed_leaves_the_next_one_right() -> None:
    net = Sequential(linear(), save("x1"), nn.Tanh(), add("x1"), inputs=("x", "t"))
    value = x()
    with pytest.raises(CallError):
        net(value)
    with pytest.raises(RuntimeError):
        net(torch.zeros(3, 5), value)
    h = net[0](value)
    assert torch.equal(net(value, value), h.tanh() + h)


# --------------------------------------------------------------- values that do not fit, flat and called alike


@dataclass
class Case:
    """A network that fails on its input, the error, and the sentences of its text."""

    build: Callable[[], Sequential]
    error: type[Exception]
    parts: tuple[str, ...]
    given: Callable[[], Any] = x


def nested(*entries: Any) -> Sequential:
    """The entries inside two containers, behind a layer and a label."""
    return Sequential(linear(), save("outer"), ("body", Sequential(nn.Tanh(), ("core", Sequential(*entries)))))


CASES: dict[str, Case] = {
    "add": Case(
        lambda: Sequential(linear(), ("wide", linear(4, 6)), add("input")),
        ShapeError,
        (
            "net[2] add('input') cannot add values of different shapes",
            "(3, 6), from net[1]",
            "'input' is (3, 4), the input",
            "They differ in dimension 1 (6 and 4).",
            "Write add('input', project=True), or add(via('input', nn.Linear(4, 6))).",
        ),
    ),
    "add nested": Case(
        lambda: nested(linear(4, 6), add("outer")),
        ShapeError,
        (
            "net.body.core[1] add('outer') cannot add",
            "(3, 6), from net.body.core[0]",
            "'outer' is (3, 4), from net[0]",
            "dimension 1 (6 and 4)",
        ),
    ),
    "add across parts": Case(
        lambda: Sequential(
            ("enc", Sequential(linear(), save("x1"), linear(4, 6))), ("dec", Sequential(linear(6, 5), add("x1")))
        ),
        ShapeError,
        ("net.dec[1] add('x1')", "(3, 5), from net.dec[0]", "'x1' is (3, 4), from net.enc", "dimension 1 (5 and 4)"),
    ),
    "add: broadcastable shapes": Case(
        lambda: Sequential(linear(4, 1), add("input")),
        ShapeError,
        ("net[1] add('input')", "(3, 1)", "(3, 4)", "broadcast=True"),
    ),
    "sub": Case(
        lambda: nested(save("a"), linear(4, 2), sub("a")),
        ShapeError,
        ("net.body.core[2] sub('a') cannot subtract", "(3, 2)", "'a' is (3, 4)"),
    ),
    "mul of three": Case(
        lambda: nested(save("a"), linear(4, 2), mul(here, "a", "outer")),
        ShapeError,
        ("net.body.core[2] mul(here, 'a', 'outer') cannot multiply", "(3, 2)", "'a' is (3, 4)", "'outer' is (3, 4)"),
    ),
    "inner join": Case(
        lambda: nested(linear(4, 2), take(add("outer", via("input", nn.Identity(), linear(4, 3))))),
        ShapeError,
        ("net.body.core[1]", "cannot add", "'outer' is (3, 4)"),
    ),
    "number of dimensions": Case(
        lambda: nested(nn.Flatten(0), add("outer")),
        ShapeError,
        ("net.body.core[1] add('outer')", "(12,)", "They differ in the number of dimensions."),
    ),
    "cat": Case(
        lambda: nested(lambda value: value[:2], cat("outer")),
        ShapeError,
        (
            "net.body.core[1] cat('outer') cannot concatenate values of different shapes",
            "(2, 4)",
            "'outer' is (3, 4)",
            "They differ in dimension 0 (2 and 3).",
        ),
    ),
    "cat of images": Case(
        lambda: Sequential(save("outer"), ("core", Sequential(nn.Conv2d(3, 3, 3), cat("outer")))),
        ShapeError,
        ("cannot concatenate", "They differ in dimensions 2 (6 and 8), 3 (6 and 8).", "padding=1"),
        lambda: torch.randn(1, 3, 8, 8),
    ),
    "devices": Case(
        lambda: nested(lambda value: value.to("meta"), add("outer")),
        DeviceError,
        (
            "net.body.core[1] add('outer') cannot add values on different devices",
            "on meta",
            "'outer'",
            "Move one of them",
        ),
    ),
    "devices: cat": Case(
        lambda: nested(lambda value: value.to("meta"), cat("outer")),
        DeviceError,
        ("net.body.core[1] cat('outer') cannot concatenate values on different devices", "on meta", "Move one of them"),
    ),
    "overwritten through a view": Case(
        lambda: nested(save("a"), nn.Flatten(0), nn.ReLU(inplace=True), nn.Unflatten(0, (3, 4)), add("a")),
        OverwriteError,
        (
            "net.body.core[4] reads a value that was overwritten in place after it was saved",
            "'a'",
            "Write inplace=False",
        ),
    ),
    "overwritten by a function": Case(
        lambda: nested(save("a"), lambda value: value.mul_(2.0), cat(here, "outer", "a")),
        OverwriteError,
        ("net.body.core[2] reads a value that was overwritten", "'a'", "save a copy"),
    ),
    "overwritten from inside another part": Case(
        lambda: Sequential(
            linear(), nn.Tanh(), save("a"), ("dirty", Sequential(lambda value: value.clamp_(0.0))), linear(), add("a")
        ),
        OverwriteError,
        ("net[5] reads a value that was overwritten", "'a'", "from net[1]"),
    ),
    "overwritten, read in another part": Case(
        lambda: Sequential(
            ("enc", Sequential(linear(), save("a"), nn.Flatten(0), nn.ReLU(inplace=True), nn.Unflatten(0, (3, 4)))),
            ("dec", Sequential(linear(), add("a"))),
        ),
        OverwriteError,
        ("net.dec[1] reads a value that was overwritten", "'a'"),
    ),
    "overwritten, returned": Case(
        lambda: Sequential(linear(), save("a"), lambda value: value.mul_(2.0), linear(), outputs=("0", "2")),
        OverwriteError,
        ("returns a value that was overwritten in place after it was saved",),
    ),
    "overwritten, taken": Case(
        lambda: nested(save("a"), lambda value: value.mul_(2.0), linear(), take("a"), linear()),
        OverwriteError,
        ("reads a value that was overwritten", "'a'"),
    ),
    "overwritten, call": Case(
        lambda: nested(save("a"), lambda value: value.mul_(2.0), call(nn.Bilinear(4, 4, 4), "a")),
        OverwriteError,
        ("net.body.core[2] reads a value that was overwritten", "'a'"),
    ),
    "overwritten input": Case(
        lambda: nested(lambda value: value.mul_(2.0), add("input")),
        OverwriteError,
        ("net.body.core[1] reads a value that was overwritten", "'input'"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("grad", [torch.enable_grad, torch.no_grad], ids=["grad", "no_grad"])
def test_values_that_do_not_fit(case: Case, grad: Callable[[], Any]) -> None:
    net = case.build()
    with grad(), pytest.raises(case.error) as caught:
        net(case.given())
    assert isinstance(caught.value, RuntimeError)
    says_all(str(caught.value), case.parts)


def says_all(text: str, parts: tuple[str, ...]) -> None:
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_text_flat_and_called(case: Case) -> None:
    net = case.build()
    given = case.given()
    texts = []
    for _ in range(2):
        with pytest.raises(case.error) as caught:
            net(given.clone())
        texts.append(str(caught.value))
        look_on(parts_of(net))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_text_one_level_deeper(case: Case) -> None:
    """As a part of another sequence the places get longer, and nothing else changes."""
    net = case.build()
    given = case.given()
    with pytest.raises(case.error) as caught:
        net(given.clone())
    alone = str(caught.value).replace(", the input", "")
    outer = Sequential(("inner", net), nn.Identity())
    texts = []
    for _ in range(2):
        with pytest.raises(case.error) as caught:
            outer(given.clone())
        texts.append(str(caught.value))
        look_on(parts_of(outer))
    assert texts[0] == texts[1]
    if net._outputs is None:  # several outputs are told at their reader, which is another one here
        assert texts[0].replace("net.inner", "net") == alone


def failing(*entries: Any) -> Sequential:
    return Sequential(("a", Sequential(linear(), ("b", Sequential(*entries)))), nn.Tanh())


@pytest.mark.parametrize(
    ("build", "start"),
    [
        (
            lambda: failing(linear(4, 3), linear(4, 2)),
            "net.a.b[1] nn.Linear(4, 2) cannot take its input\n  it expects 4 features",
        ),
        (lambda: failing(nn.Tanh(), save("h"), call(nn.Bilinear(4, 3, 4), "h")), "net.a.b[2] nn.Bilinear(4, 3, 4) cannot take"),
        (lambda: failing(nn.Tanh(), take(via("input", linear(3, 3)))), "net.a.b[1] nn.Linear(3, 3) cannot take its input"),
        (lambda: failing(nn.Sequential(linear(), linear(3, 3))), "net.a.b[0][1] nn.Linear(3, 3) cannot take its input"),
    ],
    ids=["layer", "call", "via", "plain part"],
)
def test_a_layer_of_torch_that_cannot_take_its_input_is_explained(build: Callable[[], Sequential], start: str) -> None:
    net = build()
    texts = []
    for _ in range(2):
        with pytest.raises(ShapeError) as caught:
            net(x())
        assert str(caught.value).startswith(start)
        texts.append(str(caught.value))
        look_on(parts_of(net))
    assert texts[0] == texts[1]


class Picky(nn.Module):
    """A layer of one's own, with an error of its own."""

    def forward(self, value: Tensor) -> Tensor:
        raise RuntimeError("mine")


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (lambda: failing(nn.Tanh(), lambda value: value.no_such_thing), "at net.a.b[1], in "),
        (lambda: failing(nn.Tanh(), Picky()), "at net.a.b[1], in Picky()"),
        (lambda: failing(nn.Tanh(), take(via("input", Picky()))), "at net.a.b[1], in Picky()"),
        (lambda: failing(nn.Sequential(linear(), Picky())), "at net.a.b[0]"),
    ],
    ids=["function", "layer", "via", "plain part"],
)
def test_the_error_of_a_layer_has_a_note_of_its_place(build: Callable[[], Sequential], note: str) -> None:
    net = build()
    notes = []
    for _ in range(2):
        with pytest.raises((RuntimeError, AttributeError)) as caught:
            net(x())
        assert not isinstance(caught.value, SkipseqError)
        found = caught.value.__notes__
        assert len(found) == 1
        assert found[0].startswith(note)
        notes.append(found)
        look_on(parts_of(net))
    assert notes[0] == notes[1]


def test_the_error_of_a_layer_is_its_own() -> None:
    class Boom(Exception):
        pass

    def explode(value: Tensor) -> Tensor:
        raise Boom("mine")

    with pytest.raises(Boom, match="mine"):
        Sequential(linear(), save("a"), explode, add("a"))(x())


def test_broadcasting_where_it_is_asked_for() -> None:
    net = Sequential(linear(4, 1), add("input", broadcast=True))
    value = x()
    assert torch.equal(net(value), net[0](value) + value)


def test_a_shape_fault_that_is_no_misfit_is_torchs_own() -> None:
    net = Sequential(linear(), cat("input", dim=7))
    with pytest.raises((IndexError, ShapeError)):
        net(x())


# --------------------------------------------------------------------- overwritten in place: at construction


IN_PLACE: dict[str, tuple[Callable[[], Any], str]] = {
    "by label": (
        lambda: Sequential(linear(), save("a"), relu_(), add("a")),
        "net[2] works in place and overwrites 'a'",
    ),
    "by name": (lambda: Sequential(("a", linear()), relu_(), add("a")), "net[1] works in place and overwrites 'a'"),
    "by number": (lambda: Sequential(linear(), relu_(), add("0")), "net[1] works in place and overwrites '0'"),
    "the input": (lambda: Sequential(relu_(), linear(), add("input")), "net[0] works in place and overwrites 'input'"),
    "in a part, read outside": (
        lambda: Sequential(linear(), save("a"), ("part", Sequential(relu_(), linear())), add("a")),
        "net.part[0] works in place and overwrites 'a'",
    ),
    "in a plain part": (
        lambda: Sequential(linear(), save("a"), nn.Sequential(relu_(), linear()), add("a")),
        "net[2][0] works in place and overwrites 'a'",
    ),
    "two parts deep": (
        lambda: Sequential(linear(), save("a"), ("p", Sequential(("q", nn.Sequential(relu_())))), linear(), add("a")),
        "net.p.q[0] works in place and overwrites 'a'",
    ),
    "saved inside, overwritten outside, read in another part": (
        lambda: Sequential(("enc", Sequential(linear(), save("a"))), relu_(), ("dec", Sequential(linear(), add("a")))),
        "net[1] works in place and overwrites",
    ),
    "saved and overwritten inside, read outside": (
        lambda: Sequential(("enc", Sequential(linear(), save("a"), relu_(), linear())), add("a")),
        "net.enc[2] works in place and overwrites",
    ),
    "through via": (
        lambda: Sequential(linear(), save("a"), nn.Tanh(), add(via("a", relu_())), add("a")),
        "works in place and overwrites 'a'",
    ),
    "through via, in the same word": (
        lambda: Sequential(linear(), save("a"), nn.Tanh(), add(here, via("a", relu_()), "a")),
        "works in place and overwrites 'a'",
    ),
    "through via of the running value": (
        lambda: Sequential(linear(), add(here, via(here, relu_()))),
        "works in place and overwrites",
    ),
    "by call": (
        lambda: Sequential(
            linear(),
            save("a"),
            nn.Tanh(),
            call(relu_(), via("a", nn.Identity())),
            take("a"),
            call(relu_(), here),
            add("a"),
        ),
        "works in place and overwrites 'a'",
    ),
    "as an output": (
        lambda: Sequential(linear(), save("a"), relu_(), linear(), outputs=("a", "2")),
        "net[2] works in place and overwrites 'a', which is returned",
    ),
    "by a function": (
        lambda: Sequential(linear(), save("a"), torch.relu_, add("a")),
        "net[2] works in place and overwrites 'a'",
    ),
    "by a partial": (
        lambda: Sequential(linear(), save("a"), functools.partial(nn.functional.relu, inplace=True), add("a")),
        "net[2] works in place and overwrites 'a'",
    ),
    "dropout": (
        lambda: Sequential(linear(), save("a"), nn.Dropout(inplace=True), add("a")),
        "net[2] works in place and overwrites 'a'",
    ),
    "through an identity of words": (
        lambda: Sequential(linear(), save("a"), save("b"), relu_(), add("a")),
        "net[3] works in place and overwrites",
    ),
    "in a residual block": (lambda: Residual(relu_(), linear()), "works in place and overwrites 'input'"),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_overwritten_directly_is_told_at_construction(name: str) -> None:
    build, part = IN_PLACE[name]
    with pytest.raises(WiringError) as caught:
        build()
    says(str(caught.value), part, "Write inplace=False")


@pytest.mark.parametrize(
    "build",
    [
        lambda: Sequential(linear(), relu_(), save("a"), linear(), add("a")),
        lambda: Sequential(linear(), save("a"), nn.Tanh(), relu_(), add("a")),
        lambda: Sequential(linear(), save("a"), nn.Tanh(), add("a"), relu_()),
        lambda: Sequential(linear(), nn.Sequential(relu_(), linear()), add("input")),
        lambda: Sequential(("enc", Sequential(linear(), relu_(), save("a"), linear(), relu_())), add("a")),
    ],
)
def test_in_place_where_nobody_reads_later_is_fine(build: Callable[[], Sequential]) -> None:
    assert build()(x()).shape == (3, 4)


def test_in_place_where_nothing_is_counted() -> None:
    """In inference mode torch counts no versions: what is known at construction is told, the rest cannot be."""
    net = nested(save("a"), nn.Flatten(0), relu_(), nn.Unflatten(0, (3, 4)), add("a"))
    with torch.inference_mode():
        assert net(x()).shape == (3, 4)
    with pytest.raises(OverwriteError):
        net(x())
    with torch.inference_mode():
        given = x()
    with torch.no_grad():
        assert Sequential(linear(), save("a"), nn.Tanh(), add("a"))(given).shape == (3, 4)


@contextmanager
def one_error() -> Iterator[None]:
    with pytest.raises(ValueFault) as caught:
        yield
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("hooked", [False, True], ids=["flat", "called"])
def test_one_error_and_not_a_chain(hooked: bool) -> None:
    for name in ("add nested", "devices", "overwritten through a view"):
        net = CASES[name].build()
        if hooked:
            look_on(parts_of(net))
        with one_error(), nullcontext():
            net(x())
