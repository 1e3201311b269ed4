"""The reader: one loop over frames for video files, folders of images and cameras."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from pose3d.arguments import checked
from pose3d.errors import UsageError, VideoError
from pose3d.result.camera import Camera
from pose3d.result.record import VideoInfo
from pose3d.video.picture import Image, Video
from pose3d.video.sources import is_network_camera
from pose3d.video.timestamps import measure_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFrame:
    """One picture of a clip."""

    index: int  # among the frames that are read, from 0: the row of a ``PoseSequence``
    time_s: float  # presentation time, seconds after the first picture of the whole clip
    image: Image  # contiguous, free to be drawn on


class FrameSource(Protocol):
    """What a :class:`VideoReader` reads from: a file, a folder of images or a camera."""

    info: VideoInfo
    tick_s: Fraction
    stated_rates: tuple[Fraction, ...]
    warnings: list[str]

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time in seconds, strictly increasing, and picture; called once."""

    def find_camera(self) -> Camera | None:
        """Looks for a description of the camera beside the clip and in it."""

    def close(self) -> None:
        """Releases file or device; may be called twice."""


class VideoReader:
    """Iterates the frames of a clip once, in order, holding one; made by :func:`open_video`."""

    info: VideoInfo  # what the container states; ``n_frames`` is a guess, 0 when nothing is stated
    warnings: list[str]  # what was wrong and how it was handled, one sentence each; grows

    def __init__(self, source: FrameSource) -> None:
        self._source, self.info, self.warnings = source, source.info, source.warnings
        self._time_s = array("d")
        self._state = "new"

    def find_camera(self) -> Camera | None:
        """Returns the camera that ``NAME.camera.json`` or the clip itself describes; None: neither.

        VideoError: the sidecar cannot be used.
        """
        return self._source.find_camera()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the file or the camera."""
        self._source.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._state != "new":
            raise VideoError(f"{self.info.path} is being read by this reader", "Open it again")
        self._state = "reading"
        return self._frames()

    def _frames(self) -> Iterator[VideoFrame]:
        for index, (time_s, image) in enumerate(self._source.frames()):
            self._time_s.append(time_s)
            yield VideoFrame(index=index, time_s=time_s, image=image)
            # The local would keep this picture alive while the next one is decoded.
            del image
        self._state = "read"

    def exact_info(self) -> VideoInfo:
        """Returns the information with counted frames and measured rate, once all were read."""
        if self._state != "read":
            raise VideoError(f"{self.info.path} was not read to its end", "Read all frames first")
        rate, varies = measure_rate(
            np.frombuffer(self._time_s, np.float64),
            tick_s=self._source.tick_s,
            candidates=self._source.stated_rates,
        )
        if os.path.isdir(self.info.path):  # numbered images: what a number lasts was given
            rate = self.info.rate
        return replace(self.info, n_frames=len(self._time_s), rate=rate, variable_rate=varies)


@checked
def open_video(
    path: Video,
    *,
    start: float | None = None,
    end: float | None = None,
    rotate: int | None = None,
    rate: float | Fraction | None = None,
    duration: float | None = None,
    stream: int | None = None,
) -> VideoReader:
    """Opens a video file, a folder of images, a camera or pictures; decodes the first picture.

    Pictures are as players show them: turned and mirrored by the display matrix, pixels made square
    by stretching the axis that grows (an aspect within 1 % is left alone); interlaced as stored.
    Frames with ``start <= time < end``, seconds after the clip's first picture, are read.

    Args:
        path: a file, a folder of images (in natural order), the number of a camera, the address of one
            (``rtsp://``), or RGB pictures of one size: an array ``(frame, height, width, 3)`` or any
            iterable, uint8.
        rotate: clockwise degrees (0, 90, 180, 270) instead of the turn that the file asks for.
        rate: frames per second of pictures, which need it, and of a folder of images (there 30 when
            None). Refused for anything else.
        duration: seconds to record from a camera; None: until closed. Files ignore it.
        stream: number among the video streams of a file, from 0; None: the longest. Refused for
            anything else.
    """
    if rotate not in (None, 0, 90, 180, 270):
        raise UsageError(f"rotate is {rotate}", "Give 0, 90, 180 or 270")
    if start is not None and start < 0:
        raise UsageError(f"start is {start}", "Give seconds from 0")
    if end is not None and end <= (start or 0.0):
        raise UsageError(f"end {end} is not after start {start or 0}", "Give a later end")
    if rate is not None and not 0 < rate < math.inf:
        raise UsageError(f"rate is {rate}", "Give frames per second above 0")
    if not isinstance(path, (str, Path, int)):
        from pose3d.video.frames import ArraySource

        if rate is None:
            raise UsageError("rate was not given", "Give the frames per second of the pictures")
        pictures = ArraySource(path, start=start, end=end, rotate=rotate or 0, rate=rate)
        return VideoReader(pictures)
    camera, is_folder = camera_index(path), not isinstance(path, int) and os.path.isdir(path)
    if rate is not None and not is_folder:
        raise UsageError(f"{path} has a rate of its own", "Give one only with folders of images")
    if stream is not None and (camera is not None or is_folder or is_network_camera(path)):
        raise UsageError(f"{path} has no streams", "Give one only with video files")
    # Imported here, because listing and checking inputs needs neither PyAV nor OpenCV.
    if is_network_camera(path):
        from pose3d.video.network import NetworkSource

        _refuse_for_cameras(start, end)
        return VideoReader(NetworkSource(str(path), duration=duration, rotate=rotate or 0))
    if camera is not None:
        from pose3d.video.images import CameraSource

        _refuse_for_cameras(start, end)
        return VideoReader(CameraSource(camera, duration=duration, rotate=rotate or 0))
    if is_folder:
        from pose3d.video.images import FolderSource

        source = FolderSource(str(path), start=start, end=end, rotate=rotate or 0, rate=rate or 30)
        return VideoReader(source)
    from pose3d.video.decode import FileSource

    return VideoReader(FileSource(str(path), start=start, end=end, rotate=rotate, stream=stream))


def _refuse_for_cameras(start: float | None, end: float | None) -> None:
    if start is not None or end is not None:
        raise UsageError("A camera has no start or end", "Give a duration")


def camera_index(path: str | Path | int) -> int | None:
    """Returns the number of the camera that ``path`` names, or None when it names a path."""
    if isinstance(path, int):
        return path
    text = str(path)
    return int(text) if text.isascii() and text.isdigit() and not os.path.exists(text) else None


def plays_by_itself(path: str | Path | int) -> bool:
    """Tells whether pictures of ``path`` come at their own pace, as those of cameras do."""
    return is_network_camera(path) or camera_index(path) is not None
