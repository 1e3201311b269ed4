"""What top-down estimators share: people of several pictures in one run, keypoints of each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from pose3d.networks2d.crops import (
    boxes_around,
    crop_matrices,
    crops_to_picture,
    cut_crops,
)
from pose3d.networks2d.heatmaps import presence_of
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.video.picture import Image

Points = Float[np.ndarray, "n joint 2"]
Scores = Float[np.ndarray, "n joint"]


def estimate_in_crops(
    images: Sequence[Image],
    people: Sequence[Detections],
    size_wh: tuple[int, int],
    look: Callable[[UInt8[np.ndarray, "n h w 3"]], tuple[Points, Scores]],
) -> list[Keypoints]:
    """Returns keypoints for the people of several pictures, all of whose crops are looked at at once.

    Args:
        images: RGB pictures, of any sizes.
        people: where to look in each: their boxes; regions are ignored.
        size_wh: of the crops.
        look: from crops to points in them (pixels, 0 at the first one's centre) and scores 0..1.
    """
    matrices = [crop_matrices(p.boxes_xyxy_px, size_wh) for p in people]
    crops = [cut_crops(i, m, size_wh) for i, m in zip(images, matrices, strict=True)]
    points_crop, score = look(np.concatenate(crops))
    return keypoints_of(crops_to_picture(points_crop, np.concatenate(matrices)), score, people)


def keypoints_of(points_px: Points, score: Scores, people: Sequence[Detections]) -> list[Keypoints]:
    """Returns the keypoints of each picture from those of all people.

    Args:
        points_px: of the people of all pictures, one picture after the other.
        score: 0..1.
        people: of each picture.

    Returns:
        Keypoints of each picture; ``boxes_xyxy_px`` are where to look in the next frame.
    """
    ends = np.cumsum([len(p) for p in people])[:-1]
    return [
        Keypoints(keypoints_px=p, score=s, presence=presence_of(s), boxes_xyxy_px=boxes_around(p))
        for p, s in zip(np.split(points_px, ends), np.split(score, ends), strict=True)
    ]
