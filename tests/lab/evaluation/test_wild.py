"""evaluation/wild*.py, generated.py: known errors come out, truths are read right, groups."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from pose3d.body.skeletons import BLAZEPOSE33, COCO17, H36M17, LIMBS
from pose3d.cli.app import app
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.cameras import draw_setups, draw_shots, film
from pose3d.lab.evaluation.compare import FLIPS, compare_motion
from pose3d.lab.evaluation.generated import AXES, View, cut_pieces, film_view, generate_clips
from pose3d.lab.evaluation.samples import find_samples, load_truth, truth_path
from pose3d.lab.evaluation.tracks import OCCLUSIONS, TruthClip, read_clips, single_person
from pose3d.lab.evaluation.wild import (
    MEANS,
    WORLD,
    WildOptions,
    evaluate_part,
    evaluate_wild,
    load_lifters,
    pool,
)
from pose3d.lab.evaluation.wild_clips import moved_in_time, read_aist, track_samples
from pose3d.lab.evaluation.wild_report import wild_tables
from pose3d.lift.models import save_network
from pose3d.options import RunOptions
from pose3d.tracking.clip import Tracks
from tests.support.grids import grid, regrid, to_rows
from tests.support.lifters import small_lifter, small_network, small_options
from tests.support.training import moving_body, write_motions, write_tracks

HIPS = [LIMBS.index("left_hip"), LIMBS.index("right_hip")]


@pytest.fixture
def motion_file(tmp_path):
    splits = ["test", "train", "test"]
    return write_motions(tmp_path / "cmu.npz", lengths=(400, 150, 200), splits=splits)


# -- unknown joints ----------------------------------------------------------------------------


def limbs(frames=40, seed=0):
    body = moving_body(frames, fps=30.0, seed=seed)[:, [H36M17.index[n] for n in LIMBS]]
    return body - body[:, HIPS].mean(1, keepdims=True)


def test_unknown_joints_and_unrooted_frames_are_left_out():
    truth, ours = limbs(), 1.2 * limbs()
    wrong = ours.copy()
    wrong[:, 5] += 0.5
    masked = truth.copy()
    masked[:, 5] = np.nan
    time, every = np.arange(40) / 30, np.ones(40, bool)
    errors = compare_motion(wrong, masked, time, every)
    for key in ("procrustes_mm", "clip_mm", "root_mm", "velocity_mm_s", "acceleration_mm_s2"):
        assert np.nanmax(errors[key]) < 1e-3, key
    assert np.isnan(errors["joint_mm"][:, 5]).all()
    # Where the hips are not known the truth hangs anywhere: only Procrustes is taken.
    rooted = every.copy()
    rooted[10:20] = False
    masked[10:20] += 3.0
    errors = compare_motion(wrong, masked, time, every, rooted)
    assert np.isfinite(errors["procrustes_mm"]).all()
    assert np.nanmax(errors["root_mm"]) < 1e-3
    assert np.isnan(errors["root_mm"][10:20]).all()
    assert np.isnan(errors["velocity_mm_s"][10:21]).all()
    masked[3, :6] = np.nan  # six known joints are too few
    assert np.isnan(compare_motion(wrong, masked, time, every)["procrustes_mm"][3])


def test_velocity_and_clip_errors_by_hand():
    """A wrist that goes 20 mm a frame too far at 30 fps: 600 mm/s over 12 joints."""
    drifting = limbs(frames=20)
    drifting[:, 4, 0] += 0.002 * np.arange(20)
    errors = compare_motion(drifting, limbs(frames=20), np.arange(20) / 30, np.ones(20, bool))
    np.testing.assert_allclose(errors["velocity_mm_s"][1:], 60 / 12, rtol=0.2)
    turning = limbs(frames=20)
    turning[10:] *= [-1, -1, 1]  # half a turn: one fit cannot serve both halves
    errors = compare_motion(turning, limbs(frames=20), np.arange(20) / 30, np.ones(20, bool))
    assert np.nanmean(errors["clip_mm"]) > 50
    assert np.nanmax(errors["procrustes_mm"]) < 1e-6


# -- reading -----------------------------------------------------------------------------------


def write_aist(path, frames=60, views=2):
    """A small multi-view track file: exact projections, one view half a frame late."""
    names = ["gBR_ch06", "gBR_ch07"]
    world = np.stack([np.zeros((frames, 17, 3))] * 2)
    for s in range(2):
        body = moving_body(frames, fps=60.0, seed=s)
        h36m = {n: body[:, i] for i, n in enumerate(H36M17.joints)}
        for j, name in enumerate(COCO17.joints):
            world[s, :, j] = h36m.get(name, body[:, 9])
    # Z up to camera axes; the camera 1.2 m high, 5 m in front (at -Y).
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    shift = -rotation @ np.array([0.0, -5.0, 1.2])
    offset = np.zeros((2, views), np.float32)
    offset[:, 1] = 0.5
    k = np.array([[1400.0, 0, 960], [0, 1400, 540], [0, 0, 1]])
    points = np.empty((2, views, frames, 17, 2))
    for s in range(2):
        for v in range(views):
            cam = moved_in_time(world[s], float(offset[s, v])) @ rotation.T + shift
            points[s, v] = cam[..., :2] / cam[..., 2:] * 1400 + [960, 540]
    in_range = np.ones((2, views, frames), bool)
    in_range[:, 1, -1] = False
    points[~in_range] = np.nan
    reliable = np.ones((2, frames, 17), bool)
    reliable[:, 30:35, COCO17.index["left_hip"]] = False
    np.savez(
        path,
        keypoints_px=points.astype(np.float32),
        score=np.full((2, views, frames, 17), 0.9, np.float16),
        joints_world_m=world.astype(np.float32),
        reliable=reliable,
        K=np.stack([k] * views),
        R=np.stack([rotation] * views),
        t=np.stack([shift] * views),
        time_offset_frames=offset,
        in_range=in_range,
        fps=60.0,
        size_wh=np.array([1920, 1080]),
        names=np.array(names),
        view_names=np.array(["c01", "c02"][:views]),
        joint_names=np.array(COCO17.joints),
        split=np.array(["val", "val"]),
    )
    return path


def test_aist_truth_projects_onto_its_keypoints(tmp_path):
    """Hips known: truth plus the pelvis must lie on the rays of the keypoints, offsets included."""
    clips = read_aist(write_aist(tmp_path / "aist.npz"), seconds=0.5)
    assert [c.action for c in clips] == ["upright", "upright", "floor work", "floor work"]
    assert {c.pose.n_frames for c in clips} == {30}
    for clip in read_aist(tmp_path / "aist.npz", seconds=None):
        # A view between two frames of the reference loses one more.
        assert clip.pose.n_frames - clip.rooted.sum() == (6 if clip.name.endswith("c02") else 5)
        points = grid(clip.pose).keypoints_px[:, 0, [COCO17.index[n] for n in LIMBS]].astype(float)
        rays = (points - [960, 540]) / 1400
        for f in np.flatnonzero(clip.rooted)[::7]:
            # x = (X + px) / (Z + pz): linear in the three numbers of the pelvis.
            x, y, z = clip.truth_m[f].T
            u, v = rays[f].T
            one, zero = np.ones(12), np.zeros(12)
            design = np.concatenate([np.stack([one, zero, -u], 1), np.stack([zero, one, -v], 1)])
            right = np.concatenate([u * z - x, v * z - y])
            pelvis, residual, *_ = np.linalg.lstsq(design, right, rcond=None)
            assert residual[0] < 1e-9
            assert 3 < pelvis[2] < 7
        assert np.isnan(clip.truth_m[30:35, HIPS[0]]).all()
        assert np.abs(clip.elevation_deg).max() < 20


@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.3])
def test_the_reference_is_moved_to_the_instant_of_the_view(offset):
    """A point at 2 t + 1 in frame t is at 2 (t + offset) + 1 a little later."""
    points = (2.0 * np.arange(6) + 1)[:, None, None].repeat(3, -1)
    moved = moved_in_time(points, offset)
    known = np.isfinite(moved[:, 0, 0])
    assert known.sum() == (6 if offset == 0 else 5)
    np.testing.assert_allclose(moved[known], (points + 2 * offset)[known])


def test_rendered_clips_bring_their_own_3d(tmp_path):
    (clip,) = read_clips(write_tracks(tmp_path / "tracks.npz"), "val")
    errors = compare_motion(clip.world_m, clip.truth_m, clip.pose.time_s, clip.used)
    assert np.nanmax(errors["procrustes_mm"]) < 1  # float16
    assert (clip.elevation_deg == 10).all()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "aist.npz").write_text("text")
    with pytest.raises(DataError, match=r"aist\.npz"):
        read_aist(tmp_path / "aist.npz")


# -- the generator -----------------------------------------------------------------------------


def test_given_cameras_are_the_drawn_ones():
    """film() and draw_shots() with cameras that stand still are the same pictures."""
    world = torch.from_numpy(moving_body(9)[None].repeat(40, 0)).float()
    world[..., 2] += 4  # so far above the floor that no camera has to be raised
    setups = draw_setups(40, torch.Generator().manual_seed(1))
    shots, still = draw_shots(world, torch.Generator().manual_seed(1)), film(world, setups)
    same = (shots.joints_cam_m - still.joints_cam_m).abs().amax((1, 2, 3)) < 1e-5
    assert 0.5 < same.float().mean() < 0.9  # three in ten move
    assert torch.equal(shots.elevation_rad, setups.elevation_rad)


def test_pieces_are_whole_fixed_and_of_every_recording(motion_file):
    pieces = cut_pieces(motion_file, seconds=1.0, rate=30.0, most=None, seed=0)
    assert pieces.joints_world_m.shape == (6 + 3, 30, 23, 3)  # 6.65 s and 3.3 s
    few = cut_pieces(motion_file, seconds=1.0, rate=30.0, most=4, seed=0)
    assert sorted(few.names) == ["00_01", "00_01", "02_01", "02_01"]
    fast = cut_pieces(motion_file, seconds=1.0, rate=60.0, most=4, seed=0)
    assert fast.names == few.names
    torch.testing.assert_close(fast.joints_world_m[:, ::2], few.joints_world_m)


def test_generated_clips_are_the_same_again_and_noisy(motion_file):
    pieces = cut_pieces(motion_file, seconds=1.0, rate=30.0, most=4, seed=0)
    a, b = (generate_clips(pieces, 30.0, None, seed=3) for _ in range(2))
    other = generate_clips(pieces, 30.0, None, seed=4)
    for x, y, z in zip(a, b, other, strict=True):
        np.testing.assert_array_equal(grid(x.pose).keypoints_px, grid(y.pose).keypoints_px)
        assert np.abs(grid(x.pose).keypoints_px - grid(z.pose).keypoints_px).max() > 1
        assert (np.abs(x.elevation_deg) < 61).all()


@pytest.mark.parametrize(
    ("view", "size", "place"),
    [
        (View(), (1280, 720), 0.5),
        (View(portrait=True), (720, 1280), 0.5),
        (View(edge=True), (1280, 720), 0.85),
        (View(height=0.25), (1280, 720), 0.5),
        (View(height=0.9), (1280, 720), 0.5),
    ],
)
def test_views_change_what_they_say(motion_file, view, size, place):
    """Size, place and height of the person in the picture; the 3D motion seen stays the same."""
    clips = film_view(motion_file, view, seconds=1.0, most=4, seed=0)
    base = film_view(motion_file, View(), seconds=1.0, most=4, seed=0)
    for i, (clip, plain) in enumerate(zip(clips, base, strict=True)):
        assert clip.pose.video.size_wh == size
        points = grid(clip.pose).keypoints_px[:, 0]
        middle = np.median(points[..., 0]) / size[0]
        assert middle == pytest.approx(place if i % 2 == 0 or place == 0.5 else 1 - place, abs=0.06)
        height = np.median(np.ptp(points[..., 1], axis=1)) / size[1]
        assert height == pytest.approx(view.height, rel=0.25)
        errors = compare_motion(clip.truth_m, plain.truth_m, clip.pose.time_s, clip.used)
        assert np.nanmax(errors["procrustes_mm"]) < 0.1
    rows = [view for rows in AXES.values() for view in rows.values()]
    assert len(set(rows)) == 7


# -- pooling -----------------------------------------------------------------------------------


def test_groups_by_hand():
    n = 6
    errors = {
        key: np.arange(n, dtype=float)
        for key in ("procrustes_mm", "clip_mm", "root_mm", "velocity_mm_s", "acceleration_mm_s2")
    }
    errors |= {name: np.zeros(n) for name in FLIPS}
    errors["joint_mm"] = np.arange(n * 12, dtype=float).reshape(n, 12)
    errors["true_angle_deg"] = np.tile([100.0] * 6 + [170.0, 178.0], (n, 1))
    errors["true_angle_deg"][3, 7] = np.nan
    errors["angle_off_deg"] = errors["true_angle_deg"] * 0 + [1, -1, 2, 2, 0, 0, -20, -10]
    errors["angle_off_deg"][2, 7] = np.nan  # our knee and ankle are at one place
    common = np.array([True, True, True, True, False, False])
    score = np.full((n, 12), 0.95)
    score[0] = 0.1
    labels = {
        "action": np.array(["walk", "walk", "run", "run", "run", "run"]),
        "elevation": np.array([0.0, 10, 10, 30, 30, np.nan]),
        "score": score,
        "used": np.ones(n, bool),
    }
    out = pool(errors, common, labels)
    assert out["procrustes_mm"] == 1.5
    assert out["by_action"] == {"run": [2.5, 2], "walk": [0.5, 2]}
    assert out["by_elevation"] == {"-5 to 5°": [0.0, 1], "5 to 20°": [1.5, 2], "over 20°": [3.0, 1]}
    assert out["by_score"] == {"0 to 0.3": [5.5, 12], "over 0.9": [29.5, 36]}
    assert out["joint_mm"]["left_shoulder"] == 18.0
    knees = (4 * 20 + 2 * 10) / 6
    assert out["angle_deg"] == pytest.approx({"elbow": 1, "shoulder": 2, "hip": 0, "knee": knees})
    assert out["straight_deg"] == {"knee": [150.0, 7]}  # four of 150, two of 168, one not known


# -- people and joints that cannot be seen -------------------------------------------------------


def tracks_of(clip, people):
    """What a perfect 2D network says of these people of a sample clip; their truth is its 3D guess."""
    truth = load_truth(truth_path(clip))
    frames = len(truth.visible)
    points = np.full((frames, len(people), 33, 2), np.nan, np.float32)
    world = np.full((frames, len(people), 33, 3), np.nan)
    for name in set(BLAZEPOSE33.joints) & set(H36M17.joints):
        i, j = BLAZEPOSE33.index[name], H36M17.index[name]
        points[:, :, i] = truth.keypoints_px[:, people, j]
        world[:, :, i] = truth.joints_cam_m[:, people, j] - truth.joints_cam_m[:, people, 0]
    points[:, :, np.isnan(points[0, 0, :, 0])] = points[:, :, [BLAZEPOSE33.index["left_shoulder"]]]
    alone = single_person(
        "clip", points[:, 0], np.ones(points[:, 0, :, 0].shape), BLAZEPOSE33, (960, 540), 30
    )
    pose = regrid(
        alone,
        person_ids=np.arange(1, len(people) + 1),
        boxes_xyxy_px=truth.boxes_xyxy_px[:, people],
        keypoints_px=points,
        score=np.ones(points.shape[:3]),
        valid=np.ones(points.shape[:2], bool),
    )
    return Tracks(pose=pose, world_m=to_rows(world))


def test_a_person_who_was_never_found_is_seen_in_the_figures(samples, monkeypatch):
    clip = samples / "two_people.mp4"
    monkeypatch.setattr(
        "pose3d.lab.evaluation.wild_clips.track_clip", lambda *_: tracks_of(clip, [0])
    )
    clips = track_samples(clip, RunOptions(), models=None)
    assert [c.name for c in clips] == ["two_people 0", "two_people 1"]
    assert [bool(grid(c.pose).valid.any()) for c in clips] == [True, False]
    options = RunOptions(place=False)
    result = evaluate_part("samples", clips, {"ours": small_lifter()}, options)
    assert result["never_found"] == ["two_people 1"]
    share = clips[0].used.sum() / sum(c.used.sum() for c in clips)
    for name in ("ours", WORLD):
        row = result["estimates"][name]
        assert row["covered"] == pytest.approx(share)
        assert [c["covered"] for c in row["by_clip"].values()] == [1.0, 0.0]
        assert [c["frames"] for c in row["by_clip"].values()] == [clips[0].used.sum(), 0]
    assert result["estimates"][WORLD]["procrustes_mm"] < 1e-3
    results = {"parts": {"samples": result}, "robustness": {}}
    text = Console(width=200, record=True)
    for table in wild_tables(results):
        text.print(table)
    assert "never found: two_people 1" in text.export_text()


def test_nobody_found_at_all_is_a_part_without_frames(samples, monkeypatch):
    clip = samples / "walk_turn.mp4"
    nobody = tracks_of(clip, [0])
    nobody = Tracks(pose=nobody.pose.select_people([]), world_m=nobody.world_m[:0])
    monkeypatch.setattr("pose3d.lab.evaluation.wild_clips.track_clip", lambda *_: nobody)
    clips = track_samples(clip, RunOptions(), models=None)
    result = evaluate_part("samples", clips, {"ours": small_lifter()}, RunOptions(place=False))
    assert result["frames"] == 0
    assert result["estimates"]["ours"]["covered"] == 0


def write_hidden_tracks(path):
    """Tracks with what hides joints: ankles outside in the first half, furniture before the last clip."""
    with np.load(write_tracks(path)) as z:
        data = dict(z)
    inside = np.ones(data["joints_px"].shape[:2], bool)
    start = data["starts"][1]
    inside[start : start + 35, [H36M17.index["left_ankle"], H36M17.index["right_ankle"]]] = False
    data |= {"in_frame": inside, "occluder": np.array([False, False, True])}
    data["split"] = np.array(["fit", "val", "val"])
    np.savez(path, **data)
    return path


def test_rendered_joints_are_grouped_by_what_hides_them(tmp_path):
    clips = list(read_clips(write_hidden_tracks(tmp_path / "tracks.npz"), "val"))
    outside, furniture, nothing = range(3)
    ankles = [LIMBS.index("left_ankle"), LIMBS.index("right_ankle")]
    assert (clips[0].occlusion[:35, ankles] == outside).all()
    assert (clips[0].occlusion == outside).sum() == 70
    assert (clips[0].occlusion[35:] == nothing).all()
    assert (clips[1].occlusion == furniture).all()
    result = evaluate_part("rendered", clips, {"ours": small_lifter()}, RunOptions(place=False))
    groups = result["estimates"]["ours"]["by_occlusion"]
    assert list(groups) == list(OCCLUSIONS)
    assert [n for _, n in groups.values()] == [70, 25 * 12, 70 * 12 - 70]  # half was not detected
    assert sum(n for _, n in groups.values()) == 12 * result["frames"]
    (plain,) = read_clips(write_tracks(tmp_path / "plain.npz"), "val")
    assert plain.occlusion is None  # the file does not tell
    result = evaluate_part("rendered", [plain], {"ours": small_lifter()}, RunOptions(place=False))
    assert result["estimates"]["ours"]["by_occlusion"] == {}


def test_flips_count_where_another_estimate_has_no_answer():
    """Bodies flip where they are hidden, and there the 2D network has no 3D of its own."""
    errors = {key: np.zeros(4) for key in (*MEANS, *FLIPS)} | {"joint_mm": np.zeros((4, 12))}
    errors |= {"angle_off_deg": np.zeros((4, 8)), "true_angle_deg": np.zeros((4, 8))}
    errors["body_flipped"] = np.array([0, 0, 1, np.nan])
    labels = {
        "action": np.array(["walk"] * 4),
        "elevation": np.zeros(4),
        "score": np.ones((4, 12)),
        "used": np.ones(4, bool),
        "clip": np.array(["a", "a", "b", "b"]),
    }
    out = pool(errors, np.array([True, True, False, False]), labels)
    assert out["body_flipped"] == pytest.approx(1 / 3)
    assert [c["body_flipped"] for c in out["by_clip"].values()] == [0.0, 1.0]


def test_a_body_turned_round_is_in_the_share_of_flipped_frames():
    """The 2D network's own 3D has its first ten frames turned by 180 degrees."""
    truth = limbs() @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Z up to camera axes
    guess = truth.copy()
    guess[:10] *= [-1, 1, -1]
    (clip,) = (
        TruthClip(
            name="turn",
            action="turn",
            pose=single_person("turn", p, np.ones(p.shape[:2]), H36M17, (960, 540), 30),
            truth_m=truth,
            rooted=np.ones(40, bool),
            used=np.ones(40, bool),
            elevation_deg=np.full(40, np.nan),
            world_m=guess,
        )
        for p in [400 + 100 * moving_body(40, fps=30.0)[:, :17, ::2]]
    )
    result = evaluate_part("samples", [clip], {"ours": small_lifter()}, RunOptions(place=False))
    row = result["estimates"][WORLD]
    assert row["body_flipped"] == row["by_clip"]["turn"]["body_flipped"] == 0.25
    assert row["sides_exchanged"] == row["depth_reversed"] == 0


# -- the whole ---------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    for part in ("mocap", "aist", "rendered"):
        (tmp_path / part).mkdir()
    splits = ["test", "train", "test"]
    write_motions(tmp_path / "mocap/cmu.npz", lengths=(400, 150, 200), splits=splits)
    write_aist(tmp_path / "aist/aist_break.npz")
    write_tracks(tmp_path / "rendered/tracks.npz")
    network = small_network()
    save_network(tmp_path / "small.safetensors", network.state_dict(), small_options())
    return tmp_path


def test_everything_there_is_evaluated(data, monkeypatch):
    monkeypatch.setattr("pose3d.lab.evaluation.wild.CLIP_S", 1.0)
    name = str(data / "small.safetensors")
    wild = WildOptions(lifters=(name,), pieces=3, aist_s=0.5, robust_pieces=2, robust_s=0.5)
    steps = []
    results = evaluate_wild(data, wild, on_step=lambda *s: steps.append(s))
    assert set(results["parts"]) == {"mocap", "aist", "rendered"}
    assert results["skipped"] == ["samples"]
    assert set(results["robustness"][name]) == set(AXES)
    assert results["parts"]["rendered"]["estimates"][WORLD]["procrustes_mm"] < 1
    assert results["parts"]["mocap"]["clips"] == 3
    assert {s[0].split()[0] for s in steps} == {"mocap", "aist", "rendered", "robustness"}
    assert json.loads(json.dumps(results)) == results
    text = Console(width=200, record=True)
    for table in wild_tables(results):
        text.print(table)
    assert (
        f"{results['parts']['aist']['estimates'][name]['procrustes_mm']:.1f}" in text.export_text()
    )


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(UsageError):
        load_lifters(("a", "a"), RunOptions())
    done = CliRunner().invoke(
        app, ["evaluate", "wild", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 1
    assert "holds none of mocap, aist, rendered, samples" in done.output


# -- samples that are not whole ----------------------------------------------------------------


def test_a_truth_without_its_video_is_named(tmp_path):
    """It used to count as a part without clips."""
    for name in ("a.mp4", "a.truth.npz", "without truth.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in find_samples(tmp_path)] == ["a.mp4"]
    assert find_samples(tmp_path / "none") == []
    (tmp_path / "b.truth.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.mp4"):
        find_samples(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text"])
def test_damaged_truths_are_refused_by_name(tmp_path, content):
    (tmp_path / "a.truth.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.truth\.npz"):
        track_samples(tmp_path / "a.mp4", RunOptions(), models=None)


def test_a_reference_without_the_split_is_refused(tmp_path):
    with pytest.raises(DataError):
        read_aist(write_aist(tmp_path / "aist.npz"), "fit")
    with np.load(write_aist(tmp_path / "aist.npz")) as z:
        data = {**z, "joint_names": z["joint_names"][::-1]}
    data["in_range"][0, 1] = False  # a view that saw nothing
    np.savez(tmp_path / "other.npz", **data)
    with pytest.raises(DataError):
        read_aist(tmp_path / "other.npz")
    np.savez(tmp_path / "other.npz", **{**data, "joint_names": np.array(COCO17.joints)})
    assert len(read_aist(tmp_path / "other.npz", seconds=0.5)) == 3
