"""Tokens that look at each other: TokenPose's transformer, and which of its links are left out.
Tokens are keypoints first, then the patches row by row. A boolean *mask* says which token
(query) may look at which (key), in each head; a link that is left out weighs nothing at all.
Reference: Li et al., "TokenPose: Learning Keypoint Tokens for Human Pose Estimation", ICCV 2021,
``lib/models/tokenpose_base.py`` in leeyegy/TokenPose@2e554fc; Li et al., "Improved TokenPose
with Sparsity", arXiv 2311.09653; Ma et al., "PPT: token-Pruned Pose Transformer", ECCV 2022."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from pose3d.attention import mix_values
from pose3d.body.skeletons import Skeleton

_TEMPERATURE = 10_000.0


def sine_positions(grid_hw: tuple[int, int], dim: int) -> Float[Tensor, "1 patch dim"]:
    """Returns the fixed code of each patch: half of the channels for its row, half for its column.
    Reference: ``_make_sine_position_embedding`` of TokenPose, after DETR (Carion et al. 2020)."""
    if dim % 4:
        raise ValueError(f"{dim} channels cannot be shared out among sine and cosine of two axes")
    half = dim // 2
    exponent = 2 * (torch.arange(half) // 2) / half
    wavelength = _TEMPERATURE**exponent

    def code(count: int) -> Tensor:
        # Patches are counted from 1 and the last one is a whole turn.
        angle = torch.arange(1, count + 1, dtype=torch.float32) / (count + 1e-6) * 2 * math.pi
        angles = angle[:, None] / wavelength
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), 2).flatten(1)

    rows, columns = grid_hw
    y = code(rows)[:, None].expand(rows, columns, half)
    x = code(columns)[None].expand(rows, columns, half)
    return torch.cat((y, x), -1).reshape(1, rows * columns, dim)


class TokenAttention(nn.Module):
    """Multi-head self-attention that can leave out links; ``scale`` is a factor on q times k."""

    def __init__(self, dim: int, heads: int, scale: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels")
        self.heads = heads
        self.scale = scale
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Float[Tensor, "batch token dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, each ``(batch, head, token, dim / head)``."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def look(self, q: Tensor, k: Tensor) -> Float[Tensor, "batch head query key"]:
        """Returns who looks at whom when nothing is masked; rows sum to 1."""
        return (q @ k.transpose(-1, -2) * self.scale).softmax(-1)

    def mix(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Shaped[Tensor, "#batch #head query key"] | None
    ) -> Float[Tensor, "batch token dim"]:
        """Returns what each token has seen, after the last linear layer."""
        x = mix_values(q, k, v, mask=mask, scale=self.scale)
        return self.proj(x.transpose(1, 2).flatten(2))  # batch token dim

    def forward(
        self,
        x: Float[Tensor, "batch token dim"],
        mask: Shaped[Tensor, "#batch #head query key"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Mixes tokens along the links of ``mask`` (None: all)."""
        return self.mix(*self.project(x), mask)


class TokenBlock(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, dim: int, heads: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = TokenAttention(dim, heads, scale)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(
        self,
        x: Float[Tensor, "batch token dim"],
        mask: Shaped[Tensor, "#batch #head query key"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


def prune_links(
    look: Float[Tensor, "batch head query key"],
    keypoints: int,
    keep: float,
    within: Bool[Tensor, "batch head query key"] | None = None,
) -> Bool[Tensor, "batch head query key"]:
    """Returns a mask that leaves each patch, in each head, the patches that it looks at most;
    keypoints keep all. ``look`` is the attention when nothing is masked; ``keep`` a share of all
    patches, rounded up; ``within`` a mask whose links alone may be kept.
    Reference: arXiv 2311.09653, section 3.2. Differs: of equal links exactly so many are kept,
    not all."""
    patches = look.shape[-1] - keypoints
    rank = look.detach()[..., keypoints:, keypoints:]
    if within is not None:
        rank = rank.masked_fill(~within[..., keypoints:, keypoints:], -1.0)
    # Unsorted takes 0.4 times as long.
    best = rank.topk(math.ceil(patches * keep - 1e-9), dim=-1, sorted=False).indices
    mask = torch.ones_like(look, dtype=torch.bool)
    mask[..., keypoints:, keypoints:] = torch.zeros_like(rank, dtype=torch.bool).scatter_(
        -1, best, True
    )
    return mask


def choose_patches(
    look: Float[Tensor, "batch query key"], keypoints: int, count: int
) -> Float[Tensor, "batch count"]:
    """Returns the patches that keypoints look at most, ascending (Ma et al. 2022, section 3.2)."""
    seen = look.detach()[:, :keypoints, keypoints:].sum(1)
    return seen.topk(count, dim=-1).indices.sort(-1).values


def joint_mask(skeleton: Skeleton) -> Bool[np.ndarray, "joint joint"]:
    """Returns who (row) sees whom: itself, its neighbours on the body, its mirror image.
    Reference: arXiv 2311.09653, section 3.3, whose shoulder sees its elbow and the other shoulder.
    Differs: so it does not see the hip, which still sees it (else legs were cut off), and ears see
    the shoulder of their side (else the face was)."""
    mask, at = np.eye(len(skeleton), dtype=bool), skeleton.index
    for a, b in (*skeleton.bones, *enumerate(skeleton.mirror)):
        mask[a, b] = mask[b, a] = True
    for side in ("left", "right"):
        shoulder, ear = at[f"{side}_shoulder"], f"{side}_ear"
        mask[shoulder, at[f"{side}_hip"]] = False
        if ear in at:
            mask[at[ear], shoulder] = True
    return mask


def random_mask(joints: int, pairs: int, seed: int) -> Bool[np.ndarray, "joint joint"]:
    """Returns a mask like :func:`joint_mask` of ``pairs`` drawn at random, to compare with."""
    mask = np.eye(joints, dtype=bool)
    a, b = np.triu_indices(joints, 1)
    drawn = np.random.default_rng(seed).choice(len(a), pairs, replace=False)
    mask[a[drawn], b[drawn]] = mask[b[drawn], a[drawn]] = True
    return mask
