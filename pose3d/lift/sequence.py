"""Lifting: 2D keypoints of tracked people to 3D joints, for clips of any length from one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.mappings import map_to_h36m
from pose3d.body.skeletons import H36M17
from pose3d.device import check_precision
from pose3d.errors import UsageError, WeightsError, unknown_name
from pose3d.lift.lifter import Lifter, check_pipeline, load_lifter, own_pipeline
from pose3d.lift.restructure import HourglassChange, change_hourglass
from pose3d.lift.tracks import prepare_tracks
from pose3d.lift.windows import (
    RatePlan,
    apply_rate,
    centred_rows,
    cut_windows,
    fade_together,
    plan_half_rate,
    plan_rate,
    undo_rate,
)
from pose3d.options import RunOptions
from pose3d.plugins import find_parts, load_part
from pose3d.result.camera import assumed_camera
from pose3d.result.record import PoseSequence, StageRecord
from pose3d.video.timestamps import split_runs
from pose3d.weights import fetching, finding

Array = NDArray[np.floating]

LIFTERS: dict[str, str] = {
    "hot-mixste": "hot-mixste.free27",
    "mhformer": "mhformer.free27",
    "residual": "residual.free1",
}
"""Architecture -> default weights."""


def list_lifters() -> list[str]:
    """Returns the names that ``make_lifter`` takes, short ones first."""
    files = [e.name for e in finding.list_weights() if e.file_name.endswith(".safetensors")]
    full = [name for name in files if not name.startswith("tokenpose.")]  # 2D networks
    added = find_parts("lifter")
    return [*LIFTERS, *sorted(full), *sorted(added)]


def make_lifter(name: str, *, device: str = "auto", offline: bool = False) -> Lifter:
    """Makes a lifter: ``arch`` (default weights), ``arch.tag``, ``.safetensors`` or entry point."""
    if name.endswith(".safetensors"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"There is no weights file {name}", "Check the path")
        return load_lifter(path, path.stem, sha256=finding.sha256_of(path), device=device)
    full = LIFTERS.get(name, name)
    if full in find_parts("lifter"):
        lifter: Lifter = load_part("lifter", full)(device=device, offline=offline)
        return lifter
    if full not in list_lifters():
        if name in LIFTERS:  # its own weights are gone, the name is right
            raise WeightsError(
                f"The weights {full} are missing from this installation", "Install pose3d again"
            )
        raise unknown_name("lifter", name, list_lifters())
    path = fetching.fetch(full, offline=offline)
    entry = finding.find_entry(full)
    sha256 = entry.sha256 or finding.sha256_of(path)
    return load_lifter(path, full, sha256=sha256, licence=entry.licence, device=device)


def make_lifter_for(options: RunOptions) -> Lifter:
    """Makes the lifter that the options of a run ask for: weights, pruning, recovery and pipeline.
    UsageError: no such lifter, not usable as asked, or the device lacks the precision."""
    lifter = make_lifter(options.lifter, device=options.device, offline=options.offline)
    change = HourglassChange.of(options)
    if change:
        network, changed, notes = change_hourglass(lifter.network, lifter.options, change)
        info = replace(lifter.info, changes=(*lifter.info.changes, *notes))
        lifter = replace(lifter, network=network, options=changed, info=info)
    made_for = own_pipeline(lifter.options)
    pipeline = options.pipeline or made_for
    check_pipeline(lifter.options, pipeline)
    if pipeline != made_for:
        note = f"pipeline {made_for} -> {pipeline}"
        lifter = replace(lifter, info=replace(lifter.info, changes=(*lifter.info.changes, note)))
    # Half the digits is a wish, not a default: answers should not depend on the machine.
    precision = "fp32" if options.precision == "auto" else options.precision
    check_precision(precision, lifter.info.device)
    return replace(lifter, pipeline=pipeline, precision=precision)


def check_hypotheses(lifter: Lifter, *, rate_test: bool = False) -> None:
    """Refuses lifters that give one pose only, and tests that would average hypotheses."""
    if not getattr(lifter, "n_hypotheses", 0):
        raise UsageError(
            f"Lifter {lifter.info.name} gives one pose and no hypotheses",
            "Leave --hypotheses out, or give --lifter mhformer.free27",
        )
    if lifter.pipeline != "seq2seq":
        raise UsageError(
            "Hypotheses are of whole windows", "Use --pipeline seq2seq, or no --hypotheses"
        )
    if rate_test:
        raise UsageError(
            "Hypotheses of two rates cannot be averaged: they come in no order",
            "Use --no-rate-test, or no --hypotheses",
        )


def lift_sequence(
    pose: PoseSequence,
    lifter: Lifter,
    *,
    flip_test: bool = True,
    rate_test: bool = False,
    height: float | None = None,
    hypotheses: bool = False,
) -> PoseSequence:
    """Returns the clip as H36M17 with every person's ``joints_cam_m`` (and ``hypotheses_cam_m``).

    They are seen by ``pose.camera``, or an assumed one. Each stretch of a person without gap or pause is lifted by itself, all windows together.

    Args:
        flip_test: also lift the mirrored keypoints and average.
        rate_test: also lift every second frame and average, where the weights know many rates.
        height: stature in metres; None: 1.70.
        hypotheses: keep the lifter's hypotheses as well.

    Raises:
        UsageError: no keypoints, a skeleton that does not fit, or see :func:`check_hypotheses`.
    """
    if hypotheses:
        check_hypotheses(lifter, rate_test=rate_test)
    if pose.keypoints_px is None or pose.score is None:
        raise UsageError("There are no 2D keypoints to lift", "Run the 2D stage first")
    points, score = map_to_h36m(
        lifter.options.mapping, pose.keypoints_px, pose.score, pose.skeleton
    )
    size_wh = pose.video.size_wh
    camera = pose.camera or assumed_camera(size_wh)
    straight = camera.straighten(points, size_wh)
    rate = float(pose.video.rate)
    plan = plan_rate(rate, lifter.options.rate_range)
    half = None
    if rate_test and lifter.options.many_rates:
        half = plan_half_rate(rate, lifter.options.rate_range)
    parts = present_parts(points, pose)
    stretches = [np.concatenate([straight[rows], score[rows, :, None]], -1) for rows in parts]
    stretches, size_wh = prepare_tracks(stretches, lifter.options.normalisation, size_wh)
    ask = partial(
        _lift_parts,
        lifter=lifter,
        size_wh=size_wh,
        focal=camera.focal_px,
        flip_test=flip_test,
        hypotheses=hypotheses,
    )
    answers = _lift_at_rate(stretches, plan, ask)
    if half is not None:
        others = _lift_at_rate(stretches, half, ask)
        answers = [(a + b) / 2 for a, b in zip(answers, others, strict=True)]
    # The final pose comes first, then the hypotheses: all are cut, faded and scaled alike.
    n_poses = 1 + (lifter.n_hypotheses if hypotheses else 0)
    poses = np.full((len(points), n_poses, len(H36M17), 3), np.nan, np.float32)
    scale = 1.0 if height is None else height / 1.70
    for rows, answer in zip(parts, answers, strict=True):
        poses[rows] = answer * scale
    options = {
        "flip_test": flip_test,
        "rate_test": half is not None,
        "focal_px": round(camera.focal_px, 2),
        "focal_source": camera.focal_source,
        "stature_m": 1.70 if height is None else height,
        "rate_split": plan.split,
        "rate_between": plan.between,
        **({"hypotheses": lifter.n_hypotheses} if hypotheses else {}),
    }
    return pose.with_stage(
        _describe_stage(lifter, options),
        skeleton=H36M17,
        keypoints_px=points,
        score=score,
        joints_cam_m=np.ascontiguousarray(poses[:, 0]),
        hypotheses_cam_m=poses[:, 1:] if hypotheses else None,
    )


def _describe_stage(lifter: Lifter, options: dict[str, Any]) -> StageRecord:
    """Returns the record of the lifting, pruning and recovery included."""
    info, hourglass = lifter.info, lifter.options.hourglass
    strategy: dict[str, Any] = {"prune": "none"}
    if hourglass is not None:
        names = "prune", "keep", "at", "recover", "keep_centre"
        values = {name: getattr(hourglass, name) for name in names}
        strategy = {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}
        strategy["recover"] = hourglass.recover or "none"
    return StageRecord(
        stage="lift",
        name=info.name.split(".")[0],
        weights=info.name,
        sha256=info.sha256[0] if info.sha256 else None,
        options={
            **options,
            "mapping": lifter.options.mapping,
            "window": lifter.frames,
            **strategy,
            "pipeline": lifter.pipeline,
            "precision": lifter.precision,
            "changes": list(info.changes),
        },
        device=info.device,
        device_reason=info.device_reason,
    )


def present_parts(points: Array, pose: PoseSequence) -> list[slice]:
    """Returns the rows of every stretch of frames in which most of a person's joints are there.
    A pause of the recording ends a stretch: nothing is known of what happened in between."""
    present = np.isfinite(points).all(-1).mean(-1) >= 0.5  # row
    return [
        slice(span.rows.start + int(run[0]), span.rows.start + int(run[-1]) + 1)
        for span in pose.spans
        for run in split_runs(present[span.rows], pose.time_s[span.frames])
    ]


def _lift_at_rate(
    stretches: list[Array], plan: RatePlan, lift: Callable[[list[Array]], list[Array]]
) -> list[Array]:
    """Lifts stretches ``(row, 17, x y score)`` brought to another rate; ``(row, pose, 17, 3)`` each."""
    pieces = [apply_rate(stretch, plan) for stretch in stretches]
    lifted = iter(lift([part for parts in pieces for part in parts]))
    return [undo_rate([next(lifted) for _ in parts], plan) for parts in pieces]


def _lift_parts(
    parts: list[Array],
    lifter: Lifter,
    size_wh: tuple[int, int],
    focal: float,
    flip_test: bool,
    hypotheses: bool,
) -> list[Array]:
    """Lifts sequences ``(row, 17, x y score)``: ``(row, pose and any hypotheses, 17, 3)`` each."""
    if lifter.pipeline == "seq2frame":
        return [p[:, None] for p in _lift_centres(parts, lifter, size_wh, focal, flip_test)]
    cut = [w for i, part in enumerate(parts) for w in cut_windows(len(part), lifter.frames, i)]
    if not cut:
        return []
    stacked = np.stack([parts[w.sequence][w.rows] for w in cut])
    lift = lifter.lift_hypotheses if hypotheses else lifter.lift_windows
    answers = lift(stacked[..., :2], stacked[..., 2], size_wh, focal, flip_test=flip_test)
    if isinstance(answers, tuple):
        answers = np.concatenate([answers[0][:, :, None], answers[1]], 2)
    else:
        answers = answers[:, :, None]  # window frame pose joint 3
    return fade_together(cut, answers, [len(p) for p in parts])


def _lift_centres(
    parts: list[Array], lifter: Lifter, size_wh: tuple[int, int], focal: float, flip_test: bool
) -> list[Array]:
    """Lifts every row of the sequences as the middle of a window of its own."""
    if not parts:
        return []
    ends = np.cumsum([len(part) for part in parts])
    starts = ends - [len(part) for part in parts]
    rows = [centred_rows(len(p), lifter.frames) + s for p, s in zip(parts, starts, strict=True)]
    stacked = np.concatenate(parts)
    joints = lifter.lift_centres(
        stacked[..., :2], stacked[..., 2], np.concatenate(rows), size_wh, focal, flip_test=flip_test
    )
    return np.split(joints, ends[:-1])


def lift_ends(
    pasts: list[Array],
    lifter: Lifter,
    size_wh: tuple[int, int],
    focal_px: float,
    *,
    flip_test: bool = True,
) -> Array:
    """Lifts the newest frame of sequences without a future, for live use: ``(sequence, 17, 3)``.
    ``pasts``: ``(row, 17, x y score)`` pixels, see :func:`~pose3d.lift.windows.newest_window`.
    seq2seq takes the last answer of the window that ends there (the first frame is held before it),
    seq2frame the window around it, reflected as at the end of a clip."""
    frames = lifter.frames
    pasts, size_wh = prepare_tracks(pasts, lifter.options.normalisation, size_wh)
    if lifter.pipeline == "seq2frame":
        # All of its rows are among the last ``frames``, so the cut past gives the same window.
        windows = np.stack([past[centred_rows(len(past), frames)[-1]] for past in pasts])
        flat = windows.reshape(-1, *windows.shape[2:])
        rows = np.arange(len(flat)).reshape(len(windows), frames)
        return lifter.lift_centres(
            flat[..., :2], flat[..., 2], rows, size_wh, focal_px, flip_test=flip_test
        )
    windows = np.stack([np.concatenate([np.repeat(p[:1], frames - len(p), 0), p]) for p in pasts])
    return lifter.lift_windows(
        windows[..., :2], windows[..., 2], size_wh, focal_px, flip_test=flip_test
    )[:, -1]
