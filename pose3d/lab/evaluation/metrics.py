"""Errors of 3D and 2D poses against truth: pure functions of arrays.

Every function follows one rule for missing values. A joint takes part where the prediction and the
truth are finite and ``mask`` (when given) is True; a mean is taken over what takes part, and is NaN
where nothing does. The share that took part is never hidden: :func:`coverage` returns it, and a
figure over NaN predictions should be quoted with it.

Distances come back in the unit of the input (metres inside pose3d). Sequences have the frame axis
first: ``(frame, ..., joint, axis)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose3d.body.geometry import procrustes_align

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

PCK_THRESHOLD_M = 0.15
AUC_THRESHOLDS_M = np.arange(31) * 0.005
"""0 to 150 mm in steps of 5 mm, as MPI-INF-3DHP (Mehta et al., 3DV 2017)."""


def taking_part(pred: ArrayLike, target: ArrayLike, mask: Mask | None = None) -> Mask:
    """Returns ``(..., joint)`` True where both points are finite and the mask allows it.

    Raises:
        ValueError: the shapes differ.
    """
    p, t = np.asarray(pred), np.asarray(target)
    if p.shape != t.shape:
        raise ValueError(f"prediction has shape {p.shape}, truth {t.shape}")
    used = np.isfinite(p).all(-1) & np.isfinite(t).all(-1)
    return used if mask is None else used & mask


def coverage(pred: ArrayLike, target: ArrayLike, mask: Mask | None = None) -> float:
    """Returns the share of the joints with a truth (inside the mask) that were predicted."""
    wanted = np.isfinite(np.asarray(target)).all(-1)
    wanted = wanted if mask is None else wanted & mask
    got = taking_part(pred, target, mask)
    return float(got.sum() / wanted.sum()) if wanted.any() else float("nan")


def joint_errors(pred: ArrayLike, target: ArrayLike, mask: Mask | None = None) -> Array:
    """Returns the distance of every joint from its truth.

    Args:
        pred: ``(..., joint, axis)``.
        target: ``(..., joint, axis)``.
        mask: ``(..., joint)`` True where a joint counts.

    Returns:
        ``(..., joint)``; NaN where the joint takes no part.
    """
    used = taking_part(pred, target, mask)
    difference = np.asarray(pred, np.float64) - np.asarray(target, np.float64)
    return np.where(used, np.linalg.norm(difference, axis=-1), np.nan)


def mpjpe(pred: ArrayLike, target: ArrayLike, mask: Mask | None = None) -> Array:
    """Mean distance per pose, as given: no centring, no alignment.

    Args:
        pred: ``(..., joint, axis)``.
        target: ``(..., joint, axis)``.
        mask: ``(..., joint)``.

    Returns:
        ``(...)`` one number a pose.
    """
    return mean_over_joints(joint_errors(pred, target, mask))


def root_aligned_mpjpe(
    pred: ArrayLike, target: ArrayLike, mask: Mask | None = None, *, root: int = 0
) -> Array:
    """As :func:`mpjpe` with both poses moved so that joint ``root`` lies at the origin."""
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    return mpjpe(p - p[..., root : root + 1, :], t - t[..., root : root + 1, :], mask)


def p_mpjpe(
    pred: ArrayLike, target: ArrayLike, mask: Mask | None = None, *, scale: bool = True
) -> Array:
    """Mean distance per pose after the best similarity of that pose alone (Procrustes).

    Args:
        pred: ``(..., joint, 3)``.
        target: ``(..., joint, 3)``.
        mask: ``(..., joint)``; joints outside it are used neither for the fit nor for the mean.
        scale: fit the size as well (the usual protocol); False: rotation and shift only.

    Returns:
        ``(...)``; NaN for poses with fewer than three joints.
    """
    used = taking_part(pred, target, mask)
    aligned = procrustes_align(pred, target, mask=used, scale=scale)
    return mpjpe(aligned, target, used)


def n_mpjpe(pred: ArrayLike, target: ArrayLike, mask: Mask | None = None) -> Array:
    """Mean distance per pose after the best scale of that pose alone (no rotation, no shift).

    Args:
        pred: ``(..., joint, axis)``, centred on the root.
        target: the same.
        mask: ``(..., joint)``; joints outside it are used neither for the fit nor for the mean.

    Returns:
        ``(...)``; NaN for poses that are a point.

    Reference: Rhodin et al., "Unsupervised geometry-aware representation for 3D human pose
    estimation", ECCV 2018 (protocol 3 of VideoPose3D).
    """
    used = taking_part(pred, target, mask)[..., None]
    p = np.where(used, np.asarray(pred, np.float64), 0.0)
    t = np.where(used, np.asarray(target, np.float64), 0.0)
    size = (p * p).sum((-2, -1))
    scale = (p * t).sum((-2, -1)) / np.where(size > 0, size, np.nan)
    return mpjpe(np.asarray(pred, np.float64) * scale[..., None, None], target, used[..., 0])


def clip_aligned_errors(
    pred: ArrayLike, target: ArrayLike, mask: Mask | None = None, *, scale: bool = True
) -> Array:
    """Joint distances after ONE similarity for the whole clip.

    Unlike the per-frame alignment it does not forgive a body that sways, turns or changes its size
    from frame to frame.

    Args:
        pred: ``(frame, joint, 3)``.
        target: ``(frame, joint, 3)``.
        mask: ``(frame, joint)``.
        scale: fit the size as well.

    Returns:
        ``(frame, joint)``; NaN where a joint takes no part.
    """
    used = taking_part(pred, target, mask)
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    aligned = procrustes_align(
        p.reshape(-1, 3), t.reshape(-1, 3), mask=used.reshape(-1), scale=scale
    ).reshape(p.shape)
    return joint_errors(aligned, t, used)


def velocity_errors(
    pred: ArrayLike, target: ArrayLike, time_s: ArrayLike, mask: Mask | None = None
) -> Array:
    """Length of the error of the velocity between neighbouring frames.

    Args:
        pred: ``(frame, ..., joint, axis)``.
        target: ``(frame, ..., joint, axis)``.
        time_s: ``(frame,)`` time of each frame, seconds, or one number: frames per second.
        mask: ``(frame, ..., joint)``; both frames of a pair must be in it.

    Returns:
        ``(frame - 1, ..., joint)`` units per second.
    """
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    used = taking_part(p, t, mask)
    step = _steps(time_s, p)
    error = np.linalg.norm(np.diff(p - t, axis=0) / step, axis=-1)
    return np.where(used[1:] & used[:-1], error, np.nan)


def acceleration_errors(
    pred: ArrayLike, target: ArrayLike, time_s: ArrayLike, mask: Mask | None = None
) -> Array:
    """Length of the error of the acceleration over three neighbouring frames.

    Args:
        pred: ``(frame, ..., joint, axis)``.
        target: ``(frame, ..., joint, axis)``.
        time_s: ``(frame,)`` time of each frame, seconds, or one number: frames per second.
        mask: ``(frame, ..., joint)``; all three frames must be in it.

    Returns:
        ``(frame - 2, ..., joint)`` units per second squared; the second difference on the real
        time steps, exact for parabolas.
    """
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    used = taking_part(p, t, mask)
    step = _steps(time_s, p)
    velocity = np.diff(p - t, axis=0) / step
    middle = (step[1:] + step[:-1]) / 2 if step.ndim else step
    error = np.linalg.norm(np.diff(velocity, axis=0) / middle, axis=-1)
    return np.where(used[2:] & used[1:-1] & used[:-2], error, np.nan)


def pck(
    pred: ArrayLike,
    target: ArrayLike,
    threshold: ArrayLike = PCK_THRESHOLD_M,
    mask: Mask | None = None,
) -> float:
    """Share of joints nearer to the truth than a threshold.

    A joint with a truth but without a prediction counts as wrong: leaving hard frames out must not
    pay.

    Args:
        pred: ``(..., joint, axis)``.
        target: ``(..., joint, axis)``.
        threshold: distance in the unit of the points; broadcasts against ``(..., joint)``, so that
            it may differ per person (e.g. half the head length for PCKh).
        mask: ``(..., joint)``.

    Returns:
        0 to 1; NaN where no joint has a truth.
    """
    taking_part(pred, target)  # refuses different shapes
    wanted = np.isfinite(np.asarray(target)).all(-1)
    wanted = wanted if mask is None else wanted & mask
    errors = joint_errors(pred, target, mask)
    hits = np.nan_to_num(errors, nan=np.inf) < np.asarray(threshold)
    return float(hits[wanted].mean()) if wanted.any() else float("nan")


def auc(
    pred: ArrayLike,
    target: ArrayLike,
    mask: Mask | None = None,
    *,
    thresholds: ArrayLike = AUC_THRESHOLDS_M,
) -> float:
    """Mean of :func:`pck` over thresholds: the area under its curve, 0 to 1."""
    return float(np.mean([pck(pred, target, limit, mask) for limit in np.asarray(thresholds)]))


def _steps(time_s: ArrayLike, like: Array) -> Array:
    """Returns time steps that broadcast against differences of ``like`` over its first axis."""
    time = np.asarray(time_s, np.float64)
    if time.ndim == 0:
        return 1.0 / time
    if time.shape != like.shape[:1]:
        raise ValueError(f"time_s has shape {time.shape}, expected {like.shape[:1]}")
    step = np.diff(time)
    if not (step > 0).all():
        raise ValueError("time_s does not increase strictly")
    return step.reshape(-1, *[1] * (like.ndim - 1))


def mean_over_joints(errors: Array) -> Array:
    """Means over the last axis of what is finite; NaN (and no warning) where nothing is."""
    used = np.isfinite(errors)
    count = used.sum(-1)
    total = np.where(used, errors, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
