"""Clips with truth from real detections in many views, and from samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import COCO17, H36M17, LIMBS
from pose3d.errors import DataError
from pose3d.lab.datasets.multiview import VIEWS_LAYOUT, read_views
from pose3d.lab.datasets.npz_files import ODD_VALUES, blame_file
from pose3d.lab.evaluation.compare import LEAST_KNOWN, limb_columns, limb_joints
from pose3d.lab.evaluation.samples import (
    load_truth,
    match_people,
    overlap_of,
    track_clip,
    truth_path,
)
from pose3d.lab.evaluation.tracks import TruthClip, single_person
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models
from pose3d.result.record import PoseSequence
from pose3d.tracking.clip import Tracks

Array = NDArray[np.floating]

LIKE_FOR_LIKE = "upright"  # label of the aist sequence that is no floor work
_AIST_LAYOUT = {
    **VIEWS_LAYOUT,
    "reliable": "flag sequence frame 17",
    "size_wh": "number 2",
    "names": "text sequence",
    "view_names": "text view",
    "joint_names": "text 17",
}
_TODO = "Give another file, or fetch it again"


# -- aist --------------------------------------------------------------------------------------


def read_aist(
    path: Path, split: str = "val", *, seconds: float | None = 4.0, seed: int = 0
) -> list[TruthClip]:
    """Returns real COCO detections with the multi-view reference, one clip a sequence and view.

    The reference is moved to the instant at which the view saw it (``time_offset_frames``), turned into
    the view's axes, and masked joint by joint (``reliable``). Each clip is ``seconds`` long, from a place
    drawn with ``seed``; None: whole.
    """
    rng = np.random.default_rng(seed)
    data = read_views(path, _AIST_LAYOUT)
    if tuple(data["joint_names"]) != COCO17.joints:
        raise DataError(f"{path} has other joints than {COCO17.name}", _TODO)
    fps = float(data["fps"])
    clips = []
    with blame_file(path, "multi-view track file", _TODO, ODD_VALUES):
        for s in np.flatnonzero(data["split"] == split):
            for v in range(len(data["view_names"])):
                rows = np.flatnonzero(data["in_range"][s, v])
                if not len(rows):
                    continue
                first, last = int(rows[0]), int(rows[-1]) + 1
                if seconds is not None:
                    length = min(last - first, round(seconds * fps))
                    first += int(rng.integers(last - first - length + 1))
                    last = first + length
                clips.append(_aist_clip(data, int(s), v, slice(first, last)))
    if not clips:
        raise DataError(f"{path} has no clip of split {split!r}", _TODO)
    return clips


def _aist_clip(data: dict[str, Any], s: int, v: int, rows: slice) -> TruthClip:
    limbs = limb_columns(COCO17)
    world = np.where(data["reliable"][s].astype(bool)[..., None], data["joints_world_m"][s], np.nan)
    world = world[:, limbs].astype(np.float64)
    rotation, shift = data["R"][v], data["t"][v]
    cam = moved_in_time(world, float(data["time_offset_frames"][s, v]))[rows] @ rotation.T + shift
    hips = cam[:, [LIMBS.index("left_hip"), LIMBS.index("right_hip")]].mean(1)
    rooted = np.asarray(np.isfinite(hips).all(-1))
    # Where the hips are not known any point does: only the Procrustes error is taken there.
    truth = cam - np.where(rooted[:, None], hips, 0.0)[:, None]
    eye = -rotation.T @ shift
    known = np.asarray(np.isfinite(world[rows]).all(-1))
    middle = np.where(known[..., None], world[rows], 0).sum(1)
    middle = middle / np.maximum(known.sum(1), 1)[:, None]
    ray = eye - middle
    elevation = np.degrees(np.arctan2(ray[:, 2], np.linalg.norm(ray[:, :2], axis=-1)))
    name, (w, h) = str(data["names"][s]), data["size_wh"]
    points = data["keypoints_px"][s, v, rows]
    score = np.clip(data["score"][s, v, rows].astype(np.float64), 0, 1)
    return TruthClip(
        name=f"{name}/{data['view_names'][v]}",
        action=LIKE_FOR_LIKE if name.endswith("ch06") else "floor work",
        pose=single_person(name, points, score, COCO17, (int(w), int(h)), float(data["fps"])),
        truth_m=truth,
        rooted=rooted,
        used=data["in_range"][s, v, rows].astype(bool) & (known.sum(1) >= LEAST_KNOWN),
        elevation_deg=elevation,
    )


def moved_in_time(points: Array, offset: float) -> Array:
    """Returns points ``(frame, joint, axis)`` at ``frame + offset``, on the line to the neighbour.

    ``offset`` is -1 to 1. NaN spreads to the frame that needs it; beyond the ends all is NaN.
    """
    if offset == 0:
        return points
    other = np.full_like(points, np.nan)
    if offset > 0:
        other[:-1] = points[1:]
    else:
        other[1:] = points[:-1]
    return points + abs(offset) * (other - points)


# -- samples -----------------------------------------------------------------------------------


def track_samples(clip: Path, options: RunOptions, models: Models) -> list[TruthClip]:
    """Runs the 2D networks on a sample clip; one clip for every true person.

    Whom nobody found has a clip without keypoints: no frame of it is covered.
    """
    truth = load_truth(truth_path(clip))
    tracks = track_clip(clip, options, models)
    overlap = overlap_of(clip, truth, tracks)
    clips = []
    ids = tracks.pose.person_ids.tolist()
    for person, column in enumerate(match_people(overlap)):
        pose, world = _one_person(tracks, None if column is None else ids[column])
        clips.append(
            TruthClip(
                name=f"{clip.stem} {person}" if truth.visible.shape[1] > 1 else clip.stem,
                action=clip.stem,
                pose=pose,
                truth_m=limb_joints(truth.joints_cam_m[:, person], H36M17),
                used=truth.visible[:, person],
                elevation_deg=np.full(len(truth.visible), np.nan),
                world_m=world,
            )
        )
    return clips


def _one_person(tracks: Tracks, person: int | None) -> tuple[PoseSequence, Array | None]:
    """Returns keypoints and the 2D network's own limbs of one person; None: of nobody, all NaN."""
    pose, world = tracks.pose, tracks.world_m
    limbs = None if world is None else np.full((pose.n_frames, len(LIMBS), 3), np.nan)
    if person is None:
        return pose.select_people([]), limbs
    if world is not None and limbs is not None:
        span = pose.span_of(person)
        limbs[span.frames] = limb_joints(world[span.rows], pose.skeleton)
    return pose.select_people([person]), limbs
