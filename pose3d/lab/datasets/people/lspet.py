"""``lspet.npz``: people of LSP-extended, cropped to 256 px at most, without pickles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LSP14
from pose3d.errors import unknown_name
from pose3d.lab.datasets.npz_files import read_arrays
from pose3d.lab.datasets.people.labelled import (
    UNLABELLED,
    VISIBLE,
    LabelledPeople,
    area_of,
    decode_picture,
)
from pose3d.lab.datasets.people.lsp import RESEARCH_ONLY
from pose3d.networks2d.crops import BOX_PADDING
from pose3d.video.picture import Image

SPLITS = ("train", "train-all", "val", "test")
_LAYOUT = {
    "jpeg": "number byte",
    "offsets": "number bound",
    "keypoints_px": "number person 14 2",
    "suspicious": "flag person",
    "few_joints": "flag person",
    "split": "text person",
    "size_px": "number person",
}


@dataclass(frozen=True, slots=True)
class JpegArray:
    """Pictures in one array of bytes; each file begins at one of ``offsets``."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def read(self, number: int) -> Image:
        part = self.data[self.offsets[number] : self.offsets[number + 1]]
        return decode_picture(part, f"picture {number} of lspet.npz")


def load_lspet(folder: Path, split: str) -> LabelledPeople:
    """Reads people of LSP-extended: the box, enlarged for the crop, is the picture.

    How the file counts pixels is not stated; half a pixel of 190 is left open. Splits: ``train`` (no
    suspicious or fewer than 8 labels), ``train-all``, ``val``, ``test``.
    """
    if split not in SPLITS:
        raise unknown_name("split of lspet", split, SPLITS)
    path = folder if folder.is_file() else folder / "lspet.npz"
    arrays: dict[str, Any] = read_arrays(path, "NPZ file", "Give lspet.npz or its folder", _LAYOUT)
    chosen = arrays["split"] == split.removesuffix("-all")
    if split == "train":
        chosen &= ~(arrays["suspicious"] | arrays["few_joints"])
    rows = np.flatnonzero(chosen)
    points = arrays["keypoints_px"][rows].astype(np.float32)
    labelled = np.isfinite(points).all(-1)
    points[~labelled] = np.nan
    side = arrays["size_px"][rows].astype(np.float32)
    margin = side * (1 - 1 / BOX_PADDING) / 2
    boxes = np.stack((margin, margin, side - margin, side - margin), -1)
    neck, top = LSP14.index["neck"], LSP14.index["head_top"]
    return LabelledPeople(
        name=f"lspet {split}",
        skeleton=LSP14,
        images=JpegArray(arrays["jpeg"], arrays["offsets"]),
        image=rows,
        ids=rows,
        boxes_xyxy_px=boxes.astype(np.float32),
        keypoints_px=points,
        visibility=np.where(labelled, VISIBLE, UNLABELLED),
        area_px2=area_of(points),
        head_px=np.linalg.norm(points[:, neck] - points[:, top], axis=-1).astype(np.float64),
        ignored=~labelled.any(1),
        crowd=np.zeros(len(rows), bool),
        licence=RESEARCH_ONLY,
    )
