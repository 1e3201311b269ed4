"""What a trained network of an experiment is worth: errors on held-out people, operations, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pose3d.errors import DataError
from pose3d.lab.experiments.rows import Row

# Parts of ``evaluate wild`` for lifters: all but the samples, which need pixels.
PARTS = ("mocap", "rendered", "aist")
_SPEED_S = 4.0
_PIECES, _AIST_S = 30, 1.5


def measure_run(row: Row, weights: Path, data: Path) -> dict[str, Any]:
    """Returns the figures of one run, as JSON values; DataError: there is nothing to measure on.

    Lifters: ``params``, ``flops`` (one window, attention included), ``frames``,
    :func:`measure_rates` and, for each of ``PARTS`` below ``data``, the errors of
    :func:`~pose3d.lab.evaluation.wild.pool`. 2D networks:
    :func:`~pose3d.lab.evaluation.people.evaluate_people` on ``test``.
    """
    return _measure_2d(row, weights, data) if row.recipe.people else _measure_lifter(weights, data)


def _measure_lifter(weights: Path, data: Path) -> dict[str, Any]:
    from pose3d.lab.evaluation.wild import WildOptions, evaluate_part, open_parts
    from pose3d.lift.flops import count_flops
    from pose3d.lift.sequence import make_lifter_for
    from pose3d.options import RunOptions

    options = RunOptions(lifter=str(weights), device="cpu", place=False)
    lifter = make_lifter_for(options)
    wild = WildOptions(lifters=(str(weights),), pieces=_PIECES, aist_s=_AIST_S)
    parts: dict[str, Any] = {}
    for part, read in open_parts(data, wild, options).items():
        if part in PARTS:
            measured = evaluate_part(part, read(), {"ours": lifter}, options)
            parts[part] = measured["estimates"]["ours"]
    if not parts:
        raise DataError(f"{data} holds none of {', '.join(PARTS)}", "Give another --data")
    return {
        "params": sum(p.numel() for p in lifter.network.parameters()),
        "flops": count_flops(lifter.options).total,
        "frames": lifter.frames,
        "parts": parts,
        **measure_rates(weights),
    }


def measure_rates(weights: Path) -> dict[str, float | None]:
    """Returns frames a second of processor time of one thread at the fastest batch.

    ``seq2seq_per_s`` (None: no whole windows) and ``seq2frame_per_s``.
    """
    from pose3d.device import torch_threads
    from pose3d.lab.benchmarks.lifter_speed import measure_speed
    from pose3d.lift.models import load_network

    network, made_of, _ = load_network(weights)
    with torch_threads(1):
        speed = measure_speed(network, made_of, seconds=_SPEED_S, clock="cpu")
    whole, middle = speed.seq2seq_best, speed.seq2frame_best
    return {
        "seq2seq_per_s": None if whole is None else whole.frames_per_s,
        "seq2frame_per_s": None if middle is None else middle.frames_per_s,
    }


def _measure_2d(row: Row, weights: Path, data: Path) -> dict[str, Any]:
    from pose3d.lab.datasets.people.table import load_people
    from pose3d.lab.evaluation.people import evaluate_people
    from pose3d.networks2d.loading import make_keypoints

    assert row.recipe.people is not None
    people = load_people(row.recipe.people.dataset, data, "test")
    estimator = make_keypoints(f"tokenpose:{weights}", device="cpu")
    return {"results": evaluate_people(people, estimator)}
