"""Networks without networks: they see one standing person in every picture, at once.

What happens can be chosen by the width of the clip, so that one batch may hold good and bad clips
and worker processes need no more than the files.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.errors import WeightsError
from pose3d.lift.models import LifterOptions
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models
from pose3d.weights.info import ModelInfo

SIZE_WH = (120, 96)
EMPTY_WH = (124, 96)
"""Nobody is seen."""
INTERRUPTED_WH = (128, 96)
"""Ctrl-C comes while it is worked on."""
BROKEN_WH = (132, 96)
"""A mistake in the program."""
DEADLY_WH = (136, 96)
"""The process dies."""

BOX = (40.0, 12.0, 72.0, 84.0)

# Where joints are in the box, x and y from 0 to 1: a person who stands and looks at the camera.
_FIGURE = {
    "nose": (0.5, 0.06),
    "left_ear": (0.56, 0.05),
    "right_ear": (0.44, 0.05),
    "left_shoulder": (0.68, 0.2),
    "right_shoulder": (0.32, 0.2),
    "left_elbow": (0.75, 0.37),
    "right_elbow": (0.25, 0.37),
    "left_wrist": (0.78, 0.52),
    "right_wrist": (0.22, 0.52),
    "left_hip": (0.6, 0.52),
    "right_hip": (0.4, 0.52),
    "left_knee": (0.61, 0.74),
    "right_knee": (0.39, 0.74),
    "left_ankle": (0.62, 0.95),
    "right_ankle": (0.38, 0.95),
}


def figure_px() -> np.ndarray:
    """Returns the 33 keypoints of the person, ``(33, 2)`` pixels."""
    low, high = np.array(BOX[:2]), np.array(BOX[2:])
    middle = (0.5, 0.3)
    share = [_FIGURE.get(name, middle) for name in BLAZEPOSE33.joints]
    return low + np.array(share) * (high - low)


class FakeDetector:
    """Finds the person, and does what the width of the picture asks for."""

    info = ModelInfo(name="fake", licence="none", device="cpu", device_reason="a test")

    def detect(self, image: np.ndarray) -> Detections:
        size = image.shape[1], image.shape[0]
        if size == EMPTY_WH:
            return Detections.none()
        if size == INTERRUPTED_WH:
            raise KeyboardInterrupt
        if size == BROKEN_WH:
            raise ValueError("a mistake")
        if size == DEADLY_WH:
            os.kill(os.getpid(), signal.SIGKILL)
        return Detections(
            boxes_xyxy_px=np.array([BOX], np.float32), score=np.array([0.95], np.float32)
        )


class FakeKeypoints:
    """Sees the person wherever it is told to look."""

    info = FakeDetector.info
    skeleton = BLAZEPOSE33

    def estimate(self, image: np.ndarray, people: Detections) -> Keypoints:
        n = len(people)
        points = figure_px().astype(np.float32)
        return Keypoints(
            keypoints_px=np.repeat(points[None], n, 0),
            score=np.full((n, 33), 0.9, np.float32),
            presence=np.full(n, 0.99, np.float32),
            boxes_xyxy_px=np.repeat(np.array([BOX], np.float32), n, 0),
            regions=np.repeat(np.array([[56.0, 48.0, 90.0, 0.0]], np.float32), n, 0),
        )


@dataclass
class FakeLifter:
    """Puts every joint in the plane of the hips, a person 1.7 m tall."""

    frames: int = 9
    options: LifterOptions = field(default_factory=lambda: LifterOptions(backbone="mixste"))
    info: ModelInfo = FakeDetector.info
    pipeline: str = "seq2seq"
    precision: str = "fp32"

    def lift_windows(
        self, keypoints_px: np.ndarray, score: np.ndarray, size: Any, focal: float, **_: Any
    ) -> np.ndarray:
        metres = (keypoints_px - keypoints_px[..., :1, :]) * (1.7 / (BOX[3] - BOX[1]))
        depth = np.zeros_like(metres[..., :1])
        return np.concatenate((metres, depth), -1).astype(np.float32)


def load_fakes(options: RunOptions) -> Models:
    """Stands in for :func:`pose3d.pipeline.estimate.load_models`."""
    return Models(detector=FakeDetector(), estimator=FakeKeypoints(), lifter=FakeLifter())


def refuse_to_load(options: RunOptions) -> Models:
    """Fails: for runs that must not need a network."""
    raise AssertionError("the networks were loaded")


def fail_to_load(options: RunOptions) -> Models:
    """Fails as missing weights do."""
    raise WeightsError("Weights 'x' are not on this machine", "Fetch them")
