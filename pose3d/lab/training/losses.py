"""Losses of sequence lifters.

Several hypotheses get a relaxed winner-takes-all loss: the one nearest to the truth is pulled
towards it, the others a little, so that none is left so far behind that it never wins.

Reference: MixSTE (Zhang et al., CVPR 2022), section 3.4: weighted MPJPE + 0.5 x temporal
consistency + 2.0 x mean velocity error; the weights per joint are those of its published code.
Hypotheses: Rupprecht et al., "Learning in an Uncertain World: Representing Ambiguity Through
Multiple Hypotheses", ICCV 2017, equations 7 and 8 (the relaxation by epsilon).
Differs: one winner for a whole window, so that a hypothesis stays one motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)  # of H36M17

_SQUARINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each term counts."""

    position: float = 1.0  # mean distance
    temporal: float = 0.5  # squared change of the prediction
    velocity: float = 2.0  # mean distance of the changes
    hypotheses: float = 0.0  # relaxed winner-takes-all
    relaxation: float = 0.1  # epsilon, the share of the losing hypotheses, in all
    scale: float = 0.0  # mean distance after the best scale of each frame
    aligned: float = 0.0  # the same after the best turn, scale and shift (Procrustes)
    newest: float = 0.0  # mean distance in the last frame alone
    joint_weighted: bool = True  # by ``JOINT_WEIGHTS``


def weighted_mpjpe(predicted: Tensor, target: Tensor, joint_weights: Tensor) -> Tensor:
    """Mean distance of ``(batch, frame, joint, 3)``, times the weight of each joint."""
    return ((predicted - target).norm(dim=-1) * joint_weights).mean()


def temporal_consistency(predicted: Tensor, joint_weights: Tensor) -> Tensor:
    """Weighted mean squared change of the prediction from frame to frame; 0 for a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    step = predicted[:, 1:] - predicted[:, :-1]
    return (step.square() * joint_weights[:, None]).mean()


def mean_velocity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the frame-to-frame changes; 0 for a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    steps = (predicted[:, 1:] - predicted[:, :-1]) - (target[:, 1:] - target[:, :-1])
    return steps.norm(dim=-1).mean()


def hypothesis_costs(hypotheses: Tensor, target: Tensor, weights: LossWeights) -> Tensor:
    """Returns weighted joint distance and velocity error, ``(batch, hypothesis)``.

    Of ``(batch, frame, hypothesis, 17, 3)`` and the target ``(batch, frame, 17, 3)``, metres.
    """
    off = hypotheses - target[:, :, None]
    joint_weights = off.new_tensor(JOINT_WEIGHTS)
    position = (off.norm(dim=-1) * joint_weights).mean((1, 3))
    if off.shape[1] == 1:  # a window of one frame does not move
        return weights.position * position
    velocity = (off[:, 1:] - off[:, :-1]).norm(dim=-1).mean((1, 3))
    return weights.position * position + weights.velocity * velocity


def winner_takes_most(costs: Tensor, relaxation: float) -> Tensor:
    """Returns the mean over windows of ``(batch, hypothesis)`` costs: the least, relaxed.

    The winner counts ``1 - relaxation``, each other hypothesis an equal part of the rest.
    """
    best = costs.amin(1)
    others = (costs.sum(1) - best) / (costs.shape[1] - 1)
    return ((1 - relaxation) * best + relaxation * others).mean()


def scaled_mpjpe(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance after each frame's prediction was scaled to fit best.

    Reference: ``n_mpjpe`` in ``lib/model/loss.py`` of MotionBERT, after Rhodin et al., ECCV 2018.
    """
    size = predicted.square().sum((-2, -1), keepdim=True).clamp(min=1e-12)
    scale = (predicted * target).sum((-2, -1), keepdim=True) / size
    return (scale * predicted - target).norm(dim=-1).mean()


def align_to(predicted: Tensor, target: Tensor) -> Tensor:
    """Turns, scales and shifts each frame ``(..., joint, 3)`` onto the target, least squares.

    No gradient passes through the transform, so poses are not pulled towards those easier to fit.

    Reference: Umeyama, PAMI 1991, equations 38 to 43; the rotation as in :func:`_best_rotation`.
    """
    with torch.no_grad():
        p = predicted - predicted.mean(-2, keepdim=True)
        t = target - target.mean(-2, keepdim=True)
        rotation = _best_rotation(p.mT @ t)
        scale = (p @ rotation.mT * t).sum((-1, -2)) / p.square().sum((-1, -2)).clamp(min=1e-12)
        turn = scale[..., None, None] * rotation
        shift = target.mean(-2, keepdim=True) - predicted.mean(-2, keepdim=True) @ turn.mT
    return predicted @ turn.mT + shift


def _best_rotation(s: Tensor) -> Tensor:
    """Returns rotations from ``(..., 3, 3)`` sums of source (rows) times target (columns).

    The greatest eigenvector by squaring, which suits a GPU; between two rotations as good.
    Reference: Horn, "Closed-form solution of absolute orientation using unit quaternions", JOSA A
    1987, section 4.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in s.unbind(-2))
    rows = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ]
    power = torch.stack([torch.stack(row, -1) for row in rows], -2)
    eye = torch.eye(4, dtype=s.dtype, device=s.device)
    # No eigenvalue is below minus the greatest row sum.
    power = power + power.abs().sum(-1).amax(-1).clamp(min=1e-30)[..., None, None] * eye
    for _ in range(_SQUARINGS):
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        power = power @ power
    # All columns are multiples of the eigenvector: the longest is the most exact.
    longest = power.square().sum(-2).argmax(-1)
    picked = longest[..., None, None].expand(*power.shape[:-1], 1)
    w, x, y, z = torch.nn.functional.normalize(power.gather(-1, picked)[..., 0], dim=-1).unbind(-1)
    turned = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in turned], -2)


def compute_loss(
    predicted: Tensor, target: Tensor, weights: LossWeights, hypotheses: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the sum of the terms and each term for the log.

    ``predicted`` and ``target`` are ``(batch, frame, 17, 3)`` metres; ``hypotheses`` ``(batch,
    frame, hypothesis, 17, 3)`` add their term and, for the log alone, ``spread``.
    """
    joint_weights = predicted.new_tensor(JOINT_WEIGHTS)
    if not weights.joint_weighted:
        joint_weights = torch.ones_like(joint_weights)
    terms = {
        "position": weighted_mpjpe(predicted, target, joint_weights),
        "temporal": temporal_consistency(predicted, joint_weights),
        "velocity": mean_velocity(predicted, target),
    }
    if hypotheses is not None:
        costs = hypothesis_costs(hypotheses, target, weights)
        terms["hypotheses"] = winner_takes_most(costs, weights.relaxation)
    if weights.scale:
        terms["scale"] = scaled_mpjpe(predicted, target)
    if weights.aligned:
        terms["aligned"] = weighted_mpjpe(align_to(predicted, target), target, joint_weights)
    if weights.newest:
        terms["newest"] = weighted_mpjpe(predicted[:, -1], target[:, -1], joint_weights)
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    if hypotheses is not None:
        apart = hypotheses.detach() - hypotheses.detach().mean(2, keepdim=True)
        terms["spread"] = apart.square().sum(-1).mean().sqrt()
    return total, terms
