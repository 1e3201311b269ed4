"""The whole chain, from pixels, against clips with exact 3D truth (``samples/``)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pose3d.body.skeletons import H36M17, Skeleton
from pose3d.errors import DataError
from pose3d.lab.datasets.npz_files import read_arrays
from pose3d.lab.evaluation.compare import (
    FLIPS,
    add_ratios,
    compare_motion,
    limb_columns,
    limb_joints,
    mean_or_nan,
    summarise,
)
from pose3d.lab.evaluation.tables import OnStep, beside, figures_table, tell_each
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import (
    DECODE_AHEAD,
    Models,
    lift_keypoints,
    load_models,
    make_tracker_for,
)
from pose3d.result.record import PoseSequence
from pose3d.tracking.clip import Tracks, collect_tracks
from pose3d.video.reader import open_video
from pose3d.video.streaming import in_background

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]

_LAYOUT = {
    "joints_cam_m": "number frame person 17 3",
    "keypoints_px": "number frame person 17 2",
    "boxes_xyxy_px": "number frame person 4",
    "visible": "flag frame person",
    "K": "number 3 3",
    "standing_height_m": "number person",
    "joint_names": "text 17",
}
SAME_PERSON_IOU = 0.3  # boxes that overlap less are not the same person


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What ``NAME.truth.npz`` says about a clip (layout: ``samples/README.md``)."""

    joints_cam_m: Array  # (frame, person, 17, 3) absolute
    keypoints_px: Array  # (frame, person, 17, 2)
    boxes_xyxy_px: Array  # (frame, person, 4)
    visible: NDArray[np.bool_]  # (frame, person) at least 15 % of it is not hidden
    focal_px: float
    height_m: Array  # (person,) standing


def load_truth(path: Path) -> Truth:
    """Reads a truth file."""
    z = read_arrays(path, "truth file", "Fetch it again", _LAYOUT)
    if tuple(z["joint_names"]) != H36M17.joints:
        raise DataError(f"{path} has other joints than {H36M17.name}", "See its README")
    return Truth(
        joints_cam_m=z["joints_cam_m"].astype(np.float64),
        keypoints_px=z["keypoints_px"].astype(np.float64),
        boxes_xyxy_px=z["boxes_xyxy_px"].astype(np.float64),
        visible=z["visible"].astype(bool),
        focal_px=float(z["K"][0, 0]),
        height_m=z["standing_height_m"].astype(np.float64),
    )


def overlap_of(clip: Path, truth: Truth, tracks: Tracks) -> Array:
    """Returns :func:`box_overlap` of a truth and tracks, which have to be as long."""
    frames = tracks.pose.n_frames
    if len(truth.visible) != frames:
        counts = f"{frames} frames, its truth {len(truth.visible)}"
        raise DataError(f"{clip} has {counts}", "Fetch it again")
    return box_overlap(truth.boxes_xyxy_px, tracks.pose.dense().boxes_xyxy_px, truth.visible)


def evaluate_samples(
    folder: Path,
    options: RunOptions | None = None,
    *,
    models: Models | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Runs the chain on every ``*.mp4`` with a ``*.truth.npz`` beside it.

    ``people``: one row per true person, see :func:`compare_clip`; ``mean``: see :func:`mean_row`. Figures
    that start with ``world_`` are of the 2D network's own 3D guess on the same frames. ``cpu_ms_frame``:
    processor time of all threads together, decoding and comparing included.
    """
    clips = find_clips(folder)
    options = options or RunOptions()
    models = models or load_models(options)
    rows = []
    frames, began_s = 0, time.process_time()
    for clip in tell_each(clips, lambda c: c.stem, on_step):
        tracks = track_clip(clip, options, models)
        frames += tracks.pose.n_frames
        rows += compare_clip(clip, tracks, lift_keypoints(tracks.pose, options, models=models))
    cpu_ms_frame = 1000 * (time.process_time() - began_s) / max(1, frames)
    return {
        "people": rows,
        "mean": mean_row(rows),
        "cpu_ms_frame": cpu_ms_frame,
        "options": asdict(options),
    }


def truth_path(clip: Path) -> Path:
    """Returns where the truth of a clip lies."""
    return clip.with_name(f"{clip.stem}.truth.npz")


def find_samples(folder: Path) -> list[Path]:
    """Returns the videos of a folder with their truth, in order; there may be none.

    A truth without its video is refused.
    """
    for truth in sorted(folder.glob("*.truth.npz")):
        video = truth.with_name(truth.name.replace(".truth.npz", ".mp4"))
        if not video.is_file():
            lacks = f"{truth} has no video: {video.name} is not beside it"
            raise DataError(lacks, "Put the video there, or take the truth away")
    return [p for p in sorted(folder.glob("*.mp4")) if truth_path(p).is_file()]


def find_clips(folder: Path) -> list[Path]:
    """Returns the videos of :func:`find_samples`; there is one at least."""
    clips = find_samples(folder)
    if not clips:
        raise DataError(f"No clip with a truth file in {folder}", "Give the samples folder")
    return clips


def track_clip(clip: Path, options: RunOptions, models: Models) -> Tracks:
    """Finds and follows people in 2D, keeping the network's own 3D guess."""
    with open_video(clip) as reader:
        tracker = make_tracker_for(options, models, reader)
        with in_background(reader, DECODE_AHEAD) as frames:
            return collect_tracks(frames, tracker, reader.info)


def compare_clip(clip: Path, tracks: Tracks, lifted: PoseSequence) -> list[dict[str, Any]]:
    """Compares every true person of a clip with the person that lies on it best.

    One row per true person, over its ``visible`` frames: ``clip``, ``person`` (number in the truth),
    ``track`` (id, None when nobody was found there), ``covered`` (share of frames with a pose),
    ``id_switches``, ``error_2d_pct`` and ``raw_error_2d_pct`` (median distance of cleaned and raw limb
    keypoints in percent of the standing height at the person's depth), and the figures of
    :func:`~pose3d.lab.evaluation.compare.summarise`.
    """
    truth = load_truth(truth_path(clip))
    overlap = overlap_of(clip, truth, tracks)
    ids = tracks.pose.person_ids.tolist()
    found = [None if column is None else ids[column] for column in match_people(overlap)]
    switches = count_switches(overlap)
    rows = []
    for person, track in enumerate(found):
        row: dict[str, Any] = {"clip": clip.stem, "person": person, "id_switches": switches[person]}
        row["track"] = track
        if track is not None:
            row |= _compare_person(truth, person, tracks, lifted, track)
        rows.append(row)
    return rows


def _compare_person(
    truth: Truth, person: int, tracks: Tracks, lifted: PoseSequence, track: int
) -> dict[str, Any]:
    answer, raw = lifted.dense([track]), tracks.pose.dense([track])
    assert answer.joints_cam_m is not None
    visible = truth.visible[:, person]
    target = limb_joints(truth.joints_cam_m[:, person], H36M17)
    ours = limb_joints(answer.joints_cam_m[:, 0], lifted.skeleton)
    world = np.full_like(ours, np.nan)
    if tracks.world_m is not None:
        span = tracks.pose.span_of(track)
        world[span.frames] = limb_joints(tracks.world_m[span.rows], tracks.pose.skeleton)
    present = np.asarray(np.isfinite(ours).all((1, 2)))
    depth_m = truth.joints_cam_m[:, person, 0, 2]
    height_px: Array = truth.focal_px * truth.height_m[person] / depth_m

    def error_2d(points_px: Array, skeleton: Skeleton) -> float:
        limbs = points_px[:, limb_columns(skeleton)]
        true = truth.keypoints_px[:, person, limb_columns(H36M17)]
        distance: Array = np.linalg.norm((limbs - true)[visible], axis=-1)
        distance = distance / height_px[visible, None]
        return float(np.nanmedian(distance)) * 100 if np.isfinite(distance).any() else math.nan

    assert answer.keypoints_px is not None
    assert raw.keypoints_px is not None
    return {
        "error_2d_pct": error_2d(answer.keypoints_px[:, 0], lifted.skeleton),
        "raw_error_2d_pct": error_2d(raw.keypoints_px[:, 0], tracks.pose.skeleton),
        **summarise(
            compare_motion(ours, target, lifted.time_s, visible),
            compare_motion(world, target, lifted.time_s, visible),
        ),
        "covered": float(present[visible].mean()),
    }


def box_overlap(true_boxes: Array, boxes: Array, visible: NDArray[np.bool_]) -> Array:
    """Returns ``(frame, true person, person)`` intersection over union, 0 where one is absent."""
    a, b = true_boxes[:, :, None], boxes[:, None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.where(visible[:, :, None], np.nan_to_num(shared / (areas - shared)), 0.0)


def match_pairs(overlap: Array) -> list[tuple[int, int]]:
    """Pairs true people (rows) with people of a frame so that they overlap most, each once."""
    # A pair below the limit must not take a person from a pair above it.
    overlap = np.where(overlap > SAME_PERSON_IOU, overlap, 0.0)
    pairs = zip(*linear_sum_assignment(-overlap), strict=True)
    return [(int(r), int(c)) for r, c in pairs if overlap[r, c] > 0]


def match_people(overlap: Array) -> list[int | None]:
    """Returns the person for each true one, so that the overlap over the clip is greatest."""
    columns: list[int | None] = [None] * overlap.shape[1]
    for row, column in zip(*linear_sum_assignment(-overlap.sum(0)), strict=True):
        if (overlap[:, row, column] > SAME_PERSON_IOU).any():
            columns[row] = int(column)
    return columns


def count_switches(overlap: Array) -> list[int]:
    """Returns how often the person that lies on each true one changes, gaps not counted."""
    held: list[int | None] = [None] * overlap.shape[1]
    switches = [0] * overlap.shape[1]
    for frame in overlap:
        for row, column in match_pairs(frame):
            switches[row] += held[row] not in (None, column)
            held[row] = column
    return switches


_MEANS = (
    "covered",
    "error_2d_pct",
    "raw_error_2d_pct",
    "procrustes_mm",
    "world_procrustes_mm",
    "root_mm",
    "world_root_mm",
    "acceleration_mm_s2",
    "world_acceleration_mm_s2",
    *FLIPS,
)


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the plain means over people; ratios are ratios of these means."""
    found = [r for r in rows if r["track"] is not None]
    mean: dict[str, Any] = {name: mean_or_nan(r[name] for r in found) for name in _MEANS}
    mean["id_switches"] = sum(r["id_switches"] for r in rows)
    mean["missed"] = len(rows) - len(found)
    add_ratios(mean)
    return mean


def samples_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`evaluate_samples` as a table."""
    columns = {
        "clip": "{clip}",
        "person": "{person}",
        "covered": "{covered:.1%}",
        "2D %": "{error_2d_pct:.2f}",
        "Procrustes mm": beside("procrustes_mm"),
        "ratio": "{procrustes_ratio:.2f}",
        "root mm": beside("root_mm"),
        "accel. m/s²": beside("acceleration_mm_s2", ".2k"),
        "ratio of accel.": "{acceleration_ratio:.2f}",
        "switches": "{id_switches}",
    }
    people = [
        row if row["track"] is not None else {**row, "person": f"{row['person']}: not found"}
        for row in results["people"]
    ]
    title = "Whole chain against exact truth; in brackets: the 2D network's own 3D"
    return figures_table(
        title, columns, [*people, {"clip": "mean", "person": "", **results["mean"]}]
    )
