"""The simulated fleet: recorded networks answer the same and take their time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose3d.errors import UsageError
from pose3d.lab.benchmarks import fleet
from pose3d.lab.benchmarks.fleet import CLIPS_EACH, bench_batch
from pose3d.options import RunOptions
from pose3d.pipeline import estimate as pipeline
from tests.support import fakes
from tests.support.clips import make_clip

PAUSE_S = 0.02
FRAMES = 8


class SlowKeypoints(fakes.FakeKeypoints):
    def estimate(self, image: np.ndarray, people: object) -> object:
        time.sleep(PAUSE_S)
        return super().estimate(image, people)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def load(options: RunOptions) -> pipeline.Models:
        return replace(fakes.load_fakes(options), estimator=SlowKeypoints())

    monkeypatch.setattr(pipeline, "load_models", load)
    return make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=FRAMES).path


def test_a_fleet_is_timed_and_leaves_nothing(clip: Path) -> None:
    times = bench_batch(clip, RunOptions(), workers=(1,))
    (one,) = times.fleets
    assert (one.workers, one.clips, times.frames) == (1, CLIPS_EACH, FRAMES)
    assert FRAMES * PAUSE_S <= times.networks_s < times.real_s
    assert times.networks_s <= times.alone_s < one.seconds
    assert one.clips_an_hour == pytest.approx(3600 * CLIPS_EACH / one.seconds)
    assert 0 <= one.lost < 1
    frame_s = times.real_s / FRAMES
    hours = 1e6 * 300 * frame_s / 3600 / (1 - one.lost)
    assert times.million_core_hours == pytest.approx(hours)
    assert [path.name for path in clip.parent.iterdir()] == ["walk.mp4"]


def test_recorded_networks_answer_clip_after_clip(clip: Path, tmp_path: Path) -> None:
    _, answers = fleet._record(clip, RunOptions(), tmp_path / "out")
    taped = answers["estimator"]["estimate"]
    assert len(taped) >= FRAMES
    assert min(seconds for _, seconds in taped) >= PAUSE_S
    models = fleet.load_recorded(answers, RunOptions())
    assert models.infos == (fakes.FakeDetector.info,) * 3
    began = time.perf_counter()
    for answer, _ in taped * 2:
        assert models.estimator.estimate(None, None) is answer
    assert time.perf_counter() - began >= 2 * FRAMES * PAUSE_S


def test_no_workers_are_refused(clip: Path) -> None:
    with pytest.raises(UsageError, match="no workers"):
        bench_batch(clip, RunOptions(), workers=())
