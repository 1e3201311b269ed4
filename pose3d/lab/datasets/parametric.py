"""A parametric 2D detector: bias, drift, jitter, hidden joints, bursts, exchanged sides, scores.

Figures are of two real detectors, BlazePose on rendered people (``rendered/tracks.npz``) and a
COCO detector on a dancer (``aist/aist_break.npz``); windows are drawn between them.

Shapes: points ``(batch, frame, 15, 2)`` px, joints of ``DETECTED``; score ``(batch, frame, 15)``;
size_wh ``(batch, 2)``; heading_rad ``(batch, frame)``, 0: facing the camera; rate ``(batch,)`` fps.
Errors are in person sizes, the longer side of the box around the true joints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pose3d.body.skeletons import LIMBS

N_LIMBS = len(LIMBS)
N_JOINTS = N_LIMBS + 3
_PARTNER = tuple(j ^ 1 for j in range(N_LIMBS)) + (12, 14, 13)


def _each_side(*kinds: float, face: float = 0.0) -> tuple[float, ...]:
    """Spells out figures of shoulder, elbow, wrist, hip, knee, ankle for DETECTED."""
    return (*(value for value in kinds for _ in range(2)), face, face, face)


# Where BlazePose's joints lie from anatomical joint centres: along the trunk (in trunks), outwards (in
# half shoulder widths), forwards (in person sizes); fitted to ``rendered/tracks.npz``. The COCO
# detector has nearly none, so windows get 0 to 120 % of it.
_UP = _each_side(-0.016, 0.030, -0.008, -0.007, 0.020, 0.036)
_OUT = _each_side(-0.05, -0.038, -0.037, -0.057, -0.02, 0.016)
_FORWARD = _each_side(-0.0040, 0.0069, -0.0012, 0.0068, -0.0060, 0.0041)
_OWN_DEFINITION = (0.02, 0.05, 0.006)  # what other detectors' definitions differ by, same units
# Standard deviation of an axis in percent, before hidden joints are made worse; hips are the worst.
_CORE = _each_side(1.3, 1.35, 1.35, 1.85, 1.2, 1.1, face=1.3)
# Correlation of the errors of neighbouring joints; others have none.
_TOGETHER = {
    ("shoulder", "elbow"): 0.34,
    ("elbow", "wrist"): 0.42,
    ("shoulder", "hip"): 0.44,
    ("hip", "knee"): 0.24,
    ("knee", "ankle"): 0.18,
}
_HIPS_TOGETHER = 0.46
_DRIFT_S = (0.12, 0.5)  # e-folding time
# Joints that the detector does not see well (score below 0.3): share in percent, how long that lasts,
# and how much worse they are (median error 4 to 6 % against 0.8 to 2.2 %).
_HIDDEN = _each_side(2.5, 18.0, 22.0, 2.5, 5.0, 5.0, face=8.0)
_HIDDEN_S = (0.12, 0.9)
_HIDDEN_WORSE = 1.6
# Chance of a burst of gross error in a hidden joint and in a seen one, percent, and its length.
_BURST_HIDDEN = _each_side(15.0, 22.0, 30.0, 25.0, 35.0, 45.0, face=10.0)
_BURST_SEEN = _each_side(0.6, 1.0, 1.2, 0.8, 1.0, 1.6, face=0.4)
_BURST_S = (0.07, 0.6)
# Share of bursts that are the other side's joint.
_TO_PARTNER = _each_side(0.1, 0.15, 0.28, 0.2, 0.25, 0.22)
# Chance that arms, legs or both are exchanged, percent, seen from the front, the side, behind, and how
# long that lasts (BlazePose; COCO's are hardly ever exchanged).
_SWAP_ARMS = (0.1, 0.3, 1.4)
_SWAP_LEGS = (0.4, 1.4, 0.6)
_SWAP_BOTH = (0.1, 0.2, 0.3)
_SWAP_S = 0.5
_OUTSIDE = 0.065  # joints outside of the picture: median error 9 %


def _mixing_matrix() -> Tensor:
    """Returns the matrix ``(15, 15)`` that makes independent errors correlate."""
    kinds = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    together = torch.eye(N_JOINTS, dtype=torch.float64)
    for (a, b), value in _TOGETHER.items():
        for side in range(2):
            i, j = 2 * kinds.index(a) + side, 2 * kinds.index(b) + side
            together[i, j] = together[j, i] = value
    together[6, 7] = together[7, 6] = _HIPS_TOGETHER
    face = slice(N_LIMBS, N_JOINTS)
    together[face, face] = 0.5 + 0.5 * torch.eye(3, dtype=torch.float64)
    return torch.linalg.cholesky(together).float()


_MIXING = _mixing_matrix()


def _partner(points: Tensor) -> Tensor:
    return torch.tensor(_PARTNER, device=points.device)


def person_size(points_px: Tensor) -> Tensor:
    """Returns the longer side of the box around ``(batch, frame, joint, 2)``: ``(batch, frame)``."""
    return (points_px.amax(2) - points_px.amin(2)).amax(-1)


def draw_slow(shape: tuple[int, ...], keep: Tensor, rng: torch.Generator) -> Tensor:
    """Draws unit-variance noise ``(batch, frame, ...)`` whose lag-1 correlation is ``keep``."""
    b, t, *rest = shape
    noise = torch.randn((t, b, *rest), device=keep.device, generator=rng)
    k = keep.view(b, *([1] * len(rest))).expand(b, *rest)
    noise[1:] *= (1 - k * k).sqrt()
    for i in range(1, t):  # one kernel a frame
        torch.addcmul(noise[i], noise[i - 1], k, out=noise[i])
    return noise.movedim(0, 1).contiguous()  # what follows is slower on strides


def draw_spells(chance: Tensor, keep: Tensor, frames: int, rng: torch.Generator) -> Tensor:
    """Draws on/off states ``(batch, frame, joint)`` that last: a Markov chain in its steady state.
    ``chance (batch, joint)`` < 1/2: share of frames on; ``keep (batch, 1)``: chance to stay on."""
    b, n = chance.shape
    draws = torch.rand((frames, b, n), device=chance.device, generator=rng)
    stays, begins = draws < keep, draws < chance * (1 - keep) / (1 - chance)
    states = [draws[0] < chance]
    for i in range(1, frames):
        states.append(torch.where(states[-1], stays[i], begins[i]))
    return torch.stack(states, 1)


def draw_parametric(
    points_px: Tensor, size_wh: Tensor, heading_rad: Tensor, rate: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws detections of true projections, and their confidences."""
    b, t, n, _ = points_px.shape
    device = points_px.device
    unit = person_size(points_px)[:, :, None, None]

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=rng)

    def memory(range_s: tuple[float, float]) -> Tensor:
        """Draws correlations from frame to frame ``(batch,)``."""
        low, high = math.log(range_s[0]), math.log(range_s[1])
        return torch.exp(-1 / (rate * torch.exp(low + (high - low) * rand(b))))

    # Between detectors and clips: some are good throughout, some are not.
    quality = torch.exp(0.5 * torch.randn((b, 1, 1, 1), device=device, generator=rng))
    hidden, burst = _hide(quality[:, 0, 0], memory(_HIDDEN_S), memory(_BURST_S), t, rng)
    drift = draw_slow((b, t, n, 2), memory(_DRIFT_S), rng)
    constant = 0.4 * torch.randn((b, 1, n, 2), device=device, generator=rng)
    core = torch.tensor(_CORE, device=device)[:, None] / 100 * quality
    error = torch.einsum("js,btsa->btja", _MIXING.to(device), 0.75 * drift + constant) * core
    error = error * (1 + _HIDDEN_WORSE * hidden[..., None])
    # Jitter: 1.2 % below 75 px, 0.45 % at 110, 0.3 % from 150 on (BlazePose, drift included).
    small = (60.0 / unit.mean(1, keepdim=True)).clamp(max=1.5) ** 1.7
    jitter = (0.0015**2 + (0.011 * small) ** 2).sqrt() * quality
    error = error + jitter * torch.randn((b, t, n, 2), device=device, generator=rng)
    error = torch.where(burst[..., None], _wide(points_px / unit, rate, rng), error)

    points = points_px + _definition(points_px, unit, heading_rad, rng) + error * unit
    score = _confidence(error.square().sum(-1).sqrt(), hidden, rng)
    points, score = leave_picture(points, score, points_px, size_wh, drift, rng)
    points = swap_sides(points, heading_rad, rate, rng)
    # One detector in seven tells nothing by its confidence, one in ten drops uncertain joints.
    mute = rand(b, 1, 1) < 0.15
    score = torch.where(mute, torch.ones_like(score), score)
    drops = (rand(b, 1, 1) < 0.1) & ~mute & (score < 0.3)
    return points, torch.where(drops, torch.zeros_like(score), score).clamp(0, 1)


def _definition(
    points_px: Tensor, unit: Tensor, heading_rad: Tensor, rng: torch.Generator
) -> Tensor:
    """Draws an offset fixed to the body, in pixels: what the detector calls a shoulder."""
    b, _, n, _ = points_px.shape
    device = points_px.device
    trunk = points_px[:, :, 0:2].mean(2) - points_px[:, :, 6:8].mean(2)
    half = (points_px[:, :, 0] - points_px[:, :, 1]) / 2
    forward = torch.stack([heading_rad.sin(), torch.zeros_like(heading_rad)], -1) * unit[..., 0]
    side = torch.ones(n, device=device)
    side[1:N_LIMBS:2] = -1
    side[N_LIMBS], side[-1] = 0, -1  # the nose lies in the middle, the right ear is the last
    known = torch.tensor([_UP, _OUT, _FORWARD], device=device)  # axis joint
    spread = torch.tensor(_OWN_DEFINITION, device=device)[:, None]
    own = torch.randn((b, 3, n), device=device, generator=rng) * spread
    own = torch.where(side < 0, own.index_select(2, _partner(own)), own)  # one for both sides
    amount = 1.2 * torch.rand((b, 1, 1), device=device, generator=rng) * known + own
    amount = amount * torch.stack([torch.ones_like(side), side, torch.ones_like(side)])
    axes = torch.stack([trunk, half, forward], 2)  # batch frame axis 2
    return torch.einsum("bkj,btka->btja", amount, axes)


def _hide(
    quality: Tensor, keep_hidden: Tensor, keep_burst: Tensor, frames: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws which joints are hidden and in a burst, ``(batch, frame, 15)``. ``quality (batch, 1)``
    multiplies all chances, ``keep_* (batch,)`` are those to stay so for another frame."""
    share = torch.tensor([_HIDDEN, _BURST_HIDDEN, _BURST_SEEN], device=quality.device) / 100
    chance = (share.flatten() * quality).clamp(max=0.45)
    n = share.shape[1]
    keep = torch.cat([keep_hidden[:, None].expand(-1, n), keep_burst[:, None].expand(-1, 2 * n)], 1)
    hidden, if_hidden, if_seen = draw_spells(chance, keep, frames, rng).split(n, 2)
    return hidden, torch.where(hidden, if_hidden, if_seen)


def _wide(places: Tensor, rate: Tensor, rng: torch.Generator) -> Tensor:
    """Draws the errors of bursts, in person sizes: somewhere else, or the other side's joint."""
    b, _, n, _ = places.shape
    wide = draw_slow(tuple(places.shape), torch.exp(-1 / (rate * 0.5)), rng)
    wide = wide * (0.08 + 0.05 * wide.square().sum(-1, keepdim=True).sqrt())
    share = torch.tensor(_TO_PARTNER, device=places.device)
    partner = torch.rand((b, 1, n), device=places.device, generator=rng) < share
    there = places.index_select(2, _partner(places)) - places + 0.1 * wide
    return torch.where(partner[..., None], there, wide)


def _confidence(error: Tensor, hidden: Tensor, rng: torch.Generator) -> Tensor:
    """Draws confidences ``(batch, frame, 15)``, low for hidden joints and large errors; half of the
    detectors are seldom sure."""
    b, t, n = error.shape

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, device=error.device, generator=rng)

    sure = rand(b, 1, 1) < 0.5
    base = torch.where(sure, 0.94 + 0.06 * rand(b, 1, 1), 0.65 + 0.3 * rand(b, 1, 1))
    steep = torch.where(sure, 0.25 * rand(b, 1, 1), 0.1 + 0.5 * rand(b, 1, 1))
    score = base * torch.exp(-steep * error / 0.03)
    score = score * (1 - 0.2 * rand(b, 1, 1) * rand(b, t, n))
    return torch.where(hidden, score * 0.45 * rand(b, 1, n), score)


def leave_picture(
    points: Tensor,
    score: Tensor,
    true_px: Tensor,
    size_wh: Tensor,
    drift: Tensor,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Makes joints outside of the picture worse and less sure; ``drift (batch, frame or 1, 15, 2)``
    is slow noise of unit variance."""
    b, _, n, _ = points.shape
    outside = ((true_px < 0) | (true_px > size_wh[:, None, None])).any(-1)
    unit = person_size(true_px)[:, :, None, None]
    points = points + outside[..., None] * _OUTSIDE * unit * drift
    less = 0.1 + 0.8 * torch.rand((b, 1, n), device=points.device, generator=rng)
    return points, torch.where(outside, score * less, score)


def swap_sides(points: Tensor, heading_rad: Tensor, rate: Tensor, rng: torch.Generator) -> Tensor:
    """Exchanges left and right of arms, legs or both for a while, as often as measured."""
    b, t = points.shape[:2]
    keep = torch.exp(-1 / (rate * _SWAP_S))
    slow = draw_slow((b, t, 3), keep, rng)
    cosine = heading_rad.cos()
    # Facing, side, back: 60 and 120 degrees.
    view = (cosine <= 0.5).long() + (cosine <= -0.5).long()
    table = torch.tensor([_SWAP_ARMS, _SWAP_LEGS, _SWAP_BOTH], device=points.device) / 100
    # Detectors differ: COCO's are hardly ever exchanged.
    prone = 1.5 * torch.rand((b, 1, 1), device=points.device, generator=rng)
    exchanged = slow > torch.special.ndtri(1 - table.T[view] * prone)
    arms, legs, both = exchanged.split(1, 2)
    half = N_LIMBS // 2
    limbs = [(arms ^ both).expand(-1, -1, half), (legs ^ both).expand(-1, -1, half)]
    which = torch.cat([*limbs, torch.zeros_like(limbs[0][..., : N_JOINTS - N_LIMBS])], 2)
    return torch.where(which[..., None], points.index_select(2, _partner(points)), points)
