"""The whole picture: panels side by side, and the footer with time and the people's tracks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pose3d.render import paint
from pose3d.render.paint import Picture
from pose3d.render.style import Style, mix, person_colour
from pose3d.result.record import PoseSequence

MODES = ("side-by-side", "overlay", "3d")

_LEAST_PX = 240  # of the panels, at least: text below is not legible; pictures are never enlarged

Rect = tuple[int, int, int, int]  # left, top, width, height in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything lies in the output; all sizes are even, as H.264 wants them."""

    size_wh: tuple[int, int]
    picture: Rect | None
    scene: Rect | None
    footer: Rect


def plan_layout(source_wh: tuple[int, int], mode: str, most_px: int) -> Layout:
    """Decides the size of the output and of its panels, at most so high, never enlarged."""
    width, height = source_wh
    panel_h = 2 * (max(_LEAST_PX, min(most_px, height)) // 2)
    zoom = min(1.0, panel_h / height)
    shown = (_even(width * zoom), _even(height * zoom))
    video_w = max(shown[0], _LEAST_PX) if mode != "3d" else 0
    scene_w = panel_h if mode != "overlay" else 0
    total_w = video_w + scene_w
    footer_h = max(26, _even(panel_h * 0.055))
    picture = ((video_w - shown[0]) // 2, (panel_h - shown[1]) // 2, *shown) if video_w else None
    return Layout(
        size_wh=(total_w, panel_h + footer_h),
        picture=picture,
        scene=(video_w, 0, scene_w, panel_h) if scene_w else None,
        footer=(0, panel_h, total_w, footer_h),
    )


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))


def cut(image: Picture, rect: Rect) -> Picture:
    """Returns a view on a rectangle of the picture."""
    left, top, width, height = rect
    return image[top : top + height, left : left + width]


def fit_picture(image: Picture, size_wh: tuple[int, int]) -> Picture:
    """Scales a frame down to the size it is shown at; returns it untouched when it fits."""
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    # Averaging areas is the right filter, but fast only for whole factors. So the whole part of the
    # factor is done that way; the rest, below 2:1, loses nothing that can be seen when interpolated.
    whole = width // size_wh[0]
    if whole >= 2 and width % whole == 0 and height % whole == 0:
        half_way = (width // whole, height // whole)
        image = np.asarray(cv2.resize(image, half_way, interpolation=cv2.INTER_AREA), np.uint8)
        whole = 1
    method = cv2.INTER_LINEAR if whole < 2 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size_wh, interpolation=method), np.uint8)


class Footer:
    """The strip at the bottom: time, frame, one lane per person, wordmark."""

    def __init__(self, pose: PoseSequence, style: Style, size_wh: tuple[int, int]) -> None:
        width, height = size_wh
        self._pose, self._style = pose, style
        self._font = max(10, round(height * 0.36))
        pad = round(0.45 * height)
        self._middle = height / 2
        self._time_x = pad
        last = max(pose.n_frames - 1, 0)
        end = float(pose.time_s[-1]) if pose.n_frames else 0.0
        left = pad + paint.text_width(clock(end).replace("1", "0"), self._font, True) + pad // 2
        right = width - pad - paint.text_width("pose3d", self._font, True) - pad
        count = f"frame {last} / {last}"
        self._count_x: int | None = None
        room = paint.text_width(count, self._font) + pad
        if right - left - room > 5 * height:
            self._count_x = left
            left += room
        self._track = (left, right) if right - left > 2.5 * height else None
        self.background = np.full((height, width, 3), style.page, np.uint8)
        self._paint(width, height, pad)

    def _paint(self, width: int, height: int, pad: int) -> None:
        image, style, pose = self.background, self._style, self._pose
        image[0] = style.line
        at = (width - pad, self._middle)
        paint.put_text(image, "pose3d", at, self._font, style.text, align="right", bold=True)
        if self._track is None:
            return
        left, right = self._track
        spans = pose.spans
        people = max(len(spans), 1)
        lane = min(0.16 * height, 0.62 * height / people)
        frames = (np.arange(right - left) + 0.5) / (right - left) * pose.n_frames
        frames = np.minimum(frames.astype(int), max(pose.n_frames - 1, 0))
        present = pose.present
        for p in range(people):
            top = self._middle + lane * (p - people / 2)
            y0 = round(top)
            y1 = max(y0 + 1, round(top + lane) - (1 if lane > 2.5 else 0))
            image[y0:y1, left:right] = style.line
            if spans:
                span, colour = spans[p], person_colour(spans[p].person_id)
                inside = (frames >= span.frames.start) & (frames < span.frames.stop)
                rows = span.row(0) + frames[inside]
                bar = image[y0:y1, left:right]
                places = np.flatnonzero(inside)
                bar[:, places[present[rows]]] = mix(style.page, colour, 0.4)
                bar[:, places[present[rows] & pose.valid[rows]]] = colour

    def draw(self, strip: Picture, frame_index: int) -> None:
        """Draws one frame in place on a copy of :attr:`background`."""
        style, pose = self._style, self._pose
        at = (self._time_x, self._middle)
        paint.put_text(
            strip, clock(float(pose.time_s[frame_index])), at, self._font, style.text, bold=True
        )
        if self._count_x is not None:
            text = f"frame {frame_index} / {pose.n_frames - 1}"
            paint.put_text(strip, text, (self._count_x, self._middle), self._font, style.faint)
        if self._track is not None:
            left, right = self._track
            x = left + (right - left) * (frame_index + 0.5) / max(pose.n_frames, 1)
            reach = 0.30 * strip.shape[0]
            ends = (x, self._middle - reach), (x, self._middle + reach)
            for radius, colour in ((2.4, style.page), (1.2, style.text)):
                paint.stroke(strip, *ends, radius, colour)


def clock(time_s: float, decimals: int = 2) -> str:
    """Writes a time as ``m:ss.cc``, with hours where there are any."""
    minutes, rest = divmod(max(round(time_s * 10**decimals), 0), 60 * 10**decimals)
    hours, minutes = divmod(minutes, 60)
    seconds, part = divmod(rest, 10**decimals)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{seconds:02d}.{part:0{decimals}d}"
