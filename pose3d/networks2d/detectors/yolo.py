"""YOLO person detector by ultralytics (extra ``[yolo]``, AGPL-3.0)."""

from __future__ import annotations

from collections.abc import Sequence

from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.one_stage import DOUBTFUL
from pose3d.networks2d.runtimes.yolonet import (
    LICENCE,
    Say,
    YoloNetwork,
    find_weights,
)
from pose3d.video.picture import Image

DEFAULT_WEIGHTS = "yolo11n.pt"


class YoloDetector:
    """Finds people with a YOLO network; letterboxing, suppression and scaling are ultralytics'.

    Args:
        argument: one of ultralytics' names, or a file that it runs, trained for boxes, masks or
            poses; None: :data:`DEFAULT_WEIGHTS`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: as torch is set.
        offline: never fetch the weights.

    Raises:
        MissingExtraError, UsageError, DeviceError, WeightsError: see :class:`YoloNetwork`.
    """

    ARGUMENT = "WEIGHTS"
    LICENCE = LICENCE

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
        self._network = YoloNetwork(
            argument or DEFAULT_WEIGHTS,
            tasks=("detect", "segment", "pose"),
            device=device,
            threads=threads,
            offline=offline,
        )
        self.info = self._network.info

    def detect(self, image: Image) -> Detections:
        """Returns the people of a picture, best first."""
        return self.detect_batch([image])[0].above(DOUBTFUL)

    def detect_batch(self, images: Sequence[Image]) -> list[Detections]:
        """Returns the people of several pictures, in one run of the network.

        Args:
            images: RGB pictures, of any sizes.

        Returns:
            For each picture boxes, best first, with those of which the network is in doubt.
        """
        return [
            Detections(boxes_xyxy_px=r.boxes.xyxy, score=r.boxes.conf)
            for r in self._network.look(images)
        ]

    def batch_for(self, image: Image) -> int:
        """Returns how many pictures of this size fit into one run."""
        return self._network.batch_for(image)
