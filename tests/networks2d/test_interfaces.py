"""Shapes of what detectors and keypoint networks return are checked in every test."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pose3d.networks2d.interfaces import Detections, Keypoints


def test_odd_shapes_are_refused():
    boxes, score = np.zeros((2, 4), np.float32), np.ones(2, np.float32)
    Detections(boxes_xyxy_px=boxes, score=score)
    with pytest.raises(TypeCheckError, match="score"):
        Detections(boxes_xyxy_px=boxes, score=score[:1])
    points = np.zeros((2, 17, 2), np.float32)
    with pytest.raises(TypeCheckError, match="score"):
        Keypoints(keypoints_px=points, score=points[:, :3, 0], presence=score, boxes_xyxy_px=boxes)
