"""One person's motion against the truth and against another estimate, on the same frames.

Only the twelve limb joints, which mean the same in every skeleton, from the middle of the hips.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import angles_deg, procrustes_align
from pose3d.body.skeletons import LIMBS, Skeleton
from pose3d.lab.evaluation.metrics import (
    acceleration_errors,
    joint_errors,
    mean_over_joints,
    p_mpjpe,
    taking_part,
    velocity_errors,
)
from pose3d.result.record import DensePoses, PoseSequence

Array = NDArray[np.floating]

_HIPS = [LIMBS.index("left_hip"), LIMBS.index("right_hip")]
_OTHER_SIDE = [LIMBS.index(n) ^ 1 for n in LIMBS]  # left and right take turns in LIMBS
_BENDS = {"elbow": ("shoulder", "wrist"), "shoulder": ("hip", "elbow")}
_BENDS |= {"hip": ("shoulder", "knee"), "knee": ("hip", "ankle")}
# joints whose angle is compared: between the ways to the two joints that _BENDS names
ANGLES = tuple(f"{side}_{kind}" for kind in _BENDS for side in ("left", "right"))
_CORNERS = [
    [LIMBS.index(f"{side}_{name}") for name in (a, kind, b)]
    for kind, (a, b) in _BENDS.items()
    for side in ("left", "right")
]
LEAST_KNOWN = 8  # limb joints that a frame needs to count: the alignment explains fewer by itself

# marks of frames; their means are shares
FLIPS = ("depth_reversed", "sides_exchanged", "body_flipped")

_EXCHANGED = 0.6  # of the error, below which another way round is nearer
_FLIPPED_LESS_M = 0.03  # symmetric poses do not count as flipped


def dense_of_one(pose: PoseSequence) -> DensePoses:
    """Returns the arrays of a record of one person, NaN where nobody was ever seen."""
    return pose.dense(pose.person_ids.tolist() or [1])


def limb_columns(skeleton: Skeleton) -> list[int]:
    """Returns where the joints of ``LIMBS`` are in a skeleton."""
    return [skeleton.index[name] for name in LIMBS]


def limb_joints(joints: Array, skeleton: Skeleton) -> Array:
    """Returns ``(frame, 12, 3)`` joints in the order of ``LIMBS``, from the middle of the hips."""
    limbs = np.asarray(joints, np.float64)[:, limb_columns(skeleton)]
    return limbs - limbs[:, _HIPS].mean(1, keepdims=True)


def joint_angles(limbs: Array) -> Array:
    """Returns ``(frame, 8)`` degrees (180: straight; NaN: not known) of ``ANGLES`` of limbs."""
    return angles_deg(*(limbs[:, list(column)] for column in zip(*_CORNERS, strict=True)))


def compare_motion(
    ours: Array,
    truth: Array,
    time_s: Array,
    used: NDArray[np.bool_],
    rooted: NDArray[np.bool_] | None = None,
) -> dict[str, Array]:
    """Returns the errors of every frame, NaN where it does not count.

    Args:
        ours: ``(frame, 12, 3)`` metres, see :func:`limb_joints`; NaN where there is none.
        truth: the same; single joints may be NaN.
        time_s: ``(frame,)``.
        used: ``(frame,)`` frames that count, if ``LEAST_KNOWN`` joints are known.
        rooted: ``(frame,)`` where the truth hangs at the middle of its hips (None: everywhere); other
            frames have a Procrustes error alone.

    Returns:
        - ``procrustes_mm``, ``joint_mm`` ``(frame, 12)``: after the best similarity of each frame.
        - ``angle_off_deg`` (ours less the true), ``true_angle_deg``: ``(frame, 8)``.
        - ``root_mm``: in camera axes, hips on hips, one scale for the clip. ``clip_mm``,
          ``velocity_mm_s``, ``acceleration_mm_s2``: one similarity for the clip, for one a frame would
          add jitter or take some away.
        - ``depth_reversed``, ``sides_exchanged``: 1 where the pose with near and far (left and right)
          exchanged is nearer to the truth (in 0.6 of the error) after the rotation of the frame.
        - ``body_flipped``: see :func:`_flipped`.
    """
    known = np.isfinite(truth).all(-1)
    some = used & np.isfinite(ours).all((1, 2)) & (known.sum(1) >= LEAST_KNOWN)
    # All but the frames that count becomes NaN, which the metrics leave out.
    a = np.where(some[:, None, None], ours, np.nan)
    procrustes = p_mpjpe(a, truth)
    each = joint_errors(procrustes_align(a, truth), truth)
    reversed_depth = p_mpjpe(a * [1.0, 1.0, -1.0], truth) < procrustes
    exchanged = p_mpjpe(a[:, _OTHER_SIDE], truth) < _EXCHANGED * procrustes
    angles = np.where(some[:, None], joint_angles(truth), np.nan)
    hanging = np.asarray(some if rooted is None else some & rooted)
    return {
        "procrustes_mm": procrustes * 1000,
        "joint_mm": each * 1000,
        "angle_off_deg": joint_angles(a) - angles,
        "true_angle_deg": angles,
        **_rooted_errors(a, truth, time_s, known & hanging[:, None]),
        "depth_reversed": np.where(some, reversed_depth, np.nan),
        "sides_exchanged": np.where(some, exchanged, np.nan),
        "body_flipped": np.where(hanging, _flipped(a, truth), np.nan),
    }


def _flipped(ours: Array, truth: Array) -> NDArray[np.bool_]:
    """Tells where the whole body is flipped: left for right, near for far, or turned round.

    No rotation is fitted, for it would undo a flip: each pose has the size of its truth, and a frame is
    flipped where the flipped pose is nearer, in 0.6 of the error and by 30 mm.
    """
    known = taking_part(ours, truth)
    size = [np.where(known[..., None], x**2, 0.0).sum((1, 2)) for x in (ours, truth)]
    with np.errstate(invalid="ignore", divide="ignore"):  # frames without a pose
        a = ours * np.sqrt(size[1] / size[0])[:, None, None]
    poses = (a, a[:, _OTHER_SIDE], a * [1.0, 1.0, -1.0], a * [-1.0, 1.0, -1.0])
    error, *flipped = (mean_over_joints(joint_errors(pose, truth)) for pose in poses)
    nearest = np.min(flipped, axis=0)
    out: NDArray[np.bool_] = (nearest < _EXCHANGED * error) & (nearest < error - _FLIPPED_LESS_M)
    return out


def _rooted_errors(
    ours: Array, truth: Array, time_s: Array, known: NDArray[np.bool_]
) -> dict[str, Array]:
    a, t = np.where(known[..., None], ours, np.nan), np.where(known[..., None], truth, np.nan)
    velocity, acceleration = np.full((2, len(a)), np.nan)
    if not known.any():
        nothing = np.full(len(a), np.nan)
        return dict.fromkeys(("root_mm", "clip_mm", "velocity_mm_s", "acceleration_mm_s2"), nothing)
    scale = np.nansum(a * t) / np.nansum(a * a)
    flat = procrustes_align(a.reshape(-1, 3), t.reshape(-1, 3)).reshape(a.shape)
    if len(a) > 1:
        velocity[1:] = mean_over_joints(velocity_errors(flat, t, time_s))
    if len(a) > 2:
        acceleration[1:-1] = mean_over_joints(acceleration_errors(flat, t, time_s))
    return {
        "root_mm": mean_over_joints(joint_errors(a * scale, t)) * 1000,
        "clip_mm": mean_over_joints(joint_errors(flat, t)) * 1000,
        "velocity_mm_s": velocity * 1000,
        "acceleration_mm_s2": acceleration * 1000,
    }


def join_clips(clips: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Returns the arrays of clips one after another."""
    return {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}


def summarise(ours: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Any]:
    """Returns the means over the frames that both estimates have, and their ratios.

    ``frames``; ``covered`` (share of the other's frames); ``procrustes_mm``, ``root_mm``,
    ``acceleration_mm_s2``, ``FLIPS``, ``median_mm`` and ``p90_mm`` (Procrustes), of the other with
    ``world_`` in front; ``procrustes_ratio`` and ``acceleration_ratio`` (ours over the other);
    ``joint_mm`` and ``angle_deg`` (mean size of the error) by name.
    """
    present, seen = (np.isfinite(errors["procrustes_mm"]) for errors in (ours, other))
    both = present & seen
    out: dict[str, Any] = {"frames": int(both.sum()), "covered": mean_or_nan(present[seen])}
    for prefix, errors in (("", ours), ("world_", other)):
        for name in ("procrustes_mm", "root_mm", "acceleration_mm_s2"):
            used = np.isfinite(ours[name]) & np.isfinite(other[name])
            out[prefix + name] = mean_or_nan(errors[name][used])
        out |= {prefix + name: mean_or_nan(errors[name][both]) for name in FLIPS}
        out[f"{prefix}median_mm"] = percentile_or_nan(errors["procrustes_mm"][both], 50)
        out[f"{prefix}p90_mm"] = percentile_or_nan(errors["procrustes_mm"][both], 90)
    add_ratios(out)
    for key, names, values in (
        ("joint_mm", LIMBS, ours["joint_mm"]),
        ("angle_deg", ANGLES, np.abs(ours["angle_off_deg"])),
    ):
        columns = zip(names, values[both].T, strict=True)
        out[key] = {name: mean_or_nan(column[np.isfinite(column)]) for name, column in columns}
    return out


def add_ratios(row: dict[str, Any]) -> None:
    """Adds ``procrustes_ratio`` and ``acceleration_ratio``, ours over the other estimate's."""
    for name, key in (("procrustes", "procrustes_mm"), ("acceleration", "acceleration_mm_s2")):
        row[f"{name}_ratio"] = row[key] / row[f"world_{key}"] if row[f"world_{key}"] else math.nan


def mean_or_nan(values: Iterable[float] | Array) -> float:
    """Returns the mean; NaN, and no warning, of nothing."""
    array = np.asarray(list(values), np.float64)
    return float(array.mean()) if len(array) else math.nan


def percentile_or_nan(values: Array, percent: float) -> float:
    """Returns a percentile (50: the median), NaN of nothing."""
    return float(np.percentile(values, percent)) if len(values) else math.nan
