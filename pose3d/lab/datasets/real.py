"""Windows of real detector tracks with 3D truth, as they are or re-projected with their errors.

There are few such tracks, and a network would learn by heart what the detector did with just this pose
from just this side. Re-projected, the person is turned a little, has other proportions and stands
elsewhere, and the detector's errors move along.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose3d.body.skeletons import H36M17
from pose3d.lab.datasets.cameras import NEAREST_M
from pose3d.lab.datasets.clip_arrays import reflect_times
from pose3d.lab.datasets.motions import body_length
from pose3d.lab.datasets.noise import RealTracks
from pose3d.lab.datasets.parametric import person_size
from pose3d.lift.normalise import BODY_LENGTH_M

_BONES = ("hip", "knee", "ankle", "spine", "thorax", "head", "shoulder", "elbow", "wrist")
_HEAD = _BONES.index("head")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprojectionOptions:
    """Re-projection augmentation: how far a real window differs from what it was.

    Args:
        share: of the windows that are re-projected.
        yaw_deg: standard deviation of the turn about the vertical.
        tilt_deg: standard deviation of the turns about the level axis across the view and about the
            view itself.
        proportions: standard deviation of the factor of each kind of bone.
        distance: standard deviation of the logarithm of the factor of the distance.
        strength: the errors are multiplied by up to this much more or less.
    """

    share: float = 0.5
    yaw_deg: float = 20.0
    tilt_deg: float = 8.0
    proportions: float = 0.06
    distance: float = 0.2
    strength: float = 0.2


def draw_real(
    n: int,
    frames: int,
    most_fps: float,
    tracks: RealTracks,
    reprojection: ReprojectionOptions | None,
    rng: torch.Generator,
) -> tuple[Tensor, ...]:
    """Draws ``n`` windows of real tracks, half of them mirrored.

    They have 0.5 to 1 times the rate of the tracks, or of ``most_fps`` where it is less. Without
    ``reprojection`` they are as they were.

    Returns:
        Keypoints ``(n, frame, 17, 2)`` in pixels, scores ``(n, frame, 17)``, joints ``(n, frame, 17,
        3)`` in metres and camera axes (thigh + shank + trunk is ``BODY_LENGTH_M``), picture sizes
        ``(n, 2)`` and focal lengths ``(n,)`` in pixels.
    """
    device = tracks.score.device
    spans = (tracks.starts[1:] - tracks.starts[:-1] - 1).float()
    clip = torch.multinomial(spans, n, replacement=True, generator=rng)
    span, first = spans[clip], tracks.starts[clip]
    least = (tracks.fps[clip] / most_fps).clamp(min=1.0)
    step = least * 2 ** torch.rand(n, device=device, generator=rng)
    begin = torch.rand(n, device=device, generator=rng) * (span - step * (frames - 1)).clamp(min=0)
    rows = first[:, None] + reflect_times(begin, step, frames, span).round().long()
    points, score, joints = tracks.keypoints_px[rows], tracks.score[rows], tracks.joints_cam_m[rows]
    bodies = tracks.bodies_cam_m[rows]
    size_wh, focal = tracks.size_wh[clip], tracks.focal_px[clip]
    flip = torch.rand(n, device=device, generator=rng) < 0.5
    order = list(H36M17.mirror)
    flipped = points[:, :, order].clone()
    flipped[..., 0] = size_wh[:, None, None, 0] - flipped[..., 0]
    points = torch.where(flip[:, None, None, None], flipped, points)
    score = torch.where(flip[:, None, None], score[:, :, order], score)
    across = joints.new_tensor([-1.0, 1.0, 1.0])
    joints, bodies = (
        torch.where(flip[:, None, None, None], one[:, :, order] * across, one)
        for one in (joints, bodies)
    )
    if reprojection is not None:
        new_points, new_joints = reproject(
            points, joints, size_wh, focal, reprojection, rng, bodies_cam_m=bodies
        )
        chosen = torch.rand(n, 1, 1, 1, device=device, generator=rng) < reprojection.share
        points = torch.where(chosen, new_points, points)
        joints = torch.where(chosen, new_joints, joints)
    scale = BODY_LENGTH_M / body_length(joints).mean(1)
    return points, score, joints * scale[:, None, None, None], size_wh, focal


def reproject(
    points_px: Tensor,
    joints_cam_m: Tensor,
    size_wh: Tensor,
    focal_px: Tensor,
    options: ReprojectionOptions,
    rng: torch.Generator,
    *,
    bodies_cam_m: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Moves people a little before their camera, and the errors of the detections along.

    Args:
        points_px: ``(batch, frame, 17, 2)`` detections.
        joints_cam_m: ``(batch, frame, 17, 3)`` truth, camera axes.
        size_wh: ``(batch, 2)``; the optical axis meets the middle of the picture.
        focal_px: ``(batch,)``.
        options: how far.
        rng: on the same device.
        bodies_cam_m: who is seen then, in the shape of ``joints_cam_m``; None: the same.
    """
    b, device = len(points_px), points_px.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(b, *shape, device=device, generator=rng)

    true_px = _project(joints_cam_m, size_wh, focal_px)
    error = (points_px - true_px) / person_size(true_px)[..., None, None]
    yaw = torch.deg2rad(options.yaw_deg * normal())
    pitch, roll = torch.deg2rad(options.tilt_deg * normal(2)).unbind(1)
    middle = joints_cam_m[:, :, :1].mean(1, keepdim=True)
    body = joints_cam_m if bodies_cam_m is None else bodies_cam_m
    body = _stretch(body, 1 + options.proportions * normal(len(_BONES)))
    turned = torch.einsum("bij,btnj->btni", _rotation(yaw, pitch, roll), body - middle)
    joints = turned + middle * torch.exp(options.distance * normal())[:, None, None, None]
    new_px = _project(joints, size_wh, focal_px)
    in_picture = torch.stack([roll.cos(), -roll.sin(), roll.sin(), roll.cos()], -1).view(b, 2, 2)
    strength = 1 + options.strength * (2 * torch.rand(b, 1, 1, 1, device=device, generator=rng) - 1)
    error = torch.einsum("bij,btnj->btni", in_picture, error) * strength
    return new_px + error * person_size(new_px)[..., None, None], joints


def _project(joints_cam_m: Tensor, size_wh: Tensor, focal_px: Tensor) -> Tensor:
    z = joints_cam_m[..., 2:].clamp(min=NEAREST_M)
    return joints_cam_m[..., :2] / z * focal_px[:, None, None, None] + size_wh[:, None, None] / 2


def _stretch(joints: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the bones of ``(batch, frame, 17, 3)`` by ``(batch, kind of bone)``."""
    out = joints.clone()
    for j, parent in enumerate(H36M17.parents):
        if parent >= 0:
            kind = next((k for k, n in enumerate(_BONES) if n in H36M17.joints[j]), _HEAD)
            bone = joints[:, :, j] - joints[:, :, parent]
            out[:, :, j] = out[:, :, parent] + bone * factor[:, kind, None, None]
    return out


def _rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Returns ``(batch, 3, 3)``: about the vertical first, then across the view, then about the view."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).view(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (torch.cos, torch.sin))
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_x = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_z = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_z @ about_x @ about_y
