"""From one token per keypoint to where that keypoint is."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class HeatmapHead(nn.Module):
    """Two linear layers, the same for every keypoint, that paint a heatmap.
    ``hidden`` None: an eighth of the cells; with less than twice ``dim`` one layer does it all.
    Reference: ``mlp_head`` in ``tokenpose_base.py`` of leeyegy/TokenPose@2e554fc."""

    def __init__(self, dim: int, heatmap_wh: tuple[int, int], hidden: int | None = None) -> None:
        super().__init__()
        width, height = heatmap_wh
        self.heatmap_wh = heatmap_wh
        cells = width * height
        hidden = cells // 8 if hidden is None else hidden
        layers: list[nn.Module] = [nn.LayerNorm(dim)]
        if 2 * dim <= hidden:
            layers += [nn.Linear(dim, hidden), nn.LayerNorm(hidden)]
            dim = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(dim, cells))

    def forward(
        self, tokens: Float[Tensor, "n joint dim"]
    ) -> Float[Tensor, "n joint height width"]:
        """Returns heatmaps; 1 where a keypoint is surely, about 0 elsewhere."""
        width, height = self.heatmap_wh
        return self.layers(tokens).unflatten(-1, (height, width))


class SimccHead(nn.Module):
    """Two linear layers, along width and height (Li et al., "SimCC", ECCV 2022, section 3)."""

    def __init__(self, dim: int, size_wh: tuple[int, int], bins_per_px: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.x = nn.Linear(dim, round(size_wh[0] * bins_per_px))
        self.y = nn.Linear(dim, round(size_wh[1] * bins_per_px))

    def forward(
        self, tokens: Float[Tensor, "n joint dim"]
    ) -> tuple[Float[Tensor, "n joint bin_x"], Float[Tensor, "n joint bin_y"]]:
        """Returns logits along both axes, before the softmax over the bins."""
        tokens = self.norm(tokens)
        return self.x(tokens), self.y(tokens)
