"""Losses of sequence lifters.

Reference: MixSTE (Zhang et al., CVPR 2022), section 3.4: weighted MPJPE + 0.5 x temporal
consistency + 2.0 x mean velocity error; the weights per joint are those of its published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)
"""H36M17: the farther from the trunk, the more it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each term counts."""

    position: float = 1.0
    temporal: float = 0.5
    velocity: float = 2.0


def weighted_mpjpe(predicted: Tensor, target: Tensor, joint_weights: Tensor) -> Tensor:
    """Mean distance of ``(batch, frame, joint, 3)``, times the weight of each joint."""
    return ((predicted - target).norm(dim=-1) * joint_weights).mean()


def temporal_consistency(predicted: Tensor, joint_weights: Tensor) -> Tensor:
    """Weighted mean squared change of the prediction from frame to frame (metres squared).

    0 for windows of a single frame.
    """
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    step = predicted[:, 1:] - predicted[:, :-1]
    return (step.square() * joint_weights[:, None]).mean()


def mean_velocity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the frame-to-frame changes; 0 for windows of a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    steps = (predicted[:, 1:] - predicted[:, :-1]) - (target[:, 1:] - target[:, :-1])
    return steps.norm(dim=-1).mean()


def compute_loss(
    predicted: Tensor, target: Tensor, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the sum of the terms and each term for the log.

    Args:
        predicted: ``(batch, frame, 17, 3)`` metres.
        target: the same shape.
        weights: of the terms.
    """
    joint_weights = predicted.new_tensor(JOINT_WEIGHTS)
    terms = {
        "position": weighted_mpjpe(predicted, target, joint_weights),
        "temporal": temporal_consistency(predicted, joint_weights),
        "velocity": mean_velocity(predicted, target),
    }
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return total, terms
