"""Repair and measurement of presentation times, against properties and known rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose3d.video.timestamps import find_pauses, measure_rate, repair_times

raw_times = st.lists(
    st.one_of(st.none(), st.floats(-10, 1000), st.integers(0, 20).map(float)), max_size=40
)


def repaired(raw: list[float | None], nominal_s: float = 0.04) -> list[float]:
    return [time_s for time_s, _ in repair_times(((t, "x") for t in raw), nominal_s)]


@given(raw_times)
def test_times_increase_and_no_frame_is_lost(raw: list[float | None]) -> None:
    """Property: whatever the container says, strictly increasing, one for one, in order."""
    result = list(repair_times(((t, i) for i, t in enumerate(raw)), 0.04))
    assert [item for _, item in result] == list(range(len(raw)))
    assert (np.diff([t for t, _ in result]) > 0).all()


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=40))
def test_good_times_are_not_touched(durations_s: list[float]) -> None:
    """Property: increasing times come out bit for bit."""
    raw = [float(t) for t in np.cumsum(durations_s)]
    changed: list[int] = []
    result = [t for t, _ in repair_times(((t, 0) for t in raw), 0.04, changed)]
    assert result == raw
    assert changed == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([0.0, 0.04, 0.04, 0.12], [0.0, 0.04, 0.08, 0.12]),  # one doubled: between its neighbours
        ([0.0, 0.04, 0.04, 0.08, 0.12], [0.0, 0.04, 0.06, 0.08, 0.12]),  # nothing after it shifts
        ([None, None, None], [0.0, 0.04, 0.08]),  # no times at all: the rate
        ([9.96, 10.0, 0.0, 0.04], [9.96, 10.0, 10.04, 10.08]),  # a clock that restarts goes on
        ([0.0, 0.04, None, 0.12], [0.0, 0.04, 0.08, 0.12]),
        ([0.0, 0.2, 0.16, 0.24], [0.0, 0.2, 0.22, 0.24]),  # backwards
    ],
)
def test_repairs_by_hand(raw: list[float | None], expected: list[float]) -> None:
    np.testing.assert_allclose(repaired(raw), expected, atol=1e-12)


@pytest.mark.parametrize(
    "rate", [Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(5)]
)
@pytest.mark.parametrize("tick_s", [Fraction(1, 90000), Fraction(1, 1000), Fraction(1, 15360)])
def test_constant_rate_survives_rounding_to_ticks(rate: Fraction, tick_s: Fraction) -> None:
    """Times rounded as containers do give back the rate they were made with."""
    ticks = [round(i / rate / tick_s) for i in range(120)]
    times = [float(t * tick_s) for t in ticks]
    assert measure_rate(times, tick_s=tick_s, candidates=[Fraction(50, 3)]) == (rate, False)


def test_coarse_clock_takes_the_stated_rate() -> None:
    """GIF counts hundredths: 15 fps becomes 7, 6, 7 hundredths."""
    times = [round(i * 100 / 15) / 100 for i in range(67)]
    stated = [Fraction(50, 3), Fraction(15)]
    assert measure_rate(times, tick_s=Fraction(1, 100), candidates=stated) == (Fraction(15), False)


def test_one_late_frame_is_a_varying_rate() -> None:
    times = [i / 30 for i in range(30)] + [i / 30 for i in range(31, 60)]
    rate, varies = measure_rate(times, tick_s=Fraction(1, 15360), candidates=[Fraction(30)])
    assert varies
    assert rate == 30


def test_single_frame_has_the_stated_rate() -> None:
    assert measure_rate([0.0], tick_s=Fraction(1, 1000), candidates=[Fraction(24)]) == (24, False)


def test_a_pause_slows_nothing_down() -> None:
    times = [i / 30 for i in range(30)] + [600 + i / 30 for i in range(30)]
    rate, varies = measure_rate(times, tick_s=Fraction(1, 15360), candidates=[Fraction(30)])
    assert varies
    assert rate == 30
    assert find_pauses(times).tolist() == [30]


def test_slow_clips_have_no_pauses() -> None:
    assert not len(find_pauses([0.0, 1.0, 2.0, 3.1]))
    assert not len(find_pauses([0.0, 0.1, 0.2, 0.5, 0.6]))
    assert not len(find_pauses([]))
