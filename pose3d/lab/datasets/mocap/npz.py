"""NPZ: joint positions with names, the simplest form of motion capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import SourceMotion
from pose3d.lab.datasets.npz_files import check_layout, read_arrays

_POSITIONS = {"positions_m": 1.0, "positions_mm": 0.001, "positions": None, "joints": None}
_NAMES = ("joint_names", "names")
_RATES = ("fps", "rate", "mocap_framerate", "mocap_frame_rate")


def read_npz(path: Path) -> SourceMotion:
    """Reads positions ``(frame, joint, 3)`` and names; a rate and ``parents`` may be absent."""
    data = read_arrays(path, "readable NPZ file", "Save it again with numpy.savez, without pickles")
    if {"starts", "split"} <= set(data):
        raise DataError(
            f"{path} was made by 'pose3d data prepare'", "Give it to 'pose3d train' with --motions"
        )
    key, names, rate = (
        next((name for name in known if name in data), None)
        for known in (_POSITIONS, _NAMES, _RATES)
    )
    if key is None or names is None:
        hint = "Body-model parameters (SMPL) have to be turned into joints first"
        raise DataError(
            f"{path} has no joint positions with names; its keys are {', '.join(data)}",
            hint if "poses" in data else f"Give {', '.join(_POSITIONS)} and joint_names",
        )
    layout = {key: "number frame joint 3", names: "text joint"}
    if rate is not None:
        data[rate], layout[rate] = data[rate].ravel(), "number 1"
    if "parents" in data:
        layout["parents"] = "number joint"
    check_layout(path, data, layout, "Save one name a joint and positions (frame, joint, 3)")
    positions = data[key].astype(np.float64)
    if not len(positions) or not np.isfinite(positions).all():
        raise DataError(f"{path}: {key} is empty or has missing values", "Fill or cut them")
    parents = data.get("parents", np.full(len(data[names]), -1))
    return SourceMotion(
        joints=tuple(str(n) for n in data[names]),
        parents=_read_parents(path, parents),
        positions=positions,
        rest=None,
        rotations=None,
        fps=None if rate is None else float(data[rate][0]),
        unit_m=_POSITIONS[key],
    )


def _read_parents(path: Path, parents: NDArray[Any]) -> tuple[int, ...]:
    joints = len(parents)
    found = tuple(int(p) if p in range(-1, joints) else joints for p in parents.tolist())
    for at in range(joints):
        for _ in range(joints):
            at = found[at] if 0 <= at < joints else at
        if at != -1:
            todo = "Give the index of each joint's parent, -1 for the root, or leave parents out"
            raise DataError(f"{path}: its parents are no tree of {joints} joints", todo)
    return found
