"""MixSTE: alternating spatial and temporal transformer blocks, one 3D pose for every frame in.
Reference: Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose
Estimation in Video", CVPR 2022; tensor names of ``model/mixste/hot_mixste.py`` in
NationalGAILab/HoT@f8d7214; sizes of MixSTE's ``run.py`` and HoT's README.
Differs: no dropout; attention through ``scaled_dot_product_attention``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.transformer import (
    LAYER_NORM_EPS,
    Block,
    over_frames,
    over_joints,
    received_over_frames,
    rising_rates,
)
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.published.description import Checkpoint, Configuration, Published, centre_only


def _read_sizes(file: Checkpoint) -> dict[str, Any]:
    return file.read_transformer(
        embed="Spatial_patch_to_embedding.weight",
        joints="Spatial_pos_embed",
        frames=("Temporal_pos_embed", 3),
        blocks="STEblocks.",
        mlp="mlp",
    )


_PUBLISHED = Published(
    title="MixSTE",
    mark="STEblocks.0.attn.qkv.weight",
    modules={
        "STEblocks": "spatial_blocks",
        "TTEblocks": "temporal_blocks",
        "Spatial_norm": "spatial_norm",
        "Temporal_norm": "temporal_norm",
        "Spatial_patch_to_embedding": "joint_embed",
        "Spatial_pos_embed": "joint_position",
        "Temporal_pos_embed": "frame_position",
        "head.0": "head_norm",
        "head.1": "head_linear",
    },
    read_sizes=_read_sizes,
)
_SIZES = {"frames": 243, "channels_in": 2, "dim": 512, "depth": 8, "heads": 8, "mlp_ratio": 2.0}


class MixSTE(nn.Module):
    """The backbone, cut at its ``depth`` pairs of a spatial (joints) and a temporal (frames) block.
    ``channels_in``: 2 (x, y) or 3 (x, y, confidence); ``drop_path``: stochastic depth of the last
    block, rising linearly from 0; 0.1 in the paper."""

    published = _PUBLISHED
    configurations: ClassVar = {
        "mixste": Configuration(_SIZES),
        "hot-mixste": Configuration(_SIZES, HourglassOptions(keep=(81,), at=(3,))),
        "tpc-mixste": Configuration(_SIZES, centre_only(61, 7)),
    }

    def __init__(
        self,
        *,
        frames: int = 243,
        joints: int = 17,
        channels_in: int = 2,
        dim: int = 512,
        depth: int = 8,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.frames, self.joints, self.dim, self.n_blocks = frames, joints, dim, depth
        hidden = int(dim * mlp_ratio)
        rates = rising_rates(drop_path, depth)
        self.joint_embed = nn.Linear(channels_in, dim)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, dim))
        self.frame_position = nn.Parameter(torch.zeros(1, frames, dim))
        self.spatial_blocks = nn.ModuleList(Block(dim, heads, hidden, r) for r in rates)
        self.temporal_blocks = nn.ModuleList(Block(dim, heads, hidden, r) for r in rates)
        # One norm of each kind serves all block pairs, as in the published network.
        self.spatial_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.temporal_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.head_norm = nn.LayerNorm(dim)
        self.head_linear = nn.Linear(dim, 3)

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, joint, channel_in)`` into tokens ``(batch, frame, joint, dim)``."""
        return self.joint_embed(keypoints) + self.joint_position

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs block pair ``i`` on ``(batch, frame, joint, dim)``; any number of frames if i > 0."""
        return self._mix_frames(i, self._mix_joints(i, tokens))

    def frame_features(self, keypoints: Tensor) -> Tensor:
        """Returns what is known of each frame before any frame sees another one."""
        return self._mix_joints(0, self.embed(keypoints))

    def first_block(self, features: Tensor) -> Tensor:
        """Returns the tokens after block 0 from :meth:`frame_features` of a window."""
        return self._mix_frames(0, features)

    def _mix_joints(self, i: int, tokens: Tensor) -> Tensor:
        return over_joints(lambda x: self.spatial_norm(self.spatial_blocks[i](x)), tokens)

    def _mix_frames(self, i: int, tokens: Tensor) -> Tensor:
        def mix(x: Tensor) -> Tensor:
            x = x + self.frame_position if i == 0 else x
            return self.temporal_norm(self.temporal_blocks[i](x))

        return over_frames(mix, tokens)

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives in temporal block ``i``: ``(batch, frame)``."""
        block, tokens = self.temporal_blocks[i], self._mix_joints(i, tokens)
        assert isinstance(block, Block)
        if i == 0:
            tokens = tokens + self.frame_position[:, :, None]
        return received_over_frames(block.attn, block.norm1, tokens)

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, joint, dim)`` into joints ``(batch, frame, joint, 3)``."""
        return self.head_linear(self.head_norm(tokens))
