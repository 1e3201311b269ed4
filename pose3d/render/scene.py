"""The 3D panel: floor, shadows, trails and bodies; what stands still is painted once."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pose3d.render import body, paint
from pose3d.render.floor import grid_lines, paint_floor
from pose3d.render.ghosts import Ghosts
from pose3d.render.paint import Picture
from pose3d.render.stage import View, choose_view, set_stage
from pose3d.render.style import Style, mix, person_colour
from pose3d.result.record import PoseSequence

_COARSE = 4  # shadows are drawn at a quarter of the size and blurred
_TRAIL_S = 1.6
_TRAIL_LEAST_M = 0.3  # who only sways leaves none
_FADE = 0.30  # how much of the furthest person's colour is lost in the distance
_INTERPOLATED_OPACITY = 0.38


class Scene:
    """Draws a clip's people in 3D; ``hypotheses`` as ghosts, ``bare`` without captions, ids.

    ``room`` is another scene whose view and floor are taken.
    """

    def __init__(
        self,
        pose: PoseSequence,
        style: Style,
        size_wh: tuple[int, int],
        orbit_deg_per_s: float = 0.0,
        *,
        hypotheses: bool = False,
        bare: bool = False,
        room: Scene | None = None,
    ) -> None:
        width, height = size_wh
        self._pose = pose
        self._style = style
        self._bare = bare
        self._font = max(9, round(height / 46))
        self._stage = set_stage(pose)
        area = (0.08 * width, 0.12 * height, 0.92 * width, 0.90 * height)
        room_m = 0.9
        if bare:  # no text to leave room for
            area, room_m = (0.05 * width, 0.06 * height, 0.95 * width, 0.94 * height), 0.5
        self._view: View = (
            room._view
            if room is not None
            else choose_view(self._stage, area, all_round=orbit_deg_per_s != 0, room_m=room_m)
        )
        self._turn = math.radians(orbit_deg_per_s) * (pose.time_s - pose.time_s[:1])
        self._row_turn = self._turn[pose.frame]
        self._rows = pose.rows_by_frame()
        self._turning = orbit_deg_per_s != 0
        self.background: Picture = (
            room.background
            if room is not None
            else paint_floor(
                self._stage,
                self._view,
                style,
                size_wh,
                self._font,
                with_grid=not self._turning,
                with_captions=not bare,
            )
        )
        # Depth of the shadow (0..255) -> light that is left (0..255).
        self._light = np.rint(255 - style.shadow * np.arange(256)).astype(np.uint8)
        self._project()
        self._ghosts: Ghosts | None = None
        if hypotheses and self._stage.hypotheses_stage_m is not None:
            self._ghosts = Ghosts(pose, self._stage, self._view, self._row_turn, style)

    def _project(self) -> None:
        """Projects the whole clip at once: joints, their shadows, and the pelvis on the floor."""
        joints = self._stage.joints_stage_m
        flat = joints * np.array([1, 0, 1], np.float32)
        pixels, depth = self._view.project(joints, self._row_turn)
        self._joints_px = pixels.astype(np.float32)
        self._depth_m = depth.astype(np.float32)
        self._shadow_px = self._view.project(flat, self._row_turn)[0].astype(np.float32)
        self._height_m = joints[..., 1]
        middle = depth.mean(-1)
        finite = middle[np.isfinite(middle)]
        near, far = np.percentile(finite, [2, 98]) if len(finite) else (0.0, 1.0)
        spread = max(float(far - near), 3.0)  # one person who steps back does not turn grey
        self._far = np.clip((middle - near) / spread, 0, 1)  # row; NaN: absent
        self._plan = body.plan(self._pose.skeleton)
        self._spans = {span.person_id: span for span in self._pose.spans}
        self._colours = {i: body.colours(self._plan, person_colour(i)) for i in self._spans}

    def draw(self, panel: Picture, frame_index: int) -> None:
        """Draws a frame in place, on a copy of :attr:`background`."""
        if self._turning:
            grid_lines(panel, self._view, self._style, float(self._turn[frame_index]))
        here = [row for row in self._rows[frame_index].tolist() if np.isfinite(self._far[row])]
        if self._stage.placed and not self._turning:
            for row in here:
                self._draw_trail(panel, row)
        self._draw_shadows(panel, here)
        for row in sorted(here, key=lambda row: -float(self._depth_m[row].mean())):
            if self._ghosts is not None:
                self._ghosts.draw(panel, row)
            self._draw_person(panel, row)
        for row in here if not self._bare else []:
            self._draw_label(panel, row)
        if self._ghosts is not None:
            self._ghosts.write_spread(panel, here, self._font)

    def _draw_person(self, panel: Picture, row: int) -> None:
        """Draws one body; faint where it was not seen but interpolated."""
        fade = _FADE * float(self._far[row])
        parts = body.shape(
            self._plan, self._joints_px[row], self._depth_m[row], self._view.focal_px
        )
        colours = self._colours[int(self._pose.person_id[row])]
        towards = mix(self._style.sky, self._style.floor, 0.5)

        def draw(image: Picture) -> None:
            body.draw(image, parts, colours, towards, fade, self._style)

        if self._pose.valid[row]:
            draw(panel)
        else:
            paint.blended(panel, body.bounds(parts), _INTERPOLATED_OPACITY, draw)

    def _draw_label(self, panel: Picture, row: int) -> None:
        joints = self._joints_px[row]
        top = joints[joints[:, 1].argmin()]
        clear = 0.13 * self._view.focal_px / float(self._depth_m[row].mean()) + 1.25 * self._font
        person = int(self._pose.person_id[row])
        colour = person_colour(person)
        paint.pill(
            panel,
            str(person),
            (float(joints[self._plan.head_top, 0]), float(top[1]) - clear),
            self._font,
            mix(colour, (0, 0, 0), 0.08) if self._pose.valid[row] else self._style.faint,
            mix(self._style.floor, (255, 255, 255), 0.5),
        )

    def _draw_trail(self, panel: Picture, row: int) -> None:
        time, i = self._pose.time_s, int(self._pose.frame[row])
        span = self._spans[int(self._pose.person_id[row])]
        first = int(np.searchsorted(time, time[i] - _TRAIL_S))
        step = max(1, (i - first) // 24)
        frames = np.arange(i, first - 1, -step)[::-1]
        rows = np.maximum(row - (i - frames), span.rows.start)
        there = frames >= span.frames.start
        way = np.where(there[:, None], self._stage.joints_stage_m[rows, self._plan.root], np.nan)
        if not np.linalg.norm(np.nan_to_num(way - way[-1]), axis=-1).max() > _TRAIL_LEAST_M:
            return
        path = self._shadow_px[rows, self._plan.root]
        colour = person_colour(span.person_id)
        fixed = paint.to_fixed(path).tolist()
        known = there & np.isfinite(path).all(-1)
        for k in range(1 + len(rows) // 6, len(rows)):
            if known[k] and known[k - 1]:
                share = 0.75 * k / len(rows)
                tint = mix(self._style.floor, colour, share)
                cv2.line(panel, fixed[k - 1], fixed[k], tint, 2, cv2.LINE_AA, 4)

    def _draw_shadows(self, panel: Picture, here: list[int]) -> None:
        """Darkens the floor below the bodies: softly below everything, strongly below feet."""
        if not here:
            return
        points = self._shadow_px[here].reshape(-1, 2)
        if not np.isfinite(points).all():
            return
        scale = self._view.focal_px / float(np.nanmin(self._depth_m[here]))
        margin = 0.35 * scale + 3 * _COARSE
        left, top = (points.min(0) - margin).tolist()
        right, bottom = (points.max(0) + margin).tolist()
        rows, columns = paint.clip_box(panel, (left, top, right, bottom))
        region = panel[rows, columns]
        if region.size == 0:
            return
        height, width = region.shape[:2]
        coarse = np.zeros((-(-height // _COARSE), -(-width // _COARSE)), np.uint8)
        corner = np.array([columns.start, rows.start], np.float32)
        for row in here:
            body.cast_shadow(
                coarse,
                self._plan,
                (self._shadow_px[row] - corner) / _COARSE,
                self._height_m[row],
                self._view.focal_px / float(self._depth_m[row].mean()) / _COARSE,
            )
        size = max(3, round(0.06 * scale / _COARSE)) | 1
        soft = np.asarray(cv2.GaussianBlur(coarse, (size, size), 0), np.uint8)
        light = cv2.resize(self._light[soft], (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(region, cv2.merge([light] * 3), dst=region, scale=1 / 255)
