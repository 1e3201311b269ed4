"""Blocks in which hypotheses attend over time: each to itself (SHR), or across to others (CHI).

Reference: Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR
2022. Differs: it says who interacts with whom of three hypotheses only, see :func:`partners`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import (
    LAYER_NORM_EPS,
    Attention,
    Mlp,
    attend,
    drop_samples,
)


class HypothesisBlock(nn.Module):
    """Each hypothesis attends over time, then one MLP sees all of them.
    To itself (SHR), or ``across`` (CHI): two others give queries and keys to its values; one
    after the other, so the second already sees the new first one."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        drop_path: float,
        dropout: float,
        *,
        across: bool,
        hypotheses: int,
    ) -> None:
        super().__init__()
        wide = hypotheses * dim
        attention = TripleAttention if across else Attention
        self.norms = nn.ModuleList(
            nn.ModuleList(map(layer_norm, [dim] * 3)) if across else layer_norm(dim)
            for _ in range(hypotheses)
        )
        self.attentions = nn.ModuleList(
            attention(dim, heads, dropout=dropout) for _ in range(hypotheses)
        )
        self.norm = layer_norm(wide)
        self.mlp = Mlp(wide, hidden, dropout=dropout)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps ``(batch, frame, hypothesis, channel)`` to the same shape."""
        rate = self.drop_path if self.training else 0.0
        x = list(tokens.unbind(2))  # each: batch frame channel
        for h, attention in enumerate(self.attentions):
            x[h] = x[h] + drop_samples(attention(*self._inputs(h, x)), rate)
        wide = torch.cat(x, -1)  # batch frame (hypothesis channel)
        wide = wide + drop_samples(self.mlp(self.norm(wide)), rate)
        return wide.view(tokens.shape)

    def received(self, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives, mean over hypotheses: ``(batch, frame)``."""
        x = list(tokens.unbind(2))
        parts = [
            attention.received(*self._inputs(h, x)[:2])  # type: ignore[operator]
            for h, attention in enumerate(self.attentions)
        ]
        return torch.stack(parts).mean(0)

    def _inputs(self, h: int, x: list[Tensor]) -> list[Tensor]:
        """Returns what attention ``h`` takes, normed: its own tokens, or queries, keys and values."""
        norms = self.norms[h]
        if not isinstance(norms, nn.ModuleList):
            return [norms(x[h])]
        parts = [x[i] for i in partners(h, len(x))] + [x[h]]
        return [norm(part) for norm, part in zip(norms, parts, strict=True)]


def partners(h: int, hypotheses: int) -> tuple[int, int]:
    """Returns which hypotheses give queries and keys to the values of ``h`` in an interaction.
    Of three the other two, in order; of more the next two; of two the other one twice."""
    first, second = sorted(((h + 1) % hypotheses, (h + 2) % hypotheses))
    return (1 - h, 1 - h) if hypotheses == 2 else (first, second)


def layer_norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=LAYER_NORM_EPS)


class TripleAttention(nn.Module):
    """Attention whose queries, keys and values come from three different hypotheses."""

    published_order = False

    def __init__(self, dim: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.linear_q = Linear(dim, dim)
        self.linear_k = Linear(dim, dim)
        self.linear_v = Linear(dim, dim)
        self.proj = Linear(dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Maps three tensors ``(batch, frame, channel)`` to one of that shape."""
        b, n, c = q.shape
        q, k, v = self._heads(self.linear_q(q)), self._heads(self.linear_k(k)), self.linear_v(v)
        out = attend(q, k, self._heads(v), published_order=self.published_order)
        out = self.proj(out.transpose(1, 2).reshape(b, n, c))  # batch frame channel
        return functional.dropout(out, self.dropout, self.training)

    def received(self, q: Tensor, k: Tensor) -> Tensor:
        """Returns the attention each frame receives, mean over heads and queries."""
        q, k = self._heads(self.linear_q(q)), self._heads(self.linear_k(k))
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return weights.mean(dim=(1, 2))  # batch frame

    def product_flops(self, q: Tensor, k: Tensor, _v: Tensor) -> int:
        """Counts queries by keys and weights by values."""
        return 2 * 2 * q.numel() * k.shape[1]

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)  # batch head frame channel


class HypothesisHead(nn.Module):
    """Turns the tokens of one hypothesis into poses: a norm and one linear layer."""

    def __init__(self, dim: int, joints: int) -> None:
        super().__init__()
        self.norm = layer_norm(dim)
        self.head_linear = nn.Linear(dim, joints * 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps ``(batch, frame, dim)`` to joints ``(batch, frame, joint, 3)``."""
        return self.head_linear(self.norm(tokens)).unflatten(-1, (-1, 3))  # batch frame joint 3
