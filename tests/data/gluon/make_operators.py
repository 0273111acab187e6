"""Makes the references in ``operators/``: small symbols, and what MXNet computes with them.

Made with Apache MXNet 1.9.1 and numpy 1.23.5 on Python 3.11, on a CPU; the tests only read the files. In this folder:

    python make_operators.py

Each case is a symbol whose inputs are called ``data``, ``data1`` and so on, and whose other variables are parameters. A file
holds for each case: the JSON of the symbol as MXNet writes it, inputs, parameters and batch statistics, the result in
inference, the result in training, the gradients of everything by a given gradient of the result, and the batch statistics
behind one step of training.
"""

from __future__ import annotations

import json
import os
import zlib
from multiprocessing import Pipe, Process
from pathlib import Path

# MXNet's own code, not that of oneDNN, but for the cases that have no other.
os.environ |= {"MXNET_SUBGRAPH_BACKEND": "NONE", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0"}

import mxnet as mx
import numpy as np

HERE = Path(__file__).parent / "operators"
x, y, z = mx.sym.Variable("data"), mx.sym.Variable("data1"), mx.sym.Variable("data2")
p = mx.sym.Variable("p")
S = mx.sym

#: By family: cases by name, each a symbol and the shapes of its inputs (and of parameters that MXNet does not infer).
CASES = {family: {} for family in ("windows", "pooling", "normalization", "activation", "elementwise", "shapes", "dense")}


def case(family, name, symbol, *shapes, **options):
    """Adds a case."""
    CASES[family][name] = (symbol, shapes, options)


def windows():
    """Convolutions, transposed convolutions and what resizes."""
    image, row, volume = (2, 4, 7, 6), (2, 4, 9), (1, 2, 4, 5, 4)
    f = "windows"
    case(f, "convolution", S.Convolution(x, kernel=(3, 3), num_filter=3), image)
    case(f, "convolution_1d", S.Convolution(x, kernel=(3,), num_filter=3, stride=(2,), pad=(1,)), row)
    case(f, "convolution_3d", S.Convolution(x, kernel=(2, 3, 2), num_filter=2, pad=(0, 1, 1)), volume)
    case(f, "convolution_groups", S.Convolution(x, kernel=(3, 2), num_filter=6, num_group=2, no_bias=True, pad=(1, 0)), image)
    case(f, "convolution_dilated", S.Convolution(x, kernel=(3, 3), num_filter=2, dilate=(2, 1), stride=(1, 2)), image)
    case(f, "convolution_layout", S.Convolution(x, kernel=(1, 1), num_filter=2, layout="NCHW", workspace=2048), image)
    case(f, "convolution_v1", S.Convolution_v1(x, kernel=(3, 3), num_filter=3, stride=(2, 2), pad=(1, 1)), image)
    case(f, "deconvolution", S.Deconvolution(x, kernel=(4, 4), num_filter=3, stride=(2, 2), pad=(1, 1)), image)
    case(f, "deconvolution_1d", S.Deconvolution(x, kernel=(3,), num_filter=3, stride=(2,), adj=(1,)), row)
    case(f, "deconvolution_3d", S.Deconvolution(x, kernel=(2, 2, 2), num_filter=2, stride=(2, 2, 2)), volume, onednn=True)
    more = {"kernel": (3, 3), "stride": (2, 3), "num_filter": 4}
    case(f, "deconvolution_adj", S.Deconvolution(x, adj=(1, 2), pad=(1, 0), no_bias=False, num_group=2, **more), image)
    # without oneDNN, MXNet puts these numbers at wrong places
    case(f, "deconvolution_dilated", S.Deconvolution(x, dilate=(2, 1), **more), image, onednn=True)
    case(f, "deconvolution_target", S.Deconvolution(x, target_shape=(12, 16), no_bias=False, **more), image)
    case(f, "deconvolution_target_odd", S.Deconvolution(x, target_shape=(13, 13), num_group=2, **more), image)
    case(f, "deconvolution_target_1", S.Deconvolution(x, kernel=(3, 3), target_shape=(7, 6), num_filter=2), image)
    case(f, "upsampling", S.UpSampling(x, scale=2, sample_type="nearest"), image)
    for join in ("concat", "sum"):
        together = S.UpSampling(x, y, z, scale=2, sample_type="nearest", num_args=3, multi_input_mode=join)
        case(f, f"upsampling_{join}", together, (1, 2, 4, 4), (1, 2, 2, 2), (1, 2, 8, 8))
    for scale in (2, 3, 4):
        bilinear = S.UpSampling(x, p, scale=scale, sample_type="bilinear", num_filter=4, num_args=2)
        case(f, f"upsampling_bilinear_{scale}", bilinear, image)
    resize = mx.sym.contrib.BilinearResize2D
    case(f, "resize", resize(x, height=9, width=11), image)
    case(f, "resize_smaller", resize(x, height=3, width=4), image)
    case(f, "resize_centers", resize(x, height=9, width=11, align_corners=False), image)
    case(f, "resize_centers_smaller", resize(x, height=3, width=4, align_corners=False), image)
    case(f, "resize_scale", resize(x, scale_height=1.5, scale_width=2.5), image)
    case(f, "resize_scale_centers", resize(x, scale_height=1.7, scale_width=0.6, align_corners=False), image)
    case(f, "resize_like", resize(x, y, mode="like"), image, (1, 1, 9, 10), training=False)
    case(f, "crop", S.Crop(x, offset=(1, 2), h_w=(4, 3), num_args=1), image)
    case(f, "crop_like", S.Crop(x, y, offset=(2, 1), num_args=2), image, (1, 1, 4, 4))
    case(f, "crop_center", S.Crop(x, y, center_crop=True, num_args=2), image, (1, 1, 4, 3))


def pooling():
    """Pooling."""
    f, image = "pooling", (2, 3, 8, 7)
    for kind in ("max", "avg", "sum"):
        case(f, f"{kind}_default_stride", S.Pooling(x, kernel=(2, 3), pool_type=kind), image)
        case(f, f"{kind}_padded", S.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type=kind), image)
        case(f, f"{kind}_wide_padding", S.Pooling(x, kernel=(3, 4), stride=(2, 1), pad=(2, 3), pool_type=kind), image)
        case(f, f"{kind}_global", S.Pooling(x, kernel=(2, 2), global_pool=True, pool_type=kind), image)
        case(f, f"{kind}_global_padded", S.Pooling(x, kernel=(2, 2), pad=(1, 1), global_pool=True, pool_type=kind), image)
        case(f, f"{kind}_global_no_kernel", S.Pooling(x, global_pool=True, pool_type=kind), image)
        case(f, f"{kind}_1d", S.Pooling(x, kernel=(3,), stride=(2,), pad=(1,), pool_type=kind), (2, 3, 9))
        case(f, f"{kind}_1d_global", S.Pooling(x, kernel=(3,), global_pool=True, pool_type=kind), (2, 3, 9))
        case(f, f"{kind}_3d", S.Pooling(x, kernel=(2, 2, 2), stride=(2, 1, 2), pool_type=kind), (1, 2, 4, 5, 4))
        for extent in (5, 6, 7, 8):
            shape = (1, 2, extent, extent)
            sizes = {"k3s2": (3, 2, 0), "k3s2p1": (3, 2, 1), "k2s2p1": (2, 2, 1), "k3s3p1": (3, 3, 1)}
            for name, (kernel, stride, pad) in sizes.items():
                square = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "pad": (pad,) * 2, "pool_type": kind}
                case(f, f"{kind}_full_{name}_{extent}", S.Pooling(x, pooling_convention="full", **square), shape)
        full = {"kernel": (3,), "stride": (3,), "pad": (1,), "pooling_convention": "full", "pool_type": kind}
        case(f, f"{kind}_1d_full", S.Pooling(x, **full), (1, 2, 8))
        full = {"kernel": (2, 3, 2), "stride": (2, 2, 2), "pad": (1, 1, 0), "pooling_convention": "full", "pool_type": kind}
        case(f, f"{kind}_3d_full", S.Pooling(x, **full), (1, 2, 4, 5, 5))
        old = {"kernel": (3, 2), "stride": (2, 2), "pool_type": kind}
        case(f, f"{kind}_v1", S.Pooling_v1(x, **old), image)
        case(f, f"{kind}_v1_padded", S.Pooling_v1(x - 1, pad=(1, 1), **old), image)
        case(f, f"{kind}_v1_full", S.Pooling_v1(x - 1, pooling_convention="full", **old), image)
        case(f, f"{kind}_v1_full_padded", S.Pooling_v1(x - 1, pad=(1, 1), pooling_convention="full", **old), image)
        case(f, f"{kind}_v1_global", S.Pooling_v1(x, global_pool=True, **old), image)
    for counted in (True, False):
        options = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg", "count_include_pad": counted}
        case(f, f"avg_counted_{counted}", S.Pooling(x, **options), image)
        case(f, f"avg_counted_{counted}_full", S.Pooling(x, pooling_convention="full", **options), image)
        options |= {"stride": (3, 3), "pooling_convention": "full"}
        case(f, f"avg_counted_{counted}_full_wide", S.Pooling(x, **options), (1, 2, 8, 8))
    for power in (1, 2, 3):
        options = {"kernel": (3, 2), "stride": (2, 2), "pool_type": "lp", "p_value": power}
        case(f, f"lp_{power}", S.Pooling(S.abs(x) + 0.1, **options), image)
        case(f, f"lp_{power}_signs", S.Pooling(x, **options), image)
        case(f, f"lp_{power}_global", S.Pooling(S.abs(x) + 0.1, global_pool=True, **options), image)
    for size in (1, 3, (2, 5)):
        case(f, f"adaptive_{size}", mx.sym.contrib.AdaptiveAvgPooling2D(x, output_size=size), image)
    case(f, "adaptive", mx.sym.contrib.AdaptiveAvgPooling2D(x), image)


def normalization():
    """Normalization."""
    f, image = "normalization", (3, 4, 5, 4)
    case(f, "batch_norm", S.BatchNorm(x), image)
    case(f, "batch_norm_gamma", S.BatchNorm(x, fix_gamma=False, eps=1e-5, momentum=0.7), image)
    case(f, "batch_norm_global", S.BatchNorm(x, fix_gamma=False, use_global_stats=True), image)
    case(f, "batch_norm_features", S.BatchNorm(x, fix_gamma=False), (6, 4))
    case(f, "batch_norm_1d", S.BatchNorm(x, fix_gamma=False), (3, 4, 7))
    case(f, "batch_norm_3d", S.BatchNorm(x, fix_gamma=False), (2, 3, 2, 3, 2))
    case(f, "batch_norm_axis", S.BatchNorm(x, fix_gamma=False, axis=3), image)
    case(f, "batch_norm_last_axis", S.BatchNorm(x, fix_gamma=False, axis=-1), image)
    case(f, "batch_norm_v1", S.BatchNorm_v1(x, fix_gamma=False), image)
    case(f, "batch_norm_relu", mx.sym.contrib.BatchNormWithReLU(x, fix_gamma=False), image, onednn=True)
    case(f, "sync_batch_norm", mx.sym.contrib.SyncBatchNorm(x, fix_gamma=False, key="a"), image)
    case(f, "layer_norm", S.LayerNorm(x), (3, 4, 6))
    case(f, "layer_norm_axis", S.LayerNorm(x, axis=1, eps=1e-3), image)
    case(f, "instance_norm", S.InstanceNorm(x), image)
    case(f, "instance_norm_1d", S.InstanceNorm(x, eps=0.1), (3, 4, 7))
    case(f, "group_norm", S.GroupNorm(x, num_groups=2), image)
    case(f, "group_norm_one", S.GroupNorm(x, eps=0.01), image)
    for mode in ("instance", "channel", "spatial"):
        case(f, f"l2_{mode}", S.L2Normalization(x, mode=mode), image)
        case(f, f"l2_{mode}_eps", S.L2Normalization(x, mode=mode, eps=0.5), image)
    case(f, "l2_small", S.L2Normalization(x * 1e-5), image)
    case(f, "lrn", S.LRN(x, nsize=3), (2, 7, 3, 3))
    case(f, "lrn_strong", S.LRN(x, nsize=5, alpha=0.3, beta=0.6, knorm=1.0), (2, 7, 3, 3))


def activation():
    """Activations, softmax, dropout, ends with a loss."""
    f, image = "activation", (2, 3, 4, 5)
    for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign"):
        case(f, kind, S.Activation(x * 9, act_type=kind), image)
    for kind in ("relu", "sigmoid", "tanh", "softsign"):
        case(f, f"{kind}_itself", getattr(S, kind)(x), image)
    for kind in ("leaky", "elu", "gelu"):
        case(f, f"leaky_{kind}", S.LeakyReLU(x, act_type=kind), image)
    # MXNet's gradient is wrong here: 1.05 times the part that comes from the result
    case(f, "leaky_selu", S.LeakyReLU(x, act_type="selu"), image, gradients=False)
    case(f, "leaky_default", S.LeakyReLU(x), image)
    case(f, "leaky_slope", S.LeakyReLU(x, act_type="leaky", slope=0.01), image)
    case(f, "leaky_elu_slope", S.LeakyReLU(x, act_type="elu", slope=1.5), image)
    case(f, "leaky_prelu", S.LeakyReLU(x, act_type="prelu"), image)
    case(f, "leaky_prelu_features", S.LeakyReLU(x, act_type="prelu"), (4, 5))
    case(f, "leaky_prelu_shared", S.LeakyReLU(x, p, act_type="prelu"), image, p=(1,))
    case(f, "leaky_rrelu", S.LeakyReLU(x, act_type="rrelu")[0], image, training=False)
    case(f, "hard_sigmoid", S.hard_sigmoid(x * 3), image)
    case(f, "hard_sigmoid_other", S.hard_sigmoid(x * 3, alpha=0.3, beta=0.4), image)
    for kind in ("softmax", "log_softmax", "softmin"):
        case(f, kind, getattr(S, kind)(x), image)
        case(f, f"{kind}_axis", getattr(S, kind)(x, axis=1), image)
        case(f, f"{kind}_temperature", getattr(S, kind)(x, axis=1, temperature=2.5), image)
    case(f, "softmax_dtype", S.softmax(x, dtype="float64"), image)
    value = {"gradients": False}  # that of a loss, whatever follows
    case(f, "softmax_output", S.SoftmaxOutput(x, name="end"), (4, 5), **value)
    case(f, "softmax_output_image", S.SoftmaxOutput(x, name="end"), image, **value)
    case(f, "softmax_output_multi", S.SoftmaxOutput(x, name="end", multi_output=True), image, **value)
    case(f, "softmax_output_shape", S.SoftmaxOutput(x, name="end", preserve_shape=True), image, **value)
    case(f, "softmax_activation", S.SoftmaxActivation(x), image, gradients=False)  # MXNet's is wrong for images
    case(f, "softmax_activation_features", S.SoftmaxActivation(x), (4, 5))
    case(f, "softmax_activation_channel", S.SoftmaxActivation(x, mode="channel"), image)
    case(f, "linear_output", S.LinearRegressionOutput(x, name="end"), (4, 5), **value)
    case(f, "logistic_output", S.LogisticRegressionOutput(x, name="end"), (4, 5), **value)
    case(f, "mae_output", S.MAERegressionOutput(x, name="end"), (4, 5), **value)
    case(f, "svm_output", S.SVMOutput(x, name="end"), (4, 5), **value)
    case(f, "make_loss", S.MakeLoss(x), image, **value)
    case(f, "make_loss_new", S.make_loss(x), image, **value)
    case(f, "dropout", S.Dropout(x, p=0.3), image, training=False)
    case(f, "dropout_axes", S.Dropout(x, axes=(2, 3)), image, training=False)
    case(f, "dropout_none", S.Dropout(x, p=0.0), image)


def elementwise():
    """Number by number."""
    f, image, row = "elementwise", (2, 3, 2, 4), (1, 3, 1, 4)
    positive = {"positive": True}
    for kind in ("add", "sub", "mul", "div"):
        case(f, f"elemwise_{kind}", getattr(S, f"elemwise_{kind}")(x, y), image, image, **positive)
    for kind in ("power", "maximum", "minimum", "hypot", "mod"):
        case(f, f"same_{kind}", getattr(mx.sym._internal, f"_{kind}")(x, y), image, image, **positive)
    for kind in ("add", "sub", "mul", "div", "maximum", "minimum", "power", "hypot", "mod"):
        case(f, f"broadcast_{kind}", getattr(S, f"broadcast_{kind}")(x, y), image, row, **positive)
        by = getattr(S, f"broadcast_{kind}")
        case(f, f"broadcast_{kind}_parameter", by(x, p), image, p=row, **positive)
        case(f, f"broadcast_{kind}_of_parameter", by(p, x), image, p=(2, 1, 2, 4), **positive)
    for name in ("maximum", "minimum"):
        case(f, f"equal_{name}", getattr(mx.sym._internal, f"_{name}")(x, y), image, image, whole=True)
        case(f, f"equal_broadcast_{name}", getattr(S, f"broadcast_{name}")(x, y), image, row, whole=True)
        case(f, f"equal_{name}_scalar", getattr(mx.sym._internal, f"_{name}_scalar")(x, scalar=1), image, whole=True)
    case(f, "equal_clip", S.clip(x, a_min=-1, a_max=1), image, whole=True)
    scalars = {"plus": x + 2.5, "minus": x - 2, "rminus": 2.25 - x, "mul": x * 1.5, "div": x / 3, "rdiv": 3 / x}
    scalars |= {"power": x**2.5, "rpower": mx.sym._internal._rpower_scalar(x, scalar=1.5), "mod": x % 0.3}
    scalars |= {"maximum": S.maximum(x, 0.75), "minimum": S.minimum(x, 0.75)}
    for name, symbol in scalars.items():
        case(f, f"scalar_{name}", symbol, image, **positive)
    case(f, "mod_negative", x % 0.3, image)
    case(f, "mod_negative_divisor", x % -0.3, image)
    case(f, "add_n", S.add_n(x, y, z), image, image, image)
    case(f, "add_n_same", S.add_n(x, x, y), image, image)
    case(f, "concat", S.Concat(x, y), (2, 3, 4), (2, 1, 4))
    case(f, "concat_dim", S.Concat(x, y, z, dim=2), (2, 3, 4), (2, 3, 1), (2, 3, 2))
    case(f, "concat_last", S.Concat(x, y, dim=-1), (2, 3, 4), (2, 3, 1))
    case(f, "concat_one", S.Concat(x), (2, 3, 4))
    case(f, "concat_parameter", S.Concat(x, p, dim=0), (2, 3, 4), p=(1, 3, 4))
    case(f, "stack", S.stack(x, y), image, image)
    case(f, "stack_axis", S.stack(x, y, z, axis=2), image, image, image)
    for name in ("equal", "not_equal", "greater", "greater_equal", "lesser", "lesser_equal"):
        case(f, f"broadcast_{name}", getattr(S, f"broadcast_{name}")(S.floor(x), S.floor(y)), image, row)
        case(f, f"scalar_{name}", getattr(mx.sym._internal, f"_{name}_scalar")(S.floor(x), scalar=1), image)
        case(f, f"same_{name}", getattr(mx.sym._internal, f"_{name}")(S.floor(x), S.floor(y)), image, image)
    case(f, "where", S.where(x > 0, y, z), image, image, image)
    case(f, "clip", S.clip(x, a_min=-0.5, a_max=0.7), image)
    names = ["exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "abs", "negative", "reciprocal"]
    names += ["erf", "sin", "cos", "tan", "arctan", "sinh", "cosh", "arcsinh"]
    for name in names:
        case(f, name, getattr(S, name)(x), image, **positive)
    for name in ("abs", "sign", "floor", "ceil", "trunc", "fix", "erf", "square", "zeros_like", "ones_like", "identity"):
        case(f, f"{name}_signs", getattr(S, name)(x), image)
    for name in ("arcsin", "arccos", "arctanh"):
        case(f, name, getattr(S, name)(x * 0.2), image)
    case(f, "arccosh", S.arccosh(x + 1), image, **positive)
    case(f, "block_grad", S.BlockGrad(x) * y, image, image)
    case(f, "cast", S.Cast(x, dtype="float64"), image)
    case(f, "amp_cast", S.amp_cast(x, dtype="float32"), image)
    case(f, "div_sqrt_dim", mx.sym.contrib.div_sqrt_dim(x), image)


def shapes():
    """Shapes, parts, padding, sums."""
    f, image, volume = "shapes", (2, 4, 6, 3), (1, 2, 3, 4, 3)
    case(f, "flatten", S.Flatten(x), image)
    codes = [(0, -1), (-1,), (2, 12, -1), (0, 0, -1), (0, -3, -2), (-2,), (0, -4, 2, -1, -2), (0, 0, -4, -1, 3, 0), (-3, -3)]
    codes += [(-4, 1, 2, -2), (0, 4, 18), (12, 0, -1), (-2, 1, 1), (-3, 0, -2)]
    for i, code in enumerate(codes):
        case(f, f"reshape_{i}", S.reshape(x, shape=code), image)
    for i, code in enumerate([(-1, 0), (0, -1, 0), (-3, -3), (-1, 6, 3), (-2, 3), (0, 0, -3), (-2, 0), (0, -1)]):
        case(f, f"reshape_reverse_{i}", S.reshape(x, shape=code, reverse=True), image)
    case(f, "reshape_like", S.reshape_like(x, y), image, (8, 18))
    case(f, "broadcast_like", S.broadcast_like(x, y), (2, 1, 3), (2, 5, 3))
    case(f, "transpose", S.transpose(x), image)
    case(f, "transpose_axes", S.transpose(x, axes=(0, 2, 3, 1)), image)
    case(f, "swap_axis", S.SwapAxis(x, dim1=1, dim2=3), image)
    case(f, "swapaxes", S.swapaxes(x, 2, 1), image)
    case(f, "expand_dims", S.expand_dims(x, axis=1), image)
    case(f, "expand_dims_last", S.expand_dims(x, axis=-1), image)
    case(f, "squeeze", S.squeeze(x), (2, 1, 3, 1))
    case(f, "squeeze_all", S.squeeze(x), (1, 1))
    case(f, "squeeze_axis", S.squeeze(x, axis=1), (2, 1, 3, 1))
    case(f, "squeeze_axes", S.squeeze(x, axis=(1, -1)), (2, 1, 3, 1))
    case(f, "flip", S.flip(x, axis=2), image)
    case(f, "flip_both", S.reverse(x, axis=(1, 3)), image)
    case(f, "slice", S.slice(x, begin=(None, 1), end=(None, 3)), image)
    case(f, "slice_step", S.slice(x, begin=(0, 3, None), end=(2, 4, 6), step=(1, 1, 2)), image)
    case(f, "slice_negative", S.slice(x, begin=(0, -3), end=(1, -1)), image)
    case(f, "slice_axis", S.slice_axis(x, axis=2, begin=1, end=4), image)
    case(f, "slice_axis_end", S.slice_axis(x, axis=-2, begin=-3, end=None), image)
    case(f, "slice_axis_negative", S.slice_axis(x, axis=1, begin=0, end=-1), image)
    case(f, "slice_like", S.slice_like(x, y), image, (2, 3, 4, 1))
    case(f, "slice_like_axes", S.slice_like(x, y, axes=(2, 3)), image, (1, 9, 4, 2))
    case(f, "slice_like_negative", S.slice_like(x, y, axes=(-1, -2)), image, (1, 9, 4, 2))
    case(f, "split", S.Group(list(S.SliceChannel(x, num_outputs=2))), image)
    case(f, "split_axis", S.Group(list(S.split(x, num_outputs=3, axis=2))), image)
    case(f, "split_squeezed", S.Group(list(S.split(x, num_outputs=3, axis=-1, squeeze_axis=True))), image)
    case(f, "split_one", S.split(x, num_outputs=1, axis=0), image)
    case(f, "split_one_squeezed", S.split(x, num_outputs=1, axis=1, squeeze_axis=True), (2, 1, 3))
    case(f, "split_unused", S.split(x, num_outputs=2)[1] * 2, image)
    case(f, "split_v2_places", S.Group(list(S.split_v2(x, (1, 3), axis=1))), image)
    case(f, "split_v2_sections", S.Group(list(S.split_v2(x, 2, axis=2))), image)
    around, around3 = (0, 0, 0, 0, 1, 2, 2, 0), (0, 0, 0, 0, 1, 0, 2, 1, 0, 2)
    for mode in ("constant", "edge", "reflect"):
        case(f, f"pad_{mode}", S.pad(x, mode=mode, pad_width=around), image)
        case(f, f"pad_{mode}_3d", S.pad(x, mode=mode, pad_width=around3), volume)
    case(f, "pad_value", S.Pad(x, mode="constant", pad_width=around, constant_value=1.5), image)
    for kind in ("sum", "mean", "max", "min"):
        by = getattr(S, kind)
        case(f, f"{kind}_all", by(x), image)
        case(f, f"{kind}_all_kept", by(x, keepdims=True), image)
        case(f, f"{kind}_axis", by(x, axis=1), image)
        case(f, f"{kind}_axes", by(x, axis=(2, 3)), image)
        case(f, f"{kind}_kept", by(x, axis=(2, 3), keepdims=True), image)
        case(f, f"{kind}_negative", by(x, axis=(-1, 1)), image)
        case(f, f"{kind}_every", by(x, axis=(0, 1)), (3, 4))
        case(f, f"{kind}_exclude", by(x, axis=(1,), exclude=True), image)
        case(f, f"{kind}_exclude_kept", by(x, axis=(0, -1), exclude=True, keepdims=True), image)
    case(f, "max_equal", S.max(S.relu(x), axis=(2, 3)), image)
    case(f, "min_equal", S.min(S.relu(x), axis=(2, 3)), image)
    case(f, "argmax", S.argmax(x, axis=1), image, gradients=False)
    case(f, "argmin_kept", S.argmin(x, axis=1, keepdims=True), image, gradients=False)


def dense():
    """Linear layers and products."""
    f, image = "dense", (3, 2, 4)
    case(f, "fully_connected", S.FullyConnected(x, num_hidden=5), image)
    case(f, "fully_connected_features", S.FullyConnected(x, num_hidden=5), (3, 4))
    case(f, "fully_connected_no_bias", S.FullyConnected(x, num_hidden=5, no_bias=True), image)
    case(f, "fully_connected_last", S.FullyConnected(x, num_hidden=5, flatten=False), image)
    case(f, "embedding", S.Embedding(x, input_dim=7, output_dim=3), (2, 5), indices=7)
    case(f, "embedding_outside", S.Embedding(x, input_dim=7, output_dim=3), (3, 5), indices=12)
    case(f, "dot", S.dot(x, y), (2, 3), (3, 4))
    case(f, "dot_a", S.dot(x, y, transpose_a=True), (3, 2), (3, 4))
    case(f, "dot_b", S.dot(x, y, transpose_b=True), (2, 3), (4, 3))
    case(f, "dot_parameter", S.dot(x, p), (2, 3), p=(3, 4))
    case(f, "dot_many", S.dot(x, y), (2, 5, 3), (3, 4))
    case(f, "dot_many_a", S.dot(x, y, transpose_a=True), (3, 2, 5), (3, 4))
    case(f, "dot_vectors", S.dot(x, y), (5,), (5,))
    case(f, "batch_dot", S.batch_dot(x, y), (2, 3, 4), (2, 4, 5))
    case(f, "batch_dot_a", S.batch_dot(x, y, transpose_a=True), (2, 4, 3), (2, 4, 5))
    case(f, "batch_dot_b", S.batch_dot(x, y, transpose_b=True), (2, 3, 4), (2, 5, 4))


def numbers(chance, shape, options, name):
    """Numbers for a variable."""
    if name == "data" and "indices" in options:
        return chance.randint(-2 if options["indices"] > 7 else 0, options["indices"], shape).astype(np.float32)
    if name.endswith("var"):
        return short(0.5 + chance.rand(*shape))
    if options.get("whole"):
        return np.round(2 * chance.randn(*shape)).astype(np.float32)
    if options.get("positive"):
        return short(0.3 + 1.2 * chance.rand(*shape))
    return short(chance.randn(*shape))


def short(numbers):
    """Numbers of few digits, which take less room in a file."""
    return (np.round(numbers * 1024) / 1024).astype(np.float32)


def computed(name, symbol, shapes, options):
    """What a file holds of a case."""
    chance = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFF)
    names = symbol.list_arguments()
    inputs = dict(zip(("data", "data1", "data2"), shapes, strict=False))
    known = inputs | {key: shape for key, shape in options.items() if key == "p"}
    found, _, auxiliary = symbol.infer_shape(**known)
    arguments = {each: mx.nd.array(numbers(chance, shape, options, each)) for each, shape in zip(names, found, strict=False)}
    statistics = {
        each: mx.nd.array(numbers(chance, shape, options, each))
        for each, shape in zip(symbol.list_auxiliary_states(), auxiliary, strict=False)
    }
    kept = {"json": np.frombuffer(symbol.tojson().encode(), np.uint8)}
    kept |= {f"value/{each}": value.asnumpy() for each, value in (arguments | statistics).items() if not each.endswith("label")}
    wanted = {each: value for each, value in arguments.items() if each != "data" or "indices" not in options}
    gradients = {each: mx.nd.zeros_like(value) for each, value in wanted.items()}
    write = {each: "write" if each in wanted else "null" for each in arguments}
    run = symbol.bind(mx.cpu(), arguments, args_grad=gradients, grad_req=write, aux_states=statistics)
    for i, result in enumerate(run.forward(is_train=False)):
        kept[f"result/{i}"] = result.asnumpy()
    if not options.get("training", True):
        return kept
    results = run.forward(is_train=True)
    heads = [short(chance.randn(*result.shape)).astype(result.dtype) for result in results]
    for i, (result, head) in enumerate(zip(results, heads, strict=False)):
        if not np.array_equal(result.asnumpy(), kept[f"result/{i}"]):
            kept[f"trained/{i}"] = result.asnumpy()
        kept[f"head/{i}"] = head
    if options.get("gradients", True):
        run.backward([mx.nd.array(head, dtype=head.dtype) for head in heads])
        kept |= {f"gradient/{each}": value.asnumpy() for each, value in gradients.items() if not each.endswith("label")}
    return kept | {f"after/{each}": value.asnumpy() for each, value in run.aux_dict.items()}


def computed_apart(*arguments):
    """The same in a process of its own, or why not: some operators write beyond their memory."""
    ours, theirs = Pipe(False)
    process = Process(target=send, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return "it crashes"
    finally:
        process.join()


def send(pipe, *arguments):
    """Computes a case and sends what its file holds."""
    os.environ["MXNET_MKLDNN_ENABLED"] = "1" if "onednn" in arguments[-1] else "0"
    try:
        pipe.send(computed(*arguments))
    except mx.MXNetError as error:
        pipe.send(str(error).splitlines()[-1][:150])


def main():
    """Writes a file for each family."""
    for family in (windows, pooling, normalization, activation, elementwise, shapes, dense):
        family()
    HERE.mkdir(exist_ok=True)
    for family, cases in CASES.items():
        found = {}
        for name, (symbol, shapes_of, options) in cases.items():
            kept = computed_apart(name, symbol, shapes_of, options)
            if isinstance(kept, str):
                print(f"{family}/{name}: MXNet refuses it: {kept}")
                continue
            found |= {f"{name}/{key}": value for key, value in kept.items()}
        write(HERE / f"{family}.npz", found)


def write(path, found):
    """Writes arrays: their numbers behind each other, and where each begins."""
    index, numbers, at = {}, [], 0
    for name, array in found.items():
        index[name] = (str(array.dtype), array.shape, at)
        numbers.append(array.tobytes())
        at += len(numbers[-1])
    text = json.dumps(index, separators=(",", ":")).encode()
    arrays = {"index": np.frombuffer(text, np.uint8), "numbers": np.frombuffer(b"".join(numbers), np.uint8)}
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
