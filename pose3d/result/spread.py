"""How far the hypotheses of a lifter lie apart: what it is unsure about, in millimetres.

The spread of a joint is the RMS distance of its hypotheses from their mean, in camera axes about
the pelvis, nothing else aligned. It compares joints and frames without truth, and is no error bar:
what all hypotheses get wrong does not show (``pose3d evaluate tracks --hypotheses`` measures that).
"""

from __future__ import annotations

import numpy as np

from pose3d.result.record import PoseSequence

# What a summary is made of: joints of H36M17 by name, the pelvis left out.
GROUPS: dict[str, tuple[str, ...]] = {
    "trunk": ("spine", "thorax", "left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "head": ("neck_nose", "head_top"),
    "elbows": ("left_elbow", "right_elbow"),
    "wrists": ("left_wrist", "right_wrist"),
    "knees": ("left_knee", "right_knee"),
    "ankles": ("left_ankle", "right_ankle"),
}


def summarise_spread(pose: PoseSequence) -> dict[str, float]:
    """Returns for each of :data:`GROUPS` the median spread (mm) of people seen; may be empty."""
    spread, index = pose.spread_mm, pose.skeleton.index
    if spread is None:
        return {}
    known = spread[pose.valid & np.isfinite(spread).all(-1)]
    if not len(known):
        return {}
    columns = {name: [index[j] for j in joints if j in index] for name, joints in GROUPS.items()}
    return {name: float(np.median(known[:, c])) for name, c in columns.items() if c}


def describe_spread(groups: dict[str, float]) -> str:
    """Writes the result of :func:`summarise_spread` as a line for people."""
    parts = ", ".join(f"{name} {value:.0f}" for name, value in groups.items())
    return f"spread of the hypotheses, median in mm: {parts}"
