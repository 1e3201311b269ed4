"""A take as a motion-capture file holds it: whatever joints, units and axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMotion:
    """One take."""

    joints: tuple[str, ...]  # names as in the file; the end of a chain is called ``NAME_end``
    parents: tuple[int, ...]  # -1: the root, or not known
    positions: Array  # ``(frame, joint, 3)`` in the file's units and axes
    rest: Array | None  # ``(joint, 3)`` the pose without any rotation
    rotations: Array | None  # ``(frame, joint, 3, 3)`` from rest to world
    fps: float | None  # as stated, not checked
    unit_m: float | None = None  # metres a unit where the file states it
