"""RTMPose and RTMW from ONNX files (extra ``[rtmpose]``): 17, 26 or 133 keypoints by SimCC.
Reference: Jiang et al., "RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose", 2023;
Jiang et al., "RTMW: Real-Time Multi-Person 2D and 3D Whole-body Pose Estimation", 2024;
constants from MMPose 1.3.2, ``configs/body_2d_keypoint/rtmpose``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import COCO17, HALPE26, WHOLEBODY133, Skeleton
from pose3d.errors import WeightsError
from pose3d.networks2d.crops import normalise_crops
from pose3d.networks2d.heatmaps import decode_simcc
from pose3d.networks2d.runtimes.onnxrt import OnnxNetwork, OnnxPart
from pose3d.networks2d.top_down import CropEstimator
from pose3d.weights.info import ModelInfo

_SKELETONS = {len(s): s for s in (COCO17, HALPE26, WHOLEBODY133)}


class RTMPoseKeypoints(OnnxPart, CropEstimator):
    """Finds 17 (COCO), 26 (Halpe) or 133 (whole body) keypoints; the scores are the SimCC maxima."""

    DEFAULT_WEIGHTS = "rtmpose.body7-m"

    def _load(self) -> ModelInfo:
        info = super()._load()
        if self._network.size_wh is None:
            raise WeightsError(
                f"{self._path} takes pictures of any size", "Export it with a fixed size"
            )
        self.size_wh = self._network.size_wh
        self._order = _order_of_outputs(self._network, self.size_wh, self._path)
        self.skeleton = self._find_skeleton()
        return info

    def _look(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        if not len(crops):
            joints = len(self.skeleton)
            return np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)
        out = self._network(normalise_crops(crops))
        x, y = (out[i] for i in self._order)
        points, score = decode_simcc(x, y, bins_per_px=x.shape[-1] / self.size_wh[0])
        return points, np.clip(score, 0, 1)

    def _find_skeleton(self) -> Skeleton:
        """Tells the skeleton by the number of joints in what the network gives for a black crop."""
        width, height = self.size_wh
        out = self._network(np.zeros((1, 3, height, width), np.float32))
        joints = out[self._order[0]].shape[1]
        if joints not in _SKELETONS:
            known = ", ".join(f"{n} ({s.name})" for n, s in _SKELETONS.items())
            raise WeightsError(
                f"{self._path} has {joints} keypoints", f"Give a network with one of: {known}"
            )
        return _SKELETONS[joints]


def _order_of_outputs(
    network: OnnxNetwork, size_wh: tuple[int, int], path: Path
) -> tuple[int, int]:
    """Returns which outputs are the SimCC vectors along x and along y."""
    names = network.outputs
    if {"simcc_x", "simcc_y"} <= set(names):
        return names.index("simcc_x"), names.index("simcc_y")
    shapes = network.output_shapes
    if len(shapes) == 2 and all(len(s) == 3 for s in shapes):
        bins = [s[2] for s in shapes]
        if all(isinstance(b, int) for b in bins) and bins[0] != bins[1]:
            # The longer side has the more bins.
            wide = (size_wh[0] > size_wh[1]) == (int(bins[0]) > int(bins[1]))  # type: ignore[arg-type]
            return (0, 1) if wide else (1, 0)
        return 0, 1
    raise WeightsError(
        f"{path} gives {', '.join(names)}, not simcc_x and simcc_y", "Give an RTMPose of MMDeploy"
    )
