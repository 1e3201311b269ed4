"""Top-down estimators: people of several pictures in one run, keypoints of each picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from pose3d.networks2d.crops import boxes_around, crop_matrices, crops_to_picture, cut_crops
from pose3d.networks2d.heatmaps import presence_of
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.part import Part
from pose3d.video.picture import Image

Points = Float[np.ndarray, "n joint 2"]
Scores = Float[np.ndarray, "n joint"]


class TopDown(Part):
    """An estimator that looks at one crop for each person."""

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of one picture; see :meth:`estimate_batch`."""
        return self.estimate_batch([image], [people])[0]

    def estimate_batch(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> list[Keypoints]:
        """Returns keypoints for the boxes in RGB pictures of any sizes, in one run.
        ``boxes_xyxy_px`` are where to look in the next frame; regions are ignored."""
        points_px, score = self._look_at(images, people)
        ends = np.cumsum([len(p) for p in people])[:-1]
        return [
            Keypoints(
                keypoints_px=p, score=s, presence=presence_of(s), boxes_xyxy_px=boxes_around(p)
            )
            for p, s in zip(np.split(points_px, ends), np.split(score, ends), strict=True)
        ]

    @abstractmethod
    def _look_at(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> tuple[Points, Scores]:
        """Returns points in the pictures, and scores 0..1, of all people one after the other."""


class CropEstimator(TopDown):
    """A top-down estimator with crops as HRNet cuts them; ``size_wh`` are their pixels."""

    size_wh: tuple[int, int]

    def _look_at(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> tuple[Points, Scores]:
        matrices = [crop_matrices(p.boxes_xyxy_px, self.size_wh) for p in people]
        crops = [cut_crops(i, m, self.size_wh) for i, m in zip(images, matrices, strict=True)]
        points_crop, score = self._look(np.concatenate(crops))
        return crops_to_picture(points_crop, np.concatenate(matrices)), score

    @abstractmethod
    def _look(self, crops: UInt8[np.ndarray, "n h w 3"]) -> tuple[Points, Scores]:
        """Returns points in crops (pixels, 0 at the first one's centre) and scores 0..1."""
