"""Named training recipes: everything that decides what a training run yields."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pose3d.errors import unknown_name
from pose3d.lab.datasets.poses import PoseOptions
from pose3d.lab.datasets.real import RefilmOptions
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.h36m_recipes import H36M_RECIPES
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.people_recipes import PEOPLE_RECIPES
from pose3d.lab.training.recipe import SAMPLE_TRIALS as SAMPLE_TRIALS
from pose3d.lab.training.recipe import Recipe as Recipe
from pose3d.lift.hourglass import HourglassOptions
from pose3d.options import RECOVERIES

if TYPE_CHECKING:
    from pose3d.lift.restructure import HourglassChange

_SMALL = {"dim": 128, "depth": 5, "heads": 4, "mlp_ratio": 2.0}
_VARIED = BatchOptions(
    real_share=0.25,
    refilm=RefilmOptions(share=0.7),
    poses=PoseOptions(exchange=0.35, bend=0.5, tumble=0.15),
)
_SHORT = replace(_VARIED, frames=27, rate_range=(10.0, 40.0))
# The chain smooths before every second or third frame is taken: nothing that these frames would show.
_SLOW = replace(_VARIED, frames=9, rate_range=(7.5, 15.0), smooth_share=0.0)
_TWO_CORES: dict[str, Any] = {
    "batch": 64,
    "steps": 4_000,
    "warm_up": 200,
    "learning_rate": 1.5e-3,
    "ema": 0.995,
}

_MUON: dict[str, Any] = {
    "batch": 128,
    "ahead": 32,
    "steps": 11_000,
    "warm_up": 200,
    "optimiser": "muon",
    "ema": 0.998,
    "validate_every": 500,
    "straight_knees": True,
}
_HOT = Recipe(
    name="hot-mixste.free27",
    sizes=_SMALL,
    hourglass=HourglassOptions(keep=(12,), at=(1,), recover="refined", heads=4),
    batches=_SHORT,
    loss=LossWeights(aligned=1.0),
    learning_rate=4e-3,
    **_MUON,
)

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        _HOT,
        # Its twin without the hourglass: what `pose3d evaluate wild` compares it with.
        replace(_HOT, name="mixste.free27", hourglass=None),
        # The larger one, as it was trained: begun with twice the channels of an earlier default, from
        # recordings as they are.
        replace(
            _HOT,
            name="hot-mixste.large27",
            sizes={**_SMALL, "dim": 256, "heads": 8},
            hourglass=HourglassOptions(keep=(12,), at=(1,), heads=8),
            learning_rate=2.5e-3,
            steps=7_200,
            ahead=8,
            straight_knees=False,
        ),
        # The per-frame baseline of `pose3d evaluate wild`: half as many frames a step as the two above.
        Recipe(
            name="residual.free1",
            backbone="residual",
            sizes={"dim": 1024, "depth": 2, "dropout": 0.1},
            batches=replace(_SHORT, frames=1),
            validate_every=250,
            **{**_TWO_CORES, "batch": 64 * 27, "ahead": 8, "steps": 13_000},
        ),
        # The only one with hypotheses (--hypotheses).
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
            loss=LossWeights(aligned=1.0, hypotheses=0.5),
            learning_rate=5e-3,
            **{**_MUON, "steps": 12_000},
        ),
        # For live use, a frame after the other: few frames far apart, and the answer for the last one
        # counts most.
        Recipe(
            name="mixste.live9",
            sizes={"dim": 96, "depth": 4, "heads": 3, "mlp_ratio": 2.0},
            batches=_SLOW,
            loss=LossWeights(newest=1.0),
            learning_rate=4e-3,
            **{**_MUON, "steps": 16_000},
        ),
        *H36M_RECIPES,
        *PEOPLE_RECIPES,
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
    from pose3d.lab.training.tasks import lifter_options
    from pose3d.lift.models import build_network
    from pose3d.lift.restructure import change_hourglass_options

    hourglass = change_hourglass_options(recipe.hourglass, change, recover="attention")
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
