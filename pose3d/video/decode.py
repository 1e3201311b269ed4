"""Frames of a video file, decoded by FFmpeg through PyAV."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pose3d.errors import VideoError
from pose3d.result.camera import Camera
from pose3d.result.record import VideoInfo
from pose3d.video.camera_sidecar import read_sidecar
from pose3d.video.camera_tags import camera_from_tags, track_tags
from pose3d.video.container import choose_stream, moving_streams, open_video_file, reason
from pose3d.video.convert import PictureConverter
from pose3d.video.timestamps import RANGE_TOLERANCE_S, empty_range, repair_times

MOST_HELD_BACK = 32  # pictures in a decoder: FFmpeg's 16 threads and 16 references


class FileSource:
    """The frames of a video file or a range of it; a VideoError without a picture to show.

    Opening decodes the first picture, whose timestamp is the zero of the clip's clock. Damage in
    the middle is skipped and told in ``warnings``.
    """

    def __init__(
        self,
        path: str,
        *,
        start: float | None,
        end: float | None,
        rotate: int | None,
        stream: int | None,
    ) -> None:
        self.path = path
        self._wanted_stream = stream
        self.warnings: list[str] = []
        self._start_s = start or 0.0
        self._end_s = math.inf if end is None else end
        self._repaired: list[int] = []
        self._used: list[InputContainer] = []
        self._damaged = self._undated = 0
        self._container = open_video_file(path)
        try:
            self._take_stream()
            self._open(rotate)
        except BaseException:
            self.close()
            raise

    def _take_stream(self) -> None:
        self._stream = choose_stream(self._container, self.path, self._wanted_stream)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = 0  # as many as the codec thinks useful
        number = list(self._container.streams.video).index(self._stream)
        if self._wanted_stream is None and len(moving_streams(self._container)) > 1:
            self._warn(
                f"it has several video streams; number {number} is read "
                f"({self._stream.width}x{self._stream.height}), --stream takes another"
            )

    def _open(self, rotate: int | None) -> None:
        stream = self._stream
        self.tick_s = Fraction(stream.time_base or Fraction(1, 90000))
        self._state_rates(_stated_rates(stream))
        decoded = self._decode()
        first = next(decoded, None)
        if first is None:
            reasons = [f"{self._damaged} damaged parts"] if self._damaged else []
            reasons += self.warnings
            said = f" ({'; '.join(reasons)})" if reasons else ""
            raise VideoError(
                f"{self.path}: no picture could be decoded{said}",
                "The file is damaged or empty; copy it again or convert it with ffmpeg",
            )
        self._origin = self._stamp(first)
        if self._origin is None and stream.guessed_rate:
            # A bare stream: the container's 25 is a default, the codec's header may know better.
            self._state_rates((Fraction(stream.guessed_rate),))
        self._pictures = PictureConverter(
            first, aspect=stream.sample_aspect_ratio, rotate=rotate, warn=self._warn
        )
        if self._start_s > 0:
            del first
            timed = self._timed(self._seek())
        else:
            timed = self._timed(chain([first], decoded))
        self._frames = self._cut(timed)
        self._head = next(self._frames, None)
        if self._head is None:
            read_to_end = self._last_s < self._end_s - RANGE_TOLERANCE_S
            length_s = self._last_s + self._nominal_s if read_to_end else self._stated_length_s()
            raise empty_range(self.path, self._start_s, self._end_s, length_s)
        self.info = VideoInfo(
            path=self.path,
            size_wh=self._pictures.shown_wh,
            rate=self._rate,
            n_frames=self._guess_n_frames(),
            rotation_deg=self._pictures.turn_deg,
            has_audio=bool(self._container.streams.audio),
            stream=list(self._container.streams.video).index(self._stream),
        )

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time and picture of each frame of the range."""
        assert self._head is not None
        timed = chain([self._head], self._frames)
        self._head = None
        for time_s, frame in timed:
            yield time_s, self._pictures.to_image(frame)
            del frame
        self._warn_at_end()

    def find_camera(self) -> Camera | None:
        """Returns the camera of the sidecar, else of the file's tags."""
        size_wh = self.info.size_wh
        beside = read_sidecar(self.path, size_wh, self._pictures.unstretched_wh)
        if beside is not None:
            return beside
        is_mov = self._container.format.name.startswith("mov")
        tags = chain(
            track_tags(self.path, self._stream.id) if is_mov else (),
            self._stream.metadata.items(),
            self._container.metadata.items(),
        )
        return camera_from_tags(tags, os.path.basename(self.path), size_wh)

    def close(self) -> None:
        """Closes the file."""
        for container in (*self._used, self._container):
            container.close()

    def _state_rates(self, rates: tuple[Fraction, ...]) -> None:
        self.stated_rates = rates
        if not rates:
            self._warn("it states no frame rate; 30 is assumed where times are missing")
        self._rate = rates[0] if rates else Fraction(30)
        self._nominal_s = float(1 / self._rate)

    # -- decoding ------------------------------------------------------------------------------

    def _decode(self, offset: int | None = None) -> Iterator[av.VideoFrame]:
        """Yields all pictures in order; after damage by one thread, because several lose some."""
        yielded, last, undated = 0, None, 0  # undated: pictures after the last that has a stamp
        self._packets = self._damaged = 0
        try:
            for frame in self._read(forgiving=False):
                stamp = self._stamp(frame)
                yielded += 1
                last, undated = (last, undated + 1) if stamp is None else (stamp, 0)
                yield frame
                del frame
            missing = self._packets - yielded
            if missing <= 0 or (last is None and missing > MOST_HELD_BACK):
                return
        except av.FFmpegError:
            last = None
        if last is not None:
            # More packets than pictures is usual in some codecs: then the last seconds give no more.
            again = self._again(last)
            head = next(again, None)
            stamp = None if head is None else self._stamp(head)
            if head is not None and stamp is not None and stamp <= last:
                again = self._after(chain([head], again), last, undated)
                del head
                yield from again
                return
        for number, frame in enumerate(self._again(offset)):
            if number >= yielded:
                yield frame
            del frame

    def _after(
        self, frames: Iterator[av.VideoFrame], last: int, undated: int
    ) -> Iterator[av.VideoFrame]:
        """Yields the pictures stamped after ``last``, and those without a stamp after ``undated``."""
        reached = False
        for frame in frames:
            stamp = self._stamp(frame)
            if stamp is None and reached and undated:
                undated -= 1
            elif reached if stamp is None else stamp > last:
                yield frame
            reached = reached or (stamp is not None and stamp >= last)
            del frame

    def _again(self, offset: int | None) -> Iterator[av.VideoFrame]:
        """Opens the file anew and decodes it by one thread, from ``offset`` or from its beginning."""
        # The other one stays open until the end: its threads may still be at work.
        self._used.append(self._container)
        self._container = open_video_file(self.path)
        self._take_stream()
        self._stream.thread_type = "SLICE"
        if offset is not None:
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(offset, stream=self._stream)
        return self._read(forgiving=True)

    def _read(self, *, forgiving: bool) -> Iterator[av.VideoFrame]:
        """Yields what the packets from here on decode to; ``forgiving`` passes over damage."""
        packets = self._container.demux(self._stream)
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self._packets += packet.size > 0
                pictures = packet.decode()
            except EOFError:
                return
            except av.FFmpegError as error:
                if not forgiving:
                    raise
                if error.errno == errno.ENOMEM:
                    bytearray(1 << 26)  # MemoryError, unless damage alone asked for too much
                if packet is None:
                    self._warn(f"reading stopped early: {reason(error)}")
                    with contextlib.suppress(av.FFmpegError):
                        # Pictures that the decoder still holds back for reordering.
                        yield from self._stream.codec_context.decode(None)
                    return
                self._damaged += 1
                continue
            yield from pictures

    def _timed(self, decoded: Iterator[av.VideoFrame]) -> Iterator[tuple[float, av.VideoFrame]]:
        raw = ((self._time_of(frame), frame) for frame in decoded)
        return repair_times(raw, self._nominal_s, self._repaired)

    def _stamp(self, frame: av.VideoFrame) -> int | None:
        # AVI stores no presentation times. Those that FFmpeg makes up are wrong around B-frames; the
        # decoding times of the pictures as they come out are evenly spaced and in order.
        return frame.dts if self._container.format.name == "avi" else frame.pts

    def _time_of(self, frame: av.VideoFrame) -> float | None:
        stamp = self._stamp(frame)
        if stamp is None or self._origin is None:
            # The decoder gives no times to the last few pictures of an AVI; that is no damage.
            self._undated += stamp is None and self._container.format.name == "avi"
            return None
        # One division of integers, so that the result is the float nearest to the exact time.
        ticks = stamp - self._origin
        return ticks * self.tick_s.numerator / self.tick_s.denominator

    def _cut(
        self, timed: Iterator[tuple[float, av.VideoFrame]]
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        self._last_s = 0.0
        for time_s, frame in timed:
            self._last_s = time_s
            self._damaged += frame.is_corrupt
            if time_s >= self._end_s - RANGE_TOLERANCE_S:
                return
            if time_s >= self._start_s - RANGE_TOLERANCE_S:
                yield time_s, frame
            del frame

    def _seek(self) -> Iterator[av.VideoFrame]:
        """Goes to a key frame at or before ``start``, checked because seeks land anywhere."""
        for earlier_s in (0.0, 1.0, 4.0, 16.0):
            target_s = self._start_s - earlier_s
            if target_s <= 0 or self._origin is None:
                break
            try:
                offset = self._origin + math.floor(target_s / self.tick_s)
                self._container.seek(offset, stream=self._stream)
            except av.FFmpegError:
                break  # This container cannot seek: read it from its beginning.
            pictures = self._decode(offset)
            head = next(pictures, None)
            landed_s = None if head is None else self._time_of(head)
            if head is not None and landed_s is not None and landed_s <= self._start_s:
                return chain([head], pictures)
        self._container.close()
        self._container = open_video_file(self.path)
        self._take_stream()
        return self._decode()

    # -- what to tell --------------------------------------------------------------------------

    def _guess_n_frames(self) -> int:
        assert self._head is not None
        rate, length_s = float(self._rate), self._stated_length_s()
        total = self._stream.frames or round((length_s or 0.0) * rate)
        if self._start_s <= 0 and self._end_s == math.inf:
            return total
        stop_s = min(self._end_s, total / rate) if total else self._end_s
        if stop_s == math.inf:
            return 0
        return max(1, math.ceil((stop_s - self._head[0]) * rate - 1e-6))

    def _stated_length_s(self) -> float | None:
        """Returns how long the pictures should last; None where the file does not say."""
        if self._stream.duration:
            return float(self._stream.duration * self.tick_s)
        if not self._container.duration:
            return None
        # From the container's beginning, which may lie before the first picture.
        begin_s = float((self._origin or 0) * self.tick_s) - (self._container.start_time or 0) / 1e6
        return self._container.duration / av.time_base - begin_s

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _warn_at_end(self) -> None:
        if self._damaged:
            self._warn(f"{self._damaged} damaged parts; what could be decoded is used")
        n_repaired = len(self._repaired) - self._undated
        if self._origin is None:
            self._warn(f"it has no frame times; {float(self._rate):g} a second are assumed")
        elif n_repaired > 0:
            self._warn(f"{n_repaired} frame times were missing or not increasing; repaired")
        if self._end_s == math.inf:
            length_s, read_s = self._stated_length_s(), self._last_s + self._nominal_s
            # The length of a whole file may be that of its sound, which often runs on a little.
            slack_s = max(0.1 if self._stream.duration else 0.5, 2.5 * self._nominal_s)
            if length_s is not None and length_s - read_s > slack_s:
                self._warn(
                    f"it states {length_s:.2f} s, but its pictures end after {read_s:.2f} s; "
                    "the file may be cut off"
                )


def _stated_rates(stream: VideoStream) -> tuple[Fraction, ...]:
    """Returns the rates that the container states, the most credible first."""
    stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    rates = [Fraction(rate) for rate in dict.fromkeys(stated) if rate]
    if rates and stream.frames and stream.duration and stream.time_base:
        # GIF's average comes from its first frames only; the length of the stream knows better.
        counted = stream.frames / float(stream.duration * stream.time_base)
        rates.sort(key=lambda rate: abs(float(rate) - counted) > 0.01 * counted)
    return tuple(rates)
