"""COCO keypoint results, for pycocotools and what reads its results."""

from __future__ import annotations

import json
from pathlib import Path

from pose3d.body.skeletons import COCO17
from pose3d.result.keypoints import people_by_frame
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
        lines = []
        for frame, people in enumerate(people_by_frame(pose, COCO17)):
            for person in people:
                left, top, right, bottom = person.box_xyxy_px
                score = person.points[:, 2]
                entry = {
                    "image_id": frame,
                    "category_id": 1,
                    "keypoints": person.points.ravel().tolist(),
                    "score": round(float(score[score > 0].mean()), 3),
                    "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                    "track_id": person.track_id,
                }
                lines.append(json.dumps(entry))
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
