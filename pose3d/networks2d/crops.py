"""Affine crops of people for top-down estimators, and back from crop to picture.
The first pixel's centre is (0.5, 0.5) for points in the picture; for matrices and crop points it
is (0, 0), as in OpenCV's warps and the labels of MMPose and HRNet. Boxes enter as they are.
Reference: MMPose 1.3.2, ``GetBBoxCenterScale``, ``TopdownAffine``, ``get_warp_matrix`` and
``get_udp_warp_matrix``, the last after Huang et al., "The Devil is in the Details: Delving into
Unbiased Data Processing for Human Pose Estimation", CVPR 2020, section 3."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from pose3d.video.picture import Image

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)  # mean and deviation of colours (RGB, 0..255)
BOX_PADDING = 1.25  # what MMPose and HRNet put around a person's box
_BODY_OVER_KEYPOINTS = 1.2  # people reach beyond their keypoints: head, hands, feet

Array = NDArray[np.floating]


def crop_matrices(
    boxes_xyxy_px: Float[np.ndarray, "n 4"],
    size_wh: tuple[int, int],
    *,
    padding: float = BOX_PADDING,
    rotation_rad: Float[np.ndarray, " n"] | None = None,
    unbiased: bool = False,
) -> Float[np.ndarray, "n 2 3"]:
    """Returns the affine maps ``crop = A[:, :2] @ picture + A[:, 2]`` to crops of people, float64.
    A box is enlarged by ``padding`` about its centre, then to the crop's proportions;
    ``rotation_rad`` turns the crop's frame clockwise in the picture. ``unbiased`` (UDP): the
    crop's first and last pixel lie on the edges of the enlarged box; else pixel ``size_wh/2``
    lies on the box's centre."""
    boxes = np.asarray(boxes_xyxy_px, np.float64).reshape(-1, 4)
    crop_wh = np.array(size_wh, np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    wh = (boxes[:, 2:] - boxes[:, :2]) * padding
    aspect = crop_wh[0] / crop_wh[1]
    # A box without extent (one keypoint) gives a crop of one pixel instead of a singular matrix.
    height = np.maximum(np.maximum(wh[:, 1], wh[:, 0] / aspect), 1.0)
    source_wh = np.stack((height * aspect, height), -1)
    target_wh = crop_wh - 1 if unbiased else crop_wh
    scale = target_wh / source_wh
    angle = np.zeros(len(boxes)) if rotation_rad is None else np.asarray(rotation_rad, np.float64)
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.empty((len(boxes), 2, 3))
    out[:, 0, 0], out[:, 0, 1] = cos * scale[:, 0], sin * scale[:, 0]
    out[:, 1, 0], out[:, 1, 1] = -sin * scale[:, 1], cos * scale[:, 1]
    out[:, :, 2] = target_wh / 2 - np.einsum("nab,nb->na", out[:, :, :2], centre)
    return out


def cut_crops(
    image: Image, matrices: Float[np.ndarray, "n 2 3"], size_wh: tuple[int, int]
) -> UInt8[np.ndarray, "n height width 3"]:
    """Cuts people out of an RGB picture by :func:`crop_matrices`: bilinear, black outside of it.
    No filter against aliasing: the networks were trained on pictures made in this way."""
    width, height = size_wh
    out = np.empty((len(matrices), height, width, 3), np.uint8)
    for crop, matrix in zip(out, matrices, strict=True):
        cv2.warpAffine(image, matrix, (width, height), dst=crop, flags=cv2.INTER_LINEAR)
    return out


def normalise_crops(
    crops: UInt8[np.ndarray, "n height width 3"],
) -> Float[np.ndarray, "n 3 height width"]:
    """Returns RGB crops as networks take them: ``(value - mean) / std`` of ImageNet, float32."""
    scale = (1 / np.array(IMAGENET_STD, np.float32)).reshape(3, 1, 1)
    offset = -np.array(IMAGENET_MEAN, np.float32).reshape(3, 1, 1) * scale
    out = np.multiply(np.moveaxis(crops, -1, 1), scale, dtype=np.float32, order="C")
    out += offset
    return out


def crops_to_picture(
    points_crop: Float[np.ndarray, "n joint 2"], matrices: Float[np.ndarray, "n 2 3"]
) -> Float[np.ndarray, "n joint 2"]:
    """Maps points from crops of :func:`crop_matrices` to the picture, float32."""
    back = np.linalg.inv(matrices[:, :, :2])
    moved = np.asarray(points_crop, np.float64) - matrices[:, None, :, 2]
    return (np.einsum("nab,njb->nja", back, moved) + 0.5).astype(np.float32)


def boxes_around(keypoints_px: Float[np.ndarray, "n joint 2"]) -> Float[np.ndarray, "n 4"]:
    """Returns roughly what a detector would give for people with these keypoints."""
    low, high = keypoints_px.min(1), keypoints_px.max(1)
    margin = (high - low) * ((_BODY_OVER_KEYPOINTS - 1) / 2)
    return np.concatenate((low - margin, high + margin), -1).astype(np.float32)
