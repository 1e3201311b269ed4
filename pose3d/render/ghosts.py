"""Hypotheses in the 3D panel: translucent bodies around the final one, and their spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose3d.render import body, paint
from pose3d.render.paint import Picture
from pose3d.render.stage import Stage, View
from pose3d.render.style import Style, mix, person_colour
from pose3d.result.record import PoseSequence

_OPACITY = 0.32


class Ghosts:
    """Draws the hypotheses of one clip, in a view turned by ``turn_rad`` ``(row,)``."""

    def __init__(
        self,
        pose: PoseSequence,
        stage: Stage,
        view: View,
        turn_rad: NDArray[np.float64],
        style: Style,
    ) -> None:
        assert stage.hypotheses_stage_m is not None
        spread = pose.spread_mm
        assert spread is not None
        pixels, depth = view.project(stage.hypotheses_stage_m, turn_rad)
        self._joints_px = pixels.astype(np.float32)
        self._depth_m = depth.astype(np.float32)
        self._focal_px = view.focal_px
        self._style = style
        self._plan = body.plan(pose.skeleton)
        self._ids = pose.person_id.tolist()
        self._spread_mm = spread.mean(-1)  # row

    def draw(self, panel: Picture, row: int) -> None:
        """Draws the hypotheses of a row in place, each as one silhouette."""
        known = np.flatnonzero(np.isfinite(self._depth_m[row]).all(-1))
        colour = person_colour(self._ids[row])
        rim = mix(colour, self._style.text, 0.45)
        flesh = mix(colour, self._style.floor, 0.25)
        for h in sorted(known.tolist(), key=lambda h: -float(self._depth_m[row, h].mean())):
            parts = body.shape(
                self._plan, self._joints_px[row, h], self._depth_m[row, h], self._focal_px
            )

            def fill(image: Picture, parts: body.Parts = parts) -> None:
                body.draw_silhouette(image, parts, flesh, rim)

            paint.blended(panel, body.bounds(parts), _OPACITY, fill)

    def write_spread(self, panel: Picture, here: list[int], size_px: int) -> None:
        """Writes the mean spread over the joints of everybody here, in the top left corner."""
        lines = [row for row in here if np.isfinite(self._spread_mm[row])]
        if not lines:
            return
        x, y = 1.6 * size_px, 1.9 * size_px
        faint = self._style.faint
        paint.put_text(panel, "spread of the hypotheses", (x, y), size_px, faint)
        for row in lines:
            y += 1.7 * size_px
            dot = paint.discs(np.array([[x + 0.4 * size_px, y]]), 0.4 * size_px)
            paint.fill(panel, dot, person_colour(self._ids[row]))
            text = f"{self._spread_mm[row]:.0f} mm"
            at = (x + 1.4 * size_px, y)
            paint.put_text(panel, text, at, size_px, self._style.text, bold=True)
