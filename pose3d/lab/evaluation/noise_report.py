"""The results of ``pose3d evaluate noise`` for people: tables for a terminal, a picture for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose3d.lab.charts import (
    GRID,
    INK,
    MUTED,
    make_chart,
    save_chart,
)
from pose3d.lab.evaluation.noise import CLEARLY
from pose3d.lab.evaluation.noise_sources import RATE
from pose3d.lab.evaluation.noise_statistics import (
    HEADINGS,
    KINDS,
    LAGS,
    SIZE_EDGES_PX,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_SHOWN = {  # source -> colour, marker, line
    "BlazePose fit": ("#2563eb", "o", "-"),
    "COCO fit": ("#10b981", "s", "-"),
    "parametric": ("#f59e0b", "D", (0, (4, 2))),
    "residuals": ("#ef4444", "^", (0, (1, 1.5))),
}
"""Sources of the picture: what may be fitted to, and the two generators."""
_SCORE_NAMES = ("<0.1", "0.1", "0.3", "0.5", "0.7", "0.9+")
_NEIGHBOURS = ("shoulder-elbow", "elbow-wrist", "hip-knee", "knee-ankle", "hips", "shoulder-hip")


def noise_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the results of :func:`~pose3d.lab.evaluation.noise.evaluate_noise` as tables."""
    return [_headline_table(results), _joint_table(results)]


def _table(title: str, *heads: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    return table


def _headline_table(results: Mapping[str, Any]) -> Table:
    sources = results["sources"]
    table = _table(
        "2D noise in percent of the person's size, measured and generated "
        f"(yellow: {CLEARLY:g} times outside of what the fit parts have)",
        "what",
        *sources,
    )
    for row in results["compared"]:
        cells = []
        for name, value in row["values"].items():
            times = row["off"].get(name, math.nan)
            clear = times > CLEARLY or times < 1 / CLEARLY
            text = _figure(value, row["unit"])
            cells.append(f"[yellow]{text}[/yellow]" if clear else text)
        unit = f", {row['unit']}" if row["unit"] else ""
        table.add_row(row["what"] + unit, *cells)
    return table


def _figure(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value:.2f}" if unit == "%" else f"{value:.2f}"


def _joint_table(results: Mapping[str, Any]) -> Table:
    sources = results["sources"]
    table = _table("By joint, percent of the person's size (gross, score: of frames)", "", *sources)
    groups = {
        "bias over views": lambda s: s["bias"]["over_views"],
        "spread": lambda s: s["spread"]["by_joint"],
        "gross": lambda s: s["gross"]["by_joint"],
        "jitter": lambda s: s["jitter"]["by_joint"],
        "on the other side's joint": lambda s: s["swaps"]["on_partner"],
        "score below 0.3": lambda s: s["score"]["low_by_joint"],
    }
    for title, get in groups.items():
        table.add_section()
        table.add_row(title, style="bold")
        for k, kind in enumerate(KINDS):
            table.add_row(f"  {kind}", *(_figure(get(s)[k], "%") for s in sources.values()))
    return table


# -- picture -----------------------------------------------------------------------------------


def draw_noise(results: Mapping[str, Any], path: Path) -> None:
    """Draws measured noise beside generated noise, eight small panels.

    Args:
        results: of :func:`~pose3d.lab.evaluation.noise.evaluate_noise`.
        path: PNG to write.

    Raises:
        ResultFileError: the file cannot be written.
    """
    from matplotlib.lines import Line2D

    sources = {name: s for name, s in results["sources"].items() if name in _SHOWN}
    figure = make_chart(14.5, 8.0, dpi=100)
    grid = figure.add_gridspec(
        2, 4, left=0.04, right=0.985, top=0.81, bottom=0.1, hspace=0.48, wspace=0.24
    )
    panels = [figure.add_subplot(grid[i // 4, i % 4]) for i in range(8)]
    _draw_panels(panels, sources)
    figure.text(
        0.04,
        0.945,
        "What training sees of a 2D detector",
        fontsize=19,
        fontweight="bold",
        color=INK,
    )
    note = "errors in percent of the person's size; solid: measured, broken: made by the generator"
    figure.text(0.04, 0.9, note, fontsize=11, color=MUTED)
    handles = [
        Line2D([], [], color=c, marker=m, ls=ls, lw=2, ms=6, label=_label(name))
        for name, (c, m, ls) in _SHOWN.items()
        if name in sources
    ]
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.995),
        ncols=2,
        frameon=False,
        fontsize=10,
        handlelength=3,
    )
    save_chart(figure, path, "--plot")


def _label(name: str) -> str:
    words = {
        "BlazePose fit": "BlazePose, rendered people",
        "COCO fit": "COCO detector, dancer in nine views",
        "parametric": "parametric noise",
        "residuals": "residuals of real tracks",
    }
    return words[name]


def _draw_panels(panels: Sequence[Axes], sources: Mapping[str, Any]) -> None:
    kinds = [k.replace("shoulder", "should.") for k in KINDS]
    lags = [f"1/{round(RATE / lag)} s" for lag in LAGS]
    # The last size has no upper edge, the first no lower one.
    sizes = [f"<{SIZE_EDGES_PX[1]:.0f}", *(f"{low:.0f}+" for low in SIZE_EDGES_PX[1:-1])]

    def values(get: Any) -> dict[str, list[float]]:
        return {name: get(s) for name, s in sources.items()}

    def percent(get: Any) -> dict[str, list[float]]:
        return {name: [100 * v for v in get(s)] for name, s in sources.items()}

    p = iter(panels)
    _draw(next(p), "Bias over all views, %", kinds, percent(lambda s: s["bias"]["over_views"]))
    _draw(next(p), "Spread around it, %", kinds, percent(lambda s: s["spread"]["by_joint"]))
    _draw(next(p), "Gross (over 10 %), % of frames", kinds, percent(_gross))
    _draw(next(p), "Neighbours together, correlation", _neighbour_names(), values(_together))
    axes = next(p)
    _draw(axes, "Errors persist", lags, values(lambda s: s["autocorrelation"]["all"]))
    _draw(axes, "Errors persist", lags, values(lambda s: s["gross"]["persists"]), faint=True)
    axes.set_xlabel("autocorrelation; thin: gross again after", fontsize=9, color=INK)
    axes = next(p)
    _draw(
        axes,
        "Exchanged sides, % of frames",
        [*_views("arms"), "", *_views("legs")],
        percent(_swapped),
    )
    axes = next(p)
    _draw(axes, "Mean error by score, %", _SCORE_NAMES, percent(lambda s: s["score"]["mean_error"]))
    axes.set_xlabel("score of the joint, from", fontsize=9, color=INK)
    axes = next(p)
    _draw(axes, "Jitter by size of the person, %", sizes, percent(lambda s: s["jitter"]["by_size"]))
    axes.set_xlabel("pixels", fontsize=9, color=INK)


def _gross(source: Mapping[str, Any]) -> list[float]:
    return list(source["gross"]["by_joint"])


def _together(source: Mapping[str, Any]) -> list[float]:
    return [source["neighbours"][name] for name in _NEIGHBOURS]


def _neighbour_names() -> list[str]:
    return [name.replace("shoulder", "should.").replace("-", "\n") for name in _NEIGHBOURS]


def _views(limb: str) -> list[str]:
    return [f"{limb}\n{view}" if view == "side" else f"\n{view}" for view in HEADINGS]


def _swapped(source: Mapping[str, Any]) -> list[float]:
    swaps = source["swaps"]
    arms, legs = ([swaps[limb]["by_heading"][v] for v in HEADINGS] for limb in ("arms", "legs"))
    return [*arms, math.nan, *legs]  # no line from one limb to the other


def _draw(
    axes: Axes,
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    faint: bool = False,
) -> None:
    """Draws one line a source over the groups."""
    for name, values in series.items():
        colour, marker, line = _SHOWN[name]
        axes.plot(
            range(len(groups)),
            values,
            color=colour,
            marker=marker,
            markersize=3 if faint else 5.5,
            linestyle=line,
            linewidth=0.9 if faint else 1.8,
            alpha=0.75 if faint else 1.0,
        )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, colors=INK, labelsize=8.5)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
