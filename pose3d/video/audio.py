"""The sound of a clip, cut to a range and put beside new pictures."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition

from pose3d.video.container import choose_stream, moving_streams, open_file

# What MP4 holds and players know; anything else (PCM, Vorbis, WMA, ...) becomes AAC.
COPIED_CODECS = frozenset(("aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"))
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


class AudioTrack:
    """Feeds the sound of a file into an output, step by step, so that none of it piles up.

    Times are seconds after the first picture of the file (its beginning when it has no pictures),
    which is at ``clock_zero_s`` in the container; sound from ``start_s`` to ``end_s``, exclusive,
    is kept and ``zero_s`` becomes the zero of the output. Copied packets cannot be cut: one that
    reaches over the start is taken whole, and one more before it for the decoder; the muxer's edit
    list hides them.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        clock_zero_s: Fraction,
        warnings: list[str],
        *,
        start_s: float,
        end_s: float,
        zero_s: float,
    ) -> None:
        self._container = container
        self._stream = stream
        self._tick_s = Fraction(stream.time_base or Fraction(1, 48000))
        self._clock_zero_s = clock_zero_s
        self._start_s, self._end_s, self._zero_s = start_s, end_s, zero_s
        self._warnings = warnings
        self._copies = stream.codec_context.codec.canonical_name in COPIED_CODECS
        self._packets = self._in_range()
        self._next = next(self._packets, None)

    @classmethod
    def open(
        cls, path: str | Path, warnings: list[str], *, video_stream: int | None, **span_s: float
    ) -> AudioTrack | None:
        """Opens a file; None without sound in the span. The clock is that of ``video_stream``."""
        try:
            container = open_file(path)
        except av.FFmpegError as error:
            warnings.append(f"no sound could be read from {path}: {error.strerror}")
            return None
        streams = [s for s in container.streams.audio if s.codec_context is not None]
        if not streams:
            container.close()
            return None
        stream = max(streams, key=lambda s: Disposition.default in s.disposition)
        track = cls(container, stream, _first_picture_s(path, video_stream), warnings, **span_s)
        if track._next is None:
            track.close()
            return None
        return track

    def add_to(self, output: OutputContainer) -> None:
        """Adds the stream to an output whose header is not written yet."""
        self._output = output
        self._last_dts: int | None = None
        if self._copies:
            self._out = output.add_stream_from_template(self._stream)
            return
        context = self._stream.codec_context
        known = context.sample_rate in AAC_RATES_HZ
        # By number: PCM in Matroska and AVI does not say which speakers its channels are.
        layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        rate_hz = context.sample_rate if known else 48000
        self._out = output.add_stream("aac", rate=rate_hz, layout=layout)
        self._out.bit_rate = 96_000 if layout == "mono" else 160_000

    def copy_until(self, time_s: float) -> None:
        """Writes the sound up to a time on the file's clock."""
        while self._next is not None and self._next[0] < time_s:
            packet_s, packet = self._next
            if self._copies:
                self._copy(packet_s, packet)
            else:
                self._encode(packet_s, packet)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Writes what the encoder holds back."""
        if not self._copies:
            self._output.mux(self._out.encode(None))

    def close(self) -> None:
        """Closes the source."""
        self._packets.close()
        self._container.close()

    def _in_range(self) -> Generator[tuple[float, Packet[AudioStream]], None, None]:
        """Yields time and packet, from one packet before the start."""
        next_s = 0.0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._warnings.append(f"the sound stops early: {error.strerror}")
                return
            if packet is None:
                return
            if packet.size == 0:
                continue  # The empty packet that ends a stream.
            ticks = packet.dts if packet.pts is None else packet.pts
            time_s = next_s if ticks is None else float(ticks * self._tick_s - self._clock_zero_s)
            length_s = float((packet.duration or 0) * self._tick_s)
            next_s = time_s + length_s
            if time_s >= self._end_s:
                return
            if time_s + 2 * length_s > self._start_s or (length_s == 0 and time_s >= self._start_s):
                yield time_s, packet

    def _copy(self, time_s: float, packet: Packet[AudioStream]) -> None:
        tick = round((time_s - self._zero_s) / self._tick_s)
        if self._last_dts is not None and tick <= self._last_dts:
            return  # Repeated or backward packets cannot be stored; players skip them as well.
        packet.stream = self._out
        packet.pts = packet.dts = self._last_dts = tick
        packet.time_base = self._tick_s
        self._output.mux(packet)

    def _encode(self, time_s: float, packet: Packet[AudioStream]) -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            text = "the sound has damaged parts, which were left out"
            if text not in self._warnings:
                self._warnings.append(text)
            return
        for frame in frames:
            # The encoder converts format, rate and layout itself.
            frame.pts = round((time_s - self._zero_s) * frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)
            time_s += frame.samples / frame.sample_rate
            self._output.mux(self._out.encode(frame))


def _first_picture_s(path: str | Path, number: int | None) -> Fraction:
    """Returns the time of the first shown picture on the container's clock; 0 without one."""
    with open_file(path) as container:
        if not moving_streams(container):
            return Fraction(0)
        stream = choose_stream(container, str(path), number)
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                continue  # Damaged before the first good picture, as the reader skips it too.
            if pictures:
                ticks = pictures[0].pts
                return Fraction(0) if ticks is None else ticks * Fraction(stream.time_base or 0)
    return Fraction(0)
