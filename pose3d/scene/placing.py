"""Where people stand: the root of each person in camera axes, from root-relative joints and 2D.

**One camera cannot observe absolute scale**: it is that of the joints (a lifter's bodies, about
1.70 m tall), and the focal length scales all distances as well. The ground is
one plane for the clip; nobody is moved onto it frame by frame: a jump stays a jump.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17
from pose3d.cleaning.gaps import seen_points
from pose3d.cleaning.smoothing import whittaker
from pose3d.errors import UsageError
from pose3d.result.camera import assumed_camera
from pose3d.result.record import PoseSequence, StageRecord
from pose3d.scene.ground import estimate_ground

Array = NDArray[np.floating]

# A depth whose standard deviation is 2 % is smoothed at 0.5 Hz; surer ones less, others more.
DEPTH_CUTOFF_HZ = 0.5
NOMINAL_DEPTH_NOISE = 0.02

RAY_CUTOFF_HZ = 8.0
GAP_S = 0.5
INTERPOLATED_WEIGHT = 0.25
MIN_DEPTH_M = 0.2
MIN_POINTS = 4
NEWTON_STEPS = 5

# Combinations of other keypoints in 2D, and of another definition in 3D.
AXIAL = ("spine", "thorax", "neck_nose", "head_top")
AXIAL_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class RootFit:
    """Root positions of single frames, NaN where there was too little to go by."""

    root_cam_m: Array  # ``(n, 3)``
    residual: Array  # ``(n,)`` median reprojection error as a share of the focal length
    depth_gain: Array  # ``(n,)`` relative standard deviation of the depth per unit of that error


def place_people(pose: PoseSequence) -> PoseSequence:
    """Returns a copy with everybody's place (``root_cam_m``), and the ``camera`` with the ground.

    ``pose`` is H36M17 with joints and keypoints; ``pose.camera`` None: the one that the lifter assumes.
    """
    joints, keypoints = _inputs(pose)
    size_wh = pose.video.size_wh
    camera = pose.camera or assumed_camera(size_wh)
    rays = (camera.straighten(keypoints, size_wh) - np.array(size_wh) / 2) / camera.focal_px
    weights = _joint_weights(pose)

    roots = np.full((len(joints), 3), np.nan)
    for span in pose.spans:
        rows = span.rows
        fit = solve_roots(joints[rows], rays[rows], weights[rows])
        roots[rows] = smooth_roots(fit, pose.time_s[span.frames], pose.valid[rows])
    plane = estimate_ground(roots[:, None] + joints, pose.time_s, weights, pose.valid, pose.spans)
    camera = replace(camera, up_cam=None, ground_m=None)
    if plane is not None:
        x, y, z = map(float, plane.up_cam)
        camera = replace(camera, up_cam=(x, y, z), ground_m=plane.ground_m)
    record = StageRecord(
        stage="place",
        name="reprojection",
        options={
            "focal_px": camera.focal_px,
            "focal_source": camera.focal_source,
            "ground_contacts": 0 if plane is None else plane.n_contacts,
        },
    )
    return pose.with_stage(record, root_cam_m=roots.astype(np.float32), camera=camera)


def solve_roots(joints_m: Array, rays: Array, weights: Array) -> RootFit:
    """Finds the translation that makes each body project onto its keypoints.

    Linear equations ``tx - x tz = x Z - X`` (and for y), then Gauss-Newton on the reprojection
    error with Huber weights. ``joints_m`` ``(n, joint, 3)`` are root-relative, ``rays`` ``(n,
    joint, 2)`` keypoints minus the image centre over the focal length, ``weights`` ``(n, joint)``
    from 0.
    """
    used = seen_points(joints_m) & seen_points(rays) & (weights > 0)
    points, target = np.where(used[..., None], joints_m, 0.0), np.where(used[..., None], rays, 0.0)
    w = np.where(used, weights, 0.0)
    enough = used.sum(-1) >= MIN_POINTS

    design = np.zeros((*w.shape, 2, 3))
    design[..., 0, 0] = design[..., 1, 1] = 1.0
    design[..., 2] = -target
    root = _solve(design, target * points[..., 2:] - points[..., :2], w, enough)
    for _ in range(NEWTON_STEPS):
        design, residual = _linearise(points, target, root)
        off = np.linalg.norm(residual, axis=-1)
        limit = np.maximum(1.5 * _median(off, used), 1e-4)
        robust = np.minimum(1.0, limit[:, None] / np.maximum(off, 1e-9))
        move = _solve(design, residual, w * robust, enough)
        # At most half the way to the camera, so that a bad start cannot throw a body behind it.
        move[:, 2] = np.clip(move[:, 2], -0.5 * np.abs(root[:, 2]), np.abs(root[:, 2]))
        root = root + move
    design, residual = _linearise(points, target, root)
    normal, _ = _normal(design, w)
    normal[~enough] = np.eye(3)
    variance = np.linalg.inv(normal + 1e-12 * np.eye(3))[:, 2, 2]
    good = enough & np.isfinite(root).all(-1) & (root[:, 2] > MIN_DEPTH_M)
    depth = np.maximum(root[:, 2], MIN_DEPTH_M)
    return RootFit(
        root_cam_m=np.where(good[:, None], root, np.nan),
        residual=np.where(good, _median(np.linalg.norm(residual, axis=-1), used), np.nan),
        depth_gain=np.where(good, np.sqrt(np.maximum(variance, 0)) / depth, np.nan),
    )


def smooth_roots(fit: RootFit, time_s: Array, valid: NDArray[np.bool_]) -> Array:
    """Returns one person's ``(frame, 3)``: depth smoothed as it is uncertain, rays hardly."""
    root = fit.root_cam_m
    seen = np.isfinite(root).all(-1)
    if seen.sum() < 2:
        return root
    # The lifted body's own errors show in the residual of the clip, not of one frame.
    noise = np.median(fit.residual[seen]) * fit.depth_gain
    certainty = np.clip((NOMINAL_DEPTH_NOISE / np.maximum(noise, 1e-9)) ** 2, 0.05, 1e4)
    weights = np.where(seen, certainty, 0.0) * np.where(valid, 1.0, INTERPOLATED_WEIGHT)
    log_depth = whittaker(
        np.log(root[:, 2:]),
        time_s,
        cutoff_hz=DEPTH_CUTOFF_HZ,
        weights=weights,
        robust_sigmas=3.0,
        robust_floor=0.002,
        max_gap_s=GAP_S,
    )
    rays = root[:, :2] / root[:, 2:]
    ray = whittaker(rays, time_s, cutoff_hz=RAY_CUTOFF_HZ, order=3, max_gap_s=GAP_S)
    depth = np.exp(log_depth)
    return np.concatenate([ray * depth, depth], -1)


def _inputs(pose: PoseSequence) -> tuple[Array, Array]:
    lifted = pose.skeleton.name == H36M17.name
    if not lifted or pose.joints_cam_m is None or pose.keypoints_px is None:
        what = f"Placing needs 2D keypoints and 3D joints of {H36M17.name}"
        raise UsageError(what, "Lift the keypoints first")
    return pose.joints_cam_m.astype(np.float64), pose.keypoints_px.astype(np.float64)


def _joint_weights(pose: PoseSequence) -> Array:
    """Returns ``(row, joint)`` weights from the scores and the kind of joint."""
    kind = np.array([AXIAL_WEIGHT if n in AXIAL else 1.0 for n in pose.skeleton.joints])
    if pose.score is None:
        return np.broadcast_to(kind, (len(pose.frame), len(kind)))
    # Squared as in cleaning; low scores (feet outside the picture) must all but vanish.
    return kind * np.clip(np.nan_to_num(pose.score.astype(np.float64)), 1e-3, 1) ** 2


def _linearise(points: Array, target: Array, root: Array) -> tuple[Array, Array]:
    """Returns the derivative of the projection ``(n, joint, 2, 3)`` and the errors left."""
    moved = points + root[:, None]
    depth = np.maximum(moved[..., 2], MIN_DEPTH_M / 2)
    projected = moved[..., :2] / depth[..., None]
    design = np.zeros((*depth.shape, 2, 3))
    design[..., 0, 0] = design[..., 1, 1] = 1 / depth
    design[..., 2] = -projected / depth[..., None]
    return design, target - projected


def _normal(design: Array, weights: Array) -> tuple[Array, Array]:
    """Returns ``A'WA`` (n, 3, 3) and ``A'W`` (n, 3, 2 joint) of designs ``(n, joint, 2, 3)``."""
    rows = design.reshape(len(design), 2 * design.shape[1], 3)
    weighted = np.swapaxes(rows * np.repeat(weights, 2, -1)[..., None], -1, -2)
    return weighted @ rows, weighted


def _solve(design: Array, right: Array, weights: Array, enough: NDArray[np.bool_]) -> Array:
    """Solves the weighted normal equations of every body; zero where there is not enough."""
    normal, weighted = _normal(design, weights)
    vector = (weighted @ right.reshape(len(right), 2 * right.shape[1], 1))[..., 0]
    trace = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal = np.where(enough[:, None, None], normal + 1e-9 * trace * np.eye(3), np.eye(3))
    vector = np.where(enough[:, None], vector, 0.0)
    return np.linalg.solve(normal, vector[..., None])[..., 0]


def _median(values: Array, used: NDArray[np.bool_]) -> Array:
    ordered = np.sort(np.where(used, values, np.inf), -1)
    middle = np.maximum(used.sum(-1) - 1, 0) // 2
    found = np.take_along_axis(ordered, middle[:, None], -1)[:, 0]
    return np.where(np.isfinite(found), found, 0.0)
