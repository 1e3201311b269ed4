"""Errors of a detector in many views, against errors put in by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import COCO17
from pose3d.errors import DataError
from pose3d.lab.datasets.multiview import load_multiview_bank
from pose3d.lab.datasets.noise import DETECTED, ResidualBank
from tests.support.motion_files import ERROR_PX, write_views


def test_errors_are_those_put_in(tmp_path):
    bank = load_multiview_bank(write_views(tmp_path / "views.npz"), "fit")
    assert bank.starts.tolist() == [0, 80, 140]  # the late view has 60 frames
    assert bank.fps.tolist() == pytest.approx([59.94, 59.94])
    error = bank.error.numpy()
    # One direction; the same size in pixels, so larger shares of a person who looks smaller.
    np.testing.assert_allclose(error[..., 0] / error[..., 1], -2, rtol=2e-3)
    with np.load(tmp_path / "views.npz") as z:
        columns = [COCO17.index[n] for n in DETECTED]
        truth = z["keypoints_px"][0, 0][:, columns] - ERROR_PX
    size = (truth.max(1) - truth.min(1)).max(-1)
    np.testing.assert_allclose(error[10:60, 3, 0], 6 / size[10:60], rtol=1e-3)
    assert (bank.score == 1).all()  # 1.02 is no probability


def test_heading_is_zero_towards_the_camera_and_a_quarter_turn_beside(tmp_path):
    bank = load_multiview_bank(write_views(tmp_path / "views.npz"), "fit")
    assert float(bank.heading_rad[0]) == pytest.approx(0, abs=1e-3)
    assert float(bank.heading_rad[1]) == pytest.approx(np.pi / 2, abs=1e-3)


def test_unknown_truth_is_bridged_and_mostly_unknown_clips_are_left_out(tmp_path):
    bank = load_multiview_bank(write_views(tmp_path / "views.npz", hide=True), "val")
    assert torch.isfinite(bank.error).all()
    with np.load(write_views(tmp_path / "views.npz")) as z:
        data = dict(z)
    data["joints_world_m"][0, ::2] = np.nan
    np.savez(tmp_path / "half.npz", **data)
    with pytest.raises(DataError):
        load_multiview_bank(tmp_path / "half.npz", "fit")


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError):
        load_multiview_bank(tmp_path / "none.npz", "fit")
    np.savez(tmp_path / "other.npz", split=np.array(["fit"]))
    with pytest.raises(DataError, match="keypoints_px"):
        load_multiview_bank(tmp_path / "other.npz", "fit")


def test_joined_banks_keep_their_clips(tmp_path):
    bank = load_multiview_bank(write_views(tmp_path / "views.npz"), "fit")
    both = ResidualBank.join([bank, bank])
    assert both.starts.tolist() == [0, 80, 140, 220, 280]
    torch.testing.assert_close(both.error[140:], bank.error)
    assert len(both.fps) == len(both.heading_rad) == 4


def test_the_dancers_errors_have_their_published_size(shared):
    """Against ``noise.npz`` of the same data, counted there by another program: the same joints are
    worst, gross errors are as frequent (units differ: box height there, longer side here)."""
    bank = load_multiview_bank(shared / "aist/aist_break.npz", "fit")
    assert len(bank.fps) > 40
    with np.load(shared / "aist/noise.npz") as z:
        names = z["joint_names"].tolist()
        median = z["median_error"][0] * 100
    error = bank.error.norm(dim=-1) * 100
    for j, name in enumerate(DETECTED):
        assert 0.6 < float(error[:, j].median()) / median[names.index(name)] < 1.1, name
