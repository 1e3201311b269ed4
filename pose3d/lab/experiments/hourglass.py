"""What pruning and recovering frames costs and spares: HoT's questions on our data.

MixSTE with 4 blocks of 64 channels on 27 frames, 1,000 steps of 32 windows: minutes a run on one
CPU core. Only differences between rows mean something.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pose3d.lab.datasets.poses import PoseOptions
from pose3d.lab.experiments.rows import Experiment, Row
from pose3d.lab.training.batches import BatchOptions
from pose3d.lab.training.recipe import Recipe
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.schedules import plan_schedule

FRAMES, KEPT, HEADS = 27, 9, 4
_SIZES: dict[str, Any] = {"dim": 64, "depth": 4, "heads": HEADS, "mlp_ratio": 2.0}
_PLAIN = Recipe(
    name="mixste.experiment",
    sizes=_SIZES,
    batches=BatchOptions(
        frames=FRAMES,
        rate_range=(12.0, 60.0),
        real_share=0.1,
        poses=PoseOptions(exchange=0.35, bend=0.5, tumble=0.15),
    ),
    batch=32,
    steps=1_000,
    warm_up=100,
    learning_rate=2e-3,
    ema=0.99,
    validate_every=250,
)
_HOURGLASS = HourglassOptions(keep=(KEPT,), at=(1,), heads=HEADS)


def _hot(**changes: Any) -> Recipe:
    return replace(_PLAIN, hourglass=replace(_HOURGLASS, **changes))


def _window(frames: int) -> Recipe:
    """Windows of another length, a third kept, about as many frames a step."""
    return replace(
        _hot(keep=(frames // 3,)),
        batches=replace(_PLAIN.batches, frames=frames),
        batch=round(_PLAIN.batch * FRAMES / frames),
    )


_ROWS = (
    Row("mixste", _PLAIN, "MixSTE: every frame passes every block", 3),
    Row("hot", _hot(), f"HoT-MixSTE: {KEPT} of {FRAMES} frames from block 1 on", 3),
    Row(
        "h2ot",
        replace(_PLAIN, hourglass=plan_schedule("h2ot", FRAMES, _SIZES["depth"])),
        "H2OT-MixSTE: 14 frames from block 1, 7 from block 2, evenly, straight lines",
        3,
    ),
    Row(
        "tpc",
        _hot(recover=None, keep_centre=True),
        "TPC-MixSTE: the same, for the middle frame alone",
        3,
    ),
    Row("prune-uniform", _hot(prune="uniform"), "every third frame", 3),
    Row("prune-motion", _hot(prune="motion"), "frames with most motion"),
    Row("prune-attention", _hot(prune="attention"), "frames that others look at most"),
    Row("recover-nearest", _hot(recover="nearest"), "the nearest kept frame answers"),
    Row("recover-linear", _hot(recover="linear"), "straight lines between the kept poses"),
    Row(
        "recover-refined",
        _hot(recover="refined"),
        "straight lines between the kept tokens, refined by attention",
        3,
    ),
    Row("keep-14", _hot(keep=(14,)), "14 of 27 frames"),
    Row("keep-5", _hot(keep=(5,)), "5 of 27 frames"),
    Row("keep-3", _hot(keep=(3,)), "3 of 27 frames"),
    Row("at-2", _hot(at=(2,)), "from block 2"),
    Row("at-3", _hot(at=(3,)), "from block 3"),
    Row("in-steps", _hot(keep=(14, 5), at=(1, 2)), "14 frames from block 1, 5 from block 2"),
    Row("window-9", _window(9), "3 of 9 frames"),
    Row("window-81", _window(81), "27 of 81 frames"),
    Row("window-243", _window(243), "81 of 243 frames"),
    Row(
        "no-confidence",
        replace(_hot(), sizes={**_SIZES, "channels_in": 2}),
        "x and y without the detector's confidence",
    ),
    Row("screen", replace(_hot(), normalisation="screen"), "normalised by the picture's width"),
)

HOURGLASS = Experiment(
    name="hourglass",
    question="What do pruning and recovery of frames cost, and what do they spare?",
    rows=_ROWS,
    groups=(
        ("network", ("mixste", "hot", "h2ot", "tpc")),
        ("pruning", ("hot", "prune-uniform", "prune-motion", "prune-attention")),
        ("recovery", ("hot", "recover-nearest", "recover-linear", "recover-refined")),
        ("kept frames", ("mixste", "keep-14", "hot", "keep-5", "keep-3")),
        ("first pruned block", ("hot", "at-2", "at-3", "in-steps")),
        ("window", ("hot", "window-9", "window-81", "window-243")),
        ("input", ("hot", "no-confidence", "screen")),
    ),
)
