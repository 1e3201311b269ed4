"""What the training loop has to know about a kind of network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pose3d.lab.training.clips import pick_frames
from pose3d.lab.training.losses import compute_loss
from pose3d.lab.training.recipe import Recipe
from pose3d.lift.hourglass import Hourglass
from pose3d.lift.models import LifterOptions, build_network, save_network


class Task(Protocol):
    """What the loop has to know about a kind of network.

    Args:
        metric: name of the validation figure in the log; less is better.
        memory_format: how 4-dimensional weights lie in memory while it trains. Channels last is worth
            a tenth to a fifth of a step to networks that begin with convolutions.
        recordable: whether a step waits for nothing, so that a GPU can record it
            (:mod:`pose3d.lab.training.graphed`).
    """

    metric: str
    memory_format: torch.memory_format
    recordable: bool

    def build(self) -> nn.Module:
        """Returns the network with the weights that its constructor draws."""
        ...

    def loss(self, answer: Any, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns what is minimised, and its terms for the log.

        Args:
            answer: of the network.
            target: what the training data gave with the inputs.
        """
        ...

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes a file of weights."""
        ...


class LifterTask:
    """A lifter that learns motion; see :class:`Task`.

    Args:
        recipe: without ``people``.
    """

    metric = "val_mm"
    memory_format = torch.preserve_format
    recordable = True

    def __init__(self, recipe: Recipe) -> None:
        self.options = lifter_options(recipe)
        self.weights = recipe.loss
        hourglass = recipe.hourglass
        self.keeps_some = hourglass is not None and hourglass.recover is None

    def build(self) -> Hourglass:
        """Returns the network."""
        return build_network(self.options)

    def loss(
        self, answer: tuple[Tensor, Tensor | None], target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compares an answer of :func:`forward_of` with the truth, see :func:`compute_loss`."""
        predicted, beside = answer
        hypotheses = None
        if self.keeps_some:  # answers for the kept frames alone
            assert beside is not None
            target = pick_frames(target, beside)
        elif beside is not None:
            hypotheses = beside.float()
        return compute_loss(predicted.float(), target, self.weights, hypotheses)

    def save(self, path: Path, state: Mapping[str, Tensor], extra: Mapping[str, str]) -> None:
        """Writes weights that ``--lifter`` takes."""
        save_network(path, dict(state), self.options, extra=dict(extra))


def make_task(recipe: Recipe) -> Task:
    """Returns what a recipe trains."""
    if recipe.people is None:
        return LifterTask(recipe)
    from pose3d.lab.training.people_task import PeopleTask

    return PeopleTask(recipe)


def forward_of(network: nn.Module, task: Task) -> Callable[[Tensor], Any]:
    """Returns how the loop calls a network."""
    if not isinstance(network, Hourglass):
        return network
    some = isinstance(task, LifterTask) and task.keeps_some
    return network.forward_with_index if some else network.forward_with_hypotheses


def lifter_options(recipe: Recipe) -> LifterOptions:
    """Returns what the weights file of this recipe will say about its network."""
    return LifterOptions(
        backbone=recipe.backbone,
        sizes={"frames": recipe.batches.frames, "channels_in": 3, **recipe.sizes},
        hourglass=recipe.hourglass,
        normalisation=recipe.normalisation,
        mapping=recipe.mapping,
        rate_range=recipe.batches.rate_range,
        licence=recipe.licence,
    )
