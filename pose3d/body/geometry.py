"""Pinhole projection, rotations, screen normalisation, rigid alignment: pure functions of arrays.

Axes are those of the camera unless said otherwise: x right, y down, z forward. The first axes of
every array are free (``...``); NaN in gives NaN out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose3d.body.skeletons import Skeleton

Array = NDArray[np.floating]

OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
"""The direction the camera looks in."""


def _as_float(values: ArrayLike) -> Array:
    """Returns ``values`` as a floating array, keeping float32 as it is."""
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


# -- camera -----------------------------------------------------------------------------------


def project_points(points_cam_m: ArrayLike, focal_px: float, centre_px: ArrayLike) -> Array:
    """Projects points through a pinhole with square pixels and no distortion.

    Args:
        points_cam_m: ``(..., 3)`` absolute position in camera axes, metres.
        focal_px: focal length, pixels.
        centre_px: ``(2,)`` principal point, pixels.

    Returns:
        ``(..., 2)`` pixels; NaN where the point is not in front of the camera.
    """
    points = _as_float(points_cam_m)
    depth = points[..., 2:]
    in_front = np.where(depth > 0, depth, np.nan)
    return points[..., :2] / in_front * focal_px + np.asarray(centre_px, points.dtype)


def unproject_points(
    points_px: ArrayLike, depth_m: ArrayLike, focal_px: float, centre_px: ArrayLike
) -> Array:
    """Returns the points that project to ``points_px`` at the given depths.

    Args:
        points_px: ``(..., 2)`` pixels.
        depth_m: ``(...)`` distance along the optical axis (z), metres.
        focal_px: focal length, pixels.
        centre_px: ``(2,)`` principal point, pixels.

    Returns:
        ``(..., 3)`` camera axes, metres.
    """
    points = _as_float(points_px)
    depth = np.broadcast_to(_as_float(depth_m), points.shape[:-1])[..., None]
    lateral = (points - np.asarray(centre_px, points.dtype)) / focal_px * depth
    return np.concatenate([lateral, depth], -1)


def viewing_rays(points_px: ArrayLike, focal_px: float, centre_px: ArrayLike) -> Array:
    """Returns ``(..., 3)`` unit vectors from the camera centre through the pixels."""
    points = _as_float(points_px)
    rays = unproject_points(points, np.ones(points.shape[:-1], points.dtype), focal_px, centre_px)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


# -- rotations --------------------------------------------------------------------------------


def unit_vectors(vectors: ArrayLike) -> Array:
    """Returns ``(..., axis)`` vectors of length one; NaN where the length is zero."""
    v = _as_float(vectors)
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return v / np.where(length > 0, length, np.nan)


def angles_deg(first: ArrayLike, corner: ArrayLike, last: ArrayLike) -> Array:
    """Returns the angles at ``corner`` between the ways to two other points.

    Args:
        first: ``(..., 3)`` any unit and axes.
        corner: the same.
        last: the same.

    Returns:
        ``(...)`` degrees, 180 where the three lie on a line with the corner between; NaN where one is
        missing or lies at the corner.
    """
    a, b = (_as_float(end) - _as_float(corner) for end in (first, last))
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    angle = np.degrees(np.arctan2(sine, (a * b).sum(-1)))  # exact near 0 and 180, unlike arccos
    return np.asarray(np.where((a != 0).any(-1) & (b != 0).any(-1), angle, np.nan))


def rotation_between(start: ArrayLike, end: ArrayLike) -> Array:
    """Returns the smallest rotation that turns one direction into another.

    Where the two are opposite, every half turn about a perpendicular axis is smallest; the axis
    perpendicular to ``start`` and to the coordinate axis most unlike it is taken.

    Args:
        start: ``(..., 3)`` directions of any length.
        end: ``(..., 3)`` directions of any length.

    Returns:
        ``(..., 3, 3)`` matrices with ``matrix @ start`` parallel to ``end``.
    """
    a, b = np.broadcast_arrays(unit_vectors(start), unit_vectors(end))
    cross = np.cross(a, b)
    # 1 + cos from the sum of the directions: exact also where they are almost opposite.
    one_plus_cos = ((a + b) ** 2).sum(-1)[..., None, None] / 2
    skew = _skew(cross)
    # Rodrigues with the unnormalised axis: sin^2 / (1 + cos) = 1 - cos, no division by sin.
    opposite = one_plus_cos < 1e-12
    turned = np.eye(3) + skew + skew @ skew / np.where(opposite, 1.0, one_plus_cos)
    least = np.eye(3)[np.argmin(np.abs(np.nan_to_num(a)), -1)]
    axis = unit_vectors(np.cross(a, least))
    half_turn = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3)
    return np.where(opposite, half_turn, turned).astype(a.dtype)


def look_at(ray: ArrayLike) -> Array:
    """Returns the rotation that turns a viewing ray onto the optical axis, without added roll.

    A person seen off centre is seen from the side; after this rotation of the 3D points the person
    looks the way a camera pointed straight at them would show it.

    Args:
        ray: ``(..., 3)`` direction from the camera centre, any length.

    Returns:
        ``(..., 3, 3)``; its transpose turns back.
    """
    return rotation_between(ray, OPTICAL_AXIS)


def rotate(matrix: ArrayLike, vectors: ArrayLike) -> Array:
    """Applies ``(..., 3, 3)`` matrices to ``(..., 3)`` vectors with broadcasting."""
    return np.einsum("...ij,...j->...i", np.asarray(matrix), np.asarray(vectors))


def rotate_by_quaternion(quaternion: ArrayLike, vectors: ArrayLike) -> Array:
    """Rotates vectors by unit quaternions.

    Args:
        quaternion: ``(..., 4)`` in the order w, x, y, z.
        vectors: ``(..., 3)``, broadcast against the quaternions.

    Returns:
        ``(..., 3)``.
    """
    q, v = _as_float(quaternion), _as_float(vectors)
    w, axis = q[..., :1], q[..., 1:]
    twice = 2 * np.cross(axis, v)
    return v + w * twice + np.cross(axis, twice)


def rotation_from_vector(vector_rad: ArrayLike) -> Array:
    """Returns ``(..., 3, 3)`` rotations about ``(..., 3)`` axes by their length in radians."""
    v = _as_float(vector_rad)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    skew = _skew(v)
    # sinc keeps both factors finite at angle zero: sin(t)/t and (1 - cos t)/t^2.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * skew + second * skew @ skew


def _skew(v: Array) -> Array:
    """Returns the ``(..., 3, 3)`` matrices of the cross product with ``(..., 3)``."""
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


# -- screen normalisation ---------------------------------------------------------------------


def normalise_screen(points_px: ArrayLike, size_wh: tuple[int, int]) -> Array:
    """Maps pixels so that x runs from -1 to 1 over the picture's width, keeping its proportions.

    The convention of the published Human3.6M lifting weights (VideoPose3D, Pavllo et al. 2019).

    Args:
        points_px: ``(..., 2)`` pixels.
        size_wh: width and height of the picture, pixels.

    Returns:
        ``(..., 2)``: ``x / w * 2 - 1`` and ``y / w * 2 - h / w``.
    """
    points = _as_float(points_px)
    width, height = size_wh
    return points / width * 2 - np.array([1.0, height / width], points.dtype)


def denormalise_screen(points_norm: ArrayLike, size_wh: tuple[int, int]) -> Array:
    """Undoes :func:`normalise_screen`."""
    points = _as_float(points_norm)
    width, height = size_wh
    return (points + np.array([1.0, height / width], points.dtype)) * width / 2


# -- alignment --------------------------------------------------------------------------------


def procrustes_align(
    points: ArrayLike,
    target: ArrayLike,
    *,
    mask: NDArray[np.bool_] | None = None,
    scale: bool = True,
) -> Array:
    """Moves, turns and (optionally) scales points onto a target, least squares, never mirrored.

    Args:
        points: ``(..., point, 3)``.
        target: ``(..., point, 3)``, same shape.
        mask: ``(..., point)`` True where a pair takes part in the fit. Pairs with a NaN never do.
        scale: fit the size as well.

    Returns:
        ``(..., point, 3)`` float64: all of ``points`` moved by the fitted transform, also those
        outside the mask; NaN for sets with fewer than three pairs, which fix no rotation.

    Reference:
        Umeyama, "Least-squares estimation of transformation parameters between two point
        patterns", PAMI 1991, equations 38 to 43.
    """
    p, t = np.asarray(points, np.float64), np.asarray(target, np.float64)
    if p.shape != t.shape or p.shape[-1] != 3:
        raise ValueError(f"points {p.shape} and target {t.shape} must both be (..., point, 3)")
    used = np.isfinite(p).all(-1) & np.isfinite(t).all(-1)
    used = used if mask is None else used & mask
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
    factor = np.ones(p.shape[:-2])
    if scale:
        spread = (p_centred**2).sum((-1, -2))
        factor = (s * sign).sum(-1) / np.where(spread > 0, spread, np.nan)
    moved = factor[..., None, None] * ((p - p_mean) @ np.swapaxes(rotation, -1, -2)) + t_mean
    return np.where(enough, moved, np.nan)


# -- bodies -----------------------------------------------------------------------------------


def bone_lengths(joints: ArrayLike, skeleton: Skeleton) -> Array:
    """Returns the distance of every joint from its parent.

    Args:
        joints: ``(..., joint, axis)`` of any unit.
        skeleton: of ``joints``.

    Returns:
        ``(..., joint)`` in the same unit; NaN for roots.
    """
    array = _as_float(joints)
    parents = np.array(skeleton.parents)
    lengths = np.linalg.norm(array - array[..., np.maximum(parents, 0), :], axis=-1)
    return np.where(parents >= 0, lengths, np.nan)


def compute_iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> Array:
    """Returns ``(..., n, m)`` intersection over union of ``(..., n, 4)`` with ``(..., m, 4)`` boxes.

    Boxes are left, top, right, bottom. 0 where a box is NaN or both have no area.
    """
    a, b = _as_float(boxes_a)[..., :, None, :], _as_float(boxes_b)[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - common
    return np.nan_to_num(common / np.maximum(union, 1e-9))


ASSUMED_FOCAL = 0.8
"""Focal length that is assumed, in units of the picture's longer side.

The main camera of a phone is a 26 mm lens (35 mm equivalent), 0.76 of the longer side of its 16:9
crop, and 0.8 to 0.95 once stabilisation has cut the picture; webcams lie near 0.9; camcorders and
sports footage from 1.2 up. pose3d's own weights are trained with this assumption.
"""


def assumed_focal_px(size_wh: tuple[int, int]) -> float:
    """Returns the focal length in pixels that is assumed for a picture of an unknown camera."""
    return ASSUMED_FOCAL * float(max(size_wh))
