"""Tracking: scripted people with known identities, and the crossing in our own clip."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33, COCO17, H36M17
from pose3d.networks2d.loading import make_detector, make_keypoints
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.tracking.clip import collect_tracks
from pose3d.tracking.stitching import Tracklet, clean_tracks, join_pieces
from pose3d.tracking.tracker import Tracker
from pose3d.video.reader import open_video
from tests.support.grids import grid
from tests.support.networks import limb_columns, require_blazepose
from tests.support.scripted import BLUE, BODY, GREEN, RED, SIZE_WH, Actor, World, line


@pytest.mark.parametrize("rate", [5, 10, 30, 60])
def test_crossing_keeps_both_people(rate):
    world = World(
        [
            Actor(line(200, 120), 220, RED),
            Actor(line(760, -120), 200, BLUE, hidden=(2.1, 2.6)),
        ],
        seconds=4.6,
        rate=rate,
    )
    pose = world.track()
    assert world.who(pose) == [[0], [1]]
    assert grid(pose).valid[:, 0].mean() > 0.95
    hidden = (pose.time_s >= 2.1) & (pose.time_s < 2.6)
    assert not grid(pose).valid[hidden, 1].any()
    assert grid(pose).valid[~hidden, 1].mean() > 0.85
    assert np.isnan(grid(pose).keypoints_px[hidden, 1]).all()
    assert np.isnan(grid(pose).score[hidden, 1]).all()


@pytest.mark.parametrize("speed", [0, 60, 150])
def test_one_second_behind_something_keeps_the_id(speed):
    world = World([Actor(line(200, speed), hidden=(1.5, 2.5))], seconds=4)
    pose = world.track()
    assert world.who(pose) == [[0]]
    assert grid(pose).valid[:44, 0].all()
    assert grid(pose).valid[90:, 0].all()
    assert not grid(pose).valid[45:75].any()


def test_after_a_second_out_of_sight_people_are_told_apart_by_colour():
    world = World(
        [
            Actor(line(430, 0), 200, RED, hidden=(1.5, 2.5)),
            Actor(line(530, 0), 200, BLUE, hidden=(1.5, 2.5)),
        ],
        seconds=4,
    )
    assert world.who(world.track()) == [[0], [1]]


def test_somebody_else_in_the_same_place_is_another_person():
    gone = Actor(lambda t: (480, 270) if t < 2 else None, 200, RED)
    new = Actor(lambda t: (490, 270) if t > 3 else None, 200, GREEN)
    world = World([gone, new], seconds=5)
    assert world.who(world.track()) == [[0], [1]]


def test_coming_back_later_is_a_new_person():
    actor = Actor(lambda t: None if 2 <= t < 7 else (480, 270))
    pose = World([actor], seconds=9).track()
    assert pose.person_ids.tolist() == [1, 2]
    assert not grid(pose).valid.all(1).any()


def test_ids_are_numbered_by_first_appearance():
    world = World(
        [
            Actor(lambda t: (700, 270) if t > 1.5 else None, 200, BLUE),
            Actor(line(200, 0), 200, RED),
        ],
        seconds=4,
    )
    assert world.who(world.track()) == [[1], [0]]


@pytest.mark.parametrize(
    "ghost",
    [
        Actor(lambda t: (700, 270) if 1 <= t < 1.2 else None, 150, BLUE),
        Actor(lambda t: (700, 270), 100, BLUE, score=0.55, presence=0.8),
        Actor(lambda t: (700, 270), 100, BLUE, score=0.72, presence=0.65),
        Actor(lambda t: (700, 270), 30, BLUE),
    ],
    ids=["short", "detector never sure", "still and doubtful", "tiny"],
)
def test_ghosts_are_removed(ghost):
    world = World([Actor(line(200, 30)), ghost], seconds=4)
    assert world.who(world.track(detect_every=3)) == [[0]]


@pytest.mark.parametrize("copies", [2, 3])
def test_one_person_reported_several_times_is_one_person(copies):
    world = World([Actor(line(200, 60))], seconds=3, boxes_per_person=copies)
    assert world.who(world.track(detect_every=2)) == [[0]]


def test_nobody():
    pose = World([], seconds=2).track()
    assert pose.n_people == 0
    assert grid(pose).keypoints_px.shape == (60, 0, 17, 2)
    assert grid(pose).valid.shape == (60, 0)


def test_a_clip_of_one_frame():
    pose = World([Actor(line(400, 0))], seconds=1 / 30).track()
    assert grid(pose).valid.tolist() == [[True]]


def test_no_frames_at_all():
    assert World([], seconds=0).track().n_frames == 0


def test_somebody_who_comes_late_is_found_within_the_interval():
    actor = Actor(lambda t: (400, 270) if t > 1.01 else None)
    pose = World([Actor(line(700, 0), colour=BLUE), actor], seconds=3).track(detect_every=10)
    first = int(np.flatnonzero(grid(pose).valid[:, 1])[0])
    assert 31 <= first <= 41


def test_detector_runs_only_when_needed():
    world = World([Actor(line(200, 50))], seconds=4)
    world.track(detect_every=20)
    assert world.looks == 6


def test_step_and_collect_see_the_same():
    actors = [Actor(line(200, 100), colour=RED), Actor(line(700, -30), colour=BLUE)]
    live: list[list[np.ndarray]] = []
    world = World(actors, seconds=2)
    info = VideoInfo(path="-", size_wh=SIZE_WH, rate=Fraction(30), n_frames=999)
    pose = collect_tracks(
        world.frames(),
        Tracker(world, world, rate=30),
        info,
        on_frame=lambda frame, people: live.append([p.keypoints_px for p in people]),
    ).pose
    np.testing.assert_array_equal(np.array(live, np.float32), grid(pose).keypoints_px)
    assert [r.stage for r in pose.made_by] == ["detect", "keypoints", "track"]
    assert pose.video.n_frames == 60


def tracklet(number: int, frames: np.ndarray, centre: np.ndarray, **changes) -> Tracklet:
    """Returns a track of a person of 200 pixels around ``centre``, ``(frame, 2)``."""
    keypoints = BODY * changes.pop("height", 200) + np.asarray(centre)[:, None]
    n = len(frames)
    values = {
        "id": number,
        "frames": frames,
        "boxes_xyxy_px": np.concatenate((keypoints.min(1), keypoints.max(1)), -1),
        "keypoints_px": keypoints,
        "score": np.ones((n, 17)),
        "presence": np.ones(n),
        "world_m": None,
        "colours": None,
        "support": 0.9,
    }
    return Tracklet(**{**values, **changes})


@pytest.mark.parametrize("seed", range(8))
def test_pieces_of_random_walks_are_joined_again(seed):
    rng = np.random.default_rng(seed)
    time_s = np.arange(240) / 30
    pieces = []
    for person in range(3):
        speed = rng.uniform(-60, 60)
        wobble = np.cumsum(rng.normal(0, 0.8, (240, 2)), axis=0)
        centre = np.stack((200 + 280 * person + speed * time_s, np.full(240, 270)), -1) + wobble
        cut = int(rng.integers(60, 180))
        colours = np.zeros(96, np.float32)
        colours[[person, 10]] = 0.5
        for start, end in ((0, cut), (cut + 15, 240)):
            frames = np.arange(start, end)
            pieces.append(tracklet(len(pieces) + 1, frames, centre[frames], colours=colours))
    joined = join_pieces([pieces[i] for i in rng.permutation(6)], time_s, COCO17)
    assert len(joined) == 3
    for track in joined:
        gap = np.abs(np.diff(track.keypoints_px.mean(1), axis=0)).max()
        assert gap < 60  # nobody's piece continues somebody else 280 pixels away
        assert (np.diff(track.frames) > 0).all()


def test_only_people_are_left_and_each_of_them_once():
    time_s = np.arange(120) / 30
    every, early, late = np.arange(120), np.arange(50), np.arange(70, 120)
    path = np.stack((200 + 60 * time_s, np.full(120, 270)), -1)
    aside = np.stack((700 + 60 * time_s, np.full(120, 270)), -1)
    messy = [
        tracklet(1, early, path[early]),
        tracklet(2, late, path[late]),  # the same person after a gap
        tracklet(3, late, path[late] + 15),  # and once more beside it
        tracklet(4, every, aside),
        tracklet(5, every, aside + [0, 60], height=90, support=0.7),  # legs of person 4
        tracklet(6, early, aside[early] - [0, 150], support=0.55),  # the detector was never sure
        tracklet(7, early, aside[early] + [0, 150], height=30),  # too small
        tracklet(8, every[:6], path[:6] + [0, 150]),  # too short
    ]
    people = clean_tracks(messy, time_s, COCO17)
    assert [p.id for p in people] == [1, 2]
    np.testing.assert_array_equal(people[0].frames, np.concatenate((early, late)))
    np.testing.assert_allclose(people[0].keypoints_px.mean(1)[-1], path[-1] + BODY.mean(0) * 200)
    np.testing.assert_array_equal(people[1].frames, every)
    np.testing.assert_allclose(people[1].keypoints_px, BODY * 200 + aside[:, None])


@pytest.mark.parametrize("seen", [1.0, 0.7])
def test_who_stands_before_another_is_kept_and_a_second_pose_is_not(seen):
    time_s = np.arange(60) / 30
    place = np.tile([300, 270], (60, 1))
    large = tracklet(1, np.arange(60), place, score=np.full((60, 17), 0.95))
    low = place[:50] + [0, 60]
    small = tracklet(2, np.arange(50), low, height=90, score=np.full((50, 17), seen))
    assert len(clean_tracks([large, small], time_s, COCO17)) == (2 if seen == 1 else 1)


@pytest.mark.parametrize("wrong", ["colour", "size", "place", "gap"])
def test_pieces_of_different_people_are_not_joined(wrong):
    time_s = np.arange(240) / 30
    red, blue = np.zeros((2, 96), np.float32)
    red[0] = blue[1] = 1
    start = 70 + (120 if wrong == "gap" else 0)
    place = [700 if wrong == "place" else 300, 270]
    one = tracklet(1, np.arange(60), np.tile([300, 270], (60, 1)), colours=red)
    two = tracklet(
        2,
        np.arange(start, start + 40),
        np.tile(place, (40, 1)),
        colours=blue if wrong == "colour" else red,
        height=80 if wrong == "size" else 200,
    )
    assert len(join_pieces([one, two], time_s, COCO17)) == 2


# -- the real networks ------------------------------------------------------------------------


def true_person(pose: PoseSequence, truth, frames: np.ndarray) -> np.ndarray:
    """Returns which true person each column is in each frame, -1 where absent, ``(frame, column)``."""
    ours = grid(pose).keypoints_px[:, :, None][..., limb_columns(BLAZEPOSE33), :]
    true = truth["keypoints_px"][frames][:, None][..., limb_columns(H36M17), :]
    gap = np.linalg.norm(ours - true, axis=-1).mean(-1)
    height = np.ptp(truth["keypoints_px"][frames, ..., 1], axis=-1)[:, None]
    relative = np.where(np.isfinite(gap), gap / height, np.inf)
    return np.where(relative.min(-1) < 0.12, relative.argmin(-1), -1)


def test_crossing_in_our_own_clip(samples):
    require_blazepose()
    truth = np.load(samples / "two_people.truth.npz")
    detector, estimator = make_detector("blazepose"), make_keypoints("blazepose")
    with open_video(samples / "two_people.mp4", start=0.8, end=3.2) as video:
        tracks = collect_tracks(video, Tracker(detector, estimator, rate=30), video.info)
    pose = tracks.pose
    frames = np.rint(pose.time_s * 30).astype(int)
    assert {int(f) for f in range(50, 65)} <= set(frames.tolist())
    assert pose.n_people == 2
    who = true_person(pose, truth, frames)
    for column in range(2):
        assert (who[grid(pose).valid[:, column], column] >= 0).all()
        assert len(np.unique(who[grid(pose).valid[:, column], column])) == 1  # no switch, ever
    assert who[0, 0] != who[0, 1]
    man = int(who[0, 1] == 0)
    assert grid(pose).valid[:, man].all()
    clearly = truth["visible_fraction"][frames, 1] > 0.95
    assert grid(pose).valid[clearly, 1 - man].mean() > 0.97
    assert tracks.world_m is not None
    assert np.isfinite(tracks.world_m[pose.valid]).all()


@pytest.mark.slow
def test_somersault_and_passer_by_keep_their_ids(shared):
    require_blazepose()
    detector, estimator = make_detector("blazepose"), make_keypoints("blazepose")
    with open_video(shared / "clips" / "two_people_roof_jump.mp4") as video:
        pose = collect_tracks(video, Tracker(detector, estimator, rate=30), video.info).pose
    assert pose.n_people == 2
    assert grid(pose).valid[:, 0].mean() >= 0.95  # the man is in view all the time
    assert grid(pose).valid[37:209, 1].mean() >= 0.95  # the woman, looked at by eye


@pytest.mark.slow
def test_people_one_by_one_are_six_people(shared):
    require_blazepose()
    detector, estimator = make_detector("blazepose"), make_keypoints("blazepose")
    with open_video(shared / "clips" / "people_one_by_one.mp4") as video:
        pose = collect_tracks(video, Tracker(detector, estimator, rate=10), video.info).pose
    assert pose.n_people == 6
    assert grid(pose).valid.sum(1).max() == 1
    assert not grid(pose).valid[:60].any()  # nobody is in the hall yet
