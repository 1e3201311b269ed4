"""What the sparse variants of TokenPose are worth: see :mod:`pose3d.lab.training.people_recipes`.

TokenPose-S with 96 channels on 64 px crops. One dense network is trained first; every run begins
with it (added layers are fresh). Only differences mean something.
"""

from __future__ import annotations

from dataclasses import replace

from pose3d.lab.experiments.rows import Experiment, Row
from pose3d.lab.training.people import AugmentOptions
from pose3d.lab.training.people_recipes import PEOPLE_RECIPES
from pose3d.lab.training.recipe import Recipe

_RECIPES = {recipe.name: recipe for recipe in PEOPLE_RECIPES}
_VARIANTS = {
    "tokenpose-s": "dense",
    "tokenpose-s-joint": "joint layers",
    "tokenpose-s-pruned": "attention pruning",
    "tokenpose-s-sparse": "attention pruning and joint layers",
    "tokenpose-s-random": "joint layers, random neighbours",
    "tokenpose-s-removed": "patches removed",
}
_AUGMENT = AugmentOptions(
    rotation_deg=30.0, rotation="normal", scale=0.2, shift=0.05, half_body=0.0, colour=0.1
)


def _small(tag: str, guide: float = 0.0) -> Recipe:
    recipe = _RECIPES[f"{tag}.lspet"]
    assert recipe.people is not None
    network = replace(
        recipe.people.network,
        dim=96,
        hidden=288,
        size_wh=(64, 64),
        patch_wh=(2, 2),
        heatmap_wh=(16, 16),
        sigma=3.0,
    )
    people = replace(recipe.people, network=network, augment=_AUGMENT, guide=guide, val_people=500)
    return replace(
        recipe,
        name=f"{tag}.experiment",
        people=people,
        steps=400,
        warm_up=50,
        learning_rate=3e-4,
        ema=0.99,
        validate_every=200,
    )


_START = replace(
    _small("tokenpose-s", guide=1.0),
    name="tokenpose-s.start",
    steps=8_000,
    warm_up=200,
    learning_rate=1e-3,
    ema=0.998,
    validate_every=500,
)

SPARSITY = Experiment(
    name="sparsity",
    question="What are attention pruning, joint layers and removal of patches worth in TokenPose-S?",
    rows=tuple(Row(tag, _small(tag), words, seeds=3) for tag, words in _VARIANTS.items()),
    groups=(("variant", tuple(_VARIANTS)),),
    start=Row("start", _START, "a dense network"),
)
