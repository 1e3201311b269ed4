"""The named training recipes."""

from __future__ import annotations

from dataclasses import replace

from pose3d.errors import unknown_name
from pose3d.lab.datasets.poses import PoseOptions
from pose3d.lab.datasets.real import ReprojectionOptions
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.h36m_recipes import H36M_RECIPES
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.people_recipes import PEOPLE_RECIPES
from pose3d.lab.training.recipe import Recipe
from pose3d.lift.hourglass import HourglassOptions

_SIZES = {"dim": 128, "depth": 5, "heads": 4, "mlp_ratio": 2.0}
_HOT = Recipe(
    name="hot-mixste.free27",
    sizes=_SIZES,
    hourglass=HourglassOptions(keep=(12,), at=(1,), recover="refined", heads=4),
    batches=BatchOptions(
        frames=27,
        rate_range=(10.0, 40.0),
        real_share=0.25,
        reprojection=ReprojectionOptions(share=0.7),
        poses=PoseOptions(exchange=0.35, bend=0.5, tumble=0.15),
    ),
    loss=LossWeights(aligned=1.0),
    straight_knees=True,
    batch=128,
    ahead=32,
    steps=11_000,
    warm_up=200,
    learning_rate=4e-3,
    optimiser="muon",
    ema=0.998,
)
_MOTION_RECIPES = (
    _HOT,
    # Its twin without the hourglass: what `pose3d evaluate wild` compares it with.
    replace(_HOT, name="mixste.free27", hourglass=None),
    # The per-frame baseline of `pose3d evaluate wild`: half as many frames a step as the default.
    replace(
        _HOT,
        name="residual.free1",
        backbone="residual",
        sizes={"dim": 1024, "depth": 2, "dropout": 0.1},
        hourglass=None,
        batches=replace(_HOT.batches, frames=1),
        loss=LossWeights(),
        straight_knees=False,
        batch=64 * 27,
        ahead=8,
        steps=13_000,
        learning_rate=1.5e-3,
        optimiser="adamw",
        ema=0.995,
        validate_every=250,
    ),
    # The only one with hypotheses (--hypotheses).
    replace(
        _HOT,
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
        hourglass=None,
        loss=LossWeights(aligned=1.0, hypotheses=0.5),
        steps=12_000,
        learning_rate=5e-3,
    ),
    # Heads for the hypotheses of an MHFormer that has none, e.g. an imported one; what the network
    # is and is given comes from --start, and its final pose stays what it is.
    replace(
        _HOT,
        name="mhformer.heads",
        backbone="mhformer",
        sizes={"hypothesis_heads": True},
        hourglass=None,
        loss=LossWeights(hypotheses=1.0),
        train_only=("hypothesis_heads",),
        steps=2_000,
        learning_rate=1e-3,
        optimiser="adamw",
    ),
    # For live use, one frame after another: few frames far apart, and the answer for the last one
    # counts most. The smoothing of the chain shows nothing in every second or third frame.
    replace(
        _HOT,
        name="mixste.live9",
        sizes={"dim": 96, "depth": 4, "heads": 3, "mlp_ratio": 2.0},
        hourglass=None,
        batches=replace(_HOT.batches, frames=9, rate_range=(7.5, 15.0), smooth_share=0.0),
        loss=LossWeights(newest=1.0),
        steps=16_000,
    ),
)

RECIPES: dict[str, Recipe] = {r.name: r for r in (*_MOTION_RECIPES, *H36M_RECIPES, *PEOPLE_RECIPES)}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe called ``name``; UsageError: there is none."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
