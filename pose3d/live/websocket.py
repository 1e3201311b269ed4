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
from pose3d.live.newest import Newest
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

        self._texts: Newest[str] = Newest()
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
        self._texts.give(text)

    def close(self) -> None:
        """Ends all connections."""
        self._texts.close()
        self._server.shutdown()

    def _talk(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        number = 0
        try:
            connection.send(json.dumps(hello(), separators=(",", ":")))
            while (found := self._texts.after(number)) is not None:
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
