"""How the field cuts recordings into windows, lifts them and counts their errors.

Two outputs: ``window`` (seq2seq; windows side by side, every frame of each is taken) and ``centre``
(seq2frame; one window around every frame). Windows that stick out of a recording see its first or
last frame repeated: ``published`` counts the errors of the repeats, as published code does, ``once``
counts every frame one time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError, unknown_name
from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lift.lifter import Lifter
from pose3d.lift.models import LifterOptions
from pose3d.lift.tracks import fill_unseen
from pose3d.lift.windows import plan_rate

Array = NDArray[np.floating]

OUTPUTS = ("window", "centre")
WINDOWS = ("centred", "aligned")
PADDINGS = ("published", "once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How recordings are evaluated."""

    # window, centre, or None: what the published code of the network does
    output: str | None = None
    # centred (HoT, MHFormer), or aligned (MixSTE): the last window ends with the recording
    windows: str = "centred"
    flip_test: bool = True
    padding: str = "published"  # which way of counting a table shows: published or once

    def __post_init__(self) -> None:
        if self.output is not None and self.output not in OUTPUTS:
            raise unknown_name("output", self.output, OUTPUTS)
        if self.windows not in WINDOWS:
            raise unknown_name("placing of windows", self.windows, WINDOWS)
        if self.padding not in PADDINGS:
            raise unknown_name("way of counting", self.padding, PADDINGS)

    def output_of(self, options: LifterOptions) -> str:
        """Returns ``window`` or ``centre`` for a network."""
        hourglass = options.hourglass
        centre_only = hourglass is not None and hourglass.recover is None
        # MHFormer answers for whole windows, but is published and compared by their centres.
        usual = "centre" if centre_only or options.backbone == "mhformer" else "window"
        if centre_only and hourglass is not None and not hourglass.keep_centre:
            lacks = "recovers no frames and does not always keep the centre"
            raise UsageError(f"This lifter {lacks}", "Use weights with a recovery or keep_centre")
        if centre_only and self.output == "window":
            raise UsageError("This lifter answers for the centre only", "Use --output centre")
        return self.output or usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Predictions for one recording."""

    rows: NDArray[np.intp]  # (prediction,) frame of the recording
    first: NDArray[np.bool_]  # (prediction,) False: padding, or a frame of the window before
    joints_m: Array  # (prediction, 17, 3) relative to the pelvis, camera axes


def place_windows(
    length: int, frames: int, windows: str = "centred"
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Covers a recording with windows side by side.

    Returns rows of the recording ``(window, frame)``, and whether each is the first for its row.

    Reference: ``common/generator_stride.py`` of HoT (centred), ``eval_data_prepare`` in ``run.py``
    of MixSTE (aligned).
    """
    count = math.ceil(length / frames)
    if windows == "aligned":
        starts = np.arange(count) * frames
        starts[-1] = max(length - frames, 0)
    else:
        starts = np.arange(count) * frames - (count * frames - length) // 2
    wanted = starts[:, None] + np.arange(frames)
    rows = wanted.clip(0, length - 1)
    first = (wanted == rows).ravel()
    # In time order the first window with a row comes first.
    _, earliest = np.unique(np.where(first, wanted.ravel(), -1), return_index=True)
    unique = np.zeros(first.shape, bool)
    unique[earliest] = True
    return rows, (unique & first).reshape(rows.shape)


def centre_rows(length: int, frames: int) -> NDArray[np.intp]:
    """Returns the rows ``(length, frame)`` of one window around every frame, ends repeated."""
    offsets = np.arange(frames) - (frames - 1) // 2
    return (np.arange(length)[:, None] + offsets).clip(0, length - 1)


def lift_recording(sequence: LabelledSequence, lifter: Lifter, protocol: Protocol) -> Answers:
    """Lifts one recording.

    One that is faster than what the weights know is split into interleaved slower ones, each with its
    own windows; one that is slower is refused.
    """
    output = protocol.output_of(lifter.options)
    points, score = sequence.mapped(lifter.options.mapping)
    if lifter.options.normalisation != "person":
        score = np.where(np.isfinite(points).all(-1), score, 0)
        points = fill_unseen(points)
    split = 1
    if sequence.rate is not None:
        plan = plan_rate(sequence.rate, lifter.options.rate_range)
        if plan.between:
            wants = f"{lifter.options.rate_range[0]:g} frames/s and more, not {sequence.rate:g}"
            raise UsageError(f"This lifter wants {wants}", "Use other weights")
        split = plan.split
    parts = []
    for start in range(min(split, len(points))):
        own = np.arange(start, len(points), split)
        if output == "centre":
            rows, first = centre_rows(len(own), lifter.frames), np.ones(len(own), bool)
            picked = np.arange(len(own))
        else:
            rows, unique = place_windows(len(own), lifter.frames, protocol.windows)
            first, picked = unique.ravel(), rows.ravel()
        joints = _lift_rows(sequence, points, score, own[rows], lifter, protocol)
        parts.append(Answers(rows=own[picked], first=first, joints_m=joints))
    return Answers(
        rows=np.concatenate([p.rows for p in parts]),
        first=np.concatenate([p.first for p in parts]),
        joints_m=np.concatenate([p.joints_m for p in parts]),
    )


def _lift_rows(
    sequence: LabelledSequence,
    points: Array,
    score: Array,
    rows: NDArray[np.intp],
    lifter: Lifter,
    protocol: Protocol,
) -> Array:
    """Lifts windows ``(window, frame)`` of rows; returns ``(prediction, 17, 3)``."""
    output = protocol.output_of(lifter.options)
    lifter, unit_m = _true_units(sequence, lifter)
    camera = (sequence.size_wh, sequence.focal_px)
    if output == "centre":
        joints = lifter.lift_centres(points, score, rows, *camera, flip_test=protocol.flip_test)
        rows = rows[:, (lifter.frames - 1) // 2]
    else:
        points, score = points[rows], score[rows]
        joints = lifter.lift_windows(points, score, *camera, flip_test=protocol.flip_test)
    return (joints * unit_m[rows][..., None, None]).reshape(-1, 17, 3)


def _true_units(sequence: LabelledSequence, lifter: Lifter) -> tuple[Lifter, Array]:
    """Returns the lifter without a unit of its own, and the metres of its unit in every frame.
    Recordings are normalised by the picture's width, whatever the code base's demo does.

    Reference: ``2.5d_factor`` in ``train.py`` of Walter0807/MotionBERT: the true depth of the pelvis.
    Differs: there the truth is bent into a weak perspective as well (``joints_2.5d_image``).
    """
    if lifter.options.normalisation in ("crop", "short-side"):
        lifter = replace(lifter, options=replace(lifter.options, normalisation="screen"))
    if lifter.options.units == "metres":
        return lifter, np.ones(len(sequence.valid), np.float32)
    depth_m = sequence.joints_cam_m[:, 0, 2]
    metres = replace(lifter, options=replace(lifter.options, units="metres"))
    return metres, (sequence.size_wh[0] / 2 * depth_m / sequence.focal_px).astype(np.float32)


def describe_evaluation(lifter: Lifter, protocol: Protocol) -> dict[str, Any]:
    """Returns what the results on every data set say of the lifter and the protocol."""
    return {
        "lifter": lifter.info.name,
        "sha256": list(lifter.info.sha256),
        "frames_of_window": lifter.frames,
        "output": protocol.output_of(lifter.options),
        "windows": protocol.windows,
        "flip_test": protocol.flip_test,
        "padding": protocol.padding,
    }
