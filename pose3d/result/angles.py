"""Joint angles from 17 points: flexion, abduction, rotation, where the points define them.

Conventions are those of the International Society of Biomechanics as far as joint centres allow:
segments have X forward, Y up, Z to the right; hip and trunk are split as Z X Y (flexion, side,
rotation), the shoulder as Y X Y (plane, elevation, rotation). The left side counts as the right one
in a mirror. A limb's rotation is only defined while the next joint is bent, by the plane of the two
bones. Nothing tells: the pelvis's forward tilt (its frame takes the lower trunk instead), rotation
of shank, forearm and head, and anything of feet and hands.

Reference: Wu et al., J. Biomechanics 35 (2002) 543 (hip, spine) and 38 (2005) 981 (shoulder).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.result.numbers import BOOLEAN, fill_template
from pose3d.result.record import PoseSequence, rows_in_time
from pose3d.result.upright import upright_joints

Array = NDArray[np.float64]

BENT_DEG = 20.0
"""Below this bend of knee or elbow nothing is said of the rotation of thigh or upper arm."""
_LEAST = np.sin(np.deg2rad(20.0))  # of a part that an angle about an axis is measured by

SIDES = ("left", "right")
LEG = ("hip", "knee", "ankle")
ARM = ("shoulder", "elbow", "wrist")
ONE_SIDED = {
    "hip_flexion": "of the thigh against the lower trunk; forward is positive",
    "hip_abduction": "outwards is positive",
    "hip_rotation": "inwards is positive; while the knee is bent",
    "knee_flexion": "0: straight",
    "shoulder_elevation": "of the upper arm from hanging along the upper trunk",
    "shoulder_plane": "of that elevation; 0: sideways, 90: forward",
    "shoulder_rotation": "inwards is positive; while the elbow is bent",
    "elbow_flexion": "0: straight",
}
MIDDLE = {
    "trunk_lean": "pelvis to thorax, from upright",
    "trunk_lean_forward": "forward is positive",
    "trunk_lean_side": "to the right is positive",
    "trunk_flexion": "of the upper against the lower trunk; forward is positive",
    "trunk_side_bend": "to the right is positive",
    "trunk_rotation": "to the left is positive",
    "pelvis_side_tilt": "positive: the right hip is higher",
    "neck_flexion": "thorax to crown against the upper trunk; forward is positive",
    "neck_side_bend": "to the right is positive",
}


def compute_angles(pose: PoseSequence) -> dict[str, Array]:
    """Returns name -> ``(row,)`` degrees, NaN where not defined.

    Names are those of :data:`ONE_SIDED` behind ``left_`` or ``right_``, and of :data:`MIDDLE`. A
    UsageError for other skeletons and results without 3D.
    """
    if pose.skeleton.name != H36M17.name:
        raise UsageError(
            f"Angles need the skeleton {H36M17.name}, the result has {pose.skeleton.name}",
            "Lift it first (pose3d lift)",
        )
    return joint_angles(upright_joints(pose))


def joint_angles(joints: Array) -> dict[str, Array]:
    """Returns the same of ``(row, joint, 3)`` joints of H36M17, y up."""
    with np.errstate(invalid="ignore"):
        at, pelvis, chest = segment_frames(joints)
        out: dict[str, Array] = {}
        for side in SIDES:
            thigh, shank = limb_directions(at, pelvis, side, LEG)
            upper, fore = limb_directions(at, chest, side, ARM)
            found = _hip(thigh, shank) | _shoulder(upper, fore)
            found |= {"knee_flexion": _bend(thigh, shank), "elbow_flexion": _bend(upper, fore)}
            out |= {f"{side}_{name}": found[name] for name in ONE_SIDED}
        found = _trunk(at, pelvis, chest)
        return out | {name: found[name] for name in MIDDLE}


def segment_frames(joints: Array) -> tuple[dict[str, Array], Array, Array]:
    """Returns the joints by name, and the axes ``(row, 3, 3)`` of the lower and the upper trunk."""
    at = {name: joints[:, j] for name, j in H36M17.index.items()}
    lower = _frame(at["right_hip"] - at["left_hip"], at["spine"] - at["pelvis"])
    upper = _frame(at["right_shoulder"] - at["left_shoulder"], at["thorax"] - at["spine"])
    return at, lower, upper


def limb_directions(
    at: dict[str, Array], frame: Array, side: str, limb: tuple[str, ...]
) -> tuple[Array, Array]:
    """Returns the directions of the two bones of a limb in the trunk's axes; the left ones mirrored."""
    mirror = np.array([1.0, 1.0, -1.0 if side == "left" else 1.0])
    first, middle, last = (at[f"{side}_{joint}"] for joint in limb)
    return inside(frame, middle - first) * mirror, inside(frame, last - middle) * mirror


def ball_angles(bone: Array, hinge: Array, bent: Array) -> tuple[Array, Array, Array]:
    """Splits the turn of a bone that hangs at rest as Z X Y: flexion, adduction, rotation inwards.

    ``hinge`` is the axis of the joint at its end, ``bent`` its bend in degrees.
    """
    flexion = np.arctan2(bone[..., 0], -bone[..., 1])
    adduction = np.arcsin(np.clip(-bone[..., 2], -1, 1))
    defined = np.cos(adduction) > _LEAST
    turned = _rotation(turn(2, flexion) @ turn(0, adduction), hinge, bent)
    return (
        _where(defined, flexion),
        np.rad2deg(adduction),
        np.where(defined, turned, np.nan),
    )


def velocities(angles: Array, pose: PoseSequence) -> Array:
    """Returns ``(row,)`` degrees per second, over each stretch that is defined."""
    out = np.full(len(angles), np.nan)
    for span in pose.spans:
        values, time_s = angles[span.rows], pose.time_s[span.frames]
        edges = np.flatnonzero(np.diff(np.isfinite(values), prepend=False, append=False))
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start > 1:
                turns = np.unwrap(values[start:stop], period=360)
                out[span.rows][start:stop] = np.gradient(turns, time_s[start:stop])
    return out


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, np.nan)


def _frame(right: Array, up: Array) -> Array:
    """Returns ``(..., 3, 3)`` with the axes forward, up, right of a segment as columns."""
    z = _unit(right)
    y = _unit(up - (up * z).sum(-1, keepdims=True) * z)
    return np.stack([np.cross(y, z), y, z], -1)


def inside(frame: Array, vectors: Array) -> Array:
    """Returns unit vectors in the axes of a segment."""
    return np.einsum("...ji,...j->...i", frame, _unit(vectors))


def _bend(first: Array, second: Array) -> Array:
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.rad2deg(np.arctan2(sine, (first * second).sum(-1)))


def _where(defined: Array | NDArray[np.bool_], radians: Array) -> Array:
    return np.where(defined, np.rad2deg(radians), np.nan)


def turn(axis: int, angle: Array) -> Array:
    """Returns ``(..., 3, 3)`` rotations about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((*angle.shape, 3, 3))
    out[..., axis, axis] = 1
    out[..., i, i] = out[..., j, j] = np.cos(angle)
    out[..., j, i] = np.sin(angle)
    out[..., i, j] = -np.sin(angle)
    return out


def _rotation(before: Array, hinge: Array, bent: Array) -> Array:
    """Returns the rotation about a bone: of its hinge, after the turns that point the bone."""
    axis = inside(before, hinge)
    return _where(bent > BENT_DEG, np.arctan2(axis[..., 0], axis[..., 2]))


def _hip(thigh: Array, shank: Array) -> dict[str, Array]:
    bent = _bend(thigh, shank)
    flexion, adduction, rotation = ball_angles(thigh, np.cross(shank, thigh), bent)
    return {"hip_flexion": flexion, "hip_abduction": -adduction, "hip_rotation": rotation}


def _shoulder(upper: Array, fore: Array) -> dict[str, Array]:
    elevation = np.arccos(np.clip(-upper[..., 1], -1, 1))
    plane = np.arctan2(upper[..., 0], upper[..., 2])
    before = turn(1, plane) @ turn(0, -elevation)
    defined = np.sin(elevation) > _LEAST
    turned = _rotation(before, np.cross(upper, fore), _bend(upper, fore))
    return {
        "shoulder_elevation": np.rad2deg(elevation),
        "shoulder_plane": _where(defined, plane),
        "shoulder_rotation": np.where(defined, turned, np.nan),
    }


def _trunk(at: dict[str, Array], pelvis: Array, chest: Array) -> dict[str, Array]:
    trunk = _unit(at["thorax"] - at["pelvis"])
    across = pelvis[..., 2] * [1.0, 0.0, 1.0]  # the line of the hips on the floor
    level = np.linalg.norm(across, axis=-1) > _LEAST
    right = _unit(across)
    forward = np.cross([0.0, 1.0, 0.0], right)
    lean = {
        "trunk_lean_forward": np.arctan2((trunk * forward).sum(-1), trunk[..., 1]),
        "trunk_lean_side": np.arctan2((trunk * right).sum(-1), trunk[..., 1]),
    }
    between = np.swapaxes(pelvis, -1, -2) @ chest  # Z X Y
    side = np.arcsin(np.clip(between[..., 2, 1], -1, 1))
    defined = np.cos(side) > _LEAST
    head = inside(chest, at["head_top"] - at["thorax"])
    return {
        "trunk_lean": np.rad2deg(np.arccos(np.clip(trunk[..., 1], -1, 1))),
        **{name: _where(level, angle) for name, angle in lean.items()},
        "trunk_flexion": _where(defined, -np.arctan2(-between[..., 0, 1], between[..., 1, 1])),
        "trunk_side_bend": np.rad2deg(side),
        "trunk_rotation": _where(defined, np.arctan2(-between[..., 2, 0], between[..., 2, 2])),
        "pelvis_side_tilt": np.rad2deg(np.arcsin(np.clip(pelvis[..., 1, 2], -1, 1))),
        "neck_flexion": np.rad2deg(np.arctan2(head[..., 0], head[..., 1])),
        "neck_side_bend": np.rad2deg(np.arcsin(np.clip(head[..., 2], -1, 1))),
    }


def write_angles(pose: PoseSequence, path: Path) -> None:
    """Writes ``angles.csv``: a row for each pose, degrees, then degrees per second; empty: undefined."""
    angles = compute_angles(pose)
    speeds = {name: velocities(values, pose) for name, values in angles.items()}
    rows = rows_in_time(pose)
    frame = pose.frame[rows]
    first = [frame, pose.time_s[frame], pose.person_id[rows], pose.valid[rows]]
    columns = [values[rows] for values in (*angles.values(), *speeds.values())]
    table = np.stack([*first, *columns], -1).astype(np.float64)
    pieces = ["", *[","] * (table.shape[1] - 1), "\n"]
    decimals = [0, 6, 0, BOOLEAN, *[2] * len(angles), *[1] * len(speeds)]
    text = fill_template(table, decimals, pieces, missing="")
    names = [f"{name}_deg" for name in angles] + [f"{name}_deg_per_s" for name in angles]
    head = f"frame,time_s,person,valid,{','.join(names)}\n"
    with path.open("wb") as file:
        file.writelines([head.encode(), text])
