"""The library's three ways in: estimate, stream, lift_keypoints; and the choice of people."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import pose3d
from pose3d.body.skeletons import H36M17
from pose3d.cleaning.poses import LIVE_BETA, LIVE_CUTOFF_HZ
from pose3d.errors import UsageError
from pose3d.options import RunOptions
from pose3d.pipeline.estimate import (
    choose_people,
    estimate,
    lift_keypoints,
    make_tracker_for,
    track,
)
from pose3d.pipeline.live import LiveLifter, stream
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.video.reader import open_video
from tests.support import fakes
from tests.support.clips import make_clip
from tests.support.grids import grid
from tests.support.networks import require_blazepose
from tests.support.smoothing import one_euro


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    make_clip(path, n_frames=20, size_wh=fakes.SIZE_WH)
    return path


def crowd() -> PoseSequence:
    """Person 1 is small and always there, person 2 large and there for half of the time."""
    boxes = np.full((10, 2, 4), np.nan)
    boxes[:, 0] = (0, 0, 10, 20)
    boxes[:5, 1] = (50, 0, 110, 100)
    valid = np.isfinite(boxes[..., 0])
    return PoseSequence.from_dense(
        video=VideoInfo(path="x", size_wh=(200, 100), rate=Fraction(30), n_frames=10),
        time_s=np.arange(10) / 30,
        person_ids=np.array([1, 2]),
        skeleton=H36M17,
        boxes_xyxy_px=boxes,
        valid=valid,
    )


@pytest.mark.parametrize(
    ("person", "ids"),
    [("all", [1, 2]), ("largest", [2]), ("longest", [1]), ("2", [2]), ("2,1", [2, 1])],
)
def test_people_are_chosen(person: str, ids: list[int]) -> None:
    assert choose_people(crowd(), person).person_ids.tolist() == ids


def test_somebody_who_is_not_there() -> None:
    with pytest.raises(UsageError, match="person 3"):
        choose_people(crowd(), "1,3")


@pytest.mark.parametrize("person", ["all", "largest", "longest"])
def test_nobody_can_be_chosen_from_nobody(person: str) -> None:
    assert choose_people(crowd().select_people([]), person).n_people == 0


def test_estimate_says_what_was_done(clip: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    models = fakes.load_fakes(RunOptions())
    pose = estimate(clip, models=models, on_progress=lambda *a: seen.append(a))
    assert pose.n_frames == pose.video.n_frames == 20
    assert pose.n_people == 1
    assert grid(pose).valid.all()
    stages = [record.stage for record in pose.made_by]
    assert stages == [
        *("detect", "keypoints", "track", "clean", "lift", "smooth", "smooth", "place")
    ]
    assert [s for s in seen if s[0] == "2D"] == [("2D", i, 20) for i in range(1, 21)]
    assert seen[-1] == ("3D", 20, 20)


def test_single_options_by_name(clip: Path) -> None:
    models = fakes.load_fakes(RunOptions())
    pose = estimate(
        clip, RunOptions(smooth=False), models=models, place=False, constant_bones=False
    )
    assert [record.stage for record in pose.made_by][-2:] == ["clean", "lift"]
    assert grid(pose).root_cam_m is None
    with pytest.raises(UsageError, match="'smooth'"):
        estimate(clip, models=models, smoth=True)


def test_estimate_is_track_then_lift(clip: Path) -> None:
    options, models = RunOptions(), fakes.load_fakes(RunOptions())
    whole = estimate(clip, options, models=models)
    halves = lift_keypoints(track(clip, options, models), options, models=models)
    np.testing.assert_array_equal(grid(whole).joints_cam_m, grid(halves).joints_cam_m)
    np.testing.assert_array_equal(grid(whole).root_cam_m, grid(halves).root_cam_m)


def test_stream_gives_every_frame_at_once(clip: Path) -> None:
    """The fake lifter answers by a formula, which is computed here by hand."""
    models = fakes.load_fakes(RunOptions())
    moments = list(stream(clip, models=models, smooth=False))
    assert [m.frame.index for m in moments] == list(range(20))
    assert {p.person_id for m in moments for p in m.people} == {1}
    for moment in moments:
        (person,) = moment.people
        pelvis = person.keypoints_px[0]
        expected = (person.keypoints_px - pelvis) * 1.7 / (fakes.BOX[3] - fakes.BOX[1])
        np.testing.assert_allclose(person.joints_cam_m[:, :2], expected, atol=1e-5)


@pytest.mark.parametrize("skip", [1, 2])
def test_stream_lifts_the_past_and_gives_its_end(clip: Path, skip: int) -> None:
    """With weights for half the clip's rate every second frame of the past."""
    windows: list[np.ndarray] = []

    class Watched(fakes.FakeLifter):
        def lift_windows(self, keypoints_px, *rest, **more):
            windows.append(keypoints_px)
            return super().lift_windows(keypoints_px, *rest, **more)

    moving = itertools.count()

    class Moving(fakes.FakeKeypoints):
        def estimate(self, image, people):
            seen = super().estimate(image, people)
            shift = next(moving) if len(people) else 0.0
            return replace(seen, keypoints_px=seen.keypoints_px * np.float32(1 + 0.001 * shift))

    models = replace(fakes.load_fakes(RunOptions()), lifter=Watched(), estimator=Moving())
    with open_video(clip) as reader:
        rate = float(reader.info.rate)
    slow = replace(models.lifter.options, rate_range=(rate / skip / 2, rate / skip))
    models = replace(models, lifter=replace(models.lifter, options=slow))
    moments = list(stream(clip, models=models, detect_every=100, smooth=False))
    assert len(moments) == 20
    assert all(w.shape == (1, 9, 17, 2) for w in windows)
    first, last = windows[0][0, :, 0, 0], windows[-1][0, :, 0, 0]
    assert np.ptp(first) == 0  # before the first frame there is nothing: it is held
    seen = [float(m.people[0].keypoints_px[0, 0]) for m in moments]
    np.testing.assert_array_equal(last, seen[-1 - 8 * skip :: skip])
    assert (np.diff(last) > 0).all()
    for window, moment in zip(windows, moments, strict=True):
        (person,) = moment.people
        np.testing.assert_array_equal(window[0, -1], person.keypoints_px)
        newest = super(Watched, models.lifter).lift_windows(window, None, None, 0.0)[0, -1]
        np.testing.assert_array_equal(person.joints_cam_m, newest)


def test_frames_that_were_dropped_are_filled_in(clip: Path) -> None:
    """A past with gaps is that of a motion at the clip's rate; who moves evenly, does."""
    windows: list[np.ndarray] = []

    class Watched(fakes.FakeLifter):
        def lift_windows(self, keypoints_px, *rest, **more):
            windows.append(keypoints_px)
            return super().lift_windows(keypoints_px, *rest, **more)

    options = RunOptions(smooth=False)
    models = replace(fakes.load_fakes(options), lifter=Watched())
    with open_video(clip) as reader:
        rate = float(reader.info.rate)
        tracker, lifter = (
            make_tracker_for(options, models, reader),
            LiveLifter(options, models, reader),
        )
        for frame in reader:
            seen = tracker.step(frame)
            if frame.index in (2, 3, 6, 7, 8):
                continue
            moved = [
                replace(o, keypoints_px=o.keypoints_px + np.float32(frame.index)) for o in seen
            ]
            lifter.step(moved, frame.time_s)
            last = frame.index
    assert rate == 30
    shift = windows[-1][0, :, 0, 0] - windows[0][0, -1, 0, 0]
    np.testing.assert_allclose(shift, np.arange(last - 8, last + 1), atol=1e-4)
    early = windows[2][0, :, 0, 0] - windows[0][0, -1, 0, 0]  # of frame 4: before it 0 was held
    np.testing.assert_allclose(early, [0, 0, 0, 0, 0, 1, 2, 3, 4], atol=1e-4)


def test_stream_steadies_each_person_as_the_filter_does_a_recording(clip: Path) -> None:
    shaking = np.random.default_rng(0)

    class Shaking(fakes.FakeLifter):
        def lift_windows(self, keypoints_px, *rest, **more):
            answer = super().lift_windows(keypoints_px, *rest, **more)
            return answer + shaking.normal(0, 0.02, answer.shape).astype(np.float32)

    def joints(**options) -> np.ndarray:
        nonlocal shaking
        shaking = np.random.default_rng(0)
        models = replace(fakes.load_fakes(RunOptions()), lifter=Shaking())
        moments = list(stream(clip, models=models, **options))
        times.append([m.frame.time_s for m in moments])
        return np.stack([m.people[0].joints_cam_m for m in moments])

    times: list[list[float]] = []
    raw, steady = joints(smooth=False), joints(smooth_strength=0.5)
    expected = one_euro(raw, times[0], min_cutoff_hz=LIVE_CUTOFF_HZ, beta=LIVE_BETA)
    np.testing.assert_allclose(steady, expected, atol=1e-6)
    assert np.diff(steady, 2, axis=0).std() < 0.6 * np.diff(raw, 2, axis=0).std()
    strong = joints(smooth_strength=1.0)
    assert np.diff(strong, 2, axis=0).std() < 0.6 * np.diff(steady, 2, axis=0).std()


def test_stream_refuses_what_only_the_end_tells(clip: Path) -> None:
    with pytest.raises(UsageError, match="--person"):
        next(stream(clip, models=fakes.load_fakes(RunOptions()), person="largest"))


def test_a_wrist_rises_in_3d_when_it_rises_on_screen(samples: Path) -> None:
    """Real networks on a jumping jack: a check that a person can make by eye."""
    require_blazepose()
    pose = pose3d.estimate(samples / "portrait_phone.mp4", end=2.0)
    truth = np.load(samples / "portrait_phone.truth.npz")["keypoints_px"][: pose.n_frames, 0]
    assert grid(pose).joints_cam_m is not None
    assert pose.n_people == 1
    for side in ("left", "right"):
        wrist, shoulder = H36M17.index[f"{side}_wrist"], H36M17.index[f"{side}_shoulder"]
        on_screen = truth[:, wrist, 1] - truth[:, shoulder, 1]
        in_space = (
            grid(pose).joints_cam_m[:, 0, wrist, 1] - grid(pose).joints_cam_m[:, 0, shoulder, 1]
        )
        assert np.ptp(on_screen) > 300
        assert np.corrcoef(on_screen, in_space)[0, 1] > 0.95


class HeadOnly(fakes.FakeKeypoints):
    """Sees head and shoulders, or a thing with another outline than a body's."""

    def __init__(self, seen: int = 13, on_mask: float = 1.0) -> None:
        self.seen, self.on_mask = seen, on_mask

    def estimate(self, image, people):
        answer = super().estimate(image, people)
        score = np.where(np.arange(33) < self.seen, answer.score, 0.05).astype(np.float32)
        return replace(answer, score=score, on_mask=np.full_like(score, self.on_mask))


def test_head_and_shoulders_are_kept_when_asked_for(clip: Path) -> None:
    models = replace(fakes.load_fakes(RunOptions()), estimator=HeadOnly())
    said: list[str] = []
    pose = estimate(clip, models=models, on_warning=said.append)
    assert pose.n_people == 0
    assert pose.n_frames == 20
    assert any("--partial-people" in words and ": 1," in words for words in said)
    record = next(stage for stage in pose.made_by if stage.stage == "track")
    assert record.options["partial_people_left_out"] == 1
    said.clear()
    pose = estimate(clip, models=models, partial_people=True, on_warning=said.append)
    assert pose.n_people == 1
    assert grid(pose).valid.all()
    assert not any("--partial-people" in words for words in said)
    for asked, shown in ((False, 0), (True, 20)):
        moments = list(stream(clip, models=models, partial_people=asked))
        assert sum(len(moment.people) for moment in moments) == shown


def test_streams_do_not_show_things(clip: Path) -> None:
    models = replace(fakes.load_fakes(RunOptions()), estimator=HeadOnly(33, on_mask=0.5))
    assert not any(moment.people for moment in stream(clip, models=models))
    models = replace(models, estimator=HeadOnly(33, on_mask=0.95))
    assert all(moment.people for moment in stream(clip, models=models))
