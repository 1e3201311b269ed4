"""MixSTE written down as its paper describes it, without any care for speed: the twin of ours.

Attention is two products with a softmax between them, the tokens are rearranged before and after
every block, and each step makes a new tensor. It is what ours is compared with
(``tests/lift/test_linear.py``), so it has to stay plain: do not make it faster.

Reference: Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose
Estimation in Video", CVPR 2022, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainAttention(nn.Module):
    """Multi-head attention in three steps: scores, softmax, weighted sum."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes ``(batch, token, channel)`` along ``token``."""
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # batch head token channel/head
        scores = q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5
        mixed = scores.softmax(dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(b, n, c))  # batch token channel


class PlainBlock(nn.Module):
    """Norm, attention, sum; norm, MLP, sum."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PlainAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, token, channel)`` to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class PlainMixSTE(nn.Module):
    """The whole network, with the parameter names of :class:`pose3d.lift.backbones.mixste.MixSTE`.

    Args:
        frames: window length F.
        channels_in: 2 or 3.
        dim: channels of a token.
        depth: pairs of blocks.
        heads: attention heads.
        mlp_ratio: MLP channels over ``dim``.
    """

    def __init__(
        self,
        *,
        frames: int = 243,
        channels_in: int = 2,
        dim: int = 512,
        depth: int = 8,
        heads: int = 8,
        mlp_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.joint_embed = nn.Linear(channels_in, dim)
        self.joint_position = nn.Parameter(torch.zeros(1, 17, dim))
        self.frame_position = nn.Parameter(torch.zeros(1, frames, dim))
        self.spatial_blocks = nn.ModuleList(PlainBlock(dim, heads, hidden) for _ in range(depth))
        self.temporal_blocks = nn.ModuleList(PlainBlock(dim, heads, hidden) for _ in range(depth))
        self.spatial_norm = nn.LayerNorm(dim, eps=1e-6)
        self.temporal_norm = nn.LayerNorm(dim, eps=1e-6)
        self.head_norm = nn.LayerNorm(dim)
        self.head_linear = nn.Linear(dim, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lifts ``(batch, frame, joint, channel_in)`` to ``(batch, frame, joint, 3)``."""
        b, f, j, _ = keypoints.shape
        pairs = zip(self.spatial_blocks, self.temporal_blocks, strict=True)
        x = self.joint_embed(keypoints) + self.joint_position
        for i, (spatial, temporal) in enumerate(pairs):
            x = x.reshape(b * f, j, -1)  # (batch frame) joint channel
            x = self.spatial_norm(spatial(x))
            x = x.reshape(b, f, j, -1).permute(0, 2, 1, 3)  # batch joint frame channel
            x = x.reshape(b * j, f, -1)  # (batch joint) frame channel
            x = x + self.frame_position if i == 0 else x
            x = self.temporal_norm(temporal(x))
            x = x.reshape(b, j, f, -1).permute(0, 2, 1, 3)  # batch frame joint channel
        return self.head_linear(self.head_norm(x))
