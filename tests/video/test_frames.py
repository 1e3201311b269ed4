"""Pictures that are already in memory, as one more input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pose3d
from pose3d.errors import UsageError, VideoError
from pose3d.options import RunOptions
from tests.support import fakes
from tests.support.clips import make_clip

WIDTH, HEIGHT = fakes.SIZE_WH


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    make_clip(path, n_frames=20, size_wh=fakes.SIZE_WH)
    return path


@pytest.fixture(scope="module")
def pictures(clip: Path) -> np.ndarray:
    with pose3d.open_video(clip) as video:
        return np.stack([frame.image.copy() for frame in video])


def one_by_one(pictures: np.ndarray) -> Iterator[np.ndarray]:
    yield from pictures


@pytest.mark.parametrize("give", [lambda a: a, list, tuple, one_by_one])
@pytest.mark.parametrize("span", [{}, {"start": 0.2, "end": 0.5}])
def test_frames_are_read_as_the_file_they_came_from(
    clip: Path, pictures: np.ndarray, give: Any, span: dict[str, float]
) -> None:
    models = fakes.load_fakes(RunOptions())
    of_file = pose3d.estimate(clip, models=models, **span)
    pose = pose3d.estimate(give(pictures), models=models, rate=of_file.video.rate, **span)
    np.testing.assert_allclose(pose.time_s, of_file.time_s, atol=1e-9)
    np.testing.assert_allclose(pose.joints_cam_m, of_file.joints_cam_m, atol=1e-5)
    assert (pose.video.path, pose.video.size_wh) == ("<frames>", fakes.SIZE_WH)
    assert pose.video.rate == of_file.video.rate
    assert pose.n_frames == of_file.n_frames > 0


def test_frames_are_streamed(pictures: np.ndarray) -> None:
    models = fakes.load_fakes(RunOptions())
    taken = 0

    def live() -> Iterator[np.ndarray]:
        nonlocal taken
        for picture in pictures:
            taken += 1
            yield picture

    for done, moment in enumerate(pose3d.stream(live(), models=models, rate=25), 1):
        assert taken == done  # no picture is waited for that is not there yet
        assert moment.frame.time_s == pytest.approx((done - 1) / 25)
    assert done == 20


def test_pictures_are_turned_and_never_drawn_on(pictures: np.ndarray) -> None:
    before = pictures.copy()
    with pose3d.open_video(pictures, rate=30, rotate=90) as video:
        for frame in video:
            np.testing.assert_array_equal(frame.image, np.rot90(before[frame.index], -1))
            assert frame.image.flags.c_contiguous
            frame.image[:] = 0
    np.testing.assert_array_equal(pictures, before)
    assert video.exact_info().n_frames == video.info.n_frames == 20


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((4, 9, 8, 3), np.float32), r"float32 \(9, 8, 3\)"),
        (np.zeros((4, 9, 8, 4), np.uint8), r"uint8 \(9, 8, 4\)"),
        (np.zeros((4, 9, 8), np.uint8), r"uint8 \(9, 8\)"),
        (np.zeros((9, 8, 3), np.uint8), r"uint8 \(8, 3\)"),
        (np.zeros((4, 0, 8, 3), np.uint8), r"uint8 \(0, 8, 3\)"),
        ([None], "None"),
        (["a.png", "b.png"], "a.png"),
        ([np.zeros((9, 8, 3), np.uint8), np.zeros((9, 7, 3), np.uint8)], r"uint8 \(9, 7, 3\)"),
        ([np.zeros((9, 8, 3), np.uint8), [[1, 2], [3]]], "frame 1"),
        ([], "empty"),
    ],
)
def test_wrong_pictures(frames: Any, words: str) -> None:
    models = fakes.load_fakes(RunOptions())
    for call in (
        lambda: pose3d.estimate(frames, models=models, rate=30),
        lambda: list(pose3d.stream(frames, models=models, rate=30)),
    ):
        with pytest.raises(UsageError, match="video") as caught:
            call()
        caught.match(words)


@pytest.mark.parametrize("rate", [None, 0, -1.0, float("nan"), float("inf")])
def test_frames_need_a_rate(pictures: np.ndarray, rate: float | None) -> None:
    models = fakes.load_fakes(RunOptions())
    with pytest.raises(UsageError, match="rate"):
        pose3d.estimate(pictures, models=models, rate=rate)
    with pytest.raises(UsageError, match="rate"):
        next(pose3d.stream(pictures, models=models, rate=rate))


def test_a_range_without_frames(pictures: np.ndarray) -> None:
    for frames in (pictures, one_by_one(pictures)):
        with pytest.raises(VideoError):
            pose3d.open_video(frames, rate=30, start=9.0)


def test_what_the_givers_code_raises_passes_through(pictures: np.ndarray) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield pictures[0]
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="the camera is gone"):
        pose3d.estimate(broken(), models=fakes.load_fakes(RunOptions()), rate=30)


def test_results_of_frames_are_kept_and_drawn(pictures: np.ndarray, tmp_path: Path) -> None:
    pose = pose3d.estimate(pictures, models=fakes.load_fakes(RunOptions()), rate=30)
    assert pose3d.load(pose3d.save(pose, tmp_path / "pose.json")).video == pose.video
    assert pose3d.render_video(pose, None, tmp_path / "view.mp4", mode="3d").is_file()
    with pytest.raises(VideoError):
        pose3d.render_video(pose, None, tmp_path / "both.mp4")


def test_a_rate_is_for_folders_and_frames(clip: Path) -> None:
    with pytest.raises(UsageError, match="rate"):
        pose3d.estimate(clip, models=fakes.load_fakes(RunOptions()), rate=30)
