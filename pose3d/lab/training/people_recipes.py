"""Recipes of 2D networks: TokenPose as published, sparse or not, and small ones on Leeds Sports Pose.

Reference: ``experiments/coco/tokenpose/*.yaml`` and ``experiments/mpii/tokenpose/*.yaml`` of
leeyegy/TokenPose@0299eef: 300 epochs of Adam, 0.001, a tenth from epoch 200 and again from 260;
COCO: turns of 45 degrees, scale 0.35, half bodies 0.3, 128 people a step (32 on each of four GPUs);
MPII: 30 degrees, 0.25, no half bodies, 64 people. The published MPII network is a larger one (L).
Differs: HRNet-W32 starts from fresh weights, not from ImageNet's, since pose3d ships none.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pose3d.lab.datasets.people.lsp import RESEARCH_ONLY
from pose3d.lab.training.people import AugmentOptions, PeopleOptions
from pose3d.lab.training.recipe import EpochSchedule, Recipe
from pose3d.networks2d.tokenpose.options import SPARSITY, TOKENPOSE_S

_COCO = Recipe(
    name="coco",
    backbone="tokenpose",
    people=PeopleOptions(dataset="coco", network=TOKENPOSE_S),
    batch=128,
    steps=0,
    schedule=EpochSchedule(epochs=300, decay=1.0, milestones=(200, 260)),
    learning_rate=1e-3,
    optimiser="adam",
    weight_decay=0.0,
    initial="torch",
    ema=0.0,
    clip_norm=math.inf,
    licence="not stated (trained on COCO: labels CC BY 4.0, photographs of Flickr's users)",
)
_MPII = replace(
    _COCO,
    name="mpii",
    people=PeopleOptions(
        dataset="mpii",
        network=replace(
            TOKENPOSE_S, size_wh=(256, 256), patch_wh=(4, 4), heatmap_wh=(64, 64), skeleton="mpii16"
        ),
        augment=AugmentOptions(rotation_deg=30.0, scale=0.25, half_body=0.0),
    ),
    batch=64,
    licence="research only (MPII Human Pose: non-commercial research)",
)
_LEEDS = PeopleOptions(
    dataset="lspet",
    # Small enough for a table of many runs without a GPU: 64 patches.
    network=replace(
        TOKENPOSE_S,
        skeleton="lsp14",
        size_wh=(128, 128),
        patch_wh=(4, 4),
        heatmap_wh=(32, 32),
        head="simcc",
        sigma=4.0,
    ),
    val_split="val",
    # A third of these people are upside down.
    augment=AugmentOptions(
        rotation_deg=180.0, rotation="uniform", scale=0.25, shift=0.05, erase=0.3, colour=0.2
    ),
    guide=1.0,
)
_LSPET = Recipe(
    name="lspet",
    backbone="tokenpose",
    people=_LEEDS,
    batch=32,
    steps=4_000,
    ema=0.998,
    licence=RESEARCH_ONLY,
)
_LSP_EXTENDED = replace(
    _LSPET, name="lsp-extended", people=replace(_LEEDS, dataset="lsp-extended", val_split=None)
)
_LSP = replace(_LSPET, name="lsp", people=replace(_LEEDS, dataset="lsp", val_split=None))


def _variant(base: Recipe, tag: str, **network: Any) -> Recipe:
    assert base.people is not None
    people = replace(base.people, network=replace(base.people.network, **network))
    return replace(base, name=f"tokenpose-{tag}.{base.name}", people=people)


def _published(base: Recipe) -> list[Recipe]:
    """Returns every sparsity of TokenPose-S, and TokenPose-B dense and as "Improved TokenPose"."""
    return [
        *(_variant(base, f"s{end}", **what) for end, what in SPARSITY.items()),
        *(
            _variant(base, f"b{end}", backbone="hrnet-w32", **SPARSITY[end])
            for end in ("", "-sparse")
        ),
    ]


PEOPLE_RECIPES = (
    *(_variant(_LSPET, f"s{end}", **what) for end, what in SPARSITY.items()),
    # Twelve layers with heatmaps leave the mean pose sooner at a lower rate.
    replace(
        _variant(_LSPET, "s-heatmap", head="heatmap", heatmap_hidden=384, sigma=1.5),
        learning_rate=3e-4,
        initial="torch",
    ),
    *(
        _variant(base, f"s{end}", **SPARSITY[end])
        for base in (_LSP_EXTENDED, _LSP)
        for end in ("", "-sparse")
    ),
    *_published(_COCO),
    # Deviation of RTMPose's targets for crops of 192 x 256 and two bins a pixel, along the width.
    _variant(_COCO, "s-simcc", head="simcc", sigma=4.9),
    *_published(_MPII),
)
