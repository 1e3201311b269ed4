"""MHFormer: three hypotheses of the motion, refined alone and then against each other.

Reference: Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR
2022; tensor names of ``model/mhformer/tpc_mhformer.py`` in NationalGAILab/HoT; sizes of
``common/opt.py`` in Vegetebird/MHFormer.
Differs: attention through ``scaled_dot_product_attention``; 1x1 convolutions are linear layers
(both as published after ``use_published_order``); no dropout after the embedding (published: 0.25).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose3d.errors import WeightsError
from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import (
    LAYER_NORM_EPS,
    Attention,
    Block,
    Mlp,
    attend,
    drop_samples,
    rising_rates,
)
from pose3d.lift.published.description import Checkpoint, Configuration, Published, centre_only

HYPOTHESES = 3


def _read_sizes(file: Checkpoint) -> dict[str, Any]:
    hypotheses = sum(f"norm_{h}.weight" in file.state for h in range(1, 10))
    interactions = file.count("Transformer_hypothesis.CHI_blocks.")
    if hypotheses != HYPOTHESES or interactions != 1:
        raise WeightsError(
            f"This MHFormer has {hypotheses} hypotheses and {interactions} interaction blocks",
            "pose3d has the published one with three hypotheses and one interaction block",
        )
    _, frames, dim = file.shape("Transformer_hypothesis.pos_embed_1", 3)
    joints = file.shape("regression.1.weight", 3)[0] // 3
    return {
        "frames": frames,
        "joints": joints,
        "channels_in": file.shape("Transformer_encoder_1.pos_embed", 3)[1] // joints,
        "dim": dim,
        "hidden": file.shape("Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight", 2)[0],
        "heads": file.heads(dim, usual=8),
        "refinements": file.count("Transformer_hypothesis.SHR_blocks."),
        "generator_depth": file.count("Transformer_encoder_1.blocks."),
        "generator_heads": file.heads(
            frames, usual=9, of="the generators", option="--generator-heads"
        ),
        "batch_norm": "embedding_1.1.running_mean" in file.state,
    }


_THREE = range(HYPOTHESES)
_PUBLISHED = Published(
    title="MHFormer",
    mark="Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight",
    modules={
        **{f"norm_{h + 1}": f"generators.{h}.norm_in" for h in _THREE},
        **{f"Transformer_encoder_{h + 1}": f"generators.{h}" for h in _THREE},
        # A sequence of layers in short windows, else one layer.
        **{f"embedding_{h + 1}.0": f"embeddings.{h}.linear" for h in _THREE},
        **{f"embedding_{h + 1}.1": f"embeddings.{h}.norm" for h in _THREE},
        **{f"embedding_{h + 1}": f"embeddings.{h}.linear" for h in _THREE},
        **{f"Transformer_hypothesis.pos_embed_{h + 1}": f"frame_positions.{h}" for h in _THREE},
        "Transformer_hypothesis.SHR_blocks": "refinements",
        "Transformer_hypothesis.CHI_blocks.0": "interaction",
        "Transformer_hypothesis.norm": "norm",
        "regression.0": "head_norm",
        "regression.1": "head_linear",
    },
    words={
        "generators": {"pos_embed": "position", "norm": "norm_out"},
        "refinements": {
            "norm2": "norm",
            **{f"norm1_{h + 1}": f"norms.{h}" for h in _THREE},
            **{f"attn_{h + 1}": f"attentions.{h}" for h in _THREE},
        },
        "interaction": {
            "norm2": "norm",
            **{f"norm3_{h + 1}{i + 1}": f"norms.{h}.{i}" for h in _THREE for i in _THREE},
            **{f"attn_{h + 1}": f"attentions.{h}" for h in _THREE},
        },
    },
    read_sizes=_read_sizes,
    joint_axes={
        "*.generators.*.position": 1,
        "*.embeddings.*.linear.weight": 1,
        "*.head_linear.*": 0,
    },
    # main.py and demo/vis.py take the middle frame of one window a frame, though the network answers
    # for every frame of it.
    pipeline="seq2frame",
    hints=("generator_heads",),
    prunable="refinements",  # the published loop over blocks ends before the interaction
    has_hot=False,
)


def _sizes(frames: int) -> dict[str, Any]:
    sizes = {"channels_in": 2, "dim": 512, "hidden": 1024, "heads": 8, "refinements": 2}
    generators = {"generator_depth": 4, "generator_heads": 9}
    return {"frames": frames, **sizes, **generators, "batch_norm": frames <= 27}


class Generator(nn.Module):
    """Makes one hypothesis from the one before (MHG): coordinates are tokens, frames channels."""

    def __init__(
        self,
        frames: int,
        coordinates: int,
        depth: int,
        heads: int,
        drop_path: float,
        dropout: float,
    ) -> None:
        super().__init__()
        rates = rising_rates(drop_path, depth)
        self.norm_in = nn.LayerNorm(frames)
        self.position = nn.Parameter(torch.zeros(1, coordinates, frames))
        self.dropout = dropout
        self.blocks = nn.ModuleList(Block(frames, heads, 2 * frames, r, dropout) for r in rates)
        self.norm_out = _norm(frames)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, coordinate, frame)`` to the same shape."""
        change = self.norm_in(x) + self.position
        change = functional.dropout(change, self.dropout, self.training)
        for block in self.blocks:
            change = block(change)
        return x + self.norm_out(change)


class Embedding(nn.Module):
    """Turns the coordinates of each frame into one token; short windows get batch norm and ReLU."""

    published_order = False

    def __init__(self, coordinates: int, dim: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(coordinates, dim)
        self.norm = nn.BatchNorm1d(dim) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, coordinate, frame)`` to ``(batch, frame, dim)``."""
        if self.published_order:  # sums of a convolution, which differ in the last bit
            weight = self.linear.weight[..., None]  # dim coordinate 1
            x = functional.conv1d(x, weight, self.linear.bias).transpose(1, 2)
        else:
            x = self.linear(x.transpose(1, 2))  # batch frame dim
        if self.norm is None:
            return x
        return self.norm(x.flatten(0, 1)).view(x.shape).relu()


class HypothesisBlock(nn.Module):
    """Each hypothesis attends over time, then one MLP sees all three.
    To itself (SHR), or ``across`` (CHI): the other two give queries and keys to its values; one
    after the other, so the second already sees the new first one."""

    def __init__(
        self, dim: int, heads: int, hidden: int, drop_path: float, dropout: float, *, across: bool
    ) -> None:
        super().__init__()
        wide = HYPOTHESES * dim
        attention = TripleAttention if across else Attention
        self.norms = nn.ModuleList(
            nn.ModuleList(map(_norm, [dim] * 3)) if across else _norm(dim)
            for _ in range(HYPOTHESES)
        )
        self.attentions = nn.ModuleList(
            attention(dim, heads, dropout=dropout) for _ in range(HYPOTHESES)
        )
        self.norm = _norm(wide)
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
        parts = [other for i, other in enumerate(x) if i != h] + [x[h]]
        return [norm(part) for norm, part in zip(norms, parts, strict=True)]


def _norm(channels: int) -> nn.LayerNorm:
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
        self.norm = _norm(dim)
        self.head_linear = nn.Linear(dim, joints * 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps ``(batch, frame, dim)`` to joints ``(batch, frame, joint, 3)``."""
        return self.head_linear(self.norm(tokens)).unflatten(-1, (-1, 3))  # batch frame joint 3


class MHFormer(nn.Module):
    """The backbone, cut at its refinement and interaction blocks.
    Tokens are ``(batch, frame, 3 hypotheses, dim)``. Blocks before the last are the published SHR
    blocks, so HoT's ``layer_index`` is ours; the last is the CHI block with its norm. The
    generators (MHG) are part of the embedding: frames are channels there, so ``generator_heads``
    divide ``frames``. ``channels_in``: 2 (x, y) or 3 (x, y, confidence); ``batch_norm`` (and ReLU
    in the embedding): None, as HoT's code, up to 27 frames; ``drop_path`` (of the last block,
    rising linearly from 0): 0.2 in the paper; ``dropout``: 0.1 in its code; ``hypothesis_heads``:
    none in the published networks."""

    published = _PUBLISHED
    first_prunable = 0
    configurations: ClassVar = {
        **{f"mhformer-{frames}": Configuration(_sizes(frames)) for frames in (27, 81, 243, 351)},
        "tpc-mhformer": Configuration(_sizes(351), centre_only(117, 1)),
    }

    def __init__(
        self,
        *,
        frames: int = 351,
        joints: int = 17,
        channels_in: int = 2,
        dim: int = 512,
        hidden: int = 1024,
        heads: int = 8,
        refinements: int = 2,
        generator_depth: int = 4,
        generator_heads: int = 9,
        batch_norm: bool | None = None,
        drop_path: float = 0.0,
        hypothesis_heads: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.frames, self.joints, self.dim, self.n_blocks = frames, joints, dim, refinements + 1
        coordinates, wide = joints * channels_in, HYPOTHESES * dim
        normed = frames <= 27 if batch_norm is None else batch_norm
        self.generators = nn.ModuleList(
            Generator(frames, coordinates, generator_depth, generator_heads, drop_path, dropout)
            for _ in range(HYPOTHESES)
        )
        self.embeddings = nn.ModuleList(
            Embedding(coordinates, dim, batch_norm=normed) for _ in range(HYPOTHESES)
        )
        self.frame_positions = nn.ParameterList(
            nn.Parameter(torch.zeros(1, frames, dim)) for _ in range(HYPOTHESES)
        )
        rates = rising_rates(drop_path, refinements + 1)
        self.refinements = nn.ModuleList(
            HypothesisBlock(dim, heads, hidden, r, dropout, across=False) for r in rates[:-1]
        )
        self.interaction = HypothesisBlock(dim, heads, hidden, rates[-1], dropout, across=True)
        self.norm = _norm(wide)
        self.head_norm = nn.BatchNorm1d(wide)
        self.head_linear = nn.Linear(wide, joints * 3)
        self.hypothesis_heads: nn.ModuleList | None = None
        if hypothesis_heads:
            self.hypothesis_heads = nn.ModuleList(
                HypothesisHead(dim, joints) for _ in range(HYPOTHESES)
            )

    @property
    def n_hypotheses(self) -> int:
        """Poses that :meth:`hypothesis_poses` answers with: 3, or 0 without heads for them."""
        return 0 if self.hypothesis_heads is None else len(self.hypothesis_heads)

    def hypotheses(self, keypoints: Tensor) -> Tensor:
        """Returns ``(batch, frame, 3, dim)`` of the generators, the shallowest hypothesis first."""
        x = keypoints.permute(0, 2, 3, 1).flatten(1, 2)  # batch (joint channel_in) frame
        tokens = []
        for generator, embedding in zip(self.generators, self.embeddings, strict=True):
            x = generator(x)
            tokens.append(embedding(x))
        return torch.stack(tokens, 2)  # batch frame hypothesis dim

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, joint, channel_in)`` into tokens ``(batch, frame, 3, dim)``."""
        tokens = self.hypotheses(keypoints) + torch.stack(list(self.frame_positions), 2)
        return functional.dropout(tokens, self.dropout, self.training)

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs block ``i`` on ``(batch, frame, 3, dim)``, any number of frames."""
        if i < self.n_blocks - 1:
            return self.refinements[i](tokens)
        return self.norm(self.interaction(tokens).flatten(2)).view(tokens.shape)

    def pooled(self, tokens: Tensor) -> Tensor:
        """Returns what clustering compares: the hypotheses side by side, ``(batch, frame, 3 dim)``."""
        return tokens.flatten(2)

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives in block ``i``: ``(batch, frame)``."""
        block = self.refinements[i] if i < self.n_blocks - 1 else self.interaction
        assert isinstance(block, HypothesisBlock)
        return block.received(tokens)

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, 3, dim)`` into joints ``(batch, frame, joint, 3)``."""
        b, f = tokens.shape[:2]
        x = self.head_norm(tokens.flatten(2).flatten(0, 1))  # (batch frame) (hypothesis dim)
        return self.head_linear(x).view(b, f, self.joints, 3)

    def hypothesis_poses(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, 3, dim)`` into poses ``(batch, frame, 3, joint, 3)``.
        Reference: the additional regression layers behind the paper's pictures of hypotheses.
        Differs: no code was published; the loss is ours (:mod:`pose3d.lab.training.losses`)."""
        assert self.hypothesis_heads is not None
        parts = zip(self.hypothesis_heads, tokens.unbind(2), strict=True)
        return torch.stack([head(part) for head, part in parts], 2)  # batch frame 3 joint 3
