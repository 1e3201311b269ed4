"""Recipes of 2D networks: TokenPose as published, sparse or not, and small ones on Leeds Sports Pose.

Reference: ``experiments/coco/tokenpose/*.yaml`` and ``experiments/mpii/tokenpose/*.yaml`` of
leeyegy/TokenPose@0299eef: 300 epochs of Adam, 0.001, a tenth from epoch 200 and again from 260;
COCO: turns of 45 degrees, scale 0.35, half bodies 0.3, 128 people a step (32 on each of four GPUs);
MPII: 30 degrees, 0.25, no half bodies, 64 people. The published MPII network is a larger one (L).
Differs: HRNet-W32 starts from fresh weights, not from ImageNet's, since pose3d ships none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pose3d.lab.datasets.people.lsp import RESEARCH_ONLY
from pose3d.lab.training.people import AugmentOptions, PeopleOptions
from pose3d.lab.training.recipe import EpochSchedule, Recipe
from pose3d.networks2d.tokenpose.options import (
    TOKENPOSE_B,
    TOKENPOSE_S,
    JointOptions,
    PruneOptions,
    RemoveOptions,
    TokenPoseOptions,
)

_PUBLISHED: dict[str, Any] = {
    "backbone": "tokenpose",
    "steps": 0,
    "schedule": EpochSchedule(epochs=300, decay=1.0, milestones=(200, 260)),
    "learning_rate": 1e-3,
    "optimiser": "adam",
    "weight_decay": 0.0,
    "initial": "torch",
    "ema": 0.0,
    "clip_norm": math.inf,
}
_COCO = "photographs and labels of COCO (labels CC BY 4.0, photographs under their authors' terms)"
_COCO_LICENCE = "not stated (trained on COCO: labels CC BY 4.0, photographs of Flickr's users)"
_MPII_LICENCE = "research only (MPII Human Pose: non-commercial research)"
_SQUARE = replace(
    TOKENPOSE_S, size_wh=(256, 256), patch_wh=(4, 4), heatmap_wh=(64, 64), skeleton="mpii16"
)
_SIMCC = replace(TOKENPOSE_S, head="simcc", sigma=4.9)
"""Deviation of RTMPose's targets for crops of 192 x 256 and two bins a pixel, along the width."""


_PRUNED = PruneOptions()
SPARSITY: dict[str, dict[str, Any]] = {
    "": {},
    "-joint": {"joint": JointOptions()},
    "-pruned": {"prune": _PRUNED},
    "-nested": {"prune": PruneOptions(keep=(0.6, 0.36, 0.216), nested=True)},
    "-sparse": {"prune": _PRUNED, "joint": JointOptions()},
    "-random": {"joint": JointOptions(links="random")},
    "-removed": {"remove": RemoveOptions()},
}
"""Ending of a recipe's name -> what is sparse: nothing, joint mask, attention pruning (with masks of their
own or nested ones), joint mask and pruning, joint mask with random neighbours, removal of patches."""


def _coco(tag: str, network: TokenPoseOptions) -> Recipe:
    return Recipe(
        name=f"{tag}.coco",
        people=PeopleOptions(dataset="coco", network=network),
        batch=128,
        licence=_COCO_LICENCE,
        data_note=_COCO,
        **_PUBLISHED,
    )


def _mpii(tag: str, network: TokenPoseOptions) -> Recipe:
    augment = AugmentOptions(rotation_deg=30.0, scale=0.25, half_body=0.0)
    return Recipe(
        name=f"{tag}.mpii",
        people=PeopleOptions(dataset="mpii", network=network, augment=augment),
        batch=64,
        licence=_MPII_LICENCE,
        data_note="MPII Human Pose",
        **_PUBLISHED,
    )


def _published(
    make: Callable[[str, TokenPoseOptions], Recipe], s: TokenPoseOptions, b: TokenPoseOptions
) -> list[Recipe]:
    """Returns every sparsity of TokenPose-S, and TokenPose-B dense and as "Improved TokenPose"."""
    return [
        *(make(f"tokenpose-s{end}", replace(s, **changes)) for end, changes in SPARSITY.items()),
        *(make(f"tokenpose-b{end}", replace(b, **SPARSITY[end])) for end in ("", "-sparse")),
    ]


LSPET_NETWORK = replace(
    TOKENPOSE_S,
    skeleton="lsp14",
    size_wh=(128, 128),
    patch_wh=(4, 4),
    heatmap_wh=(32, 32),
    head="simcc",
    sigma=4.0,
)
"""Small enough for a table of many runs without a GPU: 64 patches. ``--crop 256x256`` has 256."""

_HEATMAP: dict[str, Any] = {"head": "heatmap", "heatmap_hidden": 384, "sigma": 1.5}

VARIANTS = {f"tokenpose-s{end}": what for end, what in SPARSITY.items() if end != "-nested"}
"""The experiment: dense, joint mask, attention pruning, both, random neighbours, removal of patches."""


def _leeds(tag: str, changes: dict[str, Any], dataset: str = "lspet") -> Recipe:
    """Returns a recipe on Leeds Sports Pose or its extended set, in which a third is upside down."""
    augment = AugmentOptions(
        rotation_deg=180.0,
        rotation="uniform",
        scale=0.25,
        shift=0.05,
        erase=0.3,
        colour=0.2,
    )
    return Recipe(
        name=f"{tag}.{dataset}",
        backbone="tokenpose",
        people=PeopleOptions(
            dataset=dataset,
            network=replace(LSPET_NETWORK, **changes),
            val_split="val" if dataset == "lspet" else None,
            augment=augment,
            guide=1.0,
        ),
        batch=32,
        steps=4_000,
        warm_up=300,
        learning_rate=1e-3,
        initial="wide",
        ema=0.998,
        validate_every=500,
        licence=RESEARCH_ONLY,
        data_note=_LEEDS_NOTES[dataset],
    )


_LEEDS_NOTES = {
    "lspet": "7,999 people of Leeds Sports Pose Extended, cropped; research only",
    "lsp-extended": "Leeds Sports Pose Extended; research only",
    "lsp": "the first 1,000 people of Leeds Sports Pose; research only",
}

PEOPLE_RECIPES = (
    *(_leeds(f"tokenpose-s{end}", what) for end, what in SPARSITY.items()),
    # Twelve layers with heatmaps leave the mean pose sooner at a lower rate: see EXPERIMENTS.md.
    replace(_leeds("tokenpose-s-heatmap", _HEATMAP), learning_rate=3e-4, initial="torch"),
    *(
        _leeds(f"tokenpose-s{end}", SPARSITY[end], dataset)
        for dataset in ("lsp-extended", "lsp")
        for end in ("", "-sparse")
    ),
    *_published(_coco, TOKENPOSE_S, TOKENPOSE_B),
    _coco("tokenpose-s-simcc", _SIMCC),
    *_published(_mpii, _SQUARE, replace(_SQUARE, backbone="hrnet-w32")),
)
