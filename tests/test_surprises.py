"""What surprised somebody who tried to break the library: one test for each."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential, add, call, here, pick, save, take
from skipseq.errors import CallError, ShapeError


def three(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x, x + 1, x + 2


@pytest.mark.parametrize(
    ("function", "what"), [(three, "a tuple of 3"), (lambda x: (x,), "a tuple of 1"), (lambda x: x, "(2, 4)"), (len, "int")]
)
def test_a_tuple_is_named_as_a_whole(function: object, what: str) -> None:
    """A part without a name would be lost, and a batch of two is no tuple of two."""
    net = Sequential(function, save("a", "b"), take("a"))
    with pytest.raises(ShapeError) as caught:
        net(torch.zeros(2, 4))
    text = str(caught.value)
    assert "net[1] save('a', 'b') cannot name the parts of the value" in text
    assert f"is {what}" in text
    assert "Write one label for each part of the tuple" in text


def test_words_that_fail_tell_their_place() -> None:
    with pytest.raises(ShapeError) as caught:
        Sequential(("part", Sequential(nn.Identity(), pick[7])))(torch.zeros(2, 4))
    assert str(caught.value) == (
        "net.part[1] pick[7] cannot take its part of the value\n"
        "  the running value is (2, 4), from net.part[0] nn.Identity()\n"
        "  It says: IndexError: index 7 is out of bounds for dimension 0 with size 2"
    )


def test_a_missing_input_is_not_suggested_for_itself() -> None:
    net = Sequential(nn.Identity(), add("t"), inputs=("x", "t"))
    with pytest.raises(CallError, match="it lacks 't'") as caught:
        net(torch.zeros(2))
    assert "Did you mean" not in str(caught.value)


def test_functions_of_torch_print_as_they_are_written() -> None:
    functions = [
        torch.relu,
        nn.functional.gelu,
        torch.special.erf,
        torch.Tensor.sigmoid,
        functools.partial(torch.flatten, start_dim=1),
    ]
    text = str(Sequential(*functions))
    for written in (
        "torch.relu",
        "nn.functional.gelu",
        "torch.special.erf",
        "torch.Tensor.sigmoid",
        "torch.flatten, start_dim=1",
    ):
        assert f"{written}" in text


def test_numbers_that_are_no_literals_print_as_code() -> None:
    net = Sequential(nn.Identity(), add(float("inf")), add(here, float("-inf")))
    again = eval(str(net), {"nn": nn, "Sequential": Sequential, "add": add, "here": here})
    assert str(again) == str(net)


def test_a_network_is_freed_without_the_garbage_collector() -> None:
    """No plan or program holds the network that holds it."""
    import gc
    import weakref

    net = Sequential(nn.Linear(4, 4), save("a"), Sequential(nn.ReLU(), add("a")))
    net(torch.zeros(2, 4)).sum().backward()
    gone = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert gone() is None
    finally:
        gc.enable()


class Closed(nn.Module):
    """One child and a first argument of its own: it need not pass on what it is given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, value: Tensor, *_: object, **__: object) -> Tensor:
        return self.inner(value).relu()  # type: ignore[no-any-return]


def test_a_module_with_an_argument_of_its_own_is_no_wrapper() -> None:
    """What it would be given by name might be dropped: names inside it are its own."""
    net = Sequential(Closed(Sequential(nn.Linear(4, 4), save("h"), nn.Linear(4, 4))), nn.Tanh(), add("h"))
    assert list(net.wiring.needs) == ["h"]
    with pytest.raises(CallError, match="it lacks 'h'"):
        net(torch.zeros(2, 4))


def test_what_is_made_of_a_compiled_network_is_not_the_compiled_network() -> None:
    net = Sequential(("first", nn.Linear(4, 4)), ("second", nn.Linear(4, 4)), nn.Tanh())
    net.compile(backend="eager")
    value = torch.randn(2, 4)
    assert torch.equal(net(value), torch.tanh(net.second(net.first(value))))
    assert torch.equal(net.upto("first")(value), net.first(value))
    assert torch.equal(net[:1](value), net.first(value))
    assert torch.equal(net.with_outputs("second")(value), net.second(net.first(value)))


def test_the_running_value_may_stand_in_a_keyword_of_an_inner_call() -> None:
    def scaled(value: torch.Tensor, *, factor: torch.Tensor) -> torch.Tensor:
        return value * factor

    net = Sequential(nn.Linear(4, 4), save("a"), nn.Tanh(), add("a", call(scaled, "input", factor=here)))
    x = torch.randn(2, 4)
    a = net[0](x)
    torch.testing.assert_close(net(x), a + x * a.tanh())
