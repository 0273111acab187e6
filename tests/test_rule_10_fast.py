"""Rule 10: as fast as by hand; nothing is resolved, compiled or looked up per call that could be before."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import skipseq.declare.compose
import skipseq.run.plan
from skipseq import Sequential, add, cat, save

from .helpers import WIDTH, linear, x


def network() -> Sequential:
    part = Sequential(linear(), save("s"), nn.Tanh(), ("deep", Sequential(linear(), add("s"))))
    return Sequential(("part", part), nn.Sequential(linear(), nn.Tanh()), ("end", Sequential(linear(), cat("s"))))


def test_nothing_is_resolved_or_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a hundred calls in which hooks come and go: each program is made once."""
    net, given = network(), x()
    expected = net(given)
    counts: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        return counted

    composer = skipseq.declare.compose.Composer
    hook = lambda *_: None  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(composer, "compose", counting("compose", composer.compose))
        patch.setattr(skipseq.run.plan, "make_program", counting("program", skipseq.run.plan.make_program))
        patch.setattr(builtins, "compile", counting("compile", builtins.compile))
        results = []
        for i in range(100):
            handles = [net.get_submodule("part").register_forward_hook(hook)] if i % 2 else []
            handles += [net.get_submodule("part.deep").register_forward_pre_hook(hook)] if i % 3 == 0 else []
            handles += [net.register_forward_hook(hook)] if i % 5 == 0 else []
            results.append(net(given))
            results.append(net.record(given, "part.deep")[0])
            for handle in handles:
                handle.remove()
        seen = dict(counts)
        for _ in range(10):
            net(given)
            net.record(given, "part.deep")
        assert dict(counts) == seen
    assert all(torch.equal(each, expected) for each in results)
    assert counts["compose"] == 0
    # Four ways to look on, with and without a recorded value, and the parts that are called for themselves.
    assert counts["program"] <= 16
    assert counts["compile"] == counts["program"]


def test_moving_freezing_and_training_make_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = network(), x()
    net(given)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("made something new")

    monkeypatch.setattr(skipseq.run.plan, "make_program", refuse)
    monkeypatch.setattr(skipseq.declare.compose.Composer, "compose", refuse)
    net.eval()(given)
    net.train().requires_grad_(False)(given)
    net.double()(given.double())
    net.float().load_state_dict(net.state_dict())
    net(given)
    with torch.inference_mode():
        net(given)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        net(given)
    net(torch.randn(7, WIDTH))
