"""People in photographs whose keypoints are labelled: what every data set becomes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.errors import DataError
from pose3d.networks2d.crops import boxes_around
from pose3d.video.picture import Image

UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2  # as in COCO
_AREA_OVER_BOX = 0.53  # of a person, without outlines; ``use_area`` in xtcocotools, as in MMPose


class Images(Protocol):
    """Pictures that are read one by one."""

    def read(self, number: int) -> Image:
        """Returns a picture, RGB; raises DataError where it is missing or damaged."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Pictures in files: ``names`` below ``folder``."""

    folder: Path
    names: tuple[str, ...]

    def read(self, number: int) -> Image:
        """Returns a picture; rotation in EXIF data is ignored, since labels ignore it too."""
        path = self.folder / self.names[number]
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            todo = "Put the pictures beside the labels, as published"
            raise DataError(f"Picture {path} cannot be read ({error.strerror})", todo) from error
        return decode_picture(data, str(path))


def decode_picture(data: NDArray[np.uint8], name: str) -> Image:
    """Decodes the bytes of a JPEG or PNG to RGB; ``name`` is for errors."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise DataError(f"{name} is no readable picture", "Fetch the data set again")
    return np.ascontiguousarray(image[..., ::-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPeople:
    """People, one a row; a picture may hold several."""

    name: str  # data set and split, e.g. ``"coco val2017"``
    skeleton: Skeleton
    images: Images
    image: Int[np.ndarray, " n"]  # number of each person's picture
    ids: Int[np.ndarray, " n"]  # the data set's number of the person
    boxes_xyxy_px: Float[np.ndarray, "n 4"]  # where to look
    # 0.5 at the centre of the first pixel; NaN if unlabelled
    keypoints_px: Float[np.ndarray, "n joint 2"]
    visibility: Int[np.ndarray, "n joint"]  # 0 unlabelled, 1 hidden, 2 visible
    area_px2: Float[np.ndarray, " n"]  # of the person, which OKS divides by
    head_px: Float[np.ndarray, " n"]  # which PCKh divides by; NaN if not known
    ignored: Bool[np.ndarray, " n"]  # finding them is neither right nor wrong: crowds, no keypoints
    crowd: Bool[np.ndarray, " n"]  # boxes around many people; all are ignored
    licence: str = ""  # for weights trained on the pictures; empty: see the data set

    def __post_init__(self) -> None:
        n, j = len(self.ids), len(self.skeleton)
        shapes = {"boxes_xyxy_px": (n, 4), "keypoints_px": (n, j, 2), "visibility": (n, j)}
        for name, array in self._columns().items():
            if array.shape != shapes.get(name, (n,)):
                raise ValueError(f"{name} has the shape {array.shape} for {n} people")
        if not (np.isfinite(self.keypoints_px).all(-1) == (self.visibility > 0)).all():
            raise ValueError("keypoints_px must be NaN exactly where visibility is 0")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> LabelledPeople:
        """Returns these people alone, with the same pictures."""
        return replace(self, **{name: array[rows] for name, array in self._columns().items()})

    def _columns(self) -> dict[str, Any]:
        every = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: array for name, array in every.items() if isinstance(array, np.ndarray)}


def area_of(keypoints_px: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the area of people ``(n,)`` px2 from ``(n, joint, 2)`` keypoints; 0 without any."""
    boxes = label_boxes(keypoints_px)
    wh = np.nan_to_num(boxes[:, 2:] - boxes[:, :2])
    return np.asarray(_AREA_OVER_BOX * wh[:, 0] * wh[:, 1], np.float64)


def label_boxes(keypoints_px: NDArray[np.floating]) -> NDArray[np.float32]:
    """Returns boxes ``(n, 4)`` as :func:`boxes_around` makes them; NaN without keypoints."""
    out = np.full((len(keypoints_px), 4), np.nan, np.float32)
    for row, points in zip(out, keypoints_px, strict=True):
        known = points[np.isfinite(points).all(-1)]
        if len(known):
            row[:] = boxes_around(known[None].astype(np.float32))[0]
    return out
