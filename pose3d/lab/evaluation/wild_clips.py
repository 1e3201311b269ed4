"""One kind of clip for every source of truth: real detections, rendered people, samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import BLAZEPOSE33, COCO17, H36M17, LIMBS
from pose3d.errors import DataError
from pose3d.files import check_archive
from pose3d.lab.datasets.multiview import VIEWS_LAYOUT
from pose3d.lab.datasets.npz_files import ODD_VALUES, blame_file, read_arrays
from pose3d.lab.evaluation.compare import LEAST_KNOWN, limb_columns, limb_joints
from pose3d.lab.evaluation.samples import (
    box_overlap,
    load_truth,
    match_people,
    track_clip,
    truth_path,
)
from pose3d.lab.evaluation.tracks import read_clips, single_person
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import Models
from pose3d.result.record import PoseSequence
from pose3d.tracking.clip import Tracks

Array = NDArray[np.floating]

WORLD = "2D network's own 3D"
"""Name of the estimate that comes with the keypoints (BlazePose's world landmarks)."""
LIKE_FOR_LIKE = "upright"
"""Label of the aist sequence that is no floor work."""
_AIST_LAYOUT = {
    **VIEWS_LAYOUT,
    "reliable": "flag sequence frame 17",
    "size_wh": "number 2",
    "names": "text sequence",
    "view_names": "text view",
    "joint_names": "text 17",
}
OCCLUSIONS = ("outside the picture", "inside, furniture in front", "inside, nothing in front")
"""What the rendered tracks tell of a joint. The furniture stands in front of the person somewhere,
not of every joint, and what a body hides of itself is not told."""
_OCCLUSION_LAYOUT = {
    "in_frame": "flag frame 17",
    "occluder": "flag clip",
    "detected": "flag frame",
    "starts": "number bound",
    "split": "text clip",
}
_TODO = "Give another file, or fetch it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class WildClip:
    """2D keypoints of one person with the true 3D motion.

    Args:
        name: of the recording.
        action: what happens, in words.
        pose: keypoints and scores of one person, any skeleton.
        truth_m: ``(frame, 12, 3)`` limb joints in camera axes; NaN where a joint is not known.
        rooted: ``(frame,)`` where ``truth_m`` hangs at the middle of the hips.
        used: ``(frame,)`` frames that count.
        elevation_deg: ``(frame,)`` camera above the horizontal, seen from the person; NaN unknown.
        world_m: ``(frame, 12, 3)`` the 2D network's own 3D guess, or None where it has none.
        occlusion: ``(frame, 12)`` what hides each limb joint, a position in ``OCCLUSIONS``; None
            where the data do not tell.
    """

    name: str
    action: str
    pose: PoseSequence
    truth_m: Array
    rooted: NDArray[np.bool_]
    used: NDArray[np.bool_]
    elevation_deg: Array
    world_m: Array | None = None
    occlusion: NDArray[np.integer] | None = None

    @property
    def found(self) -> bool:
        """Whether the 2D network saw the person in any frame."""
        return bool(self.pose.valid.any())

    @property
    def limb_score(self) -> Array:
        """``(frame, 12)`` the detector's score of each limb joint."""
        assert self.pose.score is not None
        columns = limb_columns(self.pose.skeleton)
        return self.pose.score[:, 0, columns].astype(np.float64)


# -- aist --------------------------------------------------------------------------------------


def read_aist(
    path: Path, split: str = "val", *, seconds: float | None = 4.0, seed: int = 0
) -> list[WildClip]:
    """Returns real COCO detections with the multi-view reference, one clip a sequence and view.

    The reference is moved to the instant at which the view saw it (``time_offset_frames``), turned
    into the view's axes, and masked joint by joint (``reliable``).

    Args:
        path: ``aist_break.npz``; its layout is described in ``aist/README.md``.
        split: ``fit`` or ``val``.
        seconds: of each clip, from a place drawn with ``seed``; None: whole.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    data = read_arrays(path, "aist file", _TODO, _AIST_LAYOUT)
    if tuple(data["joint_names"]) != COCO17.joints:
        raise DataError(f"{path} has other joints than {COCO17.name}", _TODO)
    fps = float(data["fps"])
    if not 0 < fps < np.inf:
        raise DataError(f"{path}: fps is {fps}", _TODO)
    clips = []
    with blame_file(path, "aist file", _TODO, ODD_VALUES):
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


def _aist_clip(data: dict[str, Any], s: int, v: int, rows: slice) -> WildClip:
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
    middle = (
        np.where(known[..., None], world[rows], 0).sum(1) / np.maximum(known.sum(1), 1)[:, None]
    )
    ray = eye - middle
    elevation = np.degrees(np.arctan2(ray[:, 2], np.linalg.norm(ray[:, :2], axis=-1)))
    name = str(data["names"][s])
    return WildClip(
        name=f"{name}/{data['view_names'][v]}",
        action=LIKE_FOR_LIKE if name.endswith("ch06") else "floor work",
        pose=single_person(
            name,
            data["keypoints_px"][s, v, rows],
            np.clip(data["score"][s, v, rows].astype(np.float64), 0, 1),
            COCO17,
            (int(data["size_wh"][0]), int(data["size_wh"][1])),
            float(data["fps"]),
        ),
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
    step = 1 if offset > 0 else -1
    other = np.full_like(points, np.nan)
    if step > 0:
        other[:-1] = points[1:]
    else:
        other[1:] = points[:-1]
    return points + abs(offset) * (other - points)


# -- rendered ----------------------------------------------------------------------------------


def read_rendered(path: Path, split: str = "val") -> list[WildClip]:
    """Returns BlazePose tracks of rendered people (layout: ``rendered/README.md``)."""
    tracked = list(read_clips(path, split))
    hidden = _read_occlusion(path, split)
    return [
        WildClip(
            name=clip.name,
            action=clip.action.split(" - ")[0],
            pose=clip.pose,
            truth_m=limb_joints(clip.joints_cam_m, H36M17),
            rooted=np.ones(clip.pose.n_frames, bool),
            used=clip.pose.valid[:, 0],
            elevation_deg=clip.elevation_deg,
            world_m=limb_joints(clip.world_m, BLAZEPOSE33),
            occlusion=None if hidden is None else hidden[i],
        )
        for i, clip in enumerate(tracked)
    ]


def _read_occlusion(path: Path, split: str) -> list[NDArray[np.integer]] | None:
    """Returns ``WildClip.occlusion`` of every clip of a split; None where the file has none."""
    with blame_file(path, "track file", _TODO):
        check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            told = {"in_frame", "occluder"} <= set(file.files)
    if not told:
        return None
    data = read_arrays(path, "track file", _TODO, _OCCLUSION_LAYOUT)
    limbs = limb_columns(H36M17)
    clips = []
    for c in np.flatnonzero(data["split"] == split):
        inside = data["in_frame"][data["starts"][c] : data["starts"][c + 1], limbs].astype(bool)
        clips.append(np.where(inside, 1 if data["occluder"][c] else 2, 0))
    return clips


# -- samples -----------------------------------------------------------------------------------


def find_samples(folder: Path) -> list[Path]:
    """Returns the sample clips of a folder, which may hold none: videos with their truth, in order.

    Raises:
        DataError: a truth lies there without its video.
    """
    for truth in sorted(folder.glob("*.truth.npz")):
        video = truth.with_name(truth.name.replace(".truth.npz", ".mp4"))
        if not video.is_file():
            raise DataError(
                f"{truth} has no video: {video.name} is not beside it",
                "Put the video there, or take the truth away",
            )
    return [p for p in sorted(folder.glob("*.mp4")) if truth_path(p).is_file()]


def track_samples(clip: Path, options: RunOptions, models: Models) -> list[WildClip]:
    """Runs the 2D networks on a sample clip; one clip for every true person.

    Whom nobody found has a clip without keypoints: no frame of it is covered.
    """
    with blame_file(truth_path(clip), "truth file", "Fetch it again"):
        truth = load_truth(truth_path(clip))
    tracks = track_clip(clip, options, models)
    if len(truth.visible) != tracks.pose.n_frames:
        raise DataError(f"{clip} and its truth differ in length", "Fetch them again")
    overlap = box_overlap(truth.boxes_xyxy_px, tracks.pose.boxes_xyxy_px, truth.visible)
    clips = []
    for person, column in enumerate(match_people(overlap)):
        pose, world = _one_person(tracks, column)
        clips.append(
            WildClip(
                name=f"{clip.stem} {person}" if truth.visible.shape[1] > 1 else clip.stem,
                action=clip.stem,
                pose=pose,
                truth_m=limb_joints(truth.joints_cam_m[:, person], H36M17),
                rooted=np.ones(len(truth.visible), bool),
                used=truth.visible[:, person],
                elevation_deg=np.full(len(truth.visible), np.nan),
                world_m=world,
            )
        )
    return clips


def _one_person(tracks: Tracks, column: int | None) -> tuple[PoseSequence, Array | None]:
    """Returns keypoints and the 2D network's own limbs of one person; None: of nobody, all NaN."""
    pose, world = tracks.pose, tracks.world_m
    if column is not None:
        limbs = None if world is None else limb_joints(world[:, column], pose.skeleton)
        return pose.select_people([column]), limbs
    n, joints = pose.n_frames, len(pose.skeleton)
    nothing, no_score = np.full((n, joints, 2), np.nan), np.zeros((n, joints))
    video = pose.video
    nobody = single_person(
        video.path, nothing, no_score, pose.skeleton, video.size_wh, float(video.rate)
    )
    limbs = None if world is None else np.full((n, len(LIMBS), 3), np.nan)
    return replace(nobody, video=video, time_s=pose.time_s), limbs
