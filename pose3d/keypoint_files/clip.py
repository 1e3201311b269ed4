"""Where the poses of a file lie in time: frame numbers, times, rate and size of the clip."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError, UsageError
from pose3d.keypoint_files.poses import Array, Poses
from pose3d.keypoint_files.source import damaged
from pose3d.result.contents import LARGEST_SIDE, LOWEST_RATE
from pose3d.result.record import Camera, VideoInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The frames, times and description of a clip."""

    frames: NDArray[np.int_]  # ``(row,)`` index of each pose's frame, from 0
    time_s: Array  # ``(frame,)``
    info: VideoInfo  # description of the clip
    first: int  # number that frame 0 has in the file
    unlisted: int  # frames of which the file says nothing
    camera: Camera | None  # of the video, where that tells


def place_in_time(
    poses: Poses,
    path: Path,
    video: str | Path | None,
    size_wh: tuple[int, int] | None,
    rate: float | Fraction | None,
    first_frame: int | None,
) -> Clip:
    """Finds times and description of the clip, from the video, the user or the file; arguments as
    for :func:`~pose3d.keypoint_files.reading.read_keypoints`."""
    numbers, first = _numbers(poses, path, first_frame)
    n = int(numbers[-1]) - first + 1
    if video is not None:
        time_s, info, camera = _times_of(video)
        if n > len(time_s) or (poses.complete and n < len(time_s)):
            starts = "" if poses.complete else f" (the first has number {first})"
            raise UsageError(
                f"{path} has {n} frames{starts}, {video} has {len(time_s)}",
                "Give the video that the keypoints were found in, or --rate and --size",
            )
        if size_wh is not None and size_wh != info.size_wh:
            raise UsageError(
                f"--size is {size_wh[0]}x{size_wh[1]}, {video} has "
                f"{info.size_wh[0]}x{info.size_wh[1]}",
                "Leave --size out",
            )
    else:
        size = size_wh if size_wh is not None else poses.size_wh
        if size is None:
            raise UsageError(
                f"{path} does not say how large the picture is", "Give --size or --video"
            )
        if not 1 <= min(size) <= max(size) <= LARGEST_SIDE:
            raise UsageError(
                f"The picture of {path} is {size[0]}x{size[1]}",
                f"Give a --size of 1 to {LARGEST_SIDE} pixels a side",
            )
        camera = None
        time_s, exact, varies = _times(poses, numbers - first, n, path, rate)
        info = VideoInfo(path=str(path), size_wh=size, rate=exact, n_frames=n, variable_rate=varies)
    return Clip(
        frames=poses.frames - first,
        time_s=time_s,
        info=info,
        first=first,
        unlisted=len(time_s) - len(numbers),
        camera=camera,
    )


def _numbers(poses: Poses, path: Path, first_frame: int | None) -> tuple[NDArray[np.int_], int]:
    """Returns all frame numbers that the file speaks of, increasing, and the clip's first one."""
    listed = poses.numbers if poses.numbers is not None else np.unique(poses.frames)
    if not len(listed):
        raise damaged(f"{path} holds no frame")
    numbers, counts = np.unique(listed, return_counts=True)
    if (counts > 1).any():
        raise damaged(f"{path} has frame {numbers[counts > 1][0]} twice")
    first = first_frame if first_frame is not None else poses.first
    first = int(numbers[0]) if first is None else first
    if numbers[0] < first:
        raise UsageError(
            f"{path} has a frame {numbers[0]}, before the first one ({first})",
            f"Give --first-frame {numbers[0]}",
        )
    last = int(numbers[-1])
    if last - first + 1 > 50 * len(numbers) + 1000:
        raise ResultFileError(
            f"{path}: {len(numbers)} frame numbers lie between {first} and {last}, so they are not "
            "those of one clip",
            "Number the frames in turn, or give --first-frame",
        )
    return numbers, first


def _times(
    poses: Poses, listed: NDArray[np.int_], n: int, path: Path, rate: float | Fraction | None
) -> tuple[Array, Fraction, bool]:
    """Returns the time of every frame, the rate, and whether it varies."""
    if poses.time_s is not None and rate is None:
        given = poses.time_s
        increases = given.shape == listed.shape and bool((np.diff(given) > 0).all())
        if not increases or not np.isfinite(given).all():
            raise ResultFileError(
                f"{path}: time_s is not one increasing time a frame", "Give --rate or --video"
            )
        step = float(np.median(np.diff(given) / np.diff(listed))) if len(given) > 1 else 1 / 30
        if not 1e-6 <= step <= 1000:
            raise ResultFileError(
                f"{path}: frames of time_s are {step:g} s apart", "Write seconds, or give --rate"
            )
        # Frames of which the file says nothing lie between, or before, at the usual step.
        time_s = np.interp(np.arange(n), listed, given)
        time_s[: listed[0]] = given[0] - step * np.arange(int(listed[0]), 0, -1)
        varies = n > 2 and float(np.ptp(np.diff(time_s))) > 0.1 * step
        return time_s, Fraction(1 / step).limit_denominator(1001), varies
    exact = Fraction(rate).limit_denominator(1001) if rate is not None else poses.rate
    if exact is None:
        raise UsageError(f"{path} does not say its frame rate", "Give --rate or --video")
    if not LOWEST_RATE <= exact <= 1000:
        raise UsageError(f"The rate is {float(exact):g}", "Give frames per second, 0.001 to 1000")
    return np.arange(n) / float(exact), exact, False


def _times_of(video: str | Path) -> tuple[Array, VideoInfo, Camera | None]:
    from pose3d.video.reader import open_video

    with open_video(video) as reader:
        time_s = np.array([frame.time_s for frame in reader])
        return time_s, reader.exact_info(), reader.find_camera()
