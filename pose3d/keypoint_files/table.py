"""Plain CSV with the names of joints (or numbers from 0 or 1): wide, long, or pose3d's own."""

from __future__ import annotations

from pose3d.keypoint_files.csv_table import joints_of, read_csv
from pose3d.keypoint_files.joint_names import blazepose_order, choose_joints
from pose3d.keypoint_files.poses import Poses
from pose3d.keypoint_files.source import Source


class TableReader:
    """Reads tables such as nose_x, nose_y, nose_score, ... or frame, person, joint, x, y, score."""

    kinds = ("text",)

    def recognises(self, source: Source) -> bool:
        joints = joints_of(source)
        return bool(joints) and blazepose_order(joints) is None

    def read(self, source: Source) -> Poses:
        joints, poses = read_csv(source)
        return choose_joints(poses, joints, source)
