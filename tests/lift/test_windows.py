"""lift/windows.py by properties: nothing lost, nothing invented, every own row comes back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose3d.lift.windows import (
    RatePlan,
    apply_rate,
    cut_windows,
    fade_together,
    fade_weights,
    newest_window,
    plan_rate,
    reflected_rows,
    rows_of_past,
    undo_rate,
)

RATES = (3.0, 5.0, 12.0, 25.0, 30.0, 59.94, 120.0, 240.0)
RANGE = (12.0, 40.0)

lengths = st.integers(1, 400)
windows = st.sampled_from([1, 2, 3, 9, 27, 81, 243])


@given(length=lengths, frames=windows)
def test_every_row_is_covered(length, frames):
    cut = cut_windows(length, frames, sequence=7)
    assert all(w.sequence == 7 and len(w.rows) == frames for w in cut)
    own = [w.rows[: w.own] for w in cut]
    assert set(np.concatenate(own).tolist()) == set(range(length))
    for rows in own:
        assert (np.diff(rows) == 1).all()  # time runs forwards at its own pace
    for before, after in itertools.pairwise(cut):
        # Overlap by half at least, and no window for nothing.
        step = int(after.rows[0] - before.rows[0])
        assert 0 < step <= max(frames // 2, 1)


@given(length=lengths, frames=windows)
def test_short_sequences_are_reflected_and_never_stretched(length, frames):
    rows = reflected_rows(length, frames)
    assert rows.min() >= 0
    assert rows.max() <= length - 1
    steps = np.abs(np.diff(rows))
    assert (steps == (1 if length > 1 else 0)).all()
    expected = np.pad(np.arange(length), (0, frames), "reflect" if length > 1 else "edge")[:frames]
    np.testing.assert_array_equal(rows, expected)


@settings(max_examples=60)
@given(st.lists(lengths, min_size=1, max_size=4), windows)
def test_a_lifter_that_changes_nothing_gives_the_sequences_back(many, frames):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, 3, 2)) for n in many]
    cut = [w for i, n in enumerate(many) for w in cut_windows(n, frames, i)]
    answers = np.stack([sequences[w.sequence][w.rows] for w in cut])
    back = fade_together(cut, answers, many)
    for sequence, again in zip(sequences, back, strict=True):
        np.testing.assert_allclose(again, sequence, atol=1e-12)


@given(windows)
def test_fade_weights_rise_and_fall(frames):
    weights = fade_weights(frames)
    assert (weights > 0).all()
    np.testing.assert_array_equal(weights, weights[::-1])
    assert weights.argmax() in {(frames - 1) // 2, frames // 2}


def test_cross_fade_has_no_jump():
    """Windows that disagree by a constant: the result moves in small steps from one to the other."""
    cut = cut_windows(200, 20)
    answers = np.arange(len(cut), dtype=float)[:, None] * np.ones(20)
    (out,) = fade_together(cut, answers, [200])
    steps = np.diff(out)
    assert out[0] == 0
    assert out[-1] == len(cut) - 1
    assert (steps >= -1e-12).all()
    assert steps.max() < 0.2  # without a fade: 1; evenly: 0.1


def test_each_row_is_a_mean_of_its_windows():
    """Against sums written out: rows 3 to 5 of 8 lie in both windows of 6."""
    cut = cut_windows(8, 6)
    assert [w.rows[0] for w in cut] == [0, 2]
    answers = np.stack([np.full(6, 1.0), np.full(6, 3.0)])
    (out,) = fade_together(cut, answers, [8])
    first, second = [1, 2, 3, 3, 2, 1, 0, 0], [0, 0, 1, 2, 3, 3, 2, 1]
    expected = [(a + 3 * b) / (a + b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(out, expected)


def test_no_windows_of_nothing():
    with pytest.raises(ValueError, match="without rows"):
        cut_windows(0, 27)


@pytest.mark.parametrize("rate", RATES)
def test_rates_get_into_the_range(rate):
    plan = plan_rate(rate, RANGE)
    seen = rate / plan.split * (plan.between + 1)
    assert RANGE[0] <= seen <= RANGE[1]
    if RANGE[0] <= rate <= RANGE[1]:
        assert plan == RatePlan()


def test_no_more_is_done_than_needed():
    assert plan_rate(6.0, RANGE) == RatePlan(between=1)
    assert plan_rate(5.9, RANGE) == RatePlan(between=2)
    assert plan_rate(80.0, RANGE) == RatePlan(split=2)
    assert plan_rate(80.1, RANGE) == RatePlan(split=3)


@given(rate=st.floats(0.5, 1000), low=st.floats(1, 60), octaves=st.floats(1.0, 3.0))
def test_any_rate_gets_into_any_range_of_an_octave(rate, low, octaves):
    high = low * 2**octaves
    plan = plan_rate(rate, (low, high))
    seen = rate / plan.split * (plan.between + 1)
    assert low * (1 - 1e-9) <= seen <= high * (1 + 1e-9)


@pytest.mark.parametrize("rate", RATES)
@given(length=lengths)
@settings(max_examples=25)
def test_every_own_row_comes_back(rate, length):
    values = np.random.default_rng(length).normal(size=(length, 2, 3))
    plan = plan_rate(rate, RANGE)
    parts = apply_rate(values, plan)
    assert all(len(p) for p in parts)
    np.testing.assert_array_equal(undo_rate(parts, plan), values)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [1, 2, 8, 9, 40])
def test_the_newest_window_is_the_end_of_the_sequence_at_its_rate(rate, length):
    """As lifting the whole sequence would cut it, from as many rows as are said to be needed."""
    values = np.random.default_rng(length).normal(size=(length, 2, 3))
    plan = plan_rate(rate, RANGE)
    parts = apply_rate(values, plan)
    expected = next(p for p in parts if np.array_equal(p[-1], values[-1]))[-9:]
    np.testing.assert_allclose(newest_window(values, plan, 9), expected, atol=1e-12)
    recent = values[-rows_of_past(plan, 9) :]
    np.testing.assert_allclose(newest_window(recent, plan, 9), expected, atol=1e-12)


def test_rows_between_lie_on_straight_lines():
    values = np.array([[0.0], [3.0], [9.0]])
    (fine,) = apply_rate(values, RatePlan(between=2))
    np.testing.assert_allclose(fine[:, 0], [0, 1, 2, 3, 5, 7, 9])


def test_a_missing_joint_is_missing_in_its_own_row_alone():
    values = np.arange(10.0).reshape(5, 2)
    values[1, 0] = np.nan
    plan = RatePlan(between=2)
    (fine,) = apply_rate(values, plan)
    np.testing.assert_array_equal(undo_rate([fine], plan), values)
    assert np.isnan(fine[:, 0]).sum() == 5  # its own row and the four around it
    assert np.isfinite(fine[:, 1]).all()


def test_split_sequences_keep_their_order():
    values = np.arange(7.0)[:, None]
    parts = apply_rate(values, RatePlan(split=3))
    assert [p[:, 0].tolist() for p in parts] == [[0, 3, 6], [1, 4], [2, 5]]
    # Fewer rows than parts: no empty part.
    assert len(apply_rate(values[:2], RatePlan(split=3))) == 2
