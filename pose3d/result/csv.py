"""CSV: one long table, a row for each joint of each person in each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.result.numbers import BOOLEAN, fill_template
from pose3d.result.record import PoseSequence, rows_in_time

# Name of the column -> decimals.
_COLUMNS = {
    **dict.fromkeys(("x_px", "y_px"), 2),
    "score": 3,
    **dict.fromkeys(("x_m", "y_m", "z_m", "root_x_m", "root_y_m", "root_z_m"), 4),
}


class CsvExporter:
    """Writes ``.csv``: a comment with units, then a row per pose and joint; no hypotheses."""

    suffix = ".csv"
    description = "Long table: spreadsheets, R, pandas"
    axes = "Axes of the camera; metres, pixels"
    away = "has no rows"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the table to ``path``."""
        values = _values(pose)
        rows = rows_in_time(pose)
        frame = pose.frame[rows]
        first = [frame, pose.time_s[frame], pose.person_id[rows], pose.valid[rows]]
        joints = len(pose.skeleton)
        lead = np.repeat(np.stack(first, -1).astype(np.float64)[:, None], joints, 1)
        table = np.concatenate([lead, values[rows]], -1)
        pieces, decimals = [""], []
        for joint in pose.skeleton.joints:
            # frame, time_s, person, valid, then the joint's name, then its numbers
            pieces += [",", ",", ",", f",{joint},", *[","] * (len(_COLUMNS) - 1), "\n"]
            decimals += [0, 6, 0, BOOLEAN, *_COLUMNS.values()]
        text = fill_template(table.reshape(len(table), len(decimals)), decimals, pieces, missing="")
        head = (
            "# pose3d 1: time in seconds, px = pixels of the video (x right, y down), "
            "m = metres in camera axes (x right, y down, z forward); "
            "joints from the pelvis, root = pelvis from the camera\n"
            f"frame,time_s,person,valid,joint,{','.join(_COLUMNS)}\n"
        )
        with path.open("wb") as file:
            file.writelines([head.encode(), text])


def _values(pose: PoseSequence) -> NDArray[np.float64]:
    """Returns ``(row, joint, column)``, NaN where the record has nothing."""
    shape = (len(pose.frame), len(pose.skeleton))

    def known(array: NDArray | None, size: int) -> NDArray:
        return np.full((*shape, size), np.nan) if array is None else array

    score = None if pose.score is None else pose.score[..., None]
    root = pose.root_cam_m
    root = None if root is None else np.broadcast_to(root[:, None], (*shape, 3))
    parts = [(pose.keypoints_px, 2), (score, 1), (pose.joints_cam_m, 3), (root, 3)]
    return np.concatenate([known(a, size) for a, size in parts], -1).astype(np.float64)
