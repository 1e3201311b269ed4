"""The page of a live run: moving JPEG from this machine to browsers on this machine."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from pose3d.live.moment import Moment
from pose3d.live.newest import Newest
from pose3d.live.picture import LivePicture
from pose3d.render.style import get_style

JPEG_QUALITY = 85
_BOUNDARY = "pose3d-picture"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pose3d live</title>
<link rel="icon" href="data:,">
<style>
  body {{ margin: 0; background: {page}; }}
  img {{ display: block; width: 100vw; height: 100vh; object-fit: contain; }}
</style>
<img src="live.mjpg" alt="The live picture, everybody in 3D beside it, frame rate and latency">
</html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Page:
    """Serves the newest moment at ``url``; nothing is drawn while nobody looks."""

    def __init__(self, style: str) -> None:
        self._picture, self.colour = LivePicture(style), get_style(style).page
        self._moments: Newest[Moment] = Newest()
        self.pictures: Newest[bytes] = Newest()  # JPEG
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        for work in (self._server.serve_forever, self._draw):
            threading.Thread(target=work, name="pose3d-page", daemon=True).start()

    def send(self, moment: Moment) -> None:
        """Shows a moment as soon as the one before it is drawn."""
        self._moments.give(moment)

    def close(self) -> None:
        """Ends the pictures; browsers keep the last one."""
        self._moments.close()
        self.pictures.close()
        self._server.shutdown()
        self._server.server_close()

    def _draw(self) -> None:
        number = 0
        while self.pictures.wait_for_waiting():
            if (found := self._moments.after(number)) is None:
                return
            moment, number = found
            drawn = cv2.cvtColor(self._picture.draw(moment), cv2.COLOR_RGB2BGR)
            _, jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            self.pictures.give(jpeg.tobytes())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, page: Page) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = page

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        # A page elsewhere may let its own name point here, to read what it gets.
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            text = _PAGE.format(page="rgb({}, {}, {})".format(*self.server.page.colour)).encode()
            self._begin("text/html; charset=utf-8")
            self.wfile.write(text)
        elif self.path == "/live.mjpg":
            self._begin(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self._send_pictures()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _begin(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_pictures(self) -> None:
        number = 0
        self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
        while (found := self.server.page.pictures.after(number)) is not None:
            jpeg, number = found
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            # The boundary goes along: browsers show a picture when they see where it ends.
            self.wfile.write(head + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is told of requests."""
