"""Nodes that MXNet would not write, or that are not read: what is said about them, and that nothing else happens."""

from __future__ import annotations

import random
import resource
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import skipseq.bridges.gluon.operators  # noqa: F401  its readers are registered
from skipseq.bridges.gluon.operation import OPERATORS, GluonNode, Piece
from skipseq.errors import FileError

from .gluon_operators import FAMILIES, Reference, cases

#: A value of the network, among shapes of parameters.
VALUE = None


def node(operator: str, attributes: dict[str, str], *shapes: tuple[int, ...] | None) -> GluonNode:
    values = tuple(None if shape is None else torch.ones(shape) for shape in shapes)
    return GluonNode("n1", operator, values, attributes, "net.json", inputs=tuple(f"v{i}" for i in range(len(values))))


def fault(operator: str, attributes: dict[str, str], *shapes: tuple[int, ...] | None) -> FileError:
    with pytest.raises(FileError) as caught:
        OPERATORS[operator](node(operator, attributes, *shapes))
    return caught.value


KERNEL = {"kernel": "(3, 3)", "num_filter": "8"}
NORM = [VALUE, (4,), (4,), (4,), (4,)]

FAULTS: list[tuple[str, dict[str, str], list[Any], str, str, str]] = [
    # operator, attributes, inputs: what is wrong, what was expected, what was received
    ("Convolution", KERNEL, [VALUE, (8, 3, 3, 3)], "The operator has another number of inputs.", "3 inputs", "2: v0, v1"),
    ("Convolution", KERNEL | {"kernel": "(3, 3, 3, 3)"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'kernel' is wrong.",
     "one to three whole numbers", "kernel = '(3, 3, 3, 3)'"),
    ("Convolution", {"num_filter": "8"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'kernel' is wrong.",
     "one to three whole numbers", "kernel = None"),
    ("Convolution", {"kernel": "(3, 3)"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'num_filter' is wrong.",
     "a whole number, which has to be given", "num_filter = None"),
    ("Convolution", KERNEL | {"kernel": "(0, 3)"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'kernel' is wrong.",
     "2 whole numbers from 1 to 65536", "kernel = '(0, 3)'"),
    ("Convolution", KERNEL | {"stride": "(2,)"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'stride' is wrong.",
     "2 whole numbers from 1 to 65536", "stride = '(2,)'"),
    ("Convolution", KERNEL | {"pad": "(1, 2147483647)"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'pad' is wrong.",
     "2 whole numbers from 0 to 65536", "pad = '(1, 2147483647)'"),
    ("Convolution", KERNEL | {"num_group": "3"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'num_group' is wrong.",
     "a divisor of the 8 filters", "num_group = '3'"),
    ("Convolution", KERNEL | {"num_group": "0"}, [VALUE, (8, 3, 3, 3), (8,)], "The attribute 'num_group' is wrong.",
     "a divisor of the 8 filters", "num_group = '0'"),
    ("Convolution", KERNEL | {"layout": "NHWC"}, [VALUE, (8, 3, 3, 3), (8,)], "The layout is another one than PyTorch's.",
     "layout = 'NCHW'", "layout = 'NHWC'"),
    ("Convolution", KERNEL, [VALUE, (9, 3, 3, 3), (8,)], "The weight has another shape than the attributes say.",
     "(8, any, 3, 3)", "(9, 3, 3, 3)"),
    ("Convolution", KERNEL, [VALUE, (8, 0, 3, 3), (8,)], "The weight has another shape than the attributes say.",
     "(8, any, 3, 3)", "(8, 0, 3, 3)"),
    ("Convolution", KERNEL, [VALUE, (8, 3, 3, 3), (1,)], "The bias has another shape than the attributes say.", "(8)", "(1,)"),
    ("Convolution", KERNEL, [VALUE, VALUE, (8,)], "The weight is a value that the network computes.",
     "a parameter as input 1", "v1"),
    ("Convolution", KERNEL, [(1, 3, 9, 9), (8, 3, 3, 3), (8,)], "Input 0 is a parameter.",
     "a value that the network computes", "v0"),
    ("Deconvolution", KERNEL | {"adj": "(1, 1)"}, [VALUE, (3, 8, 3, 3)], "'adj' adds more than a stride.",
     "less than the stride, or the dilation", "adj = (1, 1)"),
    ("Deconvolution", KERNEL | {"target_shape": "(9, 0)"}, [VALUE, (3, 8, 3, 3)], "The attribute 'target_shape' is wrong.",
     "extents of at least 1, or none", "target_shape = '(9, 0)'"),
    ("Deconvolution", KERNEL | {"num_group": "2"}, [VALUE, (3, 4, 3, 3)], "The attribute 'num_group' is wrong.",
     "a divisor of the 3 channels that the weight reads", "num_group = '2'"),
    ("BatchNorm", {"momentum": "1.5"}, NORM, "The attribute 'momentum' is wrong.", "a number from 0 to 1", "momentum = '1.5'"),
    ("BatchNorm", {"eps": "-1"}, NORM, "The attribute 'eps' is wrong.", "a number from 0 to 1e30", "eps = '-1'"),
    ("BatchNorm", {"axis": "99"}, NORM, "The attribute 'axis' is wrong.", "a dimension, from -32 to 31", "axis = '99'"),
    ("BatchNorm", {"output_mean_var": "True"}, NORM, "It gives its mean and variance too.",
     "one result", "output_mean_var = 'True'"),
    ("BatchNorm", {}, [VALUE, (4,), (4,), (4,), (5,)], "The moving variance has another shape than the attributes say.",
     "(4)", "(5,)"),
    ("GroupNorm", {"num_groups": "2"}, [VALUE, (4,), (4,)], "The gamma has another shape than the attributes say.",
     "(2)", "(4,)"),
    ("LRN", {"nsize": "4"}, [VALUE], "The attribute 'nsize' is wrong.", "an odd number up to 65536", "nsize = '4'"),
    ("Activation", {"act_type": "mish"}, [VALUE], "The attribute 'act_type' is wrong.",
     "'relu' or 'sigmoid' or 'tanh' or 'softrelu' or 'softsign'", "act_type = 'mish'"),
    ("LeakyReLU", {"slope": "nan"}, [VALUE], "The attribute 'slope' is wrong.", "a finite number", "slope = 'nan'"),
    ("LeakyReLU", {"act_type": "rrelu", "lower_bound": "0.9"}, [VALUE], "The attribute 'upper_bound' is wrong.",
     "at least the lower bound, 0.9", "upper_bound = None"),
    ("Dropout", {"p": "1"}, [VALUE], "The attribute 'p' is wrong.", "a number from 0, and less than 1", "p = '1'"),
    ("softmax", {"use_length": "True"}, [VALUE, VALUE], "The lengths are an input.", "one input", "use_length = 'True'"),
    ("softmax", {"temperature": "0"}, [VALUE], "The attribute 'temperature' is wrong.",
     "another number than 0", "temperature = '0'"),
    ("Pooling", {"kernel": "(2, 2)", "pool_type": "lp"}, [VALUE], "The attribute 'p_value' is wrong.",
     "1, 2 or 3", "p_value = None"),
    ("Pooling", {"kernel": "(2, 2)", "pad": "(2, 0)"}, [VALUE], "The attribute 'pad' is wrong.",
     "less than the kernel, (2, 2), or windows have nothing in them", "pad = '(2, 0)'"),
    ("Pooling", {"kernel": "(2, 2)", "pooling_convention": "same"}, [VALUE], "The attribute 'pooling_convention' is wrong.",
     "'valid' or 'full'", "pooling_convention = 'same'"),
    ("Pooling", {"kernel": "(2, 2)", "layout": "NHWC"}, [VALUE], "The attribute 'layout' is wrong.",
     "'None' or 'NCW' or 'NCHW' or 'NCDHW'", "layout = 'NHWC'"),
    ("Pooling", {}, [VALUE], "The attribute 'kernel' is wrong.", "one to three whole numbers", "kernel = None"),
    ("FullyConnected", {"num_hidden": "5"}, [VALUE, (4, 3), (5,)], "The weight has another shape than the attributes say.",
     "(5, any)", "(4, 3)"),
    ("Embedding", {"input_dim": "1000000000", "output_dim": "1000000000"}, [VALUE, (4, 3)],
     "The weight has another shape than the attributes say.", "(1000000000, 1000000000)", "(4, 3)"),
    ("broadcast_add", {}, [(4,), (4,)], "Parameters meet here.",
     "one parameter at most, and a value", "2 parameters and 0 values"),
    ("add_n", {}, [], "The operator has no inputs.", "at least 1 input", "none"),
    ("_plus_scalar", {"scalar": "1e999"}, [VALUE], "The attribute 'scalar' is wrong.", "a finite number", "scalar = '1e999'"),
    ("clip", {"a_min": "0"}, [VALUE], "The attribute 'a_max' is wrong.", "a number, which has to be given", "a_max = None"),
    ("Cast", {"dtype": "complex64"}, [VALUE], "The attribute 'dtype' is wrong.",
     "'float16' or 'float32' or 'float64' or 'bfloat16' or 'int8' or 'uint8' or 'int32' or 'int64' or 'bool'",
     "dtype = 'complex64'"),
    ("Reshape", {"shape": "(-1, -1)"}, [VALUE], "The attribute 'shape' is wrong.", "at most one -1", "shape = '(-1, -1)'"),
    ("Reshape", {"shape": "(-4, -1, -1)"}, [VALUE], "The attribute 'shape' is wrong.",
     "extents and the codes 0, -1, -2, -3, and -4 with two numbers, of which one may be -1", "shape = '(-4, -1, -1)'"),
    ("Reshape", {"shape": "(0, -4, 2)"}, [VALUE], "The attribute 'shape' is wrong.",
     "extents and the codes 0, -1, -2, -3, and -4 with two numbers, of which one may be -1", "shape = '(0, -4, 2)'"),
    ("Reshape", {}, [VALUE], "The attribute 'shape' is wrong.",
     "whole numbers; the attribute 'target_shape' of old files is not read", "shape = None"),
    ("transpose", {"axes": "(0, 1, 1)"}, [VALUE], "The attribute 'axes' is wrong.",
     "dimensions, each once", "axes = '(0, 1, 1)'"),
    ("transpose", {"axes": "(0, 3, 1)"}, [VALUE], "The attribute 'axes' is wrong.",
     "each dimension once", "axes = '(0, 3, 1)'"),
    ("slice", {"begin": "(0, 1)", "end": "(2,)"}, [VALUE], "The attribute 'end' is wrong.",
     "as many numbers as 'begin' and 'step' have, and at least one", "end = '(2,)'"),
    ("slice", {"begin": "(5,)", "end": "(0,)", "step": "(-1,)"}, [VALUE], "Steps go backwards, or nowhere.",
     "steps of at least 1", "step = (-1,)"),
    ("SliceChannel", {"num_outputs": "2000000000"}, [VALUE], "There are very many parts.", "at most 65536", "2000000000"),
    ("_split_v2", {"indices": "(0, 3, 1)"}, [VALUE], "The attribute 'indices' is wrong.",
     "0, and then places in order; without squeeze_axis", "indices = '(0, 3, 1)'"),
    ("Pad", {"mode": "edge", "pad_width": "(0, 0, 1, 1, 1, 1, 1, 1)"}, [VALUE], "The attribute 'pad_width' is wrong.",
     "8 or 10 numbers from 0 to 65536, of which the first four are 0", "pad_width = '(0, 0, 1, 1, 1, 1, 1, 1)'"),
    ("UpSampling", {"sample_type": "nearest", "scale": "2000000000"}, [VALUE], "The attribute 'scale' is wrong.",
     "a whole number from 1 to 1000", "scale = '2000000000'"),
    ("_contrib_BilinearResize2D", {"mode": "odd_scale"}, [VALUE], "The size depends on itself.",
     "mode = 'size' or 'like'", "mode = 'odd_scale'"),
    ("_contrib_BilinearResize2D", {"height": "0"}, [VALUE], "The attribute 'height' is wrong.",
     "height and width from 1 to 65536", "height = '0'"),
    ("_contrib_BilinearResize2D", {"scale_height": "2"}, [VALUE], "The attribute 'scale_height' is wrong.",
     "both scales, more than 0 and at most 1000", "scale_height = '2'"),
    ("Crop", {"h_w": "(4, 4)", "center_crop": "True"}, [VALUE], "The middle of a value depends on its size.",
     "a value to be cropped like", "center_crop = 'True'"),
    ("argmax", {}, [VALUE], "It counts over all dimensions.", "a dimension", "axis = 'None'"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "attributes", "shapes", "problem", "expected", "received"), FAULTS)
def test_the_message(
    operator: str, attributes: dict[str, str], shapes: list[Any], problem: str, expected: str, received: str
) -> None:
    error = fault(operator, attributes, *shapes)
    assert (error.problem, error.expected, error.received) == (problem, expected, received)
    assert str(error).startswith(f"net.json cannot be read as a network.\n  node 'n1' ({operator}): {problem}\n")
    assert error.advice.strip().endswith(".")


def test_parameters_without_floats_and_of_two_types_are_told() -> None:
    whole = GluonNode("n1", "LayerNorm", (None, torch.ones(4, dtype=torch.int32), torch.ones(4)))
    with pytest.raises(FileError, match=r"The gamma has no floating numbers\.[\s\S]*received torch\.int32"):
        OPERATORS["LayerNorm"](whole)
    mixed = GluonNode("n1", "LayerNorm", (None, torch.ones(4, dtype=torch.float64), torch.ones(4)))
    with pytest.raises(FileError, match=r"different types\.[\s\S]*received torch\.float32 and torch\.float64"):
        OPERATORS["LayerNorm"](mixed)


def test_the_numbers_of_a_tensor_are_copied_and_a_parameter_stays_itself() -> None:
    given = torch.ones(4)
    own = OPERATORS["LayerNorm"](GluonNode("n1", "LayerNorm", (None, given, nn.Parameter(torch.zeros(4)))))
    assert isinstance(own, Piece)
    given.zero_()
    assert own.entry.weight.tolist() == [1, 1, 1, 1]
    shared = nn.Parameter(torch.ones(4))
    one, other = (OPERATORS["LayerNorm"](GluonNode(name, "LayerNorm", (None, shared, shared))) for name in "ab")
    assert one.entry.weight is other.entry.weight is shared  # type: ignore[union-attr]


def test_no_random_number_is_used() -> None:
    before = torch.random.get_rng_state()
    OPERATORS["Convolution"](node("Convolution", KERNEL, VALUE, (8, 3, 3, 3), (8,)))
    assert torch.equal(torch.random.get_rng_state(), before)


# Damaged nodes

TEXTS = [
    "",
    "None",
    "True",
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "65536",
    "2147483647",
    "99999999999999999999",
    "1e308",
    "nan",
    "inf",
]
TEXTS += ["()", "(,)", "(0,)", "(1, 1)", "(2, 3)", "(-1, -1)", "(None, None)", "(3, 3, 3)", "(0, 0, 0, 0, 1, 1, 1, 1)", "[1, 2"]
TEXTS += ["(2147483647, 2147483647)", "x" * 500, "é", "\x00", "1_0", "0x10", "(" * 200, ", ".join(["1"] * 40), "NHWC", "same"]

SHAPES: list[Any] = [None, (), (0,), (1,), (3,), (4, 4), (2, 3, 3, 3), (4, 1, 2, 2), (0, 3), (1,) * 9]


def changed(given: GluonNode, chance: random.Random) -> GluonNode:
    """A node with something else in it."""
    attributes, values = dict(given.attributes), list(given.values)
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.randrange(5)
        if kind < 3 and attributes:
            attributes[chance.choice(sorted(attributes))] = chance.choice(TEXTS)
        elif kind == 3 and values:
            shape = chance.choice(SHAPES)
            dtype = chance.choice((torch.float32, torch.float32, torch.float16, torch.int64, torch.bool))
            values[chance.randrange(len(values))] = None if shape is None else torch.ones(shape, dtype=dtype)
        elif attributes and chance.random() < 0.5:
            del attributes[chance.choice(sorted(attributes))]
        else:
            values = values[:-1] if chance.random() < 0.7 else [*values, None]
    return GluonNode(given.name, given.operator, tuple(values), attributes, "net.json")


@pytest.mark.parametrize("family", FAMILIES)
def test_damaged_nodes_are_read_or_refused(family: str) -> None:
    chance = random.Random(family)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = refused = 0
    for case in cases(family).values():
        reference = Reference(case)
        for given in (reference.seen(each) for each in reference.nodes if each["op"] != "null"):
            for _ in range(8):
                made = read_or_refused(changed(given, chance))
                read, refused = read + bool(made), refused + (not made)
                for piece in made:
                    check_weights(piece)
    assert read > 10
    assert refused > 10
    assert time.monotonic() - start < 30
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 1 << 18


def read_or_refused(given: GluonNode) -> list[Piece]:
    """What becomes of a node, nothing if it is refused."""
    message = ""
    try:
        made = OPERATORS[given.operator](given)
    except FileError as error:
        message, made = str(error), []
    assert len(message) < 2000
    return made if isinstance(made, list) else [made]


def check_weights(piece: Piece) -> None:
    """Every parameter is there: none was left without memory by the constructor."""
    assert len(repr(piece.entry)) < 2000
    if isinstance(piece.entry, nn.Module):
        for value in piece.entry.state_dict().values():
            assert isinstance(value, Tensor)
            assert not value.is_meta


# Names

#: Names that stand in older files, and the operators that they are today.
OLDER = {
    "_plus": "elemwise_add", "_Plus": "elemwise_add", "_add": "elemwise_add", "_grad_add": "elemwise_add",
    "_minus": "elemwise_sub", "_Minus": "elemwise_sub", "_sub": "elemwise_sub",
    "_mul": "elemwise_mul", "_Mul": "elemwise_mul", "_div": "elemwise_div", "_Div": "elemwise_div",
    "_Mod": "_mod", "_Power": "_power", "_Hypot": "_hypot", "_Maximum": "_maximum", "_Minimum": "_minimum",
    "broadcast_plus": "broadcast_add", "broadcast_minus": "broadcast_sub", "ElementWiseSum": "add_n",
    "_PlusScalar": "_plus_scalar", "_MinusScalar": "_minus_scalar", "_RMinusScalar": "_rminus_scalar",
    "_MulScalar": "_mul_scalar", "_DivScalar": "_div_scalar", "_RDivScalar": "_rdiv_scalar", "_ModScalar": "_mod_scalar",
    "_PowerScalar": "_power_scalar", "_RPowerScalar": "_rpower_scalar",
    "_MaximumScalar": "_maximum_scalar", "_MinimumScalar": "_minimum_scalar",
    "_Equal": "_equal", "_Not_Equal": "_not_equal", "_Greater": "_greater", "_Greater_Equal": "_greater_equal",
    "_Lesser": "_lesser", "_Lesser_Equal": "_lesser_equal",
    "_EqualScalar": "_equal_scalar", "_NotEqualScalar": "_not_equal_scalar", "_GreaterScalar": "_greater_scalar",
    "_GreaterEqualScalar": "_greater_equal_scalar", "_LesserScalar": "_lesser_scalar",
    "_LesserEqualScalar": "_lesser_equal_scalar",
    "concat": "Concat", "Softmax": "SoftmaxOutput", "identity": "_copy", "_np_copy": "_copy", "stop_gradient": "BlockGrad",
    "cast": "Cast", "flatten": "Flatten", "reshape": "Reshape", "swapaxes": "SwapAxis", "flip": "reverse", "crop": "slice",
    "split": "SliceChannel", "pad": "Pad", "sum_axis": "sum", "max_axis": "max", "min_axis": "min",
    "CuDNNBatchNorm": "BatchNorm",
}  # fmt: skip


def operators_with_references() -> set[str]:
    return {each["op"] for family in FAMILIES for case in cases(family).values() for each in case["json"]["nodes"]}


def test_each_operator_has_a_reference_or_is_another_name_of_one_that_has() -> None:
    known = operators_with_references()
    assert {name for name in OPERATORS if name not in known and OLDER.get(name) not in known} == set()


@pytest.mark.parametrize("older", sorted(OLDER))
def test_older_names_mean_the_same(older: str) -> None:
    found = 0
    for family in FAMILIES:
        for case in cases(family).values():
            nodes = case["json"]["nodes"]
            if any(each["op"] == OLDER[older] for each in nodes):
                renamed = [each | {"op": older} if each["op"] == OLDER[older] else each for each in nodes]
                same = Reference(case | {"json": case["json"] | {"nodes": renamed}})
                assert str(same.net) == str(Reference(case).net)
                found += 1
    assert found
