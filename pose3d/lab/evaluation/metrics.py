"""Errors of 3D poses ``(frame, ..., joint, axis)`` against truth, in the unit of the input.

A joint takes part where prediction and truth are finite; a mean is over what takes part, NaN of none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose3d.body.geometry import procrustes_align

Array = NDArray[np.floating]

PCK_THRESHOLD_M = 0.15
AUC_THRESHOLDS_M = np.arange(31) * 0.005  # as MPI-INF-3DHP (Mehta et al., 3DV 2017)


def taking_part(pred: ArrayLike, target: ArrayLike) -> NDArray[np.bool_]:
    """Returns ``(..., joint)`` True where both points are finite."""
    p, t = np.asarray(pred), np.asarray(target)
    if p.shape != t.shape:
        raise ValueError(f"prediction has shape {p.shape}, truth {t.shape}")
    return np.asarray(np.isfinite(p).all(-1) & np.isfinite(t).all(-1))


def joint_errors(pred: ArrayLike, target: ArrayLike) -> Array:
    """Returns ``(..., joint)`` distances; NaN where a joint takes no part."""
    used = taking_part(pred, target)
    difference = np.asarray(pred, np.float64) - np.asarray(target, np.float64)
    return np.where(used, np.linalg.norm(difference, axis=-1), np.nan)


def mpjpe(pred: ArrayLike, target: ArrayLike) -> Array:
    """Mean distance per pose, as given: no centring, no alignment."""
    return mean_over_joints(joint_errors(pred, target))


def p_mpjpe(pred: ArrayLike, target: ArrayLike) -> Array:
    """Mean distance per pose after its best similarity (Procrustes); NaN below three joints."""
    return mpjpe(procrustes_align(pred, target), target)


def n_mpjpe(pred: ArrayLike, target: ArrayLike) -> Array:
    """Mean distance per pose, centred on the root, after the best scale of that pose alone.

    Reference: Rhodin et al., ECCV 2018 (protocol 3 of VideoPose3D).
    """
    used = taking_part(pred, target)[..., None]
    p = np.where(used, np.asarray(pred, np.float64), 0.0)
    t = np.where(used, np.asarray(target, np.float64), 0.0)
    size = (p * p).sum((-2, -1))
    scale = (p * t).sum((-2, -1)) / np.where(size > 0, size, np.nan)
    return mpjpe(np.asarray(pred, np.float64) * scale[..., None, None], target)


def velocity_errors(pred: ArrayLike, target: ArrayLike, time_s: ArrayLike) -> Array:
    """Returns ``(frame - 1, ..., joint)`` errors of the velocity, units per second.

    ``time_s`` is the time of each frame, or one number: frames per second.
    """
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    used = taking_part(p, t)
    error = np.linalg.norm(np.diff(p - t, axis=0) / _steps(time_s, p), axis=-1)
    return np.where(used[1:] & used[:-1], error, np.nan)


def acceleration_errors(pred: ArrayLike, target: ArrayLike, time_s: ArrayLike) -> Array:
    """Returns ``(frame - 2, ..., joint)`` errors of the acceleration, units per second squared."""
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    used = taking_part(p, t)
    step = _steps(time_s, p)
    velocity = np.diff(p - t, axis=0) / step
    middle = (step[1:] + step[:-1]) / 2 if step.ndim else step
    error = np.linalg.norm(np.diff(velocity, axis=0) / middle, axis=-1)
    return np.where(used[2:] & used[1:-1] & used[:-2], error, np.nan)


def pck(pred: ArrayLike, target: ArrayLike, threshold: float = PCK_THRESHOLD_M) -> float:
    """Share of joints with a truth that are nearer to it than a threshold, 0 to 1; NaN of none.

    A joint without a prediction counts as wrong: leaving hard frames out must not pay.
    """
    wanted = np.isfinite(np.asarray(target)).all(-1)
    hits = np.nan_to_num(joint_errors(pred, target), nan=np.inf) < threshold
    return float(hits[wanted].mean()) if wanted.any() else float("nan")


def auc(pred: ArrayLike, target: ArrayLike) -> float:
    """Mean of :func:`pck` over ``AUC_THRESHOLDS_M``: the area under its curve, 0 to 1."""
    return float(np.mean([pck(pred, target, limit) for limit in AUC_THRESHOLDS_M]))


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
    """Means over the last axis of what is finite; NaN (and no warning) of nothing."""
    used = np.isfinite(errors)
    count = used.sum(-1)
    total = np.where(used, errors, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
