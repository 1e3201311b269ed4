"""How much a TokenPose network computes, counted without computing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from pose3d.keypoints.token_network import TokenPose
from pose3d.keypoints.token_options import TokenPoseOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFlops:
    """Floating-point operations for one person; a multiply-add counts as two.

    Args:
        total: of convolutions, linear layers and the products inside attention, as carried out.
        masked: part of it that is spent on links that a mask then leaves out. A mask alone saves
            nothing; this is what a sparse kernel could save at best.
    """

    total: int
    masked: int


def count_token_flops(options: TokenPoseOptions) -> TokenFlops:
    """Counts the operations by running the network on shapes alone.

    Raises:
        MissingExtraError: the backbone needs a package that is not installed.
    """
    network = TokenPose(options).eval().to("meta")
    image = torch.empty(1, 3, *options.size_wh[::-1], device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return TokenFlops(total=counter.get_total_flops(), masked=_masked_flops(options))


def _masked_flops(options: TokenPoseOptions) -> int:
    """Returns the operations of the two attention products on links that are left out."""
    if options.prune is None:
        return 0
    rows, columns = options.grid_hw
    keep, left_out = 1.0, 0.0
    for layer in range(options.depth):
        if layer in options.prune.at:
            keep = options.prune.keep[options.prune.at.index(layer)]
        left_out += (1 - keep) * (rows * columns) ** 2
    return round(2 * 2 * options.dim * left_out)
