"""One-stage estimators and box trackers, on scripted people: who is who is known."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17
from pose3d.errors import MissingExtraError, UsageError
from pose3d.networks2d.interfaces import (
    Detections,
    Keypoints,
    OneStageEstimator,
    OneStageNetwork,
)
from pose3d.networks2d.loading import finds_people_itself, make_detector, make_keypoints
from pose3d.networks2d.one_stage import Lookahead, OnePass
from pose3d.options import RunOptions
from pose3d.parts.table import list_models
from pose3d.pipeline import estimate as pipeline
from pose3d.plugins import PARTS
from pose3d.result.record import VideoInfo
from pose3d.tracking.box_tracker import BoxTracker
from pose3d.tracking.clip import collect_tracks, make_tracker
from pose3d.video.reader import VideoFrame
from tests.support.grids import grid
from tests.support.scripted import BLUE, BODY, INFO, RED, SIZE_WH, Actor, World, line

BATCH = 4


class OneStageWorld(World):
    """The scripted world as a one-stage network: it sees everybody in whole pictures, in any order.

    Pictures are looked at before the tracker gets to them, so each carries its time in one pixel.
    """

    def frames(self):
        self.batches: list[int] = []
        for frame in super().frames():
            frame.image[0, 0] = [frame.index // 256, frame.index % 256, 77]
            yield frame

    def batch_for(self, image: np.ndarray) -> int:
        return BATCH

    def find_people(self, images: Sequence[np.ndarray]) -> list[Keypoints]:
        self.batches.append(len(images))
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> Keypoints:
        assert image[0, 0, 2] == 77
        index = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        seen = [(a.seen(index / self.rate), a) for a in self.actors]
        # Best first is all that a network promises: the order changes from frame to frame.
        seen = [s for s in seen if s[0] is not None][:: 1 if index % 2 else -1]
        poses = np.array([pose for pose, _ in seen], np.float32).reshape(-1, 17, 2)
        score = np.array([actor.score for _, actor in seen], np.float32)
        return Keypoints(
            keypoints_px=poses,
            score=np.repeat(score[:, None], 17, 1),
            presence=score,
            boxes_xyxy_px=np.concatenate((poses.min(1), poses.max(1)), -1),
        )

    def detect(self, image: np.ndarray) -> Detections:
        raise AssertionError("a detector was run")

    estimate = detect

    def track(self, name: str = "own", **options):
        one = OnePass(self)
        tracker = make_tracker(name, one, one, rate=self.rate, **options)
        info = VideoInfo(path="-", size_wh=SIZE_WH, rate=Fraction(self.rate), n_frames=0)
        return collect_tracks(self.frames(), tracker, info).pose


def truth(actor: Actor, n: int, rate: int = 30) -> np.ndarray:
    return np.array([actor.pose(i / rate) for i in range(n)])


def test_a_one_stage_network_is_followed_without_a_detector():
    actors = [Actor(line(200, 60), colour=RED), Actor(line(700, -60), colour=BLUE, height=150)]
    world = OneStageWorld(actors, seconds=3)
    pose = world.track()
    assert pose.n_people == 2
    assert grid(pose).valid.all()  # from the first frame on, not only when a detector would be due
    for column, actor in enumerate(actors):
        gaps = [np.abs(grid(pose).keypoints_px[:, c] - truth(actor, 90)).max() for c in range(2)]
        assert min(gaps) < 1e-3, column  # one column is this person in every frame, to the bit
    assert world.batches[:-1] == [BATCH] * 22
    assert sum(world.batches) == 90  # every picture once


def test_people_who_cross_stay_who_they_are():
    actors = [Actor(line(250, 150), colour=RED), Actor(line(700, -150), colour=BLUE, height=170)]
    pose = OneStageWorld(actors, seconds=3).track()
    assert pose.n_people == 2
    assert grid(pose).valid.mean() > 0.9  # where one stands exactly before the other they are one
    for column in range(2):
        seen = grid(pose).valid[:, column]
        gaps = [
            np.abs(grid(pose).keypoints_px[:, column] - truth(a, 90))[seen].max() for a in actors
        ]
        assert min(gaps) < 1e-3


def test_somebody_who_comes_later_is_seen_at_once():
    late = Actor(lambda t: (700, 280) if t >= 1.09 else None, colour=BLUE)
    pose = OneStageWorld([Actor(line(200, 30)), late], seconds=2).track(detect_every=15)
    assert pose.n_people == 2
    assert int(np.flatnonzero(grid(pose).valid[:, 1])[0]) == 33


def test_doubtful_boxes_are_nobody():
    world = OneStageWorld([Actor(line(200, 30)), Actor(line(600, 0), score=0.2)], seconds=1)
    assert world.track().n_people == 1


def test_each_person_is_given_to_one_box():
    world = OneStageWorld([Actor(line(300, 0)), Actor(line(500, 0))], seconds=1)
    one = OnePass(world)
    frame = next(world.frames())
    (a, b) = (actor.pose(0.0) for actor in world.actors)
    asked = np.array(
        [[*b.min(0), *b.max(0)], [*(b.min(0) + 6), *(b.max(0) + 6)], [20, 20, 60, 90]], np.float32
    )
    seen = one.estimate(frame.image, Detections(boxes_xyxy_px=asked, score=np.ones(3, np.float32)))
    np.testing.assert_allclose(seen.keypoints_px[0], b, rtol=1e-6)
    assert seen.presence.tolist() == pytest.approx([0.95, 0, 0])  # and nobody in the other two
    assert (seen.keypoints_px[2] == [40, 55]).all()
    assert (seen.score[1:] == 0).all()
    assert not np.allclose(seen.keypoints_px, a)


def test_nobody_at_all():
    world = OneStageWorld([Actor(lambda t: None)], seconds=1)
    assert world.track().n_people == 0
    one = OnePass(world)
    frame = next(world.frames())
    assert len(one.detect(frame.image)) == 0
    assert len(one.estimate(frame.image, Detections.none())) == 0
    asked = Detections(boxes_xyxy_px=np.float32([[0, 0, 9, 9]]), score=np.float32([1]))
    assert one.estimate(frame.image, asked).presence.tolist() == [0]


def test_a_one_pass_is_detector_and_estimator():
    world = OneStageWorld([Actor(line(300, 0))], seconds=1)
    assert isinstance(world, OneStageNetwork)
    assert not isinstance(world, OneStageEstimator)
    assert isinstance(OnePass(world), OneStageEstimator)


def test_step_by_step_is_the_same_as_in_batches():
    actors = [Actor(line(250, 120), colour=RED), Actor(line(700, -100), colour=BLUE)]
    whole = OneStageWorld(actors, seconds=1).track()
    world = OneStageWorld(actors, seconds=1)
    one = OnePass(world)
    tracker = make_tracker("own", one, one, rate=30)
    live = [[p.keypoints_px for p in tracker.step(frame)] for frame in world.frames()]
    np.testing.assert_array_equal(np.array(live, np.float32), grid(whole).keypoints_px)
    assert world.batches == [1] * 30  # asked several times a frame, run once


def test_looking_ahead_answers_each_picture_with_its_own():
    images = [np.full((2, 2, 3), i, np.uint8) for i in range(7)]
    runs: list[int] = []

    def look(batch):
        runs.append(len(batch))
        return [int(image[0, 0, 0]) for image in batch]

    ahead: Lookahead[int] = Lookahead(look, lambda image: 3)
    frames = [VideoFrame(index=i, time_s=i / 9, image=image) for i, image in enumerate(images)]
    for frame in ahead.ahead(frames):
        assert ahead(frame.image) == frame.index
    assert runs == [3, 3, 1]
    assert ahead(images[2]) == 2  # gone from memory: looked at again
    assert runs == [3, 3, 1, 1]


class InOrder:
    """Links boxes by a list of numbers for each frame."""

    name = "in-order"

    def __init__(self, numbers: list[list[int]]) -> None:
        self.options: dict[str, object] = {"patience": 3}
        self.numbers = list(numbers)
        self.scores: list[list[float]] = []

    def link(self, image: np.ndarray, found: Detections) -> np.ndarray:
        self.scores.append([round(float(s), 2) for s in found.score])
        return np.array(self.numbers.pop(0)[: len(found)], int)


def test_box_tracker_gives_people_the_numbers_of_their_boxes():
    world = World([Actor(line(600, 0)), Actor(line(200, 0)), Actor(line(400, 0))], seconds=2 / 30)
    tracker = BoxTracker(world, world, InOrder([[7, 3, 0], [3, 7, 0]]))
    first, second = (tracker.step(frame) for frame in world.frames())
    assert [p.track_id for p in first] == [p.track_id for p in second] == [3, 7]
    left = [[p.keypoints_px[:, 0].mean() for p in people] for people in (first, second)]
    np.testing.assert_allclose(left, [[200, 600], [600, 200]], atol=5)
    assert world.looks == 2


def test_box_tracker_leaves_out_whom_the_estimator_does_not_see():
    world = World([Actor(line(200, 0)), Actor(line(600, 0), presence=0.3)], seconds=1 / 30)
    (people,) = (
        BoxTracker(world, world, InOrder([[1, 2]])).step(frame) for frame in world.frames()
    )
    assert [p.track_id for p in people] == [1]


def test_box_tracker_hands_doubtful_people_of_one_stage_networks_to_the_linker():
    world = OneStageWorld([Actor(line(200, 0)), Actor(line(600, 0), score=0.2)], seconds=1 / 30)
    linker, one = InOrder([[1, 2]]), OnePass(world)
    (people,) = (BoxTracker(one, one, linker).step(frame) for frame in world.frames())
    assert sorted(linker.scores[0]) == [0.2, 0.95]
    assert len(people) == 2
    assert sorted(round(float(p.support), 2) for p in people) == [0.2, 0.95]


class Turned(World):
    """An estimator that looks into regions, and tells only after a look how somebody lies."""

    def estimate(self, image, people):
        self.asked = [*getattr(self, "asked", []), people.regions.copy()]
        seen = super().estimate(image, people)
        turned = people.regions + np.float32([0, 0, 0, 0.5])
        return replace(seen, regions=turned)


def test_box_tracker_looks_again_where_boxes_say_too_little():
    world = Turned([Actor(line(200, 0))], seconds=1 / 30)
    tracker = BoxTracker(world, world, InOrder([[1]]))
    for frame in world.frames():
        tracker.step(frame)
    assert [round(float(r[0, 3]), 3) for r in world.asked] == [0, 0.5]
    longer = 1.25 * np.ptp(BODY, axis=0).max() * 200
    assert world.asked[0][0, 2] == pytest.approx(longer, rel=0.01)


class Network:
    """A one-stage estimator that is made by name."""

    ARGUMENT = "FILE"
    info, skeleton = INFO, COCO17

    def __init__(self, **_: object) -> None: ...

    def find_people(self, images):
        return []

    def batch_for(self, image):
        return 1


def test_no_detector_is_made_for_a_one_stage_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("one_stage")
    module.Network = Network
    monkeypatch.setitem(sys.modules, "one_stage", module)
    monkeypatch.setitem(PARTS["keypoints"], "onestage", "one_stage:Network")
    monkeypatch.setattr(pipeline, "make_detector", None)
    assert finds_people_itself("onestage:FILE")
    assert not finds_people_itself("blazepose")
    models = pipeline.load_models(RunOptions(keypoints="onestage:x", device="cpu"))
    assert models.detector is models.estimator
    assert isinstance(models.estimator, OnePass)


def test_unknown_tracker():
    with pytest.raises(UsageError, match="Did you mean 'bytetrack'"):
        RunOptions(tracker="bytetrak")


@pytest.fixture
def _without_ultralytics(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ultralytics", None)


@pytest.mark.usefixtures("_without_ultralytics")
def test_without_the_extra_the_licence_and_the_command_are_named():
    for make in (
        lambda: make_keypoints("yolo"),
        lambda: make_detector("yolo:yolo11n.pt"),
        lambda: make_tracker("bytetrack", None, None, rate=30),
        lambda: pipeline.load_models(RunOptions(tracker="botsort", device="cpu")),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install .*'ultralytics>=.*AGPL-3\.0"):
            make()
    rows = [row for row in list_models() if row.name == "yolo"]
    assert [row.kind for row in rows] == ["detector", "keypoints"]
    for row in rows:
        assert row.licence == "AGPL-3.0"
        assert "not installed" in row.state
