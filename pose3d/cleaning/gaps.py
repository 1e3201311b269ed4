"""Where trajectories have gaps: telling short ones from long ones, and filling the short ones.

``values`` have the shape ``(frame, ..., axis)``. A *point* is one trajectory over the last axis (one
joint of one person): in a frame it is either seen (all coordinates finite) or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def seen_points(values: ArrayLike) -> Mask:
    """Returns ``(frame, ...)`` True where all coordinates of ``(frame, ..., axis)`` are finite."""
    return np.asarray(np.isfinite(values).all(-1), np.bool_)


def runs_between_gaps(seen: Mask, time_s: Array, max_gap_s: float) -> list[NDArray[np.intp]]:
    """Splits the seen frames of one point where it was lost for too long.

    Args:
        seen: ``(frame,)``.
        time_s: ``(frame,)`` seconds.
        max_gap_s: longest time from one seen frame to the next within a run; neighbouring frames
            belong together however slow the frame rate is.

    Returns:
        Indices of the seen frames of each run, in order.
    """
    index = np.flatnonzero(seen)
    if not len(index):
        return []
    apart = (np.diff(time_s[index]) > max_gap_s + 1e-9) & (np.diff(index) > 1)
    return np.split(index, np.flatnonzero(apart) + 1)


def fill_gaps(
    values: ArrayLike, time_s: ArrayLike, *, max_gap_s: float, method: str = "pchip"
) -> Array:
    """Interpolates where a point was lost for a short time.

    Args:
        values: ``(frame, ..., axis)``, NaN where not seen.
        time_s: ``(frame,)`` seconds.
        max_gap_s: longest time between the two seen frames on either side of what is filled.
        method: ``"linear"`` or ``"pchip"`` (smooth, and never outside the range of its two
            neighbours; Fritsch and Carlson 1980).

    Returns:
        A copy; frames before the first and after the last seen frame, and longer gaps, stay NaN.

    Raises:
        ValueError: unknown method.
    """
    if method not in ("linear", "pchip"):
        raise ValueError(f"method is {method!r}, expected 'linear' or 'pchip'")
    array, time = checked(values, time_s)

    def fill(run: NDArray[np.intp], columns: Array) -> tuple[NDArray[np.intp], Array]:
        inside = np.arange(run[0], run[-1] + 1)
        if len(inside) == len(run):
            return run, columns
        if method == "linear" or len(run) == 2:
            filled = np.stack([np.interp(time[inside], time[run], c) for c in columns.T], -1)
        else:
            filled = PchipInterpolator(time[run], columns)(time[inside])
        return inside, filled

    out = array.copy()
    points, flat = as_points(array), as_points(out)
    for columns, run in groups(points, time, max_gap_s):
        frames, filled = fill(run, points[run][:, columns].reshape(len(run), -1))
        flat[np.ix_(frames, columns)] = filled.reshape(len(frames), len(columns), -1)
    return out


def checked(values: ArrayLike, time_s: ArrayLike) -> tuple[Array, Array]:
    """Returns both as float64 after checking that they belong together."""
    array = np.array(values, np.float64)
    time = np.asarray(time_s, np.float64)
    if array.ndim < 2:
        raise ValueError(f"values has shape {array.shape}, expected (frame, ..., axis)")
    if time.shape != array.shape[:1]:
        raise ValueError(f"time_s has shape {time.shape}, expected {array.shape[:1]}")
    if len(time) > 1 and not (np.diff(time) > 0).all():
        raise ValueError("time_s does not increase strictly")
    return array, time


def as_points(array: Array) -> Array:
    """Views ``(frame, ..., axis)`` as ``(frame, point, axis)``."""
    points = int(np.prod(array.shape[1:-1]))
    return array.reshape(len(array), points, array.shape[-1])


def groups(
    points: Array, time: Array, max_gap_s: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yields (points seen in the same frames, indices of one run of these frames)."""
    seen = seen_points(points)
    if (seen == seen[:, :1]).all():  # the usual case, without sorting
        patterns, inverse = seen[:, :1], np.zeros(seen.shape[1], np.intp)
    else:
        patterns, inverse = np.unique(seen, axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    for k in range(patterns.shape[1]):
        columns = np.flatnonzero(inverse == k)
        for run in runs_between_gaps(patterns[:, k], time, max_gap_s):
            yield columns, run
