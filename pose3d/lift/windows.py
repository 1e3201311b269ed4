"""Windows: cut sequences of any length into what a lifter takes, and fade its answers together.
Long sequences get windows that overlap by half, short ones are reflected. Too fast a sequence is
split into interleaved slower ones; too slow a one gets frames between its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError

Array = NDArray[np.floating]

MOST_BETWEEN = 1000
"""Frames that may come between two that were filmed: each costs as much as one of them."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a sequence."""

    sequence: int  # its number
    rows: NDArray[np.intp]  # (frame,) row of the sequence, reflected where short
    own: int  # leading frames that stand for different rows


def cut_windows(length: int, frames: int, sequence: int = 0) -> list[Window]:
    """Covers ``length`` rows with windows that overlap by half; the last ends with the sequence."""
    if length < 1:
        raise ValueError("a sequence without rows has no windows")
    if length <= frames:
        rows = reflected_rows(length, frames)
        return [Window(sequence, rows, length)]
    step = max(frames // 2, 1)
    starts = [*range(0, length - frames, step), length - frames]
    return [Window(sequence, np.arange(s, s + frames), frames) for s in starts]


def reflected_rows(length: int, frames: int) -> NDArray[np.intp]:
    """Returns row numbers 0, 1, ... that turn back at both ends of ``length`` rows."""
    return _reflect(np.arange(frames), length)


def _reflect(rows: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    period = max(2 * (length - 1), 1)
    rows = rows % period
    return np.minimum(rows, period - rows) if length > 1 else rows


def centred_rows(length: int, frames: int) -> NDArray[np.int32]:
    """Returns ``(row, frame)`` the rows of the window around every row, reflected beyond both ends.
    The row itself is at ``(frames - 1) // 2``."""
    rows = np.arange(length)[:, None] + np.arange(frames) - (frames - 1) // 2
    return _reflect(rows, length).astype(np.int32)


def fade_weights(frames: int) -> Array:
    """Returns weights ``(frame,)`` that rise linearly to the middle and fall again, all above 0."""
    place = np.arange(frames, dtype=np.float64)
    return np.minimum(place + 1, frames - place)


def fade_together(windows: list[Window], answers: Array, lengths: list[int]) -> list[Array]:
    """Averages answers ``(window, frame, ...)``; ``(row, ...)`` for each of the ``lengths``."""
    shape = answers.shape[2:]
    sums = [np.zeros((n, *shape), np.float64) for n in lengths]
    totals = [np.zeros(n, np.float64) for n in lengths]
    fade = fade_weights(answers.shape[1])
    extra = (slice(None), *([None] * len(shape)))
    for window, answer in zip(windows, answers, strict=True):
        rows = window.rows[: window.own]
        weight = fade[: window.own]
        sums[window.sequence][rows] += answer[: window.own] * weight[extra]
        totals[window.sequence][rows] += weight
    return [s / t[extra] for s, t in zip(sums, totals, strict=True)]


@dataclass(frozen=True, slots=True)
class RatePlan:
    """How a sequence is brought into a range of rates: split by ``split``, or ``between`` frames added."""

    split: int = 1
    between: int = 0


def plan_rate(rate: float, rate_range: tuple[float, float]) -> RatePlan:
    """Plans how a sequence of ``rate`` frames a second gets into a range of an octave or more.
    A UsageError where so many frames would come in between that nothing is seen of a motion."""
    low, high = rate_range
    if rate > high:
        return RatePlan(split=math.ceil(rate / high))
    if rate < low:
        if rate * MOST_BETWEEN < low:
            raise UsageError(
                f"{rate:g} frames/s are too few: the lifter needs {low / MOST_BETWEEN:g} and more",
                "Give the rate at which the frames were filmed",
            )
        return RatePlan(between=math.ceil(low / rate) - 1)
    return RatePlan()


def plan_half_rate(rate: float, rate_range: tuple[float, float]) -> RatePlan | None:
    """Plans half the rate of :func:`plan_rate`; None where that would be below the range."""
    plan = plan_rate(rate, rate_range)
    if plan.between or rate / (2 * plan.split) < rate_range[0]:
        return None
    return RatePlan(split=2 * plan.split)


def rows_of_past(plan: RatePlan, frames: int) -> int:
    """Returns how many of the last rows of a sequence :func:`newest_window` can use."""
    return plan.split * (frames - 1) + 1


def newest_window(past: Array, plan: RatePlan, frames: int) -> Array:
    """Returns the last ``frames`` rows (or fewer) at the planned rate.
    ``past``: the sequence so far ``(row, ...)``, or its last :func:`rows_of_past` rows."""
    if plan.between:
        return apply_rate(past[-frames:], plan)[0][-frames:]
    return past[:: -plan.split][:frames][::-1]


def apply_rate(values: Array, plan: RatePlan) -> list[Array]:
    """Splits ``(row, ...)`` into interleaved sequences, or adds linear in-between rows.
    NaN in a row spreads to the rows between it and its neighbours, not to the neighbours."""
    if plan.split > 1:
        return [values[k :: plan.split] for k in range(min(plan.split, len(values)))]
    if plan.between:
        n = len(values)
        fine = np.arange((n - 1) * (plan.between + 1) + 1) / (plan.between + 1)
        low = np.minimum(fine.astype(np.intp), max(n - 2, 0))
        part = (fine - low).reshape(-1, *([1] * (values.ndim - 1)))
        before, after = values[low], values[np.minimum(low + 1, n - 1)]
        between = before * (1 - part) + after * part
        return [np.where(part == 0, before, np.where(part == 1, after, between))]
    return [values]


def undo_rate(parts: list[Array], plan: RatePlan) -> Array:
    """Puts the rows of the original sequence together again."""
    if plan.split > 1:
        out = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
        for k, part in enumerate(parts):
            out[k :: plan.split] = part
        return out
    return parts[0][:: plan.between + 1]
