"""Straight knees: takes the constant bend out of legs that were recorded too far bent.

In most CMU recordings the knee of somebody who stands upright is bent by nearly the same angle in all
frames of a subject (180 degrees for a few, 142 for one) and lies far in front of hip and ankle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import angles_deg
from pose3d.body.skeletons import H36M17

Array = NDArray[np.floating]

STRAIGHT_DEG = 175.0
"""The knee of somebody who stands, between the centres of hip, knee and ankle."""
_MOST_DEG = 30.0
_BENT_DEG = 120.0  # so much bent, nothing changes
_UPRIGHT_DEG = 150.0
_ENOUGH = 60

_LEGS = [
    tuple(H36M17.index[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
    for side in ("left", "right")
]
_THORAX = H36M17.index["thorax"]


Feet = Sequence[Sequence[int]]
"""Joints that move with the left and the right ankle."""


def straighten_people(
    clips: Sequence[Array], people: Sequence[str], feet: Feet = ((), ())
) -> tuple[list[Array], list[float]]:
    """Straightens the knees of recordings, by one angle for each person.

    Args:
        clips: ``(frame, >=17, 3)`` each, H36M17's joints first, any unit.
        people: whose each of them is.
        feet: see :func:`straighten_knees`.

    Returns:
        Copies, and by how many degrees the knees of each were too far bent.
    """
    offset = {
        person: measure_knee_offset(
            np.concatenate([clip for clip, p in zip(clips, people, strict=True) if p == person])
        )
        for person in set(people)
    }
    straighter = [straighten_knees(c, offset[p], feet) for c, p in zip(clips, people, strict=True)]
    return straighter, [offset[p] for p in people]


def measure_knee_offset(joints: Array) -> float:
    """Returns by how many degrees (0 to 30) the knees of a person are never straight.

    It is what the straighter knee lacks to ``STRAIGHT_DEG`` at the 90th percentile of the frames in
    which both hips are open: who stands or walks has one knee that is straight now and then. 0 where
    less than 60 frames are upright. ``joints`` are all recordings of the person, ``(frame, >=17, 3)``.
    """
    hips = [_angle_deg(joints, _THORAX, hip, knee) for hip, knee, _ in _LEGS]
    upright = np.minimum(*hips) > _UPRIGHT_DEG
    if upright.sum() < _ENOUGH:
        return 0.0
    straighter = np.maximum(*(_angle_deg(joints[upright], *leg) for leg in _LEGS))
    return float(np.clip(STRAIGHT_DEG - np.percentile(straighter, 90), 0, _MOST_DEG))


def straighten_knees(joints: Array, offset_deg: float, feet: Feet = ((), ())) -> Array:
    """Takes an offset, see :func:`measure_knee_offset`, out of the knees of ``(frame, >=17, 3)``.

    Where a knee is bent by the offset and ``180 - STRAIGHT_DEG`` degrees more, it is bent by these
    alone afterwards; from there the change fades, and knees bent by 120 degrees do not change. Bones
    keep their lengths and legs their direction from hip to ankle; ``feet`` move with the ankles.
    """
    out = joints.copy()
    rest = 180 - STRAIGHT_DEG
    marks_deg = (0, rest + offset_deg, _BENT_DEG, 180), (0, rest, _BENT_DEG, 180)
    for (hip, knee, ankle), foot in zip(_LEGS, feet, strict=True):
        thigh, shank = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shank, axis=-1)
        along = _unit(joints[:, ankle] - joints[:, hip])
        forward = _unit(thigh - (thigh * along).sum(-1, keepdims=True) * along)
        bend = np.radians(np.interp(180 - _angle_deg(joints, hip, knee, ankle), *marks_deg))
        reach = np.sqrt(np.maximum(a**2 + b**2 + 2 * a * b * np.cos(bend), 1e-12))
        sine = b * np.sin(bend) / reach
        cosine = (a + b * np.cos(bend)) / reach
        out[:, knee] = joints[:, hip] + a[:, None] * (
            cosine[:, None] * along + sine[:, None] * forward
        )
        moved = joints[:, hip] + reach[:, None] * along - joints[:, ankle]
        for joint in (ankle, *foot):
            out[:, joint] = joints[:, joint] + moved
    return out


def _angle_deg(joints: Array, *at: int) -> Array:
    """Returns the angle at the second of three joints; 0 where a bone has no length."""
    return np.nan_to_num(angles_deg(*(joints[:, j] for j in at)))


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Array = vectors / np.maximum(length, 1e-9)
    return unit
