"""Published models, each small enough for a test: of torchvision, timm, MONAI and segmentation_models_pytorch.

Weights are random; nothing is downloaded. The packages are imported when a model is built.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from torch import nn
from torch.library import Library

__all__ = ["ZOO", "Published"]


@dataclass(frozen=True, slots=True)
class Published:
    """A published model: how to build it, and two shapes of an input that it takes.

    ``refused`` is what the error says where it cannot be read.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (2, 3, 64, 64)
    other: tuple[int, ...] = (3, 3, 96, 64)
    remark: str = ""
    refused: str = ""


@cache
def torchvision() -> ModuleType:
    """The package, also where its compiled operators do not fit the build of torch: the models use none of them."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        package = importlib.import_module("torchvision")
        package._skipseq_library = library  # what it defines lives as long as it does
        return package


def from_torchvision(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        return getattr(torchvision().models, name)(weights=None, **arguments)

    return build


def from_timm(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torchvision()  # which timm imports
        return importlib.import_module("timm").create_model(name, pretrained=False, **arguments)

    return build


def from_monai(name: str, *given: Any, **arguments: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        return getattr(importlib.import_module("monai.networks.nets"), name)(*given, **arguments)

    return build


def from_smp(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torchvision()  # which timm imports
        package = importlib.import_module("segmentation_models_pytorch")
        return getattr(package, name)("resnet18", encoder_weights=None)

    return build


#: Channels of the U-Nets of MONAI.
NARROW = (4, 8, 16, 32)

ZOO = [
    Published("torchvision resnet18", from_torchvision("resnet18")),
    Published("torchvision resnet34", from_torchvision("resnet34")),
    Published("torchvision resnet50", from_torchvision("resnet50")),
    Published("torchvision resnext50_32x4d", from_torchvision("resnext50_32x4d")),
    Published("torchvision wide_resnet50_2", from_torchvision("wide_resnet50_2")),
    Published("torchvision densenet121", from_torchvision("densenet121")),
    Published("torchvision googlenet", from_torchvision("googlenet", aux_logits=False, init_weights=False)),
    Published(
        "torchvision inception_v3",
        from_torchvision("inception_v3", aux_logits=False, init_weights=False),
        (2, 3, 96, 96),
        (3, 3, 128, 96),
    ),
    Published("torchvision mobilenet_v2", from_torchvision("mobilenet_v2")),
    Published("MONAI UNet", from_monai("UNet", 2, 1, 2, NARROW, (2, 2, 2)), (2, 1, 32, 32), (1, 1, 48, 32)),
    Published(
        "MONAI UNet with residual units",
        from_monai("UNet", 2, 1, 2, NARROW, (2, 2, 2), num_res_units=2),
        (2, 1, 32, 32),
        (1, 1, 48, 32),
    ),
    Published(
        "MONAI BasicUNet",
        from_monai("BasicUNet", 2, 1, 2, features=(4, 4, 8, 16, 32, 4)),
        (2, 1, 32, 32),
        (1, 1, 48, 32),
        remark="the modules that pad by an if stay whole",
    ),
    Published(
        "MONAI BasicUNetPlusPlus",
        from_monai("BasicUNetPlusPlus", 2, 1, 2, features=(4, 4, 8, 16, 32, 4)),
        (2, 1, 32, 32),
        (1, 1, 48, 32),
    ),
    Published(
        "MONAI ResNet",
        from_monai("ResNet", "basic", [1, 1, 1, 1], [4, 8, 16, 32], spatial_dims=2, n_input_channels=1, num_classes=3),
        (2, 1, 64, 64),
        (3, 1, 96, 64),
    ),
    Published("segmentation_models_pytorch Unet", from_smp("Unet")),
    Published("segmentation_models_pytorch UnetPlusPlus", from_smp("UnetPlusPlus")),
    Published("timm resnet18", from_timm("resnet18")),
    Published("timm res2net50_26w_4s", from_timm("res2net50_26w_4s")),
    Published("timm densenet121", from_timm("densenet121")),
    Published("timm mobilenetv3_small_050", from_timm("mobilenetv3_small_050")),
    Published("timm efficientnet_b0", from_timm("efficientnet_b0")),
    Published("timm regnety_002", from_timm("regnety_002")),
    Published("timm vgg11_bn", from_timm("vgg11_bn", mlp_ratio=1 / 64)),
    Published("timm convnext_atto", from_timm("convnext_atto")),
    Published("timm mixer_s32_224", from_timm("mixer_s32_224", img_size=64), other=(3, 3, 64, 64)),
    Published("timm dla34", from_timm("dla34")),
    Published("timm ghostnet_050", from_timm("ghostnet_050")),
    Published("timm rexnet_100", from_timm("rexnet_100")),
    Published(
        "timm vit_tiny_patch16_224, shallow",
        from_timm("vit_tiny_patch16_224", img_size=64, depth=2),
        other=(3, 3, 64, 64),
        remark="its class token is a parameter of the network itself, which is no layer",
        refused="it uses the parameter 'cls_token' directly",
    ),
    Published(
        "timm swin_tiny_patch4_window7_224, narrow",
        from_timm(
            "swin_tiny_patch4_window7_224",
            img_size=64,
            window_size=4,
            embed_dim=24,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 3, 4),
        ),
        other=(3, 3, 64, 64),
    ),
]
