"""From motions, cameras and noise to what the network sees and what it should answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pose3d.body.geometry import ASSUMED_FOCAL
from pose3d.lab.datasets.cameras import draw_shots
from pose3d.lab.datasets.motions import (
    MOCAP_JOINTS,
    Motions,
    draw_windows,
    h36m_joints,
    vary_bodies,
)
from pose3d.lab.datasets.noise import (
    DETECTED,
    RealTracks,
    ResidualBank,
    draw_residuals,
    map_detected,
)
from pose3d.lab.datasets.parametric import draw_parametric
from pose3d.lab.datasets.poses import PoseOptions, vary_poses
from pose3d.lab.datasets.real import ReprojectionOptions, draw_real
from pose3d.lift.normalise import person_normalise, screen_normalise

_DETECTED_COLUMNS = [MOCAP_JOINTS.index(n) for n in DETECTED]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What a training batch is made of."""

    frames: int = 81  # window length
    rate_range: tuple[float, float] = (12.0, 60.0)  # frames per second
    residual_share: float = 0.5  # of the synthetic windows: with residuals of real tracks
    real_share: float = 0.2  # of the batch: real tracks with truth
    reprojection: ReprojectionOptions | None = None  # of the real ones
    smooth_share: float = 0.5  # keypoints smoothed as by the chain
    true_focal_share: float = 0.3  # focal length known, not assumed
    poses: PoseOptions = field(default_factory=PoseOptions)  # that nobody recorded
    clean: bool = False  # no noise and no other proportions (tests and ablations)


def draw_batch(
    batch: int,
    options: BatchOptions,
    motions: Motions,
    bank: ResidualBank | None,
    tracks: RealTracks | None,
    rng: torch.Generator,
    *,
    normalisation: str = "person",
    channels: int = 3,
) -> tuple[Tensor, Tensor]:
    """Draws a batch on the device of ``rng``: normalised inputs and targets.

    Inputs ``(batch, frame, 17, channels)`` (x, y and, of 3 channels, confidence), targets ``(batch,
    frame, 17, 3)``: metres from the pelvis, in the axes of the virtual camera (``person``) or of
    the camera. Without ``bank`` or ``tracks`` their shares go to the parametric noise.
    """
    n_real = 0 if tracks is None else _draw_count(batch, options.real_share, rng)
    parts = []
    if n_real < batch:
        parts.append(_synthetic(batch - n_real, options, motions, bank, rng))
    if tracks is not None and n_real:
        reprojection = None if options.clean else options.reprojection
        most_fps = options.rate_range[1]
        parts.append(draw_real(n_real, options.frames, most_fps, tracks, reprojection, rng))
    points, score, joints, size_wh, focal = (torch.cat(p) for p in zip(*parts, strict=True))
    if not options.clean:
        points = _smooth_some(points, options.smooth_share, rng)
    known = torch.rand(batch, device=focal.device, generator=rng) < options.true_focal_share
    focal = torch.where(known, focal, ASSUMED_FOCAL * size_wh.amax(1))
    relative = joints - joints[:, :, :1]
    inputs, target = normalise(normalisation, points, score, relative, size_wh, focal)
    return inputs[..., :channels], target


def normalise(
    how: str, points_px: Tensor, score: Tensor, relative: Tensor, size_wh: Tensor, focal_px: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns inputs of three channels and targets as :func:`draw_batch` does.

    Of windows ``(batch, frame, 17, ...)``; ``relative``: joints from the pelvis, camera axes.
    """
    if how == "screen":
        xy = screen_normalise(points_px, size_wh)
        return torch.cat([xy, score[..., None]], -1), relative
    inputs, view_from_cam = person_normalise(points_px, score, size_wh, focal_px)
    return inputs, torch.einsum("bij,btnj->btni", view_from_cam, relative)


def _draw_count(n: int, share: float, rng: torch.Generator) -> int:
    """Returns how many of ``n`` windows are of a kind: ``share`` of them on average."""
    whole, rest = divmod(n * share, 1)
    more = rest > 0 and float(torch.rand((), device=rng.device, generator=rng)) < rest
    return int(whole) + more


def _synthetic(
    n: int, options: BatchOptions, motions: Motions, bank: ResidualBank | None, rng: torch.Generator
) -> tuple[Tensor, ...]:
    world, rate = draw_windows(motions, n, options.frames, options.rate_range, rng)
    world = vary_poses(world, options.poses, rng)
    world = vary_bodies(world, rng, amount=0.0 if options.clean else 1.0)
    shots = draw_shots(world, rng)
    points = shots.points_px[:, :, _DETECTED_COLUMNS]
    if options.clean:
        score = torch.ones_like(points[..., 0])
    else:
        n_bank = 0 if bank is None else _draw_count(n, options.residual_share, rng)
        size_wh, heading = shots.size_wh, shots.heading_rad
        noisy = []
        if bank is not None and n_bank:
            some = slice(None, n_bank)
            noisy.append(
                draw_residuals(points[some], size_wh[some], heading[some], rate[some], bank, rng)
            )
        if n_bank < n:
            some = slice(n_bank, None)
            noisy.append(
                draw_parametric(points[some], size_wh[some], heading[some], rate[some], rng)
            )
        points, score = (torch.cat(parts) for parts in zip(*noisy, strict=True))
    mapped, mapped_score = map_detected(points, score)
    return mapped, mapped_score, h36m_joints(shots.joints_cam_m), shots.size_wh, shots.focal_px


def _smooth_some(points: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Smooths the keypoints of some windows in time, Gaussians of 0.5 to 1.5 frames."""
    b, t = points.shape[:2]
    if t == 1:  # a window of one frame has no neighbours to be smoothed with
        return points
    device = points.device
    sigma = 0.5 + torch.rand(b, 1, device=device, generator=rng)
    taps = torch.arange(-3, 4, device=device)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # batch tap
    rows = (torch.arange(t, device=device)[:, None] + taps).abs()
    rows = torch.minimum(rows, 2 * (t - 1) - rows)  # reflect; frame tap
    smooth = torch.einsum("btkja,bk->btja", points[:, rows], kernel)
    chosen = torch.rand(b, 1, 1, 1, device=device, generator=rng) < share
    return torch.where(chosen, smooth, points)
