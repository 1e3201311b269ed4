"""Tiny clips of known content, made on the spot: any codec, rate, rotation, times and sound.

Every picture shows a white square on a dark, smoothly coloured ground. Where it is in which picture
is known, so that a reader can be asked for more than "something came out".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

MARKER_PX = 12
"""Side of the square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and what is true about it.

    Args:
        path: the file.
        time_s: ``(frame,)`` presentation times after the first picture, exact.
        marker_px: ``(frame, 2)`` centre of the square as shown.
        size_wh: size as shown.
    """

    path: Path
    time_s: tuple[Fraction, ...]
    marker_px: np.ndarray
    size_wh: tuple[int, int]


def marker_centre_px(index: int, size_wh: tuple[int, int]) -> tuple[float, float]:
    """Returns where the square's centre is in picture ``index``: on a path that visits everything."""
    width, height = size_wh
    room_x, room_y = width - 2 * MARKER_PX, height - 2 * MARKER_PX
    return (
        MARKER_PX + (7 * index) % max(room_x, 1),
        MARKER_PX + (4 * index) % max(room_y, 1),
    )


def draw_marker(index: int, size_wh: tuple[int, int]) -> np.ndarray:
    """Draws picture ``index``, ``(height, width, 3)`` RGB uint8."""
    width, height = size_wh
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 70, width)[None, :]
    image[..., 1] = np.linspace(60, 25, height)[:, None]
    image[..., 2] = 45
    x, y = (int(v) for v in marker_centre_px(index, size_wh))
    half = MARKER_PX // 2
    image[y - half : y + half, x - half : x + half] = 240
    return image


def find_marker(image: np.ndarray) -> tuple[float, float]:
    """Returns the centre of the square in pixels (the first pixel's centre is 0.5, 0.5)."""
    weight = np.clip(image.min(axis=2).astype(float) - 110, 0, None)
    assert weight.sum() > 0, "there is no marker in this picture"
    height, width = weight.shape
    x = (weight.sum(0) * (np.arange(width) + 0.5)).sum() / weight.sum()
    y = (weight.sum(1) * (np.arange(height) + 0.5)).sum() / weight.sum()
    return float(x), float(y)


def need_encoder(name: str) -> None:
    """Skips the test when this build of PyAV cannot write such clips."""
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV has no encoder {name}")


def make_clip(
    path: Path,
    *,
    n_frames: int = 12,
    size_wh: tuple[int, int] = (96, 64),
    rate: Fraction | int = 30,
    time_s: Sequence[Fraction | float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    tick_s: Fraction | None = None,
    turn_deg: int = 0,
    mirror: bool = False,
    sample_aspect: Fraction | None = None,
    audio: str | None = None,
    audio_s: float | None = None,
    audio_hz: int = 44100,
    first_pts_s: Fraction = Fraction(0),
    metadata: dict[str, str] | None = None,
    container: str | None = None,
) -> Clip:
    """Writes a clip whose pictures, as shown, are those of :func:`draw_marker`.

    Args:
        path: the file; its suffix chooses the container, unless ``container`` names FFmpeg's muxer.
        n_frames: number of pictures.
        size_wh: size as shown, before ``sample_aspect`` stretches it.
        rate: frames per second, when ``time_s`` is not given.
        time_s: presentation times of the pictures, for a varying rate.
        codec: name of FFmpeg's encoder.
        pix_fmt: pixel format of the encoder.
        options: options of the encoder.
        tick_s: time base of the stream; None: the frame duration, or a millisecond.
        turn_deg: clockwise degrees that the file asks players to turn the stored picture by.
        mirror: the file also asks to mirror it, before turning.
        sample_aspect: width of a stored pixel over its height.
        audio: encoder of a sound track: one 1 ms click in each half second, else silence.
        audio_s: length of the sound; None: that of the pictures; 0: a track without packets.
        audio_hz: sample rate.
        first_pts_s: timestamp of the first picture in the container.
        metadata: tags of the container.

    Returns:
        The clip and its truth.
    """
    need_encoder(codec)
    rate = Fraction(rate)
    times = [Fraction(t) for t in time_s] if time_s else [i / rate for i in range(n_frames)]
    tick_s = tick_s or (Fraction(1, 1000) if time_s else 1 / rate)
    with av.open(str(path), "w", format=container) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stored = _store(draw_marker(0, size_wh), turn_deg, mirror)
        stream.width, stream.height, stream.pix_fmt = stored.shape[1], stored.shape[0], pix_fmt
        stream.codec_context.time_base = stream.time_base = tick_s
        if sample_aspect is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        if turn_deg or mirror:
            if not hasattr(stream, "set_display_matrix"):
                pytest.skip("this PyAV cannot write display matrices")
            stream.set_display_matrix(_display_matrix(turn_deg, mirror))
        sound = None
        if audio is not None:
            sound = output.add_stream(audio, rate=audio_hz, layout="mono")
        for index, time in enumerate(times):
            image = _store(draw_marker(index, size_wh), turn_deg, mirror)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round((time + first_pts_s) / tick_s), tick_s
            output.mux(stream.encode(frame.reformat(format=pix_fmt)))
        output.mux(stream.encode(None))
        if sound is not None:
            length_s = float(times[-1] + 1 / rate) if audio_s is None else audio_s
            _write_clicks(output, sound, length_s, audio_hz)
    return Clip(
        path=path,
        time_s=tuple(time - times[0] for time in times),
        marker_px=np.array([marker_centre_px(i, size_wh) for i in range(len(times))]),
        size_wh=size_wh,
    )


def click_times_s(length_s: float) -> np.ndarray:
    """Returns when the sound of a clip clicks: at 0.25 s, 0.75 s, 1.25 s and so on."""
    return np.arange(0.25, length_s, 0.5)


def find_clicks_s(path: Path) -> np.ndarray:
    """Decodes the sound of a file and returns when it clicks, on the file's own clock."""
    loud: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float)).max(axis=0)
            if frame.format.name.startswith("s16"):
                samples = samples / 32768
            assert frame.pts is not None
            begin_s = float(frame.pts * frame.time_base)
            loud += [begin_s + i / frame.sample_rate for i in np.flatnonzero(samples > 0.3)]
    times = np.array(loud)
    if not len(times):
        return times
    return np.array([g.mean() for g in np.split(times, np.flatnonzero(np.diff(times) > 0.1) + 1)])


def write_images(
    folder: Path, names: Sequence[str], *, size_wh: tuple[int, int] = (96, 64)
) -> None:
    """Writes picture ``i`` under ``names[i]`` into a new folder."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        image = np.ascontiguousarray(draw_marker(index, size_wh)[..., ::-1])
        ok, data = cv2.imencode(Path(name).suffix, image)
        assert ok
        (folder / name).write_bytes(data.tobytes())


def _store(shown: np.ndarray, turn_deg: int, mirror: bool) -> np.ndarray:
    """Returns the stored picture that becomes ``shown`` after mirroring, then turning clockwise."""
    stored = np.rot90(shown, turn_deg // 90)
    return stored[:, ::-1] if mirror else stored


def _display_matrix(turn_deg: int, mirror: bool) -> list[int]:
    """Returns ISO 14496-12's matrix (16.16, last column 2.30) of a clockwise turn, y down."""
    one = 1 << 16
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn_deg]
    flip = -1 if mirror else 1
    return [flip * cos * one, flip * sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30]


def _write_clicks(
    output: av.container.OutputContainer, stream: av.AudioStream, length_s: float, rate_hz: int
) -> None:
    samples = np.zeros((1, round(length_s * rate_hz)), np.float32)
    for time in click_times_s(length_s):
        begin = round((time - 0.0005) * rate_hz)
        samples[0, begin : begin + rate_hz // 1000] = 0.9
    for begin in range(0, samples.shape[1], 1024):
        piece = np.ascontiguousarray(samples[:, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, begin, Fraction(1, rate_hz)
        output.mux(stream.encode(frame))
    if samples.shape[1]:
        output.mux(stream.encode(None))
