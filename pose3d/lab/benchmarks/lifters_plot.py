"""The picture of ``pose3d bench lifters``: operations a frame against frames a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pose3d.lab.charts import (
    GRID,
    INK,
    MUTED,
    make_chart,
    save_chart,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pose3d.lab.benchmarks.lifter_speed import LifterSpeed
    from pose3d.lab.benchmarks.lifters import BenchMachine

_COLOURS = {
    "mixste": "#2563eb",
    "mhformer": "#d97706",
    "motionbert": "#059669",
    "motionagformer": "#7c3aed",
}
_OTHER = MUTED
_TITLES = {
    "seq2seq": "seq2seq: all frames of a window come out",
    "seq2frame": "seq2frame: one window for every frame",
}


_Box = tuple[float, float, float, float]
"""Corners ``xyxy`` in pixels of the picture."""

_AROUND = [(side, sign * 0.55 * step) for step in range(16) for sign in (1, -1) for side in (1, -1)]
"""Where the name of a point may stand: right or left of it, so many lines higher; nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A lifter in one panel.

    Args:
        name: of the lifter.
        backbone: which gives its colour.
        gflops: operations for one answer.
        frames_per_s: at the fastest batch.
        pruned: frames are dropped on the way.
    """

    name: str
    backbone: str
    gflops: float
    frames_per_s: float
    pruned: bool


def draw_lifters(machine: BenchMachine, speeds: Sequence[LifterSpeed], path: Path) -> None:
    """Draws what was measured in the first precision of ``speeds``.

    Args:
        machine: where.
        speeds: results; those in other precisions than the first one are left out.
        path: PNG to write.

    Raises:
        ResultFileError: the file cannot be written.
    """
    from matplotlib.lines import Line2D

    precision = speeds[0].precision
    shown = [speed for speed in speeds if speed.precision == precision]
    panels = {p: points for p in _TITLES if (points := _points(shown, p))}
    figure = make_chart(6.4 * len(panels) + 0.4, 6.8)
    left = 0.065 if len(panels) == 2 else 0.13
    figure.subplots_adjust(left=left, right=0.985, top=0.8, bottom=0.1, wspace=0.14)
    for i, (pipeline, points) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        _draw_panel(axes, points, _TITLES[pipeline])
        if i == 0:
            axes.set_ylabel("frames a second, fastest batch", fontsize=10, color=INK)
    figure.text(
        left, 0.94, "What a frame costs", fontsize=19, fontweight="bold", color=INK, va="center"
    )
    figure.text(
        left, 0.885, f"{precision}; {machine.words}", fontsize=10.5, color=MUTED, va="center"
    )
    kinds = dict.fromkeys(point.backbone for points in panels.values() for point in points)
    handles = [
        Line2D([], [], marker="o", ls="", color=_COLOURS.get(k, _OTHER), label=k) for k in kinds
    ]
    handles.append(Line2D([], [], marker="D", ls="", color=MUTED, mfc="white", label="prunes"))
    figure.legend(
        handles=handles,
        loc="center right",
        bbox_to_anchor=(0.99, 0.94),
        ncols=len(handles) if len(panels) == 2 else 3,
        frameon=False,
        fontsize=9.5,
        handletextpad=0.1,
        columnspacing=1.2,
    )
    save_chart(figure, path, "--plot")


def _points(speeds: Sequence[LifterSpeed], pipeline: str) -> list[_Point]:
    """Returns the lifters that have an answer in a pipeline."""
    points = []
    for speed in speeds:
        rate = speed.seq2seq_best if pipeline == "seq2seq" else speed.seq2frame_best
        if rate is None:
            continue
        answers = speed.frames if pipeline == "seq2seq" else 1
        points.append(
            _Point(
                name=speed.name,
                backbone=speed.backbone,
                gflops=speed.total_flops / answers / 1e9,
                frames_per_s=rate.frames_per_s,
                pruned=speed.kept is not None,
            )
        )
    return points


def _draw_panel(axes: Axes, points: list[_Point], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=10)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low_x, high_x = min(p.gflops for p in points), max(p.gflops for p in points)
    low_y, high_y = min(p.frames_per_s for p in points), max(p.frames_per_s for p in points)
    axes.set_xlim(low_x / 2, high_x * 14)  # room for the names on the right
    axes.set_ylim(low_y / 10, high_y * 1.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=9.5)
    axes.grid(which="major", color=GRID)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1 else f"{value:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("operations a frame, GFLOPs with attention", fontsize=10, color=INK)
    taken = _draw_speed_lines(axes, [p.gflops * p.frames_per_s for p in points])
    for point in points:
        colour = _COLOURS.get(point.backbone, _OTHER)
        axes.plot(
            point.gflops,
            point.frames_per_s,
            marker="D" if point.pruned else "o",
            markersize=7 if point.pruned else 8,
            color=colour,
            markerfacecolor="white" if point.pruned else colour,
            markeredgewidth=1.8,
            zorder=3,
        )
    _label(axes, points, taken)


def _draw_speed_lines(axes: Axes, reached: Sequence[float]) -> list[_Box]:
    """Draws where a processor would be that always did the same number of operations a second.

    Args:
        axes: with their final limits.
        reached: GFLOP/s of the lifters; only lines near them are drawn.

    Returns:
        Boxes of the words beside them.
    """
    boxes: list[_Box] = []
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    for power in range(-2, 8):
        gflops_per_s = 10.0**power
        if not min(reached) / 10 <= gflops_per_s <= max(reached) * 10:
            continue
        left, right = max(x0, gflops_per_s / y1), min(x1, gflops_per_s / y0)
        if left >= right:
            continue
        ends = [gflops_per_s / left, gflops_per_s / right]
        dashes = (0, (4, 4))
        axes.plot([left, right], ends, color="#cbd5e1", linewidth=1, linestyle=dashes, zorder=1)
        tera = gflops_per_s >= 1000
        axes.annotate(
            f"{gflops_per_s / 1000:g} TFLOP/s" if tera else f"{gflops_per_s:g} GFLOP/s",
            (right, ends[1]),
            xytext=(-6, 3) if right < x1 else (-6, 9),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color="#94a3b8",
        )
        x, y = axes.transData.transform((right, ends[1]))
        boxes.append((x - 105, y, x, y + 30))
    return boxes


def _label(axes: Axes, points: list[_Point], taken: list[_Box]) -> None:
    """Writes the names beside the points, each where it covers neither a point nor other words."""
    figure = axes.figure
    scale = figure.dpi / 72
    places = [axes.transData.transform((p.gflops, p.frames_per_s)) for p in points]
    taken = [*taken, *((x - 8, y - 8, x + 8, y + 8) for x, y in places)]
    frame = axes.get_window_extent()
    size = 8.2
    for point, (x, y) in sorted(zip(points, places, strict=True), key=lambda item: item[1][1]):
        width, height = 0.56 * size * scale * len(point.name), 1.15 * size * scale
        for side, dy in _AROUND:
            gap = 13 + 8 * abs(dy)
            left = x + gap if side > 0 else x - gap - width
            box = (left, y + dy * height - height / 2, left + width, y + dy * height + height / 2)
            inside = frame.x0 < box[0] and box[2] < frame.x1 and frame.y0 < box[1]
            if inside and not any(_overlap(box, other) for other in taken):
                break  # where nothing is free the last one stays
        taken.append(box)
        end = (box[0] if side > 0 else box[2], (box[1] + box[3]) / 2)
        axes.annotate(
            point.name,
            (point.gflops, point.frames_per_s),
            xytext=((end[0] - x) / scale, (end[1] - y) / scale),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=size,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": "#cbd5e1", "shrinkA": 1, "shrinkB": 4}
            if abs(dy) > 1
            else None,
        )


def _overlap(a: _Box, b: _Box) -> bool:
    """Tells whether two boxes overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
