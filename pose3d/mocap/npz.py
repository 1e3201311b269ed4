"""NPZ: joint positions with names, the simplest form of motion capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose3d.errors import DataError
from pose3d.mocap.source import SourceMotion

_POSITIONS = {"positions_m": 1.0, "positions_mm": 0.001, "positions": None, "joints": None}
_NAMES = ("joint_names", "names")
_RATES = ("fps", "rate", "mocap_framerate", "mocap_frame_rate")


def read_npz(path: Path) -> SourceMotion:
    """Reads joint positions: ``(frame, joint, 3)``, names and a rate.

    Keys: ``positions_m``, ``positions_mm``, ``positions`` or ``joints``; ``joint_names`` or ``names``;
    ``fps``, ``rate`` or ``mocap_framerate`` (may be absent); ``parents`` (may be absent).

    Raises:
        DataError: the file is damaged, or has no positions or names; the message lists its keys.
    """
    try:
        with np.load(path, allow_pickle=False) as z:
            data = {k: z[k] for k in z.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})", "Save it without pickles") from error
    key = next((k for k in _POSITIONS if k in data), None)
    names = next((data[k] for k in _NAMES if k in data), None)
    if key is None or names is None:
        hint = "Body-model parameters (SMPL) have to be turned into joints first"
        raise DataError(
            f"{path} has no joint positions with names; its keys are {', '.join(data)}",
            hint if "poses" in data else f"Give {', '.join(_POSITIONS)} and joint_names",
        )
    positions = data[key].astype(np.float64)
    if positions.ndim != 3 or positions.shape[1:] != (len(names), 3) or not len(positions):
        raise DataError(
            f"{path}: {key} has shape {positions.shape} for {len(names)} joints",
            "Give (frame, joint, 3)",
        )
    if not np.isfinite(positions).all():
        raise DataError(f"{path}: {key} has missing values", "Fill or cut them")
    rate = next((float(data[k]) for k in _RATES if k in data), None)
    parents = data.get("parents", np.full(len(names), -1))
    return SourceMotion(
        joints=tuple(str(n) for n in names),
        parents=tuple(int(p) for p in parents),
        positions=positions,
        rest=None,
        rotations=None,
        fps=rate,
        unit_m=_POSITIONS[key],
    )
