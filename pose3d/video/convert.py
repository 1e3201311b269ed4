"""From a decoded picture to the RGB array that players would show."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from pose3d.video.hdr import SDR_FROM_HDR

QUARTER_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
UNSPECIFIED_MATRIX = 2  # AVCOL_SPC_UNSPECIFIED, ITU-T H.273
MAX_STRETCH = 4  # beyond 4:1 is damage; no camera or disc has such pixels


def turn_image(image: np.ndarray, turn_deg: int) -> np.ndarray:
    """Returns a picture turned clockwise by 0, 90, 180 or 270 degrees."""
    return cv2.rotate(image, QUARTER_TURNS[turn_deg]) if turn_deg else image


def read_turn(display_matrix: np.ndarray) -> tuple[float, bool]:
    """Returns the clockwise degrees of a display matrix, and whether it mirrors before turning.

    A stored point (p, q) is shown at (a p + c q, b p + d q), y down; a, b, c, d are the elements 0,
    1, 3, 4 of the 9 integers in the track header (ISO/IEC 14496-12).
    """
    a, b, c, d = (int(display_matrix[i]) for i in (0, 1, 3, 4))
    determinant = a * d - b * c
    if determinant == 0:
        return 0.0, False  # Some writers fill the matrix with zeros.
    if determinant < 0:
        a, b = -a, -b  # Mirroring first changes the sign of the matrix's first column.
    return math.degrees(math.atan2(b, a)), determinant < 0


class PictureConverter:
    """Converts a stream's decoded pictures: colours, square pixels, mirror, turn, in this order.

    ``first`` fixes the size of all pictures and carries the display matrix, which ``rotate``
    (clockwise degrees) replaces; ``aspect`` is width over height of a stored pixel (None: square).
    """

    def __init__(
        self,
        first: av.VideoFrame,
        *,
        aspect: Fraction | None,
        rotate: int | None,
        warn: Callable[[str], None],
    ) -> None:
        self._warn = warn
        self._stored_wh = (first.width, first.height)
        self._aspect = Fraction(aspect or 1)
        self._stretched_wh = _stretch(self._stored_wh, self._aspect, warn)
        self._hdr = SDR_FROM_HDR.get(int(first.color_trc))
        if self._hdr is not None:
            warn(f"it is HDR ({self._hdr.name}); its colours are made those of a usual screen")
        self._reformatter = VideoReformatter()  # one for all: it keeps its tables
        data: Any = first.side_data.get("DISPLAYMATRIX")
        matrix = np.zeros(9, np.int32) if data is None else np.frombuffer(data, np.int32)
        angle_deg, self._mirror = read_turn(matrix)
        turn_deg = round(angle_deg / 90) * 90
        if rotate is None and abs(angle_deg - turn_deg) > 1:
            warn(f"it asks to be shown turned by {angle_deg:.0f} degrees; {turn_deg} is used")
        self.turn_deg = turn_deg % 360 if rotate is None else rotate

    @property
    def shown_wh(self) -> tuple[int, int]:
        """Size of the picture as players show it."""
        return self._turned(self._stretched_wh)

    @property
    def unstretched_wh(self) -> tuple[int, int]:
        """The same without making pixels square."""
        return self._turned(self._stored_wh)

    def _turned(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        return size_wh[::-1] if self.turn_deg in (90, 270) else size_wh

    def to_image(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns the picture as shown, ``(height, width, 3)`` RGB uint8, contiguous, writable."""
        width, height = self._stretched_wh
        if (frame.width, frame.height) == self._stored_wh:
            image = self._to_rgb(frame, width, height)
        else:
            self._warn("its picture size changes on the way; all are fitted into the first one's")
            image = self._fit(frame, width, height)
        if self._mirror:
            image = cv2.flip(image, 1)
        return np.ascontiguousarray(turn_image(image, self.turn_deg))

    def _to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        matrix = None
        if frame.colorspace == UNSPECIFIED_MATRIX and not frame.format.is_rgb:
            # What players do with untagged video: BT.709 for HD, BT.601 below.
            hd = frame.width >= 1280 or frame.height >= 720
            matrix = Colorspace.ITU709 if hd else Colorspace.ITU601
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24" if self._hdr is None else "rgb48le",
            src_colorspace=matrix,
            threads=1,  # two would cost the cores more than they save here
        )
        image: np.ndarray = converted.to_ndarray()
        if self._hdr is not None:
            return self._hdr.to_sdr(image)
        # The decoder may still refer to the memory of a picture that needed no conversion.
        return image.copy() if converted is frame else image

    def _fit(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """Returns a picture of another size inside of one of the first's, in its own proportions."""
        own_w, own_h = _stretch((frame.width, frame.height), self._aspect, self._warn)
        scale = min(width / own_w, height / own_h)
        fitted_w, fitted_h = max(1, round(own_w * scale)), max(1, round(own_h * scale))
        left, top = (width - fitted_w) // 2, (height - fitted_h) // 2
        image = np.zeros((height, width, 3), np.uint8)
        fitted = self._to_rgb(frame, fitted_w, fitted_h)
        image[top : top + fitted_h, left : left + fitted_w] = fitted
        return image


def _stretch(
    stored_wh: tuple[int, int], aspect: Fraction, warn: Callable[[str], None]
) -> tuple[int, int]:
    """Returns the size with square pixels; the axis that would shrink keeps its pixels."""
    width, height = stored_wh
    if not Fraction(1, MAX_STRETCH) <= aspect <= MAX_STRETCH:
        warn(f"its pixel aspect {aspect} is not credible and is ignored")
    elif aspect > Fraction(101, 100):
        width = round(width * aspect)
    elif aspect < Fraction(100, 101):
        height = round(height / aspect)
    return width, height
