"""evaluation/ambiguity.py: spread against error on made-up hypotheses whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose3d.body.skeletons import H36M17, LIMBS
from pose3d.errors import UsageError
from pose3d.lab.evaluation.ambiguity import (
    compare_hypotheses,
    hypotheses_table,
    summarise_hypotheses,
)
from pose3d.lab.evaluation.compare import limb_joints
from pose3d.lab.evaluation.tracks import evaluate_tracks
from pose3d.options import RunOptions
from tests.lift.test_hypotheses import small_mhformer_lifter
from tests.render.test_render import sample_pose
from tests.support.grids import grid, regrid
from tests.support.lifters import small_lifter
from tests.support.training import write_tracks

COLUMNS = [H36M17.index[n] for n in LIMBS]
HIPS = [H36M17.index[n] for n in ("left_hip", "right_hip")]


@pytest.fixture(scope="module")
def made_up():
    """A clip whose joints are off by random amounts, and the same amounts: (pose, truth, off in m)."""
    from tests.support import ROOT

    pose = sample_pose(ROOT / "samples", "dance")
    truth = grid(pose).joints_cam_m[:, 0].copy()
    rng = np.random.default_rng(0)
    off = rng.uniform(0.01, 0.2, (len(truth), 17))
    off[:, [0, *HIPS]] = 0
    final = truth + off[..., None] * [0, 0, 1] * rng.choice([-1, 1], (len(truth), 17))[..., None]
    return regrid(pose, joints_cam_m=final[:, None]), truth, off


def with_spread(pose, spread_m):
    """Adds three hypotheses whose joints lie ``spread_m`` ``(frame, 17)`` apart in the middle."""
    side = np.zeros((*spread_m.shape, 3))
    side[..., 0] = spread_m * np.sqrt(1.5)  # two of three at +-s: rms s sqrt(2/3)
    final = grid(pose).joints_cam_m[:, 0]
    return regrid(pose, hypotheses_cam_m=np.stack([final - side, final, final + side], 1)[:, None])


def summary(pose, truth, used=None):
    used = np.ones(len(truth), bool) if used is None else used
    clips = [compare_hypotheses(pose, limb_joints(truth, H36M17), used)]
    return summarise_hypotheses(clips), clips[0]


def test_a_spread_that_knows_the_error_is_told_from_one_that_does_not(made_up):
    pose, truth, off = made_up
    knowing, clip = summary(with_spread(pose, 0.5 * off), truth)
    np.testing.assert_allclose(clip["spread_mm"], 500 * off[:, COLUMNS], atol=1e-6)
    rng = np.random.default_rng(1)
    guessing, _ = summary(with_spread(pose, rng.permuted(off, axis=0)), truth)
    for part in ("wrist", "elbow", "knee", "ankle"):
        assert knowing["parts"][part]["rank_correlation"] > 0.95
        assert abs(guessing["parts"][part]["rank_correlation"]) < 0.15
        quarters = knowing["parts"][part]["error_by_quarter_mm"]
        assert quarters == sorted(quarters)
        assert quarters[3] > 2.5 * quarters[0]


def test_errors_by_hand(made_up):
    """One scale for the clip, hips on hips, no rotation."""
    pose, truth, off = made_up
    used = np.arange(len(truth)) % 2 == 0
    result, clip = summary(with_spread(pose, 0.5 * off), truth, used)
    final = grid(pose).joints_cam_m[:, 0] - grid(pose).joints_cam_m[:, 0, HIPS].mean(
        1, keepdims=True
    )
    target = truth - truth[:, HIPS].mean(1, keepdims=True)
    a, b = final[used][:, COLUMNS], target[used][:, COLUMNS]
    scale = (a * b).sum() / (a * a).sum()
    error = 1000 * np.linalg.norm(scale * a - b, axis=-1)
    np.testing.assert_allclose(clip["error_mm"], error)
    np.testing.assert_allclose(clip["hypothesis_mm"][:, 1], error.mean(1))
    assert result["frames"] == used.sum()
    assert result["final_mm"] == pytest.approx(error.mean())
    assert result["best_mm"] == pytest.approx(clip["hypothesis_mm"].min(1).mean())
    assert result["best_mm"] <= result["final_mm"] <= result["mean_mm"]
    wrists = [i for i, name in enumerate(LIMBS) if name.endswith("wrist")]
    order = np.argsort(clip["spread_mm"][:, wrists].ravel())
    thirds = np.array_split(error[:, wrists].ravel()[order], 4)
    np.testing.assert_allclose(
        result["parts"]["wrist"]["error_by_quarter_mm"], [t.mean() for t in thirds]
    )


def test_hardly_seen_joints_are_summed_up_apart(made_up):
    pose, truth, off = made_up
    score = np.where(off[:, None] > 0.1, 0.3, 0.9)
    result, _ = summary(regrid(with_spread(pose, off), score=score), truth)
    part = result["parts"]["ankle"]
    assert part["spread_seen_mm"] < 100 < part["spread_hardly_seen_mm"]
    assert np.isnan(result["parts"]["hip"]["spread_hardly_seen_mm"])
    # Only pairs that have both count in the comparison of all.
    others = [p for name, p in result["parts"].items() if name not in ("hip", "all")]
    for name in ("spread_seen_mm", "spread_hardly_seen_mm"):
        assert result["parts"]["all"][name] == pytest.approx(np.mean([p[name] for p in others]))


def test_tracks_are_evaluated_with_hypotheses(tmp_path):
    path = write_tracks(tmp_path / "tracks.npz", noise_px=1.0)
    options = RunOptions(hypotheses=True, smooth=False, rate_test=False)
    results = evaluate_tracks(path, small_mhformer_lifter(), "val", options=options)
    plain = evaluate_tracks(
        path, small_mhformer_lifter(), "val", options=replace(options, hypotheses=False)
    )
    assert "hypotheses" not in plain
    assert results["all"] == plain["all"]
    ours = results["hypotheses"]
    assert ours["frames"] == results["all"]["frames"]
    assert ours["final_mm"] == pytest.approx(results["all"]["root_mm"], rel=1e-6)
    assert hypotheses_table(ours).row_count == 7
    with pytest.raises(UsageError):
        evaluate_tracks(path, small_lifter(), "val", options=options)
