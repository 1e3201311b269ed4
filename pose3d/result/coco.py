"""COCO keypoint results, for pycocotools and what reads its results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pose3d.body.skeletons import COCO17
from pose3d.result.keypoints import box_of, keypoints_of, people_in
from pose3d.result.record import PoseSequence


class CocoExporter:
    """Writes ``.coco.json``: a list with an entry for each pose; ``image_id`` is the frame, from 0.

    ``track_id`` is of pose3d, ``score`` the mean of the keypoints that are there.
    Reference: https://cocodataset.org/#format-results, *Keypoint Detection*.
    """

    suffix = ".coco.json"
    description = "2D as COCO takes results: pycocotools, FiftyOne"
    axes = "Pixels; x right, y down"
    away = "has no entry"
    per_person = False

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes everybody to ``path``, a line a pose."""
        keypoints = keypoints_of(pose, COCO17).round(3)
        lines = []
        for frame, columns in enumerate(people_in(pose, keypoints)):
            for c in columns:
                points = keypoints[frame, c]
                left, top, right, bottom = box_of(pose, frame, c, points)
                entry = {
                    "image_id": frame,
                    "category_id": 1,
                    "keypoints": points.ravel().tolist(),
                    "score": round(float(np.mean(points[points[:, 2] > 0, 2])), 3),
                    "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                    "track_id": int(pose.person_ids[c]),
                }
                lines.append(json.dumps(entry))
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
