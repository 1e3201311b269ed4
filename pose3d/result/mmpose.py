"""MMPose's JSON of a video, for what reads the output of its inferencer."""

from __future__ import annotations

import json
from pathlib import Path

from pose3d.body.skeletons import COCO17
from pose3d.result.keypoints import people_by_frame
from pose3d.result.record import PoseSequence


class MMPoseExporter:
    """Writes ``.mmpose.json``: COCO-17, frames from 0, and a ``track_id`` a person.

    Reference: ``mmpose/apis/inferencers/base_mmpose_inferencer.py`` and ``split_instances`` in
    ``mmpose/structures/utils.py`` of open-mmlab/mmpose 1.3.
    """

    suffix = ".mmpose.json"
    description = "2D as MMPose's inferencer writes it, with track_id"
    axes = "Pixels; x right, y down"
    away = "is not in the list of instances"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes everybody to ``path``, a line a frame."""
        lines = []
        for frame, people in enumerate(people_by_frame(pose, COCO17)):
            instances = [
                {
                    "keypoints": person.points[:, :2].tolist(),
                    "keypoint_scores": person.points[:, 2].tolist(),
                    "bbox": [person.box_xyxy_px],
                    "bbox_score": 1.0,
                    "track_id": person.track_id,
                }
                for person in people
            ]
            lines.append(json.dumps({"frame_id": frame, "instances": instances}))
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
