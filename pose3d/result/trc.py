"""TRC: marker trajectories for OpenSim and other biomechanics programs, one file a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose3d.result.markers import marker_names
from pose3d.result.numbers import fill_template
from pose3d.result.record import PoseSequence
from pose3d.result.upright import upright_track


class TrcExporter:
    """Writes ``.trc``: joints as markers in millimetres, y up; NaN where not seen (no empty cells).

    The names are those of Pose2Sim's models, see :func:`~pose3d.result.markers.marker_names`.

    Reference: OpenSim documentation, "Marker (.trc) Files".
    """

    suffix = ".trc"
    description = "Markers for OpenSim, named as in Pose2Sim's models"
    axes = "Y up, x right, z to the camera; millimetres"
    away = "has NaN"
    per_person = True

    def write(self, pose: PoseSequence, path: Path) -> None:
        """Writes the only person of ``pose`` to ``path``."""
        joints = upright_track(pose)
        frames, count = pose.n_frames, len(pose.skeleton)
        rate = f"{float(pose.video.rate):.6f}"
        numbered = [f"{axis}{i + 1}" for i in range(count) for axis in "XYZ"]
        head = [
            f"PathFileType\t4\t(X/Y/Z)\t{' '.join(Path(pose.video.path).stem.split())}.trc",
            "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
            "\tOrigNumFrames",
            f"{rate}\t{rate}\t{frames}\t{count}\tmm\t{rate}\t1\t{frames}",
            "Frame#\tTime\t" + "\t\t\t".join(marker_names(pose.skeleton)) + "\t\t",
            "\t\t" + "\t".join(numbered),
            "",
        ]
        columns = [np.arange(1, frames + 1), pose.time_s, *(joints * 1000).reshape(frames, -1).T]
        decimals = [0, 6, *[2] * (3 * count)]
        pieces = ["", *["\t"] * (len(columns) - 1), "\n"]
        text = fill_template(np.stack(columns, -1), decimals, pieces, missing="NaN")
        with path.open("wb") as file:
            file.writelines([("\n".join(head) + "\n").encode("utf-8", "replace"), text])
