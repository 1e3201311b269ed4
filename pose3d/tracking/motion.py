"""Where the picture changes outside of the people who are followed: there others may have come."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.networks2d.regions import boxes_of_regions
from pose3d.video.picture import Image

Array = NDArray[np.floating]

_WIDTH = 160
_CHANGED = 24  # grey levels (0..255) above noise and compression
_MIN_DENSITY = 0.1
_MAX_MOVING = 0.4  # when more of the picture changes, the camera moves and motion says nothing
_SIDES = (0.33, 0.55)  # of the squares to look into, as shares of the picture's longer side
_MIN_CHANGE = 0.01  # half of what the smallest person who is found in a window covers of it


class _Glance:
    """A picture at low resolution, and who was followed in it."""

    def __init__(self, image: Image, boxes_xyxy_px: Array) -> None:
        self.step = max(1, max(image.shape[:2]) // _WIDTH)
        self.boxes = boxes_xyxy_px
        # Every step-th pixel of the green channel: 0.1 ms where a proper resize takes 2 ms.
        sparse = np.ascontiguousarray(image[:: self.step, :: self.step, 1])
        self.small = np.asarray(cv2.blur(sparse, (3, 3)), np.uint8)

    def change_since(self, before: _Glance) -> NDArray[np.float32]:
        """Returns ``(height, width)`` 1 where the picture has changed, 0 elsewhere; people who are
        or were followed are no change."""
        changed = (cv2.absdiff(self.small, before.small) > _CHANGED).astype(np.float32)
        for box in (*before.boxes, *self.boxes):
            margin = 0.15 * (box[2:] - box[:2]).max()
            left, top = np.maximum((box[:2] - margin) / self.step, 0).astype(int)
            right, bottom = np.maximum((box[2:] + margin) / self.step, 0).astype(int)
            changed[top:bottom, left:right] = 0
        return changed


class MotionHint:
    """Compares pictures a fraction of a second apart at low resolution."""

    def __init__(self) -> None:
        self._before: _Glance | None = None

    def regions(self, image: Image, boxes_xyxy_px: Array) -> NDArray[np.float32]:
        """Returns ``(k, 4)`` regions around the strongest motion outside the boxes since last time.
        Empty when nothing moves, or everything does."""
        now, before = _Glance(image, boxes_xyxy_px), self._before
        self._before = now
        nothing = np.zeros((0, 4), np.float32)
        if before is None or before.small.shape != now.small.shape:
            return nothing
        moving = now.change_since(before)
        if moving.mean() > _MAX_MOVING:
            return nothing
        window = max(3, round(0.1 * max(moving.shape)))
        density = cv2.blur(moving, (window, window), borderType=cv2.BORDER_CONSTANT)
        y, x = np.unravel_index(int(density.argmax()), density.shape)
        if density[y, x] < _MIN_DENSITY:
            return nothing
        longer = max(image.shape[:2])
        return np.array([(x * now.step, y * now.step, s * longer, 0.0) for s in _SIDES], np.float32)


class Turns:
    """Chooses which of a detector's windows to look into while everybody is followed: those where
    the picture has changed since they were last looked into, and by turns one of the others."""

    def __init__(self) -> None:
        self._seen: list[_Glance] = []  # the picture that was looked at, by window
        self._next = 0

    def all(self, image: Image, windows: Array, boxes_xyxy_px: Array) -> Array:
        """Returns all of the ``(n, 4)`` windows; the people of the boxes are followed."""
        self._seen = [_Glance(image, boxes_xyxy_px)] * len(windows)
        return windows

    def choose(self, image: Image, windows: Array, boxes_xyxy_px: Array) -> Array:
        """Returns those of the windows to look into now, the first (the whole picture) always."""
        now = _Glance(image, boxes_xyxy_px)
        if len(self._seen) != len(windows) or self._seen[0].small.shape != now.small.shape:
            return self.all(image, windows, boxes_xyxy_px)
        changed = {id(before): now.change_since(before) for before in self._seen}
        squares = np.rint(boxes_of_regions(windows) / now.step).astype(int).clip(0)
        self._next = self._next % (len(windows) - 1) + 1 if len(windows) > 1 else 0
        chosen = [0, self._next]
        for i, (left, top, right, bottom) in enumerate(squares):
            if changed[id(self._seen[i])][top:bottom, left:right].mean() > _MIN_CHANGE:
                chosen.append(i)
        rows = np.unique(chosen)
        for i in rows:
            self._seen[i] = now
        return windows[rows]
