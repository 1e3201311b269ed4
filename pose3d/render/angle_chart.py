"""Curves of joint angles over time, left against right, with their ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError
from pose3d.render.style import person_colour, side_colours
from pose3d.result.angles import MIDDLE, ONE_SIDED, compute_angles
from pose3d.result.record import PoseSequence

MOST_PEOPLE = 6
"""People on a picture; those who are seen longest."""


def ranges_deg(angles: dict[str, NDArray], column: int) -> dict[str, tuple[float, float]]:
    """Returns the least and largest value of each angle of one person; none: not in it."""
    found = {name: v[np.isfinite(v[:, column]), column] for name, v in angles.items()}
    return {name: (float(v.min()), float(v.max())) for name, v in found.items() if len(v)}


def draw_angles(pose: PoseSequence, path: Path) -> None:
    """Writes a PNG: a column a person, a panel an angle; a UsageError for nobody."""
    from matplotlib.figure import Figure

    angles = compute_angles(pose)
    longest = np.argsort(-pose.present.sum(0), kind="stable")[:MOST_PEOPLE]
    columns = [c for c in sorted(longest.tolist()) if pose.present[:, c].any()]
    if not columns:
        raise UsageError(f"There is nobody in the result of {pose.video.path}", "Nothing to draw")
    panels = [*ONE_SIDED, *MIDDLE]
    figure = Figure(figsize=(1 + 5.2 * len(columns), 1.25 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(columns), sharex=True, squeeze=False)
    for k, column in enumerate(columns):
        person = int(pose.person_ids[column])
        ranges, colours = ranges_deg(angles, column), side_colours(person_colour(person))
        for ax, panel in zip(axes[:, k], panels, strict=True):
            said = []
            for side in ("left", "right") if panel in ONE_SIDED else ("middle",):
                name = panel if side == "middle" else f"{side}_{panel}"
                colour = tuple(value / 255 for value in colours[side])
                ax.plot(pose.time_s, angles[name][:, column], color=colour, linewidth=1.4)
                if name in ranges:
                    low, high = ranges[name]
                    of = "" if side == "middle" else f"{side} "
                    said.append(f"{of}{low:.0f} to {high:.0f} ({high - low:.0f})")
            ax.set_title(
                f"{panel.replace('_', ' ')}, °: {', '.join(said) or 'not defined'}",
                fontsize=8,
                loc="left",
            )
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
        axes[-1, k].set_xlabel(f"person {person}: seconds", fontsize=8)
    figure.savefig(path, format="png", dpi=110)
