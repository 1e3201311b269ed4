"""TokenPose with weights of one's own; crops, normalisation and decoding are HRNet's.
Reference: see :mod:`pose3d.networks2d.tokenpose.network`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose3d.body.skeletons import get_skeleton
from pose3d.device import pick_device, torch_threads
from pose3d.errors import UsageError
from pose3d.networks2d.crops import normalise_crops
from pose3d.networks2d.heatmaps import decode_simcc, find_peaks, heatmap_to_crop, refine_dark
from pose3d.networks2d.part import describe_model, own_file
from pose3d.networks2d.tokenpose.files import load_tokenpose
from pose3d.networks2d.tokenpose.network import Answer
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from pose3d.networks2d.top_down import CropEstimator
from pose3d.weights.fetching import ChosenFile
from pose3d.weights.info import ModelInfo

Array = NDArray[np.floating]

BATCH = 16  # people in one forward pass: enough to fill the cores, small in memory


class TokenPoseKeypoints(CropEstimator):
    """Finds the keypoints of given people; skeleton and licence are those that the file states."""

    ARGUMENT = "FILE.safetensors"
    LICENCE = "Apache-2.0; weights: as their file says"

    @classmethod
    def find_weights(
        cls, argument: str | None, *, offline: bool, say: Callable[[str], None] | None = None
    ) -> ChosenFile:
        """Returns the file, which has to be given."""
        if argument is None:
            raise UsageError(
                "pose3d has no weights for TokenPose", "Give a file: tokenpose:FILE.safetensors"
            )
        path = Path(argument).expanduser()
        if not path.is_file():
            raise UsageError(f"There is no file {argument}", "Check the path")
        return own_file(path)

    def _load(self) -> ModelInfo:
        path = self.find_weights(self.argument, offline=self.offline).path
        device, reason = pick_device(self.device)
        network, _ = load_tokenpose(path)
        self._network = network.to(device)
        self._options = network.options
        self.size_wh = network.options.size_wh
        self.skeleton = get_skeleton(network.options.skeleton)
        return describe_model("tokenpose", path, network.options.licence, (device, reason))

    def _look(self, crops: NDArray[np.uint8]) -> tuple[Array, Array]:
        joints = len(self.skeleton)
        points = np.zeros((len(crops), joints, 2), np.float32)
        score = np.zeros((len(crops), joints), np.float32)
        for start in range(0, len(crops), BATCH):
            part = slice(start, start + BATCH)
            images = torch.from_numpy(normalise_crops(crops[part])).to(self.info.device)
            with torch.inference_mode(), torch_threads(self.threads):
                answer = self._network(images)
            points[part], score[part] = decode_answer(answer, self._options)
        return points, score


def decode_answer(answer: Answer, options: TokenPoseOptions) -> tuple[Array, Array]:
    """Returns crop points ``(n, joint, 2)`` (0 at the first pixel's centre) and scores 0..1.
    Scores are heatmaps' values at the peaks, or how concentrated SimCC distributions are."""
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
