"""MotionBERT's dual-stream transformer (DSTformer): space first and time first, mixed per token.

Reference: Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations",
ICCV 2023, section 3.2; sizes from ``configs/pose3d`` of Walter0807/MotionBERT.
Differs: no dropout (the published configurations set it to 0); attention through
``scaled_dot_product_attention``; windows have one length, shorter ones are padded before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import (
    LAYER_NORM_EPS,
    Block,
    Fusion,
    over_frames,
    over_joints,
)


class StreamBlock(nn.Module):
    """A block over joints and one over frames; which one is first tells the two streams apart."""

    def __init__(
        self, dim: int, heads: int, hidden: int, drop_path: float, *, temporal_first: bool
    ) -> None:
        super().__init__()
        self.spatial = Block(dim, heads, hidden, drop_path)
        self.temporal = Block(dim, heads, hidden, drop_path)
        self.temporal_first = temporal_first

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps ``(batch, frame, joint, channel)`` to the same shape."""
        if self.temporal_first:
            return over_joints(self.spatial, over_frames(self.temporal, tokens))
        return over_frames(self.temporal, over_joints(self.spatial, tokens))


class MotionBERT(nn.Module):
    """The backbone, cut at its dual-stream blocks.

    Blocks are counted like the published ``depth``: block ``i`` is the pair of the i-th space-first
    and the i-th time-first block with their fusion, so that HoT's ``layer_index`` is ours. The last
    one includes the norm that the published code applies after all blocks, because a recovery comes
    after that norm.

    Args:
        frames: window length F.
        joints: joints J.
        channels_in: 2 (x, y) or 3 (x, y, confidence); 3 in the paper.
        dim: channels of a token; 512 in the paper, 256 in its lite version.
        depth: dual-stream blocks; 5 in the paper.
        heads: attention heads; 8 in the paper.
        mlp_ratio: MLP channels over ``dim``; 2 in the paper, 4 in its lite version.
        dim_rep: channels of the motion representation that the head reads; 512 in the paper.
        drop_path: stochastic depth of the last block, rising linearly from 0; 0 in the paper.
    """

    def __init__(
        self,
        *,
        frames: int = 243,
        joints: int = 17,
        channels_in: int = 2,
        dim: int = 512,
        depth: int = 5,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        dim_rep: int = 512,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.frames, self.joints, self.dim, self.n_blocks = frames, joints, dim, depth
        hidden = int(dim * mlp_ratio)
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.joint_embed = nn.Linear(channels_in, dim)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, dim))
        self.frame_position = nn.Parameter(torch.zeros(1, frames, 1, dim))
        self.space_first = nn.ModuleList(
            StreamBlock(dim, heads, hidden, r, temporal_first=False) for r in rates
        )
        self.time_first = nn.ModuleList(
            StreamBlock(dim, heads, hidden, r, temporal_first=True) for r in rates
        )
        self.fusions = nn.ModuleList(Fusion(dim) for _ in rates)
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.rep_linear = Linear(dim, dim_rep)
        self.head_linear = nn.Linear(dim_rep, 3)

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, joint, channel_in)`` into tokens ``(batch, frame, joint, dim)``."""
        return self.joint_embed(keypoints) + self.joint_position + self.frame_position

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs block ``i`` on ``(batch, frame, joint, dim)``, any number of frames."""
        tokens = self.fusions[i](self.space_first[i](tokens), self.time_first[i](tokens))
        return self.norm(tokens) if i == self.n_blocks - 1 else tokens

    def pooled(self, tokens: Tensor) -> Tensor:
        """Returns what clustering compares, the mean over joints: ``(batch, frame, dim)``.

        The joints lie side by side for it, as in the published code: another order of memory adds
        them in another order, and ties between frames hang on the last bit.
        """
        return tokens.transpose(2, 3).contiguous().mean(-1)  # of batch frame dim joint

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives in block ``i``: ``(batch, frame)``.

        It is that of the time-first stream, whose attention sees the tokens as they are.
        """
        b, f, j, c = tokens.shape
        stream = self.time_first[i]
        assert isinstance(stream, StreamBlock)
        block = stream.temporal
        x = tokens.transpose(1, 2).reshape(b * j, f, c)  # (batch joint) frame channel
        return block.attn.received(block.norm1(x)).view(b, j, f).mean(1)  # batch frame

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, joint, dim)`` into joints ``(batch, frame, joint, 3)``."""
        return self.head_linear(self.rep_linear(tokens).tanh())

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lifts ``(batch, frame, joint, channel_in)`` to ``(batch, frame, joint, 3)``."""
        tokens = self.embed(keypoints)
        for i in range(self.n_blocks):
            tokens = self.block(i, tokens)
        return self.head(tokens)
