"""Frames from pictures that are in memory already, or come one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from fractions import Fraction
from typing import Any

import numpy as np

from pose3d.errors import UsageError
from pose3d.result.record import VideoInfo
from pose3d.video.convert import turn_image
from pose3d.video.picture import IN_MEMORY
from pose3d.video.timestamps import RANGE_TOLERANCE_S, empty_range


class PictureSource:
    """What pictures without times of their own share: a rate, a range of them, a turn."""

    def __init__(
        self, *, start: float | None, end: float | None, rotate: int, rate: float | Fraction
    ) -> None:
        self.warnings: list[str] = []
        self._rate = Fraction(rate).limit_denominator(1001)
        self.stated_rates: tuple[Fraction, ...] = (self._rate,)
        self.tick_s = 1 / (1000 * self._rate)
        self._turn_deg = rotate
        self._start_s, self._end_s = start or 0.0, math.inf if end is None else end
        self._begin = self._number_at(self._start_s)
        self._stop = math.inf if end is None else self._number_at(end)

    def _number_at(self, time_s: float) -> int:
        """Returns the number of the first picture that is not before a time."""
        return max(0, math.ceil((time_s - RANGE_TOLERANCE_S) * self._rate))

    def _time_of(self, number: int) -> float:
        return float(number / self._rate)

    def _describe(self, path: str, first: np.ndarray, n_frames: int) -> VideoInfo:
        size_wh, turn_deg = (first.shape[1], first.shape[0]), self._turn_deg
        return VideoInfo(
            path=path, size_wh=size_wh, rate=self._rate, n_frames=n_frames, rotation_deg=turn_deg
        )

    def close(self) -> None:
        """Nothing stays open between two pictures."""


class ArraySource(PictureSource):
    """An array ``(frame, height, width, 3)``, or any iterable of RGB pictures of one size, as a clip.

    Each picture is taken when it is needed, and copied, for those who get it may draw on it.

    Raises:
        UsageError: no pictures, or something else than uint8 ``(height, width, 3)``.
        VideoError: no picture in the range.
    """

    def __init__(self, pictures: Iterable[Any], **given: Any) -> None:
        super().__init__(**given)
        self._size_wh: tuple[int, int] | None = None
        self._rest = self._in_range(iter(pictures))
        self._first = next(self._rest, None)
        if self._size_wh is None:
            raise UsageError("video is empty", "Give at least one picture")
        if self._first is None:
            raise empty_range(IN_MEMORY, self._start_s, self._end_s, None)
        last = min(len(pictures), self._stop) if isinstance(pictures, Sized) else self._begin
        self.info = self._describe(IN_MEMORY, self._first[1], int(last) - self._begin)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time and picture."""
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._rest

    def find_camera(self) -> None:
        """Pictures in memory tell nothing."""

    def _in_range(self, pictures: Iterator[Any]) -> Iterator[tuple[float, np.ndarray]]:
        for index, picture in enumerate(pictures):
            if index >= self._stop:
                return
            image = self._check(picture, index)
            if index >= self._begin:
                shown = np.array(turn_image(image, self._turn_deg), order="C")
                yield self._time_of(index), shown
                del shown  # else it lives while the next one is made
            del picture, image

    def _check(self, picture: Any, index: int) -> np.ndarray:
        """Returns the picture as an array; refuses anything else than the first one was."""
        wanted = "uint8 (height, width, 3), RGB"
        if self._size_wh is not None:
            wanted = f"uint8 {(self._size_wh[1], self._size_wh[0], 3)}, as frame 0"
        try:
            image = np.asarray(picture)
        except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors on a GPU
            what = f"frame {index} of video is no array ({error})"
            raise UsageError(what, f"Give {wanted}") from error
        size_wh = image.shape[1::-1]
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        if not fits or self._size_wh not in (None, size_wh):
            is_array = image.ndim and image.dtype.kind not in "OU"
            shown = f"{image.dtype} {image.shape}" if is_array else repr(picture)
            raise UsageError(f"frame {index} of video is {shown}", f"Give {wanted}")
        self._size_wh = size_wh
        return image
