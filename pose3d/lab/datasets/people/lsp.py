"""Leeds Sports Pose and its extended training set: ``joints.mat`` and ``images/im*.jpg``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LSP14
from pose3d.errors import DataError, unknown_name
from pose3d.lab.datasets.people.labelled import (
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    ImageFiles,
    LabelledPeople,
    area_of,
    label_boxes,
)
from pose3d.lab.datasets.people.matlab import read_mat

RESEARCH_ONLY = "research only (LSP-extended states no licence)"
_HEAD = [LSP14.index["neck"], LSP14.index["head_top"]]
_ROWS = 3  # x, y, flag


def load_lsp(folder: Path, split: str) -> LabelledPeople:
    """Reads Leeds Sports Pose, ``joints.mat`` (3, 14, n): ``train``, ``test`` (halves), ``all``.

    The third row is 1 where a joint is hidden. Reference: Johnson and Everingham, "Clustered Pose
    and Nonlinear Appearance Models for Human Pose Estimation", BMVC 2010.
    """
    if split not in ("train", "test", "all"):
        raise unknown_name("split of LSP", split, ("train", "test", "all"))
    raw = _read_joints(folder, (_ROWS, len(LSP14)), (2, 1, 0))
    half = len(raw) // 2
    rows = {"train": slice(0, half), "test": slice(half, None), "all": slice(None)}
    visibility = np.where(raw[..., 2] > 0, HIDDEN, VISIBLE)
    numbers = np.arange(len(raw))[rows[split]]
    return _make(f"lsp {split}", folder, "im{:04d}.jpg", raw[..., :2], visibility, numbers)


def load_lsp_extended(folder: Path, split: str) -> LabelledPeople:
    """Reads the ``train`` split of LSP-extended, (14, 3, n); third column 1: labelled.

    Reference: Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate
    Annotation", CVPR 2011.
    """
    if split != "train":
        raise unknown_name("split of LSP-extended", split, ("train",))
    raw = _read_joints(folder, (len(LSP14), _ROWS), (2, 0, 1))
    visibility = np.where(raw[..., 2] > 0, VISIBLE, UNLABELLED)
    numbers = np.arange(len(raw))
    return _make("lsp-extended", folder, "im{:05d}.jpg", raw[..., :2], visibility, numbers)


def _read_joints(
    folder: Path, shape: tuple[int, int], order: tuple[int, int, int]
) -> NDArray[np.float64]:
    path = folder / "joints.mat"
    joints = read_mat(path).get("joints")
    if not isinstance(joints, np.ndarray) or joints.ndim != 3 or joints.shape[:2] != shape:
        found = joints.shape if isinstance(joints, np.ndarray) else "no such array"
        raise DataError(
            f"'joints' in {path} should have the shape {(*shape, 'n')}; found: {found}",
            "LSP has 3 x 14 x n, LSP-extended 14 x 3 x n: choose the data set accordingly",
        )
    return np.asarray(joints, np.float64).transpose(order)


def _make(
    name: str,
    folder: Path,
    pattern: str,
    points: NDArray[np.float64],
    visibility: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> LabelledPeople:
    """Makes the record; Matlab's pixels begin at 1, ours at 0.5."""
    points = np.where(visibility[..., None] > 0, points - 0.5, np.nan)[numbers]
    boxes = label_boxes(points)
    head = np.linalg.norm(points[:, _HEAD[0]] - points[:, _HEAD[1]], axis=-1)
    nobody = np.asarray(np.isnan(boxes).any(axis=1), bool)
    return LabelledPeople(
        name=name,
        skeleton=LSP14,
        images=ImageFiles(folder / "images", tuple(pattern.format(i + 1) for i in numbers)),
        image=np.arange(len(numbers)),
        ids=numbers + 1,
        boxes_xyxy_px=np.where(nobody[:, None], np.float32(0), boxes),
        keypoints_px=points.astype(np.float32),
        visibility=visibility[numbers].astype(np.int64),
        area_px2=area_of(points),
        head_px=head,
        ignored=nobody,
        crowd=np.zeros(len(numbers), bool),
        licence=RESEARCH_ONLY,
    )
