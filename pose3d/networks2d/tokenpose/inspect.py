"""One person through a TokenPose network, with everything noted on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from pose3d.networks2d.crops import crop_matrices, cut_crops, normalise_crops
from pose3d.networks2d.estimators.tokenpose import decode_answer
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.video.picture import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a network made of one person."""

    options: TokenPoseOptions
    crop: UInt8[np.ndarray, "height width 3"]  # RGB, as the network sees it
    keypoints_px: Float[np.ndarray, "joint 2"]  # in the crop, 0.5 at the first pixel's centre
    score: Float[np.ndarray, " joint"]  # 0..1
    heatmaps: Float[np.ndarray, "joint row column"]  # SimCC: the product of both distributions
    look: Float[np.ndarray, "layer joint row column"]  # attention of the keypoints; NaN: patch gone
    links: Float[np.ndarray, "layer row column"]  # share of all patches that may look at this one


def inspect_person(
    network: TokenPose, image: Image, box_xyxy_px: NDArray[np.floating]
) -> Inspection:
    """Runs a network, in evaluation mode and on the CPU, on the person in a box of an RGB picture."""
    options = network.options
    matrices = crop_matrices(np.asarray(box_xyxy_px)[None], options.size_wh)
    crops = cut_crops(image, matrices, options.size_wh)
    with torch.inference_mode():
        answer, traces = network.trace(torch.from_numpy(normalise_crops(crops)))
    points, score = decode_answer(answer, options)
    if isinstance(answer, tuple):
        x, y = (a[0].softmax(-1).numpy() for a in answer)
        heatmaps = y[:, :, None] * x[:, None, :]
    else:
        heatmaps = answer[0].numpy()
    grid = options.grid_hw
    look = np.stack([t.look[0].unflatten(-1, grid).numpy() for t in traces])
    links = np.stack([t.links[0].unflatten(-1, grid).numpy() for t in traces])
    return Inspection(
        options=options,
        crop=crops[0],
        keypoints_px=points[0] + 0.5,
        score=score[0],
        heatmaps=heatmaps,
        look=look,
        links=links,
    )
