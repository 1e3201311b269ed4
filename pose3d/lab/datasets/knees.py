"""Takes the constant bend out of legs that were recorded too far bent, as in most of CMU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import angles_deg
from pose3d.body.skeletons import H36M17

Array = NDArray[np.floating]

STRAIGHT_DEG = 175.0  # of who stands, between the centres of hip, knee and ankle
_MOST_DEG = 30.0
_BENT_DEG = 120.0  # so much bent, nothing changes
_UPRIGHT_DEG = 150.0
_ENOUGH = 60  # upright frames of a person

_LEGS = [
    tuple(H36M17.index[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
    for side in ("left", "right")
]
_THORAX = H36M17.index["thorax"]


Feet = Sequence[Sequence[int]]  # joints that move with the left and the right ankle


def straighten_people(
    clips: Sequence[Array], people: Sequence[str], feet: Feet = ((), ())
) -> tuple[list[Array], list[float]]:
    """Straightens the knees of clips ``(frame, >=17, 3)``, H36M17's joints first, one angle for
    each of ``people``; returns copies, and by how many degrees each was too far bent."""
    offset = {
        person: measure_knee_offset(
            np.concatenate([clip for clip, p in zip(clips, people, strict=True) if p == person])
        )
        for person in set(people)
    }
    straighter = [straighten_knees(c, offset[p], feet) for c, p in zip(clips, people, strict=True)]
    return straighter, [offset[p] for p in people]


def measure_knee_offset(joints: Array) -> float:
    """Returns by how many degrees (0 to 30) a person's knees stay bent where they should be straight.

    It is what the straighter knee lacks to ``STRAIGHT_DEG`` at the 90th percentile of frames in
    which both hips are open; 0 if they are fewer than 60. ``joints (frame, >=17, 3)``: all of the person.
    """
    hips = [_angle_deg(joints, _THORAX, hip, knee) for hip, knee, _ in _LEGS]
    upright = np.minimum(*hips) > _UPRIGHT_DEG
    if upright.sum() < _ENOUGH:
        return 0.0
    straighter = np.maximum(*(_angle_deg(joints[upright], *leg) for leg in _LEGS))
    return float(np.clip(STRAIGHT_DEG - np.percentile(straighter, 90), 0, _MOST_DEG))


def straighten_knees(joints: Array, offset_deg: float, feet: Feet = ((), ())) -> Array:
    """Takes an offset, see :func:`measure_knee_offset`, out of the knees of ``(frame, >=17, 3)``.

    The change fades out towards a bend of 120 degrees. Bones keep their lengths and legs their
    direction from hip to ankle; ``feet`` move with the ankles.
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
