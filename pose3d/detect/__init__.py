"""Person detectors: one file each, found by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from pose3d.types import Detections, Detector, Image
from pose3d.variants import make_variant

DETECTORS: dict[str, str] = {
    "blazepose": "pose3d.detect.blazepose:BlazePoseDetector",
    "rtmdet": "pose3d.detect.rtmdet:RTMDetDetector",
    "yolo": "pose3d.detect.yolo:YoloDetector",
    "yolox": "pose3d.detect.rtmdet:YOLOXDetector",
}
"""Built-in detectors, name -> ``"module:Class"``; see :func:`pose3d.variants.make_variant`."""


@runtime_checkable
class SearchingDetector(Detector, Protocol):
    """A detector with cheaper searches than the thorough :meth:`detect`.

    Optional: the tracker uses them where a detector has them.
    """

    def detect_whole(self, image: Image) -> Detections:
        """Returns the people that a quick look at the whole picture finds."""
        ...

    def detect_near(self, image: Image, regions: Float[np.ndarray, "n 4"]) -> Detections:
        """Returns the people found inside the given squares (see :mod:`pose3d.regions`)."""
        ...


def make_detector(
    name: str, *, device: str = "auto", threads: int | None = None, offline: bool = False
) -> Detector:
    """Makes the detector called ``name``, fetching its weights when they are not here.

    Args:
        name: in :data:`DETECTORS` or an entry point ``detector.NAME`` of the group ``pose3d``;
            ``NAME:ARGUMENT`` where the detector takes an argument.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None: all cores.
        offline: never use the network.

    Raises:
        UsageError: there is no detector of that name, or it takes no argument.
        MissingExtraError: it needs a package that is not installed.
        DeviceError: it cannot run on ``device``.
        WeightsError: its weights cannot be had.
    """
    detector: Detector = make_variant(
        "detector", "--detector", name, DETECTORS, device=device, threads=threads, offline=offline
    )
    return detector
