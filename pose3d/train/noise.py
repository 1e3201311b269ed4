"""What a 2D detector makes of true projections: bias, drift, jitter, bursts, swaps, confidence.

Two sources, mixed: a parametric model with figures from measured detectors, and the residuals of
real detector tracks (BlazePose on rendered people with exact truth), carried over whole, so that
errors keep their course in time, their relation between joints and their confidence.

Everything is in units of the person's size in the picture, the longer side of the box around the
true joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose3d.errors import DataError
from pose3d.skeletons import BLAZEPOSE33, FACE_TO_H36M, H36M17, LIMBS, map_points

DETECTED = (*LIMBS, "nose", "left_ear", "right_ear")
"""The points that detectors have in common; the network's 17 inputs are mapped from them."""

_PAIRS = [(i, i + 1) for i in range(0, len(LIMBS), 2)] + [(13, 14)]
_ARMS, _LEGS = _PAIRS[:3], _PAIRS[3:6]

# Standard deviations in percent of the person's size: AIST++ "core std" of a COCO detector and the
# BlazePose medians on rendered people, by joint of DETECTED (shoulder, elbow, wrist, hip, knee,
# ankle, each left and right; nose, ears).
_CORE = (1.6, 1.6, 1.8, 1.8, 1.8, 1.8, 2.2, 2.2, 1.3, 1.3, 1.2, 1.2, 1.3, 1.3, 1.3)
# Chance that a joint is in a burst of gross error, percent (AIST++ fit half: gross share).
_BURST = (0.5, 0.5, 3.5, 3.5, 7.0, 7.0, 0.6, 0.6, 1.0, 1.0, 2.0, 2.0, 0.8, 0.5, 0.5)
_DRIFT_S = 0.35  # e-folding time of the drift: autocorrelation 0.9 at 1/30 s, 0.6 at 1/6 s
_BURST_S = 0.2
# Exchanged sides last: of the frames with one, 0.58 to 0.68 are followed by another a thirtieth of a
# second later (BlazePose on rendered people); a slow process of this memory gives 0.64.
_SWAP_S = 0.5


def _mapping_matrix() -> Tensor:
    """Returns the ``face`` mapping as a matrix ``(17, 15)`` on ``DETECTED``."""
    matrix = torch.zeros(len(H36M17), len(DETECTED))
    for row, name in enumerate(H36M17.joints):
        for source, weight in FACE_TO_H36M[name].items():
            matrix[row, DETECTED.index(source)] = weight
    return matrix


_MATRIX = _mapping_matrix()


def map_detected(points: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Maps ``(..., 15, 2)`` points and ``(..., 15)`` scores of ``DETECTED`` to H36M17.

    The same mapping as ``skeletons.map_points`` with ``FACE_TO_H36M``, on any device.
    """
    matrix = _MATRIX.to(points)
    mapped = torch.einsum("js,...sa->...ja", matrix, points)
    uses = matrix != 0
    lowest = torch.where(uses, score[..., None, :], torch.inf).amin(-1)
    return mapped, lowest


def _person_size(points_px: Tensor) -> Tensor:
    """Returns the longer side of the box around ``(batch, frame, joint, 2)``: ``(batch, frame)``."""
    return (points_px.amax(2) - points_px.amin(2)).amax(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualBank:
    """Errors of a real detector, clip by clip.

    Args:
        error: ``(frame, 15, 2)`` detection minus truth over the person's size; joints of DETECTED.
        score: ``(frame, 15)``.
        starts: ``(clip + 1,)``.
        fps: ``(clip,)``.
        heading_rad: ``(clip,)`` mean heading, for choosing errors of a similar view.
    """

    error: Tensor
    score: Tensor
    starts: Tensor
    fps: Tensor
    heading_rad: Tensor

    def to(self, device: str) -> ResidualBank:
        """Returns a copy on ``device``."""
        return ResidualBank(
            error=self.error.to(device),
            score=self.score.to(device),
            starts=self.starts.to(device),
            fps=self.fps.to(device),
            heading_rad=self.heading_rad.to(device),
        )

    @staticmethod
    def join(banks: Sequence[ResidualBank]) -> ResidualBank:
        """Returns one bank with the clips of all ``banks``, in order."""
        ends = np.cumsum([0, *(int(bank.starts[-1]) for bank in banks)])
        starts = [bank.starts[:-1] + int(n) for bank, n in zip(banks, ends[:-1], strict=True)]
        return ResidualBank(
            error=torch.cat([bank.error for bank in banks]),
            score=torch.cat([bank.score for bank in banks]),
            starts=torch.cat([*starts, banks[-1].starts.new_tensor(ends[-1:])]),
            fps=torch.cat([bank.fps for bank in banks]),
            heading_rad=torch.cat([bank.heading_rad for bank in banks]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RealTracks:
    """Detector tracks with exact 3D truth, clip by clip, as training pairs.

    Args:
        keypoints_px: ``(frame, 17, 2)`` mapped to H36M17; gaps interpolated.
        score: ``(frame, 17)``.
        joints_cam_m: ``(frame, 17, 3)`` truth in camera axes.
        starts, fps: as in :class:`ResidualBank`.
        size_wh, focal_px: ``(clip, 2)``, ``(clip,)``.
    """

    keypoints_px: Tensor
    score: Tensor
    joints_cam_m: Tensor
    starts: Tensor
    fps: Tensor
    size_wh: Tensor
    focal_px: Tensor


def load_tracks(
    path: Path, split: str, *, leave_out: tuple[str, ...] = ()
) -> tuple[ResidualBank, RealTracks]:
    """Reads detector tracks with truth (NPZ with ``lm_px``, ``visibility``, ``joints_px`` ...).

    Clips with less than nine in ten frames detected are left out; short misses are interpolated
    with confidence 0.

    Raises:
        DataError: the file is missing, or no clip is left.
    """
    if not path.is_file():
        raise DataError(f"Track file {path} is missing", "Give its folder with --data")
    with np.load(path, allow_pickle=False) as z:
        data = {k: z[k] for k in z.files}
    columns = [BLAZEPOSE33.index[n] for n in DETECTED]
    limbs = [H36M17.index[n] for n in LIMBS]
    errors, scores, starts, clips, mapped, mapped_score, truth = [], [], [0], [], [], [], []
    for c in np.flatnonzero(data["split"] == split):
        s = slice(data["starts"][c], data["starts"][c + 1])
        seen = data["detected"][s]
        if seen.mean() < 0.9 or str(data["name"][c]) in leave_out:
            continue
        points = data["lm_px"][s].astype(np.float64)
        time = np.arange(len(points))
        for j in range(points.shape[1]):
            for a in range(2):
                points[:, j, a] = np.interp(time, time[seen], points[seen, j, a])
        score = data["visibility"][s].astype(np.float32).clip(0, 1)
        true_px = data["joints_px"][s]
        size = (true_px.max(1) - true_px.min(1)).max(-1)[:, None, None]
        error = np.zeros((len(points), len(DETECTED), 2), np.float32)
        error[:, : len(limbs)] = (points[:, columns[:12]] - true_px[:, limbs]) / size
        # The truth has no face points: the nose's error is taken from the mean of the shoulders'.
        error[:, 12:] = error[:, :2].mean(1, keepdims=True)
        errors.append(error)
        scores.append(score[:, columns])
        h_points, h_score = map_points(points, score, BLAZEPOSE33, FACE_TO_H36M, H36M17)
        assert h_score is not None
        mapped.append(h_points.astype(np.float32))
        mapped_score.append(h_score)
        truth.append(data["joints_cam_m"][s])
        starts.append(starts[-1] + len(points))
        clips.append(c)
    if not clips:
        raise DataError(f"No clip of split {split!r} in {path}", "Check --data")
    heading = np.deg2rad(data["heading"].astype(np.float32))
    mean_heading = [
        np.angle(np.exp(1j * heading[data["starts"][c] : data["starts"][c + 1]]).mean())
        for c in clips
    ]
    begin, fps = torch.tensor(starts), torch.tensor(data["fps"][clips]).float()
    bank = ResidualBank(
        error=torch.from_numpy(np.concatenate(errors)),
        score=torch.from_numpy(np.concatenate(scores)).float(),
        starts=begin,
        fps=fps,
        heading_rad=torch.tensor(np.array(mean_heading)).float(),
    )
    tracks = RealTracks(
        keypoints_px=torch.from_numpy(np.concatenate(mapped)),
        score=torch.from_numpy(np.concatenate(mapped_score)).float(),
        joints_cam_m=torch.from_numpy(np.concatenate(truth)).float(),
        starts=begin,
        fps=fps,
        size_wh=torch.tensor(data["size_wh"][clips]).float(),
        focal_px=torch.tensor(data["K"][clips, 0, 0]).float(),
    )
    return bank, tracks


def _ar1(shape: tuple[int, ...], keep: Tensor, rng: torch.Generator) -> Tensor:
    """Draws unit-variance noise ``(batch, frame, ...)`` whose lag-1 correlation is ``keep``."""
    b, t = shape[:2]
    white = torch.randn(shape, device=keep.device, generator=rng)
    k = keep.view(b, *([1] * (len(shape) - 2)))
    fresh = (1 - k * k).sqrt()
    out = [white[:, 0]]
    for i in range(1, t):
        out.append(k * out[-1] + fresh * white[:, i])
    return torch.stack(out, 1)


def draw_parametric(
    points_px: Tensor, size_wh: Tensor, rate: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws detections of a made-up detector.

    Args:
        points_px: ``(batch, frame, 15, 2)`` true projections of DETECTED.
        size_wh: ``(batch, 2)``.
        rate: ``(batch,)`` frames per second.
        rng: on the same device.

    Returns:
        Detections ``(batch, frame, 15, 2)`` and confidences ``(batch, frame, 15)``.
    """
    b, t, n, _ = points_px.shape
    device = points_px.device
    unit = _person_size(points_px)[:, :, None, None]

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=rng)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=rng)

    core = torch.tensor(_CORE, device=device)[:, None] / 100
    quality = torch.exp(0.5 * randn(b, 1, 1, 1))  # between detectors and clips
    small = (60.0 / unit.mean(1, keepdim=True)).clamp(0.15, 1.5)  # jitter grows as people get small
    drift = _ar1((b, t, n, 2), torch.exp(-1 / (rate * _DRIFT_S)), rng)
    error = core * quality * (0.75 * drift + 0.6 * randn(b, 1, n, 2))
    error = error + 0.004 * small * quality * randn(b, t, n, 2)

    # Bursts: a slow process that crosses a threshold with the measured frequency.
    burst = _ar1((b, t, n), torch.exp(-1 / (rate * _BURST_S)), rng)
    chance = (torch.tensor(_BURST, device=device) / 100 * quality[..., 0]).clamp(max=0.25)
    in_burst = burst > torch.special.ndtri(1 - chance)
    wide = _ar1((b, t, n, 2), torch.exp(-1 / (rate * _BURST_S)), rng) * 0.12
    error = error + wide * in_burst[..., None]

    points = points_px + error * unit
    outside = ((points_px < 0) | (points_px > size_wh[:, None, None])).any(-1)
    points = points + (outside[..., None] * 0.08 * unit) * drift
    points = _swap_sides(points, rate, rng)

    amount = error.norm(dim=-1) / 0.03
    base = 0.25 + 0.75 * rand(b, 1, 1) ** 0.5
    score = base * torch.exp(-0.5 * amount * rand(b, 1, 1)) * (1 - 0.15 * rand(b, t, n))
    score = torch.where(outside, score * 0.4 * rand(b, 1, 1), score)
    # One detector in seven tells nothing by its confidence, one in ten drops uncertain joints.
    mute = rand(b, 1, 1) < 0.15
    score = torch.where(mute, torch.ones_like(score), score)
    drops = (rand(b, 1, 1) < 0.1) & ~mute & (score < 0.3)
    return points, torch.where(drops, torch.zeros_like(score), score).clamp(0, 1)


def _swap_sides(points: Tensor, rate: Tensor, rng: torch.Generator) -> Tensor:
    """Exchanges left and right of the arms, the legs or both for a while, in 1.5 % of frames."""
    b, t = points.shape[:2]
    out = points
    for pairs, chance in ((_ARMS, 0.01), (_LEGS, 0.012), (_ARMS + _LEGS, 0.004)):
        slow = _ar1((b, t), torch.exp(-1 / (rate * _SWAP_S)), rng)
        threshold = torch.special.ndtri(torch.tensor(1 - chance, device=points.device))
        swapped = out.clone()
        for i, j in pairs:
            swapped[:, :, i], swapped[:, :, j] = out[:, :, j], out[:, :, i]
        out = torch.where((slow > threshold)[..., None, None], swapped, out)
    return out


def draw_residuals(
    points_px: Tensor, heading_rad: Tensor, rate: Tensor, bank: ResidualBank, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Adds real residuals of a clip seen from a similar side.

    Args:
        points_px: ``(batch, frame, 15, 2)`` true projections of DETECTED.
        heading_rad: ``(batch, frame)`` heading of the person, 0 towards the camera.
        rate: ``(batch,)`` frames per second; residuals are resampled to it.
        bank: where residuals come from.
        rng: on the same device.

    Returns:
        Detections ``(batch, frame, 15, 2)`` and confidences ``(batch, frame, 15)``.
    """
    b, t = points_px.shape[:2]
    device = points_px.device
    mean = torch.atan2(heading_rad.sin().mean(1), heading_rad.cos().mean(1))
    likeness = torch.cos(mean[:, None] - bank.heading_rad[None]) * 4
    clip = torch.multinomial(likeness.softmax(1), 1, generator=rng)[:, 0]
    first, last = bank.starts[clip], bank.starts[clip + 1] - 1
    step = bank.fps[clip] / rate
    span = (last - first).float()
    begin = torch.rand(b, device=device, generator=rng) * span
    time = (begin[:, None] + step[:, None] * torch.arange(t, device=device)) % (2 * span[:, None])
    time = torch.minimum(time, 2 * span[:, None] - time)
    low = time.floor().long().clamp(max=(span.long() - 1)[:, None])
    part = time - low
    rows = first[:, None] + low
    error = bank.error[rows] + (bank.error[rows + 1] - bank.error[rows]) * part[..., None, None]
    score = torch.minimum(bank.score[rows], bank.score[rows + 1])
    strength = 0.7 + 0.6 * torch.rand(b, 1, 1, 1, device=device, generator=rng)
    return points_px + error * strength * _person_size(points_px)[:, :, None, None], score
