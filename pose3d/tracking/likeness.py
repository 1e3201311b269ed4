"""How alike two sightings of people are (place, size, pose, colours), and pairing the likeliest."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LIMBS, Skeleton
from pose3d.video.picture import Image

Array = NDArray[np.floating]

NOT_POSSIBLE = 1e3  # cost of a pair that cannot be
OTHER_COLOURS = 0.85  # colour distance above which two sightings are not the same person
_OTHER_SIZE = 0.7  # difference of the logarithms of size above which they are not
_PATCH = 16
_HUES, _SATURATIONS, _VALUES = 8, 3, 4


def body_joints(skeleton: Skeleton, names: Iterable[str] = LIMBS) -> NDArray[np.int_]:
    """Returns the limb joints' indices (all without them); faces and hands would outvote them."""
    columns = [skeleton.index[name] for name in names if name in skeleton.index]
    return np.array(columns or range(len(skeleton)), int)


def trunk_joints(skeleton: Skeleton) -> NDArray[np.int_]:
    """Returns the indices of shoulders and hips, or of all joints without them."""
    return body_joints(skeleton, ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))


def size_of(keypoints_px: Array) -> Array:
    """Returns ``(...)`` the longer sides of the boxes around ``(..., joint, 2)`` poses, pixels."""
    extent = np.nanmax(keypoints_px, -2) - np.nanmin(keypoints_px, -2)
    return np.asarray(np.maximum(extent.max(-1), 1.0))


def pose_distance(a_px: Array, b_px: Array) -> Array:
    """Returns ``(...)`` the mean distance of joints as a share of the smaller person's size."""
    gap = np.linalg.norm(a_px - b_px, axis=-1).mean(-1)
    return np.asarray(gap / np.minimum(size_of(a_px), size_of(b_px)))


def cover(boxes: Array, others: Array) -> Array:
    """Returns ``(...)`` the shares of ``(..., 4)`` boxes that the other ones cover."""
    wh = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    area = np.maximum((boxes[..., 2:] - boxes[..., :2]).prod(-1), 1.0)
    return np.asarray(np.clip(wh, 0, None).prod(-1) / area)


def difference(shift: float, size_ratio: float, colours: float, *, reach: float) -> float:
    """Returns below 1 when two sightings may be the same person; less is better.
    ``shift`` and its limit ``reach`` are in sizes of the person, ``colours`` is a distance."""
    scale = abs(np.log(size_ratio))
    if shift > reach or scale > _OTHER_SIZE or colours > OTHER_COLOURS:
        return NOT_POSSIBLE
    return float(0.5 * shift / reach + 0.4 * scale + 0.6 * colours)


def pair_up(cost: Array) -> list[tuple[int, int]]:
    """Returns the rows and columns of a cost matrix that belong together and cost below 1."""
    from scipy.optimize import linear_sum_assignment  # slow to import, seldom needed

    pairs = zip(*linear_sum_assignment(cost), strict=True)
    return [(int(i), int(j)) for i, j in pairs if cost[i, j] < 1]


def colours_of(image: Image, trunk_px: Array) -> NDArray[np.float32] | None:
    """Returns a normalised colour histogram of a trunk ``(joint, 2)``; None: too little is seen."""
    height, width = image.shape[:2]
    low, high = trunk_px.min(0), trunk_px.max(0)
    # A person seen from the side has a trunk of no width: keep at least a third of its height.
    wanted = np.maximum(high - low, (high - low).max() / 3)
    middle = (low + high) / 2
    left, top = np.maximum(middle - wanted / 2, 0).astype(int)
    right, bottom = np.minimum(middle + wanted / 2, [width, height]).astype(int)
    if right - left < 3 or bottom - top < 3:
        return None
    patch = cv2.resize(
        image[top:bottom, left:right], (_PATCH, _PATCH), interpolation=cv2.INTER_AREA
    )
    hsv = cv2.cvtColor(patch, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist(
        [hsv], [0, 1, 2], None, [_HUES, _SATURATIONS, _VALUES], [0, 180, 0, 256, 0, 256]
    )
    return np.asarray(counts, np.float32).ravel() / np.float32(_PATCH * _PATCH)


def colour_distance(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> float:
    """Returns the Hellinger distance of two histograms, 0..1; 0.5 when one is unknown."""
    if a is None or b is None:
        return 0.5
    return float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(a * b).sum()))))
