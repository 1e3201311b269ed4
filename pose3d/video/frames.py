"""Frames from pictures that are in memory already, or come one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from fractions import Fraction
from typing import Any

import numpy as np

from pose3d.errors import UsageError, VideoError
from pose3d.result.record import VideoInfo
from pose3d.video.convert import turn_image
from pose3d.video.picture import IN_MEMORY
from pose3d.video.timestamps import RANGE_TOLERANCE_S


class ArraySource:
    """An array ``(frame, height, width, 3)``, or any iterable of RGB pictures of one size, as a clip.

    Each picture is taken when it is needed, and copied, for those who get it may draw on it.

    Raises:
        UsageError: no pictures, or something else than uint8 ``(height, width, 3)``.
        VideoError: none in the range.
    """

    def __init__(
        self,
        pictures: Iterable[Any],
        *,
        start: float | None,
        end: float | None,
        rotate: int,
        rate: float | Fraction,
    ) -> None:
        self.warnings: list[str] = []
        exact = Fraction(rate).limit_denominator(1001)
        self.stated_rates: tuple[Fraction, ...] = (exact,)
        self.tick_s = 1 / (1000 * exact)
        self._turn_deg = rotate
        self._size_wh: tuple[int, int] | None = None
        first = math.ceil(((start or 0.0) - RANGE_TOLERANCE_S) * exact)
        stop = math.inf if end is None else math.ceil((end - RANGE_TOLERANCE_S) * exact)
        self._rest = self._in_range(iter(pictures), first, stop)
        self._first = next(self._rest, None)
        if self._size_wh is None:
            raise UsageError("video is empty", "Give at least one picture")
        if self._first is None:
            raise VideoError(
                f"{IN_MEMORY} has no frame from {start or 0:g} s to {math.inf if end is None else end:g} s",
                "Give a start and an end within the clip",
            )
        last = min(len(pictures), stop) if isinstance(pictures, Sized) else first
        height, width = self._first[1].shape[:2]
        self.info = VideoInfo(
            path=IN_MEMORY,
            size_wh=(width, height),
            rate=exact,
            n_frames=int(last) - first,
            rotation_deg=rotate,
        )

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time and picture."""
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._rest

    def find_camera(self) -> None:
        """Pictures in memory tell nothing."""

    def close(self) -> None:
        """The pictures are the giver's."""

    def _in_range(
        self, pictures: Iterator[Any], first: int, stop: float
    ) -> Iterator[tuple[float, np.ndarray]]:
        for index, picture in enumerate(pictures):
            if index >= stop:
                return
            image = self._check(picture, index)
            if index >= first:
                shown = np.array(turn_image(image, self._turn_deg), order="C")
                yield float(index / self.stated_rates[0]), shown
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
            raise UsageError(
                f"frame {index} of video is no array ({error})", f"Give {wanted}"
            ) from error
        size_wh = image.shape[1::-1]
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        if not fits or self._size_wh not in (None, size_wh):
            shown = f"{image.dtype} {image.shape}" if image.ndim else repr(picture)
            if image.dtype.kind in "OU":
                shown = repr(picture)
            raise UsageError(f"frame {index} of video is {shown}", f"Give {wanted}")
        self._size_wh = size_wh
        return image
