"""Writing H.264 videos that play everywhere, at the source's times and with its sound."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from pose3d.arguments import check_value, checked
from pose3d.errors import UsageError, VideoError, unknown_name
from pose3d.files import how_to_write, part_path
from pose3d.options import ENCODERS
from pose3d.video.audio import AudioTrack
from pose3d.video.picture import Image

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
# fmt: off
PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)
# fmt: on
HARDWARE = ("h264_videotoolbox", "h264_nvenc", "h264_qsv", "h264_amf")
BITS_PER_PIXEL = 0.1
"""Of hardware encoders, whose scales of quality all differ. Drawings by x264 have 0.03 to 0.05."""
CLOCK_HZ = 90_000  # at least; the clock of MPEG systems, a multiple of most rates and of 1 ms
AUDIO_AHEAD_S = 1.0


class write_video:
    """Writes H.264 (yuv420p, BT.709, moov in front) in an MP4 or MOV file, in a ``with`` statement.

    The first written frame is time 0; frames keep their distances, to 6 microseconds where neither
    the rate nor 1/90000 s divides them. Odd sizes grow by one repeated row or column. The file
    appears when the block ends well, else nothing is left (not :func:`pose3d.files.write_whole`:
    the block is the caller's, whose OSErrors are its own). ``warnings`` says what sound could not
    be kept.

    Args:
        rate: nominal frames per second, 30 when None; the times given to ``write`` decide, the rate
            makes the output's clock fit them exactly.
        audio_from: file whose sound goes along: copied where MP4 can hold it, else AAC.
        audio_range: seconds on that file's clock (0 is its first picture); None: from the first
            written frame to the end.
        audio_clock: number of the video stream of ``audio_from`` whose first picture is 0; None: as
            :func:`pose3d.video.reader.open_video` chooses.
        crf: quality of x264, 0 (lossless) to 51.
        preset: one of x264's.
        x264_params: single settings over the preset, in x264's own form ``name=value:...``.
        encoder: ``"hardware"``: the first of :data:`HARDWARE` that works on this machine, at
            :data:`BITS_PER_PIXEL`; where none does, x264 and a warning.
    """

    @checked
    def __init__(
        self,
        path: str | Path,
        size_wh: tuple[int, int],
        *,
        rate: float | Fraction | None = None,
        audio_from: str | Path | None = None,
        audio_range: tuple[float, float] | None = None,
        audio_clock: int | None = None,
        crf: int = 23,
        preset: str = "veryfast",
        x264_params: str | None = None,
        encoder: str = "x264",
    ) -> None:
        path = Path(path)
        if path.suffix.lower() not in FORMATS:
            raise UsageError(
                f"{path} has no suffix of a video that can be written",
                f"Give a name that ends in {', '.join(FORMATS)}",
            )
        if min(size_wh) < 1:
            raise UsageError(f"The size {size_wh[0]}x{size_wh[1]} is empty", "Give pixels from 1")
        if rate is not None and not 0 < rate < math.inf:
            raise UsageError(f"The rate is {rate}", "Give frames per second above 0")
        if not 0 <= crf <= 51:
            raise UsageError(f"crf is {crf}", "Give 0 (lossless) to 51")
        if preset not in PRESETS:
            raise unknown_name("preset of x264", preset, PRESETS)
        if encoder not in ENCODERS:
            raise unknown_name("encoder", encoder, ENCODERS)
        self.path = path
        self.size_wh = size_wh
        self.warnings: list[str] = []
        exact = Fraction(rate or 30)
        self._rate = exact if isinstance(rate, Fraction) else exact.limit_denominator(1001)
        self._audio_from = audio_from
        self._audio_range = audio_range
        self._audio_clock = audio_clock
        self._options = {"crf": str(crf), "preset": preset}
        if x264_params is not None:
            self._options["x264-params"] = x264_params
        self._encoder, self._bit_rate = "libx264", 0
        if encoder == "hardware":
            found = _working_hardware(*size_wh)
            if found is None:
                self.warnings.append("no hardware encoder works on this machine: x264 encodes")
            else:
                self._encoder, self._options = found, {}
                pixels_a_s = size_wh[0] * size_wh[1] * float(self._rate)
                self._bit_rate = round(BITS_PER_PIXEL * pixels_a_s)
        number, per = self._rate.numerator, self._rate.denominator
        # A frame lasts a whole number of ticks of 1/90000 s or a little less. Of an average, such
        # as 13940000/139401, any tick will do: no frame lasts that.
        fits = number > 240_000 or (CLOCK_HZ * per) % number == 0
        self._tick_s = Fraction(1, CLOCK_HZ if fits else number * math.ceil(CLOCK_HZ / number))
        self.part_path = part_path(path)  # hidden, so find_inputs passes over it
        self._converter = VideoReformatter()
        self._output: OutputContainer | None = None
        self._audio: AudioTrack | None = None
        self._origin_s = 0.0
        self._last_tick = -1
        self._last_time_s = -math.inf

    def __enter__(self) -> write_video:
        """Makes the temporary file, so that a folder without write permission fails at once."""
        if self._audio_from is not None and not os.path.exists(self._audio_from):
            raise VideoError(f"There is no file {self._audio_from}", "Check the spelling")
        with self._as_video_error():
            self.part_path.touch(exist_ok=False)
        return self

    def write(self, image: Image, time_s: float) -> None:
        """Encodes one picture, which may be re-used, at its (increasing) source time."""
        width, height = self.size_wh
        time_s = check_value("time_s", time_s, float)
        image = check_value("image", image, np.ndarray)
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise UsageError(
                f"image is {image.dtype} {image.shape}", f"Give uint8 {(height, width, 3)}, RGB"
            )
        with self._as_video_error():
            output = self._output or self._start(time_s)
            frame = self._to_yuv(image)
            frame.time_base = self._tick_s
            # Of use for the last frame, which has no successor that would tell its duration.
            frame.pts, frame.duration = self._next_ticks(time_s)
            output.mux(self._stream.encode(frame))
            if self._audio is not None:
                self._audio.copy_until(time_s + AUDIO_AHEAD_S)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    # -- file ----------------------------------------------------------------------------------

    def _start(self, time_s: float) -> OutputContainer:
        """Opens encoder and sound; the time of the first picture is the zero of the output."""
        self._origin_s = time_s
        if self._audio_from is not None:
            start_s, end_s = self._audio_range or (time_s, math.inf)
            self._audio = AudioTrack.open(
                self._audio_from,
                self.warnings,
                video_stream=self._audio_clock,
                start_s=max(start_s, time_s),
                end_s=end_s,
                zero_s=time_s,
            )
        self._output = self._open_output()
        if self._audio is not None:
            self._audio.add_to(self._output)
            try:
                self._output.start_encoding()
            except av.FFmpegError as error:
                # Sound that the container refuses must not cost the picture.
                self.warnings.append(f"the sound was left out: {error.strerror}")
                self._audio.close()
                self._audio = None
                self._output = self._open_output()
        return self._output

    def _open_output(self) -> OutputContainer:
        output = av.open(
            f"file:{self.part_path}",
            "w",
            format=FORMATS[self.path.suffix.lower()],
            container_options={"movflags": "+faststart"},
        )
        stream: Any = output.add_stream(self._encoder, rate=self._rate, options=self._options)
        stream.width, stream.height = (side + side % 2 for side in self.size_wh)
        context = stream.codec_context
        context.pix_fmt = _pixels_of(self._encoder)
        if self._bit_rate:
            context.bit_rate = self._bit_rate
        context.time_base = stream.time_base = self._tick_s
        context.thread_count = 0  # as many as x264 thinks useful
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._stream = stream
        return output

    def _finish(self) -> None:
        if self._output is None:
            raise VideoError(f"No picture was written to {self.path}", "Check the range of frames")
        with self._as_video_error():
            self._output.mux(self._stream.encode())
            if self._audio is not None:
                self._audio.copy_until(math.inf)
                self._audio.finish()
                self._audio.close()
            self._output.close()
            os.replace(self.part_path, self.path)

    def _discard(self) -> None:
        if self._audio is not None:
            self._audio.close()
        if self._output is not None:
            # An exception is on its way already; a second one from the half-written file, which is
            # removed anyway, would hide it.
            with contextlib.suppress(av.FFmpegError, OSError):
                self._output.close()
        self.part_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _as_video_error(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            todo = how_to_write(error)
            if isinstance(error, av.error.ExternalError):
                todo = "The encoder says no more; often memory is short: close other programs"
            raise VideoError(
                f"{self.path} cannot be written ({error.strerror or error})", todo
            ) from error

    # -- pictures ------------------------------------------------------------------------------

    def _next_ticks(self, time_s: float) -> tuple[int, int]:
        """Returns time and duration of the next picture on the output's clock."""
        if not self._last_time_s < time_s < math.inf:
            raise UsageError(f"time_s is {time_s}", f"Give a time after {self._last_time_s}")
        tick = round((time_s - self._origin_s) / float(self._tick_s))
        # Two times within one tick stay two frames.
        tick = max(tick, self._last_tick + 1)
        duration = tick - self._last_tick
        if self._last_tick < 0:
            duration = max(1, round(1 / (self._rate * self._tick_s)))
        self._last_tick, self._last_time_s = tick, time_s
        return tick, duration

    def _to_yuv(self, image: np.ndarray) -> av.VideoFrame:
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        rgb = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        return self._converter.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


@cache
def _working_hardware(width: int, height: int) -> str | None:
    """Returns the first of :data:`HARDWARE` that encodes a picture of this size (made even) here."""
    width, height = width + width % 2, height + height % 2
    for name in HARDWARE:
        with contextlib.suppress(av.FFmpegError, ValueError):  # ValueError: not in this build
            context: Any = av.CodecContext.create(name, "w")
            context.width, context.height, context.pix_fmt = width, height, _pixels_of(name)
            context.time_base = Fraction(1, 30)
            context.bit_rate = 1_000_000
            frame = av.VideoFrame(width, height, context.pix_fmt)
            frame.pts = 0
            if [*context.encode(frame), *context.encode()]:
                return name
    return None


def _pixels_of(encoder: str) -> str:
    """Returns yuv420p, or what an encoder takes that does not take it (Quick Sync: nv12)."""
    formats = [format.name for format in av.Codec(encoder, "w").video_formats or ()]
    return "yuv420p" if "yuv420p" in formats or not formats else formats[0]
