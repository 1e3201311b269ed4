"""The transformer block that every lifting backbone is made of.
Reference: Vaswani et al. 2017; pre-norm block as in ViT (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose3d.attention import mix_values
from pose3d.lift.backbones.linear import Linear

LAYER_NORM_EPS = 1e-6  # of MixSTE, MHFormer and MotionBERT; MotionAGFormer has PyTorch's 1e-5


def attend(q: Tensor, k: Tensor, v: Tensor, *, published_order: bool = False) -> Tensor:
    """Attention of ``(batch, head, token, channel)``; see :func:`use_published_order`."""
    if published_order:
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
    return mix_values(q, k, v)


def use_published_order(network: nn.Module) -> None:
    """Sets ``published_order`` of every module: sums as in the published code, to the last bit.
    Ties between frames hang on it, see :func:`~pose3d.lift.pruning.cluster_frames`."""
    for module in network.modules():
        if hasattr(module, "published_order"):
            setattr(module, "published_order", True)  # noqa: B010  (of a class that mypy cannot see)


class Attention(nn.Module):
    """Multi-head self-attention over the second axis; ``bias`` is that of queries, keys and values."""

    published_order = False

    def __init__(self, dim: int, heads: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels")
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(dim, 3 * dim, bias=bias)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes ``(batch, token, channel)`` along ``token``; same shape out."""
        b, n, c = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each: batch head token channel/head
        x = attend(q, k, v, published_order=self.published_order)
        x = self.proj(x.transpose(1, 2).reshape(b, n, c))  # batch token channel
        return functional.dropout(x, self.dropout, self.training)

    def received(self, x: Tensor) -> Tensor:
        """Returns ``(batch, token)`` attention received, mean over heads and queries; sums to 1."""
        b, n, c = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, c // self.heads)
        q, k, _ = qkv.permute(2, 0, 3, 1, 4)  # batch head token channel/head
        weights = (q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5).softmax(-1)
        return weights.mean(dim=(1, 2))  # batch token

    def product_flops(self, x: Tensor) -> int:
        """Counts queries by keys and weights by values."""
        return 2 * 2 * x.numel() * x.shape[1]


class Mlp(nn.Module):
    """Two linear layers with GELU between them, dropout after each."""

    def __init__(self, dim: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1 = Linear(dim, hidden)
        self.fc2 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(..., channel)`` to the same shape."""
        x = functional.dropout(functional.gelu(self.fc1(x)), self.dropout, self.training)
        return functional.dropout(self.fc2(x), self.dropout, self.training)


class Block(nn.Module):
    """Pre-norm transformer block; ``drop_path`` skips a branch of a sample in training."""

    def __init__(
        self, dim: int, heads: int, hidden: int, drop_path: float = 0.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(dim, heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, hidden, dropout=dropout)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, token, channel)`` to the same shape."""
        x = x + self._drop(self.attn(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _drop(self, branch: Tensor) -> Tensor:
        return drop_samples(branch, self.drop_path if self.training else 0.0)


class Fusion(nn.Module):
    """Mixes two streams of tokens, each token with two weights of its own that add up to 1.
    Reference: adaptive fusion of DSTformer (Zhu et al., ICCV 2023, equation 6)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * dim, 2)
        nn.init.zeros_(self.linear.weight)  # both streams count the same at first
        nn.init.constant_(self.linear.bias, 0.5)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Mixes two tensors ``(..., channel)`` into one of the same shape."""
        weight = self.linear(torch.cat([a, b], -1)).softmax(-1)  # ... stream
        return a * weight[..., :1] + b * weight[..., 1:]


def drop_samples(branch: Tensor, rate: float) -> Tensor:
    """Stochastic depth: zeroes ``rate`` of samples ``(batch, token, channel)``, mean kept."""
    if rate == 0.0:
        return branch
    keep = 1.0 - rate
    mask = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
    return branch * (mask.to(branch.dtype) / keep)


def rising_rates(last: float, blocks: int) -> list[float]:
    """Returns the rate of each block, rising linearly from 0."""
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]


def over_joints(block: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Runs a block of ``(batch, token, channel)`` on the joints of each frame alone; same shape."""
    return block(tokens.flatten(0, 1)).view(tokens.shape)  # (batch frame) joint channel inside


def over_frames(block: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Runs a block of ``(batch, token, channel)`` on the frames of each joint alone; same shape."""
    b, f, j, c = tokens.shape
    x = block(tokens.transpose(1, 2).reshape(b * j, f, c))  # (batch joint) frame channel
    return x.view(b, j, f, c).transpose(1, 2)  # batch frame joint channel


def received_over_frames(attention: Attention, norm: nn.Module, tokens: Tensor) -> Tensor:
    """Returns the attention that each frame receives, mean over joints: ``(batch, frame)``."""
    b, f, j, c = tokens.shape
    x = tokens.transpose(1, 2).reshape(b * j, f, c)  # (batch joint) frame channel
    return attention.received(norm(x)).view(b, j, f).mean(1)  # batch frame


def pool_joints(tokens: Tensor) -> Tensor:
    """Returns the mean over joints, ``(batch, frame, channel)``, in the published order of sums."""
    return tokens.transpose(2, 3).contiguous().mean(-1)  # of batch frame channel joint
