"""Scaled dot-product attention in the precision that trains fastest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def mix_values(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention of ``(batch, head, token, channel)``; when training on a CPU not in bfloat16.

    torch's CPU kernel is slow backwards in bfloat16 (torch 2.13): seven times as slow as in float32
    for the 17 and 27 tokens of a lifter, two thirds of a training step of TokenPose, which eats what
    bfloat16 wins in the matrix products. Its plain kernel (``SDPBackend.MATH``) is no better: a step
    of TokenPose takes 0.83 s with 78 tokens and 1.12 s with 270, and 0.79 and 0.90 s like this.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: boolean, True where a query may see a key; None: everywhere.
        scale: factor on the products; None: 1 / sqrt(channel).
    """
    exact = q.dtype == torch.float64
    if exact or q.device.type != "cpu" or not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    with torch.autocast("cpu", enabled=False):
        q, k, v = q.float(), k.float(), v.float()
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
