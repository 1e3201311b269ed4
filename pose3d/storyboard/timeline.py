"""The strip of time below the cards of a contact sheet, and how times are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.render import paint
from pose3d.render.compose import clock, cut
from pose3d.render.overlay import steady
from pose3d.render.paint import Picture
from pose3d.render.style import Style, mix, person_colour
from pose3d.result.record import PoseSequence
from pose3d.storyboard.key_frames import KeyFrames

_SMOOTH_S = 0.2  # of the motion curve


class Timeline:
    """A person's strip of time, first to last frame: motion, and what key frames stand for."""

    def __init__(self, pose: PoseSequence, person: KeyFrames, style: Style) -> None:
        self._pose, self._person, self._style = pose, person, style
        self._colour = person_colour(person.person_id)
        self._speed = motion_curve(pose, person.person_id)
        self._first, self._stop = present_range(pose, person.person_id)

    def draw(self, strip: Picture, name: str) -> None:
        """Draws in place, with the person's name in the corner."""
        height, width = strip.shape[:2]
        top, bottom = 34, height - 60
        self._draw_curve(cut(strip, (0, top, width, bottom - top)))
        self._draw_axis(strip, bottom)
        self._draw_legend(strip, name)
        spots = [self._x(key.frame, width) for key in self._person.frames]
        labels = spread_out(spots, 26.0, 13.0, width - 13.0)
        for number, (x, label_x) in enumerate(zip(spots, labels, strict=True), 1):
            paint.stroke(strip, (label_x, 20.0), (x, float(top)), 0.9, self._colour)
            paint.stroke(strip, (x, float(top)), (x, float(bottom)), 0.9, self._colour)
            paint.pill(strip, str(number), (label_x, 14.0), 13, self._colour, self._style.page)

    def _x(self, frame: float, width: int) -> float:
        return width * (frame + 0.5 - self._first) / (self._stop - self._first)

    def _draw_curve(self, area: Picture) -> None:
        """Fills the area below the motion curve, shaded by what the key frames stand for."""
        style, first, stop = self._style, self._first, self._stop
        height, width = area.shape[:2]
        area[:] = mix(style.page, style.line, 0.55)
        turn = np.zeros(self._pose.n_frames, np.intp)
        for number, key in enumerate(self._person.frames):
            for start, end in key.ranges:
                turn[start:end] = 1 + number % 2
        at = first + (np.arange(width) + 0.5) * (stop - first) / width
        rows = np.clip(at.astype(int), first, stop - 1)
        known = np.isfinite(self._speed)
        middle = np.arange(len(known)) + 0.5
        curve = np.interp(at, middle[known], self._speed[known]) if known.any() else 0 * at
        share = np.where(known[rows], curve / max(float(curve.max()), 1e-6), 0)
        level = (1 - 0.9 * share) * height  # y of the curve
        cover = np.clip(np.arange(1, height + 1)[:, None] - level[None], 0, 1)[..., None]
        back = np.array(style.page, float)
        tints = [back + (np.array(self._colour) - back) * s for s in (0.0, 0.55, 0.34)]
        tint = np.array(tints)[np.where(known[rows], turn[rows], 0)]
        area[:] = np.rint(area + (tint[None] - area) * cover).astype(np.uint8)

    def _draw_axis(self, strip: Picture, bottom: int) -> None:
        style, time_s = self._style, self._pose.time_s
        width, y = strip.shape[1], bottom + 17
        strip[bottom : bottom + 1] = style.faint
        begin, end = float(time_s[self._first]), float(time_s[self._stop - 1])
        step = tick_step_s(end - begin, width)
        for k in range(math.ceil(begin / step - 1e-6), math.floor(end / step + 1e-6) + 1):
            x = self._x(float(np.interp(k * step, time_s, np.arange(len(time_s)))), width)
            strip[bottom : bottom + 5, int(min(x, width - 1))] = style.faint
            text = tick_text(k * step, step)
            half = paint.text_width(text, 14) / 2
            x = float(np.clip(x, half, width - half))
            paint.put_text(strip, text, (x, y), 14, style.faint, align="center")

    def _draw_legend(self, strip: Picture, name: str) -> None:
        """Writes the person's name and what the strip shows."""
        height, width = strip.shape[:2]
        y = height - 18
        paint.put_text(strip, name, (0, y), 15, self._colour, bold=True)
        words = (
            "curve: mean speed of the joints about the pelvis",
            "shades: what each key frame stands for",
        )
        room = width - paint.text_width(name, 15, True) - 40
        text = "   ·   ".join(words)
        if paint.text_width(text, 14) > room:
            text = words[0]
        paint.put_text(strip, text, (width, y), 14, self._style.faint, align="right")


def motion_curve(pose: PoseSequence, person_id: int) -> NDArray[np.float64]:
    """Returns ``(frame,)`` mean speed of the joints about the pelvis in m/s; NaN: absent."""
    assert pose.joints_cam_m is not None
    span = pose.span_of(person_id)
    joints = np.full((pose.n_frames, *pose.joints_cam_m.shape[1:]), np.nan)
    joints[span.frames] = pose.joints_cam_m[span.rows]
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(-1) / np.diff(pose.time_s)
    beside = np.stack([np.append(np.nan, speed), np.append(speed, np.nan)])
    known = np.isfinite(beside)
    mean = np.where(known, beside, 0).sum(0) / np.maximum(known.sum(0), 1)
    mean[~np.isfinite(joints).all((1, 2))] = np.nan
    return steady(mean, max(1, round(_SMOOTH_S * float(pose.video.rate))))


def spread_out(spots: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Moves increasing positions apart to a least distance, or spreads them evenly."""
    n = len(spots)
    if n and (n - 1) * least >= high - low:
        return [low + (high - low) * i / max(n - 1, 1) for i in range(n)]
    groups: list[list[float]] = []  # centre, number of labels
    for spot in spots:
        groups.append([float(np.clip(spot, low, high)), 1])
        while len(groups) > 1:
            (a, n_a), (b, n_b) = groups[-2:]
            if b - a >= least * (n_a + n_b) / 2:
                break
            both = n_a + n_b
            centre = (a * n_a + b * n_b) / both
            half = least * (both - 1) / 2
            groups[-2:] = [[float(np.clip(centre, low + half, high - half)), both]]
    return [c + least * (i - (k - 1) / 2) for c, k in groups for i in range(int(k))]


def tick_step_s(length_s: float, width_px: int) -> float:
    """Returns a round time between two labels of a strip, at least 90 px apart."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    least = 90 * length_s / max(width_px, 1)
    return next((s for s in steps if s >= least), 7200)


def tick_text(time_s: float, step_s: float) -> str:
    """Writes the time of a label: ``0:03``, or ``0:03.2`` where steps are below a second."""
    text = clock(time_s, 1)
    return text if step_s < 1 else text[:-2]


def present_range(pose: PoseSequence, person_id: int) -> tuple[int, int]:
    """Returns the first frame of a person and one after the last."""
    span = pose.span_of(person_id)
    frames = pose.frame[span.rows][pose.present[span.rows]]
    return int(frames[0]), int(frames[-1]) + 1
