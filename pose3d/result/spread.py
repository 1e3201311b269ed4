"""How far the hypotheses of a lifter lie apart: what it is unsure about, in millimetres.

The spread of a joint is the root mean square distance of its hypotheses from their mean, in camera
axes with all pelvises at one place. Nothing else is aligned: a body that may lean towards the camera
or away from it is unsure in its direction, and that is meant to show. At the pelvis it is zero.

**What it means.** A large spread says that several 3D poses fit the 2D keypoints; so joints and
frames can be compared with each other, and doubtful ones found without truth.

**What it does not mean.** It is no error bar: the truth need not lie between the hypotheses, and an
error that all hypotheses share (a wrong size, a keypoint that is surely but wrongly detected, a
motion unlike any in the training data) does not show at all. How well it follows the error is
measured by ``pose3d evaluate tracks --hypotheses``.
"""

from __future__ import annotations

import numpy as np

from pose3d.result.record import PoseSequence

GROUPS: dict[str, tuple[str, ...]] = {
    "trunk": ("spine", "thorax", "left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "head": ("neck_nose", "head_top"),
    "elbows": ("left_elbow", "right_elbow"),
    "wrists": ("left_wrist", "right_wrist"),
    "knees": ("left_knee", "right_knee"),
    "ankles": ("left_ankle", "right_ankle"),
}
"""What a summary is made of: joints of H36M17 by name, the pelvis left out."""


def summarise_spread(pose: PoseSequence) -> dict[str, float]:
    """Returns for each of :data:`GROUPS` the median spread (mm) over all people where they were seen.

    Empty when there are no hypotheses, or nobody.
    """
    spread, index = pose.spread_mm, pose.skeleton.index
    if spread is None:
        return {}
    known = spread[pose.valid & np.isfinite(spread).all(-1)]  # pose joint
    if not len(known):
        return {}
    columns = {name: [index[j] for j in joints if j in index] for name, joints in GROUPS.items()}
    return {name: float(np.median(known[:, c])) for name, c in columns.items() if c}


def describe_spread(groups: dict[str, float]) -> str:
    """Writes the result of :func:`summarise_spread` as a line for people."""
    parts = ", ".join(f"{name} {value:.0f}" for name, value in groups.items())
    return f"spread of the hypotheses, median in mm: {parts}"
