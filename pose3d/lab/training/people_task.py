"""What the training loop has to know about 2D networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose3d.lab.training.patch_guide import GuidedTokenPose, patch_loss, without_guide
from pose3d.lab.training.people_losses import keypoint_loss
from pose3d.lab.training.recipe import Recipe
from pose3d.networks2d.tokenpose.files import save_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose


class PeopleTask:
    """A TokenPose network that learns keypoints of people; see :class:`pose3d.lab.training.tasks.Task`."""

    metric = "val_missed"
    memory_format = torch.channels_last
    recordable = False  # nobody has tried

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.people is not None
        self.options = replace(recipe.people.network, licence=recipe.licence)
        self.guide, self.guide_after = recipe.people.guide, recipe.people.guide_after

    def build(self) -> nn.Module:
        """Returns the network with fresh weights."""
        if self.guide:
            return GuidedTokenPose(self.options, self.guide_after)
        return TokenPose(self.options)

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
        save_tokenpose(path, without_guide(state), self.options, extra=extra)
