"""TokenPose, dense and sparse: pictures of one person in, heatmaps or SimCC logits out.
Keypoints are tokens beside the patches of the picture; a transformer lets all look at each
other, and each keypoint's token becomes its own heatmap. For kinds of sparsity see ``options``.
Reference: Li et al., "TokenPose: Learning Keypoint Tokens for Human Pose Estimation", ICCV 2021,
``lib/models/tokenpose_base.py`` in leeyegy/TokenPose@2e554fc; Li et al., "Improved TokenPose
with Sparsity", arXiv 2311.09653. Differs: no dropout (the published configurations set it to 0)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pose3d.attention import mask_bias
from pose3d.body.skeletons import get_skeleton
from pose3d.networks2d.tokenpose.backbones import BACKBONES
from pose3d.networks2d.tokenpose.heads import HeatmapHead, SimccHead
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.networks2d.tokenpose.tokens import (
    TokenBlock,
    choose_patches,
    joint_mask,
    prune_links,
    random_mask,
    sine_positions,
)

Answer = Tensor | tuple[Tensor, Tensor]  # heatmaps, or SimCC logits along the width and the height


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTrace:
    """What one layer looked at."""

    look: Float[Tensor, "n joint patch"]  # attention, mean over heads; NaN: patch gone
    links: Float[Tensor, "n patch"]  # share of patches that may look at this one; 0: gone


@dataclass(slots=True)
class TokenState:
    """What goes from layer to layer: tokens, their positions, who may look at whom, who is left."""

    x: Float[Tensor, "n token dim"]
    positions: Float[Tensor, "n token dim"]
    mask: Bool[Tensor, "n head query key"] | None = None
    bias: Float[Tensor, "n head query key"] | None = None  # the mask as attention takes it
    left: Float[Tensor, "n patch"] | None = None


class TokenPose(nn.Module):
    """The network that ``options`` describe, with fresh weights."""

    joint_links: Tensor | None
    positions: Tensor

    def __init__(self, options: TokenPoseOptions) -> None:
        super().__init__()
        self.options = options
        self.keypoints = len(get_skeleton(options.skeleton))
        self.backbone = BACKBONES[options.backbone]()
        rows, columns = options.grid_hw
        dim, (patch_w, patch_h) = options.dim, options.patch_wh
        self.embed = nn.Linear(self.backbone.channels * patch_w * patch_h, dim)
        self.keypoint_tokens = nn.Parameter(torch.zeros(1, self.keypoints, dim))
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)
        self.register_buffer("positions", sine_positions((rows, columns), dim))
        # The published S divides by the width of a token, the published B by that of a head.
        width = dim if options.backbone == "stem" else dim // options.heads

        def blocks(count: int) -> nn.ModuleList:
            sizes = (dim, options.heads, options.hidden, width**-0.5)
            return nn.ModuleList(TokenBlock(*sizes) for _ in range(count))

        self.blocks = blocks(options.depth)
        joint = options.joint
        self.joint_blocks = blocks(joint.layers if joint else 0)
        self.register_buffer("joint_links", _joint_links(options), persistent=False)
        self.head: HeatmapHead | SimccHead
        if options.head == "heatmap":
            self.head = HeatmapHead(dim, options.heatmap_wh, options.heatmap_hidden)
        else:
            self.head = SimccHead(dim, options.size_wh, options.bins_per_px)
        for part in (self.embed, self.blocks, self.joint_blocks, self.head):
            _draw_linear(part)

    def forward(self, images: Float[Tensor, "n 3 height width"]) -> Answer:
        """Returns heatmaps, or SimCC logits, of crops from :func:`normalise_crops`."""
        return self.head(self.encode(images))

    def trace(
        self, images: Float[Tensor, "n 3 height width"]
    ) -> tuple[Answer, tuple[LayerTrace, ...]]:
        """Returns what :meth:`forward` returns, and what each layer looked at."""
        traces: list[LayerTrace] = []
        return self.head(self.encode(images, traces)), tuple(traces)

    def encode(
        self, images: Float[Tensor, "n 3 height width"], traces: list[LayerTrace] | None = None
    ) -> Float[Tensor, "n joint dim"]:
        """Returns the keypoint tokens after all layers; ``traces`` gets one per block."""
        state = self.begin(images)
        for i in range(len(self.blocks)):
            self.run_layer(i, state, traces)
        return self.finish(state)

    def begin(self, images: Float[Tensor, "n 3 height width"]) -> TokenState:
        """Returns what the first layer gets."""
        patches = self._cut_patches(self.backbone(images))
        keypoints = self.keypoint_tokens.expand(len(images), -1, -1)
        nowhere = torch.zeros_like(self.keypoint_tokens)  # keypoints have no place of their own
        positions = torch.cat((nowhere, self.positions), 1)
        x = torch.cat((keypoints, self.embed(patches)), 1)  # n token dim
        return TokenState(x=x, positions=positions.expand_as(x))

    def finish(self, state: TokenState) -> Float[Tensor, "n joint dim"]:
        """Returns the keypoint tokens of the last layer, after the layers on keypoints alone."""
        x, links = state.x[:, : self.keypoints], self.joint_links
        for block in self.joint_blocks:
            x = block(x, links)
        return x

    def _cut_patches(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n patch inputs"]:
        """Cuts a feature map into patches; a patch is flattened row, column, channel."""
        rows, columns = self.options.grid_hw
        width, height = self.options.patch_wh
        x = features.unflatten(2, (rows, height)).unflatten(4, (columns, width))
        # n channel row height column width -> n row column height width channel
        return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def run_layer(self, i: int, state: TokenState, traces: list[LayerTrace] | None = None) -> None:
        """Runs layer ``i``; sets a new mask or removes patches where the options say so."""
        block = self.blocks[i]
        assert isinstance(block, TokenBlock)
        state.x = state.x + state.positions
        prune, remove = self.options.prune, self.options.remove
        prunes = prune is not None and i in prune.at
        removes = remove is not None and i in remove.at
        if not (prunes or removes or traces is not None):
            state.x = block(state.x, state.bias)
            return
        q, k, v = block.attn.project(block.norm1(state.x))
        # Removal asks the keypoints alone; their rows of the attention are cheap.
        asked = q if prunes else q[:, :, : self.keypoints]
        look, made, bias = block.attn.look(asked, k), state.mask, state.bias
        if prunes and prune is not None:
            share, within = prune.share(prune.at.index(i)), made if prune.progressive else None
            made = prune_links(look, self.keypoints, share, within)
            bias = mask_bias(made)
            if not prune.progressive:
                state.mask, state.bias = made, bias
        state.x = state.x + block.attn.mix(q, k, v, state.bias)
        look = look.mean(1)  # n query key
        if traces is not None:
            traces.append(self._note(look, state))
        if removes and remove is not None:
            self._remove(look, remove.keep[remove.at.index(i)], state)
        state.mask, state.bias = made, bias
        state.x = state.x + block.mlp(block.norm2(state.x))

    def _remove(self, look: Tensor, keep: float, state: TokenState) -> None:
        """Takes the patches out that the keypoints look at least; before the MLP, as in PPT."""
        patches = state.x.shape[1] - self.keypoints
        chosen = choose_patches(look, self.keypoints, max(1, round(patches * keep)))
        everybody = torch.arange(self.keypoints, device=chosen.device).expand(len(chosen), -1)
        rows = torch.cat((everybody, chosen + self.keypoints), 1)[..., None]  # n token 1
        rows = rows.expand(-1, -1, state.x.shape[-1])
        state.x, state.positions = state.x.gather(1, rows), state.positions.gather(1, rows)
        state.left = chosen if state.left is None else state.left.gather(1, chosen)

    def _note(self, look: Tensor, state: TokenState) -> LayerTrace:
        """Returns what a layer looked at, on the grid of all patches."""
        j, count = self.keypoints, self.positions.shape[1]
        look = look.detach()[:, :j, j:]
        if state.mask is None:
            links = torch.full_like(look[:, 0], look.shape[-1] / count)
        else:
            links = state.mask[..., j:, j:].float().mean((1, 2))
        if state.left is None:
            return LayerTrace(look=look, links=links)
        on_grid = look.new_full((*look.shape[:2], count), torch.nan)
        on_grid.scatter_(2, state.left[:, None].expand_as(look), look)
        links = look.new_zeros((len(look), count)).scatter_(1, state.left, links)
        return LayerTrace(look=on_grid, links=links)


def _draw_linear(part: nn.Module) -> None:
    """Draws linear layers as published: normal, deviation 0.02, zero biases.
    With PyTorch's the first heatmaps are far from zero, and training stays at the mean pose for
    hundreds of steps. Reference: ``_init_weights`` in ``tokenpose_base.py``."""
    for layer in part.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _joint_links(options: TokenPoseOptions) -> Tensor | None:
    """Returns the mask of the layers on keypoints, ``(1, 1, joint, joint)``; None: nothing is masked."""
    joint = options.joint
    if joint is None or joint.links == "all":
        return None
    mask = joint_mask(get_skeleton(options.skeleton))
    if joint.links == "random":
        pairs = int(mask.sum() - len(mask)) // 2
        mask = random_mask(len(mask), pairs, joint.seed)
    return torch.from_numpy(mask)[None, None]
