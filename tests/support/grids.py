"""A record's rows as arrays with an axis of frames and one of people, to read, edit and put back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.result.record import ROW_ARRAYS, PoseSequence

FIELDS = ("video", "time_s", "skeleton", "camera", "made_by")


class Grid:
    """``grid(pose).valid`` is ``(frame, person)``; a view where everybody is in every frame."""

    def __init__(self, pose: PoseSequence) -> None:
        self._pose = pose

    def __getattr__(self, name: str) -> NDArray | None:
        rows = getattr(self._pose, name)
        return None if rows is None else to_grid(rows, self._pose)


def to_grid(rows: NDArray, pose: PoseSequence) -> NDArray:
    """Rows as ``(frame, person, ...)``; a view where everybody is in every frame, else read-only."""
    shape = (pose.n_people, pose.n_frames, *rows.shape[1:])
    if len(rows) == shape[0] * shape[1]:
        return rows.reshape(shape).swapaxes(0, 1)
    out = np.full(shape, False if rows.dtype == bool else np.nan, rows.dtype).swapaxes(0, 1)
    for column, span in enumerate(pose.spans):
        out[span.frames, column] = rows[span.rows]
    out.flags.writeable = False
    return out


def grid(pose: PoseSequence) -> Grid:
    return Grid(pose)


def regrid(pose: PoseSequence, **changes: Any) -> PoseSequence:
    """``dataclasses.replace`` with arrays ``(frame, person, ...)``."""
    values = {name: getattr(pose, name) for name in FIELDS}
    values |= {name: getattr(grid(pose), name) for name in ROW_ARRAYS}
    return PoseSequence.from_dense(**({"person_ids": pose.person_ids} | values | changes))


def to_rows(array: NDArray) -> NDArray:
    """``(frame, person, ...)`` as rows of people who are in every frame."""
    return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])
