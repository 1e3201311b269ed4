"""Where trajectories have gaps, and filling the short ones.

``values`` have the shape ``(frame, ..., axis)``. A *point* is one trajectory over the last axis: in
a frame it is either seen (all coordinates finite) or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pose3d.video.timestamps import find_pauses

Array = NDArray[np.floating]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


def seen_points(values: Array) -> Mask:
    """Returns ``(frame, ...)`` True where ``(frame, ..., axis)`` is finite in all axes."""
    return np.asarray(np.isfinite(values).all(-1), np.bool_)


def bounds_of(values: Array) -> tuple[Array, Array]:
    """Returns the corners ``(..., axis)`` around ``(..., point, axis)``; NaN: no point is seen."""
    seen = seen_points(values)[..., None]
    some = seen.any(-2)
    low = np.where(seen, values, np.inf).min(-2)
    high = np.where(seen, values, -np.inf).max(-2)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def runs_between_gaps(seen: Mask, time_s: Array, max_gap_s: float) -> list[Indices]:
    """Splits the seen frames of one point at gaps over the limit and at pauses, never elsewhere."""
    index = np.flatnonzero(seen)
    if not len(index):
        return []
    apart = (np.diff(time_s[index]) > max_gap_s + 1e-9) & (np.diff(index) > 1)
    paused = np.diff(np.searchsorted(find_pauses(time_s), index, "right")) > 0
    return np.split(index, np.flatnonzero(apart | paused) + 1)


def fill_gaps(values: Array, time_s: Array, *, max_gap_s: float, linear: bool = False) -> Array:
    """Returns float64 with points interpolated where they were lost for a short time.

    Ends stay NaN, and so do gaps of more than ``max_gap_s`` between the seen frames on either side.
    Not ``linear``: PCHIP, never outside the range of the two neighbours (Fritsch and Carlson 1980).
    """
    points = as_points(np.array(values, np.float64))
    filled = points.copy()
    for columns, run in groups(points, time_s, max_gap_s):
        inside = np.arange(run[0], run[-1] + 1)
        if len(inside) == len(run):
            continue
        known = points[run][:, columns].reshape(len(run), -1)
        if linear or len(run) == 2:
            curve = np.stack([np.interp(time_s[inside], time_s[run], c) for c in known.T], -1)
        else:
            from scipy.interpolate import PchipInterpolator  # slow to import, seldom needed

            curve = PchipInterpolator(time_s[run], known)(time_s[inside])
        filled[np.ix_(inside, columns)] = curve.reshape(len(inside), len(columns), -1)
    return filled.reshape(values.shape)


def median_where_seen(values: Array, seen: Mask) -> float:
    """Returns the median of finite values, preferably of the seen ones; NaN without values."""
    finite = np.isfinite(values)
    chosen = values[finite & seen] if (finite & seen).any() else values[finite]
    return float(np.median(chosen)) if len(chosen) else np.nan


def as_points(array: Array) -> Array:
    """Views ``(frame, ..., axis)`` as ``(frame, point, axis)``."""
    points = int(np.prod(array.shape[1:-1]))
    return array.reshape(len(array), points, array.shape[-1])


def groups(points: Array, time_s: Array, max_gap_s: float) -> Iterator[tuple[Indices, Indices]]:
    """Yields (points seen in the same frames, indices of one run of these frames)."""
    seen = seen_points(points)
    if (seen == seen[:, :1]).all():  # the usual case, without sorting
        patterns, inverse = seen[:, :1], np.zeros(seen.shape[1], np.intp)
    else:
        patterns, inverse = np.unique(seen, axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    for k in range(patterns.shape[1]):
        columns = np.flatnonzero(inverse == k)
        for run in runs_between_gaps(patterns[:, k], time_s, max_gap_s):
            yield columns, run
