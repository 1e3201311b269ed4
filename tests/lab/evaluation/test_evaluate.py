"""evaluation/compare.py, samples.py, tracks.py: errors put in by hand come out, and the chain itself."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.spatial.transform import Rotation

from pose3d.body.skeletons import BLAZEPOSE33, H36M17, LIMBS
from pose3d.errors import DataError, UsageError
from pose3d.lab.evaluation.compare import (
    ANGLES,
    FLIPS,
    compare_motion,
    joint_angles,
    limb_joints,
    summarise,
)
from pose3d.lab.evaluation.samples import (
    box_overlap,
    compare_clip,
    count_switches,
    evaluate_samples,
    load_truth,
    match_people,
    mean_row,
    samples_table,
    truth_path,
)
from pose3d.lab.evaluation.tracks import evaluate_tracks, lift_live, read_clips, tracks_table
from pose3d.lift.flops import count_flops
from pose3d.lift.sequence import make_lifter
from pose3d.options import RunOptions
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.tracking.clip import Tracks
from tests.support.grids import grid, regrid, to_rows
from tests.support.lifters import FakeNetwork, small_lifter
from tests.support.networks import require_blazepose
from tests.support.training import moving_body, write_tracks

EVERY = np.ones(40, bool)
TIME = np.arange(40) / 30
WRIST = LIMBS.index("left_wrist")
SIDES = [
    LIMBS.index(n.replace("left", "R").replace("right", "left").replace("R", "right"))
    for n in LIMBS
]


def motion(seed: int = 0, frames: int = 40) -> np.ndarray:
    """Limbs of a moving body in camera axes, hips' middle at the origin."""
    body = moving_body(frames, fps=30, seed=seed)[:, :17]
    return limb_joints(np.stack([body[..., 0], -body[..., 2], body[..., 1]], -1), H36M17)


def printed(table) -> str:
    out = io.StringIO()
    Console(width=160, file=out).print(table)
    return out.getvalue()


# -- comparing two motions ------------------------------------------------------------------------------


def test_limbs_are_found_by_name_and_hang_at_the_hips():
    joints = np.random.default_rng(0).normal(size=(5, 33, 3))
    limbs = limb_joints(joints, BLAZEPOSE33)
    hips = (joints[:, 23] + joints[:, 24]) / 2
    np.testing.assert_allclose(limbs[:, WRIST], joints[:, 15] - hips)
    np.testing.assert_allclose(limbs[:, [6, 7]].sum(1), 0, atol=1e-12)


def test_the_truth_has_no_error():
    errors = compare_motion(motion(), motion(), TIME, EVERY)
    for name in ("procrustes_mm", "root_mm", "joint_mm", "angle_off_deg", *FLIPS):
        np.testing.assert_allclose(errors[name], 0, atol=1e-6)
    acceleration = errors["acceleration_mm_s2"]
    assert np.isnan(acceleration[[0, -1]]).all()
    np.testing.assert_allclose(acceleration[1:-1], 0, atol=1e-6)


def test_joint_angles_by_hand():
    """A right angle at the elbow, a straight arm at the shoulder, half of one at hip and knee."""
    limbs = np.zeros((2, 12, 3))
    for side, y in (("left", 1.0), ("right", -1.0)):
        for name, x, z in (("shoulder", 0, 1), ("elbow", 0, 2), ("wrist", 3, 2)):
            limbs[:, LIMBS.index(f"{side}_{name}")] = (x, y, z)
        for name, x, z in (("hip", 0, 0), ("knee", 1, 1), ("ankle", 1, 0)):
            limbs[:, LIMBS.index(f"{side}_{name}")] = (x, y, z)
    limbs[1, LIMBS.index("left_wrist")] = np.nan
    limbs[1, LIMBS.index("right_wrist")] = limbs[1, LIMBS.index("right_elbow")]
    angles = dict(zip(ANGLES, joint_angles(limbs).T, strict=True))
    for side in ("left", "right"):
        for kind, degrees in (("elbow", 90), ("shoulder", 180), ("hip", 45), ("knee", 45)):
            assert angles[f"{side}_{kind}"][0] == pytest.approx(degrees)
        assert np.isnan(angles[f"{side}_elbow"][1])
        assert angles[f"{side}_knee"][1] == pytest.approx(45)


def test_errors_of_angles_have_a_sign_and_need_their_joints():
    ours, truth = motion().copy(), motion().copy()
    knee = LIMBS.index("left_knee")
    hip, ankle = (ours[:, LIMBS.index(f"left_{n}")] for n in ("hip", "ankle"))
    ours[:, knee] = (hip + ankle) / 2  # as straight as a leg can be
    truth[3, LIMBS.index("left_ankle")] = np.nan
    errors = compare_motion(ours, truth, TIME, EVERY & (np.arange(40) != 5))
    off = dict(zip(ANGLES, errors["angle_off_deg"].T, strict=True))
    true = dict(zip(ANGLES, errors["true_angle_deg"].T, strict=True))
    assert np.isnan(off["left_knee"][[3, 5]]).all()
    used = np.isfinite(off["left_knee"])
    assert used.sum() == 38
    np.testing.assert_allclose((off["left_knee"] + true["left_knee"])[used], 180)
    assert np.nanmax(np.abs(off["right_knee"])) < 1e-6
    row = summarise(errors, errors)
    assert row["angle_deg"]["left_knee"] == pytest.approx(np.nanmean(off["left_knee"]))
    assert row["angle_deg"]["right_elbow"] == pytest.approx(0, abs=1e-6)


def test_procrustes_forgives_each_frame_its_turn_and_the_others_do_not():
    angle = np.radians(np.linspace(0, 60, 40))
    turns = Rotation.from_rotvec(angle[:, None] * [0, 1, 0]).as_matrix()
    turned = np.einsum("fij,fnj->fni", turns, 1.3 * motion())
    errors = compare_motion(turned, motion(), TIME, EVERY)
    np.testing.assert_allclose(errors["procrustes_mm"], 0, atol=1e-6)
    assert np.nanmean(errors["root_mm"]) > 50
    still = 1.3 * motion() @ turns[20].T  # one turn and one size for the clip
    errors = compare_motion(still, motion(), TIME, EVERY)
    np.testing.assert_allclose(errors["acceleration_mm_s2"][1:-1], 0, atol=1e-6)


def test_one_scale_for_the_clip_is_free_in_root_errors():
    errors = compare_motion(0.8 * motion(), motion(), TIME, EVERY)
    np.testing.assert_allclose(errors["root_mm"], 0, atol=1e-6)
    swelling = motion() * np.linspace(0.9, 1.1, 40)[:, None, None]
    assert np.nanmean(compare_motion(swelling, motion(), TIME, EVERY)["root_mm"]) > 10


def test_a_shaking_wrist_by_hand():
    """Plus and minus 10 mm in turn: a second difference of 40 mm times 900 per second squared."""
    shaking = motion().copy()
    shaking[:, WRIST, 0] += 0.01 * (-1.0) ** np.arange(40)
    errors = compare_motion(shaking, motion(), TIME, EVERY)
    expected = 40 * 900 / 12
    np.testing.assert_allclose(errors["acceleration_mm_s2"][1:-1], expected, rtol=0.02)
    assert errors["joint_mm"][:, WRIST].mean() > 5 * errors["joint_mm"][:, 1].mean()
    np.testing.assert_allclose(errors["root_mm"], 10 / 12, rtol=0.05)


def test_near_and_far_exchanged_is_noticed():
    reversed_depth = motion() * [1, 1, -1]
    errors = compare_motion(reversed_depth, motion(), TIME, EVERY)
    assert errors["depth_reversed"].all()
    exchanged = compare_motion(motion()[:, SIDES], motion(), TIME, EVERY)
    assert exchanged["sides_exchanged"].all()


@pytest.mark.parametrize(
    "flip",
    [
        pytest.param(lambda pose: pose[:, SIDES], id="sides exchanged"),
        pytest.param(lambda pose: pose * [1, 1, -1], id="depth mirrored"),
        pytest.param(lambda pose: pose * [-1, 1, -1], id="turned by 180 degrees"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_body_the_wrong_way_round_is_seen(flip, seed):
    """A fit of rotations undoes turns, and sides exchanged after a mirrored depth."""
    truth = motion(seed)
    noise = 0.03 * np.random.default_rng(seed).normal(size=truth.shape)
    noisy = truth + noise - noise[:, [6, 7]].mean(1, keepdims=True)
    assert not compare_motion(noisy, truth, TIME, EVERY)["body_flipped"].any()
    for ours in (truth, 0.8 * truth, noisy):  # people are as large as the lifter thinks
        some = ours.copy()
        some[10:] = flip(ours[10:])
        errors = compare_motion(some, truth, TIME, EVERY)["body_flipped"]
        assert not errors[:10].any()
        assert errors[10:].all()


def test_a_turn_of_the_whole_body_is_no_error_after_procrustes():
    turned = compare_motion(motion() * [-1, 1, -1], motion(), TIME, EVERY)
    assert not turned["sides_exchanged"].any()
    assert not turned["depth_reversed"].any()
    assert turned["body_flipped"].all()


def test_flips_are_not_seen_where_the_hips_are_not_known():
    rooted, masked = EVERY.copy(), motion().copy()
    rooted[:5] = False
    masked[:, 0] = np.nan  # a joint that is not known does not count
    flips = compare_motion(motion() * [1, 1, -1], masked, TIME, EVERY, rooted)["body_flipped"]
    assert np.isnan(flips[:5]).all()
    assert flips[5:].all()


def test_a_flat_pose_is_not_mirrored_by_its_noise():
    """Facing the camera with nothing in front or behind: near and far differ by millimetres."""
    flat = motion() * [1, 1, 0.02]
    assert not compare_motion(flat * [1, 1, -1], flat, TIME, EVERY)["body_flipped"].any()


def test_only_frames_that_count_count():
    used = EVERY.copy()
    used[10:20] = False
    ours = motion().copy()
    ours[10:20] += np.random.default_rng(0).normal(size=(10, 12, 3))
    ours[30] = np.nan
    errors = compare_motion(ours, motion(), TIME, used)
    assert np.isnan(errors["procrustes_mm"][[*range(10, 20), 30]]).all()
    assert np.nanmax(errors["procrustes_mm"]) < 1e-6
    assert np.nanmax(errors["acceleration_mm_s2"]) < 1e-6
    assert np.isfinite(errors["acceleration_mm_s2"]).sum() == 38 - 12 - 3
    nothing = compare_motion(ours, motion(), TIME, ~EVERY)
    assert all(np.isnan(v).all() for v in nothing.values())


def test_summaries_are_over_the_frames_of_both():
    noisy = motion() + 0.02 * np.random.default_rng(0).normal(size=(40, 12, 3))
    ours = compare_motion(noisy, motion(), TIME, EVERY)
    worse = motion() + 0.06 * np.random.default_rng(0).normal(size=(40, 12, 3))
    worse[:20] = np.nan
    row = summarise(ours, compare_motion(worse, motion(), TIME, EVERY))
    assert row["frames"] == 20
    assert row["procrustes_mm"] == pytest.approx(ours["procrustes_mm"][20:].mean())
    assert row["procrustes_ratio"] == pytest.approx(1 / 3, abs=0.05)
    assert row["acceleration_ratio"] == pytest.approx(1 / 3, abs=0.05)
    assert row["joint_mm"]["left_wrist"] == pytest.approx(ours["joint_mm"][20:, WRIST].mean())


# -- who is who ----------------------------------------------------------------------------------------------


def boxes(*centres: float) -> np.ndarray:
    return np.array([[c - 10, 0, c + 10, 50] for c in centres], float)


def test_overlap_by_hand():
    true, found = boxes(10)[None], np.array([[[10, 0, 30, 50], [np.nan] * 4, [40, 0, 60, 50]]])
    overlap = box_overlap(true, found, np.ones((1, 1), bool))
    np.testing.assert_allclose(overlap, [[[500 / 1500, 0, 0]]])
    assert box_overlap(true, found, np.zeros((1, 1), bool)).sum() == 0


def test_people_are_matched_over_the_clip_and_switches_counted():
    true = np.stack([boxes(10 + f, 200 - f) for f in range(20)])
    found = true[:, ::-1].copy()  # the other order
    found[5:8] = np.nan  # a gap is no switch
    visible = np.ones((20, 2), bool)
    overlap = box_overlap(true, found, visible)
    assert match_people(overlap) == [1, 0]
    assert count_switches(overlap) == [0, 0]
    found[12:] = found[12:, ::-1]
    overlap = box_overlap(true, found, visible)
    assert count_switches(overlap) == [1, 1]
    alone = box_overlap(true, found[:, :1] + 1000, visible)
    assert match_people(alone) == [None, None]


# -- samples ---------------------------------------------------------------------------------------------------


def perfect(clip, jitter_m: float = 0.0) -> tuple[Tracks, PoseSequence]:
    """What a perfect chain would say about a sample clip, and a 2D network with a noisy 3D guess."""
    truth = load_truth(truth_path(clip))
    frames, people = truth.visible.shape
    rng = np.random.default_rng(0)
    relative = truth.joints_cam_m - truth.joints_cam_m[:, :, :1]
    lifted = PoseSequence.from_dense(
        video=VideoInfo(path=str(clip), size_wh=(960, 540), rate=Fraction(30), n_frames=frames),
        time_s=np.arange(frames) / 30,
        person_ids=np.arange(1, people + 1),
        skeleton=H36M17,
        boxes_xyxy_px=truth.boxes_xyxy_px,
        keypoints_px=truth.keypoints_px,
        score=np.ones((frames, people, 17)),
        joints_cam_m=relative + jitter_m * rng.normal(size=relative.shape),
        valid=np.ones((frames, people), bool),
    )
    raw = np.full((frames, people, 33, 2), 0.0)
    world = np.full((frames, people, 33, 3), 0.0)
    for name in set(BLAZEPOSE33.joints) & set(H36M17.joints):
        i, j = BLAZEPOSE33.index[name], H36M17.index[name]
        raw[:, :, i] = truth.keypoints_px[:, :, j]
        world[:, :, i] = relative[:, :, j] + 0.03 * rng.normal(size=relative[:, :, j].shape)
    pose = regrid(
        lifted,
        skeleton=BLAZEPOSE33,
        keypoints_px=raw,
        score=np.ones(raw.shape[:3]),
        joints_cam_m=None,
    )
    return Tracks(pose=pose, world_m=to_rows(world)), lifted


@pytest.mark.parametrize("name", ["dance", "two_people"])
def test_a_perfect_chain_has_no_error(samples, name):
    clip = samples / f"{name}.mp4"
    for row in compare_clip(clip, *perfect(clip)):
        assert row["covered"] == 1
        assert row["track"] == row["person"] + 1
        assert row["id_switches"] == 0
        assert row["error_2d_pct"] == row["raw_error_2d_pct"] == 0
        assert row["procrustes_mm"] < 1e-3
        assert row["acceleration_ratio"] < 1e-3
        assert 25 < row["world_procrustes_mm"] < 60  # 30 mm a coordinate, less what alignment takes
        assert row["frames"] == load_truth(truth_path(clip)).visible[:, row["person"]].sum()


def test_errors_of_a_clip_are_those_put_in(samples):
    clip = samples / "dance.mp4"
    tracks, lifted = perfect(clip, jitter_m=0.03)
    shifted = grid(lifted).keypoints_px + [3.0, 4.0]
    lifted = regrid(lifted, keypoints_px=shifted)
    (row,) = compare_clip(clip, tracks, lifted)
    assert row["procrustes_ratio"] == pytest.approx(1, abs=0.05)
    assert row["acceleration_ratio"] == pytest.approx(1, abs=0.05)
    # 5 px of a person 1.67 m tall, 2.5 to 3.6 m away, 579 px focal length (samples/README.md).
    assert 100 * 5 / (579 * 1.67 / 2.5) < row["error_2d_pct"] < 100 * 5 / (579 * 1.67 / 3.6)


def test_somebody_who_was_not_found(samples):
    clip = samples / "two_people.mp4"
    tracks, lifted = perfect(clip)
    only = Tracks(
        pose=tracks.pose.select_people([2]), world_m=tracks.world_m[tracks.pose.person_id == 2]
    )
    rows = compare_clip(clip, only, lifted.select_people([2]))
    assert [r["track"] for r in rows] == [None, 2]
    mean = mean_row(rows)
    assert mean["missed"] == 1
    assert mean["procrustes_mm"] == rows[1]["procrustes_mm"]
    results = {"people": rows, "mean": mean}
    assert "not found" in printed(samples_table(results))


def test_truth_that_does_not_belong_is_refused(samples, tmp_path):
    with pytest.raises(DataError):
        evaluate_samples(tmp_path)
    with pytest.raises(DataError):
        load_truth(tmp_path / "none.truth.npz")
    clip = samples / "walk_turn.mp4"
    tracks, lifted = perfect(samples / "dance.mp4")
    with pytest.raises(DataError, match=r"177 .*204"):
        compare_clip(clip, tracks, lifted)


@pytest.mark.slow
def test_the_chain_beats_the_2d_networks_own_3d(samples):
    """From pixels, with the shipped weights, every person found in every frame under one id."""
    require_blazepose()
    torch.set_num_threads(1)
    seen = []
    results = evaluate_samples(
        samples, RunOptions(place=False), on_step=lambda *state: seen.append(state)
    )
    mean = results["mean"]
    assert mean["missed"] == mean["id_switches"] == 0
    assert mean["covered"] > 0.99
    assert mean["procrustes_ratio"] < 0.6
    assert mean["acceleration_ratio"] < 0.15
    assert mean["error_2d_pct"] < 2
    assert all(r["body_flipped"] == 0 for r in results["people"])
    assert {r["clip"] for r in results["people"]} == {
        "dance",
        "portrait_phone",
        "two_people",
        "walk_turn",
    }
    assert all(r["sides_exchanged"] == 0 for r in results["people"])
    assert [name for name, *_ in seen] == ["dance", "portrait_phone", "two_people", "walk_turn"]
    assert seen[-1][1:] == (3, 4)


# -- rendered tracks ---------------------------------------------------------------------------------------------


def flat_lifter():
    """Says that everybody is as flat as the picture."""

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([inputs[..., :2], torch.zeros_like(inputs[..., :1])], -1)

    return replace(small_lifter(), network=FakeNetwork(answer))


def test_tracks_are_compared_on_detected_frames(tmp_path):
    path = write_tracks(tmp_path / "tracks.npz")
    results = evaluate_tracks(path, flat_lifter(), "fit", options=RunOptions(smooth=False))
    # 60 + 50 frames, 2 and 25 of them not detected; the 2D network's guess is the truth here.
    assert results["all"]["frames"] == 60 - 2 + 25
    assert results["all"]["world_procrustes_mm"] < 0.5  # float16
    assert 30 < results["all"]["procrustes_mm"] < 400
    assert sum(results[g]["frames"] for g in ("facing", "side", "back")) == 83
    assert [r["clip"] for r in results["clips"]] == ["01_01", "03_01"]
    assert results["all"]["covered"] == 1
    assert results["options"]["smooth"] is False
    assert f"{results['all']['procrustes_mm']:.1f}" in printed(tracks_table(results))


def test_live_tracks_know_nothing_of_the_future(tmp_path):
    path, lifter = write_tracks(tmp_path / "tracks.npz", noise_px=2.0), small_lifter()
    clip = next(iter(read_clips(path, "val")))
    live = lift_live(clip.pose, RunOptions(), lifter=lifter)
    seen = np.flatnonzero(grid(clip.pose).valid[:, 0])
    for end in seen[[0, 3, 20, -1]]:
        past = regrid(
            clip.pose,
            keypoints_px=np.where(
                np.arange(clip.pose.n_frames)[:, None, None, None] <= end,
                grid(clip.pose).keypoints_px,
                1e3,
            ),
        )
        cut = grid(lift_live(past, RunOptions(), lifter=lifter)).joints_cam_m[end]
        np.testing.assert_allclose(cut, grid(live).joints_cam_m[end], atol=1e-6)
    assert np.isnan(grid(live).joints_cam_m[~grid(clip.pose).valid[:, 0]]).all()
    asked = evaluate_tracks(path, lifter, "val", live=True)
    assert asked["options"]["live"] is True
    rough = evaluate_tracks(path, lifter, "val", live=True, options=RunOptions(smooth=False))
    assert asked["all"]["acceleration_mm_s2"] < 0.7 * rough["all"]["acceleration_mm_s2"]


def test_a_live_past_ends_where_the_person_was_missed(tmp_path):
    """Keypoints before a missed frame do not count any more, as in a stream."""
    path, lifter = write_tracks(tmp_path / "tracks.npz", noise_px=2.0), small_lifter()
    clip = next(iter(read_clips(path, "fit")))
    assert grid(clip.pose).valid[:5, 0].all()
    assert not grid(clip.pose).valid[5:7, 0].any()  # as the file was written
    live = grid(lift_live(clip.pose, RunOptions(), lifter=lifter)).joints_cam_m
    points = grid(clip.pose).keypoints_px.copy()
    points[:5] += 50.0
    moved = lift_live(regrid(clip.pose, keypoints_px=points), RunOptions(), lifter=lifter)
    assert np.abs(grid(moved).joints_cam_m[:5] - live[:5]).max() > 1e-4
    np.testing.assert_array_equal(grid(moved).joints_cam_m[7:], live[7:])
    with pytest.raises(UsageError):
        evaluate_tracks(path, lifter, "val", options=RunOptions(hypotheses=True), live=True)


def test_tracks_are_read_as_a_record(tmp_path):
    (clip,) = read_clips(write_tracks(tmp_path / "tracks.npz"), "val")
    assert clip.name == "02_01"
    assert clip.pose.video.rate == 30
    assert clip.pose.n_frames == 70
    assert grid(clip.pose).keypoints_px.shape == (70, 1, 33, 2)
    limbs = [BLAZEPOSE33.index[n] for n in LIMBS]
    boxes_px = grid(clip.pose).boxes_xyxy_px[:, 0]
    points = grid(clip.pose).keypoints_px[:, 0, limbs]
    assert (points >= boxes_px[:, None, :2]).all()
    assert (points <= boxes_px[:, None, 2:]).all()


def test_other_files_are_no_tracks(tmp_path):
    with pytest.raises(DataError):
        list(read_clips(write_tracks(tmp_path / "tracks.npz"), "test"))
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(DataError):
        list(read_clips(tmp_path / "text.npz", "val"))
    with pytest.raises(DataError):
        list(read_clips(tmp_path / "none.npz", "val"))


@pytest.mark.slow
def test_shipped_weights_on_rendered_tracks(shared):
    """The baseline against anatomical joint centres (86.9 against the rig's); ours is better by a third."""
    torch.set_num_threads(1)
    results = evaluate_tracks(
        shared / "rendered/tracks.npz", make_lifter("hot-mixste", device="cpu", offline=True)
    )["all"]
    assert results["frames"] == 5341
    assert results["world_procrustes_mm"] == pytest.approx(87.28, abs=0.05)
    assert results["world_median_mm"] == pytest.approx(75.8, abs=0.05)
    assert results["world_p90_mm"] == pytest.approx(132.9, abs=0.05)
    assert results["procrustes_ratio"] < 0.66
    assert results["acceleration_ratio"] < 0.15
    assert results["covered"] == 1


def test_the_hourglass_saves_two_fifths_of_the_operations():
    """Of the shipped network over its twin, which differs in nothing else."""
    hot, plain = (
        make_lifter(name, device="cpu", offline=True).options
        for name in ("hot-mixste.free27", "mixste.free27")
    )
    assert replace(hot, hourglass=None) == plain
    assert count_flops(hot).total <= 0.6 * count_flops(plain).total
