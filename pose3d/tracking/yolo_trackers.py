"""ByteTrack and BoT-SORT of ultralytics (extra ``[yolo]``, AGPL-3.0), fed with anybody's boxes.
Reference: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022; Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022;
``ultralytics/ultralytics`` 8.4.190, ``trackers/`` and ``cfg/trackers/*.yaml`` (all parameters)."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import MissingExtraError
from pose3d.networks2d.interfaces import Detections
from pose3d.networks2d.runtimes.yolonet import INSTALL, LICENCE, import_ultralytics
from pose3d.video.picture import Image

_CLASSES = {"bytetrack": "BYTETracker", "botsort": "BOTSORT"}
_RATE = 30.0  # frames per second that ultralytics' numbers of frames are meant for


class YoloLinker:
    """Numbers boxes by person with ``bytetrack`` or ``botsort`` (which follows the camera).
    Differs: a lost person is waited for 1 s at any rate; ultralytics counts frames."""

    def __init__(self, name: str, rate: Fraction | float) -> None:
        check_linker(name)
        from ultralytics import trackers
        from ultralytics.utils import YAML, IterableSimpleNamespace
        from ultralytics.utils.checks import check_yaml

        settings: dict[str, Any] = YAML.load(check_yaml(f"{name}.yaml"))
        settings["track_buffer"] = max(1, round(settings["track_buffer"] * float(rate) / _RATE))
        self.name = name
        self.options = settings
        self._tracker = getattr(trackers, _CLASSES[name])(IterableSimpleNamespace(**settings))

    def link(self, image: Image, found: Detections) -> NDArray[np.int_]:
        """Returns the person of each box of the next frame, from 1; 0: not believed yet."""
        from ultralytics.engine.results import Boxes

        rows = np.concatenate(
            (found.boxes_xyxy_px, found.score[:, None], np.zeros((len(found), 1))), 1
        ).astype(np.float32)
        boxes = Boxes(rows, image.shape[:2])
        numbers = np.zeros(len(found), int)
        # Columns: box, number, score, class, row of the detection.
        for row in self._tracker.update(boxes, np.ascontiguousarray(image[:, :, ::-1])):
            numbers[int(row[7])] = int(row[4])
        return numbers


def check_linker(name: str) -> str:
    """Returns what is to be said about this tracker; MissingExtraError when it cannot be used."""
    ultralytics = import_ultralytics()
    if importlib.util.find_spec("lap") is None:  # ultralytics would try to install it by itself
        raise MissingExtraError(f"--tracker {name} needs the package 'lap'", INSTALL)
    return f"{name} of ultralytics {ultralytics.__version__}, looks at every frame, {LICENCE}"
