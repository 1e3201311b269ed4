"""Drawing primitives on RGB arrays: capsules at sub-pixel positions, text, blending.

The centre of the first pixel is 0.5, 0.5; OpenCV's is 0, 0: the half pixel is taken off only here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import get_ident
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.render.style import Colour, ink_on

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

Array = NDArray[np.floating]
Picture = NDArray[np.uint8]  # ``(height, width, 3)`` RGB
Polygon = NDArray[np.int32]  # ``(..., point, 2)`` convex, in fixed-point numbers of :func:`fill`

# It would tell of its caches; wherever it is used for drawing, this module was imported before.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_SHIFT = 4  # cv2 takes integers; 4 fractional bits are 1/16 px
_ONE = 1 << _SHIFT
_FAR_PX = 16000.0  # beyond this cv2's own fixed-point numbers overflow
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 16, endpoint=False)) for f in (np.cos, np.sin)], -1)


def capsules(
    a_px: Array, b_px: Array, radius_a_px: Array, radius_b_px: Array, arc: int = 8
) -> Polygon:
    """Computes the outlines of round-ended, tapered strokes from ``(n, 2)`` ends, ``(n,)`` radii.

    ``arc`` is the number of points of each round end; thick strokes need more.
    """
    along = b_px - a_px
    length = np.hypot(along[:, 0], along[:, 1])
    heading = np.arctan2(along[:, 1], along[:, 0])
    # The common tangent of two circles touches both at this angle from the axis.
    slope = np.clip((radius_a_px - radius_b_px) / np.maximum(length, 1e-6), -1, 1)
    tangent = np.arccos(slope)
    step = _steps(arc)
    arc_b = -tangent[:, None] + 2 * tangent[:, None] * step
    arc_a = tangent[:, None] + 2 * (np.pi - tangent[:, None]) * step
    angle = heading[:, None] + np.concatenate([arc_b, arc_a], 1)  # n, 2*arc
    radius = np.repeat(np.stack([radius_b_px, radius_a_px], 1), arc, 1)
    centre = np.repeat(np.stack([b_px, a_px], 1), arc, 1)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * radius[..., None]
    return to_fixed(centre + ring)


@lru_cache
def _steps(n: int) -> NDArray[np.float64]:
    return np.linspace(0, 1, n)


def to_fixed(points_px: Array) -> Polygon:
    """Converts pixels to the integers that cv2 takes together with its ``shift``."""
    safe = np.minimum(np.maximum(points_px, -_FAR_PX), _FAR_PX)
    if np.isnan(safe).any():
        safe[np.isnan(safe)] = -_FAR_PX
    return np.rint((safe - 0.5) * _ONE).astype(np.int32)


def stroke(
    image: Picture,
    a_px: tuple[float, float],
    b_px: tuple[float, float],
    radius_px: float,
    colour: Colour,
) -> None:
    """Draws one round-ended line in place."""
    radius = np.array([radius_px])
    fill(image, capsules(np.array([a_px]), np.array([b_px]), radius, radius), colour)


def fill(image: Picture, polygons: Iterable[Polygon], colour: Colour) -> None:
    """Fills the polygons of :func:`capsules` or :func:`discs`, anti-aliased, in place."""
    for polygon in polygons:
        cv2.fillConvexPoly(image, polygon, colour, cv2.LINE_AA, _SHIFT)


def discs(centres_px: Array, radius_px: float) -> Polygon:
    """Computes circles around ``(n, 2)`` points, rounder than cv2's, for :func:`fill`."""
    return to_fixed(centres_px[:, None] + radius_px * _CIRCLE)


def blended(
    image: Picture,
    box: tuple[float, float, float, float],
    opacity: float,
    draw: Callable[[Picture], None],
) -> None:
    """Draws with ``opacity`` (0..1) in place, inside ``box`` (left, top, right, bottom)."""
    rows, columns = clip_box(image, box)
    region = image[rows, columns]
    if region.size == 0:
        return
    before = region.copy()
    draw(image)
    cv2.addWeighted(region, opacity, before, 1 - opacity, 0, dst=region)


def clip_box(image: Picture, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Returns the rows and columns of ``box`` (left, top, right, bottom) inside the picture."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    return (
        slice(int(np.clip(top, 0, height)), int(np.clip(np.ceil(bottom), 0, height))),
        slice(int(np.clip(left, 0, width)), int(np.clip(np.ceil(right), 0, width))),
    )


@lru_cache(maxsize=8)
def _open_font(bold: bool, _thread: int) -> FT2Font:
    """Opens a font once for each thread, which takes 2 ms; two must not write with the same."""
    # Imported here: reading a result must not pay for matplotlib.
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    family = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return FT2Font(findfont(family))


@lru_cache(maxsize=512)
def text_mask(text: str, size_px: int, bold: bool = False) -> tuple[Picture, int]:
    """Draws text: its coverage ``(height, width)`` 0..255 and the rows above the base line."""
    font = _open_font(bold, get_ident())
    font.set_size(size_px, 72)
    font.set_text(text, 0.0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    mask = np.array(font.get_image(), np.uint8)
    inked = np.flatnonzero(mask.any(0))
    mask = mask[:, inked[0] : inked[-1] + 1]  # so that a centred digit is centred as seen
    mask.flags.writeable = False
    return mask, mask.shape[0] - round(font.get_descent() / 64)


def text_width(text: str, size_px: int, bold: bool = False) -> int:
    """Returns the width of a line of text in pixels."""
    return text_mask(text, size_px, bold)[0].shape[1]


def put_text(
    image: Picture,
    text: str,
    at_px: tuple[float, float],
    size_px: int,
    colour: Colour,
    *,
    align: str = "left",
    bold: bool = False,
) -> None:
    """Writes a line of text in place.

    ``at_px`` is x of the side named by ``align`` (left, center, right), y of the middle of a
    capital.
    """
    mask, above = text_mask(text, size_px, bold)
    width = mask.shape[1]
    x = at_px[0] - {"left": 0.0, "center": width / 2, "right": float(width)}[align]
    capital = 0.73 * size_px  # cap height of DejaVu Sans, in em
    left, top = round(x), round(at_px[1] + capital / 2 - above)
    rows, columns = clip_box(image, (left, top, left + width, top + mask.shape[0]))
    region = image[rows, columns]
    if region.size == 0:
        return
    part = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    share = part[..., None].astype(np.int32)
    region[:] = region + ((np.array(colour, np.int32) - region) * share + 127) // 255


def pill(
    image: Picture,
    text: str,
    centre_px: tuple[float, float],
    size_px: int,
    colour: Colour,
    border: Colour,
) -> None:
    """Draws a short text on a rounded label with a border, kept inside the picture, in place."""
    height, width = image.shape[:2]
    radius = 0.78 * size_px
    half = max(text_width(text, size_px, True) / 2 - 0.35 * size_px, 0)
    reach = half + radius + 2
    x = float(np.clip(centre_px[0], min(reach, width / 2), max(width - reach, width / 2)))
    y = float(np.clip(centre_px[1], min(radius + 2, height / 2), height - radius - 2))
    x, y = round(x), round(y)  # the text lies on whole pixels, so must its label
    for grow, paint in ((max(1.0, size_px / 11), border), (0.0, colour)):
        stroke(image, (x - half, y), (x + half, y), radius + grow, paint)
    put_text(image, text, (x, y), size_px, ink_on(colour), align="center", bold=True)
