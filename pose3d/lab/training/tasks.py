"""What the training loop has to know about a kind of network.

``metric``: validation figure, less is better; ``memory_format``: channels last for convolutions;
``recordable``: a step waits for nothing, so that a GPU can record it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pose3d.lab.training.losses import compute_loss
from pose3d.lab.training.recipe import Recipe
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, build_network, save_network

if TYPE_CHECKING:
    from pose3d.lab.training.people_task import PeopleTask


class LifterTask:
    """A lifter that learns motion."""

    metric = "val_mm"
    memory_format = torch.preserve_format
    recordable = True

    def __init__(self, recipe: Recipe) -> None:
        self.options = lifter_options(recipe)
        self.weights = recipe.loss
        self.keeps_some = keeps_some(recipe)

    def build(self) -> Hourglass:
        """Returns the network."""
        return build_network(self.options)

    def forward_of(self, network: Any) -> Callable[[Tensor], tuple[Tensor, Tensor | None]]:
        """Returns how the loop calls the network."""
        return network.forward_with_index if self.keeps_some else network.forward_with_hypotheses

    def loss(
        self, answer: tuple[Tensor, Tensor | None], target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compares an answer with the truth, ``(batch, frame, 17, 3)`` metres."""
        predicted, beside = answer
        hypotheses = None
        if self.keeps_some:
            assert beside is not None
            target = pick_frames(target, beside)
        elif beside is not None:
            hypotheses = beside.float()
        return compute_loss(predicted.float(), target, self.weights, hypotheses)

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes weights that ``--lifter`` takes."""
        save_network(path, dict(state), self.options, extra=dict(extra))


def make_task(recipe: Recipe) -> LifterTask | PeopleTask:
    """Returns what a recipe trains."""
    if recipe.people is None:
        return LifterTask(recipe)
    from pose3d.lab.training.people_task import PeopleTask

    return PeopleTask(recipe)


def keeps_some(recipe: Recipe) -> bool:
    """Tells whether the network answers for the kept frames alone."""
    return recipe.hourglass is not None and recipe.hourglass.recover is None


def pick_frames(target: Tensor, index: Tensor) -> Tensor:
    """Returns those frames of ``(batch, frame, 17, 3)`` that ``(batch, kept)`` names."""
    return target.gather(1, index[:, :, None, None].expand(-1, -1, *target.shape[2:]))


def lifter_options(recipe: Recipe) -> LifterOptions:
    """Returns what the weights file of this recipe will say about its network."""
    return LifterOptions(
        backbone=recipe.backbone,
        sizes={"frames": recipe.batches.frames, "channels_in": 3, **recipe.sizes},
        hourglass=recipe.hourglass,
        normalisation=recipe.normalisation,
        mapping=recipe.mapping,
        rate_range=recipe.batches.rate_range,
        many_rates=recipe.many_rates and recipe.clips is None,
        licence=recipe.licence,
    )
