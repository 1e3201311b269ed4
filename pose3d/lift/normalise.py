"""Normalisation: from pixels to what a lifter was trained on, and back to camera axes."""

from __future__ import annotations

import torch
from torch import Tensor

from pose3d.body.skeletons import H36M17

PUBLISHED_NORMALISATIONS = ("screen", "short-side", "crop")
NORMALISATIONS = ("person", *PUBLISHED_NORMALISATIONS)
UNITS = ("metres", "picture")

BODY_LENGTH_M = 1.34
"""Thigh + shank + trunk (pelvis, spine, thorax) of the 1.70 m body that lifters answer for."""

_TRUNK = [
    H36M17.index[f"{side}_{part}"] for part in ("hip", "shoulder") for side in ("left", "right")
]
_INPUT_SCALE = 0.5  # root mean square distance from the centre after normalisation


def screen_normalise(keypoints_px: Tensor, size_wh: Tensor) -> Tensor:
    """Maps x of ``(batch, frame, joint, 2)`` to -1..1 over the picture's width, y by the same scale.
    Reference: VideoPose3D (Pavllo et al., CVPR 2019), ``normalize_screen_coordinates``."""
    w = size_wh[:, None, None, :1]
    h = size_wh[:, None, None, 1:]
    return keypoints_px / w * 2 - torch.cat([torch.ones_like(w), h / w], -1)


def short_side_normalise(keypoints_px: Tensor, size_wh: Tensor) -> Tensor:
    """Maps the shorter side of the picture to -1..1 about its middle, the longer by the same scale.
    Reference: ``read_input`` in ``lib/data/dataset_wild.py`` of Walter0807/MotionBERT (pixels)."""
    size = size_wh[:, None, None]
    return (keypoints_px - size / 2) / (size.amin(-1, keepdim=True) / 2)


def view_rotation(direction: Tensor) -> Tensor:
    """Returns ``view_from_cam`` ``(..., 3, 3)``, turning ``direction`` ``(..., 3)`` onto +z.

    Without roll: first about the camera's vertical axis, then about its new horizontal one; z > 0.
    """
    x, y, z = direction.unbind(-1)
    flat = (x * x + z * z).sqrt()
    norm = (flat * flat + y * y).sqrt()
    cos_a, sin_a = z / flat, x / flat
    cos_b, sin_b = flat / norm, y / norm
    zero = torch.zeros_like(x)
    yaw = torch.stack([cos_a, zero, -sin_a, zero, zero + 1, zero, sin_a, zero, cos_a], -1)
    pitch = torch.stack([zero + 1, zero, zero, zero, cos_b, -sin_b, zero, sin_b, cos_b], -1)
    shape = (*x.shape, 3, 3)
    return pitch.view(shape) @ yaw.view(shape)


def person_normalise(
    keypoints_px: Tensor, score: Tensor, size_wh: Tensor, focal_px: Tensor
) -> tuple[Tensor, Tensor]:
    """Turns one virtual camera a window towards the person, and scales the person to unit size.
    Finite pixels ``(batch, frame, 17, 2)`` and ``score`` ``(batch, frame, 17)`` 0..1 (0: does not
    count, becomes 0, 0); ``size_wh`` ``(batch, 2)`` and ``focal_px`` ``(batch,)`` in pixels.
    Returns ``(batch, frame, 17, 3)`` (x, y, confidence) and ``view_from_cam`` ``(batch, 3, 3)``."""
    f = focal_px[:, None, None, None]
    slope = (keypoints_px - size_wh[:, None, None, :] / 2) / f
    rays = torch.cat([slope, torch.ones_like(slope[..., :1])], -1)
    weight = score + 1e-3 * (score > 0) + 1e-6
    trunk = weight[..., _TRUNK]
    centre = (rays[..., _TRUNK, :] * trunk[..., None]).sum((1, 2)) / trunk.sum((1, 2))[:, None]
    view_from_cam = view_rotation(centre)
    turned = torch.einsum("bij,bfnj->bfni", view_from_cam, rays)
    # Points far beyond the picture's edge may come to lie beside or behind the virtual camera.
    flat = turned[..., :2] / turned[..., 2:].clamp(min=0.1)
    total = weight.sum(-1, keepdim=True)
    middle = (flat * weight[..., None]).sum(2, keepdim=True) / total[..., None]
    spread = (((flat - middle) ** 2).sum(-1) * weight).sum(-1) / total[..., 0]  # batch frame
    radius = spread.sqrt().mean(1).clamp(min=1e-6)
    flat = flat * (_INPUT_SCALE / radius)[:, None, None, None]
    seen = (score > 0).to(flat.dtype)
    return torch.cat([flat * seen[..., None], score[..., None]], -1), view_from_cam


def scale_to_stature(joints: Tensor) -> Tensor:
    """Scales every frame of ``(batch, frame, 17, 3)`` in picture units to ``BODY_LENGTH_M``.
    Reference: ``2.5d_factor`` in ``train.py`` of Walter0807/MotionBERT.
    Differs: the factor of a frame comes from the length of the body, not from the true depth."""
    length = torch.zeros_like(joints[..., 0, 0])  # batch frame
    for a, b in _BODY:
        bone = (joints[..., b, :] - joints[..., a, :]).norm(dim=-1)
        length = length + bone / (2 if (a, b) in _LEGS else 1)
    return joints * (BODY_LENGTH_M / length.clamp(min=1e-6))[..., None, None]


_LEGS = [
    (H36M17.index[f"{side}_{a}"], H36M17.index[f"{side}_{b}"])
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"))
]
_BODY = [
    *_LEGS,
    (H36M17.index["pelvis"], H36M17.index["spine"]),
    (H36M17.index["spine"], H36M17.index["thorax"]),
]


def to_camera(joints: Tensor, view_from_cam: Tensor) -> Tensor:
    """Turns joints ``(batch, frame, joint, 3)`` from the virtual camera's axes to the camera's."""
    return torch.einsum("bji,bfnj->bfni", view_from_cam, joints)
