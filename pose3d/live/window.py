"""The window of a live run, where there is a screen and an OpenCV that has windows."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import cv2

from pose3d.live.moment import Moment
from pose3d.live.picture import LivePicture

_TITLE = "pose3d live"
_KIND = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
_WAIT_MS = 15


def has_screen() -> bool:
    """Tells whether windows and browsers can be seen here."""
    named = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return named or sys.platform in ("darwin", "win32")


def has_windows() -> bool:
    """Tells whether OpenCV can open a window (``opencv-python-headless`` cannot)."""
    return has_screen() and cv2.currentUIFramework() != ""


class Window:
    """Shows the newest moment; closing it, q or Escape end the run."""

    def __init__(self, style: str) -> None:
        self._picture = LivePicture(style)
        self._new = threading.Event()
        self._moment: Moment | None = None

    def send(self, moment: Moment) -> None:
        """Shows a moment as soon as the one before it is drawn."""
        self._moment = moment
        self._new.set()

    def close(self) -> None:
        """Closes the window."""
        cv2.destroyAllWindows()

    def show_while(self, running: Callable[[], bool]) -> None:
        """Draws in the thread that calls, as window systems want it, until the end is asked for."""
        shown = False
        while running():
            if self._new.wait(_WAIT_MS / 1000):
                self._new.clear()
                assert self._moment is not None
                image = cv2.cvtColor(self._picture.draw(self._moment), cv2.COLOR_RGB2BGR)
                if not shown:
                    cv2.namedWindow(_TITLE, _KIND)
                    cv2.resizeWindow(_TITLE, image.shape[1], image.shape[0])
                cv2.imshow(_TITLE, image)
                shown = True
            elif not shown:
                continue
            if cv2.waitKey(1) in (27, ord("q")):
                return
            if cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return
