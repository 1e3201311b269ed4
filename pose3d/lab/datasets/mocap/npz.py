"""NPZ: joint positions with names, the simplest form of motion capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import DataError
from pose3d.lab.datasets.mocap.source import SourceMotion
from pose3d.lab.datasets.npz_files import read_arrays

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
    key = next((k for k in _POSITIONS if k in data), None)
    names = next((data[k] for k in _NAMES if k in data), None)
    if key is None or names is None:
        hint = "Body-model parameters (SMPL) have to be turned into joints first"
        raise DataError(
            f"{path} has no joint positions with names; its keys are {', '.join(data)}",
            hint if "poses" in data else f"Give {', '.join(_POSITIONS)} and joint_names",
        )
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"{path}: the names of the joints are no texts", "Give one name a joint")
    if data[key].dtype.kind not in "fiu":
        raise DataError(f"{path}: {key} holds {data[key].dtype}, no numbers", "Give coordinates")
    positions = data[key].astype(np.float64)
    if positions.ndim != 3 or positions.shape[1:] != (len(names), 3) or not len(positions):
        raise DataError(
            f"{path}: {key} has shape {positions.shape} for {len(names)} joints",
            "Give (frame, joint, 3)",
        )
    if not np.isfinite(positions).all():
        raise DataError(f"{path}: {key} has missing values", "Fill or cut them")
    rate = next((data[k] for k in _RATES if k in data), None)
    parents = data.get("parents", np.full(len(names), -1))
    return SourceMotion(
        joints=tuple(str(n) for n in names),
        parents=_read_parents(path, parents, len(names)),
        positions=positions,
        rest=None,
        rotations=None,
        fps=None if rate is None else _read_rate(path, rate),
        unit_m=_POSITIONS[key],
    )


def _read_rate(path: Path, rate: NDArray[Any]) -> float:
    if rate.size != 1:
        raise DataError(f"{path} states {rate.size} frame rates", "Give one")
    if rate.dtype.kind not in "fiu":
        raise DataError(f"{path}: its frame rate is no number ({rate.item()!r})", "Give a number")
    return float(rate.item())


def _read_parents(path: Path, parents: NDArray[Any], joints: int) -> tuple[int, ...]:
    wrong = DataError(
        f"{path}: its parents are no tree of {joints} joints",
        "Give the index of each joint's parent, -1 for the root, or leave parents out",
    )
    if parents.shape != (joints,) or parents.dtype.kind not in "fiu":
        raise wrong
    found = tuple(int(p) if p in range(-1, joints) else joints for p in parents.tolist())
    for at in range(joints):
        for _ in range(joints):
            at = found[at] if 0 <= at < joints else at
        if at != -1:
            raise wrong
    return found
