"""MotionBERT's dual-stream transformer (DSTformer): space first and time first, mixed per token.
Reference: Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations",
ICCV 2023, section 3.2; tensor names of ``lib/model/DSTformer.py`` in Walter0807/MotionBERT and
``model/motionbert/hot_motionbert.py`` in NationalGAILab/HoT; sizes of the former's ``configs``.
Differs: no dropout (published: 0); attention through ``scaled_dot_product_attention``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import (
    LAYER_NORM_EPS,
    Block,
    Fusion,
    over_frames,
    over_joints,
    pool_joints,
    received_over_frames,
    rising_rates,
)
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.published.description import Checkpoint, Configuration, Published


def _read_sizes(file: Checkpoint) -> dict[str, Any]:
    sizes = file.read_transformer(
        embed="joints_embed.weight",
        joints="pos_embed",
        frames=("temp_embed", 4),
        blocks="blocks_st.",
        mlp="mlp_s",
    )
    return {**sizes, "dim_rep": file.shape("pre_logits.fc.weight", 2)[0]}


_STREAM_WORDS = {
    f"{part}_{axis[0]}": f"{axis}.{part}"
    for part in ("norm1", "attn", "norm2", "mlp")
    for axis in ("spatial", "temporal")
}
_PUBLISHED = Published(
    title="MotionBERT",
    mark="blocks_st.0.attn_s.qkv.weight",
    modules={
        "joints_embed": "joint_embed",
        "pos_embed": "joint_position",
        "temp_embed": "frame_position",
        "blocks_st": "space_first",
        "blocks_ts": "time_first",
        "ts_attn": "fusions",
        "norm": "norm",
        "pre_logits.fc": "rep_linear",
        "head": "head_linear",
    },
    words={
        "space_first": _STREAM_WORDS,
        "time_first": _STREAM_WORDS,
        "fusions": {"weight": "linear.weight", "bias": "linear.bias"},
    },
    read_sizes=_read_sizes,
    mapping="motionbert",
    normalisation="crop",  # infer_wild.py, unless it is asked for pixels
    units="picture",
)
_FULL = {"frames": 243, "channels_in": 3, "dim": 512, "depth": 5, "heads": 8, "mlp_ratio": 2.0}
_FULL["dim_rep"] = 512
_LITE = {**_FULL, "dim": 256, "mlp_ratio": 4.0}


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
    """The backbone, cut at its dual-stream blocks, counted as HoT's ``layer_index``.

    A block is a space-first and a time-first one with their fusion; the last includes the published
    norm after all blocks. ``channels_in``: 2 (x, y) or 3 (x, y, confidence); ``dim_rep``: channels
    that the head reads; ``drop_path``: of the last block, rising linearly from 0; 0 in the paper.
    """

    published = _PUBLISHED
    pooled = staticmethod(pool_joints)
    first_prunable = 0
    time_first: Any  # nn.ModuleList of StreamBlock
    configurations: ClassVar = {
        "motionbert": Configuration(_FULL),
        "motionbert-lite": Configuration(_LITE),
        "hot-motionbert": Configuration(_LITE, HourglassOptions(keep=(81,), at=(1,))),
    }

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
        rates = rising_rates(drop_path, depth)
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

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention frames receive in time-first block ``i``: ``(batch, frame)``."""
        block = self.time_first[i].temporal
        return received_over_frames(block.attn, block.norm1, tokens)

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, joint, dim)`` into joints ``(batch, frame, joint, 3)``."""
        return self.head_linear(self.rep_linear(tokens).tanh())
