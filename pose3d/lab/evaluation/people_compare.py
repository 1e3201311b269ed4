"""Which of two estimators is better on the same people: paired bootstrap over people and runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError, UsageError
from pose3d.lab.evaluation.people import (
    DIALECT,
    METRICS,
    VERSION,
    metrics_of,
)

if TYPE_CHECKING:
    from rich.table import Table

DRAWS = 2000


def read_results(path: Path) -> dict[str, Any]:
    """Reads what ``pose3d evaluate people --out`` wrote.

    Raises:
        DataError: missing, damaged, or another file.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})", "Check the path") from error
    if not isinstance(results, dict) or results.get("dialect") != DIALECT:
        raise DataError(f"{path} is no result of evaluate people", "Make it with --out")
    if results.get("version") != VERSION:
        raise DataError(f"{path} has another version", "Make it again")
    return results


def compare_runs(
    ours: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares two estimators, each of which may have been trained several times.

    Every draw takes pictures with replacement (people of one picture stay together), the same for
    both, and runs with replacement on each side; the figure of a side is the mean over its runs.

    Args:
        ours: results of one estimator, one a run.
        others: of the other one.
        draws: bootstrap samples.
        seed: of the draws.

    Returns:
        For each figure: ``ours``, ``others``, ``difference`` (ours - others), ``low`` and ``high`` (95 %
        percentile interval), ``runs`` (the figures of each run) and ``better``: the share of draws in
        which ours are better.

    Raises:
        UsageError: the results are of other people, or there are none.

    Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
    """
    _check_same_people([*ours, *others])
    rows = [[_arrays(r) for r in side] for side in (ours, others)]
    names = [n for n in METRICS if all(r["metrics"][n] is not None for r in (*ours, *others))]
    whole = [[metrics_of(r) for r in side] for side in rows]
    rng = np.random.default_rng(seed)
    pictures = _rows_by_picture(rows[0][0]["image"])
    sampled = np.empty((draws, 2, len(names)))
    for draw in sampled:
        chosen = rng.integers(len(pictures), size=len(pictures))
        people = np.concatenate([pictures[i] for i in chosen])
        for side, runs in enumerate(rows):
            used, count = np.unique(rng.integers(len(runs), size=len(runs)), return_counts=True)
            figures = [metrics_of(runs[i], people) for i in used]
            table = np.array([[f[n] for n in names] for f in figures], np.float64)
            draw[side] = np.average(table, axis=0, weights=count)
    difference = sampled[:, 0] - sampled[:, 1]
    out: dict[str, Any] = {"draws": draws, "seed": seed, "people": len(rows[0][0]["id"])}
    for i, name in enumerate(names):
        runs_of = [[w[name] for w in side] for side in whole]
        a, b = (float(np.mean(np.asarray(r, np.float64))) for r in runs_of)
        low, high = np.nanpercentile(difference[:, i], [2.5, 97.5])
        out[name] = {
            "ours": a,
            "others": b,
            "difference": a - b,
            "low": float(low),
            "high": float(high),
            "better": float((difference[:, i] > 0).mean()),
            "runs": {"ours": runs_of[0], "others": runs_of[1]},
        }
    return out


def _arrays(results: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {k: np.asarray(v) for k, v in results["people"].items()}


def _rows_by_picture(image: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(image == number) for number in np.unique(image)]


def _check_same_people(results: Sequence[Mapping[str, Any]]) -> None:
    """Raises UsageError unless all results are of the same people and joints."""
    if len(results) < 2:
        raise UsageError("There is nothing to compare", "Give --compare A.json B.json")
    first = results[0]
    for other in results[1:]:
        same = (
            other["data"] == first["data"]
            and other["people"]["id"] == first["people"]["id"]
            and other["compared_joints"] == first["compared_joints"]
        )
        if not same:
            raise UsageError(
                f"The results are of other people or joints: {first['data']} and {other['data']}",
                "Evaluate both on the same data, split and joints",
            )


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """Returns a comparison as a table."""
    from rich.table import Table

    title = f"{comparison['people']} people, {comparison['draws']} paired bootstrap draws"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for column in ("figure", "A", "B", "A - B", "95 % interval", "A better in"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, words in METRICS.items():
        if name not in comparison:
            continue
        row = comparison[name]
        table.add_row(
            words,
            f"{row['ours']:.2f}",
            f"{row['others']:.2f}",
            f"{row['difference']:+.2f}",
            f"{row['low']:+.2f} to {row['high']:+.2f}",
            f"{100 * row['better']:.0f} % of draws",
        )
    return table
