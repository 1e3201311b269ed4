"""YOLO-pose by ultralytics (extra ``[yolo]``, AGPL-3.0): people and their keypoints in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pose3d.body.skeletons import COCO17
from pose3d.errors import WeightsError
from pose3d.networks2d.interfaces import Keypoints
from pose3d.networks2d.runtimes.yolonet import (
    LICENCE,
    Say,
    YoloNetwork,
    find_weights,
)
from pose3d.video.picture import Image

DEFAULT_WEIGHTS = "yolo11n-pose.pt"


class YoloKeypoints:
    """Finds people and their 17 keypoints (COCO) in whole pictures; no detector is run.

    Args:
        argument: one of ultralytics' names, or a file that it runs, trained for poses; None:
            :data:`DEFAULT_WEIGHTS`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: as torch is set.
        offline: never fetch the weights.

    Raises:
        MissingExtraError, UsageError, DeviceError, WeightsError: see :class:`YoloNetwork`.
        WeightsError: the network has another number of keypoints.
    """

    ARGUMENT = "WEIGHTS"
    LICENCE = LICENCE
    DETECTS_ITSELF = True
    skeleton = COCO17

    @staticmethod
    def fetch(argument: str | None, say: Say) -> None:
        """Fetches the weights where they are not here, after saying so; see :func:`find_weights`."""
        find_weights(argument or DEFAULT_WEIGHTS, say=say)

    def __init__(
        self,
        *,
        argument: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        offline: bool = False,
    ) -> None:
        named = argument or DEFAULT_WEIGHTS
        self._network = YoloNetwork(
            named, tasks=("pose",), device=device, threads=threads, offline=offline
        )
        shape = self._network.keypoint_shape
        if shape[:1] != (len(COCO17),):
            raise WeightsError(
                f"{named} finds {shape[0] if shape else 'no'} keypoints, known are COCO's 17",
                "Give a YOLO-pose network trained on COCO's keypoints",
            )
        self.info = self._network.info

    def find_people(self, images: Sequence[Image]) -> list[Keypoints]:
        """Returns everybody in several pictures, in one run of the network.

        Args:
            images: RGB pictures, of any sizes.

        Returns:
            For each picture people, best first; ``presence`` is the score of the box. Joints outside
            the picture lie on its edge (ultralytics puts them there). A network that gives no scores
            of joints has that of the box for all.
        """
        return [_keypoints_of(result) for result in self._network.look(images)]

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        return self._network.batch_for(image)


def _keypoints_of(result: object) -> Keypoints:
    boxes, found = result.boxes, result.keypoints  # type: ignore[attr-defined]
    values = np.asarray(found.data, np.float32).reshape(-1, *found.data.shape[-2:])
    score = (
        values[..., 2]
        if values.shape[-1] == 3
        else np.repeat(np.asarray(boxes.conf)[:, None], values.shape[1], 1)
    )
    return Keypoints(
        keypoints_px=np.ascontiguousarray(values[..., :2]),
        score=np.clip(score, 0, 1).astype(np.float32),
        presence=np.asarray(boxes.conf, np.float32),
        boxes_xyxy_px=np.asarray(boxes.xyxy, np.float32),
    )
