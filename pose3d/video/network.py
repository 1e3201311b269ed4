"""Frames of a camera in the network (RTSP), decoded by FFmpeg through PyAV."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer

from pose3d.errors import VideoError
from pose3d.result.record import VideoInfo
from pose3d.stores.places import hide_secrets
from pose3d.video.container import choose_stream, reason
from pose3d.video.convert import PictureConverter

SILENT_S = 5.0
"""A camera that sends nothing for so long is asked anew."""
GIVE_UP_S = 30.0
"""One that does not answer for so long is gone."""
_PAUSE_S = 0.5  # between two tries

# Nothing is kept back: neither packets on their way in, nor pictures in the decoder. What is read to
# learn the rate, for a second, is dropped.
_OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "1000000",
}


class NetworkSource:
    """The pictures of an address for ``duration`` seconds, timed as received; or a VideoError.

    A camera that falls silent is connected to again; after :data:`GIVE_UP_S` the clip ends with a
    warning.
    """

    def __init__(self, address: str, *, duration: float | None, rotate: int) -> None:
        self.warnings: list[str] = []
        self._address, self._name = address, hide_secrets(address)
        self._duration_s = math.inf if duration is None else duration
        self._reading = self._closed = False
        self._container: InputContainer | None = None
        try:
            self._container = container = self._connect()
            self._pictures = _decode(container)
            first = next(self._pictures)
        except (av.FFmpegError, StopIteration) as error:
            self._disconnect()
            raise self._no_picture(_why(error)) from error
        self._first = time.monotonic(), first
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(30)
        self.stated_rates: tuple[Fraction, ...] = (Fraction(rate),)
        self.tick_s = Fraction(1, 1_000_000)
        self._converter = PictureConverter(
            first, aspect=stream.sample_aspect_ratio, rotate=rotate, warn=self._warn
        )
        self.info = VideoInfo(
            path=self._name,
            size_wh=self._converter.shown_wh,
            rate=Fraction(rate),
            n_frames=0 if duration is None else math.ceil(duration * rate),
            rotation_deg=rotate,
        )

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields seconds since the first picture, and picture, until the duration is over."""
        self._reading, before_s = True, -math.inf
        try:
            for read_s, frame in self._received():
                before_s = max(read_s - self._first[0], before_s + 1e-6)
                if before_s >= self._duration_s:
                    return
                yield before_s, self._converter.to_image(frame)
                del frame
        finally:
            self._disconnect()

    def find_camera(self) -> None:
        """Addresses tell no focal length."""

    def close(self) -> None:
        """Closes the connection; while a thread waits in it, that thread does so when it returns."""
        self._closed = True
        if not self._reading:
            self._disconnect()

    def _disconnect(self, *, wait: bool = True) -> None:
        """Closes the connection, once; without ``wait`` aside, for a camera that does not answer."""
        container, self._container = self._container, None
        if container is not None and wait:
            container.close()
        elif container is not None:
            threading.Thread(target=container.close, daemon=True).start()

    def _connect(self) -> InputContainer:
        container = av.open(self._address, options=_OPTIONS, timeout=(SILENT_S, SILENT_S))
        stream = choose_stream(container, self._name, None)
        stream.thread_type = (
            "SLICE"  # threads that share a picture; others would hold pictures back
        )
        return container

    def _received(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yields when each picture was received, and the picture; connects again as needed."""
        yield self._first
        while True:
            last_s, why = time.monotonic(), "it ended"
            try:
                for frame in self._pictures:
                    now_s = time.monotonic()
                    if now_s - last_s > SILENT_S:
                        why = "it fell silent"  # and FFmpeg gives what it held, and waits again
                        break
                    last_s = now_s
                    yield last_s, frame
                    del frame
            except av.FFmpegError as error:
                why = _why(error)
            if not self._reconnect(last_s):
                lost_s = last_s - self._first[0]
                self._warn(f"{self._name} stopped after {lost_s:.1f} s ({why})")
                return

    def _reconnect(self, last_s: float) -> bool:
        """Tries until the camera answers or is given up."""
        self._disconnect(wait=False)
        self._warn(f"{self._name} fell silent or broke off; it is connected to again")
        while not self._closed and time.monotonic() - last_s < GIVE_UP_S:
            try:
                self._container = self._connect()
                self._pictures = _decode(self._container)
            except (av.FFmpegError, VideoError):
                time.sleep(_PAUSE_S)
            else:
                return True
        return False

    def _no_picture(self, why: str) -> VideoError:
        return VideoError(
            f"There is no picture from {self._name} ({why})",
            "Check the address, user and password, and that the camera can be reached",
        )

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _decode(container: InputContainer) -> Iterator[av.VideoFrame]:
    for packet in container.demux(container.streams.video[0]):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # damaged on the way; the next key picture is whole


def _why(error: av.FFmpegError | StopIteration) -> str:
    """Returns in words why nothing follows."""
    if isinstance(error, StopIteration):
        return "it ended"
    # FFmpeg calls it "Immediate exit requested".
    return f"silent for {SILENT_S:g} s" if isinstance(error, av.ExitError) else reason(error)
