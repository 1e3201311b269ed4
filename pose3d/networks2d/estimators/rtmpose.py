"""RTMPose and RTMW from ONNX files: 17, 26 or 133 keypoints by SimCC, without MMPose.

Needs the extra ``[rtmpose]`` (ONNX Runtime). Pre- and post-processing are our own.

Reference:
    Jiang et al., "RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose", 2023; Jiang et
    al., "RTMW: Real-Time Multi-Person 2D and 3D Whole-body Pose Estimation", 2024; constants from
    MMPose 1.3.2, ``configs/body_2d_keypoint/rtmpose``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import (
    COCO17,
    HALPE26,
    WHOLEBODY133,
    Skeleton,
)
from pose3d.errors import WeightsError
from pose3d.networks2d.crops import normalise_crops
from pose3d.networks2d.heatmaps import decode_simcc
from pose3d.networks2d.interfaces import Detections, Keypoints
from pose3d.networks2d.runtimes.onnxrt import OnnxNetwork
from pose3d.networks2d.top_down import estimate_in_crops
from pose3d.video.picture import Image
from pose3d.weights import fetching, finding
from pose3d.weights.info import ModelInfo

DEFAULT_WEIGHTS = "rtmpose.body7-m"
_SKELETONS = {len(s): s for s in (COCO17, HALPE26, WHOLEBODY133)}


class RTMPoseKeypoints:
    """Finds 17 (COCO), 26 (Halpe) or 133 (whole body) keypoints of given people.

    Args:
        argument: an ``.onnx`` file, or weights of the table by name; None: RTMPose-m for COCO-17.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; None: all cores.
        offline: never fetch the weights.

    Raises:
        UsageError: there are no weights of that name.
        DeviceError: the device is not there.
        WeightsError: the weights cannot be had, or are no SimCC network of a known skeleton.
    """

    ARGUMENT = "FILE.onnx"

    def __init__(
        self,
        *,
        argument: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        offline: bool = False,
    ) -> None:
        chosen = fetching.find_file(argument or DEFAULT_WEIGHTS, ".onnx", offline=offline)
        self._network = OnnxNetwork(chosen.path, device=device, threads=threads)
        if self._network.size_wh is None:
            raise WeightsError(
                f"{chosen.path} takes pictures of any size, RTMPose has a fixed one",
                "Export it with a fixed height and width",
            )
        self._size_wh = self._network.size_wh
        self._order = _order_of_outputs(self._network, self._size_wh, str(chosen.path))
        self.skeleton = self._find_skeleton(str(chosen.path))
        self.info = ModelInfo(
            name="rtmpose",
            licence=chosen.licence,
            weights=(chosen.name,),
            sha256=(finding.sha256_of(chosen.path),),
            device=self._network.device,
            device_reason=self._network.device_reason,
        )

    def estimate(self, image: Image, people: Detections) -> Keypoints:
        """Returns keypoints for each person of one picture; see :meth:`estimate_batch`."""
        return self.estimate_batch([image], [people])[0]

    def estimate_batch(
        self, images: Sequence[Image], people: Sequence[Detections]
    ) -> list[Keypoints]:
        """Returns keypoints for all people of several pictures, in one run of the network.

        Args:
            images: RGB pictures, of any sizes.
            people: where to look in each: their boxes; regions are ignored.

        Returns:
            Keypoints of each picture. ``score`` is the lesser of the two SimCC maxima, cut to 0..1;
            ``boxes_xyxy_px`` are where to look in the next frame.
        """
        return estimate_in_crops(images, people, self._size_wh, self._look)

    def _look(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Returns points in the crops and scores."""
        if not len(crops):
            joints = len(self.skeleton)
            return np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)
        out = self._network(normalise_crops(crops))
        x, y = (out[i] for i in self._order)
        points, score = decode_simcc(x, y, bins_per_px=x.shape[-1] / self._size_wh[0])
        return points, np.clip(score, 0, 1)

    def _find_skeleton(self, path: str) -> Skeleton:
        """Tells the skeleton by the number of joints in what the network gives for a black crop."""
        width, height = self._size_wh
        out = self._network(np.zeros((1, 3, height, width), np.float32))
        joints = out[self._order[0]].shape[1]
        if joints not in _SKELETONS:
            known = ", ".join(f"{n} ({s.name})" for n, s in _SKELETONS.items())
            raise WeightsError(
                f"{path} has {joints} keypoints, whose names are not known",
                f"Give a network with one of: {known}",
            )
        return _SKELETONS[joints]


def _order_of_outputs(network: OnnxNetwork, size_wh: tuple[int, int], path: str) -> tuple[int, int]:
    """Returns which outputs are the SimCC vectors along x and along y.

    Raises:
        WeightsError: there are no such outputs.
    """
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
        f"{path} gives {', '.join(map(str, names))}, expected SimCC vectors simcc_x and simcc_y",
        "Give an RTMPose or RTMW network as MMDeploy exports it",
    )
