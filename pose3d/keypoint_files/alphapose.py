"""AlphaPose: one JSON file a clip, ``alphapose-results.json``.

A list with an entry for each person in each picture: ``image_id`` (the picture's name, ``0.jpg``,
... for a video), ``keypoints`` (x, y, score in turn), ``score``, ``box`` and ``idx``, the track
where people are followed; else it says nothing and may be a list. Pictures without people have no
entry. ``--format open`` and ``cmu`` write 18 points in OpenPose's order by picture.
Reference: ``write_json`` in ``alphapose/utils/pPose_nms.py`` of MVIG-SJTU/AlphaPose; keypoint
orders in the README of Fang-Haoshu/Halpe-FullBody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from pose3d.body.skeletons import OPENPOSE18
from pose3d.keypoint_files.frames import is_list_of, number_frames, picture_of
from pose3d.keypoint_files.joint_names import choose_by_count
from pose3d.keypoint_files.poses import PoseRows, Poses, as_pose
from pose3d.keypoint_files.source import Source, damaged

_OF_A_VIDEO = re.compile(r"\d+\.(jpg|png)")
_PICTURE = re.compile(r".*\.(jpe?g|png|bmp|tiff?|webp)", re.IGNORECASE)


class AlphaPoseReader:
    """Reads COCO-17, Halpe-26, Halpe-136 and COCO-WholeBody results."""

    kinds = ("json",)

    def recognises(self, source: Source) -> bool:
        value = source.json
        if isinstance(value, dict):
            return bool(value) and all(
                isinstance(v, dict) and ("people" in v or "bodies" in v) for v in value.values()
            )
        return is_list_of(value, "image_id", "keypoints") and (
            "idx" in value[0]
            or "box" in value[0]
            or bool(_PICTURE.fullmatch(str(value[0]["image_id"])))
        )

    def read(self, source: Source) -> Poses:
        value = source.json
        if isinstance(value, dict):
            return _read_by_picture(value, source)
        rows = PoseRows(str(source))
        shown = [str(picture_of(entry, source)) for entry in value]
        pictures = list(dict.fromkeys(shown))
        numbers = dict(zip(pictures, number_frames(pictures, source), strict=True))
        for entry, picture in zip(value, shown, strict=True):
            pose = as_pose(entry.get("keypoints"), f"{source}, picture {picture}: keypoints")
            track = entry.get("idx")
            while isinstance(track, list):
                track = track[0] if track else None
            rows.add(numbers[picture], pose, track)
        poses = rows.finish(first=_first(pictures))
        return choose_by_count(_without_empty_tracks(poses))


def _first(pictures: Iterable[str]) -> int | None:
    """Returns 0, the number of a video's first frame; None: pictures may begin anywhere."""
    return 0 if all(_OF_A_VIDEO.fullmatch(p) for p in pictures) else None


def _without_empty_tracks(poses: Poses) -> Poses:
    """Drops ids that cannot be tracks: AlphaPose writes one for all when it does not follow."""
    if poses.ids is None:
        return poses
    pairs = np.stack([poses.frames, poses.ids], -1)
    twice = len(np.unique(pairs, axis=0)) < len(pairs)
    return replace(poses, ids=None) if twice or not poses.ids.any() else poses


def _read_by_picture(value: dict[str, Any], source: Source) -> Poses:
    """Reads ``--format open`` and ``--format cmu``."""
    rows = PoseRows(str(source))
    numbers = number_frames(list(value), source)
    for number, (picture, content) in zip(numbers, value.items(), strict=True):
        if not isinstance(content, dict):
            raise damaged(f"{source}, picture {picture} is no JSON object")
        people = content.get("people", content.get("bodies"))
        for person in people if isinstance(people, list) else []:
            person = person if isinstance(person, dict) else {}
            flat = person.get("pose_keypoints_2d", person.get("joints"))
            rows.add(number, as_pose(flat, f"{source}, picture {picture}: keypoints"))
    poses = rows.finish(numbers, n_joints=len(OPENPOSE18), first=_first(value))
    return choose_by_count(poses, (OPENPOSE18,))
