"""The camera of a clip: its focal length, where that is known from, and what bends its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from pose3d.body.geometry import ASSUMED_FOCAL, assumed_focal_px

Matrix: TypeAlias = tuple[tuple[float, float, float], ...]

FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)
"""By the diagonal (43.27 mm) a focal length is equivalent to one of 35-mm film: CIPA DCG-001."""
_COEFFICIENTS = (0, 4, 5, 8, 12, 14)  # that OpenCV's distortion may have
_ROUNDS, _ENOUGH = 100, 1e-9  # of undoing distortion; the second in focal lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """The camera that ``joints_cam_m`` and ``root_cam_m`` are in front of.

    Without ``matrix_px`` it is a pinhole of ``focal_px`` behind the middle of the picture. With it,
    pixels follow from ``matrix_px`` and ``distortion`` as OpenCV defines them (but the first pixel's
    centre is 0.5, 0.5, as everywhere in the record), and ``focal_px`` is the mean of both axes.
    """

    focal_px: float
    focal_source: str  # ``given``, ``sidecar``, ``metadata`` or ``assumed``
    focal_from: str = ""  # which option, file or tag, in words
    matrix_px: Matrix | None = None  # 3 x 3, of the picture as shown
    distortion: tuple[float, ...] = ()  # k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]]
    up_cam: tuple[float, float, float] | None = None  # unit vector of "up" in camera axes
    ground_m: float | None = None  # camera centre above the ground plane along up_cam

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ValueError(f"focal_px is {self.focal_px}")
        if self.matrix_px is not None:
            _check_matrix(np.asarray(self.matrix_px, np.float64))
        if len(self.distortion) not in _COEFFICIENTS or not np.isfinite(self.distortion).all():
            raise ValueError(f"distortion is {self.distortion}")
        if self.distortion and self.matrix_px is None:
            raise ValueError("distortion has no matrix_px")

    def straighten(
        self, points_px: Float[np.ndarray, "*lead 2"], size_wh: tuple[int, int]
    ) -> Float[np.ndarray, "*lead 2"]:
        """Moves pixels to where a pinhole of ``focal_px`` behind the middle would see them; NaN stays.

        Outside of the picture, where nobody measured the distortion, a point moves as the nearest
        point of the edge does.
        """
        if self.matrix_px is None:
            return points_px
        matrix = np.array(self.matrix_px)
        focal_xy = matrix[[0, 1], [0, 1]]
        inside = np.clip(points_px.astype(np.float64), 0, size_wh)
        slopes = self._undistort((inside - matrix[:2, 2]) / focal_xy)
        slopes = slopes + (points_px - inside) / focal_xy
        return (slopes * self.focal_px + np.array(size_wh) / 2).astype(points_px.dtype)

    def _undistort(self, slopes: np.ndarray) -> np.ndarray:
        """Returns the slopes (x / z, y / z) that the lens bends to the given ones."""
        if not any(self.distortion):
            return slopes
        # Not cv2.undistortPoints: with its five steps it is off by pixels, and whether more can be
        # asked for depends on its version.
        bent = np.nan_to_num(slopes)
        straight = bent
        # Distortion that cannot be undone overflows; sidecars refuse it.
        with np.errstate(all="ignore"):
            for _ in range(_ROUNDS):
                off = bent - bend(straight, self.distortion)
                straight = straight + off
                if np.abs(off).max(initial=0.0) < _ENOUGH:
                    break
        return np.where(np.isfinite(slopes), straight, np.nan)

    def describe(self) -> str:
        """Returns the focal length and where it is known from, in one line."""
        bent = ", principal point, distortion" if self.matrix_px is not None else ""
        return f"focal length {self.focal_px:.0f} px{bent}: {self.focal_from or self.focal_source}"


def bend(slopes: Float[np.ndarray, "*lead 2"], distortion: tuple[float, ...]) -> np.ndarray:
    """Returns the slopes after a lens with OpenCV's coefficients."""
    import cv2

    points = np.concatenate([slopes, np.ones_like(slopes[..., :1])], -1).reshape(-1, 1, 3)
    if not len(points):
        return slopes
    nothing = np.zeros(3)
    bent, _ = cv2.projectPoints(points, nothing, nothing, np.eye(3), np.array(distortion))
    return bent.reshape(slopes.shape)


def _check_matrix(matrix: np.ndarray) -> None:
    fits = matrix.shape == (3, 3) and bool(np.isfinite(matrix).all())
    if not fits or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(f"matrix_px is {matrix.tolist()}")
    if matrix[0, 1] != 0 or matrix[1, 0] != 0 or matrix[2].tolist() != [0, 0, 1]:
        raise ValueError(
            f"matrix_px is no [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]: {matrix.tolist()}"
        )


ASSUMED_WARNING = (
    f"the focal length is not known and assumed as {ASSUMED_FOCAL} of the picture's longer side, and "
    "distances scale with it (phones have 0.66 to 0.75, their ultrawide lenses 0.45). Give "
    "--focal-35mm or --focal-px, or put NAME.camera.json beside the clip"
)
"""What an assumed focal length costs, for whoever asked for places."""


def assumed_camera(size_wh: tuple[int, int]) -> Camera:
    """Returns what is assumed of an unknown camera."""
    return Camera(
        focal_px=assumed_focal_px(size_wh),
        focal_source="assumed",
        focal_from=f"assumed, {ASSUMED_FOCAL} of the longer side",
    )


def focal_from_35mm(focal_mm: float, size_wh: tuple[int, int]) -> float:
    """Returns pixels for a focal length in 35-mm terms, of the picture as shown (square pixels)."""
    return focal_mm / FULL_FRAME_DIAGONAL_MM * math.hypot(*size_wh)
