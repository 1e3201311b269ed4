"""The picture of an experiment: every run a dot, row by row, a column for each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose3d.files import write_whole
from pose3d.lab.experiments.report import Figure, figures_of
from pose3d.lab.experiments.rows import Experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
_FIRST, _OTHER = "#d97706", "#2563eb"
_LINE_IN, _HEAD_LINES = 0.27, 1.5
"""Inches from row to row; lines that a group's title takes."""


def draw_experiment(summary: Mapping[str, Any], experiment: Experiment, path: Path) -> None:
    """Draws what :func:`~pose3d.lab.experiments.report.summarise` found.

    Args:
        summary: of it.
        experiment: which.
        path: PNG to write.

    Raises:
        ResultFileError: the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    groups = [
        (title, [n for n in names if n in summary["rows"]]) for title, names in summary["groups"]
    ]
    groups = [(title, names) for title, names in groups if names]
    places, heads, bottom = _lay_out(groups)
    figures = [
        f
        for f in figures_of(experiment)
        if any(f.name in r["figures"] for r in summary["rows"].values())
    ]
    height = _LINE_IN * bottom + 1.45
    size = (3.9 + 1.95 * len(figures), height)
    canvas = Canvas(figsize=size, dpi=110, facecolor="white")
    left = 3.75 / canvas.get_figwidth()
    canvas.subplots_adjust(
        left=left, right=0.985, top=1 - 1.0 / height, bottom=0.45 / height, wspace=0.12
    )
    for column, figure in enumerate(figures):
        axes = canvas.add_subplot(1, len(figures), column + 1)
        _draw_column(axes, summary["rows"], figure, groups, places, bottom)
        if column == 0:
            _write_names(axes, summary["rows"], groups, places, heads)
    x = 0.2 / canvas.get_figwidth()
    canvas.text(
        x,
        1 - 0.3 / height,
        summary["question"],
        fontsize=min(14.0, 125 * (canvas.get_figwidth() - 0.4) / len(summary["question"])),
        fontweight="bold",
        color=INK,
        va="center",
    )
    words = f"{summary['steps']} training steps each; a dot is a run, a bar the mean of a row; amber: what a group is compared with"
    if summary["start"] is not None:
        words += f"\nall began with {summary['start']['words']}, {summary['start']['steps']} steps"
    canvas.text(x, 1 - 0.58 / height, words, fontsize=9, color=MUTED, va="center")
    with write_whole(path) as part:
        canvas.savefig(part, format="png")


def _lay_out(
    groups: Sequence[tuple[str, Sequence[str]]],
) -> tuple[dict[tuple[str, str], float], dict[str, float], float]:
    """Returns the height of each row and title, in lines from the top, and where the last one ends."""
    places: dict[tuple[str, str], float] = {}
    heads: dict[str, float] = {}
    line = 0.0
    for title, names in groups:
        heads[title] = line + 0.4
        line += _HEAD_LINES
        for name in names:
            places[title, name] = line
            line += 1
    return places, heads, line


def _draw_column(
    axes: Axes,
    rows: Mapping[str, Any],
    figure: Figure,
    groups: Sequence[tuple[str, Sequence[str]]],
    places: Mapping[tuple[str, str], float],
    bottom: float,
) -> None:
    for title, names in groups:
        for i, name in enumerate(names):
            found = rows[name]["figures"].get(figure.name)
            if found is None:
                continue
            y, colour = places[title, name], _OTHER if i else _FIRST
            axes.plot(
                found["values"],
                [y] * len(found["values"]),
                "o",
                ms=5,
                color=colour,
                alpha=0.45,
                mew=0,
            )
            axes.plot([found["mean"]] * 2, [y - 0.32, y + 0.32], "-", lw=2, color=colour)
    axes.set_ylim(bottom, -0.3)
    axes.set_yticks([])
    axes.set_title(f"{figure.name}\n{figure.unit}", fontsize=9.5, color=INK)
    axes.tick_params(axis="x", labelsize=8, colors=MUTED, length=0)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.margins(x=0.12)
    if figure.logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
    else:
        axes.locator_params(axis="x", nbins=4)
    for side in axes.spines.values():
        side.set_visible(False)


def _write_names(
    axes: Axes,
    rows: Mapping[str, Any],
    groups: Sequence[tuple[str, Sequence[str]]],
    places: Mapping[tuple[str, str], float],
    heads: Mapping[str, float],
) -> None:
    """Writes titles and rows left of the first column."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    assert axes.figure is not None
    shift = ScaledTranslation(-3.55, 0, axes.figure.dpi_scale_trans)
    left = blended_transform_factory(axes.transAxes, axes.transData) + shift
    for title, names in groups:
        axes.text(
            0,
            heads[title],
            title,
            transform=left,
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            va="center",
        )
        for name in names:
            words = rows[name]["words"]
            words = words if len(words) <= 62 else words[:60].rsplit(" ", 1)[0] + " …"
            axes.text(
                0, places[title, name], words, transform=left, fontsize=8.5, color=INK, va="center"
            )
