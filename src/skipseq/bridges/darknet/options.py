"""The sections and options of Darknet: which are read, which change nothing, and which are refused for what reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

__all__ = ["ALIASES", "KINDS", "UNSUPPORTED", "known_options", "refused_options"]

#: Other names of sections.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "network": "net",
        "conv": "convolutional",
        "conn": "connected",
        "max": "maxpool",
        "avg": "avgpool",
        "local_avg": "local_avgpool",
        "soft": "softmax",
        "lrn": "normalization",
        "deconv": "deconvolutional",
        "silence": "empty",
    }
)

#: The options that each section reads, or that tell how to train it and what to do with its result.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "net": "width height channels inputs",
        "convolutional": "filters groups size stride stride_x stride_y dilation pad padding activation batch_normalize cbn "
        "assisted_excitation dot angle grad_centr reverse stream wait_stream",
        "connected": "output activation batch_normalize",
        "batchnorm": "",
        "activation": "activation",
        "logistic": "",
        "maxpool": "stride stride_x stride_y size padding out_channels",
        "local_avgpool": "stride stride_x stride_y size padding",
        "avgpool": "",
        "upsample": "stride scale",
        "reorg": "stride reverse",
        "reorg3d": "stride reverse",
        "route": "layers groups group_id stream wait_stream",
        "shortcut": "from activation alpha beta weights_type weights_normalization",
        "scale_channels": "from scale_wh activation",
        "sam": "from activation",
        "dropout": "probability dropblock_size_rel dropblock_size_abs",
        "softmax": "groups temperature tree noloss spatial",
        "empty": "",
        "cost": "type scale ratio noobj thresh",
        "yolo": "classes num mask max anchors scale_x_y new_coords jitter resize ignore_thresh truth_thresh iou_thresh random "
        "map show_details max_delta counters_per_class label_smooth_eps objectness_smooth iou_normalizer obj_normalizer "
        "cls_normalizer delta_normalizer uc_normalizer iou_loss iou_thresh_kind beta_nms beta1 nms_kind focal_loss "
        "track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm embedding_layer",
        "Gaussian_yolo": "classes num mask max anchors scale_x_y jitter resize ignore_thresh truth_thresh iou_thresh random "
        "map max_delta counters_per_class label_smooth_eps objectness_smooth uc_normalizer iou_normalizer obj_normalizer "
        "cls_normalizer delta_normalizer iou_loss iou_thresh_kind beta_nms nms_kind yolo_point",
        "region": "classes num coords anchors softmax tree map max log sqrt background focal_loss jitter resize rescore thresh "
        "classfix absolute random coord_scale object_scale noobject_scale mask_scale class_scale bias_match",
        "detection": "classes coords rescore num side softmax sqrt max coord_scale forced object_scale noobject_scale "
        "class_scale jitter resize random reorg",
        "local": "",
        "deconvolutional": "",
        "crop": "",
        "normalization": "",
        "l2norm": "",
        "iseg": "",
        "rnn": "",
        "gru": "",
        "lstm": "",
        "crnn": "",
        "conv_lstm": "",
        "history": "",
        "contrastive": "",
        "implicit": "",
    }
)

#: Options of every section.
GENERAL = (
    "truth onlyforward stopbackward train_only_bn dontsave dontload dontloadscales numload learning_rate smooth "
    "batch_normalize activation size stride pad"
)

STATE = (
    "It carries a state from one call to the next, which a network in words does not have. Write it with nn.RNN and its kin."
)
TRAINING = "It serves training alone: remove the section, and what refers to layers by their numbers has to count anew."

#: Why a section is refused.
UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "local": "It has a kernel of its own for each pixel; PyTorch has no such layer. Put a convolution in its place.",
        "deconvolutional": "Only one of the two Darknets has it. Write nn.ConvTranspose2d in its place.",
        "crop": "It cuts images at random for training. Remove the section, let width= and height= of [net] be those of the "
        "cut, and count anew where layers are referred to by their numbers.",
        "normalization": "Darknet's window leaves out a channel that nn.LocalResponseNorm counts. Remove the section, and "
        "train anew.",
        "l2norm": "Only one of the two Darknets has it. Write torch.nn.functional.normalize in its place.",
        "iseg": "Only one of the two Darknets has it. Remove the section.",
        "rnn": STATE,
        "gru": STATE,
        "lstm": STATE,
        "crnn": STATE,
        "conv_lstm": STATE,
        "history": STATE,
        "contrastive": TRAINING,
        "implicit": "It is a parameter without an input. Write nn.Parameter in a layer of your own in its place.",
    }
)

BINARY = "Binary weights are a way of computing of Darknet alone. Remove the option to read the weights as they were trained."
BLUR = "The blurring layer inside this one has no place in the file of weights. Write it as a section of its own."
DEFORM = "Kernels that are turned or stretched are a way of training of Darknet alone. Remove the option."

PARTS = "A file that holds a part of a layer is not read. Remove the option, and let Darknet write the whole layer."

#: Why an option is refused that is not zero, for each section and, under the empty name, for all.
REFUSED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "": {
            "dontloadscales": PARTS,
            "numload": PARTS,
        },
        "convolutional": {
            "binary": BINARY,
            "xnor": BINARY,
            "bin_output": BINARY,
            "antialiasing": BLUR,
            "flipped": "A kernel that is stored the other way round is not read. Let Darknet load and save the weights.",
            "sway": DEFORM,
            "rotate": DEFORM,
            "stretch": DEFORM,
            "stretch_sway": DEFORM,
            "coordconv": "Channels of coordinates are not read. Remove the option and train anew.",
        },
        "maxpool": {
            "antialiasing": BLUR,
            "maxpool_depth": "The largest value over channels is not read. Write torch.amax over groups of them in its place.",
            "maxpool_zero_nonmax": "It changes the layer before it. Write a layer of your own in its place.",
        },
        "reorg": {
            "flatten": "Only one of the two Darknets has it. Write a permutation in its place.",
            "extra": "Only one of the two Darknets has it. Write nn.Flatten and nn.ConstantPad1d in its place.",
        },
        "dropout": {
            "dropblock": "Dropping blocks is not read. Without the option it is a dropout; in evaluation both do nothing.",
        },
        "detection": {"reorg": "Only one of the two Darknets reads it. Remove the option."},
    }
)


@cache
def refused_options(kind: str) -> Mapping[str, str]:
    """The options that a section may not have, with the reasons."""
    return {**REFUSED[""], **REFUSED.get(kind, {})}


@cache
def known_options(kind: str) -> frozenset[str]:
    """All options that somebody reads in a section."""
    return frozenset((*KINDS[kind].split(), *GENERAL.split(), *refused_options(kind), "share_index"))
