"""Options that are of one kind of input: ``--rate`` of folders of images, ``--stream`` of files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from pose3d.cli.app import app
from pose3d.errors import UsageError
from pose3d.options import OutputOptions, RunOptions
from pose3d.pipeline.batch.clips import run_batch
from pose3d.pipeline.estimate import track
from pose3d.result.record import load
from pose3d.video.sources import find_inputs
from tests.support import fakes
from tests.support.clips import make_clip, write_images


@pytest.fixture
def images(tmp_path: Path) -> str:
    folder = tmp_path / "pictures"
    write_images(folder, [f"{i}.png" for i in range(6)], size_wh=fakes.SIZE_WH)
    return str(folder)


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(make_clip(tmp_path / "walk.mp4", size_wh=fakes.SIZE_WH, n_frames=6, rate=25).path)


def go(out: Path, *paths: str, **options: float) -> list:
    outputs = OutputOptions(output=str(out), format=("npz",), render="none")
    return run_batch(find_inputs(paths), RunOptions(**options), outputs, load=fakes.load_fakes)


def test_rate_is_of_the_folders_of_images_alone(tmp_path: Path, images: str, video: str) -> None:
    out = tmp_path / "out"
    assert [o.status for o in go(out, images, video, rate=12.5)] == ["done", "done"]
    assert load(out / "pictures/pose.npz").video.rate == Fraction(25, 2)
    assert load(out / "pictures/pose.npz").time_s[-1] == pytest.approx(5 / 12.5)
    assert load(out / "walk/pose.npz").video.rate == 25
    # Another rate changes the folder of images and not the video.
    again = go(out, images, video, rate=20)
    assert "rate: 12.5, now 20" in str(again[0].error)
    assert [o.status for o in again] == ["failed", "kept"]


def test_files_ignore_a_duration(tmp_path: Path, images: str, video: str) -> None:
    go(tmp_path / "out", images, video)
    again = go(tmp_path / "out", images, video, duration=0.1)
    assert [(o.status, o.frames) for o in again] == [("kept", 6), ("kept", 6)]


def test_rate_and_stream_need_their_kind(tmp_path: Path, images: str, video: str) -> None:
    with pytest.raises(UsageError, match="--rate"):
        go(tmp_path / "out", video, rate=25)
    with pytest.raises(UsageError, match="--stream"):
        go(tmp_path / "out", images, stream=0)
    models = fakes.load_fakes(RunOptions())
    with pytest.raises(UsageError, match="rate"):
        track(video, RunOptions(rate=25), models)
    with pytest.raises(UsageError, match="stream"):
        track(images, RunOptions(stream=0), models)


def two_streams(path: Path) -> str:
    """Writes a file with two video streams of different size; the first is as long as the second."""
    with av.open(str(path), "w") as file:
        sizes = (fakes.SIZE_WH, fakes.EMPTY_WH)
        streams = [file.add_stream("libx264", rate=25) for _ in sizes]
        for stream, (width, height) in zip(streams, sizes, strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(6):
            for stream in streams:
                picture = np.full((stream.height, stream.width, 3), 90, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            file.mux(stream.encode(None))
    return str(path)


def test_stream_is_read_that_was_asked_for(tmp_path: Path, images: str) -> None:
    path, out = two_streams(tmp_path / "two.mkv"), tmp_path / "out"
    first, second = go(out, path, stream=0), go(out, path, stream=1)
    assert [first[0].people, first[0].status] == [1, "done"]
    assert "stream: 0, now 1" in str(second[0].error)
    assert "no video stream 2" in str(go(tmp_path / "new", path, stream=2)[0].error)
    (outcome, pictures) = go(tmp_path / "mixed", path, images, stream=1)
    assert (outcome.people, outcome.status, pictures.status) == (0, "done", "done")
    pose = load(tmp_path / "mixed/two/pose.npz")
    assert (pose.video.size_wh, pose.video.stream) == (fakes.EMPTY_WH, 1)


def test_storyboard_of_a_result_takes_neither(tmp_path: Path, images: str) -> None:
    go(tmp_path / "out", images)
    said = CliRunner().invoke(app, ["storyboard", str(tmp_path / "out/pictures"), "--rate", "10"])
    assert said.exit_code == 2
    assert "--rate is for videos" in said.output


def test_storyboard_of_a_video_that_has_a_result_takes_no_rate(tmp_path: Path, video: str) -> None:
    go(tmp_path / "out", video)
    words = ["storyboard", video, "--rate", "10", "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2
    assert "--rate is for folders of images" in said.output
