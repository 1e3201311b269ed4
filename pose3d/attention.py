"""Scaled dot-product attention in the precision that trains fastest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_FEW = 32  # keys up to which written-out products train faster in bfloat16


def mix_values(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention of ``(batch, head, token, channel)``, by what trains fastest.

    Few tokens train fastest written out in bfloat16, more on the CPU by its float32 kernel; without
    gradients it is always torch's kernel, which the parity figures were taken with. ``mask`` is
    True where a query may see a key, or what :func:`mask_bias` makes of that; ``scale`` is
    1 / sqrt(channel) when None.
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
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def mask_bias(mask: Tensor) -> Tensor:
    """Returns what a boolean mask adds to the products: 0 or minus infinity.

    Torch's kernel for CPUs makes this of every boolean mask; once for several layers is faster.
    """
    return torch.where(mask, 0.0, -torch.inf)
