"""RTMDet and YOLOX person detectors from ONNX files (extra ``[rtmpose]``), without MMDetection.
Outputs tell the kind of export: boxes after suppression as MMDeploy writes them (``dets``,
``labels``), boxes and scores before it, or YOLOX's undecoded grid.
Reference: Lyu et al., "RTMDet: An Empirical Study of Designing Real-Time Object Detectors",
2022; Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021; constants from MMDetection 3.3,
``configs/rtmdet`` and ``configs/yolox``, and Megvii-BaseDetection/YOLOX,
``yolox/utils/demo_utils.py``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import compute_iou
from pose3d.errors import WeightsError
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.runtimes.onnxrt import OnnxPart
from pose3d.video.picture import Image

_SIZE_WH = (640, 640)  # input of networks that take any
_PADDING = 114  # grey around the picture
_STRIDES = (8, 16, 32)
_MIN_SCORE = 0.3
_MAX_OVERLAP = 0.65  # boxes that overlap more are one person
_PERSON = 0  # COCO's first class, and the only one of networks for people
Array = NDArray[np.floating]


def _channels(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(3, 1, 1)


class _OnnxDetector(OnnxPart):
    _MEAN: NDArray[np.float32]  # ``(value - mean) / std``, blue first
    _STD: NDArray[np.float32]

    def detect(self, image: Image) -> Detections:
        """Returns the people of a picture, best first."""
        size_wh = self._network.size_wh or _SIZE_WH
        picture, scale = letterbox(image, size_wh)
        planes = picture[:, :, ::-1].transpose(2, 0, 1)[None]
        planes = (planes - self._MEAN) / self._STD
        out = self._network(np.ascontiguousarray(planes, np.float32))
        boxes, score = self._read(out, size_wh)
        height, width = image.shape[:2]
        boxes = np.clip(boxes / np.tile(scale, 2), 0, [width, height, width, height])
        order = np.argsort(-score, kind="stable")
        return Detections(
            boxes_xyxy_px=boxes[order].astype(np.float32), score=score[order].astype(np.float32)
        )

    def _read(self, out: Sequence[Array], size_wh: tuple[int, int]) -> tuple[Array, Array]:
        """Returns boxes in pixels of the input and scores of the people in it."""
        arrays = sorted((a[0] for a in out), key=lambda a: -a.ndim)
        shapes = [a.shape for a in arrays]
        if len(arrays) == 2 and shapes[0][-1] == 5 and arrays[1].ndim == 1:
            boxes, score, label = arrays[0][:, :4], arrays[0][:, 4], arrays[1]
            keep = (label == _PERSON) & (score >= _MIN_SCORE)
            return boxes[keep], score[keep]
        if len(arrays) == 2 and all(a.ndim == 2 for a in arrays):
            first, second = arrays if shapes[0][1] == 4 else arrays[::-1]
            if first.shape[1] == 4 and len(first) == len(second):
                return suppress(first, _person_score(second))
        if len(arrays) == 1 and arrays[0].ndim == 2 and shapes[0][1] > 5:
            values = arrays[0]
            return suppress(
                decode_grid(values[:, :4], size_wh), values[:, 4] * _person_score(values[:, 5:])
            )
        raise WeightsError(
            f"{self._path} gives arrays of shapes {', '.join(map(str, shapes))}, which are no boxes",
            "Give a detector with outputs dets and labels, boxes and scores, or YOLOX's grid",
        )


class RTMDetDetector(_OnnxDetector):
    """Finds people with an RTMDet network."""

    DEFAULT_WEIGHTS = "rtmdet.person-m"
    _MEAN = _channels(103.53, 116.28, 123.675)
    _STD = _channels(57.375, 57.12, 58.395)


class YOLOXDetector(_OnnxDetector):
    """Finds people with a YOLOX network."""

    DEFAULT_WEIGHTS = "yolox.humanart-m"
    _MEAN = _channels(0, 0, 0)
    _STD = _channels(1, 1, 1)


def letterbox(image: Image, size_wh: tuple[int, int]) -> tuple[Image, NDArray[np.float64]]:
    """Returns a picture in a grey frame's upper left corner, and frame pixels per pixel (x, y)."""
    height, width = image.shape[:2]
    ratio = min(size_wh[0] / width, size_wh[1] / height)
    inner = max(1, round(width * ratio)), max(1, round(height * ratio))
    out = np.full((size_wh[1], size_wh[0], 3), _PADDING, np.uint8)
    out[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    return out, np.array([inner[0] / width, inner[1] / height])


def decode_grid(values: Array, size_wh: tuple[int, int]) -> Array:
    """Returns xyxy boxes ``(cell, 4)`` in input pixels from YOLOX's values for its grids.
    ``values`` are the centre from the cell's corner and the logarithms of width and height, all
    in cells; rows of the finest grid first."""
    corners, strides = _grid(size_wh)
    if len(values) != len(corners):
        raise WeightsError(
            f"{len(values)} boxes do not fit a grid of {size_wh}",
            "Give a YOLOX of strides 8, 16, 32",
        )
    centre = (values[:, :2] + corners) * strides
    half = np.exp(values[:, 2:4]) * strides / 2
    return np.concatenate((centre - half, centre + half), -1)


@cache
def _grid(size_wh: tuple[int, int]) -> tuple[Array, Array]:
    """Returns the cells of all grids: their numbers ``(cell, 2)`` and strides ``(cell, 1)``."""
    corners, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: size_wh[1] // stride, : size_wh[0] // stride]
        corners.append(np.stack((x, y), -1).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _person_score(scores: Array) -> Array:
    """Returns the scores of people where they are the likeliest class, 0 elsewhere."""
    return np.where(scores.argmax(1) == _PERSON, scores[:, _PERSON], 0)


def suppress(boxes: Array, score: Array) -> tuple[Array, Array]:
    """Keeps the likely boxes that no better one overlaps much, best first."""
    likely = np.flatnonzero(score >= _MIN_SCORE)
    order = likely[np.argsort(-score[likely], kind="stable")]
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[compute_iou(boxes[[best]], boxes[rest])[0] <= _MAX_OVERLAP]
    return boxes[kept], score[kept]
