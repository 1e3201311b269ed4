"""The page and the WebSocket: what a browser and a program get, and who gets nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from pose3d.body.skeletons import H36M17
from pose3d.errors import MissingExtraError, UsageError
from pose3d.live.moment import Moment
from pose3d.live.page import Page
from pose3d.live.picture import LivePicture
from pose3d.live.websocket import WebSocket
from pose3d.live.window import Window, has_windows
from tests.support.browser import start_browser, wait_until
from tests.support.moments import moment_of
from tests.support.samples import sample_pose


@pytest.fixture(scope="module")
def moment(samples: Path) -> Moment:
    seen = moment_of(sample_pose(samples, "two_people"), 60)
    return replace(seen, latency_s=0.046, rate=29.7, dropped=3)


@contextlib.contextmanager
def sending(sender: Any, moment: Moment) -> Iterator[None]:
    """Sends moments until the block ends, one after the other by their number."""
    done = threading.Event()

    def send() -> None:
        number = 0
        while not done.wait(0.02):
            number += 1
            sender.send(replace(moment, index=number))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sender.close()


# -- the picture -------------------------------------------------------------------------------


def test_everybody_is_drawn_twice_in_their_colour(moment: Moment) -> None:
    drawing = LivePicture("light")
    both = drawing.draw(moment).copy()
    nobody = drawing.draw(replace(moment, people=())).copy()
    assert both.shape == (570, 1500, 3)
    left, right = both[:540, :960], both[:540, 960:]
    for panel, pixels in ((left, 150), (right, 1500)):  # lines, and a body
        for colour in ((45, 118, 214), (222, 92, 14)):  # of people 1 and 2
            near = np.abs(panel.astype(int) - colour).max(-1) < 25
            assert near.sum() > pixels
    assert np.abs(nobody[:540, :960].astype(int) - 90).max() == 0  # the picture as it was
    assert not np.array_equal(both[540:], nobody[540:])  # "2 people" and "0 people"


@pytest.mark.parametrize("size_wh", [(96, 64), (64, 400), (1920, 1080)])
def test_pictures_of_any_size(moment: Moment, size_wh: tuple[int, int]) -> None:
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    drawn = LivePicture("dark").draw(replace(moment, image=image))
    assert drawn.shape[0] <= 580
    assert drawn.std() > 5


# -- the page ----------------------------------------------------------------------------------


def ask(page: Page, path: str, host: str | None = None) -> http.client.HTTPResponse:
    where = urlsplit(page.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    connection.request("GET", path, headers={"Host": host} if host else {})
    return connection.getresponse()


def read_picture(response: http.client.HTTPResponse) -> np.ndarray:
    length = 0
    while (line := response.fp.readline()) != b"\r\n" or not length:
        if line.lower().startswith(b"content-length"):
            length = int(line.split(b":")[1])
    jpeg = np.frombuffer(response.fp.read(length), np.uint8)
    assert response.fp.readline() == b"\r\n"
    assert response.fp.readline().startswith(b"--")
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def test_pictures_move(moment: Moment) -> None:
    page = Page("light")
    with sending(page, moment):
        response = ask(page, "/live.mjpg")
        assert response.headers.get_content_type() == "multipart/x-mixed-replace"
        first = read_picture(response)
        assert first.shape == (570, 1500, 3)
        expected = LivePicture("light").draw(moment)[..., ::-1]
        assert np.abs(first.astype(int) - expected).mean() < 3
        for _ in range(3):
            assert read_picture(response).shape == first.shape


def test_only_this_machine_gets_them(moment: Moment) -> None:
    page = Page("light")
    with sending(page, moment):
        assert page.url.startswith("http://127.0.0.1:")
        assert ask(page, "/").status == 200
        assert ask(page, "/", host="evil.example").status == 403
        assert ask(page, "/live.mjpg", host="evil.example:80").status == 403
        assert ask(page, "/../etc/passwd").status == 404


def test_nothing_is_drawn_while_nobody_looks(
    moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    plain = LivePicture.draw
    monkeypatch.setattr(LivePicture, "draw", lambda *a: drawn.append(1) or plain(*a))
    page = Page("light")
    with sending(page, moment):
        time.sleep(0.3)
        assert not drawn
        read_picture(ask(page, "/live.mjpg"))
    assert drawn


def test_in_a_browser(moment: Moment) -> None:
    with start_browser() as browser:
        page, said = Page("light"), []
        with sending(page, moment):
            shown = browser.new_page(viewport={"width": 1200, "height": 700})
            shown.on("console", lambda message: said.append(message.text))
            shown.goto(page.url, wait_until="commit")
            wait_until(shown, "document.images.length && document.images[0].naturalWidth == 1500")
            png = np.frombuffer(shown.screenshot(), np.uint8)
        assert said == []
    seen = cv2.imdecode(png, cv2.IMREAD_COLOR)[122:578]
    expected = cv2.resize(LivePicture("light").draw(moment)[..., ::-1], (1200, 456))
    assert np.abs(seen.astype(int) - expected).mean() < 6


# -- the WebSocket -----------------------------------------------------------------------------


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.extra_live
def test_programs_get_everybodys_joints(moment: Moment, free_port: int) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="needs the extra live")
    address = f"127.0.0.1:{free_port}"
    sender = WebSocket(address)
    with sending(sender, moment), client.connect(f"ws://{address}") as one:
        hello = json.loads(one.recv(timeout=20))
        assert (hello["dialect"], hello["version"]) == ("pose3d.live", 1)
        assert tuple(hello["joints"]) == H36M17.joints
        told = [json.loads(one.recv(timeout=20)) for _ in range(3)]
    numbers = [message["frame"] for message in told]
    assert numbers == sorted(set(numbers))
    assert told[0]["time_s"] == pytest.approx(moment.time_s)
    assert told[0]["latency_ms"] == 46
    assert [p["person_id"] for p in told[0]["people"]] == [1, 2]
    for written, person in zip(told[0]["people"], moment.people, strict=True):
        np.testing.assert_allclose(written["joints_cam_m"], person.joints_cam_m, atol=6e-5)
        np.testing.assert_allclose(written["keypoints_px"], person.keypoints_px, atol=6e-3)


@pytest.mark.extra_live
def test_who_is_too_slow_gets_the_newest(moment: Moment, free_port: int) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="needs the extra live")
    sender = WebSocket(f"127.0.0.1:{free_port}")
    with client.connect(f"ws://127.0.0.1:{free_port}", max_queue=1) as one:
        one.recv(timeout=20)
        for number in range(3000):
            sender.send(replace(moment, index=number))
        frames: list[int] = []
        while not frames or frames[-1] < 2999:
            frames.append(json.loads(one.recv(timeout=20))["frame"])
        assert len(frames) < 3000
        sender.close()


@pytest.mark.extra_live
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("null", True),
        ("http://localhost:8000", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
    ],
)
def test_pages_of_others_get_nothing(
    moment: Moment, free_port: int, origin: str | None, welcome: bool
) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="needs the extra live")
    from websockets.exceptions import InvalidStatus

    sender = WebSocket(f"127.0.0.1:{free_port}")
    refused = contextlib.nullcontext() if welcome else pytest.raises(InvalidStatus)
    with refused, client.connect(f"ws://127.0.0.1:{free_port}", origin=origin) as one:
        assert "pose3d.live" in one.recv(timeout=20)
    sender.close()


@pytest.mark.extra_live
def test_a_port_that_is_taken(free_port: int) -> None:
    pytest.importorskip("websockets", reason="needs the extra live")
    first = WebSocket(f"127.0.0.1:{free_port}")
    with pytest.raises(UsageError, match="cannot listen"):
        WebSocket(f"127.0.0.1:{free_port}")
    first.close()


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(MissingExtraError, match=r"--websocket needs .*websockets.*pip install"):
        WebSocket("127.0.0.1:8765")


# -- the window --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["q", "Escape", "closed", "the run"])
def test_the_window_ends_the_run(moment: Moment, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """With a stand-in for OpenCV's window: there is no screen."""
    shown: list[np.ndarray] = []

    def wait_key(_: int) -> int:
        return {"q": ord("q"), "Escape": 27}.get(end, -1) if len(shown) > 2 else -1

    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", wait_key)
    monkeypatch.setattr(
        cv2, "getWindowProperty", lambda *_: float(end != "closed" or len(shown) < 3)
    )
    window = Window("light")
    with sending(window, moment):
        window.show_while(lambda: end != "the run" or len(shown) < 3)
    assert len(shown) == 3
    expected = LivePicture("light").draw(moment)[..., ::-1]
    np.testing.assert_array_equal(shown[0], expected)


def test_no_window_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_windows()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_windows()
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    assert not has_windows()
