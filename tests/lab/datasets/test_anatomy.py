"""Joints of all sources against published proportions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.errors import DataError
from pose3d.lab.datasets.anatomy import OFFSETS, body_length_m, to_anatomical
from pose3d.lab.datasets.motions import read_motion_file
from pose3d.lab.datasets.noise import TRACKS_LAYOUT, read_track_file
from tests.support import ROOT
from tests.support.training import moving_body, write_tracks

SAMPLES = ROOT / "samples"

# trunk, thigh, shank of their sum: Winter 2009 and de Leva 1996 lie within 0.006 of it
LITERATURE = (0.375, 0.305, 0.320)


def shares(joints: np.ndarray) -> np.ndarray:
    def bone(a: str, b: str) -> float:
        ends = joints[:, H36M17.index[a]] - joints[:, H36M17.index[b]]
        return float(np.median(np.linalg.norm(ends, axis=-1)))

    def middle(part: str) -> np.ndarray:
        return joints[:, [H36M17.index[f"{s}_{part}"] for s in ("left", "right")]].mean(1)

    trunk = float(np.median(np.linalg.norm(middle("shoulder") - middle("hip"), axis=-1)))
    thigh = (bone("left_hip", "left_knee") + bone("right_hip", "right_knee")) / 2
    shank = (bone("left_knee", "left_ankle") + bone("right_knee", "right_ankle")) / 2
    return np.array([trunk, thigh, shank]) / (trunk + thigh + shank)


@pytest.mark.parametrize("sex", ["female", "male"])
@pytest.mark.parametrize("name", ["filmed.npz", "varied.npz", "heavy.npz"])
def test_synthetic_people_have_published_proportions(name: str, sex: str) -> None:
    data = read_track_file(SAMPLES / name, {**TRACKS_LAYOUT, "body": "text clip"})
    found = [
        shares(data["joints_cam_m"][data["starts"][c] : data["starts"][c + 1]].astype(float))
        for c in np.flatnonzero(np.char.startswith(data["body"], sex))
    ]
    np.testing.assert_allclose(np.mean(found, 0), LITERATURE, atol=0.01)


def test_sample_truths_have_published_proportions() -> None:
    found = []
    for path in SAMPLES.glob("*.truth.npz"):
        with np.load(path) as truth:
            joints = truth["joints_cam_m"].astype(float)
            seen = joints @ truth["K"].astype(float).T
            pixels = truth["keypoints_px"]
        np.testing.assert_allclose(seen[..., :2] / seen[..., 2:], pixels, atol=0.01)
        found += [shares(joints[:, person]) for person in range(joints.shape[1])]
    assert len(found) == 5
    np.testing.assert_allclose(np.mean(found, 0), LITERATURE, atol=0.01)


def test_each_recorded_skeleton_has_published_proportions(shared) -> None:
    folder = shared / "mocap"
    for name in ("cmu", "accad", "bandai"):
        data = read_motion_file(folder / f"{name}.npz")
        for skeleton in sorted(set(data["skeleton"])):
            clips = np.flatnonzero(data["skeleton"] == skeleton)[:40]
            found = [
                shares(
                    data["positions_mm"][data["starts"][c] : data["starts"][c + 1]].astype(float)
                )
                for c in clips
            ]
            assert abs(np.mean(found, 0)[0] - LITERATURE[0]) < 0.01, skeleton


@pytest.mark.parametrize("source", OFFSETS)
def test_the_same_in_any_place_and_size(source: str) -> None:
    body = moving_body(20)[:, :17]
    turn = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    moved = to_anatomical(body @ turn.T * 0.7 + [3, -2, 5], source)
    np.testing.assert_allclose(
        moved, to_anatomical(body, source) @ turn.T * 0.7 + [3, -2, 5], atol=1e-9
    )


def test_a_rig_gets_higher_shoulders_and_hips_further_in_front() -> None:
    body = np.repeat(moving_body(1)[:, :17], 3, 0)
    facing = np.cross(body[0, 4] - body[0, 1], [0, 0, 1])
    facing /= np.linalg.norm(facing)
    change = (to_anatomical(body, "rig") - body)[0] / body_length_m(body)
    for side in ("left", "right"):
        assert change[H36M17.index[f"{side}_shoulder"]] @ [0, 0, 1] == pytest.approx(0.031, rel=0.1)
        assert change[H36M17.index[f"{side}_hip"]] @ facing == pytest.approx(0.013, rel=0.1)
        assert change[H36M17.index[f"{side}_knee"]] @ [0, 0, 1] == pytest.approx(-0.006, rel=0.1)
    assert not change[H36M17.index["left_ankle"]].any()
    np.testing.assert_array_equal(to_anatomical(body, "asf"), body)


def test_old_track_files_become_anatomical_and_unknown_definitions_are_refused(tmp_path) -> None:
    path = write_tracks(tmp_path / "tracks.npz")
    new = read_track_file(path, TRACKS_LAYOUT)
    with np.load(path) as file:
        arrays = dict(file)
    del arrays["definition"]
    np.savez(path, **arrays)
    old = read_track_file(path, TRACKS_LAYOUT)
    rows = slice(0, 60)
    expected = to_anatomical(new["joints_cam_m"][rows].astype(float), "rig")
    np.testing.assert_allclose(old["joints_cam_m"][rows], expected, atol=1e-5)
    seen = expected @ new["K"][0].T
    np.testing.assert_allclose(old["joints_px"][rows], seen[..., :2] / seen[..., 2:], atol=1e-2)
    arrays["definition"] = np.array(["mine"] * 3)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="definition"):
        read_track_file(path, TRACKS_LAYOUT)
