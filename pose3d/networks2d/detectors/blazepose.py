"""BlazePose's person detector, on the whole picture and on tiles, which show small people larger.
Reference: the graphs ``pose_detection_cpu`` and ``pose_detection_to_roi`` of MediaPipe 0.10.21,
whose constants are used here."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import compute_iou
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.regions import boxes_of_regions, crop_region, regions_from_spines
from pose3d.networks2d.runtimes.litert import LiteRtPart, Network
from pose3d.video.picture import Image

_SIZE_PX = 224
_MIN_SCORE = 0.5
_MIN_OVERLAP = 0.3  # boxes of the network (head and shoulders) that overlap more are one person
_REGION_SCALE = 1.25
_TILE_SIDES = (0.55, 0.33)  # shares of the picture's longer side
_TILE_OVERLAP = 0.4
_MIN_TILE_PX = 160  # smaller tiles would only be enlarged pixels
_CUT_PENALTY = 0.5
Array = NDArray[np.floating]


class BlazePoseDetector(LiteRtPart):
    """Finds people and where the BlazePose landmark network has to look."""

    DEFAULT_WEIGHTS = "blazepose.detection"

    def detect(self, image: Image) -> Detections:
        """Returns the people of a picture, best first: whole picture and all tiles."""
        return self._detect_in(image, self.windows(image))

    def windows(self, image: Image) -> Array:
        """Returns ``(n, 4)`` regions that :meth:`detect` looks into, the whole picture first."""
        height, width = image.shape[:2]
        return _windows(width, height)

    def detect_near(self, image: Image, regions: NDArray[np.floating]) -> Detections:
        """Returns the people found in ``(n, 4)`` regions, whose rotation does not matter."""
        windows = np.array(regions, np.float32).reshape(-1, 4)
        windows[:, 3] = 0
        return self._detect_in(image, windows)

    def _detect_in(self, image: Image, windows: Array) -> Detections:
        found = self._networks.map(lambda network, w: _look(network, image, w), list(windows))
        score, boxes, spines = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if not len(score):
            return Detections.none()
        regions = regions_from_spines(spines[:, 0], spines[:, 1], scale=_REGION_SCALE)
        height, width = image.shape[:2]
        inside = np.repeat(windows, [len(f[0]) for f in found], axis=0)
        rank = score * np.where(_is_cut(regions, inside, (width, height)), _CUT_PENALTY, 1)
        keep = _suppress(boxes, regions, rank)
        body = boxes_of_regions(regions[keep], shrink=1 / _REGION_SCALE)
        return Detections(
            boxes_xyxy_px=np.clip(body, 0, [width, height, width, height]).astype(np.float32),
            score=score[keep],
            regions=regions[keep],
        )


@cache
def _anchors() -> Array:
    """Returns the centres of the network's anchors, ``(2254, 2)`` in 0..1; their sizes are 1."""
    centres = []
    for stride, per_cell in ((8, 2), (16, 2), (32, 6)):
        cells = _SIZE_PX // stride
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack((x, y), -1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(centres).astype(np.float32)


@cache
def _windows(width: int, height: int) -> Array:
    """Returns where to look: ``(n, 4)`` regions, the whole picture (square, black margin) first."""
    longer = max(width, height)
    windows = [(width / 2, height / 2, float(longer), 0.0)]
    for share in _TILE_SIDES:
        side = share * longer
        if side < _MIN_TILE_PX:
            break
        windows += [
            (x, y, side, 0.0) for y in _centres(height, side) for x in _centres(width, side)
        ]
    return np.array(windows, np.float32)


def _centres(length: float, side: float) -> list[float]:
    """Returns the centres of the fewest overlapping tiles that cover ``length`` pixels."""
    if side >= length:
        return [length / 2]
    n = 1 + math.ceil((length - side) / (side * (1 - _TILE_OVERLAP)) - 1e-6)
    return [float(c) for c in np.linspace(side / 2, length - side / 2, n)]


def _look(network: Network, image: Image, window: Array) -> tuple[Array, Array, Array]:
    """Returns scores, boxes of head and shoulders, spines ``(n, 2, 2)`` (hips, to the head)."""
    picture = crop_region(image, window, _SIZE_PX, border=cv2.BORDER_CONSTANT)
    out = network(picture, scale=1 / 127.5, offset=-1)
    logits = out["Identity_1"][:, 0]
    likely = np.flatnonzero(logits > math.log(_MIN_SCORE / (1 - _MIN_SCORE)))
    score = np.asarray(1 / (1 + np.exp(-np.minimum(logits[likely], 60))), np.float32)
    values = out["Identity"][likely].reshape(-1, 6, 2) / _SIZE_PX
    values[:, [0, 2, 3, 4, 5]] += _anchors()[likely, None]
    half = values[:, 1] / 2
    near = np.concatenate((values[:, 0] - half, values[:, 0] + half), -1)
    best, boxes, spines = _blend(score, near, values[:, 2:4])
    corner, side = window[:2] - window[2] / 2, window[2]
    return best, boxes * side + np.tile(corner, 2), spines * side + corner


def _blend(score: Array, boxes: Array, points: Array) -> tuple[Array, Array, Array]:
    """Replaces overlapping boxes by their mean, weighted by score (MediaPipe's weighted NMS)."""
    order = np.argsort(-score, kind="stable")
    out_score, out_boxes, out_points = [], [], []
    while len(order):
        best = order[0]
        same = compute_iou(boxes[[best]], boxes[order])[0] > _MIN_OVERLAP
        same[0] = True
        group = order[same]
        weight = score[group] / score[group].sum()
        out_score.append(score[best])
        out_boxes.append(weight @ boxes[group])
        out_points.append(np.einsum("g,gpa->pa", weight, points[group]))
        order = order[~same]
    return (
        np.array(out_score, np.float32),
        np.array(out_boxes, np.float32).reshape(-1, 4),
        np.array(out_points, np.float32).reshape(-1, 2, 2),
    )


def _containment(box: Array, boxes: Array) -> Array:
    """Returns the intersection of one box with others, as shares of the smaller area."""
    wh = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.clip(wh, 0, None).prod(-1)
    areas = np.minimum((box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(-1))
    return np.asarray(common / np.maximum(areas, np.float32(1e-9)))


def _is_cut(regions: Array, windows: Array, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Tells whose body leaves the window it was seen in through an edge inside the picture."""
    body = boxes_of_regions(regions, shrink=1 / _REGION_SCALE)
    window = boxes_of_regions(windows)
    limit = np.array([0, 0, *size_wh], np.float32)
    slack = 0.05 * windows[:, 2:3]
    low = (body[:, :2] < window[:, :2] - slack) & (window[:, :2] > limit[:2])
    high = (body[:, 2:] > window[:, 2:] + slack) & (window[:, 2:] < limit[2:])
    return np.asarray((low | high).any(-1))


def _suppress(heads: Array, regions: Array, rank: Array) -> list[int]:
    """Keeps one detection per person, best first: they are one when heads or bodies coincide."""
    bodies = boxes_of_regions(regions)
    kept: list[int] = []
    for i in np.argsort(-rank, kind="stable"):
        if kept:
            head = compute_iou(heads[[i]], heads[kept])[0]
            contained = _containment(heads[i], heads[kept])
            body = compute_iou(bodies[[i]], bodies[kept])[0]
            if ((head > _MIN_OVERLAP) | (contained > 0.7) | (body > 0.6)).any():
                continue
        kept.append(int(i))
    return kept
