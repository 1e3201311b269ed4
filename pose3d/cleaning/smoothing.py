"""Smoothing of trajectories: arrays in, arrays out, on the real time of every frame.

All functions take ``values`` of shape ``(frame, ..., axis)`` and ``time_s`` of shape ``(frame,)``,
strictly increasing and not necessarily even. NaN in gives NaN out (:func:`pose3d.cleaning.gaps.fill_gaps` puts
numbers where there were none), and no smoother reaches across a gap longer than its ``max_gap_s``.

Strength is a cut-off frequency in Hz (or a width in seconds), so that the same setting does the same
to a motion whatever the frame rate. Every smoother leaves constants and straight lines as they are.

:func:`whittaker` is the one used by default: zero-phase, takes a weight per sample, uneven time and
missing samples without resampling, and costs O(frames).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.linalg import solveh_banded
from scipy.signal import butter, savgol_filter, sosfiltfilt

from pose3d.cleaning.gaps import as_points, checked, groups

Array = NDArray[np.floating]

DEFAULT_MAX_GAP_S = 0.5
_UNEVEN = 0.01
"""Time steps that differ by more than this share of the median are treated as a variable rate."""


# -- smoothers ----------------------------------------------------------------------------------


def whittaker(
    values: ArrayLike,
    time_s: ArrayLike,
    *,
    cutoff_hz: float,
    weights: ArrayLike | None = None,
    order: int = 2,
    robust_sigmas: float | None = None,
    robust_floor: float = 0.0,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Array:
    """Penalised least squares: stays near the samples, keeps the ``order``-th derivative small.

    Minimises ``sum w (y - z)^2 dt + lambda * integral (d^order z / dt^order)^2 dt`` over the samples'
    own times; ``lambda`` is set so that a sine of ``cutoff_hz`` with weights of one keeps 1/sqrt(2) of
    its amplitude. Samples of low weight follow their neighbours.

    Args:
        values: ``(frame, ..., axis)``.
        time_s: ``(frame,)`` seconds.
        cutoff_hz: frequency of half power.
        weights: ``(frame, ...)`` 0..1, or None for ones.
        order: 2 (keeps lines; damps by 40 dB a decade) or 3 (keeps parabolas; 60 dB).
        robust_sigmas: residuals beyond this many robust standard deviations of the point lose weight
            (two reweighted passes, by the square of the excess); None: plain least squares.
        robust_floor: standard deviation below which residuals are never called outliers, in the unit
            of ``values``.
        max_gap_s: longer gaps end the smoothing on both sides.

    Returns:
        Same shape, float64; NaN where ``values`` is.

    Reference:
        Eilers, "A perfect smoother", Analytical Chemistry 2003; here with divided differences on real
        time and a cut-off in Hz. Reinsch 1967 for the continuous form.
    """
    if order not in (2, 3):
        raise ValueError(f"order is {order}, expected 2 or 3")
    if not cutoff_hz > 0:
        raise ValueError(f"cutoff_hz is {cutoff_hz}, expected a frequency above 0")
    array, time = checked(values, time_s)
    out = array.copy()
    points, smooth = as_points(array), as_points(out)
    sample_weights = _point_weights(weights, points)
    for columns, run in groups(points, time, max_gap_s):
        if len(run) <= order:
            continue
        penalty = _penalty_bands(time[run], order, cutoff_hz)
        if penalty is None:
            continue
        for column in columns:
            smooth[run, column] = _solve_point(
                points[run, column],
                sample_weights[run, column],
                time[run],
                penalty,
                robust_sigmas,
                robust_floor,
            )
    return out


def butterworth(
    values: ArrayLike,
    time_s: ArrayLike,
    *,
    cutoff_hz: float,
    order: int = 2,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Array:
    """Zero-phase Butterworth low-pass: run forwards and backwards.

    Uneven time is resampled to an even grid of the shortest usual step and back. ``cutoff_hz`` holds
    for both passes together (Winter, "Biomechanics and motor control of human movement", 2009).

    Args:
        values: ``(frame, ..., axis)``.
        time_s: ``(frame,)`` seconds.
        cutoff_hz: frequency of half power.
        order: of one pass.
        max_gap_s: longer gaps end the smoothing on both sides; shorter ones are bridged for the
            filter only and stay NaN.

    Returns:
        Same shape, float64.
    """
    if not cutoff_hz > 0:
        raise ValueError(f"cutoff_hz is {cutoff_hz}, expected a frequency above 0")

    def low_pass(step_s: float, columns: Array) -> Array:
        if cutoff_hz * step_s >= 0.49:  # nothing to remove below the Nyquist frequency
            return columns
        two_passes = (2**0.5 - 1) ** (1 / (2 * order))
        warped = np.tan(np.pi * cutoff_hz * step_s) / two_passes
        normal = 2 / np.pi * np.arctan(warped)
        sos = butter(order, normal, output="sos")
        padding = min(len(columns) - 1, int(np.ceil(2 / (cutoff_hz * step_s))))
        # Padding by point reflection leaves a ramp; without the line there is none, so lines stay.
        line = _line_through_ends(columns, np.arange(len(columns), dtype=np.float64))
        return sosfiltfilt(sos, columns - line, axis=0, padlen=padding) + line

    return _on_even_grid(values, time_s, max_gap_s, low_pass)


def savitzky_golay(
    values: ArrayLike,
    time_s: ArrayLike,
    *,
    window_s: float,
    order: int = 2,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Array:
    """Fits a polynomial to a moving window (Savitzky and Golay 1964).

    Args:
        values: ``(frame, ..., axis)``.
        time_s: ``(frame,)`` seconds; uneven time goes through an even grid.
        window_s: length of the window.
        order: of the polynomial; a window of fewer samples leaves the values as they are.
        max_gap_s: longer gaps end the smoothing on both sides.

    Returns:
        Same shape, float64.
    """

    def fit(step_s: float, columns: Array) -> Array:
        half = round(window_s / step_s / 2)
        half = min(half, (len(columns) - 1) // 2)
        if 2 * half + 1 <= order + 1:
            return columns
        return savgol_filter(columns, 2 * half + 1, order, axis=0, mode="interp")

    return _on_even_grid(values, time_s, max_gap_s, fit)


def gaussian(
    values: ArrayLike,
    time_s: ArrayLike,
    *,
    sigma_s: float,
    weights: ArrayLike | None = None,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Array:
    """Local straight lines under a Gaussian window and a confidence per sample.

    A weighted mean would pull the ends of a motion inwards; the local line does not.

    Args:
        values: ``(frame, ..., axis)``.
        time_s: ``(frame,)`` seconds.
        sigma_s: standard deviation of the window.
        weights: ``(frame, ...)`` 0..1, or None for ones.
        max_gap_s: longer gaps end the smoothing on both sides.

    Returns:
        Same shape, float64.
    """
    if not sigma_s > 0:
        raise ValueError(f"sigma_s is {sigma_s}, expected seconds above 0")
    array, time = checked(values, time_s)
    out = array.copy()
    points, smooth = as_points(array), as_points(out)
    sample_weights = _point_weights(weights, points)
    for columns, run in groups(points, time, max_gap_s):
        if len(run) < 3:
            continue
        t, y = time[run], points[run][:, columns]
        w = np.maximum(sample_weights[run][:, columns], 1e-6)
        sums = np.zeros((5, *y.shape))
        for offset, mine, other in _neighbours(t, 4 * sigma_s):
            kernel = np.exp(-0.5 * (offset / sigma_s) ** 2)[:, None] * w[other]
            moment = offset[:, None] * kernel
            sums[:3, mine] += np.stack([kernel, moment, offset[:, None] * moment])[..., None]
            sums[3:, mine] += np.stack([kernel[..., None] * y[other], moment[..., None] * y[other]])
        s0, s1, s2, t0, t1 = sums
        spread = s0 * s2 - s1**2
        line = (s2 * t0 - s1 * t1) / np.where(spread > 0, spread, np.nan)
        # A sample alone in its window fixes no line: it stays.
        smooth[np.ix_(run, columns)] = np.where(np.isfinite(line), line, y)
    return out


@dataclass(slots=True, kw_only=True)
class OneEuro:
    """Causal low-pass whose cut-off rises with speed, one sample after the other.

    It lags: constants are kept exactly, lines are followed behind.

    Args:
        min_cutoff_hz: cut-off at rest.
        beta: Hz added per unit of speed (unit of the values per second).
        derivative_cutoff_hz: cut-off of the speed itself.

    Reference:
        Casiez, Roussel, Vogel, "1 Euro filter", CHI 2012.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 0.007
    derivative_cutoff_hz: float = 1.0
    _time_s: float = field(default=0.0, init=False)
    _value: Array | None = field(default=None, init=False)
    _speed: Array | None = field(default=None, init=False)

    def step(self, value: Array, time_s: float) -> Array:
        """Filters one sample.

        Args:
            value: any shape, the same each time.
            time_s: later than the last one.

        Returns:
            The same shape; the first one comes back as it is.
        """
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


def one_euro(
    values: ArrayLike,
    time_s: ArrayLike,
    *,
    min_cutoff_hz: float = 1.0,
    beta: float = 0.007,
    derivative_cutoff_hz: float = 1.0,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Array:
    """Filters a whole recording as :class:`OneEuro` does a stream.

    Args:
        values: ``(frame, ..., axis)``.
        time_s: ``(frame,)`` seconds.
        min_cutoff_hz, beta, derivative_cutoff_hz: see :class:`OneEuro`.
        max_gap_s: after a longer gap the filter starts anew.

    Returns:
        Same shape, float64.
    """
    array, time = checked(values, time_s)
    out = np.full_like(array, np.nan)
    points, smooth = as_points(array), as_points(out)
    for columns, run in groups(points, time, max_gap_s):
        euro = OneEuro(
            min_cutoff_hz=min_cutoff_hz, beta=beta, derivative_cutoff_hz=derivative_cutoff_hz
        )
        rows = [
            euro.step(row, t) for row, t in zip(points[run][:, columns], time[run], strict=True)
        ]
        smooth[np.ix_(run, columns)] = np.stack(rows)
    return out


# -- helpers ------------------------------------------------------------------------------------


def _point_weights(weights: ArrayLike | None, points: Array) -> Array:
    """Returns weights as ``(frame, point)``; NaN (no score) counts as zero."""
    if weights is None:
        return np.ones(points.shape[:2])
    return np.nan_to_num(np.asarray(weights, np.float64).reshape(points.shape[:2]))


def _neighbours(time: Array, reach_s: float) -> Iterator[tuple[Array, slice, slice]]:
    """Yields (time offset, rows, their neighbours) for every distance in rows within the reach."""
    for k in range(len(time)):
        ahead = time[k:] - time[: len(time) - k]
        if ahead.min() > reach_s:
            return
        first, last = slice(0, len(time) - k), slice(k, len(time))
        yield ahead, first, last
        if k:
            yield -ahead, last, first


def _spacing(time: Array) -> Array:
    """Returns the seconds that each sample stands for; beside a gap not more than usual."""
    step = np.diff(time)
    share = np.concatenate([step[:1], (step[1:] + step[:-1]) / 2, step[-1:]])
    return np.minimum(share, 3 * np.median(step))


def _penalty_bands(time: Array, order: int, cutoff_hz: float) -> Array | None:
    """Returns lambda * D'D in scipy's upper banded form, or None where there is nothing to damp."""
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
    """Solves one point's banded system; see :func:`whittaker` for the reweighting."""
    # A trace of weight everywhere keeps the system definite where all samples are worthless.
    weight = np.maximum(weight, 1e-4)
    # Solved about a line: keeps lines exact, and digits where values lie far from zero.
    line = _line_through_ends(y, time)
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


def _line_through_ends(columns: Array, time: Array) -> Array:
    """Returns the straight line from the first to the last row."""
    share = ((time - time[0]) / (time[-1] - time[0]))[:, None]
    return columns[0] + share * (columns[-1] - columns[0])


def _on_even_grid(
    values: ArrayLike,
    time_s: ArrayLike,
    max_gap_s: float,
    smoother: Callable[[float, Array], Array],
) -> Array:
    """Runs ``smoother(step_s, (sample, column))`` on even time, run by run."""
    array, time = checked(values, time_s)
    out = array.copy()
    points, smooth = as_points(array), as_points(out)
    for columns, run in groups(points, time, max_gap_s):
        if len(run) < 3:
            continue
        t, x = time[run], points[run][:, columns].reshape(len(run), -1)
        steps = np.diff(t)
        step = float(np.median(steps))
        if np.abs(steps - step).max() <= _UNEVEN * step:
            result = smoother(step, x)
        else:
            # The shortest usual step, so that no real motion is lost on the grid.
            count = int(np.ceil((t[-1] - t[0]) / np.quantile(steps, 0.1))) + 1
            grid = np.linspace(t[0], t[-1], count)
            even = PchipInterpolator(t, x)(grid)
            result = PchipInterpolator(grid, smoother(float(grid[1] - grid[0]), even))(t)
        smooth[np.ix_(run, columns)] = result.reshape(len(run), len(columns), -1)
    return out


def _one_pole(cutoff_hz: ArrayLike, step_s: float) -> Array:
    """Returns the smoothing factor of a first-order low-pass for one time step."""
    r = 2 * np.pi * np.asarray(cutoff_hz) * step_s
    return r / (r + 1)


def running_median(values: Array, size: int) -> Array:
    """Returns the median over ``size`` neighbouring rows (fewer rows: over all of them)."""
    if len(values) <= size:
        return np.broadcast_to(np.median(values, 0), values.shape)
    windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=0)
    middle = np.median(windows, -1)
    before = size // 2
    return np.pad(middle, ((before, len(values) - len(middle) - before), (0, 0)), mode="edge")
