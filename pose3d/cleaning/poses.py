"""The stages that clean 2D tracks before lifting and 3D motion after it: records in and out."""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import bone_lengths
from pose3d.body.skeletons import Skeleton
from pose3d.cleaning.gaps import bounds_of, fill_gaps, median_where_seen, seen_points
from pose3d.cleaning.smoothing import OneEuro, whittaker
from pose3d.cleaning.swaps import exchange_sides, find_swaps
from pose3d.errors import UsageError
from pose3d.result.record import PoseSequence, StageRecord

Array = NDArray[np.floating]

# Cut-offs at strength 0.5; 2D is smoothed less, because what is lost before lifting is lost.
KEYPOINT_CUTOFF_HZ = 8.0
JOINT_CUTOFF_HZ = 6.0
LIVE_CUTOFF_HZ, LIVE_BETA = 3.0, 6.0  # of joints in metres at strength 0.5
CUTOFF_RANGE = 3.0  # strength 0 and 1 multiply and divide the cut-off by this
SPIKE_FLOOR = 0.003  # share of the person's size; steadier keypoints have no outliers
INTERPOLATED_SCORE = 0.5  # share of the neighbours' score that interpolated keypoints get
JOINT_GAP_S = 0.25  # seconds; 3D motion is not smoothed across a longer gap
INTERPOLATED_WEIGHT = 0.3  # in 3D, of frames in which the person was not seen


def clean_keypoints(
    pose: PoseSequence, *, max_gap: float = 1.0, smooth: bool = True, strength: float = 0.5
) -> PoseSequence:
    """Repairs left/right exchanges, smooths, and fills short gaps of the 2D keypoints and boxes.

    Gaps of up to ``max_gap`` seconds between the seen frames on either side are interpolated, with
    ``valid`` False and half of the neighbours' score. ``strength`` is 0 (hardly) to 1 (very).
    """
    if pose.keypoints_px is None:
        raise UsageError("The record has no 2D keypoints to clean", "Estimate keypoints first")
    if not max_gap >= 0:
        raise UsageError(f"max_gap is {max_gap}", "Give seconds from 0")
    cutoff_hz = cutoff_for_strength(KEYPOINT_CUTOFF_HZ, strength)

    points: Array = np.array(pose.keypoints_px, np.float64)
    score: Array = (
        np.ones(points.shape[:2]) if pose.score is None else np.array(pose.score, np.float64)
    )
    boxes: Array = np.array(pose.boxes_xyxy_px, np.float64)
    seen = seen_points(points)
    exchanged = 0
    for span in pose.spans:
        rows, time_s = span.rows, pose.time_s[span.frames]
        size = _person_sizes(boxes[rows], points[rows])
        swapped = find_swaps(points[rows], time_s, size, pose.skeleton)
        exchanged += int(swapped.sum())
        points[rows] = exchange_sides(points[rows], swapped, pose.skeleton)
        score[rows] = exchange_sides(score[rows], swapped, pose.skeleton)
        if smooth:
            points[rows] = _smooth_person(
                points[rows], score[rows], time_s, size, cutoff_hz, max_gap
            )
        points[rows] = fill_gaps(points[rows], time_s, max_gap_s=max_gap)
        boxes[rows] = fill_gaps(boxes[rows], time_s, max_gap_s=max_gap)
        filled = seen_points(points[rows]) & ~seen[rows]
        known = np.where(filled, np.nan, score[rows])[..., None]
        between = fill_gaps(known, time_s, max_gap_s=max_gap, linear=True)[..., 0]
        score[rows] = np.where(filled, INTERPOLATED_SCORE * between, score[rows])
    filled = seen_points(points) & ~seen
    record = StageRecord(
        stage="clean",
        name="keypoints",
        options={
            "max_gap": max_gap,
            "smooth": smooth,
            "strength": strength,
            "cutoff_hz": cutoff_hz if smooth else None,
            "exchanged_keypoints": exchanged,
            "filled_keypoints": int(filled.sum()),
        },
    )
    return pose.with_stage(
        record,
        keypoints_px=points.astype(pose.keypoints_px.dtype),
        score=score.astype(np.float32 if pose.score is None else pose.score.dtype),
        boxes_xyxy_px=boxes.astype(pose.boxes_xyxy_px.dtype),
        valid=pose.valid & seen.any(-1),
    )


def smooth_joints(pose: PoseSequence, *, strength: float = 0.5) -> PoseSequence:
    """Smooths the 3D joints and hypotheses over time, without lag; ``strength`` as for keypoints.

    NaN stays NaN, and motion on the two sides of a gap over 0.25 s stays apart.
    """
    joints, hypotheses = _joints(pose), pose.hypotheses_cam_m
    cutoff_hz = cutoff_for_strength(JOINT_CUTOFF_HZ, strength)
    weights = np.where(pose.valid, 1.0, INTERPOLATED_WEIGHT)

    def smoothed(poses: Array) -> Array:
        out = np.empty_like(poses)
        each = weights.reshape(-1, *[1] * (poses.ndim - 2))
        for span in pose.spans:
            out[span.rows] = whittaker(
                poses[span.rows],
                pose.time_s[span.frames],
                cutoff_hz=cutoff_hz,
                weights=np.broadcast_to(each[span.rows], poses[span.rows].shape[:-1]),
                order=3,  # keeps the tops of fast swings better than 2 at equal noise
                robust_sigmas=4.0,
                robust_floor=0.01,
                max_gap_s=JOINT_GAP_S,
            )
        return out

    options = {"strength": strength, "cutoff_hz": cutoff_hz}
    return pose.with_stage(
        StageRecord(stage="smooth", name="whittaker", options=options),
        joints_cam_m=smoothed(joints),
        hypotheses_cam_m=None if hypotheses is None else smoothed(hypotheses),
    )


def hold_bones_constant(pose: PoseSequence) -> PoseSequence:
    """Gives each person one length per bone, equal on both sides; directions are kept.

    Lengths are medians over seen frames (all frames if there is none); hypotheses get them too.
    """
    joints, hypotheses = _joints(pose), pose.hypotheses_cam_m
    out, others = joints.copy(), None if hypotheses is None else hypotheses.copy()
    for span in pose.spans:
        own = joints[span.rows]
        lengths = typical_bone_lengths(own, pose.valid[span.rows], pose.skeleton)
        out[span.rows] = _set_lengths(own, lengths, pose.skeleton)
        if others is not None:  # other poses of the same body
            others[span.rows] = _set_lengths(others[span.rows], lengths, pose.skeleton)
    record = StageRecord(stage="smooth", name="constant-bones")
    return pose.with_stage(record, joints_cam_m=out, hypotheses_cam_m=others)


def live_filter(strength: float) -> OneEuro:
    """Returns the filter of one person's 3D joints (metres) in a stream."""
    return OneEuro(
        min_cutoff_hz=cutoff_for_strength(LIVE_CUTOFF_HZ, strength),
        beta=cutoff_for_strength(LIVE_BETA, strength),
    )


def cutoff_for_strength(middle_hz: float, strength: float) -> float:
    """Returns ``middle_hz`` at 0.5, three times that at 0, a third at 1."""
    if not 0 <= strength <= 1:
        raise UsageError(f"Smoothing strength is {strength}", "Give 0 to 1")
    return float(middle_hz * CUTOFF_RANGE ** (1 - 2 * strength))


def typical_bone_lengths(
    joints: Array, valid: NDArray[np.bool_], skeleton: Skeleton
) -> NDArray[np.float64]:
    """Returns ``(joint,)`` bone lengths of ``(frame, joint, 3)``, equal on both sides; NaN: roots."""
    each = bone_lengths(joints, skeleton)
    both_sides = np.concatenate([each, each[:, list(skeleton.mirror)]])
    used = np.tile(valid, 2)
    return np.array([median_where_seen(lengths, used) for lengths in both_sides.T])


def _joints(pose: PoseSequence) -> Array:
    if pose.joints_cam_m is None:
        raise UsageError("The record has no 3D joints", "Lift its keypoints first")
    return pose.joints_cam_m


def _set_lengths(joints: Array, lengths: Array, skeleton: Skeleton) -> Array:
    """Returns ``(frame, ..., joint, 3)`` with bones of ``lengths`` ``(joint,)``."""
    out = np.array(joints, np.float64)
    above = {child: (parent,) for child, parent in enumerate(skeleton.parents) if parent >= 0}
    for child in TopologicalSorter(above).static_order():  # from the root outwards
        if child not in above:
            continue
        parent = skeleton.parents[child]
        bone = joints[..., child, :].astype(np.float64) - joints[..., parent, :]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        # A bone of length zero has no direction; the child then lies on its parent, as it did.
        direction = bone / np.where(length > 0, length, 1.0)
        out[..., child, :] = out[..., parent, :] + direction * lengths[child]
    return out.astype(joints.dtype)


def _person_sizes(boxes: Array, points: Array) -> Array:
    """Returns ``(frame,)`` a steady size in pixels (box or keypoints, running median), or NaN."""
    diagonal = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=-1)
    low, high = bounds_of(points)
    span = np.linalg.norm(high - low, axis=-1)
    diagonal = np.where(np.isfinite(diagonal) & (diagonal > 0), diagonal, span)
    frames = np.flatnonzero(np.isfinite(diagonal) & (diagonal > 0))
    if not len(frames):
        return np.full(len(points), np.nan)
    return np.interp(np.arange(len(points)), frames, _running_median(diagonal[frames], 31))


def _running_median(values: Array, size: int) -> Array:
    """Returns the median over ``size`` neighbours (fewer values: over all of them)."""
    if len(values) <= size:
        return np.broadcast_to(np.median(values), values.shape)
    middle = np.median(np.lib.stride_tricks.sliding_window_view(values, size), -1)
    before = size // 2
    return np.pad(middle, (before, len(values) - len(middle) - before), mode="edge")


def _smooth_person(
    points: Array, score: Array, time_s: Array, size: Array, cutoff_hz: float, max_gap: float
) -> Array:
    typical = float(np.nanmedian(size)) if np.isfinite(size).any() else 1.0
    # The mean squared error of a detector falls about as the square of its score rises (measured
    # on rendered tracks); it never reaches zero.
    weights = 0.03 + 0.97 * np.clip(np.nan_to_num(score), 0, 1) ** 2
    return whittaker(
        points,
        time_s,
        cutoff_hz=cutoff_hz,
        weights=weights,
        robust_sigmas=3.0,
        robust_floor=SPIKE_FLOOR * typical,
        max_gap_s=max_gap,
    )
