"""Presentation times of frames: repairing them, and what rate they amount to. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np

from pose3d.errors import VideoError

T = TypeVar("T")

# A frame this near to its place on a regular grid is on it: tools that round to milliseconds and
# then store finer ticks are common.
GRID_TOLERANCE_S = 0.001

PAUSE_S, PAUSE_FRAMES = 0.5, 4  # see find_pauses

RANGE_TOLERANCE_S = 1e-6  # seconds typed by people are no multiples of 1001/30000


def empty_range(path: str, start_s: float, end_s: float, length_s: float | None) -> VideoError:
    """Builds the error for a range without a picture, of a clip whose length may be unknown."""
    span = f"at or after {start_s:g} s" if end_s == math.inf else f"from {start_s:g} to {end_s:g} s"
    length = "" if length_s is None else f"; it is {length_s:.3f} s long"
    todo = "Give a start and an end within the clip"
    return VideoError(f"{path} has no picture {span}{length}", todo)


def repair_times(
    frames: Iterable[tuple[float | None, T]],
    nominal_s: float,
    repaired: list[int] | None = None,
) -> Iterator[tuple[float, T]]:
    """Makes the times of a stream of frames strictly increasing without dropping a frame.

    ``frames`` are pairs of seconds (None: unknown) and anything. A missing, repeated or backward
    time becomes ``nominal_s`` after the frame before it, or half way to the next frame where that
    comes sooner (one frame of look-ahead); ``repaired`` gets the index of each changed one.
    """
    iterator = iter(frames)
    current = next(iterator, None)
    previous_s = -math.inf
    index = 0
    while current is not None:
        following = next(iterator, None)
        raw_s, item = current
        if raw_s is not None and raw_s > previous_s:
            time_s = raw_s
        else:
            time_s = _fill_in(previous_s, following[0] if following else None, nominal_s)
            if repaired is not None:
                repaired.append(index)
        current = following
        yield time_s, item
        # Nothing here may keep a picture alive that the caller is done with.
        del item, following
        previous_s = time_s
        index += 1


def _fill_in(previous_s: float, next_raw_s: float | None, nominal_s: float) -> float:
    if previous_s == -math.inf:
        return 0.0 if next_raw_s is None else min(0.0, next_raw_s - nominal_s)
    time_s = previous_s + nominal_s
    if next_raw_s is not None and next_raw_s > previous_s:
        between_s = (previous_s + next_raw_s) / 2
        # Two neighbouring floats have nothing between them.
        if between_s > previous_s:
            time_s = min(time_s, between_s)
    return time_s


def measure_rate(
    time_s: Sequence[float] | np.ndarray,
    *,
    tick_s: Fraction,
    candidates: Iterable[Fraction] = (),
) -> tuple[Fraction, bool]:
    """Returns the exact rate of strictly increasing times, and whether the durations vary.

    Constant: every time lies on a regular grid within one container tick (or ``GRID_TOLERANCE_S``);
    the first of ``candidates`` that fits is taken. Varying: the rate of the median duration, which
    a pause between two scenes does not slow down.
    """
    stated = [rate for rate in candidates if rate and rate > 0]
    times = np.asarray(time_s, np.float64)
    if len(times) < 2:
        return (stated[0] if stated else Fraction(30)), False
    tolerance_s = max(1.01 * float(tick_s), GRID_TOLERANCE_S)
    intervals = len(times) - 1
    # Through ticks, because the float seconds of 1001/30000 are no exact fraction.
    span_s = round((times[-1] - times[0]) / float(tick_s)) * tick_s
    average = intervals / span_s if span_s > 0 else Fraction(intervals / (times[-1] - times[0]))
    whole = [Fraction(round(average)), Fraction(round(average * Fraction(1001, 1000)) * 1000, 1001)]
    for rate in (*stated, *(r for r in whole if r > 0), average):
        late_s = times - times[0] - np.arange(len(times)) / float(rate)
        if (late_s.max() - late_s.min()) / 2 <= tolerance_s:
            return rate, False
    return Fraction(1 / float(np.median(np.diff(times)))).limit_denominator(1001), True


def split_runs(present: np.ndarray, time_s: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    """Returns the frames of each stretch of ``present`` ``(frame,)`` without an interruption or a pause."""
    index = np.flatnonzero(present)
    side = np.searchsorted(find_pauses(time_s), index, "right")
    ends = np.flatnonzero((np.diff(index) > 1) | (np.diff(side) > 0)) + 1
    return np.split(index, ends) if len(index) else []


def find_pauses(time_s: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the frames before which the recording paused (over 0.5 s and four usual frames)."""
    steps = np.diff(np.asarray(time_s, np.float64))
    if not len(steps):
        return np.zeros(0, np.intp)
    return np.flatnonzero(steps > longest_step_s(float(np.median(steps)))) + 1


def longest_step_s(usual_s: float) -> float:
    """Returns the longest time between two frames that is no pause, of the usual one."""
    return max(PAUSE_S, PAUSE_FRAMES * usual_s)
