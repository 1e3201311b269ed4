"""Where people stand in the 3D panel, and the camera that sees them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from pose3d.render.paint import Array
from pose3d.result.record import PoseSequence, Span

_SIDE_BY_SIDE_M = 1.3  # between people whose place is unknown
_FOOT_M = 0.08  # height of an ankle joint above the sole of a shoe
_NEAR_M = 0.25  # nothing closer to the view camera is drawn
_PITCH_RAD = math.radians(17)
_YAW_RAD = math.radians(32)
_FIELD_OF_VIEW_RAD = math.radians(30)


@dataclass(frozen=True, slots=True)
class Stage:
    """People placed on a floor."""

    # x right and z away as the filming camera sees it, y up, the floor at y = 0 (below that camera
    # if placed); NaN: nobody
    joints_stage_m: Float[np.ndarray, "row joint 3"]
    people: PoseSequence  # whose rows these are
    placed: bool  # the places are measured; False: people are set up side by side
    # each with its pelvis where the person's is
    hypotheses_stage_m: Float[np.ndarray, "row hypothesis joint 3"] | None = None


def stage_axes(up_cam: tuple[float, float, float] | None) -> NDArray[np.float64]:
    """Computes the rotation ``(3, 3)`` from camera axes to stage axes: right, up, away.

    ``up_cam`` is the direction of "up" in camera axes; None: the camera is taken as level.
    """
    up = np.array((0.0, -1.0, 0.0) if up_cam is None else up_cam)
    up = up / np.linalg.norm(up)
    away = np.array([0.0, 0.0, 1.0])
    if abs(up[2]) > 0.98:  # the camera looks straight down or up: the picture's top is "away"
        away = np.array([0.0, -1.0, 0.0])
    away = away - (away @ up) * up
    away /= np.linalg.norm(away)
    return np.stack([np.cross(away, up), up, away])


def set_stage(pose: PoseSequence) -> Stage:
    """Places the people of a clip on one floor: the ground plane, else below the lowest foot.

    Without ``root_cam_m`` they stand side by side in their order in the picture, pelvises level.
    """
    assert pose.joints_cam_m is not None
    axes = stage_axes(pose.camera.up_cam if pose.camera else None)
    placed = pose.root_cam_m is not None
    if pose.root_cam_m is not None:
        joints = (pose.joints_cam_m + pose.root_cam_m[:, None]) @ axes.T
    else:
        joints = pose.joints_cam_m @ axes.T
        centre = pose.boxes_xyxy_px[:, [0, 2]].mean(-1)
        seen = [centre[span.rows][np.isfinite(centre[span.rows])] for span in pose.spans]
        middle = [float(np.median(c)) if len(c) else 0 for c in seen]
        order = np.argsort(np.argsort(middle, kind="stable"), kind="stable")
        for span, place in zip(pose.spans, order - (len(order) - 1) / 2, strict=True):
            joints[span.rows, :, 0] += _SIDE_BY_SIDE_M * place
    ground_m = pose.camera.ground_m if placed and pose.camera else None
    lowest = joints[..., 1].min(-1)
    lowest = lowest[np.isfinite(lowest)]
    if ground_m is not None:
        joints[..., 1] += ground_m
    elif len(lowest):
        # One glitch must not sink the floor below everybody's feet.
        joints[..., 1] -= float(np.percentile(lowest, 2)) - _FOOT_M
    ghosts = None
    if pose.hypotheses_cam_m is not None:
        root = pose.skeleton.index.get("pelvis", 0)
        ghosts = pose.hypotheses_cam_m @ axes.T + joints[:, None, root : root + 1]
        ghosts = ghosts.astype(np.float32)
    return Stage(joints.astype(np.float32), pose, placed, ghosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A pinhole camera that looks at the stage."""

    yaw_rad: float  # how far it stands to the right of the filming camera's direction
    pitch_rad: float  # how far it looks down
    target_m: tuple[float, float, float]  # ``(3,)`` point that it turns about
    distance_m: float  # from the target
    focal_px: float  # focal length
    centre_px: tuple[float, float]  # where the target appears in the panel

    def axes(self, turn_rad: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
        """Returns ``(..., 3, 3)``: right, up, forward of the camera, turned further by an angle."""
        yaw = self.yaw_rad + np.asarray(turn_rad, np.float64)
        sy, cy = np.sin(yaw), np.cos(yaw)
        sp, cp = math.sin(self.pitch_rad), math.cos(self.pitch_rad)
        zero = np.zeros_like(yaw)
        right = np.stack([cy, zero, sy], -1)
        up = np.stack([-sy * sp, zero + cp, cy * sp], -1)
        forward = np.stack([-sy * cp, zero - sp, cy * cp], -1)
        return np.stack([right, up, forward], -2)

    def project(
        self, points_m: Array, turn_rad: NDArray[np.float64] | float = 0.0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Projects ``(..., 3)`` to pixels ``(..., 2)`` and depths (m); NaN behind the camera.

        ``turn_rad`` turns the view further; with ``(row,)`` angles the points' first axis is the
        row.
        """
        axes = self.axes(turn_rad)
        relative = points_m - np.array(self.target_m)
        if axes.ndim == 3:
            axes = axes.reshape(len(axes), *[1] * (relative.ndim - 2), 3, 3)
        view = np.einsum("...ij,...j->...i", axes, relative)
        depth = view[..., 2] + self.distance_m
        depth = np.where(depth > _NEAR_M, depth, np.nan)
        scale = self.focal_px / depth
        x = self.centre_px[0] + scale * view[..., 0]
        y = self.centre_px[1] - scale * view[..., 1]
        return np.stack([x, y], -1), depth


def choose_view(
    stage: Stage,
    box_px: tuple[float, float, float, float],
    *,
    all_round: bool = False,
    room_m: float = 0.9,
) -> View:
    """Chooses the camera of the 3D panel, once for the clip, so that everybody fits.

    It stands on the filming camera's side, raised and turned, so that left stays left. ``box_px``
    (left, top, right, bottom) is the area to fill, with ``all_round`` from every side; ``room_m``
    is the least shown left and right of a standing person.
    """
    spans = stage.people.spans
    low, high = _steady_bounds(stage.joints_stage_m, spans)
    low, high = _at_least_a_person(low, high, room_m)
    target = (low + high) / 2
    reach = float(np.linalg.norm(high - low)) / 2
    view = View(
        yaw_rad=_better_side(stage),
        pitch_rad=_PITCH_RAD,
        target_m=(float(target[0]), float(target[1]), float(target[2])),
        # Close enough for perspective to show depth, far enough for it to stay natural.
        distance_m=max(reach / math.tan(_FIELD_OF_VIEW_RAD / 2), 5.0),
        focal_px=1.0,
        centre_px=(0.0, 0.0),
    )
    turns = np.linspace(0, 2 * math.pi, 24, endpoint=False) if all_round else np.zeros(1)
    # A standing person in the middle always fits, so that a crouching one is not blown up.
    least = np.array(
        [[x, y, 0.0] for x in (-room_m, room_m) for y in (-target[1], 1.85 - target[1])]
    )
    seen = []
    for turn in turns:
        joints_px = view.project(stage.joints_stage_m, np.full(len(stage.joints_stage_m), turn))[0]
        seen += [
            np.stack(_steady_bounds(joints_px, spans)),
            view.project(least + target, float(turn))[0],
        ]
    return _fit(view, np.concatenate(seen), box_px, keep_axis=all_round)


def _fit(
    view: View,
    points: NDArray[np.float64],
    box_px: tuple[float, float, float, float],
    *,
    keep_axis: bool,
) -> View:
    """Zooms and shifts a view of focal length 1 so that ``points`` fill the box."""
    pad = 0.17 / view.distance_m  # skin, hair and the label above the head
    first, last = np.nanmin(points, 0) - pad, np.nanmax(points, 0) + pad
    if keep_axis:
        last[0] = max(last[0], -first[0])
        first[0] = -last[0]
    left, top, right, bottom = box_px
    focal = min((right - left) / (last[0] - first[0]), (bottom - top) / (last[1] - first[1]))
    middle = focal * (first + last) / 2
    centre = ((left + right) / 2 - middle[0], (top + bottom) / 2 - middle[1])
    return replace(view, focal_px=float(focal), centre_px=(float(centre[0]), float(centre[1])))


def _steady_bounds(points: Array, spans: Sequence[Span]) -> tuple[NDArray, NDArray]:
    """Returns bounds ``(axis,)`` of points over the clip without the glitches of single frames."""
    axes = points.shape[-1]
    low, high = np.full(axes, np.nan), np.full(axes, np.nan)
    for span in spans:
        track = points[span.rows]
        track = track[np.isfinite(track).all((-1, -2))]
        if len(track):
            from scipy.ndimage import (
                median_filter,  # slow to import; clips without people need none
            )

            window = (min(9, len(track)), 1)
            low = np.fmin(low, median_filter(track.min(1), window, mode="nearest").min(0))
            high = np.fmax(high, median_filter(track.max(1), window, mode="nearest").max(0))
    return low, high


def _at_least_a_person(low: NDArray, high: NDArray, room_m: float) -> tuple[NDArray, NDArray]:
    """Grows bounds in stage axes so that a single standing person is not blown up."""
    if not np.isfinite(low).all():
        return np.array([-0.8, 0.0, -0.6]), np.array([0.8, 1.8, 0.6])
    low, high = low.astype(np.float64), high.astype(np.float64)
    low[1] = np.clip(low[1], -0.5, 0.0)  # the floor is always in the picture
    missing = np.maximum(np.array([2 * room_m, 1.8, 1.4]) - (high - low), 0)
    return low - missing * (0.5, 0.0, 0.5), high + missing * (0.5, 1.0, 0.5)


def _better_side(stage: Stage) -> float:
    """Returns the yaw, to the right or to the left, from which people hide each other less."""
    roots = stage.joints_stage_m.mean(1)
    pairs = [np.zeros((0, 3))]
    for rows in stage.people.rows_by_frame()[::5]:
        first, second = np.triu_indices(len(rows), 1)
        pairs.append(roots[rows[first]] - roots[rows[second]])
    apart = np.concatenate(pairs)
    apart = apart[np.isfinite(apart).all(-1)]
    if not len(apart):
        return _YAW_RAD

    def separation(yaw: float) -> float:
        gaps = np.abs(apart[:, 0] * math.cos(yaw) + apart[:, 2] * math.sin(yaw))
        return float(np.minimum(gaps, 1.0).mean())

    return max((_YAW_RAD, -_YAW_RAD), key=separation)
