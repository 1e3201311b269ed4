"""Crops of people by the batch: turned, scaled, mirrored, halved, covered, recoloured by torch.

All numbers are drawn on the CPU, so that the same seed gives the same crops on every device.

Reference: ``lib/dataset/JointsDataset.py`` of HRNet (rotation, scale, half body), as in TokenPose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pose3d.body.skeletons import Skeleton
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.training.people import AugmentOptions
from pose3d.networks2d.crops import BOX_PADDING, IMAGENET_MEAN, IMAGENET_STD, crop_matrices
from pose3d.video.picture import Image

Array = NDArray[np.floating]

_LOWER = ("hip", "knee", "ankle", "toe", "heel", "pelvis")
_LEAST_JOINTS = 3
_HALF_PADDING = 1.5 / BOX_PADDING  # HRNet's 1.5 around half a body is all there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Where crops lie and where the keypoints are in them."""

    matrices: NDArray[np.float64]  # (n, 2, 3) from the picture to the crop, mirror included
    # (n, joint, 2) pixels, 0 at the first one's centre, NaN if unlabelled; left and right are
    # swapped in mirrored crops
    points_crop: NDArray[np.float32]
    mirrored: NDArray[np.bool_]  # (n,)


def draw_crops(
    people: LabelledPeople, options: AugmentOptions, size_wh: tuple[int, int], rng: torch.Generator
) -> Crops:
    """Draws a crop of each person; ``rng`` (on the CPU) alone decides."""
    n = len(people)

    def rand(*shape: int) -> NDArray[np.float64]:
        return torch.rand((n, *shape), generator=rng, dtype=torch.float64).numpy()

    def randn() -> NDArray[np.float64]:
        return torch.randn(n, generator=rng, dtype=torch.float64).numpy()

    boxes = _halve(people, options, halve=rand(), upper=rand())
    middle, wh = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    middle = middle + options.shift * (2 * rand(2) - 1) * wh
    wh = wh * np.clip(1 + options.scale * randn(), 1 - options.scale, 1 + options.scale)[:, None]
    if options.rotation == "normal":
        turn_deg = options.rotation_deg * np.clip(randn(), -2, 2)
    else:
        turn_deg = options.rotation_deg * (2 * rand() - 1)
    turn_deg = np.where(rand() < options.rotation_share, turn_deg, 0.0)
    boxes = np.concatenate((middle - wh / 2, middle + wh / 2), -1)
    matrices = crop_matrices(boxes, size_wh, rotation_rad=np.deg2rad(turn_deg))
    mirrored = rand() < options.flip
    matrices[mirrored, 0] *= -1
    matrices[mirrored, 0, 2] += size_wh[0] - 1
    # On the picture's side the centre of the first pixel is 0.5, in matrices it is 0.
    points = people.keypoints_px.astype(np.float64) - 0.5
    points = np.einsum("nab,njb->nja", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    swapped = points[:, list(people.skeleton.mirror)]
    points = np.where(mirrored[:, None, None], swapped, points)
    return Crops(matrices=matrices, points_crop=points.astype(np.float32), mirrored=mirrored)


def lower_joints(skeleton: Skeleton) -> NDArray[np.bool_]:
    """Returns which joints belong to the lower half of the body, ``(joint,)``."""
    return np.array([any(part in name for part in _LOWER) for name in skeleton.joints])


def _halve(people: LabelledPeople, options: AugmentOptions, *, halve: Array, upper: Array) -> Array:
    """Returns the boxes, some of half a body; uniform numbers say which, and which half first."""
    boxes = people.boxes_xyxy_px.astype(np.float64)
    lower = lower_joints(people.skeleton)
    for i in np.flatnonzero(halve < options.half_body):
        labelled = people.visibility[i] > 0
        if labelled.sum() <= options.half_body_joints:
            continue
        halves = [labelled & ~lower, labelled & lower]
        if upper[i] >= 0.5:
            halves.reverse()
        half = next((h for h in halves if h.sum() >= _LEAST_JOINTS), None)
        if half is None:
            continue
        points = people.keypoints_px[i, half].astype(np.float64)
        middle = points.mean(0)
        reach = _HALF_PADDING / 2 * np.maximum(points.max(0) - points.min(0), 1.0)
        boxes[i] = np.concatenate((middle - reach, middle + reach))
    return boxes


def recolour(crops: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Varies brightness, contrast, saturation of ``(n, 3, height, width)``, 0..255; CPU ``rng``."""
    draws = torch.rand(3, len(crops), 1, 1, 1, generator=rng)
    if not strength:
        return crops
    brightness, contrast, saturation = (1 + strength * (2 * draws - 1)).to(crops.device)
    crops = crops * brightness
    crops = crops.mean((1, 2, 3), keepdim=True).lerp(crops, contrast)
    grey = crops.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    crops = (crops * grey).sum(1, keepdim=True).lerp(crops, saturation)
    return crops.clamp(0, 255)


def cover(crops: Tensor, options: AugmentOptions, rng: torch.Generator) -> Tensor:
    """Hides parts of some crops ``(n, 3, height, width)``, 0..255; keypoints stay labelled."""
    n, _, height, width = crops.shape
    chosen, area, shape, x, y = torch.rand(5, n, generator=rng)
    colour = 255 * torch.rand(n, 3, 1, 1, generator=rng)
    if not options.erase:
        return crops
    low, high = options.erase_area
    area = low + (high - low) * area
    aspect = torch.exp((2 * shape - 1) * np.log(3.0))  # from 1:3 to 3:1
    half_w, half_h = (area * aspect).sqrt() * width / 2, (area / aspect).sqrt() * height / 2
    columns = (torch.arange(width) - (x * width)[:, None]).abs() < half_w[:, None]
    rows = (torch.arange(height) - (y * height)[:, None]).abs() < half_h[:, None]
    patch = rows[:, :, None] & columns[:, None] & (chosen < options.erase)[:, None, None]
    return torch.where(patch[:, None].to(crops.device), colour.to(crops.device), crops)


def gather_sources(
    images: Sequence[Image], matrices: NDArray[np.float64], size_wh: tuple[int, int]
) -> tuple[UInt8[Tensor, "n 3 h w"], NDArray[np.float64]]:
    """Cuts out of each RGB picture (one a crop) the rectangle that its crop can see.

    ``matrices`` ``(n, 2, 3)`` from picture to crop. Returned are the rectangles, black beyond their
    right and lower ends, and matrices from them to the crops.
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
    """Cuts crops, 0..255: bilinear, black outside of the picture, as ``networks2d.crops``.

    ``matrices`` count from the first pixel's centre: ``crop = A[:, :2] @ source + A[:, 2]``.
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
