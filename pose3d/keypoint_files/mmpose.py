"""MMPose 1.x: predictions as JSON, people not followed.

The inferencer (``pred_out_dir``) writes a list of ``{"frame_id", "instances"}`` from 0 for a video,
a list of instances for a picture; the demos (``--save-predictions``) ``{"meta_info",
"instance_info"}``, frames from 1. Instances have ``keypoints`` ``[[x, y], ...]``.
Reference: ``mmpose/apis/inferencers/base_mmpose_inferencer.py``, ``mmpose/structures/utils.py``
(``split_instances``) and ``demo/topdown_demo_with_mmdet.py`` of open-mmlab/mmpose 1.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose3d.errors import ResultFileError
from pose3d.keypoint_files.frames import is_list_of, numbered_parts
from pose3d.keypoint_files.joint_names import choose_by_count, choose_joints
from pose3d.keypoint_files.poses import PoseRows, Poses, as_numbers, as_whole
from pose3d.keypoint_files.source import Source, damaged


class MMPoseReader:
    """Reads the results of its inferencer and of its demos."""

    kinds = ("folder of .json", "json")

    def recognises(self, source: Source) -> bool:
        if source.kind == "folder of .json":
            lists = [value for _, value in source.parts if value]
            return bool(lists) and _are_instances(lists[0])
        value = source.json
        if isinstance(value, dict):
            return isinstance(value.get("instance_info"), list)
        by_frame = is_list_of(value, "instances") and isinstance(value[0]["instances"], list)
        return by_frame or _are_instances(value)

    def read(self, source: Source) -> Poses:
        names: list[str] | None = None
        if source.path.is_dir():
            frames = [(number, value) for number, _, value in numbered_parts(source)]
        elif isinstance(source.json, dict):
            frames = _frames(source.json.get("instance_info"), source)
            names = _names(source.json.get("meta_info"))
        else:
            frames = _frames(source.json, source)
        rows = PoseRows(str(source))
        for number, instances in frames:
            for instance in _list(instances, source):
                pose = _pose(instance, f"{source}, frame {number}")
                rows.add(number, pose, instance.get("track_id"))
        poses = rows.finish(
            [number for number, _ in frames],
            n_joints=len(names) if names else 17,
            first=frames[0][0] if frames and frames[0][0] in (0, 1) else None,
        )
        return choose_by_count(poses) if names is None else choose_joints(poses, names, source)


def _are_instances(value: Any) -> bool:
    return is_list_of(value, "keypoints", "keypoint_scores")


def _list(value: Any, source: Source) -> list[Any]:
    if not isinstance(value, list):
        raise damaged(f"{source}: a frame has no list of instances")
    return value


def _frames(value: Any, source: Source) -> list[tuple[int, Any]]:
    """Returns frame numbers and instances; a list of instances is one picture."""
    entries = _list(value, source)
    if _are_instances(entries):
        return [(0, entries)]
    out = []
    for entry in entries:
        if not isinstance(entry, dict) or "frame_id" not in entry:
            raise damaged(f"{source}: an entry has no frame_id")
        number = as_whole(entry["frame_id"], f"{source}: frame_id")
        out.append((number, entry.get("instances")))
    return out


def _names(meta: Any) -> list[str] | None:
    by_id = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(by_id, dict) or not by_id or not all(k.isdecimal() for k in by_id):
        return None
    return [str(by_id[k]) for k in sorted(by_id, key=int)]


def _pose(instance: Any, where: str) -> np.ndarray:
    if not isinstance(instance, dict) or "keypoints" not in instance:
        raise damaged(f"{where}: an instance has no keypoints")
    points = as_numbers(instance["keypoints"], f"{where}: keypoints")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ResultFileError(
            f"{where}: keypoints has shape {points.shape}, expected (joint, 2)",
            "Give the 2D predictions of MMPose",
        )
    score = as_numbers(instance.get("keypoint_scores", np.ones(len(points))), where).ravel()
    if len(score) != len(points):
        raise damaged(f"{where}: {len(points)} keypoints have {len(score)} scores")
    return np.column_stack([points, score])
