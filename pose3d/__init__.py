"""pose3d: video in, 3D human motion out.

>>> import pose3d
>>> pose = pose3d.estimate("video.mp4")        # doctest: +SKIP
>>> pose.dense().joints_cam_m.shape            # doctest: +SKIP
(204, 1, 17, 3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pose3d.version import __version__

# Names of functions are never names of modules below: importing those would replace them.
_PUBLIC = {
    "estimate": "pose3d.pipeline.estimate",
    "stream": "pose3d.pipeline.live",
    "lift_keypoints": "pose3d.pipeline.estimate",
    "read_keypoints": "pose3d.keypoint_files.reading",
    "RunOptions": "pose3d.options",
    "PoseSequence": "pose3d.result.record",
    "VideoInfo": "pose3d.result.record",
    "StageRecord": "pose3d.result.record",
    "Camera": "pose3d.result.record",
    "Skeleton": "pose3d.body.skeletons",
    "SKELETONS": "pose3d.body.skeletons",
    "Pose3DError": "pose3d.errors",
    "open_video": "pose3d.video.reader",
    "write_video": "pose3d.video.writer",
    "render_video": "pose3d.render.video",
    "write_page": "pose3d.viewer.page",
    "choose_key_frames": "pose3d.storyboard.key_frames",
    "make_storyboard": "pose3d.storyboard.storyboard",
    "find_inputs": "pose3d.video.sources",
    "run_batch": "pose3d.pipeline.batch.clips",
    "OutputOptions": "pose3d.options",
    "load": "pose3d.result.record",
    "save": "pose3d.result.record",
}

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from pose3d.body.skeletons import SKELETONS, Skeleton
    from pose3d.errors import Pose3DError
    from pose3d.keypoint_files.reading import read_keypoints
    from pose3d.options import OutputOptions, RunOptions
    from pose3d.pipeline.batch.clips import run_batch
    from pose3d.pipeline.estimate import estimate, lift_keypoints
    from pose3d.pipeline.live import stream
    from pose3d.render.video import render_video
    from pose3d.result.record import (
        Camera,
        PoseSequence,
        StageRecord,
        VideoInfo,
        load,
        save,
    )
    from pose3d.storyboard.key_frames import choose_key_frames
    from pose3d.storyboard.storyboard import make_storyboard
    from pose3d.video.reader import open_video
    from pose3d.video.sources import find_inputs
    from pose3d.video.writer import write_video
    from pose3d.viewer.page import write_page


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that importing pose3d stays fast."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pose3d' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
