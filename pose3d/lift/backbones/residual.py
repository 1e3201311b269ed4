"""The plain per-frame lifter: a residual network on the joints of one frame, blind to time.
Reference: Martinez et al., "A simple yet effective baseline for 3d human pose estimation", ICCV
2017, section 3 and figure 2: linear, batch norm, ReLU, dropout, twice with a residual, two blocks.
Differs: no limit on the norm of the weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pose3d.lift.backbones.linear import Linear
from pose3d.lift.published.description import Configuration


class Residual(nn.Module):
    """The backbone: all joints of a frame are one token; every frame passes alone.
    ``channels_in``: 2 (x, y) or 3 (x, y, confidence); ``depth``: residual blocks."""

    published = None  # whoever wants it trains it
    configurations: ClassVar = {
        "residual": Configuration({"frames": 1, "channels_in": 2, "dim": 1024, "depth": 2})
    }

    def __init__(
        self,
        *,
        frames: int = 1,
        joints: int = 17,
        channels_in: int = 2,
        dim: int = 1024,
        depth: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.frames, self.joints, self.dim, self.n_blocks = frames, joints, dim, depth
        self.entry = _Layer(joints * channels_in, dim, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(_Layer(dim, dim, dropout), _Layer(dim, dim, dropout))
            for _ in range(depth)
        )
        self.head_linear = nn.Linear(dim, joints * 3)

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, joint, channel_in)`` into tokens ``(batch, frame, 1, dim)``."""
        return self.entry(keypoints.flatten(2))[:, :, None]  # batch frame 1 channel

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs residual block ``i`` on ``(batch, frame, 1, dim)``; any number of frames."""
        return tokens + self.blocks[i](tokens)

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns ``(batch, frame)`` ones: every frame sees itself and nothing else."""
        return torch.ones_like(tokens[:, :, 0, 0])

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, 1, dim)`` into joints ``(batch, frame, joint, 3)``."""
        flat = self.head_linear(tokens[:, :, 0])  # batch frame (joint 3)
        return flat.unflatten(-1, (self.joints, 3))  # batch frame joint 3


class _Layer(nn.Module):
    """Linear, batch norm over everything but channels, ReLU, dropout."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.linear = Linear(channels_in, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(..., channel_in)`` to ``(..., channel)``."""
        y = self.linear(x)
        y = self.norm(y.flatten(0, -2)).view(y.shape).relu()
        return nn.functional.dropout(y, self.dropout, self.training)
