"""Joints as JSON to every program that connects: one text message a moment."""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.live.moment import Moment
from pose3d.live.osc import parse_address
from pose3d.plugins import import_extra

DIALECT, VERSION = "pose3d.live", 1
# Pages of this machine, files, and programs that are no browser; not the pages of others.
_ORIGINS: list[Any] = [
    None,
    "null",
    re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"),
]

_SILENT = logging.getLogger("pose3d.live.websocket")
_SILENT.disabled = True  # who knocks and goes away is no news


class WebSocket:
    """Listens at ``HOST:PORT``; who is too slow for all moments gets the newest ones."""

    def __init__(self, address: str) -> None:
        import_extra("websockets", "live", "--websocket")
        host, port = parse_address("--websocket", address)
        from websockets.sync.server import serve

        self._changed = threading.Condition()
        self._text, self._number = "", 0
        self._closed = False
        try:
            self._server = serve(
                self._talk, host, port, origins=_ORIGINS, compression=None, logger=_SILENT
            )
        except OSError as error:
            raise UsageError(
                f"--websocket cannot listen at {address} ({error.strerror or error})",
                "Give an address of this machine and a port that is free",
            ) from error
        threading.Thread(
            target=self._server.serve_forever, name="pose3d-websocket", daemon=True
        ).start()

    def send(self, moment: Moment) -> None:
        """Passes a moment on to everybody who is connected."""
        text = json.dumps(describe(moment), allow_nan=False, separators=(",", ":"))
        with self._changed:
            self._text, self._number = text, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()

    def _follow(self, number: int) -> tuple[str, int] | None:
        """Waits for a moment after ``number``; returns it and its number, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._number > number)
            return None if self._closed else (self._text, self._number)

    def _talk(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        number = self._number
        try:
            connection.send(json.dumps(hello(), separators=(",", ":")))
            while (found := self._follow(number)) is not None:
                text, number = found
                connection.send(text)
        except ConnectionClosed:
            return


def hello() -> dict[str, Any]:
    """Returns the first message of a connection: what the others mean."""
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "joints": list(H36M17.joints),
        "parents": list(H36M17.parents),
        "axes": "joints_cam_m: metres from the pelvis; x right, y down, z forward",
    }


def describe(moment: Moment) -> dict[str, Any]:
    """Returns a moment by the names of ``pose.json``; 0.1 mm, 0.01 px."""
    return {
        "frame": moment.index,
        "time_s": round(moment.time_s, 6),
        "latency_ms": round(1000 * moment.latency_s, 1),
        "people": [
            {
                "person_id": person.person_id,
                "box_xyxy_px": person.box_xyxy_px.round(2).tolist(),
                "keypoints_px": person.keypoints_px.astype(float).round(2).tolist(),
                "score": person.score.astype(float).round(3).tolist(),
                "joints_cam_m": person.joints_cam_m.astype(float).round(4).tolist(),
            }
            for person in moment.people
        ],
    }
