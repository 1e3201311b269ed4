"""The results of ``pose3d evaluate wild`` as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pose3d.lab.evaluation.tables import figures_table, make_table, words
from pose3d.lab.evaluation.wild import STRAIGHT_DEG

if TYPE_CHECKING:
    from rich.table import Table

_PART_TITLES = {
    "mocap": "mocap: test subjects, generated detections",
    "aist": "aist: break dance, real COCO detections, nine views",
    "rendered": "rendered: real BlazePose tracks, exact truth",
    "samples": "samples: from pixels, exact truth",
}
_GROUPS = {
    "Procrustes mm by group": {
        "by_action": "action",
        "by_elevation": "camera above the horizontal",
        "by_score": "joints by detector score",
        "by_occlusion": "joints by what hides them",
        "joint_mm": "joint",
    },
    "joint angles in degrees": {
        "angle_deg": "mean size of the error",
        "straight_deg": f"median where {STRAIGHT_DEG:.0f} and more are true",
    },
}
_COLUMNS = {
    "estimate": "{name}",
    "Procrustes mm": "{procrustes_mm:.1f}",
    "median": "{median_mm:.1f}",
    "90th pct.": "{p90_mm:.1f}",
    "one fit a clip": "{clip_mm:.1f}",
    "root mm": "{root_mm:.1f}",
    "velocity m/s": "{velocity_mm_s:.2k}",
    "accel. m/s²": "{acceleration_mm_s2:.2k}",
    "near/far": "{depth_reversed:.1%}",
    "sides": "{sides_exchanged:.1%}",
    "flipped": "{body_flipped:.1%}",
    "covered": "{covered:.1%}",
}
_CLIP_COLUMNS = ("Procrustes mm", "accel. m/s²", "flipped", "covered")


def wild_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`~pose3d.lab.evaluation.wild.evaluate_wild` as tables."""
    tables = []
    for part, result in results["parts"].items():
        lost = ", ".join(result["never_found"])
        title = f"{_PART_TITLES[part]} ({result['clips']} clips, {result['frames']} frames of all"
        title += f" estimates{'; never found: ' if lost else ''}{lost})"
        rows = [{"name": name, **row} for name, row in result["estimates"].items()]
        tables.append(figures_table(title, _COLUMNS, rows))
    if "samples" in results["parts"]:
        tables.append(_clips_table(results["parts"]["samples"]["estimates"]))
    tables += [
        _group_table(f"{part}: {title}", groups, result["estimates"])
        for part, result in results["parts"].items()
        for title, groups in _GROUPS.items()
    ]
    if results["robustness"]:
        tables.append(_robustness_table(results["robustness"]))
    return tables


def _clips_table(estimates: Mapping[str, Any]) -> Table:
    columns = {"frames": "{frames}", **{head: _COLUMNS[head] for head in _CLIP_COLUMNS}}
    rows = []
    for clip in next(iter(estimates.values()))["by_clip"]:
        rows.append([clip])
        for name, estimate in estimates.items():
            row = estimate["by_clip"][clip]
            rows.append([f"  {name}", *(words(form, row) for form in columns.values())])
    return make_table("samples: each clip by itself", ["estimate", *columns], rows)


def _group_table(title: str, groups: Mapping[str, str], estimates: Mapping[str, Any]) -> Table:
    """Returns a table of figures, or pairs of a figure and its number, by ``groups`` of an estimate."""
    rows = []
    for key, head in groups.items():
        columns = [estimate[key] for estimate in estimates.values()]
        rows += [[head]] if columns[0] else []
        for name, value in columns[0].items():
            pairs = isinstance(value, (list, tuple))
            values = [column[name][0] if pairs else column[name] for column in columns]
            cells = (f"{v:.1f}" for v in values)
            rows.append([f"  {name.replace('_', ' ')}", str(value[1]) if pairs else "", *cells])
    return make_table(title, ["group", "number", *estimates], rows)


def _robustness_table(robustness: Mapping[str, Any]) -> Table:
    results, rows = list(robustness.values()), []
    for axis, first in results[0].items():
        changes = (f"{result[axis]['change']:.1%}" for result in results)
        rows += [[axis], ["  greatest change", *changes]]
        for row in first["rows"]:
            rows.append([f"  {row}", *(f"{result[axis]['rows'][row]:.1f}" for result in results)])
    title = "Robustness: the same motions, one thing changed; Procrustes mm"
    return make_table(title, ["row", *robustness], rows)
