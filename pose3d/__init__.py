"""pose3d: video in, 3D human motion out.

>>> import pose3d
>>> pose = pose3d.estimate("video.mp4")        # doctest: +SKIP
>>> pose.joints_cam_m.shape                    # doctest: +SKIP
(204, 1, 17, 3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Names of functions are never names of modules below: importing those would replace them.
_PUBLIC = {
    "estimate": "pose3d.pipeline",
    "stream": "pose3d.live",
    "lift_keypoints": "pose3d.pipeline",
    "read_keypoints": "pose3d.keypoint_files",
    "RunOptions": "pose3d.options",
    "PoseSequence": "pose3d.types",
    "VideoInfo": "pose3d.types",
    "StageRecord": "pose3d.types",
    "Camera": "pose3d.types",
    "Skeleton": "pose3d.skeletons",
    "SKELETONS": "pose3d.skeletons",
    "Pose3DError": "pose3d.errors",
    "open_video": "pose3d.video",
    "write_video": "pose3d.video",
    "render_video": "pose3d.render",
    "choose_key_frames": "pose3d.key_frames",
    "make_storyboard": "pose3d.storyboard",
    "find_inputs": "pose3d.sources",
    "run_batch": "pose3d.batch",
    "OutputOptions": "pose3d.options",
    "load": "pose3d.export",
    "save": "pose3d.export",
}

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from pose3d.batch import run_batch
    from pose3d.errors import Pose3DError
    from pose3d.export import load, save
    from pose3d.key_frames import choose_key_frames
    from pose3d.keypoint_files import read_keypoints
    from pose3d.live import stream
    from pose3d.options import OutputOptions, RunOptions
    from pose3d.pipeline import estimate, lift_keypoints
    from pose3d.render import render_video
    from pose3d.skeletons import SKELETONS, Skeleton
    from pose3d.sources import find_inputs
    from pose3d.storyboard import make_storyboard
    from pose3d.types import Camera, PoseSequence, StageRecord, VideoInfo
    from pose3d.video import open_video, write_video


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that importing pose3d stays fast."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pose3d' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
