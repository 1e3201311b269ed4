"""What is demanded of the shipped weights, and what :mod:`pose3d.lab.evaluation.wild` found of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from pose3d.lab.evaluation.wild_clips import LIKE_FOR_LIKE, WORLD
from pose3d.lift.flops import count_flops
from pose3d.lift.lifter import Lifter
from pose3d.lift.models import LifterOptions
from pose3d.plugins import load_part

_TRAINING_ONLY = ("drop_path", "dropout")
"""Sizes of networks that change nothing but their training."""


def check_bars(
    parts: Mapping[str, Any],
    robustness: Mapping[str, Any],
    lifters: Mapping[str, Lifter],
    training: Mapping[str, Mapping[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """Compares the first lifter with what is demanded of the shipped weights.

    Args:
        parts: name -> see :func:`~pose3d.lab.evaluation.wild.evaluate_part`.
        robustness: see :func:`~pose3d.lab.evaluation.wild.evaluate_wild`.
        lifters: by name.
        training: lifter -> see :func:`~pose3d.lab.evaluation.wild.read_training`.

    Returns:
        Rows with ``what``, ``value``, ``limit`` and ``met``; the last two are None for a figure that
        no bar is about. Procrustes error over that of the 2D network's own 3D at most 0.6,
        acceleration error at most 0.15 (``rendered``, and each clip of ``samples``; a person who was
        never found meets nothing); no frame of any sample with the body flipped; on ``aist`` at most
        0.7 of a per-frame lifter, where one is among the lifters; a hourglass at most 1.01 of its
        plain backbone's error, at most 0.6 of its FLOPs; robustness changes below 0.10.
    """
    first = next(iter(lifters))
    rows: list[dict[str, Any]] = []
    if "rendered" in parts:
        rows += _world_bars("rendered", parts["rendered"]["estimates"], first)
    if "samples" in parts:
        rows += _samples_bars(parts["samples"]["estimates"], first)
    for other in list(lifters)[1:]:
        if lifters[other].frames == 1 and "aist" in parts:
            rows += _per_frame_bars(parts["aist"]["estimates"], first, other)
        if _is_plain_twin(lifters[first], lifters[other]):
            rows += _twin_bars(parts, lifters, training or {}, first, other)
    for axis, result in robustness.get(first, {}).items():
        rows.append(_bar(f"robustness: change with {axis}", result["change"], 0.10))
    return rows


def _bar(what: str, value: float, limit: float | None) -> dict[str, Any]:
    """Returns a row; NaN meets no limit."""
    met = None if limit is None else value <= limit
    return {"what": what, "value": value, "limit": limit, "met": met}


def _over(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else math.nan


def _world_bars(
    where: str, estimates: Mapping[str, Any], first: str, *, bar: bool = True
) -> list[dict[str, Any]]:
    """Returns the errors of the first lifter over those of the 2D network's own 3D, if it has one."""
    if WORLD not in estimates:
        return []
    ours, theirs = estimates[first], estimates[WORLD]
    return [
        _bar(f"{where}: {word} over {WORLD}", _over(ours[key], theirs[key]), limit if bar else None)
        for key, word, limit in (
            ("procrustes_mm", "Procrustes", 0.6),
            ("acceleration_mm_s2", "acceleration", 0.15),
        )
    ]


def _samples_bars(estimates: Mapping[str, Any], first: str) -> list[dict[str, Any]]:
    """Returns the bars of each sample clip, and their figures over all clips, which are no bars."""
    rows: list[dict[str, Any]] = []
    clips = estimates[first]["by_clip"]
    for clip, ours in clips.items():
        where = f"samples, {clip}" if ours["frames"] else f"samples, {clip} (in no frame)"
        each = {name: estimate["by_clip"][clip] for name, estimate in estimates.items()}
        rows += _world_bars(where, each, first)
        rows.append(_bar(f"{where}: frames with the body flipped", ours["body_flipped"], 0.0))
    return rows + _world_bars("samples, all clips pooled", estimates, first, bar=False)


def _per_frame_bars(estimates: Mapping[str, Any], first: str, other: str) -> list[dict[str, Any]]:
    """Returns the errors of the first lifter over those of a per-frame one on ``aist``."""
    ours, theirs = estimates[first], estimates[other]
    alike, theirs_alike = (e["by_action"][LIKE_FOR_LIKE][0] for e in (ours, theirs))
    whole = _over(ours["procrustes_mm"], theirs["procrustes_mm"])
    return [
        _bar(f"aist: Procrustes over {other}", whole, 0.7),
        _bar(f"aist, {LIKE_FOR_LIKE}: Procrustes over {other}", _over(alike, theirs_alike), 0.7),
    ]


def _twin_bars(
    parts: Mapping[str, Any],
    lifters: Mapping[str, Lifter],
    training: Mapping[str, Mapping[str, str]],
    first: str,
    other: str,
) -> list[dict[str, Any]]:
    """Returns error and FLOPs of a hourglass over those of its plain backbone."""
    rows = []
    steps = [training.get(n, {}).get("step") for n in (first, other)]
    apart = None not in steps and steps[0] != steps[1]
    note = f" (weights of step {steps[0]} against step {steps[1]})" if apart else ""
    for where, part in parts.items():
        ours, theirs = (part["estimates"][n]["procrustes_mm"] for n in (first, other))
        rows.append(_bar(f"{where}: Procrustes over {other}{note}", _over(ours, theirs), 1.01))
    flops = [count_flops(lifters[n].options).total for n in (first, other)]
    return [*rows, _bar(f"FLOPs of a window over {other}", flops[0] / flops[1], 0.6)]


def _is_plain_twin(pruned: Lifter, plain: Lifter) -> bool:
    """Tells whether the second is the first without its hourglass, with all sizes the same."""
    ours, theirs = pruned.options, plain.options
    if ours.hourglass is None or theirs.hourglass is not None:
        return False
    same = ("backbone", "normalisation", "mapping", "units")
    alike = all(getattr(ours, name) == getattr(theirs, name) for name in same)
    return alike and _full_sizes(ours) == _full_sizes(theirs)


def _full_sizes(options: LifterOptions) -> dict[str, Any]:
    """Returns the sizes of a network, those that its file leaves to the backbone as well."""
    named = inspect.signature(load_part("backbone", options.backbone)).parameters.values()
    sizes = {p.name: p.default for p in named} | dict(options.sizes)
    return {name: size for name, size in sizes.items() if name not in _TRAINING_ONLY}
