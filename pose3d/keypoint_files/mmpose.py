"""MMPose 1.x: predictions as JSON.

Three dialects. The inferencer (``pred_out_dir``) writes a list of ``{"frame_id", "instances"}``
numbered from 0 for a video, and for each picture a file with the list of its instances. The demos
(``--save-predictions``) write ``{"meta_info", "instance_info"}``, frames numbered from 1. An instance
has ``keypoints`` ``[[x, y], ...]``, ``keypoint_scores``, and the box twice in brackets. People are
not followed.

Reference: ``mmpose/apis/inferencers/base_mmpose_inferencer.py``, ``mmpose/structures/utils.py``
(``split_instances``) and ``demo/topdown_demo_with_mmdet.py`` of open-mmlab/mmpose 1.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose3d.body.skeletons import COCO17, HALPE26, HALPE136, WHOLEBODY133
from pose3d.errors import ResultFileError
from pose3d.keypoint_files.frames import number_frames
from pose3d.keypoint_files.joint_names import choose_joints
from pose3d.keypoint_files.poses import PoseRows, Poses, as_numbers, as_whole
from pose3d.keypoint_files.source import Source

_BY_COUNT = {len(s): s for s in (COCO17, HALPE26, WHOLEBODY133, HALPE136)}

_Frames = list[tuple[int, Any]]


class MMPoseReader:
    """Reads the results of its inferencer and of its demos."""

    description = "MMPose: JSON of the inferencer or of a demo; or a folder, one file a picture"
    kinds = ("folder of .json", "json")

    def recognises(self, source: Source) -> bool:
        if source.kind == "folder of .json":
            lists = [value for _, value in source.parts if value]
            return bool(lists) and _are_instances(lists[0])
        if source.kind != "json":
            return False
        value = source.json
        if isinstance(value, dict):
            return isinstance(value.get("instance_info"), list)
        return _are_frames(value) or (bool(value) and _are_instances(value))

    def read(self, source: Source) -> Poses:
        names: list[str] | None = None
        if source.path.is_dir():
            numbers = number_frames([p.name for p, _ in source.parts], source)
            frames = [(n, value) for n, (_, value) in zip(numbers, source.parts, strict=True)]
        elif isinstance(source.json, dict):
            frames = _frames(source.json.get("instance_info"), source)
            names = _names(source.json.get("meta_info"))
        else:
            frames = _frames(source.json, source)
        rows = PoseRows(str(source))
        for number, instances in frames:
            for instance in _list(instances, source):
                rows.add(number, _pose(instance, f"{source}, frame {number}"), _track(instance))
        poses = rows.finish(
            n_joints=len(names) if names else 17,
            numbers=np.array([number for number, _ in frames], int),
            first=frames[0][0] if frames and frames[0][0] in (0, 1) else None,
        )
        if names is not None:
            return choose_joints(poses, names, source, "MMPose")
        return choose_joints(poses, None, source, "MMPose", by_count=_BY_COUNT)


def _are_frames(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and isinstance(value[0].get("instances"), list)
    )


def _are_instances(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and "keypoints" in value[0]
        and "keypoint_scores" in value[0]
    )


def _list(value: Any, source: Source) -> list[Any]:
    if not isinstance(value, list):
        raise ResultFileError(f"{source}: a frame has no list of instances", "Write it again")
    return value


def _frames(value: Any, source: Source) -> _Frames:
    """Returns frame numbers and instances; a list of instances is one picture."""
    entries = _list(value, source)
    if _are_instances(entries):
        return [(0, entries)]
    out: _Frames = []
    for entry in entries:
        if not isinstance(entry, dict) or "frame_id" not in entry:
            raise ResultFileError(f"{source}: an entry has no frame_id", "Write it again")
        number = as_whole(entry["frame_id"], f"{source}: frame_id")
        out.append((number, entry.get("instances")))
    return out


def _names(meta: Any) -> list[str] | None:
    """Returns the joint names of ``meta_info`` in order, or None."""
    by_id = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(by_id, dict) or not by_id or not all(k.isdecimal() for k in by_id):
        return None
    return [str(by_id[k]) for k in sorted(by_id, key=int)]


def _pose(instance: Any, where: str) -> np.ndarray:
    if not isinstance(instance, dict) or "keypoints" not in instance:
        raise ResultFileError(f"{where}: an instance has no keypoints", "Write it again")
    points = as_numbers(instance["keypoints"], f"{where}: keypoints")
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ResultFileError(
            f"{where}: keypoints has shape {points.shape}, expected (joint, 2)",
            "Give the 2D predictions of MMPose",
        )
    if points.shape[1] == 3:
        raise ResultFileError(
            f"{where}: keypoints are 3D, they were lifted already", "Give 2D predictions of MMPose"
        )
    score = as_numbers(instance.get("keypoint_scores", np.ones(len(points))), where).ravel()
    if len(score) != len(points):
        raise ResultFileError(
            f"{where}: {len(points)} keypoints have {len(score)} scores", "Write it again"
        )
    return np.column_stack([points, score])


def _track(instance: dict[str, Any]) -> int | None:
    given = instance.get("track_id")
    return None if given is None else as_whole(given, "track_id")
