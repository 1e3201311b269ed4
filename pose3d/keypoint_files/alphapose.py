"""AlphaPose: one JSON file a clip, ``alphapose-results.json``.

A list with an entry for each person in each picture: ``image_id`` (the name of the picture, ``0.jpg``,
``1.jpg``, ... for a video), ``keypoints`` (x, y, score of each joint in turn), ``score``, ``box`` and
``idx``, the track where AlphaPose follows people (``--pose_track``, ``--pose_flow``); without it
``idx`` says nothing and may be a list. Pictures without people have no entry.
``--format open`` and ``cmu`` write a dictionary by picture with 18 points in OpenPose's order.

Reference: ``write_json`` in ``alphapose/utils/pPose_nms.py`` of MVIG-SJTU/AlphaPose; keypoint orders
in the README of Fang-Haoshu/Halpe-FullBody.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from pose3d.body.skeletons import COCO17, HALPE26, HALPE136, OPENPOSE18, WHOLEBODY133
from pose3d.keypoint_files.entries import entry_of, is_list_of_people, picture_of
from pose3d.keypoint_files.frames import number_frames
from pose3d.keypoint_files.joint_names import choose_joints
from pose3d.keypoint_files.poses import PoseRows, Poses, as_pose, as_whole
from pose3d.keypoint_files.source import Source

_BY_COUNT = {len(s): s for s in (COCO17, HALPE26, WHOLEBODY133, HALPE136)}
_OF_A_VIDEO = re.compile(r"\d+\.(jpg|png)")
_PICTURE = re.compile(r".*\.(jpe?g|png|bmp|tiff?|webp)", re.IGNORECASE)


class AlphaPoseReader:
    """Reads COCO-17, Halpe-26, Halpe-136 and COCO-WholeBody results."""

    description = "AlphaPose: alphapose-results.json; COCO-17, Halpe-26, Halpe-136"
    kinds = ("json",)

    def recognises(self, source: Source) -> bool:
        if source.kind != "json":
            return False
        value = source.json
        if isinstance(value, dict):
            return bool(value) and all(
                isinstance(v, dict) and ("people" in v or "bodies" in v) for v in value.values()
            )
        return is_list_of_people(value) and (
            "idx" in value[0]
            or "box" in value[0]
            or bool(_PICTURE.fullmatch(str(value[0]["image_id"])))
        )

    def read(self, source: Source) -> Poses:
        value = source.json
        if isinstance(value, dict):
            return _read_by_picture(value, source)
        rows = PoseRows(str(source))
        shown = [str(picture_of(entry_of(e, source), source)) for e in value]
        pictures = list(dict.fromkeys(shown))
        numbers = dict(zip(pictures, number_frames(pictures, source), strict=True))
        for entry, picture in zip(value, shown, strict=True):
            where = f"{source}, picture {picture}"
            pose = as_pose(entry.get("keypoints"), f"{where}: keypoints")
            rows.add(numbers[picture], pose, _track(entry, where))
        from_video = all(_OF_A_VIDEO.fullmatch(p) for p in pictures)
        poses = rows.finish(first=0 if from_video else None)
        return choose_joints(
            _without_empty_tracks(poses), None, source, "AlphaPose", by_count=_BY_COUNT
        )


def _track(entry: dict[str, Any], where: str) -> int | None:
    given = entry.get("idx")
    while isinstance(given, list):
        given = given[0] if given else None
    return None if given is None else as_whole(given, f"{where}: idx")


def _without_empty_tracks(poses: Poses) -> Poses:
    """Drops ids that cannot be tracks: AlphaPose writes the same for all when it does not follow."""
    if poses.ids is None:
        return poses
    pairs = np.stack([poses.frames, poses.ids], -1)
    twice = len(np.unique(pairs, axis=0)) < len(pairs)
    return replace(poses, ids=None) if twice or not poses.ids.any() else poses


def _read_by_picture(value: dict[str, Any], source: Source) -> Poses:
    """Reads ``--format open`` and ``--format cmu``."""
    rows = PoseRows(str(source))
    pictures = list(value)
    numbers = number_frames(pictures, source)
    for number, picture in zip(numbers, pictures, strict=True):
        people = value[picture].get("people", value[picture].get("bodies"))
        for person in people if isinstance(people, list) else []:
            flat = person.get("pose_keypoints_2d", person.get("joints")) if person else None
            rows.add(number, as_pose(flat, f"{source}, picture {picture}: keypoints"))
    from_video = all(_OF_A_VIDEO.fullmatch(p) for p in pictures)
    poses = rows.finish(
        n_joints=len(OPENPOSE18), numbers=np.array(numbers, int), first=0 if from_video else None
    )
    return choose_joints(poses, None, source, "AlphaPose", by_count={len(OPENPOSE18): OPENPOSE18})
