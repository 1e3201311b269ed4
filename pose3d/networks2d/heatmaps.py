"""From what 2D networks answer (SimCC vectors, heatmaps) to points in the crop, as in ``crops``."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.floating]

_LOG_FLOOR = 1e-10
_SHOWN_SCORE = 0.3  # from which MMPose draws a keypoint


def decode_simcc(
    x: Float[np.ndarray, "n joint bin_x"],
    y: Float[np.ndarray, "n joint bin_y"],
    *,
    bins_per_px: float,
) -> tuple[Float[np.ndarray, "n joint 2"], Float[np.ndarray, "n joint"]]:
    """Returns the points where both distributions peak, and the lesser maximum; <= 0: not seen.
    Reference: Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human Pose
    Estimation", ECCV 2022, equation 2; MMPose 1.3.2, ``get_simcc_maximum``. Differs: joints that
    were not seen stay where the values are highest, not at -1 bins."""
    points = np.stack((x.argmax(-1), y.argmax(-1)), -1).astype(np.float32) / np.float32(bins_per_px)
    return points, np.minimum(x.max(-1), y.max(-1)).astype(np.float32)


def find_peaks(
    heatmaps: Float[np.ndarray, "n joint height width"],
) -> tuple[Float[np.ndarray, "n joint 2"], Float[np.ndarray, "n joint"]]:
    """Returns the highest cell of each heatmap (x, y; whole numbers) and the value there."""
    n, joints, _, width = heatmaps.shape
    flat = heatmaps.reshape(n, joints, -1)
    best = flat.argmax(-1)
    score = np.take_along_axis(flat, best[..., None], -1)[..., 0].astype(np.float32)
    return np.stack((best % width, best // width), -1).astype(np.float32), score


def refine_dark(
    points: Float[np.ndarray, "n joint 2"],
    heatmaps: Float[np.ndarray, "n joint height width"],
    *,
    kernel: int,
) -> Float[np.ndarray, "n joint 2"]:
    """Moves peaks to where a Gaussian through the smoothed heatmap has its maximum.
    ``kernel``: odd width of the smoothing in cells; peaks within two cells of the border stay.
    Reference: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose
    Estimation", CVPR 2020, equations 6 to 9; MMPose 1.3.2, ``refine_keypoints_dark``."""
    out = points.copy()
    for i, j, x, y in _inner_peaks(points, heatmaps.shape):
        h = np.log(np.maximum(_smooth(heatmaps[i, j], kernel), _LOG_FLOOR))
        slope = 0.5 * np.array([h[y, x + 1] - h[y, x - 1], h[y + 1, x] - h[y - 1, x]])
        xx = 0.25 * (h[y, x + 2] - 2 * h[y, x] + h[y, x - 2])
        yy = 0.25 * (h[y + 2, x] - 2 * h[y, x] + h[y - 2, x])
        xy = 0.25 * (h[y + 1, x + 1] - h[y - 1, x + 1] - h[y + 1, x - 1] + h[y - 1, x - 1])
        curvature = np.array([[xx, xy], [xy, yy]])
        if np.linalg.det(curvature) != 0:
            out[i, j] -= np.linalg.solve(curvature, slope)
    return out


def heatmap_to_crop(
    points: Float[np.ndarray, "n joint 2"], heatmap_wh: tuple[int, int], crop_wh: tuple[int, int]
) -> Float[np.ndarray, "n joint 2"]:
    """Maps points from cells of the heatmap to pixels of the crop; cell 0 lies on pixel 0."""
    scale = np.array(crop_wh, np.float32) / np.array(heatmap_wh, np.float32)
    return np.asarray(points * scale, np.float32)


def presence_of(score: Float[np.ndarray, "n joint"]) -> Float[np.ndarray, " n"]:
    """Returns how sure a person is, 0..1, from the better half of the joints' scores.
    0.5, from which the tracker believes, stands for a mean score of 0.3."""
    if not len(score):
        return np.zeros(0, np.float32)
    best = np.sort(score, axis=1)[:, score.shape[1] // 2 :]
    return np.clip(best.mean(1) * (0.5 / _SHOWN_SCORE), 0, 1).astype(np.float32)


def _inner_peaks(points: Array, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Lists person, joint, column and row of the peaks at least two cells from the border."""
    margin, (height, width) = 2, shape[-2:]
    cells = points.astype(int)
    x, y = cells[..., 0], cells[..., 1]
    inner = (x >= margin) & (x < width - margin) & (y >= margin) & (y < height - margin)
    return [(int(i), int(j), int(x[i, j]), int(y[i, j])) for i, j in np.argwhere(inner)]


def _smooth(heatmap: Array, kernel: int) -> Array:
    """Returns the heatmap smoothed by a Gaussian (zeros outside), its maximum kept."""
    smooth = cv2.GaussianBlur(heatmap, (kernel, kernel), 0, borderType=cv2.BORDER_CONSTANT)
    highest = smooth.max()
    return np.asarray(smooth * (heatmap.max() / highest) if highest > 0 else smooth)
