"""OpenPose's JSON, a file a frame, for what reads its output."""

from __future__ import annotations

import json
from pathlib import Path

from pose3d.body.skeletons import OPENPOSE25
from pose3d.result.keypoints import people_by_frame
from pose3d.result.record import PoseSequence

_EMPTY = [
    "face_keypoints_2d",
    "hand_left_keypoints_2d",
    "hand_right_keypoints_2d",
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
]


class OpenPoseExporter:
    """Writes a folder ``.openpose`` of ``NAME_000000000012_keypoints.json``, BODY_25, from 0.

    Reference: ``doc/02_output.md`` of CMU-Perceptual-Computing-Lab/openpose 1.7, JSON version 1.3.
    """

    suffix = ".openpose"
    description = "2D as OpenPose writes it, a folder with a JSON a frame: Pose2Sim, OpenCap"
    axes = "Pixels; x right, y down"
    away = "is not in the list of people"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Makes the folder ``path`` with a file for each frame."""
        path.mkdir()
        stem = Path(pose.video.path).stem.encode("utf-8", "replace").decode()
        for frame, found in enumerate(people_by_frame(pose, OPENPOSE25)):
            people = [
                {
                    "person_id": [person.track_id],
                    "pose_keypoints_2d": person.points.ravel().tolist(),
                    **{key: [] for key in _EMPTY},
                }
                for person in found
            ]
            file = path / f"{stem}_{frame:012d}_keypoints.json"
            file.write_text(json.dumps({"version": 1.3, "people": people}), encoding="ascii")
