"""train/multiview.py: errors of a detector in many views, against errors put in by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import COCO17, H36M17
from pose3d.errors import DataError
from pose3d.lab.datasets.multiview import load_multiview_bank
from pose3d.lab.datasets.noise import DETECTED, ResidualBank
from tests.support.training import moving_body

ERROR_PX = np.array([6.0, -3.0])


def write_views(path, *, offsets=(0.0, 0.4), hide=0.0):
    """Two sequences (fit, val) of a walker seen by two cameras, each detection ERROR_PX wrong.

    Camera 0 stands in front of a person who faces +y, camera 1 on the person's right; camera 1 is
    ``offsets[1]`` frames late.
    """
    frames, focal = 80, 1000.0
    intrinsics = np.array([[focal, 0, 960], [0, focal, 540], [0, 0, 1]])
    turns = np.array([[[-1, 0, 0], [0, 0, -1], [0, -1, 0]], [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]])
    joints = np.full((2, frames, 17, 3), np.nan)
    points = np.full((2, 2, frames, 17, 2), np.nan)
    shift = np.array([[0.0, 1.0, 6.0]] * 2)
    for s in range(2):
        time = np.arange(frames)[:, None]
        body = moving_body(1, seed=0)[0, :17]
        # No turning: every joint moves evenly, so that half a frame later is known exactly.
        yaw = moving_yaw(body)
        body = body @ yaw.T
        path_m = np.array([0.004, 0.002, 0.0]) * (1 + s)
        for name in set(COCO17.joints) & set(H36M17.joints):
            joints[s, :, COCO17.index[name]] = body[H36M17.index[name]] + path_m * time
        for extra in ("left_ear", "right_ear", "nose"):
            joints[s, :, COCO17.index[extra]] = body[H36M17.index["neck_nose"]] + path_m * time
        for v in range(2):
            seen = joints[s] + offsets[v] * path_m
            cam = seen @ turns[v].T + shift[v]
            pixels = cam @ intrinsics.T
            points[s, v] = pixels[..., :2] / pixels[..., 2:] + ERROR_PX
    if hide:
        joints[:, 30:40, COCO17.index["left_knee"]] = np.nan
    score = np.full((2, 2, frames, 17), 1.02, np.float16)
    in_range = np.ones((2, 2, frames), bool)
    in_range[0, 1, :20] = False
    np.savez(
        path,
        keypoints_px=points.astype(np.float32),
        score=score,
        joints_world_m=joints.astype(np.float32),
        time_offset_frames=np.array([offsets] * 2, np.float32),
        K=np.repeat(intrinsics[None], 2, 0),
        R=turns.astype(float),
        t=shift,
        in_range=in_range,
        split=np.array(["fit", "val"]),
        fps=59.94,
    )
    return path


def moving_yaw(body):
    """Returns the rotation about Z that makes ``(17, 3)`` face +y (its left at -x)."""
    across = body[H36M17.index["left_hip"]] - body[H36M17.index["right_hip"]]
    angle = np.pi - np.arctan2(across[1], across[0])
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


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
    with pytest.raises(DataError, match="No clip of split 'fit'"):
        load_multiview_bank(tmp_path / "half.npz", "fit")


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match="missing"):
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
