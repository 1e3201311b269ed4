"""Skeletons over the video: 2D keypoints with colours per track, legible on any background."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pose3d.cleaning.gaps import bounds_of
from pose3d.render import paint
from pose3d.render.paint import Array, Picture
from pose3d.render.style import Colour, Style, mix, person_colour, side_colours
from pose3d.result.record import PoseSequence

UNCERTAIN = 0.3  # keypoints of a lower score are drawn thin and faint

_FAINT = 0.45
_STEADY_S = 1.0  # the thickness follows a person's size over this long, not each frame's box


class Overlay:
    """Draws the 2D keypoints of one clip, if any, over its pictures shown at ``picture_wh``."""

    def __init__(self, pose: PoseSequence, style: Style, picture_wh: tuple[int, int]) -> None:
        self._pose = pose
        self._style = style
        self._wh = picture_wh
        shape = (len(pose.frame), len(pose.skeleton))
        self._rows = pose.rows_by_frame()
        scale = np.array(picture_wh) / np.array(pose.video.size_wh)
        points = pose.keypoints_px
        if points is None:
            points = np.full((*shape, 2), np.nan)
        self._points_px = (points * scale).astype(np.float32)
        score = np.ones(shape) if pose.score is None else pose.score
        self._certain = np.nan_to_num(score) >= UNCERTAIN
        self._bones = np.array(pose.skeleton.bones, np.int64).reshape(-1, 2)
        self._bone_side = [pose.skeleton.side[child] for _, child in self._bones.tolist()]
        self._colours = {i: side_colours(person_colour(i)) for i in pose.person_ids.tolist()}
        window = max(1, round(_STEADY_S * float(pose.video.rate)))
        low, high = bounds_of(self._points_px)
        self._size_px = (high - low).max(-1).astype(np.float64)  # row
        for span in pose.spans:
            self._size_px[span.rows] = steady(self._size_px[span.rows], window)
        self._font = int(np.clip(round(picture_wh[1] / 42), 7, 22))
        head = pose.skeleton.index.get("head_top")
        self._above = 0.03 if head is not None else 0.12
        nose = pose.skeleton.index.get("nose", 0)
        self._label_px = self._points_px[:, nose if head is None else head]

    def draw(self, picture: Picture, frame_index: int) -> None:
        """Draws a frame over its picture of size ``picture_wh``, in place."""
        rows = self._rows[frame_index]
        here = rows[np.isfinite(self._points_px[rows]).all(-1).any(-1)].tolist()
        for row in sorted(here, key=lambda row: float(self._size_px[row])):
            self._draw_person(picture, row)
        for row in here:
            self._draw_label(picture, row)

    def _draw_person(self, picture: Picture, row: int) -> None:
        """Draws one skeleton: what is uncertain faintly below, the rest above."""
        points = self._points_px[row]
        shades = self._colours[int(self._pose.person_id[row])]
        known = np.isfinite(points).all(-1)
        certain = known & self._certain[row] & self._pose.valid[row]
        ends = self._bones
        drawn = known[ends].all(1)
        sure = certain[ends].all(1)
        radius = float(np.clip(0.0095 * self._size_px[row], 1.0, 0.008 * self._wh[1]))
        faint_bones, faint_dots = np.flatnonzero(drawn & ~sure), np.flatnonzero(known & ~certain)
        if len(faint_bones) or len(faint_dots):
            involved = points[np.union1d(ends[faint_bones].ravel(), faint_dots)]
            low, high = involved.min(0) - 3 * radius - 3, involved.max(0) + 3 * radius + 3

            def draw(image: Picture) -> None:
                self._strokes(image, shades, points, faint_bones, faint_dots, 0.6 * radius)

            paint.blended(picture, (*low, *high), _FAINT, draw)
        self._strokes(
            picture, shades, points, np.flatnonzero(sure), np.flatnonzero(certain), radius
        )

    def _strokes(
        self,
        image: Picture,
        shades: Mapping[str, Colour],
        points: NDArray[np.float32],
        bones: NDArray[np.int64],
        dots: NDArray[np.int64],
        radius: float,
    ) -> None:
        """Draws bones and joints of one person: first all halos, then all colours."""
        halo = self._style.halo
        rim = float(np.clip(0.45 * radius, 0.9, 2.2))
        ends = self._bones[bones]
        thick = np.full(len(ends), radius)
        a, b = points[ends[:, 0]], points[ends[:, 1]]
        paint.fill(image, paint.capsules(a, b, thick + rim, thick + rim), halo)
        centres, dot = points[dots], radius * 1.5
        paint.fill(image, paint.discs(centres, dot + rim), halo)
        for polygon, bone in zip(paint.capsules(a, b, thick, thick), bones, strict=True):
            paint.fill(image, [polygon], shades[self._bone_side[bone]])
        side = self._pose.skeleton.side
        for circle, joint in zip(paint.discs(centres, dot), dots, strict=True):
            paint.fill(image, [circle], mix(shades[side[joint]], (0, 0, 0), 0.12))
        if dot > 3:
            paint.fill(image, paint.discs(centres, 0.5 * dot), (255, 255, 255))

    def _draw_label(self, picture: Picture, row: int) -> None:
        at = self._label_px[row]
        if not np.isfinite(at).all():
            return
        person = int(self._pose.person_id[row])
        colour = person_colour(person)
        if not self._pose.valid[row]:
            colour = self._style.faint
        lift = self._above * float(self._size_px[row]) + 1.4 * self._font
        centre = (float(at[0]), float(at[1]) - lift)
        paint.pill(
            picture, str(person), centre, self._font, mix(colour, (0, 0, 0), 0.08), (255, 255, 255)
        )


def steady(values: Array, window: int) -> NDArray[np.float64]:
    """Averages ``(frame, ...)`` over ``window`` centred frames, ignoring NaN; NaN stays NaN."""
    known = np.isfinite(values)
    half = window // 2
    n = len(values)
    first = np.clip(np.arange(n) - half, 0, n)
    last = np.clip(np.arange(n) + half + 1, 0, n)

    def total(x: NDArray) -> NDArray[np.float64]:
        sums = np.concatenate([np.zeros((1, *x.shape[1:])), np.cumsum(x, 0, dtype=np.float64)])
        return sums[last] - sums[first]

    count = total(known.astype(np.float64))
    mean = total(np.where(known, values, 0)) / np.maximum(count, 1)
    return np.where(known, mean, np.nan)
