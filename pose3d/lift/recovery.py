"""From the kept frames back to all of them: by learned queries, or in time.
Reference: Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose
Estimation", CVPR 2024, section 3.3 (TRA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import attend


class CrossAttention(nn.Module):
    """The light recovery of HoT (TRA): learned queries attend once to the kept tokens.
    Differs: a first guess of each frame's token may join its query; the attention adds to it."""

    published_order = False

    def __init__(self, dim: int, heads: int, frames: int, *, bias: bool = True) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels")
        self.heads = heads
        self.queries = nn.Parameter(torch.zeros(1, frames, dim))
        self.linear_q = Linear(dim, dim, bias=bias)
        self.linear_k = Linear(dim, dim, bias=bias)
        self.linear_v = Linear(dim, dim, bias=bias)
        self.proj = Linear(dim, dim)
        nn.init.trunc_normal_(self.queries, std=0.02)

    def forward(
        self, x: Tensor, asked: Tensor | None = None, guess: Tensor | None = None
    ) -> Tensor:
        """Recovers tokens ``(batch, asked, channel)`` from kept ones ``(batch, kept, channel)``.

        ``asked`` ``(batch, asked)``: frame numbers, None: all; ``guess``: shaped like the answer.
        """
        b, n, c = x.shape
        answer: Tensor = self.queries  # 1 frames channel
        if guess is None:
            # These queries do not depend on the sample: one projection serves the whole batch.
            q = self.linear_q(answer)
            if asked is not None:
                q, answer = q[0, asked], answer[0, asked]  # batch asked channel
        else:
            answer = guess + (answer if asked is None else answer[0, asked])
            q = self.linear_q(answer)  # batch frames-or-asked channel
        q = q.view(q.shape[0], -1, self.heads, c // self.heads).transpose(1, 2)
        k = self.linear_k(x).view(b, n, self.heads, c // self.heads).transpose(1, 2)
        v = self.linear_v(x).view(b, n, self.heads, c // self.heads).transpose(1, 2)
        q = q.expand(b, -1, -1, -1)
        out = attend(q, k, v, published_order=self.published_order)
        return answer + self.proj(out.transpose(1, 2).reshape(b, -1, c))

    def product_flops(self, x: Tensor, asked: Tensor | None, _guess: Tensor | None) -> int:
        """Counts queries by keys and weights by values."""
        return 2 * 2 * x.numel() * (self.queries if asked is None else asked).shape[1]


def interpolate_frames(x: Tensor, index: Tensor, frames: int, *, nearest: bool) -> Tensor:
    """Spreads kept frames ``(batch, kept, ...)`` linearly over all, ``(batch, frames, ...)``.
    ``index`` ``(batch, kept)`` is sorted; ``nearest``: copy the nearest (of two: the earlier).
    Outside the kept frames both hold."""
    time = torch.arange(frames, device=x.device).expand(index.shape[0], -1).contiguous()
    right = torch.searchsorted(index.contiguous(), time).clamp(max=index.shape[1] - 1)
    left = (right - 1).clamp(min=0)
    t_left, t_right = index.gather(1, left), index.gather(1, right)
    span = (t_right - t_left).clamp(min=1)
    weight = ((time - t_left).to(x.dtype) / span.to(x.dtype)).clamp(0, 1)
    if nearest:
        weight = (weight > 0.5).to(x.dtype)
    extra = (slice(None), slice(None), *([None] * (x.ndim - 2)))
    batch = torch.arange(index.shape[0], device=x.device)[:, None]
    return x[batch, left] * (1 - weight)[extra] + x[batch, right] * weight[extra]
