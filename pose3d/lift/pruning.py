"""Which frames are kept: the strategies of the hourglass, on arrays of any backbone.
Reference: Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose
Estimation", CVPR 2024, section 3.2 (TPC). Density peaks: Rodriguez and Laio, Science 2014; kNN
density: Du et al. 2016.
Differs: no random jitter of the densities (see :func:`cluster_frames`)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cluster_frames(
    features: Tensor,
    keep: int,
    *,
    neighbours: int = 2,
    exclude: int | Tensor | None = None,
    ties: str = "frame-order",
) -> tuple[Tensor, Tensor]:
    """Chooses ``keep`` frames of ``(batch, frame, channel)`` by density peaks (HoT, eq. 1 to 3).
    With k = 2 nearest pairs have equal densities, so ties are the rule. ``frame-order``: exact
    distances, the earlier frame is denser, the same on every machine. ``rounding``: what the
    published code does without its jitter; published weights were evaluated so. ``neighbours``: k
    of the density, the frame itself included; ``exclude``: a frame that is never chosen (it is kept
    anyway), one for all or ``(batch,)``.

    Returns sorted frames ``(batch, keep)`` and the cluster of each frame ``(batch, frame)``,
    counted in the order of decreasing score."""
    with torch.no_grad():
        features = features.float()
        n = features.shape[1]
        in_order = ties == "frame-order"
        # Published: torch's default, by products above 25 frames and exact up to there.
        distance = exact_distances(features) if in_order else torch.cdist(features, features)
        distance = distance / features.shape[-1] ** 0.5  # batch frame frame
        nearest = distance.topk(neighbours, dim=-1, largest=False).values
        density = (-(nearest**2).mean(-1)).exp()  # batch frame
        denser = density[:, None, :] > density[:, :, None]
        if in_order:
            earlier = torch.ones(n, n, dtype=torch.bool, device=features.device).tril(-1)
            denser |= (density[:, None, :] == density[:, :, None]) & earlier
        farthest = distance.amax(dim=(1, 2), keepdim=True)
        separation = torch.where(denser, distance, farthest).amin(-1)  # batch frame
        score = bar_frame(separation * density, exclude)
        order = score.sort(dim=-1, descending=True, stable=True).indices[:, :keep]
        to_centres = distance.gather(1, order[:, :, None].expand(-1, -1, n))
        own = torch.arange(keep, device=order.device).expand_as(order)
        assign = to_centres.argmin(1).scatter(1, order, own)
        return order.sort(dim=-1).values, assign


def exact_distances(features: Tensor) -> Tensor:
    """Returns the distances ``(batch, frame, frame)`` of ``(batch, frame, channel)``, float32.
    By float64 products: symmetric to the bit, and zero below 3e-7 of the largest distance from the
    mean. Machines agree but for values next to the boundary of two float32 numbers."""
    # MPS has no float64; this little goes to the CPU and back.
    x = (features.cpu() if features.device.type == "mps" else features).double()
    x = x - x.mean(1, keepdim=True)  # smaller numbers lose less
    product = x @ x.transpose(1, 2)
    square = product.diagonal(dim1=1, dim2=2)
    distance = square[:, :, None] + square[:, None, :] - product - product.transpose(1, 2)
    noise = 1e-13 * square.amax(1)[:, None, None]
    distance = torch.where(distance > noise, distance, 0).sqrt()
    return distance.to(device=features.device, dtype=torch.float32)


def bar_frame(score: Tensor, exclude: int | Tensor | None) -> Tensor:
    """Returns ``(batch, frame)`` scores with the excluded frame at minus infinity."""
    if exclude is None:
        return score
    frames = torch.arange(score.shape[1], device=score.device)
    barred = torch.as_tensor(exclude, device=score.device).reshape(-1, 1) == frames
    return score.masked_fill(barred, -torch.inf)


def top_frames(score: Tensor, keep: int, *, exclude: int | Tensor | None = None) -> Tensor:
    """Returns the sorted indices ``(batch, keep)`` of the highest of ``(batch, frame)`` scores."""
    score = bar_frame(score, exclude)
    order = score.sort(dim=-1, descending=True, stable=True).indices[:, :keep]
    return order.sort(dim=-1).values


def frame_motion(keypoints: Tensor) -> Tensor:
    """Returns ``(batch, frame)`` mean 2D speed of ``(batch, frame, joint, >=2)`` (0 at the first)."""
    step = (keypoints[:, 1:, :, :2] - keypoints[:, :-1, :, :2]).norm(dim=-1).mean(-1)
    return functional.pad(step, (1, 0))


def uniform_frames(frames: int, keep: int, *, ends: bool = False) -> list[int]:
    """Returns ``keep`` evenly spaced frames, each in the middle of its share.
    With ``ends`` the first and the last frame are among them (of one frame: neither)."""
    if ends and keep > 1:
        return [(2 * i * (frames - 1) + keep - 1) // (2 * (keep - 1)) for i in range(keep)]
    return [(2 * i + 1) * frames // (2 * keep) for i in range(keep)]
