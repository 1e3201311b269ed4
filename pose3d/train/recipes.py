"""Named training recipes: everything that decides what a training run yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pose3d.errors import unknown_name
from pose3d.lift.hourglass import HourglassOptions
from pose3d.options import RECOVERIES
from pose3d.train.batches import BatchOptions
from pose3d.train.losses import LossWeights

if TYPE_CHECKING:
    from pose3d.lift.restructure import HourglassChange

SAMPLE_TRIALS = ("26_01", "05_02", "29_01", "27_01", "13_30")
"""The recordings behind ``samples/``: never trained on, so that the samples stay a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run.

    Args:
        name: ``arch.tag``; the weights it yields carry it.
        backbone: name in the backbone table.
        sizes: the backbone's arguments (without ``frames`` and ``channels_in``).
        hourglass: pruning and recovery, or None for the plain backbone.
        batches: what batches are made of.
        loss: weights of the loss terms.
        motion_files: motion files below the data folder.
        track_file: detector tracks with truth below the data folder, or None.
        noise_file: multi-view detector tracks below the data folder whose errors join the residual
            bank, or None.
        leave_out: recordings never used.
        batch: windows per step.
        steps: optimiser steps.
        warm_up: steps of rising learning rate; cosine decay to a hundredth follows.
        restarts: steps at which warm-up and decay begin again (SGDR, Loshchilov and Hutter, ICLR
            2017).
        learning_rate: AdamW's greatest.
        weight_decay: AdamW's, on matrices only.
        ema: decay of the averaged weights that are saved.
        clip_norm: greatest norm of the gradient.
        seed: of everything random.
        validate_every: steps between validations.
        licence: SPDX identifier of the weights it yields.
        data_note: for the model card: what it was trained on.
    """

    name: str
    backbone: str = "mixste"
    sizes: Mapping[str, Any] = field(default_factory=dict)
    hourglass: HourglassOptions | None = None
    batches: BatchOptions = field(default_factory=BatchOptions)
    loss: LossWeights = field(default_factory=LossWeights)
    motion_files: tuple[str, ...] = ("mocap/cmu.npz", "mocap/accad.npz")
    track_file: str | None = "rendered/tracks.npz"
    noise_file: str | None = "aist/aist_break.npz"
    leave_out: tuple[str, ...] = SAMPLE_TRIALS
    batch: int = 64
    steps: int = 20_000
    warm_up: int = 300
    restarts: tuple[int, ...] = ()
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    ema: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0
    validate_every: int = 500
    licence: str = "Apache-2.0"
    data_note: str = (
        "CMU Graphics Lab Motion Capture Database (free for all uses) and ACCAD (CC BY 3.0), filmed "
        "by virtual cameras; BlazePose tracks of rendered CC0 people moving as in CMU; errors of "
        "AIST++ keypoints (CC BY 4.0)"
    )


_SMALL = {"dim": 128, "depth": 5, "heads": 4, "mlp_ratio": 2.0}
_SHORT = BatchOptions(frames=27, rate_range=(10.0, 40.0))
_TWO_CORES: dict[str, Any] = {
    "batch": 64,
    "steps": 4_000,
    "warm_up": 200,
    "learning_rate": 1.5e-3,
    "ema": 0.995,
}

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        # Small enough that one core trains it in three hours.
        Recipe(
            name="hot-mixste.free27",
            sizes=_SMALL,
            hourglass=HourglassOptions(keep=(9,), at=(1,), heads=4),
            batches=_SHORT,
            validate_every=250,
            **{**_TWO_CORES, "steps": 9_000, "restarts": (4_000,), "ema": 0.998},
        ),
        Recipe(
            name="mixste.free27",
            sizes=_SMALL,
            batches=_SHORT,
            validate_every=250,
            **_TWO_CORES,
        ),
        # The per-frame baseline of `pose3d evaluate wild`: as many frames a step as the two above.
        Recipe(
            name="residual.free1",
            backbone="residual",
            sizes={"dim": 1024, "depth": 2, "dropout": 0.1},
            batches=replace(_SHORT, frames=1),
            validate_every=250,
            **{**_TWO_CORES, "batch": 64 * 27},
        ),
        # The only one with hypotheses (--hypotheses): 0.7 s a step on one core in bfloat16.
        Recipe(
            name="mhformer.free27",
            backbone="mhformer",
            sizes={
                "dim": 128,
                "hidden": 512,
                "heads": 4,
                "generator_depth": 4,
                "generator_heads": 9,
                "batch_norm": False,
                "hypothesis_heads": True,
            },
            batches=_SHORT,
            loss=LossWeights(hypotheses=0.5),
            validate_every=250,
            **_TWO_CORES,
        ),
        # For a GPU; nobody has trained it yet.
        Recipe(
            name="hot-mixste.free81",
            sizes={"dim": 256, "depth": 8, "heads": 8, "mlp_ratio": 2.0, "drop_path": 0.1},
            hourglass=HourglassOptions(keep=(27,), at=(3,)),
            batches=BatchOptions(frames=81, rate_range=(12.0, 60.0)),
            batch=256,
            steps=24_000,
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def vary_recipe(recipe: Recipe, change: HourglassChange) -> Recipe:
    """Returns the recipe with another pruning or recovery, checked before any data is read.

    Args:
        recipe: any; one without pruning gets the learned recovery unless another one is asked for.
        change: what is asked for.

    Raises:
        UsageError: the change is impossible for the recipe's network, or does not come with an answer
            for every frame, which training compares.
    """
    import torch

    from pose3d.errors import UsageError
    from pose3d.lift.models import build_network
    from pose3d.lift.restructure import change_options
    from pose3d.train.loop import lifter_options

    hourglass = change_options(recipe.hourglass, change, recover="attention")
    if hourglass is not None and recipe.hourglass is None:
        hourglass = replace(hourglass, heads=recipe.sizes.get("heads", hourglass.heads))
    if hourglass is not None and hourglass.recover is None:
        raise UsageError(
            "Training compares the answer for every frame, and without a recovery most have none",
            f"Choose --recover {', '.join(RECOVERIES[:-1])} or {RECOVERIES[-1]}",
        )
    varied = replace(recipe, hourglass=hourglass)
    with torch.device("meta"):
        build_network(lifter_options(varied))
    return varied
