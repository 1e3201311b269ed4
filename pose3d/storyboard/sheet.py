"""Contact sheet of key frames: what the camera saw beside the body in 3D, and a strip of time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.render import paint
from pose3d.render.compose import clock, cut, fit_picture
from pose3d.render.paint import Picture
from pose3d.render.scene import Scene
from pose3d.render.stage import stage_axes
from pose3d.render.style import Style, person_colour
from pose3d.result.record import PoseSequence
from pose3d.storyboard.key_frames import KeyFrames
from pose3d.storyboard.timeline import Timeline, present_range
from pose3d.video.picture import Image

_CARD_PX = 330  # height of the picture in a card
_BODY_ASPECT = 0.74  # of the 3D panel
_PICTURE_ASPECT = (0.62, 1.5)
_MARGIN = 0.11  # of the height, on each side: keypoints end at ankles and wrists, people do not
_GAP_PX = 18
_PAD_PX = 36
_CAPTION_PX = 38
_TITLE_PX = 84
_TIMELINE_PX = 158
_FONT_PX = 17
_SHEET_ASPECT = 1.6
_HIGHEST_JUMP_M = 0.4
_STEADY = 9  # frames over which the stage ignores single outliers; each key frame fills as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """How the pictures of one person are cut out: all at one scale."""

    size_wh: tuple[float, float]  # of the region in pixels of the video
    shown_wh: tuple[int, int]  # size at which it is shown


def plan_crop(pose: PoseSequence, rows: Sequence[int]) -> Crop:
    """Decides how much of the picture is shown, so that a person fits in each of the ``rows``."""
    low, high = np.stack([_bounds(pose, row) for row in rows]).transpose(1, 0, 2)
    width, height = (high - low).max(0).tolist()
    margin = 2 * _MARGIN * max(width, height)
    width, height = width + margin, height + margin
    least = 0.08 * max(pose.video.size_wh)  # who is seen from far away is not blown up to blocks
    height = max(height, least)
    aspect = float(np.clip(width / height, *_PICTURE_ASPECT))
    # Not more than the picture has, as far as a person who fills it can be framed at all.
    most = min(pose.video.size_wh[1], pose.video.size_wh[0] / aspect)
    height = min(max(height, width / aspect), max(most, (height - margin) * 1.02))
    return Crop(
        size_wh=(height * aspect, height), shown_wh=(2 * round(_CARD_PX * aspect / 2), _CARD_PX)
    )


def cut_picture(image: Image, pose: PoseSequence, row: int, crop: Crop, style: Style) -> Picture:
    """Cuts a person out of a frame; the region is moved into the picture where it fits."""
    low, high = _bounds(pose, row)
    centre = (low + high) / 2
    size, whole = np.array(crop.size_wh), np.array(pose.video.size_wh, np.float64)
    inside = np.clip(centre, size / 2, np.maximum(whole - size / 2, size / 2))
    corner = np.where(size <= whole, inside, whole / 2) - size / 2
    left, top = np.rint(corner).astype(int).tolist()
    width, height = np.maximum(np.rint(size), 1).astype(int).tolist()
    region = np.full((height, width, 3), style.line, np.uint8)
    rows, columns = paint.clip_box(image, (left, top, left + width, top + height))
    region[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[
        rows, columns
    ]
    if width > crop.shown_wh[0]:
        return fit_picture(region, crop.shown_wh)
    return np.asarray(cv2.resize(region, crop.shown_wh, interpolation=cv2.INTER_CUBIC), np.uint8)


def _bounds(pose: PoseSequence, row: int) -> NDArray[np.float64]:
    """Returns ``(2, 2)`` low and high corner in pixels around a person in the picture."""
    assert pose.keypoints_px is not None
    points = np.clip(pose.keypoints_px[row], 0, pose.video.size_wh)
    return np.stack([np.nanmin(points, 0), np.nanmax(points, 0)]).astype(np.float64)


def draw_sheet(
    pose: PoseSequence,
    people: Sequence[KeyFrames],
    pictures: Mapping[tuple[int, int], Picture],
    style: Style,
    *,
    title: str,
) -> Picture:
    """Draws the contact sheet: for each person a grid of cards and a strip of time.

    ``pictures`` are cut-outs of :func:`cut_picture` by person id and frame; a card without one
    shows the body alone.
    """
    parts = [_Section(pose, person, pictures, style) for person in people]
    # As many columns for everybody, so that a sheet of several people is no patchwork.
    columns = max(part.choose_columns() for part in parts)
    sizes = [part.size_wh(columns) for part in parts]
    width = max(size[0] for size in sizes)
    height = _TITLE_PX + sum(size[1] + _PAD_PX for size in sizes) - _PAD_PX // 2
    image = np.full((height, width, 3), style.page, np.uint8)
    _draw_title(image, pose, people, style, title)
    top = _TITLE_PX
    for part, size in zip(parts, sizes, strict=True):
        part.draw(cut(image, (0, top, width, size[1])), columns)
        top += size[1] + _PAD_PX
    return image


def _draw_title(
    image: Picture, pose: PoseSequence, people: Sequence[KeyFrames], style: Style, title: str
) -> None:
    width = image.shape[1]
    y, big = 0.56 * _TITLE_PX, 28
    right = width - _PAD_PX
    paint.put_text(image, "pose3d", (right, y), big - 8, style.text, align="right", bold=True)
    room = right - paint.text_width("pose3d", big - 8, True) - _PAD_PX - _PAD_PX
    while len(title) > 8 and paint.text_width(title, big, True) > room:
        title = f"{title[: len(title) - 4]}..."
    paint.put_text(image, title, (_PAD_PX, y), big, style.text, bold=True)
    words = f"{len(people)} people"
    if len(people) == 1:
        words = _headline(pose, people[0])
    left = _PAD_PX + paint.text_width(title, big, True) + 24
    if left + paint.text_width(words, _FONT_PX) < right - 120:
        paint.put_text(image, words, (left, y + 2), _FONT_PX, style.faint)


def _headline(pose: PoseSequence, person: KeyFrames) -> str:
    """Says who is shown, how many frames, and from when to when the person is there."""
    first, stop = present_range(pose, person.person_id)
    begin, end = (clock(float(pose.time_s[row]), 1) for row in (first, stop - 1))
    count = len(person.frames)
    frames = f"{count} key frame{'s' * (count != 1)} of {stop - first}"
    return f"person {person.person_id}   ·   {frames}   ·   {begin} to {end}"


def choose_columns(cards: int, card_wh: tuple[int, int]) -> int:
    """Returns how many cards go side by side: the sheet is about 16:10 and rows are full."""

    def badness(columns: int) -> float:
        rows = -(-cards // columns)
        shape = columns * card_wh[0] / (rows * card_wh[1])
        return abs(math.log(shape / _SHEET_ASPECT)) + 0.5 * (rows * columns - cards) / columns

    return min(range(1, max(cards, 1) + 1), key=badness)


class _Section:
    """The part of the sheet that shows one person."""

    def __init__(
        self,
        pose: PoseSequence,
        person: KeyFrames,
        pictures: Mapping[tuple[int, int], Picture],
        style: Style,
    ) -> None:
        self._pose, self._person, self._style = pose, person, style
        self._colour = person_colour(person.person_id)
        frames = [key.frame for key in person.frames]
        self._pictures = [pictures.get((person.person_id, frame)) for frame in frames]
        shown = [p.shape[1] for p in self._pictures if p is not None]
        self._picture_w = max(shown, default=0)
        self._body_wh = (round(_CARD_PX * (_BODY_ASPECT if shown else 1.0)), _CARD_PX)
        self._card_wh = (self._picture_w + self._body_wh[0], _CARD_PX + _CAPTION_PX)
        self._step_wh = (self._card_wh[0] + _GAP_PX, self._card_wh[1] + _GAP_PX)
        one_spot = _on_the_spot(pose, person.person_id, frames)
        self._scene = Scene(one_spot, style, self._body_wh, bare=True)

    def choose_columns(self) -> int:
        """Returns how many cards would go side by side if this was the only person."""
        return choose_columns(len(self._pictures), self._step_wh)

    def size_wh(self, columns: int) -> tuple[int, int]:
        """Returns the size of the section with so many cards side by side."""
        across = columns * self._step_wh[0] - _GAP_PX
        width = max(across + 2 * _PAD_PX, 3 * _CARD_PX)
        return width, -(-len(self._pictures) // columns) * self._step_wh[1] + _TIMELINE_PX

    def draw(self, image: Picture, columns: int) -> None:
        """Draws cards and strip in place on a page of at least the section's width."""
        for number in range(len(self._pictures)):
            down, across = divmod(number, columns)
            corner = (_PAD_PX + across * self._step_wh[0], down * self._step_wh[1])
            self._draw_card(cut(image, (*corner, *self._card_wh)), number)
        height, width = image.shape[:2]
        strip = (_PAD_PX, height - _TIMELINE_PX, width - 2 * _PAD_PX, _TIMELINE_PX)
        name = f"person {self._person.person_id}"
        Timeline(self._pose, self._person, self._style).draw(cut(image, strip), name)

    def _draw_card(self, card: Picture, number: int) -> None:
        key, style = self._person.frames[number], self._style
        picture = self._pictures[number]
        if picture is not None:
            card[: picture.shape[0], : picture.shape[1]] = picture
        else:
            card[:_CARD_PX, : self._picture_w] = style.line
        body = cut(card, (self._picture_w, 0, *self._body_wh))
        body[:] = self._scene.background
        self._scene.draw(body, _STEADY * number + _STEADY // 2)
        badge = (22.0, 22.0)
        paint.pill(card, str(number + 1), badge, _FONT_PX - 1, self._colour, (255, 255, 255))
        y = _CARD_PX + 0.55 * _CAPTION_PX
        time = clock(key.time_s, 1)
        paint.put_text(card, time, (2, y), _FONT_PX + 3, style.text, bold=True)
        words = f"frame {key.frame}"
        paint.put_text(card, words, (card.shape[1] - 2, y), _FONT_PX, style.faint, align="right")


def _on_the_spot(pose: PoseSequence, person_id: int, frames: Sequence[int]) -> PoseSequence:
    """Returns the key poses on one spot, at their heights unless these exceed jumps."""
    span = pose.span_of(person_id)
    rows = np.repeat(np.array([span.row(frame) for frame in frames], np.intp), _STEADY)
    assert pose.joints_cam_m is not None
    joints = pose.joints_cam_m[rows].astype(np.float64)
    axes = stage_axes(pose.camera.up_cam if pose.camera else None)
    sole_m = (joints @ axes.T)[..., 1].min(-1)  # row: below the pelvis
    up_m = -sole_m
    if pose.root_cam_m is not None:
        true_m = (pose.root_cam_m[rows] @ axes.T)[..., 1]
        lowest_m = true_m + sole_m
        if np.isfinite(true_m).all() and np.ptp(lowest_m) < _HIGHEST_JUMP_M:
            up_m = true_m
    root = np.stack([np.zeros_like(up_m), up_m, np.full_like(up_m, 4.0)], -1) @ axes
    return replace(
        pose,
        video=replace(pose.video, n_frames=len(rows)),
        time_s=np.arange(len(rows), dtype=np.float64),
        frame=np.arange(len(rows)),
        person_id=np.full(len(rows), person_id),
        boxes_xyxy_px=pose.boxes_xyxy_px[rows],
        keypoints_px=None,
        score=None,
        joints_cam_m=joints,
        root_cam_m=root,
        hypotheses_cam_m=None,
        valid=pose.valid[rows],
        # The floor is below the lowest pose.
        camera=replace(pose.camera, ground_m=None) if pose.camera else None,
    )
