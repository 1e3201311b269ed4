"""evaluation/metrics.py against golden numbers of the published code and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from pose3d.lab.evaluation import metrics
from tests.support import GOLDEN


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "functions.npz") as archive:
        return dict(archive)


def test_errors_equal_published(golden):
    pred, target = golden["pred"], golden["target"]
    np.testing.assert_allclose(metrics.mpjpe(pred, target), golden["mpjpe"], atol=1e-6)
    np.testing.assert_allclose(metrics.p_mpjpe(pred, target), golden["p_mpjpe"], atol=1e-6)


def test_batched_equals_single(golden):
    pred, target = golden["seq_pred"], golden["seq_target"]
    batched = metrics.p_mpjpe(pred, target)
    single = [[metrics.p_mpjpe(p, t) for p, t in zip(a, b)] for a, b in zip(pred, target)]  # noqa: B905
    np.testing.assert_allclose(batched, single, atol=1e-12)


def test_missing_joints_are_left_out_of_the_mean():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(4, 17, 3))
    pred = target + [0.03, 0, 0]
    pred[0, 3] = np.nan
    target[1, 5] = np.nan
    pred[3] = np.nan
    error = metrics.mpjpe(pred, target)
    np.testing.assert_allclose(error[:3], 0.03, atol=1e-12)
    assert np.isnan(error[3])


def test_missing_predictions_are_wrong_for_pck():
    target = np.zeros((2, 4, 3))
    pred = target.copy()
    pred[0, 0] = np.nan  # missing
    pred[0, 1] += 1.0  # far
    pred[1, 0, 0] = 0.149  # near enough
    assert metrics.pck(pred, target) == pytest.approx(6 / 8)
    assert metrics.pck(pred, target, 0.10) == pytest.approx(5 / 8)
    assert np.isnan(metrics.pck(pred, np.full_like(target, np.nan)))


def test_auc_of_a_constant_error():
    # Error 52 mm: thresholds 55..150 mm are met, 20 of the 31.
    target = np.zeros((3, 17, 3))
    assert metrics.auc(target + [0, 0.052, 0], target) == pytest.approx(20 / 31)


def test_derivatives_use_real_time():
    time = np.cumsum([0.0, 0.02, 0.05, 0.03, 0.04, 0.1])
    target = np.zeros((6, 1, 3))
    pred = np.zeros((6, 1, 3))
    pred[:, 0, 0] = 1 + 3 * time + 0.5 * 8 * time**2  # 8 m/s2 too much
    np.testing.assert_allclose(metrics.acceleration_errors(pred, target, time), 8, rtol=1e-9)
    pred[:, 0, 0] = 1 + 3 * time
    np.testing.assert_allclose(metrics.velocity_errors(pred, target, time), 3, rtol=1e-9)
    even = np.arange(6) / 25
    pred[:, 0, 0] = 4 * even
    np.testing.assert_allclose(
        metrics.velocity_errors(pred, target, 25.0), metrics.velocity_errors(pred, target, even)
    )


def test_derivatives_leave_out_every_frame_that_touches_a_missing_one():
    target = np.zeros((6, 1, 2, 3))
    pred = target.copy()
    pred[3, 0, 1] = np.nan
    acceleration = metrics.acceleration_errors(pred, target, 30.0)
    assert np.isnan(acceleration[1:4, 0, 1]).all()
    assert np.isfinite(acceleration[[0], 0, 1]).all()
    assert np.isfinite(acceleration[:, 0, 0]).all()
    velocity = metrics.velocity_errors(pred, target, 30.0)
    np.testing.assert_array_equal(np.isnan(velocity[:, 0, 1]), [0, 0, 1, 1, 0])


def test_different_shapes_are_refused():
    with pytest.raises(ValueError):
        metrics.mpjpe(np.zeros((3, 17, 3)), np.zeros((3, 16, 3)))
