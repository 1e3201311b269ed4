"""Recipes with the published hyper-parameters, on Human3.6M in VideoPose3D's files.

Networks are those of :mod:`pose3d.lift.configurations`. Where each number comes from:

- MixSTE, HoT-MixSTE, TPC-MixSTE: ``common/arguments.py``, ``main_mixste.py``, ``main_mixste_tpc.py``,
  ``model/mixste/`` and README.md of NationalGAILab/HoT@f8d7214 (160 epochs, 4 windows a step, AdamW
  4e-5 with decay 0.1 on everything, x 0.99 an epoch, windows side by side, each also mirrored, drop
  path 0.1). MixSTE's own code agrees but for 120 epochs.
- MHFormer, TPC-MHFormer: ``main_mhformer.py``, ``main_mhformer_tpc.py``, ``model/mhformer/module/``
  and README.md there (20 epochs, Adam with amsgrad 1e-3, x 0.95 an epoch and x 0.5 every fifth, a
  window around every frame, 128 and 210 a step, dropout 0.1, drop path 0.2, plain distance).
- MotionBERT: ``configs/pose3d/MB_train_h36m_wide.yaml`` (and ``MB_train_h36m.yaml``, the lite one),
  ``train.py``, ``lib/model/loss.py`` of Walter0807/MotionBERT (120 epochs, 32 windows, AdamW 5e-4
  with decay 0.01, x 0.99 an epoch, a window every 81 frames, mirrored by chance; distance + 0.5 x
  distance after scaling + 20 x velocity).
- MotionAGFormer: ``configs/h36m/*.yaml``, ``train.py``, ``data/preprocess/h36m.py`` of
  TaatiTeam/MotionAGFormer (60 epochs, 16 windows, else as MotionBERT; a window every third of its
  length).
- HoT on MotionBERT and MotionAGFormer: HoT publishes networks and no training for them; these recipes
  are those of the backbones.

Differs: MotionBERT and MotionAGFormer are published on Stacked Hourglass detections with confidences
and on targets in the picture's units (``h36m_sh_conf_cam_source_final.pkl``); here on CPN detections
(confidence 1) and metres, because that is what VideoPose3D's files hold. All terms of their loss grow
with the unit alike, so the weights keep their meaning. The published codes keep the epoch that is
best on the TEST subjects; here the last epoch is kept, or, with subjects held out, the best on those.
"""

from __future__ import annotations

import math
from typing import Any

from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.recipe import ClipOptions, EpochSchedule, Recipe
from pose3d.lift.configurations import CONFIGURATIONS

RATE_RANGE = (25.0, 50.0)
"""Human3.6M has 50 frames/s; weights are asked for nothing slower than half of that."""

_PLAIN = LossWeights(position=1.0, temporal=0.0, velocity=0.0, joint_weighted=False)
_SCALED = LossWeights(position=1.0, temporal=0.0, velocity=20.0, scale=0.5, joint_weighted=False)


def _recipe(
    name: str, configuration: str, sizes: dict[str, Any], stride: int, **values: Any
) -> Recipe:
    made = CONFIGURATIONS[configuration]
    flip = values.pop("flip", "both")
    inside = values.pop("inside", False)
    return Recipe(
        name=name,
        backbone=made.backbone,
        sizes={**made.sizes, **sizes},
        hourglass=made.hourglass,
        batches=BatchOptions(frames=made.sizes["frames"], rate_range=RATE_RANGE),
        clips=ClipOptions(stride=stride, inside=inside, flip=flip),
        motion_files=(),
        track_file=None,
        noise_file=None,
        leave_out=(),
        normalisation="screen",
        # That of the code base's own demo.
        mapping="motionbert" if made.backbone == "motionbert" else "hot",
        steps=0,
        ema=0.0,
        clip_norm=math.inf,
        licence="LicenseRef-Human3.6M-research-only",
        data_note="Human3.6M (S1, S5, S6, S7, S8), CPN detections: for research only",
        **values,
    )


def _mixste(configuration: str) -> Recipe:
    return _recipe(
        f"{configuration}.h36m",
        configuration,
        {"drop_path": 0.1},
        243,
        batch=4,
        schedule=EpochSchedule(epochs=160, decay=0.99),
        learning_rate=4e-5,
        optimiser="adamw-all",
        weight_decay=0.1,
        initial="torch",
        seed=1126,
    )


def _mhformer(name: str, configuration: str, batch: int) -> Recipe:
    return _recipe(
        name,
        configuration,
        {"drop_path": 0.2, "dropout": 0.1},
        1,
        batch=batch,
        schedule=EpochSchedule(epochs=20, decay=0.95, large_decay=0.5, large_every=5),
        learning_rate=1e-3,
        optimiser="adam-amsgrad",
        weight_decay=0.0,
        initial="torch",
        loss=_PLAIN,
        seed=1,
    )


def _motionbert(configuration: str) -> Recipe:
    return _recipe(
        f"{configuration}.h36m",
        configuration,
        {},
        81,
        inside=True,
        flip="half",
        batch=32,
        schedule=EpochSchedule(epochs=120, decay=0.99),
        learning_rate=5e-4,
        optimiser="adamw-all",
        weight_decay=0.01,
        initial="normal",
        loss=_SCALED,
    )


def _motionagformer(name: str, configuration: str) -> Recipe:
    return _recipe(
        f"{name}.h36m",
        configuration,
        {},
        CONFIGURATIONS[configuration].sizes["frames"] // 3,
        inside=True,
        flip="half",
        batch=16,
        schedule=EpochSchedule(epochs=60, decay=0.99),
        learning_rate=5e-4,
        optimiser="adamw-all",
        weight_decay=0.01,
        initial="torch",
        loss=_SCALED,
    )


H36M_RECIPES: tuple[Recipe, ...] = (
    _mixste("mixste"),
    _mixste("hot-mixste"),
    _mixste("tpc-mixste"),
    _mhformer("mhformer.h36m", "mhformer-351", 128),
    _mhformer("tpc-mhformer.h36m", "tpc-mhformer", 210),
    _motionbert("motionbert"),
    _motionbert("motionbert-lite"),
    _motionbert("hot-motionbert"),
    *(_motionagformer(f"motionagformer-{s}", f"motionagformer-{s}") for s in ("xs", "s", "b", "l")),
    _motionagformer("hot-motionagformer-b", "hot-motionagformer"),
)
