"""Oriented squares in a picture: where a network looks, and back from what it saw.
A region is ``(centre x, centre y, side, rotation)``, in pixels and radians clockwise as seen: at
rotation 0 the square stands upright, at pi/2 its upper edge points right."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.video.picture import Image

Array = NDArray[np.floating]


def regions_from_spines(start_px: Array, end_px: Array, *, scale: float) -> NDArray[np.float32]:
    """Returns regions ``(n, 4)`` centred on ``start_px`` (hips), upper edge towards ``end_px``.
    ``end_px`` lies on a circle around the whole body; ``scale`` is the side in its diameters.
    Reference: MediaPipe's ``AlignmentPointsRectsCalculator``, target angle 90 degrees."""
    along = np.asarray(end_px, np.float64) - np.asarray(start_px, np.float64)
    out = np.empty((len(along), 4), np.float32)
    out[:, :2] = start_px
    out[:, 2] = 2 * scale * np.hypot(along[:, 0], along[:, 1])
    out[:, 3] = wrap_angle(np.pi / 2 - np.arctan2(-along[:, 1], along[:, 0]))
    return out


def regions_from_boxes(boxes_xyxy_px: Array, *, scale: float) -> NDArray[np.float32]:
    """Returns upright squares with the centres of boxes, ``scale`` times their longer side."""
    boxes = np.asarray(boxes_xyxy_px, np.float32).reshape(-1, 4)
    out = np.zeros((len(boxes), 4), np.float32)
    out[:, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2
    out[:, 2] = scale * (boxes[:, 2:] - boxes[:, :2]).max(-1)
    return out


def wrap_angle(angle_rad: Array | float) -> Array:
    """Returns angles in [-pi, pi)."""
    return (np.asarray(angle_rad) + np.pi) % (2 * np.pi) - np.pi


def region_axes(regions: Array) -> NDArray[np.float32]:
    """Returns affine maps ``(n, 2, 3)`` from regions' unit coordinates (y down) to the picture."""
    regions = np.asarray(regions, np.float32)
    side, angle = regions[:, 2], regions[:, 3]
    cos, sin = side * np.cos(angle), side * np.sin(angle)
    out = np.empty((len(regions), 2, 3), np.float32)
    out[:, 0, 0], out[:, 0, 1] = cos, -sin
    out[:, 1, 0], out[:, 1, 1] = sin, cos
    out[:, :, 2] = regions[:, :2] - 0.5 * (out[:, :, 0] + out[:, :, 1])
    return out


def crop_region(image: Image, region: Array, size_px: int, *, border: int) -> Image:
    """Cuts a region ``(4,)`` out of a picture as a square of ``size_px`` pixels, bilinear.
    ``border``: ``cv2.BORDER_CONSTANT`` (black) or ``cv2.BORDER_REPLICATE`` outside the picture.
    Reference: MediaPipe's ``ImageToTensorCalculator`` (OpenCV converter): no filter against
    aliasing, the region's corner is the *centre* of the first pixel, as the networks learnt it."""
    axes = region_axes(region[None])[0].astype(np.float64)
    axes[:, :2] /= size_px
    return cv2.warpAffine(
        image,
        axes,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )


def from_region(points: Array, regions: Array) -> NDArray[np.float32]:
    """Maps ``(n, joint, 2)`` points from unit coordinates of regions to pixels of the picture."""
    axes = region_axes(regions)
    return np.einsum("nab,njb->nja", axes[:, :, :2], points) + axes[:, None, :, 2]


def boxes_of_regions(regions: Array, *, shrink: float = 1.0) -> NDArray[np.float32]:
    """Returns upright boxes around the regions' inscribed circles, of ``shrink`` their diameter."""
    regions = np.asarray(regions, np.float32)
    half = regions[:, 2:3] * (shrink / 2)
    return np.concatenate((regions[:, :2] - half, regions[:, :2] + half), -1)
