"""C3D: marker trajectories in the binary format of motion-capture laboratories, one file a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose3d.errors import UsageError
from pose3d.plugins import import_extra
from pose3d.result.markers import marker_names
from pose3d.result.record import PoseSequence
from pose3d.result.rig import even_times
from pose3d.result.upright import upright_track

_MOST_FRAMES = 65_535  # what the header of the file can count


class C3dExporter:
    """Writes ``.c3d``: joints as points in millimetres, y up; residual -1 where not seen.

    Frames are even; of a clip with uneven ones each takes the pose of the nearest. The number of
    the first frame is its time at the rate, from 1. Reference: c3d.org, *The C3D File Format*.
    """

    suffix = ".c3d"
    description = "Markers for Vicon Nexus, Visual3D, Mokka, MATLAB; needs ezc3d"
    axes = "Y up, x right, z to the camera; millimetres"
    away = "has residual -1"
    per_person = True

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        ezc3d = import_extra("ezc3d", "c3d", "The format c3d")
        times, rate = even_times(pose), float(pose.video.rate)
        first = round(float(times[0]) * rate)
        if first + len(times) > _MOST_FRAMES:
            raise UsageError(
                f"C3D counts up to {_MOST_FRAMES} frames, {pose.video.path} has more",
                "Export trc, or cut the clip (--start, --end)",
            )
        nearest = np.rint(np.interp(times, pose.time_s, np.arange(pose.n_frames))).astype(int)
        joints = upright_track(pose)[nearest] * 1000
        points = np.concatenate([joints, np.ones_like(joints[..., :1])], -1).transpose(2, 1, 0)
        file = ezc3d.c3d()
        file["parameters"]["POINT"]["RATE"]["value"] = [rate]
        file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
        file["parameters"]["POINT"]["LABELS"]["value"] = marker_names(pose.skeleton)
        file.add_parameter("POINT", "X_SCREEN", ["+X"])
        file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
        file.add_parameter("SUBJECTS", "NAMES", [f"person_{pose.person_ids[0]}"])
        file["header"]["points"]["first_frame"] = first
        file["data"]["points"] = points
        residuals = np.where(np.isnan(joints[..., 0]), -1.0, 0.0)
        file["data"]["meta_points"]["residuals"] = residuals.T[None]
        named = path.with_name(f"{path.name}.c3d")  # ezc3d adds it where it is missing
        file.write(str(named))
        named.replace(path)
