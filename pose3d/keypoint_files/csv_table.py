"""CSV files of joints as poses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.columns import Columns, understand_header
from pose3d.keypoint_files.poses import LARGEST_NUMBER, Array, Poses
from pose3d.keypoint_files.source import Source, damaged

_Rows = Sequence[Sequence[str]]


def joints_of(source: Source) -> tuple[str, ...]:
    """Returns the names of a table's joints; none when its columns are not understood."""
    rows = source.rows
    columns = understand_header(rows[0]) if rows else None
    if columns is None or columns.joint is None:
        return () if columns is None else columns.joints
    return tuple(dict.fromkeys(row[columns.joint] for row in rows[1:] if len(row) > columns.joint))


def read_csv(source: Source) -> tuple[tuple[str, ...], Poses]:
    """Returns joint names and poses of a table; without frame numbers every row is one frame."""
    header = source.rows[0] if source.rows else []
    columns = understand_header(header)
    if columns is None:
        raise ResultFileError(
            f"{source}: the columns {', '.join(header[:8])} ... are not understood",
            "Name them nose_x, nose_y, nose_score, ... or frame, person, joint, x, y, score",
        )
    rows = source.rows[1:]
    _check_width(rows, columns, source)
    frames = _whole(rows, columns.frame, source, "frame", "Number the frames, e.g. 12")
    people = _whole(
        rows, columns.person, source, "person", "Give each person a number, e.g. 1 and 2"
    )
    xys = np.full((len(rows), *columns.axes.shape), np.nan)  # row, joint, axis
    for joint, axis in np.argwhere(columns.axes >= 0).tolist():
        xys[:, joint, axis] = _numbers(rows, columns.axes[joint, axis], source)
    if (columns.axes[:, 2] < 0).all():
        xys[..., 2] = np.isfinite(xys[..., :2]).all(-1)
    complete = frames is None
    frames = np.arange(len(xys)) if frames is None else frames
    numbers, first_row = np.unique(frames, return_index=True)
    time_s = None
    if columns.time is not None:
        time_s = (_numbers(rows, columns.time, source) * columns.time_unit_s)[first_row]
    joints = columns.joints
    if columns.joint is not None:
        if complete:
            raise ResultFileError(
                f"{source} has a column for joints and none for frames", "Add 'frame'"
            )
        names = [row[columns.joint] for row in rows]
        joints = tuple(dict.fromkeys(names))
        index = np.array([joints.index(name) for name in names])
        frames, people, xys = _gather(frames, people, xys[:, 0], index, source)
    if people is None and len(numbers) == len(xys):
        people = np.ones(len(xys), int)  # a table of one row a frame is of one person
    poses = Poses(
        frames=frames,
        points=xys[..., :2],
        score=xys[..., 2],
        ids=people,
        numbers=numbers,
        first=0 if numbers[0] == 0 else None,
        complete=complete,
        time_s=time_s,
    )
    return joints, poses


def _check_width(rows: _Rows, columns: Columns, where: object) -> None:
    if not rows:
        raise damaged(f"{where} has a header and no rows")
    others = (columns.frame, columns.person, columns.joint, columns.time)
    width = 1 + max(int(columns.axes.max()), *(c or 0 for c in others))
    for line, row in enumerate(rows, 2):
        if len(row) < width:
            raise ResultFileError(
                f"{where}, line {line} has {len(row)} cells, fewer than its header",
                "Write it again",
            )


def _gather(
    frames: NDArray[np.int_],
    people: NDArray[np.int_] | None,
    xys: Array,
    joint: NDArray[np.int_],
    where: object,
) -> tuple[NDArray[np.int_], NDArray[np.int_] | None, Array]:
    """Makes one row a person and frame of one row a joint."""
    whose = np.zeros(len(frames), int) if people is None else people
    keys, rows = np.unique(np.stack([frames, whose], -1), axis=0, return_inverse=True)
    rows = rows.reshape(-1)
    if len(np.unique(np.stack([rows, joint], -1), axis=0)) < len(rows):
        raise ResultFileError(
            f"{where} has a joint of one person twice in one frame", "Add a column 'person'"
        )
    gathered = np.full((len(keys), joint.max() + 1, 3), np.nan)
    gathered[rows, joint] = xys
    return keys[:, 0], None if people is None else keys[:, 1], gathered


def _numbers(
    rows: _Rows,
    column: int,
    where: object,
    todo: str = "Write numbers with a decimal point, nothing where there is none",
) -> Array:
    """Returns the numbers of a column; empty, nan and null are NaN."""
    out = np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        cell = row[column]
        try:
            if cell and cell.lower() not in ("null", "none", "na"):
                out[i] = float(cell)
        except ValueError as error:
            raise ResultFileError(
                f"{where}, line {i + 2}, column {column + 1}: {cell!r} is no number", todo
            ) from error
    if np.isinf(out).any():
        raise damaged(f"{where} holds infinite values")
    return out


def _whole(
    rows: _Rows, column: int | None, where: object, name: str, todo: str
) -> NDArray[np.int_] | None:
    if column is None:
        return None
    values = _numbers(rows, column, where, todo)
    # NaN is equal to nothing.
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) > LARGEST_NUMBER))
    if len(wrong):
        cell = rows[wrong[0]][column]
        raise ResultFileError(
            f"{where}, line {wrong[0] + 2}: {cell!r} in the column {name!r} is no whole number, or "
            "too large",
            todo,
        )
    return values.astype(int)
