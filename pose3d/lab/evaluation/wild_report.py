"""The results of ``pose3d evaluate wild``: tables for a terminal, a picture for a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose3d.lab.charts import GRID, INK, MUTED, make_chart, save_chart
from pose3d.lab.evaluation.tables import make_table
from pose3d.lab.evaluation.wild import STRAIGHT_DEG
from pose3d.lab.evaluation.wild_clips import WORLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_PART_TITLES = {
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
_GROUPS = {
    "by_action": "action",
    "by_elevation": "camera above the horizontal",
    "by_score": "joints by detector score",
    "by_occlusion": "joints by what hides them",
}
_COLOURS = ("#2563eb", "#f59e0b", "#10b981", "#8b5cf6", "#ef4444", "#0891b2")
_WORLD_COLOUR = "#9ca3af"


def wild_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`~pose3d.lab.evaluation.wild.evaluate_wild` as tables."""
    tables = [_part_table(part, result) for part, result in results["parts"].items()]
    if "samples" in results["parts"]:
        tables.append(_clips_table(results["parts"]["samples"]))
    for part, result in results["parts"].items():
        tables += [_group_table(part, result), _angles_table(part, result)]
    if results["robustness"]:
        tables.append(_robustness_table(results["robustness"]))
    return tables


def _part_table(part: str, result: Mapping[str, Any]) -> Table:
    lost = result["never_found"]
    note = f"; never found: {', '.join(lost)}" if lost else ""
    table = make_table(
        f"{_PART_TITLES[part]} ({result['clips']} clips, {result['frames']} frames of all estimates"
        f"{note})",
        *("estimate", "Procrustes mm", "median", "90th pct.", "one fit a clip", "root mm"),
        *("velocity m/s", "accel. m/s²", "near/far", "sides", "flipped", "covered"),
    )
    lengths = ("procrustes_mm", "median_mm", "p90_mm", "clip_mm", "root_mm")
    speeds = ("velocity_mm_s", "acceleration_mm_s2")
    shares = ("depth_reversed", "sides_exchanged", "body_flipped", "covered")
    for name, row in result["estimates"].items():
        table.add_row(
            name,
            *(f"{row[key]:.1f}" for key in lengths),
            *(f"{row[key] / 1e3:.2f}" for key in speeds),
            *(f"{row[key]:.1%}" for key in shares),
        )
    return table


def _clips_table(result: Mapping[str, Any]) -> Table:
    table = make_table(
        "samples: each clip by itself",
        *("clip", "estimate", "frames", "Procrustes mm", "accel. m/s²", "flipped", "covered"),
        left=2,
    )
    estimates = result["estimates"]
    for clip in next(iter(estimates.values()))["by_clip"]:
        table.add_section()
        for i, (name, estimate) in enumerate(estimates.items()):
            row = estimate["by_clip"][clip]
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


def _group_table(part: str, result: Mapping[str, Any]) -> Table:
    rows = result["estimates"].values()
    first = next(iter(rows))
    table = make_table(f"{part}: Procrustes mm by group", "group", "number", *result["estimates"])
    for key, title in _GROUPS.items():
        if first[key]:
            table.add_section()
            table.add_row(title, style="bold")
        for group, (_, number) in first[key].items():
            table.add_row(f"  {group}", str(number), *(f"{row[key][group][0]:.1f}" for row in rows))
    table.add_section()
    table.add_row("joint", style="bold")
    for joint in first["joint_mm"]:
        cells = (f"{row['joint_mm'][joint]:.1f}" for row in rows)
        table.add_row(f"  {joint.replace('_', ' ')}", "", *cells)
    return table


def _angles_table(part: str, result: Mapping[str, Any]) -> Table:
    rows = result["estimates"].values()
    first = next(iter(rows))
    table = make_table(f"{part}: joint angles in degrees", "angle", "number", *result["estimates"])
    table.add_row("mean size of the error", style="bold")
    for kind in first["angle_deg"]:
        table.add_row(f"  {kind}", "", *(f"{row['angle_deg'][kind]:.1f}" for row in rows))
    table.add_section()
    table.add_row(f"median where {STRAIGHT_DEG:.0f} and more are true", style="bold")
    for kind, (_, number) in first["straight_deg"].items():
        cells = (f"{row['straight_deg'][kind][0]:.1f}" for row in rows)
        table.add_row(f"  {kind}", str(number), *cells)
    return table


def _robustness_table(robustness: Mapping[str, Any]) -> Table:
    title = "Robustness: the same motions, one thing changed; Procrustes mm"
    table = make_table(title, "row", *robustness)
    results = robustness.values()
    for axis, first in next(iter(results)).items():
        table.add_section()
        for row in first["rows"]:
            table.add_row(row, *(f"{result[axis]['rows'][row]:.1f}" for result in results))
        changes = (f"{result[axis]['change']:.1%}" for result in results)
        table.add_row(f"greatest change with {axis}", *changes, style="bold")
    return table


# -- picture -----------------------------------------------------------------------------------


def draw_wild(results: Mapping[str, Any], path: Path) -> None:
    """Draws the results of :func:`~pose3d.lab.evaluation.wild.evaluate_wild` into one PNG."""
    from matplotlib.patches import Patch

    figure = make_chart(13.5, 8.2)
    grid = figure.add_gridspec(
        2, 12, left=0.05, right=0.985, top=0.83, bottom=0.09, hspace=0.5, wspace=1.7
    )
    parts = results["parts"]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(results["lifters"])}
    if any(WORLD in part["estimates"] for part in parts.values()):
        colours[WORLD] = _WORLD_COLOUR
    _draw_parts(figure.add_subplot(grid[0, :5]), parts, colours, "procrustes_mm", 1.0)
    _draw_parts(figure.add_subplot(grid[0, 5:9]), parts, colours, "acceleration_mm_s2", 1e3)
    # Only rendered tracks have single joints whose truth is exact.
    shown = "rendered" if "rendered" in parts else next(iter(parts))
    estimates = parts[shown]["estimates"]
    _draw_scores(figure.add_subplot(grid[0, 9:]), shown, estimates, colours)
    _draw_joints(figure.add_subplot(grid[1, :6]), shown, estimates, colours)
    _draw_robustness(figure.add_subplot(grid[1, 6:]), results["robustness"], colours)
    figure.text(0.05, 0.95, "Lifters in the wild", fontsize=19, fontweight="bold", color=INK)
    note = "12 limb joints, the same frames for every estimate; lower is better"
    figure.text(0.05, 0.915, note, fontsize=11, color=MUTED)
    figure.legend(
        [Patch(color=colour) for colour in colours.values()],
        list(colours),
        loc="upper right",
        bbox_to_anchor=(0.99, 0.985),
        ncols=3,
        frameon=False,
    )
    save_chart(figure, path)


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
    """Draws groups of bars, each group centred on its tick, with figures on top."""
    width = 0.8 / max(len(series), 2)
    for g in range(len(groups)):
        here = [(name, v) for name, values in series.items() if (v := values[g]) is not None]
        for i, (name, value) in enumerate(here):
            x = g + (i - (len(here) - 1) / 2) * width
            axes.bar(x, value, width * 0.92, color=colours[name])
            words = f"{value:.0f}" if value >= 9.5 else f"{value:.1f}"
            _write(axes, words, (x, value), 2, ha="center", fontsize=8.5, color=INK)
    axes.set_xticks(range(len(groups)), groups)


def _write(axes: Axes, words: str, at: tuple[float, float], above_pt: float, **look: Any) -> None:
    axes.annotate(words, at, xytext=(0, above_pt), textcoords="offset points", **look)


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
    _style(axes, "Procrustes error a frame, mm" if unit == 1.0 else "Acceleration error, m/s²")


def _draw_scores(
    axes: Axes, part: str, estimates: Mapping[str, Any], colours: Mapping[str, str]
) -> None:
    """Error by what the detector said of a joint: how an occluded joint fares."""
    for name, colour in colours.items():
        if name in estimates:
            groups = estimates[name]["by_score"]
            values = [value for value, _ in groups.values()]
            axes.plot(list(groups), values, "o-", color=colour, linewidth=2, markersize=5)
    axes.set_ylim(bottom=0)
    _style(axes, "By detector score, mm")
    axes.tick_params(axis="x", labelsize=7.5, pad=6)
    axes.margins(x=0.12)
    axes.set_xlabel(f"score of single joints, {part}", fontsize=9, color=INK)


def _draw_joints(
    axes: Axes, part: str, estimates: Mapping[str, Any], colours: Mapping[str, str]
) -> None:
    """Left and right together: their difference says nothing."""
    kinds = ["hip", "knee", "ankle", "shoulder", "elbow", "wrist"]
    series: dict[str, list[float | None]] = {}
    for name in colours:
        if name in estimates:
            joint_mm = estimates[name]["joint_mm"]
            series[name] = [(joint_mm[f"left_{k}"] + joint_mm[f"right_{k}"]) / 2 for k in kinds]
    _draw_bars(axes, kinds, series, colours)
    _style(axes, f"By joint ({part}), mm")


def _draw_robustness(axes: Axes, robustness: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Error of each row over the least of its axis."""
    _style(axes, "Robustness: error over the best row of each kind")
    if not robustness:
        axes.text(0.5, 0.5, "no mocap data", ha="center", transform=axes.transAxes)
        return
    places: dict[tuple[str, str], float] = {}
    x = -1.0
    width = 0.8 / max(len(robustness), 2)
    for axis, first in next(iter(robustness.values())).items():
        x += 0.45  # between the axes
        for row in first["rows"]:
            x += 1.15
            places[axis, row] = x
        middle = x - 1.15 * (len(first["rows"]) - 1) / 2
        _write(axes, _AXIS_WORDS[axis], (middle, 0), -34, ha="center", fontsize=9, color=MUTED)
    for i, (name, result) in enumerate(robustness.items()):
        least = {axis: min(figures["rows"].values()) for axis, figures in result.items()}
        changes = [100 * (result[a]["rows"][row] / least[a] - 1) for a, row in places]
        at = [p + (i - (len(robustness) - 1) / 2) * width for p in places.values()]
        axes.bar(at, changes, width * 0.92, color=colours[name], label=name)
    axes.set_ylim(0, max(12.0, axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(lambda value, _: f"+{value:.0f} %")
    names = [row.replace(" of the frame", "").replace(" fps", "") for _, row in places]
    axes.set_xticks(list(places.values()), names)
    axes.tick_params(axis="x", labelsize=8.5)
