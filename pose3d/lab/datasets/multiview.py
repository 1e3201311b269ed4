"""Errors of a second detector: COCO-17 of a dancer in nine views against triangulated joints.

Reference: AIST++ (Li et al., ICCV 2021), annotations CC BY 4.0. Its poses are not trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose3d.body.skeletons import COCO17
from pose3d.errors import DataError
from pose3d.lab.datasets.noise import DETECTED, ResidualBank, bridge_gaps
from pose3d.lab.datasets.npz_files import ODD_VALUES, Layout, blame_file, read_arrays

Array = NDArray[np.floating]

LEAST_KNOWN = 0.8  # share of a clip's errors; others are interpolated in time

VIEWS_LAYOUT = {
    "keypoints_px": "number sequence view frame 17 2",
    "score": "number sequence view frame 17",
    "joints_world_m": "number sequence frame 17 3",
    "time_offset_frames": "number sequence view",
    "K": "number view 3 3",
    "R": "number view 3 3",
    "t": "number view 3",
    "in_range": "flag sequence view frame",
    "fps": "number",
    "split": "text sequence",
}
_TODO = "Give a multi-view track file with --data, or fetch it again"


def read_views(path: Path, layout: Layout) -> dict[str, NDArray[Any]]:
    """Reads the arrays of ``layout``, which has ``fps``, from a multi-view track file."""
    data = read_arrays(path, "multi-view track file", _TODO, layout)
    if not 0 < float(data["fps"]) < np.inf:
        raise DataError(f"{path}: fps is {data['fps']}", _TODO)
    return data


def load_multiview_bank(path: Path, split: str) -> ResidualBank:
    """Reads the errors of every view of the sequences of one split, each a clip of its own."""
    data = read_views(path, VIEWS_LAYOUT)
    with blame_file(path, "multi-view track file", _TODO, ODD_VALUES):
        clips = [
            _residuals(data, int(s), view)
            for s in np.flatnonzero(data["split"] == split)
            for view in range(data["keypoints_px"].shape[1])
            if data["in_range"][s, view].any()
        ]
    kept = [clip for clip in clips if clip is not None]
    if not kept:
        raise DataError(f"No clip of split {split!r} in {path}", "Check --data")
    lengths = [len(error) for error, _, _ in kept]
    return ResidualBank(
        error=torch.from_numpy(np.concatenate([e for e, _, _ in kept])).float(),
        score=torch.from_numpy(np.concatenate([s for _, s, _ in kept])).float(),
        starts=torch.tensor(np.concatenate([[0], np.cumsum(lengths)])),
        fps=torch.full((len(kept),), float(data["fps"])),
        heading_rad=torch.tensor([h for _, _, h in kept]).float(),
    )


def project_reference(
    joints_world_m: Array, offset: float, rotation: Array, shift: Array, intrinsics: Array
) -> tuple[Array, Array]:
    """Projects ``(frame, joint, 3)`` world joints into a view ``offset`` frames late: pixels, and
    joints in camera axes; NaN where the reference, or its velocity, is not known."""
    velocity = np.full_like(joints_world_m, np.nan)
    velocity[2:-2] = (joints_world_m[4:] - joints_world_m[:-4]) / 4  # metres per frame
    joints = (joints_world_m + offset * velocity) @ rotation.T + shift
    pixels = joints @ intrinsics.T
    return pixels[..., :2] / pixels[..., 2:], joints


def _residuals(data: dict[str, Array], s: int, view: int) -> tuple[Array, Array, float] | None:
    """Returns errors ``(frame, 15, 2)`` in person sizes, scores and mean heading of a clip."""
    columns = [COCO17.index[n] for n in DETECTED]
    true_px, joints = project_reference(
        data["joints_world_m"][s].astype(np.float64),
        float(data["time_offset_frames"][s, view]),
        data["R"][view],
        data["t"][view],
        data["K"][view],
    )
    here = np.flatnonzero(data["in_range"][s, view])
    here = np.arange(here[0], here[-1] + 1)
    true_px, joints = true_px[here][:, columns], joints[here]
    # Frames without any reference are NaN throughout, and filled below like single joints.
    low, high = np.fmin.reduce(true_px, axis=1), np.fmax.reduce(true_px, axis=1)
    size = (high - low).max(-1)
    error = (data["keypoints_px"][s, view][here][:, columns] - true_px) / size[:, None, None]
    known = np.isfinite(error).all(-1)  # frame joint
    if known.mean() < LEAST_KNOWN or not known.any(0).all():
        return None
    bridge_gaps(error, known)
    across = joints[:, COCO17.index["left_hip"]] - joints[:, COCO17.index["right_hip"]]
    turns = np.exp(1j * np.arctan2(across[:, 2], across[:, 0]))
    heading = float(np.angle(turns[np.isfinite(turns)].mean()))
    score = data["score"][s, view][here][:, columns].astype(np.float32).clip(0, 1)
    return error, score, heading
