"""OpenPose: a folder of JSON files, one a frame (``--write_json``).

A pose is ``x, y, score`` of each part in turn, 0, 0, 0 where not found. Files of videos are called
``<video>_000000000012_keypoints.json``, numbered from 0; ``person_id`` -1: not tracked.
Reference: ``doc/02_output.md`` and ``include/openpose/pose/poseParameters.hpp`` of
CMU-Perceptual-Computing-Lab/openpose.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pose3d.body.skeletons import OPENPOSE18, OPENPOSE25
from pose3d.errors import ResultFileError
from pose3d.keypoint_files.frames import numbered_parts
from pose3d.keypoint_files.poses import PoseRows, Poses, as_pose, as_whole
from pose3d.keypoint_files.source import Source, damaged

_OF_A_VIDEO = re.compile(r"_\d{12}_keypoints\.json")
_KEYS = ("pose_keypoints_2d", "pose_keypoints")  # the second: until version 1.0 of 2017


class OpenPoseReader:
    """Reads BODY_25 and COCO (18 parts), a folder or one of its files."""

    kinds = ("folder of .json", "json")

    def recognises(self, source: Source) -> bool:
        return _is_frame(source.parts[0][1])

    def read(self, source: Source) -> Poses:
        frames = numbered_parts(source)
        rows = PoseRows(str(source))
        for number, path, value in frames:
            if not _is_frame(value):
                raise ResultFileError(
                    f"{path} has no list 'people'", "Keep only files of OpenPose in the folder"
                )
            for person in value["people"]:
                rows.add(number, _pose(person, path), _id_of(person, path))
        count = len(rows.poses[0]) if rows.poses else len(OPENPOSE25)
        skeleton = {len(s): s for s in (OPENPOSE25, OPENPOSE18)}.get(count)
        if skeleton is None:
            raise ResultFileError(
                f"{source} has poses of {count} body parts",
                "Run OpenPose with --model_pose BODY_25 or COCO (18 parts)",
            )
        from_video = all(_OF_A_VIDEO.search(path.name) for _, path, _ in frames)
        return rows.finish(
            [number for number, _, _ in frames],
            n_joints=count,
            skeleton=skeleton,
            first=0 if from_video else None,
        )


def _is_frame(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("people"), list)


def _pose(person: Any, path: Path) -> np.ndarray:
    key = next((k for k in _KEYS if isinstance(person, dict) and k in person), None)
    if key is None:
        raise damaged(f"{path}: a person has no pose_keypoints_2d")
    return as_pose(person[key], f"{path}: {key}")


def _id_of(person: dict[str, Any], path: Path) -> int | None:
    given = person.get("person_id", -1)
    if isinstance(given, list):
        given = given[0] if given else -1
    number = as_whole(given, f"{path}: person_id")
    return None if number < 0 else number
