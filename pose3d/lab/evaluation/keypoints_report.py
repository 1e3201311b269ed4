"""What ``pose3d evaluate keypoints`` prints: its results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pose3d.body.skeletons import LIMBS
from pose3d.lab.evaluation.keypoints import TRUE_BOXES

if TYPE_CHECKING:
    from rich.table import Table


def keypoints_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`~pose3d.lab.evaluation.keypoints.evaluate_keypoints` as tables for a terminal."""
    return [
        table
        for table in (_estimator_table(results), _joint_table(results), _detector_table(results))
        if table.row_count
    ]


def _table(title: str, first: str, *heads: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _estimator_table(results: Mapping[str, Any]) -> Table:
    source = results["people_from"]
    people = "true boxes" if source == TRUE_BOXES else f"people found by {source}"
    table = _table(
        f"2D keypoints against exact truth, {people}; % of the person's height, 12 limb joints",
        "estimator",
        *("median %", "90th pct. %", "missed", "extra"),
        *("ms a frame", "ms a person", "CPU ms a person"),
    )
    for row in results["estimators"]:
        table.add_row(
            row["name"] + (" (own boxes)" if row["people_from"] == "itself" else ""),
            _number(row["median_pct"], 2),
            _number(row["p90_pct"], 2),
            f"{row['missed']} of {row['true_people']}",
            str(row["extra"]),
            *(_number(row[n], 1) for n in ("ms_frame", "ms_person", "cpu_ms_person")),
        )
    return table


def _joint_table(results: Mapping[str, Any]) -> Table:
    names = [row["name"] for row in results["estimators"]]
    table = _table(
        "Each joint: median (90th percentile), % of the person's height", "joint", *names
    )
    for joint in LIMBS if names else ():
        cells = [row["joints"][joint] for row in results["estimators"]]
        table.add_row(
            joint.replace("_", " "),
            *(f"{_number(c['median_pct'], 2)} ({_number(c['p90_pct'], 2)})" for c in cells),
        )
    return table


def _detector_table(results: Mapping[str, Any]) -> Table:
    heads = ("missed", "missed %", "extra", "ms a frame", "CPU ms a frame")
    table = _table("Detectors on the same frames", "detector", *heads)
    for row in results["detectors"]:
        table.add_row(
            row["name"],
            f"{row['missed']} of {row['true_people']}",
            f"{100 * row['missed_share']:.1f}",
            str(row["extra"]),
            *(_number(row[n], 1) for n in ("ms_frame", "cpu_ms_frame")),
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
