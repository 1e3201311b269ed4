"""Rotations, rigid alignment, bone lengths, overlap of boxes: pure functions of arrays.

The first axes of every array are free (``...``); NaN in gives NaN out unless said otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose3d.body.skeletons import Skeleton

Array = NDArray[np.floating]


def _as_float(values: ArrayLike) -> Array:
    """Keeps float32 as it is."""
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


# -- directions and rotations -----------------------------------------------------------------


def unit_vectors(vectors: ArrayLike) -> Array:
    """Returns ``(..., axis)`` vectors of length one; NaN where the length is zero."""
    v = _as_float(vectors)
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return v / np.where(length > 0, length, np.nan)


def angles_deg(first: ArrayLike, corner: ArrayLike, last: ArrayLike) -> Array:
    """Returns ``(...)`` the angles at ``corner`` between the ways to two ``(..., 3)`` points."""
    a, b = (_as_float(end) - _as_float(corner) for end in (first, last))
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    angle = np.degrees(np.arctan2(sine, (a * b).sum(-1)))  # exact near 0 and 180, unlike arccos
    return np.asarray(np.where((a != 0).any(-1) & (b != 0).any(-1), angle, np.nan))


def rotate_by_quaternion(quaternion: ArrayLike, vectors: ArrayLike) -> Array:
    """Rotates ``(..., 3)`` vectors by ``(..., 4)`` unit quaternions w, x, y, z."""
    q, v = _as_float(quaternion), _as_float(vectors)
    w, axis = q[..., :1], q[..., 1:]
    twice = 2 * np.cross(axis, v)
    return v + w * twice + np.cross(axis, twice)


def rotation_from_vector(vector_rad: ArrayLike) -> Array:
    """Returns ``(..., 3, 3)`` rotations about ``(..., 3)`` axes by their length in radians."""
    v = _as_float(vector_rad)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]  # the matrix of the cross product
    skew = np.stack([np.stack(row, -1) for row in rows], -2)
    # sinc keeps both factors finite at angle zero: sin(t)/t and (1 - cos t)/t^2.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * skew + second * skew @ skew


# -- alignment --------------------------------------------------------------------------------


def procrustes_align(points: ArrayLike, target: ArrayLike) -> Array:
    """Returns all ``(..., point, 3)`` points moved, turned and scaled onto a target.

    Least squares over the pairs without NaN, never mirrored; NaN for fewer than three pairs.
    Reference: Umeyama, PAMI 1991, equations 38 to 43.
    """
    p, t = np.asarray(points, np.float64), np.asarray(target, np.float64)
    if p.shape != t.shape or p.shape[-1] != 3:
        raise ValueError(f"points {p.shape} and target {t.shape} must both be (..., point, 3)")
    used = np.isfinite(p).all(-1) & np.isfinite(t).all(-1)
    weight = np.asarray(used, np.float64)[..., None]
    count = weight.sum(-2, keepdims=True)
    enough = count >= 3
    count = np.where(enough, count, 1.0)
    p_used, t_used = np.where(weight > 0, p, 0.0), np.where(weight > 0, t, 0.0)
    p_mean, t_mean = p_used.sum(-2, keepdims=True) / count, t_used.sum(-2, keepdims=True) / count
    p_centred, t_centred = (p_used - p_mean) * weight, (t_used - t_mean) * weight

    u, s, vt = np.linalg.svd(np.swapaxes(t_centred, -1, -2) @ p_centred)
    # A reflection would fit better where the determinant is negative: flip the weakest direction.
    sign = np.ones_like(s)
    sign[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    spread = (p_centred**2).sum((-1, -2))
    factor = (s * sign).sum(-1) / np.where(spread > 0, spread, np.nan)
    moved = factor[..., None, None] * ((p - p_mean) @ np.swapaxes(rotation, -1, -2)) + t_mean
    return np.where(enough, moved, np.nan)


# -- bodies and boxes -------------------------------------------------------------------------


def bone_lengths(joints: ArrayLike, skeleton: Skeleton) -> Array:
    """Returns ``(..., joint)`` distances of ``(..., joint, axis)`` from parents; NaN for roots."""
    array = _as_float(joints)
    parents = np.array(skeleton.parents)
    lengths = np.linalg.norm(array - array[..., np.maximum(parents, 0), :], axis=-1)
    return np.where(parents >= 0, lengths, np.nan)


def compute_iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> Array:
    """Returns the IoU ``(..., n, m)`` of ``(..., n, 4)`` with ``(..., m, 4)`` boxes.

    Boxes are left, top, right, bottom. 0 where a box is NaN or both have no area.
    """
    a, b = _as_float(boxes_a)[..., :, None, :], _as_float(boxes_b)[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - common
    return np.nan_to_num(common / np.maximum(union, 1e-9))


# Focal length assumed, in units of the picture's longer side: phones 0.66 to 0.75, their ultrawide
# lenses 0.45, camcorders 1.2 up. pose3d's own weights are trained with it.
ASSUMED_FOCAL = 0.8


def assumed_focal_px(size_wh: tuple[int, int]) -> float:
    """Returns the focal length in pixels that is assumed for an unknown camera."""
    return ASSUMED_FOCAL * float(max(size_wh))
