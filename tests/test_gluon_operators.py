"""The operators of MXNet: what PyTorch computes in their place is what MXNet 1.9.1 computed (``data/gluon/operators``)."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipseq import Sequential
from skipseq.bridges.gluon import layers
from skipseq.bridges.gluon.operation import OPERATORS, GluonNode, Piece

from .gluon_operators import Reference, cases, each_case, parts

#: How far numbers may be from those of MXNet, as a part of the largest.
CLOSE = 1e-5


def far(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a part of the largest number; what is infinite must be the same."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    finite = expected.isfinite()
    assert torch.equal(found[~finite], expected[~finite])
    found, expected = found.detach()[finite].double(), expected[finite].double()
    scale = max(float(expected.abs().max()), 1e-3) if expected.numel() else 1.0
    return float((found - expected).abs().max()) / scale if expected.numel() else 0.0


@pytest.mark.parametrize(("family", "name"), each_case())
def test_results_and_gradients_are_those_of_mxnet(family: str, name: str) -> None:
    case = cases(family)[name]
    reference = Reference(case)
    results = parts(case, "result")
    for i, result in enumerate(reference.run(train=False)):
        assert far(result, results[str(i)]) < CLOSE
    if heads := parts(case, "head"):
        check_training(reference, case, heads, results)


def check_training(reference: Reference, case: dict[str, Any], heads: dict[str, Tensor], results: dict[str, Tensor]) -> None:
    """One step of training: results, gradients and batch statistics."""
    found = reference.run(train=True)
    expected = results | parts(case, "trained")
    for i, result in enumerate(found):
        assert far(result, expected[str(i)]) < CLOSE
    gradients = parts(case, "gradient")
    if gradients and any(result.requires_grad for result in found):
        torch.autograd.backward(found, [heads[str(i)] for i in range(len(found))])
    leaves = reference.inputs | reference.held
    for name, gradient in gradients.items():
        if name in leaves:
            own = leaves[name].grad
            assert far(torch.zeros_like(gradient) if own is None else own, gradient) < CLOSE, name
    for name, after in parts(case, "after").items():
        assert far(reference.held[name], after) < CLOSE, name


@pytest.mark.parametrize(("family", "name"), each_case())
def test_each_network_can_be_written_and_read_again(family: str, name: str) -> None:
    reference = Reference(cases(family)[name])
    results = reference.run(train=False)
    for again in (Sequential.from_yaml(reference.net.to_yaml()), pickle.loads(pickle.dumps(reference.net))):
        assert str(again) == str(reference.net)
        assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in reference.net.parameters()]
        again.load_state_dict(reference.net.state_dict())
        found = again.eval()(*reference.inputs.values())
        for one, other in zip(found if isinstance(found, tuple) else (found,), results, strict=True):
            assert torch.equal(one, other)


# What no reference can show: numbers by chance, and what layers refuse


def test_dropout_is_shared_along_axes_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = layers.SharedDropout(0.25, axes=(2, -1))(torch.ones(200, 50, 2, 2))
    assert torch.equal(dropped, dropped[:, :, :1, :1].expand_as(dropped))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert dropped.mean() == pytest.approx(1, abs=0.05)


def test_dropout_that_is_always_there_is_there_in_evaluation() -> None:
    made = OPERATORS["Dropout"](GluonNode("n1", "Dropout", (None,), {"mode": "always", "p": "0.5"}))
    assert isinstance(made, Piece)
    assert repr(made.entry) == "SharedDropout(always=True)"
    torch.manual_seed(0)
    assert set(made.entry.eval()(torch.ones(100)).unique().tolist()) == {0.0, 2.0}


def test_slopes_by_chance_lie_between_their_bounds() -> None:
    made = OPERATORS["LeakyReLU"](GluonNode("n1", "LeakyReLU", (None,), {"act_type": "rrelu", "upper_bound": "0.2"}))
    assert isinstance(made, Piece)
    slopes = -made.entry.train()(-torch.ones(1000))
    assert 0.125 <= slopes.min() < 0.13 < 0.19 < slopes.max() <= 0.2


@pytest.mark.parametrize(
    ("layer", "shapes", "said"),
    [
        (layers.Split(4), [(1, 6)], "which cannot be split so"),
        (layers.Split(3, squeeze=True), [(1, 6)], "which cannot be split so"),
        (layers.SliceLike(), [(1, 3), (1, 4)], "there is no such part"),
        (layers.SliceLike((1,), (2,)), [(1, 3), (1, 2)], "there is no such part"),
        (layers.Reduction("sum", 2), [(1, 3)], "which has no such dimensions"),
        (layers.L2Normalization("spatial"), [(1, 3)], "which has no such dimensions"),
        (layers.UpsampleTogether(2), [(1, 1, 2, 2), (1, 1, 3, 3)], "no whole scales"),
        (layers.DeconvolutionTo(1, 1, 2, (9, 9)), [(1, 1, 2, 2)], "less than the target"),
        (layers.WindowPool("sum", 3, 1), [(1, 1, 2, 9)], "less than a window"),
        (layers.GluonReshape((0, 0, 0)), [(1, 3)], "need more dimensions"),
        (layers.GluonReshape((0, -3)), [(1, 3)], "need more dimensions"),
    ],
)
def test_values_that_do_not_fit_are_refused(layer: nn.Module, shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises((ValueError, IndexError), match=said):
        layer(*map(torch.zeros, shapes))


def test_batch_norm_is_one_of_torch_and_counts_its_batches() -> None:
    norm = layers.GluonBatchNorm(4, fix_gamma=True, axis=-1)
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert repr(norm) == "GluonBatchNorm(4, fix_gamma=True, axis=-1)"
    assert [name for name, each in norm.named_parameters() if each.requires_grad] == ["bias"]
    norm(torch.randn(2, 3, 4))
    assert norm.num_batches_tracked == 1
    norm.eval()(torch.randn(2, 3, 4))
    assert norm.num_batches_tracked == 1
