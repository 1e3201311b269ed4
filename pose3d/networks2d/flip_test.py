"""The flip test of 2D: looking at people twice, the second time in a mirror, and taking the mean.
Reference: Newell et al., "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016,
section 3.3. Differs: points are averaged, not heatmaps; of points far apart the surer one is
taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError
from pose3d.networks2d.interfaces import Detections, KeypointEstimator, Keypoints, OneStageEstimator
from pose3d.networks2d.regions import wrap_angle
from pose3d.video.picture import Image

Array = NDArray[np.floating]

_APART = 0.1  # of the longer side of the box: joints further apart are not averaged


class FlipTest:
    """An estimator that also looks at the mirrored picture."""

    def __init__(self, estimator: KeypointEstimator) -> None:
        self.estimator = estimator
        self.info = replace(
            estimator.info,
            changes=(*estimator.info.changes, "looks at mirrored pictures too (flip test)"),
        )
        self.skeleton = estimator.skeleton

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person, in the same order, at twice the time."""
        if not len(people):
            return self.estimator.estimate(image, people)
        width = image.shape[1]
        straight = self.estimator.estimate(image, people)
        mirror_image = np.ascontiguousarray(image[:, ::-1])
        seen = self.estimator.estimate(mirror_image, mirror_people(people, width))
        return average(straight, mirror_keypoints(seen, width, self.skeleton.mirror))


def add_flip_test(estimator: KeypointEstimator) -> FlipTest:
    """Returns the estimator with a flip test; UsageError where it finds people itself."""
    if isinstance(estimator, OneStageEstimator):
        raise UsageError(f"{estimator.info.name} has no flip test", "Leave --flip-test-2d out")
    return FlipTest(estimator)


def mirror_people(people: Detections, width: int) -> Detections:
    """Returns where the same people are in the mirrored picture of ``width`` pixels."""
    regions = None if people.regions is None else _mirror_regions(people.regions, width)
    return replace(
        people, boxes_xyxy_px=_mirror_boxes(people.boxes_xyxy_px, width), regions=regions
    )


def mirror_keypoints(seen: Keypoints, width: int, order: tuple[int, ...]) -> Keypoints:
    """Returns what a mirrored picture showed, as in the picture itself.
    ``order`` names for each joint the one of the other side."""
    joints = list(order)
    points = seen.keypoints_px[:, joints].copy()
    points[..., 0] = width - points[..., 0]
    world = (
        None if seen.world_m is None else seen.world_m[:, joints] * np.array([-1, 1, 1], np.float32)
    )
    return replace(
        seen,
        keypoints_px=points,
        score=seen.score[:, joints],
        boxes_xyxy_px=_mirror_boxes(seen.boxes_xyxy_px, width),
        regions=None if seen.regions is None else _mirror_regions(seen.regions, width),
        world_m=world,
        on_mask=None if seen.on_mask is None else seen.on_mask[:, joints],
    )


def average(first: Keypoints, second: Keypoints) -> Keypoints:
    """Returns the mean of two answers about the same people; what only one has is left out."""
    box = (first.boxes_xyxy_px[:, 2:] - first.boxes_xyxy_px[:, :2]).max(-1)
    apart = np.linalg.norm(first.keypoints_px - second.keypoints_px, axis=-1)
    near = (apart <= _APART * box[:, None])[..., None]
    surer = np.where(
        (first.score >= second.score)[..., None], first.keypoints_px, second.keypoints_px
    )
    points = np.where(near, _mean(first.keypoints_px, second.keypoints_px), surer)
    regions = world = None
    if first.regions is not None and second.regions is not None:
        regions = _mean(first.regions, second.regions)
        turn = wrap_angle(second.regions[:, 3] - first.regions[:, 3])
        regions[:, 3] = wrap_angle(first.regions[:, 3] + turn / 2)
    if first.world_m is not None and second.world_m is not None:
        world = _mean(first.world_m, second.world_m)
    on_mask = None
    if first.on_mask is not None and second.on_mask is not None:
        on_mask = _mean(first.on_mask, second.on_mask)
    return Keypoints(
        keypoints_px=points,
        score=_mean(first.score, second.score),
        presence=_mean(first.presence, second.presence),
        boxes_xyxy_px=_mean(first.boxes_xyxy_px, second.boxes_xyxy_px),
        regions=regions,
        world_m=world,
        on_mask=on_mask,
    )


def _mean(a: Array, b: Array) -> Array:
    return (a + b) / 2


def _mirror_boxes(boxes: Array, width: int) -> Array:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def _mirror_regions(regions: Array, width: int) -> Array:
    out = regions.copy()
    out[:, 0] = width - out[:, 0]
    out[:, 3] = -out[:, 3]
    return out
