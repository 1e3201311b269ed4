"""Windows of real detector tracks with 3D truth, as they are or re-projected with their errors."""

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
_HEADS = [H36M17.joints.index(name) for name in ("neck_nose", "head_top")]
_THORAX = H36M17.joints.index("thorax")
_SHOULDERS = [H36M17.joints.index(f"{side}_shoulder") for side in ("left", "right")]
_TRUNK = [_BONES.index("spine"), _BONES.index("thorax")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprojectionOptions:
    """Re-projection augmentation: how far a window differs from what it was."""

    share: float = 0.5  # of the windows that are re-projected
    yaw_deg: float = 20.0  # standard deviation about the vertical
    tilt_deg: float = 8.0  # likewise about the level axis across the view, and the view itself
    proportions: float = 0.06  # standard deviation of the factor of each kind of bone
    trunk: float = 0.12  # likewise of the whole trunk: legs too short for it look seen from above
    head: float = 0.02  # of its place, forwards and along the trunk, in body lengths
    distance: float = 0.2  # standard deviation of the logarithm of its factor
    strength: float = 0.2  # errors are multiplied by 1 -+ up to this


def draw_real(
    n: int,
    frames: int,
    most_fps: float,
    tracks: RealTracks,
    reprojection: ReprojectionOptions | None,
    rng: torch.Generator,
) -> tuple[Tensor, ...]:
    """Draws ``n`` windows of real tracks at 0.5 to 1 times their rate (or ``most_fps``).

    Returns keypoints ``(n, frame, 17, 2)`` px, scores ``(n, frame, 17)``, joints ``(n, frame, 17,
    3)`` in camera axes, scaled to ``BODY_LENGTH_M``, picture sizes ``(n, 2)`` and focal lengths.
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

    ``points_px (batch, frame, 17, 2)`` are detections, ``joints_cam_m (batch, frame, 17, 3)`` the
    truth in camera axes; the optical axis meets the picture's middle. ``bodies_cam_m``: the bodies to
    project instead of the truth. Returns detections and truth in the same shapes.
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
    factor = 1 + options.proportions * normal(len(_BONES))
    factor[:, _TRUNK] *= 1 + options.trunk * normal(1)
    body = _move_heads(_stretch(body, factor), options.head * normal(2))
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


def _move_heads(joints: Tensor, shift: Tensor) -> Tensor:
    """Moves heads of ``(batch, frame, 17, 3)`` forwards and along the trunk: ``(batch, 2)`` lengths."""
    trunk = joints[:, :, _THORAX] - joints[:, :, 0]
    across = joints[:, :, _SHOULDERS[1]] - joints[:, :, _SHOULDERS[0]]
    axes = torch.stack([torch.linalg.cross(across, trunk), trunk], -2)
    axes = axes / axes.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    move = torch.einsum("bk,btki->bti", shift, axes) * body_length(joints)[..., None]
    out = joints.clone()
    out[:, :, _HEADS] += move[:, :, None]
    return out


def _rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Returns ``(batch, 3, 3)``: about the vertical, then across the view, then about the view."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).view(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (torch.cos, torch.sin))
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_x = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_z = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_z @ about_x @ about_y
