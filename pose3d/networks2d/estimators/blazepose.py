"""BlazePose GHUM, Full and Heavy: 33 keypoints of a person and the network's own 3D guess.
Reference: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020, and the
graph ``pose_landmark_by_roi_cpu`` of MediaPipe 0.10.21, whose constants are used here."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.regions import (
    crop_region,
    from_region,
    regions_from_boxes,
    regions_from_spines,
)
from pose3d.networks2d.runtimes.litert import LiteRtPart, Network
from pose3d.video.picture import Image

_POINTS = 39  # 33 keypoints, centre and radius of the next region, four unused ones
_REGION_SCALE = 1.25
_BOX_SCALE = 1.25
_HEATMAP_KERNEL = 7
_HEATMAP_MIN_CONFIDENCE = 0.5


class BlazePoseKeypoints(LiteRtPart):
    """Finds 33 keypoints for each given person."""

    DEFAULT_WEIGHTS = "blazepose.landmark-full"
    skeleton = BLAZEPOSE33

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person, in the same order, with ``regions`` and ``world_m``.
        It looks at the people's regions, or at upright squares around their boxes when there are
        none; ``score`` is the network's visibility. Also fills ``on_mask``."""
        regions = people.regions
        if regions is None:
            regions = regions_from_boxes(people.boxes_xyxy_px, scale=_BOX_SCALE)
        regions = np.asarray(regions, np.float32)
        raw = self._networks.map(lambda network, r: _look(network, image, r), list(regions))
        return _assemble(raw, regions)


class BlazePoseHeavyKeypoints(BlazePoseKeypoints):
    """The same with the largest landmark network, of the same inputs and outputs."""

    DEFAULT_WEIGHTS = "blazepose-heavy"


# Landmarks ``(39, 5)`` in unit coordinates of the region (x, y, z; logits of visibility and
# presence), world landmarks ``(39, 3)``, probability of a person, its outline at the keypoints ``(33,)``.
_Raw = tuple[NDArray[np.float32], NDArray[np.float32], float, NDArray[np.float32]]


def _look(network: Network, image: Image, region: NDArray[np.float32]) -> _Raw:
    size = network.input_size_px
    picture = crop_region(image, region, size, border=cv2.BORDER_REPLICATE)
    out = network(picture, scale=1 / 255, offset=0)
    landmarks = out["Identity"].reshape(_POINTS, 5).copy()
    landmarks[:, :3] /= size
    _refine(landmarks, out["Identity_3"])
    world, presence = out["Identity_4"].reshape(_POINTS, 3), float(out["Identity_1"][0])
    return (
        landmarks,
        world,
        presence,
        _outline_at(landmarks[: len(BLAZEPOSE33), :2], out["Identity_2"]),
    )


def _outline_at(points: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the probability of a person at points in unit coordinates; 0 outside of the region."""
    size = len(mask)
    pixels = np.floor(points * size).astype(int)
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    column, row = np.clip(pixels, 0, size - 1).T
    return np.where(inside, _sigmoid(mask[row, column, 0]), 0).astype(np.float32)


def _refine(landmarks: NDArray[np.float32], heatmaps: NDArray[np.float32]) -> None:
    """Moves each landmark to its heatmap's centre of mass around it, in place; heatmaps are logits.
    Reference: MediaPipe's ``RefineLandmarksFromHeatmapCalculator``."""
    height, width, _ = heatmaps.shape
    reach = _HEATMAP_KERNEL // 2
    columns, rows = (landmarks[:, :2] * np.array((width, height), np.float32)).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    left, top = np.maximum(columns - reach, 0), np.maximum(rows - reach, 0)
    step = np.arange(_HEATMAP_KERNEL)
    across, down = left[:, None] + step, top[:, None] + step  # landmark, place
    there = (across < np.minimum(columns + reach + 1, width)[:, None])[:, None] & (
        down < np.minimum(rows + reach + 1, height)[:, None]
    )[:, :, None]
    part = heatmaps[
        down.clip(0, height - 1)[:, :, None],
        across.clip(0, width - 1)[:, None],
        np.arange(len(landmarks))[:, None, None],
    ]
    mass = np.where(there, _sigmoid(part), np.float32(0))  # landmark, row, column
    sure = inside & (mass.max((1, 2)) >= _HEATMAP_MIN_CONFIDENCE)
    total = np.maximum(mass.reshape(len(mass), -1).sum(1), 1e-9)
    landmarks[sure, 0] = ((left + mass.sum(1) @ step / total) / width)[sure]
    landmarks[sure, 1] = ((top + mass.sum(2) @ step / total) / height)[sure]


def _assemble(raw: Sequence[_Raw], regions: NDArray[np.float32]) -> Keypoints:
    joints = len(BLAZEPOSE33)
    landmarks = np.array([r[0] for r in raw], np.float32).reshape(-1, _POINTS, 5)
    world = np.array([r[1] for r in raw], np.float32).reshape(-1, _POINTS, 3)[:, :joints].copy()
    points = from_region(landmarks[..., :2], regions)
    cos, sin = np.cos(regions[:, 3, None]), np.sin(regions[:, 3, None])
    world[..., 0], world[..., 1] = (
        cos * world[..., 0] - sin * world[..., 1],
        sin * world[..., 0] + cos * world[..., 1],
    )
    keypoints = points[:, :joints]
    return Keypoints(
        keypoints_px=keypoints,
        score=_sigmoid(landmarks[:, :joints, 3]),
        presence=np.array([r[2] for r in raw], np.float32),
        boxes_xyxy_px=np.concatenate((keypoints.min(1), keypoints.max(1)), -1),
        regions=regions_from_spines(points[:, 33], points[:, 34], scale=_REGION_SCALE),
        world_m=world,
        on_mask=np.array([r[3] for r in raw], np.float32).reshape(-1, joints),
    )


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
