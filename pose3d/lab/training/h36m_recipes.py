"""Recipes with the published hyper-parameters, on Human3.6M in VideoPose3D's files.

Networks are those of :mod:`pose3d.lift.configurations`. Where each number comes from:

- MixSTE, HoT-MixSTE, TPC-MixSTE: ``common/arguments.py``, ``main_mixste.py``, ``main_mixste_tpc.py``,
  ``model/mixste/`` and README.md of NationalGAILab/HoT@f8d7214. (MixSTE's own code: 120 epochs.)
- MHFormer, TPC-MHFormer: ``main_mhformer.py``, ``main_mhformer_tpc.py``, ``model/mhformer/module/``
  and README.md there.
- MotionBERT: ``configs/pose3d/MB_train_h36m_wide.yaml`` (``MB_train_h36m.yaml``: the lite one),
  ``train.py``, ``lib/model/loss.py`` of Walter0807/MotionBERT.
- MotionAGFormer: ``configs/h36m/*.yaml``, ``train.py``, ``data/preprocess/h36m.py`` of
  TaatiTeam/MotionAGFormer.
- HoT on MotionBERT and MotionAGFormer (published without training): as their backbones.

Differs: MotionBERT and MotionAGFormer are published on Stacked Hourglass detections with
confidences and on targets in the picture's units; here CPN detections (confidence 1) and metres.
The published codes keep the epoch that is best on the TEST subjects; here the last one, or the best
on those held out.
"""

from __future__ import annotations

import math
from dataclasses import replace

from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.losses import LossWeights
from pose3d.lab.training.recipe import ClipOptions, EpochSchedule, Recipe
from pose3d.lift.configurations import CONFIGURATIONS

_H36M = Recipe(
    name="h36m",
    batches=BatchOptions(rate_range=(25.0, 50.0)),  # Human3.6M has 50 frames/s
    clips=ClipOptions(),
    motion_files=(),
    track_file=None,
    noise_file=None,
    leave_out=(),
    normalisation="screen",
    mapping="hot",  # that of the demo of each code base
    steps=0,
    optimiser="adamw-all",
    initial="torch",
    ema=0.0,
    clip_norm=math.inf,
    licence="LicenseRef-Human3.6M-research-only",
)
_MIXSTE = replace(
    _H36M,
    sizes={"drop_path": 0.1},
    batch=4,
    schedule=EpochSchedule(epochs=160, decay=0.99),
    learning_rate=4e-5,
    weight_decay=0.1,
    seed=1126,
)
_MHFORMER = replace(
    _H36M,
    sizes={"drop_path": 0.2, "dropout": 0.1},
    clips=ClipOptions(stride=1),
    batch=128,
    schedule=EpochSchedule(epochs=20, decay=0.95, large_decay=0.5, large_every=5),
    learning_rate=1e-3,
    optimiser="adam-amsgrad",
    weight_decay=0.0,
    loss=LossWeights(position=1.0, temporal=0.0, velocity=0.0, joint_weighted=False),
    seed=1,
)
_MOTIONBERT = replace(
    _H36M,
    clips=ClipOptions(stride=81, inside=True, flip="half"),
    mapping="motionbert",
    batch=32,
    schedule=EpochSchedule(epochs=120, decay=0.99),
    learning_rate=5e-4,
    weight_decay=0.01,
    initial="normal",
    loss=LossWeights(position=1.0, temporal=0.0, velocity=20.0, scale=0.5, joint_weighted=False),
)
_MOTIONAGFORMER = replace(
    _MOTIONBERT,
    mapping="hot",
    batch=16,
    schedule=EpochSchedule(epochs=60, decay=0.99),
    initial="torch",
)


def _recipe(name: str, base: Recipe, configuration: str, stride: int | None = None) -> Recipe:
    made = CONFIGURATIONS[configuration]
    sizes = {**made.sizes, **base.sizes}
    assert base.clips is not None
    return replace(
        base,
        name=f"{name}.h36m",
        backbone=made.backbone,
        hourglass=made.hourglass,
        batches=replace(base.batches, frames=sizes.pop("frames")),
        sizes=sizes,
        clips=replace(base.clips, stride=stride or base.clips.stride),
    )


H36M_RECIPES = (
    *(_recipe(name, _MIXSTE, name) for name in ("mixste", "hot-mixste", "tpc-mixste")),
    _recipe("mhformer", _MHFORMER, "mhformer-351"),
    _recipe("tpc-mhformer", replace(_MHFORMER, batch=210), "tpc-mhformer"),
    *(_recipe(n, _MOTIONBERT, n) for n in ("motionbert", "motionbert-lite", "hot-motionbert")),
    # A window every third of its length.
    _recipe("motionagformer-xs", _MOTIONAGFORMER, "motionagformer-xs", stride=9),
    _recipe("motionagformer-s", _MOTIONAGFORMER, "motionagformer-s", stride=27),
    _recipe("motionagformer-b", _MOTIONAGFORMER, "motionagformer-b"),
    _recipe("motionagformer-l", _MOTIONAGFORMER, "motionagformer-l"),
    _recipe("hot-motionagformer-b", _MOTIONAGFORMER, "hot-motionagformer"),
)
