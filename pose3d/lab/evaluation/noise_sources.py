"""2D detections beside exact truth, measured and generated, in one layout that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose3d.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    H36M17,
    LIMBS,
)
from pose3d.errors import DataError
from pose3d.lab.datasets.cameras import draw_shots
from pose3d.lab.datasets.motions import MOCAP_JOINTS, vary_bodies
from pose3d.lab.datasets.multiview import project_reference
from pose3d.lab.datasets.noise import DETECTED, ResidualBank
from pose3d.lab.evaluation.generated import cut_pieces
from pose3d.lab.training.batches import BatchOptions, draw_detections

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

RATE = 30.0
"""Frames per second at which everything is compared."""
PIECE_FRAMES = 90
"""Longest piece: what is constant over a piece must mean the same for every source."""
LEAST_KNOWN = 11
"""Joints of the 13 (12 limb joints and the nose) that must be known to tell a person's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip of a detector.

    Args:
        detected_px: ``(frame, 12, 2)`` limb joints; NaN where nothing was detected.
        score: ``(frame, 12)`` 0..1.
        true_px: ``(frame, 13, 2)`` limb joints and the nose; NaN where not known.
        heading_rad: ``(frame,)`` 0 towards the camera; NaN where not known.
        size_wh: of the picture in pixels.
        rate: frames per second.
    """

    detected_px: Array
    score: Array
    true_px: Array
    heading_rad: Array
    size_wh: tuple[float, float]
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Detections of a source, cut into pieces of at most ``PIECE_FRAMES``, NaN after their ends.

    Lengths are in units of the person's size, the longer side of the box around the true limb joints
    and the nose. (The training's unit has the ears in it as well: a tenth larger for who stands.)

    Args:
        error: ``(piece, frame, 12, 2)`` detection minus truth, x right, y down; NaN: not known.
        true: ``(piece, frame, 12, 2)`` true place in the picture.
        inside: ``(piece, frame, 12)`` the true place is inside the picture.
        score: ``(piece, frame, 12)``.
        size_px: ``(piece, frame)`` the unit.
        heading_rad: ``(piece, frame)``.
        timed: ``(piece,)`` at ``RATE``: only these count where time matters.
        generated: made by the training's generator.
    """

    error: Array
    true: Array
    inside: Mask
    score: Array
    size_px: Array
    heading_rad: Array
    timed: Mask
    generated: bool


def pack(clips: Iterable[Clip], *, generated: bool = False) -> Detections:
    """Cuts clips into pieces and brings them into units of the person's size."""
    pieces = [
        (clip, slice(first, first + PIECE_FRAMES))
        for clip in clips
        for first in range(0, len(clip.score), PIECE_FRAMES)
    ]
    n, limbs = len(pieces), len(LIMBS)
    error = np.full((n, PIECE_FRAMES, limbs, 2), np.nan)
    true, score = error.copy(), error[..., 0].copy()
    size_px, heading = score[..., 0].copy(), score[..., 0].copy()
    inside = np.zeros(score.shape, bool)
    for i, (clip, rows) in enumerate(pieces):
        true_px, n_here = clip.true_px[rows], len(clip.score[rows])
        known = np.isfinite(true_px).all(-1).sum(1) >= LEAST_KNOWN
        size = (np.fmax.reduce(true_px, axis=1) - np.fmin.reduce(true_px, axis=1)).max(-1)
        size = np.where(known, size, np.nan)
        unit = size[:, None, None]
        error[i, :n_here] = (clip.detected_px[rows] - true_px[:, :limbs]) / unit
        true[i, :n_here] = true_px[:, :limbs] / unit
        limits = (true_px[:, :limbs] >= 0) & (true_px[:, :limbs] <= clip.size_wh)
        inside[i, :n_here] = limits.all(-1)
        score[i, :n_here] = clip.score[rows]
        size_px[i, :n_here] = size
        heading[i, :n_here] = clip.heading_rad[rows]
    return Detections(
        error=error,
        true=true,
        inside=inside,
        score=score,
        size_px=size_px,
        heading_rad=heading,
        timed=np.array([abs(clip.rate / RATE - 1) < 0.01 for clip, _ in pieces], bool),
        generated=generated,
    )


# -- measured ----------------------------------------------------------------------------------


def read_rendered_noise(path: Path, split: str) -> Detections:
    """Returns BlazePose on rendered people against exact truth (layout: ``rendered/README.md``).

    Raises:
        DataError: the file is no such file.
    """
    limbs = [H36M17.index[n] for n in LIMBS]
    columns = [BLAZEPOSE33.index[n] for n in LIMBS]
    clips = []
    try:
        with np.load(path, allow_pickle=False) as z:
            data = {k: z[k] for k in z.files}
        for c in np.flatnonzero(data["split"] == split):
            rows = slice(data["starts"][c], data["starts"][c + 1])
            true_px = data["joints_px"][rows].astype(np.float64)
            clips.append(
                Clip(
                    detected_px=data["lm_px"][rows][:, columns].astype(np.float64),
                    score=data["visibility"][rows][:, columns].astype(np.float64),
                    true_px=true_px[:, [*limbs, H36M17.index["neck_nose"]]],
                    heading_rad=np.deg2rad(data["heading"][rows].astype(np.float64)),
                    size_wh=(float(data["size_wh"][c][0]), float(data["size_wh"][c][1])),
                    rate=float(data["fps"][c]),
                )
            )
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no track file ({error})", "Check --data") from error
    if not clips:
        raise DataError(f"No clip of split {split!r} in {path}", "Check --data")
    return pack(clips)


def read_multiview_noise(path: Path, split: str) -> Detections:
    """Returns a COCO detector against a reference from nine views (layout: ``aist/README.md``).

    The tracks have 60 frames a second: every second one is taken.

    Raises:
        DataError: the file is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as z:
            data = {k: z[k] for k in z.files}
        clips = [
            _multiview_clip(data, int(s), view)
            for s in np.flatnonzero(data["split"] == split)
            for view in range(data["keypoints_px"].shape[1])
        ]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no multi-view track file ({error})", "Check --data") from error
    if not clips:
        raise DataError(f"No clip of split {split!r} in {path}", "Check --data")
    return pack(clips)


def _multiview_clip(data: dict[str, Array], s: int, view: int) -> Clip:
    limbs = [COCO17.index[n] for n in LIMBS]
    true_px, joints = project_reference(
        data["joints_world_m"][s].astype(np.float64),
        float(data["time_offset_frames"][s, view]),
        data["R"][view],
        data["t"][view],
        data["K"][view],
    )
    step = round(float(data["fps"]) / RATE)
    rows = np.flatnonzero(data["in_range"][s, view])[::step]
    across = joints[:, COCO17.index["left_hip"]] - joints[:, COCO17.index["right_hip"]]
    return Clip(
        detected_px=data["keypoints_px"][s, view][rows][:, limbs].astype(np.float64),
        score=data["score"][s, view][rows][:, limbs].astype(np.float64).clip(0, 1),
        true_px=true_px[rows][:, [*limbs, COCO17.index["nose"]]],
        heading_rad=np.arctan2(across[rows, 2], across[rows, 0]),
        size_wh=(float(data["size_wh"][0]), float(data["size_wh"][1])),
        rate=float(data["fps"]) / step,
    )


# -- generated ---------------------------------------------------------------------------------


def generate_noise(
    motion_files: Sequence[Path],
    bank: ResidualBank | None,
    residual_share: float,
    *,
    rounds: int,
    seed: int,
) -> Detections:
    """Returns what the training's generator makes of motions that were never trained on.

    Args:
        motion_files: their ``val`` parts are filmed, in pieces of ``PIECE_FRAMES``.
        bank: residuals of real detectors.
        residual_share: share of the pieces that get residuals of ``bank``, the others get
            parametric noise.
        rounds: how often each piece is filmed, each time by another camera with another body.
        seed: of everything random; the same seed films the same truth whatever the noise.

    Raises:
        DataError: see :func:`pose3d.lab.evaluation.generated.cut_pieces`.
    """
    seconds = PIECE_FRAMES / RATE
    pieces = [
        cut_pieces(path, seconds=seconds, rate=RATE, most=None, seed=seed, split="val")
        for path in motion_files
    ]
    world = torch.cat([p.joints_world_m for p in pieces]).repeat(rounds, 1, 1, 1)
    rng = torch.Generator().manual_seed(seed)
    world = world[torch.randperm(len(world), generator=rng)]
    shots = draw_shots(vary_bodies(world, rng), rng)
    truth = shots.points_px[:, :, [MOCAP_JOINTS.index(n) for n in DETECTED]]
    points, score = draw_detections(
        truth,
        shots.size_wh,
        shots.heading_rad,
        torch.full((len(world),), RATE),
        BatchOptions(frames=PIECE_FRAMES, residual_share=residual_share),
        bank,
        torch.Generator().manual_seed(seed + 1),
    )
    limbs = len(LIMBS)
    return pack(
        (
            Clip(
                detected_px=points[i, :, :limbs].double().numpy(),
                score=score[i, :, :limbs].double().numpy(),
                true_px=truth[i, :, : limbs + 1].double().numpy(),
                heading_rad=shots.heading_rad[i].double().numpy(),
                size_wh=(float(shots.size_wh[i, 0]), float(shots.size_wh[i, 1])),
                rate=RATE,
            )
            for i in range(len(world))
        ),
        generated=True,
    )
