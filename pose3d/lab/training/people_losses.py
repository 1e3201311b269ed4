"""Targets and losses of 2D networks: heatmaps and SimCC distributions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pose3d.networks2d.tokenpose.network import Answer
from pose3d.networks2d.tokenpose.options import TokenPoseOptions


def paint_heatmaps(
    points_crop: Float[Tensor, "n joint 2"], options: TokenPoseOptions
) -> Float[Tensor, "n joint height width"]:
    """Returns Gaussians of height 1 and deviation ``options.sigma`` (cells) at points in crop pixels.

    Reference: ``generate_target`` of HRNet.
    Differs: the centre is not rounded to a cell, since DARK finds it between cells (Zhang et al. 2020,
    section 3.2), and the Gaussian is not cut off.
    """
    width, height = options.heatmap_wh
    cells = points_crop.new_tensor(options.heatmap_wh) / points_crop.new_tensor(options.size_wh)
    x, y = (points_crop * cells).unbind(-1)
    across = gaussian(x, width, options.sigma)
    down = gaussian(y, height, options.sigma)
    return down[..., :, None] * across[..., None, :]


def gaussian(centre: Tensor, count: int, sigma: float) -> Tensor:
    """Returns ``(..., count)`` values of Gaussians of height 1 at 0, 1, ..."""
    place = torch.arange(count, device=centre.device, dtype=centre.dtype)
    return torch.exp(-0.5 * ((place - centre[..., None]) / sigma) ** 2)


def heatmap_loss(
    heatmaps: Float[Tensor, "n joint height width"],
    points_crop: Float[Tensor, "n joint 2"],
    weight: Float[Tensor, "n joint"],
    options: TokenPoseOptions,
) -> Tensor:
    """Half the mean squared difference from the painted heatmaps, joints of weight 0 left out.

    Reference: ``JointsMSELoss`` of HRNet: the mean is over all joints, with a weight or without.
    """
    target = paint_heatmaps(points_crop, options)
    off = (heatmaps - target).square().mean((-2, -1))
    return 0.5 * (off * weight).mean()


def simcc_loss(
    logits: tuple[Float[Tensor, "n joint bin_x"], Float[Tensor, "n joint bin_y"]],
    points_crop: Float[Tensor, "n joint 2"],
    weight: Float[Tensor, "n joint"],
    options: TokenPoseOptions,
) -> Tensor:
    """Kullback-Leibler divergence of the answers from Gaussians of ``options.sigma`` (bins).

    The sum over both axes, mean over joints with a weight.

    Reference: Li et al., "SimCC", ECCV 2022, equation 3 and section 3.3.
    """
    loss = torch.zeros_like(weight)
    for axis, answer in enumerate(logits):
        centre = points_crop[..., axis] * options.bins_per_px
        target = gaussian(centre, answer.shape[-1], options.sigma)
        target = target / target.sum(-1, keepdim=True)
        entropy = torch.special.entr(target).sum(-1)
        loss = loss - (target * answer.log_softmax(-1)).sum(-1) - entropy
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def keypoint_loss(
    answer: Answer, target: Float[Tensor, "n joint 3"], options: TokenPoseOptions
) -> Tensor:
    """Returns the loss that fits the head.

    Args:
        answer: heatmaps or SimCC logits.
        target: x and y in pixels of the crop, and the weight of the joint (0: not labelled or outside).
        options: of the network that answers.
    """
    points, weight = target[..., :2], target[..., 2]
    if isinstance(answer, tuple):
        x, y = answer
        return simcc_loss((x.float(), y.float()), points, weight, options)
    return heatmap_loss(answer.float(), points, weight, options)
