"""Pages in a real browser without a screen, and all that one of them says or asks for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 120_000
"""Software GL on a busy machine takes its time."""


@contextmanager
def start_browser() -> Iterator[Any]:
    """Starts Chromium, drawing by software; skips the tests where it or playwright is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=arguments, timeout=WAIT_MS
        )
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, path: Path, **context: Any) -> Iterator[Any]:
    """Opens a page of the viewer; at the end it must have said nothing and asked for nothing.

    Requests to ``blob:`` stay in the page; of files only those beside the page are allowed.
    """
    settings = {"viewport": {"width": 900, "height": 650}, "reduced_motion": "reduce", **context}
    with browser.new_context(**settings) as opened:
        opened.set_default_timeout(WAIT_MS)
        page = opened.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        wait_until(page, "Boolean(window.pose3d)")
        yield page
        assert said == []
        inside = ("blob:", path.parent.as_uri())
        assert [url for url in asked if not url.startswith(inside)] == []


def wait_until(page: Any, condition: str) -> None:
    """Waits for an expression (playwright's own way is against the page's security policy)."""
    end = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(30)


def wait_for_video(page: Any) -> None:
    """Waits until the video is loaded and at the frame that the page shows."""
    wait_until(
        page,
        "pose3d.app.player.ready && !pose3d.app.picture.video.seeking"
        " && pose3d.app.player.wanted === null",
    )


def go(page: Any, frame: int) -> None:
    """Moves the slider, as a user does."""
    page.locator("#timeline input").fill(str(frame))
