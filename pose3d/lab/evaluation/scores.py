"""Errors of lifted recordings, by action, counted in both ways of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.lab.datasets.sequences import LabelledSequence
from pose3d.lab.evaluation.compare import join_clips, mean_or_nan
from pose3d.lab.evaluation.metrics import mpjpe, n_mpjpe, p_mpjpe, velocity_errors
from pose3d.lab.evaluation.protocol import PADDINGS, Answers, Protocol, lift_recording
from pose3d.lab.evaluation.tables import OnStep, figures_table, tell_each
from pose3d.lift.lifter import Lifter

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[Any]

# P1, P2, P1 with the best scale, error of the motion a frame
FIGURES = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "velocity_mm")


def score_recording(sequence: LabelledSequence, answers: Answers) -> dict[str, Array]:
    """Compares the answers with the truth, over all 17 joints as published, in ``valid`` frames.

    Returns ``FIGURES`` of each prediction, and ``first`` (False: left out by ``once``);
    ``velocity_mm`` is a frame, every frame once.
    """
    truth = sequence.relative_m.astype(np.float64)
    counts = sequence.valid[answers.rows]
    rows, ours = answers.rows[counts], answers.joints_m[counts].astype(np.float64)
    target = truth[rows]
    once = answers.first
    order = np.argsort(answers.rows[once], kind="stable")
    in_order = answers.joints_m[once][order].astype(np.float64)
    # A step counts when both of its frames do.
    steps = sequence.valid[1:] & sequence.valid[:-1]
    velocity = np.empty(0)
    if len(truth) > 1:
        velocity = velocity_errors(in_order, truth, 1.0).mean(-1)[steps]
    return {
        "first": once[counts],
        "mpjpe_mm": mpjpe(ours, target) * 1000,
        "p_mpjpe_mm": p_mpjpe(ours, target) * 1000,
        "n_mpjpe_mm": n_mpjpe(ours, target) * 1000,
        "velocity_mm": velocity * 1000,
    }


def score_all(
    sequences: Sequence[LabelledSequence],
    lifter: Lifter,
    protocol: Protocol,
    groups: Sequence[str],
    on_step: OnStep | None,
    more: Callable[[LabelledSequence, Answers, str], dict[str, float]] | None = None,
) -> dict[str, Any]:
    """Lifts recordings; returns ``actions`` and their ``mean`` in each of ``PADDINGS``.

    ``more`` gives further figures of groups that are one recording; means are then over frames.
    """
    told = tell_each(sequences, lambda s: f"{s.subject} {s.action}", on_step)
    lifted = [(sequence, lift_recording(sequence, lifter, protocol)) for sequence in told]
    scores = [(sequence.group, score_recording(sequence, answers)) for sequence, answers in lifted]
    out = {}
    for way in PADDINGS:
        table = average_groups(scores, groups, way)
        if more is not None:
            for sequence, answers in lifted:
                table[sequence.group] |= more(sequence, answers, way)
        out[way] = {"actions": table, "mean": mean_of_groups(table, more is not None)}
    return out


def average_groups(
    scores: Sequence[tuple[str, Mapping[str, Array]]], groups: Sequence[str], padding: str
) -> dict[str, dict[str, float]]:
    """Returns group -> ``frames`` counted and the means of ``FIGURES``, for groups that have any.

    ``scores``: group and result of :func:`score_recording` of each recording.
    """
    table: dict[str, dict[str, float]] = {}
    for group in groups:
        if mine := [s for name, s in scores if name == group]:
            whole = join_clips(mine)
            used = whole["first"] if padding == "once" else np.ones_like(whole["first"])
            table[group] = {"frames": int(used.sum())}
            table[group] |= {name: mean_or_nan(whole[name][used]) for name in FIGURES[:-1]}
            table[group]["velocity_mm"] = mean_or_nan(whole["velocity_mm"])
    return table


def mean_of_groups(
    table: Mapping[str, Mapping[str, float]], by_frames: bool = False
) -> dict[str, float]:
    """Returns the means over the groups (each counts the same, or by its frames), and all frames."""
    rows = [row for row in table.values() if row["frames"] or not by_frames]
    frames = [int(row["frames"]) for row in rows]
    means: dict[str, float] = {"frames": sum(frames)}
    for name in [name for name in (rows or [{}])[0] if name != "frames"]:
        values = [row[name] for row in rows]
        means[name] = float(np.average(values, weights=frames if by_frames else None))
    return means


def action_table(
    results: Mapping[str, Any], title: str, heads: Mapping[str, str], *, first: str = "action"
) -> Table:
    """Returns a table of the ``actions`` and ``mean`` that were counted as ``padding`` says.

    ``heads``: figure -> head of its column; ``first``: head of the first column.
    """
    columns = {first: "{name}", "frames": "{frames}"}
    columns |= {head: f"{{{figure}:.2f}}" for figure, head in heads.items()}
    counted = results[results["padding"]]
    rows = {**counted["actions"], "mean": counted["mean"]}
    named = [{"name": name, **row} for name, row in rows.items()]
    return figures_table(title, columns, named, _caption(results))


def _caption(results: Mapping[str, Any]) -> str:
    """Says how frames were counted, and what the other way gives."""
    words = {
        "published": "repeated frames of windows counted, as published",
        "once": "every frame counted once",
    }
    parts = [
        f"{words[way]}: {results[way]['mean']['mpjpe_mm']:.2f} mm"
        for way in sorted(PADDINGS, key=lambda way: way != results["padding"])
    ]
    return "; ".join(parts)
