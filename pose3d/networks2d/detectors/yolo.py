"""YOLO person detector by ultralytics (extra ``[yolo]``, AGPL-3.0)."""

from __future__ import annotations

from collections.abc import Sequence

from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.one_stage import DOUBTFUL
from pose3d.networks2d.runtimes.yolonet import YoloPart
from pose3d.video.picture import Image


class YoloDetector(YoloPart):
    """Finds people with a YOLO network; letterboxing, suppression and scaling are ultralytics'."""

    _DEFAULT = "yolo11n.pt"
    _TASKS = ("detect", "segment", "pose")

    def detect(self, image: Image) -> Detections:
        """Returns the people of a picture, best first."""
        return self.detect_batch([image])[0].above(DOUBTFUL)

    def detect_batch(self, images: Sequence[Image]) -> list[Detections]:
        """Returns the people of RGB pictures of any sizes, best first, doubtful ones included."""
        return [
            Detections(boxes_xyxy_px=r.boxes.xyxy, score=r.boxes.conf) for r in self.look(images)
        ]
