"""Crops of people by the batch, on any device: what ``networks2d.crops`` cuts, sampled by torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pose3d.networks2d.crops import IMAGENET_MEAN, IMAGENET_STD
from pose3d.video.picture import Image


def gather_sources(
    images: Sequence[Image], matrices: NDArray[np.float64], size_wh: tuple[int, int]
) -> tuple[UInt8[Tensor, "n 3 h w"], NDArray[np.float64]]:
    """Cuts out of each RGB picture the rectangle that its crop can see, so that little is copied.

    Args:
        images: RGB, one a crop.
        matrices: ``(n, 2, 3)`` from picture to crop, see :func:`pose3d.networks2d.crops.crop_matrices`.
        size_wh: of the crops in pixels.

    Returns:
        The rectangles, black beyond their right and lower ends, and matrices from them to the crops.
    """
    width, height = size_wh
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    linear, offset = matrices[:, :, :2], matrices[:, None, :, 2]
    seen = np.einsum("nab,njb->nja", np.linalg.inv(linear), corners - offset)
    parts, out = [], matrices.copy()
    for i, image in enumerate(images):
        limit = np.array(image.shape[1::-1])
        # One pixel more on each side: between two centres both have a say.
        low = np.clip(np.floor(seen[i].min(0)).astype(int) - 1, 0, limit - 1)
        high = np.clip(np.ceil(seen[i].max(0)).astype(int) + 2, low + 1, limit)
        parts.append(image[low[1] : high[1], low[0] : high[0]])
        out[i, :, 2] += linear[i] @ low
    h, w = (max(p.shape[axis] for p in parts) for axis in (0, 1))
    sources = torch.zeros(len(parts), 3, h, w, dtype=torch.uint8)
    for source, part in zip(sources, parts, strict=True):
        plane = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)
        source[:, : part.shape[0], : part.shape[1]] = plane
    return sources, out


def sample_crops(
    sources: UInt8[Tensor, "n 3 h w"], matrices: Float[Tensor, "n 2 3"], size_wh: tuple[int, int]
) -> Float[Tensor, "n 3 height width"]:
    """Cuts crops, 0..255: bilinear, black outside of the picture, as ``networks2d.crops.cut_crops``.

    Args:
        sources: pictures, 0..255.
        matrices: ``crop = A[:, :2] @ source + A[:, 2]``, counted from the first pixel's centre; a mirror
            may be in them.
        size_wh: of the crops in pixels.
    """
    width, height = size_wh
    back = torch.linalg.inv(matrices[:, :, :2].double())
    x, y = torch.arange(width, dtype=torch.float64), torch.arange(height, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(matrices.device)
    moved = grid[None] - matrices[:, None, None, :, 2]  # n height width 2
    points = torch.einsum("nab,nhwb->nhwa", back, moved)
    wh = torch.tensor(sources.shape[:1:-1], dtype=torch.float64, device=matrices.device)
    # grid_sample counts from -1 to 1 between the picture's edges, half a pixel beyond the centres.
    places = ((2 * points + 1) / wh - 1).float()
    return functional.grid_sample(
        sources.float(), places, padding_mode="zeros", align_corners=False
    )


def normalise(crops: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 3 height width"]:
    """Returns ``(value - mean) / std`` of ImageNet for crops 0..255."""
    mean, std = (crops.new_tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (crops - mean) / std
