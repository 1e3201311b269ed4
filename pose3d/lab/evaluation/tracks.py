"""Lifting of real detector tracks with exact 3D truth: everything after the 2D network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import assumed_focal_px
from pose3d.body.mappings import map_to_h36m
from pose3d.body.skeletons import BLAZEPOSE33, H36M17, Skeleton
from pose3d.cleaning.poses import live_filter
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.noise import TRACKS_LAYOUT, read_track_file
from pose3d.lab.datasets.npz_files import ODD_VALUES, blame_file
from pose3d.lab.evaluation.ambiguity import compare_hypotheses, summarise_hypotheses
from pose3d.lab.evaluation.compare import (
    compare_motion,
    dense_of_one,
    join_clips,
    limb_columns,
    limb_joints,
    summarise,
)
from pose3d.lab.evaluation.tables import OnStep, beside, figures_table, tell_each
from pose3d.lift.lifter import Lifter
from pose3d.lift.sequence import lift_ends
from pose3d.lift.windows import newest_window, plan_rate, rows_of_past
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import lift_keypoints
from pose3d.result.record import PoseSequence, VideoInfo

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]

# groups by the angle between the pelvis' facing and the camera, degrees
HEADINGS = {"facing": (0.0, 60.0), "side": (60.0, 120.0), "back": (120.0, 180.5)}
# What the tracks tell of a joint. The furniture stands in front of the person somewhere, not of every
# joint, and what a body hides of itself is not told.
OCCLUSIONS = ("outside the picture", "inside, furniture in front", "inside, nothing in front")
_LAYOUT = {
    **{name: axes for name, axes in TRACKS_LAYOUT.items() if name != "joints_px"},
    "world_m": "number frame 33 3",
    "elevation_deg": "number frame",
    "action": "text clip",
    "in_frame": "flag frame 17 ?",
    "occluder": "flag clip ?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthClip:
    """2D keypoints of one person with the true 3D motion."""

    name: str
    action: str  # what happens, in words; behind `` - `` details
    pose: PoseSequence  # raw keypoints
    truth_m: Array  # (frame, 12, 3) see limb_joints; NaN: not known
    used: NDArray[np.bool_]  # (frame,) counts
    elevation_deg: Array  # (frame,) camera above the horizontal, from the person; NaN unknown
    # (frame,) truth_m hangs at the middle of the hips; None: everywhere
    rooted: NDArray[np.bool_] | None = None
    world_m: Array | None = None  # (frame, 12, 3) the 2D network's own 3D guess
    # (frame, 12) position in OCCLUSIONS; None: not told
    occlusion: NDArray[np.integer] | None = None
    heading_deg: Array | None = None  # (frame,) where the pelvis faces; 0 towards the camera
    focal_px: float | None = None  # true

    @property
    def limb_score(self) -> Array:
        """``(frame, 12)`` the detector's score of each limb joint."""
        score = dense_of_one(self.pose).score
        assert score is not None
        return np.nan_to_num(score[:, 0, limb_columns(self.pose.skeleton)].astype(np.float64))


def single_person(
    name: str,
    points_px: Array,
    score: Array,
    skeleton: Skeleton,
    size_wh: tuple[int, int],
    rate: float,
) -> PoseSequence:
    """Makes a record of one person's keypoints ``(frame, joint, 2)``, NaN where missing."""
    n = len(points_px)
    points = points_px[:, None]
    lost = ~np.isfinite(points)
    boxes = np.concatenate(
        [np.where(lost, np.inf, points).min(2), np.where(lost, -np.inf, points).max(2)], -1
    )
    exact = Fraction(rate).limit_denominator(1001)
    return PoseSequence.from_dense(
        video=VideoInfo(path=name, size_wh=size_wh, rate=exact, n_frames=n),
        time_s=np.arange(n) / float(exact),
        person_ids=np.array([1]),
        skeleton=skeleton,
        boxes_xyxy_px=np.where(np.isfinite(boxes), boxes, np.nan).astype(np.float32),
        keypoints_px=points.astype(np.float32),
        score=score[:, None].astype(np.float32),
        valid=np.asarray(np.isfinite(points).all(-1).any(-1)),
    )


def read_clips(path: Path, split: str) -> Iterator[TruthClip]:
    """Yields BlazePose's tracks of a split (``fit``, ``val``) of a file, see ``samples/README.md``."""
    todo = "Give another file, or fetch it again"
    data = read_track_file(path, _LAYOUT, todo)
    chosen = np.flatnonzero(data["split"] == split)
    for c in chosen:
        with blame_file(path, "track file", todo, ODD_VALUES):
            clip = _clip(data, int(c))
        yield clip
    if not len(chosen):
        raise DataError(f"{path} has no split {split!r}", "Give fit or val")


def _clip(data: Mapping[str, Any], c: int) -> TruthClip:
    rows = slice(data["starts"][c], data["starts"][c + 1])
    seen = data["detected"][rows].astype(bool)
    points = np.where(seen[:, None, None], data["lm_px"][rows], np.nan)
    name, (w, h) = str(data["name"][c]), data["size_wh"][c]
    score, fps = data["visibility"][rows], float(data["fps"][c])
    pose = single_person(name, points, score, BLAZEPOSE33, (int(w), int(h)), fps)
    occlusion = None
    if "in_frame" in data and "occluder" in data:
        occlusion = np.where(data["in_frame"][rows], 1 if data["occluder"][c] else 2, 0)
        occlusion = occlusion[:, limb_columns(H36M17)]
    world = np.where(seen[:, None, None], data["world_m"][rows].astype(np.float64), np.nan)
    return TruthClip(
        name=name,
        action=str(data["action"][c]),
        pose=pose,
        truth_m=limb_joints(data["joints_cam_m"][rows], H36M17),
        used=dense_of_one(pose).valid[:, 0],
        elevation_deg=data["elevation_deg"][rows].astype(np.float64),
        world_m=limb_joints(world, BLAZEPOSE33),
        occlusion=occlusion,
        heading_deg=data["heading"][rows].astype(np.float64),
        focal_px=float(data["K"][c, 0, 0]),
    )


def evaluate_tracks(
    path: Path,
    lifter: Lifter,
    split: str = "val",
    *,
    options: RunOptions | None = None,
    true_focal: bool = False,
    live: bool = False,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Lifts the tracks of a split as the chain does and compares them with the truth.

    ``true_focal``: lift with the true focal length instead of the assumed one; ``live``: see
    :func:`lift_live`; people are not placed. Returns ``all`` (frames with a detection), and ``facing``,
    ``side``, ``back`` (by heading): the means of :func:`~pose3d.lab.evaluation.compare.summarise`,
    ``median_mm`` and ``p90_mm`` of the Procrustes error, ``covered``; ``clips``: a row for each; with
    hypotheses :func:`~pose3d.lab.evaluation.ambiguity.summarise_hypotheses` as ``hypotheses``.
    """
    options = replace(options or RunOptions(), place=False)
    if live and options.hypotheses:
        raise UsageError("Hypotheses need whole clips", "Leave --live or --hypotheses out")
    lift = lift_live if live else lift_keypoints
    ours, world, headings, rows, others = [], [], [], [], []
    clips = list(read_clips(path, split))
    for clip in tell_each(clips, lambda c: c.name, on_step):
        asked = replace(options, focal_px=clip.focal_px) if true_focal else options
        lifted = lift(clip.pose, asked, lifter=lifter)
        answer = dense_of_one(lifted).joints_cam_m
        assert answer is not None
        assert clip.world_m is not None
        assert clip.heading_deg is not None
        truth = (clip.truth_m, clip.pose.time_s, clip.used)
        ours.append(compare_motion(limb_joints(answer[:, 0], H36M17), *truth))
        world.append(compare_motion(clip.world_m, *truth))
        headings.append(clip.heading_deg)
        if options.hypotheses:
            others.append(compare_hypotheses(lifted, clip.truth_m, clip.used))
        if clip.used.any():
            summary = summarise(ours[-1], world[-1])
            rows.append({"clip": clip.name, "action": clip.action, **summary})
    mine, theirs = join_clips(ours), join_clips(world)
    angle = np.abs(np.concatenate(headings))
    groups = {"all": np.ones(len(angle), bool)}
    groups |= {name: (low <= angle) & (angle < high) for name, (low, high) in HEADINGS.items()}
    out: dict[str, Any] = {
        name: summarise({k: v[g] for k, v in mine.items()}, {k: v[g] for k, v in theirs.items()})
        for name, g in groups.items()
    }
    if options.hypotheses:
        out["hypotheses"] = summarise_hypotheses(others)
    asked_for = {**asdict(options), "true_focal": true_focal, "live": live}
    return {**out, "clips": rows, "options": asked_for}


def lift_live(pose: PoseSequence, options: RunOptions, *, lifter: Lifter) -> PoseSequence:
    """Lifts every frame of one person from the frames before it, as :func:`pose3d.stream` does.

    Raw keypoints, nothing filled, joints steadied by a causal filter; NaN where nobody was seen.
    """
    assert pose.keypoints_px is not None
    assert pose.score is not None
    points, score = map_to_h36m(
        lifter.options.mapping, pose.keypoints_px, pose.score, pose.skeleton
    )
    seen = np.flatnonzero(pose.valid)
    rows = np.concatenate([points[seen], score[seen, :, None]], -1)
    plan = plan_rate(float(pose.video.rate), lifter.options.rate_range)
    length = rows_of_past(plan, lifter.frames)
    # A frame without the person is the end of a past.
    breaks = np.concatenate([[0], np.flatnonzero(np.diff(seen) > 1) + 1])
    starts = breaks[np.searchsorted(breaks, np.arange(len(rows)), "right") - 1]
    pasts = [
        newest_window(rows[max(i + 1 - length, starts[i]) : i + 1], plan, lifter.frames)
        for i in range(len(rows))
    ]
    size_wh = pose.video.size_wh
    focal = options.focal_px if options.focal_px is not None else assumed_focal_px(size_wh)
    joints = np.full((len(points), len(H36M17), 3), np.nan, np.float32)
    if pasts:
        joints[seen] = lift_ends(pasts, lifter, size_wh, focal, flip_test=options.flip_test)
    if options.smooth:
        for start, stop in itertools.pairwise([*breaks, len(seen)]):
            steady = live_filter(options.smooth_strength)
            for i in seen[start:stop]:
                joints[i] = steady.step(joints[i], float(pose.time_s[pose.frame[i]]))
    return replace(pose, skeleton=H36M17, keypoints_px=points, score=score, joints_cam_m=joints)


def tracks_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`evaluate_tracks` as a table."""
    columns = {
        "frames": "{name}",
        "number": "{frames}",
        "Procrustes mm": beside("procrustes_mm"),
        "median": beside("median_mm"),
        "90th pct.": beside("p90_mm"),
        "ratio": "{procrustes_ratio:.2f}",
        "root mm": beside("root_mm"),
        "accel. m/s²": beside("acceleration_mm_s2", ".2k"),
        "ratio of accel.": "{acceleration_ratio:.2f}",
        "near/far": beside("depth_reversed", ".1%"),
    }
    rows = [{"name": name, **results[name]} for name in ("all", *HEADINGS)]
    title = "Detector tracks, lifted; in brackets: the 2D network's own 3D"
    return figures_table(title, columns, rows)
