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


def ranges_deg(angles: dict[str, NDArray], rows: slice) -> dict[str, tuple[float, float]]:
    """Returns the least and largest value of each angle of one person; none: not in it."""
    found = {name: v[rows][np.isfinite(v[rows])] for name, v in angles.items()}
    return {name: (float(v.min()), float(v.max())) for name, v in found.items() if len(v)}


def draw_angles(pose: PoseSequence, path: Path) -> None:
    """Writes a PNG: a column a person, a panel an angle; a UsageError for nobody."""
    from matplotlib.figure import Figure

    angles = compute_angles(pose)
    present = pose.present
    seen = {span.person_id: int(present[span.rows].sum()) for span in pose.spans}
    longest = sorted(seen, key=lambda person: -seen[person])[:MOST_PEOPLE]
    spans = [s for s in pose.spans if s.person_id in longest and seen[s.person_id]]
    if not spans:
        raise UsageError(f"There is nobody in the result of {pose.video.path}", "Nothing to draw")
    panels = [*ONE_SIDED, *MIDDLE]
    figure = Figure(figsize=(1 + 5.2 * len(spans), 1.25 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(spans), sharex=True, squeeze=False)
    for k, span in enumerate(spans):
        person = span.person_id
        ranges, colours = ranges_deg(angles, span.rows), side_colours(person_colour(person))
        for ax, panel in zip(axes[:, k], panels, strict=True):
            said = []
            for side in ("left", "right") if panel in ONE_SIDED else ("middle",):
                name = panel if side == "middle" else f"{side}_{panel}"
                colour = tuple(value / 255 for value in colours[side])
                ax.plot(
                    pose.time_s[span.frames], angles[name][span.rows], color=colour, linewidth=1.4
                )
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
