"""MediaPipe Pose: the 33 landmarks of every frame as CSV or NPZ, as programs around it write them.

CSV: a row a frame (``x1, y1, z1, v1, ...``, ``lmk0_x``, ``landmark_0_x``, ``NOSE_x``, ``x_0``) or a
row a landmark (``frame, landmark_id, x, y, z, visibility``). NPZ: ``(frame[, person], 33, 2 to 4)``
x, y, z, visibility; the third of three is the visibility when all lie within 0..1. Coordinates are
shares of the picture or pixels; ``pose_world_landmarks`` (metres about the hips) are refused.
Reference: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.cleaning.gaps import seen_points
from pose3d.errors import ResultFileError
from pose3d.keypoint_files.csv_table import joints_of, read_csv
from pose3d.keypoint_files.joint_names import blazepose_order
from pose3d.keypoint_files.poses import Poses, as_numbers, grid_of_poses
from pose3d.keypoint_files.source import Source

_N = len(BLAZEPOSE33)
_HIPS = [BLAZEPOSE33.index["left_hip"], BLAZEPOSE33.index["right_hip"]]
_LARGEST_SHARE = 3.0  # how far outside of the picture landmarks are guessed


class MediaPipeReader:
    """Reads tables and arrays of 33 landmarks."""

    kinds = ("npz", "text")

    def recognises(self, source: Source) -> bool:
        if source.kind == "npz":
            return "keypoints" not in source.arrays and len(_candidates(source)) == 1
        return blazepose_order(joints_of(source)) is not None

    def read(self, source: Source) -> Poses:
        poses = _read_arrays(source) if source.kind == "npz" else _read_table(source)
        points = poses.points
        known = seen_points(points) & (points != 0).any(-1)
        hips = points[:, _HIPS].mean(1)[known[:, _HIPS].all(1)]
        if len(hips) and float(np.abs(hips).max()) < 1e-3:
            raise ResultFileError(
                f"{source} holds world landmarks, metres about the hips",
                "Write pose_landmarks instead of pose_world_landmarks",
            )
        largest = float(np.percentile(np.abs(points[known]), 95)) if known.any() else 0.0
        return replace(
            poses, skeleton=BLAZEPOSE33, normalised=bool(known.any()) and largest < _LARGEST_SHARE
        )


def _read_table(source: Source) -> Poses:
    joints, poses = read_csv(source)
    order = blazepose_order(joints)
    if order is None:
        raise ResultFileError(
            f"{source} has {len(joints)} landmarks, MediaPipe Pose has {_N}",
            "Write all 33 landmarks, or name the columns by joints and use --input-format csv",
        )
    return replace(poses, points=poses.points[:, order], score=poses.score[:, order])


def _candidates(source: Source) -> dict[str, NDArray[Any]]:
    return {
        name: array
        for name, array in source.arrays.items()
        if array.ndim in (3, 4)
        and array.shape[-2] == _N
        and array.shape[-1] in (2, 3, 4, 5)
        and array.dtype.kind == "f"
    }


def _read_arrays(source: Source) -> Poses:
    found = _candidates(source)
    if len(found) != 1:
        raise ResultFileError(
            f"{source} holds {len(found)} arrays of {_N} landmarks: {', '.join(source.arrays)}",
            "Keep one array (frame, 33, 4) of x, y, z, visibility",
        )
    array = as_numbers(next(iter(found.values())), str(source))
    array = array[:, None] if array.ndim == 3 else array  # frame, person, landmark, number
    numbers = array.shape[-1]
    if numbers >= 4:
        score = array[..., 3]
    elif numbers == 3 and not ((array[..., 2] < 0) | (array[..., 2] > 1)).any():
        score = array[..., 2]
    else:
        score = np.ones(array.shape[:3])
    # A frame without a person is filled with NaN, or left at zero.
    seen = np.isfinite(array[..., :2]).all(-1) & (array[..., :2] != 0).any(-1)
    points = np.where(seen[..., None], array[..., :2], np.nan)
    # Columns of people are places in MediaPipe's list, which says nothing of who it is.
    ids = np.ones(1, int) if array.shape[1] == 1 else None
    return grid_of_poses(points, np.where(seen, score, 0.0), ids)
