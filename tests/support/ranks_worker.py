"""One of the processes of tests/lab/training/test_ranks.py; they leave files that the tests read.

``python -m tests.support.ranks_worker DATA OUT`` with the environment that torchrun makes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from pose3d.errors import DataError, Pose3DError
from pose3d.lab.training.data import TrainingData, load_training_data
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.ranks import (
    ALONE,
    PeerLostError,
    Ranks,
    join_ranks,
)
from tests.support.training import tiny_recipe

PLAIN = tiny_recipe(
    sizes={"dim": 16, "depth": 2, "heads": 2}, hourglass=None, batch=4, warm_up=0, weight_decay=0.01
)
RANDOM = tiny_recipe(batch=4)
"""With stochastic depth, and losses on what a pruned network answers."""


class GivenData:
    """The windows of a step depend on its number alone; several processes split them."""

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks

    def draw(self, recipe, step, _rng):
        rng = torch.Generator().manual_seed(step)
        shape = (recipe.batch, recipe.batches.frames, 17, 3)
        inputs, target = torch.randn(2, *shape, generator=rng)
        return self.ranks.part(inputs), self.ranks.part(target)


class Recorder:
    """Keeps what a training draws."""

    def __init__(self, data: TrainingData) -> None:
        self.data, self.drawn, self.validate = data, [], data.validate

    def draw(self, recipe, step, rng):
        drawn = self.data.draw(recipe, step, rng)
        self.drawn.append(drawn[0])
        return drawn


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Returns copies of weights, averages and moments."""
    flat = {f"network.{k}": v for k, v in trainer.network.state_dict().items()}
    flat |= {f"average.{k}": v for k, v in trainer.average.items()}
    for i, entry in trainer.optimisers[0].state_dict()["state"].items():
        flat |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
    return {k: v.clone() for k, v in flat.items()}


def step_with(data: GivenData, out: Path, ranks: Ranks) -> dict[str, dict[str, torch.Tensor]]:
    """Returns the gradients of the first step, and the weights after three."""
    trainer = Trainer(PLAIN, data, out, ranks=ranks)
    trainer.train_step()
    gradients = {n: p.grad.clone() for n, p in trainer.network.named_parameters()}
    trainer.train_step()
    trainer.train_step()
    return {"gradients": gradients, "weights": dict(trainer.network.state_dict())}


def _resume(data: Path, out: Path, ranks: Ranks) -> dict[str, dict[str, torch.Tensor]]:
    """Trains four steps in one go and in two parts; returns what was drawn, too."""
    training_data = load_training_data(RANDOM, data, "cpu", ranks)
    recorder = Recorder(training_data)
    whole = Trainer(RANDOM, recorder, out / "whole", ranks=ranks)
    whole.train(4)
    Trainer(RANDOM, training_data, out / "parts", ranks=ranks).train(2)
    # Until the first process has written the file that all read.
    ranks.any(False)
    torch.manual_seed(99 + ranks.rank)
    second = Trainer(RANDOM, training_data, out / "parts", ranks=ranks)
    second.resume()
    assert second.step == 2
    second.train(4)
    drawn = dict(enumerate(recorder.drawn))
    return {"whole": state_of(whole), "parts": state_of(second), "drawn": drawn}


def _batch_norm(ranks: Ranks) -> torch.Tensor:
    """Returns the running mean after each process has seen its own number."""
    norm = torch.nn.BatchNorm1d(3, momentum=1.0)
    norm(torch.full((4, 3), float(ranks.rank)) + torch.arange(4.0)[:, None])
    ranks.average_statistics(norm)
    return norm.running_mean.clone()


def _fail_in_one(ranks: Ranks) -> str:
    def action() -> None:
        if ranks.rank == 1:
            raise DataError("Only one has lost it", "Look there")

    try:
        ranks.together(action)
    except Pose3DError as error:
        return str(error)
    return ""


def main(data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with join_ranks() as ranks:
        found = {
            "split": step_with(GivenData(ranks), out / "split", ranks),
            **_resume(data, out, ranks),
            "norm": _batch_norm(ranks),
            "any": [ranks.any(ranks.rank == 1), ranks.any(False)],
            "mean": ranks.average_numbers({"a": 1.0 + ranks.rank, "b": 4.0}),
            "error": _fail_in_one(ranks),
        }
        if ranks.rank == 1:
            torch.save(found, out / "1.pt")
            os._exit(3)  # without a word to the other one
        try:
            ranks.any(False)
        except PeerLostError as error:
            found["lost"] = str(error)
        torch.save(found, out / "0.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
