"""A second question for TokenPose while it trains: which keypoints lie in which patch?

Keypoint tokens only learn where to look once patches say what is in them, and patches only learn what
to say from keypoint tokens that look. Until one of both begins by chance, all answers are the mean
pose. A linear layer that asks the patches of an early layer directly ends that. It is not saved.

Reference: Lee et al., "Deeply-Supervised Nets", AISTATS 2015 (losses on early layers).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pose3d.lab.training.people_losses import gaussian
from pose3d.networks2d.tokenpose.network import Answer, TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions

_PREFIX = "patch_head."
_SPREAD = 0.6
"""Deviation of the target in patches: a keypoint near an edge is in both."""


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


def without_guide(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of the plain network."""
    return {name: value for name, value in state.items() if not name.startswith(_PREFIX)}


def patch_loss(
    logits: Float[Tensor, "n patch joint"],
    points_crop: Float[Tensor, "n joint 2"],
    weight: Float[Tensor, "n joint"],
    options: TokenPoseOptions,
) -> Tensor:
    """Kullback-Leibler divergence of each keypoint's patches from a small Gaussian around it.

    Args:
        logits: of the patches, row by row.
        points_crop: pixels of the crop, 0 at the centre of the first one.
        weight: 0: not labelled or outside; the mean is over the others.
        options: of the network.
    """
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
