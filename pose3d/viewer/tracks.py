"""The people of a result as the page takes them: each on the rows from its first pose to its last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.render.stage import set_stage, stage_axes
from pose3d.result.angles import SIDES, compute_angles
from pose3d.result.record import PoseSequence

ABSENT, FILLED_IN, SEEN = 0, 1, 2
_ONE_SIDED = "knee_flexion hip_flexion hip_abduction elbow_flexion shoulder_elevation"
ANGLES = (
    *(f"{s}_{name}" for name in _ONE_SIDED.split() for s in SIDES),
    "trunk_lean",
    "trunk_rotation",
)
"""Angles of :mod:`pose3d.result.angles` that the page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person; the first row is frame ``start``. NaN: not known."""

    person_id: int
    start: int
    state: UInt8[np.ndarray, " frame"]  # ABSENT, FILLED_IN or SEEN
    # Where the pelvis is: x right, y up, z towards the camera; the floor at 0.
    origin_m: Float[np.ndarray, "frame 3"]
    joints_cam_m: Float[np.ndarray, "frame joint 3"]  # from the pelvis, axes of the camera
    hypotheses_cam_m: Float[np.ndarray, "frame hypothesis joint 3"] | None
    keypoints_px: Float[np.ndarray, "frame joint 2"] | None
    score: Float[np.ndarray, "frame joint"] | None
    angles_deg: Float[np.ndarray, "frame angle"] | None  # of ANGLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How the camera stands in the page's scene."""

    world_from_cam: Float[np.ndarray, "3 3"]  # to x right, y up, z towards the camera
    camera_height_m: float | None  # above the floor, over the origin; None: places are not known


def read_tracks(pose: PoseSequence) -> tuple[tuple[Track, ...], Place]:
    """Reads everybody who has a pose; nothing else of the viewer looks into a record's arrays."""
    if pose.joints_cam_m is None:
        raise UsageError(
            f"The result of {pose.video.path} has no 3D joints, which the viewer shows",
            "Lift it first (pose3d lift)",
        )
    if not pose.n_frames:
        raise UsageError(f"The result of {pose.video.path} has no frames", "Nothing can be shown")
    axes = stage_axes(pose.camera.up_cam if pose.camera else None)
    origin_stage_m = _origins(set_stage(pose).joints_stage_m - pose.joints_cam_m @ axes.T)
    flip = np.array([1.0, 1.0, -1.0])
    angles = None
    if pose.skeleton.name == H36M17.name:
        found = compute_angles(pose)
        angles = np.stack([found[name] for name in ANGLES], -1)
    others, points, score = pose.hypotheses_cam_m, pose.keypoints_px, pose.score
    tracks, present = [], pose.present
    for span in pose.spans:
        there = span.rows.start + np.flatnonzero(present[span.rows])
        if not len(there):
            continue
        part = slice(int(there[0]), int(there[-1]) + 1)
        here, seen = present[part], pose.valid[part]
        track = Track(
            person_id=span.person_id,
            start=int(pose.frame[part.start]),
            state=np.where(here, np.where(seen, SEEN, FILLED_IN), ABSENT).astype(np.uint8),
            origin_m=origin_stage_m[part] * flip,
            joints_cam_m=pose.joints_cam_m[part],
            hypotheses_cam_m=None if others is None else others[part],
            keypoints_px=None if points is None else points[part],
            score=None if score is None else score[part],
            angles_deg=None if angles is None else angles[part],
        )
        tracks.append(track)
    height = None
    if pose.root_cam_m is not None:
        heights = origin_stage_m[:, 1] - pose.root_cam_m @ axes[1]
        heights = heights[np.isfinite(heights)]
        height = float(np.median(heights)) if len(heights) else None
    return tuple(tracks), Place(world_from_cam=flip[:, None] * axes, camera_height_m=height)


def _origins(
    moved_m: Float[np.ndarray, "row joint 3"],
) -> Float[np.ndarray, "row 3"]:
    """Returns by how much the joints of each pose were moved: any that is known tells."""
    known = np.isfinite(moved_m).all(-1)
    return np.take_along_axis(moved_m, known.argmax(-1)[:, None, None], axis=1)[:, 0]
