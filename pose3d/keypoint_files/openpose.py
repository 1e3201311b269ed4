"""OpenPose: a folder of JSON files, one a frame (``--write_json``).

A pose is ``x, y, score`` of each body part in turn, 0, 0, 0 where it was not found. Files are called
``<video>_000000000012_keypoints.json``, numbered from 0; those of pictures have the picture's name.

Reference: ``doc/02_output.md`` and ``include/openpose/pose/poseParameters.hpp`` of
CMU-Perceptual-Computing-Lab/openpose; ``person_id`` is -1 unless its tracker runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.body.skeletons import OPENPOSE18, OPENPOSE25
from pose3d.errors import ResultFileError
from pose3d.keypoint_files.frames import number_frames
from pose3d.keypoint_files.poses import PoseRows, Poses, as_pose, as_whole
from pose3d.keypoint_files.source import Source

_OF_A_VIDEO = re.compile(r"_\d{12}_keypoints\.json")
_KEYS = ("pose_keypoints_2d", "pose_keypoints")  # the second: until version 1.0 of 2017


class OpenPoseReader:
    """Reads BODY_25 and COCO (18 parts)."""

    description = "OpenPose: a folder of JSON files, one a frame; BODY_25 or COCO-18"
    kinds = ("folder of .json", "json")

    def recognises(self, source: Source) -> bool:
        if source.kind == "folder of .json":
            return _is_frame(source.parts[0][1])
        return source.kind == "json" and _is_frame(source.json)

    def read(self, source: Source) -> Poses:
        parts = source.parts
        names = [path.name for path, _ in parts]
        numbers = number_frames(names, source)
        rows = PoseRows(str(source))
        for number, (path, value) in zip(numbers, parts, strict=True):
            for person in _people(value, path):
                rows.add(number, _pose(person, path), _id_of(person, path))
        count = len(rows.poses[0]) if rows.poses else len(OPENPOSE25)
        skeletons = {len(s): s for s in (OPENPOSE25, OPENPOSE18)}
        if count not in skeletons:
            raise ResultFileError(
                f"{source} has poses of {count} body parts",
                "Run OpenPose with --model_pose BODY_25 or COCO (18 parts)",
            )
        from_video = all(_OF_A_VIDEO.search(name) for name in names)
        return rows.finish(
            n_joints=count,
            skeleton=skeletons[count],
            numbers=np.array(numbers, int),
            first=0 if from_video else None,
        )


def _is_frame(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("people"), list)


def _people(value: Any, path: Path) -> list[Any]:
    if not _is_frame(value):
        raise ResultFileError(
            f"{path} has no list 'people'", "Keep only files of OpenPose in the folder"
        )
    people: list[Any] = value["people"]
    return people


def _pose(person: Any, path: Path) -> np.ndarray:
    key = next((k for k in _KEYS if isinstance(person, dict) and k in person), None)
    if key is None:
        raise ResultFileError(f"{path}: a person has no pose_keypoints_2d", "Write it again")
    return as_pose(person[key], f"{path}: {key}")


def _id_of(person: dict[str, Any], path: Path) -> int | None:
    """Returns the id that OpenPose's tracker gave; None for -1."""
    given = person.get("person_id", -1)
    given = given[0] if isinstance(given, list) and given else given
    number = as_whole(given, f"{path}: person_id") if given != [] else -1
    return None if number < 0 else number
