"""2D keypoints of other programs, read for lifting.

NPZ or JSON with these names; only ``keypoints`` is needed where flags say the rest:

==============  ==================================================================================
keypoints       ``(frame, person, joint, 2)`` or ``(frame, joint, 2)`` pixels; a third number is the
                score
score           ``(frame, person, joint)`` or ``(frame, joint)``, 0..1
skeleton        name of a skeleton, see :data:`pose3d.skeletons.SKELETONS`
joint_names     names in array order, instead of ``skeleton``
size_wh         width and height of the picture in pixels
rate            frames per second, a number or numerator and denominator
time_s          ``(frame,)`` presentation times, instead of ``rate``
person_ids      ``(person,)`` track ids from 1
==============  ==================================================================================

Not seen is NaN (JSON: null), or a score of 0. Without scores, a point at exactly 0, 0 counts as not
seen as well, for that is how many programs write it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.errors import ResultFileError, UsageError, unknown_name
from pose3d.skeletons import SKELETONS, Skeleton, get_skeleton
from pose3d.types import PoseSequence, StageRecord, VideoInfo

Array = NDArray[np.floating]


def read_keypoints(
    path: str | Path,
    *,
    skeleton: str | None = None,
    video: str | Path | None = None,
    size_wh: tuple[int, int] | None = None,
    rate: float | Fraction | None = None,
) -> PoseSequence:
    """Reads 2D keypoints from an NPZ or JSON file: a result of pose3d, or the simple format above.

    Args:
        path: the file.
        skeleton: of the keypoints; None: as the file says.
        video: the clip they were found in: gives times and size, and is named in the result.
        size_wh: picture size in pixels; None: the video's or the file's.
        rate: frames per second; None: the video's or the file's.

    Returns:
        A record with ``keypoints_px`` and ``score``, without 3D.

    Raises:
        ResultFileError: not such a file, damaged, or its numbers make no sense.
        UsageError: skeleton, rate or size are said nowhere, or contradict the file.
        VideoError: the video cannot be read.
    """
    path = Path(path)
    values = _load(path)
    if "metadata" in values or values.get("dialect") is not None:
        pose = _own_result(path, skeleton)
        return replace(pose, video=replace(pose.video, path=str(video))) if video else pose
    points, score = _points(values, path)
    chosen = _skeleton(values, skeleton, points.shape[2], path)
    time_s, info = _clip(values, len(points), path, video, size_wh, rate)
    unseen = ~np.isfinite(points).all(-1) | ~(score > 0)
    points[unseen] = np.nan
    _check_pixels(points, info.size_wh, path)
    ids = np.asarray(values.get("person_ids", np.arange(1, points.shape[1] + 1)))
    if ids.shape != points.shape[1:2] or ids.dtype.kind not in "iu":
        raise _wrong(path, f"person_ids has shape {ids.shape}, expected one id a person")
    seen = ~unseen
    return PoseSequence(
        video=info,
        time_s=time_s,
        person_ids=ids.astype(np.int64),
        skeleton=chosen,
        boxes_xyxy_px=_boxes(points, seen),
        keypoints_px=points,
        score=np.where(seen, np.clip(score, 0, 1), np.nan).astype(np.float32),
        valid=np.asarray(seen.any(-1)),
        made_by=(_record(path),),
    )


def _own_result(path: Path, skeleton: str | None) -> PoseSequence:
    """Reads a file of pose3d and takes its 3D away."""
    from pose3d.export import read

    pose = read(path)
    if pose.keypoints_px is None or pose.score is None:
        raise UsageError(f"{path} holds no 2D keypoints", "Give a result that has them")
    if skeleton is not None and skeleton != pose.skeleton.name:
        raise UsageError(
            f"{path} says that its skeleton is {pose.skeleton.name}, not {skeleton}",
            "Leave --skeleton out",
        )
    stages = tuple(s for s in pose.made_by if s.stage in ("detect", "keypoints", "track", "read"))
    return replace(pose, joints_cam_m=None, root_cam_m=None, camera=None, made_by=stages)


def _load(path: Path) -> Mapping[str, Any]:
    """Reads the names and values of a file; the content decides the format, not the name."""
    try:
        # Opened here: NumPy leaves a file open whose ZIP directory is broken.
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    if "metadata" in arrays.files:
                        return {"metadata": True}
                    return {name: arrays[name] for name in arrays.files}
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ResultFileError(
            f"{path} cannot be read ({error.strerror or error})", "Check the path"
        ) from error
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise ResultFileError(
            f"{path} is neither NPZ (without pickles) nor JSON ({error})", _HOW
        ) from error
    if not isinstance(values, dict):
        raise ResultFileError(f"{path} holds no JSON object", _HOW)
    return values


_HOW = "Give a file with 'keypoints', frame x person x joint x 2 or 3, see 'pose3d lift --help'"


def _points(values: Mapping[str, Any], path: Path) -> tuple[Array, Array]:
    """Returns points ``(frame, person, joint, 2)`` and scores ``(frame, person, joint)``."""
    if "keypoints" not in values:
        found = ", ".join(sorted(map(str, values))[:8]) or "nothing"
        raise ResultFileError(f"{path} has no 'keypoints' (it has: {found})", _HOW)
    points = _numbers(values["keypoints"], "keypoints", path)
    single = points.ndim == 3
    if single:
        points = points[:, None]
    if points.ndim != 4 or points.shape[-1] not in (2, 3) or 0 in points.shape[:1]:
        raise _wrong(
            path, f"keypoints has shape {points.shape}, expected (frame, person, joint, 2)"
        )
    score = None
    if "score" in values:
        score = _numbers(values["score"], "score", path)
        score = score[:, None] if single and score.ndim == 2 else score
        if score.shape != points.shape[:3]:
            raise _wrong(path, f"score has shape {score.shape}, keypoints {points.shape}")
    elif points.shape[-1] == 3:
        score = points[..., 2]
    points = np.array(points[..., :2], np.float32)
    if score is None:
        score = (points != 0).any(-1).astype(np.float32)
    return points, np.nan_to_num(score, nan=0.0).astype(np.float32)


def _numbers(value: Any, name: str, path: Path) -> Array:
    """Makes a float array of nested lists or an array; null becomes NaN."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise _wrong(path, f"{name} is no regular array of numbers ({error})") from error
    if np.isinf(array).any():
        raise _wrong(path, f"{name} holds infinite values")
    return array


def _skeleton(values: Mapping[str, Any], asked: str | None, joints: int, path: Path) -> Skeleton:
    """Finds out which skeleton the keypoints are of."""
    stated: Skeleton | None = None
    if "skeleton" in values:
        name = str(np.asarray(values["skeleton"])[()])
        if name not in SKELETONS:
            raise unknown_name(f"skeleton (in {path})", name, SKELETONS)
        stated = SKELETONS[name]
    elif "joint_names" in values:
        names = tuple(str(n) for n in np.asarray(values["joint_names"]).ravel())
        fits = [s for s in SKELETONS.values() if s.joints == names]
        if not fits and asked is None:
            raise UsageError(
                f"{path} has joint_names that belong to no skeleton of pose3d",
                f"Bring them into the order of one of: {', '.join(sorted(SKELETONS))}",
            )
        stated = fits[0] if fits else None
    if asked is not None:
        wanted = get_skeleton(asked)
        if stated is not None and stated != wanted:
            raise UsageError(
                f"{path} says that its skeleton is {stated.name}, not {asked}",
                "Leave --skeleton out, or correct the file",
            )
        stated = wanted
    fitting = sorted(s.name for s in SKELETONS.values() if len(s) == joints)
    if stated is None:
        raise UsageError(
            f"{path} does not say which skeleton its {joints} joints are of",
            f"Give --skeleton; with {joints} joints: {', '.join(fitting) or 'none is known'}",
        )
    if len(stated) != joints:
        raise UsageError(
            f"{path} has {joints} joints, skeleton {stated.name} has {len(stated)}",
            f"With {joints} joints: {', '.join(fitting) or 'none is known'}",
        )
    return stated


def _clip(
    values: Mapping[str, Any],
    n_frames: int,
    path: Path,
    video: str | Path | None,
    size_wh: tuple[int, int] | None,
    rate: float | Fraction | None,
) -> tuple[Array, VideoInfo]:
    """Returns times and description of the clip, from the video, the flags or the file."""
    if video is not None:
        time_s, info = _times_of(video)
        if len(time_s) != n_frames:
            raise UsageError(
                f"{path} has {n_frames} frames, {video} has {len(time_s)}",
                "Give the video that the keypoints were found in, or --rate and --size",
            )
        if size_wh is not None and size_wh != info.size_wh:
            raise UsageError(
                f"--size is {size_wh[0]}x{size_wh[1]}, {video} has "
                f"{info.size_wh[0]}x{info.size_wh[1]}",
                "Leave --size out",
            )
        return time_s, info
    size = size_wh if size_wh is not None else _stated_size(values, path)
    if size is None:
        raise UsageError(f"{path} does not say how large the picture is", "Give --size or --video")
    if "time_s" in values and rate is None:
        time_s = _numbers(values["time_s"], "time_s", path)
        increases = time_s.shape == (n_frames,) and bool((np.diff(time_s) > 0).all())
        if not increases or not np.isfinite(time_s).all():
            raise _wrong(path, "time_s is not one increasing time a frame")
        step = float(np.median(np.diff(time_s))) if n_frames > 1 else 1 / 30
        exact = Fraction(1 / step).limit_denominator(1001)
        varies = n_frames > 2 and float(np.ptp(np.diff(time_s))) > 0.1 * step
        return time_s, _info(path, size, exact, n_frames, varies)
    exact_rate = Fraction(rate).limit_denominator(1001) if rate is not None else None
    exact_rate = exact_rate or _stated_rate(values, path)
    if exact_rate is None:
        raise UsageError(f"{path} does not say its frame rate", "Give --rate or --video")
    if not 0 < exact_rate <= 1000:
        raise UsageError(f"The rate is {float(exact_rate):g}", "Give frames per second, 0 to 1000")
    return np.arange(n_frames) / float(exact_rate), _info(path, size, exact_rate, n_frames, False)


def _info(path: Path, size_wh: tuple[int, int], rate: Fraction, n: int, varies: bool) -> VideoInfo:
    return VideoInfo(path=str(path), size_wh=size_wh, rate=rate, n_frames=n, variable_rate=varies)


def _times_of(video: str | Path) -> tuple[Array, VideoInfo]:
    """Reads a video to its end for its exact times."""
    from pose3d.video import open_video

    with open_video(video) as reader:
        time_s = np.array([frame.time_s for frame in reader])
        return time_s, reader.exact_info()


def _stated_size(values: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    if "size_wh" not in values:
        return None
    size = _numbers(values["size_wh"], "size_wh", path).ravel()
    if size.shape != (2,) or not (size >= 1).all():
        raise _wrong(path, "size_wh is not width and height in pixels")
    return int(size[0]), int(size[1])


def _stated_rate(values: Mapping[str, Any], path: Path) -> Fraction | None:
    if "rate" not in values:
        return None
    rate = _numbers(values["rate"], "rate", path).ravel()
    if rate.shape not in ((1,), (2,)) or not (np.isfinite(rate).all() and (rate > 0).all()):
        raise _wrong(path, "rate is neither a number nor numerator and denominator")
    if len(rate) == 1:
        return Fraction(float(rate[0])).limit_denominator(1001)
    return Fraction(int(rate[0]), int(rate[1]))


def _check_pixels(points: Array, size_wh: tuple[int, int], path: Path) -> None:
    """Refuses coordinates that are not pixels, the commonest mistake.

    Raises:
        ResultFileError: everything lies within -1..1.
    """
    if np.isfinite(points).any() and np.nanmax(np.abs(points)) <= 1.5 and min(size_wh) > 4:
        raise ResultFileError(
            f"The keypoints of {path} lie between -1 and 1: they are not in pixels",
            "Scale them to pixels of the picture, origin at the top left",
        )


def _boxes(points: Array, seen: NDArray[np.bool_]) -> Array:
    """Returns the boxes around the seen points ``(frame, person, 4)``; NaN where there is none."""
    low = np.where(seen[..., None], points, np.inf).min(-2)
    high = np.where(seen[..., None], points, -np.inf).max(-2)
    boxes = np.concatenate((low, high), -1)
    boxes[~seen.any(-1)] = np.nan
    return boxes.astype(np.float32)


def _record(path: Path) -> StageRecord:
    import pose3d

    return StageRecord(
        stage="read", name=path.name, version=pose3d.__version__, device_reason="from a file"
    )


def _wrong(path: Path, why: str) -> ResultFileError:
    return ResultFileError(f"{path} cannot be used: {why}", _HOW)
