"""Opening a media file, and nothing else through it: FFmpeg's containers of one file each."""

from __future__ import annotations

import os
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from pose3d.errors import UsageError, VideoError

# fmt: off
FORMATS = (
    # Moving pictures. Left out is what opens other files or addresses (concat, hls, dash, sdp, rtsp,
    # image2, imf, webm_dash_manifest, ...), what draws (lavfi) and what shows text as pictures (tty).
    "3g2", "3gp", "apng", "asf", "av1", "avi", "cavsvideo", "dirac", "dnxhd", "dv", "dxa",
    "evc", "flic", "flv", "gif", "gxf", "h261", "h263", "h264", "hevc", "ipu", "ivf", "jpegxl_anim",
    "live_flv", "m4v", "matroska", "mj2", "mjpeg", "mlv", "mov", "mp4", "mpeg", "mpegts", "mpegvideo",
    "mpjpeg", "mxf", "nsv", "nut", "nuv", "obu", "ogg", "r3d", "rm", "roq", "smk", "swf", "vc1", "vc1test",
    "vivo", "vvc", "webm", "wtv", "yuv4mpegpipe",
    # Sound.
    "aac", "ac3", "aiff", "amr", "ape", "au", "caf", "dts", "eac3", "flac", "mp3", "tta", "w64", "wav", "wv",
)
# fmt: on
SHORT_OF_LONGEST = 0.5  # a stream of less than this share of the longest is a thumbnail or preview


def open_file(path: str | Path) -> InputContainer:
    """Opens a media file of one of :data:`FORMATS`, no address; av.FFmpegError when it cannot."""
    # "file:": a colon in a name is no protocol. Tags in old encodings must not make a clip unreadable.
    return av.open(
        f"file:{path}",
        metadata_errors="replace",
        options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"},
    )


def open_video_file(path: str) -> InputContainer:
    """Opens a file that should be a video; says in words why it cannot be read."""
    if not os.path.exists(path):
        raise VideoError(f"There is no file {path}", "Check the spelling and the folder")
    if os.path.isdir(path):
        raise VideoError(f"{path} is a folder", "Give a video file")
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        raise VideoError(f"{path} is empty (0 bytes)", "Copy or download it again")
    try:
        return open_file(path)
    except av.FFmpegError as error:
        what = f"{path} is cut off: its index (moov) is not there"
        todo = "Copy or download it again; a recording that was broken off needs a repair tool"
        if not _lacks_index(path):
            why = "of no known format" if isinstance(error, av.ArgumentError) else reason(error)
            what = f"{path} cannot be read as a video ({why})"
            todo = "Check that it is a complete video and no playlist; converting it may help"
        raise VideoError(what, todo) from error


def choose_stream(container: InputContainer, path: str, wanted: int | None) -> VideoStream:
    """Returns video stream ``wanted``; None: the default, else largest, of the long ones.

    Cover pictures are passed over. A UsageError without that stream, a VideoError without any.
    """
    streams = list(container.streams.video)
    if wanted is not None:
        if not 0 <= wanted < len(streams) or streams[wanted].codec_context is None:
            what = f"{path} has no video stream {wanted}"
            raise UsageError(what, f"It has {len(streams)}, counted from 0")
        return streams[wanted]
    moving = moving_streams(container)
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(
            f"{path} has no moving pictures in a codec that is known here, only: {kinds}",
            "Give a file with video",
        )
    lengths_s = [stated_length_s(stream) for stream in moving]
    shortest_s = SHORT_OF_LONGEST * max((s for s in lengths_s if s is not None), default=0.0)
    pairs = zip(moving, lengths_s, strict=True)
    return max(
        (stream for stream, length_s in pairs if length_s is None or length_s >= shortest_s),
        key=lambda s: (s.frames != 1, Disposition.default in s.disposition, s.width * s.height),
    )


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """Returns the video streams that are no cover pictures and whose codec is known."""
    return [
        stream
        for stream in container.streams.video
        if Disposition.attached_pic not in stream.disposition and stream.codec_context is not None
    ]


def stated_length_s(stream: VideoStream) -> float | None:
    """Returns how long a stream says it is, seconds; None where it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION", "")  # Matroska: 00:00:03.021000000
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def reason(error: av.FFmpegError) -> str:
    """Returns why FFmpeg gave up, in its words."""
    return error.strerror or type(error).__name__


def _lacks_index(path: str) -> bool:
    """Tells whether a file is an MP4 or MOV without its ``moov`` box (ISO/IEC 14496-12, 4.2)."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return False
        position = 0
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            if header[4:8] == b"moov":
                return position + int.from_bytes(header[:4], "big") > size
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # The length follows in 64 bits.
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0: up to the end of the file.
                return True
            position += length
    return True
