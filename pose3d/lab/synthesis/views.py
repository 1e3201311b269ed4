"""The cameras that film synthetic people: those of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pose3d.lab.datasets.cameras import LONG_SIDE_PX, draw_shots

Array = NDArray[np.float64]

_LONG_SIDES_PX = (432, 512, 592)
_WELL_FILMED_SHARE, _MOSTLY_SEEN, _SOMEWHAT_SEEN = 0.8, 0.95, 0.6
_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A camera through time; its axis meets the picture's middle."""

    size_wh: tuple[int, int]
    focal_px: float
    cam_from_world: Array  # ``(frame, 4, 4)``; world Z up, camera x right, y down, z forward
    heading_rad: Array  # ``(frame,)`` where the pelvis faces: 0 towards the camera

    @property
    def centre_m(self) -> Array:
        """Where the camera stands, ``(3,)``."""
        first = self.cam_from_world[0]
        return -first[:3, :3].T @ first[:3, 3]

    def elevation_deg(self, points_m: Array) -> Array:
        """Returns how far above the horizontal the camera is, seen from one point a frame."""
        turn, shift = self.cam_from_world[:, :3, :3], self.cam_from_world[:, :3, 3]
        way = -np.einsum("fji,fj->fi", turn, shift) - points_m
        return np.degrees(np.arctan2(way[:, 2], np.linalg.norm(way[:, :2], axis=-1)))

    def see(self, points_m: Array) -> Array:
        """Returns world points ``(frame, point, 3)`` in camera axes."""
        turn, shift = self.cam_from_world[:, :3, :3], self.cam_from_world[:, None, :3, 3]
        return np.einsum("fij,fpj->fpi", turn, points_m) + shift

    def project(self, points_cam_m: Array) -> Array:
        """Returns pixels ``(..., 2)`` of points in camera axes."""
        middle = np.array(self.size_wh) / 2
        z = np.maximum(points_cam_m[..., 2:], 1e-3)
        return points_cam_m[..., :2] / z * self.focal_px + middle


def draw_view(joints_m: Array, rng: np.random.Generator) -> View:
    """Draws a camera for ``(frame, 17, 3)``, Z up; most see most of the person most of the time."""
    least = _MOSTLY_SEEN if rng.random() < _WELL_FILMED_SHARE else _SOMEWHAT_SEEN
    views = [_draw_any(joints_m, rng)]
    while _seen_share(views[-1], joints_m) < least and len(views) < _TRIES:
        views.append(_draw_any(joints_m, rng))
    return max(views, key=lambda view: min(_seen_share(view, joints_m), least))


def _seen_share(view: View, joints_m: Array) -> float:
    points = view.project(view.see(joints_m))
    return float(((points > 0) & (points < view.size_wh)).all(-1).mean())


def _draw_any(joints_m: Array, rng: np.random.Generator) -> View:
    # Four more points show how the camera is turned in each frame.
    reach = 0.1
    marks = joints_m[:, :1].mean(0) + np.concatenate([np.zeros((1, 3)), reach * np.eye(3)])
    marks = np.broadcast_to(marks, (len(joints_m), 4, 3))
    points = torch.from_numpy(np.concatenate([joints_m, marks], 1)[None]).float()
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    shots = draw_shots(points, generator)
    seen = shots.joints_cam_m[0, :, joints_m.shape[1] :].double().numpy()
    left, _, right = np.linalg.svd(np.swapaxes(seen[:, 1:] - seen[:, :1], 1, 2))
    matrix = np.tile(np.eye(4), (len(joints_m), 1, 1))
    matrix[:, :3, :3] = left @ right
    matrix[:, :3, 3] = seen[:, 0] - matrix[:, :3, :3] @ marks[0, 0]
    scale = float(rng.choice(_LONG_SIDES_PX)) / LONG_SIDE_PX
    width, height = (2 * round(float(side) * scale / 2) for side in shots.size_wh[0])
    return View(
        size_wh=(width, height),
        focal_px=float(shots.focal_px[0]) * scale,
        cam_from_world=matrix,
        heading_rad=shots.heading_rad[0].double().numpy(),
    )
