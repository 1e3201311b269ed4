"""Virtual cameras: where a phone, webcam or broadcast camera would stand and how it would move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

ASPECTS = ((16, 9), (9, 16), (4, 3), (1, 1), (3, 4))
_ASPECT_SHARE = (0.45, 0.25, 0.12, 0.10, 0.08)
LONG_SIDE_PX = 1280.0
HIGH_SHARE = 1 / 8
MOVING_SHARE = 0.3
FOLLOWING_SHARE = 0.5  # of the moving ones: those that turn after the person
NEAREST_M = 0.4  # no joint comes nearer to the lens
LOWEST_M = 0.15  # no camera stands lower above the floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """What cameras see. Camera axes: x right, y down, z forward."""

    joints_cam_m: Tensor  # ``(batch, frame, joint, 3)``
    points_px: Tensor  # ``(batch, frame, joint, 2)``
    size_wh: Tensor  # ``(batch, 2)`` px
    focal_px: Tensor  # ``(batch,)``
    heading_rad: Tensor  # ``(batch, frame)`` where the pelvis faces: 0 towards the camera
    elevation_rad: Tensor  # ``(batch,)``


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSetups:
    """Where cameras stand and what they are: ``(batch,)``, ``size_wh`` and ``place (batch, 2)``."""

    size_wh: Tensor  # px
    focal_px: Tensor
    distance_m: Tensor  # to the middle of the person's path
    yaw_rad: Tensor  # from which side the person is seen
    elevation_rad: Tensor  # of the camera above the horizontal, seen from the person
    roll_rad: Tensor  # about the viewing direction
    place: Tensor  # of the person's middle, in widths and heights from the picture's centre


def draw_setups(batch: int, rng: torch.Generator) -> CameraSetups:
    """Draws cameras on the device of ``rng``.

    The short side sees 25 to 75 degrees, the person fills 0.2 to 1.2 of the height; elevation is
    mostly -10 to 30 degrees, of one in eight 20 to 60; roll some degrees.
    """
    device = rng.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, device=device, generator=rng)

    def normal(std: float) -> Tensor:
        return std * torch.randn(batch, device=device, generator=rng)

    share = torch.tensor(_ASPECT_SHARE, device=device)
    aspect = torch.tensor(ASPECTS, device=device, dtype=torch.float32)[
        torch.multinomial(share, batch, replacement=True, generator=rng)
    ]
    size_wh = aspect / aspect.amax(1, keepdim=True) * LONG_SIDE_PX
    fov = torch.deg2rad(torch.exp(uniform(3.22, 4.32)))  # 25 to 75 degrees
    focal = size_wh.amin(1) / 2 / torch.tan(fov / 2) * uniform(0.9, 1.1)
    share_of_height = torch.exp(uniform(-1.6, 0.18))
    yaw = uniform(-torch.pi, torch.pi)
    elevation = torch.deg2rad((6 + normal(13.0)).clamp(-25, 60))
    high = torch.rand(batch, device=device, generator=rng) < HIGH_SHARE
    elevation = torch.where(high, torch.deg2rad(uniform(20.0, 60.0)), elevation)
    return CameraSetups(
        size_wh=size_wh,
        focal_px=focal,
        distance_m=(1.7 * focal / (size_wh[:, 1] * share_of_height)).clamp(1.3, 14.0),
        yaw_rad=yaw,
        elevation_rad=elevation,
        roll_rad=torch.deg2rad(normal(3.0)),
        place=(torch.rand(batch, 2, device=device, generator=rng) - 0.5) * 0.75,
    )


def draw_shots(joints_world_m: Tensor, rng: torch.Generator) -> Shots:
    """Films each window ``(batch, frame, joint, 3)``, Z up, floor at 0, with its own camera.

    Cameras that people would walk into stand further back; those that would lose them do not turn.
    """
    setups = draw_setups(len(joints_world_m), rng)
    for _ in range(5):  # further back is lower where the camera looks up
        setups = replace(setups, elevation_rad=_above_floor(joints_world_m, setups))
        nearest = _stand_before(joints_world_m, setups)[..., 2].amin((1, 2))
        back = (NEAREST_M - nearest).clamp(min=0) / _sight(setups)[:, 2]
        setups = replace(setups, distance_m=setups.distance_m + back)
    joints = _stand_before(joints_world_m, setups)
    turned = _turn(joints, _draw_turns(joints, rng))
    clear = turned[..., 2].amin((1, 2)) >= NEAREST_M
    return _take(torch.where(clear[:, None, None, None], turned, joints), setups)


def film(joints_world_m: Tensor, setups: CameraSetups) -> Shots:
    """Films windows ``(batch, frame, joint, 3)``, Z up, with given cameras that stand still."""
    return _take(_stand_before(joints_world_m, setups), setups)


def _stand_before(joints_world_m: Tensor, setups: CameraSetups) -> Tensor:
    world_to_view = _orbit_rotation(setups.yaw_rad, setups.elevation_rad, setups.roll_rad)
    centre = joints_world_m[:, :, 0].mean(1, keepdim=True)[:, :, None]
    centred = torch.einsum("bij,btnj->btni", world_to_view, joints_world_m - centre)
    # The person's middle lies anywhere in the picture; the camera turns away from it accordingly.
    ray = _sight(setups)
    turn = _rotation_between(ray)  # maps +z onto the ray
    away = (ray * setups.distance_m[:, None])[:, None, None]
    return torch.einsum("bij,btnj->btni", turn, centred) + away


def _sight(setups: CameraSetups) -> Tensor:
    """Returns unit vectors ``(batch, 3)`` from cameras to the person's middle, camera axes."""
    slope = setups.place * setups.size_wh / setups.focal_px[:, None]
    ray = torch.cat([slope, torch.ones_like(slope[:, :1])], 1)
    return ray / ray.norm(dim=1, keepdim=True)


def _above_floor(joints_world_m: Tensor, setups: CameraSetups) -> Tensor:
    """Returns the elevations, raised where the camera would stand lower than ``LOWEST_M``."""
    height = joints_world_m[:, :, 0, 2].mean(1)
    least = ((LOWEST_M - height) / setups.distance_m).clamp(-1, 0.9).asin()
    return torch.maximum(setups.elevation_rad, least)


def _take(joints_cam_m: Tensor, setups: CameraSetups) -> Shots:
    """Projects the joints and notes where people face; ``film`` may bring them too near."""
    z = joints_cam_m[..., 2:].clamp(min=0.25)
    focal, middle = setups.focal_px[:, None, None, None], setups.size_wh[:, None, None] / 2
    # Hips from right to left, turned a quarter about the vertical, is where the pelvis faces.
    across = joints_cam_m[:, :, 4] - joints_cam_m[:, :, 1]
    return Shots(
        joints_cam_m=joints_cam_m,
        points_px=joints_cam_m[..., :2] / z * focal + middle,
        size_wh=setups.size_wh,
        focal_px=setups.focal_px,
        heading_rad=torch.atan2(across[..., 2], across[..., 0]),
        elevation_rad=setups.elevation_rad,
    )


def _orbit_rotation(yaw: Tensor, elevation: Tensor, roll: Tensor) -> Tensor:
    """Returns the rotation from the world (Z up) to a camera that looks at its origin."""
    cy, sy, ce, se = yaw.cos(), yaw.sin(), elevation.cos(), elevation.sin()
    forward = torch.stack([-ce * cy, -ce * sy, -se], -1)
    right = torch.stack([-sy, cy, torch.zeros_like(cy)], -1)
    down = torch.linalg.cross(forward, right)
    level = torch.stack([right, down, forward], 1)
    zero, one = torch.zeros_like(roll), torch.ones_like(roll)
    about_axis = torch.stack(
        [roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one], -1
    ).view(-1, 3, 3)
    return about_axis @ level


def _rotation_between(ray: Tensor) -> Tensor:
    """Returns the smallest rotation that maps +z onto unit vectors ``(batch, 3)``."""
    x, y, z = ray.unbind(-1)
    k = 1 / (1 + z)
    return torch.stack(
        [1 - x * x * k, -x * y * k, x, -x * y * k, 1 - y * y * k, y, -x, -y, z], -1
    ).view(-1, 3, 3)


def _draw_turns(joints: Tensor, rng: torch.Generator) -> Tensor:
    """Draws turns right and down, ``(batch, frame, 2)`` radians; 0 for seven in ten."""
    b, frames, device = len(joints), joints.shape[1], joints.device
    kind = torch.rand(b, 1, device=device, generator=rng)
    time = torch.linspace(-0.5, 0.5, frames, device=device)
    pan = torch.deg2rad(torch.randn(b, 2, device=device, generator=rng) * 6.0)
    swing = torch.deg2rad(torch.randn(b, 2, device=device, generator=rng) * 0.5)
    cycles = 1 + 3 * torch.rand(b, 2, device=device, generator=rng)
    phase = 2 * torch.pi * torch.rand(b, 2, device=device, generator=rng)
    wave = torch.sin(2 * torch.pi * cycles[:, None] * time[:, None] + phase[:, None])
    follows = (kind < MOVING_SHARE * FOLLOWING_SHARE).float()[:, None]
    moves = (kind < MOVING_SHARE).float()[:, None]
    return (pan[:, None] * time[:, None] + swing[:, None] * wave) * moves + _follow(
        joints[:, :, 0]
    ) * follows


def _follow(pelvis: Tensor) -> Tensor:
    """Returns turns that keep the pelvis ``(batch, frame, 3)`` in its place, lagging like hands."""
    x, y, z = pelvis.unbind(-1)
    z = z.clamp(min=NEAREST_M)
    bearing = torch.atan2(x, z)
    pan = _smooth(bearing)
    pan = pan - pan.mean(1, keepdim=True)
    # Tilting comes after panning, and sees the pelvis at the bearing that is left.
    tilt = _smooth(torch.atan2(y, torch.hypot(x, z) * (bearing - pan).cos()))
    return torch.stack([pan, tilt - tilt.mean(1, keepdim=True)], -1)


def _smooth(angle: Tensor) -> Tensor:
    """Returns the mean of ``(batch, frame)`` over a third of the window around each frame."""
    reach = angle.shape[1] // 6
    if not reach:
        return angle
    padded = torch.nn.functional.pad(angle[:, None], (reach, reach), "replicate")
    return torch.nn.functional.avg_pool1d(padded, 2 * reach + 1, 1)[:, 0]


def _turn(points: Tensor, angles: Tensor) -> Tensor:
    x, y, z = points.unbind(-1)
    ca, sa, ce, se = (v[:, :, None] for a in angles.unbind(-1) for v in (a.cos(), a.sin()))
    x, z = ca * x - sa * z, sa * x + ca * z
    y, z = ce * y - se * z, se * y + ce * z
    return torch.stack([x, y, z], -1)
