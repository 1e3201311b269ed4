"""TokenPose with weights of one's own: top-down crops, a token network, heatmaps or SimCC.

No weights are shipped. Crops, normalisation and decoding are those of HRNet, which TokenPose keeps.

Reference: see :mod:`pose3d.networks2d.tokenpose.network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose3d.body.skeletons import get_skeleton
from pose3d.device import pick_device, torch_threads
from pose3d.errors import UsageError
from pose3d.networks2d.crops import normalise_crops
from pose3d.networks2d.heatmaps import (
    decode_simcc,
    find_peaks,
    heatmap_to_crop,
    refine_dark,
)
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.tokenpose.files import load_tokenpose
from pose3d.networks2d.tokenpose.network import Answer
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.networks2d.top_down import estimate_in_crops
from pose3d.video.picture import Image
from pose3d.weights import finding
from pose3d.weights.info import ModelInfo

Array = NDArray[np.floating]

BATCH = 16
"""People in one forward pass: enough to fill the cores, small in memory."""


class TokenPoseKeypoints:
    """Finds the keypoints of given people with a TokenPose network.

    Args:
        argument: a ``.safetensors`` file that pose3d trained; the skeleton is the file's.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: as torch is set.
        offline: nothing is ever fetched.

    Raises:
        UsageError: there is no file, for none is shipped.
        WeightsError: the file is damaged or holds another network.
        MissingExtraError: TokenPose-B without timm.
        DeviceError: the device is not there.
    """

    ARGUMENT = "FILE.safetensors"
    LICENCE = "Apache-2.0; weights: as their file says"

    def __init__(
        self,
        *,
        argument: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        offline: bool = False,
    ) -> None:
        path = _find_weights(argument)
        chosen, reason = pick_device(device)
        network, _ = load_tokenpose(path)
        self._network = network.to(chosen)
        self._threads = threads
        self.options: TokenPoseOptions = network.options
        self.skeleton = get_skeleton(self.options.skeleton)
        self.info = ModelInfo(
            name="tokenpose",
            licence=self.options.licence,
            weights=(path.name,),
            sha256=(finding.sha256_of(path),),
            device=chosen,
            device_reason=reason,
        )

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of one picture; see :meth:`estimate_batch`."""
        return self.estimate_batch([image], [people])[0]

    def estimate_batch(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> list[Keypoints]:
        """Returns keypoints for all people of several pictures, people of all of them in one batch.

        Args:
            images: RGB pictures, of any sizes.
            people: where to look in each: their boxes; regions are ignored.

        Returns:
            Keypoints of each picture. ``score`` is the value of the heatmap at its peak, or how
            concentrated the SimCC distributions are, 0..1; ``boxes_xyxy_px`` are where to look in
            the next frame.
        """
        return estimate_in_crops(images, people, self.options.size_wh, self._look)

    def _look(self, crops: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Returns points in the crops and scores."""
        joints = len(self.skeleton)
        points = np.zeros((len(crops), joints, 2), np.float32)
        score = np.zeros((len(crops), joints), np.float32)
        for start in range(0, len(crops), BATCH):
            part = slice(start, start + BATCH)
            images = torch.from_numpy(normalise_crops(crops[part])).to(self.info.device)
            with torch.inference_mode(), torch_threads(self._threads):
                answer = self._network(images)
            points[part], score[part] = decode_answer(answer, self.options)
        return points, score


def decode_answer(answer: Answer, options: TokenPoseOptions) -> tuple[Array, Array]:
    """Returns where a network's answer puts the keypoints.

    Args:
        answer: of :class:`~pose3d.networks2d.tokenpose.network.TokenPose`.
        options: of that network.

    Returns:
        Points ``(n, joint, 2)`` in pixels of the crop, 0 at the centre of the first pixel, and
        scores ``(n, joint)`` 0..1.
    """
    if isinstance(answer, tuple):
        x, y = (a.float().softmax(-1).cpu().numpy() for a in answer)
        points, likelihood = decode_simcc(x, y, bins_per_px=options.bins_per_px)
        # As concentrated as the Gaussians that it was trained on: sure.
        highest = 1 / (options.sigma * np.sqrt(2 * np.pi))
        return points, np.clip(likelihood / highest, 0, 1).astype(np.float32)
    heatmaps = answer.float().cpu().numpy()
    peaks, value = find_peaks(heatmaps)
    # HRNet's widths: 11 cells for a deviation of 2, 17 for 3.
    kernel = 2 * round((6 * options.sigma - 2) / 2) + 1
    peaks = refine_dark(peaks, heatmaps, kernel=max(3, kernel))
    points = heatmap_to_crop(peaks, options.heatmap_wh, options.size_wh)
    # Noise that curves the wrong way would throw a point far out of what the network has seen.
    points = np.clip(points, 0, np.array(options.size_wh, np.float32) - 1)
    return points, np.clip(value, 0, 1).astype(np.float32)


def _find_weights(argument: str | None) -> Path:
    """Returns the file of weights.

    Raises:
        UsageError: none was given, or it is not there.
    """
    if argument is None:
        raise UsageError(
            "No weights for TokenPose come with pose3d",
            "Train some and give the file: --keypoints tokenpose:FILE.safetensors",
        )
    path = Path(argument).expanduser()
    if not path.is_file():
        raise UsageError(
            f"There is no weights file {argument}",
            "Check the path in --keypoints tokenpose:FILE.safetensors",
        )
    return path
