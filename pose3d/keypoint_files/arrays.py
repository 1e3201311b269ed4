"""The simple format of pose3d, see :mod:`pose3d.keypoint_files.reading`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import SKELETONS
from pose3d.errors import ResultFileError, unknown_name
from pose3d.keypoint_files.joint_names import choose_joints
from pose3d.keypoint_files.poses import LARGEST_NUMBER, Array, Poses, as_numbers, grid_of_poses
from pose3d.keypoint_files.source import Source

HOW = "Give a file with 'keypoints', frame x person x joint x 2 or 3, see 'pose3d lift --help'"


class ArraysReader:
    """Reads arrays by name, with a skeleton or names of joints."""

    kinds = ("npz", "json")

    def recognises(self, source: Source) -> bool:
        values = _values(source)
        return isinstance(values, dict) and ("keypoints" in values or is_result(source))

    def read(self, source: Source) -> Poses:
        values = _values(source)
        if not isinstance(values, dict):
            raise ResultFileError(f"{source} holds no JSON object", HOW)
        points, score = _points(values, source)
        people = _ids(values, points.shape[1], source)
        time_s = as_numbers(values["time_s"], f"{source}: time_s") if "time_s" in values else None
        poses = grid_of_poses(
            points,
            score,
            people,
            time_s=time_s,
            size_wh=_size(values, source),
            rate=_rate(values, source),
            people=people,
        )
        return _with_skeleton(poses, values, source)


def is_result(source: Source) -> bool:
    """Tells whether a file is a result that pose3d wrote."""
    values = _values(source)
    if source.kind == "npz":
        return "metadata" in values
    return isinstance(values, dict) and values.get("dialect") is not None


def _values(source: Source) -> Any:
    return source.arrays if source.kind == "npz" else source.json


def _with_skeleton(poses: Poses, values: Mapping[str, Any], source: Source) -> Poses:
    if "skeleton" in values:
        name = str(np.asarray(values["skeleton"])[()])
        if name not in SKELETONS:
            raise unknown_name(f"skeleton (in {source})", name, SKELETONS)
        return replace(poses, skeleton=SKELETONS[name])
    if "joint_names" not in values:
        return poses
    names = [str(name) for name in np.asarray(values["joint_names"]).ravel()]
    return choose_joints(poses, names, source)


def _points(values: Mapping[str, Any], source: Source) -> tuple[Array, Array]:
    """Returns points ``(frame, person, joint, 2)`` and scores ``(frame, person, joint)``."""
    if "keypoints" not in values:
        found = ", ".join(sorted(map(str, values))[:8]) or "nothing"
        raise ResultFileError(f"{source} has no 'keypoints' (it has: {found})", HOW)
    points = as_numbers(values["keypoints"], f"{source}: keypoints")
    single = points.ndim == 3
    if single:
        points = points[:, None]
    if points.ndim != 4 or points.shape[-1] not in (2, 3) or 0 in points.shape[:1]:
        raise _wrong(
            source, f"keypoints has shape {points.shape}, expected (frame, person, joint, 2)"
        )
    if "score" in values:
        score = as_numbers(values["score"], f"{source}: score")
        score = score[:, None] if single and score.ndim == 2 else score
        if score.shape != points.shape[:3]:
            raise _wrong(source, f"score has shape {score.shape}, keypoints {points.shape}")
    elif points.shape[-1] == 3:
        score = points[..., 2]
    else:
        score = np.ones(points.shape[:-1])
    return points[..., :2], np.nan_to_num(score, nan=0.0)


def _ids(values: Mapping[str, Any], n_people: int, source: Source) -> NDArray[np.int_]:
    if "person_ids" not in values:
        return np.arange(1, n_people + 1)
    ids = as_numbers(values["person_ids"], f"{source}: person_ids")
    if ids.shape != (n_people,):
        raise _wrong(source, f"person_ids has shape {ids.shape}, expected one id a person")
    if (ids != np.round(ids)).any() or (np.abs(ids) > LARGEST_NUMBER).any():
        raise _wrong(source, "person_ids are no whole numbers, or too large")
    if len(np.unique(ids)) < n_people:
        raise _wrong(source, "person_ids has one id twice")
    return ids.astype(int)


def _size(values: Mapping[str, Any], source: Source) -> tuple[int, int] | None:
    if "size_wh" not in values:
        return None
    size = as_numbers(values["size_wh"], f"{source}: size_wh").ravel()
    if size.shape != (2,) or not (size >= 1).all():
        raise _wrong(source, "size_wh is not width and height in pixels")
    return int(size[0]), int(size[1])


def _rate(values: Mapping[str, Any], source: Source) -> Fraction | None:
    if "rate" not in values:
        return None
    rate = as_numbers(values["rate"], f"{source}: rate").ravel()
    if rate.shape not in ((1,), (2,)) or not (np.isfinite(rate).all() and (rate > 0).all()):
        raise _wrong(source, "rate is neither a number nor numerator and denominator")
    if len(rate) == 1:
        return Fraction(float(rate[0])).limit_denominator(1001)
    if (rate != np.round(rate)).any():
        raise _wrong(source, "numerator and denominator of rate are no whole numbers")
    return Fraction(int(rate[0]), int(rate[1]))


def _wrong(source: Source, why: str) -> ResultFileError:
    return ResultFileError(f"{source} cannot be used: {why}", HOW)
