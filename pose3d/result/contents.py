"""What a result file says about itself: the part that every lossless format shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import SKELETONS, Skeleton
from pose3d.errors import ResultFileError
from pose3d.result.record import (
    Camera,
    PoseSequence,
    StageRecord,
    VideoInfo,
    fill_spans,
    is_known,
)

DIALECT = "pose3d"
VERSION = 2

TIME = "presentation time of each frame in seconds from the first frame of the video"

# Every array that has a row for each person in each frame in words, see ROW_ARRAYS; people who are
# away have no row. Not seen is NaN (null in JSON), never zero.
FIELDS: dict[str, str] = {
    "valid": "true where seen in this frame; false: interpolated",
    "boxes_xyxy_px": "box as left, top, right, bottom in pixels; origin at the top left corner of the "
    "picture as shown, x right, y down",
    "keypoints_px": "for each joint: x, y in pixels; the centre of the first pixel is 0.5, 0.5",
    "score": "for each joint: confidence from 0 to 1",
    "joints_cam_m": "for each joint: x, y, z in metres from the person's pelvis; axes of the camera: x "
    "right, y down, z forward",
    "root_cam_m": "x, y, z of the pelvis in metres from the camera; axes of the camera: x right, y "
    "down, z forward",
    "hypotheses_cam_m": "for each hypothesis and joint: x, y, z in metres from the person's pelvis, of "
    "other poses that the lifter holds possible; axes of the camera: x right, y down, z forward",
}

# Arrays that are written for other readers and follow from those of FIELDS.
DERIVED: dict[str, str] = {
    "spread_mm": "for each joint: root mean square distance of the hypotheses from their mean "
    "in millimetres, all pelvises at one place: what the lifter is unsure about, not an error bar",
}


LOWEST_RATE, HIGHEST_RATE = Fraction(1, 1000), 100_000
LARGEST_SIDE = 1 << 16
LARGEST = {"s": 1e9, "m": 1e5, "px": 1e7, "mm": 1e7}  # values beyond are damage


def rows_of(pose: PoseSequence) -> dict[str, NDArray]:
    """Returns what is written of the rows that hold anything: ``frame``, ``person_id``, arrays.

    Refuses infinite values, which no format can hold.
    """
    arrays = {name: getattr(pose, name) for name in FIELDS | DERIVED}
    there = {name: array for name, array in arrays.items() if array is not None}
    known = np.zeros(len(pose.frame), bool)
    for name, array in there.items():
        if np.isinf(array).any():
            raise ResultFileError(f"{name} holds infinite values", "Use NaN where nothing was seen")
        known |= is_known(array)
    rows = {"frame": pose.frame, "person_id": pose.person_id, **there}
    return rows if known.all() else {name: array[known] for name, array in rows.items()}


def describe(pose: PoseSequence, rows: Mapping[str, NDArray]) -> dict[str, Any]:
    """Returns everything but the arrays, as JSON values; ``rows`` are those of :func:`rows_of`."""
    rate, camera = pose.video.rate, pose.camera
    written = set(rows["person_id"].tolist())
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "video": asdict(pose.video) | {"rate": [rate.numerator, rate.denominator]},
        "person_ids": [i for i in pose.person_ids.tolist() if i in written],
        "skeleton": asdict(pose.skeleton),
        "camera": None if camera is None else asdict(camera),
        "made_by": [asdict(stage) for stage in pose.made_by],
        "fields": {name: words for name, words in (FIELDS | DERIVED).items() if name in rows},
    }


def check_dialect(header: Mapping[str, Any], path: Path) -> None:
    """Refuses files of other programs and of other versions."""
    if header.get("dialect") != DIALECT:
        raise ResultFileError(
            f"{path} is not a result of pose3d: its dialect is {header.get('dialect')!r}",
            "Give a pose.npz or pose.json; for keypoints of other programs use 'pose3d lift'",
        )
    if header.get("version") != VERSION:
        what = f"{path} has version {header.get('version')!r}, this pose3d reads {VERSION}"
        raise ResultFileError(what, "Update pose3d, or make the result again")


def rebuild(
    header: Mapping[str, Any], time_s: NDArray, rows: Mapping[str, NDArray], path: Path
) -> PoseSequence:
    """Makes the record from :func:`describe`'s values and the rows, or says what is damaged."""
    try:
        order = [_whole(i) for i in header["person_ids"]]
        arrays = {name: rows[name] for name in FIELDS if name in rows}
        for name, array in ({"time_s": time_s} | arrays).items():
            if np.isinf(array).any():
                raise ValueError(f"{name} holds infinite values")
            limit = LARGEST.get(name.rsplit("_", 1)[-1])
            # Not through np.abs: a result may be half of the memory.
            if limit is not None and (
                np.fmax.reduce(array, None, initial=0) > limit
                or np.fmin.reduce(array, None, initial=0) < -limit
            ):
                raise ValueError(f"{name} holds values beyond {limit:g}")
        if not np.isfinite(time_s).all():
            raise ValueError("time_s has gaps")
        if len(set(order)) != len(order):
            raise ValueError("person_ids are not unique")
        frame, person_id = rows["frame"], rows["person_id"]
        if len(frame) and not 0 <= frame.min() <= frame.max() < len(time_s):
            raise ValueError("rows are of frames that it does not have")
        return PoseSequence(
            video=_video(header["video"]),
            time_s=time_s,
            skeleton=_skeleton(header["skeleton"]),
            camera=_camera(header["camera"]),
            made_by=tuple(_stage(stage) for stage in header["made_by"]),
            **fill_spans(frame, person_id, arrays, order),
        )
    except KeyError as error:
        raise damaged(path, f"{error.args[0]} is missing") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> ResultFileError:
    """Builds the error for a file that is a result but cannot be used."""
    return ResultFileError(f"{path} is damaged: {why}", "Make the result again")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _video(values: Mapping[str, Any]) -> VideoInfo:
    width, height = (_whole(v) for v in values["size_wh"])
    numerator, denominator = (_whole(v) for v in values["rate"])
    rate = Fraction(numerator, denominator)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"its rate {float(rate):g} is not from {LOWEST_RATE} to {HIGHEST_RATE}")
    if not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise ValueError(f"its size {width} x {height} is not from 1 to {LARGEST_SIDE} pixels")
    return VideoInfo(
        path=str(values["path"]),
        size_wh=(width, height),
        rate=rate,
        n_frames=_whole(values["n_frames"]),
        variable_rate=bool(values["variable_rate"]),
        rotation_deg=_whole(values["rotation_deg"]),
        has_audio=bool(values["has_audio"]),
        stream=_whole(values["stream"]),
    )


def _skeleton(values: Mapping[str, Any]) -> Skeleton:
    """A known name must mean the known joints."""
    found = Skeleton(
        str(values["name"]),
        tuple(str(joint) for joint in values["joints"]),
        tuple(_whole(parent) for parent in values["parents"]),
        tuple((_whole(a), _whole(b)) for a, b in values["extra_bones"]),
    )
    linked = [*found.parents, *(joint for bone in found.extra_bones for joint in bone)]
    if any(not -1 <= joint < len(found) for joint in linked):
        raise ValueError("the skeleton links joints that it does not have")
    known = SKELETONS.get(found.name)
    if known is not None and known != found:
        raise ValueError(f"skeleton {found.name!r} has other joints than pose3d's")
    return known or found


def _camera(values: Mapping[str, Any] | None) -> Camera | None:
    if values is None:
        return None
    up, ground, focal = values["up_cam"], values["ground_m"], float(values["focal_px"])
    matrix, distortion = values.get("matrix_px"), values.get("distortion", ())
    if not focal <= LARGEST["px"] or (matrix and np.abs(matrix).max() > LARGEST["px"]):
        raise ValueError(f"focal_px is {focal:g}, matrix_px {matrix}")
    if ground is not None and not abs(float(ground)) <= LARGEST["m"]:
        raise ValueError(f"ground_m is {ground}")
    if up is not None:
        x, y, z = (float(v) for v in up)
        if not math.isclose(math.hypot(x, y, z), 1, abs_tol=1e-3):
            raise ValueError(f"up_cam {up} is no unit vector")
        up = (x, y, z)
    return Camera(
        focal_px=focal,
        focal_source=str(values["focal_source"]),
        focal_from=str(values.get("focal_from", "")),
        matrix_px=None
        if matrix is None
        else tuple((float(a), float(b), float(c)) for a, b, c in matrix),
        distortion=tuple(float(k) for k in distortion),
        up_cam=up,
        ground_m=None if ground is None else float(ground),
    )


def _stage(values: Mapping[str, Any]) -> StageRecord:
    words = ("stage", "name", "version", "device", "device_reason")
    return StageRecord(
        **{name: str(values[name]) for name in words},
        weights=values["weights"],
        sha256=values["sha256"],
        options=dict(values["options"]),
    )
