"""Writing H.264 videos that play everywhere, at the source's times and with its sound."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from pose3d.errors import UsageError, VideoError
from pose3d.video.audio import AudioTrack
from pose3d.video.picture import Image

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
CLOCK_HZ = 90_000
"""Ticks per second at least; the clock of MPEG systems, a multiple of most rates and of 1 ms."""
AUDIO_AHEAD_S = 1.0
_numbers = itertools.count()


def write_video(
    path: str | Path,
    size_wh: tuple[int, int],
    *,
    rate: Fraction | None = None,
    audio_from: str | Path | None = None,
    audio_range: tuple[float, float | None] | None = None,
    crf: int = 23,
    preset: str = "veryfast",
    x264_params: str | None = None,
    threads: int = 0,
    time_base: Fraction | None = None,
) -> VideoWriter:
    """Makes a writer of H.264 (yuv420p, BT.709, moov in front) in an MP4 or MOV file.

    The video begins at the time of the first frame that is written. Every frame keeps its distance
    to it: exactly where the rate or 1/90000 s divides the times, else within 6 microseconds. Odd
    sizes grow by one repeated row or column, since yuv420p halves both axes.

    Measured on two cores of a server CPU (virtual machine), ms a frame (kB a second of video), football clip,
    crf 23, conversion to YUV included:

    ==========  ===========  ===========
    preset      1280x720     2000x720
    ==========  ===========  ===========
    veryfast    7.1 (153)    9.8 (197)
    superfast   6.0 (275)    7.7 (386)
    ultrafast   3.4 (422)    6.3 (580)
    ==========  ===========  ===========

    Args:
        path: what to write; ``.mp4``, ``.m4v`` or ``.mov``. It appears when complete, not before.
        size_wh: width and height of the pictures.
        rate: nominal frames per second. The times given to ``write`` decide when a picture is shown;
            the rate makes the output's clock fit them exactly.
        audio_from: file whose sound goes along: copied where MP4 can hold it, else AAC.
        audio_range: seconds on that file's clock (0 is its first picture) that the sound is cut to;
            None: from the first written frame to the end of the sound.
        crf: quality, 0 (lossless) to 51.
        preset: one of x264's, ``ultrafast`` to ``slower``.
        x264_params: single settings over the preset, in x264's own form ``name=value:...``.
        threads: encoder threads; 0: automatic.
        time_base: tick of the output's clock in seconds; None: chosen from ``rate``.

    Returns:
        A context manager with ``write(image, time_s)``.

    Raises:
        UsageError: an option out of range.
    """
    return VideoWriter(
        Path(path),
        size_wh,
        rate=None if rate is None else Fraction(rate),
        audio_from=audio_from,
        audio_range=audio_range,
        crf=crf,
        preset=preset,
        x264_params=x264_params,
        threads=threads,
        time_base=time_base,
    )


class VideoWriter:
    """Writes one video; made by :func:`write_video`, used in a ``with`` statement.

    Inside the block the file has a temporary name beside the final one. It is renamed when the block
    ends well and removed when it ends with any exception, Ctrl-C included.

    Attributes:
        warnings: what could not be kept (of the sound), one sentence each.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        *,
        rate: Fraction | None,
        audio_from: str | Path | None,
        audio_range: tuple[float, float | None] | None,
        crf: int,
        preset: str,
        x264_params: str | None,
        threads: int,
        time_base: Fraction | None,
    ) -> None:
        if path.suffix.lower() not in FORMATS:
            raise UsageError(
                f"{path} has no suffix of a video that can be written",
                f"Give a name that ends in {', '.join(FORMATS)}",
            )
        if min(size_wh) < 1:
            raise UsageError(f"The size {size_wh[0]}x{size_wh[1]} is empty", "Give pixels from 1")
        if rate is not None and rate <= 0:
            raise UsageError(f"The rate is {rate}", "Give frames per second above 0")
        if not 0 <= crf <= 51:
            raise UsageError(f"crf is {crf}", "Give 0 (best) to 51")
        if preset not in PRESETS:
            raise UsageError(
                f"There is no preset {preset!r}", f"Choose one of: {', '.join(PRESETS)}"
            )
        self.path = path
        self.size_wh = size_wh
        self.warnings: list[str] = []
        self._rate = rate or Fraction(30)
        self._audio_from = audio_from
        self._audio_range = audio_range
        self._options = {"crf": str(crf), "preset": preset}
        if x264_params is not None:
            self._options["x264-params"] = x264_params
        self._threads = threads
        self._tick_s = time_base or _choose_tick(self._rate)
        # Unique for each process and writer, hidden, and passed over by find_inputs.
        self.part_path = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.part")
        self._converter = VideoReformatter()
        self._padded: np.ndarray | None = None
        self._output: OutputContainer | None = None
        self._audio: AudioTrack | None = None
        self._origin_s = 0.0
        self._last_tick = -1
        self._last_time_s = -math.inf

    def __enter__(self) -> VideoWriter:
        """Makes the temporary file, so that a folder without write permission fails at once.

        Raises:
            VideoError: the file cannot be made, or ``audio_from`` is not there.
        """
        if self._audio_from is not None and not os.path.exists(self._audio_from):
            raise VideoError(
                f"There is no file {self._audio_from} to take the sound from", "Check the spelling"
            )
        try:
            os.close(os.open(self.part_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise self._failed(error) from error
        return self

    def write(self, image: Image, time_s: float) -> None:
        """Encodes one picture.

        Args:
            image: ``(height, width, 3)`` RGB uint8 of the writer's size; not kept, may be re-used.
            time_s: its time on the source's clock, later than the one before.

        Raises:
            ValueError: another size, or a time that does not increase.
            VideoError: the file cannot be written (disk full).
        """
        width, height = self.size_wh
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"picture is {image.dtype} {image.shape}, expected uint8 {(height, width, 3)}"
            )
        try:
            if self._output is None:
                self._start(time_s)
            frame = self._to_yuv(image)
            frame.time_base = self._tick_s
            # Of use for the last frame, which has no successor that would tell its duration.
            frame.pts, frame.duration = self._next_ticks(time_s)
            assert self._output is not None
            self._output.mux(self._stream.encode(frame))
            if self._audio is not None:
                self._audio.copy_until(time_s + AUDIO_AHEAD_S)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    # -- file ----------------------------------------------------------------------------------

    def _start(self, time_s: float) -> None:
        """Opens encoder and sound; the time of the first picture is the zero of the output."""
        self._origin_s = time_s
        if self._audio_from is not None:
            start_s, end_s = self._audio_range or (time_s, None)
            self._audio = AudioTrack.open(
                self._audio_from,
                start_s=max(start_s, time_s),
                end_s=math.inf if end_s is None else end_s,
                zero_s=time_s,
                warnings=self.warnings,
            )
        self._output = self._open_output()
        if self._audio is None:
            return
        self._audio.add_to(self._output)
        try:
            self._output.start_encoding()
        except av.FFmpegError as error:
            # Sound that the container refuses must not cost the picture.
            self.warnings.append(f"the sound was left out: {error.strerror}")
            self._audio.close()
            self._audio = None
            self._output = self._open_output()

    def _open_output(self) -> OutputContainer:
        output = av.open(
            str(self.part_path),
            "w",
            format=FORMATS[self.path.suffix.lower()],
            container_options={"movflags": "+faststart"},
        )
        stream = output.add_stream("libx264", rate=self._rate, options=self._options)
        stream.width, stream.height = (side + side % 2 for side in self.size_wh)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = self._tick_s
        context.thread_count = self._threads
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._stream = stream
        return output

    def _finish(self) -> None:
        if self._output is None:
            raise VideoError(f"No picture was written to {self.path}", "Check the range of frames")
        try:
            self._output.mux(self._stream.encode())
            if self._audio is not None:
                self._audio.copy_until(math.inf)
                self._audio.finish()
                self._audio.close()
            self._output.close()
            os.replace(self.part_path, self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _discard(self) -> None:
        if self._audio is not None:
            self._audio.close()
        if self._output is not None:
            # An exception is on its way already; a second one from the half-written file, which is
            # removed anyway, would hide it.
            with contextlib.suppress(av.FFmpegError, OSError):
                self._output.close()
        self.part_path.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> VideoError:
        reason = getattr(error, "strerror", None) or str(error)
        return VideoError(
            f"{self.path} cannot be written ({reason})",
            "Check that the folder exists, may be written to and has space left",
        )

    # -- pictures ------------------------------------------------------------------------------

    def _next_ticks(self, time_s: float) -> tuple[int, int]:
        """Returns time and duration of the next picture on the output's clock."""
        if time_s <= self._last_time_s:
            raise ValueError(f"time {time_s} s is not after {self._last_time_s} s")
        tick = round((time_s - self._origin_s) / float(self._tick_s))
        # Two times within one tick stay two frames.
        tick = max(tick, self._last_tick + 1)
        duration = tick - self._last_tick
        if self._last_tick < 0:
            duration = max(1, round(1 / (self._rate * self._tick_s)))
        self._last_tick, self._last_time_s = tick, time_s
        return tick, duration

    def _to_yuv(self, image: np.ndarray) -> av.VideoFrame:
        rgb = av.VideoFrame.from_numpy_buffer(self._pad(image), format="rgb24")
        return self._converter.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def _pad(self, image: np.ndarray) -> np.ndarray:
        """Returns the picture contiguous and with even sides."""
        width, height = self.size_wh
        if width % 2 == 0 and height % 2 == 0:
            return np.ascontiguousarray(image)
        if self._padded is None:
            self._padded = np.empty((height + height % 2, width + width % 2, 3), np.uint8)
        padded = self._padded
        padded[:height, :width] = image
        padded[:height, width:] = image[:, -1:]
        padded[height:] = padded[height - 1]
        return padded


def _choose_tick(rate: Fraction) -> Fraction:
    """Returns a tick of which one frame at ``rate`` is a whole number: 1/90000 s or a little less."""
    if rate.numerator > 240_000:
        return Fraction(1, CLOCK_HZ)  # An average, such as 13940000/139401: no frame lasts that.
    # Whole multiples of numerator / gcd would do as well; this one is simple and small enough.
    if (CLOCK_HZ * rate.denominator) % rate.numerator == 0:
        return Fraction(1, CLOCK_HZ)
    return Fraction(1, rate.numerator * math.ceil(CLOCK_HZ / rate.numerator))
