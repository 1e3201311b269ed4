"""2D keypoints of a result in the order of other programs' skeletons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import H36M17, Skeleton
from pose3d.errors import UsageError
from pose3d.result.record import PoseSequence

_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}


def keypoints_of(pose: PoseSequence, target: Skeleton) -> NDArray[np.float64]:
    """Returns ``(row, joint, 3)`` x, y in pixels and score of a skeleton's joints.

    A joint is that of the same name; neck and pelvis are the middles of shoulders and hips, as
    OpenPose has them; the nose of a result in 3D is there where its mapping was ``face``. All three
    numbers are 0 where there is nothing. A UsageError for a result without 2D keypoints.
    """
    if pose.keypoints_px is None or pose.score is None:
        raise UsageError(
            f"The result of {pose.video.path} has no 2D keypoints, which this format is made of",
            "Export json, npz or csv",
        )
    values = np.concatenate([pose.keypoints_px, pose.score[..., None]], -1).astype(np.float64)
    index = dict(pose.skeleton.index)
    mappings = [stage.options.get("mapping") for stage in pose.made_by if stage.stage == "lift"]
    if pose.skeleton.name == H36M17.name and mappings[-1:] == ["face"]:
        index["nose"] = index["neck_nose"]
    out = np.zeros((len(values), len(target), 3))
    for j, name in enumerate(target.joints):
        if name in _MIDDLES:
            a, b = (values[:, index[side]] for side in _MIDDLES[name])
            out[:, j, :2] = (a[..., :2] + b[..., :2]) / 2
            out[:, j, 2] = np.minimum(a[..., 2], b[..., 2])
        elif name in index:
            out[:, j] = values[:, index[name]]
    out[~np.isfinite(out).all(-1)] = 0
    return out


@dataclass(frozen=True, slots=True)
class Found:
    """A person in a frame."""

    track_id: int
    points: NDArray[np.float64]  # (joint, 3) x, y in pixels and score, 0 where there is nothing
    box_xyxy_px: list[float]


def people_by_frame(pose: PoseSequence, target: Skeleton) -> Iterator[list[Found]]:
    """Yields for each frame the people who have a keypoint of a skeleton there."""
    keypoints = keypoints_of(pose, target).round(3)
    known = np.asarray((keypoints[..., 2] > 0).any(-1))
    for rows in pose.rows_by_frame():
        yield [
            Found(int(pose.person_id[row]), keypoints[row], _box_of(pose, row, keypoints[row]))
            for row in rows[known[rows]].tolist()
        ]


def _box_of(pose: PoseSequence, row: int, points: NDArray[np.float64]) -> list[float]:
    """Returns left, top, right, bottom in pixels: the record's box, else that of the keypoints."""
    box = pose.boxes_xyxy_px[row].astype(np.float64)
    if not np.isfinite(box).all():
        seen = points[points[:, 2] > 0, :2]
        box = np.concatenate([seen.min(0), seen.max(0)])
    return [round(value, 2) for value in box.tolist()]
