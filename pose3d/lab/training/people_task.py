"""What 2D networks learn: heatmaps, SimCC distributions, and which keypoints lie in which patch.

Keypoint tokens and patches wait for each other to learn, and all answers are the mean pose until
one begins. So a linear layer (the guide, not saved) may ask the patches of an early layer directly.

Reference: Lee et al., "Deeply-Supervised Nets", AISTATS 2015 (losses on early layers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pose3d.lab.training.recipe import Recipe
from pose3d.networks2d.tokenpose.files import save_tokenpose
from pose3d.networks2d.tokenpose.network import Answer, TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions

_GUIDE = "patch_head."
_SPREAD = 0.6  # deviation of the guide's target in patches


def paint_heatmaps(
    points_crop: Float[Tensor, "n joint 2"], options: TokenPoseOptions
) -> Float[Tensor, "n joint height width"]:
    """Returns Gaussians of height 1, deviation ``options.sigma`` (cells), at points in crop pixels.

    Reference: ``generate_target`` of HRNet.
    Differs: no rounding of the centre (DARK, Zhang et al. 2020, section 3.2), no cut-off.
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
    """Kullback-Leibler divergence from Gaussians of ``options.sigma`` bins, mean over seen joints.

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
    """Returns the loss of the head; ``target``: x, y in crop pixels, weight (0: does not count)."""
    points, weight = target[..., :2], target[..., 2]
    if isinstance(answer, tuple):
        x, y = answer
        return simcc_loss((x.float(), y.float()), points, weight, options)
    return heatmap_loss(answer.float(), points, weight, options)


def patch_loss(
    logits: Float[Tensor, "n patch joint"],
    points_crop: Float[Tensor, "n joint 2"],
    weight: Float[Tensor, "n joint"],
    options: TokenPoseOptions,
) -> Tensor:
    """Divergence of keypoints' patches (row by row) from small Gaussians, mean over seen ones."""
    rows, columns = options.grid_hw
    patches = points_crop.new_tensor((columns, rows))
    size = points_crop.new_tensor(options.size_wh)
    x, y = ((points_crop + 0.5) / size * patches - 0.5).unbind(-1)
    across, down = gaussian(x, columns, _SPREAD), gaussian(y, rows, _SPREAD)
    target = (down[..., :, None] * across[..., None, :]).flatten(-2)  # n joint patch
    target = target / target.sum(-1, keepdim=True)
    found = logits.float().transpose(1, 2).log_softmax(-1)
    loss = -(target * found).sum(-1) - torch.special.entr(target).sum(-1)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


class GuidedTokenPose(TokenPose):
    """A TokenPose whose patches after layer ``after`` (from 0) answer as well while it trains."""

    def __init__(self, options: TokenPoseOptions, after: int) -> None:
        super().__init__(options)
        self.after = after
        self.patch_head = nn.Sequential(
            nn.LayerNorm(options.dim), nn.Linear(options.dim, self.keypoints)
        )

    def forward(  # type: ignore[override]
        self, images: Float[Tensor, "n 3 height width"]
    ) -> Answer | tuple[Answer, Float[Tensor, "n patch joint"]]:
        """Returns what :class:`TokenPose` does; in training mode also logits of the patches."""
        if not self.training:
            return super().forward(images)
        state = self.begin(images)
        patches = state.x
        for i in range(len(self.blocks)):
            self.run_layer(i, state)
            if i == self.after:
                patches = state.x[:, self.keypoints :]
        return self.head(self.finish(state)), self.patch_head(patches)


class PeopleTask:
    """A TokenPose network that learns keypoints of people."""

    metric = "val_missed"
    memory_format = torch.channels_last
    recordable = False  # not tried

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.people is not None
        self.options = replace(recipe.people.network, licence=recipe.licence)
        self.guide, self.guide_after = recipe.people.guide, recipe.people.guide_after

    def build(self) -> nn.Module:
        """Returns the network with fresh weights."""
        if self.guide:
            return GuidedTokenPose(self.options, self.guide_after)
        return TokenPose(self.options)

    def forward_of(self, network: nn.Module) -> nn.Module:
        """Returns how the loop calls the network."""
        return network

    def loss(self, answer: Any, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss and its terms: one named like the head, one of the guide."""
        if not self.guide:
            loss = keypoint_loss(answer, target, self.options)
            return loss, {self.options.head: loss}
        answer, patches = answer
        loss = keypoint_loss(answer, target, self.options)
        guide = patch_loss(patches, target[..., :2], target[..., 2], self.options)
        return loss + self.guide * guide, {self.options.head: loss, "guide": guide}

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes weights that ``--keypoints tokenpose:FILE`` takes."""
        plain = {name: value for name, value in state.items() if not name.startswith(_GUIDE)}
        save_tokenpose(path, plain, self.options, extra=extra)
