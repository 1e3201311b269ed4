"""CSV files of joints as arrays and as poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.columns import Columns, understand_header
from pose3d.keypoint_files.poses import LARGEST_NUMBER, Poses
from pose3d.keypoint_files.source import Source

Array = NDArray[np.floating]

_NUMBERED = {
    "frame": "Number the frames, e.g. 12",
    "person": "Give each person a number, e.g. 1 and 2",
}
"""Columns of whole numbers, and what to do where they hold something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The numbers of a table.

    Args:
        joints: their names.
        frames: ``(row,)`` frame numbers, or None: the table has one row a frame, in order.
        people: ``(row,)`` ids, or None.
        points: ``(row, joint, 2)``.
        score: ``(row, joint)``, or None.
        time_s: ``(row,)``, or None.
    """

    joints: tuple[str, ...]
    frames: NDArray[np.int_] | None
    people: NDArray[np.int_] | None
    points: Array
    score: Array | None
    time_s: Array | None


def read_csv(source: Source) -> Table:
    header = source.rows[0] if source.rows else []
    columns = understand_header(header)
    if columns is None:
        raise ResultFileError(
            f"{source}: the columns {', '.join(header[:8])} ... are not understood",
            "Name them nose_x, nose_y, nose_score, ... or frame, person, joint, x, y, score",
        )
    return read_table(source.rows[1:], columns, source)


def joints_of(source: Source) -> tuple[str, ...]:
    """Returns the names of the joints of a table; none when its columns are not understood."""
    rows = source.rows
    columns = understand_header(rows[0]) if rows else None
    if columns is None or columns.joint is None:
        return () if columns is None else columns.joints
    place = columns.joint
    return tuple(dict.fromkeys(row[place] for row in rows[1:] if len(row) > place))


def poses_of(table: Table) -> Poses:
    """Returns a table as poses; without frame numbers every row is one frame."""
    score = table.score
    if score is None:
        score = np.isfinite(table.points).all(-1).astype(float)
    n = len(table.points)
    frames = np.arange(n) if table.frames is None else table.frames
    numbers, first_row = np.unique(frames, return_index=True)
    people = table.people
    if people is None and len(numbers) == n:
        people = np.ones(n, int)  # a table of one row a frame is of one person
    return Poses(
        frames=frames,
        points=table.points,
        score=score,
        ids=people,
        numbers=numbers,
        first=0 if numbers[0] == 0 else None,
        complete=table.frames is None,
        time_s=None if table.time_s is None else table.time_s[first_row],
    )


def read_table(rows: Sequence[Sequence[str]], columns: Columns, where: object) -> Table:
    if not rows:
        raise ResultFileError(f"{where} has a header and no rows", "Write it again")
    width = 1 + max(
        int(columns.axes.max()),
        *(c or 0 for c in (columns.frame, columns.person, columns.joint, columns.time)),
    )
    for line, row in enumerate(rows, 2):
        if len(row) < width:
            raise ResultFileError(
                f"{where}, line {line} has {len(row)} cells, fewer than its header",
                "Write it again",
            )
    used = {int(i) for i in columns.axes.ravel() if i >= 0}
    used |= {columns.time} if columns.time is not None else set()
    cells = {i: _numbers([row[i] for row in rows], where, i) for i in used}
    frames = _whole(rows, columns.frame, where, "frame")
    people = _whole(rows, columns.person, where, "person")
    time_s = None if columns.time is None else cells[columns.time] * columns.time_unit_s
    xyv = np.stack(
        [
            np.stack([cells[i] if i >= 0 else np.full(len(rows), np.nan) for i in axes], -1)
            for axes in columns.axes
        ],
        1,
    )
    has_score = bool((columns.axes[:, 2] >= 0).any())
    table = Table(
        joints=columns.joints,
        frames=frames,
        people=people,
        points=xyv[..., :2],
        score=xyv[..., 2] if has_score else None,
        time_s=time_s,
    )
    if columns.joint is None:
        return table
    return _gather(table, [row[columns.joint].strip() for row in rows], where)


def _gather(table: Table, names: list[str], where: object) -> Table:
    """Makes one row a person and frame of one row a joint."""
    if table.frames is None:
        raise ResultFileError(f"{where} has a column for joints and none for frames", "Add 'frame'")
    joints = tuple(dict.fromkeys(names))
    column = np.array([joints.index(name) for name in names])
    people = np.zeros(len(names), int) if table.people is None else table.people
    keys, rows = np.unique(np.stack([table.frames, people], -1), axis=0, return_inverse=True)
    rows = rows.reshape(-1)
    places = np.stack([rows, column], -1)
    if len(np.unique(places, axis=0)) < len(places):
        raise ResultFileError(
            f"{where} has a joint of one person twice in one frame", "Add a column 'person'"
        )
    points = np.full((len(keys), len(joints), 2), np.nan)
    points[rows, column] = table.points[:, 0]
    score, time_s = None, None
    if table.score is not None:
        score = np.full((len(keys), len(joints)), np.nan)
        score[rows, column] = table.score[:, 0]
    if table.time_s is not None:
        time_s = np.full(len(keys), np.nan)
        time_s[rows] = table.time_s
    return Table(
        joints=joints,
        frames=keys[:, 0],
        people=None if table.people is None else keys[:, 1],
        points=points,
        score=score,
        time_s=time_s,
    )


def _numbers(
    cells: Sequence[str],
    where: object,
    column: int,
    todo: str = "Write numbers with a decimal point, nothing where there is none",
) -> Array:
    """Returns the numbers of a column; empty, nan and null are NaN."""
    out = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            out[i] = float(cell) if cell and cell.lower() not in ("null", "none", "na") else np.nan
        except ValueError as error:
            raise ResultFileError(
                f"{where}, line {i + 2}, column {column + 1}: {cell!r} is no number", todo
            ) from error
    if np.isinf(out).any():
        raise ResultFileError(f"{where} holds infinite values", "Write the file again")
    return out


def _whole(
    rows: Sequence[Sequence[str]], column: int | None, where: object, name: str
) -> NDArray[np.int_] | None:
    """Returns the whole numbers of a column of :data:`_NUMBERED`; None where there is no column."""
    if column is None:
        return None
    todo = _NUMBERED[name]
    values = _numbers([row[column] for row in rows], where, column, todo)
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
