"""A take as a motion-capture file holds it: whatever joints, units and axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMotion:
    """One take.

    Args:
        joints: names as in the file; the end of a chain is called ``NAME_end``.
        parents: index of each joint's parent, -1 for the root or where it is not known.
        positions: ``(frame, joint, 3)`` in the file's units and axes.
        rest: ``(joint, 3)`` the pose without any rotation, or None where the format has none.
        rotations: ``(frame, joint, 3, 3)`` from the rest pose to the world, or None.
        fps: frames per second as stated, not checked; None: not stated.
        unit_m: metres a unit where the file states it, or None.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Array
    rest: Array | None
    rotations: Array | None
    fps: float | None
    unit_m: float | None = None
