"""The loop of a live run: real time, bounded latency, clean ends, what is kept."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose3d.errors import ResultFileError, UsageError, VideoError
from pose3d.live.loop import LiveRun
from pose3d.live.moment import Moment
from pose3d.live.recording import Recording
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.estimate import estimate
from pose3d.result.record import load
from pose3d.video.reader import open_video
from tests.support import fakes
from tests.support.clips import draw_marker, find_marker, make_clip, marker_centre_px


class Listener:
    """Keeps all moments; can stop the run."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.moments: list[Moment] = []
        self.arrived_s: list[float] = []
        self._stop_after = stop_after
        self.run: LiveRun | None = None

    def send(self, moment: Moment) -> None:
        self.moments.append(moment)
        self.arrived_s.append(time.monotonic())
        if len(self.moments) == self._stop_after:
            assert self.run is not None
            self.run.stop()

    def close(self) -> None:
        pass


class Slow(fakes.FakeKeypoints):
    """Takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def estimate(self, image, people):
        time.sleep(self.seconds)
        return super().estimate(image, people)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 seconds."""
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    return make_clip(path, n_frames=45, size_wh=fakes.SIZE_WH).path


def play(video: Path, slow_s: float = 0.0, **more) -> tuple[LiveRun, Listener, list[str]]:
    listener, said = Listener(more.pop("stop_after", None)), []
    models = replace(fakes.load_fakes(RunOptions()), estimator=Slow(slow_s))
    options = RunOptions(detect_every=1000)
    senders = [listener, *more.pop("senders", [])]
    run = LiveRun(str(video), options, models, senders, on_warning=said.append, **more)
    listener.run = run
    run.run()
    return run, listener, said


def test_a_clip_plays_in_real_time(clip: Path) -> None:
    began_s = time.monotonic()
    run, listener, said = play(clip)
    assert time.monotonic() - began_s > 44 / 30
    moments = listener.moments
    assert len(moments) + run.dropped == 45
    assert len(moments) > 10  # the machine may be busy
    captured_s = np.array([m.captured_s for m in moments])
    times_s = np.array([m.time_s for m in moments])
    late_s = captured_s - captured_s[0] - times_s
    assert np.median(np.abs(late_s)) < 0.01
    assert [m.people[0].person_id for m in moments] == [1] * len(moments)
    lately = sum(moment_s > listener.arrived_s[-1] - 1 for moment_s in listener.arrived_s)
    assert moments[-1].rate == pytest.approx(lately, abs=3)
    assert said == []


def test_a_slow_machine_drops_frames_and_is_never_late(clip: Path) -> None:
    """150 ms a picture where one comes every 33 ms: queued, the last would be 1.1 s late."""
    run, listener, _ = play(clip, slow_s=0.15)
    moments = listener.moments
    assert run.dropped == 45 - len(moments) >= 20
    assert moments[-1].index == 44  # the newest is always taken
    # Each was the newest when the one before was done.
    done_s = [m.captured_s + m.latency_s for m in moments]
    waited_s = np.array(done_s[:-1]) - [m.captured_s for m in moments[1:]]
    assert waited_s.max() < 1 / 30 + 0.25
    assert np.median(waited_s) < 1 / 30 + 0.02
    for moment in moments:
        assert find_marker(moment.image) == pytest.approx(
            marker_centre_px(moment.index, fakes.SIZE_WH), abs=1
        )
    assert [m.dropped for m in moments] == sorted(m.dropped for m in moments)
    assert moments[-1].dropped == run.dropped


def test_latency_is_from_capture_to_answer(clip: Path) -> None:
    _, listener, _ = play(clip, slow_s=0.15)
    for moment, arrived_s in zip(listener.moments, listener.arrived_s, strict=True):
        assert 0.15 <= moment.latency_s <= arrived_s - moment.captured_s


def test_stopping_ends_the_run_early(clip: Path) -> None:
    _, listener, _ = play(clip, stop_after=5)
    assert len(listener.moments) == 5


def test_stopping_does_not_wait_for_a_picture(tmp_path: Path) -> None:
    """A camera that hangs: the second picture is an hour away."""
    path = make_clip(
        tmp_path / "rare.mkv", n_frames=2, size_wh=fakes.SIZE_WH, time_s=[0, 3600]
    ).path
    listener = Listener()
    models = fakes.load_fakes(RunOptions())
    run = LiveRun(str(path), RunOptions(), models, [listener], on_warning=print)
    worker = threading.Thread(target=run.run)
    worker.start()
    deadline_s = time.monotonic() + 20
    while not listener.moments and time.monotonic() < deadline_s:
        time.sleep(0.01)
    run.stop()
    worker.join(5)
    assert not worker.is_alive()
    assert len(listener.moments) == 1


def test_a_sender_that_fails_is_told_once_and_stops_nothing(clip: Path) -> None:
    class Broken(Listener):
        def send(self, moment: Moment) -> None:
            raise OSError(101, "Network is unreachable")

    _, listener, said = play(clip, senders=[Broken()], stop_after=10)
    assert len(listener.moments) == 10
    assert said == ["Broken: Network is unreachable"]


def test_what_is_kept_is_what_a_run_over_the_recording_gives(clip: Path, tmp_path: Path) -> None:
    """Also with dropped frames; the recording has exactly the pictures that were worked on."""
    outputs = OutputOptions(output=str(tmp_path), render="none", format=("npz",))
    options = RunOptions(detect_every=1000, lifter="mixste.live9", offline=True)
    recording = Recording(str(clip), options, outputs)
    run, listener, _ = play(clip, slow_s=0.08, recording=recording)
    assert run.dropped > 5
    pose = recording.finish(None, print)
    assert sorted(p.name for p in (tmp_path / "walk").iterdir() if p.suffix) == [
        *(".pose3d.json", "pose.npz", "recording.mp4")
    ]
    times_s = np.array([m.time_s for m in listener.moments])
    np.testing.assert_allclose(pose.time_s, times_s - times_s[0], atol=1e-9)
    assert pose.person_ids.tolist() == [1]
    assert pose.root_cam_m is not None
    assert [stage.stage for stage in pose.made_by][-1] == "place"
    saved = load(tmp_path / "walk" / "pose.npz")
    np.testing.assert_array_equal(saved.joints_cam_m, pose.joints_cam_m)
    with open_video(tmp_path / "walk" / "recording.mp4") as reader:
        frames = list(reader)
    assert len(frames) == len(times_s)
    for frame, moment in zip(frames, listener.moments, strict=True):
        assert frame.time_s == pytest.approx(moment.time_s - times_s[0], abs=2e-5)
        expected = marker_centre_px(moment.index, fakes.SIZE_WH)
        assert find_marker(frame.image) == pytest.approx(expected, abs=1)
    models = fakes.load_fakes(options)
    from pose3d.lift.sequence import make_lifter_for

    models = replace(models, lifter=make_lifter_for(options))
    again = estimate(tmp_path / "walk" / "recording.mp4", options, models=models)
    np.testing.assert_allclose(again.joints_cam_m, pose.joints_cam_m, atol=1e-3)
    with pytest.raises(ResultFileError, match="--overwrite"):
        Recording(str(clip), options, outputs)
    Recording(str(clip), options, replace(outputs, overwrite=True))


def test_a_recording_is_kept_on_this_machine(clip: Path) -> None:
    with pytest.raises(UsageError, match="this machine"):
        Recording(str(clip), RunOptions(), OutputOptions(output="s3://bucket/out"))


def test_a_failure_costs_no_recording(clip: Path, tmp_path: Path) -> None:
    class Broken(Listener):
        def send(self, moment: Moment) -> None:
            if len(self.moments) > 5:
                raise ValueError("a mistake")
            super().send(moment)

    outputs = OutputOptions(output=str(tmp_path), render="none", format=("npz",))
    recording = Recording(str(clip), RunOptions(), outputs)
    with pytest.raises(ValueError, match="a mistake"):
        play(clip, senders=[Broken()], recording=recording)
    with open_video(tmp_path / "walk" / "recording.mp4") as reader:
        assert len(list(reader)) == 6
    with pytest.raises(ResultFileError, match="earlier recording"):
        Recording(str(clip), RunOptions(), outputs)


class Unplugged:
    """Stands for cv2.VideoCapture: a camera that is gone after 20 pictures."""

    def __init__(self, index: int) -> None:
        self.left = 20

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(1 / 30)
        self.left -= 1
        return (
            (True, draw_marker(20 - self.left, fakes.SIZE_WH)) if self.left >= 0 else (False, None)
        )

    def get(self, _: int) -> float:
        return 30.0

    def release(self) -> None:
        pass


def test_a_camera_that_is_gone_ends_the_run_and_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Unplugged)
    outputs = OutputOptions(output=str(tmp_path), render="none", format=("npz",))
    options = RunOptions(lifter="mixste.live9", offline=True)
    recording = Recording("0", options, outputs)
    run, listener, said = play(Path("0"), recording=recording)
    assert len(listener.moments) + run.dropped == 20
    assert len(said) == 1
    assert "camera 0 stopped after" in said[0]
    pose = recording.finish(None, print)
    assert pose.n_frames == len(listener.moments)
    assert load(tmp_path / "camera-0" / "pose.npz").n_frames == pose.n_frames
    assert (tmp_path / "camera-0" / "recording.mp4").exists()


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no file"):
        play(tmp_path / "none.mp4")
