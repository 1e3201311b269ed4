"""Splits, resampling, bodies and cameras against plain numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import H36M17
from pose3d.errors import DataError
from pose3d.lab.datasets.cameras import ASPECTS, LOWEST_M, NEAREST_M, draw_shots
from pose3d.lab.datasets.motions import (
    MOCAP_JOINTS,
    _move_heads,
    body_length,
    draw_windows,
    h36m_joints,
    load_motions,
    mirror,
    vary_bodies,
)
from pose3d.lab.training.recipe import SAMPLE_TRIALS
from pose3d.lab.training.recipes import RECIPES
from pose3d.lift.normalise import BODY_LENGTH_M
from tests.support.motion_files import change
from tests.support.training import moving_body, write_motions


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def motions(tmp_path):
    return load_motions([write_motions(tmp_path / "m.npz")], "train")


# -- loading ----------------------------------------------------------------------------------------


def test_loading_keeps_positions_and_splits(motions):
    assert motions.names == ("00_01", "02_01")
    assert motions.starts.tolist() == [0, 200, 240]
    expected = np.concatenate([moving_body(200, seed=0), moving_body(40, seed=2)])
    np.testing.assert_allclose(motions.joints_world_m, expected, atol=0.6e-3)  # whole millimetres
    assert float(motions.weight.sum()) == pytest.approx(1)


def test_recordings_are_left_out_with_all_their_pieces(tmp_path):
    names = ["05_02#1", "05_02#2", "05_020"]
    path = write_motions(tmp_path / "m.npz", names=names, splits=["train"] * 3)
    assert load_motions([path], "train", leave_out=["05_02"]).names == ("05_020",)


def test_long_recordings_and_large_subjects_do_not_drown_the_others(tmp_path):
    path = write_motions(tmp_path / "m.npz", lengths=(1000, 100, 100), splits=["train"] * 3)
    weight = load_motions([path], "train").weight.tolist()
    assert 1.2 < weight[0] / weight[1] < 4  # ten times as long
    assert weight[1] == pytest.approx(weight[2])


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"m\.npz is missing.*--data"):
        load_motions([tmp_path / "m.npz"], "train")
    path = write_motions(tmp_path / "m.npz")
    with pytest.raises(DataError):
        load_motions([path], "test")
    change(path, joint_names=np.array(MOCAP_JOINTS[::-1]))
    with pytest.raises(DataError):
        load_motions([path], "train")


def test_splits_are_disjoint_by_subject(shared):
    """The real files, as the recipes use them: nobody is trained on and validated or tested with."""
    ours = [r for r in RECIPES.values() if getattr(r, "track_file", None)]
    assert {"hot-mixste.free27", "mhformer.free27"} <= {r.name for r in ours}
    for recipe in ours:
        assert set(SAMPLE_TRIALS) <= set(recipe.leave_out), recipe.name
        assert not any("bandai" in f for f in recipe.motion_files), recipe.name
    with np.load(shared / "mocap/cmu.npz") as z:
        names, subject, split = (z[k].tolist() for k in ("names", "subject", "split"))
    of_split = {
        s: {who for who, where in zip(subject, split, strict=True) if where == s}
        for s in ("train", "val", "test")
    }
    assert not of_split["train"] & (of_split["val"] | of_split["test"])
    assert not of_split["val"] & of_split["test"]
    with np.load(shared / "rendered/tracks.npz") as z:
        fit = set(z["subject"][z["split"] == "fit"].tolist())
        val = set(z["subject"][z["split"] == "val"].tolist())
    assert not fit & val
    assert not of_split["train"] & val
    # The recordings behind the samples are in the file, and leaving them out takes them away.
    assert set(SAMPLE_TRIALS) <= {n.split("#")[0] for n in names}
    used = load_motions([shared / "mocap/cmu.npz"], "train", leave_out=SAMPLE_TRIALS).names
    assert set(used) <= {n for n, s in zip(names, split, strict=True) if s == "train"}
    assert not {n.split("#")[0] for n in used} & set(SAMPLE_TRIALS)


# -- windows --------------------------------------------------------------------------------------------


def test_windows_at_the_recorded_rate_are_its_frames(motions):
    windows, rate = draw_windows(motions, 20, 9, (60.0, 60.0), generator())
    assert rate.tolist() == pytest.approx([60] * 20)
    clips = [motions.joints_world_m[:200], motions.joints_world_m[200:]]
    velocity = windows.diff(dim=1).norm(dim=-1).mean()
    for window in windows:
        # Begins between two frames: compare with the clip resampled at the best shift.
        gap = min(float((c[None] - window[:1]).norm(dim=-1).mean(-1).min()) for c in clips)
        assert gap < velocity  # nearer than one step to some frame of one clip


def test_windows_equal_interpolation(motions):
    """Each joint's course is the recording's at the drawn rate, found by its own start time.

    At low rates windows are longer than the short clip: there they turn back at its end.
    """
    windows, rate = draw_windows(motions, 12, 9, (8.0, 50.0), generator(3))
    clips = [motions.joints_world_m[:200].numpy(), motions.joints_world_m[200:].numpy()]
    for window, r in zip(windows.numpy(), rate.numpy(), strict=True):
        best = np.inf
        for clip in clips:
            frames = len(clip) - 1
            begin = np.arange(0, frames, 0.05)[:, None]
            time = (begin + 60 / r * np.arange(9)) % (2 * frames)
            time = np.minimum(time, 2 * frames - time)
            low = np.minimum(time.astype(int), frames - 1)
            part = (time - low)[..., None]
            some = [3, 13]  # the whole courses of an ankle and a wrist
            course = clip[:, some][low] * (1 - part[..., None])
            course = course + clip[:, some][low + 1] * part[..., None]
            best = min(best, np.abs(course - window[:, some]).max((1, 2, 3)).min())
        assert best < 2e-3


def test_rates_are_even_in_the_logarithm(motions):
    _, rate = draw_windows(motions, 4000, 2, (10.0, 40.0), generator())
    assert rate.min() >= 10
    assert rate.max() <= 40
    assert (rate < 20).float().mean() == pytest.approx(0.5, abs=0.03)


# -- bodies ---------------------------------------------------------------------------------------------


BELOW_HEAD = [j for j in range(1, 17) if H36M17.joints[j] not in ("neck_nose", "head_top")]


def bones(joints: torch.Tensor) -> torch.Tensor:
    parents = [H36M17.parents[j] for j in BELOW_HEAD]
    return joints[..., BELOW_HEAD, :] - joints[..., parents, :]


def test_bodies_keep_their_pose_below_the_head_and_get_one_size(motions):
    windows, _ = draw_windows(motions, 40, 9, (30.0, 30.0), generator())
    varied = vary_bodies(windows, generator(1))
    np.testing.assert_allclose(body_length(varied).mean(1), BODY_LENGTH_M, rtol=1e-5)
    direction = torch.nn.functional.normalize(bones(windows), dim=-1)
    same = (torch.nn.functional.normalize(bones(varied), dim=-1) - direction).abs().amax((1, 2, 3))
    mirrored = torch.nn.functional.normalize(bones(mirror(varied)), dim=-1)
    flipped = (mirrored - direction).abs().amax((1, 2, 3))
    assert (torch.minimum(same, flipped) < 1e-4).all()
    assert 10 <= int((flipped < 1e-4).sum()) <= 30  # about half
    # Proportions differ from window to window, not from frame to frame.
    lengths = bones(varied).norm(dim=-1) / bones(windows).norm(dim=-1).mean(1, keepdim=True)
    assert lengths.mean(1).std(0).min() > 0.03
    unmirrored = same < 1e-4
    ratio = bones(varied).norm(dim=-1) / bones(windows).norm(dim=-1)
    assert ratio[unmirrored].std(1).max() < 1e-4


def test_heads_are_carried_in_different_ways(motions):
    windows, _ = draw_windows(motions, 400, 9, (30.0, 30.0), generator())
    moved = _move_heads(windows, generator(1), 1.0)
    head = [MOCAP_JOINTS.index(n) for n in ("nose", "head_top", "left_ear", "right_ear")]
    others = [j for j in range(23) if j not in head]
    np.testing.assert_array_equal(moved[:, :, others], windows[:, :, others])
    for a, b in itertools.combinations(head, 2):  # a head is rigid
        apart = (windows[:, :, a] - windows[:, :, b]).norm(dim=-1)
        torch.testing.assert_close((moved[:, :, a] - moved[:, :, b]).norm(dim=-1), apart)
    ears = (moved[:, :, head[2]] + moved[:, :, head[3]]) / 2
    before = (windows[:, :, head[2]] + windows[:, :, head[3]]) / 2
    forward = torch.nn.functional.normalize(windows[:, :, head[0]] - before, dim=-1)
    ahead = ((ears - before) * forward).sum(-1).mean(1) / body_length(windows).mean(1)
    assert 0.012 < ahead.mean() < 0.018
    assert 0.017 < ahead.std() < 0.024
    gaze = torch.nn.functional.normalize(moved[:, :, head[0]] - ears, dim=-1)
    nod = torch.rad2deg(torch.arccos((gaze * forward).sum(-1).clamp(max=1))).mean(1)
    assert 6 < nod.mean() < 10  # the mean of |N(0, 10)| is 8
    still = _move_heads(windows, generator(1), 0.0)
    torch.testing.assert_close(still, windows, atol=1e-6, rtol=0)


def test_neck_nose_lies_inside_the_head():
    body = torch.from_numpy(moving_body(5)).float()
    joints = h36m_joints(body)
    nose, ears = H36M17.index["neck_nose"], (body[:, 21] + body[:, 22]) / 2
    torch.testing.assert_close(joints[:, nose], (body[:, nose] + ears) / 2)
    rest = [j for j in range(17) if j != nose]
    np.testing.assert_array_equal(joints[:, rest], body[:, rest])


def test_amount_zero_only_scales(motions):
    windows, _ = draw_windows(motions, 5, 9, (30.0, 30.0), generator())
    plain = vary_bodies(windows, generator(1), amount=0.0)
    factor = BODY_LENGTH_M / body_length(windows).mean(1)
    expected = windows * factor[:, None, None, None]
    np.testing.assert_allclose(plain, expected, atol=1e-5)


def test_mirror_twice_and_once():
    joints = torch.from_numpy(moving_body(3)).float()
    assert torch.equal(mirror(mirror(joints)), joints)
    wrist, other = MOCAP_JOINTS.index("left_wrist"), MOCAP_JOINTS.index("right_wrist")
    torch.testing.assert_close(
        mirror(joints)[:, wrist], joints[:, other] * torch.tensor([-1.0, 1, 1])
    )


def test_body_length_by_hand():
    joints = moving_body(1)[0]
    at = {n: joints[i] for i, n in enumerate(MOCAP_JOINTS)}

    def chain(*names):
        return sum(np.linalg.norm(at[a] - at[b]) for a, b in itertools.pairwise(names))

    legs = [chain(f"{s}_hip", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")]
    expected = np.mean(legs) + chain("pelvis", "spine", "thorax")
    assert float(body_length(torch.from_numpy(joints))) == pytest.approx(expected)


# -- cameras ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filmed():
    world = torch.from_numpy(np.stack([moving_body(9, fps=30, seed=i) for i in range(300)])).float()
    return world, draw_shots(world, generator())


def test_projection_equals_numpy(filmed):
    _, shots = filmed
    joints, points = shots.joints_cam_m.numpy().astype(float), shots.points_px.numpy()
    focal, size = shots.focal_px.numpy(), shots.size_wh.numpy()
    expected = joints[..., :2] / joints[..., 2:] * focal[:, None, None, None]
    expected += size[:, None, None] / 2
    near = joints[..., 2] < 0.25  # cannot be projected in earnest
    assert near.mean() < 0.01
    np.testing.assert_allclose(points[~near], expected[~near], rtol=1e-4, atol=0.05)


def test_cameras_move_the_world_rigidly(filmed):
    """Every frame is a rotation (no reflection: left stays left) and a shift of the world."""
    world, shots = filmed
    for w, c in zip(world[:60].numpy(), shots.joints_cam_m[:60].numpy(), strict=True):
        for frame in (0, 8):
            a, b = w[frame] - w[frame].mean(0), c[frame] - c[frame].mean(0)
            rotation, rssd = Rotation.align_vectors(b, a)
            assert rssd < 1e-4
            up = rotation.apply([0, 0, 1])
            assert up[1] < -0.4  # up in the world is up in the picture (y down)


def test_one_camera_in_eight_looks_down_steeply(filmed):
    """How far the optical axis points below the horizon, from the rotation of the world."""
    world, shots = filmed
    down = []
    for w, c in zip(world[:, 0].numpy(), shots.joints_cam_m[:, 0].numpy(), strict=True):
        rotation, _ = Rotation.align_vectors(c - c.mean(0), w - w.mean(0))
        # The person may be anywhere in the picture: the line of sight to it is what is elevated.
        sight = rotation.inv().apply(c.mean(0) / np.linalg.norm(c.mean(0)))
        down.append(np.degrees(np.arcsin(-sight[2])))
    down = np.array(down)
    # 1/8 x 5/8 of the high ones and 3 % of the others look down by more than 35 degrees.
    assert 0.05 < (down > 35).mean() < 0.16
    assert down.max() > 50
    assert abs(np.median(down) - 8) < 4


def test_cameras_have_usual_pictures_and_fields_of_view(filmed):
    _, shots = filmed
    size = shots.size_wh.numpy()
    aspects = {(16, 9), (9, 16), (4, 3), (1, 1), (3, 4)}
    assert aspects == set(ASPECTS)
    for w, h in size:
        assert min(abs(w / h - a / b) for a, b in aspects) < 1e-3
    assert size.max(1).tolist() == [1280] * 300
    fov = np.degrees(2 * np.arctan(size.min(1) / 2 / shots.focal_px.numpy()))
    assert 22 < fov.min() < 30
    assert 68 < fov.max() < 82
    centre = shots.points_px[:, 4, 0].numpy()
    inside = ((centre > 0) & (centre < size)).all(1)
    assert inside.mean() > 0.95
    depth = shots.joints_cam_m[..., 2]
    assert 1 < depth.median() < 8


def test_nobody_walks_through_the_lens_and_no_camera_stands_in_the_floor():
    """Somebody runs 12 m across, 300 times: all joints stay before the camera, all cameras above 0."""
    world = torch.from_numpy(moving_body(30)).float().expand(300, 30, 23, 3).clone()
    world[..., 0] += torch.linspace(-6, 6, 30)[None, :, None]
    shots = draw_shots(world, generator())
    assert shots.joints_cam_m[..., 2].amin() > NEAREST_M - 1e-3
    for w, c in zip(world[:, 0].numpy(), shots.joints_cam_m[:, 0].numpy(), strict=True):
        rotation, _ = Rotation.align_vectors(c - c.mean(0), w - w.mean(0))
        camera = w.mean(0) - rotation.inv().apply(c.mean(0))
        assert camera[2] > LOWEST_M - 1e-3


def test_some_cameras_follow():
    """Somebody runs 6 m across: from one camera in seven or so they keep their place in the picture."""
    world = torch.from_numpy(moving_body(30)).float().expand(600, 30, 23, 3).clone()
    world[..., 0] += torch.linspace(-3, 3, 30)[None, :, None]
    pelvis = draw_shots(world, generator()).points_px[:, :, 0]
    size = draw_shots(world, generator()).size_wh
    third = slice(10, 20)  # of the window: away from its ends, where the smoothed way is short
    ways = (pelvis[:, third].amax(1) - pelvis[:, third].amin(1)) / size
    still = (pelvis[:, third] - pelvis[:, third].mean(1, keepdim=True)).norm(dim=-1).amax(1)
    assert 0.02 < (ways.amax(1) < 0.05).float().mean() < 0.3
    assert still.median() > 100  # most cameras let people pass


def test_moving_cameras_turn_about_their_centre():
    """A statue: distances from the camera stay, three in ten pictures move."""
    statue = torch.from_numpy(moving_body(1)).float().expand(400, 20, 23, 3).contiguous()
    shots = draw_shots(statue, generator())
    distance = shots.joints_cam_m.norm(dim=-1)
    torch.testing.assert_close(distance, distance[:, :1].expand_as(distance), rtol=1e-4, atol=1e-4)
    moved = (shots.points_px - shots.points_px[:, :1]).norm(dim=-1).amax((1, 2)) > 0.5
    assert moved.float().mean() == pytest.approx(0.3, abs=0.07)


def test_heading_is_zero_towards_the_camera(filmed):
    """From the toes: where the pelvis faces seen from above in camera axes (rendered/README.md)."""
    _, shots = filmed
    joints = shots.joints_cam_m
    toes = joints[:, :, [17, 18]].mean(2) - joints[:, :, [19, 20]].mean(2)  # heels to toes
    facing = torch.atan2(toes[..., 0], -toes[..., 2])  # 0 towards the camera, 90 to the right
    difference = torch.atan2(
        (facing - shots.heading_rad).sin(), (facing - shots.heading_rad).cos()
    ).abs()
    assert difference.median() < 0.35  # swinging hips and feet turn against each other
    assert (difference < 1.2).float().mean() > 0.95
