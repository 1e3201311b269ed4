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
from pose3d.result.record import Camera, PoseSequence, StageRecord, VideoInfo

DIALECT = "pose3d"
VERSION = 1

# Every array of the record in words; not seen is NaN (null in JSON), never zero.
FIELDS: dict[str, str] = {
    "time_s": "presentation time of each frame in seconds from the first frame of the video",
    "valid": "per person: true where seen in this frame; false: interpolated or absent",
    "boxes_xyxy_px": "per person: box as left, top, right, bottom in pixels; origin at the top left "
    "corner of the picture as shown, x right, y down",
    "keypoints_px": "per person and joint: x, y in pixels; the centre of the first pixel is 0.5, 0.5",
    "score": "per person and joint: confidence from 0 to 1",
    "joints_cam_m": "per person and joint: x, y, z in metres from the person's pelvis; axes of the "
    "camera: x right, y down, z forward",
    "root_cam_m": "per person: x, y, z of the pelvis in metres from the camera; axes of the camera: "
    "x right, y down, z forward",
    "hypotheses_cam_m": "per person, hypothesis and joint: x, y, z in metres from the person's pelvis, "
    "of other poses that the lifter holds possible; axes of the camera: x right, y down, z forward",
}

# Arrays that are written for other readers and follow from those of FIELDS.
DERIVED: dict[str, str] = {
    "spread_mm": "per person and joint: root mean square distance of the hypotheses from their mean "
    "in millimetres, all pelvises at one place: what the lifter is unsure about, not an error bar",
}


LOWEST_RATE, HIGHEST_RATE = Fraction(1, 1000), 100_000
LARGEST_SIDE = 1 << 16
LARGEST = {"s": 1e9, "m": 1e5, "px": 1e7, "mm": 1e7}  # values beyond are damage


def arrays_of(pose: PoseSequence) -> dict[str, NDArray]:
    """Returns the arrays that are written; refuses infinite values, which no format can hold."""
    arrays = {name: getattr(pose, name) for name in FIELDS | DERIVED}
    present = {name: array for name, array in arrays.items() if array is not None}
    for name, array in present.items():
        if np.isinf(array).any():
            raise ResultFileError(f"{name} holds infinite values", "Use NaN where nothing was seen")
    return present


def describe(pose: PoseSequence) -> dict[str, Any]:
    """Returns everything but the arrays, as JSON values."""
    rate, camera = pose.video.rate, pose.camera
    return {
        "dialect": DIALECT,
        "version": VERSION,
        "video": asdict(pose.video) | {"rate": [rate.numerator, rate.denominator]},
        "person_ids": [int(i) for i in pose.person_ids],
        "skeleton": asdict(pose.skeleton),
        "camera": None if camera is None else asdict(camera),
        "made_by": [asdict(stage) for stage in pose.made_by],
        "fields": {name: (FIELDS | DERIVED)[name] for name in arrays_of(pose)},
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


def rebuild(header: Mapping[str, Any], arrays: Mapping[str, NDArray], path: Path) -> PoseSequence:
    """Makes the record from :func:`describe`'s values and the arrays, or says what is damaged."""
    try:
        person_ids = np.array([_whole(i) for i in header["person_ids"]], np.int64)
        for name, array in arrays.items():
            if np.isinf(array).any():
                raise ValueError(f"{name} holds infinite values")
            limit = LARGEST.get(name.rsplit("_", 1)[-1])
            # Not through np.abs: a result may be half of the memory.
            if limit is not None and (
                np.fmax.reduce(array, None, initial=0) > limit
                or np.fmin.reduce(array, None, initial=0) < -limit
            ):
                raise ValueError(f"{name} holds values beyond {limit:g}")
        if len(set(person_ids.tolist())) != len(person_ids):
            raise ValueError("person_ids are not unique")
        if not np.isfinite(arrays["time_s"]).all():
            raise ValueError("time_s has gaps")
        return PoseSequence(
            video=_video(header["video"]),
            person_ids=person_ids,
            skeleton=_skeleton(header["skeleton"]),
            camera=_camera(header["camera"]),
            made_by=tuple(_stage(stage) for stage in header["made_by"]),
            **arrays,
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
