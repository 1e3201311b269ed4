"""A pinhole camera and the screen coordinates of published lifters, in NumPy: the other way round."""

from __future__ import annotations

import numpy as np


def project_points(points_cam_m: np.ndarray, focal_px: float, centre_px) -> np.ndarray:
    """Projects ``(..., 3)`` points in front of a camera (x right, y down, z forward) to pixels."""
    return points_cam_m[..., :2] / points_cam_m[..., 2:] * focal_px + np.asarray(centre_px)


def normalise_screen(points_px: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Maps pixels so that x runs from -1 to 1 over the width (VideoPose3D, Pavllo et al. 2019)."""
    width, height = size_wh
    return points_px / width * 2 - np.array([1.0, height / width])
