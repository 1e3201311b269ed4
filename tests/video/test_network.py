"""Cameras in the network: pictures in time, silence, being gone, wrong addresses."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pose3d.errors import UsageError, VideoError
from pose3d.stores.places import hide_secrets
from pose3d.video import network
from pose3d.video.reader import open_video, plays_by_itself
from pose3d.video.sources import find_inputs
from tests.support.clips import find_marker, make_clip, marker_centre_px
from tests.support.rtsp import rtsp_camera

SIZE_WH = (96, 64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds without B-frames, as cameras send, a key picture every third of a second."""
    path = tmp_path_factory.mktemp("clips") / "walk.ts"
    options = {"bf": "0", "g": "10", "crf": "5"}
    return make_clip(path, n_frames=60, size_wh=SIZE_WH, options=options).path


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SILENT_S", 1.0)
    monkeypatch.setattr(network, "GIVE_UP_S", 3.0)
    monkeypatch.setattr(network, "_PAUSE_S", 0.1)


def test_pictures_come_in_time_and_until_the_duration(clip: Path) -> None:
    with (
        rtsp_camera(clip, name="me:secret@") as camera,
        open_video(camera.address, duration=1.0) as video,
    ):
        assert video.info.size_wh == SIZE_WH
        assert "secret" not in video.info.path
        assert plays_by_itself(video.info.path)
        frames = list(video)
    assert 15 <= len(frames) <= 31
    times_s = np.array([frame.time_s for frame in frames])
    assert (np.diff(times_s) > 0).all()
    assert times_s[-1] < 1.0
    first = next(k for k in range(60) if _is(frames[0].image, k))
    for k, frame in enumerate(frames):
        assert _is(frame.image, first + k)
    # Not in bursts: each about when it was sent.
    assert np.abs(times_s - times_s[0] - np.arange(len(frames)) / 30).max() < 0.5


def _is(image: np.ndarray, number: int) -> bool:
    expected = marker_centre_px(number, SIZE_WH)
    return bool(np.abs(np.subtract(find_marker(image), expected)).max() < 1)


def test_silence_is_ended_by_connecting_again(clip: Path) -> None:
    with (
        rtsp_camera(clip, silent_after=55) as camera,
        open_video(camera.address, duration=5.0) as video,
    ):
        times_s = [frame.time_s for frame in video]
        assert camera.connections >= 2
        assert any("fell silent" in words for words in video.warnings)
    gaps_s = np.diff(times_s)
    assert 0.9 < gaps_s.max() < 4
    assert np.argmax(gaps_s) < len(gaps_s) - 5


def test_a_camera_that_is_gone_ends_the_clip(clip: Path) -> None:
    began_s = time.monotonic()
    with rtsp_camera(clip, answers=1) as camera, open_video(camera.address) as video:
        assert len(list(video)) > 10
        assert any("stopped after" in words for words in video.warnings)
    assert 2 + 2 < time.monotonic() - began_s < 12


def test_closing_while_it_is_silent(clip: Path) -> None:
    """The thread that waits in it ends it; nothing is closed under its feet."""
    with rtsp_camera(clip, silent_after=55, answers=1) as camera:
        video = open_video(camera.address)
        ended = threading.Event()

        def read() -> None:
            for _ in video:
                pass
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(1.5)
        video.close()
        assert ended.wait(3)


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtsp://me:secret@127.0.0.1:{silent.getsockname()[1]}/x"
        began_s = time.monotonic()
        with pytest.raises(VideoError, match="no picture from rtsp://me@127") as caught:
            open_video(address)
        assert time.monotonic() - began_s < 4
    assert "secret" not in str(caught.value)
    with pytest.raises(VideoError, match="no picture"):
        open_video(address)  # nobody is there at all


def test_what_cameras_do_not_have() -> None:
    with pytest.raises(UsageError, match="no start"):
        open_video("rtsp://127.0.0.1:1/x", start=1.0)
    with pytest.raises(UsageError, match="streams"):
        open_video("rtsp://127.0.0.1:1/x", stream=1)


def test_a_run_over_it_is_refused() -> None:
    with pytest.raises(UsageError, match="'pose3d live'") as caught:
        find_inputs("rtsp://me:secret@cam/a")
    assert "secret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    assert hide_secrets("rtsp://me:secret@cam:554/a?password=b") == "rtsp://me@cam:554/a"
    assert hide_secrets("rtsp://cam/a@b") == "rtsp://cam/a@b"
