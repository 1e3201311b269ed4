"""MotionAGFormer: a transformer stream and a graph stream side by side, mixed per token.

Reference: Mehraban et al., "MotionAGFormer: Enhancing 3D Human Pose Estimation with a
Transformer-GCNFormer Network", WACV 2024; tensor names of ``model/MotionAGFormer.py`` in
TaatiTeam/MotionAGFormer and ``model/motionagformer/hot_motionagformer.py`` in NationalGAILab/HoT;
sizes of ``configs/h36m`` in the former.
Differs: only the published configuration (layer scale, adaptive fusion, neighbours by similarity);
degrees scale rows; similarities are float32, because rounded ones tie and a tie makes a neighbour.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.lift.backbones.linear import Linear
from pose3d.lift.backbones.transformer import (
    Attention,
    Fusion,
    Mlp,
    drop_samples,
    over_frames,
    over_joints,
    pool_joints,
    received_over_frames,
)
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.published.description import Checkpoint, Configuration, Published
from pose3d.weights.checkpoint import divide

JOINTS = len(H36M17)
_GRAPH = "layers.{}.graph_temporal.mixer.batch_norm.weight"


def _read_sizes(file: Checkpoint) -> dict[str, Any]:
    heads, neighbours = file.hints.heads, file.hints.neighbours
    if heads is None or neighbours is None:
        raise UsageError(
            "The tensors of a MotionAGFormer do not tell its heads and temporal neighbours",
            "Give --heads 8 --neighbours 2 (published), or 4 and 4 (HoT-MotionAGFormer)",
        )
    if neighbours < 1:
        raise UsageError(f"--neighbours is {neighbours}", "Give a whole number from 1")
    dim, channels = file.shape("joints_embed.weight", 2)
    return {
        "frames": file.shape(_GRAPH.format(0), 1)[0],
        "channels_in": channels,
        "dim": dim,
        "depth": file.count("layers."),
        "heads": divide(dim, heads, "--heads"),
        "neighbours": neighbours,
        "mlp_ratio": file.shape("layers.0.att_spatial.mlp.fc1.weight", 2)[0] / dim,
        "dim_rep": file.shape("rep_logit.fc.weight", 2)[0],
    }


def _find_steps(file: Checkpoint) -> tuple[tuple[int, int], ...]:
    """Returns (layer, frames) wherever the temporal batch norms become shorter."""
    lengths = [file.shape(_GRAPH.format(i), 1)[0] for i in range(file.count("layers."))]
    pairs = enumerate(itertools.pairwise(lengths), start=1)
    return tuple((i, after) for i, (before, after) in pairs if after != before)


_PUBLISHED = Published(
    title="MotionAGFormer",
    mark="layers.0.att_spatial.mixer.qkv.weight",
    modules={
        "joints_embed": "joint_embed",
        "pos_embed": "joint_position",
        "layers": "layers",
        "norm": "norm",
        "rep_logit.fc": "rep_linear",
        "head": "head_linear",
    },
    words={
        "layers": {
            "att_spatial": "joint_attention",
            "att_temporal": "frame_attention",
            "graph_spatial": "joint_graph",
            "graph_temporal": "frame_graph",
            "layer_scale_1": "scale1",
            "layer_scale_2": "scale2",
            "U": "linear_self",
            "V": "linear_neighbours",
            "batch_norm": "norm",
            "fusion": "fusion.linear",
        },
    },
    read_sizes=_read_sizes,
    find_steps=_find_steps,
    units="picture",
    joint_axes=None,
    hints=("neighbours",),
    recovery_heads=None,
)


def _sizes(
    frames: int, dim: int, depth: int, heads: int = 8, neighbours: int = 2
) -> dict[str, Any]:
    sizes = {"frames": frames, "dim": dim, "depth": depth, "heads": heads}
    return {**sizes, "neighbours": neighbours, "channels_in": 3, "mlp_ratio": 4.0, "dim_rep": 512}


def body_graph() -> Tensor:
    """Returns the normalised ``(joint, joint)`` weights by which joints see parent and children.

    As in the published table, the pelvis does not see the left hip and the thorax neither shoulder.
    """
    links = torch.zeros(JOINTS, JOINTS)
    for parent, child in H36M17.bones:
        links[parent, child] = links[child, parent] = 1
    index = H36M17.index
    links[index["pelvis"], index["left_hip"]] = 0
    links[index["thorax"], [index["left_shoulder"], index["right_shoulder"]]] = 0
    scale = links.sum(1).rsqrt()  # number of neighbours that the joint itself sees
    return scale[:, None] * links * scale


class BodyGraph(nn.Module):
    """Graph convolution over the joints of a frame, along the bones."""

    links: Tensor
    published_order = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_self = Linear(dim, dim)
        self.linear_neighbours = Linear(dim, dim)
        self.norm = nn.BatchNorm1d(JOINTS)
        with torch.device("cpu"):
            links = body_graph()
        self.register_buffer("links", links.to(self.linear_self.weight.device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes ``(batch, joint, channel)`` along ``joint``; same shape out."""
        links = self.links.expand(len(x), -1, -1) if self.published_order else self.links
        gathered = links @ self.linear_neighbours(x)
        return (x + self.norm(gathered + self.linear_self(x))).relu()

    def product_flops(self, x: Tensor) -> int:
        """Counts the product of links by values."""
        return 2 * x.numel() * JOINTS


class SimilarityGraph(nn.Module):
    """Graph convolution over the frames of a joint, each linked to those most similar to it.

    ``neighbours`` counts the frame itself (ties add more). The batch norm has one weight a frame.
    """

    published_order = False

    def __init__(self, dim: int, frames: int, neighbours: int) -> None:
        super().__init__()
        self.linear_self = Linear(dim, dim)
        self.linear_neighbours = Linear(dim, dim)
        self.norm = nn.BatchNorm1d(frames)
        self.neighbours = neighbours

    def forward(self, x: Tensor) -> Tensor:
        """Mixes ``(batch, frame, channel)`` along ``frame``; same shape out."""
        links = self.find_links(x)
        scale = links.sum(-1, keepdim=True).rsqrt()  # batch frame 1
        values = self.linear_neighbours(x)
        if self.published_order:
            gathered = (scale * links * scale.transpose(1, 2)).to(values.dtype) @ values
        else:
            gathered = (scale * (links @ (scale * values).to(links.dtype))).to(values.dtype)
        return (x + self.norm(gathered + self.linear_self(x))).relu()

    def find_links(self, x: Tensor) -> Tensor:
        """Returns 1 where a frame (row) sees another one, else 0: ``(batch, frame, frame)``."""
        kind = x.device.type
        with torch.no_grad():
            x = x.float()
            with (
                torch.autocast(kind, enabled=False)
                if torch.amp.is_autocast_available(kind)
                else nullcontext()
            ):
                similarity = x @ x.transpose(1, 2)
            count = min(self.neighbours, x.shape[1])
            least = similarity.topk(count, dim=-1).values[..., -1:]
            return (similarity >= least).float()

    def product_flops(self, x: Tensor) -> int:
        """Counts the products of frames by frames (similarity) and links by values."""
        return 2 * 2 * x.numel() * x.shape[1]


class ScaledBlock(nn.Module):
    """Pre-norm block around any mixer, with a learned scale for each channel of its branches."""

    def __init__(self, dim: int, mixer: nn.Module, hidden: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)
        self.scale1 = nn.Parameter(torch.full((dim,), 1e-5))
        self.scale2 = nn.Parameter(torch.full((dim,), 1e-5))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, token, channel)`` to the same shape."""
        rate = self.drop_path if self.training else 0.0
        x = x + drop_samples(self.scale1 * self.mixer(self.norm1(x)), rate)
        return x + drop_samples(self.scale2 * self.mlp(self.norm2(x)), rate)


class DualLayer(nn.Module):
    """One layer: attention over joints then frames, graphs over joints then frames, fused."""

    def __init__(
        self, dim: int, frames: int, heads: int, neighbours: int, hidden: int, drop_path: float
    ) -> None:
        super().__init__()

        def around(mixer: nn.Module) -> ScaledBlock:
            return ScaledBlock(dim, mixer, hidden, drop_path)

        self.joint_attention = around(Attention(dim, heads, bias=False))
        self.frame_attention = around(Attention(dim, heads, bias=False))
        self.joint_graph = around(BodyGraph(dim))
        self.frame_graph = around(SimilarityGraph(dim, frames, neighbours))
        self.fusion = Fusion(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps ``(batch, frame, joint, channel)`` to the same shape."""
        return self.mix_frames(*self.mix_joints(tokens))

    def mix_joints(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns both streams after their first half, in which no frame sees another one."""
        return over_joints(self.joint_attention, tokens), over_joints(self.joint_graph, tokens)

    def mix_frames(self, attended: Tensor, linked: Tensor) -> Tensor:
        """Returns the fused streams after their second half, over frames."""
        attended = over_frames(self.frame_attention, attended)
        return self.fusion(attended, over_frames(self.frame_graph, linked))


class MotionAGFormer(nn.Module):
    """The backbone, cut at its layers, counted from 0 as HoT's ``layer_index``.
    The last one includes the published norm after all layers. Only the temporal batch norms know a
    frame's place, and they have the length of what arrives: see :meth:`shorten`. ``channels_in``: 2
    (x, y) or 3 (x, y, confidence); ``neighbours``: links of a frame, itself included; ``dim_rep``:
    channels that the head reads; ``drop_path``: stochastic depth, 0 in the paper."""

    published = _PUBLISHED
    configurations: ClassVar = {
        "motionagformer-xs": Configuration(_sizes(27, 64, 12)),
        "motionagformer-s": Configuration(_sizes(81, 64, 26)),
        "motionagformer-b": Configuration(_sizes(243, 128, 16)),
        "motionagformer-l": Configuration(_sizes(243, 128, 26)),
        # HoT builds its own with the class's 4 heads and 4 neighbours, not those of the files.
        "hot-motionagformer": Configuration(
            _sizes(243, 128, 16, heads=4, neighbours=4),
            HourglassOptions(keep=(81,), at=(7,), heads=4),
        ),
    }
    qkv_bias = False
    first_prunable = 0
    joints = JOINTS
    pooled = staticmethod(pool_joints)
    layers: Any  # nn.ModuleList of DualLayer

    def __init__(
        self,
        *,
        frames: int = 243,
        channels_in: int = 2,
        dim: int = 128,
        depth: int = 16,
        heads: int = 8,
        neighbours: int = 2,
        mlp_ratio: float = 4.0,
        dim_rep: int = 512,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.frames, self.dim, self.n_blocks = frames, dim, depth
        hidden = int(dim * mlp_ratio)
        self.joint_embed = nn.Linear(channels_in, dim)
        self.joint_position = nn.Parameter(torch.zeros(1, JOINTS, dim))
        self.layers = nn.ModuleList(
            DualLayer(dim, frames, heads, neighbours, hidden, drop_path) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.rep_linear = Linear(dim, dim_rep)
        self.head_linear = nn.Linear(dim_rep, 3)

    def shorten(self, i: int, frames: int) -> None:
        """Gives the temporal graphs from layer ``i`` on fresh batch norms for ``frames`` frames."""
        for layer in self.layers[i:]:
            graph = layer.frame_graph.mixer
            graph.norm = nn.BatchNorm1d(frames, device=graph.norm.weight.device)

    def embed(self, keypoints: Tensor) -> Tensor:
        """Turns ``(batch, frame, 17, channel_in)`` into tokens ``(batch, frame, 17, dim)``."""
        return self.joint_embed(keypoints) + self.joint_position

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Runs layer ``i`` on ``(batch, frame, 17, dim)``, as many frames as it was built for."""
        tokens = self.layers[i](tokens)
        return self.norm(tokens) if i == self.n_blocks - 1 else tokens

    def frame_features(self, keypoints: Tensor) -> Tensor:
        """Returns what is known of each frame before any frame sees another one."""
        return torch.cat(self.layers[0].mix_joints(self.embed(keypoints)), -1)

    def first_block(self, features: Tensor) -> Tensor:
        """Returns the tokens after block 0 from :meth:`frame_features` of a window."""
        tokens = self.layers[0].mix_frames(*features.chunk(2, -1))
        return self.norm(tokens) if self.n_blocks == 1 else tokens

    def frame_attention(self, i: int, tokens: Tensor) -> Tensor:
        """Returns the attention each frame receives in layer ``i``: ``(batch, frame)``."""
        layer = self.layers[i]
        block, tokens = layer.frame_attention, over_joints(layer.joint_attention, tokens)
        return received_over_frames(block.mixer, block.norm1, tokens)

    def head(self, tokens: Tensor) -> Tensor:
        """Turns tokens ``(batch, frame, 17, dim)`` into joints ``(batch, frame, 17, 3)``."""
        return self.head_linear(self.rep_linear(tokens).tanh())
