"""``pose3d bench live`` on networks whose times and trembling are known."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose3d.lab.benchmarks import live as bench
from pose3d.lab.benchmarks.live import bench_live
from pose3d.options import RunOptions
from tests.support import fakes
from tests.support.clips import make_clip

pytestmark = pytest.mark.extra_live


class Slow(fakes.FakeKeypoints):
    def estimate(self, image, people):
        time.sleep(0.1)
        return super().estimate(image, people)


class Shaking(fakes.FakeLifter):
    """Answers are 10 mm off in each axis."""

    rng = np.random.default_rng(0)

    def lift_windows(self, *arguments, **more):
        joints = super().lift_windows(*arguments, **more)
        return joints + self.rng.normal(0, 0.01, joints.shape).astype(np.float32)


def test_latency_and_trembling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pythonosc", reason="needs the extra live")
    models = replace(fakes.load_fakes(RunOptions()), estimator=Slow(), lifter=Shaking())
    monkeypatch.setattr(bench, "load_models", lambda options: models)
    clip = make_clip(tmp_path / "walk.mp4", n_frames=45, size_wh=fakes.SIZE_WH)
    done: list[str] = []
    options = RunOptions(detect_every=1000, smooth=False)
    measured = bench_live(clip.path, options, done.append)
    assert done == ["warming up", "as it is", "four times", "at rest"]
    assert [row.clip for row in measured.times] == ["as it is", "four times in one picture"]
    for row in measured.times:
        assert row.rate == 30
        assert row.people == 1
        assert row.frames + row.dropped == 45
        assert row.dropped > 20
        assert 100 <= row.median_ms <= row.p95_ms < 3000
    # The distance of three axes; about the mean of 30 answers and more.
    assert measured.still_mm == pytest.approx(10 * np.sqrt(3), rel=0.15)


def test_a_packet_that_is_late_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From capture to arrival, not to sending."""
    pytest.importorskip("pythonosc", reason="needs the extra live")

    class Late(bench.Vmc):
        def send_messages(self, messages) -> None:
            time.sleep(0.2)
            super().send_messages(messages)

    monkeypatch.setattr(bench, "Vmc", Late)
    monkeypatch.setattr(bench, "load_models", fakes.load_fakes)
    clip = make_clip(tmp_path / "walk.mp4", n_frames=30, size_wh=fakes.SIZE_WH)
    measured = bench_live(clip.path, RunOptions(detect_every=1000), lambda _: None)
    assert measured.times[0].median_ms > 200
