"""What the training loop has to know about 2D networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pose3d.keypoints.token_files import save_tokenpose
from pose3d.keypoints.token_network import Answer, TokenPose
from pose3d.train.people_losses import keypoint_loss
from pose3d.train.recipe import Recipe


class PeopleTask:
    """A TokenPose network that learns keypoints of people; see :class:`pose3d.train.tasks.Task`.

    Args:
        recipe: with ``people``; its licence is written into the weights.
    """

    metric = "val_missed"
    memory_format = torch.channels_last

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.people is not None
        self.options = replace(recipe.people.network, licence=recipe.licence)

    def build(self) -> nn.Module:
        """Returns the network with fresh weights."""
        return TokenPose(self.options)

    def loss(self, answer: Answer, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss and, for the log, the same under the head's name."""
        loss = keypoint_loss(answer, target, self.options)
        return loss, {self.options.head: loss}

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes weights that ``--keypoints tokenpose:FILE`` takes."""
        save_tokenpose(path, state, self.options, extra=extra)
