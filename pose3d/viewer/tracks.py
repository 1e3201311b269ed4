"""The people of a result as the page takes them: each on the rows from its first pose to its last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from pose3d.errors import UsageError
from pose3d.render.stage import set_stage, stage_axes
from pose3d.result.record import PoseSequence

ABSENT, FILLED_IN, SEEN = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person; the first row is frame ``start``. NaN: not known."""

    person_id: int
    start: int
    state: UInt8[np.ndarray, " frame"]  # ABSENT, FILLED_IN or SEEN
    pelvis_m: Float[np.ndarray, "frame 3"]  # x right, y up, z towards the camera; the floor at 0
    joints_cam_m: Float[np.ndarray, "frame joint 3"]  # from the pelvis, axes of the camera
    hypotheses_cam_m: Float[np.ndarray, "frame hypothesis joint 3"] | None
    keypoints_px: Float[np.ndarray, "frame joint 2"] | None
    score: Float[np.ndarray, "frame joint"] | None


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
    stage = set_stage(pose)
    flip = np.array([1.0, 1.0, -1.0])
    axes = flip[:, None] * stage_axes(pose.camera.up_cam if pose.camera else None)
    root = pose.skeleton.index.get("pelvis", 0)
    tracks = []
    for p in np.flatnonzero(pose.present.any(0)).tolist():
        rows = np.flatnonzero(pose.present[:, p])
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        joints = pose.joints_cam_m[part, p]
        others, points, score = pose.hypotheses_cam_m, pose.keypoints_px, pose.score
        here, seen = pose.present[part, p], pose.valid[part, p]
        track = Track(
            person_id=int(pose.person_ids[p]),
            start=part.start,
            state=np.where(here, np.where(seen, SEEN, FILLED_IN), ABSENT).astype(np.uint8),
            pelvis_m=stage.joints_stage_m[part, p, root] * flip,
            joints_cam_m=joints - joints[:, root : root + 1],
            hypotheses_cam_m=None if others is None else others[part, p],
            keypoints_px=None if points is None else points[part, p],
            score=None if score is None else score[part, p],
        )
        tracks.append(track)
    return tuple(tracks), Place(
        world_from_cam=axes, camera_height_m=_camera_height(pose, stage.joints_stage_m, axes)
    )


def _camera_height(
    pose: PoseSequence,
    joints_stage_m: Float[np.ndarray, "frame person joint 3"],
    world_from_cam: Float[np.ndarray, "3 3"],
) -> float | None:
    """Returns how high the camera is above the floor that people were placed on."""
    if pose.root_cam_m is None or pose.joints_cam_m is None:
        return None
    if pose.camera is not None and pose.camera.ground_m is not None:
        return pose.camera.ground_m
    below = (pose.joints_cam_m + pose.root_cam_m[:, :, None]) @ world_from_cam[1]
    heights = joints_stage_m[..., 1] - below
    heights = heights[np.isfinite(heights)]
    return float(np.median(heights)) if len(heights) else None
