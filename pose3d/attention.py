"""Scaled dot-product attention in the precision that trains fastest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_FEW = 32
"""Keys up to which products written out train faster in bfloat16 than torch's kernels."""


def mix_values(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention of ``(batch, head, token, channel)``, by what trains fastest.

    torch's CPU kernel is slow backwards in bfloat16 (torch 2.13): seven times as slow as in float32
    for the 17 and 27 tokens of a lifter, two thirds of a training step of TokenPose, which eats what
    bfloat16 wins in the matrix products. So many tokens go through it in float32. Its plain kernel
    (``SDPBackend.MATH``) is no better for them: a step of TokenPose takes 0.83 s with 78 tokens and
    1.12 s with 270, and 0.79 and 0.90 s like this. For the few tokens of a lifter the formula written
    out in bfloat16 is: forwards and backwards 19 ms where the kernel takes 50 in float32 and 167 in
    bfloat16 (864 windows of 17 tokens, 4 heads of 32 channels, two threads of a Zen 4 server); a
    step of ``hot-mixste.free27`` with 32 windows 0.57 s instead of 0.74 to 0.78. In float32 with
    gradients the kernel is faster (50 ms against 80 for 17 tokens). Without gradients it is not: whole
    lifters take 10 to 15 % less with the formula from 8 windows on, the same with 2. Lifting still uses
    the kernel, which the parity figures were taken with.

    On a GPU the kernels pad 12 to 27 tokens to 64: a compiled step of ``hot-mixste.free27`` with 128
    windows keeps an H200 busy for 10.1 ms with them (3.8 of these are theirs), for 8.2 with the formula
    (there with the softmax in float32).

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: boolean, True where a query may see a key; None: everywhere.
        scale: factor on the products; None: 1 / sqrt(channel).
    """
    kind = q.device.type
    trains = torch.is_grad_enabled()
    few = q.dtype == torch.bfloat16 and mask is None and k.shape[-2] <= _FEW
    if trains and few and kind in ("cpu", "cuda"):
        with torch.autocast(kind, enabled=False):
            scale = q.shape[-1] ** -0.5 if scale is None else scale
            return ((q * scale) @ k.transpose(-2, -1)).softmax(-1) @ v
    if trains and kind == "cpu" and q.dtype != torch.float64:
        with torch.autocast(kind, enabled=False):
            q, k, v = q.float(), k.float(), v.float()
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
