"""Where people are filmed: rooms and yards of boxes with patterns, and their light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.lab.synthesis.surfaces import Surface

Array = NDArray[np.float64]

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_SIDES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
_NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)
_WALL_GAP_M = 0.6
_FAR_M = 60.0
FRONT_SHARE = 0.1  # of the places: something hides the legs


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A box that stands in the world, or a room seen from within."""

    centre_m: Array
    half_m: Array  # half its edges
    yaw_rad: float  # about the vertical
    surface: Surface
    inside: bool = False  # its inner sides are seen
    sides: tuple[int, ...] = (0, 1, 2, 3, 4, 5)  # that there are; 4: floor, 5: ceiling

    def mesh(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """Returns corners ``(24, 3)``, normals ``(24, 3)`` and triangles ``(12, 3)``."""
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        sides = list(self.sides)
        corners = (_CORNERS[_SIDES[sides]] * self.half_m).reshape(-1, 3) @ turn.T + self.centre_m
        normals = np.repeat(_NORMALS[sides], 4, 0) @ turn.T * (-1 if self.inside else 1)
        first = 4 * np.arange(len(sides))[:, None]
        triangles = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
        return corners, normals, triangles


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A room or a yard."""

    blocks: list[Block]  # floor and walls among them
    light: Array  # unit vector towards the sun or lamp
    key: Array  # RGB strength of the light from there
    ambient: Array  # and from all around
    sky: Array  # RGB in 0..1 where nothing is
    front: bool  # something stands before the person's legs


def draw_place(path_m: Array, camera_m: Array, rng: np.random.Generator) -> Place:
    """Draws a place in which nothing is in the way of who goes along ``path_m (frame, 3)``."""
    middle = path_m.mean(0) * [1, 1, 0]
    room = rng.random() < 0.6
    reach = max(float(np.linalg.norm(path_m[:, :2] - middle[:2], axis=1).max()) + 0.8, 1.5)
    away = float(np.linalg.norm(camera_m[:2] - middle[:2]))
    blocks = [_floor(middle, rng)]
    if room:
        half = np.array([max(reach, away) + _WALL_GAP_M + rng.uniform(0, 3) for _ in range(2)])
        height = max(camera_m[2] + 0.3, rng.uniform(2.3, 3.5), float(path_m[:, 2].max()) + 1.2)
        centre, half_m = middle + [0, 0, height / 2], np.array([*half, height / 2])
        paint, yaw = _paint(rng), _yaw(rng)
        walls = Block(
            centre_m=centre,
            half_m=half_m,
            yaw_rad=yaw,
            surface=paint,
            inside=True,
            sides=(0, 1, 2, 3, 5),
        )
        blocks.append(walls)
    for _ in range(rng.integers(0, 9 if room else 14)):
        block = _furniture(middle, reach, away, camera_m, room, rng)
        if block is not None:
            blocks.append(block)
    front = bool(rng.random() < FRONT_SHARE)
    if front:
        blocks.append(_before(middle, camera_m, rng))
    light = rng.normal(0, 1, 3)
    light[2] = abs(light[2]) + rng.uniform(0.4, 1.5)
    warm = rng.uniform(-0.1, 0.1)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    strength = rng.uniform(0.35, 0.9)
    return Place(
        blocks=blocks,
        light=light / np.linalg.norm(light),
        key=tint * strength,
        ambient=(2 - tint) * rng.uniform(0.25, 0.6) * (1.15 - 0.5 * strength),
        sky=rng.uniform([0.5, 0.6, 0.7], [0.9, 0.95, 1.0]) * rng.uniform(0.5, 1),
        front=front,
    )


def _paint(rng: np.random.Generator) -> Surface:
    ground = rng.uniform(0.1, 0.95, 3)
    ground = ground.mean() + rng.uniform(0.1, 0.6) * (ground - ground.mean())
    other = np.clip(ground + rng.normal(0, 0.12, 3), 0, 1)
    pattern = int(rng.choice(5, p=[0.3, 0.1, 0.15, 0.3, 0.15]))
    return Surface(np.stack([ground, other]), pattern, float(rng.uniform(0.08, 0.8)))


def _yaw(rng: np.random.Generator) -> float:
    return float(rng.uniform(-np.pi, np.pi))


def _floor(middle: Array, rng: np.random.Generator) -> Block:
    half, below = np.array([_FAR_M, _FAR_M, 0.05]), np.array([0, 0, -0.05])
    yaw, paint = _yaw(rng), _paint(rng)
    return Block(centre_m=middle + below, half_m=half, yaw_rad=yaw, surface=paint, sides=(5,))


def _furniture(
    middle: Array, reach: float, away: float, camera_m: Array, room: bool, rng: np.random.Generator
) -> Block | None:
    """Returns a box beside or behind the person's way; None: it would be in the way."""
    half = np.array([rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.7), rng.uniform(0.15, 1.1)])
    if not room:
        half *= rng.uniform(1, 3)
    distance = reach + half[:2].max() + rng.uniform(0, away if room else 2 * away + 5)
    angle = _yaw(rng)
    centre = middle + [np.cos(angle) * distance, np.sin(angle) * distance, half[2]]
    wide = half[:2].max() * 1.5 + 0.8
    to_camera, to_box = (camera_m - middle)[:2], (centre - middle)[:2]
    if away > 0.1:
        ahead = to_camera @ to_box / away
        aside = abs(to_camera[0] * to_box[1] - to_camera[1] * to_box[0]) / away
        if ahead > 0 and aside < wide + reach:
            return None
    return Block(centre_m=centre, half_m=half, yaw_rad=_yaw(rng), surface=_paint(rng))


def _before(middle: Array, camera_m: Array, rng: np.random.Generator) -> Block:
    to_camera = (camera_m - middle) * [1, 1, 0]
    away = float(np.linalg.norm(to_camera))
    share = rng.uniform(0.3, 0.6)
    half = np.array([rng.uniform(0.15, 0.3), rng.uniform(0.4, 1.2), rng.uniform(0.2, 0.45)])
    half *= min(1.0, away / 2.5)
    centre = middle + to_camera * share + [0, 0, half[2]]
    yaw = float(np.arctan2(to_camera[1], to_camera[0]))
    return Block(centre_m=centre, half_m=half, yaw_rad=yaw, surface=_paint(rng))
