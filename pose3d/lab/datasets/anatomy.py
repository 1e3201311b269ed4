"""One definition of the 17 joints for all sources: anatomical joint centres.

Shares of the stature of who stands: shoulder 0.818, hip 0.530, knee 0.285, ankle 0.039 (Winter,
"Biomechanics and Motor Control of Human Movement", 4th edition, 2009, figure 4.1, after Drillis and
Contini 1966). Trunk, thigh and shank are then 0.37, 0.31 and 0.32 of their sum; de Leva (1996) has
0.38, 0.30 and 0.32.

Rigs and motion-capture skeletons have their joints elsewhere. What is moved here is measured in body
lengths: thigh + shank + trunk to the thorax, about three quarters of the stature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17

Array = NDArray[np.floating]

ANATOMICAL = "anatomical"  # how track files call this definition

_JOINT = H36M17.index


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where joints have to go, in body lengths."""

    shoulder: float = 0.0  # along the trunk, towards the head
    hip: float = 0.0  # forwards, square to the trunk and to the line through the hips
    knee: float = 0.0  # along the leg, towards the foot: half of it along thigh, half along shank


# Sources without an entry are right as they are. The rig: MakeHuman's ``cmu_mb``, shoulders at 0.794
# and knees at 0.296 of the stature. Its hips lie too far behind: BlazePose sees hips 0.018 person sizes
# in front of the rig's, and 0.011 in front of those of real people in a two-camera reference. The
# others: skeletons of ``mocap/README.md``.
OFFSETS = {
    "rig": Offsets(shoulder=0.031, hip=0.013, knee=0.006),
    "deepmimic": Offsets(shoulder=0.012),
    "accad": Offsets(shoulder=0.045),
    "bandai": Offsets(shoulder=0.065),
}


def to_anatomical(joints_m: Array, source: str) -> Array:
    """Returns ``(frame, >=17, 3)`` of a source, H36M17 first, with anatomical joint centres."""
    offsets = OFFSETS.get(source, Offsets())
    out = joints_m.copy()
    length = body_length_m(joints_m)
    chest_up = _unit(joints_m[:, _JOINT["thorax"]] - joints_m[:, _JOINT["spine"]])
    pelvis_up = joints_m[:, _JOINT["spine"]] - joints_m[:, _JOINT["pelvis"]]
    left = joints_m[:, _JOINT["left_hip"]] - joints_m[:, _JOINT["right_hip"]]
    forward = offsets.hip * length * _unit(np.cross(left, pelvis_up))
    out[:, _JOINT["pelvis"]] += forward
    for side in ("left", "right"):
        hip, knee, ankle = (_JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
        out[:, _JOINT[f"{side}_shoulder"]] += offsets.shoulder * length * chest_up
        out[:, hip] += forward
        thigh = _unit(joints_m[:, knee] - joints_m[:, hip])
        shank = _unit(joints_m[:, ankle] - joints_m[:, knee])
        out[:, knee] += offsets.knee * length * (thigh + shank) / 2
    return out


def body_length_m(joints_m: Array) -> float:
    """Returns thigh + shank + pelvis to spine to thorax, medians over ``(frame, >=17, 3)``."""

    def bone(a: str, b: str) -> float:
        ends = joints_m[:, _JOINT[a]] - joints_m[:, _JOINT[b]]
        return float(np.median(np.linalg.norm(ends, axis=-1)))

    legs = [
        bone(f"{side}_hip", f"{side}_knee") + bone(f"{side}_knee", f"{side}_ankle")
        for side in ("left", "right")
    ]
    return sum(legs) / 2 + bone("pelvis", "spine") + bone("spine", "thorax")


def _unit(v: Array) -> Array:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)
