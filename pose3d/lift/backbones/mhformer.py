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
from pose3d.lift.backbones.hypotheses import HypothesisBlock, HypothesisHead, layer_norm
from pose3d.lift.backbones.transformer import Block, rising_rates
from pose3d.lift.published.description import Checkpoint, Configuration, Published, centre_only

HYPOTHESES = 3  # of the published networks
MOST_HYPOTHESES = 6  # those of two answers are paired by trying all orders
STAGES = ("generation", "refinement", "interaction")


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
        self.norm_out = layer_norm(frames)

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


class MHFormer(nn.Module):
    """The backbone, cut at its refinement and interaction blocks.
    Tokens are ``(batch, frame, hypothesis, dim)``. First come the published SHR blocks, so HoT's
    ``layer_index`` is ours, then the CHI blocks (published: one), the last with a norm. The
    generators (MHG) are part of the embedding: frames are channels there, so ``generator_heads``
    divide ``frames``. ``channels_in``: 2 (x, y) or 3 (x, y, confidence); ``batch_norm`` (and ReLU
    in the embedding): None, as HoT's code, up to 27 frames; ``drop_path`` (of the last block,
    rising linearly from 0): 0.2 in the paper; ``dropout``: 0.1 in its code; ``hypothesis_heads``:
    none in the published networks, they read tokens after ``hypothesis_stage`` (in ``STAGES``)."""

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
        hypothesis_stage: str = "interaction",
        dropout: float = 0.0,
        hypotheses: int = HYPOTHESES,
        interactions: int = 1,
    ) -> None:
        super().__init__()
        if not 2 <= hypotheses <= MOST_HYPOTHESES or interactions < 1:
            raise ValueError(
                f"{hypotheses} hypotheses (of 2 to {MOST_HYPOTHESES}) in {interactions} interactions"
            )
        if hypothesis_stage not in STAGES:
            raise ValueError(f"hypothesis_stage is {hypothesis_stage!r}, not {', '.join(STAGES)}")
        self.dropout, self.frames, self.joints, self.dim = dropout, frames, joints, dim
        self.n_blocks = refinements + interactions
        stops = (0, refinements, self.n_blocks)
        self.hypotheses_before = stops[STAGES.index(hypothesis_stage)]
        coordinates, wide = joints * channels_in, hypotheses * dim
        normed = frames <= 27 if batch_norm is None else batch_norm
        self.generators = nn.ModuleList(
            Generator(frames, coordinates, generator_depth, generator_heads, drop_path, dropout)
            for _ in range(hypotheses)
        )
        self.embeddings = nn.ModuleList(
            Embedding(coordinates, dim, batch_norm=normed) for _ in range(hypotheses)
        )
        self.frame_positions = nn.ParameterList(
            nn.Parameter(torch.zeros(1, frames, dim)) for _ in range(hypotheses)
        )
        *blocks, last = (
            HypothesisBlock(
                dim, heads, hidden, r, dropout, across=i >= refinements, hypotheses=hypotheses
            )
            for i, r in enumerate(rising_rates(drop_path, self.n_blocks))
        )
        self.refinements = nn.ModuleList(blocks[:refinements])
        self.earlier_interactions = nn.ModuleList(blocks[refinements:])
        self.interaction = last
        self.norm = layer_norm(wide)
        self.head_norm = nn.BatchNorm1d(wide)
        self.head_linear = nn.Linear(wide, joints * 3)
        self.hypothesis_heads: nn.ModuleList | None = None
        if hypothesis_heads:
            self.hypothesis_heads = nn.ModuleList(
                HypothesisHead(dim, joints) for _ in range(hypotheses)
            )

    @property
    def n_hypotheses(self) -> int:
        """Poses that :meth:`hypothesis_poses` answers with; 0 without heads for them."""
        return 0 if self.hypothesis_heads is None else len(self.hypothesis_heads)

    def hypotheses(self, keypoints: Tensor) -> Tensor:
        """Returns ``(batch, frame, hypothesis, dim)`` of the generators, the shallowest hypothesis first."""
        x = keypoints.permute(0, 2, 3, 1).flatten(1, 2)  # batch (joint channel_in) frame
        tokens = []
        for generator, embedding in zip(self.generators, self.embeddings, strict=True):
            x = generator(x)
            tokens.append(embedding(x))
        return torch.stack(tokens, 2)  # batch frame hypothesis dim

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, joint, channel_in)`` into tokens ``(batch, frame, hypothesis, dim)``."""
        tokens = self.hypotheses(keypoints) + torch.stack(list(self.frame_positions), 2)
        return functional.dropout(tokens, self.dropout, self.training)

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs block ``i`` on ``(batch, frame, hypothesis, dim)``, any number of frames."""
        tokens = self._blocks[i](tokens)
        if i < self.n_blocks - 1:
            return tokens
        return self.norm(tokens.flatten(2)).view(tokens.shape)

    @property
    def _blocks(self) -> list[Any]:
        return [*self.refinements, *self.earlier_interactions, self.interaction]

    def pooled(self, tokens: Tensor) -> Tensor:
        """Returns what clustering compares: the hypotheses side by side, ``(batch, frame, 3 dim)``."""
        return tokens.flatten(2)

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives in block ``i``: ``(batch, frame)``."""
        received: Tensor = self._blocks[i].received(tokens)
        return received

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, hypothesis, dim)`` into joints ``(batch, frame, joint, 3)``."""
        b, f = tokens.shape[:2]
        x = self.head_norm(tokens.flatten(2).flatten(0, 1))  # (batch frame) (hypothesis dim)
        return self.head_linear(x).view(b, f, self.joints, 3)

    def hypothesis_poses(self, tokens: Tensor) -> Tensor:
        """Turns ``(batch, frame, hypothesis, dim)`` into poses ``(batch, frame, hypothesis, joint, 3)``.
        Reference: the additional regression layers behind the paper's pictures of hypotheses.
        Differs: no code was published; the loss is ours (:mod:`pose3d.lab.training.losses`). After
        generation tokens already have their positions."""
        assert self.hypothesis_heads is not None
        parts = zip(self.hypothesis_heads, tokens.unbind(2), strict=True)
        return torch.stack(
            [head(part) for head, part in parts], 2
        )  # batch frame hypothesis joint 3
