"""The video of a page: taken as it is where browsers play it, else written anew."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np

from pose3d.files import write_whole
from pose3d.render.compose import fit_picture
from pose3d.render.video import video_frames
from pose3d.result.record import PoseSequence
from pose3d.video.container import choose_stream, open_video_file
from pose3d.video.picture import IN_MEMORY
from pose3d.video.reader import camera_index, open_video
from pose3d.video.writer import write_video

EMBED_BYTES = 32_000_000
"""A larger video is linked, not embedded."""
_HEIGHT_PX = 720  # of what is written anew, at most

# What Chrome, Firefox and Safari play: container -> MIME type, codecs.
# Reference: MDN Web Docs, "Web video codec guide" and "Media container formats".
_CONTAINERS = dict.fromkeys((".mp4", ".m4v", ".mov"), "video/mp4") | {".webm": "video/webm"}
_PICTURES = {"video/mp4": {"h264", "av1"}, "video/webm": {"vp8", "vp9", "av1"}}
_SOUNDS = {"video/mp4": {"aac", "mp3"}, "video/webm": {"vorbis", "opus"}}
_PIXELS = ("yuv420p", "yuvj420p")  # others have few decoders


@dataclass(frozen=True, slots=True, kw_only=True)
class PageVideo:
    """What a page plays; without data and link only ``note`` says why there is nothing."""

    mime: str = ""
    data: bytes | None = None  # the file, embedded
    link: str | None = None  # address from the page, of a file that is too large to embed
    first_s: float = 0.0  # when the player shows the picture of time_s = 0
    note: str = ""


def choose_video(pose: PoseSequence, video: str | Path | None, folder: Path) -> PageVideo:
    """Returns the video for a page in ``folder``; ``video`` None is the one the result names.

    A file that is not there is said in ``note``; a given one is a VideoError.
    """
    source = Path(video if video is not None else pose.video.path)
    if video is None:
        if pose.video.path == IN_MEMORY or camera_index(source) is not None:
            return PageVideo(note="The pictures were not kept: this result was made live.")
        if not source.exists():
            return PageVideo(note=f"{source.name} was not there when this page was made.")
    played = _as_it_is(pose, source)
    if played is None:
        return _write_anew(pose, source, folder)
    mime, first_s = played
    if source.stat().st_size > EMBED_BYTES:
        link = quote(Path(os.path.relpath(source, folder)).as_posix())
        return PageVideo(mime=mime, link=link, first_s=first_s)
    return PageVideo(mime=mime, data=source.read_bytes(), first_s=first_s)


def _as_it_is(pose: PoseSequence, source: Path) -> tuple[str, float] | None:
    """Returns MIME type and the player's time of the first picture; None: browsers cannot play it."""
    mime = _CONTAINERS.get(source.suffix.lower())
    if mime is None or not source.is_file():
        return None
    stream_number = _stream_of(pose, source)
    with open_video(source, stream=stream_number) as reader:
        if reader.info.rotation_deg != pose.video.rotation_deg:  # the user turned it
            return None
    with open_video_file(str(source)) as container:
        stream = choose_stream(container, str(source), stream_number)
        context = stream.codec_context
        sounds = {sound.codec_context.codec.canonical_name for sound in container.streams.audio}
        if (
            len(container.streams.video) > 1  # a browser chooses one for itself
            # Chromium then seeks to wrong frames, because it goes by the times of decoding.
            or (pose.video.variable_rate and context.has_b_frames)
            or context.codec.canonical_name not in _PICTURES[mime]
            or context.pix_fmt not in _PIXELS
            or not sounds <= _SOUNDS[mime]
        ):
            return None
        first = (stream.start_time or 0) * (stream.time_base or Fraction(1))
        return mime, float(first) - (container.start_time or 0) / av.time_base


def _stream_of(pose: PoseSequence, source: Path) -> int | None:
    """Returns the stream that the result was made from; another file may have others."""
    return pose.video.stream if source == Path(pose.video.path) else None


def _write_anew(pose: PoseSequence, source: Path, folder: Path) -> PageVideo:
    """Writes the pictures of the result's rows as H.264; beside the page if it is too large."""
    width, height = pose.video.size_wh
    zoom = min(1.0, _HEIGHT_PX / height)
    size = (max(2, 2 * round(width * zoom / 2)), max(2, 2 * round(height * zoom / 2)))
    sound = source if pose.video.has_audio and source.is_file() else None
    image = np.zeros((size[1], size[0], 3), np.uint8)
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "clip.mp4"
        with write_video(
            made,
            size,
            rate=pose.video.rate,
            audio_from=sound,
            audio_clock=_stream_of(pose, source) if sound else None,
            x264_params="keyint=30:bframes=0",  # quick and exact seeking
        ) as writer:
            for picture, row in video_frames(pose, source):
                if picture is not None:  # else the one before stays
                    image = np.ascontiguousarray(fit_picture(picture, size))
                writer.write(image, float(pose.time_s[row]))
        first_s = -float(pose.time_s[0])
        if made.stat().st_size <= EMBED_BYTES:
            return PageVideo(mime="video/mp4", data=made.read_bytes(), first_s=first_s)
        beside = folder / f"{source.stem}.view.mp4"
        with write_whole(beside) as part:
            shutil.copyfile(made, part)
    return PageVideo(mime="video/mp4", link=quote(beside.name), first_s=first_s)
