"""Poses that nobody recorded: bodies put together from two recordings, bent further, thrown over.

Joints are ``(batch, frame, 23, 3)``, metres, Z up; changes are drawn once a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pose3d.lab.datasets.motions import MOCAP_JOINTS

_INDEX = {name: i for i, name in enumerate(MOCAP_JOINTS)}
_PELVIS = _INDEX["pelvis"]
_HIPS = (_INDEX["right_hip"], _INDEX["left_hip"])


_UPPER = [
    i
    for i, name in enumerate(MOCAP_JOINTS)
    if i != _PELVIS and not any(part in name for part in ("hip", "knee", "ankle", "toe", "heel"))
]
_CHAINS = [
    [_INDEX[f"{side}_{part}"] for part in parts]
    for parts in (("hip", "knee", "ankle", "toe", "heel"), ("shoulder", "elbow", "wrist"))
    for side in ("left", "right")
]
_WHOLE_LIMBS = [(first, below) for first, *below in _CHAINS]  # turns about, what turns with it
# joint above, hinge, what hangs on it
_HINGES = [(first, hinge, below) for first, hinge, *below in _CHAINS]
_LIMB_DEG, _HINGE_DEG, _TRUNK_DEG = 27.0, 25.0, 15.0
_LEAST_BEND_DEG, _MOST_BEND_DEG = 12.0, 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseOptions:
    """How many windows get poses that nobody recorded."""

    exchange: float = 0.0  # share whose upper body comes from another window
    bend: float = 0.0  # share in which limbs, hinges and trunk turn further, each with even odds
    tumble: float = 0.0  # share turned about a level axis as a whole


def vary_poses(joints: Tensor, options: PoseOptions, rng: torch.Generator) -> Tensor:
    """Makes new poses of recorded ones."""
    if options.exchange:
        joints = exchange_upper_bodies(joints, options.exchange, rng)
    if options.bend:
        joints = bend_bodies(joints, options.bend, rng)
    if options.tumble:
        joints = tumble_bodies(joints, options.tumble, rng)
    return joints


def exchange_upper_bodies(joints: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Puts upper bodies of other windows on some, turned about the vertical to face alike."""
    device = joints.device
    order = torch.randperm(len(joints), device=device, generator=rng)
    other = joints[order]
    turn = _about_z(_facing(joints) - _facing(other))  # batch frame 3 3
    upper = other[:, :, _UPPER] - other[:, :, :1]
    out = joints.clone()
    out[:, :, _UPPER] = torch.einsum("btij,btnj->btni", turn, upper) + joints[:, :, :1]
    return _choose(out, joints, share, rng)


def bend_bodies(joints: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Turns limbs and trunk of some windows about axes that follow the body's facing, and bends
    knees and elbows as far as a body can; each part with even odds, by one angle a window."""
    facing = _about_z(_facing(joints))
    out = joints
    for pivot, moved in _WHOLE_LIMBS:
        out = _turn(out, pivot, moved, facing, _LIMB_DEG, rng)
    out = _turn(out, _PELVIS, _UPPER, facing, _TRUNK_DEG, rng)
    for above, hinge, moved in _HINGES:
        out = _bend(out, above, hinge, moved, rng)
    return _choose(out, joints, share, rng)


def tumble_bodies(joints: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Turns some windows about a level axis through the pelvis, half by at most 60 degrees."""
    b, device = len(joints), joints.device
    most_deg = torch.where(torch.rand(b, device=device, generator=rng) < 0.5, 60.0, 180.0)
    angle = torch.deg2rad(most_deg) * (2 * torch.rand(b, device=device, generator=rng) - 1)
    heading = 2 * math.pi * torch.rand(b, device=device, generator=rng)
    axis = torch.stack([heading.cos(), heading.sin(), torch.zeros_like(heading)], -1)
    middle = joints[:, :1, :1]
    turned = torch.einsum("bij,btnj->btni", _rotation(axis, angle), joints - middle) + middle
    return _choose(turned, joints, share, rng)


def _turn(
    joints: Tensor,
    pivot: int,
    moved: list[int],
    facing: Tensor,
    std_deg: float,
    rng: torch.Generator,
) -> Tensor:
    b, device = len(joints), joints.device
    axis = torch.randn(b, 3, device=device, generator=rng)
    angle = math.radians(std_deg) * torch.randn(b, device=device, generator=rng)
    own = _rotation(axis / axis.norm(dim=-1, keepdim=True), angle)[:, None]  # batch 1 3 3
    return _rotate_half(joints, pivot, moved, facing @ own @ facing.mT, rng)


def _bend(joints: Tensor, above: int, hinge: int, moved: list[int], rng: torch.Generator) -> Tensor:
    """Bends knee or elbow in every second window; nearly straight ones have no known hinge."""
    b, device = len(joints), joints.device
    upper = joints[:, :, hinge] - joints[:, :, above]
    lower = joints[:, :, moved[0]] - joints[:, :, hinge]
    axis = torch.linalg.cross(upper, lower)  # batch frame 3
    sine = axis.norm(dim=-1)
    bent = torch.atan2(sine, (upper * lower).sum(-1))
    low, high = math.radians(_LEAST_BEND_DEG), math.radians(_MOST_BEND_DEG)
    angle = math.radians(_HINGE_DEG) * torch.randn(b, 1, device=device, generator=rng)
    change = (bent + angle).clamp(low, high) - bent
    change = torch.where((bent > low) & (bent < high), change, 0.0)
    rotation = _rotation(axis / sine.clamp(min=1e-6)[..., None], change)
    return _rotate_half(joints, hinge, moved, rotation, rng)


def _rotate_half(
    joints: Tensor, pivot: int, moved: list[int], rotation: Tensor, rng: torch.Generator
) -> Tensor:
    """Turns some joints about ``pivot`` in every second window."""
    centre = joints[:, :, pivot, None]
    out = joints.clone()
    around = torch.einsum("btij,btnj->btni", rotation, joints[:, :, moved] - centre)
    out[:, :, moved] = around + centre
    return _choose(out, joints, 0.5, rng)


def _choose(changed: Tensor, joints: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Takes some windows from ``changed``, the others from ``joints``."""
    chosen = torch.rand(len(joints), device=joints.device, generator=rng) < share
    return torch.where(chosen[:, None, None, None], changed, joints)


def _facing(joints: Tensor) -> Tensor:
    """Returns the angle about the vertical of the line through the hips, ``(batch, frame)``."""
    right, left = _HIPS
    across = joints[:, :, left] - joints[:, :, right]
    return torch.atan2(across[..., 1], across[..., 0])


def _about_z(angle: Tensor) -> Tensor:
    axis = torch.zeros(*angle.shape, 3, device=angle.device, dtype=angle.dtype)
    axis[..., 2] = 1
    return _rotation(axis, angle)


def _rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """Returns rotations ``(..., 3, 3)`` about unit axes ``(..., 3)`` (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    s, c = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return (
        torch.eye(3, device=axis.device, dtype=axis.dtype) + s * cross + (1 - c) * (cross @ cross)
    )
