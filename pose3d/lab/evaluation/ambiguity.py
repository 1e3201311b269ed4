"""Whether the spread of the hypotheses tells where the final pose is wrong.

No rotation is taken out: the spread holds the uncertainty of the body's direction as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import LIMBS
from pose3d.lab.evaluation.compare import (
    dense_of_one,
    join_clips,
    limb_columns,
    limb_joints,
    mean_or_nan,
    percentile_or_nan,
)
from pose3d.lab.evaluation.metrics import joint_errors
from pose3d.lab.evaluation.tables import figures_table, words
from pose3d.result.record import PoseSequence, compute_spread_mm

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]

LOW_SCORE = 0.5  # below it the 2D network says itself that it guessed

_PARTS = tuple(dict.fromkeys(name.split("_")[1] for name in LIMBS))
_QUARTERS = 4


def compare_hypotheses(
    lifted: PoseSequence, truth_m: Array, used: NDArray[np.bool_]
) -> dict[str, Array]:
    """Returns errors, spread and score of the frames of a clip with one person.

    ``truth_m (frame, 12, 3)``: see :func:`limb_joints`. Of the frames that are ``used`` and have a pose:
    ``error_mm`` (of the final pose), ``spread_mm``, ``score`` ``(n, 12)``, ``hypothesis_mm`` ``(n,
    hypothesis)``.
    """
    one, skeleton = dense_of_one(lifted), lifted.skeleton
    assert one.joints_cam_m is not None
    assert one.hypotheses_cam_m is not None
    assert one.score is not None
    final = limb_joints(one.joints_cam_m[:, 0], skeleton)
    others = [
        limb_joints(one.hypotheses_cam_m[:, 0, h], skeleton)
        for h in range(one.hypotheses_cam_m.shape[2])
    ]
    some = used & np.isfinite(final).all((1, 2)) & np.isfinite(truth_m).all((1, 2))
    final, truth = final[some], truth_m[some]
    scale = (final * truth).sum() / (final * final).sum() if some.any() else 1.0
    columns = limb_columns(skeleton)
    return {
        "error_mm": joint_errors(final * scale, truth) * 1000,
        "hypothesis_mm": np.stack(
            [joint_errors(pose[some] * scale, truth).mean(-1) * 1000 for pose in others], -1
        ),
        "spread_mm": compute_spread_mm(one.hypotheses_cam_m[some, 0])[:, columns],
        "score": one.score[some, 0][:, columns],
    }


def summarise_hypotheses(clips: Sequence[Mapping[str, Array]]) -> dict[str, Any]:
    """Returns what the spread says about the error, over all frames of all clips.

    ``final_mm``, ``best_mm``, ``mean_mm``: mean error of the final pose, of the hypothesis nearest to
    the truth in each frame, of all. ``parts``, for each pair of joints and ``all`` (their mean): median
    ``spread_mm``, mean ``error_mm``, ``rank_correlation`` (Spearman's), ``error_by_quarter_mm`` (least
    spread first), ``spread_seen_mm`` and ``spread_hardly_seen_mm`` (in ``all`` over pairs with both).
    """
    data = join_clips(clips)
    best, mean = data["hypothesis_mm"].min(1), data["hypothesis_mm"].mean(1)
    parts = {}
    for part in _PARTS:
        columns = [i for i, name in enumerate(LIMBS) if name.endswith(part)]
        arrays = (data[n][:, columns].ravel() for n in ("spread_mm", "error_mm", "score"))
        parts[part] = _summarise_part(*arrays)
    parts["all"] = _mean_of_parts(list(parts.values()))
    return {
        "frames": len(best),
        "final_mm": mean_or_nan(data["error_mm"].mean(1)),
        "best_mm": mean_or_nan(best),
        "mean_mm": mean_or_nan(mean),
        "parts": parts,
    }


def _summarise_part(spread: Array, error: Array, score: Array) -> dict[str, Any]:
    from scipy.stats import spearmanr

    quarters = np.array_split(error[np.argsort(spread, kind="stable")], _QUARTERS)
    seen = score >= LOW_SCORE
    differ = len(spread) > 1 and np.ptp(spread) > 0 and np.ptp(error) > 0
    return {
        "spread_mm": percentile_or_nan(spread, 50),
        "error_mm": mean_or_nan(error),
        "rank_correlation": float(spearmanr(spread, error).statistic) if differ else np.nan,
        "error_by_quarter_mm": [mean_or_nan(quarter) for quarter in quarters],
        "spread_seen_mm": percentile_or_nan(spread[seen], 50),
        "spread_hardly_seen_mm": percentile_or_nan(spread[~seen], 50),
    }


def _mean_of_parts(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the mean of each figure; those by score over the parts that have both."""
    by_score = ("spread_seen_mm", "spread_hardly_seen_mm")
    both = [part for part in parts if all(np.isfinite(part[name]) for name in by_score)]
    return {
        name: np.mean([p[name] for p in chosen], 0).tolist() if chosen else np.nan
        for name in parts[0]
        for chosen in [both if name in by_score else parts]
    }


def hypotheses_table(results: Mapping[str, Any]) -> Table:
    """Returns the results of :func:`summarise_hypotheses` as a table."""
    columns = {
        "joints": "{name}",
        "spread mm": "{spread_mm:.0f}",
        "2D seen": "{spread_seen_mm:.0f}",
        "hardly seen": "{spread_hardly_seen_mm:.0f}",
        "error mm": "{error_mm:.0f}",
        "by quarter of spread": " ".join(f"{{error_by_quarter_mm[{i}]:4.0f}}" for i in range(4)),
        "rank corr.": "{rank_correlation:.2f}",
    }
    caption = words(
        "{frames} frames; mean error of the final pose {final_mm:.1f} mm, of the nearest hypothesis "
        "of each frame {best_mm:.1f}, of all hypotheses {mean_mm:.1f}",
        results,
    )
    title = "Hypotheses: does their spread tell where the error is?"
    rows = [{"name": name, **row} for name, row in results["parts"].items()]
    return figures_table(title, columns, rows, caption)
