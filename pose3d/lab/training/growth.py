"""Wider networks that begin with what a narrow one has learned.

Reference: Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016 (Net2Wider).
Differs: all channels are repeated the same number of times, so that layer norms see the same mean and
deviation and each attention head is repeated as a whole. A weight is not shared out evenly between the
copies of what it reads but at random, differently for each copy of what it makes: the answers stay,
and the copies learn different things.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_UNEVEN = 0.25
"""Standard deviation of the share of a weight that its first copy gets; the mean is 0.5."""


def widen_tensors(
    state: Mapping[str, Tensor], wider: Mapping[str, Tensor], *, seed: int = 0
) -> dict[str, Tensor]:
    """Repeats the channels of a MixSTE, with or without an hourglass.

    Args:
        state: tensors of the narrow network.
        wider: those of the wide one (only their shapes count); ones that ``state`` does not have are
            passed over. It has twice the channels, the same channels a head, and otherwise the same
            sizes.
        seed: of the uneven shares.

    Returns:
        Tensors for the wide network, which then answers like the narrow one. Empty if the shapes are
        those of no such network.
    """
    rng = torch.Generator().manual_seed(seed)
    out = {}
    for name in sorted(state):
        if name not in wider:
            return {}
        value, shape = state[name].float(), wider[name].shape
        grown = _repeat_made(value, 3 if ".qkv." in name else 1, shape)
        if name.endswith("weight") and value.ndim == 2 and shape[1] == 2 * value.shape[1]:
            share = 0.5 + _UNEVEN * torch.randn(grown.shape, generator=rng).clamp(-2, 2)
            grown = torch.cat([grown * share, grown * (1 - share)], 1)
        if grown.shape != shape:
            return {}
        out[name] = grown
    return out


def _repeat_made(value: Tensor, parts: int, shape: torch.Size) -> Tensor:
    """Repeats what a tensor makes: rows of a matrix, all channels of anything else.

    Args:
        value: of the narrow network.
        parts: queries, keys and values in one matrix are repeated one by one.
        shape: of the wide network's tensor.
    """
    axis = 0 if value.ndim == 2 else -1
    if value.ndim == 0 or shape[axis] != 2 * value.shape[axis]:
        return value
    return torch.cat([torch.cat([p, p], axis) for p in value.chunk(parts, axis)], axis)
