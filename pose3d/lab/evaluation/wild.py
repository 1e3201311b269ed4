"""How lifters hold up in the wild: four sources of truth, the same frames for every estimate.

1. ``mocap``: test subjects through the generator that training uses, with fixed seeds.
2. ``aist``: real COCO detections of break dance in nine views with a multi-view 3D reference.
3. ``rendered``: BlazePose tracks of rendered people with exact truth.
4. ``samples``: from pixels to 3D, with exact truth.

Every lifter gets the chain's own cleaning and smoothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LIMBS
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.noise import load_tracks
from pose3d.lab.evaluation.compare import (
    ANGLES,
    FLIPS,
    compare_motion,
    dense_of_one,
    join_clips,
    limb_joints,
    mean_or_nan,
    percentile_or_nan,
)
from pose3d.lab.evaluation.generated import (
    AXES,
    CLIP_S,
    RATE,
    View,
    cut_pieces,
    film_view,
    generate_clips,
)
from pose3d.lab.evaluation.samples import find_samples
from pose3d.lab.evaluation.tables import OnStep, tell_each
from pose3d.lab.evaluation.tracks import OCCLUSIONS, TruthClip, read_clips
from pose3d.lab.evaluation.wild_clips import read_aist, track_samples
from pose3d.lift.lifter import Lifter
from pose3d.lift.sequence import make_lifter_for
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import lift_keypoints, load_models

Array = NDArray[np.floating]
Errors = dict[str, Array]

PARTS = ("mocap", "aist", "rendered", "samples")

ELEVATIONS = {
    "below -5°": (-90, -5),
    "-5 to 5°": (-5, 5),
    "5 to 20°": (5, 20),
    "over 20°": (20, 90.1),
}
SCORES = {
    "0 to 0.3": (0, 0.3),
    "0.3 to 0.7": (0.3, 0.7),
    "0.7 to 0.9": (0.7, 0.9),
    "over 0.9": (0.9, 2),
}
STRAIGHT_DEG = 165.0  # from this true angle on a joint is straight
WORLD = "2D network's own 3D"  # the estimate that comes with BlazePose's keypoints
MEANS = ("procrustes_mm", "clip_mm", "root_mm", "velocity_mm_s", "acceleration_mm_s2")


@dataclass(frozen=True, slots=True, kw_only=True)
class WildOptions:
    """What is evaluated."""

    lifters: tuple[str, ...] = ("hot-mixste", "mixste.free27", "residual")  # names or files
    full: bool = False  # everything; False: pieces chosen with fixed seeds
    pieces: int = 60  # of motion filmed for mocap
    aist_s: float = 4.0  # seconds of each aist view
    robust_pieces: int = 32  # of motion filmed for each robustness row
    robust_s: float = 2.0
    seed: int = 0


def evaluate_wild(
    data: Path,
    wild: WildOptions | None = None,
    *,
    options: RunOptions | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Evaluates lifters on every part that is below ``data``; ``options.lifter`` is not used.

    ``parts``: part -> see :func:`evaluate_part`. ``robustness``: name -> axis -> ``rows`` (Procrustes mm
    by row) and ``change`` (greatest over least, minus 1). ``skipped``: parts that are not there.
    """
    wild = wild or WildOptions()
    options = replace(options or RunOptions(), place=False)
    lifters = load_lifters(wild.lifters, options)
    sources = open_parts(data, wild, options)
    if not sources:
        raise DataError(
            f"{data} holds none of {', '.join(PARTS)}", "Give --data with the reference data"
        )
    parts = {
        part: evaluate_part(part, read(), lifters, options, on_step)
        for part, read in sources.items()
    }
    robustness = {}
    if "mocap" in sources:
        robustness = _robustness(_mocap_file(data), wild, lifters, options, on_step)
    return {
        "lifters": {
            name: {
                "weights": lifter.info.name,
                "sha256": list(lifter.info.sha256),
                "frames": lifter.frames,
                "changes": list(lifter.info.changes),
            }
            for name, lifter in lifters.items()
        },
        "parts": parts,
        "robustness": robustness,
        "skipped": [part for part in PARTS if part not in sources],
        "chosen": {**asdict(wild), "lifters": list(wild.lifters)},
        "options": asdict(options),
    }


def load_lifters(names: Sequence[str], options: RunOptions) -> dict[str, Lifter]:
    """Loads lifters by name, all with the pruning, recovery and pipeline of the options."""
    if not names or len(set(names)) < len(names):
        raise UsageError("Lifters are named twice or not at all", "Name each once with --lifter")
    return {name: make_lifter_for(replace(options, lifter=name)) for name in names}


def _mocap_file(data: Path) -> Path:
    return data / "mocap" / "cmu.npz"


def open_parts(
    data: Path, wild: WildOptions, options: RunOptions
) -> dict[str, Callable[[], list[TruthClip]]]:
    """Returns what reads each part that is below ``data``, by name of the part."""
    tracks = data / "rendered" / "tracks.npz"
    videos = find_samples(data / "samples")
    most = None if wild.full else wild.pieces

    def mocap() -> list[TruthClip]:
        pieces = cut_pieces(_mocap_file(data), seconds=CLIP_S, rate=RATE, most=most, seed=wild.seed)
        bank = load_tracks(tracks, "fit")[0] if tracks.is_file() else None
        return generate_clips(pieces, RATE, bank, wild.seed)

    def aist() -> list[TruthClip]:
        seconds = None if wild.full else wild.aist_s
        return read_aist(data / "aist" / "aist_break.npz", seconds=seconds, seed=wild.seed)

    def samples() -> list[TruthClip]:
        models = load_models(replace(options, lifter=wild.lifters[0]))
        return [c for video in videos for c in track_samples(video, options, models)]

    there = {
        "mocap": (_mocap_file(data), mocap),
        "aist": (data / "aist" / "aist_break.npz", aist),
        "rendered": (tracks, lambda: list(read_clips(tracks, "val"))),
        "samples": (next(iter(videos), data / "samples/none"), samples),
    }
    return {part: read for part, (path, read) in there.items() if path.is_file()}


# -- lifting and pooling -----------------------------------------------------------------------


def _lift_clip(clip: TruthClip, lifter: Lifter, options: RunOptions) -> Array:
    """Returns the limb joints ``(frame, 12, 3)`` that the chain finds; NaN where it finds none."""
    lifted = lift_keypoints(clip.pose, options, lifter=lifter)
    joints = dense_of_one(lifted).joints_cam_m
    assert joints is not None
    return limb_joints(joints[:, 0], lifted.skeleton)


def evaluate_part(
    part: str,
    clips: list[TruthClip],
    lifters: Mapping[str, Lifter],
    options: RunOptions,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Lifts the clips of a part with every lifter and pools the errors of common frames.

    Returns ``clips`` and ``frames`` (numbers), ``never_found`` (clips in which the 2D network saw nobody)
    and ``estimates``: name -> figures of :func:`pool`, for ``samples`` also clip by clip.
    """
    errors: dict[str, list[Errors]] = {name: [] for name in lifters}
    if any(clip.world_m is not None for clip in clips):
        errors[WORLD] = []
    for clip in tell_each(clips, lambda c: f"{part} {c.name}", on_step):
        answers = {name: _lift_clip(clip, lifter, options) for name, lifter in lifters.items()}
        if clip.world_m is not None:
            answers[WORLD] = clip.world_m
        for name, answer in answers.items():
            errors[name].append(
                compare_motion(answer, clip.truth_m, clip.pose.time_s, clip.used, clip.rooted)
            )
    joined = {name: join_clips(rows) for name, rows in errors.items()}
    common = np.all([np.isfinite(e["procrustes_mm"]) for e in joined.values()], axis=0)
    labels = {
        "action": np.concatenate([[c.action.split(" - ")[0]] * c.pose.n_frames for c in clips]),
        "elevation": np.concatenate([c.elevation_deg for c in clips]),
        "score": np.concatenate([c.limb_score for c in clips]),
        "used": np.concatenate([c.used for c in clips]),
    }
    if part == "samples":
        labels["clip"] = np.concatenate([[c.name] * c.pose.n_frames for c in clips])
    told = [c.occlusion for c in clips if c.occlusion is not None]
    if len(told) == len(clips):
        labels["occlusion"] = np.concatenate(told)
    return {
        "clips": len(clips),
        "frames": int(common.sum()),
        "never_found": [c.name for c in clips if not c.pose.valid.any()],
        "estimates": {name: pool(e, common, labels) for name, e in joined.items()},
    }


def pool(errors: Errors, common: NDArray[np.bool_], labels: Mapping[str, Any]) -> dict[str, Any]:
    """Summarises frames of any number of clips.

    Args:
        errors: from :func:`~pose3d.lab.evaluation.compare.compare_motion`, clips one after another.
        common: ``(frame,)`` frames that every estimate has.
        labels: arrays over frames: ``action``, ``elevation`` (degrees), ``score`` (frame, 12),
            ``used``; where known ``clip`` (name) and ``occlusion`` (frame, 12).

    Returns:
        - means over ``common`` of ``MEANS`` and ``FLIPS``; ``body_flipped`` over all used frames with an
          answer of this estimate, for bodies flip where they are hidden and others have none;
        - ``median_mm``, ``p90_mm`` (Procrustes); ``joint_mm`` by joint; ``covered``: share of the used
          frames with an answer;
        - ``angle_deg``: mean size of the error, left and right together; ``straight_deg``: our median
          where the true angle is at least ``STRAIGHT_DEG``, ``[degrees, number]``;
        - ``by_action``, ``by_elevation`` (of frames), ``by_score``, ``by_occlusion`` (of single joints):
          ``[mm, number]``; ``by_clip``: the means, ``covered`` and ``frames``.
    """
    each = errors["procrustes_mm"]
    joints = np.where(common[:, None], errors["joint_mm"], np.nan)
    known = np.isfinite(joints)

    def by(values: Array, groups: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[float]]:
        return {n: [mean_or_nan(values[g]), int(g.sum())] for n, g in groups.items() if g.any()}

    def between(
        of: Array, ranges: Mapping[str, tuple[float, float]], used: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.bool_]]:
        return {n: used & (low <= of) & (of < high) for n, (low, high) in ranges.items()}

    actions = {str(a): common & (labels["action"] == a) for a in np.unique(labels["action"])}
    hidden = labels.get("occlusion", np.full(known.shape, -1))
    out: dict[str, Any] = {
        **_means(errors, common, labels["used"]),
        "median_mm": percentile_or_nan(each[common], 50),
        "p90_mm": percentile_or_nan(each[common], 90),
        "joint_mm": {n: mean_or_nan(joints[known[:, i], i]) for i, n in enumerate(LIMBS)},
        **_angles(errors, common),
        "by_action": by(each, actions),
        "by_elevation": by(each, between(labels["elevation"], ELEVATIONS, common)),
        "by_score": by(joints, between(labels["score"], SCORES, known)),
        "by_occlusion": by(joints, {n: known & (hidden == i) for i, n in enumerate(OCCLUSIONS)}),
        "by_clip": {},
    }
    for name in dict.fromkeys(labels.get("clip", ())):
        here = labels["clip"] == name
        figures = _means(errors, common & here, labels["used"] & here)
        out["by_clip"][str(name)] = {"frames": int((common & here).sum()), **figures}
    return out


def _angles(errors: Errors, common: NDArray[np.bool_]) -> dict[str, Any]:
    """Returns ``angle_deg`` and ``straight_deg`` as :func:`pool` describes them."""
    off, true = errors["angle_off_deg"][common], errors["true_angle_deg"][common]
    out: dict[str, Any] = {"angle_deg": {}, "straight_deg": {}}
    for kind in dict.fromkeys(name.split("_")[1] for name in ANGLES):
        columns = [i for i, name in enumerate(ANGLES) if name.endswith(kind)]
        here, truth = off[:, columns], true[:, columns]
        out["angle_deg"][kind] = mean_or_nan(np.abs(here[np.isfinite(here)]))
        straight = truth >= STRAIGHT_DEG  # the same joints for every estimate
        if straight.any():
            answers = (truth + here)[straight & np.isfinite(here)]
            out["straight_deg"][kind] = [percentile_or_nan(answers, 50), int(straight.sum())]
    return out


def _means(errors: Errors, common: NDArray[np.bool_], used: NDArray[np.bool_]) -> dict[str, float]:
    """Returns the means that :func:`pool` describes, and ``covered``."""
    out = {}
    for key in (*MEANS, *FLIPS):
        values = errors[key][used if key == "body_flipped" else common]
        out[key] = mean_or_nan(values[np.isfinite(values)])
    out["covered"] = mean_or_nan(np.isfinite(errors["procrustes_mm"][used]))
    return out


def _robustness(
    path: Path,
    wild: WildOptions,
    lifters: Mapping[str, Lifter],
    options: RunOptions,
    on_step: OnStep | None,
) -> dict[str, Any]:
    """Lifts the same motions in every view; equal views are filmed once."""
    views = list(dict.fromkeys(view for rows in AXES.values() for view in rows.values()))
    most = 4 * wild.robust_pieces if wild.full else wild.robust_pieces
    found: dict[tuple[str, View], float] = {}
    for view in tell_each(views, lambda _: "robustness", on_step):
        clips = film_view(path, view, seconds=wild.robust_s, most=most, seed=wild.seed)
        for name, lifter in lifters.items():
            errors = [
                compare_motion(_lift_clip(c, lifter, options), c.truth_m, c.pose.time_s, c.used)
                for c in clips
            ]
            found[name, view] = mean_or_nan(join_clips(errors)["procrustes_mm"])
    out: dict[str, Any] = {name: {} for name in lifters}
    for name in lifters:
        for axis, rows in AXES.items():
            values = {row: found[name, view] for row, view in rows.items()}
            change = max(values.values()) / min(values.values()) - 1
            out[name][axis] = {"rows": values, "change": change}
    return out
