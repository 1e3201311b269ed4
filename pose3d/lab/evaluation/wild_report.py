"""The results of ``pose3d evaluate wild`` for people: tables for a terminal, a picture for a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose3d.lab.charts import (
    GRID,
    INK,
    MUTED,
    make_chart,
    save_chart,
)
from pose3d.lab.evaluation.wild import STRAIGHT_DEG
from pose3d.lab.evaluation.wild_clips import WORLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

PART_TITLES = {
    "mocap": "mocap: test subjects, generated detections",
    "aist": "aist: break dance, real COCO detections, nine views",
    "rendered": "rendered: real BlazePose tracks, exact truth",
    "samples": "samples: from pixels, exact truth",
}
_AXIS_WORDS = {
    "framing": "framing",
    "rate": "frames a second",
    "place": "place in the frame",
    "height": "height in the frame",
}
_COLOURS = ("#2563eb", "#f59e0b", "#10b981", "#8b5cf6", "#ef4444", "#0891b2")
_WORLD_COLOUR = "#9ca3af"


def wild_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`~pose3d.lab.evaluation.wild.evaluate_wild` as tables."""
    tables = [_part_table(part, results["parts"][part]) for part in results["parts"]]
    if "samples" in results["parts"]:
        tables.append(_clips_table(results["parts"]["samples"]))
    for part, result in results["parts"].items():
        tables += [_group_table(part, result), _angles_table(part, result)]
    if results["robustness"]:
        tables.append(_robustness_table(results["robustness"]))
    tables.append(_bars_table(results["bars"]))
    return tables


def _table(title: str, *heads: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    return table


def _part_table(part: str, result: Mapping[str, Any]) -> Table:
    lost = result["never_found"]
    note = f"; never found: {', '.join(lost)}" if lost else ""
    table = _table(
        f"{PART_TITLES[part]} ({result['clips']} clips, {result['frames']} frames of all estimates"
        f"{note})",
        *("estimate", "Procrustes mm", "median", "90th pct.", "one fit a clip", "root mm"),
        *("velocity m/s", "accel. m/s²", "near/far", "sides", "flipped", "covered"),
    )
    for name, row in result["estimates"].items():
        table.add_row(
            name,
            f"{row['procrustes_mm']:.1f}",
            f"{row['median_mm']:.1f}",
            f"{row['p90_mm']:.1f}",
            f"{row['clip_mm']:.1f}",
            f"{row['root_mm']:.1f}",
            f"{row['velocity_mm_s'] / 1e3:.2f}",
            f"{row['acceleration_mm_s2'] / 1e3:.2f}",
            f"{row['depth_reversed']:.1%}",
            f"{row['sides_exchanged']:.1%}",
            f"{row['body_flipped']:.1%}",
            f"{row['covered']:.1%}",
        )
    return table


def _clips_table(result: Mapping[str, Any]) -> Table:
    table = _table("samples: each clip by itself", "clip", "estimate", "frames", "Procrustes mm")
    for head in ("accel. m/s²", "flipped", "covered"):
        table.add_column(head, justify="right")
    names = list(result["estimates"])
    for clip in result["estimates"][names[0]]["by_clip"]:
        table.add_section()
        for i, name in enumerate(names):
            row = result["estimates"][name]["by_clip"][clip]
            table.add_row(
                "" if i else clip,
                name,
                str(row["frames"]),
                f"{row['procrustes_mm']:.1f}",
                f"{row['acceleration_mm_s2'] / 1e3:.2f}",
                f"{row['body_flipped']:.1%}",
                f"{row['covered']:.1%}",
            )
    return table


_GROUPS = {
    "by_action": "action",
    "by_elevation": "camera above the horizontal",
    "by_score": "joints by detector score",
    "by_occlusion": "joints by what hides them",
}


def _group_table(part: str, result: Mapping[str, Any]) -> Table:
    names = list(result["estimates"])
    table = _table(f"{part}: Procrustes mm by group", "group", "number", *names)
    for key, title in _GROUPS.items():
        groups = result["estimates"][names[0]][key]
        if groups:
            table.add_section()
            table.add_row(title, style="bold")
        for group, (_, number) in groups.items():
            cells = [f"{result['estimates'][name][key][group][0]:.1f}" for name in names]
            table.add_row(f"  {group}", str(number), *cells)
    table.add_section()
    table.add_row("joint", style="bold")
    for joint in result["estimates"][names[0]]["joint_mm"]:
        cells = [f"{result['estimates'][name]['joint_mm'][joint]:.1f}" for name in names]
        table.add_row(f"  {joint.replace('_', ' ')}", "", *cells)
    return table


def _angles_table(part: str, result: Mapping[str, Any]) -> Table:
    rows = result["estimates"]
    first = next(iter(rows.values()))
    table = _table(f"{part}: joint angles in degrees", "angle", "number", *rows)
    table.add_row("mean size of the error", style="bold")
    for kind in first["angle_deg"]:
        table.add_row(f"  {kind}", "", *(f"{row['angle_deg'][kind]:.1f}" for row in rows.values()))
    table.add_section()
    table.add_row(f"median where {STRAIGHT_DEG:.0f} and more are true", style="bold")
    for kind, (_, number) in first["straight_deg"].items():
        cells = (f"{row['straight_deg'][kind][0]:.1f}" for row in rows.values())
        table.add_row(f"  {kind}", str(number), *cells)
    return table


def _robustness_table(robustness: Mapping[str, Any]) -> Table:
    names = list(robustness)
    table = _table("Robustness: the same motions, one thing changed; Procrustes mm", "row", *names)
    for axis, first in robustness[names[0]].items():
        table.add_section()
        for row in first["rows"]:
            table.add_row(row, *(f"{robustness[n][axis]['rows'][row]:.1f}" for n in names))
        changes = (robustness[n][axis]["change"] for n in names)
        table.add_row(f"greatest change with {axis}", *(f"{c:.1%}" for c in changes), style="bold")
    return table


def _bars_table(bars: list[dict[str, Any]]) -> Table:
    table = _table("Bars", "what", "value", "at most", "met")
    for row in bars:
        limit = "no bar" if row["limit"] is None else f"{row['limit']:.2f}"
        met = {True: "yes", False: "no", None: ""}[row["met"]]
        table.add_row(row["what"], f"{row['value']:.3f}", limit, met)
    return table


# -- picture -----------------------------------------------------------------------------------


def draw_wild(results: Mapping[str, Any], path: Path) -> None:
    """Draws the results into one picture.

    Args:
        results: of :func:`~pose3d.lab.evaluation.wild.evaluate_wild`.
        path: PNG to write.

    Raises:
        ResultFileError: the file cannot be written.
    """
    from matplotlib.patches import Patch

    figure = make_chart(13.5, 8.2)
    grid = figure.add_gridspec(
        2, 12, left=0.05, right=0.985, top=0.83, bottom=0.09, hspace=0.5, wspace=1.7
    )
    colours = _colours(results)
    parts = results["parts"]
    _draw_parts(figure.add_subplot(grid[0, :5]), parts, colours, "procrustes_mm", 1.0)
    _draw_parts(figure.add_subplot(grid[0, 5:9]), parts, colours, "acceleration_mm_s2", 1e3)
    _draw_scores(figure.add_subplot(grid[0, 9:]), parts, colours)
    _draw_joints(figure.add_subplot(grid[1, :6]), parts, colours)
    _draw_robustness(figure.add_subplot(grid[1, 6:]), results["robustness"], colours)
    figure.text(0.05, 0.95, "Lifters in the wild", fontsize=19, fontweight="bold", color=INK)
    note = "12 limb joints, the same frames for every estimate; lower is better"
    figure.text(0.05, 0.915, note, fontsize=11, color=MUTED)
    handles = [Patch(color=colour) for colour in colours.values()]
    figure.legend(
        handles,
        list(colours),
        loc="upper right",
        bbox_to_anchor=(0.99, 0.985),
        ncols=3,
        frameon=False,
    )
    save_chart(figure, path, "--out")


def _colours(results: Mapping[str, Any]) -> dict[str, str]:
    """Returns a colour for every estimate, lifters in order, the 2D network's own 3D grey."""
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(results["lifters"])}
    if any(WORLD in part["estimates"] for part in results["parts"].values()):
        colours[WORLD] = _WORLD_COLOUR
    return colours


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, colors=INK, labelsize=9.5)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)


def _draw_bars(
    axes: Axes,
    groups: list[str],
    series: Mapping[str, list[float | None]],
    colours: Mapping[str, str],
) -> None:
    """Draws groups of bars, each group centred on its tick, with figures on top where they fit."""
    for g in range(len(groups)):
        here = [(name, v) for name, values in series.items() if (v := values[g]) is not None]
        width = 0.8 / max(len(series), 2)
        for i, (name, value) in enumerate(here):
            x = g + (i - (len(here) - 1) / 2) * width
            axes.bar(x, value, width * 0.92, color=colours[name])
            axes.annotate(
                f"{value:.0f}" if value >= 9.5 else f"{value:.1f}",
                (x, value),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8.5 if len(groups) < 8 else 6.5,
                color=INK,
            )
    axes.set_xticks(range(len(groups)), groups)


def _draw_parts(
    axes: Axes, parts: Mapping[str, Any], colours: Mapping[str, str], key: str, unit: float
) -> None:
    # The aist reference is triangulated frame by frame: its own jitter is most of that figure.
    chosen = [p for p in parts if not (key == "acceleration_mm_s2" and p == "aist")]
    series = {
        name: [
            parts[p]["estimates"][name][key] / unit if name in parts[p]["estimates"] else None
            for p in chosen
        ]
        for name in colours
    }
    _draw_bars(axes, chosen, series, colours)
    title = "Procrustes error a frame, mm" if unit == 1.0 else "Acceleration error, m/s²"
    _style(axes, title)


def _draw_scores(axes: Axes, parts: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Error by what the detector said of a joint: how an occluded joint fares."""
    part = "rendered" if "rendered" in parts else next(iter(parts))
    for name, colour in colours.items():
        if name in parts[part]["estimates"]:
            groups = parts[part]["estimates"][name]["by_score"]
            values = [value for value, _ in groups.values()]
            axes.plot(list(groups), values, "o-", color=colour, linewidth=2, markersize=5)
    axes.set_ylim(bottom=0)
    _style(axes, "By detector score, mm")
    axes.tick_params(axis="x", labelsize=7.5, pad=6)
    axes.margins(x=0.12)
    axes.set_xlabel(f"score of single joints, {part}", fontsize=9, color=INK)


def _draw_joints(axes: Axes, parts: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Left and right together: their difference says nothing."""
    part = "rendered" if "rendered" in parts else next(iter(parts))
    estimates = parts[part]["estimates"]
    kinds = ["hip", "knee", "ankle", "shoulder", "elbow", "wrist"]
    series: dict[str, list[float | None]] = {
        name: [
            (estimates[name]["joint_mm"][f"left_{k}"] + estimates[name]["joint_mm"][f"right_{k}"])
            / 2
            for k in kinds
        ]
        for name in colours
        if name in estimates
    }
    _draw_bars(axes, kinds, series, colours)
    _style(axes, f"By joint ({part}), mm")


def _draw_robustness(axes: Axes, robustness: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Error of each row over the least of its axis."""
    _style(axes, "Robustness: error over the best row of each kind")
    if not robustness:
        axes.text(0.5, 0.5, "no mocap data", ha="center", transform=axes.transAxes)
        return
    first = next(iter(robustness.values()))
    rows = [(axis, row) for axis in first for row in first[axis]["rows"]]
    places, x, before = [], -1.0, ""
    for axis, _ in rows:
        x += 1.15 if axis == before else 1.6
        before = axis
        places.append(x)
    for i, (name, result) in enumerate(robustness.items()):
        changes = []
        for axis, row in rows:
            values = result[axis]["rows"]
            changes.append(100 * (values[row] / min(values.values()) - 1))
        width = 0.8 / max(len(robustness), 2)
        at = [p + (i - (len(robustness) - 1) / 2) * width for p in places]
        axes.bar(at, changes, width * 0.92, color=colours[name], label=name)
    axes.axhline(10, color="#dc2626", linewidth=1, linestyle="--")
    axes.annotate(
        "bar: 10 %",
        (places[-1] + 0.5, 10),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color="#dc2626",
    )
    axes.set_ylim(0, max(12.0, axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(lambda value, _: f"+{value:.0f} %")
    axes.set_xticks(
        places, [row.replace(" of the frame", "").replace(" fps", "") for _, row in rows]
    )
    axes.tick_params(axis="x", labelsize=8.5)
    for axis in first:
        here = [p for p, (a, _) in zip(places, rows, strict=True) if a == axis]
        middle = (here[0] + here[-1]) / 2
        axes.annotate(
            _AXIS_WORDS[axis],
            (middle, 0),
            xytext=(0, -34),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=MUTED,
        )
