"""YOLO-pose by ultralytics (extra ``[yolo]``, AGPL-3.0): people and their keypoints in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pose3d.body.skeletons import COCO17
from pose3d.errors import WeightsError
from pose3d.networks2d.interfaces import Keypoints
from pose3d.networks2d.runtimes.yolonet import YoloPart
from pose3d.video.picture import Image
from pose3d.weights.info import ModelInfo


class YoloKeypoints(YoloPart):
    """Finds people and their 17 keypoints (COCO) in whole pictures; no detector is run."""

    _DEFAULT = "yolo11n-pose.pt"
    _TASKS = ("pose",)
    skeleton = COCO17

    def _load(self) -> ModelInfo:
        info = super()._load()
        shape = self.keypoint_shape()
        if shape[:1] != (len(COCO17),):
            raise WeightsError(
                f"{self.argument or self._DEFAULT} finds {shape[0] if shape else 'no'} keypoints",
                "Give a YOLO-pose network trained on COCO's 17",
            )
        return info

    def find_people(self, images: Sequence[Image]) -> list[Keypoints]:
        """Returns each RGB picture's people, best first; ``presence`` is the score of the box.
        Joints outside the picture lie on its edge; without own scores they have that of the box."""
        return [_keypoints_of(result) for result in self.look(images)]


def _keypoints_of(result: Any) -> Keypoints:
    boxes, found = result.boxes, result.keypoints
    values = np.asarray(found.data, np.float32).reshape(-1, *found.data.shape[-2:])
    score = (
        values[..., 2]
        if values.shape[-1] == 3
        else np.repeat(np.asarray(boxes.conf)[:, None], values.shape[1], 1)
    )
    return Keypoints(
        keypoints_px=np.ascontiguousarray(values[..., :2]),
        score=np.clip(score, 0, 1).astype(np.float32),
        presence=np.asarray(boxes.conf, np.float32),
        boxes_xyxy_px=np.asarray(boxes.xyxy, np.float32),
    )
