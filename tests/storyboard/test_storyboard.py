"""Key frames of motions whose key poses are known, and sheets that agree with their JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pose3d.body.skeletons import H36M17
from pose3d.errors import ResultFileError, UsageError, VideoError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import Lifter
from pose3d.lift.sequence import make_lifter
from pose3d.lift.tokens import read_tokens
from pose3d.render.style import get_style
from pose3d.result.record import Camera, PoseSequence, StageRecord, VideoInfo
from pose3d.storyboard.key_frames import (
    KeyFrame,
    KeyFrames,
    add_clock,
    choose_key_frames,
    cluster_clip,
    rank_frames,
)
from pose3d.storyboard.sheet import Crop, choose_columns, cut_picture, plan_crop
from pose3d.storyboard.storyboard import lifter_of, make_storyboard
from pose3d.storyboard.timeline import spread_out
from tests.cli.test_cli import Shell, shell, walk  # noqa: F401
from tests.support import ROOT
from tests.support.clips import make_clip
from tests.support.fakes import FakeLifter
from tests.support.grids import grid, regrid
from tests.support.lifters import small_lifter
from tests.support.samples import sample_pose

SCHEMA = json.loads((ROOT / "pose3d/storyboard/storyboard.schema.json").read_text())
SIZE_WH = (320, 240)
HOLDS = [(0, 24), (36, 60), (72, 96), (108, 132)]  # arms down, left up, both out, down again
N = 132
LIGHT = get_style("light")


def standing_m() -> np.ndarray:
    """Returns ``(17, 3)`` joints of a person who stands with hanging arms, about the pelvis."""
    place = {
        "right_hip": (-0.1, 0.0), "right_knee": (-0.11, 0.42), "right_ankle": (-0.12, 0.84),
        "left_hip": (0.1, 0.0), "left_knee": (0.11, 0.42), "left_ankle": (0.12, 0.84),
        "spine": (0.0, -0.24), "thorax": (0.0, -0.48), "neck_nose": (0.0, -0.58),
        "head_top": (0.0, -0.74), "left_shoulder": (0.17, -0.46), "left_elbow": (0.2, -0.18),
        "left_wrist": (0.22, 0.06), "right_shoulder": (-0.17, -0.46),
        "right_elbow": (-0.2, -0.18), "right_wrist": (-0.22, 0.06),
    }  # fmt: skip
    return np.array([(*place.get(name, (0.0, 0.0)), 0.0) for name in H36M17.joints])


def arms_at(left_rad: float, right_rad: float) -> np.ndarray:
    """Returns the standing person with straight arms lifted sideways (0: hanging)."""
    joints = standing_m()
    for side, angle, sign in (("left", left_rad, 1), ("right", right_rad, -1)):
        shoulder = joints[H36M17.index[f"{side}_shoulder"]]
        along = np.array([sign * np.sin(angle), np.cos(angle), 0.0])
        joints[H36M17.index[f"{side}_elbow"]] = shoulder + 0.28 * along
        joints[H36M17.index[f"{side}_wrist"]] = shoulder + 0.53 * along
    return joints


def gestures() -> np.ndarray:
    """Returns ``(132, 17, 3)``: four poses held, with movements of 12 frames between them."""
    poses = [(0.0, 0.0), (2.8, 0.0), (1.5, 1.5), (0.0, 0.0)]
    angles = np.zeros((N, 2))
    for k, (start, stop) in enumerate(HOLDS):
        angles[start:stop] = poses[k]
        if k:
            before = HOLDS[k - 1][1]
            ease = (1 - np.cos(np.pi * (np.arange(12) + 1) / 13))[:, None] / 2
            first, last = np.array(poses[k - 1]), np.array(poses[k])
            angles[before:start] = first + (last - first) * ease
    return np.stack([arms_at(*a) for a in angles])


def record(joints_m: np.ndarray, path: str = "gestures.mp4") -> PoseSequence:
    """Makes a result of one person 4 m in front of a camera that is seen exactly."""
    n, focal = len(joints_m), 0.8 * SIZE_WH[0]
    centre = np.array(SIZE_WH) / 2
    pixels = centre + focal * joints_m[..., :2] / (joints_m[..., 2:] + 4.0)
    return PoseSequence.from_dense(
        video=VideoInfo(path=path, size_wh=SIZE_WH, rate=Fraction(30), n_frames=n),
        time_s=np.arange(n) / 30,
        person_ids=np.array([1]),
        skeleton=H36M17,
        boxes_xyxy_px=np.concatenate([pixels.min(1), pixels.max(1)], -1)[:, None],
        keypoints_px=pixels[:, None],
        score=np.full((n, 1, 17), 0.9),
        joints_cam_m=joints_m[:, None],
        valid=np.ones((n, 1), bool),
    )


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return make_lifter("hot-mixste", device="cpu", offline=True)


@pytest.fixture(scope="module")
def pose() -> PoseSequence:
    return record(gestures())


# -- which frames ----------------------------------------------------------------------------------


def test_every_held_pose_has_one_key_frame(pose: PoseSequence, lifter: Lifter) -> None:
    """Four are wanted, four poses are held: one each, although the first comes back as the last."""
    (person,) = choose_key_frames(pose, lifter, count=4)
    holds = [k for f in person.frames for k, (a, b) in enumerate(HOLDS) if a <= f.frame < b]
    assert holds == [0, 1, 2, 3]


def test_more_frames_are_still_different_poses(pose: PoseSequence, lifter: Lifter) -> None:
    """Within a hold all poses are the same, so it never has two."""
    (person,) = choose_key_frames(pose, lifter, count=12)
    frames = [f.frame for f in person.frames]
    assert 4 <= len(frames) < 12
    for start, stop in HOLDS:
        assert sum(start <= f < stop for f in frames) == 1


def test_frames_are_sorted_and_stand_for_everything(pose: PoseSequence, lifter: Lifter) -> None:
    (person,) = choose_key_frames(pose, lifter, count=6)
    frames = [f.frame for f in person.frames]
    assert frames == sorted(set(frames))
    assert [f.time_s for f in person.frames] == [pose.time_s[f] for f in frames]
    assert sorted(f.rank for f in person.frames) == list(range(1, len(frames) + 1))
    covered = [i for f in person.frames for a, b in f.ranges for i in range(a, b)]
    assert sorted(covered) == list(range(N))
    for f in person.frames:
        assert any(a <= f.frame < b for a, b in f.ranges)
        assert f.size == sum(b - a for a, b in f.ranges)


def test_same_record_same_frames(pose: PoseSequence, lifter: Lifter) -> None:
    assert choose_key_frames(pose, lifter, count=6) == choose_key_frames(pose, lifter, count=6)


def test_one_person_does_not_change_another(pose: PoseSequence, lifter: Lifter) -> None:
    other = record(gestures()[::-1].copy())
    both = regrid(
        pose,
        person_ids=np.array([1, 2]),
        valid=np.ones((N, 2), bool),
        **{
            name: np.concatenate([getattr(grid(pose), name), getattr(grid(other), name)], 1)
            for name in ("boxes_xyxy_px", "keypoints_px", "score", "joints_cam_m")
        },
    )
    first, second = choose_key_frames(both, lifter, count=4)
    assert first == choose_key_frames(pose, lifter, count=4)[0]
    assert second.frames == choose_key_frames(other, lifter, count=4)[0].frames


def test_gaps_and_filled_in_frames_are_never_key_frames(lifter: Lifter) -> None:
    whole = record(gestures())
    gone, filled = slice(30, 70), slice(72, 96)
    arrays = {
        name: getattr(grid(whole), name).copy()
        for name in ("boxes_xyxy_px", "keypoints_px", "joints_cam_m", "valid")
    }
    for name in ("boxes_xyxy_px", "keypoints_px", "joints_cam_m"):
        arrays[name][gone] = np.nan
    arrays["valid"][gone] = arrays["valid"][filled] = False
    (person,) = choose_key_frames(regrid(whole, **arrays), lifter, count=8)
    frames = np.array([f.frame for f in person.frames])
    assert len(frames) >= 2
    assert not ((frames >= 30) & (frames < 70)).any()
    assert not ((frames >= 72) & (frames < 96)).any()
    covered = {i for f in person.frames for a, b in f.ranges for i in range(a, b)}
    assert covered == set(range(N)) - set(range(30, 70))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_short_clips(n: int, lifter: Lifter) -> None:
    (person,) = choose_key_frames(record(gestures()[36 : 36 + n]), lifter)
    assert len(person.frames) == 1


def test_who_is_never_there_has_none(pose: PoseSequence, lifter: Lifter) -> None:
    nan = {
        name: np.full_like(getattr(grid(pose), name), np.nan)
        for name in ("boxes_xyxy_px", "keypoints_px", "joints_cam_m")
    }
    absent = regrid(pose, valid=np.zeros((N, 1), bool), **nan)  # but has scores
    assert choose_key_frames(absent, lifter)[0].frames == ()
    assert choose_key_frames(regrid(absent, score=np.full((N, 1, 17), np.nan)), lifter) == []


def test_long_clips_are_clustered_in_steps() -> None:
    """Eight poses, each held for 700 frames: more than are clustered at once."""
    angles = np.repeat(np.linspace(0, 2.8, 8), 700)
    joints = np.stack([arms_at(a, 0.0) for a in np.linspace(0, 2.8, 8)])[np.arange(5600) // 700]
    rng = np.random.default_rng(3)
    features = np.stack([np.cos(angles), np.sin(angles)], -1) + rng.normal(0, 1e-4, (5600, 2))
    chosen, groups = cluster_clip(features, joints, np.ones(5600, bool), 8)
    assert sorted(c // 700 for c in chosen) == list(range(8))
    assert (groups // 700 == np.arange(5600) // 700).all()


def test_ranks_are_those_of_a_plain_density_peaks_clustering() -> None:
    rng = np.random.default_rng(0)
    space = rng.normal(size=(40, 5)).astype(np.float32)
    distance = np.linalg.norm(space[:, None] - space[None], axis=-1).astype(np.float64) / 5**0.5
    density = np.exp(-(np.sort(distance, 1)[:, 1] ** 2) / 2)
    order = np.lexsort((np.arange(40), -density))  # denser first, the earlier of equal ones
    score = np.empty(40)
    for place, i in enumerate(order):
        denser = distance[i, order[:place]]
        score[i] = density[i] * (denser.min() if place else distance.max())
    assert rank_frames(space.astype(np.float64), 10) == np.argsort(-score)[:10].tolist()


def test_clock_stands_still_with_the_person() -> None:
    joints = gestures()
    clock = add_clock(np.random.default_rng(0).normal(size=(N, 4)), joints, 4)[:, -1]
    for start, stop in HOLDS:
        assert clock[start] == clock[stop - 1]
    assert (np.diff(clock[23:37]) > 0).all()


# -- what the tokens say ---------------------------------------------------------------------------


def test_a_held_pose_has_one_description(lifter: Lifter) -> None:
    """Frames of a person who does not move differ only by their place, which is averaged out."""
    still = record(np.repeat(arms_at(0.5, 0.2)[None], 60, 0))
    (tokens,) = read_tokens(still, lifter)
    spread = np.abs(tokens.features - tokens.features[0]).max()
    assert spread < 1e-4 * np.abs(tokens.features).max()


@pytest.mark.parametrize("n", [5, 9, 31])
def test_windows_are_those_of_the_network(n: int) -> None:
    """Kept frames as a forward pass of each window gives them."""
    import torch

    from pose3d.lift.windows import cut_windows

    small = small_lifter(HourglassOptions(keep=(3,), at=(2,), heads=2))
    pose = record(gestures()[30 : 30 + n])
    pose = replace(pose, camera=Camera(focal_px=256.0, focal_source="given"))
    (tokens,) = read_tokens(pose, small)
    cut = cut_windows(n, small.frames)
    assert len(tokens.windows) == len(cut)
    for window, said in zip(cut, tokens.windows, strict=True):
        points = torch.from_numpy(grid(pose).keypoints_px[window.rows, 0].astype(np.float32))[None]
        score = torch.full((1, small.frames, 17), 0.9)
        inputs, _ = small.normalise(points, score, SIZE_WH, 256.0)
        with torch.inference_mode():
            index = small.network.forward_with_index(inputs)[1][0].numpy()
        assert said.kept == tuple(sorted(set(window.rows[index].tolist())))
        assert (said.start, said.stop) == (window.rows.min(), window.rows.max() + 1)


@pytest.mark.parametrize("rate", [5, 120])
def test_other_rates_keep_their_frame_numbers(rate: int, lifter: Lifter) -> None:
    every = record(gestures())
    pose = replace(
        every, video=replace(every.video, rate=Fraction(rate)), time_s=np.arange(N) / rate
    )
    (tokens,) = read_tokens(pose, lifter)
    assert np.isfinite(tokens.features).all()
    kept = {f for w in tokens.windows for f in w.kept}
    assert kept <= set(range(N))
    for w in tokens.windows:
        assert w.start <= min(w.kept)
        assert max(w.kept) < w.stop <= N
    (person,) = choose_key_frames(pose, lifter, count=4)
    assert {k for f in person.frames for k, (a, b) in enumerate(HOLDS) if a <= f.frame < b} == {
        0, 1, 2, 3,
    }  # fmt: skip


def test_lifters_that_prune_nothing_or_otherwise_will_do(pose: PoseSequence) -> None:
    plain = small_lifter()
    (person,) = choose_key_frames(pose, plain, count=4)
    assert person.frames
    assert person.windows == ()
    uniform = small_lifter(HourglassOptions(prune="uniform", keep=(3,), at=(2,), heads=2))
    (person,) = choose_key_frames(pose, uniform, count=4)
    assert person.windows[0].kept == (1, 4, 7)


def test_lifter_without_tokens_is_refused(pose: PoseSequence) -> None:
    with pytest.raises(UsageError, match="no frame tokens"):
        choose_key_frames(pose, FakeLifter())


def test_lifter_of_a_result_is_the_one_that_made_it(pose: PoseSequence) -> None:
    assert lifter_of(pose).lifter == "hot-mixste"
    made = StageRecord(
        stage="lift",
        name="x",
        version="0",
        weights="mixste.big",
        options={"prune": "motion", "keep": [5, 3], "at": [1, 2], "recover": "linear",
                 "keep_centre": False, "changes": ["pruned otherwise"]},
    )  # fmt: skip
    options = lifter_of(replace(pose, made_by=(made,)))
    assert (options.lifter, options.prune, options.keep, options.at) == (
        "mixste.big", "motion", "5,3", "1,2",
    )  # fmt: skip
    assert options.recover == "linear"


# -- the sheet -------------------------------------------------------------------------------------


def count_cards(image: np.ndarray, columns_px: range) -> int:
    """Counts bars of the timeline: runs of the person's colour in the strip's upper rows."""
    blue = (np.abs(image.astype(int) - (45, 118, 214)).max(-1) < 12)[:, columns_px]
    rows = np.flatnonzero(blue.sum(1))
    row = blue[rows[-1] - 12] if len(rows) else blue[0]
    return int((np.diff(np.concatenate([[0], row.astype(int)])) == 1).sum())


def test_json_agrees_with_the_sheet_and_the_schema(
    pose: PoseSequence, lifter: Lifter, tmp_path: Path
) -> None:
    told: list[str] = []
    board = make_storyboard(
        pose, tmp_path / "a" / "board.png", frames=6, lifter=lifter, on_warning=told.append
    )
    assert told == [
        "gestures.mp4 is not there any more, so the storyboard shows the people in 3D only"
    ]
    values = json.loads(board.listing.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(values)
    assert values["pictures_from"] is None
    assert values["lifter"]["keep"] == [12]
    (listed,) = values["people"]
    (person,) = choose_key_frames(pose, lifter, count=6)
    assert [k["frame"] for k in listed["key_frames"]] == [f.frame for f in person.frames]
    assert [k["stands_for"] for k in listed["key_frames"]] == [f.size for f in person.frames]
    image = cv2.imread(str(board.picture))[..., ::-1]
    strip = image[-140:-60]
    assert count_cards(strip, range(image.shape[1])) == len(person.frames)
    again = make_storyboard(pose, tmp_path / "b.png", frames=6, lifter=lifter)
    assert again.picture.read_bytes() == board.picture.read_bytes()


def test_pictures_are_those_of_the_key_frames(lifter: Lifter, tmp_path: Path) -> None:
    """The clip's white square is where it was in that very frame."""
    from pose3d.storyboard.storyboard import _collect_pictures

    clip = make_clip(tmp_path / "clip.mp4", n_frames=N, size_wh=SIZE_WH)
    pose = record(gestures(), str(clip.path))
    points = grid(pose).keypoints_px[:, 0]
    low, high = points.min(1) - 6, points.max(1) + 6  # crops are wider than the person
    rows = np.flatnonzero((clip.marker_px > low).all(1) & (clip.marker_px < high).all(1))[::3]
    assert len(rows) >= 2
    keys = tuple(
        KeyFrame(frame=int(row), time_s=row / 30, rank=k + 1, ranges=((int(row), int(row) + 1),))
        for k, row in enumerate(rows)
    )
    crop = plan_crop(pose, rows.tolist())
    size = np.array(crop.size_wh)
    person = KeyFrames(person_id=1, frames=keys, windows=())
    pictures = _collect_pictures(pose, [person], clip.path, LIGHT)
    assert set(pictures) == {(1, int(row)) for row in rows}
    for row in rows:
        picture = pictures[1, int(row)]
        assert picture.shape[:2] == crop.shown_wh[::-1]
        centre = (points[row].min(0) + points[row].max(0)) / 2
        corner = np.clip(centre, size / 2, np.array(SIZE_WH) - size / 2) - size / 2
        x, y = ((clip.marker_px[row] - corner) / size * crop.shown_wh).astype(int)
        assert picture[y - 3 : y + 4, x - 3 : x + 4].min() > 150


def test_a_person_at_the_edge_is_shown_from_the_edge(pose: PoseSequence) -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    image[:, :10] = 200
    points = grid(pose).keypoints_px.copy()
    points[..., 0] -= 150
    shifted = regrid(pose, keypoints_px=points)
    crop = Crop(size_wh=(100.0, 200.0), shown_wh=(100, 200))
    picture = cut_picture(image, shifted, 0, crop, LIGHT)
    assert (picture[:, :10] == 200).all()
    assert (picture[:, 10:] == 0).all()


@pytest.mark.parametrize("style", ["light", "dark"])
def test_sheets_of_several_people_and_without_places(
    style: str, samples: Path, lifter: Lifter, tmp_path: Path
) -> None:
    pose = sample_pose(samples, "two_people")
    pose = replace(pose, video=replace(pose.video, path=str(samples / "two_people.mp4")))
    pose = replace(pose, root_cam_m=None) if style == "dark" else pose
    board = make_storyboard(
        pose, tmp_path / "b.png", frames=3, person="all", lifter=lifter, style=style
    )
    assert [p.person_id for p in board.people] == [1, 2]
    assert json.loads(board.listing.read_text())["pictures_from"] == pose.video.path


def test_errors(pose: PoseSequence, lifter: Lifter, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="key frames"):
        choose_key_frames(pose, lifter, count=0)
    with pytest.raises(UsageError, match="no 3D joints"):
        choose_key_frames(replace(pose, joints_cam_m=None), lifter)
    with pytest.raises(UsageError, match=r"\.png"):
        make_storyboard(pose, tmp_path / "x.jpg", lifter=lifter)
    with pytest.raises(UsageError, match="no person 7"):
        make_storyboard(pose, tmp_path / "x.png", lifter=lifter, person="7")
    with pytest.raises(UsageError, match="Nobody was found"):
        make_storyboard(pose.select_people([]), tmp_path / "x.png", lifter=lifter)
    with pytest.raises(VideoError):
        make_storyboard(pose, tmp_path / "x.png", lifter=lifter, video=tmp_path / "none.mp4")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultFileError, match="cannot be written"):
        make_storyboard(pose, tmp_path / "file" / "x.png", lifter=lifter)
    assert not list(tmp_path.glob("*.png"))


# -- details ---------------------------------------------------------------------------------------


def test_labels_keep_their_distance_and_order() -> None:
    spots = [0.0, 1.0, 2.0, 50.0, 99.0, 100.0]
    placed = spread_out(spots, 10.0, 5.0, 95.0)
    assert placed == sorted(placed)
    assert np.diff(placed).min() >= 10 - 1e-9
    assert min(placed) >= 5
    assert max(placed) <= 95
    assert placed[3] == 50.0
    assert spread_out([1.0] * 20, 10.0, 0.0, 95.0) == np.linspace(0, 95, 20).tolist()
    assert spread_out([], 10.0, 0.0, 95.0) == []


def test_choose_columns() -> None:
    assert choose_columns(12, (460, 386)) == 4
    assert choose_columns(1, (460, 386)) == 1


# -- the command -----------------------------------------------------------------------------------


def test_command_on_a_result(shell: Shell, pose: PoseSequence) -> None:  # noqa: F811
    Path("out/wave").mkdir(parents=True)
    pose.save("out/wave/pose.npz")
    assert shell("storyboard out/wave -n 4") == 0
    assert shell.out.split() == ["out/wave/storyboard.png", "out/wave/storyboard.json"]
    assert "shows the people in 3D only" in shell.err
    assert shell("storyboard out/wave") == 2
    assert "storyboard.png exists. Use --overwrite" in shell.err
    assert shell("storyboard out/wave/pose.npz -n 4 -q -o one.png --style dark") == 0
    assert shell.out == ""
    assert Path("one.json").is_file()
    assert shell("storyboard out/wave -o boards") == 0
    assert Path("boards/wave/storyboard.json").is_file()
    assert "key frames instead of 12" in shell.out


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("missing.mp4", 1, "There is no file or folder missing.mp4"),
        ("missing.npz", 1, "missing.npz cannot be read"),
        ("walk.mp4 --frames 0", 2, "--frames is 0. Give a whole number from 1."),
        ("walk.mp4 --style drak", 2, "Did you mean 'dark'?"),
        ("walk.mp4 other.mp4", 2, "walk.mp4 is a video already"),
        ("walk.mp4 --person me", 2, "--person 'me' is not understood"),
        ("0", 2, "0 is a camera"),
        ("text.mp4", 1, "text.mp4"),
    ],
)
def test_command_messages(
    shell: Shell,  # noqa: F811
    walk: Path,  # noqa: F811
    line: str,
    code: int,
    text: str,
) -> None:
    Path("text.mp4").write_text("no video at all")
    assert shell(f"storyboard {line} --offline") == code
    assert text in shell.err
    assert len(shell.err.splitlines()) == 1
