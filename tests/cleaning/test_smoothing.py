"""smoothing.py and gaps.py against formulas and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose3d.cleaning import gaps, smoothing
from tests.support.smoothing import one_euro

SMOOTHERS = {
    "whittaker": lambda v, t: smoothing.whittaker(v, t, cutoff_hz=3.0),
    "whittaker3": lambda v, t: smoothing.whittaker(v, t, cutoff_hz=3.0, order=3),
    "robust": lambda v, t: smoothing.whittaker(v, t, cutoff_hz=3.0, robust_sigmas=3.0),
}

number = st.floats(-2000, 2000)


def uneven_time(count: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.05, count))


@pytest.mark.parametrize("name", SMOOTHERS)
@settings(max_examples=15)
@given(number, number, st.integers(1, 80), st.booleans())
def test_lines_stay(name, offset, slope, count, even):
    time = np.arange(count) / 30 if even else uneven_time(count)
    line = (offset + slope * time)[:, None]
    out = SMOOTHERS[name](line, time)
    np.testing.assert_allclose(out, line, atol=1e-6 * (1 + abs(slope)), rtol=1e-9)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_constants_stay_and_nan_stays(name):
    time = uneven_time(90)
    values = np.full((90, 2, 3, 2), 7.5)
    values[40:44, 0, 1] = np.nan
    values[:5, 1, 2, 0] = np.nan  # one missing coordinate: the point was not seen
    out = SMOOTHERS[name](values, time)
    seen = np.isfinite(values).all(-1)
    np.testing.assert_allclose(out[seen], 7.5, atol=1e-9)
    assert np.isnan(out[40:44, 0, 1]).all()


@pytest.mark.parametrize("name", SMOOTHERS)
def test_empty_and_tiny_inputs(name):
    for shape in ((0, 1, 2), (1, 4, 3), (2, 1, 2), (30, 0, 17, 2)):
        values = np.ones(shape)
        out = SMOOTHERS[name](values, np.arange(shape[0]) / 30)
        np.testing.assert_array_equal(out, values)
    nothing = np.full((10, 1, 2), np.nan)
    assert np.isnan(SMOOTHERS[name](nothing, np.arange(10) / 30)).all()


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize(("cutoff", "rate"), [(2.0, 30), (6.0, 30), (6.0, 120), (4.0, 10)])
def test_cutoff_is_in_hz_at_every_frame_rate(cutoff, rate, order):
    # A sine at the cut-off must come out at 1/sqrt(2).
    time = np.arange(20 * rate) / rate
    wave = np.sin(2 * np.pi * cutoff * time + 0.3)[:, None]
    middle = slice(5 * rate, -5 * rate)
    out = smoothing.whittaker(wave, time, cutoff_hz=cutoff, order=order)
    assert np.std(out[middle]) / np.std(wave[middle]) == pytest.approx(2**-0.5, abs=0.01)
    # Zero phase: the filtered wave is in step with the original.
    assert np.corrcoef(out[middle, 0], wave[middle, 0])[0, 1] > 0.999


def test_whittaker_equals_dense_least_squares():
    # Independent computation: the same objective as a dense least-squares problem.
    rng = np.random.default_rng(0)
    time = uneven_time(40, 3)
    y, w = rng.normal(size=40), rng.uniform(0.1, 1, 40)
    step = np.diff(time)
    dt = np.median(step)
    strength = (2**0.5 - 1) / (2 * np.sin(np.pi * 2.0 * dt) / dt) ** 4
    share = np.r_[step[0], (step[1:] + step[:-1]) / 2, step[-1]]
    rows = np.zeros((38, 40))
    for i in range(38):
        a, b = step[i], step[i + 1]
        second = np.array([2 / (a * (a + b)), -2 / (a * b), 2 / (b * (a + b))])
        rows[i, i : i + 3] = second * np.sqrt(strength * (a + b) / 2)
    matrix = np.concatenate([np.diag(np.sqrt(w * share)), rows])
    right = np.concatenate([np.sqrt(w * share) * y, np.zeros(38)])
    expected = np.linalg.lstsq(matrix, right, rcond=None)[0]
    ours = smoothing.whittaker(y[:, None], time, cutoff_hz=2.0, weights=w)[:, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@settings(max_examples=20)
@given(st.floats(0.2, 5), st.integers(0, 1000))
def test_slow_motion_is_the_same_motion(stretch, seed):
    # Time stretched and cut-off lowered by the same factor: the same curve.
    time = uneven_time(50, seed)
    values = np.random.default_rng(seed).normal(size=(50, 2)).cumsum(0)
    once = smoothing.whittaker(values, time, cutoff_hz=4.0, max_gap_s=10)
    slow = smoothing.whittaker(values, time * stretch, cutoff_hz=4.0 / stretch, max_gap_s=10)
    np.testing.assert_allclose(slow, once, atol=1e-8)


def test_worthless_samples_follow_their_neighbours():
    time = np.arange(60) / 30
    truth = np.sin(2 * np.pi * 0.7 * time)[:, None]
    values, weights = truth.copy(), np.ones(60)
    values[30:34] += 5
    weights[30:34] = 0
    out = smoothing.whittaker(values, time, cutoff_hz=6, weights=weights)
    assert np.abs(out - truth).max() < 0.1


def test_robust_smoothing_ignores_a_spike_and_keeps_a_swing():
    time = np.arange(90) / 30
    truth = np.stack([100 * np.sin(2 * np.pi * 1.5 * time), 30 * time], -1)
    values = truth + np.random.default_rng(0).normal(size=truth.shape)
    values[45] += 80
    plain = smoothing.whittaker(values, time, cutoff_hz=8)
    robust = smoothing.whittaker(values, time, cutoff_hz=8, robust_sigmas=3, robust_floor=1.0)
    assert np.abs(plain - truth)[43:48].max() > 20
    assert np.abs(robust - truth)[43:48].max() < 8


def test_nothing_reaches_across_a_long_gap():
    time = np.arange(100) / 30
    values = np.where(np.arange(100) < 50, 0.0, 100.0)[:, None] * np.ones((1, 2))
    values[40:60] = np.nan
    out = smoothing.whittaker(values, time, cutoff_hz=1.0, max_gap_s=0.5)
    np.testing.assert_allclose(out[:40], 0, atol=1e-9)
    np.testing.assert_allclose(out[60:], 100, atol=1e-9)
    across = smoothing.whittaker(values, time, cutoff_hz=1.0, max_gap_s=1.0)
    assert across[39, 0] > 1


@pytest.mark.parametrize("lost", [slice(0), slice(28, 32)])
def test_nothing_reaches_across_a_pause(lost):
    time = np.arange(60) / 30 + np.where(np.arange(60) < 30, 0.0, 0.6)
    values = np.where(np.arange(60) < 30, 0.0, 100.0)[:, None] * np.ones((1, 2))
    values[lost] = np.nan
    np.testing.assert_array_equal(gaps.fill_gaps(values, time, max_gap_s=5.0), values)
    out = smoothing.whittaker(values, time, cutoff_hz=1.0, max_gap_s=5.0)
    np.testing.assert_allclose(out, values, atol=1e-9)


def test_slow_frame_rates_are_no_gaps():
    # 1 frame a second: neighbours are always connected, whatever the longest gap.
    time = np.arange(10.0)
    runs = gaps.runs_between_gaps(np.ones(10, bool), time, 0.1)
    assert [len(r) for r in runs] == [10]


@pytest.mark.parametrize("linear", [False, True])
def test_gaps_are_filled_up_to_the_limit_and_never_extrapolated(linear):
    time = uneven_time(60)
    truth = np.stack([5 - 3 * time, 2 * time], -1)
    values = truth.copy()
    values[:4] = values[20:24] = values[30:50] = values[-3:] = np.nan
    limit = time[24] - time[19]
    out = gaps.fill_gaps(values, time, max_gap_s=limit, linear=linear)
    np.testing.assert_allclose(out[20:24], truth[20:24], atol=1e-9)
    for part in (slice(0, 4), slice(30, 50), slice(57, 60)):
        assert np.isnan(out[part]).all()
    shorter = gaps.fill_gaps(values, time, max_gap_s=limit * 0.99, linear=linear)
    assert np.isnan(shorter[20:24]).all()
    np.testing.assert_array_equal(out[np.isfinite(values)], values[np.isfinite(values)])


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_pchip_stays_between_its_neighbours(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(30, 1)).cumsum(0)
    values[10:14] = np.nan
    out = gaps.fill_gaps(values, uneven_time(30, seed), max_gap_s=9.0)[10:14, 0]
    low, high = sorted((values[9, 0], values[14, 0]))
    assert ((out >= low - 1e-9) & (out <= high + 1e-9)).all()


def test_one_euro_equals_its_paper():
    # Straight transcription of the paper's update for one coordinate, even time.
    rng = np.random.default_rng(0)
    x = rng.normal(size=50).cumsum()
    rate, mincutoff, beta, dcutoff = 30.0, 1.2, 0.5, 1.0

    def alpha(cutoff):
        tau = 1 / (2 * np.pi * cutoff)
        return 1 / (1 + tau * rate)

    expected, previous, dhat = [x[0]], x[0], 0.0
    for value in x[1:]:
        dhat = alpha(dcutoff) * (value - previous) * rate + (1 - alpha(dcutoff)) * dhat
        a = alpha(mincutoff + beta * abs(dhat))
        previous = a * value + (1 - a) * previous
        expected.append(previous)
    ours = one_euro(x[:, None], np.arange(50) / rate, min_cutoff_hz=mincutoff, beta=beta)
    np.testing.assert_allclose(ours[:, 0], expected, atol=1e-9)
    constant = np.full((90, 2, 3), 7.5)
    options = {"min_cutoff_hz": mincutoff, "beta": beta}
    np.testing.assert_allclose(one_euro(constant, uneven_time(90), **options), 7.5, atol=1e-9)
