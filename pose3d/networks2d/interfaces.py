"""What detectors and 2D keypoint estimators take and give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from pose3d.body.skeletons import Skeleton
from pose3d.video.picture import Image
from pose3d.weights.info import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """People found in one picture.

    Args:
        boxes_xyxy_px: ``(n, 4)``.
        score: ``(n,)`` 0..1.
        regions: ``(n, 4)`` oriented squares (centre x, centre y, side in pixels, rotation in radians,
            clockwise as seen) for estimators that take them, or None.
    """

    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    score: Float[np.ndarray, " n"]
    regions: Float[np.ndarray, "n 4"] | None = None

    def __len__(self) -> int:
        return len(self.score)

    def above(self, least: float) -> Detections:
        """Returns those with at least this score, in the same order."""
        keep = self.score >= least
        regions = None if self.regions is None else self.regions[keep]
        return Detections(
            boxes_xyxy_px=self.boxes_xyxy_px[keep], score=self.score[keep], regions=regions
        )

    @staticmethod
    def none() -> Detections:
        """Returns the result of a picture without people."""
        return Detections(
            boxes_xyxy_px=np.zeros((0, 4), np.float32),
            score=np.zeros(0, np.float32),
            regions=np.zeros((0, 4), np.float32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints:
    """2D keypoints of n people in one picture.

    Args:
        keypoints_px: ``(n, joint, 2)``.
        score: ``(n, joint)`` 0..1.
        presence: ``(n,)`` probability that there is a person in the region at all.
        boxes_xyxy_px: ``(n, 4)`` boxes around the keypoints.
        regions: ``(n, 4)`` where to look in the next frame (as in :class:`Detections`), or None.
        world_m: ``(n, joint, 3)`` the network's own 3D guess, metres about the hips, camera axes, or None.
    """

    keypoints_px: Float[np.ndarray, "n joint 2"]
    score: Float[np.ndarray, "n joint"]
    presence: Float[np.ndarray, " n"]
    boxes_xyxy_px: Float[np.ndarray, "n 4"]
    regions: Float[np.ndarray, "n 4"] | None = None
    world_m: Float[np.ndarray, "n joint 3"] | None = None

    def __len__(self) -> int:
        return len(self.presence)


@runtime_checkable
class Detector(Protocol):
    """Finds people in one picture. Made by ``Class(device=..., threads=..., offline=...)``."""

    info: ModelInfo

    def detect(self, image: Image) -> Detections:
        """Returns the people of an RGB picture, best first."""
        ...


@runtime_checkable
class KeypointEstimator(Protocol):
    """Finds the 2D keypoints of given people. Made by ``Class(device=..., threads=..., offline=...)``."""

    info: ModelInfo
    skeleton: Skeleton

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of ``people``, in the same order."""
        ...


@runtime_checkable
class BatchDetector(Detector, Protocol):
    """A detector that looks at several pictures in one run of its network. Optional.

    Trackers that detect in every frame use it (:class:`pose3d.tracking.box_tracker.BoxTracker`).
    """

    def detect_batch(self, images: Sequence[Image]) -> list[Detections]:
        """Returns the people of each picture, best first, with those of which it is in doubt."""
        ...

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        ...


@runtime_checkable
class OneStageEstimator(Protocol):
    """Finds people and their keypoints in whole pictures; no detector is run.

    Its class says so by ``DETECTS_ITSELF = True``; :class:`pose3d.networks2d.one_stage.OnePass` makes a detector
    and an estimator of given people of it.
    """

    info: ModelInfo
    skeleton: Skeleton

    def find_people(self, images: Sequence[Image]) -> list[Keypoints]:
        """Returns everybody in each picture, best first; ``presence`` is the score of the box."""
        ...

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        ...


@runtime_checkable
class SearchingDetector(Detector, Protocol):
    """A detector with cheaper searches than the thorough :meth:`detect`.

    Optional: the tracker uses them where a detector has them.
    """

    def detect_whole(self, image: Image) -> Detections:
        """Returns the people that a quick look at the whole picture finds."""
        ...

    def detect_near(self, image: Image, regions: Float[np.ndarray, "n 4"]) -> Detections:
        """Returns the people found inside the given squares (see :mod:`pose3d.networks2d.regions`)."""
        ...
