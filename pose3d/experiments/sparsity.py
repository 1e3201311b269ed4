"""What the sparse variants of TokenPose are worth: see :mod:`pose3d.train.people_recipes`."""

from __future__ import annotations

from pose3d.experiments.rows import Experiment, Row
from pose3d.train.people_recipes import PEOPLE_RECIPES, VARIANTS

_RECIPES = {recipe.name: recipe for recipe in PEOPLE_RECIPES}
_WORDS = {
    "tokenpose-s": "dense",
    "tokenpose-s-joint": "joint layers",
    "tokenpose-s-pruned": "attention pruning",
    "tokenpose-s-sparse": "attention pruning and joint layers",
    "tokenpose-s-random": "joint layers, random neighbours",
    "tokenpose-s-removed": "patches removed",
}

SPARSITY = Experiment(
    name="sparsity",
    question="What are attention pruning, joint layers and removal of patches worth in TokenPose-S?",
    rows=tuple(
        Row(name=tag, recipe=_RECIPES[f"{tag}.lspet"], seeds=3, words=_WORDS[tag])
        for tag in VARIANTS
    ),
    groups=(("variant", tuple(VARIANTS)),),
)
