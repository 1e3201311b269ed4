"""What tests of all backbones share: each in small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pose3d.lab.training.optimisers import initialise
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import LifterOptions, build_network
from tests.support.lifters import keypoints

SMALL: dict[str, dict[str, Any]] = {
    "mixste": {"depth": 4},
    "mhformer": {"hidden": 24, "refinements": 3, "generator_depth": 1},
    "motionbert": {"depth": 4, "dim_rep": 12},
    "motionagformer": {"depth": 4, "dim_rep": 12},
    "residual": {"depth": 4},
}
"""Backbone -> sizes of a network of four blocks that runs in milliseconds."""


def shrink(options: LifterOptions, pruned: HourglassOptions | None = None) -> LifterOptions:
    """Returns a configuration in small: 9 frames, 16 channels, 4 blocks.

    Args:
        options: of any size.
        pruned: replaces the hourglass of ``options``, which is made small otherwise.
    """
    heads = {"heads": 2} if options.backbone != "residual" else {}
    sizes = {**options.sizes, "frames": 9, "dim": 16, **heads, **SMALL[options.backbone]}
    if pruned is None and options.hourglass is not None:
        pruned = replace(options.hourglass, keep=(4,), at=(2,), heads=2)
    return replace(options, sizes=sizes, hourglass=pruned)


_OF_BACKBONE = {"mhformer": "mhformer-81", "motionagformer": "motionagformer-b"}


def small_options(backbone: str, pruned: HourglassOptions | None = None) -> LifterOptions:
    """Returns the options of one published network of a backbone, made small, see :func:`shrink`."""
    return shrink(CONFIGURATIONS[_OF_BACKBONE.get(backbone, backbone)], pruned)


def small_backbone(backbone: str, pruned: HourglassOptions | None = None) -> Hourglass:
    """Returns a small network, see :func:`fill`."""
    return fill(small_options(backbone, pruned))


def inputs_for(network: Hourglass, batch: int = 2) -> Tensor:
    """Returns windows of nine frames with as many channels as a small network takes."""
    motion = type(network.backbone).__name__.startswith("Motion")
    return keypoints(batch, channels=3 if motion else 2)


def fill(options: LifterOptions) -> Hourglass:
    """Builds a network with random weights, the same on every call, nothing zero or ineffective."""
    torch.manual_seed(5)
    network = build_network(options)
    initialise(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return network.eval()
