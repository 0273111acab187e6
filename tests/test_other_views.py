"""Views that others wrote for PyTorch's modules work on ours."""

from __future__ import annotations

import pytest
import torch
import torchinfo
import torchview

from .view_networks import NETWORKS

IMAGES = ["flat_unet", "nested_unet", "unet_plus_plus", "dense_block", "resnet", "grid_net"]


@pytest.mark.parametrize("name", IMAGES)
def test_torchinfo_counts_what_the_summary_counts(name: str) -> None:
    net, (shape,) = NETWORKS[name]()
    given = torch.zeros(2, *shape[1:])
    other = torchinfo.summary(net, input_data=given, verbose=0)
    assert other.total_params == net._graph(("N", *shape[1:]), (), {}).parameters
    assert net(given).shape[0] == 2


def test_torchview_draws_it() -> None:
    net, (shape,) = NETWORKS["nested_unet"]()
    drawn = torchview.draw_graph(net, input_data=torch.zeros(2, *shape[1:])).visual_graph.source
    assert drawn.count("Conv2d") == sum(type(module).__name__ == "Conv2d" for module in net.modules())
    assert drawn.count("cat") == 2
