"""The background of the 3D panel: a floor with a metric grid that fades into the distance."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.render import paint
from pose3d.render.paint import Picture
from pose3d.render.stage import Stage, View
from pose3d.render.style import Style, mix

_PIECE = 0.25  # grid lines are drawn in pieces, of this share of a square, so that they can fade
_LINES = 30  # on each side of the middle, at most: more would lie closer together than pixels


def paint_floor(
    stage: Stage,
    view: View,
    style: Style,
    size_wh: tuple[int, int],
    font_px: int,
    *,
    with_grid: bool,
    with_captions: bool = True,
) -> Picture:
    """Paints everything of the panel that does not move.

    ``stage`` is whom distances are written beside; a view that turns has no grid, a small panel no
    captions.
    """
    image = _light(view, style, size_wh)
    if with_grid:
        grid_lines(image, view, style, 0.0)
    if with_captions:
        _captions(image, stage, view, style, font_px, with_distances=with_grid)
    return image


def grid_lines(panel: Picture, view: View, style: Style, turn_rad: float) -> None:
    """Draws the grid in place, of a view that has turned so far."""
    segments_px, opacity = _grid(view, turn_rad)
    fixed = paint.to_fixed(segments_px).tolist()
    for (a, b), share in zip(fixed, opacity.tolist(), strict=True):
        tint = mix(mix(style.sky, style.floor, share), style.grid, 0.42 * share)
        cv2.line(panel, a, b, tint, 1, cv2.LINE_AA, 4)


def _reach_m(view: View) -> float:
    """Returns the radius at which the floor has faded away."""
    return 0.62 * view.distance_m


def _square_m(view: View) -> int:
    """Returns the width of the grid's squares: 1 m, and 10, 100, ... where people are far apart."""
    return int(10 ** max(0, math.ceil(math.log10(_reach_m(view) / _LINES))))


def _grid(view: View, turn_rad: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Computes the grid: ``(piece, 2, 2)`` pixels and ``(piece,)`` opacity."""
    square = _square_m(view)
    x0, z0 = view.target_m[0] / square, view.target_m[2] / square
    reach = _reach_m(view) / square
    span = np.arange(math.floor(-reach), math.ceil(reach) + _PIECE / 2, _PIECE)
    pieces = []
    for axis, (centre, other) in enumerate(((x0, z0), (z0, x0))):
        fixed = np.arange(math.ceil(centre - reach), math.floor(centre + reach) + 1)
        along = round(other) + span
        start = np.stack(np.meshgrid(fixed, along[:-1], indexing="ij"), -1).reshape(-1, 2)
        stop = np.stack(np.meshgrid(fixed, along[1:], indexing="ij"), -1).reshape(-1, 2)
        pair = np.stack([start, stop], 1)
        pieces.append(pair if axis == 0 else pair[..., ::-1])
    flat = np.concatenate(pieces)  # piece, end, (x, z) in squares
    points = np.stack([flat[..., 0], np.zeros(flat.shape[:2]), flat[..., 1]], -1)
    pixels, _ = view.project(square * points, turn_rad)
    away = np.hypot(flat[..., 0] - x0, flat[..., 1] - z0).mean(1) / reach
    opacity = np.clip(1 - away, 0, 1) ** 0.9
    seen = np.isfinite(pixels).all((1, 2)) & (opacity > 0.02)
    return pixels[seen], opacity[seen]


def _light(view: View, style: Style, size_wh: tuple[int, int]) -> Picture:
    """Computes the picture of the floor: a pool of light around the people."""
    width, height = size_wh
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    right, up, forward = view.axes()
    ray = (
        forward
        + ((columns - view.centre_px[0]) / view.focal_px)[..., None] * right
        - ((rows - view.centre_px[1]) / view.focal_px)[..., None] * up
    )
    eye = np.array(view.target_m) - view.distance_m * forward
    down = np.minimum(ray[..., 1], -1e-3)  # above the horizon: as far as it gets
    hit = eye + ray * (-eye[1] / down)[..., None]
    away = np.hypot(hit[..., 0] - view.target_m[0], hit[..., 2] - view.target_m[2])
    share = np.exp(-((away / (0.85 * _reach_m(view))) ** 2))[..., None]
    sky, floor = np.array(style.sky, float), np.array(style.floor, float)
    return np.rint(sky + (floor - sky) * share).astype(np.uint8)


def _captions(
    image: Picture, stage: Stage, view: View, style: Style, font_px: int, *, with_distances: bool
) -> None:
    """Writes what the grid means, and distances from the filming camera where known."""
    height, width = image.shape[:2]
    if stage.placed and with_distances:
        _distances(image, stage, view, style, font_px)
    words = [f"grid {_square_m(view)} m", "left side lighter, right side darker"]
    if not stage.placed:
        words.insert(1, "places unknown")
    if not np.isfinite(stage.joints_stage_m).any():
        words = ["nobody was found"]
    while len(words) > 1 and paint.text_width("   ·   ".join(words), font_px) > width - 2 * font_px:
        words.pop()
    y = height - 1.3 * font_px
    paint.put_text(
        image, "   ·   ".join(words), (width / 2, y), font_px, style.faint, align="center"
    )


def _distances(image: Picture, stage: Stage, view: View, style: Style, font_px: int) -> None:
    """Writes how far the grid lines across the view are from the filming camera ("3 m")."""
    joints = stage.joints_stage_m
    x, z = joints[..., 0], joints[..., 2]
    x, z = x[np.isfinite(x)], z[np.isfinite(z)]
    if not len(x):
        return
    square = _square_m(view)
    right = math.ceil((float(np.percentile(x, 99)) + 0.3) / square)
    left = math.floor((float(np.percentile(x, 1)) - 0.3) / square)
    first, last = (float(v) / square for v in np.percentile(z, [1, 99]))
    middle = round(view.target_m[2] / square)
    lines = range(
        max(1, math.floor(first), middle - _LINES), min(math.ceil(last), middle + _LINES) + 1
    )
    # Beside the people if there is room in the panel, on the side where nobody stands in front.
    edges = [(right, 1), (left, -1), (right - 1, 1), (left + 1, -1)]
    if view.yaw_rad < 0:
        edges = [edges[i] for i in (1, 0, 3, 2)]
    choices = [_labels(view, image.shape[:2], edge, side, lines, font_px) for edge, side in edges]
    for text, at_px, align in max(choices, key=len):
        paint.put_text(image, text, at_px, font_px, style.faint, align=align)


def _labels(
    view: View, shape_hw: tuple[int, ...], edge: int, side: int, lines: range, font_px: int
) -> list[tuple[str, tuple[float, float], str]]:
    """Returns text, place and alignment of the distances that fit into the panel along one line."""
    height, width = shape_hw
    square = _square_m(view)
    fitting = []
    for line in lines:
        at, _ = view.project(square * np.array([[edge, 0.0, line]]))
        u, v = float(at[0, 0]) + side * 0.9 * font_px, float(at[0, 1])
        text = f"{square * line} m"
        far_end = u + side * paint.text_width(text, font_px)
        inside = font_px < min(u, far_end) and max(u, far_end) < width - font_px
        if inside and font_px < v < height - 3 * font_px:
            fitting.append((text, (u, v), "right" if side < 0 else "left"))
    return fitting
