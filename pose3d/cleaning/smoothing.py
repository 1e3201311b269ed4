"""Smoothing of trajectories on the real time of every frame; NaN in gives NaN out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pose3d.cleaning.gaps import as_points, groups

Array = NDArray[np.floating]


def whittaker(
    values: Array,
    time_s: Array,
    *,
    cutoff_hz: float,
    weights: Array | None = None,
    order: int = 2,
    robust_sigmas: float | None = None,
    robust_floor: float = 0.0,
    max_gap_s: float = 0.5,
) -> Array:
    """Penalised least squares: stays near the samples, keeps the ``order``-th derivative small.

    Minimises ``sum w (y - z)^2 dt + lambda * integral (d^order z / dt^order)^2 dt``; a sine of
    ``cutoff_hz`` with weights of one keeps 1/sqrt(2) of its amplitude. Zero-phase, O(frames).

    Reference: Eilers, "A perfect smoother", Analytical Chemistry 2003; here with divided
    differences on real time. Reinsch 1967 for the continuous form.

    Args:
        values: ``(frame, ..., axis)``.
        weights: ``(frame, ...)`` 0..1, NaN counts as 0; None for ones.
        order: 2 (keeps lines; damps by 40 dB a decade) or 3 (keeps parabolas; 60 dB).
        robust_sigmas: residuals beyond this many robust standard deviations lose weight; None: none
            do.
        robust_floor: standard deviation, in the unit of ``values``, below which there are no
            outliers.
        max_gap_s: longer gaps end the smoothing on both sides.
    """
    points = as_points(np.array(values, np.float64))
    smooth = points.copy()
    if weights is None:
        sample_weights = np.ones(points.shape[:2])
    else:
        sample_weights = np.nan_to_num(np.asarray(weights, np.float64).reshape(points.shape[:2]))
    for columns, run in groups(points, time_s, max_gap_s):
        if len(run) <= order:
            continue
        penalty = _penalty_bands(time_s[run], order, cutoff_hz)
        if penalty is None:
            continue
        for column in columns:
            smooth[run, column] = _solve_point(
                points[run, column],
                sample_weights[run, column],
                time_s[run],
                penalty,
                robust_sigmas,
                robust_floor,
            )
    return smooth.reshape(values.shape)


@dataclass(slots=True, kw_only=True)
class OneEuro:
    """Causal low-pass whose cut-off rises with speed, one sample after the other.

    Reference: Casiez, Roussel, Vogel, "1 Euro filter", CHI 2012.
    """

    min_cutoff_hz: float  # at rest
    beta: float  # Hz added per unit of speed (unit of the values per second)
    derivative_cutoff_hz: float = 1.0  # of the speed itself
    _time_s: float = field(default=0.0, init=False)
    _value: Array | None = field(default=None, init=False)
    _speed: Array | None = field(default=None, init=False)

    def step(self, value: Array, time_s: float) -> Array:
        """Filters one sample of any shape (the same each time), later than the last one."""
        if self._value is None or self._speed is None:
            filtered, speed = value.copy(), np.zeros_like(value)
        else:
            step = time_s - self._time_s
            slow = _one_pole(self.derivative_cutoff_hz, step)
            speed = self._speed + slow * ((value - self._value) / step - self._speed)
            fast = _one_pole(self.min_cutoff_hz + self.beta * np.abs(speed), step)
            filtered = self._value + fast * (value - self._value)
        self._time_s, self._value, self._speed = time_s, filtered, speed
        return filtered


def _one_pole(cutoff_hz: float | Array, step_s: float) -> Array:
    """Returns the smoothing factor of a first-order low-pass for one time step."""
    r = 2 * np.pi * np.asarray(cutoff_hz) * step_s
    return r / (r + 1)


def _penalty_bands(time: Array, order: int, cutoff_hz: float) -> Array | None:
    """Returns lambda * D'D in scipy's upper banded form, or None: nothing to damp."""
    step = float(np.median(np.diff(time)))
    if cutoff_hz * step >= 0.5:
        return None
    # Gain of the discrete penalty at the cut-off, so that the half-power point is met exactly.
    strength = (2**0.5 - 1) / (2 * np.sin(np.pi * cutoff_hz * step) / step) ** (2 * order)
    difference = _difference_rows(time, order)  # (row, order + 1)
    rows = len(difference)
    bands = np.zeros((order + 1, len(time)))
    for a in range(order + 1):
        for b in range(a, order + 1):
            bands[order - (b - a), b : b + rows] += difference[:, a] * difference[:, b]
    return strength * bands


def _difference_rows(time: Array, order: int) -> Array:
    """Returns rows that give the derivative over order + 1 samples times sqrt of its time."""
    rows = np.ones((len(time), 1))
    for k in range(1, order + 1):
        span = (time[k:] - time[:-k])[:, None] / k
        left = np.pad(rows[:-1], ((0, 0), (0, 1)))
        right = np.pad(rows[1:], ((0, 0), (1, 0)))
        rows = (right - left) / span
    return rows * np.sqrt((time[order:] - time[:-order]) / order)[:, None]


def _solve_point(
    y: Array,
    weight: Array,
    time: Array,
    penalty: Array,
    robust_sigmas: float | None,
    robust_floor: float,
) -> Array:
    from scipy.linalg import solveh_banded  # slow to import, and clips without people need none

    # A trace of weight everywhere keeps the system definite where all samples are worthless.
    weight = np.maximum(weight, 1e-4)
    # Solved about the line through the ends: keeps lines exact, and digits far from zero.
    line = y[0] + ((time - time[0]) / (time[-1] - time[0]))[:, None] * (y[-1] - y[0])
    spacing = _spacing(time)
    residual_weight = np.ones(len(y))
    for round_index in range(1 if robust_sigmas is None else 3):
        diagonal = weight * residual_weight * spacing
        bands = penalty.copy()
        bands[-1] += diagonal
        z = solveh_banded(
            bands, diagonal[:, None] * (y - line), overwrite_ab=True, check_finite=False
        )
        if robust_sigmas is not None and round_index < 2:
            off = np.linalg.norm(y - line - z, axis=-1)
            confident = weight > 0.5 * weight.max()
            sigma = max(float(np.median(off[confident])) / 0.85, robust_floor, 1e-12)
            limit = robust_sigmas * sigma
            residual_weight = np.minimum(1.0, limit / np.maximum(off, limit * 1e-3)) ** 2
    return z + line


def _spacing(time: Array) -> Array:
    """Returns the seconds that each sample stands for; beside a gap not more than usual."""
    step = np.diff(time)
    share = np.concatenate([step[:1], (step[1:] + step[:-1]) / 2, step[-1:]])
    return np.minimum(share, 3 * np.median(step))
